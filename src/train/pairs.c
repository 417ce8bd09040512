/* Reading pairs of preferences from JSON, as ids or as texts. */
#include "train/pairs.h"

#include <string.h>

#define MAX_FILE ((size_t)1 << 30)
#define MAX_IDS (1 << 20) /* of one list */

struct reader {
    slm_pairs *p;
    const slm_model *m;
    const char *path;
    slm_err *err;
};

static int wrong(const struct reader *r, const char *field, const char *what)
{
    return slm_fail(r->err, SLM_E_FORMAT, "%s: pair %zu: %s %s", r->path, r->p->n, field, what);
}

static int put(const struct reader *r, const char *field, int64_t id)
{
    slm_pairs *p = r->p;
    if (id < 0 || id >= p->vocab)
        return wrong(r, field, "has an id outside the model's vocabulary");
    if (slm_grow(p->rt, SLM_MEM_USER, (void **)&p->ids, p->n_ids, &p->cap_ids, sizeof *p->ids))
        return slm_fail_mem(r->err, r->path, p->n_ids * sizeof *p->ids);
    p->ids[p->n_ids++] = (int32_t)id;
    return 0;
}

static int put_text(const struct reader *r, const char *field, const char *s, size_t n)
{
    const slm_tokenizer *tok = slm_model_tokenizer(r->m);
    slm_ids ids = {0};
    bool prompt = !strcmp(field, "prompt");
    if (!tok)
        return wrong(r, field, "is a text, and the model has no tokenizer");
    int rc = slm_tokenizer_encode(
        tok, s, n, SLM_ENCODE_SPECIAL | (prompt ? SLM_ENCODE_AFFIXES : 0), &ids, r->err);
    for (size_t i = 0; i < ids.len && !rc; i++)
        rc = put(r, field, ids.data[i]);
    slm_ids_release(&ids);
    return rc;
}

static int read_list(const struct reader *r, const slm_json *pair, const char *field,
                     struct slm_ids_at *out)
{
    const slm_json *v = slm_json_find(pair, field);
    size_t len = 0;
    const char *s = slm_json_str(v, &len);
    int rc = 0;
    out->at = r->p->n_ids;
    if (s)
        rc = put_text(r, field, s, len);
    else if (!slm_json_is(v, SLM_JSON_ARRAY))
        return wrong(r, field, v ? "is neither ids nor a text" : "is missing");
    for (size_t i = 0; !s && !rc && i < slm_json_count(v); i++)
        rc = put(r, field, slm_json_int(slm_json_at(v, i), -1));
    if (rc)
        return rc;
    size_t n = r->p->n_ids - out->at;
    if (!n)
        return wrong(r, field, "is empty");
    if (n > MAX_IDS)
        return wrong(r, field, "is too long");
    out->n = (int)n;
    return 0;
}

static int read_pairs(const struct reader *r, const slm_json *list)
{
    slm_pairs *p = r->p;
    if (!slm_json_is(list, SLM_JSON_ARRAY) || !slm_json_count(list))
        return slm_fail(r->err, SLM_E_FORMAT,
                        "%s: want a list of pairs, or an object with one as \"pairs\"",
                        r->path);
    for (size_t i = 0; i < slm_json_count(list); i++) {
        const slm_json *j = slm_json_at(list, i);
        struct slm_pair pair;
        int rc = read_list(r, j, "prompt", &pair.prompt);
        if (!rc)
            rc = read_list(r, j, "chosen", &pair.answer[0]);
        if (!rc)
            rc = read_list(r, j, "rejected", &pair.answer[1]);
        if (!rc && slm_grow(p->rt, SLM_MEM_USER, (void **)&p->pair, p->n, &p->cap, sizeof pair))
            rc = slm_fail_mem(r->err, r->path, p->n * sizeof pair);
        if (rc)
            return rc;
        p->pair[p->n++] = pair;
    }
    return 0;
}

int slm_pairs_load(slm_pairs **out, const slm_model *m, const char *path, slm_err *err)
{
    slm_pairs *p = *out = slm_zalloc(m->rt, SLM_MEM_USER, sizeof *p);
    slm_json *j = NULL;
    if (!p)
        return slm_fail_mem(err, path, sizeof *p);
    p->rt = m->rt;
    p->vocab = m->hp.vocab;
    struct reader r = {p, m, path, err};
    int rc = slm_json_load(&j, m->rt, path, MAX_FILE, err);
    const slm_json *inside = slm_json_find(j, "pairs");
    if (!rc)
        rc = read_pairs(&r, inside ? inside : j);
    slm_json_free(j);
    if (rc) {
        slm_pairs_free(p);
        *out = NULL;
    }
    return rc;
}

void slm_pairs_free(slm_pairs *p)
{
    if (!p)
        return;
    slm_free(p->rt, p->ids);
    slm_free(p->rt, p->pair);
    slm_free(p->rt, p);
}

int slm_pairs_count(const slm_pairs *p) { return (int)p->n; }

/* The texts one behind the other, and which of their tokens are answers. */
static void lay(const slm_pairs *p, int32_t *ids, uint8_t *learn, struct slm_doc *docs)
{
    for (size_t i = 0; i < 2 * p->n; i++) {
        const struct slm_pair *q = &p->pair[i / 2];
        struct slm_ids_at a = q->prompt, b = q->answer[i % 2];
        memcpy(ids, p->ids + a.at, (size_t)a.n * sizeof *ids);
        memcpy(ids + a.n, p->ids + b.at, (size_t)b.n * sizeof *ids);
        memset(learn, 0, (size_t)a.n);
        memset(learn + a.n, 1, (size_t)b.n);
        docs[i] = (struct slm_doc){.ids = ids,
                                   .learn = learn,
                                   .n = a.n + b.n,
                                   .targets = b.n,
                                   .label = i % 2 == 0,
                                   .row = (int64_t)i / 2};
        ids += a.n + b.n;
        learn += a.n + b.n;
    }
}

int slm_pairs_tokens(slm_tokens **out, const slm_pairs *p, slm_err *err)
{
    size_t all = 0, n = 2 * p->n;
    for (size_t i = 0; i < p->n; i++)
        all += 2 * (size_t)p->pair[i].prompt.n + (size_t)p->pair[i].answer[0].n +
               (size_t)p->pair[i].answer[1].n;
    int32_t *ids = slm_alloc_n(p->rt, SLM_MEM_USER, all, sizeof *ids);
    uint8_t *learn = slm_alloc(p->rt, SLM_MEM_USER, all);
    struct slm_doc *docs = slm_alloc_n(p->rt, SLM_MEM_USER, n, sizeof *docs);
    slm_tokens_info like = {.kind = SLM_TOKENS_PAIR, .vocab = p->vocab};
    int rc = ids && learn && docs ? 0 : slm_fail_mem(err, "pairs", all * 5);
    if (!rc) {
        lay(p, ids, learn, docs);
        rc = slm_tokens_from_docs(out, p->rt, docs, (int64_t)n, &like, err);
    }
    slm_free(p->rt, docs);
    slm_free(p->rt, learn);
    slm_free(p->rt, ids);
    return rc;
}
