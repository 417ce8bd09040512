/* Element and row kernels over the lanes of a vec_*.h, for any instruction set. exp is Cody and
 * Waite's reduction with the polynomial of Cephes (Moshier), about 1 unit in the last place;
 * results below 2^-125 are 0. */

/* exp(c) / 2^n of c in [-87, 89], and n */
static inline vf exp_reduced(vf c, vf *n)
{
    *n = vf_round(vf_mul(c, vf_set1(1.44269504088896341f)));
    vf r = vf_fnma(*n, vf_set1(0.693359375f), c);
    r = vf_fnma(*n, vf_set1(-2.12194440e-4f), r);
    vf p = vf_set1(1.9875691500e-4f);
    p = vf_fma(p, r, vf_set1(1.3981999507e-3f));
    p = vf_fma(p, r, vf_set1(8.3334519073e-3f));
    p = vf_fma(p, r, vf_set1(4.1665795894e-2f));
    p = vf_fma(p, r, vf_set1(1.6666665459e-1f));
    p = vf_fma(p, r, vf_set1(5.0000001201e-1f));
    return vf_add(vf_fma(p, vf_mul(r, r), r), vf_set1(1.0f));
}

static inline vf vf_exp(vf x)
{
    const vf lo = vf_set1(-86.9f), hi = vf_set1(88.72f);
    vf n, p = exp_reduced(vf_max(lo, vf_min(hi, x)), &n);
    /* n may be 128: half the power, twice */
    p = vf_mul(vf_mul(p, vf_set1(2.0f)), vf_pow2(vf_sub(n, vf_set1(1.0f))));
    return vf_if_less(hi, x, vf_set1(__builtin_inff()), vf_if_less(x, lo, vf_zero(), p));
}

static inline vf vf_tanh(vf x)
{
    vf a = vf_abs(x), z = vf_mul(x, x), p = vf_set1(-5.70498872745e-3f);
    p = vf_fma(p, z, vf_set1(2.06390887954e-2f));
    p = vf_fma(p, z, vf_set1(-5.37397155531e-2f));
    p = vf_fma(p, z, vf_set1(1.33314422036e-1f));
    p = vf_fma(p, z, vf_set1(-3.33332819422e-1f));
    p = vf_fma(vf_mul(p, z), x, x);
    vf e = vf_exp(vf_add(a, a));
    vf far = vf_sub(vf_set1(1.0f), vf_div(vf_set1(2.0f), vf_add(e, vf_set1(1.0f))));
    return vf_if_less(a, vf_set1(0.625f), p, vf_sign(far, x));
}

static inline vf silu_v(vf g, vf u)
{
    vf e = vf_exp(vf_sub(vf_zero(), g));
    return vf_mul(vf_div(g, vf_add(vf_set1(1.0f), e)), u);
}

/* 0.5 x (1 + tanh t) = x / (1 + exp(-2 t)) */
static inline vf gelu_v(vf g, vf u)
{
    vf x3 = vf_mul(vf_mul(vf_mul(vf_set1(0.044715f), g), g), g);
    vf t = vf_mul(vf_set1(-2.0f * 0.79788456080286536f), vf_add(g, x3));
    return vf_mul(vf_div(g, vf_add(vf_set1(1.0f), vf_exp(t))), u);
}

/* out[i] = EXPR of vectors A and B, at a and b */
#define EACH2(out, a, b, n, EXPR)                                                              \
    do {                                                                                       \
        size_t e_ = 0;                                                                         \
        for (; e_ + VN <= (n); e_ += VN) {                                                     \
            vf A = vf_load((a) + e_), B = vf_load((b) + e_);                                   \
            vf_store((out) + e_, EXPR);                                                        \
        }                                                                                      \
        if (e_ < (n)) {                                                                        \
            vf A = vf_loadn((a) + e_, (n)-e_), B = vf_loadn((b) + e_, (n)-e_);                 \
            vf_storen((out) + e_, EXPR, (n)-e_);                                               \
        }                                                                                      \
    } while (0)
#define EACH1(out, a, n, EXPR)                                                                 \
    do {                                                                                       \
        size_t e_ = 0;                                                                         \
        for (; e_ + VN <= (n); e_ += VN) {                                                     \
            vf A = vf_load((a) + e_);                                                          \
            vf_store((out) + e_, EXPR);                                                        \
        }                                                                                      \
        if (e_ < (n)) {                                                                        \
            vf A = vf_loadn((a) + e_, (n)-e_);                                                 \
            vf_storen((out) + e_, EXPR, (n)-e_);                                               \
        }                                                                                      \
    } while (0)

static void add(float *out, const float *a, const float *b, size_t n)
{
    EACH2(out, a, b, n, vf_add(A, B));
}
static void mul(float *out, const float *a, const float *b, size_t n)
{
    EACH2(out, a, b, n, vf_mul(A, B));
}
static void silu_mul(float *out, const float *g, const float *u, size_t n)
{
    EACH2(out, g, u, n, silu_v(A, B));
}
static void gelu_mul(float *out, const float *g, const float *u, size_t n)
{
    EACH2(out, g, u, n, gelu_v(A, B));
}

static void scale(float *out, const float *a, float s, size_t n)
{
    vf S = vf_set1(s);
    EACH1(out, a, n, vf_mul(A, S));
}

static void softcap(float *out, const float *x, float cap, size_t n)
{
    vf C = vf_set1(cap);
    EACH1(out, x, n, vf_mul(C, vf_tanh(vf_div(A, C))));
}

