/* Texts to words, words to hashed runs. Only ASCII is walked byte by byte; a text with anything
 * else is brought into normal form first, so that two spellings of one character are one. */
#include "corpus/grams.h"

#include <stdlib.h>
#include <string.h>

void slm_words_init(struct slm_words *w, slm_runtime *rt)
{
    memset(w, 0, sizeof *w);
    w->rt = rt;
    slm_buf_init(&w->text, rt, SLM_MEM_DATA, UINT32_MAX);
    slm_buf_init(&w->form, rt, SLM_MEM_DATA, SIZE_MAX / 4);
}

void slm_words_release(struct slm_words *w)
{
    slm_buf_release(&w->text);
    slm_buf_release(&w->form);
    slm_free(w->rt, w->hash);
    slm_free(w->rt, w->end);
    w->hash = NULL;
    w->end = NULL;
    w->n = w->cap_hash = w->cap_end = 0;
}

/* What a character is to a word. */
enum role { BREAK, LETTER, APOSTROPHE, ALONE, OPERATOR };

/* Scripts written without blanks: each character is a word of its own. */
static bool is_alone(int32_t c)
{
    return (c >= 0x0E00 && c < 0x0F00) || (c >= 0x1000 && c < 0x10A0) ||
           (c >= 0x1780 && c < 0x1800) || (c >= 0x2E80 && c < 0x3000) ||
           (c >= 0x3040 && c < 0x3100) || (c >= 0x31F0 && c < 0x3200) ||
           (c >= 0x3400 && c < 0xA000) || (c >= 0xF900 && c < 0xFB00) ||
           (c >= 0x20000 && c < 0x40000);
}

static enum role ascii_role(int c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_')
        return LETTER;
    if (c == '\'')
        return APOSTROPHE;
    return c && strchr("+-*/=<>^%", c) ? OPERATOR : BREAK;
}

static enum role role_of(int32_t c)
{
    if (c < 0x80)
        return c < 0 ? BREAK : ascii_role(c);
    if (c == 0x2019)
        return APOSTROPHE;
    const char *cat = slm_utf8_category(c);
    if (cat[0] == 'L' || cat[0] == 'N' || cat[0] == 'M')
        return is_alone(c) ? ALONE : LETTER;
    return cat[0] == 'S' && cat[1] == 'm' ? OPERATOR : BREAK;
}

static void end_word(struct slm_words *w)
{
    size_t from = slm_words_begin(w, w->n), to = w->text.n;
    if (w->text.failed || to == from)
        return;
    if (slm_grow(w->rt, SLM_MEM_DATA, (void **)&w->hash, w->n, &w->cap_hash, sizeof *w->hash) ||
        slm_grow(w->rt, SLM_MEM_DATA, (void **)&w->end, w->n, &w->cap_end, sizeof *w->end)) {
        w->text.failed = SLM_E_NOMEM;
        return;
    }
    w->hash[w->n] = slm_hash64(w->text.s + from, to - from, 0);
    w->end[w->n++] = (uint32_t)to;
    slm_buf_putc(&w->text, ' ');
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Is the operator at s[i, i + len) between digits, blanks left out? */
static bool between_digits(const char *s, size_t n, size_t i, size_t len)
{
    size_t a = i, b = i + len;
    while (a && s[a - 1] == ' ')
        a--;
    while (b < n && s[b] == ' ')
        b++;
    return a && is_digit(s[a - 1]) && b < n && is_digit(s[b]);
}

static void put_lower(struct slm_words *w, int32_t c)
{
    char out[4];
    slm_buf_put(&w->text, out, (size_t)slm_utf8_put(out, slm_utf8_lower(c)));
}

static void walk(struct slm_words *w, const char *s, size_t n)
{
    for (size_t i = 0; i < n && !w->text.failed;) {
        int32_t c;
        size_t len = (size_t)slm_utf8_next(s + i, n - i, &c);
        switch (role_of(c)) {
        case LETTER:
            if (c < 0x80)
                slm_buf_putc(&w->text, (char)(c >= 'A' && c <= 'Z' ? c + 32 : c));
            else
                put_lower(w, c);
            break;
        case APOSTROPHE: break;
        case ALONE:
            end_word(w);
            put_lower(w, c);
            end_word(w);
            break;
        case OPERATOR:
            end_word(w);
            if (between_digits(s, n, i, len)) {
                slm_buf_put(&w->text, s + i, len);
                end_word(w);
            }
            break;
        case BREAK: end_word(w); break;
        }
        i += len;
    }
    end_word(w);
}

int slm_words_read(struct slm_words *w, const char *s, size_t n, slm_err *err)
{
    bool ascii = true;
    for (size_t i = 0; i < n && ascii; i++)
        ascii = (unsigned char)s[i] < 0x80;
    slm_buf_reset(&w->text);
    slm_buf_reset(&w->form);
    w->n = 0;
    if (!ascii) {
        int rc = slm_utf8_normalize(&w->form, s, n, SLM_NFKC, err);
        if (rc)
            return rc;
        s = w->form.s;
        n = w->form.n;
    }
    walk(w, s, n);
    return slm_buf_check(&w->text, "the words of a text", err);
}

/* A run's value is a polynomial in its words' hashes, so that the next run is two products
 * away; the mixing behind hides the structure from what uses the bits. */
int slm_grams_read(struct slm_grams *g, const struct slm_words *w, int n, slm_err *err)
{
    static const uint64_t base = 0x9fb21c651e98df25u;
    size_t len = (size_t)n < w->n ? (size_t)n : w->n, most = w->n ? w->n - len + 1 : 0;
    uint64_t h = 0, first = 1;
    g->n = 0;
    if (most > g->cap) {
        uint64_t *p = slm_realloc(w->rt, SLM_MEM_DATA, g->hash, most * 2 * sizeof *p);
        if (!p)
            return slm_fail_mem(err, "runs of words", most * 2 * sizeof *p);
        g->hash = p;
        g->cap = most * 2;
    }
    for (size_t i = 0; i < len; i++) {
        h = h * base + w->hash[i];
        first *= i ? base : 1;
    }
    for (size_t i = 0; i < most; i++) {
        g->hash[g->n++] = slm_mix64(h + len);
        if (i + len < w->n)
            h = (h - w->hash[i] * first) * base + w->hash[i + len];
    }
    return 0;
}

void slm_grams_release(struct slm_grams *g, slm_runtime *rt)
{
    slm_free(rt, g->hash);
    *g = (struct slm_grams){0};
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void slm_grams_set(struct slm_grams *g)
{
    size_t k = 0;
    if (g->n)
        qsort(g->hash, g->n, sizeof *g->hash, by_value);
    for (size_t i = 0; i < g->n; i++)
        if (!i || g->hash[i] != g->hash[i - 1])
            g->hash[k++] = g->hash[i];
    g->n = k;
}

double slm_grams_jaccard(const struct slm_grams *a, const struct slm_grams *b)
{
    size_t i = 0, j = 0, both = 0;
    while (i < a->n && j < b->n) {
        uint64_t x = a->hash[i], y = b->hash[j];
        both += x == y;
        i += x <= y;
        j += y <= x;
    }
    size_t any = a->n + b->n - both;
    return any ? (double)both / (double)any : 0;
}
