/* float32 to element types by the plain rule of each: one scale from the block's extremes,
 * every element rounded by itself. For these types that is the reference, so its bytes are
 * reproduced: the rounding (truncation after adding a half, or half away from zero) and the
 * first-wins ties are the format's, not a choice of ours. Types that need a search have no slot
 * here. */
#include <float.h>
#include <math.h>

#include "kernels/quant.h"

/* Defines f32_to_T from block_from_T(block_T *b, const float *x) for blocks of N elements. */
#define ROW_FROM_F32(T, N)                                                                     \
    static void f32_to_##T(void *out, const float *in, size_t n)                               \
    {                                                                                          \
        uint8_t *p = out;                                                                      \
        for (size_t i = 0; i + (N) <= n; i += (N), p += sizeof(block_##T)) {                   \
            block_##T b;                                                                       \
            memset(&b, 0, sizeof b);                                                           \
            block_from_##T(&b, in + i);                                                        \
            memcpy(p, &b, sizeof b);                                                           \
        }                                                                                      \
    }

static void f32_to_f32(void *out, const float *in, size_t n)
{
    memmove(out, in, n * sizeof *in);
}

static void f32_to_f16(void *out, const float *in, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t h = slm_f32_to_f16(in[i]);
        memcpy((uint8_t *)out + i * 2, &h, 2);
    }
}

static void f32_to_bf16(void *out, const float *in, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t h = slm_f32_to_bf16(in[i]);
        memcpy((uint8_t *)out + i * 2, &h, 2);
    }
}

/* The value of largest magnitude, with its sign; of equals the first. */
static float extreme(const float *x, int n)
{
    float amax = 0, max = 0;
    for (int j = 0; j < n; j++)
        if (amax < fabsf(x[j])) {
            amax = fabsf(x[j]);
            max = x[j];
        }
    return max;
}

static float inverse(float d) { return d != 0 ? 1.0f / d : 0.0f; }

/* x without its fraction, kept within [lo, hi]; NaN gives lo. */
static int cut(float x, int lo, int hi)
{
    return !(x > (float)lo) ? lo : x >= (float)hi ? hi : (int)x;
}

static void block_from_q4_0(block_q4_0 *b, const float *x)
{
    float d = extreme(x, 32) / -8, id = inverse(d);
    b->d = slm_f32_to_f16(d);
    for (int j = 0; j < 16; j++)
        b->qs[j] =
            (uint8_t)(cut(x[j] * id + 8.5f, 0, 15) | cut(x[j + 16] * id + 8.5f, 0, 15) << 4);
}

static void block_from_q5_0(block_q5_0 *b, const float *x)
{
    float d = extreme(x, 32) / -16, id = inverse(d);
    b->d = slm_f32_to_f16(d);
    for (int j = 0; j < 32; j++) {
        int q = cut(x[j] * id + 16.5f, 0, 31);
        b->qs[j & 15] |= (uint8_t)((q & 15) << (j >> 4) * 4);
        b->qh[j >> 3] |= (uint8_t)(q >> 4 << (j & 7));
    }
}

static void range(const float *x, int n, float *min, float *max)
{
    *min = FLT_MAX;
    *max = -FLT_MAX;
    for (int j = 0; j < n; j++) {
        if (x[j] < *min)
            *min = x[j];
        if (x[j] > *max)
            *max = x[j];
    }
}

static void block_from_q4_1(block_q4_1 *b, const float *x)
{
    float min, max;
    range(x, 32, &min, &max);
    float d = (max - min) / 15, id = inverse(d);
    b->d = slm_f32_to_f16(d);
    b->m = slm_f32_to_f16(min);
    for (int j = 0; j < 32; j++)
        b->qs[j & 15] |= (uint8_t)(cut((x[j] - min) * id + 0.5f, 0, 15) << (j >> 4) * 4);
}

static void block_from_q5_1(block_q5_1 *b, const float *x)
{
    float min, max;
    range(x, 32, &min, &max);
    float d = (max - min) / 31, id = inverse(d);
    b->d = slm_f32_to_f16(d);
    b->m = slm_f32_to_f16(min);
    for (int j = 0; j < 32; j++) {
        int q = cut((x[j] - min) * id + 0.5f, 0, 31);
        b->qs[j & 15] |= (uint8_t)((q & 15) << (j >> 4) * 4);
        b->qh[j >> 3] |= (uint8_t)(q >> 4 << (j & 7));
    }
}

/* Half away from zero into an int8; NaN gives 0. */
static int8_t round8(float x) { return x != x ? 0 : (int8_t)cut(roundf(x), -128, 127); }

