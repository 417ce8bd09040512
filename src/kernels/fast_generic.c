/* Products in integers, for the types whose values are small integers times a scale: each block
 * is unpacked to int8 once and multiplied with the int8 activations of every row. Sums inside a
 * block are exact integers and the float steps between blocks are spelt out one by one, so
 * every level that follows the same steps (mul, mul, add; no fused ones) gives the same bits as
 * this file:
 *   partner Q8_S:  acc = acc + sum * (dw * dx); with minima also  acc - m * (dx * neg)
 *   partner Q8_K:  acc = acc + dx * (d * sum(scale * sum) - dmin * sum(min * bsum))
 */
#include <string.h>

#include "kernels/fast.h"
#include "kernels/kern_fill.h"

/* One block of weights as integers. Groups of 16 carry a scale and a minimum each. */
struct ints {
    int8_t q[256];
    int16_t sc[16], mn[16];
    float d, m; /* m: the block's minimum (Q4_1, Q5_1) or dmin */
};

static void nibbles(int8_t *q, const uint8_t *qs, const int8_t *table)
{
    for (int i = 0; i < 16; i++) {
        q[i] = table[qs[i] & 15];
        q[i + 16] = table[qs[i] >> 4];
    }
}

static void un_q4_0(struct ints *u, const void *w)
{
    const block_q4_0 *b = w;
    u->d = slm_f16_to_f32(b->d);
    for (int i = 0; i < 16; i++) {
        u->q[i] = (int8_t)((b->qs[i] & 15) - 8);
        u->q[i + 16] = (int8_t)((b->qs[i] >> 4) - 8);
    }
}

static void un_q4_1(struct ints *u, const void *w)
{
    const block_q4_1 *b = w;
    u->d = slm_f16_to_f32(b->d);
    u->m = slm_f16_to_f32(b->m);
    for (int i = 0; i < 16; i++) {
        u->q[i] = (int8_t)(b->qs[i] & 15);
        u->q[i + 16] = (int8_t)(b->qs[i] >> 4);
    }
}

static void fives(int8_t *q, const uint8_t *qs, const uint8_t *qh, int off)
{
    for (int i = 0; i < 16; i++) {
        q[i] = (int8_t)(((qs[i] & 15) | (qh[i / 8] >> i % 8 & 1) << 4) - off);
        q[i + 16] = (int8_t)((qs[i] >> 4 | (qh[2 + i / 8] >> i % 8 & 1) << 4) - off);
    }
}

static void un_q5_0(struct ints *u, const void *w)
{
    const block_q5_0 *b = w;
    u->d = slm_f16_to_f32(b->d);
    fives(u->q, b->qs, b->qh, 16);
}

static void un_q5_1(struct ints *u, const void *w)
{
    const block_q5_1 *b = w;
    u->d = slm_f16_to_f32(b->d);
    u->m = slm_f16_to_f32(b->m);
    fives(u->q, b->qs, b->qh, 0);
}

static void un_q8_0(struct ints *u, const void *w)
{
    const block_q8_0 *b = w;
    u->d = slm_f16_to_f32(b->d);
    memcpy(u->q, b->qs, 32);
}

static void un_iq4_nl(struct ints *u, const void *w)
{
    const block_iq4_nl *b = w;
    u->d = slm_f16_to_f32(b->d);
    nibbles(u->q, b->qs, slm_iq4_values);
}

static void un_mxfp4(struct ints *u, const void *w)
{
    const block_mxfp4 *b = w;
    u->d = slm_e8m0_half(b->e);
    nibbles(u->q, b->qs, slm_fp4_values);
}

static void un_q2_k(struct ints *u, const void *w)
{
    const block_q2_K *b = w;
    u->d = slm_f16_to_f32(b->d);
    u->m = slm_f16_to_f32(b->dmin);
    for (int e = 0; e < 256; e++)
        u->q[e] = (int8_t)(b->qs[e / 128 * 32 + e % 32] >> e / 32 % 4 * 2 & 3);
    for (int g = 0; g < 16; g++) {
        u->sc[g] = b->scales[g] & 15;
        u->mn[g] = b->scales[g] >> 4;
    }
}

