/* SQLite behind a dozen calls, with its errors turned into ours. A file may come from anywhere:
 * it is opened with all that SQLite has against hostile schemas, and its rows are bounded. */
#include "runs/sql.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <sqlite3.h>

struct slm_sql {
    slm_runtime *rt;
    sqlite3 *db;
    const char *path;
};
struct slm_stmt {
    struct slm_sql *sql;
    sqlite3_stmt *s;
};

static int fail_sql(struct slm_sql *q, int rc, slm_err *err)
{
    int code = SLM_E_IO;
    switch (rc & 0xff) {
    case SQLITE_NOMEM: code = SLM_E_NOMEM; break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: code = SLM_E_LIMIT; break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_MISMATCH:
    case SQLITE_ERROR: code = SLM_E_FORMAT; break;
    default: break;
    }
    if (code == SLM_E_LIMIT)
        return slm_fail(err, code, "%s: another program holds it", q->path);
    const char *more = q->db && (sqlite3_errcode(q->db) & 0xff) == (rc & 0xff)
                           ? sqlite3_errmsg(q->db)
                           : sqlite3_errstr(rc);
    return slm_fail(err, code, "%s: %s", q->path, more);
}

/* For reading where not even the files beside the database may be made (a read-only folder):
 * as a file that nobody changes. Only when no log of changes lies beside it. */
static int open_still(struct slm_sql *q, slm_err *err)
{
    struct slm_buf uri;
    slm_buf_init(&uri, q->rt, SLM_MEM_RUNS, 65536);
    slm_buf_printf(&uri, "%s-wal", q->path);
    struct slm_map log = {0};
    bool logged = slm_path_is_file(uri.s) && (slm_map_open(&log, uri.s, NULL) || log.size);
    slm_map_close(&log);
    slm_buf_reset(&uri);
    slm_buf_puts(&uri, "file:");
    for (const char *p = q->path; *p; p++)
        if (*p == '?' || *p == '#' || *p == '%')
            slm_buf_printf(&uri, "%%%02x", (unsigned)*p);
        else
            slm_buf_putc(&uri, *p);
    slm_buf_puts(&uri, "?immutable=1");
    int rc = slm_buf_check(&uri, q->path, err);
    if (!rc && logged)
        rc = slm_fail(err, SLM_E_IO,
                      "%s: cannot be read here: its folder is read-only and "
                      "changes wait in %s-wal",
                      q->path, q->path);
    if (!rc) {
        sqlite3_close(q->db);
        q->db = NULL;
        int e = sqlite3_open_v2(uri.s, &q->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
        if (e)
            rc = fail_sql(q, e, err);
    }
    slm_buf_release(&uri);
    return rc;
}

static void guard(sqlite3 *db)
{
    sqlite3_extended_result_codes(db, 1);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, 1 << 26);
    sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_busy_timeout(db, 5000);
}

int slm_sql_open(struct slm_sql **out, slm_runtime *rt, const char *path,
                 enum slm_sql_mode mode, slm_err *err)
{
    static const int flags[] = {SQLITE_OPEN_READONLY, SQLITE_OPEN_READWRITE,
                                SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE};
    *out = NULL;
    if (slm_path_is_dir(path))
        return slm_fail(err, SLM_E_IO, "%s: is a folder", path);
    if (mode != SLM_SQL_MAKE && !slm_path_is_file(path))
        return slm_fail(err, SLM_E_NOTFOUND, "%s: no such file", path);
    struct slm_sql *q = slm_zalloc(rt, SLM_MEM_RUNS, sizeof *q);
    if (!q)
        return slm_fail_mem(err, path, sizeof *q);
    *q = (struct slm_sql){.rt = rt, .path = path};
    int e = sqlite3_open_v2(path, &q->db, flags[mode], NULL), rc = 0;
    if (!e) {
        guard(q->db);
        e = sqlite3_exec(q->db, "PRAGMA cell_size_check=1; PRAGMA schema_version", NULL, NULL,
                         NULL);
    }
    if (mode == SLM_SQL_READ &&
        ((e & 0xff) == SQLITE_CANTOPEN || (e & 0xff) == SQLITE_READONLY)) {
        rc = open_still(q, err);
        if (!rc)
            guard(q->db);
    } else if (e) {
        rc = fail_sql(q, e, err);
    }
    if (!rc && mode != SLM_SQL_READ && sqlite3_db_readonly(q->db, "main") == 1)
        rc = slm_fail(err, SLM_E_IO, "%s: may only be read", path);
    if (rc)
        slm_sql_close(&q);
    *out = q;
    return rc;
}

