/* Preferences: losses of a policy against a reference on prompts with a chosen and a rejected
 * answer. What slm_train learns from them by name is measured here for pairs of a file.
 *
 * S: sum, M: mean of log p over an answer's tokens, each given all before it; w chosen, l
 * rejected; r the reference:
 *   dpo    -log sigmoid(beta ((S_w - S_w^r) - (S_l - S_l^r)))          arXiv 2305.18290
 *   ipo    ((M_w - M_w^r) - (M_l - M_l^r) - 1 / (2 beta))^2            arXiv 2310.12036
 *   orpo   NLL - lambda log sigmoid(log odds_w - log odds_l)           arXiv 2403.07691
 *          odds = e^M / (1 - e^M); NLL: mean over all tokens of the chosen texts, prompts too
 *   simpo  -log sigmoid(beta (M_w - M_l) - gamma)                      arXiv 2405.14734
 *   kto    chosen: 1 - sigmoid(beta ((S - S^r) - z)), rejected: 1 - sigmoid(beta (z - (S -
 *          S^r))), each answer by itself, times its side's weight      arXiv 2402.01306
 *          z = max(0, mean of S - S^r over prompts with their predecessor's answer), constant
 * and the mean over pairs (kto: answers). */
#ifndef SLM_PREFER_H
#define SLM_PREFER_H

#include "slm/adapter.h"
#include "slm/data.h"
#include "slm/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Numbers below 0 (or 0): the kind's usual: beta 0.1 (simpo 2), lambda 0.1, gamma 0.5, weights
 * 1. */
typedef struct slm_prefer_opts {
    const char *kind; /* "dpo" "ipo" "orpo" "simpo" "kto" */
    float beta, lambda, gamma;
    float desirable, undesirable; /* kto: weights of chosen and rejected answers */
} slm_prefer_opts;
SLM_API void slm_prefer_opts_init(slm_prefer_opts *o);
/* The i-th kind's name, NULL behind the last; and does it compare with a reference? */
SLM_API const char *slm_prefer_kind_at(int i);
SLM_API int slm_prefer_kind_refers(const char *kind);

/* ---- pairs of a file ---- */

typedef struct slm_pairs slm_pairs;
/* Reads JSON: a list of {"prompt", "chosen", "rejected"}, or an object with such a list as
 * "pairs". Each is a list of ids, or a text, which m's tokenizer encodes (the prompt with the
 * tokens that begin a text). Errors: SLM_E_IO, SLM_E_NOTFOUND, SLM_E_FORMAT (naming the pair
 * and the field: missing, empty, ids outside m's vocabulary, texts without a tokenizer). */
SLM_API int slm_pairs_load(slm_pairs **out, const slm_model *m, const char *path, slm_err *err);
SLM_API void slm_pairs_free(slm_pairs *p);
SLM_API int slm_pairs_count(const slm_pairs *p);
/* The same as a token store to train on. Errors: SLM_E_NOMEM. */
SLM_API int slm_pairs_tokens(slm_tokens **out, const slm_pairs *p, slm_err *err);

/* ---- measuring ---- */

/* What a policy says of pairs: m, with adapter where that is not NULL. Its reference is
 * `reference`, or else m without the adapter. Borrowed. */
typedef struct slm_prefer_policy {
    const slm_model *m;
    const slm_adapter *adapter;
    const slm_model *reference;
} slm_prefer_policy;

/* Sums of log p over the answers, all (pairs) but for kl: (2 pairs) in the order chosen 0,
 * rejected 0, chosen 1 ... NULL where the kind has no use for them. each: (pairs), for kto (2
 * pairs), the chosen first. Freed by slm_prefer_result_release. */
typedef struct slm_prefer_result {
    slm_runtime *rt;
    int pairs, n_each;
    double loss;
    double *each;
    double *policy_chosen, *policy_rejected, *reference_chosen, *reference_rejected;
    double *policy_kl, *reference_kl;
    double kto_kl, orpo_nll; /* z; NLL; NAN for other kinds */
    double *room;
} slm_prefer_result;
/* On all threads, in float32. Errors: SLM_E_ARG (kind; models of different vocabularies; a pair
 * longer than the context), SLM_E_NUMERIC (a loss is not finite), SLM_E_NOMEM. */
SLM_API int slm_prefer_measure(slm_prefer_result *out, const slm_prefer_policy *policy,
                               const slm_pairs *pairs, const slm_prefer_opts *o, slm_err *err);
SLM_API void slm_prefer_result_release(slm_prefer_result *r);

#ifdef __cplusplus
}
#endif
#endif
