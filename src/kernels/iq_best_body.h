/* The best that search finds for the I types. Against a scale a, the weighted squared error of
 * an entry of the codebook is a^2 A - 2 a B (+ a constant), A = sum w q^2, B = sum w |x| q. So
 * a sub-block is searched exactly (iq_find.h) at some scales around its best one, and the pairs
 * (A, B) kept: a curve, that tells the sub-block's error at any scale. On the curves the
 * block's scale and the sub-blocks' multiples of it are chosen together; the sub-blocks are
 * then searched once more at the very scales that the file will hold, and the block's scale
 * follows by least squares. All is scaled to 1 first, so no number of the input overflows. */

#include "kernels/iq_find.h"

#define POINTS 16 /* of a curve */
#define TINY 1e-30f

/* What a type is. The scale of a sub-block is d (2 s + 1), s < steps. */
struct iq_type {
    const uint16_t *codes;
    int entries, each;
    int subs;    /* sub-blocks of a block: 8 or 16 */
    int steps;   /* 16 or 8 */
    bool even;   /* of eight signs an even number is minus */
    int deltas;  /* 0: signs. 1: no signs, but a shift for a sub-block; 2: for each entry */
    float ratio; /* usual root mean square of a sub-block to its scale */
    float lift;  /* how far the scale is raised, see lengthen */
    bool large;  /* large elements weigh more, see take */
    float level[8];
    void (*put)(void *out, const struct iq_block *r);
};

/* One table of an entry: each element's part of A and B at each level. */
struct costs {
    float a[32], b[32];
    int at; /* the entry found last */
};

/* Eight elements that share signs: one entry of 8, two of 4, or one with either shift. */
struct unit {
    struct costs e[2];
    bool odd;  /* has an odd number of minus signs where an even one is asked for */
    int flip;  /* the element whose sign was turned, or -1 */
    int shift; /* taken, with deltas == 2 */
    float a[2], b[2], cost[2]; /* [1]: with the other shift, deltas == 1 */
};

struct sub {
    struct unit u[4];
    int n; /* units */
};

struct curve {
    float a[2][POINTS], b[2][POINTS];
    float best;         /* scale */
    int32_t from, step; /* scales by their bits: nearly a geometric series */
};

struct work {
    const struct iq_type *t;
    struct finder f;
    float x[256], w[256];
    float amax;
    struct curve c[16];
};

static float float_of(int32_t bits)
{
    union {
        int32_t i;
        float f;
    } v = {bits};
    return v.f;
}
static int32_t bits_of(float x)
{
    union {
        float f;
        int32_t i;
    } v = {x};
    return v.i;
}

/* ---- a unit at a scale ---- */

static void at_scale(float *c, const struct costs *e, float a)
{
    for (int i = 0; i < 32; i++)
        c[i] = a * (a * e->a[i] - 2 * e->b[i]);
}

static void add_sums(const struct work *k, const struct costs *e, float *a, float *b)
{
    int each = k->t->each, bits = each == 8 ? 2 : 3, code = k->t->codes[e->at];
    for (int i = 0; i < each; i++) {
        int l = (i << (5 - (each == 8 ? 3 : 2))) + (code >> bits * i & ((1 << bits) - 1));
        *a += e->a[l];
        *b += e->b[l];
    }
}

/* What turning each element's sign costs at least, were each free to take any level, and what
 * each entry does, none turned. */
static void turn_costs(const struct work *k, const struct unit *u, float a, float *turn,
                       float *least)
{
    int each = k->t->each, levels = 32 / each;
    least[0] = least[1] = 0;
    for (int i = 0; i < 8; i++) {
        const struct costs *e = &u->e[i / each];
        float plus[8], minus[8];
        const float *ea = e->a + i % each * levels, *eb = e->b + i % each * levels;
        for (int l = 0; l < levels; l++) {
            plus[l] = a * (a * ea[l] - 2 * eb[l]);
            minus[l] = a * (a * ea[l] + 2 * eb[l]);
        }
        float p = element_least(plus, each);
        turn[i] = element_least(minus, each) - p;
        least[i / each] += p;
    }
}

