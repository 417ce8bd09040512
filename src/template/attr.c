/* Attributes, items and slices as the sandbox gives them out: `a.b` looks for an attribute
 * first and an item second, `a['b']` the other way round; what changes an object or begins with
 * an underscore comes back as an undefined value that names the crime. */
#include <string.h>

#include "template/jinja.h"
#include "template/methods.h"

struct names {
    const char *name;
    int id;
};
#define X(n) {#n, MS_##n},
static const struct names str_methods[] = {JJ_STR_METHODS(X){0}};
#undef X
#define X(n) {#n, MB_##n},
static const struct names bytes_methods[] = {JJ_BYTES_METHODS(X){0}};
#undef X
#define X(n) {#n, ML_##n},
static const struct names seq_methods[] = {JJ_SEQ_METHODS(X){0}};
#undef X
#define X(n) {#n, MD_##n},
static const struct names dict_methods[] = {JJ_DICT_METHODS(X){0}};
#undef X
#define X(n) {#n, MN_##n},
static const struct names num_methods[] = {JJ_NUM_METHODS(X){0}};
#undef X
#define X(n) {#n, MO_##n},
static const struct names loop_methods[] = {JJ_LOOP_METHODS(X){0}};
#undef X
#define X(n) {#n, MC_##n},
static const struct names cycler_methods[] = {JJ_CYCLER_METHODS(X){0}};
#undef X

static bool is(const struct jj_str *s, const char *word)
{
    return s->n == strlen(word) && memcmp(s->s, word, s->n) == 0;
}

static bool among(const struct jj_str *s, const char *const *words)
{
    for (; *words; words++)
        if (is(s, *words))
            return true;
    return false;
}

int slm_jj_method_find(int type, const char *name, size_t n)
{
    const struct names *m;
    switch (type) {
    case T_STR: m = str_methods; break;
    case T_BYTES: m = bytes_methods; break;
    case T_LIST:
    case T_TUPLE:
    case T_RANGE: m = seq_methods; break;
    case T_DICT: m = dict_methods; break;
    case T_BOOL:
    case T_INT:
    case T_FLOAT: m = num_methods; break;
    case T_LOOP: m = loop_methods; break;
    case T_CYCLER: m = cycler_methods; break;
    default: return -1;
    }
    for (; m->name; m++)
        if (m->name[0] == name[0] && strlen(m->name) == n && memcmp(m->name, name, n) == 0)
            break;
    if (!m->name)
        return -1;
    bool absent = (m->id == ML_copy && type != T_LIST) ||
                  (type == T_FLOAT && (m->id == MN_bit_length || m->id == MN_bit_count)) ||
                  (type != T_FLOAT && m->id == MN_is_integer && type != T_FLOAT);
    return absent ? -1 : m->id;
}

static bool changes(int type, const struct jj_str *s)
{
    static const char *const list[] = {"append", "clear",  "pop",    "reverse", "insert",
                                       "sort",   "extend", "remove", NULL};
    static const char *const dict[] = {"clear", "pop", "popitem", "setdefault", "update", NULL};
    return (type == T_LIST && among(s, list)) || (type == T_DICT && among(s, dict));
}

/* Underscore names that every object (or one of this type) really has. */
static bool private_attr(jj_val obj, const struct jj_str *s)
{
    static const char *const all[] = {
        "__class__",   "__delattr__", "__dir__",           "__doc__",          "__eq__",
        "__format__",  "__ge__",      "__getattribute__",  "__getstate__",     "__gt__",
        "__hash__",    "__init__",    "__init_subclass__", "__le__",           "__lt__",
        "__ne__",      "__new__",     "__reduce__",        "__reduce_ex__",    "__repr__",
        "__setattr__", "__sizeof__",  "__str__",           "__subclasshook__", NULL};
    static const char *const sized[] = {"__len__", "__iter__", "__contains__", "__getitem__",
                                        NULL};
    static const char *const calls[] = {"__call__", "__name__",   "__qualname__",
                                        "__self__", "__module__", NULL};
    if (s->n < 5 || s->s[0] != '_' || s->s[1] != '_')
        return false;
    if (obj.t == T_NS)
        return is(s, "__class__");
    return among(s, all) || (slm_jj_iterable(obj) && among(s, sized)) ||
           (slm_jj_callable(obj) && among(s, calls));
}

static jj_val names_of(struct jj_run *r, const struct jj_list_n *args)
{
    jj_val t = slm_jj_list(r, T_TUPLE, (size_t)args->n);
    for (int i = 0; !jj_bad(t) && i < args->n; i++) {
        jj_val s = slm_jj_str_view(r, args->v[i]->name->s, args->v[i]->name->n);
        if (jj_bad(s) || !slm_jj_push(r, t.l, s))
            return jj_failed();
    }
    return t;
}

