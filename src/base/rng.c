/* xoshiro256**, after Blackman and Vigna's description; the normal by Box and Muller. */
#include "base/rng.h"

#include <math.h>

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = *x += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void slm_rng_init(struct slm_rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        r->s[i] = splitmix(&seed);
}

static uint64_t rotl(uint64_t x, int k) { return x << k | x >> (64 - k); }

uint64_t slm_rng_u64(struct slm_rng *r)
{
    uint64_t *s = r->s, out = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return out;
}

double slm_rng_unit(struct slm_rng *r) { return (double)(slm_rng_u64(r) >> 11) * 0x1p-53; }

uint64_t slm_rng_below(struct slm_rng *r, uint64_t n)
{
    uint64_t limit = n ? UINT64_MAX - UINT64_MAX % n : 0, x;
    if (!n)
        return 0;
    do
        x = slm_rng_u64(r);
    while (x >= limit);
    return x % n;
}

double slm_rng_normal(struct slm_rng *r)
{
    double u = 1.0 - slm_rng_unit(r), v = slm_rng_unit(r);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}
