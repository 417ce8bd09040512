/* Private to the room: values, syntax tree and render state of the Jinja engine.
 *
 * Values follow Python's object model as far as templates can see it: one tagged struct passed
 * by value, everything behind it in the arena of the render. Nothing is ever freed singly, and
 * lists, dicts and strings never change once a template can see them (the sandbox forbids it),
 * so sharing needs no counting. A call that fails returns a value of type T_FAIL; the reason
 * stands in the run's error. */
#ifndef SLM_TEMPLATE_JINJA_H
#define SLM_TEMPLATE_JINJA_H

#include "slm/template.h"
#include "base/base.h"

/* Python's integers have no limit; ours have 127 bits and overflow is an error. */
__extension__ typedef __int128 jj_int;
__extension__ typedef unsigned __int128 jj_uint;

enum jj_type {
    T_FAIL,
    T_MISSING,
    T_UNDEF,
    T_NONE,
    T_BOOL,
    T_INT,
    T_FLOAT,
    T_STR,
    T_BYTES,
    T_LIST,
    T_TUPLE,
    T_DICT,
    T_RANGE,
    T_VIEW,
    T_NS,
    T_ITER,
    T_FUNC,
    T_METHOD,
    T_MACRO,
    T_LOOP,
    T_CYCLER,
    T_JOINER,
    T_SELF,
    T_BLOCK
};

struct jj_str {
    const char *s; /* n bytes of UTF-8, no NUL behind */
    size_t n;
    size_t chars;  /* code points, SIZE_MAX: not counted yet */
    uint64_t hash; /* 0: not computed yet */
};

typedef struct jj_val {
    uint8_t t;
    bool mark; /* a string safe to print (Markup); a tuple made by groupby */
    union {
        bool b;
        jj_int i;
        double f;
        struct jj_str *s;
        struct jj_list *l;
        struct jj_dict *d;
        struct jj_undef *u;
        struct jj_range *r;
        struct jj_view *v;
        struct jj_iter *it;
        struct jj_method *m;
        struct jj_macro *mac;
        struct jj_loop *loop;
        struct jj_cycler *cyc;
        struct jj_joiner *join;
        struct jj_node *node; /* T_BLOCK */
        int func;             /* T_FUNC: enum jj_func */
    };
} jj_val;

struct jj_list {
    jj_val *v;
    size_t n, cap;
};
struct jj_entry {
    jj_val k, v;
    uint64_t h;
};
struct jj_dict {
    struct jj_entry *e;
    size_t n, cap;
    uint32_t *index;
    size_t slots;
};
struct jj_undef {
    jj_val obj, name;
    const char *hint;
    bool unsafe;
};
struct jj_range {
    jj_int start, stop, step, n;
};
struct jj_view {
    struct jj_dict *d;
    int what;
}; /* 0 keys, 1 values, 2 items */
struct jj_method {
    jj_val self;
    int id;
};
struct jj_cycler {
    struct jj_list items;
    size_t pos;
};
struct jj_joiner {
    jj_val sep;
    bool used;
};

struct jj_args {
    jj_val *pos;
    size_t n;
    struct jj_dict *kw; /* NULL: none */
};

/* Iterators: lists and the like by index, generators by their kind. */
enum jj_iter_kind {
    I_SEQ,
    I_STR,
    I_DICT,
    I_RANGE,
    I_VIEW,
    I_REVERSED,
    I_MAP,
    I_SELECT,
    I_UNIQUE,
    I_BATCH,
    I_SLICE,
    I_ITEMS,
    I_LOOPIF,
    I_EMPTY
};
struct jj_iter {
    int kind;
    const char *type; /* Python's name of it when it is a value ("generator") */
    jj_val src;
    size_t i;
    struct jj_iter *in; /* the source of a generator, opened by its first step */
    struct jj_args args;
    bool started, ended, negate, attr;
    struct jj_dict *seen;
    jj_val key, fill;
    jj_int count;
    struct jj_node *node; /* I_LOOPIF */
    struct jj_frame *frame;
};

