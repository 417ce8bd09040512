/* slm perplexity: how well the model foresees a text, by either of the two definitions in use.
 * They give different numbers for the same model and text, so the output always says which it
 * is. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct args {
    struct slm_cli_common common;
    struct slm_cli_model_args model;
    struct slm_cli_session_args session;
    const char *file, *definition, *kld, *save, *form;
    int chunks;
};

#define F(field) offsetof(struct args, field)
static const struct slm_cli_opt opts[] = {
    SLM_CLI_GROUP(slm_cli_model_opts, F(model), NULL),
    SLM_CLI_VALUE(OPT_FILE, 'f', "file", F(file), "FILE", "the text; - is stdin"),
    SLM_CLI_CHOICE('d', "definition", F(definition), "llama.cpp lm-eval",
                   "whose definition (default: llama.cpp)"),
    SLM_CLI_INT(0, "chunks", F(chunks), "N", 0, 1 << 30,
                "only the first N chunks or windows; 0: all (default: 0)"),
    SLM_CLI_VALUE(OPT_FILE, 0, "kld", F(kld), "BASE",
                  "also the divergence from BASE: a file of --save-base or of llama.cpp's "
                  "--kl-divergence-base, or a model to run beside"),
    SLM_CLI_VALUE(OPT_FILE, 0, "save-base", F(save), "FILE",
                  "keep this model's predictions for later --kld"),
    SLM_CLI_CHOICE(0, "base-form", F(form), "slm llama.cpp",
                   "form of that file: float32, or llama.cpp's 16 bits (default: slm)"),
    SLM_CLI_GROUP(slm_cli_session_opts, F(session), "Context"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

static void defaults(void *p)
{
    struct args *a = p;
    a->definition = "llama.cpp";
    a->form = "slm";
}

/* One pass over a piece of text: rows from `first` on are held against targets. */
struct score {
    const int32_t *targets; /* of row 0 on */
    int first, last, vocab;
    int at; /* row of the piece that the session calls 0 */
    double nll, nll2;
    long count;
    struct slm_cli_against against;
    int failed; /* on_row's own failure, which the session knows as a stop */
    slm_err why;
    struct slm_cli_progress bar;
    uint64_t done, total;
};

/* What a run holds besides the model. */
struct job {
    slm_session *session;
    slm_ids ids;
    struct slm_cli_buf text;
    struct score score;
};

static int on_row(void *arg, int row, const float *logits)
{
    struct score *s = arg;
    int at = row + s->at;
    if (at >= s->first && at <= s->last && s->targets[at] >= 0 && s->targets[at] < s->vocab) {
        double max = -HUGE_VAL, sum = 0;
        for (int i = 0; i < s->vocab; i++)
            max = (double)logits[i] > max ? (double)logits[i] : max;
        for (int i = 0; i < s->vocab; i++)
            sum += (double)expf(logits[i] - (float)max);
        double nll = max + log(sum) - (double)logits[s->targets[at]];
        s->nll += nll;
        s->nll2 += nll * nll;
        s->count++;
        s->failed = slm_cli_against_row(&s->against, row, logits, s->targets[at], &s->why);
    }
    return slm_cli_progress_step(&s->bar, ++s->done, s->total) || s->failed;
}

/* One piece from an empty session, beside the base where that is a model. */
static int score_piece(struct score *k, slm_session *s, const int32_t *ids, int n, slm_err *err)
{
    int code = 0, room = k->against.room ? k->against.room : n;
    slm_session_reset(s);
    slm_cli_against_reset(&k->against);
    for (k->at = 0; k->at < n && !code; k->at += room) {
        int part = n - k->at < room ? n - k->at : room;
        code = slm_cli_against_run(&k->against, ids + k->at, part, err);
        if (!code)
            code = slm_session_score(s, ids + k->at, part, on_row, k, err);
    }
    if (k->failed)
        *err = k->why;
    return k->failed ? k->failed : code;
}

/* llama.cpp's: pieces of the context's length, each begun with bos where the tokenizer adds
 * one; the second half of each is scored. */
