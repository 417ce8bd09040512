/* Telling the kinds of model apart, and their tensors as one list. */
#include "model/source.h"

#include <string.h>

#define MAX_CONFIG ((size_t)16 << 20)

static int load_optional(slm_json **out, struct slm_source *s, struct slm_buf *buf,
                         const char *name, slm_err *err)
{
    const char *path = slm_path_join(buf, s->path, name);
    return slm_path_is_file(path) ? slm_json_load(out, s->rt, path, MAX_CONFIG, err) : 0;
}

static int open_weights(struct slm_source *s, struct slm_buf *buf, slm_err *err)
{
    static const char *const names[] = {"model.safetensors", "model.safetensors.index.json"};
    for (int i = 0; i < 2; i++)
        if (slm_path_is_file(slm_path_join(buf, s->path, names[i])))
            return slm_st_open(&s->st, s->rt, buf->s, err);
    if (slm_path_is_file(slm_path_join(buf, s->path, "pytorch_model.bin")) ||
        slm_path_is_file(slm_path_join(buf, s->path, "pytorch_model.bin.index.json")))
        return slm_fail(
            err, SLM_E_UNSUPPORTED,
            "%s: holds PyTorch pickles only, which are not read; save it as safetensors",
            s->path);
    return slm_fail(err, SLM_E_NOTFOUND,
                    "%s: no model.safetensors and no model.safetensors.index.json", s->path);
}

/* The text model may be wrapped in a vision model, which shows in the names. */
static int find_prefix(struct slm_source *s, slm_err *err)
{
    static const char *const prefixes[] = {"model.", "model.language_model.",
                                           "language_model.model.", ""};
    static const char *const heads[] = {"", "language_model."};
    char name[96];
    s->prefix = s->head_prefix = NULL;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes && !s->prefix; i++) {
        size_t n = strlen(prefixes[i]);
        memcpy(name, prefixes[i], n);
        memcpy(name + n, "embed_tokens.weight", sizeof "embed_tokens.weight");
        if (slm_source_find(s, name) >= 0)
            s->prefix = prefixes[i];
    }
    for (size_t i = 0; i < 2 && !s->head_prefix; i++) {
        size_t n = strlen(heads[i]);
        memcpy(name, heads[i], n);
        memcpy(name + n, "lm_head.weight", sizeof "lm_head.weight");
        if (slm_source_find(s, name) >= 0)
            s->head_prefix = heads[i];
    }
    if (!s->head_prefix)
        s->head_prefix = "";
    return s->prefix ? 0
                     : slm_fail(err, SLM_E_FORMAT,
                                "%s: tensor model.embed_tokens.weight is missing", s->path);
}

static int open_folder(struct slm_source *s, slm_err *err)
{
    struct slm_buf buf;
    slm_buf_init(&buf, s->rt, SLM_MEM_MODEL, 1 << 16);
    s->kind = SLM_SOURCE_HF;
    /* room for every name below */
    slm_path_join(&buf, s->path, "pytorch_model.bin.index.json");
    int rc = slm_buf_check(&buf, s->path, err);
    if (rc) {
        slm_buf_release(&buf);
        return rc;
    }
    if (!slm_path_is_file(slm_path_join(&buf, s->path, "config.json")))
        rc = slm_fail(err, SLM_E_NOTFOUND, "%s: no config.json: not a model folder", s->path);
    else
        rc = slm_json_load(&s->config, s->rt, buf.s, MAX_CONFIG, err);
    if (!rc && !slm_json_is(s->config, SLM_JSON_OBJECT))
        rc = slm_fail(err, SLM_E_FORMAT, "%s: config.json is no JSON object", s->path);
    if (!rc) {
        s->text = slm_json_find(s->config, "text_config");
        s->wrapped = s->text != NULL;
        if (!s->wrapped)
            s->text = s->config;
        rc = load_optional(&s->generation, s, &buf, "generation_config.json", err);
    }
    if (!rc)
        rc = load_optional(&s->tok_config, s, &buf, "tokenizer_config.json", err);
    if (!rc)
        rc = open_weights(s, &buf, err);
    if (!rc)
        rc = slm_source_unpack(s, err);
    if (!rc)
        rc = find_prefix(s, err);
    slm_buf_release(&buf);
    return rc;
}

