/* Quantisers of the long blocks of one or two bits with one float16 scale for all elements: the
 * block is cut into parts for the sake of the lanes, and all parts share every scale tried. */

struct common { /* best so far */
    float err, d;
    uint16_t h;
};

/* Error with scale d; *next: the best scale for its codes; *least: the error that it gives. */
FOLD float common_error(const struct parts *t, float d, struct shape s, float *next,
                        float *least)
{
    float err[PARTS], rq[PARTS], qq[PARTS];
    for (int p = 0; p < s.n; p += VN) {
        struct one_sums f = sums1(t, p, vf_set1(d), s);
        vf_store(err + p, f.err);
        vf_store(rq + p, f.rq);
        vf_store(qq + p, f.qq);
    }
    float e = total(err, s.n), r = total(rq, s.n), step = over(r, total(qq, s.n));
    *next = d + step;
    *least = e - step * r;
    return e;
}

FOLD struct common choose_common(const struct parts *t, struct shape s, struct sweep c)
{
    struct common b = {INFINITY, 0, 0}, f = {INFINITY, 0, 0};
    float tops[PARTS], next, least;
    for (int p = 0; p < s.n; p += VN)
        vf_store(tops + p, magnitude(t, p, s));
    float top = top_of(tops, s.n), d = 0;
    for (int i = 0; i < 2 * c.count + 3; i++) { /* the grid, then three steps from the best */
        float at = c.from + c.step * (float)(i >> 1);
        d = i < 2 * c.count ? top / (i & 1 ? -at : at) : b.d;
        common_error(t, d, s, &next, &least);
        if (least < b.err) {
            b.err = least;
            b.d = next;
        }
    }
    f.err = common_error(t, 0, s, &next, &least);
    for (int k = -1; k <= 3; k++) {
        uint16_t h;
        d = k < 2 ? b.d : top / (k < 3 ? c.plain : -c.plain);
        d = f16_near(d, t->up[0], k < 2 ? k : 0, &h);
        float e = common_error(t, d, s, &next, &least);
        if (e < f.err)
            f = (struct common){e, d, h};
    }
    return f;
}

/* n digits, the first the most significant, as a fraction of 256/243, rounded up. */
static uint8_t five_trits(const uint8_t *q, int n, int stride)
{
    int v = 0;
    for (int i = 0; i < 5; i++)
        v = v * 3 + (i < n ? q[i * stride] : 0);
    return (uint8_t)((v * 256 + 242) / 243);
}

static void put_tq1_0(block_tq1_0 *o, uint16_t d, const uint8_t *q)
{
    o->d = d;
    for (int m = 0; m < 32; m++)
        o->qs[m] = five_trits(q + m, 5, 32);
    for (int m = 0; m < 16; m++)
        o->qs[32 + m] = five_trits(q + 160 + m, 5, 16);
    for (int m = 0; m < 4; m++)
        o->qh[m] = five_trits(q + 240 + m, 4, 4);
}

static void put_tq2_0(block_tq2_0 *o, uint16_t d, const uint8_t *q)
{
    o->d = d;
    put_twos(o->qs, q);
}

static void put_q2_0(block_q2_0 *o, uint16_t d, const uint8_t *q)
{
    o->d = d;
    for (int i = 0; i < 16; i++, q += 4)
        o->qs[i] = (uint8_t)(q[0] | q[1] << 2 | q[2] << 4 | q[3] << 6);
}

static void put_q1_0(block_q1_0 *o, uint16_t d, const uint8_t *q)
{
    o->d = d;
    for (int i = 0; i < 16; i++, q += 8) {
        unsigned bits = 0;
        for (int j = 0; j < 8; j++)
            bits |= (unsigned)q[j] << j;
        o->qs[i] = (uint8_t)bits;
    }
}

/* Defines quantize_T for blocks of LEN * N. */
#define QUANTIZE_COMMON(T, LEN, N, LEVELS, LO, HI, ...)                                        \
    static void quantize_##T(void *out, const float *in, const float *weight, size_t n)        \
    {                                                                                          \
        enum { ALL = (LEN) * (N) };                                                            \
        const struct shape s = {LEN, N, LEVELS, LO, HI};                                       \
        uint8_t *to = out, q[ALL];                                                             \
        for (size_t i = 0; i + ALL <= n; i += ALL, to += sizeof(block_##T)) {                  \
            struct parts t;                                                                    \
            block_##T o;                                                                       \
            float d[PARTS];                                                                    \
            load(&t, in + i, weight ? weight + i : NULL, s, N, true);                          \
            struct common b = choose_common(&t, s, (struct sweep){__VA_ARGS__});               \
            for (int p = 0; p < PARTS; p++)                                                    \
                d[p] = b.d;                                                                    \
            codes(q, &t, d, NULL, s);                                                          \
            put_##T(&o, b.h, q);                                                               \
            memcpy(to, &o, sizeof o);                                                          \
        }                                                                                      \
    }

QUANTIZE_COMMON(tq1_0, 16, 16, EVEN, -1, 1, 1.0f, 0.3f, 24, 1)
QUANTIZE_COMMON(tq2_0, 16, 16, EVEN, -1, 1, 1.0f, 0.3f, 24, 1)
QUANTIZE_COMMON(q2_0, 8, 8, EVEN, -1, 2, 0.8f, 0.2f, 24, 1)
QUANTIZE_COMMON(q1_0, 16, 8, SIGN, -1, 1, 1, 1, 1, 1)

static void fill_quantize_shared(struct slm_kern *k)
{
    k->quantize[SLM_TQ1_0] = quantize_tq1_0;
    k->quantize[SLM_TQ2_0] = quantize_tq2_0;
    k->quantize[SLM_Q2_0] = quantize_q2_0;
    k->quantize[SLM_Q1_0] = quantize_q1_0;
}
