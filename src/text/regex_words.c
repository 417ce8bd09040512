/* Patterns come in the dialects of Oniguruma, Rust and Python; PCRE2 runs them. This file says
 * in PCRE2's words what those mean: \s is White_Space and nothing else, \d, \w and \h are what
 * Oniguruma calls so, sets may stand in sets ([a[bc]]) and meet in others ([a&&b]), {n,m}+
 * repeats a repetition, (?m) lets the dot take line breaks. */
#include "text/tok.h"

#include <string.h>

#define SPACES                                                                                 \
    "\\x{09}-\\x{0D}\\x{20}\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}"                \
    "\\x{2029}\\x{202F}\\x{205F}\\x{3000}"
#define NOT_SPACES                                                                             \
    "\\x{00}-\\x{08}\\x{0E}-\\x{1F}\\x{21}-\\x{84}\\x{86}-\\x{9F}\\x{A1}-\\x{167F}"            \
    "\\x{1681}-\\x{1FFF}\\x{200B}-\\x{2027}\\x{202A}-\\x{202E}\\x{2030}-\\x{205E}"             \
    "\\x{2060}-\\x{2FFF}\\x{3001}-\\x{10FFFF}"
#define SET_WORDS \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24B6}-\\x{24E9}\\x{1F130}-\\x{1F149}" \
    "\\x{1F150}-\\x{1F169}\\x{1F170}-\\x{1F189}"
/* Outside of sets Oniguruma takes the numerals of Latin-1 for word characters, too. */
#define WORDS SET_WORDS "\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}"
#define HEX "0-9A-Fa-f"
#define ANY "[\\x{0}-\\x{10FFFF}]"
#define DEEP 32

struct in {
    const char *p;
    size_t n, i;
    const char *name;
    slm_runtime *rt;
    slm_err *err;
};

static int bad(struct in *in, const char *what)
{
    return slm_fail(in->err, SLM_E_FORMAT, "%s: pattern: %s at byte %zu", in->name, what,
                    in->i);
}

/* \p{Letter} and friends, which PCRE2 knows by their two letters only. */
static const char *property(const char *s, size_t n)
{
    static const char *const longs[][2] = {
        {"Letter", "L"},
        {"Uppercase_Letter", "Lu"},
        {"Lowercase_Letter", "Ll"},
        {"Titlecase_Letter", "Lt"},
        {"Modifier_Letter", "Lm"},
        {"Other_Letter", "Lo"},
        {"Mark", "M"},
        {"Nonspacing_Mark", "Mn"},
        {"Spacing_Mark", "Mc"},
        {"Enclosing_Mark", "Me"},
        {"Number", "N"},
        {"Decimal_Number", "Nd"},
        {"Letter_Number", "Nl"},
        {"Other_Number", "No"},
        {"Punctuation", "P"},
        {"Symbol", "S"},
        {"Separator", "Z"},
        {"Space_Separator", "Zs"},
        {"Other", "C"},
        {"Control", "Cc"},
    };
    for (size_t i = 0; i < sizeof longs / sizeof *longs; i++) {
        if (strlen(longs[i][0]) == n && !memcmp(longs[i][0], s, n))
            return longs[i][1];
    }
    return NULL;
}

/* \p or \P with its braces. */
static int put_property(struct in *in, struct slm_buf *out)
{
    bool neg = in->p[in->i + 1] == 'P';
    in->i += 2;
    if (in->i < in->n && in->p[in->i] != '{') { /* \pL */
        slm_buf_printf(out, "\\%c%c", neg ? 'P' : 'p', in->p[in->i++]);
        return 0;
    }
    const char *end = in->i < in->n ? memchr(in->p + in->i, '}', in->n - in->i) : NULL;
    if (!end)
        return bad(in, "\\p without its braces");
    const char *s = in->p + in->i + 1;
    size_t n = (size_t)(end - s);
    if (n && *s == '^') {
        neg = !neg;
        s++;
        n--;
    }
    const char *two = property(s, n);
    slm_buf_puts(out, neg ? "\\P{" : "\\p{");
    if (two)
        slm_buf_puts(out, two);
    else
        slm_buf_put(out, s, n);
    slm_buf_putc(out, '}');
    in->i = (size_t)(end - in->p) + 1;
    return 0;
}

