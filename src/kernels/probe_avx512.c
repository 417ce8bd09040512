/* The probe's loops with 512-bit registers. */
#include "kernels/probe.h"

#include <immintrin.h>

static uint64_t read_avx512(const void *p, size_t n)
{
    const __m512i *v = p;
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
    for (size_t i = 0; i < n / 64; i += 8) {
        a = _mm512_xor_si512(a, _mm512_load_si512(v + i));
        b = _mm512_xor_si512(b, _mm512_load_si512(v + i + 1));
        c = _mm512_xor_si512(c, _mm512_load_si512(v + i + 2));
        d = _mm512_xor_si512(d, _mm512_load_si512(v + i + 3));
        a = _mm512_xor_si512(a, _mm512_load_si512(v + i + 4));
        b = _mm512_xor_si512(b, _mm512_load_si512(v + i + 5));
        c = _mm512_xor_si512(c, _mm512_load_si512(v + i + 6));
        d = _mm512_xor_si512(d, _mm512_load_si512(v + i + 7));
    }
    a = _mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, d));
    return (uint64_t)_mm512_reduce_or_epi64(a);
}

#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

static double f32_avx512(long loops, double *sink)
{
    const __m512 m = _mm512_set1_ps(0.999f), k = _mm512_set1_ps(0.001f);
#define X(i) __m512 a##i = _mm512_set1_ps((float)(i));
    TWELVE(X)
#undef X
    for (long n = 0; n < loops; n++) {
#define X(i) a##i = _mm512_fmadd_ps(a##i, m, k);
        TWELVE(X)
#undef X
    }
    __m512 s = _mm512_setzero_ps();
#define X(i) s = _mm512_add_ps(s, a##i);
    TWELVE(X)
#undef X
    *sink += (double)_mm512_cvtss_f32(s);
    return (double)loops * 12 * 32;
}

void slm_probe_fill_avx512(struct slm_probe *p)
{
    p->read = read_avx512;
    p->f32 = f32_avx512;
}
