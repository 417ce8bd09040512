/* Attention over a cache in plain C: blocks of keys (their layout stands at SLM_KEYS), products
 * with them, sums of value rows, and exponents. A key is taken apart channel by channel, which
 * is slow and plain. */
#include <math.h>

#include "kernels/kern_fill.h"
#include "kernels/quant.h"

#define PART 32 /* channels of a quantised block */

/* ---- blocks of keys ---- */

/* Plain elements of `size` bytes: one to each channel's place. */
static void put_plain(uint8_t *block, int at, const uint8_t *row, size_t width, size_t size)
{
    for (size_t c = 0; c < width; c++)
        memcpy(block + size * (c * SLM_KEYS + (size_t)at), row + size * c, size);
}

static void put_f32(void *block, int at, const void *row, size_t width)
{
    put_plain(block, at, row, width, 4);
}

static void put_f16(void *block, int at, const void *row, size_t width)
{
    put_plain(block, at, row, width, 2);
}

static void put_bf16(void *block, int at, const void *row, size_t width)
{
    put_plain(block, at, row, width, 2);
}

static void put_q8_0(void *block, int at, const void *row, size_t width)
{
    uint8_t *out = block;
    const uint8_t *in = row;
    for (size_t c = 0; c + PART <= width; c += PART, out += SLM_KEYS * sizeof(block_q8_0)) {
        block_q8_0 b;
        memcpy(&b, in + c / PART * sizeof b, sizeof b);
        memcpy(out + 2 * at, &b.d, 2);
        for (int g = 0; g < PART / 4; g++)
            memcpy(out + 2 * SLM_KEYS + g * 4 * SLM_KEYS + 4 * at, b.qs + 4 * g, 4);
    }
}

static void put_q4_0(void *block, int at, const void *row, size_t width)
{
    uint8_t *out = block;
    const uint8_t *in = row;
    for (size_t c = 0; c + PART <= width; c += PART, out += SLM_KEYS * sizeof(block_q4_0)) {
        block_q4_0 b;
        uint8_t q[PART];
        memcpy(&b, in + c / PART * sizeof b, sizeof b);
        memcpy(out + 2 * at, &b.d, 2);
        for (int i = 0; i < PART / 2; i++) {
            q[i] = b.qs[i] & 15;
            q[i + PART / 2] = b.qs[i] >> 4;
        }
        for (int i = 0; i < PART / 2; i++) { /* byte i % 4 of group i / 4 */
            const uint8_t *from = q + i / 4 * 8 + i % 4;
            out[2 * SLM_KEYS + i / 4 * 4 * SLM_KEYS + 4 * at + i % 4] =
                (uint8_t)(from[0] | from[4] << 4);
        }
    }
}

/* Channel c of a block's positions. */
typedef void channel_fn(float *out, const uint8_t *block, size_t c);

static void channel_f32(float *out, const uint8_t *block, size_t c)
{
    memcpy(out, block + 4 * c * SLM_KEYS, SLM_KEYS * sizeof *out);
}

static void channel_f16(float *out, const uint8_t *block, size_t c)
{
    for (size_t j = 0; j < SLM_KEYS; j++) {
        uint16_t h;
        memcpy(&h, block + 2 * (c * SLM_KEYS + j), 2);
        out[j] = slm_f16_to_f32(h);
    }
}

static void channel_bf16(float *out, const uint8_t *block, size_t c)
{
    for (size_t j = 0; j < SLM_KEYS; j++) {
        uint16_t h;
        memcpy(&h, block + 2 * (c * SLM_KEYS + j), 2);
        out[j] = slm_bf16_to_f32(h);
    }
}

static float scale_at(const uint8_t *part, size_t j)
{
    uint16_t h;
    memcpy(&h, part + 2 * j, 2);
    return slm_f16_to_f32(h);
}

static void channel_q8_0(float *out, const uint8_t *block, size_t c)
{
    const uint8_t *part = block + c / PART * SLM_KEYS * sizeof(block_q8_0);
    const uint8_t *q = part + 2 * SLM_KEYS + c % PART / 4 * 4 * SLM_KEYS + c % 4;
    for (size_t j = 0; j < SLM_KEYS; j++)
        out[j] = (float)(int8_t)q[4 * j] * scale_at(part, j);
}

