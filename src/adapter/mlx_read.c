/* An MLX folder: adapter_config.json with lora_parameters, and adapters.safetensors, where A is
 * (in, r) and B is (r, out), the scale stands as it is, a tied embedding's addition counts for
 * the output too, and experts lie in one tensor under the names of a dense layer. */
#include "adapter/adapter_in.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_CONFIG ((size_t)4 << 20)

struct mlx {
    const char *path; /* of the configuration */
    int rank;
    float scale, dropout;
};

static int scale_of(void *arg, const char *module, int *rank, float *scale, slm_err *err)
{
    const struct mlx *x = arg;
    (void)module;
    (void)err;
    *rank = x->rank;
    *scale = x->scale;
    return 0;
}

/* ---- configuration ---- */

static int read_parameters(struct mlx *x, const slm_json *p, slm_err *err)
{
    double rank = slm_json_num(slm_json_find(p, "rank"), 8),
           scale = slm_json_num(slm_json_find(p, "scale"), 20),
           drop = slm_json_num(slm_json_find(p, "dropout"), 0);
    const slm_json *alpha = slm_json_find(p, "alpha"); /* early files: scale * alpha / rank */
    if (!slm_json_is(p, SLM_JSON_OBJECT))
        return slm_fail(err, SLM_E_FORMAT, "%s: no lora_parameters", x->path);
    if (!(rank >= 1) || rank > 65536 || rank != floor(rank))
        return slm_fail(err, SLM_E_FORMAT, "%s: lora_parameters: rank %g", x->path, rank);
    if (slm_json_is_num(alpha))
        scale *= slm_json_num(alpha, 16) / rank;
    if (!(fabs(scale) < 1e9))
        return slm_fail(err, SLM_E_FORMAT, "%s: lora_parameters: scale", x->path);
    if (!(drop >= 0 && drop < 1))
        return slm_fail(err, SLM_E_FORMAT, "%s: lora_parameters: dropout %g", x->path, drop);
    x->rank = (int)rank;
    x->scale = (float)scale;
    x->dropout = (float)drop;
    return 0;
}

static int read_config(struct mlx *x, slm_adapter *a, slm_err *err)
{
    slm_json *j = NULL;
    int rc = slm_json_load(&j, a->m->rt, x->path, MAX_CONFIG, err);
    const char *type = slm_json_str(slm_json_find(j, "fine_tune_type"), NULL);
    type = type ? type : "lora";
    bool full = !strcmp(type, "full");
    if (!rc && !full && strcmp(type, "lora") != 0 && strcmp(type, "dora") != 0)
        rc = slm_fail(err, SLM_E_UNSUPPORTED, "%s: fine_tune_type '%s'", x->path, type);
    if (!rc && !full)
        rc = read_parameters(x, slm_json_find(j, "lora_parameters"), err);
    const char *base = slm_json_str(slm_json_find(j, "model"), NULL);
    if (!rc && base && *base && !(a->file->base = slm_arena_strdup(&a->arena, base)))
        rc = slm_fail_mem(err, "adapter", strlen(base));
    a->file->dropout = x->dropout;
    slm_json_free(j);
    return rc;
}

/* ---- tensors ---- */

/* "layers.0.block_sparse_moe.switch_mlp.gate_proj" is all experts of w1. */
static const struct slm_place *place_of(const struct slm_claims *c, const char *module,
                                        size_t n)
{
    static const char moe[] = ".switch_mlp.";
    const char *at = strstr(module, moe);
    int expert;
    if (!at || at > module + n)
        return slm_place_of(&c->places, module, n, slm_str_ends(module, "embed_tokens"),
                            &expert);
    const char *leaf = at + strlen(moe), *tail = slm_place_tail(module);
    for (int i = 0; i < c->places.n; i++) {
        const struct slm_place *y = &c->places.place[i];
        const char *moe_at = strstr(y->name, ".experts.");
        size_t len = moe_at ? (size_t)(moe_at - y->name) : 0;
        if (y->experts && y->alias && !strcmp(y->alias, leaf) && len == (size_t)(at - tail) &&
            !memcmp(y->name, tail, len))
            return y;
    }
    return NULL;
}

/* A tied embedding multiplies the output too, there with A and B in each other's place. */
static int claim_tied(struct slm_claims *c, enum slm_lora_half half,
                      const struct slm_tensor_ref *t, slm_err *err)
{
    const slm_model *m = c->a->m;
    int expert;
    if (m->w[SLM_W_OUT] != m->w[SLM_W_EMBED] || half == SLM_HALF_M)
        return 0;
    const struct slm_place *head =
        slm_place_of(&c->places, "lm_head", strlen("lm_head"), false, &expert);
    c->plain = head;
    return slm_claim_half(c, head, 0, half == SLM_HALF_A ? SLM_HALF_B : SLM_HALF_A, t, err);
}

static int claim(struct slm_claims *c, const struct slm_tensor_ref *t, slm_err *err)
{
    static const char *const ends[] = {".lora_a", ".lora_b", ".m"};
    char module[256];
    for (int h = 0; h < 3; h++) {
        if (!slm_str_ends(t->name, ends[h]))
            continue;
        size_t n = strlen(t->name) - strlen(ends[h]);
        if (n >= sizeof module)
            break;
        memcpy(module, t->name, n);
        module[n] = 0;
        const struct slm_place *y = place_of(c, module, n);
        if (!y)
            return slm_fail(err, SLM_E_FORMAT,
                            "%s: tensor %s: a %s model of %d layers has no such module",
                            c->path, t->name, c->a->m->hp.family->name, c->a->m->hp.layers);
        int rc = slm_claim_half(c, y, 0, (enum slm_lora_half)h, t, err);
        return rc || !y->embed ? rc : claim_tied(c, (enum slm_lora_half)h, t, err);
    }
    return slm_claim_whole(c, t->name, t, err);
}

int slm_mlx_read(slm_adapter *a, const char *dir, slm_err *err)
{
    struct slm_buf config, tensors;
    struct mlx x = {0};
    slm_st *st = NULL;
    slm_buf_init(&config, a->m->rt, SLM_MEM_MODEL, 1 << 16);
    slm_buf_init(&tensors, a->m->rt, SLM_MEM_MODEL, 1 << 16);
    x.path = slm_path_join(&config, dir, "adapter_config.json");
    slm_path_join(&tensors, dir, "adapters.safetensors");
    int rc = slm_buf_check(&config, dir, err);
    if (!rc)
        rc = slm_buf_check(&tensors, dir, err);
    if (!rc)
        rc = read_config(&x, a, err);
    if (!rc)
        rc = slm_st_open(&st, a->m->rt, tensors.s, err);
    if (!rc) {
        struct slm_claims c;
        rc = slm_claims_init(&c, a, SLM_ORDER_HF, err);
        c.scale = scale_of;
        c.arg = &x;
        c.dropout = x.dropout;
        c.flip = c.stacked = true;
        for (size_t i = 0; i < slm_st_tensor_count(st) && !rc; i++)
            rc = claim(&c, slm_st_tensor_at(st, i), err);
        if (!rc)
            rc = slm_claims_fill(&c, err);
        slm_claims_release(&c);
    }
    slm_st_close(&st);
    slm_buf_release(&tensors);
    slm_buf_release(&config);
    return rc;
}
