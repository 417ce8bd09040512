/* Sessions: one stream of tokens through a model, its key/value cache, sampling and generation.
 */
#ifndef SLM_SESSION_H
#define SLM_SESSION_H

#include "slm/adapter.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct slm_session slm_session;

typedef struct slm_session_opts {
    int context;         /* positions; 0: the model's own, at most 4096 */
    int batch;           /* rows a run takes at once; 0: 512 */
    int exact;           /* 1: float32 activations; 0: the fast path */
    const char *kv_type; /* "f32" "f16" "bf16" "q8_0" "q4_0"; NULL: f32 when exact, else f16 */
    const slm_adapter *adapter; /* of the same model; must outlive the session; NULL: none */
    slm_session *share;  /* computes with this session's work memory, so that many sessions on
                          * one model cost little more than their caches; NULL: its own */
} slm_session_opts;
SLM_API void slm_session_opts_init(slm_session_opts *o);

/* A session belongs to one thread at a time, and sessions that share work belong to one thread
 * together: a call on one of them ends the logits of the others. They may be closed in any
 * order. The model must outlive it. All its memory is taken here. Errors: SLM_E_ARG (among
 * others: share is on another model, or of another batch or exactness), SLM_E_UNSUPPORTED (a
 * kv_type that does not divide the head), SLM_E_NOMEM. */
SLM_API int slm_session_open(slm_session **out, const slm_model *m, const slm_session_opts *o,
                             slm_err *err);
SLM_API void slm_session_close(slm_session **s);

/* The model it was opened on. */
SLM_API const slm_model *slm_session_model(const slm_session *s);
SLM_API int slm_session_context(const slm_session *s); /* positions it can hold */
SLM_API int slm_session_length(const slm_session *s);  /* positions in use */
SLM_API const int32_t *slm_session_ids(const slm_session *s);

/* Makes the session's tokens exactly ids[0..n): keeps the common prefix, drops what differs and
 * computes the rest. *reused (may be NULL) says how many were kept. Afterwards the logits of
 * the last token are there. Errors: SLM_E_LIMIT (longer than the context), SLM_E_ARG (id out of
 * range), SLM_E_NUMERIC (logits are not finite). */
SLM_API int slm_session_sync(slm_session *s, const int32_t *ids, int n, int *reused,
                             slm_err *err);
/* Appends n ids and computes them as tokens that are being generated are: on some CPUs prompts
 * (slm_session_sync, slm_session_score) go through other kernels, with other last bits and more
 * speed for many tokens. However a text is cut into calls, a token's bits stay the same. */
SLM_API int slm_session_append(slm_session *s, const int32_t *ids, int n, slm_err *err);
/* As append, and gives the logits of every row to fn in order: (V) floats, borrowed for the
 * call. A non-zero return of fn stops with SLM_E_CANCELLED. */
typedef int slm_logits_fn(void *arg, int row, const float *logits);
SLM_API int slm_session_score(slm_session *s, const int32_t *ids, int n, slm_logits_fn *fn,
                              void *arg, slm_err *err);
/* Logits of the last token: (V) floats, valid until the next call on this session or one that
 * shares its work; NULL before any. */
SLM_API const float *slm_session_logits(const slm_session *s);

/* Several streams at once, each a session of its own at its own position: the weights are read
 * once for all of them. */
typedef struct slm_step {
    slm_session *session;
    const int32_t *ids; /* (n), borrowed for the call */
    int n;
    int all; /* 1: logits of all n tokens, not of the last alone */
} slm_step;
/* Appends to each session its ids and computes them as slm_session_append does: every stream
 * gets, bit for bit, what it would have got alone. The sessions must share their work
 * (slm_session_opts.share). At most 64 streams and 64 rows of logits in all. Where the logits
 * of a stream are not finite it has none, the others do, and the call gives SLM_E_NUMERIC
 * (with `all`: where those of its first token are not; slm_session_row tells of others). Errors
 * before anything is done: SLM_E_ARG (sessions of different models, of separate work, one
 * twice; ids out of range), SLM_E_LIMIT (longer than a context, too many rows of logits). */
