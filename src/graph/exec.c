/* The executor. It enters the pool once a run: every thread walks the whole node list, does its
 * part of each node, and meets the others where the planner saw that a node needs what came
 * before. Forward runs go further: between two meetings the parts are there to be taken, so
 * that a thread which the system lets wait holds up no more than the part it is at, and the
 * others do the rest of its work. Who computes a part changes no bit. Nothing is allocated and
 * nothing can fail here. */
#include "base/anyjob.h"
#include "graph/prog.h"

#include <string.h>

struct walk {
    slm_prog *p;
    const struct slm_run *run;
};

static void show(slm_prog *p, const struct node *n, const struct slm_run *run, bool back)
{
    struct slm_node_info info = {
        .op = slm_ops[n->op].name,
        .layer = n->layer,
        .index = (int)(n - p->node),
        .w = n->w,
        .in = n->in_place ? -1 : n->in[0],
        .out = n->out,
        .rows = n->in[0] >= 0 ? slm_value_rows(p, n->in[0], run) : run->rows,
        .route = -1,
    };
    if (n->op == OP_linear_expert)
        slm_expert_tell(n, &info);
    if (back)
        p->tap_back(p->tap_back_arg, p, &info);
    else
        p->tap(p->tap_arg, p, &info);
}

static void forward(int ith, int nth, void *arg)
{
    const struct walk *w = arg;
    slm_prog *p = w->p;
    for (size_t i = 0; i < p->n_nodes; i++) {
        const struct node *n = &p->node[i];
        if (n->barrier)
            slm_pool_barrier(p->rt->pool);
        slm_ops[n->op].fwd(p, n, w->run, ith, nth);
        if (p->tap) {
            slm_pool_barrier(p->rt->pool);
            if (ith == 0)
                show(p, n, w->run, false);
            slm_pool_barrier(p->rt->pool);
        }
    }
}

/* Parts [0, nth) of the nodes from `at` to the next meeting: own part first, then what is left.
 */
static void take_parts(const struct walk *w, size_t at, int ith, int nth)
{
    slm_prog *p = w->p;
    struct node *first = &p->node[at];
    size_t end = at + 1;
    while (end < p->n_nodes && !p->node[end].barrier)
        end++;
    for (int k = 0; k < nth; k++) {
        int part = (ith + k) % nth;
        uint64_t bit = (uint64_t)1 << part;
        if (atomic_fetch_or(&first->taken, bit) & bit)
            continue;
        for (size_t i = at; i < end; i++)
            slm_ops[p->node[i].op].fwd(p, &p->node[i], w->run, part, nth);
        if (atomic_fetch_add(&first->done, 1) + 1 == nth)
            slm_pool_set(p->rt->pool, &p->at, (uint32_t)end);
    }
}

static void forward_any(int ith, int nth, void *arg)
{
    const struct walk *w = arg;
    slm_prog *p = w->p;
    for (uint32_t at; (at = atomic_load(&p->at)) < p->n_nodes;) {
        take_parts(w, at, ith, nth);
        slm_pool_wait(p->rt->pool, &p->at, at);
    }
}

/* Some ops meet inside: all threads must be there. */
static bool meets_inside(const struct node *n)
{
    return n->op == OP_linear_expert || n->op == OP_cross_entropy || n->op == OP_head_loss ||
           n->lora.a;
}

static void clear_grads(slm_prog *p, const struct walk *w, int first, int ith, int nth)
{
    for (int v = first; v >= 0; v = p->value[v].zero_next) {
        const struct value *x = &p->value[v];
        size_t lo, hi;
        slm_split((size_t)slm_value_rows(p, v, w->run), 1, ith, nth, &lo, &hi);
        memset((uint8_t *)x->grad + lo * x->row_bytes, 0, (hi - lo) * x->row_bytes);
    }
    if (first >= 0)
        slm_pool_barrier(p->rt->pool);
}

/* A stretch whose values were not kept makes them again before it goes back. */
static void backward(int ith, int nth, void *arg)
{
    const struct walk *w = arg;
    slm_prog *p = w->p;
    for (int s = p->n_stretches; s-- > 0;) {
        int from = p->stretch[s], to = p->stretch[s + 1];
        for (int i = from; i < to; i++) {
            const struct node *n = &p->node[i];
            if (!n->again)
                continue;
            slm_ops[n->op].fwd(p, n, w->run, ith, nth);
            slm_pool_barrier(p->rt->pool);
        }
        for (int i = to; i-- > from;) {
            const struct node *n = &p->node[i];
            clear_grads(p, w, n->zero_first, ith, nth);
            if (!slm_ops[n->op].bwd)
                continue;
            slm_ops[n->op].bwd(p, n, w->run, ith, nth);
            slm_pool_barrier(p->rt->pool);
            if (p->tap_back && ith == 0)
                show(p, n, w->run, true);
        }
    }
}

/* Rows of a stream stand together: where each of this run's stretches begins. */
static void find_streams(slm_prog *p, const struct slm_run *run)
{
    p->n_segments = 0;
    for (int r = 0; r < run->rows; r++)
        if (r == 0 || (run->stream && run->stream[r] != run->stream[r - 1]))
            p->segment[p->n_segments++] = r;
    p->segment[p->n_segments] = run->rows;
}

void slm_prog_run(slm_prog *p, const struct slm_run *run)
{
    SLM_ASSERT(p->planned && !p->o.measure && run->rows <= p->o.max_rows &&
               run->n_out <= p->o.max_out);
    find_streams(p, run);
    bool any = !p->tap && slm_pool_threads(p->rt->pool) <= 64;
    for (size_t i = 0; i < p->n_nodes; i++) {
        struct node *n = &p->node[i];
        atomic_store_explicit(&n->ticket, 0, memory_order_relaxed);
        atomic_store_explicit(&n->taken, 0, memory_order_relaxed);
        atomic_store_explicit(&n->done, 0, memory_order_relaxed);
        any &= !meets_inside(n);
    }
    atomic_store(&p->at, 0);
    p->loss = 0;
    struct walk w = {p, run};
    if (any)
        slm_pool_run_any(p->rt->pool, forward_any, &w);
    else
        slm_pool_run(p->rt->pool, forward, &w);
}

void slm_prog_run_back(slm_prog *p, const struct slm_run *run)
{
    SLM_ASSERT(p->planned && p->o.train);
    for (size_t i = 0; i < p->n_nodes; i++) {
        struct node *n = &p->node[i];
        atomic_store_explicit(&n->ticket, 0, memory_order_relaxed);
        for (int k = 0; k < 2; k++)
            atomic_store_explicit(&n->back[k], 0, memory_order_relaxed);
    }
    find_streams(p, run);
    struct walk w = {p, run};
    slm_pool_run(p->rt->pool, backward, &w);
}
