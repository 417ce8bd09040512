/* Bytes in memory and files whole: what commands read and write. */
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

static const size_t most_bytes = (size_t)1 << 30;

void *slm_cli_realloc(void *p, size_t n)
{
    void *q = realloc(p, n ? n : 1);
    if (!q) {
        fprintf(stderr, "slm: out of memory (%zu bytes)\n", n);
        exit(slm_status_exit(SLM_E_NOMEM));
    }
    return q;
}

static void reserve(struct slm_cli_buf *b, size_t n)
{
    if (b->n + n < b->cap)
        return;
    size_t cap = b->cap ? b->cap : 256;
    while (cap <= b->n + n)
        cap *= 2;
    b->s = slm_cli_realloc(b->s, cap);
    b->cap = cap;
}

void slm_cli_put(struct slm_cli_buf *b, const void *p, size_t n)
{
    reserve(b, n);
    if (n)
        memcpy(b->s + b->n, p, n);
    b->n += n;
    b->s[b->n] = 0;
}

void slm_cli_puts(struct slm_cli_buf *b, const char *s) { slm_cli_put(b, s, strlen(s)); }

void slm_cli_putf(struct slm_cli_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    reserve(b, (size_t)n);
    va_start(ap, fmt);
    vsnprintf(b->s + b->n, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->n += (size_t)n;
}

void slm_cli_buf_free(struct slm_cli_buf *b)
{
    free(b->s);
    *b = (struct slm_cli_buf){0};
}

int slm_cli_read(struct slm_cli_buf *b, const char *path, slm_err *err)
{
    bool in = !strcmp(path, "-");
    if (!in && slm_cli_is_dir(path))
        return slm_cli_fail(err, SLM_E_IO, "%s: is a folder", path);
    FILE *f = in ? stdin : fopen(path, "rb");
    if (!f)
        return slm_cli_fail(err, errno == ENOENT ? SLM_E_NOTFOUND : SLM_E_IO, "%s: %s", path,
                            strerror(errno));
    int code = 0;
    size_t n = 1;
    while (!code && n) {
        reserve(b, 65536);
        n = fread(b->s + b->n, 1, 65536, f);
        b->n += n;
        if (b->n > most_bytes)
            code = slm_cli_fail(err, SLM_E_LIMIT, "%s: over 1 GiB", in ? "stdin" : path);
    }
    b->s[b->n] = 0;
    if (!code && ferror(f))
        code = slm_cli_fail(err, SLM_E_IO, "%s: %s", in ? "stdin" : path, strerror(errno));
    if (!in)
        fclose(f);
    return code;
}

bool slm_cli_line(FILE *f, struct slm_cli_buf *b)
{
    ssize_t n = getline(&b->s, &b->cap, f);
    b->n = 0;
    if (n < 0)
        return false;
    b->n = (size_t)n;
    if (b->n && b->s[b->n - 1] == '\n')
        b->s[--b->n] = 0;
    return true;
}

int slm_cli_parse_ids(slm_ids *ids, slm_runtime *rt, const struct slm_cli_buf *text,
                      const char *name, slm_err *err)
{
    static const char between[] = " \t\r\n\v\f,[]";
    const char *p = text->s, *end = p + text->n;
    for (int code = 0; p < end; ) {
        if (*p && strchr(between, *p)) {
            p++;
            continue;
        }
        char word[24];
        int64_t v;
        size_t n = 0;
        while (p + n < end && p[n] && !strchr(between, p[n]))
            n++;
        snprintf(word, sizeof word, "%.*s", n < 23 ? (int)n : 23, p);
        code = slm_cli_int(n ? word : "\\0", name, -2147483648.0, 2147483647.0, &v, err);
        int32_t id = (int32_t)v;
        if (!code)
            code = slm_ids_append(ids, rt, &id, 1, err);
        if (code)
            return code;
        p += n;
    }
    return 0;
}

int slm_cli_read_ids(slm_ids *ids, slm_runtime *rt, const char *path, slm_err *err)
{
    struct slm_cli_buf b = {0};
    int code = slm_cli_read(&b, path, err);
    if (!code)
        code = slm_cli_parse_ids(ids, rt, &b, strcmp(path, "-") ? path : "stdin", err);
    slm_cli_buf_free(&b);
    return code;
}

int slm_cli_out_open(struct slm_cli_out *o, const char *path, slm_err *err)
{
    *o = (struct slm_cli_out){.path = path};
    if (!strcmp(path, "-")) {
        o->f = stdout;
        return 0;
    }
    if (slm_cli_is_dir(path))
        return slm_cli_fail(err, SLM_E_IO, "%s: is a folder", path);
    size_t n = strlen(path) + 32;
    o->tmp = slm_cli_realloc(NULL, n);
    snprintf(o->tmp, n, "%s.tmp-%llx", path, (unsigned long long)slm_cli_entropy());
    o->f = fopen(o->tmp, "wbx");
    if (o->f)
        return 0;
    free(o->tmp);
    o->tmp = NULL;
    return slm_cli_fail(err, SLM_E_IO, "%s: %s", path, strerror(errno));
}

int slm_cli_out_write(struct slm_cli_out *o, const void *p, size_t n, slm_err *err)
{
    if (n && fwrite(p, 1, n, o->f) != n)
        return slm_cli_fail(err, SLM_E_IO, "%s: %s", o->path, strerror(errno));
    return 0;
}

int slm_cli_out_floats(struct slm_cli_out *o, const float *v, size_t n, slm_err *err)
{
    unsigned char b[4096];
    int code = 0;
    for (size_t i = 0; i < n && !code;) {
        size_t k = 0;
        for (; k < sizeof b && i < n; k += 4, i++) {
            uint32_t u;
            memcpy(&u, &v[i], 4);
            for (int j = 0; j < 4; j++)
                b[k + (size_t)j] = (unsigned char)(u >> 8 * j);
        }
        code = slm_cli_out_write(o, b, k, err);
    }
    return code;
}

int slm_cli_out_commit(struct slm_cli_out *o, slm_err *err)
{
    int bad = fflush(o->f), e = errno;
    if (o->tmp) {
        bad |= fclose(o->f);
        e = bad ? errno : e;
        o->f = NULL;
        if (!bad && rename(o->tmp, o->path)) {
            bad = 1;
            e = errno;
        }
        if (bad)
            remove(o->tmp);
        free(o->tmp);
        o->tmp = NULL;
    }
    return bad ? slm_cli_fail(err, SLM_E_IO, "%s: %s", o->path, strerror(e)) : 0;
}

void slm_cli_out_close(struct slm_cli_out *o)
{
    if (o->tmp) {
        if (o->f)
            fclose(o->f);
        remove(o->tmp);
        free(o->tmp);
    }
    *o = (struct slm_cli_out){0};
}
