/* The runtime: memory, threads, kernels and log of one program, made once and passed down.
 * There is no global state: two runtimes in one process do not know of each other. */
#ifndef SLM_RUNTIME_H
#define SLM_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#include "slm/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct slm_runtime slm_runtime;

enum slm_log_level { SLM_LOG_ERROR, SLM_LOG_WARN, SLM_LOG_INFO, SLM_LOG_DEBUG };

/* Receives one line without its end of line. Called from any thread, one call at a time. */
typedef void slm_log_fn(void *arg, int level, const char *line);

typedef struct slm_runtime_opts {
    int threads; /* 0: one a core that is allowed, granted and strong enough */
    const char
        *cpu; /* highest CPU level to use ("generic", "avx2" ...), NULL: $SLM_CPU or the best */
    slm_log_fn *log; /* NULL: silent */
    void *log_arg;
    int64_t fail_alloc; /* tests: fail the Nth allocation from now (1 = next), 0: never */
} slm_runtime_opts;

SLM_API void slm_runtime_opts_init(slm_runtime_opts *o);

/* Opens a runtime. *out is the caller's, to be closed after everything made with it.
 * Errors: SLM_E_ARG (unknown or unavailable CPU level), SLM_E_NOMEM. */
SLM_API int slm_runtime_open(slm_runtime **out, const slm_runtime_opts *o, slm_err *err);
/* Ends the threads and frees it; sets *rt to NULL; accepts NULL. */
SLM_API void slm_runtime_close(slm_runtime **rt);

SLM_API int slm_runtime_threads(const slm_runtime *rt);
/* How that number came about, for people: "2 threads: 2 cores, quota none". The runtime's. */
SLM_API const char *slm_runtime_threads_how(const slm_runtime *rt);
/* Name of the CPU level in use ("avx512bf16") and the CPU's own name. */
SLM_API const char *slm_runtime_cpu_level(const slm_runtime *rt);
SLM_API const char *slm_runtime_cpu_name(const slm_runtime *rt);
/* The i-th CPU level this machine has, from "generic" up; NULL behind the last. */
SLM_API const char *slm_runtime_cpu_level_at(const slm_runtime *rt, int i);
/* The i-th of the levels below the one in use whose kernels are left out, as a measurement at
 * opening found them slower here than what they would replace (naming such a level as
 * slm_runtime_opts.cpu takes it); NULL behind the last. */
SLM_API const char *slm_runtime_cpu_level_slow(const slm_runtime *rt, int i);

/* Heap use: bytes and blocks alive, most bytes ever alive, allocations made so far. */
typedef struct slm_mem_stats {
    size_t bytes, peak, blocks;
    uint64_t count;
} slm_mem_stats;
SLM_API void slm_runtime_memory(const slm_runtime *rt, slm_mem_stats *out);

/* Whether a file may be made at path, to be asked before long work whose result goes there: 0
 * when nothing is there yet or a plain file, which would be replaced. Errors: SLM_E_IO (a
 * folder, a device, a pipe: all that is no plain file; no right to write), SLM_E_NOTFOUND (its
 * folder is not there). Every writer of the library asks so itself. */
SLM_API int slm_out_check(const char *path, slm_err *err);

/* "0.1.0" */
SLM_API const char *slm_version(void);

/* A growing text or byte string handed out by the library: zero-initialise with `= {0}` and
 * release with slm_text_release. `data` is NUL-terminated behind `len` bytes, or NULL when
 * empty. */
typedef struct slm_text {
    char *data;
    size_t len;
    slm_runtime *rt; /* set by the first call that fills it */
} slm_text;
SLM_API void slm_text_release(slm_text *t);

#ifdef __cplusplus
}
#endif
#endif
