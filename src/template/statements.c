/* Statements. */
#include <string.h>

#include "template/jinja.h"

bool slm_jj_put_out(struct jj_run *r, const char *s, size_t n)
{
    slm_buf_put(r->out, s, n);
    if (r->out->failed)
        slm_jj_fail(r, r->out->failed,
                    r->out->failed == SLM_E_LIMIT ? "template output over %zu bytes"
                                                  : "out of memory in a template (%zu)",
                    r->max_output);
    return slm_jj_step(r, n / 256);
}

static bool print(struct jj_run *r, const struct jj_node *n)
{
    for (int i = 0; i < n->args.n; i++) {
        jj_val v = slm_jj_eval(r, n->args.v[i]);
        if (jj_bad(v))
            return false;
        if (v.t != T_STR || (r->autoescape && !v.mark))
            v = r->autoescape ? slm_jj_escape(r, v) : slm_jj_soft_str(r, v);
        if (jj_bad(v) || !slm_jj_put_out(r, v.s->s, v.s->n))
            return false;
    }
    return true;
}

/* Names that a scope will set but that have no value before; scope.c found them. */
bool slm_jj_hide(struct jj_run *r, struct jj_frame *f, const struct jj_node *n)
{
    for (int i = 0; i < n->n_hidden; i++)
        if (!slm_jj_store(r, f, n->hidden[i], (jj_val){.t = T_MISSING}))
            return false;
    return true;
}

static bool assign_tuple(struct jj_run *r, struct jj_node *target, jj_val v)
{
    jj_val all = slm_jj_collect(r, v, T_LIST);
    size_t n = (size_t)target->args.n;
    if (jj_bad(all))
        return false;
    if (all.l->n != n) {
        slm_jj_fail(r, SLM_E_TEMPLATE, "%s values to unpack (expected %zu)",
                    all.l->n > n ? "too many" : "not enough", n);
        return false;
    }
    for (size_t i = 0; i < n; i++)
        if (!slm_jj_assign(r, target->args.v[i], all.l->v[i]))
            return false;
    return true;
}

bool slm_jj_assign(struct jj_run *r, struct jj_node *target, jj_val v)
{
    if (target->kind == N_NAME)
        return slm_jj_store(r, r->frame, target->name, v);
    if (target->kind == N_TUPLE)
        return assign_tuple(r, target, v);
    jj_val ns = slm_jj_lookup(r, target->name), key = target->value;
    if (jj_bad(ns))
        return false;
    if (ns.t != T_NS)
        slm_jj_fail(r, SLM_E_TEMPLATE, "cannot assign attribute on non-namespace object");
    else if (key.s->n && key.s->s[0] == '_')
        slm_jj_fail(r, SLM_E_TEMPLATE,
                    "Chat templates cannot store underscore-prefixed attributes on a "
                    "namespace, but got '%.*s'.",
                    (int)key.s->n, key.s->s);
    else
        return slm_jj_put(r, ns.d, key, v);
    return false;
}

/* Namespace targets are looked at before the value is computed. */
static bool check_refs(struct jj_run *r, const struct jj_node *target)
{
    if (target->kind == N_NSREF) {
        jj_val ns = slm_jj_lookup(r, target->name);
        if (ns.t != T_NS)
            slm_jj_fail(r, SLM_E_TEMPLATE, "cannot assign attribute on non-namespace object");
    }
    for (int i = 0; target->kind == N_TUPLE && i < target->args.n; i++)
        if (!check_refs(r, target->args.v[i]))
            return false;
    return !r->code;
}

struct capture {
    struct slm_buf buf, *saved;
};

static void capture_begin(struct jj_run *r, struct capture *c)
{
    slm_jj_buf(r, &c->buf);
    if (c->buf.max > r->max_output)
        c->buf.max = r->max_output;
    c->saved = r->out;
    r->out = &c->buf;
}

static jj_val capture_end(struct jj_run *r, struct capture *c)
{
    r->out = c->saved;
    return slm_jj_buf_str(r, &c->buf);
}

jj_val slm_jj_capture(struct jj_run *r, const struct jj_list_n *body)
{
    struct capture c;
    capture_begin(r, &c);
    slm_jj_exec(r, body);
    return capture_end(r, &c);
}