struct jj_loop {
    struct jj_iter *it;
    jj_val src, now, before, after; /* T_MISSING: none */
    jj_val changed;                 /* last arguments of changed(), T_MISSING at first */
    jj_int index0;
    int64_t length; /* -1: not known */
    int depth0;
    struct jj_node *node;   /* the for node when recursive, else NULL */
    struct jj_frame *frame; /* its outer frame */
};

struct jj_var {
    const struct jj_str *name;
    jj_val v;
};
struct jj_frame {
    struct jj_frame *up;
    struct jj_var *v;
    size_t n, cap;
};

struct jj_macro {
    struct jj_node *node;
    struct jj_frame *frame;
    bool autoescape;
};

/* Syntax tree. One node type with general-purpose fields keeps the walkers short. */
enum jj_kind {
    /* expressions */
    N_CONST,
    N_NAME,
    N_NSREF,
    N_TUPLE,
    N_LIST,
    N_DICT,
    N_ATTR,
    N_ITEM,
    N_SLICE,
    N_CALL,
    N_FILTER,
    N_TEST,
    N_NOT,
    N_AND,
    N_OR,
    N_NEG,
    N_POS,
    N_BINARY,
    N_CONCAT,
    N_COMPARE,
    N_COND,
    /* statements */
    N_DATA,
    N_PRINT,
    N_IF,
    N_FOR,
    N_SET,
    N_SETBLOCK,
    N_MACRO,
    N_CALLBLOCK,
    N_FILTERBLOCK,
    N_WITH,
    N_BLOCK,
    N_SCOPE,
    N_AUTOESCAPE,
    N_BREAK,
    N_CONTINUE,
    N_LOADER
};
enum jj_op {
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_FLOORDIV,
    OP_MOD,
    OP_POW,
    OP_EQ,
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_IN,
    OP_NOTIN
};

struct jj_list_n {
    struct jj_node **v;
    int n, cap;
};
struct jj_node {
    uint8_t kind, op;
    bool recursive;               /* for */
    bool caller, kwargs, varargs; /* macro: its body uses them */
    uint16_t depth;
    int line;
    int id; /* filter or test: index in its table, -1 unknown */
    const struct jj_str *name;
    jj_val value;                  /* N_CONST, N_DATA */
    struct jj_node *a, *b, *c, *d; /* operands; d: **kwargs, c: *args of calls */
    struct jj_list_n args;         /* items, arguments, targets, print's expressions */
    struct jj_list_n kids;         /* body, keyword values, dict values */
    struct jj_list_n other;        /* else */
    const struct jj_str *
        *names; /* keyword names, n of them beside kids; compare operators in ops */
    uint8_t *ops;
    const struct jj_str **hidden; /* names a scope starts without (scope.c), n_hidden */
    int n_hidden;
};

struct slm_template {
    slm_runtime *rt;
    struct slm_arena arena;
    char *name;
    const char *src; /* as given, in the arena */
    size_t n_src;
    struct jj_node *root; /* N_SCOPE */
    struct jj_list_n blocks;
    struct jj_dict *interned;
    jj_val *globals; /* by name */
};

/* A render. */
struct jj_run {
    slm_runtime *rt;
    const slm_template *t;
    struct slm_arena arena;
    slm_err *err;
    int code;    /* first failure, 0 */
    slm_err own; /* where err points when the caller has none */
    size_t memory, max_memory;
    uint64_t steps, max_steps;
    int level, max_level; /* C recursion */
    int calls, max_calls; /* the template's own */
    size_t max_output;
    int64_t now;
    int line;
    struct jj_dict *context;
    struct jj_frame *frame, *root;
    struct slm_buf *out;
    bool autoescape;
    int flow; /* 0, N_BREAK or N_CONTINUE */
    struct slm_rng rng;
};

enum jj_func {
    F_RANGE,
    F_DICT,
    F_LIPSUM,
    F_CYCLER,
    F_JOINER,
    F_NAMESPACE,
    F_RAISE,
    F_STRFTIME,
    F_COUNT
};

