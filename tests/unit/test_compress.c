/* Quantised files and importance matrices: budgets against all choices there are, mixes as a
 * table without holes, files of importance there and back, and whole models written. */
#include "unit/model_kit.h"

#include "compress/importance.h"
#include "compress/quant_plan.h"

/* ---- the budget ---- */

static uint32_t state_of(uint32_t *s) { return *s = *s * 1664525u + 1013904223u, *s >> 8; }

static void fill_items(struct slm_budget_item *it, int n, uint32_t *seed)
{
    for (int i = 0; i < n; i++) {
        double cost = 1 + state_of(seed) % 100;
        uint64_t bytes = 10 + state_of(seed) % 50;
        it[i].n = 4;
        for (int k = 0; k < 4; k++) {
            it[i].option[k] = (struct slm_budget_option){k, bytes, cost};
            bytes += 1 + state_of(seed) % 40;
            cost *= (double)(state_of(seed) % 90 + 5) / 100;
        }
    }
}

/* The best sum of costs over all choices, -1 where none fits. */
static double best_of(const struct slm_budget_item *it, int n, uint64_t budget)
{
    double best = -1;
    for (int c = 0; c < 1 << (2 * n); c++) {
        uint64_t bytes = 0;
        double cost = 0;
        for (int i = 0; i < n; i++) {
            bytes += it[i].option[c >> (2 * i) & 3].bytes;
            cost += it[i].option[c >> (2 * i) & 3].cost;
        }
        if (bytes <= budget && (best < 0 || cost < best))
            best = cost;
    }
    return best;
}

static void test_budget(void **state)
{
    (void)state;
    struct slm_budget_item it[5];
    uint32_t seed = 7;
    double worst = 1, sum = 0;
    for (int round = 0; round < 200; round++) {
        fill_items(it, 5, &seed);
        uint64_t budget = 100 + state_of(&seed) % 500, least, bytes = 0;
        double best = best_of(it, 5, budget), cost = 0;
        assert_int_equal(slm_budget_solve(it, 5, budget, &least), best >= 0);
        if (best < 0) {
            assert_true(least > budget);
            continue;
        }
        for (int i = 0; i < 5; i++) {
            bytes += it[i].option[it[i].chosen].bytes;
            cost += it[i].option[it[i].chosen].cost;
        }
        assert_true(bytes <= budget && least <= budget);
        assert_true(cost >= best - 1e-9);
        worst = fmax(worst, cost / best);
        sum += cost / best;
    }
    assert_true(worst < 2 && sum / 200 < 1.05);
}

/* ---- mixes ---- */

static void test_names(void **state)
{
    (void)state;
    for (int i = 0; slm_quant_type_at(i); i++) {
        assert_ptr_equal(slm_mix_of_name(slm_quant_type_at(i)), slm_mix_at(i));
        for (int cols = 8; cols <= 512; cols *= 2)
            assert_int_equal(
                cols % slm_dtypes[slm_mix_fallback(slm_mix_at(i)->base, cols)].block, 0);
    }
    assert_string_equal(slm_mix_of_name("q4_k")->name, "Q4_K_M");
    assert_null(slm_mix_of_name("q4_k_x"));
    assert_int_equal(slm_mix_file_type(SLM_Q4_K), 15);
    assert_int_equal(slm_mix_file_type(SLM_Q8_0), 7);
    assert_int_equal(slm_mix_fallback(SLM_Q4_K, 96), SLM_Q5_0);
    assert_int_equal(slm_mix_fallback(SLM_Q6_K, 64), SLM_Q8_0);
    assert_int_equal(slm_mix_fallback(SLM_IQ2_S, 32), SLM_IQ4_NL);
    assert_int_equal(slm_mix_fallback(SLM_Q4_0, 48), SLM_F16);
}

/* ---- importance matrices ---- */

static slm_imatrix *sample(slm_runtime *rt)
{
    slm_imatrix *im = NULL;
    slm_err err = {0};
    assert_int_equal(slm_imatrix_new(&im, rt, &err), 0);
    struct slm_importance *e = slm_imatrix_add(im, "blk.1.b", 7, 2, 3);
    assert_non_null(e);
    for (int i = 0; i < 6; i++)
        e->sum[i] = i + 0.5;
    e->count[0] = 512;
    e = slm_imatrix_add(im, "blk.0.a", 7, 1, 4);
    assert_non_null(e);
    for (int i = 0; i < 4; i++)
        e->sum[i] = 1024 * (i + 1);
    e->count[0] = 1024;
    assert_int_equal(slm_imatrix_sort(im, "sample", &err), 0);
    assert_int_equal(slm_imatrix_add_dataset(im, "a text", 6, &err), 0);
    im->chunks = 2;
    im->chunk_size = 512;
    return im;
}

