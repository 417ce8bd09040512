/* slm advise: which type of a model fits this machine, and what to expect of it. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct args {
    struct slm_cli_common common;
    const char *model, *shape, *ram, *kv_type;
    int context;
};

#define F(field) offsetof(struct args, field)
static const struct slm_cli_opt opts[] = {
    SLM_CLI_VALUE(OPT_FILE, 'm', "model", F(model), "MODEL",
                  "the model, instead of the first word"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "shape", F(shape), "NAME",
                  "instead of a model: one of the shapes of slm bench --shape list"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "ram", F(ram), "SIZE",
                  "memory to fit in, as 8G or 900M (default: what this machine has free)"),
    SLM_CLI_INT('c', "ctx-size|context|ctx", F(context), "N", 1, 1 << 24,
                "positions of context (default: the model's own, at most 4096)"),
    SLM_CLI_CHOICE(0, "cache-type|kv-type", F(kv_type), "f32 f16 bf16 q8_0 q4_0",
                   "element type of the key/value cache (default: f16)"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

enum { TYPES_MAX = 16 };
struct advise {
    const struct args *a;
    slm_model_info info;
    slm_advise_opts o;
    const char *type[TYPES_MAX];
    slm_advice of[TYPES_MAX];
    slm_advice now; /* the file as it is */
    bool file;
    int n, best;
};

/* "8G", "900M", "1.5GiB", a number of bytes. */
static int parse_size(const char *text, uint64_t *out, slm_err *err)
{
    static const char units[] = "KMGT";
    char *end;
    double x = strtod(text, &end);
    const char *u = *end ? strchr(units, *end & ~32) : NULL;
    if (u && *end) {
        for (const char *p = units; p <= u; p++)
            x *= 1024;
        end++;
        if (!strcmp(end, "iB") || !strcmp(end, "B"))
            end += strlen(end);
    }
    if (end == text || *end || !(x >= 1 && x < 1e18))
        return slm_cli_fail(err, SLM_E_ARG, "--ram: '%s' is no size like 8G", text);
    *out = (uint64_t)x;
    return 0;
}

/* Memory that could be had now, 0: the system does not say. */
static uint64_t free_ram(void)
{
    char line[128];
    uint64_t kib = 0;
    FILE *f = fopen("/proc/meminfo", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "MemAvailable:", 13))
            kib = strtoull(line + 13, NULL, 10);
    if (f)
        fclose(f);
    return kib * 1024;
}

/* The largest that fits; nothing is said for more bits than eight, as it would be for nobody.
 * Where rows are too short for blocks every type takes more, and then the smallest that fits.
 */
static void choose(struct advise *v)
{
    v->best = -1;
    for (int i = 0; i < v->n; i++)
        if (v->of[i].fits && v->of[i].bits < 9 &&
            (v->best < 0 || v->of[i].total > v->of[v->best].total))
            v->best = i;
    if (v->best >= 0)
        return;
    for (int i = 0; i < v->n; i++)
        if (v->of[i].fits && (v->best < 0 || v->of[i].total < v->of[v->best].total))
            v->best = i;
}

static void recommendation(const struct advise *v, char out[256])
{
    char size[32], ram[32];
    slm_cli_size(ram, (double)v->o.ram);
    if (v->best < 0) {
        snprintf(out, 256,
                 "nothing fits in %s with a context of %d: take a shorter context or "
                 "a smaller model",
                 ram, v->o.context);
        return;
    }
    const slm_advice *x = &v->of[v->best];
    snprintf(out, 256, "%s: %s of %s with a context of %d, at most %.1f tokens a second here",
             v->type[v->best], slm_cli_size(size, (double)x->total), ram, v->o.context,
             x->decode_tok_s);
}

static void line(const char *type, const slm_advice *x)
{
    char w[32], t[32], loss[32] = "-";
    if (!isnan(x->loss))
        snprintf(loss, sizeof loss, "%.4f", x->loss);
    printf("%-10s %6.2f %11s %11s %9.1f %9.0f %9s  %s\n", type, x->bits,
           slm_cli_size(w, (double)x->weights), slm_cli_size(t, (double)x->total),
           x->decode_tok_s, x->prompt_tok_s, loss, x->fits ? "fits" : "too large");
}

static void show(const struct advise *v)
{
    char text[256];
    printf("%s (%s): %.1f M weights, context %d, cache %s\n", v->info.name, v->info.family,
           (double)v->info.params * 1e-6, v->o.context, v->o.kv_type);
    printf("%-10s %6s %11s %11s %9s %9s %9s\n", "type", "bits", "weights", "memory", "decode/s",
           "prompt/s", "loss");
    if (v->file)
        line("as it is", &v->now);
    for (int i = 0; i < v->n; i++)
        line(v->type[i], &v->of[i]);
    recommendation(v, text);
    puts(text);
}

static void put_advice(struct slm_cli_json *j, const char *type, const slm_advice *x)
{
    slm_js_open(j, '{');
    slm_js_kstr(j, "type", type);
    slm_js_kreal(j, "bits_per_weight", x->bits);
    slm_js_kint(j, "weights_bytes", (int64_t)x->weights);
    slm_js_kint(j, "cache_bytes", (int64_t)x->cache);
    slm_js_kint(j, "work_bytes", (int64_t)x->work);
    slm_js_kint(j, "text_bytes", (int64_t)x->text);
    slm_js_kint(j, "memory_bytes", (int64_t)x->total);
    slm_js_kreal(j, "decode_tok_s", x->decode_tok_s);
    slm_js_kreal(j, "prompt_tok_s", x->prompt_tok_s);
    slm_js_kreal(j, "expected_kld", x->loss);
    slm_js_key(j, "fits");
    slm_js_bool(j, x->fits);
    slm_js_close(j, '}');
}

