/* The key/value cache of one stream: one block, a layer's keys and then its values, each head
 * by itself. A layer that sees a window is a ring just long enough that a whole run can be
 * stored before any of it is read; a ring turns at whole blocks of keys. */
#include "graph/graph.h"
#include "kernels/kernels.h"

#include <string.h>

static int slots_of(const struct slm_kv_shape *s, int layer)
{
    int64_t window = s->window[layer], slots = s->context;
    if (window && window + s->max_rows - 1 < slots)
        slots = (window + s->max_rows - 1 + 63) / 64 * 64;
    return (int)(slots < s->context ? slots : s->context);
}

static bool type_fits(enum slm_dtype t)
{
    return t == SLM_F32 || t == SLM_F16 || t == SLM_BF16 || t == SLM_Q8_0 || t == SLM_Q4_0;
}

/* Bytes of one slot of a head, or 0 when the type does not divide it. */
static size_t slot_bytes(const struct slm_kv_shape *s, int layer)
{
    if (!type_fits(s->type) || s->width[layer] % slm_dtypes[s->type].block)
        return 0;
    return slm_row_bytes(s->type, (size_t)s->width[layer]);
}

static size_t up_to(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

static size_t head_bytes(const struct slm_kv_shape *s, int layer)
{
    return up_to(up_to((size_t)slots_of(s, layer), SLM_KEYS) * slot_bytes(s, layer), 64);
}

static size_t side_bytes(const struct slm_kv_shape *s, int layer)
{
    return (size_t)s->heads[layer] * head_bytes(s, layer);
}

size_t slm_kv_used(const struct slm_kv_layer *y, int n)
{
    return up_to((size_t)(n < y->slots ? n : y->slots), SLM_KEYS) * y->row;
}

int64_t slm_kv_bytes(const struct slm_kv_shape *s)
{
    int64_t sum = 0;
    for (int l = 0; l < s->n_layers; l++) {
        if (!slot_bytes(s, l))
            return -1;
        sum += 2 * (int64_t)side_bytes(s, l);
    }
    return sum;
}

int slm_kv_init(struct slm_kv *kv, slm_runtime *rt, const struct slm_kv_shape *s, slm_err *err)
{
    memset(kv, 0, sizeof *kv);
    int64_t bytes = slm_kv_bytes(s);
    if (bytes < 0)
        return slm_fail(err, SLM_E_UNSUPPORTED,
                        "a key/value cache of type %s does not divide the heads",
                        slm_dtypes[s->type].name);
    kv->rt = rt;
    kv->type = s->type;
    kv->n_layers = s->n_layers;
    kv->context = s->context;
    kv->bytes = (size_t)bytes;
    kv->layer = slm_zalloc_n(rt, SLM_MEM_KV, (size_t)s->n_layers, sizeof *kv->layer);
    kv->block = slm_pages_alloc(rt, SLM_MEM_KV, kv->bytes);
    if (!kv->layer || !kv->block) {
        slm_kv_release(kv);
        return slm_fail_mem(err, "key/value cache", (size_t)bytes);
    }
    uint8_t *at = kv->block;
    for (int l = 0; l < s->n_layers; l++) {
        struct slm_kv_layer *y = &kv->layer[l];
        y->slots = slots_of(s, l);
        y->heads = s->heads[l];
        y->width = s->width[l];
        y->row = slot_bytes(s, l);
        y->head = head_bytes(s, l);
        y->k = at;
        y->v = at + side_bytes(s, l);
        at = y->v + side_bytes(s, l);
    }
    return 0;
}

void slm_kv_release(struct slm_kv *kv)
{
    if (!kv->rt)
        return;
    slm_pages_free(kv->rt, SLM_MEM_KV, kv->block, kv->bytes);
    slm_free(kv->rt, kv->layer);
    memset(kv, 0, sizeof *kv);
}
