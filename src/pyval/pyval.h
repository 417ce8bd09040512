/* The room's face: values as Python has them, and their text.
 *
 * Values follow Python's object model as far as templates can see it: one tagged struct passed
 * by value, everything behind it in the arena of a run. Nothing is ever freed singly, and
 * lists, dicts and strings never change once they can be seen from outside, so sharing needs no
 * counting. A call that fails returns a value of type T_FAIL; the reason stands in the run's
 * error. Who evaluates expressions is the host: the room above. Its own objects pass through
 * here as types from T_HOST on, known by their class alone. */
#ifndef SLM_PYVAL_PYVAL_H
#define SLM_PYVAL_PYVAL_H

#include "base/base.h"

/* Python's integers have no limit; ours have 127 bits and overflow is an error. */
__extension__ typedef __int128 py_int;
__extension__ typedef unsigned __int128 py_uint;

enum py_type {
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
    T_ITER,
    T_METHOD,
    T_HOST /* and what follows: the host's */
};

struct py_str {
    const char *s; /* n bytes of UTF-8, no NUL behind */
    size_t n;
    size_t chars;  /* code points, SIZE_MAX: not counted yet */
    uint64_t hash; /* 0: not computed yet */
};

struct py_run;
typedef struct py_val {
    uint8_t t;
    bool mark;                  /* a string safe to print (Markup); a tuple made by groupby */
    const struct py_class *cls; /* T_HOST and on */
    union {
        bool b;
        py_int i;
        double f;
        struct py_str *s;
        struct py_list *l;
        struct py_dict *d;
        struct py_undef *u;
        struct py_range *r;
        struct py_view *v;
        struct py_iter *it;
        struct py_method *m;
        void *host;
    };
} py_val;

struct py_list {
    py_val *v;
    size_t n, cap;
};
struct py_entry {
    py_val k, v;
    uint64_t h;
};
struct py_dict {
    struct py_entry *e;
    size_t n, cap;
    uint32_t *index;
    size_t slots;
};
struct py_undef {
    py_val obj, name;
    const char *hint;
    bool unsafe;
};
struct py_range {
    py_int start, stop, step, n;
};
struct py_view {
    struct py_dict *d;
    int what;
}; /* 0 keys, 1 values, 2 items */
struct py_method {
    py_val self;
    int id;
};

struct py_args {
    py_val *pos;
    size_t n;
    struct py_dict *kw; /* NULL: none */
};

/* What the room knows of a type of the host's. */
struct py_class {
    const char *name;
    py_int (*len)(struct py_run *r, py_val v);                  /* NULL: has none */
    bool (*put)(struct py_run *r, struct slm_buf *b, py_val v); /* repr; NULL: by name */
};

/* Iterators: lists and the like by index, generators by a step of their own. */
enum py_iter_kind {
    I_SEQ,
    I_STR,
    I_DICT,
    I_RANGE,
    I_VIEW,
    I_REVERSED,
    I_ITEMS,
    I_EMPTY,
    I_STEP
};
typedef int py_step_fn(struct py_run *r, struct py_iter *it, py_val *out); /* as slm_py_next */
struct py_iter {
    int kind;
    bool ended;
    const char *type;  /* Python's name of it when it is a value ("generator") */
    const char *maker; /* the function a generator comes from, if it shows */
    py_val src;
    size_t i;
    py_step_fn *step; /* I_STEP; the struct is then the head of a larger one */
};

/* Where values live and what bounds the work on them. The host embeds it as the head of its
 * own state. */
struct py_run {
    slm_runtime *rt;
    struct slm_arena arena;
    slm_err *err;
    int code; /* first failure, 0 */
    size_t memory, max_memory;
    uint64_t steps, max_steps;
    int level, max_level; /* C recursion */
    /* attributes and items as the host's sandbox gives them out, for str.format */
    py_val (*getattr)(struct py_run *r, py_val obj, const struct py_str *name);
    py_val (*getitem)(struct py_run *r, py_val obj, py_val key);
};

