/* BPE: merges learnt from words.
 *
 * The counts of all pairs are kept up to date while merging, so a merge costs what the words
 * that hold its pair cost and never a walk over the text. A heap has the pairs by count; a pair
 * is looked up there as it was when it was put in, and goes back with today's count when that
 * has fallen. A pair that comes into being again (its left or right token was made by two
 * different merges) is put in a second time with its new words only, and is then listed twice:
 * so does the trainer whose merges these are to equal. */
#include "lexicon/lexicon_room.h"

#include <string.h>

/* A pair's count today, and the words of the entry that is being collected for the heap. */
struct pair {
    uint64_t key; /* left << 32 | right, plus 1; 0: free */
    int64_t count;
    uint32_t *word;         /* (n) */
    uint32_t n, fill, last; /* words seen, written down; the last of them, plus 1 */
};
struct entry {
    int64_t count;
    uint64_t key;
    const uint32_t *word;
    uint32_t n;
};
struct touch {
    uint64_t key;
    uint32_t word;
};
struct lists { /* blocks of word numbers */
    struct lists *next;
    uint32_t v[];
};
struct learner {
    slm_runtime *rt;
    const struct lex_words *words;
    int32_t *sym; /* symbols of all words, one behind the other; -1: none, a barrier */
    size_t *start;
    uint32_t *len;
    struct pair *pair;
    size_t mask, used;
    struct entry *heap;
    size_t n_heap, cap_heap;
    struct touch *touch; /* this merge's new pairs */
    size_t n_touch, cap_touch;
    uint64_t *fresh; /* their keys, each once */
    size_t n_fresh, cap_fresh;
    struct lists *block;
    size_t left, block_n;
    struct lex_table ids; /* piece -> id + 1 */
    bool failed;
};

static uint64_t key_of(int32_t l, int32_t r)
{
    return ((uint64_t)(uint32_t)l << 32 | (uint32_t)r) + 1;
}

static size_t spot(const struct learner *b, uint64_t key)
{
    uint64_t h = key * UINT64_C(0x9E3779B97F4A7C15);
    size_t at = (h ^ h >> 31) & b->mask;
    while (b->pair[at].key && b->pair[at].key != key)
        at = (at + 1) & b->mask;
    return at;
}

static struct pair *pair_of(struct learner *b, uint64_t key)
{
    size_t at = spot(b, key);
    if (b->pair[at].key)
        return &b->pair[at];
    if (b->used * 2 > b->mask) {
        struct learner old = *b;
        b->mask = b->mask * 2 + 1;
        b->pair = slm_zalloc_n(b->rt, SLM_MEM_TEXT, b->mask + 1, sizeof *b->pair);
        if (!b->pair) {
            b->pair = old.pair;
            b->mask = old.mask;
            b->failed = true;
            return &b->pair[at]; /* free but not taken: the run ends before it matters */
        }
        for (size_t i = 0; i <= old.mask; i++) {
            if (old.pair[i].key)
                b->pair[spot(b, old.pair[i].key)] = old.pair[i];
        }
        slm_free(b->rt, old.pair);
        at = spot(b, key);
    }
    b->used++;
    b->pair[at].key = key;
    return &b->pair[at];
}

/* --- the heap: highest count, then lowest key --- */

static bool before(const struct entry *x, const struct entry *y)
{
    return x->count != y->count ? x->count > y->count : x->key < y->key;
}

static void push(struct learner *b, struct entry e)
{
    if (slm_grow(b->rt, SLM_MEM_TEXT, (void **)&b->heap, b->n_heap, &b->cap_heap,
                 sizeof *b->heap)) {
        b->failed = true;
        return;
    }
    size_t i = b->n_heap++;
    for (; i && before(&e, &b->heap[(i - 1) / 4]); i = (i - 1) / 4)
        b->heap[i] = b->heap[(i - 1) / 4];
    b->heap[i] = e;
}

static struct entry pop(struct learner *b)
{
    struct entry top = b->heap[0], e = b->heap[--b->n_heap];
    size_t i = 0;
    for (;;) {
        size_t c = i * 4 + 1, best = c, end = c + 4 < b->n_heap ? c + 4 : b->n_heap;
        if (c >= b->n_heap)
            break;
        for (size_t k = c + 1; k < end; k++)
            best = before(&b->heap[k], &b->heap[best]) ? k : best;
        if (!before(&b->heap[best], &e))
            break;
        b->heap[i] = b->heap[best];
        i = best;
    }
    if (b->n_heap)
        b->heap[i] = e;
    return top;
}

