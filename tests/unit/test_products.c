/* The products of training as slm bench measures them: the list, a measurement, its peaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "slm/bench.h"

static void measured(void **state)
{
    slm_runtime *rt;
    slm_runtime_opts o;
    slm_err err;
    slm_bench_product r;
    double f32, bf16;
    (void)state;
    slm_runtime_opts_init(&o);
    o.threads = 2;
    assert_int_equal(slm_runtime_open(&rt, &o, &err), 0);
    assert_true(slm_bench_products() > 0);
    assert_int_equal(slm_bench_product_run(rt, 0, &r, &err), 0);
    assert_true(r.m > 0 && r.n > 0 && r.k > 0);
    assert_true(r.f32_gflops > 0 && r.bf16_gflops > 0);
    assert_string_equal(r.type, "f32");
    assert_int_equal(slm_bench_product_run(rt, slm_bench_products(), &r, &err), SLM_E_ARG);
    assert_int_equal(slm_bench_product_run(rt, -1, &r, &err), SLM_E_ARG);
    slm_bench_product_peaks(rt, &f32, &bf16);
    assert_true(f32 > 0 && bf16 >= f32);
    slm_runtime_close(&rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(measured)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
