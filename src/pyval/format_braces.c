/* str.format: replacement fields with attributes, items and conversions, and the format
 * specification language for text and numbers. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "pyval/pyval.h"

enum { MAX_WIDTH = 1 << 20 };

struct spec {
    char fill[5];
    char align, sign, group, type;
    bool alt, zero;
    py_int width, precision;
};

struct braces {
    struct py_run *r;
    const struct py_args *a;
    py_int next; /* automatic numbering; -1 once fields are numbered by hand */
    bool mark;
};

static bool fail(struct py_run *r, const char *why)
{
    slm_py_fail(r, SLM_E_TEMPLATE, "%s", why);
    return false;
}

static bool spec_number(const struct py_str *s, size_t *i, py_int *out)
{
    *out = -1;
    for (; *i < s->n && s->s[*i] >= '0' && s->s[*i] <= '9'; ++*i) {
        *out = (*out < 0 ? 0 : *out) * 10 + (s->s[*i] - '0');
        if (*out > MAX_WIDTH)
            return false;
    }
    return true;
}

static bool parse_spec(struct py_run *r, const struct py_str *s, struct spec *o)
{
    size_t i = 0;
    int32_t cp;
    *o = (struct spec){.fill = " ", .width = -1, .precision = -1};
    int len = s->n ? slm_utf8_next(s->s, s->n, &cp) : 0;
    if (s->n > (size_t)len && strchr("<>=^", s->s[len])) {
        memcpy(o->fill, s->s, (size_t)len);
        o->fill[len] = 0;
        o->align = s->s[len];
        i = (size_t)len + 1;
    } else if (s->n && strchr("<>=^", s->s[0])) {
        o->align = s->s[i++];
    }
    if (i < s->n && strchr("+- ", s->s[i]))
        o->sign = s->s[i++];
    if (i < s->n && s->s[i] == 'z')
        i++;
    if (i < s->n && s->s[i] == '#')
        o->alt = s->s[i++];
    if (i < s->n && s->s[i] == '0') {
        o->zero = true;
        i++;
        if (!o->align) {
            o->align = '=';
            memcpy(o->fill, "0", 2);
        }
    }
    if (!spec_number(s, &i, &o->width))
        return fail(r, "a width too large for a template");
    if (i < s->n && (s->s[i] == ',' || s->s[i] == '_'))
        o->group = s->s[i++];
    if (i < s->n && s->s[i] == '.') {
        i++;
        if (!spec_number(s, &i, &o->precision) || o->precision < 0)
            return fail(r, "Format specifier missing precision");
    }
    if (i < s->n)
        o->type = s->s[i++];
    return i == s->n || fail(r, "Invalid format specifier");
}

static void put_padding(struct slm_buf *b, const struct spec *o, py_int n)
{
    for (; n > 0 && !b->failed; n--)
        slm_buf_puts(b, o->fill);
}

static void put_aligned(struct slm_buf *b, const struct spec *o, const char *sign,
                        const char *s, size_t n, char align)
{
    py_int pad = o->width - (py_int)slm_utf8_count(s, n) - (py_int)strlen(sign);
    py_int left = pad <= 0 ? 0 : align == '>' ? pad : align == '^' ? pad / 2 : 0;
    put_padding(b, o, left);
    slm_buf_puts(b, sign);
    if (align == '=')
        put_padding(b, o, pad);
    slm_buf_put(b, s, n);
    if (align != '=')
        put_padding(b, o, pad - left);
}

static bool format_text(struct py_run *r, struct slm_buf *b, py_val v, const struct spec *o)
{
    if ((o->type && o->type != 's') || o->sign || o->alt || o->group ||
        (o->align == '=' && !o->zero))
        return fail(r, "Invalid format specifier for a string");
    size_t n = o->precision < 0 ? v.s->n : slm_py_offset(v.s, (size_t)o->precision);
    put_aligned(b, o, "", v.s->s, n, o->align && o->align != '=' ? o->align : '<');
    return true;
}

