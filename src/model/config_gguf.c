/* Hyper-parameters from the keys of a GGUF file, in llama.cpp's dialect and Ollama's, and from
 * the header of a llama2.c file. What neither writes (layer patterns, gemma's softmax scale) is
 * the rule that llama.cpp goes by. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/slots.h"
#include "model/source.h"

struct reader {
    const struct slm_source *s;
    const char *arch;
    slm_err *err;
    int rc;
    char key[160];
};

static const char *key_of(struct reader *r, const char *key)
{
    snprintf(r->key, sizeof r->key, "%s.%s", r->arch, key);
    return r->key;
}

static int get_int(struct reader *r, const char *key, int lo, int hi, enum slm_gguf_need need,
                   int otherwise)
{
    int v = otherwise;
    if (!r->rc)
        r->rc = slm_gguf_int32(r->s->gguf, key_of(r, key),
                               (struct slm_gguf_range){lo, hi, need}, &v, r->err);
    return v;
}

/* One value, or an array that repeats it for every layer: no family here varies it. */
static int get_same(struct reader *r, const char *key, int lo, int hi, int layers,
                    int otherwise)
{
    const struct slm_gguf_key *k = slm_gguf_find(r->s->gguf, key_of(r, key));
    if (!k || k->type != SLM_GGUF_ARR)
        return get_int(r, key, lo, hi, otherwise ? SLM_GGUF_OPTIONAL : SLM_GGUF_REQUIRED,
                       otherwise);
    int *v = slm_arena_alloc_n(r->s->arena, (size_t)layers, sizeof *v);
    if (!v)
        r->rc = slm_fail_mem(r->err, key, (size_t)layers * sizeof *v);
    if (!r->rc)
        r->rc = slm_gguf_ints(r->s->gguf, key_of(r, key),
                              (struct slm_gguf_range){lo, hi, SLM_GGUF_REQUIRED}, v,
                              (size_t)layers, r->err);
    for (int l = 1; l < layers && !r->rc; l++)
        if (v[l] != v[0])
            r->rc = slm_fail(r->err, SLM_E_UNSUPPORTED, "%s: %s differs from layer to layer",
                             r->s->path, r->key);
    return r->rc ? 1 : v[0];
}

static float get_num(struct reader *r, const char *key, enum slm_gguf_need need,
                     float otherwise)
{
    float v = otherwise;
    if (!r->rc)
        r->rc = slm_gguf_float(r->s->gguf, key_of(r, key), need, &v, r->err);
    return v;
}

/* A float32 vector of n numbers, by tensor name; NULL when absent. */
static const float *get_vector(struct reader *r, const char *name, int n)
{
    int64_t i = slm_source_find(r->s, name);
    if (r->rc || i < 0)
        return NULL;
    const struct slm_tensor_ref *t = slm_source_at(r->s, (size_t)i);
    if (t->type != SLM_F32 || t->n_dims != 1 || t->dim[0] != (uint64_t)n) {
        r->rc = slm_fail(r->err, SLM_E_FORMAT, "%s: tensor %s: want %d float32 numbers",
                         r->s->path, name, n);
        return NULL;
    }
    float *f = slm_arena_alloc_n(r->s->arena, (size_t)n, sizeof *f);
    if (!f) {
        r->rc = slm_fail_mem(r->err, name, (size_t)n * 4);
        return NULL;
    }
    memcpy(f, t->data, (size_t)n * sizeof *f);
    for (int k = 0; k < n; k++)
        if (!(f[k] > 0 && isfinite(f[k])) && !r->rc)
            r->rc = slm_fail(r->err, SLM_E_FORMAT, "%s: tensor %s: number %d is %g", r->s->path,
                             name, k, (double)f[k]);
    return f;
}

static int find_family(struct slm_hparams *hp, struct reader *r)
{
    struct slm_gguf_str a = {0};
    const struct slm_source *s = r->s;
    int rc = slm_gguf_str(s->gguf, "general.architecture", SLM_GGUF_REQUIRED, &a, r->err);
    if (rc)
        return rc;
    char *arch = slm_arena_strndup(s->arena, a.s, a.n);
    if (!arch)
        return slm_fail_mem(r->err, "architecture", a.n);
    r->arch = arch;
    if (a.n > 64)
        return slm_fail(r->err, SLM_E_FORMAT, "%s: general.architecture is %zu bytes long",
                        s->path, a.n);
    hp->experts = get_int(r, "expert_count", 0, SLM_MAX_EXPERTS, SLM_GGUF_OPTIONAL, 0);
    if (r->rc)
        return r->rc;
    hp->family = slm_family_find_gguf(arch, hp->experts > 0);
    if (hp->family)
        return 0;
    struct slm_buf b;
    slm_buf_init(&b, s->rt, SLM_MEM_MODEL, 4096);
    slm_family_names(&b);
    rc = slm_fail(r->err, SLM_E_UNSUPPORTED,
                  "%s: architecture '%s'%s is not known; known families are %s", s->path, arch,
                  hp->experts ? " with experts" : "", b.s);
    slm_buf_release(&b);
    return rc;
}

