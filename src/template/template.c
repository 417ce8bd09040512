/* The public door of the room: templates made, rendered raw and as chats. */
#include <string.h>

#include "template/jinja.h"

enum { MAX_SOURCE = 4 << 20, MAX_MEMORY_MB = 256, MAX_LEVEL = 2400 };

void slm_template_opts_init(slm_template_opts *o)
{
    *o = (slm_template_opts){.now = INT64_MIN};
}

void slm_template_free(slm_template *t)
{
    if (!t)
        return;
    slm_arena_release(&t->arena);
    slm_free(t->rt, t);
}

int slm_template_new(slm_template **out, slm_runtime *rt, const char *src, size_t n,
                     const char *name, slm_err *err)
{
    slm_err own;
    if (!err)
        err = &own;
    *out = NULL;
    if (n > MAX_SOURCE)
        return slm_fail(err, SLM_E_LIMIT, "%s: template of %zu bytes, at most %d", name, n,
                        MAX_SOURCE);
    slm_template *t = slm_zalloc(rt, SLM_MEM_TEMPLATE, sizeof *t);
    if (!t)
        return slm_fail_mem(err, "template", sizeof *t);
    t->rt = rt;
    slm_arena_init(&t->arena, rt, SLM_MEM_TEMPLATE);
    t->name = slm_arena_strdup(&t->arena, name ? name : "template");
    t->src = slm_arena_strndup(&t->arena, src, n);
    t->n_src = n;
    t->interned = slm_arena_alloc(&t->arena, sizeof *t->interned);
    int code = t->name && t->src && t->interned ? 0 : slm_fail_mem(err, "template", n);
    if (!code && !slm_utf8_valid(src, n))
        code = slm_fail(err, SLM_E_TEMPLATE, "%s: not UTF-8", t->name);
    if (!code)
        code = slm_jj_parse(t, err);
    if (!code)
        code = slm_jj_scopes(t, err);
    if (code) {
        err->code = code;
        slm_template_free(t);
        return code;
    }
    *out = t;
    return 0;
}

static void run_init(struct jj_run *x, const slm_template *t, const slm_template_opts *o,
                     slm_err *err)
{
    *x = (struct jj_run){.py = {.rt = t->rt,
                                .max_memory = (size_t)MAX_MEMORY_MB << 20,
                                .max_level = MAX_LEVEL,
                                .max_steps = 50000000,
                                .getattr = slm_jj_getattr,
                                .getitem = slm_jj_getitem},
                         .t = t,
                         .now = INT64_MIN,
                         .max_calls = 200,
                         .max_output = (size_t)16 << 20};
    x->py.err = err ? err : &x->own;
    slm_arena_init(&x->py.arena, t->rt, SLM_MEM_TEMPLATE);
    slm_rng_init(&x->rng, 1);
    if (!o)
        return;
    x->now = o->now;
    if (o->max_output)
        x->max_output = o->max_output;
    if (o->max_steps)
        x->py.max_steps = o->max_steps;
    if (o->max_depth)
        x->max_calls = o->max_depth;
}

/* JSON to values; the text of strings stays the document's. */
static py_val from_json(struct py_run *r, const slm_json *j)
{
    py_val v = py_none(), item;
    size_t n;
    const char *s;
    if (!slm_py_enter(r))
        return py_failed();
    switch (slm_json_type(j)) {
    case SLM_JSON_NULL: break;
    case SLM_JSON_BOOL: v = py_bool(slm_json_bool(j, false)); break;
    case SLM_JSON_INT: v = py_of_int(slm_json_int(j, 0)); break;
    case SLM_JSON_REAL: v = py_float(slm_json_num(j, 0)); break;
    case SLM_JSON_STRING:
        s = slm_json_str(j, &n);
        v = slm_py_str_view(r, s, n);
        break;
    case SLM_JSON_ARRAY:
        n = slm_json_count(j);
        v = slm_py_list(r, T_LIST, n);
        for (size_t i = 0; !py_bad(v) && i < n; i++) {
            item = from_json(r, slm_json_at(j, i));
            if (py_bad(item) || !slm_py_push(r, v.l, item))
                v = py_failed();
        }
        break;
    case SLM_JSON_OBJECT:
        v = slm_py_dict(r);
        for (void *it = slm_json_first(j); !py_bad(v) && it; it = slm_json_next(j, it)) {
            s = slm_json_key(it, &n);
            py_val k = slm_py_str_view(r, s, n);
            item = py_bad(k) ? k : from_json(r, slm_json_value(it));
            if (py_bad(item) || !slm_py_put(r, v.d, k, item))
                v = py_failed();
        }
    }
    r->level--;
    return v;
}

