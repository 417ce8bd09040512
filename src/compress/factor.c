/* H = M D M' with M unit upper triangular: Cholesky's lower factor of H turned by 180 degrees,
 * reflected back. In blocks of columns, so that nearly all work is the plain product of rows
 * that the kernels do well; each element has its own order of additions, whatever the threads.
 */
#include <math.h>
#include <string.h>

#include "compress/second.h"

enum { BLOCK = 64 };

struct factor {
    const struct slm_kern *kern;
    float *a; /* (n, n) */
    size_t n, k0, k1;
    float *room; /* (threads, BLOCK, BLOCK) */
    int bad;     /* column whose pivot was not positive, plus 1 */
};

/* Rows of the panel [k0, k1) less what the columns before it explain: a -= g g'. */
static void subtract(const struct factor *f, size_t r0, size_t r1, float *room)
{
    size_t n = f->n, w = f->k1 - f->k0;
    for (size_t r = r0; r < r1; r += BLOCK) {
        size_t rows = r1 - r < BLOCK ? r1 - r : BLOCK;
        f->kern->mul_exact[SLM_F32](room, BLOCK, f->a + r * n, n * sizeof(float), (int)rows,
                                    f->a + f->k0 * n, n * sizeof(float), (int)w, f->k0);
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < w; j++)
                f->a[(r + i) * n + f->k0 + j] -= room[i * BLOCK + j];
    }
}

static void diagonal(struct factor *f)
{
    size_t n = f->n;
    for (size_t j = f->k0; j < f->k1; j++) {
        double d = (double)f->a[j * n + j];
        for (size_t k = f->k0; k < j; k++)
            d -= (double)f->a[j * n + k] * (double)f->a[j * n + k];
        if (!(d > 0) || !isfinite(d)) {
            f->bad = f->bad ? f->bad : (int)j + 1;
            d = 1;
        }
        f->a[j * n + j] = (float)sqrt(d);
        for (size_t i = j + 1; i < f->k1; i++) {
            double s = (double)f->a[i * n + j];
            for (size_t k = f->k0; k < j; k++)
                s -= (double)f->a[i * n + k] * (double)f->a[j * n + k];
            f->a[i * n + j] = (float)(s / sqrt(d));
        }
    }
}

/* The rows below the diagonal block, solved against it one column after the other. */
static void solve(const struct factor *f, size_t r0, size_t r1)
{
    size_t n = f->n;
    for (size_t r = r0; r < r1; r++) {
        float *x = f->a + r * n;
        for (size_t j = f->k0; j < f->k1; j++) {
            const float *g = f->a + j * n;
            float s = x[j];
            for (size_t k = f->k0; k < j; k++)
                s -= x[k] * g[k];
            x[j] = s / g[j];
        }
    }
}

static void panel(int ith, int nth, void *arg)
{
    struct factor *f = arg;
    size_t lo, hi;
    slm_split(f->n - f->k1, BLOCK, ith, nth, &lo, &hi);
    subtract(f, f->k1 + lo, f->k1 + hi, f->room + (size_t)ith * BLOCK * BLOCK);
    solve(f, f->k1 + lo, f->k1 + hi);
}

static void turn(float *a, size_t n)
{
    for (size_t i = 0, j = n * n - 1; i < j; i++, j--) {
        float t = a[i];
        a[i] = a[j];
        a[j] = t;
    }
}

/* The lower factor of the turned matrix, columns divided by their pivots, becomes M and its
 * mirror image; pivots squared the diagonal. */
static void spread(float *a, size_t n)
{
    for (size_t r = 0; r < n; r++)
        for (size_t c = 0; c < r; c++)
            a[r * n + c] /= a[c * n + c];
    for (size_t r = 0; r < n; r++)
        for (size_t c = 0; c < r; c++) {
            size_t j = n - 1 - c, i = n - 1 - r; /* M_ij, i < j */
            if (r + c < n - 1)                   /* each pair once */
                continue;
            float t = a[r * n + c];
            a[r * n + c] = a[j * n + i];
            a[j * n + i] = t;
        }
    for (size_t i = 0, j = n - 1; i < j; i++, j--) {
        float t = a[i * n + i];
        a[i * n + i] = a[j * n + j];
        a[j * n + j] = t;
    }
    for (size_t r = 0; r < n; r++) {
        a[r * n + r] *= a[r * n + r];
        for (size_t c = 0; c < r; c++)
            a[c * n + r] = a[r * n + c];
    }
}

int slm_factor(slm_runtime *rt, float *h, int n, double damp, slm_err *err)
{
    struct factor f = {.kern = rt->kern, .a = h, .n = (size_t)n};
    size_t threads = (size_t)slm_pool_threads(rt->pool);
    double mean = 0;
    f.room = slm_alloc_n(rt, SLM_MEM_USER, threads * BLOCK * BLOCK, sizeof *f.room);
    if (!f.room)
        return slm_fail_mem(err, "factor", threads * BLOCK * BLOCK * sizeof *f.room);
    for (size_t i = 0; i < f.n; i++)
        mean += (double)h[i * f.n + i] / n;
    float add = (float)(mean > 0 ? damp * mean : 1); /* nothing was seen: all columns alike */
    for (size_t i = 0; i < f.n; i++)
        h[i * f.n + i] += add;
    turn(h, f.n);
    for (f.k0 = 0; f.k0 < f.n; f.k0 = f.k1) {
        f.k1 = f.k0 + BLOCK < f.n ? f.k0 + BLOCK : f.n;
        subtract(&f, f.k0, f.k1, f.room);
        diagonal(&f);
        slm_pool_run(rt->pool, panel, &f);
    }
    spread(h, f.n);
    slm_free(rt, f.room);
    return f.bad ? slm_fail(err, SLM_E_NUMERIC,
                            "second moments of %d columns are not positive definite", n)
                 : 0;
}
