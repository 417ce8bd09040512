/* Putting a tokenizer together: what all openers share. An opener fills the tables, names its
 * steps and calls slm_tok_finish, which makes the sets and checks that every id it will give
 * exists. */
#include "text/tok.h"

#include <string.h>

int slm_tok_begin(slm_tokenizer **out, slm_runtime *rt, const char *name, slm_err *err)
{
    slm_tokenizer *t = slm_zalloc(rt, SLM_MEM_TEXT, sizeof *t);
    if (!t)
        return slm_fail_mem(err, "a tokenizer", sizeof *t);
    t->rt = rt;
    slm_arena_init(&t->arena, rt, SLM_MEM_TEXT);
    for (int i = 0; i < SLM_TOK_NAMED; i++)
        t->named[i] = -1;
    t->bpe.unk = t->uni.unk = t->wp.unk = -1;
    *out = t;
    t->name = slm_arena_strdup(&t->arena, name ? name : "tokenizer");
    return t->name ? 0 : slm_fail_mem(err, "a tokenizer", 0);
}

void slm_tokenizer_close(slm_tokenizer **p)
{
    slm_tokenizer *t = p ? *p : NULL;
    if (!t)
        return;
    for (int i = 0; i < t->n_norm; i++)
        slm_regex_free(t->norm[i].re);
    for (int i = 0; i < t->n_pre; i++)
        slm_regex_free(t->pre[i].re);
    for (int i = 0; i < t->n_dec; i++)
        slm_regex_free(t->dec[i].re);
    slm_free(t->rt, t->norm);
    slm_free(t->rt, t->pre);
    slm_free(t->rt, t->added);
    slm_arena_release(&t->arena);
    slm_free(t->rt, t);
    *p = NULL;
}

int slm_tok_tables(slm_tokenizer *t, size_t n, slm_err *err)
{
    if (!n || n > (size_t)1 << 28)
        return slm_fail(err, SLM_E_FORMAT, "%s: %zu tokens", t->name, n);
    t->n = (int)n;
    t->piece = slm_arena_alloc_n(&t->arena, n, sizeof *t->piece);
    t->raw = slm_arena_alloc_n(&t->arena, n, sizeof *t->raw);
    t->score = slm_arena_alloc_n(&t->arena, n, sizeof *t->score);
    t->type = slm_arena_alloc(&t->arena, n);
    t->eog = slm_arena_alloc(&t->arena, n);
    if (!t->piece || !t->raw || !t->score || !t->type || !t->eog)
        return slm_fail_mem(err, "a tokenizer", n);
    memset(t->type, SLM_TOKEN_UNUSED, n);
    return 0;
}

struct slm_tok_str slm_tok_dup(slm_tokenizer *t, const char *s, size_t n)
{
    return (struct slm_tok_str){slm_arena_strndup(&t->arena, s, n), n};
}

static void *add(slm_tokenizer *t, void **list, int *n, size_t *cap, size_t size)
{
    if ((size_t)*n == *cap && slm_grow(t->rt, SLM_MEM_TEXT, list, (size_t)*n, cap, size))
        return NULL;
    char *p = (char *)*list + (size_t)(*n)++ * size;
    memset(p, 0, size);
    return p;
}

struct norm_step *slm_tok_add_norm(slm_tokenizer *t, enum norm_kind kind)
{
    struct norm_step *s = add(t, (void **)&t->norm, &t->n_norm, &t->cap_norm, sizeof *s);
    if (s)
        s->kind = kind;
    return s;
}

struct pre_step *slm_tok_add_pre(slm_tokenizer *t, enum pre_kind kind)
{
    struct pre_step *s = add(t, (void **)&t->pre, &t->n_pre, &t->cap_pre, sizeof *s);
    if (s) {
        s->kind = kind;
        s->behavior = SPLIT_ISOLATED;
    }
    return s;
}

