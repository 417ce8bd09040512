/* Where blocks keep codes. A code lies in one or two pieces of its bits; a piece fills bytes
 * `span` numbers at a time: the first `span` numbers take the lowest bits of as many bytes, the
 * next ones the bits above, until the bytes are full. One line a type tells it all. */
#include <stddef.h>
#include <string.h>

#include "compress/second.h"

struct piece {
    size_t at;
    int bits, span;
};
struct layout {
    enum slm_dtype type;
    int n;
    bool linear;
    uint8_t flip;
    struct piece piece[2];
};

#define AT(block, field) offsetof(block_##block, field)
/* clang-format off */
static const struct layout layouts[] = {
    {SLM_Q4_0,    16, true,  0,    {{AT(q4_0, qs),   4, 16}}},
    {SLM_Q4_1,    16, true,  0,    {{AT(q4_1, qs),   4, 16}}},
    {SLM_Q5_0,    32, true,  0,    {{AT(q5_0, qs),   4, 16}, {AT(q5_0, qh),    1,  1}}},
    {SLM_Q5_1,    32, true,  0,    {{AT(q5_1, qs),   4, 16}, {AT(q5_1, qh),    1,  1}}},
    {SLM_Q8_0,   256, true,  0x80, {{AT(q8_0, qs),   8,  1}}},
    {SLM_Q2_K,     4, true,  0,    {{AT(q2_K, qs),   2, 32}}},
    {SLM_Q3_K,     8, true,  0,    {{AT(q3_K, qs),   2, 32}, {AT(q3_K, hmask), 1, 32}}},
    {SLM_Q4_K,    16, true,  0,    {{AT(q4_K, qs),   4, 32}}},
    {SLM_Q5_K,    32, true,  0,    {{AT(q5_K, qs),   4, 32}, {AT(q5_K, qh),    1, 32}}},
    {SLM_Q6_K,    64, true,  0,    {{AT(q6_K, ql),   4, 64}, {AT(q6_K, qh),    2, 32}}},
    {SLM_IQ4_NL,  16, false, 0,    {{AT(iq4_nl, qs), 4, 16}}},
    {SLM_IQ4_XS,  16, false, 0,    {{AT(iq4_xs, qs), 4, 16}}},
    {SLM_MXFP4,   16, false, 0,    {{AT(mxfp4, qs),  4, 16}}},
    {SLM_TQ2_0,    3, true,  0,    {{AT(tq2_0, qs),  2, 32}}},
};
/* clang-format on */

bool slm_codes_of(struct slm_codes *c, enum slm_dtype t)
{
    for (size_t k = 0; k < sizeof layouts / sizeof *layouts; k++) {
        const struct layout *l = &layouts[k];
        if (l->type != t)
            continue;
        *c = (struct slm_codes){
            .block = slm_dtypes[t].block, .n = l->n, .linear = l->linear, .flip = l->flip};
        for (int i = 0; i < c->block; i++)
            for (int p = 0; p < 2; p++) {
                const struct piece *x = &l->piece[p];
                int group = x->bits ? x->span * (8 / x->bits) : 1;
                if (!x->bits)
                    continue;
                c->code[i].at[p] =
                    (uint16_t)(x->at + (size_t)(i / group * x->span + i % group % x->span));
                c->code[i].shift[p] = (uint8_t)(i % group / x->span * x->bits);
                c->code[i].bits[p] = (uint8_t)x->bits;
            }
        return true;
    }
    return false;
}

void slm_codes_put(const struct slm_codes *c, uint8_t *block, const uint8_t *code)
{
    for (int i = 0; i < c->block; i++) {
        const struct slm_code *x = &c->code[i];
        unsigned v = code[i] ^ c->flip;
        for (int p = 0; p < 2 && x->bits[p]; p++) {
            unsigned mask = (1u << x->bits[p]) - 1;
            uint8_t *b = block + x->at[p];
            *b = (uint8_t)((*b & ~(mask << x->shift[p])) | (v & mask) << x->shift[p]);
            v >>= x->bits[p];
        }
    }
}
