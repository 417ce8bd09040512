/* Heap: tagged, counted, aligned to 64 bytes, able to fail the Nth time. Any thread. */
#ifndef SLM_BASE_ALLOC_H
#define SLM_BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include "base/state.h"

/* n bytes, not cleared; NULL when there is no memory. n may be 0 (a block that may be freed).
 */
void *slm_alloc(slm_runtime *rt, enum slm_mem tag, size_t n);
/* The same cleared; and count * size with the product checked. */
void *slm_zalloc(slm_runtime *rt, enum slm_mem tag, size_t n);
void *slm_alloc_n(slm_runtime *rt, enum slm_mem tag, size_t count, size_t size);
void *slm_zalloc_n(slm_runtime *rt, enum slm_mem tag, size_t count, size_t size);
/* Grows or shrinks; p may be NULL. On failure p stays as it was and NULL comes back. */
void *slm_realloc(slm_runtime *rt, enum slm_mem tag, void *p, size_t n);
void slm_free(slm_runtime *rt, void *p);

/* Room for one more element in a list: doubles *cap when n == *cap. 0 or SLM_E_NOMEM.
 *   if (slm_grow(rt, SLM_MEM_TEXT, (void **)&list, n, &cap, sizeof *list)) ... */
int slm_grow(slm_runtime *rt, enum slm_mem tag, void **list, size_t n, size_t *cap,
             size_t size);

/* *out = a * b (a + b); false when it does not fit. */
static inline bool slm_mul_ok(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool slm_add_ok(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

/* Pages straight from the system for big read-write blocks (caches, activations): zeroed, huge
 * pages where the system gives them, counted under tag. NULL when there is no memory. */
void *slm_pages_alloc(slm_runtime *rt, enum slm_mem tag, size_t n);
void slm_pages_free(slm_runtime *rt, enum slm_mem tag, void *p, size_t n);

/* SLM_E_NOMEM with a message that says what for. */
int slm_fail_mem(slm_err *err, const char *what, size_t n);

#endif
