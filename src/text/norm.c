/* The normaliser steps of tokenizer.json. Each reads one piece of text and writes another; a
 * chain of them swaps two buffers. */
#include "text/tok.h"

#include <string.h>

static void put_cp(struct slm_buf *out, int32_t cp)
{
    char c[4];
    slm_buf_put(out, c, (size_t)slm_utf8_put(c, cp));
}

static void put_lower(struct slm_buf *out, int32_t cp)
{
    if (cp == 0x130) /* the one character whose small form is two */
        slm_buf_puts(out, "i\xCC\x87");
    else
        put_cp(out, slm_utf8_lower(cp));
}

static bool chinese(int32_t c)
{
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
           (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
           (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
           (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

/* Control in Bert's sense: format and private use too, but not the three blanks, nor the format
 * characters that the library's tables are too old for. */
static bool control(int32_t c)
{
    if ((c >= 0x890 && c <= 0x891) || c == 0x8E2 || c == 0x110CD ||
        (c >= 0x13430 && c <= 0x1343F))
        return false;
    return c != '\t' && c != '\n' && c != '\r' && slm_utf8_category(c)[0] == 'C' &&
           strcmp(slm_utf8_category(c), "Cn") != 0;
}

static void bert_clean(const struct norm_step *st, const char *s, size_t n, struct slm_buf *out)
{
    for (size_t i = 0; i < n;) {
        int32_t cp;
        i += (size_t)slm_utf8_next(s + i, n - i, &cp);
        if (st->clean && (!cp || cp == 0xFFFD || control(cp)))
            continue;
        if (st->clean && slm_utf8_space(cp))
            cp = ' ';
        bool wide = st->chinese && chinese(cp);
        if (wide)
            slm_buf_putc(out, ' ');
        put_cp(out, cp);
        if (wide)
            slm_buf_putc(out, ' ');
    }
}

static int bert(struct enc *e, const struct norm_step *st, const char *s, size_t n,
                struct slm_buf *out)
{
    struct slm_buf a, b;
    slm_buf_init(&a, e->rt, SLM_MEM_TEXT, out->max);
    slm_buf_init(&b, e->rt, SLM_MEM_TEXT, out->max);
    bert_clean(st, s, n, &a);
    int rc = st->accents ? slm_utf8_normalize(&b, a.s, a.n, SLM_NFD, e->err) : 0;
    const struct slm_buf *in = st->accents ? &b : &a;
    for (size_t i = 0; i < in->n && !rc;) {
        int32_t cp;
        i += (size_t)slm_utf8_next(in->s + i, in->n - i, &cp);
        if (st->accents && slm_is_accent(cp))
            continue;
        if (st->lower)
            put_lower(out, cp);
        else
            put_cp(out, cp);
    }
    rc = rc ? rc : slm_buf_check(&a, "normalised text", e->err);
    rc = rc ? rc : slm_buf_check(&b, "normalised text", e->err);
    slm_buf_release(&a);
    slm_buf_release(&b);
    return rc;
}

static void replace(const struct norm_step *st, const char *s, size_t n, struct slm_buf *out)
{
    size_t from = 0;
    const char *p;
    while (n - from >= st->a.n && (p = memmem(s + from, n - from, st->a.s, st->a.n))) {
        slm_buf_put(out, s + from, (size_t)(p - s) - from);
        slm_buf_put(out, st->b.s, st->b.n);
        from = (size_t)(p - s) + st->a.n;
    }
    slm_buf_put(out, s + from, n - from);
}

static int replace_re(struct enc *e, const struct norm_step *st, const char *s, size_t n,
                      struct slm_buf *out)
{
    size_t from = 0, at = 0, span[2];
    int rc;
    while (at <= n && (rc = slm_enc_regex(e, st->re, s, n, at, span)) != 0) {
        if (rc < 0)
            return rc;
        slm_buf_put(out, s + from, span[0] - from);
        slm_buf_put(out, st->b.s, st->b.n);
        from = at = span[1];
        if (span[0] == span[1]) { /* an empty match: go on behind the next character */
            int32_t cp;
            at += at < n ? (size_t)slm_utf8_next(s + at, n - at, &cp) : 1;
        }
    }
    slm_buf_put(out, s + from, n - from);
    return 0;
}

/* Characters below U+0300 are their own composed form and nothing behind them changes that but
 * what follows at once: only the stretches around higher characters go through the tables. */
static int compose(struct enc *e, const char *s, size_t n, struct slm_buf *out)
{
    size_t done = 0, i = 0;
    while (i < n) {
        if ((uint8_t)s[i] < 0xCC) { /* leads U+0000 .. U+02FF, or continues those */
            i++;
            continue;
        }
        size_t from = i;
        while (from > done && ((uint8_t)s[--from] & 0xC0) == 0x80)
            ;
        slm_buf_put(out, s + done, from - done);
        while (i < n && (uint8_t)s[i] >= 0x80)
            i++;
        int rc = slm_utf8_normalize(out, s + from, i - from, SLM_NFC, e->err);
        if (rc)
            return rc;
        done = i;
    }
    slm_buf_put(out, s + done, n - done);
    return 0;
}

static void strip(const struct norm_step *st, const char *s, size_t n, struct slm_buf *out)
{
    size_t a = 0, b = n;
    int32_t cp;
    while (st->left && a < n) {
        size_t len = (size_t)slm_utf8_next(s + a, n - a, &cp);
        if (!slm_utf8_space(cp))
            break;
        a += len;
    }
    while (st->right && b > a) {
        size_t k = b - 1;
        while (k > a && ((uint8_t)s[k] & 0xC0) == 0x80)
            k--;
        slm_utf8_next(s + k, b - k, &cp);
        if (!slm_utf8_space(cp))
            break;
        b = k;
    }
    slm_buf_put(out, s + a, b - a);
}

/* The map by grapheme clusters, as the tokenizers library applies it: a short cluster is
 * replaced as a whole by the rule of its first part, else character by character. */
static void charsmap(const struct norm_step *st, const char *s, size_t n, struct slm_buf *out)
{
    size_t i = 0, eaten, len;
    while (i < n) {
        size_t end = i + slm_utf8_grapheme(s + i, n - i);
        const char *r =
            end - i < 6 ? slm_charsmap_find(st->map, s + i, end - i, true, &eaten, &len) : NULL;
        if (r) {
            slm_buf_put(out, r, len);
            i = end;
        }
        while (i < end) {
            int32_t cp;
            size_t k = (size_t)slm_utf8_next(s + i, n - i, &cp);
            r = slm_charsmap_find(st->map, s + i, k, true, &eaten, &len);
            slm_buf_put(out, r ? r : s + i, r ? len : k);
            i += k;
        }
    }
}

static void nmt(int32_t c, struct slm_buf *out)
{
    if ((c >= 1 && c <= 8) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || c == 0x8F ||
        c == 0x9F)
        return;
    bool blank = c == 9 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 ||
                 (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                 c == 0xFEFF || c == 0xFFFD;
    put_cp(out, blank ? ' ' : c);
}

static void each_char(const struct norm_step *st, const char *s, size_t n, struct slm_buf *out)
{
    for (size_t i = 0; i < n;) {
        int32_t cp;
        i += (size_t)slm_utf8_next(s + i, n - i, &cp);
        if (st->kind == NORM_LOWER)
            put_lower(out, cp);
        else if (st->kind == NORM_NMT)
            nmt(cp, out);
        else if (!slm_is_mark(cp))
            put_cp(out, cp);
    }
}

int slm_norm_step_run(struct enc *e, const struct norm_step *st, const char *s, size_t n,
                      bool first, struct slm_buf *out)
{
    int rc = 0;
    switch (st->kind) {
    case NORM_PREPEND:
        if (n && !e->glued)
            slm_buf_put(out, st->a.s, st->a.n);
        slm_buf_put(out, s, n);
        break;
    case NORM_REPLACE: replace(st, s, n, out); break;
    case NORM_REPLACE_RE: rc = replace_re(e, st, s, n, out); break;
    case NORM_NFC: rc = compose(e, s, n, out); break;
    case NORM_NFD: rc = slm_utf8_normalize(out, s, n, SLM_NFD, e->err); break;
    case NORM_NFKC: rc = slm_utf8_normalize(out, s, n, SLM_NFKC, e->err); break;
    case NORM_NFKD: rc = slm_utf8_normalize(out, s, n, SLM_NFKD, e->err); break;
    case NORM_LOWER:
    case NORM_NMT:
    case NORM_STRIP_ACCENTS: each_char(st, s, n, out); break;
    case NORM_STRIP: strip(st, s, n, out); break;
    case NORM_BERT: rc = bert(e, st, s, n, out); break;
    case NORM_CHARSMAP: charsmap(st, s, n, out); break;
    case NORM_BYTES: slm_bytes_to_chars(out, s, n); break;
    case NORM_SPM: rc = slm_norm_spm(e, st, s, n, first, out); break;
    }
    return rc ? rc : slm_buf_check(out, "normalised text", e->err);
}

int slm_norm_run(struct enc *e, const char *s, size_t n, bool first, struct slm_tok_str *out)
{
    *out = (struct slm_tok_str){s, n};
    for (int i = 0; i < e->t->n_norm; i++) {
        struct slm_buf *b = &e->norm[i & 1];
        slm_buf_reset(b);
        int rc = slm_norm_step_run(e, &e->t->norm[i], out->s, out->n, first, b);
        if (rc)
            return rc;
        *out = (struct slm_tok_str){b->s, b->n};
    }
    return 0;
}