static bool run_template(struct py_run *r, struct slm_buf *out)
{
    slm_buf_init(out, r->rt, SLM_MEM_TEMPLATE, jj(r)->max_output);
    jj(r)->out = out;
    jj(r)->top = out;
    jj(r)->root = jj(r)->frame = slm_jj_frame(r, NULL);
    return jj(r)->root && slm_jj_hide(r, jj(r)->root, jj(r)->t->root) &&
           slm_jj_exec(r, &jj(r)->t->root->kids);
}

static int finish(struct py_run *r, struct slm_buf *out, slm_text *text, slm_err *err)
{
    int code = r->code;
    if (!code)
        code = slm_buf_check(out, "template output", err);
    if (!code)
        code = slm_text_put(text, r->rt, out->s, out->n, err);
    slm_buf_release(out);
    slm_arena_release(&r->arena);
    return code;
}

static bool put_name(struct py_run *r, struct py_dict *d, const char *name, py_val v)
{
    py_val k = slm_py_strz(r, name);
    return !py_bad(v) && !py_bad(k) && slm_py_put(r, d, k, v);
}

static int render_object(const slm_template *t, const slm_json *vars,
                         const slm_template_opts *o, slm_text *text, slm_err *err)
{
    struct jj_run x;
    struct py_run *r = &x.py;
    struct slm_buf out;
    run_init(&x, t, o, err);
    py_val ctx = vars ? from_json(r, vars) : slm_py_dict(r);
    slm_buf_init(&out, t->rt, SLM_MEM_TEMPLATE, 0);
    if (!py_bad(ctx)) {
        x.context = ctx.d;
        run_template(r, &out);
    }
    return finish(r, &out, text, err);
}

int slm_template_render(const slm_template *t, const char *json, size_t n,
                        const slm_template_opts *o, slm_text *out, slm_err *err)
{
    slm_json *j;
    int code = slm_json_parse(&j, json, n, "template variables", err);
    if (code)
        return code;
    if (slm_json_is(j, SLM_JSON_OBJECT))
        code = render_object(t, j, o, out, err);
    else
        code = slm_fail(err, SLM_E_ARG, "template variables: not an object");
    slm_json_free(j);
    return code;
}

/* Chats */

static const char tag[] = "CONTINUE_FINAL_MESSAGE_TAG ";
static const char *const reasoning[] = {"reasoning_content", "thinking", "reasoning"};

struct chat {
    struct py_run *r;
    const slm_json *j;
    py_val messages;
    py_val final; /* the text to be continued; T_MISSING when nothing is */
};

static py_val *member(py_val d, const char *name)
{
    py_val *v = slm_py_get_str(d.d, name, strlen(name));
    return v && v->t != T_NONE ? v : NULL;
}

/* {"thinking": x, **message, "reasoning_content": x} where any of the three names is set. */
static py_val alias_reasoning(struct py_run *r, py_val m)
{
    py_val *have = NULL, d;
    for (int i = 0; i < 3 && !have; i++)
        have = member(m, reasoning[i]);
    if (!have)
        return m;
    d = slm_py_dict(r);
    if (py_bad(d) || !put_name(r, d.d, "thinking", *have))
        return py_failed();
    for (size_t i = 0; i < m.d->n; i++)
        if (!slm_py_put(r, d.d, m.d->e[i].k, m.d->e[i].v))
            return py_failed();
    return put_name(r, d.d, "reasoning_content", *have) ? d : py_failed();
}

static bool load_messages(struct chat *c)
{
    struct py_run *r = c->r;
    const slm_json *j = slm_json_find(c->j, "messages");
    if (!slm_json_is(j, SLM_JSON_ARRAY)) {
        slm_py_fail(r, SLM_E_ARG, "messages: want an array of objects");
        return false;
    }
    c->messages = from_json(r, j);
    for (size_t i = 0; !r->code && i < c->messages.l->n; i++) {
        py_val *m = &c->messages.l->v[i];
        if (m->t != T_DICT)
            slm_py_fail(r, SLM_E_ARG, "messages[%zu]: want an object", i);
        else
            *m = alias_reasoning(r, *m);
    }
    return !r->code;
}

