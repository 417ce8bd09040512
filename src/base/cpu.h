/* What this CPU can do, as a ladder of levels that kernels are written for. */
#ifndef SLM_BASE_CPU_H
#define SLM_BASE_CPU_H

#include <stdbool.h>
#include <stdint.h>
#include "slm/status.h"

/* In order; x86 and arm ladders share the enum, a machine has the rungs of its own only. */
/* clang-format off */
#define SLM_CPU_LEVELS(LEVEL) \
    LEVEL(GENERIC, "generic") LEVEL(AVX2, "avx2") LEVEL(AVXVNNI, "avxvnni") \
    LEVEL(AVX512, "avx512") LEVEL(AVX512VNNI, "avx512vnni") LEVEL(AVX512BF16, "avx512bf16") \
    LEVEL(AMX, "amx") LEVEL(NEON, "neon") LEVEL(DOTPROD, "dotprod") LEVEL(I8MM, "i8mm")
/* clang-format on */

enum slm_cpu_level {
#define LEVEL(id, name) SLM_CPU_##id,
    SLM_CPU_LEVELS(LEVEL)
#undef LEVEL
    SLM_CPU_COUNT
};

struct slm_cpu {
    uint32_t has;           /* bit per level: the CPU and the system have it */
    enum slm_cpu_level top; /* highest level to be used, after the cap */
    uint32_t slow;          /* bit per level: measured slower here than what is below it */
    int cores;
    char name[64];
    bool amd;  /* quirks are told by the maker */
    bool vbmi; /* x86: AVX512_VBMI and GFNI; all with avx512vnni but the first have them */
};

/* CPUID leaves as recorded: detection is a pure function of them, so dumps of other CPUs are
 * tests. */
struct slm_cpuid {
    uint32_t max_leaf;
    uint32_t leaf1_ecx, leaf1_edx;
    uint32_t leaf7_ebx, leaf7_ecx, leaf7_edx;
    uint32_t leaf7_1_eax;
    uint64_t xcr0;
    char vendor[13];
};
uint32_t slm_cpu_levels_x86(const struct slm_cpuid *id);

/* Looks at this machine. cap: name of the highest level to use, or NULL. SLM_E_ARG when the
 * name is unknown or the machine lacks it (the message lists what it has). */
int slm_cpu_detect(struct slm_cpu *cpu, const char *cap, slm_err *err);
const char *slm_cpu_level_name(enum slm_cpu_level level);

#endif
