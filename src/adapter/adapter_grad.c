/* Loss and gradients of one sequence by an adapter's tensors, the model left as it is: the form
 * in which they are held against PEFT. */
#include "adapter/adapter_in.h"

#include <stdio.h>
#include <string.h>

struct grads {
    const slm_adapter *a;
    float **of; /* (n_weights) float32 (parts, rows, cols) */
    slm_prog *prog;
    slm_err *err;
};

static const struct slm_weight *tensor(const struct grads *g, int i,
                                       struct slm_adapter_tensor *out)
{
    slm_adapter_tensor_get(g->a, i, out);
    return out->w;
}

static size_t each(const struct slm_weight *w) { return (size_t)w->rows * (size_t)w->cols; }

static int build(struct grads *g, int n)
{
    slm_runtime *rt = g->a->m->rt;
    struct slm_prog_opts o = {.max_rows = n, .max_out = n, .train = true};
    struct slm_emit_opts e = {.adapter = g->a, .loss = true};
    int rc = slm_prog_new(&g->prog, rt, &o, g->err);
    if (rc)
        return rc;
    slm_model_emit(g->prog, g->a->m, &e);
    for (int i = 0; i < g->a->n_weights; i++) {
        struct slm_adapter_tensor t;
        size_t all = each(tensor(g, i, &t)) * (size_t)t.w->parts;
        g->of[i] = slm_zalloc_n(rt, SLM_MEM_MODEL, all, sizeof(float));
        if (!g->of[i])
            return slm_fail_mem(g->err, "gradients", all * sizeof(float));
        slm_prog_want(g->prog, t.w, g->of[i]);
    }
    return slm_prog_plan(g->prog, g->err);
}

static int compute(struct grads *g, const int32_t *ids, const int32_t *labels, int n,
                   double *loss)
{
    const slm_model *m = g->a->m;
    int32_t *room = slm_alloc_n(m->rt, SLM_MEM_MODEL, (size_t)n * 2, sizeof *room);
    if (!room)
        return slm_fail_mem(g->err, "gradients", (size_t)n * 8);
    int32_t *pos = room, *target = room + n;
    for (int i = 0; i < n; i++)
        pos[i] = i;
    const struct slm_rope *rope = &m->hp.rope[0];
    uint8_t set = rope->kind == SLM_ROPE_LONG && n > rope->original;
    struct slm_run run = {
        .rows = n, .ids = ids, .pos = pos, .n_streams = 1, .rope_set = &set, .target = target};
    int rc = slm_model_targets(m, ids, labels, n, target, g->err);
    if (!rc)
        rc = build(g, n);
    if (!rc) {
        slm_prog_run(g->prog, &run);
        *loss = slm_prog_loss(g->prog);
        slm_prog_run_back(g->prog, &run);
    }
    slm_free(m->rt, room);
    return rc;
}

/* ---- the file ---- */

/* Experts are tensors of their own there. */
static void name_part(const struct slm_adapter_tensor *t, int e, char out[256])
{
    const char *d = strstr(t->name, "%d");
    if (d)
        snprintf(out, 256, "%.*s%d%s", (int)(d - t->name), t->name, e, d + 2);
    else
        snprintf(out, 256, "%s", t->name);
}

static void declare(const struct grads *g, slm_st_out *out)
{
    for (int i = 0; i < g->a->n_weights; i++) {
        struct slm_adapter_tensor t;
        const struct slm_weight *w = tensor(g, i, &t);
        uint64_t dim[2] = {(uint64_t)w->rows, (uint64_t)w->cols};
        for (int e = 0; e < w->parts; e++) {
            char name[256];
            name_part(&t, e, name);
            slm_st_out_tensor(out, name, SLM_F32, t.vector ? dim + 1 : dim, t.vector ? 1 : 2);
        }
    }
}

/* Rows of B, of lengths and of whole weights go in Hugging Face's order. */
static int write_part(const struct grads *g, slm_st_out *out, int i, int e)
{
    struct slm_adapter_tensor t;
    const struct slm_weight *w = tensor(g, i, &t);
    size_t units = (size_t)(t.vector ? w->cols : w->rows),
           unit = t.vector ? 1 : (size_t)w->cols;
    const float *p = g->of[i] + (size_t)e * each(w);
    int rc = 0;
    for (size_t r = 0; r < units && !rc; r++) {
        size_t own =
            t.ordered ? (size_t)slm_row_own(g->a->m, t.weight, SLM_ORDER_HF, (int)r) : r;
        rc = slm_st_out_data(out, p + own * unit, unit * sizeof *p, g->err);
    }
    return rc;
}

static int write_all(const struct grads *g, const char *path)
{
    slm_st_out *out;
    int rc = slm_st_out_open(&out, g->a->m->rt, path, g->err);
    if (rc)
        return rc;
    declare(g, out);
    rc = slm_st_out_begin(out, g->err);
    for (int64_t next; !rc && (next = slm_st_out_next(out)) >= 0;) {
        struct slm_adapter_tensor t;
        int i = 0;
        for (; next >= tensor(g, i, &t)->parts; i++)
            next -= t.w->parts;
        rc = write_part(g, out, i, (int)next);
    }
    if (!rc)
        rc = slm_st_out_commit(out, g->err);
    slm_st_out_close(&out);
    return rc;
}

int slm_adapter_gradients(const slm_adapter *a, const int32_t *ids, const int32_t *labels,
                          int n, const char *path, double *loss, slm_err *err)
{
    if (n < 2 || n > 1 << 20)
        return slm_fail(err, SLM_E_ARG, "%d tokens: want at least 2", n);
    struct grads g = {.a = a, .err = err};
    slm_runtime *rt = a->m->rt;
    g.of = slm_zalloc_n(rt, SLM_MEM_MODEL, (size_t)a->n_weights, sizeof *g.of);
    int rc = g.of ? compute(&g, ids, labels, n, loss) : slm_fail_mem(err, "gradients", 64);
    if (!rc)
        rc = write_all(&g, path);
    for (int i = 0; g.of && i < a->n_weights; i++)
        slm_free(rt, g.of[i]);
    slm_free(rt, g.of);
    slm_prog_free(g.prog);
    return rc;
}