static void rope_half(float *out, const float *x, const float *cs, float sign, size_t half)
{
    vf S = vf_set1(sign);
    size_t i = 0;
    for (; i + VN <= half; i += VN) {
        vf c = vf_load(cs + i), s = vf_mul(S, vf_load(cs + half + i)), a = vf_load(x + i),
           b = vf_load(x + half + i);
        vf_store(out + i, vf_sub(vf_mul(a, c), vf_mul(b, s)));
        vf_store(out + half + i, vf_add(vf_mul(a, s), vf_mul(b, c)));
    }
    for (; i < half; i++) {
        float c = cs[i], s = sign * cs[half + i], a = x[i], b = x[half + i];
        out[i] = a * c - b * s;
        out[half + i] = a * s + b * c;
    }
}

static void rope_pair(float *out, const float *x, const float *cs, float sign, size_t half)
{
    vf S = vf_set1(sign);
    size_t i = 0;
    for (; i + VN <= half; i += VN) {
        vf c = vf_load(cs + i), s = vf_mul(S, vf_load(cs + half + i)), a, b;
        vf_split2(x + 2 * i, &a, &b);
        vf_join2(out + 2 * i, vf_sub(vf_mul(a, c), vf_mul(b, s)),
                 vf_add(vf_mul(a, s), vf_mul(b, c)));
    }
    for (; i < half; i++) {
        float c = cs[i], s = sign * cs[half + i], a = x[2 * i], b = x[2 * i + 1];
        out[2 * i] = a * c - b * s;
        out[2 * i + 1] = a * s + b * c;
    }
}

static float dot(const float *a, const float *b, size_t n)
{
    vf s[4] = {vf_zero(), vf_zero(), vf_zero(), vf_zero()};
    size_t i = 0;
    for (; i + 4 * VN <= n; i += 4 * VN)
        for (int l = 0; l < 4; l++)
            s[l] = vf_fma(vf_load(a + i + l * VN), vf_load(b + i + l * VN), s[l]);
    for (; i + VN <= n; i += VN)
        s[0] = vf_fma(vf_load(a + i), vf_load(b + i), s[0]);
    if (i < n)
        s[1] = vf_fma(vf_loadn(a + i, n - i), vf_loadn(b + i, n - i), s[1]);
    return vf_sum(vf_add(vf_add(s[0], s[1]), vf_add(s[2], s[3])));
}

static float sum(const float *a, size_t n)
{
    vf s = vf_zero(), t = vf_zero();
    size_t i = 0;
    for (; i + 2 * VN <= n; i += 2 * VN) {
        s = vf_add(s, vf_load(a + i));
        t = vf_add(t, vf_load(a + i + VN));
    }
    for (; i + VN <= n; i += VN)
        s = vf_add(s, vf_load(a + i));
    if (i < n)
        t = vf_add(t, vf_loadn(a + i, n - i));
    return vf_sum(vf_add(s, t));
}

static float max(const float *a, size_t n)
{
    size_t i = 0;
    vf m = vf_set1(a[0]);
    for (; i + VN <= n; i += VN)
        m = vf_max(vf_load(a + i), m);
    float t = vf_top(m);
    for (; i < n; i++)
        if (a[i] > t)
            t = a[i];
    return t;
}

static float norm_rms(float *out, const float *x, const float *w, float shift, float eps,
                      size_t n)
{
    float r = 1.0f / sqrtf((n ? dot(x, x, n) / (float)n : 0.0f) + eps);
    vf R = vf_set1(r), S = vf_set1(shift);
    if (w)
        EACH2(out, x, w, n, vf_mul(vf_mul(A, R), vf_add(B, S)));
    else
        EACH1(out, x, n, vf_mul(A, R));
    return r;
}

static void norm_layer(float *out, const float *x, const float *w, const float *b, float eps,
                       size_t n, float *stat)
{
    float mean = n ? sum(x, n) / (float)n : 0;
    vf M = vf_set1(mean), s = vf_zero();
    size_t i = 0;
    for (; i + VN <= n; i += VN) {
        vf d = vf_sub(vf_load(x + i), M);
        s = vf_fma(d, d, s);
    }
    float q = vf_sum(s);
    for (; i < n; i++)
        q += (x[i] - mean) * (x[i] - mean);
    float r = 1.0f / sqrtf((n ? q / (float)n : 0) + eps);
    vf R = vf_set1(r);
    EACH2(out, x, w, n, vf_mul(vf_mul(vf_sub(A, M), R), B));
    if (b)
        EACH2(out, out, b, n, vf_add(A, B));
    stat[0] = mean;
    stat[1] = r;
}

static float softmax(float *x, size_t n)
{
    float m = max(x, n);
    if (m == -__builtin_inff()) { /* every place masked: no weight anywhere */
        memset(x, 0, n * sizeof *x);
        return m;
    }
    vf M = vf_set1(m);
    EACH1(x, x, n, vf_exp(vf_sub(A, M)));
    float s = sum(x, n);
    scale(x, x, 1.0f / s, n);
    return m + logf(s);
}

static void fill_elem(struct slm_kern *k)
{
    k->add = add;
    k->mul = mul;
    k->scale = scale;
    k->softcap = softcap;
    k->silu_mul = silu_mul;
    k->gelu_mul = gelu_mul;
    k->rope_half = rope_half;
    k->rope_pair = rope_pair;
    k->norm_rms = norm_rms;
    k->norm_layer = norm_layer;
    k->softmax = softmax;
    k->dot = dot;
    k->max = max;
}
