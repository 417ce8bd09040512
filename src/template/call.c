/* Calls: binding arguments to parameters, macros, the global functions and the small methods.
 */
#include <string.h>

#include "template/jinja.h"
#include "template/methods.h"

static jj_val type_error(struct jj_run *r, const char *what, const char *why)
{
    return slm_jj_fail(r, SLM_E_TEMPLATE, "%s() %s", what, why);
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

bool slm_jj_bind(struct jj_run *r, const struct jj_spec *spec, const struct jj_args *a,
                 jj_val *out)
{
    int count = 0;
    size_t used = 0, n;
    const char *name;
    for (; (name = nth_name(spec->names, count, &n)); count++) {
        jj_val *kw = a->kw && count >= spec->pos_only ? slm_jj_get_str(a->kw, name, n) : NULL;
        out[count] = (size_t)count < a->n ? a->pos[count] : kw ? *kw : (jj_val){.t = T_MISSING};
        if (kw && (size_t)count < a->n) {
            type_error(r, spec->what, "got multiple values for an argument");
            return false;
        }
        used += kw != NULL;
        if (out[count].t == T_MISSING && count < spec->required) {
            slm_jj_fail(r, SLM_E_TEMPLATE, "%s() missing argument '%.*s'", spec->what, (int)n,
                        name);
            return false;
        }
    }
    if (a->n > (size_t)count) {
        slm_jj_fail(r, SLM_E_TEMPLATE, "%s() takes at most %d arguments (%zu given)",
                    spec->what, count, a->n);
        return false;
    }
    if (a->kw && used < a->kw->n) {
        type_error(r, spec->what, "got an unexpected keyword argument");
        return false;
    }
    return true;
}

bool slm_jj_no_kw(struct jj_run *r, const struct jj_args *a, const char *what, size_t lo,
                  size_t hi)
{
    if (a->kw && a->kw->n)
        type_error(r, what, "takes no keyword arguments");
    else if (a->n < lo || a->n > hi)
        slm_jj_fail(r, SLM_E_TEMPLATE, "%s() takes %zu to %zu arguments (%zu given)", what, lo,
                    hi, a->n);
    return !r->code;
}

/* Parameters a macro takes by name, from the call's arguments; its defaults in order. */
static bool macro_params(struct jj_run *r, const struct jj_node *n, const struct jj_args *a,
                         struct jj_frame *f, size_t *used)
{
    int params = n->args.n, first_default = params - n->other.n;
    bool *unset = slm_jj_new(r, (size_t)params + 1);
    if (!unset)
        return false;
    for (int i = 0; i < params; i++) {
        const struct jj_str *name = n->args.v[i]->name;
        jj_val v = {.t = T_MISSING};
        if ((size_t)i < a->n) {
            v = a->pos[i];
        } else if (a->kw) {
            jj_val *kw = slm_jj_get_str(a->kw, name->s, name->n);
            if (kw) {
                v = *kw;
                ++*used;
            }
        }
        unset[i] = v.t == T_MISSING;
        if (!slm_jj_store(r, f, name, v))
            return false;
    }
    r->frame = f;
    for (int i = 0; i < params; i++) {
        if (!unset[i])
            continue;
        const struct jj_str *name = n->args.v[i]->name;
        jj_val v = i >= first_default
                       ? slm_jj_eval(r, n->other.v[i - first_default])
                       : slm_jj_undef_hint(r, "a macro's parameter was not provided");
        if (jj_bad(v) || !slm_jj_store(r, f, name, v))
            return false;
    }
    return true;
}

/* A variable whose name the macro's body mentions (so it is interned). */
static bool store_extra(struct jj_run *r, struct jj_frame *f, const char *name, jj_val v)
{
    jj_val *key = slm_jj_get_str(r->t->interned, name, strlen(name));
    return !jj_bad(v) && (!key || slm_jj_store(r, f, key->s, v));
}

/* caller, kwargs and varargs: what of the call's arguments is left over. */
static bool macro_extras(struct jj_run *r, const struct jj_node *n, const struct jj_args *a,
                         struct jj_frame *f, size_t used)
{
    jj_val *kw = a->kw ? slm_jj_get_str(a->kw, "caller", 6) : NULL;
    bool has_caller = false;
    for (int i = 0; i < n->args.n; i++)
        has_caller |=
            n->args.v[i]->name->n == 6 && memcmp(n->args.v[i]->name->s, "caller", 6) == 0;
    if (n->caller && !has_caller) {
        jj_val v = kw && kw->t != T_NONE ? *kw : slm_jj_undef_hint(r, "No caller defined");
        used += kw != NULL;
        if (!store_extra(r, f, "caller", v))
            return false;
    }
    const char *name = n->name ? n->name->s : "None";
    int len = n->name ? (int)n->name->n : 4;
    if (n->kwargs) {
        jj_val d = slm_jj_dict(r);
        for (size_t i = 0; !jj_bad(d) && a->kw && i < a->kw->n; i++) {
            const struct jj_str *k = a->kw->e[i].k.s;
            bool taken = n->caller && k->n == 6 && memcmp(k->s, "caller", 6) == 0;
            for (int p = (int)(a->n < (size_t)n->args.n ? a->n : (size_t)n->args.n);
                 p < n->args.n; p++)
                taken |= n->args.v[p]->name->n == k->n &&
                         memcmp(n->args.v[p]->name->s, k->s, k->n) == 0;
            if (!taken && !slm_jj_put(r, d.d, a->kw->e[i].k, a->kw->e[i].v))
                return false;
        }
        if (jj_bad(d) || !store_extra(r, f, "kwargs", d))
            return false;
    } else if (a->kw && used < a->kw->n) {
        slm_jj_fail(r, SLM_E_TEMPLATE, "macro '%.*s' takes no such keyword argument", len,
                    name);
        return false;
    }
    if (n->varargs) {
        jj_val t = slm_jj_list(r, T_TUPLE, a->n);
        for (size_t i = (size_t)n->args.n; !jj_bad(t) && i < a->n; i++)
            t.l->v[t.l->n++] = a->pos[i];
        return store_extra(r, f, "varargs", t);
    }
    if (a->n > (size_t)n->args.n) {
        slm_jj_fail(r, SLM_E_TEMPLATE, "macro '%.*s' takes not more than %d argument(s)", len,
                    name, n->args.n);
        return false;
    }
    return true;
}

jj_val slm_jj_call_macro(struct jj_run *r, struct jj_macro *m, const struct jj_args *a)
{
    struct jj_frame *saved = r->frame, *f;
    bool autoescape = r->autoescape;
    size_t used = 0;
    jj_val v = jj_failed();
    if (++r->calls > r->max_calls) {
        r->calls--;
        return slm_jj_fail(r, SLM_E_LIMIT, "recursion too deep");
    }
    f = slm_jj_frame(r, m->frame);
    r->autoescape = m->autoescape;
    if (f && macro_params(r, m->node, a, f, &used) && macro_extras(r, m->node, a, f, used) &&
        slm_jj_hide(r, f, m->node)) {
        r->frame = f;
        v = slm_jj_capture(r, &m->node->kids);
    }
    r->frame = saved;
    r->autoescape = autoescape;
    r->calls--;
    v.mark = autoescape && v.t == T_STR;
    return v;
}

static jj_val make_range(struct jj_run *r, const struct jj_args *a)
{
    jj_int v[3] = {0, 0, 1};
    if (!slm_jj_no_kw(r, a, "range", 1, 3))
        return jj_failed();
    for (size_t i = 0; i < a->n; i++)
        if (!slm_jj_as_int(a->pos[i], &v[i])) {
            if (a->pos[i].t == T_UNDEF)
                return slm_jj_undef_error(r, a->pos[i]);
            return slm_jj_fail(r, SLM_E_TEMPLATE,
                               "'%s' object cannot be interpreted as an integer",
                               slm_jj_type_name(a->pos[i]));
        }
    if (a->n == 1)
        v[1] = v[0], v[0] = 0;
    if (v[2] == 0)
        return type_error(r, "range", "arg 3 must not be zero");
    jj_int lim = (jj_int)1 << 100, n = 0;
    for (int i = 0; i < 3; i++)
        if (v[i] > lim || v[i] < -lim)
            return slm_jj_fail(r, SLM_E_TEMPLATE, "Range too big");
    if (v[2] > 0 ? v[0] < v[1] : v[0] > v[1])
        n = v[2] > 0 ? (v[1] - v[0] - 1) / v[2] + 1 : (v[0] - v[1] - 1) / -v[2] + 1;
    if (n > 100000)
        return slm_jj_fail(
            r, SLM_E_TEMPLATE,
            "Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000).");
    struct jj_range *g = slm_jj_new(r, sizeof *g);
    if (!g)
        return jj_failed();
    *g = (struct jj_range){v[0], v[1], v[2], n};
    return (jj_val){.t = T_RANGE, .r = g};
}

/* dict(mapping or pairs, **more) */
static jj_val make_dict(struct jj_run *r, const struct jj_args *a)
{
    jj_val d = slm_jj_dict(r), item;
    if (a->n > 1)
        return type_error(r, "dict", "takes at most one positional argument");
    if (a->n == 1 && !jj_bad(d)) {
        jj_val src = a->pos[0];
        if (src.t == T_DICT) {
            for (size_t i = 0; i < src.d->n; i++)
                if (!slm_jj_put(r, d.d, src.d->e[i].k, src.d->e[i].v))
                    return jj_failed();
        } else {
            struct jj_iter *it = slm_jj_iter(r, src);
            int more = it ? 0 : -1;
            while (it && (more = slm_jj_next(r, it, &item)) > 0) {
                jj_val pair = slm_jj_collect(r, item, T_TUPLE);
                if (jj_bad(pair))
                    return pair;
                if (pair.l->n != 2)
                    return slm_jj_fail(
                        r, SLM_E_TEMPLATE,
                        "dictionary update sequence element has length %zu; 2 is required",
                        pair.l->n);
                if (!slm_jj_put(r, d.d, pair.l->v[0], pair.l->v[1]))
                    return jj_failed();
            }
            if (more < 0)
                return jj_failed();
        }
    }
    for (size_t i = 0; !jj_bad(d) && a->kw && i < a->kw->n; i++)
        if (!slm_jj_put(r, d.d, a->kw->e[i].k, a->kw->e[i].v))
            return jj_failed();
    return d;
}

static jj_val make_namespace(struct jj_run *r, const struct jj_args *a)
{
    jj_val d = make_dict(r, a);
    if (jj_bad(d))
        return d;
    for (size_t i = 0; i < d.d->n; i++) {
        jj_val k = d.d->e[i].k;
        if (k.t == T_STR && k.s->n && k.s->s[0] == '_')
            return slm_jj_fail(r, SLM_E_TEMPLATE,
                               "Chat templates cannot store underscore-prefixed attributes on "
                               "a namespace, but got '%.*s'.",
                               (int)(k.s->n > 80 ? 80 : k.s->n), k.s->s);
    }
    d.t = T_NS;
    return d;
}

static jj_val make_cycler(struct jj_run *r, const struct jj_args *a)
{
    if (!slm_jj_no_kw(r, a, "cycler", 1, SIZE_MAX))
        return jj_failed();
    struct jj_cycler *c = slm_jj_new(r, sizeof *c);
    for (size_t i = 0; c && i < a->n; i++)
        if (!slm_jj_push(r, &c->items, a->pos[i]))
            return jj_failed();
    return c ? (jj_val){.t = T_CYCLER, .cyc = c} : jj_failed();
}

static jj_val make_joiner(struct jj_run *r, const struct jj_args *a)
{
    static const struct jj_spec spec = {"joiner", "sep", 0, 0};
    struct jj_joiner *j = slm_jj_new(r, sizeof *j);
    if (!j || !slm_jj_bind(r, &spec, a, &j->sep))
        return jj_failed();
    if (j->sep.t == T_MISSING)
        j->sep = slm_jj_strz(r, ", ");
    return jj_bad(j->sep) ? jj_failed() : (jj_val){.t = T_JOINER, .join = j};
}

static jj_val call_func(struct jj_run *r, int f, const struct jj_args *a)
{
    static const struct jj_spec raise = {"raise_exception", "message", 1, 0},
                                now = {"strftime_now", "format", 1, 0};
    jj_val v;
    switch (f) {
    case F_RANGE: return make_range(r, a);
    case F_DICT: return make_dict(r, a);
    case F_CYCLER: return make_cycler(r, a);
    case F_JOINER: return make_joiner(r, a);
    case F_NAMESPACE: return make_namespace(r, a);
    case F_RAISE:
        if (!slm_jj_bind(r, &raise, a, &v))
            return jj_failed();
        v = slm_jj_to_str(r, v);
        return jj_bad(v) ? v
                         : slm_jj_fail(r, SLM_E_TEMPLATE, "%.*s",
                                       (int)(v.s->n > 480 ? 480 : v.s->n), v.s->s);
    case F_STRFTIME: return slm_jj_bind(r, &now, a, &v) ? slm_jj_strftime(r, v) : jj_failed();
    default: return slm_jj_fail(r, SLM_E_TEMPLATE, "lipsum() is not available");
    }
}

static jj_val seq_method(struct jj_run *r, jj_val self, int id, const struct jj_args *a)
{
    jj_val item;
    jj_int count = 0, at = 0, n = slm_jj_len(r, self), lo = 0, hi = n;
    if (id == ML_copy)
        return slm_jj_no_kw(r, a, "copy", 0, 0) ? slm_jj_collect(r, self, T_LIST) : jj_failed();
    if (!slm_jj_no_kw(r, a, id == ML_index ? "index" : "count", 1, id == ML_index ? 3 : 1))
        return jj_failed();
    if ((a->n > 1 && !slm_jj_as_int(a->pos[1], &lo)) ||
        (a->n > 2 && !slm_jj_as_int(a->pos[2], &hi)))
        return type_error(r, "index", "bounds must be integers");
    lo = lo < 0 ? lo + n : lo;
    hi = hi < 0 ? hi + n : hi;
    struct jj_iter *it = slm_jj_iter(r, self);
    int more = it ? 0 : -1;
    for (; it && (more = slm_jj_next(r, it, &item)) > 0; at++) {
        int same = slm_jj_equal(r, item, a->pos[0]);
        if (same < 0)
            return jj_failed();
        if (same && id == ML_index && at >= lo && at < hi)
            return jj_of_int(at);
        count += same;
    }
    if (more < 0)
        return jj_failed();
    return id == ML_count ? jj_of_int(count)
                          : slm_jj_fail(r, SLM_E_TEMPLATE, "value is not in list");
}

static jj_val view(struct jj_run *r, struct jj_dict *d, int what)
{
    struct jj_view *v = slm_jj_new(r, sizeof *v);
    if (!v)
        return jj_failed();
    *v = (struct jj_view){d, what};
    return (jj_val){.t = T_VIEW, .v = v};
}

static jj_val from_keys(struct jj_run *r, const struct jj_args *a)
{
    jj_val d = slm_jj_dict(r), key;
    if (jj_bad(d) || !slm_jj_no_kw(r, a, "fromkeys", 1, 2))
        return jj_failed();
    struct jj_iter *it = slm_jj_iter(r, a->pos[0]);
    int more = it ? 0 : -1;
    while (it && (more = slm_jj_next(r, it, &key)) > 0)
        if (!slm_jj_put(r, d.d, key, a->n > 1 ? a->pos[1] : jj_none()))
            return jj_failed();
    return more < 0 ? jj_failed() : d;
}

static jj_val dict_method(struct jj_run *r, jj_val self, int id, const struct jj_args *a)
{
    jj_val *have;
    switch (id) {
    case MD_get:
        if (!slm_jj_no_kw(r, a, "get", 1, 2))
            return jj_failed();
        have = slm_jj_get(r, self.d, a->pos[0]);
        return have ? *have : r->code ? jj_failed() : a->n > 1 ? a->pos[1] : jj_none();
    case MD_fromkeys: return from_keys(r, a);
    default:
        if (!slm_jj_no_kw(r, a, "dict method", 0, 0))
            return jj_failed();
        if (id == MD_copy)
            return make_dict(r, &(struct jj_args){.pos = &self, .n = 1});
        return view(r, self.d, id == MD_keys ? 0 : id == MD_values ? 1 : 2);
    }
}

static jj_val number_method(struct jj_run *r, jj_val self, int id, const struct jj_args *a)
{
    jj_int i;
    int n = 0;
    if (!slm_jj_no_kw(r, a, "number method", 0, 0))
        return jj_failed();
    bool whole = slm_jj_as_int(self, &i);
    if (id == MN_conjugate)
        return whole ? jj_of_int(i) : self;
    if (id == MN_is_integer)
        return jj_bool(whole || self.f == __builtin_floor(self.f));
    if (!whole || id == MN_as_integer_ratio)
        return whole ? slm_jj_pair(r, jj_of_int(i), jj_of_int(1))
                     : type_error(r, "as_integer_ratio", "is for integers here");
    for (jj_uint u = i < 0 ? -(jj_uint)i : (jj_uint)i; u; u >>= 1)
        n += id == MN_bit_length ? 1 : (int)(u & 1);
    return jj_of_int(n);
}

static jj_val loop_method(struct jj_run *r, struct jj_loop *l, int id, const struct jj_args *a)
{
    if (id == MO_cycle) {
        if (!slm_jj_no_kw(r, a, "cycle", 1, SIZE_MAX))
            return jj_failed();
        return a->pos[(size_t)l->index0 % a->n];
    }
    jj_val now = slm_jj_list(r, T_TUPLE, a->n);
    if (jj_bad(now) || !slm_jj_no_kw(r, a, "changed", 0, SIZE_MAX))
        return jj_failed();
    for (size_t i = 0; i < a->n; i++)
        now.l->v[now.l->n++] = a->pos[i];
    int same = l->changed.t == T_MISSING ? 0 : slm_jj_equal(r, l->changed, now);
    if (same < 0)
        return jj_failed();
    if (!same)
        l->changed = now;
    return jj_bool(!same);
}

static jj_val cycler_method(struct jj_run *r, struct jj_cycler *c, int id,
                            const struct jj_args *a)
{
    if (!slm_jj_no_kw(r, a, "cycler method", 0, 0))
        return jj_failed();
    if (id == MC_reset) {
        c->pos = 0;
        return jj_none();
    }
    jj_val v = c->items.v[c->pos];
    c->pos = (c->pos + 1) % c->items.n;
    return v;
}

static jj_val bytes_method(struct jj_run *r, jj_val self, int id, const struct jj_args *a)
{
    if (id == MB_decode) {
        if (a->n > 2 || !slm_utf8_valid(self.s->s, self.s->n))
            return type_error(r, "decode", "can't decode these bytes as UTF-8");
        return slm_jj_str_view(r, self.s->s, self.s->n);
    }
    struct slm_buf b;
    slm_jj_buf(r, &b);
    for (size_t i = 0; i < self.s->n; i++)
        slm_buf_printf(&b, "%02x", (unsigned char)self.s->s[i]);
    return slm_jj_buf_str(r, &b);
}

static jj_val call_method(struct jj_run *r, const struct jj_method *m, const struct jj_args *a)
{
    switch (m->self.t) {
    case T_STR: return slm_jj_str_method(r, m->self, m->id, a);
    case T_BYTES: return bytes_method(r, m->self, m->id, a);
    case T_LIST:
    case T_TUPLE:
    case T_RANGE: return seq_method(r, m->self, m->id, a);
    case T_DICT: return dict_method(r, m->self, m->id, a);
    case T_LOOP: return loop_method(r, m->self.loop, m->id, a);
    case T_CYCLER: return cycler_method(r, m->self.cyc, m->id, a);
    default: return number_method(r, m->self, m->id, a);
    }
}

static jj_val call_joiner(struct jj_run *r, struct jj_joiner *j, const struct jj_args *a)
{
    if (!slm_jj_no_kw(r, a, "joiner", 0, 0))
        return jj_failed();
    if (j->used)
        return j->sep;
    j->used = true;
    return slm_jj_strz(r, "");
}

jj_val slm_jj_call(struct jj_run *r, jj_val f, const struct jj_args *a)
{
    jj_val v;
    if (!slm_jj_step(r, 1) || !slm_jj_enter(r))
        return jj_failed();
    switch (f.t) {
    case T_FUNC: v = call_func(r, f.func, a); break;
    case T_METHOD: v = call_method(r, f.m, a); break;
    case T_MACRO: v = slm_jj_call_macro(r, f.mac, a); break;
    case T_LOOP: v = slm_jj_loop_call(r, f.loop, a); break;
    case T_JOINER: v = call_joiner(r, f.join, a); break;
    case T_BLOCK:
        v = slm_jj_no_kw(r, a, "block", 0, 0) ? slm_jj_block_call(r, f.node) : jj_failed();
        break;
    case T_UNDEF: v = slm_jj_undef_error(r, f); break;
    case T_FAIL: v = f; break;
    default:
        v = slm_jj_fail(r, SLM_E_TEMPLATE, "'%s' object is not callable", slm_jj_type_name(f));
    }
    r->level--;
    return v;
}
