/* Element types to float32, the plain ones and those with one scale a block: bit for bit what
 * ggml gives (and PyTorch, for 8-bit floats). Every product and sum is rounded by itself: the
 * build turns contraction off, since a fused multiply-add would give other bits. */
#include <math.h>

#include "kernels/kern_fill.h"
#include "kernels/quant.h"

/* Defines T_to_f32 for elements of a C type. */
#define PLAIN(T, CTYPE, EXPR)                                                                  \
    static void T##_to_f32(float *out, const void *in, size_t n)                               \
    {                                                                                          \
        const uint8_t *p = in;                                                                 \
        for (size_t i = 0; i < n; i++) {                                                       \
            CTYPE x;                                                                           \
            memcpy(&x, p + i * sizeof x, sizeof x);                                            \
            out[i] = (EXPR);                                                                   \
        }                                                                                      \
    }

static float e4m3(uint8_t x)
{
    uint32_t sign = (uint32_t)(x & 0x80) << 24, e = x >> 3 & 15, m = x & 7;
    union {
        uint32_t u;
        float f;
    } v = {(e + 120) << 23 | m << 20};
    if (e == 0)
        v.f = (float)m * 0x1p-9f;
    else if (e == 15 && m == 7)
        v.u = 0x7fc00000;
    v.u |= sign;
    return v.f;
}

static void f32_to_f32(float *out, const void *in, size_t n)
{
    memmove(out, in, n * sizeof *out);
}
PLAIN(f16, uint16_t, slm_f16_to_f32(x))
PLAIN(bf16, uint16_t, slm_bf16_to_f32(x))
PLAIN(f64, double, (float)x)
PLAIN(i8, int8_t, (float)x)
PLAIN(i16, int16_t, (float)x)
PLAIN(i32, int32_t, (float)x)
PLAIN(i64, int64_t, (float)x)
PLAIN(u8, uint8_t, (float)x)
PLAIN(u16, uint16_t, (float)x)
PLAIN(u32, uint32_t, (float)x)
PLAIN(u64, uint64_t, (float)x)
PLAIN(boolean, uint8_t, x ? 1.0f : 0.0f)
PLAIN(f8_e4m3, uint8_t, e4m3(x))
PLAIN(f8_e5m2, uint8_t, slm_f16_to_f32((uint16_t)(x << 8)))

static void q4_0_block(float *y, const block_q4_0 *b)
{
    float d = slm_f16_to_f32(b->d);
    for (int j = 0; j < 16; j++) {
        y[j] = (float)((b->qs[j] & 15) - 8) * d;
        y[j + 16] = (float)((b->qs[j] >> 4) - 8) * d;
    }
}

static void q4_1_block(float *y, const block_q4_1 *b)
{
    float d = slm_f16_to_f32(b->d), m = slm_f16_to_f32(b->m);
    for (int j = 0; j < 16; j++) {
        y[j] = (float)(b->qs[j] & 15) * d + m;
        y[j + 16] = (float)(b->qs[j] >> 4) * d + m;
    }
}

/* Element j's five bits: the fifth bits stand in one 32-bit word. */
static int five(const uint8_t *qs, const uint8_t *qh, int j)
{
    int low = j < 16 ? qs[j] & 15 : qs[j - 16] >> 4;
    return low | (qh[j >> 3] >> (j & 7) & 1) << 4;
}

static void q5_0_block(float *y, const block_q5_0 *b)
{
    float d = slm_f16_to_f32(b->d);
    for (int j = 0; j < 32; j++)
        y[j] = (float)(five(b->qs, b->qh, j) - 16) * d;
}

static void q5_1_block(float *y, const block_q5_1 *b)
{
    float d = slm_f16_to_f32(b->d), m = slm_f16_to_f32(b->m);
    for (int j = 0; j < 32; j++)
        y[j] = (float)five(b->qs, b->qh, j) * d + m;
}

static void q8_0_block(float *y, const block_q8_0 *b)
{
    float d = slm_f16_to_f32(b->d);
    for (int j = 0; j < 32; j++)
        y[j] = (float)b->qs[j] * d;
}

static void q8_1_block(float *y, const block_q8_1 *b)
{
    float d = slm_f16_to_f32(b->d);
    for (int j = 0; j < 32; j++)
        y[j] = (float)b->qs[j] * d;
}

static void q8_s_block(float *y, const block_q8_s *b)
{
    for (int j = 0; j < 32; j++)
        y[j] = (float)b->qs[j] * b->d;
}

static void q1_0_block(float *y, const block_q1_0 *b)
{
    float d = slm_f16_to_f32(b->d);
    for (int j = 0; j < 128; j++)
        y[j] = b->qs[j >> 3] >> (j & 7) & 1 ? d : -d;
}

static void q2_0_block(float *y, const block_q2_0 *b)
{
    float d = slm_f16_to_f32(b->d);
    for (int j = 0; j < 64; j++)
        y[j] = (float)((b->qs[j >> 2] >> (j & 3) * 2 & 3) - 1) * d;
}

/* Digit n of a byte that holds five base-3 digits as a fraction of 243/256. */
static int trit(uint8_t q, int n)
{
    static const uint8_t pow3[5] = {1, 3, 9, 27, 81};
    return (uint8_t)(q * pow3[n]) * 3 >> 8;
}

