/* PEFT's adapter_config.json: rank and scale of every module, and whether all that it says is
 * said here too. A key that is not known to leave the answer alone, and says something, is
 * refused by its name: better no answer than another one. */
#include "adapter/adapter_in.h"

#include <math.h>
#include <string.h>

#define MAX_CONFIG ((size_t)4 << 20)

struct pattern {
    struct slm_fit *fit;
    double value;
};
struct slm_peft_config {
    slm_runtime *rt;
    const char *path;
    slm_json *json;
    struct pattern *rank, *alpha;
    int n_rank, n_alpha;
    int r;
    double lora_alpha;
    bool rslora, flip;
    float dropout;
};

/* Read here or by the reader of tensors, or without a say in what the model answers: how it was
 * initialised, which modules were looked for (the tensors tell), where it ran. */
static const char *const known[] = {"peft_type",
                                    "r",
                                    "lora_alpha",
                                    "lora_dropout",
                                    "use_rslora",
                                    "use_dora",
                                    "rank_pattern",
                                    "alpha_pattern",
                                    "fan_in_fan_out",
                                    "bias",
                                    "init_lora_weights",
                                    "modules_to_save",
                                    "target_modules",
                                    "target_parameters",
                                    "exclude_modules",
                                    "layers_to_transform",
                                    "layers_pattern",
                                    "task_type",
                                    "inference_mode",
                                    "base_model_name_or_path",
                                    "revision",
                                    "auto_mapping",
                                    "peft_version",
                                    "megatron_core",
                                    "megatron_config",
                                    "qalora_group_size",
                                    "loftq_config",
                                    "eva_config",
                                    "corda_config",
                                    "lora_ga_config",
                                    "ensure_weight_tying",
                                    "runtime_config",
                                    "enable_lora",
                                    "merge_weights",
                                    "velora_config"};

static bool says_nothing(const slm_json *v)
{
    switch (slm_json_type(v)) {
    case SLM_JSON_NULL: return true;
    case SLM_JSON_BOOL: return !slm_json_bool(v, true);
    case SLM_JSON_ARRAY:
    case SLM_JSON_OBJECT: return slm_json_count(v) == 0;
    default: return false;
    }
}

static int check_keys(const struct slm_peft_config *c, slm_err *err)
{
    for (void *it = slm_json_first(c->json); it; it = slm_json_next(c->json, it)) {
        size_t n;
        const char *key = slm_json_key(it, &n);
        bool fine = says_nothing(slm_json_value(it));
        for (size_t i = 0; i < sizeof known / sizeof *known && !fine; i++)
            fine = !strcmp(key, known[i]);
        if (!fine)
            return slm_fail(err, SLM_E_UNSUPPORTED, "%s: %s is not supported", c->path, key);
    }
    return 0;
}

/* Ways to begin that change the base model itself, so that the adapter fits another base. */
static int check_init(const struct slm_peft_config *c, slm_err *err)
{
    static const char *const fine[] = {"gaussian", "eva", "orthogonal", "monteclora"};
    const slm_json *v = slm_json_find(c->json, "init_lora_weights");
    const char *s = slm_json_str(v, NULL);
    if (!s)
        return 0;
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        if (!strcmp(s, fine[i]))
            return 0;
    return slm_fail(
        err, SLM_E_UNSUPPORTED,
        "%s: init_lora_weights \"%s\" changes the base model: save the adapter with "
        "path_initial_model_for_weight_conversion first",
        c->path, s);
}

static int check_words(const struct slm_peft_config *c, slm_err *err)
{
    const char *type = slm_json_str(slm_json_find(c->json, "peft_type"), NULL),
               *task = slm_json_str(slm_json_find(c->json, "task_type"), NULL),
               *bias = slm_json_str(slm_json_find(c->json, "bias"), NULL);
    if (!type || strcmp(type, "LORA") != 0)
        return slm_fail(err, SLM_E_UNSUPPORTED, "%s: peft_type '%s', only LORA is supported",
                        c->path, type ? type : "-");
    if (task && strcmp(task, "CAUSAL_LM") != 0)
        return slm_fail(err, SLM_E_UNSUPPORTED, "%s: task_type '%s', want CAUSAL_LM", c->path,
                        task);
    if (bias && strcmp(bias, "none") != 0 && strcmp(bias, "all") != 0 &&
        strcmp(bias, "lora_only") != 0)
        return slm_fail(err, SLM_E_FORMAT, "%s: bias '%s'", c->path, bias);
    return check_init(c, err);
}

static int read_patterns(struct slm_peft_config *c, const char *key, struct pattern **out,
                         int *n, slm_err *err)
{
    const slm_json *v = slm_json_find(c->json, key);
    size_t count = slm_json_is(v, SLM_JSON_OBJECT) ? slm_json_count(v) : 0;
    if (v && !slm_json_is(v, SLM_JSON_OBJECT) && !slm_json_is(v, SLM_JSON_NULL))
        return slm_fail(err, SLM_E_FORMAT, "%s: %s is no object", c->path, key);
    if (!count)
        return 0;
    *out = slm_zalloc_n(c->rt, SLM_MEM_MODEL, count, sizeof **out);
    if (!*out)
        return slm_fail_mem(err, key, count * sizeof **out);
    for (void *it = slm_json_first(v); it; it = slm_json_next(v, it)) {
        struct pattern *p = &(*out)[*n];
        p->value = slm_json_num(slm_json_value(it), (double)NAN);
        if (!(fabs(p->value) < 1e9))
            return slm_fail(err, SLM_E_FORMAT, "%s: %s: %s is no number", c->path, key,
                            slm_json_key(it, NULL));
        int rc = slm_fit_new(&p->fit, c->rt, slm_json_key(it, NULL), true, c->path, err);
        if (rc)
            return rc;
        ++*n;
    }
    return 0;
}

