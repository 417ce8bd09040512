/* slm logits: what the model says of every next token, as numbers, for checks from outside. */
#include "cli.h"

struct args {
    struct slm_cli_common common;
    struct slm_cli_model_args model;
    const char *ids_file, *out;
    const char *kv_type;
    int step, fast, batch;
    struct slm_cli_lora_args lora;
};

#define F(field) offsetof(struct args, field)
static const struct slm_cli_opt opts[] = {
    SLM_CLI_GROUP(slm_cli_model_opts, F(model), NULL),
    SLM_CLI_VALUE(OPT_FILE, 0, "ids-file", F(ids_file), "FILE",
                  "ids, separated by white space; - is stdin"),
    SLM_CLI_VALUE(OPT_FILE, 'o', "output", F(out), "FILE", "where the logits go; - is stdout"),
    SLM_CLI_FLAG(0, "step", F(step), "feed one token at a time"),
    SLM_CLI_FLAG(0, "fast", F(fast),
                 "the kernels that generation takes, not float32 activations"),
    SLM_CLI_CHOICE(0, "cache-type|kv-type", F(kv_type), "f32 f16 bf16 q8_0 q4_0",
                   "element type of the key/value cache (default: f32)"),
    SLM_CLI_INT('b', "batch-size|batch", F(batch), "N", 0, 65536,
                "rows computed at once (default: 512)"),
    SLM_CLI_GROUP(slm_cli_lora_opts, F(lora), "Adapters"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

struct sink {
    struct slm_cli_out out;
    struct slm_cli_progress bar;
    slm_err *err;
    size_t vocab;
    uint64_t done, total;
    int code;
};

static int on_row(void *arg, int row, const float *logits)
{
    struct sink *s = arg;
    (void)row;
    s->code = slm_cli_out_floats(&s->out, logits, s->vocab, s->err);
    return slm_cli_progress_step(&s->bar, ++s->done, s->total) || s->code;
}

/* As generation computes it: each token by itself. */
static int by_step(slm_session *s, const slm_ids *ids, struct sink *k, slm_err *why)
{
    int code = 0;
    for (size_t i = 0; i < ids->len && !code; i++) {
        code = slm_session_append(s, ids->data + i, 1, why);
        if (!code && on_row(k, (int)i, slm_session_logits(s)))
            code = slm_cli_fail(why, SLM_E_CANCELLED, "stopped at token %zu", i);
    }
    return code;
}

static int score(const struct args *a, slm_session *s, const slm_ids *ids, struct sink *k,
                 slm_err *err)
{
    slm_err why = {0};
    int code = a->step ? by_step(s, ids, k, &why)
                       : slm_session_score(s, ids->data, (int)ids->len, on_row, k, &why);
    if (code && !k->code)
        *err = why;
    return code && k->code ? k->code : code;
}

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    const struct args *a = p;
    slm_model *m = NULL;
    slm_session *s = NULL;
    slm_ids ids = {0};
    slm_model_info info;
    struct sink k = {.err = err};
    slm_model_opts mo;
    struct slm_cli_session_args so = {0};
    slm_model_opts_init(&mo);
    mo.no_tokenizer = 1;
    if (!a->ids_file || !a->out)
        return slm_cli_fail(err, SLM_E_ARG, "%s is missing",
                            a->ids_file ? "-o FILE" : "--ids-file FILE");
    int code = slm_cli_model_open(c, &m, &a->model, &mo, false, err);
    if (!code)
        code = slm_cli_read_ids(&ids, c->rt, a->ids_file, err);
    if (!code && !ids.len)
        code = slm_cli_fail(err, SLM_E_ARG, "%s: no ids in it", a->ids_file);
    slm_session_opts_init(&so.o);
    so.o.context = (int)ids.len;
    so.o.exact = !a->fast;
    so.o.kv_type = a->kv_type ? a->kv_type : "f32";
    so.o.batch = a->step ? 1 : a->batch;
    so.lora = a->lora;
    if (!code)
        code = slm_cli_session_open(c, &s, m, &so, 0, err);
    if (!code)
        code = slm_cli_out_open(&k.out, a->out, err);
    if (!code) {
        slm_model_info_get(m, &info);
        k.vocab = (size_t)info.vocab;
        k.total = ids.len;
        slm_cli_catch_interrupt();
        slm_cli_progress_start(&k.bar, c, "logits", "tok");
        code = score(a, s, &ids, &k, err);
        slm_cli_progress_end(&k.bar);
    }
    if (!code)
        code = slm_cli_out_commit(&k.out, err);
    if (!code && a->common.json) {
        struct slm_cli_json j = {
            .f = k.out.path && k.out.path[0] == '-' && !k.out.path[1] ? stderr : stdout};
        slm_js_open(&j, '{');
        slm_js_kint(&j, "rows", (int64_t)ids.len);
        slm_js_kint(&j, "vocab", info.vocab);
        slm_js_kstr(&j, "path", a->out);
        slm_js_close(&j, '}');
    }
    slm_cli_out_close(&k.out);
    slm_ids_release(&ids);
    slm_session_close(&s);
    slm_cli_adapters_close(&so.adapters);
    slm_model_close(&m);
    return code;
}

extern const struct slm_cli_command slm_cmd_logits;
const struct slm_cli_command slm_cmd_logits = {
    .name = "logits",
    .run = run,
    .args = "MODEL",
    .summary = "logits of a sequence of ids, as raw float32",
    .about = "Computes the logits of every position of the sequence in --ids-file and writes "
             "them to -o as raw "
             "little-endian float32, rows x vocabulary. Activations and cache are float32 "
             "unless --fast is given.",
    .examples = "slm logits model.gguf --ids-file ids.txt -o logits.f32",
    .opts = opts,
    .size = sizeof(struct args),
    .model = 1,
};
