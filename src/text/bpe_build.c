/* The merge table: pairs of symbols with rank and outcome, from written merges (tokenizer.json,
 * merges.txt, GGUF), from scores (SentencePiece) or from the order of pieces (tiktoken).
 *
 * In the last two no merges are written: any two neighbours merge whose joined text is a piece.
 * As each symbol is itself a piece (or a single character), all such pairs can be listed
 * beforehand by cutting every piece in two in every way. */
#include "text/tok.h"

#include <stdlib.h>
#include <string.h>

int slm_bpe_begin(slm_tokenizer *t, size_t pairs, slm_err *err)
{
    struct bpe *b = &t->bpe;
    int bits = 4;
    while (((size_t)1 << bits) < pairs + pairs / 2 + 1)
        bits++;
    b->pair = slm_arena_alloc_n(&t->arena, (size_t)1 << bits, sizeof *b->pair);
    if (!b->pair)
        return slm_fail_mem(err, "merges", pairs * sizeof *b->pair);
    b->shift = 64 - bits;
    return 0;
}

bool slm_bpe_add(struct bpe *b, int32_t left, int32_t right, uint32_t rank, int32_t id)
{
    uint64_t key = (uint64_t)(uint32_t)(left + 1) << 32 | (uint32_t)(right + 1);
    size_t mask = ((size_t)1 << (64 - b->shift)) - 1;
    size_t i = (size_t)(key * 0x9E3779B97F4A7C15u >> b->shift);
    for (; b->pair[i].key; i = (i + 1) & mask) {
        if (b->pair[i].key == key)
            return false;
    }
    b->pair[i] = (struct bpe_pair){key, rank, id};
    b->n_pair++;
    return true;
}

/* Is id's piece these two strings, one behind the other? */
static bool is_joined(const slm_tokenizer *t, int32_t id, struct slm_tok_str a,
                      struct slm_tok_str b)
{
    if (id < 0 || id >= t->n || t->piece[id].n != a.n + b.n || !a.n ||
        t->type[id] != SLM_TOKEN_NORMAL)
        return false;
    return !memcmp(t->piece[id].s, a.s, a.n) && !memcmp(t->piece[id].s + a.n, b.s, b.n);
}

/* The token that left and right make. Vocabularies are mostly numbered in the order of their
 * merges, so the one behind the last is tried first, which saves a third of the look-ups. */
static int32_t joined(const slm_tokenizer *t, struct slm_tok_str left, struct slm_tok_str right,
                      int32_t last)
{
    char small[256];
    size_t n = left.n + right.n;
    if (is_joined(t, last + 1, left, right))
        return last + 1;
    char *s = n <= sizeof small ? small : slm_alloc(t->rt, SLM_MEM_TEXT, n);
    if (!s)
        return -1;
    memcpy(s, left.s, left.n);
    memcpy(s + left.n, right.s, right.n);
    int32_t id = slm_strmap_find(&t->by_piece, s, n);
    if (s != small)
        slm_free(t->rt, s);
    return id;
}

int slm_bpe_add_merge(slm_tokenizer *t, struct slm_tok_str left, struct slm_tok_str right,
                      uint32_t rank, slm_err *err)
{
    struct bpe *b = &t->bpe;
    int32_t l = slm_strmap_find(&t->by_piece, left.s, left.n);
    int32_t r = slm_strmap_find(&t->by_piece, right.s, right.n);
    if (l < 0 || r < 0)
        return slm_fail(err, SLM_E_FORMAT,
                        "%s: merge %u: token '%.*s' is not in the vocabulary", t->name, rank,
                        (int)(l < 0 ? left.n : right.n) & 0xFF, l < 0 ? left.s : right.s);
    struct slm_tok_str rest = right;
    if (b->prefix.n && right.n >= b->prefix.n && !memcmp(right.s, b->prefix.s, b->prefix.n)) {
        rest.s += b->prefix.n; /* the joined token has no second prefix inside */
        rest.n -= b->prefix.n;
    }
    int32_t id = joined(t, left, rest, b->last);
    if (id < 0)
        return slm_fail(err, SLM_E_FORMAT, "%s: merge %u: '%.*s' and '%.*s' make no token",
                        t->name, rank, (int)left.n & 0xFF, left.s, (int)right.n & 0xFF,
                        right.s);
    b->last = id;
    slm_bpe_add(b, l, r, rank, id);
    return 0;
}

