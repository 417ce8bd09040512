/* Private to the train room. A run is: parameters (what learns, with gradients and states), an
 * optimiser (a row of a table), a feed (which tokens come when, a pure function of the batch's
 * number), programs (the model's graph for learning and for evals) and a place among the steps.
 * All that a later bit depends on is in the checkpoint: values, states, step. */
#ifndef SLM_TRAIN_IN_H
#define SLM_TRAIN_IN_H

#include "kernels/kernels.h"
#include "model/model_room.h"
#include "slm/data.h"
#include "slm/train.h"

/* ---- parameters (params.c) ---- */

/* One matrix or vector that learns; each expert of a weight is one. */
struct slm_param {
    const char *name;
    float *v, *g; /* values and gradient, n of each */
    size_t n, at; /* elements; where its gradient begins in the block, in elements */
    int rows, cols;
    bool decay;                /* a matrix: weight decay counts */
    bool inner;                /* a matrix between the embedding and the output */
    bool away;                 /* another rank keeps its states and steps it: */
    int owner, layer;          /* which; layer -1: none */
    size_t state, state_bytes; /* where its optimiser state begins, and its size */
};

/* A weight of the graph and where its gradient goes. */
struct slm_wanted {
    const struct slm_weight *w;
    size_t at; /* in the gradient block, in elements */
};

struct slm_params {
    slm_runtime *rt;
    struct slm_arena arena;
    struct slm_param *p;
    struct slm_wanted *wanted;
    int n, n_wanted;
    uint64_t elements; /* that learn */
    size_t room;       /* elements of the gradient block: weights begin at multiples of 16 */
    float *grad;       /* (room) */
    double *sums;      /* of squares, one a SLM_SUM_CHUNK elements of it */
};
enum { SLM_SUM_CHUNK = 4096 };

/* The table, without memory for gradients; values are there once the weights are unfrozen. */
int slm_params_open(struct slm_params *p, const slm_model *m, slm_adapter *a,
                    const uint8_t *which, slm_err *err);
void slm_params_release(struct slm_params *p);
size_t slm_params_bytes(const struct slm_params *p); /* of the gradients */
/* Takes the gradients' memory; points every parameter at its values and its gradient. */
int slm_params_take(struct slm_params *p, slm_err *err);
void slm_params_clear(struct slm_params *p); /* gradients = 0 */
/* sqrt of the sum of squares, in double and one fixed order. */
double slm_params_norm(struct slm_params *p);
/* Index of the first parameter whose gradient (or value) is not finite, -1: none. */
int slm_params_bad(const struct slm_params *p, bool gradients);

/* ---- optimisers (optim.c, muon.c) ---- */

/* Numbers of one step. */
struct slm_optim_step {
    float lr, beta1, beta2, eps, decay, momentum;
    float scale;           /* of gradients: clipping */
    int64_t step;          /* from 1 */
    double power1, power2; /* beta1 and beta2 to the power of step */
    const void *table;     /* the row's, filled */
};
/* A thread among those that work on one parameter, and their scratch. */
struct slm_whole {
    slm_runtime *rt;
    float *room;
    int ith, nth;
};
struct slm_optim_row {
    const char *name;
    float lr_full, lr_adapter, beta1, beta2, eps, decay; /* the usual */
    int grain;                                           /* elements that work is cut at */
    /* Numbers that all steps read, made once. NULL: none. */
    size_t (*table_bytes)(void);
    void (*table_fill)(void *table);
    /* Bytes of state of a parameter, which begins as zeros. */
    size_t (*state_bytes)(const struct slm_param *p);
    /* Elements [lo, hi) of p (multiples of grain but for its end). NULL for parameters that
     * `whole` takes. */
    void (*update)(const struct slm_param *p, void *state, const struct slm_optim_step *s,
                   size_t lo, size_t hi);
    /* Parameters updated as a whole, by all threads together; and floats of scratch that it
     * needs for p, 0: p is not such. NULL: none is. */
    size_t (*whole_room)(const struct slm_param *p);
    void (*whole)(const struct slm_param *p, void *state, const struct slm_optim_step *s,
                  const struct slm_whole *at);
};
extern const struct slm_optim_row slm_optims[];
extern const int slm_optim_count;
const struct slm_optim_row *slm_optim_find(const char *name);

