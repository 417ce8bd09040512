/* Calls of what values can do by themselves: arguments bound to parameters, and the methods of
 * every type but str, whose own file they fill. Which names are methods stands in methods.h. */
#include <string.h>

#include "pyval/pyval.h"
#include "pyval/methods.h"

py_val slm_py_type_error(struct py_run *r, const char *what, const char *why)
{
    return slm_py_fail(r, SLM_E_TEMPLATE, "%s() %s", what, why);
}

/* The i-th name of a blank-separated list. */
static const char *nth_name(const char *names, int i, size_t *n)
{
    while (i-- > 0) {
        names = strchr(names, ' ');
        if (!names)
            return NULL;
        names++;
    }
    const char *end = strchr(names, ' ');
    *n = end ? (size_t)(end - names) : strlen(names);
    return *n ? names : NULL;
}

bool slm_py_bind(struct py_run *r, const struct py_spec *spec, const struct py_args *a,
                 py_val *out)
{
    int count = 0;
    size_t used = 0, n;
    const char *name;
    for (; (name = nth_name(spec->names, count, &n)); count++) {
        py_val *kw = a->kw && count >= spec->pos_only ? slm_py_get_str(a->kw, name, n) : NULL;
        out[count] = (size_t)count < a->n ? a->pos[count] : kw ? *kw : (py_val){.t = T_MISSING};
        if (kw && (size_t)count < a->n) {
            slm_py_type_error(r, spec->what, "got multiple values for an argument");
            return false;
        }
        used += kw != NULL;
        if (out[count].t == T_MISSING && count < spec->required) {
            slm_py_fail(r, SLM_E_TEMPLATE, "%s() missing argument '%.*s'", spec->what, (int)n,
                        name);
            return false;
        }
    }
    if (a->n > (size_t)count) {
        slm_py_fail(r, SLM_E_TEMPLATE, "%s() takes at most %d arguments (%zu given)",
                    spec->what, count, a->n);
        return false;
    }
    if (a->kw && used < a->kw->n) {
        slm_py_type_error(r, spec->what, "got an unexpected keyword argument");
        return false;
    }
    return true;
}

bool slm_py_no_kw(struct py_run *r, const struct py_args *a, const char *what, size_t lo,
                  size_t hi)
{
    if (a->kw && a->kw->n)
        slm_py_type_error(r, what, "takes no keyword arguments");
    else if (a->n < lo || a->n > hi)
        slm_py_fail(r, SLM_E_TEMPLATE, "%s() takes %zu to %zu arguments (%zu given)", what, lo,
                    hi, a->n);
    return !r->code;
}

struct names {
    const char *name;
    int id;
};
#define X(n) {#n, MS_##n},
static const struct names str_methods[] = {PY_STR_METHODS(X){0}};
#undef X
#define X(n) {#n, MB_##n},
static const struct names bytes_methods[] = {PY_BYTES_METHODS(X){0}};
#undef X
#define X(n) {#n, ML_##n},
static const struct names seq_methods[] = {PY_SEQ_METHODS(X){0}};
#undef X
#define X(n) {#n, MD_##n},
static const struct names dict_methods[] = {PY_DICT_METHODS(X){0}};
#undef X
#define X(n) {#n, MN_##n},
static const struct names num_methods[] = {PY_NUM_METHODS(X){0}};
#undef X

int slm_py_method_find(py_val self, const char *name, size_t n)
{
    const struct names *m;
    int type = self.t;
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
    default: return -1;
    }
    for (; m->name; m++)
        if (m->name[0] == name[0] && strlen(m->name) == n && memcmp(m->name, name, n) == 0)
            break;
    if (!m->name)
        return -1;
    bool absent = (m->id == ML_copy && type != T_LIST) ||
                  (type == T_FLOAT && (m->id == MN_bit_length || m->id == MN_bit_count)) ||
                  (type != T_FLOAT && m->id == MN_is_integer) ||
                  (!self.mark && (m->id == MS_unescape || m->id == MS_striptags));
    return absent ? -1 : m->id;
}

/* dict(mapping or pairs, **more) */
py_val slm_py_make_dict(struct py_run *r, const struct py_args *a)
{
    py_val d = slm_py_dict(r), item;
    if (a->n > 1)
        return slm_py_type_error(r, "dict", "takes at most one positional argument");
    if (a->n == 1 && !py_bad(d)) {
        py_val src = a->pos[0];
        if (src.t == T_DICT) {
            for (size_t i = 0; i < src.d->n; i++)
                if (!slm_py_put(r, d.d, src.d->e[i].k, src.d->e[i].v))
                    return py_failed();
        } else {
            struct py_iter *it = slm_py_iter(r, src);
            int more = it ? 0 : -1;
            while (it && (more = slm_py_next(r, it, &item)) > 0) {
                py_val pair = slm_py_collect(r, item, T_TUPLE);
                if (py_bad(pair))
                    return pair;
                if (pair.l->n != 2)
                    return slm_py_fail(
                        r, SLM_E_TEMPLATE,
                        "dictionary update sequence element has length %zu; 2 is required",
                        pair.l->n);
                if (!slm_py_put(r, d.d, pair.l->v[0], pair.l->v[1]))
                    return py_failed();
            }
            if (more < 0)
                return py_failed();
        }
    }
    for (size_t i = 0; !py_bad(d) && a->kw && i < a->kw->n; i++)
        if (!slm_py_put(r, d.d, a->kw->e[i].k, a->kw->e[i].v))
            return py_failed();
    return d;
}

