/* JSON text: a writer that keeps the commas, and the little of reading that the command line
 * does itself (strings a line, saved conversations). Documents go to the library as they are.
 */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- writing ---- */

static void before(struct slm_cli_json *j)
{
    if (j->keyed)
        j->keyed = false;
    else if (j->depth && j->some[j->depth])
        fputs(", ", j->f);
    j->some[j->depth] = true;
}

void slm_js_open(struct slm_cli_json *j, char bracket)
{
    before(j);
    fputc(bracket, j->f);
    if (j->depth + 1 < SLM_CLI_JSON_DEPTH)
        j->some[++j->depth] = false;
}

void slm_js_close(struct slm_cli_json *j, char bracket)
{
    fputc(bracket, j->f);
    if (--j->depth == 0) {
        fputc('\n', j->f);
        j->some[0] = false;
    }
}

void slm_js_key(struct slm_cli_json *j, const char *key)
{
    if (!key)
        return;
    slm_js_str(j, key, strlen(key));
    fputs(": ", j->f);
    j->keyed = true;
}

void slm_js_str(struct slm_cli_json *j, const char *s, size_t n)
{
    struct slm_cli_buf b = {0};
    before(j);
    slm_js_quote(&b, s, n);
    fwrite(b.s, 1, b.n, j->f);
    slm_cli_buf_free(&b);
}

void slm_js_int(struct slm_cli_json *j, int64_t v)
{
    before(j);
    fprintf(j->f, "%lld", (long long)v);
}

void slm_js_uint(struct slm_cli_json *j, uint64_t v)
{
    before(j);
    fprintf(j->f, "%llu", (unsigned long long)v);
}

void slm_js_real(struct slm_cli_json *j, double v)
{
    char t[40];
    before(j);
    if (!isfinite(v)) {
        fputs("null", j->f);
        return;
    }
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(t, sizeof t, "%.*g", digits, v);
        if (strtod(t, NULL) == v)
            break;
    }
    fputs(t, j->f);
}

void slm_js_bool(struct slm_cli_json *j, bool v)
{
    before(j);
    fputs(v ? "true" : "false", j->f);
}

void slm_js_raw(struct slm_cli_json *j, const char *text)
{
    before(j);
    fputs(text ? text : "null", j->f);
}

void slm_js_kstr(struct slm_cli_json *j, const char *key, const char *s)
{
    slm_js_key(j, key);
    if (s)
        slm_js_str(j, s, strlen(s));
    else
        slm_js_raw(j, NULL);
}

void slm_js_kint(struct slm_cli_json *j, const char *key, int64_t v)
{
    slm_js_key(j, key);
    slm_js_int(j, v);
}

void slm_js_kreal(struct slm_cli_json *j, const char *key, double v)
{
    slm_js_key(j, key);
    slm_js_real(j, v);
}

/* Length of the well-formed character at s, 0 when there is none. */
static size_t char_len(const unsigned char *s, size_t n)
{
    size_t len = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3
               : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
    if (!len || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    bool bad = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f)
            || (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f);
    return bad ? 0 : len;
}

void slm_js_quote(struct slm_cli_buf *b, const char *s, size_t n)
{
    static const char short_for[] = "\b\f\n\r\t\"\\", letters[] = "bfnrt\"\\";
    slm_cli_put(b, "\"", 1);
    for (size_t i = 0; i < n;) {
        unsigned char ch = (unsigned char)s[i];
        const char *k = ch ? strchr(short_for, ch) : NULL;
        size_t len = char_len((const unsigned char *)s + i, n - i);
        if (k)
            slm_cli_putf(b, "\\%c", letters[k - short_for]);
        else if (ch < 0x20 || ch == 0x7f)
            slm_cli_putf(b, "\\u%04x", ch);
        else if (len == 2 && ch == 0xc2 && (unsigned char)s[i + 1] < 0xa0)
            slm_cli_putf(b, "\\u%04x", (unsigned char)s[i + 1]);
        else if (len == 3 && ch == 0xe2 && s[i + 1] == '\x80' &&
                 (s[i + 2] == '\xa8' || s[i + 2] == '\xa9'))
            slm_cli_puts(b, s[i + 2] == '\xa8' ? "\\u2028" : "\\u2029");
        else if (len)
            slm_cli_put(b, s + i, len);
        else
            slm_cli_puts(b, "\xef\xbf\xbd");
        i += len ? len : 1;
    }
    slm_cli_put(b, "\"", 1);
}

/* ---- reading ---- */

struct slm_cli_reader slm_jr_of(const struct slm_cli_buf *b)
{
    const char *s = b->s ? b->s : "";
    return (struct slm_cli_reader){s, s + b->n};
}

void slm_jr_space(struct slm_cli_reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r'))
        r->p++;
}

bool slm_jr_char(struct slm_cli_reader *r, char c)
{
    slm_jr_space(r);
    if (r->p == r->end || *r->p != c)
        return false;
    r->p++;
    return true;
}

