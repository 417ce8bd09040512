/* What stands behind an operand: attributes, subscripts and slices, calls and their arguments,
 * filters and tests. */
#include <string.h>

#include "template/parse.h"

/* One part of a subscript: an expression or start:stop:step. */
static struct jj_node *subscribed(struct jj_parser *p)
{
    struct jj_node *part[3] = {0};
    int line = jj_tok(p)->line;
    if (jj_tok(p)->type != K_COLON) {
        if (!(part[0] = slm_jj_parse_expr(p, true)))
            return NULL;
        if (jj_tok(p)->type != K_COLON)
            return part[0];
    }
    p->at++;
    for (int i = 1; i < 3; i++) {
        int t = jj_tok(p)->type;
        if (i == 2) {
            if (t != K_COLON)
                break;
            p->at++;
            t = jj_tok(p)->type;
        }
        if (t != K_COLON && t != K_RBRACKET && t != K_COMMA &&
            !(part[i] = slm_jj_parse_expr(p, true)))
            return NULL;
    }
    struct jj_node *n = slm_jj_node(p, N_SLICE, line);
    for (int i = 0; n && i < 3; i++)
        if (part[i] && !slm_jj_deepen(p, n, part[i]))
            return NULL;
    if (n) {
        n->a = part[0];
        n->b = part[1];
        n->c = part[2];
    }
    return n;
}

static struct jj_node *subscript(struct jj_parser *p, struct jj_node *of)
{
    struct jj_token *k = jj_tok(p);
    p->at++;
    if (k->type == K_DOT) {
        struct jj_token *attr = jj_tok(p);
        p->at += attr->type != K_EOF;
        if (attr->type == K_NAME) {
            struct jj_node *n = slm_jj_node_ab(p, N_ATTR, k->line, of, NULL);
            if (!n || !slm_jj_str_value(p, attr->s, attr->n, &n->value))
                return NULL;
            return n;
        }
        if (attr->type != K_INT) {
            slm_jj_parse_fail(p, attr->line, "expected name or number");
            return NULL;
        }
        struct jj_node *c = slm_jj_constant(p, attr->line, attr->value);
        return c ? slm_jj_node_ab(p, N_ITEM, k->line, of, c) : NULL;
    }
    struct jj_node *tuple = NULL, *arg = NULL;
    int n = 0;
    while (jj_tok(p)->type != K_RBRACKET) {
        if (n && !slm_jj_expect(p, K_COMMA))
            return NULL;
        struct jj_node *e = subscribed(p);
        if (!e)
            return NULL;
        if (n == 1 && (!(tuple = slm_jj_node(p, N_TUPLE, k->line)) ||
                       !slm_jj_add(p, tuple, &tuple->args, arg)))
            return NULL;
        if (n && !slm_jj_add(p, tuple, &tuple->args, e))
            return NULL;
        if (!n++)
            arg = e;
    }
    if (!slm_jj_expect(p, K_RBRACKET))
        return NULL;
    if (tuple || !arg)
        arg = tuple ? tuple : slm_jj_node(p, N_TUPLE, k->line);
    return arg ? slm_jj_node_ab(p, N_ITEM, k->line, of, arg) : NULL;
}

static bool add_keyword(struct jj_parser *p, struct jj_node *n, struct jj_node *v,
                        const struct jj_token *key)
{
    int m = n->kids.n;
    if ((m & (m - 1)) == 0) {
        const struct py_str **names =
            slm_arena_alloc_n(&p->t->arena, m ? (size_t)m * 2 : 1, sizeof *names);
        if (!names) {
            p->code = slm_fail_mem(p->err, "template", 0);
            return false;
        }
        if (m)
            memcpy(names, n->names, (size_t)m * sizeof *names);
        n->names = names;
    }
    n->names[m] = slm_jj_intern(p, key->s, key->n);
    for (int i = 0; n->names[m] && i < m; i++)
        if (n->names[i] == n->names[m]) {
            slm_jj_parse_fail(p, key->line, "keyword argument repeated: %.*s", (int)key->n,
                              key->s);
            return false;
        }
    return n->names[m] && slm_jj_add(p, n, &n->kids, v);
}

/* One argument of a call: *expr, **expr, name=expr or expr. */
static bool argument(struct jj_parser *p, struct jj_node *n, int line)
{
    struct jj_token *k = jj_tok(p);
    struct jj_node *e;
    bool ok = true;
    if (k->type == K_MUL || k->type == K_POW) {
        bool kw = k->type == K_POW;
        ok = !n->d && (kw || !n->c);
        p->at++;
        if (ok && (!(e = slm_jj_parse_expr(p, true)) || !slm_jj_deepen(p, n, e)))
            return false;
        if (ok)
            *(kw ? &n->d : &n->c) = e;
    } else if (k->type == K_NAME && k[1].type == K_ASSIGN) {
        ok = !n->d;
        p->at += 2;
        if (ok && (!(e = slm_jj_parse_expr(p, true)) || !add_keyword(p, n, e, k)))
            return false;
    } else {
        ok = !n->c && !n->d && !n->kids.n;
        if (ok && (!(e = slm_jj_parse_expr(p, true)) || !slm_jj_add(p, n, &n->args, e)))
            return false;
    }
    if (!ok)
        slm_jj_parse_fail(p, line, "invalid syntax for function call expression");
    return ok;
}

