/* The graph room: bits that must not depend on threads or batches, the planner, views, caches,
 * taps, and programs that must be refused. Gradients are tests/grad's. */
#include "toy.h"

#include <stdio.h>

#define T 30
#define V 50

/* How a sequence is run. */
struct how {
    int threads, batch; /* rows a run */
    const char *cpu;
    enum slm_dtype type, kv; /* of weights and cache */
    bool fast, pairs;
    bool uneven; /* runs of 1, 2, 3 ... rows */
    int rope_set;
    enum slm_phase phase;
};

static struct toy_model model_of(enum slm_dtype type)
{
    bool wide = slm_dtypes[type].block == 256;
    return (struct toy_model){.vocab = V,
                              .d = wide ? 256 : 64,
                              .heads = 4,
                              .kv_heads = 2,
                              .c = wide ? 64 : 32,
                              .ff = wide ? 256 : 96,
                              .experts = 4,
                              .chosen = 2,
                              .type = type,
                              .lora = true,
                              .window = {0, 5}};
}

static void open_cache(struct slm_kv *kv, struct toy *t, const struct toy_model *m,
                       enum slm_dtype type, int context, int max_rows)
{
    int heads[2] = {m->kv_heads, m->kv_heads}, width[2] = {m->c, m->c};
    struct slm_kv_shape s = {2, context, max_rows, type, heads, width, m->window};
    slm_err err;
    assert_int_equal(slm_kv_init(kv, t->rt, &s, &err), 0);
    assert_int_equal(slm_kv_bytes(&s), kv->bytes);
}

/* (T, V) logits of the toy model. */
static void logits_of(const struct how *h, float *out)
{
    struct toy t;
    struct slm_kv kv, *kvs = &kv;
    struct toy_model m = model_of(h->type);
    int32_t ids[T], pos[T], rows[T];
    uint8_t set = (uint8_t)h->rope_set;
    m.pairs = h->pairs;
    toy_open(&t, h->threads, h->cpu);
    toy_model_make(&t, &m);
    struct slm_prog_opts o = {.max_rows = h->batch,
                              .max_out = h->batch,
                              .fast = h->fast,
                              .cache = true,
                              .phase = h->phase};
    slm_prog *p = toy_program(&t, &m, &o);
    open_cache(&kv, &t, &m, h->kv, 512, h->batch);
    for (int i = 0; i < T; i++) {
        ids[i] = i * 7 % V;
        pos[i] = i;
        rows[i] = i;
    }
    for (int i = 0, n = h->uneven ? 1 : h->batch; i < T; i += n, n += h->uneven) {
        n = n < h->batch ? n : h->batch;
        n = n < T - i ? n : T - i;
        struct slm_run r = {.rows = n,
                            .ids = ids + i,
                            .pos = pos + i,
                            .n_streams = 1,
                            .kv = &kvs,
                            .rope_set = &set,
                            .out = rows,
                            .n_out = n};
        size_t ld;
        slm_prog_run(p, &r);
        const float *v = slm_prog_value(p, m.logits, &ld);
        for (int j = 0; j < n; j++)
            memcpy(out + (size_t)(i + j) * V, v + (size_t)j * ld, V * sizeof *out);
    }
    slm_kv_release(&kv);
    slm_prog_free(p);
    toy_close(&t);
}

static void expect_same(const struct how *a, const struct how *b, const char *what)
{
    static float x[T * V], y[T * V];
    logits_of(a, x);
    logits_of(b, y);
    for (int i = 0; i < T * V; i++)
        assert_true(isfinite(x[i]));
    if (memcmp(x, y, sizeof x))
        fail_msg("%s: weights %s, cache %s, %s, level %s", what, slm_dtypes[a->type].name,
                 slm_dtypes[a->kv].name, a->fast ? "fast" : "exact", a->cpu ? a->cpu : "best");
}

static const enum slm_dtype weight_types[] = {SLM_F32, SLM_F16, SLM_BF16, SLM_Q8_0, SLM_Q4_0};
static const enum slm_dtype cache_types[] = {SLM_F32, SLM_F16, SLM_BF16, SLM_Q8_0, SLM_Q4_0};

/* One thread, two and three; and all at once, row by row, in uneven runs: the same bits at
 * every level this CPU has. */
