/* Loops that do nothing but load memory or multiply and add: what they reach is the ceiling of
 * this CPU. Private to the kernel room. */
#ifndef SLM_KERNELS_PROBE_H
#define SLM_KERNELS_PROBE_H

#include "kernels/kernels.h"

struct slm_probe {
    /* Reads n bytes (a multiple of 512, 64-byte aligned); the sum keeps the loads alive. */
    uint64_t (*read)(const void *p, size_t n);
    /* Run `loops` times round a loop of independent multiply-adds, and return how many
     * operations that were; *sink keeps the results alive. NULL: the level has no such
     * instructions. */
    double (*f32)(long loops, double *sink);
    double (*bf16)(long loops, double *sink);
    double (*int8)(long loops, double *sink);
    double (*amx_bf16)(long loops, double *sink);
    double (*amx_int8)(long loops, double *sink);
};

/* The probes of the CPU's levels up to its top. */
void slm_probe_fill(struct slm_probe *p, const struct slm_cpu *cpu);

void slm_probe_fill_avx2(struct slm_probe *p);
void slm_probe_fill_avxvnni(struct slm_probe *p);
void slm_probe_fill_avx512(struct slm_probe *p);
void slm_probe_fill_avx512vnni(struct slm_probe *p);
void slm_probe_fill_avx512bf16(struct slm_probe *p);
void slm_probe_fill_amx(struct slm_probe *p);
void slm_probe_fill_neon(struct slm_probe *p);
void slm_probe_fill_dotprod(struct slm_probe *p);

#endif
