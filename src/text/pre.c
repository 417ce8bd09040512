/* The splitting steps: a normalised piece becomes words. Most steps only cut, so words are
 * spans over one text; Metaspace and ByteLevel's prefix or alphabet also rewrite the text, into
 * a second buffer. */
#include "text/tok.h"

#include <string.h>

int slm_spans_put(struct enc *e, struct spans *s, size_t at, size_t n, bool first)
{
    if (s->n == s->cap) {
        int rc = slm_grow(e->rt, SLM_MEM_TEXT, (void **)&s->v, s->n, &s->cap, sizeof *s->v);
        if (rc)
            return slm_fail_mem(e->err, "splitting text", s->n);
    }
    s->v[s->n++] = (struct span){at, n, first};
    return 0;
}

int slm_enc_regex(struct enc *e, const struct slm_regex *re, const char *s, size_t n,
                  size_t from, size_t *span)
{
    if (!e->re) {
        int rc = slm_regex_run_new(&e->re, e->rt, e->text, e->err);
        if (rc)
            return rc;
    }
    return slm_regex_find(re, e->re, s, n, from, span, e->err);
}

/* One step at work: its input text and where its output goes. */
struct cut {
    struct enc *e;
    const struct pre_step *st;
    const char *text; /* input */
    struct spans *out;
    struct slm_buf *rewrite; /* output text, for the steps that rewrite */
};

/* Matches of one span, alternately matched or not, in e->tmp (`first` tells); offsets from its
 * start. */
static int note(struct enc *e, size_t a, size_t b, bool match)
{
    return slm_spans_put(e, &e->tmp, a, b - a, match);
}

static int match_regex(struct cut *c, const char *s, size_t n)
{
    size_t prev = 0, at = 0, span[2], last = SIZE_MAX;
    int rc;
    while (at <= n && (rc = slm_enc_regex(c->e, c->st->re, s, n, at, span)) != 0) {
        if (rc < 0)
            return rc;
        if (span[0] == span[1] && span[1] == last) { /* empty, right behind the last match */
            int32_t cp;
            at += at < n ? (size_t)slm_utf8_next(s + at, n - at, &cp) : 1;
            continue;
        }
        at = last = span[1];
        if (span[0] > prev && (rc = note(c->e, prev, span[0], false)))
            return rc;
        if ((rc = note(c->e, span[0], span[1], true)))
            return rc;
        prev = span[1];
    }
    return prev < n ? note(c->e, prev, n, false) : 0;
}

static int match_string(struct cut *c, const char *s, size_t n)
{
    size_t prev = 0;
    struct slm_tok_str k = c->st->str;
    int rc = 0;
    const char *p;
    while (!rc && k.n && n - prev >= k.n && (p = memmem(s + prev, n - prev, k.s, k.n))) {
        size_t at = (size_t)(p - s);
        if (at > prev)
            rc = note(c->e, prev, at, false);
        rc = rc ? rc : note(c->e, at, at + k.n, true);
        prev = at + k.n;
    }
    return rc || prev == n ? rc : note(c->e, prev, n, false);
}

/* Does a character belong to what the step cuts at? */
static bool cuts(const struct pre_step *st, int32_t cp)
{
    switch (st->kind) {
    case PRE_DIGITS:
        return cp < 0x80 ? cp >= '0' && cp <= '9' : slm_utf8_category(cp)[0] == 'N';
    case PRE_PUNCTUATION: return slm_is_punct(cp);
    case PRE_WHITESPACE_SPLIT: return slm_utf8_space(cp);
    default: return false;
    }
}

static int match_chars(struct cut *c, const char *s, size_t n)
{
    size_t prev = 0;
    int rc = 0;
    for (size_t i = 0; i < n && !rc;) {
        int32_t cp;
        size_t len = (size_t)slm_utf8_next(s + i, n - i, &cp);
        if (cuts(c->st, cp)) {
            if (i > prev)
                rc = note(c->e, prev, i, false);
            rc = rc ? rc : note(c->e, i, i + len, true);
            prev = i + len;
        }
        i += len;
    }
    return rc || prev == n ? rc : note(c->e, prev, n, false);
}

/* Words and punctuation, told apart (Whitespace: \w+|[^\w\s]+; Bert: blanks go, each
 * punctuation character is alone). */
