/* The products of training with AVX-512: tiles of 14 rows and 32 columns, 28 of the 32
 * registers. */
#include <immintrin.h>
#include <string.h>

#include "kernels/body.h"
#include "kernels/kern_fill.h"
#include "kernels/vec_avx512.h"

#define PAIRS 0
#define GR 14
#define GV 2
#define slm_to_f32_here slm_to_f32_avx512
FOLD vf madd(vf b, vf a, vf sum) { return vf_fma(b, a, sum); }

#include "kernels/gemm_body.h"

static void gemm_f32(const struct slm_gemm *g) { gemm(g, false); }
static void gemm_bf16(const struct slm_gemm *g) { gemm(g, true); }

void slm_kern_fill_gemm_avx512(struct slm_kern *k)
{
    k->gemm_f32 = gemm_f32;
    k->gemm_bf16 = gemm_bf16;
}
