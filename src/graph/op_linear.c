/* cast: activations in the type that the weights are multiplied with; linear: y = x W' + b,
 * with the low-rank addition of an adapter (Hu et al., arXiv 2106.09685) where there is one. A
 * thread owns columns of y: weight rows are read once by one thread, and no sum is split. */
#include "graph/product.h"

enum { L_FORM }; /* node.i: where a row's form is, slm_emit_form */

#define PIECE 128 /* columns that a thread takes at least: long streams are read faster */
#define PROMPT_PIECE 128
#define PANEL 64 /* weight rows that a block of activations meets before the next ones */
#define ACTS_BYTES                                                                             \
    ((size_t)256 << 10) /* a block of activations: it stays in the second cache */

/* Has this CPU products of its own for w in prompts? Then x is cast to bfloat16. */
static bool by_prompt(const slm_prog *p, const struct slm_weight *w)
{
    return p->o.fast && p->o.phase == SLM_PHASE_PROMPT && p->kern->mul_prompt[w->type];
}

size_t slm_product_scratch(const slm_prog *p, const struct slm_weight *w)
{
    return by_prompt(p, w) ? SLM_PROMPT_SCRATCH : 0;
}

slm_val slm_emit_cast(slm_prog *p, slm_val x, const struct slm_weight *w)
{
    bool prompt = by_prompt(p, w);
    enum slm_dtype partner = prompt ? SLM_BF16 : slm_dtypes[w->type].partner;
    if (!p->o.fast || partner == SLM_F32 || !(prompt || p->kern->mul_fast[w->type]) ||
        !p->kern->from_f32[partner] || w->cols % slm_dtypes[partner].block)
        return -1;
    for (size_t i = p->n_nodes; i-- > 0;) {
        const struct node *n = &p->node[i];
        if (n->op == OP_cast && n->in[0] == x && p->value[n->out].type == partner)
            return n->out;
    }
    slm_val out = slm_value_new(p, x, w->cols, partner);
    if (prompt &&
        out >= 0) /* an odd number of cache lines: rows of a tile fall into all sets */
        p->value[out].row_bytes |= 64;
    slm_node_new(p, OP_cast, out, x, -1);
    return out;
}

/* A cast's node lists whose forms its rows carry: types (plus one) in i[0..), offsets after. */
#define FORMS 3

int slm_emit_form(slm_prog *p, slm_val cast, const struct slm_weight *w)
{
    const struct slm_one *one = &p->kern->one[w->type];
    if (cast < 0 || !one->run || p->o.phase != SLM_PHASE_DECODE)
        return 0;
    struct node *n = &p->node[p->value[cast].made];
    int i = 0;
    for (; i < FORMS && n->i[i]; i++)
        if (p->kern->one[n->i[i] - 1].prepare == one->prepare)
            return n->i[FORMS + i];
    if (i == FORMS)
        return 0;
    struct value *v = &p->value[cast];
    n->i[i] = (int)w->type + 1;
    n->i[FORMS + i] = (int)v->row_bytes;
    v->row_bytes += slm_round(one->bytes((size_t)v->width), 64);
    return n->i[FORMS + i];
}

/* Columns from c0 on, a multiple of 256, of row r. */
static void make_forms(const slm_prog *p, const struct node *n, size_t r, size_t c0,
                       size_t cols)
{
    const struct value *y = &p->value[n->out];
    uint8_t *row = y->data + r * y->row_bytes;
    for (int i = 0; i < FORMS && n->i[i]; i++) {
        const struct slm_one *one = &p->kern->one[n->i[i] - 1];
        one->prepare(row + n->i[FORMS + i] + one->bytes(c0), row + slm_row_bytes(y->type, c0),
                     cols);
    }
}

