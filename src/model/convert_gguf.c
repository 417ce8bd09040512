/* Writing GGUF: the keys that llama.cpp's converter writes for the family, and a few of our own
 * where it has none (they are harmless to who does not know them, and the log says what that
 * reader misses). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/convert.h"

struct keys {
    slm_gguf_out *w;
    slm_model *m;
    float
        gain; /* of the softmax scale over the implied one, where the weights do not hold it */
    char key[128];
};

static const char *key_of(struct keys *k, const char *name)
{
    snprintf(k->key, sizeof k->key, "%s.%s", k->m->hp.family->gguf, name);
    return k->key;
}

static void put_int(struct keys *k, const char *name, int v)
{
    slm_gguf_out_u32(k->w, key_of(k, name), (uint32_t)v);
}
static void put_num(struct keys *k, const char *name, float v)
{
    slm_gguf_out_f32(k->w, key_of(k, name), v);
}
static void put_str(slm_gguf_out *w, const char *key, const char *s)
{
    slm_gguf_out_str(w, key, s, strlen(s));
}

/* llama.cpp's number for a file mostly of one type. */
static uint32_t file_type(enum slm_dtype t)
{
    static const struct {
        enum slm_dtype t;
        uint32_t id;
    } ids[] = {
        {SLM_F32, 0},    {SLM_F16, 1},    {SLM_Q4_0, 2},   {SLM_Q4_1, 3},
        {SLM_Q8_0, 7},   {SLM_Q5_0, 8},   {SLM_Q5_1, 9},   {SLM_BF16, 32},
        {SLM_TQ1_0, 36}, {SLM_TQ2_0, 37}, {SLM_MXFP4, 38},
    };
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (ids[i].t == t)
            return ids[i].id;
    return 1024; /* guessed by the reader */
}

static void put_general(struct keys *k, const struct slm_convert *c)
{
    uint64_t by[SLM_DTYPE_COUNT] = {0};
    int most = SLM_F32;
    for (int i = 0; i < k->m->n_weights; i++) {
        const struct slm_weight *w = &k->m->weight[i];
        enum slm_dtype t = slm_convert_type(c, i, true);
        by[t] += (uint64_t)w->parts * (uint64_t)w->rows * (uint64_t)w->cols;
        most = by[t] > by[most] ? (int)t : most;
    }
    put_str(k->w, "general.architecture", k->m->hp.family->gguf);
    put_str(k->w, "general.type", "model");
    put_str(k->w, "general.name", k->m->name);
    slm_gguf_out_u32(k->w, "general.file_type",
                     c->plan ? c->plan->file_type : file_type((enum slm_dtype)most));
    slm_gguf_out_u32(k->w, "general.quantization_version", 2);
    const slm_model_defaults *d = &k->m->defaults;
    if (d->top_k > 0)
        slm_gguf_out_i32(k->w, "general.sampling.top_k", d->top_k);
    if (!isnan(d->top_p))
        slm_gguf_out_f32(k->w, "general.sampling.top_p", d->top_p);
    if (!isnan(d->temp))
        slm_gguf_out_f32(k->w, "general.sampling.temp", d->temp);
}

static void put_sizes(struct keys *k)
{
    const struct slm_hparams *hp = &k->m->hp;
    put_int(k, "block_count", hp->layers);
    put_int(k, "context_length", hp->context);
    put_int(k, "embedding_length", hp->width);
    put_int(k, "feed_forward_length", hp->ffn);
    put_int(k, "attention.head_count", hp->heads);
    put_int(k, "attention.head_count_kv", hp->kv_heads);
    put_int(k, "attention.key_length", hp->head_width);
    put_int(k, "attention.value_length", hp->head_width);
    put_int(k, "vocab_size", hp->vocab);
    bool layer = hp->family->norm == SLM_NORM_LAYER;
    put_num(k, layer ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon",
            hp->eps);
    if (hp->family->moe) {
        put_int(k, "expert_count", hp->experts);
        put_int(k, "expert_used_count", hp->experts_used);
    }
    if (hp->attn_cap > 0)
        put_num(k, "attn_logit_softcapping", hp->attn_cap);
    if (hp->final_cap > 0)
        put_num(k, "final_logit_softcapping", hp->final_cap);
    if (hp->family->resid == SLM_RESID_EITHER)
        slm_gguf_out_bool(k->w, key_of(k, "use_parallel_residual"), hp->parallel);
    if (hp->temper_beta != 0)
        put_num(k, "attention.temperature_scale", hp->temper_beta);
    if (k->gain != 1)
        put_num(k, "attention.scale", hp->attn_scale);
}

