/* NF4 against bitsandbytes: matrices bit for bit, a folder that it saved, folders made wrong in
 * one thing, and matrices rounded in memory. tests/data/nf4/matrices.safetensors holds inputs
 * and what bitsandbytes' PyTorch form makes of them; an argument names another such file. */
#include "unit/model_kit.h"

#include <sys/stat.h>

#include "kernels/kernels.h"
#include "model/model_room.h"
#include "model/nf4.h"

static const char *data_path = "tests/data/nf4/matrices.safetensors";
#define FOLDER "tests/data/nf4/qwen2"

static const struct slm_tensor_ref *tensor(slm_st *st, const char *name, const char *part)
{
    char full[128];
    snprintf(full, sizeof full, "%s.%s", name, part);
    const struct slm_tensor_ref *t = slm_st_tensor_find(st, full);
    if (!t)
        fail_msg("no tensor %s", full);
    return t;
}

static float *floats_of(const struct slm_tensor_ref *t)
{
    float *f = malloc((size_t)t->count * sizeof *f + 4);
    assert_non_null(f);
    memcpy(f, t->data, (size_t)t->count * sizeof *f);
    return f;
}

static void same_bytes(const void *a, const struct slm_tensor_ref *t, const char *what)
{
    if (memcmp(a, t->data, (size_t)t->bytes))
        fail_msg("%s: %s differs", t->name, what);
}

/* Magnitudes in 8 bits, and back. The mean's last bit may differ: codes are then compared with
 * the file's own mean taken off. */
static void check_double(slm_st *st, const char *name, const struct slm_dynamic8 *d)
{
    const struct slm_tensor_ref *a = tensor(st, name, "absmax"),
                                *code = tensor(st, name, "double.absmax"),
                                *top = tensor(st, name, "double.nested_absmax");
    size_t n = (size_t)a->count;
    float *abs = floats_of(a), nested[64], want;
    uint8_t *codes = malloc(n);
    memcpy(&want, tensor(st, name, "offset")->data, sizeof want);
    assert_non_null(codes);
    float offset = slm_nf4_nest(codes, nested, abs, n, d);
    assert_true(fabsf(offset - want) <= 2e-7f * fabsf(want));
    if (offset == want) {
        same_bytes(codes, code, "codes of the magnitudes");
        same_bytes(nested, top, "magnitudes of the magnitudes");
    }
    struct slm_nf4_nested q = {code->data, top->data,
                               slm_st_tensor_find(st, "nested_quant_map")->data, SLM_NF4_NEST,
                               want};
    slm_nf4_unnest(abs, &q, n);
    same_bytes(abs, tensor(st, name, "double.restored_absmax"), "restored magnitudes");
    free(codes);
    free(abs);
}

static void check_matrix(slm_runtime *rt, slm_st *st, const char *name)
{
    const struct slm_tensor_ref *in = tensor(st, name, "input"),
                                *packed = tensor(st, name, "packed");
    size_t n = (size_t)in->count, blocks = slm_nf4_blocks(n, SLM_NF4_BLOCK);
    float *x = floats_of(in), *absmax = malloc(blocks * sizeof *absmax);
    uint8_t *codes = malloc(slm_nf4_bytes(n));
    assert_true(absmax && codes);
    slm_nf4_quantize(rt->kern, codes, absmax, x, n);
    same_bytes(codes, packed, "codes");
    same_bytes(absmax, tensor(st, name, "absmax"), "magnitudes");
    char full[128];
    snprintf(full, sizeof full, "%s.dequant", name);
    const struct slm_tensor_ref *back = slm_st_tensor_find(st, full);
    struct slm_nf4 q = {codes, absmax, SLM_NF4_BLOCK};
    slm_nf4_dequantize(x, &q, 0, n);
    if (back)
        same_bytes(x, back, "values");
    if (n % SLM_NF4_BLOCK == 0) { /* the same as rows of the element type */
        block_nf4 *rows = malloc(blocks * sizeof *rows);
        float *y = malloc(n * sizeof *y);
        assert_true(rows && y);
        slm_nf4_rows(rows, &q, 0, n);
        rt->kern->to_f32[SLM_NF4](y, rows, n);
        assert_memory_equal(x, y, n * sizeof *y);
        free(y);
        free(rows);
    }
    free(codes);
    free(absmax);
    free(x);
}

