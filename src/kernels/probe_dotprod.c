/* The probe's byte products with Arm's dot product instructions. */
#include "kernels/probe.h"

#include <arm_neon.h>

#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

static double int8_dotprod(long loops, double *sink)
{
    const int8x16_t u = vdupq_n_s8(3), w = vdupq_n_s8(-2);
#define X(i) int32x4_t a##i = vdupq_n_s32(i);
    TWELVE(X)
#undef X
    for (long n = 0; n < loops; n++) {
#define X(i) a##i = vdotq_s32(a##i, u, w);
        TWELVE(X)
#undef X
    }
    int32x4_t s = vdupq_n_s32(0);
#define X(i) s = vaddq_s32(s, a##i);
    TWELVE(X)
#undef X
    *sink += (double)vgetq_lane_s32(s, 0);
    return (double)loops * 12 * 32;
}

void slm_probe_fill_dotprod(struct slm_probe *p)
{
    p->int8 = int8_dotprod;
}
