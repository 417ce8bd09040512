/* Advice before anything is loaded: what a model takes in each type, and how fast the ceilings
 * of this machine let it be. Memory is counted as opening it counts: weights, cache, work and
 * tokenizer; the rest of a process is a few megabytes. */
#include <math.h>
#include <string.h>

#include "compress/mixes.h"
#include "compress/shape.h"
#include "slm/bench.h"

#define PROCESS_BYTES ((uint64_t)7 << 20) /* program, threads, tables */

/* Mean divergence (nats a token) of the bundled model in each type from itself in float32,
 * without an importance matrix, on text of its own (slm perplexity --exact --kld, 256 a piece).
 * Larger models lose less in the same type; the order of types stays. */
static const struct loss {
    const char *type;
    float kld;
} losses[] = {
    {"q2_K", 0.0586f},  {"q3_K_M", 0.0124f}, {"iq4_xs", 0.0079f},
    {"q4_0", 0.0103f},  {"q4_K_M", 0.0057f}, {"q5_K_M", 0.0016f},
    {"q6_K", 0.00068f}, {"q8_0", 0.00005f},  {"f16", 0},
};

static float loss_of(const char *type)
{
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++)
        if (!strcmp(losses[i].type, type))
            return losses[i].kld;
    return (float)NAN;
}

static const char *const types[] = {"q2_K",   "q3_K_M", "iq4_xs", "q4_0", "q4_K_M",
                                    "q5_K_M", "q6_K",   "q8_0",   "f16"};

const char *slm_advice_type(int i)
{
    return i >= 0 && i < (int)(sizeof types / sizeof *types) ? types[i] : NULL;
}

/* The model as a shell of its own, whose weights may take any type. */
static int sizes(slm_model *m, const char *type, slm_advice *out, slm_err *err)
{
    uint32_t file_type;
    enum slm_dtype *t = slm_alloc_n(m->rt, SLM_MEM_MODEL, (size_t)m->n_weights, sizeof *t);
    if (!t)
        return slm_fail_mem(err, "types", (size_t)m->n_weights * sizeof *t);
    int rc = slm_shape_types(m, type, t, &file_type, err);
    m->bytes = 0;
    for (int i = 0; i < m->n_weights && !rc; i++) {
        struct slm_weight *w = &m->weight[i];
        w->type = t[i];
        w->stride = slm_row_bytes(t[i], (size_t)w->cols);
        m->bytes += (uint64_t)w->parts * (uint64_t)w->rows * w->stride;
    }
    slm_free(m->rt, t);
    slm_model_info info;
    slm_model_info_get(m, &info);
    out->weights = info.bytes;
    out->active = info.bytes_active;
    out->bits = info.params ? 8 * (double)info.bytes / (double)info.params : 0;
    return rc;
}

int slm_advise(slm_model *m, const char *type, const slm_advise_opts *o, slm_advice *out,
               slm_err *err)
{
    memset(out, 0, sizeof *out);
    int rc = type ? sizes(m, type, out, err) : 0;
    if (rc)
        return rc;
    slm_model_info info;
    slm_model_info_get(m, &info);
    if (!type) {
        out->weights = info.bytes;
        out->active = info.bytes_active;
        out->bits = info.params ? 8 * (double)info.bytes / (double)info.params : 0;
    }
    const char *kv = o->kv_type ? o->kv_type : "f16";
    int64_t cache = slm_model_kv_bytes(m, o->context, kv);
    int64_t work = slm_model_work_bytes(m, o->context < 512 ? o->context : 512);
    if (cache < 0 || work < 0)
        return slm_fail(err, SLM_E_UNSUPPORTED, "%s: no cache of type %s for a context of %d",
                        m->name, kv, o->context);
    out->cache = (uint64_t)cache;
    out->work = (uint64_t)work;
    out->text = m->text_bytes;
    out->total = out->weights + out->cache + out->work + out->text + PROCESS_BYTES;
    out->fits = !o->ram || out->total <= o->ram;
    out->loss = type ? (double)loss_of(type) : (double)NAN;
    if (o->read_gbs > 0)
        out->decode_tok_s = o->read_gbs * 1e9 / (double)(out->active + out->cache / 2);
    if (o->peak_gops > 0)
        out->prompt_tok_s = o->peak_gops * 1e9 / (2 * (double)info.params_active);
    return 0;
}

int slm_shape_empty(slm_model **out, slm_runtime *rt, const char *shape, slm_err *err)
{
    return slm_shape_shell(out, rt, shape, err);
}

/* The numbers of an opened model, without its weights. */
int slm_model_empty(slm_model **out, const slm_model *m, slm_err *err)
{
    struct slm_hparams hp = m->hp;
    hp.tied = m->w[SLM_W_OUT] == m->w[SLM_W_EMBED];
    hp.qkv_bias = m->layer[0].w[SLM_W_Q_B] != NULL;
    hp.o_bias = m->layer[0].w[SLM_W_O_B] != NULL;
    hp.mlp_bias = m->layer[0].w[SLM_W_UP_B] != NULL;
    int rc = slm_model_shell(out, m->rt, &hp, m->hp.max_window, m->name, err);
    if (!rc)
        (*out)->text_bytes = m->text_bytes;
    return rc;
}
