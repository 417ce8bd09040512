/* Products in integers over the lanes of a vec_*.h: a lane is a weight row. VN rows of one
 * stretch of 256 weights are unpacked into a panel (a dword holds four weights of one row),
 * which all rows of activations then use; a row's float sum passes from panel to panel through
 * the output itself. A single row of activations takes the weights from the registers they are
 * unpacked in. Either way each output is computed by the very steps that fast_generic.c spells
 * out, and has its bits, whatever the tile and the instruction set.
 *
 * The including file gives the inner product:
 *   QP       vectors that four weights of VN rows take (1: bytes; 2: 16-bit, even and odd)
 *   WOFF     1: weights stay unsigned, and the sums are put right by the sums of the
 * activations XCOPY    1: activations are copied to another form, by x_put; 0: taken where they
 * are FR       activation rows of a tile PANELS   panels of a tile: 1 or 2 q_put(dst, v) stores
 * weights given as dwords of four bytes q_dot(acc, q, x)   adds four weights' products with the
 * activations at x x_put(dst, src)    copies 32 activations into 32 * QP bytes */

struct panel {
    vi q[64 * QP];
    vi sc[16], mn[8]; /* of 16 (or, twice as many, 32) weights; minima as pairs of 16 bits */
    vf d[8], m[8];    /* a block; 256: in [0], m is dmin */
};

#include "kernels/fast_unpack.h"
#include "kernels/fast_unpack_iq.h"

/* ---- tiles ---- */

/* What a type is: block sizes of weights and activations, and how its sums are put together. */
struct fast_type {
    size_t bytes, xbytes;
    int off; /* weights are unpacked this much too large; of 32-blocks, a power of two */
    bool big, mins, pairs;
};

/* One strip: up to PANELS * VN rows of weights with nx rows of activations. */
struct fast {
    float *out;
    size_t ldo;
    const uint8_t *x;
    size_t xs;
    int nx;
    size_t k;
    int rows;   /* of weights */
    int blocks; /* 32-blocks of the panel at hand */
    bool first; /* the panel at hand is the first: nothing to add to */
    size_t e;   /* its first weight in the row */
    const struct fast_type *t;
    uintptr_t ahead; /* weights that come after these: asked for a bit with each tile */
    size_t ahead_bytes;
};

/* The stretch at hand of the first row of activations. */
FOLD const uint8_t *x_from(const struct fast *f)
{
    return f->x + f->e / (f->t->big ? 256 : 32) * f->t->xbytes;
}

/* Panel q's outputs at o. */
FOLD vf out_get(const struct fast *f, const float *o, int q)
{
    int n = f->rows - q * VN;
    if (f->first)
        return vf_zero();
    return n >= VN ? vf_load(o + q * VN) : n > 0 ? vf_loadn(o + q * VN, (size_t)n) : vf_zero();
}
FOLD void out_put(const struct fast *f, float *o, int q, vf v)
{
    int n = f->rows - q * VN;
    if (n >= VN)
        vf_store(o + q * VN, v);
    else if (n > 0)
        vf_storen(o + q * VN, v, (size_t)n);
}

/* What a block of activations brings beside its bytes, in all lanes. */
struct x_part {
    vf d, low; /* low: d * neg, for minima */
    vi start;  /* what the sum of unsigned products begins with */
};
FOLD struct x_part x_part_at(const uint8_t *x, const struct fast_type *t, bool mins)
{
    struct x_part h;
    float d;
    memcpy(&d, x, 4);
    vi neg = vi_bcast(x + 4);
    h.d = vf_set1(d);
    h.low = mins ? vf_mul(h.d, vi_float(neg)) : h.d;
    h.start = WOFF && !mins ? vi_shift(neg, __builtin_ctz((unsigned)t->off)) : vi_zero();
    return h;
}

/* One step of fast_generic.c for a block. */
FOLD vf step32(vf acc, vi s, const struct panel *p, int b, struct x_part h, bool mins)
{
    acc = vf_add(acc, vf_mul(vi_float(s), vf_mul(p->d[b], h.d)));
    return mins ? vf_sub(acc, vf_mul(p->m[b], h.low)) : acc;
}

