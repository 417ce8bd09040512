/* Products of prompts in AMX tiles. A panel of weights, as many rows as 1 MiB holds of up to
 * 2,048 columns, is unpacked once into bfloat16 tiles in the thread's scratch, which stays in
 * the second cache, and all rows of activations pass over it. Sums stay in the tile registers
 * for as long as the panel is deep, and go on from the output in the next one: nothing is
 * scaled between products. A sum's order depends on k alone, so no output depends on its
 * company. */
#include <immintrin.h>
#include <string.h>

#include "kernels/body.h"
#include "kernels/fast.h"
#include "kernels/kern_fill.h"
#include "kernels/tiles_amx.h"
#include "kernels/vec_avx512.h"

#include "kernels/panel_amx.h"

#define DEPTH 2048 /* most weights of a row in a panel; more are cut evenly */

/* The part of the scratch behind the panel. */
struct odds {
    float c[32 * 32];         /* outputs where there are less than 32 columns */
    uint8_t x[32][64];        /* the last columns of 32 rows, with zeros behind them */
    uint8_t rows[PANEL_ROOM]; /* the unpackers' */
};
_Static_assert(SLM_PROMPT_PANEL + sizeof(struct odds) <= SLM_PROMPT_SCRATCH, "scratch");

/* 32 rows of activations (less at the end) with 32 rows of weights. */
struct block {
    const uint8_t *x, *w;
    size_t xs;
    const uint8_t *last; /* odds.x where the last step is short, else NULL */
    int steps;           /* whole ones */
    float *c;
    size_t ldc;
    bool first;      /* sums begin at zero, not at c */
    uintptr_t ahead; /* rows of the next block of activations, for the caches */
    int ahead_rows;
    uintptr_t ahead_c; /* the next block's outputs */
    size_t ahead_ld;   /* bytes */
};

/* The lines that the next blocks need come meanwhile: step s asks for its share of them. */
FOLD void fetch_ahead(const struct block *b, int s, int lines)
{
    for (int i = 0; i < b->ahead_rows; i++)
        __builtin_prefetch((const void *)(b->ahead + (size_t)i * b->xs + 64 * (size_t)s), 0, 2);
    for (int i = s * lines; i < (s + 1) * lines && i < 64; i++)
        __builtin_prefetch(
            (const void *)(b->ahead_c + (size_t)(i / 2) * b->ahead_ld + 64 * (size_t)(i % 2)),
            1, 3);
}

/* One step: 32 elements of k. */
FOLD void step(const uint8_t *x, size_t xs, const uint8_t *w, bool lower)
{
    TILE_LOAD(4, x, xs);
    TILE_LOAD(6, w, 64);
    TILE_LOAD(7, w + 1024, 64);
    TILE_BF16(0, 4, 6);
    TILE_BF16(1, 4, 7);
    if (lower) {
        TILE_LOAD(5, x + 16 * xs, xs);
        TILE_BF16(2, 5, 6);
        TILE_BF16(3, 5, 7);
    }
}

FOLD void block_of(const struct block *b, bool lower)
{
    size_t ld = b->ldc * sizeof *b->c;
    int lines = 63 / (b->steps + 1) + 1;
    if (b->first) {
        TILE_ZERO(0);
        TILE_ZERO(1);
        if (lower) {
            TILE_ZERO(2);
            TILE_ZERO(3);
        }
    } else {
        TILE_LOAD(0, b->c, ld);
        TILE_LOAD(1, b->c + 16, ld);
        if (lower) {
            TILE_LOAD(2, b->c + 16 * b->ldc, ld);
            TILE_LOAD(3, b->c + 16 * b->ldc + 16, ld);
        }
    }
    for (int s = 0; s < b->steps; s++) {
        step(b->x + 64 * (size_t)s, b->xs, b->w + 2048 * (size_t)s, lower);
        fetch_ahead(b, s, lines);
    }
    if (b->last)
        step(b->last, 64, b->w + 2048 * (size_t)b->steps, lower);
    TILE_STORE(0, b->c, ld);
    TILE_STORE(1, b->c + 16, ld);
    if (lower) {
        TILE_STORE(2, b->c + 16 * b->ldc, ld);
        TILE_STORE(3, b->c + 16 * b->ldc + 16, ld);
    }
}

static __attribute__((noinline)) void block_high(const struct block *b) { block_of(b, true); }
static __attribute__((noinline)) void block_low(const struct block *b) { block_of(b, false); }

/* A panel: weight rows [j, j + rows) of m, elements [e, e + n). */
struct stretch {
    const struct slm_prompt *m;
    struct odds *odds;
    int j, rows;
    size_t e, n;
    int set; /* rows that the tiles are configured for */
};

