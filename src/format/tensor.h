/* A tensor as both file formats hand it out: a name, a shape, a type, and bytes that lie in a
 * mapped file. Shapes are outermost first (rows, columns) whatever the file's own order, so
 * that whoever binds weights need not know which format they came from. */
#ifndef SLM_FORMAT_TENSOR_H
#define SLM_FORMAT_TENSOR_H

#include <stdbool.h>
#include "base/base.h"

#define SLM_TENSOR_DIMS 8

struct slm_tensor_ref {
    const char *name;              /* no NUL inside; lives as long as the file */
    const uint8_t *data; /* mapped, bytes long; any alignment: see slm_tensor_aligned */
    uint64_t bytes, count;         /* count: elements, the product of dim */
    uint64_t dim[SLM_TENSOR_DIMS]; /* outermost first; dim[n_dims - 1] is the row's length */
    int n_dims;                    /* 0: one element */
    enum slm_dtype type;
    int part;                      /* which file of a split or sharded set, from 0 */
};

/* Do the bytes lie so that kernels may read them in place? Writers of today align; an old or
 * hand-made file need not, and then whoever computes with the tensor copies it first. (to_f32
 * reads any.) */
bool slm_tensor_aligned(const struct slm_tensor_ref *t);

/* "[4096, 32000]" for messages; s of at least 8 * 21 + 3 bytes. */
#define SLM_SHAPE_TEXT 176
const char *slm_shape_text(char s[SLM_SHAPE_TEXT], const uint64_t *dim, int n_dims);

#endif
