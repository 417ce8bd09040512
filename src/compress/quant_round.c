/* Rounding rows and measuring what that cost. How a type is rounded best is the kernels'
 * affair; here is which kernel, and the one definition of error that everything else quotes. */
#include "compress/quant_plan.h"

#include <math.h>

bool slm_quant_can(const slm_runtime *rt, enum slm_dtype t)
{
    bool number = slm_dtypes[t].block > 1 || t == SLM_F32 || t == SLM_F16 || t == SLM_BF16;
    return number && slm_dtypes[t].gguf >= 0 && t != SLM_Q8_K && t != SLM_Q8_1 &&
           (rt->kern->quantize[t] || rt->kern->from_f32[t]);
}

void slm_quant_round(const struct slm_kern *kern, enum slm_dtype t, void *out, const float *x,
                     const float *weight, size_t n)
{
    if (kern->quantize[t])
        kern->quantize[t](out, x, weight, n);
    else
        kern->from_f32[t](out, x, n);
}

struct slm_miss slm_quant_miss(const float *x, const float *back, const float *weight, size_t n)
{
    struct slm_miss m = {0};
    for (size_t i = 0; i < n; i++) {
        double d = (double)x[i] - (double)back[i], w = weight ? (double)weight[i] : 1;
        m.plain += d * d;
        m.weighted += w * d * d;
        m.whole += w * (double)x[i] * (double)x[i];
    }
    return m;
}

/* ---- a sample of a weight's rows in many types ---- */

#define SAMPLE ((size_t)1 << 16) /* numbers: within a few per cent of the whole */
#define SAMPLE_ROWS 8

    struct sample {
    const slm_quant *q;
    int weight, n_types;
    const enum slm_dtype *type;
    size_t rows, cols;     /* of the sample */
    struct slm_miss *miss; /* (rows, types) */
    float *room;           /* (threads, 3 cols): x, back, and the rounded row */
};

/* Rows stand evenly over all parts. */
static void sample_rows(int ith, int nth, void *arg)
{
    const struct sample *s = arg;
    const struct slm_weight *w = &s->q->m->weight[s->weight];
    const float *weight = s->q->row[s->weight].weight;
    const struct slm_kern *kern = s->q->rt->kern;
    float *x = s->room + (size_t)ith * 3 * s->cols, *back = x + s->cols;
    size_t lo, hi, all = (size_t)w->rows * (size_t)w->parts;
    slm_split(s->rows, 1, ith, nth, &lo, &hi);
    for (size_t r = lo; r < hi; r++) {
        size_t at = all * (2 * r + 1) / (2 * s->rows), part = at / (size_t)w->rows;
        const float *imp = weight ? weight + part * s->cols : NULL;
        slm_model_row(s->q->m, s->weight, (int)part, (int)(at % (size_t)w->rows), x);
        for (int t = 0; t < s->n_types; t++) {
            void *out = back + s->cols;
            slm_quant_round(kern, s->type[t], out, x, imp, s->cols);
            kern->to_f32[s->type[t]](back, out, s->cols);
            s->miss[r * (size_t)s->n_types + (size_t)t] = slm_quant_miss(x, back, imp, s->cols);
        }
    }
}

int slm_quant_measure(const slm_quant *q, int i, const enum slm_dtype *t, int n, double *error,
                      slm_err *err)
{
    const struct slm_weight *w = &q->m->weight[i];
    size_t all = (size_t)w->rows * (size_t)w->parts,
           threads = (size_t)slm_pool_threads(q->rt->pool);
    struct sample s = {.q = q, .weight = i, .n_types = n, .type = t, .cols = (size_t)w->cols};
    s.rows = SAMPLE / s.cols > SAMPLE_ROWS ? SAMPLE / s.cols : SAMPLE_ROWS;
    s.rows = s.rows < all ? s.rows : all;
    s.miss = slm_alloc_n(q->rt, SLM_MEM_USER, s.rows * (size_t)n, sizeof *s.miss);
    s.room = slm_alloc_n(q->rt, SLM_MEM_USER, threads * 3 * s.cols, sizeof *s.room);
    int rc = s.miss && s.room ? 0 : slm_fail_mem(err, w->name, s.cols * sizeof *s.room);
    if (!rc)
        slm_pool_run(q->rt->pool, sample_rows, &s);
    for (int k = 0; k < n && !rc; k++) {
        double miss = 0, whole = 0;
        for (size_t r = 0; r < s.rows; r++) {
            const struct slm_miss *m = &s.miss[r * (size_t)n + (size_t)k];
            miss += m->weighted;
            whole += m->whole;
        }
        error[k] = whole > 0 ? miss / whole : 0;
        if (!isfinite(whole))
            rc = slm_fail(err, SLM_E_NUMERIC, "%s: tensor %s holds numbers that are not finite",
                          q->m->src.path, w->name);
        else if (!isfinite(miss))
            error[k] = HUGE_VAL; /* out of the type's range */
    }
    slm_free(q->rt, s.miss);
    slm_free(q->rt, s.room);
    return rc;
}
