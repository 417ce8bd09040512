/* The products of training, plainly: squares of both operands as float32 in the scratch, then
 * one dot a stretch of k for each element. Also how a product is cut for threads. */
#include <string.h>

#include "kernels/kern_fill.h"
#include "kernels/lanes.h"

#define SIDE 256    /* elements of a square, a multiple of every block */
#define STRETCH 256 /* of k: one dot */

/* Rows of values side by side, as many as fit in half of the scratch. */
_Static_assert(2 * SIDE * STRETCH * sizeof(float) + SIDE * sizeof(float) <= SLM_GEMM_SCRATCH,
               "scratch");

static const uint8_t *storage_row(const struct slm_side *s, int r)
{
    size_t at = s->index ? (size_t)(s->index[r] / s->fan) : (size_t)r;
    return (const uint8_t *)s->data + at * s->stride;
}

static size_t whole_blocks(enum slm_dtype t, int n)
{
    size_t len = (size_t)slm_dtypes[t].block;
    return ((size_t)n + len - 1) / len * len;
}

/* out[i][p] = element (i0 + i, k0 + p), i < ni, p < nk <= STRETCH. */
static void unpack(float *out, const struct slm_side *s, const int at[4], float *row)
{
    slm_to_f32_fn *to_f32 = slm_to_f32_generic(s->type);
    int i0 = at[0], ni = at[1], k0 = at[2], nk = at[3];
    for (int i = 0; i < ni && !s->across; i++) {
        const uint8_t *p = storage_row(s, i0 + i);
        to_f32(row, p + slm_row_bytes(s->type, s->first + (size_t)k0),
               whole_blocks(s->type, nk));
        memcpy(out + i * STRETCH, row, (size_t)nk * sizeof *row);
    }
    for (int p = 0; p < nk && s->across; p++) {
        const uint8_t *from = storage_row(s, k0 + p);
        to_f32(row, from + slm_row_bytes(s->type, s->first + (size_t)i0),
               whole_blocks(s->type, ni));
        for (int i = 0; i < ni; i++)
            out[i * STRETCH + p] = row[i];
    }
}

static void round_bf16(float *x, int rows, int n)
{
    for (int i = 0; i < rows; i++)
        for (int p = 0; p < n; p++)
            x[i * STRETCH + p] = slm_bf16_to_f32(slm_f32_to_bf16(x[i * STRETCH + p]));
}

static void add_square(const struct slm_gemm *g, const int am[4], const int bn[4], bool bf16)
{
    float *a = g->scratch, *b = a + SIDE * STRETCH, *row = b + SIDE * STRETCH;
    float scale = g->scale == 0 ? 1 : g->scale;
    unpack(a, &g->a, am, row);
    unpack(b, &g->b, bn, row);
    if (bf16) {
        round_bf16(a, am[1], am[3]);
        round_bf16(b, bn[1], bn[3]);
    }
    for (int i = 0; i < am[1]; i++) {
        int to = g->c_index ? g->c_index[am[0] + i] : am[0] + i;
        float *c = g->c + (size_t)to * g->ldc + bn[0];
        for (int j = 0; j < bn[1]; j++) {
            float s[SLM_LANES] = {0};
            slm_lanes_dot(s, a + i * STRETCH, b + j * STRETCH, (size_t)am[3]);
            float sum = scale * slm_lanes_sum(s);
            c[j] = am[2] || g->add ? c[j] + sum : sum;
        }
    }
}

static void gemm(const struct slm_gemm *g, bool bf16)
{
    for (int i = 0; i < g->m; i += SIDE)
        for (int j = 0; j < g->n; j += SIDE) {
            int am[4] = {i, g->m - i < SIDE ? g->m - i : SIDE, 0, 0};
            int bn[4] = {j, g->n - j < SIDE ? g->n - j : SIDE, 0, 0};
            int p = 0;
            do { /* once where k is 0, too */
                am[2] = bn[2] = p;
                am[3] = bn[3] = g->k - p < STRETCH ? g->k - p : STRETCH;
                add_square(g, am, bn, bf16);
                p += STRETCH;
            } while (p < g->k);
        }
}

static void gemm_f32(const struct slm_gemm *g) { gemm(g, false); }
static void gemm_bf16(const struct slm_gemm *g) { gemm(g, true); }

void slm_kern_fill_gemm_generic(struct slm_kern *k)
{
    k->gemm_f32 = gemm_f32;
    k->gemm_bf16 = gemm_bf16;
}

/* ---- parts ---- */

static void side_from(struct slm_side *s, size_t i)
{
    if (s->across)
        s->first += i;
    else if (s->index)
        s->index += i;
    else
        s->data = (const uint8_t *)s->data + i * s->stride;
}

/* Multiply-adds that bringing one element of an operand into a kernel's form costs, about. */
static double cost_of(const struct slm_side *s)
{
    return slm_dtypes[s->type].block > 1 ? 40 : s->across ? 8 : 12;
}

static size_t grain_of(const struct slm_side *s, size_t least)
{
    size_t len = s->across ? (size_t)slm_dtypes[s->type].block : 1;
    return len > least ? len : least;
}

static double piece(size_t n, size_t grain, int parts)
{
    size_t blocks = (n + grain - 1) / grain;
    return (double)((blocks + (size_t)parts - 1) / (size_t)parts * grain);
}

bool slm_gemm_part(struct slm_gemm *part, const struct slm_gemm *whole, int ith, int nth)
{
    size_t m = (size_t)whole->m, n = (size_t)whole->n, lo, hi;
    size_t gm = grain_of(&whole->a, 4), gn = grain_of(&whole->b, 32);
    int best = 1;
    double least = 1e300;
    for (int tm = 1; tm <= nth; tm++) { /* the grid whose largest part is done first */
        double pm = piece(m, gm, tm), pn = piece(n, gn, nth / tm);
        double t = pm * pn + pm * cost_of(&whole->a) + pn * cost_of(&whole->b);
        if (t < least) {
            least = t;
            best = tm;
        }
    }
    int tn = nth / best;
    *part = *whole;
    if (ith >= best * tn)
        return false;
    slm_split(m, gm, ith % best, best, &lo, &hi);
    part->m = (int)(hi - lo);
    side_from(&part->a, lo);
    if (part->c_index)
        part->c_index += lo;
    else
        part->c += lo * part->ldc;
    slm_split(n, gn, ith / best, tn, &lo, &hi);
    part->n = (int)(hi - lo);
    side_from(&part->b, lo);
    part->c += lo;
    return part->m > 0 && part->n > 0;
}
