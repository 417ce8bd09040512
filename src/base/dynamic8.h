/* The 8-bit dynamic code of bitsandbytes (Dettmers et al., arXiv 2110.02861): 256 numbers in
 * [-1, 1] or [0, 1], dense in seven decades, that stand for a block's values by its largest
 * magnitude. Scales of NF4 matrices and states of optimisers are kept in it. */
#ifndef SLM_BASE_DYNAMIC8_H
#define SLM_BASE_DYNAMIC8_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct slm_dynamic8 {
    float value[256];     /* rising */
    float middle[256];    /* between value c and c + 1; infinity behind the last */
    uint8_t first[65536]; /* by a float's upper half: no code of such a float is lower */
};

void slm_dynamic8_fill(struct slm_dynamic8 *d, bool with_sign);

/* The code whose value is nearest to v, the lower of two: as many as middles lie below v. */
static inline uint8_t slm_dynamic8_code(const struct slm_dynamic8 *d, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    unsigned c = d->first[bits >> 16];
    while (d->middle[c] < v)
        c++;
    return (uint8_t)c;
}

#endif
