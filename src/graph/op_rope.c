/* angles: cosines and sines of the run's positions, once for all layers; rope: rotates heads by
 * them (Su et al., arXiv 2104.09864); temper: the position-dependent temperature of queries. */
#include "graph/prog.h"

#include <math.h>
#include <string.h>

slm_val slm_emit_angles(slm_prog *p, const struct slm_angles *a)
{
    if (p->err.code)
        return -1;
    slm_val out = slm_value_new(p, -1, 2 * a->half, SLM_F32);
    struct node *n = slm_node_new(p, OP_angles, out, -1, -1);
    if (!n)
        return -1;
    p->value[out].grad_on = false;
    n->i[0] = a->half;
    n->f[0] = a->factor;
    n->table[0] = a->inv_freq[0];
    n->table[1] = a->inv_freq[1] ? a->inv_freq[1] : a->inv_freq[0];
    return out;
}

void slm_op_angles_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                       int nth)
{
    int half = n->i[0];
    struct slm_part s = slm_part_of(run->rows, half, ith, nth);
    for (int r = s.r0; r < s.r1; r++) {
        int set = run->rope_set ? run->rope_set[run->stream ? run->stream[r] : 0] : 0;
        float *cs = slm_row(p, n->out, r);
        for (size_t c = s.c0; c < s.c1; c++) {
            float angle = (float)run->pos[r] * n->table[set][c];
            cs[c] = cosf(angle) * n->f[0];
            cs[(size_t)half + c] = sinf(angle) * n->f[0];
        }
    }
}

slm_val slm_emit_rope(slm_prog *p, slm_val x, slm_val angles, int heads, bool pairs)
{
    if (!slm_emit_ok(p, x, angles) || angles < 0 || !slm_emit_plain(p, x, "rope"))
        return -1;
    int width = p->value[x].width;
    if (heads < 1 || width % heads || p->value[angles].width > width / heads)
        return slm_emit_fail(p, SLM_E_FORMAT,
                             "rope of %d columns in %d heads of %d columns in all",
                             p->value[angles].width, heads, width);
    slm_val out = slm_value_new(p, x, width, SLM_F32);
    struct node *n = slm_node_new(p, OP_rope, out, x, angles);
    if (!n)
        return -1;
    n->i[0] = heads;
    n->i[1] = pairs;
    slm_emit_scratch(p, 0, (size_t)p->value[angles].width * sizeof(float));
    return out;
}

void slm_op_rope_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                     int nth)
{
    size_t lo, hi, heads = (size_t)n->i[0], turned = (size_t)p->value[n->in[1]].width;
    size_t width = (size_t)p->value[n->out].width / heads;
    void (*fn)(float *, const float *, const float *, float, size_t) =
        n->i[1] ? p->kern->rope_pair : p->kern->rope_half;
    slm_split((size_t)run->rows * heads, 1, ith, nth, &lo, &hi);
    for (size_t i = lo; i < hi; i++) {
        int r = (int)(i / heads);
        float *y = slm_row(p, n->out, r) + i % heads * width;
        const float *x = slm_row(p, n->in[0], r) + i % heads * width;
        fn(y, x, slm_row(p, n->in[1], r), 1.0f, turned / 2);
        if (y != x)
            memcpy(y + turned, x + turned, (width - turned) * sizeof *y);
    }
}

/* A rotation's transpose is the rotation back. */
void slm_op_rope_bwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                     int nth)
{
    size_t lo, hi, heads = (size_t)n->i[0], turned = (size_t)p->value[n->in[1]].width;
    size_t width = (size_t)p->value[n->out].width / heads;
    void (*fn)(float *, const float *, const float *, float, size_t) =
        n->i[1] ? p->kern->rope_pair : p->kern->rope_half;
    slm_split((size_t)run->rows * heads, 1, ith, nth, &lo, &hi);
    for (size_t i = lo; i < hi; i++) {
        int r = (int)(i / heads);
        const float *dy = slm_grad_row(p, n->out, r) + i % heads * width;
        float *dx = slm_grad_row(p, n->in[0], r) + i % heads * width,
              *back = slm_scratch_of(p, ith);
        fn(back, dy, slm_row(p, n->in[1], r), -1.0f, turned / 2);
        p->kern->add(dx, dx, back, turned);
        p->kern->add(dx + turned, dx + turned, dy + turned, width - turned);
    }
}

slm_val slm_emit_temper(slm_prog *p, slm_val x, float beta, int orig)
{
    if (!slm_emit_ok(p, x, -1) || !slm_emit_plain(p, x, "temper"))
        return -1;
    if (orig < 1)
        return slm_emit_fail(p, SLM_E_FORMAT, "temperature by an original context of %d", orig);
    slm_val out = slm_value_new(p, x, p->value[x].width, SLM_F32);
    struct node *n = slm_node_new(p, OP_temper, out, x, -1);
    if (!n)
        return -1;
    n->f[0] = beta;
    n->i[0] = orig;
    return out;
}

static float temper_of(const struct node *n, int pos)
{
    return 1.0f + n->f[0] * logf(1.0f + (float)(pos / n->i[0]));
}

void slm_op_temper_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                       int nth)
{
    struct slm_part s = slm_part_of(run->rows, p->value[n->out].width, ith, nth);
    for (int r = s.r0; r < s.r1; r++)
        p->kern->scale(slm_row(p, n->out, r) + s.c0, slm_row(p, n->in[0], r) + s.c0,
                       temper_of(n, run->pos[r]), s.c1 - s.c0);
}

void slm_op_temper_bwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                       int nth)
{
    struct slm_part s = slm_part_of(run->rows, p->value[n->out].width, ith, nth);
    for (int r = s.r0; r < s.r1; r++)
        p->kern->axpy[SLM_F32](slm_grad_row(p, n->in[0], r) + s.c0, temper_of(n, run->pos[r]),
                               slm_grad_row(p, n->out, r) + s.c0, s.c1 - s.c0);
}
