/* Fills the kernel table: generic first, complete, then each rung of the ladder that the CPU
 * has and the cap allows, in order, every rung overwriting what it does better. */
#include <string.h>

#include "kernels/kern_fill.h"

slm_to_f32_fn *slm_to_f32_generic(enum slm_dtype t)
{
    struct slm_kern k; /* some hundred stores: cheap beside any product */
    memset(&k, 0, sizeof k);
    slm_kern_fill_quant_generic(&k);
    return k.to_f32[t];
}

slm_from_f32_fn *slm_from_f32_generic(enum slm_dtype t)
{
    struct slm_kern k;
    memset(&k, 0, sizeof k);
    slm_kern_fill_quant_generic(&k);
    return k.from_f32[t];
}

static void fill_generic(struct slm_kern *k)
{
    memset(k, 0, sizeof *k);
    slm_kern_fill_quant_generic(k);
    slm_kern_fill_quantize_generic(k);
    slm_kern_fill_iq_best_generic(k);
    slm_kern_fill_elem_generic(k);
    slm_kern_fill_back_generic(k);
    slm_kern_fill_norm_generic(k);
    slm_kern_fill_mul_generic(k);
    slm_kern_fill_gemm_generic(k);
    slm_kern_fill_fast_generic(k);
    slm_kern_fill_attn_generic(k);
}

void slm_kern_fill(struct slm_kern *k, const struct slm_cpu *cpu, enum slm_cpu_level top)
{
    static const struct {
        enum slm_cpu_level level;
        void (*fill)(struct slm_kern *k);
    } rungs[] = {
        {SLM_CPU_GENERIC, fill_generic},
#if defined(__x86_64__)
        {SLM_CPU_AVX2, slm_kern_fill_avx2},
        {SLM_CPU_AVX2, slm_kern_fill_gemm_avx2},
        {SLM_CPU_AVX2, slm_kern_fill_quantize_avx2},
        {SLM_CPU_AVX2, slm_kern_fill_fast_avx2},
        {SLM_CPU_AVX2, slm_kern_fill_iq_best_avx2},
        {SLM_CPU_AVXVNNI, slm_kern_fill_fast_avxvnni},
        {SLM_CPU_AVX512, slm_kern_fill_avx512},
        {SLM_CPU_AVX512, slm_kern_fill_gemm_avx512},
        {SLM_CPU_AVX512VNNI, slm_kern_fill_fast_avx512vnni},
        {SLM_CPU_AVX512BF16, slm_kern_fill_avx512bf16},
        {SLM_CPU_AVX512BF16, slm_kern_fill_gemm_avx512bf16},
        {SLM_CPU_AMX, slm_kern_fill_amx},
        {SLM_CPU_AMX, slm_kern_fill_gemm_amx},
#elif defined(__aarch64__)
        {SLM_CPU_NEON, slm_kern_fill_neon},
        {SLM_CPU_NEON, slm_kern_fill_gemm_neon},
        {SLM_CPU_NEON, slm_kern_fill_quantize_neon},
        {SLM_CPU_NEON, slm_kern_fill_fast_neon},
        {SLM_CPU_DOTPROD, slm_kern_fill_fast_dotprod},
#endif
    };
    for (size_t i = 0; i < sizeof rungs / sizeof *rungs; i++)
        if (rungs[i].level <= top && (rungs[i].level == SLM_CPU_GENERIC ||
                                      (cpu->has & ~cpu->slow) >> rungs[i].level & 1u))
            rungs[i].fill(k);
#if defined(__x86_64__)
    if (cpu->vbmi && top >= SLM_CPU_AVX512VNNI && (cpu->has >> SLM_CPU_AVX512VNNI & 1u))
        slm_kern_fill_one_avx512vbmi(k);
#endif
}
