/* checkkern: every kernel of every CPU level that this machine has, against the generic one. A
 * slot without a tester does not compile, as the list of testers is made from kernels.inc.
 * Conversions must give the same bits; integer products too; float sums must lie within (n + 8)
 * eps sum|terms|. Every product is also held to the promise that a call's shape changes no bit
 * of an output.
 * --bench times products instead. It needs nothing but the kernel room and a few files of base,
 * so that it also runs, cross-compiled, under an emulator. */
#include <math.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kern/amx_trap.h"
#include "kernels/fast.h"
#include "kernels/kernels.h"

#define EPS 1.1920929e-7
#define GUARD 0x7fa5a5a5u /* a NaN that no kernel computes */

struct checker {
    const struct slm_kern *gen, *k;
    struct slm_rng rng;
};
typedef void check_fn(struct checker *c, enum slm_dtype t);

static jmp_buf failed;
#define fail_msg(...) (printf(__VA_ARGS__), printf("\n"), longjmp(failed, 1))

/* ---- memory with guards ---- */

static float *floats(size_t n) /* off every vector boundary, guarded behind */
{
    float *p = malloc((n + 20) * sizeof *p);
    if (!p)
        abort();
    for (size_t i = 0; i < n + 20; i++)
        memcpy(&p[i], &(uint32_t){GUARD}, 4);
    return p + 1;
}
static void end(float *p, size_t n)
{
    for (size_t i = n; i < n + 19; i++) {
        uint32_t u;
        memcpy(&u, &p[i], 4);
        if (u != GUARD)
            fail_msg("wrote %zu elements behind the end", i - n);
    }
    free(p - 1);
}

/* n bytes that end where reading is forbidden: one byte too far ends the program. Kernel files
 * are built without sanitizers, which would take minutes over their unrolled loops. */
#define PAGE ((size_t)65536) /* a multiple of any machine's */
static uint8_t *edge(size_t n)
{
    size_t all = (n + PAGE - 1) / PAGE * PAGE;
    uint8_t *p =
        mmap(NULL, all + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p + all, PAGE, PROT_NONE))
        abort();
    return p + all - n;
}
static void edge_free(uint8_t *p, size_t n)
{
    size_t all = (n + PAGE - 1) / PAGE * PAGE;
    munmap(p + n - all, all + PAGE);
}

static void near(double got, double want, double terms, size_t n)
{
    double bound = ((double)n + 8) * EPS * terms + 1e-36;
    if (isnan(want) && isnan(got))
        return;
    if (want == got)
        return;
    if (!(fabs(got - want) <= bound))
        fail_msg("%.9g, want %.9g within %.3g (n = %zu)", got, want, bound, n);
}

static void same(const float *a, const float *b, size_t n, const char *what)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], 4) != 0 && !(isnan(a[i]) && isnan(b[i])))
            fail_msg("%s: element %zu of %zu: %.9g, want %.9g", what, i, n, (double)a[i],
                     (double)b[i]);
}

/* ---- data ---- */

static float normal(struct checker *c) { return (float)slm_rng_normal(&c->rng); }
static void fill(struct checker *c, float *x, size_t n, float s)
{
    for (size_t i = 0; i < n; i++)
        x[i] = s * normal(c);
}
static size_t below(struct checker *c, size_t n) { return (size_t)slm_rng_below(&c->rng, n); }

static bool small_ints(enum slm_dtype t)
{
    return t == SLM_I32 || t == SLM_I64 || t == SLM_U32 || t == SLM_U64;
}

