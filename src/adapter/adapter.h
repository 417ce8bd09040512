/* The face of the adapter room: adapters read from files, made anew, written and merged. What
 * the graph needs of one stands in model_room.h; here is what training needs, its tensors with
 * the names that they have in files. */
#ifndef SLM_ADAPTER_ROOM_H
#define SLM_ADAPTER_ROOM_H

#include "model/model_room.h"
#include "slm/adapter.h"

/* A tensor of an adapter. Its values may be written to at slm_adapter_data; its gradient is
 * asked for by w (slm_prog_want). */
struct slm_adapter_tensor {
    const struct slm_weight *w; /* id: the model's n_weights + i */
    char name[224]; /* as in PEFT's file; experts: of all together, with "%d" for the number */
    bool ordered;   /* its rows are the weight's, in the model's own order */
    bool whole;     /* replaces a weight, else of a part */
    bool vector;    /* a magnitude, or a whole vector: one dimension, not decayed */
    int weight;     /* the model's, by id */
};
/* Tensor i < a->n_weights. */
void slm_adapter_tensor_get(const slm_adapter *a, int i, struct slm_adapter_tensor *out);
/* (parts, rows, cols) of it, all in one stretch. */
float *slm_adapter_data(const struct slm_weight *w);

#endif
