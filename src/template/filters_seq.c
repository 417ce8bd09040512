/* The filters on sequences and mappings. */
#include <string.h>

#include "template/jinja.h"

static const py_val missing = {.t = T_MISSING};

static bool int_arg(struct py_run *r, py_val v, const char *what, py_int *out)
{
    if (slm_py_as_int(v, out))
        return true;
    if (v.t == T_UNDEF)
        slm_py_undef_error(r, v);
    slm_py_fail(r, SLM_E_TEMPLATE, "%s: an integer is required, not %s", what,
                slm_py_type_name(v));
    return false;
}

static py_val iterator(struct py_iter *it)
{
    return it ? (py_val){.t = T_ITER, .it = it} : py_failed();
}

static py_val generator(struct jj_gen *g) { return iterator(g ? &g->it : NULL); }

/* The key a sorting filter compares by: an attribute's path, folded unless case matters. */
static py_val key_of(struct py_run *r, py_val v, py_val path, py_val fallback, bool sensitive)
{
    v = slm_jj_path(r, v, path, fallback);
    return v.t == T_STR && !sensitive ? slm_py_recase(r, v, CASE_LOWER) : v;
}

/* sort(attribute="a,b.c"): a list of keys. */
static py_val multi_key(struct py_run *r, py_val v, py_val path, bool sensitive)
{
    py_val keys = slm_py_list(r, T_LIST, 1);
    size_t lo = 0;
    if (path.t != T_STR) {
        py_val k = key_of(r, v, path, missing, sensitive);
        return py_bad(keys) || py_bad(k) || !slm_py_push(r, keys.l, k) ? py_failed() : keys;
    }
    while (!py_bad(keys) && lo <= path.s->n) {
        const char *comma = memchr(path.s->s + lo, ',', path.s->n - lo);
        size_t hi = comma ? (size_t)(comma - path.s->s) : path.s->n;
        py_val part = slm_py_str_view(r, path.s->s + lo, hi - lo);
        py_val k = py_bad(part) ? part : key_of(r, v, part, missing, sensitive);
        if (py_bad(k) || !slm_py_push(r, keys.l, k))
            return py_failed();
        lo = hi + 1;
    }
    return keys;
}

/* sorted()'s reverse wants an integer, not just truth. */
static bool reverse_arg(struct py_run *r, py_val v, bool *out)
{
    py_int i = 0;
    if (v.t != T_MISSING && !slm_py_as_int(v, &i)) {
        slm_py_fail(r, SLM_E_TEMPLATE, "'%s' object cannot be interpreted as an integer",
                    slm_py_type_name(v));
        return false;
    }
    *out = i != 0;
    return true;
}

static py_val f_sort(struct py_run *r, py_val v, const struct py_args *a)
{
    static const struct py_spec spec = {"sort", "reverse case_sensitive attribute", 0, 0};
    py_val o[3], list, *keys;
    bool reverse, sensitive;
    if (!slm_py_bind(r, &spec, a, o) || !reverse_arg(r, o[0], &reverse) ||
        !slm_py_truth(r, o[1], &sensitive) || py_bad(list = slm_py_collect(r, v, T_LIST)) ||
        !(keys = slm_py_new_n(r, list.l->n, sizeof *keys)))
        return py_failed();
    for (size_t i = 0; i < list.l->n; i++)
        if (py_bad(keys[i] = multi_key(r, list.l->v[i], o[2], sensitive)))
            return py_failed();
    return slm_py_sort(r, list.l->v, keys, list.l->n, reverse) ? list : py_failed();
}

