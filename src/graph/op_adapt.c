/* The rarer parts of adapters: the low-rank addition to an embedding, and DoRA's magnitudes,
 * which set the length of each row of an adapted matrix. */
#include "graph/product.h"

#include <math.h>
#include <string.h>

enum { F_SCALE };                 /* node.f */
enum { I_ROW0, I_KNOWN, I_PART }; /* node.i of magnitude: the lengths are known */

static float factor_of(const struct node *n)
{
    return n->f[F_SCALE] * (n->lora.factor ? *n->lora.factor : 1.0f);
}

static const float *matrix(const struct slm_weight *w)
{
    return (const float *)(const void *)w->part[0];
}

/* ---- embedding ---- */

slm_val slm_emit_lora_embed(slm_prog *p, slm_val y, const struct slm_lora *l)
{
    if (!slm_emit_ok(p, y, -1) || !slm_emit_weight(p, l->a, "adapter") ||
        !slm_emit_weight(p, l->b, "adapter"))
        return -1;
    if (l->b->rows != p->value[y].width || l->b->cols != l->a->rows || l->a->type != SLM_F32 ||
        l->b->type != SLM_F32)
        return slm_emit_fail(p, SLM_E_FORMAT, "%s: adapter of %d x %d and %d x %d", l->a->name,
                             l->b->rows, l->b->cols, l->a->rows, l->a->cols);
    slm_val out = slm_emit_view(p, y, 0, p->value[y].width);
    struct node *n = slm_node_new(p, OP_lora_embed, out, y, -1);
    if (!n)
        return -1;
    n->lora = *l;
    n->f[F_SCALE] = l->scale;
    slm_emit_scratch(p, 0, (size_t)l->a->rows * sizeof(float));
    return out;
}

/* Column `id` of A, times the scale. */
static float *column(const slm_prog *p, const struct node *n, int id, int ith)
{
    size_t rank = (size_t)n->lora.a->rows, all = (size_t)n->lora.a->cols;
    float *low = slm_scratch_of(p, ith), s = factor_of(n);
    for (size_t k = 0; k < rank; k++)
        low[k] = s * matrix(n->lora.a)[k * all + (size_t)id];
    return low;
}

void slm_op_lora_embed_fwd(slm_prog *p, const struct node *n, const struct slm_run *run,
                           int ith, int nth)
{
    size_t lo, hi, rank = (size_t)n->lora.a->rows;
    slm_split((size_t)n->lora.b->rows, 16, ith, nth, &lo, &hi);
    for (int r = 0; r < run->rows && !run->plain; r++) {
        const float *low = column(p, n, run->ids[r], ith);
        float *y = slm_row(p, n->out, r);
        for (size_t j = lo; j < hi; j++)
            y[j] += p->kern->dot(matrix(n->lora.b) + j * rank, low, rank);
    }
}

void slm_op_lora_embed_bwd(slm_prog *p, const struct node *n, const struct slm_run *run,
                           int ith, int nth)
{
    size_t rank = (size_t)n->lora.a->rows, all = (size_t)n->lora.a->cols,
           wide = (size_t)n->lora.b->rows, lo, hi;
    if (run->plain)
        return;
    slm_split(wide, 16, ith, nth, &lo, &hi);
    for (int r = 0; r < run->rows && n->glb; r++) {
        const float *low = column(p, n, run->ids[r], ith), *dy = slm_grad_row(p, n->out, r);
        for (size_t j = lo; j < hi; j++)
            p->kern->axpy[SLM_F32](n->glb + j * rank, dy[j], low, rank);
    }
    slm_split(rank, 1, ith, nth, &lo, &hi);
    for (int r = 0; r < run->rows && n->ga; r++) {
        const float *dy = slm_grad_row(p, n->out, r);
        for (size_t k = lo; k < hi; k++) {
            float sum = 0.0f;
            for (size_t j = 0; j < wide; j++)
                sum += dy[j] * matrix(n->lora.b)[j * rank + k];
            n->ga[k * all + (size_t)run->ids[r]] += factor_of(n) * sum;
        }
    }
}

/* ---- magnitudes ---- */

