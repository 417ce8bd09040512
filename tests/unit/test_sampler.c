/* Samplers: each filter against its definition on small lists, the chain against what its
 * options promise, and that nothing is allocated once it is made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "generate/sample.h"

static slm_runtime *rt;

static int open_rt(void **state)
{
    slm_runtime_opts o;
    (void)state;
    slm_runtime_opts_init(&o);
    o.threads = 1;
    return slm_runtime_open(&rt, &o, NULL);
}

static int close_rt(void **state)
{
    (void)state;
    slm_runtime_close(&rt);
    return 0;
}

enum { MAX = 64 };
struct list {
    struct slm_cand c[MAX], key[MAX];
    struct slm_cands s;
};

static void set(struct list *l, const float *logits, int n)
{
    for (int i = 0; i < n; i++)
        l->c[i] = (struct slm_cand){logits[i], i};
    l->s = (struct slm_cands){.c = l->c, .key = l->key, .n = n};
}

static void expect_ids(const struct list *l, const int *ids, int n)
{
    assert_int_equal(l->s.n, n);
    for (int i = 0; i < n; i++)
        assert_int_equal(l->s.c[i].id, ids[i]);
}

static void probs(struct list *l, const double *p, int n)
{
    float logits[MAX];
    for (int i = 0; i < n; i++)
        logits[i] = (float)log(p[i]);
    set(l, logits, n);
}

static void top_k_orders_ties_by_id(void **state)
{
    struct list l;
    (void)state;
    set(&l, (const float[]){1, 3, 3, 2, 3}, 5);
    slm_filter_top_k(&l.s, 4);
    expect_ids(&l, (const int[]){1, 2, 4, 3}, 4);
    slm_filter_top_k(&l.s, 2);
    expect_ids(&l, (const int[]){1, 2}, 2);
    set(&l, (const float[]){1, 3, 2}, 3);
    slm_filter_top_k(&l.s, 9);
    expect_ids(&l, (const int[]){1, 2, 0}, 3);
    set(&l, (const float[]){1, 3, 2}, 3);
    slm_filter_top_k(&l.s, 0);
    expect_ids(&l, (const int[]){0, 1, 2}, 3);
}

static void top_k_of_every_length(void **state)
{
    (void)state;
    for (int n = 1; n <= 40; n++)
        for (int k = 1; k <= n; k++) {
            struct list l;
            float logits[MAX];
            for (int i = 0; i < n; i++)
                logits[i] = (float)((i * 7919 + 13) % 11);
            set(&l, logits, n);
            slm_filter_top_k(&l.s, k);
            assert_int_equal(l.s.n, k);
            for (int i = 0; i + 1 < k; i++)
                assert_true(slm_cand_before(l.s.c[i], l.s.c[i + 1]));
            int better = 0;
            for (int i = 0; i < n; i++)
                better += slm_cand_before((struct slm_cand){logits[i], i}, l.s.c[k - 1]);
            assert_int_equal(better, k - 1);
        }
}

static void top_p_takes_until_it_is_reached(void **state)
{
    struct list l;
    (void)state;
    const double p[] = {0.1, 0.4, 0.2, 0.3};
    probs(&l, p, 4);
    slm_filter_top_p(&l.s, 0.65f, 1);
    expect_ids(&l, (const int[]){1, 3}, 2);
    probs(&l, p, 4);
    slm_filter_top_p(&l.s, 0.75f, 1);
    expect_ids(&l, (const int[]){1, 3, 2}, 3);
    probs(&l, p, 4);
    slm_filter_top_p(&l.s, 0, 1);
    expect_ids(&l, (const int[]){1}, 1);
    probs(&l, p, 4);
    slm_filter_top_p(&l.s, 0, 2);
    expect_ids(&l, (const int[]){1, 3}, 2);
    probs(&l, p, 4);
    slm_filter_top_p(&l.s, 1, 1);
    expect_ids(&l, (const int[]){0, 1, 2, 3}, 4);
    /* of a sorted list */
    probs(&l, p, 4);
    slm_filter_top_k(&l.s, 3);
    slm_filter_top_p(&l.s, 0.5f, 1);
    expect_ids(&l, (const int[]){1, 3}, 2);
}

