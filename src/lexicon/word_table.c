/* Distinct strings and their counts: what a text is boiled down to. Counting is most of the
 * time of learning from a large text, so a slot holds what a comparison needs, strings lie one
 * behind the other in blocks, and nothing is ever removed. */
#include "lexicon/lexicon_room.h"

#include <string.h>

#define BLOCK (1u << 20)

struct lex_bytes {
    struct lex_bytes *next;
    char s[];
};

static inline uint64_t load(const char *s, size_t n)
{
    uint64_t v = 0;
    memcpy(&v, s, n);
    return v;
}

static inline uint64_t mixed(uint64_t a)
{
    a *= UINT64_C(0x9E3779B97F4A7C15);
    a ^= a >> 29;
    a *= UINT64_C(0xBF58476D1CE4E5B9);
    return a ^ a >> 32;
}

static inline uint64_t hash_of(const char *s, size_t n)
{
    uint64_t h = n;
    for (; n >= 8; n -= 8, s += 8)
        h = mixed(h ^ load(s, 8));
    if (n & 4) {
        h ^= load(s, 4) << 24;
        s += 4;
    }
    uint64_t tail = 0;
    for (size_t i = 0; i < (n & 3); i++)
        tail = tail << 8 | (uint8_t)s[i];
    return mixed(h ^ tail << 8);
}

int slm_lex_table_init(struct lex_table *t, slm_runtime *rt, size_t cap, slm_err *err)
{
    size_t n = 1024;
    while (n < cap * 2)
        n *= 2;
    *t = (struct lex_table){.rt = rt, .mask = n - 1};
    t->slot = slm_zalloc_n(rt, SLM_MEM_TEXT, n, sizeof *t->slot);
    return t->slot ? 0 : slm_fail_mem(err, "words", n * sizeof *t->slot);
}

void slm_lex_table_release(struct lex_table *t)
{
    if (!t->rt)
        return;
    for (struct lex_bytes *b = t->bytes, *next; b; b = next) {
        next = b->next;
        slm_free(t->rt, b);
    }
    slm_free(t->rt, t->slot);
    memset(t, 0, sizeof *t);
}

static bool grow(struct lex_table *t)
{
    size_t mask = t->mask * 2 + 1;
    struct lex_word *slot = slm_zalloc_n(t->rt, SLM_MEM_TEXT, mask + 1, sizeof *slot);
    if (!slot)
        return false;
    for (size_t i = 0; i <= t->mask; i++) {
        const struct lex_word *w = &t->slot[i];
        if (!w->s)
            continue;
        size_t at = hash_of(w->s, w->n) & mask;
        while (slot[at].s)
            at = (at + 1) & mask;
        slot[at] = *w;
    }
    slm_free(t->rt, t->slot);
    t->slot = slot;
    t->mask = mask;
    return true;
}

static const char *keep(struct lex_table *t, const char *s, size_t n)
{
    if (t->left < n || !t->bytes) {
        size_t size = n > BLOCK / 4 ? n : BLOCK;
        struct lex_bytes *b = slm_alloc(t->rt, SLM_MEM_TEXT, sizeof *b + size);
        if (!b)
            return NULL;
        b->next = t->bytes;
        t->bytes = b;
        t->left = size;
    }
    /* blocks are filled from their ends, so that what is left says where */
    char *to = t->bytes->s + (t->left - n);
    memcpy(to, s, n);
    t->left -= n;
    return to;
}

static struct lex_word *slot_of(const struct lex_table *t, const char *s, size_t n, uint64_t h)
{
    uint32_t mix = (uint32_t)(h >> 32);
    size_t at = h & t->mask;
    for (;; at = (at + 1) & t->mask) {
        struct lex_word *w = &t->slot[at];
        if (!w->s || (w->mix == mix && w->n == n && !memcmp(w->s, s, n)))
            return w;
    }
}

struct lex_word *slm_lex_table_add(struct lex_table *t, const char *s, size_t n, uint64_t count)
{
    uint64_t h = hash_of(s, n);
    struct lex_word *w = slot_of(t, s, n, h);
    if (w->s) {
        w->count += count;
        return w;
    }
    if (t->used * 2 > t->mask) {
        if (!grow(t)) {
            t->failed = true;
            return NULL;
        }
        w = slot_of(t, s, n, h);
    }
    const char *copy = n > UINT32_MAX ? NULL : keep(t, s, n);
    if (!copy) {
        t->failed = true;
        return NULL;
    }
    *w = (struct lex_word){copy, (uint32_t)n, (uint32_t)(h >> 32), count};
    t->used++;
    return w;
}

const struct lex_word *slm_lex_table_find(const struct lex_table *t, const char *s, size_t n)
{
    const struct lex_word *w = slot_of(t, s, n, hash_of(s, n));
    return w->s ? w : NULL;
}
