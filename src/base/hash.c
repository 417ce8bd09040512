/* Each step folds the 128-bit product of state and 16 bytes of data into the state (the mixing
 * that wyhash and its kin are known for), in two lanes with different constants. Words are read
 * as little endian, so the result does not depend on the machine. */
#include "base/hash.h"

#include <string.h>

__extension__ typedef unsigned __int128 u128;

static const uint64_t k0 = 0x9e3779b97f4a7c15u, k1 = 0xbf58476d1ce4e5b9u,
                      k2 = 0x94d049bb133111ebu, k3 = 0xd6e8feb86659fd93u;

static uint64_t fold(uint64_t x, uint64_t y)
{
    u128 p = (u128)x * y;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static uint64_t word(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

void slm_hash_init(struct slm_hash *h, uint64_t seed)
{
    memset(h, 0, sizeof *h);
    h->a = seed ^ k0;
    h->b = fold(seed ^ k1, k2);
}

static void step(struct slm_hash *h, const uint8_t *p)
{
    uint64_t x = word(p), y = word(p + 8);
    h->a = fold(h->a ^ x, y ^ k1) + h->b;
    h->b = fold(h->b ^ y, x ^ k3) ^ (h->a << 23 | h->a >> 41);
}

void slm_hash_put(struct slm_hash *h, const void *data, size_t n)
{
    const uint8_t *p = data;
    if (!n)
        return;
    h->total += n;
    if (h->n_part) {
        size_t take = 16 - h->n_part < n ? 16 - h->n_part : n;
        memcpy(h->part + h->n_part, p, take);
        h->n_part += (unsigned)take;
        p += take;
        n -= take;
        if (h->n_part < 16)
            return;
        step(h, h->part);
        h->n_part = 0;
    }
    for (; n >= 16; n -= 16, p += 16)
        step(h, p);
    if (n)
        memcpy(h->part, p, n);
    h->n_part = (unsigned)n;
}

void slm_hash_u64(struct slm_hash *h, uint64_t v)
{
    uint8_t b[8];
    for (int i = 0; i < 8; i++)
        b[i] = (uint8_t)(v >> 8 * i);
    slm_hash_put(h, b, 8);
}

void slm_hash_puts(struct slm_hash *h, const char *s)
{
    size_t n = s ? strlen(s) : 0;
    slm_hash_u64(h, s ? n : UINT64_MAX);
    slm_hash_put(h, s ? s : "", n);
}

void slm_hash_end(struct slm_hash *h)
{
    memset(h->part + h->n_part, 0, 16 - h->n_part);
    step(h, h->part);
    h->a = fold(h->a ^ h->total, k2);
    h->b = fold(h->b ^ k3, h->a ^ k0);
    h->a = fold(h->a ^ h->b, k1);
}

void slm_hash_text(const struct slm_hash *h, char out[33])
{
    static const char digit[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++) {
        out[i] = digit[h->a >> (60 - 4 * i) & 15];
        out[16 + i] = digit[h->b >> (60 - 4 * i) & 15];
    }
    out[32] = 0;
}

uint64_t slm_hash64(const void *p, size_t n, uint64_t seed)
{
    struct slm_hash h;
    slm_hash_init(&h, seed);
    slm_hash_put(&h, p, n);
    slm_hash_end(&h);
    return h.a;
}
