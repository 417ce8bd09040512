/* SQLite, as far as the record of runs needs it: the one door to the library. */
#ifndef SLM_RUNS_SQL_H
#define SLM_RUNS_SQL_H

#include <stdbool.h>
#include "base/base.h"

struct slm_sql;  /* an open file */
struct slm_stmt; /* a prepared statement; belongs to its file, finalise it first */

enum slm_sql_mode {
    SLM_SQL_READ,  /* must be there */
    SLM_SQL_WRITE, /* must be there */
    SLM_SQL_MAKE   /* made where there is none */
};
/* path stands in every message and must outlive the handle. Errors by kind: SLM_E_NOTFOUND,
 * SLM_E_IO (cannot be opened, read-only, disk full), SLM_E_FORMAT (damaged), SLM_E_LIMIT
 * (another program holds it for longer than the wait), SLM_E_NOMEM. */
int slm_sql_open(struct slm_sql **out, slm_runtime *rt, const char *path,
                 enum slm_sql_mode mode, slm_err *err);
void slm_sql_close(struct slm_sql **db);
/* How long a call waits for another writer. */
void slm_sql_wait(struct slm_sql *db, int milliseconds);
/* Whether the file at path is another one by now, or none. */
bool slm_sql_moved(struct slm_sql *db);
int slm_sql_run(struct slm_sql *db, const char *text, slm_err *err);

int slm_sql_prepare(struct slm_stmt **out, struct slm_sql *db, const char *text, slm_err *err);
void slm_sql_end(struct slm_stmt **s);
/* Places count from 1. Text is borrowed until the statement is reset; NULL binds NULL. */
void slm_sql_bind_text(struct slm_stmt *s, int at, const char *text);
void slm_sql_bind_int(struct slm_stmt *s, int at, int64_t v);
void slm_sql_bind_real(struct slm_stmt *s, int at, double v); /* NaN: NULL */
/* 1: a row is there, 0: no more, negative: an error. */
int slm_sql_step(struct slm_stmt *s, slm_err *err);
/* Ready to be bound and stepped again. */
void slm_sql_again(struct slm_stmt *s);
/* step and again, for what gives no rows. */
int slm_sql_do(struct slm_stmt *s, slm_err *err);
/* Columns of the row count from 0. Text: "" for NULL, valid until the next step. */
const char *slm_sql_text(struct slm_stmt *s, int col);
int64_t slm_sql_int(struct slm_stmt *s, int col, int64_t otherwise); /* for NULL */
double slm_sql_real(struct slm_stmt *s, int col);                    /* NaN for NULL */

#endif
