/* Making models smaller: quantisation of a model's matrices into any type of GGUF, and the
 * importance matrices that tell it which inputs matter. */
#ifndef SLM_COMPRESS_H
#define SLM_COMPRESS_H

#include "slm/adapter.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- importance matrices ---- */

/* For each matrix of a model the sum of squares of each of its inputs over a text (for experts
 * apart), and how many rows were summed: llama.cpp's "imatrix". One thread at a time. */
typedef struct slm_imatrix slm_imatrix;

/* An empty one, to collect into or to merge into. *out is the caller's. */
SLM_API int slm_imatrix_new(slm_imatrix **out, slm_runtime *rt, slm_err *err);
/* Reads llama.cpp's files: the GGUF form and the older .dat form, told by their first bytes.
 * Errors: SLM_E_IO, SLM_E_NOTFOUND, SLM_E_FORMAT (naming the entry), SLM_E_NOMEM. */
SLM_API int slm_imatrix_open(slm_imatrix **out, slm_runtime *rt, const char *path,
                             slm_err *err);
SLM_API void slm_imatrix_close(slm_imatrix **im);

/* Adds another's sums. Errors: SLM_E_ARG where widths differ (of another model). */
SLM_API int slm_imatrix_merge(slm_imatrix *im, const slm_imatrix *from, slm_err *err);

typedef struct slm_imatrix_opts {
    int context;               /* tokens a chunk; 0: 512, or the model's where that is less */
    int chunks;                /* at most so many; 0: as many as the text fills */
    int skip;                  /* chunks left out at the beginning */
    int exact;                 /* 1: float32 activations; 0: the fast path */
    int output;                /* 1: the output matrix too */
    const char *dataset;       /* what the text is called, kept in the file; NULL: nothing */
    slm_progress_fn *progress; /* in tokens */
    void *progress_arg;
} slm_imatrix_opts;
SLM_API void slm_imatrix_opts_init(slm_imatrix_opts *o);
/* Runs the text through the model and adds what its matrices were given. The text is cut into
 * chunks, each a sequence of its own whose first token is replaced by bos where the tokenizer
 * adds one, as llama.cpp's tool does. Errors: SLM_E_ARG (less than one chunk, an id out of
 * range, or collected before for another model), SLM_E_NUMERIC (naming the matrix),
 * SLM_E_CANCELLED, SLM_E_NOMEM. */
SLM_API int slm_imatrix_collect(slm_imatrix *im, const slm_model *m, const int32_t *ids,
                                size_t n, const slm_imatrix_opts *o, slm_err *err);

/* Writes it whole or not at all: GGUF, or the older form with dat. */
SLM_API int slm_imatrix_save(const slm_imatrix *im, const char *path, int dat, slm_err *err);

typedef struct slm_imatrix_info {
    int entries, chunks, chunk_size; /* chunk_size 0: the file does not say */
    const char *dataset;             /* the last, NULL: none; lives as long as the imatrix */
} slm_imatrix_info;
SLM_API void slm_imatrix_info_get(const slm_imatrix *im, slm_imatrix_info *out);
/* Entry i by name's order: parts (experts) of `cols` sums each; borrowed until it changes. */
typedef struct slm_imatrix_entry {
    const char *name;
    int parts, cols;
    const double *sum;     /* (parts, cols) */
    const uint64_t *count; /* (parts) rows summed */
} slm_imatrix_entry;
SLM_API void slm_imatrix_entry_get(const slm_imatrix *im, int i, slm_imatrix_entry *out);

/* ---- quantisation ---- */

/* The i-th type that slm_quant_opts.type takes ("Q4_K_M"), NULL behind the last. */
SLM_API const char *slm_quant_type_at(int i);

/* A model opened together with a plan of what type each tensor gets. One thread at a time. */
typedef struct slm_quant slm_quant;

typedef struct slm_quant_opts {
    const char *type; /* a type or mix by llama.cpp's name, any case; NULL: as stored */
    int fit; /* slm_quant_fit will choose: type only says among which kind (Q4_0: blocks of 32,
                Q4_K_M: K types, IQ3_S or NULL: all) */
    const char *imatrix;        /* path of an importance matrix; NULL: none */
    const char *output_type;    /* of the output matrix; NULL: the mix's */
    const char *embedding_type; /* of the embedding; NULL: the mix's */
    /* "PATTERN=TYPE", or "PATTERN" alone to leave as stored; the first that fits counts. A
     * pattern with * or ? is held against the whole name, another is looked for inside it. */
    const char *const *keep;
    int n_keep;
    int pure;             /* every matrix the type itself, no mix */
    int allow_requantize; /* rounding what was rounded before is no error */
    int no_imatrix;       /* types that need an importance matrix are taken without */
    int untie;            /* as in slm_model_opts */
    int dry;              /* only to look: what would be refused for its quality is a warning */
} slm_quant_opts;
SLM_API void slm_quant_opts_init(slm_quant_opts *o);

/* Opens the model `in` (GGUF, Hugging Face folder, llama2.c) and chooses types. What the rows'
 * length does not allow is replaced by a type that fits, told by the log and by
 * slm_quant_tensor.wanted, or refused where the type was asked for by name. Errors: those of
 * slm_model_open; SLM_E_ARG (unknown type, a pattern that fits nothing, quantising again
 * without leave, an importance matrix missing or of another model), SLM_E_UNSUPPORTED (a type
 * that can not be written). */
