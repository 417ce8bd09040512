/* Products of training over the lanes of a vec_*.h. A block of B is brought into panels of NR
 * columns that stay in the second cache; a few rows of A at a time lie in the first one while
 * all panels pass. Both are made of words: a float, or a pair of bfloat16 that are neighbours
 * in k. Whatever way an operand lies in storage, it becomes the same panels, by turning squares
 * of VN words where it has to. A sum begins at zero in each block of KW words of k and is added
 * to C at its end, so its order depends on k alone.
 *
 * The including file brings VN, vf and vi and says
 *   PAIRS     whether words are pairs; pairs_along and pairs_across make them
 *   madd      sum += word of B times word of A
 *   GR, GV    rows and vectors of a tile
 *   slm_to_f32_here   the conversions of its level
 * and, where the tiles are not vectors' (GEMM_OWN_TILES: what the room has for them), KW, NC
 * and MC, and tile_run. */

#define NR (GV * VN) /* columns of a panel */
#ifndef KW
#define KW 256      /* words of k in a block */
#define NC 512      /* columns of a block of B */
#define MC (8 * GR) /* rows of a block of A */
#endif
#define KC (KW * (1 + PAIRS)) /* elements */
#define LDA (KW + 16)        /* words from row to row of A: not a multiple of the first cache */
#define PANEL (KW * NR + 32) /* words from panel to panel of B */
#define ROW (KC > NC ? KC : NC)

struct room {
    _Alignas(64) float b[NC / NR * PANEL];
    _Alignas(64) float a[(MC + VN) * LDA];
    _Alignas(64) float words[VN][ROW];
    _Alignas(64) float values[2][ROW];
    _Alignas(64) float zeros[ROW];
#ifdef GEMM_OWN_TILES
    GEMM_OWN_TILES
#endif
};
_Static_assert(sizeof(struct room) <= SLM_GEMM_SCRATCH, "scratch");

static int least(int a, int b) { return a < b ? a : b; }
static int round_up(int n, int to) { return (n + to - 1) / to * to; }

/* ---- from storage to words ---- */

struct source {
    const struct slm_side *s;
    slm_to_f32_fn *to_f32;
    int rows; /* of storage that count */
    bool round;
};

static const uint8_t *storage_row(const struct slm_side *s, int r)
{
    size_t at = s->index ? (size_t)(s->index[r] / s->fan) : (size_t)r;
    return (const uint8_t *)s->data + at * s->stride;
}

/* n elements of storage row r from e on; whole blocks are converted. */
static const float *values(const struct source *f, float *tmp, int r, int e, int n)
{
    size_t len = (size_t)slm_dtypes[f->s->type].block, skip = (size_t)e % len;
    const uint8_t *p =
        storage_row(f->s, r) + slm_row_bytes(f->s->type, f->s->first + (size_t)e - skip);
    if (f->s->type == SLM_F32)
        return (const float *)(const void *)p;
    f->to_f32(tmp, p, (skip + (size_t)n + len - 1) / len * len);
    return tmp + skip;
}

/* Rows lie in pages of their own, where the CPU sees no stream: those that will be asked for
 * soon are told. */
static void fetch_ahead(const struct source *f, const int at[3])
{
    int r = at[0] + (at[2] <= 128 ? 8 : 2), each = f->s->across ? 1 + PAIRS : 1;
    size_t from = slm_row_bytes(f->s->type, f->s->first + (size_t)at[1]),
           bytes = slm_row_bytes(f->s->type, (size_t)at[2]);
    for (r *= each; each > 0 && r < f->rows; r++, each--) {
        const uint8_t *p = storage_row(f->s, r) + from;
        for (size_t b = 0; b < bytes; b += 64)
            __builtin_prefetch(p + b, 0, 3);
    }
}