static int by_chunks(const struct args *a, slm_session *s, const slm_tokenizer *t, slm_ids *ids,
                     struct score *k, slm_err *err)
{
    int n = slm_session_context(s), chunks = (int)(ids->len / (size_t)n), code = 0;
    if (ids->len < 2 * (size_t)n)
        return slm_cli_fail(err, SLM_E_ARG,
                            "the text has %zu tokens; by llama.cpp's definition it needs two "
                            "contexts, %d: give a "
                            "smaller -c or a longer text",
                            ids->len, 2 * n);
    if (a->chunks && a->chunks < chunks)
        chunks = a->chunks;
    k->total = (uint64_t)chunks * (uint64_t)n;
    k->first = n / 2;
    k->last = n - 2;
    for (int i = 0; i < chunks && !code; i++) {
        int32_t *piece = ids->data + (size_t)i * (size_t)n, kept = piece[0];
        k->targets = piece + 1;
        if (slm_tokenizer_adds_bos(t))
            piece[0] = slm_tokenizer_bos(t);
        code = score_piece(k, s, piece, n, err);
        piece[0] = kept;
        if (!code && !k->bar.on && a->common.verbose && !a->common.quiet)
            fprintf(stderr, "[%d] %.4f\n", i + 1, exp(k->nll / (double)k->count));
    }
    return code;
}

/* lm-eval's: every token is scored once, in windows of the context's length; the first window
 * begins with a prefix token, a later one with the tokens before it, as many as fill it. */
static int by_windows(const struct args *a, slm_session *s, const slm_tokenizer *t,
                      const slm_ids *ids, struct score *k, slm_err *err)
{
    size_t n = (size_t)slm_session_context(s), total = ids->len, at = 0;
    int32_t prefix = slm_tokenizer_bos(t) >= 0 ? slm_tokenizer_bos(t) : slm_tokenizer_eos(t);
    int code = 0, windows = 0;
    if (prefix < 0)
        return slm_cli_fail(err, SLM_E_ARG,
                            "the tokenizer has neither bos nor eos to begin with");
    int32_t *in = slm_cli_realloc(NULL, (total + 1) * sizeof *in);
    in[0] = prefix;
    memcpy(in + 1, ids->data, total * sizeof *in);
    k->total = total;
    for (; at < total && !code && (!a->chunks || windows < a->chunks); windows++) {
        size_t len = total - at < n ? total - at : n, end = at + len;
        /* rows that predict tokens [end - rows, end): inputs in[end - rows .. end) */
        size_t rows = at ? n : len;
        k->targets = ids->data + (end - rows);
        k->first = (int)(rows - len);
        k->last = (int)rows - 1;
        code = score_piece(k, s, in + (end - rows), (int)rows, err);
        k->done = at = end;
    }
    free(in);
    return code;
}

/* Pieces that Python's re.split(r"\s+", text) gives. */
static long count_words(const struct slm_cli_buf *text)
{
    const unsigned char *s = (const unsigned char *)text->s;
    bool in_space = false;
    long words = 1;
    for (size_t i = 0; i < text->n;) {
        unsigned cp = s[i];
        size_t len = cp < 0x80 ? 1 : cp < 0xe0 ? 2 : cp < 0xf0 ? 3 : 4;
        if (len == 2 && i + 1 < text->n)
            cp = (cp & 0x1f) << 6 | (s[i + 1] & 0x3fu);
        else if (len == 3 && i + 2 < text->n)
            cp = (cp & 0x0f) << 12 | (s[i + 1] & 0x3fu) << 6 | (s[i + 2] & 0x3fu);
        bool space = (cp >= 9 && cp <= 13) || (cp >= 0x1c && cp <= 0x20) || cp == 0x85 ||
                     cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) ||
                     cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f ||
                     cp == 0x3000;
        words += space && !in_space;
        in_space = space;
        i += len;
    }
    return words;
}

static void report_json(struct slm_cli_json *j, const slm_divergence_stats *d)
{
    slm_js_kreal(j, "kld_mean", d->kld);
    slm_js_kreal(j, "kld_stderr", d->kld_stderr);
    slm_js_kreal(j, "kld_median", d->kld_median);
    slm_js_kreal(j, "kld_p90", d->kld_p90);
    slm_js_kreal(j, "kld_p99", d->kld_p99);
    slm_js_kreal(j, "kld_max", d->kld_max);
    slm_js_kreal(j, "same_top", d->same_top);
    slm_js_kreal(j, "same_top_stderr", d->same_top_stderr);
    slm_js_kreal(j, "nll_base", d->nll_base);
    slm_js_kreal(j, "ppl_base", exp(d->nll_base));
    slm_js_kreal(j, "ppl_ratio", exp(d->nll - d->nll_base));
    slm_js_kreal(j, "log_ppl_ratio", d->nll - d->nll_base);
    slm_js_kreal(j, "log_ppl_ratio_stderr", d->log_ratio_stderr);
    slm_js_kreal(j, "dp_mean", d->dp_mean);
    slm_js_kreal(j, "dp_rms", d->dp_rms);
}

