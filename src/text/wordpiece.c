/* WordPiece (the longest piece that fits, again and again; a word that cannot be cut is
 * unknown) and WordLevel (a word is a token or unknown), and the table of models. */
#include "text/tok.h"

#include <string.h>

/* The longest piece that is a prefix of s, with the continuation prefix in front when asked. */
static int32_t longest(const slm_tokenizer *t, const char *s, size_t n, bool inside,
                       size_t *len)
{
    char buf[1024];
    const struct wordpiece *w = &t->wp;
    size_t pre = inside ? w->prefix.n : 0;
    size_t max = w->longest > pre ? w->longest - pre : 0;
    if (max > sizeof buf - 256)
        max = sizeof buf - 256;
    memcpy(buf, w->prefix.s ? w->prefix.s : "", pre);
    for (size_t k = n < max ? n : max; k > 0; k--) {
        if (k < n && ((uint8_t)s[k] & 0xC0) == 0x80)
            continue;
        memcpy(buf + pre, s, k);
        int32_t id = slm_strmap_find(&t->by_piece, buf, pre + k);
        if (id >= 0) {
            *len = k;
            return id;
        }
    }
    return -1;
}

int slm_wordpiece_word(struct enc *e, const char *s, size_t n)
{
    const struct wordpiece *w = &e->t->wp;
    size_t start = e->out->len, len = 0;
    bool fits = slm_utf8_count(s, n) <= (size_t)w->max_chars;
    for (size_t i = 0; fits && i < n; i += len) {
        int32_t id = longest(e->t, s + i, n - i, i > 0, &len);
        int rc = id < 0 ? 0 : slm_enc_put(e, id);
        if (rc)
            return rc;
        fits = id >= 0;
    }
    if (fits)
        return 0;
    e->out->len = start;
    return slm_enc_put(e, w->unk);
}

int slm_wordlevel_word(struct enc *e, const char *s, size_t n)
{
    int32_t id = slm_strmap_find(&e->t->by_piece, s, n);
    if (id < 0)
        id = e->t->wp.unk;
    if (id < 0)
        return slm_fail(e->err, SLM_E_FORMAT,
                        "%s: a word has no token, and there is no unknown token", e->t->name);
    return slm_enc_put(e, id);
}

int slm_model_word(struct enc *e, const char *s, size_t n)
{
    switch (e->t->kind) {
    case MODEL_BPE: return slm_bpe_word(e, s, n);
    case MODEL_UNIGRAM: return slm_unigram_word(e, s, n);
    case MODEL_WORDPIECE: return slm_wordpiece_word(e, s, n);
    case MODEL_WORDLEVEL: return slm_wordlevel_word(e, s, n);
    }
    return SLM_E_INTERNAL;
}
