/* Values: making them in the run's arena, and the simple questions asked of them.
 *
 * Every allocation goes through slm_py_new, which counts against the run's memory cap; every
 * piece of work proportional to data goes through slm_py_step, so neither memory nor time can
 * run away whatever the template does. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "pyval/pyval.h"

py_val slm_py_fail(struct py_run *r, int code, const char *fmt, ...)
{
    char msg[480];
    va_list ap;
    if (r->code)
        return py_failed();
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    r->code = slm_fail(r->err, code, "%s", msg);
    return py_failed();
}

bool slm_py_step(struct py_run *r, uint64_t n)
{
    r->steps += n;
    if (r->steps <= r->max_steps)
        return !r->code;
    slm_py_fail(r, SLM_E_LIMIT, "template takes more than %llu steps",
                (unsigned long long)r->max_steps);
    return false;
}

bool slm_py_enter(struct py_run *r)
{
    if (++r->level <= r->max_level)
        return true;
    slm_py_fail(r, SLM_E_LIMIT, "recursion too deep");
    return false;
}

void *slm_py_new(struct py_run *r, size_t n)
{
    if (n > r->max_memory || r->memory > r->max_memory - n) {
        slm_py_fail(r, SLM_E_LIMIT, "template needs more than %zu MB", r->max_memory >> 20);
        return NULL;
    }
    r->memory += n + 16;
    if (!slm_py_step(r, n / 256))
        return NULL;
    void *p = slm_arena_alloc(&r->arena, n ? n : 1);
    if (!p)
        slm_py_fail(r, SLM_E_NOMEM, "out of memory in a template");
    return p;
}

void *slm_py_new_n(struct py_run *r, size_t n, size_t size)
{
    size_t bytes;
    if (!slm_mul_ok(n, size, &bytes)) {
        slm_py_fail(r, SLM_E_LIMIT, "template needs too much memory");
        return NULL;
    }
    return slm_py_new(r, bytes);
}

py_val slm_py_str_view(struct py_run *r, const char *s, size_t n)
{
    struct py_str *x = slm_py_new(r, sizeof *x);
    if (!x)
        return py_failed();
    *x = (struct py_str){.s = s, .n = n, .chars = SIZE_MAX};
    return (py_val){.t = T_STR, .s = x};
}

py_val slm_py_str(struct py_run *r, const char *s, size_t n)
{
    char *copy = slm_py_new(r, n);
    if (!copy)
        return py_failed();
    if (n)
        memcpy(copy, s, n);
    return slm_py_str_view(r, copy, n);
}

py_val slm_py_strz(struct py_run *r, const char *s) { return slm_py_str(r, s, strlen(s)); }

py_val slm_py_list(struct py_run *r, int type, size_t cap)
{
    struct py_list *l = slm_py_new(r, sizeof *l);
    if (!l)
        return py_failed();
    if (cap && !(l->v = slm_py_new_n(r, cap, sizeof *l->v)))
        return py_failed();
    l->cap = cap;
    return (py_val){.t = (uint8_t)type, .l = l};
}

bool slm_py_push(struct py_run *r, struct py_list *l, py_val v)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 8;
        py_val *p = slm_py_new_n(r, cap, sizeof *p);
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

py_val slm_py_pair(struct py_run *r, py_val a, py_val b)
{
    py_val t = slm_py_list(r, T_TUPLE, 2);
    if (!py_bad(t)) {
        t.l->v[0] = a;
        t.l->v[1] = b;
        t.l->n = 2;
    }
    return t;
}

py_val slm_py_dict(struct py_run *r)
{
    struct py_dict *d = slm_py_new(r, sizeof *d);
    return d ? (py_val){.t = T_DICT, .d = d} : py_failed();
}

py_val slm_py_undef(struct py_run *r, py_val obj, py_val name)
{
    struct py_undef *u = slm_py_new(r, sizeof *u);
    if (!u)
        return py_failed();
    u->obj = obj;
    u->name = name;
    return (py_val){.t = T_UNDEF, .u = u};
}

py_val slm_py_undef_hint(struct py_run *r, const char *hint)
{
    py_val v = slm_py_undef(r, (py_val){.t = T_MISSING}, py_none());
    if (!py_bad(v))
        v.u->hint = hint;
    return v;
}

py_val slm_py_undef_error(struct py_run *r, py_val v)
{
    const struct py_undef *u = v.u;
    struct slm_buf b;
    if (r->code)
        return py_failed();
    if (u->hint)
        return slm_py_fail(r, SLM_E_TEMPLATE, "%s", u->hint);
    slm_py_buf(r, &b);
    if (u->unsafe) {
        slm_py_put_str(r, &b, u->name);
        slm_py_fail(r, SLM_E_TEMPLATE, "access to attribute '%s' of '%s' object is unsafe.",
                    b.s, slm_py_type_name(u->obj));
    } else {
        slm_py_put_repr(r, &b, u->name);
        if (u->obj.t == T_MISSING)
            slm_py_fail(r, SLM_E_TEMPLATE, "%s is undefined", b.s);
        else if (u->obj.t == T_NONE)
            slm_py_fail(r, SLM_E_TEMPLATE, "'None' has no attribute %s", b.s);
        else
            slm_py_fail(r, SLM_E_TEMPLATE,
                        u->name.t == T_STR ? "'%s object' has no attribute %s"
                                           : "%s object has no element %s",
                        slm_py_type_name(u->obj), b.s);
    }
    slm_buf_release(&b);
    return py_failed();
}

void slm_py_buf(struct py_run *r, struct slm_buf *b)
{
    size_t left = r->memory < r->max_memory ? r->max_memory - r->memory : 0;
    slm_buf_init(b, r->rt, SLM_MEM_TEMPLATE, left);
}

py_val slm_py_buf_str(struct py_run *r, struct slm_buf *b)
{
    py_val v = py_failed();
    if (b->failed)
        slm_py_fail(r, b->failed,
                    b->failed == SLM_E_LIMIT ? "template text over the limit"
                                             : "out of memory in a template");
    if (!r->code)
        v = slm_py_str(r, b->s, b->n);
    slm_buf_release(b);
    return v;
}

size_t slm_py_chars(const struct py_str *cs)
{
    struct py_str *s = (struct py_str *)(uintptr_t)
        cs; /* a cache; strings of a template are counted at parse */
    if (s->chars == SIZE_MAX)
        s->chars = slm_utf8_count(s->s, s->n);
    return s->chars;
}

