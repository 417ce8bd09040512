/* Training's products: how one is cut among threads, and the backward half of linear. dX reads
 * the weight in the form it has, so a frozen quantised base needs no transpose and no copy; dW
 * is added to what is there, so several small runs add up like one large run. */
#include "graph/product.h"

#define GRAIN 256 /* pieces are cut at multiples of this: of every type's block */

struct slm_side slm_side_of(const slm_prog *p, slm_val v)
{
    return (struct slm_side){
        .data = p->value[v].data, .type = SLM_F32, .stride = p->value[v].row_bytes, .fan = 1};
}

struct slm_side slm_side_grad(const slm_prog *p, slm_val v)
{
    return (struct slm_side){
        .data = p->value[v].grad, .type = SLM_F32, .stride = p->value[v].row_bytes, .fan = 1};
}

struct slm_side slm_side_weight(const struct slm_weight *w, int part)
{
    return (struct slm_side){
        .data = w->part[part], .type = w->type, .stride = w->stride, .fan = 1};
}

struct slm_side slm_side_floats(const float *x, size_t ld)
{
    return (struct slm_side){
        .data = x, .type = SLM_F32, .stride = ld * sizeof(float), .fan = 1};
}

struct slm_side slm_side_across(struct slm_side s)
{
    s.across = true;
    return s;
}

void slm_gemm_scratch(slm_prog *p)
{
    if (p->o.train)
        slm_emit_scratch(p, 0, SLM_GEMM_SCRATCH);
}

void slm_gemm_own(slm_prog *p, const struct slm_gemm *g, int ith)
{
    struct slm_gemm own = *g;
    own.scratch = slm_scratch_of(p, ith);
    if (own.m < 1 || own.n < 1)
        return;
    if (p->o.bf16)
        p->kern->gemm_bf16(&own);
    else
        p->kern->gemm_f32(&own);
}

/* Rows or columns [lo, hi) of an operand. */
static void narrow(struct slm_side *s, int lo)
{
    if (s->across)
        s->first += (size_t)lo;
    else if (s->index)
        s->index += lo;
    else
        s->data = (const uint8_t *)s->data + (size_t)lo * s->stride;
}

/* Parts of an operand begin at multiples of this. */
static size_t grain_of(const struct slm_side *s)
{
    size_t block = (size_t)slm_dtypes[s->type].block;
    return s->across && block > 16 ? block : 16;
}

/* Rows, or columns, [lo, hi) of what is made. */
struct piece {
    bool rows;
    int lo, hi;
};

static void piece(slm_prog *p, const struct slm_gemm *g, const float *bias, struct piece c,
                  int ith)
{
    struct slm_gemm part = *g;
    int lo = c.lo, hi = c.hi;
    if (c.rows) {
        part.m = hi - lo;
        narrow(&part.a, lo);
        if (part.c_index)
            part.c_index += lo;
        else
            part.c += (size_t)lo * g->ldc;
    } else {
        part.n = hi - lo;
        narrow(&part.b, lo);
        part.c += lo;
        bias = bias ? bias + lo : NULL;
    }
    slm_gemm_own(p, &part, ith);
    for (int r = 0; r < part.m && bias; r++) {
        float *y = part.c + (size_t)(part.c_index ? part.c_index[r] : r) * g->ldc;
        p->kern->add(y, y, bias, (size_t)part.n);
    }
}

void slm_gemm_run(slm_prog *p, const struct slm_gemm *g, const float *bias, atomic_int *ticket,
                  int ith, int nth)
{
    bool rows = g->m >= g->n;
    int size = rows ? g->m : g->n;
    struct slm_pieces c = {size, nth, GRAIN};
    if (!ticket ||
        size < 2 * GRAIN * nth) { /* equal parts: small products are packed once a thread */
        size_t lo, hi;
        slm_split((size_t)size, grain_of(rows ? &g->a : &g->b), ith, nth, &lo, &hi);
        piece(p, g, bias, (struct piece){rows, (int)lo, (int)hi}, ith);
        return;
    }
    for (int lo, hi; slm_product_take(ticket, &c, &lo, &hi);)
        piece(p, g, bias, (struct piece){rows, lo, hi}, ith);
}

static void bias_back(const struct slm_prog *p, const struct node *n, int rows, int ith,
                      int nth)
{
    size_t lo, hi;
    slm_split((size_t)p->value[n->out].width, 16, ith, nth, &lo, &hi);
    for (int r = 0; r < rows; r++)
        p->kern->add(n->gb + lo, n->gb + lo, slm_grad_row(p, n->out, r) + lo, hi - lo);
}

void slm_op_linear_bwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                       int nth)
{
    int rows = slm_value_rows(p, n->out, run);
    const struct slm_weight *w = n->w;
    struct node *own = &p->node[n - p->node];
    struct slm_gemm dx = {.c = slm_grad_row(p, n->in[0], 0),
                          .ldc = slm_ld(p, n->in[0]),
                          .add = !n->fresh[0],
                          .m = rows,
                          .n = w->cols,
                          .k = w->rows,
                          .a = slm_side_grad(p, n->out),
                          .b = slm_side_across(slm_side_weight(w, 0))};
    struct slm_gemm dw = {.c = n->gw,
                          .ldc = (size_t)w->cols,
                          .add = true,
                          .m = w->rows,
                          .n = w->cols,
                          .k = rows,
                          .a = slm_side_across(slm_side_grad(p, n->out)),
                          .b = slm_side_across(slm_side_of(p, n->in[0]))};
    slm_gemm_run(p, &dx, NULL, &own->back[0], ith, nth);
    if (n->gw)
        slm_gemm_run(p, &dw, NULL, &own->back[1], ith, nth);
    if (n->gb)
        bias_back(p, n, rows, ith, nth);
}

slm_val slm_emit_bias(slm_prog *p, slm_val y, const struct slm_weight *b)
{
    if (!slm_emit_ok(p, y, -1))
        return -1;
    if (b->rows != 1 || b->cols != p->value[y].width)
        return slm_emit_fail(p, SLM_E_FORMAT, "%s: %d x %d, want 1 x %d", b->name, b->rows,
                             b->cols, p->value[y].width);
    const float *vec = slm_emit_vector(p, b);
    slm_val out = slm_emit_view(p, y, 0, p->value[y].width);
    struct node *n = slm_node_new(p, OP_bias, out, y, -1);
    if (!n)
        return -1;
    n->b = b;
    n->vec = vec;
    return out;
}

void slm_op_bias_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                     int nth)
{
    struct slm_part s =
        slm_part_of(slm_value_rows(p, n->out, run), p->value[n->out].width, ith, nth);
    for (int r = s.r0; r < s.r1; r++) {
        float *y = slm_row(p, n->out, r) + s.c0;
        p->kern->add(y, y, n->vec + s.c0, s.c1 - s.c0);
    }
}

void slm_op_bias_bwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                     int nth)
{
    if (n->gb)
        bias_back(p, n, slm_value_rows(p, n->out, run), ith, nth);
}
