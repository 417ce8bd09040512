/* An arena: many small blocks that live and die together. */
#ifndef SLM_BASE_ARENA_H
#define SLM_BASE_ARENA_H

#include "base/alloc.h"

struct slm_arena_block;
struct slm_arena {
    slm_runtime *rt;
    enum slm_mem tag;
    struct slm_arena_block *head;
    size_t total;
};

void slm_arena_init(struct slm_arena *a, slm_runtime *rt, enum slm_mem tag);
/* Zeroed, 16-byte aligned; NULL when there is no memory. */
void *slm_arena_alloc(struct slm_arena *a, size_t n);
void *slm_arena_alloc_n(struct slm_arena *a, size_t count, size_t size);
/* A copy of n bytes with a NUL behind them. */
char *slm_arena_strndup(struct slm_arena *a, const char *s, size_t n);
char *slm_arena_strdup(struct slm_arena *a, const char *s);
void slm_arena_release(struct slm_arena *a);

#endif
