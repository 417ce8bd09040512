/* Products in integers over the lanes of a vec_*.h: a lane is a weight row. VN rows of one stretch of
 * 256 weights are unpacked into a panel (a dword holds four weights of one row), which all rows of
 * activations then use; a row's float sum passes from panel to panel through the output itself. So
 * each output is computed by the very steps that fast_generic.c spells out, and has its bits, whatever
 * the tile and the instruction set.
 *
 * The including file gives the inner product:
 *   QP           vectors that four weights of VN rows take (1: bytes; 2: 16-bit, even and odd)
 *   XOFF         what the copy of the activations has added to each (128 where they must be unsigned)
 *   FR           activation rows of a tile
 *   q_put(dst, v)       stores weights given as dwords of four int8
 *   x_put(dst, src)     copies 32 activations into 32 * QP bytes
 *   q_dot(acc, q, x)    adds four weights' products with the activations at x */



struct panel {
    vi q[64 * QP];
    vi sc[16], mn[8]; /* of 16 (or, twice as many, 32) weights; minima as pairs of 16 bits */
    vi fix[8];        /* what XOFF makes a sum too large by: a block (256: in fix[0]) */
    vf d[8], m[8];    /* a block; 256: in [0], m is dmin */
};

/* Where VN rows of weights are: plain rows, or one packed group (dwords of the rows side by side). */
struct rows {
    const uint8_t *row[VN];
    const uint8_t *pack;
    uintptr_t next; /* where the rows after these begin */
};

/* Brings bytes [at, at + n) of the next rows near while these are computed: one stream in the order
 * of memory, where the panel's own loads go over VN rows at once. */
FOLD void fetch(const struct rows *r, size_t at, size_t n)
{
    for (uintptr_t p = r->next + at; p < r->next + at + n; p += 64) __builtin_prefetch((const void *)p, 0, 2);
}

/* Fields at byte `at` of all rows; `pack` is a constant wherever these are used. */
FOLD void get16(const struct rows *r, size_t at, vi *t, int pack)
{
    if (pack) {
        UNROLL
        for (size_t j = 0; j < 4; j++) t[j] = vi_load(r->pack + (at + 4 * j) * VN);
    } else {
        vi_rows16(r->row, at, t);
    }
}
FOLD vi get4(const struct rows *r, size_t at, int pack)
{
    return pack ? vi_load(r->pack + at * VN) : vi_dwords(r->row, at);
}
FOLD vi get2(const struct rows *r, size_t at, int pack)
{
    return pack ? vi_load_halves(r->pack + at * VN) : vi_halves(r->row, at);
}

FOLD vi bytes(int x) { return vi_set1(x * 0x01010101); }
FOLD vi low4(vi v) { return vi_and(v, bytes(15)); }
FOLD vi high4(vi v) { return vi_and(vi_shr(v, 4), bytes(15)); }
/* byte i of every dword, as a number */
FOLD vi byte_of(vi v, int i) { return vi_and(vi_shr(v, 8 * i), vi_set1(255)); }
FOLD vi sbyte_of(vi v, int i) { return vi_sar(vi_shl(v, 24 - 8 * i), 24); }

/* ---- 32-blocks: q is the place of the block's eight dwords ---- */

/* Sixteen bytes of nibbles: elements 0-15 low, 16-31 high. */
FOLD void nibbles(const struct rows *r, size_t at, vi *lo, vi *hi, int pack)
{
    vi t[4];
    get16(r, at, t, pack);
    UNROLL
    for (int j = 0; j < 4; j++) {
        lo[j] = low4(t[j]);
        hi[j] = high4(t[j]);
    }
}

FOLD void put8(vi *q, const vi *lo, const vi *hi)
{
    UNROLL
    for (int j = 0; j < 4; j++) {
        q_put(q + j * QP, lo[j]);
        q_put(q + (4 + j) * QP, hi[j]);
    }
}

