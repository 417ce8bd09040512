/* DRY's breakers: texts over which a repetition does not count as one ("\n", ":" ...). Tokens
 * do not end where texts do, so each breaker becomes the tokens that hold it whole, and for
 * each token that ends with its beginning that token followed by the rest as the tokenizer
 * spells it. */
#include "generate/sample.h"

#include <string.h>

/* What a token spells in the middle of a text: decoded behind an anchor, since some tokenizers
 * drop a space at the very beginning. */
struct speller {
    const slm_tokenizer *vocab;
    int32_t anchor;       /* -1: none */
    size_t anchor_len;
    slm_text text;
};

static int speller_open(struct speller *w, const slm_tokenizer *vocab, slm_err *err)
{
    slm_ids ids = {0};
    int code = slm_tokenizer_encode(vocab, "a", 1, 0, &ids, err);
    *w = (struct speller){.vocab = vocab, .anchor = -1};
    if (!code && ids.len) {
        w->anchor = ids.data[ids.len - 1];
        code = slm_tokenizer_decode(vocab, &w->anchor, 1, 1, &w->text, err);
        w->anchor_len = w->text.len;
    }
    slm_ids_release(&ids);
    return code;
}

static int spell(struct speller *w, int32_t id, const char **s, size_t *n, slm_err *err)
{
    int32_t pair[2] = {w->anchor, id};
    int first = w->anchor < 0;
    w->text.len = 0;
    int code =
        slm_tokenizer_decode(w->vocab, pair + first, (size_t)(2 - first), 1, &w->text, err);
    size_t skip = w->text.len >= w->anchor_len ? w->anchor_len : w->text.len;
    *s = w->text.data ? w->text.data + skip : "";
    *n = w->text.len - skip;
    return code;
}

static int add_multi(struct slm_dry *d, int32_t head, const int32_t *tail, size_t n,
                     slm_err *err)
{
    if (n > SLM_DRY_TAIL)
        n = SLM_DRY_TAIL;
    for (size_t i = 0; i < d->n_multi; i++)
        if (d->multi[i].head == head && d->multi[i].n == (int)n
            && !memcmp(d->multi[i].tail, tail, n * sizeof *tail))
            return 0;
    if (slm_grow(d->rt, SLM_MEM_GENERATE, (void **)&d->multi, d->n_multi, &d->cap_multi,
                 sizeof *d->multi))
        return slm_fail_mem(err, "breakers", sizeof *d->multi);
    struct slm_breaker *b = &d->multi[d->n_multi++];
    *b = (struct slm_breaker){.head = head, .n = (int)n};
    memcpy(b->tail, tail, n * sizeof *tail);
    d->breaks[head] |= SLM_BREAK_HEAD;
    return 0;
}

/* Token id spells s[0..n): what is it to breaker b[0..m)? */
static int look_at(struct slm_dry *d, struct speller *w, int32_t id, const char *b, size_t m,
                   slm_err *err)
{
    const char *s;
    size_t n;
    int code = spell(w, id, &s, &n, err);
    if (code || !n)
        return code;
    if (memmem(s, n, b, m)) {
        d->breaks[id] |= SLM_BREAK_WHOLE;
        return 0;
    }
    slm_ids tail = {0};
    for (size_t k = m - 1; k > 0 && !code; k--) {
        if (k > n || memcmp(s + n - k, b, k))
            continue;
        tail.len = 0;
        code = slm_tokenizer_encode(w->vocab, b + k, m - k, 0, &tail, err);
        bool known = tail.len > 0;
        for (size_t i = 0; i < tail.len; i++)
            known = known && tail.data[i] >= 0 && tail.data[i] < d->n_vocab;
        if (!code && known)
            code = add_multi(d, id, tail.data, tail.len, err);
    }
    slm_ids_release(&tail);
    return code;
}

int slm_dry_breakers(struct slm_dry *d, const slm_tokenizer *vocab, const char *breakers,
                     slm_err *err)
{
    struct speller w;
    int n = slm_tokenizer_size(vocab) < d->n_vocab ? slm_tokenizer_size(vocab) : d->n_vocab;
    int code = speller_open(&w, vocab, err);
    for (const char *b = breakers; !code && *b; b += strlen(b) + 1) {
        size_t m = strlen(b);
        if (m > SLM_DRY_BREAKER_BYTES)
            m = SLM_DRY_BREAKER_BYTES;
        for (int32_t id = 0; id < n && !code; id++)
            code = look_at(d, &w, id, b, m, err);
    }
    slm_text_release(&w.text);
    return code;
}
