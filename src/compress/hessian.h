/* Private to the compress room: second moments X'X of what matrices are given on a text. */
#ifndef SLM_COMPRESS_HESSIAN_H
#define SLM_COMPRESS_HESSIAN_H

#include "compress/watch.h"

/* One value of the program that matrices read. */
struct slm_moments {
    slm_val in;
    int cols, rows; /* rows: of x, in this piece */
    size_t room;    /* rows that x has room for */
    float *h;       /* (cols, cols) */
    float *x, *t;   /* (rows, cols) of this piece; the same (cols, rows) */
};

enum { SLM_HESSIAN_MOST = 256 };
struct slm_hessian {
    slm_runtime *rt;
    const bool *wanted; /* (n_weights) */
    int *at;            /* (n_weights) place in `in` of what the weight reads, -1: not seen */
    struct slm_moments in[SLM_HESSIAN_MOST];
    int n, failed;
    float *room; /* (threads, SLM_HESSIAN_TILE, widest) */
    size_t room_cols;
};

int slm_hessian_open(struct slm_hessian *g, slm_runtime *rt, int n_weights, const bool *wanted,
                     slm_err *err);
void slm_hessian_close(struct slm_hessian *g); /* zeroed is fine */
/* The tap that keeps inputs (arg: the struct), and what adds them up after each piece, on all
 * threads with the same bits for any number. */
void slm_hessian_see(void *arg, const slm_prog *p, const struct slm_node_info *node);
int slm_hessian_add(struct slm_hessian *g, slm_err *err);
/* Fills the upper halves; then h is ready for slm_factor. */
void slm_hessian_end(struct slm_hessian *g);

#endif
