/* slm data convert: rows in another format. */
#include "data_tools.h"

#include <stdlib.h>
#include <string.h>

struct args {
    struct slm_cli_common common;
    struct slm_cli_model_args model;
    struct slm_cli_examples examples;
    const char *to, *out;
    int allow_loss;
};

#define F(field) offsetof(struct args, field)
static const struct slm_cli_opt opts[] = {
    SLM_CLI_CHOICE(0, "to", F(to), "messages sharegpt alpaca prompt text csv",
                   "format of the rows to be written"),
    SLM_CLI_VALUE(OPT_FILE, 'o', "out", F(out), "FILE",
                  "where to (default: the last word of the command)"),
    SLM_CLI_FLAG(0, "allow-loss", F(allow_loss),
                 "end well even if rows could not be written or fields not taken along"),
    SLM_CLI_GROUP(slm_cli_model_opts, F(model), "Model (its template renders --to text)"),
    SLM_CLI_GROUP(slm_cli_examples_opts, F(examples), "Examples"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

static void defaults(void *p)
{
    struct args *a = p;
    slm_cli_examples_init(&a->examples);
    a->examples.max_bad = 1;
}

static void report_json(const slm_data_report *r, const char *out)
{
    struct slm_cli_json j = {.f = stdout};
    slm_js_open(&j, '{');
    slm_js_kstr(&j, "out", out);
    slm_js_kint(&j, "rows", r->rows);
    slm_js_kint(&j, "written", r->kept);
    slm_js_key(&j, "lost");
    slm_js_open(&j, '{');
    for (int i = 1; i < SLM_LOSS_COUNT; i++)
        if (r->lost[i])
            slm_js_kint(&j, slm_data_loss_name(i), r->lost[i]);
    slm_js_close(&j, '}');
    slm_js_key(&j, "left_behind");
    slm_js_open(&j, '{');
    for (int i = 0; i < r->n_unused; i++)
        slm_js_kint(&j, r->unused[i].name, r->unused[i].n);
    slm_js_close(&j, '}');
    slm_js_close(&j, '}');
}

static void report_text(const slm_data_report *r, const char *out)
{
    char a[32], b[32];
    printf("%s: %s of %s rows written\n", out, slm_cli_count(a, r->kept),
           slm_cli_count(b, r->rows));
    for (int i = 1; i < SLM_LOSS_COUNT; i++) {
        if (r->lost[i])
            printf("  %s: %s\n", slm_data_loss_words(i), slm_cli_count(a, r->lost[i]));
        for (int k = 0; k < SLM_DATA_PLACES && r->place[i][k][0]; k++)
            printf("    %s\n", r->place[i][k]);
    }
    for (int i = 0; i < r->n_unused; i++)
        printf("%s%s (%lld)", i ? ", " : "fields that did not go along: ", r->unused[i].name,
               (long long)r->unused[i].n);
    if (r->n_unused)
        printf("\n");
}

static int convert(struct slm_cli *c, struct args *a, slm_data_report *r, slm_err *err)
{
    slm_model *m = NULL;
    slm_template *own = NULL;
    slm_text source = {0};
    slm_data_opts o;
    struct slm_cli_progress bar;
    int code = a->model.model ? slm_cli_model_open(c, &m, &a->model, NULL, false, err)
                              : slm_cli_runtime(c, err);
    if (!code)
        code = slm_cli_examples_set(c, &a->examples, m, &o, &own, &source, err);
    if (!code) {
        o.tokenizer = m ? slm_model_tokenizer(m) : NULL;
        if (o.tmpl && !o.tokenizer)
            code = slm_cli_fail(err, SLM_E_ARG,
                                "--template renders with a model's special tokens: --model is "
                                "missing");
    }
    if (!code) {
        slm_cli_catch_interrupt();
        slm_cli_progress_start(&bar, c, "convert", "B");
        o.to = (enum slm_data_to)slm_data_to_find(a->to);
        code = slm_data_convert(r, c->rt, &o, a->out, slm_cli_progress_step, &bar, err);
        slm_cli_progress_end(&bar);
    }
    slm_template_free(own);
    free(source.data);
    slm_model_close(&m);
    return code;
}

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    struct args *a = p;
    if (!a->to)
        return slm_cli_fail(err, SLM_E_ARG, "--to is missing");
    if (!a->out && c->words.n > 1)
        a->out = c->words.v[--c->words.n];
    if (!a->out)
        return slm_cli_fail(err, SLM_E_ARG, "where to? name a file to write");
    slm_data_report *r = slm_cli_realloc(NULL, sizeof *r);
    memset(r, 0, sizeof *r);
    int code = convert(c, a, r, err);
    if (r->rows && a->common.json)
        report_json(r, a->out);
    else if (r->rows)
        report_text(r, a->out);
    if (!code && !a->allow_loss && (r->kept < r->rows || r->n_unused))
        code = slm_cli_fail(err, SLM_E_FORMAT,
                            "%s is written, but %lld rows and %d fields are not in it "
                            "(--allow-loss if so meant)",
                            a->out, (long long)(r->rows - r->kept), r->n_unused);
    slm_data_report_release(r);
    free(r);
    return code;
}

const struct slm_cli_command slm_data_convert_cmd = {
    .name = "data convert",
    .run = run,
    .args = "FILE ...",
    .summary = "rows in another format",
    .about =
        "Reads rows of any format and writes them as messages, ShareGPT, Alpaca, prompt and "
        "completion (JSON lines), as text rendered by the model's template, or as CSV. A "
        "row that the format cannot hold whole is not written, but counted and told with "
        "its place; fields that no format knows go along in JSON lines.",
    .examples = "slm data convert sharegpt.json chat.jsonl --to messages\n"
                "slm data convert train.jsonl train.csv --to csv",
    .opts = opts,
    .size = sizeof(struct args),
    .defaults = defaults,
};
