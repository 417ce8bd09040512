/* A model without weights: the numbers and every slot that they call for, with names and shapes
 * but no bytes. Sizes, plans of types and files of random weights are made from it. */
#include <string.h>

#include "model/model_room.h"

static int add(slm_model *m, const struct slm_slot_row *row, int layer, slm_err *err)
{
    char name[128];
    struct slm_weight *w = &m->weight[m->n_weights];
    slm_slot_name_gguf(name, row, layer);
    *w = (struct slm_weight){.name = slm_arena_strdup(&m->arena, name),
                             .type = SLM_F32,
                             .rows = slm_dim_of(&m->hp, row->rows),
                             .cols = slm_dim_of(&m->hp, row->cols),
                             .parts = row->kind == SLM_SLOT_EXPERTS ? m->hp.experts : 1,
                             .id = m->n_weights};
    if (!w->name)
        return slm_fail_mem(err, name, sizeof name);
    w->stride = slm_row_bytes(w->type, (size_t)w->cols);
    /* programs copy vectors when they are made: those are there, as zeros */
    bool matrix = row->kind == SLM_SLOT_MATRIX || row->kind == SLM_SLOT_EXPERTS;
    size_t bytes = matrix ? 0 : (size_t)w->rows * w->stride;
    const uint8_t **part = slm_arena_alloc_n(&m->arena, (size_t)w->parts, sizeof *part);
    uint8_t *zeros = slm_arena_alloc(&m->arena, bytes);
    if (!part || !zeros)
        return slm_fail_mem(err, name, bytes);
    memset(zeros, 0, bytes);
    for (int i = 0; i < w->parts; i++)
        part[i] = zeros;
    w->part = part;
    m->row[m->n_weights] = row;
    m->row_layer[m->n_weights++] = layer;
    m->params += (uint64_t)w->parts * (uint64_t)w->rows * (uint64_t)w->cols;
    if (layer >= 0)
        m->layer[layer].w[row->slot] = w;
    else
        m->w[row->slot] = w;
    return 0;
}

static int add_all(slm_model *m, slm_err *err)
{
    size_t most = (size_t)slm_slot_rows * (size_t)(m->hp.layers + 1);
    m->layer = slm_arena_alloc_n(&m->arena, (size_t)m->hp.layers, sizeof *m->layer);
    m->weight = slm_arena_alloc_n(&m->arena, most, sizeof *m->weight);
    m->row = slm_arena_alloc_n(&m->arena, most, sizeof *m->row);
    m->row_layer = slm_arena_alloc_n(&m->arena, most, sizeof *m->row_layer);
    if (!m->layer || !m->weight || !m->row || !m->row_layer)
        return slm_fail_mem(err, "weights", most * sizeof *m->weight);
    int rc = 0;
    for (int i = 0; i < slm_slot_rows && !rc; i++) {
        bool layered = slm_slots[i].slot >= SLM_W_LAYER;
        if (slm_slot_need(&m->hp, &slm_slots[i]) != SLM_NEED_MUST)
            continue;
        for (int l = layered ? 0 : -1; l < (layered ? m->hp.layers : 0) && !rc; l++)
            rc = add(m, &slm_slots[i], l, err);
    }
    if (!rc && !m->w[SLM_W_OUT])
        m->w[SLM_W_OUT] = m->w[SLM_W_EMBED];
    return rc;
}

/* Arrays by layer, and what follows from the numbers. */
static int complete(slm_model *m, int window, slm_err *err)
{
    struct slm_hparams *hp = &m->hp;
    size_t n = (size_t)hp->layers;
    hp->window = slm_arena_alloc_n(&m->arena, n, sizeof *hp->window);
    hp->local = slm_arena_alloc_n(&m->arena, n, 1);
    if (!hp->window || !hp->local)
        return slm_fail_mem(err, "layers", n * 5);
    slm_hparams_windows(hp, window, hp->layers, 0);
    hp->max_window = window;
    int rc = slm_hparams_check(hp, m->name, err);
    for (int i = 0; i <= hp->two_ropes && !rc; i++)
        rc = slm_rope_compute(&m->rope[i], &m->arena, &hp->rope[i], hp->rot, hp->context,
                              m->name, err);
    return rc;
}

int slm_model_shell(slm_model **out, slm_runtime *rt, const struct slm_hparams *hp, int window,
                    const char *name, slm_err *err)
{
    slm_model *m = slm_zalloc(rt, SLM_MEM_MODEL, sizeof *m);
    if (!m)
        return slm_fail_mem(err, "model", sizeof *m);
    m->rt = rt;
    m->hp = *hp;
    slm_arena_init(&m->arena, rt, SLM_MEM_MODEL);
    m->name = slm_arena_strdup(&m->arena, name);
    m->types = slm_arena_strdup(&m->arena, "none");
    int rc = m->name && m->types ? 0 : slm_fail_mem(err, "model", strlen(name));
    if (!rc)
        rc = complete(m, window, err);
    if (!rc)
        rc = add_all(m, err);
    if (rc)
        slm_model_close(&m);
    else
        *out = m;
    return rc;
}
