/* The heap. Each block carries its size and tag in the 64 bytes before it, so that use can be
 * counted by room and every allocation of a test run be made to fail in its turn. */
#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/err.h"

struct head {
    size_t size;
    enum slm_mem tag;
};
#define HEAD 64

static void count_in(struct slm_heap *h, enum slm_mem tag, size_t n)
{
    size_t now = atomic_fetch_add(&h->bytes, n) + n;
    size_t peak = atomic_load(&h->peak);
    while (now > peak && !atomic_compare_exchange_weak(&h->peak, &peak, now)) {}
    atomic_fetch_add(&h->by[tag], n);
    atomic_fetch_add(&h->blocks, 1);
    atomic_fetch_add(&h->count, 1);
}

static void count_out(struct slm_heap *h, enum slm_mem tag, size_t n)
{
    atomic_fetch_sub(&h->bytes, n);
    atomic_fetch_sub(&h->by[tag], n);
    atomic_fetch_sub(&h->blocks, 1);
}

static bool must_fail(struct slm_heap *h)
{
    return atomic_load(&h->fail_in) > 0 && atomic_fetch_sub(&h->fail_in, 1) == 1;
}

void *slm_alloc(slm_runtime *rt, enum slm_mem tag, size_t n)
{
    size_t whole;
    void *p;
    if (must_fail(&rt->heap) || !slm_add_ok(n, HEAD, &whole) || posix_memalign(&p, 64, whole))
        return NULL;
    struct head *h = p;
    h->size = n;
    h->tag = tag;
    count_in(&rt->heap, tag, n);
    return (char *)p + HEAD;
}

void *slm_zalloc(slm_runtime *rt, enum slm_mem tag, size_t n)
{
    void *p = slm_alloc(rt, tag, n);
    if (p)
        memset(p, 0, n);
    return p;
}

void *slm_alloc_n(slm_runtime *rt, enum slm_mem tag, size_t count, size_t size)
{
    size_t n;
    return slm_mul_ok(count, size, &n) ? slm_alloc(rt, tag, n) : NULL;
}

void *slm_zalloc_n(slm_runtime *rt, enum slm_mem tag, size_t count, size_t size)
{
    size_t n;
    return slm_mul_ok(count, size, &n) ? slm_zalloc(rt, tag, n) : NULL;
}

void *slm_realloc(slm_runtime *rt, enum slm_mem tag, void *p, size_t n)
{
    void *q = slm_alloc(rt, tag, n);
    if (!q || !p)
        return q;
    const struct head *h = (const struct head *)((char *)p - HEAD);
    memcpy(q, p, h->size < n ? h->size : n);
    slm_free(rt, p);
    return q;
}

void slm_free(slm_runtime *rt, void *p)
{
    if (!p)
        return;
    struct head *h = (struct head *)((char *)p - HEAD);
    count_out(&rt->heap, h->tag, h->size);
    free(h);
}

int slm_grow(slm_runtime *rt, enum slm_mem tag, void **list, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return 0;
    size_t more = *cap ? *cap * 2 : 16, bytes;
    if (!slm_mul_ok(more, size, &bytes))
        return SLM_E_NOMEM;
    void *p = slm_realloc(rt, tag, *list, bytes);
    if (!p)
        return SLM_E_NOMEM;
    *list = p;
    *cap = more;
    return 0;
}

static size_t page_round(size_t n)
{
    size_t huge = (size_t)2 << 20, unit = n >= huge ? huge : 4096;
    return (n + unit - 1) / unit * unit;
}

void *slm_pages_alloc(slm_runtime *rt, enum slm_mem tag, size_t n)
{
    size_t whole = page_round(n ? n : 1);
    if (whole < n || must_fail(&rt->heap))
        return NULL;
    void *p = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
#ifdef MADV_HUGEPAGE
    madvise(p, whole, MADV_HUGEPAGE); /* a wish: nothing is lost when the system says no */
#endif
    count_in(&rt->heap, tag, n);
    return p;
}

void slm_pages_free(slm_runtime *rt, enum slm_mem tag, void *p, size_t n)
{
    if (!p)
        return;
    munmap(p, page_round(n ? n : 1));
    count_out(&rt->heap, tag, n);
}

int slm_fail_mem(slm_err *err, const char *what, size_t n)
{
    return slm_fail(err, SLM_E_NOMEM, "out of memory: %s wants %zu bytes", what, n);
}

void slm_runtime_memory(const slm_runtime *rt, slm_mem_stats *out)
{
    out->bytes = atomic_load(&rt->heap.bytes);
    out->peak = atomic_load(&rt->heap.peak);
    out->blocks = atomic_load(&rt->heap.blocks);
    out->count = atomic_load(&rt->heap.count);
}

void slm_text_release(slm_text *t)
{
    if (t->rt)
        slm_free(t->rt, t->data);
    memset(t, 0, sizeof *t);
}
