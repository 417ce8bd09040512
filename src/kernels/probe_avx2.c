/* The probe's loops with 256-bit registers. Twelve accumulators cover the latency of two units.
 */
#include "kernels/probe.h"

#include <immintrin.h>

static uint64_t read_avx2(const void *p, size_t n)
{
    const __m256i *v = p;
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    for (size_t i = 0; i < n / 32; i += 8) {
        a = _mm256_xor_si256(a, _mm256_load_si256(v + i));
        b = _mm256_xor_si256(b, _mm256_load_si256(v + i + 1));
        c = _mm256_xor_si256(c, _mm256_load_si256(v + i + 2));
        d = _mm256_xor_si256(d, _mm256_load_si256(v + i + 3));
        a = _mm256_xor_si256(a, _mm256_load_si256(v + i + 4));
        b = _mm256_xor_si256(b, _mm256_load_si256(v + i + 5));
        c = _mm256_xor_si256(c, _mm256_load_si256(v + i + 6));
        d = _mm256_xor_si256(d, _mm256_load_si256(v + i + 7));
    }
    a = _mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d));
    return (uint64_t)(_mm256_extract_epi64(a, 0) ^ _mm256_extract_epi64(a, 1) ^
                      _mm256_extract_epi64(a, 2) ^ _mm256_extract_epi64(a, 3));
}

#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

static double f32_avx2(long loops, double *sink)
{
    const __m256 m = _mm256_set1_ps(0.999f), k = _mm256_set1_ps(0.001f);
#define X(i) __m256 a##i = _mm256_set1_ps((float)(i));
    TWELVE(X)
#undef X
    for (long n = 0; n < loops; n++) {
#define X(i) a##i = _mm256_fmadd_ps(a##i, m, k);
        TWELVE(X)
#undef X
    }
    __m256 s = _mm256_setzero_ps();
#define X(i) s = _mm256_add_ps(s, a##i);
    TWELVE(X)
#undef X
    *sink += (double)_mm256_cvtss_f32(s);
    return (double)loops * 12 * 16;
}

/* Bytes by pairs into 16 bits, pairs of those into 32, added: what AVX2 has in place of VNNI.
 */
static double int8_avx2(long loops, double *sink)
{
    const __m256i one = _mm256_set1_epi16(1);
    __m256i u = _mm256_set1_epi8(3), w = _mm256_set1_epi8(-2);
#define X(i) __m256i a##i = _mm256_set1_epi32(i);
    TWELVE(X)
#undef X
    for (long n = 0; n < loops; n++) {
        __asm__ volatile(""
                         : "+x"(u),
                           "+x"(w)); /* or the product would be taken out of the loop */
#define X(i)                                                                                   \
    a##i = _mm256_add_epi32(                                                                   \
        a##i, _mm256_madd_epi16(_mm256_maddubs_epi16(u, _mm256_xor_si256(w, a##i)), one));
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

void slm_probe_fill_avx2(struct slm_probe *p)
{
    p->read = read_avx2;
    p->f32 = f32_avx2;
    p->int8 = int8_avx2;
}
