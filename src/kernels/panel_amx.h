/* Part of prompt_amx.c: panels of weights as bfloat16 tiles. A step of a panel is 32 elements
 * of 32 rows: two tiles, the second for rows 16-31. Steps of 32 rows follow one another, then
 * come the next 32 rows. Values are to_f32's, rounded to nearest even (denormals become 0). */

/* The unpackers of integer products leave a panel of unsigned bytes, `off` too large: dword g
 * has elements 4 g .. 4 g + 3 of sixteen rows. */
struct panel {
    vi q[64];
    vi sc[16], mn[8];
    vf d[8], m[8];
};
#define QP 1
#define WOFF 1
#define XCOPY 0
FOLD void q_put(vi *dst, vi v) { *dst = v; }
FOLD vi q_dot(vi acc, const vi *q, const uint8_t *x)
{
    return _mm512_dpbusd_epi32(acc, *q, vi_bcast(x));
}
#include "kernels/fast_unpack.h"
#include "kernels/fast_unpack_iq.h"

/* What is to be unpacked: rows [j, j + rows) of m's weights, elements [e, e + n). */
struct panel_part {
    const struct slm_prompt *m;
    int j, rows;
    size_t e, n;
    uint8_t *room; /* PANEL_ROOM bytes */
};
#define PANEL_ROOM (16 * 256 * 2)

struct filler {
    void (*fill)(uint8_t *to, const struct panel_part *p);
};