/* Rows of any type from random bytes, a block redrawn until its values are ordinary. */
static void random_row(struct checker *c, enum slm_dtype t, uint8_t *row, size_t n)
{
    size_t len = (size_t)slm_dtypes[t].block, bytes = (size_t)slm_dtypes[t].bytes;
    float v[256];
    if (t == SLM_Q8_K || t == SLM_Q8_1) { /* their sums must fit their values */
        for (size_t i = 0; i < n; i += len, row += bytes) {
            fill(c, v, len, 1);
            c->gen->from_f32[t](row, v, len);
        }
        return;
    }
    for (size_t i = 0; i < n; i += len, row += bytes) {
        bool ok = false;
        while (!ok) {
            for (size_t b = 0; b < bytes; b++)
                row[b] = (uint8_t)slm_rng_u64(&c->rng);
            if (small_ints(t))
                memset(row + 1, 0, bytes - 1);
            c->gen->to_f32[t](v, row, len);
            ok = true;
            for (size_t e = 0; e < len; e++)
                ok = ok && fabsf(v[e]) < 1e4f;
        }
    }
}

/* ---- conversions ---- */

static void check_to_f32(struct checker *c, enum slm_dtype t)
{
    size_t len = (size_t)slm_dtypes[t].block;
    for (int round = 0; round < 40; round++) {
        size_t n = len * below(c, len == 1 ? 300 : 5), bytes = slm_row_bytes(t, n);
        uint8_t *at = edge(bytes);
        float *a = floats(n), *b = floats(n);
        random_row(c, t, at, n);
        if (t != SLM_Q8_K && t != SLM_F32 && round > 20 && t != SLM_F16)
            for (size_t i = 0; i < bytes; i++)
                at[i] = (uint8_t)slm_rng_u64(&c->rng);
        c->gen->to_f32[t](a, at, n);
        c->k->to_f32[t](b, at, n);
        same(b, a, n, "to_f32");
        end(a, n);
        end(b, n);
        edge_free(at, bytes);
    }
}

static void check_from_f32(struct checker *c, enum slm_dtype t)
{
    static const float scales[] = {1, 0, 1e-3f, 100, 3e38f, 1e-40f, 1e-44f, 60000, 1e-7f};
    size_t len = (size_t)slm_dtypes[t].block;
    if (!c->gen->from_f32[t] != !c->k->from_f32[t])
        fail_msg("the level lost or gained a writer");
    for (int round = 0; round < 90 && c->k->from_f32[t]; round++) {
        size_t n = len * below(c, len == 1 ? 300 : 5), bytes = slm_row_bytes(t, n);
        float *x = floats(n);
        fill(c, x, n, scales[round % 9]);
        bool odd =
            slm_dtypes[t].partner == SLM_Q8_S || t == SLM_Q8_K || t == SLM_F16 || t == SLM_BF16;
        for (size_t i = 0; i < n; i++) {
            if (round % 5 == 1)
                x[i] = round % 2 ? 1.0f : -1.0f; /* extremes that tie */
            if (round % 5 == 2)
                x[i] = (float)((int)below(c, 509) - 254) / 2; /* halves to be rounded */
            if (odd && round % 7 == 6 && below(c, 50) == 0)
                x[i] = below(c, 2) ? INFINITY : -INFINITY;
            if (odd && t != SLM_F16 && round % 7 == 5 && below(c, 50) == 0)
                x[i] = NAN;
        }
        uint8_t *a = malloc(bytes + 16), *b = malloc(bytes + 16);
        memset(a, 0xa5, bytes + 16);
        memset(b, 0xa5, bytes + 16);
        c->gen->from_f32[t](a, x, n);
        c->k->from_f32[t](b, x, n);
        for (size_t i = 0; i < bytes + 16; i++)
            if (a[i] != b[i])
                fail_msg("byte %zu of %zu differs (round %d)", i, bytes, round);
        free(a);
        free(b);
        end(x, n);
    }
}

#include "kern/check_quantize.h"

/* ---- products ---- */

typedef void mul_fn(float *out, size_t ldo, const void *x, size_t xs, int nx, const void *w,
                    size_t ws, int nw, size_t k);

struct product {
    enum slm_dtype wt, xt;
    int nx, nw;
    size_t k, xs, ws, ldo;
    uint8_t *x, *w;
};

