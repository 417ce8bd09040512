/* The K types to float32: blocks of 256 in parts of 16 or 32, each part with a small integer
 * scale (and minimum) of its own under one or two float16 for the block. Bit for bit what ggml
 * gives, hence the order of the products: block scale times part scale first, then the element.
 */
#include "kernels/quant.h"

static void q2_K_block(float *y, const block_q2_K *b)
{
    float d = slm_f16_to_f32(b->d), dmin = slm_f16_to_f32(b->dmin);
    for (int part = 0; part < 16; part++) {
        float dl = d * (float)(b->scales[part] & 15), ml = dmin * (float)(b->scales[part] >> 4);
        const uint8_t *q = b->qs + (part >> 3) * 32 + (part & 1) * 16;
        int shift = (part >> 1 & 3) * 2;
        for (int j = 0; j < 16; j++)
            y[part * 16 + j] = dl * (float)(q[j] >> shift & 3) - ml;
    }
}

/* Part i's six bits: low four in bytes 0-7, high two in bytes 8-11. */
static int q3_K_scale(const uint8_t *s, int i)
{
    int low = i < 8 ? s[i] & 15 : s[i - 8] >> 4;
    return (low | (s[8 + (i & 3)] >> (i >> 2) * 2 & 3) << 4) - 32;
}

static void q3_K_block(float *y, const block_q3_K *b)
{
    float d = slm_f16_to_f32(b->d);
    for (int part = 0; part < 16; part++) {
        float dl = d * (float)q3_K_scale(b->scales, part);
        int at = (part & 1) * 16, shift = (part >> 1 & 3) * 2, bit = part >> 1;
        const uint8_t *q = b->qs + (part >> 3) * 32 + at, *high = b->hmask + at;
        for (int j = 0; j < 16; j++)
            y[part * 16 + j] = dl * (float)((q[j] >> shift & 3) - (high[j] >> bit & 1 ? 0 : 4));
    }
}

/* Scale and minimum of part i (of 8), six bits each in twelve bytes. */
static void scale_min(const uint8_t *s, int i, int *scale, int *min)
{
    if (i < 4) {
        *scale = s[i] & 63;
        *min = s[i + 4] & 63;
    } else {
        *scale = (s[i + 4] & 15) | s[i - 4] >> 6 << 4;
        *min = s[i + 4] >> 4 | s[i] >> 6 << 4;
    }
}

static void q4_K_block(float *y, const block_q4_K *b)
{
    float d = slm_f16_to_f32(b->d), dmin = slm_f16_to_f32(b->dmin);
    for (int part = 0; part < 8; part++) {
        int scale, min;
        scale_min(b->scales, part, &scale, &min);
        float dl = d * (float)scale, ml = dmin * (float)min;
        const uint8_t *q = b->qs + (part >> 1) * 32;
        int shift = (part & 1) * 4;
        for (int j = 0; j < 32; j++)
            y[part * 32 + j] = dl * (float)(q[j] >> shift & 15) - ml;
    }
}

static void q5_K_block(float *y, const block_q5_K *b)
{
    float d = slm_f16_to_f32(b->d), dmin = slm_f16_to_f32(b->dmin);
    for (int part = 0; part < 8; part++) {
        int scale, min;
        scale_min(b->scales, part, &scale, &min);
        float dl = d * (float)scale, ml = dmin * (float)min;
        const uint8_t *q = b->qs + (part >> 1) * 32;
        int shift = (part & 1) * 4;
        for (int j = 0; j < 32; j++)
            y[part * 32 + j] =
                dl * (float)((q[j] >> shift & 15) + (b->qh[j] >> part & 1) * 16) - ml;
    }
}

static void q6_K_block(float *y, const block_q6_K *b)
{
    float d = slm_f16_to_f32(b->d);
    for (int part = 0; part < 16; part++) {
        float dl = d * (float)b->scales[part];
        int half = part >> 3, quarter = part >> 1 & 3, at = (part & 1) * 16;
        const uint8_t *low = b->ql + half * 64 + (quarter & 1) * 32 + at;
        const uint8_t *high = b->qh + half * 32 + at;
        int shift = quarter & 2 ? 4 : 0;
        for (int j = 0; j < 16; j++)
            y[part * 16 + j] =
                dl * (float)(((low[j] >> shift & 15) | (high[j] >> quarter * 2 & 3) << 4) - 32);
    }
}

static void q8_K_block(float *y, const block_q8_K *b)
{
    for (int j = 0; j < 256; j++)
        y[j] = b->d * (float)b->qs[j];
}

SLM_ROW_TO_F32(q2_K, 256)
SLM_ROW_TO_F32(q3_K, 256)
SLM_ROW_TO_F32(q4_K, 256)
SLM_ROW_TO_F32(q5_K, 256)
SLM_ROW_TO_F32(q6_K, 256)
SLM_ROW_TO_F32(q8_K, 256)

void slm_quant_fill_k(struct slm_kern *k)
{
    k->to_f32[SLM_Q2_K] = q2_K_to_f32;
    k->to_f32[SLM_Q3_K] = q3_K_to_f32;
    k->to_f32[SLM_Q4_K] = q4_K_to_f32;
    k->to_f32[SLM_Q5_K] = q5_K_to_f32;
    k->to_f32[SLM_Q6_K] = q6_K_to_f32;
    k->to_f32[SLM_Q8_K] = q8_K_to_f32;
}
