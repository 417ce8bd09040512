/* Filling in slm_err. */
#ifndef SLM_BASE_ERR_H
#define SLM_BASE_ERR_H

#include "slm/status.h"

#if defined(__GNUC__)
#define SLM_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define SLM_PRINTF(f, a)
#endif

/* Formats the message into err (which may be NULL) and returns code:
 *   return slm_fail(err, SLM_E_FORMAT, "%s: tensor %s: %d dims, want 2", path, name, nd);
 * Bytes that are no printable UTF-8 (names come from hostile files) are shown as '?'. */
int slm_fail(slm_err *err, int code, const char *fmt, ...) SLM_PRINTF(3, 4);

/* Puts "prefix: " before a message already there; returns err's code (or code when err is
 * NULL). */
int slm_fail_in(slm_err *err, int code, const char *prefix);

#endif