static void report_text(const slm_divergence_stats *d)
{
    printf("divergence %.6f +/- %.6f nats (median %.6f, 90 %% %.6f, 99 %% %.6f, most %.6f)\n",
           d->kld, d->kld_stderr, d->kld_median, d->kld_p90, d->kld_p99, d->kld_max);
    printf(
        "same top token %.3f +/- %.3f %%; perplexity of the base %.4f, ratio %.6f +/- %.6f\n",
        100 * d->same_top, 100 * d->same_top_stderr, exp(d->nll_base),
        exp(d->nll - d->nll_base), exp(d->nll - d->nll_base) * d->log_ratio_stderr);
    printf("probability of the right token: %+.4f %% in the mean, %.4f %% root mean square\n",
           100 * d->dp_mean, 100 * d->dp_rms);
}

static void report(const struct args *a, const struct score *k, const struct slm_cli_buf *text,
                   int context, double seconds)
{
    bool lm = !strcmp(a->definition, "lm-eval");
    double n = (double)k->count, mean = k->nll / n, words = (double)count_words(text),
           bytes = (double)text->n;
    double var = k->nll2 / n - mean * mean, ppl = exp(mean),
           se = var > 0 && n > 1 ? ppl * sqrt(var / (n - 1)) : 0;
    slm_divergence_stats d = {0};
    if (k->against.sum)
        slm_divergence_get(k->against.sum, &d);
    if (a->common.json) {
        struct slm_cli_json j = {.f = stdout};
        slm_js_open(&j, '{');
        slm_js_kstr(&j, "definition", a->definition);
        slm_js_kreal(&j, "ppl", ppl);
        slm_js_kreal(&j, "ppl_stderr", se);
        slm_js_kreal(&j, "nll", mean);
        slm_js_kreal(&j, "nll_sum", k->nll);
        slm_js_kint(&j, "tokens", k->count);
        slm_js_kint(&j, "context", context);
        if (lm && !a->chunks) {
            slm_js_kreal(&j, "word_perplexity", exp(k->nll / words));
            slm_js_kreal(&j, "byte_perplexity", exp(k->nll / bytes));
            slm_js_kreal(&j, "bits_per_byte", k->nll / bytes / log(2.0));
            slm_js_kint(&j, "words", (int64_t)words);
            slm_js_kint(&j, "bytes", (int64_t)text->n);
        }
        if (d.count)
            report_json(&j, &d);
        slm_js_kreal(&j, "seconds", seconds);
        slm_js_close(&j, '}');
        return;
    }
    printf("perplexity %.4f +/- %.4f (%s, context %d, %ld tokens scored)\n", ppl, se,
           lm ? "lm-eval's rolling windows" : "llama.cpp's chunks, second halves", context,
           k->count);
    if (lm && !a->chunks)
        printf("word perplexity %.4f, byte perplexity %.4f, bits per byte %.4f\n",
               exp(k->nll / words), exp(k->nll / bytes), k->nll / bytes / log(2.0));
    if (d.count)
        report_text(&d);
}

/* Without -c: llama.cpp's 512; lm-eval's the trained context, at most 2048. */
static void choose_context(struct args *a, const slm_model_info *i, bool lm)
{
    if (a->session.o.context)
        return;
    a->session.o.context = lm ? 2048 : 512;
    if (i->context > 0 && i->context < a->session.o.context)
        a->session.o.context = i->context;
}

