/* A tokenizer into files, in the three forms that others read: tokenizer.json alone, a folder
 * with the configuration beside it, GGUF keys without tensors. */
#include "lexicon/lexicon_room.h"

#include <stdio.h>
#include <string.h>

#include "vocab/vocab.h"

static int write_file(slm_runtime *rt, const char *path, const struct slm_buf *b, slm_err *err)
{
    struct slm_out o = {0};
    int rc = slm_out_open(&o, rt, path, err);
    rc = rc ? rc : slm_out_write(&o, b->s, b->n, err);
    rc = rc ? rc : slm_out_commit(&o, err);
    slm_out_close(&o);
    return rc;
}

static int save_json(const slm_tokenizer *t, const char *path, slm_err *err)
{
    struct slm_buf b;
    slm_buf_init(&b, t->rt, SLM_MEM_TEXT, SIZE_MAX / 4);
    int rc = slm_tok_export_json(t, &b, err);
    rc = rc ? rc : write_file(t->rt, path, &b, err);
    slm_buf_release(&b);
    return rc;
}

static int save_config(const slm_tokenizer *t, const char *path,
                       const slm_tokenizer_save_opts *o, slm_err *err)
{
    struct slm_buf b;
    slm_buf_init(&b, t->rt, SLM_MEM_TEXT, SIZE_MAX / 4);
    int rc = slm_tok_export_config(t, o->chat_template, &b, err);
    if (!rc && o->model_max > 0) { /* one more key, in front of the others */
        char key[64];
        struct slm_buf with;
        snprintf(key, sizeof key, "{\n  \"model_max_length\": %lld,", (long long)o->model_max);
        slm_buf_init(&with, t->rt, SLM_MEM_TEXT, SIZE_MAX / 4);
        slm_buf_puts(&with, key);
        slm_buf_puts(&with, b.s + 1);
        rc = slm_buf_check(&with, "tokenizer_config.json", err);
        rc = rc ? rc : write_file(t->rt, path, &with, err);
        slm_buf_release(&with);
    } else if (!rc) {
        rc = write_file(t->rt, path, &b, err);
    }
    slm_buf_release(&b);
    return rc;
}

static int save_folder(const slm_tokenizer *t, const char *dir,
                       const slm_tokenizer_save_opts *o, slm_err *err)
{
    struct slm_buf path;
    slm_buf_init(&path, t->rt, SLM_MEM_TEXT, 1 << 16);
    int rc = slm_path_is_dir(dir) ? 0 : slm_dir_make(dir, err);
    rc = rc ? rc : save_json(t, slm_path_join(&path, dir, "tokenizer.json"), err);
    rc = rc ? rc : save_config(t, slm_path_join(&path, dir, "tokenizer_config.json"), o, err);
    slm_buf_release(&path);
    return rc;
}

static int save_gguf(const slm_tokenizer *t, const char *path, const slm_tokenizer_save_opts *o,
                     slm_err *err)
{
    const char *arch = o->arch ? o->arch : "llama";
    struct slm_tok_export x = {0};
    slm_gguf_out *w = NULL;
    int rc = slm_tok_export(&x, t, 0, err);
    rc = rc ? rc : slm_gguf_out_open(&w, t->rt, path, err);
    if (!rc) {
        slm_gguf_out_str(w, "general.architecture", arch, strlen(arch));
        rc = slm_tok_spec_put(w, t->rt, &x.spec, err);
    }
    if (!rc && o->chat_template)
        slm_gguf_out_str(w, "tokenizer.chat_template", o->chat_template,
                         strlen(o->chat_template));
    rc = rc ? rc : slm_gguf_out_begin(w, err);
    rc = rc ? rc : slm_gguf_out_commit(w, err);
    slm_gguf_out_close(&w);
    slm_tok_export_release(&x);
    return rc;
}

int slm_tokenizer_save(const slm_tokenizer *t, const char *path,
                       const slm_tokenizer_save_opts *opts, slm_err *err)
{
    slm_tokenizer_save_opts o = {0};
    if (opts)
        o = *opts;
    if (slm_str_ends(path, ".gguf"))
        return save_gguf(t, path, &o, err);
    return slm_str_ends(path, ".json") ? save_json(t, path, err)
                                       : save_folder(t, path, &o, err);
}