void slm_op_cast_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                     int nth)
{
    const struct value *y = &p->value[n->out];
    int rows = slm_value_rows(p, n->out, run);
    size_t r0 = 0, r1 = (size_t)rows, c0 = 0, c1 = (size_t)y->width;
    if (rows >= nth)
        slm_split((size_t)rows, 1, ith, nth, &r0, &r1);
    else
        slm_split((size_t)y->width, 256, ith, nth, &c0, &c1);
    for (size_t r = r0; r < r1 && c0 < c1; r++)
        p->kern->from_f32[y->type](y->data + r * y->row_bytes + slm_row_bytes(y->type, c0),
                                   slm_row(p, n->in[0], (int)r) + c0, c1 - c0);
    for (size_t r = r0; r < r1 && c0 < c1 && rows <= SLM_FORM_ROWS; r++)
        make_forms(p, n, r, c0, c1 - c0);
}

struct slm_acts slm_acts_of(const slm_prog *p, slm_val x, slm_val cast, int rows)
{
    const struct value *v = &p->value[cast >= 0 ? cast : x];
    return (struct slm_acts){v->data, v->row_bytes, rows, cast >= 0, 0, NULL};
}

bool slm_product_take(atomic_int *ticket, const struct slm_pieces *c, int *lo, int *hi)
{
    int at = atomic_load_explicit(ticket, memory_order_relaxed), n;
    do {
        if (at >= c->columns)
            return false;
        n = (c->columns - at) * 2 / (3 * c->threads) / c->least * c->least;
        if (n < c->least)
            n = c->least;
    } while (!atomic_compare_exchange_weak_explicit(ticket, &at, at + n, memory_order_relaxed,
                                                    memory_order_relaxed));
    *lo = at;
    *hi = at + n < c->columns ? at + n : c->columns;
    return true;
}

static void multiply(const slm_prog *p, const struct slm_product *m, const struct slm_acts *x)
{
    const struct slm_weight *w = m->w;
    size_t k = (size_t)w->cols;
    if (x->form && x->rows == 1)
        p->kern->one[w->type].run(m->out, (const uint8_t *)x->data + x->form,
                                  slm_weight_row(w, m->part, m->j0), w->stride, m->nw, k);
    else if (x->cast)
        p->kern->mul_fast[w->type](m->out, m->ldo, x->data, x->stride, x->rows,
                                   slm_weight_row(w, m->part, m->j0), w->stride, m->nw, k);
    else
        p->kern->mul_exact[w->type](m->out, m->ldo, x->data, x->stride, x->rows,
                                    slm_weight_row(w, m->part, m->j0), w->stride, m->nw, k);
}

static void multiply_prompt(const slm_prog *p, const struct slm_product *m,
                            const struct slm_acts *x)
{
    const struct slm_weight *w = m->w;
    struct slm_prompt all = {.out = m->out,
                             .ldo = m->ldo,
                             .x = x->data,
                             .xs = x->stride,
                             .nx = x->rows,
                             .w = slm_weight_row(w, m->part, m->j0),
                             .ws = w->stride,
                             .nw = m->nw,
                             .k = (size_t)w->cols,
                             .scratch = x->scratch};
    p->kern->mul_prompt[w->type](&all);
}

void slm_product_run(const slm_prog *p, const struct slm_product *m, const struct slm_acts *x)
{
    if (x->cast && by_prompt(p, m->w)) { /* blocks itself: a panel of weights serves all rows */
        multiply_prompt(p, m, x);
        return;
    }
    size_t panel = PANEL;
    int most = (int)(ACTS_BYTES / x->stride / 16 * 16);
    if (most < 16)
        most = 16;
    if (x->rows <= most || x->cast) { /* the kernel walks all rows at its own pace */
        panel = (size_t)m->nw + 1;
        most = x->rows;
    }
    for (int j = 0; j < m->nw; j += (int)panel) {
        for (int r = 0; r < x->rows; r += most) {
            struct slm_product part = *m;
            struct slm_acts acts = *x;
            acts.data = (const uint8_t *)x->data + (size_t)r * x->stride;
            acts.rows = x->rows - r < most ? x->rows - r : most;
            part.j0 = m->j0 + j;
            part.nw = m->nw - j < (int)panel ? m->nw - j : (int)panel;
            part.out = m->out + (size_t)r * m->ldo + j;
            multiply(p, &part, &acts);
        }
    }
}

