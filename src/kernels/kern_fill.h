/* Private to the kernel room: who fills which part of the table. An instruction set's files
 * export one function each; dispatch.c calls them in the order of the ladder. */
#ifndef SLM_KERN_FILL_H
#define SLM_KERN_FILL_H

#include "kernels/kernels.h"

/* to_f32 and from_f32 of every type (quant_*_generic.c). */
void slm_kern_fill_quant_generic(struct slm_kern *k);

/* quantize (quantize_*_body.h over the lanes of a vec_*.h). */
void slm_kern_fill_quantize_generic(struct slm_kern *k);
void slm_kern_fill_iq_best_generic(struct slm_kern *k);
void slm_kern_fill_iq_best_avx2(struct slm_kern *k);

/* All other generic slots, by file. */
void slm_kern_fill_elem_generic(struct slm_kern *k);
void slm_kern_fill_back_generic(struct slm_kern *k);
void slm_kern_fill_norm_generic(struct slm_kern *k);
void slm_kern_fill_mul_generic(struct slm_kern *k);
void slm_kern_fill_gemm_generic(struct slm_kern *k);
void slm_kern_fill_fast_generic(struct slm_kern *k);
void slm_kern_fill_attn_generic(struct slm_kern *k);

typedef void slm_to_f32_fn(float *out, const void *in, size_t n);
/* The generic conversion of one type, for kernels that dequantise inside a product. */
slm_to_f32_fn *slm_to_f32_generic(enum slm_dtype t);
/* The best of a level. */
slm_to_f32_fn *slm_to_f32_avx2(enum slm_dtype t);
slm_to_f32_fn *slm_to_f32_avx512(enum slm_dtype t);
slm_to_f32_fn *slm_to_f32_neon(enum slm_dtype t);
typedef void slm_from_f32_fn(void *out, const float *in, size_t n);
slm_from_f32_fn *slm_from_f32_generic(enum slm_dtype t);

/* Instruction sets: float kernels (elements, rows, conversions, products), then integer
 * products. */
void slm_kern_fill_avx2(struct slm_kern *k);
void slm_kern_fill_gemm_avx2(struct slm_kern *k);
void slm_kern_fill_quantize_avx2(struct slm_kern *k);
void slm_kern_fill_fast_avx2(struct slm_kern *k);
void slm_kern_fill_fast_avxvnni(struct slm_kern *k);
void slm_kern_fill_avx512(struct slm_kern *k);
void slm_kern_fill_gemm_avx512(struct slm_kern *k);
void slm_kern_fill_fast_avx512vnni(struct slm_kern *k);
void slm_kern_fill_one_avx512vbmi(struct slm_kern *k);
void slm_kern_fill_avx512bf16(struct slm_kern *k);
void slm_kern_fill_gemm_avx512bf16(struct slm_kern *k);
void slm_kern_fill_gemm_amx(struct slm_kern *k);
void slm_kern_fill_amx(struct slm_kern *k);
void slm_kern_fill_neon(struct slm_kern *k);
void slm_kern_fill_gemm_neon(struct slm_kern *k);
void slm_kern_fill_quantize_neon(struct slm_kern *k);
void slm_kern_fill_fast_neon(struct slm_kern *k);
void slm_kern_fill_fast_dotprod(struct slm_kern *k);

#endif