slm_val slm_emit_magnitude(slm_prog *p, slm_val y, const struct slm_dora *d)
{
    const struct slm_lora *l = &d->lora;
    if (!slm_emit_ok(p, y, -1) || !slm_emit_weight(p, d->m, "magnitude") ||
        !slm_emit_weight(p, d->w, "magnitude"))
        return -1;
    int width = p->value[y].width;
    if (d->m->rows != 1 || d->m->cols != l->b->rows || d->m->type != SLM_F32 || l->row0 < 0 ||
        l->row0 > width - l->b->rows || d->w->rows != width || d->w->parts != 1)
        return slm_emit_fail(p, SLM_E_FORMAT, "%s: %d magnitudes for rows %d to %d of %d",
                             d->m->name, d->m->cols, l->row0, l->row0 + l->b->rows, width);
    slm_val out = slm_value_new(p, y, width, SLM_F32);
    float *c = slm_arena_alloc_n(&p->arena, (size_t)width * 2, sizeof *c);
    struct node *n = slm_node_new(p, OP_magnitude, out, y, -1);
    if (!n || !c)
        return n ? slm_emit_fail(p, SLM_E_NOMEM, "%s: out of memory", d->m->name) : -1;
    for (int i = 0; i < width; i++)
        c[i] = 1.0f;
    n->w = d->w;
    n->b = d->m;
    n->lora = *l;
    n->frozen = true; /* its gradient is of m alone */
    n->vec = c;
    n->i[I_ROW0] = l->row0;
    n->f[F_SCALE] = l->scale;
    n->shared = true;
    slm_emit_scratch(p, 0, (size_t)d->w->cols * sizeof(float));
    return out;
}

/* c = m / length of each row of W + s B A; behind c lie 1 / length. Lengths change as A and B
 * learn: each run of training computes them, others when the scale has changed. */
static void lengths(slm_prog *p, const struct node *n, int ith, int nth)
{
    const struct slm_weight *w = n->w, *a = n->lora.a, *b = n->lora.b;
    float *c = (float *)(uintptr_t)n->vec, *row = slm_scratch_of(p, ith), s = factor_of(n);
    size_t lo, hi, cols = (size_t)w->cols;
    slm_split((size_t)b->rows, 16, ith, nth, &lo, &hi);
    for (size_t j = lo; j < hi; j++) {
        int at = n->i[I_ROW0] + (int)j;
        p->kern->to_f32[w->type](row, slm_weight_row(w, 0, at), cols);
        for (int k = 0; k < a->rows; k++)
            p->kern->axpy[SLM_F32](row, s * matrix(b)[j * (size_t)a->rows + k],
                                   slm_weight_row(a, 0, k), cols);
        float one = 1.0f / sqrtf(p->kern->dot(row, row, cols));
        c[at] = matrix(n->b)[j] * one;
        c[w->rows + at] = one;
    }
}

void slm_op_magnitude_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                          int nth)
{
    struct node *own = &p->node[n - p->node];
    int width = p->value[n->out].width;
    float s = factor_of(n);
    struct slm_part part = slm_part_of(slm_value_rows(p, n->out, run), width, ith, nth);
    bool stale = p->o.train || !n->i[I_KNOWN] || n->f[1] != s;
    slm_pool_barrier(p->rt->pool); /* all have read what is known */
    if (stale && !run->plain) {
        lengths(p, n, ith, nth);
        slm_pool_barrier(p->rt->pool);
        if (ith == 0) {
            own->i[I_KNOWN] = 1;
            own->f[1] = s;
        }
    }
    for (int r = part.r0; r < part.r1; r++) {
        float *y = slm_row(p, n->out, r) + part.c0;
        const float *x = slm_row(p, n->in[0], r) + part.c0;
        if (!run->plain)
            p->kern->mul(y, x, n->vec + part.c0, part.c1 - part.c0);
        else if (y != x)
            memcpy(y, x, (part.c1 - part.c0) * sizeof *y);
    }
}

void slm_op_magnitude_bwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                          int nth)
{
    int rows = slm_value_rows(p, n->out, run), width = p->value[n->out].width;
    size_t lo, hi, row0 = (size_t)n->i[I_ROW0];
    slm_split((size_t)width, 16, ith, nth, &lo, &hi);
    for (int r = 0; r < rows; r++) {
        const float *dy = slm_grad_row(p, n->out, r), *x = slm_row(p, n->in[0], r);
        float *dx = slm_grad_row(p, n->in[0], r);
        for (size_t j = lo; j < hi; j++)
            dx[j] += dy[j] * (run->plain ? 1.0f : n->vec[j]);
        for (size_t j = lo; j < hi && n->gb && !run->plain; j++)
            if (j >= row0 && j < row0 + (size_t)n->lora.b->rows)
                n->gb[j - row0] += dy[j] * x[j] * n->vec[(size_t)width + j];
    }
}
