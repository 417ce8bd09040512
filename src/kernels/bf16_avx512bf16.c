/* BF16 with BF16 by vdpbf16ps: thirty-two products an instruction, straight from the rows. Each
 * output keeps sixteen running sums over the whole of k, so its bits do not depend on the tile.
 */
#include <immintrin.h>
#include <string.h>

#include "kernels/body.h"
#include "kernels/kern_fill.h"
#include "kernels/vec_avx512.h"

#define WR 4 /* weight rows of a tile */
#define XR 6 /* activation rows of a tile */

struct call {
    const uint8_t *x, *w[WR];
    size_t xs, k;
};

FOLD __m512bh at(const uint8_t *p) { return (__m512bh)_mm512_loadu_si512(p); }
FOLD __m512bh tail(const uint8_t *p, __mmask32 m)
{
    return (__m512bh)_mm512_maskz_loadu_epi16(m, p);
}

FOLD void tile(const struct call *c, float *out, size_t ldo, int rows, int n)
{
    vf acc[XR][WR];
    const uint8_t *const w0 = c->w[0], *const w1 = c->w[1], *const w2 = c->w[2],
                         *const w3 = c->w[3];
    UNROLL
    for (int i = 0; i < n; i++)
        UNROLL
    for (int j = 0; j < WR; j++)
        acc[i][j] = vf_zero();
    size_t p = 0;
    for (; p + 32 <= c->k; p += 32) {
        __m512bh w[WR] = {at(w0 + 2 * p), at(w1 + 2 * p), at(w2 + 2 * p), at(w3 + 2 * p)};
        UNROLL
        for (int i = 0; i < n; i++) {
            __m512bh x = at(c->x + (size_t)i * c->xs + 2 * p);
            UNROLL
            for (int j = 0; j < WR; j++)
                acc[i][j] = _mm512_dpbf16_ps(acc[i][j], w[j], x);
        }
    }
    if (p < c->k) {
        __mmask32 m = (1u << (c->k - p)) - 1;
        __m512bh w[WR] = {tail(w0 + 2 * p, m), tail(w1 + 2 * p, m), tail(w2 + 2 * p, m),
                          tail(w3 + 2 * p, m)};
        UNROLL
        for (int i = 0; i < n; i++) {
            __m512bh x = tail(c->x + (size_t)i * c->xs + 2 * p, m);
            UNROLL
            for (int j = 0; j < WR; j++)
                acc[i][j] = _mm512_dpbf16_ps(acc[i][j], w[j], x);
        }
    }
    UNROLL
    for (int i = 0; i < n; i++) {
        float t[WR];
        vf_sum4(t, acc[i]);
        memcpy(out + (size_t)i * ldo, t, (size_t)rows * sizeof *t);
    }
}

static void mul_bf16(float *out, size_t ldo, const void *x, size_t xs, int nx, const void *w,
                     size_t ws, int nw, size_t k)
{
    int most = xs ? (int)(400000 / xs) / XR * XR
                  : nx; /* rows of x that stay in L2 under all weights */
    if (most < 4 * XR)
        most = 4 * XR;
    struct call c = {.xs = xs, .k = k};
    for (int r = 0; r < nx; r += most)
        for (int j = 0; j < nw; j += WR) {
            int rows = nw - j < WR ? nw - j : WR, i = r, end = nx - r < most ? nx : r + most;
            for (int v = 0; v < WR; v++)
                c.w[v] = (const uint8_t *)w + (size_t)(j + (v < rows ? v : rows - 1)) * ws;
            while (i < end) {
                float *o = out + (size_t)i * ldo + (size_t)j;
                c.x = (const uint8_t *)x + (size_t)i * xs;
                if (end - i >= XR) {
                    tile(&c, o, ldo, rows, XR);
                    i += XR;
                } else if (end - i >= 2) {
                    tile(&c, o, ldo, rows, 2);
                    i += 2;
                } else {
                    tile(&c, o, ldo, rows, 1);
                    i++;
                }
            }
        }
}

void slm_kern_fill_avx512bf16(struct slm_kern *k) { k->mul_fast[SLM_BF16] = mul_bf16; }
