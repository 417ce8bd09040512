/* A GGUF adapter as llama.cpp loads it. The file has one alpha, and a tensor's scale there is
 * alpha / rank: rsLoRA's square root, patterns and the user's own factor are therefore made
 * part of alpha or multiplied into B, so that every reader gets the right answer. */
#include "adapter/group.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct writing {
    struct slm_groups g;
    const slm_adapter *a;
    const slm_adapter_save_opts *o;
    float alpha;
    slm_gguf_out *w;
    slm_err *err;
};

static int check(const struct writing *w)
{
    const slm_model *m = w->a->m;
    const char *merge = "merge it into the model instead (slm merge)";
    if (w->g.dora)
        return slm_fail(w->err, SLM_E_UNSUPPORTED, "GGUF adapters hold no DoRA: %s", merge);
    if (w->a->n_whole)
        return slm_fail(w->err, SLM_E_UNSUPPORTED,
                        "GGUF adapters hold no whole weights, as %s: %s", w->a->whole[0].w.name,
                        merge);
    float gain = m->hp.attn_scale / slm_hparams_gguf_scale(&m->hp);
    bool hf = m->src.kind == SLM_SOURCE_HF, normed = m->layer[0].w[SLM_W_Q_NORM] != NULL;
    for (int i = 0; i < w->g.n; i++) {
        const struct slm_group *y = &w->g.group[i];
        bool embed = y->part->embed;
        if (!embed && y->place->slot == SLM_W_OUT && m->w[SLM_W_OUT] == m->w[SLM_W_EMBED])
            return slm_fail(w->err, SLM_E_UNSUPPORTED,
                            "GGUF adapters have no name for a tied output: %s", merge);
        if (embed && m->w[SLM_W_OUT] == m->w[SLM_W_EMBED])
            return slm_fail(w->err, SLM_E_UNSUPPORTED,
                            "readers of GGUF adapters take an addition to a tied embedding for "
                            "one to the output as well: %s",
                            merge);
        if (y->place->slot == SLM_W_Q && hf && !normed && fabsf(gain - 1) > 1e-6f)
            return slm_fail(w->err, SLM_E_UNSUPPORTED,
                            "a GGUF file of %s may have its softmax scale in the weights that "
                            "%s is added to: %s",
                            m->name, y->part->module, merge);
    }
    return 0;
}

static void put_str(const struct writing *w, const char *key, const char *s)
{
    slm_gguf_out_str(w->w, key, s, strlen(s));
}

static void put_keys(const struct writing *w)
{
    const slm_model *m = w->a->m;
    const char *base = w->o->base ? w->o->base : w->a->file->base;
    put_str(w, "general.architecture", m->hp.family->gguf);
    put_str(w, "general.type", "adapter");
    put_str(w, "adapter.type", "lora");
    put_str(w, "general.name", "LoRA");
    slm_gguf_out_u32(w->w, "general.base_model.count", 1);
    put_str(w, "general.base_model.0.name", base ? base : m->name);
    slm_gguf_out_f32(w->w, "adapter.lora.alpha", w->alpha);
}

/* The embedding's A has a row a token in the file. */
static void declare(const struct writing *w, const struct slm_group *y)
{
    const struct slm_place *p = y->place;
    uint64_t e = (uint64_t)p->parts, r = (uint64_t)y->r, in = (uint64_t)p->cols,
             rows = (uint64_t)p->rows;
    uint64_t a[3] = {e, p->embed ? in : r, p->embed ? r : in}, b[3] = {e, rows, r};
    int n = p->experts ? 3 : 2;
    char name[160];
    const char *of = p->slot == SLM_W_OUT ? "output.weight" : w->a->m->weight[p->weight].name;
    snprintf(name, sizeof name, "%s.lora_a", of);
    slm_gguf_out_tensor(w->w, name, SLM_F32, a + 3 - n, n);
    snprintf(name, sizeof name, "%s.lora_b", of);
    slm_gguf_out_tensor(w->w, name, SLM_F32, b + 3 - n, n);
}

static void flip(float *out, const float *x, size_t rows, size_t cols)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            out[c * rows + r] = x[r * cols + c];
}

static int write_group(const struct writing *w, const struct slm_group *y)
{
    const struct slm_place *p = y->place;
    size_t r = (size_t)y->r, in = (size_t)p->cols, rows = (size_t)p->rows,
           n = r * (in > rows ? in : rows);
    float *x = slm_alloc_n(w->a->m->rt, SLM_MEM_MODEL, 2 * n, sizeof *x), *t = x + n;
    if (!x)
        return slm_fail_mem(w->err, "adapter", 2 * n * sizeof *x);
    int rc = 0;
    for (int e = 0; e < p->parts && !rc; e++) {
        slm_group_a(y, e, x);
        if (p->embed)
            flip(t, x, r, in);
        rc = slm_gguf_out_data(w->w, p->embed ? t : x, r * in * sizeof *x, w->err);
    }
    float gain = y->scale * (float)y->r / w->alpha;
    gain = fabsf(gain - 1) < 1e-6f ? 1 : gain; /* but for rounding it is the same alpha */
    for (int e = 0; e < p->parts && !rc; e++) {
        slm_group_b(&w->g, y, e, SLM_ORDER_GGUF, x);
        for (size_t i = 0; i < rows * r; i++)
            x[i] *= gain;
        rc = slm_gguf_out_data(w->w, x, rows * r * sizeof *x, w->err);
    }
    slm_free(w->a->m->rt, x);
    return rc;
}

static int write_all(struct writing *w, const char *path)
{
    int rc = slm_gguf_out_open(&w->w, w->a->m->rt, path, w->err);
    if (rc)
        return rc;
    put_keys(w);
    for (int i = 0; i < w->g.n; i++)
        declare(w, &w->g.group[i]);
    rc = slm_gguf_out_begin(w->w, w->err);
    for (int i = 0; i < w->g.n && !rc; i++)
        rc = write_group(w, &w->g.group[i]);
    if (!rc)
        rc = slm_gguf_out_commit(w->w, w->err);
    slm_gguf_out_close(&w->w);
    return rc;
}

int slm_gguf_adapter_write(const slm_adapter *a, const char *path,
                           const slm_adapter_save_opts *o, slm_err *err)
{
    struct writing w = {.a = a, .o = o, .alpha = 1, .err = err};
    int rc = slm_groups_init(&w.g, a, err);
    for (int i = w.g.n - 1; i >= 0; i--) {
        float alpha = w.g.group[i].scale * (float)w.g.group[i].r;
        if (alpha != 0)
            w.alpha =
                fabsf(alpha - roundf(alpha)) < 1e-5f * fabsf(alpha) ? roundf(alpha) : alpha;
    }
    if (!rc)
        rc = check(&w);
    if (!rc)
        rc = write_all(&w, path);
    slm_groups_release(&w.g);
    return rc;
}
