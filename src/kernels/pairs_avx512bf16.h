/* Pairs of bfloat16 in a word for gemm_body.h: the even element in the low half. */
#ifndef SLM_PAIRS_AVX512BF16_H
#define SLM_PAIRS_AVX512BF16_H

/* Neighbours in a row. */
static void pairs_along(float *out, const float *in, int n)
{
    int i = 0;
    for (; i + 32 <= n; i += 32, out += 16)
        vi_store(out, (vi)_mm512_cvtne2ps_pbh(vf_load(in + i + 16), vf_load(in + i)));
    if (i < n) {
        size_t left = (size_t)(n - i);
        vf lo = left < 16 ? vf_loadn(in + i, left) : vf_load(in + i),
           hi = left > 16 ? vf_loadn(in + i + 16, left - 16) : vf_zero();
        _mm512_mask_storeu_epi32(out, lanes_below((left + 1) / 2),
                                 (vi)_mm512_cvtne2ps_pbh(hi, lo));
    }
}

/* Neighbours of two rows. */
static void pairs_across(float *out, const float *even, const float *odd, int n)
{
    static const uint16_t order[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                       21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                       11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const vi mix = vi_load(order);
    for (int i = 0; i < n; i += 16) {
        size_t left = (size_t)(n - i);
        vf a = left < 16 ? vf_loadn(even + i, left) : vf_load(even + i),
           b = left < 16 ? vf_loadn(odd + i, left) : vf_load(odd + i);
        vi both = _mm512_permutexvar_epi16(mix, (vi)_mm512_cvtne2ps_pbh(b, a));
        if (left < 16)
            _mm512_mask_storeu_epi32(out + i, lanes_below(left), both);
        else
            vi_store(out + i, both);
    }
}

#endif
