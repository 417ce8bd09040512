/* Error messages: formatted once, cleaned of what a terminal should not see. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* Names in messages come from hostile files: whatever is no printable UTF-8 becomes '?', and a
 * message too long ends at a character's end. */
static void clean(char *s)
{
    size_t n = strlen(s), i = 0;
    while (i < n) {
        int32_t cp;
        int len = slm_utf8_next(s + i, n - i, &cp);
        if (cp < 0 && slm_utf8_partial(s + i, n - i) == n - i) {
            s[i] = 0;
            return;
        }
        if (cp < 0x20 || cp == 0x7f || (cp >= 0x80 && cp < 0xa0))
            memset(s + i, '?', (size_t)len);
        i += (size_t)len;
    }
}

int slm_fail(slm_err *err, int code, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        err->code = code;
        vsnprintf(err->msg, sizeof err->msg, fmt, ap);
        va_end(ap);
        clean(err->msg);
    }
    return code;
}

int slm_fail_in(slm_err *err, int code, const char *prefix)
{
    if (!err)
        return code;
    char old[sizeof err->msg];
    memcpy(old, err->msg, sizeof old);
    return slm_fail(err, err->code ? err->code : code, "%s: %s", prefix, old);
}
