/* The search that all quantisers share. A part is a short row with one scale (or a scale and a
 * minimum) of its own; up to sixteen parts are searched side by side, one a lane. No sum
 * crosses lanes and every product and sum is rounded by itself, so the bits are the same for
 * any width of vector. Every trial takes the nearest codes for its scale, and then the scale
 * that is best for those codes (least squares), from the residual, so that nothing cancels. The
 * including file has brought a vec_*.h. */
#ifndef SLM_QUANTIZE_LANES_H
#define SLM_QUANTIZE_LANES_H

#include <math.h>
#include <stdbool.h>

#include "kernels/body.h"
#include "kernels/fast.h"
#include "kernels/kern_fill.h"
#include "kernels/lanes.h"
#include "kernels/quant.h"

#define PARTS 16 /* at most */
#define TINY 1e-30f

/* Values are brought near 1 by a power of two, so that squares neither overflow nor vanish. */
struct parts {
    float x[512], w[512]; /* [element][part] */
    float up[PARTS];      /* what x was divided by */
};

/* whole numbers; the table of iq4; 4-bit floats, doubled; -1 and 1 */
enum levels { EVEN, NL4, FP4, SIGN };

struct shape {
    int len, n; /* elements a part, parts: a multiple of VN */
    enum levels levels;
    float lo, hi; /* of whole numbers */
};

/* ---- levels ---- */

static inline vf whole(vf y, float lo, float hi) /* nearest, ties to even */
{
    vf magic = vf_set1(12582912.0f); /* 1.5 * 2^23: no room for a fraction */
    y = vf_min(vf_max(y, vf_set1(lo)), vf_set1(hi));
    return vf_sub(vf_add(y, magic), magic);
}

/* The nearest of the 16 values of iq4, or with `index` its place among them. */
FOLD vf nearest_nl4(vf y, bool index)
{
    vf v = vf_set1(index ? 0 : slm_iq4_values[0]);
    for (int i = 1; i < 16; i++) {
        float mid = (float)(slm_iq4_values[i - 1] + slm_iq4_values[i]) / 2;
        vf to = vf_set1(index ? (float)i : (float)slm_iq4_values[i]);
        v = vf_if_less(y, vf_set1(mid), v, to);
    }
    return v;
}

FOLD vf nearest_fp4(vf y, bool index)
{
    vf a = vf_abs(y), v = vf_zero();
    for (int i = 1; i < 8; i++) {
        float mid = (float)(slm_fp4_values[i - 1] + slm_fp4_values[i]) / 2;
        vf to = vf_set1(index ? (float)i : (float)slm_fp4_values[i]);
        v = vf_if_less(a, vf_set1(mid), v, to);
    }
    if (index)
        return vf_add(v, vf_if_less(y, vf_zero(), vf_set1(8), vf_zero()));
    return vf_sign(v, y);
}

FOLD vf level(vf y, struct shape s)
{
    return s.levels == NL4    ? nearest_nl4(y, false)
           : s.levels == FP4  ? nearest_fp4(y, false)
           : s.levels == SIGN ? vf_sign(vf_set1(1), y)
                              : whole(y, s.lo, s.hi);
}

/* 1 / d, or 0 where a scale is too small to be one. */
static inline vf inverse(vf d)
{
    return vf_if_less(vf_abs(d), vf_set1(TINY), vf_zero(), vf_div(vf_set1(1), d));
}

/* ---- float16 scales in the units of the file ---- */

static inline float f16_near(float x, float up, int ulps, uint16_t *h)
{
    float d = x * up;
    d = d > 65504.0f ? 65504.0f : d < -65504.0f ? -65504.0f : d;
    unsigned u = slm_f32_to_f16(d), mag = u & 0x7fff;
    if (ulps < 0 ? mag >= 1 : mag < 0x7bff)
        mag += (unsigned)ulps;
    *h = (uint16_t)((u & 0x8000) | mag);
    return slm_f16_to_f32(*h) * (1 / up);
}

/* ---- loading ---- */

/* 2^e with x within [0.5, 4) * 2^e, where that exists. */
static float power_of(float x)
{
    int e;
    frexpf(x, &e);
    return x > 0 ? ldexpf(1, e < -126 ? -126 : e > 126 ? 126 : e) : 1;
}

static float top_of(const float *x, int n)
{
    float top = 0;
    for (int i = 0; i < n; i++)
        top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
    return top;
}

/* Parts [0, have) of `in`; the others are zero. together: one power for all. */
static void load(struct parts *t, const float *in, const float *weight, struct shape s,
                 int have, bool together)
{
    int n = together ? have * s.len : s.len;
    float up = 1, down = 1, wdown = 0;
    for (int p = 0; p < s.n; p++, in += s.len, weight = weight ? weight + s.len : NULL) {
        if (p >= have)
            up = down = 1;
        else if (p == 0 || !together) {
            up = power_of(top_of(in, n));
            down = 1 / up;
            float most = weight ? top_of(weight, n) : 0;
            wdown = most > 0 ? 1 / power_of(most) : 0;
        }
        t->up[p] = up;
        for (int e = 0; e < s.len; e++) {
            t->x[e * s.n + p] = p < have ? in[e] * down : 0;
            t->w[e * s.n + p] = p < have && wdown > 0 ? weight[e] * wdown : 1;
        }
    }
}

