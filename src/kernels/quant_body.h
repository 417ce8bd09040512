/* Conversions over the lanes of a vec_*.h, for the types that matter most: the same bits as the
 * generic ones, so every product and difference is rounded by itself (no fused steps). */

static void f16_to_f32(float *out, const void *in, size_t n)
{
    const uint8_t *p = in;
    size_t i = 0;
    for (; i + VN <= n; i += VN)
        vf_store(out + i, vf_of_f16(p + 2 * i));
    for (; i < n; i++) {
        uint16_t h;
        memcpy(&h, p + 2 * i, 2);
        out[i] = slm_f16_to_f32(h);
    }
}

static void bf16_to_f32(float *out, const void *in, size_t n)
{
    const uint8_t *p = in;
    size_t i = 0;
    for (; i + VN <= n; i += VN)
        vf_store(out + i, vf_of_bf16(p + 2 * i));
    for (; i < n; i++) {
        uint16_t h;
        memcpy(&h, p + 2 * i, 2);
        out[i] = slm_bf16_to_f32(h);
    }
}

static inline float f16_at(const void *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return slm_f16_to_f32(h);
}

static void q8_0_to_f32(float *out, const void *in, size_t n)
{
    const uint8_t *p = in;
    for (; n >= 32; n -= 32, p += sizeof(block_q8_0), out += 32) {
        vf d = vf_set1(f16_at(p));
        for (int i = 0; i < 32; i += VN)
            vf_store(out + i, vf_mul(vf_of_i8(p + 2 + i), d));
    }
}

static void q4_0_to_f32(float *out, const void *in, size_t n)
{
    const uint8_t *p = in;
    for (; n >= 32; n -= 32, p += sizeof(block_q4_0), out += 32) {
        vf d = vf_set1(f16_at(p));
        for (int i = 0; i < 16; i += VN) {
            vi q = vi_of_u8(p + 2 + i);
            vf_store(out + i, vf_mul(vi_float(vi_sub(vi_and(q, vi_set1(15)), vi_set1(8))), d));
            vf_store(out + 16 + i, vf_mul(vi_float(vi_sub(vi_shr(q, 4), vi_set1(8))), d));
        }
    }
}

static void q4_k_to_f32(float *out, const void *in, size_t n)
{
    const uint8_t *p = in;
    for (; n >= 256; n -= 256, p += sizeof(block_q4_K), out += 256) {
        float d = f16_at(p), dmin = f16_at(p + 2);
        int16_t sc[16], mn[16];
        slm_q4k_scales(p + 4, sc, mn);
        for (int c = 0; c < 4; c++) {
            vf d0 = vf_set1(d * (float)sc[4 * c]), m0 = vf_set1(dmin * (float)mn[4 * c]);
            vf d1 = vf_set1(d * (float)sc[4 * c + 2]),
               m1 = vf_set1(dmin * (float)mn[4 * c + 2]);
            float *o = out + 64 * c;
            for (int i = 0; i < 32; i += VN) {
                vi q = vi_of_u8(p + 16 + 32 * c + i);
                vf_store(o + i, vf_sub(vf_mul(d0, vi_float(vi_and(q, vi_set1(15)))), m0));
                vf_store(o + 32 + i, vf_sub(vf_mul(d1, vi_float(vi_shr(q, 4))), m1));
            }
        }
    }
}

static void q6_k_to_f32(float *out, const void *in, size_t n)
{
    const uint8_t *p = in;
    for (; n >= 256; n -= 256, p += sizeof(block_q6_K), out += 256) {
        float d = f16_at(p + 208);
        for (int e = 0; e < 256; e += VN) {
            int half = e / 128, quarter = e / 32 % 4;
            vi low = vi_of_u8(p + half * 64 + e % 64),
               high = vi_of_u8(p + 128 + half * 32 + e % 32);
            low = vi_and(quarter & 2 ? vi_shr(low, 4) : low, vi_set1(15));
            high = vi_shl(vi_and(vi_shr(high, 2 * quarter), vi_set1(3)), 4);
            vf s = vf_set1(d * (float)(int8_t)p[192 + e / 16]);
            vf_store(out + e, vf_mul(s, vi_float(vi_sub(vi_or(low, high), vi_set1(32)))));
        }
    }
}

