/* Parts gathered by the matrix that they add to, in the order of rows that a file has. */
#include "adapter/group.h"

#include <string.h>

static const struct slm_place *whole_place(const struct slm_groups *g,
                                           const struct slm_adapter_part *p)
{
    for (int i = 0; i < g->places.n; i++) {
        const struct slm_place *y = &g->places.place[i];
        if (y->weight == p->weight && y->embed == p->embed && !y->slice)
            return y;
    }
    return NULL;
}

int slm_groups_init(struct slm_groups *g, const slm_adapter *a, slm_err *err)
{
    *g = (struct slm_groups){.a = a};
    slm_arena_init(&g->arena, a->m->rt, SLM_MEM_MODEL);
    int rc = slm_places_find(&g->places, a->m, &g->arena, err);
    g->group = slm_arena_alloc_n(&g->arena, (size_t)a->n_parts, sizeof *g->group);
    if (!rc && !g->group)
        rc = slm_fail_mem(err, "adapter", (size_t)a->n_parts * sizeof *g->group);
    for (int i = 0; i < a->n_parts && !rc; i++) {
        const struct slm_adapter_part *p = &a->part[i];
        struct slm_group *y = g->n ? &g->group[g->n - 1] : NULL;
        if (!y || y->part->weight != p->weight || y->part->embed != p->embed) {
            y = &g->group[g->n++];
            *y = (struct slm_group){.part = p, .place = whole_place(g, p)};
            y->scale = p->scale * *p->factor;
        }
        y->n++;
        y->r += p->a.rows;
        g->dora |= p->m.part != NULL;
    }
    return rc;
}

void slm_groups_release(struct slm_groups *g) { slm_arena_release(&g->arena); }

void slm_group_a(const struct slm_group *y, int expert, float *out)
{
    for (int i = 0; i < y->n; i++) {
        const struct slm_weight *w = &y->part[i].a;
        size_t n = (size_t)w->rows * (size_t)w->cols;
        memcpy(out, w->part[expert], n * sizeof *out);
        out += n;
    }
}

static size_t file_row(const struct slm_groups *g, const struct slm_group *y,
                       enum slm_order order, int r)
{
    return (size_t)(y->part->embed ? r : slm_row_own(g->a->m, y->part->weight, order, r));
}

void slm_group_b(const struct slm_groups *g, const struct slm_group *y, int expert,
                 enum slm_order order, float *out)
{
    size_t ld = (size_t)y->r;
    memset(out, 0, (size_t)y->place->rows * ld * sizeof *out);
    for (int r = 0; r < y->place->rows; r++) {
        int own = (int)file_row(g, y, order, r);
        size_t col = 0;
        for (int i = 0; i < y->n; i++) {
            const struct slm_adapter_part *p = &y->part[i];
            size_t k = (size_t)p->a.rows;
            float s = p->scale * *p->factor, gain = s == y->scale ? 1 : s / y->scale;
            const float *b = (const float *)p->b.part[expert];
            for (size_t c = 0; c < k && own >= p->row0 && own < p->row0 + p->rows; c++)
                out[(size_t)r * ld + col + c] = gain * b[(size_t)(own - p->row0) * k + c];
            col += k;
        }
    }
}

int slm_group_m(const struct slm_groups *g, const struct slm_group *y, enum slm_order order,
                float *out, slm_err *err)
{
    size_t n = (size_t)y->place->rows;
    float *own = slm_alloc_n(g->a->m->rt, SLM_MEM_MODEL, n, sizeof *own);
    if (!own)
        return slm_fail_mem(err, "adapter", n * sizeof *own);
    /* what no part touches keeps the model's own length */
    struct slm_adapter_part all = *y->part;
    all.row0 = 0;
    all.rows = (int)n;
    int rc = slm_adapter_lengths(g->a, &all, false, own, err);
    for (int i = 0; i < y->n && !rc; i++) {
        const struct slm_adapter_part *p = &y->part[i];
        if (p->m.part)
            memcpy(own + p->row0, p->m.part[0], (size_t)p->rows * sizeof *own);
        else
            rc = slm_adapter_lengths(g->a, p, true, own + p->row0, err);
    }
    for (size_t r = 0; r < n && !rc; r++)
        out[r] = own[file_row(g, y, order, (int)r)];
    slm_free(g->a->m->rt, own);
    return rc;
}
