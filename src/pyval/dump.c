/* Values as JSON: json.dumps as Transformers calls it, ASCII or not, sorted or not, indented or
 * on one line. What JSON has no form for is an error that names the type. */
#include <math.h>
#include <string.h>

#include "pyval/pyval.h"

struct dump {
    struct py_run *r;
    struct slm_buf *b;
    bool ascii, sort, pretty;
    py_val indent, item, key; /* strings */
    int depth;
};

static void dump_text(struct dump *d, const struct py_str *s)
{
    int32_t cp;
    slm_buf_putc(d->b, '"');
    for (size_t i = 0; i < s->n;) {
        int len = slm_utf8_next(s->s + i, s->n - i, &cp);
        const char *special = cp > 0 && cp < 128 ? strchr("\"\"\\\\\bb\ff\nn\rr\tt", cp) : NULL;
        if (special && (cp == '"' || cp == '\\' || cp < 32))
            slm_buf_printf(d->b, "\\%c", special[1] == cp ? (char)cp : special[1]);
        else if (cp < 0 || (cp >= 32 && cp < 127) || (cp >= 127 && !d->ascii))
            slm_buf_put(d->b, s->s + i, (size_t)len);
        else if (cp < 0x10000)
            slm_buf_printf(d->b, "\\u%04x", (unsigned)cp);
        else
            slm_buf_printf(d->b, "\\u%04x\\u%04x", (unsigned)(0xd7c0 + (cp >> 10)),
                           (unsigned)(0xdc00 | (cp & 0x3ff)));
        i += (size_t)len;
    }
    slm_buf_putc(d->b, '"');
}

static void dump_float(struct slm_buf *b, double f)
{
    if (isnan(f) || isinf(f))
        slm_buf_puts(b, isnan(f) ? "NaN" : f < 0 ? "-Infinity" : "Infinity");
    else
        slm_py_put_float(b, f);
}

static void dump_line(struct dump *d)
{
    if (!d->pretty)
        return;
    slm_buf_putc(d->b, '\n');
    for (int i = 0; i < d->depth; i++)
        slm_buf_put(d->b, d->indent.s->s, d->indent.s->n);
}

static bool dump_key(struct dump *d, py_val k)
{
    switch (k.t) {
    case T_STR: dump_text(d, k.s); return true;
    case T_NONE: slm_buf_puts(d->b, "\"null\""); return true;
    case T_BOOL: slm_buf_puts(d->b, k.b ? "\"true\"" : "\"false\""); return true;
    case T_INT:
    case T_FLOAT:
        slm_buf_putc(d->b, '"');
        if (k.t == T_INT)
            slm_py_put_int(d->b, k.i);
        else
            dump_float(d->b, k.f);
        slm_buf_putc(d->b, '"');
        return true;
    default:
        slm_py_fail(d->r, SLM_E_TEMPLATE, "keys must be str, int, float, bool or None, not %s",
                    slm_py_type_name(k));
        return false;
    }
}

static bool dump(struct dump *d, py_val v);

static bool sorted_order(struct dump *d, const struct py_dict *o, py_val **order)
{
    py_val *at = slm_py_new_n(d->r, o->n, sizeof *at),
           *keys = slm_py_new_n(d->r, o->n, sizeof *keys);
    if (!at || !keys)
        return false;
    for (size_t i = 0; i < o->n; i++) {
        at[i] = py_of_int((py_int)i);
        keys[i] = o->e[i].k;
    }
    *order = at;
    return slm_py_sort(d->r, at, keys, o->n, false);
}

