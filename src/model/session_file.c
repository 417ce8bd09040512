/* A session in a file: header, tokens, then for every layer the slots in use, keys before
 * values and head after head, as blocks of keys have them, and a checksum of it all. Little
 * endian. It fits only the model, cache type and window that wrote it; whatever disagrees is
 * refused before the session is touched. Logits are not kept: the last token is computed again.
 */
#include "model/session_in.h"

#include <string.h>

#define VERSION 2u /* 1 had the heads of a slot side by side */

struct header {
    char magic[8];          /* "slmsess\n" */
    uint32_t version, type; /* type: GGUF's id of the cache type */
    uint64_t model;         /* slm_model_fingerprint */
    uint32_t layers, tokens;
    uint32_t rope_set;    /* its lowest byte; above it, how far rings were written past `tokens`
                           * by tokens since taken back */
    uint32_t exact_slots; /* slots of all layers with a window, summed */
};

struct sum {
    uint64_t a, b;
};

/* Fletcher's sum over 32-bit words (the tail padded with zeros): any one flipped bit shows. */
static void sum_add(struct sum *s, const void *p, size_t n)
{
    const uint8_t *q = p;
    for (size_t i = 0; i < n; i += 4) {
        uint32_t w = 0;
        memcpy(&w, q + i, n - i < 4 ? n - i : 4);
        s->a = (s->a + w) % 0xffffffffu;
        s->b = (s->b + s->a) % 0xffffffffu;
    }
}

static uint64_t sum_end(const struct sum *s) { return s->b << 32 | s->a; }

/* What an adapter does to the keys and values: its numbers, scales and factors. */
static uint64_t adapter_print(const struct slm_adapter *a)
{
    struct sum s = {1, 0};
    for (int i = 0; a && i < a->n_parts; i++) {
        const struct slm_adapter_part *p = &a->part[i];
        const struct slm_weight *w[3] = {&p->a, &p->b, &p->m};
        float f[2] = {p->scale, *p->factor};
        sum_add(&s, f, sizeof f);
        for (int k = 0; k < 3; k++)
            for (int e = 0; w[k]->part && e < w[k]->parts; e++)
                sum_add(&s, w[k]->part[e], (size_t)w[k]->rows * w[k]->stride);
    }
    for (int i = 0; a && i < a->n_whole; i++)
        sum_add(&s, a->whole[i].w.part[0], (size_t)a->whole[i].w.rows * a->whole[i].w.stride);
    return a ? sum_end(&s) : 0;
}

static struct header header_of(const slm_session *s)
{
    struct header h = {.magic = {'s', 'l', 'm', 's', 'e', 's', 's', '\n'}, .version = VERSION};
    h.type = (uint32_t)slm_dtypes[s->kv.type].gguf;
    h.model = slm_model_fingerprint(s->m) ^ adapter_print(s->engine->adapter);
    h.layers = (uint32_t)s->m->hp.layers;
    h.tokens = (uint32_t)s->n;
    for (int l = 0; l < s->m->hp.layers; l++)
        if (s->m->hp.window[l]) /* rings must turn alike; layers that keep all may grow */
            h.exact_slots += (uint32_t)s->kv.layer[l].slots;
    h.rope_set = s->rope_set;
    if (h.exact_slots)
        h.rope_set |= (uint32_t)(s->top - s->n) << 8;
    return h;
}

/* The heads' keys, then their values. */
static uint8_t *head_of(const struct slm_kv_layer *kv, int h)
{
    return h < kv->heads ? kv->k + (size_t)h * kv->head
                         : kv->v + (size_t)(h - kv->heads) * kv->head;
}

static int put(struct slm_out *o, struct sum *sum, const void *p, size_t n, slm_err *err)
{
    sum_add(sum, p, n);
    return slm_out_write(o, p, n, err);
}

int slm_session_save(const slm_session *s, const char *path, slm_err *err)
{
    struct slm_out o;
    struct sum sum = {0};
    struct header h = header_of(s);
    int rc = slm_out_open(&o, s->rt, path, err);
    if (rc)
        return rc;
    rc = put(&o, &sum, &h, sizeof h, err);
    if (!rc)
        rc = put(&o, &sum, s->ids, (size_t)s->n * sizeof *s->ids, err);
    for (int l = 0; l < s->m->hp.layers && !rc; l++) {
        const struct slm_kv_layer *kv = &s->kv.layer[l];
        size_t bytes = slm_kv_used(kv, s->n);
        for (int i = 0; i < 2 * kv->heads && !rc; i++)
            rc = put(&o, &sum, head_of(kv, i), bytes, err);
    }
    uint64_t end = sum_end(&sum);
    if (!rc)
        rc = slm_out_write(&o, &end, sizeof end, err);
    if (!rc)
        return slm_out_commit(&o, err);
    slm_out_close(&o);
    return rc;
}