/* The filters of a block, innermost first, applied to its text. */
static jj_val filter_chain(struct jj_run *r, struct jj_node *n, jj_val text)
{
    if (n->a && jj_bad(text = filter_chain(r, n->a, text)))
        return text;
    struct jj_node input = {.kind = N_CONST, .value = text, .line = n->line, .depth = 1},
                   call = *n;
    call.a = &input;
    return slm_jj_eval(r, &call);
}

static bool set_block(struct jj_run *r, struct jj_node *n)
{
    struct jj_frame *outer = r->frame, *f = slm_jj_frame(r, outer);
    if (!f || !slm_jj_hide(r, f, n))
        return false;
    r->frame = f;
    jj_val v = slm_jj_capture(r, &n->kids);
    v.mark = r->autoescape && v.t == T_STR;
    if (n->b && !jj_bad(v) && !r->flow)
        v = filter_chain(r, n->b, v);
    r->frame = outer;
    if (n->b && r->autoescape && v.t == T_STR)
        v.mark = true;
    return !jj_bad(v) && (r->flow || slm_jj_assign(r, n->a, v));
}

static bool filter_block(struct jj_run *r, struct jj_node *n)
{
    struct jj_frame *outer = r->frame, *f = slm_jj_frame(r, outer);
    if (!f || !slm_jj_hide(r, f, n))
        return false;
    r->frame = f;
    jj_val v = slm_jj_capture(r, &n->kids);
    v.mark = r->autoescape && v.t == T_STR;
    if (!jj_bad(v) && !r->flow)
        v = slm_jj_soft_str(r, filter_chain(r, n->a, v));
    r->frame = outer;
    return !jj_bad(v) && (r->flow || slm_jj_put_out(r, v.s->s, v.s->n));
}

static bool with_block(struct jj_run *r, struct jj_node *n)
{
    struct jj_frame *outer = r->frame, *f = slm_jj_frame(r, outer);
    if (!f || !slm_jj_hide(r, f, n))
        return false;
    bool ok = true;
    for (int i = 0; ok && i < n->args.n; i++) {
        jj_val v = slm_jj_eval(r, n->other.v[i]);
        r->frame = f;
        ok = !jj_bad(v) && slm_jj_assign(r, n->args.v[i], v);
        r->frame = outer;
    }
    r->frame = f;
    ok = ok && slm_jj_exec(r, &n->kids);
    r->frame = outer;
    return ok;
}

static jj_val new_macro(struct jj_run *r, struct jj_node *n)
{
    struct jj_macro *m = slm_jj_new(r, sizeof *m);
    if (!m)
        return jj_failed();
    *m = (struct jj_macro){n, r->frame, r->autoescape};
    return (jj_val){.t = T_MACRO, .mac = m};
}

/* {% call f(x) %}: the call with one more keyword, caller. */
static bool call_block(struct jj_run *r, struct jj_node *n)
{
    jj_val m = new_macro(r, n), key = slm_jj_strz(r, "caller");
    if (jj_bad(m) || jj_bad(key))
        return false;
    int count = n->a->kids.n;
    struct jj_node call = *n->a,
                   arg = {.kind = N_CONST, .value = m, .line = n->line, .depth = 1};
    struct jj_node **kids = slm_jj_new_n(r, (size_t)count + 1, sizeof *kids);
    const struct jj_str **names = slm_jj_new_n(r, (size_t)count + 1, sizeof *names);
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
    jj_val v = slm_jj_eval(r, &call);
    if (!jj_bad(v))
        v = r->autoescape ? slm_jj_escape(r, v) : slm_jj_soft_str(r, v);
    return !jj_bad(v) && slm_jj_put_out(r, v.s->s, v.s->n);
}

static bool if_block(struct jj_run *r, struct jj_node *n)
{
    struct jj_node *branch = n;
    for (int i = -1; i < n->args.n; i++) {
        bool yes;
        if (i >= 0)
            branch = n->args.v[i];
        jj_val v = slm_jj_eval(r, branch->a);
        if (jj_bad(v) || !slm_jj_truth(r, v, &yes))
            return false;
        if (yes)
            return slm_jj_exec(r, &branch->kids);
    }
    return slm_jj_exec(r, &n->other);
}

