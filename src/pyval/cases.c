/* Characters as Python's str classifies and recases them. */
#include <string.h>

#include "pyval/pyval.h"
#include "pyval/case_tables.h"
#include "pyval/methods.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static bool in_ranges(const struct cp_range *r, size_t n, int32_t cp)
{
    for (size_t i = 0; i < n && r[i].lo <= cp; i++)
        if (cp <= r[i].hi)
            return true;
    return false;
}

bool slm_py_space(int32_t cp) { return (cp >= 0x1c && cp <= 0x1f) || slm_utf8_space(cp); }

bool slm_py_printable(int32_t cp)
{
    if (cp < 0x7f)
        return cp >= 0x20;
    const char *c = slm_utf8_category(cp);
    return c[0] != 'C' && c[0] != 'Z';
}

bool slm_py_alpha(int32_t cp)
{
    if (cp < 0x80)
        return (cp | 32) >= 'a' && (cp | 32) <= 'z';
    return slm_utf8_category(cp)[0] == 'L';
}

bool slm_py_digit(int32_t cp)
{
    if (cp < 0x80)
        return cp >= '0' && cp <= '9';
    return strcmp(slm_utf8_category(cp), "Nd") == 0 ||
           in_ranges(digit_ranges, COUNT(digit_ranges), cp);
}

bool slm_py_numeric(int32_t cp)
{
    if (cp < 0x80)
        return cp >= '0' && cp <= '9';
    return slm_utf8_category(cp)[0] == 'N' ||
           in_ranges(other_numeric, COUNT(other_numeric), cp);
}

bool slm_py_alnum(int32_t cp) { return slm_py_alpha(cp) || slm_py_numeric(cp); }

bool slm_py_upper(int32_t cp)
{
    if (cp < 0x80)
        return cp >= 'A' && cp <= 'Z';
    return strcmp(slm_utf8_category(cp), "Lu") == 0 ||
           in_ranges(other_upper, COUNT(other_upper), cp);
}

bool slm_py_lower(int32_t cp)
{
    if (cp < 0x80)
        return cp >= 'a' && cp <= 'z';
    return strcmp(slm_utf8_category(cp), "Ll") == 0 ||
           in_ranges(other_lower, COUNT(other_lower), cp);
}

static bool title_letter(int32_t cp)
{
    return cp >= 0x80 && strcmp(slm_utf8_category(cp), "Lt") == 0;
}

static bool cased(int32_t cp)
{
    return slm_py_upper(cp) || slm_py_lower(cp) || title_letter(cp);
}

static void put_cp(struct slm_buf *b, int32_t cp)
{
    char out[4];
    slm_buf_put(b, out, (size_t)slm_utf8_put(out, cp));
}

static void put_upper(struct slm_buf *b, int32_t cp, bool title)
{
    for (size_t i = 0; cp >= 0xdf && cp <= 0xffff && i < COUNT(wide_case); i++)
        if (wide_case[i].cp == cp) {
            slm_buf_puts(b, title ? wide_case[i].title : wide_case[i].upper);
            return;
        }
    put_cp(b, title ? slm_utf8_title(cp) : slm_utf8_upper(cp));
}

static void put_fold(struct slm_buf *b, int32_t cp)
{
    for (size_t i = 0; cp >= 0x80 && i < COUNT(fold_wide); i++)
        if (fold_wide[i].cp == cp) {
            slm_buf_puts(b, fold_wide[i].to);
            return;
        }
    for (size_t i = 0; cp >= 0x80 && i < COUNT(fold_runs); i++)
        if (cp >= fold_runs[i].lo && cp <= fold_runs[i].hi) {
            put_cp(b, cp + fold_runs[i].delta);
            return;
        }
    put_cp(b, slm_utf8_lower(cp));
}

static bool ignorable(int32_t cp)
{
    const char *c = slm_utf8_category(cp);
    return cp == '\'' || cp == '.' || cp == ':' || cp == '^' || cp == '`' || cp == 0xb7 ||
           cp == 0x2019 || strcmp(c, "Mn") == 0 || strcmp(c, "Me") == 0 ||
           strcmp(c, "Cf") == 0 || strcmp(c, "Lm") == 0 || strcmp(c, "Sk") == 0;
}

/* Is the sigma at [i, i+2) of s the last letter of a word? */
static bool final_sigma(const char *s, size_t n, size_t i)
{
    int32_t cp = 0;
    size_t j = i;
    bool before = false;
    while (j > 0) {
        size_t k = j - 1;
        while (k > 0 && ((unsigned char)s[k] & 0xc0) == 0x80)
            k--;
        slm_utf8_next(s + k, j - k, &cp);
        j = k;
        if (cp >= 0 && ignorable(cp))
            continue;
        before = cp >= 0 && cased(cp);
        break;
    }
    if (!before)
        return false;
    for (j = i + 2; j < n;) {
        j += (size_t)slm_utf8_next(s + j, n - j, &cp);
        if (cp >= 0 && ignorable(cp))
            continue;
        return cp < 0 || !cased(cp);
    }
    return true;
}

