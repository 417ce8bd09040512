/* Statements. */
#include <string.h>

#include "template/jinja.h"

bool slm_jj_put_out(struct py_run *r, const char *s, size_t n)
{
    slm_buf_put(jj(r)->out, s, n);
    if (jj(r)->out->failed)
        slm_py_fail(r, jj(r)->out->failed,
                    jj(r)->out->failed == SLM_E_LIMIT ? "template output over %zu bytes"
                                                      : "out of memory in a template (%zu)",
                    jj(r)->max_output);
    return slm_py_step(r, n / 256);
}

static bool print(struct py_run *r, const struct jj_node *n)
{
    for (int i = 0; i < n->args.n; i++) {
        py_val v = slm_jj_eval(r, n->args.v[i]);
        if (py_bad(v))
            return false;
        if (v.t != T_STR || (jj(r)->autoescape && !v.mark))
            v = jj(r)->autoescape ? slm_py_escape(r, v) : slm_py_soft_str(r, v);
        if (py_bad(v) || !slm_jj_put_out(r, v.s->s, v.s->n))
            return false;
    }
    return true;
}

/* Names that a scope will set but that have no value before; scope.c found them. */
bool slm_jj_hide(struct py_run *r, struct jj_frame *f, const struct jj_node *n)
{
    for (int i = 0; i < n->n_hidden; i++)
        if (!slm_jj_store(r, f, n->hidden[i], (py_val){.t = T_MISSING}))
            return false;
    return true;
}

static bool assign_tuple(struct py_run *r, struct jj_node *target, py_val v)
{
    py_val all = slm_py_collect(r, v, T_LIST);
    size_t n = (size_t)target->args.n;
    if (py_bad(all))
        return false;
    if (all.l->n != n) {
        slm_py_fail(r, SLM_E_TEMPLATE, "%s values to unpack (expected %zu)",
                    all.l->n > n ? "too many" : "not enough", n);
        return false;
    }
    for (size_t i = 0; i < n; i++)
        if (!slm_jj_assign(r, target->args.v[i], all.l->v[i]))
            return false;
    return true;
}

bool slm_jj_assign(struct py_run *r, struct jj_node *target, py_val v)
{
    if (target->kind == N_NAME)
        return slm_jj_store(r, jj(r)->frame, target->name, v);
    if (target->kind == N_TUPLE)
        return assign_tuple(r, target, v);
    py_val ns = slm_jj_lookup(r, target->name), key = target->value;
    if (py_bad(ns))
        return false;
    if (ns.t != T_NS)
        slm_py_fail(r, SLM_E_TEMPLATE, "cannot assign attribute on non-namespace object");
    else if (key.s->n && key.s->s[0] == '_')
        slm_py_fail(r, SLM_E_TEMPLATE,
                    "Chat templates cannot store underscore-prefixed attributes on a "
                    "namespace, but got '%.*s'.",
                    (int)key.s->n, key.s->s);
    else
        return slm_py_put(r, ns.d, key, v);
    return false;
}

/* Namespace targets are looked at before the value is computed. */
static bool check_refs(struct py_run *r, const struct jj_node *target)
{
    if (target->kind == N_NSREF) {
        py_val ns = slm_jj_lookup(r, target->name);
        if (ns.t != T_NS)
            slm_py_fail(r, SLM_E_TEMPLATE, "cannot assign attribute on non-namespace object");
    }
    for (int i = 0; target->kind == N_TUPLE && i < target->args.n; i++)
        if (!check_refs(r, target->args.v[i]))
            return false;
    return !r->code;
}

struct capture {
    struct slm_buf buf, *saved;
};

static void capture_begin(struct py_run *r, struct capture *c)
{
    slm_py_buf(r, &c->buf);
    if (c->buf.max > jj(r)->max_output)
        c->buf.max = jj(r)->max_output;
    c->saved = jj(r)->out;
    jj(r)->out = &c->buf;
}

static py_val capture_end(struct py_run *r, struct capture *c)
{
    jj(r)->out = c->saved;
    return slm_py_buf_str(r, &c->buf);
}

