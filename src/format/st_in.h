/* Private to the format room: the inside of safetensors. st_scan.c reads a header's text,
 * st_read.c makes files and sets of it. */
#ifndef SLM_FORMAT_ST_IN_H
#define SLM_FORMAT_ST_IN_H

#include "format/index.h"
#include "format/safetensors.h"

struct slm_st_pair { const char *name, *value; };

/* One file. Tensors are in the order of their data when st_read.c is done with them. */
struct slm_st_file {
    slm_runtime *rt;
    struct slm_arena *arena;         /* of the set */
    const char *path;
    struct slm_map map;
    struct slm_tensor_ref *tensors;  /* owned; bytes as the header says, not yet checked */
    struct slm_st_pair *meta;        /* owned */
    size_t n_tensors, tensors_cap, n_meta, meta_cap;
    uint64_t *begin;                 /* owned: data_offsets[0] of each tensor */
    size_t begin_cap;
};

/* Reads the header's JSON: n bytes. */
int slm_st_scan(struct slm_st_file *f, const char *s, size_t n, slm_err *err);

/* safetensors' name of a type, or NULL; and the reverse, -1 when unknown. */
const char *slm_st_type_name(enum slm_dtype t);
int slm_st_type_of(const char *name);

#endif
