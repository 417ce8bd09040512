/* Building a program: values, nodes and what they may be. The first thing that emitting finds
 * wrong is remembered and makes every later emit give -1, so builders check once, when they
 * plan. */
#include "graph/prog.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const struct op_row slm_ops[OP_COUNT] = {
#define OP(name, stem, flags)                                                                  \
    [OP_##name] = {#name, slm_op_##stem##_fwd, slm_op_##stem##_bwd, flags},
#define OP_FORWARD(name, stem, flags) [OP_##name] = {#name, slm_op_##stem##_fwd, NULL, flags},
#include "graph/ops.inc"
#undef OP
#undef OP_FORWARD
};

int slm_prog_new(slm_prog **out, slm_runtime *rt, const struct slm_prog_opts *o, slm_err *err)
{
    SLM_ASSERT(o->max_rows > 0 && o->max_out >= 0 && !(o->train && o->cache));
    slm_prog *p = slm_zalloc(rt, SLM_MEM_GRAPH, sizeof *p);
    if (!p)
        return slm_fail_mem(err, "program", sizeof *p);
    p->rt = rt;
    p->kern = rt->kern;
    p->o = *o;
    p->layer = -1;
    slm_arena_init(&p->arena, rt, SLM_MEM_GRAPH);
    p->segment = slm_arena_alloc_n(&p->arena, (size_t)o->max_rows + 1, sizeof *p->segment);
    if (!p->segment) {
        slm_prog_free(p);
        return slm_fail_mem(err, "program", (size_t)o->max_rows * sizeof(int));
    }
    *out = p;
    return 0;
}

void slm_prog_free(slm_prog *p)
{
    if (!p)
        return;
    if (!p->o.share || p->block != p->o.share->block)
        slm_pages_free(p->rt, SLM_MEM_GRAPH, p->block, p->block_bytes);
    slm_arena_release(&p->arena);
    slm_free(p->rt, p->value);
    slm_free(p->rt, p->node);
    slm_free(p->rt, p);
}

