/* NF4 as bitsandbytes stores it: a whole matrix flattened, its blocks running across rows, the
 * codes and the blocks' largest magnitudes in arrays of their own, the magnitudes on request
 * rounded again to 8 bits ("double quantisation"; Dettmers et al., arXiv 2305.14314). */
#ifndef SLM_MODEL_NF4_H
#define SLM_MODEL_NF4_H

#include "kernels/kernels.h"

enum { SLM_NF4_BLOCK = 64, SLM_NF4_NEST = 256 };

/* Blocks of n values (the last may be short), and bytes of their codes (two a byte). */
static inline size_t slm_nf4_blocks(size_t n, size_t block) { return (n + block - 1) / block; }
static inline size_t slm_nf4_bytes(size_t n) { return (n + 1) / 2; }

/* Rounds n values to packed (slm_nf4_bytes(n)) and absmax (a block each); x must begin at the
 * beginning of a block and, but for the matrix' end, end at one's end. */
void slm_nf4_quantize(const struct slm_kern *kern, uint8_t *packed, float *absmax,
                      const float *x, size_t n);
/* Values [first, first + n) of a matrix as float32. */
struct slm_nf4 {
    const uint8_t *packed;
    const float *absmax; /* one for each `block` values */
    size_t block;
};
void slm_nf4_dequantize(float *out, const struct slm_nf4 *q, size_t first, size_t n);
/* The same as rows of SLM_NF4; first and n are multiples of 64, and so is the block. */
void slm_nf4_rows(void *out, const struct slm_nf4 *q, size_t first, size_t n);

/* Magnitudes in 8 bits: code (n), nested (one for each SLM_NF4_NEST); returns the offset, their
 * mean. absmax is overwritten by its distance from that. */
float slm_nf4_nest(uint8_t *code, float *nested, float *absmax, size_t n,
                   const struct slm_dynamic8 *d);
/* Back: absmax = map[code] * nested + offset, each step rounded. */
struct slm_nf4_nested {
    const uint8_t *code, *nested, *map; /* nested, map: float32 at any address */
    size_t block;
    float offset;
};
void slm_nf4_unnest(float *absmax, const struct slm_nf4_nested *q, size_t n);

#endif