static void put_lower(struct slm_buf *b, const char *s, size_t n, size_t i, int32_t cp)
{
    if (cp == 0x130)
        slm_buf_puts(b, "i\xcc\x87");
    else if (cp == 0x3a3)
        put_cp(b, final_sigma(s, n, i) ? 0x3c2 : 0x3c3);
    else
        put_cp(b, slm_utf8_lower(cp));
}

void slm_py_put_case(struct slm_buf *b, const char *s, size_t n, int how)
{
    int32_t cp;
    bool in_word = false;
    for (size_t i = 0; i < n;) {
        int len = slm_utf8_next(s + i, n - i, &cp);
        if (cp < 0)
            slm_buf_put(b, s + i, (size_t)len);
        else if (how == CASE_UPPER || (how == CASE_SWAP && slm_py_lower(cp)))
            put_upper(b, cp, false);
        else if (how == CASE_LOWER || (how == CASE_SWAP && slm_py_upper(cp)))
            put_lower(b, s, n, i, cp);
        else if (how == CASE_FOLD)
            put_fold(b, cp);
        else if (how == CASE_SWAP)
            put_cp(b, cp);
        else if (how == CASE_CAPITAL ? i == 0 : !in_word)
            put_upper(b, cp, true);
        else
            put_lower(b, s, n, i, cp);
        in_word = cp >= 0 && how == CASE_TITLE && cased(cp);
        i += (size_t)len;
    }
}

py_val slm_py_recase(struct py_run *r, py_val s, int how)
{
    struct slm_buf b;
    slm_py_buf(r, &b);
    if (!slm_py_step(r, s.s->n / 4)) {
        slm_buf_release(&b);
        return py_failed();
    }
    slm_py_put_case(&b, s.s->s, s.s->n, how);
    py_val v = slm_py_buf_str(r, &b);
    v.mark = s.mark && !py_bad(v);
    return v;
}

static bool identifier(const struct py_str *s)
{
    int32_t cp;
    for (size_t i = 0; i < s->n;) {
        size_t at = i;
        i += (size_t)slm_utf8_next(s->s + i, s->n - i, &cp);
        const char *c = cp < 0 ? "Cn" : slm_utf8_category(cp);
        bool start = cp == '_' || c[0] == 'L' || strcmp(c, "Nl") == 0;
        if (!start && (at == 0 || !(strcmp(c, "Mn") == 0 || strcmp(c, "Mc") == 0 ||
                                    strcmp(c, "Nd") == 0 || strcmp(c, "Pc") == 0)))
            return false;
    }
    return s->n > 0;
}

/* islower, isupper, istitle: rules over the cased characters. */
static bool case_test(const struct py_str *s, int id)
{
    bool any = false, word = false;
    int32_t cp;
    for (size_t i = 0; i < s->n;) {
        i += (size_t)slm_utf8_next(s->s + i, s->n - i, &cp);
        bool up = cp >= 0 && (slm_py_upper(cp) || title_letter(cp)),
             low = cp >= 0 && slm_py_lower(cp);
        if (id == MS_islower && up)
            return false;
        if (id == MS_isupper && (low || (up && title_letter(cp))))
            return false;
        if (id == MS_istitle && ((up && word) || (low && !word)))
            return false;
        word = up || low;
        any |= word;
    }
    return any;
}

static bool char_test(int32_t cp, int id)
{
    if (cp < 0)
        return false;
    switch (id) {
    case MS_isalnum: return slm_py_alnum(cp);
    case MS_isalpha: return slm_py_alpha(cp);
    case MS_isascii: return cp < 0x80;
    case MS_isdecimal:
        return cp < 0x80 ? slm_py_digit(cp) : strcmp(slm_utf8_category(cp), "Nd") == 0;
    case MS_isdigit: return slm_py_digit(cp);
    case MS_isnumeric: return slm_py_numeric(cp);
    case MS_isprintable: return slm_py_printable(cp);
    default: return slm_py_space(cp);
    }
}

bool slm_py_is_case(py_val v, bool upper)
{
    return case_test(v.s, upper ? MS_isupper : MS_islower);
}

py_val slm_py_test_chars(py_val v, int id)
{
    const struct py_str *s = v.s;
    int32_t cp;
    if (id == MS_islower || id == MS_isupper || id == MS_istitle)
        return py_bool(case_test(s, id));
    if (id == MS_isidentifier)
        return py_bool(identifier(s));
    for (size_t i = 0; i < s->n;) {
        i += (size_t)slm_utf8_next(s->s + i, s->n - i, &cp);
        if (!char_test(cp, id))
            return py_bool(false);
    }
    return py_bool(s->n > 0 || id == MS_isascii || id == MS_isprintable);
}