/* value.c: memory, making, asking */
jj_val slm_jj_fail(struct jj_run *r, int code, const char *fmt, ...) SLM_PRINTF(3, 4);
bool slm_jj_step(struct jj_run *r, uint64_t n);
void *slm_jj_new(struct jj_run *r, size_t n);
void *slm_jj_new_n(struct jj_run *r, size_t n, size_t size);
jj_val slm_jj_str(struct jj_run *r, const char *s, size_t n);      /* copies */
jj_val slm_jj_str_view(struct jj_run *r, const char *s, size_t n); /* borrows */
jj_val slm_jj_strz(struct jj_run *r, const char *s);
jj_val slm_jj_list(struct jj_run *r, int type, size_t cap);
bool slm_jj_push(struct jj_run *r, struct jj_list *l, jj_val v);
jj_val slm_jj_pair(struct jj_run *r, jj_val a, jj_val b); /* a tuple */
jj_val slm_jj_dict(struct jj_run *r);
jj_val slm_jj_undef(struct jj_run *r, jj_val obj, jj_val name);
jj_val slm_jj_undef_hint(struct jj_run *r, const char *hint);
jj_val slm_jj_undef_error(struct jj_run *r, jj_val u); /* fails with u's message */
void slm_jj_buf(struct jj_run *r, struct slm_buf *b);
jj_val slm_jj_buf_str(struct jj_run *r, struct slm_buf *b); /* takes and releases b */
bool slm_jj_truth(struct jj_run *r, jj_val v, bool *out);
size_t slm_jj_chars(const struct jj_str *s);
size_t slm_jj_offset(const struct jj_str *s, size_t chars); /* byte offset of a character */
const char *slm_jj_type_name(jj_val v);
bool slm_jj_callable(jj_val v);
jj_int slm_jj_len(struct jj_run *r, jj_val v); /* -1: has none; undefined: 0 */
bool slm_jj_is(jj_val v, const char *s);       /* a string equal to s */
bool slm_jj_as_int(jj_val v, jj_int *out);     /* int or bool */
bool slm_jj_as_num(jj_val v, double *out);     /* int, bool or float */

static inline jj_val jj_none(void) { return (jj_val){.t = T_NONE}; }
static inline jj_val jj_bool(bool b) { return (jj_val){.t = T_BOOL, .b = b}; }
static inline jj_val jj_of_int(jj_int i) { return (jj_val){.t = T_INT, .i = i}; }
static inline jj_val jj_float(double f) { return (jj_val){.t = T_FLOAT, .f = f}; }
static inline jj_val jj_failed(void) { return (jj_val){.t = T_FAIL}; }
static inline bool jj_bad(jj_val v) { return v.t == T_FAIL; }
static inline bool jj_is_num(jj_val v)
{
    return v.t == T_INT || v.t == T_FLOAT || v.t == T_BOOL;
}
static inline bool jj_is_seq(jj_val v) { return v.t == T_LIST || v.t == T_TUPLE; }

/* equal.c: equality, order, hash, dict lookup */
int slm_jj_equal(struct jj_run *r, jj_val a, jj_val b); /* 1, 0, -1 failed */
int slm_jj_less(struct jj_run *r, jj_val a, jj_val b);  /* a < b: 1, 0, -1 failed */
int slm_jj_compare(struct jj_run *r, int op, jj_val a, jj_val b);
int slm_jj_contains(struct jj_run *r, jj_val item, jj_val in);
bool slm_jj_hash(struct jj_run *r, jj_val v, uint64_t *out);
bool slm_jj_hashable(jj_val v);
uint64_t slm_jj_hash_bytes(const char *s, size_t n);
bool slm_jj_put(struct jj_run *r, struct jj_dict *d, jj_val k, jj_val v);
jj_val *slm_jj_get(struct jj_run *r, struct jj_dict *d, jj_val k); /* NULL: absent or failed */
jj_val *slm_jj_get_str(struct jj_dict *d, const char *s, size_t n);
/* Stable sort of n values by keys (NULL: the values themselves). */
bool slm_jj_sort(struct jj_run *r, jj_val *v, jj_val *keys, size_t n, bool reverse);