static int put_windows(struct keys *k, bool tell, slm_err *err)
{
    const struct slm_hparams *hp = &k->m->hp;
    enum slm_window_rule rule = hp->family->window;
    if (!hp->max_window && !hp->family->fuse)
        return 0;
    put_int(k, "attention.sliding_window", hp->max_window);
    bool usual = true;
    uint8_t *slides = slm_arena_alloc(&k->m->arena, (size_t)hp->layers);
    if (!slides)
        return slm_fail_mem(err, "window pattern", (size_t)hp->layers);
    for (int l = 0; l < hp->layers; l++) {
        bool by_rule = rule == SLM_WIN_EVEN          ? l % 2 == 0
                       : rule == SLM_WIN_FIVE_OF_SIX ? (l + 1) % 6 != 0
                                                     : rule != SLM_WIN_UPPER;
        slides[l] = hp->window[l] != 0;
        usual &= !hp->max_window || slides[l] == by_rule;
    }
    if (!usual) {
        slm_gguf_out_array(k->w, key_of(k, "attention.sliding_window_pattern"), SLM_GGUF_BOOL,
                           slides, (size_t)hp->layers);
        if (tell)
            slm_log(k->m->rt, SLM_LOG_WARN,
                    "%s: its pattern of sliding layers is not its family's; readers without "
                    "%s will go by that",
                    k->m->name, k->key);
    }
    return 0;
}

static void put_rope(struct keys *k)
{
    const struct slm_hparams *hp = &k->m->hp;
    const struct slm_rope *r = &hp->rope[0];
    put_num(k, "rope.freq_base", r->base);
    put_int(k, "rope.dimension_count", hp->rot);
    if (hp->two_ropes)
        put_num(k, "rope.freq_base_swa", hp->rope[1].base);
    if (r->kind == SLM_ROPE_LINEAR || r->kind == SLM_ROPE_YARN) {
        put_str(k->w, key_of(k, "rope.scaling.type"), slm_rope_name(r->kind));
        put_num(k, "rope.scaling.factor", r->factor);
    }
    if (r->kind >= SLM_ROPE_YARN || hp->temper_beta != 0 || hp->family->fuse)
        put_int(k, "rope.scaling.original_context_length", r->original);
    if (r->kind == SLM_ROPE_YARN) {
        float rule = r->factor > 1 ? 0.1f * logf(r->factor) + 1 : 1;
        put_num(k, "rope.scaling.yarn_beta_fast", r->beta_fast);
        put_num(k, "rope.scaling.yarn_beta_slow", r->beta_slow);
        /* llama.cpp reads the multiplier where it reads a temperature, and nowhere else */
        if (r->mscale == 1 && r->mscale_all > 0 && hp->temper_beta != 0)
            put_num(k, "rope.scaling.yarn_log_multiplier", r->mscale_all);
        else if (fabsf(k->m->rope[0].factor - rule) > 1e-6f)
            put_num(k, "rope.scaling.attn_factor", k->m->rope[0].factor / rule);
    }
    if (r->kind == SLM_ROPE_LONG)
        put_num(k, "rope.scaling.attn_factor", k->m->rope[0].factor);
}

/* ---- tokenizer ---- */

static int put_tokenizer(slm_gguf_out *w, const struct slm_convert *c, slm_err *err)
{
    const slm_tokenizer *tok = slm_convert_tokenizer(c);
    const slm_model *m = c->m;
    if (!tok) {
        if (!c->measure)
            slm_log(m->rt, SLM_LOG_WARN, "%s: no tokenizer: the file will hold none",
                    m->src.path);
        put_str(w, "tokenizer.ggml.model", "none");
        return 0;
    }
    struct slm_tok_export x = {0};
    int rc = slm_tok_export(&x, tok, (size_t)m->hp.vocab, err);
    /* the first id of the generation config's set is the file's eos: GGUF has room for one */
    if (!rc && m->n_eog && !c->other)
        x.spec.id[SLM_TOK_EOS] = m->eog[0];
    if (!rc)
        rc = slm_tok_spec_put(w, m->rt, &x.spec, err);
    slm_tok_export_release(&x);
    if (!rc && m->chats && m->tmpl_source)
        put_str(w, "tokenizer.chat_template", m->tmpl_source);
    return rc;
}

