/* Attributes, items and slices as the sandbox gives them out: `a.b` looks for an attribute
 * first and an item second, `a['b']` the other way round; what changes an object or begins with
 * an underscore comes back as an undefined value that names the crime. */
#include <string.h>

#include "template/jinja.h"

static bool is(const struct py_str *s, const char *word)
{
    return s->n == strlen(word) && memcmp(s->s, word, s->n) == 0;
}

static bool among(const struct py_str *s, const char *const *words)
{
    for (; *words; words++)
        if (is(s, *words))
            return true;
    return false;
}

static bool changes(int type, const struct py_str *s)
{
    static const char *const list[] = {"append", "clear",  "pop",    "reverse", "insert",
                                       "sort",   "extend", "remove", NULL};
    static const char *const dict[] = {"clear", "pop", "popitem", "setdefault", "update", NULL};
    return (type == T_LIST && among(s, list)) || (type == T_DICT && among(s, dict));
}

/* Underscore names that every object (or one of this type) really has. */
static bool private_attr(py_val obj, const struct py_str *s)
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
    return among(s, all) || (slm_py_iterable(obj) && among(s, sized)) ||
           (slm_jj_callable(obj) && among(s, calls));
}

static py_val names_of(struct py_run *r, const struct jj_list_n *args)
{
    py_val t = slm_py_list(r, T_TUPLE, (size_t)args->n);
    for (int i = 0; !py_bad(t) && i < args->n; i++) {
        py_val s = slm_py_str_view(r, args->v[i]->name->s, args->v[i]->name->n);
        if (py_bad(s) || !slm_py_push(r, t.l, s))
            return py_failed();
    }
    return t;
}

static py_val macro_attr(struct py_run *r, const struct jj_node *n, const struct py_str *s)
{
    bool explicit_caller = false;
    for (int i = 0; i < n->args.n; i++)
        explicit_caller |= is(n->args.v[i]->name, "caller");
    if (is(s, "name"))
        return n->name ? slm_py_str_view(r, n->name->s, n->name->n) : py_none();
    if (is(s, "arguments"))
        return names_of(r, &n->args);
    if (is(s, "catch_kwargs"))
        return py_bool(n->kwargs);
    if (is(s, "catch_varargs"))
        return py_bool(n->varargs);
    if (is(s, "caller"))
        return py_bool(n->caller);
    return is(s, "explicit_caller") ? py_bool(explicit_caller) : (py_val){.t = T_MISSING};
}

static py_val number_attr(py_val v, const struct py_str *s)
{
    py_int i;
    bool whole = slm_py_as_int(v, &i);
    if (is(s, "real"))
        return whole ? py_of_int(i) : v;
    if (is(s, "imag"))
        return whole ? py_of_int(0) : py_float(0);
    if (whole && (is(s, "numerator") || is(s, "denominator")))
        return py_of_int(s->s[0] == 'n' ? i : 1);
    return (py_val){.t = T_MISSING};
}

static py_val block_of(struct py_run *r, const struct py_str *s)
{
    for (int i = 0; i < jj(r)->t->blocks.n; i++) {
        struct jj_node *b = jj(r)->t->blocks.v[i];
        if (b->name->n == s->n && memcmp(b->name->s, s->s, s->n) == 0)
            return jj_object(T_BLOCK, b);
    }
    return (py_val){.t = T_MISSING};
}

static py_val cycler_attr(struct jj_cycler *c, const struct py_str *s)
{
    if (is(s, "current"))
        return c->items.v[c->pos];
    if (is(s, "pos"))
        return py_of_int((py_int)c->pos);
    return (py_val){.t = is(s, "items") ? T_TUPLE : T_MISSING, .l = &c->items};
}

static py_val block_attr(struct py_run *r, const struct jj_node *n, const struct py_str *s)
{
    if (is(s, "name"))
        return slm_py_str_view(r, n->name->s, n->name->n);
    if (is(s, "super"))
        return slm_py_undef_hint(r, "there is no parent block");
    return (py_val){.t = T_MISSING};
}

static py_val object_attr(struct py_run *r, py_val v, const struct py_str *s)
{
    py_val *have;
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
            return py_of_int(s->n == 5 ? v.r->start : s->s[2] == 'o' ? v.r->stop : v.r->step);
        break;
    case T_NS:
        have = slm_py_get_str(v.d, s->s, s->n);
        return have ? *have : (py_val){.t = T_MISSING};
    case T_MACRO: return macro_attr(r, ((struct jj_macro *)v.host)->node, s);
    case T_LOOP: return slm_jj_loop_attr(r, v.host, s->s, s->n);
    case T_CYCLER: return cycler_attr(v.host, s);
    case T_JOINER:
        if (is(s, "sep"))
            return ((struct jj_joiner *)v.host)->sep;
        if (is(s, "used"))
            return py_bool(((struct jj_joiner *)v.host)->used);
        break;
    case T_BLOCK: return block_attr(r, v.host, s);
    default: break;
    }
    return (py_val){.t = T_MISSING};
}

static py_val unsafe(struct py_run *r, py_val obj, py_val name)
{
    py_val u = slm_py_undef(r, obj, name);
    if (!py_bad(u))
        u.u->unsafe = true;
    return u;
}

static py_val name_val(const struct py_str *s)
{
    return (py_val){.t = T_STR, .s = (struct py_str *)(uintptr_t)s};
}