static slm_imatrix *back(slm_runtime *rt, const slm_imatrix *im, const char *name, int dat)
{
    slm_err err = {0};
    slm_imatrix *got = NULL;
    const char *path = scratch(name);
    if (slm_imatrix_save(im, path, dat, &err) || slm_imatrix_open(&got, rt, path, &err))
        fail_msg("%s", err.msg);
    return got;
}

static void test_files(void **state)
{
    (void)state;
    slm_runtime *rt = runtime_new("generic", 1);
    slm_imatrix *im = sample(rt);
    for (int dat = 0; dat < 2; dat++) {
        slm_imatrix *got = back(rt, im, dat ? "im.dat" : "im.gguf", dat);
        slm_imatrix_info info;
        slm_imatrix_entry a, b;
        slm_imatrix_info_get(got, &info);
        assert_int_equal(info.entries, 2);
        assert_int_equal(info.chunks, 2);
        assert_int_equal(info.chunk_size, 512);
        assert_string_equal(info.dataset, "a text");
        slm_imatrix_entry_get(got, 0, &a);
        slm_imatrix_entry_get(got, 1, &b);
        assert_string_equal(a.name, "blk.0.a");
        assert_int_equal(a.cols, 4);
        for (int i = 0; i < 4; i++)
            assert_true(a.sum[i] / (double)a.count[0] == i + 1);
        /* the older form knows no parts, and no second count: what was not seen counts as 1 */
        assert_int_equal(b.parts, dat ? 1 : 2);
        assert_int_equal(b.cols, dat ? 6 : 3);
        float w[6];
        slm_importance_means(slm_imatrix_find(got, "blk.1.b"), w);
        for (int i = 0; i < 6; i++)
            assert_true(w[i] == (i < 3 ? (float)((i + 0.5) / 512) : 1.0f));
        slm_imatrix_close(&got);
    }
    slm_imatrix_close(&im);
    slm_runtime_close(&rt);
}

static void test_merge(void **state)
{
    (void)state;
    slm_runtime *rt = runtime_new("generic", 1);
    slm_imatrix *im = sample(rt), *old = back(rt, im, "old.dat", 1), *sum = NULL;
    slm_err err = {0};
    assert_int_equal(slm_imatrix_new(&sum, rt, &err), 0);
    assert_int_equal(slm_imatrix_merge(sum, old, &err), 0);
    assert_int_equal(slm_imatrix_merge(sum, im, &err), 0);
    const struct slm_importance *a = slm_imatrix_find(sum, "blk.0.a"),
                                *b = slm_imatrix_find(sum, "blk.1.b");
    assert_true(a->count[0] == 2048 && a->sum[3] == 8192);
    assert_true(b->parts == 2 && b->cols == 3 && b->count[0] == 1024 && b->count[1] == 512);
    assert_int_equal(sum->chunks, 4);
    assert_int_equal(sum->n_datasets, 2);
    assert_non_null(slm_imatrix_add(im, "blk.0.wide", 10, 1, 5));
    assert_non_null(slm_imatrix_add(sum, "blk.0.wide", 10, 1, 6));
    assert_int_equal(slm_imatrix_sort(sum, "sum", &err), 0);
    assert_int_equal(slm_imatrix_sort(im, "im", &err), 0);
    assert_int_equal(slm_imatrix_merge(sum, im, &err), SLM_E_ARG);
    assert_non_null(strstr(err.msg, "blk.0.wide"));
    slm_imatrix_close(&sum);
    slm_imatrix_close(&old);
    slm_imatrix_close(&im);
    slm_runtime_close(&rt);
}

static void refuse(slm_runtime *rt, const void *p, size_t n, const char *why)
{
    slm_imatrix *im = NULL;
    slm_err err = {0};
    assert_int_equal(slm_imatrix_open_mem(&im, rt, p, n, "damaged", &err), SLM_E_FORMAT);
    assert_null(im);
    if (!strstr(err.msg, why))
        fail_msg("\"%s\", want %s", err.msg, why);
}