void slm_sql_close(struct slm_sql **db)
{
    if (!*db)
        return;
    sqlite3_close((*db)->db);
    slm_free((*db)->rt, *db);
    *db = NULL;
}

void slm_sql_wait(struct slm_sql *db, int ms) { sqlite3_busy_timeout(db->db, ms); }

bool slm_sql_moved(struct slm_sql *db)
{
    int moved = 0;
    return !sqlite3_file_control(db->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) && moved;
}

int slm_sql_run(struct slm_sql *db, const char *text, slm_err *err)
{
    int e = sqlite3_exec(db->db, text, NULL, NULL, NULL);
    return e ? fail_sql(db, e, err) : 0;
}

int slm_sql_prepare(struct slm_stmt **out, struct slm_sql *db, const char *text, slm_err *err)
{
    struct slm_stmt *s = slm_zalloc(db->rt, SLM_MEM_RUNS, sizeof *s);
    *out = NULL;
    if (!s)
        return slm_fail_mem(err, db->path, sizeof *s);
    s->sql = db;
    int e = sqlite3_prepare_v3(db->db, text, -1, SQLITE_PREPARE_PERSISTENT, &s->s, NULL);
    if (e) {
        int rc = fail_sql(db, e, err);
        slm_sql_end(&s);
        return rc;
    }
    *out = s;
    return 0;
}

void slm_sql_end(struct slm_stmt **s)
{
    if (!*s)
        return;
    sqlite3_finalize((*s)->s);
    slm_free((*s)->sql->rt, *s);
    *s = NULL;
}

void slm_sql_bind_text(struct slm_stmt *s, int at, const char *text)
{
    if (text)
        sqlite3_bind_text(s->s, at, text, -1, SQLITE_STATIC);
    else
        sqlite3_bind_null(s->s, at);
}

void slm_sql_bind_int(struct slm_stmt *s, int at, int64_t v)
{
    sqlite3_bind_int64(s->s, at, v);
}

void slm_sql_bind_real(struct slm_stmt *s, int at, double v)
{
    sqlite3_bind_double(s->s, at, v); /* which makes NULL of NaN */
}

int slm_sql_step(struct slm_stmt *s, slm_err *err)
{
    int e = sqlite3_step(s->s);
    return e == SQLITE_ROW ? 1 : e == SQLITE_DONE ? 0 : fail_sql(s->sql, e, err);
}

void slm_sql_again(struct slm_stmt *s)
{
    sqlite3_reset(s->s);
    sqlite3_clear_bindings(s->s);
}

int slm_sql_do(struct slm_stmt *s, slm_err *err)
{
    int rc = slm_sql_step(s, err);
    slm_sql_again(s);
    return rc < 0 ? rc : 0;
}

const char *slm_sql_text(struct slm_stmt *s, int col)
{
    const unsigned char *t = sqlite3_column_text(s->s, col);
    return t ? (const char *)t : "";
}

int64_t slm_sql_int(struct slm_stmt *s, int col, int64_t otherwise)
{
    return sqlite3_column_type(s->s, col) == SQLITE_NULL ? otherwise
                                                         : sqlite3_column_int64(s->s, col);
}

double slm_sql_real(struct slm_stmt *s, int col)
{
    return sqlite3_column_type(s->s, col) == SQLITE_NULL ? (double)NAN
                                                         : sqlite3_column_double(s->s, col);
}
