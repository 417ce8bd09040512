/* Rows of a model's weights with an adapter in them, one at a time, so that merging needs no
 * second copy of the model; and the lengths of rows that DoRA starts from. */
#include "adapter/adapter_in.h"
#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

static bool replaces(const slm_adapter *a, const struct slm_adapter_whole *h, int weight,
                     bool embed)
{
    if (h->weight != weight)
        return false;
    return a->m->row[weight]->slot != SLM_W_EMBED || (embed ? h->embed : h->head);
}

static void add_low(const slm_adapter *a, const struct slm_adapter_part *p, int e, int row,
                    float *x)
{
    const float *la = (const float *)p->a.part[e], *lb = (const float *)p->b.part[e];
    float s = p->scale * *p->factor;
    int r = p->a.rows;
    if (p->embed) { /* row is a token: B times its column of A */
        for (int d = 0; d < p->rows; d++) {
            float sum = 0;
            for (int k = 0; k < r; k++)
                sum += lb[(size_t)d * (size_t)r + (size_t)k] *
                       la[(size_t)k * (size_t)p->a.cols + (size_t)row];
            x[d] += s * sum;
        }
        return;
    }
    const float *b = lb + (size_t)(row - p->row0) * (size_t)r;
    for (int k = 0; k < r; k++)
        a->m->rt->kern->axpy[SLM_F32](x, s * b[k], la + (size_t)k * (size_t)p->a.cols,
                                      (size_t)p->a.cols);
}

static double length(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

void slm_adapter_row(const slm_adapter *a, int weight, bool embed, int e, int row, float *x)
{
    size_t cols = (size_t)a->m->weight[weight].cols;
    for (int i = 0; i < a->n_whole; i++)
        if (replaces(a, &a->whole[i], weight, embed))
            memcpy(x, a->whole[i].w.part[e] + (size_t)row * a->whole[i].w.stride,
                   cols * sizeof *x);
    int lo = embed ? a->first[a->m->n_weights] : a->first[weight],
        hi = embed ? a->n_parts : a->first[weight + 1];
    for (int i = lo; i < hi; i++) {
        const struct slm_adapter_part *p = &a->part[i];
        if (p->weight != weight || (!embed && (row < p->row0 || row >= p->row0 + p->rows)))
            continue;
        add_low(a, p, e, row, x);
        if (!p->m.part)
            continue;
        float gain =
            (float)((double)((const float *)p->m.part[0])[row - p->row0] / length(x, cols));
        for (size_t k = 0; k < cols; k++)
            x[k] *= gain;
    }
}

bool slm_adapter_touches(const slm_adapter *a, int weight, bool embed)
{
    for (int i = 0; i < a->n_whole; i++)
        if (replaces(a, &a->whole[i], weight, embed))
            return true;
    if (!embed)
        return a->first[weight + 1] > a->first[weight];
    for (int i = a->first[a->m->n_weights]; i < a->n_parts; i++)
        if (a->part[i].weight == weight)
            return true;
    return false;
}

/* ---- merging ---- */

static void patch_row(const void *arg, int weight, int part, int row, float *x)
{
    const slm_adapter *a = arg;
    slm_adapter_row(a, weight, a->m->row[weight]->slot == SLM_W_EMBED, part, row, x);
}

static bool patch_touches(const void *arg, int weight)
{
    const slm_adapter *a = arg;
    return slm_adapter_touches(a, weight, a->m->row[weight]->slot == SLM_W_EMBED);
}

int slm_adapter_unties(const slm_adapter *a)
{
    const slm_model *m = a->m;
    const struct slm_weight *e = m->w[SLM_W_EMBED];
    if (m->w[SLM_W_OUT] != e)
        return 0;
    return slm_adapter_touches(a, e->id, true) || slm_adapter_touches(a, e->id, false);
}

int slm_adapter_merge(const slm_adapter *a, slm_model *m, slm_err *err)
{
    m->patch = (struct slm_patch){0};
    if (!a)
        return 0;
    if (a->m != m)
        return slm_fail(err, SLM_E_ARG, "an adapter of another model");
    if (slm_adapter_unties(a))
        return slm_fail(err, SLM_E_ARG,
                        "%s: the adapter changes the embedding or the output, which are one "
                        "matrix: open the model untied",
                        m->src.path);
    m->patch = (struct slm_patch){patch_row, patch_touches, a};
    return 0;
}

/* ---- lengths ---- */

struct lengths {
    const slm_adapter *a;
    const struct slm_adapter_part *p;
    bool with;
    float *out, *row; /* row: (threads, cols) */
};

static void measure(int ith, int nth, void *arg)
{
    const struct lengths *j = arg;
    const struct slm_weight *w = &j->a->m->weight[j->p->weight];
    size_t cols = (size_t)w->cols, lo, hi;
    float *x = j->row + (size_t)ith * cols;
    slm_split((size_t)j->p->rows, 1, ith, nth, &lo, &hi);
    for (size_t r = lo; r < hi; r++) {
        int row = j->p->row0 + (int)r;
        j->a->m->rt->kern->to_f32[w->type](x, w->part[0] + (size_t)row * w->stride, cols);
        if (j->with)
            add_low(j->a, j->p, 0, row, x);
        j->out[r] = (float)length(x, cols);
    }
}

int slm_adapter_lengths(const slm_adapter *a, const struct slm_adapter_part *p, bool with,
                        float *out, slm_err *err)
{
    struct slm_pool *pool = a->m->rt->pool;
    size_t n = (size_t)slm_pool_threads(pool) * (size_t)a->m->weight[p->weight].cols;
    struct lengths j = {a, p, with, out, NULL};
    j.row = slm_alloc_n(a->m->rt, SLM_MEM_MODEL, n, sizeof *j.row);
    if (!j.row)
        return slm_fail_mem(err, "lengths of rows", n * sizeof *j.row);
    slm_pool_run(pool, measure, &j);
    slm_free(a->m->rt, j.row);
    return 0;
}
