/* Values as text: Python's str() and repr(), json.dumps as Transformers calls it, HTML
 * escaping. */
#include <math.h>
#include <string.h>

#include "template/jinja.h"

static void put_repr_char(struct slm_buf *b, int32_t cp, const char *s, int len, char quote)
{
    if (cp == quote || cp == '\\')
        slm_buf_printf(b, "\\%c", (char)cp);
    else if (cp == '\n' || cp == '\r' || cp == '\t')
        slm_buf_puts(b, cp == '\n' ? "\\n" : cp == '\r' ? "\\r" : "\\t");
    else if (cp >= 0 && slm_jj_printable(cp))
        slm_buf_put(b, s, (size_t)len);
    else if (cp < 0x100)
        slm_buf_printf(b, "\\x%02x", (unsigned)(cp < 0 ? (unsigned char)*s : cp));
    else
        slm_buf_printf(b, cp < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)cp);
}

static void put_quoted(struct slm_buf *b, const struct jj_str *s)
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

static void put_bytes(struct slm_buf *b, const struct jj_str *s)
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

static bool put_items(struct jj_run *r, struct slm_buf *b, jj_val v)
{
    bool tuple = v.t == T_TUPLE;
    slm_buf_putc(b, tuple ? '(' : '[');
    for (size_t i = 0; i < v.l->n; i++) {
        if (i)
            slm_buf_puts(b, ", ");
        if (!slm_jj_put_repr(r, b, v.l->v[i]))
            return false;
    }
    slm_buf_puts(b, tuple ? v.l->n == 1 ? ",)" : ")" : "]");
    return true;
}

/* what: 0 keys, 1 values, 2 pairs in tuples, 3 "k: v" */
static bool put_entries(struct jj_run *r, struct slm_buf *b, const struct jj_dict *d, int what)
{
    for (size_t i = 0; i < d->n; i++) {
        if (i)
            slm_buf_puts(b, ", ");
        if (what == 2)
            slm_buf_putc(b, '(');
        if (what != 1 && !slm_jj_put_repr(r, b, d->e[i].k))
            return false;
        if (what >= 2)
            slm_buf_puts(b, what == 2 ? ", " : ": ");
        if (what != 0 && !slm_jj_put_repr(r, b, d->e[i].v))
            return false;
        if (what == 2)
            slm_buf_putc(b, ')');
    }
    return true;
}

/* Objects show an address in Python; ours have none to tell. */
#define ADDRESS "0x7f0000000000"

static bool put_iterator(struct slm_buf *b, const struct jj_iter *it)
{
    static const char *const names[] = {
        [I_MAP] = "sync_do_map", [I_SELECT] = "select_or_reject", [I_UNIQUE] = "sync_do_unique",
        [I_BATCH] = "do_batch",  [I_SLICE] = "sync_do_slice",     [I_ITEMS] = "do_items"};
    const char *name = it->kind >= I_MAP && it->kind <= I_ITEMS ? names[it->kind] : NULL;
    if (name)
        slm_buf_printf(b, "<generator object %s at " ADDRESS ">", name);
    else
        slm_buf_printf(b, "<%s object at " ADDRESS ">", it->type);
    return true;
}

static bool put_object(struct jj_run *r, struct slm_buf *b, jj_val v)
{
    switch (v.t) {
    case T_RANGE:
        slm_buf_puts(b, "range(");
        slm_jj_put_int(b, v.r->start);
        slm_buf_puts(b, ", ");
        slm_jj_put_int(b, v.r->stop);
        if (v.r->step != 1) {
            slm_buf_puts(b, ", ");
            slm_jj_put_int(b, v.r->step);
        }
        slm_buf_putc(b, ')');
        return true;
    case T_VIEW:
        slm_buf_printf(b, "%s([", slm_jj_type_name(v));
        if (!put_entries(r, b, v.v->d, v.v->what))
            return false;
        slm_buf_puts(b, "])");
        return true;
    case T_NS:
        slm_buf_puts(b, "<Namespace {");
        if (!put_entries(r, b, v.d, 3))
            return false;
        slm_buf_puts(b, "}>");
        return true;
    case T_MACRO:
        if (!v.mac->node->name) {
            slm_buf_puts(b, "<Macro anonymous>");
            return true;
        }
        slm_buf_printf(b, "<Macro '%.*s'>", (int)v.mac->node->name->n, v.mac->node->name->s);
        return true;
    case T_LOOP: {
        jj_int n = slm_jj_len(r, v);
        slm_buf_puts(b, "<LoopContext ");
        slm_jj_put_int(b, v.loop->index0 + 1);
        slm_buf_putc(b, '/');
        slm_jj_put_int(b, n);
        slm_buf_putc(b, '>');
        return !r->code;
    }
    case T_SELF: slm_buf_puts(b, "<TemplateReference None>"); return true;
    case T_METHOD:
        slm_buf_printf(b, "<built-in method of %s object at " ADDRESS ">",
                       slm_jj_type_name(v.m->self));
        return true;
    case T_ITER: return put_iterator(b, v.it);
    default: slm_buf_printf(b, "<%s object at " ADDRESS ">", slm_jj_type_name(v)); return true;
    }
}

