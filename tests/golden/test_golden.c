/* Parity: every tiny model of tests/golden against what Transformers made of it
 * (tools/ref/golden.py), at every CPU level of this machine. What the truth does not say must
 * hold exactly: any number of threads, whole or in steps (bits at the generic level), either
 * layout of the configuration. */
#include "golden/gradient_kit.h"

/* ---- logits ---- */

static size_t size_of(const struct golden *g) { return (size_t)g->n * g->vocab; }

static void whole_and_steps(struct golden *g, const char *level)
{
    const float *truth = truth_of(g, "logits", size_of(g));
    float *whole = logits_at(g->rt, g->path, g->ids, g->n, NULL);
    float *steps = steps_at(g->rt, g->path, g->ids, g->n, NULL);
    struct how seven = {.batch = 7};
    float *parts = logits_at(g->rt, g->path, g->ids, g->n, &seven);
    float bound = 1e-4f * g->top;
    assert_close(whole, truth, size_of(g), bound, "whole sequence");
    assert_close(steps, truth, size_of(g), bound, "token by token");
    assert_close(parts, truth, size_of(g), bound, "seven at a time");
    if (!strcmp(level, "generic")) {
        assert_same(steps, whole, size_of(g), "token by token against whole, generic");
        assert_same(parts, whole, size_of(g), "seven at a time against whole, generic");
    }
    struct golden three;
    golden_open(&three, g->name, level, 3);
    float *other = logits_at(three.rt, g->path, g->ids, g->n, NULL);
    assert_same(other, whole, size_of(g), "three threads against one");
    free(other);
    other = steps_at(three.rt, g->path, g->ids, g->n, NULL);
    assert_same(other, steps, size_of(g), "three threads against one, token by token");
    free(other);
    golden_close(&three);
    free(whole);
    free(steps);
    free(parts);
}

static void test_logits(const char *name)
{
    for (int i = 0; level_at(i); i++) {
        char level[32];
        strcpy(level, level_at(i));
        struct golden g;
        golden_open(&g, name, level, 1);
        whole_and_steps(&g, level);
        golden_close(&g);
    }
}

/* Longrope: beyond the original context all positions take the long factors, so that growing
 * token by token has to compute the past again. */
static void test_long(const char *name)
{
    struct golden g;
    golden_open(&g, name, NULL, 2);
    const slm_json *list = slm_json_find(g.expect, "ids_long");
    if (list) {
        int n = ids_of(list, g.ids), original = -1;
        size_t size = (size_t)n * g.vocab;
        const float *truth = truth_of(&g, "logits_long", size);
        float *whole = logits_at(g.rt, g.path, g.ids, n, NULL);
        float *steps = steps_at(g.rt, g.path, g.ids, n, NULL);
        float bound = 1e-4f * g.top;
        assert_close(whole, truth, size, bound, "long sequence");
        original = (int)slm_json_int(slm_json_find(g.expect, "original"), -1);
        assert_in_range(original, 1, n - 1);
        size_t from = (size_t)original * g.vocab;
        assert_close(steps + from, truth + from, size - from, bound, "token by token beyond");
        /* before the border the short factors hold: other logits */
        float moved = 0;
        for (size_t i = 0; i < from; i++)
            moved = fmaxf(moved, fabsf(steps[i] - truth[i]));
        assert_true(moved > 100 * bound);
        free(whole);
        free(steps);
    }
    golden_close(&g);
}

static void test_layouts(const char *name)
{
    struct golden g;
    char file[300];
    golden_open(&g, name, NULL, 1);
    snprintf(file, sizeof file, "%s/config.legacy.json", g.path);
    if (slm_path_is_file(file)) {
        copy_model(g.path, scratch("legacy"), "config.legacy.json");
        float *now = logits_at(g.rt, g.path, g.ids, g.n, NULL);
        float *then = logits_at(g.rt, scratch("legacy"), g.ids, g.n, NULL);
        assert_same(now, then, size_of(&g), "the layouts of the configuration");
        free(now);
        free(then);
        slm_dir_remove(scratch("legacy"));
    }
    golden_close(&g);
}

/* ---- continuations ---- */

static void continuation(struct golden *g, const char *key)
{
    const slm_json *e = slm_json_find(g->expect, key);
    if (!e)
        return;
    int32_t prompt[MOST_IDS], want[MOST_IDS];
    int n = ids_of(slm_json_find(e, "prompt"), prompt);
    int more = ids_of(slm_json_find(e, "continuation"), want);
    static const struct how plain;
    slm_model *m = model_at(g->rt, g->path);
    slm_session *s = session_on(m, &plain);
    slm_sampler *sampler = NULL;
    slm_sampler_opts so;
    slm_generate_opts go;
    slm_generate_stats stats;
    slm_ids ids = {0};
    slm_err err = {0};
    slm_sampler_opts_init(&so);
    so.temp = 0;
    slm_generate_opts_init(&go);
    go.max_tokens = more;
    go.ignore_eog = 1;
    if (slm_sampler_new(&sampler, g->rt, g->vocab, NULL, &so, &err) ||
        slm_generate(s, sampler, prompt, n, &go, &ids, NULL, &stats, &err))
        fail_msg("%s: %s", key, err.msg);
    assert_int_equal(ids.len, more);
    for (int i = 0; i < more; i++)
        if (ids.data[i] != want[i])
            fail_msg("%s: token %d is %d, want %d", key, i, ids.data[i], want[i]);
    assert_int_equal(stats.finish, SLM_FINISH_LENGTH);
    slm_ids_release(&ids);
    slm_sampler_free(sampler);
    slm_session_close(&s);
    slm_model_close(&m);
}

