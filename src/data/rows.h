/* Private to the reader of rows: one file of it, and the forms' own finders. */
#ifndef SLM_DATA_ROWS_H
#define SLM_DATA_ROWS_H

#include "data/data.h"

enum {
    ROW_MOST = 1 << 28,  /* bytes of a row; a text without an end is cut long before */
    TEXT_PART = 1 << 26, /* a text longer than this is cut at the next end of a paragraph */
    CSV_FIELDS = 4096
};

struct row_file {
    char *path;
    struct slm_map map;
    bool open;
    enum slm_data_form form;
    char delimiter;
    size_t begin; /* of the first row: behind a byte order mark and a header */
    int64_t begin_line;
    bool single;              /* JSON: the whole file is one row, or the array in one object */
    struct csv_field *column; /* (n_columns) of the header */
    int n_columns;
};

/* A field of a CSV record, unquoted. */
struct csv_field {
    const char *s; /* in the file, or in memory of its own when quotes were doubled */
    size_t n;
    char *own;
};

struct slm_rows {
    slm_runtime *rt;
    struct row_file *file;
    int n_files;
    size_t cap;
    struct slm_rows_opts o;
    char *separator; /* unescaped; NULL: none, "" blank lines */
    size_t n_separator;
    uint64_t bytes, before; /* of all files; of those done */
    int at_file;
    size_t at; /* in the current file */
    int64_t line, number;
};

/* The row that begins at or behind `at`: 1 with row->raw and the place behind in *next, 0: none
 * left, else an error. lines: line ends passed over, within and before. */
struct row_place {
    const char *s;
    size_t n, at, next;
    int64_t line; /* in: of `at`; out: of `next` */
};
int slm_row_csv_next(const struct row_file *f, struct row_place *p, struct slm_row *row,
                     slm_err *err);
int slm_row_json_next(const struct row_file *f, struct row_place *p, struct slm_row *row,
                      slm_err *err);
int slm_row_text_next(const slm_rows *r, struct row_place *p, struct slm_row *row);

/* Reads the header at f->begin. */
int slm_row_csv_header(slm_runtime *rt, struct row_file *f, char delimiter, slm_err *err);
void slm_row_csv_release(slm_runtime *rt, struct row_file *f);
int slm_row_csv_parse(slm_runtime *rt, const struct row_file *f, struct slm_row *row);

/* Where an array of rows begins in a JSON file; sets begin, single. */
int slm_row_json_begin(struct row_file *f, slm_err *err);

/* Line ends in [s, s + n). */
int64_t slm_row_lines(const char *s, size_t n);
int slm_row_bad(struct slm_row *row, int state, const char *fmt, ...) SLM_PRINTF(3, 4);

#endif
