/* A growing byte buffer with a limit from birth. Failure is sticky: put what you like, ask once
 * at the end. `s` always ends with a NUL behind `n` bytes (s is "" when nothing was put). */
#ifndef SLM_BASE_BUF_H
#define SLM_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>
#include "base/alloc.h"
#include "base/err.h"

struct slm_buf {
    slm_runtime *rt;
    char *s;
    size_t n, cap, max;
    enum slm_mem tag;
    int failed; /* 0, SLM_E_NOMEM or SLM_E_LIMIT */
};

void slm_buf_init(struct slm_buf *b, slm_runtime *rt, enum slm_mem tag, size_t max);
void slm_buf_release(struct slm_buf *b);
void slm_buf_reset(struct slm_buf *b);
void slm_buf_put(struct slm_buf *b, const void *p, size_t n);
void slm_buf_puts(struct slm_buf *b, const char *s);
void slm_buf_putc(struct slm_buf *b, char c);
void slm_buf_printf(struct slm_buf *b, const char *fmt, ...) SLM_PRINTF(2, 3);
/* s as a JSON string with its quotes; bytes that are no UTF-8 become U+FFFD. */
void slm_buf_put_json(struct slm_buf *b, const char *s, size_t n);
/* 0, or slm_fail with what the buffer was for. */
int slm_buf_check(const struct slm_buf *b, const char *what, slm_err *err);

/* Appends to a public text. 0 or SLM_E_NOMEM. */
int slm_text_put(slm_text *t, slm_runtime *rt, const char *s, size_t n, slm_err *err);

#endif