#define TURNS 3 /* signs tried */

/* An odd unit: with the sign turned that costs least. Each try is exact; a sign whose bound
 * says that it cannot be better is not tried. */
static void search_odd(const struct work *k, struct unit *u, float a)
{
    int each = k->t->each, levels = 32 / each, at[2] = {u->e[0].at, u->e[1].at};
    float c[2][32], turn[8], least[2], best = INFINITY, whole[2] = {0, 0};
    turn_costs(k, u, a, turn, least);
    at_scale(c[0], &u->e[0], a);
    if (each == 4) {
        at_scale(c[1], &u->e[1], a);
        for (int h = 0; h < 2; h++)
            whole[h] = find(&k->f, c[h], INFINITY, at[h], &at[h]);
    }
    u->flip = -1;
    for (int n = 0; n < TURNS; n++) {
        int i = 0, found = -1;
        for (int j = 1; j < 8; j++)
            i = turn[j] < turn[i] ? j : i;
        int h = i / each;
        float *row = c[h] + i % each * levels, other = each == 4 ? whole[1 - h] : 0;
        if (!(other + least[h] + turn[i] < best))
            break;
        turn[i] = INFINITY;
        const float *ea = u->e[h].a + i % each * levels, *eb = u->e[h].b + i % each * levels;
        float keep[8];
        for (int l = 0; l < levels; l++) {
            keep[l] = row[l];
            row[l] = a * (a * ea[l] + 2 * eb[l]);
        }
        float v = find(&k->f, c[h], best - other, at[h], &found);
        if (found >= 0) {
            best = v + other;
            u->flip = i;
            u->e[0].at = h == 0 ? found : at[0];
            if (each == 4)
                u->e[1].at = h == 1 ? found : at[1];
        }
        memcpy(row, keep, sizeof *row * (size_t)levels);
    }
    u->cost[0] = best;
}

static void search(const struct work *k, struct unit *u, float a)
{
    const struct iq_type *t = k->t;
    int tables = t->deltas || t->each == 4 ? 2 : 1;
    float c[32];
    u->a[0] = u->b[0] = u->a[1] = u->b[1] = 0;
    if (u->odd) {
        search_odd(k, u, a);
    } else {
        u->cost[0] = 0;
        for (int h = 0; h < tables; h++) {
            at_scale(c, &u->e[h], a);
            float v = find(&k->f, c, INFINITY, u->e[h].at, &u->e[h].at);
            if (t->deltas)
                u->cost[h] = v;
            else
                u->cost[0] += v;
        }
    }
    if (t->deltas == 2) {
        u->shift = u->cost[1] < u->cost[0];
        u->cost[0] = u->cost[u->shift];
        add_sums(k, &u->e[u->shift], &u->a[0], &u->b[0]);
        return;
    }
    for (int h = 0; h < tables; h++)
        add_sums(k, &u->e[h], &u->a[t->deltas ? h : 0], &u->b[t->deltas ? h : 0]);
    if (u->odd && u->flip >= 0) {
        const struct costs *e = &u->e[u->flip / t->each];
        int bits = t->each == 8 ? 2 : 3, i = u->flip % t->each;
        int l = i * (32 / t->each) + (t->codes[e->at] >> bits * i & ((1 << bits) - 1));
        u->b[0] -= 2 * e->b[l];
    }
}

/* ---- a sub-block ---- */

