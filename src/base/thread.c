/* The thread pool. Workers sleep between jobs; inside a job the threads of it meet at barriers
 * that spin for some microseconds (a layer has a dozen of them) and then sleep, so that a busy
 * neighbour costs a wake-up and not a time slice. */
#include "base/thread.h"

#include <string.h>

#include "base/alloc.h"

#define SPINS 2000 /* about ten microseconds: some barriers' worth, far below a time slice */

struct worker {
    pthread_t id;
    struct slm_pool *pool;
    int ith;
};

struct slm_pool {
    slm_runtime *rt;
    struct worker *worker; /* threads - 1 of them */
    int threads, started;
    pthread_mutex_t turn; /* one job at a time */
    slm_job_fn *fn;
    void *arg;
    _Atomic uint32_t job; /* rises by one a job; workers wait for it to move */
    _Atomic int quit;
    _Atomic uint32_t arrived, phase, sleepers;
    pthread_mutex_t bed; /* sleepers wait on `wake` under it */
    pthread_cond_t wake;
};

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Returns once *word is no longer seen. */
static void wait_change(struct slm_pool *p, _Atomic uint32_t *word, uint32_t seen)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(word, memory_order_acquire) != seen)
            return;
        relax();
    }
    atomic_fetch_add(&p->sleepers, 1);
    pthread_mutex_lock(&p->bed);
    while (atomic_load(word) == seen)
        pthread_cond_wait(&p->wake, &p->bed);
    pthread_mutex_unlock(&p->bed);
    atomic_fetch_sub(&p->sleepers, 1);
}

/* A sleeper counts itself before it looks at the word, and the word moves before the count is
 * looked at: one of the two sees the other. */
static void change(struct slm_pool *p, _Atomic uint32_t *word)
{
    atomic_fetch_add(word, 1);
    if (atomic_load(&p->sleepers)) {
        pthread_mutex_lock(&p->bed);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->bed);
    }
}

void slm_pool_barrier(struct slm_pool *p)
{
    if (p->threads == 1)
        return;
    uint32_t phase = atomic_load(&p->phase);
    if (atomic_fetch_add(&p->arrived, 1) + 1 == (uint32_t)p->threads) {
        atomic_store(&p->arrived, 0);
        change(p, &p->phase);
    } else {
        wait_change(p, &p->phase, phase);
    }
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct slm_pool *p = w->pool;
    for (uint32_t seen = 0;; seen++) {
        wait_change(p, &p->job, seen);
        if (atomic_load(&p->quit))
            return NULL;
        p->fn(w->ith, p->threads, p->arg);
        slm_pool_barrier(p);
    }
}

void slm_pool_run(struct slm_pool *p, slm_job_fn *fn, void *arg)
{
    if (p->threads == 1) {
        fn(0, 1, arg);
        return;
    }
    pthread_mutex_lock(&p->turn);
    p->fn = fn;
    p->arg = arg;
    change(p, &p->job);
    fn(0, p->threads, arg);
    slm_pool_barrier(p);
    pthread_mutex_unlock(&p->turn);
}

int slm_pool_threads(const struct slm_pool *p) { return p->threads; }

int slm_pool_new(struct slm_pool **out, slm_runtime *rt, int threads, slm_err *err)
{
    struct slm_pool *p = slm_zalloc(rt, SLM_MEM_BASE, sizeof *p);
    if (!p)
        return slm_fail_mem(err, "thread pool", sizeof *p);
    p->rt = rt;
    p->threads = threads;
    pthread_mutex_init(&p->turn, NULL);
    pthread_mutex_init(&p->bed, NULL);
    pthread_cond_init(&p->wake, NULL);
    p->worker = slm_zalloc_n(rt, SLM_MEM_BASE, (size_t)threads, sizeof *p->worker);
    int rc =
        p->worker ? 0 : slm_fail_mem(err, "thread pool", (size_t)threads * sizeof *p->worker);
    while (!rc && p->started < threads - 1) {
        struct worker *w = &p->worker[p->started];
        w->pool = p;
        w->ith = p->started + 1;
        int e = pthread_create(&w->id, NULL, work, w);
        if (e)
            rc = slm_fail(err, SLM_E_NOMEM, "thread %d of %d: %s", w->ith + 1, threads,
                          strerror(e));
        else
            p->started++;
    }
    if (rc) {
        slm_pool_free(p);
        return rc;
    }
    *out = p;
    return 0;
}

void slm_pool_free(struct slm_pool *p)
{
    if (!p)
        return;
    atomic_store(&p->quit, 1);
    change(p, &p->job);
    for (int i = 0; i < p->started; i++)
        pthread_join(p->worker[i].id, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->bed);
    pthread_mutex_destroy(&p->turn);
    slm_free(p->rt, p->worker);
    slm_free(p->rt, p);
}
