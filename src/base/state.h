/* The runtime's inside: services that the rooms share. Made by kernels/runtime.c, which adds
 * the kernel table to what base opens here. */
#ifndef SLM_BASE_STATE_H
#define SLM_BASE_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "slm/runtime.h"
#include "base/cores.h"
#include "base/cpu.h"

struct slm_pool;
struct slm_kern;

/* Which room a block of heap belongs to. */
enum slm_mem {
    SLM_MEM_BASE,
    SLM_MEM_KERNELS,
    SLM_MEM_FORMAT,
    SLM_MEM_TEXT,
    SLM_MEM_TEMPLATE,
    SLM_MEM_GRAPH,
    SLM_MEM_MODEL,
    SLM_MEM_GENERATE,
    SLM_MEM_KV,
    SLM_MEM_DATA,
    SLM_MEM_USER,
    SLM_MEM_RUNS,
    SLM_MEM_COUNT
};

struct slm_heap {
    _Atomic size_t bytes, peak, blocks, by[SLM_MEM_COUNT];
    _Atomic uint64_t count;
    _Atomic int64_t fail_in; /* the Nth allocation from now fails; 0: none */
};

struct slm_runtime {
    struct slm_heap heap;
    slm_log_fn *log;
    void *log_arg;
    pthread_mutex_t log_lock;
    struct slm_cpu cpu;
    char threads_how[160]; /* how the number of threads came about, in words */
    struct slm_pool *pool;
    struct slm_kern *kern; /* kernels/kernels.h */
};

/* Heap, log, CPU facts and pool; no kernels. *rt is zeroed first. */
int slm_state_init(struct slm_runtime *rt, const slm_runtime_opts *o, slm_err *err);
void slm_state_release(struct slm_runtime *rt);

#endif
