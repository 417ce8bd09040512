/* Part of fast_body.h for AVX-512 VNNI: a single row of activations with IQ2 and IQ3. Rows side
 * by side would have to look each entry up by a load of its own; here a vector holds 32 entries
 * of one row, looked up by permutations of the codebook, which is small enough. An entry's
 * codes lie in 16 bits, so a plane of them meets activations in an order of its own, made once
 * for all rows. Sign bits become masks that turn the activations. The sums are the same
 * integers, the float steps those of fast_generic.c. */

/* 256 activations: for entries of eight, elements k and k + 4 of all in q[k]; for entries of
 * four, the first two (even q) and the last two elements (odd q) of 32. */
struct iq_x {
    vi q[4];
};

FOLD void iq_x_eights(struct iq_x *x, const uint8_t *q)
{
    const vi first =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    UNROLL
    for (int h = 0; h < 2; h++) {
        vi a = vi_load(q + 128 * h), b = vi_load(q + 128 * h + 64);
        vi e = _mm512_permutex2var_epi32(a, first, b);
        vi o = _mm512_permutex2var_epi32(a, vi_add(first, vi_set1(1)), b);
        UNROLL
        for (int k = 0; k < 4; k++) {
            __m256i v = _mm512_cvtepi32_epi16(vi_or(byte_of(e, k), vi_shl(byte_of(o, k), 8)));
            x->q[k] = h ? _mm512_inserti64x4(x->q[k], v, 1) : _mm512_castsi256_si512(v);
        }
    }
}

FOLD void iq_x_fours(struct iq_x *x, const uint8_t *q)
{
    const vi low = vi_set1(0xffff);
    UNROLL
    for (int h = 0; h < 2; h++) {
        vi a = vi_load(q + 128 * h), b = vi_load(q + 128 * h + 64);
        const vi to = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
        vi e = _mm512_packus_epi32(vi_and(a, low), vi_and(b, low));
        vi o = _mm512_packus_epi32(vi_shr(a, 16), vi_shr(b, 16));
        x->q[2 * h] = _mm512_permutexvar_epi64(to, e);
        x->q[2 * h + 1] = _mm512_permutexvar_epi64(to, o);
    }
}

FOLD __m128i load128(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}
FOLD __m256i load256(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

/* out = table[i] for twice 32 words i < n: 64 entries a permutation, then the index's higher
 * bits choose. Both at once, as reading the table is what takes longest. */
FOLD void entries(vi *out, const uint16_t *table, int n, const vi *i)
{
    vi kept[2][4];
    UNROLL
    for (int j = 0; j < n / 64; j++) {
        vi a = vi_load(table + 64 * j), b = vi_load(table + 64 * j + 32);
        UNROLL
        for (int r = 0; r < 2; r++) {
            vi v = _mm512_permutex2var_epi16(a, i[r], b);
            int bit = 0;
            UNROLL
            for (; j >> bit & 1; bit++) /* the other half of 128, 256 ... entries is there */
                v = _mm512_mask_blend_epi16(
                    _mm512_test_epi16_mask(i[r], _mm512_set1_epi16((short)(64 << bit))),
                    kept[r][bit], v);
            if (j == n / 64 - 1)
                out[r] = v;
            else
                kept[r][bit] = v;
        }
    }
}

/* Bytes of seven sign bits get the eighth. */
FOLD __m256i even32(__m256i s)
{
    const __m256i odd = _mm256_broadcastsi128_si256(_mm_setr_epi8(
                      0, -128, -128, 0, -128, 0, 0, -128, -128, 0, 0, -128, 0, -128, -128, 0)),
                  low = _mm256_set1_epi8(15);
    __m256i a = _mm256_shuffle_epi8(odd, _mm256_and_si256(s, low));
    __m256i b = _mm256_shuffle_epi8(odd, _mm256_and_si256(_mm256_srli_epi16(s, 4), low));
    return _mm256_xor_si256(s, _mm256_xor_si256(a, b));
}

/* Eight dwords of four 7-bit fields to 32 bytes of signs. */
FOLD __m256i signs28(__m256i w)
{
    __m256i a = _mm256_and_si256(w, _mm256_set1_epi32(0x7f));
    __m256i b = _mm256_and_si256(_mm256_slli_epi32(w, 1), _mm256_set1_epi32(0x7f00));
    __m256i c = _mm256_and_si256(_mm256_slli_epi32(w, 2), _mm256_set1_epi32(0x7f0000));
    __m256i d = _mm256_and_si256(_mm256_slli_epi32(w, 3), _mm256_set1_epi32(0x7f000000));
    return even32(_mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d)));
}

