/* tokenizer.json: the model, its vocabulary and the added tokens; the steps around the model
 * are in tok_json_steps.c. A part of the schema that is not supported is an error that names
 * it, since passing over it would give other ids in silence. */
#include "vocab/tok_json.h"

#include <string.h>

/* Ids may leave gaps (files whose vocabulary was cut), but not so that a small file makes big
 * tables. */
static bool id_ok(int64_t id, size_t count)
{
    return id >= 0 && (uint64_t)id < 4 * (uint64_t)count + 262144;
}

struct slm_tok_str slm_tok_json_str(const slm_json *obj, const char *key)
{
    struct slm_tok_str s = {NULL, 0};
    s.s = slm_json_str(slm_json_find(obj, key), &s.n);
    return s;
}

static int token_of(slm_tokenizer *t, const slm_json *model, const char *key, int32_t *id,
                    slm_err *err)
{
    struct slm_tok_str s = slm_tok_json_str(model, key);
    *id = -1;
    if (!s.s)
        return 0;
    *id = slm_strmap_find(&t->by_piece, s.s, s.n);
    return *id >= 0
               ? 0
               : slm_fail(err, SLM_E_FORMAT, "%s: model: %s '%.*s' is not in the vocabulary",
                          t->name, key, (int)s.n, s.s);
}

/* Ids of the vocabulary, and as many behind it as there are added tokens. */
static int table_size(const char *name, const slm_json *vocab, const slm_json *added, size_t *n,
                      slm_err *err)
{
    size_t count = slm_json_count(vocab) + slm_json_count(added);
    int64_t top = -1, id = -1;
    if (slm_json_is(vocab, SLM_JSON_ARRAY)) {
        top = (int64_t)slm_json_count(vocab) - 1;
    } else {
        for (void *it = slm_json_first(vocab); it; it = slm_json_next(vocab, it)) {
            id = slm_json_int(slm_json_value(it), -1);
            if (!id_ok(id, count))
                return slm_fail(err, SLM_E_FORMAT,
                                "%s: model: vocab: id of '%.60s' is out of range", name,
                                slm_json_key(it, NULL));
            top = id > top ? id : top;
        }
    }
    top = top + 1 < (int64_t)count ? (int64_t)count - 1 : top;
    *n = (size_t)(top + 1) + slm_json_count(added);
    return 0;
}

static int read_vocab(slm_tokenizer *t, const slm_json *vocab, slm_err *err)
{
    for (void *it = slm_json_first(vocab); it; it = slm_json_next(vocab, it)) {
        struct slm_tok_str s = {NULL, 0};
        s.s = slm_json_key(it, &s.n);
        int32_t id = (int32_t)slm_json_int(slm_json_value(it), -1);
        if (t->piece[id].s)
            return slm_fail(err, SLM_E_FORMAT, "%s: model: vocab: id %d occurs twice", t->name,
                            (int)id);
        t->piece[id] = slm_tok_dup(t, s.s, s.n);
        if (!t->piece[id].s)
            return slm_fail_mem(err, "a vocabulary", s.n);
        t->type[id] = SLM_TOKEN_NORMAL;
    }
    return slm_tok_index(t, false, err);
}

static int read_merge(slm_tokenizer *t, const slm_json *m, uint32_t i, slm_err *err)
{
    struct slm_tok_str a = {NULL, 0}, b = {NULL, 0};
    if (slm_json_is(m, SLM_JSON_ARRAY) && slm_json_count(m) == 2) {
        a.s = slm_json_str(slm_json_at(m, 0), &a.n);
        b.s = slm_json_str(slm_json_at(m, 1), &b.n);
    } else if (slm_json_is(m, SLM_JSON_STRING)) {
        size_t n;
        const char *s = slm_json_str(m, &n), *p = memchr(s, ' ', n);
        if (p && !memchr(p + 1, ' ', n - (size_t)(p + 1 - s))) {
            a = (struct slm_tok_str){s, (size_t)(p - s)};
            b = (struct slm_tok_str){p + 1, n - a.n - 1};
        }
    }
    if (!a.s || !b.s)
        return slm_fail(err, SLM_E_FORMAT, "%s: model: merge %u is no pair of tokens", t->name,
                        i);
    return slm_bpe_add_merge(t, a, b, i, err);
}

void slm_tok_byte_ids(slm_tokenizer *t, int32_t *ids)
{
    for (int b = 0; b < 256; b++) {
        static const char hex[] = "0123456789ABCDEF";
        char s[] = {'<', '0', 'x', hex[b >> 4], hex[b & 15], '>'};
        ids[b] = slm_strmap_find(&t->by_piece, s, sizeof s);
        if (ids[b] >= 0)
            t->type[ids[b]] = SLM_TOKEN_BYTE;
    }
}