/* ---- tensors ---- */

static void declare_one(slm_gguf_out *w, const slm_model *m, int i, enum slm_dtype type)
{
    const struct slm_weight *x = &m->weight[i];
    const struct slm_slot_row *row = m->row[i];
    uint64_t dim[3] = {(uint64_t)x->parts, (uint64_t)x->rows, (uint64_t)x->cols};
    int n = row->kind == SLM_SLOT_EXPERTS ? 3 : row->rows == SLM_DIM_1 ? 1 : 2;
    slm_gguf_out_tensor(w, x->name, type, dim + 3 - n, n);
}

static void declare(slm_gguf_out *w, const struct slm_convert *c)
{
    for (int i = 0; i < c->m->n_weights; i++)
        declare_one(w, c->m, i, slm_convert_type(c, i, true));
}

int slm_model_rope_tensors(const slm_model *m, struct slm_arena *a,
                             struct slm_rope_tensor out[2], slm_err *err)
{
    const struct slm_rope *r = &m->hp.rope[0];
    size_t n = (size_t)m->hp.rot / 2;
    bool llama3 = r->kind == SLM_ROPE_LLAMA3 || r->divisor, longr = r->kind == SLM_ROPE_LONG;
    if (!llama3 && !longr)
        return 0;
    for (int t = 0; t < (longr ? 2 : 1); t++) {
        out[t].name = llama3 ? "rope_freqs.weight"
                      : t    ? "rope_factors_short.weight"
                             : "rope_factors_long.weight";
        out[t].v = slm_arena_alloc_n(a, n, sizeof(float));
        if (!out[t].v)
            return slm_fail_mem(err, out[t].name, n * sizeof(float));
        for (size_t i = 0; i < n; i++) {
            float plain = 1.0f / powf(r->base, (float)(2 * i) / (float)m->hp.rot);
            out[t].v[i] = r->divisor ? r->divisor[i]
                          : longr    ? (t ? r->short_f : r->long_f)[i]
                                     : plain / m->rope[0].inv_freq[0][i];
        }
    }
    return 0;
}

static int sink(void *arg, const void *p, size_t n, slm_err *err)
{
    return slm_gguf_out_data(arg, p, n, err);
}

static int write_all(slm_gguf_out *w, struct slm_convert *c, slm_err *err)
{
    slm_model *m = c->m;
    struct slm_rope_tensor table[2] = {{0}};
    uint64_t n = (uint64_t)m->hp.rot / 2;
    int rc = slm_model_rope_tensors(m, &m->arena, table, err);
    for (int t = 0; t < 2 && !rc && table[t].name; t++)
        slm_gguf_out_tensor(w, table[t].name, SLM_F32, &n, 1);
    declare(w, c);
    if (c->measure)
        return rc ? rc : slm_gguf_out_size(w, c->measure, err);
    if (!rc)
        rc = slm_gguf_out_begin(w, err);
    for (int t = 0; t < 2 && !rc && table[t].name; t++)
        rc = slm_gguf_out_data(w, table[t].v, (size_t)n * sizeof(float), err);
    for (int i = 0; i < m->n_weights && !rc; i++) {
        struct slm_convert_part part = {.weight = i,
                                        .parts = m->weight[i].parts,
                                        .row = -1,
                                        .type = slm_convert_type(c, i, true)};
        rc = slm_convert_rows(c, &part, sink, w, err);
    }
    return rc ? rc : slm_gguf_out_commit(w, err);
}

