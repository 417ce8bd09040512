/* The part of writing a folder that makes bitsandbytes' NF4 of the layers' matrices. */
#ifndef SLM_MODEL_CONVERT_NF4_H
#define SLM_MODEL_CONVERT_NF4_H

#include "model/convert.h"
#include "model/nf4.h"

/* Is weight i rounded: a layer's matrix, as the library rounds linear layers but the output? */
bool slm_nf4_takes(const slm_model *m, int i);

struct slm_nf4_out;
/* nested: magnitudes in 8 bits too, for which every matrix is looked at here. Close also what
 * failed. */
int slm_nf4_out_open(struct slm_nf4_out **out, struct slm_convert *c, bool nested,
                     slm_err *err);
void slm_nf4_out_close(struct slm_nf4_out **out);
int slm_nf4_out_count(const struct slm_nf4_out *o);
/* The matrix of that part of a weight, -1: not rounded. */
int slm_nf4_out_find(const struct slm_nf4_out *o, int weight, int part);
/* Tensors of a matrix; declares those of matrix i in their order; writes one of them. */
int slm_nf4_out_tensors(const struct slm_nf4_out *o);
void slm_nf4_out_declare(const struct slm_nf4_out *o, slm_st_out *w, const char *name, int i);
int slm_nf4_out_write(struct slm_nf4_out *o, slm_st_out *w, int i, int tensor, slm_err *err);
/* The key of config.json that tells of it. */
void slm_nf4_out_config(const struct slm_nf4_out *o, struct slm_buf *b, const char *compute);

#endif