/* ---- one scale ---- */

struct one { /* what is best so far; x is near d * q */
    vf err, d, qq;
};
struct one_sums {
    vf err, rq, qq; /* of w * r * r, w * r * q, w * q * q; r = x - d * q */
};

FOLD struct one_sums sums1(const struct parts *t, int p, vf d, struct shape s)
{
    struct one_sums f = {vf_zero(), vf_zero(), vf_zero()};
    vf id = inverse(d);
    for (int e = 0; e < s.len; e++) {
        vf x = vf_load(t->x + e * s.n + p), w = vf_load(t->w + e * s.n + p);
        vf q = level(vf_mul(x, id), s), r = vf_sub(x, vf_mul(q, d)), wr = vf_mul(w, r);
        f.err = vf_add(f.err, vf_mul(wr, r));
        f.rq = vf_add(f.rq, vf_mul(wr, q));
        f.qq = vf_add(f.qq, vf_mul(vf_mul(w, q), q));
    }
    return f;
}

FOLD vf error1(const struct parts *t, int p, vf d, struct shape s)
{
    vf err = vf_zero(), id = inverse(d);
    for (int e = 0; e < s.len; e++) {
        vf x = vf_load(t->x + e * s.n + p), w = vf_load(t->w + e * s.n + p);
        vf r = vf_sub(x, vf_mul(level(vf_mul(x, id), s), d));
        err = vf_add(err, vf_mul(vf_mul(w, r), r));
    }
    return err;
}

FOLD void try1(struct one *b, const struct parts *t, int p, vf d, struct shape s)
{
    struct one_sums f = sums1(t, p, d, s);
    vf step = vf_div(f.rq, vf_max(f.qq, vf_set1(TINY)));
    vf err = vf_sub(f.err, vf_mul(step, f.rq));
    b->d = vf_if_less(err, b->err, vf_add(d, step), b->d);
    b->qq = vf_if_less(err, b->err, f.qq, b->qq);
    b->err = vf_min(err, b->err);
}

/* Scales to try: the largest magnitude over from + i * step, i < count, with both signs; in the
 * end also over plain, as from_f32 does. */
struct sweep {
    float from, step;
    int count;
    float plain;
};

FOLD vf magnitude(const struct parts *t, int p, struct shape s)
{
    vf top = vf_zero();
    for (int e = 0; e < s.len; e++)
        top = vf_max(vf_abs(vf_load(t->x + e * s.n + p)), top);
    return top;
}

FOLD struct one search1(const struct parts *t, int p, struct shape s, struct sweep c)
{
    struct one b = {error1(t, p, vf_zero(), s), vf_zero(), vf_zero()};
    vf top = magnitude(t, p, s);
    for (int i = 0; i < 2 * c.count; i++) {
        float at = c.from + c.step * (float)(i >> 1);
        try1(&b, t, p, vf_mul(top, vf_set1(1 / (i & 1 ? -at : at))), s);
    }
    for (int i = 0; i < 2; i++)
        try1(&b, t, p, b.d, s);
    return b;
}

/* ---- a scale and a minimum ---- */

struct two { /* x is near d * q - m */
    vf err, d, m, qq, q1;
};
struct two_sums {
    vf err, rq, r1, qq, q1; /* r = x + m - d * q */
};

FOLD struct two_sums sums2(const struct parts *t, int p, vf d, vf m, struct shape s)
{
    struct two_sums f = {vf_zero(), vf_zero(), vf_zero(), vf_zero(), vf_zero()};
    vf id = inverse(d);
    for (int e = 0; e < s.len; e++) {
        vf z = vf_add(vf_load(t->x + e * s.n + p), m), w = vf_load(t->w + e * s.n + p);
        vf q = level(vf_mul(z, id), s), r = vf_sub(z, vf_mul(q, d));
        vf wr = vf_mul(w, r), wq = vf_mul(w, q);
        f.err = vf_add(f.err, vf_mul(wr, r));
        f.rq = vf_add(f.rq, vf_mul(wr, q));
        f.r1 = vf_add(f.r1, wr);
        f.qq = vf_add(f.qq, vf_mul(wq, q));
        f.q1 = vf_add(f.q1, wq);
    }
    return f;
}

FOLD vf error2(const struct parts *t, int p, vf d, vf m, struct shape s)
{
    vf err = vf_zero(), id = inverse(d);
    for (int e = 0; e < s.len; e++) {
        vf z = vf_add(vf_load(t->x + e * s.n + p), m), w = vf_load(t->w + e * s.n + p);
        vf r = vf_sub(z, vf_mul(level(vf_mul(z, id), s), d));
        err = vf_add(err, vf_mul(vf_mul(w, r), r));
    }
    return err;
}