static void test_greedy(const char *name)
{
    struct golden g;
    golden_open(&g, name, NULL, 2);
    continuation(&g, "greedy");
    continuation(&g, "greedy_cross");
    golden_close(&g);
}

/* ---- loss and gradients ---- */

static double loss_of(slm_model *m, const int32_t *ids, const int32_t *labels, int n)
{
    slm_err err = {0};
    double loss = 0;
    if (slm_model_gradients(m, ids, labels, n, scratch("grad.safetensors"), &loss, &err))
        fail_msg("%s", err.msg);
    return loss;
}

static void assert_loss(double loss, const slm_json *want)
{
    double w = slm_json_num(want, 0);
    if (!(fabs(loss - w) <= 1e-5 * w))
        fail_msg("loss %.9g, want %.9g", loss, w);
}

static void test_gradients(const char *name)
{
    struct golden g;
    golden_open(&g, name, NULL, 2);
    slm_model *m = model_at(g.rt, g.path);
    const slm_json *masked = slm_json_find(g.expect, "loss_masked");
    int first = (int)slm_json_int(slm_json_find(masked, "first_kept_label"), 0);
    int32_t labels[MOST_IDS];
    for (int i = 0; i < g.n; i++)
        labels[i] = i < first ? -100 : g.ids[i];
    assert_loss(loss_of(m, g.ids, labels, g.n), slm_json_find(masked, "value"));
    assert_loss(loss_of(m, g.ids, NULL, g.n), slm_json_find(g.expect, "loss"));
    check_gradients(&g, scratch("grad.safetensors"), NULL);
    const slm_json *list = slm_json_find(g.expect, "ids_long");
    if (list)
        assert_loss(loss_of(m, g.ids, NULL, ids_of(list, g.ids)),
                    slm_json_find(g.expect, "loss_long"));
    slm_model_close(&m);
    golden_close(&g);
}

/* ---- cache types and the fast path ---- */

/* Root mean square of a - b by that of b. */
static double apart(const float *a, const float *b, size_t n)
{
    double d = 0, s = 0;
    for (size_t i = 0; i < n; i++) {
        d += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        s += (double)b[i] * (double)b[i];
    }
    return sqrt(d / s);
}

static void test_caches(const char *name)
{
    /* relative rounding of one stored number, times what two or three layers make of it */
    static const struct {
        const char *type;
        double off;
    } kinds[] = {
        {"f16", 8.0 / 2048}, {"bf16", 8.0 / 256}, {"q8_0", 8.0 / 254}, {"q4_0", 8.0 / 16}};
    struct golden g;
    golden_open(&g, name, NULL, 1);
    slm_model *m = model_at(g.rt, g.path);
    slm_model_info info;
    slm_model_info_get(m, &info);
    const float *truth = truth_of(&g, "logits", size_of(&g));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct how how = {.kv = kinds[i].type};
        if (i >= 2 && info.head_width % 32) {
            slm_session *s = NULL;
            slm_session_opts o;
            slm_err err = {0};
            slm_session_opts_init(&o);
            o.kv_type = kinds[i].type;
            assert_int_equal(slm_session_open(&s, m, &o, &err), SLM_E_UNSUPPORTED);
            assert_null(s);
            assert_true(slm_model_kv_bytes(m, 64, kinds[i].type) == -1);
            continue;
        }
        assert_true(slm_model_kv_bytes(m, 64, kinds[i].type) > 0);
        float *whole = logits_at(g.rt, g.path, g.ids, g.n, &how);
        float *steps = steps_at(g.rt, g.path, g.ids, g.n, &how);
        double off = fmax(apart(whole, truth, size_of(&g)), apart(steps, truth, size_of(&g)));
        if (!(off <= kinds[i].off) || off == 0)
            fail_msg("cache of %s: off by %.3g, may be %.3g", kinds[i].type, off, kinds[i].off);
        free(whole);
        free(steps);
    }
    slm_model_close(&m);
    golden_close(&g);
}

/* Activations rounded to bfloat16 are off by up to 1/512 each; what many such roundings add up
 * to stays within a few times that, whatever the level. */
