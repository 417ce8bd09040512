/* AMX: the check at start-up takes tiles that compute right and refuses tiles that do not, with
 * a warning; the tests of the products themselves are checkkern's. On machines without AMX the
 * instructions are carried out by amx_trap.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kern/amx_trap.h"
#include "kernels/kernels.h"
#include "kernels/probe.h"

struct said {
    int warnings;
    char line[256];
};
static void hear(void *arg, int level, const char *line)
{
    struct said *s = arg;
    s->warnings += level == SLM_LOG_WARN;
    snprintf(s->line, sizeof s->line, "%s", line);
}

static slm_runtime *open_below(struct said *s)
{
    slm_runtime_opts o;
    slm_runtime *rt;
    slm_err err;
    slm_runtime_opts_init(&o);
    o.threads = 2;
    o.cpu = "generic";
    o.log = hear;
    o.log_arg = s;
    assert_int_equal(slm_runtime_open(&rt, &o, &err), 0);
    return rt;
}

/* A fresh look at what this machine has, tiles included. False: no AVX512-BF16, no AMX. */
static bool climb(slm_runtime *rt)
{
    slm_err err;
    assert_int_equal(slm_cpu_detect(&rt->cpu, NULL, &err), 0);
    if (!amx_trap_install(&rt->cpu))
        return false;
    rt->cpu.top = SLM_CPU_AMX;
    assert_int_equal(slm_kern_settle(rt, NULL, &err), 0);
    return true;
}

static void sound(void **state)
{
    struct said s = {0};
    slm_runtime *rt = open_below(&s);
    (void)state;
    if (climb(rt)) {
        assert_int_equal(rt->cpu.top, SLM_CPU_AMX);
        assert_non_null(rt->kern->mul_prompt[SLM_Q4_K]);
        assert_null(rt->kern->mul_prompt[SLM_F32]);
        assert_int_equal(s.warnings, 0);
    }
    slm_runtime_close(&rt);
}

static void unsound(void **state)
{
    (void)state;
#if defined(__x86_64__) && defined(__linux__)
    for (int how = 1; how <= 2; how++) {
        struct said s = {0};
        slm_runtime *rt = open_below(&s);
        if (rt->cpu.has >> SLM_CPU_AMX & 1u) { /* true tiles cannot be made to fail */
            slm_runtime_close(&rt);
            return;
        }
        amx_broken = how;
        if (climb(rt)) {
            assert_true(rt->cpu.top < SLM_CPU_AMX);
            assert_false(rt->cpu.has >> SLM_CPU_AMX & 1u);
            assert_null(rt->kern->mul_prompt[SLM_BF16]);
            assert_int_equal(s.warnings, 1);
            assert_non_null(strstr(s.line, "AMX"));
        }
        amx_broken = 0;
        slm_runtime_close(&rt);
    }
#endif
}

/* A level that is slow is not used, unless it is named. */
static void slow(void **state)
{
    struct said s = {0};
    slm_runtime *rt = open_below(&s);
    struct slm_kern with, without;
    (void)state;
    slm_err err;
    assert_int_equal(slm_cpu_detect(&rt->cpu, NULL, &err), 0);
    slm_kern_fill(&with, &rt->cpu, rt->cpu.top);
    rt->cpu.slow = 1u << SLM_CPU_AVX512BF16;
    slm_kern_fill(&without, &rt->cpu, rt->cpu.top);
    if (rt->cpu.has >> SLM_CPU_AVX512BF16 & 1u)
        assert_ptr_not_equal((void *)(uintptr_t)with.mul_fast[SLM_BF16],
                             (void *)(uintptr_t)without.mul_fast[SLM_BF16]);
    assert_int_equal(slm_kern_settle(rt, "avx512bf16", &err), 0);
    assert_int_equal(rt->cpu.slow, 0);
    slm_runtime_close(&rt);
}

/* The probes count what they do, and leave the tiles free. */
static void probes(void **state)
{
    struct said s = {0};
    slm_runtime *rt = open_below(&s);
    struct slm_probe p;
    double sink = 0;
    (void)state;
    if (climb(rt)) {
        slm_probe_fill(&p, &rt->cpu);
        assert_true(p.amx_bf16(2, &sink) == 2.0 * 4 * 16 * 16 * 32 * 2);
        assert_true(p.amx_int8(2, &sink) == 2.0 * 4 * 16 * 16 * 64 * 2);
    }
    slm_runtime_close(&rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound),
        cmocka_unit_test(unsound),
        cmocka_unit_test(slow),
        cmocka_unit_test(probes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
