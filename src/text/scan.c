/* The splitting patterns that most files carry, by hand: each scanner gives the matches that
 * the pattern beside it gives (a test holds them against PCRE2), several times as fast.
 *
 * They rely on what these patterns have in common: every character belongs to a match,
 * alternatives are told apart by the first two characters, and runs are runs of one class. Text
 * is valid UTF-8. */
#include "text/tok.h"

#include <string.h>

enum { OTHER, LETTER, NUMBER, SPACE, BREAK, END }; /* BREAK: \r and \n, which are space too */

static const uint8_t ascii[128] = {
    ['\t'] = SPACE, ['\n'] = BREAK, ['\v'] = SPACE, ['\f'] = SPACE, ['\r'] = BREAK,
    [' '] = SPACE,  ['0'] = NUMBER, NUMBER,         NUMBER,         NUMBER,
    NUMBER,         NUMBER,         NUMBER,         NUMBER,         NUMBER,
    NUMBER,         ['A'] = LETTER, LETTER,         LETTER,         LETTER,
    LETTER,         LETTER,         LETTER,         LETTER,         LETTER,
    LETTER,         LETTER,         LETTER,         LETTER,         LETTER,
    LETTER,         LETTER,         LETTER,         LETTER,         LETTER,
    LETTER,         LETTER,         LETTER,         LETTER,         LETTER,
    LETTER,         LETTER,         ['a'] = LETTER, LETTER,         LETTER,
    LETTER,         LETTER,         LETTER,         LETTER,         LETTER,
    LETTER,         LETTER,         LETTER,         LETTER,         LETTER,
    LETTER,         LETTER,         LETTER,         LETTER,         LETTER,
    LETTER,         LETTER,         LETTER,         LETTER,         LETTER,
    LETTER,         LETTER,         LETTER,
};

static int class_wide(const char *s, size_t n, size_t i, size_t *next)
{
    int32_t cp;
    *next = i + (size_t)slm_utf8_next(s + i, n - i, &cp);
    if (cp < 0)
        return OTHER;
    if (slm_utf8_space(cp))
        return SPACE;
    const char *c = slm_utf8_category(cp);
    return c[0] == 'L' ? LETTER : c[0] == 'N' ? NUMBER : OTHER;
}

/* Class of the character at i, and where the next one starts. */
static inline int class_at(const char *s, size_t n, size_t i, size_t *next)
{
    if (i >= n) {
        *next = i;
        return END;
    }
    uint8_t c = (uint8_t)s[i];
    if (c < 0x80) {
        *next = i + 1;
        return ascii[c];
    }
    return class_wide(s, n, i, next);
}

/* End of the run of one class from i on. */
static inline size_t run(const char *s, size_t n, size_t i, int cls)
{
    size_t next;
    while (class_at(s, n, i, &next) == cls)
        i = next;
    return i;
}

/* \s+(?!\S)|\s+ at i, which is white space: all of it at the end of the text, else all but the
 * last. */
static size_t blanks(const char *s, size_t n, size_t i)
{
    size_t last = i, end = i, next;
    for (int c; (c = class_at(s, n, end, &next)) == SPACE || c == BREAK; end = next)
        last = end;
    return end == n || last == i ? end : last;
}

/* \s*[\r\n]+ before that: up to the last line break of the run, when there is one. */
static size_t breaks(const char *s, size_t n, size_t i)
{
    size_t end = i, next, stop = 0;
    for (int c; (c = class_at(s, n, end, &next)) == SPACE || c == BREAK; end = next) {
        if (c == BREAK)
            stop = next;
    }
    return stop;
}

/* 's 't 're 've 'm 'll 'd behind the apostrophe at i: end, or 0. Under full case folding the
 * long s (U+017F) counts as an s. */
static size_t contraction(const char *s, size_t n, size_t i, bool fold)
{
    char a = i + 1 < n ? s[i + 1] : 0, b = i + 2 < n ? s[i + 2] : 0;
    if (fold) {
        if ((uint8_t)a == 0xC5 && (uint8_t)b == 0xBF)
            return i + 3;
        a = a >= 'A' && a <= 'Z' ? (char)(a + 32) : a;
        b = b >= 'A' && b <= 'Z' ? (char)(b + 32) : b;
    }
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return i + 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
        return i + 3;
    return 0;
}

static size_t scan_gpt2(const char *s, size_t n, size_t i)
{
    size_t next, end;
    if (s[i] == '\'' && (end = contraction(s, n, i, false)))
        return end;
    int c = class_at(s, n, i, &next);
    if (c == SPACE || c == BREAK) {
        if (s[i] == ' ') {
            size_t skip;
            int d = class_at(s, n, next, &skip);
            if (d == LETTER || d == NUMBER || d == OTHER)
                return run(s, n, skip, d);
        }
        return blanks(s, n, i);
    }
    return run(s, n, next, c);
}

/* The family of cl100k: digits in groups of at most `digits` (0: any number). */
static inline size_t scan_cl100k(const char *s, size_t n, size_t i, int digits)
{
    size_t next, skip, end;
    if (s[i] == '\'' && (end = contraction(s, n, i, true)))
        return end;
    int c = class_at(s, n, i, &next);
    if (c == LETTER)
        return run(s, n, next, LETTER);
    if (c == NUMBER) {
        if (!digits)
            return run(s, n, next, NUMBER);
        for (int k = 1; k < digits && class_at(s, n, next, &skip) == NUMBER; k++)
            next = skip;
        return next;
    }
    int d = class_at(s, n, next, &skip);
    if (c != BREAK && d == LETTER)
        return run(s, n, skip, LETTER);
    if (c == OTHER || (s[i] == ' ' && d == OTHER)) {
        end = run(s, n, next, OTHER);
        while (end < n && (s[end] == '\r' || s[end] == '\n'))
            end++;
        return end;
    }
    end = breaks(s, n, i);
    return end ? end : blanks(s, n, i);
}
static size_t scan_llama3(const char *s, size_t n, size_t i) { return scan_cl100k(s, n, i, 3); }
static size_t scan_qwen2(const char *s, size_t n, size_t i) { return scan_cl100k(s, n, i, 1); }

slm_scan_fn *slm_scan_find(const char *pattern, size_t n)
{
    static const struct {
        const char *pattern;
        slm_scan_fn *scan;
    } rows[] = {
        {slm_pattern_gpt2, scan_gpt2},
        {slm_pattern_llama3, scan_llama3},
        {slm_pattern_qwen2, scan_qwen2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strlen(rows[i].pattern) == n && !memcmp(rows[i].pattern, pattern, n))
            return rows[i].scan;
    }
    return NULL;
}

bool slm_is_word(int32_t cp)
{
    if (cp < 0x80)
        return cp == '_' || (cp >= 0 && (ascii[cp] == LETTER || ascii[cp] == NUMBER));
    const char *c = slm_utf8_category(cp);
    return c[0] == 'L' || c[0] == 'M' || !strncmp(c, "Nd", 2) || !strncmp(c, "Nl", 2) ||
           !strncmp(c, "Pc", 2) || cp == 0x200C || cp == 0x200D ||
           (cp >= 0x24B6 && cp <= 0x24E9) || (cp >= 0x1F130 && cp <= 0x1F149) ||
           (cp >= 0x1F150 && cp <= 0x1F169) || (cp >= 0x1F170 && cp <= 0x1F189);
}
