/* Attention over a cache, over the lanes of a vec_*.h. Keys are read in their blocks, where a
 * lane is a position; values in their rows, where it is a channel. Both are turned into floats
 * in registers and used for all queries of a tile, each output being one chain of fused steps:
 * tiles, and turning a block to float32 first, change no bit. */

#define SV 4                 /* vectors of a tile */
#define QR (XR > 4 ? 4 : XR) /* queries of a tile over quantised keys */
#define QV (VN == 8 ? 2 : 4) /* vectors of it: its scales want registers too */
#define NV (VN == 4 ? 8 : 4) /* vectors of quantised values: whole blocks of 32 */

/* ---- keys ---- */

FOLD vf key_plain(const uint8_t *block, size_t at, enum slm_dtype t)
{
    if (t == SLM_F32)
        return vf_load((const float *)(const void *)block + at);
    return t == SLM_F16 ? vf_of_f16(block + 2 * at) : vf_of_bf16(block + 2 * at);
}

/* Channel u of the 4 (q4_0: 8) whose bytes are in raw. */
FOLD vf key_quant(vi raw, vf d, int u, enum slm_dtype t)
{
    if (t == SLM_Q8_0)
        return vf_mul(vi_float(vi_sar(vi_shl(raw, 24 - 8 * u), 24)), d);
    vi n = vi_and(vi_shr(raw, 8 * (u % 4) + 4 * (u / 4)), vi_set1(15));
    return vf_mul(vi_float(vi_sub(n, vi_set1(8))), d);
}

/* Bytes of 32 channels of a quantised block, and its channels a dword. */
FOLD size_t part_bytes(enum slm_dtype t)
{
    return SLM_KEYS * (t == SLM_Q8_0 ? sizeof(block_q8_0) : sizeof(block_q4_0));
}
FOLD int dword_channels(enum slm_dtype t) { return t == SLM_Q8_0 ? 4 : 8; }

static inline bool is_quant(enum slm_dtype t) { return t == SLM_Q8_0 || t == SLM_Q4_0; }

/* The blocks that the vectors of a tile lie in, from position `at` on; a vector's lane in its
 * block is v * VN % SLM_KEYS. */
FOLD void tile_blocks(const uint8_t **k, const struct slm_scores *m, int at, int vecs,
                      enum slm_dtype t)
{
    size_t bytes = SLM_KEYS * slm_row_bytes(t, m->width);
    UNROLL
    for (int v = 0; v < vecs; v++)
        k[v] = (const uint8_t *)m->k + (size_t)((at + v * VN) / SLM_KEYS) * bytes;
}

FOLD void score_plain(const struct slm_scores *m, int at, int i0, int xr, int vecs,
                      enum slm_dtype t)
{
    vf s[XR][SV];
    const uint8_t *k[SV];
    const float *q = m->q + (size_t)i0 * m->ldq;
    const size_t width = m->width, ldq = m->ldq;
    const int lane0 = at % SLM_KEYS;
    tile_blocks(k, m, at, vecs, t);
    UNROLL
    for (int i = 0; i < xr; i++)
        UNROLL
    for (int v = 0; v < vecs; v++)
        s[i][v] = vf_zero();
    for (size_t c = 0; c < width; c++) {
        vf r[SV];
        UNROLL
        for (int v = 0; v < vecs; v++)
            r[v] = key_plain(k[v], c * SLM_KEYS + (lane0 + v * VN) % SLM_KEYS, t);
        UNROLL
        for (int i = 0; i < xr; i++) {
            vf f = vf_set1(q[(size_t)i * ldq + c]);
            UNROLL
            for (int v = 0; v < vecs; v++)
                s[i][v] = vf_fma(f, r[v], s[i][v]);
        }
    }
    UNROLL
    for (int i = 0; i < xr; i++)
        UNROLL
    for (int v = 0; v < vecs; v++)
        vf_store(m->y + (size_t)(i0 + i) * m->ldy + at + v * VN, s[i][v]);
}