/* Room for n word numbers. */
static uint32_t *list(struct learner *b, size_t n)
{
    if (n > b->left) {
        size_t size = n > 1 << 18 ? n : 1 << 18;
        struct lists *x = slm_alloc(b->rt, SLM_MEM_TEXT, sizeof *x + size * sizeof *x->v);
        if (!x) {
            b->failed = true;
            return NULL;
        }
        x->next = b->block;
        b->block = x;
        b->left = b->block_n = size;
    }
    uint32_t *v = b->block->v + (b->block_n - b->left);
    b->left -= n;
    return v;
}

/* --- pairs --- */

/* Is it the first time that word w has the pair? Words come one after the other. */
static bool first_in(struct pair *p, uint32_t w)
{
    if (p->n && p->last == w + 1)
        return false;
    p->n++;
    p->last = w + 1;
    return true;
}

/* The pair comes into being in word w. */
static void touch(struct learner *b, struct pair *p, uint32_t w)
{
    bool fresh = !p->n;
    if (!first_in(p, w))
        return;
    if (slm_grow(b->rt, SLM_MEM_TEXT, (void **)&b->touch, b->n_touch, &b->cap_touch,
                 sizeof *b->touch) ||
        slm_grow(b->rt, SLM_MEM_TEXT, (void **)&b->fresh, b->n_fresh, &b->cap_fresh,
                 sizeof *b->fresh)) {
        b->failed = true;
        return;
    }
    if (fresh)
        b->fresh[b->n_fresh++] = p->key;
    b->touch[b->n_touch++] = (struct touch){p->key, w};
}

/* Room for a pair's words, when it is frequent enough to come into the heap. */
static void open_list(struct learner *b, struct pair *p, int64_t least)
{
    p->word = p->count >= least && p->n ? list(b, p->n) : NULL;
    p->fill = 0;
}

static void close_list(struct learner *b, struct pair *p)
{
    if (p->word)
        push(b, (struct entry){p->count, p->key, p->word, p->fill});
    p->word = NULL;
    p->n = p->fill = p->last = 0;
}

static void settle(struct learner *b, int64_t least)
{
    for (size_t i = 0; i < b->n_fresh && !b->failed; i++)
        open_list(b, &b->pair[spot(b, b->fresh[i])], least);
    for (size_t i = 0; i < b->n_touch && !b->failed; i++) {
        struct pair *p = &b->pair[spot(b, b->touch[i].key)];
        if (p->word)
            p->word[p->fill++] = b->touch[i].word;
    }
    for (size_t i = 0; i < b->n_fresh && !b->failed; i++)
        close_list(b, &b->pair[spot(b, b->fresh[i])]);
    b->n_fresh = b->n_touch = 0;
}

/* All pairs of all words: counted first, then written down. */
static void initial(struct learner *b, int64_t least)
{
    for (int pass = 0; pass < 2 && !b->failed; pass++) {
        for (size_t w = 0; w < b->words->n && !b->failed; w++) {
            const int32_t *s = b->sym + b->start[w];
            for (uint32_t i = 0; i + 1 < b->len[w]; i++) {
                if (s[i] < 0 || s[i + 1] < 0)
                    continue;
                struct pair *p = pair_of(b, key_of(s[i], s[i + 1]));
                if (!pass)
                    p->count += (int64_t)b->words->word[w].count;
                if (!pass)
                    first_in(p, (uint32_t)w);
                else if (p->word && p->last != w + 1)
                    p->word[p->fill++] = (uint32_t)w;
                p->last = (uint32_t)w + 1;
            }
        }
        for (size_t i = 0; i <= b->mask && !b->failed; i++) {
            struct pair *p = &b->pair[i];
            if (p->key && !pass)
                open_list(b, p, least);
            else if (p->key)
                close_list(b, p);
            p->last = 0;
        }
    }
}

/* --- merging --- */

static void change(struct learner *b, int32_t l, int32_t r, int64_t by, uint32_t w)
{
    if (l < 0 || r < 0)
        return;
    struct pair *p = pair_of(b, key_of(l, r));
    p->count += by;
    if (by > 0)
        touch(b, p, w);
}