static int open_file(struct slm_source *s, slm_err *err)
{
    struct slm_map m;
    int rc = slm_map_open(&m, s->path, err);
    if (rc)
        return rc;
    bool gguf = m.size >= 4 && !memcmp(m.data, "GGUF", 4);
    bool ak42 = m.size >= 4 && !memcmp(m.data, "24ka", 4);
    slm_map_close(&m);
    if (gguf || slm_str_ends(s->path, ".gguf")) {
        s->kind = SLM_SOURCE_GGUF;
        return slm_gguf_open(&s->gguf, s->rt, s->path, err);
    }
    if (slm_str_ends(s->path, ".safetensors"))
        return slm_fail(err, SLM_E_UNSUPPORTED,
                        "%s: weights alone are no model; give the folder with config.json",
                        s->path);
    if (ak42 || slm_str_ends(s->path, ".bin")) {
        s->kind = SLM_SOURCE_LLAMA2C;
        return slm_llama2c_open(s, err);
    }
    return slm_fail(err, SLM_E_FORMAT,
                    "%s: not a GGUF file, a Hugging Face folder or a llama2.c .bin", s->path);
}

static int start(struct slm_source *s, slm_runtime *rt, struct slm_arena *arena,
                 const char *path, slm_err *err)
{
    memset(s, 0, sizeof *s);
    s->rt = rt;
    s->arena = arena;
    s->prefix = s->head_prefix = "";
    s->path = slm_arena_strdup(arena, path);
    return s->path ? 0 : slm_fail_mem(err, "model", strlen(path));
}

int slm_source_image(struct slm_source *s, slm_runtime *rt, struct slm_arena *arena,
                     const char *name, uint8_t *image, size_t n, slm_err *err)
{
    int rc = start(s, rt, arena, name, err);
    s->kind = SLM_SOURCE_GGUF;
    s->image = image;
    s->image_bytes = n;
    if (!rc)
        rc = slm_gguf_open_mem(&s->gguf, rt, image, n, s->path, err);
    if (rc)
        slm_source_close(s);
    return rc;
}

int slm_source_open(struct slm_source *s, slm_runtime *rt, struct slm_arena *arena,
                    const char *path, slm_err *err)
{
    int rc = start(s, rt, arena, path, err);
    if (!rc)
        rc = slm_path_is_dir(path) ? open_folder(s, err) : open_file(s, err);
    if (rc)
        slm_source_close(s);
    return rc;
}

void slm_source_close(struct slm_source *s)
{
    if (!s->rt)
        return;
    slm_gguf_close(&s->gguf);
    slm_st_close(&s->st);
    slm_json_free(s->config);
    slm_json_free(s->generation);
    slm_json_free(s->tok_config);
    slm_map_close(&s->map);
    slm_pages_free(s->rt, SLM_MEM_MODEL, s->image, s->image_bytes);
    slm_pages_free(s->rt, SLM_MEM_MODEL, s->unpacked, s->unpacked_bytes);
    memset(s, 0, sizeof *s);
}

size_t slm_source_count(const struct slm_source *s)
{
    return s->own    ? s->n_own
           : s->gguf ? slm_gguf_tensor_count(s->gguf)
           : s->st   ? slm_st_tensor_count(s->st)
                     : 0;
}

const struct slm_tensor_ref *slm_source_at(const struct slm_source *s, size_t i)
{
    return s->own    ? &s->own[i]
           : s->gguf ? slm_gguf_tensor_at(s->gguf, i)
                     : slm_st_tensor_at(s->st, i);
}

int64_t slm_source_find(const struct slm_source *s, const char *name)
{
    for (size_t i = 0; s->own && i < s->n_own; i++)
        if (!strcmp(s->own[i].name, name))
            return (int64_t)i;
    if (s->own)
        return -1;
    const struct slm_tensor_ref *t = s->gguf ? slm_gguf_tensor_find(s->gguf, name)
                                     : s->st ? slm_st_tensor_find(s->st, name)
                                             : NULL;
    return t ? t - slm_source_at(s, 0) : -1;
}

void slm_source_forget(const struct slm_source *s, const uint8_t *p, size_t n)
{
    uintptr_t at = (uintptr_t)p, unpacked = (uintptr_t)s->unpacked;
    if (s->image || (at >= unpacked && at - unpacked < s->unpacked_bytes))
        return;
    for (size_t i = 0; i < slm_source_count(s); i++) { /* not what was copied for alignment */
        const struct slm_tensor_ref *t = slm_source_at(s, i);
        if (at >= (uintptr_t)t->data && at - (uintptr_t)t->data < t->bytes)
            slm_map_forget(p, n);
    }
}
