/* The number of threads on machines that are not here: what their systems tell, and the choice
 * that should follow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"

static struct slm_core_facts facts;

static void add(int package, int core, int capacity)
{
    struct slm_core *c = &facts.core[facts.n];
    *c = (struct slm_core){.cpu = (int16_t)facts.n,
                           .package = (int16_t)package,
                           .core = (int16_t)core,
                           .capacity = (int16_t)capacity,
                           .allowed = true};
    facts.n++;
}

static void expect(int threads, const char *how, const int *cpu)
{
    struct slm_core_choice out;
    slm_cores_choose(&out, &facts);
    assert_string_equal(out.how, how);
    assert_int_equal(out.threads, threads);
    for (int i = 0; cpu && i < threads; i++)
        assert_int_equal(out.cpu[i], cpu[i]);
}

static void clear(void) { memset(&facts, 0, sizeof facts); }

static void test_plain(void **state)
{
    (void)state;
    clear();
    add(0, 0, 1024);
    add(0, 1, 1024);
    expect(2, "2 threads: 2 cores, quota none", (const int[]){0, 1});
    clear(); /* a virtual machine that tells nothing */
    for (int i = 0; i < 3; i++)
        add(0, -1, 0);
    expect(3, "3 threads: 3 cores, quota none", (const int[]){0, 1, 2});
}

/* A laptop of 4 cores: siblings numbered apart (0 with 4) or side by side (0 with 1). */
static void test_siblings(void **state)
{
    (void)state;
    clear();
    for (int i = 0; i < 8; i++)
        add(0, i % 4, 0);
    expect(4, "4 threads: 4 cores (4 siblings left out), quota none",
           (const int[]){0, 1, 2, 3});
    facts.core[1].allowed = false; /* taskset leaves its sibling, 5 */
    expect(4, "4 threads: 4 cores (3 siblings left out), quota none",
           (const int[]){0, 2, 3, 5});
    clear();
    for (int i = 0; i < 8; i++)
        add(0, i / 2, 0);
    expect(4, "4 threads: 4 cores (4 siblings left out), quota none",
           (const int[]){0, 2, 4, 6});
    clear(); /* two sockets number their cores alike */
    for (int i = 0; i < 8; i++)
        add(i / 4, i % 2, 0);
    expect(4, "4 threads: 4 cores (4 siblings left out), quota none",
           (const int[]){0, 1, 4, 5});
}

static void test_quota(void **state)
{
    (void)state;
    clear();
    for (int i = 0; i < 16; i++)
        add(0, i, 1024);
    facts.quota = slm_cores_quota("150000 100000", NULL);
    expect(2, "2 threads: 16 cores, quota 1.50", (const int[]){0, 1});
    facts.quota = slm_cores_quota("120000", "100000");
    expect(1, "1 thread: 16 cores, quota 1.20", NULL);
    facts.quota = 0.25;
    expect(1, "1 thread: 16 cores, quota 0.25", NULL);
    facts.quota = 64;
    expect(16, "16 threads: 16 cores, quota 64.00", NULL);
    const char *none[] = {"max 100000", "-1",       "",      "x",    "100000",
                          "100000 0",   "100000 x", "nan 1", "1 nan"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_true(slm_cores_quota(none[i], NULL) <= 0);
    assert_true(slm_cores_quota("-1", "100000") <= 0);
}

/* A phone: four little cores, three big, one bigger. */
static void test_phone(void **state)
{
    (void)state;
    clear();
    for (int i = 0; i < 8; i++)
        add(0, i, i < 4 ? 250 : i < 7 ? 870 : 1024);
    expect(4, "4 threads: 4 cores (4 weak cores left out), quota none",
           (const int[]){7, 4, 5, 6});
    for (int i = 4; i < 8; i++)
        facts.core[i].allowed = false; /* in the background: the little ones alone */
    expect(4, "4 threads: 4 cores, quota none", (const int[]){0, 1, 2, 3});
}

/* A laptop with two kinds: cores with siblings, and weaker ones without. */
static void test_hybrid(void **state)
{
    (void)state;
    clear();
    for (int i = 0; i < 12; i++)
        add(0, i < 4 ? i / 2 : i, i < 4 ? 1024 : 600);
    expect(10, "10 threads: 10 cores (2 siblings left out), quota none", NULL);
    for (int i = 4; i < 12; i++)
        facts.core[i].capacity = 400;
    expect(2, "2 threads: 2 cores (2 siblings, 8 weak cores left out), quota none",
           (const int[]){0, 2});
    for (int i = 0; i < 12; i++)
        facts.core[i].allowed = false;
    expect(1, "1 thread: 1 core, quota none", (const int[]){-1});
}

/* Here: some number, told of; one that is asked for wins. */
static void test_here(void **state)
{
    (void)state;
    slm_runtime *rt = NULL;
    slm_runtime_opts o;
    slm_runtime_opts_init(&o);
    assert_int_equal(slm_runtime_open(&rt, &o, NULL), 0);
    int here = slm_runtime_threads(rt);
    assert_true(here >= 1);
    assert_int_equal(strtol(slm_runtime_threads_how(rt), NULL, 10), here);
    slm_runtime_close(&rt);
    o.threads = here + 1;
    assert_int_equal(slm_runtime_open(&rt, &o, NULL), 0);
    assert_int_equal(slm_runtime_threads(rt), here + 1);
    assert_non_null(strstr(slm_runtime_threads_how(rt), "asked for"));
    slm_runtime_close(&rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),  cmocka_unit_test(test_siblings),
        cmocka_unit_test(test_quota),  cmocka_unit_test(test_phone),
        cmocka_unit_test(test_hybrid), cmocka_unit_test(test_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
