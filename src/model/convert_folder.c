/* Writing a Hugging Face folder: config.json in the layout that every version of Transformers
 * reads, generation_config.json, the tokenizer's files, the chat template, and one
 * model.safetensors. The folder is made under a temporary name and renamed when it is whole. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/convert_nf4.h"

struct folder {
    struct slm_convert *c;
    struct slm_nf4_out *nf4; /* NULL: no such matrices */
    struct slm_buf dir, path, text;
};

/* ---- config.json ---- */

static void put_int(struct slm_buf *b, const char *key, int v)
{
    slm_buf_printf(b, ",\n  \"%s\": %d", key, v);
}

/* A number that Transformers takes for a float: it refuses 30 where it wants 30.0. */
static void put_real(struct slm_buf *b, float v)
{
    char s[40];
    snprintf(s, sizeof s, "%.9g", (double)v);
    slm_buf_printf(b, "%s%s", s, strpbrk(s, ".e") ? "" : ".0");
}

static void put_num(struct slm_buf *b, const char *key, float v)
{
    slm_buf_printf(b, ",\n  \"%s\": ", key);
    put_real(b, v);
}

/* The share of a head that rotates, such that readers, who multiply and cut, get rot again. */
static void put_share(struct slm_buf *b, int rot, int head_width)
{
    double share = (double)rot / head_width;
    if ((int)(head_width * share) < rot)
        share = nextafter(share, 1);
    slm_buf_printf(b, ",\n  \"partial_rotary_factor\": %.17g%s", share, share < 1 ? "" : ".0");
}

/* What is not above 0 is none, and said so: a missing key is the family's default. */
static void put_cap(struct slm_buf *b, const char *key, float v)
{
    if (v > 0)
        put_num(b, key, v);
    else
        slm_buf_printf(b, ",\n  \"%s\": null", key);
}

static void put_id(struct slm_buf *b, const char *key, int32_t id)
{
    if (id >= 0)
        put_int(b, key, id);
    else
        slm_buf_printf(b, ",\n  \"%s\": null", key);
}

/* Inside an object, behind another key. */
static void put_inner(struct slm_buf *b, const char *key, float v)
{
    slm_buf_printf(b, ", \"%s\": ", key);
    put_real(b, v);
}

static void put_bool(struct slm_buf *b, const char *key, bool v)
{
    slm_buf_printf(b, ",\n  \"%s\": %s", key, v ? "true" : "false");
}

static void put_factors(struct slm_buf *b, const char *key, const float *f, int n)
{
    slm_buf_printf(b, ", \"%s\": [", key);
    for (int i = 0; i < n; i++) {
        slm_buf_puts(b, i ? ", " : "");
        put_real(b, f[i]);
    }
    slm_buf_puts(b, "]");
}

/* GGUF keeps llama3's scaling as divisors; the numbers behind them are those of all published
 * models (low 1, high 4), and the factor is the largest divisor. Checked by computing them
 * again. */
static bool is_llama3(const slm_model *m, float *factor, int *original)
{
    const struct slm_rope *r = &m->hp.rope[0];
    *factor = 1;
    for (int i = 0; i < m->hp.rot / 2; i++)
        *factor = fmaxf(*factor, r->divisor[i]);
    for (*original = 32; *original <= m->hp.context; *original *= 2) {
        bool same = true;
        for (int i = 0; i < m->hp.rot / 2 && same; i++) {
            float f = 1.0f / powf(r->base, (float)(2 * i) / (float)m->hp.rot),
                  turns = (float)*original * f / 6.2831853f;
            float keep = fminf(fmaxf((turns - 1) / 3, 0), 1),
                  want = 1 / ((1 - keep) / *factor + keep);
            same = fabsf(want - r->divisor[i]) <= 1e-3f * want;
        }
        if (same)
            return true;
    }
    return false;
}

