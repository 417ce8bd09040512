/* Byte-pair merging, one core for all forms: a pair of symbols has a rank and an outcome, the
 * lowest rank merges first, the leftmost of equals. SentencePiece's scores and tiktoken's ranks
 * become such pairs when the tokenizer is opened (bpe_build.c).
 *
 * Short words merge in a small array; long ones by a linked list and a heap, so that a megabyte
 * without a blank costs n log n. Words of up to 16 bytes are remembered for the rest of the
 * call: text repeats itself, and a look-up is far cheaper than five merges. */
#include "text/tok.h"

#include <string.h>

#define SHORT 48
#define CACHE_BITS 13
#define CACHE_IDS 5
#define CACHE_MIN_TEXT 1024

struct word_cache {
    struct word {
        uint64_t a, b;
        uint8_t len, n; /* len 0: free */
        int32_t id[CACHE_IDS];
    } word[1 << CACHE_BITS];
};

const struct bpe_pair *slm_bpe_find(const struct bpe *b, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)(left + 1) << 32 | (uint32_t)(right + 1);
    size_t mask = ((size_t)1 << (64 - b->shift)) - 1;
    for (size_t i = (size_t)(key * 0x9E3779B97F4A7C15u >> b->shift);; i = (i + 1) & mask) {
        if (b->pair[i].key == key)
            return &b->pair[i];
        if (!b->pair[i].key)
            return NULL;
    }
}

static int room(struct enc *e, size_t n)
{
    if (n <= e->cap_sym)
        return 0;
    size_t cap = n + n / 2 + 64;
    int32_t *p = slm_realloc(e->rt, SLM_MEM_TEXT, e->sym, cap * sizeof *p);
    if (!p)
        return slm_fail_mem(e->err, "encoding a word", cap);
    e->sym = p;
    e->cap_sym = cap;
    return 0;
}

/* Merges a few symbols in place; returns how many are left. */
static size_t merge_short(const struct bpe *b, int32_t *sym, size_t n)
{
    uint32_t rank[SHORT];
    int32_t to[SHORT];
    for (size_t i = 0; i + 1 < n; i++) {
        const struct bpe_pair *p = slm_bpe_find(b, sym[i], sym[i + 1]);
        rank[i] = p ? p->rank : UINT32_MAX;
        to[i] = p ? p->id : -1;
    }
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++) {
            if (rank[i] < rank[best])
                best = i;
        }
        if (rank[best] == UINT32_MAX)
            break;
        sym[best] = to[best];
        n--;
        memmove(sym + best + 1, sym + best + 2, (n - best - 1) * sizeof *sym);
        memmove(rank + best, rank + best + 1, (n - best) * sizeof *rank);
        memmove(to + best, to + best + 1, (n - best) * sizeof *to);
        for (size_t i = best ? best - 1 : 0; i <= best && i + 1 < n; i++) {
            const struct bpe_pair *p = slm_bpe_find(b, sym[i], sym[i + 1]);
            rank[i] = p ? p->rank : UINT32_MAX;
            to[i] = p ? p->id : -1;
        }
    }
    return n;
}