/* The last row has no stride behind it. */
static size_t x_bytes(const struct product *p)
{
    return (size_t)(p->nx - 1) * p->xs + slm_row_bytes(p->xt, p->k);
}
static size_t w_bytes(const struct product *p)
{
    return (size_t)(p->nw - 1) * p->ws + slm_row_bytes(p->wt, p->k);
}

static void product_init(struct checker *c, struct product *p, int round)
{
    size_t len = (size_t)slm_dtypes[p->wt].block, xlen = (size_t)slm_dtypes[p->xt].block;
    size_t step = len > xlen ? len : xlen;
    p->k = step * (step == 1 ? below(c, 700) : below(c, step > 100 ? 4 : 20));
    if (round == 0)
        p->k = 0;
    p->nx = 1 + (int)below(c, round % 4 ? 30 : 4);
    p->nw = 1 + (int)below(c, 40);
    p->xs = slm_row_bytes(p->xt, p->k) + 4 * below(c, 3);
    p->ws = slm_row_bytes(p->wt, p->k) + 8 * below(c, 2);
    p->ldo = (size_t)p->nw + below(c, 5);
    p->x = edge(x_bytes(p));
    p->w = edge(w_bytes(p));
    for (int i = 0; i < p->nx; i++) {
        float *v = floats(p->k);
        fill(c, v, p->k, 1);
        if (round % 8 == 7)
            for (size_t e = 0; e < p->k; e++)
                v[e] = below(c, 2) ? 3.0f : -3.0f; /* all at the limit */
        c->gen->from_f32[p->xt](p->x + (size_t)i * p->xs, v, p->k);
        end(v, p->k);
    }
    for (int j = 0; j < p->nw; j++)
        random_row(c, p->wt, p->w + (size_t)j * p->ws, p->k);
}

static void product_free(struct product *p)
{
    edge_free(p->x, x_bytes(p));
    edge_free(p->w, w_bytes(p));
}

static void product_bound(struct checker *c, const struct product *p, const float *gen,
                          const float *got)
{
    float *xf = floats(p->k), *wf = floats(p->k);
    for (int i = 0; i < p->nx; i++)
        for (int j = 0; j < p->nw; j++) {
            double sum = 0, terms = 0;
            c->gen->to_f32[p->xt](xf, p->x + (size_t)i * p->xs, p->k);
            c->gen->to_f32[p->wt](wf, p->w + (size_t)j * p->ws, p->k);
            for (size_t e = 0; e < p->k; e++) {
                sum += (double)xf[e] * (double)wf[e];
                terms += fabs((double)xf[e] * (double)wf[e]);
            }
            size_t at = (size_t)i * p->ldo + (size_t)j;
            near((double)gen[at], sum, terms, p->k);
            near((double)got[at], (double)gen[at], terms, p->k);
        }
    end(xf, p->k);
    end(wf, p->k);
}

static void check_product(struct checker *c, enum slm_dtype t, enum slm_dtype xt, mul_fn *gen,
                          mul_fn *got)
{
    bool bits = xt == slm_dtypes[t].partner && slm_fast_in_integers(t);
    for (int round = 0; round < 16; round++) {
        struct product p = {.wt = t, .xt = xt};
        product_init(c, &p, round);
        size_t n = (size_t)p.nx * p.ldo;
        float *a = floats(n), *b = floats(n), *one = floats(1);
        gen(a, p.ldo, p.x, p.xs, p.nx, p.w, p.ws, p.nw, p.k);
        got(b, p.ldo, p.x, p.xs, p.nx, p.w, p.ws, p.nw, p.k);
        product_bound(c, &p, a, b);
        if (bits)
            same(b, a, n, "integer product");
        for (int s = 0; s < 60; s++) {
            int i = (int)below(c, (size_t)p.nx), j = (int)below(c, (size_t)p.nw);
            got(one, 1, p.x + (size_t)i * p.xs, p.xs, 1, p.w + (size_t)j * p.ws, p.ws, 1, p.k);
            same(one, &b[(size_t)i * p.ldo + (size_t)j], 1, "alone against in company");
        }
        for (int i = 0; i < p.nx; i++) /* what lies between the rows of out stays */
            for (size_t j = (size_t)p.nw; j < p.ldo; j++) {
                uint32_t u;
                memcpy(&u, &b[(size_t)i * p.ldo + j], 4);
                if (u != GUARD)
                    fail_msg("wrote between the rows of out");
            }
        end(a, n);
        end(b, n);
        end(one, 1);
        product_free(&p);
    }
}

