/* The tables. Each row of `steps` brings a file from one version to the next, in a transaction:
 * a file of any earlier slm is brought up when it is next written, and a row that was released
 * never changes. A file of an earlier version is read as it stands, so queries use what all
 * versions have; one of a later version is refused, as its meaning is not known. */
#include "runs/schema.h"

#include <stdio.h>

/* "slmr", where SQLite keeps whose file this is */
enum { OWNER = 0x736c6d72 };

static const char *const steps[] = {
    "CREATE TABLE runs(seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL,"
    " kind TEXT NOT NULL, state TEXT NOT NULL, started INTEGER NOT NULL, ended INTEGER,"
    " heard INTEGER NOT NULL, note TEXT, command TEXT, config TEXT NOT NULL, data TEXT,"
    " data_hash TEXT, base TEXT, base_hash TEXT, parent TEXT, parent_step INTEGER, output TEXT,"
    " machine TEXT, version TEXT, host TEXT, place TEXT, pid INTEGER, pid_start INTEGER);"
    "CREATE INDEX runs_by_name ON runs(name);"
    "CREATE INDEX runs_by_output ON runs(output);"
    "CREATE TABLE names(n INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    "CREATE TABLE metrics(run INTEGER NOT NULL REFERENCES runs(seq) ON DELETE CASCADE,"
    " name INTEGER NOT NULL REFERENCES names(n), step INTEGER NOT NULL, value REAL,"
    " PRIMARY KEY(run, name, step)) WITHOUT ROWID;"
    "CREATE TABLE samples(run INTEGER NOT NULL REFERENCES runs(seq) ON DELETE CASCADE,"
    " step INTEGER NOT NULL, prompt TEXT, text TEXT);"
    "CREATE INDEX samples_by_run ON samples(run);"
    "CREATE TABLE files(run INTEGER NOT NULL REFERENCES runs(seq) ON DELETE CASCADE,"
    " step INTEGER NOT NULL, kind TEXT NOT NULL, path TEXT, hash TEXT);"
    "CREATE INDEX files_by_run ON files(run);"
    "CREATE INDEX files_by_hash ON files(hash);",
};
enum { VERSION = (int)(sizeof steps / sizeof *steps) };

/* One number that a statement gives. */
static int number(struct slm_sql *db, const char *text, int64_t *out, slm_err *err)
{
    struct slm_stmt *s;
    int rc = slm_sql_prepare(&s, db, text, err);
    if (rc)
        return rc;
    rc = slm_sql_step(s, err);
    *out = rc == 1 ? slm_sql_int(s, 0, 0) : 0;
    slm_sql_end(&s);
    return rc < 0 ? rc : 0;
}

/* Whose file and which version: *version 0 for an empty one. The owner is read last: another
 * process may bring the tables up meanwhile, which shows all at once. */
static int look(struct slm_sql *db, const char *path, int64_t *version, slm_err *err)
{
    int64_t owner = 0, tables = 0;
    int rc = number(db, "PRAGMA user_version", version, err);
    if (!rc)
        rc = number(db, "SELECT count(*) FROM sqlite_master", &tables, err);
    if (!rc)
        rc = number(db, "PRAGMA application_id", &owner, err);
    if (rc)
        return rc;
    if (owner != OWNER && (owner || *version || tables))
        return slm_fail(err, SLM_E_FORMAT, "%s: a database, but no record of runs", path);
    if (*version > VERSION)
        return slm_fail(err, SLM_E_UNSUPPORTED,
                        "%s: written by a later slm (version %lld of its tables, this one "
                        "knows %d)",
                        path, (long long)*version, (int)VERSION);
    return 0;
}

/* The look is taken again inside: another process may have brought it up meanwhile. */
static int bring_up(struct slm_sql *db, const char *path, slm_err *err)
{
    char text[96];
    int64_t version = 0;
    int rc = slm_sql_run(db, "BEGIN IMMEDIATE", err);
    if (rc)
        return rc;
    rc = look(db, path, &version, err);
    for (int64_t v = version < 0 ? 0 : version; !rc && v < VERSION; v++)
        rc = slm_sql_run(db, steps[v], err);
    if (!rc) {
        snprintf(text, sizeof text, "PRAGMA application_id=%d; PRAGMA user_version=%d",
                 (int)OWNER, (int)VERSION);
        rc = slm_sql_run(db, text, err);
    }
    if (rc) {
        slm_sql_run(db, "ROLLBACK", NULL);
        return rc;
    }
    return slm_sql_run(db, "COMMIT", err);
}

/* Readers beside a writer, and commits that do not wait for the disk. The mode stays with the
 * file; to change it one must be alone there, which is no matter: then another has changed it,
 * or the next one will. */
static int quick_commits(struct slm_sql *db, slm_err *err)
{
    slm_err busy = {0};
    int rc = slm_sql_run(db, "PRAGMA journal_mode=WAL", &busy);
    if (rc && rc != SLM_E_LIMIT)
        return slm_fail(err, rc, "%s", busy.msg);
    return slm_sql_run(db, "PRAGMA synchronous=NORMAL", err);
}

int slm_schema_open(struct slm_sql **out, slm_runtime *rt, const char *path,
                    enum slm_sql_mode mode, slm_err *err)
{
    int64_t version = 0;
    int rc = slm_sql_open(out, rt, path, mode, err);
    if (rc)
        return rc;
    rc = look(*out, path, &version, err);
    if (!rc && mode == SLM_SQL_MAKE)
        rc = quick_commits(*out, err);
    if (!rc && mode != SLM_SQL_READ && version < VERSION)
        rc = bring_up(*out, path, err);
    if (!rc && mode == SLM_SQL_READ && version < 1)
        rc = slm_fail(err, SLM_E_FORMAT, "%s: an empty database, no record of runs", path);
    if (rc)
        slm_sql_close(out);
    return rc;
}