static void tq1_0_block(float *y, const block_tq1_0 *b)
{
    float d = slm_f16_to_f32(b->d);
    for (int n = 0; n < 5; n++)
        for (int m = 0; m < 32; m++)
            y[n * 32 + m] = (float)(trit(b->qs[m], n) - 1) * d;
    for (int n = 0; n < 5; n++)
        for (int m = 0; m < 16; m++)
            y[160 + n * 16 + m] = (float)(trit(b->qs[32 + m], n) - 1) * d;
    for (int n = 0; n < 4; n++)
        for (int m = 0; m < 4; m++)
            y[240 + n * 4 + m] = (float)(trit(b->qh[m], n) - 1) * d;
}

static void tq2_0_block(float *y, const block_tq2_0 *b)
{
    float d = slm_f16_to_f32(b->d);
    for (int i = 0; i < 256; i++)
        y[i] = (float)((b->qs[(i >> 7) * 32 + (i & 31)] >> (i >> 5 & 3) * 2 & 3) - 1) * d;
}

static void mxfp4_block(float *y, const block_mxfp4 *b)
{
    float d = slm_e8m0_half(b->e);
    for (int j = 0; j < 16; j++) {
        y[j] = (float)slm_fp4_values[b->qs[j] & 15] * d;
        y[j + 16] = (float)slm_fp4_values[b->qs[j] >> 4] * d;
    }
}

static void nvfp4_block(float *y, const block_nvfp4 *b)
{
    for (int s = 0; s < 4; s++) {
        float d = slm_ue4m3_half(b->d[s]);
        for (int j = 0; j < 8; j++) {
            y[s * 16 + j] = (float)slm_fp4_values[b->qs[s * 8 + j] & 15] * d;
            y[s * 16 + j + 8] = (float)slm_fp4_values[b->qs[s * 8 + j] >> 4] * d;
        }
    }
}

static void nf4_block(float *y, const block_nf4 *b)
{
    for (int j = 0; j < 32; j++) {
        y[2 * j] = slm_nf4_values[b->qs[j] >> 4] * b->d;
        y[2 * j + 1] = slm_nf4_values[b->qs[j] & 15] * b->d;
    }
}

SLM_ROW_TO_F32(q4_0, 32)
SLM_ROW_TO_F32(q4_1, 32)
SLM_ROW_TO_F32(q5_0, 32)
SLM_ROW_TO_F32(q5_1, 32)
SLM_ROW_TO_F32(q8_0, 32)
SLM_ROW_TO_F32(q8_1, 32)
SLM_ROW_TO_F32(q8_s, 32)
SLM_ROW_TO_F32(q1_0, 128)
SLM_ROW_TO_F32(q2_0, 64)
SLM_ROW_TO_F32(tq1_0, 256)
SLM_ROW_TO_F32(tq2_0, 256)
SLM_ROW_TO_F32(mxfp4, 32)
SLM_ROW_TO_F32(nvfp4, 64)
SLM_ROW_TO_F32(nf4, 64)

void slm_kern_fill_quant_generic(struct slm_kern *k)
{
    k->to_f32[SLM_F32] = f32_to_f32;
    k->to_f32[SLM_F16] = f16_to_f32;
    k->to_f32[SLM_BF16] = bf16_to_f32;
    k->to_f32[SLM_F64] = f64_to_f32;
    k->to_f32[SLM_I8] = i8_to_f32;
    k->to_f32[SLM_I16] = i16_to_f32;
    k->to_f32[SLM_I32] = i32_to_f32;
    k->to_f32[SLM_I64] = i64_to_f32;
    k->to_f32[SLM_U8] = u8_to_f32;
    k->to_f32[SLM_U16] = u16_to_f32;
    k->to_f32[SLM_U32] = u32_to_f32;
    k->to_f32[SLM_U64] = u64_to_f32;
    k->to_f32[SLM_BOOL] = boolean_to_f32;
    k->to_f32[SLM_F8_E4M3] = f8_e4m3_to_f32;
    k->to_f32[SLM_F8_E5M2] = f8_e5m2_to_f32;
    k->to_f32[SLM_Q4_0] = q4_0_to_f32;
    k->to_f32[SLM_Q4_1] = q4_1_to_f32;
    k->to_f32[SLM_Q5_0] = q5_0_to_f32;
    k->to_f32[SLM_Q5_1] = q5_1_to_f32;
    k->to_f32[SLM_Q8_0] = q8_0_to_f32;
    k->to_f32[SLM_Q8_1] = q8_1_to_f32;
    k->to_f32[SLM_Q8_S] = q8_s_to_f32;
    k->to_f32[SLM_Q1_0] = q1_0_to_f32;
    k->to_f32[SLM_Q2_0] = q2_0_to_f32;
    k->to_f32[SLM_TQ1_0] = tq1_0_to_f32;
    k->to_f32[SLM_TQ2_0] = tq2_0_to_f32;
    k->to_f32[SLM_MXFP4] = mxfp4_to_f32;
    k->to_f32[SLM_NVFP4] = nvfp4_to_f32;
    k->to_f32[SLM_NF4] = nf4_to_f32;
    slm_quant_fill_k(k);
    slm_quant_fill_iq(k);
    slm_quant_fill_from(k);
}