/* number.c */
jj_val slm_jj_binary(struct jj_run *r, int op, jj_val a, jj_val b);
jj_val slm_jj_negate(struct jj_run *r, jj_val v, bool minus);
void slm_jj_put_int(struct slm_buf *b, jj_int i);
void slm_jj_put_float(struct slm_buf *b, double f);
/* int(text, base) and float(text); false when it is no number. */
bool slm_jj_parse_int(const char *s, size_t n, int base, jj_int *out);
bool slm_jj_parse_float(const char *s, size_t n, double *out);
bool slm_jj_float_to_int(double f, jj_int *out);

/* show.c: str(), repr(), JSON, escaping */
bool slm_jj_put_str(struct jj_run *r, struct slm_buf *b, jj_val v);
bool slm_jj_put_repr(struct jj_run *r, struct slm_buf *b, jj_val v);
jj_val slm_jj_to_str(struct jj_run *r, jj_val v);
jj_val slm_jj_soft_str(struct jj_run *r, jj_val v); /* keeps the mark */
jj_val slm_jj_escape(struct jj_run *r, jj_val v);
jj_val slm_jj_tojson(struct jj_run *r, jj_val v, const struct jj_args *a);
bool slm_jj_put_repr_sorted(struct jj_run *r, struct slm_buf *b, jj_val v);

/* iter.c */
struct jj_iter *slm_jj_iter(struct jj_run *r, jj_val v); /* NULL failed */
bool slm_jj_iterable(jj_val v);
int slm_jj_next(struct jj_run *r, struct jj_iter *it, jj_val *out); /* 1, 0 end, -1 failed */
struct jj_iter *slm_jj_generator(struct jj_run *r, int kind, jj_val src);
jj_val slm_jj_collect(struct jj_run *r, jj_val v, int type); /* list(v) */

/* attr.c */
jj_val slm_jj_getattr(struct jj_run *r, jj_val obj, const struct jj_str *name);
jj_val slm_jj_getitem(struct jj_run *r, jj_val obj, jj_val key);
jj_val slm_jj_slice(struct jj_run *r, jj_val obj, const jj_val *bounds); /* start, stop, step */
jj_val slm_jj_path(struct jj_run *r, jj_val obj, jj_val path, jj_val fallback);
jj_val slm_jj_loop_attr(struct jj_run *r, struct jj_loop *l, const char *name, size_t n);
int slm_jj_method_find(int type, const char *name, size_t n); /* -1: none */

/* call.c */
jj_val slm_jj_call(struct jj_run *r, jj_val f, const struct jj_args *a);
jj_val slm_jj_call_macro(struct jj_run *r, struct jj_macro *m, const struct jj_args *a);
/* Binds arguments to parameters: spec is "a b=,c" style: names separated by blanks, those from
 * `required` on optional (T_MISSING when absent). pos_only: how many take no keyword. */
struct jj_spec {
    const char *what, *names;
    int required, pos_only;
};
bool slm_jj_bind(struct jj_run *r, const struct jj_spec *spec, const struct jj_args *a,
                 jj_val *out);
bool slm_jj_no_kw(struct jj_run *r, const struct jj_args *a, const char *what, size_t lo,
                  size_t hi);

/* strings.c, cases.c */
jj_val slm_jj_str_method(struct jj_run *r, jj_val self, int id, const struct jj_args *a);
enum jj_case { CASE_UPPER, CASE_LOWER, CASE_TITLE, CASE_SWAP, CASE_FOLD, CASE_CAPITAL };
jj_val slm_jj_recase(struct jj_run *r, jj_val s, int how);
void slm_jj_put_case(struct slm_buf *b, const char *s, size_t n, int how);
bool slm_jj_space(int32_t cp);
bool slm_jj_printable(int32_t cp);
bool slm_jj_alpha(int32_t cp);
bool slm_jj_digit(int32_t cp);
bool slm_jj_numeric(int32_t cp);
bool slm_jj_alnum(int32_t cp);
bool slm_jj_upper(int32_t cp);
bool slm_jj_lower(int32_t cp);
jj_val slm_jj_strip(struct jj_run *r, jj_val s, jj_val chars, int sides); /* 1 left, 2 right */
jj_val slm_jj_split_lines(struct jj_run *r, jj_val s, bool keep);
jj_val slm_jj_replace(struct jj_run *r, jj_val s, jj_val from, jj_val to, jj_int count);
jj_val slm_jj_justify(struct jj_run *r, jj_val s, jj_int width, jj_val fill,
                      int how); /* -1 0 1 */
