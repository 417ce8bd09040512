/* Conversion there and back: a folder as GGUF, that GGUF as a folder again, and a folder as a
 * folder. What comes out must compute what went in; where only names change, bit for bit. */
#include "golden/gradient_kit.h"

static void convert(slm_runtime *rt, const char *in, const char *out, const char *type,
                    int folder)
{
    slm_convert_opts o;
    slm_err err = {0};
    slm_convert_opts_init(&o);
    o.type = type;
    o.to_folder = folder;
    if (slm_model_convert(rt, in, out, &o, &err))
        fail_msg("%s to %s: %s", in, out, err.msg);
}

static size_t size_of(const struct golden *g) { return (size_t)g->n * g->vocab; }

/* What a model tells of itself must not depend on its file; but GGUF has no name of its own for
 * some families, which are rows of others there. */
static void same_numbers(slm_runtime *rt, const char *a, const char *b)
{
    slm_model *ma = model_at(rt, a), *mb = model_at(rt, b);
    slm_model_info x, y;
    slm_model_info_get(ma, &x);
    slm_model_info_get(mb, &y);
    assert_string_equal(x.rope, y.rope);
    assert_int_equal(x.layers, y.layers);
    assert_int_equal(x.width, y.width);
    assert_int_equal(x.heads, y.heads);
    assert_int_equal(x.kv_heads, y.kv_heads);
    assert_int_equal(x.head_width, y.head_width);
    assert_int_equal(x.ffn, y.ffn);
    assert_int_equal(x.vocab, y.vocab);
    assert_int_equal(x.experts, y.experts);
    assert_int_equal(x.experts_used, y.experts_used);
    assert_int_equal(x.context, y.context);
    assert_int_equal(x.window, y.window);
    assert_true(x.params == y.params && x.params_active == y.params_active);
    slm_model_close(&ma);
    slm_model_close(&mb);
}

static void test_there_and_back(const char *name)
{
    struct golden g;
    golden_open(&g, name, "generic", 1);
    const float *truth = truth_of(&g, "logits", size_of(&g));
    const char *gguf = scratch("there.gguf"), *back = scratch("back");
    convert(g.rt, g.path, gguf, NULL, 0);
    float *got = logits_at(g.rt, gguf, g.ids, g.n, NULL);
    assert_close(got, truth, size_of(&g), 1e-4f * g.top, "as GGUF");
    free(got);
    same_numbers(g.rt, g.path, gguf);
    convert(g.rt, gguf, back, NULL, 1);
    got = logits_at(g.rt, back, g.ids, g.n, NULL);
    assert_close(got, truth, size_of(&g), 1e-4f * g.top, "as GGUF and back");
    free(got);
    same_numbers(g.rt, g.path, back);
    unlink(gguf);
    slm_dir_remove(back);
    golden_close(&g);
}

static void test_to_folder(const char *name)
{
    static const char *const types[] = {NULL, "f32"};
    struct golden g;
    golden_open(&g, name, "generic", 1);
    float *own = logits_at(g.rt, g.path, g.ids, g.n, NULL);
    for (int i = 0; i < 2; i++) {
        const char *out = scratch("folder");
        convert(g.rt, g.path, out, types[i], 1);
        float *got = logits_at(g.rt, out, g.ids, g.n, NULL);
        assert_same(got, own, size_of(&g), "as a folder");
        free(got);
        same_numbers(g.rt, g.path, out);
        slm_dir_remove(out);
    }
    free(own);
    golden_close(&g);
}

