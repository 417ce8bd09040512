/* Experts as newer files of PEFT have them: target_parameters, an addition to the one parameter
 * that holds a layer's experts. A is (experts * r, in), expert by expert; B is (out, r *
 * experts), an expert's columns apart by as many; gate and up are one parameter, so that they
 * share A. Two parameters of a module are told apart by their shapes: the names only say which
 * was wrapped first. */
#include "adapter/adapter_in.h"
#include "kernels/kernels.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct slm_packed {
    int layer;
    bool inner, down; /* .base_layer; the parameter is down_proj, else gate_up_proj */
    const struct slm_tensor_ref *half[2];
    int r;
    float scale;
};

static struct slm_packed *packed_of(struct slm_claims *c, int layer, bool inner)
{
    for (int i = 0; i < c->n_packed; i++)
        if (c->packed[i].layer == layer && c->packed[i].inner == inner)
            return &c->packed[i];
    struct slm_packed *p = &c->packed[c->n_packed++];
    *p = (struct slm_packed){.layer = layer, .inner = inner};
    return p;
}

int slm_packed_claim(struct slm_claims *c, const char *name, const struct slm_tensor_ref *t,
                     bool *taken, slm_err *err)
{
    const slm_model *m = c->a->m;
    const char *tail = slm_place_tail(name);
    *taken = false;
    for (int l = 0; l < m->hp.layers && m->hp.family->moe; l++)
        for (int k = 0; k < 4; k++) {
            char want[96];
            snprintf(want, sizeof want, "layers.%d.mlp.experts.%slora_%c.weight", l,
                     k & 1 ? "base_layer." : "", k & 2 ? 'B' : 'A');
            if (strcmp(want, tail) != 0)
                continue;
            if (!c->packed)
                c->packed =
                    slm_arena_alloc_n(&c->arena, (size_t)m->hp.layers * 2, sizeof *c->packed);
            if (!c->packed)
                return slm_fail_mem(err, "adapter", sizeof *c->packed);
            packed_of(c, l, k & 1)->half[k >> 1] = t;
            *taken = true;
            return t->type == SLM_F32 || t->type == SLM_F16 || t->type == SLM_BF16
                       ? 0
                       : slm_fail(err, SLM_E_UNSUPPORTED, "%s: tensor %s: %s numbers", c->path,
                                  t->name, slm_dtypes[t->type].name);
        }
    return 0;
}

static int check(struct slm_claims *c, struct slm_packed *p, slm_err *err)
{
    const struct slm_hparams *hp = &c->a->m->hp;
    const struct slm_tensor_ref *a = p->half[0], *b = p->half[1];
    uint64_t d = (uint64_t)hp->width, f = (uint64_t)hp->ffn, e = (uint64_t)hp->experts;
    char name[128];
    if (!a || !b)
        return slm_fail(err, SLM_E_FORMAT, "%s: %s has no %s", c->path, (a ? a : b)->name,
                        a ? "B" : "A");
    bool pair = a->n_dims == 2 && b->n_dims == 2 && a->dim[0] == b->dim[1];
    bool both = pair && a->dim[1] == d && b->dim[0] == 2 * f;
    p->down = pair && a->dim[1] == f && b->dim[0] == d;
    if (!both && !p->down)
        return slm_fail(err, SLM_E_FORMAT,
                        "%s: tensor %s fits no parameter of the experts of %s (%s)", c->path,
                        a->name, c->a->m->name, hp->family->name);
    snprintf(name, sizeof name, "model.layers.%d.mlp.experts.%s", p->layer,
             p->down ? "down_proj" : "gate_up_proj");
    int rc = c->scale(c->arg, name, &p->r, &p->scale, err);
    if (!rc && a->dim[0] != (uint64_t)p->r * e)
        rc = slm_fail(err, SLM_E_FORMAT,
                      "%s: tensor %s: %llu rows are not rank %d of %d experts", c->path,
                      a->name, (unsigned long long)a->dim[0], p->r, hp->experts);
    return rc;
}

/* The slots that a parameter holds, one after the other. */
static int slots_of(const struct slm_packed *p, enum slm_slot out[2])
{
    out[0] = p->down ? SLM_W_DOWN_E : SLM_W_GATE_E;
    out[1] = SLM_W_UP_E;
    return p->down ? 1 : 2;
}

static const struct slm_place *place_at(const struct slm_claims *c, int layer,
                                        enum slm_slot slot)
{
    for (int i = 0; i < c->places.n; i++)
        if (c->places.place[i].layer == layer && c->places.place[i].slot == slot)
            return &c->places.place[i];
    return NULL;
}

int slm_packed_plan(struct slm_claims *c, struct slm_lay *l, slm_err *err)
{
    for (int i = 0; i < c->n_packed; i++) {
        struct slm_packed *p = &c->packed[i];
        enum slm_slot slot[2];
        int rc = check(c, p, err);
        for (int k = 0; !rc && k < slots_of(p, slot); k++)
            l->part[l->n_parts++] =
                (struct slm_part_plan){.place = place_at(c, p->layer, slot[k]),
                                       .r = p->r,
                                       .scale = p->scale,
                                       .dropout = c->dropout};
        if (rc)
            return rc;
    }
    return 0;
}

/* k: which of the parameter's slots. a, b: the tensors as float32. */
static void fill_part(const struct slm_adapter_part *p, int k, const float *a, const float *b)
{
    size_t n = (size_t)p->a.parts, r = (size_t)p->a.rows, rows = (size_t)p->rows;
    float *to = slm_adapter_data(&p->b);
    memcpy(slm_adapter_data(&p->a), a, n * r * (size_t)p->a.cols * sizeof *a);
    for (size_t e = 0; e < n; e++)
        for (size_t o = 0; o < rows; o++)
            for (size_t j = 0; j < r; j++)
                to[(e * rows + o) * r + j] = b[((size_t)k * rows + o) * r * n + j * n + e];
}

static int fill_one(struct slm_claims *c, const struct slm_packed *p, float *buf, slm_err *err)
{
    size_t na = (size_t)p->half[0]->count, nb = (size_t)p->half[1]->count;
    enum slm_slot slot[2];
    for (int h = 0; h < 2; h++)
        c->a->m->rt->kern->to_f32[p->half[h]->type](buf + (h ? na : 0), p->half[h]->data,
                                                    h ? nb : na);
    for (size_t i = 0; i < na + nb; i++)
        if (!isfinite(buf[i]))
            return slm_fail(err, SLM_E_NUMERIC, "%s: tensor %s: a number is not finite",
                            c->path, p->half[i >= na]->name);
    for (int k = 0; k < slots_of(p, slot); k++)
        fill_part(slm_adapter_part_of(c->a, place_at(c, p->layer, slot[k])), k, buf, buf + na);
    return 0;
}

int slm_packed_fill(struct slm_claims *c, slm_err *err)
{
    size_t most = 1;
    for (int i = 0; i < c->n_packed; i++) {
        size_t n = (size_t)(c->packed[i].half[0]->count + c->packed[i].half[1]->count);
        most = n > most ? n : most;
    }
    float *buf = slm_alloc_n(c->a->m->rt, SLM_MEM_MODEL, most, sizeof *buf);
    int rc = buf ? 0 : slm_fail_mem(err, "adapter", most * sizeof *buf);
    for (int i = 0; i < c->n_packed && !rc; i++)
        rc = fill_one(c, &c->packed[i], buf, err);
    slm_free(c->a->m->rt, buf);
    return rc;
}
