/* Private to the compress room: the inside of an importance matrix. */
#ifndef SLM_COMPRESS_IMPORTANCE_H
#define SLM_COMPRESS_IMPORTANCE_H

#include "base/base.h"
#include "slm/compress.h"

#define SLM_IMATRIX_CHUNK 512 /* tokens a chunk, where a file does not say */

struct slm_importance {
    char *name; /* of the matrix: "blk.0.attn_q.weight" */
    int parts, cols;
    double *sum;     /* (parts, cols) sums of squares */
    uint64_t *count; /* (parts) rows summed */
};

struct slm_imatrix {
    slm_runtime *rt;
    struct slm_importance *entry; /* sorted by name */
    size_t n, cap;
    char **dataset;
    size_t n_datasets, cap_datasets;
    uint32_t chunks, chunk_size;
};

/* Appends an entry with zeros, unsorted; NULL when there is no memory. */
struct slm_importance *slm_imatrix_add(slm_imatrix *im, const char *name, size_t len, int parts,
                                       int cols);
void slm_imatrix_drop_last(slm_imatrix *im);
/* Restores the order after slm_imatrix_add; refuses two entries of a name. */
int slm_imatrix_sort(slm_imatrix *im, const char *path, slm_err *err);
struct slm_importance *slm_imatrix_find(const slm_imatrix *im, const char *name);
int slm_imatrix_add_dataset(slm_imatrix *im, const char *s, size_t n, slm_err *err);

/* The same from the bytes of a file (read_imatrix.c); name stands in messages. */
int slm_imatrix_open_mem(slm_imatrix **out, slm_runtime *rt, const void *p, size_t n,
                         const char *name, slm_err *err);

/* Mean squares (parts, cols) of e as weights for rounding: an expert that was never chosen
 * counts as ones, and no column counts nothing, so that a search has a direction everywhere. */
void slm_importance_means(const struct slm_importance *e, float *out);

#endif
