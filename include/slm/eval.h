/* Evaluation: how far one model's predictions are from another's, and files that keep what the
 * other said. */
#ifndef SLM_EVAL_H
#define SLM_EVAL_H

#include "slm/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- divergence ---- */

/* What a row of the base (the model that counts as the truth) holds. */
enum slm_base_rows {
    SLM_BASE_LOGITS,   /* logits: normalised here, exactly */
    SLM_BASE_LOG_PROBS /* log-probabilities as they stand; -16 and less are left out of the sum
                        */
};

typedef struct slm_divergence slm_divergence;
/* Collects over rows of `vocab` logits; *out is the caller's. Errors: SLM_E_ARG, SLM_E_NOMEM.
 */
SLM_API int slm_divergence_new(slm_divergence **out, slm_runtime *rt, int vocab, slm_err *err);
SLM_API void slm_divergence_free(slm_divergence *d);
/* One place of the text: base and logits are (V) floats, target is the token that follows.
 * Adds KL(base || model) in nats. Not in parallel. Errors: SLM_E_NUMERIC (a row that is not
 * finite), SLM_E_ARG (a target outside the vocabulary), SLM_E_NOMEM. */
SLM_API int slm_divergence_add(slm_divergence *d, const float *base, enum slm_base_rows kind,
                               const float *logits, int32_t target, slm_err *err);

typedef struct slm_divergence_stats {
    int64_t count;
    double kld, kld_stderr; /* mean, and the standard error of the mean; nats */
    double kld_median, kld_p90, kld_p99, kld_max;
    double same_top, same_top_stderr; /* share of places where both like the same token best */
    double nll, nll_base;             /* means */
    double log_ratio_stderr; /* of nll - nll_base: both see the same tokens, so it is small */
    double dp_mean, dp_rms;  /* probability of the right token: model's less base's */
} slm_divergence_stats;
/* Of all that was added so far; count 0 leaves the rest 0. */
SLM_API void slm_divergence_get(slm_divergence *d, slm_divergence_stats *out);

/* ---- base files ---- */

/* A base file holds the ids of a text and, for each place that was scored, what the base said
 * there. Two forms, told apart by their first eight bytes:
 *   slm's       "slm-base": logits in float32, so a file gives what the model itself would
 *   llama.cpp's "_logits_": log-probabilities in 16 bits within 16 nats of the best; steps of
 *               2.4e-4, so single places are off by about 1e-4, means of many by far less */
typedef struct slm_base slm_base;
enum slm_base_form { SLM_BASE_SLM, SLM_BASE_LLAMA_CPP };
enum slm_base_text {
    SLM_BASE_CHUNKS, /* pieces of `context` ids; rows context / 2 .. context - 2 of each */
    SLM_BASE_WINDOWS /* lm-eval's windows: every id scored once; slm's form only */
};
typedef struct slm_base_info {
    enum slm_base_form form;
    enum slm_base_text text;
    int context, vocab;
    uint64_t n_ids, n_rows;
} slm_base_info;

/* 1 when the file at path begins as a base file does, else 0 (also when there is none). */
SLM_API int slm_base_is(const char *path);
/* Opens for reading; the file is mapped. *out is the caller's. Errors: SLM_E_IO,
 * SLM_E_NOTFOUND, SLM_E_FORMAT, SLM_E_NOMEM. */
SLM_API int slm_base_open(slm_base **out, slm_runtime *rt, const char *path, slm_err *err);
SLM_API void slm_base_close(slm_base **b);
SLM_API void slm_base_info_get(const slm_base *b, slm_base_info *out);
/* The i-th id of its text, i < n_ids. */
SLM_API int32_t slm_base_id(const slm_base *b, uint64_t i);
/* Row i < n_rows, in the order of scoring, into out (V): logits or log-probabilities by the
 * form. Errors: SLM_E_FORMAT (a row that is not finite). */
SLM_API int slm_base_row(const slm_base *b, uint64_t i, float *out, slm_err *err);

/* Writes a file of info->form; info->n_rows is not read, rows are counted. It appears whole
 * with commit, or not at all. ids: n_ids of them (llama.cpp's form: whole chunks). Errors:
 * SLM_E_ARG (windows in llama.cpp's form, ids that are no whole chunks), SLM_E_IO, SLM_E_NOMEM.
 */
typedef struct slm_base_out slm_base_out;
SLM_API int slm_base_out_open(slm_base_out **out, slm_runtime *rt, const char *path,
                              const slm_base_info *info, const int32_t *ids, slm_err *err);
SLM_API int slm_base_out_row(slm_base_out *o, const float *logits, slm_err *err);
SLM_API int slm_base_out_commit(slm_base_out *o, slm_err *err);
SLM_API void slm_base_out_close(slm_base_out **o);

#ifdef __cplusplus
}
#endif
#endif
