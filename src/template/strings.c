/* The methods of str. Positions are in characters, as in Python; the work is done in bytes,
 * which is safe as one character's UTF-8 never begins inside another's. Methods of marked text
 * give marked text and escape the plain text they take in, as Markup does. */
#include <string.h>

#include "template/jinja.h"
#include "template/methods.h"

static jj_val marked(jj_val v, bool mark)
{
    v.mark = mark && v.t == T_STR;
    return v;
}

static bool need_str(struct jj_run *r, jj_val v, const char *what)
{
    if (v.t == T_STR)
        return true;
    if (v.t == T_UNDEF)
        slm_jj_fail(r, SLM_E_TEMPLATE, "%s: argument is undefined", what);
    slm_jj_fail(r, SLM_E_TEMPLATE, "%s: argument must be str, not %s", what,
                slm_jj_type_name(v));
    return false;
}

static bool char_in(int32_t cp, const struct jj_str *set)
{
    int32_t c;
    if (!set)
        return cp >= 0 && slm_jj_space(cp);
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

jj_val slm_jj_strip(struct jj_run *r, jj_val v, jj_val chars, int sides)
{
    const struct jj_str *s = v.s, *set = NULL;
    size_t lo = 0, hi = s->n;
    int32_t cp;
    if (chars.t != T_NONE && chars.t != T_MISSING) {
        if (!need_str(r, chars, "strip"))
            return jj_failed();
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
    if (!slm_jj_step(r, (lo + s->n - hi) * (1 + (set ? set->n : 0)) / 16))
        return jj_failed();
    return marked(slm_jj_str_view(r, s->s + lo, hi - lo), v.mark);
}

static bool push_part(struct jj_run *r, jj_val list, jj_val of, size_t lo, size_t hi)
{
    jj_val s = marked(slm_jj_str_view(r, of.s->s + lo, hi - lo), of.mark);
    return !jj_bad(s) && slm_jj_push(r, list.l, s);
}

static bool split_space(struct jj_run *r, jj_val list, jj_val v, jj_int max)
{
    const struct jj_str *s = v.s;
    int32_t cp;
    for (size_t i = 0;;) {
        int len = 0;
        while (i < s->n && (len = slm_utf8_next(s->s + i, s->n - i, &cp)) && cp >= 0 &&
               slm_jj_space(cp))
            i += (size_t)len;
        if (i >= s->n)
            return true;
        size_t lo = i;
        if (max == 0)
            return push_part(r, list, v, lo, s->n);
        while (i < s->n && (len = slm_utf8_next(s->s + i, s->n - i, &cp)) &&
               !(cp >= 0 && slm_jj_space(cp)))
            i += (size_t)len;
        if (!push_part(r, list, v, lo, i))
            return false;
        max--;
    }
}

static bool rsplit_space(struct jj_run *r, jj_val list, jj_val v, jj_int max)
{
    const char *s = v.s->s;
    int32_t cp;
    for (size_t i = v.s->n;;) {
        for (size_t c; i > 0; i = c) {
            c = char_before(s, i);
            slm_utf8_next(s + c, i - c, &cp);
            if (!(cp >= 0 && slm_jj_space(cp)))
                break;
        }
        if (i == 0)
            return true;
        size_t hi = i;
        if (max == 0)
            return push_part(r, list, v, 0, hi);
        for (size_t c; i > 0; i = c) {
            c = char_before(s, i);
            slm_utf8_next(s + c, i - c, &cp);
            if (cp >= 0 && slm_jj_space(cp))
                break;
        }
        if (!push_part(r, list, v, i, hi))
            return false;
        max--;
    }
}

static const char *last_match(const char *s, size_t n, const struct jj_str *what)
{
    for (size_t i = n >= what->n ? n - what->n + 1 : 0; i-- > 0;)
        if (memcmp(s + i, what->s, what->n) == 0)
            return s + i;
    return NULL;
}

static bool split_on(struct jj_run *r, jj_val list, jj_val v, const struct jj_str *sep,
                     jj_int max)
{
    size_t lo = 0;
    const char *at;
    while (max-- != 0 && (at = memmem(v.s->s + lo, v.s->n - lo, sep->s, sep->n))) {
        size_t hi = (size_t)(at - v.s->s);
        if (!push_part(r, list, v, lo, hi))
            return false;
        lo = hi + sep->n;
    }
    return push_part(r, list, v, lo, v.s->n);
}

static bool rsplit_on(struct jj_run *r, jj_val list, jj_val v, const struct jj_str *sep,
                      jj_int max)
{
    size_t hi = v.s->n;
    const char *at;
    while (max-- != 0 && (at = last_match(v.s->s, hi, sep))) {
        size_t lo = (size_t)(at - v.s->s);
        if (!push_part(r, list, v, lo + sep->n, hi))
            return false;
        hi = lo;
    }
    return push_part(r, list, v, 0, hi);
}

static void reverse(struct jj_list *l)
{
    for (size_t i = 0; i < l->n / 2; i++) {
        jj_val t = l->v[i];
        l->v[i] = l->v[l->n - 1 - i];
        l->v[l->n - 1 - i] = t;
    }
}

static jj_val split(struct jj_run *r, jj_val s, const struct jj_args *a, bool right)
{
    static const struct jj_spec spec = {"split", "sep maxsplit", 0, 0};
    jj_val o[2], list = slm_jj_list(r, T_LIST, 0);
    jj_int max = -1;
    if (jj_bad(list) || !slm_jj_bind(r, &spec, a, o) || !slm_jj_step(r, s.s->n / 16))
        return jj_failed();
    if (o[1].t != T_MISSING && !slm_jj_as_int(o[1], &max))
        return slm_jj_fail(r, SLM_E_TEMPLATE, "'%s' object cannot be interpreted as an integer",
                           slm_jj_type_name(o[1]));
    if (max < 0)
        max = -1;
    bool ok;
    if (o[0].t == T_NONE || o[0].t == T_MISSING) {
        ok = right ? rsplit_space(r, list, s, max) : split_space(r, list, s, max);
    } else {
        if (!need_str(r, o[0], "split"))
            return jj_failed();
        if (o[0].s->n == 0)
            return slm_jj_fail(r, SLM_E_TEMPLATE, "empty separator");
        ok = right ? rsplit_on(r, list, s, o[0].s, max) : split_on(r, list, s, o[0].s, max);
    }
    if (ok && right)
        reverse(list.l);
    return ok ? list : jj_failed();
}

static bool line_end(int32_t cp)
{
    return (cp >= '\n' && cp <= '\r') || (cp >= 0x1c && cp <= 0x1e) || cp == 0x85 ||
           cp == 0x2028 || cp == 0x2029;
}

jj_val slm_jj_split_lines(struct jj_run *r, jj_val v, bool keep)
{
    const struct jj_str *s = v.s;
    jj_val list = slm_jj_list(r, T_LIST, 0);
    int32_t cp;
    size_t lo = 0;
    if (jj_bad(list) || !slm_jj_step(r, s->n / 16))
        return jj_failed();
    for (size_t i = 0; i < s->n;) {
        size_t at = i;
        i += (size_t)slm_utf8_next(s->s + i, s->n - i, &cp);
        if (!line_end(cp))
            continue;
        if (cp == '\r' && i < s->n && s->s[i] == '\n')
            i++;
        if (!push_part(r, list, v, lo, keep ? i : at))
            return jj_failed();
        lo = i;
    }
    if (lo < s->n && !push_part(r, list, v, lo, s->n))
        return jj_failed();
    return list;
}

jj_val slm_jj_replace(struct jj_run *r, jj_val v, jj_val from, jj_val to, jj_int count)
{
    struct slm_buf b;
    const struct jj_str *s = v.s;
    size_t i = 0;
    if (!need_str(r, from, "replace") || !need_str(r, to, "replace") ||
        !slm_jj_step(r, s->n / 16))
        return jj_failed();
    if (v.mark)
        to = slm_jj_escape(r, to);
    if (jj_bad(to))
        return to;
    slm_jj_buf(r, &b);
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
    return marked(slm_jj_buf_str(r, &b), v.mark);
}

jj_val slm_jj_justify(struct jj_run *r, jj_val v, jj_int width, jj_val fill, int how)
{
    struct slm_buf b;
    jj_int n = slm_jj_len(r, v), left, right;
    if (fill.t == T_MISSING)
        fill = slm_jj_strz(r, " ");
    if (jj_bad(fill) || !need_str(r, fill, "justify"))
        return jj_failed();
    if (slm_jj_chars(fill.s) != 1)
        return slm_jj_fail(r, SLM_E_TEMPLATE,
                           "The fill character must be exactly one character long");
    if (v.mark)
        fill = slm_jj_escape(r, fill);
    if (width <= n || jj_bad(fill))
        return jj_bad(fill) ? fill : v;
    if (width > (jj_int)r->max_memory)
        return slm_jj_fail(r, SLM_E_LIMIT, "a width too large for a template");
    jj_int pad = width - n;
    left = how < 0 ? 0 : how > 0 ? pad : pad / 2 + (pad & width & 1);
    right = pad - left;
    slm_jj_buf(r, &b);
    while (left-- > 0 && !b.failed)
        slm_buf_put(&b, fill.s->s, fill.s->n);
    slm_buf_put(&b, v.s->s, v.s->n);
    while (right-- > 0 && !b.failed)
        slm_buf_put(&b, fill.s->s, fill.s->n);
    return marked(slm_jj_buf_str(r, &b), v.mark);
}

jj_val slm_jj_join(struct jj_run *r, jj_val sep, jj_val items, bool strict)
{
    struct slm_buf b;
    struct jj_iter *it = slm_jj_iter(r, items);
    jj_val v;
    int more = it ? 0 : -1;
    if (!it)
        return jj_failed();
    slm_jj_buf(r, &b);
    for (size_t i = 0; (more = slm_jj_next(r, it, &v)) > 0; i++) {
        if (strict && !sep.mark && v.t != T_STR) {
            slm_jj_fail(r, SLM_E_TEMPLATE, "sequence item %zu: expected str instance, %s found",
                        i, slm_jj_type_name(v));
            break;
        }
        if (sep.mark)
            v = slm_jj_escape(r, v);
        if (i)
            slm_buf_put(&b, sep.s->s, sep.s->n);
        if (jj_bad(v) || !slm_jj_put_str(r, &b, v) || b.failed)
            break;
    }
    return marked(slm_jj_buf_str(r, &b), sep.mark);
}

/* Character positions start and end to bytes, as slices clip them. False when the range is
 * void. */
static bool window(struct jj_run *r, const struct jj_str *s, const jj_val *lo, const jj_val *hi,
                   size_t out[2])
{
    jj_int n = (jj_int)slm_jj_chars(s), b[2] = {0, n};
    const jj_val *v[2] = {lo, hi};
    for (int i = 0; i < 2; i++) {
        if (v[i]->t == T_NONE || v[i]->t == T_MISSING)
            continue;
        if (!slm_jj_as_int(*v[i], &b[i])) {
            slm_jj_fail(r, SLM_E_TEMPLATE, "slice indices must be integers or None");
            return false;
        }
        if (b[i] < 0)
            b[i] = b[i] < -n ? 0 : b[i] + n;
    }
    if (b[0] > n || (b[1] < b[0]))
        return false;
    out[0] = slm_jj_offset(s, (size_t)b[0]);
    out[1] = b[1] > n ? s->n : slm_jj_offset(s, (size_t)b[1]);
    return slm_jj_step(r, s->n / 16);
}

static jj_val find(struct jj_run *r, jj_val v, int id, const struct jj_args *a)
{
    static const jj_val missing = {.t = T_MISSING};
    bool last = id == MS_rfind || id == MS_rindex;
    size_t w[2];
    const char *at = NULL;
    if (!slm_jj_no_kw(r, a, "find", 1, 3) || !need_str(r, a->pos[0], "find"))
        return jj_failed();
    const struct jj_str *what = a->pos[0].s;
    bool ok =
        window(r, v.s, a->n > 1 ? &a->pos[1] : &missing, a->n > 2 ? &a->pos[2] : &missing, w);
    if (r->code)
        return jj_failed();
    if (id == MS_count) {
        jj_int n = 0;
        if (ok && what->n == 0)
            return jj_of_int((jj_int)slm_utf8_count(v.s->s + w[0], w[1] - w[0]) + 1);
        while (ok && (at = memmem(v.s->s + w[0], w[1] - w[0], what->s, what->n))) {
            w[0] = (size_t)(at - v.s->s) + what->n;
            n++;
        }
        return jj_of_int(n);
    }
    if (ok && what->n == 0)
        at = v.s->s + (last ? w[1] : w[0]);
    else if (ok)
        at = last ? last_match(v.s->s + w[0], w[1] - w[0], what)
                  : memmem(v.s->s + w[0], w[1] - w[0], what->s, what->n);
    if (at)
        return jj_of_int((jj_int)slm_utf8_count(v.s->s, (size_t)(at - v.s->s)));
    return id == MS_find || id == MS_rfind
               ? jj_of_int(-1)
               : slm_jj_fail(r, SLM_E_TEMPLATE, "substring not found");
}

static jj_val affix(struct jj_run *r, jj_val v, int id, const struct jj_args *a)
{
    static const jj_val missing = {.t = T_MISSING};
    size_t w[2];
    if (!slm_jj_no_kw(r, a, "startswith", 1, 3))
        return jj_failed();
    jj_val what = a->pos[0];
    size_t n = what.t == T_TUPLE ? what.l->n : 1;
    for (size_t i = 0; i < n; i++)
        if (!need_str(r, what.t == T_TUPLE ? what.l->v[i] : what, "startswith"))
            return jj_failed();
    if (!window(r, v.s, a->n > 1 ? &a->pos[1] : &missing, a->n > 2 ? &a->pos[2] : &missing, w))
        return r->code ? jj_failed() : jj_bool(false);
    for (size_t i = 0; i < n; i++) {
        const struct jj_str *p = what.t == T_TUPLE ? what.l->v[i].s : what.s;
        if (p->n <= w[1] - w[0] &&
            memcmp(id == MS_startswith ? v.s->s + w[0] : v.s->s + w[1] - p->n, p->s, p->n) == 0)
            return jj_bool(true);
    }
    return jj_bool(false);
}

static jj_val partition(struct jj_run *r, jj_val v, int id, const struct jj_args *a)
{
    jj_val t = slm_jj_list(r, T_TUPLE, 3);
    if (jj_bad(t) || !slm_jj_no_kw(r, a, "partition", 1, 1) ||
        !need_str(r, a->pos[0], "partition") || !slm_jj_step(r, v.s->n / 16))
        return jj_failed();
    const struct jj_str *sep = a->pos[0].s;
    if (!sep->n)
        return slm_jj_fail(r, SLM_E_TEMPLATE, "empty separator");
    const char *at = id == MS_partition ? memmem(v.s->s, v.s->n, sep->s, sep->n)
                                        : last_match(v.s->s, v.s->n, sep);
    size_t lo = at                   ? (size_t)(at - v.s->s)
                : id == MS_partition ? v.s->n
                                     : 0,
           hi = at ? lo + sep->n : lo;
    bool ok = push_part(r, t, v, 0, lo) && push_part(r, t, v, lo, hi) &&
              push_part(r, t, v, hi, v.s->n);
    return ok ? t : jj_failed();
}

static jj_val justify(struct jj_run *r, jj_val v, int id, const struct jj_args *a)
{
    jj_int width;
    if (!slm_jj_no_kw(r, a, "justify", 1, 2))
        return jj_failed();
    if (!slm_jj_as_int(a->pos[0], &width))
        return slm_jj_fail(r, SLM_E_TEMPLATE, "'%s' object cannot be interpreted as an integer",
                           slm_jj_type_name(a->pos[0]));
    return slm_jj_justify(r, v, width, a->n > 1 ? a->pos[1] : (jj_val){.t = T_MISSING},
                          id == MS_ljust   ? -1
                          : id == MS_rjust ? 1
                                           : 0);
}

static jj_val zfill(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    jj_int width;
    if (!slm_jj_no_kw(r, a, "zfill", 1, 1) || !slm_jj_as_int(a->pos[0], &width))
        return slm_jj_fail(r, SLM_E_TEMPLATE, "zfill: width must be an integer");
    bool sign = v.s->n && (v.s->s[0] == '+' || v.s->s[0] == '-');
    jj_val zero = slm_jj_strz(r, "0"), rest = slm_jj_str_view(r, v.s->s + sign, v.s->n - sign);
    if (jj_bad(zero) || jj_bad(rest))
        return jj_failed();
    rest = slm_jj_justify(r, rest, width - sign, zero, 1);
    if (sign && !jj_bad(rest))
        rest = slm_jj_binary(r, OP_ADD, slm_jj_str_view(r, v.s->s, 1), rest);
    return marked(rest, v.mark);
}

static jj_val expand_tabs(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    static const struct jj_spec spec = {"expandtabs", "tabsize", 0, 0};
    struct slm_buf b;
    jj_val size;
    jj_int tab = 8, col = 0;
    int32_t cp;
    if (!slm_jj_bind(r, &spec, a, &size) ||
        (size.t != T_MISSING && !slm_jj_as_int(size, &tab)) || tab > 4096)
        return slm_jj_fail(r, SLM_E_TEMPLATE, "expandtabs: tabsize must be a small integer");
    slm_jj_buf(r, &b);
    for (size_t i = 0; i < v.s->n && !b.failed;) {
        int len = slm_utf8_next(v.s->s + i, v.s->n - i, &cp);
        if (cp == '\t') {
            for (jj_int k = tab > 0 ? tab - col % tab : 0; k > 0; k--, col++)
                slm_buf_putc(&b, ' ');
        } else {
            slm_buf_put(&b, v.s->s + i, (size_t)len);
            col = cp == '\n' || cp == '\r' ? 0 : col + 1;
        }
        i += (size_t)len;
    }
    return marked(slm_jj_buf_str(r, &b), v.mark);
}

static jj_val remove_affix(struct jj_run *r, jj_val v, int id, const struct jj_args *a)
{
    if (!slm_jj_no_kw(r, a, "removeprefix", 1, 1) || !need_str(r, a->pos[0], "removeprefix"))
        return jj_failed();
    const struct jj_str *p = a->pos[0].s, *s = v.s;
    bool front = id == MS_removeprefix;
    if (p->n > s->n || memcmp(front ? s->s : s->s + s->n - p->n, p->s, p->n))
        return v;
    return marked(slm_jj_str_view(r, front ? s->s + p->n : s->s, s->n - p->n), v.mark);
}

static jj_val encode(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    static const struct jj_spec spec = {"encode", "encoding errors", 0, 0};
    jj_val o[2];
    if (!slm_jj_bind(r, &spec, a, o))
        return jj_failed();
    bool ascii = slm_jj_is(o[0], "ascii") && slm_jj_chars(v.s) == v.s->n;
    if (o[0].t != T_MISSING && !ascii && !slm_jj_is(o[0], "utf-8") &&
        !slm_jj_is(o[0], "utf8") && !slm_jj_is(o[0], "UTF-8"))
        return slm_jj_fail(r, SLM_E_TEMPLATE, "encode: only UTF-8 is supported");
    v.t = T_BYTES;
    v.mark = false;
    return v;
}

static jj_val translate(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    struct slm_buf b;
    int32_t cp;
    if (!slm_jj_no_kw(r, a, "translate", 1, 1) || a->pos[0].t != T_DICT)
        return slm_jj_fail(r, SLM_E_TEMPLATE, "translate: the table must be a dict");
    slm_jj_buf(r, &b);
    for (size_t i = 0; i < v.s->n && !r->code && !b.failed;) {
        int len = slm_utf8_next(v.s->s + i, v.s->n - i, &cp);
        jj_val *to = slm_jj_get(r, a->pos[0].d, jj_of_int(cp));
        char out[4];
        if (!to)
            slm_buf_put(&b, v.s->s + i, (size_t)len);
        else if (to->t == T_STR)
            slm_buf_put(&b, to->s->s, to->s->n);
        else if (to->t == T_INT && to->i >= 0 && to->i <= 0x10ffff)
            slm_buf_put(&b, out, (size_t)slm_utf8_put(out, (int32_t)to->i));
        else if (to->t != T_NONE)
            slm_jj_fail(r, SLM_E_TEMPLATE,
                        "character mapping must return integer, None or str");
        i += (size_t)len;
    }
    return marked(slm_jj_buf_str(r, &b), v.mark);
}

static jj_val format_map(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    if (!slm_jj_no_kw(r, a, "format_map", 1, 1) || a->pos[0].t != T_DICT)
        return slm_jj_fail(r, SLM_E_TEMPLATE, "format_map: wants a mapping");
    return slm_jj_braces(r, v, &(struct jj_args){.kw = a->pos[0].d});
}

static jj_val plain(struct jj_run *r, jj_val v, int id, const struct jj_args *a)
{
    static const uint8_t how[] = {
        [MS_capitalize] = CASE_CAPITAL, [MS_casefold] = CASE_FOLD, [MS_lower] = CASE_LOWER,
        [MS_swapcase] = CASE_SWAP,      [MS_title] = CASE_TITLE,   [MS_upper] = CASE_UPPER};
    if (!slm_jj_no_kw(r, a, "str method", 0, 0) || !slm_jj_step(r, v.s->n / 16))
        return jj_failed();
    if (id == MS_striptags || id == MS_unescape)
        return slm_jj_striptags(r, v);
    if (id >= MS_isalnum && id <= MS_isupper)
        return slm_jj_test_chars(v, id);
    return slm_jj_recase(r, v, how[id]);
}

jj_val slm_jj_str_method(struct jj_run *r, jj_val v, int id, const struct jj_args *a)
{
    static const struct jj_spec lines = {"splitlines", "keepends", 0, 0};
    jj_val o;
    bool keep;
    jj_int count = -1;
    switch (id) {
    case MS_center:
    case MS_ljust:
    case MS_rjust: return justify(r, v, id, a);
    case MS_count:
    case MS_find:
    case MS_index:
    case MS_rfind:
    case MS_rindex: return find(r, v, id, a);
    case MS_endswith:
    case MS_startswith: return affix(r, v, id, a);
    case MS_expandtabs: return expand_tabs(r, v, a);
    case MS_encode: return encode(r, v, a);
    case MS_format: return slm_jj_braces(r, v, a);
    case MS_format_map: return format_map(r, v, a);
    case MS_join:
        return slm_jj_no_kw(r, a, "join", 1, 1) ? slm_jj_join(r, v, a->pos[0], true)
                                                : jj_failed();
    case MS_strip:
    case MS_lstrip:
    case MS_rstrip:
        if (!slm_jj_no_kw(r, a, "strip", 0, 1))
            return jj_failed();
        return slm_jj_strip(r, v, a->n ? a->pos[0] : jj_none(),
                            id == MS_strip    ? 3
                            : id == MS_lstrip ? 1
                                              : 2);
    case MS_partition:
    case MS_rpartition: return partition(r, v, id, a);
    case MS_removeprefix:
    case MS_removesuffix: return remove_affix(r, v, id, a);
    case MS_replace:
        if (!slm_jj_no_kw(r, a, "replace", 2, 3))
            return jj_failed();
        if (a->n > 2 && !slm_jj_as_int(a->pos[2], &count))
            return slm_jj_fail(r, SLM_E_TEMPLATE, "replace: count must be an integer");
        return slm_jj_replace(r, v, a->pos[0], a->pos[1], count);
    case MS_split:
    case MS_rsplit: return split(r, v, a, id == MS_rsplit);
    case MS_splitlines:
        if (!slm_jj_bind(r, &lines, a, &o) || !slm_jj_truth(r, o, &keep))
            return jj_failed();
        return slm_jj_split_lines(r, v, keep);
    case MS_translate: return translate(r, v, a);
    case MS_zfill: return zfill(r, v, a);
    default: return plain(r, v, id, a);
    }
}
