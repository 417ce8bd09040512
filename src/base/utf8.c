/* UTF-8 by hand (it is on every hot path), Unicode's tables by utf8proc. */
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* Continuation bytes that may follow a lead byte: how many, and the range of the first of them,
 * which is what rules out overlong forms, surrogates and what lies beyond U+10FFFF. */
static int lead(uint8_t c, uint8_t *lo, uint8_t *hi)
{
    *lo = 0x80;
    *hi = 0xBF;
    if (c >= 0xC2 && c <= 0xDF)
        return 1;
    if (c >= 0xE0 && c <= 0xEF) {
        *lo = c == 0xE0 ? 0xA0 : 0x80;
        *hi = c == 0xED ? 0x9F : 0xBF;
        return 2;
    }
    if (c >= 0xF0 && c <= 0xF4) {
        *lo = c == 0xF0 ? 0x90 : 0x80;
        *hi = c == 0xF4 ? 0x8F : 0xBF;
        return 3;
    }
    return 0;
}

/* Length of the character or of its longest valid prefix; *whole tells which. */
static int scan(const uint8_t *s, size_t n, int *want)
{
    uint8_t lo, hi;
    *want = lead(s[0], &lo, &hi);
    int len = 1;
    while (len <= *want && (size_t)len < n && s[len] >= lo && s[len] <= hi) {
        lo = 0x80;
        hi = 0xBF;
        len++;
    }
    return len;
}

int slm_utf8_next(const char *text, size_t n, int32_t *cp)
{
    const uint8_t *s = (const uint8_t *)text;
    if (s[0] < 0x80) {
        *cp = s[0];
        return 1;
    }
    int want, len = scan(s, n, &want);
    if (!want || len != want + 1) {
        *cp = -1;
        return len;
    }
    int32_t c = s[0] & (0x3F >> want);
    for (int i = 1; i <= want; i++)
        c = c << 6 | (s[i] & 0x3F);
    *cp = c;
    return len;
}

int slm_utf8_put(char *out, int32_t cp)
{
    if (cp < 0 || cp > 0x10FFFF || (cp >= 0xD800 && cp < 0xE000))
        cp = 0xFFFD;
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    int n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (int i = n - 1; i > 0; i--, cp >>= 6)
        out[i] = (char)(0x80 | (cp & 0x3F));
    out[0] = (char)((0xF00 >> n & 0xFF) | cp);
    return n;
}

bool slm_utf8_valid(const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        int32_t cp;
        i += (size_t)slm_utf8_next(s + i, n - i, &cp);
        if (cp < 0)
            return false;
    }
    return true;
}

void slm_utf8_clean(struct slm_buf *b, const char *s, size_t n)
{
    size_t from = 0, i = 0;
    while (i < n) {
        int32_t cp;
        int len = slm_utf8_next(s + i, n - i, &cp);
        if (cp < 0) {
            slm_buf_put(b, s + from, i - from);
            slm_buf_puts(b, "\xEF\xBF\xBD");
            from = i + (size_t)len;
        }
        i += (size_t)len;
    }
    slm_buf_put(b, s + from, n - from);
}

size_t slm_utf8_partial(const char *text, size_t n)
{
    const uint8_t *s = (const uint8_t *)text;
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        uint8_t c = s[n - back];
        if (c < 0x80)
            return 0;
        if (c < 0xC0)
            continue;
        int want, len = scan(s + n - back, back, &want);
        return want && (size_t)len == back && len <= want ? back : 0;
    }
    return 0;
}

size_t slm_utf8_count(const char *s, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; count++) {
        int32_t cp;
        i += (size_t)slm_utf8_next(s + i, n - i, &cp);
    }
    return count;
}

static int combining(int32_t cp) { return utf8proc_get_property(cp)->combining_class; }

/* Sorts a run of combining marks by class, keeping the order of equals. Long runs are no text,
 * but a way to make an insertion sort take for ever: they are counted. */
