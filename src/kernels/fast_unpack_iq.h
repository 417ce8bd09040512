/* Part of fast_body.h: unpacks the I types and the ternary ones, as fast_unpack.h does the
 * others. An index a lane is looked up in a table of dwords (iq_tables.inc, wide): four bytes
 * of magnitudes (IQ3), or eight codes of two bits, those of elements j and j + 4 in byte j. The
 * offset makes magnitudes with signs unsigned. */

/* Byte i of each dword into all four bytes of it. */
FOLD vi splat(vi v, int i)
{
    static const int8_t all[4][16] = {{0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12},
                                      {1, 1, 1, 1, 5, 5, 5, 5, 9, 9, 9, 9, 13, 13, 13, 13},
                                      {2, 2, 2, 2, 6, 6, 6, 6, 10, 10, 10, 10, 14, 14, 14, 14},
                                      {3, 3, 3, 3, 7, 7, 7, 7, 11, 11, 11, 11, 15, 15, 15, 15}};
    return vi_pick(v, all[i]);
}

/* Magnitudes of dword g (its eight elements' sign byte splatted in s), signs applied. */
FOLD void emit_signed(struct sink *k, int g, vi v, vi s, int off, int mode)
{
    vi m = vi_nonzero8(vi_and(s, vi_set1(g & 1 ? (int)0x80402010 : 0x08040201)));
    v = vi_sub8(vi_xor(v, m), m);
    emit(k, g, WOFF ? vi_sub8(v, bytes(256 - (unsigned)off)) : v, WOFF ? off : 0, mode);
}

/* Dwords 2 l and 2 l + 1 of eight 2-bit codes. */
FOLD void emit_iq2(struct sink *k, int l, vi codes, vi s, int mode)
{
    static const int8_t level[16] = {8, 25, 43};
    emit_signed(k, 2 * l, vi_lut(vi_and(codes, bytes(3)), level), s, 43, mode);
    emit_signed(k, 2 * l + 1, vi_lut(vi_and(vi_shr(codes, 2), bytes(3)), level), s, 43, mode);
}

/* Bytes of seven sign bits get the eighth, which makes their number even. */
FOLD vi even8(vi s)
{
    static const int8_t odd[16] = {0,    -128, -128, 0,    -128, 0,    0,    -128,
                                   -128, 0,    0,    -128, 0,    -128, -128, 0};
    return vi_xor(s, vi_xor(vi_lut(low4(s), odd), vi_lut(high4(s), odd)));
}

/* Four fields of seven sign bits as bytes. */
FOLD vi signs7(vi w)
{
    vi a = vi_or(vi_and(w, vi_set1(0x7f)), vi_and(vi_shl(w, 1), vi_set1(0x7f00)));
    vi b = vi_or(vi_and(vi_shl(w, 2), vi_set1(0x7f0000)),
                 vi_and(vi_shl(w, 3), vi_set1(0x7f000000)));
    return even8(vi_or(a, b));
}

FOLD vi odd_scale(vi s) { return vi_or(vi_add(s, s), vi_set1(1)); }
FOLD vi field(vi v, int at, int mask) { return vi_and(vi_shr(v, at), vi_set1(mask)); }

/* Scale i of 8, or of 16; with WOFF also as pairs, for what the offset adds. */
FOLD void put_scale8(struct panel *p, int i, vi s)
{
    p->sc[i] = s;
    if (WOFF)
        p->mn[i] = vi_or(s, vi_shl(s, 16));
}
FOLD void put_scale16(struct panel *p, int i, vi s)
{
    p->sc[i] = s;
    if (WOFF)
        p->mn[i / 2] = i & 1 ? vi_or(p->mn[i / 2], vi_shl(s, 16)) : s;
}

FOLD vf times(vf d, float f) { return vf_mul(d, vf_set1(f)); }

