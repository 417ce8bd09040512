/* The recorder. What it is told waits in memory and is written once a second in one
 * transaction, so that neither a slow disk nor another writer holds a step up for longer than a
 * moment; what could not be written waits for the next try. Only when the file is no place for
 * this (damaged, read-only, a later slm's) is it given up. In either case one warning, and the
 * run goes on. */
#include "slm/runs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runs/schema.h"

enum { MOST_WAITING = 1 << 20, MOST_NAMES = 256 };

struct item { /* a number (name), a sample (a, b) or a file (a, b, c) */
    enum { NUMBER, SAMPLE, FILE_MADE } kind;
    int name;
    int64_t step;
    double value;
    char *text[3];
};

struct slm_recorder {
    slm_runtime *rt;
    char id[SLM_RUN_ID];
    slm_run_info info; /* its texts lie in `memory` */
    struct slm_arena memory;
    struct slm_process self;
    char *path;
    struct slm_sql *db;
    struct slm_stmt *put_number, *put_sample, *put_file, *beat;
    int64_t row; /* of the run in the file; 0: not there yet */
    int64_t names[MOST_NAMES];
    char *name[MOST_NAMES];
    int n_names;
    struct item *item;
    size_t n, cap, lost;
    double next, pause; /* when to write next; pause after a failure */
    bool begun, dead, warned, ended;
};

void slm_run_info_init(slm_run_info *i)
{
    memset(i, 0, sizeof *i);
    i->parent_step = -1;
}

/* ---- the file ---- */

static void close_file(slm_recorder *r)
{
    slm_sql_end(&r->put_number);
    slm_sql_end(&r->put_sample);
    slm_sql_end(&r->put_file);
    slm_sql_end(&r->beat);
    slm_sql_close(&r->db);
    r->row = 0;
    memset(r->names, 0, sizeof r->names);
}

static int open_file(slm_recorder *r, slm_err *err)
{
    if (r->db)
        return 0;
    int rc = slm_schema_open(&r->db, r->rt, r->path, SLM_SQL_MAKE, err);
    if (!rc)
        rc = slm_sql_prepare(&r->put_number, r->db,
                             "INSERT OR REPLACE INTO metrics(run, name, step, value)"
                             " VALUES(?1, ?2, ?3, ?4)",
                             err);
    if (!rc)
        rc = slm_sql_prepare(&r->put_sample, r->db,
                             "INSERT INTO samples(run, step, prompt, text)"
                             " VALUES(?1, ?2, ?3, ?4)",
                             err);
    if (!rc)
        rc = slm_sql_prepare(&r->put_file, r->db,
                             "INSERT INTO files(run, step, kind, path, hash)"
                             " VALUES(?1, ?2, ?3, ?4, ?5)",
                             err);
    if (!rc)
        rc = slm_sql_prepare(&r->beat, r->db,
                             "UPDATE runs SET heard = ?2, state = ?3, note = ?4, ended = ?5"
                             " WHERE seq = ?1",
                             err);
    if (rc)
        close_file(r);
    return rc;
}

static int insert_run(slm_recorder *r, slm_err *err)
{
    const slm_run_info *i = &r->info;
    const char *const text[] = {r->id,         i->name,      i->kind,      i->command,
                                i->config,     i->data,      i->data_hash, i->base,
                                i->base_hash,  i->parent,    i->output,    i->machine,
                                slm_version(), r->self.host, r->self.place};
    struct slm_stmt *s;
    int rc = slm_sql_prepare(
        &s, r->db,
        "INSERT INTO runs(id, name, kind, command, config, data, data_hash, base, base_hash,"
        " parent, output, machine, version, host, place, started, heard, state, parent_step,"
        " pid, pid_start) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,"
        " ?15, ?16, ?17, 'running', ?18, ?19, ?20) ON CONFLICT(id) DO NOTHING",
        err);
    if (rc)
        return rc;
    for (int k = 0; k < 15; k++)
        slm_sql_bind_text(s, k + 1, text[k]);
    slm_sql_bind_int(s, 16, i->started);
    slm_sql_bind_int(s, 17, slm_clock_utc());
    if (i->parent_step >= 0)
        slm_sql_bind_int(s, 18, i->parent_step);
    slm_sql_bind_int(s, 19, r->self.pid);
    slm_sql_bind_int(s, 20, r->self.start);
    rc = slm_sql_do(s, err);
    slm_sql_end(&s);
    if (!rc)
        rc = slm_sql_prepare(&s, r->db, "SELECT seq FROM runs WHERE id = ?1", err);
    if (rc)
        return rc;
    slm_sql_bind_text(s, 1, r->id);
    rc = slm_sql_step(s, err);
    r->row = rc == 1 ? slm_sql_int(s, 0, 0) : 0;
    slm_sql_end(&s);
    return rc < 0 ? rc : 0;
}

