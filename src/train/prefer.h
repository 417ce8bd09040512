/* Losses of preferences: a table of kinds, and the arithmetic between the log p of rows and
 * what each row counts on the way back. Knows neither models nor programs. */
#ifndef SLM_TRAIN_PREFER_H
#define SLM_TRAIN_PREFER_H

#include "base/base.h"
#include "slm/prefer.h"

/* One answer. */
struct slm_answer {
    double logp, ref; /* sums of log p over its tokens: policy's and reference's */
    int tokens;
    bool chosen;
};

/* A kind: `of` gives the loss of one item (a pair: chosen, rejected; or one answer), and its
 * derivative by each answer's logp. */
struct slm_prefer_kind {
    const char *name;
    bool refers;     /* needs the reference's log p */
    bool pairs;      /* else answers by themselves */
    bool mismatched; /* needs z: prompts with other answers */
    bool whole;      /* adds the mean loss of all tokens of the chosen texts */
    float beta;      /* the usual one */
    double (*of)(const slm_prefer_opts *o, double z, const struct slm_answer *a, double *slope);
};
/* NULL: no such kind. */
const struct slm_prefer_kind *slm_prefer_kind_find(const char *name);

/* Rows of a run: sequences side by side. */
struct slm_prefer_rows {
    int n;                 /* sequences */
    const int32_t *first;  /* (n + 1) */
    const int32_t *target; /* (rows) the answers' tokens; elsewhere negative */
};
/* Sums of log p (minus the rows' losses) over each answer. */
void slm_prefer_sums(double *sum, const struct slm_prefer_rows *r, const float *row_loss);
/* What the rows count on the way back: a row of answer i -slope[i]; and where `whole` is
 * not 0, each row of a chosen text that has a token behind it `whole` besides. */
void slm_prefer_weights(float *weight, const struct slm_prefer_rows *r,
                        const struct slm_answer *a, const double *slope, double whole);
/* Targets of the whole chosen texts, as the rows of kinds with `whole` need them. Returns how
 * many. */
int64_t slm_prefer_whole(int32_t *target, const struct slm_prefer_rows *r,
                         const struct slm_answer *a, const int32_t *ids);

/* What a step tells besides its loss, summed over items. */
struct slm_prefer_tally {
    double chosen, rejected; /* rewards: beta (log p - log p of the reference, if any) */
    double right;            /* pairs whose chosen answer is rewarded more */
    double loss;
    int64_t n_chosen, n_rejected, n_pairs, n_items;
};
/* A loss, ready: numbers settled, z as far as the kind has one. */
struct slm_prefer_loss {
    const struct slm_prefer_kind *kind;
    slm_prefer_opts o;
    double z;
};
/* kind and numbers of o, settled. SLM_E_ARG. */
int slm_prefer_loss_init(struct slm_prefer_loss *l, const slm_prefer_opts *o, slm_err *err);
/* n answers (pairs: 2i, 2i + 1): the loss of each item (each may be NULL), the slopes by answer
 * of their sum, and the tally, which is added to. */
void slm_prefer_items(const struct slm_prefer_loss *l, const struct slm_answer *a, int n,
                      double *slope, double *each, struct slm_prefer_tally *t);

#endif
