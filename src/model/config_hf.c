/* config.json of a Hugging Face folder, in the layout of Transformers 5 (rope_parameters) and
 * the one before it (rope_theta, rope_scaling). A key that changes the answer and is not
 * understood is an error. */
#include <math.h>
#include <string.h>

#include "model/slots.h"
#include "model/source.h"

/* Reads keys until one is wrong; then rc holds and the rest does nothing. */
struct reader {
    struct slm_source *s;
    const slm_json *j;
    slm_err *err;
    int rc;
};

#define REQUIRED INT64_MIN

static void wrong(struct reader *r, const char *key, const char *want)
{
    if (!r->rc)
        r->rc =
            slm_fail(r->err, SLM_E_FORMAT, "%s/config.json: %s is %s", r->s->path, key, want);
}

static const slm_json *find(struct reader *r, const char *key)
{
    const slm_json *v = slm_json_find(r->j, key);
    return slm_json_type(v) == SLM_JSON_NULL ? NULL : v;
}

static int get_int(struct reader *r, const char *key, int64_t otherwise)
{
    const slm_json *v = find(r, key);
    int64_t n = v ? slm_json_int(v, REQUIRED) : otherwise;
    if (!v && otherwise == REQUIRED)
        wrong(r, key, "missing");
    else if (n == REQUIRED || n < INT32_MIN || n > INT32_MAX)
        wrong(r, key, "no integer in range");
    return r->rc ? 0 : (int)n;
}

static float get_num(struct reader *r, const slm_json *obj, const char *key, double otherwise)
{
    const slm_json *v = slm_json_find(obj, key);
    if (slm_json_type(v) == SLM_JSON_NULL) {
        if (isnan(otherwise))
            wrong(r, key, "missing");
        return (float)otherwise;
    }
    if (!slm_json_is_num(v))
        wrong(r, key, "no number");
    return (float)slm_json_num(v, otherwise);
}

/* A key of the file, or the family's default, or required. */
static int64_t or_silent(int silent) { return silent ? silent : REQUIRED; }

static void check_act(struct reader *r, const struct slm_hparams *hp)
{
    static const char *const silu[] = {"silu", "swish", NULL};
    static const char *const gelu[] = {"gelu_pytorch_tanh", "gelu", "gelu_new", NULL};
    const char *const *ok = hp->family->act == SLM_ACT_SILU ? silu : gelu;
    const slm_json *v = find(r, "hidden_activation");
    const char *name = slm_json_str(v ? v : find(r, "hidden_act"), NULL);
    if (r->rc || !name)
        return;
    for (; *ok; ok++)
        if (!strcmp(*ok, name))
            return;
    r->rc = slm_fail(r->err, SLM_E_UNSUPPORTED,
                     "%s/config.json: activation '%s' is not known for %s", r->s->path, name,
                     hp->family->name);
}

/* What would change the answer and is not done here. */
static void refuse(struct reader *r)
{
    static const char *const keys[] = {"quantization_config", "compression_config"};
    for (size_t i = 0; i < 2 && !r->rc; i++) {
        const slm_json *q = slm_json_find(r->s->config, keys[i]);
        if (i == 0 && r->s->own)
            continue; /* bnb.c has read it */
        if (slm_json_is(q, SLM_JSON_OBJECT) || find(r, keys[i])) {
            const char *how = slm_json_str(slm_json_find(q, "quant_method"), NULL);
            r->rc = slm_fail(
                r->err, SLM_E_UNSUPPORTED,
                "%s/config.json: %s (%s): weights quantised by another tool are not read",
                r->s->path, keys[i], how ? how : "unknown method");
        }
    }
    if (!r->rc && slm_json_bool(find(r, "use_bidirectional_attention"), false))
        r->rc = slm_fail(r->err, SLM_E_UNSUPPORTED,
                         "%s/config.json: use_bidirectional_attention", r->s->path);
}

static const float *get_factors(struct reader *r, const slm_json *obj, const char *key, int n)
{
    const slm_json *list = slm_json_find(obj, key);
    float *f = slm_arena_alloc_n(r->s->arena, (size_t)n, sizeof *f);
    if (!f) {
        r->rc = slm_fail_mem(r->err, key, (size_t)n * 4);
        return NULL;
    }
    if (slm_json_count(list) != (size_t)n || !slm_json_is(list, SLM_JSON_ARRAY))
        wrong(r, key, "not a list of one number for each pair of rotated dimensions");
    for (int i = 0; i < n && !r->rc; i++) {
        const slm_json *v = slm_json_at(list, (size_t)i);
        f[i] = (float)slm_json_num(v, 0);
        if (!slm_json_is_num(v) || !(f[i] > 0))
            wrong(r, key, "a list with something that is no number above 0");
    }
    return f;
}

