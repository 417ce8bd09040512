/* The products of training in AMX tiles: squares of 32 rows and columns, four tiles of sums,
 * over the panels of gemm_body.h, which are rows of A and pairs of B as the instruction wants
 * them. Blocks are deeper than those of vectors, as C is met sixteen times as often. A sum goes
 * on from C where nothing is scaled, else it begins at zero and is scaled at the end of a
 * block. */
#include <immintrin.h>
#include <string.h>

#include "kernels/body.h"
#include "kernels/kern_fill.h"
#include "kernels/tiles_amx.h"
#include "kernels/vec_avx512.h"

#define PAIRS 1
#define GR 32
#define GV 2
#define KW 384
#define NC 512
#define MC 64
#define slm_to_f32_here slm_to_f32_avx512

#include "kernels/pairs_avx512bf16.h"

/* rows: what the tiles are configured for; c: a square that is not C's own. */
#define GEMM_OWN_TILES                                                                         \
    int rows;                                                                                  \
    _Alignas(64) float c[32 * 32];

#include "kernels/gemm_body.h"

struct square {
    const float *a, *b;
    int steps; /* of 16 words */
    float *c;
    size_t ld; /* bytes */
    bool load; /* sums go on from c */
};

/* lower, right: whether there are more than 16 rows, columns. */
FOLD void square_of(const struct square *s, bool lower, bool right)
{
    float *c = s->c, *under = (float *)(void *)((uint8_t *)c + 16 * s->ld);
    TILE_ZERO(0);
    if (right)
        TILE_ZERO(1);
    if (lower)
        TILE_ZERO(2);
    if (lower && right)
        TILE_ZERO(3);
    if (s->load) {
        TILE_LOAD(0, c, s->ld);
        if (right)
            TILE_LOAD(1, c + 16, s->ld);
        if (lower)
            TILE_LOAD(2, under, s->ld);
        if (lower && right)
            TILE_LOAD(3, under + 16, s->ld);
    }
    const float *a = s->a, *b = s->b;
    for (int p = s->steps; p > 0; p--, a += 16, b += 16 * NR) {
        TILE_LOAD(4, a, 4 * LDA);
        TILE_LOAD(6, b, 4 * NR);
        TILE_BF16(0, 4, 6);
        if (right) {
            TILE_LOAD(7, b + 16, 4 * NR);
            TILE_BF16(1, 4, 7);
        }
        if (lower) {
            TILE_LOAD(5, a + 16 * LDA, 4 * LDA);
            TILE_BF16(2, 5, 6);
        }
        if (lower && right)
            TILE_BF16(3, 5, 7);
    }
    TILE_STORE(0, c, s->ld);
    if (right)
        TILE_STORE(1, c + 16, s->ld);
    if (lower)
        TILE_STORE(2, under, s->ld);
    if (lower && right)
        TILE_STORE(3, under + 16, s->ld);
}

#define SQUARE(name, lower, right)                                                             \
    static __attribute__((noinline)) void name(const struct square *s)                         \
    {                                                                                          \
        square_of(s, lower, right);                                                            \
    }
SQUARE(one, false, false)
SQUARE(side, false, true)
SQUARE(stack, true, false)
SQUARE(four, true, true)

/* Sums in the square of the room go to C. */
static void put_scaled(const struct tile *t, const float *sums)
{
    vf scale = vf_set1(t->scale);
    for (int i = 0; i < t->rows; i++)
        for (int j = 0; j < t->cols; j += VN) {
            size_t n = (size_t)least(t->cols - j, VN);
            float *c = t->c[i] + j;
            vf v = vf_load(sums + 32 * i + j);
            v = !t->add ? vf_mul(v, scale)
                        : vf_fma(v, scale, n < VN ? vf_loadn(c, n) : vf_load(c));
            if (n < VN)
                vf_storen(c, v, n);
            else
                vf_store(c, v);
        }
}

static void tile_run(const struct tile *t, struct room *m)
{
    static void (*const run[2][2])(const struct square *) = {{one, side}, {stack, four}};
    bool plain = t->scale == 1, straight = plain && t->cols == NR && t->ldc;
    size_t bytes = (size_t)t->cols * sizeof(float);
    struct square s = {.a = t->a,
                       .b = t->b,
                       .steps = (t->kw + 15) / 16,
                       .c = straight ? t->c[0] : m->c,
                       .ld = straight ? t->ldc * sizeof(float) : 32 * sizeof(float),
                       .load = plain && t->add};
    if (m->rows != t->rows)
        tile_configure_rows(least(t->rows, 16), t->rows > 16 ? t->rows - 16 : 0);
    m->rows = t->rows;
    for (int i = 0; i < t->rows && s.load && !straight; i++)
        memcpy(m->c + 32 * i, t->c[i], bytes);
    run[t->rows > 16][t->cols > 16](&s);
    if (!plain)
        put_scaled(t, m->c);
    else if (!straight)
        for (int i = 0; i < t->rows; i++)
            memcpy(t->c[i], m->c + 32 * i, bytes);
}

static void gemm_bf16(const struct slm_gemm *g)
{
    struct room *m = g->scratch;
    m->rows = 0;
    gemm(g, false);
    tile_release();
}

void slm_kern_fill_gemm_amx(struct slm_kern *k) { k->gemm_bf16 = gemm_bf16; }
