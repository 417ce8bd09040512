/* Products in integers over the lanes of a vec_*.h: a lane is a weight row. VN rows of one stretch of
 * 256 weights are unpacked into a panel (a dword holds four weights of one row), which all rows of
 * activations then use; a row's float sum passes from panel to panel through the output itself. A
 * single row of activations takes the weights from the registers they are unpacked in. Either way
 * each output is computed by the very steps that fast_generic.c spells out, and has its bits,
 * whatever the tile and the instruction set.
 *
 * The including file gives the inner product:
 *   QP       vectors that four weights of VN rows take (1: bytes; 2: 16-bit, even and odd)
 *   WOFF     1: weights stay unsigned, and the sums are put right by the sums of the activations
 *   XCOPY    1: activations are copied to another form, by x_put; 0: taken where they are
 *   FR       activation rows of a tile
 *   PANELS   panels of a tile: 1 or 2
 *   q_put(dst, v)      stores weights given as dwords of four bytes
 *   q_dot(acc, q, x)   adds four weights' products with the activations at x
 *   x_put(dst, src)    copies 32 activations into 32 * QP bytes
 *   x_sums(sums, x, step, n)   sums of n blocks of 32 activations that are step bytes apart */

struct panel {
    vi q[64 * QP];
    vi sc[16], mn[8]; /* of 16 (or, twice as many, 32) weights; minima as pairs of 16 bits */
    vf d[8], m[8];    /* a block; 256: in [0], m is dmin */
};

/* Where VN rows of weights are: plain rows, or one packed group (dwords of the rows side by side). */
struct rows {
    const uint8_t *row[VN];
    const uint8_t *pack;
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
#define PACK 1
#define DIRECT 2
#define PAIRS 4 /* sums for each 16 weights */

/* The bytes that activations 4 g .. 4 g + 3 start at, from the first of a block of 256 (or 32). */
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
    if (!WOFF && off) v = vi_sub8(v, bytes((unsigned)off));
    if (mode & DIRECT) {
        vi q[QP], *s = &k->s[mode & PAIRS ? g / 4 : g / 8];
        q_put(q, v);
        *s = q_dot(*s, q, k->x + XAT(g));
    } else {
        q_put(k->p->q + (8 * k->b + g) * QP, v);
    }
}

/* Brings bytes [at, at + n) of the next rows near while these are computed: one stream in the order
 * of memory, where the panel's own loads go over VN rows at once. */
FOLD void fetch(const struct rows *r, size_t at, size_t n)
{
    for (uintptr_t p = r->next + at; p < r->next + at + n; p += 64) __builtin_prefetch((const void *)p, 0, 2);
}

/* Fields at byte `at` of all rows; of mode, PACK tells where. */
FOLD void get16(const struct rows *r, size_t at, vi *t, int mode)
{
    if (mode & PACK) {
        UNROLL
        for (size_t j = 0; j < 4; j++) t[j] = vi_load(r->pack + (at + 4 * j) * VN);
    } else {
        vi_rows16(r->row, at, t);
    }
}
FOLD vi get4(const struct rows *r, size_t at, int mode)
{
    return mode & PACK ? vi_load(r->pack + at * VN) : vi_dwords(r->row, at);
}
/* a float16 */
FOLD vf get2(const struct rows *r, size_t at, int mode)
{
    return mode & PACK ? vf_of_f16(r->pack + at * VN) : vf_f16_rows(r->row, at);
}

/* ---- 32-blocks ---- */

/* Sixteen bytes of nibbles: elements 0-15 low, 16-31 high. */
FOLD void nibbles(const struct rows *r, size_t at, vi *lo, vi *hi, int mode)
{
    vi t[4];
    get16(r, at, t, mode);
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
    nibbles(r, at + 2, lo, hi, mode);
    emit8(k, 0, lo, hi, 8, mode);
    k->p->d[k->b] = get2(r, at, mode);
}

FOLD void un_q4_1(struct sink *k, const struct rows *r, size_t at, int mode)
{
    vi lo[4], hi[4], dm = get4(r, at, mode);
    nibbles(r, at + 4, lo, hi, mode);
    emit8(k, 0, lo, hi, 0, mode);
    k->p->d[k->b] = vi_f16(dm);
    k->p->m[k->b] = vi_f16(vi_shr(dm, 16));
}

