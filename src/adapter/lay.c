/* An adapter in memory: its tensors, laid out at once with dense ids behind the model's;
 * several of them seen as one; and what can be asked of it. */
#include "adapter/adapter_in.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int slm_adapter_begin(slm_adapter **out, const slm_model *m, const char *path, const char *kind,
                      slm_err *err)
{
    slm_adapter *a = *out = slm_zalloc(m->rt, SLM_MEM_MODEL, sizeof *a);
    if (!a)
        return slm_fail_mem(err, "adapter", sizeof *a);
    a->m = m;
    a->factor = 1;
    slm_arena_init(&a->arena, m->rt, SLM_MEM_MODEL);
    a->file = slm_arena_alloc(&a->arena, sizeof *a->file);
    char *copy = slm_arena_strdup(&a->arena, path);
    if (!a->file || !copy) {
        slm_adapter_close(out);
        return slm_fail_mem(err, "adapter", sizeof *a->file);
    }
    a->file->path = copy;
    a->file->kind = kind;
    return 0;
}

void slm_adapter_close(slm_adapter **pa)
{
    slm_adapter *a = pa ? *pa : NULL;
    if (!a)
        return;
    slm_arena_release(&a->arena);
    slm_free(a->m->rt, a);
    *pa = NULL;
}

/* ---- layout ---- */

static int by_place(const void *x, const void *y)
{
    const struct slm_part_plan *p = x, *q = y;
    const struct slm_place *a = p->place, *b = q->place;
    return a->embed != b->embed     ? a->embed - b->embed
           : a->weight != b->weight ? (a->weight < b->weight ? -1 : 1)
                                    : (a->row0 > b->row0) - (a->row0 < b->row0);
}

struct laying {
    slm_adapter *a;
    slm_err *err;
    int id;
};

static int new_weight(struct laying *y, struct slm_weight *w, const char *name, int parts,
                      int rows, int cols)
{
    struct slm_arena *arena = &y->a->arena;
    size_t each = (size_t)rows * (size_t)cols, all;
    const uint8_t **part = slm_arena_alloc_n(arena, (size_t)parts, sizeof *part);
    float *data = NULL;
    if (slm_mul_ok(each, (size_t)parts, &all))
        data = slm_arena_alloc_n(arena, all, sizeof *data);
    if (!part || !data)
        return slm_fail_mem(y->err, name, each * (size_t)parts * sizeof *data);
    for (int e = 0; e < parts; e++)
        part[e] = (const uint8_t *)(data + (size_t)e * each);
    *w = (struct slm_weight){.name = name,
                             .type = SLM_F32,
                             .rows = rows,
                             .cols = cols,
                             .parts = parts,
                             .stride = (size_t)cols * sizeof *data,
                             .part = part,
                             .id = y->id++};
    return 0;
}

static const char *tensor_name(struct laying *y, const char *of, const char *end)
{
    char name[256];
    snprintf(name, sizeof name, "%s%s", of, end);
    return slm_arena_strdup(&y->a->arena, name);
}

static int lay_part(struct laying *y, struct slm_adapter_part *p, const struct slm_places *all,
                    const struct slm_part_plan *plan)
{
    const struct slm_place *at = plan->place;
    char module[224];
    slm_place_pattern(all, at, module);
    *p = (struct slm_adapter_part){.weight = at->weight,
                                   .embed = at->embed,
                                   .row0 = at->row0,
                                   .rows = at->rows,
                                   .scale = plan->scale,
                                   .dropout = plan->dropout,
                                   .factor = &y->a->factor};
    p->module = slm_arena_strdup(&y->a->arena, module);
    const char *an = p->module ? tensor_name(y, p->module, ".lora_A") : NULL,
               *bn = an ? tensor_name(y, p->module, ".lora_B") : NULL,
               *mn = bn ? tensor_name(y, p->module, ".lora_magnitude_vector") : NULL;
    if (!mn)
        return slm_fail_mem(y->err, "adapter", sizeof module);
    int rc = new_weight(y, &p->a, an, at->parts, plan->r, at->cols);
    if (!rc)
        rc = new_weight(y, &p->b, bn, at->parts, at->rows, plan->r);
    if (!rc && plan->dora)
        rc = new_weight(y, &p->m, mn, 1, 1, at->rows);
    return rc;
}

