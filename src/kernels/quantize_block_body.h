/* Quantisers of the blocks of 32 with one float16 scale (and one minimum), and of the 4-bit
 * floats. Eight blocks side by side; the float16 scale is chosen among the neighbours of the
 * best real one by the error it gives in the end. */

enum { BLOCKS = 8 };

#define SHAPE32(LEVELS, LO, HI) ((struct shape){32, BLOCKS, LEVELS, LO, HI})

struct chosen { /* d and m in the search's units, and as the file holds them */
    float d[PARTS], m[PARTS];
    uint16_t hd[PARTS], hm[PARTS];
};

FOLD void choose1(struct chosen *c, const struct parts *t, struct shape s, struct sweep w)
{
    for (int p = 0; p < s.n; p += VN) {
        float want[VN], plain[VN], err[VN], best[VN];
        vf_store(want, search1(t, p, s, w).d);
        vf_store(plain, vf_div(magnitude(t, p, s), vf_set1(w.plain)));
        vf_store(best, error1(t, p, vf_zero(), s));
        for (int l = 0; l < VN; l++)
            c->d[p + l] = c->hd[p + l] = 0;
        for (int k = -1; k <= 3; k++) {
            float d[VN];
            uint16_t h[VN];
            for (int l = 0; l < VN; l++) {
                float near = k < 2 ? want[l] : k < 3 ? plain[l] : -plain[l];
                d[l] = f16_near(near, t->up[p + l], k < 2 ? k : 0, &h[l]);
            }
            vf_store(err, error1(t, p, vf_load(d), s));
            for (int l = 0; l < VN; l++)
                if (err[l] < best[l]) {
                    best[l] = err[l];
                    c->d[p + l] = d[l];
                    c->hd[p + l] = h[l];
                }
        }
    }
}

FOLD void choose2(struct chosen *c, const struct parts *t, struct shape s, struct sweep w)
{
    for (int p = 0; p < s.n; p += VN) {
        struct two b = search2(t, p, s, w, false);
        float d0[VN], m0[VN], mean[VN], err[VN], best[VN];
        vf_store(d0, b.d);
        vf_store(m0, b.m);
        vf_store(mean, vf_div(b.q1, vf_max(weights(t, p, s), vf_set1(TINY))));
        vf_store(best, error1(t, p, vf_zero(), s));
        for (int l = 0; l < VN; l++)
            c->d[p + l] = c->m[p + l] = c->hd[p + l] = c->hm[p + l] = 0;
        for (int k = -1; k <= 1; k++) {
            float d[VN], m[VN];
            uint16_t h[VN], hm[VN];
            for (int l = 0; l < VN; l++) {
                d[l] = f16_near(d0[l], t->up[p + l], k, &h[l]);
                m[l] = m0[l] + mean[l] * (d[l] - d0[l]);
                m[l] = -f16_near(-m[l], t->up[p + l], 0, &hm[l]);
            }
            vf_store(err, error2(t, p, vf_load(d), vf_load(m), s));
            for (int l = 0; l < VN; l++)
                if (err[l] < best[l]) {
                    best[l] = err[l];
                    c->d[p + l] = d[l];
                    c->m[p + l] = m[l];
                    c->hd[p + l] = h[l];
                    c->hm[p + l] = hm[l];
                }
        }
    }
}

/* 16 bytes of two codes each; the fifth bits in one word. */
static inline void put_low(uint8_t *qs, const uint8_t *q)
{
    for (int j = 0; j < 16; j++)
        qs[j] = (uint8_t)((q[j] & 15) | (q[j + 16] & 15) << 4);
}
static inline void put_fifth(uint8_t *qh, const uint8_t *q)
{
    for (int i = 0; i < 4; i++) {
        unsigned bits = 0;
        for (int j = 0; j < 8; j++)
            bits |= (unsigned)(q[8 * i + j] >> 4 & 1) << j;
        qh[i] = (uint8_t)bits;
    }
}

