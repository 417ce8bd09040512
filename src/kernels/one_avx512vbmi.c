/* One row of activations against rows of weights as they lie in the file, for decoding: four
 * neighbouring rows are read at once, in order of memory, and the lanes of a vector run along
 * the row, so that nothing is gathered. The activations are brought once into the order in
 * which the weights come out of their blocks (struct x32, struct x256). Sums inside a block are
 * exact integers and the float steps are those of fast_generic.c, so the bits are the same.
 *
 * Blocks of 32: a vector holds 16 bytes of each of four blocks; a vector of sums has, in its
 * 128-bit part b, dword r: block b of row r. Blocks of 256: products of bytes are summed in
 * pairs to 16 bits, multiplied with the scales and summed by one instruction. */
#include <immintrin.h>
#include <string.h>

#include "kernels/body.h"
#include "kernels/fast.h"
#include "kernels/kern_fill.h"

#define ROWS 4

typedef __m512i vi;
typedef __m512 vf;

FOLD vi load(const void *p) { return _mm512_loadu_si512(p); }
FOLD vi bytes(int x) { return _mm512_set1_epi8((char)x); }
FOLD vi low4(vi v) { return _mm512_and_si512(v, bytes(15)); }
/* The bit matrix of a shift right by four. */
FOLD vi high4(vi v)
{
    return _mm512_gf2p8affine_epi64_epi8(v, _mm512_set1_epi64(0x1020408000000000), 0);
}
/* (a & mask) | b */
FOLD vi and_or(vi a, vi mask, vi b) { return _mm512_ternarylogic_epi32(a, mask, b, 0xea); }
FOLD __m256i half(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
FOLD __m128i quarter(const void *p) { return _mm_loadu_si128((const __m128i *)p); }
FOLD vi twice(const void *p) { return _mm512_broadcast_i64x4(half(p)); }
FOLD vi join(__m256i a, __m256i b)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
}
/* table[byte] for bytes < 16 */
FOLD vi look_up(vi v, const int8_t *table)
{
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(quarter(table)), v);
}

/* Adds the four dwords in each 128-bit part of four vectors: dword r of a part is vector r's.
 */
FOLD vi sums_of_4(vi a, vi b, vi c, vi d)
{
    vi ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    vi cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}
FOLD __m128i sum_of_parts(vi v)
{
    __m256i h = _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
}

/* ---- blocks of 32 ---- */

/* Eight blocks of activations: elements 0-15 of four blocks, 16-31 of them, and again; or, for
 * types of whole bytes, 64 elements as they come. */
struct x32 {
    int8_t q[4][64];
    int32_t fix[8];     /* -off * the block's sum */
    float d[8], low[8]; /* scale, and scale * -sum */
};

/* What is known of a type while compiling. Picks are of the two vectors that four blocks are
 * in, for the first four and the second. */
struct kind32 {
    int bytes; /* of a block */
    int off;   /* codes are unpacked this much too large */
    bool mins; /* a minimum behind the scale */
    bool whole, fifth, exponent;
    bool near; /* the scales of four blocks are all in their first vector */
    const uint8_t (*codes)[64], (*high)[64];
    const uint16_t (*scales)[16], (*minima)[16];
    const int8_t *table;
};

FOLD void prepare32(struct x32 *o, const uint8_t *x, size_t k, const struct kind32 t)
{
    for (size_t i = 0; i < k / 32; i++, x += sizeof(block_q8_s)) {
        struct x32 *s = &o[i / 8];
        int part = (int)(i % 8) / 4, lane = (int)(i % 4);
        block_q8_s b;
        memcpy(&b, x, sizeof b);
        if (i % 8 == 0)
            memset(s, 0, sizeof *s);
        memcpy(t.whole ? &s->q[i % 8 / 2][i % 2 * 32] : &s->q[2 * part][16 * lane], b.qs, 16);
        memcpy(t.whole ? &s->q[i % 8 / 2][i % 2 * 32 + 16] : &s->q[2 * part + 1][16 * lane],
               b.qs + 16, 16);
        s->fix[i % 8] = t.off * b.neg;
        s->d[i % 8] = b.d;
        s->low[i % 8] = b.d * (float)b.neg;
    }
}

/* Eight blocks of a row: the first 64 bytes, the next, and at the end the last of all. Loaded
 * once: a load that is not aligned is dear. */
struct piece {
    vi v[5];
};
FOLD struct piece piece_at(const uint8_t *w, const struct kind32 t)
{
    struct piece p;
    const int n = t.whole ? 5 : 3;
    UNROLL
    for (int i = 0; i < n; i++) {
        p.v[i] = load(i < n - 1 ? w + 64 * i : w + 8 * t.bytes - 64);
        __asm__("" : "+v"(p.v[i])); /* or it is loaded at each use */
    }
    return p;
}
/* The vectors that blocks 4 h .. 4 h + 3 are in, or (whole bytes) have their scales in. */
FOLD vi first_of(const struct piece *p, int h, const struct kind32 t)
{
    return p->v[t.whole ? 2 * h : h];
}
FOLD vi second_of(const struct piece *p, int h, const struct kind32 t)
{
    return p->v[t.whole ? 2 * h + 1 : h + 1];
}

