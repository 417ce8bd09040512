/* SHA-256 (FIPS 180-4): names for what has been: data, models, runs. */
#ifndef SLM_BASE_SHA256_H
#define SLM_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { SLM_SHA256_HEX = 65 }; /* 64 digits and a NUL */

struct slm_sha256 {
    uint32_t h[8];
    uint64_t n; /* bytes so far */
    uint8_t block[64];
};
void slm_sha256_init(struct slm_sha256 *s);
void slm_sha256_put(struct slm_sha256 *s, const void *p, size_t n);
/* The digest as lower-case hex; s is used up. */
void slm_sha256_hex(struct slm_sha256 *s, char out[SLM_SHA256_HEX]);

#endif
