/* Four lanes of NEON under the names that the *_body.h files are written in. The including file
 * has brought <arm_neon.h>. vf: floats, vi: dwords. */
#ifndef SLM_VEC_NEON_H
#define SLM_VEC_NEON_H

#define VN 4
typedef float32x4_t vf;
typedef int32x4_t vi;

/* ---- floats ---- */
static inline vf vf_zero(void) { return vdupq_n_f32(0); }
static inline vf vf_set1(float x) { return vdupq_n_f32(x); }
static inline vf vf_load(const float *p) { return vld1q_f32(p); }
static inline void vf_store(float *p, vf v) { vst1q_f32(p, v); }
/* The first n < VN lanes; the others are 0, or are left alone. */
static inline vf vf_loadn(const float *p, size_t n)
{
    float t[4] = {0};
    for (size_t i = 0; i < n; i++)
        t[i] = p[i];
    return vld1q_f32(t);
}
static inline void vf_storen(float *p, vf v, size_t n)
{
    float t[4];
    vst1q_f32(t, v);
    for (size_t i = 0; i < n; i++)
        p[i] = t[i];
}
static inline vf vf_add(vf a, vf b) { return vaddq_f32(a, b); }
static inline vf vf_sub(vf a, vf b) { return vsubq_f32(a, b); }
static inline vf vf_mul(vf a, vf b) { return vmulq_f32(a, b); }
static inline vf vf_div(vf a, vf b) { return vdivq_f32(a, b); }
static inline vf vf_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
static inline vf vf_fnma(vf a, vf b, vf c) { return vfmsq_f32(c, a, b); }
/* a NaN where there is one */
static inline vf vf_max(vf a, vf b) { return vmaxq_f32(a, b); }
static inline vf vf_min(vf a, vf b) { return vminq_f32(a, b); }
static inline vf vf_round(vf a) { return vrndnq_f32(a); }
static inline vf vf_trunc(vf a) { return vrndq_f32(a); }
static inline vf vf_abs(vf a) { return vabsq_f32(a); }
/* a with the sign of s */
static inline vf vf_sign(vf a, vf s) { return vbslq_f32(vdupq_n_u32(0x80000000u), s, a); }
/* x < y ? a : b */
static inline vf vf_if_less(vf x, vf y, vf a, vf b) { return vbslq_f32(vcltq_f32(x, y), a, b); }
/* 2^(whole number n), -126 <= n <= 127 */
static inline vf vf_pow2(vf n)
{
    return vreinterpretq_f32_s32(
        vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23));
}
static inline float vf_sum(vf v)
{
    float32x2_t s = vadd_f32(vget_low_f32(v), vget_high_f32(v));
    return vget_lane_f32(s, 0) + vget_lane_f32(s, 1);
}
/* out[i] = vf_sum(v[i]) for four, the same bits */
static inline void vf_sum4(float *out, const vf *v)
{
    for (int i = 0; i < 4; i++)
        out[i] = vf_sum(v[i]);
}
static inline float vf_top(vf v) { return vmaxvq_f32(v); }
static inline vf vf_of_f16(const void *p)
{
    uint16x4_t h;
    memcpy(&h, p, 8);
    return vcvt_f32_f16(vreinterpret_f16_u16(h));
}
static inline vf vf_of_bf16(const void *p)
{
    uint16x4_t h;
    memcpy(&h, p, 8);
    return vreinterpretq_f32_u32(vshll_n_u16(h, 16));
}
static inline int8x8_t four_bytes(const void *p)
{
    uint32_t x;
    memcpy(&x, p, 4);
    return vcreate_s8(x);
}
static inline vf vf_of_i8(const void *p)
{
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(four_bytes(p)))));
}
static inline void vf_to_f16(void *p, vf v)
{
    uint16x4_t h = vreinterpret_u16_f16(vcvt_f16_f32(v));
    memcpy(p, &h, 8);
}
static inline float f16_one_at(const void *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(h))), 0);
}
/* even and odd elements of 2 * VN, and back */
static inline void vf_split2(const float *p, vf *even, vf *odd)
{
    float32x4x2_t v = vld2q_f32(p);
    *even = v.val[0];
    *odd = v.val[1];
}
static inline void vf_join2(float *p, vf even, vf odd)
{
    float32x4x2_t v = {{even, odd}};
    vst2q_f32(p, v);
}

/* Holds a value in a register from here on. */
#define VI_KEEP(x) __asm__("" : "+w"(x))

