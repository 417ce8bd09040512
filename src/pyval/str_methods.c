/* The methods of str by name: their arguments, and those too short for a function that others
 * call. Positions are in characters, as in Python; the work is done in bytes. */
#include <string.h>

#include "pyval/pyval.h"
#include "pyval/methods.h"

/* Character positions start and end to bytes, as slices clip them. False when the range is
 * void. */
static bool window(struct py_run *r, const struct py_str *s, const py_val *lo, const py_val *hi,
                   size_t out[2])
{
    py_int n = (py_int)slm_py_chars(s), b[2] = {0, n};
    const py_val *v[2] = {lo, hi};
    for (int i = 0; i < 2; i++) {
        if (v[i]->t == T_NONE || v[i]->t == T_MISSING)
            continue;
        if (!slm_py_as_int(*v[i], &b[i])) {
            slm_py_fail(r, SLM_E_TEMPLATE, "slice indices must be integers or None");
            return false;
        }
        if (b[i] < 0)
            b[i] = b[i] < -n ? 0 : b[i] + n;
    }
    if (b[0] > n || (b[1] < b[0]))
        return false;
    out[0] = slm_py_offset(s, (size_t)b[0]);
    out[1] = b[1] > n ? s->n : slm_py_offset(s, (size_t)b[1]);
    return slm_py_step(r, s->n / 16);
}

static py_val find(struct py_run *r, py_val v, int id, const struct py_args *a)
{
    static const py_val missing = {.t = T_MISSING};
    bool last = id == MS_rfind || id == MS_rindex;
    size_t w[2];
    const char *at = NULL;
    if (!slm_py_no_kw(r, a, "find", 1, 3) || !slm_py_need_str(r, a->pos[0], "find"))
        return py_failed();
    const struct py_str *what = a->pos[0].s;
    bool ok =
        window(r, v.s, a->n > 1 ? &a->pos[1] : &missing, a->n > 2 ? &a->pos[2] : &missing, w);
    if (r->code)
        return py_failed();
    if (id == MS_count) {
        py_int n = 0;
        if (ok && what->n == 0)
            return py_of_int((py_int)slm_utf8_count(v.s->s + w[0], w[1] - w[0]) + 1);
        while (ok && (at = memmem(v.s->s + w[0], w[1] - w[0], what->s, what->n))) {
            w[0] = (size_t)(at - v.s->s) + what->n;
            n++;
        }
        return py_of_int(n);
    }
    if (ok && what->n == 0)
        at = v.s->s + (last ? w[1] : w[0]);
    else if (ok)
        at = last ? slm_py_last_match(v.s->s + w[0], w[1] - w[0], what)
                  : memmem(v.s->s + w[0], w[1] - w[0], what->s, what->n);
    if (at)
        return py_of_int((py_int)slm_utf8_count(v.s->s, (size_t)(at - v.s->s)));
    return id == MS_find || id == MS_rfind
               ? py_of_int(-1)
               : slm_py_fail(r, SLM_E_TEMPLATE, "substring not found");
}

static py_val affix(struct py_run *r, py_val v, int id, const struct py_args *a)
{
    static const py_val missing = {.t = T_MISSING};
    size_t w[2];
    if (!slm_py_no_kw(r, a, "startswith", 1, 3))
        return py_failed();
    py_val what = a->pos[0];
    size_t n = what.t == T_TUPLE ? what.l->n : 1;
    for (size_t i = 0; i < n; i++)
        if (!slm_py_need_str(r, what.t == T_TUPLE ? what.l->v[i] : what, "startswith"))
            return py_failed();
    if (!window(r, v.s, a->n > 1 ? &a->pos[1] : &missing, a->n > 2 ? &a->pos[2] : &missing, w))
        return r->code ? py_failed() : py_bool(false);
    for (size_t i = 0; i < n; i++) {
        const struct py_str *p = what.t == T_TUPLE ? what.l->v[i].s : what.s;
        if (p->n <= w[1] - w[0] &&
            memcmp(id == MS_startswith ? v.s->s + w[0] : v.s->s + w[1] - p->n, p->s, p->n) == 0)
            return py_bool(true);
    }
    return py_bool(false);
}