static void test_matrices(void **state)
{
    (void)state;
    static struct slm_dynamic8 d;
    slm_err err;
    const char *level;
    slm_dynamic8_fill(&d, true);
    for (int i = 0; (level = level_at(i)); i++) {
        slm_runtime *rt = runtime_new(level, 1);
        slm_st *st;
        int found = 0;
        if (slm_st_open(&st, rt, data_path, &err))
            fail_msg("%s", err.msg);
        same_bytes(d.value, slm_st_tensor_find(st, "nested_quant_map"), "the map");
        for (size_t k = 0; k < slm_st_tensor_count(st); k++) {
            char name[64];
            snprintf(name, sizeof name, "%.60s", slm_st_tensor_at(st, k)->name);
            char *dot = strstr(name, ".input"), *nested = strstr(name, ".double.absmax");
            if (dot || nested)
                *(dot ? dot : nested) = 0;
            if (dot)
                check_matrix(rt, st, name);
            if (nested)
                check_double(st, name, &d);
            found += dot || nested;
        }
        assert_true(found >= 15);
        slm_st_close(&st);
        slm_runtime_close(&rt);
    }
}

/* Every float's code is the nearest value's. */
static void test_dynamic(void **state)
{
    (void)state;
    static struct slm_dynamic8 d;
    struct slm_rng rng;
    slm_rng_init(&rng, 7);
    for (int with_sign = 0; with_sign < 2; with_sign++) {
        slm_dynamic8_fill(&d, with_sign);
        for (int i = 0; i < 200000; i++) {
            float v = (float)slm_rng_normal(&rng) * powf(10, -(float)slm_rng_below(&rng, 9));
            if (i % 10 == 0)
                v = d.middle[i / 10 % 255];
            if (i % 10 == 1)
                v = nextafterf(d.middle[i / 10 % 255], 2);
            int c = 0;
            while (c < 255 && d.middle[c] < v)
                c++;
            assert_int_equal(slm_dynamic8_code(&d, v), c);
        }
        assert_true(d.value[slm_dynamic8_code(&d, 0)] == 0);
        assert_true(d.value[slm_dynamic8_code(&d, 2)] == 1);
    }
}

/* ---- a folder ---- */

static void logits_of(slm_model *m, const int32_t *ids, int n, float *out)
{
    slm_session *s;
    slm_session_opts o;
    slm_err err;
    slm_session_opts_init(&o);
    o.context = n;
    o.exact = 1;
    o.kv_type = "f32";
    assert_int_equal(slm_session_open(&s, m, &o, &err), 0);
    slm_model_info info;
    slm_model_info_get(m, &info);
    for (int i = 0; i < n; i++) {
        assert_int_equal(slm_session_append(s, ids + i, 1, &err), 0);
        memcpy(out + (size_t)i * (size_t)info.vocab, slm_session_logits(s),
               (size_t)info.vocab * sizeof *out);
    }
    slm_session_close(&s);
}

static slm_model *open_model(slm_runtime *rt, const char *path)
{
    slm_model *m;
    slm_model_opts o;
    slm_err err;
    slm_model_opts_init(&o);
    o.allow_no_tokenizer = 1;
    if (slm_model_open(&m, rt, path, &o, &err))
        fail_msg("%s", err.msg);
    return m;
}

static float distance(const float *a, const float *b, size_t n)
{
    float most = 0, top = 0;
    for (size_t i = 0; i < n; i++) {
        most = fabsf(a[i] - b[i]) > most ? fabsf(a[i] - b[i]) : most;
        top = fabsf(b[i]) > top ? fabsf(b[i]) : top;
    }
    return most / top;
}

static void test_folder(void **state)
{
    (void)state;
    slm_runtime *rt = runtime_new(NULL, 2);
    slm_model *m = open_model(rt, FOLDER);
    slm_st *st;
    slm_err err;
    assert_int_equal(slm_st_open(&st, rt, FOLDER "/expect.safetensors", &err), 0);
    const struct slm_tensor_ref *want = slm_st_tensor_find(st, "logits"),
                                *of = slm_st_tensor_find(st, "ids");
    int32_t ids[64];
    assert_true(want && of && of->bytes <= sizeof ids);
    memcpy(ids, of->data, (size_t)of->bytes);
    float *truth = floats_of(want), *got = floats_of(want);
    logits_of(m, ids, (int)of->count, got);
    float off = distance(got, truth, (size_t)want->count);
    if (!(off < 1e-5f))
        fail_msg("logits differ by %g", (double)off);
    int nf4 = 0, f32 = 0;
    for (int i = 0; i < m->n_weights; i++) {
        nf4 += m->weight[i].type == SLM_NF4;
        f32 += m->weight[i].type == SLM_F32;
    }
    assert_true(nf4 == 6 && f32 == 1);
    free(got);
    free(truth);
    slm_st_close(&st);
    slm_model_close(&m);
    slm_runtime_close(&rt);
}

