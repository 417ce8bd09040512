/* attention: each row looks back on its stream's keys, from the cache or of this run. Keys are
 * taken in steps cut at fixed positions, and the steps' sums joined by their logarithms (the
 * streaming softmax of Milakov and Gimelshein, arXiv 1805.02867), so a row's bits do not depend
 * on what other rows a run has, and scratch does not grow with the context. Heads that share
 * keys, and neighbouring rows, go over them together. */
#include "graph/attn.h"

#include <math.h>
#include <string.h>

#define STEP 128 /* positions a step */
#define TILE 48  /* rows x heads that go together */
#define DEQ 32   /* values dequantised together */

static slm_val emit_store(slm_prog *p, slm_val k, slm_val v, const struct slm_attn *a)
{
    struct node *n = slm_node_new(p, OP_kv_store, -1, k, v);
    if (!n)
        return -1;
    n->i[A_LAYER] = a->layer;
    return 0;
}

static int tile_queries(int group) { return group > TILE ? group : TILE / group * group; }

static size_t thread_bytes(const struct slm_attn *a)
{
    size_t q = (size_t)tile_queries(a->heads / a->kv_heads), w = (size_t)a->width;
    return (q * (2 * w + STEP + 1) + DEQ * w) * sizeof(float);
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

/* Rows [row0, row0 + rows) of one stream times heads [head0, head0 + heads) of one kv head. */
struct tile {
    const struct node *n;
    const struct slm_run *run;
    struct slm_keys keys;
    int row0, rows, head0, heads;
    float *q, *acc, *score, *lse,
        *deq; /* scratch: (queries, C) twice, (queries, STEP), (queries), (DEQ, C) */
};

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

/* score[i][pos - lo] = q_i . key at pos, for pos in [lo, hi): a ring may cut them in two. */
static void step_scores(const slm_prog *p, const struct tile *t, int lo, int hi)
{
    const struct slm_keys *k = &t->keys;
    size_t w = (size_t)t->n->i[A_WIDTH];
    for (int pos = lo; pos < hi;) {
        int left = k->slots - (pos - k->first) % k->slots,
            m = hi - pos < left ? hi - pos : left;
        p->kern->mul_exact[k->type](t->score + (pos - lo), STEP, t->q, w * sizeof(float),
                                    t->rows * t->heads, slm_key_row(k, &k->k, pos), k->k.stride,
                                    m, w);
        pos += m;
    }
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

/* Values in t->deq from position `first` on, with weights in t->score from position `lo` on. */
struct span {
    int lo, first, from, to;
};

/* acc of rows [r0, r1) += weight times value for positions [from, to), rising. */
static void add_values(const slm_prog *p, const struct tile *t, const struct span *s, int r0,
                       int r1)
{
    size_t w = (size_t)t->n->i[A_WIDTH], i0 = (size_t)(r0 * t->heads);
    struct slm_rows m = {
        .y = t->acc + i0 * w,
        .ldy = w,
        .ny = (r1 - r0) * t->heads,
        .a = t->score + i0 * STEP + (s->from - s->lo),
        .ai = STEP,
        .aj = 1,
        .w = t->deq + (size_t)(s->from - s->first) * w,
        .ldw = w,
        .nw = s->to - s->from,
        .k = w,
    };
    if (s->from < s->to)
        p->kern->add_rows(&m);
}

static int min_int(int a, int b) { return a < b ? a : b; }
static int max_int(int a, int b) { return a > b ? a : b; }

/* Of positions [from, to), each row by itself those that it sees. */
static void add_ragged(const slm_prog *p, const struct tile *t, const struct span *s)
{
    for (int r = 0; r < t->rows && s->from < s->to; r++) {
        int pos = t->run->pos[t->row0 + r];
        struct span own = *s;
        own.from = max_int(s->from, slm_attn_lo(t->n, t->keys.first, pos));
        own.to = min_int(s->to, pos + 1);
        add_values(p, t, &own, r, r + 1);
    }
}

/* Values in [lo, hi): those that all rows see go together, the ragged ends row by row. */
static void step_values(const slm_prog *p, const struct tile *t, int lo, int hi)
{
    const struct slm_keys *k = &t->keys;
    const int *pos = t->run->pos + t->row0;
    size_t w = (size_t)t->n->i[A_WIDTH];
    for (int a = lo; a < hi; a += DEQ) {
        int b = min_int(a + DEQ, hi);
        for (int j = a; j < b; j++)
            p->kern->to_f32[k->type](t->deq + (size_t)(j - a) * w, slm_key_row(k, &k->v, j), w);
        int all0 = max_int(a, min_int(b, slm_attn_lo(t->n, k->first, pos[t->rows - 1])));
        int all1 = max_int(all0, min_int(b, pos[0] + 1));
        add_ragged(p, t, &(struct span){lo, a, a, all0});
        add_values(p, t, &(struct span){lo, a, all0, all1}, 0, t->rows);
        add_ragged(p, t, &(struct span){lo, a, all1, b});
    }
}

static void run_tile(const slm_prog *p, const struct tile *t)
{
    int first = t->keys.first, last = t->run->pos[t->row0 + t->rows - 1];
    int lo = slm_attn_lo(t->n, first, t->run->pos[t->row0]);
    size_t w = (size_t)t->n->i[A_WIDTH];
    load_queries(p, t);
    for (int end; lo <= last; lo = end) {
        end = (lo / STEP + 1) * STEP;
        int hi = min_int(end, last + 1);
        fetch(&t->keys, &t->keys.v, lo, hi, w);
        step_scores(p, t, lo, hi);
        for (int i = 0; i < t->rows * t->heads; i++) {
            int pos = t->run->pos[t->row0 + i / t->heads], from = slm_attn_lo(t->n, first, pos);
            int a = from > lo ? from : lo, b = pos + 1 < hi ? pos + 1 : hi;
            if (a < b)
                step_weights(p, t, i, t->score + i * STEP + (a - lo), (size_t)(b - a));
        }
        fetch(&t->keys, &t->keys.k, hi, min_int(hi + STEP, last + 1), w);
        step_values(p, t, lo, hi);
    }
    for (int i = 0; i < t->rows * t->heads; i++)
        memcpy(slm_row(p, t->n->out, t->row0 + i / t->heads) +
                   (size_t)(t->head0 + i % t->heads) * w,
               t->acc + (size_t)i * w, w * sizeof(float));
}

/* Work is handed out tile by tile, the ones with the most keys first: which thread takes one
 * changes no bit of it. */
void slm_op_attn_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                     int nth)
{
    int group = n->i[A_HEADS] / n->i[A_KV_HEADS], blocks = 0,
        most = tile_queries(group) / group;
    for (int s = 0; s < p->n_segments; s++)
        blocks += (p->segment[s + 1] - p->segment[s] + most - 1) / most;
    int parts = 1; /* of a group: when there are few tiles, heads that share keys part */
    while (parts < group && blocks * n->i[A_KV_HEADS] * parts < nth)
        parts++;
    int per = (group + parts - 1) / parts, each = n->i[A_KV_HEADS] * parts;
    size_t w = (size_t)n->i[A_WIDTH], queries = (size_t)tile_queries(group);
    struct tile t = {.n = n, .run = run, .q = slm_scratch_of(p, ith)};
    t.acc = t.q + queries * w;
    t.score = t.acc + queries * w;
    t.lse = t.score + queries * STEP;
    t.deq = t.lse + queries;
    atomic_int *ticket = &p->node[n - p->node].ticket;
    for (;;) {
        int i = atomic_fetch_add_explicit(ticket, 1, memory_order_relaxed);
        if (i >= blocks * each)
            return;
        int block = blocks - 1 - i / each, kv_head = i % each / parts, part = i % parts, s = 0;
        for (;; s++) {
            int here = (p->segment[s + 1] - p->segment[s] + most - 1) / most;
            if (block < here)
                break;
            block -= here;
        }
        t.row0 = p->segment[s] + block * most;
        t.rows = p->segment[s + 1] - t.row0 < most ? p->segment[s + 1] - t.row0 : most;
        t.head0 = kv_head * group + part * per;
        t.heads = group - part * per < per ? group - part * per : per;
        t.keys = slm_keys_of(p, n, run, p->segment[s], kv_head);
        if (t.heads > 0)
            run_tile(p, &t);
    }
}