static void check_mul_exact(struct checker *c, enum slm_dtype t)
{
    check_product(c, t, SLM_F32, (mul_fn *)(void (*)(void))c->gen->mul_exact[t],
                  (mul_fn *)(void (*)(void))c->k->mul_exact[t]);
}
static void check_mul_fast(struct checker *c, enum slm_dtype t)
{
    check_product(c, t, slm_dtypes[t].partner, c->gen->mul_fast[t], c->k->mul_fast[t]);
}

#include "kern/check_prompt.h"
#include "kern/check_gemm.h"

static void check_axpy(struct checker *c, enum slm_dtype t)
{
    size_t len = (size_t)slm_dtypes[t].block;
    for (int round = 0; round < 20; round++) {
        size_t n = len * below(c, len == 1 ? 600 : 4);
        uint8_t *w = edge(slm_row_bytes(t, n));
        float *a = floats(n), *b = floats(n), *y = floats(n), *v = floats(n), s = normal(c);
        random_row(c, t, w, n);
        fill(c, y, n, 1);
        memcpy(a, y, n * 4);
        memcpy(b, y, n * 4);
        c->gen->axpy[t](a, s, w, n);
        c->k->axpy[t](b, s, w, n);
        c->gen->to_f32[t](v, w, n);
        for (size_t i = 0; i < n; i++)
            near((double)b[i], (double)a[i], fabs((double)y[i]) + fabs((double)(s * v[i])), 1);
        end(a, n);
        end(b, n);
        end(y, n);
        end(v, n);
        edge_free(w, slm_row_bytes(t, n));
    }
}

/* The same bits as axpys in order at the same level, and near the generic ones. */
static void check_add_rows(struct checker *c, enum slm_dtype t)
{
    (void)t;
    for (int round = 0; round < 60; round++) {
        int ny = (int)below(c, 15), nw = (int)below(c, 40);
        size_t k = below(c, 200), ldy = k + below(c, 9), ldw = k + below(c, 9);
        bool turned = below(c, 2);
        struct slm_rows m = {
            NULL, ldy, ny, NULL, turned ? 1 : (size_t)nw + 2, turned ? (size_t)ny + 1 : 1,
            NULL, ldw, nw, k};
        size_t ys = (size_t)ny * ldy, as = (size_t)(ny + 2) * (size_t)(nw + 2),
               ws = (size_t)nw * ldw;
        float *y[3], *a = floats(as), *w = floats(ws), *terms = floats(ys);
        fill(c, a, as, 1);
        fill(c, w, ws, 1);
        for (int v = 0; v < 3; v++)
            y[v] = floats(ys);
        fill(c, y[0], ys, 1);
        memcpy(y[1], y[0], ys * 4);
        memcpy(y[2], y[0], ys * 4);
        for (size_t i = 0; i < ys; i++)
            terms[i] = fabsf(y[0][i]);
        m.a = a;
        m.w = w;
        m.y = y[0];
        c->gen->add_rows(&m);
        m.y = y[1];
        c->k->add_rows(&m);
        for (int i = 0; i < ny; i++)
            for (int j = 0; j < nw; j++) {
                float s = a[(size_t)i * m.ai + (size_t)j * m.aj];
                c->k->axpy[SLM_F32](y[2] + (size_t)i * ldy, s, w + (size_t)j * ldw, k);
                for (size_t e = 0; e < k; e++)
                    terms[(size_t)i * ldy + e] += fabsf(s * w[(size_t)j * ldw + e]);
            }
        same(y[1], y[2], ys, "add_rows against axpys");
        for (size_t i = 0; i < ys; i++)
            near((double)y[1][i], (double)y[0][i], (double)terms[i], (size_t)nw);
        for (int v = 0; v < 3; v++)
            end(y[v], ys);
        end(a, as);
        end(w, ws);
        end(terms, ys);
    }
}

