/* What the search for the I types (iq_best_body.h, one build an instruction set) gives, and how
 * it lies in the blocks of a file. */
#ifndef SLM_KERNELS_IQ_BEST_H
#define SLM_KERNELS_IQ_BEST_H

#include <float.h>
#include <math.h>

#include "kernels/body.h"
#include "kernels/iq_grid.h"
#include "kernels/quant.h"

struct iq_block {
    uint16_t d;
    uint16_t at[64];   /* entries of the codebook, 32 of 8 elements or 64 of 4 */
    uint8_t signs[32]; /* of 8 elements each */
    uint8_t minus[32]; /* IQ1: shifted down */
    uint8_t s[16];     /* scales of the sub-blocks */
};

static void put_iq2_xxs(void *out, const struct iq_block *r)
{
    block_iq2_xxs *b = out;
    b->d = r->d;
    for (int p = 0; p < 8; p++) {
        uint32_t word = (uint32_t)r->s[p] << 28;
        uint8_t *q = (uint8_t *)(b->qs + 4 * p);
        for (int l = 0; l < 4; l++) {
            q[l] = (uint8_t)r->at[4 * p + l];
            word |= (uint32_t)(r->signs[4 * p + l] & 127) << 7 * l;
        }
        memcpy(q + 4, &word, 4);
    }
}

static void put_iq2_xs(void *out, const struct iq_block *r)
{
    block_iq2_xs *b = out;
    b->d = r->d;
    for (int l = 0; l < 32; l++)
        b->qs[l] = (uint16_t)(r->at[l] | (r->signs[l] & 127) << 9);
    for (int j = 0; j < 16; j++)
        b->scales[j >> 1] |= (uint8_t)(r->s[j] << (j & 1) * 4);
}

static void put_iq2_s(void *out, const struct iq_block *r)
{
    block_iq2_s *b = out;
    b->d = r->d;
    for (int l = 0; l < 32; l++) {
        b->qs[l] = (uint8_t)r->at[l];
        b->qs[32 + l] = r->signs[l];
        b->qh[l >> 2] |= (uint8_t)(r->at[l] >> 8 << (l & 3) * 2);
    }
    for (int j = 0; j < 16; j++)
        b->scales[j >> 1] |= (uint8_t)(r->s[j] << (j & 1) * 4);
}

static void put_iq3_xxs(void *out, const struct iq_block *r)
{
    block_iq3_xxs *b = out;
    b->d = r->d;
    for (int i = 0; i < 64; i++)
        b->qs[i] = (uint8_t)r->at[i];
    for (int p = 0; p < 8; p++) {
        uint32_t word = (uint32_t)r->s[p] << 28;
        for (int l = 0; l < 4; l++)
            word |= (uint32_t)(r->signs[4 * p + l] & 127) << 7 * l;
        memcpy(b->qs + 64 + 4 * p, &word, 4);
    }
}

static void put_iq3_s(void *out, const struct iq_block *r)
{
    block_iq3_s *b = out;
    b->d = r->d;
    for (int i = 0; i < 64; i++) {
        b->qs[i] = (uint8_t)r->at[i];
        b->qh[i >> 3] |= (uint8_t)(r->at[i] >> 8 << (i & 7));
    }
    memcpy(b->signs, r->signs, sizeof b->signs);
    for (int j = 0; j < 8; j++)
        b->scales[j >> 1] |= (uint8_t)(r->s[j] << (j & 1) * 4);
}

static void put_iq1_s(void *out, const struct iq_block *r)
{
    block_iq1_s *b = out;
    b->d = r->d;
    for (int l = 0; l < 32; l++) {
        b->qs[l] = (uint8_t)r->at[l];
        b->qh[l >> 2] |= (uint16_t)(r->at[l] >> 8 << 3 * (l & 3));
    }
    for (int p = 0; p < 8; p++)
        b->qh[p] |= (uint16_t)(r->s[p] << 12 | r->minus[4 * p] << 15);
}

static void put_iq1_m(void *out, const struct iq_block *r)
{
    block_iq1_m *b = out;
    uint16_t sc[4];
    for (int i = 0; i < 4; i++)
        sc[i] = (uint16_t)((r->d >> 4 * i & 15) << 12);
    for (int l = 0; l < 32; l++) {
        b->qs[l] = (uint8_t)r->at[l];
        b->qh[l >> 1] |= (uint8_t)((r->at[l] >> 8 | r->minus[l] << 3) << (l & 1) * 4);
    }
    for (int j = 0; j < 16; j++)
        sc[j >> 2] |= (uint16_t)(r->s[j] << 3 * (j & 3));
    memcpy(b->scales, sc, sizeof sc);
}

#endif