static bool autoescape_block(struct jj_run *r, struct jj_node *n)
{
    bool saved = r->autoescape;
    struct jj_frame *outer = r->frame, *f = slm_jj_frame(r, outer);
    jj_val v = f && slm_jj_hide(r, f, n) ? slm_jj_eval(r, n->a) : jj_failed();
    if (jj_bad(v) || !slm_jj_truth(r, v, &r->autoescape))
        return false;
    r->frame = f;
    bool ok = slm_jj_exec(r, &n->kids);
    r->frame = outer;
    r->autoescape = saved;
    return ok;
}

static bool scope_block(struct jj_run *r, struct jj_node *n, struct jj_frame *up)
{
    struct jj_frame *outer = r->frame, *f = slm_jj_frame(r, up);
    if (!f || !slm_jj_hide(r, f, n))
        return false;
    r->frame = f;
    bool ok = slm_jj_exec(r, &n->kids);
    r->frame = outer;
    return ok;
}

jj_val slm_jj_block_call(struct jj_run *r, struct jj_node *n)
{
    struct capture c;
    capture_begin(r, &c);
    scope_block(r, n, r->root);
    jj_val v = capture_end(r, &c);
    v.mark = r->autoescape && v.t == T_STR;
    return v;
}

/* Loops */

static int loop_next(struct jj_run *r, struct jj_loop *l)
{
    jj_val v = l->after;
    if (v.t != T_MISSING) {
        l->after = (jj_val){.t = T_MISSING};
    } else {
        int more = slm_jj_next(r, l->it, &v);
        if (more <= 0)
            return more;
    }
    l->index0++;
    l->before = l->now;
    l->now = v;
    return 1;
}

static bool loop_peek(struct jj_run *r, struct jj_loop *l)
{
    return l->after.t != T_MISSING || slm_jj_next(r, l->it, &l->after) >= 0;
}

static bool loop_length(struct jj_run *r, struct jj_loop *l)
{
    if (l->length >= 0)
        return true;
    jj_int n = l->src.t == T_ITER ? -1 : slm_jj_len(r, l->src);
    if (n < 0) {
        jj_val rest = slm_jj_collect(r, (jj_val){.t = T_ITER, .it = l->it}, T_LIST);
        if (jj_bad(rest))
            return false;
        n = (jj_int)rest.l->n + l->index0 + 1 + (l->after.t != T_MISSING);
        if (!(l->it = slm_jj_iter(r, rest)))
            return false;
    }
    l->length = (int64_t)n;
    return !r->code;
}

jj_val slm_jj_loop_attr(struct jj_run *r, struct jj_loop *l, const char *name, size_t n)
{
    static const char *const names[] = {"index",    "index0",   "first",     "last",
                                        "length",   "revindex", "revindex0", "previtem",
                                        "nextitem", "depth",    "depth0"};
    int k = 0;
    while (k < 11 && (strlen(names[k]) != n || memcmp(names[k], name, n)))
        k++;
    if (k >= 4 && k <= 6 && !loop_length(r, l))
        return jj_failed();
    if ((k == 3 || k == 8) && !loop_peek(r, l))
        return jj_failed();
    switch (k) {
    case 0: return jj_of_int(l->index0 + 1);
    case 1: return jj_of_int(l->index0);
    case 2: return jj_bool(l->index0 == 0);
    case 3: return jj_bool(l->after.t == T_MISSING);
    case 4: return jj_of_int(l->length);
    case 5: return jj_of_int(l->length - l->index0);
    case 6: return jj_of_int(l->length - l->index0 - 1);
    case 7: return l->index0 ? l->before : slm_jj_undef_hint(r, "there is no previous item");
    case 8:
        return l->after.t == T_MISSING ? slm_jj_undef_hint(r, "there is no next item")
                                       : l->after;
    case 9: return jj_of_int(l->depth0 + 1);
    case 10: return jj_of_int(l->depth0);
    default: return (jj_val){.t = T_MISSING};
    }
}