static inline void put_q4_0(block_q4_0 *b, const struct chosen *c, int p, const uint8_t *q)
{
    b->d = c->hd[p];
    put_low(b->qs, q);
}
static inline void put_q5_0(block_q5_0 *b, const struct chosen *c, int p, const uint8_t *q)
{
    b->d = c->hd[p];
    put_low(b->qs, q);
    put_fifth(b->qh, q);
}
static inline void put_q4_1(block_q4_1 *b, const struct chosen *c, int p, const uint8_t *q)
{
    b->d = c->hd[p];
    b->m = c->hm[p];
    put_low(b->qs, q);
}
static inline void put_q5_1(block_q5_1 *b, const struct chosen *c, int p, const uint8_t *q)
{
    b->d = c->hd[p];
    b->m = c->hm[p];
    put_low(b->qs, q);
    put_fifth(b->qh, q);
}
static inline void put_q8_0(block_q8_0 *b, const struct chosen *c, int p, const uint8_t *q)
{
    b->d = c->hd[p];
    for (int j = 0; j < 32; j++)
        b->qs[j] = (int8_t)(q[j] - 128);
}
static inline void put_iq4_nl(block_iq4_nl *b, const struct chosen *c, int p, const uint8_t *q)
{
    b->d = c->hd[p];
    put_low(b->qs, q);
}
static inline void put_mxfp4(block_mxfp4 *b, const struct chosen *c, int p, const uint8_t *q)
{
    b->e = (uint8_t)c->hd[p];
    put_low(b->qs, q);
}

/* Scales of 8 bits that stand for floats: the type's value of code c, halved. */
FOLD float coded(int c, bool e8m0)
{
    return e8m0 ? slm_e8m0_half((uint8_t)c) : slm_ue4m3_half((uint8_t)c);
}

/* The largest code whose highest level, 12 halves, does not pass top. */
FOLD int code_below(float top, bool e8m0)
{
    int lo = 0, hi = e8m0 ? 251 : 0x7e; /* all levels finite */
    while (lo < hi) {
        int mid = (lo + hi + 1) / 2;
        if (coded(mid, e8m0) * 12 <= top)
            lo = mid;
        else
            hi = mid - 1;
    }
    return lo;
}

/* Tries `below` codes under the one that top asks for, that one, and two above. */
FOLD void choose_coded(struct chosen *c, const struct parts *t, struct shape s, bool e8m0,
                       int below)
{
    for (int p = 0; p < s.n; p += VN) {
        float top[VN], err[VN], best[VN];
        int first[VN];
        vf_store(top, magnitude(t, p, s));
        vf_store(best, error1(t, p, vf_zero(), s));
        for (int l = 0; l < VN; l++) {
            first[l] = code_below(top[l] * t->up[p + l], e8m0) - below;
            c->d[p + l] = c->hd[p + l] = 0;
        }
        for (int k = 0; k < below + 3; k++) {
            float d[VN];
            int code[VN], most = e8m0 ? 251 : 0x7e;
            for (int l = 0; l < VN; l++) {
                int want = first[l] + k;
                code[l] = want < 0 ? 0 : want > most ? most : want;
                d[l] = coded(code[l], e8m0) * (1 / t->up[p + l]);
            }
            vf_store(err, error1(t, p, vf_load(d), s));
            for (int l = 0; l < VN; l++)
                if (err[l] < best[l]) {
                    best[l] = err[l];
                    c->d[p + l] = d[l];
                    c->hd[p + l] = (uint16_t)code[l];
                }
        }
    }
}

FOLD void choose_e8m0(struct chosen *c, const struct parts *t, struct shape s, struct sweep w)
{
    (void)w;
    choose_coded(c, t, s, true, 1);
}