FOLD void un_iq2_xxs(struct sink *k, const struct rows *r, size_t at, int mode)
{
    k->p->d[0] = times(vf_f16_rows(r->row, at), 0.125f);
    UNROLL
    for (int h = 0; h < 4; h++) {
        vi t[4];
        vi_rows16(r->row, at + 2 + 16 * (size_t)h, t);
        UNROLL
        for (int j = 0; j < 2; j++) {
            int p = 2 * h + j;
            vi s = signs7(t[2 * j + 1]);
            put_scale8(k->p, p, odd_scale(vi_shr(t[2 * j + 1], 28)));
            UNROLL
            for (int l = 0; l < 4; l++)
                emit_iq2(k, 4 * p + l, vi_table(slm_iq2_xxs_wide, byte_of(t[2 * j], l)),
                         splat(s, l), mode);
        }
    }
}

/* Sixteen 4-bit scales in 8 bytes. */
FOLD void scales_iq2(struct panel *p, const struct rows *r, size_t at)
{
    UNROLL
    for (int h = 0; h < 2; h++) {
        vi v = vi_dwords(r->row, at + 4 * (size_t)h);
        UNROLL
        for (int i = 0; i < 8; i++)
            put_scale16(p, 8 * h + i, odd_scale(field(v, 4 * i, 15)));
    }
}

FOLD void un_iq2_xs(struct sink *k, const struct rows *r, size_t at, int mode)
{
    k->p->d[0] = times(vf_f16_rows(r->row, at), 0.125f);
    scales_iq2(k->p, r, at + 66);
    UNROLL
    for (int h = 0; h < 4; h++) {
        vi t[4];
        vi_rows16(r->row, at + 2 + 16 * (size_t)h, t);
        UNROLL
        for (int j = 0; j < 4; j++) {
            vi s = even8(field(t[j], 9, 0x7f007f));
            emit_iq2(k, 8 * h + 2 * j, vi_table(slm_iq2_xs_wide, field(t[j], 0, 511)),
                     splat(s, 0), mode);
            emit_iq2(k, 8 * h + 2 * j + 1, vi_table(slm_iq2_xs_wide, field(t[j], 16, 511)),
                     splat(s, 2), mode);
        }
    }
}

FOLD void un_iq2_s(struct sink *k, const struct rows *r, size_t at, int mode)
{
    k->p->d[0] = times(vf_f16_rows(r->row, at), 0.125f);
    scales_iq2(k->p, r, at + 74);
    UNROLL
    for (int h = 0; h < 2; h++) {
        vi t[4], s[4], high = vi_dwords(r->row, at + 66 + 4 * (size_t)h);
        vi_rows16(r->row, at + 2 + 16 * (size_t)h, t);
        vi_rows16(r->row, at + 34 + 16 * (size_t)h, s);
        UNROLL
        for (int j = 0; j < 4; j++)
            UNROLL
        for (int l = 0; l < 4; l++) {
            vi i = vi_or(byte_of(t[j], l), vi_shl(field(high, 8 * j + 2 * l, 3), 8));
            emit_iq2(k, 16 * h + 4 * j + l, vi_table(slm_iq2_s_wide, i), splat(s[j], l), mode);
        }
    }
}

FOLD void un_iq3_xxs(struct sink *k, const struct rows *r, size_t at, int mode)
{
    k->p->d[0] = times(vf_f16_rows(r->row, at), 0.25f);
    UNROLL
    for (int h = 0; h < 2; h++) { /* 16 bytes of signs and scales, 32 of indices */
        vi w[4], t[8];
        vi_rows16(r->row, at + 66 + 16 * (size_t)h, w);
        vi_rows16(r->row, at + 2 + 32 * (size_t)h, t);
        vi_rows16(r->row, at + 18 + 32 * (size_t)h, t + 4);
        UNROLL
        for (int j = 0; j < 4; j++) {
            vi s = signs7(w[j]);
            put_scale8(k->p, 4 * h + j, odd_scale(vi_shr(w[j], 28)));
            UNROLL
            for (int i = 0; i < 8; i++)
                emit_signed(k, 32 * h + 8 * j + i,
                            vi_table(slm_iq3_xxs_wide, byte_of(t[2 * j + i / 4], i % 4)),
                            splat(s, i / 2), 62, mode);
        }
    }
}

