/* slm data mix: several sources in one shuffled file. */
#include "data_tools.h"

#include <stdlib.h>
#include <string.h>

struct args {
    struct slm_cli_common common;
    struct slm_cli_data_in in;
    struct slm_cli_list source;
    const char *out, *mark, *model, *rows, *bytes, *tokens, *count;
    float max_epochs;
    uint64_t seed;
};

#define F(field) offsetof(struct args, field)
static const struct slm_cli_opt opts[] = {
    SLM_CLI_VALUE(OPT_LIST, 0, "source", F(source), "FILE:WEIGHT",
                  "a file or folder and its weight; without weights each counts by its size "
                  "(may be given several times, or as words)"),
    SLM_CLI_VALUE(OPT_FILE, 'o', "out", F(out), "FILE",
                  "the mixture (without it: only the report)"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "rows", F(rows), "N", "so many rows in all"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "bytes", F(bytes), "N", "so many bytes; weights are of bytes"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "tokens", F(tokens), "N",
                  "so many tokens of --model; weights are of tokens"),
    SLM_CLI_CHOICE(0, "count", F(count), "rows bytes tokens",
                   "what weights are of, where no total is given (default: rows)"),
    SLM_CLI_VALUE(OPT_FILE, 'm', "model", F(model), "MODEL",
                  "whose tokenizer counts (a model, or a tokenizer alone)"),
    SLM_CLI_FLOAT(0, "max-epochs", F(max_epochs), "X", 0, 1000,
                  "no source is gone through more often (default: 4)"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "mark", F(mark), "FIELD",
                  "put the source's name into this field of each row"),
    SLM_CLI_VALUE(OPT_U64, 's', "seed", F(seed), "N", "seed of chance (default: 0)"),
    SLM_CLI_GROUP(slm_cli_data_in_opts, F(in), "Data"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

/* "a.jsonl:0.7": cuts the copy in `text` at the last colon where a number follows. */
static int parse_source(char *text, slm_mix_source *s, slm_err *err)
{
    char *colon = strrchr(text, ':'), *end;
    *s = (slm_mix_source){text, -1};
    if (!colon || slm_cli_exists(text))
        return 0;
    double w = strtod(colon + 1, &end);
    if (end == colon + 1 || *end)
        return 0;
    if (!(w > 0) || w > 1e15)
        return slm_cli_fail(err, SLM_E_ARG, "--source: the weight in '%.80s' is not above 0",
                            text);
    *colon = 0;
    s->weight = w;
    return 0;
}

static int parse_total(const char *text, const char *name, int unit, slm_mix_opts *o,
                       slm_err *err)
{
    char *end;
    if (!text)
        return 0;
    if (o->total > 0)
        return slm_cli_fail(err, SLM_E_ARG, "--%s: one total is enough", name);
    double v = strtod(text, &end);
    double scale = *end == 'k' ? 1e3 : *end == 'M' ? 1e6 : *end == 'G' ? 1e9 : 0;
    if (end == text || (*end && (scale == 0 || end[1])) || !(v > 0) || v > 1e15)
        return slm_cli_fail(err, SLM_E_ARG, "--%s: '%.40s' is no number above 0", name, text);
    o->total = v * (*end ? scale : 1);
    o->unit = unit;
    return 0;
}

static int set_unit(const struct args *a, slm_mix_opts *o, slm_err *err)
{
    if (a->count)
        o->unit = a->count[0] == 't'   ? SLM_MIX_TOKENS
                  : a->count[0] == 'b' ? SLM_MIX_BYTES
                                       : SLM_MIX_ROWS;
    int code = parse_total(a->rows, "rows", SLM_MIX_ROWS, o, err);
    if (!code)
        code = parse_total(a->bytes, "bytes", SLM_MIX_BYTES, o, err);
    if (!code)
        code = parse_total(a->tokens, "tokens", SLM_MIX_TOKENS, o, err);
    if (!code && o->unit == SLM_MIX_TOKENS && !a->model)
        code = slm_cli_fail(err, SLM_E_ARG, "-m MODEL is missing: whose tokens are counted");
    return code;
}

static void say_report(const struct slm_cli *c, const struct args *a, const slm_mix_opts *o,
                       const slm_mix_report *r)
{
    static const char *const units[] = {"rows", "bytes", "tokens"};
    char n[32], m[32];
    double want = 0;
    bool tight = false;
    slm_cli_data_say_seen(c, &r->seen);
    for (int i = 0; i < r->n_parts; i++) {
        const slm_mix_part *p = &r->part[i];
        want += p->want;
        tight |= p->capped;
        slm_cli_say(c, "%s: %s of %s rows, %.1f %% of the %s (asked %.1f %%), %.2f epochs%s",
                    p->name, slm_cli_count(n, p->rows),
                    slm_cli_count(m, p->seen.rows - p->seen.bad),
                    r->total > 0 ? 100 * p->written / r->total : 0, units[o->unit],
                    100 * p->weight, p->epochs, p->capped ? ": the most allowed" : "");
    }
    if (o->total > 0 && tight && want < o->total - 0.5)
        slm_cli_say(c, "%s %s were asked for: the sources do not have so many in %g epochs",
                    slm_cli_count(n, (int64_t)o->total), units[o->unit], o->max_epochs);
    slm_cli_say(c, "%s rows%s%s; seed %llu", slm_cli_count(n, r->rows), a->out ? ": " : "",
                a->out ? a->out : "", (unsigned long long)a->seed);
    if (o->unit != SLM_MIX_ROWS)
        slm_cli_say(c, "%s %s in all", slm_cli_count(n, (int64_t)r->total), units[o->unit]);
}

static void json_report(const slm_mix_report *r)
{
    struct slm_cli_json j = {.f = stdout};
    slm_js_open(&j, '{');
    slm_cli_data_json_seen(&j, &r->seen);
    slm_js_kint(&j, "written", r->rows);
    slm_js_kreal(&j, "total", r->total);
    slm_js_key(&j, "sources");
    slm_js_open(&j, '[');
    for (int i = 0; i < r->n_parts; i++) {
        const slm_mix_part *p = &r->part[i];
        slm_js_open(&j, '{');
        slm_js_kstr(&j, "path", p->name);
        slm_js_kint(&j, "rows", p->seen.rows);
        slm_js_kint(&j, "bad", p->seen.bad);
        slm_js_kreal(&j, "have", p->have);
        slm_js_kreal(&j, "weight", p->weight);
        slm_js_kreal(&j, "wanted", p->want);
        slm_js_kreal(&j, "written", p->written);
        slm_js_kint(&j, "rows_written", p->rows);
        slm_js_kreal(&j, "epochs", p->epochs);
        slm_js_key(&j, "capped");
        slm_js_bool(&j, p->capped);
        slm_js_close(&j, '}');
    }
    slm_js_close(&j, ']');
    slm_js_close(&j, '}');
}

/* All sources, of --source and of the words; *text holds what they point into. */
static int set_sources(struct slm_cli *c, const struct args *a, slm_mix_source *s, int *n,
                       struct slm_cli_buf *text, slm_err *err)
{
    int total = a->source.n + c->words.n, code = 0;
    if (total < 1 || total > SLM_MIX_MOST)
        return slm_cli_fail(err, SLM_E_ARG,
                            total
                                ? "over %d sources"
                                : "no source: name files, with --source FILE:WEIGHT or plainly",
                            SLM_MIX_MOST);
    for (int i = 0; i < total && !code; i++) {
        slm_cli_puts(&text[i],
                     i < a->source.n ? a->source.item[i] : c->words.v[i - a->source.n]);
        code = parse_source(text[i].s, &s[i], err);
    }
    *n = total;
    return code;
}

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    struct args *a = p;
    struct slm_cli_progress bar;
    struct slm_cli_buf text[SLM_MIX_MOST] = {{0}};
    slm_mix_source source[SLM_MIX_MOST];
    slm_corpus_in in;
    slm_mix_report r;
    slm_mix_opts o;
    slm_tokenizer *tok = NULL;
    slm_mix_opts_init(&o);
    o.source = source;
    o.max_epochs = slm_cli_share(a->max_epochs);
    o.seed = a->seed;
    o.mark = a->mark;
    o.out = a->out;
    int code = set_unit(a, &o, err);
    if (!code)
        code = set_sources(c, a, source, &o.n_sources, text, err);
    if (!code)
        code = slm_cli_runtime(c, err);
    if (!code && a->model)
        code = slm_tokenizer_open(&tok, c->rt, a->model, err);
    o.tokenizer = tok;
    if (!code)
        code = slm_cli_data_in(c, &a->in, &bar, &in, err);
    slm_cli_progress_start(&bar, c, "mix", "B");
    if (!code)
        code = slm_corpus_mix(&r, c->rt, &in, &o, err);
    slm_cli_progress_end(&bar);
    if (!code) {
        say_report(c, a, &o, &r);
        if (a->common.json)
            json_report(&r);
        slm_corpus_release(&r.own);
    }
    slm_tokenizer_close(&tok);
    for (int i = 0; i < SLM_MIX_MOST; i++)
        slm_cli_buf_free(&text[i]);
    return code;
}

static void defaults(void *p)
{
    struct args *a = p;
    slm_mix_opts o;
    slm_mix_opts_init(&o);
    a->max_epochs = (float)o.max_epochs;
}

const struct slm_cli_command slm_data_mix = {
    .name = "data mix",
    .run = run,
    .args = "[FILE:WEIGHT] ...",
    .summary = "draw rows of several sources into one file",
    .about =
        "Draws rows of the sources into one shuffled file, so many of each as its weight asks. "
        "Each source is shuffled anew for every epoch; what is small is repeated, up to "
        "--max-epochs, and what it cannot give is shared out among the others. Without a total "
        "as much is written as can be had without going through any source twice."
        "\n\n"
        "Rows of one form stay as they are; rows of several become JSON lines.",
    .examples = "slm data mix --source chat.jsonl:0.7 --source code.jsonl:0.3 -o mix.jsonl\n"
                "slm data mix a.jsonl:3 b.jsonl:1 --rows 100k --max-epochs 2 -o mix.jsonl\n"
                "slm data mix web/:0.5 books/:0.5 --tokens 20M -m model.gguf -o mix.jsonl",
    .opts = opts,
    .size = sizeof(struct args),
    .defaults = defaults,
};