static py_val f_dictsort(struct py_run *r, py_val v, const struct py_args *a)
{
    static const struct py_spec spec = {"dictsort", "case_sensitive by reverse", 0, 0};
    py_val o[3], list, *keys;
    bool sensitive, reverse;
    if (!slm_py_bind(r, &spec, a, o) || !slm_py_truth(r, o[0], &sensitive) ||
        !reverse_arg(r, o[2], &reverse))
        return py_failed();
    bool by_value = slm_py_is(o[1], "value");
    if (o[1].t != T_MISSING && !by_value && !slm_py_is(o[1], "key"))
        return slm_py_fail(r, SLM_E_TEMPLATE,
                           "You can only sort by either \"key\" or \"value\"");
    if (v.t != T_DICT)
        return v.t == T_UNDEF
                   ? slm_py_undef_error(r, v)
                   : slm_py_fail(r, SLM_E_TEMPLATE, "'%s' object has no attribute 'items'",
                                 slm_py_type_name(v));
    list = slm_py_list(r, T_LIST, v.d->n);
    keys = slm_py_new_n(r, v.d->n, sizeof *keys);
    if (py_bad(list) || !keys)
        return py_failed();
    for (size_t i = 0; i < v.d->n; i++) {
        py_val pair = slm_py_pair(r, v.d->e[i].k, v.d->e[i].v);
        keys[i] = py_bad(pair) ? pair
                               : key_of(r, by_value ? v.d->e[i].v : v.d->e[i].k, missing,
                                        missing, sensitive);
        if (py_bad(keys[i]))
            return py_failed();
        list.l->v[list.l->n++] = pair;
    }
    return slm_py_sort(r, list.l->v, keys, list.l->n, reverse) ? list : py_failed();
}

static py_val f_unique(struct py_run *r, py_val v, const struct py_args *a)
{
    static const struct py_spec spec = {"unique", "case_sensitive attribute", 0, 0};
    py_val o[2], seen = slm_py_dict(r);
    bool sensitive;
    if (py_bad(seen) || !slm_py_bind(r, &spec, a, o) || !slm_py_truth(r, o[0], &sensitive))
        return py_failed();
    struct jj_gen *g = slm_jj_generator(r, G_UNIQUE, v);
    if (g) {
        g->seen = seen.d;
        g->key = o[1];
        g->negate = sensitive;
    }
    return generator(g);
}

static py_val min_max(struct py_run *r, py_val v, const struct py_args *a, bool max)
{
    static const struct py_spec spec = {"min", "case_sensitive attribute", 0, 0};
    py_val o[2], item, best = missing, best_key = missing;
    bool sensitive;
    if (!slm_py_bind(r, &spec, a, o) || !slm_py_truth(r, o[0], &sensitive))
        return py_failed();
    struct py_iter *it = slm_py_iter(r, v);
    int more = it ? 0 : -1;
    while (it && (more = slm_py_next(r, it, &item)) > 0) {
        py_val k = key_of(r, item, o[1], missing, sensitive);
        if (py_bad(k))
            return k;
        int better = 1;
        if (best.t != T_MISSING)
            better = slm_py_compare(r, max ? OP_GT : OP_LT, k, best_key);
        if (better < 0)
            return py_failed();
        if (better) {
            best = item;
            best_key = k;
        }
    }
    if (more < 0)
        return py_failed();
    return best.t == T_MISSING ? slm_py_undef_hint(r, "No aggregated item, sequence was empty.")
                               : best;
}

static py_val f_min(struct py_run *r, py_val v, const struct py_args *a)
{
    return min_max(r, v, a, false);
}
static py_val f_max(struct py_run *r, py_val v, const struct py_args *a)
{
    return min_max(r, v, a, true);
}

static py_val f_groupby(struct py_run *r, py_val v, const struct py_args *a)
{
    static const struct py_spec spec = {"groupby", "attribute default case_sensitive", 1, 0};
    py_val o[3], list, groups, *keys, *copy;
    bool sensitive;
    if (!slm_py_bind(r, &spec, a, o) || !slm_py_truth(r, o[2], &sensitive) ||
        py_bad(list = slm_py_collect(r, v, T_LIST)) ||
        py_bad(groups = slm_py_list(r, T_LIST, 0)))
        return py_failed();
    size_t n = list.l->n;
    if (!(keys = slm_py_new_n(r, n, sizeof *keys)) ||
        !(copy = slm_py_new_n(r, n, sizeof *copy)))
        return py_failed();
    for (size_t i = 0; i < n; i++)
        if (py_bad(keys[i] = copy[i] = key_of(r, list.l->v[i], o[0], o[1], sensitive)))
            return py_failed();
    if (!slm_py_sort(r, list.l->v, keys, n, false) || !slm_py_sort(r, copy, NULL, n, false))
        return py_failed();
    for (size_t i = 0, hi; i < n; i = hi) {
        py_val members = slm_py_list(r, T_LIST, 0);
        int same = 1;
        for (hi = i; hi < n && (hi == i || (same = slm_py_equal(r, copy[i], copy[hi])) > 0);
             hi++)
            if (py_bad(members) || !slm_py_push(r, members.l, list.l->v[hi]))
                return py_failed();
        py_val key = sensitive ? copy[i] : slm_jj_path(r, list.l->v[i], o[0], o[1]);
        py_val group = same < 0 || py_bad(key) ? py_failed() : slm_py_pair(r, key, members);
        group.mark = true;
        if (py_bad(group) || !slm_py_push(r, groups.l, group))
            return py_failed();
    }
    return groups;
}

