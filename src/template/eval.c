/* Expressions. */
#include <string.h>

#include "template/jinja.h"

static int global_func(const struct py_str *name)
{
    static const char *const names[F_COUNT] = {
        [F_RANGE] = "range",           [F_DICT] = "dict",
        [F_LIPSUM] = "lipsum",         [F_CYCLER] = "cycler",
        [F_JOINER] = "joiner",         [F_NAMESPACE] = "namespace",
        [F_RAISE] = "raise_exception", [F_STRFTIME] = "strftime_now"};
    for (int i = 0; i < F_COUNT; i++)
        if (strlen(names[i]) == name->n && memcmp(names[i], name->s, name->n) == 0)
            return i;
    return -1;
}

/* A variable: frames from the inside out, then the caller's variables, then the globals. A
 * frame that says T_MISSING ends the search: the name is the scope's own and has no value yet.
 */
py_val slm_jj_lookup(struct py_run *r, const struct py_str *name)
{
    size_t looked = 0;
    for (struct jj_frame *f = jj(r)->frame; f; f = f->up) {
        looked += f->n;
        for (size_t i = f->n; i-- > 0;)
            if (f->v[i].name == name) {
                if (f->v[i].v.t != T_MISSING)
                    return f->v[i].v;
                goto undefined;
            }
    }
    if (name->n == 4 && memcmp(name->s, "self", 4) == 0)
        return jj_object(T_SELF, NULL);
    py_val *v = slm_py_get_str(jj(r)->context, name->s, name->n);
    if (v)
        return *v;
    int f = global_func(name);
    if (f >= 0)
        return (py_val){.t = T_FUNC, .cls = &slm_jj_classes[T_FUNC - T_HOST], .i = f};
undefined:
    if (!slm_py_step(r, looked / 64))
        return py_failed();
    return slm_py_undef(r, (py_val){.t = T_MISSING},
                        (py_val){.t = T_STR, .s = (struct py_str *)(uintptr_t)name});
}

struct jj_frame *slm_jj_frame(struct py_run *r, struct jj_frame *up)
{
    struct jj_frame *f = slm_py_new(r, sizeof *f);
    if (f)
        f->up = up;
    return f;
}

bool slm_jj_store(struct py_run *r, struct jj_frame *f, const struct py_str *name, py_val v)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->v[i].name == name) {
            f->v[i].v = v;
            return slm_py_step(r, i / 64);
        }
    if (f->n == f->cap) {
        size_t cap = f->cap ? f->cap * 2 : 4;
        struct jj_var *p = slm_py_new_n(r, cap, sizeof *p);
        if (!p)
            return false;
        if (f->n)
            memcpy(p, f->v, f->n * sizeof *p);
        f->v = p;
        f->cap = cap;
    }
    f->v[f->n++] = (struct jj_var){name, v};
    return slm_py_step(r, f->n / 64);
}

/* Evaluates nodes into a fresh array. */
static py_val *eval_all(struct py_run *r, const struct jj_list_n *l, size_t more)
{
    py_val *v = slm_py_new_n(r, (size_t)l->n + more + 1, sizeof *v);
    for (int i = 0; v && i < l->n; i++) {
        v[i] = slm_jj_eval(r, l->v[i]);
        if (py_bad(v[i]))
            return NULL;
    }
    return v;
}

static bool add_keyword(struct py_run *r, struct py_args *a, py_val key, py_val v)
{
    if (!a->kw) {
        py_val d = slm_py_dict(r);
        if (py_bad(d))
            return false;
        a->kw = d.d;
    }
    if (key.t != T_STR || slm_py_get(r, a->kw, key)) {
        slm_py_fail(r, SLM_E_TEMPLATE,
                    key.t != T_STR ? "keywords must be strings"
                                   : "got multiple values for a keyword argument");
        return false;
    }
    return slm_py_put(r, a->kw, key, v);
}