py_val slm_jj_capture(struct py_run *r, const struct jj_list_n *body)
{
    struct capture c;
    capture_begin(r, &c);
    slm_jj_exec(r, body);
    return capture_end(r, &c);
}

/* The filters of a block, innermost first, applied to its text. */
static py_val filter_chain(struct py_run *r, struct jj_node *n, py_val text)
{
    if (n->a && py_bad(text = filter_chain(r, n->a, text)))
        return text;
    struct jj_node input = {.kind = N_CONST, .value = text, .line = n->line, .depth = 1},
                   call = *n;
    call.a = &input;
    return slm_jj_eval(r, &call);
}

static bool set_block(struct py_run *r, struct jj_node *n)
{
    struct jj_frame *outer = jj(r)->frame, *f = slm_jj_frame(r, outer);
    if (!f || !slm_jj_hide(r, f, n))
        return false;
    jj(r)->frame = f;
    py_val v = slm_jj_capture(r, &n->kids);
    v.mark = jj(r)->autoescape && v.t == T_STR;
    if (n->b && !py_bad(v) && !jj(r)->flow)
        v = filter_chain(r, n->b, v);
    jj(r)->frame = outer;
    if (n->b && jj(r)->autoescape && v.t == T_STR)
        v.mark = true;
    return !py_bad(v) && (jj(r)->flow || slm_jj_assign(r, n->a, v));
}

static bool filter_block(struct py_run *r, struct jj_node *n)
{
    struct jj_frame *outer = jj(r)->frame, *f = slm_jj_frame(r, outer);
    if (!f || !slm_jj_hide(r, f, n))
        return false;
    jj(r)->frame = f;
    py_val v = slm_jj_capture(r, &n->kids);
    v.mark = jj(r)->autoescape && v.t == T_STR;
    if (!py_bad(v) && !jj(r)->flow)
        v = slm_py_soft_str(r, filter_chain(r, n->a, v));
    jj(r)->frame = outer;
    return !py_bad(v) && (jj(r)->flow || slm_jj_put_out(r, v.s->s, v.s->n));
}

static bool with_block(struct py_run *r, struct jj_node *n)
{
    struct jj_frame *outer = jj(r)->frame, *f = slm_jj_frame(r, outer);
    if (!f || !slm_jj_hide(r, f, n))
        return false;
    bool ok = true;
    for (int i = 0; ok && i < n->args.n; i++) {
        py_val v = slm_jj_eval(r, n->other.v[i]);
        jj(r)->frame = f;
        ok = !py_bad(v) && slm_jj_assign(r, n->args.v[i], v);
        jj(r)->frame = outer;
    }
    jj(r)->frame = f;
    ok = ok && slm_jj_exec(r, &n->kids);
    jj(r)->frame = outer;
    return ok;
}

static py_val new_macro(struct py_run *r, struct jj_node *n)
{
    struct jj_macro *m = slm_py_new(r, sizeof *m);
    if (!m)
        return py_failed();
    *m = (struct jj_macro){n, jj(r)->frame, jj(r)->autoescape};
    return jj_object(T_MACRO, m);
}

/* {% call f(x) %}: the call with one more keyword, caller. */
static bool call_block(struct py_run *r, struct jj_node *n)
{
    py_val m = new_macro(r, n), key = slm_py_strz(r, "caller");
    if (py_bad(m) || py_bad(key))
        return false;
    int count = n->a->kids.n;
    struct jj_node call = *n->a,
                   arg = {.kind = N_CONST, .value = m, .line = n->line, .depth = 1};
    struct jj_node **kids = slm_py_new_n(r, (size_t)count + 1, sizeof *kids);
    const struct py_str **names = slm_py_new_n(r, (size_t)count + 1, sizeof *names);
    if (!kids || !names)
        return false;
    for (int i = 0; i < count; i++) {
        kids[i] = n->a->kids.v[i];
        names[i] = n->a->names[i];
    }
    kids[count] = &arg;
    names[count] = key.s;
    call.kids = (struct jj_list_n){kids, count + 1, count + 1};
    call.names = names;
    py_val v = slm_jj_eval(r, &call);
    if (!py_bad(v))
        v = jj(r)->autoescape ? slm_py_escape(r, v) : slm_py_soft_str(r, v);
    return !py_bad(v) && slm_jj_put_out(r, v.s->s, v.s->n);
}

