/* Statements: tags and template data to a tree of nodes, by recursive descent.
 *
 * Includes, imports and extends parse (chat templates have no loader, but a branch that never
 * runs may hold one) and fail when reached, as they do in Transformers. */
#include <string.h>

#include "template/parse.h"

enum { MAX_STATEMENTS = 200 };

typedef const char *const *tags;
static bool statement(struct jj_parser *p, struct jj_node *owner, struct jj_list_n *body);

static bool is_any(const struct jj_token *k, tags end)
{
    for (; end && *end; end++)
        if (jj_tok_is(k, *end))
            return true;
    return false;
}

/* Jinja computes an output without variables while it compiles, where a slice of what has none
 * is undefined instead of an error. Names, calls and filters that want a context prevent it. */
static bool constant(const struct jj_node *n)
{
    static const char *const lazy[] = {"map", "select", "reject", "selectattr", "rejectattr"};
    if (!n)
        return true;
    if (n->kind == N_NAME || n->kind == N_CALL)
        return false;
    for (size_t i = 0; n->kind == N_FILTER && i < sizeof lazy / sizeof *lazy; i++)
        if (strlen(lazy[i]) == n->name->n && memcmp(lazy[i], n->name->s, n->name->n) == 0)
            return false;
    for (int i = 0; i < n->args.n; i++)
        if (!constant(n->args.v[i]))
            return false;
    for (int i = 0; i < n->kids.n; i++)
        if (!constant(n->kids.v[i]))
            return false;
    return constant(n->a) && constant(n->b) && constant(n->c) && constant(n->d);
}

static void mark_folded(struct jj_node *n)
{
    if (!n)
        return;
    n->folded = true;
    for (int i = 0; i < n->args.n; i++)
        mark_folded(n->args.v[i]);
    for (int i = 0; i < n->kids.n; i++)
        mark_folded(n->kids.v[i]);
    mark_folded(n->a);
    mark_folded(n->b);
    mark_folded(n->c);
    mark_folded(n->d);
}

/* Body up to one of the end tags (whose name is the current token then) or the template's end.
 */
static bool body(struct jj_parser *p, struct jj_node *owner, struct jj_list_n *to, tags end)
{
    for (;;) {
        struct jj_token *k = jj_tok(p);
        struct jj_node *n;
        if (k->type == K_EOF) {
            if (end)
                slm_jj_parse_fail(
                    p, k->line, "Unexpected end of template. Looking for the tag '%s'", end[0]);
            return !end;
        }
        p->at++;
        if (k->type == K_DATA) {
            if (!(n = slm_jj_node(p, N_DATA, k->line)))
                return false;
            struct py_str *s = slm_arena_alloc(&p->t->arena, sizeof *s);
            if (!s) {
                p->code = slm_fail_mem(p->err, "template", sizeof *s);
                return false;
            }
            *s = (struct py_str){.s = k->s, .n = k->n, .chars = SIZE_MAX};
            n->value = (py_val){.t = T_STR, .s = s};
        } else if (k->type == K_VAR_BEGIN) {
            n = slm_jj_node(p, N_PRINT, k->line);
            struct jj_node *e = n ? slm_jj_parse_tuple(p, (struct jj_tuple_opts){0}) : NULL;
            if (!e || !slm_jj_add(p, n, &n->args, e) || !slm_jj_expect(p, K_VAR_END))
                return false;
            if (constant(e))
                mark_folded(e);
        } else {
            if (is_any(jj_tok(p), end))
                return true;
            if (!statement(p, owner, to) || !slm_jj_expect(p, K_BLOCK_END))
                return false;
            continue;
        }
        if (!slm_jj_add(p, owner, to, n))
            return false;
    }
}

/* The rest of an opening tag, then the body; the end tag's name is eaten. Which one it was. */
static struct jj_token *statements(struct jj_parser *p, struct jj_node *owner,
                                   struct jj_list_n *to, tags end)
{
    slm_jj_skip(p, K_COLON);
    if (!slm_jj_expect(p, K_BLOCK_END) || !body(p, owner, to, end))
        return NULL;
    return &p->tok[p->at++];
}

static bool parse_if(struct jj_parser *p, struct jj_node *n)
{
    static const char *const end[] = {"endif", "elif", "else", NULL}, *const last[] = {"endif",
                                                                                       NULL};
    if (!(n->a = slm_jj_parse_tuple(p, (struct jj_tuple_opts){.no_cond = true})) ||
        !slm_jj_deepen(p, n, n->a))
        return false;
    /* elif chains stay flat: args are the tests, each with its body in a scope node beside */
    struct jj_token *k = statements(p, n, &n->kids, end);
    while (k && jj_tok_is(k, "elif")) {
        struct jj_node *e = slm_jj_node(p, N_IF, k->line);
        if (!e || !(e->a = slm_jj_parse_tuple(p, (struct jj_tuple_opts){.no_cond = true})) ||
            !slm_jj_deepen(p, e, e->a) || !(k = statements(p, e, &e->kids, end)) ||
            !slm_jj_add(p, n, &n->args, e))
            return false;
    }
    if (k && jj_tok_is(k, "else"))
        k = statements(p, n, &n->other, last);
    return k;
}