static enum slm_rope_kind rope_kind(struct reader *r, const struct slm_hparams *hp,
                                    const slm_json *rope)
{
    const char *type = slm_json_str(slm_json_find(rope, "rope_type"), NULL);
    if (!type)
        type = slm_json_str(slm_json_find(rope, "type"), NULL);
    if (!type || !strcmp(type, "default"))
        return SLM_ROPE_PLAIN;
    /* Phi-3's first folders say "su" or "yarn" for what became longrope */
    if (!strcmp(type, "longrope") || !strcmp(type, "su") ||
        (!strcmp(type, "yarn") && hp->family->fuse && slm_json_find(rope, "short_factor")))
        return SLM_ROPE_LONG;
    for (int k = SLM_ROPE_LINEAR; k <= SLM_ROPE_YARN; k++)
        if (!strcmp(type, slm_rope_name((enum slm_rope_kind)k)))
            return (enum slm_rope_kind)k;
    if (!r->rc)
        r->rc = slm_fail(r->err, SLM_E_UNSUPPORTED,
                         "%s/config.json: rope scaling '%s' is not known", r->s->path, type);
    return SLM_ROPE_PLAIN;
}

static void read_rope(struct reader *r, struct slm_hparams *hp, struct slm_rope *out,
                      const slm_json *rope, double base)
{
    double orig = (double)get_int(r, "original_max_position_embeddings", 0);
    out->kind = rope_kind(r, hp, rope);
    out->base = get_num(r, rope, "rope_theta", base);
    if (orig == 0)
        orig = (double)get_num(r, rope, "original_max_position_embeddings", hp->context);
    if (!(orig >= 0 && orig <= SLM_MAX_CONTEXT))
        wrong(r, "original_max_position_embeddings", "out of range");
    out->original = r->rc ? 1 : (int)orig;
    out->attn_factor = get_num(r, rope, "attention_factor", 0);
    double ratio = (double)hp->context / fmax(1, orig);
    bool wants = out->kind == SLM_ROPE_LINEAR || out->kind == SLM_ROPE_LLAMA3;
    out->factor = get_num(r, rope, "factor",
                          wants                        ? (double)NAN
                          : out->kind == SLM_ROPE_YARN ? ratio
                                                       : 0);
    if (out->kind == SLM_ROPE_LLAMA3) {
        out->low = get_num(r, rope, "low_freq_factor", (double)NAN);
        out->high = get_num(r, rope, "high_freq_factor", (double)NAN);
    }
    if (out->kind == SLM_ROPE_YARN) {
        out->beta_fast = get_num(r, rope, "beta_fast", 32);
        out->beta_slow = get_num(r, rope, "beta_slow", 1);
        out->mscale = get_num(r, rope, "mscale", 0);
        out->mscale_all = get_num(r, rope, "mscale_all_dim", 0);
        out->truncate = slm_json_bool(slm_json_find(rope, "truncate"), true);
    }
    if (out->kind == SLM_ROPE_LONG && !r->rc) {
        out->short_f = get_factors(r, rope, "short_factor", hp->rot / 2);
        out->long_f = get_factors(r, rope, "long_factor", hp->rot / 2);
    }
}

static const slm_json *rope_object(struct reader *r)
{
    const slm_json *p = find(r, "rope_parameters");
    if (!p)
        p = find(r, "rope_scaling");
    if (p && !slm_json_is(p, SLM_JSON_OBJECT))
        wrong(r, "rope_parameters", "no object");
    return p;
}