FOLD void score_quant(const struct slm_scores *m, int at, int i0, int xr, int vecs,
                      enum slm_dtype t)
{
    vf s[QR][QV];
    const uint8_t *k[QV];
    const float *q = m->q + (size_t)i0 * m->ldq;
    const size_t ldq = m->ldq;
    const int step = dword_channels(t), lane0 = at % SLM_KEYS;
    tile_blocks(k, m, at, vecs, t);
    UNROLL
    for (int i = 0; i < xr; i++)
        UNROLL
    for (int v = 0; v < vecs; v++)
        s[i][v] = vf_zero();
    for (size_t c = 0, off = 0; c < m->width; c += 32, off += part_bytes(t)) {
        vf d[QV];
        UNROLL
        for (int v = 0; v < vecs; v++)
            d[v] = vf_of_f16(k[v] + off + 2 * ((lane0 + v * VN) % SLM_KEYS));
        for (int g = 0; g < 32; g += step) {
            vi raw[QV];
            UNROLL
            for (int v = 0; v < vecs; v++)
                raw[v] = vi_load(k[v] + off + 2 * SLM_KEYS + g / step * 4 * SLM_KEYS +
                                 4 * ((lane0 + v * VN) % SLM_KEYS));
            UNROLL
            for (int u = 0; u < step; u++) {
                vf r[QV];
                UNROLL
                for (int v = 0; v < vecs; v++)
                    r[v] = key_quant(raw[v], d[v], u, t);
                UNROLL
                for (int i = 0; i < xr; i++) {
                    vf f = vf_set1(q[(size_t)i * ldq + c + g + u]);
                    UNROLL
                    for (int v = 0; v < vecs; v++)
                        s[i][v] = vf_fma(f, r[v], s[i][v]);
                }
            }
        }
    }
    UNROLL
    for (int i = 0; i < xr; i++)
        UNROLL
    for (int v = 0; v < vecs; v++)
        vf_store(m->y + (size_t)(i0 + i) * m->ldy + at + v * VN, s[i][v]);
}

FOLD void score_rows(const struct slm_scores *m, int at, int i, int xr, int vecs,
                     enum slm_dtype t)
{
    if (is_quant(t))
        score_quant(m, at, i, xr, vecs, t);
    else
        score_plain(m, at, i, xr, vecs, t);
}

/* All queries over `vecs` vectors of positions. */
FOLD void score_strip(const struct slm_scores *m, int at, int vecs, enum slm_dtype t)
{
    int i = 0;
    if (!is_quant(t) && XR > 4)
        for (; i + XR <= m->ny && m->ny - i != 8; i += XR)
            score_rows(m, at, i, XR, vecs, t);
    for (; i + QR <= m->ny; i += QR)
        score_rows(m, at, i, QR, vecs, t);
    for (; QR > 2 && i + 2 <= m->ny; i += 2)
        score_rows(m, at, i, 2, vecs, t);
    for (; i < m->ny; i++)
        score_rows(m, at, i, 1, vecs, t);
}

FOLD void score_all(const struct slm_scores *m, enum slm_dtype t)
{
    const int vecs = is_quant(t) ? QV : SV, few = SLM_KEYS / VN < vecs ? SLM_KEYS / VN : vecs;
    int at = 0;
    for (; at + vecs * VN <= m->n; at += vecs * VN)
        score_strip(m, at, vecs, t);
    for (; at < m->n; at += few * VN)
        score_strip(m, at, few, t);
}

/* ---- values ---- */

/* `vecs` vectors of a row from element e on; of a quantised one, e is where a block begins. */
FOLD void value_load(vf *r, const uint8_t *row, size_t e, int vecs, enum slm_dtype t)
{
    if (!is_quant(t)) {
        UNROLL
        for (int v = 0; v < vecs; v++)
            r[v] = key_plain(row, e + (size_t)v * VN, t);
        return;
    }
    const size_t bytes = t == SLM_Q8_0 ? sizeof(block_q8_0) : sizeof(block_q4_0);
    row += e / 32 * bytes;
    vf d = vf_zero();
    UNROLL
    for (int v = 0; v < vecs; v++) {
        const int in = v * VN % 32;
        const uint8_t *b = row + (size_t)(v * VN / 32) * bytes;
        if (in == 0)
            d = vf_set1(f16_one_at(b));
        if (t == SLM_Q8_0) {
            r[v] = vf_mul(vf_of_i8(b + 2 + in), d);
        } else {
            vi q = vi_of_u8(b + 2 + in % 16);
            q = in < 16 ? vi_and(q, vi_set1(15)) : vi_shr(q, 4);
            r[v] = vf_mul(vi_float(vi_sub(q, vi_set1(8))), d);
        }
    }
}

