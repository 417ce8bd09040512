/* The probe's byte products with AVX-VNNI, 256-bit. */
#include "kernels/probe.h"

#include <immintrin.h>

#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

static double int8_avxvnni(long loops, double *sink)
{
    const __m256i u = _mm256_set1_epi8(3), w = _mm256_set1_epi8(-2);
#define X(i) __m256i a##i = _mm256_set1_epi32(i);
    TWELVE(X)
#undef X
    for (long n = 0; n < loops; n++) {
#define X(i) a##i = _mm256_dpbusd_avx_epi32(a##i, u, w);
        TWELVE(X)
#undef X
    }
    __m256i s = _mm256_setzero_si256();
#define X(i) s = _mm256_add_epi32(s, a##i);
    TWELVE(X)
#undef X
    *sink += (double)_mm256_extract_epi32(s, 0);
    return (double)loops * 12 * 64;
}

void slm_probe_fill_avxvnni(struct slm_probe *p)
{
    p->int8 = int8_avxvnni;
}
