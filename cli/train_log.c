/* What is kept of a training run: its row in the record of runs, with where it comes from; a
 * log as CSV or JSON lines; a page with its curves. The log is written line by line, so that it
 * can be watched, and is added to: each line says which run it is of. */
#include "train_log.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define F(field) offsetof(struct slm_cli_log_args, field)
const struct slm_cli_opt slm_cli_log_opts[] = {
    SLM_CLI_VALUE(OPT_TEXT, 0, "name", F(name), "NAME",
                  "name of the run in the record (default: the output's)"),
    SLM_CLI_VALUE(OPT_FILE, 0, "log", F(log), "FILE",
                  "a line a step, added to FILE.csv or FILE.jsonl"),
    SLM_CLI_VALUE(OPT_FILE, 0, "report", F(report), "FILE",
                  "write a page (HTML) with the curves at the end"),
    SLM_CLI_GROUP(slm_cli_runs_opts, F(runs), NULL),
    SLM_CLI_END,
};
#undef F

static const char head[] =
    "run,event,step,epoch,tokens,loss,eval_loss,lr,grad_norm,tok_s,seconds\n";

static bool ends(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

static int fail_log(const struct slm_cli_log *l, slm_err *err)
{
    return slm_cli_fail(err, SLM_E_IO, "%s: %s", l->a->log, strerror(errno));
}

/* A CSV file that is there must have the same columns. */
static int open_log(struct slm_cli_log *l, slm_err *err)
{
    const char *path = l->a->log;
    char line[sizeof head + 1] = "";
    if (!path)
        return 0;
    l->csv = ends(path, ".csv");
    if (!l->csv && !ends(path, ".jsonl") && !ends(path, ".json"))
        return slm_cli_fail(err, SLM_E_ARG, "--log %s: want a name that ends in .csv or .jsonl",
                            path);
    if (slm_cli_is_dir(path))
        return slm_cli_fail(err, SLM_E_IO, "%s: is a folder", path);
    l->out = fopen(path, "a+");
    if (!l->out)
        return fail_log(l, err);
    if (!l->csv)
        return 0;
    rewind(l->out);
    bool some = fgets(line, sizeof line, l->out) != NULL;
    if (some && strcmp(line, head))
        return slm_cli_fail(err, SLM_E_FORMAT, "%s: has other columns than this log", path);
    fseek(l->out, 0, SEEK_END);
    if (!some && fputs(head, l->out) < 0)
        return fail_log(l, err);
    return 0;
}

/* ---- where it comes from ---- */

/* A text's value in a JSON object, appended to b. */
static void text_of(struct slm_cli_buf *b, const struct slm_cli_story *t, const char *key)
{
    const char *v = slm_story_fact(t, key);
    struct slm_cli_reader r = {v, v ? v + strlen(v) : v};
    if (v && !slm_jr_string(&r, b))
        b->n = 0;
}

/* The run that made what this one begins with. */
static void find_parent(struct slm_cli_log *l, const struct slm_cli_log_about *w,
                        const char *record, slm_run_info *info)
{
    slm_runs *q = NULL;
    if (!record || slm_runs_open(&q, l->c->rt, record, 0, NULL))
        return;
    const char *from[2] = {w->adapter, w->base};
    slm_run_list found = {0};
    if (w->resume && l->output.n)
        slm_runs_maker(q, NULL, l->output.s, &found, NULL);
    for (int i = 0; i < 2 && !found.n; i++) {
        char hash[65];
        struct slm_cli_buf full = {0};
        slm_run_list_release(&found);
        if (!from[i] || slm_fingerprint(hash, l->c->rt, from[i], NULL))
            continue;
        slm_cli_full_path(&full, from[i]);
        slm_runs_maker(q, hash, full.s, &found, NULL);
        slm_cli_buf_free(&full);
    }
    if (found.n) {
        slm_cli_puts(&l->parent, found.v[0].id);
        info->parent = l->parent.s;
        info->parent_step = w->resume ? w->step : found.v[0].steps;
        slm_cli_tell(l->c, "goes on from run %.10s (%s)", found.v[0].id, found.v[0].info.name);
    }
    slm_run_list_release(&found);
    slm_runs_close(&q);
}

static void put_command(struct slm_cli_buf *b, const struct slm_cli *c)
{
    slm_cli_putf(b, "slm %s", c->cmd->name);
    for (int i = 0; i < c->argc; i++) {
        bool plain = *c->argv[i] && !c->argv[i][strcspn(c->argv[i], " \t\n'\"\\$&|;<>()*?`#")];
        slm_cli_putf(b, plain ? " %s" : " '%s'", c->argv[i]);
    }
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

int slm_cli_log_open(struct slm_cli_log *l, struct slm_cli *c, const struct slm_cli_log_args *a,
                     const struct slm_cli_log_about *w, slm_err *err)
{
    slm_run_info info;
    char machine[160];
    struct slm_cli_buf place = {0};
    *l = (struct slm_cli_log){.c = c, .a = a, .also = w->also, .step = w->step};
    slm_run_info_init(&info);
    int code = open_log(l, err);
    if (!code && a->report && slm_cli_is_dir(a->report))
        code = slm_cli_fail(err, SLM_E_IO, "%s: is a folder", a->report);
    if (code)
        return code;
    put_command(&l->command, c);
    if (w->output)
        slm_cli_full_path(&l->output, w->output);
    slm_story_facts(&l->story, w->config);
    text_of(&l->data_hash, &l->story, "data");
    if (w->base && slm_fingerprint(l->base_hash, c->rt, w->base, NULL))
        l->base_hash[0] = 0;
    snprintf(machine, sizeof machine, "%s, %s", slm_runtime_cpu_name(c->rt),
             slm_runtime_cpu_level(c->rt));
    info.name = a->name ? a->name : w->output ? base_name(w->output) : c->cmd->name;
    info.kind = c->cmd->name;
    info.command = l->command.s;
    info.config = w->config;
    info.data = w->data;
    info.data_hash = l->data_hash.n ? l->data_hash.s : NULL;
    info.base = w->base;
    info.base_hash = *l->base_hash ? l->base_hash : NULL;
    info.output = l->output.n ? l->output.s : NULL;
    info.machine = machine;
    const char *record = slm_cli_runs_place(c, &place, &a->runs);
    find_parent(l, w, record, &info);
    code = slm_recorder_open(&l->rec, c->rt, record, &info, err);
    slm_cli_buf_free(&place);
    return code;
}

/* ---- as it goes on ---- */

static void number(FILE *f, double x)
{
    if (isnan(x))
        fputc(',', f);
    else
        fprintf(f, ",%.9g", x);
}

static void log_line(struct slm_cli_log *l, const slm_train_event *e)
{
    bool step = e->kind == SLM_TRAIN_STEP;
    double none = (double)NAN, tok_s = step ? e->tokens_s : none;
    if (!l->out || l->failed)
        return;
    if (l->csv) {
        fprintf(l->out, "%.10s,%s,%lld,%.6g,%lld", slm_recorder_id(l->rec),
                step ? "step" : "eval", (long long)e->step, e->epoch, (long long)e->tokens);
        const double v[] = {step ? e->loss : none,
                            step ? none : e->loss,
                            step ? e->lr : none,
                            step ? e->grad_norm : none,
                            tok_s,
                            e->seconds};
        for (size_t i = 0; i < sizeof v / sizeof *v; i++)
            number(l->out, v[i]);
        fputc('\n', l->out);
    } else {
        struct slm_cli_json j = {.f = l->out};
        char id[11];
        snprintf(id, sizeof id, "%.10s", slm_recorder_id(l->rec));
        slm_js_open(&j, '{');
        slm_js_kstr(&j, "run", id);
        slm_js_kstr(&j, "event", step ? "step" : "eval");
        slm_js_kint(&j, "step", e->step);
        slm_js_kreal(&j, "epoch", e->epoch);
        slm_js_kint(&j, "tokens", e->tokens);
        slm_js_kreal(&j, step ? "loss" : "eval_loss", e->loss);
        if (step) {
            slm_js_kreal(&j, "lr", e->lr);
            slm_js_kreal(&j, "grad_norm", e->grad_norm);
            slm_js_kreal(&j, "tok_s", tok_s);
        }
        slm_js_kreal(&j, "seconds", e->seconds);
        slm_js_close(&j, '}');
    }
    if (fflush(l->out) || ferror(l->out)) {
        l->failed = true;
        slm_cli_say(l->c, "%s: %s; the run goes on without this log", l->a->log,
                    strerror(errno));
    }
}

static void keep(struct slm_cli_log *l, int64_t step, const char *name, double v)
{
    slm_recorder_metric(l->rec, step, name, v);
    if (l->a->report)
        slm_story_add(&l->story, name, step, v);
}

void slm_cli_log_event(struct slm_cli_log *l, const slm_train_event *e)
{
    if (!l->rec)
        return;
    l->step = e->step;
    switch (e->kind) {
    case SLM_TRAIN_STEP:
        keep(l, e->step, "loss", e->loss);
        keep(l, e->step, "lr", e->lr);
        keep(l, e->step, "grad_norm", e->grad_norm);
        keep(l, e->step, "tok_s", e->tokens_s);
        slm_recorder_metric(l->rec, e->step, "tokens", (double)e->tokens);
        log_line(l, e);
        break;
    case SLM_TRAIN_EVAL:
        keep(l, e->step, "eval_loss", e->loss);
        log_line(l, e);
        break;
    case SLM_TRAIN_CHECKPOINT:
        slm_recorder_file(l->rec, e->step, "checkpoint", e->path, NULL);
        break;
    case SLM_TRAIN_DONE:
        for (int i = 0; i < 2; i++) {
            const char *path = i ? l->also : e->path;
            char hash[65];
            struct slm_cli_buf full = {0};
            if (!path || slm_fingerprint(hash, l->c->rt, path, NULL))
                continue;
            slm_cli_full_path(&full, path);
            slm_recorder_file(l->rec, e->step, "final", full.s, hash);
            slm_cli_buf_free(&full);
        }
        break;
    case SLM_TRAIN_SAMPLE:
    case SLM_TRAIN_NOTE: slm_recorder_tick(l->rec); break;
    }
}

void slm_cli_log_sample(struct slm_cli_log *l, int64_t step, const char *prompt,
                        const char *text)
{
    if (l->rec)
        slm_recorder_sample(l->rec, step, prompt, text);
}

/* The report comes from the record, which knows samples and files; where nothing is recorded,
 * from what was kept beside it. */
static int report(struct slm_cli_log *l, slm_err *err)
{
    slm_runs *q = NULL;
    struct slm_cli_buf place = {0};
    struct slm_cli_story whole = {0};
    int code = -1;
    if (slm_recorder_works(l->rec) && slm_cli_runs_path(&place, &l->a->runs) &&
        !slm_runs_open(&q, l->c->rt, place.s, 0, NULL))
        code = slm_story_load(&whole, q, slm_recorder_id(l->rec), NULL);
    if (!code)
        code = slm_report(l->a->report, &whole, 1, err);
    else
        code = slm_report(l->a->report, &l->story, 1, err);
    slm_story_free(&whole);
    slm_runs_close(&q);
    slm_cli_buf_free(&place);
    return code;
}

int slm_cli_log_end(struct slm_cli_log *l, int code, const slm_err *why, slm_err *err)
{
    if (!l->rec)
        return 0;
    const char *state = !code ? "done" : code == SLM_E_CANCELLED ? "interrupted" : "failed";
    slm_recorder_end(l->rec, state, code ? why->msg : NULL);
    if (!l->a->report)
        return 0;
    double none = (double)NAN;
    const slm_run_series *loss = slm_story_series(&l->story, "loss");
    l->run = (slm_run_record){.info = {.name = l->a->name ? l->a->name : l->c->cmd->name,
                                       .parent = "",
                                       .base = "",
                                       .data = "",
                                       .machine = slm_runtime_cpu_name(l->c->rt),
                                       .command = l->command.s,
                                       .parent_step = -1},
                              .state = state,
                              .note = code ? why->msg : "",
                              .steps = l->step,
                              .loss = slm_series_at(loss, INT64_MAX),
                              .eval_loss = none,
                              .best_eval = none};
    snprintf(l->run.id, sizeof l->run.id, "%s", slm_recorder_id(l->rec));
    l->story.run = &l->run;
    int rc = report(l, err);
    if (!rc)
        slm_cli_say(l->c, "%s written", l->a->report);
    return rc;
}

void slm_cli_log_close(struct slm_cli_log *l)
{
    slm_recorder_close(&l->rec);
    if (l->out)
        fclose(l->out);
    slm_story_free(&l->story);
    slm_cli_buf_free(&l->command);
    slm_cli_buf_free(&l->output);
    slm_cli_buf_free(&l->parent);
    slm_cli_buf_free(&l->data_hash);
    *l = (struct slm_cli_log){0};
}