static int read_bpe(slm_tokenizer *t, const slm_json *model, slm_err *err)
{
    struct bpe *b = &t->bpe;
    t->kind = MODEL_BPE;
    if (slm_json_num(slm_json_find(model, "dropout"), 0) > 0)
        return slm_fail(err, SLM_E_UNSUPPORTED, "%s: model: dropout", t->name);
    const slm_json *merges = slm_json_find(model, "merges");
    if (!slm_json_is(merges, SLM_JSON_ARRAY))
        return slm_fail(err, SLM_E_FORMAT, "%s: model: no list of merges", t->name);
    struct slm_tok_str pre = slm_tok_json_str(model, "continuing_subword_prefix");
    struct slm_tok_str suf = slm_tok_json_str(model, "end_of_word_suffix");
    if (pre.n)
        b->prefix = slm_tok_dup(t, pre.s, pre.n);
    if (suf.n)
        b->suffix = slm_tok_dup(t, suf.s, suf.n);
    b->byte_fallback = slm_json_bool(slm_json_find(model, "byte_fallback"), false);
    b->fuse_unk = slm_json_bool(slm_json_find(model, "fuse_unk"), false);
    b->ignore_merges = slm_json_bool(slm_json_find(model, "ignore_merges"), false);
    int rc = token_of(t, model, "unk_token", &b->unk, err);
    size_t n = slm_json_count(merges);
    if (!rc && n > UINT32_MAX - 1)
        rc = slm_fail(err, SLM_E_LIMIT, "%s: %zu merges", t->name, n);
    rc = rc ? rc : slm_bpe_begin(t, n, err);
    for (size_t i = 0; i < n && !rc; i++)
        rc = read_merge(t, slm_json_at(merges, i), (uint32_t)i, err);
    if (b->byte_fallback)
        slm_tok_byte_ids(t, b->fallback);
    t->named[SLM_TOK_UNK] = b->unk;
    return rc;
}

static int read_unigram(slm_tokenizer *t, const slm_json *model, slm_err *err)
{
    struct unigram *u = &t->uni;
    const slm_json *vocab = slm_json_find(model, "vocab");
    t->kind = MODEL_UNIGRAM;
    t->dscore = slm_arena_alloc_n(&t->arena, (size_t)t->n, sizeof *t->dscore);
    if (!t->dscore)
        return slm_fail_mem(err, "scores", (size_t)t->n);
    for (size_t i = 0; i < slm_json_count(vocab); i++) {
        const slm_json *row = slm_json_at(vocab, i);
        struct slm_tok_str s = {NULL, 0};
        s.s = slm_json_str(slm_json_at(row, 0), &s.n);
        if (slm_json_count(row) != 2 || !s.s || !slm_json_is_num(slm_json_at(row, 1)))
            return slm_fail(err, SLM_E_FORMAT,
                            "%s: model: vocab: entry %zu is no piece with its score", t->name,
                            i);
        t->piece[i] = slm_tok_dup(t, s.s, s.n);
        if (!t->piece[i].s)
            return slm_fail_mem(err, "a vocabulary", s.n);
        t->type[i] = SLM_TOKEN_NORMAL;
        t->dscore[i] = slm_json_num(slm_json_at(row, 1), 0);
        t->score[i] = (float)t->dscore[i];
        u->min_score = !i || t->dscore[i] < u->min_score ? t->dscore[i] : u->min_score;
        u->max_score = !i || t->dscore[i] > u->max_score ? t->dscore[i] : u->max_score;
    }
    int64_t unk = slm_json_int(slm_json_find(model, "unk_id"), -1);
    if (unk >= (int64_t)slm_json_count(vocab) || unk < -1)
        return slm_fail(err, SLM_E_FORMAT,
                        "%s: model: unk_id %lld is outside of the vocabulary", t->name,
                        (long long)unk);
    u->unk = t->named[SLM_TOK_UNK] = (int32_t)unk;
    u->byte_fallback = slm_json_bool(slm_json_find(model, "byte_fallback"), false);
    int rc = slm_tok_index(t, false, err);
    if (!rc && u->byte_fallback)
        slm_tok_byte_ids(t, u->fallback);
    if (!rc && slm_trie_init(&u->trie, &t->arena, t->piece, (size_t)t->n))
        rc = slm_fail_mem(err, "a vocabulary", (size_t)t->n);
    return rc;
}