/* x, elements turned whose bit of s is set */
FOLD vi turned(vi x, vi s, int bits)
{
    return _mm512_mask_sub_epi8(x, _mm512_test_epi8_mask(s, vi_set1(bits)), vi_zero(), x);
}

/* Sums of sixteen pairs of entries of eight, by codes and a byte of signs an entry. */
FOLD vi iq2_dots(vi codes, __m256i signs, const struct iq_x *x)
{
    static const int8_t level[16] = {8, 25, 43};
    vi s = _mm512_cvtepu8_epi16(signs), sum = vi_zero();
    s = vi_or(s, _mm512_slli_epi16(s, 8));
    UNROLL
    for (int k = 0; k < 4; k++) {
        vi v = vi_lut(vi_and(vi_shr(codes, 2 * k), bytes(3)), level);
        sum = _mm512_dpbusd_epi32(sum, v, turned(x->q[k], s, 0x10011001 << k));
    }
    return sum;
}

/* lanes' scales from bytes of s: 2 s + 1 */
FOLD vi odd16(__m128i s) { return odd_scale(_mm512_cvtepu8_epi32(s)); }

/* Of a row of IQ2: where its entries are, signs, scales of the lanes. */
struct iq2 {
    vi i, scale;
    __m256i signs;
};

FOLD struct iq2 head_iq2_xxs(const uint8_t *w)
{
    vi v = _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15),
        vi_load(w + 2));
    __m256i s = _mm512_extracti64x4_epi64(v, 1);
    vi scale = _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7),
        _mm512_castsi256_si512(_mm256_srli_epi32(s, 28)));
    return (struct iq2){_mm512_cvtepu8_epi16(_mm512_castsi512_si256(v)), odd_scale(scale),
                        signs28(s)};
}

/* Sixteen scales of four bits. */
FOLD vi scales16_of(const uint8_t *p)
{
    __m128i v = _mm_loadl_epi64((const __m128i *)(const void *)p), low = _mm_set1_epi8(15);
    return odd16(
        _mm_unpacklo_epi8(_mm_and_si128(v, low), _mm_and_si128(_mm_srli_epi16(v, 4), low)));
}

FOLD struct iq2 head_iq2_xs(const uint8_t *w)
{
    vi v = vi_load(w + 2);
    __m256i s = even32(_mm512_cvtepi16_epi8(_mm512_srli_epi16(v, 9)));
    return (struct iq2){vi_and(v, vi_set1(0x01ff01ff)), scales16_of(w + 66), s};
}

FOLD struct iq2 head_iq2_s(const uint8_t *w)
{
    /* byte g / 4 of qh into the high half of word g, its two bits to the right place */
    const vi pick = _mm512_setr_epi32(0x00ff00ff, 0x00ff00ff, 0x01ff01ff, 0x01ff01ff,
                                      0x02ff02ff, 0x02ff02ff, 0x03ff03ff, 0x03ff03ff,
                                      0x04ff04ff, 0x04ff04ff, 0x05ff05ff, 0x05ff05ff,
                                      0x06ff06ff, 0x06ff06ff, 0x07ff07ff, 0x07ff07ff);
    const vi twos = _mm512_set1_epi64(0x0006000400020000);
    int64_t qh;
    memcpy(&qh, w + 66, 8);
    vi high = _mm512_srlv_epi16(_mm512_shuffle_epi8(_mm512_set1_epi64(qh), pick), twos);
    vi i = vi_or(_mm512_cvtepu8_epi16(load256(w + 2)), vi_and(high, vi_set1(0x03000300)));
    return (struct iq2){i, scales16_of(w + 74), load256(w + 34)};
}