static void test_damage(void **state)
{
    (void)state;
    slm_runtime *rt = runtime_new("generic", 1);
    slm_imatrix *im = sample(rt);
    slm_err err = {0};
    const char *path = scratch("whole.dat");
    assert_int_equal(slm_imatrix_save(im, path, 1, &err), 0);
    size_t n, many = 1u << 30;
    char *p = read_all(path, &n);
    refuse(rt, p, 3, "no importance matrix");
    refuse(rt, p, 30, "entry 0");
    refuse(rt, p, n - 3, "behind its entries");
    memcpy(p + 19, &many, 4); /* the number of values */
    refuse(rt, p, n, "entry 0");
    free(p);
    p = read_all(path, &n);
    float nan = NAN;
    memcpy(p + 23, &nan, 4);
    refuse(rt, p, n, "no sum of squares");
    memcpy(p + 4 + 4 + 7 + 8 + 16 + 4, "blk.0.a", 7); /* the second entry's name */
    float one = 1;
    memcpy(p + 23, &one, 4);
    refuse(rt, p, n, "two entries");
    free(p);
    p = read_all("models/storyteller.gguf", &n);
    refuse(rt, p, 100, "");
    free(p);
    slm_imatrix *model = NULL;
    assert_int_equal(slm_imatrix_open(&model, rt, "models/storyteller.gguf", &err),
                     SLM_E_FORMAT);
    slm_imatrix_close(&im);
    slm_runtime_close(&rt);
}

static slm_imatrix *collected(slm_runtime *rt, const char *path, int context, int exact)
{
    int32_t ids[64];
    for (int i = 0; i < 64; i++)
        ids[i] = (i * 7 + i / 9) % 64;
    slm_model *m = model_at(rt, path);
    slm_imatrix *im = NULL;
    slm_imatrix_opts o = {.context = context, .exact = exact, .output = 1};
    slm_err err = {0};
    if (slm_imatrix_new(&im, rt, &err) || slm_imatrix_collect(im, m, ids, 64, &o, &err))
        fail_msg("%s", err.msg);
    slm_model_close(&m);
    return im;
}

/* Counts are the text's rows, each once for a matrix and twice among experts of which two are
 * chosen; threads change nothing. */
static void test_collect(void **state)
{
    (void)state;
    slm_runtime *rt = runtime_new(NULL, 1), *four = runtime_new(NULL, 4);
    const char *path = GOLDEN "/mixtral";
    slm_imatrix *a = collected(rt, path, 16, 1), *b = collected(four, path, 16, 1);
    assert_int_equal(a->chunks, 4);
    assert_non_null(slm_imatrix_find(a, "output.weight"));
    for (size_t i = 0; i < a->n; i++) {
        const struct slm_importance *e = &a->entry[i], *f = &b->entry[i];
        uint64_t all = 0;
        for (int k = 0; k < e->parts; k++)
            all += e->count[k];
        assert_int_equal(all, e->parts > 1 ? 128 : 64);
        assert_memory_equal(e->sum, f->sum,
                            (size_t)e->parts * (size_t)e->cols * sizeof *e->sum);
        assert_memory_equal(e->count, f->count, (size_t)e->parts * sizeof *e->count);
    }
    /* gate and up see the same input */
    const struct slm_importance *g = slm_imatrix_find(a, "blk.1.ffn_gate_exps.weight"),
                                *u = slm_imatrix_find(a, "blk.1.ffn_up_exps.weight");
    assert_memory_equal(g->sum, u->sum, (size_t)g->parts * (size_t)g->cols * sizeof *g->sum);
    slm_imatrix_close(&a);
    slm_imatrix_close(&b);
    slm_runtime_close(&rt);
    slm_runtime_close(&four);
}

/* ---- whole models ---- */

#define STORY "models/storyteller.gguf"

static slm_quant *plan(slm_runtime *rt, const char *in, const slm_quant_opts *o)
{
    slm_quant *q = NULL;
    slm_err err = {0};
    if (slm_quant_open(&q, rt, in, o, &err))
        fail_msg("%s: %s", in, err.msg);
    return q;
}

static void write_to(slm_quant *q, const char *path)
{
    slm_err err = {0};
    if (slm_quant_write(q, path, NULL, NULL, &err))
        fail_msg("%s", err.msg);
}