static int read_wordpiece(slm_tokenizer *t, const slm_json *model, bool level, slm_err *err)
{
    struct wordpiece *w = &t->wp;
    t->kind = level ? MODEL_WORDLEVEL : MODEL_WORDPIECE;
    int rc = token_of(t, model, "unk_token", &w->unk, err);
    if (!rc && w->unk < 0 && !level)
        rc = slm_fail(err, SLM_E_FORMAT, "%s: model: no unk_token", t->name);
    t->named[SLM_TOK_UNK] = w->unk;
    struct slm_tok_str pre = slm_tok_json_str(model, "continuing_subword_prefix");
    int64_t max = slm_json_int(slm_json_find(model, "max_input_chars_per_word"), 100);
    if (!rc && (pre.n > 64 || max < 0 || max > 100000))
        rc = slm_fail(err, SLM_E_UNSUPPORTED, "%s: model: prefix or word length out of range",
                      t->name);
    w->prefix = pre.s ? slm_tok_dup(t, pre.s, pre.n) : (struct slm_tok_str){"##", 2};
    w->max_chars = (int)max;
    for (int i = 0; i < t->n; i++)
        w->longest = t->piece[i].n > w->longest ? t->piece[i].n : w->longest;
    return rc;
}

static int read_model(slm_tokenizer *t, const slm_json *root, slm_err *err)
{
    const slm_json *model = slm_json_find(root, "model"),
                   *vocab = slm_json_find(model, "vocab");
    const slm_json *added = slm_json_find(root, "added_tokens");
    const char *type = slm_json_str(slm_json_find(model, "type"), NULL);
    bool list = slm_json_is(vocab, SLM_JSON_ARRAY);
    if (!slm_json_is(model, SLM_JSON_OBJECT) || (!list && !slm_json_is(vocab, SLM_JSON_OBJECT)))
        return slm_fail(err, SLM_E_FORMAT, "%s: no model with a vocabulary", t->name);
    if (!type) /* older files do not say */
        type = slm_json_find(model, "merges") ? "BPE" : list ? "Unigram" : "WordPiece";
    bool unigram = !strcmp(type, "Unigram"), bpe = !strcmp(type, "BPE");
    bool level = !strcmp(type, "WordLevel"), piece = !strcmp(type, "WordPiece");
    if (!unigram && !bpe && !level && !piece)
        return slm_fail(err, SLM_E_UNSUPPORTED, "%s: model: type '%.40s'", t->name, type);
    if (unigram != list)
        return slm_fail(err, SLM_E_FORMAT, "%s: model: vocab is not of type '%s'", t->name,
                        type);
    size_t n = 0;
    int rc = table_size(t->name, vocab, added, &n, err);
    rc = rc ? rc : slm_tok_tables(t, n, err);
    if (rc || unigram)
        return rc ? rc : read_unigram(t, model, err);
    rc = read_vocab(t, vocab, err);
    if (!rc)
        rc = bpe ? read_bpe(t, model, err) : read_wordpiece(t, model, level, err);
    return rc;
}

/* The library goes by spelling: an added token that the model has keeps the model's id, others
 * are numbered on from the size of the vocabulary, whatever the file says. */
static int32_t added_id(const slm_tokenizer *t, struct slm_tok_str s, int32_t *next)
{
    for (int i = 0; i < t->n_added; i++) {
        if (t->added[i].text.n == s.n && !memcmp(t->added[i].text.s, s.s, s.n))
            return t->added[i].id;
    }
    int32_t id = slm_strmap_find(&t->by_piece, s.s, s.n);
    return id >= 0 ? id : (*next)++;
}

static int read_added(slm_tokenizer *t, const slm_json *list, size_t vocab, slm_err *err)
{
    int32_t next = (int32_t)vocab;
    for (size_t i = 0; i < slm_json_count(list); i++) {
        const slm_json *o = slm_json_at(list, i);
        struct slm_tok_str s = slm_tok_json_str(o, "content");
        if (!s.s)
            return slm_fail(err, SLM_E_FORMAT, "%s: added_tokens: entry %zu has no content",
                            t->name, i);
        int32_t id = added_id(t, s, &next);
        if (slm_json_int(slm_json_find(o, "id"), -1) < 0)
            return slm_fail(err, SLM_E_FORMAT, "%s: added_tokens: entry %zu has no id", t->name,
                            i);
        struct added *a = slm_tok_add_added(t, s.s, s.n, id, err);
        if (!a)
            return SLM_E_NOMEM;
        a->special = slm_json_bool(slm_json_find(o, "special"), false);
        a->normalized = slm_json_bool(slm_json_find(o, "normalized"), !a->special);
        a->lstrip = slm_json_bool(slm_json_find(o, "lstrip"), false);
        a->rstrip = slm_json_bool(slm_json_find(o, "rstrip"), false);
        a->single_word = slm_json_bool(slm_json_find(o, "single_word"), false);
        t->type[id] = a->special ? SLM_TOKEN_CONTROL : SLM_TOKEN_USER;
        if (id == t->named[SLM_TOK_UNK])
            t->type[id] = SLM_TOKEN_UNKNOWN;
        t->piece[id] = a->text; /* the library spells added tokens first */
    }
    int top = t->n;
    while (top > 1 && !t->piece[top - 1].s)
        top--;
    t->n = top;
    return 0;
}