#if PAIRS
static const float *words(const struct source *f, struct room *m, float *out, const int at[3])
{
    int r = at[0], e = at[1], n = at[2], count = f->s->across ? n : (n + 1) / 2;
    fetch_ahead(f, at);
    if (f->s->across) {
        const float *even = values(f, m->values[0], 2 * r, e, n), *odd = m->zeros;
        if (2 * r + 1 < f->rows)
            odd = values(f, m->values[1], 2 * r + 1, e, n);
        pairs_across(out, even, odd, n);
    } else if (f->s->type == SLM_BF16) {
        out[n / 2] = 0; /* where n is odd, half of it stays */
        memcpy(out, storage_row(f->s, r) + 2 * (f->s->first + (size_t)e), 2 * (size_t)n);
    } else {
        pairs_along(out, values(f, m->values[0], r, e, n), n);
    }
    memset(out + count, 0, (size_t)(round_up(count, VN) - count) * sizeof *out);
    return out;
}
#else
/* To bfloat16, nearest even; a NaN stays one. */
FOLD vf round_bf16(vf v)
{
    vi u = vi_of_float(v), odd = vi_and(vi_shr(u, 16), vi_set1(1));
    vi r = vi_add(vi_add(u, vi_set1(0x7fff)), odd), quiet = vi_or(u, vi_set1(0x400000));
    return (vf)vi_and(vi_if_nan(v, quiet, r), vi_set1((int)0xffff0000));
}
static void round_all(float *out, const float *in, int n)
{
    int i = 0;
    for (; i + VN <= n; i += VN)
        vf_store(out + i, round_bf16(vf_load(in + i)));
    if (i < n)
        vf_storen(out + i, round_bf16(vf_loadn(in + i, (size_t)(n - i))), (size_t)(n - i));
}

/* Words of row at[0] from element at[1] on, at[2] elements, with zeros up to a whole vector: in
 * out, or where they lie already. Rows of an operand that lies across are words of k. */
static const float *words(const struct source *f, struct room *m, float *out, const int at[3])
{
    int n = at[2];
    fetch_ahead(f, at);
    const float *v = values(f, f->round ? m->values[0] : out, at[0], at[1], n);
    if (f->round)
        round_all(out, v, n);
    else if (n % VN == 0)
        return v;
    else if (v != out)
        memmove(out, v, (size_t)n * sizeof *out);
    memset(out + n, 0, (size_t)(round_up(n, VN) - n) * sizeof *out);
    return out;
}
#endif

/* out[j][v] = row v's word e + j, for a square of VN. */
FOLD void turn(float *out, size_t ldo, const float *const *rows, size_t e)
{
    const uint8_t *p[VN];
    UNROLL
    for (int v = 0; v < VN; v++)
        p[v] = (const uint8_t *)(const void *)rows[v];
    UNROLL
    for (int c = 0; c < VN / 4; c++) {
        vi t[4];
        vi_rows16(p, 4 * e + 16 * (size_t)c, t);
        UNROLL
        for (int j = 0; j < 4; j++)
            vi_store(out + (size_t)(4 * c + j) * ldo, t[j]);
    }
}

/* ---- panels ---- */

struct work {
    const struct slm_gemm *g;
    struct room *m;
    struct source a, b;
    int k0, nk, kw; /* the block of k: first element, elements, words */
    int j0, nj;     /* the block of columns */
    int i0, ni;     /* the block of rows */
};

/* Words of k behind the last one are zeros, up to a vector's worth. */
static void pack_b_across(const struct work *w)
{
    struct room *m = w->m;
    int all = round_up(w->kw, VN), wide = round_up(w->nj, NR);
    for (int p = 0; p < all; p++) {
        const float *from = m->zeros;
        if (p < w->kw) {
            from = words(&w->b, m, m->words[0], (int[]){w->k0 / (1 + PAIRS) + p, w->j0, w->nj});
            if (w->nj % NR) { /* the last panel is filled up */
                memmove(m->words[0], from, (size_t)w->nj * sizeof *from);
                memset(m->words[0] + w->nj, 0, (size_t)(wide - w->nj) * sizeof *from);
                from = m->words[0];
            }
        }
        float *to = m->b + (size_t)p * NR;
        for (int j = 0; j < wide; j += NR, to += PANEL, from += NR)
            UNROLL
        for (int v = 0; v < GV; v++)
            vf_store(to + v * VN, vf_load(from + v * VN));
    }
}