/* Adds the products of dword `at` of np panels with that of n rows at xq. The weights are kept
 * in registers: as operands in memory, each would be loaded n times. */
FOLD void add_dots(vi (*s)[PANELS], const struct panel *const *p, int at,
                   const uint8_t *const *xq, int off, int n, int np)
{
    vi w[PANELS][QP];
    UNROLL
    for (int q = 0; q < np; q++)
        UNROLL
    for (int i = 0; i < QP; i++) {
        w[q][i] = p[q]->q[at * QP + i];
        VI_KEEP(w[q][i]);
    }
    UNROLL
    for (int i = 0; i < n; i++)
        UNROLL
    for (int q = 0; q < np; q++)
        s[i][q] = q_dot(s[i][q], w[q], xq[i] + off);
}

/* Block b of n rows of activations, np panels. */
FOLD void tile_block(vf (*acc)[PANELS], const struct panel *const *p, const uint8_t *const *x,
                     const uint8_t *const *xq, const struct fast_type *t, int b, int n, int np,
                     bool mins)
{
    vi s[FR][PANELS];
    UNROLL
    for (int i = 0; i < n; i++) {
        vi start = x_part_at(x[i] + (size_t)b * sizeof(block_q8_s), t, mins).start;
        UNROLL
        for (int q = 0; q < np; q++)
            s[i][q] = start;
    }
    UNROLL
    for (int g = 0; g < 8; g++)
        add_dots(s, p, b * 8 + g, xq, 4 * g, n, np);
    UNROLL
    for (int i = 0; i < n; i++) {
        struct x_part h = x_part_at(x[i] + (size_t)b * sizeof(block_q8_s), t, mins);
        UNROLL
        for (int q = 0; q < np; q++)
            acc[i][q] = step32(acc[i][q], s[i][q], p[q], b, h, mins);
    }
}

/* n rows of activations from row `from` on, np panels */
FOLD void tile32(const struct panel *const *p, const struct fast *f, int from, int n, int np,
                 bool mins)
{
    float *out = f->out + (size_t)from * f->ldo;
    _Alignas(64) uint8_t xb[XCOPY ? FR : 1][XCOPY ? 32 * QP : 1];
    const uint8_t *x[FR], *xq[FR];
    vf acc[FR][PANELS];
    UNROLL
    for (int i = 0; i < n; i++) {
        x[i] = x_from(f) + (size_t)(from + i) * f->xs;
        UNROLL
        for (int q = 0; q < np; q++)
            acc[i][q] = out_get(f, out + (size_t)i * f->ldo, q);
    }
    for (int b = 0; b < f->blocks; b++) {
        UNROLL
        for (int i = 0; i < n; i++) {
            xq[i] = x[i] + (size_t)b * sizeof(block_q8_s) + 8;
            if (XCOPY) {
                x_put(xb[XCOPY ? i : 0], (const int8_t *)xq[i]);
                xq[i] = xb[XCOPY ? i : 0];
            }
        }
        tile_block(acc, p, x, xq, f->t, b, n, np, mins);
    }
    UNROLL
    for (int i = 0; i < n; i++)
        UNROLL
    for (int q = 0; q < np; q++)
        out_put(f, out + (size_t)i * f->ldo, q, acc[i][q]);
}

/* The step of a 256-block: sum is that of scale * sum, the offset still in it. */
FOLD vf step256(vf acc, vi sum, const struct panel *p, const struct fast_type *t,
                const uint8_t *x)
{
    vi m = vi_zero();
    vf v;
    float dx;
    memcpy(&dx, x, 4);
    if (t->mins || (WOFF && t->off)) {
        UNROLL
        for (int g = 0; g < 8; g++)
            m = vi_madd(m, p->mn[g], vi_bcast(x + 260 + 4 * g));
    }
    if (WOFF && t->off)
        sum = vi_sub(sum, vi_mul(m, vi_set1(t->off)));
    v = vf_mul(p->d[0], vi_float(sum));
    if (t->mins)
        v = vf_sub(v, vf_mul(p->m[0], vi_float(m)));
    return vf_add(acc, vf_mul(vf_set1(dx), v));
}

