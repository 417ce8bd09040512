/* norm: RMS (Zhang and Sennrich, arXiv 1910.07467) or LayerNorm (arXiv 1607.06450), of whole
 * rows or of each head by itself. A row's sum belongs to one thread. */
#include "graph/prog.h"

#include <math.h>

enum { I_KIND, I_HEADS, I_OWN }; /* node.i: kind, heads, each head has weights of its own */
enum { F_EPS, F_SHIFT };

static bool vector_fits(slm_prog *p, const struct slm_weight *w, int heads, int width)
{
    if (!w || (w->cols == width && (w->rows == 1 || w->rows == heads)))
        return true;
    slm_emit_fail(p, SLM_E_FORMAT, "%s: %d x %d, want %d x %d", w->name, w->rows, w->cols,
                  heads, width);
    return false;
}

slm_val slm_emit_norm(slm_prog *p, slm_val x, const struct slm_norm *d)
{
    if (!slm_emit_ok(p, x, -1))
        return -1;
    int all = p->value[x].width;
    if (d->heads < 1 || all % d->heads)
        return slm_emit_fail(p, SLM_E_FORMAT, "norm of %d heads in %d columns", d->heads, all);
    if (!vector_fits(p, d->w, d->heads, all / d->heads) ||
        !vector_fits(p, d->b, d->heads, all / d->heads))
        return -1;
    if (d->w && d->b && d->w->rows != d->b->rows)
        return slm_emit_fail(p, SLM_E_FORMAT, "%s: %d rows of bias for %d", d->b->name,
                             d->b->rows, d->w->rows);
    if (d->kind == SLM_NORM_LAYER && (d->shift != 0.0f || !d->w))
        return slm_emit_fail(p, SLM_E_UNSUPPORTED, "LayerNorm %s",
                             d->w ? "with shifted weights" : "without weights");
    const float *w = d->w ? slm_emit_vector(p, d->w) : NULL,
                *b = d->b ? slm_emit_vector(p, d->b) : NULL;
    slm_val out = slm_value_new(p, x, all, SLM_F32);
    struct node *n = slm_node_new(p, OP_norm, out, x, -1);
    if (!n)
        return -1;
    n->w = d->w;
    n->b = d->b;
    n->vec = w;
    n->vec2 = b;
    n->i[I_KIND] = (int)d->kind;
    n->i[I_HEADS] = d->heads;
    n->i[I_OWN] = (d->w && d->w->rows > 1) || (d->b && d->b->rows > 1);
    n->f[F_EPS] = d->eps;
    n->f[F_SHIFT] = d->shift;
    if (p->o.train) {
        const struct value *y = &p->value[out];
        slm_emit_scratch(p, (size_t)slm_value_max_rows(p, y) * d->heads * 2 * sizeof(float), 0);
    }
    return out;
}

void slm_op_norm_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                     int nth)
{
    int heads = n->i[I_HEADS];
    size_t lo, hi, width = (size_t)(p->value[n->out].width / heads);
    slm_split((size_t)slm_value_rows(p, n->out, run) * heads, 1, ith, nth, &lo, &hi);
    for (size_t i = lo; i < hi; i++) {
        int r = (int)(i / heads), h = (int)(i % heads);
        float *y = slm_row(p, n->out, r) + h * width;
        const float *x = slm_row(p, n->in[0], r) + h * width;
        size_t own = n->i[I_OWN] ? h * width : 0;
        float stat[2];
        if (n->i[I_KIND] == SLM_NORM_RMS)
            p->kern->norm_rms(y, x, n->vec ? n->vec + own : NULL, n->f[F_SHIFT], n->f[F_EPS],
                              width);
        else
            p->kern->norm_layer(y, x, n->vec + own, n->vec2 ? n->vec2 + own : NULL, n->f[F_EPS],
                                width, stat);
    }
}

/* stat: mean and 1 / deviation of a row, as forward had them */
static void row_stat(const slm_prog *p, const struct node *n, const float *x, size_t width,
                     float *stat)
{
    double mean = 0, sq = 0;
    stat[0] = 0;
    if (n->i[I_KIND] == SLM_NORM_RMS) {
        sq = (double)p->kern->dot(x, x, width);
    } else {
        for (size_t c = 0; c < width; c++)
            mean += (double)x[c];
        mean /= (double)width;
        for (size_t c = 0; c < width; c++)
            sq += ((double)x[c] - mean) * ((double)x[c] - mean);
        stat[0] = (float)mean;
    }
    stat[1] = (float)(1.0 / sqrt(sq / (double)width + (double)n->f[F_EPS]));
}

/* Gradients of the weights: a thread owns columns and adds rows up in order. */
static void vector_back(slm_prog *p, const struct node *n, int rows, int ith, int nth)
{
    int heads = n->i[I_HEADS];
    const float *stat = slm_scratch(p);
    size_t width = (size_t)(p->value[n->out].width / heads), lo, hi;
    slm_split(width, 16, ith, nth, &lo, &hi);
    for (int i = 0; i < rows * heads; i++) {
        int r = i / heads;
        size_t at = (size_t)(i % heads) * width + lo, own = (n->i[I_OWN] ? at : lo);
        const float *x = slm_row(p, n->in[0], r) + at, *dy = slm_grad_row(p, n->out, r) + at;
        if (n->gw)
            p->kern->norm_gain(n->gw + own, dy, x, stat[2 * i], stat[2 * i + 1], hi - lo);
        if (n->gb)
            p->kern->add(n->gb + own, n->gb + own, dy, hi - lo);
    }
}

void slm_op_norm_bwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                     int nth)
{
    int heads = n->i[I_HEADS], rows = slm_value_rows(p, n->out, run);
    size_t lo, hi, width = (size_t)(p->value[n->out].width / heads);
    float *stat = slm_scratch(p); /* (rows * heads, 2) */
    slm_split((size_t)rows * heads, 1, ith, nth, &lo, &hi);
    for (size_t i = lo; i < hi; i++) {
        int r = (int)(i / heads);
        size_t at = i % heads * width;
        const float *x = slm_row(p, n->in[0], r) + at;
        row_stat(p, n, x, width, stat + 2 * i);
        struct slm_norm_back row = {.dx = slm_grad_row(p, n->in[0], r) + at,
                                    .x = x,
                                    .dy = slm_grad_row(p, n->out, r) + at,
                                    .w = n->vec ? n->vec + (n->i[I_OWN] ? at : 0) : NULL,
                                    .shift = n->f[F_SHIFT],
                                    .mean = stat[2 * i],
                                    .r = stat[2 * i + 1],
                                    .centred = n->i[I_KIND] == SLM_NORM_LAYER,
                                    .n = width};
        p->kern->norm_back(&row);
    }
    slm_pool_barrier(p->rt->pool);
    if (n->gw || n->gb)
        vector_back(p, n, rows, ith, nth);
}
