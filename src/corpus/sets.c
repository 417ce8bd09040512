/* Union-find by least member with path halving, and a table of open addresses. */
#include "corpus/sets.h"

#include <string.h>

int slm_sets_init(struct slm_sets *s, slm_runtime *rt, size_t n, slm_err *err)
{
    s->n = n;
    s->up = slm_alloc_n(rt, SLM_MEM_DATA, n, sizeof *s->up);
    if (!s->up)
        return slm_fail_mem(err, "sets of rows", n * sizeof *s->up);
    for (size_t i = 0; i < n; i++)
        s->up[i] = (uint32_t)i;
    return 0;
}

void slm_sets_release(struct slm_sets *s, slm_runtime *rt)
{
    slm_free(rt, s->up);
    *s = (struct slm_sets){0};
}

uint32_t slm_sets_root(struct slm_sets *s, uint32_t i)
{
    while (s->up[i] != i) {
        s->up[i] = s->up[s->up[i]];
        i = s->up[i];
    }
    return i;
}

void slm_sets_join(struct slm_sets *s, uint32_t a, uint32_t b)
{
    a = slm_sets_root(s, a);
    b = slm_sets_root(s, b);
    if (a < b)
        s->up[b] = a;
    else
        s->up[a] = b;
}

void slm_keymap_init(struct slm_keymap *m, slm_runtime *rt)
{
    *m = (struct slm_keymap){.rt = rt};
}

void slm_keymap_release(struct slm_keymap *m)
{
    slm_free(m->rt, m->key);
    slm_free(m->rt, m->value);
    m->key = NULL;
    m->value = NULL;
    m->n = m->mask = 0;
}

void slm_keymap_reset(struct slm_keymap *m)
{
    m->n = 0;
    if (m->mask)
        memset(m->value, 0xff, (m->mask + 1) * sizeof *m->value);
}

static size_t slot_of(const struct slm_keymap *m, uint64_t key)
{
    size_t i = (size_t)((key * 0x9e3779b97f4a7c15u) >> 20) & m->mask;
    while (m->value[i] != UINT32_MAX && m->key[i] != key)
        i = (i + 1) & m->mask;
    return i;
}

static int grow(struct slm_keymap *m, slm_err *err)
{
    struct slm_keymap big = {.rt = m->rt, .mask = m->mask ? m->mask * 2 + 1 : 1023};
    size_t n = big.mask + 1;
    big.key = slm_alloc_n(m->rt, SLM_MEM_DATA, n, sizeof *big.key);
    big.value = slm_alloc_n(m->rt, SLM_MEM_DATA, n, sizeof *big.value);
    if (!big.key || !big.value) {
        slm_keymap_release(&big);
        return slm_fail_mem(err, "a table of rows", n * (sizeof *big.key + sizeof *big.value));
    }
    slm_keymap_reset(&big);
    for (size_t i = 0; m->mask && i <= m->mask; i++)
        if (m->value[i] != UINT32_MAX) {
            size_t k = slot_of(&big, m->key[i]);
            big.key[k] = m->key[i];
            big.value[k] = m->value[i];
        }
    big.n = m->n;
    slm_keymap_release(m);
    *m = big;
    return 0;
}

int slm_keymap_put(struct slm_keymap *m, uint64_t key, uint32_t value, uint32_t *was,
                   slm_err *err)
{
    if (!m->mask || m->n * 3 >= m->mask * 2) {
        int rc = grow(m, err);
        if (rc)
            return rc;
    }
    size_t i = slot_of(m, key);
    if (m->value[i] == UINT32_MAX) {
        m->key[i] = key;
        m->value[i] = value;
        m->n++;
    }
    *was = m->value[i];
    return 0;
}

uint32_t *slm_keymap_find(const struct slm_keymap *m, uint64_t key)
{
    if (!m->mask)
        return NULL;
    size_t i = slot_of(m, key);
    return m->value[i] == UINT32_MAX ? NULL : &m->value[i];
}
