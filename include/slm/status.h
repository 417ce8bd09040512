/* Status codes and the error that every fallible call of slm can fill in.
 *
 * A call that can fail for a reason outside the program returns 0 or a negative SLM_E_* and
 * takes a `slm_err *` last, which may be NULL. The code is for programs, the message for
 * people: it names the file and the thing. On success the error is untouched. */
#ifndef SLM_STATUS_H
#define SLM_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#ifndef SLM_API
#if defined(__GNUC__)
#define SLM_API __attribute__((visibility("default")))
#else
#define SLM_API
#endif
#endif

/* The words of a status ("malformed data"); never NULL. Any thread. */
SLM_API const char *slm_status_words(int status);
/* The HTTP status that a server answers with, and the exit code a program ends with. */
SLM_API int slm_status_http(int status);
SLM_API int slm_status_exit(int status);

/* Every status that slm can return: name, HTTP status, exit code of the command line, words.
 * The only list: the enum, the words, the CLI's exit codes and the server's replies are made
 * from it. Values are 0, -1, -2 ... in this order and never change: append only. */
/* clang-format off */
#define SLM_STATUS_LIST(S) \
    S(OK,          200, 0,  "ok") \
    S(E_NOMEM,     507, 7,  "out of memory") \
    S(E_IO,        500, 3,  "input or output failed") \
    S(E_FORMAT,    422, 4,  "malformed data") \
    S(E_UNSUPPORTED, 400, 5, "not supported") \
    S(E_ARG,       400, 2,  "wrong argument") \
    S(E_NOTFOUND,  404, 3,  "not found") \
    S(E_LIMIT,     413, 6,  "over a limit") \
    S(E_NUMERIC,   500, 8,  "numeric failure") \
    S(E_TEMPLATE,  400, 9,  "template error") \
    S(E_CANCELLED, 499, 130, "cancelled") \
    S(E_INTERNAL,  500, 70, "internal error")
/* clang-format on */

#define SLM_STATUS_ORDER(name, http, code, words) SLM_ORDER_##name,
#define SLM_STATUS_VALUE(name, http, code, words) SLM_##name = -(int)SLM_ORDER_##name,
enum slm_status_order { SLM_STATUS_LIST(SLM_STATUS_ORDER) SLM_STATUS_COUNT };
enum slm_status { SLM_STATUS_LIST(SLM_STATUS_VALUE) SLM_STATUS_MIN = -(int)SLM_STATUS_COUNT };
#undef SLM_STATUS_ORDER
#undef SLM_STATUS_VALUE

/* Filled by the callee on failure; lives with the caller, on its stack. */
typedef struct slm_err {
    int code;      /* SLM_E_* */
    char msg[504]; /* one line, UTF-8, cut at a character's end when too long */
} slm_err;

#ifdef __cplusplus
}
#endif
#endif
