/* What every tool of the room stands on: the rows of its input by number, work on all of them
 * with all threads, reports, and the file that is written. Private. */
#ifndef SLM_CORPUS_SHELF_H
#define SLM_CORPUS_SHELF_H

#include "base/base.h"
#include "data/data.h"
#include "slm/corpus.h"

/* A report's memory. */
struct slm_corpus_own {
    struct slm_arena arena;
};
int slm_own_new(struct slm_corpus_own **own, slm_runtime *rt, slm_err *err);
/* The first characters of s in one line, ended by "..." where cut; NULL without memory. */
const char *slm_own_excerpt(struct slm_corpus_own *own, const char *s, size_t n, size_t most);

struct slm_shelf_place {
    uint64_t at;
    uint32_t n, line;
};

struct slm_shelf {
    slm_runtime *rt;
    const struct slm_corpus_in *in;
    slm_rows *rows;
    struct slm_shelf_place *place; /* (n) 16 bytes a row are all that is kept of it */
    uint8_t *bad;                  /* (n) enum slm_row_state, known once `each` has run */
    size_t n, cap, cap_bad;
    uint32_t *first;   /* (files + 1) the number of each file's first row */
    const char **base; /* (files) where it is mapped */
    int files, pass, passes;
};
#define SLM_SHELF_MOST 0xfffffffeu /* rows */

/* Finds all rows. Errors: those of slm_rows_open and slm_rows_next, SLM_E_LIMIT. */
int slm_shelf_open(struct slm_shelf *s, slm_runtime *rt, const struct slm_corpus_in *in,
                   const char *const *paths, int n_paths, slm_err *err);
void slm_shelf_close(struct slm_shelf *s);
int slm_shelf_file_of(const struct slm_shelf *s, uint32_t row);
const char *slm_shelf_file(const struct slm_shelf *s, uint32_t row);
/* A row's bytes as they stand in the file. */
const char *slm_shelf_raw(const struct slm_shelf *s, uint32_t number, size_t *n);
/* Row by number, parsed; to be released. Any thread. */
int slm_shelf_get(const struct slm_shelf *s, uint32_t number, struct slm_row *row,
                  slm_err *err);

/* Work on all rows: `work` on any thread in any order (not for bad rows), then `put` on the
 * caller's thread for rows [lo, hi), in order. Each may be NULL. The error told is that of the
 * lowest row. */
struct slm_shelf_job {
    int (*work)(void *arg, int ith, uint32_t number, struct slm_row *row, slm_err *err);
    int (*put)(void *arg, uint32_t lo, uint32_t hi, slm_err *err);
    void *arg;
};
int slm_shelf_each(struct slm_shelf *s, const struct slm_shelf_job *job, slm_err *err);

/* After an each: counts, and the first bad rows. */
int slm_shelf_seen(const struct slm_shelf *s, struct slm_corpus_own *own, slm_corpus_seen *seen,
                   slm_err *err);
/* Fills a note of the report: the place and (NULL: nothing) an excerpt of text. */
enum { SLM_NOTE_MOST = 160 };
int slm_shelf_note(const struct slm_shelf *s, uint32_t row, struct slm_corpus_own *own,
                   const char *text, slm_corpus_note *note);

/* ---- the file written ---- */

struct slm_sink {
    struct slm_out o;
    const struct slm_shelf *shelf;
    enum slm_data_form form;  /* JSONL, CSV, TSV or TEXT */
    struct slm_buf line, end; /* end: what stands behind a row */
    bool open;
    int64_t rows;
};
/* Checks before any work that path may be written: it is no input, its name tells a form that
 * can hold these rows (other names: JSON lines). */
int slm_sink_check(const struct slm_shelf *s, const char *path, slm_err *err);
int slm_sink_open(struct slm_sink *k, const struct slm_shelf *s, const char *path,
                  slm_err *err);
/* A row as it stands in the file where the forms are the same, else as JSON. */
int slm_sink_row(struct slm_sink *k, const struct slm_shelf *s, uint32_t row, slm_err *err);
int slm_sink_json(struct slm_sink *k, const slm_json *j, slm_err *err);
int slm_sink_commit(struct slm_sink *k, slm_err *err);
void slm_sink_close(struct slm_sink *k); /* zeroed is fine */

/* {"file": .., "line": .., "why": .., "row": ..} of a row left out, with the place of another
 * row under `key` and a text, where there are any. */
struct slm_removed {
    const char *why, *key; /* key NULL: no other row */
    const char *file;      /* of the other row */
    int64_t line;
    const char *text; /* "text", NULL: none */
};
int slm_sink_removed(struct slm_sink *k, const struct slm_shelf *s, uint32_t row,
                     const struct slm_removed *r, slm_err *err);

#endif