slm_val slm_emit_fail(slm_prog *p, int code, const char *fmt, ...)
{
    if (p->err.code)
        return -1;
    char msg[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    if (p->layer >= 0)
        slm_fail(&p->err, code, "layer %d: %s", p->layer, msg);
    else
        slm_fail(&p->err, code, "%s", msg);
    return -1;
}

bool slm_emit_ok(slm_prog *p, slm_val a, slm_val b)
{
    if (p->err.code)
        return false;
    SLM_ASSERT(!p->planned && a >= 0 && (size_t)a < p->n_values && b < (slm_val)p->n_values);
    return true;
}

bool slm_emit_plain(slm_prog *p, slm_val v, const char *op)
{
    const struct value *x = &p->value[v];
    if (x->per_token == 1 && !x->gathered)
        return true;
    slm_emit_fail(p, SLM_E_UNSUPPORTED, "%s needs one row a token", op);
    return false;
}

bool slm_emit_weight(slm_prog *p, const struct slm_weight *w, const char *op)
{
    const struct slm_kern *k = p->kern;
    if (w->rows < 1 || w->cols < 1 || w->parts < 1)
        slm_emit_fail(p, SLM_E_FORMAT, "%s: %s is empty", w->name, op);
    else if (!k->to_f32[w->type] || !k->mul_exact[w->type] || !k->axpy[w->type])
        slm_emit_fail(p, SLM_E_UNSUPPORTED, "%s: %s with weights of type %s", w->name, op,
                      slm_dtypes[w->type].name);
    else if (w->cols % slm_dtypes[w->type].block)
        slm_emit_fail(p, SLM_E_FORMAT, "%s: rows of %d elements are no whole %s blocks",
                      w->name, w->cols, slm_dtypes[w->type].name);
    else
        return true;
    return false;
}

const float *slm_emit_vector(slm_prog *p, const struct slm_weight *w)
{
    if (!slm_emit_weight(p, w, "vector"))
        return NULL;
    if (w->type == SLM_F32 && (uintptr_t)w->part[0] % sizeof(float) == 0 &&
        (w->rows == 1 || w->stride == (size_t)w->cols * sizeof(float)))
        return (const float *)(const void *)w->part[0]; /* in place: learning may change it */
    float *f = slm_arena_alloc_n(&p->arena, (size_t)w->rows * w->cols, sizeof *f);
    if (!f) {
        slm_emit_fail(p, SLM_E_NOMEM, "%s: out of memory", w->name);
        return NULL;
    }
    for (int r = 0; r < w->rows; r++)
        p->kern->to_f32[w->type](f + (size_t)r * w->cols, slm_weight_row(w, 0, r),
                                 (size_t)w->cols);
    return f;
}

void slm_emit_scratch(slm_prog *p, size_t shared, size_t thread)
{
    shared = slm_round(shared, 64);
    thread = slm_round(thread, 64);
    p->shared_need = shared > p->shared_need ? shared : p->shared_need;
    p->thread_need = thread > p->thread_need ? thread : p->thread_need;
}

slm_val slm_value_new(slm_prog *p, slm_val like, int width, enum slm_dtype type)
{
    if (p->err.code)
        return -1;
    if (slm_grow(p->rt, SLM_MEM_GRAPH, (void **)&p->value, p->n_values, &p->cap_values,
                 sizeof *p->value))
        return slm_emit_fail(p, SLM_E_NOMEM, "out of memory for a program's values");
    slm_val v = (slm_val)p->n_values++;
    struct value *x = &p->value[v];
    memset(x, 0, sizeof *x);
    x->root = x->home = v;
    x->width = width;
    x->per_token = like < 0 ? 1 : p->value[like].per_token;
    x->gathered = like >= 0 && p->value[like].gathered;
    x->type = type;
    x->row_bytes = slm_round(slm_row_bytes(type, (size_t)width), 64);
    x->grad_on = type == SLM_F32;
    x->made = x->used = (int)p->n_nodes;
    return v;
}

struct node *slm_node_new(slm_prog *p, enum op op, slm_val out, slm_val in0, slm_val in1)
{
    if (p->err.code)
        return NULL;
    if (slm_grow(p->rt, SLM_MEM_GRAPH, (void **)&p->node, p->n_nodes, &p->cap_nodes,
                 sizeof *p->node)) {
        slm_emit_fail(p, SLM_E_NOMEM, "out of memory for a program's nodes");
        return NULL;
    }
    struct node *n = &p->node[p->n_nodes++];
    memset(n, 0, sizeof *n);
    n->op = op;
    n->layer = p->layer;
    n->out = out;
    for (int i = 0; i < 4; i++)
        n->in[i] = -1;
    slm_node_input(p, n, 0, in0);
    slm_node_input(p, n, 1, in1);
    return n;
}

void slm_node_input(slm_prog *p, struct node *n, int i, slm_val v)
{
    n->in[i] = v;
    if (v >= 0)
        p->value[p->value[v].root].used = (int)(n - p->node);
}

void slm_prog_layer(slm_prog *p, int layer) { p->layer = layer; }

void slm_prog_keep(slm_prog *p, slm_val v)
{
    if (v >= 0 && !p->err.code)
        p->value[p->value[v].root].keep = true;
}

slm_val slm_emit_view(slm_prog *p, slm_val x, int col, int width)
{
    if (!slm_emit_ok(p, x, -1))
        return -1;
    SLM_ASSERT(p->value[x].type == SLM_F32);
    if (col < 0 || width < 1 || width > p->value[x].width - col)
        return slm_emit_fail(p, SLM_E_FORMAT, "columns %d to %d of a value %d wide", col,
                             col + width, p->value[x].width);
    slm_val v = slm_value_new(p, x, width, SLM_F32);
    if (v < 0)
        return -1;
    p->value[v].root = p->value[x].root;
    p->value[v].col = p->value[x].col + col;
    p->value[v].row_bytes = p->value[x].row_bytes;
    return v;
}

void slm_prog_want(slm_prog *p, const struct slm_weight *w, float *grad)
{
    for (size_t i = 0; i < p->n_nodes; i++) {
        struct node *n = &p->node[i];
        if (n->w && !n->frozen && n->w->id == w->id)
            n->gw = grad;
        if (n->b && n->b->id == w->id)
            n->gb = grad;
        if (n->lora.a && n->lora.a->id == w->id)
            n->ga = grad;
        if (n->lora.b && n->lora.b->id == w->id)
            n->glb = grad;
    }
}

void slm_prog_tap(slm_prog *p, slm_tap_fn *fn, void *arg)
{
    p->tap = fn;
    p->tap_arg = arg;
}

void slm_prog_tap_back(slm_prog *p, slm_tap_fn *fn, void *arg)
{
    p->tap_back = fn;
    p->tap_back_arg = arg;
}

const float *slm_prog_value(const slm_prog *p, slm_val v, size_t *ld)
{
    const struct value *x = &p->value[v];
    if (ld)
        *ld = x->row_bytes / sizeof(float);
    return x->type == SLM_F32 ? (const float *)(const void *)x->data : NULL;
}

const float *slm_prog_grad(const slm_prog *p, slm_val v, size_t *ld)
{
    const struct value *x = &p->value[v];
    if (ld)
        *ld = x->row_bytes / sizeof(float);
    return p->value[x->root].keep ? x->grad : NULL;
}

bool slm_prog_finite(const slm_prog *p, slm_val v, const struct slm_run *run)
{
    const struct value *x = &p->value[v];
    for (int r = 0; r < slm_value_rows(p, v, run) && x->type == SLM_F32; r++)
        for (int i = 0; i < x->width; i++)
            if (!isfinite(slm_row(p, v, r)[i]))
                return false;
    return true;
}

double slm_prog_loss(const slm_prog *p) { return p->loss; }
const float *slm_prog_row_loss(const slm_prog *p) { return p->row_loss; }

struct slm_part slm_part_of(int rows, int width, int ith, int nth)
{
    struct slm_part s = {0, rows, 0, (size_t)width};
    size_t lo, hi;
    if (rows >= nth) {
        slm_split((size_t)rows, 1, ith, nth, &lo, &hi);
        s.r0 = (int)lo;
        s.r1 = (int)hi;
    } else {
        slm_split((size_t)width, COLS, ith, nth, &s.c0, &s.c1);
    }
    return s;
}
