/* Threads: one pool a runtime. A job runs on every thread at once; barriers inside a job spin
 * briefly and then sleep. With one thread everything runs inline. */
#ifndef SLM_BASE_THREAD_H
#define SLM_BASE_THREAD_H

#include <stddef.h>
#include <stdint.h>
#include "base/state.h"
#include "base/err.h"

typedef void slm_job_fn(int ith, int nth, void *arg);

int slm_pool_new(struct slm_pool **out, slm_runtime *rt, int threads, slm_err *err);
void slm_pool_free(struct slm_pool *p);
int slm_pool_threads(const struct slm_pool *p);
/* Calls fn(ith, nth, arg) on all threads (the caller is thread 0) and returns when all have.
 * One job at a time: callers from other threads wait their turn. */
void slm_pool_run(struct slm_pool *p, slm_job_fn *fn, void *arg);
/* Inside a job, by every thread of it. */
void slm_pool_barrier(struct slm_pool *p);

/* Thread ith's part [*lo, *hi) of n items, cut at multiples of grain. */
static inline void slm_split(size_t n, size_t grain, int ith, int nth, size_t *lo, size_t *hi)
{
    size_t blocks = (n + grain - 1) / grain;
    size_t a = blocks * (size_t)ith / (size_t)nth * grain,
           b = blocks * (size_t)(ith + 1) / (size_t)nth * grain;
    *lo = a < n ? a : n;
    *hi = b < n ? b : n;
}

#endif