FOLD void un_q4_0(struct panel *p, const struct rows *r, size_t at, int b, int pack)
{
    vi lo[4], hi[4];
    nibbles(r, at + 2, lo, hi, pack);
    UNROLL
    for (int j = 0; j < 4; j++) {
        lo[j] = vi_sub8(lo[j], bytes(8));
        hi[j] = vi_sub8(hi[j], bytes(8));
    }
    put8(p->q + b * 8 * QP, lo, hi);
    p->d[b] = vi_f16(get2(r, at, pack));
}

FOLD void un_q4_1(struct panel *p, const struct rows *r, size_t at, int b, int pack)
{
    vi lo[4], hi[4], dm = get4(r, at, pack);
    nibbles(r, at + 4, lo, hi, pack);
    put8(p->q + b * 8 * QP, lo, hi);
    p->d[b] = vi_f16(dm);
    p->m[b] = vi_f16(vi_shr(dm, 16));
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

FOLD void un_q5_0(struct panel *p, const struct rows *r, size_t at, int b, int pack)
{
    vi lo[4], hi[4];
    nibbles(r, at + 6, lo, hi, pack);
    fifth(get4(r, at + 2, pack), lo, hi);
    UNROLL
    for (int j = 0; j < 4; j++) {
        lo[j] = vi_sub8(lo[j], bytes(16));
        hi[j] = vi_sub8(hi[j], bytes(16));
    }
    put8(p->q + b * 8 * QP, lo, hi);
    p->d[b] = vi_f16(get2(r, at, pack));
}

FOLD void un_q5_1(struct panel *p, const struct rows *r, size_t at, int b, int pack)
{
    vi lo[4], hi[4], dm = get4(r, at, pack);
    nibbles(r, at + 8, lo, hi, pack);
    fifth(get4(r, at + 4, pack), lo, hi);
    put8(p->q + b * 8 * QP, lo, hi);
    p->d[b] = vi_f16(dm);
    p->m[b] = vi_f16(vi_shr(dm, 16));
}

FOLD void un_q8_0(struct panel *p, const struct rows *r, size_t at, int b, int pack)
{
    vi lo[4], hi[4];
    get16(r, at + 2, lo, pack);
    get16(r, at + 18, hi, pack);
    put8(p->q + b * 8 * QP, lo, hi);
    p->d[b] = vi_f16(get2(r, at, pack));
}

FOLD void table(vi *lo, vi *hi, const int8_t *values)
{
    UNROLL
    for (int j = 0; j < 4; j++) {
        lo[j] = vi_lut(lo[j], values);
        hi[j] = vi_lut(hi[j], values);
    }
}

FOLD void un_iq4_nl(struct panel *p, const struct rows *r, size_t at, int b, int pack)
{
    vi lo[4], hi[4];
    nibbles(r, at + 2, lo, hi, pack);
    table(lo, hi, slm_iq4_values);
    put8(p->q + b * 8 * QP, lo, hi);
    p->d[b] = vi_f16(get2(r, at, pack));
}

FOLD void un_mxfp4(struct panel *p, const struct rows *r, size_t at, int b, int pack)
{
    vi lo[4], hi[4];
    float d[VN];
    nibbles(r, at + 1, lo, hi, pack);
    table(lo, hi, slm_fp4_values);
    put8(p->q + b * 8 * QP, lo, hi);
    for (int j = 0; j < VN; j++) d[j] = slm_e8m0_half(r->row[j][at]);
    p->d[b] = vf_load(d);
}

/* ---- 256-blocks ---- */

/* 6-bit scales and minima of Q4_K and Q5_K from the block's first 16 bytes. */
FOLD void head_k(struct panel *p, const struct rows *r, size_t at, int pack)
{
    static const int8_t pair[4][16] = {{0, -1, 0, -1, 4, -1, 4, -1, 8, -1, 8, -1, 12, -1, 12, -1},
                                       {1, -1, 1, -1, 5, -1, 5, -1, 9, -1, 9, -1, 13, -1, 13, -1},
                                       {2, -1, 2, -1, 6, -1, 6, -1, 10, -1, 10, -1, 14, -1, 14, -1},
                                       {3, -1, 3, -1, 7, -1, 7, -1, 11, -1, 11, -1, 15, -1, 15, -1}};
    vi t[4];
    get16(r, at, t, pack);
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

FOLD void un_q4_k(struct panel *p, const struct rows *r, size_t at, int pack)
{
    head_k(p, r, at, pack);
    for (size_t c = 0; c < 8; c++) { /* 16 bytes: half of a low group and of a high group */
        vi lo[4], hi[4], *q = p->q + (c / 2 * 16 + c % 2 * 4) * QP;
        nibbles(r, at + 16 + 16 * c, lo, hi, pack);
        UNROLL
        for (int j = 0; j < 4; j++) {
            q_put(q + j * QP, lo[j]);
            q_put(q + (8 + j) * QP, hi[j]);
        }
    }
}

FOLD void un_q5_k(struct panel *p, const struct rows *r, size_t at, int pack)
{
    head_k(p, r, at, pack);
    for (size_t h = 0; h < 2; h++) {
        vi bit[4];
        get16(r, at + 16 + 16 * h, bit, pack);
        for (size_t c = 0; c < 4; c++) {
            vi lo[4], hi[4], *q = p->q + (c * 16 + h * 4) * QP;
            nibbles(r, at + 48 + 32 * c + 16 * h, lo, hi, pack);
            UNROLL
            for (int j = 0; j < 4; j++) {
                lo[j] = vi_or(lo[j], vi_shl(vi_and(bit[j], bytes(1)), 4));
                hi[j] = vi_or(hi[j], vi_shl(vi_and(bit[j], bytes(2)), 3));
                bit[j] = vi_shr(bit[j], 2);
                q_put(q + j * QP, lo[j]);
                q_put(q + (8 + j) * QP, hi[j]);
            }
        }
    }
}

/* t[0..4) of 16 signed byte scales */
FOLD void scales16(struct panel *p, const vi *t)
{
    UNROLL
    for (int g = 0; g < 16; g++) p->sc[g] = sbyte_of(t[g / 4], g % 4);
}

FOLD void un_q6_k(struct panel *p, const struct rows *r, size_t at, int pack)
{
    vi t[4];
    get16(r, at + 192, t, pack);
    scales16(p, t);
    p->d[0] = vi_f16(get2(r, at + 208, pack));
    for (size_t h = 0; h < 4; h++) { /* 16 bytes of qh: part (h & 1) of half h / 2 */
        vi high[4], a[4], b[4], *q = p->q + (h / 2 * 32 + h % 2 * 4) * QP;
        size_t ql = at + h / 2 * 64 + h % 2 * 16;
        get16(r, at + 128 + 16 * h, high, pack);
        get16(r, ql, a, pack);
        get16(r, ql + 32, b, pack);
        UNROLL
        for (int j = 0; j < 4; j++) {
            vi g = high[j], two = bytes(48), off = bytes(32);
            q_put(q + j * QP, vi_sub8(vi_or(low4(a[j]), vi_and(vi_shl(g, 4), two)), off));
            q_put(q + (8 + j) * QP, vi_sub8(vi_or(low4(b[j]), vi_and(vi_shl(g, 2), two)), off));
            q_put(q + (16 + j) * QP, vi_sub8(vi_or(high4(a[j]), vi_and(g, two)), off));
            q_put(q + (24 + j) * QP, vi_sub8(vi_or(high4(b[j]), vi_and(vi_shr(g, 2), two)), off));
        }
    }
}

FOLD void un_q2_k(struct panel *p, const struct rows *r, size_t at, int pack)
{
    static const int8_t pair[2][16] = {{0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1},
                                       {2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15, -1}};
    vi t[4], d = get4(r, at + 80, pack);
    get16(r, at, t, pack);
    UNROLL
    for (int g = 0; g < 16; g++) p->sc[g] = byte_of(low4(t[g / 4]), g % 4);
    UNROLL
    for (int g = 0; g < 8; g++) p->mn[g] = vi_pick(high4(t[g / 2]), pair[g % 2]);
    p->d[0] = vi_f16(d);
    p->m[0] = vi_f16(vi_shr(d, 16));
    for (size_t h = 0; h < 4; h++) {
        vi *q = p->q + (h / 2 * 32 + h % 2 * 4) * QP;
        get16(r, at + 16 + 16 * h, t, pack);
        UNROLL
        for (int j = 0; j < 4; j++)
            UNROLL
            for (int s = 0; s < 4; s++) q_put(q + (8 * s + j) * QP, vi_and(vi_shr(t[j], 2 * s), bytes(3)));
    }
}

FOLD void un_q3_k(struct panel *p, const struct rows *r, size_t at, int pack)
{
    vi t[4], a[4], s[3];
    get16(r, at + 94, t, pack); /* two bytes early: the block ends behind d */
    UNROLL
    for (int j = 0; j < 3; j++) s[j] = vi_or(vi_shr(t[j], 16), vi_shl(t[j + 1], 16));
    UNROLL
    for (int j = 0; j < 4; j++) {
        vi low = j < 2 ? low4(s[j]) : high4(s[j - 2]);
        a[j] = vi_sub8(vi_or(low, vi_shl(vi_and(vi_shr(s[2], 2 * j), bytes(3)), 4)), bytes(32));
    }
    scales16(p, a);
    p->d[0] = vi_f16(vi_shr(t[3], 16));
    for (size_t h = 0; h < 2; h++) { /* the bytes h * 16.. of hmask serve both halves */
        vi mask[4];
        get16(r, at + 16 * h, mask, pack);
        for (size_t half = 0; half < 2; half++) {
            vi *q = p->q + (half * 32 + h * 4) * QP;
            get16(r, at + 32 + 32 * half + 16 * h, t, pack);
            UNROLL
            for (int j = 0; j < 4; j++) {
                UNROLL
                for (int k = 0; k < 4; k++) {
                    vi v = vi_or(vi_and(vi_shr(t[j], 2 * k), bytes(3)), vi_shl(vi_and(vi_shr(mask[j], k), bytes(1)), 2));
                    q_put(q + (8 * k + j) * QP, vi_sub8(v, bytes(4)));
                }
                mask[j] = vi_shr(mask[j], 4);
            }
        }
    }
}

FOLD void un_iq4_xs(struct panel *p, const struct rows *r, size_t at, int pack)
{
    vi h = get4(r, at, pack), l = get4(r, at + 4, pack);
    p->d[0] = vi_f16(h);
    UNROLL
    for (int g = 0; g < 8; g++) {
        vi low = vi_and(vi_shr(l, 4 * g), vi_set1(15)), high = vi_and(vi_shr(h, 16 + 2 * g), vi_set1(3));
        p->sc[g] = vi_sub(vi_or(low, vi_shl(high, 4)), vi_set1(32));
    }
    for (size_t g = 0; g < 8; g++) {
        vi lo[4], hi[4];
        nibbles(r, at + 8 + 16 * g, lo, hi, pack);
        table(lo, hi, slm_iq4_values);
        put8(p->q + g * 8 * QP, lo, hi);
    }
}

/* ---- tiles ---- */

struct fast {
    float *out;
    size_t ldo;
    const uint8_t *x;
    size_t xs;
    int nx;
    size_t k;
    int rows;    /* of this panel: <= VN */
    int blocks;  /* of this panel: 32-blocks */
    bool first;
    bool mins, pairs; /* 256: has minima; groups are of 16 */
    enum slm_dtype xt;
};

FOLD vf out_get(const struct fast *f, const float *o)
{
    if (f->first) return vf_zero();
    return f->rows == VN ? vf_load(o) : vf_loadn(o, (size_t)f->rows);
}
FOLD void out_put(const struct fast *f, float *o, vf v)
{
    if (f->rows == VN)
        vf_store(o, v);
    else
        vf_storen(o, v, (size_t)f->rows);
}

/* x and out of the tile's first row; n rows */
FOLD void tile32(const struct panel *p, const struct fast *f, const uint8_t *x, float *out, int n, int q81)
{
    _Alignas(64) uint8_t xb[FR][256 * QP];
    float dx[FR][8], sx[FR][8];
    size_t head = q81 ? 4 : 2;
    for (int i = 0; i < n; i++)
        for (int b = 0; b < f->blocks; b++) {
            const uint8_t *s = x + (size_t)i * f->xs + (size_t)b * (head + 32);
            x_put(xb[i] + 32 * QP * b, (const int8_t *)s + head);
            dx[i][b] = f16_one_at(s);
            sx[i][b] = q81 ? f16_one_at(s + 2) : 0;
        }
    vf acc[FR];
    UNROLL
    for (int i = 0; i < n; i++) acc[i] = out_get(f, out + (size_t)i * f->ldo);
    for (int b = 0; b < f->blocks; b++) {
        vi s[FR];
        UNROLL
        for (int i = 0; i < n; i++) s[i] = XOFF ? p->fix[b] : vi_zero();
        UNROLL
        for (int g = 0; g < 8; g++)
            UNROLL
            for (int i = 0; i < n; i++) s[i] = q_dot(s[i], p->q + (b * 8 + g) * QP, xb[i] + 32 * QP * b + 4 * g);
        UNROLL
        for (int i = 0; i < n; i++) {
            acc[i] = vf_add(acc[i], vf_mul(vi_float(s[i]), vf_mul(p->d[b], vf_set1(dx[i][b]))));
            if (q81) acc[i] = vf_add(acc[i], vf_mul(p->m[b], vf_set1(sx[i][b])));
        }
    }
    UNROLL
    for (int i = 0; i < n; i++) out_put(f, out + (size_t)i * f->ldo, acc[i]);
}

FOLD void tile256(const struct panel *p, const struct fast *f, const uint8_t *x, float *out, int n)
{
    _Alignas(64) uint8_t xb[FR][256 * QP];
    for (int i = 0; i < n; i++)
        for (int b = 0; b < 8; b++) x_put(xb[i] + 32 * QP * b, (const int8_t *)x + (size_t)i * f->xs + 4 + 32 * b);
    vi sum[FR];
    UNROLL
    for (int i = 0; i < n; i++) sum[i] = XOFF ? p->fix[0] : vi_zero();
    for (int b = 0; b < 8; b++) {
        vi s[FR];
        UNROLL
        for (int i = 0; i < n; i++) s[i] = vi_zero();
        UNROLL
        for (int g = 0; g < 4; g++)
            UNROLL
            for (int i = 0; i < n; i++) s[i] = q_dot(s[i], p->q + (b * 8 + g) * QP, xb[i] + 32 * QP * b + 4 * g);
        if (f->pairs) {
            UNROLL
            for (int i = 0; i < n; i++) {
                sum[i] = vi_add(sum[i], vi_mul(s[i], p->sc[2 * b]));
                s[i] = vi_zero();
            }
        }
        UNROLL
        for (int g = 4; g < 8; g++)
            UNROLL
            for (int i = 0; i < n; i++) s[i] = q_dot(s[i], p->q + (b * 8 + g) * QP, xb[i] + 32 * QP * b + 4 * g);
        vi sc = p->sc[f->pairs ? 2 * b + 1 : b];
        UNROLL
        for (int i = 0; i < n; i++) sum[i] = vi_add(sum[i], vi_mul(s[i], sc));
    }
    UNROLL
    for (int i = 0; i < n; i++) {
        const uint8_t *xr = x + (size_t)i * f->xs;
        float *o = out + (size_t)i * f->ldo, dx;
        memcpy(&dx, xr, 4);
        vf v = vf_mul(p->d[0], vi_float(sum[i]));
        if (f->mins) {
            vi m = vi_zero();
            UNROLL
            for (int g = 0; g < 8; g++) m = vi_madd(m, p->mn[g], vi_bcast(xr + 260 + 4 * g));
            v = vf_sub(v, vf_mul(p->m[0], vi_float(m)));
        }
        out_put(f, o, vf_add(out_get(f, o), vf_mul(vf_set1(dx), v)));
    }
}

#define FAST_TILES(NAME, CALL)                                                                               \
    static __attribute__((noinline)) void tiles_##NAME(const struct panel *p, const struct fast *f,          \
                                                       const uint8_t *x, float *out, int n)                  \
    {                                                                                                        \
        int i = 0;                                                                                           \
        for (; i + FR <= n; i += FR) CALL(FR);                                                               \
        for (; i + 4 <= n; i += 4) CALL(4);                                                                  \
        for (; i < n; i++) CALL(1);                                                                          \
    }
#define CALL_Q8_0(N) tile32(p, f, x + (size_t)i * f->xs, out + (size_t)i * f->ldo, N, 0)
#define CALL_Q8_1(N) tile32(p, f, x + (size_t)i * f->xs, out + (size_t)i * f->ldo, N, 1)
#define CALL_Q8_K(N) tile256(p, f, x + (size_t)i * f->xs, out + (size_t)i * f->ldo, N)
FAST_TILES(q8_0, CALL_Q8_0)
FAST_TILES(q8_1, CALL_Q8_1)
FAST_TILES(q8_k, CALL_Q8_K)

/* Corrections for activations that were made unsigned: 128 times the sum of the weights. */
FOLD void fix32(struct panel *p, int blocks)
{
    for (int b = 0; XOFF && b < blocks; b++) {
        vi s = vi_zero();
        UNROLL
        for (int g = 0; g < 8; g++) s = q_dot(s, p->q + (b * 8 + g) * QP, ones);
        p->fix[b] = vi_sub(vi_zero(), vi_shl(s, 7));
    }
}
FOLD void fix256(struct panel *p, bool pairs)
{
    vi all = vi_zero();
    for (int b = 0; XOFF && b < 16; b++) {
        vi s = vi_zero();
        UNROLL
        for (int g = 0; g < 4; g++) s = q_dot(s, p->q + (b * 4 + g) * QP, ones);
        all = vi_add(all, vi_mul(s, p->sc[pairs ? b : b / 2]));
    }
    p->fix[0] = vi_sub(vi_zero(), vi_shl(all, 7));
}

/* ---- calls ---- */

struct fast_type {
    size_t bytes, xbytes; /* of a block of weights and of activations */
    bool big, mins, pairs;
    enum slm_dtype xt;
};

typedef void fill32_fn(struct panel *p, const struct rows *r, size_t at, int b, int pack);
typedef void fill256_fn(struct panel *p, const struct rows *r, size_t at, int pack);

/* One panel's worth: rows of weights with all rows of x from i0 to i1. */
FOLD void strip32(struct fast *f, const struct rows *from, const struct fast_type *t, fill32_fn *un, int pack)
{
    struct panel p;
    struct rows r = *from;
    for (size_t e = 0; e < f->k; e += 256) {
        f->blocks = f->k - e < 256 ? (int)((f->k - e) / 32) : 8;
        f->first = e == 0;
        fetch(from, e / 32 * t->bytes * VN, (size_t)f->blocks * t->bytes * VN);
        for (int b = 0; b < f->blocks; b++) {
            size_t at = (e / 32 + (size_t)b) * t->bytes;
            if (pack) r.pack = from->pack + at * VN;
            un(&p, &r, pack ? 0 : at, b, pack);
        }
        fix32(&p, f->blocks);
        const uint8_t *x = f->x + e / 32 * t->xbytes;
        if (t->xt == SLM_Q8_1)
            tiles_q8_1(&p, f, x, f->out, f->nx);
        else
            tiles_q8_0(&p, f, x, f->out, f->nx);
    }
}

FOLD void strip256(struct fast *f, const struct rows *from, const struct fast_type *t, fill256_fn *un, int pack)
{
    struct panel p;
    struct rows r = *from;
    f->mins = t->mins;
    f->pairs = t->pairs;
    for (size_t b = 0; b < f->k / 256; b++) {
        f->first = b == 0;
        fetch(from, b * t->bytes * VN, t->bytes * VN);
        if (pack) r.pack = from->pack + b * t->bytes * VN;
        un(&p, &r, pack ? 0 : b * t->bytes, pack);
        fix256(&p, t->pairs);
        tiles_q8_k(&p, f, f->x + b * t->xbytes, f->out, f->nx);
    }
}

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

typedef void strip_fn(struct fast *f, const struct rows *r);

/* w plain (ws apart) or, with pack, groups of VN rows. Rows of x that fit L2 pass under all weights. */
static void fast_run(const struct fast_call *c, strip_fn *strip, bool pack)
{
    int rows = c->xs ? (int)(400000 / c->xs) / FR * FR : c->nx;
    if (rows < 4 * FR) rows = 4 * FR;
    for (int i = 0; i < c->nx && !c->k; i++) memset(c->out + (size_t)i * c->ldo, 0, (size_t)c->nw * sizeof *c->out);
    if (!c->k) return;
    for (int i = 0; i < c->nx; i += rows)
        for (int j = 0; j < c->nw; j += VN) {
            struct rows r;
            struct fast f = {.ldo = c->ldo, .xs = c->xs, .k = c->k};
            f.rows = c->nw - j < VN ? c->nw - j : VN;
            for (int v = 0; v < VN; v++)
                r.row[v] = pack ? NULL : c->w + (size_t)(j + (v < f.rows ? v : f.rows - 1)) * c->ws;
            r.pack = pack ? c->w + (size_t)(j / VN) * VN * c->ws : NULL;
            r.next = (uintptr_t)c->w + (size_t)(j + VN) * c->ws;
            f.nx = c->nx - i < rows ? c->nx - i : rows;
            f.x = c->x + (size_t)i * c->xs;
            f.out = c->out + (size_t)i * c->ldo + (size_t)j;
            strip(&f, &r);
        }
}

#define FAST_TYPE(id, un, xblock, big, mins, pairs, xt) \
    static const struct fast_type type_##id = {sizeof(block_##id), sizeof(xblock), big, mins, pairs, xt};
#define FAST_PLAIN(id, un, strip)                                                                         \
    static __attribute__((noinline)) void strip_##id(struct fast *f, const struct rows *r)                \
    {                                                                                                     \
        strip(f, r, &type_##id, un, 0);                                                                   \
    }                                                                                                     \
    static void fast_##id(float *out, size_t ldo, const void *x, size_t xs, int nx, const void *w,        \
                          size_t ws, int nw, size_t k)                                                    \
    {                                                                                                     \
        struct fast_call c = {out, ldo, x, xs, nx, w, ws, nw, k};                                         \
        fast_run(&c, strip_##id, false);                                                                  \
    }
#define FAST_PACKED(id, un, strip, half)                                                                  \
    static __attribute__((noinline)) void pstrip_##id(struct fast *f, const struct rows *r)               \
    {                                                                                                     \
        strip(f, r, &type_##id, un, 1);                                                                   \
    }                                                                                                     \
    static void packed_##id(float *out, size_t ldo, const void *x, size_t xs, int nx, const void *packed, \
                            int j0, int nw, size_t k)                                                     \
    {                                                                                                     \
        size_t ws = k / (type_##id.big ? 256 : 32) * type_##id.bytes;                                     \
        struct fast_call c = {out, ldo, x, xs, nx, (const uint8_t *)packed + (size_t)j0 * ws, ws, nw, k}; \
        fast_run(&c, pstrip_##id, true);                                                                  \
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

typedef block_q4_0 block_Q4_0;
typedef block_q4_1 block_Q4_1;
typedef block_q5_0 block_Q5_0;
typedef block_q5_1 block_Q5_1;
typedef block_q8_0 block_Q8_0;
typedef block_iq4_nl block_IQ4_NL;
typedef block_mxfp4 block_MXFP4;
typedef block_q2_K block_Q2_K;
typedef block_q3_K block_Q3_K;
typedef block_q4_K block_Q4_K;
typedef block_q5_K block_Q5_K;
typedef block_q6_K block_Q6_K;
typedef block_iq4_xs block_IQ4_XS;

/* type, unpack, activations' block, 256?, minima?, groups of 16?, partner */
#define FAST_TYPES(X)                                                       \
    X(Q4_0, un_q4_0, block_q8_0, false, false, false, SLM_Q8_0, strip32)    \
    X(Q4_1, un_q4_1, block_q8_1, false, false, false, SLM_Q8_1, strip32)    \
    X(Q5_0, un_q5_0, block_q8_0, false, false, false, SLM_Q8_0, strip32)    \
    X(Q5_1, un_q5_1, block_q8_1, false, false, false, SLM_Q8_1, strip32)    \
    X(Q8_0, un_q8_0, block_q8_0, false, false, false, SLM_Q8_0, strip32)    \
    X(IQ4_NL, un_iq4_nl, block_q8_0, false, false, false, SLM_Q8_0, strip32) \
    X(MXFP4, un_mxfp4, block_q8_0, false, false, false, SLM_Q8_0, strip32)  \
    X(Q2_K, un_q2_k, block_q8_K, true, true, true, SLM_Q8_K, strip256)      \
    X(Q3_K, un_q3_k, block_q8_K, true, false, true, SLM_Q8_K, strip256)     \
    X(Q4_K, un_q4_k, block_q8_K, true, true, false, SLM_Q8_K, strip256)     \
    X(Q5_K, un_q5_k, block_q8_K, true, true, false, SLM_Q8_K, strip256)     \
    X(Q6_K, un_q6_k, block_q8_K, true, false, true, SLM_Q8_K, strip256)     \
    X(IQ4_XS, un_iq4_xs, block_q8_K, true, false, false, SLM_Q8_K, strip256)

#define X(id, un, xblock, big, mins, pairs, xt, strip)     \
    FAST_TYPE(id, un, xblock, big, mins, pairs, xt)        \
    FAST_PLAIN(id, un, strip)
FAST_TYPES(X)
#undef X

/* type, unpack, strip, the field of two bytes */
#define FAST_PACKS(X)              \
    X(Q4_0, un_q4_0, strip32, 0)   \
    X(Q8_0, un_q8_0, strip32, 0)   \
    X(Q4_K, un_q4_k, strip256, SIZE_MAX) \
    X(Q5_K, un_q5_k, strip256, SIZE_MAX) \
    X(Q6_K, un_q6_k, strip256, 208)
#define X(id, un, strip, half) FAST_PACKED(id, un, strip, half)
FAST_PACKS(X)
#undef X

static void fill_fast(struct slm_kern *k)
{
#define X(id, un, xblock, big, mins, pairs, xt, strip) k->mul_fast[SLM_##id] = fast_##id;
    FAST_TYPES(X)
#undef X
#define X(id, un, strip, half) \
    k->packed[SLM_##id] = (struct slm_packed){bytes_##id, pack_##id, packed_##id, VN};
    FAST_PACKS(X)
#undef X
}
