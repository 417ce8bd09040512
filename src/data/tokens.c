/* Token stores: mapped for reading, so that data larger than memory streams and a batch needs
 * nothing but its number. The table is checked on opening; ids are checked as they are fed. */
#include "data/tokens.h"

#include <string.h>

static const char magic[8] = "slm-tok1";

static int bad(slm_err *err, const char *path, const char *what)
{
    return slm_fail(err, SLM_E_FORMAT, "%s: %s", path, what);
}

static int check_head(const slm_tokens *t, const char *path, slm_err *err)
{
    const struct tokens_head *h = &t->head;
    if (t->map.size < sizeof *h || memcmp(h->magic, magic, 8))
        return bad(err, path, "is no store of tokens");
    if (h->size != t->map.size)
        return bad(err, path, "the store of tokens is cut short");
    if (h->kind > SLM_TOKENS_JUDGED || h->vocab <= 0 || h->hash[32] || h->table % 8 ||
        h->table < sizeof *h || h->table > h->size ||
        h->docs > (h->size - h->table) / sizeof(struct tokens_entry) || h->note > h->size ||
        h->note_n > h->size - h->note || (h->kind == SLM_TOKENS_PAIR && h->docs % 2))
        return bad(err, path, "the head of the store of tokens is damaged");
    return 0;
}

static int check_table(slm_tokens *t, const char *path, slm_err *err)
{
    uint64_t end = t->head.table, ids = 0, targets = 0;
    for (uint64_t i = 0; i < t->head.docs; i++) {
        const struct tokens_entry *e = &t->entry[i];
        if (e->at % 4 || e->at < sizeof t->head || e->at > end || !e->n || e->n > INT32_MAX ||
            (uint64_t)e->n * 5 > end - e->at || e->targets > e->n || e->label > 1)
            return bad(err, path, "the table of the store of tokens is damaged");
        ids += e->n;
        targets += e->targets;
        if ((int)e->n > t->longest)
            t->longest = (int)e->n;
    }
    return ids == t->head.ids && targets == t->head.targets
               ? 0
               : bad(err, path, "the table of the store of tokens is damaged");
}

int slm_tokens_open(slm_tokens **out, slm_runtime *rt, const char *path, slm_err *err)
{
    *out = NULL;
    slm_tokens *t = slm_zalloc(rt, SLM_MEM_DATA, sizeof *t);
    if (!t)
        return slm_fail_mem(err, "store of tokens", sizeof *t);
    t->rt = rt;
    int rc = slm_map_open(&t->map, path, err);
    if (!rc) {
        if (t->map.size >= sizeof t->head)
            memcpy(&t->head, t->map.data, sizeof t->head);
        rc = check_head(t, path, err);
    }
    if (!rc) {
        t->base = t->map.data;
        t->entry = (const struct tokens_entry *)(const void *)(t->base + t->head.table);
        rc = check_table(t, path, err);
    }
    if (!rc && !(t->note = slm_alloc(rt, SLM_MEM_DATA, t->head.note_n + 1)))
        rc = slm_fail_mem(err, "store of tokens", t->head.note_n);
    if (rc) {
        slm_tokens_close(&t);
        return rc;
    }
    memcpy(t->note, t->base + t->head.note, t->head.note_n);
    t->note[t->head.note_n] = 0;
    *out = t;
    return 0;
}

int slm_tokens_from_ids(slm_tokens **out, slm_runtime *rt, const int32_t *ids, size_t n,
                        int seq, int vocab, slm_err *err)
{
    *out = NULL;
    if (seq < 2 || n < (size_t)seq)
        return slm_fail(err, SLM_E_ARG, "%zu ids are less than one row of %d", n, seq);
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= vocab)
            return slm_fail(err, SLM_E_ARG,
                            "id %d at place %zu is outside the vocabulary of %d", (int)ids[i],
                            i, vocab);
    size_t docs = n / (size_t)seq, row = ((size_t)seq * 5 + 3) & ~(size_t)3;
    slm_tokens *t = slm_zalloc(rt, SLM_MEM_DATA, sizeof *t);
    if (t) {
        t->rt = rt;
        t->own = slm_zalloc_n(rt, SLM_MEM_DATA, docs, row);
        t->own_entry = slm_zalloc_n(rt, SLM_MEM_DATA, docs, sizeof *t->own_entry);
    }
    if (!t || !t->own || !t->own_entry) {
        slm_tokens_close(&t);
        return slm_fail_mem(err, "store of tokens", docs * row);
    }
    for (size_t i = 0; i < docs; i++) {
        memcpy(t->own + i * row, ids + i * (size_t)seq, (size_t)seq * sizeof *ids);
        memset(t->own + i * row + (size_t)seq * 4 + 1, 1, (size_t)seq - 1);
        t->own_entry[i] =
            (struct tokens_entry){i * row, (int64_t)i, (uint32_t)seq, (uint32_t)seq - 1, 1, 0};
    }
    t->base = t->own;
    t->entry = t->own_entry;
    t->longest = seq;
    t->head = (struct tokens_head){.kind = SLM_TOKENS_TEXT,
                                   .vocab = vocab,
                                   .docs = docs,
                                   .ids = docs * (size_t)seq,
                                   .targets = docs * (size_t)(seq - 1)};
    *out = t;
    return 0;
}

