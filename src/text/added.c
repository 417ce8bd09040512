/* Added tokens: found in the text before the model sees it, leftmost first and longest of those
 * that start together. Two sets: the ones looked for in the text as it came, and those looked
 * for in normalised text (their own spelling is normalised too). */
#include "text/tok.h"

#include <string.h>

int slm_added_set_init(slm_tokenizer *t, struct added_set *set, bool normalized, slm_err *err)
{
    size_t n = 0;
    for (int i = 0; i < t->n_added; i++)
        n += t->added[i].normalized == normalized && t->added[i].text.n;
    set->n = (int)n;
    set->only = -1;
    if (!n)
        return 0;
    struct slm_tok_str *keys = slm_arena_alloc_n(&t->arena, n, sizeof *keys);
    set->which = slm_arena_alloc_n(&t->arena, n, sizeof *set->which);
    if (!keys || !set->which)
        return slm_fail_mem(err, "added tokens", n);
    n = 0;
    for (int i = 0; i < t->n_added; i++) {
        const struct added *a = &t->added[i];
        if (a->normalized != normalized || !a->text.n)
            continue;
        struct enc e = {.t = t, .rt = t->rt, .err = err, .text = a->text.n};
        for (int k = 0; k < 2; k++)
            slm_buf_init(&e.norm[k], t->rt, SLM_MEM_TEXT, (size_t)1 << 24);
        struct slm_tok_str s = a->text;
        int rc = normalized ? slm_norm_run(&e, a->text.s, a->text.n, true, &s) : 0;
        if (!rc) {
            keys[n] = slm_tok_dup(t, s.s, s.n);
            rc = keys[n].s ? 0 : slm_fail_mem(err, "added tokens", s.n);
        }
        for (int k = 0; k < 2; k++)
            slm_buf_release(&e.norm[k]);
        slm_regex_run_free(e.re);
        if (rc)
            return rc;
        if (keys[n].n)
            set->first[(uint8_t)keys[n].s[0]] = 1;
        set->which[n++] = i;
    }
    int firsts = 0;
    for (int c = 0; c < 256; c++) {
        if (set->first[c]) {
            set->only = c;
            firsts++;
        }
    }
    if (firsts != 1)
        set->only = -1;
    int rc = slm_trie_init(&set->trie, &t->arena, keys, n);
    return rc ? slm_fail(err, rc, "%s: added tokens: too much of them", t->name) : 0;
}

static bool word_before(const char *s, size_t at)
{
    size_t k = at;
    while (k && ((uint8_t)s[--k] & 0xC0) == 0x80)
        ;
    int32_t cp;
    slm_utf8_next(s + k, at - k, &cp);
    return slm_is_word(cp);
}

static size_t blanks_before(const char *s, size_t from, size_t at)
{
    while (at > from) {
        size_t k = at;
        while (k > from && ((uint8_t)s[--k] & 0xC0) == 0x80)
            ;
        int32_t cp;
        slm_utf8_next(s + k, at - k, &cp);
        if (!slm_utf8_space(cp))
            break;
        at = k;
    }
    return at;
}

static size_t blanks_behind(const char *s, size_t n, size_t at)
{
    while (at < n) {
        int32_t cp;
        size_t len = (size_t)slm_utf8_next(s + at, n - at, &cp);
        if (!slm_utf8_space(cp))
            break;
        at += len;
    }
    return at;
}

/* First byte from i on that starts a token, or n. */
static size_t candidate(const struct added_set *set, const char *s, size_t n, size_t i)
{
    if (set->only >= 0) {
        const char *p = memchr(s + i, set->only, n - i);
        return p ? (size_t)(p - s) : n;
    }
    while (i < n && !set->first[(uint8_t)s[i]])
        i++;
    return i;
}

int slm_added_next(const slm_tokenizer *t, const struct added_set *set, struct slm_tok_str text,
                   size_t from, unsigned flags, size_t *span)
{
    const char *s = text.s;
    size_t n = text.n;
    if (!set->n)
        return -1;
    for (size_t i = candidate(set, s, n, from); i < n; i = candidate(set, s, n, i)) {
        size_t len = 0;
        int32_t k = slm_trie_longest(&set->trie, s + i, n - i, &len);
        if (k < 0) {
            i++;
            continue;
        }
        size_t a = i, b = i + len;
        i = b; /* a match that does not count is passed over as a whole */
        const struct added *d = &t->added[set->which[k]];
        if (d->special && !(flags & SLM_ENCODE_SPECIAL))
            continue;
        int32_t cp;
        if (d->single_word && a && word_before(s, a))
            continue;
        if (d->single_word && b < n && slm_utf8_next(s + b, n - b, &cp) && slm_is_word(cp))
            continue;
        span[0] = d->lstrip ? blanks_before(s, from, a) : a;
        span[1] = d->rstrip ? blanks_behind(s, n, b) : b;
        return set->which[k];
    }
    return -1;
}