static void check_transpose(struct checker *c, enum slm_dtype t)
{
    (void)t;
    for (int round = 0; round < 60; round++) {
        size_t rows = below(c, 70), cols = below(c, 70), ldi = cols + below(c, 5),
               ldo = rows + below(c, 5);
        float *x = floats(rows * ldi), *a = floats(cols * ldo), *b = floats(cols * ldo);
        fill(c, x, rows * ldi, 1);
        c->gen->transpose(a, ldo, x, ldi, rows, cols);
        c->k->transpose(b, ldo, x, ldi, rows, cols);
        for (size_t i = 0; i < cols; i++)
            same(b + i * ldo, a + i * ldo, rows, "transpose");
        end(x, rows * ldi);
        end(a, cols * ldo);
        end(b, cols * ldo);
    }
}

/* ---- elements ---- */

struct pair {
    size_t n;
    float *x, *y, *a, *b; /* inputs; generic output, output under test */
};
static void pair_init(struct checker *c, struct pair *p, float s)
{
    p->n = below(c, 200);
    p->x = floats(p->n);
    p->y = floats(p->n);
    p->a = floats(p->n);
    p->b = floats(p->n);
    fill(c, p->x, p->n, s);
    fill(c, p->y, p->n, 1);
}
static void pair_end(struct pair *p)
{
    end(p->x, p->n);
    end(p->y, p->n);
    end(p->a, p->n);
    end(p->b, p->n);
}

typedef void two_fn(float *out, const float *a, const float *b, size_t n);
static void check_two(struct checker *c, two_fn *gen, two_fn *got, bool exact)
{
    for (int round = 0; round < 60; round++) {
        struct pair p;
        pair_init(c, &p, (float)(round % 6 * round % 6) * 6);
        if (round % 6 == 5)
            for (size_t i = 0; i < p.n; i++)
                p.x[i] = i % 3 ? (i % 2 ? INFINITY : -1e30f) : NAN;
        gen(p.a, p.x, p.y, p.n);
        got(p.b, p.x, p.y, p.n);
        for (size_t i = 0; i < p.n; i++) {
            if (exact)
                same(&p.b[i], &p.a[i], 1, "element");
            else
                near((double)p.b[i], (double)p.a[i], fabs((double)p.x[i] * (double)p.y[i]), 0);
        }
        got(p.x, p.x, p.y, p.n); /* in place */
        same(p.x, p.b, p.n, "in place");
        pair_end(&p);
    }
}
static void check_add(struct checker *c, enum slm_dtype t)
{
    (void)t;
    check_two(c, c->gen->add, c->k->add, true);
}
static void check_mul(struct checker *c, enum slm_dtype t)
{
    (void)t;
    check_two(c, c->gen->mul, c->k->mul, true);
}
static void check_silu_mul(struct checker *c, enum slm_dtype t)
{
    (void)t;
    check_two(c, c->gen->silu_mul, c->k->silu_mul, false);
}
static void check_gelu_mul(struct checker *c, enum slm_dtype t)
{
    (void)t;
    check_two(c, c->gen->gelu_mul, c->k->gelu_mul, false);
}
static void check_gelu_erf_mul(struct checker *c, enum slm_dtype t)
{
    (void)t;
    check_two(c, c->gen->gelu_erf_mul, c->k->gelu_erf_mul, false);
}

