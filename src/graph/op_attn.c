/* attention: each row looks back on its stream's keys, from the cache or of this run. Work is
 * handed out as blocks of rows times kv heads, so that queries which share keys read them once;
 * where that leaves threads without work, as in decoding on many, the positions are cut too,
 * and the threads meet once more to join the parts, in the same order as one thread would. */
#include "graph/attn.h"

#include <string.h>

#define CHUNK 120 /* rows x heads of a piece of work: a part's keys and values stay in L2 */
#define PARTS 64  /* parts that are joined at a time, for one row of all heads */

static slm_val emit_store(slm_prog *p, slm_val k, slm_val v, const struct slm_attn *a)
{
    struct node *n = slm_node_new(p, OP_kv_store, -1, k, v);
    if (!n)
        return -1;
    n->i[A_LAYER] = a->layer;
    slm_emit_scratch(p, 0, (size_t)a->width * sizeof(float));
    return 0;
}

static int max_int(int a, int b) { return a > b ? a : b; }
static int min_int(int a, int b) { return a < b ? a : b; }
static int rows_within(int queries, int group) { return group > queries ? 1 : queries / group; }
static int most_queries(int group) { return rows_within(CHUNK, group) * group; }

/* Floats of the shared scratch, where parts wait to be joined. */
static size_t split_floats(const slm_prog *p, int heads, int width)
{
    return slm_pool_threads(p->rt->pool) > 1 ? (size_t)heads * (size_t)(width + 2) * PARTS : 0;
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
    slm_emit_scratch(p, split_floats(p, a->heads, a->width) * sizeof(float),
                     slm_attn_scratch(most_queries(a->heads / a->kv_heads), a->width) *
                         sizeof(float));
    if (p->o.train)
        slm_emit_scratch(p, 0, slm_attn_back_scratch(a, p->o.max_rows));
    return out;
}

/* ---- the cache ---- */

static struct slm_kv *cache_of(const struct slm_run *run, int row)
{
    return run->kv[run->stream ? run->stream[row] : 0];
}

/* One row of keys or values; row: room for a head's in the cache's type. */
static void store_row(const slm_prog *p, const struct slm_kv *kv, const struct slm_kv_layer *y,
                      const float *x, int slot, void *row)
{
    size_t w = (size_t)y->width;
    for (int h = 0; h < y->heads; h++, x += w) {
        size_t head = (size_t)h * y->head;
        if (!row) {
            p->kern->from_f32[kv->type](y->v + head + (size_t)slot * y->row, x, w);
            continue;
        }
        p->kern->from_f32[kv->type](row, x, w);
        p->kern->key_put[kv->type](y->k + head + (size_t)(slot / SLM_KEYS * SLM_KEYS) * y->row,
                                   slot % SLM_KEYS, row, w);
    }
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
        store_row(p, kv, y, slm_row(p, n->in[side], r), run->pos[r] % y->slots,
                  side == 0 ? slm_scratch_of(p, ith) : NULL);
    }
}

