/* Part of fast_generic.c: the I types and the ternary ones as integers. The halves, quarters
 * and eighths of their formulas go into d, which changes none of its bits: IQ2 is d / 8 times
 * (2 s + 1) times 8, 25 or 43; IQ1's shift of an eighth makes its values 8 v + 1 or 8 v - 1. */

static uint32_t word32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

static void iq_eight(int8_t *q, unsigned code, unsigned signs)
{
    for (int i = 0; i < 8; i++) {
        int v = slm_iq2_level[code >> 2 * i & 3];
        q[i] = (int8_t)(signs >> i & 1 ? -v : v);
    }
}

static void un_iq2_xxs(struct ints *u, const void *w)
{
    const block_iq2_xxs *b = w;
    u->d = slm_f16_to_f32(b->d) * 0.125f;
    for (int p = 0; p < 8; p++) {
        const uint8_t *q = (const uint8_t *)(b->qs + 4 * p);
        uint32_t s = word32(q + 4);
        u->sc[2 * p] = u->sc[2 * p + 1] = (int16_t)(2 * (s >> 28) + 1);
        for (int l = 0; l < 4; l++)
            iq_eight(u->q + 32 * p + 8 * l, slm_iq2_xxs_grid[q[l]],
                     slm_iq_signs(s >> 7 * l & 127));
    }
}

static void scales_iq2(struct ints *u, const uint8_t *s)
{
    for (int g = 0; g < 16; g++)
        u->sc[g] = (int16_t)(2 * (s[g / 2] >> g % 2 * 4 & 15) + 1);
}

static void un_iq2_xs(struct ints *u, const void *w)
{
    const block_iq2_xs *b = w;
    u->d = slm_f16_to_f32(b->d) * 0.125f;
    scales_iq2(u, b->scales);
    for (int l = 0; l < 32; l++)
        iq_eight(u->q + 8 * l, slm_iq2_xs_grid[b->qs[l] & 511], slm_iq_signs(b->qs[l] >> 9));
}

static void un_iq2_s(struct ints *u, const void *w)
{
    const block_iq2_s *b = w;
    u->d = slm_f16_to_f32(b->d) * 0.125f;
    scales_iq2(u, b->scales);
    for (int l = 0; l < 32; l++) {
        int high = b->qh[l / 4] >> l % 4 * 2 & 3;
        iq_eight(u->q + 8 * l, slm_iq2_s_grid[b->qs[l] | high << 8], b->qs[32 + l]);
    }
}

static void un_iq3_xxs(struct ints *u, const void *w)
{
    const block_iq3_xxs *b = w;
    u->d = slm_f16_to_f32(b->d) * 0.25f;
    for (int i = 0; i < 256; i++) {
        uint32_t s = word32(b->qs + 64 + i / 32 * 4);
        int v = slm_iq3_level[slm_iq3_xxs_grid[b->qs[i / 4]] >> 3 * (i % 4) & 7];
        bool minus = slm_iq_signs(s >> 7 * (i / 8 % 4) & 127) >> i % 8 & 1;
        u->q[i] = (int8_t)(minus ? -v : v);
        u->sc[i / 16] = (int16_t)(2 * (s >> 28) + 1);
    }
}

static void un_iq3_s(struct ints *u, const void *w)
{
    const block_iq3_s *b = w;
    u->d = slm_f16_to_f32(b->d);
    for (int i = 0; i < 256; i++) {
        int high = b->qh[i / 32] >> i / 4 % 8 & 1;
        int v = 2 * (slm_iq3_s_grid[b->qs[i / 4] | high << 8] >> 3 * (i % 4) & 7) + 1;
        u->q[i] = (int8_t)(b->signs[i / 8] >> i % 8 & 1 ? -v : v);
        u->sc[i / 16] = (int16_t)(2 * (b->scales[i / 64] >> i / 32 % 2 * 4 & 15) + 1);
    }
}

static void iq1_eight(int8_t *q, unsigned code, bool down)
{
    for (int i = 0; i < 8; i++)
        q[i] = (int8_t)(8 * ((int)(code >> 2 * i & 3) - 1) + (down ? -1 : 1));
}

static void un_iq1_s(struct ints *u, const void *w)
{
    const block_iq1_s *b = w;
    u->d = slm_f16_to_f32(b->d) * 0.125f;
    for (int l = 0; l < 32; l++) {
        unsigned h = b->qh[l / 4];
        u->sc[l / 2] = (int16_t)(2 * (h >> 12 & 7) + 1);
        iq1_eight(u->q + 8 * l, slm_iq1_s_grid[b->qs[l] | (h >> 3 * (l % 4) & 7) << 8],
                  h & 0x8000);
    }
}

static void un_iq1_m(struct ints *u, const void *w)
{
    const block_iq1_m *b = w;
    uint16_t sc[4], d = 0;
    memcpy(sc, b->scales, sizeof sc);
    for (int i = 0; i < 4; i++)
        d = (uint16_t)(d | sc[i] >> 12 << 4 * i);
    u->d = slm_f16_to_f32(d) * 0.125f;
    for (int l = 0; l < 32; l++) {
        int h = b->qh[l / 2] >> l % 2 * 4;
        u->sc[l / 2] = (int16_t)(2 * (sc[l / 8] >> l / 2 % 4 * 3 & 7) + 1);
        iq1_eight(u->q + 8 * l, slm_iq1_s_grid[b->qs[l] | (h & 7) << 8], h & 8);
    }
}

static void ones(struct ints *u)
{
    for (int g = 0; g < 16; g++)
        u->sc[g] = 1;
}

static void un_tq1_0(struct ints *u, const void *w)
{
    static const uint8_t power[5] = {1, 3, 9, 27, 81};
    const block_tq1_0 *b = w;
    u->d = slm_f16_to_f32(b->d);
    ones(u);
    for (int i = 0; i < 256; i++) {
        int byte = i < 160 ? b->qs[i % 32] : i < 240 ? b->qs[32 + i % 16] : b->qh[i % 4];
        int place = i < 160 ? i / 32 : i < 240 ? (i - 160) / 16 : (i - 240) / 4;
        u->q[i] = (int8_t)(((uint8_t)(byte * power[place]) * 3 >> 8) - 1);
    }
}

static void un_tq2_0(struct ints *u, const void *w)
{
    const block_tq2_0 *b = w;
    u->d = slm_f16_to_f32(b->d);
    ones(u);
    for (int i = 0; i < 256; i++)
        u->q[i] = (int8_t)((b->qs[i / 128 * 32 + i % 32] >> i / 32 % 4 * 2 & 3) - 1);
}

/* type, unpack, block */
#define FAST_IQ_TYPES(X)                                                                       \
    X(IQ2_XXS, un_iq2_xxs, block_iq2_xxs)                                                      \
    X(IQ2_XS, un_iq2_xs, block_iq2_xs)                                                         \
    X(IQ2_S, un_iq2_s, block_iq2_s)                                                            \
    X(IQ3_XXS, un_iq3_xxs, block_iq3_xxs)                                                      \
    X(IQ3_S, un_iq3_s, block_iq3_s)                                                            \
    X(IQ1_S, un_iq1_s, block_iq1_s)                                                            \
    X(IQ1_M, un_iq1_m, block_iq1_m)                                                            \
    X(TQ1_0, un_tq1_0, block_tq1_0)                                                            \
    X(TQ2_0, un_tq2_0, block_tq2_0)
