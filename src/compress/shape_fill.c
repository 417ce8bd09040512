/* Random weights without quantising: any bits are valid blocks of every type but for the
 * scales, so random bytes are laid down and the scale fields set. Which scale gives weights of
 * the wanted spread is found by decoding a few such blocks. A gigabyte takes a fraction of a
 * second. */
#include <math.h>
#include <string.h>

#include "compress/shape.h"
#include "kernels/kernels.h"

enum how { HALF, EXPONENT, FP8, SPLIT };

/* Where a type's scale stands; second: a float16 behind it that is `ratio` times the scale, and
 * moves the middle of the values to 0. */
static const struct field {
    enum slm_dtype type;
    enum how how;
    uint8_t at, second;
    float ratio;
} fields[] = {
    {SLM_Q4_0, HALF, offsetof(block_q4_0, d), 0, 0},
    {SLM_Q4_1, HALF, offsetof(block_q4_1, d), offsetof(block_q4_1, m), -7.5f},
    {SLM_Q5_0, HALF, offsetof(block_q5_0, d), 0, 0},
    {SLM_Q5_1, HALF, offsetof(block_q5_1, d), offsetof(block_q5_1, m), -15.5f},
    {SLM_Q8_0, HALF, offsetof(block_q8_0, d), 0, 0},
    {SLM_Q2_K, HALF, offsetof(block_q2_K, d), offsetof(block_q2_K, dmin), 1.5f},
    {SLM_Q3_K, HALF, offsetof(block_q3_K, d), 0, 0},
    {SLM_Q4_K, HALF, offsetof(block_q4_K, d), offsetof(block_q4_K, dmin), 7.5f},
    {SLM_Q5_K, HALF, offsetof(block_q5_K, d), offsetof(block_q5_K, dmin), 15.5f},
    {SLM_Q6_K, HALF, offsetof(block_q6_K, d), 0, 0},
    {SLM_IQ1_S, HALF, offsetof(block_iq1_s, d), 0, 0},
    {SLM_IQ1_M, SPLIT, offsetof(block_iq1_m, scales), 0, 0},
    {SLM_IQ2_XXS, HALF, offsetof(block_iq2_xxs, d), 0, 0},
    {SLM_IQ2_XS, HALF, offsetof(block_iq2_xs, d), 0, 0},
    {SLM_IQ2_S, HALF, offsetof(block_iq2_s, d), 0, 0},
    {SLM_IQ3_XXS, HALF, offsetof(block_iq3_xxs, d), 0, 0},
    {SLM_IQ3_S, HALF, offsetof(block_iq3_s, d), 0, 0},
    {SLM_IQ4_NL, HALF, offsetof(block_iq4_nl, d), 0, 0},
    {SLM_IQ4_XS, HALF, offsetof(block_iq4_xs, d), 0, 0},
    {SLM_TQ1_0, HALF, offsetof(block_tq1_0, d), 0, 0},
    {SLM_TQ2_0, HALF, offsetof(block_tq2_0, d), 0, 0},
    {SLM_MXFP4, EXPONENT, offsetof(block_mxfp4, e), 0, 0},
    {SLM_NVFP4, FP8, offsetof(block_nvfp4, d), 0, 0},
    {SLM_Q1_0, HALF, offsetof(block_q1_0, d), 0, 0},
    {SLM_Q2_0, HALF, offsetof(block_q2_0, d), 0, 0},
};

static const struct field *field_of(enum slm_dtype type)
{
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (fields[i].type == type)
            return &fields[i];
    return NULL;
}

/* The scale x as the type stores it, 1 being what measuring starts from. */
static void store(uint8_t out[4], const struct field *s, float x)
{
    uint16_t h[2] = {slm_f32_to_f16(x), slm_f32_to_f16(x * s->ratio)};
    float steps = s->how == EXPONENT ? 127 + roundf(log2f(x)) : 56 + roundf(8 * log2f(x));
    if (s->how == EXPONENT || s->how == FP8)
        memset(out, (int)fminf(fmaxf(steps, 1), s->how == FP8 ? 126 : 254), 4);
    else
        memcpy(out, h, sizeof h);
}