/* An escape at in->i as items of a set; those that are no plain items go to *neg_word. */
static int put_escape_item(struct in *in, struct slm_buf *out, bool *neg_word)
{
    if (in->i + 1 >= in->n)
        return bad(in, "a backslash at the end");
    char c = in->p[in->i + 1];
    const char *put = NULL;
    switch (c) {
    case 'p':
    case 'P': return put_property(in, out);
    case 's': put = SPACES; break;
    case 'S': put = NOT_SPACES; break;
    case 'd': put = "\\p{Nd}"; break;
    case 'D': put = "\\P{Nd}"; break;
    case 'w': put = SET_WORDS; break;
    case 'h': put = HEX; break;
    case 'v': put = "\\x{0B}"; break;
    case 'b': put = "\\x{08}"; break;
    case 'W':
        *neg_word = true;
        put = "";
        break;
    case 'u':
        if (in->i + 6 > in->n)
            return bad(in, "\\u without four digits");
        slm_buf_printf(out, "\\x{%.4s}", in->p + in->i + 2);
        in->i += 6;
        return 0;
    default: break;
    }
    if (put) {
        slm_buf_puts(out, put);
        in->i += 2;
        return 0;
    }
    size_t len = (unsigned char)c < 0x80 ? 1 : 0;
    if (!len) {
        int32_t cp;
        len = (size_t)slm_utf8_next(in->p + in->i + 1, in->n - in->i - 1, &cp);
        slm_buf_put(out, in->p + in->i + 1, len); /* an escaped letter beyond ASCII is itself */
    } else {
        slm_buf_put(out, in->p + in->i, 2);
    }
    in->i += 1 + len;
    if (c == 'x' && in->i < in->n && in->p[in->i] == '{') {
        const char *end = memchr(in->p + in->i, '}', in->n - in->i);
        if (!end)
            return bad(in, "\\x{ without its brace");
        slm_buf_put(out, in->p + in->i, (size_t)(end - in->p) + 1 - in->i);
        in->i = (size_t)(end - in->p) + 1;
    }
    return 0;
}

static int put_set(struct in *in, struct slm_buf *out, int depth);

/* What a set is made of while it is read. */
struct set {
    struct slm_buf items, alts,
        meet; /* members; nested sets "|[..]"; "(?=..)" of an intersection */
    bool neg_word;
};

/* Writes the set read so far as an expression for one character. */
static void put_union(struct slm_buf *out, const struct set *s)
{
    if (!s->alts.n && !s->neg_word) {
        slm_buf_printf(out, "[%s]", s->items.s);
        return;
    }
    slm_buf_puts(out, "(?:");
    if (s->items.n)
        slm_buf_printf(out, "[%s]", s->items.s);
    else
        slm_buf_puts(out, "(?!)");
    if (s->neg_word)
        slm_buf_puts(out, "|[^" SET_WORDS "]");
    slm_buf_put(out, s->alts.s, s->alts.n);
    slm_buf_putc(out, ')');
}

/* Whether all that was put there is there. */
static int check_set(const struct in *in, const struct set *s)
{
    int rc = slm_buf_check(&s->items, "a pattern", in->err);
    rc = rc ? rc : slm_buf_check(&s->alts, "a pattern", in->err);
    return rc ? rc : slm_buf_check(&s->meet, "a pattern", in->err);
}

