/* Arithmetic and numbers as text, by Python's rules: true division, floor division and modulo
 * that round down, floats as the shortest digits that read back. */
#include <math.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "pyval/pyval.h"

bool slm_py_float_to_int(double f, py_int *out)
{
    if (!(f > -0x1p126 && f < 0x1p126))
        return false;
    *out = (py_int)f;
    return true;
}

static py_val too_big(struct py_run *r)
{
    return slm_py_fail(r, SLM_E_TEMPLATE, "integer beyond 127 bits");
}

static py_val mismatch(struct py_run *r, const char *op, py_val a, py_val b)
{
    if (a.t == T_UNDEF || b.t == T_UNDEF)
        return slm_py_undef_error(r, a.t == T_UNDEF ? a : b);
    return slm_py_fail(r, SLM_E_TEMPLATE, "unsupported operand type(s) for %s: '%s' and '%s'",
                       op, slm_py_type_name(a), slm_py_type_name(b));
}

static py_int floor_div(py_int a, py_int b)
{
    py_int q = a / b;
    return a % b && (a < 0) != (b < 0) ? q - 1 : q;
}

static py_val int_pow(struct py_run *r, py_int a, py_int b)
{
    py_int result = 1;
    if (b < 0) {
        if (a == 0)
            return slm_py_fail(r, SLM_E_TEMPLATE, "0.0 cannot be raised to a negative power");
        return py_float(pow((double)a, (double)b));
    }
    if (a == 0 || a == 1)
        return py_of_int(b == 0 ? 1 : a);
    if (a == -1)
        return py_of_int(b % 2 ? -1 : 1);
    if (b > 127)
        return too_big(r);
    while (b-- > 0)
        if (__builtin_mul_overflow(result, a, &result))
            return too_big(r);
    return py_of_int(result);
}

static py_val int_op(struct py_run *r, int op, py_int a, py_int b)
{
    py_int c;
    bool over = false;
    switch (op) {
    case OP_ADD: over = __builtin_add_overflow(a, b, &c); break;
    case OP_SUB: over = __builtin_sub_overflow(a, b, &c); break;
    case OP_MUL: over = __builtin_mul_overflow(a, b, &c); break;
    case OP_POW: return int_pow(r, a, b);
    default:
        if (b == 0)
            return slm_py_fail(r, SLM_E_TEMPLATE,
                               op == OP_DIV ? "division by zero"
                                            : "integer division or modulo by zero");
        if (op == OP_DIV)
            return py_float((double)a / (double)b);
        if (b == -1) {
            c = 0;
            over = op == OP_FLOORDIV && __builtin_sub_overflow((py_int)0, a, &c);
        } else {
            c = floor_div(a, b);
            if (op == OP_MOD)
                c = a - c * b;
        }
    }
    return over ? too_big(r) : py_of_int(c);
}

static double float_mod(double a, double b, double *quotient)
{
    double m = fmod(a, b), q = (a - m) / b;
    if (m != 0) {
        if ((b < 0) != (m < 0)) {
            m += b;
            q -= 1;
        }
    } else {
        m = copysign(0.0, b);
    }
    if (q != 0) {
        double f = floor(q);
        *quotient = q - f > 0.5 ? f + 1 : f;
    } else {
        *quotient = copysign(0.0, a / b);
    }
    return m;
}

static py_val float_op(struct py_run *r, int op, double a, double b)
{
    double q, m;
    switch (op) {
    case OP_ADD: return py_float(a + b);
    case OP_SUB: return py_float(a - b);
    case OP_MUL: return py_float(a * b);
    case OP_POW:
        if (a == 0 && b < 0)
            return slm_py_fail(r, SLM_E_TEMPLATE, "0.0 cannot be raised to a negative power");
        if (a < 0 && isfinite(a) && isfinite(b) && b != floor(b))
            return slm_py_fail(r, SLM_E_TEMPLATE, "a power that is a complex number");
        q = pow(a, b);
        if (isinf(q) && isfinite(a) && isfinite(b))
            return slm_py_fail(r, SLM_E_TEMPLATE, "(34, 'Numerical result out of range')");
        return py_float(q);
    default:
        if (b == 0)
            return slm_py_fail(r, SLM_E_TEMPLATE,
                               op == OP_DIV ? "float division by zero"
                                            : "float floor division or modulo by zero");
        if (op == OP_DIV)
            return py_float(a / b);
        m = float_mod(a, b, &q);
        return py_float(op == OP_MOD ? m : q);
    }
}

