/* Steps that learn preferences, in place of the mean loss of tokens. */
#ifndef SLM_TRAIN_PREFER_RUN_H
#define SLM_TRAIN_PREFER_RUN_H

#include "train/prefer.h"
#include "train/train_in.h"

/* log p by the reference of every document of a store, and of the mismatched texts of every
 * step (kto; for evals of all batches together). */
struct slm_prefer_refs {
    double *doc, *step;
    int64_t docs, steps;
};

/* Of a step, over all ranks: items, answers, their tokens, and tokens of the whole chosen
 * texts.
 */
struct slm_prefer_counts {
    double items, answers, targets, whole;
};

struct slm_prefer_run {
    struct slm_prefer_loss loss;
    struct slm_prefer_counts count;
    struct slm_prefer_refs refs, eval_refs; /* doc NULL: the model without its adapter says */
    struct slm_prefer_tally tally;          /* of the last step */
    /* room for a micro-batch */
    struct slm_answer *a;
    double *sum, *slope;
    int32_t *whole;
    /* mismatched texts */
    int32_t *ids, *pos, *stream, *target, *first, *tail;
    int n_tail; /* the answer before */
    bool told;  /* that some are cut */
};

/* Takes o.prefer over where it has a kind, and checks the data. t->prefer stays NULL
 * else. */
int slm_prefer_run_open(slm_train *t, slm_err *err);
void slm_prefer_run_close(slm_train *t);
uint64_t slm_prefer_run_bytes(const slm_train *t);
/* Behind slm_train_build, before the first step: takes room; where all of the model learns, its
 * reference's numbers are computed from its values now, or read from the file in o.out where
 * the run goes on.
 */
int slm_prefer_run_begin(slm_train *t, slm_err *err);
/* What the step of micro-batches from `first` on has, and its distance, over all ranks: fails
 * on all where it fails on one. *targets: tokens of answers. */
int slm_prefer_run_count(slm_train *t, int64_t first, int64_t *targets, slm_err *err);
/* Behind that, this rank's forward and backward: adds to loss, and tokens to *tokens. */
int slm_prefer_run_step(slm_train *t, int64_t first, double *tokens, slm_err *err);
int slm_prefer_run_eval(slm_train *t, double *loss, slm_err *err);
/* Rewards of the last step. */
void slm_prefer_run_tell(const slm_train *t, slm_train_event *e);
/* Fills r with what the model says as it is now (prefer_run.c). */
int slm_prefer_refer(slm_train *t, bool eval, struct slm_prefer_refs *r, slm_err *err);

#endif
