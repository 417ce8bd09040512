/* slm runs: what was trained, how it went, and how runs differ. */
#include "runs_cli.h"

#include <stdlib.h>
#include <string.h>

struct args {
    struct slm_cli_common common;
    struct slm_cli_runs_args runs;
    int most, csv;
    const char *state, *metric, *html;
};

#define F(field) offsetof(struct args, field)
#define COMMON                                                                                 \
    SLM_CLI_GROUP(slm_cli_runs_opts, F(runs), NULL),                                           \
        SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"), SLM_CLI_END

static const struct slm_cli_opt list_opts[] = {
    SLM_CLI_INT('n', "last", F(most), "N", 1, 1000000, "only the last N of them"),
    SLM_CLI_CHOICE(0, "state", F(state), "running done failed interrupted stopped",
                   "only those in this state"),
    COMMON,
};
static const struct slm_cli_opt show_opts[] = {
    SLM_CLI_FLAG(0, "csv", F(csv), "its numbers as CSV, a line a step"),
    SLM_CLI_VALUE(OPT_FILE, 0, "html", F(html), "FILE", "write a page with its curves"),
    COMMON,
};
static const struct slm_cli_opt compare_opts[] = {
    SLM_CLI_VALUE(OPT_TEXT, 0, "metric", F(metric), "NAME",
                  "the number whose course is shown: loss, eval_loss, lr, grad_norm, tok_s "
                  "(default: loss)"),
    SLM_CLI_FLAG(0, "csv", F(csv), "that course as CSV, a line a step"),
    SLM_CLI_VALUE(OPT_FILE, 0, "html", F(html), "FILE", "write a page with all their curves"),
    COMMON,
};
static const struct slm_cli_opt rm_opts[] = {COMMON};
#undef F

/* NULL without a record: nothing was ever recorded there, which is no error to list. */
static int open_runs(struct slm_cli *c, const struct args *a, slm_runs **q, int write,
                     slm_err *err)
{
    struct slm_cli_buf b = {0};
    int code = 0;
    if (!slm_cli_runs_path(&b, &a->runs))
        code = slm_cli_fail(err, SLM_E_ARG, "no record of runs is kept: %s",
                            b.n ? "it is off" : "no home folder, no --runs-db");
    if (!code)
        code = slm_cli_runtime(c, err);
    if (!code)
        code = slm_runs_open(q, c->rt, b.s, write, err);
    slm_cli_buf_free(&b);
    return code;
}

static void keep_state(slm_run_list *l, const char *state)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        if (!strcmp(l->v[i].state, state))
            l->v[n++] = l->v[i];
    l->n = n;
}

static int run_list(struct slm_cli *c, void *p, slm_err *err)
{
    const struct args *a = p;
    slm_runs *q = NULL;
    slm_run_list l = {0};
    struct slm_cli_json j = {.f = stdout};
    int code = open_runs(c, a, &q, 0, err);
    if (code == SLM_E_NOTFOUND && !a->runs.path) {
        slm_cli_say(c, "no run was recorded yet");
        code = 0;
    } else if (!code) {
        code = slm_runs_list(q, &l, err);
    }
    if (!code && a->state)
        keep_state(&l, a->state);
    if (!code && a->common.json) {
        size_t most = a->most ? (size_t)a->most : l.n;
        slm_js_open(&j, '[');
        for (size_t i = l.n > most ? l.n - most : 0; i < l.n; i++) {
            slm_js_open(&j, '{');
            slm_runs_json(&j, &l.v[i]);
            slm_js_close(&j, '}');
        }
        slm_js_close(&j, ']');
    } else if (!code && l.n) {
        slm_runs_table(stdout, &l, a->most);
    }
    slm_run_list_release(&l);
    slm_runs_close(&q);
    return code;
}

