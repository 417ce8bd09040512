/* Expressions, with exactly Jinja's precedence: if-else, or, and, not, comparisons (chained), +
 * -, ~, * / // %, ** (left to right), signs, postfix and filters. A sign binds tighter than
 * `**` and a filter binds to the operand with its sign. */
#include <string.h>

#include "template/parse.h"

enum { MAX_NEST = 250 };

static struct jj_node *unary(struct jj_parser *p, bool with_filter);

static bool nest(struct jj_parser *p)
{
    if (++p->depth <= MAX_NEST)
        return true;
    slm_jj_parse_fail(p, jj_tok(p)->line, "expression nested too deep");
    p->code = SLM_E_LIMIT;
    return false;
}

static struct jj_node *string(struct jj_parser *p)
{
    struct jj_token *k = jj_tok(p);
    const char *s = k->s;
    size_t n = k->n;
    int line = k->line;
    p->at++;
    if (jj_tok(p)->type == K_STRING) {
        size_t total = n, at = p->at;
        for (; p->tok[at].type == K_STRING; at++)
            total += p->tok[at].n;
        char *all = slm_arena_alloc(&p->t->arena, total + 1);
        if (!all) {
            p->code = slm_fail_mem(p->err, "template string", total);
            return NULL;
        }
        memcpy(all, s, n);
        for (; jj_tok(p)->type == K_STRING; p->at++) {
            memcpy(all + n, jj_tok(p)->s, jj_tok(p)->n);
            n += jj_tok(p)->n;
        }
        s = all;
    }
    py_val v;
    return slm_jj_str_value(p, s, n, &v) ? slm_jj_constant(p, line, v) : NULL;
}

/* Items up to (not with) the closing token; commas between, one allowed at the end. */
static struct jj_node *list(struct jj_parser *p)
{
    struct jj_node *n = slm_jj_node(p, N_LIST, jj_tok(p)->line);
    p->at++;
    while (n && jj_tok(p)->type != K_RBRACKET) {
        if (n->args.n && !slm_jj_expect(p, K_COMMA))
            return NULL;
        if (jj_tok(p)->type == K_RBRACKET)
            break;
        struct jj_node *e = slm_jj_parse_expr(p, true);
        if (!e || !slm_jj_add(p, n, &n->args, e))
            return NULL;
    }
    return n && slm_jj_expect(p, K_RBRACKET) ? n : NULL;
}

static struct jj_node *dict(struct jj_parser *p)
{
    struct jj_node *n = slm_jj_node(p, N_DICT, jj_tok(p)->line), *k, *v;
    p->at++;
    while (n && jj_tok(p)->type != K_RBRACE) {
        if (n->args.n && !slm_jj_expect(p, K_COMMA))
            return NULL;
        if (jj_tok(p)->type == K_RBRACE)
            break;
        if (!(k = slm_jj_parse_expr(p, true)) || !slm_jj_expect(p, K_COLON) ||
            !(v = slm_jj_parse_expr(p, true)) || !slm_jj_add(p, n, &n->args, k) ||
            !slm_jj_add(p, n, &n->kids, v))
            return NULL;
    }
    return n && slm_jj_expect(p, K_RBRACE) ? n : NULL;
}

static struct jj_node *name(struct jj_parser *p, bool ns, bool store)
{
    struct jj_token *k = jj_tok(p);
    p->at++;
    if (jj_tok_is(k, "true") || jj_tok_is(k, "True"))
        return slm_jj_constant(p, k->line, py_bool(true));
    if (jj_tok_is(k, "false") || jj_tok_is(k, "False"))
        return slm_jj_constant(p, k->line, py_bool(false));
    if (jj_tok_is(k, "none") || jj_tok_is(k, "None"))
        return slm_jj_constant(p, k->line, py_none());
    bool ref = ns && jj_tok(p)->type == K_DOT;
    struct jj_node *n = slm_jj_node(p, ref ? N_NSREF : N_NAME, k->line);
    if (!n || !(n->name = slm_jj_intern(p, k->s, k->n)))
        return NULL;
    slm_jj_note_name(p, n->name, ref || !store);
    if (ref) {
        p->at++;
        struct jj_token *attr = jj_tok(p);
        if (!slm_jj_expect(p, K_NAME))
            return NULL;
        if (!slm_jj_str_value(p, attr->s, attr->n, &n->value))
            return NULL;
    }
    return n;
}

