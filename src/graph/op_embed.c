/* embed: rows of a table by token id; position: rows of a table by position, added. Ids and
 * positions are checked by the caller before the run. Backward adds rows up in order; each
 * thread owns a range of the table. */
#include "graph/prog.h"

slm_val slm_emit_embed(slm_prog *p, const struct slm_weight *w, float scale)
{
    if (p->err.code || !slm_emit_weight(p, w, "embed"))
        return -1;
    slm_val out = slm_value_new(p, -1, w->cols, SLM_F32);
    struct node *n = slm_node_new(p, OP_embed, out, -1, -1);
    if (!n)
        return -1;
    n->w = w;
    n->f[0] = scale;
    return out;
}

void slm_op_embed_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                      int nth)
{
    const struct slm_weight *w = n->w;
    size_t lo, hi, cols = (size_t)w->cols;
    slm_split((size_t)run->rows, 1, ith, nth, &lo, &hi);
    for (size_t r = lo; r < hi; r++) {
        float *y = slm_row(p, n->out, (int)r);
        p->kern->to_f32[w->type](y, slm_weight_row(w, 0, run->ids[r]), cols);
        if (n->f[0] != 1.0f)
            p->kern->scale(y, y, n->f[0], cols);
    }
}

void slm_op_embed_bwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                      int nth)
{
    size_t lo, hi, cols = (size_t)n->w->cols;
    if (!n->gw)
        return;
    slm_split((size_t)n->w->rows, 1, ith, nth, &lo, &hi);
    for (int r = 0; r < run->rows; r++) {
        size_t id = (size_t)run->ids[r];
        if (id >= lo && id < hi)
            p->kern->axpy[SLM_F32](n->gw + id * cols, n->f[0], slm_grad_row(p, n->out, r),
                                   cols);
    }
}

slm_val slm_emit_position(slm_prog *p, slm_val x, const struct slm_weight *w)
{
    if (!slm_emit_ok(p, x, -1) || !slm_emit_plain(p, x, "position") ||
        !slm_emit_weight(p, w, "position"))
        return -1;
    if (w->cols != p->value[x].width)
        return slm_emit_fail(p, SLM_E_FORMAT, "%s: %d columns, want %d", w->name, w->cols,
                             p->value[x].width);
    slm_val out = slm_value_new(p, x, w->cols, SLM_F32);
    struct node *n = slm_node_new(p, OP_position, out, x, -1);
    if (n)
        n->w = w;
    slm_emit_scratch(p, 0, (size_t)w->cols * sizeof(float));
    return out;
}

void slm_op_position_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                         int nth)
{
    const struct slm_weight *w = n->w;
    size_t lo, hi, cols = (size_t)w->cols;
    float *row = slm_scratch_of(p, ith);
    slm_split((size_t)run->rows, 1, ith, nth, &lo, &hi);
    for (size_t r = lo; r < hi; r++) {
        p->kern->to_f32[w->type](row, slm_weight_row(w, 0, run->pos[r]), cols);
        p->kern->add(slm_row(p, n->out, (int)r), slm_row(p, n->in[0], (int)r), row, cols);
    }
}

void slm_op_position_bwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                         int nth)
{
    size_t lo, hi, cols = (size_t)n->w->cols;
    slm_split((size_t)n->w->rows, 1, ith, nth, &lo, &hi);
    for (int r = 0; r < run->rows && n->gw; r++) {
        size_t pos = (size_t)run->pos[r];
        if (pos >= lo && pos < hi)
            p->kern->axpy[SLM_F32](n->gw + pos * cols, 1.0f, slm_grad_row(p, n->out, r), cols);
    }
    struct slm_part s = slm_part_of(run->rows, (int)cols, ith, nth);
    for (int r = s.r0; r < s.r1; r++) {
        float *dx = slm_grad_row(p, n->in[0], r) + s.c0;
        p->kern->add(dx, dx, slm_grad_row(p, n->out, r) + s.c0, s.c1 - s.c0);
    }
}