static void read_ropes(struct reader *r, struct slm_hparams *hp)
{
    const slm_json *p = rope_object(r);
    const slm_json *full = slm_json_find(p, "full_attention"),
                   *local = slm_json_find(p, "sliding_attention");
    double base = (double)get_num(
        r, r->j, "rope_theta", hp->family->rope_base > 0 ? (double)hp->family->rope_base : 1e4);
    /* a double throughout: what is cut to whole columns must not be rounded before */
    const slm_json *part = slm_json_find(full ? full : p, "partial_rotary_factor");
    if (slm_json_type(part) == SLM_JSON_NULL)
        part = find(r, "partial_rotary_factor");
    if (slm_json_type(part) == SLM_JSON_NULL)
        part = find(r, "rope_pct");
    double silent = hp->family->rot_share > 0 ? (double)hp->family->rot_share : 1;
    double share = part ? slm_json_num(part, 0) : silent;
    if (!(share > 0 && share <= 1))
        wrong(r, "partial_rotary_factor", "not between 0 and 1");
    if (r->rc)
        return;
    hp->rot = (int)(hp->head_width * share);
    if (hp->rot < 2 || hp->rot % 2) {
        wrong(r, "partial_rotary_factor", "such that no even number of dimensions rotates");
        return;
    }
    hp->two_ropes = hp->family->window == SLM_WIN_FIVE_OF_SIX;
    read_rope(r, hp, &hp->rope[0], full ? full : p, base);
    if (hp->two_ropes)
        read_rope(r, hp, &hp->rope[1], local,
                  (double)get_num(r, r->j, "rope_local_base_freq", 1e4));
    const slm_json *beta = slm_json_find(p, "llama_4_scaling_beta");
    if (slm_json_is_num(beta)) {
        hp->temper_beta = (float)slm_json_num(beta, 0);
        hp->temper_original = hp->rope[0].original;
    }
}

static void read_heads(struct reader *r, struct slm_hparams *hp)
{
    const struct slm_family *f = hp->family;
    hp->heads = get_int(r, "num_attention_heads", or_silent(f->silent.heads));
    hp->kv_heads =
        get_int(r, "num_key_value_heads", f->silent.kv_heads ? f->silent.kv_heads : hp->heads);
    if (!r->rc && hp->heads < 1)
        wrong(r, "num_attention_heads", "below 1");
    if (r->rc)
        return;
    hp->head_width = get_int(
        r, "head_dim", f->silent.head_width ? f->silent.head_width : hp->width / hp->heads);
    if (!r->rc && hp->head_width < 1)
        wrong(r, "head_dim", "below 1");
    double scalar = f->query_scalar ? (double)get_num(r, r->j, "query_pre_attn_scalar", 256)
                                    : hp->head_width;
    hp->attn_scale = (float)(1 / sqrt(scalar));
}

/* Biases that config.json speaks of must be there, or not be there, as it says. */
static void read_biases(struct reader *r, struct slm_hparams *hp)
{
    const slm_json *attn = find(r, "attention_bias"), *qkv = find(r, "use_qkv_bias");
    const slm_json *mlp = find(r, "mlp_bias");
    hp->o_bias = attn ? slm_json_bool(attn, false) : -1;
    hp->qkv_bias = qkv ? slm_json_bool(qkv, false) : hp->o_bias;
    hp->mlp_bias = mlp ? slm_json_bool(mlp, false) : -1;
}

static void read_sizes(struct reader *r, struct slm_hparams *hp)
{
    const struct slm_family *f = hp->family;
    hp->layers = get_int(r, "num_hidden_layers", REQUIRED);
    hp->width = get_int(r, "hidden_size", REQUIRED);
    hp->ffn = get_int(r, "intermediate_size", REQUIRED);
    hp->context = get_int(r, "max_position_embeddings", or_silent(f->silent.context));
    read_heads(r, hp);
    const char *eps = f->norm == SLM_NORM_LAYER ? "layer_norm_eps" : "rms_norm_eps";
    if (f->norm == SLM_NORM_LAYER && !find(r, eps))
        eps = "norm_eps"; /* StableLM's first layout */
    hp->eps = get_num(r, r->j, eps, f->silent.eps > 0 ? (double)f->silent.eps : (double)NAN);
    hp->attn_cap = get_num(r, r->j, "attn_logit_softcapping", 0);
    hp->final_cap = get_num(r, r->j, "final_logit_softcapping", 0);
    if (f->moe) {
        hp->experts = get_int(r, "num_local_experts", REQUIRED);
        hp->experts_used = get_int(r, "num_experts_per_tok", REQUIRED);
    }
    hp->parallel =
        f->resid == SLM_RESID_EITHER && slm_json_bool(find(r, "use_parallel_residual"), false);
    read_biases(r, hp);
    hp->embed_scale = f->embed_scale ? sqrtf((float)hp->width) : 1;
    hp->norm_shift = f->norm_shift;
    const slm_json *tie = find(r, "tie_word_embeddings");
    if (!tie)
        tie = slm_json_find(r->s->config, "tie_word_embeddings");
    hp->tied = tie ? slm_json_bool(tie, false) : -1;
}