size_t slm_py_offset(const struct py_str *s, size_t chars)
{
    size_t n = slm_py_chars(s), i = 0;
    int32_t cp;
    if (chars >= n)
        return s->n;
    if (n == s->n)
        return chars;
    while (chars--)
        i += (size_t)slm_utf8_next(s->s + i, s->n - i, &cp);
    return i;
}

bool slm_py_is(py_val v, const char *s)
{
    return v.t == T_STR && v.s->n == strlen(s) && memcmp(v.s->s, s, v.s->n) == 0;
}

bool slm_py_as_int(py_val v, py_int *out)
{
    if (v.t != T_INT && v.t != T_BOOL)
        return false;
    *out = v.t == T_INT ? v.i : v.b;
    return true;
}

bool slm_py_as_num(py_val v, double *out)
{
    if (!py_is_num(v))
        return false;
    *out = v.t == T_FLOAT ? v.f : v.t == T_INT ? (double)v.i : v.b;
    return true;
}

py_int slm_py_len(struct py_run *r, py_val v)
{
    switch (v.t) {
    case T_UNDEF: return 0;
    case T_STR:
        if (v.s->chars == SIZE_MAX && !slm_py_step(r, v.s->n / 64))
            return 0;
        return (py_int)slm_py_chars(v.s);
    case T_BYTES: return (py_int)v.s->n;
    case T_LIST:
    case T_TUPLE: return (py_int)v.l->n;
    case T_DICT: return (py_int)v.d->n;
    case T_VIEW: return (py_int)v.v->d->n;
    case T_RANGE: return v.r->n;
    default: return v.t >= T_HOST && v.cls->len ? v.cls->len(r, v) : -1;
    }
}

bool slm_py_truth(struct py_run *r, py_val v, bool *out)
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
    default: *out = slm_py_len(r, v) != 0;
    }
    return v.t != T_FAIL && !r->code;
}

const char *slm_py_type_name(py_val v)
{
    static const char *const names[] = {
        [T_FAIL] = "?",          [T_MISSING] = "?",
        [T_UNDEF] = "Undefined", [T_NONE] = "NoneType",
        [T_BOOL] = "bool",       [T_INT] = "int",
        [T_FLOAT] = "float",     [T_STR] = "str",
        [T_BYTES] = "bytes",     [T_LIST] = "list",
        [T_TUPLE] = "tuple",     [T_DICT] = "dict",
        [T_RANGE] = "range",     [T_VIEW] = "dict_items",
        [T_ITER] = "generator",  [T_METHOD] = "builtin_function_or_method"};
    static const char *const views[] = {"dict_keys", "dict_values", "dict_items"};
    if (v.t == T_STR && v.mark)
        return "Markup";
    if (v.t == T_VIEW)
        return views[v.v->what];
    if (v.t >= T_HOST)
        return v.cls->name;
    return v.t == T_ITER ? v.it->type : names[v.t];
}
