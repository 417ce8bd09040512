/* lora: the low-rank addition of an adapter, y += s B (A x), in the place of y; and the same
 * over experts. Rows are split among threads, so that A x, which is small, stays with the
 * thread that made it. The gradient of y needs no work: it is the gradient before the addition
 * too, and lies in the same place. */
#include "graph/product.h"

#include <string.h>

enum { I_ROW0, I_CHOSEN, I_FAN }; /* node.i; I_CHOSEN 0: no experts */
enum { F_SCALE, F_DROP };         /* node.f */
enum { L_Y, L_X, L_SEL };         /* node.in */

#define DROP_GRAIN 4 /* columns that one draw decides on */

static bool lora_fits(slm_prog *p, slm_val y, slm_val x, const struct slm_lora *l)
{
    const struct slm_weight *a = l->a, *b = l->b;
    if (!slm_emit_weight(p, a, "adapter") || !slm_emit_weight(p, b, "adapter"))
        return false;
    int in = p->value[x].width, out = p->value[y].width;
    if (a->type == SLM_F32 && b->type == SLM_F32 && a->cols == in && a->rows == b->cols &&
        l->row0 >= 0 && l->row0 <= out - b->rows && a->parts == b->parts)
        return true;
    slm_emit_fail(p, SLM_E_FORMAT, "%s: adapter of %d x %d and %d x %d at row %d of %d x %d",
                  a->name, b->rows, b->cols, a->rows, a->cols, l->row0, out, in);
    return false;
}

static struct node *emit(slm_prog *p, slm_val y, slm_val x, const struct slm_lora *l,
                         slm_val *out)
{
    *out = slm_emit_view(p, y, 0, p->value[y].width);
    struct node *n = slm_node_new(p, OP_lora, *out, y, x);
    if (!n)
        return NULL;
    n->lora = *l;
    n->i[I_ROW0] = l->row0;
    n->f[F_SCALE] = l->scale;
    n->f[F_DROP] = p->o.train ? l->dropout : 0.0f;
    n->shared = true;
    size_t rows = (size_t)slm_value_max_rows(p, &p->value[y]), rank = (size_t)l->a->rows;
    size_t floats = 2 * rows * rank + (n->f[F_DROP] > 0 ? rows * (size_t)l->a->cols : 0);
    slm_emit_scratch(p, floats * sizeof(float), 0);
    slm_gemm_scratch(p);
    return n;
}

slm_val slm_emit_lora(slm_prog *p, slm_val y, slm_val x, const struct slm_lora *l)
{
    slm_val out;
    if (!slm_emit_ok(p, y, x) || x < 0 || !lora_fits(p, y, x, l))
        return -1;
    return emit(p, y, x, l, &out) ? out : -1;
}

slm_val slm_emit_lora_expert(slm_prog *p, slm_val y, slm_val x, slm_val sel,
                             const struct slm_lora *l)
{
    slm_val out;
    if (!slm_emit_ok(p, y, x) || x < 0 || sel < 0 || !lora_fits(p, y, x, l))
        return -1;
    struct node *n = emit(p, y, x, l, &out);
    if (!n)
        return -1;
    slm_node_input(p, n, L_SEL, sel);
    n->i[I_CHOSEN] = p->value[sel].width / 2;
    n->i[I_FAN] = p->value[y].per_token / p->value[x].per_token;
    size_t rows = (size_t)slm_value_max_rows(p, &p->value[y]), rank = (size_t)l->a->rows;
    size_t floats = 2 * rows * rank + (n->f[F_DROP] > 0 ? rows * (size_t)l->a->cols : 0);
    slm_emit_scratch(
        p, floats * sizeof(float) + slm_groups_ints(l->a->parts, rows) * sizeof(int), 0);
    return out;
}

/* ---- scratch ---- */

/* In the shared scratch: A x, its gradient, x with dropout, and rows by expert. */
struct low {
    float *xa, *dxa; /* (rows, r) */
    float *x;        /* (rows, in) or NULL: none is dropped */
    struct slm_groups g;
    size_t rank, in;
    int rows, parts;
    float scale;
    int ith, nth; /* the thread whose view this is */
};

