/* A tokenizer's GGUF keys into a file that is being written: what slm_tok_export filled, under
 * the names that readers of GGUF know. */
#include "vocab/vocab.h"

#include <stdio.h>
#include <string.h>

static void put_str(slm_gguf_out *w, const char *key, const char *s)
{
    slm_gguf_out_str(w, key, s, strlen(s));
}

static void put_flag(slm_gguf_out *w, const char *key, signed char v)
{
    if (v >= 0)
        slm_gguf_out_bool(w, key, v != 0);
}

static int put_strings(slm_gguf_out *w, slm_runtime *rt, const char *key,
                       const struct slm_tok_str *s, size_t n, slm_err *err)
{
    struct slm_gguf_str *list = slm_alloc_n(rt, SLM_MEM_TEXT, n, sizeof *list);
    if (!list)
        return slm_fail_mem(err, key, n * sizeof *list);
    for (size_t i = 0; i < n; i++)
        list[i] = (struct slm_gguf_str){s[i].s, s[i].n};
    slm_gguf_out_strs(w, key, list, n);
    slm_free(rt, list);
    return 0;
}

int slm_tok_spec_put(slm_gguf_out *w, slm_runtime *rt, const struct slm_tok_spec *s,
                     slm_err *err)
{
    put_str(w, "tokenizer.ggml.model", s->model);
    if (s->pre)
        put_str(w, "tokenizer.ggml.pre", s->pre);
    int rc = put_strings(w, rt, "tokenizer.ggml.tokens", s->tokens, s->n_tokens, err);
    if (s->scores)
        slm_gguf_out_array(w, "tokenizer.ggml.scores", SLM_GGUF_F32, s->scores, s->n_scores);
    if (s->types)
        slm_gguf_out_array(w, "tokenizer.ggml.token_type", SLM_GGUF_I32, s->types, s->n_types);
    if (!rc && s->merges)
        rc = put_strings(w, rt, "tokenizer.ggml.merges", s->merges, s->n_merges, err);
    if (s->charsmap)
        slm_gguf_out_array(w, "tokenizer.ggml.precompiled_charsmap", SLM_GGUF_U8, s->charsmap,
                           s->n_charsmap);
    for (int i = 0; i < SLM_TOK_NAMED; i++) {
        char key[96];
        snprintf(key, sizeof key, "tokenizer.ggml.%s", slm_tok_named_keys[i]);
        if (s->id[i] >= 0)
            slm_gguf_out_u32(w, key, (uint32_t)s->id[i]);
    }
    put_flag(w, "tokenizer.ggml.add_bos_token", s->add_bos);
    put_flag(w, "tokenizer.ggml.add_eos_token", s->add_eos);
    put_flag(w, "tokenizer.ggml.add_sep_token", s->add_sep);
    put_flag(w, "tokenizer.ggml.add_space_prefix", s->add_space_prefix);
    put_flag(w, "tokenizer.ggml.remove_extra_whitespaces", s->remove_extra_whitespaces);
    put_flag(w, "tokenizer.ggml.escape_whitespaces", s->escape_whitespaces);
    return rc;
}
