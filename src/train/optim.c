/* Optimisers, a row each. Work is cut by elements, which know nothing of one another, so any
 * number of threads gives the same bits; loops run over blocks of a fixed length, which
 * compilers turn into vectors. Matrices that step as a whole (muon.c) are worked on by all
 * threads. */
#include <math.h>
#include <string.h>

#include "train/train_in.h"

enum { BLOCK = 16 };

/* ---- AdamW (Loshchilov, Hutter 2019), in PyTorch's order of operations ---- */

struct adam {
    float keep, b1, b2, size, root, eps, scale;
};

static void adam_block(float *restrict p, const float *restrict g, float *restrict m,
                       float *restrict v, const struct adam *restrict c)
{
    for (int i = 0; i < BLOCK; i++) {
        float x = g[i] * c->scale;
        m[i] += c->b1 * (x - m[i]);
        v[i] = v[i] * c->b2 + (1 - c->b2) * x * x;
        p[i] = p[i] * c->keep - c->size * m[i] / (sqrtf(v[i]) / c->root + c->eps);
    }
}

static struct adam adam_of(const struct slm_param *p, const struct slm_optim_step *s)
{
    return (struct adam){
        .keep = p->decay ? 1 - s->lr * s->decay : 1,
        .b1 = 1 - s->beta1,
        .b2 = s->beta2,
        .size = (float)((double)s->lr / (1 - s->power1)),
        .root = (float)sqrt(1 - s->power2),
        .eps = s->eps,
        .scale = s->scale,
    };
}

size_t slm_adamw_bytes(const struct slm_param *p) { return 2 * p->n * sizeof(float); }

/* A last block that is not whole is worked on in a copy. */
void slm_adamw_update(const struct slm_param *p, void *state, const struct slm_optim_step *s,
                      size_t lo, size_t hi)
{
    struct adam c = adam_of(p, s);
    float *m = state, *v = m + p->n, t[4][BLOCK] = {{0}};
    size_t i = lo, left;
    for (; i + BLOCK <= hi; i += BLOCK)
        adam_block(p->v + i, p->g + i, m + i, v + i, &c);
    if (!(left = (hi - i) * sizeof(float)))
        return;
    memcpy(t[0], p->v + i, left);
    memcpy(t[1], p->g + i, left);
    memcpy(t[2], m + i, left);
    memcpy(t[3], v + i, left);
    adam_block(t[0], t[1], t[2], t[3], &c);
    memcpy(p->v + i, t[0], left);
    memcpy(m + i, t[2], left);
    memcpy(v + i, t[3], left);
}

/* ---- Lion (Chen et al. 2023): the sign of a mean between momentum and gradient ---- */

static void lion_block(float *restrict p, const float *restrict g, float *restrict m,
                       const struct slm_optim_step *restrict s, float keep)
{
    for (int i = 0; i < BLOCK; i++) {
        float x = g[i] * s->scale, u = s->beta1 * m[i] + (1 - s->beta1) * x;
        float sign = (float)(u > 0) - (float)(u < 0);
        p[i] = p[i] * keep - s->lr * sign;
        m[i] = s->beta2 * m[i] + (1 - s->beta2) * x;
    }
}

static size_t one_moment(const struct slm_param *p) { return p->n * sizeof(float); }

static void lion(const struct slm_param *p, void *state, const struct slm_optim_step *s,
                 size_t lo, size_t hi)
{
    float *m = state, t[3][BLOCK] = {{0}}, keep = p->decay ? 1 - s->lr * s->decay : 1;
    size_t i = lo, left;
    for (; i + BLOCK <= hi; i += BLOCK)
        lion_block(p->v + i, p->g + i, m + i, s, keep);
    if (!(left = (hi - i) * sizeof(float)))
        return;
    memcpy(t[0], p->v + i, left);
    memcpy(t[1], p->g + i, left);
    memcpy(t[2], m + i, left);
    lion_block(t[0], t[1], t[2], s, keep);
    memcpy(p->v + i, t[0], left);
    memcpy(m + i, t[2], left);
}

/* ---- Muon: matrices inside the layers step as a whole, the others by AdamW ---- */

static size_t muon_state(const struct slm_param *p)
{
    return p->inner ? one_moment(p) : slm_adamw_bytes(p);
}

