/* New models: a shell of the numbers asked for, with random weights in memory of its own. Each
 * weight has a generator of its own, seeded by its number, so that its values do not depend on
 * which thread fills it. */
#include <math.h>
#include <string.h>

#include "model/model_room.h"

void slm_model_shape_init(slm_model_shape *s)
{
    memset(s, 0, sizeof *s);
    s->family = "";
    s->seed = 1;
    s->tied = -1;
}

static const struct slm_family *family_of(slm_runtime *rt, const char *name, slm_err *err)
{
    struct slm_buf b;
    for (int i = 0; i < slm_family_count; i++)
        if (!strcmp(slm_families[i].name, name))
            return &slm_families[i];
    slm_buf_init(&b, rt, SLM_MEM_MODEL, 4096);
    slm_family_names(&b);
    slm_fail(err, SLM_E_ARG, "family '%s': want one of %s", name, b.s ? b.s : "");
    slm_buf_release(&b);
    return NULL;
}

static int check(const slm_model_shape *s, slm_err *err)
{
    const struct {
        const char *name;
        int v;
    } sizes[] = {{"width", s->width},
                 {"layers", s->layers},
                 {"heads", s->heads},
                 {"ffn", s->ffn},
                 {"context", s->context}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].v < 1)
            return slm_fail(err, SLM_E_ARG, "a new model's %s is missing", sizes[i].name);
    if (!s->head_width && s->width % s->heads)
        return slm_fail(err, SLM_E_ARG, "width %d is no multiple of %d heads", s->width,
                        s->heads);
    if (!(s->std >= 0 && s->std <= 1) || !(s->rope_base >= 0 && s->rope_base < 1e12f))
        return slm_fail(err, SLM_E_ARG, "a new model's std or rope base is out of range");
    return 0;
}

static void numbers(struct slm_hparams *hp, const slm_model_shape *s, int vocab)
{
    const struct slm_family *f = hp->family;
    hp->layers = s->layers;
    hp->width = s->width;
    hp->heads = s->heads;
    hp->kv_heads = s->kv_heads ? s->kv_heads : s->heads;
    hp->head_width = s->head_width ? s->head_width : s->width / s->heads;
    hp->ffn = s->ffn;
    hp->vocab = vocab;
    hp->context = s->context;
    hp->experts = f->moe ? s->experts ? s->experts : 8 : 0;
    hp->experts_used = f->moe ? s->experts_used ? s->experts_used : 2 : 0;
    hp->rot =
        f->rot_share > 0 ? (int)((float)hp->head_width * f->rot_share) / 2 * 2 : hp->head_width;
    hp->eps = f->norm == SLM_NORM_LAYER ? 1e-5f : 1e-6f;
    hp->embed_scale = f->embed_scale ? sqrtf((float)hp->width) : 1;
    hp->norm_shift = f->norm_shift;
    hp->tied = s->tied < 0 ? 1 : s->tied != 0;
    hp->qkv_bias = f->bias_qkv;
    hp->attn_scale = 1 / sqrtf((float)hp->head_width);
    hp->two_ropes = f->window == SLM_WIN_FIVE_OF_SIX;
    float base = s->rope_base > 0 ? s->rope_base : f->rope_base > 0 ? f->rope_base : 10000;
    hp->rope[0] = (struct slm_rope){.base = base, .original = s->context, .truncate = true};
    hp->rope[1] = (struct slm_rope){.base = 10000, .original = s->context, .truncate = true};
}

struct fill {
    slm_model *m;
    uint64_t seed;
    float std;
};

/* Norms are ones where they multiply; biases zeros; matrices normal, less where they end in the
 * residual stream, which adds up 2 L of them. */
static void fill_one(const struct fill *f, int i)
{
    slm_model *m = f->m;
    const struct slm_weight *w = &m->weight[i];
    const struct slm_slot_row *row = m->row[i];
    size_t n = (size_t)w->parts * (size_t)w->rows * (size_t)w->cols;
    float *x = slm_model_values(m, i, 0), std = f->std;
    bool norm = row->kind == SLM_SLOT_NORM || row->kind == SLM_SLOT_HEADS;
    if (norm || row->kind == SLM_SLOT_VECTOR) {
        bool ones = norm && row->slot != SLM_W_OUT_NORM_B && row->slot != SLM_W_ATTN_NORM_B &&
                    row->slot != SLM_W_FFN_NORM_B;
        for (size_t k = 0; k < n; k++)
            x[k] = ones ? 1 - m->hp.norm_shift : 0;
        return;
    }
    if (row->slot == SLM_W_O || row->slot == SLM_W_DOWN || row->slot == SLM_W_DOWN_E)
        std /= sqrtf(2 * (float)m->hp.layers);
    struct slm_rng r;
    slm_rng_init(&r, f->seed + (uint64_t)i * 0x9e3779b97f4a7c15u);
    for (size_t k = 0; k < n; k++)
        x[k] = std * (float)slm_rng_normal(&r);
}

static void fill_job(int ith, int nth, void *arg)
{
    const struct fill *f = arg;
    for (int i = ith; i < f->m->n_weights; i += nth)
        fill_one(f, i);
}

static int finish(slm_model *m, const slm_model_shape *s, slm_err *err)
{
    struct fill f = {m, s->seed, s->std > 0 ? s->std : .02f};
    m->src.path = m->name;
    m->src.prefix = "model.";
    m->src.head_prefix = "";
    int rc = slm_model_unfreeze(m, NULL, err);
    if (rc)
        return rc;
    slm_pool_run(m->rt->pool, fill_job, &f);
    for (int i = 0; i < m->n_weights; i++)
        m->bytes +=
            (uint64_t)m->weight[i].parts * (uint64_t)m->weight[i].rows * m->weight[i].stride;
    m->types = slm_arena_strdup(&m->arena, "f32 100 %");
    if (!m->types)
        return slm_fail_mem(err, "model", 16);
    return slm_model_attach_new(m, s->tokenizer, err);
}

int slm_model_new(slm_model **out, slm_runtime *rt, const slm_model_shape *s, slm_err *err)
{
    struct slm_hparams hp = {.family = family_of(rt, s->family, err)};
    slm_tokenizer *tok = NULL;
    slm_model *m = NULL;
    int rc = hp.family ? check(s, err) : SLM_E_ARG;
    if (!rc && s->tokenizer)
        rc = slm_tokenizer_open(&tok, rt, s->tokenizer, err);
    int vocab = s->vocab ? s->vocab : tok ? slm_tokenizer_size(tok) : 0;
    if (!rc && (vocab < 1 || (tok && vocab < slm_tokenizer_size(tok))))
        rc = slm_fail(err, SLM_E_ARG, "a new model's vocabulary is %d%s", vocab,
                      tok ? ": smaller than its tokenizer's" : ": give vocab or a tokenizer");
    slm_tokenizer_close(&tok);
    if (rc)
        return rc;
    numbers(&hp, s, vocab);
    rc = slm_model_shell(&m, rt, &hp, hp.family->window == SLM_WIN_NONE ? 0 : s->window,
                         hp.family->name, err);
    if (!rc)
        rc = finish(m, s, err);
    if (rc)
        slm_model_close(&m);
    else
        *out = m;
    return rc;
}
