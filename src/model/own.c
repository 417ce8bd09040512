/* Weights in memory of the model's own: float32, writable, for learning. The tensors of the
 * file stay mapped but are let go of, so that a weight is not resident twice. */
#include <string.h>

#include "kernels/kernels.h"
#include "model/model_room.h"

struct slm_model_own {
    struct slm_model_own *next;
    void *data;
    size_t bytes;
};

static size_t room_of(const struct slm_weight *w)
{
    size_t n = (size_t)w->parts * (size_t)w->rows * (size_t)w->cols * sizeof(float);
    return (n + 63) / 64 * 64;
}

static bool asked(const slm_model *m, const uint8_t *which, int i)
{
    return (!which || which[i]) && !(m->writable && m->writable[i]);
}

uint64_t slm_model_unfreeze_bytes(const slm_model *m, const uint8_t *which)
{
    uint64_t n = 0;
    for (int i = 0; i < m->n_weights; i++)
        n += asked(m, which, i) ? room_of(&m->weight[i]) : 0;
    return n;
}

struct copy {
    const slm_model *m;
    const struct slm_weight *from;
    float *to;
};

static void copy_rows(int ith, int nth, void *arg)
{
    const struct copy *c = arg;
    const struct slm_weight *w = c->from;
    size_t lo, hi, cols = (size_t)w->cols, rows = (size_t)w->rows;
    slm_split((size_t)w->parts * rows, 1, ith, nth, &lo, &hi);
    for (size_t r = lo; r < hi; r++)
        c->m->rt->kern->to_f32[w->type](c->to + r * cols,
                                        w->part[r / rows] + r % rows * w->stride, cols);
}

/* Weight i moves to `to`. */
static int move(slm_model *m, int i, float *to, slm_err *err)
{
    struct slm_weight *w = &m->weight[i];
    const uint8_t **part = slm_arena_alloc_n(&m->arena, (size_t)w->parts, sizeof *part);
    if (!part)
        return slm_fail_mem(err, w->name, (size_t)w->parts * sizeof *part);
    struct copy c = {m, w, to};
    if (m->src.rt) /* a new model has no bytes yet: it is filled in its new place */
        slm_pool_run(m->rt->pool, copy_rows, &c);
    bool mapped = m->row[i]->kind != SLM_SLOT_HEADS && !m->src.image && m->src.rt;
    for (int k = 0; k < w->parts; k++) {
        if (mapped)
            slm_map_forget(w->part[k], (size_t)w->rows * w->stride);
        part[k] = (const uint8_t *)(to + (size_t)k * (size_t)w->rows * (size_t)w->cols);
    }
    w->part = part;
    w->type = SLM_F32;
    w->stride = (size_t)w->cols * sizeof(float);
    m->writable[i] = 1;
    return 0;
}

int slm_model_unfreeze(slm_model *m, const uint8_t *which, slm_err *err)
{
    uint64_t bytes = slm_model_unfreeze_bytes(m, which);
    if (!m->writable)
        m->writable = slm_arena_alloc(&m->arena, (size_t)m->n_weights);
    if (!m->writable)
        return slm_fail_mem(err, "weights", (size_t)m->n_weights);
    if (!bytes)
        return 0;
    struct slm_model_own *o = slm_arena_alloc(&m->arena, sizeof *o);
    if (!o)
        return slm_fail_mem(err, "weights", sizeof *o);
    o->data = slm_pages_alloc(m->rt, SLM_MEM_MODEL, (size_t)bytes);
    if (!o->data)
        return slm_fail_mem(err, "weights to learn", (size_t)bytes);
    o->bytes = (size_t)bytes;
    o->next = m->owned;
    m->owned = o;
    int rc = 0;
    for (size_t i = 0, at = 0; i < (size_t)m->n_weights && !rc; i++) {
        if (!asked(m, which, (int)i))
            continue;
        rc = move(m, (int)i, (float *)o->data + at, err);
        at += room_of(&m->weight[i]) / sizeof(float);
    }
    return rc;
}

float *slm_model_values(const slm_model *m, int i, int part)
{
    SLM_ASSERT(m->writable && m->writable[i]);
    return (float *)(uintptr_t)m->weight[i].part[part];
}

void slm_model_own_release(slm_model *m)
{
    for (struct slm_model_own *o = m->owned; o; o = o->next)
        slm_pages_free(m->rt, SLM_MEM_MODEL, o->data, o->bytes);
}