/* Sums of sixteen pairs of entries of four; v has codes of three bits, or what `level` says. */
FOLD vi iq3_dots(vi v, __m128i signs, const vi *x, const int8_t *level)
{
    const vi four =
        _mm512_setr_epi32(0, 0x01010101, 0x02020202, 0x03030303, 0x04040404, 0x05050505,
                          0x06060606, 0x07070707, 0x08080808, 0x09090909, 0x0a0a0a0a,
                          0x0b0b0b0b, 0x0c0c0c0c, 0x0d0d0d0d, 0x0e0e0e0e, 0x0f0f0f0f);
    const vi second = vi_set1(0x07000700), both = vi_set1(0x07070707);
    vi s = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(signs), four);
    /* codes 0 and 1, then 2 and 3, in the bytes of a word: second's bits of the first, else of
     * the second operand */
    vi a = _mm512_ternarylogic_epi32(second, vi_shl(v, 5), v, 0xca);
    vi b = _mm512_ternarylogic_epi32(second, vi_shr(v, 1), vi_shr(v, 6), 0xca);
    vi sum = _mm512_dpbusd_epi32(vi_zero(), vi_lut(vi_and(a, both), level),
                                 turned(x[0], s, 0x20100201));
    return _mm512_dpbusd_epi32(sum, vi_lut(vi_and(b, both), level),
                               turned(x[1], s, (int)0x80400804));
}

/* Scales 4 h to 4 h + 3 of eight, in four lanes each. */
FOLD vi scales_four(__m256i s, int h)
{
    const vi pick = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    return odd_scale(
        _mm512_permutexvar_epi32(vi_add(pick, vi_set1(4 * h)), _mm512_castsi256_si512(s)));
}

FOLD vi sum_iq3_xxs(const uint8_t *w, const struct iq_x *x)
{
    static const int8_t level[16] = {4, 12, 20, 28, 36, 44, 52, 62};
    __m256i word = load256(w + 66), s = signs28(word), sc = _mm256_srli_epi32(word, 28);
    vi acc = vi_zero(), i[2], v[2];
    UNROLL
    for (int h = 0; h < 2; h++)
        i[h] = _mm512_cvtepu8_epi16(load256(w + 2 + 32 * h));
    entries(v, slm_iq3_xxs_grid, 256, i);
    UNROLL
    for (int h = 0; h < 2; h++) {
        __m128i half = h ? _mm256_extracti128_si256(s, 1) : _mm256_castsi256_si128(s);
        acc =
            vi_add(acc, vi_mul(iq3_dots(v[h], half, x->q + 2 * h, level), scales_four(sc, h)));
    }
    return acc;
}

FOLD vi sum_iq3_s(const uint8_t *w, const struct iq_x *x)
{
    static const int8_t level[16] = {1, 3, 5, 7, 9, 11, 13, 15};
    __m256i sc = _mm256_srlv_epi32(_mm256_set1_epi32(dword_at(w + 106)),
                                   _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28));
    sc = _mm256_and_si256(sc, _mm256_set1_epi32(15));
    vi acc = vi_zero(), i[2], v[2];
    UNROLL
    for (int h = 0; h < 2; h++) {
        __mmask32 high = (__mmask32)dword_at(w + 66 + 4 * h);
        i[h] = _mm512_cvtepu8_epi16(load256(w + 2 + 32 * h));
        i[h] = _mm512_mask_add_epi16(i[h], high, i[h], _mm512_set1_epi16(256));
    }
    entries(v, slm_iq3_s_grid, 512, i);
    UNROLL
    for (int h = 0; h < 2; h++) {
        vi dots = iq3_dots(v[h], load128(w + 74 + 16 * h), x->q + 2 * h, level);
        acc = vi_add(acc, vi_mul(dots, scales_four(sc, h)));
    }
    return acc;
}

