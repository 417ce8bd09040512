/* Private to the room: syntax tree, render state and the evaluator's own objects. Values and
 * their text are the room's below, whose struct py_run heads the state of a render. */
#ifndef SLM_TEMPLATE_JINJA_H
#define SLM_TEMPLATE_JINJA_H

#include "slm/template.h"
#include "pyval/pyval.h"

enum jj_type {
    T_NS = T_HOST, /* its dict is where a dict's is */
    T_FUNC,        /* i: enum jj_func */
    T_MACRO,
    T_LOOP,
    T_CYCLER,
    T_JOINER,
    T_SELF,
    T_BLOCK, /* a node */
    T_END
};
extern const struct py_class slm_jj_classes[T_END - T_HOST];

static inline py_val jj_object(int type, void *p)
{
    return (py_val){.t = (uint8_t)type, .cls = &slm_jj_classes[type - T_HOST], .host = p};
}

struct jj_cycler {
    struct py_list items;
    size_t pos;
};
struct jj_joiner {
    py_val sep;
    bool used;
};

/* What filters hand out: lazy, and walked once. */
enum jj_gen_kind { G_MAP, G_SELECT, G_UNIQUE, G_BATCH, G_SLICE, G_LOOPIF };
struct jj_gen {
    struct py_iter it; /* first */
    int kind;
    struct py_iter *in; /* the source, opened by the first step */
    struct py_args args;
    bool started, negate, attr;
    struct py_dict *seen;
    py_val key, fill;
    py_int count;
    struct jj_node *node; /* G_LOOPIF */
    struct jj_frame *frame;
};

struct jj_loop {
    struct py_iter *it;
    py_val src, now, before, after; /* T_MISSING: none */
    py_val changed;                 /* last arguments of changed(), T_MISSING at first */
    py_int index0;
    int64_t length; /* -1: not known */
    int depth0;
    struct jj_node *node;   /* the for node when recursive, else NULL */
    struct jj_frame *frame; /* its outer frame */
};

struct jj_var {
    const struct py_str *name;
    py_val v;
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

enum { N_OP_GENERATION = 1 }; /* op of an N_SCOPE that is a generation block */

struct jj_list_n {
    struct jj_node **v;
    int n, cap;
};
struct jj_node {
    uint8_t kind, op;
    bool recursive;               /* for */
    bool folded;                  /* slice: in an output without variables */
    bool caller, kwargs, varargs; /* macro: its body uses them */
    uint16_t depth;
    int line;
    int id; /* filter or test: index in its table, -1 unknown */
    const struct py_str *name;
    py_val value;                  /* N_CONST, N_DATA */
    struct jj_node *a, *b, *c, *d; /* operands; d: **kwargs, c: *args of calls */
    struct jj_list_n args;         /* items, arguments, targets, print's expressions */
    struct jj_list_n kids;         /* body, keyword values, dict values */
    struct jj_list_n other;        /* else */
    const struct py_str *
        *names; /* keyword names, n of them beside kids; compare operators in ops */
    uint8_t *ops;
    const struct py_str **hidden; /* names a scope starts without (scope.c), n_hidden */
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
    struct py_dict *interned;
    bool generation; /* has generation blocks */
};

/* A render. */
struct jj_run {
    struct py_run py; /* first: jj() leads back from it */
    const slm_template *t;
    slm_err own;          /* where py.err points when the caller has none */
    int calls, max_calls; /* the template's own */
    size_t max_output;
    int64_t now;
    int line;
    struct py_dict *context;
    struct jj_frame *frame, *root;
    struct slm_buf *out;
    bool autoescape;
    int flow; /* 0, N_BREAK or N_CONTINUE */
    struct slm_rng rng;
    /* who wrote what: of a render that is asked for it */
    slm_template_spans *spans;
    const struct py_list *messages; /* whose turns are told */
    const struct slm_buf *top;      /* the output itself, not a captured part */
};
static inline struct jj_run *jj(struct py_run *r) { return (struct jj_run *)(void *)r; }

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

/* objects.c */
bool slm_jj_callable(py_val v);

/* generators.c */
struct jj_gen *slm_jj_generator(struct py_run *r, int kind, py_val src);

/* attr.c */
py_val slm_jj_getattr(struct py_run *r, py_val obj, const struct py_str *name);
py_val slm_jj_getitem(struct py_run *r, py_val obj, py_val key);
py_val slm_jj_path(struct py_run *r, py_val obj, py_val path, py_val fallback);
py_val slm_jj_loop_attr(struct py_run *r, struct jj_loop *l, const char *name, size_t n);

/* call.c */
enum jj_method_id { MO_CYCLE = 1000, MO_CHANGED, MC_NEXT, MC_RESET }; /* loops', cyclers' */
py_val slm_jj_call(struct py_run *r, py_val f, const struct py_args *a);
py_val slm_jj_call_macro(struct py_run *r, struct jj_macro *m, const struct py_args *a);

/* filters.c, filters_seq.c, is_tests.c */
typedef py_val jj_filter_fn(struct py_run *r, py_val v, const struct py_args *a);
struct jj_filter {
    const char *name;
    jj_filter_fn *fn;
};
int slm_jj_filter_find(const char *name, size_t n);
py_val slm_jj_filter(struct py_run *r, int id, py_val v, const struct py_args *a);
py_val slm_jj_filter_named(struct py_run *r, py_val name, py_val v, const struct py_args *a);
extern const struct jj_filter slm_jj_seq_filters[];
extern const int slm_jj_seq_filter_count;
int slm_jj_test_find(const char *name, size_t n);
int slm_jj_test(struct py_run *r, int id, py_val v, const struct py_args *a); /* 1, 0, -1 */
int slm_jj_test_named(struct py_run *r, py_val name, py_val v, const struct py_args *a);

/* eval.c, statements.c */
py_val slm_jj_eval(struct py_run *r, struct jj_node *n);
py_val slm_jj_lookup(struct py_run *r, const struct py_str *name);
struct jj_frame *slm_jj_frame(struct py_run *r, struct jj_frame *up);
bool slm_jj_store(struct py_run *r, struct jj_frame *f, const struct py_str *name, py_val v);
bool slm_jj_hide(struct py_run *r, struct jj_frame *f, const struct jj_node *n);
bool slm_jj_assign(struct py_run *r, struct jj_node *target, py_val v);
bool slm_jj_exec(struct py_run *r, const struct jj_list_n *body);
bool slm_jj_for(struct py_run *r, struct jj_node *n, py_val items, int depth0);
/* Runs body in its own output; the text of it. */
py_val slm_jj_capture(struct py_run *r, const struct jj_list_n *body);
py_val slm_jj_loop_call(struct py_run *r, struct jj_loop *l, const struct py_args *a);
py_val slm_jj_block_call(struct py_run *r, struct jj_node *n);
bool slm_jj_put_out(struct py_run *r, const char *s, size_t n);
/* Notes that what was put out since `from` is of this message (-1: a generation block). */
bool slm_jj_span(struct py_run *r, const struct slm_buf *out, size_t from, int64_t message);

/* parse.c, scope.c */
int slm_jj_parse(slm_template *t, slm_err *err);
/* Names each scope starts without, and filters and tests that do not exist. */
int slm_jj_scopes(slm_template *t, slm_err *err);

#endif
