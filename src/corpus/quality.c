/* The rules, as the paper has them: words are what stands between white space, without the
 * punctuation around it. Shares of text are counted in bytes. */
#include "corpus/quality.h"

#include <string.h>

#include "corpus/grams.h"

static const struct {
    int set;
    const char *words;
} rules[] = {
#define RULE(name, set, words) {set, words},
    SLM_QUALITY_RULES(RULE)
#undef RULE
};

const char *slm_quality_words(int rule) { return rules[rule].words; }
int slm_quality_set(int rule) { return rules[rule].set; }

int slm_quality_parse(const char *names, int *sets, slm_err *err)
{
    static const char *const known[] = {"gopher", "gopher-repetition"};
    *sets = 0;
    for (const char *p = names ? names : ""; *p;) {
        size_t n = strcspn(p, ","), k = 0;
        while (k < 2 && (strlen(known[k]) != n || memcmp(known[k], p, n)))
            k++;
        if (k == 2)
            return slm_fail(err, SLM_E_ARG,
                            "filter '%.*s' is none of: gopher gopher-repetition",
                            n < 40 ? (int)n : 40, p);
        *sets |= 1 << k;
        p += n + (p[n] == ',');
    }
    return 0;
}

void slm_quality_init(struct slm_quality *q, slm_runtime *rt)
{
    *q = (struct slm_quality){.rt = rt};
    slm_keymap_init(&q->seen, rt);
}