static int cut_classes(struct cut *c, struct span in)
{
    const char *s = c->text + in.at;
    bool bert = c->st->kind == PRE_BERT;
    int kind = 0, rc = 0; /* 0 blank, 1 word, 2 other */
    size_t from = 0;
    for (size_t i = 0; i < in.n && !rc;) {
        int32_t cp;
        size_t len = (size_t)slm_utf8_next(s + i, in.n - i, &cp);
        int k = slm_utf8_space(cp) ? 0
                : bert             ? (slm_is_punct(cp) ? 2 : 1)
                : slm_is_word(cp)  ? 1
                                   : 2;
        if (k != kind || (bert && k == 2)) {
            if (kind)
                rc = slm_spans_put(c->e, c->out, in.at + from, i - from, in.first && !from);
            from = i;
            kind = k;
        }
        i += len;
    }
    return rc || !kind
               ? rc
               : slm_spans_put(c->e, c->out, in.at + from, in.n - from, in.first && !from);
}

/* Joins neighbours of e->tmp as the behaviour says; joined entries are emptied. */
static void join(struct enc *e, enum split_behavior how)
{
    struct span *v = e->tmp.v;
    size_t n = e->tmp.n;
    if (how == SPLIT_CONTIGUOUS) {
        for (size_t i = 1; i < n; i++) {
            if (v[i].first == v[i - 1].first) {
                v[i].at = v[i - 1].at;
                v[i].n += v[i - 1].n;
                v[i - 1].n = 0;
            }
        }
    } else if (how == SPLIT_PREVIOUS) {
        bool was = false;
        size_t last = 0;
        for (size_t i = 0; i < n; i++) {
            bool match = v[i].first;
            if (match && !was && i) {
                v[last].n += v[i].n;
                v[i].n = 0;
            } else {
                last = i;
            }
            was = match;
        }
    } else if (how == SPLIT_NEXT) {
        bool was = false;
        size_t last = 0;
        for (size_t i = n; i-- > 0;) {
            bool match = v[i].first;
            if (match && !was && i + 1 < n) {
                v[last].at = v[i].at;
                v[last].n += v[i].n;
                v[i].n = 0;
            } else {
                last = i;
            }
            was = match;
        }
    }
}

static int cut_span(struct cut *c, struct span in)
{
    struct enc *e = c->e;
    const struct pre_step *st = c->st;
    const char *s = c->text + in.at;
    e->tmp.n = 0;
    int rc = st->kind == PRE_SPLIT                               ? match_regex(c, s, in.n)
             : st->kind == PRE_SPLIT_STR || st->kind == PRE_CHAR ? match_string(c, s, in.n)
                                                                 : match_chars(c, s, in.n);
    if (rc)
        return rc;
    for (size_t i = 0; st->invert && i < e->tmp.n; i++)
        e->tmp.v[i].first = !e->tmp.v[i].first;
    join(e, st->behavior);
    for (size_t i = 0; i < e->tmp.n && !rc; i++) {
        struct span m = e->tmp.v[i];
        if (m.n && !(st->behavior == SPLIT_REMOVED && m.first))
            rc = slm_spans_put(e, c->out, in.at + m.at, m.n, in.first && !m.at);
    }
    return rc;
}

/* A scanner's matches follow each other without gaps, which is all that isolating them needs.
 */
static int cut_scan(struct cut *c, struct span in, slm_scan_fn *scan)
{
    const char *s = c->text + in.at;
    int rc = 0;
    for (size_t i = 0, end; i < in.n && !rc; i = end) {
        end = scan(s, in.n, i);
        rc = slm_spans_put(c->e, c->out, in.at + i, end - i, in.first && !i);
    }
    return rc;
}