static void min_p_is_a_share_of_the_best(void **state)
{
    struct list l;
    (void)state;
    const double p[] = {0.1, 0.4, 0.19, 0.31};
    probs(&l, p, 4);
    slm_filter_min_p(&l.s, 0.5f, 1);
    expect_ids(&l, (const int[]){1, 3}, 2);
    probs(&l, p, 4);
    slm_filter_min_p(&l.s, 0.2f, 1);
    expect_ids(&l, (const int[]){0, 1, 2, 3}, 4);
    probs(&l, p, 4);
    slm_filter_min_p(&l.s, 1, 3);
    expect_ids(&l, (const int[]){1, 3, 2}, 3);
}

static void typical_takes_the_nearest_to_the_entropy(void **state)
{
    struct list l;
    (void)state;
    /* entropy 1.2799; surprises 0.6931 1.6094 1.6094 2.3026: distances 0.587 0.330 0.330 1.023
     */
    const double p[] = {0.5, 0.2, 0.2, 0.1};
    probs(&l, p, 4);
    slm_filter_typical(&l.s, 0.15f, 1);
    assert_int_equal(l.s.n, 1);
    assert_true(l.s.c[0].id == 1 || l.s.c[0].id == 2);
    probs(&l, p, 4);
    slm_filter_typical(&l.s, 0.3f, 1);
    expect_ids(&l, (const int[]){1, 2}, 2);
    probs(&l, p, 4);
    slm_filter_typical(&l.s, 0.5f, 1);
    expect_ids(&l, (const int[]){0, 1, 2}, 3);
    probs(&l, p, 4);
    slm_filter_typical(&l.s, 1, 1);
    assert_int_equal(l.s.n, 4);
}

static void xtc_keeps_the_least_likely_of_the_likely(void **state)
{
    struct list l;
    (void)state;
    const double p[] = {0.4, 0.05, 0.3, 0.25};
    probs(&l, p, 4);
    slm_filter_xtc(&l.s, 0.2f, 1);
    expect_ids(&l, (const int[]){1, 3}, 2);
    probs(&l, p, 4);
    slm_filter_xtc(&l.s, 0.35f, 1); /* one alone is above: it stays */
    expect_ids(&l, (const int[]){0, 1, 2, 3}, 4);
    probs(&l, p, 4);
    slm_filter_xtc(&l.s, 0.2f, 3);  /* would leave two */
    assert_int_equal(l.s.n, 4);
}

static void mirostat_cuts_surprise(void **state)
{
    struct list l;
    (void)state;
    const double p[] = {0.5, 0.25, 0.125, 0.125}; /* 1, 2, 3, 3 bits */
    probs(&l, p, 4);
    slm_filter_mirostat(&l.s, 2.01);
    expect_ids(&l, (const int[]){0, 1}, 2);
    probs(&l, p, 4);
    slm_filter_mirostat(&l.s, 0.5);
    expect_ids(&l, (const int[]){0}, 1);
}

static void draws_follow_the_probabilities(void **state)
{
    struct list l;
    double p;
    (void)state;
    probs(&l, (const double[]){0.1, 0.4, 0.2, 0.3}, 4);
    assert_int_equal(slm_cands_pick(&l.s, 0.0, &p), 0);
    assert_true(fabs(p - 0.1) < 1e-6);
    assert_int_equal(slm_cands_pick(&l.s, 0.3, &p), 1);
    assert_int_equal(slm_cands_pick(&l.s, 0.65, &p), 2);
    assert_int_equal(slm_cands_pick(&l.s, 0.999999, &p), 3);
}

/* ---- the chain ---- */

static slm_sampler *make(const slm_sampler_opts *o, int n)
{
    slm_sampler *s = NULL;
    slm_err err = {0};
    if (slm_sampler_new(&s, rt, n, NULL, o, &err))
        fail_msg("%s", err.msg);
    return s;
}

