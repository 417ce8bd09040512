/* Plain text: a file is a document, or a mark parts it. A text longer than any model's window
 * is cut at the end of a paragraph, so that no document is larger than memory. */
#include <string.h>

#include "data/rows.h"

static bool blank_line(const char *s, size_t n, size_t at, size_t *end)
{
    size_t i = at;
    while (i < n && (s[i] == ' ' || s[i] == '\t' || s[i] == '\r'))
        i++;
    if (i < n && s[i] != '\n')
        return false;
    *end = i < n ? i + 1 : n;
    return true;
}

/* Where the document that begins at p->at ends, and where the next begins. */
static size_t find_end(const slm_rows *r, const struct row_place *p, size_t *next)
{
    const char *s = p->s + p->at, *hit = NULL;
    size_t n = p->n - p->at;
    *next = p->n;
    if (!r->separator)
        return p->n;
    if (r->n_separator) {
        hit = memmem(s, n, r->separator, r->n_separator);
        if (hit)
            *next = (size_t)(hit - p->s) + r->n_separator;
        return hit ? (size_t)(hit - p->s) : p->n;
    }
    while ((hit = memchr(s, '\n', n))) {
        size_t at = (size_t)(hit - p->s) + 1;
        if (blank_line(p->s, p->n, at, next))
            return at;
        n = p->n - at;
        s = p->s + at;
    }
    *next = p->n;
    return p->n;
}

/* The last end of a paragraph, else of a line, else of a character before `most`. */
static size_t cut_at(const char *s, size_t most)
{
    for (size_t i = most; i > most / 2; i--)
        if (s[i - 1] == '\n' && s[i - 2] == '\n')
            return i;
    for (size_t i = most; i > most / 2; i--)
        if (s[i - 1] == '\n')
            return i;
    while (((uint8_t)s[most] & 0xc0) == 0x80)
        most--;
    return most;
}

int slm_row_text_next(const slm_rows *r, struct row_place *p, struct slm_row *row)
{
    while (p->at < p->n) {
        size_t next, lo = p->at, start = lo, end;
        while (r->separator && !r->n_separator && lo < p->n && blank_line(p->s, p->n, lo, &end))
            lo = end;
        p->line += slm_row_lines(p->s + start, lo - start);
        p->at = lo;
        size_t hi = find_end(r, p, &next);
        if (hi - lo > TEXT_PART)
            next = hi = lo + cut_at(p->s + lo, TEXT_PART);
        if (r->separator) { /* line ends beside a mark belong to the mark */
            while (lo < hi && (p->s[lo] == '\n' || p->s[lo] == '\r'))
                lo++;
            while (hi > lo && (p->s[hi - 1] == '\n' || p->s[hi - 1] == '\r'))
                hi--;
        }
        int64_t line = p->line + slm_row_lines(p->s + p->at, lo - p->at);
        p->line += slm_row_lines(p->s + p->at, next - p->at);
        p->next = p->at = next;
        if (lo < hi) {
            row->line = line;
            row->raw = p->s + lo;
            row->n_raw = hi - lo;
            return 1;
        }
    }
    return 0;
}