enum py_op {
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

/* value.c: memory, making, asking */
py_val slm_py_fail(struct py_run *r, int code, const char *fmt, ...) SLM_PRINTF(3, 4);
bool slm_py_step(struct py_run *r, uint64_t n);
bool slm_py_enter(struct py_run *r); /* one C level deeper; r->level-- leaves it */
void *slm_py_new(struct py_run *r, size_t n);
void *slm_py_new_n(struct py_run *r, size_t n, size_t size);
py_val slm_py_str(struct py_run *r, const char *s, size_t n);      /* copies */
py_val slm_py_str_view(struct py_run *r, const char *s, size_t n); /* borrows */
py_val slm_py_strz(struct py_run *r, const char *s);
py_val slm_py_list(struct py_run *r, int type, size_t cap);
bool slm_py_push(struct py_run *r, struct py_list *l, py_val v);
py_val slm_py_pair(struct py_run *r, py_val a, py_val b); /* a tuple */
py_val slm_py_dict(struct py_run *r);
py_val slm_py_undef(struct py_run *r, py_val obj, py_val name);
py_val slm_py_undef_hint(struct py_run *r, const char *hint);
py_val slm_py_undef_error(struct py_run *r, py_val u); /* fails with u's message */
void slm_py_buf(struct py_run *r, struct slm_buf *b);
py_val slm_py_buf_str(struct py_run *r, struct slm_buf *b); /* takes and releases b */
bool slm_py_truth(struct py_run *r, py_val v, bool *out);
size_t slm_py_chars(const struct py_str *s);
size_t slm_py_offset(const struct py_str *s, size_t chars); /* byte offset of a character */
const char *slm_py_type_name(py_val v);
py_int slm_py_len(struct py_run *r, py_val v); /* -1: has none; undefined: 0 */
bool slm_py_is(py_val v, const char *s);       /* a string equal to s */
bool slm_py_as_int(py_val v, py_int *out);     /* int or bool */
bool slm_py_as_num(py_val v, double *out);     /* int, bool or float */

static inline py_val py_none(void) { return (py_val){.t = T_NONE}; }
static inline py_val py_bool(bool b) { return (py_val){.t = T_BOOL, .b = b}; }
static inline py_val py_of_int(py_int i) { return (py_val){.t = T_INT, .i = i}; }
static inline py_val py_float(double f) { return (py_val){.t = T_FLOAT, .f = f}; }
static inline py_val py_failed(void) { return (py_val){.t = T_FAIL}; }
static inline bool py_bad(py_val v) { return v.t == T_FAIL; }
static inline bool py_is_num(py_val v)
{
    return v.t == T_INT || v.t == T_FLOAT || v.t == T_BOOL;
}
static inline bool py_is_seq(py_val v) { return v.t == T_LIST || v.t == T_TUPLE; }

/* equal.c: equality, order, hash, dict lookup */
int slm_py_equal(struct py_run *r, py_val a, py_val b); /* 1, 0, -1 failed */
int slm_py_less(struct py_run *r, py_val a, py_val b);  /* a < b: 1, 0, -1 failed */
int slm_py_compare(struct py_run *r, int op, py_val a, py_val b);
int slm_py_contains(struct py_run *r, py_val item, py_val in);
bool slm_py_hash(struct py_run *r, py_val v, uint64_t *out);
bool slm_py_hashable(py_val v);
uint64_t slm_py_hash_bytes(const char *s, size_t n);
bool slm_py_put(struct py_run *r, struct py_dict *d, py_val k, py_val v);
py_val *slm_py_get(struct py_run *r, struct py_dict *d, py_val k); /* NULL: absent or failed */
py_val *slm_py_get_str(struct py_dict *d, const char *s, size_t n);
/* Stable sort of n values by keys (NULL: the values themselves). */
bool slm_py_sort(struct py_run *r, py_val *v, py_val *keys, size_t n, bool reverse);

/* number.c */
py_val slm_py_binary(struct py_run *r, int op, py_val a, py_val b);
py_val slm_py_negate(struct py_run *r, py_val v, bool minus);
void slm_py_put_int(struct slm_buf *b, py_int i);
void slm_py_put_float(struct slm_buf *b, double f);
/* int(text, base) and float(text); false when it is no number. */
bool slm_py_parse_int(const char *s, size_t n, int base, py_int *out);
bool slm_py_parse_float(const char *s, size_t n, double *out);
bool slm_py_float_to_int(double f, py_int *out);

/* show.c, dump.c: str(), repr(), escaping, JSON */
bool slm_py_put_str(struct py_run *r, struct slm_buf *b, py_val v);
bool slm_py_put_repr(struct py_run *r, struct slm_buf *b, py_val v);
py_val slm_py_to_str(struct py_run *r, py_val v);
py_val slm_py_soft_str(struct py_run *r, py_val v); /* keeps the mark */
py_val slm_py_escape(struct py_run *r, py_val v);
py_val slm_py_tojson(struct py_run *r, py_val v, const struct py_args *a);
bool slm_py_put_repr_sorted(struct py_run *r, struct slm_buf *b, py_val v);

/* iter.c */
struct py_iter *slm_py_iter(struct py_run *r, py_val v); /* NULL failed */
bool slm_py_iterable(py_val v);
int slm_py_next(struct py_run *r, struct py_iter *it, py_val *out); /* 1, 0 end, -1 failed */
struct py_iter *slm_py_iter_new(struct py_run *r, int kind, py_val src);
py_val slm_py_collect(struct py_run *r, py_val v, int type); /* list(v) */

/* slice.c: start, stop, step */
py_val slm_py_slice(struct py_run *r, py_val obj, const py_val *bounds);

/* methods.c */
int slm_py_method_find(py_val self, const char *name, size_t n); /* -1: none */
py_val slm_py_call_method(struct py_run *r, const struct py_method *m, const struct py_args *a);
py_val slm_py_make_dict(struct py_run *r, const struct py_args *a); /* dict(...) */
py_val slm_py_type_error(struct py_run *r, const char *what, const char *why);
/* Binds arguments to parameters: `names` are separated by blanks, those from
 * `required` on are optional (T_MISSING when absent). pos_only: how many take no keyword. */
struct py_spec {
    const char *what, *names;
    int required, pos_only;
};
bool slm_py_bind(struct py_run *r, const struct py_spec *spec, const struct py_args *a,
                 py_val *out);
bool slm_py_no_kw(struct py_run *r, const struct py_args *a, const char *what, size_t lo,
                  size_t hi);

/* strings.c, cases.c */
enum py_case { CASE_UPPER, CASE_LOWER, CASE_TITLE, CASE_SWAP, CASE_FOLD, CASE_CAPITAL };
py_val slm_py_recase(struct py_run *r, py_val s, int how);
void slm_py_put_case(struct slm_buf *b, const char *s, size_t n, int how);
bool slm_py_space(int32_t cp);
bool slm_py_printable(int32_t cp);
bool slm_py_alpha(int32_t cp);
bool slm_py_digit(int32_t cp);
bool slm_py_numeric(int32_t cp);
bool slm_py_alnum(int32_t cp);
bool slm_py_upper(int32_t cp);
bool slm_py_lower(int32_t cp);
py_val slm_py_strip(struct py_run *r, py_val s, py_val chars, int sides); /* 1 left, 2 right */
py_val slm_py_split_lines(struct py_run *r, py_val s, bool keep);
py_val slm_py_replace(struct py_run *r, py_val s, py_val from, py_val to, py_int count);
py_val slm_py_justify(struct py_run *r, py_val s, py_int width, py_val fill,
                      int how); /* -1 0 1 */
py_val slm_py_join(struct py_run *r, py_val sep, py_val items, bool strict);
bool slm_py_is_case(py_val s, bool upper); /* islower() or isupper() of a string */

/* format_percent.c, format_braces.c */
py_val slm_py_percent(struct py_run *r, py_val fmt, py_val args);
py_val slm_py_braces(struct py_run *r, py_val fmt, const struct py_args *a);
bool slm_py_put_fixed(struct py_run *r, struct slm_buf *b, double f, int precision, char type,
                      bool alt);

/* strftime.c: now is local time in seconds */
py_val slm_py_strftime(struct py_run *r, py_val format, int64_t now);

/* wrap.c, urlize.c: text reworked by an algorithm of its own */
py_val slm_py_wordwrap(struct py_run *r, py_val v, const struct py_args *a);
py_val slm_py_urlize(struct py_run *r, py_val v, const struct py_args *a);
py_val slm_py_striptags(struct py_run *r, py_val v);

#endif
