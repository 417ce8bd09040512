/* Packing. Best fit, longest first: units by falling length, each into the row with the least
 * room that still holds it; within 11/9 of the best possible (Johnson 1973), and what trainers
 * of language models use. Rows with the same room left form a stack, a bit a stack tells which
 * are there, so a unit finds its row in a few words.
 *
 * Lengths are the same in every epoch, so the number of rows is too; which units of the same
 * length meet, and the order of the rows, differ. */
#include "data/pack.h"

#include <string.h>

#define NONE UINT32_MAX

int slm_pack_length(const struct pack *p, uint32_t unit)
{
    struct slm_doc d;
    int n = 0;
    for (int i = 0; i < p->per; i++) {
        slm_tokens_doc(p->t, (int64_t)unit * p->per + i, &d);
        n += d.n;
    }
    return n;
}

static int take_memory(struct pack *p, slm_err *err)
{
    size_t n = p->units;
    bool ok = (p->unit = slm_alloc_n(p->rt, SLM_MEM_DATA, n, 4)) != NULL;
    ok = ok && (p->first = slm_alloc_n(p->rt, SLM_MEM_DATA, n + 1, 4));
    if (p->how == SLM_PACK_WRAPPED)
        ok = ok && (p->before = slm_alloc_n(p->rt, SLM_MEM_DATA, n + 1, 8));
    if (p->how == SLM_PACK_BEST_FIT) {
        for (int i = 0; i < 3; i++)
            ok = ok && (p->work[i] = slm_alloc_n(p->rt, SLM_MEM_DATA, n, 4));
        ok = ok && (p->by_room = slm_alloc_n(p->rt, SLM_MEM_DATA, (size_t)p->room + 2, 4));
        ok = ok && (p->some = slm_alloc_n(p->rt, SLM_MEM_DATA, (size_t)p->room / 64 + 1, 8));
    }
    size_t rows = p->how == SLM_PACK_WRAPPED ? p->rows : n;
    ok = ok && (p->row = slm_alloc_n(p->rt, SLM_MEM_DATA, rows, 4));
    return ok ? 0 : slm_fail_mem(err, "plan of the batches", n * 24);
}

int slm_pack_init(struct pack *p, slm_runtime *rt, const slm_tokens *t, const slm_feed_opts *o,
                  slm_err *err)
{
    slm_tokens_info info;
    slm_tokens_info_get(t, &info);
    *p = (struct pack){.rt = rt, .t = t, .per = info.kind == SLM_TOKENS_PAIR ? 2 : 1};
    p->how = o->pack;
    p->room = o->seq * p->per;
    p->tokens = (uint64_t)info.ids;
    if (info.docs / p->per >= NONE)
        return slm_fail(err, SLM_E_LIMIT, "%lld documents, at most %u", (long long)info.docs,
                        NONE - 1);
    p->units = (uint32_t)(info.docs / p->per);
    if (!p->units)
        return slm_fail(err, SLM_E_ARG, "the data has no document");
    if (p->how == SLM_PACK_WRAPPED) {
        uint64_t rows = (p->tokens + (uint64_t)p->room - 1) / (uint64_t)p->room;
        if (p->per > 1)
            return slm_fail(err, SLM_E_ARG,
                            "pairs cannot be wrapped: their answers would be "
                            "parted");
        if (rows >= NONE)
            return slm_fail(err, SLM_E_LIMIT, "%llu rows, at most %u", (unsigned long long)rows,
                            NONE - 1);
        p->rows = (uint32_t)rows;
    }
    for (int64_t i = 0; i < info.docs && p->how != SLM_PACK_WRAPPED && info.longest > o->seq;
         i++) {
        struct slm_doc d;
        slm_tokens_doc(t, i, &d);
        if (d.n > o->seq)
            return slm_fail(err, SLM_E_ARG,
                            "row %lld of the data has %d tokens, more than a row of %d holds",
                            (long long)d.row + 1, d.n, o->seq);
    }
    return take_memory(p, err);
}

void slm_pack_release(struct pack *p)
{
    if (!p->rt)
        return;
    void *all[] = {p->unit,    p->first,   p->row,     p->before, p->work[0],
                   p->work[1], p->work[2], p->by_room, p->some};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        slm_free(p->rt, all[i]);
    *p = (struct pack){0};
}

