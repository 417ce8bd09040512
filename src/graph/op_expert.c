/* linear_expert: every row of x goes through the matrices of the experts that were chosen for
 * its token. Rows are grouped by expert, so that each chosen matrix is walked once and the
 * others are never touched. Output row i = (token, j) comes of input row i / fan. */
#include "graph/product.h"

#include <string.h>

/* An expert's products pass through a tile before they go to their rows. Kernels for prompts
 * want all rows at once, and as many columns as the tile has room for. */
#define TILE_ROWS 32
#define PROMPT_ROWS 4096
#define PROMPT_TILE (32 * PROMPT_ROWS)

/* experts a token; output rows that share an input row; where a row's form is */
enum { I_CHOSEN, I_FAN, I_FORM };

static int expert_of(const slm_prog *p, const struct slm_choice *c, int row)
{
    int e;
    memcpy(&e, slm_row(p, c->sel, row / c->chosen) + c->chosen + row % c->chosen, sizeof e);
    return e;
}

size_t slm_groups_ints(int parts, size_t rows) { return (size_t)parts + 2 + 2 * rows; }

struct slm_groups slm_groups_at(int *room, int parts, size_t rows)
{
    return (struct slm_groups){room, room + parts + 2, room + parts + 2 + rows};
}

/* A counting sort: rows of an expert stay in order. */
void slm_groups_sort(const slm_prog *p, const struct slm_choice *c, const struct slm_groups *g,
                     int rows)
{
    memset(g->first, 0, ((size_t)c->parts + 2) * sizeof(int));
    for (int i = 0; i < rows; i++)
        g->first[expert_of(p, c, i) + 2]++;
    for (int e = 0; e < c->parts; e++)
        g->first[e + 2] += g->first[e + 1];
    for (int i = 0; i < rows; i++) {
        int at = g->first[expert_of(p, c, i) + 1]++;
        g->out[at] = i;
        g->in[at] = i / c->fan;
    }
}

/* In the shared scratch: the groups, then activations in their order. */
struct sorted {
    struct slm_groups g;
    struct slm_choice c;
    uint8_t *x;
};

static struct sorted sorted_of(const slm_prog *p, const struct node *n)
{
    size_t rows = (size_t)slm_value_max_rows(p, &p->value[n->out]);
    int parts = n->w->parts;
    struct sorted s = {.c = {n->in[2], n->i[I_CHOSEN], n->i[I_FAN], parts}};
    s.g = slm_groups_at(slm_scratch(p), parts, rows);
    s.x = (uint8_t *)slm_scratch(p) + slm_round(slm_groups_ints(parts, rows) * sizeof(int), 64);
    return s;
}

slm_val slm_emit_linear_expert(slm_prog *p, slm_val x, slm_val sel, const struct slm_weight *w)
{
    if (!slm_emit_ok(p, x, sel) || sel < 0 || !slm_emit_weight(p, w, "expert"))
        return -1;
    const struct value *v = &p->value[x], *s = &p->value[sel];
    int chosen = s->width / 2, per = v->per_token / s->per_token;
    if (w->cols != v->width)
        return slm_emit_fail(p, SLM_E_FORMAT, "%s: %d columns for an input of %d", w->name,
                             w->cols, v->width);
    if ((per != 1 && per != chosen) || v->per_token % s->per_token ||
        v->gathered != s->gathered)
        return slm_emit_fail(p, SLM_E_FORMAT, "%s: %d rows a token for %d experts", w->name,
                             per, chosen);
    slm_val cast = slm_emit_cast(p, x, w);
    slm_val out = slm_value_new(p, x, w->rows, SLM_F32);
    struct node *n = slm_node_new(p, OP_linear_expert, out, x, cast);
    if (!n)
        return -1;
    slm_node_input(p, n, 2, sel);
    p->value[out].per_token = p->value[sel].per_token * chosen;
    n->w = w;
    n->i[I_CHOSEN] = chosen;
    n->i[I_FAN] = per == 1 ? chosen : 1;
    n->i[I_FORM] = slm_emit_form(p, cast, w);
    n->shared = true;
    size_t rows = (size_t)slm_value_max_rows(p, &p->value[out]);
    size_t lists = slm_round(slm_groups_ints(w->parts, rows) * sizeof(int), 64);
    slm_emit_scratch(p, lists + rows * p->value[cast >= 0 ? cast : x].row_bytes,
                     TILE_ROWS * COLS * sizeof(float));
    size_t scratch = slm_product_scratch(p, w);
    if (scratch)
        slm_emit_scratch(p, 0, scratch + PROMPT_TILE * sizeof(float));
    slm_gemm_scratch(p);
    return out;
}

