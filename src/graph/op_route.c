/* route: the k experts with the largest logits and their softmax; mix: the weighted sum of what
 * the chosen experts gave. Expert numbers lie behind the weights in the same row, as int32. */
#include "graph/prog.h"

#include <math.h>
#include <string.h>

slm_val slm_emit_route(slm_prog *p, slm_val logits, int k)
{
    if (!slm_emit_ok(p, logits, -1))
        return -1;
    if (k < 1 || k > p->value[logits].width)
        return slm_emit_fail(p, SLM_E_FORMAT, "%d experts chosen of %d", k,
                             p->value[logits].width);
    slm_val out = slm_value_new(p, logits, 2 * k, SLM_F32);
    struct node *n = slm_node_new(p, OP_route, out, logits, -1);
    if (n)
        n->i[0] = k;
    return out;
}

static int expert(const float *row, int k, int j)
{
    int e;
    memcpy(&e, row + k + j, sizeof e);
    return e;
}

static bool taken(const float *row, int k, int j, int e)
{
    for (int i = 0; i < j; i++)
        if (expert(row, k, i) == e)
            return true;
    return false;
}

void slm_op_route_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                      int nth)
{
    int k = n->i[0], experts = p->value[n->in[0]].width;
    size_t lo, hi;
    slm_split((size_t)slm_value_rows(p, n->out, run), 1, ith, nth, &lo, &hi);
    for (size_t r = lo; r < hi; r++) {
        const float *x = slm_row(p, n->in[0], (int)r);
        float *y = slm_row(p, n->out, (int)r);
        for (int j = 0; j < k; j++) {
            int best = -1;
            for (int e = 0; e < experts; e++)
                if (!taken(y, k, j, e) && (best < 0 || x[e] > x[best]))
                    best = e;
            memcpy(y + k + j, &best, sizeof best);
            y[j] = x[best];
        }
        p->kern->softmax(y, (size_t)k);
    }
}

void slm_op_route_bwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                      int nth)
{
    int k = n->i[0];
    size_t lo, hi;
    slm_split((size_t)slm_value_rows(p, n->out, run), 1, ith, nth, &lo, &hi);
    for (size_t r = lo; r < hi; r++) {
        const float *y = slm_row(p, n->out, (int)r), *dy = slm_grad_row(p, n->out, (int)r);
        float *dx = slm_grad_row(p, n->in[0], (int)r), sum = 0;
        for (int j = 0; j < k; j++)
            sum += y[j] * dy[j];
        for (int j = 0; j < k; j++)
            dx[expert(y, k, j)] += y[j] * (dy[j] - sum);
    }
}

slm_val slm_emit_mix(slm_prog *p, slm_val x, slm_val route)
{
    if (!slm_emit_ok(p, x, route) || route < 0)
        return -1;
    const struct value *v = &p->value[x], *s = &p->value[route];
    int k = s->width / 2;
    if (v->per_token != s->per_token * k || v->gathered != s->gathered)
        return slm_emit_fail(p, SLM_E_FORMAT, "mixing %d rows a token of %d experts",
                             v->per_token, k);
    slm_val out = slm_value_new(p, route, v->width, SLM_F32);
    struct node *n = slm_node_new(p, OP_mix, out, x, route);
    if (n)
        n->i[0] = k;
    return out;
}

void slm_op_mix_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                    int nth)
{
    int k = n->i[0];
    struct slm_part s =
        slm_part_of(slm_value_rows(p, n->out, run), p->value[n->out].width, ith, nth);
    for (int r = s.r0; r < s.r1; r++) {
        const float *w = slm_row(p, n->in[1], r);
        float *y = slm_row(p, n->out, r) + s.c0;
        p->kern->scale(y, slm_row(p, n->in[0], r * k) + s.c0, w[0], s.c1 - s.c0);
        for (int j = 1; j < k; j++)
            p->kern->axpy[SLM_F32](y, w[j], slm_row(p, n->in[0], r * k + j) + s.c0,
                                   s.c1 - s.c0);
    }
}

void slm_op_mix_bwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                    int nth)
{
    int k = n->i[0];
    size_t lo, hi, width = (size_t)p->value[n->out].width;
    slm_split((size_t)slm_value_rows(p, n->out, run), 1, ith, nth, &lo, &hi);
    for (size_t r = lo; r < hi; r++) {
        const float *w = slm_row(p, n->in[1], (int)r), *dy = slm_grad_row(p, n->out, (int)r);
        float *dw = slm_grad_row(p, n->in[1], (int)r);
        for (int j = 0; j < k; j++) {
            int i = (int)r * k + j;
            p->kern->axpy[SLM_F32](slm_grad_row(p, n->in[0], i), w[j], dy, width);
            dw[j] += p->kern->dot(dy, slm_row(p, n->in[0], i), width);
        }
    }
}