static void order(uint32_t *v, uint32_t n, bool shuffle, struct slm_rng *rng)
{
    for (uint32_t i = 0; i < n; i++)
        v[i] = i;
    for (uint32_t i = n; shuffle && i > 1; i--) {
        uint32_t k = (uint32_t)slm_rng_below(rng, i), x = v[i - 1];
        v[i - 1] = v[k];
        v[k] = x;
    }
}

/* The units in `from`, longest first, those of one length in the order they had. */
static void sort_by_length(struct pack *p, const uint32_t *from, uint32_t *to)
{
    uint32_t *at = p->by_room, sum = 0;
    memset(at, 0, ((size_t)p->room + 2) * sizeof *at);
    for (uint32_t i = 0; i < p->units; i++)
        at[slm_pack_length(p, from[i])]++;
    for (int len = p->room; len >= 0; len--) {
        uint32_t n = at[len];
        at[len] = sum;
        sum += n;
    }
    for (uint32_t i = 0; i < p->units; i++)
        to[at[slm_pack_length(p, from[i])]++] = from[i];
}

/* The least room >= len that some row has, or -1. */
static int least_room(const struct pack *p, int len)
{
    int words = p->room / 64 + 1, w = len / 64;
    uint64_t bits = p->some[w] & ~(uint64_t)0 << len % 64;
    while (!bits && ++w < words)
        bits = p->some[w];
    return bits ? w * 64 + __builtin_ctzll(bits) : -1;
}

static void push(struct pack *p, uint32_t *next, uint32_t row, int room)
{
    next[row] = p->by_room[room];
    p->by_room[room] = row;
    p->some[room / 64] |= (uint64_t)1 << room % 64;
}

static uint32_t pop(struct pack *p, const uint32_t *next, int room)
{
    uint32_t row = p->by_room[room];
    p->by_room[room] = next[row];
    if (next[row] == NONE)
        p->some[room / 64] &= ~((uint64_t)1 << room % 64);
    return row;
}

/* work[0]: the units by length; work[1]: the row each goes to; work[2]: next row of a stack. */
static void best_fit(struct pack *p)
{
    uint32_t *sorted = p->work[0], *row_of = p->work[1], *next = p->work[2];
    sort_by_length(p, p->unit, sorted);
    memset(p->some, 0, ((size_t)p->room / 64 + 1) * sizeof *p->some);
    for (int i = 0; i <= p->room; i++)
        p->by_room[i] = NONE;
    p->rows = 0;
    for (uint32_t i = 0; i < p->units; i++) {
        int len = slm_pack_length(p, sorted[i]), room = least_room(p, len);
        uint32_t row = room < 0 ? p->rows++ : pop(p, next, room);
        row_of[i] = row;
        push(p, next, row, (room < 0 ? p->room : room) - len);
    }
    memset(p->first, 0, ((size_t)p->rows + 1) * sizeof *p->first);
    for (uint32_t i = 0; i < p->units; i++)
        p->first[row_of[i] + 1]++;
    for (uint32_t i = 0; i < p->rows; i++)
        p->first[i + 1] += p->first[i];
    for (uint32_t i = 0; i < p->rows; i++)
        next[i] = p->first[i];
    for (uint32_t i = 0; i < p->units; i++)
        p->unit[next[row_of[i]]++] = sorted[i];
}

void slm_pack_plan(struct pack *p, bool shuffle, uint64_t seed, uint64_t epoch)
{
    struct slm_rng rng;
    slm_rng_init(&rng, seed ^ (epoch + 1) * 0x9e3779b97f4a7c15u);
    order(p->unit, p->units, shuffle, &rng);
    if (p->how == SLM_PACK_BEST_FIT) {
        best_fit(p);
    } else if (p->how == SLM_PACK_NONE) {
        p->rows = p->units;
        for (uint32_t i = 0; i <= p->units; i++)
            p->first[i] = i;
    } else {
        p->before[0] = 0;
        for (uint32_t i = 0; i < p->units; i++)
            p->before[i + 1] = p->before[i] + (uint64_t)slm_pack_length(p, p->unit[i]);
    }
    order(p->row, p->rows, shuffle, &rng);
}
