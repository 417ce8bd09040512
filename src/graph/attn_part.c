/* Attention computed: the streaming softmax of Milakov and Gimelshein (arXiv 1805.02867) over
 * parts of the positions. Within a part all scores are made, then their exponents, then the sum
 * of values; between parts only three things pass. Keys and values are read where the cache has
 * them and turned to floats in registers; only many queries over quantised keys are worth
 * turning a part once for all, which gives the same bits. */
#include "graph/attn.h"

#include <math.h>
#include <string.h>

#define PART SLM_ATTN_PART
#define TILE SLM_ATTN_TILE
#define MANY 40 /* queries from which on a quantised part is turned to float32 first */

static int min_int(int a, int b) { return a < b ? a : b; }
static int max_int(int a, int b) { return a > b ? a : b; }
static int block_below(int pos) { return pos / SLM_KEYS * SLM_KEYS; }
static int block_above(int pos) { return block_below(pos + SLM_KEYS - 1); }

/* ---- scratch ---- */

size_t slm_attn_scratch(int queries, int width)
{
    size_t q = (size_t)queries, w = (size_t)width;
    return q * (2 * w + 2) + TILE * (w + 2 + PART) + 2 * PART * w;
}

static struct slm_attn_sums place_sums(float **at, size_t queries, size_t width)
{
    struct slm_attn_sums s = {*at, *at + queries * width, *at + queries * (width + 1)};
    *at += queries * (width + 2);
    return s;
}

void slm_attn_place(struct slm_attn_chunk *c, float *scratch, int queries)
{
    size_t q = (size_t)queries, w = (size_t)c->n->i[A_WIDTH];
    c->kt = scratch;
    c->vt = c->kt + PART * w;
    c->score = c->vt + PART * w;
    c->q = c->score + TILE * PART;
    scratch = c->q + q * w;
    c->all = place_sums(&scratch, q, w);
    c->part = place_sums(&scratch, TILE, w);
}

void slm_attn_load(const slm_prog *p, const struct slm_attn_chunk *c)
{
    size_t w = (size_t)c->n->i[A_WIDTH];
    for (int i = 0; i < c->rows * c->heads; i++) {
        const float *q = slm_row(p, c->n->in[A_Q], c->row0 + i / c->heads) +
                         (size_t)(c->head0 + i % c->heads) * w;
        p->kern->scale(c->q + (size_t)i * w, q, c->n->f[A_SCALE], w);
    }
}

void slm_attn_parts(const struct slm_attn_chunk *c, int *from, int *to)
{
    *from = slm_attn_lo(c->n, c->keys.first, c->pos[0]) / PART;
    *to = c->pos[c->rows - 1] / PART + 1;
}

/* ---- one part, one tile ---- */

/* Queries [q0, q0 + n) of a chunk over the positions [a, b) of the part that begins at base;
 * what turned is true of, kt and vt hold. */
struct tile {
    const struct slm_attn_chunk *c;
    int q0, n, base, a, b;
    bool turned;
};

static int row_of(const struct tile *t, int i) { return (t->q0 + i) / t->c->heads; }
static int sees_from(const struct tile *t, int i)
{
    const struct slm_attn_chunk *c = t->c;
    return max_int(t->a, slm_attn_lo(c->n, c->keys.first, c->pos[row_of(t, i)]));
}
static int sees_to(const struct tile *t, int i)
{
    return min_int(t->b, t->c->pos[row_of(t, i)] + 1);
}

/* Scores of whole blocks of keys; those outside of what a query sees are not looked at. */
static void scores(const slm_prog *p, const struct tile *t)
{
    const struct slm_attn_chunk *c = t->c;
    const struct slm_keys *k = &c->keys;
    size_t w = (size_t)c->n->i[A_WIDTH];
    struct slm_scores m = {
        .ldy = PART, .ny = t->n, .q = c->q + (size_t)t->q0 * w, .ldq = w, .width = w};
    int end = block_above(t->b), ring = block_above(min_int(k->slots, INT32_MAX - SLM_KEYS));
    for (int j = block_below(t->a); j < end; j += m.n) {
        m.y = c->score + (j - t->base);
        if (t->turned) {
            m.k = c->kt + (size_t)(j - t->base) * w;
            m.n = end - j;
            p->kern->scores[SLM_F32](&m);
        } else {
            int slot = j % ring;
            m.k = k->k.base + (size_t)slot * k->k.stride;
            m.n = min_int(end - j, ring - slot);
            p->kern->scores[k->type](&m);
        }
    }
}

