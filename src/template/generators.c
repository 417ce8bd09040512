/* Generators: what the filters on sequences hand out, and loops with a condition. Each is an
 * iterator with a step of its own that asks the evaluator for a path, a filter or a test. */
#include <string.h>

#include "template/jinja.h"

static int next_map(struct py_run *r, struct jj_gen *g, py_val *out)
{
    py_val v;
    int more = slm_py_next(r, g->in, &v);
    if (more <= 0)
        return more;
    if (g->attr) {
        *out = slm_jj_path(r, v, g->key, g->fill);
    } else {
        if (g->key.t == T_MISSING) {
            slm_py_fail(r, SLM_E_TEMPLATE, "map requires a filter argument");
            return -1;
        }
        *out = slm_jj_filter_named(r, g->key, v, &g->args);
    }
    return py_bad(*out) ? -1 : 1;
}

static int next_select(struct py_run *r, struct jj_gen *g, py_val *out)
{
    py_val v, tested;
    int more;
    while ((more = slm_py_next(r, g->in, &v)) > 0) {
        bool yes;
        tested = g->attr ? slm_jj_path(r, v, g->fill, (py_val){.t = T_MISSING}) : v;
        if (py_bad(tested))
            return -1;
        if (g->key.t == T_MISSING) {
            if (!slm_py_truth(r, tested, &yes))
                return -1;
        } else {
            int t = slm_jj_test_named(r, g->key, tested, &g->args);
            if (t < 0)
                return -1;
            yes = t;
        }
        if (yes != g->negate) {
            *out = v;
            return 1;
        }
    }
    return more;
}

static int next_unique(struct py_run *r, struct jj_gen *g, py_val *out)
{
    int more;
    while ((more = slm_py_next(r, g->in, out)) > 0) {
        py_val k = slm_jj_path(r, *out, g->key, (py_val){.t = T_MISSING});
        if (k.t == T_STR && !g->negate)
            k = slm_py_recase(r, k, CASE_LOWER);
        if (py_bad(k))
            return -1;
        size_t n = g->seen->n;
        if (!slm_py_put(r, g->seen, k, py_none()))
            return -1;
        if (g->seen->n > n)
            return 1;
    }
    return more;
}

static int next_batch(struct py_run *r, struct jj_gen *g, py_val *out)
{
    py_val list = slm_py_list(r, T_LIST, 0), v;
    int more = 1;
    if (py_bad(list))
        return -1;
    /* a batch ends when the next item shows that it is full; that item waits in key */
    if (g->attr && !slm_py_push(r, list.l, g->key))
        return -1;
    g->attr = false;
    while ((more = slm_py_next(r, g->in, &v)) > 0) {
        if ((py_int)list.l->n == g->count) {
            g->key = v;
            g->attr = true;
            *out = list;
            return 1;
        }
        if (!slm_py_push(r, list.l, v))
            return -1;
    }
    if (more < 0 || list.l->n == 0)
        return more;
    g->it.ended = true;
    while (g->fill.t != T_NONE && (py_int)list.l->n < g->count)
        if (!slm_py_push(r, list.l, g->fill))
            return -1;
    *out = list;
    return 1;
}

static int next_slice(struct py_run *r, struct jj_gen *g, py_val *out)
{
    if (!g->started) {
        g->it.src = slm_py_collect(r, g->it.src, T_LIST);
        g->started = true;
        if (py_bad(g->it.src))
            return -1;
        if (g->count == 0) {
            slm_py_fail(r, SLM_E_TEMPLATE, "integer division or modulo by zero");
            return -1;
        }
    }
    if ((py_int)g->it.i >= g->count)
        return 0;
    size_t n = g->it.src.l->n, slices = (size_t)g->count, per = n / slices, extra = n % slices,
           k = g->it.i++;
    size_t lo = k * per + (k < extra ? k : extra), hi = lo + per + (k < extra);
    *out = slm_py_list(r, T_LIST, hi - lo + 1);
    if (py_bad(*out))
        return -1;
    for (size_t i = lo; i < hi; i++)
        out->l->v[out->l->n++] = g->it.src.l->v[i];
    if (g->fill.t != T_NONE && k >= extra)
        out->l->v[out->l->n++] = g->fill;
    return 1;
}

static int next_loop_if(struct py_run *r, struct jj_gen *g, py_val *out)
{
    struct jj_frame *saved = jj(r)->frame;
    int more;
    while ((more = slm_py_next(r, g->in, out)) > 0) {
        bool yes = false;
        g->frame->n = 0;
        jj(r)->frame = g->frame;
        bool ok = slm_jj_assign(r, g->node->a, *out);
        py_val v = ok ? slm_jj_eval(r, g->node->c) : py_failed();
        ok = !py_bad(v) && slm_py_truth(r, v, &yes);
        jj(r)->frame = saved;
        if (!ok)
            return -1;
        if (yes)
            return 1;
    }
    return more;
}

static int step(struct py_run *r, struct py_iter *it, py_val *out)
{
    struct jj_gen *g = (struct jj_gen *)(void *)it;
    bool any = true;
    if (!g->in && g->kind != G_SLICE) {
        if ((g->kind == G_MAP || g->kind == G_SELECT) && !slm_py_truth(r, it->src, &any))
            return -1;
        if (!any)
            return 0;
        if (!(g->in = slm_py_iter(r, it->src)))
            return -1;
    }
    switch (g->kind) {
    case G_MAP: return next_map(r, g, out);
    case G_SELECT: return next_select(r, g, out);
    case G_UNIQUE: return next_unique(r, g, out);
    case G_BATCH: return next_batch(r, g, out);
    case G_SLICE: return next_slice(r, g, out);
    default: return next_loop_if(r, g, out);
    }
}

struct jj_gen *slm_jj_generator(struct py_run *r, int kind, py_val src)
{
    static const char *const makers[] = {
        [G_MAP] = "sync_do_map", [G_SELECT] = "select_or_reject", [G_UNIQUE] = "sync_do_unique",
        [G_BATCH] = "do_batch",  [G_SLICE] = "sync_do_slice",     [G_LOOPIF] = NULL};
    struct jj_gen *g = slm_py_new(r, sizeof *g);
    if (g) {
        g->kind = kind;
        g->it = (struct py_iter){.kind = I_STEP,
                                 .type = "generator",
                                 .maker = makers[kind],
                                 .src = src,
                                 .step = step};
    }
    return g;
}
