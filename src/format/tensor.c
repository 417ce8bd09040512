/* What both formats need beside their own bytes: questions about a tensor, and an order of many
 * names that an attacker can't make slow. Sorting is by heap: n log n for any input, no memory,
 * no recursion; a hash table would need a secret to promise as much. */
#include "format/index.h"

#include <stdio.h>
#include <string.h>

bool slm_tensor_aligned(const struct slm_tensor_ref *t)
{
    static const struct { enum slm_dtype type; unsigned align; } wide[] = {
        {SLM_F64, 8},     {SLM_I64, 8},     {SLM_U64, 8},   {SLM_F32, 4},   {SLM_I32, 4},
        {SLM_U32, 4},     {SLM_Q8_K, 4},    {SLM_I8, 1},    {SLM_U8, 1},    {SLM_BOOL, 1},
        {SLM_F8_E4M3, 1}, {SLM_F8_E5M2, 1}, {SLM_MXFP4, 1}, {SLM_NVFP4, 1},
    };
    unsigned align = 2; /* 16-bit elements, and blocks that hold a float16 */
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        if (wide[i].type == t->type)
            align = wide[i].align;
    return (uintptr_t)t->data % align == 0;
}

const char *slm_shape_text(char s[SLM_SHAPE_TEXT], const uint64_t *dim, int n_dims)
{
    size_t at = 0;
    s[at++] = '[';
    for (int i = 0; i < n_dims && i < SLM_TENSOR_DIMS; i++)
        at += (size_t)snprintf(s + at, SLM_SHAPE_TEXT - at, "%s%llu", i ? ", " : "",
                               (unsigned long long)dim[i]);
    snprintf(s + at, SLM_SHAPE_TEXT - at, "]");
    return s;
}

bool slm_tensor_size(enum slm_dtype type, const uint64_t *dim, int n_dims, uint64_t *count,
                     uint64_t *bytes)
{
    const struct slm_dtype_info *t = &slm_dtypes[type];
    uint64_t n = 1;
    for (int i = 0; i < n_dims; i++)
        if (__builtin_mul_overflow(n, dim[i], &n))
            return false;
    uint64_t row = n_dims ? dim[n_dims - 1] : 1;
    *count = n;
    return row % (uint64_t)t->block == 0 &&
           !__builtin_mul_overflow(n / (uint64_t)t->block, (uint64_t)t->bytes, bytes);
}

/* Lets order[at] sink in the heap order[0..n). */
static void sink(uint32_t *order, size_t at, size_t n, slm_less_fn *less, const void *ctx)
{
    for (size_t kid; (kid = 2 * at + 1) < n; at = kid) {
        if (kid + 1 < n && less(ctx, order[kid], order[kid + 1]))
            kid++;
        if (!less(ctx, order[at], order[kid]))
            return;
        uint32_t t = order[at];
        order[at] = order[kid];
        order[kid] = t;
    }
}

void slm_order_sort(uint32_t *order, size_t n, slm_less_fn *less, const void *ctx)
{
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    for (size_t i = n / 2; i-- > 0;)
        sink(order, i, n, less, ctx);
    for (size_t i = n; i-- > 1;) {
        uint32_t t = order[0];
        order[0] = order[i];
        order[i] = t;
        sink(order, 0, i, less, ctx);
    }
}

static const char *name_at(const struct slm_names *x, size_t i)
{
    return *(const char *const *)(const void *)((const char *)x->items + i * x->stride);
}

static bool name_less(const void *ctx, uint32_t a, uint32_t b)
{
    return strcmp(name_at(ctx, a), name_at(ctx, b)) < 0;
}

int slm_names_build(struct slm_names *x, slm_runtime *rt, const char **twice, slm_err *err)
{
    *twice = NULL;
    slm_free(rt, x->order);
    x->order = slm_alloc_n(rt, SLM_MEM_FORMAT, x->n, sizeof *x->order);
    if (!x->order)
        return slm_fail_mem(err, "an index of names", x->n * sizeof *x->order);
    slm_order_sort(x->order, x->n, name_less, x);
    for (size_t i = 1; i < x->n && !*twice; i++)
        if (!strcmp(name_at(x, x->order[i - 1]), name_at(x, x->order[i])))
            *twice = name_at(x, x->order[i]);
    return 0;
}

const void *slm_names_find(const struct slm_names *x, const char *name)
{
    size_t lo = 0, hi = x->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = strcmp(name_at(x, x->order[mid]), name);
        if (c == 0)
            return (const char *)x->items + x->order[mid] * x->stride;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}
