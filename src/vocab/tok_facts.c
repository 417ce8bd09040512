/* A folder's small files: config.json and generation_config.json (model_type, ids that end a
 * generation), tokenizer_config.json, special_tokens_map.json and added_tokens.json (spellings
 * and added tokens). All are optional; what is there must be well formed. */
#include "vocab/tok_dir.h"

#include <string.h>

#define SMALL ((size_t)64 << 20)

/* The file as an object, or *out NULL when it is not there. */
static int load(slm_json **out, slm_runtime *rt, const char *dir, const char *name,
                slm_err *err)
{
    struct slm_buf path;
    *out = NULL;
    slm_buf_init(&path, rt, SLM_MEM_TEXT, 65536);
    const char *p = slm_path_join(&path, dir, name);
    int rc = slm_buf_check(&path, "a path", err);
    if (!rc && slm_path_is_file(p))
        rc = slm_json_load(out, rt, p, SMALL, err);
    slm_buf_release(&path);
    return rc;
}

static void add_eog(struct tok_facts *f, const slm_json *j)
{
    size_t n = slm_json_is(j, SLM_JSON_ARRAY) ? slm_json_count(j) : 1;
    for (size_t i = 0; i < n; i++) {
        int64_t id = slm_json_int(slm_json_is(j, SLM_JSON_ARRAY) ? slm_json_at(j, i) : j, -1);
        if (id >= 0 && f->n_eog < 64)
            f->eog[f->n_eog++] = id;
    }
}

static const char *keep(struct tok_facts *f, const char *s)
{
    const char *copy = s ? slm_arena_strdup(&f->arena, s) : NULL;
    f->starved |= s && !copy;
    return copy;
}

/* "<s>" or {"content": "<s>", ...}. */
static const char *spelling(struct tok_facts *f, const slm_json *j)
{
    const char *s =
        slm_json_str(slm_json_is(j, SLM_JSON_OBJECT) ? slm_json_find(j, "content") : j, NULL);
    return keep(f, s);
}

static void read_named(struct tok_facts *f, const slm_json *j)
{
    static const struct {
        const char *key;
        enum slm_tok_named which;
    } keys[] = {
        {"bos_token", SLM_TOK_BOS},   {"eos_token", SLM_TOK_EOS}, {"unk_token", SLM_TOK_UNK},
        {"pad_token", SLM_TOK_PAD},   {"sep_token", SLM_TOK_SEP}, {"cls_token", SLM_TOK_CLS},
        {"mask_token", SLM_TOK_MASK},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *s = spelling(f, slm_json_find(j, keys[i].key));
        if (s && !f->named[keys[i].which])
            f->named[keys[i].which] = s;
    }
}

static int add_added(struct tok_facts *f, const char *s, size_t n, int64_t id,
                     const slm_json *o, slm_err *err)
{
    for (size_t i = 0; i < f->n_added; i++) {
        if (f->added[i].id == id)
            return 0;
    }
    if (f->n_added == f->cap_added && slm_grow(f->arena.rt, SLM_MEM_TEXT, (void **)&f->added,
                                               f->n_added, &f->cap_added, sizeof *f->added))
        return slm_fail_mem(err, "added tokens", f->n_added);
    const char *copy = slm_arena_strndup(&f->arena, s, n);
    if (!copy)
        return slm_fail_mem(err, "added tokens", n);
    bool special = slm_json_bool(slm_json_find(o, "special"), false);
    f->added[f->n_added++] = (struct fact_added){
        .s = copy,
        .n = n,
        .id = id,
        .special = special,
        .normalized = slm_json_bool(slm_json_find(o, "normalized"), o && !special),
        .lstrip = slm_json_bool(slm_json_find(o, "lstrip"), false),
        .rstrip = slm_json_bool(slm_json_find(o, "rstrip"), false),
        .single_word = slm_json_bool(slm_json_find(o, "single_word"), false),
    };
    f->top_id = id > f->top_id ? id : f->top_id;
    return 0;
}

static int64_t number(const char *s)
{
    int64_t v = 0;
    for (; *s; s++) {
        if (*s < '0' || *s > '9' || v > 100000000)
            return -1;
        v = v * 10 + (*s - '0');
    }
    return v;
}