FOLD void tile256(const struct panel *const *p, const struct fast *f, int from, int n, int np,
                  bool pairs)
{
    const uint8_t *x = x_from(f) + (size_t)from * f->xs;
    _Alignas(64) uint8_t xb[XCOPY ? FR : 1][XCOPY ? 256 * QP : 1];
    const uint8_t *xr[FR];
    vi sum[FR][PANELS];
    UNROLL
    for (int i = 0; i < n; i++) {
        const uint8_t *row = x + (size_t)i * f->xs + 4;
        for (int b = 0; XCOPY && b < 8; b++)
            x_put(xb[XCOPY ? i : 0] + 32 * QP * b, (const int8_t *)row + 32 * b);
        xr[i] = XCOPY ? xb[XCOPY ? i : 0] : row;
        UNROLL
        for (int q = 0; q < np; q++)
            sum[i][q] = vi_zero();
    }
    for (int b = 0; b < 8; b++) {
        vi s[FR][PANELS];
        UNROLL
        for (int i = 0; i < n; i++)
            UNROLL
        for (int q = 0; q < np; q++)
            s[i][q] = vi_zero();
        UNROLL
        for (int g = 0; g < 8; g++) {
            if (g == 4 && pairs) {
                UNROLL
                for (int i = 0; i < n; i++)
                    UNROLL
                for (int q = 0; q < np; q++) {
                    sum[i][q] = vi_add(sum[i][q], vi_mul(s[i][q], p[q]->sc[2 * b]));
                    s[i][q] = vi_zero();
                }
            }
            add_dots(s, p, b * 8 + g, xr, 32 * QP * b + 4 * g, n, np);
        }
        UNROLL
        for (int i = 0; i < n; i++)
            UNROLL
        for (int q = 0; q < np; q++)
            sum[i][q] = vi_add(sum[i][q], vi_mul(s[i][q], p[q]->sc[pairs ? 2 * b + 1 : b]));
    }
    UNROLL
    for (int i = 0; i < n; i++)
        UNROLL
    for (int q = 0; q < np; q++) {
        float *o = f->out + (size_t)(from + i) * f->ldo;
        out_put(f, o, q,
                step256(out_get(f, o, q), sum[i][q], p[q], f->t, x + (size_t)i * f->xs));
    }
}

/* Asks for the share of the weights to come that falls to rows [i, i + n). */
FOLD void w_fetch(const struct fast *f, int i, int n)
{
    size_t a = f->ahead_bytes * (size_t)i / (size_t)f->nx / 64,
           b = f->ahead_bytes * (size_t)(i + n) / (size_t)f->nx / 64;
    for (; a < b; a++)
        __builtin_prefetch((const void *)(f->ahead + 64 * a), 0, 2);
}

/* Asks for the stretch at hand of the rows of activations from i on, a tile of them. */
FOLD void x_fetch(const struct fast *f, int i)
{
    for (int r = i; r < i + FR && r < f->nx; r++)
        for (size_t b = 0; b < 8 * sizeof(block_q8_s); b += 64)
            __builtin_prefetch(x_from(f) + (size_t)r * f->xs + b);
}

#define FAST_TILES(NAME, TILE, NP, FLAG)                                                       \
    static __attribute__((noinline)) void NAME(const struct panel *const *p,                   \
                                               const struct fast *f)                           \
    {                                                                                          \
        int i = 0;                                                                             \
        for (; i + FR <= f->nx; i += FR) {                                                     \
            x_fetch(f, i + FR);                                                                \
            w_fetch(f, i, FR);                                                                 \
            TILE(p, f, i, FR, NP, FLAG);                                                       \
        }                                                                                      \
        if (i < f->nx)                                                                         \
            w_fetch(f, i, f->nx - i);                                                          \
        if (FR > 4 && i + 4 <= f->nx) {                                                        \
            TILE(p, f, i, 4, NP, FLAG);                                                        \
            i += 4;                                                                            \
        }                                                                                      \
        for (; i + 2 <= f->nx; i += 2)                                                         \
            TILE(p, f, i, 2, NP, FLAG);                                                        \
        for (; i < f->nx; i++)                                                                 \
            TILE(p, f, i, 1, NP, FLAG);                                                        \
    }
