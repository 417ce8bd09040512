/* Small counts: which fingerprints were seen, how often each name. */
#include "data/build_in.h"

#include <string.h>

int slm_seen_add(struct seen *s, slm_runtime *rt, uint64_t key)
{
    key += !key; /* 0 marks an empty place */
    if (s->n * 4 >= s->cap * 3) {
        struct seen big = {.cap = s->cap ? s->cap * 2 : 1024};
        big.v = slm_zalloc_n(rt, SLM_MEM_DATA, big.cap, sizeof *big.v);
        if (!big.v)
            return -1;
        for (size_t i = 0; i < s->cap; i++)
            if (s->v[i])
                slm_seen_add(&big, rt, s->v[i]);
        slm_free(rt, s->v);
        *s = big;
    }
    size_t i = (size_t)(key * 0x9e3779b97f4a7c15u >> 20) & (s->cap - 1);
    for (; s->v[i]; i = (i + 1) & (s->cap - 1))
        if (s->v[i] == key)
            return 0;
    s->v[i] = key;
    s->n++;
    return 1;
}

void slm_seen_release(struct seen *s, slm_runtime *rt)
{
    slm_free(rt, s->v);
    *s = (struct seen){0};
}

int slm_tally_add(struct tally *t, slm_runtime *rt, const char *name, size_t n)
{
    uint64_t key = slm_hash64(name, n, 0);
    for (size_t i = 0; i < t->n; i++)
        if (t->v[i].key == key) {
            t->v[i].c.n++;
            for (; i && t->v[i - 1].c.n < t->v[i].c.n; i--) { /* the frequent ones first */
                struct tally_row x = t->v[i];
                t->v[i] = t->v[i - 1];
                t->v[i - 1] = x;
            }
            return 0;
        }
    if (t->n >= t->most) {
        t->full = true;
        return 0;
    }
    if (slm_grow(rt, SLM_MEM_DATA, (void **)&t->v, t->n, &t->cap, sizeof *t->v))
        return SLM_E_NOMEM;
    struct tally_row *r = &t->v[t->n++];
    *r = (struct tally_row){.key = key, .c = {.n = 1}};
    n = n < sizeof r->c.name ? n : sizeof r->c.name - 1;
    while (n && n == sizeof r->c.name - 1 && ((uint8_t)name[n] & 0xc0) == 0x80)
        n--;
    memcpy(r->c.name, name, n);
    return 0;
}

int slm_tally_top(struct tally *t, slm_data_count *out, int most)
{
    int n = (int)(t->n < (size_t)most ? t->n : (size_t)most);
    for (int i = 0; i < n; i++)
        out[i] = t->v[i].c;
    return n;
}

void slm_tally_release(struct tally *t, slm_runtime *rt)
{
    slm_free(rt, t->v);
    *t = (struct tally){0};
}