static int hex4(struct slm_cli_reader *r)
{
    int v = 0;
    if (r->end - r->p < 4)
        return -1;
    for (int i = 0; i < 4; i++, r->p++) {
        const char *digits = "0123456789abcdef",
                   *k = *r->p ? strchr(digits, *r->p | 0x20) : NULL;
        if (!k || !((*r->p >= '0' && *r->p <= '9') || (*r->p | 0x20) >= 'a'))
            return -1;
        v = v * 16 + (int)(k - digits);
    }
    return v;
}

static void put_char(struct slm_cli_buf *b, int cp)
{
    unsigned char t[4];
    size_t n = 0;
    if (cp < 0x80) {
        t[n++] = (unsigned char)cp;
    } else if (cp < 0x800) {
        t[n++] = (unsigned char)(0xc0 | cp >> 6);
    } else if (cp < 0x10000) {
        t[n++] = (unsigned char)(0xe0 | cp >> 12);
        t[n++] = (unsigned char)(0x80 | (cp >> 6 & 63));
    } else {
        t[n++] = (unsigned char)(0xf0 | cp >> 18);
        t[n++] = (unsigned char)(0x80 | (cp >> 12 & 63));
        t[n++] = (unsigned char)(0x80 | (cp >> 6 & 63));
    }
    if (cp >= 0x80)
        t[n++] = (unsigned char)(0x80 | (cp & 63));
    slm_cli_put(b, t, n);
}

/* Behind "\u": one character, of two escapes where they are a surrogate pair. */
static bool read_escape_u(struct slm_cli_reader *r, struct slm_cli_buf *b)
{
    int v = hex4(r);
    if (v < 0)
        return false;
    if (v >= 0xd800 && v < 0xdc00 && r->end - r->p >= 6 && r->p[0] == '\\' && r->p[1] == 'u') {
        struct slm_cli_reader ahead = {r->p + 2, r->end};
        int w = hex4(&ahead);
        if (w < 0)
            return false;
        if (w >= 0xdc00 && w < 0xe000) {
            *r = ahead;
            put_char(b, 0x10000 + ((v - 0xd800) << 10) + (w - 0xdc00));
            return true;
        }
    }
    put_char(b, v >= 0xd800 && v < 0xe000 ? 0xfffd : v);
    return true;
}

bool slm_jr_string(struct slm_cli_reader *r, struct slm_cli_buf *b)
{
    static const char letters[] = "bfnrt\"\\/", means[] = "\b\f\n\r\t\"\\/";
    slm_cli_put(b, "", 0);
    if (!slm_jr_char(r, '"'))
        return false;
    while (r->p < r->end) {
        unsigned char ch = (unsigned char)*r->p;
        if (ch == '"') {
            r->p++;
            return true;
        }
        if (ch < 0x20)
            return false;
        if (ch != '\\') {
            size_t len = char_len((const unsigned char *)r->p, (size_t)(r->end - r->p));
            if (!len)
                return false;
            slm_cli_put(b, r->p, len);
            r->p += len;
            continue;
        }
        r->p++;
        const char *k = r->p < r->end && *r->p ? strchr(letters, *r->p) : NULL;
        if (k) {
            slm_cli_put(b, &means[k - letters], 1);
            r->p++;
        } else if (r->p < r->end && *r->p == 'u') {
            r->p++;
            if (!read_escape_u(r, b))
                return false;
        } else {
            return false;
        }
    }
    return false;
}

static bool read_nested(struct slm_cli_reader *r, int depth);

static bool read_members(struct slm_cli_reader *r, char close, int depth)
{
    struct slm_cli_buf key = {0};
    bool ok = depth < 2000;
    if (ok && slm_jr_char(r, close))
        return true;
    while (ok) {
        if (close == '}')
            ok = slm_jr_string(r, &key) && slm_jr_char(r, ':');
        ok = ok && read_nested(r, depth + 1);
        if (ok && slm_jr_char(r, close))
            break;
        ok = ok && slm_jr_char(r, ',');
    }
    slm_cli_buf_free(&key);
    return ok;
}

static bool read_nested(struct slm_cli_reader *r, int depth)
{
    slm_jr_space(r);
    if (r->p == r->end)
        return false;
    if (*r->p == '"') {
        struct slm_cli_buf b = {0};
        bool ok = slm_jr_string(r, &b);
        slm_cli_buf_free(&b);
        return ok;
    }
    if (*r->p == '{' || *r->p == '[') {
        char close = *r->p++ == '{' ? '}' : ']';
        return read_members(r, close, depth);
    }
    size_t n = 0;
    while (r->p + n < r->end && r->p[n] &&
           strchr("+-.0123456789abcdefghijklmnopqrstuvwxyzE", r->p[n]))
        n++;
    r->p += n;
    return n > 0;
}

bool slm_jr_value(struct slm_cli_reader *r) { return read_nested(r, 0); }
