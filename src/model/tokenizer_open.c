/* The tokenizer of any file: GGUF's keys become the plain arrays that the text room opens. */
#include "model/model_room.h"

#include <stdio.h>
#include <string.h>

#include "vocab/vocab.h"

static int get_name(struct slm_arena *a, const slm_gguf *g, const char *key, const char **out,
                    slm_err *err)
{
    struct slm_gguf_str s = {0};
    int rc = slm_gguf_str(g, key, SLM_GGUF_OPTIONAL, &s, err);
    if (rc || !s.s)
        return rc;
    *out = slm_arena_strndup(a, s.s, s.n);
    return *out ? 0 : slm_fail_mem(err, key, s.n);
}

static int get_strings(struct slm_arena *a, const slm_gguf *g, const char *key,
                       enum slm_gguf_need need, const struct slm_tok_str **out, size_t *n,
                       slm_err *err)
{
    const struct slm_gguf_key *k;
    int rc = slm_gguf_array(g, key, SLM_GGUF_KIND_STR, need, &k, err);
    if (rc || !k)
        return rc;
    struct slm_tok_str *list = slm_arena_alloc_n(a, k->count, sizeof *list);
    if (!list)
        return slm_fail_mem(err, key, k->count * sizeof *list);
    for (size_t i = 0; i < k->count; i++) {
        struct slm_gguf_str s = slm_gguf_elem_str(k, i);
        list[i] = (struct slm_tok_str){s.s, s.n};
    }
    *out = list;
    *n = k->count;
    return 0;
}

static int get_scores(struct slm_arena *a, const slm_gguf *g, struct slm_tok_spec *spec,
                      slm_err *err)
{
    const struct slm_gguf_key *k;
    int rc = slm_gguf_array(g, "tokenizer.ggml.scores", SLM_GGUF_KIND_NUM, SLM_GGUF_OPTIONAL,
                            &k, err);
    if (rc || !k)
        return rc;
    float *f = slm_arena_alloc_n(a, k->count, sizeof *f);
    for (size_t i = 0; f && i < k->count; i++)
        f[i] = (float)slm_gguf_elem_num(k, i);
    spec->scores = f;
    spec->n_scores = k->count;
    return f ? 0 : slm_fail_mem(err, "token scores", k->count * sizeof *f);
}

static int get_types(struct slm_arena *a, const slm_gguf *g, struct slm_tok_spec *spec,
                     slm_err *err)
{
    const struct slm_gguf_key *k;
    int rc = slm_gguf_array(g, "tokenizer.ggml.token_type", SLM_GGUF_KIND_INT,
                            SLM_GGUF_OPTIONAL, &k, err);
    if (rc || !k)
        return rc;
    int32_t *t = slm_arena_alloc_n(a, k->count, sizeof *t);
    for (size_t i = 0; t && i < k->count; i++) {
        int64_t v = -1;
        t[i] = slm_gguf_elem_int(k, i, &v) && v >= 0 && v < 256 ? (int32_t)v : -1;
    }
    spec->types = t;
    spec->n_types = k->count;
    return t ? 0 : slm_fail_mem(err, "token types", k->count * sizeof *t);
}

static int get_charsmap(const slm_gguf *g, struct slm_tok_spec *spec, slm_err *err)
{
    const struct slm_gguf_key *k;
    int rc = slm_gguf_array(g, "tokenizer.ggml.precompiled_charsmap", SLM_GGUF_KIND_INT,
                            SLM_GGUF_OPTIONAL, &k, err);
    if (rc || !k)
        return rc;
    if (k->elem != SLM_GGUF_U8 && k->elem != SLM_GGUF_I8)
        return slm_fail(err, SLM_E_FORMAT,
                        "%s: tokenizer.ggml.precompiled_charsmap: want bytes",
                        slm_gguf_path(g));
    spec->charsmap = k->data;
    spec->n_charsmap = k->count;
    return 0;
}

static int get_flag(const slm_gguf *g, const char *key, signed char *out, slm_err *err)
{
    bool v = false;
    if (!slm_gguf_find(g, key))
        return 0;
    int rc = slm_gguf_bool(g, key, SLM_GGUF_REQUIRED, &v, err);
    *out = v;
    return rc;
}

