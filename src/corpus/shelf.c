/* Rows by number. A first walk finds where rows lie (16 bytes each); whatever is asked of them
 * later goes by place, so work can go on in all threads and any order, and files larger than
 * memory stay on the disk. */
#include "corpus/shelf.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

int slm_own_new(struct slm_corpus_own **own, slm_runtime *rt, slm_err *err)
{
    *own = slm_zalloc(rt, SLM_MEM_DATA, sizeof **own);
    if (!*own)
        return slm_fail_mem(err, "a report", sizeof **own);
    slm_arena_init(&(*own)->arena, rt, SLM_MEM_DATA);
    return 0;
}

void slm_corpus_release(struct slm_corpus_own **own)
{
    if (!*own)
        return;
    slm_runtime *rt = (*own)->arena.rt;
    slm_arena_release(&(*own)->arena);
    slm_free(rt, *own);
    *own = NULL;
}

const char *slm_own_excerpt(struct slm_corpus_own *own, const char *s, size_t n, size_t most)
{
    while (n && (unsigned char)s[n - 1] <= ' ')
        n--;
    size_t k = n < most ? n : most;
    if (k < n)
        k -= slm_utf8_partial(s, k);
    char *out = slm_arena_alloc(&own->arena, k + 4);
    if (!out)
        return NULL;
    for (size_t i = 0; i < k; i++)
        out[i] = (unsigned char)s[i] < 0x20 || s[i] == 0x7f ? ' ' : s[i];
    memcpy(out + k, k < n ? "..." : "", k < n ? 4 : 1);
    return out;
}

static int add_row(struct slm_shelf *s, const struct slm_row *row, slm_err *err)
{
    if (s->n >= SLM_SHELF_MOST || row->n_raw > UINT32_MAX)
        return slm_fail(err, SLM_E_LIMIT, "%s:%lld: %s", row->file, (long long)row->line,
                        s->n >= SLM_SHELF_MOST ? "more than 2^32 - 2 rows"
                                               : "a row of over 4 GiB");
    if (slm_grow(s->rt, SLM_MEM_DATA, (void **)&s->place, s->n, &s->cap, sizeof *s->place))
        return slm_fail_mem(err, "places of rows", s->n * sizeof *s->place);
    s->place[s->n++] =
        (struct slm_shelf_place){row->at, (uint32_t)row->n_raw,
                                 row->line < UINT32_MAX ? (uint32_t)row->line : UINT32_MAX};
    return 0;
}

static int find_rows(struct slm_shelf *s, slm_err *err)
{
    struct slm_row row = {0};
    int rc, file = 0;
    while ((rc = slm_rows_next(s->rows, &row, err)) > 0) {
        while (file <= row.file_no)
            s->first[file++] = (uint32_t)s->n;
        s->base[row.file_no] = row.raw - row.at;
        int code = add_row(s, &row, err);
        if (code)
            return code;
    }
    while (file <= s->files)
        s->first[file++] = (uint32_t)s->n;
    return rc;
}

int slm_shelf_open(struct slm_shelf *s, slm_runtime *rt, const struct slm_corpus_in *in,
                   const char *const *paths, int n_paths, slm_err *err)
{
    struct slm_rows_opts o = {(enum slm_data_form)in->form, in->separator, in->delimiter};
    *s = (struct slm_shelf){.rt = rt, .in = in, .passes = 1};
    int rc = slm_rows_open(&s->rows, rt, paths, n_paths, &o, err);
    if (!rc) {
        s->files = slm_rows_files(s->rows);
        s->first = slm_zalloc_n(rt, SLM_MEM_DATA, (size_t)s->files + 1, sizeof *s->first);
        s->base = slm_zalloc_n(rt, SLM_MEM_DATA, (size_t)s->files, sizeof *s->base);
        rc = s->first && s->base ? find_rows(s, err) : slm_fail_mem(err, "a list of files", 1);
    }
    if (!rc) {
        s->bad = slm_zalloc(rt, SLM_MEM_DATA, s->n);
        rc = s->bad ? 0 : slm_fail_mem(err, "marks of rows", s->n);
    }
    if (rc)
        slm_shelf_close(s);
    return rc;
}

void slm_shelf_close(struct slm_shelf *s)
{
    slm_rows_close(&s->rows);
    slm_free(s->rt, s->place);
    slm_free(s->rt, s->bad);
    slm_free(s->rt, s->first);
    slm_free(s->rt, s->base);
    s->base = NULL;
    s->place = NULL;
    s->bad = NULL;
    s->first = NULL;
    s->n = s->cap = 0;
}

