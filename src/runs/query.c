/* Reading the record: runs, their numbers, texts and files. A run that says "running" is only
 * that while its process lives; where nobody can tell (another machine wrote it), while it was
 * heard of within five minutes. Else it is shown as "stopped": the file itself is not changed.
 */
#include "slm/runs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runs/schema.h"

enum { SILENCE = 300 * 1000 };

struct slm_runs {
    slm_runtime *rt;
    struct slm_sql *db;
    char *path;
};

#define LAST(name)                                                                             \
    "(SELECT value FROM metrics WHERE run = runs.seq AND name = (SELECT n FROM names WHERE "   \
    "name = '" name "') ORDER BY step DESC LIMIT 1)"
#define WHOLE                                                                                  \
    "SELECT id, name, kind, command, config, data, data_hash, base, base_hash, parent,"        \
    " output, machine, state, note, host, version, place, parent_step, started, pid,"          \
    " pid_start, ended, heard,"                                                                \
    " (SELECT max(step) FROM metrics WHERE run = runs.seq AND name ="                          \
    "  (SELECT n FROM names WHERE name = 'loss')), " LAST("loss") ", " LAST(                   \
        "eval_loss") ","                                                                       \
                     " (SELECT min(value) FROM metrics WHERE run = runs.seq AND name ="        \
                     "  (SELECT n FROM names WHERE name = 'eval_loss')) FROM runs "

int slm_runs_open(slm_runs **out, slm_runtime *rt, const char *path, int write, slm_err *err)
{
    *out = NULL;
    slm_runs *r = slm_zalloc(rt, SLM_MEM_RUNS, sizeof *r);
    size_t n = strlen(path) + 1;
    if (!r || !(r->path = slm_alloc(rt, SLM_MEM_RUNS, n))) {
        slm_free(rt, r);
        return slm_fail_mem(err, path, n);
    }
    memcpy(r->path, path, n);
    r->rt = rt;
    int rc = slm_schema_open(&r->db, rt, r->path, write ? SLM_SQL_WRITE : SLM_SQL_READ, err);
    if (rc)
        slm_runs_close(&r);
    *out = r;
    return rc;
}

void slm_runs_close(slm_runs **r)
{
    if (!*r)
        return;
    slm_sql_close(&(*r)->db);
    slm_free((*r)->rt, (*r)->path);
    slm_free((*r)->rt, *r);
    *r = NULL;
}

/* ---- lists and what their texts lie in ---- */

static struct slm_arena *arena_new(slm_runtime *rt, slm_err *err)
{
    struct slm_arena *a = slm_alloc(rt, SLM_MEM_RUNS, sizeof *a);
    if (!a)
        slm_fail_mem(err, "the record of runs", sizeof *a);
    else
        slm_arena_init(a, rt, SLM_MEM_RUNS);
    return a;
}

static void arena_free(slm_runtime *rt, void *a)
{
    if (a)
        slm_arena_release(a);
    slm_free(rt, a);
}

void slm_run_list_release(slm_run_list *l)
{
    if (!l->rt)
        return;
    slm_free(l->rt, l->v);
    arena_free(l->rt, l->memory);
    memset(l, 0, sizeof *l);
}

void slm_run_notes_release(slm_run_notes *n)
{
    if (!n->rt)
        return;
    slm_free(n->rt, n->v);
    arena_free(n->rt, n->memory);
    memset(n, 0, sizeof *n);
}

void slm_run_series_release(slm_run_series *s)
{
    if (!s->rt)
        return;
    slm_free(s->rt, s->step);
    slm_free(s->rt, s->value);
    memset(s, 0, sizeof *s);
}

static const char *text(struct slm_arena *a, struct slm_stmt *s, int col, bool *ok)
{
    const char *t = slm_arena_strdup(a, slm_sql_text(s, col));
    *ok = *ok && t;
    return t;
}

/* ---- runs ---- */

static const char *true_state(const slm_run_record *v, const char *place, int64_t pid_start)
{
    struct slm_process p = {.pid = v->pid, .start = pid_start};
    if (strcmp(v->state, "running"))
        return v->state;
    snprintf(p.place, sizeof p.place, "%s", place);
    int alive = slm_process_alive(&p);
    if (alive < 0)
        alive = slm_clock_utc() - v->heard < SILENCE;
    return alive ? v->state : "stopped";
}