static void heap_up(uint64_t *h, size_t i)
{
    uint64_t v = h[i];
    while (i && h[(i - 1) / 2] > v) {
        h[i] = h[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    h[i] = v;
}

static uint64_t heap_pop(uint64_t *h, size_t *n)
{
    uint64_t top = h[0], v = h[--*n];
    size_t i = 0, c;
    while ((c = 2 * i + 1) < *n) {
        if (c + 1 < *n && h[c + 1] < h[c])
            c++;
        if (h[c] >= v)
            break;
        h[i] = h[c];
        i = c;
    }
    h[i] = v;
    return top;
}

static int room_links(struct enc *e, size_t n)
{
    if (n <= e->cap_links)
        return 0;
    size_t cap = n + n / 2;
    int32_t *prev = slm_realloc(e->rt, SLM_MEM_TEXT, e->prev, cap * sizeof *prev);
    e->prev = prev ? prev : e->prev;
    int32_t *next = slm_realloc(e->rt, SLM_MEM_TEXT, e->next, cap * sizeof *next);
    e->next = next ? next : e->next;
    uint32_t *rank = slm_realloc(e->rt, SLM_MEM_TEXT, e->rank, cap * sizeof *rank);
    e->rank = rank ? rank : e->rank;
    /* Each symbol brings one entry at first; each merge takes one and brings at most two. */
    uint64_t *heap = slm_realloc(e->rt, SLM_MEM_TEXT, e->heap, 3 * cap * sizeof *heap);
    e->heap = heap ? heap : e->heap;
    if (!prev || !next || !rank || !heap)
        return slm_fail_mem(e->err, "encoding a long word", cap);
    e->cap_links = cap;
    return 0;
}

/* The pair that starts at symbol i anew; on the heap when there is one. */
static void link_pair(struct enc *e, int32_t i, size_t *heap)
{
    int32_t j = e->next[i];
    const struct bpe_pair *p = j < 0 ? NULL : slm_bpe_find(&e->t->bpe, e->sym[i], e->sym[j]);
    e->rank[i] = p ? p->rank : UINT32_MAX;
    if (p) {
        e->heap[*heap] = (uint64_t)p->rank << 32 | (uint32_t)i;
        heap_up(e->heap, (*heap)++);
    }
}

static int merge_long(struct enc *e, size_t *count)
{
    size_t n = *count, heap = 0;
    int rc = room_links(e, n);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++) {
        e->prev[i] = (int32_t)i - 1;
        e->next[i] = i + 1 < n ? (int32_t)i + 1 : -1;
    }
    for (size_t i = 0; i < n; i++)
        link_pair(e, (int32_t)i, &heap);
    while (heap) {
        uint64_t top = heap_pop(e->heap, &heap);
        int32_t i = (int32_t)(uint32_t)top, j = e->next[i];
        if (e->rank[i] != (uint32_t)(top >> 32) || j < 0)
            continue; /* another merge came first */
        const struct bpe_pair *p = slm_bpe_find(&e->t->bpe, e->sym[i], e->sym[j]);
        e->sym[i] = p->id;
        e->rank[j] = UINT32_MAX;
        e->next[i] = e->next[j];
        if (e->next[j] >= 0)
            e->prev[e->next[j]] = i;
        link_pair(e, i, &heap);
        if (e->prev[i] >= 0)
            link_pair(e, e->prev[i], &heap);
    }
    size_t m = 0;
    for (int32_t i = 0; i >= 0; i = e->next[i])
        e->sym[m++] = e->sym[i];
    *count = m;
    return 0;
}

/* A character's token under tokenizer.json's rules (prefix and suffix of subwords), or -1. */
static int32_t char_token(struct enc *e, const char *s, size_t n, bool first, bool last)
{
    const struct bpe *b = &e->t->bpe;
    bool pre = b->prefix.n && !first, suf = b->suffix.n && last;
    if (!pre && !suf)
        return n == 1 ? b->sym[(uint8_t)*s] : slm_strmap_find(&e->t->by_piece, s, n);
    char buf[256];
    size_t m = 0;
    if (b->prefix.n + b->suffix.n + n > sizeof buf)
        return -1;
    if (pre)
        memcpy(buf, b->prefix.s, m = b->prefix.n);
    memcpy(buf + m, s, n);
    m += n;
    if (suf) {
        memcpy(buf + m, b->suffix.s, b->suffix.n);
        m += b->suffix.n;
    }
    return slm_strmap_find(&e->t->by_piece, buf, m);
}

/* The symbols of a word, characters, as tokenizer.json's BPE has them: a character without a
 * token becomes its bytes when all of them have tokens, else the unknown token. */
static size_t symbols_json(struct enc *e, const char *s, size_t n)
{
    const struct bpe *b = &e->t->bpe;
    size_t m = 0;
    bool unk = false; /* one waits, to be fused or written */
    for (size_t i = 0, len; i < n; i += len) {
        int32_t cp;
        len = (size_t)slm_utf8_next(s + i, n - i, &cp);
        int32_t id = char_token(e, s + i, len, !i, i + len == n);
        if (id >= 0) {
            if (unk)
                e->sym[m++] = b->unk;
            unk = false;
            e->sym[m++] = id;
            continue;
        }
        bool all = b->byte_fallback;
        for (size_t k = 0; all && k < len; k++)
            all = b->fallback[(uint8_t)s[i + k]] >= 0;
        if (all) {
            for (size_t k = 0; k < len; k++)
                e->sym[m++] = b->fallback[(uint8_t)s[i + k]];
        } else if (b->unk >= 0) {
            if (unk && !b->fuse_unk)
                e->sym[m++] = b->unk;
            unk = true;
        }
    }
    if (unk)
        e->sym[m++] = b->unk;
    return m;
}

/* The same as SentencePiece has them; a character that is no piece but half of one is kept. */
static size_t symbols_spm(struct enc *e, const char *s, size_t n)
{
    const struct bpe *b = &e->t->bpe;
    size_t m = 0;
    for (size_t i = 0, len; i < n; i += len) {
        int32_t cp;
        len = (size_t)slm_utf8_next(s + i, n - i, &cp);
        int32_t id =
            len == 1 ? b->sym[(uint8_t)s[i]] : slm_strmap_find(&e->t->by_piece, s + i, len);
        if (id < 0 && b->n_extra) {
            id = slm_strmap_find(&b->extra_map, s + i, len);
            id = id < 0 ? -1 : id + e->t->n;
        }
        if (id >= 0) {
            e->sym[m++] = id;
        } else if (b->byte_fallback) {
            for (size_t k = 0; k < len; k++)
                e->sym[m++] = b->fallback[(uint8_t)s[i + k]];
        } else {
            e->sym[m++] = b->unk;
        }
    }
    return m;
}

/* Settles what merging left: halves that found no other half, runs of unknowns. */
static int put_spm(struct enc *e, size_t m)
{
    const struct bpe *b = &e->t->bpe;
    bool unk = false;
    int rc = 0;
    for (size_t i = 0; i < m && !rc; i++) {
        int32_t id = e->sym[i];
        if (id >= e->t->n) {
            struct slm_tok_str x = b->extra[id - e->t->n];
            for (size_t k = 0; b->byte_fallback && k < x.n && !rc; k++)
                rc = slm_enc_put(e, b->fallback[(uint8_t)x.s[k]]);
            if (b->byte_fallback)
                continue;
            id = b->unk;
        }
        if (id != b->unk || !unk)
            rc = slm_enc_put(e, id);
        unk = id == b->unk;
    }
    return rc;
}

/* Puts a piece that is marked unused back into the parts it was merged from. Rare: the first
 * pair that makes it counts. */
static int put_unused(struct enc *e, int32_t id, int depth)
{
    const slm_tokenizer *t = e->t;
    if (id < t->n && t->type[id] == SLM_TOKEN_UNUSED && depth < 64) {
        const struct bpe *b = &t->bpe;
        struct slm_tok_str p = t->piece[id];
        for (size_t cut = 1; cut < p.n; cut++) {
            int32_t l = slm_strmap_find(&t->by_piece, p.s, cut);
            int32_t r = slm_strmap_find(&t->by_piece, p.s + cut, p.n - cut);
            if (l >= 0 && r >= 0 && slm_bpe_find(b, l, r)) {
                int rc = put_unused(e, l, depth + 1);
                return rc ? rc : put_unused(e, r, depth + 1);
            }
        }
    }
    e->sym[0] = id;
    return put_spm(e, 1);
}

static int word_plain(struct enc *e, const char *s, size_t n)
{
    const slm_tokenizer *t = e->t;
    const struct bpe *b = &t->bpe;
    if (b->ignore_merges) {
        int32_t id = slm_strmap_find(b->bytes ? &t->by_raw : &t->by_piece, s, n);
        if (id >= 0)
            return slm_enc_put(e, id);
    }
    int rc = room(e, n + 1);
    if (rc)
        return rc;
    size_t m = 0;
    if (b->bytes) {
        for (size_t i = 0; i < n; i++) {
            int32_t id = b->sym[(uint8_t)s[i]];
            if (id >= 0)
                e->sym[m++] = id;
        }
    } else {
        m = b->spm ? symbols_spm(e, s, n) : symbols_json(e, s, n);
    }
    if (m > SHORT)
        rc = merge_long(e, &m);
    else if (m > 1)
        m = merge_short(b, e->sym, m);
    if (rc)
        return rc;
    if (b->has_unused) {
        int32_t keep[SHORT];
        if (m <= SHORT) {
            memcpy(keep, e->sym, m * sizeof *keep);
            for (size_t i = 0; i < m && !rc; i++)
                rc = put_unused(e, keep[i], 0);
            return rc;
        }
    }
    return b->spm ? put_spm(e, m) : slm_ids_append(e->out, e->rt, e->sym, m, e->err);
}

static inline void word_key(const char *s, size_t n, uint64_t *a, uint64_t *b)
{
    uint32_t lo, hi;
    *b = 0;
    if (n >= 8) {
        memcpy(a, s, 8);
        memcpy(b, s + n - 8, 8);
    } else if (n >= 4) {
        memcpy(&lo, s, 4);
        memcpy(&hi, s + n - 4, 4);
        *a = lo | (uint64_t)hi << 32;
    } else {
        *a = (uint64_t)(uint8_t)s[0] | (uint64_t)(uint8_t)s[n / 2] << 8 |
             (uint64_t)(uint8_t)s[n - 1] << 16;
    }
}

/* One word, remembered. */
static int word_cached(struct enc *e, const char *s, size_t n)
{
    if (!n)
        return 0;
    if (n > 16 || e->text < CACHE_MIN_TEXT || e->t->bpe.has_unused)
        return word_plain(e, s, n);
    if (!e->cache) {
        e->cache = slm_zalloc(e->rt, SLM_MEM_TEXT, sizeof *e->cache);
        if (!e->cache)
            return slm_fail_mem(e->err, "encoding", sizeof *e->cache);
    }
    uint64_t a, b;
    word_key(s, n, &a, &b);
    uint64_t h = (a ^ (b << 29 | b >> 35) ^ n) * 0x9E3779B97F4A7C15u;
    h = (h ^ h >> 29) * 0xD6E8FEB86659FD93u;
    struct word *w = &e->cache->word[h >> (64 - CACHE_BITS)];
    if (w->a == a && w->b == b && w->len == n)
        return slm_ids_append(e->out, e->rt, w->id, w->n, e->err);
    size_t from = e->out->len;
    int rc = word_plain(e, s, n);
    size_t got = e->out->len - from;
    if (!rc && got <= CACHE_IDS) {
        *w = (struct word){.a = a, .b = b, .len = (uint8_t)n, .n = (uint8_t)got};
        memcpy(w->id, e->out->data + from, got * sizeof *w->id);
    }
    return rc;
}

/* Text without splitting steps is one long word to the reference. But no pair reaches over the
 * border between an ordinary character and a mark unless a piece does, so those borders cut it
 * into words with the same result. */
int slm_bpe_text(struct enc *e, const char *s, size_t n)
{
    const struct bpe *b = &e->t->bpe;
    size_t from = 0, i = 1;
    int rc = 0;
    if (!b->mergeable || b->has_unused)
        return n ? word_plain(e, s, n) : 0;
    while (!rc && i + SLM_MARK_LEN <= n) {
        const char *p = memchr(s + i, SLM_MARK[0], n - i);
        if (!p)
            break;
        i = (size_t)(p - s);
        if (n - i >= SLM_MARK_LEN && p[1] == SLM_MARK[1] && p[2] == SLM_MARK[2] &&
            !b->glue[(uint8_t)p[-1]]) {
            rc = word_cached(e, s + from, i - from);
            from = i;
        }
        i++;
    }
    return rc || from == n ? rc : word_cached(e, s + from, n - from);
}

int slm_bpe_spm(struct enc *e, const char *s, size_t n)
{
    const slm_tokenizer *t = e->t;
    size_t from = 0;
    int rc = 0;
    for (size_t i = 0; t->has_user && i < n && !rc;) {
        size_t len = 0;
        int32_t k =
            t->user_first[(uint8_t)s[i]] ? slm_trie_longest(&t->user, s + i, n - i, &len) : -1;
        if (k < 0) {
            i++;
            continue;
        }
        rc = i > from ? slm_bpe_text(e, s + from, i - from) : 0;
        if (!rc)
            rc = slm_enc_put(e, t->user_id[k]);
        i += len;
        from = i;
    }
    return rc || from == n ? rc : slm_bpe_text(e, s + from, n - from);
}

int slm_bpe_word(struct enc *e, const char *s, size_t n)
{
    if (e->t->bpe.bytes)
        return word_cached(e, s, n);
    if (e->t->bpe.spm)
        return slm_bpe_spm(e, s, n);
    return e->t->n_pre && !e->t->bpe.mergeable ? word_cached(e, s, n) : slm_bpe_text(e, s, n);
}
