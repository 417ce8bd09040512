/* The other side of slm perplexity --kld: a base file, or a model that runs beside the one that
 * is judged; and the base file that --save-base writes. Side by side only as many rows are kept
 * as fit in a few MiB, so memory does not grow with the text. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS_BYTES = 32 << 20 };

static int open_file(struct slm_cli *c, struct slm_cli_against *g, slm_err *err)
{
    slm_base_info i;
    int code = slm_base_open(&g->file, c->rt, g->path, err);
    if (code)
        return code;
    slm_base_info_get(g->file, &i);
    if (i.vocab != g->vocab)
        return slm_cli_fail(err, SLM_E_ARG, "%s: is of a vocabulary of %d, the model has %d",
                            g->path, i.vocab, g->vocab);
    if ((i.text == SLM_BASE_WINDOWS) != g->windows)
        return slm_cli_fail(err, SLM_E_ARG, "%s: was made with -d %s", g->path,
                            g->windows ? "llama.cpp" : "lm-eval");
    if (g->context && g->context != i.context)
        return slm_cli_fail(err, SLM_E_ARG, "%s: was made with -c %d, not %d", g->path,
                            i.context, g->context);
    g->context = i.context;
    g->kind = i.form == SLM_BASE_SLM ? SLM_BASE_LOGITS : SLM_BASE_LOG_PROBS;
    return 0;
}

static int open_model(struct slm_cli *c, struct slm_cli_against *g, slm_err *err)
{
    slm_model_opts o;
    slm_model_info i;
    slm_model_opts_init(&o);
    o.allow_no_tokenizer = 1;
    int code = slm_model_open(&g->model, c->rt, g->path, &o, err);
    if (code)
        return code;
    slm_model_info_get(g->model, &i);
    g->kind = SLM_BASE_LOGITS;
    return i.vocab == g->vocab
               ? 0
               : slm_cli_fail(err, SLM_E_ARG, "%s: has a vocabulary of %d, the model %d",
                              g->path, i.vocab, g->vocab);
}

int slm_cli_against_open(struct slm_cli *c, struct slm_cli_against *g, slm_err *err)
{
    if (!g->path)
        return 0;
    int code = slm_divergence_new(&g->sum, c->rt, g->vocab, err);
    if (!code)
        code = slm_base_is(g->path) ? open_file(c, g, err) : open_model(c, g, err);
    return code;
}

/* The ids that a base file scored must be those of this text. */
static int same_text(const struct slm_cli_against *g, const slm_ids *ids, uint64_t need,
                     slm_err *err)
{
    slm_base_info i;
    slm_base_info_get(g->file, &i);
    uint64_t n = i.n_ids < need ? i.n_ids : need;
    for (uint64_t k = 0; k < n; k++)
        if (slm_base_id(g->file, k) != ids->data[k])
            return slm_cli_fail(err, SLM_E_ARG,
                                "%s: is of another text or tokenizer: token %llu is %d there, "
                                "%d here",
                                g->path, (unsigned long long)k, (int)slm_base_id(g->file, k),
                                (int)ids->data[k]);
    if (i.n_ids < need || (g->windows && i.n_ids != need))
        return slm_cli_fail(
            err, SLM_E_ARG,
            "%s: holds %llu tokens of the text, not %llu: --chunks %llu fits it", g->path,
            (unsigned long long)i.n_ids, (unsigned long long)need,
            (unsigned long long)(i.n_ids / (uint64_t)i.context));
    return 0;
}

/* The base model's own tokenizer, where it has one, must give the same ids. */
static int same_ids(const struct slm_cli_against *g, const slm_ids *ids, slm_err *err)
{
    const slm_tokenizer *t = slm_model_tokenizer(g->model);
    slm_ids own = {0};
    if (!t)
        return 0;
    int code = slm_tokenizer_encode(t, g->text, g->text_len,
                                    g->windows ? 0 : SLM_ENCODE_AFFIXES, &own, err);
    if (!code &&
        (own.len != ids->len || memcmp(own.data, ids->data, ids->len * sizeof *ids->data) != 0))
        code = slm_cli_fail(err, SLM_E_ARG,
                            "%s: its tokenizer cuts this text into other tokens", g->path);
    slm_ids_release(&own);
    return code;
}

int slm_cli_against_text(struct slm_cli *c, struct slm_cli_against *g, const slm_ids *ids,
                         uint64_t need, slm_err *err)
{
    int code = 0;
    if (g->file)
        code = same_text(g, ids, need, err);
    if (g->model) {
        slm_session_opts o;
        slm_session_opts_init(&o);
        o.context = g->context;
        o.batch = g->context < 512 ? g->context : 512;
        o.exact = 1;
        size_t rows = ROWS_BYTES / sizeof(float) / (size_t)g->vocab;
        g->room = rows < 8 ? 8 : rows < (size_t)o.batch ? (int)rows : o.batch;
        code = same_ids(g, ids, err);
        if (!code)
            code = slm_session_open(&g->session, g->model, &o, err);
    }
    if (!code && (g->file || g->model))
        g->rows = slm_cli_realloc(NULL, (size_t)(g->model ? g->room : 1) * (size_t)g->vocab *
                                            sizeof *g->rows);
    if (!code && g->save) {
        slm_base_info i = {.form = g->save_llama ? SLM_BASE_LLAMA_CPP : SLM_BASE_SLM,
                           .text = g->windows ? SLM_BASE_WINDOWS : SLM_BASE_CHUNKS,
                           .context = g->context,
                           .vocab = g->vocab,
                           .n_ids = need};
        code = slm_base_out_open(&g->out, c->rt, g->save, &i, ids->data, err);
    }
    return code;
}

void slm_cli_against_reset(struct slm_cli_against *g)
{
    if (g->session)
        slm_session_reset(g->session);
}

static int keep_row(void *arg, int row, const float *logits)
{
    struct slm_cli_against *g = arg;
    memcpy(g->rows + (size_t)row * (size_t)g->vocab, logits, (size_t)g->vocab * sizeof *logits);
    return slm_cli_interrupted();
}

int slm_cli_against_run(struct slm_cli_against *g, const int32_t *ids, int n, slm_err *err)
{
    return g->session ? slm_session_score(g->session, ids, n, keep_row, g, err) : 0;
}

int slm_cli_against_row(struct slm_cli_against *g, int row, const float *logits, int32_t target,
                        slm_err *err)
{
    int code = 0;
    const float *base = g->rows;
    if (g->file)
        code = slm_base_row(g->file, g->next++, g->rows, err);
    else if (g->model)
        base += (size_t)row * (size_t)g->vocab;
    if (!code && g->sum)
        code = slm_divergence_add(g->sum, base, g->kind, logits, target, err);
    if (!code && g->out)
        code = slm_base_out_row(g->out, logits, err);
    return code;
}

int slm_cli_against_end(struct slm_cli_against *g, slm_err *err)
{
    return g->out ? slm_base_out_commit(g->out, err) : 0;
}

void slm_cli_against_close(struct slm_cli_against *g)
{
    slm_base_out_close(&g->out);
    slm_base_close(&g->file);
    slm_session_close(&g->session);
    slm_model_close(&g->model);
    slm_divergence_free(g->sum);
    free(g->rows);
}