static struct low low_of(const slm_prog *p, const struct node *n, const struct slm_run *run,
                         int ith, int nth)
{
    size_t most = (size_t)slm_value_max_rows(p, &p->value[n->out]);
    struct low w = {.rank = (size_t)n->lora.a->rows,
                    .in = (size_t)n->lora.a->cols,
                    .rows = slm_value_rows(p, n->out, run),
                    .parts = n->i[I_CHOSEN] ? n->lora.a->parts : 1,
                    .scale = n->f[F_SCALE],
                    .ith = ith,
                    .nth = nth};
    if (n->lora.factor)
        w.scale *= *n->lora.factor;
    w.xa = slm_scratch(p);
    w.dxa = w.xa + most * w.rank;
    float *end = w.dxa + most * w.rank;
    if (n->f[F_DROP] > 0) {
        w.x = run->seed ? end : NULL;
        end += most * w.in;
    }
    if (n->i[I_CHOSEN])
        w.g = slm_groups_at((int *)(void *)end, w.parts, most);
    return w;
}

/* Rows of the output by expert; then all threads know them. */
static void sort(slm_prog *p, const struct node *n, const struct low *w, int ith)
{
    if (!n->i[I_CHOSEN])
        return;
    struct slm_choice c = {n->in[L_SEL], n->i[I_CHOSEN], n->i[I_FAN], w->parts};
    if (ith == 0)
        slm_groups_sort(p, &c, &w->g, w->rows);
    slm_pool_barrier(p->rt->pool);
}

/* ---- dropout (Srivastava et al., 2014) ---- */

/* A number that is the same whenever the row and column of this node come again. */
static uint64_t draw(uint64_t seed, uint64_t at)
{
    uint64_t z = seed + at * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* row *= mask / (1 - p), for output row r. */
static void drop(const slm_prog *p, const struct node *n, const struct slm_run *run, int r,
                 float *row, size_t cols)
{
    float keep = 1.0f / (1.0f - n->f[F_DROP]);
    uint32_t edge = (uint32_t)(n->f[F_DROP] * 65536.0f);
    uint64_t seed = draw(run->seed, (uint64_t)(n - p->node) << 32 | (uint32_t)r);
    for (size_t c = 0; c < cols; c += DROP_GRAIN) {
        uint64_t d = draw(seed, c);
        for (size_t i = c; i < cols && i < c + DROP_GRAIN; i++, d >>= 16)
            row[i] = (uint32_t)(d & 0xffff) < edge ? 0.0f : row[i] * keep;
    }
}

/* Rows [lo, hi) of x as they are used, where something is dropped. */
static void drop_rows(slm_prog *p, const struct node *n, const struct slm_run *run,
                      const struct low *w, size_t lo, size_t hi)
{
    int fan = n->i[I_CHOSEN] ? n->i[I_FAN] : 1;
    for (size_t r = lo; r < hi && w->x; r++) {
        memcpy(w->x + r * w->in, slm_row(p, n->in[L_X], (int)r / fan), w->in * sizeof *w->x);
        drop(p, n, run, (int)r, w->x + r * w->in, w->in);
    }
}

/* ---- products ---- */

/* What x is for expert e's output rows, an operand with one row each. */
static struct slm_side x_side(const slm_prog *p, const struct node *n, const struct low *w,
                              int e)
{
    struct slm_side s = w->x ? slm_side_floats(w->x, w->in) : slm_side_of(p, n->in[L_X]);
    if (n->i[I_CHOSEN])
        s.index = (w->x ? w->g.out : w->g.in) + w->g.first[e];
    return s;
}

static struct slm_side low_side(const struct node *n, const struct low *w, const float *x,
                                int e)
{
    struct slm_side s = slm_side_floats(x, w->rank);
    if (n->i[I_CHOSEN])
        s.index = w->g.out + w->g.first[e];
    return s;
}

static int rows_of(const struct node *n, const struct low *w, int e)
{
    return n->i[I_CHOSEN] ? w->g.first[e + 1] - w->g.first[e] : w->rows;
}

/* A product of which this thread does rows [lo, hi) of `of`. */
static void part_rows(slm_prog *p, const struct node *n, const struct low *w,
                      struct slm_gemm *g, int e)
{
    size_t lo, hi;
    slm_split((size_t)rows_of(n, w, e), 1, w->ith, w->nth, &lo, &hi);
    g->m = (int)(hi - lo);
    if (g->a.index)
        g->a.index += lo;
    else
        g->a.data = (const uint8_t *)g->a.data + lo * g->a.stride;
    if (n->i[I_CHOSEN])
        g->c_index = w->g.out + w->g.first[e] + lo;
    else
        g->c += lo * g->ldc;
    slm_gemm_own(p, g, w->ith);
}

/* xa = x A' */
static void down(slm_prog *p, const struct node *n, const struct low *w, int e)
{
    struct slm_gemm g = {.c = w->xa,
                         .ldc = w->rank,
                         .n = (int)w->rank,
                         .k = (int)w->in,
                         .a = x_side(p, n, w, e),
                         .b = slm_side_weight(n->lora.a, e)};
    part_rows(p, n, w, &g, e);
}

/* ---- forward ---- */

static void train_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                      int nth)
{
    struct low w = low_of(p, n, run, ith, nth);
    size_t lo, hi;
    sort(p, n, &w, ith);
    slm_split((size_t)w.rows, 1, ith, nth, &lo, &hi);
    drop_rows(p, n, run, &w, lo, hi);
    if (n->i[I_CHOSEN] && w.x)
        slm_pool_barrier(p->rt->pool); /* an expert's rows are others' */
    for (int e = 0; e < w.parts; e++) {
        down(p, n, &w, e);
        slm_split((size_t)rows_of(n, &w, e), 1, ith, nth, &lo, &hi);
        for (size_t i = lo; i < hi; i++) {
            float *xa =
                w.xa + (n->i[I_CHOSEN] ? (size_t)w.g.out[w.g.first[e] + (int)i] : i) * w.rank;
            p->kern->scale(xa, xa, w.scale, w.rank);
        }
        struct slm_gemm up = {.c = slm_row(p, n->out, 0) + n->i[I_ROW0],
                              .ldc = slm_ld(p, n->out),
                              .add = true,
                              .n = n->lora.b->rows,
                              .k = (int)w.rank,
                              .a = low_side(n, &w, w.xa, e),
                              .b = slm_side_weight(n->lora.b, e)};
        part_rows(p, n, &w, &up, e);
    }
}

