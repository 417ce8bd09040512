/* The backward half of linear. dX walks the weight row by row, dequantised as it goes, so a
 * frozen quantised base needs no transpose and no copy; dW is added to in the order of the
 * rows, so several small runs give the bits of one large run. */
#include "graph/product.h"

#define BLOCK_ROWS 32 /* weight rows dequantised together: they stay in the first cache */

/* One call for all rows where they stand in order, else one for each. */
static void add_rows(const slm_prog *p, const struct slm_back *b, struct slm_rows *m)
{
    float *dx = m->y;
    const float *dy = m->a;
    m->ny = b->index ? 1 : b->rows;
    for (int r = 0; r < b->rows; r += m->ny) {
        size_t row = (size_t)(b->index ? b->index[r] : r);
        m->y = dx + row / (size_t)b->fan * b->ldx;
        m->a = dy + row * b->ldy;
        p->kern->add_rows(m);
    }
}

void slm_back_input(const slm_prog *p, const struct slm_back *b, size_t c0, size_t c1,
                    float *scratch)
{
    const struct slm_weight *w = b->w;
    const struct slm_dtype_info *t = &slm_dtypes[w->type];
    for (size_t c = c0; c < c1; c += SLM_BACK_GRAIN) {
        size_t width = c1 - c < SLM_BACK_GRAIN ? c1 - c : SLM_BACK_GRAIN;
        size_t skip = c / (size_t)t->block * (size_t)t->bytes;
        for (int j = 0; j < w->rows; j += BLOCK_ROWS) {
            int n = w->rows - j < BLOCK_ROWS ? w->rows - j : BLOCK_ROWS;
            for (int i = 0; i < n; i++) {
                float *row = scratch + (size_t)i * SLM_BACK_GRAIN;
                p->kern->to_f32[w->type](row, slm_weight_row(w, b->part, j + i) + skip, width);
                if (b->scale != 1.0f)
                    p->kern->scale(row, row, b->scale, width);
            }
            struct slm_rows m = {.y = b->dx + c,
                                 .ldy = b->ldx,
                                 .a = b->dy + j,
                                 .ai = b->ldy,
                                 .aj = 1,
                                 .w = scratch,
                                 .ldw = SLM_BACK_GRAIN,
                                 .nw = n,
                                 .k = width};
            add_rows(p, b, &m);
        }
    }
}

void slm_back_weight(const slm_prog *p, const struct slm_back *b, const float *x, float *g,
                     size_t j0, size_t j1)
{
    size_t cols = (size_t)b->w->cols;
    struct slm_rows m = {.y = g + j0 * cols,
                         .ldy = cols,
                         .ny = (int)(j1 - j0),
                         .ai = 1,
                         .aj = b->ldy,
                         .ldw = b->ldx,
                         .nw = b->index ? 1 : b->rows,
                         .k = cols};
    for (int r = 0; r < b->rows; r += m.nw) {
        size_t row = (size_t)(b->index ? b->index[r] : r);
        m.a = b->dy + row * b->ldy + j0;
        m.w = x + row / (size_t)b->fan * b->ldx;
        p->kern->add_rows(&m);
    }
}

static void bias_back(const struct slm_prog *p, const struct node *n, int rows, size_t lo,
                      size_t hi)
{
    for (int r = 0; r < rows; r++)
        p->kern->add(n->gb + lo, n->gb + lo, slm_grad_row(p, n->out, r) + lo, hi - lo);
}

/* y += s B (A x): dB = s dy (A x)', d(A x) = s B' dy, dA = d(A x) x', dx += A' d(A x). */
static void lora_back(slm_prog *p, const struct node *n, const struct slm_back *whole, int ith,
                      int nth)
{
    const struct slm_weight *a = n->lora.a, *b = n->lora.b;
    size_t rank = (size_t)a->rows, rows = (size_t)whole->rows, lo, hi;
    float *xa = slm_scratch(p), *dxa = xa + rows * rank, *scratch = slm_scratch_of(p, ith);
    slm_split(rank, 16, ith, nth, &lo, &hi);
    struct slm_acts x = slm_acts_of(p, n->in[0], -1, (int)rows);
    struct slm_product down = {a, 0, (int)lo, (int)(hi - lo), xa + lo, rank};
    slm_product_run(p, &down, &x);
    for (size_t r = 0; r < rows; r++) /* the scale of dB goes here */
        p->kern->scale(xa + r * rank + lo, xa + r * rank + lo, n->lora.scale, hi - lo);
    slm_split(rank, SLM_BACK_GRAIN, ith, nth, &lo, &hi);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = lo; c < hi; c++)
            dxa[r * rank + c] = 0.0f;
    struct slm_back up = *whole;
    up.w = b;
    up.dx = dxa;
    up.ldx = rank;
    up.scale = n->lora.scale;
    slm_back_input(p, &up, lo, hi, scratch);
    slm_pool_barrier(p->rt->pool);
    if (n->glb) {
        slm_split((size_t)b->rows, 16, ith, nth, &lo, &hi);
        slm_back_weight(p, &up, xa, n->glb, lo, hi);
    }
    struct slm_back low = *whole;
    low.w = a;
    low.dy = dxa;
    low.ldy = rank;
    if (n->ga) {
        slm_split(rank, 1, ith, nth, &lo, &hi);
        slm_back_weight(p, &low, slm_row(p, n->in[0], 0), n->ga, lo, hi);
    }
    slm_split((size_t)a->cols, SLM_BACK_GRAIN, ith, nth, &lo, &hi);
    slm_back_input(p, &low, lo, hi, scratch);
}

void slm_op_linear_bwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith,
                       int nth)
{
    int rows = slm_value_rows(p, n->out, run);
    size_t lo, hi;
    struct slm_back b = {
        .w = n->w,
        .rows = rows,
        .fan = 1,
        .scale = 1.0f,
        .dy = slm_grad_row(p, n->out, 0),
        .ldy = slm_ld(p, n->out),
        .dx = slm_grad_row(p, n->in[0], 0),
        .ldx = slm_ld(p, n->in[0]),
    };
    slm_split((size_t)n->w->cols, SLM_BACK_GRAIN, ith, nth, &lo, &hi);
    slm_back_input(p, &b, lo, hi, slm_scratch_of(p, ith));
    slm_split((size_t)n->w->rows, 16, ith, nth, &lo, &hi);
    if (n->gw)
        slm_back_weight(p, &b, slm_row(p, n->in[0], 0), n->gw, lo, hi);
    if (n->gb)
        bias_back(p, n, rows, lo, hi);
    if (n->lora.a)
        lora_back(p, n, &b, ith, nth);
}