static bool star_args(struct py_run *r, const struct jj_node *n, struct py_args *a)
{
    if (n->c) {
        py_val more = slm_py_collect(r, slm_jj_eval(r, n->c), T_LIST);
        py_val *all = py_bad(more) ? NULL : slm_py_new_n(r, a->n + more.l->n + 1, sizeof *all);
        if (!all)
            return false;
        memcpy(all, a->pos, a->n * sizeof *all);
        if (more.l->n)
            memcpy(all + a->n, more.l->v, more.l->n * sizeof *all);
        a->pos = all;
        a->n += more.l->n;
    }
    if (n->d) {
        py_val kw = slm_jj_eval(r, n->d);
        if (py_bad(kw))
            return false;
        if (kw.t != T_DICT) {
            slm_py_fail(r, SLM_E_TEMPLATE, "argument after ** must be a mapping, not %s",
                        slm_py_type_name(kw));
            return false;
        }
        for (size_t i = 0; i < kw.d->n; i++)
            if (!add_keyword(r, a, kw.d->e[i].k, kw.d->e[i].v))
                return false;
    }
    return true;
}

static bool eval_args(struct py_run *r, const struct jj_node *n, struct py_args *a)
{
    *a = (struct py_args){.n = (size_t)n->args.n};
    if (!(a->pos = eval_all(r, &n->args, 0)))
        return false;
    if (n->c && !star_args(r, &(struct jj_node){.c = n->c}, a))
        return false;
    for (int i = 0; i < n->kids.n; i++) {
        py_val key = {.t = T_STR, .s = (struct py_str *)(uintptr_t)n->names[i]},
               v = slm_jj_eval(r, n->kids.v[i]);
        if (py_bad(v) || !add_keyword(r, a, key, v))
            return false;
    }
    return !n->d || star_args(r, &(struct jj_node){.d = n->d}, a);
}

static py_val eval_dict(struct py_run *r, const struct jj_node *n)
{
    py_val d = slm_py_dict(r);
    for (int i = 0; !py_bad(d) && i < n->args.n; i++) {
        py_val k = slm_jj_eval(r, n->args.v[i]),
               v = py_bad(k) ? k : slm_jj_eval(r, n->kids.v[i]);
        if (py_bad(v) || !slm_py_put(r, d.d, k, v))
            return py_failed();
    }
    return d;
}

static py_val eval_list(struct py_run *r, const struct jj_node *n)
{
    py_val l = slm_py_list(r, n->kind == N_LIST ? T_LIST : T_TUPLE, 0);
    if (py_bad(l) || !(l.l->v = eval_all(r, &n->args, 0)))
        return py_failed();
    l.l->n = l.l->cap = (size_t)n->args.n;
    return l;
}

/* Where Python's subscript raises TypeError. */
static bool unsliceable(py_val obj, const py_val *bounds)
{
    py_int i;
    for (int k = 0; k < 3; k++)
        if (bounds[k].t != T_NONE && !slm_py_as_int(bounds[k], &i))
            return true;
    return obj.t != T_STR && obj.t != T_RANGE && !py_is_seq(obj);
}

static py_val eval_item(struct py_run *r, const struct jj_node *n)
{
    py_val obj = slm_jj_eval(r, n->a);
    if (py_bad(obj) || n->b->kind != N_SLICE)
        return py_bad(obj) ? obj : slm_jj_getitem(r, obj, slm_jj_eval(r, n->b));
    const struct jj_node *part[3] = {n->b->a, n->b->b, n->b->c};
    py_val bounds[3];
    for (int i = 0; i < 3; i++) {
        bounds[i] = part[i] ? slm_jj_eval(r, (struct jj_node *)(uintptr_t)part[i]) : py_none();
        if (py_bad(bounds[i]))
            return py_failed();
    }
    if (n->b->folded && obj.t != T_UNDEF && unsliceable(obj, bounds))
        return slm_py_undef(r, obj, py_none());
    return slm_py_slice(r, obj, bounds);
}

static py_val eval_concat(struct py_run *r, const struct jj_node *n)
{
    struct slm_buf b;
    py_val *v = eval_all(r, &n->args, 0);
    bool mark = false;
    if (!v)
        return py_failed();
    for (int i = 0; jj(r)->autoescape && i < n->args.n; i++)
        mark |= v[i].t == T_STR && v[i].mark;
    slm_py_buf(r, &b);
    for (int i = 0; i < n->args.n; i++) {
        if (mark)
            v[i] = slm_py_escape(r, v[i]);
        if (py_bad(v[i]) || !slm_py_put_str(r, &b, v[i]))
            break;
    }
    py_val s = slm_py_buf_str(r, &b);
    s.mark = mark && s.t == T_STR;
    return s;
}