/* The file whose rows begin last at or before this one (files may be without rows). */
int slm_shelf_file_of(const struct slm_shelf *s, uint32_t row)
{
    int lo = 0, hi = s->files;
    while (hi - lo > 1) {
        int mid = (lo + hi) / 2;
        if (s->first[mid] <= row)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

const char *slm_shelf_file(const struct slm_shelf *s, uint32_t row)
{
    return slm_rows_file(s->rows, slm_shelf_file_of(s, row));
}

const char *slm_shelf_raw(const struct slm_shelf *s, uint32_t number, size_t *n)
{
    *n = s->place[number].n;
    return s->base[slm_shelf_file_of(s, number)] + s->place[number].at;
}

int slm_shelf_get(const struct slm_shelf *s, uint32_t number, struct slm_row *row, slm_err *err)
{
    const struct slm_shelf_place *p = &s->place[number];
    *row = (struct slm_row){.file_no = slm_shelf_file_of(s, number),
                            .line = p->line,
                            .number = number,
                            .n_raw = p->n,
                            .at = p->at};
    return slm_rows_again(s->rows, row, err);
}

enum { BATCH_ROWS = 4096, BATCH_BYTES = 32 << 20, TAKE = 8 };

/* What went wrong first in a thread's part. */
struct failure {
    uint32_t row; /* UINT32_MAX: nothing */
    int code;
    slm_err err;
};

struct batch {
    struct slm_shelf *s;
    const struct slm_shelf_job *job;
    uint32_t lo, hi;
    _Atomic uint32_t next;
    struct failure *failure; /* (threads) */
};

static void work_rows(int ith, int nth, void *arg)
{
    struct batch *b = arg;
    struct failure *f = &b->failure[ith];
    (void)nth;
    while (f->row == UINT32_MAX) {
        uint32_t lo = atomic_fetch_add(&b->next, TAKE), hi = lo + TAKE;
        if (lo >= b->hi)
            return;
        for (uint32_t i = lo; i < hi && i < b->hi && !f->code; i++) {
            struct slm_row row;
            f->code = slm_shelf_get(b->s, i, &row, &f->err);
            b->s->bad[i] = (uint8_t)row.state;
            if (!f->code && row.state == SLM_ROW_OK)
                f->code = b->job->work(b->job->arg, ith, i, &row, &f->err);
            slm_row_release(&row);
            if (f->code)
                f->row = i;
        }
    }
}

static int run_batch(struct batch *b, slm_err *err)
{
    int threads = slm_pool_threads(b->s->rt->pool);
    const struct failure *first = &b->failure[0];
    b->next = b->lo;
    for (int i = 0; i < threads; i++)
        b->failure[i] = (struct failure){.row = UINT32_MAX};
    if (b->job->work)
        slm_pool_run(b->s->rt->pool, work_rows, b);
    for (int i = 0; i < threads; i++)
        if (b->failure[i].row < first->row)
            first = &b->failure[i];
    if (first->row == UINT32_MAX)
        return b->job->put ? b->job->put(b->job->arg, b->lo, b->hi, err) : 0;
    return slm_fail(err, first->code, "%s", first->err.msg);
}

int slm_shelf_each(struct slm_shelf *s, const struct slm_shelf_job *job, slm_err *err)
{
    struct batch b = {.s = s, .job = job};
    uint64_t bytes = slm_rows_bytes(s->rows), done = bytes * (uint64_t)s->pass,
             total = bytes * (uint64_t)(s->passes > s->pass ? s->passes : s->pass + 1);
    int rc = 0, threads = slm_pool_threads(s->rt->pool);
    b.failure = slm_alloc_n(s->rt, SLM_MEM_DATA, (size_t)threads, sizeof *b.failure);
    if (!b.failure)
        return slm_fail_mem(err, "threads", (size_t)threads * sizeof *b.failure);
    while (b.hi < s->n && !rc) {
        uint64_t size = 0;
        b.lo = b.hi;
        while (b.hi < s->n && b.hi - b.lo < BATCH_ROWS && size < BATCH_BYTES)
            size += s->place[b.hi++].n;
        rc = run_batch(&b, err);
        done += size;
        if (!rc && s->in->progress && s->in->progress(s->in->progress_arg, done, total))
            rc = slm_fail(err, SLM_E_CANCELLED, "interrupted");
    }
    slm_free(s->rt, b.failure);
    s->pass++;
    return rc;
}

int slm_shelf_note(const struct slm_shelf *s, uint32_t row, struct slm_corpus_own *own,
                   const char *text, slm_corpus_note *note)
{
    note->file = slm_arena_strdup(&own->arena, slm_shelf_file(s, row));
    note->line = s->place[row].line;
    note->text = text ? slm_own_excerpt(own, text, strlen(text), SLM_NOTE_MOST) : "";
    return note->file && note->text ? 0 : SLM_E_NOMEM;
}

int slm_shelf_seen(const struct slm_shelf *s, struct slm_corpus_own *own, slm_corpus_seen *seen,
                   slm_err *err)
{
    enum { SHOWN = 5 };
    slm_corpus_note *list = slm_arena_alloc_n(&own->arena, SHOWN, sizeof *list);
    *seen = (slm_corpus_seen){.rows = (int64_t)s->n,
                              .bytes = slm_rows_bytes(s->rows),
                              .files = s->files,
                              .example = list};
    if (!list)
        return slm_fail_mem(err, "a report", SHOWN * sizeof *list);
    for (uint32_t i = 0; i < s->n; i++) {
        struct slm_row row;
        if (!s->bad[i])
            continue;
        if (seen->bad++ >= SHOWN)
            continue;
        int rc = slm_shelf_get(s, i, &row, err);
        if (rc)
            return rc;
        rc = slm_shelf_note(s, i, own, row.why, &list[seen->n_examples++]);
        slm_row_release(&row);
        if (rc)
            return slm_fail_mem(err, "a report", 1);
    }
    return 0;
}
