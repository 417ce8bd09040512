/* The face of the kernel room: one table of function pointers, filled with the generic kernels
 * and overwritten rung by rung by what this CPU does better. The generic column is complete and
 * is the truth that every other is tested against. */
#ifndef SLM_KERNELS_H
#define SLM_KERNELS_H

#include "base/base.h"

/* mul_fast of one row of activations, the same bits, reading weights in the order of memory.
 * The row is first brought into the kernel's own form: bytes(k) bytes at a multiple of 64. run
 * == NULL: mul_fast serves. */
struct slm_one {
    size_t (*bytes)(size_t k);
    void (*prepare)(void *out, const void *x, size_t k);
    void (*run)(float *out, const void *prepared, const void *w, size_t ws, int nw, size_t k);
};

/* y[i][e] += sum over j < nw, j rising, of a[i * ai + j * aj] * w[j][e], for i < ny and e < k;
 * all strides in floats. The bits of one axpy of float32 after the other. */
struct slm_rows {
    float *y;
    size_t ldy;
    int ny;
    const float *a;
    size_t ai, aj;
    const float *w;
    size_t ldw;
    int nw;
    size_t k;
};

/* Many rows of activations at a time, in bfloat16 whatever the weights' type: out[i * ldo + j]
 * = sum over k of x[i][k] * w[j][k], with weights rounded to bfloat16, rows ws bytes apart. */
struct slm_prompt {
    float *out;
    size_t ldo;
    const void *x;
    size_t xs;
    int nx;
    const void *w;
    size_t ws;
    int nw;
    size_t k;
    void *scratch; /* SLM_PROMPT_SCRATCH bytes, 64-byte aligned, of the calling thread */
};
/* A panel of weights that leaves room in a second cache of 2 MiB, and odds and ends. */
#define SLM_PROMPT_PANEL ((size_t)1 << 20)
#define SLM_PROMPT_SCRATCH (SLM_PROMPT_PANEL + ((size_t)16 << 10))

/* One operand of a product, element (i, k): i counts rows (or columns) of what is made, k is
 * summed over. Storage is rows of `type`, `stride` bytes apart.
 *   across false: storage row i, along which k runs from element `first` on;
 *   across true:  storage row k, along which i runs from element `first` on.
 * first is a multiple of the type's block. What runs along a row may end inside a block, of
 * which all bytes are then read. */
struct slm_side {
    const void *data;
    size_t stride, first;
    enum slm_dtype type;
    bool across;
    const int *index; /* storage row r is row index[r] / fan of data; NULL: r */
    int fan;          /* with an index: at least 1 */
};

/* C (m, n) = scale * A (m, k) B (n, k)', or +=. Every element has one order of additions, which
 * k alone decides: any cut of m and n into calls gives the same bits. C overlaps nothing. */
struct slm_gemm {
    float *c; /* rows of ldc floats */
    size_t ldc;
    const int *c_index; /* row i of C is row c_index[i] of c, none twice; NULL: i */
    bool add;
    float scale; /* 0: 1 */
    int m, n, k;
    struct slm_side a, b;
    void *scratch; /* SLM_GEMM_SCRATCH bytes, 64-byte aligned, of the calling thread */
};
#define SLM_GEMM_SCRATCH ((size_t)1 << 20)

/* The part of a product that thread ith of nth computes (scratch is left as it is). False:
 * nothing is left for it. */
bool slm_gemm_part(struct slm_gemm *part, const struct slm_gemm *whole, int ith, int nth);

/* The keys of a cache lie in blocks of SLM_KEYS positions, a channel's values side by side, so
 * that a lane is a position and no sum runs across lanes:
 *   f32 f16 bf16: [channel][position]
 *   q8_0: for each 32 channels 16 float16 scales, then [four channels][position][4 bytes]
 *   q4_0: for each 32 channels 16 float16 scales, then [eight channels][position][4 bytes], the
 *         first four channels in the low halves of the bytes, the others in the high ones, as
 *         values plus 8
 * which takes SLM_KEYS times the bytes of a row of the type. Values lie in ordinary rows. */
#define SLM_KEYS 16

/* y[i][j] = q[i] . key j, for i < ny and j < n, n a multiple of SLM_KEYS: the bits of one fused
 * step a channel, rising, on the key as to_f32 gives it. */
struct slm_scores {
    float *y;
    size_t ldy;
    int ny;
    const float *q;
    size_t ldq;
    const void *k; /* the first block; the others follow */
    int n;
    size_t width;
};

/* y[i][e] += p[i][j] * v[j][e] for i < ny, j < n rising, e < width: the bits of one fused step
 * a row, on the row as to_f32 gives it. Rows are `stride` bytes apart. */
struct slm_values {
    float *y;
    size_t ldy;
    int ny;
    const float *p;
    size_t ldp;
    const void *v;
    size_t stride;
    int n;
    size_t width;
};

/* dg += dy u act'(g), du += dy act(g), of n columns; u NULL: ones, and du is left alone. */
struct slm_gate_back {
    float *dg, *du;
    const float *dy, *g, *u;
    size_t n;
};

/* dx += r (g - m1 - z m2) with g = dy (w + shift), z = (x - mean) r, m2 the mean of g z, and m1
 * that of g where centred (LayerNorm), else 0; w NULL: ones. */
struct slm_norm_back {
    float *dx;
    const float *x, *dy, *w;
    float shift, mean, r;
    bool centred;
    size_t n;
};

struct slm_kern {
#define KERN(ret, name, args) ret(*name) args;
#define KERN_DT(ret, name, args) ret(*name[SLM_DTYPE_COUNT]) args;
#include "kernels/kernels.inc"
#undef KERN
#undef KERN_DT
    struct slm_one one[SLM_DTYPE_COUNT];
};

/* Fills the table for the CPU's levels up to `top` (generic first, then each rung that the CPU
 * has and that is not slow on it). */
void slm_kern_fill(struct slm_kern *k, const struct slm_cpu *cpu, enum slm_cpu_level top);

/* Fills rt->kern for rt->cpu up to its top, without a rung that is slow on this CPU unless
 * `cap` (NULL: none) names it, and without AMX where its products are wrong, which then leaves
 * rt->cpu too. SLM_E_NOMEM. */
int slm_kern_settle(slm_runtime *rt, const char *cap, slm_err *err);

#endif