/* Byte n of four blocks of `size` bytes as an index into their two vectors: n of the first
 * four; of the second four, 4 * size bytes into the eight, of vectors 1 and 2. */
#define PICK_0(size, n) (n)
#define PICK_1(size, n) (4 * (size) + (n) < 128 ? 4 * (size) + (n)-64 : (n) + 128 - 4 * (size))
#define PICK4(P, size, n) P(size, n), P(size, n + 1), P(size, n + 2), P(size, n + 3)
#define PICK16(P, size, n)                                                                     \
    PICK4(P, size, n), PICK4(P, size, (n) + 4), PICK4(P, size, (n) + 8),                       \
        PICK4(P, size, (n) + 12)
#define DWORD4(P, size, n)                                                                     \
    PICK4(P, size, n), PICK4(P, size, n), PICK4(P, size, n), PICK4(P, size, n)
#define WORD4(P, size, n) P(size, n) / 2, P(size, n) / 2, P(size, n) / 2, P(size, n) / 2
#define OF_4(what, P, size, at)                                                                \
    {                                                                                          \
        what(P, size, at), what(P, size, (size) + (at)), what(P, size, 2 * (size) + (at)),     \
            what(P, size, 3 * (size) + (at))                                                   \
    }
#define BOTH(what, block, at)                                                                  \
    {                                                                                          \
        OF_4(what, PICK_0, (int)sizeof(block), at), OF_4(what, PICK_1, (int)sizeof(block), at) \
    }
static const uint8_t codes_q4_0[2][64] = BOTH(PICK16, block_q4_0, 2);
static const uint8_t codes_q4_1[2][64] = BOTH(PICK16, block_q4_1, 4);
static const uint8_t codes_q5_0[2][64] = BOTH(PICK16, block_q5_0, 6);
static const uint8_t codes_q5_1[2][64] = BOTH(PICK16, block_q5_1, 8);
static const uint8_t codes_mxfp4[2][64] = BOTH(PICK16, block_mxfp4, 1);
static const uint8_t high_q5_0[2][64] = BOTH(DWORD4, block_q5_0, 2);
static const uint8_t high_q5_1[2][64] = BOTH(DWORD4, block_q5_1, 4);
static const uint8_t exp_mxfp4[2][64] = BOTH(DWORD4, block_mxfp4, 0);
static const uint16_t d_q4_1[2][16] = BOTH(WORD4, block_q4_1, 0);
static const uint16_t m_q4_1[2][16] = BOTH(WORD4, block_q4_1, 2);
static const uint16_t d_q5_0[2][16] = BOTH(WORD4, block_q5_0, 0);
static const uint16_t d_q5_1[2][16] = BOTH(WORD4, block_q5_1, 0);
static const uint16_t m_q5_1[2][16] = BOTH(WORD4, block_q5_1, 2);
/* 34 bytes a block: blocks 0 and 1 begin at words 0 and 17 of the first vector, 2 and 3 at 2
 * and 19 of the second, 4 and 5 at 4 and 21 of the third, 6 and 7 at 6 and 23 of the fourth. */
#define FOUR(n) n, n, n, n
static const uint16_t d_q8_0[2][16] = {{FOUR(0), FOUR(17), FOUR(34), FOUR(51)},
                                       {FOUR(4), FOUR(21), FOUR(38), FOUR(55)}};
/* Codes of blocks 2 i and 2 i + 1, which begin at byte 4 i of vector i; the last vector begins
 * at byte 208. */
#define RUN4(n) n, n + 1, n + 2, n + 3
#define RUN16(n) RUN4(n), RUN4(n + 4), RUN4(n + 8), RUN4(n + 12)
#define RUN_Q8_0(n)                                                                            \
    {                                                                                          \
        RUN16(n), RUN16(n + 16), RUN16(n + 34), RUN16(n + 50)                                  \
    }
/* of the last, bytes 14 .. 45 and 48 .. 79 from 192 on: the second begins 16 later */
static const uint8_t codes_q8_0[4][64] = {
    RUN_Q8_0(2), RUN_Q8_0(6), RUN_Q8_0(10), {RUN16(14), RUN16(30), RUN16(96), RUN16(112)}};

/* Q4_0: scales of blocks 0-3 at bytes 0, 18, 36, 54 of vector 0, of 4-7 at 8, 26, 44, 62 of
 * vector 1; of a row and (32 words on) of another, twice. */
#define TWO(n) n, n + 32, n, n + 32
static const uint16_t d_near[2][16] = {{TWO(0), TWO(9), TWO(18), TWO(27)},
                                       {TWO(4), TWO(13), TWO(22), TWO(31)}};