static int put_scaling(struct slm_buf *b, const slm_model *m, slm_err *err)
{
    const struct slm_rope *r = &m->hp.rope[0];
    float factor = r->factor;
    int original = r->original;
    bool llama3 = r->kind == SLM_ROPE_LLAMA3;
    if (r->divisor && !(llama3 = is_llama3(m, &factor, &original)))
        return slm_fail(err, SLM_E_UNSUPPORTED,
                        "%s: rope_freqs.weight is no scaling that config.json can say",
                        m->src.path);
    if (r->kind == SLM_ROPE_PLAIN && !llama3) {
        slm_buf_puts(b, ",\n  \"rope_scaling\": null");
        return 0;
    }
    const char *name = slm_rope_name(llama3 ? SLM_ROPE_LLAMA3 : r->kind);
    slm_buf_printf(b, ",\n  \"rope_scaling\": {\"rope_type\": \"%s\", \"type\": \"%s\"", name,
                   name);
    if (r->kind != SLM_ROPE_LONG)
        put_inner(b, "factor", factor);
    if (r->kind != SLM_ROPE_LINEAR && r->kind != SLM_ROPE_LONG)
        slm_buf_printf(b, ", \"original_max_position_embeddings\": %d", original);
    if (llama3) {
        put_inner(b, "low_freq_factor", r->low > 0 ? r->low : 1);
        put_inner(b, "high_freq_factor", r->high > 0 ? r->high : 4);
    }
    if (r->kind == SLM_ROPE_YARN) {
        put_inner(b, "beta_fast", r->beta_fast);
        put_inner(b, "beta_slow", r->beta_slow);
        if (r->mscale_all > 0) {
            put_inner(b, "mscale", r->mscale);
            put_inner(b, "mscale_all_dim", r->mscale_all);
        }
        if (!r->truncate)
            slm_buf_puts(b, ", \"truncate\": false");
    }
    if (r->kind == SLM_ROPE_YARN || r->kind == SLM_ROPE_LONG)
        put_inner(b, "attention_factor", m->rope[0].factor);
    if (r->kind == SLM_ROPE_LONG) {
        put_factors(b, "short_factor", r->short_f, m->hp.rot / 2);
        put_factors(b, "long_factor", r->long_f, m->hp.rot / 2);
    }
    if (m->hp.temper_beta != 0)
        put_inner(b, "llama_4_scaling_beta", m->hp.temper_beta);
    slm_buf_puts(b, "}");
    return 0;
}

static void put_windows(struct slm_buf *b, const struct slm_hparams *hp)
{
    if (hp->family->window == SLM_WIN_NONE && !hp->max_window)
        return;
    if (hp->max_window)
        put_int(b, "sliding_window", hp->max_window);
    else
        slm_buf_puts(b, ",\n  \"sliding_window\": null");
    if (hp->family->window == SLM_WIN_UPPER)
        put_bool(b, "use_sliding_window", hp->max_window > 0);
    if (!hp->max_window || hp->family->window == SLM_WIN_ALL)
        return;
    slm_buf_puts(b, ",\n  \"layer_types\": [");
    for (int l = 0; l < hp->layers; l++)
        slm_buf_printf(b, "%s\"%s\"", l ? ", " : "",
                       hp->window[l] ? "sliding_attention" : "full_attention");
    slm_buf_puts(b, "]");
}

/* GGUF's name for several families is one; a window or experts tell them apart. */
static const struct slm_family *folder_family(const slm_model *m)
{
    const struct slm_hparams *hp = &m->hp;
    if (hp->family->window != SLM_WIN_NONE || !hp->max_window)
        return hp->family;
    for (int i = 0; i < slm_family_count; i++) {
        const struct slm_family *f = &slm_families[i];
        if (!strcmp(f->gguf, hp->family->gguf) && f->moe == hp->family->moe &&
            f->window == SLM_WIN_ALL)
            return f;
    }
    return hp->family;
}

static bool has_slot(const slm_model *m, enum slm_slot slot)
{
    return m->layer[0].w[slot] != NULL;
}

