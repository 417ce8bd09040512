/* Facts of every element type: name, GGUF id, block length, bytes, and the type its rows are
 * multiplied with. Sizes come from the structs, which are file formats. */
#ifndef SLM_BASE_DTYPE_H
#define SLM_BASE_DTYPE_H

#include <stddef.h>
#include <stdint.h>

#include "base/blocks.h"

enum slm_dtype {
#define DTYPE(id, gguf, name, len, type, partner) SLM_##id,
#include "base/dtypes.inc"
#undef DTYPE
    SLM_DTYPE_COUNT
};

struct slm_dtype_info {
    const char *name;       /* as people write it: "q4_K" */
    int gguf;               /* ggml's id, -1: not a GGUF type */
    int block;              /* elements a block */
    int bytes;              /* bytes a block */
    enum slm_dtype partner; /* activations' type on the fast path */
};

extern const struct slm_dtype_info slm_dtypes[SLM_DTYPE_COUNT];

/* What NF4's codes stand for, times a block's largest magnitude: quantiles of the normal
 * distribution with an exact zero (Dettmers et al., arXiv 2305.14314). */
extern const float slm_nf4_values[16];

/* By GGUF id, by name (any case); -1 when there is none. */
int slm_dtype_of_gguf(uint32_t id);
int slm_dtype_of_name(const char *name);

/* Bytes of a row of n elements; n must be a multiple of the block. */
static inline size_t slm_row_bytes(enum slm_dtype t, size_t n)
{
    return n / (size_t)slm_dtypes[t].block * (size_t)slm_dtypes[t].bytes;
}

float slm_f16_to_f32(uint16_t h);
uint16_t slm_f32_to_f16(float f); /* nearest even, overflow to infinity, NaN quiet */
uint16_t slm_f32_to_bf16(float f);
static inline float slm_bf16_to_f32(uint16_t h)
{
    union {
        uint32_t u;
        float f;
    } v = {(uint32_t)h << 16};
    return v.f;
}

#endif
