/* slm/bench.h's shapes: a row of numbers becomes a model without weights, its weights get
 * types, and random blocks are laid down in a GGUF image in memory or streamed into a file. */
#include "compress/shape.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#include "kernels/kernels.h"
#include "slm/bench.h"

#define STREAM_BYTES ((size_t)16 << 20)

const char *slm_shape_name(int i)
{
    return i >= 0 && i < slm_shape_row_count ? slm_shape_rows[i].name : NULL;
}

static const struct slm_shape_row *find(slm_runtime *rt, const char *name, slm_err *err)
{
    struct slm_buf b;
    slm_buf_init(&b, rt, SLM_MEM_MODEL, 4096);
    for (int i = 0; i < slm_shape_row_count; i++) {
        if (!strcasecmp(slm_shape_rows[i].name, name)) {
            slm_buf_release(&b);
            return &slm_shape_rows[i];
        }
        slm_buf_printf(&b, "%s%s", i ? " " : "", slm_shape_rows[i].name);
    }
    slm_fail(err, SLM_E_ARG, "shape '%s' is not known", name);
    slm_log(rt, SLM_LOG_WARN, "shapes: %s", b.n ? b.s : "");
    slm_buf_release(&b);
    return NULL;
}

static const struct slm_family *family_of(const char *name)
{
    for (int i = 0; i < slm_family_count; i++)
        if (!strcmp(slm_families[i].name, name))
            return &slm_families[i];
    SLM_ASSERT(false && "a shape's family");
    return NULL;
}

/* longrope's divisors: no two models have the same; a smooth rise stands for them. */
static void long_factors(float *s, float *l, int n)
{
    for (int i = 0; i < n; i++) {
        s[i] = 1 + (float)i / (float)n;
        l[i] = powf(64, (float)i / (float)n);
    }
}

int slm_shape_shell(slm_model **out, slm_runtime *rt, const char *name, slm_err *err)
{
    const struct slm_shape_row *r = find(rt, name, err);
    if (!r)
        return SLM_E_ARG;
    struct slm_hparams hp = {
        .family = family_of(r->family),
        .layers = r->layers,
        .width = r->width,
        .heads = r->heads,
        .kv_heads = r->kv_heads,
        .head_width = r->head_width,
        .ffn = r->ffn,
        .vocab = r->vocab,
        .context = r->context,
        .experts = r->experts,
        .experts_used = r->experts_used,
        .rot = r->rot_share > 0 ? (int)((float)r->head_width * r->rot_share) : r->head_width,
        .eps = r->eps,
        .attn_cap = r->attn_cap,
        .final_cap = r->final_cap,
        .tied = r->tied,
        .qkv_bias = r->qkv_bias,
        .two_ropes = r->local_base > 0,
        .temper_beta = r->temper,
        .temper_original = r->original,
    };
    float short_f[256], long_f[256];
    int original = r->original ? r->original : r->context;
    hp.embed_scale = hp.family->embed_scale ? sqrtf((float)hp.width) : 1;
    hp.pairs = hp.family->gguf_pairs;
    hp.attn_scale = slm_hparams_gguf_scale(&hp);
    hp.rope[0] = (struct slm_rope){.kind = r->rope,
                                   .base = r->base,
                                   .factor = r->factor,
                                   .original = original,
                                   .low = 1,
                                   .high = 4,
                                   .beta_fast = 32,
                                   .beta_slow = 1,
                                   .truncate = true};
    if (r->temper > 0)
        hp.rope[0].mscale = hp.rope[0].mscale_all = 1;
    if (r->rope == SLM_ROPE_LONG) {
        SLM_ASSERT(hp.rot <= 512);
        long_factors(short_f, long_f, hp.rot / 2);
        hp.rope[0].short_f = short_f;
        hp.rope[0].long_f = long_f;
    }
    hp.rope[1] = (struct slm_rope){.base = r->local_base, .original = r->context};
    return slm_model_shell(out, rt, &hp, r->window, r->name, err);
}

struct made {
    slm_runtime *rt;
    slm_model *shell;
    enum slm_dtype *type;
    uint32_t file_type;
    struct slm_rope_tensor rope[2];
    slm_progress_fn *progress;
    void *progress_arg;
    uint64_t done, total;
    /* the tensor being filled */
    struct slm_shape_fill fill;
    uint8_t *to;
    size_t first, chunks;
};

static void release(struct made *m)
{
    slm_free(m->rt, m->type);
    slm_model_close(&m->shell);
}

static int prepare(struct made *m, const char *shape, const char *type, slm_err *err)
{
    int rc = slm_shape_shell(&m->shell, m->rt, shape, err);
    if (rc)
        return rc;
    m->type = slm_alloc_n(m->rt, SLM_MEM_MODEL, (size_t)m->shell->n_weights, sizeof *m->type);
    if (!m->type)
        return slm_fail_mem(err, shape, (size_t)m->shell->n_weights * sizeof *m->type);
    rc = slm_shape_types(m->shell, type, m->type, &m->file_type, err);
    if (!rc)
        rc = slm_model_rope_tensors(m->shell, &m->shell->arena, m->rope, err);
    for (int i = 0; i < m->shell->n_weights && !rc; i++) {
        const struct slm_weight *w = &m->shell->weight[i];
        m->total +=
            (uint64_t)w->parts * (uint64_t)w->rows * slm_row_bytes(m->type[i], (size_t)w->cols);
    }
    return rc;
}

