/* Calls: macros, the global functions, and the methods of loops and cyclers. */
#include <string.h>

#include "template/jinja.h"

/* Parameters a macro takes by name, from the call's arguments; its defaults in order. */
static bool macro_params(struct py_run *r, const struct jj_node *n, const struct py_args *a,
                         struct jj_frame *f, size_t *used)
{
    int params = n->args.n, first_default = params - n->other.n;
    bool *unset = slm_py_new(r, (size_t)params + 1);
    if (!unset)
        return false;
    for (int i = 0; i < params; i++) {
        const struct py_str *name = n->args.v[i]->name;
        py_val v = {.t = T_MISSING};
        if ((size_t)i < a->n) {
            v = a->pos[i];
        } else if (a->kw) {
            py_val *kw = slm_py_get_str(a->kw, name->s, name->n);
            if (kw) {
                v = *kw;
                ++*used;
            }
        }
        unset[i] = v.t == T_MISSING;
        if (!slm_jj_store(r, f, name, v))
            return false;
    }
    jj(r)->frame = f;
    for (int i = 0; i < params; i++) {
        if (!unset[i])
            continue;
        const struct py_str *name = n->args.v[i]->name;
        py_val v = i >= first_default
                       ? slm_jj_eval(r, n->other.v[i - first_default])
                       : slm_py_undef_hint(r, "a macro's parameter was not provided");
        if (py_bad(v) || !slm_jj_store(r, f, name, v))
            return false;
    }
    return true;
}

/* A variable whose name the macro's body mentions (so it is interned). */
static bool store_extra(struct py_run *r, struct jj_frame *f, const char *name, py_val v)
{
    py_val *key = slm_py_get_str(jj(r)->t->interned, name, strlen(name));
    return !py_bad(v) && (!key || slm_jj_store(r, f, key->s, v));
}

/* caller, kwargs and varargs: what of the call's arguments is left over. */
static bool macro_extras(struct py_run *r, const struct jj_node *n, const struct py_args *a,
                         struct jj_frame *f, size_t used)
{
    py_val *kw = a->kw ? slm_py_get_str(a->kw, "caller", 6) : NULL;
    bool has_caller = false;
    for (int i = 0; i < n->args.n; i++)
        has_caller |=
            n->args.v[i]->name->n == 6 && memcmp(n->args.v[i]->name->s, "caller", 6) == 0;
    if (n->caller && !has_caller) {
        py_val v = kw && kw->t != T_NONE ? *kw : slm_py_undef_hint(r, "No caller defined");
        used += kw != NULL;
        if (!store_extra(r, f, "caller", v))
            return false;
    }
    const char *name = n->name ? n->name->s : "None";
    int len = n->name ? (int)n->name->n : 4;
    if (n->kwargs) {
        py_val d = slm_py_dict(r);
        for (size_t i = 0; !py_bad(d) && a->kw && i < a->kw->n; i++) {
            const struct py_str *k = a->kw->e[i].k.s;
            bool taken = n->caller && k->n == 6 && memcmp(k->s, "caller", 6) == 0;
            for (int p = (int)(a->n < (size_t)n->args.n ? a->n : (size_t)n->args.n);
                 p < n->args.n; p++)
                taken |= n->args.v[p]->name->n == k->n &&
                         memcmp(n->args.v[p]->name->s, k->s, k->n) == 0;
            if (!taken && !slm_py_put(r, d.d, a->kw->e[i].k, a->kw->e[i].v))
                return false;
        }
        if (py_bad(d) || !store_extra(r, f, "kwargs", d))
            return false;
    } else if (a->kw && used < a->kw->n) {
        slm_py_fail(r, SLM_E_TEMPLATE, "macro '%.*s' takes no such keyword argument", len,
                    name);
        return false;
    }
    if (n->varargs) {
        py_val t = slm_py_list(r, T_TUPLE, a->n);
        for (size_t i = (size_t)n->args.n; !py_bad(t) && i < a->n; i++)
            t.l->v[t.l->n++] = a->pos[i];
        return store_extra(r, f, "varargs", t);
    }
    if (a->n > (size_t)n->args.n) {
        slm_py_fail(r, SLM_E_TEMPLATE, "macro '%.*s' takes not more than %d argument(s)", len,
                    name, n->args.n);
        return false;
    }
    return true;
}

