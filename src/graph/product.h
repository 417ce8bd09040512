/* Products of activations with a weight, shared by linear and linear_expert: which kernel,
 * decided once while emitting by type, shape, phase and CPU alone, never by how many rows a run
 * has. */
#ifndef SLM_GRAPH_PRODUCT_H
#define SLM_GRAPH_PRODUCT_H

#include "graph/prog.h"

/* The cast of x that weight w is multiplied with, or -1: float32. One cast serves all who share
 * it. */
slm_val slm_emit_cast(slm_prog *p, slm_val x, const struct slm_weight *w);
/* Makes rows of a cast carry the form that w's kernel for one row reads (kernels.h: struct
 * slm_one), behind their blocks: at this many bytes, 0 where there is none. */
int slm_emit_form(slm_prog *p, slm_val cast, const struct slm_weight *w);
#define SLM_FORM_ROWS 8 /* forms are made when a value has no more rows than this */

/* Rows of activations: float32, or the weight's partner type. */
struct slm_acts {
    const void *data;
    size_t stride;
    int rows;
    bool cast;
    int form;      /* of slm_emit_form; 0: none was made */
    void *scratch; /* of casts: the thread's, slm_product_scratch bytes */
};
/* Bytes of scratch that a thread needs for products of casts with w. */
size_t slm_product_scratch(const slm_prog *p, const struct slm_weight *w);
struct slm_acts slm_acts_of(const slm_prog *p, slm_val x, slm_val cast, int rows);

/* out[i * ldo + j] = x_i . row (j0 + j) of part `part` of w, j < nw. */
struct slm_product {
    const struct slm_weight *w;
    int part, j0, nw;
    float *out;
    size_t ldo;
};
void slm_product_run(const slm_prog *p, const struct slm_product *m, const struct slm_acts *x);
/* How columns are handed out: large pieces first, small ones last, so that memory is read in
 * long stretches and threads of unequal speed end together. */
struct slm_pieces {
    int columns, threads;
    int least; /* a piece is a multiple of this, but for the last */
};
/* The next columns [*lo, *hi), taken from a ticket. False: none are left. */
bool slm_product_take(atomic_int *ticket, const struct slm_pieces *c, int *lo, int *hi);

/* Backward: gradients of the outputs, of the inputs, and which rows of them meet: output row
 * index[i] (NULL: i) came of input row index[i] / fan. */
struct slm_back {
    const struct slm_weight *w;
    int part, rows, fan;
    const int *index;
    const float *dy;
    float *dx;
    size_t ldy, ldx;
    float scale;
};
/* dx[c0, c1) += scale * sum over j of dy[j] * row j of the weight. c0 is a multiple of the
 * grain. */
void slm_back_input(const slm_prog *p, const struct slm_back *b, size_t c0, size_t c1,
                    float *scratch);
#define SLM_BACK_GRAIN 256 /* a multiple of every type's block */
#define SLM_BACK_SCRATCH (32 * SLM_BACK_GRAIN * sizeof(float)) /* bytes, a thread */
/* g[j] += sum over rows of dy[j] * x, for weight rows [j0, j1); x has dx's shape. */
void slm_back_weight(const slm_prog *p, const struct slm_back *b, const float *x, float *g,
                     size_t j0, size_t j1);

#endif
