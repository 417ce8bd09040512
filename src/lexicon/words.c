/* Texts as words with counts. Files are cut into tasks at line ends and handed to the threads,
 * each of which counts into a table of its own: sums of counts do not depend on who counted
 * what, so the result is the same on any number of threads. */
#include "lexicon/lexicon_room.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define TASK_BYTES ((size_t)4 << 20)

struct task {
    const char *s;
    size_t n;
};
struct job {
    slm_runtime *rt;
    const slm_lexicon_opts *o;
    slm_scan_fn *scan;    /* byte-level: a hand-written splitter, */
    struct slm_regex *re; /* or a pattern */
    bool marks;           /* characters and marks for blanks */
    struct task *task;
    size_t n_tasks;
    atomic_size_t next;
    struct part {
        struct lex_table table;
        struct slm_buf clean, marked;
        struct slm_regex_run *run;
        uint64_t units, pieces, mended;
        int rc;
        slm_err err;
    } * part;
};

static inline void put(struct part *p, const char *s, size_t n)
{
    slm_lex_table_add(&p->table, s, n, 1);
    p->pieces++;
}

static void by_scan(struct part *p, slm_scan_fn *scan, const char *s, size_t n)
{
    for (size_t i = 0, end; i < n; i = end) {
        end = scan(s, n, i);
        put(p, s + i, end - i);
    }
}

static int by_regex(struct job *j, struct part *p, const char *s, size_t n)
{
    size_t at = 0, from = 0, span[2];
    while (from <= n) {
        int rc = slm_regex_find(j->re, p->run, s, n, from, span, &p->err);
        if (rc < 0)
            return rc;
        if (!rc)
            break;
        if (span[0] == span[1]) { /* nothing matched: on by a character */
            int32_t cp;
            from = span[1] < n ? span[1] + (size_t)slm_utf8_next(s + span[1], n - span[1], &cp)
                               : n + 1;
            continue;
        }
        if (span[0] > at)
            put(p, s + at, span[0] - at);
        put(p, s + span[0], span[1] - span[0]);
        at = from = span[1];
    }
    if (at < n)
        put(p, s + at, n - at);
    return 0;
}

