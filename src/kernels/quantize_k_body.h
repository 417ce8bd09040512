/* Quantisers of the super-blocks of 256: 8 or 16 parts, each with a small whole scale (and
 * minimum) under one float16 for all. First every part finds the real scale that is best for it
 * alone. Then some scales of the super-block are weighed by how far they push the parts from
 * there, and from the best few the whole scales, the codes and the float16 are bettered in
 * turn, always by the error that the file will have. */

struct whole_range { /* of the parts' scales */
    float lo, hi;
    float stretch; /* how much of the lost length is given back, see stretch() */
};

/* What is best so far for a super-block. D and M in the search's units and as stored. */
struct super {
    float err, D, M, s[PARTS], k[PARTS];
    uint16_t hD, hM;
};

static float total(const float *v, int n)
{
    float t[8];
    for (int i = 0; i < 8; i++)
        t[i] = v[i] + (n > 8 ? v[i + 8] : 0);
    return ((t[0] + t[4]) + (t[2] + t[6])) + ((t[1] + t[5]) + (t[3] + t[7]));
}

static float over(float a, float b) { return b > TINY || b < -TINY ? a / b : 0; }

/* ---- scales with a sign: q3_K, q6_K, iq4_xs ---- */

struct ideal1 { /* of each part alone */
    float d[PARTS], qq[PARTS], top;
};

FOLD float strain1(const struct ideal1 *w, float D, struct shape s, struct whole_range r)
{
    float e[PARTS];
    vf id = inverse(vf_set1(D));
    for (int p = 0; p < s.n; p += VN) {
        vf d = vf_load(w->d + p), n = whole(vf_mul(d, id), r.lo, r.hi);
        vf off = vf_sub(d, vf_mul(n, vf_set1(D)));
        vf_store(e + p, vf_mul(vf_mul(off, off), vf_load(w->qq + p)));
    }
    return total(e, s.n);
}

/* Best whole scales for D into b where their error is less; returns a better D for them. */
FOLD float settle1(struct super *b, const struct parts *t, const struct ideal1 *w, float D,
                   struct shape s, struct whole_range r)
{
    uint16_t h;
    float n[PARTS], err[PARTS], rq[PARTS], qq[PARTS];
    D = f16_near(D, t->up[0], 0, &h);
    vf vD = vf_set1(D), id = inverse(vD);
    for (int p = 0; p < s.n; p += VN) {
        vf first = vf_mul(vf_load(w->d + p), id), least = vf_set1(INFINITY), at = vf_zero();
        first = whole(first, r.lo, r.hi);
        for (int j = -1; j <= 1; j++) {
            vf c = whole(vf_add(first, vf_set1((float)j)), r.lo, r.hi);
            vf e = error1(t, p, vf_mul(vD, c), s);
            at = vf_if_less(e, least, c, at);
            least = vf_min(e, least);
        }
        struct one_sums f = sums1(t, p, vf_mul(vD, at), s);
        vf_store(n + p, at);
        vf_store(err + p, f.err);
        vf_store(rq + p, vf_mul(at, f.rq));
        vf_store(qq + p, vf_mul(vf_mul(at, at), f.qq));
    }
    float e = total(err, s.n);
    if (e < b->err) {
        b->err = e;
        b->D = D;
        b->hD = h;
        memcpy(b->s, n, sizeof n);
    }
    return D + over(total(rq, s.n), total(qq, s.n));
}

FOLD void super1(struct super *b, const struct parts *t, struct shape s, struct sweep c,
                 struct whole_range r)
{
    enum { STARTS = 4, EACH = 30 };
    struct ideal1 w = {.top = 0};
    float zero[PARTS];
    for (int p = 0; p < s.n; p += VN) {
        struct one o = search1(t, p, s, c);
        vf_store(w.d + p, o.d);
        vf_store(w.qq + p, o.qq);
        vf_store(zero + p, error1(t, p, vf_zero(), s));
    }
    memset(b, 0, sizeof *b);
    b->err = total(zero, s.n);
    w.top = top_of(w.d, s.n);
    for (int i = 0; i < STARTS; i++) {
        float best = INFINITY, D = 0;
        for (int j = 0; j < EACH; j++) {
            float at = -r.lo * (1.1f - (float)(i / 2 * EACH + j) * (0.7f / (2 * EACH)));
            float try = w.top / (i % 2 ? -at : at), e = strain1(&w, try, s, r);
            if (e < best) {
                best = e;
                D = try;
            }
        }
        for (int round = 0; round < 3; round++)
            D = settle1(b, t, &w, D, s, r);
    }
}