static bool dump_items(struct dump *d, py_val v)
{
    bool dict = v.t == T_DICT;
    size_t n = dict ? v.d->n : v.l->n;
    py_val *order = NULL;
    if (n == 0) {
        slm_buf_puts(d->b, dict ? "{}" : "[]");
        return true;
    }
    if (dict && d->sort && !sorted_order(d, v.d, &order))
        return false;
    slm_buf_putc(d->b, dict ? '{' : '[');
    d->depth++;
    for (size_t i = 0; i < n; i++) {
        size_t k = order ? (size_t)order[i].i : i;
        if (i)
            slm_buf_put(d->b, d->item.s->s, d->item.s->n);
        dump_line(d);
        if (dict && !dump_key(d, v.d->e[k].k))
            return false;
        if (dict)
            slm_buf_put(d->b, d->key.s->s, d->key.s->n);
        if (!dump(d, dict ? v.d->e[k].v : v.l->v[i]))
            return false;
    }
    d->depth--;
    dump_line(d);
    slm_buf_putc(d->b, dict ? '}' : ']');
    return true;
}

static bool dump(struct dump *d, py_val v)
{
    struct slm_buf *b = d->b;
    bool ok = true;
    if (!slm_py_step(d->r, 2 + (v.t == T_STR ? v.s->n / 16 : 0) +
                               (d->pretty ? (uint64_t)d->depth : 0)) ||
        !slm_py_enter(d->r))
        return false;
    switch (v.t) {
    case T_NONE: slm_buf_puts(b, "null"); break;
    case T_BOOL: slm_buf_puts(b, v.b ? "true" : "false"); break;
    case T_INT: slm_py_put_int(b, v.i); break;
    case T_FLOAT: dump_float(b, v.f); break;
    case T_STR: dump_text(d, v.s); break;
    case T_LIST:
    case T_TUPLE:
    case T_DICT: ok = dump_items(d, v); break;
    default:
        ok = false;
        slm_py_fail(d->r, SLM_E_TEMPLATE, "Object of type %s is not JSON serializable",
                    slm_py_type_name(v));
    }
    d->r->level--;
    return ok && !b->failed;
}

/* indent: None, a number of blanks or a string; separators: a pair of strings. */
static bool dump_options(struct dump *d, py_val indent, py_val sep)
{
    py_int width;
    d->pretty = indent.t != T_NONE && indent.t != T_MISSING;
    if (slm_py_as_int(indent, &width)) {
        indent = slm_py_strz(d->r, " ");
        if (!py_bad(indent))
            indent = slm_py_binary(d->r, OP_MUL, indent, py_of_int(width));
    } else if (indent.t == T_UNDEF) {
        slm_py_undef_error(d->r, indent);
    } else if (d->pretty && indent.t != T_STR) {
        slm_py_fail(d->r, SLM_E_TEMPLATE, "can't multiply sequence by non-int of type '%s'",
                    slm_py_type_name(indent));
    }
    d->indent = indent;
    if (py_is_seq(sep)) {
        if (sep.l->n != 2 || sep.l->v[0].t != T_STR || sep.l->v[1].t != T_STR)
            slm_py_fail(d->r, SLM_E_TEMPLATE, "tojson: separators must be two strings");
        else
            d->item = sep.l->v[0], d->key = sep.l->v[1];
    } else if (sep.t == T_NONE || sep.t == T_MISSING) {
        d->item = slm_py_strz(d->r, d->pretty ? "," : ", ");
        d->key = slm_py_strz(d->r, ": ");
    } else {
        slm_py_fail(d->r, SLM_E_TEMPLATE, "tojson: separators must be two strings");
    }
    return !d->r->code;
}

py_val slm_py_tojson(struct py_run *r, py_val v, const struct py_args *a)
{
    static const struct py_spec spec = {"tojson", "ensure_ascii indent separators sort_keys", 0,
                                        0};
    py_val o[4];
    struct slm_buf b;
    struct dump d = {.r = r, .b = &b};
    if (!slm_py_bind(r, &spec, a, o) || !slm_py_truth(r, o[0], &d.ascii) ||
        !slm_py_truth(r, o[3], &d.sort) || !dump_options(&d, o[1], o[2]))
        return py_failed();
    slm_py_buf(r, &b);
    if (!dump(&d, v) && !b.failed) {
        slm_buf_release(&b);
        return py_failed();
    }
    return slm_py_buf_str(r, &b);
}
