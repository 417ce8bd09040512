/* Sixteen lanes of AVX-512 under the names that the *_body.h files are written in. The
 * including file has brought <immintrin.h>. vf: floats, vi: dwords. */
#ifndef SLM_VEC_AVX512_H
#define SLM_VEC_AVX512_H

#define VN 16
typedef __m512 vf;
typedef __m512i vi;

/* ---- floats ---- */
static inline vf vf_zero(void) { return _mm512_setzero_ps(); }
static inline vf vf_set1(float x) { return _mm512_set1_ps(x); }
static inline vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void vf_store(float *p, vf v) { _mm512_storeu_ps(p, v); }
static inline __mmask16 lanes_below(size_t n) { return (__mmask16)((1u << n) - 1); }
/* The first n < VN lanes; the others are 0, or are left alone. */
static inline vf vf_loadn(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps(lanes_below(n), p);
}
static inline void vf_storen(float *p, vf v, size_t n)
{
    _mm512_mask_storeu_ps(p, lanes_below(n), v);
}
static inline vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
static inline vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
static inline vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
static inline vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
static inline vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
static inline vf vf_fnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }
/* b where it is a NaN */
static inline vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
static inline vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); }
static inline vf vf_round(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vf vf_trunc(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
}
static inline vf vf_abs(vf a) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a); }
/* a with the sign of s */
static inline vf vf_sign(vf a, vf s)
{
    return _mm512_or_ps(vf_abs(a), _mm512_and_ps(_mm512_set1_ps(-0.0f), s));
}
/* x < y ? a : b */
static inline vf vf_if_less(vf x, vf y, vf a, vf b)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, y, _CMP_LT_OQ), b, a);
}
/* 2^(whole number n), -126 <= n <= 127 */
static inline vf vf_pow2(vf n)
{
    __m512i e = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(e, 23));
}
static inline float vf_sum(vf v)
{
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
/* out[i] = vf_sum(v[i]) for four, the same bits */
static inline __m128 four_lanes(vf v)
{
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    return _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
}
static inline void vf_sum4(float *out, const vf *v)
{
    __m128 a = four_lanes(v[0]), b = four_lanes(v[1]), c = four_lanes(v[2]),
           d = four_lanes(v[3]);
    __m128 u = _mm_add_ps(_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));
    __m128 w = _mm_add_ps(_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
    _mm_storeu_ps(out, _mm_add_ps(_mm_movelh_ps(u, w), _mm_movehl_ps(w, u)));
}
static inline float vf_top(vf v)
{
    __m256 h = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
static inline vf vf_of_f16(const void *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
static inline vf vf_of_bf16(const void *p)
{
    __m512i v = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(v, 16));
}
static inline vf vf_of_i8(const void *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
static inline void vf_to_f16(void *p, vf v)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}
static inline float f16_one_at(const void *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return _cvtsh_ss(h);
}
/* even and odd elements of 2 * VN, and back */
static inline void vf_split2(const float *p, vf *even, vf *odd)
{
    __m512 a = _mm512_loadu_ps(p), b = _mm512_loadu_ps(p + 16);
    __m512i e = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    *even = _mm512_permutex2var_ps(a, e, b);
    *odd = _mm512_permutex2var_ps(a, _mm512_add_epi32(e, _mm512_set1_epi32(1)), b);
}
static inline void vf_join2(float *p, vf even, vf odd)
{
    __m512i lo = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    _mm512_storeu_ps(p, _mm512_permutex2var_ps(even, lo, odd));
    _mm512_storeu_ps(
        p + 16, _mm512_permutex2var_ps(even, _mm512_add_epi32(lo, _mm512_set1_epi32(8)), odd));
}

/* Holds a value in a register from here on. */
#define VI_KEEP(x) __asm__("" : "+v"(x))

/* ---- dwords and bytes ---- */
static inline vi vi_zero(void) { return _mm512_setzero_si512(); }
static inline vi vi_set1(int x) { return _mm512_set1_epi32(x); }
static inline vi vi_load(const void *p) { return _mm512_loadu_si512(p); }
static inline void vi_store(void *p, vi v) { _mm512_storeu_si512(p, v); }
static inline vi vi_and(vi a, vi b) { return _mm512_and_si512(a, b); }
static inline vi vi_or(vi a, vi b) { return _mm512_or_si512(a, b); }
static inline vi vi_xor(vi a, vi b) { return _mm512_xor_si512(a, b); }
/* table[i] for every dword i */
static inline vi vi_table(const uint32_t *table, vi i)
{
    return _mm512_i32gather_epi32(i, table, 4);
}
static inline vi vi_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
static inline vi vi_sub(vi a, vi b) { return _mm512_sub_epi32(a, b); }
static inline vi vi_mul(vi a, vi b) { return _mm512_mullo_epi32(a, b); }
static inline vi vi_sub8(vi a, vi b) { return _mm512_sub_epi8(a, b); }
static inline vi vi_shl(vi a, int n) { return _mm512_slli_epi32(a, (unsigned)n); }
/* by a number that is not known while compiling */
static inline vi vi_shift(vi a, int n) { return _mm512_sll_epi32(a, _mm_cvtsi32_si128(n)); }
static inline vi vi_shr(vi a, int n) { return _mm512_srli_epi32(a, (unsigned)n); }
static inline vi vi_sar(vi a, int n) { return _mm512_srai_epi32(a, (unsigned)n); }
/* bytes of 16-byte groups picked by the 16 bytes at pick (-1 gives 0); table[byte] for bytes <
 * 16 */
static inline vi vi_pick(vi a, const int8_t *pick)
{
    return _mm512_shuffle_epi8(a,
                               _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)pick)));
}
static inline vi vi_lut(vi a, const int8_t *table)
{
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)table)),
                               a);
}
/* a where v is a NaN */
static inline vi vi_if_nan(vf v, vi a, vi b)
{
    return _mm512_mask_blend_epi32(_mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), b, a);
}
static inline vi vi_round(vf a) { return _mm512_cvtps_epi32(a); } /* nearest even */
static inline vi vi_of_float(vf a) { return _mm512_castps_si512(a); }
static inline void vi_put16(void *p, vi a)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(a));
}
static inline void vi_put8(void *p, vi a)
{
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(a));
}
static inline vi vi_of_u8(const void *p)
{
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
}
/* VN halves of bytes, the high one of each first */
static inline vi vi_of_halves(const void *p)
{
    __m128i b = _mm_loadl_epi64((const __m128i *)p), low = _mm_set1_epi8(15);
    return _mm512_cvtepu8_epi32(_mm_unpacklo_epi8(
        _mm_and_si128(_mm_srli_epi16(b, 4), low), _mm_and_si128(b, low)));
}
/* sixteen floats to pick from by number */
#define VF_TABLE16
struct vf_table16 {
    vf v;
};
static inline struct vf_table16 vf_table16(const float *x)
{
    return (struct vf_table16){vf_load(x)};
}
static inline vf vf_of_table16(const struct vf_table16 *t, vi i)
{
    return _mm512_permutexvar_ps(i, t->v);
}
/* 0 in bytes that are 0, all ones in the others */
static inline vi vi_nonzero8(vi a) { return _mm512_movm_epi8(_mm512_test_epi8_mask(a, a)); }
static inline vf vi_float(vi a) { return _mm512_cvtepi32_ps(a); }
/* the low 16 bits of each dword as float16 */
static inline vf vi_f16(vi a) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(a)); }
static inline vi vi_bcast(const void *p)
{
    int x;
    memcpy(&x, p, 4);
    return _mm512_set1_epi32(x);
}