void slm_expert_tell(const struct node *n, struct slm_node_info *info)
{
    info->route = n->in[2];
    info->chosen = n->i[I_CHOSEN];
    info->fan = n->i[I_FAN];
}

int slm_node_expert(const slm_prog *p, const struct slm_node_info *node, int row)
{
    int e;
    memcpy(&e, slm_row(p, node->route, row / node->chosen) + node->chosen + row % node->chosen,
           sizeof e);
    return e;
}

/* Rows and columns of the tile for an expert that got `rows` rows: bits do not depend on it. */
static void tile_shape(bool prompt, int rows, int *most, int *cols)
{
    *most = prompt ? PROMPT_ROWS : TILE_ROWS;
    *cols = COLS;
    if (prompt && rows < PROMPT_ROWS)
        *cols = PROMPT_TILE / (rows < 32 ? 32 : rows) / 32 * 32;
    else if (prompt)
        *cols = 32;
}

static void one_expert(slm_prog *p, const struct node *n, const struct slm_acts *x,
                       const int *row, struct slm_product m)
{
    struct slm_acts part = *x;
    size_t scratch = x->cast ? slm_product_scratch(p, m.w) : 0;
    float *tile = (float *)(void *)((uint8_t *)x->scratch + scratch);
    int most, cols;
    tile_shape(scratch > 0, x->rows, &most, &cols);
    for (int r = 0; r < x->rows; r += most) {
        part.rows = x->rows - r < most ? x->rows - r : most;
        part.data = (const uint8_t *)x->data + (size_t)r * x->stride;
        for (int c = 0; c < m.nw; c += cols) {
            struct slm_product t = m;
            t.j0 = m.j0 + c;
            t.nw = m.nw - c < cols ? m.nw - c : cols;
            t.out = tile;
            t.ldo = (size_t)cols;
            slm_product_run(p, &t, &part);
            for (int i = 0; i < part.rows; i++)
                memcpy(slm_row(p, n->out, row[r + i]) + t.j0, tile + (size_t)i * t.ldo,
                       (size_t)t.nw * sizeof *tile);
        }
    }
}

/* Experts' products in training: the same kernels as backward's, rows found by their numbers.
 */
static void train_fwd(slm_prog *p, const struct node *n, const struct sorted *s, int ith,
                      int nth)
{
    size_t lo, hi;
    slm_split((size_t)n->w->rows, 16, ith, nth, &lo, &hi);
    for (int e = 0; e < n->w->parts; e++) {
        int from = s->g.first[e];
        struct slm_gemm g = {.c = slm_row(p, n->out, 0) + lo,
                             .ldc = slm_ld(p, n->out),
                             .c_index = s->g.out + from,
                             .m = s->g.first[e + 1] - from,
                             .n = (int)(hi - lo),
                             .k = n->w->cols,
                             .a = slm_side_of(p, n->in[0]),
                             .b = slm_side_weight(n->w, e)};
        g.a.index = s->g.in + from;
        g.b.data = slm_weight_row(n->w, e, (int)lo);
        slm_gemm_own(p, &g, ith);
    }
}