struct dec_step *slm_tok_add_dec(slm_tokenizer *t, enum dec_kind kind)
{
    if (t->n_dec == SLM_DEC_MAX)
        return NULL;
    struct dec_step *s = &t->dec[t->n_dec++];
    memset(s, 0, sizeof *s);
    s->kind = kind;
    return s;
}

struct added *slm_tok_add_added(slm_tokenizer *t, const char *s, size_t n, int32_t id,
                                slm_err *err)
{
    struct added *a = add(t, (void **)&t->added, &t->n_added, &t->cap_added, sizeof *a);
    if (a) {
        a->text = slm_tok_dup(t, s, n);
        a->id = id;
    }
    if (!a || !a->text.s) {
        slm_fail_mem(err, "added tokens", n);
        return NULL;
    }
    return a;
}

int slm_tok_add_pattern(slm_tokenizer *t, const char *pattern, size_t n, slm_err *err)
{
    bool digits = n == 5 && !memcmp(pattern, "\\p{N}", 5);
    struct pre_step *s = slm_tok_add_pre(t, digits ? PRE_DIGITS : PRE_SPLIT);
    if (!s)
        return slm_fail_mem(err, "a pattern", n);
    s->str = slm_tok_dup(t, pattern, n);
    s->single = digits;
    s->scan = slm_scan_find(pattern, n);
    if (!s->str.s)
        return slm_fail_mem(err, "a pattern", n);
    return s->scan || digits ? 0 : slm_regex_new(&s->re, t->rt, pattern, n, t->name, err);
}

int slm_tok_raw_bytes(slm_tokenizer *t, slm_err *err)
{
    for (int i = 0; i < t->n; i++) {
        struct slm_tok_str p = t->piece[i];
        if (!p.s || t->raw[i].s)
            continue;
        char *s = slm_arena_alloc(&t->arena, p.n + 1);
        if (!s)
            return slm_fail_mem(err, "pieces", p.n);
        t->raw[i] = (struct slm_tok_str){s, 0};
        if (!slm_chars_to_bytes(s, &t->raw[i].n, p.s, p.n))
            t->raw[i] = p; /* spelled outside the alphabet: itself */
    }
    return 0;
}

int slm_tok_raw_marks(slm_tokenizer *t, slm_err *err)
{
    for (int i = 0; i < t->n; i++) {
        struct slm_tok_str p = t->piece[i];
        if (!p.s || t->raw[i].s)
            continue;
        t->raw[i] = p;
        int byte = slm_byte_piece(p.s, p.n);
        bool mark = memmem(p.s, p.n, SLM_MARK, SLM_MARK_LEN);
        if (byte < 0 && !mark)
            continue;
        char *s = slm_arena_alloc(&t->arena, p.n + 1);
        if (!s)
            return slm_fail_mem(err, "pieces", p.n);
        size_t m = 0;
        for (size_t k = 0; k < p.n && byte < 0;) {
            if (p.n - k >= SLM_MARK_LEN && !memcmp(p.s + k, SLM_MARK, SLM_MARK_LEN)) {
                s[m++] = ' ';
                k += SLM_MARK_LEN;
            } else {
                s[m++] = p.s[k++];
            }
        }
        if (byte >= 0)
            s[m++] = (char)byte;
        t->raw[i] = (struct slm_tok_str){s, m};
    }
    return 0;
}

/* Ids that the model itself may give for ordinary text. */
static bool own(const slm_tokenizer *t, int i)
{
    if (!t->piece[i].s)
        return false;
    if (t->source == FROM_JSON || t->source == FROM_VOCAB)
        return t->type[i] != SLM_TOKEN_UNUSED;
    if (t->kind == MODEL_WORDPIECE || (t->kind == MODEL_UNIGRAM && !t->uni.spm))
        return true;
    if (t->source == FROM_SPM || t->bpe.spm || t->uni.spm)
        return t->type[i] == SLM_TOKEN_NORMAL || t->type[i] == SLM_TOKEN_USER ||
               t->type[i] == SLM_TOKEN_UNUSED;
    return t->type[i] == SLM_TOKEN_NORMAL;
}