/* A float16 of each of four blocks of four rows: block b of row r goes to lane 4 b + r. */
/* The same where they lie in vector h: two rows at a time. */
FOLD vf halves_near(const struct piece *p, int h)
{
    const vi to = _mm512_castsi256_si512(half(d_near[h]));
    __m256i a = _mm512_castsi512_si256(_mm512_permutex2var_epi16(p[0].v[h], to, p[1].v[h]));
    __m256i b = _mm512_castsi512_si256(_mm512_permutex2var_epi16(p[2].v[h], to, p[3].v[h]));
    return _mm512_cvtph_ps(_mm256_mask_blend_epi16(0xcccc, a, b));
}

FOLD vf halves32(const struct piece *p, int h, const uint16_t (*places)[16],
                 const struct kind32 t)
{
    if (t.near)
        return halves_near(p, h);
    const vi to = _mm512_castsi256_si512(half(places[h]));
    __m256i v = _mm256_setzero_si256();
    UNROLL
    for (int r = 0; r < ROWS; r++) {
        __m256i w = _mm512_castsi512_si256(
            _mm512_permutex2var_epi16(first_of(&p[r], h, t), to, second_of(&p[r], h, t)));
        v = r ? _mm256_mask_blend_epi16((__mmask16)(0x1111 << r), v, w) : w;
    }
    return _mm512_cvtph_ps(v);
}

/* The same of exponents: half of 2^(e - 127), as slm_e8m0_half. */
FOLD vf exponents32(const struct piece *p, int h, const uint8_t (*places)[64])
{
    vi e = _mm512_setzero_si512(), one = _mm512_set1_epi32(1);
    UNROLL
    for (int r = 0; r < ROWS; r++)
        e = _mm512_mask_blend_epi32(
            (__mmask16)(0x1111 << r), e,
            _mm512_permutex2var_epi8(p[r].v[h], load(places[h]), p[r].v[h + 1]));
    e = _mm512_and_si512(e, _mm512_set1_epi32(255));
    vi usual = _mm512_slli_epi32(_mm512_sub_epi32(e, one), 23);
    vi tiny = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), e);
    return _mm512_castsi512_ps(
        _mm512_mask_blend_epi32(_mm512_cmple_epi32_mask(e, one), usual, tiny));
}

/* Bit i (16 + i) of the dword that fills a part, as bit 4 of its byte i. */
FOLD vi fifth_bits(vi dwords, int from)
{
    const vi at = _mm512_set_epi8(11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, -1, -2, -3, -4, 11, 10,
                                  9, 8, 7, 6, 5, 4, 3, 2, 1, 0, -1, -2, -3, -4, 11, 10, 9, 8, 7,
                                  6, 5, 4, 3, 2, 1, 0, -1, -2, -3, -4, 11, 10, 9, 8, 7, 6, 5, 4,
                                  3, 2, 1, 0, -1, -2, -3, -4);
    return _mm512_multishift_epi64_epi8(_mm512_add_epi8(at, bytes(from)), dwords);
}

/* Sums of blocks 4 h .. 4 h + 3 of one row. */
FOLD vi dot32(const struct piece *p, int h, const struct x32 *x, const struct kind32 t)
{
    const vi zero = _mm512_setzero_si512();
    vi y0 = load(x->q[2 * h]), y1 = load(x->q[2 * h + 1]);
    if (t.whole) {
        const int i = 2 * h;
        vi a = _mm512_permutex2var_epi8(p->v[i], load(t.codes[i]), p->v[i + 1]);
        vi b = _mm512_permutex2var_epi8(p->v[i + 1], load(t.codes[i + 1]), p->v[i + 2]);
        a = _mm512_dpbusd_epi32(zero, _mm512_xor_si512(a, bytes(-128)), y0);
        b = _mm512_dpbusd_epi32(zero, _mm512_xor_si512(b, bytes(-128)), y1);
        return _mm512_add_epi32(_mm512_shuffle_i64x2(a, b, 0x88),
                                _mm512_shuffle_i64x2(a, b, 0xdd));
    }
    vi v = _mm512_permutex2var_epi8(p->v[h], load(t.codes[h]), p->v[h + 1]);
    vi lo = low4(v), hi = high4(v);
    if (t.fifth) {
        vi f = _mm512_permutex2var_epi8(p->v[h], load(t.high[h]), p->v[h + 1]);
        lo = and_or(fifth_bits(f, 0), bytes(16), lo);
        hi = and_or(fifth_bits(f, 16), bytes(16), hi);
    }
    if (t.table) {
        lo = _mm512_xor_si512(look_up(lo, t.table), bytes(-128));
        hi = _mm512_xor_si512(look_up(hi, t.table), bytes(-128));
    }
    return _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(zero, lo, y0), hi, y1);
}

FOLD __m128 part_of(vf v, int part)
{
    return part == 0   ? _mm512_castps512_ps128(v)
           : part == 1 ? _mm512_extractf32x4_ps(v, 1)
           : part == 2 ? _mm512_extractf32x4_ps(v, 2)
                       : _mm512_extractf32x4_ps(v, 3);
}

/* Four dwords, each into all of its part. */
FOLD vf spread(const void *p)
{
    const vi to = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    return _mm512_permutexvar_ps(to, _mm512_castps128_ps512(_mm_loadu_ps(p)));
}