static bool put_nested(struct jj_run *r, struct slm_buf *b, jj_val v)
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

bool slm_jj_put_repr(struct jj_run *r, struct slm_buf *b, jj_val v)
{
    if (!slm_jj_step(r, 1) || !slm_jj_enter(r))
        return false;
    bool ok = true;
    switch (v.t) {
    case T_UNDEF: slm_buf_puts(b, "Undefined"); break;
    case T_NONE: slm_buf_puts(b, "None"); break;
    case T_BOOL: slm_buf_puts(b, v.b ? "True" : "False"); break;
    case T_INT: slm_jj_put_int(b, v.i); break;
    case T_FLOAT: slm_jj_put_float(b, v.f); break;
    case T_STR:
        ok = slm_jj_step(r, v.s->n / 8);
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

bool slm_jj_put_str(struct jj_run *r, struct slm_buf *b, jj_val v)
{
    if (v.t == T_UNDEF)
        return true;
    if (v.t != T_STR)
        return slm_jj_put_repr(r, b, v);
    slm_buf_put(b, v.s->s, v.s->n);
    return slm_jj_step(r, 1 + v.s->n / 256);
}

jj_val slm_jj_soft_str(struct jj_run *r, jj_val v)
{
    struct slm_buf b;
    if (v.t == T_STR || v.t == T_FAIL)
        return v;
    slm_jj_buf(r, &b);
    if (!slm_jj_put_str(r, &b, v) && !b.failed) {
        slm_buf_release(&b);
        return jj_failed();
    }
    return slm_jj_buf_str(r, &b);
}

jj_val slm_jj_to_str(struct jj_run *r, jj_val v)
{
    v = slm_jj_soft_str(r, v);
    v.mark = false;
    return v;
}

jj_val slm_jj_escape(struct jj_run *r, jj_val v)
{
    struct slm_buf b;
    v = slm_jj_soft_str(r, v);
    if (jj_bad(v) || v.mark)
        return v;
    slm_jj_buf(r, &b);
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
    v = slm_jj_buf_str(r, &b);
    v.mark = v.t == T_STR;
    return v;
}

/* JSON */
struct dump {
    struct jj_run *r;
    struct slm_buf *b;
    bool ascii, sort, pretty;
    jj_val indent, item, key; /* strings */
    int depth;
};

static void dump_text(struct dump *d, const struct jj_str *s)
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
        slm_jj_put_float(b, f);
}

static void dump_line(struct dump *d)
{
    if (!d->pretty)
        return;
    slm_buf_putc(d->b, '\n');
    for (int i = 0; i < d->depth; i++)
        slm_buf_put(d->b, d->indent.s->s, d->indent.s->n);
}

static bool dump_key(struct dump *d, jj_val k)
{
    switch (k.t) {
    case T_STR: dump_text(d, k.s); return true;
    case T_NONE: slm_buf_puts(d->b, "\"null\""); return true;
    case T_BOOL: slm_buf_puts(d->b, k.b ? "\"true\"" : "\"false\""); return true;
    case T_INT:
    case T_FLOAT:
        slm_buf_putc(d->b, '"');
        if (k.t == T_INT)
            slm_jj_put_int(d->b, k.i);
        else
            dump_float(d->b, k.f);
        slm_buf_putc(d->b, '"');
        return true;
    default:
        slm_jj_fail(d->r, SLM_E_TEMPLATE, "keys must be str, int, float, bool or None, not %s",
                    slm_jj_type_name(k));
        return false;
    }
}

static bool dump(struct dump *d, jj_val v);

static bool sorted_order(struct dump *d, const struct jj_dict *o, jj_val **order)
{
    jj_val *at = slm_jj_new_n(d->r, o->n, sizeof *at),
           *keys = slm_jj_new_n(d->r, o->n, sizeof *keys);
    if (!at || !keys)
        return false;
    for (size_t i = 0; i < o->n; i++) {
        at[i] = jj_of_int((jj_int)i);
        keys[i] = o->e[i].k;
    }
    *order = at;
    return slm_jj_sort(d->r, at, keys, o->n, false);
}

static bool dump_items(struct dump *d, jj_val v)
{
    bool dict = v.t == T_DICT;
    size_t n = dict ? v.d->n : v.l->n;
    jj_val *order = NULL;
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

static bool dump(struct dump *d, jj_val v)
{
    struct slm_buf *b = d->b;
    bool ok = true;
    if (!slm_jj_step(d->r, 2 + (v.t == T_STR ? v.s->n / 16 : 0) +
                               (d->pretty ? (uint64_t)d->depth : 0)) ||
        !slm_jj_enter(d->r))
        return false;
    switch (v.t) {
    case T_NONE: slm_buf_puts(b, "null"); break;
    case T_BOOL: slm_buf_puts(b, v.b ? "true" : "false"); break;
    case T_INT: slm_jj_put_int(b, v.i); break;
    case T_FLOAT: dump_float(b, v.f); break;
    case T_STR: dump_text(d, v.s); break;
    case T_LIST:
    case T_TUPLE:
    case T_DICT: ok = dump_items(d, v); break;
    default:
        ok = false;
        slm_jj_fail(d->r, SLM_E_TEMPLATE, "Object of type %s is not JSON serializable",
                    slm_jj_type_name(v));
    }
    d->r->level--;
    return ok && !b->failed;
}

/* indent: None, a number of blanks or a string; separators: a pair of strings. */
static bool dump_options(struct dump *d, jj_val indent, jj_val sep)
{
    jj_int width;
    d->pretty = indent.t != T_NONE && indent.t != T_MISSING;
    if (slm_jj_as_int(indent, &width)) {
        indent = slm_jj_strz(d->r, " ");
        if (!jj_bad(indent))
            indent = slm_jj_binary(d->r, OP_MUL, indent, jj_of_int(width));
    } else if (indent.t == T_UNDEF) {
        slm_jj_undef_error(d->r, indent);
    } else if (d->pretty && indent.t != T_STR) {
        slm_jj_fail(d->r, SLM_E_TEMPLATE, "can't multiply sequence by non-int of type '%s'",
                    slm_jj_type_name(indent));
    }
    d->indent = indent;
    if (jj_is_seq(sep)) {
        if (sep.l->n != 2 || sep.l->v[0].t != T_STR || sep.l->v[1].t != T_STR)
            slm_jj_fail(d->r, SLM_E_TEMPLATE, "tojson: separators must be two strings");
        else
            d->item = sep.l->v[0], d->key = sep.l->v[1];
    } else if (sep.t == T_NONE || sep.t == T_MISSING) {
        d->item = slm_jj_strz(d->r, d->pretty ? "," : ", ");
        d->key = slm_jj_strz(d->r, ": ");
    } else {
        slm_jj_fail(d->r, SLM_E_TEMPLATE, "tojson: separators must be two strings");
    }
    return !d->r->code;
}

jj_val slm_jj_tojson(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    static const struct jj_spec spec = {"tojson", "ensure_ascii indent separators sort_keys", 0,
                                        0};
    jj_val o[4];
    struct slm_buf b;
    struct dump d = {.r = r, .b = &b};
    if (!slm_jj_bind(r, &spec, a, o) || !slm_jj_truth(r, o[0], &d.ascii) ||
        !slm_jj_truth(r, o[3], &d.sort) || !dump_options(&d, o[1], o[2]))
        return jj_failed();
    slm_jj_buf(r, &b);
    if (!dump(&d, v) && !b.failed) {
        slm_buf_release(&b);
        return jj_failed();
    }
    return slm_jj_buf_str(r, &b);
}
