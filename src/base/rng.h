/* Random numbers: xoshiro256** (Blackman, Vigna), seeded by splitmix64. Same seed, same
 * numbers, everywhere. */
#ifndef SLM_BASE_RNG_H
#define SLM_BASE_RNG_H

#include <stdint.h>

struct slm_rng {
    uint64_t s[4];
};

void slm_rng_init(struct slm_rng *r, uint64_t seed);
uint64_t slm_rng_u64(struct slm_rng *r);
/* Uniform in [0, 1), 53 bits; and below n without bias. */
double slm_rng_unit(struct slm_rng *r);
uint64_t slm_rng_below(struct slm_rng *r, uint64_t n);
/* Standard normal. */
double slm_rng_normal(struct slm_rng *r);

#endif
