/* slm data decontaminate: rows that share text with evaluation sets. */
#include "data_tools.h"

struct args {
    struct slm_cli_common common;
    struct slm_cli_data_in in;
    struct slm_cli_list against, against_by;
    const char *out, *removed;
    int ngram, least, common_rows, show;
};

#define F(field) offsetof(struct args, field)
static const struct slm_cli_opt opts[] = {
    SLM_CLI_VALUE(OPT_LIST, 0, "against", F(against), "FILE",
                  "an evaluation set, or a folder of them (may be given several times)"),
    SLM_CLI_VALUE(OPT_LIST, 0, "against-by", F(against_by), "FIELD",
                  "only the text of this field of them counts (may be given several times)"),
    SLM_CLI_VALUE(OPT_FILE, 'o', "out", F(out), "FILE",
                  "the rows that stay (without it: only the report)"),
    SLM_CLI_VALUE(
        OPT_FILE, 0, "removed|report", F(removed), "FILE",
        "the rows that go, as JSON lines with the words in common and whose they are"),
    SLM_CLI_INT(0, "ngram", F(ngram), "N", 2, 1000,
                "so many words in a row are an overlap (default: 13)"),
    SLM_CLI_INT(0, "least", F(least), "N", 1, 1000,
                "a whole question or answer counts from so many words (default: 6)"),
    SLM_CLI_INT(0, "common", F(common_rows), "N", 0, 1 << 30,
                "words that more evaluation rows share are their form and no evidence; 0: all "
                "are (default: 10)"),
    SLM_CLI_INT(0, "show", F(show), "N", 0, 1000, "rows to show (default: 5)"),
    SLM_CLI_GROUP(slm_cli_data_in_opts, F(in), "Data"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

static void say_report(const struct slm_cli *c, const struct args *a, const slm_decon_report *r)
{
    char n[32], m[32];
    slm_cli_say(c, "evaluation sets:");
    slm_cli_data_say_seen(c, &r->eval);
    slm_cli_say(c, "%s runs of %d words; %s rows are shorter", slm_cli_count(n, r->grams),
                a->ngram, slm_cli_count(m, r->short_rows));
    if (r->common_grams)
        slm_cli_say(c, "%s runs stand in more than %d of their rows and are no evidence",
                    slm_cli_count(n, r->common_grams), a->common_rows);
    slm_cli_say(c, "data:");
    slm_cli_data_say_seen(c, &r->seen);
    for (int i = 0; i < r->n_hits; i++)
        slm_cli_say(c, "  %s:%lld and %s:%lld: %s", r->hit[i].row.file,
                    (long long)r->hit[i].row.line, r->hit[i].eval.file,
                    (long long)r->hit[i].eval.line, r->hit[i].row.text);
    slm_cli_say(c, "%s rows left out: %d words in a row in common",
                slm_cli_count(n, r->by_gram), a->ngram);
    slm_cli_say(c, "%s rows left out: a whole question or answer in common",
                slm_cli_count(n, r->by_text));
    for (int i = 0; i < r->n_sets; i++)
        if (r->set[i].rows)
            slm_cli_say(c, "  %s for %s", slm_cli_count(n, r->set[i].rows), r->set[i].name);
    slm_cli_say(c, "%s of %s evaluation rows were in the data", slm_cli_count(n, r->eval_hit),
                slm_cli_count(m, r->eval.rows));
    slm_cli_say(c, "%s rows stay%s%s", slm_cli_count(n, r->kept), a->out ? ": " : "",
                a->out ? a->out : "");
}

static void json_report(const slm_decon_report *r)
{
    struct slm_cli_json j = {.f = stdout};
    slm_js_open(&j, '{');
    slm_cli_data_json_seen(&j, &r->seen);
    slm_js_key(&j, "against");
    slm_js_open(&j, '{');
    slm_cli_data_json_seen(&j, &r->eval);
    slm_js_kint(&j, "runs", r->grams);
    slm_js_kint(&j, "common_runs", r->common_grams);
    slm_js_kint(&j, "short_rows", r->short_rows);
    slm_js_kint(&j, "found", r->eval_hit);
    slm_js_close(&j, '}');
    slm_js_kint(&j, "by_ngram", r->by_gram);
    slm_js_kint(&j, "by_text", r->by_text);
    slm_cli_data_json_counts(&j, "sets", r->set, r->n_sets);
    slm_js_kint(&j, "kept", r->kept);
    slm_js_key(&j, "examples");
    slm_js_open(&j, '[');
    for (int i = 0; i < r->n_hits; i++) {
        slm_js_open(&j, '{');
        slm_cli_data_json_note(&j, "row", &r->hit[i].row);
        slm_cli_data_json_note(&j, "eval", &r->hit[i].eval);
        slm_js_close(&j, '}');
    }
    slm_js_close(&j, ']');
    slm_js_close(&j, '}');
}

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    struct args *a = p;
    struct slm_cli_progress bar;
    slm_corpus_in in;
    slm_decon_report r;
    slm_decon_opts o;
    slm_decon_opts_init(&o);
    o.against = a->against.item;
    o.n_against = a->against.n;
    o.against_by = a->against_by.item;
    o.n_against_by = a->against_by.n;
    o.ngram = a->ngram;
    o.least = a->least;
    o.common = a->common_rows;
    o.out = a->out;
    o.removed = a->removed;
    o.show = a->show;
    if (!a->against.n)
        return slm_cli_fail(err, SLM_E_ARG, "--against FILE is missing");
    int code = slm_cli_runtime(c, err);
    if (!code)
        code = slm_cli_data_in(c, &a->in, &bar, &in, err);
    slm_cli_progress_start(&bar, c, "decontaminate", "B");
    if (!code)
        code = slm_corpus_decontaminate(&r, c->rt, &in, &o, err);
    slm_cli_progress_end(&bar);
    if (code)
        return code;
    say_report(c, a, &r);
    if (a->common.json)
        json_report(&r);
    slm_corpus_release(&r.own);
    return 0;
}

static void defaults(void *p)
{
    struct args *a = p;
    slm_decon_opts o;
    slm_decon_opts_init(&o);
    a->ngram = o.ngram;
    a->least = o.least;
    a->common_rows = o.common;
    a->show = o.show;
}

const struct slm_cli_command slm_data_decon = {
    .name = "data decontaminate",
    .run = run,
    .args = "FILE ...",
    .summary = "leave out rows that are in evaluation sets",
    .about =
        "Leaves out the rows of FILEs that share 13 words in a row (--ngram) with a row of an "
        "evaluation set, or a whole question or answer of six words or more. Words are "
        "compared "
        "in lower case and without punctuation. What many evaluation rows share (\"choose the "
        "right answer\") is their form and counts for nothing; --common sets how many. "
        "Paraphrases and translations pass: this finds copies.",
    .examples = "slm data decontaminate train.jsonl --against gsm8k.jsonl -o clean.jsonl\n"
                "slm data decontaminate web/ --against evals/ --removed found.jsonl --json",
    .opts = opts,
    .size = sizeof(struct args),
    .defaults = defaults,
};