static int read_decoder(struct tok_facts *f, const slm_json *j, const char *dir, slm_err *err)
{
    int rc = 0;
    for (void *it = slm_json_first(j); it && !rc; it = slm_json_next(j, it)) {
        int64_t id = number(slm_json_key(it, NULL));
        size_t n = 0;
        const slm_json *o = slm_json_value(it);
        const char *s = slm_json_str(slm_json_find(o, "content"), &n);
        if (id < 0 || !s)
            return slm_fail(err, SLM_E_FORMAT,
                            "%s: tokenizer_config.json: added_tokens_decoder: '%.40s'", dir,
                            slm_json_key(it, NULL));
        rc = add_added(f, s, n, id, o, err);
    }
    return rc;
}

/* {"<|user|>": 32010, ...}: spelled in angle brackets, they are special. */
static int read_added_tokens(struct tok_facts *f, const slm_json *j, const char *dir,
                             slm_err *err)
{
    int rc = 0;
    for (void *it = slm_json_first(j); it && !rc; it = slm_json_next(j, it)) {
        size_t n = 0;
        const char *s = slm_json_key(it, &n);
        int64_t id = slm_json_int(slm_json_value(it), -1);
        if (id < 0 || id > 100000000)
            return slm_fail(err, SLM_E_FORMAT, "%s: added_tokens.json: id of '%.40s'", dir, s);
        size_t before = f->n_added;
        rc = add_added(f, s, n, id, NULL, err);
        if (!rc && f->n_added > before)
            f->added[before].special = n > 4 && !memcmp(s, "<|", 2);
    }
    return rc;
}

int slm_tok_facts_read(struct tok_facts *f, slm_runtime *rt, const char *dir, slm_err *err)
{
    memset(f, 0, sizeof *f);
    slm_arena_init(&f->arena, rt, SLM_MEM_TEXT);
    f->top_id = f->bos_id = f->eos_id = -1;
    f->add_bos = f->add_eos = -1;
    slm_json *config = NULL, *gen = NULL, *tok = NULL, *map = NULL, *added = NULL;
    int rc = load(&config, rt, dir, "config.json", err);
    rc = rc ? rc : load(&gen, rt, dir, "generation_config.json", err);
    rc = rc ? rc : load(&tok, rt, dir, "tokenizer_config.json", err);
    rc = rc ? rc : load(&map, rt, dir, "special_tokens_map.json", err);
    rc = rc ? rc : load(&added, rt, dir, "added_tokens.json", err);
    if (!rc) {
        const slm_json *text = slm_json_find(config, "text_config");
        const char *type = slm_json_str(slm_json_find(config, "model_type"), NULL);
        f->model_type = keep(f, type);
        f->bos_id = slm_json_int(slm_json_find(config, "bos_token_id"), -1);
        f->eos_id = slm_json_int(slm_json_find(config, "eos_token_id"), -1);
        add_eog(f, slm_json_find(config, "eos_token_id"));
        add_eog(f, slm_json_find(text, "eos_token_id"));
        add_eog(f, slm_json_find(gen, "eos_token_id"));
        read_named(f, tok);
        read_named(f, map);
        const slm_json *b = slm_json_find(tok, "add_bos_token"),
                       *e = slm_json_find(tok, "add_eos_token");
        f->add_bos = slm_json_is(b, SLM_JSON_BOOL) ? (signed char)slm_json_bool(b, false) : -1;
        f->add_eos = slm_json_is(e, SLM_JSON_BOOL) ? (signed char)slm_json_bool(e, false) : -1;
        rc = f->starved ? slm_fail_mem(err, "tokenizer configuration", 0) : 0;
        rc = rc ? rc : read_decoder(f, slm_json_find(tok, "added_tokens_decoder"), dir, err);
        rc = rc ? rc : read_added_tokens(f, added, dir, err);
    }
    slm_json_free(config);
    slm_json_free(gen);
    slm_json_free(tok);
    slm_json_free(map);
    slm_json_free(added);
    return rc;
}

void slm_tok_facts_release(struct tok_facts *f)
{
    if (f->arena.rt)
        slm_free(f->arena.rt, f->added);
    slm_arena_release(&f->arena);
}

