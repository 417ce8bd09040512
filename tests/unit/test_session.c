/* Sessions: what they refuse and that they stay whole then, damaged session files, weights that
 * are not finite, memory that runs out anywhere, and none taken while decoding. */
#include "slm/bench.h"
#include "unit/model_kit.h"

static slm_runtime *rt;

static int setup(void **state)
{
    rt = runtime_new(NULL, 1);
    return scratch_open(state);
}

static int teardown(void **state)
{
    slm_runtime_close(&rt);
    return scratch_close(state);
}

static const int32_t some[] = {5, 9, 33, 60, 7, 12, 12, 41, 3, 20, 8, 57};
#define SOME 12

static int tell(slm_runtime *on, const slm_model *m, const slm_session_opts *o, slm_err *err)
{
    slm_session *s = NULL;
    slm_mem_stats before, after;
    memset(err, 0, sizeof *err);
    slm_runtime_memory(on, &before);
    int rc = slm_session_open(&s, m, o, err);
    assert_true(rc ? !s : !!s);
    slm_session_close(&s);
    slm_runtime_memory(on, &after);
    assert_int_equal(after.blocks, before.blocks);
    assert_int_equal(after.bytes, before.bytes);
    return rc;
}

static void test_options(void **state)
{
    (void)state;
    slm_model *m = model_at(rt, GOLDEN "/llama");
    static const struct {
        slm_session_opts o;
        int code;
        const char *words;
    } cases[] = {
        {{.context = -1}, SLM_E_ARG, "context"},
        {{.context = INT32_MAX}, SLM_E_ARG, "context"},
        {{.batch = -1}, SLM_E_ARG, "batch"},
        {{.batch = 1 << 20}, SLM_E_ARG, "batch"},
        {{.kv_type = "q4_K"}, SLM_E_UNSUPPORTED, "q4_K"},
        {{.kv_type = "nonsense"}, SLM_E_UNSUPPORTED, "nonsense"},
        {{.kv_type = ""}, SLM_E_UNSUPPORTED, "cache type"},
        {{.kv_type = "q8_0"}, SLM_E_UNSUPPORTED, "q8_0"}, /* heads of 8 */
        {{.context = 1}, 0, ""},
        {{.context = 100000, .batch = 3}, 0, ""},
        {{.exact = 1}, 0, ""},
    };
    slm_err err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int rc = tell(rt, m, &cases[i].o, &err);
        if (rc != cases[i].code || (rc && !strstr(err.msg, cases[i].words)))
            fail_msg("case %zu: %d \"%s\"", i, rc, err.msg);
    }
    slm_session *s = NULL;
    assert_int_equal(slm_session_open(&s, m, NULL, &err), 0);
    assert_int_equal(slm_session_context(s), 64); /* the model's own */
    assert_ptr_equal(slm_session_model(s), m);
    slm_session_close(&s);
    slm_session_close(&s);
    slm_session_close(NULL);
    slm_model_close(&m);
}