void slm_quality_release(struct slm_quality *q)
{
    slm_free(q->rt, q->word);
    slm_free(q->rt, q->part);
    slm_free(q->rt, q->count);
    slm_keymap_release(&q->seen);
    *q = (struct slm_quality){.rt = q->rt};
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* Letters, digits and all that is not ASCII. */
static bool is_solid(char c)
{
    return (unsigned char)c >= 0x80 || (c >= '0' && c <= '9') ||
           ((c | 32) >= 'a' && (c | 32) <= 'z');
}

static bool add(struct slm_quality *q, struct slm_piece **list, size_t *n, size_t *cap,
                struct slm_piece piece)
{
    if (slm_grow(q->rt, SLM_MEM_DATA, (void **)list, *n, cap, sizeof **list))
        return false;
    piece.hash = slm_hash64(piece.s, piece.n, 0);
    (*list)[(*n)++] = piece;
    return true;
}

static bool read_words(struct slm_quality *q, const char *s, size_t n)
{
    q->n_words = 0;
    for (size_t i = 0; i < n;) {
        size_t from;
        while (i < n && is_space(s[i]))
            i++;
        from = i;
        while (i < n && !is_space(s[i]))
            i++;
        if (i > from && !add(q, &q->word, &q->n_words, &q->cap_words,
                             (struct slm_piece){s + from, i - from, 0}))
            return false;
    }
    return true;
}

/* Pieces between at least `ends` ends of line. */
static bool read_parts(struct slm_quality *q, const char *s, size_t n, int ends)
{
    q->n_parts = 0;
    for (size_t i = 0, from = 0; i <= n;) {
        size_t run = 0;
        while (i + run < n && s[i + run] == '\n')
            run++;
        if (i < n && run < (size_t)ends) {
            i += run ? run : 1;
            continue;
        }
        if (i > from && !add(q, &q->part, &q->n_parts, &q->cap_parts,
                             (struct slm_piece){s + from, i - from, 0}))
            return false;
        i += i < n ? run : 1;
        from = i;
    }
    return true;
}

/* Without the punctuation around it. */
static struct slm_piece core(struct slm_piece w)
{
    while (w.n && !is_solid(w.s[0])) {
        w.s++;
        w.n--;
    }
    while (w.n && !is_solid(w.s[w.n - 1]))
        w.n--;
    return w;
}

static bool has_letter(struct slm_piece w)
{
    for (size_t i = 0; i < w.n;) {
        int32_t cp;
        i += (size_t)slm_utf8_next(w.s + i, w.n - i, &cp);
        if (cp < 0x80 ? ((cp | 32) >= 'a' && (cp | 32) <= 'z')
                      : slm_utf8_category(cp)[0] == 'L')
            return true;
    }
    return false;
}

static unsigned stop_word(struct slm_piece w)
{
    static const char *const stop[] = {"the", "be", "to", "of", "and", "that", "have", "with"};
    char low[5];
    if (w.n > 4)
        return 0;
    for (size_t i = 0; i < w.n; i++)
        low[i] = (char)(w.s[i] >= 'A' && w.s[i] <= 'Z' ? w.s[i] + 32 : w.s[i]);
    for (unsigned i = 0; i < sizeof stop / sizeof *stop; i++)
        if (strlen(stop[i]) == w.n && !memcmp(stop[i], low, w.n))
            return 1u << i;
    return 0;
}

static size_t count_of(const char *s, size_t n, const char *what)
{
    size_t len = strlen(what), count = 0;
    for (size_t i = 0; i + len <= n;) {
        bool is = !memcmp(s + i, what, len);
        count += is;
        i += is ? len : 1;
    }
    return count;
}

static int judge_words(const struct slm_quality *q, const char *s, size_t n)
{
    size_t words = 0, chars = 0, letters = 0;
    unsigned stops = 0;
    for (size_t i = 0; i < q->n_words; i++) {
        struct slm_piece w = core(q->word[i]);
        words += w.n > 0;
        chars += slm_utf8_count(w.s, w.n);
        letters += has_letter(w);
        stops |= stop_word(w);
    }
    if (words < 50)
        return SLM_QUALITY_FEW_WORDS;
    if (words > 100000)
        return SLM_QUALITY_MANY_WORDS;
    if (chars < 3 * words)
        return SLM_QUALITY_SHORT_WORDS;
    if (chars > 10 * words)
        return SLM_QUALITY_LONG_WORDS;
    if (count_of(s, n, "#") * 10 > q->n_words)
        return SLM_QUALITY_HASHES;
    if ((count_of(s, n, "...") + count_of(s, n, "\xE2\x80\xA6")) * 10 > q->n_words)
        return SLM_QUALITY_ELLIPSES;
    if (letters * 10 < q->n_words * 8)
        return SLM_QUALITY_NO_LETTERS;
    return stops & (stops - 1) ? -1 : SLM_QUALITY_STOP_WORDS;
}

static bool begins(struct slm_piece p, const char *with)
{
    while (p.n && is_space(p.s[0])) {
        p.s++;
        p.n--;
    }
    return p.n >= strlen(with) && !memcmp(p.s, with, strlen(with));
}

static bool ends(struct slm_piece p, const char *with)
{
    size_t len = strlen(with);
    while (p.n && is_space(p.s[p.n - 1]))
        p.n--;
    return p.n >= len && !memcmp(p.s + p.n - len, with, len);
}

static int judge_lines(const struct slm_quality *q)
{
    size_t bullets = 0, dots = 0;
    for (size_t i = 0; i < q->n_parts; i++) {
        bullets += begins(q->part[i], "-") || begins(q->part[i], "\xE2\x80\xA2");
        dots += ends(q->part[i], "...") || ends(q->part[i], "\xE2\x80\xA6");
    }
    return bullets * 10 > q->n_parts * 9 ? SLM_QUALITY_BULLETS
           : dots * 10 > q->n_parts * 3  ? SLM_QUALITY_ELLIPSIS_LINES
                                         : -1;
}

/* ---- repetition ---- */

/* An empty table; one that an earlier, much longer text has left large is given back, for it is
 * wiped whole for every text. */
static void fresh(struct slm_quality *q, size_t n)
{
    if (q->seen.mask > 64 * (n + 64))
        slm_keymap_release(&q->seen);
    slm_keymap_reset(&q->seen);
}

/* Share of pieces, and of the text's bytes in pieces, that were there before. */
static bool repeated(struct slm_quality *q, size_t n, double *parts, double *bytes)
{
    size_t again = 0, size = 0;
    fresh(q, q->n_parts);
    for (size_t i = 0; i < q->n_parts; i++) {
        uint32_t was;
        if (slm_keymap_put(&q->seen, q->part[i].hash, (uint32_t)i, &was, NULL))
            return false;
        again += was != i;
        size += was != i ? q->part[i].n : 0;
    }
    *parts = q->n_parts ? (double)again / (double)q->n_parts : 0;
    *bytes = n ? (double)size / (double)n : 0;
    return true;
}

static uint64_t run_hash(const struct slm_quality *q, size_t at, size_t len)
{
    uint64_t h = len;
    for (size_t i = 0; i < len; i++)
        h = slm_mix64(h * 0x9e3779b97f4a7c15u + q->word[at + i].hash);
    return h;
}

static size_t run_bytes(const struct slm_quality *q, size_t at, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += q->word[at + i].n;
    return n;
}

/* Share of the text that the most frequent run of len words makes, blanks counted. */
static bool top_run(struct slm_quality *q, size_t n, size_t len, double *share)
{
    size_t runs = q->n_words >= len ? q->n_words - len + 1 : 0, best = 0;
    *share = 0;
    fresh(q, runs);
    if (runs > q->cap_count) {
        uint32_t *p = slm_realloc(q->rt, SLM_MEM_DATA, q->count, runs * sizeof *p);
        if (!p)
            return false;
        q->count = p;
        q->cap_count = runs;
    }
    for (size_t i = 0; i < runs; i++) {
        uint32_t was;
        q->count[i] = 0;
        if (slm_keymap_put(&q->seen, run_hash(q, i, len), (uint32_t)i, &was, NULL))
            return false;
        q->count[was]++;
    }
    for (size_t i = 0; i < runs; i++)
        best = q->count[i] > q->count[best] ? i : best;
    if (runs)
        *share = (double)((run_bytes(q, best, len) + len - 1) * q->count[best]) / (double)n;
    return true;
}

/* Share of the text in runs of len words that were there before, none counted twice. */
static bool same_runs(struct slm_quality *q, size_t n, size_t len, double *share)
{
    size_t size = 0;
    fresh(q, q->n_words);
    for (size_t i = 0; i + len <= q->n_words;) {
        uint32_t was;
        if (slm_keymap_put(&q->seen, run_hash(q, i, len), (uint32_t)i, &was, NULL))
            return false;
        size += was != i ? run_bytes(q, i, len) : 0;
        i += was != i ? len : 1;
    }
    *share = n ? (double)size / (double)n : 0;
    return true;
}

static int judge_parts(struct slm_quality *q, const char *s, size_t n, int newlines, int rule)
{
    double parts, bytes;
    if (!read_parts(q, s, n, newlines) || !repeated(q, n, &parts, &bytes))
        return SLM_QUALITY_COUNT;
    return parts > 0.3 ? rule : bytes > 0.2 ? rule + 1 : -1;
}

static int judge_repetition(struct slm_quality *q, const char *s, size_t n)
{
    static const double top[] = {0.20, 0.18, 0.16},
                        same[] = {0.15, 0.14, 0.13, 0.12, 0.11, 0.10};
    double share;
    int rule = judge_parts(q, s, n, 2, SLM_QUALITY_SAME_PARTS);
    if (rule < 0)
        rule = judge_parts(q, s, n, 1, SLM_QUALITY_SAME_LINES);
    for (size_t i = 0; i < 3 && rule < 0; i++)
        rule = !top_run(q, n, i + 2, &share) ? SLM_QUALITY_COUNT
               : share > top[i]              ? SLM_QUALITY_TOP_2 + (int)i
                                             : -1;
    for (size_t i = 0; i < 6 && rule < 0; i++)
        rule = !same_runs(q, n, i + 5, &share) ? SLM_QUALITY_COUNT
               : share > same[i]               ? SLM_QUALITY_SAME_5 + (int)i
                                               : -1;
    return rule;
}

int slm_quality_judge(struct slm_quality *q, const char *s, size_t n, int sets)
{
    int rule = -1;
    if (!sets)
        return -1;
    while (n && is_space(s[n - 1]))
        n--;
    if (!read_words(q, s, n))
        return SLM_QUALITY_COUNT;
    if (sets & SLM_GOPHER) {
        rule = judge_words(q, s, n);
        if (rule < 0)
            rule = read_parts(q, s, n, 1) ? judge_lines(q) : SLM_QUALITY_COUNT;
    }
    return rule < 0 && sets & SLM_GOPHER_REPETITION ? judge_repetition(q, s, n) : rule;
}