static jj_val macro_attr(struct jj_run *r, const struct jj_node *n, const struct jj_str *s)
{
    bool explicit_caller = false;
    for (int i = 0; i < n->args.n; i++)
        explicit_caller |= is(n->args.v[i]->name, "caller");
    if (is(s, "name"))
        return n->name ? slm_jj_str_view(r, n->name->s, n->name->n) : jj_none();
    if (is(s, "arguments"))
        return names_of(r, &n->args);
    if (is(s, "catch_kwargs"))
        return jj_bool(n->kwargs);
    if (is(s, "catch_varargs"))
        return jj_bool(n->varargs);
    if (is(s, "caller"))
        return jj_bool(n->caller);
    return is(s, "explicit_caller") ? jj_bool(explicit_caller) : (jj_val){.t = T_MISSING};
}

static jj_val number_attr(jj_val v, const struct jj_str *s)
{
    jj_int i;
    bool whole = slm_jj_as_int(v, &i);
    if (is(s, "real"))
        return whole ? jj_of_int(i) : v;
    if (is(s, "imag"))
        return whole ? jj_of_int(0) : jj_float(0);
    if (whole && (is(s, "numerator") || is(s, "denominator")))
        return jj_of_int(s->s[0] == 'n' ? i : 1);
    return (jj_val){.t = T_MISSING};
}

static jj_val block_of(struct jj_run *r, const struct jj_str *s)
{
    for (int i = 0; i < r->t->blocks.n; i++) {
        struct jj_node *b = r->t->blocks.v[i];
        if (b->name->n == s->n && memcmp(b->name->s, s->s, s->n) == 0)
            return (jj_val){.t = T_BLOCK, .node = b};
    }
    return (jj_val){.t = T_MISSING};
}

static jj_val object_attr(struct jj_run *r, jj_val v, const struct jj_str *s)
{
    jj_val *have;
    switch (v.t) {
    case T_BOOL:
    case T_INT:
    case T_FLOAT: return number_attr(v, s);
    case T_TUPLE:
        if (v.mark && (is(s, "grouper") || is(s, "list")))
            return v.l->v[is(s, "list")];
        break;
    case T_RANGE:
        if (is(s, "start") || is(s, "stop") || is(s, "step"))
            return jj_of_int(s->n == 5 ? v.r->start : s->s[2] == 'o' ? v.r->stop : v.r->step);
        break;
    case T_NS:
        have = slm_jj_get_str(v.d, s->s, s->n);
        return have ? *have : (jj_val){.t = T_MISSING};
    case T_MACRO: return macro_attr(r, v.mac->node, s);
    case T_LOOP: return slm_jj_loop_attr(r, v.loop, s->s, s->n);
    case T_CYCLER:
        if (is(s, "current"))
            return v.cyc->items.v[v.cyc->pos];
        if (is(s, "pos"))
            return jj_of_int((jj_int)v.cyc->pos);
        if (is(s, "items"))
            return (jj_val){.t = T_TUPLE, .l = &v.cyc->items};
        break;
    case T_JOINER:
        if (is(s, "sep"))
            return v.join->sep;
        if (is(s, "used"))
            return jj_bool(v.join->used);
        break;
    case T_BLOCK:
        if (is(s, "name"))
            return slm_jj_str_view(r, v.node->name->s, v.node->name->n);
        if (is(s, "super"))
            return slm_jj_undef_hint(r, "there is no parent block");
        break;
    default: break;
    }
    return (jj_val){.t = T_MISSING};
}

static jj_val unsafe(struct jj_run *r, jj_val obj, jj_val name)
{
    jj_val u = slm_jj_undef(r, obj, name);
    if (!jj_bad(u))
        u.u->unsafe = true;
    return u;
}

static jj_val name_val(const struct jj_str *s)
{
    return (jj_val){.t = T_STR, .s = (struct jj_str *)(uintptr_t)s};
}

/* What getattr() finds on the object itself; T_MISSING when there is nothing. */
static jj_val own_attr(struct jj_run *r, jj_val obj, const struct jj_str *name)
{
    if (name->n == 0)
        return (jj_val){.t = T_MISSING};
    if (obj.t == T_FUNC && obj.func == F_DICT && is(name, "fromkeys"))
        obj = slm_jj_dict(r);
    int id = slm_jj_method_find(obj.t, name->s, name->n);
    if (id == MS_unescape || id == MS_striptags)
        id = obj.mark ? id : -1;
    if (id >= 0) {
        struct jj_method *m = slm_jj_new(r, sizeof *m);
        if (!m)
            return jj_failed();
        m->self = obj;
        m->id = id;
        return (jj_val){.t = T_METHOD, .m = m};
    }
    if (changes(obj.t, name) || private_attr(obj, name))
        return unsafe(r, obj, name_val(name));
    return object_attr(r, obj, name);
}