static bool parse_for(struct jj_parser *p, struct jj_node *n)
{
    static const char *const end[] = {"endfor", "else", NULL}, *const last[] = {"endfor", NULL};
    int loops = p->loops;
    if (!(n->a = slm_jj_parse_target(p, (struct jj_tuple_opts){.until_in = true})) ||
        !slm_jj_expect_name(p, "in") ||
        !(n->b = slm_jj_parse_tuple(
              p, (struct jj_tuple_opts){.no_cond = true, .until_recursive = true})) ||
        !slm_jj_deepen(p, n, n->a) || !slm_jj_deepen(p, n, n->b))
        return false;
    if (slm_jj_skip_name(p, "if") &&
        (!(n->c = slm_jj_parse_expr(p, true)) || !slm_jj_deepen(p, n, n->c)))
        return false;
    n->recursive = slm_jj_skip_name(p, "recursive");
    p->loops++;
    struct jj_token *k = statements(p, n, &n->kids, end);
    p->loops = n->recursive ? 0 : loops;
    if (k && jj_tok_is(k, "else"))
        k = statements(p, n, &n->other, last);
    p->loops = loops;
    return k;
}

static bool parse_set(struct jj_parser *p, struct jj_node *n)
{
    static const char *const end[] = {"endset", NULL};
    if (!(n->a = slm_jj_parse_target(p, (struct jj_tuple_opts){.ns = true})) ||
        !slm_jj_deepen(p, n, n->a))
        return false;
    if (slm_jj_skip(p, K_ASSIGN)) {
        n->b = slm_jj_parse_tuple(p, (struct jj_tuple_opts){0});
        return n->b && slm_jj_deepen(p, n, n->b);
    }
    n->kind = N_SETBLOCK;
    if (jj_tok(p)->type == K_PIPE &&
        (!(n->b = slm_jj_parse_filter(p, NULL, false)) || !slm_jj_deepen(p, n, n->b)))
        return false;
    return statements(p, n, &n->kids, end);
}

static bool signature(struct jj_parser *p, struct jj_node *n)
{
    if (!slm_jj_expect(p, K_LPAREN))
        return false;
    while (jj_tok(p)->type != K_RPAREN) {
        if (n->args.n && !slm_jj_expect(p, K_COMMA))
            return false;
        struct jj_token *k = jj_tok(p);
        struct jj_node *arg = slm_jj_node(p, N_NAME, k->line), *value;
        if (!arg || !slm_jj_expect(p, K_NAME) || !(arg->name = slm_jj_intern(p, k->s, k->n)))
            return false;
        for (int i = 0; i < n->args.n; i++)
            if (n->args.v[i]->name == arg->name)
                return slm_jj_parse_fail(p, k->line, "duplicate argument '%.*s'", (int)k->n,
                                         k->s) == 0;
        slm_jj_note_name(p, arg->name, false);
        if (slm_jj_skip(p, K_ASSIGN)) {
            if (!(value = slm_jj_parse_expr(p, true)) || !slm_jj_add(p, n, &n->other, value))
                return false;
        } else if (n->other.n) {
            slm_jj_parse_fail(p, k->line, "non-default argument follows default argument");
            return false;
        }
        if (!slm_jj_add(p, n, &n->args, arg))
            return false;
    }
    return slm_jj_expect(p, K_RPAREN);
}

/* A body that is a function of its own: a macro's or a call block's. */
static bool function_body(struct jj_parser *p, struct jj_node *n, tags end)
{
    struct jj_macro_uses uses = {.up = p->uses, .node = n};
    int loops = p->loops, explicit_caller = -1;
    p->uses = &uses;
    p->loops = 0;
    bool ok = statements(p, n, &n->kids, end);
    p->uses = uses.up;
    p->loops = loops;
    for (int i = 0; i < n->args.n; i++) {
        const struct py_str *s = n->args.v[i]->name;
        if (s->n == 6 && memcmp(s->s, "caller", 6) == 0)
            explicit_caller = i;
        if (s->n == 6 && memcmp(s->s, "kwargs", 6) == 0)
            n->kwargs = false;
        if (s->n == 7 && memcmp(s->s, "varargs", 7) == 0)
            n->varargs = false;
    }
    if (ok && n->caller && explicit_caller >= 0 && explicit_caller < n->args.n - n->other.n) {
        slm_jj_parse_fail(
            p, n->line,
            "the special \"caller\" argument must be omitted or be given a default");
        return false;
    }
    return ok;
}

