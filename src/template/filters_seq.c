/* The filters on sequences and mappings. */
#include <string.h>

#include "template/jinja.h"

static const jj_val missing = {.t = T_MISSING};

static bool int_arg(struct jj_run *r, jj_val v, const char *what, jj_int *out)
{
    if (slm_jj_as_int(v, out))
        return true;
    if (v.t == T_UNDEF)
        slm_jj_undef_error(r, v);
    slm_jj_fail(r, SLM_E_TEMPLATE, "%s: an integer is required, not %s", what,
                slm_jj_type_name(v));
    return false;
}

static jj_val iterator(struct jj_iter *it)
{
    return it ? (jj_val){.t = T_ITER, .it = it} : jj_failed();
}

/* The key a sorting filter compares by: an attribute's path, folded unless case matters. */
static jj_val key_of(struct jj_run *r, jj_val v, jj_val path, jj_val fallback, bool sensitive)
{
    v = slm_jj_path(r, v, path, fallback);
    return v.t == T_STR && !sensitive ? slm_jj_recase(r, v, CASE_LOWER) : v;
}

/* sort(attribute="a,b.c"): a list of keys. */
static jj_val multi_key(struct jj_run *r, jj_val v, jj_val path, bool sensitive)
{
    jj_val keys = slm_jj_list(r, T_LIST, 1);
    size_t lo = 0;
    if (path.t != T_STR) {
        jj_val k = key_of(r, v, path, missing, sensitive);
        return jj_bad(keys) || jj_bad(k) || !slm_jj_push(r, keys.l, k) ? jj_failed() : keys;
    }
    while (!jj_bad(keys) && lo <= path.s->n) {
        const char *comma = memchr(path.s->s + lo, ',', path.s->n - lo);
        size_t hi = comma ? (size_t)(comma - path.s->s) : path.s->n;
        jj_val part = slm_jj_str_view(r, path.s->s + lo, hi - lo);
        jj_val k = jj_bad(part) ? part : key_of(r, v, part, missing, sensitive);
        if (jj_bad(k) || !slm_jj_push(r, keys.l, k))
            return jj_failed();
        lo = hi + 1;
    }
    return keys;
}

/* sorted()'s reverse wants an integer, not just truth. */
static bool reverse_arg(struct jj_run *r, jj_val v, bool *out)
{
    jj_int i = 0;
    if (v.t != T_MISSING && !slm_jj_as_int(v, &i)) {
        slm_jj_fail(r, SLM_E_TEMPLATE, "'%s' object cannot be interpreted as an integer",
                    slm_jj_type_name(v));
        return false;
    }
    *out = i != 0;
    return true;
}

static jj_val f_sort(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    static const struct jj_spec spec = {"sort", "reverse case_sensitive attribute", 0, 0};
    jj_val o[3], list, *keys;
    bool reverse, sensitive;
    if (!slm_jj_bind(r, &spec, a, o) || !reverse_arg(r, o[0], &reverse) ||
        !slm_jj_truth(r, o[1], &sensitive) || jj_bad(list = slm_jj_collect(r, v, T_LIST)) ||
        !(keys = slm_jj_new_n(r, list.l->n, sizeof *keys)))
        return jj_failed();
    for (size_t i = 0; i < list.l->n; i++)
        if (jj_bad(keys[i] = multi_key(r, list.l->v[i], o[2], sensitive)))
            return jj_failed();
    return slm_jj_sort(r, list.l->v, keys, list.l->n, reverse) ? list : jj_failed();
}

static jj_val f_dictsort(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    static const struct jj_spec spec = {"dictsort", "case_sensitive by reverse", 0, 0};
    jj_val o[3], list, *keys;
    bool sensitive, reverse;
    if (!slm_jj_bind(r, &spec, a, o) || !slm_jj_truth(r, o[0], &sensitive) ||
        !reverse_arg(r, o[2], &reverse))
        return jj_failed();
    bool by_value = slm_jj_is(o[1], "value");
    if (o[1].t != T_MISSING && !by_value && !slm_jj_is(o[1], "key"))
        return slm_jj_fail(r, SLM_E_TEMPLATE,
                           "You can only sort by either \"key\" or \"value\"");
    if (v.t != T_DICT)
        return v.t == T_UNDEF
                   ? slm_jj_undef_error(r, v)
                   : slm_jj_fail(r, SLM_E_TEMPLATE, "'%s' object has no attribute 'items'",
                                 slm_jj_type_name(v));
    list = slm_jj_list(r, T_LIST, v.d->n);
    keys = slm_jj_new_n(r, v.d->n, sizeof *keys);
    if (jj_bad(list) || !keys)
        return jj_failed();
    for (size_t i = 0; i < v.d->n; i++) {
        jj_val pair = slm_jj_pair(r, v.d->e[i].k, v.d->e[i].v);
        keys[i] = jj_bad(pair) ? pair
                               : key_of(r, by_value ? v.d->e[i].v : v.d->e[i].k, missing,
                                        missing, sensitive);
        if (jj_bad(keys[i]))
            return jj_failed();
        list.l->v[list.l->n++] = pair;
    }
    return slm_jj_sort(r, list.l->v, keys, list.l->n, reverse) ? list : jj_failed();
}