py_val slm_jj_call_macro(struct py_run *r, struct jj_macro *m, const struct py_args *a)
{
    struct jj_frame *saved = jj(r)->frame, *f;
    bool autoescape = jj(r)->autoescape;
    size_t used = 0;
    py_val v = py_failed();
    if (++jj(r)->calls > jj(r)->max_calls) {
        jj(r)->calls--;
        return slm_py_fail(r, SLM_E_LIMIT, "recursion too deep");
    }
    f = slm_jj_frame(r, m->frame);
    jj(r)->autoescape = m->autoescape;
    if (f && macro_params(r, m->node, a, f, &used) && macro_extras(r, m->node, a, f, used) &&
        slm_jj_hide(r, f, m->node)) {
        jj(r)->frame = f;
        v = slm_jj_capture(r, &m->node->kids);
    }
    jj(r)->frame = saved;
    jj(r)->autoescape = autoescape;
    jj(r)->calls--;
    v.mark = autoescape && v.t == T_STR;
    return v;
}

static py_val make_range(struct py_run *r, const struct py_args *a)
{
    py_int v[3] = {0, 0, 1};
    if (!slm_py_no_kw(r, a, "range", 1, 3))
        return py_failed();
    for (size_t i = 0; i < a->n; i++)
        if (!slm_py_as_int(a->pos[i], &v[i])) {
            if (a->pos[i].t == T_UNDEF)
                return slm_py_undef_error(r, a->pos[i]);
            return slm_py_fail(r, SLM_E_TEMPLATE,
                               "'%s' object cannot be interpreted as an integer",
                               slm_py_type_name(a->pos[i]));
        }
    if (a->n == 1)
        v[1] = v[0], v[0] = 0;
    if (v[2] == 0)
        return slm_py_type_error(r, "range", "arg 3 must not be zero");
    py_int lim = (py_int)1 << 100, n = 0;
    for (int i = 0; i < 3; i++)
        if (v[i] > lim || v[i] < -lim)
            return slm_py_fail(r, SLM_E_TEMPLATE, "Range too big");
    if (v[2] > 0 ? v[0] < v[1] : v[0] > v[1])
        n = v[2] > 0 ? (v[1] - v[0] - 1) / v[2] + 1 : (v[0] - v[1] - 1) / -v[2] + 1;
    if (n > 100000)
        return slm_py_fail(
            r, SLM_E_TEMPLATE,
            "Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000).");
    struct py_range *g = slm_py_new(r, sizeof *g);
    if (!g)
        return py_failed();
    *g = (struct py_range){v[0], v[1], v[2], n};
    return (py_val){.t = T_RANGE, .r = g};
}

static py_val make_namespace(struct py_run *r, const struct py_args *a)
{
    py_val d = slm_py_make_dict(r, a);
    if (py_bad(d))
        return d;
    for (size_t i = 0; i < d.d->n; i++) {
        py_val k = d.d->e[i].k;
        if (k.t == T_STR && k.s->n && k.s->s[0] == '_')
            return slm_py_fail(r, SLM_E_TEMPLATE,
                               "Chat templates cannot store underscore-prefixed attributes on "
                               "a namespace, but got '%.*s'.",
                               (int)(k.s->n > 80 ? 80 : k.s->n), k.s->s);
    }
    return jj_object(T_NS, d.d);
}

static py_val make_cycler(struct py_run *r, const struct py_args *a)
{
    if (!slm_py_no_kw(r, a, "cycler", 1, SIZE_MAX))
        return py_failed();
    struct jj_cycler *c = slm_py_new(r, sizeof *c);
    for (size_t i = 0; c && i < a->n; i++)
        if (!slm_py_push(r, &c->items, a->pos[i]))
            return py_failed();
    return c ? jj_object(T_CYCLER, c) : py_failed();
}

static py_val make_joiner(struct py_run *r, const struct py_args *a)
{
    static const struct py_spec spec = {"joiner", "sep", 0, 0};
    struct jj_joiner *j = slm_py_new(r, sizeof *j);
    if (!j || !slm_py_bind(r, &spec, a, &j->sep))
        return py_failed();
    if (j->sep.t == T_MISSING)
        j->sep = slm_py_strz(r, ", ");
    return py_bad(j->sep) ? py_failed() : jj_object(T_JOINER, j);
}

