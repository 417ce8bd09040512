/* Part of iq_best_body.h: the entry of a codebook that costs least, given what each element
 * would cost at each of its levels. An entry's cost is that of its low half plus that of its
 * high half. Both halves are tabulated, and since the codebook is in order, the entries of one
 * high half stand together: a high half whose cost plus the least that any low half costs is
 * not below the best so far is passed over. The answer is exact. */

/* A codebook, and what is made of it once a call. */
struct finder {
    const uint16_t *codes;
    int each;           /* elements of an entry: 8 of 3 levels, or 4 of 8 */
    int bits;           /* of half a code */
    int halves;         /* high halves that occur */
    uint8_t high[81];   /* them, rising */
    uint16_t first[82]; /* their first entry; one more ends the last */
};

static void finder_init(struct finder *f, const uint16_t *codes, int n, int each)
{
    f->codes = codes;
    f->each = each;
    f->bits = each == 8 ? 8 : 6;
    f->halves = 0;
    for (int i = 0; i < n; i++) {
        uint8_t h = (uint8_t)(codes[i] >> f->bits);
        if (f->halves == 0 || f->high[f->halves - 1] != h) {
            f->high[f->halves] = h;
            f->first[f->halves++] = (uint16_t)i;
        }
    }
    f->first[f->halves] = (uint16_t)n;
}

/* Costs are 32 numbers: 4 for each of 8 elements (the fourth never taken) or 8 for each of 4.
 * What half of the elements costs in all combinations, by the half of the code: */
static void half_costs(float *t, const float *c, int each)
{
    float p[16], q[16];
    if (each == 4) {
        for (int j = 0; j < 8; j++)
            for (int i = 0; i < 8; i++)
                t[8 * j + i] = c[8 + j] + c[i];
        return;
    }
    for (int j = 0; j < 4; j++)
        for (int i = 0; i < 4; i++) {
            p[4 * j + i] = c[4 + j] + c[i];
            q[4 * j + i] = c[12 + j] + c[8 + i];
        }
    for (int j = 0; j < 16; j++)
        for (int i = 0; i < 16; i++)
            t[16 * j + i] = q[j] + p[i];
}

static float min_of(float a, float b) { return a < b ? a : b; }

/* The least that one element costs. */
static float element_least(const float *c, int each)
{
    if (each == 8)
        return min_of(min_of(c[0], c[1]), c[2]);
    return min_of(min_of(min_of(c[0], c[1]), min_of(c[2], c[3])),
                  min_of(min_of(c[4], c[5]), min_of(c[6], c[7])));
}

/* The least cost below `best`, its entry in *at; `best` and *at as they were where there is
 * none. `guess` is an entry to begin with. */
static float find(const struct finder *f, const float *c, float best, int guess, int *at)
{
    float low[256], high[256], least = 0;
    const uint16_t *codes = f->codes;
    unsigned mask = (1u << f->bits) - 1;
    half_costs(low, c, f->each);
    half_costs(high, c + 16, f->each);
    for (int e = 0, step = 32 / f->each; e < f->each / 2; e++)
        least += element_least(c + e * step, f->each);
    float first = low[codes[guess] & mask] + high[codes[guess] >> f->bits];
    if (first < best) {
        best = first;
        *at = guess;
    }
    for (int h = 0; h < f->halves; h++) {
        float base = high[f->high[h]], room = best - base;
        if (!(least < room))
            continue;
        for (int i = f->first[h]; i < f->first[h + 1]; i++) {
            float v = low[codes[i] & mask];
            if (v < room) {
                room = v;
                best = base + v;
                *at = i;
            }
        }
    }
    return best;
}