#ifdef VF_TABLE16
/* VN codes, the first of two in the high half of a byte, as their values. */
static void nf4_to_f32(float *out, const void *in, size_t n)
{
    const uint8_t *p = in;
    const struct vf_table16 t = vf_table16(slm_nf4_values);
    for (; n >= 64; n -= 64, p += sizeof(block_nf4), out += 64) {
        float top;
        memcpy(&top, p, 4);
        vf d = vf_set1(top);
        for (int i = 0; i < 64; i += VN)
            vf_store(out + i, vf_mul(vf_of_table16(&t, vi_of_halves(p + 4 + i / 2)), d));
    }
}

#endif

static void f32_to_f16(void *out, const float *in, size_t n)
{
    uint8_t *p = out;
    size_t i = 0;
    for (; i + VN <= n; i += VN)
        vf_to_f16(p + 2 * i, vf_load(in + i));
    for (; i < n; i++) {
        uint16_t h = slm_f32_to_f16(in[i]);
        memcpy(p + 2 * i, &h, 2);
    }
}

static void f32_to_bf16(void *out, const float *in, size_t n)
{
    uint8_t *p = out;
    size_t i = 0;
    for (; i + VN <= n; i += VN) {
        vf v = vf_load(in + i);
        vi u = vi_of_float(v), odd = vi_and(vi_shr(u, 16), vi_set1(1));
        vi r = vi_shr(vi_add(vi_add(u, vi_set1(0x7fff)), odd), 16);
        vi quiet = vi_or(vi_shr(u, 16), vi_set1(0x40));
        vi_put16(p + 2 * i, vi_if_nan(v, quiet, r));
    }
    for (; i < n; i++) {
        uint16_t h = slm_f32_to_bf16(in[i]);
        memcpy(p + 2 * i, &h, 2);
    }
}

/* Largest magnitude of n (a multiple of VN), or a negative number where the plain steps would
 * differ: anything infinite or NaN, or extremes whose inverse is not an ordinary number. */
static inline float ordinary_top(const float *x, int n)
{
    vf m = vf_zero(), bad = vf_zero();
    for (int i = 0; i < n; i += VN) {
        vf v = vf_load(x + i);
        m = vf_max(vf_abs(v), m);
        bad = vf_fma(v, vf_zero(), bad);
    }
    float top = vf_top(m);
    return vf_sum(bad) == 0.0f && top > 1e-30f && top < 1e30f ? top : -1.0f;
}

/* 32 values times id, half away from zero, as bytes. */
static void round_to_i8(int8_t *q, const float *in, float id)
{
    for (int i = 0; i < 32; i += VN) {
        vf v = vf_mul(vf_load(in + i), vf_set1(id)), t = vf_trunc(v),
           one = vf_sign(vf_set1(1.0f), v);
        t = vf_if_less(vf_abs(vf_sub(v, t)), vf_set1(0.5f), t, vf_add(t, one));
        vi_put8(q + i, vi_round(t));
    }
}

static void f32_to_q8_0(void *out, const float *in, size_t n)
{
    uint8_t *p = out;
    for (; n >= 32; n -= 32, p += sizeof(block_q8_0), in += 32) {
        float top = ordinary_top(in, 32);
        if (top < 0) {
            slm_from_f32_generic(SLM_Q8_0)(p, in, 32);
            continue;
        }
        float d = top / 127;
        uint16_t h = slm_f32_to_f16(d);
        memcpy(p, &h, 2);
        round_to_i8((int8_t *)p + 2, in, 1.0f / d);
    }
}