int slm_tok_index(slm_tokenizer *t, bool raw, slm_err *err)
{
    struct slm_tok_str *keys = raw ? t->raw : t->piece;
    struct strmap *m = raw ? &t->by_raw : &t->by_piece;
    if (slm_strmap_init(m, &t->arena, keys, (size_t)t->n))
        return slm_fail_mem(err, "pieces", (size_t)t->n);
    for (int i = 0; i < t->n; i++) {
        if (raw && t->raw[i].s == t->piece[i].s && t->source != FROM_TIKTOKEN &&
            t->source != FROM_TEKKEN)
            continue; /* spelled outside the alphabet: no text has it */
        if (own(t, i) && !slm_strmap_add(m, i) && t->source == FROM_SPM)
            return slm_fail(err, SLM_E_FORMAT, "%s: piece %d occurs twice", t->name, i);
    }
    return 0;
}

void slm_tok_affixes(slm_tokenizer *t, const int32_t *before, int nb, const int32_t *behind,
                     int ne)
{
    t->before = slm_arena_alloc_n(&t->arena, (size_t)(nb + ne) + 1, sizeof *t->before);
    if (!t->before)
        return;
    t->behind = t->before + nb;
    memcpy(t->before, before ? before : t->before, (size_t)nb * sizeof *before);
    memcpy(t->behind, behind ? behind : t->behind, (size_t)ne * sizeof *behind);
    t->n_before = nb;
    t->n_behind = ne;
}

int slm_tok_affixes_from_flags(slm_tokenizer *t, slm_err *err)
{
    int32_t bos = t->named[SLM_TOK_BOS], eos = t->named[SLM_TOK_EOS];
    slm_tok_affixes(t, &bos, t->add_bos && bos >= 0, &eos, t->add_eos && eos >= 0);
    return t->before ? 0 : slm_fail_mem(err, "a tokenizer", 0);
}

int slm_tok_byte_level(slm_tokenizer *t, const char *const *patterns, int n, slm_err *err)
{
    t->kind = MODEL_BPE;
    t->bpe.bytes = true;
    for (int i = 0; i < n; i++) {
        int rc = slm_tok_add_pattern(t, patterns[i], strlen(patterns[i]), err);
        if (rc)
            return rc;
    }
    return slm_tok_add_dec(t, DEC_BYTES) ? 0 : SLM_E_INTERNAL;
}

static int index_added(slm_tokenizer *t, slm_err *err)
{
    size_t n = (size_t)t->n_added;
    t->added_text = slm_arena_alloc_n(&t->arena, n + 1, sizeof *t->added_text);
    if (!t->added_text || slm_strmap_init(&t->by_added, &t->arena, t->added_text, n))
        return slm_fail_mem(err, "added tokens", n);
    for (int i = 0; i < t->n_added; i++) {
        const struct added *a = &t->added[i];
        if (a->id < 0 || a->id >= t->n)
            return slm_fail(err, SLM_E_FORMAT,
                            "%s: added token %d is outside of the vocabulary", t->name,
                            (int)a->id);
        t->added_text[i] = a->text;
        slm_strmap_add(&t->by_added, i);
    }
    int rc = slm_added_set_init(t, &t->raw_set, false, err);
    return rc ? rc : slm_added_set_init(t, &t->norm_set, true, err);
}

int slm_tok_finish(slm_tokenizer *t, slm_err *err)
{
    int rc = index_added(t, err);
    if (rc)
        return rc;
    slm_tok_find_named(t);
    slm_tok_find_eog(t);
    for (int i = 0; i < SLM_TOK_NAMED; i++) {
        if (t->named[i] >= t->n)
            return slm_fail(err, SLM_E_FORMAT, "%s: %s %d is outside of %d tokens", t->name,
                            slm_tok_named_keys[i], (int)t->named[i], t->n);
    }
    if (!t->before && (rc = slm_tok_affixes_from_flags(t, err)))
        return rc;
    if (!t->pre_name)
        t->pre_name = slm_pre_name(t);
    return 0;
}