/* After each refusal the session is what it was. */
static void test_misuse(void **state)
{
    (void)state;
    slm_model *m = model_at(rt, GOLDEN "/mistral");
    slm_session *s = session_on(m, &(struct how){.context = SOME, .batch = 4});
    slm_session *plain = session_on(m, &(struct how){.context = SOME, .batch = 4});
    slm_err err = {0};
    static const int32_t below[] = {5, -1}, above[] = {5, 64}, far[] = {INT32_MAX, INT32_MIN};
    static int32_t many[SOME + 1];
    assert_null(slm_session_logits(s));
    assert_int_equal(slm_session_length(s), 0);
    assert_int_equal(slm_session_append(plain, some, 5, &err), 0);
    assert_int_equal(slm_session_append(s, some, 5, &err), 0);
    const struct {
        const int32_t *ids;
        int n, code;
        const char *words;
    } cases[] = {
        {some, 0, SLM_E_ARG, "no tokens"},
        {NULL, 0, SLM_E_ARG, "no tokens"},
        {some, -3, SLM_E_ARG, "no tokens"},
        {below, 2, SLM_E_ARG, "token 1 is -1"},
        {above, 2, SLM_E_ARG, "token 1 is 64"},
        {far, 2, SLM_E_ARG, "token 0"},
        {many, SOME + 1, SLM_E_LIMIT, "context of 12"},
        {many, INT32_MAX, SLM_E_LIMIT, "context of 12"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int way = 0; way < 3; way++) {
            struct rows none = {NULL, 0};
            const int32_t *ids = cases[i].ids;
            memset(&err, 0, sizeof err);
            int n = cases[i].n;
            int rc = way == 0   ? slm_session_append(s, ids, n, &err)
                     : way == 1 ? slm_session_sync(s, ids, n, NULL, &err)
                                : slm_session_score(s, ids, n, take_row, &none, &err);
            if (rc != cases[i].code || rc != err.code || !strstr(err.msg, cases[i].words))
                fail_msg("case %zu, way %d: %d \"%s\"", i, way, rc, err.msg);
            assert_int_equal(slm_session_length(s), 5);
            assert_same(slm_session_logits(s), slm_session_logits(plain), 64,
                        "after a refusal");
        }
    assert_int_equal(slm_session_append(s, many, SOME - 4, &err), SLM_E_LIMIT);
    assert_int_equal(slm_session_append(s, some + 5, SOME - 5, &err), 0); /* up to the brim */
    assert_int_equal(slm_session_append(plain, some + 5, SOME - 5, &err), 0);
    assert_same(slm_session_logits(s), slm_session_logits(plain), 64, "full");
    assert_int_equal(slm_session_append(s, some, 1, &err), SLM_E_LIMIT);
    assert_int_equal(slm_session_truncate(s, 99), SOME);
    assert_int_equal(slm_session_truncate(s, -5), 0);
    assert_int_equal(slm_session_append(s, some, 1, NULL), 0);
    assert_true(slm_session_append(s, below, 2, NULL) == SLM_E_ARG); /* nobody asks why */
    slm_session_close(&s);
    slm_session_close(&plain);
    slm_model_close(&m);
}

static int stop_at(void *arg, int row, const float *logits)
{
    (void)logits;
    return row == *(int *)arg;
}

static void test_cancel(void **state)
{
    (void)state;
    slm_model *m = model_at(rt, GOLDEN "/llama");
    slm_session *s = session_on(m, &(struct how){.batch = 4});
    slm_err err = {0};
    int at = 5, reused = 0;
    assert_int_equal(slm_session_score(s, some, SOME, stop_at, &at, &err), SLM_E_CANCELLED);
    float *whole = logits_at(rt, GOLDEN "/llama", some, SOME, NULL);
    assert_int_equal(slm_session_sync(s, some, SOME, &reused, &err), 0);
    assert_true(reused > 0 && reused < SOME);
    assert_close(slm_session_logits(s), whole + (SOME - 1) * 64, 64, 1e-4f, "after a cancel");
    free(whole);
    slm_session_close(&s);
    slm_model_close(&m);
}

/* ---- numbers that are none ---- */

static void test_not_finite(void **state)
{
    (void)state;
    static const char *const names[] = {"lm_head.weight", "model.norm.weight",
                                        "model.layers.0.mlp.down_proj.weight",
                                        "model.layers.1.self_attn.v_proj.weight"};
    static const uint32_t bits[] = {0x7fc00000u, 0x7f800000u, 0xff800000u};
    char to[300];
    for (size_t i = 0; i < 4; i++)
        for (size_t k = 0; k < 3; k++) {
            struct edit e = {.target = names[i], .kind = EDIT_BITS, .bits = bits[k]};
            copy_model(GOLDEN "/llama", scratch("nan"), "config.json");
            snprintf(to, sizeof to, "%s/model.safetensors", scratch("nan"));
            edit_tensors(rt, GOLDEN "/llama/model.safetensors", to, &e);
            slm_model *m = model_at(rt, scratch("nan"));
            slm_session *s = session_on(m, &(struct how){0});
            slm_err err = {0};
            assert_int_equal(slm_session_append(s, some, SOME, &err), SLM_E_NUMERIC);
            assert_non_null(strstr(err.msg, scratch("nan")));
            assert_null(slm_session_logits(s));
            slm_session_close(&s);
            slm_model_close(&m);
        }
    slm_dir_remove(scratch("nan"));
}

/* ---- steps ---- */

static slm_session *sharing(const slm_model *m, slm_session *with, slm_session_opts o,
                            const char *words)
{
    slm_session *s = NULL;
    slm_err err = {0};
    o.share = with;
    int rc = slm_session_open(&s, m, &o, &err);
    if (words && (rc != SLM_E_ARG || s || !strstr(err.msg, words)))
        fail_msg("%d \"%s\", want \"%s\"", rc, err.msg, words);
    if (!words && rc)
        fail_msg("%s", err.msg);
    return s;
}

static void test_share(void **state)
{
    (void)state;
    slm_model *m = model_at(rt, GOLDEN "/llama"), *other = model_at(rt, GOLDEN "/mistral");
    static const slm_session_opts first = {.context = 40, .batch = 8};
    slm_session *a = sharing(m, NULL, first, NULL);
    slm_err err = {0};
    sharing(other, a, first, GOLDEN "/mistral");
    sharing(m, a, (slm_session_opts){.context = 40, .batch = 9}, "batch of 9");
    sharing(m, a, (slm_session_opts){.context = 40, .exact = 1}, "exact");
    slm_mem_stats one, two;
    slm_runtime_memory(rt, &one);
    slm_session *b = sharing(m, a, (slm_session_opts){.context = 20, .kv_type = "f32"}, NULL);
    slm_runtime_memory(rt, &two);
    assert_true(two.bytes - one.bytes < 100000); /* its cache, and no second set of programs */
    assert_int_equal(slm_session_append(a, some, 3, &err), 0);
    assert_non_null(slm_session_logits(a));
    assert_int_equal(slm_session_append(b, some, 3, &err), 0);
    assert_null(slm_session_logits(a)); /* gone with the run */
    assert_int_equal(slm_session_sync(a, some, 3, NULL, &err), 0);
    assert_non_null(slm_session_logits(a));
    assert_null(slm_session_logits(b));
    slm_session_close(&a); /* the one that shared first may go first */
    assert_int_equal(slm_session_append(b, some, 3, &err), 0);
    slm_session_close(&b);
    slm_model_close(&m);
    slm_model_close(&other);
}

static void refuse_step(const slm_step *st, int n, int code, const char *words)
{
    slm_err err = {0};
    int before = slm_session_length(st[0].session);
    int rc = slm_session_step(st, n, &err);
    if (rc != code || rc != err.code || !strstr(err.msg, words))
        fail_msg("%d \"%s\", want %d \"%s\"", rc, err.msg, code, words);
    assert_int_equal(slm_session_length(st[0].session), before);
}

static void test_step_misuse(void **state)
{
    (void)state;
    slm_model *m = model_at(rt, GOLDEN "/llama"), *other = model_at(rt, GOLDEN "/mistral");
    static const slm_session_opts o = {.context = 90, .batch = 8}, small = {.context = 9};
    static int32_t many[80];
    slm_session *a = sharing(m, NULL, o, NULL), *b = sharing(m, a, small, NULL);
    slm_session *apart = sharing(m, NULL, o, NULL), *far = sharing(other, NULL, o, NULL);
    slm_step crowd[65];
    for (int i = 0; i < 65; i++)
        crowd[i] = (slm_step){a, some, 1, 0};
    refuse_step(crowd, 0, SLM_E_ARG, "0 streams");
    refuse_step(crowd, 65, SLM_E_ARG, "65 streams");
    refuse_step(crowd, 2, SLM_E_ARG, "0 and 1 are one");
    refuse_step((slm_step[]){{a, some, 1, 0}, {far, some, 1, 0}}, 2, SLM_E_ARG, "mistral");
    refuse_step((slm_step[]){{a, some, 1, 0}, {apart, some, 1, 0}}, 2, SLM_E_ARG, "share");
    refuse_step((slm_step[]){{a, some, 1, 0}, {b, many, 10, 0}}, 2, SLM_E_LIMIT, "of 9");
    refuse_step((slm_step[]){{a, some, 1, 0}, {b, many, 0, 0}}, 2, SLM_E_ARG, "no tokens");
    refuse_step((slm_step[]){{a, (int32_t[]){64}, 1, 0}, {b, many, 1, 0}}, 2, SLM_E_ARG, "64");
    refuse_step((slm_step[]){{a, many, 65, 1}}, 1, SLM_E_LIMIT, "64 rows");
    refuse_step((slm_step[]){{a, many, 56, 1}, {b, many, 9, 1}}, 2, SLM_E_LIMIT, "64 rows");
    slm_err err = {0};
    assert_int_equal(slm_session_step((slm_step[]){{a, many, 63, 1}, {b, many, 9, 0}}, 2, &err),
                     0);
    assert_int_equal(slm_session_rows(a), 63);
    assert_int_equal(slm_session_rows(b), 1);
    slm_session_close(&a);
    slm_session_close(&b);
    slm_session_close(&apart);
    slm_session_close(&far);
    slm_model_close(&m);
    slm_model_close(&other);
}

/* A stream that meets a weight that is no number is alone in its misfortune. */
static void test_step_not_finite(void **state)
{
    (void)state;
    char to[300];
    struct edit e = {
        .target = "model.embed_tokens.weight", .kind = EDIT_BITS, .bits = 0x7fc00000u};
    copy_model(GOLDEN "/llama", scratch("nan"), "config.json");
    snprintf(to, sizeof to, "%s/model.safetensors", scratch("nan"));
    edit_tensors(rt, GOLDEN "/llama/model.safetensors", to, &e); /* token 0 is no number */
    slm_model *m = model_at(rt, scratch("nan"));
    static const slm_session_opts o = {.context = 40, .batch = 8};
    static const int32_t bad[] = {7, 0, 9};
    slm_session *a = sharing(m, NULL, o, NULL), *b = sharing(m, a, o, NULL);
    slm_session *alone = sharing(m, NULL, o, NULL);
    slm_err err = {0};
    assert_int_equal(slm_session_append(alone, some, 3, &err), 0);
    for (int all = 0; all < 2; all++) {
        slm_session_reset(a);
        slm_session_reset(b);
        int rc = slm_session_step((slm_step[]){{a, bad, 3, all}, {b, some, 3, 0}}, 2, &err);
        assert_int_equal(rc, all ? 0 : SLM_E_NUMERIC);
        assert_null(slm_session_logits(a));
        assert_same(slm_session_logits(b), slm_session_logits(alone), 64, "beside a bad one");
        assert_int_equal(slm_session_rows(a), all ? 3 : 0);
        if (!all)
            continue;
        assert_non_null(slm_session_row(a, 0, &err));
        memset(&err, 0, sizeof err);
        assert_null(slm_session_row(a, 1, &err));
        assert_int_equal(err.code, SLM_E_NUMERIC);
        assert_non_null(strstr(err.msg, "token 1 "));
        assert_int_equal(slm_session_truncate(a, 1), 1);
        assert_non_null(slm_session_logits(a));
    }
    slm_session_close(&a);
    slm_session_close(&b);
    slm_session_close(&alone);
    slm_model_close(&m);
    slm_dir_remove(scratch("nan"));
}

/* ---- session files ---- */

/* A file that must not restore, and changes nothing. */
static void refuse_file(slm_session *s, const char *bytes, size_t n, const char *what)
{
    slm_err err = {0};
    const char *path = scratch("damaged");
    write_text(path, bytes, n);
    int before = slm_session_length(s), rc = slm_session_restore(s, path, &err);
    if (rc >= 0 || rc != err.code || !strstr(err.msg, path))
        fail_msg("%s: %d \"%s\"", what, rc, err.msg);
    assert_int_equal(slm_session_length(s), before);
}

static void test_damage(void **state)
{
    (void)state;
    slm_model *m = model_at(rt, GOLDEN "/gemma"); /* one key/value head: a small file */
    slm_session *a = session_on(m, &(struct how){.batch = 8, .kv = "f16"});
    slm_session *b = session_on(m, &(struct how){.batch = 8, .kv = "f16"});
    slm_err err = {0};
    char what[64];
    size_t n;
    assert_int_equal(slm_session_append(a, some, 4, &err), 0);
    assert_int_equal(slm_session_append(b, some + 2, 3, &err), 0);
    if (slm_session_save(a, scratch("good"), &err))
        fail_msg("%s", err.msg);
    char *bytes = read_all(scratch("good"), &n);
    for (size_t i = 0; i < n; i++)
        for (int way = 0; way < 9; way++) {
            char was = bytes[i];
            bytes[i] = (char)(way == 8 ? ~was : was ^ 1 << way);
            snprintf(what, sizeof what, "byte %zu, way %d", i, way);
            refuse_file(b, bytes, n, what);
            bytes[i] = was;
        }
    for (size_t i = 0; i < n; i++)
        refuse_file(b, bytes, i, "cut");
    refuse_file(b, bytes, n + 1, "a byte more");
    float logits[64];
    assert_int_equal(slm_session_append(b, some + 5, 1, &err), 0); /* as if nothing had been */
    memcpy(logits, slm_session_logits(b), sizeof logits);
    assert_int_equal(slm_session_restore(b, scratch("good"), &err), 0);
    assert_null(slm_session_logits(b));
    assert_int_equal(slm_session_sync(b, some + 2, 4, NULL, &err), 0);
    assert_close(slm_session_logits(b), logits, 64, 1e-4f, "unharmed");
    free(bytes);
    slm_session_close(&a);
    slm_session_close(&b);
    slm_model_close(&m);
}

static void test_wrong_file(void **state)
{
    (void)state;
    slm_model *m = model_at(rt, GOLDEN "/mistral"), *other = model_at(rt, GOLDEN "/llama");
    static const struct how good = {.batch = 4, .context = 32};
    static const struct how hows[] = {{.batch = 4, .context = 32, .kv = "f16"},
                                      {.batch = 4, .context = 8}, /* too few for 10 tokens */
                                      {.batch = 100, .context = 200}};
    slm_session *a = session_on(m, &good), *b = session_on(other, &good);
    slm_err err = {0};
    const char *path = scratch("wrong");
    assert_int_equal(slm_session_append(a, some, 10, &err), 0);
    assert_int_equal(slm_session_save(a, path, &err), 0);
    assert_int_equal(slm_session_restore(b, path, &err), SLM_E_ARG);
    assert_non_null(strstr(err.msg, "another model"));
    slm_session_close(&b);
    for (int i = 0; i < 3; i++) {
        b = session_on(m, &hows[i]);
        assert_true(slm_session_restore(b, path, &err) < 0);
        assert_int_equal(slm_session_length(b), 0);
        slm_session_close(&b);
    }
    b = session_on(m, &good);
    assert_int_equal(slm_session_restore(b, scratch("nothing"), &err), SLM_E_NOTFOUND);
    assert_true(slm_session_restore(b, scratch_dir, &err) < 0);
    assert_true(slm_session_save(a, scratch("no/where"), &err) < 0);
    slm_session_close(&b);
    slm_session_close(&a);
    unlink(path);
    slm_model_close(&m);
    slm_model_close(&other);
}

/* ---- memory ---- */

static void test_no_allocation(void **state)
{
    (void)state;
    static const char *const models[] = {GOLDEN "/llama", GOLDEN "/mixtral",
                                         GOLDEN "/phi3-longrope", GOLDEN "/gemma3"};
    for (size_t i = 0; i < 4; i++) {
        slm_model *m = model_at(rt, models[i]);
        slm_session *s = session_on(m, &(struct how){.context = 96, .batch = 16});
        slm_sampler *sampler = NULL;
        slm_sampler_opts so;
        slm_mem_stats before, after;
        slm_err err = {0};
        slm_sampler_opts_init(&so);
        so.seed = 7;
        assert_int_equal(slm_sampler_new(&sampler, rt, 64, NULL, &so, &err), 0);
        assert_int_equal(slm_session_append(s, some, SOME, &err), 0);
        slm_runtime_memory(rt, &before);
        for (int t = 0; t < 64; t++) {
            int32_t id;
            if (slm_sampler_next(sampler, slm_session_logits(s), &id, &err) ||
                slm_session_append(s, &id, 1, &err))
                fail_msg("%s", err.msg);
        }
        slm_session_truncate(s, 60);
        assert_int_equal(slm_session_sync(s, some, SOME, NULL, &err), 0);
        slm_runtime_memory(rt, &after);
        assert_true(after.count == before.count && after.bytes == before.bytes);
        slm_sampler_free(sampler);
        slm_session_close(&s);
        slm_model_close(&m);
    }
}

/* What is foretold of a stream's memory is what it takes, but for lists of tokens and nodes. */
static void test_foretold(void **state)
{
    (void)state;
    static const int contexts[] = {64, 512, 2048};
    slm_model *m = model_at(rt, "models/storyteller.gguf");
    for (size_t i = 0; i < 3; i++) {
        slm_session_opts o = {.context = contexts[i], .kv_type = i % 2 ? "q8_0" : "f16"};
        slm_advise_opts ao = {.context = o.context, .kv_type = o.kv_type};
        slm_mem_stats before, after;
        slm_advice told = {0};
        slm_session *s = NULL;
        slm_err err = {0};
        assert_int_equal(slm_advise(m, NULL, &ao, &told, &err), 0);
        assert_int_equal(told.cache, slm_model_kv_bytes(m, o.context, o.kv_type));
        slm_runtime_memory(rt, &before);
        assert_int_equal(slm_session_open(&s, m, &o, &err), 0);
        assert_int_equal(slm_session_sync(s, some, SOME, NULL, &err), 0);
        assert_int_equal(slm_session_append(s, some, SOME, &err), 0);
        slm_runtime_memory(rt, &after);
        double used = (double)(after.bytes - before.bytes);
        double told_of = (double)(told.cache + told.work), lists = 128 << 10;
        if (told_of > used || told_of < 0.97 * used - lists)
            fail_msg("context %d: %.0f bytes, %.0f were told", o.context, used, told_of);
        slm_session_close(&s);
    }
    slm_model_close(&m);
}

/* Rows of logits beyond those that there was room for at first. */
static void test_widen(void **state)
{
    (void)state;
    slm_model *m = model_at(rt, GOLDEN "/llama");
    slm_session *a = session_on(m, &(struct how){.context = 96, .batch = 1});
    slm_session *b = session_on(m, &(struct how){.context = 96, .batch = 1});
    slm_err err = {0};
    int32_t ids[40];
    for (int i = 0; i < 40; i++)
        ids[i] = some[i % SOME];
    slm_step all = {.session = a, .ids = ids, .n = 40, .all = 1};
    assert_int_equal(slm_session_step(&all, 1, &err), 0);
    assert_int_equal(slm_session_rows(a), 40);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(slm_session_append(b, ids + i, 1, &err), 0);
        const float *x = slm_session_row(a, i, &err), *y = slm_session_logits(b);
        assert_true(x && y && !memcmp(x, y, 64 * sizeof *x));
    }
    slm_session_close(&a);
    slm_session_close(&b);
    slm_model_close(&m);
}

