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

/* In the shared scratch: first[e] .. first[e + 1] are expert e's places in `row`. */
struct groups {
    int *first; /* (parts + 1) */
    int *row;   /* (rows) */
    uint8_t *x; /* (rows) activations in that order */
};

static struct groups groups_of(const slm_prog *p, const struct node *n, int max_rows)
{
    struct groups g;
    size_t lists = slm_round(((size_t)n->w->parts + 2 + (size_t)max_rows) * sizeof(int), 64);
    g.first = slm_scratch(p);
    g.row = g.first + n->w->parts + 2;
    g.x = (uint8_t *)slm_scratch(p) + lists;
    return g;
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
    size_t lists = slm_round(((size_t)w->parts + 2 + rows) * sizeof(int), 64);
    slm_emit_scratch(p, lists + rows * p->value[cast >= 0 ? cast : x].row_bytes,
                     TILE_ROWS * COLS * sizeof(float));
    size_t scratch = slm_product_scratch(p, w);
    if (scratch)
        slm_emit_scratch(p, 0, scratch + PROMPT_TILE * sizeof(float));
    if (p->o.train)
        slm_emit_scratch(p, 0, SLM_BACK_SCRATCH);
    return out;
}

static int expert_of(const slm_prog *p, const struct node *n, int row)
{
    int chosen = n->i[I_CHOSEN], e;
    memcpy(&e, slm_row(p, n->in[2], row / chosen) + chosen + row % chosen, sizeof e);
    return e;
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

/* A counting sort by one thread: rows of an expert stay in order. */
static void group(const slm_prog *p, const struct node *n, const struct groups *g, int rows)
{
    int parts = n->w->parts;
    memset(g->first, 0, ((size_t)parts + 2) * sizeof(int));
    for (int i = 0; i < rows; i++)
        g->first[expert_of(p, n, i) + 2]++;
    for (int e = 0; e < parts; e++)
        g->first[e + 2] += g->first[e + 1];
    for (int i = 0; i < rows; i++)
        g->row[g->first[expert_of(p, n, i) + 1]++] = i;
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

void slm_op_expert_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                       int nth)
{
    int rows = slm_value_rows(p, n->out, run);
    struct groups g = groups_of(p, n, slm_value_max_rows(p, &p->value[n->out]));
    struct slm_acts x = slm_acts_of(p, n->in[0], n->in[1], rows);
    size_t lo, hi;
    if (ith == 0)
        group(p, n, &g, rows);
    slm_pool_barrier(p->rt->pool);
    slm_split((size_t)rows, 1, ith, nth, &lo, &hi);
    for (size_t i = lo; i < hi; i++)
        memcpy(g.x + i * x.stride,
               (const uint8_t *)x.data + (size_t)(g.row[i] / n->i[I_FAN]) * x.stride,
               slm_row_bytes(p->value[x.cast ? n->in[1] : n->in[0]].type, (size_t)n->w->cols));
    slm_pool_barrier(p->rt->pool);
    slm_split((size_t)n->w->rows, 16, ith, nth, &lo, &hi);
    for (int e = 0; e < n->w->parts; e++) {
        int from = g.first[e], m = g.first[e + 1] - from;
        struct slm_acts acts = {g.x + (size_t)from * x.stride, x.stride, m, x.cast, 0,
                                slm_scratch_of(p, ith)};
        if (m == 1) { /* as in decoding: where it is, with its form if it has one */
            acts.data =
                (const uint8_t *)x.data + (size_t)(g.row[from] / n->i[I_FAN]) * x.stride;
            acts.form = slm_value_rows(p, n->in[0], run) <= SLM_FORM_ROWS ? n->i[I_FORM] : 0;
        }
        struct slm_product prod = {n->w, e, (int)lo, (int)(hi - lo), NULL, 0};
        one_expert(p, n, &acts, g.row + from, prod);
    }
}

void slm_op_expert_bwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                       int nth)
{
    int rows = slm_value_rows(p, n->out, run);
    struct groups g = groups_of(p, n, slm_value_max_rows(p, &p->value[n->out]));
    if (ith == 0)
        group(p, n, &g, rows);
    slm_pool_barrier(p->rt->pool);
    struct slm_back b = {
        .w = n->w,
        .fan = n->i[I_FAN],
        .scale = 1.0f,
        .dy = slm_grad_row(p, n->out, 0),
        .ldy = slm_ld(p, n->out),
        .dx = slm_grad_row(p, n->in[0], 0),
        .ldx = slm_ld(p, n->in[0]),
    };
    for (int e = 0; e < n->w->parts; e++) {
        size_t lo, hi;
        b.part = e;
        b.index = g.row + g.first[e];
        b.rows = g.first[e + 1] - g.first[e];
        if (!b.rows)
            continue;
        slm_split((size_t)n->w->cols, SLM_BACK_GRAIN, ith, nth, &lo, &hi);
        slm_back_input(p, &b, lo, hi, slm_scratch_of(p, ith));
        slm_split((size_t)n->w->rows, 16, ith, nth, &lo, &hi);
        if (n->gw)
            slm_back_weight(p, &b, slm_row(p, n->in[0], 0),
                            n->gw + (size_t)e * n->w->rows * n->w->cols, lo, hi);
    }
}
