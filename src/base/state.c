/* The runtime's base half: heap counters, log, CPU facts and the thread pool. */
#include "base/base.h"

#include <stdio.h>
#include <string.h>

void slm_runtime_opts_init(slm_runtime_opts *o) { memset(o, 0, sizeof *o); }

int slm_state_init(struct slm_runtime *rt, const slm_runtime_opts *o, slm_err *err)
{
    memset(rt, 0, sizeof *rt);
    atomic_store(&rt->heap.fail_in, o->fail_alloc);
    rt->log = o->log;
    rt->log_arg = o->log_arg;
    pthread_mutex_init(&rt->log_lock, NULL);
    int rc = slm_cpu_detect(&rt->cpu, o->cpu, err);
    if (rc)
        return rc;
    if (o->threads < 0 || o->threads > 1024)
        return slm_fail(err, SLM_E_ARG, "threads: %d is not between 0 and 1024", o->threads);
    struct slm_core_choice found;
    rc = slm_cores_find(&found, rt, err);
    if (rc)
        return rc;
    if (o->threads && o->threads != found.threads)
        snprintf(rt->threads_how, sizeof rt->threads_how, "%d thread%s: asked for; else %s",
                 o->threads, o->threads == 1 ? "" : "s", found.how);
    else
        snprintf(rt->threads_how, sizeof rt->threads_how, "%s", found.how);
    if (o->threads)
        found.threads = o->threads;
    return slm_pool_new(&rt->pool, rt, found.threads, err);
}

void slm_state_release(struct slm_runtime *rt)
{
    slm_pool_free(rt->pool);
    rt->pool = NULL;
    pthread_mutex_destroy(&rt->log_lock);
}