static py_val partition(struct py_run *r, py_val v, int id, const struct py_args *a)
{
    py_val t = slm_py_list(r, T_TUPLE, 3);
    if (py_bad(t) || !slm_py_no_kw(r, a, "partition", 1, 1) ||
        !slm_py_need_str(r, a->pos[0], "partition") || !slm_py_step(r, v.s->n / 16))
        return py_failed();
    const struct py_str *sep = a->pos[0].s;
    if (!sep->n)
        return slm_py_fail(r, SLM_E_TEMPLATE, "empty separator");
    const char *at = id == MS_partition ? memmem(v.s->s, v.s->n, sep->s, sep->n)
                                        : slm_py_last_match(v.s->s, v.s->n, sep);
    size_t lo = at                   ? (size_t)(at - v.s->s)
                : id == MS_partition ? v.s->n
                                     : 0,
           hi = at ? lo + sep->n : lo;
    bool ok = slm_py_push_part(r, t, v, 0, lo) && slm_py_push_part(r, t, v, lo, hi) &&
              slm_py_push_part(r, t, v, hi, v.s->n);
    return ok ? t : py_failed();
}

static py_val justify(struct py_run *r, py_val v, int id, const struct py_args *a)
{
    py_int width;
    if (!slm_py_no_kw(r, a, "justify", 1, 2))
        return py_failed();
    if (!slm_py_as_int(a->pos[0], &width))
        return slm_py_fail(r, SLM_E_TEMPLATE, "'%s' object cannot be interpreted as an integer",
                           slm_py_type_name(a->pos[0]));
    return slm_py_justify(r, v, width, a->n > 1 ? a->pos[1] : (py_val){.t = T_MISSING},
                          id == MS_ljust   ? -1
                          : id == MS_rjust ? 1
                                           : 0);
}

static py_val zfill(struct py_run *r, py_val v, const struct py_args *a)
{
    py_int width;
    if (!slm_py_no_kw(r, a, "zfill", 1, 1) || !slm_py_as_int(a->pos[0], &width))
        return slm_py_fail(r, SLM_E_TEMPLATE, "zfill: width must be an integer");
    bool sign = v.s->n && (v.s->s[0] == '+' || v.s->s[0] == '-');
    py_val zero = slm_py_strz(r, "0"), rest = slm_py_str_view(r, v.s->s + sign, v.s->n - sign);
    if (py_bad(zero) || py_bad(rest))
        return py_failed();
    rest = slm_py_justify(r, rest, width - sign, zero, 1);
    if (sign && !py_bad(rest))
        rest = slm_py_binary(r, OP_ADD, slm_py_str_view(r, v.s->s, 1), rest);
    return py_marked(rest, v.mark);
}

static py_val expand_tabs(struct py_run *r, py_val v, const struct py_args *a)
{
    static const struct py_spec spec = {"expandtabs", "tabsize", 0, 0};
    struct slm_buf b;
    py_val size;
    py_int tab = 8, col = 0;
    int32_t cp;
    if (!slm_py_bind(r, &spec, a, &size) ||
        (size.t != T_MISSING && !slm_py_as_int(size, &tab)) || tab > 4096)
        return slm_py_fail(r, SLM_E_TEMPLATE, "expandtabs: tabsize must be a small integer");
    slm_py_buf(r, &b);
    for (size_t i = 0; i < v.s->n && !b.failed;) {
        int len = slm_utf8_next(v.s->s + i, v.s->n - i, &cp);
        if (cp == '\t') {
            for (py_int k = tab > 0 ? tab - col % tab : 0; k > 0; k--, col++)
                slm_buf_putc(&b, ' ');
        } else {
            slm_buf_put(&b, v.s->s + i, (size_t)len);
            col = cp == '\n' || cp == '\r' ? 0 : col + 1;
        }
        i += (size_t)len;
    }
    return py_marked(slm_py_buf_str(r, &b), v.mark);
}

static py_val remove_affix(struct py_run *r, py_val v, int id, const struct py_args *a)
{
    if (!slm_py_no_kw(r, a, "removeprefix", 1, 1) ||
        !slm_py_need_str(r, a->pos[0], "removeprefix"))
        return py_failed();
    const struct py_str *p = a->pos[0].s, *s = v.s;
    bool front = id == MS_removeprefix;
    if (p->n > s->n || memcmp(front ? s->s : s->s + s->n - p->n, p->s, p->n))
        return v;
    return py_marked(slm_py_str_view(r, front ? s->s + p->n : s->s, s->n - p->n), v.mark);
}

static py_val encode(struct py_run *r, py_val v, const struct py_args *a)
{
    static const struct py_spec spec = {"encode", "encoding errors", 0, 0};
    py_val o[2];
    if (!slm_py_bind(r, &spec, a, o))
        return py_failed();
    bool ascii = slm_py_is(o[0], "ascii") && slm_py_chars(v.s) == v.s->n;
    if (o[0].t != T_MISSING && !ascii && !slm_py_is(o[0], "utf-8") &&
        !slm_py_is(o[0], "utf8") && !slm_py_is(o[0], "UTF-8"))
        return slm_py_fail(r, SLM_E_TEMPLATE, "encode: only UTF-8 is supported");
    v.t = T_BYTES;
    v.mark = false;
    return v;
}

