/* A session's inside, shared by session.c and session_file.c. */
#ifndef SLM_MODEL_SESSION_IN_H
#define SLM_MODEL_SESSION_IN_H

#include "model/model_room.h"

struct slm_session {
    const slm_model *m;
    slm_runtime *rt;
    slm_prog *prog;
    slm_val logits;
    struct slm_kv kv;
    int context, batch, most_out; /* most_out: rows of logits in one run */
    int n;                        /* tokens held */
    int row;                      /* of the last token's logits in the run; -1: none */
    uint8_t rope_set;             /* what the cache was computed with */
    int32_t *ids, *pos, *out;     /* (context), (batch), (most_out) */
};

#endif