/* The file's number for a name. */
static int number_of_name(slm_recorder *r, int name, int64_t *out, slm_err *err)
{
    struct slm_stmt *s;
    int rc = slm_sql_prepare(&s, r->db, "INSERT OR IGNORE INTO names(name) VALUES(?1)", err);
    if (rc)
        return rc;
    slm_sql_bind_text(s, 1, r->name[name]);
    rc = slm_sql_do(s, err);
    slm_sql_end(&s);
    if (!rc)
        rc = slm_sql_prepare(&s, r->db, "SELECT n FROM names WHERE name = ?1", err);
    if (rc)
        return rc;
    slm_sql_bind_text(s, 1, r->name[name]);
    rc = slm_sql_step(s, err);
    if (rc == 1)
        *out = slm_sql_int(s, 0, 0);
    slm_sql_end(&s);
    return rc < 0 ? rc : 0;
}

static int put_item(slm_recorder *r, const struct item *m, slm_err *err)
{
    struct slm_stmt *s = m->kind == NUMBER   ? r->put_number
                         : m->kind == SAMPLE ? r->put_sample
                                             : r->put_file;
    slm_sql_bind_int(s, 1, r->row);
    if (m->kind == NUMBER) {
        if (!r->names[m->name]) {
            int rc = number_of_name(r, m->name, &r->names[m->name], err);
            if (rc)
                return rc;
        }
        slm_sql_bind_int(s, 2, r->names[m->name]);
        slm_sql_bind_int(s, 3, m->step);
        slm_sql_bind_real(s, 4, m->value);
    } else {
        slm_sql_bind_int(s, 2, m->step);
        for (int k = 0; k < (m->kind == SAMPLE ? 2 : 3); k++)
            slm_sql_bind_text(s, 3 + k, m->text[k]);
    }
    return slm_sql_do(s, err);
}

struct state {
    const char *name, *note;
    int64_t ended; /* 0: it goes on */
};

/* All that waits, in one transaction. */
static int write_all(slm_recorder *r, const struct state *st, slm_err *err)
{
    int rc = open_file(r, err);
    if (rc)
        return rc;
    slm_sql_wait(r->db, st->ended || !r->begun ? 5000 : 250);
    r->begun = true;
    rc = slm_sql_run(r->db, "BEGIN IMMEDIATE", err);
    if (rc)
        return rc;
    if (!r->row)
        rc = insert_run(r, err);
    for (size_t i = 0; !rc && i < r->n; i++)
        rc = put_item(r, &r->item[i], err);
    if (!rc) {
        slm_sql_bind_int(r->beat, 1, r->row);
        slm_sql_bind_int(r->beat, 2, slm_clock_utc());
        slm_sql_bind_text(r->beat, 3, st->name);
        slm_sql_bind_text(r->beat, 4, st->note);
        if (st->ended)
            slm_sql_bind_int(r->beat, 5, st->ended);
        rc = slm_sql_do(r->beat, err);
    }
    if (!rc)
        rc = slm_sql_run(r->db, "COMMIT", err);
    if (!rc)
        return 0;
    slm_sql_run(r->db, "ROLLBACK", NULL);
    memset(r->names, 0, sizeof r->names); /* which may have been rolled back, and the row too */
    r->row = 0;
    return rc;
}

/* ---- what waits ---- */

static void drop_items(slm_recorder *r)
{
    for (size_t i = 0; i < r->n; i++)
        for (int k = 0; k < 3; k++)
            slm_free(r->rt, r->item[i].text[k]);
    r->n = 0;
}