static py_val seq_method(struct py_run *r, py_val self, int id, const struct py_args *a)
{
    py_val item;
    py_int count = 0, at = 0, n = slm_py_len(r, self), lo = 0, hi = n;
    if (id == ML_copy)
        return slm_py_no_kw(r, a, "copy", 0, 0) ? slm_py_collect(r, self, T_LIST) : py_failed();
    if (!slm_py_no_kw(r, a, id == ML_index ? "index" : "count", 1, id == ML_index ? 3 : 1))
        return py_failed();
    if ((a->n > 1 && !slm_py_as_int(a->pos[1], &lo)) ||
        (a->n > 2 && !slm_py_as_int(a->pos[2], &hi)))
        return slm_py_type_error(r, "index", "bounds must be integers");
    lo = lo < 0 ? lo + n : lo;
    hi = hi < 0 ? hi + n : hi;
    struct py_iter *it = slm_py_iter(r, self);
    int more = it ? 0 : -1;
    for (; it && (more = slm_py_next(r, it, &item)) > 0; at++) {
        int same = slm_py_equal(r, item, a->pos[0]);
        if (same < 0)
            return py_failed();
        if (same && id == ML_index && at >= lo && at < hi)
            return py_of_int(at);
        count += same;
    }
    if (more < 0)
        return py_failed();
    return id == ML_count ? py_of_int(count)
                          : slm_py_fail(r, SLM_E_TEMPLATE, "value is not in list");
}

static py_val view(struct py_run *r, struct py_dict *d, int what)
{
    struct py_view *v = slm_py_new(r, sizeof *v);
    if (!v)
        return py_failed();
    *v = (struct py_view){d, what};
    return (py_val){.t = T_VIEW, .v = v};
}

static py_val from_keys(struct py_run *r, const struct py_args *a)
{
    py_val d = slm_py_dict(r), key;
    if (py_bad(d) || !slm_py_no_kw(r, a, "fromkeys", 1, 2))
        return py_failed();
    struct py_iter *it = slm_py_iter(r, a->pos[0]);
    int more = it ? 0 : -1;
    while (it && (more = slm_py_next(r, it, &key)) > 0)
        if (!slm_py_put(r, d.d, key, a->n > 1 ? a->pos[1] : py_none()))
            return py_failed();
    return more < 0 ? py_failed() : d;
}

static py_val dict_method(struct py_run *r, py_val self, int id, const struct py_args *a)
{
    py_val *have;
    switch (id) {
    case MD_get:
        if (!slm_py_no_kw(r, a, "get", 1, 2))
            return py_failed();
        have = slm_py_get(r, self.d, a->pos[0]);
        return have ? *have : r->code ? py_failed() : a->n > 1 ? a->pos[1] : py_none();
    case MD_fromkeys: return from_keys(r, a);
    default:
        if (!slm_py_no_kw(r, a, "dict method", 0, 0))
            return py_failed();
        if (id == MD_copy)
            return slm_py_make_dict(r, &(struct py_args){.pos = &self, .n = 1});
        return view(r, self.d, id == MD_keys ? 0 : id == MD_values ? 1 : 2);
    }
}

static py_val number_method(struct py_run *r, py_val self, int id, const struct py_args *a)
{
    py_int i;
    int n = 0;
    if (!slm_py_no_kw(r, a, "number method", 0, 0))
        return py_failed();
    bool whole = slm_py_as_int(self, &i);
    if (id == MN_conjugate)
        return whole ? py_of_int(i) : self;
    if (id == MN_is_integer)
        return py_bool(whole || self.f == __builtin_floor(self.f));
    if (!whole || id == MN_as_integer_ratio)
        return whole ? slm_py_pair(r, py_of_int(i), py_of_int(1))
                     : slm_py_type_error(r, "as_integer_ratio", "is for integers here");
    for (py_uint u = i < 0 ? -(py_uint)i : (py_uint)i; u; u >>= 1)
        n += id == MN_bit_length ? 1 : (int)(u & 1);
    return py_of_int(n);
}

static py_val bytes_method(struct py_run *r, py_val self, int id, const struct py_args *a)
{
    if (id == MB_decode) {
        if (a->n > 2 || !slm_utf8_valid(self.s->s, self.s->n))
            return slm_py_type_error(r, "decode", "can't decode these bytes as UTF-8");
        return slm_py_str_view(r, self.s->s, self.s->n);
    }
    struct slm_buf b;
    slm_py_buf(r, &b);
    for (size_t i = 0; i < self.s->n; i++)
        slm_buf_printf(&b, "%02x", (unsigned char)self.s->s[i]);
    return slm_py_buf_str(r, &b);
}

py_val slm_py_call_method(struct py_run *r, const struct py_method *m, const struct py_args *a)
{
    switch (m->self.t) {
    case T_STR: return slm_py_str_method(r, m->self, m->id, a);
    case T_BYTES: return bytes_method(r, m->self, m->id, a);
    case T_LIST:
    case T_TUPLE:
    case T_RANGE: return seq_method(r, m->self, m->id, a);
    case T_DICT: return dict_method(r, m->self, m->id, a);
    default: return number_method(r, m->self, m->id, a);
    }
}