static int next(slm_sampler *s, const float *logits)
{
    int32_t id = -1;
    slm_err err = {0};
    if (slm_sampler_next(s, logits, &id, &err))
        fail_msg("%s", err.msg);
    return id;
}

static slm_sampler_opts opts(float temp)
{
    slm_sampler_opts o;
    slm_sampler_opts_init(&o);
    o.temp = temp;
    return o;
}

static void greedy_is_argmax_and_ties_go_to_the_lower_id(void **state)
{
    slm_sampler_opts o = opts(0);
    (void)state;
    slm_sampler *s = make(&o, 5);
    assert_int_equal(next(s, (const float[]){1, 5, 2, 5, 0}), 1);
    assert_int_equal(next(s, (const float[]){-1, -5, -2, -5, -0.5f}), 4);
    slm_sampler_free(s);
}

static void same_seed_same_ids(void **state)
{
    slm_sampler_opts o = opts(1.3f);
    float logits[MAX];
    int first[200], differs = 0;
    (void)state;
    for (int i = 0; i < MAX; i++)
        logits[i] = (float)(i % 7) * 0.3f;
    o.seed = 7;
    slm_sampler *a = make(&o, MAX), *b = make(&o, MAX);
    o.seed = 8;
    slm_sampler *c = make(&o, MAX);
    for (int i = 0; i < 200; i++) {
        first[i] = next(a, logits);
        assert_int_equal(first[i], next(b, logits));
        differs += first[i] != next(c, logits);
    }
    assert_true(differs > 50);
    slm_sampler_reset(a);
    for (int i = 0; i < 200; i++)
        assert_int_equal(first[i], next(a, logits));
    slm_sampler_free(a);
    slm_sampler_free(b);
    slm_sampler_free(c);
}

static void frequencies_match_softmax(void **state)
{
    slm_sampler_opts o = opts(1);
    const float logits[] = {0, 1, 2};
    int count[3] = {0};
    const double z = 1 + exp(1) + exp(2);
    (void)state;
    o.top_k = 0;
    o.top_p = 1;
    o.min_p = 0;
    slm_sampler *s = make(&o, 3);
    for (int i = 0; i < 30000; i++)
        count[next(s, logits)]++;
    for (int i = 0; i < 3; i++) /* five standard deviations */
        assert_true(fabs(count[i] / 30000.0 - exp(i) / z) < 5 * sqrt(0.25 / 30000));
    slm_sampler_free(s);
}

static void penalties_by_their_definition(void **state)
{
    slm_sampler_opts o = opts(0);
    (void)state;
    o.repeat_penalty = 2;
    slm_sampler *s = make(&o, 3);
    assert_int_equal(next(s, (const float[]){4, 3, -1}), 0); /* then 4/2 < 3 */
    assert_int_equal(next(s, (const float[]){4, 3, -1}), 1);
    assert_int_equal(next(s, (const float[]){-1, -3, -1.5f}), 2); /* -2, -6, -1.5 */
    slm_sampler_free(s);
    o = opts(0);
    o.frequency_penalty = 1;
    o.penalty_last_n = 2;
    s = make(&o, 2);
    assert_int_equal(next(s, (const float[]){2.5f, 1}), 0);
    assert_int_equal(next(s, (const float[]){2.5f, 1}), 0);
    assert_int_equal(next(s, (const float[]){2.5f, 1}), 1); /* 0.5 against 1 */
    assert_int_equal(next(s, (const float[]){2.5f, 1}), 0); /* window: 0 1 */
    slm_sampler_forget(s);
    slm_sampler_accept(s, 0);
    slm_sampler_accept(s, 0);
    assert_int_equal(next(s, (const float[]){2.5f, 1}), 1);
    slm_sampler_free(s);
}