FOLD void value_tile(const struct slm_values *m, int i0, size_t e, int xr, int vecs,
                     enum slm_dtype t)
{
    vf s[XR][2 * SV];
    float *y = m->y + (size_t)i0 * m->ldy + e;
    const float *p = m->p + (size_t)i0 * m->ldp;
    const uint8_t *row = m->v;
    const size_t ldy = m->ldy, ldp = m->ldp, stride = m->stride;
    UNROLL
    for (int i = 0; i < xr; i++)
        UNROLL
    for (int v = 0; v < vecs; v++)
        s[i][v] = vf_load(y + (size_t)i * ldy + v * VN);
    for (int j = 0; j < m->n; j++, row += stride) {
        vf r[2 * SV];
        value_load(r, row, e, vecs, t);
        UNROLL
        for (int i = 0; i < xr; i++) {
            vf f = vf_set1(p[(size_t)i * ldp + j]);
            UNROLL
            for (int v = 0; v < vecs; v++)
                s[i][v] = vf_fma(f, r[v], s[i][v]);
        }
    }
    UNROLL
    for (int i = 0; i < xr; i++)
        UNROLL
    for (int v = 0; v < vecs; v++)
        vf_store(y + (size_t)i * ldy + v * VN, s[i][v]);
}

/* Fewer than VN columns at the end of plain rows. */
FOLD void value_tail(const struct slm_values *m, size_t e, enum slm_dtype t)
{
    size_t n = m->width - e;
    for (int i = 0; i < m->ny; i++) {
        float *y = m->y + (size_t)i * m->ldy + e;
        vf s = vf_loadn(y, n);
        for (int j = 0; j < m->n; j++) {
            const uint8_t *row = (const uint8_t *)m->v + (size_t)j * m->stride;
            float r[VN] = {0};
            memcpy(r, row + e * (t == SLM_F32 ? 4 : 2), n * (t == SLM_F32 ? 4 : 2));
            vf x = key_plain((const uint8_t *)r, 0, t);
            s = vf_fma(vf_set1(m->p[(size_t)i * m->ldp + j]), x, s);
        }
        vf_storen(y, s, n);
    }
}

FOLD void value_strip(const struct slm_values *m, size_t e, int vecs, enum slm_dtype t)
{
    int i = 0;
    if (vecs <= SV) {
        for (; i + XR <= m->ny && (XR <= 4 || m->ny - i != 8); i += XR)
            value_tile(m, i, e, XR, vecs, t);
        for (; XR > 4 && i + 4 <= m->ny; i += 4)
            value_tile(m, i, e, 4, vecs, t);
    }
    for (; XR > 2 && i + 2 <= m->ny; i += 2)
        value_tile(m, i, e, 2, vecs, t);
    for (; i < m->ny; i++)
        value_tile(m, i, e, 1, vecs, t);
}

FOLD void value_all(const struct slm_values *m, enum slm_dtype t)
{
    size_t e = 0;
    if (is_quant(t)) {
        for (; e + NV * VN <= m->width; e += NV * VN)
            value_strip(m, e, NV, t);
        for (; e < m->width; e += 32)
            value_strip(m, e, 32 / VN, t);
        return;
    }
    for (; VN > 8 && m->ny <= 2 && e + 2 * SV * VN <= m->width; e += 2 * SV * VN)
        value_strip(m, e, 2 * SV, t);
    for (; e + SV * VN <= m->width; e += SV * VN)
        value_strip(m, e, SV, t);
    for (; e + VN <= m->width; e += VN)
        value_strip(m, e, 1, t);
    if (e < m->width)
        value_tail(m, e, t);
}