static void unit_init(const struct work *k, struct unit *u, int first)
{
    const struct iq_type *t = k->t;
    int levels = 32 / t->each, valid = t->each == 8 ? 3 : 8, minus = 0;
    for (int i = 0; i < 8; i++) {
        float x = k->x[first + i], w = k->w[first + i];
        minus += x < 0;
        for (int h = 0; h < (t->deltas ? 2 : 1); h++) {
            struct costs *e = &u->e[t->deltas ? h : i / t->each];
            float to = t->deltas ? x : fabsf(x), shift = t->deltas ? h ? -0.125f : 0.125f : 0;
            for (int l = 0; l < levels; l++) {
                int at = i % t->each * levels + l;
                float q = t->level[l] + shift;
                e->a[at] = l < valid ? w * q * q : 1e30f;
                e->b[at] = l < valid ? w * to * q : 0;
            }
        }
    }
    u->e[0].at = u->e[1].at = t->entries / 2;
    u->odd = t->even && (minus & 1);
    u->flip = -1;
    u->shift = 0;
}

static void sub_init(const struct work *k, struct sub *s, int j)
{
    s->n = 32 / k->t->subs;
    for (int i = 0; i < s->n; i++)
        unit_init(k, &s->u[i], (j * s->n + i) * 8);
}

/* Sums at scale a, of either shift where the sub-block has one. */
static void sub_search(const struct work *k, struct sub *s, float a, float *sa, float *sb)
{
    sa[0] = sa[1] = sb[0] = sb[1] = 0;
    for (int i = 0; i < s->n; i++) {
        search(k, &s->u[i], a);
        for (int h = 0; h < 2; h++) {
            sa[h] += s->u[i].a[h];
            sb[h] += s->u[i].b[h];
        }
    }
}

/* How much of the error the best scale takes away. */
static float gain(float a, float b) { return b > 0 && a > 0 ? b * b / a : 0; }

static int better_shift(const struct iq_type *t, const float *a, const float *b)
{
    return t->deltas == 1 && gain(a[1], b[1]) > gain(a[0], b[0]);
}

static __attribute__((noinline)) void curve_init(struct work *k, int j)
{
    const struct iq_type *t = k->t;
    struct curve *c = &k->c[j];
    struct sub s;
    int n = 256 / t->subs;
    float sum = 0, all = 0, top = 0, sa[2], sb[2];
    for (int i = j * n; i < (j + 1) * n; i++) {
        float x = fabsf(k->x[i]);
        sum += k->w[i] * x * x;
        all += k->w[i];
        top = x > top ? x : top;
    }
    sub_init(k, &s, j);
    float a = sqrtf(sum / all) / t->ratio;
    bool empty = !(a > TINY);
    for (int round = 0; round < 2 && !empty; round++) {
        sub_search(k, &s, a, sa, sb);
        int h = better_shift(t, sa, sb);
        a = sa[h] > 0 && sb[h] > 0 ? sb[h] / sa[h] : a;
    }
    if (empty)
        a = 1;
    /* the largest element may ask for another scale than the rest */
    float end = top / (t->level[t->each == 8 ? 2 : 7] + (t->deltas ? 0.125f : 0.0f));
    float lo = 0.72f * (end < 0.8f * a ? 0.8f * a
                        : end < a      ? end
                                       : a),
          hi = 1.35f * (end > 1.6f * a ? 1.6f * a
                        : end > a      ? end
                                       : a),
          best = -1;
    c->from = bits_of(lo);
    c->step = (bits_of(hi) - c->from) / (POINTS - 1) + 1;
    c->best = 0;
    for (int p = 0; p < POINTS; p++) {
        if (!empty || p == 0)
            sub_search(k, &s, float_of(c->from + p * c->step), sa, sb);
        for (int h = 0; h < 2; h++) {
            c->a[h][p] = sa[h];
            c->b[h][p] = sb[h];
        }
        int h = better_shift(t, sa, sb);
        if (!empty && gain(sa[h], sb[h]) > best) {
            best = gain(sa[h], sb[h]);
            c->best = sb[h] / sa[h];
        }
    }
}

/* ---- a block ---- */