SLM_API int slm_session_step(const slm_step *steps, int n, slm_err *err);
/* Rows of logits that the last call left for this session, and one of them: (V) floats, row 0
 * the earliest token's. NULL with SLM_E_NUMERIC where that row is not finite. */
SLM_API int slm_session_rows(const slm_session *s);
SLM_API const float *slm_session_row(const slm_session *s, int row, slm_err *err);

/* Forgets all tokens. */
SLM_API void slm_session_reset(slm_session *s);
/* Keeps only the first n tokens, and what the last call left of their logits. Where a sliding
 * window has dropped what that needs, everything is forgotten, and the return value is what was
 * kept (n or 0). Tokens of the last slm_session_step can always be taken back. */
SLM_API int slm_session_truncate(slm_session *s, int n);

/* The whole state in a file: versioned, bound to the model and cache type by a fingerprint,
 * checked. */
SLM_API int slm_session_save(const slm_session *s, const char *path, slm_err *err);
SLM_API int slm_session_restore(slm_session *s, const char *path, slm_err *err);

/* ---- sampling ---- */

typedef struct slm_logit_bias {
    int32_t id;
    float bias;
} slm_logit_bias;

typedef struct slm_sampler_opts {
    float temp;                                /* 0: greedy; default 0.8 */
    int top_k;                                 /* 0: off; default 40 */
    float top_p, min_p;                        /* 1 and 0: off; defaults 0.95, 0.05 */
    float typical_p;                           /* 1: off */
    float repeat_penalty;                      /* 1: off */
    float presence_penalty, frequency_penalty; /* 0: off */
    int penalty_last_n;                        /* tokens looked back on, -1: all; default 64 */
    float dry_multiplier, dry_base;            /* 0: off; base 1.75 */
    int dry_allowed_length, dry_last_n;        /* 2; -1: all */
    const char *dry_breakers; /* one string each, separated by NUL, ended by an empty one; NULL:
                                 "\n" ":" "\"" "*" */
    float xtc_probability, xtc_threshold; /* 0: off; 0.1 */
    int mirostat;                         /* 0 off, 2 */
    float mirostat_tau, mirostat_eta;     /* 5, 0.1 */
    const slm_logit_bias *bias;
    int n_bias; /* added to logits; -INFINITY bans */
    uint64_t seed;
    const char *order; /* "penalties;dry;top_k;typ_p;top_p;min_p;xtc;temperature"; NULL: that.
                        * What is left out is not done; temp 0 is greedy wherever it stands */
    int min_keep;      /* candidates that filters must leave; 1 */
    int context;       /* tokens that "all" of the look-backs means at most; 0: 8192 */
} slm_sampler_opts;
SLM_API void slm_sampler_opts_init(slm_sampler_opts *o);

typedef struct slm_sampler slm_sampler;
/* All its memory is taken here. Errors: SLM_E_ARG (a value out of its range, an unknown name in
 * order, a bias on an id that does not exist), SLM_E_NOMEM.
 * Mirostat replaces the filters: penalties, dry and temperature go before it.
 * vocab: the tokenizer for DRY's breakers, may be NULL (then breakers are unknown: SLM_E_ARG if
 * DRY is on). */
SLM_API int slm_sampler_new(slm_sampler **out, slm_runtime *rt, int n_vocab,
                            const slm_tokenizer *vocab, const slm_sampler_opts *o,
                            slm_err *err);
SLM_API void slm_sampler_free(slm_sampler *s);
/* Chooses the next id from logits (n_vocab), which it does not change, and remembers it. The
 * same logits and seed give the same ids on any machine with the same libm, whatever the
 * threads; equal logits are ordered by id. Errors: SLM_E_NUMERIC when logits hold NaN or
 * infinity (the message names the id) or no finite value, SLM_E_ARG when the biases ban every
 * id. */