static void warn(slm_recorder *r, const slm_err *err)
{
    if (!r->warned)
        slm_log(r->rt, SLM_LOG_WARN,
                r->dead ? "%s; this run goes on without being recorded"
                        : "%s; this run goes on, and its record is tried again later",
                err->msg);
    r->warned = true;
}

static bool hopeless(int rc)
{
    return rc == SLM_E_FORMAT || rc == SLM_E_UNSUPPORTED || rc == SLM_E_NOTFOUND;
}

static void flush(slm_recorder *r, const struct state *st)
{
    slm_err err = {0};
    if (r->dead)
        return;
    if (r->db && r->row &&
        slm_sql_moved(r->db)) { /* deleted or replaced: begin it anew there */
        slm_log(r->rt, SLM_LOG_WARN,
                "%s: was moved or deleted while this run is recorded; what comes now is "
                "recorded in a new file there",
                r->path);
        close_file(r);
    }
    int rc = write_all(r, st, &err);
    double now = slm_clock_seconds();
    if (!rc) {
        if (r->warned)
            slm_log(r->rt, SLM_LOG_WARN, "%s: this run is recorded again", r->path);
        r->warned = false;
        drop_items(r);
        r->pause = 1;
    } else {
        r->dead = hopeless(rc) || (rc == SLM_E_IO && !r->db);
        warn(r, &err);
        r->pause = r->pause * 2 > 60 ? 60 : r->pause * 2;
        if (r->dead) {
            close_file(r);
            drop_items(r);
        }
    }
    r->next = now + r->pause;
}

static const struct state running = {.name = "running"};

void slm_recorder_tick(slm_recorder *r)
{
    if (!r->dead && !r->ended && slm_clock_seconds() >= r->next)
        flush(r, &running);
}

static char *copy(slm_recorder *r, const char *s)
{
    size_t n = s ? strlen(s) + 1 : 0;
    char *p = n ? slm_alloc(r->rt, SLM_MEM_RUNS, n) : NULL;
    if (p)
        memcpy(p, s, n);
    return p;
}

static void add(slm_recorder *r, const struct item *m)
{
    if (r->dead || r->ended)
        return;
    if (r->n >= MOST_WAITING ||
        slm_grow(r->rt, SLM_MEM_RUNS, (void **)&r->item, r->n, &r->cap, sizeof *r->item)) {
        if (!r->lost++)
            slm_log(r->rt, SLM_LOG_WARN,
                    "%s: too much waits to be recorded; numbers from step %lld on are lost",
                    r->path, (long long)m->step);
        for (int k = 0; k < 3; k++)
            slm_free(r->rt, m->text[k]);
    } else {
        r->item[r->n++] = *m;
    }
    slm_recorder_tick(r);
}

void slm_recorder_metric(slm_recorder *r, int64_t step, const char *name, double value)
{
    int at = 0;
    while (at < r->n_names && strcmp(r->name[at], name))
        at++;
    if (at == r->n_names) {
        if (at == MOST_NAMES || !(r->name[at] = copy(r, name)))
            return;
        r->n_names++;
    }
    add(r, &(struct item){.kind = NUMBER, .name = at, .step = step, .value = value});
}

void slm_recorder_sample(slm_recorder *r, int64_t step, const char *prompt, const char *text)
{
    add(r,
        &(struct item){.kind = SAMPLE, .step = step, .text = {copy(r, prompt), copy(r, text)}});
}

void slm_recorder_file(slm_recorder *r, int64_t step, const char *kind, const char *path,
                       const char *hash)
{
    add(r, &(struct item){.kind = FILE_MADE,
                          .step = step,
                          .text = {copy(r, kind), copy(r, path), copy(r, hash)}});
}

/* ---- beginning and end ---- */

static int keep_text(slm_recorder *r, const char **at, slm_err *err)
{
    if (!*at)
        return 0;
    size_t n = strlen(*at);
    *at = slm_arena_strndup(&r->memory, *at, n);
    return *at ? 0 : slm_fail_mem(err, "the record of a run", n);
}