static jj_val f_unique(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    static const struct jj_spec spec = {"unique", "case_sensitive attribute", 0, 0};
    jj_val o[2], seen = slm_jj_dict(r);
    bool sensitive;
    if (jj_bad(seen) || !slm_jj_bind(r, &spec, a, o) || !slm_jj_truth(r, o[0], &sensitive))
        return jj_failed();
    struct jj_iter *it = slm_jj_generator(r, I_UNIQUE, v);
    if (it) {
        it->seen = seen.d;
        it->key = o[1];
        it->negate = sensitive;
    }
    return iterator(it);
}

static jj_val min_max(struct jj_run *r, jj_val v, const struct jj_args *a, bool max)
{
    static const struct jj_spec spec = {"min", "case_sensitive attribute", 0, 0};
    jj_val o[2], item, best = missing, best_key = missing;
    bool sensitive;
    if (!slm_jj_bind(r, &spec, a, o) || !slm_jj_truth(r, o[0], &sensitive))
        return jj_failed();
    struct jj_iter *it = slm_jj_iter(r, v);
    int more = it ? 0 : -1;
    while (it && (more = slm_jj_next(r, it, &item)) > 0) {
        jj_val k = key_of(r, item, o[1], missing, sensitive);
        if (jj_bad(k))
            return k;
        int better = 1;
        if (best.t != T_MISSING)
            better = slm_jj_compare(r, max ? OP_GT : OP_LT, k, best_key);
        if (better < 0)
            return jj_failed();
        if (better) {
            best = item;
            best_key = k;
        }
    }
    if (more < 0)
        return jj_failed();
    return best.t == T_MISSING ? slm_jj_undef_hint(r, "No aggregated item, sequence was empty.")
                               : best;
}

static jj_val f_min(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    return min_max(r, v, a, false);
}
static jj_val f_max(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    return min_max(r, v, a, true);
}

static jj_val f_groupby(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    static const struct jj_spec spec = {"groupby", "attribute default case_sensitive", 1, 0};
    jj_val o[3], list, groups, *keys, *copy;
    bool sensitive;
    if (!slm_jj_bind(r, &spec, a, o) || !slm_jj_truth(r, o[2], &sensitive) ||
        jj_bad(list = slm_jj_collect(r, v, T_LIST)) ||
        jj_bad(groups = slm_jj_list(r, T_LIST, 0)))
        return jj_failed();
    size_t n = list.l->n;
    if (!(keys = slm_jj_new_n(r, n, sizeof *keys)) ||
        !(copy = slm_jj_new_n(r, n, sizeof *copy)))
        return jj_failed();
    for (size_t i = 0; i < n; i++)
        if (jj_bad(keys[i] = copy[i] = key_of(r, list.l->v[i], o[0], o[1], sensitive)))
            return jj_failed();
    if (!slm_jj_sort(r, list.l->v, keys, n, false) || !slm_jj_sort(r, copy, NULL, n, false))
        return jj_failed();
    for (size_t i = 0, hi; i < n; i = hi) {
        jj_val members = slm_jj_list(r, T_LIST, 0);
        int same = 1;
        for (hi = i; hi < n && (hi == i || (same = slm_jj_equal(r, copy[i], copy[hi])) > 0);
             hi++)
            if (jj_bad(members) || !slm_jj_push(r, members.l, list.l->v[hi]))
                return jj_failed();
        jj_val key = sensitive ? copy[i] : slm_jj_path(r, list.l->v[i], o[0], o[1]);
        jj_val group = same < 0 || jj_bad(key) ? jj_failed() : slm_jj_pair(r, key, members);
        group.mark = true;
        if (jj_bad(group) || !slm_jj_push(r, groups.l, group))
            return jj_failed();
    }
    return groups;
}

