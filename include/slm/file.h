/* Any file of tensors, also one that is no model: GGUF (split or not), safetensors (single, or
 * by its index), or a folder that holds either. Read-only; data is mapped. */
#ifndef SLM_FILE_H
#define SLM_FILE_H

#include "slm/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct slm_file slm_file;

typedef struct slm_tensor_info {
    const char *name; /* as stored; lives as long as the file */
    const char *type; /* "q4_K", "f32", "bf16" ... */
    int n_dims;
    uint64_t dim[8]; /* outermost first, as safetensors and PyTorch count (rows, columns) */
    uint64_t count;  /* elements */
    uint64_t bytes;
} slm_tensor_info;

/* Opens path. *out is the caller's. Errors: SLM_E_IO, SLM_E_FORMAT, SLM_E_UNSUPPORTED,
 * SLM_E_NOMEM. */
SLM_API int slm_file_open(slm_file **out, slm_runtime *rt, const char *path, slm_err *err);
SLM_API void slm_file_close(slm_file **f);

/* "gguf 3", "safetensors" */
SLM_API const char *slm_file_format(const slm_file *f);

SLM_API size_t slm_file_tensor_count(const slm_file *f);
SLM_API void slm_file_tensor_get(const slm_file *f, size_t i, slm_tensor_info *out);
/* Index of the tensor of that name, or -1. */
SLM_API int64_t slm_file_tensor_find(const slm_file *f, const char *name);
/* Values [first, first + n) of tensor i as float32; first and n must be multiples of the type's
 * block length (256 always serves) unless they reach the end. out: n floats of the caller's. */
SLM_API int slm_file_tensor_read(const slm_file *f, size_t i, float *out, uint64_t first,
                                 uint64_t n, slm_err *err);

/* Metadata in file order. Values are given as JSON text; arrays longer than max_items are cut
 * and end with "... (N items)" as a last string (max_items 0: whole). */
SLM_API size_t slm_file_key_count(const slm_file *f);
SLM_API const char *slm_file_key_name(const slm_file *f, size_t i);
SLM_API int slm_file_key_value(const slm_file *f, size_t i, size_t max_items, slm_text *out,
                               slm_err *err);

#ifdef __cplusplus
}
#endif
#endif
