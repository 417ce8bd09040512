/* --lora: adapters beside a model, opened, scaled, told of, and handed to sessions as one. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define F(field) offsetof(struct slm_cli_lora_args, field)
const struct slm_cli_opt slm_cli_lora_opts[] = {
    SLM_CLI_VALUE(OPT_LIST, 0, "lora", F(files), "ADAPTER",
                  "an adapter: a PEFT or MLX folder, or a GGUF file; again for more"),
    SLM_CLI_VALUE(OPT_LIST, 0, "lora-scaled", F(scaled), "ADAPTER:S",
                  "the same, times S: 0.5 is half of it"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "lora-scale", F(scale), "S",
                  "times S for every --lora (default: 1)"),
    SLM_CLI_END,
};
#undef F

static int parse_scale(const char *text, const char *what, float *out, slm_err *err)
{
    char *end = NULL;
    *out = strtof(text, &end);
    if (end == text || *end || !isfinite(*out))
        return slm_cli_fail(err, SLM_E_ARG, "%s '%.40s': want a number", what, text);
    return 0;
}

static int open_one(struct slm_cli *c, struct slm_cli_adapters *h, const slm_model *m,
                    const char *path, float scale, slm_err *err)
{
    slm_adapter_info i;
    double t = slm_cli_seconds();
    int code = slm_adapter_open(&h->one[h->n], m, path, err);
    if (code)
        return code;
    slm_adapter *a = h->one[h->n++];
    code = slm_adapter_scale(a, scale, err);
    slm_adapter_info_get(a, &i);
    slm_cli_tell(c,
                 "adapter %s (%s): %d matrices, rank %d to %d, %.2f M numbers%s; opened in "
                 "%.3f s",
                 path, i.kind, i.parts, i.r_least, i.r_most, (double)i.params * 1e-6,
                 i.dora ? ", DoRA" : "", slm_cli_seconds() - t);
    return code;
}

/* "PATH:S" */
static int open_scaled(struct slm_cli *c, struct slm_cli_adapters *h, const slm_model *m,
                       const char *text, slm_err *err)
{
    const char *colon = strrchr(text, ':');
    struct slm_cli_buf path = {0};
    float scale = 1;
    if (!colon || colon == text)
        return slm_cli_fail(err, SLM_E_ARG, "--lora-scaled '%.80s': want ADAPTER:S", text);
    int code = parse_scale(colon + 1, "--lora-scaled", &scale, err);
    slm_cli_put(&path, text, (size_t)(colon - text));
    if (!code)
        code = open_one(c, h, m, path.s, scale, err);
    slm_cli_buf_free(&path);
    return code;
}

int slm_cli_adapters_open(struct slm_cli *c, struct slm_cli_adapters *h, const slm_model *m,
                          const struct slm_cli_lora_args *a, slm_err *err)
{
    float scale = 1;
    int code = 0, n = a->files.n + a->scaled.n;
    if (a->scale && !a->files.n)
        return slm_cli_fail(err, SLM_E_ARG, "--lora-scale goes with --lora");
    if (a->scale)
        code = parse_scale(a->scale, "--lora-scale", &scale, err);
    for (int i = 0; i < a->files.n && !code; i++)
        code = open_one(c, h, m, a->files.item[i], scale, err);
    for (int i = 0; i < a->scaled.n && !code; i++)
        code = open_scaled(c, h, m, a->scaled.item[i], err);
    if (!code && n > 1)
        code = slm_adapter_join(&h->joined, h->one, n, err);
    h->all = code || !n ? NULL : n > 1 ? h->joined : h->one[0];
    return code;
}

void slm_cli_adapters_close(struct slm_cli_adapters *h)
{
    slm_adapter_close(&h->joined);
    for (int i = 0; i < h->n; i++)
        slm_adapter_close(&h->one[i]);
    *h = (struct slm_cli_adapters){.n = 0};
}