static void put_family(struct slm_buf *b, const slm_model *m)
{
    const struct slm_hparams *hp = &m->hp;
    const struct slm_family *f = hp->family;
    const char *act = f->act == SLM_ACT_SILU ? "silu" : "gelu_pytorch_tanh";
    slm_buf_printf(b, ",\n  \"hidden_act\": \"%s\"", act);
    if (f->act == SLM_ACT_GELU_TANH)
        slm_buf_printf(b, ",\n  \"hidden_activation\": \"%s\"", act);
    put_num(b, f->norm == SLM_NORM_LAYER ? "layer_norm_eps" : "rms_norm_eps", hp->eps);
    if (f->query_scalar) {
        float scalar = 1 / (hp->attn_scale * hp->attn_scale), whole = roundf(scalar);
        if (fabsf(scalar - whole) < 1e-3f * whole)
            put_int(b, "query_pre_attn_scalar", (int)whole);
        else
            put_num(b, "query_pre_attn_scalar", scalar);
        put_cap(b, "attn_logit_softcapping", hp->attn_cap);
        put_cap(b, "final_logit_softcapping", hp->final_cap);
    }
    if (f->moe) {
        put_int(b, "num_local_experts", hp->experts);
        put_int(b, "num_experts_per_tok", hp->experts_used);
    }
    if (f->resid == SLM_RESID_EITHER) {
        put_bool(b, "use_parallel_residual", hp->parallel);
        put_bool(b, "use_qkv_bias", has_slot(m, SLM_W_Q_B));
        put_bool(b, "qk_layernorm", has_slot(m, SLM_W_Q_NORM));
    }
    if (f->window == SLM_WIN_NONE && f->resid != SLM_RESID_EITHER) {
        if (has_slot(m, SLM_W_O_B) == has_slot(m, SLM_W_Q_B)) /* the key speaks of all four */
            put_bool(b, "attention_bias", has_slot(m, SLM_W_O_B));
        put_bool(b, "mlp_bias", has_slot(m, SLM_W_DOWN_B));
    }
}

static const char *dtype_name(const struct slm_convert *c)
{
    enum slm_dtype t = SLM_F32;
    for (int i = 0; i < c->m->n_weights; i++)
        if (c->m->row[i]->slot == SLM_W_EMBED)
            t = slm_convert_type(c, i, false);
    return t == SLM_BF16 ? "bfloat16" : t == SLM_F16 ? "float16" : "float32";
}

static int make_config(struct folder *f, slm_err *err)
{
    const slm_model *m = f->c->m;
    const struct slm_hparams *hp = &m->hp;
    const struct slm_family *family = folder_family(m);
    struct slm_buf *b = &f->text;
    const slm_tokenizer *tok = slm_convert_tokenizer(f->c);
    slm_buf_printf(b, "{\n  \"architectures\": [\"%s\"],\n  \"model_type\": \"%s\"",
                   family->arch[0], family->hf[0]);
    put_int(b, "num_hidden_layers", hp->layers);
    put_int(b, "hidden_size", hp->width);
    put_int(b, "intermediate_size", hp->ffn);
    put_int(b, "num_attention_heads", hp->heads);
    put_int(b, "num_key_value_heads", hp->kv_heads);
    put_int(b, "head_dim", hp->head_width);
    put_int(b, "vocab_size", hp->vocab);
    put_int(b, "max_position_embeddings", hp->context);
    put_family(b, m);
    put_num(b, "rope_theta", hp->rope[0].base);
    int rc = put_scaling(b, m, err);
    if (hp->two_ropes)
        put_num(b, "rope_local_base_freq", hp->rope[1].base);
    if (hp->rot != hp->head_width || family->rot_share > 0) /* a default need not be all */
        put_share(b, hp->rot, hp->head_width);
    if (family->fuse)
        put_int(b, "original_max_position_embeddings", hp->rope[0].original);
    put_windows(b, hp);
    put_bool(b, "tie_word_embeddings", hp->tied == 1);
    put_id(b, "bos_token_id", tok ? slm_tokenizer_bos(tok) : -1);
    put_id(b, "eos_token_id", tok ? slm_tokenizer_eos(tok) : -1);
    put_id(b, "pad_token_id", tok ? slm_tok_named_id(tok, SLM_TOK_PAD) : -1);
    if (f->nf4)
        slm_nf4_out_config(f->nf4, b, dtype_name(f->c));
    slm_buf_printf(b, ",\n  \"torch_dtype\": \"%s\"\n}\n", dtype_name(f->c));
    return rc;
}