static void block_from_q8_0(block_q8_0 *b, const float *x)
{
    float d = fabsf(extreme(x, 32)) / 127, id = inverse(d);
    b->d = slm_f32_to_f16(d);
    for (int j = 0; j < 32; j++)
        b->qs[j] = round8(x[j] * id);
}

static void block_from_q8_1(block_q8_1 *b, const float *x)
{
    float d = fabsf(extreme(x, 32)) / 127, id = inverse(d);
    int sum = 0;
    for (int j = 0; j < 32; j++) {
        b->qs[j] = round8(x[j] * id);
        sum += b->qs[j];
    }
    b->d = slm_f32_to_f16(d);
    b->s = slm_f32_to_f16((float)sum * d);
}

static void block_from_q8_s(block_q8_s *b, const float *x)
{
    float d = fabsf(extreme(x, 32)) / 127, id = inverse(d);
    b->d = slm_f16_to_f32(slm_f32_to_f16(d)); /* as q8_0: the numbers that others give */
    for (int j = 0; j < 32; j++) {
        b->qs[j] = round8(x[j] * id);
        b->neg -= b->qs[j];
    }
}

/* Nearest, ties to even: what adding 1.5 * 2^23 leaves in the low bits. |x| < 2^22. */
static int nearest(float x)
{
    union {
        float f;
        int32_t i;
    } v = {.f = x + 12582912.0f};
    return (v.i & 0x007fffff) - 0x00400000;
}

static void block_from_q8_K(block_q8_K *b, const float *x)
{
    float max = extreme(x, 256);
    if (max == 0)
        return;
    float scale = -127.0f / max;
    for (int j = 0; j < 256; j++) {
        int q = x[j] == x[j] ? nearest(scale * x[j]) : 0;
        b->qs[j] = (int8_t)(q > 127 ? 127 : q < -128 ? -128 : q);
        b->bsums[j >> 4] = (int16_t)(b->bsums[j >> 4] + b->qs[j]);
    }
    b->d = 1.0f / scale;
}

static void block_from_q1_0(block_q1_0 *b, const float *x)
{
    float sum = 0;
    for (int j = 0; j < 128; j++) {
        sum += fabsf(x[j]);
        b->qs[j >> 3] |= (uint8_t)((x[j] >= 0) << (j & 7));
    }
    b->d = slm_f32_to_f16(sum / 128);
}

static void block_from_q2_0(block_q2_0 *b, const float *x)
{
    float d = fabsf(extreme(x, 64)), id = inverse(d);
    b->d = slm_f32_to_f16(d);
    for (int j = 0; j < 64; j++)
        b->qs[j >> 2] |= (uint8_t)(cut((float)round8(x[j] * id) + 1, 0, 3) << (j & 3) * 2);
}

/* -1, 0 or 1 as 0, 1, 2. */
static int ternary(float x) { return cut((float)round8(x) + 1, 0, 2); }

/* n digits, the first the most significant, as a fraction of 256/243, rounded up. */
static uint8_t trits(const float *x, int n, int stride, float id)
{
    int q = 0;
    for (int i = 0; i < n; i++)
        q = q * 3 + ternary(x[i * stride] * id);
    for (int i = n; i < 5; i++)
        q *= 3;
    return (uint8_t)((q * 256 + 242) / 243);
}

static void block_from_tq1_0(block_tq1_0 *b, const float *x)
{
    float d = fabsf(extreme(x, 256)), id = inverse(d);
    b->d = slm_f32_to_f16(d);
    for (int m = 0; m < 32; m++)
        b->qs[m] = trits(x + m, 5, 32, id);
    for (int m = 0; m < 16; m++)
        b->qs[32 + m] = trits(x + 160 + m, 5, 16, id);
    for (int m = 0; m < 4; m++)
        b->qh[m] = trits(x + 240 + m, 4, 4, id);
}

static void block_from_tq2_0(block_tq2_0 *b, const float *x)
{
    float d = fabsf(extreme(x, 256)), id = inverse(d);
    b->d = slm_f32_to_f16(d);
    for (int i = 0; i < 256; i++)
        b->qs[(i >> 7) * 32 + (i & 31)] |= (uint8_t)(ternary(x[i] * id) << (i >> 5 & 3) * 2);
}

/* Index of the 4-bit float nearest to x / d; of equals the first. */
static int fp4(float x, float d)
{
    int best = 0;
    float least = fabsf((float)slm_fp4_values[0] * d - x);
    for (int i = 1; i < 16; i++) {
        float e = fabsf((float)slm_fp4_values[i] * d - x);
        if (e < least) {
            least = e;
            best = i;
        }
    }
    return best;
}

