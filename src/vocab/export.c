/* A tokenizer as GGUF's keys: the tables as llama.cpp reads them, padded to the rows of the
 * embedding. What GGUF has no words for is refused rather than written as something near. */
#include "vocab/tok_export.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool slm_tok_marks_front(const slm_tokenizer *t)
{
    for (int i = 0; i < t->n_norm; i++) {
        if (t->norm[i].kind == NORM_PREPEND ||
            (t->norm[i].kind == NORM_SPM && t->norm[i].dummy_prefix))
            return true;
    }
    for (int i = 0; i < t->n_pre; i++) {
        if (t->pre[i].kind == PRE_METASPACE && t->pre[i].scheme != PREPEND_NEVER)
            return true;
    }
    return false;
}

bool slm_tok_trims(const slm_tokenizer *t)
{
    for (int i = 0; i < t->n_norm; i++) {
        const struct norm_step *s = &t->norm[i];
        if (s->kind == NORM_STRIP || (s->kind == NORM_SPM && s->extra_spaces) ||
            (s->kind == NORM_REPLACE_RE && memchr(s->a.s, '{', s->a.n)))
            return true;
    }
    return false;
}

const struct charsmap *slm_tok_map(const slm_tokenizer *t)
{
    for (int i = 0; i < t->n_norm; i++) {
        if (t->norm[i].map)
            return t->norm[i].map;
    }
    return NULL;
}

bool slm_tok_is_spm(const slm_tokenizer *t)
{
    const struct bpe *b = &t->bpe;
    if (t->kind != MODEL_BPE || b->bytes || b->prefix.n || b->suffix.n)
        return false;
    if (b->spm)
        return true;
    for (int i = 0; i < t->n_norm; i++) {
        if (t->norm[i].kind == NORM_REPLACE && t->norm[i].b.n == SLM_MARK_LEN &&
            !memcmp(t->norm[i].b.s, SLM_MARK, SLM_MARK_LEN))
            return b->byte_fallback;
    }
    return b->byte_fallback && t->n_pre == 1 && t->pre[0].kind == PRE_METASPACE;
}

/* --- merges --- */

static int by_rank(const void *x, const void *y)
{
    const struct merge *a = x, *b = y;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    if (a->left != b->left)
        return a->left < b->left ? -1 : 1;
    return a->right < b->right ? -1 : a->right > b->right;
}

/* The two parts that a token's bytes have merged into just before they become it. */
static bool parts(const slm_tokenizer *t, int32_t id, struct merge *m)
{
    const struct bpe *b = &t->bpe;
    int32_t sym[256];
    size_t n = t->raw[id].n;
    if (n < 2 || n > 256)
        return false;
    for (size_t i = 0; i < n; i++) {
        sym[i] = b->sym[(uint8_t)t->raw[id].s[i]];
        if (sym[i] < 0)
            return false;
    }
    while (n > 2) {
        size_t best = 0;
        uint32_t rank = (uint32_t)id;
        const struct bpe_pair *to = NULL;
        for (size_t i = 0; i + 1 < n; i++) {
            const struct bpe_pair *p = slm_bpe_find(b, sym[i], sym[i + 1]);
            if (p && p->rank < rank) {
                rank = p->rank;
                best = i;
                to = p;
            }
        }
        if (!to)
            return false;
        sym[best] = to->id;
        n--;
        memmove(sym + best + 1, sym + best + 2, (n - best - 1) * sizeof *sym);
    }
    const struct bpe_pair *p = slm_bpe_find(b, sym[0], sym[1]);
    *m = (struct merge){(uint32_t)id, sym[0], sym[1], id};
    return p && p->id == id;
}

int slm_tok_merges(const slm_tokenizer *t, struct slm_arena *a, struct merge **out, size_t *n,
                   slm_err *err)
{
    const struct bpe *b = &t->bpe;
    size_t cap = b->by_rank ? (size_t)t->n : b->n_pair, m = 0;
    struct merge *list = slm_arena_alloc_n(a, cap + 1, sizeof *list);
    if (!list)
        return slm_fail_mem(err, "merges", cap);
    for (int32_t id = 0; b->by_rank && id < t->n; id++)
        m += t->type[id] == SLM_TOKEN_NORMAL && parts(t, id, &list[m]);
    size_t slots = b->by_rank || !b->pair ? 0 : (size_t)1 << (64 - b->shift);
    for (size_t i = 0; i < slots; i++) {
        const struct bpe_pair *p = &b->pair[i];
        struct merge x = {p->rank, (int32_t)(p->key >> 32) - 1, (int32_t)(uint32_t)p->key - 1,
                          p->id};
        if (p->key && x.left < t->n && x.right < t->n)
            list[m++] = x;
    }
    qsort(list, m, sizeof *list, by_rank);
    *out = list;
    *n = m;
    return 0;
}

/* --- tables --- */

struct tables {
    struct slm_tok_str *tokens;
    float *scores;
    int32_t *types;
    size_t n;
};