/* The error of a sub-block at scale a, by its curve; which point and shift in *p and *h. */
static float curve_at(const struct work *k, const struct curve *c, float a, int *p, int *h)
{
    int32_t i = (bits_of(a) - c->from + c->step / 2) / c->step;
    *p = i < 0 ? 0 : i >= POINTS ? POINTS - 1 : i;
    *h = 0;
    float v = a * (a * c->a[0][*p] - 2 * c->b[0][*p]);
    if (k->t->deltas == 1) {
        float o = a * (a * c->a[1][*p] - 2 * c->b[1][*p]);
        *h = o < v;
        v = o < v ? o : v;
    }
    return v;
}

/* The sub-blocks' multiples of d, least error on the curves; the sums over them. */
static void choose(const struct work *k, float d, uint8_t *s, float *sa, float *sb)
{
    *sa = *sb = 0;
    for (int j = 0; j < k->t->subs; j++) {
        const struct curve *c = &k->c[j];
        float n = (c->best / d - 1) * 0.5f, least = INFINITY;
        int low = !(n > 0) ? 0 : n > 15 ? 15 : (int)n, m = 0, at = 0, shift = 0;
        for (int i = low; i <= low + 1; i++) {
            int p, h, v = i < k->t->steps ? i : k->t->steps - 1;
            float e = curve_at(k, c, d * (float)(2 * v + 1), &p, &h);
            if (e < least) {
                least = e;
                m = v;
                at = p;
                shift = h;
            }
        }
        s[j] = (uint8_t)m;
        float f = (float)(2 * m + 1);
        *sa += f * f * c->a[shift][at];
        *sb += f * c->b[shift][at];
    }
}

/* The block's scale by the curves, over all multiples that the largest sub-block may take. */
static float first_scale(const struct work *k)
{
    float top = 0, best = 0, d = 0, sa, sb;
    uint8_t s[16];
    for (int j = 0; j < k->t->subs; j++)
        top = k->c[j].best > top ? k->c[j].best : top;
    float most = 2 * (float)k->t->steps + 2;
    for (int i = 0; i < 40 && top > 0; i++) {
        choose(k, top / (most * (1 - (float)i * 0.016f)), s, &sa, &sb);
        if (gain(sa, sb) > best) {
            best = gain(sa, sb);
            d = sb / sa;
        }
    }
    return d;
}

static void keep_unit(const struct work *k, struct iq_block *r, const struct unit *u, int i,
                      int shift)
{
    const struct iq_type *t = k->t;
    r->minus[i] = (uint8_t)shift;
    r->signs[i] = 0;
    for (int e = 0; e < 8; e++)
        r->signs[i] |= (uint8_t)((k->x[8 * i + e] < 0) << e);
    if (u->odd && u->flip >= 0)
        r->signs[i] ^= (uint8_t)(1 << u->flip);
    for (int e = 0; e < 8 / t->each; e++)
        r->at[i * (8 / t->each) + e] = (uint16_t)u->e[t->deltas ? shift : e].at;
}

/* All sub-blocks searched at d times their multiples. Returns the error (but a constant); the
 * sums tell the best d for what was found. */
static __attribute__((noinline)) float settle(const struct work *k, struct iq_block *r, float d,
                                              float *sa, float *sb)
{
    float error = 0;
    *sa = *sb = 0;
    for (int j = 0; j < k->t->subs; j++) {
        struct sub s;
        float f = (float)(2 * r->s[j] + 1), a[2], b[2], e[2];
        sub_init(k, &s, j);
        sub_search(k, &s, d * f, a, b);
        for (int h = 0; h < 2; h++)
            e[h] = d * f * (d * f * a[h] - 2 * b[h]);
        int h = k->t->deltas == 1 && e[1] < e[0];
        error += e[h];
        *sa += f * f * a[h];
        *sb += f * b[h];
        for (int i = 0; i < s.n; i++)
            keep_unit(k, r, &s.u[i], j * s.n + i, k->t->deltas == 2 ? s.u[i].shift : h);
    }
    return error;
}

