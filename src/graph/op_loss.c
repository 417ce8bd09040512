/* cross_entropy: the mean of -log softmax(logits)[target] over targets that are not negative.
 * Each row's log of the sum is kept for the way back; one thread adds the rows up, in order. */
#include "graph/prog.h"

#include <string.h>

slm_val slm_emit_cross_entropy(slm_prog *p, slm_val logits)
{
    if (!slm_emit_ok(p, logits, -1))
        return -1;
    slm_val out = slm_value_new(p, logits, 1, SLM_F32);
    struct node *n = slm_node_new(p, OP_cross_entropy, out, logits, -1);
    if (!n)
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
    float *copy = slm_scratch_of(p, ith);
    slm_split((size_t)rows, 1, ith, nth, &lo, &hi);
    for (size_t r = lo; r < hi && run->target; r++) {
        if (run->target[r] < 0)
            continue;
        memcpy(copy, slm_row(p, n->in[0], (int)r), width * sizeof *copy);
        *slm_row(p, n->out, (int)r) = p->kern->softmax(copy, width);
    }
    slm_pool_barrier(p->rt->pool);
    if (ith)
        return;
    double sum = 0;
    p->loss_count = 0;
    for (int r = 0; r < rows && run->target; r++) {
        if (run->target[r] < 0)
            continue;
        sum += (double)*slm_row(p, n->out, r) - (double)slm_row(p, n->in[0], r)[run->target[r]];
        p->loss_count++;
    }
    p->loss = p->loss_count ? sum / p->loss_count : 0;
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
        float share = p->seed / (float)p->loss_count, *dx = slm_grad_row(p, n->in[0], (int)r);
        memcpy(copy, slm_row(p, n->in[0], (int)r), width * sizeof *copy);
        p->kern->softmax(copy, width);
        p->kern->axpy[SLM_F32](dx, share, copy, width);
        dx[run->target[r]] -= share;
    }
}
