/* Rounding with feedback: places of codes, the factor, and that the loss it claims is true and
 * below plain rounding's, with the same bytes on any number of threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "compress/second.h"

static slm_runtime *rt;

static int set_up(void **state)
{
    (void)state;
    slm_runtime_opts o;
    slm_runtime_opts_init(&o);
    o.threads = 3;
    return slm_runtime_open(&rt, &o, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    slm_runtime_close(&rt);
    return 0;
}

static float noise(uint32_t *s)
{
    float sum = 0;
    for (int i = 0; i < 4; i++) {
        *s = *s * 1664525u + 1013904223u;
        sum += (float)(*s >> 8) / 16777216.0f - 0.5f;
    }
    return sum;
}

/* A code that changes must change its own number and no other, and codes must rise. */
static void test_codes(void **state)
{
    (void)state;
    int types = 0;
    for (int t = 0; t < SLM_DTYPE_COUNT; t++) {
        struct slm_codes c;
        uint8_t bytes[292], code[256];
        float a[256], b[256];
        if (!slm_codes_of(&c, (enum slm_dtype)t))
            continue;
        types++;
        assert_int_equal(c.block, slm_dtypes[t].block);
        memset(bytes, 0x2c, sizeof bytes); /* scales that are neither 0 nor wild in any type */
        memset(code, 0, sizeof code);
        slm_codes_put(&c, bytes, code);
        rt->kern->to_f32[t](a, bytes, (size_t)c.block);
        for (int i = 0; i < c.block; i++) {
            code[i] = (uint8_t)(c.n - 1);
            slm_codes_put(&c, bytes, code);
            rt->kern->to_f32[t](b, bytes, (size_t)c.block);
            for (int j = 0; j < c.block; j++)
                assert_true((a[j] == b[j]) == (i != j));
            code[i] = (uint8_t)(c.n / 2);
            slm_codes_put(&c, bytes, code);
            rt->kern->to_f32[t](b, bytes, (size_t)c.block);
            code[i] = 1;
            slm_codes_put(&c, bytes, code);
            float half = b[i] - a[i];
            rt->kern->to_f32[t](b, bytes, (size_t)c.block);
            if (c.linear)
                assert_true(fabsf(half - (float)(c.n / 2) * (b[i] - a[i])) <=
                            1e-4f * fabsf(half));
            code[i] = 0;
        }
    }
    assert_true(types >= 14);
}

/* (n, n) second moments of rows that hang together. */
static float *moments(int n, int rows)
{
    float *h = calloc((size_t)n * (size_t)n, sizeof *h), *x = malloc((size_t)n * sizeof *x);
    uint32_t seed = 99;
    assert_true(h && x);
    for (int r = 0; r < rows; r++) {
        float common = noise(&seed) * 2;
        for (int i = 0; i < n; i++)
            x[i] = noise(&seed) * (1 + (float)(i % 7)) + common;
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
                h[i * n + j] += x[i] * x[j];
    }
    free(x);
    return h;
}

static void test_factor(void **state)
{
    (void)state;
    static const int sizes[] = {1, 2, 63, 64, 65, 150};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        int n = sizes[k];
        float *h = moments(n, 3 * n), *f = malloc((size_t)n * (size_t)n * sizeof *f);
        double add = 0;
        assert_non_null(f);
        memcpy(f, h, (size_t)n * (size_t)n * sizeof *f);
        for (int i = 0; i < n; i++)
            add += 0.01 * (double)h[i * n + i] / n;
        assert_int_equal(slm_factor(rt, f, n, 0.01, NULL), 0);
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++) {
                double sum = 0, whole = 0;
                for (int c = i > j ? i : j; c < n; c++) {
                    double mi = c == i ? 1 : (double)f[i * n + c],
                           mj = c == j ? 1 : (double)f[j * n + c];
                    sum += mi * mj * (double)f[c * n + c];
                    whole += fabs(mi * mj * (double)f[c * n + c]);
                }
                double want = (double)h[i * n + j] + (i == j ? add : 0);
                assert_true(fabs(sum - want) <= 1e-4 * (whole + fabs(want)));
                assert_true(f[i * n + j] == f[j * n + i]);
            }
        free(h);
        free(f);
    }
}

