/* The planner. Every value lives from the node that makes it to the last that needs it;
 * training adds the steps of the backward walk to the timeline, and a gradient for each value.
 * The walk goes back stretch by stretch: one whose values were not kept first makes those again
 * that its backward reads, which gives such a value a second life in the same place. All of
 * these lives are laid into one block by first fit, so that two that overlap never share. */
#include "graph/prog.h"

#include <string.h>

/* One thing to place. */
struct item {
    size_t size, at;
    size_t *result;
    int from, to, from2, to2; /* from2 > to2: no second life */
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

/* ---- stretches ---- */

static int group_of(const slm_prog *p, const struct node *n)
{
    if (!p->o.train || p->o.stretch < 1)
        return 0;
    return n->layer < 0 ? -1 : n->layer / p->o.stretch;
}

static int cut_stretches(slm_prog *p)
{
    int n = (int)p->n_nodes;
    p->stretch = slm_arena_alloc_n(&p->arena, (size_t)n + 1, sizeof *p->stretch);
    if (!p->stretch)
        return -1;
    p->n_stretches = 0;
    for (int i = 0; i < n; i++) {
        if (i == 0 || group_of(p, &p->node[i]) != group_of(p, &p->node[i - 1]))
            p->stretch[p->n_stretches++] = i;
        p->node[i].stretch = p->n_stretches - 1;
    }
    p->stretch[p->n_stretches] = n;
    return 0;
}

static bool remade(const slm_prog *p, int stretch)
{
    return p->o.train && p->o.stretch > 0 && p->node[p->stretch[stretch]].layer >= 0;
}

/* When a node is computed, computed again, and goes back. */
static int when_again(const slm_prog *p, int i)
{
    int from = p->stretch[p->node[i].stretch], to = p->stretch[p->node[i].stretch + 1];
    return (int)p->n_nodes + 2 * ((int)p->n_nodes - to) + (i - from);
}
static int when_back(const slm_prog *p, int i)
{
    int from = p->stretch[p->node[i].stretch], to = p->stretch[p->node[i].stretch + 1];
    return (int)p->n_nodes + 2 * ((int)p->n_nodes - to) + (to - from) + (to - 1 - i);
}

/* Calls fn for each root that backward of node n reads. */
typedef void root_fn(slm_prog *p, int root, int node);
static void each_saved(slm_prog *p, int i, root_fn *fn)
{
    const struct node *n = &p->node[i];
    int flags = slm_ops[n->op].flags;
    for (int k = 0; k < 4; k++)
        if (n->in[k] >= 0 && (flags & (SAVE_IN0 << k)))
            fn(p, p->value[n->in[k]].root, i);
    if (n->out >= 0 && (flags & SAVE_OUT))
        fn(p, p->value[n->out].root, i);
}

static void mark_wanted(slm_prog *p, int root, int node)
{
    (void)node;
    p->value[root].wanted = true;
}

/* Which nodes of a stretch are computed again: those that make what its backward reads, and
 * what they need of each other. */
static void mark_again(slm_prog *p, int stretch)
{
    for (int i = p->stretch[stretch]; i < p->stretch[stretch + 1]; i++)
        each_saved(p, i, mark_wanted);
    for (int i = p->stretch[stretch + 1]; i-- > p->stretch[stretch];) {
        struct node *n = &p->node[i];
        n->again = n->out >= 0 && p->value[p->value[n->out].root].wanted;
        for (int k = 0; k < 4 && n->again; k++)
            if (n->in[k] >= 0)
                p->value[p->value[n->in[k]].root].wanted = true;
    }
    for (size_t v = 0; v < p->n_values; v++)
        p->value[v].wanted = false;
}

/* ---- lives ---- */

/* Root v is needed by node i at a step: by another stretch or in the first walk, in its first
 * life; else in its second. */
static void need(slm_prog *p, int v, int i, int step)
{
    struct value *x = &p->value[v];
    int own = p->node[x->made].stretch;
    if (step < (int)p->n_nodes || p->node[i].stretch != own || !remade(p, own)) {
        x->to = max_int(x->to, step);
        return;
    }
    if (x->from2 > x->to2)
        x->from2 = x->to2 = step;
    x->from2 = x->from2 < step ? x->from2 : step;
    x->to2 = max_int(x->to2, step);
}

static void need_saved(slm_prog *p, int root, int node)
{
    need(p, root, node, when_back(p, node));
}

/* Steps in which values and gradients are needed. */
static void live_ranges(slm_prog *p)
{
    int n = (int)p->n_nodes, end = 3 * n;
    for (size_t v = 0; v < p->n_values; v++) {
        struct value *x = &p->value[v];
        x->from = x->made;
        x->to = x->keep ? end : x->used;
        x->from2 = 1;
        x->to2 = 0;
        x->zero_next = -1;
        if (!p->o.train || x->root != (slm_val)v)
            continue;
        x->grad_from = when_back(p, x->used);
        x->grad_to = x->keep ? end : when_back(p, x->made);
    }
    for (int s = 0; s < p->n_stretches && p->o.train; s++)
        if (remade(p, s))
            mark_again(p, s);
    for (int i = 0; i < n && p->o.train; i++) {
        const struct node *d = &p->node[i];
        each_saved(p, i, need_saved);
        for (int k = 0; k < 4 && d->again; k++)
            if (d->in[k] >= 0)
                need(p, p->value[d->in[k]].root, i, when_again(p, i));
        if (d->again)
            need(p, p->value[d->out].root, i, when_again(p, i));
    }
}

/* Which input of node n is the whole of root v, for an op that can write its gradient? */
static int stores(const slm_prog *p, const struct node *n, slm_val v)
{
    if (n->in[0] == v && (slm_ops[n->op].flags & STORE0) && n->in[1] != v)
        return 0;
    if (n->in[1] == v && (slm_ops[n->op].flags & STORE1) && p->value[n->in[0]].root != v)
        return 1;
    return -1;
}

/* Each gradient is written, or else cleared, by the node that reaches it first on the way back.
 */
static void clear_lists(slm_prog *p)
{
    for (size_t i = 0; i < p->n_nodes; i++)
        p->node[i].zero_first = -1;
    for (size_t v = 0; v < p->n_values; v++) {
        struct value *x = &p->value[v];
        if (x->root != (slm_val)v || !x->grad_on)
            continue;
        struct node *d = &p->node[x->used];
        int k = stores(p, d, (slm_val)v);
        if (k >= 0) {
            d->fresh[k] = true;
            continue;
        }
        x->zero_next = d->zero_first;
        d->zero_first = (int)v;
    }
}

static bool overlap(int a, int b, int c, int d) { return a <= b && c <= d && a <= d && c <= b; }

static bool meet_in_time(const struct item *x, const struct item *y)
{
    return overlap(x->from, x->to, y->from, y->to) ||
           overlap(x->from, x->to, y->from2, y->to2) ||
           overlap(x->from2, x->to2, y->from, y->to) ||
           overlap(x->from2, x->to2, y->from2, y->to2);
}

/* Puts item i into the lowest gap that is free while it lives. `order` holds the items placed
 * so far by offset. */
static size_t place(struct item *item, int *order, int placed, int i)
{
    struct item *x = &item[i];
    size_t at = 0;
    for (int j = 0; j < placed; j++) {
        const struct item *y = &item[order[j]];
        if (!meet_in_time(x, y))
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
            item[m++] = (struct item){size, 0, &x->at, x->from, x->to, x->from2, x->to2};
        if (p->o.train && x->grad_on)
            item[m++] = (struct item){size, 0, &x->grad_at, x->grad_from, x->grad_to, 1, 0};
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
    if (cut_stretches(p))
        return slm_fail_mem(err, "a program's stretches", p->n_nodes * sizeof(int));
    live_ranges(p);
    clear_lists(p);
    size_t m = 2 * p->n_values;
    struct item *item = slm_alloc_n(p->rt, SLM_MEM_GRAPH, m, sizeof *item);
    int *order = slm_alloc_n(p->rt, SLM_MEM_GRAPH, m, sizeof *order);
    bool room = item && order;
    if (room) {
        size_t nth = (size_t)slm_pool_threads(p->rt->pool);
        p->shared_at = lay_out(p, item, order);
        p->thread_at = p->shared_at + p->shared_need;
        p->block_bytes = p->thread_at + nth * p->thread_need;
        if (p->o.measure)
            p->block = NULL;
        else if (p->o.share && p->o.share->block_bytes >= p->block_bytes)
            p->block = p->o.share->block;
        else
            p->block = slm_pages_alloc(p->rt, SLM_MEM_GRAPH, p->block_bytes);
    }
    slm_free(p->rt, item);
    slm_free(p->rt, order);
    if (!room || (!p->block && !p->o.measure))
        return slm_fail_mem(err, "a program's values", p->block_bytes);
    p->planned = true;
    if (p->o.measure)
        return 0;
    set_pointers(p);
    set_barriers(p);
    return 0;
}

size_t slm_prog_bytes(const slm_prog *p) { return p->block_bytes; }
