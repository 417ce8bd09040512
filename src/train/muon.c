/* Muon (Jordan et al. 2024): the momentum of a matrix is made nearly orthogonal by five steps
 * of a Newton-Schulz iteration, so that all its directions learn alike, and takes the size that
 * AdamW's steps have (0.2 sqrt(max(rows, cols)), Liu et al. 2025): one learning rate serves
 * both. All threads work on one matrix, by rows of each product. */
#include <math.h>
#include <string.h>

#include "train/train_in.h"

/* The matrix lies with its shorter side as rows: (m, n), m <= n. */
struct work {
    const struct slm_kern *kern;
    struct slm_pool *pool;
    float *x, *y, *t; /* (m, n) twice, (n, m) */
    float *a, *b;     /* (m, m) */
    double *sum;      /* (m) */
    size_t m, n;
    int ith, nth;
};

static size_t smaller(const struct slm_param *p)
{
    return (size_t)(p->rows < p->cols ? p->rows : p->cols);
}

size_t slm_muon_room(const struct slm_param *p)
{
    size_t m = smaller(p);
    return p->inner ? 3 * p->n + 2 * m * m + 2 * m + 64 : 0;
}

static void rows_of(const struct work *w, size_t rows, size_t *lo, size_t *hi)
{
    slm_split(rows, 16, w->ith, w->nth, lo, hi);
}

/* out (m, cols) = p (m, k) q' (cols, k), this thread's rows of it */
static void product(const struct work *w, float *out, const float *p, const float *q,
                    size_t cols, size_t k)
{
    size_t lo, hi;
    rows_of(w, w->m, &lo, &hi);
    if (lo < hi)
        w->kern->mul_exact[SLM_F32](out + lo * cols, cols, p + lo * k, k * sizeof(float),
                                    (int)(hi - lo), q, k * sizeof(float), (int)cols, k);
}

/* Momentum (Nesterov's form) into x, turned so that rows are fewer. */
static void gather(const struct work *w, const struct slm_param *p, float *mom,
                   const struct slm_optim_step *s)
{
    size_t lo, hi, cols = (size_t)p->cols;
    bool turn = p->rows > p->cols;
    rows_of(w, (size_t)p->rows, &lo, &hi);
    for (size_t i = lo * cols; i < hi * cols; i++) {
        float g = p->g[i] * s->scale;
        mom[i] = s->momentum * mom[i] + g;
        w->y[i] = g + s->momentum * mom[i];
    }
    if (turn)
        w->kern->transpose(w->x + lo, (size_t)p->rows, w->y + lo * cols, cols, hi - lo, cols);
    else if (lo < hi)
        memcpy(w->x + lo * cols, w->y + lo * cols, (hi - lo) * cols * sizeof(float));
}

/* x divided by its norm, which bounds its largest singular value. */
static void normalise(const struct work *w)
{
    size_t lo, hi;
    double all = 0;
    rows_of(w, w->m, &lo, &hi);
    for (size_t r = lo; r < hi; r++) {
        w->sum[r] = 0;
        for (size_t i = r * w->n; i < (r + 1) * w->n; i++)
            w->sum[r] += (double)w->x[i] * (double)w->x[i];
    }
    slm_pool_barrier(w->pool);
    for (size_t r = 0; r < w->m; r++)
        all += w->sum[r];
    float f = (float)(1 / (sqrt(all) + 1e-7));
    for (size_t i = lo * w->n; i < hi * w->n; i++)
        w->x[i] *= f;
}

/* x = a x + (b xx' + c (xx')^2) x */
static void newton_schulz(const struct work *w)
{
    const float c1 = 3.4445f, c2 = -4.7750f, c3 = 2.0315f;
    size_t m = w->m, n = w->n, lo, hi;
    rows_of(w, m, &lo, &hi);
    w->kern->transpose(w->t + lo, m, w->x + lo * n, n, hi - lo, n);
    product(w, w->a, w->x, w->x, m, n);
    slm_pool_barrier(w->pool);
    product(w, w->b, w->a, w->a, m, m);
    for (size_t i = lo * m; i < hi * m; i++)
        w->b[i] = c2 * w->a[i] + c3 * w->b[i];
    product(w, w->y, w->b, w->t, n, m); /* the thread's own rows of b */
    for (size_t i = lo * n; i < hi * n; i++)
        w->x[i] = c1 * w->x[i] + w->y[i];
    slm_pool_barrier(w->pool);
}

void slm_muon_step(const struct slm_param *p, void *state, const struct slm_optim_step *s,
                   const struct slm_whole *at)
{
    size_t m = smaller(p), n = p->n / m, lo, hi, cols = (size_t)p->cols;
    struct work w = {.kern = at->rt->kern,
                     .pool = at->rt->pool,
                     .m = m,
                     .n = n,
                     .ith = at->ith,
                     .nth = at->nth};
    float *room = at->room;
    w.x = room;
    w.y = w.x + p->n;
    w.t = w.y + p->n;
    w.a = w.t + p->n;
    w.b = w.a + m * m;
    w.sum = (double *)(void *)(room + (3 * p->n + 2 * m * m + 1) / 2 * 2);
    gather(&w, p, state, s);
    slm_pool_barrier(w.pool);
    normalise(&w);
    slm_pool_barrier(w.pool);
    for (int i = 0; i < 5; i++)
        newton_schulz(&w);
    float size = s->lr * 0.2f * sqrtf((float)n), keep = p->decay ? 1 - s->lr * s->decay : 1;
    bool turn = p->rows > p->cols;
    rows_of(&w, (size_t)p->rows, &lo, &hi);
    for (size_t r = lo; r < hi; r++)
        for (size_t c = 0; c < cols; c++) {
            float *v = &p->v[r * cols + c];
            *v = *v * keep - size * (turn ? w.x[c * n + r] : w.x[r * n + c]);
        }
    slm_pool_barrier(w.pool); /* the room is the next matrix's */
}