static py_val f_join(struct py_run *r, py_val v, const struct py_args *a)
{
    static const struct py_spec spec = {"join", "d attribute", 0, 0};
    py_val o[2];
    if (!slm_py_bind(r, &spec, a, o))
        return py_failed();
    if (o[1].t != T_MISSING && o[1].t != T_NONE) {
        struct jj_gen *g = slm_jj_generator(r, G_MAP, slm_py_collect(r, v, T_LIST));
        if (!g || py_bad(g->it.src))
            return py_failed();
        g->attr = true;
        g->key = o[1];
        g->fill = missing;
        v = generator(g);
    }
    py_val sep = o[0].t == T_MISSING ? slm_py_strz(r, "") : slm_py_soft_str(r, o[0]);
    if (!jj(r)->autoescape)
        sep.mark = false;
    if (jj(r)->autoescape && !py_bad(sep) && !sep.mark) {
        if (py_bad(v = slm_py_collect(r, v, T_LIST)))
            return v;
        for (size_t i = 0; i < v.l->n && !sep.mark; i++)
            if (v.l->v[i].t == T_STR && v.l->v[i].mark)
                sep = slm_py_escape(r, sep);
    }
    return py_bad(sep) ? sep : slm_py_join(r, sep, v, false);
}

static py_val f_first(struct py_run *r, py_val v, const struct py_args *a)
{
    py_val item;
    struct py_iter *it = slm_py_no_kw(r, a, "first", 0, 0) ? slm_py_iter(r, v) : NULL;
    int more = it ? slm_py_next(r, it, &item) : -1;
    if (more < 0)
        return py_failed();
    return more ? item : slm_py_undef_hint(r, "No first item, sequence was empty.");
}

/* The end that reversed() would begin with; only what has an order from behind. */
static py_val f_last(struct py_run *r, py_val v, const struct py_args *a)
{
    if (!slm_py_no_kw(r, a, "last", 0, 0))
        return py_failed();
    if (v.t == T_STR)
        return v.s->n ? slm_jj_getitem(r, v, py_of_int(-1))
                      : slm_py_undef_hint(r, "No last item, sequence was empty.");
    if (v.t == T_UNDEF)
        return slm_py_undef_hint(r, "No last item, sequence was empty.");
    if (!py_is_seq(v) && v.t != T_DICT && v.t != T_RANGE && v.t != T_VIEW)
        return slm_py_fail(r, SLM_E_TEMPLATE, "'%s' object is not reversible",
                           slm_py_type_name(v));
    struct py_iter *it = slm_py_iter_new(r, I_REVERSED, v);
    py_val item;
    int more = it ? slm_py_next(r, it, &item) : -1;
    return more < 0 ? py_failed()
           : more   ? item
                    : slm_py_undef_hint(r, "No last item, sequence was empty.");
}

