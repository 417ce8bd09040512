/* What an adapter is, told without its model: from its configuration and the names and shapes
 * of its tensors. Nothing here decides what it computes; the readers do. */
#include "adapter/adapter_in.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_CONFIG ((size_t)4 << 20)

/* Ends of names of A by kind, and which dimension is the rank (from the last). */
struct ending {
    const char *end;
    int rank;
    bool dora;
};
static const struct ending endings[] = {
    {".lora_A.weight", 2, false},
    {".lora_A.default.weight", 2, false},
    {".lora_embedding_A", 2, false},
    {".lora_magnitude_vector", 0, true},
    {".m", 0, true},
};

struct peeking {
    slm_adapter_peek *out;
    char seen[512]; /* last names of modules, each between commas */
    bool mlx;
    int r; /* by the configuration; 0: not said */
};

static void add_module(struct peeking *p, const char *name, size_t n)
{
    char leaf[96];
    size_t from = n;
    while (from && name[from - 1] != '.')
        from--;
    snprintf(leaf, sizeof leaf, ",%.*s,", (int)(n - from < 90 ? n - from : 90), name + from);
    size_t used = strlen(p->seen);
    if (strstr(p->seen, leaf) || used + strlen(leaf) >= sizeof p->seen)
        return;
    snprintf(p->seen + used, sizeof p->seen - used, "%s", used ? leaf + 1 : leaf);
}

static void add_pair(struct peeking *p, const char *name, size_t n, uint64_t r)
{
    slm_adapter_peek *o = p->out;
    int rank = r < 65536 ? (int)r : 65536;
    o->r_least = !o->modules || rank < o->r_least ? rank : o->r_least;
    o->r_most = rank > o->r_most ? rank : o->r_most;
    o->modules++;
    add_module(p, name, n);
}

static void add_tensor(struct peeking *p, const struct slm_tensor_ref *t)
{
    p->out->params += t->count;
    size_t n = strlen(t->name);
    if (slm_str_ends(t->name, ".lora_a") && t->n_dims >= 2) { /* MLX, GGUF */
        uint64_t last = t->dim[t->n_dims - 1], before = t->dim[t->n_dims - 2];
        bool flip = p->mlx ? t->n_dims == 2 : strstr(t->name, "token_embd") != NULL;
        const char *weight = strstr(t->name, ".weight.lora_a");
        add_pair(p, t->name, weight ? (size_t)(weight - t->name) : n - strlen(".lora_a"),
                 flip ? last : before);
        return;
    }
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const struct ending *e = &endings[i];
        if (!slm_str_ends(t->name, e->end))
            continue;
        p->out->dora |= e->dora;
        const char *packed = strstr(t->name, ".mlp.experts."); /* A of all experts */
        if (!e->dora && packed && p->r &&
            (strstr(packed, ".experts.lora_A") || strstr(packed, ".base_layer.")))
            add_pair(p, t->name, (size_t)(packed - t->name) + strlen(".mlp.experts"),
                     (uint64_t)p->r);
        else if (!e->dora && t->n_dims >= 2)
            add_pair(p, t->name, n - strlen(e->end), t->dim[t->n_dims - 2]);
        return;
    }
    p->out->whole += strstr(t->name, "lora_") == NULL;
}

/* "q_proj, v_proj" */
static void put_modules(const struct peeking *p)
{
    size_t used = 0;
    for (const char *s = p->seen; *s && s[1]; s += strcspn(s + 1, ",") + 1) {
        int n = (int)strcspn(s + 1, ",");
        used += (size_t)snprintf(p->out->names + used, sizeof p->out->names - used, "%s%.*s",
                                 used ? ", " : "", n, s + 1);
        if (used >= sizeof p->out->names)
            break;
    }
}

static void copy(char *to, size_t n, const char *s, size_t len)
{
    snprintf(to, n, "%.*s", (int)(len < n ? len : n - 1), s ? s : "");
}

