/* slm convert: a model in another form. */
#include "cli.h"

#include <string.h>

struct args {
    struct slm_cli_common common;
    const char *type, *tokenizer;
    struct slm_cli_lora_args lora;
};

#define F(field) offsetof(struct args, field)
static const struct slm_cli_opt opts[] = {
    SLM_CLI_VALUE(
        OPT_TEXT, 0, "type", F(type), "TYPE",
        "element type of the matrices: f32, f16, bf16, q8_0 ... (default: as stored)"),
    SLM_CLI_VALUE(OPT_FILE, 0, "tokenizer", F(tokenizer), "PATH",
                  "another tokenizer to put in"),
    SLM_CLI_GROUP(slm_cli_lora_opts, F(lora), "Adapters"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

/* Of the model IN only the adapters, in the other form. */
static int convert_adapters(struct slm_cli *c, const struct args *a, slm_err *err)
{
    const char *out = c->words.v[1];
    struct slm_cli_adapters h = {.n = 0};
    slm_model *m = NULL;
    slm_model_opts mo;
    slm_adapter_save_opts o;
    size_t n = strlen(out);
    slm_model_opts_init(&mo);
    mo.no_tokenizer = 1;
    slm_adapter_save_opts_init(&o);
    o.gguf = n > 5 && !strcmp(out + n - 5, ".gguf");
    if (a->type || a->tokenizer)
        return slm_cli_fail(err, SLM_E_ARG, "--type and --tokenizer do not go with --lora");
    int code = slm_cli_runtime(c, err);
    if (!code)
        code = slm_model_open(&m, c->rt, c->words.v[0], &mo, err);
    if (!code)
        code = slm_cli_adapters_open(c, &h, m, &a->lora, err);
    if (!code)
        code = slm_adapter_save(h.all, out, &o, err);
    slm_cli_adapters_close(&h);
    slm_model_close(&m);
    if (code)
        return code;
    slm_cli_say(c, "%s written as a %s", out, o.gguf ? "GGUF adapter" : "PEFT folder");
    if (a->common.json) {
        struct slm_cli_json j = {.f = stdout};
        slm_js_open(&j, '{');
        slm_js_kstr(&j, "path", out);
        slm_js_kstr(&j, "format", o.gguf ? "gguf" : "peft");
        slm_js_close(&j, '}');
    }
    return 0;
}

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    const struct args *a = p;
    if (a->lora.files.n || a->lora.scaled.n)
        return convert_adapters(c, a, err);
    const char *in = c->words.v[0], *out = c->words.v[1];
    size_t n = strlen(out);
    slm_convert_opts o;
    struct slm_cli_progress bar;
    slm_convert_opts_init(&o);
    o.type = a->type;
    o.tokenizer = a->tokenizer;
    o.to_folder = n < 5 || strcmp(out + n - 5, ".gguf") != 0;
    o.progress = slm_cli_progress_step;
    o.progress_arg = &bar;
    int code = slm_cli_runtime(c, err);
    slm_cli_catch_interrupt();
    slm_cli_progress_start(&bar, c, "convert", "B");
    double t = slm_cli_seconds();
    if (!code)
        code = slm_model_convert(c->rt, in, out, &o, err);
    slm_cli_progress_end(&bar);
    if (code)
        return code;
    slm_cli_say(c, "%s written as a %s in %.2f s", out, o.to_folder ? "folder" : "GGUF file",
                slm_cli_seconds() - t);
    if (a->common.json) {
        struct slm_cli_json j = {.f = stdout};
        slm_js_open(&j, '{');
        slm_js_kstr(&j, "path", out);
        slm_js_kstr(&j, "format", o.to_folder ? "hf" : "gguf");
        slm_js_kstr(&j, "type", a->type);
        slm_js_close(&j, '}');
    }
    return 0;
}

extern const struct slm_cli_command slm_cmd_convert;
const struct slm_cli_command slm_cmd_convert = {
    .name = "convert",
    .run = run,
    .args = "IN OUT",
    .summary = "write a model as GGUF or as a Hugging Face folder",
    .about = "Reads the model IN and writes it to OUT: a GGUF file where OUT ends in .gguf, "
             "else a Hugging Face "
             "folder. OUT appears whole or not at all.\n\n"
             "With --lora the adapter for IN is written instead: as a GGUF adapter, or as a "
             "PEFT folder. Scales become part of it, and several become one.",
    .examples = "slm convert ./model-folder model.gguf --type q8_0\n"
                "slm convert model.gguf ./model-folder\n"
                "slm convert ./model-folder adapter.gguf --lora ./peft-folder",
    .opts = opts,
    .size = sizeof(struct args),
};