static bool call_args(struct jj_parser *p, struct jj_node *n)
{
    int line = jj_tok(p)->line;
    bool comma = false;
    if (!slm_jj_expect(p, K_LPAREN))
        return false;
    while (jj_tok(p)->type != K_RPAREN) {
        if (comma && !slm_jj_expect(p, K_COMMA))
            return false;
        if (comma && jj_tok(p)->type == K_RPAREN)
            break;
        if (!argument(p, n, line))
            return false;
        comma = true;
    }
    return slm_jj_expect(p, K_RPAREN);
}

static struct jj_node *call(struct jj_parser *p, struct jj_node *of)
{
    struct jj_node *n = slm_jj_node_ab(p, N_CALL, jj_tok(p)->line, of, NULL);
    return n && call_args(p, n) ? n : NULL;
}

struct jj_node *slm_jj_parse_postfix(struct jj_parser *p, struct jj_node *n)
{
    while (n) {
        int t = jj_tok(p)->type;
        if (t == K_DOT || t == K_LBRACKET)
            n = subscript(p, n);
        else if (t == K_LPAREN)
            n = call(p, n);
        else
            break;
    }
    return n;
}

/* name or name.name.name, as filters and tests are called */
static const struct py_str *dotted(struct jj_parser *p)
{
    char buf[200];
    size_t m = 0;
    for (;;) {
        struct jj_token *k = jj_tok(p);
        if (!slm_jj_expect(p, K_NAME))
            return NULL;
        size_t n = k->n < sizeof buf - 1 - m ? k->n : sizeof buf - 1 - m;
        memcpy(buf + m, k->s, n);
        m += n;
        if (jj_tok(p)->type != K_DOT)
            return slm_jj_intern(p, buf, m);
        p->at++;
        if (m < sizeof buf - 1)
            buf[m++] = '.';
    }
}

struct jj_node *slm_jj_parse_filter(struct jj_parser *p, struct jj_node *of, bool inline_start)
{
    while (inline_start || jj_tok(p)->type == K_PIPE) {
        if (!inline_start)
            p->at++;
        inline_start = false;
        struct jj_node *n = slm_jj_node(p, N_FILTER, jj_tok(p)->line);
        if (!n || (of && !slm_jj_deepen(p, n, of)) || !(n->name = dotted(p)))
            return NULL;
        n->a = of;
        n->id = slm_jj_filter_find(n->name->s, n->name->n);
        if (jj_tok(p)->type == K_LPAREN && !call_args(p, n))
            return NULL;
        of = n;
    }
    return of;
}

static struct jj_node *test(struct jj_parser *p, struct jj_node *of)
{
    int line = jj_tok(p)->line;
    p->at++;
    bool negate = slm_jj_skip_name(p, "not");
    struct jj_node *n = slm_jj_node_ab(p, N_TEST, line, of, NULL);
    if (!n || !(n->name = dotted(p)))
        return NULL;
    n->id = slm_jj_test_find(n->name->s, n->name->n);
    const struct jj_token *k = jj_tok(p);
    if (k->type == K_LPAREN) {
        if (!call_args(p, n))
            return NULL;
    } else if ((k->type == K_NAME || k->type == K_STRING || k->type == K_INT ||
                k->type == K_FLOAT || k->type == K_LBRACKET || k->type == K_LBRACE) &&
               !jj_tok_is(k, "else") && !jj_tok_is(k, "or") && !jj_tok_is(k, "and")) {
        if (jj_tok_is(k, "is")) {
            slm_jj_parse_fail(p, line, "You cannot chain multiple tests with is");
            return NULL;
        }
        struct jj_node *arg = slm_jj_parse_postfix(p, slm_jj_parse_primary(p, false, false));
        if (!arg || !slm_jj_add(p, n, &n->args, arg))
            return NULL;
    }
    return negate ? slm_jj_node_ab(p, N_NOT, line, n, NULL) : n;
}

struct jj_node *slm_jj_filter_expr(struct jj_parser *p, struct jj_node *n)
{
    while (n) {
        const struct jj_token *k = jj_tok(p);
        if (k->type == K_PIPE)
            n = slm_jj_parse_filter(p, n, false);
        else if (jj_tok_is(k, "is"))
            n = test(p, n);
        else if (k->type == K_LPAREN)
            n = call(p, n);
        else
            break;
    }
    return n;
}
