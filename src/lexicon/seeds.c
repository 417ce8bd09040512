/* The pieces that unigram starts from: every character, and the substrings of words that
 * repeat.
 *
 * All suffixes of all words are sorted; neighbours that share a prefix make an interval, and
 * the intervals are exactly the substrings that cannot be made longer without occurring less
 * often. Only these are candidates: any other is a part of one of them wherever it stands.
 * Unlike the usual seed, occurrences are weighted by how often their word occurs. */
#include "lexicon/lexicon_room.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct suffix {
    const char *s;
    uint32_t n; /* bytes up to the end of the word, at most the longest piece */
    uint32_t word;
};
struct seed {
    const char *s;
    size_t n;
    double weight;
    uint64_t count;
};
struct sort {
    struct suffix *v;
    size_t n;
};

/* --- sorting: three-way radix quicksort, a suffix that ends comes first --- */

static int at(const struct suffix *x, size_t depth)
{
    return depth < x->n ? (uint8_t)x->s[depth] : -1;
}

static void insertion(struct suffix *v, size_t n, size_t depth)
{
    for (size_t i = 1; i < n; i++) {
        struct suffix x = v[i];
        size_t k = i;
        for (; k; k--) {
            const struct suffix *y = &v[k - 1];
            size_t m = x.n < y->n ? x.n : y->n;
            int c = m > depth ? memcmp(x.s + depth, y->s + depth, m - depth) : 0;
            if (c > 0 || (!c && x.n >= y->n))
                break;
            v[k] = *y;
        }
        v[k] = x;
    }
}

static void swap(struct suffix *a, struct suffix *b)
{
    struct suffix x = *a;
    *a = *b;
    *b = x;
}

/* The stack holds the smaller parts; depth is bounded by the longest piece. */
static void sort_from(struct suffix *v, size_t n, size_t depth)
{
    while (n > 16) {
        int a = at(&v[0], depth), b = at(&v[n / 2], depth), c = at(&v[n - 1], depth);
        int pivot = a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
        size_t lo = 0, hi = n;
        for (size_t i = 0; i < hi;) {
            int x = at(&v[i], depth);
            if (x < pivot)
                swap(&v[lo++], &v[i++]);
            else if (x > pivot)
                swap(&v[i], &v[--hi]);
            else
                i++;
        }
        sort_from(v, lo, depth);
        sort_from(v + hi, n - hi, depth);
        if (pivot < 0)
            return;
        v += lo;
        n = hi - lo;
        depth++;
    }
    insertion(v, n, depth);
}

/* --- intervals --- */

static size_t shared(const struct suffix *a, const struct suffix *b)
{
    size_t n = a->n < b->n ? a->n : b->n, i = 0;
    while (i < n && a->s[i] == b->s[i])
        i++;
    while (i && i < a->n && ((uint8_t)a->s[i] & 0xC0) == 0x80)
        i--; /* whole characters */
    return i;
}

static size_t chars(const char *s, size_t n)
{
    size_t c = 0;
    for (size_t i = 0; i < n; i++)
        c += ((uint8_t)s[i] & 0xC0) != 0x80;
    return c;
}

struct seeds {
    slm_runtime *rt;
    struct seed *v;
    size_t n, cap;
    bool failed;
};

/* A mark alone is a character; inside a word there is none. */
static void candidate(struct seeds *o, const char *s, size_t n, uint64_t count)
{
    size_t c = chars(s, n);
    if (c < 2 || count < 2)
        return;
    if (slm_grow(o->rt, SLM_MEM_TEXT, (void **)&o->v, o->n, &o->cap, sizeof *o->v)) {
        o->failed = true;
        return;
    }
    o->v[o->n++] = (struct seed){s, n, (double)count * (double)c, count};
}

/* Walks the sorted suffixes with a stack of open intervals; an interval closes when what is
 * shared gets shorter, and its weight goes on to the one around it. A suffix that is itself a
 * whole interval (a word's end that occurs once but often) counts as well. */
static void intervals(struct seeds *o, const struct suffix *v, size_t n,
                      const struct lex_words *w)
{
    struct open {
        size_t len;
        uint64_t count;
        const char *s;
    } stack[LEX_WORD_MAX];
    size_t top = 0;
    for (size_t i = 0; i < n; i++) {
        size_t before = i ? shared(&v[i - 1], &v[i]) : 0;
        uint64_t carry = 0;
        while (top && stack[top - 1].len > before) {
            struct open x = stack[--top];
            x.count += carry;
            candidate(o, x.s, x.len, x.count);
            carry = x.count;
            if ((!top || stack[top - 1].len < before) && before) {
                stack[top++] = (struct open){before, carry, v[i].s};
                carry = 0;
            }
        }
        if (top && carry)
            stack[top - 1].count += carry;
        uint64_t own = w->word[v[i].word].count;
        if (top && stack[top - 1].len == v[i].n)
            stack[top - 1].count += own;
        else if (top < LEX_WORD_MAX)
            stack[top++] = (struct open){v[i].n, own, v[i].s};
    }
    for (uint64_t carry = 0; top;) {
        struct open x = stack[--top];
        x.count += carry;
        candidate(o, x.s, x.len, x.count);
        carry = x.count;
    }
}