static bool if_block(struct py_run *r, struct jj_node *n)
{
    struct jj_node *branch = n;
    for (int i = -1; i < n->args.n; i++) {
        bool yes;
        if (i >= 0)
            branch = n->args.v[i];
        py_val v = slm_jj_eval(r, branch->a);
        if (py_bad(v) || !slm_py_truth(r, v, &yes))
            return false;
        if (yes)
            return slm_jj_exec(r, &branch->kids);
    }
    return slm_jj_exec(r, &n->other);
}

static bool autoescape_block(struct py_run *r, struct jj_node *n)
{
    bool saved = jj(r)->autoescape;
    struct jj_frame *outer = jj(r)->frame, *f = slm_jj_frame(r, outer);
    py_val v = f && slm_jj_hide(r, f, n) ? slm_jj_eval(r, n->a) : py_failed();
    if (py_bad(v) || !slm_py_truth(r, v, &jj(r)->autoescape))
        return false;
    jj(r)->frame = f;
    bool ok = slm_jj_exec(r, &n->kids);
    jj(r)->frame = outer;
    jj(r)->autoescape = saved;
    return ok;
}

static bool scope_block(struct py_run *r, struct jj_node *n, struct jj_frame *up)
{
    struct jj_frame *outer = jj(r)->frame, *f = slm_jj_frame(r, up);
    if (!f || !slm_jj_hide(r, f, n))
        return false;
    jj(r)->frame = f;
    bool ok = slm_jj_exec(r, &n->kids);
    jj(r)->frame = outer;
    return ok;
}

py_val slm_jj_block_call(struct py_run *r, struct jj_node *n)
{
    struct capture c;
    capture_begin(r, &c);
    scope_block(r, n, jj(r)->root);
    py_val v = capture_end(r, &c);
    v.mark = jj(r)->autoescape && v.t == T_STR;
    return v;
}

/* Loops */

static int loop_next(struct py_run *r, struct jj_loop *l)
{
    py_val v = l->after;
    if (v.t != T_MISSING) {
        l->after = (py_val){.t = T_MISSING};
    } else {
        int more = slm_py_next(r, l->it, &v);
        if (more <= 0)
            return more;
    }
    l->index0++;
    l->before = l->now;
    l->now = v;
    return 1;
}

static bool loop_peek(struct py_run *r, struct jj_loop *l)
{
    return l->after.t != T_MISSING || slm_py_next(r, l->it, &l->after) >= 0;
}

static bool loop_length(struct py_run *r, struct jj_loop *l)
{
    if (l->length >= 0)
        return true;
    py_int n = l->src.t == T_ITER ? -1 : slm_py_len(r, l->src);
    if (n < 0) {
        py_val rest = slm_py_collect(r, (py_val){.t = T_ITER, .it = l->it}, T_LIST);
        if (py_bad(rest))
            return false;
        n = (py_int)rest.l->n + l->index0 + 1 + (l->after.t != T_MISSING);
        if (!(l->it = slm_py_iter(r, rest)))
            return false;
    }
    l->length = (int64_t)n;
    return !r->code;
}

py_val slm_jj_loop_attr(struct py_run *r, struct jj_loop *l, const char *name, size_t n)
{
    static const char *const names[] = {"index",    "index0",   "first",     "last",
                                        "length",   "revindex", "revindex0", "previtem",
                                        "nextitem", "depth",    "depth0"};
    int k = 0;
    while (k < 11 && (strlen(names[k]) != n || memcmp(names[k], name, n)))
        k++;
    if (k >= 4 && k <= 6 && !loop_length(r, l))
        return py_failed();
    if ((k == 3 || k == 8) && !loop_peek(r, l))
        return py_failed();
    switch (k) {
    case 0: return py_of_int(l->index0 + 1);
    case 1: return py_of_int(l->index0);
    case 2: return py_bool(l->index0 == 0);
    case 3: return py_bool(l->after.t == T_MISSING);
    case 4: return py_of_int(l->length);
    case 5: return py_of_int(l->length - l->index0);
    case 6: return py_of_int(l->length - l->index0 - 1);
    case 7: return l->index0 ? l->before : slm_py_undef_hint(r, "there is no previous item");
    case 8:
        return l->after.t == T_MISSING ? slm_py_undef_hint(r, "there is no next item")
                                       : l->after;
    case 9: return py_of_int(l->depth0 + 1);
    case 10: return py_of_int(l->depth0);
    default: return (py_val){.t = T_MISSING};
    }
}