struct slm_keys slm_keys_of(const slm_prog *p, const struct node *n, const struct slm_run *run,
                            int row0, int kv_head)
{
    struct slm_keys s = {.first = 0, .cached = p->o.cache};
    if (s.cached) {
        const struct slm_kv *kv = cache_of(run, row0);
        const struct slm_kv_layer *y = &kv->layer[n->i[A_LAYER]];
        s.k = (struct slm_kv_side){y->k + (size_t)kv_head * y->head, y->row};
        s.v = (struct slm_kv_side){y->v + (size_t)kv_head * y->head, y->row};
        s.slots = y->slots;
        s.type = kv->type;
        return s;
    }
    size_t skip = (size_t)kv_head * (size_t)n->i[A_WIDTH];
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

/* How a run's work is cut: blocks of at most `rows` rows of a stream, times kv heads. */
struct cut {
    int rows, blocks, units;
};

static struct cut cut_of(const slm_prog *p, const struct node *n, const struct slm_run *run,
                         int nth)
{
    int group = n->i[A_HEADS] / n->i[A_KV_HEADS];
    struct cut c = {.rows = rows_within(CHUNK, group)};
    int fair =
        run->rows * n->i[A_KV_HEADS] / (4 * nth); /* four pieces a thread, if rows allow */
    c.rows = max_int(1, min_int(c.rows, max_int(fair, rows_within(SLM_ATTN_TILE, group))));
    for (int s = 0; s < p->n_segments; s++)
        c.blocks += (p->segment[s + 1] - p->segment[s] + c.rows - 1) / c.rows;
    c.units = c.blocks * n->i[A_KV_HEADS];
    return c;
}

/* Unit i of the work. */
static void find_unit(const slm_prog *p, const struct slm_run *run, const struct cut *cut,
                      struct slm_attn_chunk *c, int i)
{
    int kv_heads = c->n->i[A_KV_HEADS], block = i / kv_heads, kv_head = i % kv_heads, s = 0;
    for (;; s++) {
        int here = (p->segment[s + 1] - p->segment[s] + cut->rows - 1) / cut->rows;
        if (block < here)
            break;
        block -= here;
    }
    c->row0 = p->segment[s] + block * cut->rows;
    c->rows = min_int(p->segment[s + 1] - c->row0, cut->rows);
    c->pos = run->pos + c->row0;
    c->heads = c->n->i[A_HEADS] / kv_heads;
    c->head0 = kv_head * c->heads;
    c->keys = slm_keys_of(p, c->n, run, p->segment[s], kv_head);
}

static int take(slm_prog *p, const struct node *n)
{
    return atomic_fetch_add_explicit(&p->node[n - p->node].ticket, 1, memory_order_relaxed);
}

/* Parts of all units that are computed at a time, and where they wait. */
struct split {
    int each;    /* parts of a unit */
    int queries; /* of a unit, at most */
    int rounds;
    float *at;
};

/* Sums of one query of a unit: place 0 is the whole, 1 .. each are the parts at hand. */
static struct slm_attn_sums waiting(const struct split *s, const struct cut *cut, int place,
                                    int unit, size_t width)
{
    float *at = s->at + (size_t)(place * cut->units + unit) * (size_t)s->queries * (width + 2);
    return (struct slm_attn_sums){at, at + (size_t)s->queries * width,
                                  at + (size_t)s->queries * (width + 1)};
}

/* Is there too little for the threads, and more than one part to cut it into? */
static bool worth_cutting(const slm_prog *p, const struct slm_run *run, const struct cut *cut,
                          struct slm_attn_chunk *c, struct split *s)
{
    int group = c->n->i[A_HEADS] / c->n->i[A_KV_HEADS], most = 0, nth;
    size_t w = (size_t)c->n->i[A_WIDTH];
    nth = slm_pool_threads(p->rt->pool);
    s->queries = min_int(cut->rows, run->rows) * group;
    if (nth == 1 || cut->units >= 4 * nth || s->queries > SLM_ATTN_TILE)
        return false;
    for (int b = 0; b < cut->blocks; b++) {
        int from, to;
        find_unit(p, run, cut, c, b * c->n->i[A_KV_HEADS]);
        slm_attn_parts(c, &from, &to);
        most = max_int(most, to - from);
    }
    s->each = (int)(split_floats(p, c->n->i[A_HEADS], (int)w) /
                    ((size_t)(cut->units * s->queries) * (w + 2))) -
              1;
    s->each = min_int(s->each, most);
    s->at = slm_scratch(p);
    s->rounds = s->each > 1 ? (most + s->each - 1) / s->each : 0;
    return s->each > 1;
}

/* Joins a round's parts: each thread some queries. */
static void join_round(const slm_prog *p, const struct slm_run *run, const struct cut *cut,
                       const struct split *s, struct slm_attn_chunk *c, const int *at)
{
    size_t w = (size_t)c->n->i[A_WIDTH];
    int round = at[0], ith = at[1], nth = at[2];
    for (int i = ith; i < cut->units * s->queries; i += nth) {
        int unit = i / s->queries, query = i % s->queries, from, to;
        find_unit(p, run, cut, c, unit);
        if (query >= c->rows * c->heads)
            continue;
        slm_attn_parts(c, &from, &to);
        struct slm_attn_sums all = waiting(s, cut, 0, unit, w);
        all = (struct slm_attn_sums){all.acc + (size_t)query * w, all.top + query,
                                     all.sum + query};
        if (round == 0)
            *all.sum = 0;
        for (int k = 0; k < s->each && from + round * s->each + k < to; k++) {
            struct slm_attn_sums x = waiting(s, cut, 1 + k, unit, w);
            x = (struct slm_attn_sums){x.acc + (size_t)query * w, x.top + query, x.sum + query};
            slm_attn_join(p, all, x, w);
        }
        if (round == s->rounds - 1) {
            if (*all.sum == 0)
                memset(all.acc, 0, w * sizeof *all.acc);
            slm_attn_finish(p, c, query, all);
        }
    }
}

/* Part by part. A ticket taken beyond a round is kept for the next. */
static void run_split(slm_prog *p, const struct slm_run *run, const struct cut *cut,
                      const struct split *s, struct slm_attn_chunk *c, int ith)
{
    size_t w = (size_t)c->n->i[A_WIDTH];
    int i = take(p, c->n), tasks = cut->units * s->each;
    for (int round = 0; round < s->rounds; round++) {
        for (; i < (round + 1) * tasks; i = take(p, c->n)) {
            int in = i - round * tasks, unit = in / s->each, k = in % s->each, from, to;
            find_unit(p, run, cut, c, unit);
            slm_attn_parts(c, &from, &to);
            if (from + round * s->each + k >= to)
                continue;
            slm_attn_load(p, c);
            slm_attn_part(p, c, from + round * s->each + k, waiting(s, cut, 1 + k, unit, w));
        }
        slm_pool_barrier(p->rt->pool);
        int at[3] = {round, ith, slm_pool_threads(p->rt->pool)};
        join_round(p, run, cut, s, c, at);
        if (round + 1 < s->rounds)
            slm_pool_barrier(p->rt->pool);
    }
}

/* Work is handed out piece by piece, the ones with the most keys first: which thread takes one
 * changes no bit of it. */
void slm_op_attn_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                     int nth)
{
    struct cut cut = cut_of(p, n, run, nth);
    struct slm_attn_chunk c = {.n = n};
    struct split s;
    slm_attn_place(&c, slm_scratch_of(p, ith), most_queries(n->i[A_HEADS] / n->i[A_KV_HEADS]));
    if (worth_cutting(p, run, &cut, &c, &s)) {
        run_split(p, run, &cut, &s, &c, ith);
        return;
    }
    for (int i = take(p, n); i < cut.units; i = take(p, n)) {
        int kv_heads = n->i[A_KV_HEADS];
        find_unit(p, run, &cut, &c, (cut.blocks - 1 - i / kv_heads) * kv_heads + i % kv_heads);
        slm_attn_load(p, &c);
        slm_attn_run(p, &c);
    }
}