/* Eight blocks of four rows. */
FOLD __m128 strip32(__m128 acc, const uint8_t *const *row, size_t at, const struct x32 *x,
                    const struct kind32 t)
{
    struct piece p[ROWS];
    UNROLL
    for (int r = 0; r < ROWS; r++)
        p[r] = piece_at(row[r] + at, t);
    UNROLL
    for (int h = 0; h < 2; h++) {
        vi sum = sums_of_4(dot32(&p[0], h, x, t), dot32(&p[1], h, x, t), dot32(&p[2], h, x, t),
                           dot32(&p[3], h, x, t));
        if (t.off)
            sum = _mm512_add_epi32(sum, _mm512_castps_si512(spread(x->fix + 4 * h)));
        vf d = t.exponent ? exponents32(p, h, t.high) : halves32(p, h, t.scales, t);
        d = _mm512_mul_ps(d, spread(x->d + 4 * h));
        vf v = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), d), m = v;
        if (t.mins)
            m = _mm512_mul_ps(halves32(p, h, t.minima, t), spread(x->low + 4 * h));
        UNROLL
        for (int b = 0; b < 4; b++) {
            acc = _mm_add_ps(acc, part_of(v, b));
            if (t.mins)
                acc = _mm_sub_ps(acc, part_of(m, b));
        }
    }
    return acc;
}

/* Four rows at a time, from four stretches of the rows: each is one long stream in the order of
 * memory, as the hardware likes it. Stretch r begins at row r * step; a row that is not there
 * is stood in for by the last. */
struct four {
    const uint8_t *row[ROWS];
    int step;
};
FOLD struct four four_of(const uint8_t *w, size_t ws, int nw, int i)
{
    struct four f = {.step = (nw + ROWS - 1) / ROWS};
    for (int r = 0; r < ROWS; r++) {
        int j = r * f.step + i;
        f.row[r] = w + (size_t)(j < nw ? j : nw - 1) * ws;
    }
    return f;
}
FOLD void put_four(float *out, __m128 v, int nw, int i)
{
    float t[ROWS];
    int step = (nw + ROWS - 1) / ROWS;
    _mm_storeu_ps(t, v);
    for (int r = 0; r < ROWS && r * step + i < nw; r++)
        out[r * step + i] = t[r];
}

/* The last blocks, fewer than eight, are taken from a copy that zeros fill up. */
FOLD __m128 tail32(__m128 acc, const uint8_t *const *row, size_t at, size_t n,
                   const struct x32 *x, const struct kind32 t)
{
    uint8_t copy[ROWS][8 * 36];
    const uint8_t *from[ROWS];
    memset(copy, 0, sizeof copy);
    for (int r = 0; r < ROWS; r++)
        from[r] = memcpy(copy[r], row[r] + at, n);
    return strip32(acc, from, 0, x, t);
}

FOLD void run32(float *out, const struct x32 *x, const uint8_t *w, size_t ws, int nw, size_t k,
                const struct kind32 t)
{
    size_t whole = k / 256, rest = k % 256 / 32, strip = 8 * (size_t)t.bytes;
    for (int j = 0; j < (nw + ROWS - 1) / ROWS; j++) {
        const struct four f = four_of(w, ws, nw, j);
        __m128 acc = _mm_setzero_ps();
        for (size_t i = 0; i < whole; i++)
            acc = strip32(acc, f.row, i * strip, &x[i], t);
        if (rest)
            acc = tail32(acc, f.row, whole * strip, rest * (size_t)t.bytes, &x[whole], t);
        put_four(out, acc, nw, j);
    }
}

static size_t bytes_x32(size_t k) { return (k + 255) / 256 * sizeof(struct x32); }

/* clang-format off */
#define KINDS32(X)                                                                             \
    X(Q4_0, .bytes = sizeof(block_q4_0), .off = 8, .codes = codes_q4_0, .near = true)          \
    X(Q4_1, .bytes = sizeof(block_q4_1), .mins = true, .codes = codes_q4_1, .scales = d_q4_1,  \
      .minima = m_q4_1)                                                                        \
    X(Q5_0, .bytes = sizeof(block_q5_0), .off = 16, .codes = codes_q5_0, .scales = d_q5_0,     \
      .fifth = true, .high = high_q5_0)                                                        \
    X(Q5_1, .bytes = sizeof(block_q5_1), .mins = true, .codes = codes_q5_1, .scales = d_q5_1,  \
      .minima = m_q5_1, .fifth = true, .high = high_q5_1)                                      \
    X(Q8_0, .bytes = sizeof(block_q8_0), .off = 128, .whole = true, .codes = codes_q8_0,       \
      .scales = d_q8_0)                                                                        \
    X(IQ4_NL, .bytes = sizeof(block_iq4_nl), .off = 128, .codes = codes_q4_0,                  \
      .near = true, .table = slm_iq4_values)                                               \
    X(MXFP4, .bytes = sizeof(block_mxfp4), .off = 128, .codes = codes_mxfp4,                   \
      .exponent = true, .high = exp_mxfp4, .table = slm_fp4_values)