/* ---- folders made wrong in one thing ---- */

static const char *copy_folder(slm_runtime *rt, const char *key, const char *value,
                               const struct edit *e)
{
    static char dir[256];
    char path[300];
    snprintf(dir, sizeof dir, "%s", scratch("nf4"));
    mkdir(dir, 0755);
    snprintf(path, sizeof path, "%s/config.json", dir);
    edit_config(rt, FOLDER "/config.json", path, key, value);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    edit_tensors(rt, FOLDER "/model.safetensors", path, e);
    return dir;
}

#define Q "model.layers.0.self_attn.q_proj.weight"

static void test_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value;
        struct edit e;
        int code;
        const char *words;
    } cases[] = {
        {"quantization_config.load_in_8bit", "true", {0}, SLM_E_UNSUPPORTED, "int8"},
        {"quantization_config.bnb_4bit_quant_type", "\"fp4\"", {0}, SLM_E_UNSUPPORTED, "fp4"},
        {"quantization_config.quant_method", "\"awq\"", {0}, SLM_E_UNSUPPORTED, "awq"},
        {"quantization_config", NULL, {0}, SLM_E_FORMAT, "q_proj"},
        {"x", "1", {Q ".absmax", EDIT_DROP, 0, NULL}, SLM_E_FORMAT, Q ".absmax is missing"},
        {"x", "1", {Q ".absmax", EDIT_TYPE, 0, NULL}, SLM_E_FORMAT, Q ".absmax"},
        {"x", "1", {Q ".quant_map", EDIT_DROP, 0, NULL}, SLM_E_FORMAT, Q ".quant_map"},
        {"x", "1", {Q ".quant_map", EDIT_BITS, 0x3f000000, NULL}, SLM_E_FORMAT, "quant_map"},
        {"x", "1", {Q ".nested_absmax", EDIT_DROP, 0, NULL}, SLM_E_FORMAT, "nested_absmax"},
        {"x", "1", {Q ".nested_quant_map", EDIT_TYPE, 0, NULL}, SLM_E_FORMAT, "quant_map"},
        {"x", "1", {Q, EDIT_DROP, 0, NULL}, SLM_E_FORMAT, Q " is missing"},
        {"x", "1", {NULL, EDIT_NONE, 0, Q ".SCB"}, SLM_E_UNSUPPORTED, "int8"},
        {"x",
         "1",
         {NULL, EDIT_NONE, 0, Q ".quant_state.bitsandbytes__fp4"},
         SLM_E_UNSUPPORTED,
         "fp4"},
    };
    slm_runtime *rt = runtime_new(NULL, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_refused(rt, copy_folder(rt, cases[i].key, cases[i].value, &cases[i].e),
                       cases[i].code, cases[i].words, cases[i].words);
    slm_err err;
    const struct edit none = {0};
    assert_int_equal(open_status(rt, copy_folder(rt, "x", "1", &none), &err), 0);
    slm_runtime_close(&rt);
}

/* ---- rounding in memory ---- */

/* What slm_model_retype makes of the plain model are the codes that bitsandbytes made; its
 * magnitudes are not rounded again. */
static void test_retype(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 3; threads += 2) {
        slm_runtime *rt = runtime_new(NULL, threads);
        slm_model *plain = open_model(rt, FOLDER "-plain"), *m = open_model(rt, FOLDER);
        struct slm_retype o = {.type = SLM_NF4};
        slm_err err;
        /* q and o of 64 x 64, k and v of 32 x 64, gate and up of 96 x 64 */
        assert_int_equal(slm_model_retype_bytes(plain, &o), (2 * 64 + 2 * 32 + 2 * 96) * 36);
        assert_int_equal(slm_model_retype(plain, &o, &err), 0);
        assert_int_equal(o.changed, 6);
        assert_int_equal(o.narrow, 1);
        for (int i = 0; i < m->n_weights; i++) {
            const struct slm_weight *a = &plain->weight[i], *b = &m->weight[i];
            if (b->type != SLM_NF4)
                continue;
            assert_int_equal(a->type, SLM_NF4);
            for (size_t k = 0; k < (size_t)a->rows * a->stride; k += sizeof(block_nf4))
                assert_memory_equal(a->part[0] + k + 4, b->part[0] + k + 4, 32);
        }
        slm_model_close(&plain);
        slm_model_close(&m);
        slm_runtime_close(&rt);
    }
}

