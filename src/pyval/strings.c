/* What the methods of str do. Positions are in characters, as in Python; the work is done in
 * bytes, which is safe as one character's UTF-8 never begins inside another's. Methods of
 * marked text give marked text and escape the plain text they take in, as Markup does. */
#include <string.h>

#include "pyval/pyval.h"
#include "pyval/methods.h"

bool slm_py_need_str(struct py_run *r, py_val v, const char *what)
{
    if (v.t == T_STR)
        return true;
    if (v.t == T_UNDEF)
        slm_py_fail(r, SLM_E_TEMPLATE, "%s: argument is undefined", what);
    slm_py_fail(r, SLM_E_TEMPLATE, "%s: argument must be str, not %s", what,
                slm_py_type_name(v));
    return false;
}

static bool char_in(int32_t cp, const struct py_str *set)
{
    int32_t c;
    if (!set)
        return cp >= 0 && slm_py_space(cp);
    for (size_t i = 0; i < set->n;) {
        i += (size_t)slm_utf8_next(set->s + i, set->n - i, &c);
        if (c == cp)
            return true;
    }
    return false;
}

static size_t char_before(const char *s, size_t i)
{
    i--;
    while (i > 0 && ((unsigned char)s[i] & 0xc0) == 0x80)
        i--;
    return i;
}

py_val slm_py_strip(struct py_run *r, py_val v, py_val chars, int sides)
{
    const struct py_str *s = v.s, *set = NULL;
    size_t lo = 0, hi = s->n;
    int32_t cp;
    if (chars.t != T_NONE && chars.t != T_MISSING) {
        if (!slm_py_need_str(r, chars, "strip"))
            return py_failed();
        set = chars.s;
    }
    while ((sides & 1) && lo < hi) {
        int len = slm_utf8_next(s->s + lo, hi - lo, &cp);
        if (!char_in(cp, set))
            break;
        lo += (size_t)len;
    }
    while ((sides & 2) && lo < hi) {
        size_t c = char_before(s->s, hi);
        slm_utf8_next(s->s + c, hi - c, &cp);
        if (!char_in(cp, set))
            break;
        hi = c;
    }
    if (!slm_py_step(r, (lo + s->n - hi) * (1 + (set ? set->n : 0)) / 16))
        return py_failed();
    return py_marked(slm_py_str_view(r, s->s + lo, hi - lo), v.mark);
}

bool slm_py_push_part(struct py_run *r, py_val list, py_val of, size_t lo, size_t hi)
{
    py_val s = py_marked(slm_py_str_view(r, of.s->s + lo, hi - lo), of.mark);
    return !py_bad(s) && slm_py_push(r, list.l, s);
}

static bool split_space(struct py_run *r, py_val list, py_val v, py_int max)
{
    const struct py_str *s = v.s;
    int32_t cp;
    for (size_t i = 0;;) {
        int len = 0;
        while (i < s->n && (len = slm_utf8_next(s->s + i, s->n - i, &cp)) && cp >= 0 &&
               slm_py_space(cp))
            i += (size_t)len;
        if (i >= s->n)
            return true;
        size_t lo = i;
        if (max == 0)
            return slm_py_push_part(r, list, v, lo, s->n);
        while (i < s->n && (len = slm_utf8_next(s->s + i, s->n - i, &cp)) &&
               !(cp >= 0 && slm_py_space(cp)))
            i += (size_t)len;
        if (!slm_py_push_part(r, list, v, lo, i))
            return false;
        max--;
    }
}

static bool rsplit_space(struct py_run *r, py_val list, py_val v, py_int max)
{
    const char *s = v.s->s;
    int32_t cp;
    for (size_t i = v.s->n;;) {
        for (size_t c; i > 0; i = c) {
            c = char_before(s, i);
            slm_utf8_next(s + c, i - c, &cp);
            if (!(cp >= 0 && slm_py_space(cp)))
                break;
        }
        if (i == 0)
            return true;
        size_t hi = i;
        if (max == 0)
            return slm_py_push_part(r, list, v, 0, hi);
        for (size_t c; i > 0; i = c) {
            c = char_before(s, i);
            slm_utf8_next(s + c, i - c, &cp);
            if (cp >= 0 && slm_py_space(cp))
                break;
        }
        if (!slm_py_push_part(r, list, v, i, hi))
            return false;
        max--;
    }
}

