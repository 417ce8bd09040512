/* The planner. Every value lives from the node that makes it to the last that needs it;
 * training adds the steps of the backward walk to the timeline (node i goes back at step 2n - 1
 * - i), and a gradient for each value. All of these intervals are laid into one block by first
 * fit, so that two that are alive together never overlap. */
#include "graph/prog.h"

#include <string.h>

/* One thing to place. */
struct item {
    size_t size, at;
    size_t *result;
    int from, to;
};

static int max_int(int a, int b) { return a > b ? a : b; }

static int check_trainable(const slm_prog *p, slm_err *err)
{
    for (size_t i = 0; i < p->n_nodes; i++) {
        const struct op_row *op = &slm_ops[p->node[i].op];
        if (!op->bwd && !(op->flags & NO_GRAD))
            return slm_fail(err, SLM_E_UNSUPPORTED,
                            "training through %s, which has no backward", op->name);
    }
    return 0;
}

/* Elementwise nodes write over their input where that was its last use. */
static void work_in_place(slm_prog *p)
{
    for (size_t i = 0; i < p->n_nodes; i++) {
        struct node *n = &p->node[i];
        if (!(slm_ops[n->op].flags & IN_PLACE))
            continue;
        const struct value *a = &p->value[n->in[0]];
        struct value *y = &p->value[n->out];
        const struct value *home = &p->value[a->home];
        if (a->root != n->in[0] || home->used != (int)i || home->keep || a->width != y->width ||
            a->per_token != y->per_token || a->gathered != y->gathered)
            continue;
        y->home = a->home;
        p->value[y->home].used = max_int(y->used, (int)i);
        p->value[y->home].keep |= y->keep;
        n->in_place = true;
    }
}

/* Steps in which values and gradients are needed. */
static void live_ranges(slm_prog *p)
{
    int n = (int)p->n_nodes, end = 2 * n;
    for (size_t v = 0; v < p->n_values; v++) {
        struct value *x = &p->value[v];
        x->from = x->made;
        x->to = x->keep ? end : x->used;
        x->grad_from = end - 1 - x->used;
        x->grad_to = x->keep ? end : end - 1 - x->made;
        x->zero_next = -1;
    }
    for (int i = 0; i < n && p->o.train; i++) {
        const struct node *d = &p->node[i];
        int back = end - 1 - i, flags = slm_ops[d->op].flags;
        for (int k = 0; k < 4; k++) {
            if (d->in[k] >= 0 && (flags & (SAVE_IN0 << k))) {
                struct value *x = &p->value[p->value[d->in[k]].root];
                x->to = max_int(x->to, back);
            }
        }
        if (d->out >= 0 && (flags & SAVE_OUT))
            p->value[d->out].to = max_int(p->value[d->out].to, back);
    }
}

/* Each gradient is cleared by the node that reaches it first on the way back. */
static void clear_lists(slm_prog *p)
{
    for (size_t i = 0; i < p->n_nodes; i++)
        p->node[i].zero_first = -1;
    for (size_t v = 0; v < p->n_values; v++) {
        struct value *x = &p->value[v];
        if (x->root != (slm_val)v || !x->grad_on)
            continue;
        struct node *d = &p->node[x->used];
        x->zero_next = d->zero_first;
        d->zero_first = (int)v;
    }
}

/* Puts item i into the lowest gap that is free while it lives. `order` holds the items placed
 * so far by offset. */
static size_t place(struct item *item, int *order, int placed, int i)
{
    struct item *x = &item[i];
    size_t at = 0;
    for (int j = 0; j < placed; j++) {
        const struct item *y = &item[order[j]];
        if (y->to < x->from || x->to < y->from)
            continue;
        if (y->at >= at + x->size)
            break;
        if (y->at + y->size > at)
            at = y->at + y->size;
    }
    x->at = at;
    int j = placed;
    for (; j > 0 && item[order[j - 1]].at > at; j--)
        order[j] = order[j - 1];
    order[j] = i;
    return at + x->size;
}