static py_val translate(struct py_run *r, py_val v, const struct py_args *a)
{
    struct slm_buf b;
    int32_t cp;
    if (!slm_py_no_kw(r, a, "translate", 1, 1) || a->pos[0].t != T_DICT)
        return slm_py_fail(r, SLM_E_TEMPLATE, "translate: the table must be a dict");
    slm_py_buf(r, &b);
    for (size_t i = 0; i < v.s->n && !r->code && !b.failed;) {
        int len = slm_utf8_next(v.s->s + i, v.s->n - i, &cp);
        py_val *to = slm_py_get(r, a->pos[0].d, py_of_int(cp));
        char out[4];
        if (!to)
            slm_buf_put(&b, v.s->s + i, (size_t)len);
        else if (to->t == T_STR)
            slm_buf_put(&b, to->s->s, to->s->n);
        else if (to->t == T_INT && to->i >= 0 && to->i <= 0x10ffff)
            slm_buf_put(&b, out, (size_t)slm_utf8_put(out, (int32_t)to->i));
        else if (to->t != T_NONE)
            slm_py_fail(r, SLM_E_TEMPLATE,
                        "character mapping must return integer, None or str");
        i += (size_t)len;
    }
    return py_marked(slm_py_buf_str(r, &b), v.mark);
}

static py_val format_map(struct py_run *r, py_val v, const struct py_args *a)
{
    if (!slm_py_no_kw(r, a, "format_map", 1, 1) || a->pos[0].t != T_DICT)
        return slm_py_fail(r, SLM_E_TEMPLATE, "format_map: wants a mapping");
    return slm_py_braces(r, v, &(struct py_args){.kw = a->pos[0].d});
}

static py_val plain(struct py_run *r, py_val v, int id, const struct py_args *a)
{
    static const uint8_t how[] = {
        [MS_capitalize] = CASE_CAPITAL, [MS_casefold] = CASE_FOLD, [MS_lower] = CASE_LOWER,
        [MS_swapcase] = CASE_SWAP,      [MS_title] = CASE_TITLE,   [MS_upper] = CASE_UPPER};
    if (!slm_py_no_kw(r, a, "str method", 0, 0) || !slm_py_step(r, v.s->n / 16))
        return py_failed();
    if (id == MS_striptags || id == MS_unescape)
        return slm_py_striptags(r, v);
    if (id >= MS_isalnum && id <= MS_isupper)
        return slm_py_test_chars(v, id);
    return slm_py_recase(r, v, how[id]);
}

py_val slm_py_str_method(struct py_run *r, py_val v, int id, const struct py_args *a)
{
    static const struct py_spec lines = {"splitlines", "keepends", 0, 0};
    py_val o;
    bool keep;
    py_int count = -1;
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
    case MS_format: return slm_py_braces(r, v, a);
    case MS_format_map: return format_map(r, v, a);
    case MS_join:
        return slm_py_no_kw(r, a, "join", 1, 1) ? slm_py_join(r, v, a->pos[0], true)
                                                : py_failed();
    case MS_strip:
    case MS_lstrip:
    case MS_rstrip:
        if (!slm_py_no_kw(r, a, "strip", 0, 1))
            return py_failed();
        return slm_py_strip(r, v, a->n ? a->pos[0] : py_none(),
                            id == MS_strip    ? 3
                            : id == MS_lstrip ? 1
                                              : 2);
    case MS_partition:
    case MS_rpartition: return partition(r, v, id, a);
    case MS_removeprefix:
    case MS_removesuffix: return remove_affix(r, v, id, a);
    case MS_replace:
        if (!slm_py_no_kw(r, a, "replace", 2, 3))
            return py_failed();
        if (a->n > 2 && !slm_py_as_int(a->pos[2], &count))
            return slm_py_fail(r, SLM_E_TEMPLATE, "replace: count must be an integer");
        return slm_py_replace(r, v, a->pos[0], a->pos[1], count);
    case MS_split:
    case MS_rsplit: return slm_py_split(r, v, a, id == MS_rsplit);
    case MS_splitlines:
        if (!slm_py_bind(r, &lines, a, &o) || !slm_py_truth(r, o, &keep))
            return py_failed();
        return slm_py_split_lines(r, v, keep);
    case MS_translate: return translate(r, v, a);
    case MS_zfill: return zfill(r, v, a);
    default: return plain(r, v, id, a);
    }
}
