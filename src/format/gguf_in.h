/* Private to the format room: the inside of an open GGUF file. */
#ifndef SLM_FORMAT_GGUF_IN_H
#define SLM_FORMAT_GGUF_IN_H

#include "format/gguf.h"
#include "format/index.h"

struct slm_gguf {
    slm_runtime *rt;
    struct slm_arena arena;          /* path, names, string indices */
    struct slm_map map;              /* data NULL when the bytes are the caller's */
    const char *path;
    struct slm_gguf_key *keys;
    struct slm_tensor_ref *tensors;  /* of all parts */
    size_t n_keys, n_tensors;
    struct slm_names key_names, tensor_names;
    slm_gguf **rest;                 /* parts behind the first; they own their names and maps */
    int version, n_rest;
};

/* Bytes of a value of fixed size; 0 for strings, arrays and numbers that are no type. */
size_t slm_gguf_type_size(uint32_t type);

#endif
