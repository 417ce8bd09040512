/* The face of the graph room: a program is a flat list of nodes that a builder emits once, a
 * planner lays out in memory, and an executor walks, forward, and backward in reverse. Running
 * and learning are the same list; only the plan differs.
 *
 * A value is a matrix of rows x width, rows = per_token * T where T is the number of rows
 * (tokens) of the run, at most max_rows. A view is columns of another value (the q part of a
 * fused qkv). */
#ifndef SLM_GRAPH_H
#define SLM_GRAPH_H

#include "base/base.h"

struct slm_kern;
typedef struct slm_prog slm_prog;

/* ---- weights ---- */

/* A matrix of the model (or `parts` of them: experts), rows of `cols` elements, row r of part e
 * at part[e] + r * stride. Borrowed: data belongs to the model. Vectors have rows == 1. */
struct slm_weight {
    const char *name; /* canonical, e.g. "blk.3.attn_q.weight": taps, gradients, messages */
    enum slm_dtype type;
    int rows, cols, parts;
    size_t stride;              /* bytes from row to row */
    const uint8_t *const *part; /* (parts) */
    int id;                     /* 0 .. n_weights-1, dense in a model: index of its gradient */
};

/* ---- the key/value cache of one stream ---- */

/* Keys and values of one layer, head after head: a head's positions are one stretch of memory
 * that decoding reads from end to end. Position p lives in slot p % slots: a layer that sees a
 * window needs window + max_rows - 1 slots, others all. Values are rows; keys are blocks of
 * SLM_KEYS slots (kernels.h), so that a head takes its slots rounded up to whole blocks. */
struct slm_kv_layer {
    uint8_t *k, *v;
    int slots, heads, width;
    size_t row, head; /* bytes of one slot of a head; from head to head */
};
/* Bytes from the start of a head that hold its first n slots. */
size_t slm_kv_used(const struct slm_kv_layer *y, int n);
struct slm_kv {
    enum slm_dtype type; /* F32 F16 BF16 Q8_0 Q4_0 */
    int n_layers, context;
    struct slm_kv_layer *layer;
    void *block;
    size_t bytes;
    slm_runtime *rt;
};
/* windows[l]: 0 for all positions. Heads' width must be a multiple of the type's block. */
struct slm_kv_shape {
    int n_layers, context, max_rows;
    enum slm_dtype type;
    const int *heads, *width, *window; /* (n_layers) */
};
int slm_kv_init(struct slm_kv *kv, slm_runtime *rt, const struct slm_kv_shape *shape,
                slm_err *err);
void slm_kv_release(struct slm_kv *kv);
/* Bytes that init would take; -1 when the type does not divide a head. */
int64_t slm_kv_bytes(const struct slm_kv_shape *shape);

/* ---- building ---- */

/* What a program's rows are for. A kernel may differ between the two (never by how many rows a
 * run happens to have), so a row's bits depend on its phase and the CPU alone. */
enum slm_phase {
    SLM_PHASE_DECODE, /* one row, or some, of each stream: reading the weights is the limit */
    SLM_PHASE_PROMPT  /* many rows at a time: arithmetic is the limit */
};

struct slm_prog_opts {
    int max_rows; /* most rows of a run */
    int max_out;  /* most rows that `gather` passes on (training: max_rows) */
    bool fast;    /* activations cast to the weights' partner types */
    bool cache;   /* keys and values go through slm_run.kv; else "this run's" only */
    bool train;   /* keep what backward needs, plan gradients */
    bool bf16;    /* training: operands of matrix products are rounded to bfloat16 */
    /* Training: so many layers at a time are computed again before their backward, so that only
     * what passes between such stretches is kept (Chen et al., arXiv 1604.06174). 0: all is. */
    int stretch;
    bool measure; /* plan lays out and counts (slm_prog_bytes), but takes no memory: no runs */
    enum slm_phase phase;
    /* A planned program whose memory serves this one too where it is large enough; NULL: none.
     * It must outlive this one, the two never run at once, and what one keeps lasts until the
     * other runs. */
    const slm_prog *share;
};

typedef int slm_val; /* a value's number; negative: emitting failed, and plan will say why */

int slm_prog_new(slm_prog **out, slm_runtime *rt, const struct slm_prog_opts *o, slm_err *err);
void slm_prog_free(slm_prog *p);

/* Every emit appends a node and gives its value. Shapes are checked here, so that a program
 * that plans cannot fail while running. `layer` of the current slm_prog_layer names nodes for
 * taps. */
void slm_prog_layer(slm_prog *p, int layer); /* -1: outside the layers */

slm_val slm_emit_embed(slm_prog *p, const struct slm_weight *w, float scale);
/* Learned positions (gpt2): row pos of w is added to x. */
slm_val slm_emit_position(slm_prog *p, slm_val x, const struct slm_weight *w);

