/* The table of element types, made from dtypes.inc, and the two 16-bit floats. The conversions
 * are pure integer work plus one exact multiplication, so they give the same bits on every
 * machine, with or without instructions for them. */
#include "base/dtype.h"

#include <strings.h>

const struct slm_dtype_info slm_dtypes[SLM_DTYPE_COUNT] = {
#define DTYPE(id, gguf, name, len, type, partner)                                              \
    {name, gguf, len, (int)sizeof(type), SLM_##partner},
#include "base/dtypes.inc"
#undef DTYPE
};

const float slm_nf4_values[16] = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};

int slm_dtype_of_gguf(uint32_t id)
{
    for (int i = 0; i < SLM_DTYPE_COUNT; i++)
        if (slm_dtypes[i].gguf >= 0 && (uint32_t)slm_dtypes[i].gguf == id)
            return i;
    return -1;
}

int slm_dtype_of_name(const char *name)
{
    for (int i = 0; i < SLM_DTYPE_COUNT; i++)
        if (!strcasecmp(slm_dtypes[i].name, name))
            return i;
    return -1;
}

union bits {
    uint32_t u;
    float f;
};

float slm_f16_to_f32(uint16_t h)
{
    /* The magnitude's bits moved into place make a float whose exponent is 112 too small; a
     * multiplication sets that right and turns denormals into normal numbers on the way. */
    union bits v = {(uint32_t)(h & 0x7fff) << 13};
    if (v.u >= 0x0f800000)
        v.u |= 0x7f800000; /* infinity and NaN */
    else
        v.f *= 0x1p112f;
    v.u |= (uint32_t)(h & 0x8000) << 16;
    return v.f;
}

uint16_t slm_f32_to_f16(float f)
{
    union bits v = {.f = f};
    uint32_t sign = v.u >> 16 & 0x8000;
    v.u &= 0x7fffffff;
    if (v.u > 0x7f800000)
        return (uint16_t)(sign | 0x7e00 | (v.u >> 13 & 0x3ff)); /* as the instruction does */
    if (v.u >= 0x477ff000) /* 65520 and up */
        return (uint16_t)(sign | 0x7c00);
    if (v.u < 0x38800000) { /* a denormal: adding 0.5 rounds at its last bit */
        v.f += 0.5f;
        return (uint16_t)(sign | (v.u - 0x3f000000));
    }
    v.u += 0xfff + (v.u >> 13 & 1);
    return (uint16_t)(sign | (v.u - 0x38000000) >> 13);
}

uint16_t slm_f32_to_bf16(float f)
{
    union bits v = {.f = f};
    if ((v.u & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(v.u >> 16 | 0x40);
    return (uint16_t)((v.u + 0x7fff + (v.u >> 16 & 1)) >> 16);
}