/* What GGUF cannot say. */
static int check(const struct slm_convert *c, slm_err *err)
{
    const struct slm_hparams *hp = &c->m->hp;
    if (c->pairs && !hp->pairs && hp->rot != hp->head_width)
        return slm_fail(err, SLM_E_UNSUPPORTED, "%s: GGUF's %s cannot rotate %d of %d columns",
                        c->m->src.path, hp->family->gguf, hp->rot, hp->head_width);
    if (hp->rope[0].kind == SLM_ROPE_YARN && !hp->rope[0].truncate)
        return slm_fail(err, SLM_E_UNSUPPORTED,
                        "%s: GGUF has no key for yarn without truncation", c->m->src.path);
    if (hp->two_ropes && hp->rope[1].kind != SLM_ROPE_PLAIN)
        return slm_fail(err, SLM_E_UNSUPPORTED, "%s: GGUF has no key for a scaled local rope",
                        c->m->src.path);
    return 0;
}

/* GGUF has no common key for a softmax scale that is not by the head's width. Where queries are
 * normalised, or their matrix stays float32, the weights take it in without loss, and every
 * reader is right; else a key of our own says it, and the log what other readers miss. */
static float bake_scale(struct slm_convert *c)
{
    const slm_model *m = c->m;
    float implied = slm_hparams_gguf_scale(&m->hp), gain = m->hp.attn_scale / implied;
    bool normed = m->layer[0].w[SLM_W_Q_NORM] != NULL, exact = true;
    if (fabsf(gain - 1) <= 1e-6f)
        return 1;
    for (int i = 0; i < m->n_weights && !normed; i++) {
        enum slm_dtype to = slm_convert_type(c, i, true);
        exact &= m->row[i]->slot != SLM_W_Q || to == SLM_F32 || to != m->weight[i].type;
    }
    if (normed || (exact && m->layer[0].w[SLM_W_Q] && !m->layer[0].w[SLM_W_Q_B])) {
        c->q_slot = normed ? SLM_W_Q_NORM : SLM_W_Q;
        c->q_gain = gain;
        return 1;
    }
    if (!c->measure)
        slm_log(m->rt, SLM_LOG_WARN,
                "%s: GGUF has no common key for its softmax scale; other readers will take "
                "%g, not %g",
                m->name, (double)implied, (double)m->hp.attn_scale);
    return gain;
}

int slm_model_shell_head(slm_gguf_out *w, slm_model *m, const enum slm_dtype *type,
                          uint32_t file_type_id, slm_err *err)
{
    struct slm_rope_tensor table[2] = {{0}};
    struct keys k = {.w = w, .m = m, .gain = 1};
    uint64_t half = (uint64_t)m->hp.rot / 2;
    put_str(w, "general.architecture", m->hp.family->gguf);
    put_str(w, "general.type", "model");
    put_str(w, "general.name", m->name);
    slm_gguf_out_u32(w, "general.file_type", file_type_id);
    slm_gguf_out_u32(w, "general.quantization_version", 2);
    put_sizes(&k);
    int rc = put_windows(&k, true, err);
    put_rope(&k);
    put_str(w, "tokenizer.ggml.model", "none");
    if (!rc)
        rc = slm_model_rope_tensors(m, &m->arena, table, err);
    for (int t = 0; t < 2 && !rc && table[t].name; t++)
        slm_gguf_out_tensor(w, table[t].name, SLM_F32, &half, 1);
    for (int i = 0; i < m->n_weights && !rc; i++)
        declare_one(w, m, i, type[i]);
    return rc;
}

int slm_convert_gguf(struct slm_convert *c, const char *path, slm_err *err)
{
    c->pairs = c->m->hp.family->gguf_pairs;
    c->shift = 0;
    slm_gguf_out *w = NULL;
    int rc = check(c, err);
    if (!rc)
        rc = c->measure ? slm_gguf_out_measure(&w, c->m->rt, path, err)
                        : slm_gguf_out_open(&w, c->m->rt, path, err);
    if (rc)
        return rc;
    struct keys k = {.w = w, .m = c->m, .gain = bake_scale(c)};
    put_general(&k, c);
    put_sizes(&k);
    rc = put_windows(&k, !c->measure, err);
    put_rope(&k);
    if (!rc)
        rc = put_tokenizer(w, c, err);
    if (c->plan && c->plan->keys)
        c->plan->keys(c->plan->arg, w);
    if (!rc)
        rc = write_all(w, c, err);
    slm_gguf_out_close(&w);
    return rc;
}
