/* slm merge: adapters made part of a model, written in any type; and then the file is held
 * against the model with the adapters beside, so that what merging and rounding cost is known
 * and not hoped. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct args {
    struct slm_cli_common common;
    struct slm_cli_model_args model;
    struct slm_cli_lora_args lora;
    const char *out, *type, *imatrix, *text, *ids_file;
    int no_imatrix, no_check, tokens;
};

#define F(field) offsetof(struct args, field)
static const struct slm_cli_opt opts[] = {
    SLM_CLI_GROUP(slm_cli_model_opts, F(model), NULL),
    SLM_CLI_GROUP(slm_cli_lora_opts, F(lora), NULL),
    SLM_CLI_VALUE(OPT_FILE, 'o', "output", F(out), "OUT",
                  "the file to write (.gguf), or a new folder in Hugging Face's form"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "type", F(type), "TYPE",
                  "Q4_K_M, Q8_0, F16 ... as slm quantize knows them; folder: f32, f16, bf16 "
                  "(default: as the model has it)"),
    SLM_CLI_VALUE(OPT_FILE, 0, "imatrix", F(imatrix), "FILE",
                  "importance matrix for the rounding"),
    SLM_CLI_FLAG(0, "no-imatrix", F(no_imatrix),
                 "take types that need an importance matrix without one"),
    SLM_CLI_VALUE(OPT_FILE, 'f', "file", F(text), "FILE",
                  "the text on which both are compared (default: a few lines of English)"),
    SLM_CLI_VALUE(OPT_FILE, 0, "ids-file", F(ids_file), "FILE", "ids instead of a text"),
    SLM_CLI_INT(0, "tokens", F(tokens), "N", 2, 1 << 20,
                "compare at most so many (default: 256)"),
    SLM_CLI_FLAG(0, "no-check", F(no_check), "write only"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

static void defaults(void *p)
{
    struct args *a = p;
    a->tokens = 256;
}

/* The model to be written and what goes into it. */
struct merge {
    struct slm_cli *c;
    const struct args *a;
    const char *path;
    bool gguf;
    slm_quant *q;     /* GGUF */
    slm_model *model; /* folder */
    const slm_model *m;
    struct slm_cli_adapters adapters;
};

static void close_base(struct merge *g)
{
    slm_cli_adapters_close(&g->adapters);
    slm_quant_close(&g->q);
    slm_model_close(&g->model);
    g->m = NULL;
}

static int open_base(struct merge *g, int untie, slm_err *err)
{
    int code;
    if (g->gguf) {
        slm_quant_opts o;
        slm_quant_opts_init(&o);
        o.type = g->a->type;
        o.imatrix = g->a->imatrix;
        o.no_imatrix = g->a->no_imatrix;
        o.allow_requantize = 1; /* merged rows are rounded anew whatever they were */
        o.untie = untie;
        code = slm_quant_open(&g->q, g->c->rt, g->path, &o, err);
        g->m = code ? NULL : slm_quant_model(g->q);
    } else {
        slm_model_opts o;
        slm_model_opts_init(&o);
        o.allow_no_tokenizer = 1;
        o.untie = untie;
        code = slm_model_open(&g->model, g->c->rt, g->path, &o, err);
        g->m = g->model;
    }
    return code ? code : slm_cli_adapters_open(g->c, &g->adapters, g->m, &g->a->lora, err);
}

/* Where merging makes one matrix two, the base is opened as if it had two. */
static int open_all(struct merge *g, slm_err *err)
{
    int code = open_base(g, 0, err);
    if (code || !slm_adapter_unties(g->adapters.all))
        return code;
    slm_cli_say(g->c, "the adapter changes the embedding or the output, which are one matrix "
                      "here: they become two");
    close_base(g);
    return open_base(g, 1, err);
}

static int write_out(struct merge *g, slm_err *err)
{
    struct slm_cli_progress bar;
    int code = g->gguf ? slm_quant_merge(g->q, g->adapters.all, err)
                       : slm_adapter_merge(g->adapters.all, g->model, err);
    slm_convert_opts o;
    slm_convert_opts_init(&o);
    o.type = g->a->type;
    o.to_folder = 1;
    o.progress = slm_cli_progress_step;
    o.progress_arg = &bar;
    slm_cli_progress_start(&bar, g->c, "merge", "B");
    if (!code)
        code = g->gguf ? slm_quant_write(g->q, g->a->out, slm_cli_progress_step, &bar, err)
                       : slm_model_write(g->model, g->a->out, &o, err);
    slm_cli_progress_end(&bar);
    return code;
}

/* ---- what it cost ---- */

#define PIECE 32 /* rows of logits that are kept at a time */