static void dry_stops_a_repetition(void **state)
{
    slm_sampler_opts o = opts(0);
    const float logits[] = {0, 0, 0, 1, 0.5f};
    (void)state;
    o.dry_multiplier = 0.8f;
    o.dry_breakers = "";
    slm_sampler *s = make(&o, 5);
    const int32_t said[] = {1, 2, 3, 4, 1, 2};
    for (int i = 0; i < 6; i++)
        slm_sampler_accept(s, said[i]);
    assert_int_equal(next(s, logits), 4); /* 3 would repeat 1 2 3: 1 - 0.8 < 0.5 */
    slm_sampler_free(s);
    o.dry_allowed_length = 3;
    s = make(&o, 5);
    for (int i = 0; i < 6; i++)
        slm_sampler_accept(s, said[i]);
    assert_int_equal(next(s, logits), 3); /* two are allowed */
    slm_sampler_free(s);
}

static void dry_grows_with_the_length(void **state)
{
    struct list l;
    float logits[8] = {0};
    int32_t hist[64], z[32], longest[8] = {0};
    uint8_t breaks[8] = {0};
    (void)state;
    struct slm_dry d = {.multiplier = 0.5f,
                        .base = 2,
                        .allowed = 2,
                        .window = 32,
                        .n_vocab = 8,
                        .hist = hist,
                        .z = z,
                        .longest = longest,
                        .breaks = breaks};
    const int32_t said[] = {5, 1, 2, 3, 4, 6, 5, 1, 2, 3};
    for (int i = 0; i < 10; i++)
        slm_dry_accept(&d, said[i]);
    set(&l, logits, 8);
    slm_dry_apply(&d, &l.s);
    for (int i = 0; i < 8; i++) /* 5 1 2 3 stood before 4: length 4, 0.5 * 2^(4 - 2) */
        assert_true(fabsf(l.s.c[i].logit - (i == 4 ? -2.0f : 0.0f)) < 1e-6f);
    breaks[1] = SLM_BREAK_WHOLE; /* now only 2 3 counts: 0.5 * 2^0 */
    set(&l, logits, 8);
    slm_dry_apply(&d, &l.s);
    assert_true(fabsf(l.s.c[4].logit + 0.5f) < 1e-6f);
    /* the breaker 2 spelt as head 1, tail 2, lies two tokens back: nothing before it counts */
    struct slm_breaker b = {.head = 1, .tail = {2}, .n = 1};
    breaks[1] = SLM_BREAK_HEAD;
    d.multi = &b;
    d.n_multi = 1;
    set(&l, logits, 8);
    slm_dry_apply(&d, &l.s);
    assert_true(l.s.c[4].logit == 0.0f);
}

static void bias_adds_and_bans(void **state)
{
    slm_logit_bias b[] = {{0, -INFINITY}, {2, 3}};
    slm_sampler_opts o = opts(0);
    (void)state;
    o.bias = b;
    o.n_bias = 2;
    slm_sampler *s = make(&o, 3);
    assert_int_equal(next(s, (const float[]){9, 1, 0}), 2);
    assert_int_equal(next(s, (const float[]){9, 4, 0}), 1);
    slm_sampler_free(s);
    slm_err err = {0};
    b[1].id = 3;
    assert_int_equal(slm_sampler_new(&s, rt, 3, NULL, &o, &err), SLM_E_ARG);
    assert_non_null(strstr(err.msg, "id 3"));
}

static void order_is_obeyed_and_unknown_names_are_refused(void **state)
{
    slm_sampler *s;
    slm_err err = {0};
    slm_sampler_opts o = opts(5);
    (void)state;
    /* hot first: the flattened list passes min-p; hot last: only the best was left */
    const float logits[] = {4, 2, 1};
    int other = 0;
    o.min_p = 0.5f;
    o.order = "min_p;temperature";
    s = make(&o, 3);
    for (int i = 0; i < 100; i++)
        other += next(s, logits) != 0;
    assert_int_equal(other, 0);
    slm_sampler_free(s);
    o.order = "temperature;min_p";
    s = make(&o, 3);
    for (int i = 0; i < 100; i++)
        other += next(s, logits) != 0;
    assert_true(other > 20);
    slm_sampler_free(s);
    o.order = "top_k;magic";
    assert_int_equal(slm_sampler_new(&s, rt, 3, NULL, &o, &err), SLM_E_ARG);
    assert_non_null(strstr(err.msg, "magic"));
    o.order = "top_k;top_k";
    assert_int_equal(slm_sampler_new(&s, rt, 3, NULL, &o, &err), SLM_E_ARG);
}