/* Everything a model does, once: opened, run, saved, restored, learnt from, converted. */
static int live(slm_runtime *on, const char *path, slm_err *err)
{
    slm_model *m = NULL;
    slm_session *s = NULL;
    slm_model_opts mo = {.allow_no_tokenizer = 1};
    slm_session_opts so = {.context = 40, .batch = 8, .exact = 1};
    double loss;
    int rc = slm_model_open(&m, on, path, &mo, err);
    if (!rc)
        rc = slm_session_open(&s, m, &so, err);
    if (!rc)
        rc = slm_session_append(s, some, SOME, err);
    if (!rc)
        rc = slm_session_save(s, scratch("live"), err);
    if (!rc)
        rc = slm_session_restore(s, scratch("live"), err);
    if (!rc)
        rc = slm_session_sync(s, some, SOME, NULL, err);
    if (!rc)
        rc = slm_model_gradients(m, some, NULL, SOME, scratch("live.grad"), &loss, err);
    slm_session_close(&s);
    slm_model_close(&m);
    slm_convert_opts co = {.type = "f16"};
    if (!rc)
        rc = slm_model_convert(on, path, scratch("live.gguf"), &co, err);
    return rc;
}

/* Fails the nth allocation; 1 when that many were not made. */
static int starve(const char *path, int64_t n)
{
    slm_runtime *on = NULL;
    slm_runtime_opts o;
    slm_mem_stats before, after;
    slm_err err = {0};
    slm_runtime_opts_init(&o);
    o.threads = 1;
    o.fail_alloc = n;
    if (slm_runtime_open(&on, &o, &err))
        return 0;
    slm_runtime_memory(on, &before);
    int rc = live(on, path, &err);
    slm_runtime_memory(on, &after);
    slm_runtime_close(&on);
    if (after.blocks != before.blocks || after.bytes != before.bytes)
        fail_msg("%s: allocation %d fails: %d blocks are left", path, (int)n,
                 (int)(after.blocks - before.blocks));
    if (rc && (rc != SLM_E_NOMEM || !err.msg[0]))
        fail_msg("%s: allocation %d fails: %d \"%s\"", path, (int)n, rc, err.msg);
    if (!rc && after.count >= (uint64_t)n)
        fail_msg("%s: allocation %d fails unseen", path, (int)n);
    return !rc;
}

static void test_starve(void **state)
{
    (void)state;
    static const char *const models[] = {GOLDEN "/llama-tied", GOLDEN "/mixtral-4x3",
                                         GOLDEN "/phi3-partial", GOLDEN "/stablelm-parallel",
                                         GOLDEN "/ministral3-wrapped"};
    static const char *const left[] = {"live", "live.grad", "live.gguf"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        int64_t n = 1;
        while (!starve(models[i], n))
            n++;
        assert_true(n > 50);
        for (int k = 0; k < 3; k++)
            assert_int_equal(unlink(scratch(left[k])), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),         cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_cancel),          cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_share),           cmocka_unit_test(test_step_misuse),
        cmocka_unit_test(test_step_not_finite), cmocka_unit_test(test_damage),
        cmocka_unit_test(test_wrong_file),      cmocka_unit_test(test_no_allocation),
        cmocka_unit_test(test_starve),          cmocka_unit_test(test_foretold),
        cmocka_unit_test(test_widen),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
