/* Integer products with NEON: four rows a panel, bytes multiplied to 16 bits, pairs summed
 * to 32. Two products of -128..127 and -127..127 just fit 16 bits. */
#include <arm_neon.h>
#include <string.h>

#include "kernels/body.h"
#include "kernels/fast.h"
#include "kernels/kern_fill.h"
#include "kernels/vec_neon.h"

#define QP 1
#define WOFF 0
#define XCOPY 0
#define FR 4
#define PANELS 1

FOLD void q_put(vi *dst, vi v) { *dst = v; }
FOLD void x_put(uint8_t *dst, const int8_t *src) { memcpy(dst, src, 32); }

FOLD vi q_dot(vi acc, const vi *q, const uint8_t *x)
{
    int8x16_t a = vreinterpretq_s8_s32(*q), b = vreinterpretq_s8_s32(vi_bcast(x));
    int16x8_t lo = vmull_s8(vget_low_s8(a), vget_low_s8(b)), hi = vmull_high_s8(a, b);
    return vpadalq_s16(acc, vpaddq_s16(lo, hi));
}

#include "kernels/fast_body.h"

void slm_kern_fill_fast_neon(struct slm_kern *k) { fill_fast(k); }