/* clang-format on */

#define ONE32(id, ...)                                                                         \
    static void prepare_##id(void *out, const void *x, size_t k)                               \
    {                                                                                          \
        prepare32(out, x, k, (struct kind32){__VA_ARGS__});                                    \
    }                                                                                          \
    static void run_##id(float *out, const void *x, const void *w, size_t ws, int nw,          \
                         size_t k)                                                             \
    {                                                                                          \
        run32(out, x, w, ws, nw, k, (struct kind32){__VA_ARGS__});                             \
    }
KINDS32(ONE32)

/* ---- blocks of 256 ---- */

/* A block of activations, in the order in which weights come, 64 at a time. Small, as x32 is:
 * it shares the first cache with the weights that stream by. */
struct x256 {
    int8_t q[4][64];
    int16_t sums[16]; /* of 16, or the eight of 32 twice: for minima and offsets */
    float d;
    int32_t room[7];
};

/* Where the first and the second half of each 64 come from, and how many of the first 32 stand
 * together. */
enum order { AS_IS, GROUPS, HALVES, PARTS };

FOLD void order256(int8_t (*q)[64], const int8_t *x, enum order order)
{
    for (int v = 0; v < 4; v++)
        for (int c = 0; c < 4; c++) { /* 16 at a time */
            int at = 64 * v + 16 * c;
            if (order == GROUPS) /* 0 | 2, 1 | 3, 4 | 6, 5 | 7 */
                at = 128 * (v / 2) + 32 * (v % 2) + 64 * (c / 2) + 16 * (c % 2);
            else if (order == HALVES) /* of one 128, of the other */
                at = 32 * v + 128 * (c / 2) + 16 * (c % 2);
            else if (order == PARTS) /* elements 0-15 of four groups, 16-31 */
                at = 128 * (v / 2) + 16 * (v % 2) + 32 * c;
            memcpy(q[v] + 16 * c, x + at, 16);
        }
}

FOLD void prepare256(struct x256 *o, const uint8_t *x, size_t k, enum order order, int sign)
{
    for (size_t b = 0; b < k / 256; b++, o++, x += sizeof(block_q8_K)) {
        block_q8_K y;
        memcpy(&y, x, sizeof y);
        order256(o->q, y.qs, order);
        for (int g = 0; g < 16; g++)
            o->sums[g] = (int16_t)(order == GROUPS || order == PARTS
                                       ? y.bsums[2 * (g % 8)] + y.bsums[2 * (g % 8) + 1]
                                       : sign * y.bsums[g]);
        o->d = y.d;
    }
}

/* What four rows' blocks come to. */
struct sums256 {
    __m128i s, m;
    __m128 d, dmin;
};

FOLD __m128 step256(__m128 acc, struct sums256 t, const struct x256 *x, bool mins)
{
    __m128 v = _mm_mul_ps(t.d, _mm_cvtepi32_ps(t.s));
    if (mins)
        v = _mm_sub_ps(v, _mm_mul_ps(t.dmin, _mm_cvtepi32_ps(t.m)));
    return _mm_add_ps(acc, _mm_mul_ps(_mm_set1_ps(x->d), v));
}

/* acc + scales * (weights . activations), pairwise; weights are at most 63 */
FOLD vi scaled(vi acc, vi w, const int8_t *x, vi scales)
{
    return _mm512_dpwssd_epi32(acc, _mm512_maddubs_epi16(w, load(x)), scales);
}

FOLD vi parts_of_4(const uint8_t *const *w, size_t at)
{
    vi v = _mm512_castsi128_si512(quarter(w[0] + at));
    v = _mm512_inserti32x4(v, quarter(w[1] + at), 1);
    v = _mm512_inserti32x4(v, quarter(w[2] + at), 2);
    return _mm512_inserti32x4(v, quarter(w[3] + at), 3);
}
FOLD __m128 halves_of_4(const uint8_t *const *w, size_t at)
{
    uint16_t h[4];
    for (int r = 0; r < ROWS; r++)
        memcpy(&h[r], w[r] + at, 2);
    return _mm_cvtph_ps(
        _mm_setr_epi16((short)h[0], (short)h[1], (short)h[2], (short)h[3], 0, 0, 0, 0));
}

/* Q4_K, Q5_K: the first 16 bytes of four blocks, to eight scales and eight minima a row. */
FOLD vi scales_k(vi head)
{
    vi t1122 = _mm512_shuffle_epi32(head, _MM_PERM_CCBB),
       t3 = _mm512_shuffle_epi32(head, _MM_PERM_DDDD);
    vi low = _mm512_and_si512(t1122, bytes(63));
    const vi by = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0, 0, 4));
    vi tops = _mm512_and_si512(_mm512_srli_epi32(t1122, 2), bytes(48));
    vi high = and_or(_mm512_srlv_epi32(t3, by), bytes(15), tops);
    return _mm512_mask_blend_epi32(0xaaaa, low, high);
}

