/* Filters with an algorithm of their own: wordwrap after Python's textwrap, striptags. */
#include <string.h>

#include "pyval/pyval.h"
#include "pyval/methods.h"

/* A line as code points, and the chunks (words, runs of blanks) it falls into. */
struct wrap {
    struct py_run *r;
    const int32_t *s;
    size_t n;
    size_t width;
    bool break_words, hyphens;
    struct slm_buf *out;
    struct py_str *sep;
    bool any;             /* a line was put out */
    size_t *line, line_n; /* pairs: from, to */
};

static bool blank(int32_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static bool word(int32_t c) { return c == '_' || slm_py_alnum(c); }
static bool letter(int32_t c) { return word(c) && !slm_py_numeric(c); }
static bool wordish(int32_t c) { return word(c) || (c < 128 && strchr("!\"'&.,?", c)); }

static size_t dashes(const struct wrap *w, size_t i)
{
    size_t k = i;
    while (k < w->n && w->s[k] == '-')
        k++;
    return k - i;
}

/* Does the hyphen at i end a part of a hyphenated word? */
static bool hyphen_break(const struct wrap *w, size_t i)
{
    const int32_t *s = w->s;
    bool before = (i >= 2 && letter(s[i - 1]) && letter(s[i - 2])) ||
                  (i >= 3 && letter(s[i - 3]) && s[i - 2] == '-' && wordish(s[i - 1]));
    if (!before || i + 2 >= w->n || !letter(s[i + 1]))
        return false;
    return letter(s[i + 2]) || (s[i + 2] == '-' && i + 3 < w->n && letter(s[i + 3]));
}

static size_t chunk_end(const struct wrap *w, size_t i)
{
    const int32_t *s = w->s;
    size_t k = i, d;
    if (blank(s[i])) {
        while (k < w->n && blank(s[k]))
            k++;
        return k;
    }
    if (!w->hyphens) {
        while (k < w->n && !blank(s[k]))
            k++;
        return k;
    }
    d = dashes(w, i);
    if (d >= 2 && i > 0 && wordish(s[i - 1]) && i + d < w->n && word(s[i + d]))
        return i + d;
    for (k = i + 1; k < w->n && !blank(s[k]); k++) {
        if (s[k] != '-')
            continue;
        if (hyphen_break(w, k))
            return k + 1;
        d = dashes(w, k);
        if (d >= 2 && wordish(s[k - 1]) && k + d < w->n && word(s[k + d]))
            return k;
    }
    return k;
}

static void put_line(struct wrap *w)
{
    char c[4];
    const size_t *last = w->line_n ? w->line + 2 * (w->line_n - 1) : NULL;
    if (last && (last[0] == last[1] || blank(w->s[last[0]])))
        w->line_n--;
    if (!w->line_n)
        return;
    if (w->any)
        slm_buf_put(w->out, w->sep->s, w->sep->n);
    w->any = true;
    for (size_t i = 0; i < w->line_n; i++)
        for (size_t k = w->line[2 * i]; k < w->line[2 * i + 1]; k++)
            slm_buf_put(w->out, c, (size_t)slm_utf8_put(c, w->s[k]));
    w->line_n = 0;
}

static size_t long_word(const struct wrap *w, size_t i, size_t end, size_t left)
{
    if (!w->break_words)
        return w->line_n ? i : end;
    size_t cut = i + left;
    if (w->hyphens)
        for (size_t k = i + left; k-- > i + 1;)
            if (w->s[k] == '-') {
                for (size_t j = i; j < k; j++)
                    if (w->s[j] != '-')
                        return k + 1;
                break;
            }
    return cut;
}

static bool wrap_line(struct wrap *w)
{
    size_t used = 0;
    w->line_n = 0;
    for (size_t i = 0, end = 0; i < w->n;) {
        if (end <= i)
            end = chunk_end(w, i);
        if (!w->line_n && used == 0 && blank(w->s[i]) && w->any) {
            i = end;
            continue;
        }
        if (!slm_py_step(w->r, 1 + (end - i) / 8))
            return false;
        if (used + (end - i) <= w->width) {
            w->line[2 * w->line_n] = i;
            w->line[2 * w->line_n++ + 1] = end;
            used += end - i;
            i = end;
            continue;
        }
        if (end - i > w->width) {
            size_t cut = long_word(w, i, end, w->width - used);
            if (cut > i || w->break_words) { /* a full line gets an empty piece, as in Python */
                w->line[2 * w->line_n] = i;
                w->line[2 * w->line_n++ + 1] = cut;
                i = cut;
            }
        }
        put_line(w);
        used = 0;
    }
    put_line(w);
    return true;
}

static bool decode(struct py_run *r, const struct py_str *s, struct wrap *w)
{
    int32_t *cp = slm_py_new_n(r, s->n + 1, sizeof *cp);
    w->line = slm_py_new_n(r, 2 * s->n + 4, sizeof *w->line);
    w->n = 0;
    if (!cp || !w->line)
        return false;
    for (size_t i = 0; i < s->n; w->n++) {
        i += (size_t)slm_utf8_next(s->s + i, s->n - i, &cp[w->n]);
        if (cp[w->n] < 0)
            cp[w->n] = 0xfffd;
    }
    w->s = cp;
    return true;
}

py_val slm_py_wordwrap(struct py_run *r, py_val v, const struct py_args *a)
{
    static const struct py_spec spec = {
        "wordwrap", "width break_long_words wrapstring break_on_hyphens", 0, 0};
    py_val o[4], lines;
    py_int width = 79;
    struct slm_buf b;
    struct wrap w = {.r = r, .out = &b, .break_words = true, .hyphens = true};
    if (!slm_py_bind(r, &spec, a, o) ||
        (o[1].t != T_MISSING && !slm_py_truth(r, o[1], &w.break_words)) ||
        (o[3].t != T_MISSING && !slm_py_truth(r, o[3], &w.hyphens)))
        return py_failed();
    if (o[2].t == T_MISSING || o[2].t == T_NONE)
        o[2] = slm_py_strz(r, "\n");
    if (v.t != T_STR || o[2].t != T_STR ||
        (o[0].t != T_MISSING && !slm_py_as_int(o[0], &width)))
        return slm_py_fail(r, SLM_E_TEMPLATE, "wordwrap: wants a string and a width");
    lines = slm_py_split_lines(r, v, false);
    if (py_bad(lines))
        return lines;
    if (width <= 0 && lines.l->n)
        return slm_py_fail(r, SLM_E_TEMPLATE, "invalid width (must be > 0)");
    w.width = width > (py_int)1 << 40 ? (size_t)1 << 40 : (size_t)width;
    w.sep = o[2].s;
    slm_py_buf(r, &b);
    for (size_t i = 0; i < lines.l->n && !b.failed; i++) {
        if (i)
            slm_buf_put(&b, w.sep->s, w.sep->n);
        w.any = false;
        if (!decode(r, lines.l->v[i].s, &w) || !wrap_line(&w))
            break;
    }
    return slm_py_buf_str(r, &b);
}

/* The entities that text escaped by machines holds, and numbers. Length eaten, 0: none. */
static size_t entity(const char *s, size_t n, struct slm_buf *b)
{
    static const struct {
        const char *name, *to;
    } named[] = {{"&amp;", "&"},
                 {"&lt;", "<"},
                 {"&gt;", ">"},
                 {"&quot;", "\""},
                 {"&apos;", "'"},
                 {"&nbsp;", "\xc2\xa0"},
                 {"&copy;", "\xc2\xa9"},
                 {"&reg;", "\xc2\xae"},
                 {"&raquo;", "\xc2\xbb"},
                 {"&laquo;", "\xc2\xab"},
                 {"&hellip;", "\xe2\x80\xa6"},
                 {"&mdash;", "\xe2\x80\x94"},
                 {"&ndash;", "\xe2\x80\x93"}};
    char out[4];
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        size_t len = strlen(named[i].name);
        if (n >= len && memcmp(s, named[i].name, len) == 0) {
            slm_buf_puts(b, named[i].to);
            return len;
        }
    }
    if (n < 3 || s[1] != '#')
        return 0;
    bool hex = (s[2] | 32) == 'x';
    size_t i = hex ? 3 : 2, lo = i;
    int32_t cp = 0;
    for (; i < n && cp <= 0x110000; i++) {
        int c = s[i] | 32, d = s[i] >= '0' && s[i] <= '9'    ? s[i] - '0'
                               : hex && c >= 'a' && c <= 'f' ? c - 'a' + 10
                                                             : -1;
        if (d < 0)
            break;
        cp = cp * (hex ? 16 : 10) + d;
    }
    if (i == lo)
        return 0;
    slm_buf_put(b, out, (size_t)slm_utf8_put(out, cp > 0 && cp <= 0x10ffff ? cp : 0xfffd));
    return i + (i < n && s[i] == ';');
}

