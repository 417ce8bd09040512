/* slm gradients: loss and gradients of one sequence, for checks from outside. */
#include "cli.h"

struct args {
    struct slm_cli_common common;
    struct slm_cli_model_args model;
    const char *ids_file, *labels_file, *out;
    struct slm_cli_lora_args lora;
};

#define F(field) offsetof(struct args, field)
static const struct slm_cli_opt opts[] = {
    SLM_CLI_GROUP(slm_cli_model_opts, F(model), NULL),
    SLM_CLI_VALUE(OPT_FILE, 0, "ids-file", F(ids_file), "FILE",
                  "ids, separated by white space; - is stdin"),
    SLM_CLI_VALUE(OPT_FILE, 0, "labels-file", F(labels_file), "FILE",
                  "labels, one for each id: label i is the target of row i-1, -100 counts not "
                  "(default: the ids)"),
    SLM_CLI_VALUE(OPT_FILE, 'o', "output", F(out), "FILE",
                  "where the gradients go, as safetensors"),
    SLM_CLI_GROUP(slm_cli_lora_opts, F(lora), "Adapters"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    const struct args *a = p;
    slm_model *m = NULL;
    slm_ids ids = {0}, labels = {0};
    struct slm_cli_adapters adapters = {.n = 0};
    double loss = 0;
    slm_model_opts mo;
    slm_model_opts_init(&mo);
    mo.no_tokenizer = 1;
    if (!a->ids_file || !a->out)
        return slm_cli_fail(err, SLM_E_ARG, "%s is missing",
                            a->ids_file ? "-o FILE" : "--ids-file FILE");
    int code = slm_cli_model_open(c, &m, &a->model, &mo, false, err);
    if (!code)
        code = slm_cli_read_ids(&ids, c->rt, a->ids_file, err);
    if (!code && a->labels_file)
        code = slm_cli_read_ids(&labels, c->rt, a->labels_file, err);
    if (!code && a->labels_file && labels.len != ids.len)
        code = slm_cli_fail(err, SLM_E_ARG, "%s: %zu labels for %zu ids", a->labels_file,
                            labels.len, ids.len);
    if (!code)
        code = slm_cli_adapters_open(c, &adapters, m, &a->lora, err);
    const int32_t *target = a->labels_file ? labels.data : NULL;
    if (!code && adapters.all)
        code = slm_adapter_gradients(adapters.all, ids.data, target, (int)ids.len, a->out,
                                     &loss, err);
    else if (!code)
        code = slm_model_gradients(m, ids.data, target, (int)ids.len, a->out, &loss, err);
    if (!code && a->common.json) {
        struct slm_cli_json j = {.f = stdout};
        slm_js_open(&j, '{');
        slm_js_kreal(&j, "loss", loss);
        slm_js_kint(&j, "tokens", (int64_t)ids.len);
        slm_js_kstr(&j, "path", a->out);
        slm_js_close(&j, '}');
    } else if (!code) {
        printf("loss %.9g\n", loss);
    }
    slm_ids_release(&ids);
    slm_ids_release(&labels);
    slm_cli_adapters_close(&adapters);
    slm_model_close(&m);
    return code;
}

extern const struct slm_cli_command slm_cmd_gradients;
const struct slm_cli_command slm_cmd_gradients = {
    .name = "gradients",
    .run = run,
    .args = "MODEL",
    .summary = "loss and gradients of a sequence of ids",
    .about = "Computes the mean next-token cross-entropy of the sequence in --ids-file and its "
             "gradient by every "
             "weight, and writes the gradients to -o as float32 safetensors under Hugging Face "
             "names. With --lora: the gradients of the adapter's tensors, under their names in "
             "PEFT's file.",
    .examples = "slm gradients ./model-folder --ids-file ids.txt -o grad.safetensors --json",
    .opts = opts,
    .size = sizeof(struct args),
    .model = 1,
};