static void check_scale(struct checker *c, enum slm_dtype t)
{
    (void)t;
    for (int round = 0; round < 40; round++) {
        struct pair p;
        pair_init(c, &p, 1);
        c->gen->scale(p.a, p.x, 0.37f, p.n);
        c->k->scale(p.b, p.x, 0.37f, p.n);
        same(p.b, p.a, p.n, "scale");
        pair_end(&p);
    }
}

static void check_softcap(struct checker *c, enum slm_dtype t)
{
    (void)t;
    for (int round = 0; round < 60; round++) {
        struct pair p;
        float cap = round % 2 ? 30.0f : 1.0f;
        pair_init(c, &p, (float)(round % 5 * round % 5 * 10) + 0.3f);
        c->gen->softcap(p.a, p.x, cap, p.n);
        c->k->softcap(p.b, p.x, cap, p.n);
        for (size_t i = 0; i < p.n; i++)
            near((double)p.b[i], (double)p.a[i], fabs((double)p.a[i]), 0);
        pair_end(&p);
    }
}

typedef void rope_fn(float *out, const float *x, const float *cs, float sign, size_t half);
static void check_rope(struct checker *c, rope_fn *gen, rope_fn *got)
{
    for (int round = 0; round < 60; round++) {
        size_t half = below(c, 70);
        float *x = floats(2 * half), *cs = floats(2 * half), *a = floats(2 * half),
              *b = floats(2 * half);
        fill(c, x, 2 * half, 1);
        for (size_t i = 0; i < half; i++) {
            cs[i] = cosf((float)i);
            cs[half + i] = sinf((float)i);
        }
        gen(a, x, cs, round % 2 ? -1.0f : 1.0f, half);
        got(b, x, cs, round % 2 ? -1.0f : 1.0f, half);
        for (size_t i = 0; i < 2 * half; i++)
            near((double)b[i], (double)a[i], 4 + fabs((double)a[i]), 0);
        got(x, x, cs, round % 2 ? -1.0f : 1.0f, half);
        same(x, b, 2 * half, "in place");
        end(x, 2 * half);
        end(cs, 2 * half);
        end(a, 2 * half);
        end(b, 2 * half);
    }
}
static void check_rope_half(struct checker *c, enum slm_dtype t)
{
    (void)t;
    check_rope(c, c->gen->rope_half, c->k->rope_half);
}
static void check_rope_pair(struct checker *c, enum slm_dtype t)
{
    (void)t;
    check_rope(c, c->gen->rope_pair, c->k->rope_pair);
}

/* ---- rows ---- */

static void check_norm_rms(struct checker *c, enum slm_dtype t)
{
    (void)t;
    for (int round = 0; round < 40; round++) {
        struct pair p;
        pair_init(c, &p, 2);
        const float *w = round % 3 ? p.y : NULL;
        float shift = round % 2 ? 1.0f : 0.0f;
        float ra = c->gen->norm_rms(p.a, p.x, w, shift, 1e-5f, p.n);
        float rb = c->k->norm_rms(p.b, p.x, w, shift, 1e-5f, p.n);
        near((double)rb, (double)ra, (double)ra, p.n);
        for (size_t i = 0; i < p.n; i++)
            near((double)p.b[i], (double)p.a[i], fabs((double)p.a[i]), p.n);
        pair_end(&p);
    }
}

static void check_norm_layer(struct checker *c, enum slm_dtype t)
{
    (void)t;
    for (int round = 0; round < 40; round++) {
        struct pair p;
        float sa[2], sb[2];
        pair_init(c, &p, 2);
        float *bias = floats(p.n);
        fill(c, bias, p.n, 1);
        const float *b = round % 3 ? bias : NULL;
        c->gen->norm_layer(p.a, p.x, p.y, b, 1e-5f, p.n, sa);
        c->k->norm_layer(p.b, p.x, p.y, b, 1e-5f, p.n, sb);
        near((double)sb[0], (double)sa[0], 8, p.n);
        near((double)sb[1], (double)sa[1], (double)sa[1], p.n);
        for (size_t i = 0; i < p.n; i++)
            near((double)p.b[i], (double)p.a[i], 4 + fabs((double)p.a[i]), p.n);
        end(bias, p.n);
        pair_end(&p);
    }
}

