/* The registry of filters, and the filters on text and numbers. Names, parameters and defaults
 * are Jinja's; `tojson` is the one Transformers puts in its place. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "template/jinja.h"

static bool int_arg(struct py_run *r, py_val v, const char *what, py_int *out)
{
    if (v.t == T_MISSING || slm_py_as_int(v, out))
        return true;
    if (v.t == T_UNDEF)
        slm_py_undef_error(r, v);
    slm_py_fail(r, SLM_E_TEMPLATE, "%s: an integer is required, not %s", what,
                slm_py_type_name(v));
    return false;
}

static bool none(struct py_run *r, const struct py_args *a, const char *what)
{
    return slm_py_no_kw(r, a, what, 0, 0);
}

static py_val f_abs(struct py_run *r, py_val v, const struct py_args *a)
{
    py_int i;
    if (!none(r, a, "abs"))
        return py_failed();
    if (slm_py_as_int(v, &i))
        return i < 0 ? slm_py_negate(r, v, true) : py_of_int(i);
    if (v.t == T_FLOAT)
        return py_float(fabs(v.f));
    return v.t == T_UNDEF ? slm_py_undef_error(r, v)
                          : slm_py_fail(r, SLM_E_TEMPLATE, "bad operand type for abs(): '%s'",
                                        slm_py_type_name(v));
}

static py_val recase(struct py_run *r, py_val v, const struct py_args *a, int how)
{
    v = none(r, a, "case filter") ? slm_py_soft_str(r, v) : py_failed();
    return py_bad(v) ? v : slm_py_recase(r, v, how);
}

static py_val f_capitalize(struct py_run *r, py_val v, const struct py_args *a)
{
    return recase(r, v, a, CASE_CAPITAL);
}
static py_val f_lower(struct py_run *r, py_val v, const struct py_args *a)
{
    return recase(r, v, a, CASE_LOWER);
}
static py_val f_upper(struct py_run *r, py_val v, const struct py_args *a)
{
    return recase(r, v, a, CASE_UPPER);
}

/* Words begin behind white space and - ( { [ <: the filter differs from the method here. */
static py_val f_title(struct py_run *r, py_val v, const struct py_args *a)
{
    struct slm_buf b;
    int32_t cp;
    v = none(r, a, "title") ? slm_py_soft_str(r, v) : py_failed();
    if (py_bad(v) || !slm_py_step(r, v.s->n / 4))
        return py_failed();
    slm_py_buf(r, &b);
    for (size_t i = 0, lo = 0; i < v.s->n;) {
        lo = i;
        int first = slm_utf8_next(v.s->s + i, v.s->n - i, &cp);
        bool sep = cp >= 0 && (slm_py_space(cp) || (cp < 128 && strchr("-({[<", cp)));
        if (sep) {
            slm_buf_put(&b, v.s->s + i, (size_t)first);
            i += (size_t)first;
            continue;
        }
        while (i < v.s->n) {
            int len = slm_utf8_next(v.s->s + i, v.s->n - i, &cp);
            if (cp >= 0 && (slm_py_space(cp) || (cp < 128 && strchr("-({[<", cp))))
                break;
            i += (size_t)len;
        }
        slm_py_put_case(&b, v.s->s + lo, (size_t)first, CASE_UPPER);
        slm_py_put_case(&b, v.s->s + lo + first, i - lo - (size_t)first, CASE_LOWER);
    }
    return slm_py_buf_str(r, &b);
}

static py_val f_center(struct py_run *r, py_val v, const struct py_args *a)
{
    static const struct py_spec spec = {"center", "width", 0, 0};
    py_val o;
    py_int width = 80;
    if (!slm_py_bind(r, &spec, a, &o) || !int_arg(r, o, "center", &width) ||
        py_bad(v = slm_py_soft_str(r, v)))
        return py_failed();
    return slm_py_justify(r, v, width, (py_val){.t = T_MISSING}, 0);
}

