/* Strings to numbers: a hash map over strings that live elsewhere, and a byte trie.
 *
 * Both are built once and then only read. The map stores 32 bits of hash beside each number, so
 * a miss rarely touches a string. The trie keeps a node's children side by side, sorted, which
 * makes it as small as the strings themselves and lets a step be a short search in one cache
 * line. */
#include "text/tok.h"

#include <stdlib.h>
#include <string.h>

uint32_t slm_strhash(const char *s, size_t n)
{
    uint64_t h = 0x9E3779B97F4A7C15u ^ n;
    while (n >= 8) {
        uint64_t w;
        memcpy(&w, s, 8);
        h = (h ^ w) * 0xD6E8FEB86659FD93u;
        h ^= h >> 32;
        s += 8;
        n -= 8;
    }
    uint64_t w = 0;
    memcpy(&w, s, n);
    h = (h ^ w) * 0xD6E8FEB86659FD93u;
    h ^= h >> 32;
    h *= 0xD6E8FEB86659FD93u;
    return (uint32_t)(h >> 32);
}

int slm_strmap_init(struct strmap *m, struct slm_arena *a, const struct slm_tok_str *keys,
                    size_t n)
{
    size_t cap = 16;
    while (cap < n + n / 2)
        cap *= 2;
    m->keys = keys;
    m->mask = cap - 1;
    m->used = 0;
    m->slot = slm_arena_alloc_n(a, cap, sizeof *m->slot);
    if (!m->slot)
        return SLM_E_NOMEM;
    memset(m->slot, 0xFF, cap * sizeof *m->slot); /* val -1: free */
    return 0;
}

bool slm_strmap_add(struct strmap *m, int32_t val)
{
    struct slm_tok_str k = m->keys[val];
    uint32_t h = slm_strhash(k.s, k.n);
    SLM_ASSERT(m->used <= m->mask);
    for (size_t i = h & m->mask;; i = (i + 1) & m->mask) {
        struct strslot *s = &m->slot[i];
        if (s->val < 0) {
            s->hash = h;
            s->val = val;
            m->used++;
            return true;
        }
        const struct slm_tok_str *o = &m->keys[s->val];
        if (s->hash == h && o->n == k.n && !memcmp(o->s, k.s, k.n))
            return false;
    }
}

int32_t slm_strmap_find(const struct strmap *m, const char *s, size_t n)
{
    if (!m->slot)
        return -1;
    uint32_t h = slm_strhash(s, n);
    for (size_t i = h & m->mask;; i = (i + 1) & m->mask) {
        const struct strslot *p = &m->slot[i];
        if (p->val < 0)
            return -1;
        if (p->hash == h) {
            const struct slm_tok_str *o = &m->keys[p->val];
            if (o->n == n && !memcmp(o->s, s, n))
                return p->val;
        }
    }
}

struct key {
    const char *s;
    size_t n;
    int32_t val;
};

static int by_bytes(const void *x, const void *y)
{
    const struct key *a = x, *b = y;
    int c = memcmp(a->s, b->s, a->n < b->n ? a->n : b->n);
    if (c)
        return c;
    if (a->n != b->n)
        return a->n < b->n ? -1 : 1;
    return a->val < b->val ? -1 : a->val > b->val;
}

struct range {
    uint32_t lo, hi;
};

/* Breadth first: node i covers the sorted keys of range[i], which share their first `depth`
 * bytes. A node's depth follows from where a level ends. */
static void grow(struct trie *t, const struct key *k, struct range *range)
{
    uint32_t level_end = 1;
    size_t depth = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        if (i == level_end) {
            depth++;
            level_end = t->n;
        }
        struct trie_node *node = &t->node[i];
        uint32_t lo = range[i].lo, hi = range[i].hi;
        node->value = -1;
        if (lo < hi && k[lo].n == depth)
            node->value = k[lo].val;
        while (lo < hi && k[lo].n == depth)
            lo++;
        node->first = t->n;
        while (lo < hi) {
            uint8_t c = (uint8_t)k[lo].s[depth];
            uint32_t end = lo;
            while (end < hi && (uint8_t)k[end].s[depth] == c)
                end++;
            t->node[t->n].label = c;
            range[t->n] = (struct range){lo, end};
            t->n++;
            node->count++;
            lo = end;
        }
    }
}

int slm_trie_init(struct trie *t, struct slm_arena *a, const struct slm_tok_str *keys, size_t n)
{
    slm_runtime *rt = a->rt;
    memset(t, 0, sizeof *t);
    size_t total = 1, m = 0;
    for (size_t i = 0; i < n; i++)
        total += keys[i].n;
    if (total > UINT32_MAX / 2)
        return SLM_E_LIMIT;
    struct key *k = slm_alloc_n(rt, SLM_MEM_TEXT, n ? n : 1, sizeof *k);
    struct range *range = slm_alloc_n(rt, SLM_MEM_TEXT, total, sizeof *range);
    struct trie_node *node = slm_zalloc_n(rt, SLM_MEM_TEXT, total, sizeof *node);
    int rc = SLM_E_NOMEM;
    if (k && range && node) {
        for (size_t i = 0; i < n; i++) {
            if (keys[i].n)
                k[m++] = (struct key){keys[i].s, keys[i].n, (int32_t)i};
        }
        qsort(k, m, sizeof *k, by_bytes);
        range[0] = (struct range){0, (uint32_t)m};
        t->node = node;
        t->n = 1;
        grow(t, k, range);
        t->node = slm_arena_alloc_n(a, t->n, sizeof *node);
        if (t->node) {
            memcpy(t->node, node, t->n * sizeof *node);
            for (uint32_t i = 0; i < t->node[0].count; i++)
                t->root[t->node[t->node[0].first + i].label] = t->node[0].first + i;
            rc = 0;
        }
    }
    slm_free(rt, k);
    slm_free(rt, range);
    slm_free(rt, node);
    return rc;
}

uint32_t slm_trie_step(const struct trie *t, uint32_t node, uint8_t c)
{
    if (!node)
        return t->root[c];
    const struct trie_node *p = &t->node[node];
    uint32_t lo = p->first, hi = p->first + p->count;
    while (hi - lo > 4) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (t->node[mid].label <= c)
            lo = mid;
        else
            hi = mid;
    }
    for (; lo < hi; lo++) {
        if (t->node[lo].label == c)
            return lo;
    }
    return 0;
}

int32_t slm_trie_longest(const struct trie *t, const char *s, size_t n, size_t *len)
{
    int32_t best = -1;
    uint32_t node = 0;
    for (size_t i = 0; i < n; i++) {
        node = slm_trie_step(t, node, (uint8_t)s[i]);
        if (!node)
            break;
        if (t->node[node].value >= 0) {
            best = t->node[node].value;
            *len = i + 1;
        }
    }
    return best;
}