static py_val concat_str(struct py_run *r, py_val a, py_val b)
{
    bool mark = a.mark || b.mark;
    if (mark && !a.mark)
        a = slm_py_escape(r, a);
    if (mark && !b.mark)
        b = slm_py_escape(r, b);
    if (py_bad(a) || py_bad(b))
        return py_failed();
    char *s = slm_py_new(r, a.s->n + b.s->n);
    if (!s)
        return py_failed();
    memcpy(s, a.s->s, a.s->n);
    memcpy(s + a.s->n, b.s->s, b.s->n);
    py_val v = slm_py_str_view(r, s, a.s->n + b.s->n);
    v.mark = mark && !py_bad(v);
    if (v.t == T_STR && a.s->chars != SIZE_MAX && b.s->chars != SIZE_MAX)
        v.s->chars = a.s->chars + b.s->chars;
    return v;
}

static py_val add(struct py_run *r, py_val a, py_val b)
{
    if (a.t == T_STR && b.t == T_STR)
        return concat_str(r, a, b);
    if (a.t == b.t && py_is_seq(a)) {
        py_val v = slm_py_list(r, a.t, a.l->n + b.l->n);
        if (py_bad(v))
            return v;
        if (a.l->n)
            memcpy(v.l->v, a.l->v, a.l->n * sizeof *v.l->v);
        if (b.l->n)
            memcpy(v.l->v + a.l->n, b.l->v, b.l->n * sizeof *v.l->v);
        v.l->n = a.l->n + b.l->n;
        return v;
    }
    if ((a.t == T_STR || py_is_seq(a)) && b.t != T_UNDEF)
        return slm_py_fail(r, SLM_E_TEMPLATE, "can only concatenate %s (not \"%s\") to %s",
                           slm_py_type_name(a), slm_py_type_name(b), slm_py_type_name(a));
    return mismatch(r, "+", a, b);
}

static py_val repeat(struct py_run *r, py_val a, py_int times)
{
    size_t n = a.t == T_STR || a.t == T_BYTES ? a.s->n : a.l->n,
           size = a.t == T_STR || a.t == T_BYTES ? 1 : sizeof(py_val);
    size_t total;
    if (times < 0 || n == 0)
        times = 0;
    if (times > (py_int)(r->max_memory / size) || !slm_mul_ok(n, (size_t)times, &total))
        return slm_py_fail(r, SLM_E_LIMIT, "a repetition too long for a template");
    if (size == 1) {
        char *s = slm_py_new(r, total);
        for (size_t i = 0; s && i < (size_t)times; i++)
            memcpy(s + i * n, a.s->s, n);
        py_val v = s && slm_py_step(r, (uint64_t)times / 8) ? slm_py_str_view(r, s, total)
                                                            : py_failed();
        if (!py_bad(v)) {
            v.t = a.t;
            v.mark = a.mark;
        }
        return v;
    }
    py_val v = slm_py_list(r, a.t, total);
    for (size_t i = 0; !py_bad(v) && i < (size_t)times; i++)
        memcpy(v.l->v + i * n, a.l->v, n * size);
    if (!py_bad(v))
        v.l->n = total;
    return v;
}

static bool repeatable(py_val v) { return v.t == T_STR || v.t == T_BYTES || py_is_seq(v); }

py_val slm_py_binary(struct py_run *r, int op, py_val a, py_val b)
{
    static const char *const names[] = {"+", "-", "*", "/", "//", "%", "** or pow()"};
    py_int x, y;
    double f, g;
    if (!slm_py_step(r, 1))
        return py_failed();
    bool ix = slm_py_as_int(a, &x), iy = slm_py_as_int(b, &y);
    if (ix && iy)
        return int_op(r, op, x, y);
    if (slm_py_as_num(a, &f) && slm_py_as_num(b, &g))
        return float_op(r, op, f, g);
    if (op == OP_ADD)
        return add(r, a, b);
    if (op == OP_MUL && repeatable(a) && iy)
        return repeat(r, a, y);
    if (op == OP_MUL && repeatable(b) && ix)
        return repeat(r, b, x);
    if (op == OP_MOD && a.t == T_STR)
        return slm_py_percent(r, a, b);
    return mismatch(r, names[op], a, b);
}

py_val slm_py_negate(struct py_run *r, py_val v, bool minus)
{
    py_int i;
    if (slm_py_as_int(v, &i))
        return minus ? int_op(r, OP_SUB, 0, i) : py_of_int(i);
    if (v.t == T_FLOAT)
        return py_float(minus ? -v.f : v.f);
    if (v.t == T_UNDEF)
        return slm_py_undef_error(r, v);
    return slm_py_fail(r, SLM_E_TEMPLATE, "bad operand type for unary %c: '%s'",
                       minus ? '-' : '+', slm_py_type_name(v));
}

void slm_py_put_int(struct slm_buf *b, py_int i)
{
    char s[48];
    size_t k = sizeof s;
    py_uint u = i < 0 ? -(py_uint)i : (py_uint)i;
    do {
        s[--k] = (char)('0' + (int)(u % 10));
        u /= 10;
    } while (u);
    if (i < 0)
        s[--k] = '-';
    slm_buf_put(b, s + k, sizeof s - k);
}