static int read_numbers(struct slm_peft_config *c, slm_err *err)
{
    double r = slm_json_num(slm_json_find(c->json, "r"), 8),
           drop = slm_json_num(slm_json_find(c->json, "lora_dropout"), 0);
    c->lora_alpha = slm_json_num(slm_json_find(c->json, "lora_alpha"), 8);
    c->rslora = slm_json_bool(slm_json_find(c->json, "use_rslora"), false);
    c->flip = slm_json_bool(slm_json_find(c->json, "fan_in_fan_out"), false);
    if (!(r >= 1) || r > 65536 || r != floor(r))
        return slm_fail(err, SLM_E_FORMAT, "%s: r %g", c->path, r);
    if (!(fabs(c->lora_alpha) < 1e9))
        return slm_fail(err, SLM_E_FORMAT, "%s: lora_alpha", c->path);
    if (!(drop >= 0 && drop < 1))
        return slm_fail(err, SLM_E_FORMAT, "%s: lora_dropout %g", c->path, drop);
    if (c->flip)
        return slm_fail(err, SLM_E_UNSUPPORTED,
                        "%s: fan_in_fan_out is for layers that no family here has", c->path);
    c->r = (int)r;
    c->dropout = (float)drop;
    return 0;
}

static int read_base(struct slm_peft_config *c, slm_adapter *a, slm_err *err)
{
    const char *base = slm_json_str(slm_json_find(c->json, "base_model_name_or_path"), NULL);
    a->file->rslora = c->rslora;
    a->file->dropout = c->dropout;
    if (base && *base && !(a->file->base = slm_arena_strdup(&a->arena, base)))
        return slm_fail_mem(err, "adapter", strlen(base));
    return 0;
}

int slm_peft_config_read(struct slm_peft_config **out, slm_adapter *a, const char *path,
                         slm_err *err)
{
    struct slm_peft_config *c = *out = slm_zalloc(a->m->rt, SLM_MEM_MODEL, sizeof *c);
    if (!c)
        return slm_fail_mem(err, "adapter", sizeof *c);
    c->rt = a->m->rt;
    c->path = path;
    int rc = slm_json_load(&c->json, c->rt, path, MAX_CONFIG, err);
    if (!rc && !slm_json_is(c->json, SLM_JSON_OBJECT))
        rc = slm_fail(err, SLM_E_FORMAT, "%s: no JSON object", path);
    if (!rc)
        rc = check_words(c, err);
    if (!rc)
        rc = check_keys(c, err);
    if (!rc)
        rc = read_numbers(c, err);
    if (!rc)
        rc = read_patterns(c, "rank_pattern", &c->rank, &c->n_rank, err);
    if (!rc)
        rc = read_patterns(c, "alpha_pattern", &c->alpha, &c->n_alpha, err);
    return rc ? rc : read_base(c, a, err);
}

void slm_peft_config_free(struct slm_peft_config *c)
{
    if (!c)
        return;
    for (int i = 0; i < c->n_rank; i++)
        slm_fit_free(c->rank[i].fit);
    for (int i = 0; i < c->n_alpha; i++)
        slm_fit_free(c->alpha[i].fit);
    slm_free(c->rt, c->rank);
    slm_free(c->rt, c->alpha);
    slm_json_free(c->json);
    slm_free(c->rt, c);
}

/* The value of the first pattern that fits the module. */
static int look_up(struct pattern *p, int n, const char *module, double *v, slm_err *err)
{
    for (int i = 0; i < n; i++) {
        int is = slm_fit_is(p[i].fit, module, err);
        if (is)
            *v = p[i].value;
        if (is)
            return is < 0 ? is : 0;
    }
    return 0;
}

int slm_peft_config_scale(void *arg, const char *module, int *rank, float *scale, slm_err *err)
{
    struct slm_peft_config *c = arg;
    double r = c->r, alpha = c->lora_alpha;
    int rc = look_up(c->rank, c->n_rank, module, &r, err);
    if (!rc)
        rc = look_up(c->alpha, c->n_alpha, module, &alpha, err);
    if (!rc && (!(r >= 1) || r > 65536 || r != floor(r)))
        rc = slm_fail(err, SLM_E_FORMAT, "%s: rank_pattern gives %s a rank of %g", c->path,
                      module, r);
    *rank = rc ? 0 : (int)r;
    *scale = (float)(alpha / (c->rslora ? sqrt(r) : r));
    return rc;
}

float slm_peft_config_dropout(const struct slm_peft_config *c) { return c->dropout; }