enum slm_norm_kind { SLM_NORM_RMS, SLM_NORM_LAYER };
struct slm_norm {
    enum slm_norm_kind kind;
    const struct slm_weight *w; /* (1, n), or (heads, n): each head its own; NULL: ones */
    const struct slm_weight *b; /* NULL: none */
    float eps, shift; /* the row is multiplied by (w + shift): gemma's 1 + w in its HF form */
    int heads; /* rows are split into heads of n columns, normalised each; 1: whole rows */
};
slm_val slm_emit_norm(slm_prog *p, slm_val x, const struct slm_norm *n);

struct slm_linear {
    const struct slm_weight *w, *b; /* b (1, out) or NULL */
};
/* y = x W' + b, width of y = w->rows. */
slm_val slm_emit_linear(slm_prog *p, slm_val x, const struct slm_linear *l);
/* The same with an expert's matrix per row: x has 1 or k rows a token, sel from slm_emit_route
 * has k: y has k rows a token, row (t, j) = x of t (or of (t, j)) times part sel[t][j]. */
slm_val slm_emit_linear_expert(slm_prog *p, slm_val x, slm_val sel, const struct slm_weight *w);
/* y + b, in y's place */
slm_val slm_emit_bias(slm_prog *p, slm_val y, const struct slm_weight *b);

/* ---- adapters (Hu et al., arXiv 2106.09685) ---- */

/* Adds scale * factor * B (A x) to columns [row0, row0 + rows of B) of a product's output:
 * A (r, in), B (rows, r), both float32. In training a share `dropout` of x is set to zero and
 * the rest made larger by as much. */
struct slm_lora {
    const struct slm_weight *a, *b;
    float scale, dropout;
    int row0;
    const float *factor; /* read at each run; NULL: 1. Outlives the program. */
};
/* What linear made of x becomes y with the addition, in y's place. Runs with slm_run.plain
 * leave it out. */
slm_val slm_emit_lora(slm_prog *p, slm_val y, slm_val x, const struct slm_lora *l);
/* The same over linear_expert: a and b have as many parts as there are experts. */
slm_val slm_emit_lora_expert(slm_prog *p, slm_val y, slm_val x, slm_val sel,
                             const struct slm_lora *l);
/* y, made by embed, plus scale * B a column of A: A (r, vocabulary), B (width, r). */
slm_val slm_emit_lora_embed(slm_prog *p, slm_val y, const struct slm_lora *l);
/* DoRA (Liu et al., arXiv 2402.09353): columns [row0, row0 + rows of B) of y times m / |W + s B
 * A|, the length over each row of W; a constant on the way back. y is without bias. */
struct slm_dora {
    const struct slm_weight *w, *m; /* m (1, rows of B), float32 */
    struct slm_lora lora;
};
slm_val slm_emit_magnitude(slm_prog *p, slm_val y, const struct slm_dora *d);

/* Angles of this run's positions: value of width 2 * half, cosines then sines, times `factor`.
 * inv_freq[0] is used by streams whose rope_set is 0, inv_freq[1] (NULL: the same) by set 1. */
struct slm_angles {
    int half;
    const float *inv_freq[2];
    float factor;
}; /* copied but for the tables */
slm_val slm_emit_angles(slm_prog *p, const struct slm_angles *a);
/* Rotates the first 2 * half of each head's columns; pairs: neighbours, else halves. */
slm_val slm_emit_rope(slm_prog *p, slm_val x, slm_val angles, int heads, bool pairs);
/* x * (1 + beta * ln(1 + floor(pos / orig))): ministral 3's temperature of queries. */
slm_val slm_emit_temper(slm_prog *p, slm_val x, float beta, int orig);

struct slm_attn {
    int heads, kv_heads, width; /* width of a head */
    float scale, cap;           /* scores * scale, then cap * tanh(s / cap) where cap > 0 */
    int window;                 /* row q sees keys k with q - window < k <= q; 0: all k <= q */
    int layer;                  /* cache layer */
};
/* Emits the store into the cache too, where the program has one. Result: (T, heads * width). */
slm_val slm_emit_attention(slm_prog *p, slm_val q, slm_val k, slm_val v,
                           const struct slm_attn *a);

enum slm_act { SLM_ACT_SILU, SLM_ACT_GELU_TANH };
slm_val slm_emit_glu(slm_prog *p, slm_val gate, slm_val up, enum slm_act act);
slm_val slm_emit_act(slm_prog *p, slm_val x, enum slm_act act); /* without a gate (gpt2) */
slm_val slm_emit_add(slm_prog *p, slm_val a, slm_val b);
slm_val slm_emit_scale(slm_prog *p, slm_val x, float s);
slm_val slm_emit_softcap(slm_prog *p, slm_val x, float cap);
/* Columns [col, col + width) of x, without a copy. */
slm_val slm_emit_view(slm_prog *p, slm_val x, int col, int width);
/* Softmax over the k largest logits of each row (ties: the lower expert). Value of width 2k a
 * token: k weights, then k expert numbers stored as int32. */