/* --- pairs from the pieces --- */

/* The symbol that a half of a piece is: a token, or (scores) a single character of its own. */
static int32_t half(slm_tokenizer *t, const struct strmap *map, const char *s, size_t n)
{
    int32_t id = slm_strmap_find(map, s, n);
    if (id >= 0 || !t->bpe.extra_map.slot)
        return id;
    id = slm_strmap_find(&t->bpe.extra_map, s, n);
    return id < 0 ? -1 : id + t->n;
}

struct cut_list {
    struct bpe_pair *v;
    size_t n, cap;
};

/* All ways to cut one piece in two. */
static int cut_piece(slm_tokenizer *t, const struct strmap *map, int id, uint32_t rank,
                     struct cut_list *out)
{
    struct slm_tok_str p = map->keys[id];
    for (size_t cut = 1; cut < p.n; cut++) {
        if (t->bpe.spm && ((uint8_t)p.s[cut] & 0xC0) == 0x80)
            continue; /* inside a character */
        int32_t l = half(t, map, p.s, cut);
        int32_t r = l < 0 ? -1 : half(t, map, p.s + cut, p.n - cut);
        if (r < 0)
            continue;
        if (out->n == out->cap &&
            slm_grow(t->rt, SLM_MEM_TEXT, (void **)&out->v, out->n, &out->cap, sizeof *out->v))
            return SLM_E_NOMEM;
        uint64_t key = (uint64_t)(uint32_t)(l + 1) << 32 | (uint32_t)(r + 1);
        out->v[out->n++] = (struct bpe_pair){key, rank, id};
    }
    return 0;
}

/* The table from all cuts of all pieces; rank NULL: by id. */
static int cut_all(slm_tokenizer *t, const struct strmap *map, const uint32_t *rank,
                   slm_err *err)
{
    struct cut_list list = {NULL, 0, 0};
    int rc = 0;
    for (int id = 0; id < t->n && !rc; id++) {
        struct slm_tok_str p = map->keys[id];
        if (p.n >= 2 && slm_strmap_find(map, p.s, p.n) == id)
            rc = cut_piece(t, map, id, rank ? rank[id] : (uint32_t)id, &list);
    }
    rc = rc ? slm_fail_mem(err, "merges", list.n) : slm_bpe_begin(t, list.n, err);
    for (size_t i = 0; i < list.n && !rc; i++) {
        const struct bpe_pair *p = &list.v[i];
        slm_bpe_add(&t->bpe, (int32_t)(p->key >> 32) - 1, (int32_t)(uint32_t)p->key - 1,
                    p->rank, p->id);
    }
    slm_free(t->rt, list.v);
    return rc;
}

/* A long piece has many cuts, each of which is hashed: bounded, since files are hostile. */
static int check_work(const slm_tokenizer *t, const struct strmap *map, slm_err *err)
{
    uint64_t work = 0;
    for (int id = 0; id < t->n; id++)
        work += (uint64_t)map->keys[id].n * map->keys[id].n;
    return work > 2000000000u
               ? slm_fail(err, SLM_E_LIMIT, "%s: tokens too long to merge", t->name)
               : 0;
}

struct scored {
    float score;
    int32_t id;
};
static int by_score(const void *x, const void *y)
{
    const struct scored *a = x, *b = y;
    return a->score > b->score ? -1 : a->score < b->score;
}

/* Characters inside pieces that are no piece themselves, so that halves made of them have an
 * id. */
