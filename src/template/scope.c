/* Jinja's static view of names, where it shows: a name that a scope first sets,
 * unconditionally, and that no scope around it mentions, starts without a value there even if
 * the caller's variables have one; macros and loops that read it before the `set` see nothing.
 * Everything else the frames of the evaluator get right by themselves.
 *
 * The same walk finds filters and tests that do not exist. They are errors of the template, but
 * not where they stand directly in an `if` (or if-else expression): there only when reached. */
#include <string.h>

#include "template/jinja.h"

struct scope {
    struct scope *up;
    struct py_dict *refs;      /* names mentioned */
    struct jj_list_n children; /* nodes that open scopes within this one */
    const struct py_str **hidden;
    int n_hidden, cap;
};

struct walk {
    struct py_run r; /* for its arena and failure */
    slm_template *t;
    struct scope *s;
};

static bool mentioned(const struct scope *s, const struct py_str *name)
{
    for (; s; s = s->up)
        if (slm_py_get_str(s->refs, name->s, name->n))
            return true;
    return false;
}

static bool refer(struct walk *w, const struct py_str *name)
{
    py_val k = {.t = T_STR, .s = (struct py_str *)(uintptr_t)name};
    return slm_py_put(&w->r, w->s->refs, k, k);
}

static bool store(struct walk *w, const struct py_str *name, bool maybe)
{
    struct scope *s = w->s;
    if (!maybe && !mentioned(s, name)) {
        if (s->n_hidden == s->cap) {
            int cap = s->cap ? s->cap * 2 : 8;
            const struct py_str **p = slm_py_new_n(&w->r, (size_t)cap, sizeof *p);
            if (!p)
                return false;
            if (s->n_hidden)
                memcpy(p, s->hidden, (size_t)s->n_hidden * sizeof *p);
            s->hidden = p;
            s->cap = cap;
        }
        s->hidden[s->n_hidden++] = name;
    }
    return refer(w, name);
}

static bool child(struct walk *w, struct jj_node *n)
{
    struct jj_list_n *l = &w->s->children;
    if (l->n == l->cap) {
        int cap = l->cap ? l->cap * 2 : 8;
        struct jj_node **p = slm_py_new_n(&w->r, (size_t)cap, sizeof *p);
        if (!p)
            return false;
        if (l->n)
            memcpy(p, l->v, (size_t)l->n * sizeof *p);
        l->v = p;
        l->cap = cap;
    }
    l->v[l->n++] = n;
    return true;
}

static bool exprs(struct walk *w, const struct jj_list_n *l, bool soft);

static bool expr(struct walk *w, const struct jj_node *n, bool soft)
{
    if (!n)
        return true;
    if (n->kind == N_NAME || n->kind == N_NSREF)
        return mentioned(w->s, n->name) || refer(w, n->name);
    if ((n->kind == N_FILTER || n->kind == N_TEST) && n->id < 0 && !soft) {
        slm_py_fail(&w->r, SLM_E_TEMPLATE, "%s: line %d: No %s named '%.*s'.", w->t->name,
                    n->line, n->kind == N_FILTER ? "filter" : "test", (int)n->name->n,
                    n->name->s);
        return false;
    }
    soft |= n->kind == N_COND;
    return expr(w, n->a, soft) && expr(w, n->b, soft) && expr(w, n->c, soft) &&
           expr(w, n->d, soft) && exprs(w, &n->args, soft) && exprs(w, &n->kids, soft);
}

static bool exprs(struct walk *w, const struct jj_list_n *l, bool soft)
{
    for (int i = 0; i < l->n; i++)
        if (!expr(w, l->v[i], soft))
            return false;
    return true;
}

static bool target(struct walk *w, const struct jj_node *n, bool maybe)
{
    if (n->kind == N_NAME)
        return store(w, n->name, maybe);
    if (n->kind == N_NSREF)
        return expr(w, n, true);
    for (int i = 0; i < n->args.n; i++)
        if (!target(w, n->args.v[i], maybe))
            return false;
    return true;
}

/* soft: directly within an if. maybe: what is set here may not be set. */
static bool body(struct walk *w, const struct jj_list_n *l, bool soft);

