/* Opening a model: source, numbers, rotary tables, binding, then tokenizer and template; and
 * what can be asked of it afterwards. */
#include "model/session_in.h"

#include <stdio.h>
#include <string.h>

void slm_model_opts_init(slm_model_opts *o) { memset(o, 0, sizeof *o); }

static int read_numbers(slm_model *m, slm_err *err)
{
    int rc = m->src.kind == SLM_SOURCE_HF     ? slm_config_hf(&m->hp, &m->src, err)
             : m->src.kind == SLM_SOURCE_GGUF ? slm_config_gguf(&m->hp, &m->src, err)
                                              : slm_config_llama2c(&m->hp, &m->src, err);
    if (!rc)
        rc = slm_hparams_check(&m->hp, m->src.path, err);
    for (int i = 0; i <= m->hp.two_ropes && !rc; i++)
        rc = slm_rope_compute(&m->rope[i], &m->arena, &m->hp.rope[i], m->hp.rot, m->hp.context,
                              m->src.path, err);
    for (int l = 0; l < m->hp.layers && !rc; l++)
        if (m->hp.window[l] > m->hp.max_window)
            m->hp.max_window = m->hp.window[l];
    return rc;
}

static const char *given_name(slm_model *m)
{
    struct slm_gguf_str s = {0};
    if (m->src.gguf &&
        !slm_gguf_str(m->src.gguf, "general.name", SLM_GGUF_OPTIONAL, &s, NULL) && s.n)
        return slm_arena_strndup(&m->arena, s.s, s.n);
    const char *name = slm_json_str(slm_json_find(m->src.config, "_name_or_path"), NULL);
    return name && *name ? name : NULL;
}

int slm_model_describe(slm_model *m, slm_err *err)
{
    uint64_t by[SLM_DTYPE_COUNT] = {0}, all = 0;
    for (int i = 0; i < m->n_weights; i++) {
        const struct slm_weight *w = &m->weight[i];
        uint64_t n = (uint64_t)w->parts * (uint64_t)w->rows * (uint64_t)w->cols;
        by[w->type] += n;
        all += n;
    }
    struct slm_buf b;
    slm_buf_init(&b, m->rt, SLM_MEM_MODEL, 4096);
    for (int i = 0; i < SLM_DTYPE_COUNT; i++)
        if (by[i])
            slm_buf_printf(&b, "%s%s %.0f %%", b.n ? ", " : "", slm_dtypes[i].name,
                           100.0 * (double)by[i] / (double)all);
    m->types = slm_arena_strdup(&m->arena, b.s);
    int rc = slm_buf_check(&b, "model", err);
    slm_buf_release(&b);
    return rc || m->types ? rc : slm_fail_mem(err, "model", 4096);
}

static int name_it(slm_model *m, slm_err *err)
{
    const char *name = given_name(m), *base = slm_path_base(m->src.path);
    m->name = slm_arena_strdup(&m->arena, name ? name : *base ? base : m->src.path);
    return m->name ? 0 : slm_fail_mem(err, "model", 256);
}

static int new_model(slm_model **out, slm_runtime *rt, slm_err *err)
{
    slm_model *m = *out = slm_zalloc(rt, SLM_MEM_MODEL, sizeof *m);
    if (!m)
        return slm_fail_mem(err, "model", sizeof *m);
    m->rt = rt;
    slm_arena_init(&m->arena, rt, SLM_MEM_MODEL);
    return 0;
}

/* What follows once there is a source; rc: how opening that went. */
static int finish(slm_model **out, slm_model *m, int rc, const slm_model_opts *o, slm_err *err)
{
    static const slm_model_opts none;
    if (!rc)
        rc = read_numbers(m, err);
    m->untie = o && o->untie;
    if (!rc)
        rc = slm_model_bind(m, err);
    if (!rc)
        rc = slm_model_describe(m, err);
    if (!rc)
        rc = name_it(m, err);
    slm_mem_stats before, after;
    slm_runtime_memory(m->rt, &before);
    if (!rc)
        rc = slm_model_attach(m, o ? o : &none, err);
    slm_runtime_memory(m->rt, &after);
    m->text_bytes = after.bytes > before.bytes ? after.bytes - before.bytes : 0;
    if (rc)
        slm_model_close(&m);
    else
        *out = m;
    return rc;
}

int slm_model_open(slm_model **out, slm_runtime *rt, const char *path, const slm_model_opts *o,
                   slm_err *err)
{
    slm_model *m;
    int rc = new_model(&m, rt, err);
    return rc ? rc : finish(out, m, slm_source_open(&m->src, rt, &m->arena, path, err), o, err);
}

int slm_model_open_image(slm_model **out, slm_runtime *rt, const char *name, uint8_t *image,
                         size_t n, const slm_model_opts *o, slm_err *err)
{
    slm_model *m;
    int rc = new_model(&m, rt, err);
    if (!rc)
        return finish(out, m, slm_source_image(&m->src, rt, &m->arena, name, image, n, err), o,
                      err);
    slm_pages_free(rt, SLM_MEM_MODEL, image, n);
    return rc;
}

