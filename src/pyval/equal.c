/* Equality, order and hashing as Python has them, the dict that stands on them, and sorting.
 *
 * 1, 1.0 and True are one key. Dicts keep insertion order: entries in an array, an
 * open-addressed index beside it; nothing is ever removed. */
#include <math.h>
#include <string.h>

#include "pyval/pyval.h"

static int equal_dict(struct py_run *r, struct py_dict *a, struct py_dict *b)
{
    if (a->n != b->n)
        return 0;
    for (size_t i = 0; i < a->n; i++) {
        py_val *v = slm_py_get(r, b, a->e[i].k);
        int same = v ? slm_py_equal(r, a->e[i].v, *v) : r->code ? -1 : 0;
        if (same <= 0)
            return same;
    }
    return 1;
}

static int equal_list(struct py_run *r, const struct py_list *a, const struct py_list *b)
{
    if (a->n != b->n)
        return 0;
    for (size_t i = 0; i < a->n; i++) {
        int same = slm_py_equal(r, a->v[i], b->v[i]);
        if (same <= 0)
            return same;
    }
    return 1;
}

/* -1, 0, 1; 2 when one is NaN. Exact between integers and floats. */
static int compare_num(py_val a, py_val b)
{
    py_int x, y;
    double f, g;
    if (slm_py_as_int(a, &x) && slm_py_as_int(b, &y))
        return x < y ? -1 : x > y;
    if (a.t != T_FLOAT)
        return -compare_num(b, a) == -2 ? 2 : -compare_num(b, a);
    f = a.f;
    if (isnan(f) || (b.t == T_FLOAT && isnan(b.f)))
        return 2;
    if (b.t == T_FLOAT)
        return f < b.f ? -1 : f > b.f;
    slm_py_as_int(b, &y);
    g = floor(f);
    if (g >= 0x1p126 || g < -0x1p126)
        return f < 0 ? -1 : 1;
    x = (py_int)g;
    return x < y ? -1 : x > y ? 1 : f > g;
}

static int equal_items(struct py_run *r, py_val a, py_val b)
{
    if (!slm_py_enter(r))
        return -1;
    int same = a.t == T_DICT ? equal_dict(r, a.d, b.d) : equal_list(r, a.l, b.l);
    r->level--;
    return same;
}

int slm_py_equal(struct py_run *r, py_val a, py_val b)
{
    if (!slm_py_step(r, 1))
        return -1;
    if (py_is_num(a) && py_is_num(b))
        return compare_num(a, b) == 0;
    if (a.t != b.t)
        return 0;
    switch (a.t) {
    case T_UNDEF:
    case T_NONE: return 1;
    case T_STR:
    case T_BYTES:
        return a.s == b.s || (a.s->n == b.s->n && memcmp(a.s->s, b.s->s, a.s->n) == 0);
    case T_LIST:
    case T_TUPLE: return a.l == b.l ? 1 : equal_items(r, a, b);
    case T_DICT: return a.d == b.d ? 1 : equal_items(r, a, b);
    case T_RANGE:
        return a.r->n == b.r->n && (a.r->n == 0 || (a.r->start == b.r->start &&
                                                    (a.r->n == 1 || a.r->step == b.r->step)));
    case T_VIEW:
        return a.v == b.v || (a.v->d == b.v->d && a.v->what == b.v->what && a.v->what != 1);
    case T_METHOD: return a.m->id == b.m->id && a.m->self.s == b.m->self.s;
    default: return a.s == b.s;
    }
}

static int unordered(struct py_run *r, const char *op, py_val a, py_val b)
{
    if (a.t == T_UNDEF || b.t == T_UNDEF)
        slm_py_undef_error(r, a.t == T_UNDEF ? a : b);
    else
        slm_py_fail(r, SLM_E_TEMPLATE, "'%s' not supported between instances of '%s' and '%s'",
                    op, slm_py_type_name(a), slm_py_type_name(b));
    return -1;
}