static py_val f_reverse(struct py_run *r, py_val v, const struct py_args *a)
{
    py_val bounds[3] = {py_none(), py_none(), py_of_int(-1)};
    if (!slm_py_no_kw(r, a, "reverse", 0, 0))
        return py_failed();
    if (v.t == T_STR)
        return slm_py_slice(r, v, bounds);
    if (py_is_seq(v) || v.t == T_DICT || v.t == T_RANGE || v.t == T_VIEW) {
        struct py_iter *it = slm_py_iter_new(r, I_REVERSED, v);
        if (it)
            it->type = v.t == T_LIST    ? "list_reverseiterator"
                       : v.t == T_TUPLE ? "reversed"
                                        : "reverseiterator";
        return iterator(it);
    }
    if (!slm_py_iterable(v))
        return slm_py_fail(r, SLM_E_TEMPLATE, "argument must be iterable");
    v = slm_py_collect(r, v, T_LIST);
    return py_bad(v) ? v : slm_py_slice(r, v, bounds);
}

static py_val f_length(struct py_run *r, py_val v, const struct py_args *a)
{
    if (!slm_py_no_kw(r, a, "len", 0, 0))
        return py_failed();
    py_int n = slm_py_len(r, v);
    return n < 0 ? slm_py_fail(r, SLM_E_TEMPLATE, "object of type '%s' has no len()",
                               slm_py_type_name(v))
                 : py_of_int(n);
}

static py_val f_list(struct py_run *r, py_val v, const struct py_args *a)
{
    return slm_py_no_kw(r, a, "list", 0, 0) ? slm_py_collect(r, v, T_LIST) : py_failed();
}

static py_val f_items(struct py_run *r, py_val v, const struct py_args *a)
{
    return slm_py_no_kw(r, a, "items", 0, 0) ? iterator(slm_py_iter_new(r, I_ITEMS, v))
                                             : py_failed();
}

/* The arguments of a call without the first `skip`. */
static struct py_args rest(const struct py_args *a, size_t skip)
{
    struct py_args b = *a;
    b.pos += a->n < skip ? a->n : skip;
    b.n -= a->n < skip ? a->n : skip;
    return b;
}

static py_val f_map(struct py_run *r, py_val v, const struct py_args *a)
{
    struct jj_gen *g = slm_jj_generator(r, G_MAP, v);
    py_val *path = a->kw && !a->n ? slm_py_get_str(a->kw, "attribute", 9) : NULL;
    if (!g)
        return py_failed();
    g->key = a->n ? a->pos[0] : missing;
    g->args = rest(a, 1);
    if (path) {
        py_val *fill = slm_py_get_str(a->kw, "default", 7);
        if (a->kw->n > 1 + (fill != NULL))
            return slm_py_fail(r, SLM_E_TEMPLATE, "map: unexpected keyword argument");
        g->attr = true;
        g->key = *path;
        g->fill = fill ? *fill : missing;
    }
    return generator(g);
}

static py_val select(struct py_run *r, py_val v, const struct py_args *a, bool negate,
                     bool attr)
{
    struct jj_gen *g = slm_jj_generator(r, G_SELECT, v);
    size_t off = attr;
    if (!g)
        return py_failed();
    g->negate = negate;
    g->attr = attr;
    if (attr && !a->n) {
        /* the missing attribute is found out when the generator runs, and then only if it has
         * work */
        g->key = py_none();
        g->fill = missing;
        return generator(g);
    }
    g->fill = attr ? a->pos[0] : missing;
    g->key = a->n > off ? a->pos[off] : missing;
    g->args = rest(a, off + 1);
    return generator(g);
}

static py_val f_select(struct py_run *r, py_val v, const struct py_args *a)
{
    return select(r, v, a, false, false);
}
static py_val f_reject(struct py_run *r, py_val v, const struct py_args *a)
{
    return select(r, v, a, true, false);
}
static py_val f_selectattr(struct py_run *r, py_val v, const struct py_args *a)
{
    return select(r, v, a, false, true);
}
static py_val f_rejectattr(struct py_run *r, py_val v, const struct py_args *a)
{
    return select(r, v, a, true, true);
}

static py_val chunks(struct py_run *r, py_val v, const struct py_args *a, int kind)
{
    static const struct py_spec batch = {"batch", "linecount fill_with", 1, 0},
                                slice = {"slice", "slices fill_with", 1, 0};
    py_val o[2];
    struct jj_gen *g = slm_jj_generator(r, kind, v);
    if (!g || !slm_py_bind(r, kind == G_BATCH ? &batch : &slice, a, o))
        return py_failed();
    if (!slm_py_as_int(o[0], &g->count)) {
        if (kind == G_SLICE || o[0].t != T_FLOAT)
            return int_arg(r, o[0], "batch", &g->count) ? py_failed() : py_failed();
        g->count = -1;
    }
    g->fill = o[1].t == T_MISSING ? py_none() : o[1];
    return generator(g);
}