static void read_sizes(struct reader *r, struct slm_hparams *hp)
{
    const struct slm_family *f = hp->family;
    hp->layers = get_int(r, "block_count", 1, SLM_MAX_LAYERS, SLM_GGUF_REQUIRED, 0);
    hp->width = get_int(r, "embedding_length", 1, SLM_MAX_WIDTH, SLM_GGUF_REQUIRED, 0);
    hp->context = get_int(r, "context_length", 1, SLM_MAX_CONTEXT, SLM_GGUF_REQUIRED, 0);
    if (r->rc)
        return;
    hp->heads = get_same(r, "attention.head_count", 1, 65536, hp->layers, 0);
    if (r->rc)
        return;
    hp->kv_heads = get_same(r, "attention.head_count_kv", 1, 65536, hp->layers, hp->heads);
    hp->ffn = get_same(r, "feed_forward_length", 1, SLM_MAX_WIDTH * 8, hp->layers, 0);
    hp->head_width =
        get_int(r, "attention.key_length", 1, 65536, SLM_GGUF_OPTIONAL, hp->width / hp->heads);
    int value =
        get_int(r, "attention.value_length", 1, 65536, SLM_GGUF_OPTIONAL, hp->head_width);
    if (!r->rc && value != hp->head_width)
        r->rc =
            slm_fail(r->err, SLM_E_UNSUPPORTED, "%s: keys of width %d and values of width %d",
                     r->s->path, hp->head_width, value);
    hp->rot = get_int(r, "rope.dimension_count", 2, 65536, SLM_GGUF_OPTIONAL, hp->head_width);
    bool layer = f->norm == SLM_NORM_LAYER;
    hp->eps =
        get_num(r, layer ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon",
                SLM_GGUF_REQUIRED, 0);
    hp->attn_cap = get_num(r, "attn_logit_softcapping", SLM_GGUF_OPTIONAL, 0);
    hp->final_cap = get_num(r, "final_logit_softcapping", SLM_GGUF_OPTIONAL, 0);
    if (f->moe)
        hp->experts_used =
            get_int(r, "expert_used_count", 1, SLM_MAX_EXPERTS, SLM_GGUF_REQUIRED, 0);
    hp->embed_scale = f->embed_scale ? sqrtf((float)hp->width) : 1;
    hp->pairs = f->gguf_pairs;
    hp->tied = hp->qkv_bias = hp->o_bias = hp->mlp_bias = -1;
    hp->parallel =
        f->resid == SLM_RESID_EITHER && slm_source_find(r->s, "blk.0.ffn_norm.weight") < 0;
}

static enum slm_rope_kind rope_kind(struct reader *r)
{
    struct slm_gguf_str t = {"none", 4};
    if (!r->rc)
        r->rc = slm_gguf_str(r->s->gguf, key_of(r, "rope.scaling.type"), SLM_GGUF_OPTIONAL, &t,
                             r->err);
    static const enum slm_rope_kind kinds[] = {SLM_ROPE_PLAIN, SLM_ROPE_LINEAR, SLM_ROPE_YARN,
                                               SLM_ROPE_LONG};
    for (size_t i = 0; i < 4; i++) {
        const char *name = slm_rope_name(kinds[i]);
        if (t.n == strlen(name) && !memcmp(name, t.s, t.n))
            return kinds[i];
    }
    if (!r->rc)
        r->rc = slm_fail(r->err, SLM_E_UNSUPPORTED, "%s: %s '%.*s' is not known", r->s->path,
                         r->key, (int)(t.n < 40 ? t.n : 40), t.s);
    return SLM_ROPE_PLAIN;
}