static void any_split_same_bits(void **state)
{
    (void)state;
    struct toy t;
    toy_open(&t, 1, NULL);
    for (int l = 0; slm_runtime_cpu_level_at(t.rt, l); l++) {
        const char *cpu = slm_runtime_cpu_level_at(t.rt, l);
        for (size_t k = 0; k < 10; k++) {
            struct how a = {.threads = 1,
                            .batch = T,
                            .cpu = cpu,
                            .type = weight_types[k % 5],
                            .kv = cache_types[(k + k / 5) % 5],
                            .fast = k >= 5,
                            .pairs = k % 2,
                            .phase = SLM_PHASE_PROMPT};
            struct how b = a;
            b.threads = 2;
            expect_same(&a, &b, "2 threads");
            b.threads = 3;
            b.batch = 7;
            expect_same(&a, &b, "3 threads, batches of 7");
            b.threads = 1;
            b.batch = 1;
            expect_same(&a, &b, "token by token");
            b.threads = 2;
            b.batch = 9;
            b.uneven = true;
            expect_same(&a, &b, "uneven runs");
            a.phase = b.phase = SLM_PHASE_DECODE;
            expect_same(&a, &b, "uneven runs, decoding");
        }
    }
    toy_close(&t);
}

/* Several streams in one run give each what it gets alone; the second rope set belongs to a
 * stream. */
static void streams_do_not_meet(void **state)
{
    (void)state;
    static float alone[2][T * V], x[T * V];
    struct toy t;
    struct slm_kv kv[2], *kvs[2] = {&kv[0], &kv[1]};
    struct toy_model m = model_of(SLM_F32);
    struct how h = {.threads = 1, .batch = T, .type = SLM_F32, .kv = SLM_F16};
    logits_of(&h, alone[0]);
    h.rope_set = 1;
    logits_of(&h, alone[1]);
    assert_true(memcmp(alone[0], alone[1], sizeof x) != 0);
    toy_open(&t, 2, NULL);
    toy_model_make(&t, &m);
    struct slm_prog_opts o = {.max_rows = 12, .max_out = 12, .cache = true};
    slm_prog *p = toy_program(&t, &m, &o);
    for (int s = 0; s < 2; s++)
        open_cache(&kv[s], &t, &m, SLM_F16, 512, 12);
    int at[2] = {0, 0};
    while (at[0] < T ||
           at[1] < T) { /* stream 1 comes first in the run and takes longer steps */
        int32_t ids[12], pos[12], stream[12], out[12];
        uint8_t set[2] = {0, 1};
        int n = 0, from[2] = {at[0], at[1]}, first[2] = {0, 0};
        for (int s = 1; s >= 0; s--) {
            first[s] = n;
            for (int i = 0; i < (s ? 7 : 5) && at[s] < T; i++, n++, at[s]++) {
                ids[n] = at[s] * 7 % V;
                pos[n] = at[s];
                stream[n] = s;
                out[n] = n;
            }
        }
        struct slm_run r = {.rows = n,
                            .ids = ids,
                            .pos = pos,
                            .stream = stream,
                            .n_streams = 2,
                            .kv = kvs,
                            .rope_set = set,
                            .out = out,
                            .n_out = n};
        size_t ld;
        slm_prog_run(p, &r);
        const float *v = slm_prog_value(p, m.logits, &ld);
        for (int s = 0; s < 2; s++)
            for (int i = from[s]; i < at[s]; i++)
                assert_memory_equal(v + (size_t)(first[s] + i - from[s]) * ld, alone[s] + i * V,
                                    V * sizeof *v);
    }
    for (int s = 0; s < 2; s++)
        slm_kv_release(&kv[s]);
    slm_prog_free(p);
    toy_close(&t);
}