/* Every type there is: the file has the bytes that were foretold, opens, and is the same for
 * any number of threads. */
static void test_types(void **state)
{
    (void)state;
    slm_runtime *rt = runtime_new(NULL, 1), *four = runtime_new(NULL, 4);
    const char *path = GOLDEN "/llama";
    for (int i = 0; slm_quant_type_at(i); i++) {
        slm_quant_opts o = {.type = slm_quant_type_at(i), .no_imatrix = 1};
        slm_quant *q = plan(rt, path, &o), *p = plan(four, path, &o);
        slm_quant_info info;
        slm_err err = {0};
        assert_int_equal(slm_quant_info_get(q, &info, &err), 0);
        write_to(q, scratch("one.gguf"));
        write_to(p, scratch("four.gguf"));
        size_t n, k;
        char *a = read_all(scratch("one.gguf"), &n), *b = read_all(scratch("four.gguf"), &k);
        assert_int_equal(n, info.file_bytes);
        assert_int_equal(n, k);
        assert_memory_equal(a, b, n);
        for (int t = 0; t < info.tensors; t++) {
            slm_quant_tensor x, y;
            slm_quant_tensor_get(q, t, &x);
            slm_quant_tensor_get(p, t, &y);
            assert_true(isnan(x.error) ? isnan(y.error) : x.error == y.error && x.error < 0.9);
        }
        slm_model *m = model_at(rt, scratch("one.gguf"));
        slm_model_close(&m);
        slm_quant_close(&q);
        slm_quant_close(&p);
        free(a);
        free(b);
    }
    slm_runtime_close(&rt);
    slm_runtime_close(&four);
}

static void test_asked(void **state)
{
    (void)state;
    static const char *const keep[] = {"blk.?.attn_v*=q6_K", "attn_v=q8_0", "ffn_up"};
    slm_runtime *rt = runtime_new(NULL, 1);
    slm_quant_opts o = {.type = "Q4_K_M",
                        .keep = keep,
                        .n_keep = 3,
                        .allow_requantize = 1,
                        .output_type = "q5_K"};
    slm_quant *q = plan(rt, STORY, &o);
    slm_quant_info info;
    assert_int_equal(slm_quant_info_get(q, &info, NULL), 0);
    for (int i = 0; i < info.tensors; i++) {
        slm_quant_tensor t;
        slm_quant_tensor_get(q, i, &t);
        if (strstr(t.name, "attn_v"))
            assert_string_equal(t.type, "q6_K");
        if (strstr(t.name, "ffn_up"))
            assert_string_equal(t.type, "q8_0");
        if (!strcmp(t.name, "token_embd.weight"))
            assert_string_equal(t.type, "q5_K");
    }
    slm_quant_close(&q);
    slm_runtime_close(&rt);
}

static void want(slm_runtime *rt, const char *in, slm_quant_opts o, int code, const char *why)
{
    slm_quant *q = NULL;
    slm_err err = {0};
    assert_int_equal(slm_quant_open(&q, rt, in, &o, &err), code);
    assert_null(q);
    if (!strstr(err.msg, why))
        fail_msg("\"%s\", want %s", err.msg, why);
}

static void test_refusals(void **state)
{
    (void)state;
    slm_runtime *rt = runtime_new(NULL, 1);
    static const char *const no_tensor[] = {"attn_x=q8_0"}, *const no_fit[] = {"attn_v=q4_K"},
                             *const no_type[] = {"attn_v=q4_Z"};
    const char *small = GOLDEN "/llama";
    slm_quant_opts o = {.type = "Q4_0"};
    want(rt, STORY, o, SLM_E_ARG, "is q8_0 already");
    o.keep = no_tensor;
    o.n_keep = 1;
    want(rt, small, o, SLM_E_ARG, "attn_x");
    o.keep = no_fit;
    want(rt, small, o, SLM_E_ARG, "no multiple of 256");
    o.keep = no_type;
    want(rt, small, o, SLM_E_ARG, "q4_Z");
    want(rt, STORY, (slm_quant_opts){.type = "Q9"}, SLM_E_ARG, "Q9");
    want(rt, STORY, (slm_quant_opts){.type = "IQ2_XS", .allow_requantize = 1}, SLM_E_ARG,
         "importance matrix");
    want(rt, STORY, (slm_quant_opts){.type = "F16", .fit = 1}, SLM_E_ARG, "target");
    /* importances of another model: other widths, and fewer layers */
    slm_imatrix *im = collected(rt, small, 32, 0);
    slm_err err = {0};
    const char *path = scratch("other.gguf");
    assert_int_equal(slm_imatrix_save(im, path, 0, &err), 0);
    want(rt, STORY, (slm_quant_opts){.type = "Q8_0", .imatrix = path}, SLM_E_ARG,
         "of another model");
    slm_imatrix_drop_last(im); /* output.weight, which may be missing */
    slm_imatrix_drop_last(im);
    assert_int_equal(slm_imatrix_save(im, path, 0, &err), 0);
    want(rt, small, (slm_quant_opts){.type = "Q8_0", .imatrix = path}, SLM_E_ARG, "no entry");
    slm_imatrix_close(&im);
    slm_runtime_close(&rt);
}