static bool read_run(slm_run_record *v, struct slm_arena *a, struct slm_stmt *s)
{
    bool ok = true;
    const char **const at[] = {
        &v->info.name,      &v->info.kind, &v->info.command,   &v->info.config, &v->info.data,
        &v->info.data_hash, &v->info.base, &v->info.base_hash, &v->info.parent, &v->info.output,
        &v->info.machine,   &v->state,     &v->note,           &v->host,        &v->version};
    memset(v, 0, sizeof *v);
    snprintf(v->id, sizeof v->id, "%s", slm_sql_text(s, 0));
    for (int i = 0; i < 15; i++)
        *at[i] = text(a, s, i + 1, &ok);
    v->info.parent_step = slm_sql_int(s, 17, -1);
    v->info.started = slm_sql_int(s, 18, 0);
    v->pid = slm_sql_int(s, 19, 0);
    v->ended = slm_sql_int(s, 21, 0);
    v->heard = slm_sql_int(s, 22, 0);
    v->steps = slm_sql_int(s, 23, -1);
    v->loss = slm_sql_real(s, 24);
    v->eval_loss = slm_sql_real(s, 25);
    v->best_eval = slm_sql_real(s, 26);
    if (ok)
        v->state = true_state(v, slm_sql_text(s, 16), slm_sql_int(s, 20, 0));
    return ok;
}

/* The runs of a statement with up to two texts bound; the statement is ended. */
static int read_runs(slm_runs *r, const char *query, const char *one, const char *two,
                     slm_run_list *out, slm_err *err)
{
    struct slm_stmt *s;
    size_t cap = 0;
    memset(out, 0, sizeof *out);
    out->rt = r->rt;
    int rc = slm_sql_prepare(&s, r->db, query, err);
    if (rc)
        return rc;
    slm_sql_bind_text(s, 1, one);
    slm_sql_bind_text(s, 2, two);
    out->memory = arena_new(r->rt, err);
    rc = out->memory ? slm_sql_step(s, err) : SLM_E_NOMEM;
    while (rc == 1) {
        if (slm_grow(r->rt, SLM_MEM_RUNS, (void **)&out->v, out->n, &cap, sizeof *out->v) ||
            !read_run(&out->v[out->n], out->memory, s)) {
            rc = slm_fail_mem(err, r->path, sizeof *out->v);
            break;
        }
        out->n++;
        rc = slm_sql_step(s, err);
    }
    slm_sql_end(&s);
    if (rc < 0)
        slm_run_list_release(out);
    return rc;
}

int slm_runs_list(slm_runs *r, slm_run_list *out, slm_err *err)
{
    return read_runs(r, WHOLE "ORDER BY started, seq", NULL, NULL, out, err);
}

static bool is_id(const char *s)
{
    size_t n = strlen(s);
    return n >= 4 && n < SLM_RUN_ID && strspn(s, "0123456789abcdef") == n;
}

int slm_runs_find(slm_runs *r, const char *which, slm_run_list *out, slm_err *err)
{
    int rc = 0;
    memset(out, 0, sizeof *out);
    if (is_id(which)) {
        rc = read_runs(r, WHOLE "WHERE substr(id, 1, length(?1)) = ?1 ORDER BY seq LIMIT 2",
                       which, NULL, out, err);
        if (!rc && out->n > 1) {
            slm_run_list_release(out);
            return slm_fail(err, SLM_E_ARG, "%s: several runs have ids that begin so", which);
        }
    }
    if (!rc && !out->n) {
        slm_run_list_release(out);
        rc = read_runs(r, WHOLE "WHERE name = ?1 ORDER BY started DESC, seq DESC LIMIT 1",
                       which, NULL, out, err);
    }
    if (!rc && !out->n && !strcmp(which, "last")) {
        slm_run_list_release(out);
        rc =
            read_runs(r, WHOLE "ORDER BY started DESC, seq DESC LIMIT 1", NULL, NULL, out, err);
    }
    if (rc || out->n)
        return rc;
    slm_run_list_release(out);
    return slm_fail(err, SLM_E_NOTFOUND, "%s: no run of this id or name in %s", which, r->path);
}

int slm_runs_maker(slm_runs *r, const char *hash, const char *path, slm_run_list *out,
                   slm_err *err)
{
    memset(out, 0, sizeof *out);
    int rc =
        hash ? read_runs(r, WHOLE "WHERE seq = (SELECT max(run) FROM files WHERE hash = ?1)",
                         hash, NULL, out, err)
             : 0;
    if (rc || out->n || !path)
        return rc;
    slm_run_list_release(out);
    return read_runs(r,
                     WHOLE "WHERE output = ?1 OR seq = (SELECT max(run) FROM files WHERE"
                           " path = ?1) ORDER BY started DESC, seq DESC LIMIT 1",
                     path, NULL, out, err);
}

/* ---- what belongs to a run ---- */

#define RUN "(SELECT seq FROM runs WHERE id = ?1)"