/* acc of queries [i0, i1) += weight times value for positions [from, to), rising. */
static void add_values(const slm_prog *p, const struct tile *t, struct slm_attn_sums out,
                       const int *range, int i0, int i1)
{
    const struct slm_attn_chunk *c = t->c;
    const struct slm_keys *k = &c->keys;
    size_t w = (size_t)c->n->i[A_WIDTH];
    struct slm_values m = {.y = out.acc + (size_t)i0 * w,
                           .ldy = w,
                           .ny = i1 - i0,
                           .ldp = PART,
                           .stride = k->v.stride,
                           .width = w};
    for (int j = range[0]; j < range[1]; j += m.n) {
        m.p = c->score + (size_t)i0 * PART + (j - t->base);
        m.n = range[1] - j;
        if (!k->cached) {
            m.v = slm_key_row(k, &k->v, j);
            p->kern->values[SLM_F32](&m);
        } else if (t->turned) {
            m.v = c->vt + (size_t)(j - t->base) * w;
            m.stride = w * sizeof(float);
            p->kern->values[SLM_F32](&m);
        } else {
            int slot = j % k->slots;
            m.v = k->v.base + (size_t)slot * k->v.stride;
            m.n = min_int(m.n, k->slots - slot);
            p->kern->values[k->type](&m);
        }
    }
}

/* Positions in [from, to) that all queries see go together, the ragged ends row by row: beyond
 * what a row sees there may be anything. */
static void ragged(const slm_prog *p, const struct tile *t, struct slm_attn_sums out, int from,
                   int to)
{
    for (int i = 0, next; i < t->n && from < to; i = next) {
        next = min_int(t->n, (row_of(t, i) + 1) * t->c->heads - t->q0);
        int range[2] = {max_int(from, sees_from(t, i)), min_int(to, sees_to(t, i))};
        add_values(p, t, out, range, i, next);
    }
}

static void values(const slm_prog *p, const struct tile *t, struct slm_attn_sums out)
{
    int all[2];
    all[0] = min_int(t->b, sees_from(t, t->n - 1));
    all[1] = max_int(all[0], sees_to(t, 0));
    ragged(p, t, out, t->a, all[0]);
    add_values(p, t, out, all, 0, t->n);
    ragged(p, t, out, all[1], t->b);
}

/* A query's scores become weights, exp(score - top). */
static void weigh(const slm_prog *p, const struct tile *t, int i, struct slm_attn_sums out)
{
    int from = sees_from(t, i), to = sees_to(t, i);
    float *s = t->c->score + (size_t)i * PART + (from - t->base), cap = t->c->n->f[A_CAP];
    size_t n = from < to ? (size_t)(to - from) : 0;
    out.top[i] = -INFINITY;
    out.sum[i] = 0;
    if (!n)
        return;
    if (cap > 0)
        p->kern->softcap(s, s, cap, n);
    out.top[i] = p->kern->max(s, n);
    if (out.top[i] == -INFINITY)
        memset(s, 0, n * sizeof *s); /* no weight anywhere */
    else
        out.sum[i] = p->kern->exp_sum(s, out.top[i], n);
}

static void run_tile(const slm_prog *p, struct tile *t, struct slm_attn_sums out)
{
    const struct slm_attn_chunk *c = t->c;
    size_t w = (size_t)c->n->i[A_WIDTH];
    t->a = max_int(t->base, slm_attn_lo(c->n, c->keys.first, c->pos[row_of(t, 0)]));
    t->b = min_int(t->base + PART, c->pos[row_of(t, t->n - 1)] + 1);
    if (t->a < t->b)
        scores(p, t);
    for (int i = 0; i < t->n; i++)
        weigh(p, t, i, out);
    memset(out.acc, 0, (size_t)t->n * w * sizeof *out.acc);
    if (t->a < t->b)
        values(p, t, out);
}

/* ---- a part as float32 ---- */

/* This run's own keys stand in rows: into blocks by turning. */
static void turn_rows(const slm_prog *p, const struct slm_attn_chunk *c, int base, int a, int b)
{
    const struct slm_keys *k = &c->keys;
    size_t w = (size_t)c->n->i[A_WIDTH];
    for (int j = a, next; j < b; j = next) {
        next = min_int(b, block_below(j) + SLM_KEYS);
        p->kern->transpose(c->kt + (size_t)(block_below(j) - base) * w + j % SLM_KEYS, SLM_KEYS,
                           (const float *)(const void *)slm_key_row(k, &k->k, j),
                           k->k.stride / sizeof(float), (size_t)(next - j), w);
    }
}

