/* Integer products with AVX-512 VNNI: sixteen rows a panel, four products and their sum an
 * instruction. It multiplies unsigned with signed bytes: the activations are made unsigned by adding
 * 128, and the panel holds what that makes a sum too large by. */
#include <immintrin.h>
#include <string.h>

#include "kernels/body.h"
#include "kernels/fast.h"
#include "kernels/kern_fill.h"
#include "kernels/vec_avx512.h"

#define QP 1
#define XOFF 128
#define FR 8

static const uint8_t ones[4] = {1, 1, 1, 1};

static inline vi vi_madd(vi acc, vi a, vi b) { return _mm512_dpwssd_epi32(acc, a, b); }

FOLD void q_put(vi *dst, vi v) { *dst = v; }

FOLD void x_put(uint8_t *dst, const int8_t *src)
{
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)src);
    _mm256_storeu_si256((__m256i *)(void *)dst, _mm256_xor_si256(v, _mm256_set1_epi8(-128)));
}

FOLD vi q_dot(vi acc, const vi *q, const uint8_t *x) { return _mm512_dpbusd_epi32(acc, vi_bcast(x), *q); }

#include "kernels/fast_body.h"

void slm_kern_fill_fast_avx512vnni(struct slm_kern *k)
{
    fill_fast(k);
}