void slm_tokens_close(slm_tokens **tokens)
{
    slm_tokens *t = *tokens;
    if (!t)
        return;
    slm_map_close(&t->map);
    slm_free(t->rt, t->own);
    slm_free(t->rt, t->own_entry);
    slm_free(t->rt, t->note);
    slm_free(t->rt, t);
    *tokens = NULL;
}

int64_t slm_tokens_docs(const slm_tokens *t) { return (int64_t)t->head.docs; }

void slm_tokens_doc(const slm_tokens *t, int64_t i, struct slm_doc *out)
{
    SLM_ASSERT(i >= 0 && (uint64_t)i < t->head.docs);
    const struct tokens_entry *e = &t->entry[i];
    *out = (struct slm_doc){.ids = (const int32_t *)(const void *)(t->base + e->at),
                            .learn = t->base + e->at + (size_t)e->n * 4,
                            .n = (int)e->n,
                            .targets = (int)e->targets,
                            .label = (int)e->label,
                            .row = e->row};
}

void slm_tokens_info_get(const slm_tokens *t, slm_tokens_info *out)
{
    *out = (slm_tokens_info){.kind = (enum slm_tokens_kind)t->head.kind,
                             .vocab = t->head.vocab,
                             .longest = t->longest,
                             .docs = (int64_t)t->head.docs,
                             .ids = (int64_t)t->head.ids,
                             .targets = (int64_t)t->head.targets,
                             .hash = t->head.hash,
                             .note = t->note ? t->note : ""};
}

/* ---- writing ---- */

int slm_tokens_out_open(struct slm_tokens_out *o, slm_runtime *rt, const char *path,
                        enum slm_tokens_kind kind, int vocab, slm_err *err)
{
    *o = (struct slm_tokens_out){.rt = rt, .head = {.kind = kind, .vocab = vocab}};
    memcpy(o->head.magic, magic, 8);
    o->dry = !path;
    if (o->dry)
        return 0;
    int rc = slm_out_open(&o->out, rt, path, err);
    return rc ? rc : slm_out_write(&o->out, &o->head, sizeof o->head, err);
}

int slm_tokens_out_doc(struct slm_tokens_out *o, const struct slm_doc *d, slm_err *err)
{
    static const uint8_t zero[8];
    uint32_t targets = 0;
    for (int i = 1; i < d->n; i++)
        targets += d->learn[i];
    if (slm_grow(o->rt, SLM_MEM_DATA, (void **)&o->entry, o->head.docs, &o->cap,
                 sizeof *o->entry))
        return slm_fail_mem(err, "table of documents", o->cap * sizeof *o->entry);
    o->entry[o->head.docs++] =
        (struct tokens_entry){o->out.size, d->row, (uint32_t)d->n, targets, d->label != 0, 0};
    o->head.ids += (uint64_t)d->n;
    o->head.targets += targets;
    int rc = o->dry ? 0 : slm_out_write(&o->out, d->ids, (size_t)d->n * 4, err);
    if (!rc && !o->dry)
        rc = slm_out_write(&o->out, d->learn, (size_t)d->n, err);
    return rc || o->dry ? rc : slm_out_write(&o->out, zero, -(size_t)d->n & 3, err);
}

int slm_tokens_out_commit(struct slm_tokens_out *o, const char *hash, const char *note,
                          slm_err *err)
{
    static const uint8_t zero[8];
    struct tokens_head *h = &o->head;
    int rc = slm_out_write(&o->out, zero, -(size_t)o->out.size & 7, err);
    h->table = o->out.size;
    if (!rc && h->docs)
        rc = slm_out_write(&o->out, o->entry, h->docs * sizeof *o->entry, err);
    h->note = o->out.size;
    h->note_n = note ? strlen(note) : 0;
    if (!rc)
        rc = slm_out_write(&o->out, note ? note : "", h->note_n, err);
    h->size = o->out.size;
    memcpy(h->hash, hash, 32);
    if (!rc)
        rc = slm_out_patch(&o->out, 0, h, sizeof *h, err);
    return rc ? rc : slm_out_commit(&o->out, err);
}

void slm_tokens_out_close(struct slm_tokens_out *o)
{
    if (o->entry)
        slm_free(o->rt, o->entry);
    o->entry = NULL;
    slm_out_close(&o->out);
}
