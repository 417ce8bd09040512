/* Private to the room: which documents share a row, for one epoch. */
#ifndef SLM_DATA_PACK_H
#define SLM_DATA_PACK_H

#include "data/data.h"

/* A unit is what must stay together: a document, or the two of a pair. Rows hold whole units,
 * row i those of unit[first[i] .. first[i + 1]); wrapped, all units stand in one order and rows
 * are stretches of their tokens. Memory is taken once and serves every epoch. */
struct pack {
    slm_runtime *rt;
    const slm_tokens *t;
    int per;  /* documents a unit: 1 or 2 */
    int room; /* tokens of a row */
    enum slm_pack how;
    uint32_t units, rows;
    uint32_t *unit, *first; /* (units), (units + 1) */
    uint32_t *row;          /* (units) the order in which rows come */
    uint64_t *before;       /* wrapped: (units + 1) tokens before each unit of the order */
    uint32_t *work[3];      /* (units) */
    uint32_t *by_room;      /* (room + 1) */
    uint64_t *some;         /* (room / 64 + 1) bits: is there a row with so much room */
    uint64_t tokens;
};

/* Errors: SLM_E_ARG (a unit longer than room, by its row), SLM_E_NOMEM. */
int slm_pack_init(struct pack *p, slm_runtime *rt, const slm_tokens *t, const slm_feed_opts *o,
                  slm_err *err);
void slm_pack_release(struct pack *p);
/* The rows of an epoch. */
void slm_pack_plan(struct pack *p, bool shuffle, uint64_t seed, uint64_t epoch);
/* Tokens of a unit. */
int slm_pack_length(const struct pack *p, uint32_t unit);

#endif
