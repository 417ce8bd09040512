/* The pool: every thread runs, barriers hold, callers from outside wait their turn, and work is
 * cut without a gap. Run under ThreadSanitizer by make check. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base.h"

#define ROUNDS 200

static slm_runtime *open_runtime(int threads)
{
    slm_runtime *rt = NULL;
    slm_runtime_opts o;
    slm_runtime_opts_init(&o);
    o.threads = threads;
    assert_int_equal(slm_runtime_open(&rt, &o, NULL), 0);
    assert_int_equal(slm_runtime_threads(rt), threads);
    return rt;
}

struct job {
    struct slm_pool *pool;
    int cell[64]; /* plain: only barriers keep threads apart */
    atomic_int entered;
    int wrong;
};

/* In each round every thread writes its own cell and, behind a barrier, reads all the
 * others'. */
static void rounds(int ith, int nth, void *arg)
{
    struct job *j = arg;
    atomic_fetch_add(&j->entered, 1);
    int bad = 0;
    for (int r = 1; r <= ROUNDS; r++) {
        j->cell[ith] = r;
        slm_pool_barrier(j->pool);
        for (int t = 0; t < nth; t++)
            bad += j->cell[t] != r;
        slm_pool_barrier(j->pool);
    }
    if (bad)
        j->wrong = bad;
}

static void test_barrier(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 8; threads++) {
        slm_runtime *rt = open_runtime(threads);
        struct job j = {.pool = rt->pool};
        slm_pool_run(rt->pool, rounds, &j);
        assert_int_equal(atomic_load(&j.entered), threads);
        assert_int_equal(j.wrong, 0);
        slm_runtime_close(&rt);
    }
}

static void count_up(int ith, int nth, void *arg)
{
    (void)nth;
    if (ith == 0)
        ++*(int *)arg; /* plain: jobs must not overlap */
}

struct caller {
    struct slm_pool *pool;
    int *sum;
};

static void *call_often(void *arg)
{
    struct caller *c = arg;
    for (int i = 0; i < ROUNDS; i++)
        slm_pool_run(c->pool, count_up, c->sum);
    return NULL;
}

static void test_callers(void **state)
{
    (void)state;
    slm_runtime *rt = open_runtime(3);
    int sum = 0;
    struct caller c = {rt->pool, &sum};
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, call_often, &c), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(sum, 4 * ROUNDS);
    slm_runtime_close(&rt);
}

static void test_split(void **state)
{
    (void)state;
    for (size_t n = 0; n < 300; n += 7)
        for (size_t grain = 1; grain <= 64; grain *= 4)
            for (int nth = 1; nth <= 9; nth++) {
                size_t next = 0;
                for (int ith = 0; ith < nth; ith++) {
                    size_t lo, hi;
                    slm_split(n, grain, ith, nth, &lo, &hi);
                    assert_int_equal(lo, next);
                    assert_true(hi >= lo && (hi == n || hi % grain == 0));
                    next = hi;
                }
                assert_int_equal(next, n);
            }
}

static void *heap_user(void *arg)
{
    slm_runtime *rt = arg;
    for (int i = 0; i < ROUNDS; i++) {
        void *p = slm_alloc(rt, SLM_MEM_USER, (size_t)(i * 13 + 1));
        p = slm_realloc(rt, SLM_MEM_USER, p, (size_t)(i * 29 + 1));
        slm_free(rt, p);
    }
    return NULL;
}

static void test_heap(void **state)
{
    (void)state;
    slm_runtime *rt = open_runtime(1);
    slm_mem_stats before, after;
    slm_runtime_memory(rt, &before);
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, heap_user, rt), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    slm_runtime_memory(rt, &after);
    assert_int_equal(after.blocks, before.blocks);
    assert_int_equal(after.bytes, before.bytes);
    slm_runtime_close(&rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_barrier),
        cmocka_unit_test(test_callers),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_heap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
