/* The thread pool. Workers sleep between jobs; inside a job the threads of it meet at barriers
 * that spin for some microseconds (a layer has a dozen of them) and then sleep, so that a busy
 * neighbour costs a wake-up and not a time slice: a core that goes idle is where the system
 * moves whom it had set aside. Jobs that can be done by fewer threads (slm_pool_run_any) are
 * not held up by a worker that the system has not let run yet: it is closed out when the work
 * is done. */
#include "base/anyjob.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"

/* Nanoseconds of spinning: doubled by a wait that ended within them, halved by one that had to
 * sleep, which on a machine that is busy elsewhere they mostly do. */
#define SPIN_LEAST 2000u
#define SPIN_MOST 40000u

struct worker {
    pthread_t id;
    struct slm_pool *pool;
    int ith;
};

enum { CLOSED = 1 << 16 };

struct slm_pool {
    slm_runtime *rt;
    struct worker *worker; /* threads - 1 of them */
    int threads, started;
    pthread_mutex_t turn; /* one job at a time */
    slm_job_fn *fn;
    void *arg;
    _Atomic uint32_t job;    /* rises by one a job; workers wait for it to move */
    _Atomic uint32_t inside; /* workers in a job of any threads; CLOSED: no more may enter */
    _Atomic uint32_t left;   /* moves when the last of them leaves */
    _Atomic int quit;
    _Atomic uint32_t arrived, phase, sleepers;
    pthread_mutex_t bed; /* sleepers wait on `wake` under it */
    pthread_cond_t wake;
    _Atomic uint32_t spin; /* nanoseconds that waits spin now */
};

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* True when *word moved while spinning. */
static bool spin(struct slm_pool *p, _Atomic uint32_t *word, uint32_t seen)
{
    uint32_t ns = atomic_load_explicit(&p->spin, memory_order_relaxed);
    double until = 0;
    for (;;) {
        for (int i = 0; i < 16; i++) {
            if (atomic_load_explicit(word, memory_order_acquire) != seen)
                return true;
            relax();
        }
        double now = slm_clock_seconds();
        if (until <= 0)
            until = now + ns * 1e-9;
        else if (now > until)
            return false;
    }
}

void slm_pool_wait(struct slm_pool *p, _Atomic uint32_t *word, uint32_t seen)
{
    uint32_t ns = atomic_load_explicit(&p->spin, memory_order_relaxed), next;
    bool moved = spin(p, word, seen);
    next = moved ? ns * 2 : ns / 2;
    next = next < SPIN_LEAST ? SPIN_LEAST : next > SPIN_MOST ? SPIN_MOST : next;
    if (next != ns)
        atomic_store_explicit(&p->spin, next, memory_order_relaxed);
    if (moved)
        return;
    atomic_fetch_add(&p->sleepers, 1);
    pthread_mutex_lock(&p->bed);
    while (atomic_load(word) == seen)
        pthread_cond_wait(&p->wake, &p->bed);
    pthread_mutex_unlock(&p->bed);
    atomic_fetch_sub(&p->sleepers, 1);
}

/* A sleeper counts itself before it looks at the word, and the word moves before the count is
 * looked at: one of the two sees the other. */
void slm_pool_set(struct slm_pool *p, _Atomic uint32_t *word, uint32_t value)
{
    atomic_store(word, value);
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
        slm_pool_set(p, &p->phase, phase + 1);
    } else {
        slm_pool_wait(p, &p->phase, phase);
    }
}

/* A job of any threads: enters unless it is closed. What a job is is read only inside, where
 * the caller cannot begin another. */
static void take_part(struct slm_pool *p, int ith)
{
    uint32_t in = atomic_load(&p->inside);
    do {
        if (in & CLOSED)
            return;
    } while (!atomic_compare_exchange_weak(&p->inside, &in, in + 1));
    p->fn(ith, p->threads, p->arg);
    if (atomic_fetch_sub(&p->inside, 1) == CLOSED + 1)
        slm_pool_set(p, &p->left, atomic_load(&p->left) + 1);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct slm_pool *p = w->pool;
    for (uint32_t seen = 0;;) {
        slm_pool_wait(p, &p->job, seen);
        seen = atomic_load(&p->job);
        if (atomic_load(&p->quit))
            return NULL;
        if (!(seen & 1)) {
            take_part(p, w->ith);
            continue;
        }
        p->fn(w->ith, p->threads, p->arg);
        slm_pool_barrier(p);
    }
}

/* Jobs of all threads have odd numbers: a worker that comes late must know which kind it sees.
 */
static void begin(struct slm_pool *p, uint32_t odd)
{
    uint32_t job = atomic_load(&p->job);
    slm_pool_set(p, &p->job, job + ((job & 1) == odd ? 2 : 1));
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
    begin(p, 1);
    fn(0, p->threads, arg);
    slm_pool_barrier(p);
    pthread_mutex_unlock(&p->turn);
}

void slm_pool_run_any(struct slm_pool *p, slm_job_fn *fn, void *arg)
{
    if (p->threads == 1) {
        fn(0, 1, arg);
        return;
    }
    pthread_mutex_lock(&p->turn);
    p->fn = fn;
    p->arg = arg;
    atomic_store(&p->inside, 0);
    begin(p, 0);
    fn(0, p->threads, arg);
    uint32_t left = atomic_load(&p->left);
    if (atomic_fetch_or(&p->inside, CLOSED) != 0)
        slm_pool_wait(p, &p->left, left);
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
    p->spin = SPIN_MOST;
    p->inside = CLOSED;
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
    slm_pool_set(p, &p->job, atomic_load(&p->job) + 1);
    for (int i = 0; i < p->started; i++)
        pthread_join(p->worker[i].id, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->bed);
    pthread_mutex_destroy(&p->turn);
    slm_free(p->rt, p->worker);
    slm_free(p->rt, p);
}