static int get_ids(const slm_gguf *g, struct slm_tok_spec *spec, slm_err *err)
{
    /* names that older files use for some of them */
    static const struct {
        const char *old;
        enum slm_tok_named id;
    } also[] = {
        {"separator_token_id", SLM_TOK_SEP},
        {"prefix_token_id", SLM_TOK_FIM_PRE},
        {"suffix_token_id", SLM_TOK_FIM_SUF},
        {"middle_token_id", SLM_TOK_FIM_MID},
    };
    struct slm_gguf_range any = {-1, UINT32_MAX, SLM_GGUF_OPTIONAL};
    char key[96] = "tokenizer.ggml.";
    char *tail = key + strlen(key);
    int rc = 0;
    for (size_t i = 0; i < sizeof also / sizeof *also && !rc; i++) {
        snprintf(tail, sizeof key - 15, "%s", also[i].old);
        rc = slm_gguf_int(g, key, any, &spec->id[also[i].id], err);
    }
    for (int i = 0; i < SLM_TOK_NAMED && !rc; i++) {
        snprintf(tail, sizeof key - 15, "%s", slm_tok_named_keys[i]);
        rc = slm_gguf_int(g, key, any, &spec->id[i], err);
    }
    for (int i = 0; i < SLM_TOK_NAMED; i++)
        if (spec->id[i] == UINT32_MAX) /* "none", written unsigned */
            spec->id[i] = -1;
    return rc;
}

static int fill(struct slm_tok_spec *spec, struct slm_arena *a, const slm_gguf *g, slm_err *err)
{
    int rc;
    slm_tok_spec_init(spec);
    spec->name = slm_gguf_path(g);
    if ((rc = get_name(a, g, "tokenizer.ggml.model", &spec->model, err)) ||
        (rc = get_name(a, g, "tokenizer.ggml.pre", &spec->pre, err)) ||
        (rc = get_name(a, g, "general.architecture", &spec->arch, err)) ||
        (rc = get_strings(a, g, "tokenizer.ggml.tokens", SLM_GGUF_REQUIRED, &spec->tokens,
                          &spec->n_tokens, err)) ||
        (rc = get_strings(a, g, "tokenizer.ggml.merges", SLM_GGUF_OPTIONAL, &spec->merges,
                          &spec->n_merges, err)) ||
        (rc = get_scores(a, g, spec, err)) || (rc = get_types(a, g, spec, err)) ||
        (rc = get_charsmap(g, spec, err)) || (rc = get_ids(g, spec, err)) ||
        (rc = get_flag(g, "tokenizer.ggml.add_bos_token", &spec->add_bos, err)) ||
        (rc = get_flag(g, "tokenizer.ggml.add_eos_token", &spec->add_eos, err)) ||
        (rc = get_flag(g, "tokenizer.ggml.add_sep_token", &spec->add_sep, err)) ||
        (rc = get_flag(g, "tokenizer.ggml.add_space_prefix", &spec->add_space_prefix, err)) ||
        (rc = get_flag(g, "tokenizer.ggml.remove_extra_whitespaces",
                       &spec->remove_extra_whitespaces, err)) ||
        (rc = get_flag(g, "tokenizer.ggml.escape_whitespaces", &spec->escape_whitespaces, err)))
        return rc;
    return 0;
}

int slm_tokenizer_from_gguf(slm_tokenizer **out, slm_runtime *rt, const slm_gguf *g,
                            slm_err *err)
{
    struct slm_arena a;
    struct slm_tok_spec spec;
    slm_arena_init(&a, rt, SLM_MEM_TEXT);
    int rc = fill(&spec, &a, g, err);
    if (!rc)
        rc = slm_tok_new_gguf(out, rt, &spec, err);
    slm_arena_release(&a);
    return rc;
}

static bool is_gguf(const char *path)
{
    struct slm_map m;
    if (slm_path_is_dir(path) || slm_map_open(&m, path, NULL))
        return false;
    bool yes = m.size >= 4 && !memcmp(m.data, "GGUF", 4);
    slm_map_close(&m);
    return yes || slm_str_ends(path, ".gguf");
}

int slm_tokenizer_open(slm_tokenizer **out, slm_runtime *rt, const char *path, slm_err *err)
{
    if (!is_gguf(path))
        return slm_tok_open_path(out, rt, path, err);
    slm_gguf *g;
    int rc = slm_gguf_open(&g, rt, path, err);
    if (rc)
        return rc;
    rc = slm_tokenizer_from_gguf(out, rt, g, err);
    slm_gguf_close(&g);
    return rc;
}