/* Defines quantize_T for blocks of 32: shape, the way to choose, what to try. */
#define QUANTIZE32(T, CHOOSE, MIN, LEVELS, LO, HI, ...)                                        \
    static void quantize_##T(void *out, const float *in, const float *weight, size_t n)        \
    {                                                                                          \
        const struct shape s = SHAPE32(LEVELS, LO, HI);                                        \
        uint8_t *to = out, q[BLOCKS * 32];                                                     \
        for (size_t left = n / 32; left > 0;) {                                                \
            int have = left < BLOCKS ? (int)left : BLOCKS;                                     \
            struct parts t;                                                                    \
            struct chosen c;                                                                   \
            load(&t, in, weight, s, have, false);                                              \
            CHOOSE(&c, &t, s, (struct sweep){__VA_ARGS__});                                    \
            codes(q, &t, c.d, (MIN) ? c.m : NULL, s);                                          \
            for (int p = 0; p < have; p++, to += sizeof(block_##T)) {                          \
                block_##T b;                                                                   \
                put_##T(&b, &c, p, q + 32 * p);                                                \
                memcpy(to, &b, sizeof b);                                                      \
            }                                                                                  \
            in += 32 * have;                                                                   \
            weight = weight ? weight + 32 * have : NULL;                                       \
            left -= (size_t)have;                                                              \
        }                                                                                      \
    }

QUANTIZE32(q4_0, choose1, false, EVEN, -8, 7, 4.0f, 0.15f, 36, 8)
QUANTIZE32(q5_0, choose1, false, EVEN, -16, 15, 10.0f, 0.15f, 46, 16)
QUANTIZE32(q8_0, choose1, false, EVEN, -128, 127, 115.0f, 0.2f, 72, 127)
QUANTIZE32(iq4_nl, choose1, false, NL4, 0, 0, 75.0f, 5.0f, 14, 127)
QUANTIZE32(q4_1, choose2, true, EVEN, 0, 15, -0.05f, 0.03f, 10, 0)
QUANTIZE32(q5_1, choose2, true, EVEN, 0, 31, -0.03f, 0.02f, 9, 0)
QUANTIZE32(mxfp4, choose_e8m0, false, FP4, 0, 0, 0, 0, 0, 0)

/* Blocks of 64 in four parts with a scale each; two blocks side by side. */
static void quantize_nvfp4(void *out, const float *in, const float *weight, size_t n)
{
    const struct shape s = {16, 8, FP4, 0, 0};
    uint8_t *to = out, q[128];
    for (size_t i = 0; i + 64 <= n; i += 128) {
        int blocks = n - i < 128 ? 1 : 2;
        struct parts t;
        struct chosen c;
        load(&t, in + i, weight ? weight + i : NULL, s, 4 * blocks, false);
        choose_coded(&c, &t, s, false, 6);
        codes(q, &t, c.d, NULL, s);
        for (int b = 0; b < blocks; b++, to += sizeof(block_nvfp4)) {
            block_nvfp4 o;
            for (int p = 0; p < 4; p++) {
                const uint8_t *v = q + 64 * b + 16 * p;
                o.d[p] = (uint8_t)c.hd[4 * b + p];
                for (int j = 0; j < 8; j++)
                    o.qs[8 * p + j] = (uint8_t)(v[j] | v[j + 8] << 4);
            }
            memcpy(to, &o, sizeof o);
        }
    }
}

static void fill_quantize_block(struct slm_kern *k)
{
    k->quantize[SLM_Q4_0] = quantize_q4_0;
    k->quantize[SLM_Q4_1] = quantize_q4_1;
    k->quantize[SLM_Q5_0] = quantize_q5_0;
    k->quantize[SLM_Q5_1] = quantize_q5_1;
    k->quantize[SLM_Q8_0] = quantize_q8_0;
    k->quantize[SLM_IQ4_NL] = quantize_iq4_nl;
    k->quantize[SLM_MXFP4] = quantize_mxfp4;
    k->quantize[SLM_NVFP4] = quantize_nvfp4;
}
