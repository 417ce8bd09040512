/* The public runtime: base's state with the kernel table added. It lives here, not in base, as
 * the table belongs to a higher floor. The one getenv of the library is here too. */
#include <stdlib.h>

#include "kernels/kernels.h"

#define SLM_VERSION "0.1.0"

int slm_runtime_open(slm_runtime **out, const slm_runtime_opts *opts, slm_err *err)
{
    slm_runtime_opts o;
    slm_runtime_opts_init(&o);
    if (opts)
        o = *opts;
    if (!o.cpu)
        o.cpu = getenv("SLM_CPU");
    if (o.cpu && !*o.cpu)
        o.cpu = NULL;
    *out = NULL;
    slm_runtime *rt = calloc(1, sizeof *rt); /* counted heap begins inside it */
    if (!rt)
        return slm_fail_mem(err, "runtime", sizeof *rt);
    int rc = slm_state_init(rt, &o, err);
    if (rc) {
        slm_state_release(rt);
        free(rt);
        return rc;
    }
    rt->kern = slm_alloc(rt, SLM_MEM_KERNELS, sizeof *rt->kern);
    if (!rt->kern) {
        slm_runtime_close(&rt);
        return slm_fail_mem(err, "kernel table", sizeof *rt->kern);
    }
    rc = slm_kern_settle(rt, o.cpu, err);
    if (rc) {
        slm_runtime_close(&rt);
        return rc;
    }
    *out = rt;
    return 0;
}

void slm_runtime_close(slm_runtime **rt)
{
    if (!rt || !*rt)
        return;
    slm_free(*rt, (*rt)->kern);
    slm_state_release(*rt);
    free(*rt);
    *rt = NULL;
}

int slm_runtime_threads(const slm_runtime *rt) { return slm_pool_threads(rt->pool); }

const char *slm_runtime_threads_how(const slm_runtime *rt) { return rt->threads_how; }

const char *slm_runtime_cpu_level(const slm_runtime *rt)
{
    return slm_cpu_level_name(rt->cpu.top);
}

const char *slm_runtime_cpu_name(const slm_runtime *rt) { return rt->cpu.name; }

const char *slm_runtime_cpu_level_at(const slm_runtime *rt, int i)
{
    for (int l = 0; l < SLM_CPU_COUNT; l++)
        if ((rt->cpu.has >> l & 1u) && i-- == 0)
            return slm_cpu_level_name((enum slm_cpu_level)l);
    return NULL;
}

const char *slm_runtime_cpu_level_slow(const slm_runtime *rt, int i)
{
    for (int l = 0; l < SLM_CPU_COUNT; l++)
        if ((rt->cpu.slow >> l & 1u) && i-- == 0)
            return slm_cpu_level_name((enum slm_cpu_level)l);
    return NULL;
}

const char *slm_version(void) { return SLM_VERSION; }
