/* The train room: optimisers against numbers made elsewhere (PyTorch's AdamW; Lion and Muon
 * from their papers in float64), schedules, new models, what is not finite, parts of a batch,
 * and going on from a checkpoint. */
#include "golden/golden_kit.h"

#include <math.h>

#include "train/train_in.h"

enum { N = 6, STEPS = 3 };
static const float begin[N] = {.5f, -1, 2, .25f, .75f, -.125f};
static const float grads[STEPS][N] = {{.1f, -.2f, .3f, .4f, 0, -.6f},
                                      {-.3f, .2f, .1f, .05f, .5f, .25f},
                                      {.02f, .01f, -.4f, -.1f, .3f, .7f}};

static slm_runtime *runtime(int threads)
{
    slm_runtime *rt = NULL;
    slm_runtime_opts o;
    slm_runtime_opts_init(&o);
    o.threads = threads;
    assert_int_equal(slm_runtime_open(&rt, &o, NULL), 0);
    return rt;
}

static void optimise(const char *name, float beta1, float beta2, const double want[STEPS][N])
{
    slm_runtime *rt = runtime(1);
    const struct slm_optim_row *row = slm_optim_find(name);
    assert_non_null(row);
    float v[N], g[N], state[2 * N] = {0}, room[256];
    struct slm_param p = {.name = "w",
                          .v = v,
                          .g = g,
                          .n = N,
                          .rows = 2,
                          .cols = 3,
                          .decay = true,
                          .inner = true};
    struct slm_whole at = {rt, room, 0, 1};
    memcpy(v, begin, sizeof v);
    for (int s = 0; s < STEPS; s++) {
        struct slm_optim_step o = {.lr = .01f,
                                   .beta1 = beta1,
                                   .beta2 = beta2,
                                   .eps = 1e-8f,
                                   .decay = .1f,
                                   .momentum = .95f,
                                   .scale = .5f, /* clipping: as if gradients were half */
                                   .step = s + 1,
                                   .power1 = pow((double)beta1, s + 1),
                                   .power2 = pow((double)beta2, s + 1)};
        for (int i = 0; i < N; i++)
            g[i] = 2 * grads[s][i];
        if (row->whole)
            row->whole(&p, state, &o, &at);
        else
            row->update(&p, state, &o, 0, N);
        for (int i = 0; i < N; i++)
            assert_true(fabs((double)v[i] - want[s][i]) < 2e-6);
    }
    slm_runtime_close(&rt);
}

static void test_adamw(void **state)
{
    (void)state;
    static const double want[STEPS][N] = {
        {0.489500016, -0.989000022, 1.98800004, 0.239749998, 0.749249995, -0.114875004},
        {0.493903458, -0.988537371, 1.97721243, 0.231843993, 0.741151154, -0.111408912},
        {0.496828109, -0.988189459, 1.97606909, 0.227378085, 0.732242346, -0.11422357}};
    optimise("adamw", .9f, .95f, want);
}

static void test_lion(void **state)
{
    (void)state;
    static const double want[STEPS][N] = {
        {0.4895, -0.989, 1.988, 0.23975, 0.74925, -0.114875},
        {0.4990105, -0.998011, 1.976012, 0.2295102, 0.7385007, -0.1247601},
        {0.4885115, -1.007013, 1.984036, 0.2392807, 0.7277622, -0.1346354}};
    optimise("lion", .9f, .99f, want);
}

static void test_muon(void **state)
{
    (void)state;
    static const double want[STEPS][N] = {
        {0.4973897, -0.9967966, 1.996208, 0.2478285, 0.7497543, -0.1231274},
        {0.4985497, -0.9964841, 1.992657, 0.2459496, 0.7455548, -0.1228061},
        {0.4988401, -0.9968568, 1.992431, 0.2455062, 0.7428305, -0.1242155}};
    optimise("muon", .9f, .95f, want);
}

static float share(const char *name, float warmup, int64_t step)
{
    slm_train_opts o;
    struct slm_schedule s;
    slm_train_opts_init(&o);
    o.schedule = name;
    o.warmup = warmup;
    o.min_lr = .1f;
    o.decay_share = .2f;
    assert_int_equal(slm_schedule_init(&s, &o, 100, NULL), 0);
    return slm_schedule_at(&s, step);
}