/* Replaces the pair in word w from left to right; counts follow each replacement, so that a run
 * of one symbol is counted as it is cut up. */
static void merge_word(struct learner *b, uint32_t w, const struct lex_merge *m)
{
    int32_t *s = b->sym + b->start[w];
    int64_t count = (int64_t)b->words->word[w].count;
    uint32_t n = b->len[w], out = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (s[i] != m->left || i + 1 >= n || s[i + 1] != m->right) {
            s[out++] = s[i];
            continue;
        }
        if (out) {
            change(b, s[out - 1], m->left, -count, w);
            change(b, s[out - 1], m->id, count, w);
        }
        if (i + 2 < n) {
            change(b, m->right, s[i + 2], -count, w);
            change(b, m->id, s[i + 2], count, w);
        }
        s[out++] = m->id;
        i++;
    }
    b->len[w] = out;
}

/* The token of a merge: a new one, or the one that is spelled so already. */
static int32_t token_of(struct learner *b, struct lex_vocab *v, int32_t l, int32_t r)
{
    struct slm_tok_str x = v->piece[l], y = v->piece[r];
    char small[256], *s = small;
    size_t n = x.n + y.n;
    if (n > sizeof small)
        s = slm_alloc(b->rt, SLM_MEM_TEXT, n);
    if (!s)
        return -1;
    memcpy(s, x.s, x.n);
    memcpy(s + x.n, y.s, y.n);
    const struct lex_word *known = slm_lex_table_find(&b->ids, s, n);
    int32_t id = known ? (int32_t)known->count - 1 : slm_lex_vocab_add(v, s, n, 0);
    if (!known && id >= 0 && !slm_lex_table_add(&b->ids, s, n, (uint64_t)id + 1))
        id = -1;
    if (s != small)
        slm_free(b->rt, s);
    return id;
}

static size_t chars_of(struct slm_tok_str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((uint8_t)s.s[i] & 0xC0) != 0x80;
    return n;
}

static int one_merge(struct learner *b, struct lex_vocab *v, const struct entry *top,
                     const slm_lexicon_opts *o, slm_err *err)
{
    struct lex_merge m = {(int32_t)((top->key - 1) >> 32), (int32_t)(uint32_t)(top->key - 1),
                          0};
    if (o->max_piece &&
        chars_of(v->piece[m.left]) + chars_of(v->piece[m.right]) > (size_t)o->max_piece)
        return 0;
    m.id = token_of(b, v, m.left, m.right);
    if (m.id < 0 || slm_grow(b->rt, SLM_MEM_TEXT, (void **)&v->merge, v->n_merges,
                             &v->cap_merges, sizeof *v->merge))
        return slm_fail_mem(err, "merges", v->n_merges);
    v->merge[v->n_merges++] = m;
    for (uint32_t i = 0; i < top->n && !b->failed; i++)
        merge_word(b, top->word[i], &m);
    settle(b, (int64_t)o->min_frequency);
    return 0;
}

static int merge_all(struct learner *b, struct lex_vocab *v, const slm_lexicon_opts *o,
                     slm_err *err)
{
    int rc = 0;
    size_t told = 0;
    while (!rc && !b->failed && v->n < (size_t)o->vocab && b->n_heap) {
        struct entry top = pop(b);
        int64_t now = b->pair[spot(b, top.key)].count;
        if (top.count != now) {
            top.count = now;
            if (now >= (int64_t)o->min_frequency)
                push(b, top);
            continue;
        }
        rc = one_merge(b, v, &top, o, err);
        if (!rc && o->progress && v->n >= told + 64) {
            told = v->n;
            if (o->progress(o->progress_arg, v->n, (uint64_t)o->vocab))
                rc = slm_fail(err, SLM_E_CANCELLED, "cancelled");
        }
    }
    return !rc && b->failed ? slm_fail_mem(err, "merges", b->used * sizeof *b->pair) : rc;
}

/* --- the alphabet --- */

/* Symbols of bytes, in the order of the characters that stand for them. */
static int byte_symbols(struct learner *b, struct lex_vocab *v, int32_t sym[256])
{
    for (int32_t cp = 0; cp < 0x200; cp++) {
        int byte = slm_char_byte(cp);
        if (byte < 0)
            continue;
        char c = (char)byte;
        sym[byte] = slm_lex_vocab_add(v, &c, 1, 0);
        if (sym[byte] < 0 || !slm_lex_table_add(&b->ids, &c, 1, (uint64_t)sym[byte] + 1))
            return SLM_E_NOMEM;
    }
    v->alphabet = 256;
    return 0;
}