static struct jj_loop *new_loop(struct py_run *r, struct jj_node *n, py_val items, int depth0)
{
    const py_val missing = {.t = T_MISSING};
    struct jj_loop *l = slm_py_new(r, sizeof *l);
    if (!l)
        return NULL;
    *l = (struct jj_loop){.src = items,
                          .now = missing,
                          .before = missing,
                          .after = missing,
                          .changed = missing,
                          .index0 = -1,
                          .length = -1,
                          .depth0 = depth0,
                          .node = n->recursive ? n : NULL,
                          .frame = jj(r)->frame};
    if (!n->c) {
        l->it = slm_py_iter(r, items);
        return l->it ? l : NULL;
    }
    struct jj_gen *g = slm_jj_generator(r, G_LOOPIF, items);
    if (!g || !(g->frame = slm_jj_frame(r, jj(r)->frame)))
        return NULL;
    g->node = n;
    l->it = &g->it;
    l->src = (py_val){.t = T_ITER, .it = l->it};
    return l;
}

/* The text of a message, which views share with the chat it came from. */
static const char *text_of(py_val v)
{
    const py_val *text = slm_py_get_str(v.d, "content", 7);
    return text && text->t == T_STR && text->s->n ? text->s->s : NULL;
}

/* Which of the chat's messages an item of a loop is: by identity, so that loops over parts of
 * the list and filtered lists tell too; a message made anew by the identity of its text. */
static int64_t message_of(struct py_run *r, py_val v)
{
    const struct py_list *l = jj(r)->messages;
    const char *text = l && v.t == T_DICT ? text_of(v) : NULL;
    for (size_t i = 0; l && v.t == T_DICT && i < l->n; i++)
        if (l->v[i].d == v.d)
            return (int64_t)i;
    for (size_t i = 0; text && i < l->n; i++)
        if (text_of(l->v[i]) == text)
            return (int64_t)i;
    return -1;
}

bool slm_jj_span(struct py_run *r, const struct slm_buf *out, size_t from, int64_t message)
{
    slm_template_spans *s = jj(r)->spans;
    if (!s || out->n == from)
        return true;
    bool inner = out != jj(r)->top; /* its place in the output is not known */
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 16;
        slm_template_span *v = slm_realloc(r->rt, SLM_MEM_TEMPLATE, s->v, cap * sizeof *v);
        if (!v) {
            slm_py_fail(r, SLM_E_NOMEM, "out of memory in a template (%zu)", cap * sizeof *v);
            return false;
        }
        *s = (slm_template_spans){v, s->n, cap, r->rt};
    }
    s->v[s->n++] =
        (slm_template_span){inner ? SIZE_MAX : from, inner ? SIZE_MAX : out->n, (int)message};
    return slm_py_step(r, 1);
}

