/* Private to the graph room: what a program is made of. Values are matrices in one planned
 * block; a node reads up to four of them and writes one. All shapes are settled while emitting,
 * so op functions compute without checks. Op functions run on every thread at once, (ith, nth)
 * telling which part is theirs; a part is never a part of a sum, so bits do not depend on nth.
 */
#ifndef SLM_GRAPH_PROG_H
#define SLM_GRAPH_PROG_H

#include <stdatomic.h>

#include "graph/graph.h"
#include "kernels/kernels.h"

#define COLS                                                                                   \
    64 /* cut of columns between threads: above any kernel's unrolling, so tails do not move   \
        */

enum op {
#define OP(name, stem, flags) OP_##name,
#define OP_FORWARD OP
#include "graph/ops.inc"
#undef OP
#undef OP_FORWARD
    OP_COUNT
};

struct node;
typedef void slm_op_fn(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                       int nth);

/* What an op lets the planner do, and what its backward reads. */
enum {
    SAVE_IN0 = 1,
    SAVE_IN1 = 2,
    SAVE_IN2 = 4,
    SAVE_IN3 = 8,
    SAVE_OUT = 16,
    IN_PLACE = 32, /* out may be in[0] */
    NO_GRAD = 64,  /* nothing flows back through it: no bwd is fine */
    STORE0 = 128,  /* backward can write the gradient of in[0] where it need not add */
    STORE1 = 256
};
struct op_row {
    const char *name;
    slm_op_fn *fwd, *bwd;
    int flags;
};
extern const struct op_row slm_ops[OP_COUNT];

struct value {
    int root; /* itself, or the value that a view shows columns of */
    int col, width;
    int per_token;       /* rows a token */
    bool gathered;       /* rows counted by run.n_out */
    bool keep, grad_on;  /* grad_on: training plans a gradient */
    enum slm_dtype type; /* F32, or what a cast made */
    size_t row_bytes;    /* from row to row */
    int made, used;      /* nodes: by which, last read by which */
    int home;            /* root whose memory it lives in (work in place), else itself */
    int from, to;        /* steps of the run in which the memory must hold */
    int from2, to2;      /* and again, when made again; from2 > to2: never */
    bool wanted;         /* while planning */
    size_t at, grad_at;  /* offsets in the block */
    int grad_from, grad_to;
    int zero_next; /* list of gradients that start with the same node */
    uint8_t *data;
    float *grad;
};

struct node {
    enum op op;
    int layer;
    slm_val out, in[4];
    const struct slm_weight *w, *b;
    struct slm_lora lora;
    const float *vec, *vec2;   /* vectors of w and b as float32 */
    float *gw, *gb, *ga, *glb; /* gradients asked for, of w, b, lora a and b */
    int i[6];                  /* typed by op: see the emit function */
    float f[3];
    const float *table[2];
    bool shared;  /* uses the shared scratch */
    bool barrier; /* threads must meet before it */
    bool in_place;
    int zero_first;     /* gradients to clear before its backward */
    bool fresh[2];      /* backward is the first to come to in[k]'s gradient, and writes it */
    bool frozen;        /* w is only read: no gradient of it is made here */
    int stretch;        /* of the backward walk */
    bool again;         /* computed again before its stretch's backward */
    atomic_int ticket;  /* work handed out so far, where an op shares by asking */
    atomic_int back[2]; /* the same on the way back */
    _Atomic uint64_t taken; /* parts of the stretch that begins here, a bit each */
    atomic_int done;        /* of them */
};

