/* What the files of slm train share: its options, what it watches with, its data. */
#ifndef SLM_CLI_TRAIN_H
#define SLM_CLI_TRAIN_H

#include "train_log.h"

struct slm_cli_train {
    struct slm_cli_common common;
    struct slm_cli_model_args model;
    slm_train_opts o;
    slm_model_shape shape;
    slm_adapter_opts lora;
    struct slm_cli_list data, eval, map, prompts;
    const char *ids_file, *init, *lora_init, *format, *train_on, *too_long, *separator;
    const char *store, *loss, *pairs;
    const char *base; /* path of the model that it begins with, NULL: a new one */
    struct slm_cli_log_args log;
    slm_train_ranks ranks;
    int steps, batch, dry_run, use_lora, use_qlora, untied, sample_tokens, show;
    float epochs, memory, max_bad;
};

/* ---- train_data.c: stores of tokens out of what was given ---- */
struct slm_cli_train_data {
    slm_ids ids;
    slm_tokens *data, *eval;
};
/* Builds (or finds) them, says what was read and lost, and sets a->o's data. */
int slm_cli_train_data_open(struct slm_cli *c, struct slm_cli_train_data *d,
                            struct slm_cli_train *a, const slm_model *m, slm_err *err);
void slm_cli_train_data_close(struct slm_cli_train_data *d);

/* ---- train_watch.c ---- */
struct slm_cli_train_watch {
    struct slm_cli *c;
    const struct slm_cli_train *a;
    slm_model *m;
    struct slm_cli_progress bar;
    double said; /* when a line of talk was last written */
    struct slm_cli_log log;
};
void slm_cli_train_plan(struct slm_cli *c, const slm_train_plan *p);
void slm_cli_train_plan_json(const slm_train_plan *p);
int slm_cli_train_event(void *arg, const slm_train_event *e); /* slm_train_fn */

#endif
