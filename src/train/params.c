/* What learns: a table of matrices and vectors over one block of gradients. Sums over it are
 * cut into chunks of a fixed size and added in one order, so that their bits do not depend on
 * threads. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "adapter/adapter.h"
#include "train/train_in.h"

enum { ALIGN = 16 };

struct table {
    struct slm_params *p;
    slm_err *err;
};

/* A weight of the graph: one parameter for each part. */
static int add(struct table *t, const struct slm_weight *w, bool decay, bool inner)
{
    struct slm_params *p = t->p;
    size_t n = (size_t)w->rows * (size_t)w->cols;
    p->room = (p->room + ALIGN - 1) / ALIGN * ALIGN;
    p->wanted[p->n_wanted++] = (struct slm_wanted){w, p->room};
    for (int i = 0; i < w->parts; i++) {
        char name[160];
        snprintf(name, sizeof name, w->parts > 1 ? "%s.%d" : "%s", w->name, i);
        struct slm_param *x = &p->p[p->n++];
        *x = (struct slm_param){.name = slm_arena_strdup(&p->arena, name),
                                .n = n,
                                .at = p->room + (size_t)i * n,
                                .rows = w->rows,
                                .cols = w->cols,
                                .decay = decay,
                                .inner = inner};
        if (!x->name)
            return slm_fail_mem(t->err, w->name, sizeof name);
    }
    p->room += (size_t)w->parts * n;
    p->elements += (uint64_t)w->parts * n;
    return 0;
}

static int add_model(struct table *t, const slm_model *m, const uint8_t *which)
{
    int rc = 0;
    for (int i = 0; i < m->n_weights && !rc; i++) {
        enum slm_slot_kind kind = m->row[i]->kind;
        bool matrix = kind == SLM_SLOT_MATRIX || kind == SLM_SLOT_EXPERTS;
        bool inner = matrix && m->row_layer[i] >= 0 && m->row[i]->slot != SLM_W_ROUTER;
        if (!which || which[i])
            rc = add(t, &m->weight[i], matrix, inner);
    }
    return rc;
}

static int add_adapter(struct table *t, const slm_model *m, const slm_adapter *a)
{
    int rc = 0;
    for (int i = 0; i < a->n_weights && !rc; i++) {
        struct slm_adapter_tensor x;
        slm_adapter_tensor_get(a, i, &x);
        rc = add(t, x.w, !x.vector, !x.vector && !x.whole && m->row_layer[x.weight] >= 0);
    }
    return rc;
}

static size_t parts_of(const slm_model *m, const slm_adapter *a, size_t *weights)
{
    size_t n = 0;
    *weights = (size_t)(a ? a->n_weights : m->n_weights);
    for (int i = 0; i < (int)*weights; i++) {
        struct slm_adapter_tensor x = {.w = NULL};
        if (a)
            slm_adapter_tensor_get(a, i, &x);
        n += (size_t)(a ? x.w : &m->weight[i])->parts;
    }
    return n;
}

int slm_params_open(struct slm_params *p, const slm_model *m, slm_adapter *a,
                    const uint8_t *which, slm_err *err)
{
    memset(p, 0, sizeof *p);
    p->rt = m->rt;
    slm_arena_init(&p->arena, m->rt, SLM_MEM_MODEL);
    size_t weights, n = parts_of(m, a, &weights);
    p->p = slm_arena_alloc_n(&p->arena, n, sizeof *p->p);
    p->wanted = slm_arena_alloc_n(&p->arena, weights, sizeof *p->wanted);
    if (!p->p || !p->wanted)
        return slm_fail_mem(err, "parameters", n * sizeof *p->p);
    struct table t = {p, err};
    int rc = a ? add_adapter(&t, m, a) : add_model(&t, m, which);
    if (!rc && !p->n)
        rc = slm_fail(err, SLM_E_ARG, "nothing is left to learn");
    size_t chunks = (p->room + SLM_SUM_CHUNK - 1) / SLM_SUM_CHUNK;
    p->sums = rc ? NULL : slm_arena_alloc_n(&p->arena, chunks, sizeof *p->sums);
    return rc || p->sums ? rc : slm_fail_mem(err, "parameters", chunks * sizeof *p->sums);
}

void slm_params_release(struct slm_params *p)
{
    if (!p->rt)
        return;
    slm_pages_free(p->rt, SLM_MEM_MODEL, p->grad, slm_params_bytes(p));
    slm_arena_release(&p->arena);
    memset(p, 0, sizeof *p);
}

size_t slm_params_bytes(const struct slm_params *p) { return p->room * sizeof(float); }

int slm_params_take(struct slm_params *p, slm_err *err)
{
    p->grad = slm_pages_alloc(p->rt, SLM_MEM_MODEL, slm_params_bytes(p));
    if (!p->grad)
        return slm_fail_mem(err, "gradients", slm_params_bytes(p));
    struct slm_param *x = p->p;
    for (int i = 0; i < p->n_wanted; i++)
        for (int k = 0; k < p->wanted[i].w->parts; k++, x++) {
            x->v = (float *)(uintptr_t)p->wanted[i].w->part[k];
            x->g = p->grad + x->at;
        }
    return 0;
}

/* ---- over the block of gradients ---- */

static void clear(int ith, int nth, void *arg)
{
    struct slm_params *p = arg;
    size_t lo, hi;
    slm_split(p->room, SLM_SUM_CHUNK, ith, nth, &lo, &hi);
    memset(p->grad + lo, 0, (hi - lo) * sizeof *p->grad);
}

void slm_params_clear(struct slm_params *p) { slm_pool_run(p->rt->pool, clear, p); }

static double squares(const float *x, size_t n)
{
    double sum[ALIGN] = {0}, all = 0;
    size_t i = 0;
    for (; i + ALIGN <= n; i += ALIGN)
        for (size_t k = 0; k < ALIGN; k++)
            sum[k] += (double)x[i + k] * (double)x[i + k];
    for (; i < n; i++)
        all += (double)x[i] * (double)x[i];
    for (size_t k = 0; k < ALIGN; k++)
        all += sum[k];
    return all;
}

static void sum_chunks(int ith, int nth, void *arg)
{
    struct slm_params *p = arg;
    size_t lo, hi, n = p->room;
    slm_split((n + SLM_SUM_CHUNK - 1) / SLM_SUM_CHUNK, 1, ith, nth, &lo, &hi);
    for (size_t i = lo; i < hi; i++) {
        size_t from = i * SLM_SUM_CHUNK,
               to = from + SLM_SUM_CHUNK < n ? from + SLM_SUM_CHUNK : n;
        p->sums[i] = squares(p->grad + from, to - from);
    }
}

double slm_params_norm(struct slm_params *p)
{
    double all = 0;
    slm_pool_run(p->rt->pool, sum_chunks, p);
    for (size_t i = 0; i < (p->room + SLM_SUM_CHUNK - 1) / SLM_SUM_CHUNK; i++)
        all += p->sums[i];
    return sqrt(all);
}

static bool all_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

int slm_params_bad(const struct slm_params *p, bool gradients)
{
    for (int i = 0; i < p->n; i++)
        if (!all_finite(gradients ? p->p[i].g : p->p[i].v, p->p[i].n))
            return i;
    return -1;
}