static void channel_q4_0(float *out, const uint8_t *block, size_t c)
{
    const uint8_t *part = block + c / PART * SLM_KEYS * sizeof(block_q4_0);
    const uint8_t *q = part + 2 * SLM_KEYS + c % PART / 8 * 4 * SLM_KEYS + c % 4;
    for (size_t j = 0; j < SLM_KEYS; j++)
        out[j] = (float)((q[4 * j] >> (c % 8 / 4 * 4) & 15) - 8) * scale_at(part, j);
}

static void get_blocks(float *out, const uint8_t *block, size_t n, size_t width,
                       enum slm_dtype t, channel_fn *channel)
{
    for (size_t b = 0; b < n; b++, block += SLM_KEYS * slm_row_bytes(t, width))
        for (size_t c = 0; c < width; c++, out += SLM_KEYS)
            channel(out, block, c);
}

/* ---- products ---- */

static void score_blocks(const struct slm_scores *m, enum slm_dtype t, channel_fn *channel)
{
    const uint8_t *block = m->k;
    for (int j = 0; j < m->n; j += SLM_KEYS, block += SLM_KEYS * slm_row_bytes(t, m->width)) {
        for (int i = 0; i < m->ny; i++)
            memset(m->y + (size_t)i * m->ldy + j, 0, SLM_KEYS * sizeof *m->y);
        for (size_t c = 0; c < m->width; c++) {
            float k[SLM_KEYS];
            channel(k, block, c);
            for (int i = 0; i < m->ny; i++) {
                float q = m->q[(size_t)i * m->ldq + c], *y = m->y + (size_t)i * m->ldy + j;
                for (int l = 0; l < SLM_KEYS; l++)
                    y[l] += q * k[l];
            }
        }
    }
}

static void add_values(const struct slm_values *m, enum slm_dtype t)
{
    slm_to_f32_fn *to_f32 = slm_to_f32_generic(t);
    for (int j = 0; j < m->n; j++) {
        const uint8_t *row = (const uint8_t *)m->v + (size_t)j * m->stride;
        for (size_t e = 0; e < m->width; e += PART) {
            float v[PART];
            size_t n = m->width - e < PART ? m->width - e : PART;
            to_f32(v, row + slm_row_bytes(t, e), n);
            for (int i = 0; i < m->ny; i++) {
                float p = m->p[(size_t)i * m->ldp + (size_t)j],
                      *y = m->y + (size_t)i * m->ldy + e;
                for (size_t l = 0; l < n; l++)
                    y[l] += p * v[l];
            }
        }
    }
}

static float exp_sum(float *x, float top, size_t n)
{
    float s = 0;
    for (size_t i = 0; i < n; i++) {
        x[i] = expf(x[i] - top);
        s += x[i];
    }
    return s;
}

#define CACHE_TYPE(ID, id)                                                                     \
    static void get_##id(float *out, const void *block, size_t n, size_t width)                \
    {                                                                                          \
        get_blocks(out, block, n, width, SLM_##ID, channel_##id);                              \
    }                                                                                          \
    static void scores_##id(const struct slm_scores *m)                                        \
    {                                                                                          \
        score_blocks(m, SLM_##ID, channel_##id);                                               \
    }                                                                                          \
    static void values_##id(const struct slm_values *m) { add_values(m, SLM_##ID); }

CACHE_TYPE(F32, f32)
CACHE_TYPE(F16, f16)
CACHE_TYPE(BF16, bf16)
CACHE_TYPE(Q8_0, q8_0)
CACHE_TYPE(Q4_0, q4_0)
#undef CACHE_TYPE

void slm_kern_fill_attn_generic(struct slm_kern *k)
{
#define CACHE_TYPE(ID, id)                                                                     \
    k->key_put[SLM_##ID] = put_##id;                                                           \
    k->key_get[SLM_##ID] = get_##id;                                                           \
    k->scores[SLM_##ID] = scores_##id;                                                         \
    k->values[SLM_##ID] = values_##id
    CACHE_TYPE(F32, f32);
    CACHE_TYPE(F16, f16);
    CACHE_TYPE(BF16, bf16);
    CACHE_TYPE(Q8_0, q8_0);
    CACHE_TYPE(Q4_0, q4_0);
#undef CACHE_TYPE
    k->exp_sum = exp_sum;
}