const char *slm_py_last_match(const char *s, size_t n, const struct py_str *what)
{
    for (size_t i = n >= what->n ? n - what->n + 1 : 0; i-- > 0;)
        if (memcmp(s + i, what->s, what->n) == 0)
            return s + i;
    return NULL;
}

static bool split_on(struct py_run *r, py_val list, py_val v, const struct py_str *sep,
                     py_int max)
{
    size_t lo = 0;
    const char *at;
    while (max-- != 0 && (at = memmem(v.s->s + lo, v.s->n - lo, sep->s, sep->n))) {
        size_t hi = (size_t)(at - v.s->s);
        if (!slm_py_push_part(r, list, v, lo, hi))
            return false;
        lo = hi + sep->n;
    }
    return slm_py_push_part(r, list, v, lo, v.s->n);
}

static bool rsplit_on(struct py_run *r, py_val list, py_val v, const struct py_str *sep,
                      py_int max)
{
    size_t hi = v.s->n;
    const char *at;
    while (max-- != 0 && (at = slm_py_last_match(v.s->s, hi, sep))) {
        size_t lo = (size_t)(at - v.s->s);
        if (!slm_py_push_part(r, list, v, lo + sep->n, hi))
            return false;
        hi = lo;
    }
    return slm_py_push_part(r, list, v, 0, hi);
}

static void reverse(struct py_list *l)
{
    for (size_t i = 0; i < l->n / 2; i++) {
        py_val t = l->v[i];
        l->v[i] = l->v[l->n - 1 - i];
        l->v[l->n - 1 - i] = t;
    }
}

py_val slm_py_split(struct py_run *r, py_val s, const struct py_args *a, bool right)
{
    static const struct py_spec spec = {"split", "sep maxsplit", 0, 0};
    py_val o[2], list = slm_py_list(r, T_LIST, 0);
    py_int max = -1;
    if (py_bad(list) || !slm_py_bind(r, &spec, a, o) || !slm_py_step(r, s.s->n / 16))
        return py_failed();
    if (o[1].t != T_MISSING && !slm_py_as_int(o[1], &max))
        return slm_py_fail(r, SLM_E_TEMPLATE, "'%s' object cannot be interpreted as an integer",
                           slm_py_type_name(o[1]));
    if (max < 0)
        max = -1;
    bool ok;
    if (o[0].t == T_NONE || o[0].t == T_MISSING) {
        ok = right ? rsplit_space(r, list, s, max) : split_space(r, list, s, max);
    } else {
        if (!slm_py_need_str(r, o[0], "split"))
            return py_failed();
        if (o[0].s->n == 0)
            return slm_py_fail(r, SLM_E_TEMPLATE, "empty separator");
        ok = right ? rsplit_on(r, list, s, o[0].s, max) : split_on(r, list, s, o[0].s, max);
    }
    if (ok && right)
        reverse(list.l);
    return ok ? list : py_failed();
}

static bool line_end(int32_t cp)
{
    return (cp >= '\n' && cp <= '\r') || (cp >= 0x1c && cp <= 0x1e) || cp == 0x85 ||
           cp == 0x2028 || cp == 0x2029;
}

py_val slm_py_split_lines(struct py_run *r, py_val v, bool keep)
{
    const struct py_str *s = v.s;
    py_val list = slm_py_list(r, T_LIST, 0);
    int32_t cp;
    size_t lo = 0;
    if (py_bad(list) || !slm_py_step(r, s->n / 16))
        return py_failed();
    for (size_t i = 0; i < s->n;) {
        size_t at = i;
        i += (size_t)slm_utf8_next(s->s + i, s->n - i, &cp);
        if (!line_end(cp))
            continue;
        if (cp == '\r' && i < s->n && s->s[i] == '\n')
            i++;
        if (!slm_py_push_part(r, list, v, lo, keep ? i : at))
            return py_failed();
        lo = i;
    }
    if (lo < s->n && !slm_py_push_part(r, list, v, lo, s->n))
        return py_failed();
    return list;
}