void slm_model_close(slm_model **pm)
{
    slm_model *m = pm ? *pm : NULL;
    if (!m)
        return;
    slm_tokenizer_close(&m->tok);
    slm_template_free(m->tmpl);
    for (int i = 0; i < m->n_retyped; i++)
        slm_pages_free(m->rt, SLM_MEM_MODEL, m->retyped[i].p, m->retyped[i].n);
    slm_source_close(&m->src);
    slm_model_own_release(m);
    slm_arena_release(&m->arena);
    slm_free(m->rt, m);
    *pm = NULL;
}

/* Weights that one token meets: all but the experts not chosen, and of the embedding only what
 * the output shares. */
static uint64_t active(const slm_model *m, uint64_t *bytes)
{
    uint64_t n = 0;
    *bytes = 0;
    for (int i = 0; i < m->n_weights; i++) {
        const struct slm_weight *w = &m->weight[i];
        bool read = w != m->w[SLM_W_EMBED] || m->w[SLM_W_OUT] == w;
        uint64_t parts = w->parts > 1 ? (uint64_t)m->hp.experts_used : read;
        n += parts * (uint64_t)w->rows * (uint64_t)w->cols;
        *bytes += parts * (uint64_t)w->rows * w->stride;
    }
    return n;
}

void slm_model_info_get(const slm_model *m, slm_model_info *out)
{
    static const char *const sources[] = {"gguf", "hf", "llama2c"};
    const struct slm_hparams *hp = &m->hp;
    uint64_t bytes, params = active(m, &bytes);
    bool llama3 =
        hp->rope[0].divisor != NULL; /* GGUF keeps that scaling as a tensor of divisors */
    *out = (slm_model_info){
        .family = hp->family->name,
        .name = m->name,
        .source = sources[m->src.kind],
        .rope = slm_rope_name(llama3 ? SLM_ROPE_LLAMA3 : hp->rope[0].kind),
        .types = m->types,
        .layers = hp->layers,
        .width = hp->width,
        .heads = hp->heads,
        .kv_heads = hp->kv_heads,
        .head_width = hp->head_width,
        .ffn = hp->ffn,
        .vocab = hp->vocab,
        .experts = hp->experts,
        .experts_used = hp->experts_used,
        .context = hp->context,
        .window = hp->max_window,
        .params = m->params,
        .params_active = params,
        .bytes = m->bytes,
        .bytes_active = bytes,
    };
}

int64_t slm_model_kv_bytes(const slm_model *m, int context, const char *kv_type)
{
    int type = slm_dtype_of_name(kv_type);
    int *room = slm_alloc_n(m->rt, SLM_MEM_MODEL, (size_t)m->hp.layers * 3, sizeof *room);
    int64_t n = -1;
    if (type >= 0 && room && context > 0) {
        struct slm_kv_shape shape;
        slm_model_kv_shape(m, &shape, room, context, 512, (enum slm_dtype)type);
        n = slm_kv_bytes(&shape);
    }
    slm_free(m->rt, room);
    return n;
}

#define LOGIT_BYTES ((size_t)64 << 20) /* most memory for the logits of one run */

int slm_model_logit_rows(const slm_model *m, int batch)
{
    size_t rows = LOGIT_BYTES / sizeof(float) / (size_t)m->hp.vocab;
    return rows < 1 ? 1 : rows < (size_t)batch ? (int)rows : batch;
}

/* A session has two programs in the memory of the larger one. */
int64_t slm_model_work_bytes(const slm_model *m, int batch)
{
    static const slm_session_opts plain;
    struct slm_engine *e = NULL;
    if (batch < 1 || slm_engine_open(&e, m, batch, &plain, NULL))
        return -1;
    int64_t n = slm_engine_bytes(e);
    slm_engine_release(e);
    return n;
}

static uint64_t fnv(uint64_t h, const void *p, size_t n)
{
    const uint8_t *s = p;
    for (size_t i = 0; i < n; i++)
        h = (h ^ s[i]) * 0x100000001b3u;
    return h;
}

uint64_t slm_model_fingerprint(const slm_model *m)
{
    const struct slm_hparams *hp = &m->hp;
    int32_t n[] = {hp->layers,     hp->width, hp->heads, hp->kv_heads,
                   hp->head_width, hp->ffn,   hp->vocab, hp->rot};
    uint64_t h = fnv(0xcbf29ce484222325u, n, sizeof n);
    h = fnv(h, hp->family->name, strlen(hp->family->name));
    for (int i = 0; i < m->n_weights; i++) {
        const struct slm_weight *w = &m->weight[i];
        size_t row = w->stride < 256 ? w->stride : 256;
        h = fnv(h, w->part[0], row);
        h = fnv(h, w->part[w->parts - 1] + (size_t)(w->rows - 1) * w->stride, row);
    }
    return h;
}

const slm_tokenizer *slm_model_tokenizer(const slm_model *m) { return m->tok; }

const slm_template *slm_model_template(const slm_model *m, const char **origin)
{
    if (origin)
        *origin = m->tmpl_origin;
    return m->tmpl;
}

const char *slm_model_template_source(const slm_model *m) { return m->tmpl_source; }
void slm_model_defaults_get(const slm_model *m, slm_model_defaults *out) { *out = m->defaults; }

int slm_model_is_eog(const slm_model *m, int32_t id)
{
    for (int i = 0; i < m->n_eog; i++)
        if (m->eog[i] == id)
            return 1;
    return m->tok && slm_tokenizer_is_eog(m->tok, id);
}
