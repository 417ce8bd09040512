/* The tests: what stands behind `is`. */
#include <string.h>

#include "template/jinja.h"

enum test {
    IS_ODD,
    IS_EVEN,
    IS_DIVISIBLEBY,
    IS_DEFINED,
    IS_UNDEFINED,
    IS_FILTER,
    IS_TEST,
    IS_NONE,
    IS_BOOLEAN,
    IS_FALSE,
    IS_TRUE,
    IS_INTEGER,
    IS_FLOAT,
    IS_LOWER,
    IS_UPPER,
    IS_STRING,
    IS_MAPPING,
    IS_NUMBER,
    IS_SEQUENCE,
    IS_ITERABLE,
    IS_CALLABLE,
    IS_SAMEAS,
    IS_ESCAPED,
    IS_IN,
    IS_EQ,
    IS_NE,
    IS_GT,
    IS_GE,
    IS_LT,
    IS_LE
};

static const struct {
    const char *name;
    int id;
} tests[] = {
    {"odd", IS_ODD},
    {"even", IS_EVEN},
    {"divisibleby", IS_DIVISIBLEBY},
    {"defined", IS_DEFINED},
    {"undefined", IS_UNDEFINED},
    {"filter", IS_FILTER},
    {"test", IS_TEST},
    {"none", IS_NONE},
    {"boolean", IS_BOOLEAN},
    {"false", IS_FALSE},
    {"true", IS_TRUE},
    {"integer", IS_INTEGER},
    {"float", IS_FLOAT},
    {"lower", IS_LOWER},
    {"upper", IS_UPPER},
    {"string", IS_STRING},
    {"mapping", IS_MAPPING},
    {"number", IS_NUMBER},
    {"sequence", IS_SEQUENCE},
    {"iterable", IS_ITERABLE},
    {"callable", IS_CALLABLE},
    {"sameas", IS_SAMEAS},
    {"escaped", IS_ESCAPED},
    {"in", IS_IN},
    {"==", IS_EQ},
    {"eq", IS_EQ},
    {"equalto", IS_EQ},
    {"!=", IS_NE},
    {"ne", IS_NE},
    {">", IS_GT},
    {"gt", IS_GT},
    {"greaterthan", IS_GT},
    {"ge", IS_GE},
    {">=", IS_GE},
    {"<", IS_LT},
    {"lt", IS_LT},
    {"lessthan", IS_LT},
    {"<=", IS_LE},
    {"le", IS_LE},
};

int slm_jj_test_find(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (strlen(tests[i].name) == n && memcmp(tests[i].name, name, n) == 0)
            return tests[i].id;
    return -1;
}

/* Python's `is`: small integers, None and the booleans are one object each. */
static bool same(py_val a, py_val b)
{
    if (a.t != b.t)
        return false;
    switch (a.t) {
    case T_NONE: return true;
    case T_BOOL: return a.b == b.b;
    case T_INT: return a.i == b.i;
    case T_FLOAT: return memcmp(&a.f, &b.f, sizeof a.f) == 0;
    case T_FUNC: return a.i == b.i;
    case T_STR: return a.s == b.s || (a.s->n == b.s->n && memcmp(a.s->s, b.s->s, a.s->n) == 0);
    default: return a.s == b.s;
    }
}

/* v % by == want */
static int remainder_is(struct py_run *r, py_val v, py_val by, int want)
{
    py_val m = slm_py_binary(r, OP_MOD, v, by);
    return py_bad(m) ? -1 : slm_py_equal(r, m, py_of_int(want));
}

static int case_is(struct py_run *r, py_val v, bool upper)
{
    v = slm_py_to_str(r, v);
    if (py_bad(v) || !slm_py_step(r, v.s->n / 8))
        return -1;
    return slm_py_is_case(v, upper);
}

static int registered(struct py_run *r, py_val v, bool filter)
{
    uint64_t h;
    if (!slm_py_hash(r, v, &h))
        return -1;
    return v.t == T_STR && (filter ? slm_jj_filter_find(v.s->s, v.s->n)
                                   : slm_jj_test_find(v.s->s, v.s->n)) >= 0;
}

static int relation(struct py_run *r, int id, py_val v, py_val o)
{
    static const uint8_t op[] = {
        [IS_IN] = OP_IN, [IS_EQ] = OP_EQ, [IS_NE] = OP_NE, [IS_GT] = OP_GT,
        [IS_GE] = OP_GE, [IS_LT] = OP_LT, [IS_LE] = OP_LE};
    if (id == IS_DIVISIBLEBY)
        return remainder_is(r, v, o, 0);
    return id == IS_SAMEAS ? same(v, o) : slm_py_compare(r, op[id], v, o);
}

static int property(struct py_run *r, int id, py_val v)
{
    switch (id) {
    case IS_ODD: return remainder_is(r, v, py_of_int(2), 1);
    case IS_EVEN: return remainder_is(r, v, py_of_int(2), 0);
    case IS_DEFINED: return v.t != T_UNDEF;
    case IS_UNDEFINED: return v.t == T_UNDEF;
    case IS_FILTER: return registered(r, v, true);
    case IS_TEST: return registered(r, v, false);
    case IS_NONE: return v.t == T_NONE;
    case IS_BOOLEAN: return v.t == T_BOOL;
    case IS_FALSE: return v.t == T_BOOL && !v.b;
    case IS_TRUE: return v.t == T_BOOL && v.b;
    case IS_INTEGER: return v.t == T_INT;
    case IS_FLOAT: return v.t == T_FLOAT;
    case IS_LOWER: return case_is(r, v, false);
    case IS_UPPER: return case_is(r, v, true);
    case IS_STRING: return v.t == T_STR;
    case IS_MAPPING: return v.t == T_DICT;
    case IS_NUMBER: return py_is_num(v);
    case IS_SEQUENCE:
        return v.t == T_STR || v.t == T_BYTES || py_is_seq(v) || v.t == T_DICT ||
               v.t == T_RANGE || v.t == T_UNDEF;
    case IS_ITERABLE: return slm_py_iterable(v);
    case IS_CALLABLE: return slm_jj_callable(v);
    default: return v.t == T_STR && v.mark;
    }
}

int slm_jj_test(struct py_run *r, int id, py_val v, const struct py_args *a)
{
    static const struct py_spec one = {"test", "other", 1, 0};
    bool binary = id == IS_DIVISIBLEBY || id == IS_SAMEAS || (id >= IS_IN && id <= IS_LE);
    py_val o;
    int yes = -1;
    if (!slm_py_step(r, 1) || !slm_py_enter(r))
        return -1;
    if (binary ? slm_py_bind(r, &one, a, &o) : slm_py_no_kw(r, a, "test", 0, 0))
        yes = binary ? relation(r, id, v, o) : property(r, id, v);
    r->level--;
    return r->code ? -1 : yes;
}

int slm_jj_test_named(struct py_run *r, py_val name, py_val v, const struct py_args *a)
{
    int id = name.t == T_STR ? slm_jj_test_find(name.s->s, name.s->n) : -1;
    if (id >= 0)
        return slm_jj_test(r, id, v, a);
    slm_py_fail(r, SLM_E_TEMPLATE, "No test of that name");
    return -1;
}
