/* Private to the parser: tokens and the state that lexer.c and the parse_*.c share. */
#ifndef SLM_TEMPLATE_PARSE_H
#define SLM_TEMPLATE_PARSE_H

#include "template/jinja.h"

enum jj_token_type {
    K_EOF,
    K_DATA,
    K_VAR_BEGIN,
    K_VAR_END,
    K_BLOCK_BEGIN,
    K_BLOCK_END,
    K_NAME,
    K_STRING,
    K_INT,
    K_FLOAT,
    K_ADD,
    K_SUB,
    K_MUL,
    K_DIV,
    K_FLOORDIV,
    K_MOD,
    K_POW,
    K_TILDE,
    K_LBRACKET,
    K_RBRACKET,
    K_LPAREN,
    K_RPAREN,
    K_LBRACE,
    K_RBRACE,
    K_EQ,
    K_NE,
    K_GT,
    K_GE,
    K_LT,
    K_LE,
    K_ASSIGN,
    K_DOT,
    K_COLON,
    K_PIPE,
    K_COMMA,
    K_SEMICOLON
};

struct jj_token {
    int type, line;
    const char *s; /* data, name, or the unescaped string */
    size_t n;
    py_val value; /* K_INT, K_FLOAT */
};

/* What a macro body mentions while it is being parsed. */
struct jj_macro_uses {
    struct jj_macro_uses *up;
    struct jj_node *node;
    bool hid_caller, hid_kwargs, hid_varargs; /* assigned before they were read */
};

struct jj_parser {
    slm_template *t;
    slm_err *err;
    int code;
    struct jj_token *tok;
    size_t n, cap, at;
    int depth; /* nesting of the parser itself */
    int loops; /* loops around, within the current function */
    struct jj_macro_uses *uses;
};

/* Lexes t->src into p->tok (heap, the caller's). */
int slm_jj_lex(struct jj_parser *p);

int slm_jj_parse_fail(struct jj_parser *p, int line, const char *fmt, ...) SLM_PRINTF(3, 4);
struct jj_node *slm_jj_node(struct jj_parser *p, int kind, int line);
struct jj_node *slm_jj_node_ab(struct jj_parser *p, int kind, int line, struct jj_node *a,
                               struct jj_node *b);
struct jj_node *slm_jj_constant(struct jj_parser *p, int line, py_val v);
bool slm_jj_str_value(struct jj_parser *p, const char *s, size_t n, py_val *out);
/* Adds to a list; false when there is no memory or the tree grows too deep. */
bool slm_jj_add(struct jj_parser *p, struct jj_node *owner, struct jj_list_n *l,
                struct jj_node *n);
bool slm_jj_deepen(struct jj_parser *p, struct jj_node *owner, const struct jj_node *child);
const struct py_str *slm_jj_intern(struct jj_parser *p, const char *s, size_t n);
void slm_jj_note_name(struct jj_parser *p, const struct py_str *name, bool load);

static inline struct jj_token *jj_tok(struct jj_parser *p) { return &p->tok[p->at]; }
static inline bool jj_tok_is(const struct jj_token *k, const char *name)
{
    return k->type == K_NAME && strlen(name) == k->n && memcmp(k->s, name, k->n) == 0;
}
bool slm_jj_skip_name(struct jj_parser *p, const char *name);
bool slm_jj_skip(struct jj_parser *p, int type);
bool slm_jj_expect(struct jj_parser *p, int type);
bool slm_jj_expect_name(struct jj_parser *p, const char *name);
const char *slm_jj_describe(const struct jj_token *k, char *buf, size_t n);

/* parse_expr.c */
struct jj_tuple_opts {
    bool simple, no_cond, parens, ns, until_in, until_recursive;
};
struct jj_node *slm_jj_parse_tuple(struct jj_parser *p, struct jj_tuple_opts o);
struct jj_node *slm_jj_parse_expr(struct jj_parser *p, bool cond);
struct jj_node *slm_jj_parse_target(struct jj_parser *p, struct jj_tuple_opts o);
struct jj_node *slm_jj_parse_primary(struct jj_parser *p, bool ns, bool store);

/* parse_postfix.c: what follows an operand; NULL in, NULL out */
struct jj_node *slm_jj_parse_postfix(struct jj_parser *p, struct jj_node *n);
struct jj_node *slm_jj_parse_filter(struct jj_parser *p, struct jj_node *of, bool inline_start);
struct jj_node *slm_jj_filter_expr(struct jj_parser *p, struct jj_node *n);

#endif
