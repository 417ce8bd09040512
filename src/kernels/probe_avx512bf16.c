/* The probe's bfloat16 products with AVX512-BF16. */
#include "kernels/probe.h"

#include <immintrin.h>

#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

static double bf16_avx512(long loops, double *sink)
{
    const __m512bh u = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.5f), _mm512_set1_ps(0.25f));
    const __m512bh w = _mm512_cvtne2ps_pbh(_mm512_set1_ps(-0.5f), _mm512_set1_ps(1.0f));
#define X(i) __m512 a##i = _mm512_set1_ps((float)(i));
    TWELVE(X)
#undef X
    for (long n = 0; n < loops; n++) {
#define X(i) a##i = _mm512_dpbf16_ps(a##i, u, w);
        TWELVE(X)
#undef X
    }
    __m512 s = _mm512_setzero_ps();
#define X(i) s = _mm512_add_ps(s, a##i);
    TWELVE(X)
#undef X
    *sink += (double)_mm512_cvtss_f32(s);
    return (double)loops * 12 * 64;
}

void slm_probe_fill_avx512bf16(struct slm_probe *p)
{
    p->bf16 = bf16_avx512;
}