bool slm_tok_fact_has(const struct tok_facts *f, const char *token)
{
    for (size_t i = 0; i < f->n_added; i++) {
        if (f->added[i].n == strlen(token) && !memcmp(f->added[i].s, token, f->added[i].n))
            return true;
    }
    for (int i = 0; i < SLM_TOK_NAMED; i++) {
        if (f->named[i] && !strcmp(f->named[i], token))
            return true;
    }
    return false;
}

/* --- into a tokenizer --- */

static int more_ids(slm_tokenizer *t, size_t n, slm_err *err)
{
    struct slm_tokenizer old = *t;
    int rc = slm_tok_tables(t, n, err);
    if (rc)
        return rc;
    size_t m = (size_t)old.n;
    memcpy(t->piece, old.piece, m * sizeof *t->piece);
    memcpy(t->raw, old.raw, m * sizeof *t->raw);
    memcpy(t->score, old.score, m * sizeof *t->score);
    memcpy(t->type, old.type, m);
    t->by_piece.keys = t->piece;
    t->by_raw.keys = t->raw;
    return 0;
}

static bool listed(const slm_tokenizer *t, int64_t id)
{
    for (int i = 0; i < t->n_added; i++) {
        if (t->added[i].id == id)
            return true;
    }
    return false;
}

static int apply_added(slm_tokenizer *t, const struct tok_facts *f, slm_err *err)
{
    bool grows = t->source == FROM_SPM && !t->bpe.n_extra;
    if (grows && f->top_id >= t->n && f->top_id < t->n + 65536) {
        int rc = more_ids(t, (size_t)f->top_id + 1, err);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < f->n_added; i++) {
        const struct fact_added *x = &f->added[i];
        if (x->id < 0 || x->id >= t->n || listed(t, x->id))
            continue;
        bool own = t->source == FROM_SPM && t->piece[x->id].s;
        if (own && t->type[x->id] != SLM_TOKEN_CONTROL && !x->special)
            continue; /* SentencePiece finds its own */
        struct added *a = slm_tok_add_added(t, x->s, x->n, (int32_t)x->id, err);
        if (!a)
            return SLM_E_NOMEM;
        a->special = x->special;
        a->normalized = x->normalized && t->source == FROM_VOCAB;
        a->lstrip = x->lstrip;
        a->rstrip = x->rstrip;
        a->single_word = x->single_word;
        if (!t->piece[x->id].s)
            t->piece[x->id] = t->raw[x->id] = a->text;
        t->type[x->id] = x->special ? SLM_TOKEN_CONTROL : SLM_TOKEN_USER;
    }
    return 0;
}

/* A token by its spelling, among all that there are. */
static int32_t find(const slm_tokenizer *t, const char *s)
{
    size_t n = strlen(s);
    for (int i = 0; i < t->n_added; i++) {
        if (t->added[i].text.n == n && !memcmp(t->added[i].text.s, s, n))
            return t->added[i].id;
    }
    return slm_strmap_find(&t->by_piece, s, n);
}

int slm_tok_facts_apply(slm_tokenizer *t, const struct tok_facts *f, slm_err *err)
{
    if (t->source == FROM_SPM || t->source == FROM_VOCAB) {
        int rc = apply_added(t, f, err);
        if (rc)
            return rc;
        if (f->add_bos >= 0)
            t->add_bos = f->add_bos;
        if (f->add_eos >= 0)
            t->add_eos = f->add_eos;
    }
    for (int i = 0; i < SLM_TOK_NAMED; i++) {
        int32_t id = f->named[i] ? find(t, f->named[i]) : -1;
        if (id >= 0)
            t->named[i] = id;
    }
    if (t->named[SLM_TOK_BOS] < 0 && f->bos_id >= 0 && f->bos_id < t->n)
        t->named[SLM_TOK_BOS] = (int32_t)f->bos_id;
    if (t->named[SLM_TOK_EOS] < 0 && f->eos_id >= 0 && f->eos_id < t->n)
        t->named[SLM_TOK_EOS] = (int32_t)f->eos_id;
    for (int i = 0; i < f->n_eog; i++)
        slm_tok_mark_eog(t, f->eog[i]);
    return 0;
}
