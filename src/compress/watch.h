/* Private to the compress room: a model run over pieces of text with every node watched. What
 * is kept is the observer's business; nothing of the model is changed. */
#ifndef SLM_COMPRESS_WATCH_H
#define SLM_COMPRESS_WATCH_H

#include "model/model_room.h"

struct slm_watch_opts {
    int context;     /* most tokens of a piece */
    bool exact;      /* float32 activations */
    bool output;     /* the output matrix sees every row (else none) */
    slm_tap_fn *tap; /* after each node, by one thread while the others wait */
    void *arg;
};

struct slm_watch {
    const slm_model *m;
    slm_prog *prog;
    int context;
    int32_t *pos; /* (context) 0, 1, 2 ...: also the rows that the output sees */
    bool output;
};

int slm_watch_open(struct slm_watch *w, const slm_model *m, const struct slm_watch_opts *o,
                   slm_err *err);
void slm_watch_close(struct slm_watch *w); /* zeroed is fine */
/* One piece of n tokens, 1 to context of them, each below the vocabulary's size. */
void slm_watch_run(struct slm_watch *w, const int32_t *ids, int n);

#endif
