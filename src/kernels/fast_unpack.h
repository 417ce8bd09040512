/* Part of fast_body.h: unpacks one block of VN rows, every type by its own layout, to dwords of
 * four weights a row. Where these go (a panel, or straight into products) is the sink's affair.
 */

/* Where VN rows of weights are. */
struct rows {
    const uint8_t *row[VN];
    uintptr_t next; /* where the rows after these begin */
};

/* Where unpacked weights go: into p's q, or, with `direct`, into products with one row at x. */
struct sink {
    struct panel *p;
    int b; /* panel: 32-block to be written */
    vi s[16];
    const uint8_t *x;
};

/* Modes, constants wherever they are used. */
#define DIRECT 1
#define PAIRS 2 /* sums for each 16 weights */

/* The bytes that activations 4 g .. 4 g + 3 start at, from the first of a block of 256 (or 32).
 */
#define XAT(g) (XCOPY ? (g) / 8 * 32 * QP + (g) % 8 * 4 : 4 * (g))

FOLD vi bytes(unsigned x) { return vi_set1((int)(x * 0x01010101u)); }
FOLD vi low4(vi v) { return vi_and(v, bytes(15)); }
FOLD vi high4(vi v) { return vi_and(vi_shr(v, 4), bytes(15)); }
/* byte i of every dword, as a number */
FOLD vi byte_of(vi v, int i) { return vi_and(vi_shr(v, 8 * i), vi_set1(255)); }
FOLD vi sbyte_of(vi v, int i) { return vi_sar(vi_shl(v, 24 - 8 * i), 24); }

/* Dword g of a block; v is unsigned and `off` more than its value. */
FOLD void emit(struct sink *k, int g, vi v, int off, int mode)
{
    if (!WOFF && off)
        v = vi_sub8(v, bytes((unsigned)off));
    if (mode & DIRECT) {
        vi q[QP], *s = &k->s[mode & PAIRS ? g / 4 : g / 8];
        q_put(q, v);
        *s = q_dot(*s, q, k->x + XAT(g));
    } else {
        q_put(k->p->q + (8 * k->b + g) * QP, v);
    }
}

/* Brings bytes [at, at + n) of the next rows near while these are computed: one stream in the
 * order of memory, where the panel's own loads go over VN rows at once. */
FOLD void fetch(const struct rows *r, size_t at, size_t n)
{
    for (uintptr_t p = r->next + at; p < r->next + at + n; p += 64)
        __builtin_prefetch((const void *)p, 0, 2);
}

/* ---- 32-blocks ---- */

/* Sixteen bytes of nibbles: elements 0-15 low, 16-31 high. */
FOLD void nibbles(const struct rows *r, size_t at, vi *lo, vi *hi)
{
    vi t[4];
    vi_rows16(r->row, at, t);
    UNROLL
    for (int j = 0; j < 4; j++) {
        lo[j] = low4(t[j]);
        hi[j] = high4(t[j]);
    }
}

/* A block's eight dwords: 0-3 and 4-7. */
FOLD void emit8(struct sink *k, int g, const vi *lo, const vi *hi, int off, int mode)
{
    UNROLL
    for (int j = 0; j < 4; j++) {
        emit(k, g + j, lo[j], off, mode);
        emit(k, g + 4 + j, hi[j], off, mode);
    }
}

FOLD void un_q4_0(struct sink *k, const struct rows *r, size_t at, int mode)
{
    vi lo[4], hi[4];
    nibbles(r, at + 2, lo, hi);
    emit8(k, 0, lo, hi, 8, mode);
    k->p->d[k->b] = vf_f16_rows(r->row, at);
}

FOLD void un_q4_1(struct sink *k, const struct rows *r, size_t at, int mode)
{
    vi lo[4], hi[4], dm = vi_dwords(r->row, at);
    nibbles(r, at + 4, lo, hi);
    emit8(k, 0, lo, hi, 0, mode);
    k->p->d[k->b] = vi_f16(dm);
    k->p->m[k->b] = vi_f16(vi_shr(dm, 16));
}

