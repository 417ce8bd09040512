/* slm/file.h: what a file or folder of tensors shows. */
#include "unit/format_kit.h"

#include "format/gguf.h"
#include "format/safetensors.h"
#include "slm/file.h"

#define DATA "tests/data/gguf/"

static slm_runtime *run;

static slm_file *open_ok(const char *path)
{
    slm_file *f;
    slm_err err = {0};
    if (slm_file_open(&f, run, path, &err))
        fail_msg("%s", err.msg);
    return f;
}

static void assert_value(const slm_file *f, const char *key, size_t max, const char *want)
{
    slm_err err;
    for (size_t i = 0; i < slm_file_key_count(f); i++)
        if (!strcmp(slm_file_key_name(f, i), key)) {
            slm_text t = {0};
            assert_int_equal(slm_file_key_value(f, i, max, &t, &err), 0);
            assert_string_equal(t.data, want);
            slm_text_release(&t);
            return;
        }
    fail_msg("no key %s", key);
}

static void test_gguf(void **state)
{
    (void)state;
    slm_file *f = open_ok(DATA "all-values.gguf");
    assert_string_equal(slm_file_format(f), "gguf 3");
    assert_value(f, "v.u64.max", 0, "18446744073709551615");
    assert_value(f, "v.i64.min", 0, "-9223372036854775808");
    assert_value(f, "v.f32", 0, "3.1415927");
    assert_value(f, "v.f64", 0, "2.718281828459045");
    assert_value(f, "v.f32.inf", 0, "null");
    assert_value(f, "v.bool.true", 0, "true");
    assert_value(f, "v.str", 0, "\"plain\"");
    assert_value(f, "a.i32", 0, "[-1,-2,2147483647]");
    assert_value(f, "a.i32", 2, "[-1,-2,\"... (3 items)\"]");
    assert_value(f, "a.bool", 3, "[true,false,true]");
    assert_value(f, "a.empty.u32", 0, "[]");
    slm_tensor_info t;
    assert_int_equal(slm_file_tensor_find(f, "no"), -1);
    int64_t i = slm_file_tensor_find(f, "blk.0.b");
    assert_int_equal(i, 2);
    slm_file_tensor_get(f, (size_t)i, &t);
    assert_true(t.n_dims == 3 && t.dim[0] == 4 && t.dim[2] == 2 && t.count == 24 &&
                t.bytes == 48);
    assert_string_equal(t.type, "f16");
    slm_file_close(&f);
    assert_null(f);
}

static void test_read(void **state)
{
    (void)state;
    slm_file *f = open_ok(DATA "all-tensor-types.gguf");
    float whole[512], part[256];
    slm_err err = {0};
    for (size_t i = 0; i < slm_file_tensor_count(f); i++) {
        slm_tensor_info t;
        slm_file_tensor_get(f, i, &t);
        assert_int_equal(slm_file_tensor_read(f, i, whole, 0, t.count, &err), 0);
        assert_int_equal(slm_file_tensor_read(f, i, part, t.count / 2, t.count / 2, &err), 0);
        assert_memory_equal(part, whole + t.count / 2, t.count / 2 * sizeof *part);
        int rc = slm_file_tensor_read(f, i, whole, 1, t.count, &err);
        assert_refused(rc, &err, SLM_E_ARG, t.name, "behind the end");
        rc = slm_file_tensor_read(f, i, whole, UINT64_MAX, 2, &err);
        assert_refused(rc, &err, SLM_E_ARG, t.name, "a sum that wraps");
    }
    int64_t q = slm_file_tensor_find(f, "t02");
    assert_refused(slm_file_tensor_read(f, (size_t)q, whole, 16, 32, &err), &err, SLM_E_ARG,
                   "blocks of 32", "a start inside a block");
    slm_file_close(&f);
}

static void test_parts(void **state)
{
    (void)state;
    static const struct { const char *path, *format; size_t tensors; } files[] = {
        {DATA "three-parts-00001-of-00003.gguf", "gguf 3", 5},
        {DATA "three-parts-00002-of-00003.gguf", "gguf 3, part 2 of 3 alone", 2},
        {DATA "lonely-00002-of-00002.gguf", "gguf 3, part 2 of 2 alone", 1},
        {DATA "miscounted-00001-of-00002.gguf", "gguf 3, part 1 of 2 alone", 1},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        slm_file *f = open_ok(files[i].path);
        assert_string_equal(slm_file_format(f), files[i].format);
        assert_int_equal(slm_file_tensor_count(f), files[i].tensors);
        slm_file_close(&f);
    }
}

static void write_st(const char *path)
{
    slm_st_out *w;
    slm_err err;
    uint64_t dim = 2;
    static const float v[] = {1, -2};
    assert_int_equal(slm_st_out_open(&w, run, path, &err), 0);
    slm_st_out_meta(w, "format", "pt\"");
    slm_st_out_tensor(w, "x", SLM_F32, &dim, 1);
    assert_int_equal(slm_st_out_begin(w, &err), 0);
    assert_int_equal(slm_st_out_data(w, v, sizeof v, &err), 0);
    assert_int_equal(slm_st_out_commit(w, &err), 0);
    slm_st_out_close(&w);
}

static void test_folder(void **state)
{
    (void)state;
    slm_err err = {0};
    slm_file *f;
    assert_refused(slm_file_open(&f, run, folder, &err), &err, SLM_E_NOTFOUND, folder,
                   "an empty folder");
    assert_null(f);
    write_st(in_folder("adapter.safetensors"));
    f = open_ok(folder);
    assert_string_equal(slm_file_format(f), "safetensors");
    assert_value(f, "format", 0, "\"pt\\\"\"");
    float v[2];
    assert_int_equal(slm_file_tensor_read(f, 0, v, 0, 2, &err), 0);
    assert_true(v[0] == 1 && v[1] == -2);
    slm_file_close(&f);
    write_st(in_folder("other.safetensors"));
    assert_refused(slm_file_open(&f, run, folder, &err), &err, SLM_E_NOTFOUND, "exactly one",
                   "two of them");
    static const char index[] = "{\"weight_map\":{\"x\":\"gone.safetensors\"}}";
    write_file(in_folder("model.safetensors.index.json"), index, sizeof index - 1);
    assert_refused(slm_file_open(&f, run, folder, &err), &err, SLM_E_NOTFOUND,
                   "gone.safetensors", "a shard that is not there");
    write_st(in_folder("model.safetensors"));
    f = open_ok(folder);
    slm_file_close(&f);
    write_file(in_folder("x.txt"), "hello world", 11);
    assert_refused(slm_file_open(&f, run, in_folder("x.txt"), &err), &err, SLM_E_FORMAT,
                   "neither", "a text");
    write_file(in_folder("e"), "", 0);
    assert_refused(slm_file_open(&f, run, in_folder("e"), &err), &err, SLM_E_FORMAT, "neither",
                   "nothing");
    assert_refused(slm_file_open(&f, run, in_folder("absent"), &err), &err, SLM_E_NOTFOUND,
                   "absent", "");
}

static int open_all(void **state)
{
    slm_runtime_opts o;
    slm_runtime_opts_init(&o);
    o.threads = 1;
    return kit_open(state) || slm_runtime_open(&run, &o, NULL);
}

static int close_all(void **state)
{
    slm_runtime_close(&run);
    return kit_close(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gguf),
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_folder),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
