/* Products with float arithmetic, for every type: weights are dequantised a stretch at a time
 * and used for several rows of activations, each output keeping sixteen running sums over the
 * whole of k. So an output's order of additions is the same whatever else one call computes. */
#include "kernels/kern_fill.h"
#include "kernels/lanes.h"

#define CHUNK 256 /* a multiple of every type's block */
#define ROWS 8    /* activation rows that share one dequantised stretch */

struct call {
    float *out;
    size_t ldo;
    const uint8_t *x;
    size_t xs;
    int nx;
    const uint8_t *w;
    size_t ws;
    int nw;
    size_t k;
};

/* Rows [i0, i0 + n) of x with one weight row; xf is NULL where x is float32 already. */
static void row_mul(const struct call *c, const uint8_t *w, int j, int i0, enum slm_dtype wt,
                    enum slm_dtype xt)
{
    int n = c->nx - i0 < ROWS ? c->nx - i0 : ROWS;
    slm_to_f32_fn *wf = slm_to_f32_generic(wt),
                  *xf = xt == SLM_F32 ? NULL : slm_to_f32_generic(xt);
    float s[ROWS][SLM_LANES] = {{0}}, wb[CHUNK], xb[CHUNK];
    for (size_t p = 0; p < c->k; p += CHUNK) {
        size_t m = c->k - p < CHUNK ? c->k - p : CHUNK;
        wf(wb, w + slm_row_bytes(wt, p), m);
        for (int i = 0; i < n; i++) {
            const uint8_t *x = c->x + (size_t)(i0 + i) * c->xs + slm_row_bytes(xt, p);
            if (xf)
                xf(xb, x, m);
            slm_lanes_dot(s[i], xf ? xb : (const float *)(const void *)x, wb, m);
        }
    }
    for (int i = 0; i < n; i++)
        c->out[(size_t)(i0 + i) * c->ldo + (size_t)j] = slm_lanes_sum(s[i]);
}

static void mul_rows(const struct call *c, enum slm_dtype wt, enum slm_dtype xt)
{
    for (int j = 0; j < c->nw; j++)
        for (int i = 0; i < c->nx; i += ROWS)
            row_mul(c, c->w + (size_t)j * c->ws, j, i, wt, xt);
}

static void add_scaled(float *y, float a, const void *w, size_t k, enum slm_dtype wt)
{
    slm_to_f32_fn *wf = slm_to_f32_generic(wt);
    float wb[CHUNK];
    for (size_t p = 0; p < k; p += CHUNK) {
        size_t m = k - p < CHUNK ? k - p : CHUNK;
        wf(wb, (const uint8_t *)w + slm_row_bytes(wt, p), m);
        for (size_t i = 0; i < m; i++)
            y[p + i] += a * wb[i];
    }
}

/* float32 needs no stretch: straight from the rows. */
static void exact_plain(float *out, size_t ldo, const float *x, size_t xs, int nx,
                        const void *w, size_t ws, int nw, size_t k)
{
    for (int j = 0; j < nw; j++)
        for (int i = 0; i < nx; i++) {
            float s[SLM_LANES] = {0};
            const void *xr = (const uint8_t *)(const void *)x + (size_t)i * xs;
            const void *wr = (const uint8_t *)w + (size_t)j * ws;
            slm_lanes_dot(s, xr, wr, k);
            out[(size_t)i * ldo + (size_t)j] = slm_lanes_sum(s);
        }
}

static void axpy_plain(float *y, float a, const void *w, size_t k)
{
    const float *wf = w;
    for (size_t i = 0; i < k; i++)
        y[i] += a * wf[i];
}

static void add_rows(const struct slm_rows *m)
{
    for (int i = 0; i < m->ny; i++)
        for (int j = 0; j < m->nw; j++)
            axpy_plain(m->y + (size_t)i * m->ldy, m->a[(size_t)i * m->ai + (size_t)j * m->aj],
                       m->w + (size_t)j * m->ldw, m->k);
}

static void transpose(float *out, size_t ldo, const float *in, size_t ldi, size_t rows,
                      size_t cols)
{
    for (size_t c = 0; c < cols; c++)
        for (size_t r = 0; r < rows; r++)
            out[c * ldo + r] = in[r * ldi + c];
}

#define DTYPE(id, gguf, name, len, type, partner)                                              \
    static void exact_##id(float *out, size_t ldo, const float *x, size_t xs, int nx,          \
                           const void *w, size_t ws, int nw, size_t k)                         \
    {                                                                                          \
        struct call c = {out, ldo, (const uint8_t *)(const void *)x, xs, nx, w, ws, nw, k};    \
        mul_rows(&c, SLM_##id, SLM_F32);                                                       \
    }                                                                                          \
    static void fast_##id(float *out, size_t ldo, const void *x, size_t xs, int nx,            \
                          const void *w, size_t ws, int nw, size_t k)                          \
    {                                                                                          \
        struct call c = {out, ldo, x, xs, nx, w, ws, nw, k};                                   \
        mul_rows(&c, SLM_##id, SLM_##partner);                                                 \
    }                                                                                          \
    static void axpy_##id(float *y, float a, const void *w, size_t k)                          \
    {                                                                                          \
        add_scaled(y, a, w, k, SLM_##id);                                                      \
    }
#include "base/dtypes.inc"
#undef DTYPE

static void fast_plain(float *out, size_t ldo, const void *x, size_t xs, int nx, const void *w,
                       size_t ws, int nw, size_t k)
{
    exact_plain(out, ldo, x, xs, nx, w, ws, nw, k);
}

void slm_kern_fill_mul_generic(struct slm_kern *k)
{
#define DTYPE(id, gguf, name, len, type, partner)                                              \
    k->mul_exact[SLM_##id] = exact_##id;                                                       \
    k->mul_fast[SLM_##id] = fast_##id;                                                         \
    k->axpy[SLM_##id] = axpy_##id;
#include "base/dtypes.inc"
#undef DTYPE
    k->mul_exact[SLM_F32] = exact_plain;
    k->mul_fast[SLM_F32] = fast_plain;
    k->axpy[SLM_F32] = axpy_plain;
    k->add_rows = add_rows;
    k->transpose = transpose;
}