static void pack_b_along(const struct work *w)
{
    struct room *m = w->m;
    for (int j = 0; j < round_up(w->nj, NR); j += VN) {
        const float *rows[VN];
        float *to = m->b + (size_t)(j / NR) * PANEL + (size_t)(j % NR);
        for (int v = 0; v < VN; v++)
            rows[v] = j + v < w->nj
                          ? words(&w->b, m, m->words[v], (int[]){w->j0 + j + v, w->k0, w->nk})
                          : m->zeros;
        for (int p = 0; p < w->kw; p += VN)
            turn(to + (size_t)p * NR, NR, rows, (size_t)p);
    }
}

static void pack_a(const struct work *w)
{
    struct room *m = w->m;
    if (!w->a.s->across) {
        for (int i = 0; i < w->ni; i++) {
            float *to = m->a + (size_t)i * LDA;
            const float *p = words(&w->a, m, to, (int[]){w->i0 + i, w->k0, w->nk});
            if (p != to)
                memcpy(to, p, (size_t)w->kw * sizeof *to);
        }
        return;
    }
    for (int p = 0; p < w->kw; p += VN) {
        const float *rows[VN];
        for (int v = 0; v < VN; v++)
            rows[v] = p + v < w->kw ? words(&w->a, m, m->words[v],
                                            (int[]){w->k0 / (1 + PAIRS) + p + v, w->i0, w->ni})
                                    : m->zeros;
        for (int i = 0; i < w->ni; i += VN)
            turn(m->a + (size_t)i * LDA + (size_t)p, LDA, rows, (size_t)i);
    }
}

/* ---- tiles ---- */

struct tile {
    const float *a, *b;
    int kw, rows, cols; /* rows and columns to be written */
    bool add;
    float scale;
    size_t ldc; /* floats from row to row of C; 0: rows lie anywhere */
    float *c[GR];
};

#ifdef GEMM_OWN_TILES
static void tile_run(const struct tile *t, struct room *m);
static int height(int m) { return m < GR ? m : GR; }
#else
FOLD void tile_of(const struct tile *t, int rows, int vecs)
{
    vf acc[GR][GV];
    const float *a = t->a, *b = t->b;
    UNROLL
    for (int i = 0; i < rows; i++)
        UNROLL
    for (int v = 0; v < vecs; v++)
        acc[i][v] = vf_zero();
    for (int p = t->kw; p > 0; p--, a++, b += NR) {
        vf w[GV];
        UNROLL
        for (int v = 0; v < vecs; v++)
            w[v] = vf_load(b + v * VN);
        UNROLL
        for (int i = 0; i < rows; i++) {
            vf x = vf_set1(a[i * LDA]);
            UNROLL
            for (int v = 0; v < vecs; v++)
                acc[i][v] = madd(w[v], x, acc[i][v]);
        }
    }
    vf scale = vf_set1(t->scale);
    UNROLL
    for (int i = 0; i < rows; i++) {
        if (i >= t->rows)
            break;
        UNROLL
        for (int v = 0; v < vecs; v++) {
            int n = t->cols - v * VN;
            float *c = t->c[i] + v * VN;
            if (n >= VN)
                vf_store(c, t->add ? vf_fma(acc[i][v], scale, vf_load(c))
                                   : vf_mul(acc[i][v], scale));
            else if (n > 0)
                vf_storen(c,
                          t->add ? vf_fma(acc[i][v], scale, vf_loadn(c, (size_t)n))
                                 : vf_mul(acc[i][v], scale),
                          (size_t)n);
        }
    }
}

