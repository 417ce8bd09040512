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

static void run_init(struct jj_run *r, const slm_template *t, const slm_template_opts *o,
                     slm_err *err)
{
    *r = (struct jj_run){.rt = t->rt,
                         .t = t,
                         .now = INT64_MIN,
                         .max_memory = (size_t)MAX_MEMORY_MB << 20,
                         .max_level = MAX_LEVEL,
                         .max_steps = 50000000,
                         .max_calls = 200,
                         .max_output = (size_t)16 << 20};
    r->err = err ? err : &r->own;
    slm_arena_init(&r->arena, t->rt, SLM_MEM_TEMPLATE);
    slm_rng_init(&r->rng, 1);
    if (!o)
        return;
    r->now = o->now;
    if (o->max_output)
        r->max_output = o->max_output;
    if (o->max_steps)
        r->max_steps = o->max_steps;
    if (o->max_depth)
        r->max_calls = o->max_depth;
}

/* JSON to values; the text of strings stays the document's. */
static jj_val from_json(struct jj_run *r, const slm_json *j)
{
    jj_val v = jj_none(), item;
    size_t n;
    const char *s;
    if (!slm_jj_enter(r))
        return jj_failed();
    switch (slm_json_type(j)) {
    case SLM_JSON_NULL: break;
    case SLM_JSON_BOOL: v = jj_bool(slm_json_bool(j, false)); break;
    case SLM_JSON_INT: v = jj_of_int(slm_json_int(j, 0)); break;
    case SLM_JSON_REAL: v = jj_float(slm_json_num(j, 0)); break;
    case SLM_JSON_STRING:
        s = slm_json_str(j, &n);
        v = slm_jj_str_view(r, s, n);
        break;
    case SLM_JSON_ARRAY:
        n = slm_json_count(j);
        v = slm_jj_list(r, T_LIST, n);
        for (size_t i = 0; !jj_bad(v) && i < n; i++) {
            item = from_json(r, slm_json_at(j, i));
            if (jj_bad(item) || !slm_jj_push(r, v.l, item))
                v = jj_failed();
        }
        break;
    case SLM_JSON_OBJECT:
        v = slm_jj_dict(r);
        for (void *it = slm_json_first(j); !jj_bad(v) && it; it = slm_json_next(j, it)) {
            s = slm_json_key(it, &n);
            jj_val k = slm_jj_str_view(r, s, n);
            item = jj_bad(k) ? k : from_json(r, slm_json_value(it));
            if (jj_bad(item) || !slm_jj_put(r, v.d, k, item))
                v = jj_failed();
        }
    }
    r->level--;
    return v;
}

static bool run_template(struct jj_run *r, struct slm_buf *out)
{
    slm_buf_init(out, r->rt, SLM_MEM_TEMPLATE, r->max_output);
    r->out = out;
    r->root = r->frame = slm_jj_frame(r, NULL);
    return r->root && slm_jj_hide(r, r->root, r->t->root) && slm_jj_exec(r, &r->t->root->kids);
}

static int finish(struct jj_run *r, struct slm_buf *out, slm_text *text, slm_err *err)
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

static bool put_name(struct jj_run *r, struct jj_dict *d, const char *name, jj_val v)
{
    jj_val k = slm_jj_strz(r, name);
    return !jj_bad(v) && !jj_bad(k) && slm_jj_put(r, d, k, v);
}

static int render_object(const slm_template *t, const slm_json *vars,
                         const slm_template_opts *o, slm_text *text, slm_err *err)
{
    struct jj_run r;
    struct slm_buf out;
    run_init(&r, t, o, err);
    jj_val ctx = vars ? from_json(&r, vars) : slm_jj_dict(&r);
    slm_buf_init(&out, t->rt, SLM_MEM_TEMPLATE, 0);
    if (!jj_bad(ctx)) {
        r.context = ctx.d;
        run_template(&r, &out);
    }
    return finish(&r, &out, text, err);
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
    struct jj_run *r;
    const slm_json *j;
    jj_val messages;
    jj_val final; /* the text to be continued; T_MISSING when nothing is */
};

static jj_val *member(jj_val d, const char *name)
{
    jj_val *v = slm_jj_get_str(d.d, name, strlen(name));
    return v && v->t != T_NONE ? v : NULL;
}