int slm_runs_metric(slm_runs *r, const char *id, size_t i, slm_text *out, slm_err *err)
{
    struct slm_stmt *s;
    if (out->data)
        slm_text_release(out);
    int rc = slm_sql_prepare(
        &s, r->db,
        "SELECT name FROM names WHERE EXISTS(SELECT 1 FROM metrics WHERE run = " RUN
        " AND metrics.name = names.n) ORDER BY name LIMIT 1 OFFSET ?2",
        err);
    if (rc)
        return rc;
    slm_sql_bind_text(s, 1, id);
    slm_sql_bind_int(s, 2, (int64_t)i);
    rc = slm_sql_step(s, err);
    if (rc == 1) {
        const char *t = slm_sql_text(s, 0);
        rc = slm_text_put(out, r->rt, t, strlen(t), err);
    }
    slm_sql_end(&s);
    return rc;
}

int slm_runs_series(slm_runs *r, const char *id, const char *name, slm_run_series *out,
                    slm_err *err)
{
    struct slm_stmt *s;
    size_t cap[2] = {0, 0};
    memset(out, 0, sizeof *out);
    out->rt = r->rt;
    int rc = slm_sql_prepare(&s, r->db,
                             "SELECT step, value FROM metrics WHERE run = " RUN
                             " AND name = (SELECT n FROM names WHERE name = ?2) ORDER BY step",
                             err);
    if (rc)
        return rc;
    slm_sql_bind_text(s, 1, id);
    slm_sql_bind_text(s, 2, name);
    while ((rc = slm_sql_step(s, err)) == 1) {
        if (slm_grow(r->rt, SLM_MEM_RUNS, (void **)&out->step, out->n, &cap[0],
                     sizeof *out->step) ||
            slm_grow(r->rt, SLM_MEM_RUNS, (void **)&out->value, out->n, &cap[1],
                     sizeof *out->value)) {
            rc = slm_fail_mem(err, r->path, sizeof *out->value);
            break;
        }
        out->step[out->n] = slm_sql_int(s, 0, 0);
        out->value[out->n++] = slm_sql_real(s, 1);
    }
    slm_sql_end(&s);
    if (rc < 0)
        slm_run_series_release(out);
    return rc;
}

static int read_notes(slm_runs *r, const char *query, const char *id, slm_run_notes *out,
                      slm_err *err)
{
    struct slm_stmt *s;
    size_t cap = 0;
    memset(out, 0, sizeof *out);
    out->rt = r->rt;
    int rc = slm_sql_prepare(&s, r->db, query, err);
    if (rc)
        return rc;
    slm_sql_bind_text(s, 1, id);
    out->memory = arena_new(r->rt, err);
    rc = out->memory ? slm_sql_step(s, err) : SLM_E_NOMEM;
    while (rc == 1) {
        bool ok =
            !slm_grow(r->rt, SLM_MEM_RUNS, (void **)&out->v, out->n, &cap, sizeof *out->v);
        if (ok) {
            slm_run_note *v = &out->v[out->n];
            v->step = slm_sql_int(s, 0, 0);
            v->a = text(out->memory, s, 1, &ok);
            v->b = text(out->memory, s, 2, &ok);
            v->c = text(out->memory, s, 3, &ok);
        }
        if (!ok) {
            rc = slm_fail_mem(err, r->path, sizeof *out->v);
            break;
        }
        out->n++;
        rc = slm_sql_step(s, err);
    }
    slm_sql_end(&s);
    if (rc < 0)
        slm_run_notes_release(out);
    return rc;
}

int slm_runs_samples(slm_runs *r, const char *id, slm_run_notes *out, slm_err *err)
{
    return read_notes(
        r, "SELECT step, prompt, text, '' FROM samples WHERE run = " RUN " ORDER BY rowid", id,
        out, err);
}

int slm_runs_files(slm_runs *r, const char *id, slm_run_notes *out, slm_err *err)
{
    return read_notes(
        r, "SELECT step, kind, path, hash FROM files WHERE run = " RUN " ORDER BY rowid", id,
        out, err);
}

int slm_runs_remove(slm_runs *r, const char *id, slm_err *err)
{
    slm_run_list found;
    struct slm_stmt *s;
    int rc = read_runs(r, WHOLE "WHERE id = ?1", id, NULL, &found, err);
    if (!rc && !found.n)
        rc = slm_fail(err, SLM_E_NOTFOUND, "%s: no such run", id);
    if (!rc && !strcmp(found.v->state, "running"))
        rc = slm_fail(err, SLM_E_ARG, "run %.10s is running (process %lld)", id,
                      (long long)found.v->pid);
    slm_run_list_release(&found);
    if (!rc)
        rc = slm_sql_prepare(&s, r->db, "DELETE FROM runs WHERE id = ?1", err);
    if (rc)
        return rc;
    slm_sql_bind_text(s, 1, id);
    rc = slm_sql_do(s, err);
    slm_sql_end(&s);
    return rc;
}