/* The fifth bits of eight dwords: bit 4 of each byte, from one dword a row. */
FOLD void fifth(vi h, vi *lo, vi *hi)
{
    static const int8_t spread[4][16] = {
        {0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12},
        {1, 1, 1, 1, 5, 5, 5, 5, 9, 9, 9, 9, 13, 13, 13, 13},
        {2, 2, 2, 2, 6, 6, 6, 6, 10, 10, 10, 10, 14, 14, 14, 14},
        {3, 3, 3, 3, 7, 7, 7, 7, 11, 11, 11, 11, 15, 15, 15, 15}};
    UNROLL
    for (int j = 0; j < 8; j++) {
        vi t = vi_pick(h, spread[j / 2]), *to = j < 4 ? lo + j : hi + j - 4;
        /* bit 4 (j & 1) + i of the byte belongs to byte i of the dword */
        t = vi_and(t, vi_set1(j & 1 ? (int)0x80402010 : 0x08040201));
        *to = vi_or(*to, vi_and(vi_nonzero8(t), bytes(16)));
    }
}

FOLD void un_q5_0(struct sink *k, const struct rows *r, size_t at, int mode)
{
    vi lo[4], hi[4];
    nibbles(r, at + 6, lo, hi);
    fifth(vi_dwords(r->row, at + 2), lo, hi);
    emit8(k, 0, lo, hi, 16, mode);
    k->p->d[k->b] = vf_f16_rows(r->row, at);
}

FOLD void un_q5_1(struct sink *k, const struct rows *r, size_t at, int mode)
{
    vi lo[4], hi[4], dm = vi_dwords(r->row, at);
    nibbles(r, at + 8, lo, hi);
    fifth(vi_dwords(r->row, at + 4), lo, hi);
    emit8(k, 0, lo, hi, 0, mode);
    k->p->d[k->b] = vi_f16(dm);
    k->p->m[k->b] = vi_f16(vi_shr(dm, 16));
}

FOLD void un_q8_0(struct sink *k, const struct rows *r, size_t at, int mode)
{
    vi lo[4], hi[4];
    vi_rows16(r->row, at + 2, lo);
    vi_rows16(r->row, at + 18, hi);
    UNROLL
    for (int j = 0; j < 4; j++) { /* adds 128 */
        lo[j] = vi_sub8(lo[j], bytes(128));
        hi[j] = vi_sub8(hi[j], bytes(128));
    }
    emit8(k, 0, lo, hi, 128, mode);
    k->p->d[k->b] = vf_f16_rows(r->row, at);
}

/* Nibbles as places in a table of values, each with 128 added. */
FOLD void table(vi *lo, vi *hi, const int8_t *values)
{
    UNROLL
    for (int j = 0; j < 4; j++) {
        lo[j] = vi_sub8(vi_lut(lo[j], values), bytes(128));
        hi[j] = vi_sub8(vi_lut(hi[j], values), bytes(128));
    }
}

FOLD void un_iq4_nl(struct sink *k, const struct rows *r, size_t at, int mode)
{
    vi lo[4], hi[4];
    nibbles(r, at + 2, lo, hi);
    table(lo, hi, slm_iq4_values);
    emit8(k, 0, lo, hi, 128, mode);
    k->p->d[k->b] = vf_f16_rows(r->row, at);
}

FOLD void un_mxfp4(struct sink *k, const struct rows *r, size_t at, int mode)
{
    vi lo[4], hi[4];
    float d[VN];
    nibbles(r, at + 1, lo, hi);
    table(lo, hi, slm_fp4_values);
    emit8(k, 0, lo, hi, 128, mode);
    for (int j = 0; j < VN; j++)
        d[j] = slm_e8m0_half(r->row[j][at]);
    k->p->d[k->b] = vf_load(d);
}

/* ---- 256-blocks ---- */

