/* Signatures. A hash of the family is the upper half of a * x + b over 64 bits: x is mixed well
 * already, so multiply-shift is all that is needed, and compilers make vectors of it. */
#include "corpus/minhash.h"

#include <math.h>

void slm_minhash_choose(double threshold, int hashes, int *bands, int *rows)
{
    double best = (double)INFINITY;
    *bands = hashes;
    *rows = 1;
    for (int r = 1; r <= hashes; r++) {
        int b = hashes / r;
        double off = fabs(pow(1.0 / b, 1.0 / r) - threshold);
        if (off < best) {
            best = off;
            *bands = b;
            *rows = r;
        }
    }
}

void slm_minhash_init(struct slm_minhash *m, int bands, int rows, uint64_t seed)
{
    struct slm_rng rng;
    slm_rng_init(&rng, seed);
    m->bands = bands;
    m->rows = rows;
    for (int i = 0; i < bands * rows; i++) {
        m->mul[i] = slm_rng_u64(&rng) | 1;
        m->add[i] = slm_rng_u64(&rng);
    }
}

void slm_minhash_keys(const struct slm_minhash *m, const struct slm_grams *g, int lo, int hi,
                      uint64_t *key)
{
    uint32_t least[SLM_MINHASH_MAX];
    int n = (hi - lo) * m->rows;
    const uint64_t *mul = m->mul + lo * m->rows, *add = m->add + lo * m->rows;
    for (int i = 0; i < n; i++)
        least[i] = UINT32_MAX;
    for (size_t k = 0; k < g->n; k++) {
        uint64_t x = g->hash[k];
        for (int i = 0; i < n; i++) {
            uint32_t v = (uint32_t)((x * mul[i] + add[i]) >> 32);
            least[i] = v < least[i] ? v : least[i];
        }
    }
    for (int b = lo; b < hi; b++) {
        uint64_t h = (uint64_t)b + 1;
        for (int i = 0; i < m->rows; i++)
            h = slm_mix64(h * 0x9e3779b97f4a7c15u + least[(b - lo) * m->rows + i]);
        key[b - lo] = h;
    }
}