static jj_val f_join(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    static const struct jj_spec spec = {"join", "d attribute", 0, 0};
    jj_val o[2];
    if (!slm_jj_bind(r, &spec, a, o))
        return jj_failed();
    if (o[1].t != T_MISSING && o[1].t != T_NONE) {
        struct jj_iter *it = slm_jj_generator(r, I_MAP, slm_jj_collect(r, v, T_LIST));
        if (!it || jj_bad(it->src))
            return jj_failed();
        it->attr = true;
        it->key = o[1];
        it->fill = missing;
        v = iterator(it);
    }
    jj_val sep = o[0].t == T_MISSING ? slm_jj_strz(r, "") : slm_jj_soft_str(r, o[0]);
    if (!r->autoescape)
        sep.mark = false;
    if (r->autoescape && !jj_bad(sep) && !sep.mark) {
        if (jj_bad(v = slm_jj_collect(r, v, T_LIST)))
            return v;
        for (size_t i = 0; i < v.l->n && !sep.mark; i++)
            if (v.l->v[i].t == T_STR && v.l->v[i].mark)
                sep = slm_jj_escape(r, sep);
    }
    return jj_bad(sep) ? sep : slm_jj_join(r, sep, v, false);
}

static jj_val f_first(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    jj_val item;
    struct jj_iter *it = slm_jj_no_kw(r, a, "first", 0, 0) ? slm_jj_iter(r, v) : NULL;
    int more = it ? slm_jj_next(r, it, &item) : -1;
    if (more < 0)
        return jj_failed();
    return more ? item : slm_jj_undef_hint(r, "No first item, sequence was empty.");
}

/* The end that reversed() would begin with; only what has an order from behind. */
static jj_val f_last(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    if (!slm_jj_no_kw(r, a, "last", 0, 0))
        return jj_failed();
    if (v.t == T_STR)
        return v.s->n ? slm_jj_getitem(r, v, jj_of_int(-1))
                      : slm_jj_undef_hint(r, "No last item, sequence was empty.");
    if (v.t == T_UNDEF)
        return slm_jj_undef_hint(r, "No last item, sequence was empty.");
    if (!jj_is_seq(v) && v.t != T_DICT && v.t != T_RANGE && v.t != T_VIEW)
        return slm_jj_fail(r, SLM_E_TEMPLATE, "'%s' object is not reversible",
                           slm_jj_type_name(v));
    struct jj_iter *it = slm_jj_generator(r, I_REVERSED, v);
    jj_val item;
    int more = it ? slm_jj_next(r, it, &item) : -1;
    return more < 0 ? jj_failed()
           : more   ? item
                    : slm_jj_undef_hint(r, "No last item, sequence was empty.");
}

static jj_val f_reverse(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    jj_val bounds[3] = {jj_none(), jj_none(), jj_of_int(-1)};
    if (!slm_jj_no_kw(r, a, "reverse", 0, 0))
        return jj_failed();
    if (v.t == T_STR)
        return slm_jj_slice(r, v, bounds);
    if (jj_is_seq(v) || v.t == T_DICT || v.t == T_RANGE || v.t == T_VIEW) {
        struct jj_iter *it = slm_jj_generator(r, I_REVERSED, v);
        if (it)
            it->type = v.t == T_LIST    ? "list_reverseiterator"
                       : v.t == T_TUPLE ? "reversed"
                                        : "reverseiterator";
        return iterator(it);
    }
    if (!slm_jj_iterable(v))
        return slm_jj_fail(r, SLM_E_TEMPLATE, "argument must be iterable");
    v = slm_jj_collect(r, v, T_LIST);
    return jj_bad(v) ? v : slm_jj_slice(r, v, bounds);
}

static jj_val f_length(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    if (!slm_jj_no_kw(r, a, "len", 0, 0))
        return jj_failed();
    jj_int n = slm_jj_len(r, v);
    return n < 0 ? slm_jj_fail(r, SLM_E_TEMPLATE, "object of type '%s' has no len()",
                               slm_jj_type_name(v))
                 : jj_of_int(n);
}

static jj_val f_list(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    return slm_jj_no_kw(r, a, "list", 0, 0) ? slm_jj_collect(r, v, T_LIST) : jj_failed();
}

static jj_val f_items(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    return slm_jj_no_kw(r, a, "items", 0, 0) ? iterator(slm_jj_generator(r, I_ITEMS, v))
                                             : jj_failed();
}

/* The arguments of a call without the first `skip`. */
static struct jj_args rest(const struct jj_args *a, size_t skip)
{
    struct jj_args b = *a;
    b.pos += a->n < skip ? a->n : skip;
    b.n -= a->n < skip ? a->n : skip;
    return b;
}

static jj_val f_map(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    struct jj_iter *it = slm_jj_generator(r, I_MAP, v);
    jj_val *path = a->kw && !a->n ? slm_jj_get_str(a->kw, "attribute", 9) : NULL;
    if (!it)
        return jj_failed();
    it->key = a->n ? a->pos[0] : missing;
    it->args = rest(a, 1);
    if (path) {
        jj_val *fill = slm_jj_get_str(a->kw, "default", 7);
        if (a->kw->n > 1 + (fill != NULL))
            return slm_jj_fail(r, SLM_E_TEMPLATE, "map: unexpected keyword argument");
        it->attr = true;
        it->key = *path;
        it->fill = fill ? *fill : missing;
    }
    return iterator(it);
}