static void make_generation(struct folder *f)
{
    const slm_model *m = f->c->m;
    const slm_tokenizer *tok = slm_convert_tokenizer(f->c);
    struct slm_buf *b = &f->text;
    int n = 0;
    slm_buf_puts(b, "{\n  \"eos_token_id\": ");
    for (int32_t id = 0; id < (tok ? slm_tokenizer_size(tok) : 0); id++)
        if (slm_model_is_eog(m, id))
            slm_buf_printf(b, "%s%d", n++ ? ", " : "[", id);
    slm_buf_puts(b, n ? "]" : "null");
    if (tok && slm_tokenizer_bos(tok) >= 0)
        put_int(b, "bos_token_id", slm_tokenizer_bos(tok));
    const slm_model_defaults *d = &m->defaults;
    if (!isnan(d->temp) || !isnan(d->top_p) || d->top_k)
        put_bool(b, "do_sample", true);
    if (!isnan(d->temp))
        put_num(b, "temperature", d->temp);
    if (!isnan(d->top_p))
        put_num(b, "top_p", d->top_p);
    if (d->top_k)
        put_int(b, "top_k", d->top_k);
    slm_buf_puts(b, "\n}\n");
}

/* ---- files ---- */

static int save(struct folder *f, const char *name, const char *s, size_t n, slm_err *err)
{
    struct slm_out o;
    int rc = slm_out_open(&o, f->c->m->rt, slm_path_join(&f->path, f->dir.s, name), err);
    if (rc)
        return rc;
    rc = slm_out_write(&o, s, n, err);
    if (!rc)
        return slm_out_commit(&o, err);
    slm_out_close(&o);
    return rc;
}

/* What was put together in text, under name. */
static int save_text(struct folder *f, const char *name, slm_err *err)
{
    int rc = slm_buf_check(&f->text, name, err);
    if (!rc)
        rc = save(f, name, f->text.s, f->text.n, err);
    slm_buf_reset(&f->text);
    return rc;
}

static int save_tokenizer(struct folder *f, slm_err *err)
{
    const slm_model *m = f->c->m;
    const slm_tokenizer *tok = slm_convert_tokenizer(f->c);
    const char *tmpl = m->chats ? m->tmpl_source : NULL;
    if (!tok) {
        slm_log(m->rt, SLM_LOG_WARN, "%s: no tokenizer: the folder will hold none",
                m->src.path);
        return 0;
    }
    int rc = slm_tok_export_json(tok, &f->text, err);
    if (!rc)
        rc = save_text(f, "tokenizer.json", err);
    if (!rc)
        rc = slm_tok_export_config(tok, tmpl, &f->text, err);
    if (!rc)
        rc = save_text(f, "tokenizer_config.json", err);
    if (!rc && tmpl)
        rc = save(f, "chat_template.jinja", tmpl, strlen(tmpl), err);
    return rc;
}

/* ---- weights ---- */

struct piece {
    int weight, part;
    int matrix, tensor; /* of nf4; matrix -1: plain */
};

static int sink(void *arg, const void *p, size_t n, slm_err *err)
{
    return slm_st_out_data(arg, p, n, err);
}

static size_t declare(const struct folder *f, slm_st_out *w, struct piece *pieces)
{
    const slm_model *m = f->c->m;
    size_t n = 0;
    for (int i = 0; i < m->n_weights; i++) {
        const struct slm_weight *x = &m->weight[i];
        const struct slm_slot_row *row = m->row[i];
        bool heads = row->kind == SLM_SLOT_HEADS, vector = row->rows == SLM_DIM_1 || heads;
        uint64_t dim[2] = {(uint64_t)x->rows, (uint64_t)x->cols};
        for (int p = 0; p < (heads ? x->rows : x->parts); p++) {
            char name[192];
            int q = f->nf4 ? slm_nf4_out_find(f->nf4, i, p) : -1;
            int tensors = q < 0 ? 1 : slm_nf4_out_tensors(f->nf4);
            slm_slot_name_hf(name, row, "model.", "", m->row_layer[i], p);
            for (int k = 0; k < tensors && w; k++)
                pieces[n + (size_t)k] = (struct piece){i, p, q, k};
            if (w && q >= 0)
                slm_nf4_out_declare(f->nf4, w, name, q);
            else if (w)
                slm_st_out_tensor(w, name, slm_convert_type(f->c, i, false),
                                  vector ? dim + 1 : dim, vector ? 1 : 2);
            n += (size_t)tensors;
        }
    }
    return n;
}