static int check_header(const slm_session *s, const struct header *h, const char *path,
                        slm_err *err)
{
    struct header own = header_of(s);
    if (memcmp(h->magic, own.magic, sizeof own.magic))
        return slm_fail(err, SLM_E_FORMAT, "%s: not a session file", path);
    if (h->version != VERSION)
        return slm_fail(err, SLM_E_UNSUPPORTED, "%s: session file of version %u, want %u", path,
                        h->version, VERSION);
    if (h->model != own.model || h->layers != own.layers)
        return slm_fail(err, SLM_E_ARG, "%s: session of another model", path);
    if (h->type != own.type)
        return slm_fail(err, SLM_E_ARG, "%s: session with another cache type than %s", path,
                        slm_dtypes[s->kv.type].name);
    if (h->exact_slots != own.exact_slots)
        return slm_fail(err, SLM_E_ARG,
                        "%s: session with another batch size: its windows do not fit", path);
    if (h->tokens > (uint32_t)s->context)
        return slm_fail(err, SLM_E_LIMIT, "%s: %u tokens, the context holds %d", path,
                        h->tokens, s->context);
    if ((h->rope_set & 255) > 1)
        return slm_fail(err, SLM_E_FORMAT, "%s: rope set %u", path, h->rope_set & 255);
    return 0;
}

/* Size, checksum and token ids of a mapped file whose header fits. */
static int check_body(const slm_session *s, const struct slm_map *m, const struct header *h,
                      const char *path, slm_err *err)
{
    size_t want = sizeof *h + (size_t)h->tokens * 4 + 8;
    for (int l = 0; l < s->m->hp.layers; l++) {
        const struct slm_kv_layer *kv = &s->kv.layer[l];
        want += 2 * (size_t)kv->heads * slm_kv_used(kv, (int)h->tokens);
    }
    if (m->size != want)
        return slm_fail(err, SLM_E_FORMAT, "%s: %zu bytes, want %zu", path, m->size, want);
    struct sum sum = {0};
    uint64_t end;
    size_t at = sizeof *h;
    sum_add(&sum, h, sizeof *h);
    sum_add(&sum, m->data + at, (size_t)h->tokens * 4);
    at += (size_t)h->tokens * 4;
    for (int l = 0; l < s->m->hp.layers; l++) {
        const struct slm_kv_layer *kv = &s->kv.layer[l];
        size_t n = slm_kv_used(kv, (int)h->tokens);
        for (int i = 0; i < 2 * kv->heads; i++, at += n)
            sum_add(&sum, m->data + at, n);
    }
    memcpy(&end, m->data + at, sizeof end);
    if (end != sum_end(&sum))
        return slm_fail(err, SLM_E_FORMAT, "%s: damaged: the checksum does not fit", path);
    for (uint32_t i = 0; i < h->tokens; i++) {
        int32_t id;
        memcpy(&id, m->data + sizeof *h + (size_t)i * 4, 4);
        if (id < 0 || id >= s->m->hp.vocab)
            return slm_fail(err, SLM_E_FORMAT, "%s: token %u is %d, outside the vocabulary",
                            path, i, id);
    }
    return 0;
}

static void take(slm_session *s, const struct slm_map *m, const struct header *h)
{
    const uint8_t *p = m->data + sizeof *h;
    s->n = (int)h->tokens;
    s->top = s->n + (int)(h->rope_set >> 8);
    s->rope_set = (uint8_t)(h->rope_set & 255);
    memcpy(s->ids, p, (size_t)s->n * sizeof *s->ids);
    p += (size_t)s->n * sizeof *s->ids;
    for (int l = 0; l < s->m->hp.layers; l++) {
        const struct slm_kv_layer *kv = &s->kv.layer[l];
        size_t bytes = slm_kv_used(kv, s->n);
        for (int i = 0; i < 2 * kv->heads; i++, p += bytes)
            memcpy(head_of(kv, i), p, bytes);
    }
}

int slm_session_restore(slm_session *s, const char *path, slm_err *err)
{
    struct slm_map m;
    struct header h;
    int rc = slm_map_open(&m, path, err);
    if (rc)
        return rc;
    if (m.size < sizeof h + 8) {
        rc = slm_fail(err, SLM_E_FORMAT, "%s: %zu bytes are no session", path, m.size);
    } else {
        memcpy(&h, m.data, sizeof h);
        rc = check_header(s, &h, path, err);
    }
    if (!rc)
        rc = check_body(s, &m, &h, path, err);
    if (!rc) {
        s->outs = 0;
        take(s, &m, &h);
    }
    slm_map_close(&m);
    return rc;
}