static bool linear_fits(slm_prog *p, slm_val x, const struct slm_linear *l)
{
    const struct slm_weight *w = l->w;
    if (!slm_emit_weight(p, w, "linear"))
        return false;
    if (w->cols != p->value[x].width) {
        slm_emit_fail(p, SLM_E_FORMAT, "%s: %d columns for an input of %d", w->name, w->cols,
                      p->value[x].width);
        return false;
    }
    if (l->b && (l->b->rows != 1 || l->b->cols != w->rows)) {
        slm_emit_fail(p, SLM_E_FORMAT, "%s: %d x %d, want 1 x %d", l->b->name, l->b->rows,
                      l->b->cols, w->rows);
        return false;
    }
    return true;
}

slm_val slm_emit_linear(slm_prog *p, slm_val x, const struct slm_linear *l)
{
    if (!slm_emit_ok(p, x, -1) || !linear_fits(p, x, l))
        return -1;
    slm_val cast = slm_emit_cast(p, x, l->w);
    int form = slm_emit_form(p, cast, l->w);
    const float *bias = l->b ? slm_emit_vector(p, l->b) : NULL;
    slm_val out = slm_value_new(p, x, l->w->rows, SLM_F32);
    struct node *n = slm_node_new(p, OP_linear, out, x, cast);
    if (!n)
        return -1;
    n->w = l->w;
    n->b = l->b;
    n->vec = bias;
    n->i[L_FORM] = form;
    slm_emit_scratch(p, 0, slm_product_scratch(p, l->w));
    slm_gemm_scratch(p);
    return out;
}

/* ---- forward ---- */

/* Columns [lo, hi) of y. */
static void linear_columns(slm_prog *p, const struct node *n, const struct slm_acts *x, int lo,
                           int hi)
{
    size_t w = (size_t)(hi - lo);
    struct slm_product m = {
        n->w, 0, lo, hi - lo, slm_row(p, n->out, 0) + lo, slm_ld(p, n->out)};
    slm_product_run(p, &m, x);
    for (int r = 0; r < x->rows && n->vec; r++) {
        float *y = slm_row(p, n->out, r) + lo;
        p->kern->add(y, y, n->vec + lo, w);
    }
}

/* Training multiplies by the kernels that backward has too (slm_gemm_run). */
static void train_fwd(slm_prog *p, const struct node *n, int rows, int ith, int nth)
{
    struct slm_gemm g = {.c = slm_row(p, n->out, 0),
                         .ldc = slm_ld(p, n->out),
                         .m = rows,
                         .n = n->w->rows,
                         .k = n->w->cols,
                         .a = slm_side_of(p, n->in[0]),
                         .b = slm_side_weight(n->w, 0)};
    slm_gemm_run(p, &g, n->vec, &p->node[n - p->node].ticket, ith, nth);
}

void slm_op_linear_fwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                       int nth)
{
    int rows = slm_value_rows(p, n->out, run), lo, hi;
    if (p->o.train) {
        train_fwd(p, n, rows, ith, nth);
        return;
    }
    struct slm_acts x = slm_acts_of(p, n->in[0], n->in[1], rows);
    x.form = n->i[L_FORM];
    x.scratch = slm_scratch_of(p, ith);
    /* a panel for AMX: activations are read again for so many columns */
    struct slm_pieces c = {n->w->rows, nth,
                           x.cast && by_prompt(p, n->w) ? PROMPT_PIECE : PIECE};
    while (rows && slm_product_take(&p->node[n - p->node].ticket, &c, &lo, &hi))
        linear_columns(p, n, &x, lo, hi);
}