SLM_API int slm_quant_open(slm_quant **out, slm_runtime *rt, const char *in,
                           const slm_quant_opts *o, slm_err *err);
SLM_API void slm_quant_close(slm_quant **q);
/* The model that it was opened on; borrowed until q is closed. */
SLM_API const slm_model *slm_quant_model(const slm_quant *q);

/* What is written holds the adapter merged into it, in float32 before rounding; a must be of
 * slm_quant_model(q) and outlive q. slm_quant_sense and slm_quant_second, which compute with
 * the model, refuse then. Errors: those of slm_adapter_merge. */
SLM_API int slm_quant_merge(slm_quant *q, const slm_adapter *a, slm_err *err);

/* A text that a plan is fitted to. */
typedef struct slm_quant_text {
    const int32_t *ids;
    size_t n;
    int context, chunks;       /* as in slm_imatrix_opts */
    double damp;               /* second: of the mean diagonal, added to it; 0: 0.01 */
    uint64_t memory;           /* second: bytes of moments at once; 0: one layer's */
    slm_progress_fn *progress; /* done and total in units of its own */
    void *progress_arg;
} slm_quant_text;
SLM_API void slm_quant_text_init(slm_quant_text *o);

/* Measures on a text (its first chunks) what the rounding of each matrix does to the model's
 * predictions: sensitivity (tensors) becomes the divergence in nats by relative error, as
 * slm_quant_target wants it. One pass a matrix. Errors: as of slm_quant_second. */
SLM_API int slm_quant_sense(slm_quant *q, double *sensitivity, const slm_quant_text *o,
                            slm_err *err);

/* Chooses types anew so that the file stays within a budget and the sum over the tensors of
 * sensitivity times relative error is least. Tensors whose types were asked for keep them. */
typedef struct slm_quant_target {
    uint64_t bytes; /* of the whole file; 0: no such limit */
    double bpw;     /* bits a weight, of all tensors; 0: no such limit */
    const double
        *sensitivity; /* (tensors) what a tensor's relative error costs; NULL: by role */
    slm_progress_fn *progress; /* of measuring, in weights */
    void *progress_arg;
} slm_quant_target;
/* Errors: SLM_E_ARG (impossible: the message tells the least), SLM_E_NUMERIC, SLM_E_CANCELLED.
 */
SLM_API int slm_quant_fit(slm_quant *q, const slm_quant_target *t, slm_err *err);

/* Rounds the plan's matrices by second derivatives of a text, in place of each number to its
 * nearest: "GPTQ" (Frantar et al., arXiv 2210.17323) with the scales searched anew for every
 * block, layer by layer on inputs from the layers rounded before. The file has the same bytes
 * in number and the model diverges less. Matrices of types without codes of single numbers (iq1
 * to iq3, tq1_0) are left to slm_quant_write. Keeps the rounded matrices in memory until q is
 * closed. Errors: SLM_E_ARG (less than one chunk, an id out of range), SLM_E_NUMERIC (inputs
 * that are not finite), SLM_E_CANCELLED, SLM_E_NOMEM. */
SLM_API int slm_quant_second(slm_quant *q, const slm_quant_text *o, slm_err *err);

typedef struct slm_quant_info {
    const char *type;    /* the mix's name, "auto" */
    uint64_t file_bytes; /* of the file that will be written, to the byte */
    uint64_t tensor_bytes, weights;
    double bpw;                       /* 8 * tensor_bytes / weights */
    uint64_t source_bytes;            /* of the tensors as stored */
    int tensors, fallbacks, weighted; /* weighted: tensors rounded by an importance matrix */
} slm_quant_info;
SLM_API int slm_quant_info_get(slm_quant *q, slm_quant_info *out, slm_err *err);

typedef struct slm_quant_tensor {
    const char *name, *from, *type;
    const char
        *wanted; /* the type that its rows' length did not allow; NULL: it is as wanted */
    uint64_t rows, cols, bytes; /* rows: of all parts */
    int weighted;
    double rmse;  /* root of the mean squared difference; NAN before slm_quant_write */
    double error; /* sum of w (new - old)^2 over sum of w old^2, w its importances or 1 */
} slm_quant_tensor;
SLM_API void slm_quant_tensor_get(const slm_quant *q, int i, slm_quant_tensor *out);

/* Rounds and writes, on all threads, with the same bytes for any number of them. progress (may
 * be NULL) counts bytes of the file. path appears whole or not at all. Errors: SLM_E_IO (no
 * room on the disk: told before work), SLM_E_NUMERIC (a weight is not finite, or not once
 * rounded: the tensor is named), SLM_E_CANCELLED, SLM_E_NOMEM. */
SLM_API int slm_quant_write(slm_quant *q, const char *path, slm_progress_fn *progress,
                            void *progress_arg, slm_err *err);
/* 0 when the disk that holds path has room for the file, else SLM_E_IO saying how much lacks.
 */
SLM_API int slm_quant_room(slm_quant *q, const char *path, slm_err *err);

#ifdef __cplusplus
}
#endif
#endif