/* show and compare: the stories of all words, told as the options say. */
static int run_stories(struct slm_cli *c, void *p, slm_err *err)
{
    const struct args *a = p;
    slm_runs *q = NULL;
    int n = c->words.n, made = 0, code = open_runs(c, a, &q, 0, err);
    if (!code && n > SLM_CLI_LIST_MAX)
        code = slm_cli_fail(err, SLM_E_LIMIT, "%d runs at once, %d are the most", n,
                            SLM_CLI_LIST_MAX);
    if (!code && a->csv && a->common.json)
        code = slm_cli_fail(err, SLM_E_ARG, "--csv and --json: one of them");
    struct slm_cli_story *t = slm_cli_realloc(NULL, (size_t)n * sizeof *t);
    for (; !code && made < n; made++) {
        t[made] = (struct slm_cli_story){0};
        code = slm_story_load(&t[made], q, c->words.v[made], err);
    }
    const char *metric = a->metric ? a->metric : "loss";
    if (!code && a->html)
        code = slm_report(a->html, t, n, err);
    if (!code && a->common.json)
        slm_story_json(stdout, t, n);
    else if (!code && a->csv)
        slm_story_csv(stdout, t, n, metric);
    else if (!code && !a->html && n == 1)
        slm_story_text(stdout, t);
    else if (!code && !a->html)
        slm_story_compare(stdout, t, n, metric);
    while (made-- > 0)
        slm_story_free(&t[made]);
    free(t);
    slm_runs_close(&q);
    return code;
}

static int run_rm(struct slm_cli *c, void *p, slm_err *err)
{
    const struct args *a = p;
    slm_runs *q = NULL;
    int code = open_runs(c, a, &q, 1, err);
    for (int i = 0; !code && i < c->words.n; i++) {
        slm_run_list l = {0};
        code = slm_runs_find(q, c->words.v[i], &l, err);
        if (!code)
            code = slm_runs_remove(q, l.v->id, err);
        if (!code)
            slm_cli_say(c, "forgot run %.10s (%s); its files stay", l.v->id, l.v->info.name);
        slm_run_list_release(&l);
    }
    slm_runs_close(&q);
    return code;
}

#define WHICH                                                                                  \
    "A run is named by the beginning of its id (four digits or more), by its name (the "       \
    "latest "                                                                                  \
    "of that name), or as last."

static const struct slm_cli_command cmd_list = {
    .name = "runs list",
    .run = run_list,
    .args = "",
    .summary = "all runs that are recorded",
    .about = "Oldest first. A run whose process was killed is stopped; one that ended by an "
             "error is failed, one that was asked to end is interrupted. FROM is the run whose "
             "result it went on from. Each training run is recorded unless --runs-db off.",
    .examples = "slm runs list -n 10\nslm runs list --state running --json",
    .opts = list_opts,
    .size = sizeof(struct args),
};

static const struct slm_cli_command cmd_show = {
    .name = "runs show",
    .run = run_stories,
    .args = "RUN",
    .summary = "one run: options, numbers, samples, files",
    .about = WHICH,
    .examples = "slm runs show last\nslm runs show 3fa2b1 --csv > curve.csv\n"
                "slm runs show tales --html tales.html",
    .opts = show_opts,
    .size = sizeof(struct args),
};

static const struct slm_cli_command cmd_compare = {
    .name = "runs compare",
    .run = run_stories,
    .args = "RUN RUN ...",
    .summary = "runs side by side: options, curves, final numbers",
    .about = WHICH,
    .examples = "slm runs compare tales tales-lora\n"
                "slm runs compare 3fa2 77b0 91cc --html compare.html",
    .opts = compare_opts,
    .size = sizeof(struct args),
};

static const struct slm_cli_command cmd_rm = {
    .name = "runs rm",
    .run = run_rm,
    .args = "RUN ...",
    .summary = "forget runs (their files stay)",
    .about = WHICH " A run that goes on cannot be forgotten.",
    .examples = "slm runs rm 3fa2b1",
    .opts = rm_opts,
    .size = sizeof(struct args),
};

static const struct slm_cli_command *const members[] = {&cmd_list, &cmd_show, &cmd_compare,
                                                        &cmd_rm, NULL};
extern const struct slm_cli_command slm_cmd_runs;
const struct slm_cli_command slm_cmd_runs = {
    .name = "runs",
    .summary = "what was trained: list, show, compare",
    .about = "The record of training runs, an SQLite file.",
    .sub = members,
};
