/* Loss and gradients of one sequence by the reverse walk of the same program that generates,
 * written under Hugging Face names: the form in which they are held against PyTorch. */
#include "model/model_room.h"

#include <string.h>

struct grads {
    const slm_model *m;
    float **of; /* (n_weights) float32 (parts, rows, cols) */
    slm_prog *prog;
    slm_val logits;
};

static size_t elements(const struct slm_weight *w)
{
    return (size_t)w->parts * (size_t)w->rows * (size_t)w->cols;
}

static int build(struct grads *g, int n, slm_err *err)
{
    struct slm_prog_opts o = {.max_rows = n, .max_out = n, .train = true};
    int rc = slm_prog_new(&g->prog, g->m->rt, &o, err);
    if (rc)
        return rc;
    struct slm_emit_opts emit = {.loss = true};
    slm_model_emit(g->prog, g->m, &emit);
    for (int i = 0; i < g->m->n_weights; i++) {
        g->of[i] =
            slm_zalloc_n(g->m->rt, SLM_MEM_MODEL, elements(&g->m->weight[i]), sizeof(float));
        if (!g->of[i])
            return slm_fail_mem(err, "gradients", elements(&g->m->weight[i]) * sizeof(float));
        slm_prog_want(g->prog, &g->m->weight[i], g->of[i]);
    }
    return slm_prog_plan(g->prog, err);
}

/* The tensor names that one weight has in a folder, and how many elements each. */
static void name_part(const slm_model *m, int i, int part, char out[192])
{
    const char *prefix = m->src.kind == SLM_SOURCE_HF ? m->src.prefix : "model.";
    slm_slot_name_hf(out, m->row[i], prefix, m->src.head_prefix, m->row_layer[i], part);
}

static int parts_of(const slm_model *m, int i)
{
    return m->row[i]->kind == SLM_SLOT_HEADS ? m->weight[i].rows : m->weight[i].parts;
}

static void declare(const struct grads *g, slm_st_out *out)
{
    const slm_model *m = g->m;
    for (int i = 0; i < m->n_weights; i++) {
        const struct slm_weight *w = &m->weight[i];
        uint64_t dim[2] = {(uint64_t)w->rows, (uint64_t)w->cols};
        bool vector = m->row[i]->rows == SLM_DIM_1 || m->row[i]->kind == SLM_SLOT_HEADS;
        for (int p = 0; p < parts_of(m, i); p++) {
            char name[192];
            name_part(m, i, p, name);
            slm_st_out_tensor(out, name, SLM_F32, vector ? dim + 1 : dim, vector ? 1 : 2);
        }
    }
}

static int write_part(const struct grads *g, slm_st_out *out, int i, int part, slm_err *err)
{
    const struct slm_weight *w = &g->m->weight[i];
    const struct slm_slot_row *row = g->m->row[i];
    /* what moves when rows are interleaved: rows of a matrix, numbers of a bias */
    bool bias = row->rows == SLM_DIM_1, head = row->kind == SLM_SLOT_HEADS;
    size_t units = (size_t)(head   ? 1
                            : bias ? w->cols
                                   : w->rows),
           unit = (size_t)(bias ? 1 : w->cols);
    const float *p = g->of[i] + (size_t)part * units * unit;
    int rc = 0;
    bool pairs = row->pairs != SLM_DIM_1 && g->m->hp.pairs;
    for (size_t r = 0; r < units && !rc; r++) {
        size_t from = pairs ? (size_t)slm_row_in_pairs(g->m->hp.head_width, (int)r) : r;
        rc = slm_st_out_data(out, p + from * unit, unit * sizeof *p, err);
    }
    return rc;
}

static int write_all(const struct grads *g, const char *path, slm_err *err)
{
    slm_st_out *out;
    int rc = slm_st_out_open(&out, g->m->rt, path, err);
    if (rc)
        return rc;
    declare(g, out);
    rc = slm_st_out_begin(out, err);
    for (int64_t next; !rc && (next = slm_st_out_next(out)) >= 0;) {
        int i = 0;
        while (next >= parts_of(g->m, i))
            next -= parts_of(g->m, i++);
        rc = write_part(g, out, i, (int)next, err);
    }
    if (!rc)
        rc = slm_st_out_commit(out, err);
    slm_st_out_close(&out);
    return rc;
}

int slm_model_targets(const slm_model *m, const int32_t *ids, const int32_t *labels, int n,
                   int32_t *target, slm_err *err)
{
    for (int t = 0; t < n; t++) {
        int32_t next = t + 1 < n ? (labels ? labels : ids)[t + 1] : -100;
        if (ids[t] < 0 || ids[t] >= m->hp.vocab ||
            (next != -100 && (next < 0 || next >= m->hp.vocab)))
            return slm_fail(err, SLM_E_ARG, "token or label %d is outside the vocabulary of %d",
                            t, m->hp.vocab);
        target[t] = next;
    }
    return 0;
}

static int compute(struct grads *g, const int32_t *ids, const int32_t *labels, int n,
                   double *loss, slm_err *err)
{
    int32_t *room = slm_alloc_n(g->m->rt, SLM_MEM_MODEL, (size_t)n * 2, sizeof *room);
    if (!room)
        return slm_fail_mem(err, "gradients", (size_t)n * 8);
    int32_t *pos = room, *target = room + n;
    for (int i = 0; i < n; i++)
        pos[i] = i;
    const struct slm_rope *rope = &g->m->hp.rope[0];
    uint8_t set = rope->kind == SLM_ROPE_LONG && n > rope->original;
    struct slm_run run = {
        .rows = n, .ids = ids, .pos = pos, .n_streams = 1, .rope_set = &set, .target = target};
    int rc = slm_model_targets(g->m, ids, labels, n, target, err);
    if (!rc)
        rc = build(g, n, err);
    if (!rc) {
        slm_prog_run(g->prog, &run);
        *loss = slm_prog_loss(g->prog);
        slm_prog_run_back(g->prog, &run);
    }
    slm_free(g->m->rt, room);
    return rc;
}

int slm_model_gradients(const slm_model *m, const int32_t *ids, const int32_t *labels, int n,
                        const char *path, double *loss, slm_err *err)
{
    if (n < 2 || n > 1 << 20)
        return slm_fail(err, SLM_E_ARG, "%d tokens: want at least 2", n);
    struct grads g = {.m = m};
    g.of = slm_zalloc_n(m->rt, SLM_MEM_MODEL, (size_t)m->n_weights, sizeof *g.of);
    int rc = g.of ? compute(&g, ids, labels, n, loss, err) : slm_fail_mem(err, "gradients", 64);
    if (!rc)
        rc = write_all(&g, path, err);
    for (int i = 0; g.of && i < m->n_weights; i++)
        slm_free(m->rt, g.of[i]);
    slm_free(m->rt, g.of);
    slm_prog_free(g.prog);
    return rc;
}
