/* What the two parsers stand on: failures, nodes and lists of them, names kept once, and the
 * questions asked of the current token. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "template/parse.h"

enum { MAX_TREE = 1200 };

int slm_jj_parse_fail(struct jj_parser *p, int line, const char *fmt, ...)
{
    char msg[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    if (p->code)
        return p->code;
    return p->code = slm_fail(p->err, SLM_E_TEMPLATE, "%s: line %d: %s", p->t->name, line, msg);
}

struct jj_node *slm_jj_node(struct jj_parser *p, int kind, int line)
{
    struct jj_node *n = slm_arena_alloc(&p->t->arena, sizeof *n);
    if (!n) {
        p->code = slm_fail_mem(p->err, "template", sizeof *n);
        return NULL;
    }
    n->kind = (uint8_t)kind;
    n->line = line;
    n->depth = 1;
    n->id = -1;
    return n;
}

bool slm_jj_deepen(struct jj_parser *p, struct jj_node *owner, const struct jj_node *child)
{
    if (child->depth >= MAX_TREE) {
        slm_jj_parse_fail(p, child->line, "template nested too deep");
        p->code = SLM_E_LIMIT;
        return false;
    }
    if (owner->depth <= child->depth)
        owner->depth = (uint16_t)(child->depth + 1);
    return true;
}

bool slm_jj_add(struct jj_parser *p, struct jj_node *owner, struct jj_list_n *l,
                struct jj_node *n)
{
    if (l->n == l->cap) {
        int cap = l->cap ? l->cap * 2 : 4;
        struct jj_node **v = slm_arena_alloc_n(&p->t->arena, (size_t)cap, sizeof *v);
        if (!v) {
            p->code = slm_fail_mem(p->err, "template", 0);
            return false;
        }
        if (l->n)
            memcpy(v, l->v, (size_t)l->n * sizeof *v);
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = n;
    return slm_jj_deepen(p, owner, n);
}

const struct py_str *slm_jj_intern(struct jj_parser *p, const char *s, size_t n)
{
    slm_template *t = p->t;
    struct py_run r = {.rt = t->rt,
                       .arena = t->arena,
                       .max_memory = SIZE_MAX,
                       .max_level = 100,
                       .max_steps = UINT64_MAX,
                       .err = p->err};
    py_val *have = slm_py_get_str(t->interned, s, n), key = py_failed();
    if (have)
        return have->s;
    key = slm_py_str(&r, s, n);
    if (!py_bad(key) && !slm_py_put(&r, t->interned, key, key))
        key = py_failed();
    t->arena = r.arena;
    if (py_bad(key)) {
        p->code = r.code;
        return NULL;
    }
    return key.s;
}

/* The three names that change what a macro takes: told to every macro around. */
void slm_jj_note_name(struct jj_parser *p, const struct py_str *name, bool load)
{
    for (struct jj_macro_uses *u = p->uses; u; u = u->up) {
        bool *use = NULL, *hid = NULL;
        if (name->n == 6 && memcmp(name->s, "caller", 6) == 0)
            use = &u->node->caller, hid = &u->hid_caller;
        else if (name->n == 6 && memcmp(name->s, "kwargs", 6) == 0)
            use = &u->node->kwargs, hid = &u->hid_kwargs;
        else if (name->n == 7 && memcmp(name->s, "varargs", 7) == 0)
            use = &u->node->varargs, hid = &u->hid_varargs;
        else
            return;
        if (load && !*hid)
            *use = true;
        else if (!load && !*use)
            *hid = true;
    }
}

const char *slm_jj_describe(const struct jj_token *k, char *buf, size_t n)
{
    static const char *const words[] = {"end of template",
                                        "template data / text",
                                        "begin of print statement",
                                        "end of print statement",
                                        "begin of statement block",
                                        "end of statement block",
                                        NULL,
                                        "string",
                                        "integer",
                                        "float",
                                        "+",
                                        "-",
                                        "*",
                                        "/",
                                        "//",
                                        "%",
                                        "**",
                                        "~",
                                        "[",
                                        "]",
                                        "(",
                                        ")",
                                        "{",
                                        "}",
                                        "==",
                                        "!=",
                                        ">",
                                        ">=",
                                        "<",
                                        "<=",
                                        "=",
                                        ".",
                                        ":",
                                        "|",
                                        ",",
                                        ";"};
    if (k->type != K_NAME)
        return words[k->type];
    snprintf(buf, n, "%.*s", (int)(k->n > 60 ? 60 : k->n), k->s);
    return buf;
}

bool slm_jj_skip_name(struct jj_parser *p, const char *name)
{
    bool is = jj_tok_is(jj_tok(p), name);
    p->at += is;
    return is;
}

bool slm_jj_skip(struct jj_parser *p, int type)
{
    bool is = jj_tok(p)->type == type;
    p->at += is;
    return is;
}

bool slm_jj_expect(struct jj_parser *p, int type)
{
    char buf[80], want[80];
    const struct jj_token *k = jj_tok(p);
    if (k->type == type) {
        p->at += type != K_EOF;
        return true;
    }
    if (k->type == K_EOF)
        slm_jj_parse_fail(p, k->line, "unexpected end of template, expected '%s'",
                          type == K_NAME ? "name"
                                         : slm_jj_describe(&(struct jj_token){.type = type},
                                                           want, sizeof want));
    else
        slm_jj_parse_fail(p, k->line, "expected token '%s', got '%s'",
                          type == K_NAME ? "name"
                                         : slm_jj_describe(&(struct jj_token){.type = type},
                                                           want, sizeof want),
                          slm_jj_describe(k, buf, sizeof buf));
    return false;
}

bool slm_jj_expect_name(struct jj_parser *p, const char *name)
{
    char buf[80];
    if (slm_jj_skip_name(p, name))
        return true;
    slm_jj_parse_fail(p, jj_tok(p)->line, "expected token '%s', got '%s'", name,
                      slm_jj_describe(jj_tok(p), buf, sizeof buf));
    return false;
}

struct jj_node *slm_jj_node_ab(struct jj_parser *p, int kind, int line, struct jj_node *a,
                               struct jj_node *b)
{
    struct jj_node *n = a ? slm_jj_node(p, kind, line) : NULL;
    if (!n || !slm_jj_deepen(p, n, a) || (b && !slm_jj_deepen(p, n, b)))
        return NULL;
    n->a = a;
    n->b = b;
    return n;
}

struct jj_node *slm_jj_constant(struct jj_parser *p, int line, py_val v)
{
    struct jj_node *n = slm_jj_node(p, N_CONST, line);
    if (n)
        n->value = v;
    return n;
}

bool slm_jj_str_value(struct jj_parser *p, const char *s, size_t n, py_val *out)
{
    struct py_str *x = slm_arena_alloc(&p->t->arena, sizeof *x);
    if (!x) {
        p->code = slm_fail_mem(p->err, "template string", n);
        return false;
    }
    *x = (struct py_str){
        .s = s, .n = n, .chars = slm_utf8_count(s, n), .hash = slm_py_hash_bytes(s, n)};
    *out = (py_val){.t = T_STR, .s = x};
    return true;
}