static void un_q3_k(struct ints *u, const void *w)
{
    const block_q3_K *b = w;
    u->d = slm_f16_to_f32(b->d);
    for (int e = 0; e < 256; e++) {
        int low = b->qs[e / 128 * 32 + e % 32] >> e / 32 % 4 * 2 & 3;
        u->q[e] = (int8_t)(low - ((b->hmask[e % 32] >> e / 32 & 1) ? 0 : 4));
    }
    slm_q3k_scales(b->scales, u->sc);
}

static void un_q4_k(struct ints *u, const void *w)
{
    const block_q4_K *b = w;
    u->d = slm_f16_to_f32(b->d);
    u->m = slm_f16_to_f32(b->dmin);
    for (int e = 0; e < 256; e++)
        u->q[e] = (int8_t)(b->qs[e / 64 * 32 + e % 32] >> e / 32 % 2 * 4 & 15);
    slm_q4k_scales(b->scales, u->sc, u->mn);
}

static void un_q5_k(struct ints *u, const void *w)
{
    const block_q5_K *b = w;
    u->d = slm_f16_to_f32(b->d);
    u->m = slm_f16_to_f32(b->dmin);
    for (int e = 0; e < 256; e++) {
        int low = b->qs[e / 64 * 32 + e % 32] >> e / 32 % 2 * 4 & 15;
        u->q[e] = (int8_t)(low | (b->qh[e % 32] >> e / 32 & 1) << 4);
    }
    slm_q4k_scales(b->scales, u->sc, u->mn);
}

static void un_q6_k(struct ints *u, const void *w)
{
    const block_q6_K *b = w;
    u->d = slm_f16_to_f32(b->d);
    for (int e = 0; e < 256; e++) {
        int low = b->ql[e / 128 * 64 + e % 64] >> e / 64 % 2 * 4 & 15;
        u->q[e] =
            (int8_t)((low | (b->qh[e / 128 * 32 + e % 32] >> e / 32 % 4 * 2 & 3) << 4) - 32);
    }
    for (int g = 0; g < 16; g++)
        u->sc[g] = b->scales[g];
}

static void un_iq4_xs(struct ints *u, const void *w)
{
    const block_iq4_xs *b = w;
    u->d = slm_f16_to_f32(b->d);
    for (int g = 0; g < 8; g++) {
        nibbles(u->q + 32 * g, b->qs + 16 * g, slm_iq4_values);
        int low = b->scales_l[g / 2] >> g % 2 * 4 & 15, high = b->scales_h >> 2 * g & 3;
        u->sc[2 * g] = u->sc[2 * g + 1] = (int16_t)((low | high << 4) - 32);
    }
}

#include "kernels/fast_ints_iq.h"

static int32_t sum_of(const int8_t *a, const int8_t *b, int n)
{
    int32_t s = 0;
    for (int i = 0; i < n; i++)
        s += a[i] * b[i];
    return s;
}

static float step_q8_s(float acc, const struct ints *u, const void *x)
{
    const block_q8_s *b = x;
    return acc + (float)sum_of(u->q, b->qs, 32) * (u->d * b->d);
}

static float step_mins(float acc, const struct ints *u, const void *x)
{
    const block_q8_s *b = x;
    acc = acc + (float)sum_of(u->q, b->qs, 32) * (u->d * b->d);
    return acc - u->m * (b->d * (float)b->neg);
}

static float step_q8_k(float acc, const struct ints *u, const void *x)
{
    const block_q8_K *b = x;
    int32_t s = 0, m = 0;
    for (int g = 0; g < 16; g++) {
        s += u->sc[g] * sum_of(u->q + 16 * g, b->qs + 16 * g, 16);
        m += u->mn[g] * b->bsums[g];
    }
    return acc + b->d * (u->d * (float)s - u->m * (float)m);
}