struct slm_optim {
    const struct slm_optim_row *row;
    struct slm_swap swap; /* the states' file, where they have one */
    uint8_t *state;
    size_t bytes, room; /* of states; floats of scratch */
    float *scratch;
    void *table; /* the row's */
};
/* Lays out the states; sets bytes and room, takes nothing. */
void slm_optim_lay(struct slm_optim *o, const struct slm_optim_row *row, struct slm_params *p);
/* file NULL: in memory. */
int slm_optim_take(struct slm_optim *o, slm_runtime *rt, const char *file, slm_err *err);
void slm_optim_release(struct slm_optim *o, slm_runtime *rt);
void slm_optim_run(const struct slm_optim *o, struct slm_params *p,
                   const struct slm_optim_step *s);
/* adamw, as others use it for what is not theirs. */
size_t slm_adamw_bytes(const struct slm_param *p);
void slm_adamw_update(const struct slm_param *p, void *state, const struct slm_optim_step *s,
                      size_t lo, size_t hi);
/* adam8.c: states of 8 bits. */
size_t slm_adam8_table_bytes(void);
void slm_adam8_table_fill(void *table);
size_t slm_adam8_bytes(const struct slm_param *p);
void slm_adam8_update(const struct slm_param *p, void *state, const struct slm_optim_step *s,
                      size_t lo, size_t hi);
/* muon.c: orthogonalises (rows, cols) by Newton-Schulz and steps. */
size_t slm_muon_room(const struct slm_param *p);
void slm_muon_step(const struct slm_param *p, void *state, const struct slm_optim_step *s,
                   const struct slm_whole *at);

/* ---- schedules (schedule.c) ---- */

struct slm_schedule {
    float (*share)(const struct slm_schedule *s, int64_t step); /* of lr, behind the warm-up */
    float min, decay_share;
    int64_t warmup, steps;
};
/* Errors: SLM_E_ARG naming the option. */
int slm_schedule_init(struct slm_schedule *s, const slm_train_opts *o, int64_t steps,
                      slm_err *err);
/* What lr is multiplied by in step 0 .. steps - 1. */
float slm_schedule_at(const struct slm_schedule *s, int64_t step);

/* ---- what comes when (feeder.c) ---- */

struct slm_feeder {
    slm_tokens *own; /* made of ids */
    const slm_tokens *tokens;
    slm_feed *feed;
    char hash[48]; /* of the data */
};

/* ---- several ranks (ranks.c) ---- */

struct slm_sharing {
    const slm_train_ranks *r; /* NULL: alone, and all of this does nothing */
    int *order;               /* (params) in which gradients are added up: as they come */
    int next;                 /* of it: not begun yet in this step */
    int received;             /* states that the leader has of a checkpoint */
    uint8_t *state;           /* (most bytes of a state that is away) the leader's */
};

/* ---- the run ---- */

struct slm_prefer_run; /* prefer_run.h */

struct slm_train {
    slm_runtime *rt;
    slm_model *m;
    slm_train_opts o; /* words are in the arena */
    struct slm_arena arena;
    uint8_t *which;        /* (n_weights) that learn; NULL: an adapter does */
    uint64_t fingerprint;  /* of the model as it came */
    enum slm_dtype stored; /* most of its matrices */
    bool taken;            /* memory is, and values are as the run left them */
    struct slm_params params;
    struct slm_optim optim;
    struct slm_schedule schedule;
    struct slm_sharing sharing;
    struct slm_feeder feed, eval; /* eval.feed NULL: nothing is held out */
    enum slm_pack pack;
    slm_prog *prog, *eval_prog;
    uint8_t *rope_set;             /* (streams of a batch at most) */
    float *weight;                 /* (rows of a micro-batch) */
    struct slm_prefer_run *prefer; /* NULL: the mean loss of tokens */
    bool bf16;
    int most, room; /* tokens of a micro-batch; what the arrays have room for */
    slm_train_plan plan;
    char choice[256]; /* of the plan */
    /* where it stands: what the checkpoint keeps beside values and states */
    int64_t step, tokens, targets;
    double best; /* eval loss; above 1e300: none yet */
    int64_t best_step;
    int stale; /* evals since */
    /* this sitting */
    double started, rate, loss, norm;
    int64_t first; /* step it began with */
    bool saved;    /* the checkpoint is of this step */
};

