/* The % operator of strings, and the float formatting that it shares with str.format. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "pyval/pyval.h"

enum { MAX_PRECISION = 400, MAX_WIDTH = 1 << 20 };

struct percent {
    struct py_run *r;
    struct slm_buf *out;
    const struct py_str *f;
    size_t i;
    py_val args;
    size_t used;
    bool mark;
};

struct conversion {
    bool minus, plus, space, zero, alt;
    py_int width, precision;
};

bool slm_py_put_fixed(struct py_run *r, struct slm_buf *b, double f, int precision, char type,
                      bool alt)
{
    char buf[900], fmt[8] = {'%', '#', '.', '*', type, 0};
    if (precision > MAX_PRECISION) {
        slm_py_fail(r, SLM_E_LIMIT, "a precision too large for a template");
        return false;
    }
    if (!alt)
        memmove(fmt + 1, fmt + 2, 5);
    if (isnan(f) || isinf(f)) {
        bool up = type == 'F' || type == 'E' || type == 'G';
        slm_buf_puts(b, isnan(f) ? up ? "NAN" : "nan"
                        : f < 0  ? up ? "-INF" : "-inf"
                        : up     ? "INF"
                                 : "inf");
        return true;
    }
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#endif
    int n = snprintf(buf, sizeof buf, fmt, precision, f);
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
    slm_buf_put(b, buf, n > 0 ? (size_t)n : 0);
    return true;
}

static bool fail(struct percent *p, const char *why)
{
    slm_py_fail(p->r, SLM_E_TEMPLATE, "%s", why);
    return false;
}

static bool next_arg(struct percent *p, py_val *out)
{
    if (p->args.t == T_TUPLE) {
        if (p->used >= p->args.l->n)
            return fail(p, "not enough arguments for format string");
        *out = p->args.l->v[p->used++];
        return true;
    }
    if (p->used++)
        return fail(p, "not enough arguments for format string");
    *out = p->args;
    return true;
}

static bool key_arg(struct percent *p, py_val *out)
{
    size_t lo = ++p->i;
    int depth = 1;
    while (p->i < p->f->n && depth > 0) {
        depth += p->f->s[p->i] == '(' ? 1 : p->f->s[p->i] == ')' ? -1 : 0;
        p->i++;
    }
    if (depth)
        return fail(p, "incomplete format key");
    py_val key = slm_py_str_view(p->r, p->f->s + lo, p->i - 1 - lo);
    if (py_bad(key))
        return false;
    if (p->args.t == T_UNDEF)
        slm_py_undef_error(p->r, p->args);
    if (p->args.t != T_DICT)
        return fail(p, "format requires a mapping");
    py_val *v = slm_py_get(p->r, p->args.d, key);
    if (!v)
        return fail(p, "a key of the format is not in the mapping");
    *out = *v;
    p->used = 1;
    return true;
}

static char peek(const struct percent *p) { return p->i < p->f->n ? p->f->s[p->i] : 0; }

static bool number(struct percent *p, py_int *out)
{
    py_val v;
    if (peek(p) == '*') {
        p->i++;
        if (!next_arg(p, &v))
            return false;
        if (!slm_py_as_int(v, out))
            return fail(p, "* wants int");
    } else {
        for (*out = 0; peek(p) >= '0' && peek(p) <= '9'; p->i++)
            if (*out <= MAX_WIDTH)
                *out = *out * 10 + (peek(p) - '0');
    }
    if (*out > MAX_WIDTH) {
        slm_py_fail(p->r, SLM_E_LIMIT, "a width too large for a template");
        return false;
    }
    return true;
}

static bool flags(struct percent *p, struct conversion *c)
{
    *c = (struct conversion){.precision = -1};
    for (;; p->i++) {
        char f = peek(p);
        if (f == '-')
            c->minus = true;
        else if (f == '+')
            c->plus = true;
        else if (f == ' ')
            c->space = true;
        else if (f == '0')
            c->zero = true;
        else if (f == '#')
            c->alt = true;
        else
            break;
    }
    if (!number(p, &c->width))
        return false;
    if (c->width < 0) {
        c->minus = true;
        c->width = -c->width;
    }
    if (peek(p) == '.') {
        p->i++;
        if (!number(p, &c->precision))
            return false;
        if (c->precision < 0)
            c->precision = 0;
    }
    while (peek(p) == 'h' || peek(p) == 'l' || peek(p) == 'L')
        p->i++;
    return true;
}

static void digits(struct slm_buf *b, py_uint u, unsigned base, bool upper)
{
    char s[140];
    size_t k = sizeof s;
    do {
        unsigned d = (unsigned)(u % base);
        s[--k] = (char)(d < 10 ? '0' + d : (upper ? 'A' : 'a') + d - 10);
        u /= base;
    } while (u);
    slm_buf_put(b, s + k, sizeof s - k);
}

/* What a conversion puts out, before padding. */
struct piece {
    struct slm_buf b;
    const char *prefix;
    bool neg;
};

static bool integer(struct percent *p, py_val v, char type, const struct conversion *c,
                    struct piece *out)
{
    struct slm_buf *b = &out->b;
    py_int i;
    bool dec = type == 'd' || type == 'i' || type == 'u';
    if (v.t == T_FLOAT && dec && slm_py_float_to_int(v.f, &i))
        v = py_of_int(i);
    if (!slm_py_as_int(v, &i)) {
        if (v.t == T_UNDEF)
            slm_py_undef_error(p->r, v);
        slm_py_fail(p->r, SLM_E_TEMPLATE, "%%%c format: %s is required, not %s", type,
                    dec ? "a real number" : "an integer", slm_py_type_name(v));
        return false;
    }
    out->neg = i < 0;
    digits(b, i < 0 ? -(py_uint)i : (py_uint)i, dec ? 10 : type == 'o' ? 8 : 16, type == 'X');
    out->prefix = !c->alt || dec ? "" : type == 'o' ? "0o" : type == 'x' ? "0x" : "0X";
    if (c->precision > (py_int)b->n) {
        struct slm_buf z;
        slm_py_buf(p->r, &z);
        for (py_int k = c->precision - (py_int)b->n; k > 0; k--)
            slm_buf_putc(&z, '0');
        slm_buf_put(&z, b->s, b->n);
        slm_buf_release(b);
        *b = z;
    }
    return true;
}