/* A windowed layer's ring gives what a cache of all positions gives, far beyond its length. */
static void rings_turn(void **state)
{
    (void)state;
    struct toy t;
    struct toy_model m = model_of(SLM_F32);
    toy_open(&t, 2, NULL);
    toy_model_make(&t, &m);
    m.window[0] = 70;
    struct slm_prog_opts o = {.max_rows = 16, .max_out = 1, .cache = true};
    slm_prog *p = toy_program(&t, &m, &o);
    struct slm_kv ring, whole;
    open_cache(&ring, &t, &m, SLM_F32, 600, 16);
    assert_int_equal(ring.layer[0].slots, 128);
    assert_int_equal(ring.layer[1].slots, 64);
    struct toy_model all = m;
    all.window[0] = all.window[1] = 0;
    open_cache(&whole, &t, &all, SLM_F32, 600, 16);
    assert_int_equal(whole.layer[0].slots, 600);
    for (int at = 0, n; at < 600; at += n) {
        int32_t ids[16], pos[16], last;
        float logits[2][V];
        struct slm_kv *kvs[2] = {&ring, &whole};
        n = 1 + at % 16;
        n = n < 600 - at ? n : 600 - at;
        for (int i = 0; i < n; i++) {
            ids[i] = (at + i) * 11 % V;
            pos[i] = at + i;
        }
        last = n - 1;
        for (int k = 0; k < 2; k++) {
            struct slm_run r = {.rows = n,
                                .ids = ids,
                                .pos = pos,
                                .n_streams = 1,
                                .kv = &kvs[k],
                                .out = &last,
                                .n_out = 1};
            for (int i = 0; i < n; i++)
                pos[i] = at + i;
            slm_prog_run(p, &r);
            memcpy(logits[k], slm_prog_value(p, m.logits, NULL), sizeof logits[k]);
        }
        assert_memory_equal(logits[0], logits[1], sizeof logits[0]);
    }
    slm_kv_release(&ring);
    slm_kv_release(&whole);
    slm_prog_free(p);
    toy_close(&t);
}

/* A long stream of two heads of keys, far beyond one part of the positions: one thread takes
 * whole heads, many cut the positions and join them in rounds; prompts and single rows. */
enum { LONG = 1500 };

static void long_logits(int threads, int batch, enum slm_dtype type, float *out)
{
    struct toy t;
    struct slm_kv kv, *kvs = &kv;
    struct toy_model m = model_of(SLM_F32);
    m.window[1] = 700;
    toy_open(&t, threads, NULL);
    toy_model_make(&t, &m);
    struct slm_prog_opts o = {.max_rows = batch, .max_out = 1, .cache = true};
    slm_prog *p = toy_program(&t, &m, &o);
    open_cache(&kv, &t, &m, type, LONG, batch);
    for (int at = 0, n; at < LONG; at += n) {
        int32_t ids[300], pos[300], last;
        n = LONG - at > 3 ? batch < LONG - 3 - at ? batch : LONG - 3 - at : 1;
        for (int i = 0; i < n; i++) {
            ids[i] = (at + i) * 13 % V;
            pos[i] = at + i;
        }
        last = n - 1;
        struct slm_run r = {.rows = n,
                            .ids = ids,
                            .pos = pos,
                            .n_streams = 1,
                            .kv = &kvs,
                            .out = &last,
                            .n_out = 1};
        slm_prog_run(p, &r);
        if (LONG - at <= 3)
            memcpy(out + (LONG - at - 1) * V, slm_prog_value(p, m.logits, NULL),
                   V * sizeof *out);
    }
    slm_kv_release(&kv);
    slm_prog_free(p);
    toy_close(&t);
}

static void long_streams_same_bits(void **state)
{
    (void)state;
    static const int how[][2] = {{2, 300}, {5, 12}};
    for (size_t k = 1; k < sizeof cache_types / sizeof *cache_types; k += 2) {
        float a[3 * V], b[3 * V];
        long_logits(1, 37, cache_types[k], a);
        for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
            long_logits(how[i][0], how[i][1], cache_types[k], b);
            if (memcmp(a, b, sizeof a))
                fail_msg("cache %s: %d threads, runs of %d", slm_dtypes[cache_types[k]].name,
                         how[i][0], how[i][1]);
        }
    }
}

/* Without a cache a run is its own context: the same bits, and in a program that learns the
 * same numbers. */
static void cache_or_none(void **state)
{
    (void)state;
    static float x[T * V];
    struct toy t;
    struct toy_model m = model_of(SLM_F32);
    struct how h = {.threads = 1, .batch = T, .type = SLM_F32, .kv = SLM_F32};
    logits_of(&h, x);
    for (int train = 0; train < 2; train++) {
        int32_t ids[T], pos[T];
        toy_open(&t, 2, NULL);
        toy_model_make(&t, &m);
        struct slm_prog_opts o = {.max_rows = T, .max_out = T, .train = train};
        slm_prog *p = toy_program(&t, &m, &o);
        for (int i = 0; i < T; i++) {
            ids[i] = i * 7 % V;
            pos[i] = i;
        }
        struct slm_run r = {.rows = T, .ids = ids, .pos = pos, .n_streams = 1, .n_out = T};
        slm_prog_run(p, &r);
        for (int i = 0; i < T && !train; i++)
            assert_memory_equal(slm_row(p, m.logits, i), x + i * V, V * sizeof *x);
        for (int i = 0; i < T * V && train; i++) /* other kernels */
            assert_true(fabsf(slm_row(p, m.logits, i / V)[i % V] - x[i]) < 1e-4f);
        slm_prog_free(p);
        toy_close(&t);
    }
}