/* Digits with separators; with zero padding, as many zeros in front as the width asks for. */
static void put_grouped(struct slm_buf *b, const struct spec *o, const char *s, size_t n,
                        size_t room)
{
    size_t whole = 0, every = o->type && strchr("boxX", o->type) ? 4 : 3, zeros = 0;
    while (whole < n && ((s[whole] >= '0' && s[whole] <= '9') ||
                         (every == 4 && ((s[whole] | 32) >= 'a' && (s[whole] | 32) <= 'f'))))
        whole++;
    if (o->align == '=' && o->fill[0] == '0')
        while (whole + zeros + (whole + zeros - 1) / every + (n - whole) < room)
            zeros++;
    size_t total = whole + zeros;
    for (size_t i = 0; i < total; i++) {
        if (i && (total - i) % every == 0)
            slm_buf_putc(b, o->group);
        slm_buf_putc(b, i < zeros ? '0' : s[i - zeros]);
    }
    slm_buf_put(b, s + whole, n - whole);
}

static void put_number(struct py_run *r, struct slm_buf *b, const struct spec *o, bool neg,
                       const char *prefix, const struct slm_buf *body)
{
    char sign[8];
    struct slm_buf g;
    snprintf(sign, sizeof sign, "%s%s",
             neg              ? "-"
             : o->sign == '+' ? "+"
             : o->sign == ' ' ? " "
                              : "",
             prefix);
    slm_py_buf(r, &g);
    size_t room = o->width > (py_int)strlen(sign) ? (size_t)o->width - strlen(sign) : 0;
    if (o->group)
        put_grouped(&g, o, body->s, body->n, room);
    else
        slm_buf_put(&g, body->s, body->n);
    put_aligned(b, o, sign, g.s, g.n, o->align ? o->align : '>');
    slm_buf_release(&g);
}

static bool format_int(struct py_run *r, struct slm_buf *b, py_int i, const struct spec *o)
{
    char s[140];
    size_t k = sizeof s;
    unsigned base = o->type == 'b'                     ? 2
                    : o->type == 'o'                   ? 8
                    : o->type == 'x' || o->type == 'X' ? 16
                                                       : 10;
    py_uint u = i < 0 ? -(py_uint)i : (py_uint)i;
    struct slm_buf body;
    if (o->precision >= 0)
        return fail(r, "Precision not allowed in integer format specifier");
    slm_py_buf(r, &body);
    if (o->type == 'c') {
        if (i < 0 || i > 0x10ffff)
            return fail(r, "%c arg not in range(0x110000)");
        k -= (size_t)slm_utf8_put(s + sizeof s - 4, (int32_t)i);
        slm_buf_put(&body, s + sizeof s - 4, sizeof s - k);
    } else {
        do {
            unsigned d = (unsigned)(u % base);
            s[--k] = (char)(d < 10 ? '0' + d : (o->type == 'X' ? 'A' : 'a') + d - 10);
            u /= base;
        } while (u);
        slm_buf_put(&body, s + k, sizeof s - k);
    }
    const char *prefix = !o->alt || base == 10 ? ""
                         : base == 2           ? "0b"
                         : base == 8           ? "0o"
                         : o->type == 'x'      ? "0x"
                                               : "0X";
    put_number(r, b, o, i < 0, prefix, &body);
    slm_buf_release(&body);
    return true;
}

