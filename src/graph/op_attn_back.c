/* The backward half of attention. With p = softmax(s) and g_j = dy . v_j:
 *   dv_j += p_j dy,   ds_j = p_j (g_j - sum p g),   dq += c ds_j k_j,   dk_j += c ds_j q
 * where s = q . k_j c, and a soft cap puts its own slope between. Scores are made again rather
 * than kept, for a tile of queries over all the keys that one of them sees, so that all sums
 * are products of matrices. One thread owns a kv head of a stream, as several rows add to the
 * same keys. */
#include "graph/attn.h"
#include "graph/product.h"

#include <string.h>

#define QUERIES 56 /* rows x heads that go together: whole tiles of the usual kernels */

/* A stretch of rows of one stream, and the heads that share one kv head. */
struct back {
    const struct node *n;
    struct slm_keys keys;
    int first_row; /* of the stream: its position is keys.first */
    int kv_head, heads;
    int row0, rows;
    int tile_keys; /* that one of the rows sees */
    /* scratch: (queries, most) three times, (queries, C) three times */
    float *score, *prob, *g, *q, *dy, *dq;
    int ith;
    size_t most;
};

static int tile_rows(int heads) { return heads > QUERIES ? 1 : QUERIES / heads; }

size_t slm_attn_back_scratch(const struct slm_attn *a, int max_rows)
{
    int heads = a->heads / a->kv_heads;
    size_t queries = (size_t)(tile_rows(heads) * heads);
    return SLM_GEMM_SCRATCH +
           queries * (3 * (size_t)max_rows + 3 * (size_t)a->width) * sizeof(float);
}

/* One row's scores (m of them, at s) become probabilities and the gradients of the products q .
 * k, in g, which held dy . v. */
static void score_back(slm_prog *p, const struct back *b, float *s, float *prob, float *g,
                       size_t m)
{
    float cap = b->n->f[A_CAP];
    if (cap > 0)
        p->kern->softcap(s, s, cap, m);
    memcpy(prob, s, m * sizeof *s);
    p->kern->softmax(prob, m);
    float mean = p->kern->dot(prob, g, m);
    p->kern->softmax_back(g, prob, mean, m);
    for (size_t j = 0; j < m && cap > 0; j++) {
        float t = s[j] / cap;
        g[j] *= 1.0f - t * t;
    }
}

/* Queries (scaled) and output gradients of the tile, side by side. */
static void load(slm_prog *p, const struct back *b)
{
    size_t w = (size_t)b->n->i[A_WIDTH], wide = (size_t)b->heads * w,
           col = (size_t)b->kv_head * wide;
    for (int r = 0; r < b->rows; r++) {
        p->kern->scale(b->q + r * wide, slm_row(p, b->n->in[A_Q], b->row0 + r) + col,
                       b->n->f[A_SCALE], wide);
        memcpy(b->dy + r * wide, slm_grad_row(p, b->n->out, b->row0 + r) + col,
               wide * sizeof(float));
    }
}

/* `to`, m rows of C columns, += x' y over the tile's queries: x (queries, m) at scores' pitch,
 * y (queries, C). */
static void add_keys(slm_prog *p, const struct back *b, struct slm_gemm to, const float *x,
                     const float *y)
{
    int width = b->n->i[A_WIDTH];
    struct slm_gemm g = {.c = to.c,
                         .ldc = to.ldc,
                         .add = true,
                         .m = to.m,
                         .n = width,
                         .k = b->rows * b->heads,
                         .a = slm_side_across(slm_side_floats(x, b->most)),
                         .b = slm_side_across(slm_side_floats(y, (size_t)width))};
    slm_gemm_own(p, &g, b->ith);
}