static bool parse_macro(struct jj_parser *p, struct jj_node *n)
{
    static const char *const end[] = {"endmacro", NULL};
    struct jj_token *k = jj_tok(p);
    if (!slm_jj_expect(p, K_NAME) || !(n->name = slm_jj_intern(p, k->s, k->n)))
        return false;
    if (jj_tok_is(k, "true") || jj_tok_is(k, "false") || jj_tok_is(k, "none")) {
        slm_jj_parse_fail(p, k->line, "can't assign to 'name'");
        return false;
    }
    slm_jj_note_name(p, n->name, false);
    return signature(p, n) && function_body(p, n, end);
}

static bool parse_call(struct jj_parser *p, struct jj_node *n)
{
    static const char *const end[] = {"endcall", NULL};
    if (jj_tok(p)->type == K_LPAREN && !signature(p, n))
        return false;
    if (!(n->a = slm_jj_parse_expr(p, true)) || !slm_jj_deepen(p, n, n->a))
        return false;
    if (n->a->kind != N_CALL) {
        slm_jj_parse_fail(p, n->line, "expected call");
        return false;
    }
    return function_body(p, n, end);
}

static bool parse_with(struct jj_parser *p, struct jj_node *n)
{
    static const char *const end[] = {"endwith", NULL};
    while (jj_tok(p)->type != K_BLOCK_END) {
        struct jj_node *target, *value;
        if (n->args.n && !slm_jj_expect(p, K_COMMA))
            return false;
        if (!(target = slm_jj_parse_target(p, (struct jj_tuple_opts){0})) ||
            !slm_jj_expect(p, K_ASSIGN) || !(value = slm_jj_parse_expr(p, true)) ||
            !slm_jj_add(p, n, &n->args, target) || !slm_jj_add(p, n, &n->other, value))
            return false;
    }
    return statements(p, n, &n->kids, end);
}

static bool parse_block(struct jj_parser *p, struct jj_node *n)
{
    static const char *const end[] = {"endblock", NULL};
    struct jj_token *k = jj_tok(p);
    int loops = p->loops;
    if (!slm_jj_expect(p, K_NAME) || !(n->name = slm_jj_intern(p, k->s, k->n)))
        return false;
    for (int i = 0; i < p->t->blocks.n; i++)
        if (p->t->blocks.v[i]->name == n->name) {
            slm_jj_parse_fail(p, k->line, "block '%.*s' defined twice", (int)k->n, k->s);
            return false;
        }
    slm_jj_skip_name(p, "scoped");
    bool required = slm_jj_skip_name(p, "required");
    if (!slm_jj_add(p, n, &p->t->blocks, n))
        return false;
    p->loops = 0;
    bool ok = statements(p, n, &n->kids, end);
    p->loops = loops;
    for (int i = 0; ok && required && i < n->kids.n; i++) {
        const struct jj_node *c = n->kids.v[i];
        for (size_t j = 0; c->kind == N_DATA && j < c->value.s->n; j++)
            if (!slm_py_space((unsigned char)c->value.s->s[j]))
                c = n;
        if (c->kind != N_DATA) {
            slm_jj_parse_fail(p, n->line,
                              "Required blocks can only contain comments or whitespace");
            return false;
        }
    }
    if (ok && jj_tok(p)->type == K_NAME && jj_tok(p)->n == k->n &&
        memcmp(jj_tok(p)->s, k->s, k->n) == 0)
        p->at++;
    return ok;
}

static bool parse_filter_block(struct jj_parser *p, struct jj_node *n)
{
    static const char *const end[] = {"endfilter", NULL};
    return (n->a = slm_jj_parse_filter(p, NULL, true)) && slm_jj_deepen(p, n, n->a) &&
           statements(p, n, &n->kids, end);
}

static bool parse_autoescape(struct jj_parser *p, struct jj_node *n)
{
    static const char *const end[] = {"endautoescape", NULL};
    return (n->a = slm_jj_parse_expr(p, true)) && slm_jj_deepen(p, n, n->a) &&
           statements(p, n, &n->kids, end);
}

/* Transformers' own tag: its body is a call block, so it is a scope and a function of its own.
 */
static bool parse_generation(struct jj_parser *p, struct jj_node *n)
{
    static const char *const end[] = {"endgeneration", NULL};
    n->op = N_OP_GENERATION;
    p->t->generation = true;
    return function_body(p, n, end);
}

static bool parse_print(struct jj_parser *p, struct jj_node *n)
{
    while (jj_tok(p)->type != K_BLOCK_END) {
        struct jj_node *e;
        if ((n->args.n && !slm_jj_expect(p, K_COMMA)) || !(e = slm_jj_parse_expr(p, true)) ||
            !slm_jj_add(p, n, &n->args, e))
            return false;
    }
    return true;
}