/* Sum of w: what q1 is when every code is 1. */
FOLD vf weights(const struct parts *t, int p, struct shape s)
{
    vf sum = vf_zero();
    for (int e = 0; e < s.len; e++)
        sum = vf_add(sum, vf_load(t->w + e * s.n + p));
    return sum;
}

/* The error of the sums' codes after d grows by dd and -m by o. */
FOLD vf moved(const struct two_sums *f, vf w1, vf dd, vf o)
{
    vf cross = vf_mul(vf_mul(dd, o), f->q1);
    vf lin = vf_add(vf_mul(dd, f->rq), vf_mul(o, f->r1));
    vf e = vf_add(vf_mul(vf_mul(dd, dd), f->qq), vf_mul(vf_mul(o, o), w1));
    return vf_add(f->err, vf_add(vf_sub(e, vf_add(lin, lin)), vf_add(cross, cross)));
}

/* signless: m may not fall below 0. */
FOLD void try2(struct two *b, const struct parts *t, int p, vf d, vf m, vf w1, struct shape s,
               bool signless)
{
    struct two_sums f = sums2(t, p, d, m, s);
    vf prod = vf_mul(w1, f.qq), det = vf_sub(prod, vf_mul(f.q1, f.q1));
    vf least = vf_max(vf_mul(prod, vf_set1(1e-5f)), vf_set1(TINY));
    vf dd = vf_div(vf_sub(vf_mul(w1, f.rq), vf_mul(f.q1, f.r1)), vf_max(det, least));
    vf o = vf_div(vf_sub(vf_mul(f.qq, f.r1), vf_mul(f.q1, f.rq)), vf_max(det, least));
    dd = vf_if_less(det, least, vf_zero(), dd); /* all codes alike */
    o = vf_if_less(det, least, vf_div(f.r1, vf_max(w1, vf_set1(TINY))), o);
    if (signless) {
        vf only = vf_div(vf_sub(f.rq, vf_mul(m, f.q1)), vf_max(f.qq, vf_set1(TINY)));
        dd = vf_if_less(m, o, only, dd);
        o = vf_min(o, m);
    }
    vf err = moved(&f, w1, dd, o);
    b->d = vf_if_less(err, b->err, vf_add(d, dd), b->d);
    b->m = vf_if_less(err, b->err, vf_sub(m, o), b->m);
    b->qq = vf_if_less(err, b->err, f.qq, b->qq);
    b->q1 = vf_if_less(err, b->err, f.q1, b->q1);
    b->err = vf_min(err, b->err);
}

/* Ranges to try: the lower end rises and the upper one falls by up to (count - 2) * step of the
 * range; the first lies a step outside. */
FOLD struct two search2(const struct parts *t, int p, struct shape s, struct sweep c,
                        bool signless)
{
    vf lo = vf_load(t->x + p), hi = lo, zero = vf_zero(), w1 = weights(t, p, s);
    for (int e = 1; e < s.len; e++) {
        lo = vf_min(lo, vf_load(t->x + e * s.n + p));
        hi = vf_max(hi, vf_load(t->x + e * s.n + p));
    }
    if (signless)
        lo = vf_min(lo, zero);
    struct two b = {error2(t, p, zero, zero, s), zero, zero, zero, zero};
    vf range = vf_sub(hi, lo);
    for (int i = 0; i < c.count * c.count; i++) {
        float up = c.from + c.step * (float)(i % c.count),
              down = c.from + c.step * (float)(i / c.count);
        vf m = vf_sub(vf_mul(range, vf_set1(-up)), lo);
        if (signless)
            m = vf_max(m, zero);
        vf top = vf_sub(hi, vf_mul(range, vf_set1(down)));
        try2(&b, t, p, vf_mul(vf_add(top, m), vf_set1(1 / s.hi)), m, w1, s, signless);
    }
    for (int i = 0; i < 2; i++)
        try2(&b, t, p, b.d, b.m, w1, s, signless);
    return b;
}

/* ---- codes ---- */

/* out[part * len + e] = code of x + m at scale d: level - lo, or a place in a table. */
FOLD void codes(uint8_t *out, const struct parts *t, const float *d, const float *m,
                struct shape s)
{
    for (int p = 0; p < s.n; p += VN) {
        vf id = inverse(vf_load(d + p)), off = m ? vf_load(m + p) : vf_zero();
        for (int e = 0; e < s.len; e++) {
            float q[VN];
            vf y = vf_mul(vf_add(vf_load(t->x + e * s.n + p), off), id);
            vf_store(q, s.levels == NL4    ? nearest_nl4(y, true)
                        : s.levels == FP4  ? nearest_fp4(y, true)
                        : s.levels == SIGN ? vf_if_less(y, vf_zero(), vf_zero(), vf_set1(1))
                                           : vf_sub(whole(y, s.lo, s.hi), vf_set1(s.lo)));
            for (int l = 0; l < VN; l++)
                out[(p + l) * s.len + e] = (uint8_t)(int)q[l];
        }
    }
}

#endif