static int fill_tables(struct slm_tok_export *x, const slm_tokenizer *t, size_t rows,
                       struct tables *o, slm_err *err)
{
    struct slm_arena *a = &x->arena;
    o->n = rows > (size_t)t->n ? rows : (size_t)t->n;
    o->tokens = slm_arena_alloc_n(a, o->n, sizeof *o->tokens);
    o->scores = slm_arena_alloc_n(a, o->n, sizeof *o->scores);
    o->types = slm_arena_alloc_n(a, o->n, sizeof *o->types);
    if (!o->tokens || !o->scores || !o->types)
        return slm_fail_mem(err, "tokens", o->n);
    for (size_t i = 0; i < o->n; i++) {
        bool there = i < (size_t)t->n && t->piece[i].s;
        o->types[i] = there ? t->type[i] : SLM_TOKEN_UNUSED;
        o->scores[i] = there ? t->score[i] : -10000.0f;
        if (there) {
            o->tokens[i] = t->piece[i];
            continue;
        }
        char name[32];
        int n = snprintf(name, sizeof name, "[PAD%zu]", i);
        o->tokens[i] = (struct slm_tok_str){slm_arena_strndup(a, name, (size_t)n), (size_t)n};
        if (!o->tokens[i].s)
            return slm_fail_mem(err, "tokens", o->n);
    }
    x->spec.tokens = o->tokens;
    x->spec.types = o->types;
    x->spec.n_tokens = x->spec.n_types = o->n;
    return 0;
}

static int put_merges(struct slm_tok_export *x, const slm_tokenizer *t, slm_err *err)
{
    struct merge *m;
    size_t n;
    int rc = slm_tok_merges(t, &x->arena, &m, &n, err);
    if (rc)
        return rc;
    struct slm_tok_str *s = slm_arena_alloc_n(&x->arena, n + 1, sizeof *s);
    for (size_t i = 0; s && i < n; i++) {
        struct slm_tok_str l = t->piece[m[i].left], r = t->piece[m[i].right];
        char *p = slm_arena_alloc(&x->arena, l.n + r.n + 2);
        if (!p)
            return slm_fail_mem(err, "merges", n);
        memcpy(p, l.s, l.n);
        p[l.n] = ' ';
        memcpy(p + l.n + 1, r.s, r.n);
        s[i] = (struct slm_tok_str){p, l.n + 1 + r.n};
    }
    x->spec.merges = s;
    x->spec.n_merges = n;
    return s ? 0 : slm_fail_mem(err, "merges", n);
}

/* Runs of marks (Gemma's spaces) may be added tokens too, but no text spells them: merges lead
 * to them, and readers must take them for plain. */
static bool is_run(const slm_tokenizer *t, int i)
{
    return t->type[i] == SLM_TOKEN_USER &&
           memmem(t->piece[i].s, t->piece[i].n, SLM_MARK, SLM_MARK_LEN);
}

/* Scores for a vocabulary that came with merges: the earlier a token can be merged, the better.
 */
static void scores_from_merges(const slm_tokenizer *t, float *scores)
{
    const struct bpe *b = &t->bpe;
    size_t slots = b->pair ? (size_t)1 << (64 - b->shift) : 0;
    for (int i = 0; i < t->n; i++) {
        int type = t->type[i];
        bool merged = type == SLM_TOKEN_NORMAL || is_run(t, i);
        scores[i] = merged ? -1e9f : type == SLM_TOKEN_BYTE ? 0 : -1000.0f;
    }
    for (size_t i = 0; i < slots; i++) {
        float s = -(float)b->pair[i].rank;
        if (b->pair[i].key && b->pair[i].id < t->n && s > scores[b->pair[i].id])
            scores[b->pair[i].id] = s;
    }
}

static int put_spm(struct slm_tok_export *x, const slm_tokenizer *t, struct tables *o,
                   slm_err *err)
{
    x->spec.model = t->kind == MODEL_UNIGRAM ? "t5" : "llama";
    x->spec.pre = "default";
    x->spec.scores = o->scores;
    x->spec.n_scores = o->n;
    bool merges = t->kind == MODEL_BPE && !t->bpe.spm;
    if (merges)
        scores_from_merges(t, o->scores);
    for (int i = 0; i < t->n; i++) {
        if (t->named[SLM_TOK_UNK] == i)
            o->types[i] = SLM_TOKEN_UNKNOWN;
        else if (merges && is_run(t, i))
            o->types[i] = SLM_TOKEN_NORMAL;
    }
    x->spec.add_space_prefix = slm_tok_marks_front(t);
    if (t->kind == MODEL_UNIGRAM || slm_tok_trims(t))
        x->spec.remove_extra_whitespaces = slm_tok_trims(t);
    const struct charsmap *map = slm_tok_map(t);
    if (map && t->kind == MODEL_BPE)
        return slm_fail(err, SLM_E_UNSUPPORTED,
                        "%s: GGUF has no normalising map for this tokenizer", t->name);
    if (map) {
        uint8_t *copy = slm_arena_alloc(&x->arena, map->n_blob);
        if (!copy)
            return slm_fail_mem(err, "a charsmap", map->n_blob);
        memcpy(copy, map->blob, map->n_blob);
        x->spec.charsmap = copy;
        x->spec.n_charsmap = map->n_blob;
    }
    return 0;
}