static bool index_of(jj_val v, jj_int n, jj_int *i)
{
    if (!slm_jj_as_int(v, i))
        return false;
    if (*i < 0)
        *i += n;
    return *i >= 0 && *i < n;
}

/* obj[key]; T_MISSING for what Python answers with TypeError, KeyError or IndexError. */
static jj_val item(struct jj_run *r, jj_val obj, jj_val key)
{
    jj_int i;
    jj_val *have, v;
    switch (obj.t) {
    case T_DICT:
        if (!slm_jj_hashable(key))
            break;
        have = slm_jj_get(r, obj.d, key);
        return have ? *have : r->code ? jj_failed() : (jj_val){.t = T_MISSING};
    case T_LIST:
    case T_TUPLE:
        if (index_of(key, (jj_int)obj.l->n, &i))
            return obj.l->v[i];
        break;
    case T_RANGE:
        if (index_of(key, obj.r->n, &i))
            return jj_of_int(obj.r->start + i * obj.r->step);
        break;
    case T_BYTES:
        if (index_of(key, (jj_int)obj.s->n, &i))
            return jj_of_int((unsigned char)obj.s->s[i]);
        break;
    case T_STR:
        if (!slm_jj_step(r, obj.s->n / 64))
            return jj_failed();
        if (!index_of(key, (jj_int)slm_jj_chars(obj.s), &i))
            break;
        size_t at = slm_jj_offset(obj.s, (size_t)i);
        int32_t cp;
        v = slm_jj_str_view(r, obj.s->s + at,
                            (size_t)slm_utf8_next(obj.s->s + at, obj.s->n - at, &cp));
        v.mark = obj.mark && !jj_bad(v);
        return v;
    case T_SELF:
        if (key.t == T_STR)
            return block_of(r, key.s);
        break;
    default: break;
    }
    return (jj_val){.t = T_MISSING};
}

jj_val slm_jj_getattr(struct jj_run *r, jj_val obj, const struct jj_str *name)
{
    if (obj.t == T_UNDEF && !private_attr(obj, name))
        return slm_jj_undef_error(r, obj);
    jj_val v = own_attr(r, obj, name);
    if (v.t == T_MISSING)
        v = item(r, obj, name_val(name));
    return v.t == T_MISSING ? slm_jj_undef(r, obj, name_val(name)) : v;
}

jj_val slm_jj_getitem(struct jj_run *r, jj_val obj, jj_val key)
{
    if (jj_bad(obj) || jj_bad(key))
        return jj_failed();
    if (obj.t == T_UNDEF)
        return slm_jj_undef_error(r, obj);
    jj_val v = item(r, obj, key);
    if (v.t == T_MISSING && key.t == T_STR)
        v = own_attr(r, obj, key.s);
    return v.t == T_MISSING ? slm_jj_undef(r, obj, key) : v;
}

/* One step of a dotted path: a number where it is all digits. */
static jj_val path_part(struct jj_run *r, const char *s, size_t n)
{
    jj_int i;
    bool all = n > 0 && n < 30;
    for (size_t k = 0; all && k < n; k++)
        all = s[k] >= '0' && s[k] <= '9';
    return all && slm_jj_parse_int(s, n, 10, &i) ? jj_of_int(i) : slm_jj_str_view(r, s, n);
}

jj_val slm_jj_path(struct jj_run *r, jj_val obj, jj_val path, jj_val fallback)
{
    bool has_fallback = fallback.t != T_MISSING && fallback.t != T_NONE;
    if (path.t == T_MISSING || path.t == T_NONE)
        return obj;
    size_t lo = 0;
    do {
        jj_val key = path;
        if (path.t == T_STR) {
            const char *dot = memchr(path.s->s + lo, '.', path.s->n - lo);
            size_t hi = dot ? (size_t)(dot - path.s->s) : path.s->n;
            key = path_part(r, path.s->s + lo, hi - lo);
            lo = hi + 1;
        }
        obj = slm_jj_getitem(r, obj, key);
        if (has_fallback && obj.t == T_UNDEF)
            obj = fallback;
    } while (!jj_bad(obj) && path.t == T_STR && lo <= path.s->n);
    return obj;
}

