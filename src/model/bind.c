/* Binding: every tensor of the file is claimed by a slot, every slot that must be there is
 * found, and every shape is the one the numbers say. What binds cannot fail later. */
#include <math.h>
#include <string.h>

#include "model/model_room.h"

struct binder {
    slm_model *m;
    uint8_t *claimed; /* by tensor index */
    slm_err *err;
};

static const struct slm_tensor_ref *claim(struct binder *b, const char *name)
{
    int64_t i = slm_source_find(&b->m->src, name);
    if (i < 0)
        return NULL;
    b->claimed[i] = 1;
    return slm_source_at(&b->m->src, (size_t)i);
}

static int check_type(struct binder *b, const struct slm_tensor_ref *t, bool vector)
{
    enum slm_dtype d = t->type;
    bool plain = d == SLM_F32 || d == SLM_F16 || d == SLM_BF16;
    if (plain || (!vector && slm_dtypes[d].block > 1))
        return 0;
    return slm_fail(b->err, SLM_E_UNSUPPORTED,
                    "%s: tensor %s: %s weights are not computed with", b->m->src.path, t->name,
                    slm_dtypes[d].name);
}

static int check_shape(struct binder *b, const struct slm_tensor_ref *t, const uint64_t *want,
                       int n)
{
    bool same = t->n_dims == n;
    for (int i = 0; i < n && same; i++)
        same = t->dim[i] == want[i];
    if (same)
        return 0;
    char is[SLM_SHAPE_TEXT], should[SLM_SHAPE_TEXT];
    return slm_fail(b->err, SLM_E_FORMAT, "%s: tensor %s: shape %s, want %s", b->m->src.path,
                    t->name, slm_shape_text(is, t->dim, t->n_dims),
                    slm_shape_text(should, want, n));
}

/* The bytes as kernels may read them: in place, or copied where a file aligns badly. */
static const uint8_t *data_of(struct binder *b, const struct slm_tensor_ref *t)
{
    if (slm_tensor_aligned(t))
        return t->data;
    uint8_t *p = slm_arena_alloc(&b->m->arena, (size_t)t->bytes);
    if (p) {
        memcpy(p, t->data, (size_t)t->bytes);
        slm_log(b->m->rt, SLM_LOG_WARN, "%s: tensor %s is not aligned and was copied",
                b->m->src.path, t->name);
    }
    return p;
}

static void name_of(struct binder *b, const struct slm_slot_row *row, int layer, int part,
                    char out[192])
{
    const struct slm_source *s = &b->m->src;
    if (s->kind == SLM_SOURCE_HF)
        slm_slot_name_hf(out, row, s->prefix, s->head_prefix, layer, part);
    else
        slm_slot_name_gguf(out, row, layer);
}

static int missing(struct binder *b, const struct slm_slot_row *row, int layer, int part)
{
    char name[192];
    name_of(b, row, layer, part, name);
    return slm_fail(b->err, SLM_E_FORMAT, "%s: tensor %s is missing", b->m->src.path, name);
}

static struct slm_weight *weight_new(struct binder *b, const struct slm_slot_row *row,
                                     int layer, int parts)
{
    slm_model *m = b->m;
    char name[128];
    slm_slot_name_gguf(name, row, layer);
    struct slm_weight *w = &m->weight[m->n_weights];
    const uint8_t **part = slm_arena_alloc_n(&m->arena, (size_t)parts, sizeof *part);
    char *copy = slm_arena_strdup(&m->arena, name);
    if (!part || !copy)
        return NULL;
    *w = (struct slm_weight){.name = copy, .parts = parts, .part = part, .id = m->n_weights};
    w->rows = slm_dim_of(&m->hp, row->rows);
    w->cols = slm_dim_of(&m->hp, row->cols);
    m->row[m->n_weights] = row;
    m->row_layer[m->n_weights] = layer;
    m->n_weights++;
    return w;
}