static void show_json(const struct advise *v)
{
    struct slm_cli_json j = {.f = stdout};
    char text[256];
    recommendation(v, text);
    slm_js_open(&j, '{');
    slm_js_kstr(&j, "model", v->info.name);
    slm_js_kstr(&j, "family", v->info.family);
    slm_js_kint(&j, "params", (int64_t)v->info.params);
    slm_js_kint(&j, "context", v->o.context);
    slm_js_kstr(&j, "kv_type", v->o.kv_type);
    slm_js_kint(&j, "ram_bytes", (int64_t)v->o.ram);
    slm_js_kreal(&j, "read_gbs", v->o.read_gbs);
    slm_js_kreal(&j, "peak_gops", v->o.peak_gops);
    slm_js_key(&j, "file");
    if (v->file)
        put_advice(&j, NULL, &v->now);
    else
        slm_js_raw(&j, NULL);
    slm_js_key(&j, "types");
    slm_js_open(&j, '[');
    for (int i = 0; i < v->n; i++)
        put_advice(&j, v->type[i], &v->of[i]);
    slm_js_close(&j, ']');
    slm_js_kstr(&j, "recommended", v->best >= 0 ? v->type[v->best] : NULL);
    slm_js_kstr(&j, "recommendation", text);
    slm_js_close(&j, '}');
}

/* The model's numbers alone, in *shell; what the file itself takes, in v->now. */
static int look(struct slm_cli *c, struct advise *v, slm_model **shell, slm_err *err)
{
    if (v->a->shape)
        return slm_shape_empty(shell, c->rt, v->a->shape, err);
    slm_model *m = NULL;
    slm_model_opts mo;
    struct slm_cli_model_args ma = {.model = v->a->model};
    slm_model_opts_init(&mo);
    mo.allow_no_tokenizer = 1;
    int code = slm_cli_model_open(c, &m, &ma, &mo, true, err);
    if (code)
        return code;
    slm_model_info_get(m, &v->info);
    if (!v->o.context)
        v->o.context = v->info.context && v->info.context < 4096 ? v->info.context : 4096;
    v->file = true;
    code = slm_advise(m, NULL, &v->o, &v->now, err);
    if (!code)
        code = slm_model_empty(shell, m, err);
    slm_model_close(&m);
    return code;
}

static int ceilings(struct slm_cli *c, slm_advise_opts *o, slm_err *err)
{
    slm_bench_peaks p;
    int code = slm_bench_machine(c->rt, 0, &p, err);
    if (code)
        return code;
    o->read_gbs = p.read_gbs;
    o->peak_gops = p.amx_bf16_gflops > 0 ? p.amx_bf16_gflops
                   : p.int8_gops > 0     ? p.int8_gops
                                         : p.f32_gflops;
    return 0;
}

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    struct advise v = {.a = p};
    slm_model *shell = NULL;
    v.o.context = v.a->context;
    v.o.kv_type = v.a->kv_type ? v.a->kv_type : "f16";
    v.o.ram = free_ram();
    int code = v.a->ram ? parse_size(v.a->ram, &v.o.ram, err) : 0;
    if (!code && v.a->shape && (v.a->model || c->words.n))
        code = slm_cli_fail(err, SLM_E_ARG, "a model and --shape: which of the two?");
    if (!code)
        code = slm_cli_runtime(c, err);
    if (!code)
        code = ceilings(c, &v.o, err);
    if (!code)
        code = look(c, &v, &shell, err);
    if (!code) {
        slm_model_info_get(shell, &v.info);
        if (!v.o.context)
            v.o.context = v.info.context < 4096 ? v.info.context : 4096;
    }
    for (; !code && v.n < TYPES_MAX && (v.type[v.n] = slm_advice_type(v.n)); v.n++)
        code = slm_advise(shell, v.type[v.n], &v.o, &v.of[v.n], err);
    if (!code) {
        choose(&v);
        (v.a->common.json ? show_json : show)(&v);
    }
    slm_model_close(&shell);
    return code;
}

extern const struct slm_cli_command slm_cmd_advise;
const struct slm_cli_command slm_cmd_advise = {
    .name = "advise",
    .run = run,
    .args = "[MODEL]",
    .summary = "which type of a model fits this machine, and what to expect of it",
    .about = "Reads the numbers of a model, of a folder or of a shape, and says for each usual "
             "type of weights: bits a weight, memory with the context, the speed that this "
             "machine allows (its bandwidth and arithmetic are measured, decoding with half of "
             "the context filled), the expected loss (mean divergence of the bundled model in "
             "that type), and whether it fits in the memory given. The last line recommends.",
    .examples = "slm advise model.gguf --ram 8G\n"
                "slm advise --shape llama-3.1-8b --ram 6G --ctx 8192 --json",
    .opts = opts,
    .size = sizeof(struct args),
    .model = 1,
};