struct jj_node *slm_jj_parse_primary(struct jj_parser *p, bool ns, bool store)
{
    struct jj_token *k = jj_tok(p);
    struct jj_node *n = NULL;
    char buf[80];
    if (!nest(p))
        return NULL;
    switch (k->type) {
    case K_NAME: n = name(p, ns, store); break;
    case K_STRING: n = string(p); break;
    case K_INT:
    case K_FLOAT:
        p->at++;
        n = slm_jj_constant(p, k->line, k->value);
        break;
    case K_LPAREN:
        p->at++;
        n = slm_jj_parse_tuple(p, (struct jj_tuple_opts){.parens = true});
        if (n && !slm_jj_expect(p, K_RPAREN))
            n = NULL;
        break;
    case K_LBRACKET: n = list(p); break;
    case K_LBRACE: n = dict(p); break;
    default:
        slm_jj_parse_fail(p, k->line, "unexpected '%s'", slm_jj_describe(k, buf, sizeof buf));
    }
    p->depth--;
    return n;
}

static bool tuple_end(struct jj_parser *p, struct jj_tuple_opts o)
{
    const struct jj_token *k = jj_tok(p);
    return k->type == K_VAR_END || k->type == K_BLOCK_END || k->type == K_RPAREN ||
           (o.until_in && jj_tok_is(k, "in")) ||
           (o.until_recursive && jj_tok_is(k, "recursive"));
}

struct jj_node *slm_jj_parse_tuple(struct jj_parser *p, struct jj_tuple_opts o)
{
    int line = jj_tok(p)->line;
    struct jj_node *tuple = NULL, *first = NULL;
    char buf[80];
    for (;;) {
        if (first && !slm_jj_expect(p, K_COMMA))
            return NULL;
        if (tuple_end(p, o))
            break;
        struct jj_node *n =
            o.simple ? slm_jj_parse_primary(p, o.ns, true) : slm_jj_parse_expr(p, !o.no_cond);
        if (!n)
            return NULL;
        bool comma = jj_tok(p)->type == K_COMMA;
        if (!first) {
            first = n;
            if (!comma)
                return n;
            if (!(tuple = slm_jj_node(p, N_TUPLE, line)))
                return NULL;
        }
        if (!slm_jj_add(p, tuple, &tuple->args, n))
            return NULL;
        if (!comma)
            break;
    }
    if (tuple)
        return tuple;
    if (!o.parens) {
        slm_jj_parse_fail(p, line, "Expected an expression, got '%s'",
                          slm_jj_describe(jj_tok(p), buf, sizeof buf));
        return NULL;
    }
    return slm_jj_node(p, N_TUPLE, line);
}

static bool can_assign(const struct jj_node *n)
{
    if (n->kind == N_TUPLE) {
        for (int i = 0; i < n->args.n; i++)
            if (!can_assign(n->args.v[i]))
                return false;
        return true;
    }
    return n->kind == N_NAME || n->kind == N_NSREF;
}

static void note_stores(struct jj_parser *p, const struct jj_node *n)
{
    if (n->kind == N_NAME)
        slm_jj_note_name(p, n->name, false);
    for (int i = 0; n->kind == N_TUPLE && i < n->args.n; i++)
        note_stores(p, n->args.v[i]);
}

struct jj_node *slm_jj_parse_target(struct jj_parser *p, struct jj_tuple_opts o)
{
    o.simple = true;
    struct jj_node *n = slm_jj_parse_tuple(p, o);
    if (n && !can_assign(n)) {
        slm_jj_parse_fail(p, n->line, "can't assign to %s",
                          n->kind == N_CONST ? "'const'" : "this expression");
        return NULL;
    }
    if (n)
        note_stores(p, n);
    return n;
}

static struct jj_node *unary(struct jj_parser *p, bool with_filter)
{
    struct jj_token *k = jj_tok(p);
    struct jj_node *n;
    if (!nest(p))
        return NULL;
    if (k->type == K_SUB || k->type == K_ADD) {
        p->at++;
        n = unary(p, false);
        n = n ? slm_jj_node_ab(p, k->type == K_SUB ? N_NEG : N_POS, k->line, n, NULL) : NULL;
    } else {
        n = slm_jj_parse_primary(p, false, false);
    }
    n = slm_jj_parse_postfix(p, n);
    if (with_filter)
        n = slm_jj_filter_expr(p, n);
    p->depth--;
    return n;
}

static int op_of(int token)
{
    switch (token) {
    case K_ADD: return OP_ADD;
    case K_SUB: return OP_SUB;
    case K_MUL: return OP_MUL;
    case K_DIV: return OP_DIV;
    case K_FLOORDIV: return OP_FLOORDIV;
    case K_MOD: return OP_MOD;
    case K_POW: return OP_POW;
    case K_EQ: return OP_EQ;
    case K_NE: return OP_NE;
    case K_LT: return OP_LT;
    case K_LE: return OP_LE;
    case K_GT: return OP_GT;
    case K_GE: return OP_GE;
    default: return -1;
    }
}