static void tiles_for(struct stretch *s, int rows)
{
    if (rows != s->set)
        tile_configure_rows(rows < 16 ? rows : 16, rows < 16 ? 0 : rows - 16);
    s->set = rows;
}

/* Less than 32 columns go by a square of their own. */
static void narrow_block(struct block *b, struct odds *o, int rows, int cols)
{
    float *c = b->c;
    size_t ldc = b->ldc;
    b->c = o->c;
    b->ldc = 32;
    for (int i = 0; i < rows && !b->first; i++)
        memcpy(o->c + 32 * i, c + (size_t)i * ldc, (size_t)cols * sizeof *c);
    (rows > 16 ? block_high : block_low)(b);
    for (int i = 0; i < rows; i++)
        memcpy(c + (size_t)i * ldc, o->c + 32 * i, (size_t)cols * sizeof *c);
}

/* The panel with rows [i, i + rows) of activations. */
static void pass(struct stretch *s, int i, int rows)
{
    const struct slm_prompt *m = s->m;
    const uint8_t *x = (const uint8_t *)m->x + (size_t)i * m->xs + 2 * s->e;
    size_t steps = s->n / 32, tail = s->n % 32, deep = (s->n + 31) / 32;
    int blocks = (s->rows + 31) / 32, share = (31 + blocks) / blocks;
    struct block b = {.x = x, .xs = m->xs, .steps = (int)steps, .first = s->e == 0};
    if (tail) {
        memset(s->odds->x, 0, sizeof s->odds->x);
        for (int r = 0; r < rows; r++)
            memcpy(s->odds->x[r], x + (size_t)r * m->xs + 64 * steps, 2 * tail);
        b.last = s->odds->x[0];
    }
    tiles_for(s, rows);
    int below = m->nx - i - rows; /* rows of the next block */
    for (int q = 0; q < blocks; q++) {
        int cols = s->rows - 32 * q < 32 ? s->rows - 32 * q : 32, from = q * share;
        b.w = (const uint8_t *)m->scratch + (size_t)q * deep * 2048;
        b.c = m->out + (size_t)i * m->ldo + s->j + 32 * q;
        b.ldc = m->ldo;
        b.ahead = (uintptr_t)x + (size_t)(rows + from) * m->xs;
        b.ahead_rows = below - from < 0 ? 0 : below - from < share ? below - from : share;
        b.ahead_ld = m->ldo * sizeof *m->out;
        b.ahead_c = q + 1 < blocks ? (uintptr_t)(b.c + 32)
                                   : (uintptr_t)b.c + 32 * b.ahead_ld - 128 * (size_t)q;
        if (cols < 32)
            narrow_block(&b, s->odds, rows, cols);
        else
            (rows > 16 ? block_high : block_low)(&b);
    }
}

static void mul_prompt(const struct slm_prompt *m, const struct filler *f)
{
    size_t cuts = (m->k + DEPTH - 1) / DEPTH;
    size_t depth = cuts ? ((m->k + cuts - 1) / cuts + 255) / 256 * 256 : 256;
    int most = (int)(SLM_PROMPT_PANEL / (2 * depth) / 32 * 32);
    int parts = (m->nw + most - 1) / most;
    struct stretch s = {.m = m};
    s.odds = (struct odds *)(void *)((uint8_t *)m->scratch + SLM_PROMPT_PANEL);
    for (int i = 0; i < m->nx && !m->k; i++)
        memset(m->out + (size_t)i * m->ldo, 0, (size_t)m->nw * sizeof *m->out);
    if (!m->k || parts < 1)
        return;
    most = ((m->nw + parts - 1) / parts + 31) / 32 * 32;
    for (s.j = 0; s.j < m->nw; s.j += most)
        for (s.e = 0; s.e < m->k; s.e += depth) {
            s.rows = m->nw - s.j < most ? m->nw - s.j : most;
            s.n = m->k - s.e < depth ? m->k - s.e : depth;
            struct panel_part p = {m, s.j, s.rows, s.e, s.n, s.odds->rows};
            f->fill(m->scratch, &p);
            for (int i = 0; i < m->nx; i += 32)
                pass(&s, i, m->nx - i < 32 ? m->nx - i : 32);
        }
    tile_release();
}

#define PROMPT(id)                                                                             \
    static void prompt_##id(const struct slm_prompt *m) { mul_prompt(m, &filler_##id); }
#define X(id, ...) PROMPT(id)
PANEL_TYPES(X)
#undef X

void slm_kern_fill_amx(struct slm_kern *k)
{
#define X(id, ...) k->mul_prompt[SLM_##id] = prompt_##id;
    PANEL_TYPES(X)
#undef X
}