jj_val slm_jj_join(struct jj_run *r, jj_val sep, jj_val items, bool strict);
jj_val slm_jj_test_chars(jj_val s, int id);

/* format_percent.c, format_braces.c */
jj_val slm_jj_percent(struct jj_run *r, jj_val fmt, jj_val args);
jj_val slm_jj_braces(struct jj_run *r, jj_val fmt, const struct jj_args *a);
bool slm_jj_put_fixed(struct jj_run *r, struct slm_buf *b, double f, int precision, char type,
                      bool alt);

/* filters.c and its tables, tests.c */
typedef jj_val jj_filter_fn(struct jj_run *r, jj_val v, const struct jj_args *a);
struct jj_filter {
    const char *name;
    jj_filter_fn *fn;
};
int slm_jj_filter_find(const char *name, size_t n);
jj_val slm_jj_filter(struct jj_run *r, int id, jj_val v, const struct jj_args *a);
jj_val slm_jj_filter_named(struct jj_run *r, jj_val name, jj_val v, const struct jj_args *a);
extern const struct jj_filter slm_jj_text_filters[], slm_jj_seq_filters[];
extern const int slm_jj_text_filter_count, slm_jj_seq_filter_count;
int slm_jj_test_find(const char *name, size_t n);
int slm_jj_test(struct jj_run *r, int id, jj_val v, const struct jj_args *a); /* 1, 0, -1 */
int slm_jj_test_named(struct jj_run *r, jj_val name, jj_val v, const struct jj_args *a);

/* eval.c, statements.c */
jj_val slm_jj_eval(struct jj_run *r, struct jj_node *n);
jj_val slm_jj_lookup(struct jj_run *r, const struct jj_str *name);
bool slm_jj_enter(struct jj_run *r); /* one C level deeper */
struct jj_frame *slm_jj_frame(struct jj_run *r, struct jj_frame *up);
bool slm_jj_store(struct jj_run *r, struct jj_frame *f, const struct jj_str *name, jj_val v);
bool slm_jj_hide(struct jj_run *r, struct jj_frame *f, const struct jj_node *n);
bool slm_jj_assign(struct jj_run *r, struct jj_node *target, jj_val v);
bool slm_jj_exec(struct jj_run *r, const struct jj_list_n *body);
bool slm_jj_for(struct jj_run *r, struct jj_node *n, jj_val items, int depth0);
/* Runs body in its own output; the text of it. */
jj_val slm_jj_capture(struct jj_run *r, const struct jj_list_n *body);
jj_val slm_jj_loop_call(struct jj_run *r, struct jj_loop *l, const struct jj_args *a);
jj_val slm_jj_block_call(struct jj_run *r, struct jj_node *n);
bool slm_jj_put_out(struct jj_run *r, const char *s, size_t n);

/* strftime.c */
jj_val slm_jj_strftime(struct jj_run *r, jj_val format);

/* wrap.c: filters that carry an algorithm of their own */
jj_val slm_jj_wordwrap(struct jj_run *r, jj_val v, const struct jj_args *a);
jj_val slm_jj_urlize(struct jj_run *r, jj_val v, const struct jj_args *a);
jj_val slm_jj_striptags(struct jj_run *r, jj_val v);

/* lexer.c, parse.c, parse_expr.c, scope.c */
int slm_jj_parse(slm_template *t, slm_err *err);
/* Names each scope starts without, and filters and tests that do not exist. */
int slm_jj_scopes(slm_template *t, slm_err *err);

#endif