static const char sample[] =
    "The harbour was quiet before sunrise. A few boats rocked against the wall, and gulls "
    "waited on the roof of the market for the first crates of fish. Anna counted the nets, "
    "wrote the number into her book, and looked at the sky: \"Rain by noon,\" she said, \"so "
    "we "
    "leave at six and turn back at ten.\" Her brother nodded. The engine coughed twice, then "
    "ran. Beyond the lighthouse the water was green and cold, 9 degrees, and the wind came "
    "from the north-west. They had fished here for twenty years and still did not agree on "
    "where the cod were. Why should they? Every spring the current moves the sand, and with "
    "the sand the fish. By eight they had 140 kilograms, enough for the day.\n";

struct sides {
    float *base; /* (PIECE, V) */
    size_t vocab;
    const int32_t *target; /* of the piece's first row; NULL behind the last */
    int rows;
    slm_divergence *sum;
    double most, largest; /* difference of logits; logit */
    slm_err *err;
    int failed;
};

static int keep_row(void *arg, int row, const float *logits)
{
    struct sides *s = arg;
    memcpy(s->base + (size_t)row * s->vocab, logits, s->vocab * sizeof *logits);
    return 0;
}

static int compare_row(void *arg, int row, const float *logits)
{
    struct sides *s = arg;
    const float *base = s->base + (size_t)row * s->vocab;
    for (size_t i = 0; i < s->vocab; i++) {
        double d = fabs((double)logits[i] - (double)base[i]), x = fabs((double)base[i]);
        s->most = d > s->most ? d : s->most;
        s->largest = x > s->largest ? x : s->largest;
    }
    if (row < s->rows)
        s->failed =
            slm_divergence_add(s->sum, base, SLM_BASE_LOGITS, logits, s->target[row], s->err);
    return s->failed;
}

/* The text, or ids, or where the model knows no text any ids. */
static int sample_ids(struct merge *g, slm_ids *ids, int vocab, slm_err *err)
{
    struct slm_cli_buf text = {0}, any = {0};
    int code = 0;
    if (g->a->ids_file)
        return slm_cli_read_ids(ids, g->c->rt, g->a->ids_file, err);
    if (g->a->text)
        code = slm_cli_read(&text, g->a->text, err);
    else
        slm_cli_puts(&text, sample);
    if (!code && (slm_model_tokenizer(g->m) || g->a->text)) {
        code = slm_cli_encode(g->m, text.s, text.n, SLM_ENCODE_AFFIXES, ids, err);
    } else if (!code) {
        uint32_t x = 1;
        for (int i = 0; i < 128; i++) {
            x = x * 1664525u + 1013904223u;
            slm_cli_putf(&any, "%u ", (x >> 8) % (uint32_t)vocab);
        }
        code = slm_cli_parse_ids(ids, g->c->rt, &any, "sample", err);
    }
    slm_cli_buf_free(&any);
    slm_cli_buf_free(&text);
    return code;
}

static int run_both(slm_session *base, slm_session *merged, const slm_ids *ids, int n,
                    struct sides *s, slm_err *err)
{
    int code = 0;
    for (int at = 0; at < n && !code; at += PIECE) {
        int rows = n - at < PIECE ? n - at : PIECE;
        s->target = ids->data + at + 1;
        s->rows = at + rows < (int)ids->len ? rows : rows - 1;
        code = slm_session_score(base, ids->data + at, rows, keep_row, s, err);
        if (!code)
            code = slm_session_score(merged, ids->data + at, rows, compare_row, s, err);
    }
    return s->failed ? s->failed : code;
}

static int open_sessions(struct merge *g, slm_session *both[2], const slm_model *merged, int n,
                         slm_err *err)
{
    slm_session_opts o;
    slm_session_opts_init(&o);
    o.context = n;
    o.batch = PIECE;
    o.exact = 1;
    o.adapter = g->adapters.all;
    int code = slm_session_open(&both[0], g->m, &o, err);
    o.adapter = NULL;
    return code ? code : slm_session_open(&both[1], merged, &o, err);
}

static int compare(struct merge *g, struct sides *s, slm_divergence_stats *out, slm_err *err)
{
    slm_model *merged = NULL;
    slm_session *both[2] = {NULL, NULL};
    slm_ids ids = {0};
    slm_model_info i;
    slm_model_opts mo;
    slm_model_opts_init(&mo);
    mo.no_tokenizer = 1;
    slm_model_info_get(g->m, &i);
    s->vocab = (size_t)i.vocab;
    s->err = err;
    s->base = slm_cli_realloc(NULL, PIECE * s->vocab * sizeof *s->base);
    int code = slm_model_open(&merged, g->c->rt, g->a->out, &mo, err);
    if (!code)
        code = sample_ids(g, &ids, i.vocab, err);
    int n = (int)(ids.len < (size_t)g->a->tokens ? ids.len : (size_t)g->a->tokens);
    n = i.context > 0 && n > i.context ? i.context : n;
    if (!code && n < 2)
        code = slm_cli_fail(err, SLM_E_ARG, "less than two tokens to compare on");
    if (!code)
        code = open_sessions(g, both, merged, n, err);
    if (!code)
        code = slm_divergence_new(&s->sum, g->c->rt, i.vocab, err);
    if (!code)
        code = run_both(both[0], both[1], &ids, n, s, err);
    if (!code)
        slm_divergence_get(s->sum, out);
    slm_divergence_free(s->sum);
    free(s->base);
    slm_ids_release(&ids);
    slm_session_close(&both[1]);
    slm_session_close(&both[0]);
    slm_model_close(&merged);
    return code;
}