static int read_item(struct in *in, struct set *set, int depth)
{
    const char *p = in->p + in->i;
    size_t left = in->n - in->i;
    if (*p == '[' && left > 1 && p[1] == ':') {
        const char *end = memmem(p, left, ":]", 2);
        if (end) {
            slm_buf_put(&set->items, p, (size_t)(end - p) + 2);
            in->i += (size_t)(end - p) + 2;
            return 0;
        }
    }
    if (*p == '[') {
        slm_buf_putc(&set->alts, '|');
        return put_set(in, &set->alts, depth + 1);
    }
    if (*p == '&' && left > 1 && p[1] == '&') { /* what was read so far must meet the rest */
        if (!set->items.n && !set->alts.n && !set->neg_word)
            return set->items.failed ? check_set(in, set)
                                     : bad(in, "an intersection with nothing");
        slm_buf_puts(&set->meet, "(?=");
        put_union(&set->meet, set);
        slm_buf_putc(&set->meet, ')');
        int rc = check_set(in, set);
        if (rc)
            return rc;
        slm_buf_reset(&set->items);
        slm_buf_reset(&set->alts);
        set->neg_word = false;
        in->i += 2;
        return 0;
    }
    if (*p == '\\')
        return put_escape_item(in, &set->items, &set->neg_word);
    slm_buf_putc(&set->items, *p);
    in->i++;
    return 0;
}

static int read_set(struct in *in, struct set *set, int depth)
{
    if (in->i < in->n && in->p[in->i] == ']') { /* first in the set: itself */
        slm_buf_puts(&set->items, "\\]");
        in->i++;
    }
    while (in->i < in->n && in->p[in->i] != ']') {
        int rc = read_item(in, set, depth);
        if (rc)
            return rc;
    }
    if (in->i >= in->n)
        return bad(in, "a set without its end");
    in->i++;
    int rc = check_set(in, set);
    if (!rc && !set->items.n && !set->alts.n && !set->neg_word)
        rc = bad(in, "an empty set");
    return rc;
}

/* A set at in->i ('['), as an expression for one character. */
static int put_set(struct in *in, struct slm_buf *out, int depth)
{
    if (depth > DEEP)
        return bad(in, "sets nested too deep");
    struct set set = {.neg_word = false};
    slm_buf_init(&set.items, in->rt, SLM_MEM_TEXT, 1 << 20);
    slm_buf_init(&set.alts, in->rt, SLM_MEM_TEXT, 1 << 20);
    slm_buf_init(&set.meet, in->rt, SLM_MEM_TEXT, 1 << 20);
    in->i++;
    bool neg = in->i < in->n && in->p[in->i] == '^';
    in->i += neg;
    int rc = read_set(in, &set, depth);
    if (!rc) {
        bool plain = !set.alts.n && !set.neg_word && !set.meet.n;
        if (plain) {
            slm_buf_printf(out, neg ? "[^%s]" : "[%s]", set.items.s);
        } else {
            slm_buf_puts(out, neg ? "(?:(?!(?:" : "(?:");
            slm_buf_put(out, set.meet.s, set.meet.n);
            put_union(out, &set);
            slm_buf_puts(out, neg ? "))" ANY ")" : ")");
        }
        rc = slm_buf_check(&set.items, "a pattern", in->err);
    }
    slm_buf_release(&set.items);
    slm_buf_release(&set.alts);
    slm_buf_release(&set.meet);
    return rc;
}

/* An escape outside of sets. */
static int put_escape(struct in *in, struct slm_buf *out)
{
    if (in->i + 1 >= in->n)
        return bad(in, "a backslash at the end");
    const char *put = NULL;
    switch (in->p[in->i + 1]) {
    case 's': put = "[" SPACES "]"; break;
    case 'S': put = "[^" SPACES "]"; break;
    case 'd': put = "\\p{Nd}"; break;
    case 'D': put = "\\P{Nd}"; break;
    case 'w': put = "[" WORDS "]"; break;
    case 'W': put = "[^" WORDS "]"; break;
    case 'h': put = "[" HEX "]"; break;
    case 'H': put = "[^" HEX "]"; break;
    case 'v': put = "\\x{0B}"; break;
    case 'b':
        put = "(?:(?<=[" WORDS "])(?![" WORDS "])|(?<![" WORDS "])(?=[" WORDS "]))";
        break;
    case 'B':
        put = "(?:(?<=[" WORDS "])(?=[" WORDS "])|(?<![" WORDS "])(?![" WORDS "]))";
        break;
    default: break;
    }
    if (put) {
        slm_buf_puts(out, put);
        in->i += 2;
        return 0;
    }
    bool unused = false;
    return put_escape_item(in, out, &unused);
}

