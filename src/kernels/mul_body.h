/* Products in float over the lanes of a vec_*.h. Every output keeps VN running sums over the
 * whole of k and folds them at the end, whatever tile it is computed in, so its bits do not
 * depend on how many rows a call has. Quantised weights are converted a stretch of four rows at
 * a time (four kilobytes: L1), which is used for up to XB rows of activations. Stack frames are
 * why XB is not more. */

#define WR 4        /* weight rows of a tile */
#define XB 24       /* activation rows that share a converted stretch */
#define STRETCH 256 /* a multiple of every block */

struct fcall {
    float *out;
    size_t ldo;
    const uint8_t *x;
    size_t xs;
    int nx;
    const uint8_t *w;
    size_t ws;
    int nw;
    size_t k;
    enum slm_dtype wt, xt;
};

/* VN elements of a row from e on */
FOLD vf x_at(const uint8_t *row, size_t e, enum slm_dtype xt)
{
    switch ((int)xt) {
    case SLM_F16: return vf_of_f16(row + 2 * e);
    case SLM_BF16: return vf_of_bf16(row + 2 * e);
    case SLM_Q8_S: {
        float d;
        row += e / 32 * sizeof(block_q8_s);
        memcpy(&d, row, 4);
        return vf_mul(vf_of_i8(row + 8 + e % 32), vf_set1(d));
    }
    case SLM_Q8_K: {
        float d;
        row += e / 256 * sizeof(block_q8_K);
        memcpy(&d, row, 4);
        return vf_mul(vf_of_i8(row + 4 + e % 256), vf_set1(d));
    }
    default: return vf_load((const float *)(const void *)row + e);
    }
}

/* n < VN of them, of the types whose rows may be of any length; the rest zeros */
FOLD vf x_tail(const uint8_t *row, size_t e, size_t n, enum slm_dtype t)
{
    if (t == SLM_BF16 || t == SLM_F16) {
        uint16_t h[VN] = {0};
        memcpy(h, row + 2 * e, 2 * n);
        return t == SLM_BF16 ? vf_of_bf16(h) : vf_of_f16(h);
    }
    return vf_loadn((const float *)(const void *)row + e, n);
}

/* Weights from element e of the rows on, as float32 (converted or from the file), F16 or BF16.
 */
struct stretch {
    const uint8_t *w[WR];
    size_t e, n;
};

/* The tile's kind: what its weights and its activations are. */
#define KIND(wt, xt) ((int)(wt)*SLM_DTYPE_COUNT + (int)(xt))
#define KIND_W(kind) ((enum slm_dtype)((kind) / SLM_DTYPE_COUNT))
#define KIND_X(kind) ((enum slm_dtype)((kind) % SLM_DTYPE_COUNT))

FOLD void tile(vf (*acc)[WR], const struct stretch *s, const uint8_t *x, size_t xs, int xr,
               int kind)
{
    vf a[6][WR];
    const uint8_t *const w0 = s->w[0], *const w1 = s->w[1], *const w2 = s->w[2],
                         *const w3 = s->w[3];
    const enum slm_dtype wt = KIND_W(kind), xt = KIND_X(kind);
    UNROLL
    for (int i = 0; i < xr; i++)
        UNROLL
    for (int j = 0; j < WR; j++)
        a[i][j] = acc[i][j];
    size_t p = 0;
    for (; p + VN <= s->n; p += VN) {
        vf w[WR] = {x_at(w0, p, wt), x_at(w1, p, wt), x_at(w2, p, wt), x_at(w3, p, wt)};
        UNROLL
        for (int i = 0; i < xr; i++) {
            vf v = x_at(x + (size_t)i * xs, s->e + p, xt);
            UNROLL
            for (int j = 0; j < WR; j++)
                a[i][j] = vf_fma(w[j], v, a[i][j]);
        }
    }
    if (p < s->n) {
        size_t n = s->n - p;
        vf w[WR] = {x_tail(w0, p, n, wt), x_tail(w1, p, n, wt), x_tail(w2, p, n, wt),
                    x_tail(w3, p, n, wt)};
        UNROLL
        for (int i = 0; i < xr; i++) {
            vf v = x_tail(x + (size_t)i * xs, s->e + p, n, xt);
            UNROLL
            for (int j = 0; j < WR; j++)
                a[i][j] = vf_fma(w[j], v, a[i][j]);
        }
    }
    UNROLL
    for (int i = 0; i < xr; i++)
        UNROLL
    for (int j = 0; j < WR; j++)
        acc[i][j] = a[i][j];
}

#define TILES(NAME, WHAT)                                                                      \
    static __attribute__((noinline)) void tiles_##NAME(vf(*acc)[WR], const struct stretch *s,  \
                                                       const uint8_t *x, size_t xs, int n)     \
    {                                                                                          \
        int i = 0;                                                                             \
        for (; i + XR <= n; i += XR)                                                           \
            tile(acc + i, s, x + (size_t)i * xs, xs, XR, WHAT);                                \
        for (; i + 2 <= n; i += 2)                                                             \
            tile(acc + i, s, x + (size_t)i * xs, xs, 2, WHAT);                                 \
        for (; i < n; i++)                                                                     \
            tile(acc + i, s, x + (size_t)i * xs, xs, 1, WHAT);                                 \
    }
TILES(f32, KIND(SLM_F32, SLM_F32))
TILES(q8_s, KIND(SLM_F32, SLM_Q8_S))
TILES(q8_k, KIND(SLM_F32, SLM_Q8_K))
TILES(f16_f32, KIND(SLM_F16, SLM_F32))
TILES(bf16_f32, KIND(SLM_BF16, SLM_F32))
TILES(bf16_bf16, KIND(SLM_BF16, SLM_BF16))

