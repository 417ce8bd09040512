/* cross_entropy: -log softmax(logits)[target] of each row, and their weighted sum, which one
 * thread adds up in order. What is common to the losses (head_loss computes the same without
 * whole logits) is here too. */
#include "graph/product.h"

#include <math.h>
#include <string.h>

float *slm_loss_rows(slm_prog *p, slm_val like)
{
    size_t rows = (size_t)slm_value_max_rows(p, &p->value[like]);
    p->row_loss = slm_arena_alloc_n(&p->arena, rows, sizeof(float));
    if (!p->row_loss)
        slm_emit_fail(p, SLM_E_NOMEM, "out of memory for the losses of %zu rows", rows);
    else
        memset(p->row_loss, 0, rows * sizeof(float));
    return p->row_loss;
}

float slm_loss_weight(const slm_prog *p, const struct slm_run *run, int row)
{
    return run->weight ? run->weight[row] : 1.0f / (float)p->loss_count;
}

/* max + log(sum exp(z - max)), z as it is */
float slm_loss_log_sum(const slm_prog *p, const float *z, size_t n)
{
    float top = p->kern->max(z, n), tile[COLS];
    double sum = 0;
    for (size_t c = 0; c < n; c += COLS) {
        size_t w = n - c < COLS ? n - c : COLS;
        memcpy(tile, z + c, w * sizeof *tile);
        sum += (double)p->kern->exp_sum(tile, top, w);
    }
    return top + (float)log(sum);
}

void slm_loss_begin(slm_prog *p, const struct slm_run *run, int rows, int ith)
{
    if (ith)
        return;
    p->loss_count = 0;
    for (int r = 0; r < rows; r++) {
        p->row_loss[r] = 0;
        p->loss_count += run->target && run->target[r] >= 0;
    }
}

void slm_loss_end(slm_prog *p, const struct slm_run *run, int rows, int ith)
{
    double sum = 0;
    if (ith)
        return;
    for (int r = 0; r < rows; r++) {
        if (!run->target || run->target[r] < 0)
            continue;
        sum += (double)p->row_loss[r] *
               (run->weight ? (double)run->weight[r] : 1.0 / (double)p->loss_count);
    }
    p->loss = sum;
}

slm_val slm_emit_cross_entropy(slm_prog *p, slm_val logits)
{
    if (!slm_emit_ok(p, logits, -1))
        return -1;
    slm_val out = slm_value_new(p, logits, 1, SLM_F32);
    struct node *n = slm_node_new(p, OP_cross_entropy, out, logits, -1);
    if (!n || !slm_loss_rows(p, logits))
        return -1;
    n->shared = true; /* threads meet: one adds up what all made */
    p->value[out].grad_on = false;
    slm_emit_scratch(p, 0, (size_t)p->value[logits].width * sizeof(float));
    return out;
}

void slm_op_loss_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                     int nth)
{
    size_t lo, hi, width = (size_t)p->value[n->in[0]].width;
    int rows = slm_value_rows(p, n->out, run);
    slm_loss_begin(p, run, rows, ith);
    slm_pool_barrier(p->rt->pool);
    slm_split((size_t)rows, 1, ith, nth, &lo, &hi);
    for (size_t r = lo; r < hi && run->target; r++) {
        const float *z = slm_row(p, n->in[0], (int)r);
        if (run->target[r] >= 0)
            p->row_loss[r] = slm_loss_log_sum(p, z, width) - z[run->target[r]];
    }
    slm_pool_barrier(p->rt->pool);
    slm_loss_end(p, run, rows, ith);
}

void slm_op_loss_bwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                     int nth)
{
    size_t lo, hi, width = (size_t)p->value[n->in[0]].width;
    float *copy = slm_scratch_of(p, ith);
    slm_split((size_t)slm_value_rows(p, n->out, run), 1, ith, nth, &lo, &hi);
    for (size_t r = lo; r < hi && p->loss_count; r++) {
        if (run->target[r] < 0)
            continue;
        float share = slm_loss_weight(p, run, (int)r), *dx = slm_grad_row(p, n->in[0], (int)r);
        memcpy(copy, slm_row(p, n->in[0], (int)r), width * sizeof *copy);
        p->kern->softmax(copy, width);
        p->kern->axpy[SLM_F32](dx, share, copy, width);
        dx[run->target[r]] -= share;
    }
}
