/* slm show: what a file holds. A model's facts and memory; metadata and tensors of any GGUF or
 * safetensors file; one tensor's values. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

struct args {
    struct slm_cli_common common;
    struct slm_cli_model_args model;
    const char *tensor, *out, *kv_type;
    int context, tensors, metadata, template;
};

#define F(field) offsetof(struct args, field)
static const struct slm_cli_opt opts[] = {
    SLM_CLI_GROUP(slm_cli_model_opts, F(model), NULL),
    SLM_CLI_INT('c', "ctx-size|context", F(context), "N", 0, 1 << 24,
                "tell the memory for N positions"),
    SLM_CLI_CHOICE(0, "cache-type|kv-type", F(kv_type), "f32 f16 bf16 q8_0 q4_0",
                   "element type of the key/value cache (default: f16)"),
    SLM_CLI_FLAG(0, "metadata", F(metadata), "the metadata, whole"),
    SLM_CLI_FLAG(0, "tensors", F(tensors), "the tensors"),
    SLM_CLI_FLAG(0, "template", F(template), "the chat template's text"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "tensor", F(tensor), "NAME",
                  "write this tensor's values to -o as raw float32"),
    SLM_CLI_VALUE(OPT_FILE, 'o', "output", F(out), "FILE", "where they go; - is stdout"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

enum { CHUNK = 1 << 16, SHORT_ITEMS = 8 };

static int write_tensor(struct slm_cli *c, const struct args *a, const char *path, slm_err *err)
{
    slm_file *f = NULL;
    slm_tensor_info t;
    struct slm_cli_out out = {0};
    struct slm_cli_progress bar;
    int64_t at = -1;
    if (!a->out)
        return slm_cli_fail(err, SLM_E_ARG, "--tensor needs -o FILE");
    float *part = slm_cli_realloc(NULL, CHUNK * sizeof *part);
    int code = slm_file_open(&f, c->rt, path, err);
    if (!code && (at = slm_file_tensor_find(f, a->tensor)) < 0)
        code = slm_cli_fail(err, SLM_E_NOTFOUND, "%s: no tensor %s", path, a->tensor);
    if (!code)
        code = slm_cli_out_open(&out, a->out, err);
    slm_cli_progress_start(&bar, c, "tensor", "values");
    slm_cli_catch_interrupt();
    if (!code)
        slm_file_tensor_get(f, (size_t)at, &t);
    for (uint64_t i = 0; !code && i < t.count; i += CHUNK) {
        uint64_t n = t.count - i < CHUNK ? t.count - i : CHUNK;
        code = slm_file_tensor_read(f, (size_t)at, part, i, n, err);
        if (!code)
            code = slm_cli_out_floats(&out, part, (size_t)n, err);
        if (!code && slm_cli_progress_step(&bar, i + n, t.count))
            code = slm_cli_fail(err, SLM_E_CANCELLED, "stopped");
    }
    slm_cli_progress_end(&bar);
    if (!code)
        code = slm_cli_out_commit(&out, err);
    slm_cli_out_close(&out);
    slm_file_close(&f);
    free(part);
    return code;
}

/* ---- what is shown ---- */

struct view {
    struct slm_cli *c;
    const struct args *a;
    slm_file *file; /* either may be missing */
    slm_model *model;
    slm_model_info info;
};

static void json_tensors(struct slm_cli_json *j, const slm_file *f)
{
    slm_js_key(j, "tensors");
    slm_js_open(j, '[');
    for (size_t i = 0; i < slm_file_tensor_count(f); i++) {
        slm_tensor_info t;
        slm_file_tensor_get(f, i, &t);
        slm_js_open(j, '{');
        slm_js_kstr(j, "name", t.name);
        slm_js_kstr(j, "type", t.type);
        slm_js_key(j, "shape");
        slm_js_open(j, '[');
        for (int d = 0; d < t.n_dims; d++)
            slm_js_uint(j, t.dim[d]);
        slm_js_close(j, ']');
        slm_js_key(j, "bytes");
        slm_js_uint(j, t.bytes);
        slm_js_close(j, '}');
    }
    slm_js_close(j, ']');
}