static void put(uint8_t *block, const struct field *s, const uint8_t v[4])
{
    uint8_t *at = block + s->at;
    switch (s->how) {
    case HALF:
        memcpy(at, v, 2);
        if (s->second)
            memcpy(block + s->second, v + 2, 2);
        break;
    case EXPONENT: *at = v[0]; break;
    case FP8: memcpy(at, v, 4); break;
    case SPLIT: /* four bits on top of each of four words */
        for (int i = 0; i < 4; i++) {
            uint8_t *top = at + 2 * i + 1;
            *top = (uint8_t)((*top & 15) | (v[i / 2] >> i % 2 * 4 & 15) << 4);
        }
        break;
    }
}

static void random_bytes(struct slm_rng *r, uint8_t *out, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t x = slm_rng_u64(r);
        memcpy(out + i, &x, 8);
    }
    uint64_t x = slm_rng_u64(r);
    memcpy(out + i, &x, n - i);
}

/* The spread of random blocks whose scale is 1. */
static float spread_of(const struct slm_kern *kern, const struct field *s)
{
    enum { BLOCKS = 16 };
    uint8_t block[BLOCKS][256], one[4];
    float x[256];
    double sum = 0;
    struct slm_rng r;
    size_t n = (size_t)slm_dtypes[s->type].block;
    slm_rng_init(&r, 1);
    store(one, s, 1);
    for (int i = 0; i < BLOCKS; i++) {
        random_bytes(&r, block[i], (size_t)slm_dtypes[s->type].bytes);
        put(block[i], s, one);
        kern->to_f32[s->type](x, block[i], n);
        for (size_t j = 0; j < n; j++)
            sum += (double)x[j] * (double)x[j];
    }
    return (float)sqrt(sum / (double)(BLOCKS * n));
}

void slm_shape_fill_init(struct slm_shape_fill *f, const struct slm_kern *kern,
                         enum slm_dtype type, uint64_t count, float spread)
{
    enum { CHUNK_BYTES = 1 << 18 };
    const struct field *s = field_of(type);
    memset(f, 0, sizeof *f);
    f->type = type;
    f->spread = spread;
    f->blocks = (size_t)(count / (uint64_t)slm_dtypes[type].block);
    f->chunk = (size_t)(CHUNK_BYTES / slm_dtypes[type].bytes);
    f->bytes = f->chunk * (size_t)slm_dtypes[type].bytes;
    if (s)
        store(f->scale, s, spread / spread_of(kern, s));
}

size_t slm_shape_fill_chunks(const struct slm_shape_fill *f)
{
    return (f->blocks + f->chunk - 1) / f->chunk;
}

/* Evenly spread floats of any width: the sum of nothing but their variance matters here. */
static void fill_floats(const struct slm_shape_fill *f, struct slm_rng *r, uint8_t *out,
                        size_t n)
{
    float step = f->spread * 1.7320508f / 32768;
    uint64_t x = 0;
    for (size_t i = 0; i < n; i++, x >>= 16) {
        if (i % 4 == 0)
            x = slm_rng_u64(r);
        float v = f->ones ? 1 : f->zeros ? 0 : (float)(int16_t)x * step;
        uint16_t h = f->type == SLM_F16 ? slm_f32_to_f16(v) : slm_f32_to_bf16(v);
        if (f->type == SLM_F32)
            memcpy(out + 4 * i, &v, 4);
        else
            memcpy(out + 2 * i, &h, 2);
    }
}

size_t slm_shape_fill_chunk(const struct slm_shape_fill *f, uint8_t *out, size_t i)
{
    const struct field *s = field_of(f->type);
    size_t at = i * f->chunk, n = f->blocks - at < f->chunk ? f->blocks - at : f->chunk,
           size = (size_t)slm_dtypes[f->type].bytes;
    struct slm_rng r;
    slm_rng_init(&r, f->seed << 32 ^ i);
    if (!s) {
        fill_floats(f, &r, out, n);
        return n * size;
    }
    random_bytes(&r, out, n * size);
    for (size_t b = 0; b < n; b++)
        put(out + b * size, s, f->scale);
    return n * size;
}
