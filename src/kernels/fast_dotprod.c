/* Integer products with the dot product instruction of Armv8.2: four rows a panel, four
 * products and their sum an instruction. */
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
    return vdotq_s32(acc, vreinterpretq_s8_s32(*q), vreinterpretq_s8_s32(vi_bcast(x)));
}

#include "kernels/fast_body.h"

void slm_kern_fill_fast_dotprod(struct slm_kern *k) { fill_fast(k); }