static py_val unescape(struct py_run *r, py_val v)
{
    struct slm_buf b;
    slm_py_buf(r, &b);
    for (size_t i = 0; i < v.s->n && !b.failed;) {
        size_t len = v.s->s[i] == '&' ? entity(v.s->s + i, v.s->n - i, &b) : 0;
        if (!len)
            slm_buf_putc(&b, v.s->s[i]);
        i += len ? len : 1;
    }
    return slm_py_buf_str(r, &b);
}

py_val slm_py_striptags(struct py_run *r, py_val v)
{
    struct slm_buf b;
    const struct py_str *s = v.s;
    size_t i = 0;
    slm_py_buf(r, &b);
    while (i < s->n) {
        const char *lt = memchr(s->s + i, '<', s->n - i), *end = NULL;
        size_t at = lt ? (size_t)(lt - s->s) : s->n;
        bool comment = s->n - at >= 4 && memcmp(s->s + at, "<!--", 4) == 0;
        if (comment)
            end = memmem(s->s + at + 4, s->n - at - 4, "-->", 3);
        else if (lt)
            end = memchr(lt, '>', s->n - at);
        if (!end)
            at = s->n;
        slm_buf_put(&b, s->s + i, at - i);
        i = end ? (size_t)(end - s->s) + (comment ? 3 : 1) : s->n;
    }
    v = slm_py_buf_str(r, &b);
    py_val words = py_bad(v) ? v : slm_py_split(r, v, &(struct py_args){0}, false);
    py_val sep = slm_py_strz(r, " ");
    v = py_bad(words) || py_bad(sep) ? py_failed() : slm_py_join(r, sep, words, false);
    return py_bad(v) ? v : unescape(r, v);
}