FAST_TILES(tiles_32, tile32, 1, false)
FAST_TILES(tiles_mins, tile32, 1, true)
FAST_TILES(tiles_big, tile256, 1, false)
FAST_TILES(tiles_pairs, tile256, 1, true)
#if PANELS > 1
FAST_TILES(tiles2_32, tile32, 2, false)
FAST_TILES(tiles2_mins, tile32, 2, true)
FAST_TILES(tiles2_big, tile256, 2, false)
FAST_TILES(tiles2_pairs, tile256, 2, true)
#endif

/* ---- strips ---- */

typedef void unpack_fn(struct sink *k, const struct rows *r, size_t at, int mode);

/* Sets f to the 256 weights from e on. In these functions t, un and mode are constants. */
FOLD void strip_step(struct fast *f, size_t e)
{
    f->e = e;
    f->blocks = f->k - e < 256 ? (int)((f->k - e) / 32) : 8;
    f->first = e == 0;
}

FOLD void panel_fill(struct panel *p, const struct rows *r, const struct fast *f,
                     const struct fast_type *t, unpack_fn *un, int mode)
{
    struct sink k;
    int n = t->big ? 1 : f->blocks;
    size_t first = f->e / (t->big ? 256 : 32);
    k.p = p;
    for (int b = 0; b < n; b++) {
        k.b = b;
        un(&k, r, (first + (size_t)b) * t->bytes, mode);
    }
}

/* What np panels at this stretch ask for of the rows behind them: as much as they read. */
FOLD void strip_ahead(struct fast *f, const struct rows *r, size_t np)
{
    size_t block = f->t->big ? 256 : 32, part = np * VN * f->t->bytes;
    f->ahead = r->next + f->e / block * part;
    f->ahead_bytes = (f->t->big ? 1 : (size_t)f->blocks) * part;
}

/* The functions of one type and layout. */
struct strips {
    void (*fill)(struct panel *p, const struct rows *r, const struct fast *f);
    void (*tiles[PANELS])(const struct panel *const *p, const struct fast *f);
    void (*single)(struct fast *f, const struct rows *r);
};

static __attribute__((noinline)) void strip_one(struct fast *f, const struct rows *r,
                                                const struct strips *s)
{
    struct panel p;
    const struct panel *ps[1] = {&p};
    for (size_t e = 0; e < f->k; e += 256) {
        strip_step(f, e);
        strip_ahead(f, r, 1);
        s->fill(&p, r, f);
        s->tiles[0](ps, f);
    }
}

#if PANELS > 1
/* Two panels do not fit the stack that one function may take: the caller lends the first. */
static __attribute__((noinline)) void strip_lent(struct fast *f, const struct rows *r,
                                                 const struct strips *s, struct panel *lent)
{
    struct panel p;
    const struct panel *ps[2] = {lent, &p};
    for (size_t e = 0; e < f->k; e += 256) {
        strip_step(f, e);
        strip_ahead(f, r, 2);
        s->fill(lent, r, f);
        s->fill(&p, r + 1, f);
        s->tiles[1](ps, f);
    }
}

static __attribute__((noinline)) void strip_two(struct fast *f, const struct rows *r,
                                                const struct strips *s)
{
    struct panel lent;
    strip_lent(f, r, s, &lent);
}
#define STRIP_MANY(f, r, s) ((f)->rows > VN ? strip_two : strip_one)(f, r, s)
#else
#define STRIP_MANY(f, r, s) strip_one(f, r, s)
#endif

/* One row of activations: no panel but for the scales in it. */
FOLD void direct32(struct fast *f, const struct rows *r, const struct fast_type *t,
                   unpack_fn *un, int mode)
{
    _Alignas(64) uint8_t xb[XCOPY ? 32 * QP : 1];
    struct panel p;
    struct sink k;
    vf acc = vf_zero();
    k.p = &p;
    for (size_t e = 0; e < f->k; e += 256) {
        strip_step(f, e);
        fetch(r, e / 32 * t->bytes * VN, (size_t)f->blocks * t->bytes * VN);
        for (int b = 0; b < f->blocks; b++) {
            const uint8_t *x = x_from(f) + (size_t)b * sizeof(block_q8_s);
            struct x_part h = x_part_at(x, t, t->mins);
            if (XCOPY)
                x_put(xb, (const int8_t *)x + 8);
            k.b = b;
            k.x = XCOPY ? xb : x + 8;
            k.s[0] = h.start;
            un(&k, r, (e / 32 + (size_t)b) * t->bytes, mode);
            acc = step32(acc, k.s[0], &p, b, h, t->mins);
        }
    }
    out_put(f, f->out, 0, acc);
}

