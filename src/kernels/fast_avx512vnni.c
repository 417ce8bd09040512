/* Integer products with AVX-512 VNNI: sixteen rows a panel, four products and their sum an
 * instruction. It multiplies unsigned with signed bytes: weights are unpacked with an offset
 * that makes them unsigned, and the sums of the activations put the results right. */
#include <immintrin.h>
#include <string.h>

#include "kernels/body.h"
#include "kernels/fast.h"
#include "kernels/kern_fill.h"
#include "kernels/vec_avx512.h"

#define QP 1
#define WOFF 1
#define XCOPY 0
#define FR 6
#define PANELS 2

static inline vi vi_madd(vi acc, vi a, vi b) { return _mm512_dpwssd_epi32(acc, a, b); }

FOLD void q_put(vi *dst, vi v) { *dst = v; }
FOLD void x_put(uint8_t *dst, const int8_t *src) { memcpy(dst, src, 32); }
FOLD vi q_dot(vi acc, const vi *q, const uint8_t *x)
{
    return _mm512_dpbusd_epi32(acc, *q, vi_bcast(x));
}

#define HAS_ONE 1 /* one_avx512vbmi.c, but for the first CPUs of this level */
#define IQ_SINGLES "kernels/fast_iq_avx512vnni.h"
#include "kernels/fast_body.h"

void slm_kern_fill_fast_avx512vnni(struct slm_kern *k) { fill_fast(k); }
