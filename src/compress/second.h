/* Private to the compress room: rounding with feedback by second derivatives ("GPTQ", Frantar
 * et al., arXiv 2210.17323).
 *
 * A row w of a matrix whose inputs have the second moments H is to become codes q with a small
 * (w - q) H (w - q)'. With H = M D M' (M upper with ones on its diagonal, D diagonal) that is
 * the sum over columns j of D_j (t_j - q_j)^2, t_j = w_j + sum over i < j of (w_i - q_i) M_ij:
 * each column is rounded to the nearest of what its predecessors' errors ask for. */
#ifndef SLM_COMPRESS_SECOND_H
#define SLM_COMPRESS_SECOND_H

#include "base/base.h"
#include "kernels/kernels.h"

/* ---- codes.c: where a block of a type keeps the code of each of its numbers ---- */

struct slm_code {
    uint16_t at[2];            /* byte of each piece in the block */
    uint8_t shift[2], bits[2]; /* low piece, high piece; bits 0: none */
};
struct slm_codes {
    int block, n; /* numbers a block, codes */
    bool linear;  /* values rise by equal steps with the code */
    uint8_t flip; /* stored ^ flip counts from 0 */
    struct slm_code code[256];
};
/* False where a type's numbers have no codes of their own (one code for several of them). */
bool slm_codes_of(struct slm_codes *c, enum slm_dtype t);
/* Puts code[i] < n of all the block's numbers into it. */
void slm_codes_put(const struct slm_codes *c, uint8_t *block, const uint8_t *code);

/* ---- factor.c ---- */

/* h (n, n), symmetric, becomes M D M' in place: M_ij (i < j) stands at [i][j] and at [j][i], D
 * on the diagonal. `damp` times the mean of the diagonal is added to it first. Runs on all
 * threads, with the same bits for any number. Errors: SLM_E_NUMERIC (not positive definite,
 * even so), SLM_E_NOMEM. */
int slm_factor(slm_runtime *rt, float *h, int n, double damp, slm_err *err);

/* ---- feedback.c ---- */

struct slm_feedback {
    enum slm_dtype type;
    int rows, cols;
    const float *factor; /* (cols, cols) of slm_factor */
    const uint8_t *in;   /* rows as stored: row r at in + r * stride, of type `from` */
    size_t stride;
    enum slm_dtype from;
    uint8_t *out; /* rows of `type`, one behind the other */
};
/* Rounds all rows on all threads, with the same bits for any number. *loss (may be NULL)
 * becomes the sum over rows of (w - q) H (w - q)'. The type must have codes and divide cols,
 * the weights be finite. Errors: SLM_E_NOMEM. */
int slm_feedback_run(slm_runtime *rt, const struct slm_feedback *f, double *loss, slm_err *err);

#endif