/* ---- the planner ---- */

static bool together(int a0, int a1, int b0, int b1) { return a0 <= b1 && b0 <= a1; }

/* Every pair of blocks that live at once must lie apart; looked at from the nodes, not the
 * plan. */
static void check_plan(const slm_prog *p)
{
    int n = (int)p->n_nodes;
    for (size_t a = 0; a < p->n_values; a++) {
        for (size_t b = a + 1; b < p->n_values; b++) {
            const struct value *x = &p->value[a], *y = &p->value[b];
            if (x->root != (slm_val)a || y->root != (slm_val)b || x->home == y->home)
                continue;
            int end[2];
            for (int k = 0; k < 2; k++) {
                slm_val v = (slm_val)(k ? b : a);
                end[k] = p->value[v].made;
                for (int i = 0; i < n; i++)
                    for (int j = 0; j < 4; j++)
                        if (p->node[i].in[j] >= 0 && p->value[p->node[i].in[j]].root == v &&
                            i > end[k])
                            end[k] = i;
                if (p->value[v].keep)
                    end[k] = 2 * n;
            }
            size_t xs = (size_t)slm_value_max_rows(p, x) * x->row_bytes,
                   ys = (size_t)slm_value_max_rows(p, y) * y->row_bytes;
            if (together(x->made, end[0], y->made, end[1]) && x->data < y->data + ys &&
                y->data < x->data + xs)
                fail_msg("values %zu and %zu overlap", a, b);
            assert_true(x->data >= p->block && x->data + xs <= p->block + p->shared_at);
        }
    }
}

/* In training, what backward reads must stand untouched until it has: everything is filled with
 * the node's number when made, and looked at when read. */
static void check_training_plan(const slm_prog *p)
{
    for (size_t i = 0; i < p->n_nodes; i++) {
        const struct node *d = &p->node[i];
        int flags = slm_ops[d->op].flags;
        for (int k = 0; k < 5; k++) {
            slm_val v = k < 4 ? d->in[k] : d->out;
            if (v < 0 || !(flags & (SAVE_IN0 << k)))
                continue;
            const struct value *x = &p->value[p->value[v].root];
            size_t xs = (size_t)slm_value_max_rows(p, x) * x->row_bytes;
            const uint8_t *x0 = p->block + x->at;
            for (size_t j = 0; j < p->n_nodes;
                 j++) { /* written after x was made, before i goes back */
                const struct node *e = &p->node[j];
                if (e->out < 0 || (int)j <= x->made)
                    continue;
                const struct value *y = &p->value[p->value[e->out].root];
                size_t ys = (size_t)slm_value_max_rows(p, y) * y->row_bytes;
                if (y == x)
                    continue; /* added to in its place */
                const uint8_t *y0 = p->block + y->at;
                assert_true(y0 >= x0 + xs || x0 >= y0 + ys);
                if (j > i &&
                    y->grad_on) { /* its gradient is cleared and summed up before i goes back */
                    const uint8_t *g0 = p->block + y->grad_at;
                    assert_true(g0 >= x0 + xs || x0 >= g0 + ys);
                }
            }
        }
    }
}

static void plans_keep_apart(void **state)
{
    (void)state;
    size_t bytes[2];
    for (int k = 0; k < 8; k++) {
        struct toy t;
        struct toy_model m = model_of(k & 4 ? SLM_Q8_0 : SLM_F32);
        toy_open(&t, 1, NULL);
        toy_model_make(&t, &m);
        struct slm_prog_opts o = {.max_rows = T,
                                  .max_out = k & 2 ? T : 1,
                                  .fast = (k & 4) != 0,
                                  .cache = !(k & 1),
                                  .train = k & 1};
        slm_prog *p = toy_program(&t, &m, &o);
        check_plan(p);
        if (o.train)
            check_training_plan(p);
        if (k < 2)
            bytes[k] = slm_prog_bytes(p);
        slm_prog_free(p);
        toy_close(&t);
    }
    assert_true(bytes[0] * 2 < bytes[1]); /* sharing by liveness is worth something */
}

