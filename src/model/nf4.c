/* NF4 matrices, to the bit what bitsandbytes' PyTorch form computes: in full blocks values are
 * multiplied by the inverse of the largest magnitude, in a short last one divided by it. The
 * mean is summed in float64, so it may differ from theirs in its last bit, as theirs does from
 * machine to machine. */
#include "model/nf4.h"

#include <math.h>

#define LEAST 1e-38f /* what a magnitude is raised to before it divides */

static float top_of(const float *x, size_t n)
{
    float top = 0;
    for (size_t i = 0; i < n; i++)
        top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
    return top;
}

/* The short block at a matrix' end; an odd count is filled with the code of 0. */
static void last_block(uint8_t *packed, float *absmax, const float *x, size_t n)
{
    float top = top_of(x, n);
    *absmax = top > LEAST ? top : LEAST;
    memset(packed, 0, slm_nf4_bytes(n));
    for (size_t i = 0; i < n + n % 2; i++) {
        float v = i < n ? x[i] / *absmax : 0;
        int code = 0;
        for (int c = 0; c < 15; c++)
            code += v > (slm_nf4_values[c] + slm_nf4_values[c + 1]) / 2;
        packed[i / 2] |= (uint8_t)(i % 2 ? code : code << 4);
    }
}

void slm_nf4_quantize(const struct slm_kern *kern, uint8_t *packed, float *absmax,
                      const float *x, size_t n)
{
    block_nf4 b;
    for (; n >= SLM_NF4_BLOCK; n -= SLM_NF4_BLOCK, x += SLM_NF4_BLOCK) {
        kern->from_f32[SLM_NF4](&b, x, SLM_NF4_BLOCK);
        memcpy(packed, b.qs, sizeof b.qs);
        packed += sizeof b.qs;
        *absmax++ = b.d;
    }
    if (n)
        last_block(packed, absmax, x, n);
}

void slm_nf4_dequantize(float *out, const struct slm_nf4 *q, size_t first, size_t n)
{
    for (size_t i = first; i < first + n; i++) {
        int code = i % 2 ? q->packed[i / 2] & 15 : q->packed[i / 2] >> 4;
        *out++ = slm_nf4_values[code] * q->absmax[i / q->block];
    }
}

void slm_nf4_rows(void *out, const struct slm_nf4 *q, size_t first, size_t n)
{
    uint8_t *to = out;
    for (size_t i = first; i < first + n; i += SLM_NF4_BLOCK, to += sizeof(block_nf4)) {
        memcpy(to + offsetof(block_nf4, d), &q->absmax[i / q->block], sizeof(float));
        memcpy(to + offsetof(block_nf4, qs), q->packed + i / 2, SLM_NF4_BLOCK / 2);
    }
}

float slm_nf4_nest(uint8_t *code, float *nested, float *absmax, size_t n,
                   const struct slm_dynamic8 *d)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)absmax[i];
    float offset = n ? (float)sum / (float)n : 0;
    for (size_t i = 0; i < n; i++)
        absmax[i] -= offset;
    for (size_t i = 0; i < n; i += SLM_NF4_NEST) {
        bool full = n - i >= SLM_NF4_NEST;
        size_t m = full ? SLM_NF4_NEST : n - i;
        float top = top_of(absmax + i, m), by = top > LEAST ? top : LEAST, inverse = 1.0f / by;
        for (size_t k = i; k < i + m; k++)
            code[k] = slm_dynamic8_code(d, full ? absmax[k] * inverse : absmax[k] / by);
        nested[i / SLM_NF4_NEST] = full ? top : by;
    }
    return offset;
}

static float float_at(const uint8_t *p, size_t i)
{
    float f;
    memcpy(&f, p + i * sizeof f, sizeof f);
    return f;
}

void slm_nf4_unnest(float *absmax, const struct slm_nf4_nested *q, size_t n)
{
    for (size_t i = 0; i < n; i++)
        absmax[i] =
            float_at(q->map, q->code[i]) * float_at(q->nested, i / q->block) + q->offset;
}
