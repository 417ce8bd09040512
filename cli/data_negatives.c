/* slm data negatives: rows whose right answer is that none of the offered ones is right. */
#include "data_tools.h"

struct args {
    struct slm_cli_common common;
    struct slm_cli_data_in in;
    struct slm_cli_list none, hold, others;
    const char *label, *options, *answer, *query, *mark, *out;
    float share;
    uint64_t seed;
};

#define F(field) offsetof(struct args, field)
static const struct slm_cli_opt opts[] = {
    SLM_CLI_VALUE(OPT_FILE, 'o', "out", F(out), "FILE",
                  "all rows, the added ones among them (without it: only the report)"),
    SLM_CLI_FLOAT(0, "share", F(share), "X", 0, 0.99,
                  "share of added rows among those written (default: 0.1)"),
    SLM_CLI_VALUE(
        OPT_LIST, 0, "none", F(none), "TEXT",
        "what is answered then; several are used in turn (default: \"none of these\"; "
        "a JSON object takes the place of a whole answer that is JSON)"),
    SLM_CLI_VALUE(
        OPT_TEXT, 0, "label", F(label), "FIELD",
        "where the right label stands: label, messages.-1.content.intent (default: the "
        "tool that is called, else the answer is the label)"),
    SLM_CLI_VALUE(
        OPT_TEXT, 0, "options", F(options), "FIELD",
        "where the labels offered stand: a list or a text (default: tools, else a list "
        "in the text of the prompt)"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "answer", F(answer), "FIELD",
                  "the answer (default: the assistant's last turn, completion, output, answer, "
                  "label)"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "query", F(query), "FIELD",
                  "the question, for --from (default: the user's last turn, prompt, input, "
                  "text)"),
    SLM_CLI_VALUE(OPT_LIST, 0, "hold-out", F(hold), "LABEL",
                  "all rows of this label are answered so (may be given several times)"),
    SLM_CLI_VALUE(
        OPT_LIST, 0, "from", F(others), "FILE",
        "questions from elsewhere, asked in the form of our rows, make half of what is "
        "added (may be given several times)"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "mark", F(mark), "FIELD",
                  "the field that tells of what is added (default: negative)"),
    SLM_CLI_VALUE(OPT_U64, 's', "seed", F(seed), "N", "seed of chance (default: 0)"),
    SLM_CLI_GROUP(slm_cli_data_in_opts, F(in), "Data"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

static void say_report(const struct slm_cli *c, const struct args *a,
                       const slm_negatives_report *r)
{
    enum { SHOWN = 10 };
    char n[32], m[32];
    int64_t added = r->held_out + r->others;
    slm_cli_data_say_seen(c, &r->seen);
    slm_cli_say(c, "%s rows added where the right one is not offered, %s from elsewhere",
                slm_cli_count(n, r->held_out), slm_cli_count(m, r->others));
    if (added < r->wanted)
        slm_cli_say(c, "%s were wanted: there are no more rows to make them of",
                    slm_cli_count(n, r->wanted));
    if (r->relabeled)
        slm_cli_say(c, "%s rows of labels held out answered anew (not added)",
                    slm_cli_count(n, r->relabeled));
    for (int i = 0; i < r->n_labels && i < SHOWN; i++)
        slm_cli_say(c, "  %s: %s", r->label[i].name, slm_cli_count(n, r->label[i].rows));
    if (r->n_labels > SHOWN)
        slm_cli_say(c, "  ... %d labels in all", r->n_labels);
    if (r->unusable)
        slm_cli_say(c, "of %s rows no negative can be made:", slm_cli_count(n, r->unusable));
    for (int i = 0; i < r->n_why; i++)
        slm_cli_say(c, "  %s:%lld: %s", r->why[i].file, (long long)r->why[i].line,
                    r->why[i].text);
    for (int i = 0; i < r->n_examples; i++)
        slm_cli_say(c, "of %s:%lld: %s", r->example[i].file, (long long)r->example[i].line,
                    r->example[i].text);
    slm_cli_say(c, "%s rows, %.1f %% of them added and marked \"%s\"%s%s",
                slm_cli_count(n, r->written),
                r->written ? 100 * (double)added / (double)r->written : 0, a->mark,
                a->out ? ": " : "", a->out ? a->out : "");
}

static void json_report(const slm_negatives_report *r)
{
    struct slm_cli_json j = {.f = stdout};
    slm_js_open(&j, '{');
    slm_cli_data_json_seen(&j, &r->seen);
    slm_js_kint(&j, "written", r->written);
    slm_js_kint(&j, "wanted", r->wanted);
    slm_js_kint(&j, "held_out", r->held_out);
    slm_js_kint(&j, "from_elsewhere", r->others);
    slm_js_kint(&j, "relabeled", r->relabeled);
    slm_js_kint(&j, "unusable", r->unusable);
    slm_cli_data_json_notes(&j, "why", r->why, r->n_why);
    slm_cli_data_json_counts(&j, "labels", r->label, r->n_labels);
    slm_cli_data_json_notes(&j, "examples", r->example, r->n_examples);
    slm_js_close(&j, '}');
}

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    static const char *const plain[] = {"none of these"};
    struct args *a = p;
    struct slm_cli_progress bar;
    slm_corpus_in in;
    slm_negatives_report r;
    slm_negatives_opts o;
    slm_negatives_opts_init(&o);
    o.label = a->label;
    o.options = a->options;
    o.answer = a->answer;
    o.query = a->query;
    o.none = a->none.n ? a->none.item : plain;
    o.n_none = a->none.n ? a->none.n : 1;
    o.hold = a->hold.item;
    o.n_hold = a->hold.n;
    o.others = a->others.item;
    o.n_others = a->others.n;
    o.share = slm_cli_share(a->share);
    o.mark = a->mark;
    o.seed = a->seed;
    o.out = a->out;
    int code = slm_cli_runtime(c, err);
    if (!code)
        code = slm_cli_data_in(c, &a->in, &bar, &in, err);
    slm_cli_progress_start(&bar, c, "negatives", "B");
    if (!code)
        code = slm_corpus_negatives(&r, c->rt, &in, &o, err);
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
    slm_negatives_opts o;
    slm_negatives_opts_init(&o);
    a->share = (float)o.share;
    a->mark = o.mark;
}

const struct slm_cli_command slm_data_negatives = {
    .name = "data negatives",
    .run = run,
    .args = "FILE ...",
    .summary = "add rows that teach to say none of these",
    .about =
        "A model that was only ever shown questions with a right answer among those offered "
        "will pick one always. This adds rows to classification, intent and tool data whose "
        "right label (or tool) is taken off what is offered; another of the data's labels "
        "takes "
        "its place where one is free, and the answer becomes --none. They are taken evenly "
        "from "
        "all labels and put among the rows by chance from --seed; the rows read stay as they "
        "are."
        "\n\n"
        "Labels may be offered as tools (messages with tool_calls), in a field (--options) or "
        "as "
        "a list in the text of the prompt. Rows of which no negative can be made are counted "
        "and "
        "told. --hold-out makes all rows of a label negatives, --from asks questions of other "
        "data in the form of ours. Each added row tells in the field --mark what it was made "
        "of.",
    .examples =
        "slm data negatives intents.jsonl --share .1 --none \"none of these\" -o train.jsonl\n"
        "slm data negatives tools.jsonl --none \"I have no tool for that.\" -o train.jsonl\n"
        "slm data negatives rows.jsonl --label label --options choices --answer answer -o "
        "o.jsonl",
    .opts = opts,
    .size = sizeof(struct args),
    .defaults = defaults,
};