static void copy_rows(slm_prog *p, const struct node *n, const struct sorted *s,
                      const struct slm_acts *x, int ith, int nth)
{
    size_t lo, hi,
        bytes = slm_row_bytes(p->value[x->cast ? n->in[1] : n->in[0]].type, (size_t)n->w->cols);
    slm_split((size_t)x->rows, 1, ith, nth, &lo, &hi);
    for (size_t i = lo; i < hi; i++)
        memcpy(s->x + i * x->stride, (const uint8_t *)x->data + (size_t)s->g.in[i] * x->stride,
               bytes);
}

void slm_op_expert_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                       int nth)
{
    int rows = slm_value_rows(p, n->out, run);
    struct sorted s = sorted_of(p, n);
    struct slm_acts x = slm_acts_of(p, n->in[0], n->in[1], rows);
    size_t lo, hi;
    if (ith == 0)
        slm_groups_sort(p, &s.c, &s.g, rows);
    slm_pool_barrier(p->rt->pool);
    if (p->o.train) {
        train_fwd(p, n, &s, ith, nth);
        return;
    }
    copy_rows(p, n, &s, &x, ith, nth);
    slm_pool_barrier(p->rt->pool);
    slm_split((size_t)n->w->rows, 16, ith, nth, &lo, &hi);
    for (int e = 0; e < n->w->parts; e++) {
        int from = s.g.first[e], m = s.g.first[e + 1] - from;
        struct slm_acts acts = {s.x + (size_t)from * x.stride, x.stride, m, x.cast, 0,
                                slm_scratch_of(p, ith)};
        if (m == 1) { /* as in decoding: where it is, with its form if it has one */
            acts.data = (const uint8_t *)x.data + (size_t)s.g.in[from] * x.stride;
            acts.form = slm_value_rows(p, n->in[0], run) <= SLM_FORM_ROWS ? n->i[I_FORM] : 0;
        }
        struct slm_product prod = {n->w, e, (int)lo, (int)(hi - lo), NULL, 0};
        one_expert(p, n, &acts, s.g.out + from, prod);
    }
}

/* A thread owns columns of dx, to which the experts of a token add in turn, and rows of dW. */
void slm_op_expert_bwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                       int nth)
{
    const struct slm_weight *w = n->w;
    struct sorted s = sorted_of(p, n);
    size_t c0, c1, j0, j1, block = (size_t)slm_dtypes[w->type].block;
    if (ith == 0)
        slm_groups_sort(p, &s.c, &s.g, slm_value_rows(p, n->out, run));
    slm_pool_barrier(p->rt->pool);
    slm_split((size_t)w->cols, block > 16 ? block : 16, ith, nth, &c0, &c1);
    slm_split((size_t)w->rows, 16, ith, nth, &j0, &j1);
    for (int e = 0; e < w->parts; e++) {
        int from = s.g.first[e], m = s.g.first[e + 1] - from;
        struct slm_gemm dx = {.c = slm_grad_row(p, n->in[0], 0) + c0,
                              .ldc = slm_ld(p, n->in[0]),
                              .add = true,
                              .c_index = s.g.in + from,
                              .m = m,
                              .n = (int)(c1 - c0),
                              .k = w->rows,
                              .a = slm_side_grad(p, n->out),
                              .b = slm_side_across(slm_side_weight(w, e))};
        dx.a.index = s.g.out + from;
        dx.b.first = c0;
        slm_gemm_own(p, &dx, ith);
        struct slm_gemm dw = {.add = true,
                              .ldc = (size_t)w->cols,
                              .m = (int)(j1 - j0),
                              .n = w->cols,
                              .k = m,
                              .a = slm_side_across(slm_side_grad(p, n->out)),
                              .b = slm_side_across(slm_side_of(p, n->in[0]))};
        dw.a.index = s.g.out + from;
        dw.a.first = j0;
        dw.b.index = s.g.in + from;
        if (!n->gw)
            continue;
        dw.c = n->gw + ((size_t)e * w->rows + j0) * (size_t)w->cols;
        slm_gemm_own(p, &dw, ith);
    }
}