/* Letters (with their marks), numbers, line ends, everything else. */
static int class_of(int32_t cp)
{
    if (cp < 0x80) {
        bool letter = (cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z');
        return letter ? 1 : cp >= '0' && cp <= '9' ? 2 : cp == '\n' || cp == '\r' ? 3 : 4;
    }
    const char *c = slm_utf8_category(cp);
    return c[0] == 'L' || c[0] == 'M' ? 1 : c[0] == 'N' ? 2 : 4;
}

/* SentencePiece's words: blanks are marks, a mark begins a word, letters, numbers and the rest
 * do not mix. */
static void by_marks(struct part *p, const char *s, size_t n)
{
    struct slm_buf *b = &p->marked;
    int32_t cp;
    slm_buf_reset(b);
    slm_buf_put(b, SLM_MARK, SLM_MARK_LEN);
    for (size_t i = 0; i < n; i++) {
        if (s[i] == ' ')
            slm_buf_put(b, SLM_MARK, SLM_MARK_LEN);
        else
            slm_buf_putc(b, s[i]);
    }
    if (b->failed) {
        p->table.failed = true;
        return;
    }
    size_t start = 0;
    int was = 0; /* 0: nothing but a mark so far */
    for (size_t i = 0, len; i < b->n; i += len) {
        len = (size_t)slm_utf8_next(b->s + i, b->n - i, &cp);
        bool mark = cp == 0x2581;
        int cls = mark ? 0 : class_of(cp);
        if (i > start && (mark || (was && cls != was) || (!was && cls == 3))) {
            put(p, b->s + start, i - start);
            start = i;
        }
        was = cls;
    }
    if (b->n > start)
        put(p, b->s + start, b->n - start);
}

static int sequence(struct job *j, struct part *p, const char *s, size_t n)
{
    p->units++;
    if (!slm_utf8_valid(s, n)) {
        slm_buf_reset(&p->clean);
        slm_utf8_clean(&p->clean, s, n);
        if (slm_buf_check(&p->clean, "a text", &p->err))
            return p->clean.failed;
        s = p->clean.s;
        n = p->clean.n;
        p->mended++;
    }
    if (j->marks)
        by_marks(p, s, n);
    else if (j->scan)
        by_scan(p, j->scan, s, n);
    else
        return by_regex(j, p, s, n);
    return 0;
}

static int do_task(struct job *j, struct part *p, const struct task *t)
{
    int rc = j->re ? slm_regex_run_new(&p->run, j->rt, t->n, &p->err) : 0;
    if (j->o->whole && !rc) {
        rc = sequence(j, p, t->s, t->n);
    } else {
        for (size_t i = 0, end; i < t->n && !rc; i = end) {
            const char *nl = memchr(t->s + i, '\n', t->n - i);
            end = nl ? (size_t)(nl - t->s) + 1 : t->n;
            rc = sequence(j, p, t->s + i, end - i);
        }
    }
    slm_regex_run_free(p->run);
    p->run = NULL;
    if (!rc && p->table.failed)
        rc = slm_fail_mem(&p->err, "words", p->table.used);
    return rc;
}

static void work(int ith, int nth, void *arg)
{
    struct job *j = arg;
    struct part *p = &j->part[ith];
    (void)nth;
    while (!p->rc) {
        size_t i = atomic_fetch_add(&j->next, 1);
        if (i >= j->n_tasks)
            break;
        p->rc = do_task(j, p, &j->task[i]);
    }
}

static int cut(struct job *j, const struct slm_map *m, size_t *cap, slm_err *err)
{
    const char *s = (const char *)m->data;
    for (size_t i = 0, end; i < m->size; i = end) {
        end = m->size - i > TASK_BYTES && !j->o->whole ? i + TASK_BYTES : m->size;
        const char *nl = end < m->size ? memchr(s + end, '\n', m->size - end) : NULL;
        end = nl ? (size_t)(nl - s) + 1 : m->size;
        if (slm_grow(j->rt, SLM_MEM_TEXT, (void **)&j->task, j->n_tasks, cap, sizeof *j->task))
            return slm_fail_mem(err, "texts", j->n_tasks);
        j->task[j->n_tasks++] = (struct task){s + i, end - i};
    }
    return 0;
}

static int by_bytes(const void *x, const void *y)
{
    const struct lex_word *a = x, *b = y;
    int c = memcmp(a->s, b->s, a->n < b->n ? a->n : b->n);
    return c ? c : a->n < b->n ? -1 : a->n > b->n;
}

static int sort_words(struct lex_words *w, slm_err *err)
{
    const struct lex_table *t = &w->table;
    w->word = slm_alloc_n(t->rt, SLM_MEM_TEXT, t->used, sizeof *w->word);
    if (!w->word)
        return slm_fail_mem(err, "words", t->used * sizeof *w->word);
    for (size_t i = 0; i <= t->mask; i++) {
        if (t->slot[i].s)
            w->word[w->n++] = t->slot[i];
    }
    qsort(w->word, w->n, sizeof *w->word, by_bytes);
    return 0;
}

/* The first part's table takes what the others counted. */
static int join(struct lex_words *w, struct job *j, int nth, slm_err *err)
{
    w->table = j->part[0].table;
    memset(&j->part[0].table, 0, sizeof w->table);
    for (int i = 0; i < nth; i++) {
        struct part *p = &j->part[i];
        w->units += p->units;
        w->pieces += p->pieces;
        w->mended += p->mended;
        for (size_t k = 0; p->table.slot && k <= p->table.mask; k++) {
            const struct lex_word *x = &p->table.slot[k];
            if (x->s)
                slm_lex_table_add(&w->table, x->s, x->n, x->count);
        }
    }
    if (w->table.failed)
        return slm_fail_mem(err, "words", w->table.used);
    return sort_words(w, err);
}

static int run(struct lex_words *w, struct job *j, slm_err *err)
{
    int nth = slm_pool_threads(j->rt->pool), rc = 0;
    j->part = slm_zalloc_n(j->rt, SLM_MEM_TEXT, (size_t)nth, sizeof *j->part);
    if (!j->part)
        return slm_fail_mem(err, "words", (size_t)nth * sizeof *j->part);
    for (int i = 0; i < nth; i++) {
        struct part *p = &j->part[i];
        slm_buf_init(&p->clean, j->rt, SLM_MEM_TEXT, SIZE_MAX / 4);
        slm_buf_init(&p->marked, j->rt, SLM_MEM_TEXT, SIZE_MAX / 4);
        rc = rc ? rc : slm_lex_table_init(&p->table, j->rt, 1 << 15, err);
    }
    if (!rc)
        slm_pool_run(j->rt->pool, work, j);
    for (int i = 0; i < nth && !rc; i++) {
        if (j->part[i].rc)
            rc = slm_fail(err, j->part[i].rc, "%s", j->part[i].err.msg);
    }
    rc = rc ? rc : join(w, j, nth, err);
    for (int i = 0; i < nth; i++) {
        slm_lex_table_release(&j->part[i].table);
        slm_buf_release(&j->part[i].clean);
        slm_buf_release(&j->part[i].marked);
    }
    slm_free(j->rt, j->part);
    return rc;
}

int slm_lex_words_count(struct lex_words *w, slm_runtime *rt, const char *const *files, int n,
                        const slm_lexicon_opts *o, slm_err *err)
{
    const char *pattern = slm_lex_pattern(o);
    struct job j = {.rt = rt, .o = o};
    size_t cap = 0;
    int opened = 0, rc = 0;
    memset(w, 0, sizeof *w);
    j.marks = o->byte_fallback || o->kind == SLM_LEXICON_UNIGRAM;
    j.scan = slm_scan_find(pattern, strlen(pattern));
    struct slm_map *map = slm_zalloc_n(rt, SLM_MEM_TEXT, (size_t)n, sizeof *map);
    if (!map)
        return slm_fail_mem(err, "texts", (size_t)n);
    if (!j.marks && !j.scan)
        rc = slm_regex_new(&j.re, rt, pattern, strlen(pattern), "--pattern", err);
    for (; opened < n && !rc; opened++) {
        rc = slm_map_open(&map[opened], files[opened], err);
        if (rc)
            break;
        w->bytes += map[opened].size;
        rc = cut(&j, &map[opened], &cap, err);
    }
    rc = rc ? rc : run(w, &j, err);
    if (!rc && !w->n)
        rc = slm_fail(err, SLM_E_FORMAT, "%s: no text to learn from", files[0]);
    slm_regex_free(j.re);
    slm_free(rt, j.task);
    for (int i = 0; i < opened; i++)
        slm_map_close(&map[i]);
    slm_free(rt, map);
    return rc;
}

void slm_lex_words_release(struct lex_words *w)
{
    if (w->table.rt)
        slm_free(w->table.rt, w->word);
    slm_lex_table_release(&w->table);
    memset(w, 0, sizeof *w);
}

/* --- characters --- */

static int by_count(const void *x, const void *y)
{
    const struct lex_char *a = x, *b = y;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return a->cp < b->cp ? -1 : a->cp > b->cp;
}

int slm_lex_alphabet(struct lex_char **out, size_t *n, slm_runtime *rt,
                     const struct lex_words *w, double coverage, slm_err *err)
{
    uint64_t *count = slm_zalloc_n(rt, SLM_MEM_TEXT, 0x110000, sizeof *count), all = 0, got = 0;
    size_t found = 0;
    int32_t cp;
    *out = NULL;
    if (!count)
        return slm_fail_mem(err, "characters", 0x110000 * sizeof *count);
    for (size_t i = 0; i < w->n; i++) {
        const struct lex_word *x = &w->word[i];
        for (size_t k = 0; k < x->n;) {
            k += (size_t)slm_utf8_next(x->s + k, x->n - k, &cp);
            found += cp >= 0 && !count[cp];
            if (cp >= 0)
                count[cp] += x->count;
            all += x->count;
        }
    }
    struct lex_char *c = slm_alloc_n(rt, SLM_MEM_TEXT, found, sizeof *c);
    found = 0;
    for (int32_t k = 0; k < 0x110000 && c; k++) {
        if (count[k])
            c[found++] = (struct lex_char){k, count[k]};
    }
    slm_free(rt, count);
    if (!c)
        return slm_fail_mem(err, "characters", 0);
    qsort(c, found, sizeof *c, by_count);
    for (*n = 0; *n < found && (!*n || (double)got < coverage * (double)all); (*n)++)
        got += c[*n].count;
    *out = c;
    return 0;
}