static void nothing_is_allocated(void **state)
{
    (void)state;
    struct toy t;
    struct slm_kv kv, *kvs = &kv;
    struct toy_model m = model_of(SLM_Q8_0);
    toy_open(&t, 2, NULL);
    toy_model_make(&t, &m);
    struct slm_prog_opts o = {.max_rows = 8, .max_out = 1, .fast = true, .cache = true};
    slm_prog *p = toy_program(&t, &m, &o);
    open_cache(&kv, &t, &m, SLM_Q8_0, 512, 8);
    slm_mem_stats before, after;
    slm_runtime_memory(t.rt, &before);
    for (int i = 0; i < 64; i++) {
        int32_t id = i % V, pos = i, out = 0;
        struct slm_run r = {.rows = 1,
                            .ids = &id,
                            .pos = &pos,
                            .n_streams = 1,
                            .kv = &kvs,
                            .out = &out,
                            .n_out = i % 2};
        slm_prog_run(p, &r);
    }
    slm_runtime_memory(t.rt, &after);
    assert_int_equal(before.count, after.count);
    slm_kv_release(&kv);
    slm_prog_free(p);
    slm_runtime_memory(t.rt, &after);
    assert_true(after.blocks < before.blocks);
    toy_close(&t);
}

/* ---- taps ---- */

struct seen {
    int nodes, linears, last;
    double sum;
};

static void look(void *arg, const slm_prog *p, const struct slm_node_info *n)
{
    struct seen *s = arg;
    size_t ld;
    assert_true(n->index == s->last + 1);
    s->last = n->index;
    s->nodes++;
    if (strcmp(n->op, "linear"))
        return;
    const float *x = slm_prog_value(p, n->in, &ld);
    assert_non_null(x);
    assert_non_null(n->w);
    s->linears++;
    for (int r = 0; r < n->rows; r++)
        for (int c = 0; c < n->w->cols; c++)
            s->sum += fabs((double)x[(size_t)r * ld + c]);
}

static void taps_see(void **state)
{
    (void)state;
    double sum[2];
    for (int k = 0; k < 2; k++) {
        struct toy t;
        struct seen s = {.last = -1};
        struct toy_model m = model_of(SLM_F32);
        int32_t ids[5] = {1, 2, 3, 4, 5}, pos[5] = {0, 1, 2, 3, 4};
        toy_open(&t, k + 1, NULL);
        toy_model_make(&t, &m);
        struct slm_prog_opts o = {.max_rows = 8, .max_out = 8};
        slm_prog *p = toy_program(&t, &m, &o);
        struct slm_run r = {.rows = 5, .ids = ids, .pos = pos, .n_streams = 1, .n_out = 5};
        slm_prog_tap(p, look, &s);
        slm_prog_run(p, &r);
        assert_int_equal(s.nodes, p->n_nodes);
        assert_int_equal(s.linears, 2 + 2 + 3 + 1 + 1);
        sum[k] = s.sum;
        slm_prog_tap(p, NULL, NULL);
        slm_prog_run(p, &r);
        assert_int_equal(s.nodes, p->n_nodes);
        slm_prog_free(p);
        toy_close(&t);
    }
    assert_true(sum[0] == sum[1] && sum[0] > 0);
}

/* ---- views and ops against plain arithmetic ---- */

static void views_are_columns(void **state)
{
    (void)state;
    struct toy t;
    slm_err err;
    slm_prog *p;
    toy_open(&t, 2, NULL);
    const struct slm_weight *e = toy_parts(&t, SLM_F32, 1, 9, 40, 1.0f);
    struct slm_prog_opts o = {.max_rows = 6, .max_out = 6};
    assert_int_equal(slm_prog_new(&p, t.rt, &o, &err), 0);
    slm_val x = slm_emit_embed(p, e, 1.0f);
    slm_val a = slm_emit_view(p, slm_emit_view(p, x, 5, 30), 3, 20),
            b = slm_emit_view(p, x, 0, 20);
    slm_val s = slm_emit_add(p, a, b);
    slm_val g = slm_emit_glu(p, b, a, SLM_ACT_SILU);
    slm_prog_keep(p, s);
    slm_prog_keep(p, g);
    slm_prog_keep(p, a);
    assert_int_equal(slm_prog_plan(p, &err), 0);
    int32_t ids[6] = {8, 0, 3, 3, 1, 2}, pos[6] = {0};
    struct slm_run r = {.rows = 6, .ids = ids, .pos = pos, .n_streams = 1};
    slm_prog_run(p, &r);
    for (int i = 0; i < 6; i++) {
        const float *row = t.plain[0] + ids[i] * 40;
        for (int c = 0; c < 20; c++) {
            assert_true(slm_row(p, a, i)[c] == row[8 + c]);
            assert_true(slm_row(p, s, i)[c] == row[8 + c] + row[c]);
            double want = (double)row[c] / (1 + exp(-(double)row[c])) * (double)row[8 + c];
            assert_true(fabs((double)slm_row(p, g, i)[c] - want) < 1e-5);
        }
    }
    slm_prog_free(p);
    toy_close(&t);
}

