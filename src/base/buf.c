/* Byte buffers, and the public text that grows the same way. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

static const char empty[1]; /* never written: writing needs room first */

void slm_buf_init(struct slm_buf *b, slm_runtime *rt, enum slm_mem tag, size_t max)
{
    *b = (struct slm_buf){.rt = rt, .s = (char *)empty, .max = max, .tag = tag};
}

void slm_buf_release(struct slm_buf *b)
{
    if (b->cap)
        slm_free(b->rt, b->s);
    slm_buf_init(b, b->rt, b->tag, b->max);
}

void slm_buf_reset(struct slm_buf *b)
{
    b->n = 0;
    b->failed = 0;
    if (b->cap)
        b->s[0] = 0;
}

/* Room for n more bytes and the NUL. */
static bool reserve(struct slm_buf *b, size_t n)
{
    if (b->failed)
        return false;
    if (n > b->max - b->n) {
        b->failed = SLM_E_LIMIT;
        return false;
    }
    if (b->n + n < b->cap)
        return true;
    size_t cap = b->cap ? b->cap : 64;
    while (cap <= b->n + n)
        cap = cap > SIZE_MAX / 2 ? b->n + n + 1 : cap * 2;
    char *p = slm_realloc(b->rt, b->tag, b->cap ? b->s : NULL, cap);
    if (!p) {
        b->failed = SLM_E_NOMEM;
        return false;
    }
    b->s = p;
    b->cap = cap;
    return true;
}

void slm_buf_put(struct slm_buf *b, const void *p, size_t n)
{
    if (!reserve(b, n))
        return;
    if (n)
        memcpy(b->s + b->n, p, n);
    b->n += n;
    b->s[b->n] = 0;
}

void slm_buf_puts(struct slm_buf *b, const char *s) { slm_buf_put(b, s, strlen(s)); }
void slm_buf_putc(struct slm_buf *b, char c) { slm_buf_put(b, &c, 1); }

void slm_buf_printf(struct slm_buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    if (n >= 0 && reserve(b, (size_t)n)) {
        vsnprintf(b->s + b->n, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
    va_end(ap);
}

static void put_json_char(struct slm_buf *b, const char *s, int len, int32_t cp)
{
    switch (cp) {
    case '"': slm_buf_puts(b, "\\\""); return;
    case '\\': slm_buf_puts(b, "\\\\"); return;
    case '\n': slm_buf_puts(b, "\\n"); return;
    case '\r': slm_buf_puts(b, "\\r"); return;
    case '\t': slm_buf_puts(b, "\\t"); return;
    default: break;
    }
    if (cp < 0)
        slm_buf_puts(b, "\xEF\xBF\xBD");
    else if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x2028 || cp == 0x2029)
        slm_buf_printf(b, "\\u%04x", (unsigned)cp);
    else
        slm_buf_put(b, s, (size_t)len);
}

void slm_buf_put_json(struct slm_buf *b, const char *s, size_t n)
{
    slm_buf_putc(b, '"');
    for (size_t i = 0; i < n;) {
        int32_t cp;
        int len = slm_utf8_next(s + i, n - i, &cp);
        put_json_char(b, s + i, len, cp);
        i += (size_t)len;
    }
    slm_buf_putc(b, '"');
}

int slm_buf_check(const struct slm_buf *b, const char *what, slm_err *err)
{
    if (b->failed == SLM_E_LIMIT)
        return slm_fail(err, SLM_E_LIMIT, "%s: more than %zu bytes", what, b->max);
    return b->failed ? slm_fail_mem(err, what, b->n) : 0;
}

int slm_text_put(slm_text *t, slm_runtime *rt, const char *s, size_t n, slm_err *err)
{
    /* capacity is not in the public struct: it is the power of two above len */
    size_t need, cap = 64;
    if (!slm_add_ok(t->len, n, &need) || need > SIZE_MAX / 4)
        return slm_fail_mem(err, "text", n);
    while (cap <= t->len)
        cap *= 2;
    if (!t->data || need >= cap) {
        while (cap <= need)
            cap *= 2;
        char *p = slm_realloc(rt, SLM_MEM_USER, t->data, cap);
        if (!p)
            return slm_fail_mem(err, "text", cap);
        t->data = p;
        t->rt = rt;
    }
    if (n)
        memcpy(t->data + t->len, s, n);
    t->len = need;
    t->data[need] = 0;
    return 0;
}