static void turn_cache(const slm_prog *p, const struct slm_attn_chunk *c, int base, int a,
                       int b)
{
    const struct slm_keys *k = &c->keys;
    size_t w = (size_t)c->n->i[A_WIDTH];
    int ring = block_above(k->slots), end = block_above(b);
    for (int j = block_below(a), n; j < end; j += n) {
        int slot = j % ring;
        n = min_int(end - j, ring - slot);
        p->kern->key_get[k->type](c->kt + (size_t)(j - base) * w,
                                  k->k.base + (size_t)slot * k->k.stride,
                                  (size_t)(n / SLM_KEYS), w);
    }
    for (int j = a; j < b; j++)
        p->kern->to_f32[k->type](c->vt + (size_t)(j - base) * w,
                                 k->v.base + (size_t)(j % k->slots) * k->v.stride, w);
}

static bool turn(const slm_prog *p, const struct slm_attn_chunk *c, int base)
{
    int a = max_int(base, slm_attn_lo(c->n, c->keys.first, c->pos[0]));
    int b = min_int(base + PART, c->pos[c->rows - 1] + 1);
    if (!c->keys.cached)
        turn_rows(p, c, base, a, b);
    else if (slm_dtypes[c->keys.type].block > 1 && c->rows * c->heads >= MANY)
        turn_cache(p, c, base, a, b);
    else
        return false;
    return true;
}

/* ---- parts together ---- */

void slm_attn_part(const slm_prog *p, const struct slm_attn_chunk *c, int part,
                   struct slm_attn_sums out)
{
    struct tile t = {.c = c, .n = c->rows * c->heads, .base = part * PART};
    t.turned = turn(p, c, t.base);
    run_tile(p, &t, out);
}

void slm_attn_join(const slm_prog *p, struct slm_attn_sums all, struct slm_attn_sums part,
                   size_t width)
{
    if (*part.sum == 0)
        return;
    if (*all.sum == 0) {
        memcpy(all.acc, part.acc, width * sizeof *all.acc);
        *all.top = *part.top;
        *all.sum = *part.sum;
        return;
    }
    float top = *part.top > *all.top ? *part.top : *all.top;
    float was = expf(*all.top - top), now = expf(*part.top - top);
    if (was != 1.0f)
        p->kern->scale(all.acc, all.acc, was, width);
    p->kern->axpy[SLM_F32](all.acc, now, part.acc, width);
    *all.top = top;
    *all.sum = *all.sum * was + *part.sum * now;
}

static struct slm_attn_sums sums_at(struct slm_attn_sums s, int i, size_t width)
{
    return (struct slm_attn_sums){s.acc + (size_t)i * width, s.top + i, s.sum + i};
}

void slm_attn_finish(const slm_prog *p, const struct slm_attn_chunk *c, int query,
                     struct slm_attn_sums s)
{
    size_t w = (size_t)c->n->i[A_WIDTH];
    float *out = slm_row(p, c->n->out, c->row0 + query / c->heads) +
                 (size_t)(c->head0 + query % c->heads) * w;
    p->kern->scale(out, s.acc, *s.sum == 0 ? 0.0f : 1.0f / *s.sum, w);
}

void slm_attn_run(const slm_prog *p, const struct slm_attn_chunk *c)
{
    size_t w = (size_t)c->n->i[A_WIDTH];
    int from, to, queries = c->rows * c->heads;
    slm_attn_parts(c, &from, &to);
    for (int part = from; part < to; part++) {
        struct tile t = {.c = c, .base = part * PART};
        t.turned = turn(p, c, t.base);
        for (t.q0 = 0; t.q0 < queries; t.q0 += t.n) {
            t.n = min_int(TILE, queries - t.q0);
            if (part == from) {
                run_tile(p, &t, sums_at(c->all, t.q0, w));
                continue;
            }
            run_tile(p, &t, c->part);
            for (int i = 0; i < t.n; i++)
                slm_attn_join(p, sums_at(c->all, t.q0 + i, w), sums_at(c->part, i, w), w);
        }
    }
    for (int i = 0; i < queries; i++)
        slm_attn_finish(p, c, i, sums_at(c->all, i, w));
}