/* Attention against the sum written out. */
struct shape {
    int rows, heads, kv_heads, threads, window;
};

static void expect_attention(const slm_prog *p, slm_val y, const struct shape *s,
                             const float *x, int row, int h)
{
    enum { C = 8 };
    size_t width = (size_t)(s->heads + 2 * s->kv_heads) * C;
    int group = s->heads / s->kv_heads, lo = row - s->window + 1 > 0 ? row - s->window + 1 : 0;
    const float *q = x + row * width + h * C;
    double sum = 0, acc[C] = {0};
    for (int j = lo; j <= row; j++) {
        const float *k = x + j * width + (s->heads + h / group) * C, *v = k + s->kv_heads * C;
        double dot = 0;
        for (int c = 0; c < C; c++)
            dot += (double)q[c] * (double)k[c];
        double e = exp(6 * tanh(dot * 0.3 / 6));
        sum += e;
        for (int c = 0; c < C; c++)
            acc[c] += e * (double)v[c];
    }
    for (int c = 0; c < C; c++)
        assert_true(fabs((double)slm_row(p, y, row)[h * C + c] - acc[c] / sum) < 2e-5);
}

/* Rows enough for several steps over the keys; groups larger than a tile; more threads than
 * work. */
static void attention_is_softmax(void **state)
{
    (void)state;
    static const struct shape shapes[] = {{700, 6, 2, 2, 600}, {40, 60, 1, 3, 9},
                                          {3, 5, 1, 4, 2},     {90, 7, 7, 1, 900},
                                          {1, 6, 1, 5, 1},     {200, 250, 1, 2, 130}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const struct shape *s = &shapes[i];
        int q = s->heads * 8, k = s->kv_heads * 8;
        struct toy t;
        slm_err err;
        slm_prog *p;
        toy_open(&t, s->threads, NULL);
        const struct slm_weight *e = toy_parts(&t, SLM_F32, 1, s->rows, q + 2 * k, 1.5f);
        struct slm_prog_opts o = {.max_rows = s->rows, .max_out = 1};
        assert_int_equal(slm_prog_new(&p, t.rt, &o, &err), 0);
        slm_val x = slm_emit_embed(p, e, 1.0f);
        struct slm_attn d = {.heads = s->heads,
                             .kv_heads = s->kv_heads,
                             .width = 8,
                             .scale = 0.3f,
                             .cap = 6.0f,
                             .window = s->window};
        slm_val y = slm_emit_attention(p, slm_emit_view(p, x, 0, q), slm_emit_view(p, x, q, k),
                                       slm_emit_view(p, x, q + k, k), &d);
        slm_prog_keep(p, y);
        assert_int_equal(slm_prog_plan(p, &err), 0);
        static int32_t ids[700];
        for (int r = 0; r < s->rows; r++)
            ids[r] = r;
        struct slm_run r = {.rows = s->rows, .ids = ids, .pos = ids, .n_streams = 1};
        slm_prog_run(p, &r);
        for (int row = 0; row < s->rows; row += 1 + s->rows / 50)
            for (int h = 0; h < s->heads; h++)
                expect_attention(p, y, s, t.plain[0], row, h);
        slm_prog_free(p);
        toy_close(&t);
    }
}

/* ---- refusals ---- */

static slm_prog *fresh(struct toy *t, bool train)
{
    slm_prog *p;
    struct slm_prog_opts o = {.max_rows = 4, .max_out = 4, .train = train};
    assert_int_equal(slm_prog_new(&p, t->rt, &o, NULL), 0);
    return p;
}