FOLD void direct256(struct fast *f, const struct rows *r, const struct fast_type *t,
                    unpack_fn *un, int mode)
{
    _Alignas(64) uint8_t xb[XCOPY ? 256 * QP : 1];
    struct panel p;
    struct sink k;
    vf acc = vf_zero();
    const int sums = mode & PAIRS ? 16 : 8;
    k.p = &p;
    k.b = 0;
    for (size_t e = 0; e < f->k; e += 256) {
        strip_step(f, e);
        fetch(r, e / 256 * t->bytes * VN, t->bytes * VN);
        const uint8_t *x = x_from(f);
        for (int b = 0; XCOPY && b < 8; b++)
            x_put(xb + 32 * QP * b, (const int8_t *)x + 4 + 32 * b);
        k.x = XCOPY ? xb : x + 4;
        UNROLL
        for (int i = 0; i < sums; i++)
            k.s[i] = vi_zero();
        un(&k, r, e / 256 * t->bytes, mode);
        vi sum = vi_mul(k.s[0], p.sc[0]);
        UNROLL
        for (int i = 1; i < sums; i++)
            sum = vi_add(sum, vi_mul(k.s[i], p.sc[i]));
        acc = step256(acc, sum, &p, t, x);
    }
    out_put(f, f->out, 0, acc);
}