static py_val f_batch(struct py_run *r, py_val v, const struct py_args *a)
{
    return chunks(r, v, a, G_BATCH);
}
static py_val f_slice(struct py_run *r, py_val v, const struct py_args *a)
{
    return chunks(r, v, a, G_SLICE);
}

static py_val f_sum(struct py_run *r, py_val v, const struct py_args *a)
{
    static const struct py_spec spec = {"sum", "attribute start", 0, 0};
    py_val o[2], item;
    if (!slm_py_bind(r, &spec, a, o))
        return py_failed();
    py_val total = o[1].t == T_MISSING ? py_of_int(0) : o[1];
    if (total.t == T_STR)
        return slm_py_fail(r, SLM_E_TEMPLATE,
                           "sum() can't sum strings [use ''.join(seq) instead]");
    struct py_iter *it = slm_py_iter(r, v);
    int more = it ? 0 : -1;
    while (it && (more = slm_py_next(r, it, &item)) > 0) {
        item = slm_jj_path(r, item, o[0], missing);
        if (py_bad(item) || py_bad(total = slm_py_binary(r, OP_ADD, total, item)))
            return py_failed();
    }
    return more < 0 ? py_failed() : total;
}

static py_val f_attr(struct py_run *r, py_val v, const struct py_args *a)
{
    static const struct py_spec spec = {"attr", "name", 1, 0};
    py_val o;
    if (!slm_py_bind(r, &spec, a, &o))
        return py_failed();
    if (o.t != T_STR)
        return slm_py_fail(r, SLM_E_TEMPLATE, "attribute name must be string, not '%s'",
                           slm_py_type_name(o));
    py_val got = slm_jj_getattr(r, v, o.s);
    /* an item of that name does not count here */
    if (v.t == T_DICT && got.t != T_UNDEF && got.t != T_METHOD && !py_bad(got))
        return slm_py_undef(r, v, o);
    return got;
}

static py_val f_random(struct py_run *r, py_val v, const struct py_args *a)
{
    if (!slm_py_no_kw(r, a, "random", 0, 0))
        return py_failed();
    py_int n = slm_py_len(r, v);
    if (n < 0 || v.t == T_VIEW)
        return slm_py_fail(r, SLM_E_TEMPLATE, "object of type '%s' has no len()",
                           slm_py_type_name(v));
    if (n == 0)
        return slm_py_undef_hint(r, "No random item, sequence was empty.");
    return slm_jj_getitem(r, v, py_of_int((py_int)slm_rng_below(&jj(r)->rng, (uint64_t)n)));
}

static py_val f_pprint(struct py_run *r, py_val v, const struct py_args *a)
{
    struct slm_buf b;
    if (!slm_py_no_kw(r, a, "pprint", 0, 0))
        return py_failed();
    slm_py_buf(r, &b);
    slm_py_put_repr_sorted(r, &b, v);
    return slm_py_buf_str(r, &b);
}

const struct jj_filter slm_jj_seq_filters[] = {
    {"attr", f_attr},         {"batch", f_batch},   {"count", f_length},
    {"dictsort", f_dictsort}, {"first", f_first},   {"groupby", f_groupby},
    {"items", f_items},       {"join", f_join},     {"last", f_last},
    {"length", f_length},     {"list", f_list},     {"map", f_map},
    {"max", f_max},           {"min", f_min},       {"pprint", f_pprint},
    {"random", f_random},     {"reject", f_reject}, {"rejectattr", f_rejectattr},
    {"reverse", f_reverse},   {"select", f_select}, {"selectattr", f_selectattr},
    {"slice", f_slice},       {"sort", f_sort},     {"sum", f_sum},
    {"unique", f_unique},
};
const int slm_jj_seq_filter_count = sizeof slm_jj_seq_filters / sizeof *slm_jj_seq_filters;