static py_val with_tag(struct py_run *r, py_val s)
{
    py_val t = slm_py_strz(r, tag);
    if (s.t == T_STR && !py_bad(t))
        return slm_py_binary(r, OP_ADD, s, t);
    return slm_py_fail(r, SLM_E_TEMPLATE,
                       "continue_final_message: the final message is no text");
}

/* The last block of a list that has a text gets the tag. */
static bool tag_block(struct chat *c, py_val blocks)
{
    for (size_t i = blocks.l->n; i-- > 0;) {
        py_val *b = &blocks.l->v[i],
               *text = b->t == T_DICT ? slm_py_get_str(b->d, "text", 4) : NULL;
        if (text) {
            c->final = *text;
            *text = with_tag(c->r, *text);
            return !py_bad(*text);
        }
    }
    slm_py_fail(c->r, SLM_E_TEMPLATE,
                "continue_final_message is set but we could not find any text to continue in "
                "the final message!");
    return false;
}

/* Every name the final text stands under gets the tag; one of them must occur in the template.
 */
static bool tag_fields(struct chat *c, py_val last, const char *field, py_val value)
{
    struct py_run *r = c->r;
    const char *fields[3] = {field};
    int n = 1;
    bool known = false;
    for (int i = 0; i < 3; i++)
        if (strcmp(field, reasoning[i]) == 0) {
            n = 0;
            for (int k = 0; k < 3; k++) {
                py_val *v = member(last, reasoning[k]);
                if (v && slm_py_equal(r, *v, value) > 0)
                    fields[n++] = reasoning[k];
            }
            break;
        }
    for (int i = 0; i < n; i++)
        known |= memmem(jj(r)->t->src, jj(r)->t->n_src, fields[i], strlen(fields[i])) != NULL;
    if (!known) {
        slm_py_fail(r, SLM_E_TEMPLATE,
                    "continue_final_message is set to \"%s\" but this is not an accepted field "
                    "in the chat_template",
                    field);
        return false;
    }
    if (py_is_seq(value))
        return tag_block(c, value);
    c->final = value;
    for (int i = 0; i < n; i++) {
        py_val *v = member(last, fields[i]);
        *v = with_tag(r, *v);
        if (py_bad(*v))
            return false;
    }
    return true;
}

static bool tag_final(struct chat *c)
{
    const slm_json *j = slm_json_find(c->j, "continue_final_message");
    const char *field = slm_json_str(j, NULL);
    struct py_run *r = c->r;
    if (!(field                ? *field
          : slm_json_is_num(j) ? slm_json_num(j, 0) != 0
                               : slm_json_bool(j, false)))
        return true;
    if (!field)
        field = "content";
    if (!c->messages.l->n) {
        slm_py_fail(r, SLM_E_TEMPLATE,
                    "continue_final_message is set but the conversation is empty!");
        return false;
    }
    py_val last = c->messages.l->v[c->messages.l->n - 1], *v = member(last, field);
    if (!v) {
        slm_py_fail(
            r, SLM_E_TEMPLATE,
            "continue_final_message is set but the final message has no \"%s\" to continue!",
            field);
        return false;
    }
    return tag_fields(c, last, field, *v);
}

static const char *last_of(const char *s, size_t n, const char *what, size_t len)
{
    for (size_t i = n >= len ? n - len + 1 : 0; i-- > 0;)
        if (memcmp(s + i, what, len) == 0)
            return s + i;
    return NULL;
}

/* Cuts the output at the tag; where the template trimmed the text, white space goes with it. */
static bool cut_at_tag(struct chat *c, struct slm_buf *out)
{
    struct py_run *r = c->r;
    size_t bare = sizeof tag - 2;
    if (c->final.t == T_MISSING)
        return true;
    py_val text = c->final.t == T_STR ? slm_py_strip(r, c->final, py_none(), 3) : py_failed();
    const char *at = last_of(out->s, out->n, tag, bare);
    if (py_bad(text) || !at || (text.s->n && !memmem(out->s, out->n, text.s->s, text.s->n))) {
        slm_py_fail(r, SLM_E_TEMPLATE,
                    "continue_final_message is set but the final message does not appear in "
                    "the chat after applying the chat template");
        return false;
    }
    size_t n = (size_t)(at - out->s);
    if (!(out->n - n > bare && at[bare] == ' ')) {
        py_val head = slm_py_str_view(r, out->s, n);
        head = py_bad(head) ? head : slm_py_strip(r, head, py_none(), 2);
        n = py_bad(head) ? 0 : head.s->n;
    }
    out->n = n;
    out->s[n] = 0;
    return !r->code;
}