static void ranges_are_checked(void **state)
{
    slm_sampler *s;
    slm_err err = {0};
    slm_sampler_opts o = opts(1);
    (void)state;
    o.top_p = NAN;
    assert_int_equal(slm_sampler_new(&s, rt, 3, NULL, &o, &err), SLM_E_ARG);
    assert_non_null(strstr(err.msg, "top_p"));
    o = opts(-1);
    assert_int_equal(slm_sampler_new(&s, rt, 3, NULL, &o, &err), SLM_E_ARG);
    o = opts(1);
    o.mirostat = 1;
    assert_int_equal(slm_sampler_new(&s, rt, 3, NULL, &o, &err), SLM_E_ARG);
    o = opts(1);
    o.dry_multiplier = 1; /* breakers without a tokenizer */
    assert_int_equal(slm_sampler_new(&s, rt, 3, NULL, &o, &err), SLM_E_ARG);
}

static void bad_logits_are_named(void **state)
{
    slm_sampler_opts o = opts(1);
    slm_sampler *s = make(&o, 3);
    slm_err err = {0};
    int32_t id;
    (void)state;
    assert_int_equal(slm_sampler_next(s, (const float[]){1, NAN, 2}, &id, &err), SLM_E_NUMERIC);
    assert_non_null(strstr(err.msg, "id 1"));
    assert_int_equal(slm_sampler_next(s, (const float[]){1, 0, INFINITY}, &id, &err),
                     SLM_E_NUMERIC);
    assert_non_null(strstr(err.msg, "id 2"));
    const float none[] = {-INFINITY, -INFINITY, -INFINITY};
    assert_int_equal(slm_sampler_next(s, none, &id, &err), SLM_E_NUMERIC);
    assert_int_equal(next(s, (const float[]){-INFINITY, 0, -INFINITY}), 1);
    slm_sampler_free(s);
}

static void mirostat_settles_near_its_aim(void **state)
{
    slm_sampler_opts o = opts(1);
    float logits[MAX];
    double bits = 0, z = 0;
    (void)state;
    for (int i = 0; i < MAX; i++) {
        logits[i] = -0.15f * (float)i;
        z += exp((double)logits[i]);
    }
    o.mirostat = 2;
    o.mirostat_tau = 2.5f;
    slm_sampler *s = make(&o, MAX);
    for (int i = 0; i < 2000; i++) {
        int id = next(s, logits);
        if (i >= 1000)
            bits += -log2(exp((double)logits[id]) / z);
    }
    assert_true(bits / 1000 > 2.0 && bits / 1000 < 3.6);
    slm_sampler_free(s);
}

static void nothing_is_allocated_per_token(void **state)
{
    enum { V = 5000 };
    static float logits[V];
    slm_mem_stats before, after;
    slm_sampler_opts o = opts(0.9f);
    (void)state;
    o.repeat_penalty = 1.1f;
    o.penalty_last_n = -1;
    o.dry_multiplier = 0.5f;
    o.dry_breakers = "";
    o.typical_p = 0.9f;
    o.xtc_probability = 0.5f;
    o.context = 64;
    slm_sampler *s = make(&o, V);
    for (int i = 0; i < V; i++)
        logits[i] = (float)((i * 7919) % 997) * 0.01f;
    slm_runtime_memory(rt, &before);
    for (int i = 0; i < 300; i++)
        next(s, logits);
    slm_runtime_memory(rt, &after);
    assert_int_equal(before.count, after.count);
    slm_sampler_free(s);
}

