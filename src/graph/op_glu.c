/* glu: act(gate) * up, and act alone: the nonlinear half of a feed-forward block. */
#include "graph/prog.h"

slm_val slm_emit_glu(slm_prog *p, slm_val gate, slm_val up, enum slm_act act)
{
    if (!slm_emit_ok(p, gate, up) || up < 0)
        return -1;
    const struct value *g = &p->value[gate], *u = &p->value[up];
    if (g->width != u->width || g->per_token != u->per_token || g->gathered != u->gathered)
        return slm_emit_fail(p, SLM_E_FORMAT, "a gate %d wide over a value %d wide", g->width,
                             u->width);
    slm_val out = slm_value_new(p, gate, g->width, SLM_F32);
    struct node *n = slm_node_new(p, OP_glu, out, gate, up);
    if (n)
        n->i[0] = (int)act;
    return out;
}

void slm_op_glu_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                    int nth)
{
    struct slm_part s =
        slm_part_of(slm_value_rows(p, n->out, run), p->value[n->out].width, ith, nth);
    void (*fn)(float *, const float *, const float *, size_t) =
        n->i[0] == SLM_ACT_SILU ? p->kern->silu_mul : p->kern->gelu_mul;
    for (int r = s.r0; r < s.r1; r++)
        fn(slm_row(p, n->out, r) + s.c0, slm_row(p, n->in[0], r) + s.c0,
           slm_row(p, n->in[1], r) + s.c0, s.c1 - s.c0);
}

static void gate_back(slm_prog *p, const struct node *n, const struct slm_gate_back *b)
{
    if (n->i[0] == SLM_ACT_SILU)
        p->kern->silu_back(b);
    else
        p->kern->gelu_back(b);
}

void slm_op_glu_bwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                    int nth)
{
    struct slm_part s =
        slm_part_of(slm_value_rows(p, n->out, run), p->value[n->out].width, ith, nth);
    for (int r = s.r0; r < s.r1; r++) {
        struct slm_gate_back b = {.dg = slm_grad_row(p, n->in[0], r) + s.c0,
                                  .du = slm_grad_row(p, n->in[1], r) + s.c0,
                                  .dy = slm_grad_row(p, n->out, r) + s.c0,
                                  .g = slm_row(p, n->in[0], r) + s.c0,
                                  .u = slm_row(p, n->in[1], r) + s.c0,
                                  .n = s.c1 - s.c0};
        gate_back(p, n, &b);
    }
}

slm_val slm_emit_act(slm_prog *p, slm_val x, enum slm_act act)
{
    if (!slm_emit_ok(p, x, -1))
        return -1;
    slm_val out = slm_value_new(p, x, p->value[x].width, SLM_F32);
    struct node *n = slm_node_new(p, OP_act, out, x, -1);
    if (n)
        n->i[0] = (int)act;
    for (int i = 0; i < COLS; i++)
        p->ones[i] = 1.0f;
    return out;
}

void slm_op_act_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                    int nth)
{
    struct slm_part s =
        slm_part_of(slm_value_rows(p, n->out, run), p->value[n->out].width, ith, nth);
    void (*fn)(float *, const float *, const float *, size_t) =
        n->i[0] == SLM_ACT_SILU ? p->kern->silu_mul : p->kern->gelu_mul;
    for (int r = s.r0; r < s.r1; r++) {
        for (size_t c = s.c0; c < s.c1; c += COLS) {
            size_t w = s.c1 - c < COLS ? s.c1 - c : COLS;
            fn(slm_row(p, n->out, r) + c, slm_row(p, n->in[0], r) + c, p->ones, w);
        }
    }
}

void slm_op_act_bwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                    int nth)
{
    struct slm_part s =
        slm_part_of(slm_value_rows(p, n->out, run), p->value[n->out].width, ith, nth);
    for (int r = s.r0; r < s.r1; r++) {
        struct slm_gate_back b = {.dg = slm_grad_row(p, n->in[0], r) + s.c0,
                                  .dy = slm_grad_row(p, n->out, r) + s.c0,
                                  .g = slm_row(p, n->in[0], r) + s.c0,
                                  .n = s.c1 - s.c0};
        gate_back(p, n, &b);
    }
}
