/* Training data of slm train: ids from a file, or stores of tokens built from rows by the
 * model's own tokenizer and template, beside the result, where a later run finds them again. */
#include "cli_train.h"

#include <stdlib.h>
#include <string.h>

static int choose(slm_data_opts *o, const struct slm_cli_train *a)
{
    if (a->format)
        o->format = (enum slm_data_format)slm_data_format_find(a->format);
    if (a->train_on)
        o->train_on = (enum slm_train_on)slm_train_on_find(a->train_on);
    if (a->too_long)
        o->too_long = (enum slm_too_long)slm_too_long_find(a->too_long);
    o->separator = a->separator;
    o->map = a->map.item;
    o->n_map = a->map.n;
    if (a->max_bad >= 0)
        o->max_bad = (double)a->max_bad;
    return 0;
}

static void say_report(struct slm_cli *c, const char *what, const slm_data_report *r)
{
    slm_cli_say(
        c, "%s: %lld of %lld rows kept, %lld documents, %lld tokens, %lld of them learnt%s",
        what, (long long)r->kept, (long long)r->rows, (long long)r->docs, (long long)r->tokens,
        (long long)r->targets, r->reused ? " (built before)" : "");
    for (int i = 1; i < SLM_LOSS_COUNT; i++)
        if (r->lost[i])
            slm_cli_say(c, "%s: %lld rows left out: %s", what, (long long)r->lost[i],
                        slm_data_loss_words(i));
    if (r->truncated)
        slm_cli_say(c, "%s: %lld rows cut at the window, %lld tokens lost", what,
                    (long long)r->truncated, (long long)r->tokens_cut);
}

/* Will documents be one stream, cut every seq tokens? Then they are left whole in the store.
 * What the rows are is known from a store that is there, else assumed from what is asked. */
static bool streams(struct slm_cli *c, const struct slm_cli_train *a, const char *path)
{
    slm_tokens *t = NULL;
    slm_tokens_info i;
    slm_err none;
    if (a->o.pack)
        return !strcmp(a->o.pack, "wrapped");
    if (a->format && strcmp(a->format, "auto"))
        return !strcmp(a->format, "text");
    if (!slm_cli_exists(path) || slm_tokens_open(&t, c->rt, path, &none))
        return false;
    slm_tokens_info_get(t, &i);
    slm_tokens_close(&t);
    return i.kind == SLM_TOKENS_TEXT;
}

/* One store: built at DIR/NAME, opened. */
static int build(struct slm_cli *c, slm_tokens **out, const struct slm_cli_train *a,
                 const struct slm_cli_list *paths, const char *name, const slm_model *m,
                 slm_err *err)
{
    const char *dir = a->store ? a->store : a->o.out, *origin;
    struct slm_cli_buf path = {0};
    struct slm_cli_progress bar;
    slm_data_report *report = slm_cli_realloc(NULL, sizeof *report); /* of many kilobytes */
    slm_data_opts o;
    memset(report, 0, sizeof *report);
    slm_cli_putf(&path, "%s/%s", dir ? dir : "", name);
    slm_data_opts_init(&o);
    choose(&o, a);
    o.paths = paths->item;
    o.n_paths = paths->n;
    o.tokenizer = slm_model_tokenizer(m);
    if (slm_model_chats(m)) {
        o.tmpl = slm_model_template(m, &origin);
        o.template_source = slm_model_template_source(m);
    }
    o.seq = streams(c, a, path.s) ? 0 : a->o.seq;
    int code = o.tokenizer ? 0
                           : slm_cli_fail(err, SLM_E_ARG,
                                          "the model has no tokenizer to read --data with");
    if (!code && !dir)
        code = slm_cli_fail(err, SLM_E_ARG, "-o DIR is missing: the rendered data goes there");
    if (!code)
        code = slm_cli_make_dir(dir, err);
    slm_cli_progress_start(&bar, c, name, "B");
    if (!code)
        code = slm_data_build(report, c->rt, &o, path.s, slm_cli_progress_step, &bar, err);
    if (!code && o.seq && streams(c, a, path.s)) { /* texts after all: whole documents */
        o.seq = 0;
        slm_data_report_release(report);
        code = slm_data_build(report, c->rt, &o, path.s, slm_cli_progress_step, &bar, err);
    }
    slm_cli_progress_end(&bar);
    if (report->rows)
        say_report(c, name, report);
    if (!code)
        code = slm_tokens_open(out, c->rt, path.s, err);
    slm_data_report_release(report);
    free(report);
    slm_cli_buf_free(&path);
    return code;
}

int slm_cli_train_data_open(struct slm_cli *c, struct slm_cli_train_data *d,
                            struct slm_cli_train *a, const slm_model *m, slm_err *err)
{
    int code = 0;
    if (!a->o.seq) {
        slm_model_info i;
        slm_model_info_get(m, &i);
        a->o.seq = i.context < 2048 ? i.context : 2048;
    }
    if (a->ids_file) {
        code = slm_cli_read_ids(&d->ids, c->rt, a->ids_file, err);
        a->o.ids = d->ids.data;
        a->o.n_ids = d->ids.len;
    } else if (a->pairs) {
        slm_pairs *pairs = NULL;
        code = slm_pairs_load(&pairs, m, a->pairs, err);
        if (!code)
            code = slm_pairs_tokens(&d->data, pairs, err);
        slm_pairs_free(pairs);
        a->o.data = d->data;
    } else {
        code = build(c, &d->data, a, &a->data, "data.tokens", m, err);
        a->o.data = d->data;
    }
    if (!code && a->eval.n)
        code = build(c, &d->eval, a, &a->eval, "eval.tokens", m, err);
    a->o.eval_data = d->eval;
    return code;
}

void slm_cli_train_data_close(struct slm_cli_train_data *d)
{
    slm_tokens_close(&d->data);
    slm_tokens_close(&d->eval);
    slm_ids_release(&d->ids);
}