static void test_factor_refuses(void **state)
{
    (void)state;
    float zero[9] = {0}, bad[4] = {1, 0, 0, NAN}, odd[4] = {1, 5, 5, 1};
    slm_err err = {0};
    assert_int_equal(slm_factor(rt, zero, 3, 0.01, &err), 0); /* unseen inputs: all alike */
    assert_int_equal(slm_factor(rt, bad, 2, 0.01, &err), SLM_E_NUMERIC);
    assert_int_equal(slm_factor(rt, odd, 2, 0.01, &err), SLM_E_NUMERIC);
}

static double loss_of(const float *w, const float *q, const float *h, int n, double add)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            sum += ((double)w[i] - (double)q[i]) * ((double)w[j] - (double)q[j]) *
                   ((double)h[i * n + j] + (i == j ? add : 0));
    return sum;
}

static void test_feedback(void **state)
{
    (void)state;
    enum { N = 512, ROWS = 37 };
    static const enum slm_dtype types[] = {SLM_Q4_0,   SLM_Q4_1,  SLM_Q5_1, SLM_Q8_0,
                                           SLM_Q2_K,   SLM_Q3_K,  SLM_Q4_K, SLM_Q6_K,
                                           SLM_IQ4_NL, SLM_IQ4_XS};
    float *h = moments(N, 2 * N), *f = malloc((size_t)N * N * sizeof *f),
          *w = malloc((size_t)N * ROWS * sizeof *w);
    static float back[N];
    static uint8_t out[ROWS * N * 4], one[ROWS * N * 4], plain[N * 4];
    uint32_t seed = 5;
    double add = 0;
    slm_runtime_opts o;
    slm_runtime *single = NULL;
    slm_runtime_opts_init(&o);
    o.threads = 1;
    assert_true(f && w && !slm_runtime_open(&single, &o, NULL));
    for (int i = 0; i < N; i++)
        add += 0.01 * (double)h[i * N + i] / N;
    for (int i = 0; i < N * ROWS; i++)
        w[i] = noise(&seed);
    memcpy(f, h, (size_t)N * N * sizeof *f);
    assert_int_equal(slm_factor(rt, f, N, 0.01, NULL), 0);
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        enum slm_dtype t = types[k];
        if (!rt->kern->quantize[t] && !rt->kern->from_f32[t])
            continue;
        size_t bytes = slm_row_bytes(t, N);
        struct slm_feedback fb = {.type = t,
                                  .rows = ROWS,
                                  .cols = N,
                                  .factor = f,
                                  .in = (const uint8_t *)w,
                                  .stride = N * sizeof *w,
                                  .from = SLM_F32,
                                  .out = out};
        double claimed = 0, true_loss = 0, plain_loss = 0;
        assert_int_equal(slm_feedback_run(rt, &fb, &claimed, NULL), 0);
        fb.out = one;
        assert_int_equal(slm_feedback_run(single, &fb, NULL, NULL), 0);
        assert_memory_equal(out, one, bytes * ROWS);
        for (int r = 0; r < ROWS; r++) {
            rt->kern->to_f32[t](back, out + (size_t)r * bytes, N);
            true_loss += loss_of(w + r * N, back, h, N, add);
            if (rt->kern->quantize[t])
                rt->kern->quantize[t](plain, w + r * N, NULL, N);
            else
                rt->kern->from_f32[t](plain, w + r * N, N);
            rt->kern->to_f32[t](back, plain, N);
            plain_loss += loss_of(w + r * N, back, h, N, add);
        }
        assert_true(fabs(true_loss - claimed) < 0.01 * claimed);
        assert_true(true_loss < 0.7 * plain_loss);
    }
    slm_runtime_close(&single);
    free(h);
    free(f);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_factor),
        cmocka_unit_test(test_factor_refuses),
        cmocka_unit_test(test_feedback),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