/* ---- dwords and bytes ---- */
static inline vi vi_zero(void) { return vdupq_n_s32(0); }
static inline vi vi_set1(int x) { return vdupq_n_s32(x); }
static inline vi vi_load(const void *p) { return vreinterpretq_s32_u8(vld1q_u8(p)); }
static inline void vi_store(void *p, vi v) { vst1q_u8(p, vreinterpretq_u8_s32(v)); }
static inline vi vi_and(vi a, vi b) { return vandq_s32(a, b); }
static inline vi vi_or(vi a, vi b) { return vorrq_s32(a, b); }
static inline vi vi_xor(vi a, vi b) { return veorq_s32(a, b); }
/* table[i] for every dword i */
static inline vi vi_table(const uint32_t *table, vi i)
{
    int t[4];
    vst1q_s32(t, i);
    for (int j = 0; j < 4; j++)
        t[j] = (int)table[t[j]];
    return vld1q_s32(t);
}
static inline vi vi_add(vi a, vi b) { return vaddq_s32(a, b); }
static inline vi vi_sub(vi a, vi b) { return vsubq_s32(a, b); }
static inline vi vi_mul(vi a, vi b) { return vmulq_s32(a, b); }
static inline vi vi_sub8(vi a, vi b)
{
    return vreinterpretq_s32_u8(vsubq_u8(vreinterpretq_u8_s32(a), vreinterpretq_u8_s32(b)));
}
static inline vi vi_shl(vi a, int n) { return vshlq_s32(a, vdupq_n_s32(n)); }
static inline vi vi_sar(vi a, int n) { return vshlq_s32(a, vdupq_n_s32(-n)); }
/* by a number that is not known while compiling */
static inline vi vi_shift(vi a, int n) { return vshlq_s32(a, vdupq_n_s32(n)); }
static inline vi vi_shr(vi a, int n)
{
    return vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a), vdupq_n_s32(-n)));
}
/* bytes picked by the 16 bytes at pick (-1 gives 0); table[byte] for bytes < 16 */
static inline vi vi_pick(vi a, const int8_t *pick)
{
    return vreinterpretq_s32_s8(
        vqtbl1q_s8(vreinterpretq_s8_s32(a), vreinterpretq_u8_s8(vld1q_s8(pick))));
}
static inline vi vi_lut(vi a, const int8_t *table)
{
    return vreinterpretq_s32_s8(vqtbl1q_s8(vld1q_s8(table), vreinterpretq_u8_s32(a)));
}
/* a where v is a NaN */
static inline vi vi_if_nan(vf v, vi a, vi b) { return vbslq_s32(vceqq_f32(v, v), b, a); }
static inline vi vi_round(vf a) { return vcvtnq_s32_f32(a); } /* nearest even */
static inline vi vi_of_float(vf a) { return vreinterpretq_s32_f32(a); }
static inline void vi_put16(void *p, vi a)
{
    int16x4_t h = vmovn_s32(a);
    memcpy(p, &h, 8);
}
static inline void vi_put8(void *p, vi a)
{
    int16x4_t h = vmovn_s32(a);
    int8x8_t b = vmovn_s16(vcombine_s16(h, h));
    memcpy(p, &b, 4);
}
static inline vi vi_of_u8(const void *p)
{
    return vreinterpretq_s32_u32(
        vmovl_u16(vget_low_u16(vmovl_u8(vreinterpret_u8_s8(four_bytes(p))))));
}
/* 0 in bytes that are 0, all ones in the others */
static inline vi vi_nonzero8(vi a)
{
    return vreinterpretq_s32_u8(vtstq_u8(vreinterpretq_u8_s32(a), vreinterpretq_u8_s32(a)));
}
static inline vf vi_float(vi a) { return vcvtq_f32_s32(a); }
/* the low 16 bits of each dword as float16 */
static inline vf vi_f16(vi a)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(vmovn_u32(vreinterpretq_u32_s32(a))));
}
static inline vi vi_bcast(const void *p)
{
    int x;
    memcpy(&x, p, 4);
    return vdupq_n_s32(x);
}
/* acc + sum of the two products of 16-bit halves */
static inline vi vi_madd(vi acc, vi a, vi b)
{
    int16x8_t x = vreinterpretq_s16_s32(a), y = vreinterpretq_s16_s32(b);
    return vaddq_s32(
        acc, vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y)));
}

/* 16 bytes at `off` of each of VN rows: t[j] has dword j of every row, in order. */
FOLD void vi_rows16(const uint8_t *const *r, size_t off, vi *t)
{
    vi a = vi_load(r[0] + off), b = vi_load(r[1] + off), c = vi_load(r[2] + off),
       d = vi_load(r[3] + off);
    int64x2_t ab0 = vreinterpretq_s64_s32(vtrn1q_s32(a, b)),
              ab1 = vreinterpretq_s64_s32(vtrn2q_s32(a, b));
    int64x2_t cd0 = vreinterpretq_s64_s32(vtrn1q_s32(c, d)),
              cd1 = vreinterpretq_s64_s32(vtrn2q_s32(c, d));
    t[0] = vreinterpretq_s32_s64(vtrn1q_s64(ab0, cd0));
    t[1] = vreinterpretq_s32_s64(vtrn1q_s64(ab1, cd1));
    t[2] = vreinterpretq_s32_s64(vtrn2q_s64(ab0, cd0));
    t[3] = vreinterpretq_s32_s64(vtrn2q_s64(ab1, cd1));
}
static inline vi vi_dwords(const uint8_t *const *r, size_t off)
{
    int t[4];
    for (int i = 0; i < 4; i++)
        memcpy(&t[i], r[i] + off, 4);
    return vld1q_s32(t);
}
/* the float16 at `off` of each row */
static inline vf vf_f16_rows(const uint8_t *const *r, size_t off)
{
    uint16_t t[4];
    for (int i = 0; i < 4; i++)
        memcpy(&t[i], r[i] + off, 2);
    return vf_of_f16(t);
}

#endif
