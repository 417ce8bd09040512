/* The quantisers' error beside the reference's: on rows that both can make from whole numbers,
 * sum w (y - x)^2 / sum w x^2 may not pass what ggml's quantiser gives there, without weights
 * and with a weight for each column. The bounds are printed by
 * tools/ref/quantise_error.py --bounds; 0 is none (those types need weights). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernels/kern_fill.h"

enum { ROWS = 16, COLS = 1024 };

static float rows[ROWS * COLS], weights[ROWS * COLS], values[ROWS * COLS];
static uint8_t blocks[ROWS * COLS * 2];
static struct slm_kern kern;

static uint32_t draw(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 16;
}

static void make_rows(void)
{
    uint32_t state = 1;
    for (int i = 0; i < ROWS * COLS; i++) {
        int v = -131070;
        for (int k = 0; k < 4; k++)
            v += (int)draw(&state);
        rows[i] = (float)(v * (i % 37 == 0 ? 8 : 1)) * 0x1p-20f;
    }
    for (int i = 0; i < COLS; i++) {
        uint32_t w = draw(&state) >> 6;
        weights[i] = (float)(w * w + 1);
    }
    for (int r = 1; r < ROWS; r++)
        memcpy(weights + r * COLS, weights, COLS * sizeof *weights);
}

static double error_of(enum slm_dtype t, const float *w)
{
    double err = 0, all = 0;
    kern.quantize[t](blocks, rows, w, ROWS * COLS);
    kern.to_f32[t](values, blocks, ROWS * COLS);
    for (int i = 0; i < ROWS * COLS; i++) {
        double d = (double)values[i] - (double)rows[i], u = w ? (double)w[i] : 1;
        err += u * d * d;
        all += u * (double)rows[i] * (double)rows[i];
    }
    return err / all;
}

static void test_not_above_the_reference(void **state)
{
    (void)state;
    static const struct {
        enum slm_dtype type;
        double plain, weighted;
    } bounds[] = {
        /* clang-format off */
        {SLM_Q4_0, 2.524940e-02, 2.267918e-02},
        {SLM_Q4_1, 1.061352e-02, 7.795527e-03},
        {SLM_Q5_0, 6.478666e-03, 6.068280e-03},
        {SLM_Q5_1, 2.497091e-03, 1.824176e-03},
        {SLM_Q8_0, 1.047661e-04, 1.060152e-04},
        {SLM_Q2_K, 1.155379e-01, 7.472010e-02},
        {SLM_Q3_K, 4.645036e-02, 4.075983e-02},
        {SLM_Q4_K, 9.336742e-03, 8.290446e-03},
        {SLM_Q5_K, 2.377806e-03, 2.155040e-03},
        {SLM_Q6_K, 8.401674e-04, 7.860840e-04},
        {SLM_IQ2_XXS, 0.000000e+00, 2.434701e-01},
        {SLM_IQ2_XS, 0.000000e+00, 1.418563e-01},
        {SLM_IQ3_XXS, 9.374026e-02, 4.405374e-02},
        {SLM_IQ1_S, 0.000000e+00, 3.537590e-01},
        {SLM_IQ4_NL, 1.423798e-02, 1.299641e-02},
        {SLM_IQ3_S, 4.969866e-02, 3.488788e-02},
        {SLM_IQ2_S, 2.014208e-01, 1.267811e-01},
        {SLM_IQ4_XS, 1.450555e-02, 1.337699e-02},
        {SLM_IQ1_M, 0.000000e+00, 2.021780e-01},
        {SLM_TQ1_0, 5.082116e-01, 5.232491e-01},
        {SLM_TQ2_0, 5.082116e-01, 5.232491e-01},
        {SLM_MXFP4, 2.760081e-02, 2.893191e-02},
        {SLM_NVFP4, 8.585302e-03, 8.748276e-03},
        {SLM_Q1_0, 6.463636e-01, 6.379318e-01},
        {SLM_Q2_0, 3.738684e-01, 3.901763e-01},
        /* clang-format on */
    };
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        enum slm_dtype t = bounds[i].type;
        assert_non_null(kern.quantize[t]);
        double plain = bounds[i].plain > 0 ? error_of(t, NULL) : 0;
        double weighted = error_of(t, weights);
        if (plain > bounds[i].plain * 1.0001 || weighted > bounds[i].weighted * 1.0001)
            fail_msg("%s: error %.4e and weighted %.4e, bounds %.4e and %.4e",
                     slm_dtypes[t].name, plain, weighted, bounds[i].plain, bounds[i].weighted);
    }
}

/* What a type can hold is held, as nearly as a float16 scale allows. */
static void test_held(void **state)
{
    (void)state;
    static const enum slm_dtype types[] = {SLM_Q4_0,  SLM_Q5_0,  SLM_Q8_0, SLM_IQ4_NL,
                                           SLM_TQ1_0, SLM_TQ2_0, SLM_Q2_0, SLM_Q1_0,
                                           SLM_MXFP4, SLM_Q4_1,  SLM_Q5_1};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        enum slm_dtype t = types[i];
        float x[256], y[256];
        for (int e = 0; e < 256; e++)
            x[e] = t == SLM_Q1_0 || e % 3 ? e % 2 ? 0.375f : -0.375f : 0;
        kern.quantize[t](blocks, x, NULL, 256);
        kern.to_f32[t](y, blocks, 256);
        for (int e = 0; e < 256; e++)
            if (fabsf(y[e] - x[e]) > (t == SLM_IQ4_NL ? 0.02f : 0.375f / 2048))
                fail_msg("%s: %g became %g", slm_dtypes[t].name, (double)x[e], (double)y[e]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_above_the_reference),
        cmocka_unit_test(test_held),
    };
    struct slm_cpu cpu;
    slm_err err;
    if (slm_cpu_detect(&cpu, NULL, &err))
        return 1;
    slm_kern_fill(&kern, &cpu, (enum slm_cpu_level)(SLM_CPU_COUNT - 1));
    make_rows();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