static int lay_whole(struct laying *y, struct slm_adapter_whole *h,
                     const struct slm_whole_plan *plan)
{
    const struct slm_weight *w = &y->a->m->weight[plan->weight];
    *h = (struct slm_adapter_whole){plan->weight, plan->embed, plan->head, {0}};
    return new_weight(y, &h->w, w->name, w->parts, w->rows, w->cols);
}

static int index_parts(slm_adapter *a, slm_err *err)
{
    int n = a->m->n_weights,
        *first = slm_arena_alloc_n(&a->arena, (size_t)n + 1, sizeof *first);
    if (!first)
        return slm_fail_mem(err, "adapter", (size_t)n * sizeof *first);
    for (int i = 0, k = 0; i <= n; i++) {
        while (k < a->n_parts && !a->part[k].embed && a->part[k].weight < i)
            k++;
        first[i] = k;
    }
    a->first = first;
    return 0;
}

/* Two places that share rows of one weight. */
static int check_overlap(const struct slm_adapter *a, slm_err *err)
{
    for (int i = 1; i < a->n_parts; i++) {
        const struct slm_adapter_part *p = &a->part[i - 1], *q = &a->part[i];
        if (p->weight == q->weight && p->embed == q->embed && q->row0 < p->row0 + p->rows)
            return slm_fail(err, SLM_E_ARG, "%s and %s are the same rows of %s: name one",
                            p->module, q->module, a->m->weight[p->weight].name);
    }
    return 0;
}

int slm_adapter_lay(slm_adapter *a, const struct slm_places *p, const struct slm_lay *l,
                    slm_err *err)
{
    struct laying y = {a, err, a->m->n_weights};
    if (l->n_parts)
        qsort(l->part, (size_t)l->n_parts, sizeof *l->part, by_place);
    a->part = slm_arena_alloc_n(&a->arena, (size_t)l->n_parts, sizeof *a->part);
    a->whole = slm_arena_alloc_n(&a->arena, (size_t)l->n_whole, sizeof *a->whole);
    if (!a->part || !a->whole)
        return slm_fail_mem(err, "adapter", (size_t)l->n_parts * sizeof *a->part);
    int rc = 0;
    for (; a->n_parts < l->n_parts && !rc; a->n_parts++)
        rc = lay_part(&y, &a->part[a->n_parts], p, &l->part[a->n_parts]);
    for (; a->n_whole < l->n_whole && !rc; a->n_whole++)
        rc = lay_whole(&y, &a->whole[a->n_whole], &l->whole[a->n_whole]);
    a->n_weights = y.id - a->m->n_weights;
    if (!rc)
        rc = check_overlap(a, err);
    return rc ? rc : index_parts(a, err);
}

struct slm_adapter_part *slm_adapter_part_of(slm_adapter *a, const struct slm_place *y)
{
    for (int i = 0; i < a->n_parts; i++)
        if (a->part[i].weight == y->weight && a->part[i].embed == y->embed &&
            a->part[i].row0 == y->row0 && a->part[i].rows == y->rows)
            return &a->part[i];
    return NULL;
}

/* ---- several as one ---- */

static int by_rows(const void *x, const void *y)
{
    const struct slm_adapter_part *a = x, *b = y;
    return a->embed != b->embed     ? a->embed - b->embed
           : a->weight != b->weight ? (a->weight < b->weight ? -1 : 1)
                                    : (a->row0 > b->row0) - (a->row0 < b->row0);
}

