/* CSV by RFC 4180: a header, records that may hold line ends within quotes, doubled quotes. As
 * other readers do, a quote inside a field that does not begin with one is plain text. A record
 * becomes an object of strings. */
#include <string.h>

#include "data/rows.h"

/* Bytes of the record at s without its line end, and with it; false: a quote never closed. */
static bool record(const char *s, size_t n, char delimiter, size_t *len, size_t *next)
{
    size_t i = 0;
    bool start = true;
    while (i < n && s[i] != '\n') {
        if (!start || s[i] != '"') {
            start = s[i++] == delimiter;
            continue;
        }
        start = false;
        for (i++;; i++) {
            const char *q = i < n ? memchr(s + i, '"', n - i) : NULL;
            if (!q)
                return false;
            i = (size_t)(q - s) + 1;
            if (i >= n || s[i] != '"')
                break;
        }
    }
    *next = i + (i < n);
    *len = i && s[i - 1] == '\r' ? i - 1 : i;
    return true;
}

/* The next field from *at; false when text stands behind its closing quote. */
static bool field(const char *s, size_t n, char delimiter, size_t *at, struct csv_field *f)
{
    size_t i = *at;
    *f = (struct csv_field){.s = s + i};
    if (i >= n || s[i] != '"') {
        const char *end = i < n ? memchr(s + i, delimiter, n - i) : NULL;
        f->n = end ? (size_t)(end - f->s) : n - i;
        *at = i + f->n;
        return true;
    }
    f->s = s + ++i;
    for (;; i++) {
        const char *q = i < n ? memchr(s + i, '"', n - i) : NULL;
        if (!q)
            return false;
        i = (size_t)(q - s) + 1;
        if (i >= n || s[i] != '"')
            break;
        f->own = (char *)(uintptr_t)f->s; /* only says that quotes are doubled */
    }
    f->n = (size_t)(s + i - 1 - f->s);
    *at = i;
    return i == n || s[i] == delimiter;
}

/* Doubled quotes undone in a copy. */
static bool undouble(slm_runtime *rt, struct csv_field *f)
{
    size_t k = 0;
    if (!f->own)
        return true;
    if (!(f->own = slm_alloc(rt, SLM_MEM_DATA, f->n + 1)))
        return false;
    for (size_t i = 0; i < f->n; i++) {
        f->own[k++] = f->s[i];
        i += f->s[i] == '"';
    }
    f->s = f->own;
    f->n = k;
    return true;
}

static int count(const char *s, size_t n, char c)
{
    int k = 0;
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        quoted ^= s[i] == '"';
        k += s[i] == c && !quoted;
    }
    return k;
}

static char guess_delimiter(const char *s, size_t n)
{
    size_t len, next;
    if (!record(s, n, ',', &len, &next))
        return ',';
    int comma = count(s, len, ','), semi = count(s, len, ';'), tab = count(s, len, '\t');
    return comma >= semi && comma >= tab ? ',' : semi >= tab ? ';' : '\t';
}

static int check_columns(const struct row_file *f, slm_err *err)
{
    for (int i = 0; i < f->n_columns; i++) {
        const struct csv_field *c = &f->column[i];
        if (!slm_utf8_valid(c->s, c->n))
            return slm_fail(err, SLM_E_FORMAT, "%s: header: not UTF-8", f->path);
        if (c->n > 255)
            return slm_fail(err, SLM_E_LIMIT, "%s: header: a name of %zu bytes", f->path, c->n);
        if (!c->n || memchr(c->s, 0, c->n))
            return slm_fail(err, SLM_E_FORMAT, "%s: header: column %d has no name", f->path,
                            i + 1);
        for (int k = 0; k < i; k++)
            if (f->column[k].n == c->n && !memcmp(f->column[k].s, c->s, c->n))
                return slm_fail(err, SLM_E_FORMAT, "%s: header: two columns named %.*s",
                                f->path, (int)(c->n < 60 ? c->n : 60), c->s);
    }
    return 0;
}

int slm_row_csv_header(slm_runtime *rt, struct row_file *f, char delimiter, slm_err *err)
{
    const char *s = (const char *)f->map.data + f->begin;
    size_t n = f->map.size - f->begin, len, next, at = 0, cap = 0;
    if (!n)
        return 0;
    f->delimiter = delimiter ? delimiter : guess_delimiter(s, n);
    if (!record(s, n, f->delimiter, &len, &next))
        return slm_fail(err, SLM_E_FORMAT, "%s:1: a quote in the header is never closed",
                        f->path);
    for (;; at++) {
        struct csv_field c;
        if (f->n_columns == CSV_FIELDS)
            return slm_fail(err, SLM_E_LIMIT, "%s: header: over %d columns", f->path,
                            CSV_FIELDS);
        if (!field(s, len, f->delimiter, &at, &c))
            return slm_fail(err, SLM_E_FORMAT, "%s: header: text behind a closing quote",
                            f->path);
        if (slm_grow(rt, SLM_MEM_DATA, (void **)&f->column, (size_t)f->n_columns, &cap,
                     sizeof c) ||
            !undouble(rt, &c))
            return slm_fail_mem(err, "header", len);
        f->column[f->n_columns++] = c;
        if (at >= len)
            break;
    }
    f->begin_line += slm_row_lines(s, next);
    f->begin += next;
    return check_columns(f, err);
}

void slm_row_csv_release(slm_runtime *rt, struct row_file *f)
{
    for (int i = 0; i < f->n_columns; i++)
        slm_free(rt, f->column[i].own);
    slm_free(rt, f->column);
    f->column = NULL;
    f->n_columns = 0;
}

int slm_row_csv_next(const struct row_file *f, struct row_place *p, struct slm_row *row,
                     slm_err *err)
{
    while (p->at < p->n) {
        size_t len, next;
        if (!record(p->s + p->at, p->n - p->at, f->delimiter, &len, &next))
            return slm_fail(err, SLM_E_FORMAT,
                            "%s:%lld: a quote in the record that begins here is never closed",
                            f->path, (long long)p->line);
        row->line = p->line;
        row->raw = p->s + p->at;
        row->n_raw = len;
        p->line += slm_row_lines(row->raw, next);
        p->at += next;
        p->next = p->at;
        if (len)
            return 1;
    }
    p->next = p->n;
    return 0;
}

int slm_row_csv_parse(slm_runtime *rt, const struct row_file *f, struct slm_row *row)
{
    size_t at = 0;
    int n = 0;
    bool ok = (row->json = slm_json_new_object()) != NULL, more = true;
    for (; ok && more; n++, at++) {
        struct csv_field c;
        if (!field(row->raw, row->n_raw, f->delimiter, &at, &c)) {
            slm_row_release(row);
            return slm_row_bad(row, SLM_ROW_FIELDS, "text behind the closing quote of field %d",
                               n + 1);
        }
        more = at < row->n_raw;
        if (n >= f->n_columns)
            continue;
        ok = undouble(rt, &c);
        char name[256];
        const struct csv_field *h = &f->column[n];
        size_t len = h->n < sizeof name ? h->n : sizeof name - 1;
        memcpy(name, h->s, len);
        name[len] = 0;
        ok = ok && slm_json_set(row->json, name, slm_json_new_str(c.s, c.n));
        if (c.own != NULL && c.s == c.own)
            slm_free(rt, c.own);
    }
    if (ok && n == f->n_columns)
        return 0;
    slm_row_release(row);
    return ok ? slm_row_bad(row, SLM_ROW_FIELDS, "%d fields, the header has %d", n,
                            f->n_columns)
              : SLM_E_NOMEM;
}
