/* The products of training in bfloat16 by vdpbf16ps, two products and two sums a lane: the
 * tiles of gemm_avx512.c over pairs. The instruction takes denormals for zeros, and rounds its
 * two sums to nearest. */
#include <immintrin.h>
#include <string.h>

#include "kernels/body.h"
#include "kernels/kern_fill.h"
#include "kernels/vec_avx512.h"

#define PAIRS 1
#define GR 14
#define GV 2
#define slm_to_f32_here slm_to_f32_avx512
FOLD vf madd(vf b, vf a, vf sum) { return _mm512_dpbf16_ps(sum, (__m512bh)b, (__m512bh)a); }

#include "kernels/pairs_avx512bf16.h"

#include "kernels/gemm_body.h"

static void gemm_bf16(const struct slm_gemm *g) { gemm(g, false); }

void slm_kern_fill_gemm_avx512bf16(struct slm_kern *k) { k->gemm_bf16 = gemm_bf16; }
