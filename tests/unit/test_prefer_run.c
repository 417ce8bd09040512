/* Training on preferences: a step is the same however its batch is cut, the reference of a
 * model that learns as a whole is the model as it came, also where a run goes on from its
 * checkpoint, and an adapter's reference is the model without it. */
#include "unit/model_kit.h"

#define MODEL "tests/golden/llama"
#define PAIRS "tests/data/prefer/expect.json"
enum { STEPS = 4 };

struct seen {
    double loss[STEPS + 1], margin[STEPS + 1], norm[STEPS + 1];
    int stop; /* behind this step; 0: never */
};

static int on_event(void *arg, const slm_train_event *e)
{
    struct seen *s = arg;
    if (e->kind != SLM_TRAIN_STEP)
        return 0;
    assert_true(e->step >= 1 && e->step <= STEPS);
    s->loss[e->step] = e->loss;
    s->margin[e->step] = e->margin;
    s->norm[e->step] = e->grad_norm;
    return e->step == s->stop;
}

struct setting {
    const char *kind;
    int batch, accumulate, adapter, resume;
    const char *out;
};

static int train(slm_runtime *rt, const struct setting *h, struct seen *s)
{
    slm_model *m;
    slm_model_opts mo;
    slm_pairs *pairs;
    slm_tokens *tokens;
    slm_train *t;
    slm_train_opts o;
    slm_adapter *adapter = NULL;
    slm_adapter_opts ao;
    slm_err err = {0};
    slm_model_opts_init(&mo);
    mo.allow_no_tokenizer = 1;
    slm_train_opts_init(&o);
    if (slm_model_open(&m, rt, MODEL, &mo, &err) || slm_pairs_load(&pairs, m, PAIRS, &err) ||
        slm_pairs_tokens(&tokens, pairs, &err))
        fail_msg("%s", err.msg);
    slm_adapter_opts_init(&ao);
    ao.r = 4;
    if (h->adapter && slm_adapter_new(&adapter, m, &ao, &err))
        fail_msg("%s", err.msg);
    o.data = tokens;
    o.adapter = adapter;
    o.prefer.kind = h->kind;
    o.seq = 32;
    o.batch = h->batch;
    o.accumulate = h->accumulate;
    o.steps = STEPS;
    o.shuffle = 0;
    o.lr = 1e-3f;
    o.schedule = "constant";
    o.precision = "f32";
    o.out = h->out;
    o.resume = h->resume;
    o.event = on_event;
    o.event_arg = s;
    int rc = slm_train_open(&t, m, &o, &err);
    if (rc)
        fail_msg("%s: %s", h->kind, err.msg);
    rc = slm_train_run(t, &err);
    if (rc && rc != SLM_E_CANCELLED)
        fail_msg("%s: %s", h->kind, err.msg);
    slm_train_close(&t);
    slm_adapter_close(&adapter);
    slm_tokens_close(&tokens);
    slm_pairs_free(pairs);
    slm_model_close(&m);
    return rc;
}

static void close_to(const struct seen *a, const struct seen *b, const char *what)
{
    for (int i = 1; i <= STEPS; i++)
        if (!(fabs(a->loss[i] - b->loss[i]) <= 2e-5 * fabs(b->loss[i])) ||
            !(fabs(a->norm[i] - b->norm[i]) <= 1e-3 * fabs(b->norm[i])))
            fail_msg("%s: step %d: loss %.9g, want %.9g; norm %.9g, want %.9g", what, i,
                     a->loss[i], b->loss[i], a->norm[i], b->norm[i]);
}

/* Four pairs at once, in two parts, in four; kto's distance spans them too. */
static void test_cuts(void **state)
{
    (void)state;
    slm_runtime *rt = runtime_new(NULL, 2);
    const char *kind;
    for (int i = 0; (kind = slm_prefer_kind_at(i)); i++) {
        struct seen whole = {0}, two = {0}, four = {0};
        struct setting h = {.kind = kind, .batch = 4, .accumulate = 1};
        assert_int_equal(train(rt, &h, &whole), 0);
        h.batch = h.accumulate = 2;
        assert_int_equal(train(rt, &h, &two), 0);
        h.batch = 1;
        h.accumulate = 4;
        assert_int_equal(train(rt, &h, &four), 0);
        close_to(&two, &whole, kind);
        close_to(&four, &whole, kind);
        assert_true(whole.loss[STEPS] < whole.loss[1]);
        assert_true(whole.margin[STEPS] > whole.margin[1]);
    }
    slm_runtime_close(&rt);
}

/* Policy and reference are the same before the first step. */
static void test_beginning(void **state)
{
    (void)state;
    slm_runtime *rt = runtime_new(NULL, 1);
    for (int adapter = 0; adapter < 2; adapter++) {
        struct seen s = {0};
        struct setting h = {.kind = "dpo", .batch = 4, .accumulate = 1, .adapter = adapter};
        assert_int_equal(train(rt, &h, &s), 0);
        assert_true(fabs(s.loss[1] - 0.69314718) < 1e-7);
        assert_true(s.margin[1] == 0 && s.loss[2] < s.loss[1]);
    }
    slm_runtime_close(&rt);
}

/* Stopped behind a step and gone on with, it gives the same bits. */
static void test_resume(void **state)
{
    (void)state;
    static const char *const kinds[] = {"dpo", "kto"};
    static const char *const left[] = {"run/best", "run"};
    slm_runtime *rt = runtime_new(NULL, 2);
    for (int i = 0; i < 4; i++) {
        struct seen whole = {0}, part = {0};
        struct setting h = {
            .kind = kinds[i % 2], .batch = 2, .accumulate = 2, .adapter = i / 2};
        assert_int_equal(train(rt, &h, &whole), 0);
        h.out = scratch("run");
        part.stop = 2;
        assert_int_equal(train(rt, &h, &part), SLM_E_CANCELLED);
        part.stop = 0;
        h.resume = 1;
        assert_int_equal(train(rt, &h, &part), 0);
        for (int k = 1; k <= STEPS; k++)
            if (part.loss[k] != whole.loss[k])
                fail_msg("%s: step %d: %.17g, want %.17g", h.kind, k, part.loss[k],
                         whole.loss[k]);
        for (size_t k = 0; k < sizeof left / sizeof *left; k++)
            slm_dir_remove(scratch(left[k]));
    }
    slm_runtime_close(&rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_beginning),
        cmocka_unit_test(test_resume),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