/* A length stands for W and one addition; with a second one it would mean something else. */
static int check_join(const slm_adapter *a, slm_err *err)
{
    for (int i = 0; i < a->n_parts; i++)
        for (int k = i + 1; k < a->n_parts; k++) {
            const struct slm_adapter_part *p = &a->part[i], *q = &a->part[k];
            bool meet = p->weight == q->weight && p->embed == q->embed &&
                        p->row0 < q->row0 + q->rows && q->row0 < p->row0 + p->rows;
            if (meet && (p->m.part || q->m.part))
                return slm_fail(err, SLM_E_UNSUPPORTED,
                                "%s: DoRA and another adapter on the same matrix; merge the "
                                "one that was trained first into the model",
                                p->module);
            if (p->weight != q->weight)
                break;
        }
    for (int i = 0; i < a->n_whole; i++)
        for (int k = i + 1; k < a->n_whole; k++)
            if (a->whole[i].weight == a->whole[k].weight)
                return slm_fail(err, SLM_E_UNSUPPORTED, "%s: two adapters replace it",
                                a->whole[i].w.name);
    return 0;
}

static void renumber(slm_adapter *a)
{
    int id = a->m->n_weights;
    for (int i = 0; i < a->n_parts; i++) {
        a->part[i].a.id = id++;
        a->part[i].b.id = id++;
        if (a->part[i].m.part)
            a->part[i].m.id = id++;
    }
    for (int i = 0; i < a->n_whole; i++)
        a->whole[i].w.id = id++;
    a->n_weights = id - a->m->n_weights;
}

int slm_adapter_join(slm_adapter **out, slm_adapter *const *list, int n, slm_err *err)
{
    slm_adapter *a;
    size_t parts = 0, whole = 0;
    if (n < 1)
        return slm_fail(err, SLM_E_ARG, "no adapter");
    for (int i = 0; i < n; i++) {
        parts += (size_t)list[i]->n_parts;
        whole += (size_t)list[i]->n_whole;
        if (list[i]->m != list[0]->m)
            return slm_fail(err, SLM_E_ARG, "adapters of different models");
    }
    int rc = slm_adapter_begin(&a, list[0]->m, list[0]->file->path, "several", err);
    if (rc)
        return rc;
    a->part = slm_arena_alloc_n(&a->arena, parts, sizeof *a->part);
    a->whole = slm_arena_alloc_n(&a->arena, whole, sizeof *a->whole);
    if (!a->part || !a->whole)
        rc = slm_fail_mem(err, "adapter", parts * sizeof *a->part);
    for (int i = 0; i < n && !rc; i++) {
        if (list[i]->n_parts)
            memcpy(a->part + a->n_parts, list[i]->part,
                   (size_t)list[i]->n_parts * sizeof *a->part);
        if (list[i]->n_whole)
            memcpy(a->whole + a->n_whole, list[i]->whole,
                   (size_t)list[i]->n_whole * sizeof *a->whole);
        a->n_parts += list[i]->n_parts;
        a->n_whole += list[i]->n_whole;
    }
    if (!rc && a->n_parts)
        qsort(a->part, (size_t)a->n_parts, sizeof *a->part, by_rows);
    if (!rc)
        rc = check_join(a, err);
    if (!rc)
        rc = index_parts(a, err);
    if (rc) {
        slm_adapter_close(&a);
        return rc;
    }
    renumber(a);
    *out = a;
    return 0;
}

int slm_adapter_scale(slm_adapter *a, float scale, slm_err *err)
{
    if (!isfinite(scale))
        return slm_fail(err, SLM_E_ARG, "a scale must be finite");
    if (!strcmp(a->file->kind, "several"))
        return slm_fail(err, SLM_E_ARG, "scale the adapters, not what joins them");
    a->factor = scale;
    return 0;
}

/* ---- what it is ---- */

static void count_part(const slm_adapter *a, const struct slm_adapter_part *p,
                       slm_adapter_info *out)
{
    const struct slm_weight *w = &a->m->weight[p->weight];
    bool first = !out->parts++;
    out->r_least = first || p->a.rows < out->r_least ? p->a.rows : out->r_least;
    out->r_most = p->a.rows > out->r_most ? p->a.rows : out->r_most;
    out->scale_least = first || p->scale < out->scale_least ? p->scale : out->scale_least;
    out->scale_most = first || p->scale > out->scale_most ? p->scale : out->scale_most;
    out->dora += p->m.part != NULL;
    out->experts += p->a.parts > 1;
    out->slices += !p->embed && p->rows != w->rows;
    out->embed += p->embed;
    out->head += !p->embed && w == a->m->w[SLM_W_OUT];
}