static int read_config(struct peeking *p, slm_runtime *rt, const char *path, slm_err *err)
{
    slm_adapter_peek *o = p->out;
    slm_json *j = NULL;
    int rc = slm_json_load(&j, rt, path, MAX_CONFIG, err);
    if (rc)
        return rc;
    const slm_json *mlx = slm_json_find(j, "lora_parameters");
    size_t n = 0;
    const char *base =
        slm_json_str(slm_json_find(j, p->mlx ? "model" : "base_model_name_or_path"), &n);
    copy(o->base, sizeof o->base, base, n);
    o->alpha = slm_json_num(slm_json_find(j, "lora_alpha"), (double)NAN);
    o->scale = slm_json_num(slm_json_find(mlx, "scale"), (double)NAN);
    p->r = (int)slm_json_int(slm_json_find(j, "r"), 0);
    o->rslora = slm_json_bool(slm_json_find(j, "use_rslora"), false);
    slm_json_free(j);
    return 0;
}

static int peek_folder(struct peeking *p, slm_runtime *rt, const char *path, slm_err *err)
{
    struct slm_buf b;
    slm_st *st = NULL;
    slm_buf_init(&b, rt, SLM_MEM_MODEL, 1 << 16);
    slm_path_join(&b, path, "adapters.safetensors");
    p->mlx = !b.failed && slm_path_is_file(b.s);
    copy(p->out->kind, sizeof p->out->kind, p->mlx ? "mlx" : "peft", 4);
    slm_path_join(&b, path, "adapter_config.json");
    int rc = slm_buf_check(&b, path, err);
    if (!rc)
        rc = read_config(p, rt, b.s, err);
    slm_path_join(&b, path, p->mlx ? "adapters.safetensors" : "adapter_model.safetensors");
    if (!rc)
        rc = slm_buf_check(&b, path, err);
    if (!rc)
        rc = slm_st_open(&st, rt, b.s, err);
    for (size_t i = 0; !rc && i < slm_st_tensor_count(st); i++)
        add_tensor(p, slm_st_tensor_at(st, i));
    slm_st_close(&st);
    slm_buf_release(&b);
    return rc;
}

static int peek_file(struct peeking *p, slm_runtime *rt, const char *path, slm_err *err)
{
    slm_gguf *g = NULL;
    struct slm_gguf_str s = {0};
    float alpha = NAN;
    int rc = slm_gguf_open(&g, rt, path, err);
    if (rc)
        return rc;
    copy(p->out->kind, sizeof p->out->kind, "gguf", 4);
    if (!slm_gguf_str(g, "general.architecture", SLM_GGUF_OPTIONAL, &s, NULL) && s.s)
        copy(p->out->family, sizeof p->out->family, s.s, s.n);
    s = (struct slm_gguf_str){0};
    if (!slm_gguf_str(g, "general.base_model.0.name", SLM_GGUF_OPTIONAL, &s, NULL) && s.s)
        copy(p->out->base, sizeof p->out->base, s.s, s.n);
    rc = slm_gguf_float(g, "adapter.lora.alpha", SLM_GGUF_OPTIONAL, &alpha, err);
    p->out->alpha = (double)alpha;
    for (size_t i = 0; !rc && i < slm_gguf_tensor_count(g); i++)
        add_tensor(p, slm_gguf_tensor_at(g, i));
    slm_gguf_close(&g);
    return rc;
}

int slm_adapter_peek_at(slm_runtime *rt, const char *path, slm_adapter_peek *out, slm_err *err)
{
    struct peeking p = {.out = out};
    *out = (slm_adapter_peek){.alpha = (double)NAN, .scale = (double)NAN};
    int rc =
        slm_path_is_dir(path) ? peek_folder(&p, rt, path, err) : peek_file(&p, rt, path, err);
    put_modules(&p);
    return rc;
}