/* x / amax and w over the largest; what is no number counts nothing, what is too large is cut.
 * With `large`, weights grow with the square root of an element's magnitude over the block's:
 * at two bits and below that keeps more of a product than the least error does. */
static void take(struct work *k, const float *x, const float *w, bool large)
{
    float most = 0, sum = 0;
    k->amax = 0;
    for (int i = 0; i < 256; i++) {
        float v = fabsf(x[i]);
        if (v > k->amax && v <= FLT_MAX)
            k->amax = v;
        if (w && w[i] > most && w[i] <= FLT_MAX)
            most = w[i];
    }
    for (int i = 0; i < 256; i++) {
        float v = k->amax > 0 ? x[i] / k->amax : 0;
        k->x[i] = v >= -1 ? v <= 1 ? v : 1 : v < -1 ? -1 : 0;
        sum += k->x[i] * k->x[i];
        v = most > 0 ? w[i] / most : 1;
        k->w[i] = v > 1e-7f ? v <= 1 ? v : 1 : 1e-7f; /* never quite nothing */
        if (x[i] != x[i])
            k->w[i] = 1e-7f;
    }
    for (int i = 0; large && sum > 0 && i < 256; i++)
        k->w[i] *= sqrtf(sqrtf(1 + k->x[i] * k->x[i] * 256 / sum));
}

static float rounded(const struct work *k, float d, uint16_t *half)
{
    float v = d * k->amax;
    *half = slm_f32_to_f16(v < 65504 ? v : 65504);
    return slm_f16_to_f32(*half) / k->amax;
}

/* At the scale of least error values are too small by the part of the block that is lost, and
 * so are all products with them, which adds up where errors cancel. So the scale is raised
 * towards the one that keeps products as large as they were; what that adds to the error is of
 * second order. */
static void lengthen(const struct work *k, struct iq_block *r, float error)
{
    float whole = 0;
    for (int i = 0; i < 256; i++)
        whole += k->w[i] * k->x[i] * k->x[i];
    float up = k->t->lift * (whole / -error - 1);
    up = up > 0.2f ? 0.2f : up > 0 ? up : 0;
    float d = slm_f16_to_f32(r->d) * (1 + up);
    r->d = slm_f32_to_f16(d < 65504 ? d : 65504);
}

#define ROUNDS 3

static __attribute__((noinline)) void block_best(struct work *k, struct iq_block *best)
{
    struct iq_block r;
    float d, least = 0; /* what zeros give */
    memset(&r, 0, sizeof r);
    *best = r;
    if (!(k->amax > 0))
        return;
    for (int j = 0; j < k->t->subs; j++)
        curve_init(k, j);
    d = first_scale(k);
    for (int round = 0; round < ROUNDS; round++) {
        float sa, sb, v = rounded(k, d, &r.d);
        if (!(v > 0))
            break;
        choose(k, v, r.s, &sa, &sb);
        float error = settle(k, &r, v, &sa, &sb);
        if (!(error < least))
            break;
        least = error;
        *best = r;
        if (!(sa > 0 && sb > 0))
            break;
        d = sb / sa;
        uint16_t same;
        rounded(k, d, &same);
        if (same == r.d)
            break;
    }
    if (least < 0)
        lengthen(k, best, least);
}

/* Whether r's error, by the caller's weights, is below that of zeros. */
static bool worth(const struct iq_type *t, const struct iq_block *r, const float *x,
                  const float *w)
{
    int each = t->each, bits = each == 8 ? 2 : 3;
    double error = 0, d = (double)slm_f16_to_f32(r->d);
    for (int i = 0; i < 256; i++) {
        int l = t->codes[r->at[i / each]] >> bits * (i % each) & ((1 << bits) - 1);
        double q = (double)t->level[l];
        if (t->deltas)
            q += r->minus[i / 8] ? -0.125 : 0.125;
        else if (r->signs[i / 8] >> (i & 7) & 1)
            q = -q;
        double v = d * (2 * r->s[i * t->subs / 256] + 1) * q;
        error += (w ? (double)w[i] : 1) * v * (v - 2 * (double)x[i]);
    }
    return error < 0;
}