/* ---- a scale and a minimum, both without sign: q2_K, q4_K, q5_K ---- */

struct ideal2 {
    float d[PARTS], m[PARTS], qq[PARTS], q1[PARTS], w1[PARTS];
};

/* The minimum that is best beside scale d, by the codes of the ideal one. */
FOLD vf beside(const struct ideal2 *w, int p, vf d)
{
    vf mean = vf_div(vf_load(w->q1 + p), vf_max(vf_load(w->w1 + p), vf_set1(TINY)));
    return vf_add(vf_load(w->m + p), vf_mul(mean, vf_sub(d, vf_load(w->d + p))));
}

/* exact: minima are not rounded yet */
FOLD float strain2(const struct ideal2 *w, float D, float M, bool exact, struct shape s,
                   struct whole_range r)
{
    float e[PARTS];
    vf vD = vf_set1(D), vM = vf_set1(M), id = inverse(vD), im = inverse(vM);
    for (int p = 0; p < s.n; p += VN) {
        vf d = vf_load(w->d + p);
        vf to = vf_mul(vD, whole(vf_mul(d, id), r.lo, r.hi)), m = beside(w, p, to);
        m = exact ? vf_max(m, vf_zero()) : vf_mul(vM, whole(vf_mul(m, im), r.lo, r.hi));
        vf dd = vf_sub(to, d), o = vf_sub(vf_load(w->m + p), m);
        vf cross = vf_mul(vf_mul(dd, o), vf_load(w->q1 + p));
        vf a = vf_mul(vf_mul(dd, dd), vf_load(w->qq + p));
        vf c = vf_mul(vf_mul(o, o), vf_load(w->w1 + p));
        vf_store(e + p, vf_add(vf_add(a, c), vf_add(cross, cross)));
    }
    return total(e, s.n);
}

/* Least squares of all parts for D and M, from the sums of each part's codes. */
struct normal2 {
    float dd[PARTS], dm[PARTS], mm[PARTS], rd[PARTS], rm[PARTS];
};

static void better2(const struct normal2 *a, int n, float *D, float *M)
{
    float dd = total(a->dd, n), dm = total(a->dm, n), mm = total(a->mm, n);
    float rd = total(a->rd, n), rm = total(a->rm, n), det = dd * mm - dm * dm;
    if (det > 1e-5f * dd * mm) {
        *D += over(rd * mm - rm * dm, det);
        *M += over(rm * dd - rd * dm, det);
    } else
        *D += over(rd, dd);
    *M = *M > 0 ? *M : 0;
}