static int order_list(struct py_run *r, int op, const struct py_list *a,
                      const struct py_list *b)
{
    size_t i = 0;
    if (!slm_py_enter(r))
        return -1;
    int same = 1, result;
    for (; i < a->n && i < b->n; i++)
        if ((same = slm_py_equal(r, a->v[i], b->v[i])) != 1)
            break;
    if (same < 0)
        result = -1;
    else if (same == 0)
        result = slm_py_compare(r, op, a->v[i], b->v[i]);
    else
        result = op == OP_LT   ? a->n < b->n
                 : op == OP_LE ? a->n <= b->n
                 : op == OP_GT ? a->n > b->n
                               : a->n >= b->n;
    r->level--;
    return result;
}

static int order(struct py_run *r, int op, py_val a, py_val b)
{
    static const char *const names[] = {
        [OP_LT] = "<", [OP_LE] = "<=", [OP_GT] = ">", [OP_GE] = ">="};
    int c;
    if (py_is_num(a) && py_is_num(b)) {
        c = compare_num(a, b);
        if (c == 2)
            return 0;
    } else if (a.t == b.t && (a.t == T_STR || a.t == T_BYTES)) {
        size_t n = a.s->n < b.s->n ? a.s->n : b.s->n;
        if (!slm_py_step(r, n / 64))
            return -1;
        c = n ? memcmp(a.s->s, b.s->s, n) : 0;
        if (!c)
            c = a.s->n < b.s->n ? -1 : a.s->n > b.s->n;
    } else if (a.t == b.t && py_is_seq(a)) {
        return order_list(r, op, a.l, b.l);
    } else {
        return unordered(r, names[op], a, b);
    }
    return op == OP_LT ? c < 0 : op == OP_LE ? c <= 0 : op == OP_GT ? c > 0 : c >= 0;
}

int slm_py_less(struct py_run *r, py_val a, py_val b) { return order(r, OP_LT, a, b); }

int slm_py_compare(struct py_run *r, int op, py_val a, py_val b)
{
    int c;
    if (!slm_py_step(r, 1))
        return -1;
    switch (op) {
    case OP_EQ: return slm_py_equal(r, a, b);
    case OP_NE: c = slm_py_equal(r, a, b); return c < 0 ? c : !c;
    case OP_IN: return slm_py_contains(r, a, b);
    case OP_NOTIN: c = slm_py_contains(r, a, b); return c < 0 ? c : !c;
    default: return order(r, op, a, b);
    }
}

static int contains_range(struct py_val item, const struct py_range *g)
{
    py_int i;
    if (item.t == T_FLOAT) {
        if (!(item.f == floor(item.f)) || !slm_py_float_to_int(item.f, &i))
            return 0;
    } else if (!slm_py_as_int(item, &i)) {
        return 0;
    }
    if (g->step > 0 ? i < g->start || i >= g->stop : i > g->start || i <= g->stop)
        return 0;
    return (i - g->start) % g->step == 0;
}

int slm_py_contains(struct py_run *r, py_val item, py_val in)
{
    if (in.t == T_STR || in.t == T_BYTES) {
        if (item.t != in.t) {
            slm_py_fail(r, SLM_E_TEMPLATE,
                        "'in <string>' requires string as left operand, not %s",
                        slm_py_type_name(item));
            return -1;
        }
        if (!slm_py_step(r, in.s->n / 64))
            return -1;
        return item.s->n == 0 || memmem(in.s->s, in.s->n, item.s->s, item.s->n) != NULL;
    }
    if (in.t == T_RANGE)
        return contains_range(item, in.r);
    if (in.t == T_DICT || (in.t == T_VIEW && in.v->what == 0)) {
        struct py_dict *d = in.t == T_DICT ? in.d : in.v->d;
        return slm_py_get(r, d, item) ? 1 : r->code ? -1 : 0;
    }
    if (!slm_py_iterable(in)) {
        slm_py_fail(r, SLM_E_TEMPLATE, "argument of type '%s' is not iterable",
                    slm_py_type_name(in));
        return -1;
    }
    struct py_iter *it = slm_py_iter(r, in);
    py_val v;
    int more = it ? 0 : -1;
    while (it && (more = slm_py_next(r, it, &v)) > 0) {
        int same = slm_py_equal(r, v, item);
        if (same)
            return same;
    }
    return more;
}