static py_val eval_compare(struct py_run *r, const struct jj_node *n)
{
    py_val a = slm_jj_eval(r, n->a);
    for (int i = 0; i < n->args.n; i++) {
        py_val b = py_bad(a) ? a : slm_jj_eval(r, n->args.v[i]);
        if (py_bad(b))
            return b;
        int yes = slm_py_compare(r, n->ops[i], a, b);
        if (yes <= 0)
            return yes < 0 ? py_failed() : py_bool(false);
        a = b;
    }
    return py_bool(true);
}

/* and, or, not, if-else: what asks for truth. */
static py_val eval_logic(struct py_run *r, const struct jj_node *n)
{
    bool yes;
    py_val v = slm_jj_eval(r, n->a);
    if (py_bad(v) || !slm_py_truth(r, v, &yes))
        return py_failed();
    switch (n->kind) {
    case N_NOT: return py_bool(!yes);
    case N_AND: return yes ? slm_jj_eval(r, n->b) : v;
    case N_OR: return yes ? v : slm_jj_eval(r, n->b);
    default:
        if (yes)
            return slm_jj_eval(r, n->b);
        return n->c ? slm_jj_eval(r, n->c)
                    : slm_py_undef_hint(r, "the inline if-expression evaluated to false and no "
                                           "else section was defined.");
    }
}

static py_val eval_filter(struct py_run *r, const struct jj_node *n)
{
    struct py_args a;
    if (n->id < 0)
        return slm_py_fail(r, SLM_E_TEMPLATE, "No %s named '%.*s'.",
                           n->kind == N_FILTER ? "filter" : "test", (int)n->name->n,
                           n->name->s);
    py_val v = slm_jj_eval(r, n->a);
    if (py_bad(v) || !eval_args(r, n, &a))
        return py_failed();
    if (n->kind == N_FILTER)
        return slm_jj_filter(r, n->id, v, &a);
    int yes = slm_jj_test(r, n->id, v, &a);
    return yes < 0 ? py_failed() : py_bool(yes);
}

static py_val eval_call(struct py_run *r, const struct jj_node *n)
{
    struct py_args a;
    py_val f = slm_jj_eval(r, n->a);
    return py_bad(f) || !eval_args(r, n, &a) ? py_failed() : slm_jj_call(r, f, &a);
}

static py_val eval_kind(struct py_run *r, struct jj_node *n)
{
    py_val a, b;
    switch (n->kind) {
    case N_CONST: return n->value;
    case N_NAME: return slm_jj_lookup(r, n->name);
    case N_TUPLE:
    case N_LIST: return eval_list(r, n);
    case N_DICT: return eval_dict(r, n);
    case N_ATTR:
        a = slm_jj_eval(r, n->a);
        return py_bad(a) ? a : slm_jj_getattr(r, a, n->value.s);
    case N_ITEM: return eval_item(r, n);
    case N_CALL: return eval_call(r, n);
    case N_FILTER:
    case N_TEST: return eval_filter(r, n);
    case N_NOT:
    case N_AND:
    case N_OR:
    case N_COND: return eval_logic(r, n);
    case N_NEG:
    case N_POS:
        a = slm_jj_eval(r, n->a);
        return py_bad(a) ? a : slm_py_negate(r, a, n->kind == N_NEG);
    case N_BINARY:
        a = slm_jj_eval(r, n->a);
        b = py_bad(a) ? a : slm_jj_eval(r, n->b);
        return py_bad(b) ? b : slm_py_binary(r, n->op, a, b);
    case N_CONCAT: return eval_concat(r, n);
    case N_COMPARE: return eval_compare(r, n);
    default: return slm_py_fail(r, SLM_E_TEMPLATE, "a slice that stands in a tuple");
    }
}

py_val slm_jj_eval(struct py_run *r, struct jj_node *n)
{
    if (!slm_py_step(r, 1) || !slm_py_enter(r))
        return py_failed();
    jj(r)->line = n->line;
    py_val v = eval_kind(r, n);
    r->level--;
    return v;
}
