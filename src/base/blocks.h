/* The blocks of GGUF's quantised types, byte for byte as files hold them (little endian). A `d`
 * is a float16 scale, `qs` the low bits, `qh` the high bits, `scales` packed sub-block scales.
 * The arithmetic that gives values from them stands in kernels/quant_*.c. */
#ifndef SLM_BASE_BLOCKS_H
#define SLM_BASE_BLOCKS_H

#include <assert.h>
#include <stdint.h>

typedef struct { uint16_t d; uint8_t qs[16]; } block_q4_0;
typedef struct { uint16_t d, m; uint8_t qs[16]; } block_q4_1;
typedef struct { uint16_t d; uint8_t qh[4]; uint8_t qs[16]; } block_q5_0;
typedef struct { uint16_t d, m; uint8_t qh[4]; uint8_t qs[16]; } block_q5_1;
typedef struct { uint16_t d; int8_t qs[32]; } block_q8_0;
typedef struct { uint16_t d, s; int8_t qs[32]; } block_q8_1;  /* s = d * sum(qs) */
typedef struct { float d; int32_t neg; int8_t qs[32]; } block_q8_s; /* never in a file; neg:
                                                                       -sum(qs) */
typedef struct { uint8_t scales[16]; uint8_t qs[64]; uint16_t d, dmin; } block_q2_K;
typedef struct {
    uint8_t hmask[32];
    uint8_t qs[64];
    uint8_t scales[12];
    uint16_t d;
} block_q3_K;
typedef struct { uint16_t d, dmin; uint8_t scales[12]; uint8_t qs[128]; } block_q4_K;
typedef struct {
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t qh[32];
    uint8_t qs[128];
} block_q5_K;
typedef struct { uint8_t ql[128]; uint8_t qh[64]; int8_t scales[16]; uint16_t d; } block_q6_K;
typedef struct { float d; int8_t qs[256]; int16_t bsums[16]; } block_q8_K; /* never in a file */
typedef struct { uint16_t d; uint16_t qs[32]; } block_iq2_xxs;
typedef struct { uint16_t d; uint16_t qs[32]; uint8_t scales[8]; } block_iq2_xs;
typedef struct { uint16_t d; uint8_t qs[64]; uint8_t qh[8]; uint8_t scales[8]; } block_iq2_s;
typedef struct { uint16_t d; uint8_t qs[96]; } block_iq3_xxs;
typedef struct {
    uint16_t d;
    uint8_t qs[64];
    uint8_t qh[8];
    uint8_t signs[32];
    uint8_t scales[4];
} block_iq3_s;
typedef struct { uint16_t d; uint8_t qs[32]; uint16_t qh[8]; } block_iq1_s;
typedef struct { uint8_t qs[32]; uint8_t qh[16]; uint8_t scales[8]; } block_iq1_m;
typedef struct { uint16_t d; uint8_t qs[16]; } block_iq4_nl;
typedef struct {
    uint16_t d;
    uint16_t scales_h;
    uint8_t scales_l[4];
    uint8_t qs[128];
} block_iq4_xs;
typedef struct { uint8_t qs[48]; uint8_t qh[4]; uint16_t d; } block_tq1_0;
typedef struct { uint8_t qs[64]; uint16_t d; } block_tq2_0;
typedef struct { uint8_t e; uint8_t qs[16]; } block_mxfp4;
typedef struct { uint8_t d[4]; uint8_t qs[32]; } block_nvfp4;
/* bitsandbytes' 4-bit block of 64 as it stands in memory, never in a GGUF file; the first of
 * two values in the high half of a byte */
typedef struct { float d; uint8_t qs[32]; } block_nf4;
typedef struct { uint16_t d; uint8_t qs[16]; } block_q1_0;
typedef struct { uint16_t d; uint8_t qs[16]; } block_q2_0;

#define SLM_BLOCK_IS(type, n) static_assert(sizeof(type) == (n), #type " is a file format")
SLM_BLOCK_IS(block_q4_0, 18);   SLM_BLOCK_IS(block_q4_1, 20);   SLM_BLOCK_IS(block_q5_0, 22);
SLM_BLOCK_IS(block_q5_1, 24);   SLM_BLOCK_IS(block_q8_0, 34);   SLM_BLOCK_IS(block_q8_1, 36);
SLM_BLOCK_IS(block_q8_s, 40);
SLM_BLOCK_IS(block_q2_K, 84);   SLM_BLOCK_IS(block_q3_K, 110);  SLM_BLOCK_IS(block_q4_K, 144);
SLM_BLOCK_IS(block_q5_K, 176);  SLM_BLOCK_IS(block_q6_K, 210);  SLM_BLOCK_IS(block_q8_K, 292);
SLM_BLOCK_IS(block_iq2_xxs, 66); SLM_BLOCK_IS(block_iq2_xs, 74); SLM_BLOCK_IS(block_iq2_s, 82);
SLM_BLOCK_IS(block_iq3_xxs, 98); SLM_BLOCK_IS(block_iq3_s, 110); SLM_BLOCK_IS(block_iq1_s, 50);
SLM_BLOCK_IS(block_iq1_m, 56);  SLM_BLOCK_IS(block_iq4_nl, 18); SLM_BLOCK_IS(block_iq4_xs, 136);
SLM_BLOCK_IS(block_tq1_0, 54);  SLM_BLOCK_IS(block_tq2_0, 66);  SLM_BLOCK_IS(block_mxfp4, 17);
SLM_BLOCK_IS(block_nvfp4, 36);  SLM_BLOCK_IS(block_q1_0, 18);   SLM_BLOCK_IS(block_q2_0, 18);
SLM_BLOCK_IS(block_nf4, 36);

#endif