FOLD void settle2(struct super *b, const struct parts *t, const struct ideal2 *w, float *pD,
                  float *pM, struct shape s, struct whole_range r)
{
    uint16_t hD, hM;
    float D = f16_near(*pD, t->up[0], 0, &hD), M = f16_near(*pM, t->up[0], 0, &hM);
    float n[PARTS], k[PARTS], err[PARTS];
    struct normal2 a;
    vf vD = vf_set1(D), vM = vf_set1(M), id = inverse(vD), im = inverse(vM);
    for (int p = 0; p < s.n; p += VN) {
        vf first = whole(vf_mul(vf_load(w->d + p), id), r.lo, r.hi);
        vf least = vf_set1(INFINITY), at = vf_zero(), mat = vf_zero();
        for (int j = 0; j < 9; j++) {
            vf c = whole(vf_add(first, vf_set1((float)(j / 3 - 1))), r.lo, r.hi);
            vf m = whole(vf_mul(beside(w, p, vf_mul(vD, c)), im), r.lo, r.hi);
            m = whole(vf_add(m, vf_set1((float)(j % 3 - 1))), r.lo, r.hi);
            vf e = error2(t, p, vf_mul(vD, c), vf_mul(vM, m), s);
            at = vf_if_less(e, least, c, at);
            mat = vf_if_less(e, least, m, mat);
            least = vf_min(e, least);
        }
        struct two_sums f = sums2(t, p, vf_mul(vD, at), vf_mul(vM, mat), s);
        vf_store(n + p, at);
        vf_store(k + p, mat);
        vf_store(err + p, f.err);
        vf_store(a.dd + p, vf_mul(vf_mul(at, at), f.qq));
        vf_store(a.dm + p, vf_sub(vf_zero(), vf_mul(vf_mul(at, mat), f.q1)));
        vf_store(a.mm + p, vf_mul(vf_mul(mat, mat), vf_load(w->w1 + p)));
        vf_store(a.rd + p, vf_mul(at, f.rq));
        vf_store(a.rm + p, vf_sub(vf_zero(), vf_mul(mat, f.r1)));
    }
    float e = total(err, s.n);
    if (e < b->err) {
        *b = (struct super){.err = e, .D = D, .M = M, .hD = hD, .hM = hM};
        memcpy(b->s, n, sizeof n);
        memcpy(b->k, k, sizeof k);
    }
    *pD = D;
    *pM = M;
    better2(&a, s.n, pD, pM);
}

/* The step of whole numbers, top / at with at from 1.2 to 0.5 of the range, of least strain:
 * third i of the steps of D with free minima, or all those of M beside a D. */
FOLD float step2(const struct ideal2 *w, float D, int i, struct shape s, struct whole_range r)
{
    enum { EACH = 12 };
    float best = INFINITY, found = 0, top = top_of(i < 3 ? w->d : w->m, s.n);
    for (int j = 0; j < (i < 3 ? EACH : 3 * EACH); j++) {
        float at = r.hi * (1.2f - (float)((i < 3 ? i : 0) * EACH + j) * (0.7f / (3 * EACH)));
        float try = top / at, e = strain2(w, i < 3 ? try : D, try, i < 3, s, r);
        if (e < best) {
            best = e;
            found = try;
        }
    }
    return found;
}

FOLD void super2(struct super *b, const struct parts *t, struct shape s, struct sweep c,
                 struct whole_range r)
{
    struct ideal2 w;
    float zero[PARTS];
    for (int p = 0; p < s.n; p += VN) {
        struct two o = search2(t, p, s, c, true);
        vf_store(w.d + p, o.d);
        vf_store(w.m + p, o.m);
        vf_store(w.qq + p, o.qq);
        vf_store(w.q1 + p, o.q1);
        vf_store(w.w1 + p, weights(t, p, s));
        vf_store(zero + p, error1(t, p, vf_zero(), s));
    }
    memset(b, 0, sizeof *b);
    b->err = total(zero, s.n);
    for (int i = 0; i < 3; i++) {
        float D = step2(&w, 0, i, s, r), M = step2(&w, D, 3, s, r);
        for (int round = 0; round < 3; round++)
            settle2(b, t, &w, &D, &M, s, r);
    }
}

/* ---- length ---- */

/* Least squares shortens: the values' product with x is below that of x with itself, by as much
 * as is lost. Such a loss lies along x, all of a row's products shrink together, and a model
 * minds that more than its square tells. At two and three bits the float16s are therefore
 * stretched afterwards, with the codes as they are; the error grows by the loss's square only.
 */
FOLD void stretch(struct super *b, const struct parts *t, const float *d, const float *m,
                  struct shape s, float share)
{
    float xx[PARTS], xy[PARTS];
    for (int p = 0; p < s.n; p += VN) {
        vf D = vf_load(d + p), M = vf_load(m + p), id = inverse(D);
        vf a = vf_zero(), c = vf_zero();
        for (int e = 0; e < s.len; e++) {
            vf x = vf_load(t->x + e * s.n + p), wx = vf_mul(vf_load(t->w + e * s.n + p), x);
            vf q = level(vf_mul(vf_add(x, M), id), s);
            a = vf_add(a, vf_mul(wx, x));
            c = vf_add(c, vf_mul(wx, vf_sub(vf_mul(q, D), M)));
        }
        vf_store(xx + p, a);
        vf_store(xy + p, c);
    }
    float by = over(total(xx, s.n), total(xy, s.n));
    by = by > 1 && by < 1.25f ? 1 + share * (by - 1) : 1; /* beyond, there is no row left */
    f16_near(b->D * by, t->up[0], 0, &b->hD);
    f16_near(b->M * by, t->up[0], 0, &b->hM);
}

