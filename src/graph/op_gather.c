/* gather: the rows that something is wanted of. What follows has n_out rows. */
#include "graph/prog.h"

#include <string.h>

slm_val slm_emit_gather(slm_prog *p, slm_val x)
{
    if (!slm_emit_ok(p, x, -1) || !slm_emit_plain(p, x, "gather"))
        return -1;
    slm_val out = slm_value_new(p, x, p->value[x].width, SLM_F32);
    struct node *n = slm_node_new(p, OP_gather, out, x, -1);
    if (n)
        p->value[out].gathered = true;
    return out;
}

static int source(const struct slm_run *run, int i) { return run->out ? run->out[i] : i; }

void slm_op_gather_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                       int nth)
{
    struct slm_part s = slm_part_of(run->n_out, p->value[n->out].width, ith, nth);
    for (int r = s.r0; r < s.r1 && s.c0 < s.c1; r++)
        memcpy(slm_row(p, n->out, r) + s.c0, slm_row(p, n->in[0], source(run, r)) + s.c0,
               (s.c1 - s.c0) * sizeof(float));
}

void slm_op_gather_bwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                       int nth)
{
    size_t lo, hi; /* columns: a row may be asked for twice */
    slm_split((size_t)p->value[n->out].width, COLS, ith, nth, &lo, &hi);
    for (int r = 0; r < run->n_out; r++) {
        float *dx = slm_grad_row(p, n->in[0], source(run, r)) + lo;
        p->kern->add(dx, dx, slm_grad_row(p, n->out, r) + lo, hi - lo);
    }
}