/* clang-format off */
const struct slm_optim_row slm_optims[] = {
    {.name = "adamw", .lr_full = 3e-4f, .lr_adapter = 2e-4f, .beta1 = .9f, .beta2 = .999f,
     .eps = 1e-8f, .decay = .01f, .grain = BLOCK, .state_bytes = slm_adamw_bytes,
     .update = slm_adamw_update},
    {.name = "adamw8", .lr_full = 3e-4f, .lr_adapter = 2e-4f, .beta1 = .9f, .beta2 = .999f,
     .eps = 1e-8f, .decay = .01f, .grain = 256, .state_bytes = slm_adam8_bytes,
     .update = slm_adam8_update, .table_bytes = slm_adam8_table_bytes,
     .table_fill = slm_adam8_table_fill},
    {.name = "lion", .lr_full = 5e-5f, .lr_adapter = 4e-5f, .beta1 = .9f, .beta2 = .99f,
     .eps = 1e-8f, .decay = .1f, .grain = BLOCK, .state_bytes = one_moment, .update = lion},
    {.name = "muon", .lr_full = 1e-3f, .lr_adapter = 2e-4f, .beta1 = .9f, .beta2 = .95f,
     .eps = 1e-8f, .decay = .1f, .grain = BLOCK, .state_bytes = muon_state,
     .update = slm_adamw_update,
     .whole_room = slm_muon_room, .whole = slm_muon_step},
};
/* clang-format on */
const int slm_optim_count = sizeof slm_optims / sizeof *slm_optims;

const struct slm_optim_row *slm_optim_find(const char *name)
{
    for (int i = 0; i < slm_optim_count; i++)
        if (!strcmp(slm_optims[i].name, name))
            return &slm_optims[i];
    return NULL;
}

void slm_optim_lay(struct slm_optim *o, const struct slm_optim_row *row, struct slm_params *p)
{
    memset(o, 0, sizeof *o);
    o->row = row;
    for (int i = 0; i < p->n; i++) {
        struct slm_param *x = &p->p[i];
        x->state = o->bytes;
        x->state_bytes = row->state_bytes(x);
        if (x->away)
            continue;
        o->bytes += (x->state_bytes + 63) / 64 * 64;
        size_t room = row->whole_room ? row->whole_room(x) : 0;
        o->room = room > o->room ? room : o->room;
    }
}

int slm_optim_take(struct slm_optim *o, slm_runtime *rt, const char *file, slm_err *err)
{
    if (file) {
        int rc = slm_swap_open(&o->swap, rt, file, o->bytes, err);
        if (rc)
            return rc;
        o->state = o->swap.data;
    } else if (!(o->state = slm_pages_alloc(rt, SLM_MEM_MODEL, o->bytes))) {
        return slm_fail_mem(err, "optimiser states", o->bytes);
    }
    size_t table = o->row->table_bytes ? o->row->table_bytes() : 0;
    if (table) {
        if (!(o->table = slm_alloc(rt, SLM_MEM_MODEL, table)))
            return slm_fail_mem(err, "optimiser", table);
        o->row->table_fill(o->table);
    }
    if (o->room && !(o->scratch = slm_pages_alloc(rt, SLM_MEM_MODEL, o->room * sizeof(float))))
        return slm_fail_mem(err, "optimiser", o->room * sizeof(float));
    return 0;
}

void slm_optim_release(struct slm_optim *o, slm_runtime *rt)
{
    if (o->swap.rt)
        slm_swap_close(&o->swap);
    else
        slm_pages_free(rt, SLM_MEM_MODEL, o->state, o->bytes);
    slm_pages_free(rt, SLM_MEM_MODEL, o->scratch, o->room * sizeof(float));
    slm_free(rt, o->table);
    memset(o, 0, sizeof *o);
}

struct job {
    const struct slm_optim *o;
    struct slm_params *p;
    const struct slm_optim_step *s;
};

static void step(int ith, int nth, void *arg)
{
    const struct job *j = arg;
    const struct slm_optim_row *row = j->o->row;
    for (int i = 0; i < j->p->n; i++) {
        const struct slm_param *x = &j->p->p[i];
        if (x->away)
            continue;
        void *state = j->o->state + x->state;
        size_t lo, hi;
        if (row->whole_room && row->whole_room(x)) {
            struct slm_whole at = {j->p->rt, j->o->scratch, ith, nth};
            row->whole(x, state, j->s, &at);
            continue;
        }
        slm_split(x->n, (size_t)row->grain, ith, nth, &lo, &hi);
        if (lo < hi)
            row->update(x, state, j->s, lo, hi);
    }
}

void slm_optim_run(const struct slm_optim *o, struct slm_params *p,
                   const struct slm_optim_step *s)
{
    struct slm_optim_step own = *s;
    own.table = o->table;
    struct job j = {o, p, &own};
    slm_pool_run(p->rt->pool, step, &j);
}