/* Running: columns of A and B are shared out, as a single row has no rows to share. */
static void run_row(slm_prog *p, const struct node *n, const struct low *w, int r, int ith,
                    int nth)
{
    int e = 0, chosen = n->i[I_CHOSEN], fan = chosen ? n->i[I_FAN] : 1;
    size_t lo, hi, wide = (size_t)n->lora.b->rows;
    if (chosen)
        memcpy(&e, slm_row(p, n->in[L_SEL], r / chosen) + chosen + r % chosen, sizeof e);
    float *xa = w->xa + (size_t)r * w->rank;
    slm_split(w->rank, 4, ith, nth, &lo, &hi);
    p->kern->mul_exact[SLM_F32](xa + lo, w->rank, slm_row(p, n->in[L_X], r / fan), 0, 1,
                                slm_weight_row(n->lora.a, e, (int)lo), n->lora.a->stride,
                                (int)(hi - lo), w->in);
    slm_pool_barrier(p->rt->pool);
    slm_split(wide, COLS, ith, nth, &lo, &hi);
    float tile[COLS], *y = slm_row(p, n->out, r) + n->i[I_ROW0];
    for (size_t c = lo; c < hi; c += COLS) {
        int cols = (int)(hi - c < COLS ? hi - c : COLS);
        p->kern->mul_exact[SLM_F32](tile, COLS, xa, 0, 1, slm_weight_row(n->lora.b, e, (int)c),
                                    n->lora.b->stride, cols, w->rank);
        p->kern->axpy[SLM_F32](y + c, w->scale, tile, (size_t)cols);
    }
}

void slm_op_lora_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                     int nth)
{
    if (run->plain)
        return;
    if (p->o.train) {
        train_fwd(p, n, run, ith, nth);
        return;
    }
    struct low w = low_of(p, n, run, ith, nth);
    for (int r = 0; r < w.rows; r++)
        run_row(p, n, &w, r, ith, nth);
}

/* ---- backward: dB = s dy' (A x), d(A x) = s dy B, dA = d(A x)' x, dx += d(A x) A ---- */

static struct slm_side dy_side(const slm_prog *p, const struct node *n, const struct low *w,
                               int e)
{
    struct slm_side s = slm_side_grad(p, n->out);
    s.data = (const float *)s.data + n->i[I_ROW0];
    if (n->i[I_CHOSEN])
        s.index = w->g.out + w->g.first[e];
    return s;
}

