/* urlize: words of a text that are web or mail addresses become links. The shapes are those of
 * Jinja's patterns, matched by hand and each in one pass over the word. */
#include <string.h>

#include "pyval/pyval.h"
#include "pyval/methods.h"

struct word {
    const char *s;
    size_t n;
};

static bool starts(struct word w, const char *p)
{
    size_t n = strlen(p);
    return w.n >= n && memcmp(w.s, p, n) == 0;
}

static bool ends(struct word w, const char *p)
{
    size_t n = strlen(p);
    return w.n >= n && memcmp(w.s + w.n - n, p, n) == 0;
}

static bool digit(char c) { return c >= '0' && c <= '9'; }
static bool lower(char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }
static bool part(char c)
{
    return digit(c) || lower(c) || c == '_' || c == '-' || c == '%' || (c & 0x80);
}

/* Behind the host: an optional port and an optional path. */
static bool tail_ok(struct word w, size_t i)
{
    if (i < w.n && w.s[i] == ':') {
        size_t d = ++i;
        while (i < w.n && digit(w.s[i]) && i - d < 5)
            i++;
        if (i == d)
            return false;
    }
    return i == w.n || w.s[i] == '/' || w.s[i] == '?' || w.s[i] == '#';
}

static bool is_tld(const char *s, size_t n)
{
    if (n >= 6 && n <= 63 && memcmp(s, "xn--", 4) == 0)
        return true;
    for (size_t i = 0; i < n; i++)
        if (!lower(s[i]))
            return false;
    return n >= 2 && n <= 63;
}

static bool old_tld(const char *s, size_t n)
{
    static const char *const known[] = {"com", "net", "int",  "edu",
                                        "gov", "org", "info", "mil"};
    for (size_t i = 0; i < 8; i++)
        if (strlen(known[i]) == n && memcmp(known[i], s, n) == 0)
            return true;
    return false;
}

/* a.b.c at i: where it ends, where its last part begins. */
static size_t host_end(struct word w, size_t i, size_t *last, size_t *parts)
{
    *last = i;
    *parts = 0;
    for (;;) {
        size_t lo = i;
        while (i < w.n && part(w.s[i]))
            i++;
        if (i == lo)
            return lo;
        ++*parts;
        *last = lo;
        if (i >= w.n || w.s[i] != '.')
            return i;
        i++;
    }
}

static bool ipv4(struct word w, size_t i)
{
    for (int k = 0; k < 4; k++) {
        size_t lo = i;
        while (i < w.n && digit(w.s[i]) && i - lo < 3)
            i++;
        if (i == lo || (k < 3 && (i >= w.n || w.s[i++] != '.')))
            return false;
    }
    return tail_ok(w, i);
}

static bool ipv6(struct word w, size_t i)
{
    size_t colons = 0;
    if (i >= w.n || w.s[i++] != '[')
        return false;
    for (; i < w.n && w.s[i] != ']'; i++) {
        colons += w.s[i] == ':';
        if (w.s[i] != ':' && !digit(w.s[i]) && !((w.s[i] | 32) >= 'a' && (w.s[i] | 32) <= 'f'))
            return false;
    }
    return i < w.n && colons >= 2 && tail_ok(w, i + 1);
}

static bool web(struct word w)
{
    bool scheme = starts(w, "https://") || starts(w, "http://"), www = starts(w, "www.");
    size_t i = scheme ? starts(w, "https://") ? 8 : 7 : www ? 4 : 0, last, parts;
    if (scheme && (ipv4(w, i) || ipv6(w, i)))
        return true;
    size_t end = host_end(w, i, &last, &parts);
    if (end <= last || !tail_ok(w, end))
        return false;
    if (scheme || www)
        return is_tld(w.s + last, end - last);
    return parts >= 2 && old_tld(w.s + last, end - last);
}