/* Sixteen vectors to one with the sum of each. */
FOLD vi sums_of(const vi *v)
{
    vi a[8], b[4], c[2];
    UNROLL
    for (int i = 0; i < 8; i++) /* dwords of v[i] and v[i + 8] in turn */
        a[i] = vi_add(_mm512_unpacklo_epi32(v[i], v[i + 8]),
                      _mm512_unpackhi_epi32(v[i], v[i + 8]));
    UNROLL
    for (int i = 0; i < 4; i++) /* i, i + 8, i + 4, i + 12 */
        b[i] = vi_add(_mm512_unpacklo_epi64(a[i], a[i + 4]),
                      _mm512_unpackhi_epi64(a[i], a[i + 4]));
    UNROLL
    for (int i = 0; i < 2; i++)
        c[i] = vi_add(_mm512_shuffle_i32x4(b[i], b[i + 2], 0x88),
                      _mm512_shuffle_i32x4(b[i], b[i + 2], 0xdd));
    vi d =
        vi_add(_mm512_shuffle_i32x4(c[0], c[1], 0x88), _mm512_shuffle_i32x4(c[0], c[1], 0xdd));
    /* it has 0 8 4 12, 2 10 6 14, 1 9 5 13, 3 11 7 15: bits reversed, and so put right */
    return _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15), d);
}

typedef vi iq3_sum_fn(const uint8_t *w, const struct iq_x *x);
typedef struct iq2 iq2_head_fn(const uint8_t *w);

/* What a type is; constants all. */
struct iq_kind {
    float part; /* of d */
    const uint16_t *table;
    int entries;
    iq2_head_fn *head; /* IQ2 */
    iq3_sum_fn *sum;   /* IQ3 */
};

/* Sums of the sixteen rows' lanes; w is the rows' block. */
FOLD void iq_sums(vi *s, const struct rows *r, size_t at, const struct iq_x *x,
                  const struct iq_kind t)
{
    for (int j = 0; j < VN; j += 2) { /* the last row stands in for those that are not there */
        const uint8_t *a = r->row[j] + at, *b = r->row[j + 1] + at;
        if (t.sum) {
            s[j] = t.sum(a, x);
            s[j + 1] = t.sum(b, x);
        } else {
            struct iq2 p = t.head(a), q = t.head(b);
            vi i[2] = {p.i, q.i}, v[2];
            entries(v, t.table, t.entries, i);
            s[j] = vi_mul(iq2_dots(v[0], p.signs, x), p.scale);
            s[j + 1] = vi_mul(iq2_dots(v[1], q.signs, x), q.scale);
        }
    }
}

FOLD void iq_rows(struct fast *f, const struct rows *r, const struct iq_kind t)
{
    vf acc = vf_zero();
    size_t size = f->t->bytes;
    for (size_t b = 0; b < f->k / 256; b++) {
        const uint8_t *xq = f->x + b * sizeof(block_q8_K);
        struct iq_x x;
        vi s[VN];
        float dx;
        memcpy(&dx, xq, 4);
        fetch(r, b * size * VN, size * VN);
        if (t.head)
            iq_x_eights(&x, xq + 4);
        else
            iq_x_fours(&x, xq + 4);
        iq_sums(s, r, b * size, &x, t);
        vf d = times(vf_f16_rows(r->row, b * size), t.part);
        acc = vf_add(acc, vf_mul(vf_set1(dx), vf_mul(d, vi_float(sums_of(s)))));
    }
    out_put(f, f->out, 0, acc);
}

#define SINGLE_iq(f, r, t, un, mode) rows_##un(f, r)
#define SINGLE_iq16(f, r, t, un, mode) rows_##un(f, r)
#define IQ_ROWS(un, ...)                                                                       \
    FOLD void rows_##un(struct fast *f, const struct rows *r)                                  \
    {                                                                                          \
        iq_rows(f, r, (struct iq_kind){__VA_ARGS__});                                          \
    }
IQ_ROWS(un_iq2_xxs, 0.125f, slm_iq2_xxs_grid, 256, head_iq2_xxs, NULL)
IQ_ROWS(un_iq2_xs, 0.125f, slm_iq2_xs_grid, 512, head_iq2_xs, NULL)
IQ_ROWS(un_iq2_s, 0.125f, slm_iq2_s_grid, 1024, head_iq2_s, NULL)
IQ_ROWS(un_iq3_xxs, 0.25f, NULL, 0, NULL, sum_iq3_xxs)
IQ_ROWS(un_iq3_s, 1, NULL, 0, NULL, sum_iq3_s)