void slm_py_put_float(struct slm_buf *b, double f)
{
    char s[40], digits[24];
    int n = 0, exp;
    if (isnan(f) || isinf(f)) {
        slm_buf_puts(b, isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
        return;
    }
    for (int p = 0; p < 17; p++) {
        snprintf(s, sizeof s, "%.*e", p, f);
        if (strtod(s, NULL) == f)
            break;
    }
    char *e = strchr(s, 'e');
    exp = (int)strtol(e + 1, NULL, 10);
    for (char *c = s; c < e; c++)
        if (*c >= '0' && *c <= '9')
            digits[n++] = *c;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    if (s[0] == '-')
        slm_buf_putc(b, '-');
    if (exp < -4 || exp >= 16) {
        slm_buf_putc(b, digits[0]);
        if (n > 1)
            slm_buf_putc(b, '.');
        slm_buf_put(b, digits + 1, (size_t)n - 1);
        slm_buf_printf(b, "e%c%02d", exp < 0 ? '-' : '+', abs(exp));
        return;
    }
    if (exp < 0) {
        slm_buf_puts(b, "0.");
        for (int i = -1; i > exp; i--)
            slm_buf_putc(b, '0');
        slm_buf_put(b, digits, (size_t)n);
        return;
    }
    for (int i = 0; i <= exp; i++)
        slm_buf_putc(b, i < n ? digits[i] : '0');
    slm_buf_putc(b, '.');
    slm_buf_put(b, n > exp + 1 ? digits + exp + 1 : "0",
                n > exp + 1 ? (size_t)(n - exp - 1) : 1);
}

static size_t trim(const char **s, size_t n)
{
    int32_t cp;
    int len;
    while (n && (len = slm_utf8_next(*s, n, &cp)) > 0 && cp >= 0 && slm_py_space(cp)) {
        *s += len;
        n -= (size_t)len;
    }
    while (n) {
        size_t c = n - 1;
        while (c > 0 && ((unsigned char)(*s)[c] & 0xc0) == 0x80)
            c--;
        slm_utf8_next(*s + c, n - c, &cp);
        if (cp < 0 || !slm_py_space(cp))
            break;
        n = c;
    }
    return n;
}

bool slm_py_parse_int(const char *s, size_t n, int base, py_int *out)
{
    py_int v = 0;
    bool neg = false, digit = false;
    n = trim(&s, n);
    if (n && (*s == '+' || *s == '-')) {
        neg = *s == '-';
        s++;
        n--;
    }
    if (n > 1 && s[0] == '0') {
        int c = s[1] | 32, prefix = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
        if (prefix && (base == 0 || base == prefix)) {
            base = prefix;
            s += 2;
            n -= 2;
            if (n && *s == '_')
                s++, n--;
        } else if (base == 0) {
            for (size_t i = 1; i < n; i++)
                if (s[i] != '0' && s[i] != '_')
                    return false;
        }
    }
    if (base == 0)
        base = 10;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '_') {
            if (!digit || i + 1 == n)
                return false;
            digit = false;
            continue;
        }
        int d = c >= '0' && c <= '9'                 ? c - '0'
                : (c | 32) >= 'a' && (c | 32) <= 'z' ? (c | 32) - 'a' + 10
                                                     : 99;
        if (d >= base || __builtin_mul_overflow(v, (py_int)base, &v) ||
            __builtin_add_overflow(v, (py_int)d, &v))
            return false;
        digit = true;
    }
    *out = neg ? -v : v;
    return digit;
}

bool slm_py_parse_float(const char *s, size_t n, double *out)
{
    char buf[400];
    size_t m = 0;
    n = trim(&s, n);
    if (!n || n >= sizeof buf)
        return false;
    size_t i = s[0] == '+' || s[0] == '-';
    bool word = n - i >= 3 && ((s[i] | 32) == 'i' || (s[i] | 32) == 'n');
    for (i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        bool d = c >= '0' && c <= '9';
        if (c == '_') {
            if (i == 0 || i + 1 == n || s[i - 1] < '0' || s[i - 1] > '9' || s[i + 1] < '0' ||
                s[i + 1] > '9')
                return false;
            continue;
        }
        if (!d && !word && c != '.' && c != '+' && c != '-' && (c | 32) != 'e')
            return false;
        buf[m++] = (char)c;
    }
    buf[m] = 0;
    if (word) {
        const char *w = buf + (buf[0] == '+' || buf[0] == '-');
        if (strcasecmp(w, "inf") && strcasecmp(w, "infinity") && strcasecmp(w, "nan"))
            return false;
    }
    char *end;
    *out = strtod(buf, &end);
    return *end == 0;
}