uint64_t slm_py_hash_bytes(const char *s, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u ^ n;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)s[i]) * 0x100000001b3u;
    h ^= h >> 29;
    return h ? h : 1;
}

static uint64_t mix(uint64_t h)
{
    h = (h ^ (h >> 31)) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
}

bool slm_py_hashable(py_val v)
{
    if (v.t == T_LIST || v.t == T_DICT || (v.t == T_VIEW && v.v->what != 1))
        return false;
    for (size_t i = 0; v.t == T_TUPLE && i < v.l->n; i++)
        if (!slm_py_hashable(v.l->v[i]))
            return false;
    return true;
}

static bool hash_tuple(struct py_run *r, const struct py_list *l, uint64_t *out)
{
    uint64_t h = 0x345678u, one;
    if (!slm_py_enter(r))
        return false;
    for (size_t i = 0; i < l->n; i++) {
        if (!slm_py_hash(r, l->v[i], &one))
            return false;
        h = mix(h * 31 + one);
    }
    r->level--;
    *out = h;
    return true;
}

bool slm_py_hash(struct py_run *r, py_val v, uint64_t *out)
{
    py_int i;
    if (!slm_py_step(r, 1))
        return false;
    switch (v.t) {
    case T_VIEW:
        if (v.v->what == 1) {
            *out = mix((uint64_t)(uintptr_t)v.v);
            return true;
        }
        slm_py_fail(r, SLM_E_TEMPLATE, "unhashable type: '%s'", slm_py_type_name(v));
        return false;
    case T_STR:
    case T_BYTES:
        if (!v.s->hash) {
            if (!slm_py_step(r, v.s->n / 16))
                return false;
            v.s->hash = slm_py_hash_bytes(v.s->s, v.s->n);
        }
        *out = v.s->hash;
        return true;
    case T_TUPLE: return hash_tuple(r, v.l, out);
    case T_FLOAT:
        if (v.f == floor(v.f) && slm_py_float_to_int(v.f, &i))
            *out = mix((uint64_t)i);
        else
            memcpy(out, &v.f, sizeof *out), *out = mix(*out);
        return true;
    case T_INT:
    case T_BOOL: *out = mix((uint64_t)(v.t == T_INT ? v.i : v.b)); return true;
    case T_UNDEF:
    case T_NONE: *out = mix(v.t); return true;
    case T_LIST:
    case T_DICT:
        slm_py_fail(r, SLM_E_TEMPLATE, "unhashable type: '%s'", slm_py_type_name(v));
        return false;
    default: *out = mix((uint64_t)(uintptr_t)v.s); return true;
    }
}

static size_t probe_start(const struct py_dict *d, uint64_t h)
{
    return (size_t)mix(h) & (d->slots - 1);
}

static struct py_entry *find(struct py_run *r, struct py_dict *d, py_val k, uint64_t h)
{
    if (!d->slots)
        return NULL;
    for (size_t s = probe_start(d, h); d->index[s]; s = (s + 1) & (d->slots - 1)) {
        struct py_entry *e = &d->e[d->index[s] - 1];
        if (e->h != h)
            continue;
        int same = slm_py_equal(r, e->k, k);
        if (same)
            return same > 0 ? e : NULL;
    }
    return NULL;
}

