/* Models: open a GGUF file, a Hugging Face folder or a llama2.c file; ask about it; convert it.
 */
#ifndef SLM_MODEL_H
#define SLM_MODEL_H

#include "slm/runtime.h"
#include "slm/template.h"
#include "slm/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct slm_model slm_model;

typedef struct slm_model_opts {
    int no_tokenizer;       /* open the weights alone */
    int allow_no_tokenizer; /* a missing tokenizer is no error (a broken one is) */
    int untie; /* an output tied to the embedding becomes a matrix of its own, with the same
                  numbers: files written of the model hold both */
} slm_model_opts;
SLM_API void slm_model_opts_init(slm_model_opts *o);

/* Opens path; weights are mapped, every tensor is claimed or the open fails by its name.
 * The model is immutable and may be shared by threads. o may be NULL. */
SLM_API int slm_model_open(slm_model **out, slm_runtime *rt, const char *path,
                           const slm_model_opts *o, slm_err *err);
SLM_API void slm_model_close(slm_model **m);

typedef struct slm_model_info {
    const char *family; /* "llama", "gemma2" ... : the row of traits */
    const char *name;   /* the model's own name, or the file's */
    const char *source; /* "gguf", "hf", "llama2c" */
    const char *rope;   /* "none" (default), "linear", "llama3", "yarn", "longrope" */
    const char *types;  /* tensor types and their share, "q4_K 62 %, f32 1 %" */
    int layers, width, heads, kv_heads, head_width, ffn, vocab, experts, experts_used;
    int context;            /* trained context length */
    int window;             /* sliding window, 0: none */
    uint64_t params;        /* weights in all */
    uint64_t params_active; /* weights a token meets: experts not chosen and the embedding rows
                               left out */
    uint64_t bytes;         /* bytes of weights as stored */
    uint64_t bytes_active;  /* of the weights that a token meets */
} slm_model_info;
SLM_API void slm_model_info_get(const slm_model *m, slm_model_info *out);

/* Bytes of key/value cache for one stream of `context` positions stored as kv_type ("f16" ...),
 * and of activations for a batch of that many rows. -1 where the type is not possible. */
SLM_API int64_t slm_model_kv_bytes(const slm_model *m, int context, const char *kv_type);
SLM_API int64_t slm_model_work_bytes(const slm_model *m, int batch);

/* Borrowed from the model; NULL when it has none. */
SLM_API const slm_tokenizer *slm_model_tokenizer(const slm_model *m);
/* Its chat template, or its family's; *origin tells which ("tokenizer_config.json",
 * "family default: llama3"). NULL with *origin saying why when there is none. */
SLM_API const slm_template *slm_model_template(const slm_model *m, const char **origin);
/* Is the model made for chat: it brings a usable template, or its vocabulary has the marks of
 * its family's? (A base model gets the family's template too, but is better left to complete.)
 */
SLM_API int slm_model_chats(const slm_model *m);
/* Its source text. */
SLM_API const char *slm_model_template_source(const slm_model *m);
/* Is id in the end-of-generation set: the generation config's, the file's and the tokenizer's.
 */
SLM_API int slm_model_is_eog(const slm_model *m, int32_t id);
/* Sampling defaults of the model's author (generation_config.json), NAN or 0 where not given.
 */
typedef struct slm_model_defaults {
    float temp, top_p, min_p, repeat_penalty;
    int top_k;
} slm_model_defaults;
SLM_API void slm_model_defaults_get(const slm_model *m, slm_model_defaults *out);

/* Writes the model as a GGUF file, or as a Hugging Face folder.
 * progress (may be NULL) is called with bytes done and in all; returning non-zero cancels. */
typedef int slm_progress_fn(void *arg, uint64_t done, uint64_t total);
typedef struct slm_convert_opts {
    const char *
        type; /* element type of matrices ("f32", "f16", "bf16", "q8_0" ...); NULL: as stored */
    int to_folder;         /* write a Hugging Face folder, not a GGUF file */
    /* type "nf4" (folders only: bitsandbytes' 4-bit format): 1: magnitudes are rounded to 8
     * bits too ("double quantisation"), 0: not */
    int double_quant;
    const char *tokenizer; /* path of another tokenizer to embed, NULL: the model's */
    slm_progress_fn *progress;
    void *progress_arg;
} slm_convert_opts;
SLM_API void slm_convert_opts_init(slm_convert_opts *o);
/* Writes an open model to `out`, which appears whole or not at all. */
SLM_API int slm_model_write(slm_model *m, const char *out, const slm_convert_opts *o,
                           slm_err *err);
/* Converts `in` to `out`; out appears whole or not at all. */
SLM_API int slm_model_convert(slm_runtime *rt, const char *in, const char *out,
                              const slm_convert_opts *o, slm_err *err);

/* Loss and gradients of one sequence: mean next-token cross-entropy over labels other than -100
 * (labels NULL: the ids shifted by one; else label i is the target of row i-1). Writes every
 * gradient as float32 safetensors under Hugging Face names to path. */
SLM_API int slm_model_gradients(const slm_model *m, const int32_t *ids, const int32_t *labels,
                                int n, const char *path, double *loss, slm_err *err);

#ifdef __cplusplus
}
#endif
#endif