struct fast_call {
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

/* VN rows from row j on, the last one standing in for those that are not there. */
FOLD void rows_at(struct rows *r, const struct fast_call *c, int j)
{
    for (int v = 0; v < VN; v++)
        r->row[v] = c->w + (size_t)(j + v < c->nw ? j + v : c->nw - 1) * c->ws;
    r->next = (uintptr_t)c->w + (size_t)(j + PANELS * VN) * c->ws;
}

/* Rows of x that fit the last cache pass under all weights: of a row, a panel meets some lines
 * at a time, which are asked for ahead. */
static void fast_run(const struct fast_call *c, const struct fast_type *t,
                     const struct strips *strips)
{
    int most = c->xs ? (int)(4000000 / c->xs) / FR * FR : c->nx;
    if (most < 4 * FR)
        most = 4 * FR;
    for (int i = 0; i < c->nx && !c->k; i++)
        memset(c->out + (size_t)i * c->ldo, 0, (size_t)c->nw * sizeof *c->out);
    int step = c->nx == 1 && strips->single ? VN : PANELS * VN;
    for (int i = 0; i < c->nx && c->k; i += most)
        for (int j = 0; j < c->nw; j += step) {
            struct rows r[PANELS];
            struct fast f = {.ldo = c->ldo, .xs = c->xs, .k = c->k, .t = t};
            f.rows = c->nw - j < step ? c->nw - j : step;
            for (int q = 0; q < PANELS && q * VN < f.rows; q++)
                rows_at(&r[q], c, j + q * VN);
            if (step == VN)
                r->next = (uintptr_t)c->w + (size_t)(j + VN) * c->ws;
            f.nx = c->nx - i < most ? c->nx - i : most;
            f.x = c->x + (size_t)i * c->xs;
            f.out = c->out + (size_t)i * c->ldo + (size_t)j;
            if (c->nx == 1 && strips->single)
                strips->single(&f, r);
            else
                STRIP_MANY(&f, r, strips);
        }
}

#ifdef IQ_SINGLES
#include IQ_SINGLES
#endif

/* ---- the types ---- */

/* What the groups of types have in common, by the name of their tiles. */
#define OF_32 .xbytes = sizeof(block_q8_s)
#define OF_mins .xbytes = sizeof(block_q8_s), .mins = true
#define OF_big .xbytes = sizeof(block_q8_K), .big = true
#define OF_pairs .xbytes = sizeof(block_q8_K), .big = true, .pairs = true
#define SINGLE_32(f, r, t, un, mode) direct32(f, r, t, un, (mode) | DIRECT)
#define SINGLE_mins(f, r, t, un, mode) direct32(f, r, t, un, (mode) | DIRECT)
#define SINGLE_big(f, r, t, un, mode) direct256(f, r, t, un, (mode) | DIRECT)
#define SINGLE_pairs(f, r, t, un, mode) direct256(f, r, t, un, (mode) | DIRECT | PAIRS)
#if PANELS > 1
#define TILES_OF(group)                                                                        \
    {                                                                                          \
        tiles_##group, tiles2_##group                                                          \
    }
#else
#define TILES_OF(group)                                                                        \
    {                                                                                          \
        tiles_##group                                                                          \
    }
#endif

#define FAST_KIND(id, un, block, group, ...)                                                   \
    static const struct fast_type type_##id = {                                                \
        .bytes = sizeof(block), OF_##group, __VA_ARGS__};                                      \
    static __attribute__((noinline)) void fill_##id(struct panel *p, const struct rows *r,     \
                                                    const struct fast *f)                      \
    {                                                                                          \
        panel_fill(p, r, f, &type_##id, un, 0);                                                \
    }
#define FAST_SINGLE(id, un, group)                                                             \
    static __attribute__((noinline)) void single_##id(struct fast *f, const struct rows *r)    \
    {                                                                                          \
        SINGLE_##group(f, r, &type_##id, un, 0);                                               \
    }
#define FAST_SLOT(id, group, one)                                                              \
    static const struct strips strips_##id = {fill_##id, TILES_OF(group), one};                \
    static void fast_##id(float *out, size_t ldo, const void *x, size_t xs, int nx,            \
                          const void *w, size_t ws, int nw, size_t k)                          \
    {                                                                                          \
        struct fast_call c = {out, ldo, x, xs, nx, w, ws, nw, k};                              \
        fast_run(&c, &type_##id, &strips_##id);                                                \
    }
#define FAST_TYPE(id, un, block, group, ...)                                                   \
    FAST_KIND(id, un, block, group, __VA_ARGS__)                                               \
    FAST_SINGLE(id, un, group)                                                                 \
    FAST_SLOT(id, group, single_##id)
/* Of types whose single rows of activations another file multiplies (struct slm_one). */
#define FAST_MANY(id, un, block, group, ...)                                                   \
    FAST_KIND(id, un, block, group, __VA_ARGS__)                                               \
    FAST_SLOT(id, group, NULL)

/* type, unpack, block, group; how much too large the weights are unpacked, minima */
#define FAST_TYPES(X)                                                                          \
    X(Q4_0, un_q4_0, block_q4_0, 32, .off = 8)                                                 \
    X(Q4_1, un_q4_1, block_q4_1, mins, .off = 0)                                               \
    X(Q5_0, un_q5_0, block_q5_0, 32, .off = 16)                                                \
    X(Q5_1, un_q5_1, block_q5_1, mins, .off = 0)                                               \
    X(Q8_0, un_q8_0, block_q8_0, 32, .off = 128)                                               \
    X(IQ4_NL, un_iq4_nl, block_iq4_nl, 32, .off = 128)                                         \
    X(MXFP4, un_mxfp4, block_mxfp4, 32, .off = 128)                                            \
    X(Q2_K, un_q2_k, block_q2_K, pairs, .mins = true)                                          \
    X(Q3_K, un_q3_k, block_q3_K, pairs, .off = 4)                                              \
    X(Q4_K, un_q4_k, block_q4_K, big, .mins = true)                                            \
    X(Q5_K, un_q5_k, block_q5_K, big, .mins = true)                                            \
    X(Q6_K, un_q6_k, block_q6_K, pairs, .off = 32)                                             \
    X(IQ4_XS, un_iq4_xs, block_iq4_xs, big, .off = 128)

#ifdef HAS_ONE
FAST_TYPES(FAST_MANY)
#else
FAST_TYPES(FAST_TYPE)
#endif
FAST_TYPES_IQ(FAST_TYPE)

static void fill_fast(struct slm_kern *k)
{
#define X(id, ...) k->mul_fast[SLM_##id] = fast_##id;
    FAST_TYPES(X)
    FAST_TYPES_IQ(X)
#undef X
}
