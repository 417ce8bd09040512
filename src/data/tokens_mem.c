/* Token stores in memory, of documents that someone has at hand. */
#include <stdio.h>
#include <string.h>

#include "data/tokens.h"

static int check(const struct slm_doc *d, int64_t i, int vocab, slm_err *err)
{
    int targets = 0;
    for (int k = 0; k < d->n; k++) {
        targets += k > 0 && d->learn[k];
        if (d->ids[k] < 0 || d->ids[k] >= vocab)
            return slm_fail(err, SLM_E_ARG,
                            "document %lld: id %d is outside the vocabulary of %d",
                            (long long)i, (int)d->ids[k], vocab);
    }
    return targets
               ? 0
               : slm_fail(err, SLM_E_ARG, "document %lld has nothing to learn", (long long)i);
}

static size_t room(const struct slm_doc *d) { return ((size_t)d->n * 5 + 3) & ~(size_t)3; }

static uint64_t fnv(uint64_t h, const void *p, size_t n)
{
    const uint8_t *s = p;
    for (size_t i = 0; i < n; i++)
        h = (h ^ s[i]) * 0x100000001b3u;
    return h;
}

static void put(slm_tokens *t, int64_t i, const struct slm_doc *d, size_t at)
{
    uint8_t *to = t->own + at, *learn = to + (size_t)d->n * sizeof *d->ids;
    uint32_t targets = 0;
    memcpy(to, d->ids, (size_t)d->n * sizeof *d->ids);
    for (int k = 0; k < d->n; k++) {
        learn[k] = k > 0 && d->learn[k];
        targets += learn[k];
    }
    t->own_entry[i] =
        (struct tokens_entry){at, d->row, (uint32_t)d->n, targets, (uint32_t)d->label, 0};
    t->longest = d->n > t->longest ? d->n : t->longest;
    t->head.ids += (uint64_t)d->n;
    t->head.targets += targets;
}

int slm_tokens_from_docs(slm_tokens **out, slm_runtime *rt, const struct slm_doc *docs,
                         int64_t n, const slm_tokens_info *like, slm_err *err)
{
    size_t bytes = 0, at = 0;
    *out = NULL;
    if (n < 1 || (like->kind == SLM_TOKENS_PAIR && n % 2))
        return slm_fail(err, SLM_E_ARG, "%lld documents make no store", (long long)n);
    for (int64_t i = 0; i < n; i++) {
        int rc = check(&docs[i], i, like->vocab, err);
        if (rc)
            return rc;
        bytes += room(&docs[i]);
    }
    slm_tokens *t = slm_zalloc(rt, SLM_MEM_DATA, sizeof *t);
    if (t) {
        t->rt = rt;
        t->own = slm_zalloc(rt, SLM_MEM_DATA, bytes);
        t->own_entry = slm_zalloc_n(rt, SLM_MEM_DATA, (size_t)n, sizeof *t->own_entry);
    }
    if (!t || !t->own || !t->own_entry) {
        slm_tokens_close(&t);
        return slm_fail_mem(err, "store of tokens", bytes);
    }
    t->head =
        (struct tokens_head){.kind = like->kind, .vocab = like->vocab, .docs = (uint64_t)n};
    for (int64_t i = 0; i < n; i++, at += room(&docs[i - 1]))
        put(t, i, &docs[i], at);
    uint64_t h = fnv(0xcbf29ce484222325u, t->own, bytes),
             more = fnv(h, t->own_entry, (size_t)n * sizeof *t->own_entry);
    snprintf(t->head.hash, sizeof t->head.hash, "%016llx%016llx", (unsigned long long)h,
             (unsigned long long)more);
    t->base = t->own;
    t->entry = t->own_entry;
    *out = t;
    return 0;
}