static void expect_refused(slm_prog *p, int code, const char *words)
{
    slm_err err = {0, ""};
    assert_int_equal(slm_prog_plan(p, &err), code);
    if (!strstr(err.msg, words))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, words);
    slm_prog_free(p);
}

static void wrong_programs_are_refused(void **state)
{
    (void)state;
    struct toy t;
    toy_open(&t, 1, NULL);
    const struct slm_weight *e = toy_weight(&t, SLM_F32, 8, 12),
                            *w = toy_weight(&t, SLM_F32, 6, 10);
    struct slm_linear l = {w, NULL};
    slm_prog *p = fresh(&t, false);
    slm_prog_layer(p, 3);
    slm_emit_scale(p, slm_emit_linear(p, slm_emit_embed(p, e, 1), &l),
                   2); /* emits after a failure are fine */
    expect_refused(p, SLM_E_FORMAT, "layer 3: toy: 10 columns for an input of 12");
    p = fresh(&t, false);
    slm_emit_view(p, slm_emit_embed(p, e, 1), 8, 5);
    expect_refused(p, SLM_E_FORMAT, "columns 8 to 13");
    p = fresh(&t, false);
    struct slm_attn a = {.heads = 3, .kv_heads = 2, .width = 2};
    slm_val x = slm_emit_embed(p, e, 1);
    slm_emit_attention(p, x, x, x, &a);
    expect_refused(p, SLM_E_FORMAT, "attention");
    p = fresh(&t, false);
    slm_emit_route(p, slm_emit_embed(p, e, 1), 13);
    expect_refused(p, SLM_E_FORMAT, "13 experts");
    struct slm_weight odd = *e;
    odd.type = SLM_Q8_0;
    p = fresh(&t, false);
    slm_emit_embed(p, &odd, 1);
    expect_refused(p, SLM_E_FORMAT, "whole q8_0 blocks");
    p = fresh(&t, true);
    struct node *n = slm_node_new(p, OP_kv_store, -1, slm_emit_embed(p, e, 1), -1);
    assert_non_null(n);
    expect_refused(p, SLM_E_UNSUPPORTED, "kv_store");
    int heads = 2, width = 24, window = 0;
    struct slm_kv_shape s = {1, 10, 1, SLM_Q8_0, &heads, &width, &window};
    struct slm_kv kv;
    assert_int_equal(slm_kv_bytes(&s), -1);
    assert_int_equal(slm_kv_init(&kv, t.rt, &s, NULL), SLM_E_UNSUPPORTED);
    toy_close(&t);
}

/* The Nth allocation fails: an error each time, nothing left behind. */
static void memory_may_fail(void **state)
{
    (void)state;
    for (int n = 1, rc = 1; rc && n < 200; n++) {
        struct toy t;
        slm_prog *p = NULL;
        slm_err err;
        struct slm_prog_opts o = {.max_rows = 4, .max_out = 4, .train = true};
        toy_open(&t, 1, NULL);
        const struct slm_weight *e = toy_weight(&t, SLM_F16, 8, 12),
                                *b = toy_vector(&t, SLM_F16, 1, 12, 1);
        atomic_store(&t.rt->heap.fail_in, n);
        rc = slm_prog_new(&p, t.rt, &o, &err);
        if (!rc) {
            struct slm_norm norm = {SLM_NORM_RMS, b, NULL, 1e-5f, 0, 1};
            slm_val x = slm_emit_embed(p, e, 1);
            for (int i = 0; i < 20; i++)
                x = slm_emit_norm(p, x, &norm);
            rc = slm_prog_plan(p, &err);
        }
        atomic_store(&t.rt->heap.fail_in, 0);
        if (rc)
            assert_int_equal(rc, SLM_E_NOMEM);
        else
            assert_true(n > 5);
        slm_prog_free(rc && !p ? NULL : p);
        toy_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_split_same_bits),
        cmocka_unit_test(streams_do_not_meet),
        cmocka_unit_test(rings_turn),
        cmocka_unit_test(long_streams_same_bits),
        cmocka_unit_test(cache_or_none),
        cmocka_unit_test(plans_keep_apart),
        cmocka_unit_test(nothing_is_allocated),
        cmocka_unit_test(taps_see),
        cmocka_unit_test(views_are_columns),
        cmocka_unit_test(attention_is_softmax),
        cmocka_unit_test(wrong_programs_are_refused),
        cmocka_unit_test(memory_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