static void test_schedules(void **state)
{
    (void)state;
    const struct {
        const char *name;
        float warmup;
        int64_t step;
        double want;
    } rows[] = {
        {"constant", 0, 0, 1},
        {"constant", 0, 99, 1},
        {"constant", .1f, 0, 1. / 11},
        {"constant", 10, 9, 10. / 11},
        {"linear", 0, 0, 1},
        {"linear", 0, 50, .55},
        {"linear", 20, 60, .55},
        {"cosine", 0, 0, 1},
        {"cosine", 0, 50, .55},
        {"cosine", 0, 100, .1},
        {"wsd", 5, 5, 1},
        {"wsd", 5, 79, 1},
        {"wsd", 5, 85, .1 + .9 * (1 - .5)},
        {"wsd", 5, 100, .1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_true(fabs((double)share(rows[i].name, rows[i].warmup, rows[i].step) -
                         rows[i].want) < 1e-5);
    slm_train_opts o;
    slm_err err = {0};
    struct slm_schedule s;
    slm_train_opts_init(&o);
    o.schedule = "steps";
    assert_int_equal(slm_schedule_init(&s, &o, 100, &err), SLM_E_ARG);
    assert_non_null(strstr(err.msg, "steps"));
}

/* ---- whole runs on a small new model ---- */

enum { IDS = 16 * 24 };

static slm_model *new_model(slm_runtime *rt)
{
    slm_model *m = NULL;
    slm_model_shape s;
    slm_err err = {0};
    slm_model_shape_init(&s);
    s.family = "llama";
    s.width = 32;
    s.layers = 2;
    s.heads = 4;
    s.kv_heads = 2;
    s.ffn = 48;
    s.vocab = 40;
    s.context = 64;
    if (slm_model_new(&m, rt, &s, &err))
        fail_msg("%s", err.msg);
    return m;
}

struct seen {
    double loss[16];
    int n;
};

static int on_event(void *arg, const slm_train_event *e)
{
    struct seen *s = arg;
    if (e->kind == SLM_TRAIN_STEP && s->n < 16)
        s->loss[s->n++] = e->loss;
    return 0;
}

static void options(slm_train_opts *o, int32_t *ids, struct seen *seen)
{
    slm_train_opts_init(o);
    for (int i = 0; i < IDS; i++)
        ids[i] = i * i % 37 + 1;
    memset(seen, 0, sizeof *seen);
    o->ids = ids;
    o->n_ids = IDS;
    o->seq = 24;
    o->batch = 8;
    o->steps = 8;
    o->lr = 1e-2f;
    o->precision = "f32";
    o->event = on_event;
    o->event_arg = seen;
}

static void run(const slm_train_opts *o, int threads, int want, slm_err *err)
{
    slm_runtime *rt = runtime(threads);
    slm_model *m = new_model(rt);
    slm_train *t = NULL;
    int rc = slm_train_open(&t, m, o, err);
    if (!rc)
        rc = slm_train_run(t, err);
    if (rc != want)
        fail_msg("%d: %s", rc, err->msg);
    slm_train_close(&t);
    slm_model_close(&m);
    slm_runtime_close(&rt);
}

/* Parts of a batch, stretches computed again, threads: the same losses. */
static void test_parts(void **state)
{
    (void)state;
    int32_t ids[IDS];
    struct seen seen[4];
    slm_train_opts o;
    slm_err err = {0};
    options(&o, ids, &seen[0]);
    o.lr = 1e-3f;
    run(&o, 1, 0, &err);
    assert_int_equal(seen[0].n, 8);
    assert_true(fabs(seen[0].loss[0] - log(40)) < .1 && seen[0].loss[7] < seen[0].loss[0]);
    for (int i = 1; i < 4; i++) {
        options(&o, ids, &seen[i]);
        o.lr = 1e-3f;
        if (i == 1) {
            o.batch = 1;
            o.accumulate = 8;
        }
        o.stretch = i == 2;
        run(&o, i == 3 ? 3 : 1, 0, &err);
        for (int k = 0; k < 8; k++)
            assert_true(fabs(seen[i].loss[k] - seen[0].loss[k]) <= (i == 1 ? 1e-6 : 0));
    }
}

/* Every optimiser learns; every row of the table is there. */
static void test_learns(void **state)
{
    (void)state;
    for (int i = 0; i < slm_optim_count; i++) {
        int32_t ids[IDS];
        struct seen seen;
        slm_train_opts o;
        slm_err err = {0};
        options(&o, ids, &seen);
        o.optimizer = slm_optims[i].name;
        run(&o, 2, 0, &err);
        assert_true(seen.loss[7] < seen.loss[0] - .1);
    }
}

/* What is not finite is named: a weight, and a gradient that outgrows float32. */
static void test_not_finite(void **state)
{
    (void)state;
    int32_t ids[IDS];
    struct seen seen;
    slm_train_opts o;
    slm_err err = {0};
    slm_runtime *rt = runtime(2);
    slm_model *m = new_model(rt);
    slm_train *t = NULL;
    int weight = -1;
    for (int i = 0; i < m->n_weights; i++)
        if (!strcmp(m->weight[i].name, "blk.1.ffn_down.weight"))
            weight = i;
    options(&o, ids, &seen);
    assert_int_equal(slm_train_open(&t, m, &o, &err), 0);
    slm_model_values(m, weight, 0)[7] = NAN;
    assert_int_equal(slm_train_run(t, &err), SLM_E_NUMERIC);
    assert_non_null(strstr(err.msg, "blk.1.ffn_down.weight"));
    slm_train_close(&t);
    slm_model_close(&m);
    slm_runtime_close(&rt);

    options(&o, ids, &seen);
    o.lr = 100; /* the weights grow a hundred thousand times in each step */
    o.weight_decay = 1000;
    o.schedule = "constant";
    o.clip = 0;
    o.warmup = 0;
    err.msg[0] = 0;
    run(&o, 1, SLM_E_NUMERIC, &err);
    assert_non_null(strstr(err.msg, "finite"));
    assert_non_null(strstr(err.msg, "step "));
}

static void test_refusals(void **state)
{
    (void)state;
    int32_t ids[IDS];
    struct seen seen;
    slm_train_opts o;
    slm_err err = {0};
    options(&o, ids, &seen);
    o.optimizer = "sgdx";
    run(&o, 1, SLM_E_ARG, &err);
    assert_non_null(strstr(err.msg, "adamw"));
    options(&o, ids, &seen);
    o.beta1 = 1.5f;
    run(&o, 1, SLM_E_ARG, &err);
    assert_non_null(strstr(err.msg, "beta1"));
    options(&o, ids, &seen);
    o.targets = "nothing_so_named";
    run(&o, 1, SLM_E_ARG, &err);
    options(&o, ids, &seen);
    o.ids = NULL;
    run(&o, 1, SLM_E_ARG, &err);
    options(&o, ids, &seen);
    o.memory = 1 << 16;
    run(&o, 1, SLM_E_LIMIT, &err);
    assert_non_null(strstr(err.msg, "what helps"));
    options(&o, ids, &seen);
    o.patience = 2;
    run(&o, 1, SLM_E_ARG, &err);
}

/* Only what is named learns. */
static void test_targets(void **state)
{
    (void)state;
    int32_t ids[IDS];
    struct seen seen;
    slm_train_opts o;
    slm_err err = {0};
    slm_runtime *rt = runtime(1);
    slm_model *m = new_model(rt);
    slm_train *t = NULL;
    slm_train_plan plan;
    options(&o, ids, &seen);
    o.targets = "down_proj,norm";
    assert_int_equal(slm_train_open(&t, m, &o, &err), 0);
    slm_train_plan_get(t, &plan);
    assert_int_equal(plan.trained, 2 * 32 * 48 + 5 * 32);
    float before = slm_model_values(m, 0, 0)[3];
    assert_int_equal(slm_train_run(t, &err), 0);
    assert_true(before == slm_model_values(m, 0, 0)[3]);
    slm_train_close(&t);
    slm_model_close(&m);
    slm_runtime_close(&rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adamw),      cmocka_unit_test(test_lion),
        cmocka_unit_test(test_muon),       cmocka_unit_test(test_schedules),
        cmocka_unit_test(test_parts),      cmocka_unit_test(test_learns),
        cmocka_unit_test(test_not_finite), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_targets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