static int by_weight(const void *x, const void *y)
{
    const struct seed *a = x, *b = y;
    if (a->weight != b->weight)
        return a->weight > b->weight ? -1 : 1;
    int c = memcmp(a->s, b->s, a->n < b->n ? a->n : b->n);
    return c ? c : a->n < b->n ? -1 : a->n > b->n;
}

/* --- the whole --- */

/* Bytes of the first `max` characters of s. */
static uint32_t first_chars(const char *s, size_t n, int max)
{
    size_t i = 0;
    for (int c = 0; i < n && i < LEX_WORD_MAX; i++) {
        if (((uint8_t)s[i] & 0xC0) != 0x80 && ++c > max)
            break;
    }
    return (uint32_t)i;
}

/* Suffixes start at characters of the alphabet and end before one that is none. */
static int suffixes(struct sort *o, slm_runtime *rt, const struct lex_words *w,
                    const struct lex_table *known, int max, slm_err *err)
{
    size_t total = 0;
    for (size_t i = 0; i < w->n; i++)
        total += chars(w->word[i].s, w->word[i].n);
    o->v = slm_alloc_n(rt, SLM_MEM_TEXT, total, sizeof *o->v);
    if (!o->v)
        return slm_fail_mem(err, "substrings", total * sizeof *o->v);
    for (size_t i = 0; i < w->n; i++) {
        const char *s = w->word[i].s;
        size_t n = w->word[i].n, end = 0, len;
        int32_t cp;
        for (size_t k = 0; k < n; k += len) {
            len = (size_t)slm_utf8_next(s + k, n - k, &cp);
            if (!slm_lex_table_find(known, s + k, len))
                continue;
            if (k >= end) {
                for (end = k; end < n; end += len) {
                    len = (size_t)slm_utf8_next(s + end, n - end, &cp);
                    if (!slm_lex_table_find(known, s + end, len))
                        break;
                }
                len = (size_t)slm_utf8_next(s + k, n - k, &cp);
            }
            o->v[o->n++] =
                (struct suffix){s + k, first_chars(s + k, end - k, max), (uint32_t)i};
        }
    }
    sort_from(o->v, o->n, 0);
    return 0;
}

static int take(struct lex_pieces *p, struct slm_arena *a, const struct lex_char *c, size_t nc,
                const struct seeds *o, slm_err *err)
{
    double sum = 0;
    p->n = nc + o->n;
    p->s = slm_arena_alloc_n(a, p->n, sizeof *p->s);
    p->logp = slm_arena_alloc_n(a, p->n, sizeof *p->logp);
    p->must = slm_arena_alloc_n(a, p->n, 1);
    char *text = slm_arena_alloc_n(a, nc, 4);
    if (!p->s || !p->logp || !p->must || !text)
        return slm_fail_mem(err, "pieces", p->n * sizeof *p->s);
    for (size_t i = 0; i < nc; i++) {
        p->s[i] =
            (struct slm_tok_str){text + 4 * i, (size_t)slm_utf8_put(text + 4 * i, c[i].cp)};
        p->logp[i] = (double)c[i].count;
        p->must[i] = 1;
    }
    for (size_t i = 0; i < o->n; i++) {
        p->s[nc + i] = (struct slm_tok_str){o->v[i].s, o->v[i].n};
        p->logp[nc + i] = o->v[i].weight;
    }
    for (size_t i = 0; i < p->n; i++)
        sum += p->logp[i];
    for (size_t i = 0; i < p->n; i++)
        p->logp[i] = log(p->logp[i] / sum);
    return 0;
}

int slm_lex_seeds(struct lex_pieces *p, struct slm_arena *a, slm_runtime *rt,
                  const struct lex_words *w, const slm_lexicon_opts *o, slm_err *err)
{
    struct lex_char *c = NULL;
    struct lex_table known = {0};
    struct sort sorted = {0};
    struct seeds seeds = {.rt = rt};
    size_t nc = 0;
    int rc = slm_lex_alphabet(&c, &nc, rt, w, o->coverage, err);
    rc = rc ? rc : slm_lex_table_init(&known, rt, nc, err);
    for (size_t i = 0; i < nc && !rc; i++) {
        char s[4];
        int len = slm_utf8_put(s, c[i].cp);
        if (!slm_lex_table_add(&known, s, (size_t)len, 1))
            rc = slm_fail_mem(err, "characters", nc);
    }
    rc = rc ? rc : suffixes(&sorted, rt, w, &known, o->max_piece, err);
    if (!rc) {
        intervals(&seeds, sorted.v, sorted.n, w);
        rc = seeds.failed ? slm_fail_mem(err, "substrings", seeds.n * sizeof *seeds.v) : 0;
    }
    if (!rc) {
        qsort(seeds.v, seeds.n, sizeof *seeds.v, by_weight);
        seeds.n = seeds.n > (size_t)o->seeds ? (size_t)o->seeds : seeds.n;
        rc = take(p, a, c, nc, &seeds, err);
    }
    slm_free(rt, c);
    slm_free(rt, sorted.v);
    slm_free(rt, seeds.v);
    slm_lex_table_release(&known);
    return rc;
}
