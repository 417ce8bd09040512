/* The public face of a tokenizer, and the pipeline that encodes: added tokens part the text,
 * each part is normalised, parted again, split into words, and the words go through the model.
 *
 * Text that is no UTF-8 is cleaned first (one U+FFFD for each maximal bad part), but for
 * SentencePiece, whose own normaliser reads bytes. */
#include "text/tok.h"

#include <string.h>

#define TEXT_MAX ((size_t)1 << 30)

void slm_ids_release(slm_ids *ids)
{
    if (ids->data)
        slm_free(ids->rt, ids->data);
    *ids = (slm_ids){0};
}

int slm_ids_append(slm_ids *ids, slm_runtime *rt, const int32_t *data, size_t n, slm_err *err)
{
    if (n > ids->cap - ids->len) {
        size_t cap = ids->cap ? ids->cap * 2 : 64;
        while (cap < ids->len + n)
            cap *= 2;
        int32_t *p = slm_realloc(rt, SLM_MEM_USER, ids->data, cap * sizeof *p);
        if (!p)
            return slm_fail_mem(err, "token ids", cap * sizeof *p);
        ids->data = p;
        ids->cap = cap;
        ids->rt = rt;
    }
    for (size_t i = 0; i < n; i++)
        ids->data[ids->len + i] = data[i];
    ids->len += n;
    return 0;
}

int slm_enc_put(struct enc *e, int32_t id)
{
    if (e->out->len < e->out->cap) {
        e->out->data[e->out->len++] = id;
        return 0;
    }
    return slm_ids_append(e->out, e->rt, &id, 1, e->err);
}

/* A normalised stretch: what is added in normalised text, and words between. */
static int encode_normal(struct enc *e, struct slm_tok_str s, bool first)
{
    const slm_tokenizer *t = e->t;
    size_t at = 0, span[2];
    int k, rc = 0;
    while (!rc && (k = slm_added_next(t, &t->norm_set, s, at, e->flags, span)) >= 0) {
        if (span[0] > at)
            rc = slm_pre_run(e, s.s + at, span[0] - at, first && !at);
        rc = rc ? rc : slm_enc_put(e, t->added[k].id);
        at = span[1];
    }
    return rc || at == s.n ? rc : slm_pre_run(e, s.s + at, s.n - at, first && !at);
}

static int encode_part(struct enc *e, const char *s, size_t n, bool first)
{
    struct slm_tok_str normal;
    int rc = slm_norm_run(e, s, n, first, &normal);
    return rc ? rc : encode_normal(e, normal, first);
}

static int encode_text(struct enc *e, const char *s, size_t n)
{
    const slm_tokenizer *t = e->t;
    const struct slm_tok_str text = {s, n};
    size_t at = 0, span[2];
    int k, rc = 0;
    bool goes_on = e->flags & SLM_ENCODE_CONTINUES;
    while (!rc && (k = slm_added_next(t, &t->raw_set, text, at, e->flags, span)) >= 0) {
        e->glued = goes_on && !at;
        if (span[0] > at)
            rc = encode_part(e, s + at, span[0] - at, !at && !goes_on);
        rc = rc ? rc : slm_enc_put(e, t->added[k].id);
        at = span[1];
    }
    e->glued = goes_on && !at;
    return rc || at == n ? rc : encode_part(e, s + at, n - at, !at && !goes_on);
}

static bool reads_bytes(const slm_tokenizer *t)
{
    return t->n_norm && t->norm[0].kind == NORM_SPM;
}

static void enc_release(struct enc *e)
{
    for (int i = 0; i < 2; i++) {
        slm_buf_release(&e->norm[i]);
        slm_buf_release(&e->pre[i]);
        slm_free(e->rt, e->split[i].v);
    }
    slm_free(e->rt, e->tmp.v);
    slm_free(e->rt, e->sym);
    slm_free(e->rt, e->rank);
    slm_free(e->rt, e->prev);
    slm_free(e->rt, e->next);
    slm_free(e->rt, e->heap);
    slm_free(e->rt, e->cache);
    slm_free(e->rt, e->node);
    slm_regex_run_free(e->re);
}