/* Scale a of row r sixteen times, then scale b, as words: picks out of scales_k. */
#define SC16(n)                                                                                \
    n, 0, n, 0, n, 0, n, 0, n, 0, n, 0, n, 0, n, 0, n, 0, n, 0, n, 0, n, 0, n, 0, n, 0, n, 0,  \
        n, 0
#define SCALES_K(r)                                                                            \
    {                                                                                          \
        {SC16(16 * r), SC16(16 * r + 2)}, {SC16(16 * r + 1), SC16(16 * r + 3)},                \
            {SC16(16 * r + 4), SC16(16 * r + 6)},                                              \
        {                                                                                      \
            SC16(16 * r + 5), SC16(16 * r + 7)                                                 \
        }                                                                                      \
    }
static const uint8_t scale_picks[ROWS][4][64] = {SCALES_K(0), SCALES_K(1), SCALES_K(2),
                                                 SCALES_K(3)};

/* The part of row r: its sum, in dword r. */
FOLD __m128i sums_of_rows(vi v)
{
    v = _mm512_add_epi32(v, _mm512_shuffle_epi32(v, _MM_PERM_CDAB));
    v = _mm512_add_epi32(v, _mm512_shuffle_epi32(v, _MM_PERM_BADC));
    const vi to = _mm512_castsi128_si512(_mm_setr_epi32(0, 4, 8, 12));
    return _mm512_castsi512_si128(_mm512_permutexvar_epi32(to, v));
}

FOLD vi row_q4_k(const uint8_t *w, vi sc, const uint8_t (*pick)[64], const struct x256 *x,
                 bool fifth)
{
    vi a = load(w + (fifth ? 48 : 16)), b = load(w + (fifth ? 112 : 80)),
       acc = _mm512_setzero_si512();
    vi v[4] = {low4(a), high4(a), low4(b), high4(b)};
    if (fifth) { /* bits 0 | 2, 1 | 3, 4 | 6, 5 | 7 */
        vi h = _mm512_srlv_epi32(
            twice(w + 16), _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2));
        v[0] = and_or(_mm512_slli_epi32(h, 4), bytes(16), v[0]);
        v[1] = and_or(_mm512_slli_epi32(h, 3), bytes(16), v[1]);
        v[2] = and_or(h, bytes(16), v[2]);
        v[3] = and_or(_mm512_srli_epi32(h, 1), bytes(16), v[3]);
    }
    UNROLL
    for (int i = 0; i < 4; i++)
        acc = scaled(acc, v[i], x->q[i],
                     _mm512_maskz_permutexvar_epi8(0x5555555555555555u, load(pick[i]), sc));
    return acc;
}

FOLD struct sums256 four_q45_k(const uint8_t *const *w, const struct x256 *x, bool fifth)
{
    struct sums256 t;
    vi head = parts_of_4(w, 0), sc = scales_k(head), s[ROWS];
    UNROLL
    for (int r = 0; r < ROWS; r++)
        s[r] = row_q4_k(w[r], sc, scale_picks[r], x, fifth);
    t.s = sum_of_parts(sums_of_4(s[0], s[1], s[2], s[3]));
    vi mins = _mm512_unpackhi_epi8(sc, _mm512_setzero_si512());
    t.m = sums_of_rows(_mm512_madd_epi16(mins, _mm512_broadcast_i32x4(quarter(x->sums))));
    const vi to = _mm512_castsi128_si512(_mm_setr_epi16(0, 8, 16, 24, 1, 9, 17, 25));
    __m256 d = _mm256_cvtph_ps(_mm512_castsi512_si128(_mm512_permutexvar_epi16(to, head)));
    t.d = _mm256_castps256_ps128(d);
    t.dmin = _mm256_extractf128_ps(d, 1);
    return t;
}
FOLD struct sums256 four_q4_k(const uint8_t *const *w, const struct x256 *x)
{
    return four_q45_k(w, x, false);
}
FOLD struct sums256 four_q5_k(const uint8_t *const *w, const struct x256 *x)
{
    return four_q45_k(w, x, true);
}

/* Words a, b, c, d eight times each. */
FOLD vi eights(__m256i words, int a, int b, int c, int d)
{
    const __m256i low = _mm256_setr_m128i(_mm_set1_epi16((short)a), _mm_set1_epi16((short)b));
    const __m256i high = _mm256_setr_m128i(_mm_set1_epi16((short)c), _mm_set1_epi16((short)d));
    return _mm512_permutexvar_epi16(join(low, high), _mm512_castsi256_si512(words));
}

/* What codes that are 2^shift too large add, taken off in advance. */
FOLD vi offset256(__m256i scales, const struct x256 *x, int shift)
{
    return _mm512_zextsi256_si512(
        _mm256_slli_epi32(_mm256_madd_epi16(scales, half(x->sums)), shift));
}

