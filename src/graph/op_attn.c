/* attention: each row looks back on its stream's keys, from the cache or of this run. Keys are
 * taken in steps cut at fixed positions, and the steps' sums joined by their logarithms (the
 * streaming softmax of Milakov and Gimelshein, arXiv 1805.02867), so a row's bits do not depend
 * on what other rows a run has, and scratch does not grow with the context. Heads that share
 * keys, and neighbouring rows, go over them together. */
#include "graph/attn.h"

#include <math.h>
#include <string.h>

#define STEP 128  /* positions a step */
#define HALF 64   /* values added up together: they stay in the first cache */
#define TILE 48   /* rows x heads that go over a step together */
#define CHUNK 240 /* rows x heads that share a step's converted keys and values */

static slm_val emit_store(slm_prog *p, slm_val k, slm_val v, const struct slm_attn *a)
{
    struct node *n = slm_node_new(p, OP_kv_store, -1, k, v);
    if (!n)
        return -1;
    n->i[A_LAYER] = a->layer;
    return 0;
}

static int rows_within(int queries, int group) { return group > queries ? 1 : queries / group; }

static size_t thread_bytes(const struct slm_attn *a)
{
    int group = a->heads / a->kv_heads;
    size_t most = (size_t)(rows_within(CHUNK, group) * group), w = (size_t)a->width;
    size_t tile = (size_t)(group > TILE ? group : TILE);
    return (most * (2 * w + 1) + tile * STEP + 2 * STEP * w) * sizeof(float);
}

slm_val slm_emit_attention(slm_prog *p, slm_val q, slm_val k, slm_val v,
                           const struct slm_attn *a)
{
    if (!slm_emit_ok(p, q, k) || k < 0 || v < 0 || !slm_emit_plain(p, q, "attention"))
        return -1;
    int64_t kw = (int64_t)a->kv_heads * a->width;
    if (a->heads < 1 || a->kv_heads < 1 || a->width < 1 || a->heads % a->kv_heads ||
        p->value[q].width != (int64_t)a->heads * a->width || p->value[k].width != kw ||
        p->value[v].width != kw)
        return slm_emit_fail(
            p, SLM_E_FORMAT,
            "attention of %d heads over %d, %d wide, in values %d, %d, %d wide", a->heads,
            a->kv_heads, a->width, p->value[q].width, p->value[k].width, p->value[v].width);
    if (p->o.cache && emit_store(p, k, v, a) < 0)
        return -1;
    slm_val out = slm_value_new(p, q, p->value[q].width, SLM_F32);
    struct node *n = slm_node_new(p, OP_attention, out, q, p->o.cache ? -1 : k);
    if (!n)
        return -1;
    if (!p->o.cache)
        slm_node_input(p, n, A_V, v);
    n->i[A_HEADS] = a->heads;
    n->i[A_KV_HEADS] = a->kv_heads;
    n->i[A_WIDTH] = a->width;
    n->i[A_WINDOW] = a->window;
    n->i[A_LAYER] = a->layer;
    n->f[A_SCALE] = a->scale;
    n->f[A_CAP] = a->cap;
    n->shared = true; /* reads what kv_store wrote */
    slm_emit_scratch(p, 0, thread_bytes(a));
    if (p->o.train)
        slm_emit_scratch(p, 0, slm_attn_back_scratch(a, p->o.max_rows));
    return out;
}

/* ---- the cache ---- */

static struct slm_kv *cache_of(const struct slm_run *run, int row)
{
    return run->kv[run->stream ? run->stream[row] : 0];
}

void slm_op_store_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                      int nth)
{
    size_t lo, hi;
    slm_split((size_t)run->rows * 2, 1, ith, nth, &lo, &hi);
    for (size_t i = lo; i < hi; i++) {
        int r = (int)(i / 2), side = (int)(i % 2);
        const struct slm_kv *kv = cache_of(run, r);
        const struct slm_kv_layer *y = &kv->layer[n->i[A_LAYER]];
        uint8_t *to = (side ? y->v : y->k) + (size_t)(run->pos[r] % y->slots) * y->stride;
        p->kern->from_f32[kv->type](to, slm_row(p, n->in[side], r),
                                    (size_t)y->heads * (size_t)y->width);
    }
}