static bool rehash(struct py_run *r, struct py_dict *d)
{
    size_t cap = d->cap ? d->cap * 2 : 8, slots = cap * 2;
    struct py_entry *e = slm_py_new_n(r, cap, sizeof *e);
    uint32_t *index = e ? slm_py_new_n(r, slots, sizeof *index) : NULL;
    if (!index || cap > UINT32_MAX / 2)
        return false;
    if (d->n)
        memcpy(e, d->e, d->n * sizeof *e);
    d->e = e;
    d->cap = cap;
    d->index = index;
    d->slots = slots;
    for (size_t i = 0; i < d->n; i++) {
        size_t s = probe_start(d, e[i].h);
        while (index[s])
            s = (s + 1) & (slots - 1);
        index[s] = (uint32_t)i + 1;
    }
    return true;
}

bool slm_py_put(struct py_run *r, struct py_dict *d, py_val k, py_val v)
{
    uint64_t h;
    if (!slm_py_hash(r, k, &h))
        return false;
    struct py_entry *e = find(r, d, k, h);
    if (r->code)
        return false;
    if (e) {
        e->v = v;
        return true;
    }
    if (d->n == d->cap && !rehash(r, d))
        return false;
    size_t s = probe_start(d, h);
    while (d->index[s])
        s = (s + 1) & (d->slots - 1);
    d->e[d->n] = (struct py_entry){k, v, h};
    d->index[s] = (uint32_t)++d->n;
    return true;
}

py_val *slm_py_get(struct py_run *r, struct py_dict *d, py_val k)
{
    uint64_t h;
    if (!slm_py_hash(r, k, &h))
        return NULL;
    struct py_entry *e = find(r, d, k, h);
    return e ? &e->v : NULL;
}

py_val *slm_py_get_str(struct py_dict *d, const char *s, size_t n)
{
    uint64_t h = slm_py_hash_bytes(s, n);
    if (!d || !d->slots)
        return NULL;
    for (size_t i = probe_start(d, h); d->index[i]; i = (i + 1) & (d->slots - 1)) {
        struct py_entry *e = &d->e[d->index[i] - 1];
        if (e->h == h && e->k.t == T_STR && e->k.s->n == n && memcmp(e->k.s->s, s, n) == 0)
            return &e->v;
    }
    return NULL;
}

/* Merge sort of indexes, bottom up: stable, and an order that makes no sense cannot harm it. */
struct merge {
    const py_val *key;
    uint32_t *to, *from;
    bool reverse;
};

static bool merge(struct py_run *r, const struct merge *m, size_t lo, size_t mid, size_t hi)
{
    size_t a = lo, b = mid;
    for (size_t k = lo; k < hi; k++) {
        int take_b = a >= mid;
        if (!take_b && b < hi) {
            py_val x = m->key[m->from[a]], y = m->key[m->from[b]];
            take_b = m->reverse ? slm_py_less(r, x, y) : slm_py_less(r, y, x);
        }
        if (take_b < 0 || !slm_py_step(r, 1))
            return false;
        m->to[k] = m->from[take_b ? b++ : a++];
    }
    return true;
}

bool slm_py_sort(struct py_run *r, py_val *v, py_val *keys, size_t n, bool reverse)
{
    uint32_t *a = slm_py_new_n(r, n, sizeof *a), *b = slm_py_new_n(r, n, sizeof *b);
    py_val *copy = slm_py_new_n(r, n, sizeof *copy);
    if (!a || !b || !copy || n > UINT32_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        a[i] = (uint32_t)i;
    struct merge m = {keys ? keys : v, b, a, reverse};
    for (size_t w = 1; w < n; w *= 2) {
        for (size_t lo = 0; lo < n; lo += 2 * w) {
            size_t mid = lo + w < n ? lo + w : n, hi = lo + 2 * w < n ? lo + 2 * w : n;
            if (!merge(r, &m, lo, mid, hi))
                return false;
        }
        uint32_t *t = m.from;
        m.from = m.to;
        m.to = t;
    }
    if (n)
        memcpy(copy, v, n * sizeof *v);
    for (size_t i = 0; i < n; i++)
        v[i] = copy[m.from[i]];
    return true;
}