/* Sums over the keys [lo, lo + m): into dq by g, dk by g, dv by prob. */
static void add_up(slm_prog *p, const struct back *b, int lo, int m)
{
    const struct node *n = b->n;
    int key0 = b->first_row + lo - b->keys.first;
    size_t w = (size_t)n->i[A_WIDTH], at = (size_t)b->kv_head * w;
    struct slm_gemm dk = {
        .c = slm_grad_row(p, n->in[A_K], key0) + at, .ldc = slm_ld(p, n->in[A_K]), .m = m};
    struct slm_gemm dv = {
        .c = slm_grad_row(p, n->in[A_V], key0) + at, .ldc = slm_ld(p, n->in[A_V]), .m = m};
    add_keys(p, b, dk, b->g, b->q);
    add_keys(p, b, dv, b->prob, b->dy);
    struct slm_gemm dq = {.c = b->dq,
                          .ldc = w,
                          .m = b->rows * b->heads,
                          .n = (int)w,
                          .k = m,
                          .a = slm_side_floats(b->g, b->most),
                          .b = slm_side_across(slm_side_floats(
                              slm_row(p, n->in[A_K], key0) + at, slm_ld(p, n->in[A_K])))};
    slm_gemm_own(p, &dq, b->ith);
    for (int r = 0; r < b->rows; r++) {
        float *to = slm_grad_row(p, n->in[A_Q], b->row0 + r) + at * b->heads;
        p->kern->axpy[SLM_F32](to, n->f[A_SCALE], b->dq + (size_t)(r * b->heads) * w,
                               (size_t)b->heads * w);
    }
}

/* out (queries, m) = x (queries, C) times the rows of keys or values from lo on. */
static void times_rows(slm_prog *p, const struct back *b, float *out, const float *x,
                       const struct slm_kv_side *side, int lo)
{
    int m = b->tile_keys;
    struct slm_gemm g = {.c = out,
                         .ldc = b->most,
                         .m = b->rows * b->heads,
                         .n = m,
                         .k = b->n->i[A_WIDTH],
                         .a = slm_side_floats(x, (size_t)b->n->i[A_WIDTH]),
                         .b = {.data = slm_key_row(&b->keys, side, lo),
                               .type = SLM_F32,
                               .stride = side->stride,
                               .fan = 1}};
    slm_gemm_own(p, &g, b->ith);
}

static void tile_back(slm_prog *p, struct back *b, const int32_t *pos)
{
    int lo = slm_attn_lo(b->n, b->keys.first, pos[0]), m = pos[b->rows - 1] + 1 - lo;
    load(p, b);
    b->tile_keys = m;
    times_rows(p, b, b->score, b->q, &b->keys.k, lo);
    times_rows(p, b, b->g, b->dy, &b->keys.v, lo);
    for (int i = 0; i < b->rows * b->heads; i++) {
        int at = pos[i / b->heads], from = slm_attn_lo(b->n, b->keys.first, at) - lo,
            to = at + 1 - lo;
        float *prob = b->prob + (size_t)i * b->most, *g = b->g + (size_t)i * b->most;
        score_back(p, b, b->score + (size_t)i * b->most + from, prob + from, g + from,
                   (size_t)(to - from));
        memset(prob, 0, (size_t)from * sizeof *prob); /* keys of other rows of the tile */
        memset(g, 0, (size_t)from * sizeof *g);
        memset(prob + to, 0, (size_t)(m - to) * sizeof *prob);
        memset(g + to, 0, (size_t)(m - to) * sizeof *g);
    }
    add_up(p, b, lo, m);
}

void slm_op_attn_bwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                     int nth)
{
    struct back b = {
        .n = n, .heads = n->i[A_HEADS] / n->i[A_KV_HEADS], .most = (size_t)p->o.max_rows};
    atomic_int *ticket = &p->node[n - p->node].back[0];
    int most = tile_rows(b.heads);
    size_t queries = (size_t)(most * b.heads);
    (void)nth;
    b.ith = ith;
    b.score = (float *)slm_scratch_of(p, ith) + SLM_GEMM_SCRATCH / sizeof(float);
    b.prob = b.score + queries * b.most;
    b.g = b.prob + queries * b.most;
    b.q = b.g + queries * b.most;
    b.dy = b.q + queries * (size_t)n->i[A_WIDTH];
    b.dq = b.dy + queries * (size_t)n->i[A_WIDTH];
    for (;;) {
        int i = atomic_fetch_add_explicit(ticket, 1, memory_order_relaxed),
            s = i / n->i[A_KV_HEADS];
        if (s >= p->n_segments)
            return;
        b.kv_head = i % n->i[A_KV_HEADS];
        b.first_row = p->segment[s];
        b.keys = slm_keys_of(p, n, run, b.first_row, b.kv_head);
        for (b.row0 = b.first_row; b.row0 < p->segment[s + 1]; b.row0 += most) {
            b.rows = p->segment[s + 1] - b.row0 < most ? p->segment[s + 1] - b.row0 : most;
            tile_back(p, &b, run->pos + b.row0);
        }
    }
}