static jj_val select(struct jj_run *r, jj_val v, const struct jj_args *a, bool negate,
                     bool attr)
{
    struct jj_iter *it = slm_jj_generator(r, I_SELECT, v);
    size_t off = attr;
    if (!it)
        return jj_failed();
    it->negate = negate;
    it->attr = attr;
    if (attr && !a->n) {
        /* the missing attribute is found out when the generator runs, and then only if it has
         * work */
        it->key = jj_none();
        it->fill = missing;
        return iterator(it);
    }
    it->fill = attr ? a->pos[0] : missing;
    it->key = a->n > off ? a->pos[off] : missing;
    it->args = rest(a, off + 1);
    return iterator(it);
}

static jj_val f_select(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    return select(r, v, a, false, false);
}
static jj_val f_reject(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    return select(r, v, a, true, false);
}
static jj_val f_selectattr(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    return select(r, v, a, false, true);
}
static jj_val f_rejectattr(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    return select(r, v, a, true, true);
}

static jj_val chunks(struct jj_run *r, jj_val v, const struct jj_args *a, int kind)
{
    static const struct jj_spec batch = {"batch", "linecount fill_with", 1, 0},
                                slice = {"slice", "slices fill_with", 1, 0};
    jj_val o[2];
    struct jj_iter *it = slm_jj_generator(r, kind, v);
    if (!it || !slm_jj_bind(r, kind == I_BATCH ? &batch : &slice, a, o))
        return jj_failed();
    if (!slm_jj_as_int(o[0], &it->count)) {
        if (kind == I_SLICE || o[0].t != T_FLOAT)
            return int_arg(r, o[0], "batch", &it->count) ? jj_failed() : jj_failed();
        it->count = -1;
    }
    it->fill = o[1].t == T_MISSING ? jj_none() : o[1];
    return iterator(it);
}

static jj_val f_batch(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    return chunks(r, v, a, I_BATCH);
}
static jj_val f_slice(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    return chunks(r, v, a, I_SLICE);
}

static jj_val f_sum(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    static const struct jj_spec spec = {"sum", "attribute start", 0, 0};
    jj_val o[2], item;
    if (!slm_jj_bind(r, &spec, a, o))
        return jj_failed();
    jj_val total = o[1].t == T_MISSING ? jj_of_int(0) : o[1];
    if (total.t == T_STR)
        return slm_jj_fail(r, SLM_E_TEMPLATE,
                           "sum() can't sum strings [use ''.join(seq) instead]");
    struct jj_iter *it = slm_jj_iter(r, v);
    int more = it ? 0 : -1;
    while (it && (more = slm_jj_next(r, it, &item)) > 0) {
        item = slm_jj_path(r, item, o[0], missing);
        if (jj_bad(item) || jj_bad(total = slm_jj_binary(r, OP_ADD, total, item)))
            return jj_failed();
    }
    return more < 0 ? jj_failed() : total;
}

static jj_val f_attr(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    static const struct jj_spec spec = {"attr", "name", 1, 0};
    jj_val o;
    if (!slm_jj_bind(r, &spec, a, &o))
        return jj_failed();
    if (o.t != T_STR)
        return slm_jj_fail(r, SLM_E_TEMPLATE, "attribute name must be string, not '%s'",
                           slm_jj_type_name(o));
    jj_val got = slm_jj_getattr(r, v, o.s);
    /* an item of that name does not count here */
    if (v.t == T_DICT && got.t != T_UNDEF && got.t != T_METHOD && !jj_bad(got))
        return slm_jj_undef(r, v, o);
    return got;
}

static jj_val f_random(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    if (!slm_jj_no_kw(r, a, "random", 0, 0))
        return jj_failed();
    jj_int n = slm_jj_len(r, v);
    if (n < 0 || v.t == T_VIEW)
        return slm_jj_fail(r, SLM_E_TEMPLATE, "object of type '%s' has no len()",
                           slm_jj_type_name(v));
    if (n == 0)
        return slm_jj_undef_hint(r, "No random item, sequence was empty.");
    return slm_jj_getitem(r, v, jj_of_int((jj_int)slm_rng_below(&r->rng, (uint64_t)n)));
}

static jj_val f_pprint(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    struct slm_buf b;
    if (!slm_jj_no_kw(r, a, "pprint", 0, 0))
        return jj_failed();
    slm_jj_buf(r, &b);
    slm_jj_put_repr_sorted(r, &b, v);
    return slm_jj_buf_str(r, &b);
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