/* ---- the command ---- */

static void report(const struct merge *g, const struct sides *s, const slm_divergence_stats *d)
{
    slm_adapter_info i;
    slm_adapter_info_get(g->adapters.all, &i);
    if (g->a->common.json) {
        struct slm_cli_json j = {.f = stdout};
        slm_js_open(&j, '{');
        slm_js_kstr(&j, "path", g->a->out);
        slm_js_kint(&j, "adapters", g->adapters.n);
        slm_js_kint(&j, "matrices", i.parts);
        slm_js_kint(&j, "replaced", i.whole);
        if (d->count) {
            slm_js_kint(&j, "tokens", d->count);
            slm_js_kreal(&j, "kld_mean", d->kld);
            slm_js_kreal(&j, "kld_max", d->kld_max);
            slm_js_kreal(&j, "same_top", d->same_top);
            slm_js_kreal(&j, "max_logit_diff", s->most);
            slm_js_kreal(&j, "max_logit", s->largest);
        }
        slm_js_close(&j, '}');
        return;
    }
    printf("%s: %d matrices changed, %d weights replaced by %d adapter%s\n", g->a->out, i.parts,
           i.whole, g->adapters.n, g->adapters.n == 1 ? "" : "s");
    if (d->count)
        printf("against the model with the adapter beside, %lld tokens: divergence %.3g nats "
               "(most %.3g), same top token %.2f %%, logits differ by at most %.3g of %.3g\n",
               (long long)d->count, d->kld, d->kld_max, 100 * d->same_top, s->most, s->largest);
}

static int check_args(const struct args *a, slm_err *err)
{
    if (!a->out)
        return slm_cli_fail(err, SLM_E_ARG, "-o OUT is missing");
    if (!a->lora.files.n && !a->lora.scaled.n)
        return slm_cli_fail(err, SLM_E_ARG, "--lora ADAPTER is missing");
    if (a->text && a->ids_file)
        return slm_cli_fail(err, SLM_E_ARG, "give one of -f and --ids-file");
    return 0;
}

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    const struct args *a = p;
    struct merge g = {.c = c, .a = a};
    struct sides s = {.most = 0};
    slm_divergence_stats d = {0};
    int code = check_args(a, err);
    if (!code)
        code = slm_cli_runtime(c, err);
    if (!code)
        code = slm_cli_model_path(c, &a->model, &g.path, err);
    size_t n = a->out ? strlen(a->out) : 0;
    g.gguf = n > 5 && !strcmp(a->out + n - 5, ".gguf");
    if (!code && !g.gguf && (a->imatrix || a->no_imatrix))
        code = slm_cli_fail(err, SLM_E_ARG, "an importance matrix is for a GGUF file");
    if (!code)
        code = open_all(&g, err);
    slm_cli_catch_interrupt();
    if (!code)
        code = write_out(&g, err);
    if (!code && !a->no_check)
        code = compare(&g, &s, &d, err);
    if (!code)
        report(&g, &s, &d);
    close_base(&g);
    return code;
}

extern const struct slm_cli_command slm_cmd_merge;
const struct slm_cli_command slm_cmd_merge = {
    .name = "merge",
    .run = run,
    .args = "MODEL",
    .summary = "make adapters part of a model",
    .about =
        "Adds the adapters of --lora to the numbers of MODEL, in float32 and on what a "
        "quantised model's numbers stand for, and writes the result to -o: a GGUF file "
        "in any type, or a Hugging Face folder. LoRA, rsLoRA, DoRA and replaced weights "
        "are all merged; of several adapters the additions are summed."
        "\n\n"
        "Then the new file is run beside the model with its adapters, and how far its "
        "predictions are from those is told: in float32 next to nothing, in four bits what "
        "the rounding costs.",
    .examples = "slm merge ./model-folder --lora ./adapter -o merged.gguf --type Q4_K_M\n"
                "slm merge model.gguf --lora a.gguf --lora-scale 0.5 -o merged.gguf\n"
                "slm merge ./model-folder --lora ./adapter -o ./merged-folder --type bf16",
    .opts = opts,
    .size = sizeof(struct args),
    .defaults = defaults,
    .model = 1,
};
