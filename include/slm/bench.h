/* What this machine could do at best: the ceilings that speeds are quoted against. */
#ifndef SLM_BENCH_H
#define SLM_BENCH_H

#include "slm/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Measured with the runtime's threads, at its CPU level. Each is the best of several short
 * runs. */
typedef struct slm_bench_peaks {
    double read_gbs; /* memory read, 10^9 bytes a second: the better of the next two */
    double read_gbs_one, read_gbs_four;    /* one stream a thread; four that lie far apart */
    double f32_gflops;                     /* multiply and add count one each */
    double bf16_gflops;                    /* 0: no instructions for it at this level */
    double int8_gops;                      /* 0: likewise */
    double amx_bf16_gflops, amx_int8_gops; /* tile registers; 0: likewise */
    size_t read_bytes;                     /* size of the block that was read */
} slm_bench_peaks;

/* With the first `threads` of the runtime's threads, 0: all. Takes about a second and 256 MiB,
 * less where there is less. Errors: SLM_E_NOMEM. */
SLM_API int slm_bench_machine(slm_runtime *rt, int threads, slm_bench_peaks *out, slm_err *err);
/* The bandwidth alone with all threads, for a probe beside a measurement; and one of the peaks,
 * 10^9 operations a second, 0 where the CPU level has no such instructions. */
SLM_API int slm_bench_bandwidth(slm_runtime *rt, double *gbs, slm_err *err);
enum slm_bench_op {
    SLM_BENCH_F32,
    SLM_BENCH_BF16,
    SLM_BENCH_INT8,
    SLM_BENCH_AMX_BF16,
    SLM_BENCH_AMX_INT8
};
SLM_API double slm_bench_peak(slm_runtime *rt, int op);

/* ---- the matrix products of training ---- */

/* C (m, n) of operands that are k deep, as a training step computes them: forward, gradients of
 * inputs, gradients of weights. */
typedef struct slm_bench_product {
    const char *what; /* "1B up, inputs": a constant */
    const char *type; /* of the weights among the operands; the other one is float32 */
    int m, n, k;
    double f32_gflops, bf16_gflops; /* sums of float32; of operands rounded to bfloat16 */
} slm_bench_product;

/* How many there are, and the i-th one measured with all threads, the best of some runs: half a
 * second. Seconds are those of the processors, so that what else a machine does takes no part.
 * Errors: SLM_E_ARG (no such product), SLM_E_NOMEM. */
SLM_API int slm_bench_products(void);
SLM_API int slm_bench_product_run(slm_runtime *rt, int i, slm_bench_product *out, slm_err *err);
/* The peaks by the same clock; bf16: the highest way to compute such products. */
SLM_API void slm_bench_product_peaks(slm_runtime *rt, double *f32, double *bf16);

/* ---- models of true shapes with random weights ---- */

/* The i-th shape's name ("llama-3.2-1b"), NULL behind the last. */
SLM_API const char *slm_shape_name(int i);

typedef struct slm_shape_opts {
    slm_model_opts model;      /* of the model that is opened */
    slm_progress_fn *progress; /* bytes made and in all; non-zero stops with SLM_E_CANCELLED */
    void *progress_arg;
} slm_shape_opts;
SLM_API void slm_shape_opts_init(slm_shape_opts *o);

/* Makes a model of that shape in memory, without a tokenizer. type: as quantisers name files
 * ("q4_K_M", "q8_0", "bf16" ...); each weight gets the type that it has in such a file, so that
 * a token reads as many bytes as it does there. The same name and type give the same weights. o
 * may be NULL. Errors: SLM_E_ARG (an unknown shape or type), SLM_E_NOMEM, SLM_E_CANCELLED. */
SLM_API int slm_shape_open(slm_model **out, slm_runtime *rt, const char *shape,
                           const char *type, const slm_shape_opts *o, slm_err *err);
/* The same as a GGUF file, which appears whole or not at all. */
SLM_API int slm_shape_write(slm_runtime *rt, const char *shape, const char *type,
                            const char *path, const slm_shape_opts *o, slm_err *err);

/* ---- advice ---- */

/* A model of that shape, or of an opened model's, that has no weights: it can be asked about
 * and advised on, nothing else. Close it as any. */
SLM_API int slm_shape_empty(slm_model **out, slm_runtime *rt, const char *shape, slm_err *err);
SLM_API int slm_model_empty(slm_model **out, const slm_model *m, slm_err *err);
/* The i-th of the types that are worth advising on, NULL behind the last. */
SLM_API const char *slm_advice_type(int i);

typedef struct slm_advise_opts {
    int context;                /* positions of the cache */
    const char *kv_type;        /* NULL: f16 */
    uint64_t ram;               /* bytes there are, 0: any */
    double read_gbs, peak_gops; /* the machine's ceilings (slm_bench_machine), 0: not asked */
} slm_advise_opts;
typedef struct slm_advice {
    uint64_t weights, active;          /* bytes of weights in all; that a token reads */
    uint64_t cache, work, text, total; /* bytes; text: tokenizer and template, when opened with
                                          the model; total: resident memory of the process */
    double bits;                       /* a weight */
    double decode_tok_s, prompt_tok_s; /* ceilings; decoding with half the context filled */
    double loss; /* mean divergence in nats a token of the bundled model; NAN: not known */
    int fits;
} slm_advice;
/* What a model without weights takes in a type ("q4_K_M"); with type NULL an opened model as it
 * is. Errors: SLM_E_ARG (type), SLM_E_UNSUPPORTED (kv_type), SLM_E_NOMEM. */
SLM_API int slm_advise(slm_model *m, const char *type, const slm_advise_opts *o,
                       slm_advice *out, slm_err *err);

#ifdef __cplusplus
}
#endif
#endif
