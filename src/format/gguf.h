/* The face of GGUF: reading (versions 2 and 3, one file or a split set, everything checked once
 * at open and borrowed from the mapping afterwards) and writing (version 3, streamed). It knows
 * nothing of models: keys and tensors are handed out by name. Readers are immutable and may be
 * shared. */
#ifndef SLM_FORMAT_GGUF_H
#define SLM_FORMAT_GGUF_H

#include "format/tensor.h"

/* ---- reading ---- */

typedef struct slm_gguf slm_gguf;

/* The file's own numbers. */
enum slm_gguf_type {
    SLM_GGUF_U8, SLM_GGUF_I8, SLM_GGUF_U16, SLM_GGUF_I16, SLM_GGUF_U32, SLM_GGUF_I32,
    SLM_GGUF_F32, SLM_GGUF_BOOL, SLM_GGUF_STR, SLM_GGUF_ARR, SLM_GGUF_U64, SLM_GGUF_I64,
    SLM_GGUF_F64,
    SLM_GGUF_TYPE_COUNT
};
const char *slm_gguf_type_name(enum slm_gguf_type t); /* "uint32" */

/* Bytes of the file: no NUL behind them, may hold any byte. */
struct slm_gguf_str { const char *s; size_t n; };

struct slm_gguf_key {
    const char *name;
    const uint8_t *data;      /* the value, or the first element; any alignment */
    const uint8_t **strs;     /* string arrays: where each string's length stands */
    size_t bytes;             /* of data */
    size_t count;             /* elements; 1 for a scalar */
    enum slm_gguf_type type;  /* SLM_GGUF_ARR for arrays */
    enum slm_gguf_type elem;  /* type of the elements; = type for a scalar */
};

/* Opens path. A first part of a split set opens all its parts, which are found by their names
 * beside it; a later part is refused, saying which to open. Errors: SLM_E_IO, SLM_E_NOTFOUND
 * (the file, or a part: named), SLM_E_FORMAT, SLM_E_UNSUPPORTED (version, byte order, tensor
 * type), SLM_E_NOMEM. */
int slm_gguf_open(slm_gguf **out, slm_runtime *rt, const char *path, slm_err *err);
/* Opens this one file, also when it is one part of many. */
int slm_gguf_open_part(slm_gguf **out, slm_runtime *rt, const char *path, slm_err *err);
/* The same on bytes that the caller keeps; name stands in messages. */
int slm_gguf_open_mem(slm_gguf **out, slm_runtime *rt, const void *p, size_t n,
                      const char *name, slm_err *err);
void slm_gguf_close(slm_gguf **g);

const char *slm_gguf_path(const slm_gguf *g); /* for messages */
int slm_gguf_version(const slm_gguf *g);
int slm_gguf_parts(const slm_gguf *g);        /* files it consists of */

size_t slm_gguf_tensor_count(const slm_gguf *g);
const struct slm_tensor_ref *slm_gguf_tensor_at(const slm_gguf *g, size_t i); /* file order */
const struct slm_tensor_ref *slm_gguf_tensor_find(const slm_gguf *g, const char *name);

size_t slm_gguf_key_count(const slm_gguf *g);
const struct slm_gguf_key *slm_gguf_key_at(const slm_gguf *g, size_t i);      /* file order */
/* NULL when absent. */
const struct slm_gguf_key *slm_gguf_find(const slm_gguf *g, const char *key);

/* Element i of a key's value (i < count). The kind must be right: see the predicates. */
static inline bool slm_gguf_is_int(const struct slm_gguf_key *k)
{
    return k->elem != SLM_GGUF_F32 && k->elem != SLM_GGUF_F64 && k->elem != SLM_GGUF_STR &&
           k->elem != SLM_GGUF_BOOL;
}
static inline bool slm_gguf_is_str(const struct slm_gguf_key *k)
{
    return k->elem == SLM_GGUF_STR;
}
struct slm_gguf_str slm_gguf_elem_str(const struct slm_gguf_key *k, size_t i);
/* Any integer, float or bool. */
double slm_gguf_elem_num(const struct slm_gguf_key *k, size_t i);
/* false when the number does not fit (uint64 beyond int64). Integers and bool. */
bool slm_gguf_elem_int(const struct slm_gguf_key *k, size_t i, int64_t *out);

/* Typed reading by name. `need`: an absent key is an error (SLM_E_FORMAT, naming it); else it
 * leaves *out as it was and is no error. Wrong types and values outside [lo, hi] are errors
 * that name the file, the key and what was found. */
enum slm_gguf_need { SLM_GGUF_OPTIONAL, SLM_GGUF_REQUIRED };
struct slm_gguf_range { int64_t lo, hi; enum slm_gguf_need need; };

/* Any width of integer. */
int slm_gguf_int(const slm_gguf *g, const char *key, struct slm_gguf_range want, int64_t *out,
                 slm_err *err);