static void read_layer_types(struct reader *r, struct slm_hparams *hp, int window)
{
    const slm_json *types = find(r, "layer_types");
    if (!types)
        return;
    if (!slm_json_is(types, SLM_JSON_ARRAY) || slm_json_count(types) != (size_t)hp->layers) {
        wrong(r, "layer_types", "not a list of one name for each layer");
        return;
    }
    for (int l = 0; l < hp->layers && !r->rc; l++) {
        const char *t = slm_json_str(slm_json_at(types, (size_t)l), NULL);
        bool slides = t && !strcmp(t, "sliding_attention");
        if (!slides && !(t && !strcmp(t, "full_attention")))
            wrong(r, "layer_types", "a list with an unknown kind of attention");
        if (slides && !window)
            wrong(r, "layer_types", "asking for sliding attention without a sliding_window");
        hp->window[l] = slides ? window : 0;
        hp->local[l] = hp->two_ropes && slides;
    }
}

static void read_windows(struct reader *r, struct slm_hparams *hp)
{
    bool given = slm_json_find(r->j, "sliding_window") != NULL; /* null: none */
    int window = get_int(r, "sliding_window", given ? 0 : hp->family->silent.window);
    if (hp->family->window != SLM_WIN_NONE && find(r, "sliding_window") && window < 1)
        wrong(r, "sliding_window", "below 1");
    if (hp->family->window == SLM_WIN_NONE)
        window = 0;
    if (hp->family->window == SLM_WIN_UPPER &&
        !slm_json_bool(find(r, "use_sliding_window"), false))
        window = 0;
    int period = get_int(r, "sliding_window_pattern", get_int(r, "_sliding_window_pattern", 6));
    int upper = get_int(r, "max_window_layers", 28);
    if (r->rc)
        return;
    slm_hparams_windows(hp, window, upper, period);
    read_layer_types(r, hp, window);
}

static int find_family(struct slm_hparams *hp, const struct slm_source *s, slm_err *err)
{
    const char *type = slm_json_str(slm_json_find(s->text, "model_type"), NULL);
    const char *arch =
        slm_json_str(slm_json_at(slm_json_find(s->text, "architectures"), 0), NULL);
    if (!type && !arch)
        return slm_fail(err, SLM_E_FORMAT,
                        "%s/config.json: neither model_type nor architectures", s->path);
    hp->family = slm_family_find_hf(type, arch);
    if (hp->family)
        return 0;
    struct slm_buf b;
    slm_buf_init(&b, s->rt, SLM_MEM_MODEL, 4096);
    slm_family_names(&b);
    int rc = slm_fail(err, SLM_E_UNSUPPORTED,
                      "%s/config.json: model family '%s' is not known; known are %s", s->path,
                      type ? type : arch, b.s);
    slm_buf_release(&b);
    return rc;
}

int slm_config_hf(struct slm_hparams *hp, struct slm_source *s, slm_err *err)
{
    struct reader r = {.s = s, .j = s->text, .err = err};
    r.rc = find_family(hp, s, err);
    if (r.rc)
        return r.rc;
    refuse(&r);
    check_act(&r, hp);
    read_sizes(&r, hp);
    if (!r.rc)
        r.rc = slm_hparams_alloc(hp, s, err);
    if (!r.rc)
        read_ropes(&r, hp);
    if (!r.rc)
        read_windows(&r, hp);
    if (r.rc)
        return r.rc;
    char name[192];
    slm_slot_name_hf(name, slm_slot_find(hp, SLM_W_EMBED), s->prefix, s->head_prefix, 0, 0);
    int64_t embed = slm_source_find(s, name);
    const struct slm_tensor_ref *t = embed >= 0 ? slm_source_at(s, (size_t)embed) : NULL;
    hp->vocab =
        get_int(&r, "vocab_size",
                t && t->n_dims == 2 && t->dim[0] < INT32_MAX ? (int64_t)t->dim[0] : REQUIRED);
    return r.rc;
}