static bool parse_jump(struct jj_parser *p, struct jj_node *n)
{
    if (p->loops)
        return true;
    slm_jj_parse_fail(p, n->line, "'%s' outside loop",
                      n->kind == N_BREAK ? "break" : "continue");
    return false;
}

static void import_context(struct jj_parser *p)
{
    const struct jj_token *k = jj_tok(p);
    if ((jj_tok_is(k, "with") || jj_tok_is(k, "without")) && jj_tok_is(k + 1, "context"))
        p->at += 2;
}

/* Names of `from x import a as b, c`. */
static bool import_names(struct jj_parser *p)
{
    if (!slm_jj_expect_name(p, "import"))
        return false;
    for (int n = 0;; n++) {
        const struct jj_token *k = jj_tok(p);
        if (n && !slm_jj_expect(p, K_COMMA))
            return false;
        k = jj_tok(p);
        if ((jj_tok_is(k, "with") || jj_tok_is(k, "without")) && jj_tok_is(k + 1, "context"))
            break;
        if (!slm_jj_expect(p, K_NAME) ||
            (slm_jj_skip_name(p, "as") && !slm_jj_expect(p, K_NAME)))
            return false;
        k = jj_tok(p);
        if (k->type != K_COMMA)
            break;
    }
    import_context(p);
    return true;
}

static bool parse_loader(struct jj_parser *p, struct jj_node *n)
{
    const struct jj_token *tag = jj_tok(p) - 1;
    if (!(n->a = slm_jj_parse_expr(p, true)) || !slm_jj_deepen(p, n, n->a))
        return false;
    if (jj_tok_is(tag, "include")) {
        if (jj_tok_is(jj_tok(p), "ignore") && jj_tok_is(jj_tok(p) + 1, "missing"))
            p->at += 2;
        import_context(p);
    } else if (jj_tok_is(tag, "import")) {
        if (!slm_jj_expect_name(p, "as") || !slm_jj_expect(p, K_NAME))
            return false;
        import_context(p);
    } else if (jj_tok_is(tag, "from")) {
        return import_names(p);
    }
    return true;
}

static const struct tag {
    const char *name;
    bool (*parse)(struct jj_parser *, struct jj_node *);
    int kind;
} all_tags[] = {
    {"for", parse_for, N_FOR},
    {"if", parse_if, N_IF},
    {"set", parse_set, N_SET},
    {"macro", parse_macro, N_MACRO},
    {"call", parse_call, N_CALLBLOCK},
    {"filter", parse_filter_block, N_FILTERBLOCK},
    {"with", parse_with, N_WITH},
    {"block", parse_block, N_BLOCK},
    {"print", parse_print, N_PRINT},
    {"autoescape", parse_autoescape, N_AUTOESCAPE},
    {"generation", parse_generation, N_SCOPE},
    {"break", parse_jump, N_BREAK},
    {"continue", parse_jump, N_CONTINUE},
    {"include", parse_loader, N_LOADER},
    {"extends", parse_loader, N_LOADER},
    {"import", parse_loader, N_LOADER},
    {"from", parse_loader, N_LOADER},
};

static bool statement(struct jj_parser *p, struct jj_node *owner, struct jj_list_n *to)
{
    struct jj_token *k = jj_tok(p);
    if (k->type != K_NAME) {
        slm_jj_parse_fail(p, k->line, "tag name expected");
        return false;
    }
    for (size_t i = 0; i < sizeof all_tags / sizeof *all_tags; i++) {
        if (!jj_tok_is(k, all_tags[i].name))
            continue;
        if (++p->depth > MAX_STATEMENTS) {
            slm_jj_parse_fail(p, k->line, "statements nested too deep");
            p->code = SLM_E_LIMIT;
            return false;
        }
        p->at++;
        struct jj_node *n = slm_jj_node(p, all_tags[i].kind, k->line);
        bool ok = n && all_tags[i].parse(p, n) && slm_jj_add(p, owner, to, n);
        p->depth--;
        return ok;
    }
    slm_jj_parse_fail(p, k->line, "Encountered unknown tag '%.*s'.",
                      (int)(k->n > 60 ? 60 : k->n), k->s);
    return false;
}

int slm_jj_parse(slm_template *t, slm_err *err)
{
    struct jj_parser p = {.t = t, .err = err};
    int code = slm_jj_lex(&p);
    if (!code) {
        t->root = slm_jj_node(&p, N_SCOPE, 1);
        if (!t->root || !body(&p, t->root, &t->root->kids, NULL))
            code = p.code ? p.code : SLM_E_TEMPLATE;
    }
    slm_free(t->rt, p.tok);
    return code;
}
