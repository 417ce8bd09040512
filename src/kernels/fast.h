/* What the integer products of all levels share: value tables and the packed scales of
 * k-quants. */
#ifndef SLM_KERN_FAST_H
#define SLM_KERN_FAST_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/iq_grid.h"
#include "kernels/quant.h"

/* IQ4_NL, IQ4_XS */
static const int8_t slm_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};

/* Types whose fast product is of integers (fast_generic.c); the others go by float. */
static inline bool slm_fast_in_integers(enum slm_dtype t)
{
    switch ((int)t) {
    case SLM_Q4_0:
    case SLM_Q4_1:
    case SLM_Q5_0:
    case SLM_Q5_1:
    case SLM_Q8_0:
    case SLM_IQ4_NL:
    case SLM_MXFP4:
    case SLM_Q2_K:
    case SLM_Q3_K:
    case SLM_Q4_K:
    case SLM_Q5_K:
    case SLM_Q6_K:
    case SLM_IQ4_XS:
    case SLM_IQ2_XXS:
    case SLM_IQ2_XS:
    case SLM_IQ2_S:
    case SLM_IQ3_XXS:
    case SLM_IQ3_S:
    case SLM_IQ1_S:
    case SLM_IQ1_M:
    case SLM_TQ1_0:
    case SLM_TQ2_0: return true;
    default: return false;
    }
}

/* Q4_K, Q5_K: eight 6-bit scales and minima in 12 bytes, for the sixteen groups of 16. */
static inline void slm_q4k_scales(const uint8_t *s, int16_t *sc, int16_t *mn)
{
    for (int g = 0; g < 8; g++) {
        int a = g < 4 ? s[g] & 63 : (s[g + 4] & 15) | s[g - 4] >> 6 << 4;
        int m = g < 4 ? s[g + 4] & 63 : s[g + 4] >> 4 | s[g] >> 6 << 4;
        sc[2 * g] = sc[2 * g + 1] = (int16_t)a;
        mn[2 * g] = mn[2 * g + 1] = (int16_t)m;
    }
}

/* Q3_K: sixteen 6-bit scales in 12 bytes. */
static inline void slm_q3k_scales(const uint8_t *s, int16_t *sc)
{
    for (int g = 0; g < 16; g++) {
        int low = g < 8 ? s[g] & 15 : s[g - 8] >> 4, high = s[8 + g % 4] >> g / 4 * 2 & 3;
        sc[g] = (int16_t)((low | high << 4) - 32);
    }
}

#endif
