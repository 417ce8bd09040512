/* Private: the methods of Python's types that the sandbox lets templates call. */
#ifndef SLM_TEMPLATE_METHODS_H
#define SLM_TEMPLATE_METHODS_H

#define JJ_STR_METHODS(X)                                                                      \
    X(capitalize)                                                                              \
    X(casefold) X(center) X(count) X(encode) X(endswith) X(expandtabs) X(find) X(format)       \
        X(format_map) X(index) X(isalnum) X(isalpha) X(isascii) X(isdecimal) X(isdigit)        \
            X(isidentifier) X(islower) X(isnumeric) X(isprintable) X(isspace) X(istitle)       \
                X(isupper) X(join) X(ljust) X(lower) X(lstrip) X(partition) X(removeprefix)    \
                    X(removesuffix) X(replace) X(rfind) X(rindex) X(rjust) X(rpartition)       \
                        X(rsplit) X(rstrip) X(split) X(splitlines) X(startswith) X(strip)      \
                            X(swapcase) X(title) X(translate) X(upper) X(zfill) X(unescape)    \
                                X(striptags)
#define JJ_BYTES_METHODS(X) X(decode) X(hex)
#define JJ_SEQ_METHODS(X) X(index) X(count) X(copy)
#define JJ_DICT_METHODS(X) X(get) X(items) X(keys) X(values) X(copy) X(fromkeys)
#define JJ_NUM_METHODS(X)                                                                      \
    X(bit_length) X(bit_count) X(conjugate) X(is_integer) X(as_integer_ratio)
#define JJ_LOOP_METHODS(X) X(cycle) X(changed)
#define JJ_CYCLER_METHODS(X) X(next) X(reset)

enum jj_str_method {
#define X(name) MS_##name,
    JJ_STR_METHODS(X)
#undef X
};
enum jj_other_method {
    M_OTHER = 100,
#define X(name) MB_##name,
    JJ_BYTES_METHODS(X)
#undef X
#define X(name) ML_##name,
        JJ_SEQ_METHODS(X)
#undef X
#define X(name) MD_##name,
            JJ_DICT_METHODS(X)
#undef X
#define X(name) MN_##name,
                JJ_NUM_METHODS(X)
#undef X
#define X(name) MO_##name,
                    JJ_LOOP_METHODS(X)
#undef X
#define X(name) MC_##name,
                        JJ_CYCLER_METHODS(X)
#undef X
};

#endif
