/* The probe's byte products with AVX512-VNNI. */
#include "kernels/probe.h"

#include <immintrin.h>

#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

static double int8_avx512vnni(long loops, double *sink)
{
    const __m512i u = _mm512_set1_epi8(3), w = _mm512_set1_epi8(-2);
#define X(i) __m512i a##i = _mm512_set1_epi32(i);
    TWELVE(X)
#undef X
    for (long n = 0; n < loops; n++) {
#define X(i) a##i = _mm512_dpbusd_epi32(a##i, u, w);
        TWELVE(X)
#undef X
    }
    __m512i s = _mm512_setzero_si512();
#define X(i) s = _mm512_add_epi32(s, a##i);
    TWELVE(X)
#undef X
    *sink += (double)_mm_cvtsi128_si32(_mm512_castsi512_si128(s));
    return (double)loops * 12 * 128;
}

void slm_probe_fill_avx512vnni(struct slm_probe *p)
{
    p->int8 = int8_avx512vnni;
}