static struct jj_loop *new_loop(struct jj_run *r, struct jj_node *n, jj_val items, int depth0)
{
    const jj_val missing = {.t = T_MISSING};
    struct jj_loop *l = slm_jj_new(r, sizeof *l);
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
                          .frame = r->frame};
    if (!n->c) {
        l->it = slm_jj_iter(r, items);
    } else if ((l->it = slm_jj_generator(r, I_LOOPIF, items))) {
        l->it->node = n;
        l->it->frame = slm_jj_frame(r, r->frame);
        l->src = (jj_val){.t = T_ITER, .it = l->it};
        if (!l->it->frame)
            return NULL;
    }
    return l->it ? l : NULL;
}

bool slm_jj_for(struct jj_run *r, struct jj_node *n, jj_val items, int depth0)
{
    struct jj_frame *outer = r->frame, *f = slm_jj_frame(r, outer);
    struct jj_loop *l = f ? new_loop(r, n, items, depth0) : NULL;
    const jj_val *name = slm_jj_get_str(r->t->interned, "loop", 4);
    bool whole =
        false; /* some iteration came to the end of the body: then `else` does not run */
    int more = -1;
    while (l && (more = loop_next(r, l)) > 0) {
        f->n = 0;
        r->frame = f;
        more = (!name || slm_jj_store(r, f, name->s, (jj_val){.t = T_LOOP, .loop = l})) &&
                       slm_jj_hide(r, f, n) && slm_jj_assign(r, n->a, l->now) &&
                       slm_jj_exec(r, &n->kids)
                   ? 1
                   : -1;
        r->frame = outer;
        if (more < 0)
            break;
        int flow = r->flow;
        r->flow = 0;
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
    r->frame = f;
    bool ok = slm_jj_exec(r, &n->other);
    r->frame = outer;
    return ok;
}

jj_val slm_jj_loop_call(struct jj_run *r, struct jj_loop *l, const struct jj_args *a)
{
    struct jj_frame *saved = r->frame;
    struct capture c;
    if (!slm_jj_no_kw(r, a, "loop", 1, 1))
        return jj_failed();
    if (!l->node)
        return slm_jj_fail(
            r, SLM_E_TEMPLATE,
            "The loop must have the 'recursive' marker to be called recursively.");
    if (++r->calls > r->max_calls) {
        r->calls--;
        return slm_jj_fail(r, SLM_E_LIMIT, "recursion too deep");
    }
    capture_begin(r, &c);
    r->frame = l->frame;
    slm_jj_for(r, l->node, a->pos[0], l->depth0 + 1);
    r->frame = saved;
    r->calls--;
    jj_val v = capture_end(r, &c);
    v.mark = r->autoescape && v.t == T_STR;
    return v;
}

static bool statement(struct jj_run *r, struct jj_node *n)
{
    jj_val v;
    switch (n->kind) {
    case N_DATA: return slm_jj_put_out(r, n->value.s->s, n->value.s->n);
    case N_PRINT: return print(r, n);
    case N_IF: return if_block(r, n);
    case N_FOR: v = slm_jj_eval(r, n->b); return !jj_bad(v) && slm_jj_for(r, n, v, 0);
    case N_SET:
        if (!check_refs(r, n->a))
            return false;
        v = slm_jj_eval(r, n->b);
        return !jj_bad(v) && slm_jj_assign(r, n->a, v);
    case N_SETBLOCK: return set_block(r, n);
    case N_MACRO:
        v = new_macro(r, n);
        return !jj_bad(v) && slm_jj_store(r, r->frame, n->name, v);
    case N_CALLBLOCK: return call_block(r, n);
    case N_FILTERBLOCK: return filter_block(r, n);
    case N_WITH: return with_block(r, n);
    case N_BLOCK: return scope_block(r, n, r->root);
    case N_SCOPE: return scope_block(r, n, r->frame);
    case N_AUTOESCAPE: return autoescape_block(r, n);
    case N_BREAK:
    case N_CONTINUE: r->flow = n->kind; return true;
    default:
        slm_jj_fail(r, SLM_E_TEMPLATE,
                    "include, import and extends: no loader for this environment specified");
        return false;
    }
}

bool slm_jj_exec(struct jj_run *r, const struct jj_list_n *body)
{
    if (!slm_jj_enter(r))
        return false;
    bool ok = true;
    for (int i = 0; ok && !r->flow && i < body->n; i++) {
        r->line = body->v[i]->line;
        ok = slm_jj_step(r, 1) && statement(r, body->v[i]);
    }
    r->level--;
    return ok;
}