/* As a commit's name: of all that the run is, so that equal names are equal beginnings. */
static void make_id(slm_recorder *r)
{
    const slm_run_info *i = &r->info;
    const char *const text[] = {i->name,   i->kind,      i->command,   i->config,
                                i->data,   i->data_hash, i->base,      i->base_hash,
                                i->parent, i->output,    r->self.place};
    int64_t number[] = {i->parent_step, i->started, r->self.pid, r->self.start};
    struct slm_sha256 h;
    char hex[SLM_SHA256_HEX];
    slm_sha256_init(&h);
    for (size_t k = 0; k < sizeof text / sizeof *text; k++)
        slm_sha256_put(&h, text[k] ? text[k] : "", text[k] ? strlen(text[k]) + 1 : 1);
    slm_sha256_put(&h, number, sizeof number);
    slm_sha256_hex(&h, hex);
    memcpy(r->id, hex, SLM_RUN_ID - 1);
}

static int check_config(const slm_run_info *i, slm_err *err)
{
    slm_json *j;
    slm_err why = {0};
    int rc = slm_json_parse(&j, i->config, strlen(i->config), "config of the run", &why);
    if (rc)
        return slm_fail(err, rc == SLM_E_NOMEM ? rc : SLM_E_ARG, "%s", why.msg);
    if (!slm_json_is(j, SLM_JSON_OBJECT))
        rc = slm_fail(err, SLM_E_ARG, "config of the run: no JSON object");
    slm_json_free(j);
    return rc;
}

int slm_recorder_open(slm_recorder **out, slm_runtime *rt, const char *path,
                      const slm_run_info *info, slm_err *err)
{
    *out = NULL;
    slm_recorder *r = slm_zalloc(rt, SLM_MEM_RUNS, sizeof *r);
    if (!r)
        return slm_fail_mem(err, "the record of a run", sizeof *r);
    r->rt = rt;
    r->info = *info;
    r->pause = 1;
    slm_arena_init(&r->memory, rt, SLM_MEM_RUNS);
    slm_run_info *i = &r->info;
    if (!i->config)
        i->config = "{}";
    if (!i->name)
        i->name = "";
    if (!i->kind)
        i->kind = "train";
    if (!i->started)
        i->started = slm_clock_utc();
    const char **const text[] = {&i->name,   &i->kind,      &i->command, &i->config,
                                 &i->data,   &i->data_hash, &i->base,    &i->base_hash,
                                 &i->parent, &i->output,    &i->machine};
    int rc = check_config(i, err);
    for (size_t k = 0; !rc && k < sizeof text / sizeof *text; k++)
        rc = keep_text(r, text[k], err);
    const char *kept = path;
    if (!rc)
        rc = keep_text(r, &kept, err);
    if (rc) {
        r->ended = true;
        slm_recorder_close(&r);
        return rc;
    }
    slm_process_self(&r->self);
    make_id(r);
    r->path = (char *)(uintptr_t)kept;
    r->dead = !path;
    flush(r, &running);
    *out = r;
    return 0;
}

const char *slm_recorder_id(const slm_recorder *r) { return r->id; }
int slm_recorder_works(const slm_recorder *r) { return !r->dead; }

void slm_recorder_end(slm_recorder *r, const char *state, const char *note)
{
    if (r->ended)
        return;
    flush(r, &(struct state){state, note, slm_clock_utc()});
    r->ended = true;
    if (!r->dead && r->warned)
        slm_log(r->rt, SLM_LOG_WARN, "%s: the end of this run could not be recorded", r->path);
    if (r->lost)
        slm_log(r->rt, SLM_LOG_WARN, "%s: %zu numbers of this run were lost", r->path, r->lost);
}

void slm_recorder_close(slm_recorder **rec)
{
    slm_recorder *r = *rec;
    if (!r)
        return;
    if (!r->ended)
        slm_recorder_end(r, "failed", NULL);
    close_file(r);
    drop_items(r);
    slm_free(r->rt, r->item);
    for (int k = 0; k < r->n_names; k++)
        slm_free(r->rt, r->name[k]);
    slm_arena_release(&r->memory);
    slm_free(r->rt, r);
    *rec = NULL;
}
