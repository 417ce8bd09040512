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

/* ---- training ---- */

/* The rows of a value, of its gradient, and of a part of a weight as operands of a product
 * (kernels.h: struct slm_gemm), the product's long dimension running along the rows. */
struct slm_side slm_side_of(const slm_prog *p, slm_val v);
struct slm_side slm_side_grad(const slm_prog *p, slm_val v);
struct slm_side slm_side_weight(const struct slm_weight *w, int part);
struct slm_side slm_side_floats(const float *x, size_t ld);
/* The same with rows running along the product's long dimension. */
struct slm_side slm_side_across(struct slm_side s);
/* Asks for the thread scratch that slm_gemm_run wants. */
void slm_gemm_scratch(slm_prog *p);
/* g, cut among the threads along its longer side; bias (n) or NULL is added to each row.
 * ticket: 0 when the first thread comes here; NULL: equal parts. No thread waits for another.
 */
void slm_gemm_run(slm_prog *p, const struct slm_gemm *g, const float *bias, atomic_int *ticket,
                  int ith, int nth);
/* This thread's own product, in the program's precision. */
void slm_gemm_own(slm_prog *p, const struct slm_gemm *g, int ith);

/* ---- losses (op_loss.c) ---- */

/* Room for the loss of each row of `like`; NULL: emitting failed. */
float *slm_loss_rows(slm_prog *p, slm_val like);
/* By all threads, which then meet: counts the targets. After all rows: adds them up. */
void slm_loss_begin(slm_prog *p, const struct slm_run *run, int rows, int ith);
void slm_loss_end(slm_prog *p, const struct slm_run *run, int rows, int ith);
float slm_loss_weight(const slm_prog *p, const struct slm_run *run, int row);
float slm_loss_log_sum(const slm_prog *p, const float *z, size_t n);

/* ---- experts ---- */

/* Rows of outputs sorted by the expert that they go to: places first[e] .. first[e + 1] of
 * `out` (rows of the output) and `in` (rows of the input they came of) are expert e's. */
struct slm_groups {
    int *first, *out, *in;
};
/* Ints that a grouping of so many rows takes. */
size_t slm_groups_ints(int parts, size_t rows);
/* Lays it out at `room`; and sorts, by one thread. rows: of the output. */
struct slm_groups slm_groups_at(int *room, int parts, size_t rows);
struct slm_choice {
    slm_val sel;     /* of slm_emit_route */
    int chosen, fan; /* experts a token, output rows that share an input row */
    int parts;
};
void slm_groups_sort(const slm_prog *p, const struct slm_choice *c, const struct slm_groups *g,
                     int rows);

#endif