struct slm_keys slm_keys_of(const slm_prog *p, const struct node *n, const struct slm_run *run,
                            int row0, int kv_head)
{
    struct slm_keys s;
    size_t skip = (size_t)kv_head * (size_t)n->i[A_WIDTH];
    if (p->o.cache) {
        const struct slm_kv *kv = cache_of(run, row0);
        const struct slm_kv_layer *y = &kv->layer[n->i[A_LAYER]];
        skip = slm_row_bytes(kv->type, skip);
        s = (struct slm_keys){
            {y->k + skip, y->stride}, {y->v + skip, y->stride}, 0, y->slots, kv->type};
        return s;
    }
    s.k.base = (const uint8_t *)(slm_row(p, n->in[A_K], row0) + skip);
    s.k.stride = p->value[n->in[A_K]].row_bytes;
    s.v.base = (const uint8_t *)(slm_row(p, n->in[A_V], row0) + skip);
    s.v.stride = p->value[n->in[A_V]].row_bytes;
    s.first = run->pos[row0];
    s.slots = INT32_MAX;
    s.type = SLM_F32;
    return s;
}

/* ---- forward ---- */

/* Rows [row0, row0 + rows) of one stream times heads [head0, head0 + heads) of one kv head: a
 * chunk, or a tile of it. Query i is row i / heads, head i % heads. */
struct tile {
    const struct node *n;
    const struct slm_run *run;
    struct slm_keys keys;
    const int32_t *pos; /* of row0 */
    int row0, rows, head0, heads;
    float *q, *acc, *lse;  /* scratch: (queries, C), (queries, C), (queries) */
    float *kt, *v, *score; /* scratch: (C, STEP), (STEP, C), (queries, STEP) */
};

static int min_int(int a, int b) { return a < b ? a : b; }
static int max_int(int a, int b) { return a > b ? a : b; }

static void load_queries(const slm_prog *p, const struct tile *t)
{
    size_t w = (size_t)t->n->i[A_WIDTH];
    for (int i = 0; i < t->rows * t->heads; i++) {
        const float *q = slm_row(p, t->n->in[A_Q], t->row0 + i / t->heads) +
                         (size_t)(t->head0 + i % t->heads) * w;
        p->kern->scale(t->q + i * w, q, t->n->f[A_SCALE], w);
        t->lse[i] = -INFINITY;
    }
    memset(t->acc, 0, (size_t)(t->rows * t->heads) * w * sizeof(float));
}

/* Asks for one head's rows ahead of their use: they lie a slot apart, which no hardware
 * foresees. */
static void fetch(const struct slm_keys *k, const struct slm_side *s, int lo, int hi,
                  size_t width)
{
    size_t bytes = slm_row_bytes(k->type, width);
    for (int pos = lo; pos < hi; pos++)
        for (size_t b = 0; b < bytes; b += 64)
            __builtin_prefetch(slm_key_row(k, s, pos) + b);
}

/* Keys of [lo, hi) as columns (by way of v), then values as rows. */
static void load_step(const slm_prog *p, const struct tile *t, int lo, int hi)
{
    const struct slm_keys *k = &t->keys;
    size_t w = (size_t)t->n->i[A_WIDTH], n = (size_t)(hi - lo);
    fetch(k, &k->v, lo, hi, w);
    for (size_t j = 0; j < n; j++)
        p->kern->to_f32[k->type](t->v + j * w, slm_key_row(k, &k->k, lo + (int)j), w);
    p->kern->transpose(t->kt, STEP, t->v, w, n, w);
    fetch(k, &k->k, hi, min_int(hi + STEP, t->pos[t->rows - 1] + 1), w);
    for (size_t j = 0; j < n; j++)
        p->kern->to_f32[k->type](t->v + j * w, slm_key_row(k, &k->v, lo + (int)j), w);
}

