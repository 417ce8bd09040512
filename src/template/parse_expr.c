/* Expressions, with exactly Jinja's precedence: if-else, or, and, not, comparisons (chained), +
 * -,
 * ~, * / // %, ** (left to right), signs, postfix and filters. A sign binds tighter than `**`
 * and a filter binds to the operand with its sign. */
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

static struct jj_node *with_ab(struct jj_parser *p, int kind, int line, struct jj_node *a,
                               struct jj_node *b)
{
    struct jj_node *n = a ? slm_jj_node(p, kind, line) : NULL;
    if (!n || !slm_jj_deepen(p, n, a) || (b && !slm_jj_deepen(p, n, b)))
        return NULL;
    n->a = a;
    n->b = b;
    return n;
}

static struct jj_node *constant(struct jj_parser *p, int line, jj_val v)
{
    struct jj_node *n = slm_jj_node(p, N_CONST, line);
    if (n)
        n->value = v;
    return n;
}

static bool str_value(struct jj_parser *p, const char *s, size_t n, jj_val *out)
{
    struct jj_str *x = slm_arena_alloc(&p->t->arena, sizeof *x);
    if (!x) {
        p->code = slm_fail_mem(p->err, "template string", n);
        return false;
    }
    *x = (struct jj_str){
        .s = s, .n = n, .chars = slm_utf8_count(s, n), .hash = slm_jj_hash_bytes(s, n)};
    *out = (jj_val){.t = T_STR, .s = x};
    return true;
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
    jj_val v;
    return str_value(p, s, n, &v) ? constant(p, line, v) : NULL;
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
        return constant(p, k->line, jj_bool(true));
    if (jj_tok_is(k, "false") || jj_tok_is(k, "False"))
        return constant(p, k->line, jj_bool(false));
    if (jj_tok_is(k, "none") || jj_tok_is(k, "None"))
        return constant(p, k->line, jj_none());
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
        if (!str_value(p, attr->s, attr->n, &n->value))
            return NULL;
    }
    return n;
}

static struct jj_node *primary(struct jj_parser *p, bool ns, bool store)
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
        n = constant(p, k->line, k->value);
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
            o.simple ? primary(p, o.ns, true) : slm_jj_parse_expr(p, !o.no_cond);
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
            struct jj_node *n = with_ab(p, N_ATTR, k->line, of, NULL);
            if (!n || !str_value(p, attr->s, attr->n, &n->value))
                return NULL;
            return n;
        }
        if (attr->type != K_INT) {
            slm_jj_parse_fail(p, attr->line, "expected name or number");
            return NULL;
        }
        struct jj_node *c = constant(p, attr->line, attr->value);
        return c ? with_ab(p, N_ITEM, k->line, of, c) : NULL;
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
    return arg ? with_ab(p, N_ITEM, k->line, of, arg) : NULL;
}

static bool add_keyword(struct jj_parser *p, struct jj_node *n, struct jj_node *v,
                        const struct jj_token *key)
{
    int m = n->kids.n;
    if ((m & (m - 1)) == 0) {
        const struct jj_str **names =
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
    struct jj_node *n = with_ab(p, N_CALL, jj_tok(p)->line, of, NULL);
    return n && call_args(p, n) ? n : NULL;
}

static struct jj_node *postfix(struct jj_parser *p, struct jj_node *n)
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
static const struct jj_str *dotted(struct jj_parser *p)
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
    struct jj_node *n = with_ab(p, N_TEST, line, of, NULL);
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
        struct jj_node *arg = postfix(p, primary(p, false, false));
        if (!arg || !slm_jj_add(p, n, &n->args, arg))
            return NULL;
    }
    return negate ? with_ab(p, N_NOT, line, n, NULL) : n;
}

static struct jj_node *filter_expr(struct jj_parser *p, struct jj_node *n)
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

static struct jj_node *unary(struct jj_parser *p, bool with_filter)
{
    struct jj_token *k = jj_tok(p);
    struct jj_node *n;
    if (!nest(p))
        return NULL;
    if (k->type == K_SUB || k->type == K_ADD) {
        p->at++;
        n = unary(p, false);
        n = n ? with_ab(p, k->type == K_SUB ? N_NEG : N_POS, k->line, n, NULL) : NULL;
    } else {
        n = primary(p, false, false);
    }
    n = postfix(p, n);
    if (with_filter)
        n = filter_expr(p, n);
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
        } else if ((left = with_ab(p, N_BINARY, k->line, left, right))) {
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
        if (!n && !(n = with_ab(p, N_COMPARE, k->line, first, NULL)))
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
    return n ? with_ab(p, N_NOT, k->line, n, NULL) : NULL;
}

static struct jj_node *and_or(struct jj_parser *p, bool is_or)
{
    struct jj_node *left = is_or ? and_or(p, false) : not_expr(p);
    while (left) {
        int line = jj_tok(p)->line;
        if (!slm_jj_skip_name(p, is_or ? "or" : "and"))
            break;
        struct jj_node *right = is_or ? and_or(p, false) : not_expr(p);
        left = right ? with_ab(p, is_or ? N_OR : N_AND, line, left, right) : NULL;
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
        struct jj_node *c = test_node ? with_ab(p, N_COND, line, test_node, n) : NULL;
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