/* something@name.more */
static bool mail(struct word w)
{
    const char *at = NULL;
    for (size_t i = 1; i < w.n; i++)
        if (w.s[i] == '@')
            at = w.s + i;
    if (!at)
        return false;
    size_t i = (size_t)(at - w.s) + 1, dot = 0;
    if (i >= w.n || !(digit(w.s[i]) || lower(w.s[i]) || w.s[i] == '_' || (w.s[i] & 0x80)))
        return false;
    for (size_t k = i; k < w.n; k++) {
        if (!part(w.s[k]) && w.s[k] != '.')
            return false;
        if (w.s[k] == '%')
            return false;
        if (w.s[k] == '.')
            dot = k;
    }
    for (size_t k = dot + 1; dot && k < w.n; k++)
        if (w.s[k] == '-')
            return false;
    return dot > i && dot + 1 < w.n;
}

static size_t leading(struct word w)
{
    size_t i = 0;
    for (;;) {
        struct word rest = {w.s + i, w.n - i};
        if (starts(rest, "(") || starts(rest, "<"))
            i++;
        else if (starts(rest, "&lt;"))
            i += 4;
        else
            return i;
    }
}

static size_t trailing(struct word w)
{
    size_t n = w.n;
    for (;;) {
        struct word head = {w.s, n};
        if (n && strchr(")>.,\n", w.s[n - 1]))
            n--;
        else if (ends(head, "&gt;"))
            n -= 4;
        else
            return n;
    }
}

static size_t count(const char *s, size_t n, const char *what)
{
    size_t k = 0, len = strlen(what);
    for (const char *at; (at = memmem(s, n, what, len)); k++) {
        n -= (size_t)(at - s) + len;
        s = at + len;
    }
    return k;
}

/* Gives brackets that the middle opens their closing ones back from the tail. */
static size_t balance(struct word w, size_t lo, size_t hi)
{
    static const char *const pairs[3][2] = {{"(", ")"}, {"<", ">"}, {"&lt;", "&gt;"}};
    for (int k = 0; k < 3; k++) {
        size_t open = count(w.s + lo, hi - lo, pairs[k][0]);
        if (open <= count(w.s + lo, hi - lo, pairs[k][1]))
            continue;
        size_t have = count(w.s + hi, w.n - hi, pairs[k][1]);
        for (size_t m = open < have ? open : have; m > 0; m--) {
            const char *at = memmem(w.s + hi, w.n - hi, pairs[k][1], strlen(pairs[k][1]));
            hi = (size_t)(at - w.s) + strlen(pairs[k][1]);
        }
    }
    return hi;
}

struct links {
    struct py_run *r;
    struct slm_buf *b;
    py_val rel, target, schemes;
    py_int limit; /* -1: none */
};

static void put_link(struct links *x, const char *prefix, struct word w, struct word shown,
                     bool web_link)
{
    slm_buf_printf(x->b, "<a href=\"%s", prefix);
    slm_buf_put(x->b, w.s, w.n);
    slm_buf_putc(x->b, '"');
    if (web_link && x->rel.t == T_STR) {
        slm_buf_puts(x->b, " rel=\"");
        slm_py_put_str(x->r, x->b, x->rel);
        slm_buf_putc(x->b, '"');
    }
    if (web_link && x->target.t == T_STR) {
        slm_buf_puts(x->b, " target=\"");
        slm_py_put_str(x->r, x->b, x->target);
        slm_buf_putc(x->b, '"');
    }
    slm_buf_putc(x->b, '>');
    struct py_str s = {.s = shown.s, .n = shown.n, .chars = SIZE_MAX};
    bool cut = web_link && x->limit >= 0 && (py_int)slm_py_chars(&s) > x->limit;
    slm_buf_put(x->b, shown.s, cut ? slm_py_offset(&s, (size_t)x->limit) : shown.n);
    slm_buf_puts(x->b, cut ? "...</a>" : "</a>");
}