SLM_API int slm_sampler_next(slm_sampler *s, const float *logits, int32_t *id, slm_err *err);
/* The same for n samplers, each another, with a row of logits each, on all threads of the first
 * one's runtime: streams of a batch do not wait for one another. ids[i] is -1 where sampler i
 * failed; the error of the first that did is given, the others have chosen. */
SLM_API int slm_sampler_next_each(slm_sampler *const *s, const float *const *logits,
                                  int32_t *ids, int n, slm_err *err);
/* Tells it of a token that it did not choose (the prompt). */
SLM_API void slm_sampler_accept(slm_sampler *s, int32_t id);
/* Forgets the tokens only: random numbers and mirostat go on. */
SLM_API void slm_sampler_forget(slm_sampler *s);
/* As after slm_sampler_new: the seed's sequence begins anew. */
SLM_API void slm_sampler_reset(slm_sampler *s);
/* The seed in use. */
SLM_API uint64_t slm_sampler_seed(const slm_sampler *s);

/* ---- generation ---- */

enum slm_finish {
    SLM_FINISH_EOG,
    SLM_FINISH_LENGTH,
    SLM_FINISH_STOP,
    SLM_FINISH_CONTEXT,
    SLM_FINISH_CANCELLED
};
SLM_API const char *slm_finish_name(
    int finish); /* "stop" "length" "stop_string" "context" "cancelled" */

/* Gets each token and the whole characters it completes (len may be 0). Non-zero stops. Text
 * that may turn out to be the start of a stop string is held back; what is still held when
 * generation ends comes with a last call whose id is -1. text is borrowed for the call. */
typedef int slm_token_fn(void *arg, int32_t id, const char *text, size_t len);

typedef struct slm_generate_opts {
    int max_tokens; /* -1: until the context is full */
    int ignore_eog;
    const char *const *stop;
    int n_stop;
    int keep_special; /* spell special tokens in the text */
    int continues;    /* the text goes on the prompt's own: its first space stays */
    slm_token_fn *token;
    void *token_arg;
    slm_progress_fn
        *progress; /* of the prompt, in tokens; non-zero stops with SLM_E_CANCELLED */
    void *progress_arg;
    /* Guesses at what follows, verified several in one step: the text is the same, token for
     * token, at any temperature and seed, and comes faster where guesses come true. */
    int speculate; /* 1: guess where it pays (what slm_generate_opts_init sets); 0: never; 2:
                    * whatever it costs, to measure or test */
    slm_session *draft; /* on a smaller model of the same vocabulary that guesses too; NULL */
    int draft_max, draft_min; /* guesses a step at most (0: as many as pay, at most 47), and
                               * least (fewer are not tried) */
} slm_generate_opts;
SLM_API void slm_generate_opts_init(slm_generate_opts *o);

typedef struct slm_generate_stats {
    int prompt_tokens, reused_tokens, new_tokens, finish;
    double prompt_seconds, decode_seconds;
    int drafted, accepted; /* guesses verified, and those that came true */
} slm_generate_stats;
/* Syncs the session to the prompt, then samples. The ids are appended to *ids (may be NULL),
 * the text to *text (may be NULL): without the token that ended it (end of generation), and
 * without the stop string. The sampler's memory of tokens becomes the prompt's; its random
 * numbers go on. Afterwards the session may lack the last token: the next sync computes it.
 * Errors: those of slm_session_sync, slm_session_append and slm_sampler_next; SLM_E_ARG (an
 * empty prompt or stop string, stop strings without a tokenizer, a draft of another vocabulary
 * or a shorter context). What came before a failure stays in *ids and *text. */
SLM_API int slm_generate(slm_session *s, slm_sampler *sampler, const int32_t *prompt, int n,
                         const slm_generate_opts *o, slm_ids *ids, slm_text *text,
                         slm_generate_stats *stats, slm_err *err);

#ifdef __cplusplus
}
#endif
#endif