static void read_rope(struct reader *r, struct slm_hparams *hp)
{
    struct slm_rope *p = &hp->rope[0];
    p->kind = rope_kind(r);
    p->base = get_num(r, "rope.freq_base", SLM_GGUF_OPTIONAL, 10000);
    p->original = get_int(r, "rope.scaling.original_context_length", 1, SLM_MAX_CONTEXT,
                          SLM_GGUF_OPTIONAL, hp->context);
    float linear = get_num(r, "rope.scale_linear", SLM_GGUF_OPTIONAL, 0);
    p->factor = get_num(r, "rope.scaling.factor", SLM_GGUF_OPTIONAL, linear);
    /* a factor without a type is linear */
    bool typed = slm_gguf_find(r->s->gguf, key_of(r, "rope.scaling.type")) != NULL;
    if (p->kind == SLM_ROPE_PLAIN && (linear > 1 || (!typed && p->factor > 1)))
        p->kind = SLM_ROPE_LINEAR;
    if (p->kind == SLM_ROPE_LINEAR && !(p->factor > 0))
        p->factor = 1;
    p->attn_factor = get_num(r, "rope.scaling.attn_factor", SLM_GGUF_OPTIONAL, 0);
    p->beta_fast = get_num(r, "rope.scaling.yarn_beta_fast", SLM_GGUF_OPTIONAL, 32);
    p->beta_slow = get_num(r, "rope.scaling.yarn_beta_slow", SLM_GGUF_OPTIONAL, 1);
    p->mscale_all = get_num(r, "rope.scaling.yarn_log_multiplier", SLM_GGUF_OPTIONAL, 0);
    p->mscale = p->mscale_all > 0;
    p->truncate = true;
    p->long_f = get_vector(r, "rope_factors_long.weight", hp->rot / 2);
    p->short_f = get_vector(r, "rope_factors_short.weight", hp->rot / 2);
    p->divisor = get_vector(r, "rope_freqs.weight", hp->rot / 2);
    if (p->long_f && p->short_f)
        p->kind = SLM_ROPE_LONG;
    else if ((p->long_f || p->short_f || p->kind == SLM_ROPE_LONG) && !r->rc)
        r->rc = slm_fail(r->err, SLM_E_FORMAT,
                         "%s: longrope wants both rope_factors_long and rope_factors_short",
                         r->s->path);
    if (p->kind == SLM_ROPE_YARN && p->attn_factor > 0 &&
        p->factor > 1) /* there it comes on top of the rule */
        p->attn_factor *= 0.1f * logf(p->factor) + 1;
    if (p->kind == SLM_ROPE_LONG &&
        !slm_gguf_find(r->s->gguf, key_of(r, "rope.scaling.attn_factor")))
        p->attn_factor = 1; /* files from before the key: llama.cpp scales by nothing */
    float beta = get_num(r, "attention.temperature_scale", SLM_GGUF_OPTIONAL, 0);
    hp->temper_beta = beta;
    hp->temper_original = p->original;
    hp->two_ropes = hp->family->window == SLM_WIN_FIVE_OF_SIX;
    if (!hp->two_ropes)
        return;
    float local =
        get_num(r, "rope.local.freq_base", SLM_GGUF_OPTIONAL, 10000); /* Ollama's key */
    hp->rope[1].base = get_num(r, "rope.freq_base_swa", SLM_GGUF_OPTIONAL, local);
    hp->rope[1].original = hp->context;
}

/* Phi-3's first files say no window: the models of 4K context have one, the others none that
 * matters. */
static int silent_window(const struct slm_hparams *hp)
{
    if (hp->family->fuse)
        return hp->context == 4096 ? 2047 : 0;
    return hp->family->window == SLM_WIN_EVEN ? 4096 : 0;
}

static void read_windows(struct reader *r, struct slm_hparams *hp)
{
    bool five = hp->family->window == SLM_WIN_FIVE_OF_SIX;
    int window = get_int(r, "attention.sliding_window", 0, SLM_MAX_CONTEXT,
                         five ? SLM_GGUF_REQUIRED : SLM_GGUF_OPTIONAL, silent_window(hp));
    if (r->rc)
        return;
    slm_hparams_windows(hp, window, hp->family->window == SLM_WIN_UPPER ? hp->layers : 0, 0);
    const struct slm_gguf_key *k =
        slm_gguf_find(r->s->gguf, key_of(r, "attention.sliding_window_pattern"));
    if (!k)
        return;
    if (k->type != SLM_GGUF_ARR) { /* a period: every n-th layer sees everything */
        int period = get_int(r, "attention.sliding_window_pattern", 1, SLM_MAX_LAYERS,
                             SLM_GGUF_REQUIRED, 0);
        for (int l = 0; l < hp->layers && !r->rc; l++) {
            hp->window[l] = (l + 1) % period ? window : 0;
            hp->local[l] = hp->two_ropes && (l + 1) % period;
        }
        return;
    }
    int *slides = slm_arena_alloc_n(r->s->arena, (size_t)hp->layers, sizeof *slides);
    if (!slides)
        r->rc = slm_fail_mem(r->err, "window pattern", (size_t)hp->layers * 4);
    if (!r->rc)
        r->rc =
            slm_gguf_ints(r->s->gguf, r->key, (struct slm_gguf_range){0, 1, SLM_GGUF_REQUIRED},
                          slides, (size_t)hp->layers, r->err);
    for (int l = 0; l < hp->layers && !r->rc; l++) {
        hp->window[l] = slides[l] ? window : 0;
        hp->local[l] = hp->two_ropes && slides[l];
    }
}

