/* Other element types for matrices in memory: what a frozen base is trained on ("QLoRA"). A
 * matrix is rounded row by row into pages of its own, and the file's pages are let go as soon
 * as they are read, so that no more than one matrix is there twice. */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "kernels/kernels.h"
#include "model/model_room.h"

static bool at_an_end(const slm_model *m, int i)
{
    return &m->weight[i] == m->w[SLM_W_EMBED] || &m->weight[i] == m->w[SLM_W_OUT];
}

static size_t bits(enum slm_dtype t)
{
    return (size_t)slm_dtypes[t].bytes * 8 * 256 / (size_t)slm_dtypes[t].block;
}

enum fate { STAYS, NARROW, SMALL, CHANGES };

static enum fate fate_of(const slm_model *m, const struct slm_retype *o, int i)
{
    const struct slm_weight *w = &m->weight[i];
    if (!slm_model_rounds(m, i) || (!o->ends && at_an_end(m, i)) || w->type == o->type)
        return STAYS;
    if (bits(w->type) <= bits(o->type))
        return SMALL;
    return w->cols % slm_dtypes[o->type].block ? NARROW : CHANGES;
}

static size_t bytes_as(const struct slm_weight *w, enum slm_dtype t)
{
    return (size_t)w->parts * (size_t)w->rows * slm_row_bytes(t, (size_t)w->cols);
}

uint64_t slm_model_retype_bytes(const slm_model *m, const struct slm_retype *o)
{
    uint64_t n = 0;
    for (int i = 0; i < m->n_weights; i++)
        if (fate_of(m, o, i) == CHANGES)
            n += bytes_as(&m->weight[i], o->type);
    return n;
}

struct work {
    const slm_model *m;
    const struct slm_weight *w;
    enum slm_dtype type;
    uint8_t *out;
    float *row;     /* (threads, cols) */
    atomic_int bad; /* the first row that is not finite, plus 1 */
};

static bool all_finite(const float *x, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * 0;
    return sum == 0;
}

static void note(atomic_int *at, int row)
{
    int seen = atomic_load(at);
    while ((!seen || row + 1 < seen) && !atomic_compare_exchange_weak(at, &seen, row + 1)) {}
}

static void round_rows(int ith, int nth, void *arg)
{
    struct work *k = arg;
    const struct slm_weight *w = k->w;
    const struct slm_kern *kern = k->m->rt->kern;
    size_t cols = (size_t)w->cols, bytes = slm_row_bytes(k->type, cols), lo, hi;
    float *x = k->row + (size_t)ith * cols;
    slm_split((size_t)w->parts * (size_t)w->rows, 1, ith, nth, &lo, &hi);
    for (size_t r = lo; r < hi; r++) {
        const uint8_t *from = w->part[r / (size_t)w->rows] + r % (size_t)w->rows * w->stride;
        kern->to_f32[w->type](x, from, cols);
        if (!all_finite(x, cols)) {
            note(&k->bad, (int)r);
            return;
        }
        if (kern->quantize[k->type])
            kern->quantize[k->type](k->out + r * bytes, x, NULL, cols);
        else
            kern->from_f32[k->type](k->out + r * bytes, x, cols);
    }
}

/* The matrix gets its new bytes. */
static int settle(slm_model *m, struct work *k, int i, slm_err *err)
{
    struct slm_weight *w = &m->weight[i];
    const uint8_t **part = slm_arena_alloc_n(&m->arena, (size_t)w->parts, sizeof *part);
    if (!part)
        return slm_fail_mem(err, w->name, (size_t)w->parts * sizeof *part);
    size_t stride = slm_row_bytes(k->type, (size_t)w->cols);
    m->bytes -= bytes_as(w, w->type);
    m->bytes += bytes_as(w, k->type);
    for (int p = 0; p < w->parts; p++) {
        slm_source_forget(&m->src, w->part[p], (size_t)w->rows * w->stride);
        part[p] = k->out + (size_t)p * (size_t)w->rows * stride;
    }
    w->part = part;
    w->type = k->type;
    w->stride = stride;
    return 0;
}

static int change(slm_model *m, enum slm_dtype type, int i, slm_err *err)
{
    const struct slm_weight *w = &m->weight[i];
    struct work k = {.m = m, .w = w, .type = type};
    size_t bytes = bytes_as(w, type), threads = (size_t)slm_pool_threads(m->rt->pool);
    k.row = slm_alloc_n(m->rt, SLM_MEM_MODEL, threads * (size_t)w->cols, sizeof *k.row);
    k.out = k.row ? slm_pages_alloc(m->rt, SLM_MEM_MODEL, bytes) : NULL;
    int rc = k.out ? 0 : slm_fail_mem(err, w->name, bytes);
    if (!rc) { /* the model's from here on */
        m->retyped[m->n_retyped++] = (struct slm_model_pages){k.out, bytes};
        slm_pool_run(m->rt->pool, round_rows, &k);
    }
    if (!rc && k.bad)
        rc = slm_fail(err, SLM_E_NUMERIC, "%s: tensor %s: row %d holds NaN or infinity",
                      m->src.path, w->name, k.bad - 1);
    if (!rc)
        rc = settle(m, &k, i, err);
    slm_free(m->rt, k.row);
    return rc;
}

static int check(slm_model *m, const struct slm_retype *o, slm_err *err)
{
    const struct slm_kern *kern = m->rt->kern;
    if (slm_dtypes[o->type].block == 1 ||
        (!kern->quantize[o->type] && !kern->from_f32[o->type]))
        return slm_fail(err, SLM_E_ARG, "type %s: a base is not quantised to it",
                        slm_dtypes[o->type].name);
    size_t most = (size_t)(m->n_retyped + m->n_weights);
    struct slm_model_pages *own = slm_arena_alloc_n(&m->arena, most, sizeof *own);
    if (!own)
        return slm_fail_mem(err, "model", most * sizeof *own);
    if (m->n_retyped)
        memcpy(own, m->retyped, (size_t)m->n_retyped * sizeof *own);
    m->retyped = own;
    return 0;
}

static void report(const slm_model *m, const struct slm_retype *o)
{
    if (o->narrow)
        slm_log(m->rt, SLM_LOG_WARN,
                "%s: %d of %d matrices keep their type: their rows are no multiple of %d",
                m->src.path, o->narrow, o->narrow + o->small + o->changed,
                slm_dtypes[o->type].block);
    if (o->small)
        slm_log(m->rt, SLM_LOG_WARN,
                "%s: %d matrices keep their type, which takes no more bits than %s",
                m->src.path, o->small, slm_dtypes[o->type].name);
}

int slm_model_retype(slm_model *m, struct slm_retype *o, slm_err *err)
{
    uint64_t done = 0, total = slm_model_retype_bytes(m, o);
    int rc = check(m, o, err);
    o->changed = o->narrow = o->small = 0;
    for (int i = 0; i < m->n_weights && !rc; i++) {
        enum fate f = fate_of(m, o, i);
        o->narrow += f == NARROW;
        o->small += f == SMALL;
        if (f != CHANGES)
            continue;
        rc = change(m, o->type, i, err);
        o->changed += !rc;
        done += bytes_as(&m->weight[i], o->type);
        if (!rc && o->progress && o->progress(o->progress_arg, done, total))
            rc = slm_fail(err, SLM_E_CANCELLED, "quantisation stopped");
    }
    if (rc)
        return rc;
    report(m, o);
    return slm_model_describe(m, err);
}