static int metaspace(struct cut *c, struct span in)
{
    const struct pre_step *st = c->st;
    const char *s = c->text + in.at;
    struct slm_buf *b = c->rewrite;
    size_t from = b->n, word, k = st->str.n;
    bool marked = (in.n && *s == ' ') || (in.n >= k && !memcmp(s, st->str.s, k));
    if (!marked && !(c->e->glued && !in.at) &&
        (st->scheme == PREPEND_ALWAYS || (st->scheme == PREPEND_FIRST && in.first)))
        slm_buf_put(b, st->str.s, k);
    for (size_t i = 0; i < in.n;) {
        const char *p = memchr(s + i, ' ', in.n - i);
        size_t end = p ? (size_t)(p - s) : in.n;
        slm_buf_put(b, s + i, end - i);
        if (p)
            slm_buf_put(b, st->str.s, k);
        i = end + (p != NULL);
    }
    int rc = slm_buf_check(b, "split text", c->e->err);
    word = from;
    for (size_t i = from; st->split && i + k <= b->n && !rc; i++) {
        const char *p = memmem(b->s + i, b->n - i, st->str.s, k);
        if (!p)
            break;
        i = (size_t)(p - b->s);
        if (i > word)
            rc = slm_spans_put(c->e, c->out, word, i - word, in.first && word == from);
        word = i;
        i += k - 1;
    }
    return rc || word == b->n
               ? rc
               : slm_spans_put(c->e, c->out, word, b->n - word, in.first && word == from);
}

/* ByteLevel with a prefix or an alphabet to write: the text anew, cut on the way. */
static int bytes_rewrite(struct cut *c, struct span in)
{
    const struct pre_step *st = c->st;
    struct slm_buf plain, *b = c->rewrite;
    slm_buf_init(&plain, c->e->rt, SLM_MEM_TEXT, b->max);
    if (st->prefix && in.n && !(c->e->glued && !in.at) && c->text[in.at] != ' ')
        slm_buf_putc(&plain, ' ');
    slm_buf_put(&plain, c->text + in.at, in.n);
    int rc = slm_buf_check(&plain, "split text", c->e->err);
    for (size_t i = 0, end; i < plain.n && !rc; i = end) {
        end = st->regex ? st->scan(plain.s, plain.n, i) : plain.n;
        size_t at = b->n;
        if (st->map)
            slm_bytes_to_chars(b, plain.s + i, end - i);
        else
            slm_buf_put(b, plain.s + i, end - i);
        rc = slm_spans_put(c->e, c->out, at, b->n - at, in.first && !i);
    }
    slm_buf_release(&plain);
    return rc ? rc : slm_buf_check(b, "split text", c->e->err);
}

static int run_step(struct cut *c, const struct spans *in)
{
    const struct pre_step *st = c->st;
    slm_scan_fn *scan = st->kind == PRE_BYTES && !st->regex ? NULL : st->scan;
    int rc = 0;
    for (size_t i = 0; i < in->n && !rc; i++) {
        struct span s = in->v[i];
        if (c->rewrite)
            rc = st->kind == PRE_BYTES ? bytes_rewrite(c, s) : metaspace(c, s);
        else if (scan)
            rc = cut_scan(c, s, scan);
        else if (st->kind == PRE_BYTES)
            rc = slm_spans_put(c->e, c->out, s.at, s.n, s.first);
        else
            rc = st->kind == PRE_WHITESPACE || st->kind == PRE_BERT ? cut_classes(c, s)
                                                                    : cut_span(c, s);
    }
    return rc;
}

int slm_pre_run(struct enc *e, const char *s, size_t n, bool first)
{
    const slm_tokenizer *t = e->t;
    if (!n)
        return 0;
    if (!t->n_pre)
        return slm_model_word(e, s, n);
    struct cut c = {.e = e, .text = s};
    struct spans *in = &e->split[0];
    in->n = 0;
    int rc = slm_spans_put(e, in, 0, n, first), buf = 0;
    for (int k = 0; k < t->n_pre && !rc; k++) {
        c.st = &t->pre[k];
        if (c.st->kind == PRE_BYTES && !c.st->prefix && !c.st->regex && !c.st->map)
            continue;
        c.out = in == &e->split[0] ? &e->split[1] : &e->split[0];
        c.out->n = 0;
        bool rewrites = c.st->kind == PRE_METASPACE ||
                        (c.st->kind == PRE_BYTES && (c.st->prefix || c.st->map));
        c.rewrite = rewrites ? &e->pre[buf++ & 1] : NULL;
        if (rewrites)
            slm_buf_reset(c.rewrite);
        rc = run_step(&c, in);
        if (rewrites)
            c.text = c.rewrite->s;
        in = c.out;
    }
    for (size_t i = 0; i < in->n && !rc; i++)
        rc = slm_model_word(e, c.text + in->v[i].at, in->v[i].n);
    return rc;
}