/* ---- blocks of keys as floats ---- */

FOLD void get_plain(float *out, const uint8_t *block, size_t n, size_t width, enum slm_dtype t)
{
    for (size_t i = 0; i < n * width * SLM_KEYS; i += VN)
        vf_store(out + i, key_plain(block, i, t));
}

FOLD void get_quant(float *out, const uint8_t *part, size_t n, size_t width, enum slm_dtype t)
{
    const int step = dword_channels(t);
    for (size_t b = 0; b < n * width / 32; b++, part += part_bytes(t), out += 32 * SLM_KEYS)
        for (int j = 0; j < SLM_KEYS; j += VN) {
            vf d = vf_of_f16(part + 2 * j);
            for (int g = 0; g < 32; g += step) {
                vi raw = vi_load(part + 2 * SLM_KEYS + g / step * 4 * SLM_KEYS + 4 * j);
                UNROLL
                for (int u = 0; u < step; u++)
                    vf_store(out + (g + u) * SLM_KEYS + j, key_quant(raw, d, u, t));
            }
        }
}

/* ---- exponents ---- */

/* exp of what is not above 0: vf_exp without its upper half */
static inline vf exp_down(vf x)
{
    const vf lo = vf_set1(-86.9f);
    vf n, p = exp_reduced(vf_max(lo, x), &n);
    return vf_if_less(x, lo, vf_zero(), vf_mul(p, vf_pow2(n)));
}

static float exp_sum(float *x, float top, size_t n)
{
    vf s[2] = {vf_zero(), vf_zero()}, T = vf_set1(top);
    size_t i = 0;
    for (; i + 2 * VN <= n; i += 2 * VN) {
        vf a = exp_down(vf_sub(vf_load(x + i), T)),
           b = exp_down(vf_sub(vf_load(x + i + VN), T));
        vf_store(x + i, a);
        vf_store(x + i + VN, b);
        s[0] = vf_add(s[0], a);
        s[1] = vf_add(s[1], b);
    }
    for (; i + VN <= n; i += VN) {
        vf a = exp_down(vf_sub(vf_load(x + i), T));
        vf_store(x + i, a);
        s[0] = vf_add(s[0], a);
    }
    float sum = 0;
    if (i < n) {
        float t[VN];
        vf_store(t, exp_down(vf_sub(vf_loadn(x + i, n - i), T)));
        for (int l = 0; i < n; i++, l++)
            sum += x[i] = t[l];
    }
    return vf_sum(vf_add(s[0], s[1])) + sum;
}

#define CACHE_TYPE(ID, id, get)                                                                \
    static void key_get_##id(float *out, const void *block, size_t n, size_t width)            \
    {                                                                                          \
        get(out, block, n, width, SLM_##ID);                                                   \
    }                                                                                          \
    static void scores_##id(const struct slm_scores *m) { score_all(m, SLM_##ID); }            \
    static void values_##id(const struct slm_values *m) { value_all(m, SLM_##ID); }

CACHE_TYPE(F32, f32, get_plain)
CACHE_TYPE(F16, f16, get_plain)
CACHE_TYPE(BF16, bf16, get_plain)
CACHE_TYPE(Q8_0, q8_0, get_quant)
CACHE_TYPE(Q4_0, q4_0, get_quant)
#undef CACHE_TYPE

static void fill_attn(struct slm_kern *k)
{
#define CACHE_TYPE(ID, id)                                                                     \
    k->key_get[SLM_##ID] = key_get_##id;                                                       \
    k->scores[SLM_##ID] = scores_##id;                                                         \
    k->values[SLM_##ID] = values_##id
    CACHE_TYPE(F32, f32);
    CACHE_TYPE(F16, f16);
    CACHE_TYPE(BF16, bf16);
    CACHE_TYPE(Q8_0, q8_0);
    CACHE_TYPE(Q4_0, q4_0);
#undef CACHE_TYPE
    k->exp_sum = exp_sum;
}
