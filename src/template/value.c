/* Values: making them in the render's arena, and the simple questions asked of them.
 *
 * Every allocation goes through slm_jj_new, which counts against the render's memory cap; every
 * piece of work proportional to data goes through slm_jj_step, so neither memory nor time can
 * run away whatever the template does. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "template/jinja.h"

jj_val slm_jj_fail(struct jj_run *r, int code, const char *fmt, ...)
{
    char msg[480];
    va_list ap;
    if (r->code)
        return jj_failed();
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    r->code = slm_fail(r->err, code, "%s", msg);
    return jj_failed();
}

bool slm_jj_step(struct jj_run *r, uint64_t n)
{
    r->steps += n;
    if (r->steps <= r->max_steps)
        return !r->code;
    slm_jj_fail(r, SLM_E_LIMIT, "template takes more than %llu steps",
                (unsigned long long)r->max_steps);
    return false;
}

bool slm_jj_enter(struct jj_run *r)
{
    if (++r->level <= r->max_level)
        return true;
    slm_jj_fail(r, SLM_E_LIMIT, "recursion too deep");
    return false;
}

void *slm_jj_new(struct jj_run *r, size_t n)
{
    if (n > r->max_memory || r->memory > r->max_memory - n) {
        slm_jj_fail(r, SLM_E_LIMIT, "template needs more than %zu MB", r->max_memory >> 20);
        return NULL;
    }
    r->memory += n + 16;
    if (!slm_jj_step(r, n / 256))
        return NULL;
    void *p = slm_arena_alloc(&r->arena, n ? n : 1);
    if (!p)
        slm_jj_fail(r, SLM_E_NOMEM, "out of memory in a template");
    return p;
}

void *slm_jj_new_n(struct jj_run *r, size_t n, size_t size)
{
    size_t bytes;
    if (!slm_mul_ok(n, size, &bytes)) {
        slm_jj_fail(r, SLM_E_LIMIT, "template needs too much memory");
        return NULL;
    }
    return slm_jj_new(r, bytes);
}

jj_val slm_jj_str_view(struct jj_run *r, const char *s, size_t n)
{
    struct jj_str *x = slm_jj_new(r, sizeof *x);
    if (!x)
        return jj_failed();
    *x = (struct jj_str){.s = s, .n = n, .chars = SIZE_MAX};
    return (jj_val){.t = T_STR, .s = x};
}

jj_val slm_jj_str(struct jj_run *r, const char *s, size_t n)
{
    char *copy = slm_jj_new(r, n);
    if (!copy)
        return jj_failed();
    if (n)
        memcpy(copy, s, n);
    return slm_jj_str_view(r, copy, n);
}

jj_val slm_jj_strz(struct jj_run *r, const char *s) { return slm_jj_str(r, s, strlen(s)); }

jj_val slm_jj_list(struct jj_run *r, int type, size_t cap)
{
    struct jj_list *l = slm_jj_new(r, sizeof *l);
    if (!l)
        return jj_failed();
    if (cap && !(l->v = slm_jj_new_n(r, cap, sizeof *l->v)))
        return jj_failed();
    l->cap = cap;
    return (jj_val){.t = (uint8_t)type, .l = l};
}

bool slm_jj_push(struct jj_run *r, struct jj_list *l, jj_val v)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 8;
        jj_val *p = slm_jj_new_n(r, cap, sizeof *p);
        if (!p)
            return false;
        if (l->n)
            memcpy(p, l->v, l->n * sizeof *p);
        l->v = p;
        l->cap = cap;
    }
    l->v[l->n++] = v;
    return true;
}

jj_val slm_jj_pair(struct jj_run *r, jj_val a, jj_val b)
{
    jj_val t = slm_jj_list(r, T_TUPLE, 2);
    if (!jj_bad(t)) {
        t.l->v[0] = a;
        t.l->v[1] = b;
        t.l->n = 2;
    }
    return t;
}

jj_val slm_jj_dict(struct jj_run *r)
{
    struct jj_dict *d = slm_jj_new(r, sizeof *d);
    return d ? (jj_val){.t = T_DICT, .d = d} : jj_failed();
}

jj_val slm_jj_undef(struct jj_run *r, jj_val obj, jj_val name)
{
    struct jj_undef *u = slm_jj_new(r, sizeof *u);
    if (!u)
        return jj_failed();
    u->obj = obj;
    u->name = name;
    return (jj_val){.t = T_UNDEF, .u = u};
}

jj_val slm_jj_undef_hint(struct jj_run *r, const char *hint)
{
    jj_val v = slm_jj_undef(r, (jj_val){.t = T_MISSING}, jj_none());
    if (!jj_bad(v))
        v.u->hint = hint;
    return v;
}

jj_val slm_jj_undef_error(struct jj_run *r, jj_val v)
{
    const struct jj_undef *u = v.u;
    struct slm_buf b;
    if (r->code)
        return jj_failed();
    if (u->hint)
        return slm_jj_fail(r, SLM_E_TEMPLATE, "%s", u->hint);
    slm_jj_buf(r, &b);
    if (u->unsafe) {
        slm_jj_put_str(r, &b, u->name);
        slm_jj_fail(r, SLM_E_TEMPLATE, "access to attribute '%s' of '%s' object is unsafe.",
                    b.s, slm_jj_type_name(u->obj));
    } else {
        slm_jj_put_repr(r, &b, u->name);
        if (u->obj.t == T_MISSING)
            slm_jj_fail(r, SLM_E_TEMPLATE, "%s is undefined", b.s);
        else if (u->obj.t == T_NONE)
            slm_jj_fail(r, SLM_E_TEMPLATE, "'None' has no attribute %s", b.s);
        else
            slm_jj_fail(r, SLM_E_TEMPLATE,
                        u->name.t == T_STR ? "'%s object' has no attribute %s"
                                           : "%s object has no element %s",
                        slm_jj_type_name(u->obj), b.s);
    }
    slm_buf_release(&b);
    return jj_failed();
}

void slm_jj_buf(struct jj_run *r, struct slm_buf *b)
{
    size_t left = r->memory < r->max_memory ? r->max_memory - r->memory : 0;
    slm_buf_init(b, r->rt, SLM_MEM_TEMPLATE, left);
}

jj_val slm_jj_buf_str(struct jj_run *r, struct slm_buf *b)
{
    jj_val v = jj_failed();
    if (b->failed)
        slm_jj_fail(r, b->failed,
                    b->failed == SLM_E_LIMIT ? "template text over the limit"
                                             : "out of memory in a template");
    if (!r->code)
        v = slm_jj_str(r, b->s, b->n);
    slm_buf_release(b);
    return v;
}

size_t slm_jj_chars(const struct jj_str *cs)
{
    struct jj_str *s = (struct jj_str *)(uintptr_t)
        cs; /* a cache; strings of a template are counted at parse */
    if (s->chars == SIZE_MAX)
        s->chars = slm_utf8_count(s->s, s->n);
    return s->chars;
}