/* ---- into bytes ---- */

/* Two bits of element e of 256, as q2_K and q3_K lay them out. */
static void put_twos(uint8_t *qs, const uint8_t *q)
{
    for (int i = 0; i < 64; i++) {
        const uint8_t *c = q + (i >> 5) * 128 + (i & 31);
        qs[i] = (uint8_t)((c[0] & 3) | (c[32] & 3) << 2 | (c[64] & 3) << 4 | (c[96] & 3) << 6);
    }
}

/* Pairs of 32: low halves of the bytes first. */
static void put_fours(uint8_t *qs, const uint8_t *q)
{
    for (int i = 0; i < 128; i++) {
        const uint8_t *c = q + (i >> 5) * 64 + (i & 31);
        qs[i] = (uint8_t)((c[0] & 15) | (c[32] & 15) << 4);
    }
}

/* Eight scales and eight minima of six bits. */
static void put_sixes(uint8_t *to, const struct super *b)
{
    for (int i = 0; i < 4; i++) {
        unsigned s = (unsigned)b->s[i], m = (unsigned)b->k[i], s4 = (unsigned)b->s[i + 4],
                 m4 = (unsigned)b->k[i + 4];
        to[i] = (uint8_t)(s | s4 >> 4 << 6);
        to[i + 4] = (uint8_t)(m | m4 >> 4 << 6);
        to[i + 8] = (uint8_t)((s4 & 15) | (m4 & 15) << 4);
    }
}

static void put_q2_K(block_q2_K *o, const struct super *b, const uint8_t *q)
{
    o->d = b->hD;
    o->dmin = b->hM;
    for (int i = 0; i < 16; i++)
        o->scales[i] = (uint8_t)((unsigned)b->s[i] | (unsigned)b->k[i] << 4);
    put_twos(o->qs, q);
}

static void put_q3_K(block_q3_K *o, const struct super *b, const uint8_t *q)
{
    o->d = b->hD;
    memset(o->scales, 0, sizeof o->scales);
    memset(o->hmask, 0, sizeof o->hmask);
    for (int i = 0; i < 16; i++) {
        unsigned s = (unsigned)((int)b->s[i] + 32);
        o->scales[i & 7] |= (uint8_t)((s & 15) << (i >> 3) * 4);
        o->scales[8 + (i & 3)] |= (uint8_t)(s >> 4 << (i >> 2) * 2);
    }
    put_twos(o->qs, q);
    for (int e = 0; e < 256; e++)
        o->hmask[e & 31] |= (uint8_t)(q[e] >> 2 << (e >> 5));
}

static void put_q4_K(block_q4_K *o, const struct super *b, const uint8_t *q)
{
    o->d = b->hD;
    o->dmin = b->hM;
    put_sixes(o->scales, b);
    put_fours(o->qs, q);
}

static void put_q5_K(block_q5_K *o, const struct super *b, const uint8_t *q)
{
    o->d = b->hD;
    o->dmin = b->hM;
    put_sixes(o->scales, b);
    put_fours(o->qs, q);
    memset(o->qh, 0, sizeof o->qh);
    for (int e = 0; e < 256; e++)
        o->qh[e & 31] |= (uint8_t)(q[e] >> 4 << (e >> 5));
}