static int json_metadata(struct slm_cli_json *j, const slm_file *f, size_t most, slm_err *err)
{
    int code = 0;
    slm_js_key(j, "metadata");
    slm_js_open(j, '{');
    for (size_t i = 0; i < slm_file_key_count(f) && !code; i++) {
        slm_text v = {0};
        code = slm_file_key_value(f, i, most, &v, err);
        if (!code) {
            slm_js_key(j, slm_file_key_name(f, i));
            slm_js_raw(j, v.data);
        }
        slm_text_release(&v);
    }
    slm_js_close(j, '}');
    return code;
}

static int view_context(const struct view *v)
{
    if (v->a->context)
        return v->a->context;
    return v->info.context > 0 && v->info.context < 4096 ? v->info.context : 4096;
}

/* As slm advise counts it. */
static int memory(const struct view *v, slm_advice *out)
{
    slm_advise_opts o = {.context = view_context(v), .kv_type = v->a->kv_type};
    return slm_advise(v->model, NULL, &o, out, NULL);
}

static void json_model(struct slm_cli_json *j, const struct view *v)
{
    const slm_model_info *i = &v->info;
    const char *origin = NULL, *kv = v->a->kv_type ? v->a->kv_type : "f16";
    const slm_tokenizer *t = slm_model_tokenizer(v->model);
    const struct {
        const char *key;
        int64_t n;
    } n[] = {{"layers", i->layers},
             {"width", i->width},
             {"heads", i->heads},
             {"kv_heads", i->kv_heads},
             {"head_width", i->head_width},
             {"ffn", i->ffn},
             {"vocab", i->vocab},
             {"experts", i->experts},
             {"experts_used", i->experts_used},
             {"context", i->context},
             {"window", i->window},
             {"params", (int64_t)i->params},
             {"params_active", (int64_t)i->params_active},
             {"bytes", (int64_t)i->bytes}};
    slm_js_key(j, "model");
    slm_js_open(j, '{');
    slm_js_kstr(j, "name", i->name);
    slm_js_kstr(j, "family", i->family);
    slm_js_kstr(j, "source", i->source);
    slm_js_kstr(j, "types", i->types);
    slm_js_kstr(j, "rope", i->rope);
    for (size_t k = 0; k < sizeof n / sizeof *n; k++)
        slm_js_kint(j, n[k].key, n[k].n);
    slm_js_kstr(j, "tokenizer", t ? slm_tokenizer_kind(t) : NULL);
    slm_js_kstr(j, "template_origin", slm_model_template(v->model, &origin) ? origin : NULL);
    slm_js_close(j, '}');
    slm_advice m;
    bool told = !memory(v, &m);
    slm_js_key(j, "memory");
    slm_js_open(j, '{');
    slm_js_kint(j, "context", view_context(v));
    slm_js_kstr(j, "cache_type", kv);
    slm_js_kint(j, "weights", (int64_t)i->bytes);
    slm_js_kint(j, "cache", told ? (int64_t)m.cache : -1);
    slm_js_kint(j, "work", told ? (int64_t)m.work : -1);
    slm_js_kint(j, "total", told ? (int64_t)m.total : -1);
    slm_js_close(j, '}');
    slm_js_kstr(j, "template", slm_model_template_source(v->model));
}

static int show_json(const struct view *v, slm_err *err)
{
    struct slm_cli_json j = {.f = stdout};
    int code = 0;
    slm_js_open(&j, '{');
    slm_js_kstr(&j, "format",
                v->file    ? slm_file_format(v->file)
                : v->model ? v->info.source
                           : NULL);
    if (v->model)
        json_model(&j, v);
    if (v->file)
        code = json_metadata(&j, v->file, v->a->metadata ? 0 : SHORT_ITEMS, err);
    if (v->file)
        json_tensors(&j, v->file);
    slm_js_close(&j, '}');
    return code;
}