int slm_tokenizer_encode(const slm_tokenizer *t, const char *text, size_t n, unsigned flags,
                         slm_ids *out, slm_err *err)
{
    if (n > TEXT_MAX)
        return slm_fail(err, SLM_E_LIMIT, "a text of %zu bytes (at most %zu)", n, TEXT_MAX);
    struct enc e = {.t = t, .rt = t->rt, .out = out, .err = err, .flags = flags, .text = n};
    size_t max = n < TEXT_MAX / 4 ? n * 64 + 65536 : TEXT_MAX * 16;
    for (int i = 0; i < 2; i++) {
        slm_buf_init(&e.norm[i], t->rt, SLM_MEM_TEXT, max);
        slm_buf_init(&e.pre[i], t->rt, SLM_MEM_TEXT, max);
    }
    struct slm_buf clean;
    slm_buf_init(&clean, t->rt, SLM_MEM_TEXT, max);
    size_t from = out->len;
    int rc = 0;
    if (!reads_bytes(t) && !slm_utf8_valid(text, n)) {
        slm_utf8_clean(&clean, text, n);
        rc = slm_buf_check(&clean, "text", err);
        text = clean.s;
        n = clean.n;
    }
    if (flags & SLM_ENCODE_AFFIXES && !rc)
        rc = slm_ids_append(out, t->rt, t->before, (size_t)t->n_before, err);
    rc = rc ? rc : encode_text(&e, text, n);
    if (flags & SLM_ENCODE_AFFIXES && !rc)
        rc = slm_ids_append(out, t->rt, t->behind, (size_t)t->n_behind, err);
    if (rc)
        out->len = from;
    slm_buf_release(&clean);
    enc_release(&e);
    return rc;
}

/* --- facts --- */

static bool has(const slm_tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->n && t->piece[id].s;
}

int slm_tokenizer_size(const slm_tokenizer *t) { return t->n; }

const char *slm_tokenizer_kind(const slm_tokenizer *t)
{
    switch (t->kind) {
    case MODEL_UNIGRAM: return "unigram";
    case MODEL_WORDPIECE: return "wordpiece";
    case MODEL_WORDLEVEL: return "wordlevel";
    case MODEL_BPE: break;
    }
    return t->bpe.spm ? "spm" : "bpe";
}

const char *slm_tokenizer_piece(const slm_tokenizer *t, int32_t id, size_t *len)
{
    if (!has(t, id))
        return NULL;
    if (len)
        *len = t->piece[id].n;
    return t->piece[id].s;
}

int slm_tokenizer_type(const slm_tokenizer *t, int32_t id)
{
    return has(t, id) ? t->type[id] : SLM_TOKEN_UNUSED;
}

int32_t slm_tokenizer_find(const slm_tokenizer *t, const char *piece, size_t len)
{
    int32_t k = slm_strmap_find(&t->by_added, piece, len);
    return k >= 0 ? t->added[k].id : slm_strmap_find(&t->by_piece, piece, len);
}

int32_t slm_tokenizer_bos(const slm_tokenizer *t) { return t->named[SLM_TOK_BOS]; }
int32_t slm_tokenizer_eos(const slm_tokenizer *t) { return t->named[SLM_TOK_EOS]; }
int slm_tokenizer_adds_bos(const slm_tokenizer *t) { return t->n_before > 0; }
int slm_tokenizer_adds_eos(const slm_tokenizer *t) { return t->n_behind > 0; }

int slm_tokenizer_is_eog(const slm_tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->n && t->eog[id];
}

int32_t slm_tok_named_id(const slm_tokenizer *t, enum slm_tok_named which)
{
    return t->named[which];
}
const char *slm_tok_pre(const slm_tokenizer *t) { return t->pre_name; }