static void check_softmax(struct checker *c, enum slm_dtype t)
{
    (void)t;
    for (int round = 0; round < 80; round++) {
        struct pair p;
        pair_init(c, &p, (float)(round % 4) * 10 + 0.1f);
        size_t n = p.n ? p.n : 1;
        float *a = floats(n), *b = floats(n);
        fill(c, a, n, (float)(round % 4) * 10 + 0.1f);
        for (size_t i = 0; i < n; i++)
            if (round % 5 == 4 && i % 3)
                a[i] = -INFINITY; /* masked */
        if (round % 20 == 19)
            a[0] = -INFINITY;
        memcpy(b, a, n * 4);
        float la = c->gen->softmax(a, n), lb = c->k->softmax(b, n);
        near((double)lb, (double)la, fabs((double)la) + 1, n);
        for (size_t i = 0; i < n; i++)
            near((double)b[i], (double)a[i], (double)a[i], n);
        end(a, n);
        end(b, n);
        pair_end(&p);
    }
}

static void check_dot(struct checker *c, enum slm_dtype t)
{
    (void)t;
    for (int round = 0; round < 60; round++) {
        struct pair p;
        double terms = 0;
        pair_init(c, &p, 2);
        for (size_t i = 0; i < p.n; i++)
            terms += fabs((double)p.x[i] * (double)p.y[i]);
        near((double)c->k->dot(p.x, p.y, p.n), (double)c->gen->dot(p.x, p.y, p.n), terms, p.n);
        pair_end(&p);
    }
}

static void check_max(struct checker *c, enum slm_dtype t)
{
    (void)t;
    for (int round = 0; round < 60; round++) {
        struct pair p;
        pair_init(c, &p, 2);
        if (p.n && c->k->max(p.x, p.n) != c->gen->max(p.x, p.n))
            fail_msg("not the largest");
        pair_end(&p);
    }
}

/* One row of activations in its own form: the bits of the generic product. */
static void check_one(struct checker *c, enum slm_dtype t)
{
    const struct slm_one *one = &c->k->one[t];
    for (int round = 1; round < 16; round++) {
        struct product p = {.wt = t, .xt = slm_dtypes[t].partner};
        product_init(c, &p, round);
        float *a = floats((size_t)p.nw), *b = floats((size_t)p.nw);
        size_t bytes = one->bytes(p.k);
        void *x = aligned_alloc(64, (bytes + 127) / 64 * 64);
        if (!x)
            fail_msg("out of memory");
        one->prepare(x, p.x, p.k);
        c->gen->mul_fast[t](a, (size_t)p.nw, p.x, p.xs, 1, p.w, p.ws, p.nw, p.k);
        int cut = (int)below(c, (size_t)p.nw + 1);
        one->run(b, x, p.w, p.ws, cut, p.k);
        one->run(b + cut, x, p.w + (size_t)cut * p.ws, p.ws, p.nw - cut, p.k);
        same(b, a, (size_t)p.nw, "one row against the generic product");
        free(x);
        end(a, (size_t)p.nw);
        end(b, (size_t)p.nw);
        product_free(&p);
    }
}

#include "kern/check_attn.h"
#include "kern/check_back.h"

/* ---- the list of cases ---- */

