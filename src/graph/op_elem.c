/* add, scale, softcap: element by element, over their input where the planner allows it. */
#include "graph/prog.h"

#include <string.h>

slm_val slm_emit_add(slm_prog *p, slm_val a, slm_val b)
{
    if (!slm_emit_ok(p, a, b) || b < 0)
        return -1;
    const struct value *x = &p->value[a], *y = &p->value[b];
    if (x->width != y->width || x->per_token != y->per_token || x->gathered != y->gathered)
        return slm_emit_fail(p, SLM_E_FORMAT, "adding values %d and %d wide", x->width,
                             y->width);
    slm_val out = slm_value_new(p, a, x->width, SLM_F32);
    slm_node_new(p, OP_add, out, a, b);
    return out;
}

void slm_op_add_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                    int nth)
{
    int rows = slm_value_rows(p, n->out, run);
    struct slm_part s = slm_part_of(rows, p->value[n->out].width, ith, nth);
    for (int r = s.r0; r < s.r1; r++)
        p->kern->add(slm_row(p, n->out, r) + s.c0, slm_row(p, n->in[0], r) + s.c0,
                     slm_row(p, n->in[1], r) + s.c0, s.c1 - s.c0);
}

void slm_op_add_bwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                    int nth)
{
    int rows = slm_value_rows(p, n->out, run);
    struct slm_part s = slm_part_of(rows, p->value[n->out].width, ith, nth);
    for (int i = 0; i < 2; i++) {
        for (int r = s.r0; r < s.r1; r++) {
            float *dx = slm_grad_row(p, n->in[i], r) + s.c0;
            const float *dy = slm_grad_row(p, n->out, r) + s.c0;
            if (n->fresh[i])
                memcpy(dx, dy, (s.c1 - s.c0) * sizeof *dx);
            else
                p->kern->add(dx, dx, dy, s.c1 - s.c0);
        }
    }
}

slm_val slm_emit_scale(slm_prog *p, slm_val x, float s)
{
    if (!slm_emit_ok(p, x, -1))
        return -1;
    slm_val out = slm_value_new(p, x, p->value[x].width, SLM_F32);
    struct node *n = slm_node_new(p, OP_scale, out, x, -1);
    if (n)
        n->f[0] = s;
    return out;
}

void slm_op_scale_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                      int nth)
{
    struct slm_part s =
        slm_part_of(slm_value_rows(p, n->out, run), p->value[n->out].width, ith, nth);
    for (int r = s.r0; r < s.r1; r++)
        p->kern->scale(slm_row(p, n->out, r) + s.c0, slm_row(p, n->in[0], r) + s.c0, n->f[0],
                       s.c1 - s.c0);
}

void slm_op_scale_bwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                      int nth)
{
    struct slm_part s =
        slm_part_of(slm_value_rows(p, n->out, run), p->value[n->out].width, ith, nth);
    for (int r = s.r0; r < s.r1; r++)
        p->kern->axpy[SLM_F32](slm_grad_row(p, n->in[0], r) + s.c0, n->f[0],
                               slm_grad_row(p, n->out, r) + s.c0, s.c1 - s.c0);
}

slm_val slm_emit_softcap(slm_prog *p, slm_val x, float cap)
{
    if (!slm_emit_ok(p, x, -1))
        return -1;
    slm_val out = slm_value_new(p, x, p->value[x].width, SLM_F32);
    struct node *n = slm_node_new(p, OP_softcap, out, x, -1);
    if (n)
        n->f[0] = cap;
    return out;
}

void slm_op_softcap_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                        int nth)
{
    struct slm_part s =
        slm_part_of(slm_value_rows(p, n->out, run), p->value[n->out].width, ith, nth);
    for (int r = s.r0; r < s.r1; r++)
        p->kern->softcap(slm_row(p, n->out, r) + s.c0, slm_row(p, n->in[0], r) + s.c0, n->f[0],
                         s.c1 - s.c0);
}

/* d/dx cap tanh(x / cap) = 1 - (y / cap)^2 */
void slm_op_softcap_bwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                        int nth)
{
    struct slm_part s =
        slm_part_of(slm_value_rows(p, n->out, run), p->value[n->out].width, ith, nth);
    for (int r = s.r0; r < s.r1; r++) {
        const float *y = slm_row(p, n->out, r), *dy = slm_grad_row(p, n->out, r);
        float *dx = slm_grad_row(p, n->in[0], r);
        for (size_t c = s.c0; c < s.c1; c++) {
            float t = y[c] / n->f[0];
            dx[c] += dy[c] * (1.0f - t * t);
        }
    }
}
