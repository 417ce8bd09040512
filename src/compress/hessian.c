/* Collecting second moments. The tap only copies a piece's inputs (once for all matrices that
 * read the same value), since the other threads wait meanwhile; then all threads add X'X, each
 * element a sum over the piece's rows in the kernel's order, pieces in theirs. Lower halves
 * only, the rest is their mirror image. */
#include "compress/hessian.h"

#include <string.h>

#include "kernels/kernels.h"

enum { TILE = 64 };

int slm_hessian_open(struct slm_hessian *g, slm_runtime *rt, int n_weights, const bool *wanted,
                     slm_err *err)
{
    memset(g, 0, sizeof *g);
    g->rt = rt;
    g->wanted = wanted;
    g->at = slm_alloc_n(rt, SLM_MEM_USER, (size_t)n_weights, sizeof *g->at);
    for (int i = 0; i < n_weights && g->at; i++)
        g->at[i] = -1;
    return g->at ? 0 : slm_fail_mem(err, "moments", (size_t)n_weights * sizeof *g->at);
}

void slm_hessian_close(struct slm_hessian *g)
{
    for (int i = 0; i < g->n; i++) {
        slm_free(g->rt, g->in[i].h);
        slm_free(g->rt, g->in[i].x);
        slm_free(g->rt, g->in[i].t);
    }
    if (g->rt) {
        slm_free(g->rt, g->at);
        slm_free(g->rt, g->room);
    }
    memset(g, 0, sizeof *g);
}

static struct slm_moments *moments_of(struct slm_hessian *g, const struct slm_node_info *node)
{
    for (int i = 0; i < g->n; i++)
        if (g->in[i].in == node->in)
            return &g->in[i];
    if (g->n == SLM_HESSIAN_MOST) {
        g->failed = SLM_E_LIMIT;
        return NULL;
    }
    struct slm_moments *m = &g->in[g->n++];
    size_t cols = (size_t)node->w->cols;
    *m = (struct slm_moments){.in = node->in, .cols = node->w->cols};
    m->h = slm_zalloc_n(g->rt, SLM_MEM_USER, cols * cols, sizeof *m->h);
    if (!m->h)
        g->failed = SLM_E_NOMEM;
    return m;
}

static bool make_room(struct slm_hessian *g, struct slm_moments *m, int rows)
{
    size_t n = (size_t)rows * (size_t)m->cols;
    if ((size_t)rows <= m->room)
        return true;
    slm_free(g->rt, m->x);
    slm_free(g->rt, m->t);
    m->x = slm_alloc_n(g->rt, SLM_MEM_USER, n, sizeof *m->x);
    m->t = slm_alloc_n(g->rt, SLM_MEM_USER, n, sizeof *m->t);
    m->room = m->x && m->t ? (size_t)rows : 0;
    return m->room > 0;
}

void slm_hessian_see(void *arg, const slm_prog *p, const struct slm_node_info *node)
{
    struct slm_hessian *g = arg;
    if (!node->w || node->in < 0 || g->failed || !g->wanted[node->w->id] ||
        strncmp(node->op, "linear", 6) != 0)
        return;
    struct slm_moments *m = moments_of(g, node);
    if (!m || g->failed)
        return;
    g->at[node->w->id] = (int)(m - g->in);
    if (m->rows)
        return;
    size_t ld, cols = (size_t)m->cols;
    const float *x = slm_prog_value(p, node->in, &ld);
    if (!make_room(g, m, node->rows)) {
        g->failed = SLM_E_NOMEM;
        return;
    }
    for (int r = 0; r < node->rows; r++)
        memcpy(m->x + (size_t)r * cols, x + (size_t)r * ld, cols * sizeof *x);
    m->rows = node->rows;
}

static void add_job(int ith, int nth, void *arg)
{
    const struct slm_hessian *g = arg;
    const struct slm_kern *kern = g->rt->kern;
    float *room = g->room + (size_t)ith * TILE * g->room_cols;
    for (int i = 0; i < g->n; i++) {
        const struct slm_moments *m = &g->in[i];
        size_t cols = (size_t)m->cols, rows = (size_t)m->rows, lo, hi;
        slm_split(cols, TILE, ith, nth, &lo, &hi);
        if (rows && hi > lo)
            kern->transpose(m->t + lo * rows, rows, m->x + lo, cols, rows, hi - lo);
    }
    slm_pool_barrier(g->rt->pool);
    for (int i = 0; i < g->n; i++) {
        const struct slm_moments *m = &g->in[i];
        size_t cols = (size_t)m->cols, rows = (size_t)m->rows,
               tiles = rows ? (cols + TILE - 1) / TILE : 0;
        for (size_t k = (size_t)ith; k < tiles; k += (size_t)nth) {
            /* big and small tiles by turns: the triangle's work is dealt evenly */
            size_t tile = k % 2 ? tiles - 1 - (k - 1) / 2 : k / 2, r0 = tile * TILE,
                   r1 = r0 + TILE < cols ? r0 + TILE : cols;
            kern->mul_exact[SLM_F32](room, cols, m->t + r0 * rows, rows * sizeof *m->t,
                                     (int)(r1 - r0), m->t, rows * sizeof *m->t, (int)r1, rows);
            for (size_t r = r0; r < r1; r++)
                kern->add(m->h + r * cols, m->h + r * cols, room + (r - r0) * cols, r + 1);
        }
    }
}

int slm_hessian_add(struct slm_hessian *g, slm_err *err)
{
    size_t widest = 0, threads = (size_t)slm_pool_threads(g->rt->pool);
    if (g->failed == SLM_E_LIMIT)
        return slm_fail(err, SLM_E_LIMIT, "more than %d different inputs at once",
                        SLM_HESSIAN_MOST);
    for (int i = 0; i < g->n; i++)
        widest = (size_t)g->in[i].cols > widest ? (size_t)g->in[i].cols : widest;
    if (widest > g->room_cols) {
        slm_free(g->rt, g->room);
        g->room = slm_alloc_n(g->rt, SLM_MEM_USER, threads * TILE * widest, sizeof *g->room);
        g->room_cols = widest;
    }
    if (g->failed || (widest && !g->room))
        return slm_fail_mem(err, "second moments", widest * widest * sizeof(float));
    slm_pool_run(g->rt->pool, add_job, g);
    for (int i = 0; i < g->n; i++)
        g->in[i].rows = 0;
    return 0;
}

void slm_hessian_end(struct slm_hessian *g)
{
    for (int i = 0; i < g->n; i++) {
        size_t n = (size_t)g->in[i].cols;
        float *h = g->in[i].h;
        for (size_t r = 0; r < n; r++)
            for (size_t c = 0; c < r; c++)
                h[c * n + r] = h[r * n + c];
        slm_free(g->rt, g->in[i].x);
        slm_free(g->rt, g->in[i].t);
        g->in[i].x = g->in[i].t = NULL;
        g->in[i].room = 0;
    }
}
