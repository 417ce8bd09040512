/* Jobs that fewer threads than all can do, and how the threads of a job wait for each other
 * without a barrier: by a word that moves on. */
#ifndef SLM_BASE_ANYJOB_H
#define SLM_BASE_ANYJOB_H

#include <stdatomic.h>

#include "base/thread.h"

/* As slm_pool_run for work that any of the threads can do alone: fn is called on the caller and
 * on those workers that come before the caller's fn has returned, by when all must be done but
 * for what others are at. It must bear being called twice by a worker. No barriers inside. */
void slm_pool_run_any(struct slm_pool *p, slm_job_fn *fn, void *arg);
/* Returns once *word is no longer `seen`: spins for some microseconds, then sleeps. And setting
 * a word, which wakes who waits for it to move. */
void slm_pool_wait(struct slm_pool *p, _Atomic uint32_t *word, uint32_t seen);
void slm_pool_set(struct slm_pool *p, _Atomic uint32_t *word, uint32_t value);

#endif
