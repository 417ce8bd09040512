/* Private to the room: the methods of Python's types that the sandbox lets templates call, and
 * what the files on strings share. */
#ifndef SLM_PYVAL_METHODS_H
#define SLM_PYVAL_METHODS_H

#include "pyval/pyval.h"

#define PY_STR_METHODS(X)                                                                      \
    X(capitalize)                                                                              \
    X(casefold)                                                                                \
    X(center)                                                                                  \
    X(count) X(encode) X(endswith) X(expandtabs) X(find) X(format) X(format_map) X(index)      \
        X(isalnum) X(isalpha) X(isascii) X(isdecimal) X(isdigit) X(isidentifier) X(islower)    \
            X(isnumeric) X(isprintable) X(isspace) X(istitle) X(isupper) X(join) X(ljust)      \
                X(lower) X(lstrip) X(partition) X(removeprefix) X(removesuffix) X(replace)     \
                    X(rfind) X(rindex) X(rjust) X(rpartition) X(rsplit) X(rstrip) X(split)     \
                        X(splitlines) X(startswith) X(strip) X(swapcase) X(title) X(translate) \
                            X(upper) X(zfill) X(unescape) X(striptags)
#define PY_BYTES_METHODS(X) X(decode) X(hex)
#define PY_SEQ_METHODS(X) X(index) X(count) X(copy)
#define PY_DICT_METHODS(X) X(get) X(items) X(keys) X(values) X(copy) X(fromkeys)
#define PY_NUM_METHODS(X)                                                                      \
    X(bit_length) X(bit_count) X(conjugate) X(is_integer) X(as_integer_ratio)

enum py_str_method {
#define X(name) MS_##name,
    PY_STR_METHODS(X)
#undef X
};
enum py_other_method {
    M_OTHER = 100,
#define X(name) MB_##name,
    PY_BYTES_METHODS(X)
#undef X
#define X(name) ML_##name,
        PY_SEQ_METHODS(X)
#undef X
#define X(name) MD_##name,
            PY_DICT_METHODS(X)
#undef X
#define X(name) MN_##name,
                PY_NUM_METHODS(X)
#undef X
};

py_val slm_py_str_method(struct py_run *r, py_val self, int id, const struct py_args *a);
py_val slm_py_test_chars(py_val s, int id); /* isalpha() and the like */
py_val slm_py_split(struct py_run *r, py_val s, const struct py_args *a, bool right);
bool slm_py_need_str(struct py_run *r, py_val v, const char *what);
bool slm_py_push_part(struct py_run *r, py_val list, py_val of, size_t lo, size_t hi);
const char *slm_py_last_match(const char *s, size_t n, const struct py_str *what);

static inline py_val py_marked(py_val v, bool mark)
{
    v.mark = mark && v.t == T_STR;
    return v;
}

#endif
