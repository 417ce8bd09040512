/* Lists in running text. An element is a label between delimiters: ends of line, punctuation,
 * bullets, quotes, or the words "or" and "and". */
#include "corpus/offer_text.h"

#include <string.h>

/* A place in the text: the label, and the label with the quotes around it. */
struct place {
    size_t at, end;  /* of the label */
    size_t from, to; /* with its quotes */
};

static bool is_gap(char c) { return c == ' ' || c == '\t' || c == '\r'; }

static bool is_quote(char c) { return c == '"' || c == '\'' || c == '`' || c == '*'; }

static bool word_before(const char *s, size_t i, const char *word)
{
    size_t n = strlen(word);
    return i > n && !memcmp(s + i - n, word, n) && is_gap(s[i - n - 1]);
}

static bool word_behind(const char *s, size_t n, size_t i, const char *word)
{
    size_t len = strlen(word);
    return i + len < n && !memcmp(s + i, word, len) && is_gap(s[i + len]);
}

static bool opens(const char *s, size_t i)
{
    while (i && is_gap(s[i - 1]))
        i--;
    return !i || strchr("\n,:;|-*/([{.)>=", s[i - 1]) || (unsigned char)s[i - 1] >= 0x80 ||
           word_before(s, i, "or") || word_before(s, i, "and");
}

static bool closes(const char *s, size_t n, size_t i)
{
    while (i < n && is_gap(s[i]))
        i++;
    return i == n || strchr("\n,;|/)]}.:(-", s[i]) || word_behind(s, n, i, "or") ||
           word_behind(s, n, i, "and");
}

/* The next element that is the label, from i on. */
static bool next_place(const char *s, size_t n, size_t i, const char *label, size_t len,
                       struct place *p)
{
    for (; len && i + len <= n; i++) {
        const char *hit = memmem(s + i, n - i, label, len);
        if (!hit)
            return false;
        i = (size_t)(hit - s);
        *p = (struct place){i, i + len, i, i + len};
        while (p->from && p->to < n && is_quote(s[p->from - 1]) && s[p->to] == s[p->from - 1]) {
            p->from--;
            p->to++;
        }
        if (opens(s, p->from) && closes(s, n, p->to))
            return true;
    }
    return false;
}

bool slm_text_offers(const char *s, size_t n, const char *label, size_t n_label)
{
    struct place p;
    return s && next_place(s, n, 0, label, n_label, &p);
}

/* Widens the place to its whole line when nothing else stands there but a bullet or number. */
static bool whole_line(const char *s, size_t n, struct place *p)
{
    size_t a = p->from, b = p->to;
    while (a && s[a - 1] != '\n')
        a--;
    for (size_t i = a; i < p->from; i++)
        if (!is_gap(s[i]) && !strchr("-*.)(0123456789", s[i]) && (unsigned char)s[i] < 0x80)
            return false;
    while (b < n && s[b] != '\n')
        if (!is_gap(s[b++]))
            return false;
    p->from = a;
    p->to = b < n ? b + 1 : b;
    return true;
}

/* With the separator behind it, or, at the end of the list, the one before it. */
static void with_separator(const char *s, size_t n, struct place *p)
{
    size_t b = p->to, a = p->from;
    while (b < n && is_gap(s[b]))
        b++;
    if (b < n && strchr(",;|/", s[b])) {
        for (b++; b < n && is_gap(s[b]);)
            b++;
        p->to = b;
        return;
    }
    if (word_behind(s, n, b, "or") || word_behind(s, n, b, "and")) { /* "a or b": "b" */
        p->to = b + (s[b] == 'o' ? 3 : 4);
        return;
    }
    while (a && is_gap(s[a - 1]))
        a--;
    if (word_before(s, a, "or") || word_before(s, a, "and")) {
        a -= s[a - 1] == 'r' ? 2 : 3;
        while (a && is_gap(s[a - 1]))
            a--;
        p->from = a;
    }
    if (a && strchr(",;|/", s[a - 1]))
        p->from = a - 1;
}

void slm_text_withdraw(struct slm_buf *out, const char *s, size_t n, const char *label,
                       size_t n_label, const char *other)
{
    struct place p;
    size_t done = 0;
    while (next_place(s, n, done, label, n_label, &p)) {
        if (other) {
            slm_buf_put(out, s + done, p.at - done);
            slm_buf_puts(out, other);
            done = p.end;
            continue;
        }
        if (!whole_line(s, n, &p))
            with_separator(s, n, &p);
        p.from = p.from < done ? done : p.from;
        slm_buf_put(out, s + done, p.from - done);
        done = p.to;
    }
    slm_buf_put(out, s + done, n - done);
}