/* 6-bit scales and minima of Q4_K and Q5_K from the block's first 16 bytes. */
FOLD void head_k(struct panel *p, const struct rows *r, size_t at)
{
    static const int8_t pair[4][16] = {
        {0, -1, 0, -1, 4, -1, 4, -1, 8, -1, 8, -1, 12, -1, 12, -1},
        {1, -1, 1, -1, 5, -1, 5, -1, 9, -1, 9, -1, 13, -1, 13, -1},
        {2, -1, 2, -1, 6, -1, 6, -1, 10, -1, 10, -1, 14, -1, 14, -1},
        {3, -1, 3, -1, 7, -1, 7, -1, 11, -1, 11, -1, 15, -1, 15, -1}};
    vi t[4];
    vi_rows16(r->row, at, t);
    vi six = bytes(63), top = bytes(48);
    vi s0 = vi_and(t[1], six), m0 = vi_and(t[2], six);
    vi s1 = vi_or(low4(t[3]), vi_and(vi_shr(t[1], 2), top));
    vi m1 = vi_or(high4(t[3]), vi_and(vi_shr(t[2], 2), top));
    UNROLL
    for (int g = 0; g < 4; g++) {
        p->sc[g] = byte_of(s0, g);
        p->sc[4 + g] = byte_of(s1, g);
        p->mn[g] = vi_pick(m0, pair[g]);
        p->mn[4 + g] = vi_pick(m1, pair[g]);
    }
    p->d[0] = vi_f16(t[0]);
    p->m[0] = vi_f16(vi_shr(t[0], 16));
}

FOLD void un_q4_k(struct sink *k, const struct rows *r, size_t at, int mode)
{
    head_k(k->p, r, at);
    UNROLL
    for (int c = 0; c < 8; c++) { /* 16 bytes: half of a low group and of a high group */
        vi lo[4], hi[4];
        nibbles(r, at + 16 + 16 * (size_t)c, lo, hi);
        UNROLL
        for (int j = 0; j < 4; j++) {
            emit(k, c / 2 * 16 + c % 2 * 4 + j, lo[j], 0, mode);
            emit(k, c / 2 * 16 + c % 2 * 4 + 8 + j, hi[j], 0, mode);
        }
    }
}

FOLD void un_q5_k(struct sink *k, const struct rows *r, size_t at, int mode)
{
    head_k(k->p, r, at);
    UNROLL
    for (int h = 0; h < 2; h++) {
        vi bit[4];
        vi_rows16(r->row, at + 16 + 16 * (size_t)h, bit);
        UNROLL
        for (int c = 0; c < 4; c++) {
            vi lo[4], hi[4];
            nibbles(r, at + 48 + 32 * (size_t)c + 16 * (size_t)h, lo, hi);
            UNROLL
            for (int j = 0; j < 4; j++) {
                vi b = vi_shr(bit[j], 2 * c);
                lo[j] = vi_or(lo[j], vi_shl(vi_and(b, bytes(1)), 4));
                hi[j] = vi_or(hi[j], vi_shl(vi_and(b, bytes(2)), 3));
                emit(k, c * 16 + h * 4 + j, lo[j], 0, mode);
                emit(k, c * 16 + h * 4 + 8 + j, hi[j], 0, mode);
            }
        }
    }
}

/* t[0..4) of 16 signed byte scales; with WOFF also as pairs, for what the offsets add. */
FOLD void scales16(struct panel *p, const vi *t)
{
    UNROLL
    for (int g = 0; g < 16; g++)
        p->sc[g] = sbyte_of(t[g / 4], g % 4);
    UNROLL
    for (int g = 0; WOFF && g < 8; g++)
        p->mn[g] = vi_or(vi_and(p->sc[2 * g], vi_set1(0xffff)), vi_shl(p->sc[2 * g + 1], 16));
}

FOLD void un_q6_k(struct sink *k, const struct rows *r, size_t at, int mode)
{
    vi t[4];
    vi_rows16(r->row, at + 192, t);
    scales16(k->p, t);
    k->p->d[0] = vf_f16_rows(r->row, at + 208);
    UNROLL
    for (int h = 0; h < 4; h++) { /* 16 bytes of qh: part (h & 1) of half h / 2 */
        vi high[4], a[4], b[4];
        int g = h / 2 * 32 + h % 2 * 4;
        size_t ql = at + (size_t)(h / 2 * 64 + h % 2 * 16);
        vi_rows16(r->row, at + 128 + 16 * (size_t)h, high);
        vi_rows16(r->row, ql, a);
        vi_rows16(r->row, ql + 32, b);
        UNROLL
        for (int j = 0; j < 4; j++) {
            vi v = high[j], two = bytes(48);
            emit(k, g + j, vi_or(low4(a[j]), vi_and(vi_shl(v, 4), two)), 32, mode);
            emit(k, g + 8 + j, vi_or(low4(b[j]), vi_and(vi_shl(v, 2), two)), 32, mode);
            emit(k, g + 16 + j, vi_or(high4(a[j]), vi_and(v, two)), 32, mode);
            emit(k, g + 24 + j, vi_or(high4(b[j]), vi_and(vi_shr(v, 2), two)), 32, mode);
        }
    }
}