/* A type: how its block unpacks, its partner's step, and both blocks' bytes. */
#define FAST(id, un, step, wb, xb, len)                                                        \
    static void fast_##id(float *out, size_t ldo, const void *x, size_t xs, int nx,            \
                          const void *w, size_t ws, int nw, size_t k)                          \
    {                                                                                          \
        for (int i = 0; i < nx; i++)                                                           \
            for (int j = 0; j < nw; j++)                                                       \
                out[(size_t)i * ldo + (size_t)j] = 0;                                          \
        struct ints u;                                                                         \
        memset(&u, 0, sizeof u);                                                               \
        for (int j = 0; j < nw; j++)                                                           \
            for (size_t b = 0; b < k / (len); b++) {                                           \
                un(&u, (const uint8_t *)w + (size_t)j * ws + b * sizeof(wb));                  \
                const uint8_t *xr = (const uint8_t *)x + b * sizeof(xb);                       \
                for (int i = 0; i < nx; i++) {                                                 \
                    float *o = &out[(size_t)i * ldo + (size_t)j];                              \
                    *o = step(*o, &u, xr + (size_t)i * xs);                                    \
                }                                                                              \
            }                                                                                  \
    }
FAST(Q4_0, un_q4_0, step_q8_s, block_q4_0, block_q8_s, 32)
FAST(Q4_1, un_q4_1, step_mins, block_q4_1, block_q8_s, 32)
FAST(Q5_0, un_q5_0, step_q8_s, block_q5_0, block_q8_s, 32)
FAST(Q5_1, un_q5_1, step_mins, block_q5_1, block_q8_s, 32)
FAST(Q8_0, un_q8_0, step_q8_s, block_q8_0, block_q8_s, 32)
FAST(IQ4_NL, un_iq4_nl, step_q8_s, block_iq4_nl, block_q8_s, 32)
FAST(MXFP4, un_mxfp4, step_q8_s, block_mxfp4, block_q8_s, 32)
FAST(Q2_K, un_q2_k, step_q8_k, block_q2_K, block_q8_K, 256)
FAST(Q3_K, un_q3_k, step_q8_k, block_q3_K, block_q8_K, 256)
FAST(Q4_K, un_q4_k, step_q8_k, block_q4_K, block_q8_K, 256)
FAST(Q5_K, un_q5_k, step_q8_k, block_q5_K, block_q8_K, 256)
FAST(Q6_K, un_q6_k, step_q8_k, block_q6_K, block_q8_K, 256)
FAST(IQ4_XS, un_iq4_xs, step_q8_k, block_iq4_xs, block_q8_K, 256)
#define X(id, un, block) FAST(id, un, step_q8_k, block, block_q8_K, 256)
FAST_IQ_TYPES(X)
#undef X

void slm_kern_fill_fast_generic(struct slm_kern *k)
{
    k->mul_fast[SLM_Q4_0] = fast_Q4_0;
    k->mul_fast[SLM_Q4_1] = fast_Q4_1;
    k->mul_fast[SLM_Q5_0] = fast_Q5_0;
    k->mul_fast[SLM_Q5_1] = fast_Q5_1;
    k->mul_fast[SLM_Q8_0] = fast_Q8_0;
    k->mul_fast[SLM_IQ4_NL] = fast_IQ4_NL;
    k->mul_fast[SLM_MXFP4] = fast_MXFP4;
    k->mul_fast[SLM_Q2_K] = fast_Q2_K;
    k->mul_fast[SLM_Q3_K] = fast_Q3_K;
    k->mul_fast[SLM_Q4_K] = fast_Q4_K;
    k->mul_fast[SLM_Q5_K] = fast_Q5_K;
    k->mul_fast[SLM_Q6_K] = fast_Q6_K;
    k->mul_fast[SLM_IQ4_XS] = fast_IQ4_XS;
#define X(id, ...) k->mul_fast[SLM_##id] = fast_##id;
    FAST_IQ_TYPES(X)
#undef X
}
