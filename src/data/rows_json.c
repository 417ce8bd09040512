/* JSON files whose rows stand in an array: elements are found by their brackets and quotes
 * alone, so that a file larger than memory is read one element at a time. What is between the
 * brackets is the parser's to judge. Lines of objects under the name .json are read as such. */
#include <string.h>

#include "data/rows.h"

static size_t space(const char *s, size_t n, size_t i)
{
    while (i < n && (s[i] == ' ' || s[i] == '\t' || s[i] == '\n' || s[i] == '\r'))
        i++;
    return i;
}

/* End of the string whose quote is at i; n when it has none. */
static size_t string_end(const char *s, size_t n, size_t i)
{
    for (i++; i < n; i++) {
        if (s[i] == '\\')
            i++;
        else if (s[i] == '"')
            return i + 1;
    }
    return n;
}

/* End of the value at i; 0 when it does not end. */
static size_t value_end(const char *s, size_t n, size_t i)
{
    size_t depth = 0;
    while (i < n) {
        char c = s[i];
        if (c == '"') {
            size_t end = string_end(s, n, i);
            if (s[end - 1] != '"' || end == i + 1)
                return 0;
            i = end;
            if (!depth)
                return i;
            continue;
        }
        if (!depth && (c == ',' || c == ']' || c == '}' || c == ' ' || c == '\n' || c == '\r' ||
                       c == '\t'))
            return i; /* behind a number or a word */
        i++;
        if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            if (!--depth)
                return i;
        }
    }
    return depth ? 0 : i;
}

/* {"data": [ ... ]}: the place behind the bracket of the only list of objects, 0: none. */
static size_t array_inside(const char *s, size_t n, size_t i)
{
    static const char *const names[] = {"data", "rows", "examples", "instances", "train"};
    size_t found = 0;
    i = space(s, n, i + 1);
    while (i < n && s[i] == '"') {
        size_t key = i + 1, end = string_end(s, n, i), v = space(s, n, end);
        if (v >= n || s[v] != ':')
            return 0;
        v = space(s, n, v + 1);
        for (size_t k = 0; k < sizeof names / sizeof *names && v < n && s[v] == '['; k++)
            if (end - 1 - key == strlen(names[k]) && !memcmp(s + key, names[k], end - 1 - key))
                found = found ? SIZE_MAX : v + 1;
        size_t last = v < n ? value_end(s, n, v) : 0;
        if (!last)
            return found; /* the array itself is cut short: its elements will tell */
        i = space(s, n, last);
        if (i < n && s[i] == ',')
            i = space(s, n, i + 1);
    }
    return found == SIZE_MAX ? 0 : found;
}

int slm_row_json_begin(struct row_file *f, slm_err *err)
{
    const char *s = (const char *)f->map.data;
    size_t n = f->map.size, i = space(s, n, f->begin), behind;
    if (i < n && s[i] == '[') {
        behind = i + 1;
    } else if (i < n && s[i] == '{') {
        const char *line = memchr(s + i, '\n', n - i);
        size_t end = value_end(s, n, i);
        if (end && line && end <= (size_t)(line - s) && space(s, n, end) < n) {
            f->form = SLM_DATA_FORM_JSONL;
            return 0;
        }
        behind = array_inside(s, n, i);
        f->single = !behind;
        behind = behind ? behind : i;
    } else if (i == n) {
        return 0;
    } else {
        return slm_fail(err, SLM_E_FORMAT, "%s: not JSON: begins with neither '[' nor '{'",
                        f->path);
    }
    f->begin_line += slm_row_lines(s + f->begin, behind - f->begin);
    f->begin = behind;
    return 0;
}

int slm_row_json_next(const struct row_file *f, struct row_place *p, struct slm_row *row,
                      slm_err *err)
{
    const char *s = p->s;
    size_t n = p->n, i = space(s, n, p->at);
    p->line += slm_row_lines(s + p->at, i - p->at);
    p->next = n;
    if (f->single ? i == n : i < n && s[i] == ']')
        return 0;
    if (i == n && f->begin == p->at && !f->map.size)
        return 0;
    size_t end = i < n ? value_end(s, n, i) : 0;
    if (!end || end == i)
        return slm_fail(err, SLM_E_FORMAT, "%s:%lld: %s", f->path, (long long)p->line,
                        end || i == n ? "the array of rows is broken off here"
                                      : "the row that begins here never ends");
    row->line = p->line;
    row->raw = s + i;
    row->n_raw = end - i;
    if (f->single) {
        p->line += slm_row_lines(s + i, n - i);
        return 1;
    }
    size_t k = space(s, n, end);
    p->line += slm_row_lines(s + i, k - i);
    if (k < n && s[k] == ',')
        p->next = k + 1;
    else if (k < n && s[k] == ']')
        p->next = k;
    else
        return slm_fail(err, SLM_E_FORMAT, "%s:%lld: want ',' or ']' behind a row", f->path,
                        (long long)p->line);
    return 1;
}