/* The parts of w are const outside; here they are being filled. */
static void set_part(struct slm_weight *w, int i, const uint8_t *p)
{
    const uint8_t **part = (const uint8_t **)(uintptr_t)w->part;
    part[i] = p;
}

static void count(slm_model *m, const struct slm_tensor_ref *t)
{
    m->params += t->count;
    m->bytes += t->bytes;
}

/* One tensor that is the whole weight: (rows, cols), (cols) for vectors, (parts, rows, cols).
 */
static int bind_whole(struct binder *b, struct slm_weight *w, const struct slm_slot_row *row,
                      const struct slm_tensor_ref *t)
{
    bool vector = row->rows == SLM_DIM_1;
    uint64_t want[3] = {(uint64_t)w->parts, (uint64_t)w->rows, (uint64_t)w->cols};
    int n = row->kind == SLM_SLOT_EXPERTS ? 3 : vector ? 1 : 2;
    int rc = check_shape(b, t, want + 3 - n, n);
    if (!rc)
        rc = check_type(b, t, vector || row->kind == SLM_SLOT_HEADS);
    const uint8_t *p = rc ? NULL : data_of(b, t);
    if (!rc && !p)
        rc = slm_fail_mem(b->err, t->name, (size_t)t->bytes);
    w->type = t->type;
    w->stride = slm_row_bytes(t->type, (size_t)w->cols);
    for (int i = 0; i < w->parts && !rc; i++)
        set_part(w, i, p + (size_t)i * (size_t)w->rows * w->stride);
    count(b->m, t);
    return rc;
}

/* One tensor a part (experts), all of one type. */
static int bind_parts(struct binder *b, struct slm_weight *w, const struct slm_slot_row *row,
                      int layer)
{
    bool hf = b->m->src.kind == SLM_SOURCE_HF;
    for (int i = 0; i < w->parts; i++) {
        char name[192];
        if (hf)
            name_of(b, row, layer, i, name);
        else
            slm_slot_name_gguf_part(name, row, layer, i);
        const struct slm_tensor_ref *t = claim(b, name);
        if (!t)
            return slm_fail(b->err, SLM_E_FORMAT, "%s: tensor %s is missing", b->m->src.path,
                            name);
        uint64_t want[2] = {(uint64_t)w->rows, (uint64_t)w->cols};
        int rc = check_shape(b, t, want, 2);
        if (!rc)
            rc = check_type(b, t, false);
        if (!rc && i && t->type != w->type)
            rc = slm_fail(b->err, SLM_E_UNSUPPORTED,
                          "%s: tensor %s: experts of different types", b->m->src.path, name);
        const uint8_t *p = rc ? NULL : data_of(b, t);
        if (rc || !p)
            return rc ? rc : slm_fail_mem(b->err, name, (size_t)t->bytes);
        w->type = t->type;
        set_part(w, i, p);
        count(b->m, t);
    }
    w->stride = slm_row_bytes(w->type, (size_t)w->cols);
    return 0;
}

/* Hugging Face keeps one vector a head; they become the rows of one float32 matrix. */
static int bind_heads(struct binder *b, struct slm_weight *w, const struct slm_slot_row *row,
                      int layer)
{
    float *all =
        slm_arena_alloc_n(&b->m->arena, (size_t)w->rows * (size_t)w->cols, sizeof *all);
    if (!all)
        return slm_fail_mem(b->err, w->name, (size_t)w->rows * (size_t)w->cols * 4);
    for (int i = 0; i < w->rows; i++) {
        char name[192];
        name_of(b, row, layer, i, name);
        const struct slm_tensor_ref *t = claim(b, name);
        if (!t)
            return missing(b, row, layer, i);
        uint64_t want = (uint64_t)w->cols;
        int rc = check_shape(b, t, &want, 1);
        if (!rc)
            rc = check_type(b, t, true);
        if (rc)
            return rc;
        for (int k = 0; k < w->cols; k++) {
            float *f = &all[i * w->cols + k];
            uint16_t h;
            if (t->type == SLM_F32) {
                memcpy(f, t->data + (size_t)k * 4, 4);
                continue;
            }
            memcpy(&h, t->data + (size_t)k * 2, 2);
            *f = t->type == SLM_F16 ? slm_f16_to_f32(h) : slm_bf16_to_f32(h);
        }
        count(b->m, t);
    }
    w->type = SLM_F32;
    w->stride = (size_t)w->cols * sizeof *all;
    set_part(w, 0, (const uint8_t *)all);
    return 0;
}

