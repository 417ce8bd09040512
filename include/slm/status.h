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

enum slm_status_order {
#define SLM_STATUS(name, http, code, words) SLM_ORDER_##name,
#include "slm/status.inc"
#undef SLM_STATUS
    SLM_STATUS_COUNT
};

enum slm_status {
#define SLM_STATUS(name, http, code, words) SLM_##name = -(int)SLM_ORDER_##name,
#include "slm/status.inc"
#undef SLM_STATUS
    SLM_STATUS_MIN = -(int)SLM_STATUS_COUNT
};

/* Filled by the callee on failure; lives with the caller, on its stack. */
typedef struct slm_err {
    int code;      /* SLM_E_* */
    char msg[504]; /* one line, UTF-8, cut at a character's end when too long */
} slm_err;

/* The words of a status ("malformed data"); never NULL. Any thread. */
SLM_API const char *slm_status_words(int status);
/* The HTTP status that a server answers with, and the exit code a program ends with. */
SLM_API int slm_status_http(int status);
SLM_API int slm_status_exit(int status);

#ifdef __cplusplus
}
#endif
#endif