#ifdef VF_TABLE16
/* VN values as codes: how many midpoints lie below each. */
static void f32_to_nf4(void *out, const float *in, size_t n)
{
    uint8_t *p = out, code[64];
    vf mid[15];
    for (int c = 0; c < 15; c++)
        mid[c] = vf_set1((slm_nf4_values[c] + slm_nf4_values[c + 1]) / 2);
    for (; n >= 64; n -= 64, p += sizeof(block_nf4), in += 64) {
        float top = ordinary_top(in, 64);
        if (top < 0) {
            slm_from_f32_generic(SLM_NF4)(p, in, 64);
            continue;
        }
        vf id = vf_set1(1.0f / top);
        for (int i = 0; i < 64; i += VN) {
            vf v = vf_mul(vf_load(in + i), id), count = vf_zero();
            for (int c = 0; c < 15; c++)
                count = vf_if_less(mid[c], v, vf_add(count, vf_set1(1.0f)), count);
            vi_put8(code + i, vi_round(count));
        }
        memcpy(p, &top, 4);
        for (int i = 0; i < 32; i++)
            p[4 + i] = (uint8_t)(code[2 * i] << 4 | code[2 * i + 1]);
    }
}
#endif

static void f32_to_q8_s(void *out, const float *in, size_t n)
{
    uint8_t *p = out;
    for (; n >= 32; n -= 32, p += sizeof(block_q8_s), in += 32) {
        float top = ordinary_top(in, 32);
        if (top < 0) {
            slm_from_f32_generic(SLM_Q8_S)(p, in, 32);
            continue;
        }
        float d = top / 127;
        block_q8_s b = {.d = slm_f16_to_f32(slm_f32_to_f16(d))};
        round_to_i8(b.qs, in, 1.0f / d);
        for (int i = 0; i < 32; i++)
            b.neg -= b.qs[i];
        memcpy(p, &b, sizeof b);
    }
}

static void f32_to_q8_k(void *out, const float *in, size_t n)
{
    uint8_t *p = out;
    for (; n >= 256; n -= 256, p += sizeof(block_q8_K), in += 256) {
        float top = ordinary_top(in, 256);
        if (top < 0) {
            slm_from_f32_generic(SLM_Q8_K)(p, in, 256);
            continue;
        }
        int at = 0;
        while (__builtin_fabsf(in[at]) != top)
            at++; /* the first extreme gives the sign */
        float scale = -127.0f / in[at], d = 1.0f / scale;
        block_q8_K *b = (block_q8_K *)(void *)p;
        memcpy(p, &d, 4);
        vf S = vf_set1(scale);
        for (int i = 0; i < 256; i += VN)
            vi_put8(b->qs + i, vi_round(vf_mul(S, vf_load(in + i))));
        for (int g = 0; g < 16; g++) {
            int s = 0;
            for (int i = 0; i < 16; i++)
                s += b->qs[16 * g + i];
            b->bsums[g] = (int16_t)s;
        }
    }
}

/* The best conversion that this file or the generic ones have. */
static slm_to_f32_fn *to_f32_of(enum slm_dtype t)
{
    switch ((int)t) {
    case SLM_F16: return f16_to_f32;
    case SLM_BF16: return bf16_to_f32;
    case SLM_Q8_0: return q8_0_to_f32;
    case SLM_Q4_0: return q4_0_to_f32;
    case SLM_Q4_K: return q4_k_to_f32;
    case SLM_Q6_K: return q6_k_to_f32;
#ifdef VF_TABLE16
    case SLM_NF4: return nf4_to_f32;
#endif
    default: return slm_to_f32_generic(t);
    }
}

static void fill_quant(struct slm_kern *k)
{
    static const enum slm_dtype mine[] = {SLM_F16,  SLM_BF16, SLM_Q8_0,
                                          SLM_Q4_0, SLM_Q4_K, SLM_Q6_K};
    for (size_t i = 0; i < sizeof mine / sizeof *mine; i++)
        k->to_f32[mine[i]] = to_f32_of(mine[i]);
    k->from_f32[SLM_F16] = f32_to_f16;
    k->from_f32[SLM_BF16] = f32_to_bf16;
    k->from_f32[SLM_Q8_0] = f32_to_q8_0;
    k->from_f32[SLM_Q8_S] = f32_to_q8_s;
    k->from_f32[SLM_Q8_K] = f32_to_q8_k;
#ifdef VF_TABLE16
    k->to_f32[SLM_NF4] = nf4_to_f32;
    k->from_f32[SLM_NF4] = f32_to_nf4;
#endif
}