static int bind_slot(struct binder *b, const struct slm_slot_row *row, int layer)
{
    slm_model *m = b->m;
    enum slm_need need = slm_slot_need(&m->hp, row);
    if (need == SLM_NEED_NO)
        return 0;
    bool hf = m->src.kind == SLM_SOURCE_HF, experts = row->kind == SLM_SLOT_EXPERTS;
    bool split = (hf && (experts || row->kind == SLM_SLOT_HEADS));
    char name[192];
    name_of(b, row, layer, 0, name);
    bool there = slm_source_find(&m->src, name) >= 0;
    if (!there && experts && !hf) { /* one tensor an expert, as older files have it */
        slm_slot_name_gguf_part(name, row, layer, 0);
        there = split = slm_source_find(&m->src, name) >= 0;
    }
    if (!there)
        return need == SLM_NEED_MUST ? missing(b, row, layer, 0) : 0;
    struct slm_weight *w = weight_new(b, row, layer, experts ? m->hp.experts : 1);
    if (!w)
        return slm_fail_mem(b->err, "weights", 64);
    if (layer >= 0)
        m->layer[layer].w[row->slot] = w;
    else
        m->w[row->slot] = w;
    if (!split)
        return bind_whole(b, w, row, claim(b, name));
    return experts ? bind_parts(b, w, row, layer) : bind_heads(b, w, row, layer);
}

/* Tensors that are no weights of the text model, and why they may lie there. */
static bool is_beside(const slm_model *m, const char *name)
{
    const struct slm_source *s = &m->src;
    if (s->kind != SLM_SOURCE_HF) {
        static const char *const rope[] = {"rope_freqs.weight", "rope_factors_long.weight",
                                           "rope_factors_short.weight"};
        for (int i = 0; i < 3; i++)
            if (!strcmp(name, rope[i]))
                return true; /* read with the numbers */
        char key[96];
        const struct slm_gguf_key *k =
            s->gguf ? slm_gguf_find(s->gguf, "general.architecture") : NULL;
        struct slm_gguf_str arch =
            k && slm_gguf_is_str(k) ? slm_gguf_elem_str(k, 0) : (struct slm_gguf_str){"", 0};
        if (arch.n > 64)
            return false;
        memcpy(key, arch.s, arch.n);
        memcpy(key + arch.n, ".vision.block_count", sizeof ".vision.block_count");
        return (!strncmp(name, "v.", 2) || !strncmp(name, "mm.", 3)) &&
               slm_gguf_find(s->gguf, key);
    }
    if (slm_str_ends(name, "rotary_emb.inv_freq"))
        return true; /* a buffer that old versions of Transformers saved; derived from the
                        numbers */
    size_t n = strlen(s->prefix);
    return s->wrapped && n && strncmp(name, s->prefix, n) != 0; /* vision tower and projector */
}