static int read_raw(slm_tokenizer *t, slm_err *err)
{
    bool alphabet = false;
    for (int i = 0; i < t->n_pre; i++)
        alphabet |= t->pre[i].kind == PRE_BYTES;
    for (int i = 0; i < t->n_norm; i++)
        alphabet |= t->norm[i].kind == NORM_BYTES;
    for (int i = 0; i < t->n_dec; i++)
        alphabet |= t->dec[i].kind == DEC_BYTES;
    return alphabet ? slm_tok_raw_bytes(t, err) : slm_tok_raw_marks(t, err);
}

/* Bytes can be symbols themselves where the last step writes the alphabet and the model needs
 * nothing of its characters. */
static int settle_bytes(slm_tokenizer *t, slm_err *err)
{
    struct bpe *b = &t->bpe;
    struct pre_step *last = t->n_pre ? &t->pre[t->n_pre - 1] : NULL;
    int n_bytes = 0;
    for (int i = 0; i < t->n_pre; i++) {
        t->pre[i].map = t->pre[i].kind == PRE_BYTES;
        n_bytes += t->pre[i].map;
    }
    bool direct = t->kind == MODEL_BPE && last && last->map && n_bytes == 1 && !b->prefix.n &&
                  !b->suffix.n;
    for (int i = 0; direct && i < 256; i++) {
        char c[4];
        size_t n = (size_t)slm_utf8_put(c, slm_byte_char((uint8_t)i));
        direct = slm_strmap_find(&t->by_piece, c, n) >= 0 || (b->unk < 0 && !b->byte_fallback);
    }
    int rc = read_raw(t, err);
    if (rc || !direct)
        return rc;
    last->map = false;
    b->bytes = true;
    return slm_tok_index(t, true, err);
}

static int open_root(slm_tokenizer *t, const slm_json *root, slm_err *err)
{
    size_t vocab = slm_json_count(slm_json_find(slm_json_find(root, "model"), "vocab"));
    t->source = FROM_JSON;
    int rc = read_model(t, root, err);
    rc = rc ? rc : slm_tok_json_norm(t, slm_json_find(root, "normalizer"), 0, err);
    rc = rc ? rc : slm_tok_json_pre(t, slm_json_find(root, "pre_tokenizer"), 0, err);
    rc = rc ? rc : slm_tok_json_dec(t, slm_json_find(root, "decoder"), 0, err);
    rc = rc ? rc : settle_bytes(t, err);
    if (!rc && t->kind == MODEL_BPE)
        slm_bpe_finish(t);
    rc = rc ? rc : read_added(t, slm_json_find(root, "added_tokens"), vocab, err);
    rc = rc ? rc : read_raw(t, err);
    rc = rc ? rc : slm_tok_json_post(t, slm_json_find(root, "post_processor"), 0, err);
    if (!rc && !slm_json_is(slm_json_find(root, "decoder"), SLM_JSON_OBJECT) &&
        !slm_tok_add_dec(t, DEC_JOIN))
        rc = SLM_E_INTERNAL;
    return rc;
}

int slm_tok_open_json(slm_tokenizer **out, slm_runtime *rt, const char *s, size_t n,
                      const char *name, slm_err *err)
{
    slm_tokenizer *t = NULL;
    slm_json *root = NULL;
    int rc = slm_json_parse(&root, s, n, name, err);
    bool tekken = !slm_json_find(root, "model") && slm_json_find(root, "config");
    rc = rc ? rc : slm_tok_begin(&t, rt, name, err);
    rc = rc ? rc : tekken ? slm_tok_read_tekken(t, root, err) : open_root(t, root, err);
    if (!rc && !tekken) {
        t->json = slm_tok_dup(t, s, n);
        rc = t->json.s ? 0 : slm_fail_mem(err, "a tokenizer", n);
    }
    slm_json_free(root);
    if (rc && t)
        slm_tokenizer_close(&t);
    *out = t;
    return rc;
}