static py_val f_default(struct py_run *r, py_val v, const struct py_args *a)
{
    static const struct py_spec spec = {"default", "default_value boolean", 0, 0};
    py_val o[2];
    bool boolean, yes;
    if (!slm_py_bind(r, &spec, a, o) || !slm_py_truth(r, o[1], &boolean) ||
        !slm_py_truth(r, v, &yes))
        return py_failed();
    if (v.t != T_UNDEF && (!boolean || yes))
        return v;
    return o[0].t == T_MISSING ? slm_py_strz(r, "") : o[0];
}

static py_val f_escape(struct py_run *r, py_val v, const struct py_args *a)
{
    return none(r, a, "escape") ? slm_py_escape(r, v) : py_failed();
}

static py_val f_forceescape(struct py_run *r, py_val v, const struct py_args *a)
{
    return none(r, a, "forceescape") ? slm_py_escape(r, slm_py_to_str(r, v)) : py_failed();
}

static py_val f_filesize(struct py_run *r, py_val v, const struct py_args *a)
{
    static const struct py_spec spec = {"filesizeformat", "binary", 0, 0};
    static const char *const units[2][8] = {
        {"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"},
        {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"}};
    py_val o;
    bool binary;
    double f;
    char s[400];
    if (!slm_py_bind(r, &spec, a, &o) || !slm_py_truth(r, o, &binary))
        return py_failed();
    if (!slm_py_as_num(v, &f) && !(v.t == T_STR && slm_py_parse_float(v.s->s, v.s->n, &f)))
        return v.t == T_UNDEF ? slm_py_undef_error(r, v)
                              : slm_py_fail(r, SLM_E_TEMPLATE, "could not convert to float");
    double base = binary ? 1024 : 1000, unit = base;
    if (f == 1)
        return slm_py_strz(r, "1 Byte");
    if (f < base) {
        snprintf(s, sizeof s, "%.0f Bytes", trunc(f) + 0.0);
        return slm_py_strz(r, s);
    }
    for (int i = 0; i < 8; i++) {
        unit *= base;
        if (f < unit || i == 7) {
            snprintf(s, sizeof s, "%.1f %s", base * f / unit, units[binary][i]);
            break;
        }
    }
    return slm_py_strz(r, s);
}

static py_val f_format(struct py_run *r, py_val v, const struct py_args *a)
{
    py_val values = {.t = T_DICT, .d = a->kw};
    if (a->n && a->kw && a->kw->n)
        return slm_py_fail(r, SLM_E_TEMPLATE,
                           "can't handle positional and keyword arguments at the same time");
    if (!a->kw || !a->kw->n) {
        values = slm_py_list(r, T_TUPLE, a->n);
        for (size_t i = 0; !py_bad(values) && i < a->n; i++)
            values.l->v[values.l->n++] = a->pos[i];
    }
    v = slm_py_soft_str(r, v);
    return py_bad(v) || py_bad(values) ? py_failed() : slm_py_percent(r, v, values);
}

static py_val f_indent(struct py_run *r, py_val v, const struct py_args *a)
{
    static const struct py_spec spec = {"indent", "width first blank", 0, 0};
    py_val o[3], lines, nl;
    py_int width = 4;
    bool first, blank, mark = v.mark;
    struct slm_buf b;
    if (!slm_py_bind(r, &spec, a, o) || !slm_py_truth(r, o[1], &first) ||
        !slm_py_truth(r, o[2], &blank))
        return py_failed();
    if (o[0].t != T_STR &&
        (!int_arg(r, o[0], "indent", &width) || py_bad(o[0] = slm_py_strz(r, " ")) ||
         py_bad(o[0] = slm_py_binary(r, OP_MUL, o[0], py_of_int(width)))))
        return py_failed();
    nl = slm_py_strz(r, "\n");
    if (py_bad(nl) || py_bad(v = slm_py_binary(r, OP_ADD, v, nl)))
        return py_failed();
    if (v.t != T_STR)
        return slm_py_fail(r, SLM_E_TEMPLATE, "indent: wants a string");
    lines = slm_py_split_lines(r, v, false);
    if (py_bad(lines))
        return lines;
    slm_py_buf(r, &b);
    for (size_t i = 0; i < lines.l->n && slm_py_step(r, 1 + o[0].s->n / 64) && !b.failed; i++) {
        const struct py_str *s = lines.l->v[i].s;
        if (i)
            slm_buf_putc(&b, '\n');
        if (i ? blank || s->n : first)
            slm_buf_put(&b, o[0].s->s, o[0].s->n);
        slm_buf_put(&b, s->s, s->n);
    }
    v = slm_py_buf_str(r, &b);
    v.mark = mark && v.t == T_STR;
    return v;
}

/* int(v), or false for what raises TypeError or ValueError. */
static bool to_int(py_val v, py_int base, py_int *out)
{
    double f;
    if (slm_py_as_int(v, out))
        return true;
    if (v.t == T_FLOAT)
        return slm_py_float_to_int(v.f, out);
    if (v.t != T_STR)
        return false;
    if ((base == 0 || (base >= 2 && base <= 36)) &&
        slm_py_parse_int(v.s->s, v.s->n, (int)base, out))
        return true;
    return slm_py_parse_float(v.s->s, v.s->n, &f) && slm_py_float_to_int(f, out);
}

static py_val f_int(struct py_run *r, py_val v, const struct py_args *a)
{
    static const struct py_spec spec = {"int", "default base", 0, 0};
    py_val o[2];
    py_int base = 10, i;
    if (!slm_py_bind(r, &spec, a, o) || !int_arg(r, o[1], "int", &base))
        return py_failed();
    if (v.t == T_UNDEF)
        return slm_py_undef_error(r, v);
    if (to_int(v, base, &i))
        return py_of_int(i);
    return o[0].t == T_MISSING ? py_of_int(0) : o[0];
}

static py_val f_float(struct py_run *r, py_val v, const struct py_args *a)
{
    static const struct py_spec spec = {"float", "default", 0, 0};
    py_val o;
    double f;
    if (!slm_py_bind(r, &spec, a, &o))
        return py_failed();
    if (v.t == T_UNDEF)
        return slm_py_undef_error(r, v);
    if (slm_py_as_num(v, &f) || (v.t == T_STR && slm_py_parse_float(v.s->s, v.s->n, &f)))
        return py_float(f);
    return o.t == T_MISSING ? py_float(0) : o;
}

static py_val f_replace(struct py_run *r, py_val v, const struct py_args *a)
{
    static const struct py_spec spec = {"replace", "old new count", 2, 0};
    py_val o[3];
    py_int count = -1;
    if (!slm_py_bind(r, &spec, a, o) ||
        (o[2].t != T_NONE && !int_arg(r, o[2], "replace", &count)))
        return py_failed();
    bool old_mark = o[0].t == T_STR && o[0].mark, new_mark = o[1].t == T_STR && o[1].mark,
         mark = v.t == T_STR && v.mark;
    if (!jj(r)->autoescape)
        v = slm_py_to_str(r, v);
    else
        v = old_mark || (new_mark && !mark) ? slm_py_escape(r, v) : slm_py_soft_str(r, v);
    o[0] = slm_py_soft_str(r, o[0]);
    o[1] = jj(r)->autoescape ? slm_py_soft_str(r, o[1]) : slm_py_to_str(r, o[1]);
    return py_bad(v) || py_bad(o[0]) || py_bad(o[1]) ? py_failed()
                                                     : slm_py_replace(r, v, o[0], o[1], count);
}

/* Python's round(): half to even, and on the decimal digits that the float really has. */
static py_val round_common(struct py_run *r, py_val v, py_int precision, bool has)
{
    char s[500];
    py_int i, unit = 1;
    if (v.t == T_FLOAT) {
        if (!isfinite(v.f) || precision > 320)
            return v;
        if (precision >= 0) {
            snprintf(s, sizeof s, "%.*f", (int)precision, v.f);
            slm_py_parse_float(s, strlen(s), &v.f);
            return v;
        }
        if (precision < -308)
            return py_float(copysign(0.0, v.f));
        double p = pow(10, (double)-precision), q = v.f / p, n = nearbyint(q);
        return py_float(n * p);
    }
    if (!slm_py_as_int(v, &i))
        return v.t == T_UNDEF
                   ? slm_py_undef_error(r, v)
                   : slm_py_fail(r, SLM_E_TEMPLATE, "type %s doesn't define __round__ method",
                                 slm_py_type_name(v));
    if (!has || precision >= 0)
        return py_of_int(i);
    while (precision++ < 0)
        if (__builtin_mul_overflow(unit, (py_int)10, &unit))
            return py_of_int(0);
    py_int rest = i % unit;
    if (rest < 0)
        rest += unit;
    i -= rest;
    if (rest * 2 > unit || (rest * 2 == unit && (i / unit) % 2))
        i += unit;
    return py_of_int(i);
}

static py_val f_round(struct py_run *r, py_val v, const struct py_args *a)
{
    static const struct py_spec spec = {"round", "precision method", 0, 0};
    py_val o[2];
    py_int precision = 0;
    double f;
    if (!slm_py_bind(r, &spec, a, o) || !int_arg(r, o[0], "round", &precision))
        return py_failed();
    bool floor_it = slm_py_is(o[1], "floor"), ceil_it = slm_py_is(o[1], "ceil");
    if (o[1].t != T_MISSING && !floor_it && !ceil_it && !slm_py_is(o[1], "common"))
        return slm_py_fail(r, SLM_E_TEMPLATE, "method must be common, ceil or floor");
    if (!floor_it && !ceil_it)
        return round_common(r, v, precision, true);
    /* value * 10**precision: the power is an integer or a float as in Python */
    py_val ten = slm_py_binary(r, OP_POW, py_of_int(10), py_of_int(precision));
    py_val scaled = py_bad(ten) ? ten : slm_py_binary(r, OP_MUL, v, ten), whole;
    if (py_bad(scaled))
        return scaled;
    if (!slm_py_as_num(scaled, &f))
        return slm_py_fail(r, SLM_E_TEMPLATE, "must be real number, not %s",
                           slm_py_type_name(scaled));
    whole = scaled;
    if (scaled.t == T_FLOAT) {
        py_int i;
        if (!slm_py_float_to_int(floor_it ? floor(f) : ceil(f), &i))
            return slm_py_fail(r, SLM_E_TEMPLATE, "cannot convert this float to an integer");
        whole = py_of_int(i);
    }
    return slm_py_binary(r, OP_DIV, whole, ten);
}

static py_val f_safe(struct py_run *r, py_val v, const struct py_args *a)
{
    v = none(r, a, "safe") ? slm_py_soft_str(r, v) : py_failed();
    v.mark = v.t == T_STR;
    return v;
}

static py_val f_string(struct py_run *r, py_val v, const struct py_args *a)
{
    return none(r, a, "string") ? slm_py_soft_str(r, v) : py_failed();
}

static py_val f_striptags(struct py_run *r, py_val v, const struct py_args *a)
{
    v = none(r, a, "striptags") ? slm_py_to_str(r, v) : py_failed();
    return py_bad(v) ? v : slm_py_striptags(r, v);
}

static py_val f_trim(struct py_run *r, py_val v, const struct py_args *a)
{
    static const struct py_spec spec = {"trim", "chars", 0, 0};
    py_val o;
    if (!slm_py_bind(r, &spec, a, &o) || py_bad(v = slm_py_soft_str(r, v)))
        return py_failed();
    return slm_py_strip(r, v, o, 3);
}

static py_val f_truncate(struct py_run *r, py_val v, const struct py_args *a)
{
    static const struct py_spec spec = {"truncate", "length killwords end leeway", 0, 0};
    py_val o[4], bounds[3] = {py_none(), py_none(), py_none()};
    py_int length = 255, leeway = 5, end;
    bool kill;
    if (!slm_py_bind(r, &spec, a, o) || !int_arg(r, o[0], "truncate", &length) ||
        !slm_py_truth(r, o[1], &kill) ||
        (o[3].t != T_NONE && !int_arg(r, o[3], "truncate", &leeway)))
        return py_failed();
    if (o[2].t == T_MISSING)
        o[2] = slm_py_strz(r, "...");
    end = slm_py_len(r, o[2]);
    if (py_bad(o[2]) || end < 0 || length < end || leeway < 0)
        return slm_py_fail(r, SLM_E_TEMPLATE, "truncate: expected length >= %d and leeway >= 0",
                           (int)end);
    py_int n = slm_py_len(r, v);
    if (n < 0)
        return slm_py_fail(r, SLM_E_TEMPLATE, "object of type '%s' has no len()",
                           slm_py_type_name(v));
    if (n <= length + leeway)
        return v;
    bounds[1] = py_of_int(length - end);
    v = slm_py_slice(r, v, bounds);
    if (!kill && v.t == T_STR)
        for (size_t i = v.s->n; i-- > 0;)
            if (v.s->s[i] == ' ') {
                bool mark = v.mark;
                v = slm_py_str_view(r, v.s->s, i);
                v.mark = mark && !py_bad(v);
                break;
            }
    return py_bad(v) ? v : slm_py_binary(r, OP_ADD, v, o[2]);
}

static void put_url(struct slm_buf *b, const struct py_str *s, bool query)
{
    for (size_t i = 0; i < s->n; i++) {
        unsigned char c = (unsigned char)s->s[i];
        bool plain = (c >= '0' && c <= '9') ||
                     ((c | 32) >= 'a' && (c | 32) <= 'z' && c < 128) ||
                     (c && strchr("_.-~", c));
        if (plain || (c == '/' && !query))
            slm_buf_putc(b, (char)c);
        else if (c == ' ' && query)
            slm_buf_putc(b, '+');
        else
            slm_buf_printf(b, "%%%02X", c);
    }
}

static py_val f_urlencode(struct py_run *r, py_val v, const struct py_args *a)
{
    struct slm_buf b;
    py_val item, part;
    if (!none(r, a, "urlencode"))
        return py_failed();
    if (v.t == T_STR || v.t == T_BYTES || !slm_py_iterable(v)) {
        v = v.t == T_BYTES ? v : slm_py_to_str(r, v);
        slm_py_buf(r, &b);
        if (!py_bad(v))
            put_url(&b, v.s, false);
        return slm_py_buf_str(r, &b);
    }
    if (v.t == T_DICT) {
        struct py_iter *items = slm_py_iter_new(r, I_ITEMS, v);
        v = items ? (py_val){.t = T_ITER, .it = items} : py_failed();
    }
    struct py_iter *it = slm_py_iter(r, v);
    int more;
    if (!it)
        return py_failed();
    slm_py_buf(r, &b);
    while ((more = slm_py_next(r, it, &item)) > 0) {
        py_val pair = slm_py_collect(r, item, T_LIST);
        if (!py_bad(pair) && pair.l->n != 2)
            slm_py_fail(r, SLM_E_TEMPLATE, "urlencode: wants pairs");
        if (r->code)
            break;
        if (b.n)
            slm_buf_putc(&b, '&');
        for (int k = 0; k < 2 && !py_bad(part = slm_py_to_str(r, pair.l->v[k])); k++) {
            if (k)
                slm_buf_putc(&b, '=');
            put_url(&b, part.s, true);
        }
    }
    return slm_py_buf_str(r, &b);
}

static py_val f_urlize(struct py_run *r, py_val v, const struct py_args *a)
{
    v = slm_py_urlize(r, v, a);
    v.mark = jj(r)->autoescape && v.t == T_STR;
    return v;
}

static py_val f_wordcount(struct py_run *r, py_val v, const struct py_args *a)
{
    int32_t cp;
    py_int n = 0;
    bool in = false;
    v = none(r, a, "wordcount") ? slm_py_soft_str(r, v) : py_failed();
    if (py_bad(v) || !slm_py_step(r, v.s->n / 8))
        return py_failed();
    for (size_t i = 0; i < v.s->n;) {
        i += (size_t)slm_utf8_next(v.s->s + i, v.s->n - i, &cp);
        bool word = cp == '_' || (cp >= 0 && slm_py_alnum(cp));
        n += word && !in;
        in = word;
    }
    return py_of_int(n);
}

static py_val f_xmlattr(struct py_run *r, py_val v, const struct py_args *a)
{
    static const struct py_spec spec = {"xmlattr", "autospace", 0, 0};
    py_val o, k, value;
    bool space = true;
    struct slm_buf b;
    if (!slm_py_bind(r, &spec, a, &o) || (o.t != T_MISSING && !slm_py_truth(r, o, &space)))
        return py_failed();
    if (v.t != T_DICT)
        return v.t == T_UNDEF ? slm_py_undef_error(r, v)
                              : slm_py_fail(r, SLM_E_TEMPLATE, "xmlattr: wants a mapping");
    slm_py_buf(r, &b);
    for (size_t i = 0; i < v.d->n && !r->code; i++) {
        struct py_entry *e = &v.d->e[i];
        if (e->v.t == T_NONE || e->v.t == T_UNDEF)
            continue;
        if (e->k.t != T_STR)
            slm_py_fail(r, SLM_E_TEMPLATE, "xmlattr: expected string keys");
        for (size_t c = 0; !r->code && c < e->k.s->n; c++)
            if (memchr(" \t\n\r\f\v/>=", e->k.s->s[c], 9))
                slm_py_fail(r, SLM_E_TEMPLATE, "Invalid character in attribute name");
        if (py_bad(k = slm_py_escape(r, e->k)) || py_bad(value = slm_py_escape(r, e->v)))
            break;
        slm_buf_printf(&b, "%s", b.n || space ? " " : "");
        slm_buf_put(&b, k.s->s, k.s->n);
        slm_buf_puts(&b, "=\"");
        slm_buf_put(&b, value.s->s, value.s->n);
        slm_buf_putc(&b, '"');
    }
    v = slm_py_buf_str(r, &b);
    v.mark = jj(r)->autoescape && v.t == T_STR;
    return v;
}

static const struct jj_filter text_filters[] = {
    {"abs", f_abs},
    {"capitalize", f_capitalize},
    {"center", f_center},
    {"d", f_default},
    {"default", f_default},
    {"e", f_escape},
    {"escape", f_escape},
    {"filesizeformat", f_filesize},
    {"float", f_float},
    {"forceescape", f_forceescape},
    {"format", f_format},
    {"indent", f_indent},
    {"int", f_int},
    {"lower", f_lower},
    {"replace", f_replace},
    {"round", f_round},
    {"safe", f_safe},
    {"string", f_string},
    {"striptags", f_striptags},
    {"title", f_title},
    {"tojson", slm_py_tojson},
    {"trim", f_trim},
    {"truncate", f_truncate},
    {"upper", f_upper},
    {"urlencode", f_urlencode},
    {"urlize", f_urlize},
    {"wordcount", f_wordcount},
    {"wordwrap", slm_py_wordwrap},
    {"xmlattr", f_xmlattr},
};
enum { TEXT_COUNT = sizeof text_filters / sizeof *text_filters };

int slm_jj_filter_find(const char *name, size_t n)
{
    for (int i = 0; i < TEXT_COUNT + slm_jj_seq_filter_count; i++) {
        const char *have =
            i < TEXT_COUNT ? text_filters[i].name : slm_jj_seq_filters[i - TEXT_COUNT].name;
        if (strlen(have) == n && memcmp(have, name, n) == 0)
            return i;
    }
    return -1;
}

py_val slm_jj_filter(struct py_run *r, int id, py_val v, const struct py_args *a)
{
    if (!slm_py_step(r, 1) || !slm_py_enter(r))
        return py_failed();
    v = (id < TEXT_COUNT ? text_filters[id].fn : slm_jj_seq_filters[id - TEXT_COUNT].fn)(r, v,
                                                                                         a);
    r->level--;
    return v;
}

py_val slm_jj_filter_named(struct py_run *r, py_val name, py_val v, const struct py_args *a)
{
    int id = name.t == T_STR ? slm_jj_filter_find(name.s->s, name.s->n) : -1;
    if (id >= 0)
        return slm_jj_filter(r, id, v, a);
    if (name.t != T_STR)
        return slm_py_fail(r, SLM_E_TEMPLATE, "No filter of that name");
    return slm_py_fail(r, SLM_E_TEMPLATE, "No filter named '%.*s'.",
                       (int)(name.s->n > 80 ? 80 : name.s->n), name.s->s);
}
