/* Private to the format room: sizes, orders and names that both formats share (tensor.c). */
#ifndef SLM_FORMAT_INDEX_H
#define SLM_FORMAT_INDEX_H

#include "format/tensor.h"

/* Most entries of any list: what an order's uint32_t can count. */
#define SLM_ENTRIES_MAX 0x7fffffffu

/* Elements and bytes of a shape, products checked; false when they overflow or a row is not
 * made of whole blocks. */
bool slm_tensor_size(enum slm_dtype type, const uint64_t *dim, int n_dims, uint64_t *count,
                     uint64_t *bytes);

/* Fills order[0..n) with 0..n-1 sorted by less(ctx, a, b). */
typedef bool slm_less_fn(const void *ctx, uint32_t a, uint32_t b);
void slm_order_sort(uint32_t *order, size_t n, slm_less_fn *less, const void *ctx);

/* An index over n structs whose first member is `const char *name`. */
struct slm_names {
    const void *items;
    size_t stride, n;
    uint32_t *order; /* owned: slm_free */
};
/* Sorts; *twice is a name that occurs more than once, or NULL. */
int slm_names_build(struct slm_names *x, slm_runtime *rt, const char **twice, slm_err *err);
const void *slm_names_find(const struct slm_names *x, const char *name);

#endif
