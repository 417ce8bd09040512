/* slm data dedup: exact and near-duplicates out, and what is no proper text. */
#include "data_tools.h"

#include <string.h>

struct args {
    struct slm_cli_common common;
    struct slm_cli_data_in in;
    const char *out, *removed, *filter;
    int exact, words, hashes, bands, rows, verify, show, memory;
    float threshold;
    uint64_t seed;
};

#define F(field) offsetof(struct args, field)
static const struct slm_cli_opt opts[] = {
    SLM_CLI_VALUE(OPT_FILE, 'o', "out", F(out), "FILE",
                  "the rows that stay (without it: only the report)"),
    SLM_CLI_VALUE(OPT_FILE, 0, "removed", F(removed), "FILE",
                  "the rows that go, as JSON lines with the reason and the row kept instead"),
    SLM_CLI_FLAG(0, "exact", F(exact),
                 "exact duplicates only: the same text but for white space"),
    SLM_CLI_FLOAT(0, "threshold", F(threshold), "X", 0, 1,
                  "near-duplicates share so much of their runs of words (default: 0.72)"),
    SLM_CLI_INT(0, "words", F(words), "N", 1, 1000, "words of a run (default: 5)"),
    SLM_CLI_INT(0, "hashes", F(hashes), "N", 1, 1024,
                "at most so many hashes a row (default: 112)"),
    SLM_CLI_INT(0, "bands", F(bands), "N", 1, 1024,
                "with --rows, instead of --threshold: bands of hashes"),
    SLM_CLI_INT(0, "rows", F(rows), "N", 1, 1024, "hashes of a band"),
    SLM_CLI_FLAG(0, "verify", F(verify),
                 "hold the rows themselves against each other: only true near-duplicates go"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "filter", F(filter), "NAMES",
                  "rules of quality too: gopher, gopher-repetition, or both with a comma"),
    SLM_CLI_INT(0, "memory", F(memory), "MIB", 1, 1 << 24,
                "memory for keys; less makes more passes (default: 2048)"),
    SLM_CLI_VALUE(OPT_U64, 's', "seed", F(seed), "N", "seed of the hashes (default: 0)"),
    SLM_CLI_INT(0, "show", F(show), "N", 0, 1000, "clusters to show (default: 5)"),
    SLM_CLI_GROUP(slm_cli_data_in_opts, F(in), "Data"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

static void json_cluster(struct slm_cli_json *j, const slm_dedup_cluster *c)
{
    slm_js_open(j, '{');
    slm_js_kint(j, "rows", c->rows);
    slm_cli_data_json_note(j, "kept", &c->kept);
    slm_js_key(j, "removed");
    slm_js_open(j, '[');
    for (int i = 0; i < c->n_out; i++) {
        slm_js_open(j, '{');
        slm_js_kstr(j, "file", c->out[i].file);
        slm_js_kint(j, "line", c->out[i].line);
        slm_js_kreal(j, "similarity", c->similar[i]);
        slm_js_kstr(j, "text", c->out[i].text);
        slm_js_close(j, '}');
    }
    slm_js_close(j, ']');
    slm_js_close(j, '}');
}

static void json_report(const slm_dedup_report *r)
{
    struct slm_cli_json j = {.f = stdout};
    slm_js_open(&j, '{');
    slm_cli_data_json_seen(&j, &r->seen);
    slm_js_kint(&j, "filtered", r->filtered);
    slm_cli_data_json_counts(&j, "filter", r->rule, r->n_rules);
    slm_js_kint(&j, "exact", r->exact);
    slm_js_kint(&j, "near", r->near);
    slm_js_kint(&j, "kept", r->kept);
    slm_js_kint(&j, "bands", r->bands);
    slm_js_kint(&j, "rows_per_band", r->rows);
    slm_js_kreal(&j, "threshold", r->threshold);
    slm_js_kint(&j, "passes", r->passes);
    slm_js_kint(&j, "pairs_compared", r->pairs);
    slm_js_kint(&j, "pairs_refused", r->pairs_refused);
    slm_js_kint(&j, "clusters", r->clusters);
    slm_js_kint(&j, "largest", r->largest);
    slm_js_key(&j, "examples");
    slm_js_open(&j, '[');
    for (int i = 0; i < r->n_shown; i++)
        json_cluster(&j, &r->cluster[i]);
    slm_js_close(&j, ']');
    slm_js_close(&j, '}');
}

static void say_method(const struct slm_cli *c, const slm_dedup_report *r)
{
    char n[32], m[32];
    if (!r->bands)
        return;
    slm_cli_say(
        c,
        "near-duplicates: %d bands of %d hashes: rows that share .6 .7 .8 .9 of their "
        "runs meet with %.3f %.3f %.3f %.3f%s",
        r->bands, r->rows, slm_dedup_chance(.6, r->bands, r->rows),
        slm_dedup_chance(.7, r->bands, r->rows), slm_dedup_chance(.8, r->bands, r->rows),
        slm_dedup_chance(.9, r->bands, r->rows), r->passes > 1 ? "; several passes" : "");
    if (r->pairs)
        slm_cli_say(c, "%s pairs compared, %s of them share less than %.2f",
                    slm_cli_count(n, r->pairs), slm_cli_count(m, r->pairs_refused),
                    r->threshold);
}

static void say_clusters(const struct slm_cli *c, const slm_dedup_report *r)
{
    char n[32], m[32];
    if (r->clusters)
        slm_cli_say(c, "%s cluster%s of duplicates, the largest of %s rows",
                    slm_cli_count(n, r->clusters), r->clusters == 1 ? "" : "s",
                    slm_cli_count(m, r->largest));
    for (int i = 0; i < r->n_shown; i++) {
        const slm_dedup_cluster *k = &r->cluster[i];
        slm_cli_say(c, "  %s rows, kept %s:%lld: %s", slm_cli_count(n, k->rows), k->kept.file,
                    (long long)k->kept.line, k->kept.text);
        for (int e = 0; e < k->n_out; e++)
            slm_cli_say(c, "    %.2f %s:%lld: %s", k->similar[e], k->out[e].file,
                        (long long)k->out[e].line, k->out[e].text);
    }
}

static void say_report(const struct slm_cli *c, const struct args *a, const slm_dedup_report *r)
{
    char n[32], m[32];
    slm_cli_data_say_seen(c, &r->seen);
    if (a->filter)
        slm_cli_say(c, "%s left out by rules of quality", slm_cli_count(n, r->filtered));
    for (int i = 0; i < r->n_rules; i++)
        if (r->rule[i].rows)
            slm_cli_say(c, "  %s: %s", slm_cli_count(n, r->rule[i].rows), r->rule[i].name);
    say_method(c, r);
    say_clusters(c, r);
    slm_cli_say(c, "%s left out as exact duplicates, %s as near-duplicates",
                slm_cli_count(n, r->exact), slm_cli_count(m, r->near));
    if (r->near * 2 > r->seen.rows)
        slm_cli_say(c, "more than half of the rows are near-duplicates: if that is a prompt "
                       "which they share, say with --by which fields count");
    slm_cli_say(c, "%s rows stay%s%s", slm_cli_count(n, r->kept), a->out ? ": " : "",
                a->out ? a->out : "");
}

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    struct args *a = p;
    struct slm_cli_progress bar;
    slm_corpus_in in;
    slm_dedup_report r;
    slm_dedup_opts o;
    slm_dedup_opts_init(&o);
    o.near = !a->exact;
    o.words = a->words;
    o.hashes = a->hashes;
    o.threshold = slm_cli_share(a->threshold);
    o.bands = a->bands;
    o.rows = a->rows;
    o.verify = a->verify;
    o.seed = a->seed;
    o.memory = (uint64_t)a->memory << 20;
    o.filter = a->filter;
    o.out = a->out;
    o.removed = a->removed;
    o.show = a->show;
    int code = slm_cli_runtime(c, err);
    if (!code)
        code = slm_cli_data_in(c, &a->in, &bar, &in, err);
    slm_cli_progress_start(&bar, c, "dedup", "B");
    if (!code)
        code = slm_corpus_dedup(&r, c->rt, &in, &o, err);
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
    slm_dedup_opts o;
    slm_dedup_opts_init(&o);
    a->words = o.words;
    a->hashes = o.hashes;
    a->threshold = 0.72f;
    a->memory = (int)(o.memory >> 20);
    a->show = o.show;
}

const struct slm_cli_command slm_data_dedup = {
    .name = "data dedup",
    .run = run,
    .args = "FILE ...",
    .summary = "leave out duplicates, exact and near",
    .about =
        "Reads the rows of FILEs (and folders) and leaves out: exact duplicates (the same text "
        "but for white space), near-duplicates, and with --filter what breaks rules of "
        "quality. "
        "Of the rows that belong together the first stays. Without -o only the report is made."
        "\n\n"
        "Near-duplicates are found by MinHash over runs of five words (lower case, without "
        "punctuation) in 14 bands of 8 hashes: two rows that share 80 % of their runs meet "
        "with "
        "a chance of 92 %. Another --threshold chooses bands and hashes whose chance rises "
        "there. --verify holds the rows that met against each other before one goes."
        "\n\n"
        "What the system says is not compared, for all rows may share it; where prompts are "
        "alike too, --by tells which fields count.",
    .examples = "slm data dedup train.jsonl -o clean.jsonl --removed gone.jsonl\n"
                "slm data dedup chats/ --by messages.user.content --verify -o clean.jsonl\n"
                "slm data dedup web.jsonl --filter gopher,gopher-repetition -o clean.jsonl",
    .opts = opts,
    .size = sizeof(struct args),
    .defaults = defaults,
};