/* Longrope must keep both sets of factors and where they change. */
static void test_long(const char *name)
{
    struct golden g;
    golden_open(&g, name, NULL, 1);
    const slm_json *list = slm_json_find(g.expect, "ids_long");
    if (list) {
        int n = ids_of(list, g.ids);
        size_t size = (size_t)n * g.vocab;
        const float *truth = truth_of(&g, "logits_long", size);
        const char *gguf = scratch("long.gguf"), *back = scratch("long");
        convert(g.rt, g.path, gguf, NULL, 0);
        convert(g.rt, gguf, back, NULL, 1);
        const char *paths[] = {gguf, back};
        for (int i = 0; i < 2; i++) {
            float *got = logits_at(g.rt, paths[i], g.ids, n, NULL);
            assert_close(got, truth, size, 1e-4f * g.top, "converted, long sequence");
            free(got);
        }
        unlink(gguf);
        slm_dir_remove(back);
    }
    golden_close(&g);
}

/* GGUF implies a softmax scale by the head's width; normalised queries take in any other. */
static struct regauged softmax_scale(const char *folder, slm_runtime *rt)
{
    char path[512];
    slm_json *config = NULL;
    struct regauged r = {"self_attn.q_norm.weight", 1};
    snprintf(path, sizeof path, "%s/config.json", folder);
    assert_int_equal(slm_json_load(&config, rt, path, 1 << 20, NULL), 0);
    double scalar = slm_json_num(slm_json_find(config, "query_pre_attn_scalar"), 0);
    if (scalar > 0)
        r.gain = sqrt(slm_json_num(slm_json_find(config, "head_dim"), 0) / scalar);
    slm_json_free(config);
    return r;
}

/* Gradients of a GGUF model come under the names and in the row order of the folder. */
static void test_gradients(const char *name)
{
    struct golden g;
    golden_open(&g, name, NULL, 1);
    const char *gguf = scratch("grad.gguf"), *out = scratch("grad.safetensors");
    struct regauged by = softmax_scale(g.path, g.rt);
    convert(g.rt, g.path, gguf, NULL, 0);
    slm_model *m = model_at(g.rt, gguf);
    slm_err err = {0};
    double loss = 0, want = slm_json_num(slm_json_find(g.expect, "loss"), 0);
    if (slm_model_gradients(m, g.ids, NULL, g.n, out, &loss, &err))
        fail_msg("%s", err.msg);
    assert_true(fabs(loss - want) <= 1e-5 * want);
    if (slm_st_tensor_find(g.truth, "grad.model.embed_tokens.weight")) /* not wrapped */
        check_gradients(&g, out, &by);
    slm_model_close(&m);
    unlink(gguf);
    unlink(out);
    golden_close(&g);
}

static double apart(const float *a, const float *b, size_t n)
{
    double d = 0, s = 0;
    for (size_t i = 0; i < n; i++) {
        d += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        s += (double)b[i] * (double)b[i];
    }
    return sqrt(d / s);
}

/* Other element types: off by what rounding the weights makes of a small model. */
static void test_types(const char *name)
{
    static const struct {
        const char *type;
        double off;
    } kinds[] = {{"f32", 1e-4},
                 {"f16", 8.0 / 2048},
                 {"bf16", 8.0 / 256},
                 {"q8_0", 8.0 / 127},
                 {"q4_0", 1}};
    struct golden g;
    golden_open(&g, name, NULL, 1);
    const float *truth = truth_of(&g, "logits", size_of(&g));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const char *gguf = scratch("typed.gguf");
        convert(g.rt, g.path, gguf, kinds[i].type, 0);
        float *got = logits_at(g.rt, gguf, g.ids, g.n, NULL);
        double off = apart(got, truth, size_of(&g));
        if (!(off <= kinds[i].off))
            fail_msg("as %s: off by %.3g, may be %.3g", kinds[i].type, off, kinds[i].off);
        free(got);
        unlink(gguf);
    }
    golden_close(&g);
}

int main(void)
{
    static const struct golden_test tests[] = {
        {"there and back", test_there_and_back},
        {"to a folder", test_to_folder},
        {"long", test_long},
        {"gradients", test_gradients},
        {"types", test_types},
    };
    return golden_main(tests, sizeof tests / sizeof *tests);
}
