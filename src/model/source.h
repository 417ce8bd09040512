/* Where a model comes from: a GGUF file, a Hugging Face folder, or a llama2.c file, as one list
 * of tensors. The file formats are left behind here; configuration is read by config_*.c. */
#ifndef SLM_MODEL_SOURCE_H
#define SLM_MODEL_SOURCE_H

#include "format/gguf.h"
#include "format/safetensors.h"
#include "model/hparams.h"

enum slm_source_kind { SLM_SOURCE_GGUF, SLM_SOURCE_HF, SLM_SOURCE_LLAMA2C };

struct slm_source {
    enum slm_source_kind kind;
    slm_runtime *rt;
    struct slm_arena *arena; /* the model's */
    const char *path;
    slm_gguf *gguf;
    slm_st *st;
    slm_json *config;     /* config.json */
    slm_json *generation; /* generation_config.json, or NULL */
    slm_json *tok_config; /* tokenizer_config.json, or NULL */
    const slm_json *text; /* the text model's part of config */
    bool wrapped;         /* config has a text_config: other tensors beside the text model's */
    const char *prefix, *head_prefix; /* of Hugging Face names */
    struct slm_map map;               /* llama2.c */
    uint8_t *image;                   /* a GGUF file made in memory, or NULL */
    size_t image_bytes;
    struct slm_tensor_ref *own; /* llama2.c's tensors under GGUF names, or a folder's with what
                                   bitsandbytes quantised put together; NULL: the file's */
    size_t n_own;
    uint8_t *unpacked; /* the bytes of the latter's matrices */
    size_t unpacked_bytes;
    int32_t
        header[8]; /* llama2.c: dim, hidden, layers, heads, kv heads, vocab, context, tied */
};

int slm_source_open(struct slm_source *s, slm_runtime *rt, struct slm_arena *arena,
                    const char *path, slm_err *err);
/* A GGUF file that lies in memory: the image becomes the source's, also when this fails. */
int slm_source_image(struct slm_source *s, slm_runtime *rt, struct slm_arena *arena,
                     const char *name, uint8_t *image, size_t n, slm_err *err);
void slm_source_close(struct slm_source *s); /* zeroed is fine */

size_t slm_source_count(const struct slm_source *s);
const struct slm_tensor_ref *slm_source_at(const struct slm_source *s, size_t i);
/* Bytes that will not be read again: where they are a mapped file's, memory is given back. */
void slm_source_forget(const struct slm_source *s, const uint8_t *p, size_t n);
/* Index of the tensor of that name, or -1. */
int64_t slm_source_find(const struct slm_source *s, const char *name);

/* llama2.c's .bin, versions 0, 1 and 2: fills own and header (llama2c.c). */
int slm_llama2c_open(struct slm_source *s, slm_err *err);

/* A folder that bitsandbytes quantised to NF4 (its config.json says so): fills own and unpacked
 * (bnb.c); other folders stay as they are. Errors: SLM_E_FORMAT, SLM_E_UNSUPPORTED (fp4, 8-bit
 * weights), SLM_E_NOMEM. */
int slm_source_unpack(struct slm_source *s, slm_err *err);

/* The numbers, by kind of file. Arrays go into the source's arena. */
int slm_config_hf(struct slm_hparams *hp, struct slm_source *s, slm_err *err);
int slm_config_gguf(struct slm_hparams *hp, const struct slm_source *s, slm_err *err);
int slm_config_llama2c(struct slm_hparams *hp, const struct slm_source *s, slm_err *err);
/* Room for the arrays of hp->layers layers. */
int slm_hparams_alloc(struct slm_hparams *hp, const struct slm_source *s, slm_err *err);

#endif
