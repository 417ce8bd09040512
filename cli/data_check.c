/* slm data check, slm data stats: what training on the data would mean, before it is done. */
#include "data_tools.h"

#include <stdlib.h>
#include <string.h>

struct args {
    struct slm_cli_common common;
    struct slm_cli_model_args model;
    struct slm_cli_examples examples;
    const char *store;
    int seq, row, allow_loss;
};

#define F(field) offsetof(struct args, field)
static const struct slm_cli_opt check_opts[] = {
    SLM_CLI_GROUP(slm_cli_model_opts, F(model), NULL),
    SLM_CLI_INT(0, "seq", F(seq), "N", 2, 1 << 24,
                "window: most tokens of a row (default: the model's context, at most 2048)"),
    SLM_CLI_INT(0, "row", F(row), "N", 1, 1e9, "show the Nth row that is kept (default: 1)"),
    SLM_CLI_VALUE(OPT_FILE, 0, "store", F(store), "FILE",
                  "keep the tokens in FILE, for slm train"),
    SLM_CLI_FLAG(0, "allow-loss", F(allow_loss), "end well even if rows or tokens are lost"),
    SLM_CLI_GROUP(slm_cli_examples_opts, F(examples), "Examples"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
static const struct slm_cli_opt stats_opts[] = {
    SLM_CLI_GROUP(slm_cli_model_opts, F(model), NULL),
    SLM_CLI_INT(0, "seq", F(seq), "N", 2, 1 << 24,
                "window: most tokens of a row (default: the model's context, at most 2048)"),
    SLM_CLI_GROUP(slm_cli_examples_opts, F(examples), "Examples"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

static void defaults(void *p) { slm_cli_examples_init(&((struct args *)p)->examples); }

int64_t slm_cli_data_lost(const slm_data_report *r) { return r->rows - r->kept; }

static double percent(int64_t part, int64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void put_rows(const slm_data_report *r)
{
    char a[32], b[32], size[32];
    printf("files       %lld, %s\n", (long long)r->files, slm_cli_size(size, (double)r->bytes));
    printf("rows        %s read, %s kept", slm_cli_count(a, r->rows),
           slm_cli_count(b, r->kept));
    printf(r->rows > r->kept ? ", %s not kept:\n" : "\n", slm_cli_count(a, r->rows - r->kept));
    for (int i = 1; i < SLM_LOSS_COUNT; i++) {
        if (!r->lost[i])
            continue;
        printf("  %s: %s\n", slm_data_loss_words(i), slm_cli_count(a, r->lost[i]));
        for (int k = 0; k < SLM_DATA_PLACES && r->place[i][k][0]; k++)
            printf("    %s\n", r->place[i][k]);
    }
    if (r->truncated || r->split || r->tokens_cut)
        printf("cut         %s rows truncated, %lld split, %lld tokens lost by it\n",
               slm_cli_count(a, r->truncated), (long long)r->split, (long long)r->tokens_cut);
}

static void put_counts(const char *head, const slm_data_count *c, int n, int64_t whole)
{
    for (int i = 0; i < n; i++)
        printf("%s%s %lld", i ? ", " : head, c[i].name, (long long)c[i].n);
    if (n && whole)
        printf(" (of %lld)", (long long)whole);
    if (n)
        printf("\n");
}

static void put_formats(const slm_data_report *r)
{
    const char *between = "format      ";
    for (int i = 0; i < SLM_DATA_FORMAT_COUNT; i++)
        if (r->format[i]) {
            printf("%s%s %lld", between, slm_data_format_name(i), (long long)r->format[i]);
            between = ", ";
        }
    if (r->by_template)
        printf("; %lld by the chat template", (long long)r->by_template);
    if (r->by_alpaca)
        printf("; %lld by Alpaca's prompt", (long long)r->by_alpaca);
    if (r->by_text)
        printf("; %lld as they are", (long long)r->by_text);
    printf("\n");
}

static void put_tokens(const slm_data_report *r, int seq)
{
    static const char *const packs[] = {"best fit", "wrapped", "none"};
    char a[32], b[32], d[32];
    int64_t masked = r->tokens - r->targets;
    printf("tokens      %s in %lld documents: %s learnt (%.2f %%), %s masked\n",
           slm_cli_count(a, r->tokens), (long long)r->docs, slm_cli_count(b, r->targets),
           percent(r->targets, r->tokens), slm_cli_count(d, masked));
    if (!seq)
        return;
    const char *between = "packing     ";
    for (int i = 0; i < 3; i++)
        if (r->packed_rows[i]) {
            printf("%s%s %lld rows of %d, %.1f %% filled", between, packs[i],
                   (long long)r->packed_rows[i], seq,
                   percent(r->tokens,
                           r->packed_rows[i] * seq * (r->kind == SLM_TOKENS_PAIR ? 2 : 1)));
            between = "; ";
        }
    printf("\n");
}

static void put_lengths(const slm_data_report *r)
{
    int64_t most = 1;
    char a[32];
    for (int i = 0; i < SLM_DATA_BINS; i++)
        most = r->length[i] > most ? r->length[i] : most;
    printf("length      longest %s %s\n", slm_cli_count(a, r->longest),
           r->tokens ? "tokens" : "bytes");
    for (int i = 0; i < SLM_DATA_BINS; i++)
        if (r->length[i]) {
            int bar = (int)((r->length[i] * 40 + most - 1) / most);
            printf("  to %8lld %9lld  %.*s\n", (long long)1 << i, (long long)r->length[i], bar,
                   "########################################");
        }
}

static void put_warnings(const slm_data_report *r)
{
    if (r->duplicates)
        printf("duplicates  %lld rows equal to an earlier one, first %s\n",
               (long long)r->duplicates, r->duplicate_place);
    if (r->special)
        printf("warning     %lld rows spell special tokens in their texts, first %s\n",
               (long long)r->special, r->special_place);
    if (r->open_turns)
        printf("warning     %lld answers have no end-of-turn token to learn: the model may not "
               "stop\n",
               (long long)r->open_turns);
    put_counts("not read    ", r->unused, r->n_unused, 0);
}

void slm_cli_data_report(const slm_data_report *r, int seq)
{
    put_rows(r);
    if (!r->kept)
        return;
    put_formats(r);
    if (r->tokens)
        put_tokens(r, seq);
    put_lengths(r);
    put_counts("languages   ", r->script, r->n_scripts, 0);
    if (r->n_labels) {
        int n = (int)(r->n_labels < 8 ? r->n_labels : 8);
        printf("labels      %lld different answers, the rarest %lld times\n",
               (long long)r->n_labels, (long long)r->least_label);
        put_counts("  most      ", r->label, n, r->kept);
    }
    put_warnings(r);
}

/* Not a byte of the data may drive the terminal. */
static void put_safe(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char ch = (unsigned char)s[i];
        bool c1 = ch == 0xc2 && i + 1 < n && (unsigned char)s[i + 1] < 0xa0;
        putchar((ch < 0x20 && ch != '\n' && ch != '\t') || ch == 0x7f || c1 ? '?' : ch);
        i += c1;
    }
}

static void put_sample(const slm_data_report *r)
{
    bool tty = slm_cli_tty(stdout);
    if (!r->sample)
        return;
    printf("\nexample     %s, what is learnt %s:\n", r->sample_place,
           tty ? "in colour" : "between >> and <<");
    for (size_t i = 0, end; i < r->sample_n; i = end) {
        for (end = i; end < r->sample_n && r->sample_learnt[end] == r->sample_learnt[i]; end++)
            ;
        if (r->sample_learnt[i])
            fputs(tty ? "\033[32m" : ">>", stdout);
        put_safe(r->sample + i, end - i);
        if (r->sample_learnt[i])
            fputs(tty ? "\033[0m" : "<<", stdout);
    }
    printf("\n");
}

static int say_json(struct slm_cli *c, const slm_data_report *r, slm_err *err)
{
    slm_text t = {0};
    int code = slm_data_report_json(r, c->rt, &t, err);
    if (!code)
        puts(t.data);
    slm_text_release(&t);
    return code;
}

static int open_model(struct slm_cli *c, struct args *a, slm_model **m, slm_err *err)
{
    slm_model_info info;
    int code = 0;
    if (a->model.model)
        code = slm_cli_model_open(c, m, &a->model, NULL, false, err);
    else
        code = slm_cli_runtime(c, err);
    if (code || !*m)
        return code;
    slm_model_info_get(*m, &info);
    if (!a->seq)
        a->seq = info.context > 0 && info.context < 2048 ? info.context : 2048;
    return 0;
}

static int look(struct slm_cli *c, struct args *a, bool check, slm_err *err)
{
    slm_model *m = NULL;
    slm_template *own = NULL;
    slm_text source = {0};
    slm_data_opts o;
    struct slm_cli_progress bar;
    slm_data_report *r = slm_cli_realloc(NULL, sizeof *r);
    memset(r, 0, sizeof *r);
    int code = open_model(c, a, &m, err);
    if (!code && check && !m)
        code = slm_cli_fail(err, SLM_E_ARG,
                            "--model is missing: its tokenizer and template tell "
                            "what would be learnt (slm data stats needs none)");
    if (!code)
        code = slm_cli_examples_set(c, &a->examples, m, &o, &own, &source, err);
    if (!code) {
        o.seq = m ? a->seq : 0;
        o.max_bad = 1; /* all is to be seen; what it means is said below */
        o.sample = check ? (a->row ? a->row - 1 : 0) : -1;
        slm_cli_catch_interrupt();
        slm_cli_progress_start(&bar, c, "data", "B");
        code = slm_data_build(r, c->rt, &o, a->store, slm_cli_progress_step, &bar, err);
        slm_cli_progress_end(&bar);
        slm_err own_err;
        if (r->reused)
            slm_cli_say(c, "%s was made of the same data already", a->store);
        if (r->rows && a->common.json)
            code = code ? (say_json(c, r, &own_err), code) : say_json(c, r, err);
        else if (r->rows)
            slm_cli_data_report(r, m ? a->seq : 0);
    }
    if (!code && check && !a->common.json)
        put_sample(r);
    double allowed = slm_cli_share(a->examples.max_bad);
    int64_t lost = slm_cli_data_lost(r);
    if (!code && check && !a->allow_loss && (lost || r->truncated || r->tokens_cut))
        code = slm_cli_fail(
            err, SLM_E_FORMAT,
            "%lld of %lld rows would be lost, %lld cut short (--allow-loss if so "
            "meant; slm train stops where more than %g %% are no good)",
            (long long)lost, (long long)r->rows, (long long)r->truncated, 100 * allowed);
    slm_data_report_release(r);
    free(r);
    slm_template_free(own);
    free(source.data);
    slm_model_close(&m);
    return code;
}

static int check(struct slm_cli *c, void *p, slm_err *err) { return look(c, p, true, err); }
static int stats(struct slm_cli *c, void *p, slm_err *err) { return look(c, p, false, err); }

const struct slm_cli_command slm_data_check = {
    .name = "data check",
    .run = check,
    .args = "FILE ...",
    .summary = "what training on the data would mean",
    .about =
        "Reads all rows of FILEs (and folders), renders them by the model's own chat template "
        "and tokenises them, exactly as slm train does, and tells: rows read, kept and not "
        "kept "
        "and why, each with the places of the first; tokens learnt and masked; lengths, how "
        "well "
        "rows pack, duplicates, languages, labels; and one row with what is learnt of it "
        "marked."
        "\n\n"
        "Formats are told by the fields: messages (with tools), conversations (ShareGPT), "
        "instruction and output (Alpaca), prompt and completion, chosen and rejected, label "
        "(KTO), text. Nothing is left out in silence: where rows or tokens would be lost, the "
        "exit code is 4, unless --allow-loss.",
    .examples = "slm data check train.jsonl --model model.gguf\n"
                "slm data check train.csv --model model.gguf --map prompt=text --map "
                "completion=category\n"
                "slm data check chats/ --model model.gguf --seq 4096 --json",
    .opts = check_opts,
    .size = sizeof(struct args),
    .defaults = defaults,
};

const struct slm_cli_command slm_data_stats = {
    .name = "data stats",
    .run = stats,
    .args = "FILE ...",
    .summary = "counts, lengths, languages and labels of the data",
    .about = "The report of slm data check without an example, and without a judgement. With "
             "--model lengths are in tokens, without in bytes.",
    .examples = "slm data stats train.jsonl\n"
                "slm data stats train.jsonl --model model.gguf --json",
    .opts = stats_opts,
    .size = sizeof(struct args),
    .defaults = defaults,
};
