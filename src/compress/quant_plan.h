/* Private to the compress room: a model with a type for each of its weights. */
#ifndef SLM_COMPRESS_QUANT_PLAN_H
#define SLM_COMPRESS_QUANT_PLAN_H

#include "compress/importance.h"
#include "compress/mixes.h"
#include "kernels/kernels.h"

struct slm_quant_row {
    enum slm_role role;
    bool matrix; /* may be rounded */
    bool asked;  /* its type was asked for by name */
    int wanted;  /* the type that its rows did not allow, -1: none */
    uint64_t bytes;
    float *weight;      /* (parts, cols) importances; NULL: none */
    uint8_t *ready;     /* (parts, rows) rounded already; NULL: not */
    double rmse, error; /* NAN before writing */
};

struct slm_quant {
    slm_runtime *rt;
    slm_model *m;
    slm_imatrix *im;
    char *imatrix_path;
    const struct slm_mix *mix; /* NULL: none, as stored or by slm_quant_fit */
    enum slm_kind kind;        /* of the candidates for that */
    bool fitted, allow_requantize, no_imatrix, dry;
    enum slm_dtype *type;      /* (n_weights) */
    struct slm_quant_row *row; /* (n_weights) */
};

/* Can the type be written on this build? */
bool slm_quant_can(const slm_runtime *rt, enum slm_dtype t);
/* One row of n float32 numbers as type t, as near as is known how; weight may be NULL. */
void slm_quant_round(const struct slm_kern *kern, enum slm_dtype t, void *out, const float *x,
                     const float *weight, size_t n);
/* How far `back` is from x: what a row adds to the tensor's sums. */
struct slm_miss {
    double weighted, whole, plain; /* w (x - back)^2, w x^2, (x - back)^2 */
};
struct slm_miss slm_quant_miss(const float *x, const float *back, const float *weight,
                               size_t n);
/* Bytes of weight i as type t. */
uint64_t slm_quant_bytes(const slm_quant *q, int i, enum slm_dtype t);
/* An error when an adapter will be merged in: what computes with the model would not see it. */
int slm_quant_unmerged(const slm_quant *q, slm_err *err);
/* Is it no loss of honesty to give weight i the type: not rounded twice, importances where they
 * are needed? Fails, or warns where the options allow it. */
int slm_quant_check(const slm_quant *q, slm_err *err);
/* Of the file that would be written now. */
int slm_quant_file_bytes(slm_quant *q, uint64_t *bytes, slm_err *err);

/* Relative error of weight i as each of n types, on a sample of its rows, into error[n]
 * (measure.c). Errors: SLM_E_NUMERIC, SLM_E_NOMEM. */
int slm_quant_measure(const slm_quant *q, int i, const enum slm_dtype *t, int n, double *error,
                      slm_err *err);

/* Gives weight i other bytes (parts of rows of type t), which stay the caller's; and
 * takes them back, also where nothing was given. */
int slm_quant_swap(slm_quant *q, int i, enum slm_dtype t, const uint8_t *bytes, slm_err *err);
void slm_quant_swap_back(slm_quant *q, int i, const struct slm_weight *old);
/* The length of chunks and how many of them a text has; refuses what can not be run. */
int slm_quant_text_check(const slm_quant_text *o, const slm_model *m, int *context,
                         size_t *chunks, slm_err *err);

/* ---- the budget (budget.c): knows nothing of tensors ---- */

enum { SLM_BUDGET_OPTIONS = 24 };
struct slm_budget_item {
    struct slm_budget_option {
        int type;
        uint64_t bytes;
        double cost;
    } option[SLM_BUDGET_OPTIONS]; /* at least one */
    int n, chosen;
    int hull[SLM_BUDGET_OPTIONS], n_hull, at; /* the solver's own */
};
/* Chooses one option of each item so that the bytes do not pass the budget and the costs' sum
 * is small. False, with *least the bytes that it takes at least, when there is no such choice.
 */
bool slm_budget_solve(struct slm_budget_item *item, int n, uint64_t budget, uint64_t *least);

#endif
