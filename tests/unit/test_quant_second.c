/* A model rounded layer by layer with feedback: the same file on any number of threads, nearer
 * to the model than rounding to the nearest, and nothing left behind when it is stopped. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/base.h"
#include "slm/slm.h"

#define MODEL "tests/golden/llama"
enum { IDS = 1024, CONTEXT = 32, VOCAB = 64 };
static int32_t ids[IDS];
static char path[3][64];

static int set_up(void **state)
{
    (void)state;
    uint32_t s = 3;
    for (int i = 0; i < IDS; i++) {
        s = s * 1664525u + 1013904223u;
        ids[i] = (int32_t)(s >> 26);
    }
    for (int i = 0; i < 3; i++)
        snprintf(path[i], sizeof path[i], "/tmp/slm-test-second-%ld-%d.gguf", (long)getpid(),
                 i);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        remove(path[i]);
    return 0;
}

static slm_runtime *open_runtime(int threads)
{
    slm_runtime_opts o;
    slm_runtime *rt = NULL;
    slm_runtime_opts_init(&o);
    o.threads = threads;
    assert_int_equal(slm_runtime_open(&rt, &o, NULL), 0);
    return rt;
}

static slm_quant *open_plan(slm_runtime *rt)
{
    slm_quant *q = NULL;
    slm_quant_opts o;
    slm_quant_opts_init(&o);
    o.type = "Q4_0";
    assert_int_equal(slm_quant_open(&q, rt, MODEL, &o, NULL), 0);
    return q;
}

static slm_quant_text text_opts(void)
{
    slm_quant_text o;
    slm_quant_text_init(&o);
    o.ids = ids;
    o.n = IDS;
    o.context = CONTEXT;
    o.chunks = 24;
    return o;
}

static void write_model(const char *to, int threads, bool second, uint64_t memory)
{
    slm_runtime *rt = open_runtime(threads);
    slm_quant *q = open_plan(rt);
    slm_quant_text o = text_opts();
    o.memory = memory;
    if (second)
        assert_int_equal(slm_quant_second(q, &o, NULL), 0);
    assert_int_equal(slm_quant_write(q, to, NULL, NULL, NULL), 0);
    slm_quant_close(&q);
    slm_runtime_close(&rt);
}

static size_t read_file(const char *p, uint8_t **out)
{
    FILE *f = fopen(p, "rb");
    assert_non_null(f);
    *out = malloc(1 << 20);
    assert_non_null(*out);
    size_t n = fread(*out, 1, 1 << 20, f);
    fclose(f);
    return n;
}

static void assert_same_file(const char *a, const char *b)
{
    uint8_t *x, *y;
    size_t n = read_file(a, &x);
    assert_int_equal(read_file(b, &y), n);
    assert_memory_equal(x, y, n);
    free(x);
    free(y);
}

struct pair {
    slm_divergence *d;
    float *base; /* (rows, VOCAB) */
    bool second;
    int at;
};

static int on_row(void *arg, int row, const float *logits)
{
    struct pair *p = arg;
    if (!p->second)
        memcpy(p->base + row * VOCAB, logits, VOCAB * sizeof *logits);
    else
        assert_int_equal(
            slm_divergence_add(p->d, p->base + row * VOCAB, SLM_BASE_LOGITS, logits, 0, NULL),
            0);
    return 0;
}

/* Mean divergence of the file from the model, on the end of the text, which nobody fitted. */
static double distance(const char *file)
{
    slm_runtime *rt = open_runtime(1);
    struct pair p = {.base = malloc(sizeof(float) * CONTEXT * VOCAB)};
    slm_divergence_stats st;
    slm_model_opts mo = {.no_tokenizer = 1};
    slm_session_opts so = {.context = CONTEXT, .exact = 1};
    assert_int_equal(slm_divergence_new(&p.d, rt, VOCAB, NULL), 0);
    const char *const open[] = {MODEL, file};
    for (int k = 26 * CONTEXT; k + CONTEXT <= IDS; k += CONTEXT)
        for (int i = 0; i < 2; i++) {
            slm_model *m = NULL;
            slm_session *s = NULL;
            p.second = i;
            assert_int_equal(slm_model_open(&m, rt, open[i], &mo, NULL), 0);
            assert_int_equal(slm_session_open(&s, m, &so, NULL), 0);
            assert_int_equal(slm_session_score(s, ids + k, CONTEXT, on_row, &p, NULL), 0);
            slm_session_close(&s);
            slm_model_close(&m);
        }
    slm_divergence_get(p.d, &st);
    slm_divergence_free(p.d);
    free(p.base);
    slm_runtime_close(&rt);
    return st.kld;
}

