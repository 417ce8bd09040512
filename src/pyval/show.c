/* Values as text: Python's str() and repr(), repr with sorted keys, HTML escaping. */
#include <string.h>

#include "pyval/pyval.h"

static void put_repr_char(struct slm_buf *b, int32_t cp, const char *s, int len, char quote)
{
    if (cp == quote || cp == '\\')
        slm_buf_printf(b, "\\%c", (char)cp);
    else if (cp == '\n' || cp == '\r' || cp == '\t')
        slm_buf_puts(b, cp == '\n' ? "\\n" : cp == '\r' ? "\\r" : "\\t");
    else if (cp >= 0 && slm_py_printable(cp))
        slm_buf_put(b, s, (size_t)len);
    else if (cp < 0x100)
        slm_buf_printf(b, "\\x%02x", (unsigned)(cp < 0 ? (unsigned char)*s : cp));
    else
        slm_buf_printf(b, cp < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)cp);
}

static void put_quoted(struct slm_buf *b, const struct py_str *s)
{
    char quote = memchr(s->s, '\'', s->n) && !memchr(s->s, '"', s->n) ? '"' : '\'';
    int32_t cp;
    slm_buf_putc(b, quote);
    for (size_t i = 0; i < s->n;) {
        int len = slm_utf8_next(s->s + i, s->n - i, &cp);
        put_repr_char(b, cp, s->s + i, len, quote);
        i += (size_t)len;
    }
    slm_buf_putc(b, quote);
}

static void put_bytes(struct slm_buf *b, const struct py_str *s)
{
    char quote = memchr(s->s, '\'', s->n) && !memchr(s->s, '"', s->n) ? '"' : '\'';
    slm_buf_putc(b, 'b');
    slm_buf_putc(b, quote);
    for (size_t i = 0; i < s->n; i++) {
        unsigned char c = (unsigned char)s->s[i];
        if (c >= 0x7f)
            slm_buf_printf(b, "\\x%02x", c);
        else
            put_repr_char(b, c, s->s + i, 1, quote);
    }
    slm_buf_putc(b, quote);
}

static bool put_items(struct py_run *r, struct slm_buf *b, py_val v)
{
    bool tuple = v.t == T_TUPLE;
    slm_buf_putc(b, tuple ? '(' : '[');
    for (size_t i = 0; i < v.l->n; i++) {
        if (i)
            slm_buf_puts(b, ", ");
        if (!slm_py_put_repr(r, b, v.l->v[i]))
            return false;
    }
    slm_buf_puts(b, tuple ? v.l->n == 1 ? ",)" : ")" : "]");
    return true;
}

/* what: 0 keys, 1 values, 2 pairs in tuples, 3 "k: v" */
static bool put_entries(struct py_run *r, struct slm_buf *b, const struct py_dict *d, int what)
{
    for (size_t i = 0; i < d->n; i++) {
        if (i)
            slm_buf_puts(b, ", ");
        if (what == 2)
            slm_buf_putc(b, '(');
        if (what != 1 && !slm_py_put_repr(r, b, d->e[i].k))
            return false;
        if (what >= 2)
            slm_buf_puts(b, what == 2 ? ", " : ": ");
        if (what != 0 && !slm_py_put_repr(r, b, d->e[i].v))
            return false;
        if (what == 2)
            slm_buf_putc(b, ')');
    }
    return true;
}

/* Objects show an address in Python; ours have none to tell. */
#define ADDRESS "0x7f0000000000"

static bool put_iterator(struct slm_buf *b, const struct py_iter *it)
{
    if (it->maker)
        slm_buf_printf(b, "<generator object %s at " ADDRESS ">", it->maker);
    else
        slm_buf_printf(b, "<%s object at " ADDRESS ">", it->type);
    return true;
}

static bool put_object(struct py_run *r, struct slm_buf *b, py_val v)
{
    switch (v.t) {
    case T_RANGE:
        slm_buf_puts(b, "range(");
        slm_py_put_int(b, v.r->start);
        slm_buf_puts(b, ", ");
        slm_py_put_int(b, v.r->stop);
        if (v.r->step != 1) {
            slm_buf_puts(b, ", ");
            slm_py_put_int(b, v.r->step);
        }
        slm_buf_putc(b, ')');
        return true;
    case T_VIEW:
        slm_buf_printf(b, "%s([", slm_py_type_name(v));
        if (!put_entries(r, b, v.v->d, v.v->what))
            return false;
        slm_buf_puts(b, "])");
        return true;
    case T_METHOD:
        slm_buf_printf(b, "<built-in method of %s object at " ADDRESS ">",
                       slm_py_type_name(v.m->self));
        return true;
    case T_ITER: return put_iterator(b, v.it);
    default:
        if (v.t >= T_HOST && v.cls->put)
            return v.cls->put(r, b, v);
        slm_buf_printf(b, "<%s object at " ADDRESS ">", slm_py_type_name(v));
        return true;
    }
}

