/* The I types to float32: groups of 4 or 8 elements are an index into a codebook of magnitudes,
 * with signs beside it. The codebooks are facts of the format; iq_tables.inc packs each entry
 * into 16 bits (2 or 3 bits an element, first element lowest), made by tools/ref/iq_tables.py.
 * Bit for bit what ggml gives: scale first, then the magnitude, then the sign. */
#include "kernels/iq_grid.h"
#include "kernels/quant.h"

#include "kernels/iq_tables.inc"

static const int8_t nl_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                     1,    13,   25,  38,  53,  69,  89,  113};

static uint32_t word32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

/* y[0..8) = scale * magnitude * sign */
static void put2(float *y, float scale, unsigned code, unsigned signs)
{
    for (int j = 0; j < 8; j++) {
        float v = scale * (float)slm_iq2_level[code >> 2 * j & 3];
        y[j] = signs >> j & 1 ? -v : v;
    }
}

static void iq2_xxs_block(float *y, const block_iq2_xxs *b)
{
    float d = slm_f16_to_f32(b->d);
    for (int part = 0; part < 8; part++) {
        const uint8_t *q = (const uint8_t *)(b->qs + 4 * part);
        uint32_t s = word32(q + 4);
        float scale = d * (0.5f + (float)(s >> 28)) * 0.25f;
        for (int l = 0; l < 4; l++)
            put2(y + part * 32 + l * 8, scale, slm_iq2_xxs_grid[q[l]],
                 slm_iq_signs(s >> 7 * l & 127));
    }
}

static void iq2_xs_block(float *y, const block_iq2_xs *b)
{
    float d = slm_f16_to_f32(b->d);
    for (int l = 0; l < 32; l++) {
        int s = b->scales[l >> 2] >> (l >> 1 & 1) * 4 & 15;
        float scale = d * (0.5f + (float)s) * 0.25f;
        put2(y + l * 8, scale, slm_iq2_xs_grid[b->qs[l] & 511], slm_iq_signs(b->qs[l] >> 9));
    }
}

static void iq2_s_block(float *y, const block_iq2_s *b)
{
    float d = slm_f16_to_f32(b->d);
    for (int l = 0; l < 32; l++) {
        int s = b->scales[l >> 2] >> (l >> 1 & 1) * 4 & 15;
        float scale = d * (0.5f + (float)s) * 0.25f;
        int high = b->qh[l >> 2] >> (l & 3) * 2 & 3;
        put2(y + l * 8, scale, slm_iq2_s_grid[b->qs[l] | high << 8], b->qs[32 + l]);
    }
}

static void iq3_xxs_block(float *y, const block_iq3_xxs *b)
{
    float d = slm_f16_to_f32(b->d);
    for (int part = 0; part < 8; part++) {
        uint32_t s = word32(b->qs + 64 + 4 * part);
        float scale = d * (0.5f + (float)(s >> 28)) * 0.5f;
        for (int i = 0; i < 32; i++) {
            unsigned code = slm_iq3_xxs_grid[b->qs[8 * part + (i >> 2)]];
            float v = scale * (float)slm_iq3_level[code >> 3 * (i & 3) & 7];
            *y++ = slm_iq_signs(s >> 7 * (i >> 3) & 127) >> (i & 7) & 1 ? -v : v;
        }
    }
}

static void iq3_s_block(float *y, const block_iq3_s *b)
{
    float d = slm_f16_to_f32(b->d);
    for (int part = 0; part < 8; part++) {
        float scale = d * (float)(1 + 2 * (b->scales[part >> 1] >> (part & 1) * 4 & 15));
        for (int i = 0; i < 32; i++) {
            int g = i >> 2, high = b->qh[part] >> g & 1;
            unsigned code = slm_iq3_s_grid[b->qs[8 * part + g] | high << 8];
            float v = scale * (float)((code >> 3 * (i & 3) & 7) * 2 + 1);
            *y++ = b->signs[4 * part + (i >> 3)] >> (i & 7) & 1 ? -v : v;
        }
    }
}