static void text_model(const struct view *v)
{
    const slm_model_info *i = &v->info;
    const slm_tokenizer *t = slm_model_tokenizer(v->model);
    const char *origin = NULL, *kv = v->a->kv_type ? v->a->kv_type : "f16";
    char a[32], b[32], c[32], d[32];
    const slm_template *tpl = slm_model_template(v->model, &origin);
    printf("name        %s\n", i->name);
    printf("family      %s (from %s)\n", i->family, i->source);
    printf("weights     %.2f M, %.2f M met by a token; %s (%s)\n", (double)i->params * 1e-6,
           (double)i->params_active * 1e-6, slm_cli_size(a, (double)i->bytes), i->types);
    printf("shape       %d layers, width %d, %d heads over %d of %d, ffn %d, vocabulary %d\n",
           i->layers, i->width, i->heads, i->kv_heads, i->head_width, i->ffn, i->vocab);
    if (i->experts)
        printf("experts     %d of %d\n", i->experts_used, i->experts);
    printf("context     %d trained; rope scaling %s\n", i->context, i->rope ? i->rope : "none");
    if (i->window)
        printf("window      %d\n", i->window);
    printf("tokenizer   %s\n", t ? slm_tokenizer_kind(t) : "none");
    printf("template    %s%s\n", tpl ? "" : "none: ", origin ? origin : "");
    slm_advice m;
    if (memory(v, &m))
        printf("memory      a cache of type %s is not possible for this model\n", kv);
    else
        printf("memory      %s for %d positions: weights %s, cache %s (%s), work %s\n",
               slm_cli_size(a, (double)m.total), view_context(v),
               slm_cli_size(b, (double)m.weights), slm_cli_size(c, (double)m.cache), kv,
               slm_cli_size(d, (double)m.work));
}

static int text_metadata(const slm_file *f, size_t most, slm_err *err)
{
    int code = 0;
    for (size_t i = 0; i < slm_file_key_count(f) && !code; i++) {
        slm_text v = {0};
        code = slm_file_key_value(f, i, most, &v, err);
        if (!code) {
            bool cut = most && v.len > 200;
            size_t n = cut ? 200 : v.len;
            while (cut && n && ((unsigned char)v.data[n] & 0xc0) == 0x80)
                n--;
            printf("%-44s %.*s%s\n", slm_file_key_name(f, i), (int)n, v.data,
                   cut ? " ..." : "");
        }
        slm_text_release(&v);
    }
    return code;
}

static void text_tensors(const slm_file *f)
{
    for (size_t i = 0; i < slm_file_tensor_count(f); i++) {
        slm_tensor_info t;
        char shape[96] = "", size[32];
        size_t at = 0;
        slm_file_tensor_get(f, i, &t);
        for (int d = 0; d < t.n_dims && at < sizeof shape; d++)
            at += (size_t)snprintf(shape + at, sizeof shape - at, "%s%llu", d ? " x " : "",
                                   (unsigned long long)t.dim[d]);
        printf("%-48s %-8s %-20s %s\n", t.name, t.type, shape,
               slm_cli_size(size, (double)t.bytes));
    }
}

static int show_text(const struct view *v, slm_err *err)
{
    const struct args *a = v->a;
    bool some = a->tensors || a->metadata || a->template;
    const char *tpl = v->model ? slm_model_template_source(v->model) : NULL;
    int code = 0;
    if (a->template && !tpl)
        return slm_cli_fail(err, SLM_E_NOTFOUND, "no chat template");
    if (a->template)
        fputs(tpl, stdout);
    if (!some && v->model)
        text_model(v);
    if (!some && v->file)
        printf("file        %s, %zu keys, %zu tensors\n", slm_file_format(v->file),
               slm_file_key_count(v->file), slm_file_tensor_count(v->file));
    if (!v->file && (a->tensors || a->metadata))
        return slm_cli_fail(err, SLM_E_UNSUPPORTED,
                            "this format has no names for metadata and tensors");
    if (a->metadata || (!some && !v->model && v->file))
        code = text_metadata(v->file, a->metadata ? 0 : SHORT_ITEMS, err);
    if (!code && (a->tensors || (!some && !v->model && v->file)))
        text_tensors(v->file);
    return code;
}

/* ---- adapters ---- */