static void logits_are_not_changed(void **state)
{
    float logits[] = {1, 2, 3}, kept[3];
    slm_sampler_opts o = opts(0.5f);
    (void)state;
    memcpy(kept, logits, sizeof kept);
    slm_sampler *s = make(&o, 3);
    next(s, logits);
    assert_memory_equal(kept, logits, sizeof kept);
    slm_sampler_free(s);
}

/* Samplers that draw together draw what each would have drawn alone; one that cannot is alone
 * in that. */
static void together_as_alone(void **state)
{
    enum { N = 9, V = 300 };
    static float logits[N][V];
    slm_runtime *many = NULL;
    slm_runtime_opts ro;
    slm_sampler *a[N], *b[N];
    const float *rows[N];
    slm_err err = {0};
    uint32_t x = 9;
    (void)state;
    slm_runtime_opts_init(&ro);
    ro.threads = 3;
    assert_int_equal(slm_runtime_open(&many, &ro, NULL), 0);
    for (int i = 0; i < N; i++) {
        slm_sampler_opts o;
        slm_sampler_opts_init(&o);
        o.temp = i % 3 ? 1 : 0;
        o.repeat_penalty = i % 2 ? 1.2f : 1;
        o.seed = (uint64_t)i;
        assert_int_equal(slm_sampler_new(&a[i], many, V, NULL, &o, &err), 0);
        assert_int_equal(slm_sampler_new(&b[i], rt, V, NULL, &o, &err), 0);
        rows[i] = logits[i];
    }
    for (int t = 0; t < 40; t++) {
        int32_t ids[N], id;
        for (int i = 0; i < N; i++)
            for (int k = 0; k < V; k++) {
                x = x * 1664525u + 1013904223u;
                logits[i][k] = (float)(x >> 16) / 10000;
            }
        if (t == 20)
            logits[4][7] = logits[6][8] = NAN;
        int rc = slm_sampler_next_each(a, rows, ids, N, &err);
        assert_int_equal(rc, t == 20 ? SLM_E_NUMERIC : 0);
        for (int i = 0; i < N; i++) {
            if (slm_sampler_next(b[i], logits[i], &id, NULL))
                id = -1;
            assert_int_equal(ids[i], id);
        }
    }
    assert_non_null(strstr(err.msg, "id 7"));
    assert_int_equal(slm_sampler_next_each(a, rows, NULL, 0, &err), SLM_E_ARG);
    for (int i = 0; i < N; i++) {
        slm_sampler_free(a[i]);
        slm_sampler_free(b[i]);
    }
    slm_runtime_close(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(top_k_orders_ties_by_id),
        cmocka_unit_test(top_k_of_every_length),
        cmocka_unit_test(top_p_takes_until_it_is_reached),
        cmocka_unit_test(min_p_is_a_share_of_the_best),
        cmocka_unit_test(typical_takes_the_nearest_to_the_entropy),
        cmocka_unit_test(xtc_keeps_the_least_likely_of_the_likely),
        cmocka_unit_test(mirostat_cuts_surprise),
        cmocka_unit_test(draws_follow_the_probabilities),
        cmocka_unit_test(greedy_is_argmax_and_ties_go_to_the_lower_id),
        cmocka_unit_test(same_seed_same_ids),
        cmocka_unit_test(frequencies_match_softmax),
        cmocka_unit_test(penalties_by_their_definition),
        cmocka_unit_test(dry_stops_a_repetition),
        cmocka_unit_test(dry_grows_with_the_length),
        cmocka_unit_test(bias_adds_and_bans),
        cmocka_unit_test(order_is_obeyed_and_unknown_names_are_refused),
        cmocka_unit_test(ranges_are_checked),
        cmocka_unit_test(bad_logits_are_named),
        cmocka_unit_test(mirostat_settles_near_its_aim),
        cmocka_unit_test(nothing_is_allocated_per_token),
        cmocka_unit_test(logits_are_not_changed),
        cmocka_unit_test(together_as_alone),
    };
    return cmocka_run_group_tests(tests, open_rt, close_rt);
}
