/* Which rows are nearly the same: keys by MinHash in as many passes over the rows as memory
 * asks for, joined band by band. Private to the room. */
#ifndef SLM_CORPUS_NEAR_H
#define SLM_CORPUS_NEAR_H

#include "corpus/fields.h"
#include "corpus/minhash.h"
#include "corpus/sets.h"
#include "corpus/shelf.h"

struct slm_near_opts {
    int words, bands, rows, verify;
    double threshold; /* verify: what joined rows must have in common */
    uint64_t seed, memory;
};

/* What a thread needs for one row at a time. */
struct slm_near_room {
    struct slm_buf text; /* of the fields that count */
    struct slm_words words;
    struct slm_grams grams;
    uint64_t key[SLM_MINHASH_MAX]; /* of the row at hand, by band */
};

struct slm_near {
    struct slm_shelf *shelf;
    struct slm_near_opts o;
    struct slm_minhash *hash;
    struct slm_sets sets; /* (rows) */
    uint8_t *off;         /* (rows) 1: the row takes no part; set by the caller, before join */
    struct slm_near_room *room; /* (threads) */
    int threads;
    uint64_t *key; /* (at_once, rows) */
    int at_once;   /* bands a pass */
    int lo, hi;    /* of the pass */
    int passes;
    int64_t pairs, refused; /* verify */
};
/* bands 0: no keys are made, one pass. */
int slm_near_open(struct slm_near *n, struct slm_shelf *s, const struct slm_near_opts *o,
                  slm_err *err);
void slm_near_close(struct slm_near *n);
/* The row's text that counts into the thread's room; how many fields there were is told by
 * *found. Then its words, runs, and keys of this pass. */
int slm_near_text(struct slm_near *n, int ith, const struct slm_row *row, int *found,
                  slm_err *err);
int slm_near_keys(struct slm_near *n, int ith, uint32_t number, slm_err *err);
/* Joins what the keys of the pass say, then makes the further passes and joins theirs. */
int slm_near_finish(struct slm_near *n, slm_err *err);
/* Share of runs that two rows have in common. */
int slm_near_compare(struct slm_near *n, uint32_t a, uint32_t b, double *share, slm_err *err);

#endif
