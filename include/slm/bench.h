/* What this machine could do at best: the ceilings that speeds are quoted against. */
#ifndef SLM_BENCH_H
#define SLM_BENCH_H

#include "slm/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Measured with the runtime's threads, at its CPU level. Each is the best of several short
 * runs. */
typedef struct slm_bench_peaks {
    double read_gbs;    /* memory read, 10^9 bytes a second */
    double f32_gflops;  /* multiply and add count one each */
    double bf16_gflops; /* 0: no instructions for it at this level */
    double int8_gops;   /* 0: likewise */
    double amx_bf16_gflops, amx_int8_gops; /* tile registers; 0: likewise */
    size_t read_bytes;  /* size of the block that was read */
} slm_bench_peaks;

/* Takes about two seconds and 512 MiB, less where there is less. Errors: SLM_E_NOMEM. */
SLM_API int slm_bench_machine(slm_runtime *rt, slm_bench_peaks *out, slm_err *err);
/* The bandwidth alone, for a probe beside a measurement. */
SLM_API int slm_bench_bandwidth(slm_runtime *rt, double *gbs, slm_err *err);

#ifdef __cplusplus
}
#endif
#endif