static void test_fast(const char *name)
{
    for (int i = 0; level_at(i); i++) {
        struct golden g;
        struct how fast = {.fast = 1, .kv = "f32"};
        golden_open(&g, name, level_at(i), 1);
        slm_model *m = model_at(g.rt, g.path);
        slm_model_info info;
        slm_model_info_get(m, &info);
        float *exact = logits_at(g.rt, g.path, g.ids, g.n, NULL);
        float *whole = logits_at(g.rt, g.path, g.ids, g.n, &fast);
        float *steps = steps_at(g.rt, g.path, g.ids, g.n, &fast);
        if (!strcmp(info.types, "f32 100 %"))
            assert_same(whole, exact, size_of(&g), "float32 weights have no fast path");
        double off = fmax(apart(whole, exact, size_of(&g)), apart(steps, exact, size_of(&g)));
        if (!(off <= 8.0 / 512))
            fail_msg("fast path: off by %.3g", off);
        free(exact);
        free(whole);
        free(steps);
        slm_model_close(&m);
        golden_close(&g);
    }
}

/* ---- sessions ---- */

static void sync_to(slm_session *s, const int32_t *ids, int n, int want_reused)
{
    slm_err err = {0};
    int reused = -1;
    if (slm_session_sync(s, ids, n, &reused, &err))
        fail_msg("%s", err.msg);
    assert_int_equal(slm_session_length(s), n);
    assert_memory_equal(slm_session_ids(s), ids, (size_t)n * sizeof *ids);
    if (want_reused >= 0)
        assert_int_equal(reused, want_reused);
}

/* Changes its mind again and again; the logits must be those of a session that never did. */
static void test_sync(const char *name)
{
    struct golden g;
    struct how how = {.batch = 5};
    golden_open(&g, name, "generic", 1);
    slm_model *m = model_at(g.rt, g.path);
    float *whole = logits_at(g.rt, g.path, g.ids, g.n, NULL);
    slm_session *s = session_on(m, &how);
    int32_t other[MOST_IDS];
    memcpy(other, g.ids, sizeof other);
    for (int i = 6; i < g.n; i++)
        other[i] = (g.ids[i] + 7) % g.vocab;
    sync_to(s, other, 15, 0);
    sync_to(s, g.ids, 12, -1);
    assert_same(slm_session_logits(s), whole + 11 * g.vocab, g.vocab, "after a change of mind");
    sync_to(s, g.ids, g.n, 12);
    assert_same(slm_session_logits(s), whole + (g.n - 1) * g.vocab, g.vocab, "after growing");
    sync_to(s, g.ids, g.n, g.n);
    assert_same(slm_session_logits(s), whole + (g.n - 1) * g.vocab, g.vocab, "again");
    sync_to(s, g.ids, g.n - 2, -1);
    assert_same(slm_session_logits(s), whole + (g.n - 3) * g.vocab, g.vocab, "after shrinking");
    int kept = slm_session_truncate(s, 9);
    assert_true(kept == 9 || kept == 0);
    assert_null(slm_session_logits(s));
    sync_to(s, g.ids, 10, kept);
    assert_same(slm_session_logits(s), whole + 9 * g.vocab, g.vocab, "after truncating");
    slm_session_reset(s);
    assert_int_equal(slm_session_length(s), 0);
    sync_to(s, g.ids, 3, 0);
    assert_same(slm_session_logits(s), whole + 2 * g.vocab, g.vocab, "after a reset");
    slm_session_close(&s);
    free(whole);
    slm_model_close(&m);
    golden_close(&g);
}

static void test_restore(const char *name)
{
    static const char *const kinds[] = {"f32", "f16", "q8_0"};
    struct golden g;
    golden_open(&g, name, NULL, 2);
    slm_model *m = model_at(g.rt, g.path);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (slm_model_kv_bytes(m, 64, kinds[i]) < 0)
            continue;
        struct how how = {.batch = 6, .kv = kinds[i]};
        slm_err err = {0};
        slm_session *a = session_on(m, &how), *b = session_on(m, &how);
        sync_to(a, g.ids, 13, 0);
        sync_to(b, g.ids + 1, 4, 0);
        if (slm_session_save(a, scratch("session"), &err) ||
            slm_session_restore(b, scratch("session"), &err))
            fail_msg("%s", err.msg);
        assert_int_equal(slm_session_length(b), 13);
        assert_memory_equal(slm_session_ids(b), g.ids, 13 * sizeof *g.ids);
        sync_to(a, g.ids, g.n, 13);
        sync_to(b, g.ids, g.n, 13);
        assert_same(slm_session_logits(b), slm_session_logits(a), g.vocab, "restored session");
        slm_session_close(&a);
        slm_session_close(&b);
    }
    unlink(scratch("session"));
    slm_model_close(&m);
    golden_close(&g);
}

int main(void)
{
    static const struct golden_test tests[] = {
        {"logits", test_logits},
        {"beyond the original context", test_long},
        {"layouts", test_layouts},
        {"greedy", test_greedy},
        {"gradients", test_gradients},
        {"caches", test_caches},
        {"fast path", test_fast},
        {"sync", test_sync},
        {"save and restore", test_restore},
    };
    return golden_main(tests, sizeof tests / sizeof *tests);
}