static void test_not_finite(void **state)
{
    (void)state;
    slm_runtime *rt = runtime_new(NULL, 2);
    static const float bad[] = {NAN, INFINITY, 1e30f};
    for (int i = 0; i < 3; i++) {
        size_t n;
        slm_quant_opts f32 = {.type = "F32"}, o = {.type = i < 2 ? "Q4_0" : "F16"};
        slm_quant *q = plan(rt, GOLDEN "/llama", &f32);
        const char *path = scratch("bad.gguf"), *out = scratch("out.gguf");
        write_to(q, path);
        slm_quant_close(&q);
        char *p = read_all(path, &n);
        memcpy(p + n - 64 * 4, &bad[i], 4); /* a matrix stands last */
        write_text(path, p, n);
        free(p);
        slm_err err = {0};
        unlink(out);
        q = plan(rt, path, &o);
        assert_int_equal(slm_quant_write(q, out, NULL, NULL, &err), SLM_E_NUMERIC);
        assert_non_null(strstr(err.msg, "blk.1.ffn_down.weight"));
        assert_int_not_equal(access(out, F_OK), 0);
        slm_quant_close(&q);
    }
    slm_runtime_close(&rt);
}

static void test_fit(void **state)
{
    (void)state;
    slm_runtime *rt = runtime_new(NULL, 2);
    slm_quant_opts o = {.type = "Q4_K_M", .fit = 1, .allow_requantize = 1};
    slm_quant *q = plan(rt, STORY, &o);
    slm_quant_info info;
    slm_err err = {0};
    double before = INFINITY;
    for (uint64_t bytes = 2500000; bytes < 5000000; bytes += 600000) {
        slm_quant_target t = {.bytes = bytes};
        if (slm_quant_fit(q, &t, &err) || slm_quant_info_get(q, &info, &err))
            fail_msg("%s", err.msg);
        assert_true(info.file_bytes <= bytes && info.file_bytes > bytes - bytes / 20);
        write_to(q, scratch("fit.gguf"));
        double sum = 0;
        for (int i = 0; i < info.tensors; i++) {
            slm_quant_tensor x;
            slm_quant_tensor_get(q, i, &x);
            sum += isnan(x.error) ? 0 : x.error;
        }
        assert_true(sum < before);
        before = sum;
    }
    slm_quant_target t = {.bytes = 100000};
    assert_int_equal(slm_quant_fit(q, &t, &err), SLM_E_ARG);
    const char *least = strstr(err.msg, "the least is ");
    assert_non_null(least);
    t.bytes = strtoull(least + 13, NULL, 10);
    assert_int_equal(slm_quant_fit(q, &t, &err), 0);
    assert_int_equal(slm_quant_info_get(q, &info, &err), 0);
    assert_true(info.file_bytes <= t.bytes);
    t.bytes--;
    assert_int_equal(slm_quant_fit(q, &t, &err), SLM_E_ARG);
    t = (slm_quant_target){.bpw = 5};
    assert_int_equal(slm_quant_fit(q, &t, &err), 0);
    assert_int_equal(slm_quant_info_get(q, &info, &err), 0);
    assert_true(info.bpw <= 5 && info.bpw > 4.8);
    slm_quant_close(&q);
    slm_runtime_close(&rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_budget),   cmocka_unit_test(test_names),
        cmocka_unit_test(test_files),    cmocka_unit_test(test_merge),
        cmocka_unit_test(test_damage),   cmocka_unit_test(test_collect),
        cmocka_unit_test(test_types),    cmocka_unit_test(test_asked),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_fit),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