static int write_weights(struct folder *f, slm_st_out *w, const struct piece *pieces,
                         slm_err *err)
{
    const slm_model *m = f->c->m;
    int rc = slm_st_out_begin(w, err);
    for (int64_t next; !rc && (next = slm_st_out_next(w)) >= 0;) {
        const struct piece *p = &pieces[next];
        if (p->matrix >= 0) {
            rc = slm_nf4_out_write(f->nf4, w, p->matrix, p->tensor, err);
            continue;
        }
        bool heads = m->row[p->weight]->kind == SLM_SLOT_HEADS;
        struct slm_convert_part part = {.weight = p->weight,
                                        .part = heads ? 0 : p->part,
                                        .parts = 1,
                                        .row = heads ? p->part : -1,
                                        .type = slm_convert_type(f->c, p->weight, false)};
        rc = slm_convert_rows(f->c, &part, sink, w, err);
    }
    return rc ? rc : slm_st_out_commit(w, err);
}

static int save_weights(struct folder *f, slm_err *err)
{
    slm_runtime *rt = f->c->m->rt;
    slm_st_out *w;
    int rc =
        slm_st_out_open(&w, rt, slm_path_join(&f->path, f->dir.s, "model.safetensors"), err);
    if (rc)
        return rc;
    struct piece *pieces =
        slm_alloc_n(rt, SLM_MEM_MODEL, declare(f, NULL, NULL), sizeof *pieces);
    if (pieces) {
        slm_st_out_meta(w, "format", "pt");
        declare(f, w, pieces);
        rc = write_weights(f, w, pieces, err);
    } else {
        rc = slm_fail_mem(err, "conversion", 64);
    }
    slm_free(rt, pieces);
    slm_st_out_close(&w);
    return rc;
}

static int write_folder(struct folder *f, slm_err *err)
{
    int rc = f->c->nf4 ? slm_nf4_out_open(&f->nf4, f->c, f->c->o->double_quant, err) : 0;
    if (!rc)
        rc = make_config(f, err);
    if (!rc)
        rc = save_text(f, "config.json", err);
    if (!rc) {
        make_generation(f);
        rc = save_text(f, "generation_config.json", err);
    }
    if (!rc)
        rc = save_tokenizer(f, err);
    return rc ? rc : save_weights(f, err);
}

/* A new folder appears whole, by renaming; into one that is there, each file does. */
static int place(struct folder *f, const char *path, slm_err *err)
{
    if (f->c->over && slm_path_is_dir(path))
        return write_folder(f, err);
    slm_buf_puts(&f->dir, ".tmp");
    int rc = slm_buf_check(&f->dir, path, err);
    if (!rc)
        rc = slm_dir_make(f->dir.s, err);
    if (rc)
        return rc;
    rc = write_folder(f, err);
    if (!rc)
        rc = slm_path_rename(f->dir.s, path, err);
    if (rc)
        slm_dir_remove(f->dir.s);
    return rc;
}

int slm_convert_folder(struct slm_convert *c, const char *path, slm_err *err)
{
    slm_runtime *rt = c->m->rt;
    struct folder f = {.c = c};
    if (slm_path_is_file(path) || (slm_path_is_dir(path) && !c->over))
        return slm_fail(err, SLM_E_ARG, "%s: is there already; a folder is only written anew",
                        path);
    c->pairs = false;
    c->shift = c->m->hp.family->norm_shift;
    slm_buf_init(&f.dir, rt, SLM_MEM_MODEL, 1 << 16);
    slm_buf_init(&f.path, rt, SLM_MEM_MODEL, 1 << 16);
    slm_buf_init(&f.text, rt, SLM_MEM_MODEL, (size_t)1 << 30);
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    slm_buf_put(&f.dir, path, n);
    int rc = slm_buf_check(&f.dir, path, err);
    if (!rc)
        rc = place(&f, path, err);
    slm_nf4_out_close(&f.nf4);
    slm_buf_release(&f.text);
    slm_buf_release(&f.path);
    slm_buf_release(&f.dir);
    return rc;
}