/* eval: of the held-out data. Zeroed before; close whatever comes back. */
int slm_feeder_open(struct slm_feeder *f, slm_train *t, const slm_tokens *data, bool eval,
                    slm_err *err);
void slm_feeder_close(struct slm_feeder *f);

/* loop.c: (re)opens the feeds by o.batch and o.accumulate */
int slm_train_feed(slm_train *t, slm_err *err);

/* step.c */
int slm_train_build(slm_train *t, slm_err *err); /* programs, planned */
struct slm_prog_opts slm_train_prog_opts(const slm_train *t, int rows, bool learn);
/* The forward of m with its loss. */
void slm_train_emit(const slm_train *t, slm_prog *p, const slm_model *m);
/* Bytes that the programs would take. */
int slm_train_measure(slm_train *t, uint64_t *bytes, slm_err *err);
void slm_train_unbuild(slm_train *t);
/* A batch as a program runs it. Borrows from both; one at a time, as factors by stream are t's.
 */
struct slm_run slm_train_run_of(slm_train *t, const struct slm_batch *b);
/* Forward and backward of the step's micro-batches, then the optimiser: sets loss and norm. */
int slm_train_step(slm_train *t, slm_err *err);
int slm_train_eval(slm_train *t, double *loss, slm_err *err);
/* Of micro-batch `micro`, whatever ran before it. */
uint64_t slm_train_dropout_seed(const slm_train *t, int64_t micro);

/* ranks.c: each does nothing, or gives back rc, when the run is alone */
static inline bool slm_ranks_leader(const slm_train *t)
{
    return !t->sharing.r || t->sharing.r->rank == 0;
}
int slm_ranks_share(slm_train *t, slm_err *err);        /* who owns which parameter */
int slm_ranks_same(slm_train *t, int rc, slm_err *err); /* model and place are the same */
int slm_ranks_agree(slm_train *t, int rc, slm_err *err);
bool slm_ranks_any(slm_train *t, bool yes);
/* rc and numbers of all ranks together: fails on all where one failed, else adds up. */
int slm_ranks_sum(slm_train *t, int rc, double *x, size_t n, slm_err *err);
/* Before the way back of a step's last batch, and behind it: gradients to their owners. */
void slm_ranks_watch(slm_train *t, bool on);
int slm_ranks_reduce(slm_train *t, slm_err *err);
int slm_ranks_spread(slm_train *t, slm_err *err); /* values from their owners */
/* A state as a checkpoint wants it: the leader's own or its owner's; NULL with err. */
const uint8_t *slm_ranks_state(slm_train *t, int param, slm_err *err);
/* Of the others: sends theirs. Of the leader after trouble: takes what still comes. */
int slm_ranks_drain(slm_train *t, slm_err *err);

/* checkpoint.c: all that later bits depend on, in one file that is whole at any moment */
int slm_train_save(slm_train *t, slm_err *err);
/* Sets *found; else nothing is there to go on from. Values and states are taken later: */
int slm_train_find(slm_train *t, bool *found, slm_err *err);
int slm_train_load(slm_train *t, slm_err *err);
int slm_train_save_best(slm_train *t, slm_err *err);
int slm_train_load_best(slm_train *t, slm_err *err);
/* Removes what was left half written by who was killed. */
void slm_train_sweep(slm_train *t);
/* finish.c: the model or adapter as others read it */
int slm_train_finish(slm_train *t, slm_err *err);
/* train_opts.c */
/* Checks options and takes them over, words copied, what was not given filled in. */
int slm_train_opts_take(slm_train *t, const slm_train_opts *o, slm_err *err);
/* Fills t->which by o.targets. */
int slm_train_targets(slm_train *t, slm_err *err);
void slm_train_config_put(const slm_train *t, struct slm_buf *b);
/* train_plan.c: programs, memory and time, told before they are taken */
int slm_train_make_plan(slm_train *t, slm_err *err);

#endif