static void json_adapter(const slm_adapter_peek *k)
{
    struct slm_cli_json j = {.f = stdout};
    slm_js_open(&j, '{');
    slm_js_kstr(&j, "format", k->kind);
    slm_js_key(&j, "adapter");
    slm_js_open(&j, '{');
    slm_js_kstr(&j, "base", *k->base ? k->base : NULL);
    slm_js_kstr(&j, "family", *k->family ? k->family : NULL);
    slm_js_kstr(&j, "modules", k->names);
    slm_js_kint(&j, "matrices", k->modules);
    slm_js_kint(&j, "replaced", k->whole);
    slm_js_kint(&j, "r_least", k->r_least);
    slm_js_kint(&j, "r_most", k->r_most);
    slm_js_kreal(&j, "alpha", k->alpha);
    slm_js_kreal(&j, "scale", k->scale);
    slm_js_key(&j, "rslora");
    slm_js_bool(&j, k->rslora);
    slm_js_key(&j, "dora");
    slm_js_bool(&j, k->dora);
    slm_js_kint(&j, "params", (int64_t)k->params);
    slm_js_close(&j, '}');
    slm_js_close(&j, '}');
}

static int show_adapter(const struct slm_cli *c, const struct args *a, const char *path,
                        slm_err *err)
{
    slm_adapter_peek k;
    int code = slm_adapter_peek_at(c->rt, path, &k, err);
    if (code)
        return code;
    if (a->common.json) {
        json_adapter(&k);
        return 0;
    }
    printf("adapter     %s (%s%s)\n", k.dora ? "DoRA" : k.rslora ? "rsLoRA" : "LoRA", k.kind,
           k.dora && k.rslora ? ", rsLoRA's scale" : "");
    if (*k.base || *k.family)
        printf("base        %s%s%s\n", k.base, *k.base && *k.family ? ", " : "", k.family);
    printf("adds to     %d matrices: %s\n", k.modules, k.names);
    if (k.whole)
        printf("replaces    %d weights\n", k.whole);
    printf(k.r_least == k.r_most ? "rank        %d\n" : "rank        %d to %d\n", k.r_least,
           k.r_most);
    if (k.alpha == k.alpha)
        printf("alpha       %g\n", k.alpha);
    if (k.scale == k.scale)
        printf("scale       %g\n", k.scale);
    printf("numbers     %llu\n", (unsigned long long)k.params);
    return 0;
}

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    const struct args *a = p;
    struct view v = {.c = c, .a = a};
    slm_err no_file = {0}, no_model = {0};
    slm_model_opts mo;
    const char *path;
    slm_model_opts_init(&mo);
    mo.allow_no_tokenizer = 1;
    int code = slm_cli_model_path(c, &a->model, &path, err);
    if (!code)
        code = slm_cli_runtime(c, err);
    if (!code && a->tensor)
        return write_tensor(c, a, path, err);
    if (!code && slm_adapter_is(path) && !a->tensors && !a->metadata && !a->template)
        return show_adapter(c, a, path, err);
    if (code)
        return code;
    int file = slm_file_open(&v.file, c->rt, path, &no_file);
    int model = slm_model_open(&v.model, c->rt, path, &mo, &no_model);
    if (file && model) {
        *err = no_model;
        return model;
    }
    if (model)
        slm_cli_say(c, "no model: %s", no_model.msg);
    else
        slm_model_info_get(v.model, &v.info);
    code = a->common.json ? show_json(&v, err) : show_text(&v, err);
    slm_model_close(&v.model);
    slm_file_close(&v.file);
    return code;
}

extern const struct slm_cli_command slm_cmd_show;
const struct slm_cli_command slm_cmd_show = {
    .name = "show",
    .run = run,
    .args = "MODEL",
    .summary = "what a file holds: facts, metadata, tensors, memory",
    .about =
        "Shows a model's shape, types, template and the memory it needs for a context; with "
        "--metadata and "
        "--tensors what the file holds, also of GGUF and safetensors files that are no model.",
    .examples = "slm show model.gguf -c 8192\n"
                "slm show model.gguf --tensors\n"
                "slm show model.safetensors --tensor model.norm.weight -o norm.f32",
    .opts = opts,
    .size = sizeof(struct args),
    .model = 1,
};