static void start_weight(struct made *m, int i)
{
    const struct slm_weight *w = &m->shell->weight[i];
    uint64_t count = (uint64_t)w->parts * (uint64_t)w->rows * (uint64_t)w->cols;
    enum slm_slot_kind kind = m->shell->row[i]->kind;
    slm_shape_fill_init(&m->fill, m->rt->kern, m->type[i], count, 1 / sqrtf((float)w->cols));
    m->fill.seed = (uint64_t)i + 1;
    m->fill.ones = kind == SLM_SLOT_NORM || kind == SLM_SLOT_HEADS;
    m->fill.zeros = kind == SLM_SLOT_VECTOR;
}

static void fill_job(int ith, int nth, void *arg)
{
    struct made *m = arg;
    for (size_t i = (size_t)ith; i < m->chunks; i += (size_t)nth)
        slm_shape_fill_chunk(&m->fill, m->to + i * m->fill.bytes, m->first + i);
}

static int tell(struct made *m, uint64_t bytes, slm_err *err)
{
    m->done += bytes;
    return m->progress && m->progress(m->progress_arg, m->done, m->total)
               ? slm_fail(err, SLM_E_CANCELLED, "stopped")
               : 0;
}

/* The image's tensors, in the order they were declared: rotary tables, then weights. */
static int fill_image(struct made *m, uint8_t *image, size_t n, slm_err *err)
{
    slm_gguf *g = NULL;
    size_t half = (size_t)m->shell->hp.rot / 2;
    int rc = slm_gguf_open_mem(&g, m->rt, image, n, m->shell->name, err);
    for (int t = 0; t < 2 && !rc && m->rope[t].name; t++) {
        const struct slm_tensor_ref *r = slm_gguf_tensor_find(g, m->rope[t].name);
        memcpy(image + (r->data - image), m->rope[t].v, half * sizeof(float));
    }
    for (int i = 0; i < m->shell->n_weights && !rc; i++) {
        const struct slm_tensor_ref *r = slm_gguf_tensor_find(g, m->shell->weight[i].name);
        start_weight(m, i);
        m->to = image + (r->data - image);
        m->first = 0;
        m->chunks = slm_shape_fill_chunks(&m->fill);
        slm_pool_run(m->rt->pool, fill_job, m);
        rc = tell(m, r->bytes, err);
    }
    slm_gguf_close(&g);
    return rc;
}

int slm_shape_open(slm_model **out, slm_runtime *rt, const char *shape, const char *type,
                   const slm_shape_opts *o, slm_err *err)
{
    struct made m = {.rt = rt};
    slm_gguf_out *w = NULL;
    uint8_t *image = NULL;
    size_t n = 0;
    slm_shape_opts none;
    slm_shape_opts_init(&none);
    o = o ? o : &none;
    m.progress = o->progress;
    m.progress_arg = o->progress_arg;
    int rc = prepare(&m, shape, type, err);
    if (!rc)
        rc = slm_gguf_out_measure(&w, rt, m.shell->name, err);
    if (!rc)
        rc = slm_model_shell_head(w, m.shell, m.type, m.file_type, err);
    if (!rc)
        rc = slm_gguf_out_image(w, &image, &n, err);
    slm_gguf_out_close(&w);
    if (!rc)
        rc = fill_image(&m, image, n, err);
    if (rc)
        slm_pages_free(rt, SLM_MEM_MODEL, image, n);
    else
        rc = slm_model_open_image(out, rt, m.shell->name, image, n, &o->model, err);
    release(&m);
    return rc;
}

static int stream(struct made *m, slm_gguf_out *w, uint8_t *room, slm_err *err)
{
    size_t half = (size_t)m->shell->hp.rot / 2;
    int rc = 0;
    for (int t = 0; t < 2 && !rc && m->rope[t].name; t++)
        rc = slm_gguf_out_data(w, m->rope[t].v, half * sizeof(float), err);
    for (int i = 0; i < m->shell->n_weights && !rc; i++) {
        start_weight(m, i);
        size_t all = slm_shape_fill_chunks(&m->fill), at_once = STREAM_BYTES / m->fill.bytes;
        size_t size = (size_t)slm_dtypes[m->fill.type].bytes;
        m->to = room;
        for (m->first = 0; m->first < all && !rc; m->first += at_once) {
            m->chunks = all - m->first < at_once ? all - m->first : at_once;
            slm_pool_run(m->rt->pool, fill_job, m);
            size_t left = (m->fill.blocks - m->first * m->fill.chunk) * size,
                   n = m->chunks * m->fill.bytes < left ? m->chunks * m->fill.bytes : left;
            rc = slm_gguf_out_data(w, room, n, err);
            rc = rc ? rc : tell(m, n, err);
        }
    }
    return rc;
}

int slm_shape_write(slm_runtime *rt, const char *shape, const char *type, const char *path,
                    const slm_shape_opts *o, slm_err *err)
{
    struct made m = {.rt = rt};
    slm_gguf_out *w = NULL;
    uint8_t *room = slm_alloc(rt, SLM_MEM_MODEL, STREAM_BYTES);
    slm_shape_opts none;
    slm_shape_opts_init(&none);
    o = o ? o : &none;
    m.progress = o->progress;
    m.progress_arg = o->progress_arg;
    int rc = room ? prepare(&m, shape, type, err) : slm_fail_mem(err, path, STREAM_BYTES);
    if (!rc)
        rc = slm_gguf_out_open(&w, rt, path, err);
    if (!rc)
        rc = slm_model_shell_head(w, m.shell, m.type, m.file_type, err);
    if (!rc)
        rc = slm_gguf_out_begin(w, err);
    if (!rc)
        rc = stream(&m, w, room, err);
    if (!rc)
        rc = slm_gguf_out_commit(w, err);
    slm_gguf_out_close(&w);
    slm_free(rt, room);
    release(&m);
    return rc;
}

void slm_shape_opts_init(slm_shape_opts *o)
{
    memset(o, 0, sizeof *o);
    o->model.no_tokenizer = 1;
}