/* Model, text and the other side; the context that all three agree on. */
static int open_all(struct slm_cli *c, struct args *a, slm_model **m, struct job *w,
                    slm_err *err)
{
    slm_model_info info;
    struct slm_cli_against *g = &w->score.against;
    bool lm = !strcmp(a->definition, "lm-eval");
    int code = slm_cli_model_open(c, m, &a->model, NULL, false, err);
    if (!code)
        code = slm_cli_read(&w->text, a->file, err);
    if (!code)
        code =
            slm_cli_encode(*m, w->text.s, w->text.n, lm ? 0 : SLM_ENCODE_AFFIXES, &w->ids, err);
    if (!code && !w->ids.len)
        code = slm_cli_fail(err, SLM_E_ARG, "%s: no text in it", a->file);
    if (code)
        return code;
    slm_model_info_get(*m, &info);
    w->score.vocab = info.vocab;
    *g = (struct slm_cli_against){.path = a->kld,
                                  .save = a->save,
                                  .save_llama = !strcmp(a->form, "llama.cpp"),
                                  .windows = lm,
                                  .context = a->session.o.context,
                                  .vocab = info.vocab,
                                  .text = w->text.s,
                                  .text_len = w->text.n};
    code = slm_cli_against_open(c, g, err);
    a->session.o.context = g->context;
    choose_context(a, &info, lm);
    g->context = a->session.o.context;
    if (!code)
        code = slm_cli_session_open(c, &w->session, *m, &a->session, 0, err);
    return code;
}

/* Ids that will be scored or lead up to what is. */
static uint64_t ids_needed(const struct args *a, size_t ids, int context, bool lm)
{
    uint64_t n = (uint64_t)context, chunks = lm ? (ids + n - 1) / n : ids / n;
    if (a->chunks && (uint64_t)a->chunks < chunks)
        chunks = (uint64_t)a->chunks;
    return chunks * n < ids ? chunks * n : ids;
}

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    struct args *a = p;
    slm_model *m = NULL;
    struct job w = {0};
    struct score *k = &w.score;
    bool lm = !strcmp(a->definition, "lm-eval");
    if (!a->file)
        return slm_cli_fail(err, SLM_E_ARG, "-f FILE is missing");
    int code = open_all(c, a, &m, &w, err);
    if (!code)
        code = slm_cli_against_text(
            c, &k->against, &w.ids,
            ids_needed(a, w.ids.len, slm_session_context(w.session), lm), err);
    double t = slm_cli_seconds();
    if (!code) {
        slm_cli_say(c, "%zu tokens, %s's definition", w.ids.len, a->definition);
        slm_cli_catch_interrupt();
        slm_cli_progress_start(&k->bar, c, "perplexity", "tok");
        const slm_tokenizer *vocab = slm_model_tokenizer(m);
        code = lm ? by_windows(a, w.session, vocab, &w.ids, k, err)
                  : by_chunks(a, w.session, vocab, &w.ids, k, err);
        slm_cli_progress_end(&k->bar);
    }
    if (!code && !k->count)
        code = slm_cli_fail(err, SLM_E_ARG, "%s: no token to score", a->file);
    if (!code)
        code = slm_cli_against_end(&k->against, err);
    if (!code)
        report(a, k, &w.text, slm_session_context(w.session), slm_cli_seconds() - t);
    slm_cli_against_close(&k->against);
    slm_cli_buf_free(&w.text);
    slm_ids_release(&w.ids);
    slm_session_close(&w.session);
    slm_cli_adapters_close(&a->session.adapters);
    slm_model_close(&m);
    return code;
}

extern const struct slm_cli_command slm_cmd_perplexity;
const struct slm_cli_command slm_cmd_perplexity = {
    .name = "perplexity",
    .run = run,
    .args = "MODEL",
    .summary = "perplexity of a text",
    .about =
        "Perplexity of the text in -f. llama.cpp's definition cuts the text into pieces "
        "of the context's length "
        "and scores the second half of each. lm-eval's scores every token once in rolling "
        "windows and also gives "
        "perplexity by word and byte, and bits per byte. The output says which it is; "
        "numbers of the two do "
        "not compare.\n\n"
        "--kld adds how far the predictions are from those of a base, place by place: the "
        "mean "
        "Kullback-Leibler divergence KL(base || model) in nats with its standard error and "
        "percentiles, how often both like the same token best, and the ratio of "
        "perplexities. "
        "A base that is a model is computed beside, exactly.",
    .examples = "slm perplexity model.gguf -f wiki.test.raw -c 512\n"
                "slm perplexity model.gguf -f text.txt -d lm-eval --exact --json\n"
                "slm perplexity small.gguf -f text.txt --kld full.gguf\n"
                "slm perplexity full.gguf -f text.txt --exact --save-base full.base",
    .opts = opts,
    .size = sizeof(struct args),
    .defaults = defaults,
    .model = 1,
};