/* score[i][pos - lo] = q_i . key at pos, for pos in [a, b). */
static void step_scores(const slm_prog *p, const struct tile *t, int lo, int a, int b)
{
    size_t w = (size_t)t->n->i[A_WIDTH], queries = (size_t)(t->rows * t->heads);
    struct slm_rows m = {.y = t->score + (a - lo),
                         .ldy = STEP,
                         .ny = (int)queries,
                         .a = t->q,
                         .ai = w,
                         .aj = 1,
                         .w = t->kt + (a - lo),
                         .ldw = STEP,
                         .nw = (int)w,
                         .k = (size_t)(b - a)};
    memset(t->score, 0, queries * STEP * sizeof(float));
    p->kern->add_rows(&m);
}

/* Turns a row's scores of this step into weights, beside what earlier steps gave: acc and the
 * new weights are scaled so that both are shares of the sum so far. */
static void step_weights(const slm_prog *p, const struct tile *t, int i, float *s, size_t n)
{
    if (t->n->f[A_CAP] > 0)
        p->kern->softcap(s, s, t->n->f[A_CAP], n);
    float now = p->kern->softmax(s, n), was = t->lse[i];
    t->lse[i] = now;
    if (was == -INFINITY)
        return;
    float top = now > was ? now : was, low = now > was ? was : now;
    float sum = top + log1pf(expf(low - top));
    size_t w = (size_t)t->n->i[A_WIDTH];
    p->kern->scale(t->acc + (size_t)i * w, t->acc + (size_t)i * w, expf(was - sum), w);
    p->kern->scale(s, s, expf(now - sum), n);
    t->lse[i] = sum;
}

/* acc of rows [r0, r1) += weight times value for positions [from, to), rising. */
struct span {
    int from, to, r0, r1;
};

static void add_values(const slm_prog *p, const struct tile *t, int lo, struct span s)
{
    size_t w = (size_t)t->n->i[A_WIDTH], i0 = (size_t)(s.r0 * t->heads);
    struct slm_rows m = {.y = t->acc + i0 * w,
                         .ldy = w,
                         .ny = (s.r1 - s.r0) * t->heads,
                         .a = t->score + i0 * STEP + (s.from - lo),
                         .ai = STEP,
                         .aj = 1,
                         .w = t->v + (size_t)(s.from - lo) * w,
                         .ldw = w,
                         .nw = s.to - s.from,
                         .k = w};
    if (s.from < s.to)
        p->kern->add_rows(&m);
}

/* Of positions [from, to), each row by itself those that it sees. */
static void add_ragged(const slm_prog *p, const struct tile *t, int lo, int from, int to)
{
    for (int r = 0; r < t->rows && from < to; r++) {
        int a = max_int(from, slm_attn_lo(t->n, t->keys.first, t->pos[r]));
        add_values(p, t, lo, (struct span){a, min_int(to, t->pos[r] + 1), r, r + 1});
    }
}

/* Values in [a, b): those that all rows see go together, the ragged ends row by row. */
static void step_values(const slm_prog *p, const struct tile *t, int lo, int a, int b)
{
    int all0 = max_int(a, min_int(b, slm_attn_lo(t->n, t->keys.first, t->pos[t->rows - 1])));
    int all1 = max_int(all0, min_int(b, t->pos[0] + 1));
    add_ragged(p, t, lo, a, all0);
    for (int j = all0; j < all1; j += HALF)
        add_values(p, t, lo, (struct span){j, min_int(j + HALF, all1), 0, t->rows});
    add_ragged(p, t, lo, all1, b);
}

/* One tile over one step's keys [lo, hi). */
static void run_tile(const slm_prog *p, const struct tile *t, int lo, int hi)
{
    int first = t->keys.first, b = min_int(hi, t->pos[t->rows - 1] + 1);
    int a = max_int(lo, slm_attn_lo(t->n, first, t->pos[0]));
    if (a >= b)
        return;
    step_scores(p, t, lo, a, b);
    for (int i = 0; i < t->rows * t->heads; i++) {
        int pos = t->pos[i / t->heads], from = max_int(a, slm_attn_lo(t->n, first, pos));
        int to = min_int(pos + 1, b);
        if (from < to)
            step_weights(p, t, i, t->score + i * STEP + (from - lo), (size_t)(to - from));
    }
    step_values(p, t, lo, a, b);
}