py_val slm_py_replace(struct py_run *r, py_val v, py_val from, py_val to, py_int count)
{
    struct slm_buf b;
    const struct py_str *s = v.s;
    size_t i = 0;
    if (!slm_py_need_str(r, from, "replace") || !slm_py_need_str(r, to, "replace") ||
        !slm_py_step(r, s->n / 16))
        return py_failed();
    if (v.mark)
        to = slm_py_escape(r, to);
    if (py_bad(to))
        return to;
    slm_py_buf(r, &b);
    for (; count != 0 && !b.failed; count--) {
        if (from.s->n == 0) {
            slm_buf_put(&b, to.s->s, to.s->n);
            int32_t cp;
            int len = i < s->n ? slm_utf8_next(s->s + i, s->n - i, &cp) : 0;
            slm_buf_put(&b, s->s + i, (size_t)len);
            i += (size_t)len;
            if (!len)
                break;
            continue;
        }
        const char *at = memmem(s->s + i, s->n - i, from.s->s, from.s->n);
        if (!at)
            break;
        size_t hi = (size_t)(at - s->s);
        slm_buf_put(&b, s->s + i, hi - i);
        slm_buf_put(&b, to.s->s, to.s->n);
        i = hi + from.s->n;
    }
    slm_buf_put(&b, s->s + i, s->n - i);
    return py_marked(slm_py_buf_str(r, &b), v.mark);
}

py_val slm_py_justify(struct py_run *r, py_val v, py_int width, py_val fill, int how)
{
    struct slm_buf b;
    py_int n = slm_py_len(r, v), left, right;
    if (fill.t == T_MISSING)
        fill = slm_py_strz(r, " ");
    if (py_bad(fill) || !slm_py_need_str(r, fill, "justify"))
        return py_failed();
    if (slm_py_chars(fill.s) != 1)
        return slm_py_fail(r, SLM_E_TEMPLATE,
                           "The fill character must be exactly one character long");
    if (v.mark)
        fill = slm_py_escape(r, fill);
    if (width <= n || py_bad(fill))
        return py_bad(fill) ? fill : v;
    if (width > (py_int)r->max_memory)
        return slm_py_fail(r, SLM_E_LIMIT, "a width too large for a template");
    py_int pad = width - n;
    left = how < 0 ? 0 : how > 0 ? pad : pad / 2 + (pad & width & 1);
    right = pad - left;
    slm_py_buf(r, &b);
    while (left-- > 0 && !b.failed)
        slm_buf_put(&b, fill.s->s, fill.s->n);
    slm_buf_put(&b, v.s->s, v.s->n);
    while (right-- > 0 && !b.failed)
        slm_buf_put(&b, fill.s->s, fill.s->n);
    return py_marked(slm_py_buf_str(r, &b), v.mark);
}

py_val slm_py_join(struct py_run *r, py_val sep, py_val items, bool strict)
{
    struct slm_buf b;
    struct py_iter *it = slm_py_iter(r, items);
    py_val v, only = {.t = T_MISSING};
    int more = it ? 0 : -1;
    if (!it)
        return py_failed();
    slm_py_buf(r, &b);
    for (size_t i = 0; (more = slm_py_next(r, it, &v)) > 0; i++) {
        only = i ? (py_val){.t = T_MISSING} : v;
        if (strict && !sep.mark && v.t != T_STR) {
            slm_py_fail(r, SLM_E_TEMPLATE, "sequence item %zu: expected str instance, %s found",
                        i, slm_py_type_name(v));
            break;
        }
        if (sep.mark)
            v = slm_py_escape(r, v);
        if (i)
            slm_buf_put(&b, sep.s->s, sep.s->n);
        if (py_bad(v) || !slm_py_put_str(r, &b, v) || b.failed)
            break;
    }
    if (!more && only.t == T_STR && !only.mark &&
        !sep.mark) { /* the string itself, as in Python */
        slm_buf_release(&b);
        return only;
    }
    return py_marked(slm_py_buf_str(r, &b), sep.mark);
}
