/* Element-wise and row kernels of the way back over the lanes of a vec_*.h. A row's last lanes
 * that are not whole go through loads and stores of n: no bytes behind a row are touched. */

/* Lanes of a row from i on, m of them; and back. */
FOLD vf some(const float *p, size_t m) { return m < VN ? vf_loadn(p, m) : vf_load(p); }
FOLD void put(float *p, vf x, size_t m)
{
    if (m < VN)
        vf_storen(p, x, m);
    else
        vf_store(p, x);
}

FOLD void gate_back(const struct slm_gate_back *b, bool gelu)
{
    const vf one = vf_set1(1.0f), k = vf_set1(1.5957691216057308f), c = vf_set1(0.044715f);
    for (size_t i = 0; i < b->n; i += VN) {
        size_t m = b->n - i;
        vf x = some(b->g + i, m), dy = some(b->dy + i, m), z = x, dz = one;
        if (gelu) { /* beyond 1000 the slope is 0 or 1: no square may overflow */
            vf near = vf_max(vf_set1(-1000.0f), vf_min(x, vf_set1(1000.0f)));
            vf cx2 = vf_mul(vf_mul(c, near), near);
            z = vf_mul(k, vf_fma(cx2, near, near));
            dz = vf_mul(k, vf_fma(vf_set1(3.0f), cx2, one));
        }
        vf s = vf_div(one, vf_add(one, vf_exp(vf_sub(vf_zero(), z)))), y = vf_mul(x, s);
        vf slope = vf_fma(vf_mul(y, vf_sub(one, s)), dz, s), g = dy;
        if (b->u) {
            g = vf_mul(dy, some(b->u + i, m));
            put(b->du + i, vf_fma(dy, y, some(b->du + i, m)), m);
        }
        put(b->dg + i, vf_fma(g, slope, some(b->dg + i, m)), m);
    }
}

static void silu_back(const struct slm_gate_back *b) { gate_back(b, false); }
static void gelu_back(const struct slm_gate_back *b) { gate_back(b, true); }

/* dy (w + shift) and (x - mean) r from i on */
FOLD vf norm_g(const struct slm_norm_back *b, size_t i, size_t m)
{
    vf dy = some(b->dy + i, m);
    return b->w ? vf_mul(dy, vf_add(some(b->w + i, m), vf_set1(b->shift))) : dy;
}
FOLD vf norm_z(const struct slm_norm_back *b, size_t i, size_t m)
{
    return vf_mul(vf_sub(some(b->x + i, m), vf_set1(b->mean)), vf_set1(b->r));
}

static void norm_back(const struct slm_norm_back *b)
{
    vf sum = vf_zero(), dot = vf_zero();
    for (size_t i = 0; i < b->n; i += VN) {
        vf g = norm_g(b, i, b->n - i); /* 0 where there is nothing */
        sum = vf_add(sum, g);
        dot = vf_fma(g, norm_z(b, i, b->n - i), dot);
    }
    vf m1 = vf_set1(b->centred ? vf_sum(sum) / (float)b->n : 0.0f);
    vf m2 = vf_set1(vf_sum(dot) / (float)b->n), r = vf_set1(b->r);
    for (size_t i = 0; i < b->n; i += VN) {
        size_t m = b->n - i;
        vf g = vf_fnma(norm_z(b, i, m), m2, vf_sub(norm_g(b, i, m), m1));
        put(b->dx + i, vf_fma(r, g, some(b->dx + i, m)), m);
    }
}

static void norm_gain(float *gw, const float *dy, const float *x, float mean, float r, size_t n)
{
    for (size_t i = 0; i < n; i += VN) {
        size_t m = n - i;
        vf z = vf_mul(vf_sub(some(x + i, m), vf_set1(mean)), vf_set1(r));
        put(gw + i, vf_fma(some(dy + i, m), z, some(gw + i, m)), m);
    }
}

static void softmax_back(float *g, const float *p, float mean, size_t n)
{
    vf M = vf_set1(mean);
    EACH2(g, g, p, n, vf_mul(B, vf_sub(A, M)));
}

static void fill_back(struct slm_kern *k)
{
    k->silu_back = silu_back;
    k->gelu_back = gelu_back;
    k->norm_back = norm_back;
    k->norm_gain = norm_gain;
    k->softmax_back = softmax_back;
}