static int check_claims(struct binder *b)
{
    slm_model *m = b->m;
    size_t beside = 0;
    for (size_t i = 0; i < slm_source_count(&m->src); i++) {
        const char *name = slm_source_at(&m->src, i)->name;
        if (b->claimed[i])
            continue;
        if (m->hp.tied == 1 && slm_str_ends(name, "lm_head.weight")) {
            slm_log(m->rt, SLM_LOG_WARN,
                    "%s: %s is not used: the configuration ties it to the embedding",
                    m->src.path, name);
            continue;
        }
        if (!is_beside(m, name))
            return slm_fail(b->err, SLM_E_FORMAT,
                            "%s: tensor %s belongs to nothing in a %s model", m->src.path, name,
                            m->hp.family->name);
        beside += m->src.wrapped || (m->src.gguf && (name[0] == 'v' || name[0] == 'm'));
    }
    if (beside)
        slm_log(m->rt, SLM_LOG_WARN,
                "%s: %zu tensors beside the text model (vision) are not used", m->src.path,
                beside);
    return 0;
}

/* What one layer has beyond what it must have, all have: a single bias that is not there is
 * damage. */
static int check_alike(struct binder *b, const struct slm_slot_row *row)
{
    const slm_model *m = b->m;
    if (slm_slot_need(&m->hp, row) != SLM_NEED_MAY)
        return 0;
    bool first = m->layer[0].w[row->slot];
    for (int l = 1; l < m->hp.layers; l++)
        if ((m->layer[l].w[row->slot] != NULL) != first)
            return missing(b, row, first ? l : 0, 0);
    return 0;
}

static int bind_all(struct binder *b)
{
    slm_model *m = b->m;
    int rc = 0;
    for (int i = 0; i < slm_slot_rows && !rc; i++) {
        bool layered = slm_slots[i].slot >= SLM_W_LAYER;
        for (int l = layered ? 0 : -1; l < (layered ? m->hp.layers : 0) && !rc; l++)
            rc = bind_slot(b, &slm_slots[i], l);
        if (layered && !rc)
            rc = check_alike(b, &slm_slots[i]);
    }
    return rc ? rc : check_claims(b);
}

static int tie(slm_model *m)
{
    m->w[SLM_W_OUT] = m->w[SLM_W_EMBED];
    m->hp.tied = 1;
    return 0;
}

/* The output as a weight of its own whose bytes are the embedding's. */
static int untie(struct binder *b)
{
    slm_model *m = b->m;
    const struct slm_weight *e = m->w[SLM_W_EMBED];
    const struct slm_slot_row *row = NULL;
    for (int i = 0; i < slm_slot_rows; i++)
        if (slm_slots[i].slot == SLM_W_OUT)
            row = &slm_slots[i];
    struct slm_weight *w = weight_new(b, row, -1, 1);
    if (!w)
        return slm_fail_mem(b->err, "weights", 64);
    w->type = e->type;
    w->stride = e->stride;
    set_part(w, 0, e->part[0]);
    m->w[SLM_W_OUT] = w;
    m->hp.tied = 0;
    m->params += (uint64_t)w->rows * (uint64_t)w->cols;
    m->bytes += (uint64_t)w->rows * w->stride;
    return 0;
}

int slm_model_bind(slm_model *m, slm_err *err)
{
    size_t n = slm_source_count(&m->src),
           most = (size_t)slm_slot_rows * (size_t)(m->hp.layers + 1);
    struct binder b = {.m = m, .err = err};
    m->layer = slm_arena_alloc_n(&m->arena, (size_t)m->hp.layers, sizeof *m->layer);
    m->weight = slm_arena_alloc_n(&m->arena, most, sizeof *m->weight);
    m->row = slm_arena_alloc_n(&m->arena, most, sizeof *m->row);
    m->row_layer = slm_arena_alloc_n(&m->arena, most, sizeof *m->row_layer);
    b.claimed = slm_zalloc(m->rt, SLM_MEM_MODEL, n);
    int rc = m->layer && m->weight && m->row && m->row_layer && b.claimed
                 ? bind_all(&b)
                 : slm_fail_mem(err, "weights", most * sizeof *m->weight);
    slm_free(m->rt, b.claimed);
    if (!rc && !m->w[SLM_W_OUT])
        rc = m->untie ? untie(&b) : tie(m);
    return rc;
}