static void low_back(slm_prog *p, const struct node *n, const struct low *w, int e)
{
    size_t lo, hi;
    down(p, n, w, e);
    struct slm_gemm g = {.c = w->dxa,
                         .ldc = w->rank,
                         .n = (int)w->rank,
                         .k = n->lora.b->rows,
                         .a = dy_side(p, n, w, e),
                         .b = slm_side_across(slm_side_weight(n->lora.b, e))};
    part_rows(p, n, w, &g, e);
    slm_split((size_t)rows_of(n, w, e), 1, w->ith, w->nth, &lo, &hi);
    for (size_t i = lo; i < hi; i++) {
        size_t r = n->i[I_CHOSEN] ? (size_t)w->g.out[w->g.first[e] + (int)i] : i;
        p->kern->scale(w->xa + r * w->rank, w->xa + r * w->rank, w->scale, w->rank);
        p->kern->scale(w->dxa + r * w->rank, w->dxa + r * w->rank, w->scale, w->rank);
    }
}

static void weights_back(slm_prog *p, const struct node *n, const struct low *w, int e, int ith,
                         int nth)
{
    const struct slm_weight *a = n->lora.a, *b = n->lora.b;
    size_t lo, hi;
    if (n->glb) {
        slm_split((size_t)b->rows, 16, ith, nth, &lo, &hi);
        struct slm_gemm g = {.c = n->glb + ((size_t)e * b->rows + lo) * w->rank,
                             .ldc = w->rank,
                             .add = true,
                             .m = (int)(hi - lo),
                             .n = (int)w->rank,
                             .k = rows_of(n, w, e),
                             .a = slm_side_across(dy_side(p, n, w, e)),
                             .b = slm_side_across(low_side(n, w, w->xa, e))};
        g.a.first = lo;
        slm_gemm_own(p, &g, ith);
    }
    if (n->ga) {
        slm_split((size_t)a->cols, 16, ith, nth, &lo, &hi);
        struct slm_gemm g = {.c = n->ga + (size_t)e * w->rank * w->in + lo,
                             .ldc = w->in,
                             .add = true,
                             .m = (int)w->rank,
                             .n = (int)(hi - lo),
                             .k = rows_of(n, w, e),
                             .a = slm_side_across(low_side(n, w, w->dxa, e)),
                             .b = slm_side_across(x_side(p, n, w, e))};
        g.b.first = lo;
        slm_gemm_own(p, &g, ith);
    }
}

/* dx += d(A x) A; experts of a token add to the same row, one after the other. */
static void input_back(slm_prog *p, const struct node *n, const struct slm_run *run,
                       const struct low *w, int ith, int nth)
{
    size_t lo, hi;
    for (int e = 0; e < w->parts; e++) {
        struct slm_gemm g = {.c = slm_grad_row(p, n->in[L_X], 0),
                             .ldc = slm_ld(p, n->in[L_X]),
                             .add = true,
                             .m = rows_of(n, w, e),
                             .k = (int)w->rank,
                             .a = low_side(n, w, w->dxa, e),
                             .b = slm_side_across(slm_side_weight(n->lora.a, e))};
        if (w->x) {
            g.c = w->x;
            g.ldc = w->in;
            g.add = false;
        }
        slm_split(w->in, 16, ith, nth, &lo, &hi);
        g.n = (int)(hi - lo);
        g.c += lo;
        g.b.first = lo;
        if (n->i[I_CHOSEN])
            g.c_index = (w->x ? w->g.out : w->g.in) + w->g.first[e];
        slm_gemm_own(p, &g, ith);
    }
    if (!w->x)
        return;
    slm_pool_barrier(p->rt->pool);
    int fan = n->i[I_CHOSEN] ? n->i[I_FAN] : 1;
    slm_split((size_t)(w->rows / fan), 1, ith, nth, &lo, &hi);
    for (size_t r = lo * (size_t)fan; r < hi * (size_t)fan; r++) {
        float *dx = slm_grad_row(p, n->in[L_X], (int)r / fan), *from = w->x + r * w->in;
        drop(p, n, run, (int)r, from, w->in);
        p->kern->add(dx, dx, from, w->in);
    }
}

void slm_op_lora_bwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                     int nth)
{
    struct low w = low_of(p, n, run, ith, nth);
    size_t lo, hi;
    if (run->plain)
        return;
    sort(p, n, &w, ith);
    slm_split((size_t)w.rows, 1, ith, nth, &lo, &hi);
    drop_rows(p, n, run, &w, lo, hi);
    if (n->i[I_CHOSEN] && w.x)
        slm_pool_barrier(p->rt->pool);
    for (int e = 0; e < w.parts; e++)
        low_back(p, n, &w, e);
    slm_pool_barrier(p->rt->pool);
    for (int e = 0; e < w.parts; e++)
        weights_back(p, n, &w, e, ith, nth);
    if (w.x)
        slm_pool_barrier(p->rt->pool); /* x is written over */
    input_back(p, n, run, &w, ith, nth);
}