slm_val slm_emit_route(slm_prog *p, slm_val logits, int k);
/* y[t] = sum over j, in order, of weight[t][j] * x[(t, j)]. */
slm_val slm_emit_mix(slm_prog *p, slm_val x, slm_val route);
/* The rows slm_run.out names; all that follows has n_out rows. */
slm_val slm_emit_gather(slm_prog *p, slm_val x);
/* The sum of weight[t] * -log softmax(logits[t])[target[t]] over targets >= 0 (struct slm_run);
 * read by slm_prog_loss and slm_prog_row_loss. */
slm_val slm_emit_cross_entropy(slm_prog *p, slm_val logits);
/* The same of the logits cap * tanh((x W') / cap) (cap 0: x W'), some rows at a time, so that
 * there never are logits of all rows. */
slm_val slm_emit_head_loss(slm_prog *p, slm_val x, const struct slm_weight *w, float cap);

/* Marks a value that must be readable after the run (logits, hidden states). */
void slm_prog_keep(slm_prog *p, slm_val v);

/* Lays out memory: activations in one block shared by liveness, or kept whole when training.
 * Errors: what emitting found wrong, SLM_E_UNSUPPORTED (training through an op without a
 * backward, by name), SLM_E_NOMEM. */
int slm_prog_plan(slm_prog *p, slm_err *err);
size_t slm_prog_bytes(const slm_prog *p); /* of the planned block, shared or not */

/* ---- running ---- */

struct slm_run {
    int rows;           /* T */
    const int32_t *ids; /* (T) */
    const int32_t *pos; /* (T) position in its stream */
    /* (T) which stream; NULL: all 0. Rows of a stream stand together, in order. */
    const int32_t *stream;
    int n_streams;
    struct slm_kv *const *kv; /* (n_streams); NULL without cache */
    const uint8_t *rope_set;  /* (n_streams) 0 or 1; NULL: 0 */
    const int32_t *out;       /* (n_out) rows that gather passes on; NULL: the first n_out */
    int n_out;
    const int32_t *target; /* (rows of the logits) or NULL; negative: none */
    /* (rows of the logits) what each row's loss counts; NULL: all the same, one together */
    const float *weight;
    /* Training: no gradient is wanted, or `weight` comes with the run that slm_prog_run_back is
     * given (all else in it the same), as where it depends on the losses. */
    bool later;
    bool plain;    /* adapters are left out */
    uint64_t seed; /* of dropout; 0: none is done */
};

/* Runs on all threads of the runtime; enters the pool once. Allocates nothing. */
void slm_prog_run(slm_prog *p, const struct slm_run *run);
/* The value's rows after a run: row r at +r * *ld floats. NULL when it was not kept. */
const float *slm_prog_value(const slm_prog *p, slm_val v, size_t *ld);
double slm_prog_loss(const slm_prog *p);
/* (rows of the logits) each row's -log p(target) after a run; 0 where there is no target. */
const float *slm_prog_row_loss(const slm_prog *p);
/* Are all of the rows of a value that the run filled finite? What was cast says yes. */
bool slm_prog_finite(const slm_prog *p, slm_val v, const struct slm_run *run);

/* Where the gradient of weight `w` goes: float32 (parts, rows, cols), added to. NULL: frozen.
 */
void slm_prog_want(slm_prog *p, const struct slm_weight *w, float *grad);
/* Backward of the last run. Only with opts.train. */
void slm_prog_run_back(slm_prog *p, const struct slm_run *run);
/* Gradient of a kept value after run_back, else NULL (tests, distillation). */
const float *slm_prog_grad(const slm_prog *p, slm_val v, size_t *ld);

/* ---- watching ---- */

/* What a node did, for taps: op name, layer, weight (NULL where none), input and output values.
 */
struct slm_node_info {
    const char *op;
    int layer, index;
    const struct slm_weight *w;
    slm_val in,
        out;  /* in: -1 where there is none or the node worked over it; out: -1 for kv_store */
    int rows; /* rows of in that this run filled */
    /* linear_expert: the choice of slm_emit_route (-1 elsewhere), experts a token, and how many
     * rows of out share a row of in: row i of out is row i / fan of in, times the matrix of the
     * expert slm_node_expert says */
    slm_val route;
    int chosen, fan;
};
int slm_node_expert(const slm_prog *p, const struct slm_node_info *node, int row);
/* Called after each forward node by one thread while the others wait. Values of the node's
 * inputs and output are readable there by slm_prog_value. NULL: no tap. */
typedef void slm_tap_fn(void *arg, const slm_prog *p, const struct slm_node_info *node);
void slm_prog_tap(slm_prog *p, slm_tap_fn *fn, void *arg);
/* Called after each node has gone back, by one thread, while the others go on: what nodes of
 * higher layers put into gradients of weights is complete, unless a weight is used again below
 * (tied embeddings). NULL: no tap. */
void slm_prog_tap_back(slm_prog *p, slm_tap_fn *fn, void *arg);

#endif