static bool check_objects(struct py_run *r, py_val v, const char *what)
{
    if (v.t == T_NONE)
        return true;
    for (size_t i = 0; v.t == T_LIST && i < v.l->n; i++)
        if (v.l->v[i].t != T_DICT)
            v.t = T_FAIL;
    if (v.t != T_LIST)
        slm_py_fail(r, SLM_E_ARG, "%s: want an array of objects", what);
    return v.t == T_LIST;
}

static bool chat_context(struct chat *c)
{
    struct py_run *r = c->r;
    const slm_json *vars = slm_json_find(c->j, "vars");
    py_val ctx = slm_py_dict(r), more;
    static const char *const lists[] = {"tools", "documents"};
    if (py_bad(ctx) || !put_name(r, ctx.d, "messages", c->messages))
        return false;
    for (int i = 0; i < 2; i++) {
        py_val v = from_json(r, slm_json_find(c->j, lists[i]));
        if (py_bad(v) || !check_objects(r, v, lists[i]) || !put_name(r, ctx.d, lists[i], v))
            return false;
    }
    const slm_json *prompt = slm_json_find(c->j, "add_generation_prompt");
    py_val add = prompt ? from_json(r, prompt) : py_bool(false);
    if (!put_name(r, ctx.d, "add_generation_prompt", add))
        return false;
    if (vars && slm_json_type(vars) != SLM_JSON_NULL) {
        if (!slm_json_is(vars, SLM_JSON_OBJECT)) {
            slm_py_fail(r, SLM_E_ARG, "vars: want an object");
            return false;
        }
        more = from_json(r, vars);
        for (size_t i = 0; !py_bad(more) && i < more.d->n; i++) {
            /* a token the tokenizer lacks is absent, not None */
            bool token = slm_py_is(more.d->e[i].k, "bos_token") ||
                         slm_py_is(more.d->e[i].k, "eos_token");
            if (!(token && more.d->e[i].v.t == T_NONE) &&
                !slm_py_put(r, ctx.d, more.d->e[i].k, more.d->e[i].v))
                return false;
        }
        if (py_bad(more))
            return false;
    }
    jj(r)->context = ctx.d;
    return true;
}

static int chat_object(const slm_template *t, const slm_json *j, const slm_template_opts *o,
                       slm_template_spans *spans, slm_text *text, slm_err *err)
{
    struct jj_run x;
    struct slm_buf out;
    struct chat c = {.r = &x.py, .j = j, .final = {.t = T_MISSING}};
    run_init(&x, t, o, err);
    slm_buf_init(&out, t->rt, SLM_MEM_TEMPLATE, 0);
    x.spans = spans;
    if (load_messages(&c))
        x.messages = c.messages.l;
    if (x.messages && tag_final(&c) && chat_context(&c) && run_template(&x.py, &out))
        cut_at_tag(&c, &out);
    return finish(&x.py, &out, text, err);
}

int slm_template_chat_spans(const slm_template *t, const char *json, size_t n,
                            const slm_template_opts *o, slm_text *out,
                            slm_template_spans *spans, slm_err *err)
{
    slm_json *j;
    int code = slm_json_parse(&j, json, n, "chat", err);
    if (code)
        return code;
    code = chat_object(t, j, o, spans, out, err);
    slm_json_free(j);
    return code;
}

int slm_template_chat(const slm_template *t, const char *json, size_t n,
                      const slm_template_opts *o, slm_text *out, slm_err *err)
{
    return slm_template_chat_spans(t, json, n, o, out, NULL, err);
}

void slm_template_spans_release(slm_template_spans *s)
{
    if (s->v)
        slm_free(s->rt, s->v);
    *s = (slm_template_spans){0};
}

int slm_template_marks_generation(const slm_template *t) { return t->generation; }
