/* The unigram model: the best-scored way to cut a word into pieces, by one forward pass
 * (Viterbi) over byte positions. The two references differ where scores tie or nearly tie, so
 * their arithmetic is kept apart: SentencePiece's sums are float, those of the tokenizers
 * library double; SentencePiece also passes over unused pieces and favours user-defined ones.
 */
#include "text/tok.h"

#include <string.h>

#define UNK_PENALTY 10.0

struct uni_node {
    double score;
    int32_t id;
    int64_t from; /* -1: not reached */
};

static double store(const struct unigram *u, double v) { return u->spm ? (double)(float)v : v; }

static void reach(const struct unigram *u, struct uni_node *to, double score, int32_t id,
                  size_t from)
{
    score = store(u, score);
    if (to->from < 0 || score > to->score) {
        to->score = score;
        to->id = id;
        to->from = (int64_t)from;
    }
}

static double piece_score(const slm_tokenizer *t, int32_t id, size_t len)
{
    const struct unigram *u = &t->uni;
    if (!u->spm)
        return t->dscore ? t->dscore[id] : (double)t->score[id];
    if (t->type[id] == SLM_TOKEN_USER)
        return (double)((float)len * (float)u->max_score) - 0.1;
    return (double)t->score[id];
}

/* All pieces that start at i. */
static void extend(const slm_tokenizer *t, struct uni_node *node, const char *s, size_t n,
                   size_t i)
{
    const struct unigram *u = &t->uni;
    double here = node[i].score;
    int32_t cp;
    size_t len = (size_t)slm_utf8_next(s + i, n - i, &cp), k = i;
    bool single = false;
    for (uint32_t at = 0; k < n && (at = slm_trie_step(&u->trie, at, (uint8_t)s[k]));) {
        k++;
        int32_t id = u->trie.node[at].value;
        if (id < 0 || (u->spm && t->type[id] == SLM_TOKEN_UNUSED))
            continue;
        reach(u, &node[k], piece_score(t, id, k - i) + here, id, i);
        single |= k - i == len;
    }
    if (!single) {
        double unk = u->spm ? (double)((float)u->min_score - (float)UNK_PENALTY)
                            : u->min_score - UNK_PENALTY;
        reach(u, &node[i + len], unk + here, u->unk, i);
    }
}

static int put_unknown(struct enc *e, const char *s, size_t n)
{
    const struct unigram *u = &e->t->uni;
    int32_t whole = u->spm ? -1 : slm_strmap_find(&e->t->by_piece, s, n);
    if (whole >= 0) /* the run happens to spell a piece: the unknown token's own name, say */
        return slm_enc_put(e, whole);
    bool all = u->byte_fallback;
    for (size_t i = 0; all && i < n; i++)
        all = u->fallback[(uint8_t)s[i]] >= 0;
    if (!all) {
        if (u->unk < 0)
            return slm_fail(e->err, SLM_E_FORMAT,
                            "%s: a character has no token, and there is no "
                            "unknown token",
                            e->t->name);
        return slm_enc_put(e, u->unk);
    }
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++)
        rc = slm_enc_put(e, u->fallback[(uint8_t)s[i]]);
    return rc;
}

/* Walks the best path; its nodes' `from` are turned round first, so that it can be read
 * forward. */
static int put_path(struct enc *e, const char *s, size_t n)
{
    struct uni_node *node = e->node;
    int32_t unk = e->t->uni.unk;
    int64_t next = (int64_t)n;
    for (int64_t at = (int64_t)n; at > 0;) {
        int64_t from = node[at].from;
        node[at].from = next; /* where the piece behind this one ends */
        next = at;
        at = from;
    }
    int rc = 0;
    for (int64_t at = 0, end = next; at < (int64_t)n && !rc;) {
        int32_t id = node[end].id;
        int64_t after = node[end].from, start = at;
        at = end;
        if (id != unk) {
            rc = slm_enc_put(e, id);
            end = after;
            continue;
        }
        while (at < (int64_t)n && node[after].id == unk) { /* a run of unknowns is one */
            end = after;
            after = node[end].from;
            at = end;
        }
        rc = put_unknown(e, s + start, (size_t)(at - start));
        end = after;
    }
    return rc;
}

int slm_unigram_word(struct enc *e, const char *s, size_t n)
{
    if (!n)
        return 0;
    if (n + 1 > e->cap_node) {
        size_t cap = n + n / 2 + 64;
        struct uni_node *p = slm_realloc(e->rt, SLM_MEM_TEXT, e->node, cap * sizeof *p);
        if (!p)
            return slm_fail_mem(e->err, "encoding a word", cap * sizeof *p);
        e->node = p;
        e->cap_node = cap;
    }
    for (size_t i = 0; i <= n; i++)
        e->node[i].from = -1;
    e->node[0].score = 0;
    for (size_t i = 0; i < n;) {
        int32_t cp;
        size_t len = (size_t)slm_utf8_next(s + i, n - i, &cp);
        extend(e->t, e->node, s, n, i);
        i += len;
    }
    return put_path(e, s, n);
}
