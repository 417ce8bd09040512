/* A PEFT folder: adapter_config.json, and adapter_model.safetensors, whose every tensor is half
 * of an addition or replaces a weight of the model. */
#include "adapter/adapter_in.h"

#include <string.h>

#define ROOT "base_model.model."

struct ending {
    const char *text;
    enum slm_lora_half half;
    bool embed;
};
/* Adapters saved without PEFT's save_pretrained keep their name ("default") in it. */
static const struct ending endings[] = {
    {".lora_A.weight", SLM_HALF_A, false},
    {".lora_B.weight", SLM_HALF_B, false},
    {".lora_embedding_A", SLM_HALF_A, true},
    {".lora_embedding_B", SLM_HALF_B, true},
    {".lora_magnitude_vector", SLM_HALF_M, false},
    {".lora_magnitude_vector.weight", SLM_HALF_M, false},
    {".lora_A.default.weight", SLM_HALF_A, false},
    {".lora_B.default.weight", SLM_HALF_B, false},
    {".lora_embedding_A.default", SLM_HALF_A, true},
    {".lora_embedding_B.default", SLM_HALF_B, true},
    {".lora_magnitude_vector.default", SLM_HALF_M, false},
    {".lora_magnitude_vector.default.weight", SLM_HALF_M, false},
};

/* Names of a module wrapped by PEFT that mean the module's own tensor. */
static const char *const wraps[] = {".base_layer", ".modules_to_save.default",
                                    ".modules_to_save"};

static int claim_whole(struct slm_claims *c, const char *name, const struct slm_tensor_ref *t,
                       slm_err *err)
{
    char plain[256];
    size_t n = strlen(name);
    if (n >= sizeof plain)
        return slm_fail(err, SLM_E_FORMAT, "%s: tensor %.60s...: belongs to nothing", c->path,
                        t->name);
    memcpy(plain, name, n + 1);
    for (size_t i = 0; i < sizeof wraps / sizeof *wraps; i++) {
        char *at = strstr(plain, wraps[i]);
        size_t w = strlen(wraps[i]);
        if (at && at[w] == '.') {
            memmove(at, at + w, strlen(at + w) + 1);
            break;
        }
    }
    return slm_claim_whole(c, plain, t, err);
}

static int claim(struct slm_claims *c, const struct slm_tensor_ref *t, slm_err *err)
{
    const char *name = t->name;
    size_t root = strlen(ROOT);
    int expert;
    if (!strncmp(name, ROOT, root))
        name += root;
    bool taken;
    int rc = slm_packed_claim(c, name, t, &taken, err);
    if (rc || taken)
        return rc;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const struct ending *e = &endings[i];
        if (!slm_str_ends(name, e->text))
            continue;
        size_t n = strlen(name) - strlen(e->text);
        const struct slm_place *y = slm_place_of(&c->places, name, n, e->embed, &expert);
        if (y)
            return slm_claim_half(c, y, expert, e->half, t, err);
        return slm_fail(err, SLM_E_FORMAT,
                        "%s: tensor %s: a %s model of %d layers has no such module", c->path,
                        t->name, c->a->m->hp.family->name, c->a->m->hp.layers);
    }
    if (strstr(name, ".lora_") || strstr(name, "trainable_tokens"))
        return slm_fail(err, SLM_E_UNSUPPORTED, "%s: tensor %s is not supported", c->path,
                        t->name);
    return claim_whole(c, name, t, err);
}

static int open_tensors(slm_st **st, slm_adapter *a, struct slm_buf *buf, slm_err *err)
{
    static const char *const names[] = {"adapter_model.safetensors",
                                        "adapter_model.safetensors.index.json"};
    const char *dir = a->file->path;
    for (int i = 0; i < 2; i++)
        if (slm_path_is_file(slm_path_join(buf, dir, names[i])))
            return slm_st_open(st, a->m->rt, buf->s, err);
    if (slm_path_is_file(slm_path_join(buf, dir, "adapter_model.bin")))
        return slm_fail(err, SLM_E_UNSUPPORTED,
                        "%s: a PyTorch pickle is not read; save the adapter as safetensors",
                        buf->s);
    return slm_fail(err, SLM_E_NOTFOUND, "%s: no adapter_model.safetensors", dir);
}

/* What the tensors are depends on use_dora too: lengths must be there for all or none. */
static int check_dora(const slm_adapter *a, const struct slm_claims *c, slm_err *err)
{
    int with = 0;
    for (int i = 0; i < a->n_parts; i++)
        with += a->part[i].m.part != NULL;
    if (with && with != a->n_parts)
        return slm_fail(err, SLM_E_FORMAT, "%s: lora_magnitude_vector for %d of %d modules",
                        c->path, with, a->n_parts);
    return 0;
}

static int read_all(slm_adapter *a, struct slm_peft_config *cfg, const slm_st *st, slm_err *err)
{
    struct slm_claims c;
    int rc = slm_claims_init(&c, a, SLM_ORDER_HF, err);
    c.scale = slm_peft_config_scale;
    c.arg = cfg;
    c.dropout = slm_peft_config_dropout(cfg);
    for (size_t i = 0; i < slm_st_tensor_count(st) && !rc; i++)
        rc = claim(&c, slm_st_tensor_at(st, i), err);
    if (!rc)
        rc = slm_claims_fill(&c, err);
    if (!rc)
        rc = check_dora(a, &c, err);
    slm_claims_release(&c);
    return rc;
}

int slm_peft_read(slm_adapter *a, const char *dir, slm_err *err)
{
    struct slm_peft_config *cfg = NULL;
    struct slm_buf buf, config;
    slm_st *st = NULL;
    slm_buf_init(&buf, a->m->rt, SLM_MEM_MODEL, 1 << 16);
    slm_buf_init(&config, a->m->rt, SLM_MEM_MODEL, 1 << 16);
    slm_path_join(&config, dir, "adapter_config.json");
    slm_path_join(&buf, dir, "adapter_model.safetensors.index.json"); /* room for every name */
    int rc = slm_buf_check(&config, dir, err);
    if (!rc)
        rc = slm_buf_check(&buf, dir, err);
    if (!rc)
        rc = slm_peft_config_read(&cfg, a, config.s, err);
    if (!rc)
        rc = open_tensors(&st, a, &buf, err);
    if (!rc)
        rc = read_all(a, cfg, st, err);
    slm_st_close(&st);
    slm_peft_config_free(cfg);
    slm_buf_release(&config);
    slm_buf_release(&buf);
    return rc;
}