FOLD vi row_q6_k(const uint8_t *w, const struct x256 *x)
{
    __m256i sc = _mm256_cvtepi8_epi16(quarter(w + 192));
    vi acc = offset256(sc, x, 5);
    const vi by = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2);
    UNROLL
    for (int h = 0; h < 2; h++) {
        vi l = load(w + 64 * h), top = _mm512_srlv_epi32(twice(w + 128 + 32 * h), by);
        vi a = and_or(_mm512_slli_epi32(top, 4), bytes(48), low4(l));
        vi b = and_or(top, bytes(48), high4(l));
        acc = scaled(acc, a, x->q[2 * h], eights(sc, 8 * h, 8 * h + 1, 8 * h + 2, 8 * h + 3));
        acc = scaled(acc, b, x->q[2 * h + 1],
                     eights(sc, 8 * h + 4, 8 * h + 5, 8 * h + 6, 8 * h + 7));
    }
    return acc;
}

FOLD struct sums256 four_q6_k(const uint8_t *const *w, const struct x256 *x)
{
    struct sums256 t = {.d = halves_of_4(w, 208)};
    t.s = sum_of_parts(
        sums_of_4(row_q6_k(w[0], x), row_q6_k(w[1], x), row_q6_k(w[2], x), row_q6_k(w[3], x)));
    return t;
}

/* 2 bits of 64 codes: elements 32 s .. of both halves, s = 0 .. 3. */
FOLD vi two_bits(vi v, int s)
{
    return _mm512_and_si512(_mm512_srli_epi16(v, 2 * (unsigned)s), bytes(3));
}

FOLD struct sums256 four_q2_k(const uint8_t *const *w, const struct x256 *x)
{
    struct sums256 t = {.d = halves_of_4(w, 80), .dmin = halves_of_4(w, 82)};
    vi s[ROWS], m[ROWS];
    UNROLL
    for (int r = 0; r < ROWS; r++) {
        __m256i both = _mm256_cvtepu8_epi16(quarter(w[r]));
        __m256i sc = _mm256_and_si256(both, _mm256_set1_epi16(15));
        vi v = load(w[r] + 16);
        s[r] = _mm512_setzero_si512();
        UNROLL
        for (int i = 0; i < 4; i++)
            s[r] = scaled(s[r], two_bits(v, i), x->q[i],
                          eights(sc, 2 * i, 2 * i + 1, 8 + 2 * i, 9 + 2 * i));
        m[r] = _mm512_zextsi256_si512(
            _mm256_madd_epi16(_mm256_srli_epi16(both, 4), half(x->sums)));
    }
    t.s = sum_of_parts(sums_of_4(s[0], s[1], s[2], s[3]));
    t.m = sum_of_parts(sums_of_4(m[0], m[1], m[2], m[3]));
    return t;
}

/* Sixteen 6-bit scales of four rows, from the last 16 bytes of their blocks. */
FOLD vi scales_q3_k(vi last)
{
    const vi to = _mm512_broadcast_i32x4(
        _mm_setr_epi8(2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, -1, -1, -1, -1));
    vi s = _mm512_shuffle_epi8(last, to);
    vi low = _mm512_srlv_epi32(_mm512_shuffle_epi32(s, _MM_PERM_BABA),
                               _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0, 4, 4)));
    vi top = _mm512_srlv_epi32(_mm512_shuffle_epi32(s, _MM_PERM_CCCC),
                               _mm512_broadcast_i32x4(_mm_setr_epi32(0, 2, 4, 6)));
    top = _mm512_slli_epi32(_mm512_and_si512(top, bytes(3)), 4);
    return _mm512_sub_epi8(and_or(low, bytes(15), top), bytes(32));
}

FOLD vi row_q3_k(const uint8_t *w, __m128i scales, const struct x256 *x)
{
    __m256i sc = _mm256_cvtepi8_epi16(scales);
    vi acc = offset256(sc, x, 2), v = load(w + 32), h = twice(w);
    h = _mm512_srlv_epi32(h, _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 4, 4, 4, 4));
    UNROLL
    for (int i = 0; i < 4; i++) {
        vi top = i < 2    ? _mm512_slli_epi32(h, 2 - (unsigned)i)
                 : i == 3 ? _mm512_srli_epi32(h, 1)
                          : h;
        acc = scaled(acc, and_or(top, bytes(4), two_bits(v, i)), x->q[i],
                     eights(sc, 2 * i, 2 * i + 1, 8 + 2 * i, 9 + 2 * i));
    }
    return acc;
}

FOLD struct sums256 four_q3_k(const uint8_t *const *w, const struct x256 *x)
{
    struct sums256 t = {.d = halves_of_4(w, 108)};
    vi sc = scales_q3_k(parts_of_4(w, 94));
    t.s = sum_of_parts(sums_of_4(row_q3_k(w[0], _mm512_castsi512_si128(sc), x),
                                 row_q3_k(w[1], _mm512_extracti32x4_epi32(sc, 1), x),
                                 row_q3_k(w[2], _mm512_extracti32x4_epi32(sc, 2), x),
                                 row_q3_k(w[3], _mm512_extracti32x4_epi32(sc, 3), x)));
    return t;
}

