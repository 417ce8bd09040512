/* The codebooks of the I types (iq_tables.inc, held by quant_iq_generic.c): in rising order, 16
 * bits an entry, first element lowest: 2 bits an element for entries of 8, 3 bits for entries
 * of 4. */
#ifndef SLM_KERNELS_IQ_GRID_H
#define SLM_KERNELS_IQ_GRID_H

#include <stdint.h>

extern const uint16_t slm_iq2_xxs_grid[256], slm_iq2_xs_grid[512], slm_iq2_s_grid[1024];
extern const uint16_t slm_iq3_xxs_grid[256], slm_iq3_s_grid[512];
extern const uint16_t slm_iq1_s_grid[2048];

/* The same for vectors: a dword has, of 8 elements, codes j and j + 4 in the low four bits of
 * byte j; of 4 elements the magnitudes. */
extern const uint32_t slm_iq2_xxs_wide[256], slm_iq2_xs_wide[512], slm_iq2_s_wide[1024];
extern const uint32_t slm_iq3_xxs_wide[256], slm_iq3_s_wide[512];
extern const uint32_t slm_iq1_s_wide[2048];

/* Magnitudes of the 2-bit codes, of the 3-bit codes of IQ3_XXS. Those of IQ3_S are 2 code + 1,
 * and the values of IQ1 are code - 1. */
static const uint8_t slm_iq2_level[4] = {8, 25, 43, 0};
static const uint8_t slm_iq3_level[8] = {4, 12, 20, 28, 36, 44, 52, 62};

/* Seven stored sign bits; the eighth makes their number even. */
static inline unsigned slm_iq_signs(unsigned seven)
{
    unsigned p = seven ^ seven >> 4;
    p ^= p >> 2;
    p ^= p >> 1;
    return seven | (p & 1) << 7;
}

#endif
