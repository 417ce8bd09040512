/* A 128-bit fingerprint of bytes: to tell whether data is what it was, and to find equal rows.
 * Not for anything that someone may want to forge. The same everywhere. */
#ifndef SLM_BASE_HASH_H
#define SLM_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct slm_hash {
    uint64_t a, b;    /* the state; after slm_hash_end the fingerprint */
    uint64_t total;   /* bytes so far */
    uint8_t part[16]; /* what does not fill a step yet */
    unsigned n_part;
};

void slm_hash_init(struct slm_hash *h, uint64_t seed);
/* However the bytes are cut into calls, the result is the same. */
void slm_hash_put(struct slm_hash *h, const void *p, size_t n);
/* The bytes of a string and a mark behind them, so that "a", "bc" is not "ab", "c". */
void slm_hash_puts(struct slm_hash *h, const char *s);
void slm_hash_u64(struct slm_hash *h, uint64_t v);
void slm_hash_end(struct slm_hash *h);
/* 32 hexadecimal digits and a NUL, of an ended hash. */
void slm_hash_text(const struct slm_hash *h, char out[33]);
/* n bytes in one call: 64 bits. */
uint64_t slm_hash64(const void *p, size_t n, uint64_t seed);

#endif