/* WordPiece's pieces the way GGUF stores them: marks at word starts, continuations bare. */
static int put_bert(struct slm_tok_export *x, const slm_tokenizer *t, struct tables *o,
                    slm_err *err)
{
    struct slm_tok_str pre = t->wp.prefix;
    x->spec.model = "bert";
    x->spec.pre = "default";
    for (int i = 0; i < t->n; i++) {
        struct slm_tok_str p = t->piece[i];
        if (!p.s || t->type[i] != SLM_TOKEN_NORMAL ||
            (p.n > 2 && p.s[0] == '[' && p.s[p.n - 1] == ']'))
            continue;
        if (p.n > pre.n && !memcmp(p.s, pre.s, pre.n)) {
            o->tokens[i] = (struct slm_tok_str){p.s + pre.n, p.n - pre.n};
            continue;
        }
        char *s = slm_arena_alloc(&x->arena, p.n + SLM_MARK_LEN);
        if (!s)
            return slm_fail_mem(err, "tokens", p.n);
        memcpy(s, SLM_MARK, SLM_MARK_LEN);
        memcpy(s + SLM_MARK_LEN, p.s, p.n);
        o->tokens[i] = (struct slm_tok_str){s, p.n + SLM_MARK_LEN};
    }
    for (int i = 0; i < t->n; i++) {
        if (t->named[SLM_TOK_UNK] == i)
            o->types[i] = SLM_TOKEN_CONTROL;
    }
    return 0;
}

static int put_gpt2(struct slm_tok_export *x, const slm_tokenizer *t, struct tables *o,
                    slm_err *err)
{
    if (!t->pre_name)
        return slm_fail(err, SLM_E_UNSUPPORTED,
                        "%s: GGUF has no name for how this tokenizer splits text", t->name);
    x->spec.model = "gpt2";
    x->spec.pre = t->pre_name;
    for (size_t i = 0; i < o->n; i++) {
        if (o->types[i] == SLM_TOKEN_UNKNOWN)
            o->types[i] = SLM_TOKEN_CONTROL;
    }
    return put_merges(x, t, err);
}

/* Tokens that end a generation and that no reader would find by spelling: one may be named. */
static int64_t hidden_eot(const slm_tokenizer *t)
{
    for (int i = 0; i < t->n; i++) {
        if (t->eog[i] && i != t->named[SLM_TOK_EOS] &&
            !slm_tok_ends(t->piece[i].s, t->piece[i].n))
            return i;
    }
    return -1;
}

int slm_tok_export(struct slm_tok_export *x, const slm_tokenizer *t, size_t n_vocab,
                   slm_err *err)
{
    struct tables o;
    memset(x, 0, sizeof *x);
    slm_tok_spec_init(&x->spec);
    slm_arena_init(&x->arena, t->rt, SLM_MEM_TEXT);
    x->spec.name = t->name;
    int rc = 0;
    if (n_vocab && n_vocab < (size_t)t->n)
        rc = slm_fail(err, SLM_E_FORMAT, "%s: %d tokens for %zu rows of the embedding", t->name,
                      t->n, n_vocab);
    rc = rc ? rc : fill_tables(x, t, n_vocab, &o, err);
    if (!rc && (slm_tok_is_spm(t) || t->kind == MODEL_UNIGRAM))
        rc = put_spm(x, t, &o, err);
    else if (!rc && t->kind == MODEL_WORDPIECE)
        rc = put_bert(x, t, &o, err);
    else if (!rc && t->kind == MODEL_BPE && t->bpe.bytes)
        rc = put_gpt2(x, t, &o, err);
    else if (!rc)
        rc = slm_fail(err, SLM_E_UNSUPPORTED,
                      "%s: GGUF has no words for this kind of tokenizer", t->name);
    for (int i = 0; i <= SLM_TOK_MASK; i++)
        x->spec.id[i] = t->named[i];
    x->spec.id[SLM_TOK_EOT] = hidden_eot(t);
    x->spec.add_bos = t->n_before > 0;
    x->spec.add_eos = t->n_behind > 0;
    if (t->kind == MODEL_WORDPIECE) {
        x->spec.add_sep = x->spec.add_eos;
        if (t->n_before)
            x->spec.id[SLM_TOK_CLS] = x->spec.id[SLM_TOK_BOS] = t->before[0];
        if (t->n_behind)
            x->spec.id[SLM_TOK_SEP] = x->spec.id[SLM_TOK_EOS] = t->behind[0];
    }
    if (rc)
        slm_tok_export_release(x);
    return rc;
}

void slm_tok_export_release(struct slm_tok_export *x)
{
    if (x->arena.rt)
        slm_arena_release(&x->arena);
    memset(x, 0, sizeof *x);
}
