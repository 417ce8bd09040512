/* MODEL: which one, opened; and sessions on it, with their memory told before it is taken. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

#ifndef SLM_SHARE
#define SLM_SHARE "/usr/local/share/slm"
#endif

const struct slm_cli_opt slm_cli_model_opts[] = {
    SLM_CLI_VALUE(OPT_FILE, 'm', "model", offsetof(struct slm_cli_model_args, model), "MODEL",
                  "the model, instead of the first word"),
    SLM_CLI_END,
};

#define F(field) offsetof(struct slm_cli_session_args, o.field)
const struct slm_cli_opt slm_cli_session_opts[] = {
    SLM_CLI_INT('c', "ctx-size|context", F(context), "N", 0, 1 << 24,
                "positions to make room for (default: the model's own, at most 4096)"),
    SLM_CLI_INT('b', "batch-size|batch", F(batch), "N", 0, 65536,
                "rows computed at once (default: 512)"),
    SLM_CLI_CHOICE(0, "cache-type|kv-type", F(kv_type), "f32 f16 bf16 q8_0 q4_0",
                   "element type of the key/value cache (default: f16; with --exact f32)"),
    SLM_CLI_FLAG(0, "exact", F(exact), "float32 activations throughout, not the fast path"),
    SLM_CLI_GROUP(slm_cli_lora_opts, offsetof(struct slm_cli_session_args, lora), NULL),
    SLM_CLI_END,
};
#undef F

const char *slm_cli_size(char buf[32], double bytes)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    int i = 0;
    while (bytes >= 1024 && i < 4) {
        bytes /= 1024;
        i++;
    }
    snprintf(buf, 32, i ? "%.1f %s" : "%.0f %s", bytes, unit[i]);
    return buf;
}

int slm_cli_model_path(struct slm_cli *c, const struct slm_cli_model_args *a, const char **path,
                       slm_err *err)
{
    *path = a->model;
    if (*path)
        return 0;
    if (!c->words.n)
        return slm_cli_fail(err, SLM_E_ARG, "no model given; usage: slm %s [OPTIONS] %s",
                            c->cmd->name, c->cmd->args);
    *path = *c->words.v++;
    c->words.n--;
    return 0;
}

/* The model that comes with slm: as the environment says, beside the source tree that this
 * program was built in, or where it was installed. */
static const char *bundled_path(char *buf, size_t n)
{
    static const char *const places[] = {"../models/storyteller.gguf",
                                         "../share/slm/storyteller.gguf"};
    const char *env = getenv("SLM_MODEL");
    char dir[2048];
    if (env && *env)
        return env;
    slm_cli_exe_dir(dir, sizeof dir);
    for (size_t i = 0; *dir && i < sizeof places / sizeof *places; i++)
        if (snprintf(buf, n, "%s/%s", dir, places[i]) < (int)n && slm_cli_exists(buf))
            return buf;
    snprintf(buf, n, "%s/storyteller.gguf", SLM_SHARE);
    return slm_cli_exists(buf) ? buf : NULL;
}

int slm_cli_model_open(struct slm_cli *c, slm_model **m, const struct slm_cli_model_args *a,
                       const slm_model_opts *o, bool bundled, slm_err *err)
{
    char buf[2200], size[32];
    const char *path = NULL;
    int code = slm_cli_runtime(c, err);
    if (code)
        return code;
    if (bundled && !a->model && !c->words.n) {
        path = bundled_path(buf, sizeof buf);
        if (!path)
            return slm_cli_fail(err, SLM_E_NOTFOUND,
                                "no model given, and the one that comes with slm is not where "
                                "it was installed");
        slm_cli_say(c, "model %s", path);
    } else {
        code = slm_cli_model_path(c, a, &path, err);
    }
    double t = slm_cli_seconds();
    slm_model_opts mo;
    slm_model_opts_init(&mo);
    if (o)
        mo = *o;
    if (!code)
        code = slm_model_open(m, c->rt, path, &mo, err);
    if (code)
        return code;
    slm_model_info i;
    slm_model_info_get(*m, &i);
    slm_cli_tell(
        c,
        "%s (%s, %s): %d layers, width %d, vocabulary %d, %.1f M weights, %s; opened in %.3f s",
        i.name, i.family, i.source, i.layers, i.width, i.vocab, (double)i.params * 1e-6,
        slm_cli_size(size, (double)i.bytes), slm_cli_seconds() - t);
    slm_cli_tell(c, "%d threads, CPU level %s (%s)", slm_runtime_threads(c->rt),
                 slm_runtime_cpu_level(c->rt), slm_runtime_cpu_name(c->rt));
    return 0;
}

int slm_cli_session_open(struct slm_cli *c, slm_session **s, const slm_model *m,
                         struct slm_cli_session_args *a, int need, slm_err *err)
{
    int code = slm_cli_adapters_open(c, &a->adapters, m, &a->lora, err);
    if (code)
        return code;
    slm_session_opts o = a->o;
    o.adapter = a->adapters.all;
    slm_model_info i;
    char kv[32], work[32], weights[32];
    slm_model_info_get(m, &i);
    if (!o.context) {
        o.context = i.context > 0 && i.context < 4096 ? i.context : 4096;
        if (o.context < need)
            o.context = need;
    }
    if (!o.batch)
        o.batch = 512;
    if (o.batch > o.context)
        o.batch = o.context;
    if (!o.kv_type)
        o.kv_type = o.exact ? "f32" : "f16";
    if (i.context > 0 && o.context > i.context)
        slm_cli_say(c, "a context of %d is more than the %d the model was trained on",
                    o.context, i.context);
    int64_t kv_bytes = slm_model_kv_bytes(m, o.context, o.kv_type);
    if (kv_bytes < 0)
        return slm_cli_fail(err, SLM_E_UNSUPPORTED,
                            "%s: a cache of type %s is not possible for this model", i.name,
                            o.kv_type);
    slm_cli_say(c, "context %d (trained on %d); memory: weights %s, cache %s (%s), work %s",
                o.context, i.context, slm_cli_size(weights, (double)i.bytes),
                slm_cli_size(kv, (double)kv_bytes), o.kv_type,
                slm_cli_size(work, (double)slm_model_work_bytes(m, o.batch)));
    return slm_session_open(s, m, &o, err);
}

int slm_cli_encode(const slm_model *m, const char *text, size_t n, unsigned flags, slm_ids *out,
                   slm_err *err)
{
    const slm_tokenizer *t = slm_model_tokenizer(m);
    if (!t)
        return slm_cli_fail(err, SLM_E_ARG,
                            "the model has no tokenizer: give ids with --ids-file");
    return slm_tokenizer_encode(t, text, n, flags, out, err);
}