/* The same into an int; want.lo and .hi must be within int. */
int slm_gguf_int32(const slm_gguf *g, const char *key, struct slm_gguf_range want, int *out,
                   slm_err *err);
/* Finite float, double or integer. */
int slm_gguf_float(const slm_gguf *g, const char *key, enum slm_gguf_need need, float *out,
                   slm_err *err);
int slm_gguf_bool(const slm_gguf *g, const char *key, enum slm_gguf_need need, bool *out,
                  slm_err *err);
int slm_gguf_str(const slm_gguf *g, const char *key, enum slm_gguf_need need,
                 struct slm_gguf_str *out, slm_err *err);
/* One value for all n layers, or an array of n: fills out[0..n). bool counts as 0 and 1. Absent
 * and optional: out is left alone. */
int slm_gguf_ints(const slm_gguf *g, const char *key, struct slm_gguf_range want, int *out,
                  size_t n, slm_err *err);
int slm_gguf_floats(const slm_gguf *g, const char *key, enum slm_gguf_need need, float *out,
                    size_t n, slm_err *err);
/* Arrays, as views: *out is the key (NULL when absent and optional); its elements are of the
 * kind. */
enum slm_gguf_kind { SLM_GGUF_KIND_STR, SLM_GGUF_KIND_INT, SLM_GGUF_KIND_NUM };
int slm_gguf_array(const slm_gguf *g, const char *key, enum slm_gguf_kind kind,
                   enum slm_gguf_need need, const struct slm_gguf_key **out, slm_err *err);

/* ---- writing ---- */

/* Keys, then tensors (name, type, shape), then begin, then every tensor's bytes in the order
 * they were declared, in pieces of any length; commit gives the file its name. Keys and tensors
 * fail stickily: begin tells. Close without commit leaves no file. */
typedef struct slm_gguf_out slm_gguf_out;

int slm_gguf_out_open(slm_gguf_out **out, slm_runtime *rt, const char *path, slm_err *err);
/* The same without a file: takes keys and tensors only, so that slm_gguf_out_size can be asked.
 * name stands in messages. */
int slm_gguf_out_measure(slm_gguf_out **out, slm_runtime *rt, const char *name, slm_err *err);
/* 0, or the first declaration's failure; *bytes: of the whole file, were it written now. */
int slm_gguf_out_size(const slm_gguf_out *w, uint64_t *bytes, slm_err *err);
/* The whole file in memory instead, once all is declared: *image is slm_pages_alloc's, *n bytes
 * long, and the caller's; the tensors' bytes are zero, to be filled in place. For a writer
 * without a file; it is of no use afterwards. */
int slm_gguf_out_image(slm_gguf_out *w, uint8_t **image, size_t *n, slm_err *err);
void slm_gguf_out_close(slm_gguf_out **w);

void slm_gguf_out_u8(slm_gguf_out *w, const char *key, uint8_t v);
void slm_gguf_out_i8(slm_gguf_out *w, const char *key, int8_t v);
void slm_gguf_out_u16(slm_gguf_out *w, const char *key, uint16_t v);
void slm_gguf_out_i16(slm_gguf_out *w, const char *key, int16_t v);
void slm_gguf_out_u32(slm_gguf_out *w, const char *key, uint32_t v);
void slm_gguf_out_i32(slm_gguf_out *w, const char *key, int32_t v);
void slm_gguf_out_u64(slm_gguf_out *w, const char *key, uint64_t v);
void slm_gguf_out_i64(slm_gguf_out *w, const char *key, int64_t v);
void slm_gguf_out_f32(slm_gguf_out *w, const char *key, float v);
void slm_gguf_out_f64(slm_gguf_out *w, const char *key, double v);
void slm_gguf_out_bool(slm_gguf_out *w, const char *key, bool v);
void slm_gguf_out_str(slm_gguf_out *w, const char *key, const char *s, size_t n);
/* An array of numbers or bools in memory as the file has them (natural size, little endian). */
void slm_gguf_out_array(slm_gguf_out *w, const char *key, enum slm_gguf_type elem,
                        const void *p, size_t count);
void slm_gguf_out_strs(slm_gguf_out *w, const char *key, const struct slm_gguf_str *s,
                       size_t count);
/* A key as another file has it. */
void slm_gguf_out_copy(slm_gguf_out *w, const struct slm_gguf_key *k);

/* dim outermost first; the row's length a multiple of the block; one of GGUF's
 * types. */
void slm_gguf_out_tensor(slm_gguf_out *w, const char *name, enum slm_dtype type,
                         const uint64_t *dim, int n_dims);
int slm_gguf_out_begin(slm_gguf_out *w, slm_err *err);
int slm_gguf_out_data(slm_gguf_out *w, const void *p, size_t n, slm_err *err);
/* All bytes of all tensors must have come. */
int slm_gguf_out_commit(slm_gguf_out *w, slm_err *err);

#endif
