/* The probe's loops with NEON. */
#include "kernels/probe.h"

#include <arm_neon.h>

static uint64_t read_neon(const void *p, size_t n)
{
    const uint64_t *w = p;
    uint64x2_t a = vdupq_n_u64(0), b = a, c = a, d = a;
    for (size_t i = 0; i < n / 8; i += 8) {
        a = veorq_u64(a, vld1q_u64(w + i));
        b = veorq_u64(b, vld1q_u64(w + i + 2));
        c = veorq_u64(c, vld1q_u64(w + i + 4));
        d = veorq_u64(d, vld1q_u64(w + i + 6));
    }
    a = veorq_u64(veorq_u64(a, b), veorq_u64(c, d));
    return vgetq_lane_u64(a, 0) ^ vgetq_lane_u64(a, 1);
}

#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

static double f32_neon(long loops, double *sink)
{
    const float32x4_t m = vdupq_n_f32(0.5f), k = vdupq_n_f32(0.001f);
#define X(i) float32x4_t a##i = vdupq_n_f32((float)(i));
    TWELVE(X)
#undef X
    for (long n = 0; n < loops; n++) {
#define X(i) a##i = vfmaq_f32(a##i, m, k);
        TWELVE(X)
#undef X
    }
    float32x4_t s = vdupq_n_f32(0);
#define X(i) s = vaddq_f32(s, a##i);
    TWELVE(X)
#undef X
    *sink += (double)vgetq_lane_f32(s, 0);
    return (double)loops * 12 * 8;
}

void slm_probe_fill_neon(struct slm_probe *p)
{
    p->read = read_neon;
    p->f32 = f32_neon;
}
