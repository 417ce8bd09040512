/* What is kept of a training run while it goes on: the record of runs, a log, a report. */
#ifndef SLM_CLI_TRAIN_LOG_H
#define SLM_CLI_TRAIN_LOG_H

#include "runs_cli.h"

/* Options of every command that trains. */
struct slm_cli_log_args {
    struct slm_cli_runs_args runs;
    const char *name, *log, *report;
};
extern const struct slm_cli_opt slm_cli_log_opts[];

struct slm_cli_log_about {
    const char *config;  /* slm_train_config's */
    const char *base;    /* model (or its shape) that it began with; NULL: none */
    const char *adapter; /* that it goes on from; NULL: none */
    const char *data;    /* as given; NULL: none */
    const char *output;  /* folder; NULL: none */
    const char *also;    /* another file that it writes; NULL: none */
    bool resume;         /* the run before wrote output too */
    int64_t step;        /* where it begins */
};
struct slm_cli_log {
    struct slm_cli *c;
    const struct slm_cli_log_args *a;
    slm_recorder *rec;
    FILE *out;
    bool csv, failed;
    struct slm_cli_buf command, output, parent, data_hash;
    char base_hash[65];
    const char *also;
    slm_run_record run;
    struct slm_cli_story story; /* for the report */
    int64_t step;
};
/* Opens the log and begins the record. Call end and close whatever comes back. Errors: the log
 * or the report cannot be written; the record of runs is no reason to stop. */
int slm_cli_log_open(struct slm_cli_log *l, struct slm_cli *c, const struct slm_cli_log_args *a,
                     const struct slm_cli_log_about *about, slm_err *err);
void slm_cli_log_event(struct slm_cli_log *l, const slm_train_event *e);
void slm_cli_log_sample(struct slm_cli_log *l, int64_t step, const char *prompt,
                        const char *text);
/* code and why: how the run ended. Writes the report. */
int slm_cli_log_end(struct slm_cli_log *l, int code, const slm_err *why, slm_err *err);
void slm_cli_log_close(struct slm_cli_log *l);

#endif
