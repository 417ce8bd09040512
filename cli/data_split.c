/* slm data split: rows dealt out for training, validation and testing. */
#include "data_tools.h"

#include <stdlib.h>
#include <string.h>

struct args {
    struct slm_cli_common common;
    struct slm_cli_data_in in;
    const char *out, *train, *valid, *test, *stratify, *group;
    int leaks, memory, words;
    float threshold;
    uint64_t seed;
};

#define F(field) offsetof(struct args, field)
static const struct slm_cli_opt opts[] = {
    SLM_CLI_VALUE(
        OPT_FILE, 'o', "out", F(out), "FOLDER",
        "writes FOLDER/train.jsonl, valid.jsonl, test.jsonl (.csv, .tsv or .txt where "
        "all inputs are; without it: only the report)"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "train", F(train), "X",
                  "share of the rows, or how many (default: what the others leave; without any "
                  "of the three .9, .05, .05)"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "valid", F(valid), "X", "the same for validation"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "test", F(test), "X", "the same for testing"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "stratify", F(stratify), "FIELD",
                  "the values of this field keep their shares in every part"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "group", F(group), "FIELD",
                  "rows with the same value stay together; @file: rows of one file"),
    SLM_CLI_FLAG(0, "leaks", F(leaks), "let near-duplicates fall into different parts"),
    SLM_CLI_FLOAT(0, "threshold", F(threshold), "X", 0, 1,
                  "near-duplicates share so much of their runs of words (default: 0.72)"),
    SLM_CLI_INT(0, "words", F(words), "N", 1, 1000, "words of a run (default: 5)"),
    SLM_CLI_INT(0, "memory", F(memory), "MIB", 1, 1 << 24,
                "memory for keys; less makes more passes (default: 2048)"),
    SLM_CLI_VALUE(OPT_U64, 's', "seed", F(seed), "N", "seed of chance (default: 0)"),
    SLM_CLI_GROUP(slm_cli_data_in_opts, F(in), "Data"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

static int parse_share(const char *text, const char *name, double *out, slm_err *err)
{
    char *end;
    *out = text ? strtod(text, &end) : -1;
    if (text && (end == text || *end || !(*out >= 0) || *out > 1e15))
        return slm_cli_fail(err, SLM_E_ARG, "--%s: '%.40s' is neither a share nor a number",
                            name, text);
    return 0;
}

/* The parts asked for; what is 0 is left out. */
static int set_parts(const struct args *a, slm_split_opts *o, slm_err *err)
{
    static const char *const names[] = {"train", "valid", "test"};
    const char *const text[] = {a->train, a->valid, a->test};
    double share[3], rest = 1;
    int code = 0;
    for (int i = 0; i < 3 && !code; i++)
        code = parse_share(text[i], names[i], &share[i], err);
    if (code || (!a->train && !a->valid && !a->test))
        return code;
    for (int i = 0; i < 3; i++)
        rest -= share[i] > 0 && share[i] <= 1 ? share[i] : 0;
    if (!a->train)
        share[0] = rest;
    else if (!a->test && !a->valid)
        share[2] = share[0] > 1 ? 1 : rest;
    o->n_parts = 0;
    for (int i = 0; i < 3; i++)
        if (share[i] > 1e-9)
            o->part[o->n_parts++] = (slm_split_part){names[i], NULL, share[i]};
    return 0;
}

/* The ending that the outputs get: the inputs' where it can hold rows one by one. */
static const char *ending(const struct slm_cli *c, const struct args *a)
{
    static const char *const ends[] = {".csv", ".tsv", ".txt"};
    for (size_t k = 0; k < 3; k++) {
        int n = 0;
        for (int i = 0; i < c->words.n; i++) {
            size_t len = strlen(c->words.v[i]);
            n += len > 4 && !strcmp(c->words.v[i] + len - 4, ends[k]);
        }
        if (n == c->words.n && (k < 2 || a->in.separator) && !a->in.form)
            return ends[k];
    }
    return ".jsonl";
}

static int name_parts(struct slm_cli *c, const struct args *a, slm_split_opts *o,
                      struct slm_cli_buf *path, slm_err *err)
{
    if (!a->out)
        return 0;
    int code = slm_cli_make_dir(a->out, err);
    for (int i = 0; i < o->n_parts && !code; i++) {
        slm_cli_putf(&path[i], "%s/%s%s", a->out, o->part[i].name, ending(c, a));
        o->part[i].out = path[i].s;
    }
    return code;
}

static void say_labels(const struct slm_cli *c, const slm_split_opts *o,
                       const slm_split_report *r)
{
    enum { SHOWN = 12 };
    int missing[SLM_SPLIT_MOST] = {0};
    for (int k = 0; k < r->n_labels; k++) {
        char line[256] = "";
        for (int p = 0; p < o->n_parts; p++) {
            size_t n = strlen(line);
            missing[p] += !r->label[k].rows[p];
            snprintf(line + n, sizeof line - n, "%s%lld", p ? " / " : "",
                     (long long)r->label[k].rows[p]);
        }
        if (k < SHOWN)
            slm_cli_say(c, "  %s: %s", r->label[k].name, line);
    }
    if (r->n_labels > SHOWN)
        slm_cli_say(c, "  ... %d labels in all", r->n_labels);
    for (int p = 0; p < o->n_parts; p++)
        if (missing[p])
            slm_cli_say(c, "%d labels do not occur in %s", missing[p], o->part[p].name);
}

static void say_report(const struct slm_cli *c, const struct args *a, const slm_split_opts *o,
                       const slm_split_report *r)
{
    char n[32], m[32];
    slm_cli_data_say_seen(c, &r->seen);
    if (r->no_field)
        slm_cli_say(c, "%s rows have no %s: %s", slm_cli_count(n, r->no_field),
                    a->stratify ? a->stratify : a->group,
                    a->stratify ? "a label of their own" : "each stands alone");
    if (a->group)
        slm_cli_say(c, "%s groups of more than one row by %s", slm_cli_count(n, r->groups),
                    a->group);
    if (r->near)
        slm_cli_say(c, "%s cluster%s of near-duplicates (%s rows) kept on one side",
                    slm_cli_count(n, r->near), r->near == 1 ? "" : "s",
                    slm_cli_count(m, r->near_rows));
    slm_cli_say(c, "%s units dealt out, the largest of %s rows; seed %llu",
                slm_cli_count(n, r->units), slm_cli_count(m, r->largest),
                (unsigned long long)a->seed);
    for (int i = 0; i < o->n_parts; i++) {
        int64_t off = r->rows[i] - r->want[i];
        char more[64] = "";
        if (off)
            snprintf(more, sizeof more, ", %lld %s than asked",
                     (long long)(off < 0 ? -off : off), off < 0 ? "fewer" : "more");
        slm_cli_say(c, "%s: %s rows%s%s%s", o->part[i].name, slm_cli_count(n, r->rows[i]), more,
                    o->part[i].out ? ": " : "", o->part[i].out ? o->part[i].out : "");
    }
    say_labels(c, o, r);
}

static void json_report(const slm_split_opts *o, const slm_split_report *r)
{
    struct slm_cli_json j = {.f = stdout};
    slm_js_open(&j, '{');
    slm_cli_data_json_seen(&j, &r->seen);
    slm_js_kint(&j, "no_field", r->no_field);
    slm_js_kint(&j, "groups", r->groups);
    slm_js_kint(&j, "near_clusters", r->near);
    slm_js_kint(&j, "near_rows", r->near_rows);
    slm_js_kint(&j, "units", r->units);
    slm_js_kint(&j, "largest", r->largest);
    slm_js_key(&j, "parts");
    slm_js_open(&j, '{');
    for (int i = 0; i < o->n_parts; i++) {
        slm_js_key(&j, o->part[i].name);
        slm_js_open(&j, '{');
        slm_js_kint(&j, "rows", r->rows[i]);
        slm_js_kint(&j, "wanted", r->want[i]);
        slm_js_kstr(&j, "path", o->part[i].out);
        slm_js_key(&j, "labels");
        slm_js_open(&j, '{');
        for (int k = 0; k < r->n_labels; k++)
            slm_js_kint(&j, r->label[k].name, r->label[k].rows[i]);
        slm_js_close(&j, '}');
        slm_js_close(&j, '}');
    }
    slm_js_close(&j, '}');
    slm_js_close(&j, '}');
}

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    struct args *a = p;
    struct slm_cli_progress bar;
    struct slm_cli_buf path[SLM_SPLIT_MOST] = {{0}};
    slm_corpus_in in;
    slm_split_report r;
    slm_split_opts o;
    slm_split_opts_init(&o);
    o.stratify = a->stratify;
    o.group = a->group;
    o.leaks = a->leaks;
    o.words = a->words;
    o.threshold = slm_cli_share(a->threshold);
    o.seed = a->seed;
    o.memory = (uint64_t)a->memory << 20;
    int code = set_parts(a, &o, err);
    if (!code)
        code = slm_cli_runtime(c, err);
    if (!code)
        code = slm_cli_data_in(c, &a->in, &bar, &in, err);
    if (!code)
        code = name_parts(c, a, &o, path, err);
    slm_cli_progress_start(&bar, c, "split", "B");
    if (!code)
        code = slm_corpus_split(&r, c->rt, &in, &o, err);
    slm_cli_progress_end(&bar);
    if (!code) {
        say_report(c, a, &o, &r);
        if (a->common.json)
            json_report(&o, &r);
        slm_corpus_release(&r.own);
    }
    for (int i = 0; i < SLM_SPLIT_MOST; i++)
        slm_cli_buf_free(&path[i]);
    return code;
}

static void defaults(void *p)
{
    struct args *a = p;
    slm_split_opts o;
    slm_split_opts_init(&o);
    a->words = o.words;
    a->threshold = 0.72f;
    a->memory = (int)(o.memory >> 20);
}

const struct slm_cli_command slm_data_split = {
    .name = "data split",
    .run = run,
    .args = "FILE ...",
    .summary = "part rows for training, validation and testing",
    .about =
        "Deals the rows of FILEs out to train, valid and test, by chance from --seed. "
        "Near-duplicates (as slm data dedup finds them) fall on the same side, so that what is "
        "tested was not seen in training; --group keeps more together, such as all rows of a "
        "work, a user or a file. --stratify keeps the shares of labels. Without groups the "
        "numbers of rows are exact; with them, the report tells how far off they are. The "
        "order "
        "of rows within a part stays."
        "\n\n"
        "A number above 1 means rows: --test 500 takes 500 for testing.",
    .examples = "slm data split all.jsonl -o parts\n"
                "slm data split intents.csv --stratify label --test .2 -o parts\n"
                "slm data split books/ --separator blank --group @file --valid .1 -o parts",
    .opts = opts,
    .size = sizeof(struct args),
    .defaults = defaults,
};