static bool format_float(struct py_run *r, struct slm_buf *b, double f, const struct spec *o)
{
    struct slm_buf body;
    bool neg = signbit(f) && !isnan(f);
    char type = o->type == 'n' ? 'g' : o->type;
    bool ok = true;
    f = fabs(f);
    slm_py_buf(r, &body);
    if (!type && o->precision < 0) {
        slm_py_put_float(&body, f);
    } else if (!type) {
        ok = slm_py_put_fixed(r, &body, f, o->precision ? (int)o->precision : 1, 'g', o->alt);
        if (ok && !memchr(body.s, '.', body.n) && !memchr(body.s, 'e', body.n) && isfinite(f))
            slm_buf_puts(&body, ".0");
    } else if (type == '%') {
        ok = slm_py_put_fixed(r, &body, f * 100, o->precision < 0 ? 6 : (int)o->precision, 'f',
                              o->alt);
        slm_buf_putc(&body, '%');
    } else {
        int precision = o->precision < 0 ? 6 : (int)o->precision;
        ok = slm_py_put_fixed(r, &body, f, precision == 0 && (type | 32) == 'g' ? 1 : precision,
                              type, o->alt);
    }
    if (ok)
        put_number(r, b, o, neg, "", &body);
    slm_buf_release(&body);
    return ok;
}

static bool format_value(struct braces *x, struct slm_buf *b, py_val v, py_val spec)
{
    struct spec o;
    struct py_run *r = x->r;
    double f;
    if (v.t == T_STR && v.mark && spec.s->n && x->mark)
        return fail(r, "Unsupported format specification for Markup.");
    if (spec.s->n == 0)
        return slm_py_put_str(r, b, v);
    if (!parse_spec(r, spec.s, &o))
        return false;
    if (v.t == T_STR)
        return format_text(r, b, v, &o);
    if (!slm_py_as_num(v, &f)) {
        slm_py_fail(r, SLM_E_TEMPLATE, "unsupported format string passed to %s.__format__",
                    slm_py_type_name(v));
        return false;
    }
    if (v.t != T_FLOAT && (!o.type || strchr("bcdoxXn", o.type)))
        return format_int(r, b, v.t == T_INT ? v.i : v.b, &o);
    if (!o.type || strchr("eEfFgGn%", o.type))
        return format_float(r, b, f, &o);
    return fail(r, "Unknown format code for this value");
}

/* The value that "0.name[key]" stands for. */
static py_val field_value(struct braces *x, const char *s, size_t n)
{
    struct py_run *r = x->r;
    size_t i = 0;
    py_int index;
    py_val v;
    while (i < n && s[i] != '.' && s[i] != '[')
        i++;
    bool numbered =
        i == 0 || (s[0] >= '0' && s[0] <= '9' && slm_py_parse_int(s, i, 10, &index));
    if (numbered) {
        if ((i == 0) != (x->next >= 0) && x->next != 0)
            return slm_py_fail(r, SLM_E_TEMPLATE,
                               "cannot switch between manual field specification and automatic "
                               "field numbering");
        if (i == 0)
            index = x->next++;
        else
            x->next = -1;
        if (index < 0 || index >= (py_int)x->a->n)
            return slm_py_fail(r, SLM_E_TEMPLATE,
                               "Replacement index out of range for positional args tuple");
        v = x->a->pos[index];
    } else {
        py_val *kw = x->a->kw ? slm_py_get_str(x->a->kw, s, i) : NULL;
        if (!kw)
            return slm_py_fail(r, SLM_E_TEMPLATE, "format: no argument named '%.*s'",
                               (int)(i > 80 ? 80 : i), s);
        v = *kw;
    }
    while (i < n && !py_bad(v)) {
        bool item = s[i++] == '[';
        size_t lo = i;
        while (i < n && (item ? s[i] != ']' : s[i] != '.' && s[i] != '['))
            i++;
        if (i == lo || (item && i >= n))
            return slm_py_fail(r, SLM_E_TEMPLATE, "Empty attribute in format string");
        py_val key = slm_py_str(r, s + lo, i - lo);
        if (py_bad(key))
            return key;
        if (item && slm_py_parse_int(s + lo, i - lo, 10, &index) && s[lo] >= '0' &&
            s[lo] <= '9')
            key = py_of_int(index);
        v = item ? r->getitem(r, v, key) : r->getattr(r, v, key.s);
        i += item;
        if (i < n && s[i] != '.' && s[i] != '[')
            return slm_py_fail(r, SLM_E_TEMPLATE,
                               "Only '.' or '[' may follow ']' in format field specifier");
    }
    return v;
}