static void put_word(struct links *x, struct word w)
{
    size_t lo = leading(w), hi = trailing((struct word){w.s + lo, w.n - lo}) + lo;
    hi = balance(w, lo, hi);
    struct word mid = {w.s + lo, hi - lo};
    slm_buf_put(x->b, w.s, lo);
    if (web(mid)) {
        bool scheme = starts(mid, "https://") || starts(mid, "http://");
        put_link(x, scheme ? "" : "https://", mid, mid, true);
    } else if (starts(mid, "mailto:") && mail((struct word){mid.s + 7, mid.n - 7})) {
        put_link(x, "", mid, (struct word){mid.s + 7, mid.n - 7}, false);
    } else if (!starts(mid, "www.") && !starts(mid, "@") && !memchr(mid.s, ':', mid.n) &&
               mail(mid)) {
        put_link(x, "mailto:", mid, mid, false);
    } else {
        bool linked = false;
        for (size_t i = 0; py_is_seq(x->schemes) && i < x->schemes.l->n && !linked; i++) {
            const struct py_str *s =
                x->schemes.l->v[i].t == T_STR ? x->schemes.l->v[i].s : NULL;
            if (s && mid.n > s->n && memcmp(mid.s, s->s, s->n) == 0) {
                put_link(x, "", mid, mid, true);
                linked = true;
            }
        }
        if (!linked)
            slm_buf_put(x->b, mid.s, mid.n);
    }
    slm_buf_put(x->b, w.s + hi, w.n - hi);
}

/* rel: the words given, nofollow and noopener, each once and in order. */
static py_val relation(struct py_run *r, py_val rel, bool nofollow)
{
    py_val words = slm_py_list(r, T_LIST, 0),
           extra[2] = {slm_py_strz(r, "noopener"), slm_py_strz(r, "nofollow")};
    if (rel.t == T_STR)
        words = slm_py_split(r, rel, &(struct py_args){0}, false);
    for (int i = 0; i < 1 + nofollow; i++) {
        if (py_bad(words) || py_bad(extra[i]))
            return py_failed();
        int have = slm_py_contains(r, extra[i], words);
        if (have < 0 || (!have && !slm_py_push(r, words.l, extra[i])))
            return py_failed();
    }
    py_val sep = slm_py_strz(r, " ");
    if (py_bad(words) || py_bad(sep) || !slm_py_sort(r, words.l->v, NULL, words.l->n, false))
        return py_failed();
    return slm_py_escape(r, slm_py_join(r, sep, words, true));
}

py_val slm_py_urlize(struct py_run *r, py_val v, const struct py_args *a)
{
    static const struct py_spec spec = {
        "urlize", "trim_url_limit nofollow target rel extra_schemes", 0, 0};
    py_val o[5];
    bool nofollow;
    struct slm_buf b;
    struct links x = {.r = r, .b = &b, .limit = -1};
    if (!slm_py_bind(r, &spec, a, o) || !slm_py_truth(r, o[1], &nofollow))
        return py_failed();
    if (o[0].t != T_MISSING && o[0].t != T_NONE && !slm_py_as_int(o[0], &x.limit))
        return slm_py_fail(r, SLM_E_TEMPLATE, "urlize: trim_url_limit must be an integer");
    x.rel = relation(r, o[3], nofollow);
    x.target = o[2].t == T_STR ? slm_py_escape(r, o[2]) : o[2];
    x.schemes = o[4];
    v = slm_py_escape(r, v);
    if (py_bad(x.rel) || py_bad(x.target) || py_bad(v) || !slm_py_step(r, v.s->n / 4))
        return py_failed();
    slm_py_buf(r, &b);
    for (size_t i = 0, lo; i < v.s->n && !b.failed;) {
        int32_t cp;
        int len = slm_utf8_next(v.s->s + i, v.s->n - i, &cp);
        if (cp >= 0 && slm_py_space(cp)) {
            slm_buf_put(&b, v.s->s + i, (size_t)len);
            i += (size_t)len;
            continue;
        }
        for (lo = i; i < v.s->n; i += (size_t)len) {
            len = slm_utf8_next(v.s->s + i, v.s->n - i, &cp);
            if (cp >= 0 && slm_py_space(cp))
                break;
        }
        put_word(&x, (struct word){v.s->s + lo, i - lo});
    }
    return slm_py_buf_str(r, &b);
}