/* Left-associative levels: 0 is + and -, 1 is ~, 2 is * / // %, 3 is **. */
static struct jj_node *binary(struct jj_parser *p, int level)
{
    if (level == 4)
        return unary(p, true);
    struct jj_node *left = binary(p, level + 1), *concat = NULL;
    while (left) {
        struct jj_token *k = jj_tok(p);
        int op = op_of(k->type);
        bool mine = level == 0   ? op == OP_ADD || op == OP_SUB
                    : level == 1 ? k->type == K_TILDE
                    : level == 2 ? op >= OP_MUL && op <= OP_MOD
                                 : op == OP_POW;
        if (!mine)
            return concat ? concat : left;
        p->at++;
        struct jj_node *right = binary(p, level + 1);
        if (!right)
            return NULL;
        if (level == 1) {
            if (!concat && (!(concat = slm_jj_node(p, N_CONCAT, k->line)) ||
                            !slm_jj_add(p, concat, &concat->args, left)))
                return NULL;
            if (!slm_jj_add(p, concat, &concat->args, right))
                return NULL;
        } else if ((left = slm_jj_node_ab(p, N_BINARY, k->line, left, right))) {
            left->op = (uint8_t)op;
        }
    }
    return NULL;
}

static struct jj_node *compare(struct jj_parser *p)
{
    struct jj_node *first = binary(p, 0), *n = NULL;
    while (first) {
        struct jj_token *k = jj_tok(p);
        int op = op_of(k->type);
        if (op >= OP_EQ)
            p->at++;
        else if (slm_jj_skip_name(p, "in"))
            op = OP_IN;
        else if (jj_tok_is(k, "not") && jj_tok_is(k + 1, "in"))
            op = OP_NOTIN, p->at += 2;
        else
            return n ? n : first;
        if (!n && !(n = slm_jj_node_ab(p, N_COMPARE, k->line, first, NULL)))
            return NULL;
        struct jj_node *right = binary(p, 0);
        if (!right || !slm_jj_add(p, n, &n->args, right))
            return NULL;
        int m = n->args.n - 1;
        if ((m & (m - 1)) == 0) {
            uint8_t *ops = slm_arena_alloc(&p->t->arena, m ? (size_t)m * 2 : 1);
            if (!ops) {
                p->code = slm_fail_mem(p->err, "template", 0);
                return NULL;
            }
            if (m)
                memcpy(ops, n->ops, (size_t)m);
            n->ops = ops;
        }
        n->ops[m] = (uint8_t)op;
    }
    return NULL;
}

static struct jj_node *not_expr(struct jj_parser *p)
{
    struct jj_token *k = jj_tok(p);
    if (!jj_tok_is(k, "not"))
        return compare(p);
    if (!nest(p))
        return NULL;
    p->at++;
    struct jj_node *n = not_expr(p);
    p->depth--;
    return n ? slm_jj_node_ab(p, N_NOT, k->line, n, NULL) : NULL;
}

static struct jj_node *and_or(struct jj_parser *p, bool is_or)
{
    struct jj_node *left = is_or ? and_or(p, false) : not_expr(p);
    while (left) {
        int line = jj_tok(p)->line;
        if (!slm_jj_skip_name(p, is_or ? "or" : "and"))
            break;
        struct jj_node *right = is_or ? and_or(p, false) : not_expr(p);
        left = right ? slm_jj_node_ab(p, is_or ? N_OR : N_AND, line, left, right) : NULL;
    }
    return left;
}

struct jj_node *slm_jj_parse_expr(struct jj_parser *p, bool cond)
{
    if (!nest(p))
        return NULL;
    struct jj_node *n = and_or(p, true);
    while (cond && n) {
        int line = jj_tok(p)->line;
        if (!slm_jj_skip_name(p, "if"))
            break;
        struct jj_node *test_node = and_or(p, true), *other = NULL;
        if (test_node && slm_jj_skip_name(p, "else") && !(other = slm_jj_parse_expr(p, true)))
            test_node = NULL;
        struct jj_node *c = test_node ? slm_jj_node_ab(p, N_COND, line, test_node, n) : NULL;
        if (!c || (other && !slm_jj_deepen(p, c, other))) {
            n = NULL;
            break;
        }
        c->c = other;
        n = c;
    }
    p->depth--;
    return n;
}