FOLD void un_q2_k(struct sink *k, const struct rows *r, size_t at, int mode)
{
    static const int8_t pair[2][16] = {
        {0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1},
        {2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15, -1}};
    vi t[4], d = vi_dwords(r->row, at + 80);
    vi_rows16(r->row, at, t);
    UNROLL
    for (int g = 0; g < 16; g++)
        k->p->sc[g] = byte_of(low4(t[g / 4]), g % 4);
    UNROLL
    for (int g = 0; g < 8; g++)
        k->p->mn[g] = vi_pick(high4(t[g / 2]), pair[g % 2]);
    k->p->d[0] = vi_f16(d);
    k->p->m[0] = vi_f16(vi_shr(d, 16));
    UNROLL
    for (int h = 0; h < 4; h++) {
        vi_rows16(r->row, at + 16 + 16 * (size_t)h, t);
        UNROLL
        for (int j = 0; j < 4; j++)
            UNROLL
        for (int s = 0; s < 4; s++)
            emit(k, h / 2 * 32 + h % 2 * 4 + 8 * s + j, vi_and(vi_shr(t[j], 2 * s), bytes(3)),
                 0, mode);
    }
}

/* 6-bit scales and d of Q3_K from the block's last bytes. */
FOLD void head_q3_k(struct panel *p, const struct rows *r, size_t at)
{
    vi t[4], a[4], s[3];
    vi_rows16(r->row, at + 94, t); /* two bytes early: the block ends behind d */
    UNROLL
    for (int j = 0; j < 3; j++)
        s[j] = vi_or(vi_shr(t[j], 16), vi_shl(t[j + 1], 16));
    UNROLL
    for (int j = 0; j < 4; j++) {
        vi low = j < 2 ? low4(s[j]) : high4(s[j - 2]);
        a[j] = vi_sub8(vi_or(low, vi_shl(vi_and(vi_shr(s[2], 2 * j), bytes(3)), 4)), bytes(32));
    }
    scales16(p, a);
    p->d[0] = vi_f16(vi_shr(t[3], 16));
}

FOLD void un_q3_k(struct sink *k, const struct rows *r, size_t at, int mode)
{
    head_q3_k(k->p, r, at);
    UNROLL
    for (int h = 0; h < 4; h++) { /* 16 bytes of qs, of half h / 2; hmask serves both halves */
        vi mask[4], t[4];
        vi_rows16(r->row, at + 16 * (size_t)(h % 2), mask);
        vi_rows16(r->row, at + 32 + 16 * (size_t)h, t);
        UNROLL
        for (int j = 0; j < 4; j++)
            UNROLL
        for (int s = 0; s < 4; s++) {
            vi top = vi_shl(vi_and(vi_shr(mask[j], h / 2 * 4 + s), bytes(1)), 2);
            vi v = vi_or(vi_and(vi_shr(t[j], 2 * s), bytes(3)), top);
            emit(k, h / 2 * 32 + h % 2 * 4 + 8 * s + j, v, 4, mode);
        }
    }
}

FOLD void un_iq4_xs(struct sink *k, const struct rows *r, size_t at, int mode)
{
    vi h = vi_dwords(r->row, at), l = vi_dwords(r->row, at + 4);
    k->p->d[0] = vi_f16(h);
    UNROLL
    for (int g = 0; g < 8; g++) {
        vi low = vi_and(vi_shr(l, 4 * g), vi_set1(15)),
           high = vi_and(vi_shr(h, 16 + 2 * g), vi_set1(3));
        vi sc = vi_sub(vi_or(low, vi_shl(high, 4)), vi_set1(32));
        k->p->sc[g] = sc;
        if (WOFF)
            k->p->mn[g] = vi_or(vi_and(sc, vi_set1(0xffff)), vi_shl(sc, 16));
    }
    UNROLL
    for (int g = 0; g < 8; g++) {
        vi lo[4], hi[4];
        nibbles(r, at + 8 + 16 * (size_t)g, lo, hi);
        table(lo, hi, slm_iq4_values);
        emit8(k, 8 * g, lo, hi, 128, mode);
    }
}
