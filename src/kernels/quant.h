/* What the files of the element types share: code tables, small float formats, and the macro
 * that turns "one block" into "a row". Blocks are copied out before use, so a row may lie at
 * any address. */
#ifndef SLM_KERNELS_QUANT_H
#define SLM_KERNELS_QUANT_H

#include <string.h>
#include "kernels/kernels.h"

/* Parts of slm_kern_fill_quant_generic (kern_fill.h). */
void slm_quant_fill_k(struct slm_kern *k);
void slm_quant_fill_iq(struct slm_kern *k);
void slm_quant_fill_from(struct slm_kern *k);

/* Twice the values of a 4-bit float with 2 exponent bits; halved again by the scales below. */
static const int8_t slm_fp4_values[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                          0, -1, -2, -3, -4, -6, -8, -12};

/* 2^(e - 128): half of the power of two that an 8-bit exponent stands for. */
static inline float slm_e8m0_half(uint8_t e)
{
    union {
        uint32_t u;
        float f;
    } v = {e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23};
    return v.f;
}

/* Half of an unsigned float of 4 exponent and 3 mantissa bits; the sign bit is ignored. */
static inline float slm_ue4m3_half(uint8_t x)
{
    if (x == 0 || x == 0x7f)
        return 0.0f;
    uint32_t e = x >> 3 & 15, m = x & 7;
    if (e == 0)
        return (float)m * 0x1p-10f;
    union {
        uint32_t u;
        float f;
    } v = {(e + 119) << 23 | m << 20}; /* bias 127 - 7, and one for half */
    return v.f;
}

/* Defines T_to_f32 from T_block(float *y, const block_T *b) for blocks of N elements. */
#define SLM_ROW_TO_F32(T, N)                                                                   \
    static void T##_to_f32(float *out, const void *in, size_t n)                               \
    {                                                                                          \
        const uint8_t *p = in;                                                                 \
        for (size_t i = 0; i + (N) <= n; i += (N), p += sizeof(block_##T)) {                   \
            block_##T b;                                                                       \
            memcpy(&b, p, sizeof b);                                                           \
            T##_block(out + i, &b);                                                            \
        }                                                                                      \
    }

#endif