static void test_threads_and_groups(void **state)
{
    (void)state;
    write_model(path[0], 1, true, 0);
    write_model(path[1], 3, true, 0);
    assert_same_file(path[0], path[1]);
    write_model(path[1], 2, true, 1 << 20); /* both layers by one pass: other inputs */
    write_model(path[2], 1, false, 0);
    double nearest = distance(path[2]), layers = distance(path[0]), group = distance(path[1]);
    /* weights and inputs of this model are noise: there is little to gain, but something */
    assert_true(layers > 0 && layers < 0.97 * nearest);
    assert_true(group > 0 && group < 0.97 * nearest);
}

/* What a matrix's rounding costs: the same on any number of threads, above nothing, and the
 * plan is as before. */
static void test_sensitivity(void **state)
{
    (void)state;
    double by[2][64] = {{0}};
    slm_quant_info info;
    for (int k = 0; k < 2; k++) {
        slm_runtime *rt = open_runtime(1 + 2 * k);
        slm_quant *q = open_plan(rt);
        slm_quant_text o = text_opts();
        assert_int_equal(slm_quant_info_get(q, &info, NULL), 0);
        assert_in_range(info.tensors, 10, 64);
        assert_int_equal(slm_quant_sense(q, by[k], &o, NULL), 0);
        assert_int_equal(slm_quant_write(q, path[k], NULL, NULL, NULL), 0);
        for (int i = 0; i < info.tensors; i++) {
            slm_quant_tensor t;
            slm_quant_tensor_get(q, i, &t);
            assert_true(isfinite(by[k][i]) && by[k][i] >= 0);
            if (!strcmp(t.type, "q4_0"))
                assert_true(by[k][i] > 0);
        }
        slm_quant_close(&q);
        slm_runtime_close(&rt);
    }
    assert_memory_equal(by[0], by[1], sizeof by[0]);
    assert_same_file(path[0], path[1]);
    write_model(path[1], 1, false, 0);
    assert_same_file(path[0], path[1]);
}

static int stop(void *arg, uint64_t done, uint64_t total)
{
    int *left = arg;
    assert_true(done <= total);
    return --*left < 0;
}

static void test_refuses(void **state)
{
    (void)state;
    slm_runtime *rt = open_runtime(2);
    slm_mem_stats before, after;
    slm_err err = {0};
    slm_runtime_memory(rt, &before);
    slm_quant *q = open_plan(rt);
    slm_quant_text o = text_opts();
    int left = 3;
    o.n = CONTEXT - 1;
    assert_int_equal(slm_quant_second(q, &o, &err), SLM_E_ARG);
    o = text_opts();
    ids[5] = VOCAB;
    assert_int_equal(slm_quant_second(q, &o, &err), SLM_E_ARG);
    ids[5] = 5;
    o.progress = stop;
    o.progress_arg = &left;
    assert_int_equal(slm_quant_second(q, &o, &err), SLM_E_CANCELLED);
    assert_string_equal(err.msg, "stopped while rounding");
    slm_quant_close(&q);
    slm_runtime_memory(rt, &after);
    assert_int_equal(before.blocks, after.blocks);
    slm_runtime_close(&rt);
}

/* Every allocation that can fail does once; whatever was made is given back. */
static void test_torture(void **state)
{
    (void)state;
    for (int64_t n = 1, rc = 1; rc; n += n < 20 ? 1 : 13) {
        slm_runtime *rt = open_runtime(1);
        slm_mem_stats before, after;
        slm_runtime_memory(rt, &before);
        slm_quant *q = open_plan(rt);
        slm_quant_text o = text_opts();
        slm_err err = {0};
        o.chunks = 1;
        rt->heap.fail_in = n;
        double sensitivity[64];
        rc = slm_quant_sense(q, sensitivity, &o, &err);
        if (!rc)
            rc = slm_quant_second(q, &o, &err);
        rt->heap.fail_in = 0;
        assert_true(rc == 0 || rc == SLM_E_NOMEM);
        slm_quant_close(&q);
        slm_runtime_memory(rt, &after);
        assert_int_equal(before.blocks, after.blocks);
        slm_runtime_close(&rt);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_and_groups),
        cmocka_unit_test(test_sensitivity),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_torture),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