static void block_from_mxfp4(block_mxfp4 *b, const float *x)
{
    float amax = fabsf(extreme(x, 32));
    b->e = amax > 0 ? (uint8_t)cut(floorf(log2f(amax)) - 2 + 127, 0, 255) : 0;
    float d = slm_e8m0_half(b->e);
    for (int j = 0; j < 16; j++)
        b->qs[j] = (uint8_t)(fp4(x[j], d) | fp4(x[j + 16], d) << 4);
}

/* Nearest scale of 4 exponent and 3 mantissa bits, at most 448; ties away from zero. */
static uint8_t ue4m3(float x)
{
    if (!(x > 0))
        return 0;
    union {
        float f;
        uint32_t u;
    } v = {.f = x > 448 ? 448 : x};
    int e = (int)(v.u >> 23) - 120, m = (int)(v.u >> 20 & 7) + (int)(v.u >> 19 & 1);
    if (e <= 0)
        return (uint8_t)cut(v.f * 512 + 0.5f, 0, 7);
    if (m > 7) {
        m = 0;
        e++;
    }
    return (uint8_t)(e >= 15 && (e > 15 || m > 6) ? 0x7e : e << 3 | m);
}

static void block_from_nvfp4(block_nvfp4 *b, const float *x)
{
    for (int s = 0; s < 4; s++, x += 16) {
        b->d[s] = ue4m3(fabsf(extreme(x, 16)) / 6);
        float d = slm_ue4m3_half(b->d[s]);
        for (int j = 0; j < 8; j++)
            b->qs[s * 8 + j] = (uint8_t)(fp4(x[j], d) | fp4(x[j + 8], d) << 4);
    }
}

/* bitsandbytes' rule: the largest magnitude's inverse multiplies, and a value takes the code
 * that as many midpoints lie below; one on a midpoint takes the lower code. */
static void block_from_nf4(block_nf4 *b, const float *x)
{
    for (int j = 0; j < 64; j++)
        b->d = fabsf(x[j]) > b->d ? fabsf(x[j]) : b->d;
    float id = 1.0f / (b->d > 1e-38f ? b->d : 1e-38f);
    for (int j = 0; j < 64; j++) {
        float v = x[j] * id;
        int code = 0;
        for (int c = 0; c < 15; c++)
            code += v > (slm_nf4_values[c] + slm_nf4_values[c + 1]) / 2;
        b->qs[j / 2] |= (uint8_t)(j % 2 ? code : code << 4);
    }
}

ROW_FROM_F32(q4_0, 32)
ROW_FROM_F32(q4_1, 32)
ROW_FROM_F32(q5_0, 32)
ROW_FROM_F32(q5_1, 32)
ROW_FROM_F32(q8_0, 32)
ROW_FROM_F32(q8_1, 32)
ROW_FROM_F32(q8_s, 32)
ROW_FROM_F32(q8_K, 256)
ROW_FROM_F32(q1_0, 128)
ROW_FROM_F32(q2_0, 64)
ROW_FROM_F32(tq1_0, 256)
ROW_FROM_F32(tq2_0, 256)
ROW_FROM_F32(mxfp4, 32)
ROW_FROM_F32(nvfp4, 64)
ROW_FROM_F32(nf4, 64)

void slm_quant_fill_from(struct slm_kern *k)
{
    k->from_f32[SLM_F32] = f32_to_f32;
    k->from_f32[SLM_F16] = f32_to_f16;
    k->from_f32[SLM_BF16] = f32_to_bf16;
    k->from_f32[SLM_Q4_0] = f32_to_q4_0;
    k->from_f32[SLM_Q4_1] = f32_to_q4_1;
    k->from_f32[SLM_Q5_0] = f32_to_q5_0;
    k->from_f32[SLM_Q5_1] = f32_to_q5_1;
    k->from_f32[SLM_Q8_0] = f32_to_q8_0;
    k->from_f32[SLM_Q8_1] = f32_to_q8_1;
    k->from_f32[SLM_Q8_S] = f32_to_q8_s;
    k->from_f32[SLM_Q8_K] = f32_to_q8_K;
    k->from_f32[SLM_Q1_0] = f32_to_q1_0;
    k->from_f32[SLM_Q2_0] = f32_to_q2_0;
    k->from_f32[SLM_TQ1_0] = f32_to_tq1_0;
    k->from_f32[SLM_TQ2_0] = f32_to_tq2_0;
    k->from_f32[SLM_MXFP4] = f32_to_mxfp4;
    k->from_f32[SLM_NVFP4] = f32_to_nvfp4;
    k->from_f32[SLM_NF4] = f32_to_nf4;
}