typedef void tiles_fn(vf (*acc)[WR], const struct stretch *s, const uint8_t *x, size_t xs,
                      int n);
static tiles_fn *tiles_of(enum slm_dtype wt, enum slm_dtype xt)
{
    if (wt == SLM_F16)
        return tiles_f16_f32;
    if (wt == SLM_BF16)
        return xt == SLM_BF16 ? tiles_bf16_bf16 : tiles_bf16_f32;
    switch ((int)xt) {
    case SLM_Q8_S: return tiles_q8_s;
    case SLM_Q8_K: return tiles_q8_k;
    default: return tiles_f32;
    }
}

/* Four weight rows from j0 (the last one stands in for those that are not there) with n rows of
 * x. */
static __attribute__((noinline)) void block(const struct fcall *c, float *stretch,
                                            slm_to_f32_fn *conv, int j0, int i0)
{
    int n = c->nx - i0 < XB ? c->nx - i0 : XB, m = c->nw - j0 < WR ? c->nw - j0 : WR;
    const uint8_t *x = c->x + (size_t)i0 * c->xs, *w[WR];
    for (int j = 0; j < WR; j++)
        w[j] = c->w + (size_t)(j0 + (j < m ? j : m - 1)) * c->ws;
    vf acc[XB][WR];
    for (int i = 0; i < n; i++)
        for (int j = 0; j < WR; j++)
            acc[i][j] = vf_zero();
    struct stretch s;
    tiles_fn *run = tiles_of(c->wt, c->xt);
    for (s.e = 0; s.e < c->k; s.e += s.n) {
        size_t most = conv ? STRETCH : 8 * STRETCH;
        s.n = c->k - s.e < most ? c->k - s.e : most;
        for (int j = 0; j < WR; j++) {
            if (conv && j < m)
                conv(stretch + j * STRETCH, w[j] + slm_row_bytes(c->wt, s.e), s.n);
            s.w[j] = conv ? (const uint8_t *)(stretch + (j < m ? j : m - 1) * STRETCH)
                          : w[j] + slm_row_bytes(c->wt, s.e);
        }
        run(acc, &s, x, c->xs, n);
    }
    for (int i = 0; i < n; i++) {
        float t[WR];
        vf_sum4(t, acc[i]);
        memcpy(c->out + (size_t)(i0 + i) * c->ldo + (size_t)j0, t, (size_t)m * sizeof *t);
    }
}

static void float_mul(const struct fcall *c)
{
    float stretch[WR * STRETCH];
    bool plain = c->wt == SLM_F32 || c->wt == SLM_F16 || c->wt == SLM_BF16;
    slm_to_f32_fn *conv = plain ? NULL : to_f32_of(c->wt);
    /* so many rows of x stay in L2 while all weights pass */
    int rows = c->xs ? (int)(400000 / c->xs) : c->nx;
    rows = rows < XB ? XB : rows / XB * XB;
    for (int r = 0; r < c->nx; r += rows)
        for (int j = 0; j < c->nw; j += WR)
            for (int i = r; i < c->nx && i < r + rows; i += XB)
                block(c, stretch, conv, j, i);
}

static void float_axpy(float *y, float a, const void *w, size_t k, enum slm_dtype wt)
{
    float stretch[STRETCH];
    slm_to_f32_fn *conv = to_f32_of(wt);
    vf S = vf_set1(a);
    for (size_t e = 0; e < k; e += STRETCH) {
        size_t n = k - e < STRETCH ? k - e : STRETCH;
        conv(stretch, (const uint8_t *)w + slm_row_bytes(wt, e), n);
        EACH2(y + e, stretch, y + e, n, vf_fma(S, A, B));
    }
}

static void axpy_f32(float *y, float a, const void *w, size_t k)
{
    const float *wf = w;
    vf S = vf_set1(a);
    EACH2(y, wf, y, k, vf_fma(S, A, B));
}

#define DTYPE(id, gguf, name, len, type, partner)                                              \
    static void exact_##id(float *out, size_t ldo, const float *x, size_t xs, int nx,          \
                           const void *w, size_t ws, int nw, size_t k)                         \
    {                                                                                          \
        struct fcall c = {                                                                     \
            out,      ldo,    (const uint8_t *)(const void *)x, xs, nx, w, ws, nw, k,          \
            SLM_##id, SLM_F32};                                                                \
        float_mul(&c);                                                                         \
    }                                                                                          \
    static void fast_##id(float *out, size_t ldo, const void *x, size_t xs, int nx,            \
                          const void *w, size_t ws, int nw, size_t k)                          \
    {                                                                                          \
        struct fcall c = {out, ldo, x, xs, nx, w, ws, nw, k, SLM_##id, SLM_##partner};         \
        float_mul(&c);                                                                         \
    }                                                                                          \
    static void axpy_##id(float *y, float a, const void *w, size_t k)                          \
    {                                                                                          \
        float_axpy(y, a, w, k, SLM_##id);                                                      \
    }
#include "base/dtypes.inc"
#undef DTYPE

static void fill_mul(struct slm_kern *k)
{
#define DTYPE(id, gguf, name, len, type, partner)                                              \
    k->mul_exact[SLM_##id] = exact_##id;                                                       \
    if (!slm_fast_in_integers(SLM_##id))                                                       \
        k->mul_fast[SLM_##id] = fast_##id;                                                     \
    k->axpy[SLM_##id] = axpy_##id;
#include "base/dtypes.inc"
#undef DTYPE
    k->axpy[SLM_F32] = axpy_f32;
}
