/* The face of safetensors: reading (one file, or a set told by its index; everything checked
 * once at open and borrowed from the mapping afterwards) and writing (one file, streamed).
 * Readers are immutable and may be shared. */
#ifndef SLM_FORMAT_SAFETENSORS_H
#define SLM_FORMAT_SAFETENSORS_H

#include "format/tensor.h"

/* ---- reading ---- */

typedef struct slm_st slm_st;

/* Opens a .safetensors file, or a set by its index (a path that ends in .json:
 * "model.safetensors.index.json"). Errors: SLM_E_IO, SLM_E_NOTFOUND (the file, or a shard:
 * named), SLM_E_FORMAT, SLM_E_UNSUPPORTED (element type), SLM_E_NOMEM. */
int slm_st_open(slm_st **out, slm_runtime *rt, const char *path, slm_err *err);
/* One file's bytes, which the caller keeps; name stands in messages. */
int slm_st_open_mem(slm_st **out, slm_runtime *rt, const void *p, size_t n, const char *name,
                    slm_err *err);
void slm_st_close(slm_st **st);

int slm_st_parts(const slm_st *st);

size_t slm_st_tensor_count(const slm_st *st);
/* In the order of their data, shard by shard. */
const struct slm_tensor_ref *slm_st_tensor_at(const slm_st *st, size_t i);
/* NULL when absent. */
const struct slm_tensor_ref *slm_st_tensor_find(const slm_st *st, const char *name);

/* The __metadata__ of all shards (a later shard's same key is left out); UTF-8, no NUL. */
size_t slm_st_meta_count(const slm_st *st);
const char *slm_st_meta_key(const slm_st *st, size_t i);
const char *slm_st_meta_value(const slm_st *st, size_t i);
const char *slm_st_meta_find(const slm_st *st, const char *key); /* value, or NULL */

/* ---- writing ---- */

/* Metadata and tensors in any order, then begin, which orders the data so that every tensor is
 * aligned without holes (wide elements first, else as declared). Then, until slm_st_out_next
 * says -1: all bytes of the tensor it names, in pieces of any length. Declarations fail
 * stickily: begin tells. Close without commit leaves no file. */
typedef struct slm_st_out slm_st_out;

int slm_st_out_open(slm_st_out **out, slm_runtime *rt, const char *path, slm_err *err);
void slm_st_out_close(slm_st_out **w);

void slm_st_out_meta(slm_st_out *w, const char *key, const char *value);
/* type: one of safetensors' (no blocks); dim outermost first. */
void slm_st_out_tensor(slm_st_out *w, const char *name, enum slm_dtype type,
                       const uint64_t *dim, int n_dims);
int slm_st_out_begin(slm_st_out *w, slm_err *err);
/* Index, counted as declared, of the tensor whose bytes come next; -1 when all are there. */
int64_t slm_st_out_next(const slm_st_out *w);
int slm_st_out_data(slm_st_out *w, const void *p, size_t n, slm_err *err);
int slm_st_out_commit(slm_st_out *w, slm_err *err);

#endif
