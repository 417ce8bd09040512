/* What the commands that record, show and compare runs share. */
#ifndef SLM_CLI_RUNS_H
#define SLM_CLI_RUNS_H

#include "cli.h"

/* ---- story.c: one run with all that is known of it, from the record or as it happens ---- */
struct slm_cli_fact {
    char *key, *value; /* value: JSON text */
};
struct slm_cli_metric {
    char *name;
    slm_run_series s; /* its memory is the library's (rt set) or the command line's (rt NULL) */
    size_t cap;
};
struct slm_cli_story {
    slm_run_list list; /* of one */
    const slm_run_record *run;
    struct slm_cli_metric *metric;
    int n_metrics;
    slm_run_notes samples, files;
    struct slm_cli_fact *fact; /* the options */
    int n_facts;
};
/* The story of the run that `which` means (slm_runs_find). Free it whatever comes back. */
int slm_story_load(struct slm_cli_story *t, slm_runs *q, const char *which, slm_err *err);
void slm_story_free(struct slm_cli_story *t);
/* A number more, for a story that is told while it happens. */
void slm_story_add(struct slm_cli_story *t, const char *name, int64_t step, double value);
/* The options out of a JSON object. */
void slm_story_facts(struct slm_cli_story *t, const char *config);
const char *slm_story_fact(const struct slm_cli_story *t, const char *key); /* NULL: none */
const slm_run_series *slm_story_series(const struct slm_cli_story *t, const char *name);
/* Its number at a step, or the last before it; NaN where there is none. */
double slm_series_at(const slm_run_series *s, int64_t step);

/* ---- page.c: pages that need nothing beside themselves ---- */
void slm_page_open(FILE *f, const char *title);
void slm_page_close(FILE *f);
void slm_page_text(FILE *f, const char *s); /* what is markup there is spelt out */
struct slm_page_line {
    const char *name;
    const slm_run_series *s;
};
/* Curves over steps in one frame, up to 8 of them; one alone is drawn with its smoothed course.
 */
void slm_page_chart(FILE *f, const char *title, const struct slm_page_line *l, int n);

/* ---- curves.c ---- */
/* A page of runs: what they were, what differs, their curves, samples and files. */
int slm_report(const char *path, const struct slm_cli_story *t, int n, slm_err *err);

/* ---- runs_out.c: times and numbers for people ---- */
const char *slm_cli_when(char buf[32], int64_t ms);     /* local, "2026-01-01 00:00" */
const char *slm_cli_iso(char buf[32], int64_t ms);      /* UTC, "2026-01-01T00:00:00.000Z" */
const char *slm_cli_span(char buf[32], double seconds); /* "1m35s" */
const char *slm_cli_figure(char buf[32], double v);     /* "1.7712", "-" for none */
void slm_runs_table(FILE *f, const slm_run_list *l, int most);
void slm_runs_json(struct slm_cli_json *j, const slm_run_record *r); /* the fields alone */
void slm_story_text(FILE *f, const struct slm_cli_story *t);
void slm_story_json(FILE *f, const struct slm_cli_story *t, int n);
/* A row a step: of one run all numbers, of several runs the one number of that name. */
void slm_story_csv(FILE *f, const struct slm_cli_story *t, int n, const char *metric);
void slm_story_compare(FILE *f, const struct slm_cli_story *t, int n, const char *metric);

/* ---- runs_db.c: where the record is ---- */
struct slm_cli_runs_args {
    const char *path;
};
extern const struct slm_cli_opt slm_cli_runs_opts[];
/* --runs-db, else $SLM_RUNS, else $XDG_DATA_HOME/slm/runs.db, else ~/.local/share/slm/runs.db,
 * appended to b. false: nowhere ("off", or no home). */
bool slm_cli_runs_path(struct slm_cli_buf *b, const struct slm_cli_runs_args *a);
/* The same to be written: its folder is made. NULL: not recorded, and said why. */
const char *slm_cli_runs_place(struct slm_cli *c, struct slm_cli_buf *b,
                               const struct slm_cli_runs_args *a);

#endif
