/* Integer products with AVX2: eight rows a panel, weights widened to 16 bits so that no sum of
 * two products can overflow (bytes would: maddubs saturates). */
#include <immintrin.h>
#include <string.h>

#include "kernels/body.h"
#include "kernels/fast.h"
#include "kernels/kern_fill.h"
#include "kernels/vec_avx2.h"

#define QP 2
#define WOFF 0
#define XCOPY 1
#define FR 4
#define PANELS 1

/* even bytes and odd bytes of each dword, as 16-bit pairs */
FOLD void q_put(vi *dst, vi v)
{
    dst[0] = _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8);
    dst[1] = _mm256_srai_epi16(v, 8);
}

FOLD void x_put(uint8_t *dst, const int8_t *src)
{
    vi v[2];
    q_put(v, vi_load(src));
    vi_store(dst, v[0]);
    vi_store(dst + 32, v[1]);
}

FOLD vi q_dot(vi acc, const vi *q, const uint8_t *x)
{
    acc = vi_madd(acc, q[0], vi_bcast(x));
    return vi_madd(acc, q[1], vi_bcast(x + 32));
}

#include "kernels/fast_body.h"

void slm_kern_fill_fast_avx2(struct slm_kern *k) { fill_fast(k); }
