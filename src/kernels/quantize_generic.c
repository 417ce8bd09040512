/* float32 to blocks by search: the scale and codes of least weighted squared error, where
 * from_f32 takes the scale from the extremes. The types of one scale a block. */
#include <math.h>

#include "kernels/kern_fill.h"
#include "kernels/quant.h"

struct code { /* of one block: scale and its error */
    float d, err;
};

static float inverse(float d) { return d != 0 ? 1.0f / d : 0.0f; }

/* Rounds to a finite float16. */
static float as_f16(float d)
{
    d = d > 65504.0f ? 65504.0f : d < -65504.0f ? -65504.0f : d;
    return slm_f16_to_f32(slm_f32_to_f16(d));
}

static float nearest(float x, float lo, float hi)
{
    x = rintf(x);
    return x < lo ? lo : x > hi ? hi : x;
}

/* Weighs scale d against the best so far; returns the scale that is best for its codes. */
static float weigh(struct code *best, const float *x, const float *w, float d, const float *lim)
{
    d = as_f16(d);
    float id = inverse(d), err = 0, xq = 0, qq = 0;
    for (int j = 0; j < 32; j++) {
        float q = nearest(x[j] * id, lim[0], lim[1]), e = x[j] - q * d;
        err += w[j] * e * e;
        xq += w[j] * x[j] * q;
        qq += w[j] * q * q;
    }
    if (err < best->err) {
        best->err = err;
        best->d = d;
    }
    return qq > 0 ? xq / qq : d;
}

static float search(const float *x, const float *w, float lo, float hi, float step)
{
    float amax = 0, max = 0, lim[2] = {lo, hi}, top = -lo > hi ? lo : hi;
    for (int j = 0; j < 32; j++)
        if (fabsf(x[j]) > amax) {
            amax = fabsf(x[j]);
            max = x[j];
        }
    struct code best = {0, INFINITY};
    weigh(&best, x, w, 0, lim);
    for (int i = -9; i <= 9; i++)
        for (int s = 0; s < 2; s++) {
            float d = max / (s ? -top : top) * (1 + step * (float)i);
            for (int k = 0; k < 3; k++)
                d = weigh(&best, x, w, d, lim);
        }
    return best.d;
}

static void ones(float *w)
{
    for (int i = 0; i < 32; i++)
        w[i] = 1;
}

static void quantize_q4_0(void *out, const float *in, const float *weight, size_t n)
{
    uint8_t *p = out;
    float w[32];
    ones(w);
    for (size_t i = 0; i + 32 <= n; i += 32, p += sizeof(block_q4_0)) {
        const float *x = in + i;
        block_q4_0 b;
        float d = search(x, weight ? weight + i : w, -8, 7, 0.015f), id = inverse(d);
        b.d = slm_f32_to_f16(d);
        for (int j = 0; j < 16; j++)
            b.qs[j] = (uint8_t)((int)nearest(x[j] * id, -8, 7) + 8) |
                      (uint8_t)(((int)nearest(x[j + 16] * id, -8, 7) + 8) << 4);
        memcpy(p, &b, sizeof b);
    }
}

static void quantize_q8_0(void *out, const float *in, const float *weight, size_t n)
{
    uint8_t *p = out;
    float w[32];
    ones(w);
    for (size_t i = 0; i + 32 <= n; i += 32, p += sizeof(block_q8_0)) {
        const float *x = in + i;
        block_q8_0 b;
        float d = search(x, weight ? weight + i : w, -128, 127, 0.001f), id = inverse(d);
        b.d = slm_f32_to_f16(d);
        for (int j = 0; j < 32; j++)
            b.qs[j] = (int8_t)nearest(x[j] * id, -128, 127);
        memcpy(p, &b, sizeof b);
    }
}

void slm_kern_fill_quantize_generic(struct slm_kern *k)
{
    k->quantize[SLM_Q4_0] = quantize_q4_0;
    k->quantize[SLM_Q8_0] = quantize_q8_0;
}