/* One function for each even number of rows, with half of the vectors and with all. */
#define TILE(rows)                                                                             \
    static __attribute__((noinline)) void tile_##rows##_half(const struct tile *t)             \
    {                                                                                          \
        tile_of(t, rows, GV / 2);                                                              \
    }                                                                                          \
    static __attribute__((noinline)) void tile_##rows##_full(const struct tile *t)             \
    {                                                                                          \
        tile_of(t, rows, GV);                                                                  \
    }
TILE(2)
TILE(4)
TILE(6)
#if GR > 6
TILE(8)
TILE(10)
TILE(12)
TILE(14)
#endif

static void tile_run(const struct tile *t, struct room *m)
{
    static void (*const run[][2])(const struct tile *) = {
        {tile_2_half, tile_2_full},
        {tile_4_half, tile_4_full},
        {tile_6_half, tile_6_full},
#if GR > 6
        {tile_8_half, tile_8_full},
        {tile_10_half, tile_10_full},
        {tile_12_half, tile_12_full},
        {tile_14_half, tile_14_full},
#endif
    };
    (void)m;
    run[(t->rows + 1) / 2 - 1][t->cols > NR / 2](t);
}

/* Tiles of as equal height as can be: no last one of two rows. */
static int height(int m)
{
    int tiles = (m + GR - 1) / GR;
    return tiles ? round_up((m + tiles - 1) / tiles, 2) : GR;
}
#endif

/* Rows i to i + rows of the block of A with all panels. */
static void row_of_tiles(const struct work *w, int i, int rows)
{
    const struct slm_gemm *g = w->g;
    struct tile t = {.a = w->m->a + (size_t)i * LDA,
                     .b = w->m->b,
                     .kw = w->kw,
                     .rows = rows,
                     .add = g->add || w->k0 > 0,
                     .scale = g->scale == 0 ? 1 : g->scale,
                     .ldc = g->c_index ? 0 : g->ldc};
    for (int r = 0; r < rows; r++) {
        int to = w->i0 + i + r;
        t.c[r] = g->c + (size_t)(g->c_index ? g->c_index[to] : to) * g->ldc + w->j0;
    }
    for (int j = 0; j < w->nj; j += NR, t.b += PANEL) {
        t.cols = least(w->nj - j, NR);
        for (int r = 0; r < rows; r++) /* the next tile's lines of C come meanwhile */
            for (int e = NR; e < least(2 * NR, w->nj - j); e += 16)
                __builtin_prefetch(t.c[r] + e, 1, 3);
        tile_run(&t, w->m);
        for (int r = 0; r < rows; r++)
            t.c[r] += NR;
    }
}

static void block_of_k(struct work *w)
{
    int high = height(w->g->m);
    if (w->b.s->across)
        pack_b_across(w);
    else
        pack_b_along(w);
    for (w->i0 = 0; w->i0 < w->g->m; w->i0 += w->ni) {
        w->ni = least(w->g->m - w->i0, MC / high * high);
        pack_a(w);
        for (int i = 0; i < w->ni; i += high)
            row_of_tiles(w, i, least(w->ni - i, high));
    }
}

static void gemm(const struct slm_gemm *g, bool round)
{
    struct work w = {
        .g = g,
        .m = g->scratch,
        .a = {&g->a, slm_to_f32_here(g->a.type), g->a.across ? g->k : g->m, round},
        .b = {&g->b, slm_to_f32_here(g->b.type), g->b.across ? g->k : g->n, round}};
    int blocks = (g->n + NC - 1) / NC, wide = blocks ? (g->n + blocks - 1) / blocks : NC;
    wide = round_up(wide, g->b.across && slm_dtypes[g->b.type].block > NR ? 256 : NR);
    memset(w.m->zeros, 0, sizeof w.m->zeros);
    for (w.j0 = 0; w.j0 < g->n; w.j0 += wide) {
        w.nj = least(g->n - w.j0, wide);
        w.k0 = 0;
        do { /* once where k is 0, too */
            w.nk = least(g->k - w.k0, KC);
            w.kw = (w.nk + PAIRS) / (1 + PAIRS);
            block_of_k(&w);
            w.k0 += KC;
        } while (w.k0 < g->k);
    }
}