FOLD void un_iq3_s(struct sink *k, const struct rows *r, size_t at, int mode)
{
    vi sc = vi_dwords(r->row, at + 106);
    k->p->d[0] = vf_f16_rows(r->row, at);
    UNROLL
    for (int h = 0; h < 2; h++) {
        vi s[4], t[8], high = vi_dwords(r->row, at + 66 + 4 * (size_t)h);
        vi_rows16(r->row, at + 74 + 16 * (size_t)h, s);
        vi_rows16(r->row, at + 2 + 32 * (size_t)h, t);
        vi_rows16(r->row, at + 18 + 32 * (size_t)h, t + 4);
        UNROLL
        for (int j = 0; j < 4; j++) {
            put_scale8(k->p, 4 * h + j, odd_scale(field(sc, 16 * h + 4 * j, 15)));
            UNROLL
            for (int i = 0; i < 8; i++) {
                vi at9 = vi_shl(field(high, 8 * j + i, 1), 8);
                emit_signed(
                    k, 32 * h + 8 * j + i,
                    vi_table(slm_iq3_s_wide, vi_or(byte_of(t[2 * j + i / 4], i % 4), at9)),
                    splat(s[j], i / 2), 15, mode);
            }
        }
    }
}

/* Dwords 2 l and 2 l + 1 of IQ1: 8 v + 1 or 8 v - 1, with 9 added; up: 2 in every byte, or 0.
 */
FOLD void emit_iq1(struct sink *k, int l, vi i, vi up, int mode)
{
    vi c = vi_table(slm_iq1_s_wide, i);
    emit(k, 2 * l, vi_or(vi_and(vi_shl(c, 3), bytes(24)), up), 9, mode);
    emit(k, 2 * l + 1, vi_or(vi_and(vi_shl(c, 1), bytes(24)), up), 9, mode);
}

/* 2 in every byte where bit `at` is 0, else 0 */
FOLD vi upward(vi v, int at) { return vi_and(vi_sub(field(v, at, 1), vi_set1(1)), bytes(2)); }

FOLD void un_iq1_s(struct sink *k, const struct rows *r, size_t at, int mode)
{
    vi high[4];
    k->p->d[0] = times(vf_f16_rows(r->row, at), 0.125f);
    vi_rows16(r->row, at + 34, high);
    UNROLL
    for (int h = 0; h < 2; h++) {
        vi t[4];
        vi_rows16(r->row, at + 2 + 16 * (size_t)h, t);
        UNROLL
        for (int j = 0; j < 4; j++) {
            vi v = vi_shr(high[2 * h + j / 2], 16 * (j & 1)), up = upward(v, 15);
            put_scale8(k->p, 4 * h + j, odd_scale(field(v, 12, 7)));
            UNROLL
            for (int l = 0; l < 4; l++)
                emit_iq1(k, 16 * h + 4 * j + l,
                         vi_or(byte_of(t[j], l), vi_shl(field(v, 3 * l, 7), 8)), up, mode);
        }
    }
}

FOLD void un_iq1_m(struct sink *k, const struct rows *r, size_t at, int mode)
{
    vi high[4], sc[2] = {vi_dwords(r->row, at + 48), vi_dwords(r->row, at + 52)};
    vi d = vi_or(vi_or(field(sc[0], 12, 0xf), field(sc[0], 24, 0xf0)),
                 vi_or(vi_shl(field(sc[1], 12, 0xf), 8), vi_shl(field(sc[1], 28, 0xf), 12)));
    k->p->d[0] = times(vi_f16(d), 0.125f);
    vi_rows16(r->row, at + 32, high);
    UNROLL
    for (int i = 0; i < 16; i++)
        put_scale16(k->p, i, odd_scale(field(sc[i / 8], i / 4 % 2 * 16 + i % 4 * 3, 7)));
    UNROLL
    for (int h = 0; h < 2; h++) {
        vi t[4];
        vi_rows16(r->row, at + 16 * (size_t)h, t);
        UNROLL
        for (int j = 0; j < 4; j++)
            UNROLL
        for (int l = 0; l < 4; l++) {
            vi v = high[2 * h + j / 2];
            int bit = 16 * (j & 1) + 4 * l;
            emit_iq1(k, 16 * h + 4 * j + l,
                     vi_or(byte_of(t[j], l), vi_shl(field(v, bit, 7), 8)), upward(v, bit + 3),
                     mode);
        }
    }
}