static void put_q6_K(block_q6_K *o, const struct super *b, const uint8_t *q)
{
    o->d = b->hD;
    for (int i = 0; i < 16; i++)
        o->scales[i] = (int8_t)b->s[i];
    for (int half = 0; half < 2; half++, q += 128)
        for (int i = 0; i < 32; i++) {
            const unsigned c[4] = {q[i], q[i + 32], q[i + 64], q[i + 96]};
            o->ql[half * 64 + i] = (uint8_t)((c[0] & 15) | (c[2] & 15) << 4);
            o->ql[half * 64 + 32 + i] = (uint8_t)((c[1] & 15) | (c[3] & 15) << 4);
            o->qh[half * 32 + i] =
                (uint8_t)(c[0] >> 4 | c[1] >> 4 << 2 | c[2] >> 4 << 4 | c[3] >> 4 << 6);
        }
}

static void put_iq4_xs(block_iq4_xs *o, const struct super *b, const uint8_t *q)
{
    unsigned high = 0;
    o->d = b->hD;
    memset(o->scales_l, 0, sizeof o->scales_l);
    for (int i = 0; i < 8; i++) {
        unsigned s = (unsigned)((int)b->s[i] + 32);
        o->scales_l[i >> 1] |= (uint8_t)((s & 15) << (i & 1) * 4);
        high |= s >> 4 << 2 * i;
        for (int j = 0; j < 16; j++)
            o->qs[16 * i + j] = (uint8_t)(q[32 * i + j] | q[32 * i + j + 16] << 4);
    }
    o->scales_h = (uint16_t)high;
}

/* Defines quantize_T: shape of the parts, range of their whole scales, what to try. */
#define QUANTIZE256(T, SUPER, LEN, LEVELS, LO, HI, SLO, SHI, STRETCH, ...)                     \
    static void quantize_##T(void *out, const float *in, const float *weight, size_t n)        \
    {                                                                                          \
        const struct shape s = {LEN, 256 / (LEN), LEVELS, LO, HI};                             \
        const struct whole_range r = {SLO, SHI, STRETCH};                                      \
        uint8_t *to = out, q[256];                                                             \
        for (size_t i = 0; i + 256 <= n; i += 256, to += sizeof(block_##T)) {                  \
            struct parts t;                                                                    \
            struct super b;                                                                    \
            block_##T o;                                                                       \
            float d[PARTS], m[PARTS];                                                          \
            load(&t, in + i, weight ? weight + i : NULL, s, 256 / (LEN), true);                \
            SUPER(&b, &t, s, (struct sweep){__VA_ARGS__}, r);                                  \
            for (int p = 0; p < PARTS; p++) {                                                  \
                d[p] = b.D * b.s[p];                                                           \
                m[p] = b.M * b.k[p];                                                           \
            }                                                                                  \
            codes(q, &t, d, m, s);                                                             \
            if (r.stretch > 0)                                                                 \
                stretch(&b, &t, d, m, s, r.stretch);                                           \
            put_##T(&o, &b, q);                                                                \
            memcpy(to, &o, sizeof o);                                                          \
        }                                                                                      \
    }

QUANTIZE256(q2_K, super2, 16, EVEN, 0, 3, 0, 15, 1, -0.05f, 0.07f, 7, 0)
QUANTIZE256(q3_K, super1, 16, EVEN, -4, 3, -32, 31, 0.75f, 2.0f, 0.08f, 36, 0)
QUANTIZE256(q4_K, super2, 32, EVEN, 0, 15, 0, 63, 0, -0.05f, 0.03f, 9, 0)
QUANTIZE256(q5_K, super2, 32, EVEN, 0, 31, 0, 63, 0, -0.03f, 0.02f, 9, 0)
QUANTIZE256(q6_K, super1, 16, EVEN, -32, 31, -128, 127, 0, 25.0f, 0.15f, 60, 0)
QUANTIZE256(iq4_xs, super1, 32, NL4, 0, 0, -32, 31, 0, 75.0f, 5.0f, 14, 0)

static void fill_quantize_k(struct slm_kern *k)
{
    k->quantize[SLM_Q2_K] = quantize_q2_K;
    k->quantize[SLM_Q3_K] = quantize_q3_K;
    k->quantize[SLM_Q4_K] = quantize_q4_K;
    k->quantize[SLM_Q5_K] = quantize_q5_K;
    k->quantize[SLM_Q6_K] = quantize_q6_K;
    k->quantize[SLM_IQ4_XS] = quantize_iq4_xs;
}