/* The fifth bits of eight dwords: bit 4 of each byte, from one dword a row. */
FOLD void fifth(vi h, vi *lo, vi *hi)
{
    static const int8_t spread[4][16] = {{0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12},
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
    nibbles(r, at + 6, lo, hi, mode);
    fifth(get4(r, at + 2, mode), lo, hi);
    emit8(k, 0, lo, hi, 16, mode);
    k->p->d[k->b] = get2(r, at, mode);
}

FOLD void un_q5_1(struct sink *k, const struct rows *r, size_t at, int mode)
{
    vi lo[4], hi[4], dm = get4(r, at, mode);
    nibbles(r, at + 8, lo, hi, mode);
    fifth(get4(r, at + 4, mode), lo, hi);
    emit8(k, 0, lo, hi, 0, mode);
    k->p->d[k->b] = vi_f16(dm);
    k->p->m[k->b] = vi_f16(vi_shr(dm, 16));
}

FOLD void un_q8_0(struct sink *k, const struct rows *r, size_t at, int mode)
{
    vi lo[4], hi[4];
    get16(r, at + 2, lo, mode);
    get16(r, at + 18, hi, mode);
    UNROLL
    for (int j = 0; j < 4; j++) { /* adds 128 */
        lo[j] = vi_sub8(lo[j], bytes(128));
        hi[j] = vi_sub8(hi[j], bytes(128));
    }
    emit8(k, 0, lo, hi, 128, mode);
    k->p->d[k->b] = get2(r, at, mode);
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
    nibbles(r, at + 2, lo, hi, mode);
    table(lo, hi, slm_iq4_values);
    emit8(k, 0, lo, hi, 128, mode);
    k->p->d[k->b] = get2(r, at, mode);
}

FOLD void un_mxfp4(struct sink *k, const struct rows *r, size_t at, int mode)
{
    vi lo[4], hi[4];
    float d[VN];
    nibbles(r, at + 1, lo, hi, mode);
    table(lo, hi, slm_fp4_values);
    emit8(k, 0, lo, hi, 128, mode);
    for (int j = 0; j < VN; j++) d[j] = slm_e8m0_half(r->row[j][at]);
    k->p->d[k->b] = vf_load(d);
}

/* ---- 256-blocks ---- */

/* 6-bit scales and minima of Q4_K and Q5_K from the block's first 16 bytes. */
FOLD void head_k(struct panel *p, const struct rows *r, size_t at, int mode)
{
    static const int8_t pair[4][16] = {{0, -1, 0, -1, 4, -1, 4, -1, 8, -1, 8, -1, 12, -1, 12, -1},
                                       {1, -1, 1, -1, 5, -1, 5, -1, 9, -1, 9, -1, 13, -1, 13, -1},
                                       {2, -1, 2, -1, 6, -1, 6, -1, 10, -1, 10, -1, 14, -1, 14, -1},
                                       {3, -1, 3, -1, 7, -1, 7, -1, 11, -1, 11, -1, 15, -1, 15, -1}};
    vi t[4];
    get16(r, at, t, mode);
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
    head_k(k->p, r, at, mode);
    UNROLL
    for (int c = 0; c < 8; c++) { /* 16 bytes: half of a low group and of a high group */
        vi lo[4], hi[4];
        nibbles(r, at + 16 + 16 * (size_t)c, lo, hi, mode);
        UNROLL
        for (int j = 0; j < 4; j++) {
            emit(k, c / 2 * 16 + c % 2 * 4 + j, lo[j], 0, mode);
            emit(k, c / 2 * 16 + c % 2 * 4 + 8 + j, hi[j], 0, mode);
        }
    }
}

FOLD void un_q5_k(struct sink *k, const struct rows *r, size_t at, int mode)
{
    head_k(k->p, r, at, mode);
    UNROLL
    for (int h = 0; h < 2; h++) {
        vi bit[4];
        get16(r, at + 16 + 16 * (size_t)h, bit, mode);
        UNROLL
        for (int c = 0; c < 4; c++) {
            vi lo[4], hi[4];
            nibbles(r, at + 48 + 32 * (size_t)c + 16 * (size_t)h, lo, hi, mode);
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
    for (int g = 0; g < 16; g++) p->sc[g] = sbyte_of(t[g / 4], g % 4);
    UNROLL
    for (int g = 0; WOFF && g < 8; g++)
        p->mn[g] = vi_or(vi_and(p->sc[2 * g], vi_set1(0xffff)), vi_shl(p->sc[2 * g + 1], 16));
}

FOLD void un_q6_k(struct sink *k, const struct rows *r, size_t at, int mode)
{
    vi t[4];
    get16(r, at + 192, t, mode);
    scales16(k->p, t);
    k->p->d[0] = get2(r, at + 208, mode);
    UNROLL
    for (int h = 0; h < 4; h++) { /* 16 bytes of qh: part (h & 1) of half h / 2 */
        vi high[4], a[4], b[4];
        int g = h / 2 * 32 + h % 2 * 4;
        size_t ql = at + (size_t)(h / 2 * 64 + h % 2 * 16);
        get16(r, at + 128 + 16 * (size_t)h, high, mode);
        get16(r, ql, a, mode);
        get16(r, ql + 32, b, mode);
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
    static const int8_t pair[2][16] = {{0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1},
                                       {2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15, -1}};
    vi t[4], d = get4(r, at + 80, mode);
    get16(r, at, t, mode);
    UNROLL
    for (int g = 0; g < 16; g++) k->p->sc[g] = byte_of(low4(t[g / 4]), g % 4);
    UNROLL
    for (int g = 0; g < 8; g++) k->p->mn[g] = vi_pick(high4(t[g / 2]), pair[g % 2]);
    k->p->d[0] = vi_f16(d);
    k->p->m[0] = vi_f16(vi_shr(d, 16));
    UNROLL
    for (int h = 0; h < 4; h++) {
        get16(r, at + 16 + 16 * (size_t)h, t, mode);
        UNROLL
        for (int j = 0; j < 4; j++)
            UNROLL
            for (int s = 0; s < 4; s++)
                emit(k, h / 2 * 32 + h % 2 * 4 + 8 * s + j, vi_and(vi_shr(t[j], 2 * s), bytes(3)), 0, mode);
    }
}

/* 6-bit scales and d of Q3_K from the block's last bytes. */
FOLD void head_q3_k(struct panel *p, const struct rows *r, size_t at, int mode)
{
    vi t[4], a[4], s[3];
    get16(r, at + 94, t, mode); /* two bytes early: the block ends behind d */
    UNROLL
    for (int j = 0; j < 3; j++) s[j] = vi_or(vi_shr(t[j], 16), vi_shl(t[j + 1], 16));
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
    head_q3_k(k->p, r, at, mode);
    UNROLL
    for (int h = 0; h < 4; h++) { /* 16 bytes of qs, of half h / 2; hmask serves both halves */
        vi mask[4], t[4];
        get16(r, at + 16 * (size_t)(h % 2), mask, mode);
        get16(r, at + 32 + 16 * (size_t)h, t, mode);
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
    vi h = get4(r, at, mode), l = get4(r, at + 4, mode);
    k->p->d[0] = vi_f16(h);
    UNROLL
    for (int g = 0; g < 8; g++) {
        vi low = vi_and(vi_shr(l, 4 * g), vi_set1(15)), high = vi_and(vi_shr(h, 16 + 2 * g), vi_set1(3));
        vi sc = vi_sub(vi_or(low, vi_shl(high, 4)), vi_set1(32));
        k->p->sc[g] = sc;
        if (WOFF) k->p->mn[g] = vi_or(vi_and(sc, vi_set1(0xffff)), vi_shl(sc, 16));
    }
    UNROLL
    for (int g = 0; g < 8; g++) {
        vi lo[4], hi[4];
        nibbles(r, at + 8 + 16 * (size_t)g, lo, hi, mode);
        table(lo, hi, slm_iq4_values);
        emit8(k, 8 * g, lo, hi, 128, mode);
    }
}

/* ---- tiles ---- */

/* What a type is: block sizes of weights and activations, and how its sums are put together. */
struct fast_type {
    size_t bytes, xbytes;
    int off; /* weights are unpacked this much too large */
    bool big, mins, pairs, q81;
};

/* One strip: up to PANELS * VN rows of weights with nx rows of activations. */
struct fast {
    float *out;
    size_t ldo;
    const uint8_t *x;
    size_t xs;
    int nx;
    size_t k;
    int rows;   /* of weights */
    int blocks; /* 32-blocks of the panel at hand */
    bool first; /* the panel at hand is the first: nothing to add to */
    size_t e;   /* its first weight in the row */
    const struct fast_type *t;
};

/* The stretch at hand of the first row of activations. */
FOLD const uint8_t *x_from(const struct fast *f)
{
    return f->x + f->e / (f->t->big ? 256 : 32) * f->t->xbytes;
}

/* Panel q's outputs at o. */
FOLD vf out_get(const struct fast *f, const float *o, int q)
{
    int n = f->rows - q * VN;
    if (f->first) return vf_zero();
    return n >= VN ? vf_load(o + q * VN) : n > 0 ? vf_loadn(o + q * VN, (size_t)n) : vf_zero();
}
FOLD void out_put(const struct fast *f, float *o, int q, vf v)
{
    int n = f->rows - q * VN;
    if (n >= VN)
        vf_store(o + q * VN, v);
    else if (n > 0)
        vf_storen(o + q * VN, v, (size_t)n);
}

/* What is read of one row's activations before its products: scales, and sums for the offset. */
struct x_head {
    float d[8], s[8];
    int fix[8]; /* -off * sum */
};

FOLD void x_read(struct x_head *h, uint8_t *xb, const struct fast *f, const uint8_t *x)
{
    size_t step = f->t->xbytes, head = step - 32;
    if (WOFF && f->t->off) {
        x_sums(h->fix, (const int8_t *)x + head, step, f->blocks);
        UNROLL
        for (int b = 0; b < 8; b++) h->fix[b] *= -f->t->off;
    }
    for (int b = 0; b < f->blocks; b++) {
        const uint8_t *s = x + (size_t)b * step;
        if (XCOPY) x_put(xb + 32 * QP * b, (const int8_t *)s + head);
        h->d[b] = f16_one_at(s);
        if (f->t->q81) h->s[b] = f16_one_at(s + 2);
    }
}

/* One step of fast_generic.c for a block. */
FOLD vf step32(vf acc, vi s, const struct panel *p, const struct x_head *h, int b, bool q81)
{
    acc = vf_add(acc, vf_mul(vi_float(s), vf_mul(p->d[b], vf_set1(h->d[b]))));
    return q81 ? vf_add(acc, vf_mul(p->m[b], vf_set1(h->s[b]))) : acc;
}

/* n rows of activations from row `from` on, np panels */
FOLD void tile32(const struct panel *const *p, const struct fast *f, int from, int n, int np, bool q81)
{
    const uint8_t *x = x_from(f) + (size_t)from * f->xs;
    float *out = f->out + (size_t)from * f->ldo;
    _Alignas(64) uint8_t xb[XCOPY ? FR : 1][XCOPY ? 256 * QP : 1];
    struct x_head h[FR];
    size_t step = XCOPY ? 32 * QP : f->t->xbytes;
    const uint8_t *xr[FR];
    vf acc[FR][PANELS];
    bool fix = WOFF && f->t->off;
    UNROLL
    for (int i = 0; i < n; i++) {
        const uint8_t *row = x + (size_t)i * f->xs;
        x_read(&h[i], xb[XCOPY ? i : 0], f, row);
        xr[i] = XCOPY ? xb[XCOPY ? i : 0] : row + f->t->xbytes - 32;
        UNROLL
        for (int q = 0; q < np; q++) acc[i][q] = out_get(f, out + (size_t)i * f->ldo, q);
    }
    for (int b = 0; b < f->blocks; b++) {
        vi s[FR][PANELS];
        UNROLL
        for (int i = 0; i < n; i++)
            UNROLL
            for (int q = 0; q < np; q++) s[i][q] = fix ? vi_set1(h[i].fix[b]) : vi_zero();
        UNROLL
        for (int g = 0; g < 8; g++)
            UNROLL
            for (int i = 0; i < n; i++)
                UNROLL
                for (int q = 0; q < np; q++)
                    s[i][q] = q_dot(s[i][q], p[q]->q + (b * 8 + g) * QP, xr[i] + (size_t)b * step + 4 * g);
        UNROLL
        for (int i = 0; i < n; i++)
            UNROLL
            for (int q = 0; q < np; q++) acc[i][q] = step32(acc[i][q], s[i][q], p[q], &h[i], b, q81);
    }
    UNROLL
    for (int i = 0; i < n; i++)
        UNROLL
        for (int q = 0; q < np; q++) out_put(f, out + (size_t)i * f->ldo, q, acc[i][q]);
}

/* The step of a 256-block: sum is that of scale * sum, the offset still in it. */
FOLD vf step256(vf acc, vi sum, const struct panel *p, const struct fast_type *t, const uint8_t *x)
{
    vi m = vi_zero();
    vf v;
    float dx;
    memcpy(&dx, x, 4);
    if (t->mins || (WOFF && t->off)) {
        UNROLL
        for (int g = 0; g < 8; g++) m = vi_madd(m, p->mn[g], vi_bcast(x + 260 + 4 * g));
    }
    if (WOFF && t->off) sum = vi_sub(sum, vi_mul(m, vi_set1(t->off)));
    v = vf_mul(p->d[0], vi_float(sum));
    if (t->mins) v = vf_sub(v, vf_mul(p->m[0], vi_float(m)));
    return vf_add(acc, vf_mul(vf_set1(dx), v));
}

FOLD void tile256(const struct panel *const *p, const struct fast *f, int from, int n, int np, bool pairs)
{
    const uint8_t *x = x_from(f) + (size_t)from * f->xs;
    _Alignas(64) uint8_t xb[XCOPY ? FR : 1][XCOPY ? 256 * QP : 1];
    const uint8_t *xr[FR];
    vi sum[FR][PANELS];
    UNROLL
    for (int i = 0; i < n; i++) {
        const uint8_t *row = x + (size_t)i * f->xs + 4;
        for (int b = 0; XCOPY && b < 8; b++) x_put(xb[XCOPY ? i : 0] + 32 * QP * b, (const int8_t *)row + 32 * b);
        xr[i] = XCOPY ? xb[XCOPY ? i : 0] : row;
        UNROLL
        for (int q = 0; q < np; q++) sum[i][q] = vi_zero();
    }
    for (int b = 0; b < 8; b++) {
        vi s[FR][PANELS];
        UNROLL
        for (int i = 0; i < n; i++)
            UNROLL
            for (int q = 0; q < np; q++) s[i][q] = vi_zero();
        UNROLL
        for (int g = 0; g < 8; g++) {
            if (g == 4 && pairs) {
                UNROLL
                for (int i = 0; i < n; i++)
                    UNROLL
                    for (int q = 0; q < np; q++) {
                        sum[i][q] = vi_add(sum[i][q], vi_mul(s[i][q], p[q]->sc[2 * b]));
                        s[i][q] = vi_zero();
                    }
            }
            UNROLL
            for (int i = 0; i < n; i++)
                UNROLL
                for (int q = 0; q < np; q++)
                    s[i][q] = q_dot(s[i][q], p[q]->q + (b * 8 + g) * QP, xr[i] + 32 * QP * b + 4 * g);
        }
        UNROLL
        for (int i = 0; i < n; i++)
            UNROLL
            for (int q = 0; q < np; q++)
                sum[i][q] = vi_add(sum[i][q], vi_mul(s[i][q], p[q]->sc[pairs ? 2 * b + 1 : b]));
    }
    UNROLL
    for (int i = 0; i < n; i++)
        UNROLL
        for (int q = 0; q < np; q++) {
            float *o = f->out + (size_t)(from + i) * f->ldo;
            out_put(f, o, q, step256(out_get(f, o, q), sum[i][q], p[q], f->t, x + (size_t)i * f->xs));
        }
}

#define FAST_TILES(NAME, TILE, NP, FLAG)                                                             \
    static __attribute__((noinline)) void NAME(const struct panel *const *p, const struct fast *f)   \
    {                                                                                                \
        int i = 0;                                                                                   \
        for (; i + FR <= f->nx; i += FR) TILE(p, f, i, FR, NP, FLAG);                                \
        for (; i + 2 <= f->nx; i += 2) TILE(p, f, i, 2, NP, FLAG);                                   \
        for (; i < f->nx; i++) TILE(p, f, i, 1, NP, FLAG);                                           \
    }
FAST_TILES(tiles_q8_0, tile32, 1, false)
FAST_TILES(tiles_q8_1, tile32, 1, true)
FAST_TILES(tiles_big, tile256, 1, false)
FAST_TILES(tiles_pairs, tile256, 1, true)
#if PANELS > 1
FAST_TILES(tiles2_q8_0, tile32, 2, false)
FAST_TILES(tiles2_q8_1, tile32, 2, true)
FAST_TILES(tiles2_big, tile256, 2, false)
FAST_TILES(tiles2_pairs, tile256, 2, true)
#endif
#define TILES_OF(t, pre) \
    ((t)->big ? (t)->pairs ? pre##_pairs : pre##_big : (t)->q81 ? pre##_q8_1 : pre##_q8_0)

/* ---- strips ---- */

typedef void unpack_fn(struct sink *k, const struct rows *r, size_t at, int mode);

/* Sets f to the 256 weights from e on. In these functions t, un and mode are constants. */
FOLD void strip_step(struct fast *f, size_t e)
{
    f->e = e;
    f->blocks = f->k - e < 256 ? (int)((f->k - e) / 32) : 8;
    f->first = e == 0;
}

/* Points r at the block that begins n blocks into the stretch; returns where the block is in a row. */
FOLD size_t block_at(struct rows *r, const struct rows *from, size_t n, const struct fast_type *t, int mode)
{
    if (mode & PACK) r->pack = from->pack + n * t->bytes * VN;
    return mode & PACK ? 0 : n * t->bytes;
}

FOLD void panel_fill(struct panel *p, const struct rows *from, const struct fast *f, const struct fast_type *t,
                     unpack_fn *un, int mode)
{
    struct rows r = *from;
    struct sink k;
    int n = t->big ? 1 : f->blocks;
    size_t first = f->e / (t->big ? 256 : 32);
    fetch(from, first * t->bytes * VN, (size_t)n * t->bytes * VN);
    k.p = p;
    for (int b = 0; b < n; b++) {
        k.b = b;
        un(&k, &r, block_at(&r, from, first + (size_t)b, t, mode), mode);
    }
}

FOLD void strip_one(struct fast *f, const struct rows *r, const struct fast_type *t, unpack_fn *un, int mode)
{
    struct panel p;
    const struct panel *ps[1] = {&p};
    for (size_t e = 0; e < f->k; e += 256) {
        strip_step(f, e);
        panel_fill(&p, r, f, t, un, mode);
        TILES_OF(t, tiles)(ps, f);
    }
}

#if PANELS > 1
/* The caller lends the first panel, as two do not fit the stack that one function may take. */
FOLD void strip_two(struct fast *f, const struct rows *r, struct panel *lent, const struct fast_type *t,
                    unpack_fn *un, int mode)
{
    struct panel p;
    const struct panel *ps[2] = {lent, &p};
    for (size_t e = 0; e < f->k; e += 256) {
        strip_step(f, e);
        panel_fill(lent, r, f, t, un, mode);
        panel_fill(&p, r + 1, f, t, un, mode);
        TILES_OF(t, tiles2)(ps, f);
    }
}
#endif

/* One row of activations: no panel but for the scales in it. */
FOLD void direct32(struct fast *f, const struct rows *from, const struct fast_type *t, unpack_fn *un, int mode)
{
    _Alignas(64) uint8_t xb[XCOPY ? 256 * QP : 1];
    struct panel p;
    struct sink k;
    struct rows r = *from;
    struct x_head h;
    vf acc = vf_zero();
    k.p = &p;
    for (size_t e = 0; e < f->k; e += 256) {
        strip_step(f, e);
        fetch(from, e / 32 * t->bytes * VN, (size_t)f->blocks * t->bytes * VN);
        x_read(&h, xb, f, x_from(f));
        for (int b = 0; b < f->blocks; b++) {
            k.b = b;
            k.x = XCOPY ? xb + 32 * QP * b : x_from(f) + (size_t)(b + 1) * t->xbytes - 32;
            k.s[0] = WOFF && t->off ? vi_set1(h.fix[b]) : vi_zero();
            un(&k, &r, block_at(&r, from, e / 32 + (size_t)b, t, mode), mode);
            acc = step32(acc, k.s[0], &p, &h, b, t->q81);
        }
    }
    out_put(f, f->out, 0, acc);
}

FOLD void direct256(struct fast *f, const struct rows *from, const struct fast_type *t, unpack_fn *un, int mode)
{
    _Alignas(64) uint8_t xb[XCOPY ? 256 * QP : 1];
    struct panel p;
    struct sink k;
    struct rows r = *from;
    vf acc = vf_zero();
    const int sums = mode & PAIRS ? 16 : 8;
    k.p = &p;
    k.b = 0;
    for (size_t e = 0; e < f->k; e += 256) {
        strip_step(f, e);
        fetch(from, e / 256 * t->bytes * VN, t->bytes * VN);
        const uint8_t *x = x_from(f);
        for (int b = 0; XCOPY && b < 8; b++) x_put(xb + 32 * QP * b, (const int8_t *)x + 4 + 32 * b);
        k.x = XCOPY ? xb : x + 4;
        UNROLL
        for (int i = 0; i < sums; i++) k.s[i] = vi_zero();
        un(&k, &r, block_at(&r, from, e / 256, t, mode), mode);
        vi sum = vi_mul(k.s[0], p.sc[0]);
        UNROLL
        for (int i = 1; i < sums; i++) sum = vi_add(sum, vi_mul(k.s[i], p.sc[i]));
        acc = step256(acc, sum, &p, t, x);
    }
    out_put(f, f->out, 0, acc);
}

struct strips {
    void (*many)(struct fast *f, const struct rows *r);
    void (*single)(struct fast *f, const struct rows *r);
};

struct fast_call {
    float *out;
    size_t ldo;
    const uint8_t *x;
    size_t xs;
    int nx;
    const uint8_t *w;
    size_t ws;
    int nw;
    size_t k;
};

/* VN rows from row j on, the last one standing in for those that are not there. */
FOLD void rows_at(struct rows *r, const struct fast_call *c, int j, bool pack)
{
    for (int v = 0; v < VN; v++) r->row[v] = pack ? NULL : c->w + (size_t)(j + v < c->nw ? j + v : c->nw - 1) * c->ws;
    r->pack = pack ? c->w + (size_t)j * c->ws : NULL;
    r->next = (uintptr_t)c->w + (size_t)(j + PANELS * VN) * c->ws;
}

/* w plain (ws apart) or, with pack, groups of VN rows. Rows of x that fit L2 pass under all weights. */
static void fast_run(const struct fast_call *c, const struct fast_type *t, const struct strips *strips, bool pack)
{
    int most = c->xs ? (int)(400000 / c->xs) / FR * FR : c->nx;
    if (most < 4 * FR) most = 4 * FR;
    for (int i = 0; i < c->nx && !c->k; i++) memset(c->out + (size_t)i * c->ldo, 0, (size_t)c->nw * sizeof *c->out);
    int step = c->nx == 1 ? VN : PANELS * VN;
    for (int i = 0; i < c->nx && c->k; i += most)
        for (int j = 0; j < c->nw; j += step) {
            struct rows r[PANELS];
            struct fast f = {.ldo = c->ldo, .xs = c->xs, .k = c->k, .t = t};
            f.rows = c->nw - j < step ? c->nw - j : step;
            for (int q = 0; q < PANELS && q * VN < f.rows; q++) rows_at(&r[q], c, j + q * VN, pack);
            if (step == VN) r->next = (uintptr_t)c->w + (size_t)(j + VN) * c->ws;
            f.nx = c->nx - i < most ? c->nx - i : most;
            f.x = c->x + (size_t)i * c->xs;
            f.out = c->out + (size_t)i * c->ldo + (size_t)j;
            (c->nx == 1 ? strips->single : strips->many)(&f, r);
        }
}

struct pack_from {
    const uint8_t *w;
    size_t ws;
    int rows;
    size_t blocks, bytes;
    size_t half; /* where the block has a field of two bytes; all others are dwords */
};

/* VN rows side by side, field by field; rows that are not there are zeros. */
static void pack_rows(uint8_t *out, const struct pack_from *c)
{
    for (int j = 0; j < c->rows; j += VN)
        for (size_t b = 0; b < c->blocks; b++)
            for (size_t at = 0, n; at < c->bytes; at += n) {
                n = at == c->half ? 2 : 4;
                for (int v = 0; v < VN; v++, out += n) {
                    if (j + v < c->rows)
                        memcpy(out, c->w + (size_t)(j + v) * c->ws + b * c->bytes + at, n);
                    else
                        memset(out, 0, n);
                }
            }
}

/* ---- the types ---- */

#if PANELS > 1
#define STRIP_TWO(id, type, un, mode)                                                                       \
    static __attribute__((noinline)) void two_##id(struct fast *f, const struct rows *r, struct panel *lent) \
    {                                                                                                       \
        strip_two(f, r, lent, &type, un, mode);                                                             \
    }
#define TRY_TWO(id)                 \
    if (f->rows > VN) {             \
        struct panel lent;          \
        two_##id(f, r, &lent);      \
        return;                     \
    }
#else
#define STRIP_TWO(id, type, un, mode)
#define TRY_TWO(id)
#endif

#define STRIPS(id, type, un, mode, flag, direct)                                                      \
    STRIP_TWO(id, type, un, mode)                                                                     \
    static __attribute__((noinline)) void alone_##id(struct fast *f, const struct rows *r)            \
    {                                                                                                 \
        strip_one(f, r, &type, un, mode);                                                             \
    }                                                                                                 \
    static __attribute__((noinline)) void many_##id(struct fast *f, const struct rows *r)             \
    {                                                                                                 \
        TRY_TWO(id)                                                                                   \
        alone_##id(f, r);                                                                             \
    }                                                                                                 \
    static __attribute__((noinline)) void single_##id(struct fast *f, const struct rows *r)           \
    {                                                                                                 \
        direct(f, r, &type, un, (mode) | (flag) | DIRECT);                                            \
    }                                                                                                 \
    static const struct strips strips_##id = {many_##id, single_##id};

#define FAST_TYPE(id, un, block, direct, flag, ...)                                                   \
    static const struct fast_type type_##id = {sizeof(block), __VA_ARGS__};                           \
    STRIPS(id, type_##id, un, 0, flag, direct)                                                        \
    static void fast_##id(float *out, size_t ldo, const void *x, size_t xs, int nx, const void *w,    \
                          size_t ws, int nw, size_t k)                                                \
    {                                                                                                 \
        struct fast_call c = {out, ldo, x, xs, nx, w, ws, nw, k};                                     \
        fast_run(&c, &type_##id, &strips_##id, false);                                                \
    }

#define FAST_PACK(id, un, half, direct, flag)                                                             \
    STRIPS(id##_packed, type_##id, un, PACK, flag, direct)                                                                        \
    static void packed_##id(float *out, size_t ldo, const void *x, size_t xs, int nx, const void *packed, \
                            int j0, int nw, size_t k)                                                     \
    {                                                                                                     \
        size_t ws = k / (type_##id.big ? 256 : 32) * type_##id.bytes;                                     \
        struct fast_call c = {out, ldo, x, xs, nx, (const uint8_t *)packed + (size_t)j0 * ws, ws, nw, k}; \
        fast_run(&c, &type_##id, &strips_##id##_packed, true);                                            \
    }                                                                                                     \
    static void pack_##id(void *out, const void *w, size_t ws, int rows, size_t k)                        \
    {                                                                                                     \
        struct pack_from from = {w, ws, rows, k / (type_##id.big ? 256 : 32), type_##id.bytes, half};     \
        pack_rows(out, &from);                                                                            \
    }                                                                                                     \
    static size_t bytes_##id(int rows, size_t k)                                                          \
    {                                                                                                     \
        return ((size_t)rows + VN - 1) / VN * VN * (k / (type_##id.big ? 256 : 32)) * type_##id.bytes;    \
    }

/* type, unpack, block, direct and its sums; activations' block, offset, 256?, minima?, pairs?, Q8_1? */
FAST_TYPE(Q4_0, un_q4_0, block_q4_0, direct32, 0, sizeof(block_q8_0), 8, false, false, false, false)
FAST_TYPE(Q4_1, un_q4_1, block_q4_1, direct32, 0, sizeof(block_q8_1), 0, false, false, false, true)
FAST_TYPE(Q5_0, un_q5_0, block_q5_0, direct32, 0, sizeof(block_q8_0), 16, false, false, false, false)
FAST_TYPE(Q5_1, un_q5_1, block_q5_1, direct32, 0, sizeof(block_q8_1), 0, false, false, false, true)
FAST_TYPE(Q8_0, un_q8_0, block_q8_0, direct32, 0, sizeof(block_q8_0), 128, false, false, false, false)
FAST_TYPE(IQ4_NL, un_iq4_nl, block_iq4_nl, direct32, 0, sizeof(block_q8_0), 128, false, false, false, false)
FAST_TYPE(MXFP4, un_mxfp4, block_mxfp4, direct32, 0, sizeof(block_q8_0), 128, false, false, false, false)
FAST_TYPE(Q2_K, un_q2_k, block_q2_K, direct256, PAIRS, sizeof(block_q8_K), 0, true, true, true, false)
FAST_TYPE(Q3_K, un_q3_k, block_q3_K, direct256, PAIRS, sizeof(block_q8_K), 4, true, false, true, false)
FAST_TYPE(Q4_K, un_q4_k, block_q4_K, direct256, 0, sizeof(block_q8_K), 0, true, true, false, false)
FAST_TYPE(Q5_K, un_q5_k, block_q5_K, direct256, 0, sizeof(block_q8_K), 0, true, true, false, false)
FAST_TYPE(Q6_K, un_q6_k, block_q6_K, direct256, PAIRS, sizeof(block_q8_K), 32, true, false, true, false)
FAST_TYPE(IQ4_XS, un_iq4_xs, block_iq4_xs, direct256, 0, sizeof(block_q8_K), 128, true, false, false, false)

/* type, unpack, the field of two bytes; direct and its sums */
FAST_PACK(Q4_0, un_q4_0, 0, direct32, 0)
FAST_PACK(Q8_0, un_q8_0, 0, direct32, 0)
FAST_PACK(Q4_K, un_q4_k, SIZE_MAX, direct256, 0)
FAST_PACK(Q5_K, un_q5_k, SIZE_MAX, direct256, 0)
FAST_PACK(Q6_K, un_q6_k, 208, direct256, PAIRS)

static void fill_fast(struct slm_kern *k)
{
#define PUT(id) k->mul_fast[SLM_##id] = fast_##id;
    PUT(Q4_0) PUT(Q4_1) PUT(Q5_0) PUT(Q5_1) PUT(Q8_0) PUT(IQ4_NL) PUT(MXFP4)
    PUT(Q2_K) PUT(Q3_K) PUT(Q4_K) PUT(Q5_K) PUT(Q6_K) PUT(IQ4_XS)
#undef PUT
#define PUT(id) k->packed[SLM_##id] = (struct slm_packed){bytes_##id, pack_##id, packed_##id, VN};
    PUT(Q4_0) PUT(Q8_0) PUT(Q4_K) PUT(Q5_K) PUT(Q6_K)
#undef PUT
}