/* y[0..8) = scale * (value + delta), values -1, 0, 1 stored as 0, 1, 2 */
static void put1(float *y, float scale, unsigned code, float delta)
{
    for (int j = 0; j < 8; j++)
        y[j] = scale * ((float)((int)(code >> 2 * j & 3) - 1) + delta);
}

static void iq1_s_block(float *y, const block_iq1_s *b)
{
    float d = slm_f16_to_f32(b->d);
    for (int l = 0; l < 32; l++) {
        unsigned h = b->qh[l >> 2];
        float scale = d * (float)(2 * (h >> 12 & 7) + 1), delta = h & 0x8000 ? -0.125f : 0.125f;
        put1(y + l * 8, scale, slm_iq1_s_grid[b->qs[l] | (h >> 3 * (l & 3) & 7) << 8], delta);
    }
}

static void iq1_m_block(float *y, const block_iq1_m *b)
{
    uint16_t sc[4], dbits = 0;
    memcpy(sc, b->scales, sizeof sc);
    for (int i = 0; i < 4; i++)
        dbits = (uint16_t)(dbits | sc[i] >> 12 << 4 * i);
    float d = slm_f16_to_f32(dbits);
    for (int l = 0; l < 32; l++) {
        int part = l >> 2, s = sc[part >> 1] >> ((part & 1) * 6 + (l >> 1 & 1) * 3) & 7;
        int h = b->qh[l >> 1] >> (l & 1) * 4;
        put1(y + l * 8, d * (float)(2 * s + 1), slm_iq1_s_grid[b->qs[l] | (h & 7) << 8],
             h & 8 ? -0.125f : 0.125f);
    }
}

static void iq4_nl_block(float *y, const block_iq4_nl *b)
{
    float d = slm_f16_to_f32(b->d);
    for (int j = 0; j < 16; j++) {
        y[j] = d * (float)nl_values[b->qs[j] & 15];
        y[j + 16] = d * (float)nl_values[b->qs[j] >> 4];
    }
}

static void iq4_xs_block(float *y, const block_iq4_xs *b)
{
    float d = slm_f16_to_f32(b->d);
    for (int part = 0; part < 8; part++) {
        int low = b->scales_l[part >> 1] >> (part & 1) * 4 & 15;
        int s = low | (b->scales_h >> 2 * part & 3) << 4;
        float dl = d * (float)(s - 32);
        const uint8_t *q = b->qs + 16 * part;
        for (int j = 0; j < 16; j++) {
            y[part * 32 + j] = dl * (float)nl_values[q[j] & 15];
            y[part * 32 + j + 16] = dl * (float)nl_values[q[j] >> 4];
        }
    }
}

SLM_ROW_TO_F32(iq2_xxs, 256)
SLM_ROW_TO_F32(iq2_xs, 256)
SLM_ROW_TO_F32(iq2_s, 256)
SLM_ROW_TO_F32(iq3_xxs, 256)
SLM_ROW_TO_F32(iq3_s, 256)
SLM_ROW_TO_F32(iq1_s, 256)
SLM_ROW_TO_F32(iq1_m, 256)
SLM_ROW_TO_F32(iq4_nl, 32)
SLM_ROW_TO_F32(iq4_xs, 256)

void slm_quant_fill_iq(struct slm_kern *k)
{
    k->to_f32[SLM_IQ2_XXS] = iq2_xxs_to_f32;
    k->to_f32[SLM_IQ2_XS] = iq2_xs_to_f32;
    k->to_f32[SLM_IQ2_S] = iq2_s_to_f32;
    k->to_f32[SLM_IQ3_XXS] = iq3_xxs_to_f32;
    k->to_f32[SLM_IQ3_S] = iq3_s_to_f32;
    k->to_f32[SLM_IQ1_S] = iq1_s_to_f32;
    k->to_f32[SLM_IQ1_M] = iq1_m_to_f32;
    k->to_f32[SLM_IQ4_NL] = iq4_nl_to_f32;
    k->to_f32[SLM_IQ4_XS] = iq4_xs_to_f32;
}