/* ---- folders of ours ---- */

static const char *write_folder(slm_runtime *rt, const char *name, bool nested)
{
    static char path[256];
    slm_convert_opts o;
    slm_err err = {0};
    snprintf(path, sizeof path, "%s", scratch(name));
    slm_convert_opts_init(&o);
    o.type = "nf4";
    o.to_folder = 1;
    o.double_quant = nested;
    if (slm_model_convert(rt, FOLDER "-plain", path, &o, &err))
        fail_msg("%s", err.msg);
    return path;
}

/* Every tensor that bitsandbytes wrote is there with the same bytes; but for the codes of
 * magnitudes, which it takes from a table of finite resolution. */
static void test_same_folder(void **state)
{
    (void)state;
    slm_runtime *rt = runtime_new(NULL, 2);
    slm_st *ours, *theirs;
    slm_err err;
    char path[300];
    snprintf(path, sizeof path, "%s/model.safetensors", write_folder(rt, "double", true));
    assert_int_equal(slm_st_open(&ours, rt, path, &err), 0);
    assert_int_equal(slm_st_open(&theirs, rt, FOLDER "/model.safetensors", &err), 0);
    assert_int_equal(slm_st_tensor_count(ours), slm_st_tensor_count(theirs));
    for (size_t i = 0; i < slm_st_tensor_count(theirs); i++) {
        const struct slm_tensor_ref *t = slm_st_tensor_at(theirs, i),
                                    *u = slm_st_tensor_find(ours, t->name);
        assert_true(u && u->type == t->type && u->n_dims == t->n_dims);
        if (!strstr(t->name, "quant_state"))
            assert_memory_equal(u->dim, t->dim, (size_t)t->n_dims * sizeof *t->dim);
        size_t off = 0;
        for (size_t k = 0; k < (size_t)t->bytes && k < (size_t)u->bytes; k++) {
            int d = t->data[k] - u->data[k];
            off += d != 0;
            if (slm_str_ends(t->name, "weight.absmax") && (d < -1 || d > 1))
                fail_msg("%s: code %zu is %d away", t->name, k, d);
        }
        if (strstr(t->name, "quant_state") || slm_str_ends(t->name, "nested_absmax"))
            continue; /* the mean's last bit */
        if (off > (slm_str_ends(t->name, "weight.absmax") ? 2u : 0u))
            fail_msg("%s: %zu bytes differ", t->name, off);
    }
    slm_st_close(&ours);
    slm_st_close(&theirs);
    slm_runtime_close(&rt);
}

/* Without double quantisation what is read back is what rounding in memory gives. */
static void test_plain_folder(void **state)
{
    (void)state;
    slm_runtime *rt = runtime_new(NULL, 3);
    slm_model *m = open_model(rt, write_folder(rt, "plain", false)),
              *plain = open_model(rt, FOLDER "-plain");
    struct slm_retype o = {.type = SLM_NF4};
    slm_err err;
    assert_int_equal(slm_model_retype(plain, &o, &err), 0);
    for (int i = 0; i < m->n_weights; i++) {
        const struct slm_weight *a = &plain->weight[i], *b = &m->weight[i];
        if (a->type == SLM_NF4)
            assert_memory_equal(a->part[0], b->part[0], (size_t)a->rows * a->stride);
    }
    slm_model_close(&plain);
    slm_model_close(&m);
    slm_convert_opts bad = {.type = "nf4"};
    assert_int_equal(slm_model_convert(rt, FOLDER "-plain", scratch("x.gguf"), &bad, &err),
                     SLM_E_UNSUPPORTED);
    slm_runtime_close(&rt);
}

static int clean(void **state)
{
    static const char *const folders[] = {"nf4", "double", "plain"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        slm_dir_remove(scratch(folders[i]));
    return scratch_close(state);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matrices),     cmocka_unit_test(test_dynamic),
        cmocka_unit_test(test_folder),       cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_retype),       cmocka_unit_test(test_same_folder),
        cmocka_unit_test(test_plain_folder),
    };
    if (argc > 1)
        data_path = argv[1];
    return cmocka_run_group_tests(tests, scratch_open, clean);
}
