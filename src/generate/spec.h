/* Speculation: guesses at the next tokens, verified together in one step, which costs little
 * more than one token where weights must be read anyway. The sampler draws from the model's own
 * logits at each place as it would without guesses, with the same history and random numbers,
 * and a guess only says where those logits may already be: so the text is the same, not merely
 * its distribution. Guesses come from the text so far (lookup.h) or from a smaller model. */
#ifndef SLM_GENERATE_SPEC_H
#define SLM_GENERATE_SPEC_H

#include "generate/lookup.h"
#include "slm/session.h"

enum {
    SLM_SPEC_ROWS = 48, /* most rows of a verifying step */
    SLM_SPEC_LOOK = 6,  /* classes of lookups, by the length of what agrees */
    SLM_SPEC_MODEL = 6, /* classes of the draft model's guesses, by its own certainty */
    SLM_SPEC_KINDS = SLM_SPEC_LOOK + SLM_SPEC_MODEL
};

/* Of so many guesses of a kind, how many were right: old ones count less. */
struct slm_odds {
    double right, all;
};

struct slm_spec {
    bool on, always; /* always: whatever it costs */
    slm_runtime *rt;
    slm_session *s, *draft; /* draft: NULL without a smaller model */
    struct slm_lookup look;
    float *probs; /* (V of the draft) */
    int most, least;
    int32_t row[SLM_SPEC_ROWS];  /* the pending token, then guesses */
    uint8_t kind[SLM_SPEC_ROWS]; /* of guess i at i + 1 */
    struct slm_odds odds[SLM_SPEC_KINDS];
    double spent, saved;             /* seconds of decoding; won (or lost) by guessing */
    double credit;                   /* what may be lost before anything was won */
    double start;                    /* that, in tokens */
    double draft_seconds, draft_run; /* of one draft token, smoothed; of this step's drafting */
    int rest, pause;                 /* tokens until the next try, and after a failure */
    int steps;
};

/* Guesses for a generation of at most max_tokens (-1: any) behind the prompt. draft NULL: none.
 * A draft session must be of the same vocabulary and as long a context: SLM_E_ARG. */
int slm_spec_open(struct slm_spec *p, slm_runtime *rt, slm_session *s,
                  const slm_generate_opts *o, slm_err *err);
void slm_spec_close(struct slm_spec *p);
/* Tokens of the text, in order: the prompt's, and each one drawn. */
void slm_spec_add(struct slm_spec *p, int32_t id);
/* Fills row with the pending token and up to `room` guesses, 0 where none is worth its row. */
int slm_spec_guess(struct slm_spec *p, int32_t pending, int room);
/* Of `guesses`, the first `right` were; the step took so many seconds. */
void slm_spec_learn(struct slm_spec *p, int guesses, int right, double seconds);

/* draft.c: up to `most` guesses of the smaller model into row[1..], as many as pay. `due`: try
 * though it has not paid. */
int slm_draft_guess(struct slm_spec *p, int most, bool due);
/* Brings it to the prompt. */
int slm_draft_check(struct slm_spec *p, slm_err *err);

/* Seconds that guesses may lose now: what they won, and a hundredth of the time spent. */
static inline double slm_spec_purse(const struct slm_spec *p)
{
    return p->saved + p->credit + 0.01 * p->spent;
}

static inline double slm_spec_odds(const struct slm_spec *p, int kind)
{
    return p->odds[kind].right / p->odds[kind].all;
}

#endif