static void rows_best(const struct iq_type *t, uint8_t *out, const float *in, const float *w,
                      size_t n, size_t bytes)
{
    struct work k;
    struct iq_block r;
    k.t = t;
    finder_init(&k.f, t->codes, t->entries, t->each);
    for (size_t i = 0; i + 256 <= n; i += 256, out += bytes) {
        uint32_t block[28] = {0}; /* rows may lie at any address */
        const float *wi = w ? w + i : NULL;
        take(&k, in + i, wi, t->large);
        block_best(&k, &r);
        if (t->large && !worth(t, &r, in + i, wi)) { /* outliers can do that */
            take(&k, in + i, wi, false);
            block_best(&k, &r);
        }
        t->put(block, &r);
        memcpy(out, block, bytes);
    }
}

/* ---- the types ---- */

/* Levels are the file's magnitudes in units of d (2 s + 1). */
#define LEVEL2                                                                                 \
    {                                                                                          \
        8 / 8.0f, 25 / 8.0f, 43 / 8.0f                                                         \
    }
#define LEVEL3                                                                                 \
    {                                                                                          \
        4 / 4.0f, 12 / 4.0f, 20 / 4.0f, 28 / 4.0f, 36 / 4.0f, 44 / 4.0f, 52 / 4.0f, 62 / 4.0f  \
    }

/* clang-format off */
static const struct iq_type type_iq2_xxs = {
    slm_iq2_xxs_grid, 256, 8, 8, 16, true, 0, 2.6f, 0.6f, true, LEVEL2, put_iq2_xxs};
static const struct iq_type type_iq2_xs = {
    slm_iq2_xs_grid, 512, 8, 16, 16, true, 0, 2.6f, 0.6f, true, LEVEL2, put_iq2_xs};
static const struct iq_type type_iq2_s = {
    slm_iq2_s_grid, 1024, 8, 16, 16, false, 0, 2.6f, 0.6f, true, LEVEL2, put_iq2_s};
static const struct iq_type type_iq3_xxs = {
    slm_iq3_xxs_grid, 256, 4, 8, 16, true, 0, 6, 1, false, LEVEL3, put_iq3_xxs};
static const struct iq_type type_iq3_s = {
    slm_iq3_s_grid, 512, 4, 8, 16, false, 0, 6, 1, false, {1, 3, 5, 7, 9, 11, 13, 15},
    put_iq3_s};
static const struct iq_type type_iq1_s = {
    slm_iq1_s_grid, 2048, 8, 8, 8, false, 1, 0.8f, 0.5f, true, {-1, 0, 1}, put_iq1_s};
static const struct iq_type type_iq1_m = {
    slm_iq1_s_grid, 2048, 8, 16, 8, false, 2, 0.8f, 0.5f, true, {-1, 0, 1}, put_iq1_m};
/* clang-format on */

#define IQ_BEST(X)                                                                             \
    X(IQ2_XXS, iq2_xxs)                                                                        \
    X(IQ2_XS, iq2_xs)                                                                          \
    X(IQ2_S, iq2_s)                                                                            \
    X(IQ3_XXS, iq3_xxs)                                                                        \
    X(IQ3_S, iq3_s)                                                                            \
    X(IQ1_S, iq1_s)                                                                            \
    X(IQ1_M, iq1_m)

#define X(id, name)                                                                            \
    static void best_##name(void *out, const float *in, const float *weight, size_t n)         \
    {                                                                                          \
        rows_best(&type_##name, out, in, weight, n, sizeof(block_##name));                     \
    }
IQ_BEST(X)
#undef X

static void fill_iq_best(struct slm_kern *k)
{
#define X(id, name) k->quantize[SLM_##id] = best_##name;
    IQ_BEST(X)
#undef X
}