static int char_symbols(struct learner *b, struct lex_vocab *v, const slm_lexicon_opts *o,
                        slm_err *err)
{
    struct lex_char *c = NULL;
    size_t n = 0;
    int rc = slm_lex_alphabet(&c, &n, b->rt, b->words, o->coverage, err);
    for (size_t i = 0; i < n && !rc; i++) {
        char s[4];
        size_t len = (size_t)slm_utf8_put(s, c[i].cp);
        int32_t id = slm_lex_vocab_add(v, s, len, 0);
        if (id < 0 || !slm_lex_table_add(&b->ids, s, len, (uint64_t)id + 1))
            rc = slm_fail_mem(err, "characters", n);
    }
    slm_free(b->rt, c);
    v->alphabet = (int)n;
    return rc;
}

static void write_symbols(struct learner *b, const int32_t sym[256], bool bytes)
{
    size_t at = 0;
    for (size_t w = 0; w < b->words->n; w++) {
        const struct lex_word *x = &b->words->word[w];
        b->start[w] = at;
        for (size_t i = 0, len; i < x->n; i += len) {
            int32_t cp;
            len = bytes ? 1 : (size_t)slm_utf8_next(x->s + i, x->n - i, &cp);
            const struct lex_word *known =
                bytes ? NULL : slm_lex_table_find(&b->ids, x->s + i, len);
            b->sym[at++] = bytes   ? sym[(uint8_t)x->s[i]]
                           : known ? (int32_t)known->count - 1
                                   : -1;
        }
        b->len[w] = (uint32_t)(at - b->start[w]);
    }
}

static int begin(struct learner *b, struct lex_vocab *v, const slm_lexicon_opts *o,
                 slm_err *err)
{
    size_t all = 0, n = b->words->n;
    int32_t sym[256] = {0};
    if (n >= UINT32_MAX)
        return slm_fail(err, SLM_E_LIMIT, "%zu distinct words", n);
    for (size_t i = 0; i < n; i++)
        all += b->words->word[i].n;
    b->mask = (1 << 16) - 1;
    b->pair = slm_zalloc_n(b->rt, SLM_MEM_TEXT, b->mask + 1, sizeof *b->pair);
    b->sym = slm_alloc_n(b->rt, SLM_MEM_TEXT, all, sizeof *b->sym);
    b->start = slm_alloc_n(b->rt, SLM_MEM_TEXT, n, sizeof *b->start);
    b->len = slm_alloc_n(b->rt, SLM_MEM_TEXT, n, sizeof *b->len);
    if (!b->pair || !b->sym || !b->start || !b->len)
        return slm_fail_mem(err, "words", all * sizeof *b->sym);
    int rc = slm_lex_table_init(&b->ids, b->rt, (size_t)o->vocab, err);
    if (!rc && !o->byte_fallback && byte_symbols(b, v, sym))
        rc = slm_fail_mem(err, "bytes", 256);
    else if (!rc && o->byte_fallback)
        rc = char_symbols(b, v, o, err);
    if (!rc)
        write_symbols(b, sym, !o->byte_fallback);
    return rc;
}

static void end(struct learner *b)
{
    for (struct lists *x = b->block, *next; x; x = next) {
        next = x->next;
        slm_free(b->rt, x);
    }
    slm_lex_table_release(&b->ids);
    slm_free(b->rt, b->pair);
    slm_free(b->rt, b->sym);
    slm_free(b->rt, b->start);
    slm_free(b->rt, b->len);
    slm_free(b->rt, b->heap);
    slm_free(b->rt, b->touch);
    slm_free(b->rt, b->fresh);
}

int slm_lex_bpe(struct lex_vocab *v, const struct lex_words *w, const slm_lexicon_opts *o,
                slm_err *err)
{
    struct learner b = {.rt = w->table.rt, .words = w};
    int rc = begin(&b, v, o, err);
    if (!rc) {
        initial(&b, (int64_t)(o->min_frequency ? o->min_frequency : 1));
        rc = merge_all(&b, v, o, err);
    }
    for (size_t i = 0; i < w->n && !rc; i++)
        v->tokens += b.len[i] * w->word[i].count;
    end(&b);
    return rc;
}