static uint64_t numbers(const struct slm_weight *w)
{
    return w->part ? (uint64_t)w->parts * (uint64_t)w->rows * (uint64_t)w->cols : 0;
}

void slm_adapter_info_get(const slm_adapter *a, slm_adapter_info *out)
{
    *out = (slm_adapter_info){.kind = a->file->kind,
                              .path = a->file->path,
                              .base = a->file->base,
                              .factor = a->factor,
                              .rslora = a->file->rslora,
                              .whole = a->n_whole};
    for (int i = 0; i < a->n_parts; i++) {
        const struct slm_adapter_part *p = &a->part[i];
        count_part(a, p, out);
        out->params += numbers(&p->a) + numbers(&p->b) + numbers(&p->m);
    }
    for (int i = 0; i < a->n_whole; i++)
        out->params += numbers(&a->whole[i].w);
}

void slm_adapter_part_get(const slm_adapter *a, int i, slm_adapter_part_info *out)
{
    const struct slm_adapter_part *p = &a->part[i];
    *out = (slm_adapter_part_info){.module = p->module,
                                   .weight = a->m->weight[p->weight].name,
                                   .row0 = p->row0,
                                   .rows = p->rows,
                                   .cols = p->a.cols,
                                   .r = p->a.rows,
                                   .experts = p->a.parts,
                                   .dora = p->m.part != NULL,
                                   .scale = p->scale};
}

float *slm_adapter_data(const struct slm_weight *w)
{
    return (float *)(uintptr_t)w->part[0]; /* const for those who only read: it is ours */
}

static void part_name(const struct slm_adapter_part *p, char half, char out[224])
{
    snprintf(out, 224,
             half == 'M' ? "base_model.model.%s.lora_magnitude_vector"
             : p->embed  ? "base_model.model.%s.lora_embedding_%c"
                         : "base_model.model.%s.lora_%c.weight",
             p->module, half);
}

void slm_adapter_tensor_get(const slm_adapter *a, int i, struct slm_adapter_tensor *out)
{
    int id = a->m->n_weights + i;
    *out = (struct slm_adapter_tensor){0};
    for (int k = 0; k < a->n_parts; k++) {
        const struct slm_adapter_part *p = &a->part[k];
        const struct slm_weight *w = p->a.id == id                ? &p->a
                                     : p->b.id == id              ? &p->b
                                     : p->m.part && p->m.id == id ? &p->m
                                                                  : NULL;
        if (!w)
            continue;
        out->w = w;
        out->weight = p->weight;
        out->vector = w == &p->m;
        out->ordered = w != &p->a && !p->embed;
        part_name(p, w == &p->a ? 'A' : w == &p->b ? 'B' : 'M', out->name);
        return;
    }
    for (int k = 0; k < a->n_whole; k++) {
        const struct slm_adapter_whole *h = &a->whole[k];
        if (h->w.id != id)
            continue;
        char name[192];
        slm_adapter_whole_name(a, h, name);
        out->w = &h->w;
        out->weight = h->weight;
        out->whole = out->ordered = true;
        out->vector = a->m->row[h->weight]->rows == SLM_DIM_1;
        snprintf(out->name, sizeof out->name, "base_model.model.%s", name);
        return;
    }
}

void slm_adapter_whole_name(const slm_adapter *a, const struct slm_adapter_whole *h,
                            char out[192])
{
    const slm_model *m = a->m;
    bool hf = m->src.kind == SLM_SOURCE_HF;
    if (h->head && !h->embed && m->row[h->weight]->slot == SLM_W_EMBED)
        snprintf(out, 192, "%slm_head.weight", hf ? m->src.head_prefix : "");
    else
        slm_slot_name_hf(out, m->row[h->weight], hf ? m->src.prefix : "model.",
                         hf ? m->src.head_prefix : "", m->row_layer[h->weight], 0);
}