static int find_extra(slm_tokenizer *t, slm_err *err)
{
    struct bpe *b = &t->bpe;
    size_t n = 0;
    for (int pass = 0; pass < 2; pass++) {
        size_t at = 0;
        for (int id = 0; id < t->n; id++) {
            struct slm_tok_str p = t->piece[id];
            if (slm_strmap_find(&t->by_piece, p.s, p.n) != id)
                continue;
            for (size_t i = 0, len; i < p.n; i += len) {
                int32_t cp;
                len = (size_t)slm_utf8_next(p.s + i, p.n - i, &cp);
                if (len == p.n || slm_strmap_find(&t->by_piece, p.s + i, len) >= 0)
                    continue;
                if (!pass) {
                    n++;
                } else if (slm_strmap_find(&b->extra_map, p.s + i, len) < 0) {
                    b->extra[at] = (struct slm_tok_str){p.s + i, len};
                    slm_strmap_add(&b->extra_map, (int32_t)at++);
                }
            }
        }
        if (pass || !n) {
            b->n_extra = (int)at;
            return 0;
        }
        b->extra = slm_arena_alloc_n(&t->arena, n, sizeof *b->extra);
        if (!b->extra || slm_strmap_init(&b->extra_map, &t->arena, b->extra, n))
            return slm_fail_mem(err, "pieces", n);
    }
    return 0;
}

int slm_bpe_from_scores(slm_tokenizer *t, slm_err *err)
{
    t->bpe.spm = true;
    int rc = check_work(t, &t->by_piece, err);
    rc = rc ? rc : find_extra(t, err);
    if (rc)
        return rc;
    size_t n = (size_t)t->n;
    struct scored *order = slm_alloc_n(t->rt, SLM_MEM_TEXT, n, sizeof *order);
    uint32_t *rank = slm_alloc_n(t->rt, SLM_MEM_TEXT, n, sizeof *rank);
    if (!order || !rank) {
        rc = slm_fail_mem(err, "merges", n);
    } else {
        for (size_t i = 0; i < n; i++)
            order[i] = (struct scored){t->score[i], (int32_t)i};
        qsort(order, n, sizeof *order, by_score);
        uint32_t r = 0;
        /* equal scores are equal ranks: then the leftmost merges */
        for (size_t i = 0; i < n; i++) {
            r += i && order[i].score < order[i - 1].score;
            rank[order[i].id] = r;
        }
        rc = cut_all(t, &t->by_piece, rank, err);
    }
    slm_free(t->rt, order);
    slm_free(t->rt, rank);
    return rc;
}

int slm_bpe_from_ranks(slm_tokenizer *t, slm_err *err)
{
    int rc = check_work(t, &t->by_raw, err);
    rc = rc ? rc : cut_all(t, &t->by_raw, NULL, err);
    t->bpe.by_rank = true;
    return rc;
}

/* The text of a symbol. */
static struct slm_tok_str symbol(const slm_tokenizer *t, int32_t id)
{
    return id >= t->n ? t->bpe.extra[id - t->n] : t->piece[id];
}

void slm_bpe_finish(slm_tokenizer *t)
{
    struct bpe *b = &t->bpe;
    for (int c = 0; c < 256; c++) {
        char ch = (char)c;
        b->sym[c] = b->bytes   ? slm_strmap_find(&t->by_raw, &ch, 1)
                    : c < 0x80 ? slm_strmap_find(&t->by_piece, &ch, 1)
                               : -1;
    }
    if (b->bytes || b->prefix.n || b->suffix.n || (b->ignore_merges && !b->spm) || !b->pair)
        return;
    if (slm_strmap_find(&t->by_piece, SLM_MARK, SLM_MARK_LEN) < 0)
        return;
    size_t cap = (size_t)1 << (64 - b->shift);
    for (size_t i = 0; i < cap; i++) {
        if (!b->pair[i].key)
            continue;
        struct slm_tok_str l = symbol(t, (int32_t)(b->pair[i].key >> 32) - 1);
        struct slm_tok_str r = symbol(t, (int32_t)(uint32_t)b->pair[i].key - 1);
        if (l.n && r.n >= SLM_MARK_LEN && !memcmp(r.s, SLM_MARK, SLM_MARK_LEN))
            b->glue[(uint8_t)l.s[l.n - 1]] = 1;
    }
    b->mergeable = true;
}
