/* GGUF adapters, in and out, as llama.cpp has them: general.type "adapter", adapter.type
 * "lora", one adapter.lora.alpha for all, tensors "<name of the base's>.lora_a" and ".lora_b".
 * The embedding's A lies with a row a token. */
#include "adapter/adapter_in.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- in ---- */

struct header {
    slm_gguf *g;
    float alpha;
};

/* llama.cpp's rule: with an alpha of 0 the user's scale alone counts; a file without any does
 * not say how strong it is, and is refused. A rank of 0: as the tensors say; the scale is
 * corrected when it is known. */
static int scale_of(void *arg, const char *module, int *rank, float *scale, slm_err *err)
{
    (void)module;
    (void)err;
    const struct header *h = arg;
    *rank = 0;
    *scale = h->alpha == 0 ? 1 : h->alpha;
    return 0;
}

static bool is_word(const slm_gguf *g, const char *key, const char *want,
                    struct slm_gguf_str *is)
{
    *is = (struct slm_gguf_str){"-", 1};
    const struct slm_gguf_key *k = slm_gguf_find(g, key);
    if (!k || !slm_gguf_is_str(k) || k->type == SLM_GGUF_ARR)
        return false;
    *is = slm_gguf_elem_str(k, 0);
    return is->n == strlen(want) && !memcmp(is->s, want, is->n);
}

static int check_word(const slm_gguf *g, const char *key, const char *want, slm_err *err)
{
    struct slm_gguf_str is;
    if (is_word(g, key, want, &is))
        return 0;
    return slm_fail(err, SLM_E_UNSUPPORTED, "%s: %s is '%.*s', want '%s'", slm_gguf_path(g),
                    key, (int)(is.n < 64 ? is.n : 64), is.s, want);
}

static int check_header(struct header *h, const slm_adapter *a, slm_err *err)
{
    const struct slm_family *f = a->m->hp.family;
    struct slm_gguf_str arch;
    int rc = check_word(h->g, "general.type", "adapter", err);
    if (!rc)
        rc = check_word(h->g, "adapter.type", "lora", err);
    if (!rc && !is_word(h->g, "general.architecture", f->gguf, &arch))
        rc = slm_fail(
            err, SLM_E_FORMAT, "%s: made for architecture '%.*s', but the model is '%s' (%s)",
            slm_gguf_path(h->g), (int)(arch.n < 64 ? arch.n : 64), arch.s, f->gguf, a->m->name);
    if (!rc && slm_gguf_find(h->g, "adapter.alora.invocation_tokens"))
        rc = slm_fail(err, SLM_E_UNSUPPORTED, "%s: adapter.alora.invocation_tokens",
                      slm_gguf_path(h->g));
    if (!rc)
        rc = slm_gguf_float(h->g, "adapter.lora.alpha", SLM_GGUF_REQUIRED, &h->alpha, err);
    return rc;
}

static int claim(struct slm_claims *c, const struct slm_tensor_ref *t, slm_err *err)
{
    const slm_model *m = c->a->m;
    bool a = slm_str_ends(t->name, ".lora_a"), b = slm_str_ends(t->name, ".lora_b");
    size_t n = a || b ? strlen(t->name) - strlen(".lora_a") : 0;
    for (int i = 0; i < c->places.n && n; i++) {
        const struct slm_place *y = &c->places.place[i];
        const char *name = m->weight[y->weight].name;
        if (y->slot == SLM_W_OUT)
            name = "output.weight";
        if (!y->slice && strlen(name) == n && !memcmp(name, t->name, n))
            return slm_claim_half(c, y, 0, a ? SLM_HALF_A : SLM_HALF_B, t, err);
    }
    return slm_fail(err, SLM_E_FORMAT,
                    "%s: tensor %s belongs to nothing in a %s model of %d "
                    "layers",
                    c->path, t->name, m->hp.family->name, m->hp.layers);
}

int slm_gguf_adapter_read(slm_adapter *a, const char *path, slm_err *err)
{
    struct header h = {0};
    struct slm_claims c;
    int rc = slm_gguf_open(&h.g, a->m->rt, path, err);
    if (!rc)
        rc = check_header(&h, a, err);
    if (rc) {
        slm_gguf_close(&h.g);
        return rc;
    }
    rc = slm_claims_init(&c, a, SLM_ORDER_GGUF, err);
    c.scale = scale_of;
    c.arg = &h;
    c.stacked = true;
    for (size_t i = 0; i < slm_gguf_tensor_count(h.g) && !rc; i++)
        rc = claim(&c, slm_gguf_tensor_at(h.g, i), err);
    if (!rc)
        rc = slm_claims_fill(&c, err);
    for (int i = 0; i < a->n_parts && h.alpha != 0; i++)
        a->part[i].scale /= (float)a->part[i].a.rows;
    struct slm_gguf_str base = {0};
    if (!rc &&
        !slm_gguf_str(h.g, "general.base_model.0.name", SLM_GGUF_OPTIONAL, &base, NULL) &&
        base.n)
        a->file->base = slm_arena_strndup(&a->arena, base.s, base.n);
    slm_claims_release(&c);
    slm_gguf_close(&h.g);
    return rc;
}