static bool statement(struct walk *w, struct jj_node *n, bool soft)
{
    switch (n->kind) {
    case N_PRINT: return exprs(w, &n->args, soft);
    case N_SET: return expr(w, n->b, soft) && target(w, n->a, soft);
    case N_SETBLOCK: return target(w, n->a, soft) && child(w, n);
    case N_MACRO: return store(w, n->name, soft) && child(w, n);
    case N_CALLBLOCK: return expr(w, n->a, soft) && child(w, n);
    case N_FOR: return expr(w, n->b, soft) && child(w, n);
    case N_WITH: return exprs(w, &n->other, soft) && child(w, n);
    case N_FILTERBLOCK:
    case N_SCOPE:
    case N_AUTOESCAPE:
    case N_BLOCK: return child(w, n);
    case N_LOADER: return expr(w, n->a, soft);
    case N_IF:
        if (!expr(w, n->a, true) || !body(w, &n->kids, true))
            return false;
        for (int i = 0; i < n->args.n; i++)
            if (!statement(w, n->args.v[i], true))
                return false;
        return body(w, &n->other, true);
    default: return true;
    }
}

static bool body(struct walk *w, const struct jj_list_n *l, bool soft)
{
    for (int i = 0; i < l->n; i++)
        if (!statement(w, l->v[i], soft))
            return false;
    return true;
}

/* What a scope has from its opening: parameters and loop variables are never hidden. */
static bool opening(struct walk *w, struct jj_node *n)
{
    static const char *const extra[] = {"caller", "kwargs", "varargs", "loop"};
    bool is[] = {n->caller, n->kwargs, n->varargs, n->kind == N_FOR};
    for (int i = 0; i < 4; i++) {
        const py_val *k =
            is[i] ? slm_py_get_str(w->t->interned, extra[i], strlen(extra[i])) : NULL;
        if (k && !refer(w, k->s))
            return false;
    }
    if (n->kind == N_FOR)
        return target(w, n->a, true) && expr(w, n->c, false);
    if (n->kind == N_MACRO || n->kind == N_CALLBLOCK || n->kind == N_WITH)
        for (int i = 0; i < n->args.n; i++)
            if (!target(w, n->args.v[i], true))
                return false;
    if (n->kind == N_MACRO || n->kind == N_CALLBLOCK)
        return exprs(w, &n->other, false);
    if (n->kind == N_AUTOESCAPE || n->kind == N_FILTERBLOCK)
        return expr(w, n->a, false);
    return n->kind != N_SETBLOCK || expr(w, n->b, false);
}

static bool scope(struct walk *w, struct jj_node *n)
{
    py_val refs = slm_py_dict(&w->r);
    struct scope s = {.up = n->kind == N_BLOCK ? NULL : w->s};
    if (py_bad(refs) || !slm_py_enter(&w->r))
        return false;
    s.refs = refs.d;
    struct scope *saved = w->s;
    w->s = &s;
    bool ok = opening(w, n) && body(w, &n->kids, false);
    if (ok && s.n_hidden) {
        n->hidden = slm_arena_alloc_n(&w->t->arena, (size_t)s.n_hidden, sizeof *n->hidden);
        ok = n->hidden != NULL;
        if (ok) {
            memcpy(n->hidden, s.hidden, (size_t)s.n_hidden * sizeof *n->hidden);
            n->n_hidden = s.n_hidden;
        } else {
            slm_py_fail(&w->r, SLM_E_NOMEM, "out of memory in a template");
        }
    }
    for (int i = 0; ok && i < s.children.n; i++)
        ok = scope(w, s.children.v[i]);
    w->s = saved;
    if (ok && n->kind == N_FOR && n->other.n) {
        /* the else branch is a scope beside the body */
        struct jj_node other = {.kind = N_SCOPE, .kids = n->other};
        ok = scope(w, &other);
    }
    w->r.level--;
    return ok;
}

int slm_jj_scopes(slm_template *t, slm_err *err)
{
    struct walk w = {.t = t};
    w.r = (struct py_run){.rt = t->rt,
                          .err = err,
                          .max_memory = (size_t)256 << 20,
                          .max_steps = UINT64_MAX,
                          .max_level = 4000};
    slm_arena_init(&w.r.arena, t->rt, SLM_MEM_TEMPLATE);
    scope(&w, t->root);
    slm_arena_release(&w.r.arena);
    return w.r.code;
}