FOLD void scales_one(struct panel *p)
{
    UNROLL
    for (int g = 0; g < 8; g++)
        put_scale8(p, g, vi_set1(1));
}

FOLD void un_tq2_0(struct sink *k, const struct rows *r, size_t at, int mode)
{
    scales_one(k->p);
    k->p->d[0] = vf_f16_rows(r->row, at + 64);
    UNROLL
    for (int h = 0; h < 4; h++) {
        vi t[4];
        vi_rows16(r->row, at + 16 * (size_t)h, t);
        UNROLL
        for (int j = 0; j < 4; j++)
            UNROLL
        for (int s = 0; s < 4; s++)
            emit(k, h / 2 * 32 + h % 2 * 4 + 8 * s + j, vi_and(vi_shr(t[j], 2 * s), bytes(3)),
                 1, mode);
    }
}

/* n digits of four bytes, `step` dwords apart: what three times the byte leaves above it is a
 * digit, what it leaves below are the digits after it. */
FOLD void emit_trits(struct sink *k, int g, vi v, int n, int step, int mode)
{
    vi low = vi_set1(0x00ff00ff), two = vi_set1(0x00030003);
    vi e = vi_and(v, low), o = vi_and(vi_shr(v, 8), low);
    UNROLL
    for (int i = 0; i < n; i++) {
        vi e3 = vi_add(e, vi_add(e, e)), o3 = vi_add(o, vi_add(o, o));
        emit(k, g + step * i, vi_or(vi_and(vi_shr(e3, 8), two), vi_and(o3, vi_shl(two, 8))), 1,
             mode);
        e = vi_and(e3, low);
        o = vi_and(o3, low);
    }
}

FOLD void un_tq1_0(struct sink *k, const struct rows *r, size_t at, int mode)
{
    scales_one(k->p);
    k->p->d[0] = vf_f16_rows(r->row, at + 52);
    UNROLL
    for (int h = 0; h < 3; h++) {
        vi t[4];
        vi_rows16(r->row, at + 16 * (size_t)h, t);
        UNROLL
        for (int j = 0; j < 4; j++)
            emit_trits(k, h < 2 ? 4 * h + j : 40 + j, t[j], 5, h < 2 ? 8 : 4, mode);
    }
    emit_trits(k, 60, vi_dwords(r->row, at + 48), 4, 1, mode);
}

/* Groups that are big and pairs, but for a single row of activations, where an instruction set
 * may have a better way (IQ_SINGLES, a file). */
#define OF_iq OF_big
#define OF_iq16 OF_pairs
#define tiles_iq tiles_big
#define tiles_iq16 tiles_pairs
#define tiles2_iq tiles2_big
#define tiles2_iq16 tiles2_pairs
#ifndef IQ_SINGLES
#define SINGLE_iq SINGLE_big
#define SINGLE_iq16 SINGLE_pairs
#endif

/* As FAST_TYPES. */
#define FAST_TYPES_IQ(X)                                                                       \
    X(IQ2_XXS, un_iq2_xxs, block_iq2_xxs, iq, .off = 43)                                       \
    X(IQ2_XS, un_iq2_xs, block_iq2_xs, iq16, .off = 43)                                        \
    X(IQ2_S, un_iq2_s, block_iq2_s, iq16, .off = 43)                                           \
    X(IQ3_XXS, un_iq3_xxs, block_iq3_xxs, iq, .off = 62)                                       \
    X(IQ3_S, un_iq3_s, block_iq3_s, iq, .off = 15)                                             \
    X(IQ1_S, un_iq1_s, block_iq1_s, big, .off = 9)                                             \
    X(IQ1_M, un_iq1_m, block_iq1_m, pairs, .off = 9)                                           \
    X(TQ1_0, un_tq1_0, block_tq1_0, big, .off = 1)                                             \
    X(TQ2_0, un_tq2_0, block_tq2_0, big, .off = 1)