/* Python's slice.indices: bounds clipped to n; how many items. -1: failed. */
static jj_int slice_bounds(struct jj_run *r, const jj_val *b, jj_int n, jj_int *start,
                           jj_int *step)
{
    jj_int v[3], stop;
    bool has[3];
    for (int k = 0; k < 3; k++) {
        has[k] = b[k].t != T_NONE && b[k].t != T_MISSING;
        if (has[k] && !slm_jj_as_int(b[k], &v[k])) {
            if (b[k].t == T_UNDEF)
                slm_jj_undef_error(r, b[k]);
            slm_jj_fail(r, SLM_E_TEMPLATE, "slice indices must be integers or None");
            return -1;
        }
    }
    *step = has[2] ? v[2] : 1;
    if (*step == 0) {
        slm_jj_fail(r, SLM_E_TEMPLATE, "slice step cannot be zero");
        return -1;
    }
    if (*step > n + 1 || *step < -n - 1)
        *step = *step > 0 ? n + 1 : -n - 1;
    jj_int lo = *step > 0 ? 0 : -1, hi = *step > 0 ? n : n - 1;
    for (int k = 0; k < 2; k++)
        if (has[k]) {
            if (v[k] < 0)
                v[k] = v[k] < -n ? lo : v[k] + n;
            v[k] = v[k] < lo ? lo : v[k] > hi ? hi : v[k];
        }
    *start = has[0] ? v[0] : *step > 0 ? lo : hi;
    stop = has[1] ? v[1] : *step > 0 ? hi : lo;
    if (*step > 0 ? *start >= stop : *start <= stop)
        return 0;
    return *step > 0 ? (stop - *start - 1) / *step + 1 : (*start - stop - 1) / -*step + 1;
}

static jj_val slice_str(struct jj_run *r, jj_val s, jj_int start, jj_int step, jj_int n)
{
    if (!slm_jj_step(r, (uint64_t)n + s.s->n / 64))
        return jj_failed();
    if (step == 1 || n == 0) {
        size_t lo = n ? slm_jj_offset(s.s, (size_t)start) : 0;
        size_t hi = n ? slm_jj_offset(s.s, (size_t)(start + n)) : 0;
        return slm_jj_str_view(r, s.s->s + lo, hi - lo);
    }
    /* walk the whole string once, keeping where each character starts */
    size_t chars = slm_jj_chars(s.s), *at = slm_jj_new_n(r, chars + 1, sizeof *at), i = 0;
    char *out = at ? slm_jj_new(r, s.s->n) : NULL;
    size_t m = 0;
    int32_t cp;
    if (!out)
        return jj_failed();
    for (size_t k = 0; k < chars; k++) {
        at[k] = i;
        i += (size_t)slm_utf8_next(s.s->s + i, s.s->n - i, &cp);
    }
    at[chars] = s.s->n;
    for (jj_int k = 0, p = start; k < n; k++, p += step) {
        size_t len = at[p + 1] - at[p];
        memcpy(out + m, s.s->s + at[p], len);
        m += len;
    }
    return slm_jj_str_view(r, out, m);
}

jj_val slm_jj_slice(struct jj_run *r, jj_val obj, const jj_val *bounds)
{
    jj_int start = 0, step = 1, n, len;
    if (obj.t == T_UNDEF)
        return slm_jj_undef_error(r, obj);
    if (obj.t != T_STR && obj.t != T_RANGE && !jj_is_seq(obj))
        return slm_jj_fail(r, SLM_E_TEMPLATE, "'%s' object is not subscriptable by a slice",
                           slm_jj_type_name(obj));
    len = slm_jj_len(r, obj);
    n = slice_bounds(r, bounds, len, &start, &step);
    if (n < 0)
        return jj_failed();
    if (obj.t == T_STR) {
        jj_val v = slice_str(r, obj, start, step, n);
        v.mark = obj.mark && !jj_bad(v);
        return v;
    }
    if (obj.t == T_RANGE) {
        struct jj_range *g = slm_jj_new(r, sizeof *g);
        if (!g)
            return jj_failed();
        *g = (struct jj_range){obj.r->start + start * obj.r->step, 0, obj.r->step * step, n};
        g->stop = g->start + n * g->step;
        return (jj_val){.t = T_RANGE, .r = g};
    }
    jj_val v = slm_jj_list(r, obj.t, (size_t)n);
    for (jj_int k = 0; !jj_bad(v) && k < n; k++)
        v.l->v[v.l->n++] = obj.l->v[start + k * step];
    return slm_jj_step(r, (uint64_t)n / 8) ? v : jj_failed();
}