struct slm_prog {
    slm_runtime *rt;
    const struct slm_kern *kern;
    struct slm_prog_opts o;
    struct slm_arena arena;
    struct value *value;
    size_t n_values, cap_values;
    struct node *node;
    size_t n_nodes, cap_nodes;
    int layer;
    slm_err err; /* the first thing that emitting found wrong */
    uint8_t *block;
    size_t block_bytes;
    size_t shared_need, thread_need, shared_at, thread_at; /* scratch */
    int *stretch; /* (n_stretches + 1) first nodes of the stretches that go back together */
    int n_stretches;
    int *segment; /* (max_rows + 1) first rows of this run's stretches of one stream */
    int n_segments;
    double loss;
    int loss_count;  /* targets that count */
    float *row_loss; /* (rows of the logits) */
    slm_tap_fn *tap;
    void *tap_arg;
    slm_tap_fn *tap_back;
    void *tap_back_arg;
    float ones[COLS];
    bool planned;
    _Atomic uint32_t at; /* node that this run has come to */
};

/* ---- building (prog.c) ---- */

/* What a new value looks like: `like`'s rows, another width and type. */
slm_val slm_value_new(slm_prog *p, slm_val like, int width, enum slm_dtype type);
/* Appends a node that makes `out` from in0 and in1 (negative: none); NULL when emitting failed.
 */
struct node *slm_node_new(slm_prog *p, enum op op, slm_val out, slm_val in0, slm_val in1);
void slm_node_input(slm_prog *p, struct node *n, int i, slm_val v);
/* Remembers the first failure; gives -1. */
slm_val slm_emit_fail(slm_prog *p, int code, const char *fmt, ...) SLM_PRINTF(3, 4);
/* Are these values (negative: skipped over) of this program? False after any failure. */
bool slm_emit_ok(slm_prog *p, slm_val a, slm_val b);
/* Rows one a token, not gathered: what ops that look at positions need. */
bool slm_emit_plain(slm_prog *p, slm_val v, const char *op);
/* A weight's vectors (rows x cols, few) as float32: its own, or a copy in the arena. */
const float *slm_emit_vector(slm_prog *p, const struct slm_weight *w);
bool slm_emit_weight(slm_prog *p, const struct slm_weight *w, const char *op);
void slm_emit_scratch(slm_prog *p, size_t shared, size_t thread);

/* ---- computing ---- */

static inline int slm_value_rows(const slm_prog *p, slm_val v, const struct slm_run *run)
{
    const struct value *x = &p->value[v];
    return x->per_token * (x->gathered ? run->n_out : run->rows);
}
static inline int slm_value_max_rows(const slm_prog *p, const struct value *x)
{
    return x->per_token * (x->gathered ? p->o.max_out : p->o.max_rows);
}
static inline float *slm_row(const slm_prog *p, slm_val v, int r)
{
    const struct value *x = &p->value[v];
    return (float *)(void *)(x->data + (size_t)r * x->row_bytes);
}
static inline size_t slm_ld(const slm_prog *p, slm_val v)
{
    return p->value[v].row_bytes / sizeof(float);
}
static inline float *slm_grad_row(const slm_prog *p, slm_val v, int r)
{
    return p->value[v].grad + (size_t)r * (p->value[v].row_bytes / sizeof(float));
}
static inline void *slm_scratch(const slm_prog *p) { return p->block + p->shared_at; }
static inline void *slm_scratch_of(const slm_prog *p, int ith)
{
    return p->block + p->thread_at + (size_t)ith * p->thread_need;
}
static inline const uint8_t *slm_weight_row(const struct slm_weight *w, int part, int r)
{
    return w->part[part] + (size_t)r * w->stride;
}
static inline size_t slm_round(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

/* What a tap is told of a node that chooses experts (op_expert.c). */
void slm_expert_tell(const struct node *n, struct slm_node_info *info);

/* A thread's part of a matrix that is worked on element by element: rows while there are enough
 * of them, else columns. */
struct slm_part {
    int r0, r1;
    size_t c0, c1;
};
struct slm_part slm_part_of(int rows, int width, int ith, int nth);

#define OP_FORWARD(name, stem, flags) slm_op_fn slm_op_##stem##_fwd;
#define OP(name, stem, flags) slm_op_fn slm_op_##stem##_fwd, slm_op_##stem##_bwd;
#include "graph/ops.inc"
#undef OP
#undef OP_FORWARD

#endif