static size_t add_items(slm_prog *p, struct item *item)
{
    size_t m = 0;
    for (size_t v = 0; v < p->n_values; v++) {
        struct value *x = &p->value[v];
        size_t size = slm_round((size_t)slm_value_max_rows(p, x) * x->row_bytes, 64);
        if (x->root != (slm_val)v)
            continue;
        if (x->home == (slm_val)v)
            item[m++] = (struct item){size, 0, &x->at, x->from, x->to};
        if (p->o.train && x->grad_on)
            item[m++] = (struct item){size, 0, &x->grad_at, x->grad_from, x->grad_to};
    }
    return m;
}

static size_t lay_out(slm_prog *p, struct item *item, int *order)
{
    size_t m = add_items(p, item), top = 0;
    for (size_t i = 0; i < m; i++) {
        size_t end = place(item, order, (int)i, (int)i);
        top = end > top ? end : top;
    }
    for (size_t i = 0; i < m; i++)
        *item[i].result = item[i].at;
    return top;
}

static void set_pointers(slm_prog *p)
{
    for (size_t v = 0; v < p->n_values; v++) {
        struct value *x = &p->value[v];
        const struct value *root = &p->value[x->root];
        x->data = p->block + p->value[root->home].at + (size_t)x->col * sizeof(float);
        if (p->o.train && root->grad_on)
            x->grad = (float *)(void *)(p->block + root->grad_at) + x->col;
    }
}

/* ---- barriers ---- */

struct touch {
    const uint8_t *lo, *hi;
};

static struct touch touch_of(const slm_prog *p, slm_val v)
{
    if (v < 0)
        return (struct touch){NULL, NULL};
    const struct value *x = &p->value[p->value[v].root];
    return (struct touch){x->data, x->data + (size_t)slm_value_max_rows(p, x) * x->row_bytes};
}

static bool meets(struct touch a, struct touch b) { return a.lo < b.hi && b.lo < a.hi; }

/* Does node b have to wait for node a: one writes what the other reads or writes? */
static bool depends(const slm_prog *p, const struct node *a, const struct node *b)
{
    struct touch wa = touch_of(p, a->out), wb = touch_of(p, b->out);
    if (meets(wa, wb))
        return true;
    for (int i = 0; i < 4; i++) {
        if (meets(touch_of(p, a->in[i]), wb) || meets(touch_of(p, b->in[i]), wa))
            return true;
    }
    return false;
}

/* Threads meet before a node only when it depends on one since they last met: q, k and v need
 * no barrier between them. Two that share scratch, or the cache, are told apart by meeting
 * always. */
static void set_barriers(slm_prog *p)
{
    size_t since = 0;
    for (size_t i = 0; i < p->n_nodes; i++) {
        struct node *n = &p->node[i];
        n->barrier = n->shared;
        for (size_t j = since; j < i && !n->barrier; j++)
            n->barrier = depends(p, &p->node[j], n);
        if (n->barrier)
            since = i;
    }
}

int slm_prog_plan(slm_prog *p, slm_err *err)
{
    SLM_ASSERT(!p->planned);
    if (p->err.code)
        return slm_fail(err, p->err.code, "%s", p->err.msg);
    int rc = p->o.train ? check_trainable(p, err) : 0;
    if (rc)
        return rc;
    if (!p->o.train)
        work_in_place(p);
    live_ranges(p);
    clear_lists(p);
    size_t m = 2 * p->n_values;
    struct item *item = slm_alloc_n(p->rt, SLM_MEM_GRAPH, m, sizeof *item);
    int *order = slm_alloc_n(p->rt, SLM_MEM_GRAPH, m, sizeof *order);
    if (item && order) {
        size_t nth = (size_t)slm_pool_threads(p->rt->pool);
        p->shared_at = lay_out(p, item, order);
        p->thread_at = p->shared_at + p->shared_need;
        p->block_bytes = p->thread_at + nth * p->thread_need;
        if (p->o.share && p->o.share->block_bytes >= p->block_bytes)
            p->block = p->o.share->block;
        else
            p->block = slm_pages_alloc(p->rt, SLM_MEM_GRAPH, p->block_bytes);
    }
    slm_free(p->rt, item);
    slm_free(p->rt, order);
    if (!p->block)
        return slm_fail_mem(err, "a program's values", p->block_bytes);
    set_pointers(p);
    set_barriers(p);
    p->planned = true;
    return 0;
}

size_t slm_prog_bytes(const slm_prog *p) { return p->block_bytes; }