static bool put_nested(struct py_run *r, struct slm_buf *b, py_val v)
{
    if (v.t == T_LIST || v.t == T_TUPLE)
        return put_items(r, b, v);
    if (v.t != T_DICT)
        return put_object(r, b, v);
    slm_buf_putc(b, '{');
    bool ok = put_entries(r, b, v.d, 3);
    slm_buf_putc(b, '}');
    return ok;
}

bool slm_py_put_repr(struct py_run *r, struct slm_buf *b, py_val v)
{
    if (!slm_py_step(r, 1) || !slm_py_enter(r))
        return false;
    bool ok = true;
    switch (v.t) {
    case T_UNDEF: slm_buf_puts(b, "Undefined"); break;
    case T_NONE: slm_buf_puts(b, "None"); break;
    case T_BOOL: slm_buf_puts(b, v.b ? "True" : "False"); break;
    case T_INT: slm_py_put_int(b, v.i); break;
    case T_FLOAT: slm_py_put_float(b, v.f); break;
    case T_STR:
        ok = slm_py_step(r, v.s->n / 8);
        slm_buf_puts(b, v.mark ? "Markup(" : "");
        put_quoted(b, v.s);
        slm_buf_puts(b, v.mark ? ")" : "");
        break;
    case T_BYTES: put_bytes(b, v.s); break;
    case T_FAIL: ok = false; break;
    default: ok = put_nested(r, b, v);
    }
    r->level--;
    return ok && !b->failed;
}

bool slm_py_put_str(struct py_run *r, struct slm_buf *b, py_val v)
{
    if (v.t == T_UNDEF)
        return true;
    if (v.t != T_STR)
        return slm_py_put_repr(r, b, v);
    slm_buf_put(b, v.s->s, v.s->n);
    return slm_py_step(r, 1 + v.s->n / 256);
}

py_val slm_py_soft_str(struct py_run *r, py_val v)
{
    struct slm_buf b;
    if (v.t == T_STR || v.t == T_FAIL)
        return v;
    slm_py_buf(r, &b);
    if (!slm_py_put_str(r, &b, v) && !b.failed) {
        slm_buf_release(&b);
        return py_failed();
    }
    return slm_py_buf_str(r, &b);
}

py_val slm_py_to_str(struct py_run *r, py_val v)
{
    v = slm_py_soft_str(r, v);
    v.mark = false;
    return v;
}

py_val slm_py_escape(struct py_run *r, py_val v)
{
    struct slm_buf b;
    v = slm_py_soft_str(r, v);
    if (py_bad(v) || v.mark)
        return v;
    slm_py_buf(r, &b);
    for (size_t i = 0; i < v.s->n; i++) {
        char c = v.s->s[i];
        if (c == '&' || c == '<' || c == '>' || c == '\'' || c == '"')
            slm_buf_puts(&b, c == '&'   ? "&amp;"
                             : c == '<' ? "&lt;"
                             : c == '>' ? "&gt;"
                             : c == '"' ? "&#34;"
                                        : "&#39;");
        else
            slm_buf_putc(&b, c);
    }
    v = slm_py_buf_str(r, &b);
    v.mark = v.t == T_STR;
    return v;
}

/* pprint: repr with the keys of dicts in order. */
static py_val sorted(struct py_run *r, py_val v)
{
    py_val out, *keys;
    if (!slm_py_enter(r))
        return py_failed();
    if (py_is_seq(v)) {
        out = slm_py_list(r, v.t, v.l->n);
        for (size_t i = 0; !py_bad(out) && i < v.l->n; i++) {
            py_val item = sorted(r, v.l->v[i]);
            if (py_bad(item))
                return item;
            out.l->v[out.l->n++] = item;
        }
        v = out;
    } else if (v.t == T_DICT) {
        size_t n = v.d->n;
        py_val *at = slm_py_new_n(r, n, sizeof *at);
        keys = slm_py_new_n(r, n, sizeof *keys);
        out = slm_py_dict(r);
        if (!at || !keys || py_bad(out))
            return py_failed();
        for (size_t i = 0; i < n; i++) {
            at[i] = py_of_int((py_int)i);
            keys[i] = v.d->e[i].k;
        }
        if (!slm_py_sort(r, at, keys, n, false))
            return py_failed();
        for (size_t i = 0; i < n; i++) {
            struct py_entry *e = &v.d->e[(size_t)at[i].i];
            py_val item = sorted(r, e->v);
            if (py_bad(item) || !slm_py_put(r, out.d, e->k, item))
                return py_failed();
        }
        v = out;
    }
    r->level--;
    return v;
}

bool slm_py_put_repr_sorted(struct py_run *r, struct slm_buf *b, py_val v)
{
    v = sorted(r, v);
    return !py_bad(v) && slm_py_put_repr(r, b, v);
}