/* (?im-x: or (?m): Oniguruma's m is everyone else's s. */
static void put_group(struct in *in, struct slm_buf *out)
{
    slm_buf_putc(out, '(');
    in->i++;
    if (in->i + 1 >= in->n || in->p[in->i] != '?' || !strchr("imxs-", in->p[in->i + 1]))
        return;
    while (in->i < in->n && strchr("?imxs-", in->p[in->i])) {
        slm_buf_putc(out, in->p[in->i] == 'm' ? 's' : in->p[in->i]);
        in->i++;
    }
}

/* {n,m} behind an atom that starts at out->s + atom. */
static int put_repeat(struct in *in, struct slm_buf *out, size_t atom)
{
    size_t end = in->i + 1;
    while (end < in->n && (strchr("0123456789,", in->p[end]) && in->p[end]))
        end++;
    if (end >= in->n || in->p[end] != '}' || end == in->i + 1) { /* a plain brace */
        slm_buf_puts(out, "\\{");
        in->i++;
        return 0;
    }
    bool again = end + 1 < in->n && in->p[end + 1] == '+';
    if (again) { /* not possessive there: the repetition as a whole repeats */
        struct slm_buf copy;
        slm_buf_init(&copy, in->rt, SLM_MEM_TEXT, 1 << 20);
        slm_buf_put(&copy, out->s + atom, out->n - atom);
        out->n = atom;
        slm_buf_puts(out, "(?:");
        slm_buf_put(out, copy.s, copy.n);
        int rc = slm_buf_check(&copy, "a pattern", in->err);
        slm_buf_release(&copy);
        if (rc)
            return rc;
    }
    slm_buf_putc(out, '{');
    if (in->p[in->i + 1] == ',')
        slm_buf_putc(out, '0');
    slm_buf_put(out, in->p + in->i + 1, end - in->i);
    if (again)
        slm_buf_putc(out, ')');
    in->i = end + 1;
    return 0;
}

int slm_regex_words(struct slm_buf *out, const char *p, size_t n, const char *name,
                    slm_err *err)
{
    struct in in = {.p = p, .n = n, .name = name, .rt = out->rt, .err = err};
    size_t atom = 0, open[DEEP * 4], groups = 0;
    int rc = 0;
    while (!rc && in.i < n) {
        char c = p[in.i];
        size_t at = out->n;
        switch (c) {
        case '\\': rc = put_escape(&in, out); break;
        case '[': rc = put_set(&in, out, 0); break;
        case '{':
            rc = put_repeat(&in, out, atom);
            at = atom;
            break;
        case '(':
            if (groups == sizeof open / sizeof *open)
                return bad(&in, "groups nested too deep");
            open[groups++] = at;
            put_group(&in, out);
            break;
        case ')':
            at = groups ? open[--groups] : at;
            slm_buf_putc(out, c);
            in.i++;
            break;
        case '+':
        case '*':
        case '?':
            at = atom;
            slm_buf_putc(out, c);
            in.i++;
            break;
        default: {
            int32_t cp;
            size_t len = (size_t)slm_utf8_next(p + in.i, n - in.i, &cp);
            slm_buf_put(out, p + in.i, len);
            in.i += len;
        }
        }
        atom = at;
    }
    return rc ? rc : slm_buf_check(out, "a pattern", err);
}
