/* Training: all of a model, or an adapter on it, from batches of tokens, with a plan told
 * before anything runs, checkpoints that a run goes on from bit for bit, and events for whoever
 * watches.
 *
 *   slm_train_opts_init(&o); o.steps = 100; o.data = tokens; o.out = "dir";
 *   slm_train_open(&t, model, &o, &err);      nothing big is taken yet
 *   slm_train_plan_get(t, &plan);             what it will take; show it, stop here if you like
 *   slm_train_run(t, &err);                   trains; events come by o.event
 *   slm_train_close(&t);
 *
 * Full training changes the model in place: its weights become float32 in memory of its own,
 * and sessions opened on it afterwards (also from inside an event) speak with what was learnt
 * so far. With an adapter the model stays as it is. */
#ifndef SLM_TRAIN_H
#define SLM_TRAIN_H

#include "slm/adapter.h"
#include "slm/data.h"
#include "slm/model.h"
#include "slm/prefer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct slm_train slm_train;

/* ---- watching ---- */

enum slm_train_kind {
    SLM_TRAIN_STEP,       /* a step was made */
    SLM_TRAIN_EVAL,       /* validation loss was measured */
    SLM_TRAIN_SAMPLE,     /* a good moment to let the model speak (behind every eval) */
    SLM_TRAIN_CHECKPOINT, /* a checkpoint is whole at `path` */
    SLM_TRAIN_NOTE,       /* `text` is for people: what was chosen, resumed, stopped early */
    SLM_TRAIN_DONE        /* the model (or adapter) is written */
};
typedef struct slm_train_event {
    enum slm_train_kind kind;
    int64_t step, steps;     /* steps made (1 .. steps), and in all */
    int64_t tokens, targets; /* so far: tokens run, and of them those that count in the loss */
    double epoch;            /* so far */
    double loss;             /* STEP: mean of the batch before the step; EVAL: held-out mean */
    double best;             /* EVAL: lowest so far */
    double lr, grad_norm;    /* STEP: norm before clipping */
    double tokens_s, seconds, eta; /* tokens a second of late; seconds so far; seconds left */
    int best_now;                  /* EVAL: this one is the lowest */
    /* STEP, with a loss of preferences (else NAN): mean rewards, beta times log p (less the
     * reference's) of chosen and of rejected answers; share of pairs whose chosen answer has
     * more (NAN: no pairs), and by how much */
    double chosen, rejected, right, margin;
    const char *path, *text;       /* NULL where not said above; the callee copies */
} slm_train_event;
/* Called by the thread that called slm_train_run, between steps. Non-zero: save and stop. */
typedef int slm_train_fn(void *arg, const slm_train_event *e);

/* ---- several processes as one ---- */

/* Data parallel: every rank runs its own part of each batch, gradients are added up while the
 * way back goes on, and each rank keeps the optimiser's states of a share of the parameters and
 * steps these (ZeRO-1, Rajbhandari et al. 2020). What the ranks begin with must be the same on
 * all: model, data, options; -o must be a folder that all see. Every function is called by the
 * thread that called slm_train_run, in the same order on all ranks; 0 or SLM_E_IO. */
typedef struct slm_train_ranks {
    int rank, n; /* n 0 or 1: alone */
    void *arg;
    /* Begins to add x of all ranks up at root (elsewhere x is used up), or to bring root's
     * bytes to all. x stays untouched until wait. */
    int (*reduce)(void *arg, float *x, size_t n, int root);
    int (*spread)(void *arg, void *x, size_t bytes, int root);
    void (*progress)(void *arg); /* between: lets what was begun go on */
    int (*wait)(void *arg);      /* for all that was begun */
    /* At once: bytes from one rank to another (called by these two); sums over all ranks with
     * the same bits on all. */
    int (*move)(void *arg, void *x, size_t bytes, int from, int to);
    int (*sum)(void *arg, double *x, size_t n);
} slm_train_ranks;

/* Whether this build knows Open MPI ("Open MPI 4.1"), NULL: not. */
SLM_API const char *slm_train_ranks_how(void);
/* Joins the ranks that mpirun started: fills *out, which is to be closed. Errors: SLM_E_IO
 * (Open MPI is not there or does not start), SLM_E_UNSUPPORTED (a build without). */
SLM_API int slm_train_ranks_open(slm_train_ranks *out, slm_runtime *rt, slm_err *err);
/* Leaves them; zeroed is fine. Every rank must come here, or all are ended. */
SLM_API void slm_train_ranks_close(slm_train_ranks *r);
/* Called by all ranks with how each fared: 0 when all fared well; else all get the code and
 * message of the first that did not, its rank named. r NULL or alone: code. */
SLM_API int slm_train_ranks_agree(const slm_train_ranks *r, int code, slm_err *err);

/* ---- options ---- */