/* Sixteen rows' elements 2 r and 2 r + 1 of a step. */
FOLD void put_pair(uint8_t *tile, int r, vf even, vf odd)
{
    static const uint16_t order[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                       21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                       11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    vi both = (vi)_mm512_cvtne2ps_pbh(odd, even);
    vi_store(tile + 64 * r, _mm512_permutexvar_epi16(vi_load(order), both));
}

/* Byte i of each dword as a number, `off` taken off: 256 + byte stands in a float's bits. */
FOLD vf number(vi v, int i, vf off)
{
    vi at = i == 0 ? vi_shl(v, 15) : i == 1 ? vi_shl(v, 7) : vi_shr(v, i == 2 ? 1 : 9);
    return vf_sub(_mm512_castsi512_ps(_mm512_ternarylogic_epi32(
                      at, vi_set1(0x007f8000), vi_set1(0x43800000), 0xea /* (a & b) | c */)),
                  off);
}

/* How values come of numbers: number * d, number * d + m, number * d - m. */
enum { TIMES, PLUS, MINUS };
FOLD vf valued(vf v, vf d, vf m, int how)
{
    v = vf_mul(v, d);
    return how == PLUS ? vf_add(v, m) : how == MINUS ? vf_sub(v, m) : v;
}

/* Dword g (0-7) of a step. */
FOLD void put4(uint8_t *tile, int g, vi q, vf off, vf d, vf m, int how)
{
    vf v[4];
    UNROLL
    for (int i = 0; i < 4; i++)
        v[i] = valued(number(q, i, off), d, m, how);
    put_pair(tile, 2 * g, v[0], v[1]);
    put_pair(tile, 2 * g + 1, v[2], v[3]);
}

/* ---- rows ---- */

/* Sixteen rows of weights from row j on, the last one standing in for those behind it. */
FOLD void rows_from(struct rows *r, const struct panel_part *p, int j)
{
    const struct slm_prompt *m = p->m;
    const uint8_t *w = m->w;
    for (int v = 0; v < VN; v++)
        r->row[v] = w + (size_t)(j + v < m->nw ? j + v : m->nw - 1) * m->ws;
    r->next = (uintptr_t)r->row[0] + VN * m->ws;
}

/* Brings [at, at + n) of the sixteen rows after these near. */
FOLD void rows_fetch(const struct rows *r, size_t ws, size_t at, size_t n)
{
    for (size_t v = 0; v < VN; v++)
        for (size_t b = 0; b < n; b += 64)
            __builtin_prefetch((const void *)(r->next + v * ws + at + b), 0, 2);
}

typedef void unpack_fn(struct sink *k, const struct rows *r, size_t at, int mode);

/* ---- blocks of 32 ---- */

FOLD void fill_32(uint8_t *to, const struct panel_part *p, size_t bytes, unpack_fn *un, int off,
                  int how, int mode)
{
    size_t steps = p->n / 32, first = p->e / 32;
    vf o = vf_set1((float)(256 + off));
    for (int j = 0; j < p->rows; j += VN) {
        uint8_t *tile = to + (size_t)(j / 32) * steps * 2048 + (size_t)(j % 32) * 64;
        struct panel one;
        struct sink k = {.p = &one, .b = 0};
        struct rows r;
        rows_from(&r, p, p->j + j);
        for (size_t s = 0; s < steps; s++, tile += 2048) {
            if (s % 8 == 0)
                rows_fetch(&r, p->m->ws, (first + s) * bytes, 8 * bytes);
            un(&k, &r, (first + s) * bytes, mode);
            UNROLL
            for (int g = 0; g < 8; g++)
                put4(tile, g, one.q[g], o, one.d[0], one.m[0], how);
        }
    }
}

/* ---- blocks of 256 ---- */

/* The minimum of 16 elements (number h of the block) for pairs of them in one dword. */
FOLD vi min_of(const struct panel *p, int h)
{
    return h % 2 ? vi_shr(p->mn[h / 2], 16) : vi_and(p->mn[h / 2], vi_set1(0xffff));
}

/* Eight steps. pairs: a scale for each 16 elements, else for each 32. */
FOLD void put_256(uint8_t *tile, const struct panel *p, vf off, int how, bool pairs)
{
    for (int s = 0; s < 8; s++, tile += 2048)
        UNROLL
    for (int h = 0; h < 2; h++) {
        vf d = vf_mul(p->d[0], vi_float(p->sc[pairs ? 2 * s + h : s]));
        vf m = how == TIMES ? vf_zero() : vf_mul(p->m[0], vi_float(min_of(p, 2 * s + h)));
        UNROLL
        for (int g = 0; g < 4; g++)
            put4(tile, 4 * h + g, p->q[8 * s + 4 * h + g], off, d, m, how);
    }
}

FOLD void fill_256(uint8_t *to, const struct panel_part *p, size_t bytes, unpack_fn *un,
                   int off, int how, int mode)
{
    size_t n = p->n / 256, first = p->e / 256;
    vf o = vf_set1((float)(256 + off));
    for (int j = 0; j < p->rows; j += VN) {
        uint8_t *tile = to + (size_t)(j / 32) * n * 8 * 2048 + (size_t)(j % 32) * 64;
        struct panel one;
        struct sink k = {.p = &one, .b = 0};
        struct rows r;
        rows_from(&r, p, p->j + j);
        for (size_t b = 0; b < n; b++, tile += 8 * 2048) {
            rows_fetch(&r, p->m->ws, (first + b) * bytes, bytes);
            un(&k, &r, (first + b) * bytes, mode);
            put_256(tile, &one, o, how, mode & PAIRS);
        }
    }
}

/* ---- 16-bit weights ---- */

/* A step from byte `at` of the rows on. */
FOLD void put_16(uint8_t *tile, const struct rows *r, size_t at, bool f16)
{
    UNROLL
    for (int c = 0; c < 4; c++) {
        vi t[4];
        vi_rows16(r->row, at + 16 * (size_t)c, t);
        UNROLL
        for (int i = 0; i < 4; i++) {
            if (f16)
                put_pair(tile, 4 * c + i, vi_f16(t[i]), vi_f16(vi_shr(t[i], 16)));
            else
                vi_store(tile + 64 * (4 * c + i), t[i]);
        }
    }
}

FOLD void fill_16(uint8_t *to, const struct panel_part *p, bool f16)
{
    size_t steps = p->n / 32, tail = p->n % 32, deep = (p->n + 31) / 32;
    for (int j = 0; j < p->rows; j += VN) {
        uint8_t *tile = to + (size_t)(j / 32) * deep * 2048 + (size_t)(j % 32) * 64;
        struct rows r;
        rows_from(&r, p, p->j + j);
        for (size_t s = 0; s < steps; s++, tile += 2048) {
            rows_fetch(&r, p->m->ws, 2 * p->e + 64 * s, 64);
            put_16(tile, &r, 2 * p->e + 64 * s, f16);
        }
        if (tail) {
            memset(p->room, 0, 64 * VN);
            for (size_t v = 0; v < VN; v++) {
                memcpy(p->room + 64 * v, r.row[v] + 2 * p->e + 64 * steps, 2 * tail);
                r.row[v] = p->room + 64 * v;
            }
            put_16(tile, &r, 0, f16);
        }
    }
}

/* ---- types without an unpacker of their own: by float32 ---- */

FOLD __m256i bf16_of(const float *v) { return (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(v)); }

static __attribute__((noinline)) void fill_any(uint8_t *to, const struct panel_part *p,
                                               enum slm_dtype t)
{
    slm_to_f32_fn *to_f32 = slm_to_f32_generic(t);
    size_t steps = p->n / 32;
    float v[256];
    for (int j = 0; j < p->rows; j += VN) {
        uint8_t *tile = to + (size_t)(j / 32) * steps * 2048 + (size_t)(j % 32) * 64;
        struct rows r;
        rows_from(&r, p, p->j + j);
        for (size_t e = 0; e < p->n; e += 256) {
            size_t n = p->n - e < 256 ? p->n - e : 256;
            struct rows half;
            for (size_t row = 0; row < VN; row++) {
                half.row[row] = p->room + 512 * row;
                to_f32(v, r.row[row] + slm_row_bytes(t, p->e + e), n);
                for (size_t i = 0; i < n; i += 16)
                    _mm256_storeu_si256((__m256i *)(void *)(p->room + 512 * row + 2 * i),
                                        bf16_of(v + i));
            }
            for (size_t i = 0; i < n; i += 32, tile += 2048)
                put_16(tile, &half, 2 * i, false);
        }
    }
}

/* ---- the types ---- */

#define FILL_32(id, block, un, off, how, mode) fill_32(to, p, sizeof(block), un, off, how, mode)
#define FILL_256(id, block, un, off, how, mode)                                                \
    fill_256(to, p, sizeof(block), un, off, how, mode)
#define FILL_16(id, block, un, off, how, mode) fill_16(to, p, off)
#define FILL_ANY(id, block, un, off, how, mode) fill_any(to, p, SLM_##id)

/* How it is filled, block, unpacker; how much too large numbers are (f16: 1), values, mode. */
#define PANEL_TYPES(X)                                                                         \
    X(BF16, 16, uint16_t, NULL, 0, TIMES, 0)                                                   \
    X(F16, 16, uint16_t, NULL, 1, TIMES, 0)                                                    \
    X(Q4_0, 32, block_q4_0, un_q4_0, 8, TIMES, 0)                                              \
    X(Q4_1, 32, block_q4_1, un_q4_1, 0, PLUS, 0)                                               \
    X(Q5_0, 32, block_q5_0, un_q5_0, 16, TIMES, 0)                                             \
    X(Q5_1, 32, block_q5_1, un_q5_1, 0, PLUS, 0)                                               \
    X(Q8_0, 32, block_q8_0, un_q8_0, 128, TIMES, 0)                                            \
    X(IQ4_NL, 32, block_iq4_nl, un_iq4_nl, 128, TIMES, 0)                                      \
    X(MXFP4, 32, block_mxfp4, un_mxfp4, 128, TIMES, 0)                                         \
    X(Q2_K, 256, block_q2_K, un_q2_k, 0, MINUS, PAIRS)                                         \
    X(Q3_K, 256, block_q3_K, un_q3_k, 4, TIMES, PAIRS)                                         \
    X(Q4_K, 256, block_q4_K, un_q4_k, 0, MINUS, 0)                                             \
    X(Q5_K, 256, block_q5_K, un_q5_k, 0, MINUS, 0)                                             \
    X(Q6_K, 256, block_q6_K, un_q6_k, 32, TIMES, PAIRS)                                        \
    X(IQ4_XS, 256, block_iq4_xs, un_iq4_xs, 128, TIMES, 0)                                     \
    X(IQ2_XXS, 256, block_iq2_xxs, un_iq2_xxs, 43, TIMES, 0)                                   \
    X(IQ2_XS, 256, block_iq2_xs, un_iq2_xs, 43, TIMES, PAIRS)                                  \
    X(IQ2_S, 256, block_iq2_s, un_iq2_s, 43, TIMES, PAIRS)                                     \
    X(IQ3_XXS, 256, block_iq3_xxs, un_iq3_xxs, 62, TIMES, 0)                                   \
    X(IQ3_S, 256, block_iq3_s, un_iq3_s, 15, TIMES, 0)                                         \
    X(IQ1_S, 256, block_iq1_s, un_iq1_s, 9, TIMES, 0)                                          \
    X(IQ1_M, 256, block_iq1_m, un_iq1_m, 9, TIMES, PAIRS)                                      \
    X(TQ1_0, 256, block_tq1_0, un_tq1_0, 1, TIMES, 0)                                          \
    X(TQ2_0, 256, block_tq2_0, un_tq2_0, 1, TIMES, 0)                                          \
    X(NVFP4, ANY, block_nvfp4, NULL, 0, TIMES, 0)                                              \
    X(Q1_0, ANY, block_q1_0, NULL, 0, TIMES, 0)                                                \
    X(Q2_0, ANY, block_q2_0, NULL, 0, TIMES, 0)

#define X(id, fill, block, un, off, how, mode)                                                 \
    static __attribute__((noinline)) void fill_##id(uint8_t *to, const struct panel_part *p)   \
    {                                                                                          \
        FILL_##fill(id, block, un, off, how, mode);                                            \
    }                                                                                          \
    static const struct filler filler_##id = {fill_##id};
PANEL_TYPES(X)
#undef X