/* {"thinking": x, **message, "reasoning_content": x} where any of the three names is set. */
static jj_val alias_reasoning(struct jj_run *r, jj_val m)
{
    jj_val *have = NULL, d;
    for (int i = 0; i < 3 && !have; i++)
        have = member(m, reasoning[i]);
    if (!have)
        return m;
    d = slm_jj_dict(r);
    if (jj_bad(d) || !put_name(r, d.d, "thinking", *have))
        return jj_failed();
    for (size_t i = 0; i < m.d->n; i++)
        if (!slm_jj_put(r, d.d, m.d->e[i].k, m.d->e[i].v))
            return jj_failed();
    return put_name(r, d.d, "reasoning_content", *have) ? d : jj_failed();
}

static bool load_messages(struct chat *c)
{
    struct jj_run *r = c->r;
    const slm_json *j = slm_json_find(c->j, "messages");
    if (!slm_json_is(j, SLM_JSON_ARRAY)) {
        slm_jj_fail(r, SLM_E_ARG, "messages: want an array of objects");
        return false;
    }
    c->messages = from_json(r, j);
    for (size_t i = 0; !r->code && i < c->messages.l->n; i++) {
        jj_val *m = &c->messages.l->v[i];
        if (m->t != T_DICT)
            slm_jj_fail(r, SLM_E_ARG, "messages[%zu]: want an object", i);
        else
            *m = alias_reasoning(r, *m);
    }
    return !r->code;
}

static jj_val with_tag(struct jj_run *r, jj_val s)
{
    jj_val t = slm_jj_strz(r, tag);
    if (s.t == T_STR && !jj_bad(t))
        return slm_jj_binary(r, OP_ADD, s, t);
    return slm_jj_fail(r, SLM_E_TEMPLATE,
                       "continue_final_message: the final message is no text");
}

/* The last block of a list that has a text gets the tag. */
static bool tag_block(struct chat *c, jj_val blocks)
{
    for (size_t i = blocks.l->n; i-- > 0;) {
        jj_val *b = &blocks.l->v[i],
               *text = b->t == T_DICT ? slm_jj_get_str(b->d, "text", 4) : NULL;
        if (text) {
            c->final = *text;
            *text = with_tag(c->r, *text);
            return !jj_bad(*text);
        }
    }
    slm_jj_fail(c->r, SLM_E_TEMPLATE,
                "continue_final_message is set but we could not find any text to continue in "
                "the final message!");
    return false;
}

/* Every name the final text stands under gets the tag; one of them must occur in the template.
 */
static bool tag_fields(struct chat *c, jj_val last, const char *field, jj_val value)
{
    struct jj_run *r = c->r;
    const char *fields[3] = {field};
    int n = 1;
    bool known = false;
    for (int i = 0; i < 3; i++)
        if (strcmp(field, reasoning[i]) == 0) {
            n = 0;
            for (int k = 0; k < 3; k++) {
                jj_val *v = member(last, reasoning[k]);
                if (v && slm_jj_equal(r, *v, value) > 0)
                    fields[n++] = reasoning[k];
            }
            break;
        }
    for (int i = 0; i < n; i++)
        known |= memmem(r->t->src, r->t->n_src, fields[i], strlen(fields[i])) != NULL;
    if (!known) {
        slm_jj_fail(r, SLM_E_TEMPLATE,
                    "continue_final_message is set to \"%s\" but this is not an accepted field "
                    "in the chat_template",
                    field);
        return false;
    }
    if (jj_is_seq(value))
        return tag_block(c, value);
    c->final = value;
    for (int i = 0; i < n; i++) {
        jj_val *v = member(last, fields[i]);
        *v = with_tag(r, *v);
        if (jj_bad(*v))
            return false;
    }
    return true;
}