static py_val convert(struct py_run *r, py_val v, char how)
{
    struct slm_buf b;
    if (how == 's')
        return slm_py_to_str(r, v);
    if (how != 'r' && how != 'a')
        return slm_py_fail(r, SLM_E_TEMPLATE, "Unknown conversion specifier");
    slm_py_buf(r, &b);
    slm_py_put_repr(r, &b, v);
    return slm_py_buf_str(r, &b);
}

static bool expand(struct braces *x, struct slm_buf *out, const char *s, size_t n, int depth);

/* One field between braces: name, !conversion, :spec. */
static bool field(struct braces *x, struct slm_buf *out, const char *s, size_t n, int depth)
{
    struct py_run *r = x->r;
    struct slm_buf spec;
    size_t i = 0;
    bool bracket = false;
    while (i < n && (bracket || (s[i] != '!' && s[i] != ':'))) {
        bracket = s[i] == '[' ? true : s[i] == ']' ? false : bracket;
        i++;
    }
    py_val v = field_value(x, s, i);
    if (py_bad(v))
        return false;
    if (i < n && s[i] == '!') {
        if (i + 1 >= n || (i + 2 < n && s[i + 2] != ':'))
            return fail(r, "expected ':' after conversion specifier");
        v = convert(r, v, s[i + 1]);
        i += 2;
    }
    slm_py_buf(r, &spec);
    bool ok = !py_bad(v) && (i >= n || expand(x, &spec, s + i + 1, n - i - 1, depth + 1));
    py_val text = slm_py_buf_str(r, &spec);
    if (!ok || py_bad(text))
        return false;
    if (!x->mark)
        return format_value(x, out, v, text);
    slm_py_buf(r, &spec);
    ok = format_value(x, &spec, v, text);
    py_val shown = slm_py_buf_str(r, &spec);
    shown.mark = v.t == T_STR && v.mark;
    shown = slm_py_escape(r, shown);
    return ok && !py_bad(shown) && slm_py_put_str(r, out, shown);
}

static bool expand(struct braces *x, struct slm_buf *out, const char *s, size_t n, int depth)
{
    if (depth > 1)
        return fail(x->r, "Max string recursion exceeded");
    for (size_t i = 0; i < n && !out->failed;) {
        char c = s[i];
        if (c != '{' && c != '}') {
            slm_buf_putc(out, c);
            i++;
            continue;
        }
        if (i + 1 < n && s[i + 1] == c) {
            slm_buf_putc(out, c);
            i += 2;
            continue;
        }
        if (c == '}')
            return fail(x->r, "Single '}' encountered in format string");
        size_t lo = ++i;
        int open = 1;
        bool bracket = false;
        for (; i < n; i++) {
            bracket = s[i] == '[' && open == 1 ? true : s[i] == ']' ? false : bracket;
            if (bracket)
                continue;
            open += s[i] == '{' ? 1 : s[i] == '}' ? -1 : 0;
            if (!open)
                break;
        }
        if (i >= n)
            return fail(x->r, lo >= n ? "Single '{' encountered in format string"
                                      : "expected '}' before end of string");
        if (!slm_py_step(x->r, 4) || !field(x, out, s + lo, i - lo, depth))
            return false;
        i++;
    }
    return slm_py_step(x->r, n / 64);
}

py_val slm_py_braces(struct py_run *r, py_val fmt, const struct py_args *a)
{
    struct slm_buf b;
    struct braces x = {.r = r, .a = a, .mark = fmt.mark};
    slm_py_buf(r, &b);
    bool ok = expand(&x, &b, fmt.s->s, fmt.s->n, 0);
    py_val v = slm_py_buf_str(r, &b);
    v.mark = fmt.mark && v.t == T_STR;
    return ok ? v : py_failed();
}