size_t slm_jj_offset(const struct jj_str *s, size_t chars)
{
    size_t n = slm_jj_chars(s), i = 0;
    int32_t cp;
    if (chars >= n)
        return s->n;
    if (n == s->n)
        return chars;
    while (chars--)
        i += (size_t)slm_utf8_next(s->s + i, s->n - i, &cp);
    return i;
}

bool slm_jj_is(jj_val v, const char *s)
{
    return v.t == T_STR && v.s->n == strlen(s) && memcmp(v.s->s, s, v.s->n) == 0;
}

bool slm_jj_as_int(jj_val v, jj_int *out)
{
    if (v.t != T_INT && v.t != T_BOOL)
        return false;
    *out = v.t == T_INT ? v.i : v.b;
    return true;
}

bool slm_jj_as_num(jj_val v, double *out)
{
    if (!jj_is_num(v))
        return false;
    *out = v.t == T_FLOAT ? v.f : v.t == T_INT ? (double)v.i : v.b;
    return true;
}

jj_int slm_jj_len(struct jj_run *r, jj_val v)
{
    switch (v.t) {
    case T_UNDEF: return 0;
    case T_STR:
        if (v.s->chars == SIZE_MAX && !slm_jj_step(r, v.s->n / 64))
            return 0;
        return (jj_int)slm_jj_chars(v.s);
    case T_BYTES: return (jj_int)v.s->n;
    case T_LIST:
    case T_TUPLE: return (jj_int)v.l->n;
    case T_DICT: return (jj_int)v.d->n;
    case T_VIEW: return (jj_int)v.v->d->n;
    case T_RANGE: return v.r->n;
    case T_LOOP: {
        jj_val n = slm_jj_loop_attr(r, v.loop, "length", 6);
        return n.t == T_INT ? n.i : 0;
    }
    default: return -1;
    }
}

bool slm_jj_truth(struct jj_run *r, jj_val v, bool *out)
{
    switch (v.t) {
    case T_FAIL:
    case T_MISSING:
    case T_UNDEF:
    case T_NONE: *out = false; break;
    case T_BOOL: *out = v.b; break;
    case T_INT: *out = v.i != 0; break;
    case T_FLOAT: *out = v.f != 0; break;
    case T_STR: *out = v.s->n != 0; break;
    case T_LOOP: *out = slm_jj_len(r, v) != 0; break;
    default: *out = slm_jj_len(r, v) != 0;
    }
    return v.t != T_FAIL && !r->code;
}

const char *slm_jj_type_name(jj_val v)
{
    static const char *const names[] = {[T_FAIL] = "?",
                                        [T_MISSING] = "?",
                                        [T_UNDEF] = "Undefined",
                                        [T_NONE] = "NoneType",
                                        [T_BOOL] = "bool",
                                        [T_INT] = "int",
                                        [T_FLOAT] = "float",
                                        [T_STR] = "str",
                                        [T_BYTES] = "bytes",
                                        [T_LIST] = "list",
                                        [T_TUPLE] = "tuple",
                                        [T_DICT] = "dict",
                                        [T_RANGE] = "range",
                                        [T_VIEW] = "dict_items",
                                        [T_NS] = "TemplateNamespace",
                                        [T_ITER] = "generator",
                                        [T_FUNC] = "function",
                                        [T_METHOD] = "builtin_function_or_method",
                                        [T_MACRO] = "Macro",
                                        [T_LOOP] = "LoopContext",
                                        [T_CYCLER] = "Cycler",
                                        [T_JOINER] = "Joiner",
                                        [T_SELF] = "TemplateReference",
                                        [T_BLOCK] = "BlockReference"};
    static const char *const views[] = {"dict_keys", "dict_values", "dict_items"};
    if (v.t == T_STR && v.mark)
        return "Markup";
    if (v.t == T_VIEW)
        return views[v.v->what];
    return v.t == T_ITER ? v.it->type : names[v.t];
}

bool slm_jj_callable(jj_val v)
{
    return v.t == T_FUNC || v.t == T_METHOD || v.t == T_MACRO || v.t == T_LOOP ||
           v.t == T_JOINER || v.t == T_BLOCK || v.t == T_UNDEF;
}