/* 16 bytes at `off` of each of VN rows: t[j] has dword j of every row, in order. */
static inline __m128i row16(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}
FOLD void vi_rows16(const uint8_t *const *r, size_t off, vi *t)
{
    vi v[4];
    UNROLL
    for (int i = 0; i < 4; i++) {
        v[i] = _mm512_castsi128_si512(row16(r[i] + off));
        v[i] = _mm512_inserti32x4(v[i], row16(r[4 + i] + off), 1);
        v[i] = _mm512_inserti32x4(v[i], row16(r[8 + i] + off), 2);
        v[i] = _mm512_inserti32x4(v[i], row16(r[12 + i] + off), 3);
    }
    vi a = _mm512_unpacklo_epi32(v[0], v[1]), b = _mm512_unpackhi_epi32(v[0], v[1]);
    vi c = _mm512_unpacklo_epi32(v[2], v[3]), d = _mm512_unpackhi_epi32(v[2], v[3]);
    t[0] = _mm512_unpacklo_epi64(a, c);
    t[1] = _mm512_unpackhi_epi64(a, c);
    t[2] = _mm512_unpacklo_epi64(b, d);
    t[3] = _mm512_unpackhi_epi64(b, d);
}
static inline int dword_at(const uint8_t *p)
{
    int x;
    memcpy(&x, p, 4);
    return x;
}
static inline short half_at(const uint8_t *p)
{
    short x;
    memcpy(&x, p, 2);
    return x;
}
#define VI_GATHER(get, r, off)                                                                 \
    _mm512_setr_epi32(get((r)[0] + (off)), get((r)[1] + (off)), get((r)[2] + (off)),           \
                      get((r)[3] + (off)), get((r)[4] + (off)), get((r)[5] + (off)),           \
                      get((r)[6] + (off)), get((r)[7] + (off)), get((r)[8] + (off)),           \
                      get((r)[9] + (off)), get((r)[10] + (off)), get((r)[11] + (off)),         \
                      get((r)[12] + (off)), get((r)[13] + (off)), get((r)[14] + (off)),        \
                      get((r)[15] + (off)))
static inline vi vi_dwords(const uint8_t *const *r, size_t off)
{
    return VI_GATHER(dword_at, r, off);
}
/* the float16 at `off` of each row */
FOLD vf vf_f16_rows(const uint8_t *const *r, size_t off)
{
    __m256i h = _mm256_setr_epi16(
        half_at(r[0] + off), half_at(r[1] + off), half_at(r[2] + off), half_at(r[3] + off),
        half_at(r[4] + off), half_at(r[5] + off), half_at(r[6] + off), half_at(r[7] + off),
        half_at(r[8] + off), half_at(r[9] + off), half_at(r[10] + off), half_at(r[11] + off),
        half_at(r[12] + off), half_at(r[13] + off), half_at(r[14] + off), half_at(r[15] + off));
    return _mm512_cvtph_ps(h);
}

#endif