static py_val call_func(struct py_run *r, int f, const struct py_args *a)
{
    static const struct py_spec raise = {"raise_exception", "message", 1, 0},
                                now = {"strftime_now", "format", 1, 0};
    py_val v;
    switch (f) {
    case F_RANGE: return make_range(r, a);
    case F_DICT: return slm_py_make_dict(r, a);
    case F_CYCLER: return make_cycler(r, a);
    case F_JOINER: return make_joiner(r, a);
    case F_NAMESPACE: return make_namespace(r, a);
    case F_RAISE:
        if (!slm_py_bind(r, &raise, a, &v))
            return py_failed();
        v = slm_py_to_str(r, v);
        return py_bad(v) ? v
                         : slm_py_fail(r, SLM_E_TEMPLATE, "%.*s",
                                       (int)(v.s->n > 480 ? 480 : v.s->n), v.s->s);
    case F_STRFTIME:
        if (!slm_py_bind(r, &now, a, &v))
            return py_failed();
        if (jj(r)->now == INT64_MIN)
            jj(r)->now = slm_clock_local();
        return slm_py_strftime(r, v, jj(r)->now);
    default: return slm_py_fail(r, SLM_E_TEMPLATE, "lipsum() is not available");
    }
}

static py_val loop_method(struct py_run *r, struct jj_loop *l, int id, const struct py_args *a)
{
    if (id == MO_CYCLE) {
        if (!slm_py_no_kw(r, a, "cycle", 1, SIZE_MAX))
            return py_failed();
        return a->pos[(size_t)l->index0 % a->n];
    }
    py_val now = slm_py_list(r, T_TUPLE, a->n);
    if (py_bad(now) || !slm_py_no_kw(r, a, "changed", 0, SIZE_MAX))
        return py_failed();
    for (size_t i = 0; i < a->n; i++)
        now.l->v[now.l->n++] = a->pos[i];
    int same = l->changed.t == T_MISSING ? 0 : slm_py_equal(r, l->changed, now);
    if (same < 0)
        return py_failed();
    if (!same)
        l->changed = now;
    return py_bool(!same);
}

static py_val cycler_method(struct py_run *r, struct jj_cycler *c, int id,
                            const struct py_args *a)
{
    if (!slm_py_no_kw(r, a, "cycler method", 0, 0))
        return py_failed();
    if (id == MC_RESET) {
        c->pos = 0;
        return py_none();
    }
    py_val v = c->items.v[c->pos];
    c->pos = (c->pos + 1) % c->items.n;
    return v;
}

static py_val call_method(struct py_run *r, const struct py_method *m, const struct py_args *a)
{
    if (m->self.t == T_LOOP)
        return loop_method(r, m->self.host, m->id, a);
    if (m->self.t == T_CYCLER)
        return cycler_method(r, m->self.host, m->id, a);
    return slm_py_call_method(r, m, a);
}

static py_val call_joiner(struct py_run *r, struct jj_joiner *j, const struct py_args *a)
{
    if (!slm_py_no_kw(r, a, "joiner", 0, 0))
        return py_failed();
    if (j->used)
        return j->sep;
    j->used = true;
    return slm_py_strz(r, "");
}

py_val slm_jj_call(struct py_run *r, py_val f, const struct py_args *a)
{
    py_val v;
    if (!slm_py_step(r, 1) || !slm_py_enter(r))
        return py_failed();
    switch (f.t) {
    case T_FUNC: v = call_func(r, (int)f.i, a); break;
    case T_METHOD: v = call_method(r, f.m, a); break;
    case T_MACRO: v = slm_jj_call_macro(r, f.host, a); break;
    case T_LOOP: v = slm_jj_loop_call(r, f.host, a); break;
    case T_JOINER: v = call_joiner(r, f.host, a); break;
    case T_BLOCK:
        v = slm_py_no_kw(r, a, "block", 0, 0) ? slm_jj_block_call(r, f.host) : py_failed();
        break;
    case T_UNDEF: v = slm_py_undef_error(r, f); break;
    case T_FAIL: v = f; break;
    default:
        v = slm_py_fail(r, SLM_E_TEMPLATE, "'%s' object is not callable", slm_py_type_name(f));
    }
    r->level--;
    return v;
}