struct slot {
    const char *name;
    check_fn *fn;
    size_t at, size; /* of the pointer in the table */
    bool typed;
};
static const struct slot slots[] = {
#define KERN(ret, name, args)                                                                  \
    {#name, check_##name, offsetof(struct slm_kern, name), sizeof(void *), false},
#define KERN_DT(ret, name, args)                                                               \
    {#name, check_##name, offsetof(struct slm_kern, name), sizeof(void *), true},
#include "kernels/kernels.inc"
#undef KERN
#undef KERN_DT
    {"one", check_one, offsetof(struct slm_kern, one), sizeof(struct slm_one), true},
};

struct kern_case {
    const struct slot *slot;
    const struct slm_kern *gen, *k;
    enum slm_dtype t;
    char name[64];
};

static bool run_case(const struct kern_case *s)
{
    if (setjmp(failed)) {
        printf("%s: FAILED\n", s->name);
        return false;
    }
    struct checker c = {s->gen, s->k, {{0}}};
    slm_rng_init(&c.rng, 7);
    s->slot->fn(&c, s->t);
    return true;
}

static bool differs(const struct slot *s, const struct slm_kern *a, const struct slm_kern *b,
                    size_t t)
{
    const char *pa = (const char *)a + s->at + t * s->size,
               *pb = (const char *)b + s->at + t * s->size;
    static const char none[sizeof(struct slm_one)];
    return memcmp(pa, none, s->size) != 0 && (a == b || memcmp(pa, pb, s->size) != 0);
}

#define MOST 4000
static struct kern_case cases[MOST];
static struct slm_kern tables[SLM_CPU_COUNT];

static size_t list_cases(const struct slm_cpu *cpu)
{
    size_t n = 0;
    int last = 0;
    for (int l = 0; l < SLM_CPU_COUNT; l++) {
        if (!(cpu->has >> l & 1u))
            continue;
        slm_kern_fill(&tables[l], cpu, (enum slm_cpu_level)l);
        for (size_t s = 0; s < sizeof slots / sizeof *slots; s++)
            for (size_t t = 0; t < (slots[s].typed ? SLM_DTYPE_COUNT : 1); t++) {
                if (n == MOST || !differs(&slots[s], &tables[l], &tables[last], t))
                    continue;
                struct kern_case *k = &cases[n];
                *k = (struct kern_case){&slots[s], &tables[0], &tables[l], (enum slm_dtype)t,
                                        ""};
                snprintf(k->name, sizeof k->name, "%s %s%s%s",
                         slm_cpu_level_name((enum slm_cpu_level)l), slots[s].name,
                         slots[s].typed ? " " : "", slots[s].typed ? slm_dtypes[t].name : "");
                n++;
            }
        last = l;
    }
    return n;
}

#ifdef CHECKKERN_ONLY
int slm_fail(slm_err *err, int code, const char *fmt,
             ...) /* base's knows Unicode, which is a library */
{
    snprintf(err->msg, sizeof err->msg, "%s", fmt);
    return code;
}
static int bench(const char *level, const char *type, int threads)
{
    (void)level, (void)type, (void)threads;
    return 2;
}
#else
#include "kern/bench.h"
#endif

int main(int argc, char **argv)
{
    struct slm_cpu cpu;
    slm_err err;
    if (slm_cpu_detect(&cpu, NULL, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    if (argc > 1 && strcmp(argv[1], "--bench") == 0)
        return bench(argc > 2 ? argv[2] : NULL, argc > 3 ? argv[3] : NULL,
                     argc > 4 ? atoi(argv[4]) : 0);
    bool amx_told = cpu.has >> SLM_CPU_AMX & 1u, amx_done = amx_trap_install(&cpu);
    size_t n = list_cases(&cpu), good = 0;
    for (size_t i = 0; i < n; i++)
        good += run_case(&cases[i]);
    printf("checkkern: levels");
    for (int l = 0; l < SLM_CPU_COUNT; l++)
        if (cpu.has >> l & 1u)
            printf(" %s", slm_cpu_level_name((enum slm_cpu_level)l));
    if (amx_done && !amx_told)
        printf(" (by traps)");
    printf("\n%zu passed, %zu failed\n", good, n - good);
    return good == n ? 0 : 1;
}
