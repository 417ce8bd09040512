/* Integer products with AVX-VNNI, the 256-bit form that CPUs without AVX-512 have: eight rows a
 * panel. Unsigned weights with signed activations, as in fast_avx512vnni.c. */
#include <immintrin.h>
#include <string.h>

#include "kernels/body.h"
#include "kernels/fast.h"
#include "kernels/kern_fill.h"
#include "kernels/vec_avx2.h"

#define QP 1
#define WOFF 1
#define XCOPY 0
#define FR 4
#define PANELS 1

FOLD void q_put(vi *dst, vi v) { *dst = v; }
FOLD void x_put(uint8_t *dst, const int8_t *src) { memcpy(dst, src, 32); }
FOLD vi q_dot(vi acc, const vi *q, const uint8_t *x)
{
    return _mm256_dpbusd_avx_epi32(acc, *q, vi_bcast(x));
}

#include "kernels/fast_body.h"

void slm_kern_fill_fast_avxvnni(struct slm_kern *k) { fill_fast(k); }