static bool real(struct percent *p, py_val v, char type, const struct conversion *c,
                 struct piece *out)
{
    double f;
    if (!slm_py_as_num(v, &f)) {
        if (v.t == T_UNDEF)
            slm_py_undef_error(p->r, v);
        slm_py_fail(p->r, SLM_E_TEMPLATE, "must be real number, not %s", slm_py_type_name(v));
        return false;
    }
    out->neg = signbit(f) && !isnan(f);
    return slm_py_put_fixed(p->r, &out->b, fabs(f), c->precision < 0 ? 6 : (int)c->precision,
                            type, c->alt);
}

static bool text(struct percent *p, py_val v, char type, const struct conversion *c,
                 struct slm_buf *b)
{
    py_val s;
    if (type == 'c') {
        char ch[4];
        if (v.t == T_INT && v.i >= 0 && v.i <= 0x10ffff)
            slm_buf_put(b, ch, (size_t)slm_utf8_put(ch, (int32_t)v.i));
        else if (v.t == T_STR && slm_py_chars(v.s) == 1)
            slm_buf_put(b, v.s->s, v.s->n);
        else
            return fail(p, "%c requires int or char");
        return true;
    }
    if (type == 's') {
        s = slm_py_soft_str(p->r, v);
    } else {
        struct slm_buf t;
        slm_py_buf(p->r, &t);
        slm_py_put_repr(p->r, &t, v);
        s = slm_py_buf_str(p->r, &t);
    }
    if (p->mark)
        s = slm_py_escape(p->r, s);
    if (py_bad(s))
        return false;
    size_t n = c->precision < 0 ? s.s->n : slm_py_offset(s.s, (size_t)c->precision);
    slm_buf_put(b, s.s->s, n);
    return true;
}

/* sign, prefix and body, padded to the width */
static void put_padded(struct percent *p, const struct conversion *c, const struct slm_buf *b,
                       const char *sign, const char *prefix, bool numeric)
{
    py_int n = (py_int)(slm_utf8_count(b->s, b->n) + strlen(sign) + strlen(prefix)),
           pad = c->width - n;
    bool zeros = c->zero && numeric && !c->minus;
    for (; !c->minus && !zeros && pad > 0; pad--)
        slm_buf_putc(p->out, ' ');
    slm_buf_puts(p->out, sign);
    slm_buf_puts(p->out, prefix);
    for (; zeros && pad > 0; pad--)
        slm_buf_putc(p->out, '0');
    slm_buf_put(p->out, b->s, b->n);
    for (; pad > 0; pad--)
        slm_buf_putc(p->out, ' ');
}

static bool convert(struct percent *p)
{
    struct conversion c;
    struct piece out = {.prefix = ""};
    py_val v = {.t = T_MISSING};
    bool ok;
    if (peek(p) == '(' && !key_arg(p, &v))
        return false;
    if (!flags(p, &c))
        return false;
    char type = peek(p);
    if (!type)
        return fail(p, "incomplete format");
    p->i++;
    if (type == '%') {
        slm_buf_putc(p->out, '%');
        return true;
    }
    if (!strchr("diuoxXeEfFgGcrsa", type)) {
        slm_py_fail(p->r, SLM_E_TEMPLATE, "unsupported format character");
        return false;
    }
    if (v.t == T_MISSING && !next_arg(p, &v))
        return false;
    slm_py_buf(p->r, &out.b);
    bool numeric = !strchr("crsa", type);
    if (strchr("diuoxX", type))
        ok = integer(p, v, type, &c, &out);
    else
        ok = numeric ? real(p, v, type, &c, &out) : text(p, v, type, &c, &out.b);
    const char *sign = out.neg ? "-" : c.plus ? "+" : c.space ? " " : "";
    if (ok)
        put_padded(p, &c, &out.b, numeric ? sign : "", out.prefix, numeric);
    slm_buf_release(&out.b);
    return ok;
}

/* What could have been a mapping of keys need not be used up. */
static bool subscriptable(py_val v)
{
    return v.t == T_DICT || v.t == T_LIST || v.t == T_RANGE || v.t == T_BYTES || v.t == T_UNDEF;
}

py_val slm_py_percent(struct py_run *r, py_val fmt, py_val args)
{
    struct slm_buf out;
    struct percent p = {.r = r, .out = &out, .f = fmt.s, .args = args, .mark = fmt.mark};
    bool ok = true;
    slm_py_buf(r, &out);
    while (ok && p.i < p.f->n && !out.failed) {
        const char *at = memchr(p.f->s + p.i, '%', p.f->n - p.i);
        size_t hi = at ? (size_t)(at - p.f->s) : p.f->n;
        slm_buf_put(&out, p.f->s + p.i, hi - p.i);
        p.i = hi;
        if (!at)
            break;
        p.i++;
        ok = slm_py_step(r, 4) && convert(&p);
    }
    if (ok && (args.t == T_TUPLE ? p.used < args.l->n : !p.used && !subscriptable(args)))
        ok = fail(&p, "not all arguments converted during string formatting");
    py_val v = slm_py_buf_str(r, &out);
    v.mark = fmt.mark && v.t == T_STR;
    return ok ? v : py_failed();
}