bool slm_jj_for(struct py_run *r, struct jj_node *n, py_val items, int depth0)
{
    struct jj_frame *outer = jj(r)->frame, *f = slm_jj_frame(r, outer);
    struct jj_loop *l = f ? new_loop(r, n, items, depth0) : NULL;
    const py_val *name = slm_py_get_str(jj(r)->t->interned, "loop", 4);
    bool whole =
        false; /* some iteration came to the end of the body: then `else` does not run */
    int more = -1;
    while (l && (more = loop_next(r, l)) > 0) {
        const struct slm_buf *out = jj(r)->out;
        size_t from = out->n;
        int64_t message = jj(r)->spans ? message_of(r, l->now) : -1;
        f->n = 0;
        jj(r)->frame = f;
        more = (!name || slm_jj_store(r, f, name->s, jj_object(T_LOOP, l))) &&
                       slm_jj_hide(r, f, n) && slm_jj_assign(r, n->a, l->now) &&
                       slm_jj_exec(r, &n->kids)
                   ? 1
                   : -1;
        jj(r)->frame = outer;
        if (more > 0 && message >= 0 && !slm_jj_span(r, out, from, message))
            more = -1;
        if (more < 0)
            break;
        int flow = jj(r)->flow;
        jj(r)->flow = 0;
        if (flow == N_BREAK)
            break;
        whole |= !flow;
    }
    if (f)
        f->n = 0;
    if (more < 0 || whole || !n->other.n)
        return more >= 0;
    if (!(f = slm_jj_frame(r, outer)))
        return false;
    jj(r)->frame = f;
    bool ok = slm_jj_exec(r, &n->other);
    jj(r)->frame = outer;
    return ok;
}

py_val slm_jj_loop_call(struct py_run *r, struct jj_loop *l, const struct py_args *a)
{
    struct jj_frame *saved = jj(r)->frame;
    struct capture c;
    if (!slm_py_no_kw(r, a, "loop", 1, 1))
        return py_failed();
    if (!l->node)
        return slm_py_fail(
            r, SLM_E_TEMPLATE,
            "The loop must have the 'recursive' marker to be called recursively.");
    if (++jj(r)->calls > jj(r)->max_calls) {
        jj(r)->calls--;
        return slm_py_fail(r, SLM_E_LIMIT, "recursion too deep");
    }
    capture_begin(r, &c);
    jj(r)->frame = l->frame;
    slm_jj_for(r, l->node, a->pos[0], l->depth0 + 1);
    jj(r)->frame = saved;
    jj(r)->calls--;
    py_val v = capture_end(r, &c);
    v.mark = jj(r)->autoescape && v.t == T_STR;
    return v;
}

/* A generation block's text is the model's own. */
static bool generation(struct py_run *r, struct jj_node *n)
{
    const struct slm_buf *out = jj(r)->out;
    size_t from = out->n;
    return scope_block(r, n, jj(r)->frame) && slm_jj_span(r, out, from, -1);
}

static bool statement(struct py_run *r, struct jj_node *n)
{
    py_val v;
    switch (n->kind) {
    case N_DATA: return slm_jj_put_out(r, n->value.s->s, n->value.s->n);
    case N_PRINT: return print(r, n);
    case N_IF: return if_block(r, n);
    case N_FOR: v = slm_jj_eval(r, n->b); return !py_bad(v) && slm_jj_for(r, n, v, 0);
    case N_SET:
        if (!check_refs(r, n->a))
            return false;
        v = slm_jj_eval(r, n->b);
        return !py_bad(v) && slm_jj_assign(r, n->a, v);
    case N_SETBLOCK: return set_block(r, n);
    case N_MACRO:
        v = new_macro(r, n);
        return !py_bad(v) && slm_jj_store(r, jj(r)->frame, n->name, v);
    case N_CALLBLOCK: return call_block(r, n);
    case N_FILTERBLOCK: return filter_block(r, n);
    case N_WITH: return with_block(r, n);
    case N_BLOCK: return scope_block(r, n, jj(r)->root);
    case N_SCOPE:
        return n->op == N_OP_GENERATION ? generation(r, n) : scope_block(r, n, jj(r)->frame);
    case N_AUTOESCAPE: return autoescape_block(r, n);
    case N_BREAK:
    case N_CONTINUE: jj(r)->flow = n->kind; return true;
    default:
        slm_py_fail(r, SLM_E_TEMPLATE,
                    "include, import and extends: no loader for this environment specified");
        return false;
    }
}

bool slm_jj_exec(struct py_run *r, const struct jj_list_n *body)
{
    if (!slm_py_enter(r))
        return false;
    bool ok = true;
    for (int i = 0; ok && !jj(r)->flow && i < body->n; i++) {
        jj(r)->line = body->v[i]->line;
        ok = slm_py_step(r, 1) && statement(r, body->v[i]);
    }
    r->level--;
    return ok;
}
