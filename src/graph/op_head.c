/* head_loss: the output matrix and the cross-entropy together, a block of rows at a time: a
 * model's logits are its widest value by far, and nobody needs those of all rows at once. While
 * a block's logits are at hand their gradient is made in their place and carried back through
 * the matrix, so that nothing is computed twice where the weights of the rows are known before
 * (slm_run.later: where not, backward makes the logits again). */
#include "graph/product.h"

#include <math.h>
#include <string.h>

#define BLOCK_BYTES ((size_t)24 << 20) /* of logits; but no fewer rows than LEAST */
#define LEAST 64

enum { I_BLOCK };
enum { F_CAP };

slm_val slm_emit_head_loss(slm_prog *p, slm_val x, const struct slm_weight *w, float cap)
{
    if (!slm_emit_ok(p, x, -1) || !slm_emit_weight(p, w, "linear"))
        return -1;
    if (w->cols != p->value[x].width)
        return slm_emit_fail(p, SLM_E_FORMAT, "%s: %d columns for an input of %d", w->name,
                             w->cols, p->value[x].width);
    size_t most = (size_t)slm_value_max_rows(p, &p->value[x]);
    slm_val out = slm_value_new(p, x, p->o.train ? w->cols : 1, SLM_F32);
    struct node *n = slm_node_new(p, OP_head_loss, out, x, -1);
    float *each = slm_loss_rows(p, x);
    if (!n || !each)
        return -1;
    n->w = w;
    n->f[F_CAP] = cap;
    n->shared = true;
    p->value[out].grad_on = false;
    size_t rows = BLOCK_BYTES / ((size_t)w->rows * sizeof(float));
    rows = rows < LEAST ? LEAST : rows / 32 * 32;
    rows = rows < most ? rows : most;
    n->i[I_BLOCK] = (int)rows;
    slm_emit_scratch(p, rows * (size_t)w->rows * sizeof(float), SLM_GEMM_SCRATCH);
    return out;
}

struct block {
    const struct slm_run *run;
    float *logits; /* (rows, V) */
    int r0, rows;
    bool grad;
};

/* A row of logits becomes its gradient, where one is wanted. */
static void row_loss(slm_prog *p, const struct node *n, const struct block *b, int r)
{
    size_t width = (size_t)n->w->rows;
    float *z = b->logits + (size_t)r * width, cap = n->f[F_CAP];
    int row = b->r0 + r, target = b->run->target ? b->run->target[row] : -1;
    if (target < 0) {
        if (b->grad)
            memset(z, 0, width * sizeof *z);
        return;
    }
    if (cap > 0)
        p->kern->softcap(z, z, cap, width);
    float at = z[target], g = slm_loss_weight(p, b->run, row);
    if (!b->grad) {
        p->row_loss[row] = slm_loss_log_sum(p, z, width) - at;
        return;
    }
    if (cap <= 0) {
        p->row_loss[row] = p->kern->softmax(z, width) - at;
        p->kern->scale(z, z, g, width);
        z[target] -= g;
        return;
    }
    /* the cap's slope is 1 - (z / cap)^2 */
    float sum = slm_loss_log_sum(p, z, width);
    p->row_loss[row] = sum - at;
    for (size_t c = 0; c < width; c++) {
        float t = z[c] / cap;
        z[c] = g * (expf(z[c] - sum) - ((int)c == target ? 1.0f : 0.0f)) * (1.0f - t * t);
    }
}

static void block_back(slm_prog *p, const struct node *n, const struct block *b, float *dx,
                       int ith, int nth)
{
    const struct slm_weight *w = n->w;
    size_t ldx = slm_ld(p, n->out);
    struct slm_gemm to_x = {.c = dx + (size_t)b->r0 * ldx,
                            .ldc = ldx,
                            .m = b->rows,
                            .n = w->cols,
                            .k = w->rows,
                            .a = slm_side_floats(b->logits, (size_t)w->rows),
                            .b = slm_side_across(slm_side_weight(w, 0))};
    struct slm_gemm to_w = {.c = n->gw,
                            .ldc = (size_t)w->cols,
                            .add = true,
                            .m = w->rows,
                            .n = w->cols,
                            .k = b->rows,
                            .a = slm_side_across(slm_side_floats(b->logits, (size_t)w->rows)),
                            .b = slm_side_across(slm_side_of(p, n->in[0]))};
    to_w.b.data = slm_row(p, n->in[0], b->r0);
    slm_gemm_run(p, &to_x, NULL, NULL, ith, nth);
    if (n->gw)
        slm_gemm_run(p, &to_w, NULL, NULL, ith, nth);
}

/* All blocks; dx NULL: the losses alone. */
static void blocks(slm_prog *p, const struct node *n, const struct slm_run *run, float *dx,
                   int ith, int nth)
{
    const struct slm_weight *w = n->w;
    int rows = slm_value_rows(p, n->in[0], run);
    struct block b = {.run = run, .logits = slm_scratch(p), .grad = dx != NULL};
    for (b.r0 = 0; b.r0 < rows; b.r0 += n->i[I_BLOCK]) {
        b.rows = rows - b.r0 < n->i[I_BLOCK] ? rows - b.r0 : n->i[I_BLOCK];
        struct slm_gemm g = {.c = b.logits,
                             .ldc = (size_t)w->rows,
                             .m = b.rows,
                             .n = w->rows,
                             .k = w->cols,
                             .a = slm_side_of(p, n->in[0]),
                             .b = slm_side_weight(w, 0)};
        g.a.data = slm_row(p, n->in[0], b.r0);
        slm_gemm_run(p, &g, NULL, NULL, ith, nth);
        slm_pool_barrier(p->rt->pool);
        size_t lo, hi;
        slm_split((size_t)b.rows, 1, ith, nth, &lo, &hi);
        for (size_t r = lo; r < hi; r++)
            row_loss(p, n, &b, (int)r);
        slm_pool_barrier(p->rt->pool);
        if (dx) {
            block_back(p, n, &b, dx, ith, nth);
            slm_pool_barrier(p->rt->pool);
        }
    }
}

void slm_op_head_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                     int nth)
{
    slm_loss_begin(p, run, slm_value_rows(p, n->in[0], run), ith);
    slm_pool_barrier(p->rt->pool);
    blocks(p, n, run, p->o.train && !run->later ? slm_row(p, n->out, 0) : NULL, ith, nth);
    slm_loss_end(p, run, slm_value_rows(p, n->in[0], run), ith);
}

void slm_op_head_bwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                     int nth)
{
    struct slm_part s =
        slm_part_of(slm_value_rows(p, n->in[0], run), p->value[n->in[0]].width, ith, nth);
    if (run->later) {
        blocks(p, n, run, slm_row(p, n->out, 0), ith, nth);
        slm_pool_barrier(p->rt->pool);
    }
    for (int r = s.r0; r < s.r1; r++) {
        float *dx = slm_grad_row(p, n->in[0], r) + s.c0;
        if (n->fresh[0])
            memcpy(dx, slm_row(p, n->out, r) + s.c0, (s.c1 - s.c0) * sizeof *dx);
        else
            p->kern->add(dx, dx, slm_row(p, n->out, r) + s.c0, s.c1 - s.c0);
    }
}