static void read_vocab(struct reader *r, struct slm_hparams *hp)
{
    int64_t i = slm_source_find(r->s, "token_embd.weight");
    if (i < 0) {
        r->rc = slm_fail(r->err, SLM_E_FORMAT, "%s: tensor token_embd.weight is missing",
                         r->s->path);
        return;
    }
    const struct slm_tensor_ref *t = slm_source_at(r->s, (size_t)i);
    int rows = t->n_dims == 2 && t->dim[0] <= INT32_MAX ? (int)t->dim[0] : 0;
    const struct slm_gguf_key *tokens = slm_gguf_find(r->s->gguf, "tokenizer.ggml.tokens");
    hp->vocab = get_int(r, "vocab_size", 1, 1 << 26, SLM_GGUF_OPTIONAL, rows);
    if (!r->rc && tokens && tokens->count > (size_t)hp->vocab)
        r->rc =
            slm_fail(r->err, SLM_E_FORMAT, "%s: %zu tokens, but token_embd.weight has %d rows",
                     r->s->path, tokens->count, hp->vocab);
}

int slm_config_gguf(struct slm_hparams *hp, const struct slm_source *s, slm_err *err)
{
    struct reader r = {.s = s, .err = err};
    r.rc = find_family(hp, &r);
    if (r.rc)
        return r.rc;
    read_sizes(&r, hp);
    if (r.rc)
        return r.rc;
    /* a key of our own, for where the rule of other readers is wrong */
    hp->attn_scale =
        get_num(&r, "attention.scale", SLM_GGUF_OPTIONAL, slm_hparams_gguf_scale(hp));
    if (!r.rc)
        r.rc = slm_hparams_alloc(hp, s, err);
    if (!r.rc && (hp->rot > hp->head_width || hp->rot % 2))
        r.rc = slm_fail(err, SLM_E_FORMAT, "%s: %d of %d columns of a head rotate", s->path,
                        hp->rot, hp->head_width);
    if (!r.rc)
        read_rope(&r, hp);
    if (!r.rc)
        read_windows(&r, hp);
    if (!r.rc)
        read_vocab(&r, hp);
    return r.rc;
}

int slm_config_llama2c(struct slm_hparams *hp, const struct slm_source *s, slm_err *err)
{
    const int32_t *h = s->header;
    hp->family = slm_family_find_gguf("llama", false);
    hp->width = h[0];
    hp->ffn = h[1];
    hp->layers = h[2];
    hp->heads = h[3];
    hp->kv_heads = h[4];
    hp->vocab = h[5];
    hp->context = h[6];
    hp->tied = h[7];
    hp->head_width = hp->rot = h[0] / h[3];
    hp->eps = 1e-5f;
    hp->attn_scale = 1 / sqrtf((float)hp->head_width);
    hp->embed_scale = 1;
    hp->pairs = true;
    hp->rope[0] = (struct slm_rope){.kind = SLM_ROPE_PLAIN, .base = 10000, .original = h[6]};
    return slm_hparams_alloc(hp, s, err);
}

int slm_hparams_alloc(struct slm_hparams *hp, const struct slm_source *s, slm_err *err)
{
    /* every layer has tensors: a count beyond theirs is a lie, found before it is believed */
    if (hp->layers < 1 || hp->layers > SLM_MAX_LAYERS ||
        (size_t)hp->layers > slm_source_count(s))
        return slm_fail(err, SLM_E_FORMAT, "%s: %d layers, but %zu tensors", s->path,
                        hp->layers, slm_source_count(s));
    hp->window = slm_arena_alloc_n(s->arena, (size_t)hp->layers, sizeof *hp->window);
    hp->local = slm_arena_alloc_n(s->arena, (size_t)hp->layers, 1);
    return hp->window && hp->local ? 0 : slm_fail_mem(err, "layers", (size_t)hp->layers * 5);
}
