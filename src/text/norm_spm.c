/* SentencePiece's normaliser: user-defined pieces stay as they are, the character map replaces
 * the longest rule at each place, blanks become marks, and the two rules about blanks are kept:
 * one mark in front (add_dummy_prefix), no doubled, leading or trailing blanks
 * (remove_extra_whitespaces). Bytes that are no UTF-8 become U+FFFD one by one. */
#include "text/tok.h"

#include <string.h>

/* What stands for the text at s: a view and the bytes eaten. */
static struct slm_tok_str take(const slm_tokenizer *t, const struct norm_step *st,
                               const char *s, size_t n, size_t *eaten)
{
    size_t len;
    if (t->has_user && t->user_first[(uint8_t)*s] &&
        slm_trie_longest(&t->user, s, n, &len) >= 0) {
        *eaten = len;
        return (struct slm_tok_str){s, len};
    }
    const char *r = st->map ? slm_charsmap_find(st->map, s, n, false, eaten, &len) : NULL;
    if (r)
        return (struct slm_tok_str){r, len};
    int32_t cp;
    len = (size_t)slm_utf8_next(s, n, &cp);
    if (cp < 0) {
        *eaten = 1;
        return (struct slm_tok_str){"\xEF\xBF\xBD", 3};
    }
    *eaten = len;
    return (struct slm_tok_str){s, len};
}

/* Appends with blanks as marks. */
static void put(struct slm_buf *out, const struct norm_step *st, const char *s, size_t n)
{
    size_t from = 0;
    for (size_t i = 0; st->escape && i < n; i++) {
        if (s[i] == ' ') {
            slm_buf_put(out, s + from, i - from);
            slm_buf_put(out, SLM_MARK, SLM_MARK_LEN);
            from = i + 1;
        }
    }
    slm_buf_put(out, s + from, n - from);
}

/* Plain stretches need no look at each character: ASCII that no rule and no user-defined piece
 * starts with. Returns how many bytes from s on are such. */
static size_t plain(const slm_tokenizer *t, const struct norm_step *st, const char *s, size_t n)
{
    size_t i = 0;
    if (st->map || st->extra_spaces)
        return 0;
    while (i < n && (int8_t)s[i] >= 0 && !(t->has_user && t->user_first[(uint8_t)s[i]]))
        i++;
    return i;
}

int slm_norm_spm(struct enc *e, const struct norm_step *st, const char *s, size_t n, bool first,
                 struct slm_buf *out)
{
    const slm_tokenizer *t = e->t;
    size_t i = 0, eaten = 0;
    while (st->extra_spaces && i < n) {
        struct slm_tok_str p = take(t, st, s + i, n - i, &eaten);
        if (p.n != 1 || *p.s != ' ')
            break;
        i += eaten;
    }
    if (i == n)
        return 0;
    const char *mark = st->escape ? SLM_MARK : " ";
    bool dummy = st->dummy_prefix && !e->glued && (first || t->mark_after_special);
    if (dummy && !st->suffix)
        slm_buf_puts(out, mark);
    bool after_blank = st->extra_spaces;
    while (i < n) {
        size_t fast = plain(t, st, s + i, n - i);
        if (fast) {
            put(out, st, s + i, fast);
            i += fast;
            continue;
        }
        struct slm_tok_str p = take(t, st, s + i, n - i, &eaten);
        while (after_blank && p.n && *p.s == ' ') {
            p.s++;
            p.n--;
        }
        if (p.n) {
            put(out, st, p.s, p.n);
            after_blank = st->extra_spaces && p.s[p.n - 1] == ' ';
        }
        i += eaten;
    }
    size_t m = strlen(mark);
    while (st->extra_spaces && out->n >= m && !memcmp(out->s + out->n - m, mark, m)) {
        out->n -= m;
        out->s[out->n] = 0;
    }
    if (dummy && st->suffix)
        slm_buf_puts(out, mark);
    return slm_buf_check(out, "normalised text", e->err);
}
