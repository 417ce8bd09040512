/* SentencePiece's precompiled character map: a double-array trie (Darts) of rules and a table
 * of NUL-terminated replacements. The blob is little-endian: size of the trie in bytes, its
 * units, the table. Every index that comes out of a unit is checked, since the blob comes from
 * a file. */
#include "text/tok.h"

#include <string.h>

int slm_charsmap_init(struct charsmap *m, struct slm_arena *a, const uint8_t *blob, size_t n,
                      const char *name, slm_err *err)
{
    uint32_t size = 0;
    if (n >= 4)
        size = (uint32_t)blob[0] | (uint32_t)blob[1] << 8 | (uint32_t)blob[2] << 16 |
               (uint32_t)blob[3] << 24;
    if (n < 8 || size < 4 || size % 4 || size > n - 4)
        return slm_fail(err, SLM_E_FORMAT,
                        "%s: precompiled charsmap: a trie of %u bytes in %zu", name, size, n);
    uint8_t *copy = slm_arena_alloc(a, n + 4);
    uint32_t *unit = slm_arena_alloc_n(a, size / 4, sizeof *unit);
    if (!copy || !unit)
        return slm_fail_mem(err, "a charsmap", n);
    memcpy(copy, blob, n);
    for (size_t i = 0; i < size / 4; i++) {
        const uint8_t *p = blob + 4 + 4 * i;
        unit[i] =
            (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    }
    m->unit = unit;
    m->n_unit = size / 4;
    /* ends with a NUL: the copy is four bytes longer */
    m->text = (const char *)copy + 4 + size;
    m->n_text = n - 4 - size;
    m->blob = copy;
    m->n_blob = n;
    return 0;
}

/* A unit: where its children lie (by exclusive or), its label, whether a value hangs on it. */
static size_t offset(uint32_t u) { return (size_t)(u >> 10) << ((u & 512) >> 6); }

const char *slm_charsmap_find(const struct charsmap *m, const char *s, size_t n, bool shortest,
                              size_t *eaten, size_t *len)
{
    const char *best = NULL;
    size_t at = offset(m->unit[0]);
    for (size_t i = 0; i < n && s[i]; i++) {
        at ^= (uint8_t)s[i];
        if (at >= m->n_unit)
            break;
        uint32_t u = m->unit[at];
        if ((u & 0x800000FFu) != (uint8_t)s[i])
            break;
        at ^= offset(u);
        if (at >= m->n_unit)
            break;
        size_t value = m->unit[at] & 0x7FFFFFFFu;
        if ((u >> 8 & 1) && value < m->n_text) {
            best = m->text + value;
            *eaten = i + 1;
            if (shortest)
                break;
        }
    }
    if (best)
        *len = strnlen(best, (size_t)(m->text + m->n_text - best));
    return best;
}
