/* Pairs of a file: three lists of ids each. */
#ifndef SLM_TRAIN_PAIRS_H
#define SLM_TRAIN_PAIRS_H

#include "model/model_room.h"
#include "slm/prefer.h"

struct slm_ids_at {
    size_t at; /* in slm_pairs.ids */
    int n;
};
struct slm_pair {
    struct slm_ids_at prompt, answer[2]; /* chosen, rejected */
};
struct slm_pairs {
    slm_runtime *rt;
    int32_t *ids;
    size_t n_ids, cap_ids;
    struct slm_pair *pair;
    size_t n, cap;
    int vocab;
};

#endif