/* Scales of groups 4 h .. 4 h + 3, each in a part. */
FOLD vi scales_iq4_xs(vi low, vi high, int h)
{
    const vi by4 = _mm512_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12);
    const vi by2 = _mm512_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2, 4, 4, 4, 4, 6, 6, 6, 6);
    vi l = _mm512_srlv_epi32(_mm512_srli_epi32(low, 16 * (unsigned)h), by4);
    vi t = _mm512_srlv_epi32(_mm512_srli_epi32(high, 8 * (unsigned)h), by2);
    t = _mm512_slli_epi32(_mm512_and_si512(t, _mm512_set1_epi32(3)), 4);
    return _mm512_sub_epi32(and_or(l, _mm512_set1_epi32(15), t), _mm512_set1_epi32(32));
}

/* 128 * sum of groups 4 h .. 4 h + 3, in dword 0 of a part each. */
FOLD vi fix_iq4_xs(const struct x256 *x, int h)
{
    int64_t four;
    memcpy(&four, x->sums + 4 * h, 8);
    vi v = _mm512_slli_epi32(
        _mm512_cvtepi16_epi32(_mm256_castsi128_si256(_mm_cvtsi64_si128(four))), 7);
    const vi to = _mm512_setr_epi32(0, 4, 4, 4, 1, 4, 4, 4, 2, 4, 4, 4, 3, 4, 4, 4);
    return _mm512_permutexvar_epi32(to, v);
}

FOLD vi row_iq4_xs(const uint8_t *w, const struct x256 *x)
{
    uint16_t h;
    uint32_t l;
    memcpy(&h, w + 2, 2);
    memcpy(&l, w + 4, 4);
    vi low = _mm512_set1_epi32((int)l), high = _mm512_set1_epi32(h),
       acc = _mm512_setzero_si512();
    UNROLL
    for (int i = 0; i < 2; i++) {
        vi v = load(w + 8 + 64 * i);
        vi a = _mm512_xor_si512(look_up(low4(v), slm_iq4_values), bytes(-128));
        vi b = _mm512_xor_si512(look_up(high4(v), slm_iq4_values), bytes(-128));
        vi s = _mm512_dpbusd_epi32(_mm512_setzero_si512(), a, load(x->q[2 * i]));
        s = _mm512_dpbusd_epi32(s, b, load(x->q[2 * i + 1]));
        s = _mm512_sub_epi32(s, fix_iq4_xs(x, i));
        acc = _mm512_add_epi32(acc, _mm512_mullo_epi32(s, scales_iq4_xs(low, high, i)));
    }
    return acc;
}

FOLD struct sums256 four_iq4_xs(const uint8_t *const *w, const struct x256 *x)
{
    struct sums256 t = {.d = halves_of_4(w, 0)};
    t.s = sum_of_parts(sums_of_4(row_iq4_xs(w[0], x), row_iq4_xs(w[1], x), row_iq4_xs(w[2], x),
                                 row_iq4_xs(w[3], x)));
    return t;
}

static size_t bytes_x256(size_t k) { return k / 256 * sizeof(struct x256); }

/* type, block, function, order, sign of the sums, has minima */
#define KINDS256(X)                                                                            \
    X(Q2_K, block_q2_K, four_q2_k, HALVES, 1, true)                                            \
    X(Q3_K, block_q3_K, four_q3_k, HALVES, -1, false)                                          \
    X(Q4_K, block_q4_K, four_q4_k, GROUPS, 1, true)                                            \
    X(Q5_K, block_q5_K, four_q5_k, GROUPS, 1, true)                                            \
    X(Q6_K, block_q6_K, four_q6_k, AS_IS, -1, false)                                           \
    X(IQ4_XS, block_iq4_xs, four_iq4_xs, PARTS, 1, false)

#define ONE256(id, type, sums, order, sign, mins)                                              \
    static void prepare_##id(void *out, const void *x, size_t k)                               \
    {                                                                                          \
        prepare256(out, x, k, order, sign);                                                    \
    }                                                                                          \
    static void run_##id(float *out, const void *x, const void *w, size_t ws, int nw,          \
                         size_t k)                                                             \
    {                                                                                          \
        for (int j = 0; j < (nw + ROWS - 1) / ROWS; j++) {                                     \
            const struct x256 *xb = x;                                                         \
            struct four f = four_of(w, ws, nw, j);                                             \
            __m128 acc = _mm_setzero_ps();                                                     \
            for (size_t b = 0; b < k / 256; b++, xb++) {                                       \
                acc = step256(acc, sums(f.row, xb), xb, mins);                                 \
                for (int r = 0; r < ROWS; r++)                                                 \
                    f.row[r] += sizeof(type);                                                  \
            }                                                                                  \
            put_four(out, acc, nw, j);                                                         \
        }                                                                                      \
    }
KINDS256(ONE256)

void slm_kern_fill_one_avx512vbmi(struct slm_kern *k)
{
#define X(id, ...) k->one[SLM_##id] = (struct slm_one){bytes_x32, prepare_##id, run_##id};
    KINDS32(X)
#undef X
#define X(id, ...) k->one[SLM_##id] = (struct slm_one){bytes_x256, prepare_##id, run_##id};
    KINDS256(X)
#undef X
}
