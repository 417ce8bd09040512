/* Adapters: low-rank additions to a model's matrices (LoRA, rsLoRA, DoRA), read, made, written
 * and merged. */
#ifndef SLM_ADAPTER_H
#define SLM_ADAPTER_H

#include "slm/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* y = W x + b + s B A x: A (r, in), B (out, r), s = alpha / r (Hu et al., arXiv 2106.09685) or
 * alpha / sqrt(r) (rsLoRA, arXiv 2312.03732); DoRA (arXiv 2402.09353) gives every row of W + s
 * B A a length of its own. Bound to one model; all its numbers are float32. */
typedef struct slm_adapter slm_adapter;

/* Opens an adapter for m: a PEFT folder (adapter_config.json, adapter_model.safetensors), an
 * MLX folder (adapter_config.json, adapters.safetensors) or a GGUF file (general.type adapter).
 * *out is the caller's; the model must outlive it. Errors: those of the files; SLM_E_FORMAT (a
 * tensor that belongs to nothing, or whose shape is not this model's: both are named),
 * SLM_E_UNSUPPORTED (an option that would change the answer, by name; PyTorch pickles). */
SLM_API int slm_adapter_open(slm_adapter **out, const slm_model *m, const char *path,
                             slm_err *err);
SLM_API void slm_adapter_close(slm_adapter **a);

/* Is there an adapter at path, by its looks: 1 or 0? */
SLM_API int slm_adapter_is(const char *path);

/* What an adapter's files say of it, without a model. */
typedef struct slm_adapter_peek {
    char kind[8];    /* "peft", "mlx", "gguf" */
    char base[256];  /* the base model as the file names it; "" */
    char family[64]; /* GGUF's architecture; "" */
    char names[512]; /* last names of the modules it adds to: "q_proj, v_proj" */
    int modules, whole, r_least, r_most, dora, rslora;
    double alpha, scale; /* NAN where it has none; scale: MLX */
    uint64_t params;
} slm_adapter_peek;
SLM_API int slm_adapter_peek_at(slm_runtime *rt, const char *path, slm_adapter_peek *out,
                                slm_err *err);

/* Times what the adapter says itself: 1 as opened, 0 leaves the addition out. May be set at any
 * time between two calls on a session that has it; tokens that the session holds keep what they
 * were computed with (slm_session_reset). With DoRA it scales the addition as PEFT's set_scale
 * does, and the lengths stay. Errors: SLM_E_ARG (not finite; of a join: scale its parts). */
SLM_API int slm_adapter_scale(slm_adapter *a, float scale, slm_err *err);

/* One adapter of several: their additions are summed, each with its own scale. It borrows from
 * them: they must outlive it. Errors: SLM_E_UNSUPPORTED where DoRA meets another addition on
 * the same rows, or two replace the same weight. */
SLM_API int slm_adapter_join(slm_adapter **out, slm_adapter *const *list, int n, slm_err *err);

typedef struct slm_adapter_pattern {
    const char *key; /* regular expression for the end of a module's name, as in PEFT */
    float value;
} slm_adapter_pattern;

typedef struct slm_adapter_opts {
    int r;       /* 16 */
    float alpha; /* 32 */
    float dropout;
    /* "all-linear" (NULL), names separated by commas ("q_proj,v_proj,embed_tokens", each the
     * end of a module's name), or a regular expression for the whole name. Names that a fused
     * matrix hides (q_proj in qkv_proj) mean its rows. */
    const char *targets;
    const char *exclude; /* the same for what is left out, or NULL */
    const int *layers;   /* only these; NULL: all */
    int n_layers;
    const slm_adapter_pattern *rank_pattern, *alpha_pattern;
    int n_rank_patterns, n_alpha_patterns;
    int rslora, dora;
    uint64_t seed;
} slm_adapter_opts;
SLM_API void slm_adapter_opts_init(slm_adapter_opts *o);
/* A new adapter that changes nothing yet: A is drawn from U(-1/sqrt(in), 1/sqrt(in)), B is zero
 * (embeddings: A zero, B normal), magnitudes are the rows' lengths. Errors: SLM_E_ARG (a target
 * that names nothing in this model, r out of range), SLM_E_UNSUPPORTED (DoRA of experts or of
 * the embedding), SLM_E_NOMEM. */
SLM_API int slm_adapter_new(slm_adapter **out, const slm_model *m, const slm_adapter_opts *o,
                            slm_err *err);

typedef struct slm_adapter_info {
    const char *kind; /* "peft", "mlx", "gguf", "new", "several" */
    const char *path;
    const char *base; /* the base model as the file names it, or NULL */
    int parts, whole; /* additions, and weights replaced */
    int r_least, r_most;
    float scale_least, scale_most; /* of the file, alpha / r and such */
    float factor;                  /* slm_adapter_scale */
    int dora, rslora, experts, slices, embed, head;
    uint64_t params;
} slm_adapter_info;
SLM_API void slm_adapter_info_get(const slm_adapter *a, slm_adapter_info *out);

typedef struct slm_adapter_part_info {
    const char *module; /* "model.layers.0.self_attn.q_proj" */
    const char *weight; /* "blk.0.attn_q.weight" */
    int row0, rows, cols, r, experts, dora;
    float scale;
} slm_adapter_part_info;
SLM_API void slm_adapter_part_get(const slm_adapter *a, int i, slm_adapter_part_info *out);

typedef struct slm_adapter_save_opts {
    int gguf;         /* a GGUF file, not a PEFT folder */
    const char *base; /* path or name of the base model, for the file; NULL: what it knows */
} slm_adapter_save_opts;
SLM_API void slm_adapter_save_opts_init(slm_adapter_save_opts *o);
/* Writes it whole or not at all: a PEFT folder that PEFT loads (rows of a fused matrix become
 * one addition to all of it), or a GGUF adapter that llama.cpp loads (one alpha; other scales
 * are multiplied into B). Errors: SLM_E_UNSUPPORTED (GGUF: DoRA, replaced weights: merge
 * instead), SLM_E_IO, SLM_E_NOMEM. */
SLM_API int slm_adapter_save(const slm_adapter *a, const char *path,
                             const slm_adapter_save_opts *o, slm_err *err);

/* Would writing the model with the adapter merged make its tied embedding and output differ: 1
 * or 0? Then it is to be opened with slm_model_opts.untie. */
SLM_API int slm_adapter_unties(const slm_adapter *a);
/* Files written of m from now on (slm_model_write) hold the adapter merged into it; what m
 * computes stays. a NULL: no more. It must outlive that. Rows are added to in float32, on what
 * the base was dequantised to. Errors: SLM_E_ARG (another model's; slm_adapter_unties). */
SLM_API int slm_adapter_merge(const slm_adapter *a, slm_model *m, slm_err *err);

/* As slm_model_gradients, of the adapter's tensors and under their names in PEFT's file. */
SLM_API int slm_adapter_gradients(const slm_adapter *a, const int32_t *ids,
                                  const int32_t *labels, int n, const char *path, double *loss,
                                  slm_err *err);

#ifdef __cplusplus
}
#endif
#endif