static bool tag_final(struct chat *c)
{
    const slm_json *j = slm_json_find(c->j, "continue_final_message");
    const char *field = slm_json_str(j, NULL);
    struct jj_run *r = c->r;
    if (!(field                ? *field
          : slm_json_is_num(j) ? slm_json_num(j, 0) != 0
                               : slm_json_bool(j, false)))
        return true;
    if (!field)
        field = "content";
    if (!c->messages.l->n) {
        slm_jj_fail(r, SLM_E_TEMPLATE,
                    "continue_final_message is set but the conversation is empty!");
        return false;
    }
    jj_val last = c->messages.l->v[c->messages.l->n - 1], *v = member(last, field);
    if (!v) {
        slm_jj_fail(
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
    struct jj_run *r = c->r;
    size_t bare = sizeof tag - 2;
    if (c->final.t == T_MISSING)
        return true;
    jj_val text = c->final.t == T_STR ? slm_jj_strip(r, c->final, jj_none(), 3) : jj_failed();
    const char *at = last_of(out->s, out->n, tag, bare);
    if (jj_bad(text) || !at || (text.s->n && !memmem(out->s, out->n, text.s->s, text.s->n))) {
        slm_jj_fail(r, SLM_E_TEMPLATE,
                    "continue_final_message is set but the final message does not appear in "
                    "the chat after applying the chat template");
        return false;
    }
    size_t n = (size_t)(at - out->s);
    if (!(out->n - n > bare && at[bare] == ' ')) {
        jj_val head = slm_jj_str_view(r, out->s, n);
        head = jj_bad(head) ? head : slm_jj_strip(r, head, jj_none(), 2);
        n = jj_bad(head) ? 0 : head.s->n;
    }
    out->n = n;
    out->s[n] = 0;
    return !r->code;
}

static bool check_objects(struct jj_run *r, jj_val v, const char *what)
{
    if (v.t == T_NONE)
        return true;
    for (size_t i = 0; v.t == T_LIST && i < v.l->n; i++)
        if (v.l->v[i].t != T_DICT)
            v.t = T_FAIL;
    if (v.t != T_LIST)
        slm_jj_fail(r, SLM_E_ARG, "%s: want an array of objects", what);
    return v.t == T_LIST;
}

static bool chat_context(struct chat *c)
{
    struct jj_run *r = c->r;
    const slm_json *vars = slm_json_find(c->j, "vars");
    jj_val ctx = slm_jj_dict(r), more;
    static const char *const lists[] = {"tools", "documents"};
    if (jj_bad(ctx) || !put_name(r, ctx.d, "messages", c->messages))
        return false;
    for (int i = 0; i < 2; i++) {
        jj_val v = from_json(r, slm_json_find(c->j, lists[i]));
        if (jj_bad(v) || !check_objects(r, v, lists[i]) || !put_name(r, ctx.d, lists[i], v))
            return false;
    }
    const slm_json *prompt = slm_json_find(c->j, "add_generation_prompt");
    jj_val add = prompt ? from_json(r, prompt) : jj_bool(false);
    if (!put_name(r, ctx.d, "add_generation_prompt", add))
        return false;
    if (vars && slm_json_type(vars) != SLM_JSON_NULL) {
        if (!slm_json_is(vars, SLM_JSON_OBJECT)) {
            slm_jj_fail(r, SLM_E_ARG, "vars: want an object");
            return false;
        }
        more = from_json(r, vars);
        for (size_t i = 0; !jj_bad(more) && i < more.d->n; i++) {
            /* a token the tokenizer lacks is absent, not None */
            bool token = slm_jj_is(more.d->e[i].k, "bos_token") ||
                         slm_jj_is(more.d->e[i].k, "eos_token");
            if (!(token && more.d->e[i].v.t == T_NONE) &&
                !slm_jj_put(r, ctx.d, more.d->e[i].k, more.d->e[i].v))
                return false;
        }
        if (jj_bad(more))
            return false;
    }
    r->context = ctx.d;
    return true;
}

static int chat_object(const slm_template *t, const slm_json *j, const slm_template_opts *o,
                       slm_text *text, slm_err *err)
{
    struct jj_run r;
    struct slm_buf out;
    struct chat c = {.r = &r, .j = j, .final = {.t = T_MISSING}};
    run_init(&r, t, o, err);
    slm_buf_init(&out, t->rt, SLM_MEM_TEMPLATE, 0);
    if (load_messages(&c) && tag_final(&c) && chat_context(&c) && run_template(&r, &out))
        cut_at_tag(&c, &out);
    return finish(&r, &out, text, err);
}

int slm_template_chat(const slm_template *t, const char *json, size_t n,
                      const slm_template_opts *o, slm_text *out, slm_err *err)
{
    slm_json *j;
    int code = slm_json_parse(&j, json, n, "chat", err);
    if (code)
        return code;
    code = chat_object(t, j, o, out, err);
    slm_json_free(j);
    return code;
}