static bool sort_marks(slm_runtime *rt, enum slm_mem tag, int32_t *v, size_t n)
{
    if (n <= 32) {
        for (size_t i = 1; i < n; i++) {
            int32_t x = v[i];
            size_t k = i;
            for (int c = combining(x); k && combining(v[k - 1]) > c; k--)
                v[k] = v[k - 1];
            v[k] = x;
        }
        return true;
    }
    size_t at[257] = {0};
    int32_t *to = slm_alloc_n(rt, tag, n, sizeof *to);
    if (!to)
        return false;
    for (size_t i = 0; i < n; i++)
        at[combining(v[i]) + 1]++;
    for (int c = 0; c < 256; c++)
        at[c + 1] += at[c];
    for (size_t i = 0; i < n; i++)
        to[at[combining(v[i])]++] = v[i];
    memcpy(v, to, n * sizeof *v);
    slm_free(rt, to);
    return true;
}

/* Appends the decomposition of s to cps, int32_t by int32_t. */
static void decompose(struct slm_buf *cps, const char *s, size_t n, int options)
{
    for (size_t i = 0; i < n && !cps->failed;) {
        int32_t cp, out[32];
        int state = 0;
        i += (size_t)slm_utf8_next(s + i, n - i, &cp);
        utf8proc_ssize_t k = utf8proc_decompose_char(cp < 0 ? 0xFFFD : cp, out, 32,
                                                     (utf8proc_option_t)options, &state);
        slm_buf_put(cps, out, (size_t)(k < 0 || k > 32 ? 0 : k) * sizeof *out);
    }
}

int slm_utf8_normalize(struct slm_buf *b, const char *s, size_t n, enum slm_utf8_form form,
                       slm_err *err)
{
    static const int options[] = {
        [SLM_NFC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE,
        [SLM_NFD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
        [SLM_NFKC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
        [SLM_NFKD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
    };
    size_t i = 0;
    while (i < n && (unsigned char)s[i] < 0x80)
        i++;
    if (i == n) { /* ASCII is its own normal form in all four */
        slm_buf_put(b, s, n);
        return 0;
    }
    struct slm_buf cps;
    slm_buf_init(&cps, b->rt, b->tag, n < SIZE_MAX / 128 ? n * 72 + 128 : SIZE_MAX / 2);
    decompose(&cps, s, n, options[form]);
    int rc = slm_buf_check(&cps, "normalising text", err);
    int32_t *v = (int32_t *)(void *)cps.s; /* a block of the heap: aligned */
    size_t m = cps.n / sizeof *v;
    for (size_t at = 0, end; at < m && !rc; at = end + 1) {
        for (end = at; end < m && combining(v[end]); end++)
            ;
        if (!sort_marks(b->rt, b->tag, v + at, end - at))
            rc = slm_fail_mem(err, "normalising text", end - at);
    }
    if (!rc && options[form] & UTF8PROC_COMPOSE) {
        utf8proc_ssize_t k =
            utf8proc_normalize_utf32(v, (utf8proc_ssize_t)m, (utf8proc_option_t)options[form]);
        m = k < 0 ? 0 : (size_t)k;
    }
    for (size_t k = 0; k < m && !rc; k++) {
        char c[4];
        slm_buf_put(b, c, (size_t)slm_utf8_put(c, v[k]));
    }
    slm_buf_release(&cps);
    return rc;
}

const char *slm_utf8_category(int32_t cp) { return utf8proc_category_string(cp); }
int32_t slm_utf8_lower(int32_t cp) { return utf8proc_tolower(cp); }
int32_t slm_utf8_upper(int32_t cp) { return utf8proc_toupper(cp); }
int32_t slm_utf8_title(int32_t cp) { return utf8proc_totitle(cp); }

bool slm_utf8_space(int32_t cp)
{
    return (cp >= 9 && cp <= 13) || cp == ' ' || cp == 0x85 || cp == 0xA0 || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 || cp == 0x202F ||
           cp == 0x205F || cp == 0x3000;
}

size_t slm_utf8_grapheme(const char *s, size_t n)
{
    int32_t prev, cp, state = 0;
    size_t i = (size_t)slm_utf8_next(s, n, &prev);
    while (i < n) {
        size_t len = (size_t)slm_utf8_next(s + i, n - i, &cp);
        if (prev < 0 || cp < 0 || utf8proc_grapheme_break_stateful(prev, cp, &state))
            break;
        prev = cp;
        i += len;
    }
    return i;
}
