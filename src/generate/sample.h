/* The sampler's inside: candidates and the filters on them, the memory of tokens that penalties
 * and DRY look back on. Private to the room; tests look in to hold each filter to its
 * definition. */
#ifndef SLM_GENERATE_SAMPLE_H
#define SLM_GENERATE_SAMPLE_H

#include <stdbool.h>

#include "base/base.h"
#include "slm/session.h"

struct slm_cand {
    float logit;
    int32_t id;
};

/* Ids still in the running. sorted: best first, equal logits by id; else in rising order of id
 * or in the order of an earlier sort. */
struct slm_cands {
    struct slm_cand *c;     /* room for the whole vocabulary */
    struct slm_cand *key;   /* the same room, for sorting by something else */
    int n;
    bool sorted;
};

/* Is a before b: the larger logit, then the smaller id. A total order, so that any way of
 * sorting gives the same list. */
static inline bool slm_cand_before(struct slm_cand a, struct slm_cand b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

/* Heap whose top comes first in that order; pop moves the top to c[--*n]. */
void slm_heap_make(struct slm_cand *c, int n);
void slm_heap_pop(struct slm_cand *c, int *n);

/* Each keeps at least min_keep candidates where it had as many. */
void slm_filter_top_k(struct slm_cands *s, int k);
void slm_filter_top_p(struct slm_cands *s, float p, int min_keep);
void slm_filter_min_p(struct slm_cands *s, float p, int min_keep);
void slm_filter_typical(struct slm_cands *s, float p, int min_keep);
/* Takes away all but the least likely of those at or above threshold. */
void slm_filter_xtc(struct slm_cands *s, float threshold, int min_keep);
void slm_filter_temperature(struct slm_cands *s, float temp);
/* Leaves those whose surprise in bits is at most mu, one at least. */
void slm_filter_mirostat(struct slm_cands *s, double mu);

/* Index of the candidate at u in [0, 1) of the cumulative probability; *p (may be NULL) its
 * own. */
int slm_cands_pick(const struct slm_cands *s, double u, double *p);
int slm_cands_best(const struct slm_cands *s);

slm_runtime *slm_sampler_runtime(const slm_sampler *s);

/* ---- penalties ---- */

struct slm_penalty {
    int32_t *counts;     /* (V) how often each id stands in the window */
    int32_t *ring;       /* (window), NULL when the window is endless */
    int window, len, at; /* window -1: everything */
};
void slm_penalty_accept(struct slm_penalty *p, int32_t id);
void slm_penalty_apply(const struct slm_penalty *p, struct slm_cands *s,
                       const slm_sampler_opts *o);
void slm_penalty_forget(struct slm_penalty *p, int n_vocab);

/* ---- DRY ---- */

enum { SLM_DRY_TAIL = 20, SLM_DRY_BREAKER_BYTES = 40 };
enum { SLM_BREAK_WHOLE = 1, SLM_BREAK_HEAD = 2 };

/* A way to spell a breaker that reaches over several tokens: head, then tail. */
struct slm_breaker {
    int32_t head, tail[SLM_DRY_TAIL];
    int n;
};

struct slm_dry {
    slm_runtime *rt;
    float multiplier, base;
    int allowed, window, n_vocab;
    int32_t *hist;             /* (2 window): the last `window` tokens, slid down when full */
    int len;
    int32_t *z;                /* (window) */
    int32_t *longest;          /* (V) zero but during apply */
    uint8_t *breaks;           /* (V) SLM_BREAK_* */
    struct slm_breaker *multi;
    size_t n_multi, cap_multi;
};
/* Finds the tokens and token sequences that spell each breaker. */
int slm_dry_breakers(struct slm_dry *d, const slm_tokenizer *vocab, const char *breakers,
                     slm_err *err);
void slm_dry_accept(struct slm_dry *d, int32_t id);
void slm_dry_apply(struct slm_dry *d, struct slm_cands *s);

#endif