static void run_chunk(const slm_prog *p, const struct tile *c)
{
    size_t w = (size_t)c->n->i[A_WIDTH];
    int most = rows_within(TILE, c->heads), last = c->pos[c->rows - 1];
    load_queries(p, c);
    for (int lo = slm_attn_lo(c->n, c->keys.first, c->pos[0]), hi; lo <= last; lo = hi) {
        hi = min_int((lo / STEP + 1) * STEP, last + 1);
        load_step(p, c, lo, hi);
        for (int r = 0; r < c->rows; r += most) {
            struct tile t = *c;
            t.row0 += r;
            t.pos += r;
            t.rows = min_int(most, c->rows - r);
            t.q += (size_t)(r * c->heads) * w;
            t.acc += (size_t)(r * c->heads) * w;
            t.lse += r * c->heads;
            run_tile(p, &t, lo, hi);
        }
    }
    for (int i = 0; i < c->rows * c->heads; i++)
        memcpy(slm_row(p, c->n->out, c->row0 + i / c->heads) +
                   (size_t)(c->head0 + i % c->heads) * w,
               c->acc + (size_t)i * w, w * sizeof(float));
}

/* How a run's work is cut: blocks of at most `rows` rows of a stream, times kv heads, times
 * parts of a group where threads would else be idle. */
struct cut {
    int rows, blocks, parts, per;
};

static struct cut cut_of(const slm_prog *p, const struct node *n, const struct slm_run *run,
                         int nth)
{
    int group = n->i[A_HEADS] / n->i[A_KV_HEADS];
    struct cut c = {.rows = rows_within(CHUNK, group), .parts = 1};
    int fair =
        run->rows * n->i[A_KV_HEADS] / (4 * nth); /* four pieces a thread, if rows allow */
    c.rows = max_int(1, min_int(c.rows, max_int(fair, rows_within(TILE, group))));
    for (int s = 0; s < p->n_segments; s++)
        c.blocks += (p->segment[s + 1] - p->segment[s] + c.rows - 1) / c.rows;
    while (c.parts < group && c.blocks * n->i[A_KV_HEADS] * c.parts < nth)
        c.parts++;
    c.per = (group + c.parts - 1) / c.parts;
    return c;
}

static void place_scratch(const slm_prog *p, struct tile *t, int ith)
{
    int group = t->n->i[A_HEADS] / t->n->i[A_KV_HEADS];
    size_t most = (size_t)(rows_within(CHUNK, group) * group), w = (size_t)t->n->i[A_WIDTH];
    t->q = slm_scratch_of(p, ith);
    t->acc = t->q + most * w;
    t->kt = t->acc + most * w;
    t->v = t->kt + STEP * w;
    t->lse = t->v + STEP * w;
    t->score = t->lse + most;
}

/* Work is handed out piece by piece, the ones with the most keys first: which thread takes one
 * changes no bit of it. */
void slm_op_attn_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                     int nth)
{
    struct cut c = cut_of(p, n, run, nth);
    int group = n->i[A_HEADS] / n->i[A_KV_HEADS], each = n->i[A_KV_HEADS] * c.parts;
    struct tile t = {.n = n, .run = run};
    atomic_int *ticket = &p->node[n - p->node].ticket;
    place_scratch(p, &t, ith);
    for (;;) {
        int i = atomic_fetch_add_explicit(ticket, 1, memory_order_relaxed);
        if (i >= c.blocks * each)
            return;
        int block = c.blocks - 1 - i / each, kv_head = i % each / c.parts, s = 0;
        for (;; s++) {
            int here = (p->segment[s + 1] - p->segment[s] + c.rows - 1) / c.rows;
            if (block < here)
                break;
            block -= here;
        }
        int skip = i % c.parts * c.per;
        t.row0 = p->segment[s] + block * c.rows;
        t.rows = min_int(p->segment[s + 1] - t.row0, c.rows);
        t.pos = run->pos + t.row0;
        t.head0 = kv_head * group + skip;
        t.heads = min_int(group - skip, c.per);
        t.keys = slm_keys_of(p, n, run, p->segment[s], kv_head);
        if (t.heads > 0)
            run_chunk(p, &t);
    }
}