typedef struct slm_train_opts {
    /* data: a token store, or ids in rows of `seq` in their order, cycled. Borrowed. */
    const slm_tokens *data, *eval_data; /* eval_data NULL: none held out */
    const int32_t *ids;
    size_t n_ids;
    const char
        *pack;      /* "best-fit", "wrapped", "none"; NULL: best-fit for chats, else wrapped */
    int shuffle;    /* -1: yes but for ids */
    int seq;        /* most tokens of a row; 0: the model's context, at most 2048 */
    int batch;      /* rows a micro-batch; 0: as the plan chooses */
    int accumulate; /* micro-batches a step */
    int64_t steps;  /* 0: as epochs say */
    double epochs;  /* 0: 1 */
    uint64_t seed;
    slm_adapter *adapter; /* trained instead of the model; borrowed. NULL: all of the model */
    /* kind not NULL: this loss, of a store of pairs (kto: or of labels). Its reference: the
     * model without the adapter; without one the model as it came, whose log p are kept in
     * `out` */
    slm_prefer_opts prefer;
    const char *targets;  /* full training: only weights whose names hold one of these words,
                             separated by commas ("embed_tokens,norm"); NULL: all */

    const char *quantize_base; /* with an adapter: the layers' matrices are rounded to this type
                                  first ("nf4", "q4_K"); NULL: as they are */

    const char *optimizer; /* "adamw", "adamw8", "lion", "muon" */
    float lr;              /* 0: the optimiser's usual for full or adapter training */
    float beta1, beta2, eps, weight_decay; /* below 0: the optimiser's usual */
    float momentum;                        /* muon; below 0: 0.95 */
    float clip;                            /* most norm of all gradients together; 0: none */
    const char *schedule;                  /* "constant", "linear", "cosine", "wsd" */
    float warmup;                          /* steps; below 1: share of all steps */
    float min_lr;                          /* share of lr that linear, cosine and wsd end at */
    float decay_share;                     /* wsd: last share of the steps, in which lr falls */
    const char *precision;                 /* of matrix products: "f32", "bf16", "auto" */

    uint64_t memory;         /* bytes that it may take; 0: what the machine has free */
    int stretch;             /* layers computed again together on the way back; 0: none, -1: as
                                memory asks */
    const char *states_file; /* optimiser states live in this file, mapped; NULL: in memory */

    int eval_every;   /* steps; 0: at the end only */
    int eval_batches; /* most micro-batches of an eval; 0: all */
    int patience;     /* evals without a new best before it stops; 0: never */
    int save_every;   /* steps between checkpoints; 0: at the end and when stopped */
    int keep_last;    /* write the last weights, not the best by eval */
    const char *out;  /* folder: checkpoint, best, the finished model or adapter. NULL: none */
    const char *save_type; /* "f32", "bf16", "f16"; NULL: as the model was stored */
    const char *gguf;      /* write the finished model or adapter as this GGUF file too */
    int resume;            /* go on from the checkpoint in out */

    const slm_train_ranks *ranks; /* NULL: alone. Borrowed */
    slm_train_fn *event;          /* NULL: none */
    void *event_arg;
} slm_train_opts;
SLM_API void slm_train_opts_init(slm_train_opts *o);

/* ---- the plan ---- */

typedef struct slm_train_plan {
    uint64_t params, trained; /* weights in all (adapter counted), and those that learn */
    int tensors;              /* that learn */
    /* bytes by kind; states: the optimiser's; mapped: frozen weights read from their file,
     * which the system may drop */
    uint64_t weights, mapped, gradients, states, activations, other;
    uint64_t peak, available; /* of resident memory; what it may take */
    uint64_t disk; /* of a checkpoint and what is written at the end, and a second one
                      while it is being written */
    int batch, accumulate, seq, stretch;            /* as chosen */
    const char *precision, *optimizer;              /* "bf16" ... */
    int states_mapped;                              /* optimiser states are in a file */
    int64_t tokens_step, steps, steps_done, tokens; /* tokens: most, of the steps to come */
    double flops_token, seconds; /* seconds: predicted, of the steps to come */
    const char *choice;          /* what was chosen to fit, for people; "" when nothing was */
} slm_train_plan;

/* Plans. m and what o points at (but for words, which are copied) must outlive *out. Probes the
 * machine for some tenths of a second. Errors: SLM_E_ARG (an option, by name), SLM_E_LIMIT
 * (does not fit the memory: says what would), SLM_E_UNSUPPORTED, SLM_E_NUMERIC (a weight is not
 * finite, by name), SLM_E_FORMAT and SLM_E_IO (the checkpoint to go on from), SLM_E_NOMEM. */
SLM_API int slm_train_open(slm_train **out, slm_model *m, const slm_train_opts *o,
                           slm_err *err);
SLM_API void slm_train_close(slm_train **t);
/* Text in it lives as long as t. */
SLM_API void slm_train_plan_get(const slm_train *t, slm_train_plan *out);
/* All options as chosen, with the model's name and fingerprint, as one JSON object: what a
 * record of the run keeps. */
SLM_API int slm_train_config(const slm_train *t, slm_text *out, slm_err *err);

/* Trains from where it stands to the end, then writes what was learnt. Errors: SLM_E_CANCELLED
 * (an event said stop: the checkpoint is whole), SLM_E_NUMERIC (loss or gradient not finite:
 * the first such tensor by name; nothing is written over), SLM_E_IO (a file, by name; the
 * checkpoint before is whole). */
SLM_API int slm_train_run(slm_train *t, slm_err *err);

/* ---- a model of random weights ---- */

typedef struct slm_model_shape {
    const char *family; /* "llama", "qwen3" ... */
    int width, layers, heads, kv_heads, head_width, ffn, vocab, context;
    int experts, experts_used; /* families with experts */
    int window;                /* sliding window of families that have one; 0: none */
    int tied;                  /* output is the embedding; -1: yes */
    float rope_base;           /* 0: the family's */
    float std;                 /* of the weights; 0: 0.02 */
    uint64_t seed;
    const char *tokenizer; /* a model's folder, tokenizer.json or GGUF file; NULL: none. vocab
                              0: its size */
} slm_model_shape;
SLM_API void slm_model_shape_init(slm_model_shape *s);
/* A new model: matrices normal with deviation std, those that write to the residual stream
 * std / sqrt(2 L), norms ones, biases zeros. Errors: SLM_E_ARG (a size, by name; a family that
 * is not known), SLM_E_NOMEM, the tokenizer's. */
SLM_API int slm_model_new(slm_model **out, slm_runtime *rt, const slm_model_shape *s,
                          slm_err *err);

#ifdef __cplusplus
}
#endif
#endif
