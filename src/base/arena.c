/* Arenas: blocks that double, cut from the front, freed together. Under AddressSanitizer each
 * piece gets a block of its own, so that overruns are seen. */
#include "base/arena.h"

#include <string.h>

struct slm_arena_block {
    struct slm_arena_block *next;
    size_t used, size;
};
#define FIRST 64 /* the header's room; keeps pieces aligned */

#if defined(__SANITIZE_ADDRESS__)
#define ALONE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ALONE 1
#endif
#endif
#ifndef ALONE
#define ALONE 0
#endif

void slm_arena_init(struct slm_arena *a, slm_runtime *rt, enum slm_mem tag)
{
    memset(a, 0, sizeof *a);
    a->rt = rt;
    a->tag = tag;
}

static struct slm_arena_block *block_new(struct slm_arena *a, size_t n)
{
    size_t size = a->head ? a->head->size * 2 : 4096;
    if (size > (size_t)1 << 20)
        size = (size_t)1 << 20;
    if (size < n || ALONE)
        size = n;
    size_t whole;
    struct slm_arena_block *b =
        slm_add_ok(size, FIRST, &whole) ? slm_zalloc(a->rt, a->tag, whole) : NULL;
    if (!b)
        return NULL;
    b->size = size;
    b->next = a->head;
    a->head = b;
    a->total += whole;
    return b;
}

void *slm_arena_alloc(struct slm_arena *a, size_t n)
{
    size_t need = ((n ? n : 1) + 15) & ~(size_t)15;
    if (need < n)
        return NULL;
    struct slm_arena_block *b = a->head;
    if (!b || b->size - b->used < need) {
        b = block_new(a, need);
        if (!b)
            return NULL;
    }
    void *p = (char *)b + FIRST + b->used;
    b->used += need;
    return p;
}

void *slm_arena_alloc_n(struct slm_arena *a, size_t count, size_t size)
{
    size_t n;
    return slm_mul_ok(count, size, &n) ? slm_arena_alloc(a, n) : NULL;
}

char *slm_arena_strndup(struct slm_arena *a, const char *s, size_t n)
{
    size_t whole;
    char *p = slm_add_ok(n, 1, &whole) ? slm_arena_alloc(a, whole) : NULL;
    if (p && n)
        memcpy(p, s, n);
    return p;
}

char *slm_arena_strdup(struct slm_arena *a, const char *s)
{
    return slm_arena_strndup(a, s, strlen(s));
}

void slm_arena_release(struct slm_arena *a)
{
    while (a->head) {
        struct slm_arena_block *b = a->head;
        a->head = b->next;
        slm_free(a->rt, b);
    }
    a->total = 0;
}
