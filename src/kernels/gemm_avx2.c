/* The products of training with AVX2 and FMA: tiles of 6 rows and 16 columns, 12 of the 16
 * registers. */
#include <immintrin.h>
#include <string.h>

#include "kernels/body.h"
#include "kernels/kern_fill.h"
#include "kernels/vec_avx2.h"

#define PAIRS 0
#define GR 6
#define GV 2
#define slm_to_f32_here slm_to_f32_avx2
FOLD vf madd(vf b, vf a, vf sum) { return vf_fma(b, a, sum); }

#include "kernels/gemm_body.h"

static void gemm_f32(const struct slm_gemm *g) { gemm(g, false); }
static void gemm_bf16(const struct slm_gemm *g) { gemm(g, true); }

void slm_kern_fill_gemm_avx2(struct slm_kern *k)
{
    k->gemm_f32 = gemm_f32;
    k->gemm_bf16 = gemm_bf16;
}