static int method_find(py_val obj, const struct py_str *s)
{
    if (obj.t == T_LOOP)
        return is(s, "cycle") ? MO_CYCLE : is(s, "changed") ? MO_CHANGED : -1;
    if (obj.t == T_CYCLER)
        return is(s, "next") ? MC_NEXT : is(s, "reset") ? MC_RESET : -1;
    return slm_py_method_find(obj, s->s, s->n);
}

/* What getattr() finds on the object itself; T_MISSING when there is nothing. */
static py_val own_attr(struct py_run *r, py_val obj, const struct py_str *name)
{
    if (name->n == 0)
        return (py_val){.t = T_MISSING};
    if (obj.t == T_FUNC && obj.i == F_DICT && is(name, "fromkeys"))
        obj = slm_py_dict(r);
    int id = method_find(obj, name);
    if (id >= 0) {
        struct py_method *m = slm_py_new(r, sizeof *m);
        if (!m)
            return py_failed();
        m->self = obj;
        m->id = id;
        return (py_val){.t = T_METHOD, .m = m};
    }
    if (changes(obj.t, name) || private_attr(obj, name))
        return unsafe(r, obj, name_val(name));
    return object_attr(r, obj, name);
}

static bool index_of(py_val v, py_int n, py_int *i)
{
    if (!slm_py_as_int(v, i))
        return false;
    if (*i < 0)
        *i += n;
    return *i >= 0 && *i < n;
}

/* obj[key]; T_MISSING for what Python answers with TypeError, KeyError or IndexError. */
static py_val item(struct py_run *r, py_val obj, py_val key)
{
    py_int i;
    py_val *have, v;
    switch (obj.t) {
    case T_DICT:
        if (!slm_py_hashable(key))
            break;
        have = slm_py_get(r, obj.d, key);
        return have ? *have : r->code ? py_failed() : (py_val){.t = T_MISSING};
    case T_LIST:
    case T_TUPLE:
        if (index_of(key, (py_int)obj.l->n, &i))
            return obj.l->v[i];
        break;
    case T_RANGE:
        if (index_of(key, obj.r->n, &i))
            return py_of_int(obj.r->start + i * obj.r->step);
        break;
    case T_BYTES:
        if (index_of(key, (py_int)obj.s->n, &i))
            return py_of_int((unsigned char)obj.s->s[i]);
        break;
    case T_STR:
        if (!slm_py_step(r, obj.s->n / 64))
            return py_failed();
        if (!index_of(key, (py_int)slm_py_chars(obj.s), &i))
            break;
        size_t at = slm_py_offset(obj.s, (size_t)i);
        int32_t cp;
        v = slm_py_str_view(r, obj.s->s + at,
                            (size_t)slm_utf8_next(obj.s->s + at, obj.s->n - at, &cp));
        v.mark = obj.mark && !py_bad(v);
        return v;
    case T_SELF:
        if (key.t == T_STR)
            return block_of(r, key.s);
        break;
    default: break;
    }
    return (py_val){.t = T_MISSING};
}

py_val slm_jj_getattr(struct py_run *r, py_val obj, const struct py_str *name)
{
    if (obj.t == T_UNDEF && !private_attr(obj, name))
        return slm_py_undef_error(r, obj);
    py_val v = own_attr(r, obj, name);
    if (v.t == T_MISSING)
        v = item(r, obj, name_val(name));
    return v.t == T_MISSING ? slm_py_undef(r, obj, name_val(name)) : v;
}

py_val slm_jj_getitem(struct py_run *r, py_val obj, py_val key)
{
    if (py_bad(obj) || py_bad(key))
        return py_failed();
    if (obj.t == T_UNDEF)
        return slm_py_undef_error(r, obj);
    py_val v = item(r, obj, key);
    if (v.t == T_MISSING && key.t == T_STR)
        v = own_attr(r, obj, key.s);
    return v.t == T_MISSING ? slm_py_undef(r, obj, key) : v;
}

/* One step of a dotted path: a number where it is all digits. */
static py_val path_part(struct py_run *r, const char *s, size_t n)
{
    py_int i;
    bool all = n > 0 && n < 30;
    for (size_t k = 0; all && k < n; k++)
        all = s[k] >= '0' && s[k] <= '9';
    return all && slm_py_parse_int(s, n, 10, &i) ? py_of_int(i) : slm_py_str_view(r, s, n);
}

py_val slm_jj_path(struct py_run *r, py_val obj, py_val path, py_val fallback)
{
    bool has_fallback = fallback.t != T_MISSING && fallback.t != T_NONE;
    if (path.t == T_MISSING || path.t == T_NONE)
        return obj;
    size_t lo = 0;
    do {
        py_val key = path;
        if (path.t == T_STR) {
            const char *dot = memchr(path.s->s + lo, '.', path.s->n - lo);
            size_t hi = dot ? (size_t)(dot - path.s->s) : path.s->n;
            key = path_part(r, path.s->s + lo, hi - lo);
            lo = hi + 1;
        }
        obj = slm_jj_getitem(r, obj, key);
        if (has_fallback && obj.t == T_UNDEF)
            obj = fallback;
    } while (!py_bad(obj) && path.t == T_STR && lo <= path.s->n);
    return obj;
}
