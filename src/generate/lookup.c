/* Two tables of chains, by the last four tokens and by the last two: the first finds good
 * places in few steps, the second what little there is where that finds none. No more than
 * TRIES places are looked at, so a token costs the same however long the text has become. */
#include "generate/lookup.h"

#include <string.h>

enum { TRIES = 16, LONGEST = 32 };
static const int order_of[SLM_LOOKUP_ORDERS] = {4, 2};

int slm_lookup_init(struct slm_lookup *l, slm_runtime *rt, int cap, slm_err *err)
{
    size_t room = (size_t)(cap < 1 ? 1 : cap), heads = 256;
    *l = (struct slm_lookup){.rt = rt, .cap = (int)room};
    while (heads < room && heads < (size_t)1 << 20)
        heads *= 2;
    l->mask = (uint32_t)heads - 1;
    l->ids = slm_alloc_n(rt, SLM_MEM_GENERATE, room, sizeof *l->ids);
    bool good = l->ids;
    for (int k = 0; k < SLM_LOOKUP_ORDERS; k++) {
        l->prev[k] = slm_alloc_n(rt, SLM_MEM_GENERATE, room + 1, sizeof *l->prev[k]);
        l->head[k] = slm_zalloc_n(rt, SLM_MEM_GENERATE, heads, sizeof *l->head[k]);
        good = good && l->prev[k] && l->head[k];
    }
    return good ? 0
                : slm_fail_mem(err, "prompt lookup", (room * 3 + heads * 2) * sizeof *l->ids);
}

void slm_lookup_release(struct slm_lookup *l)
{
    if (!l->rt)
        return;
    slm_free(l->rt, l->ids);
    for (int k = 0; k < SLM_LOOKUP_ORDERS; k++) {
        slm_free(l->rt, l->prev[k]);
        slm_free(l->rt, l->head[k]);
    }
    memset(l, 0, sizeof *l);
}

static int32_t *chain(const struct slm_lookup *l, int k)
{
    uint32_t h = 0;
    for (int i = l->n - order_of[k]; i < l->n; i++)
        h = (h ^ (uint32_t)l->ids[i]) * 0x9e3779b1u, h ^= h >> 15;
    return &l->head[k][h & l->mask];
}

void slm_lookup_add(struct slm_lookup *l, int32_t id)
{
    if (l->n == l->cap)
        return;
    l->ids[l->n++] = id;
    for (int k = 0; k < SLM_LOOKUP_ORDERS; k++)
        if (l->n >= order_of[k]) {
            int32_t *head = chain(l, k);
            l->prev[k][l->n] = *head;
            *head = l->n;
        }
}

/* How many tokens in front of place p are those at the end of all. */
static int agree(const struct slm_lookup *l, int p)
{
    int n = 0;
    while (n < LONGEST && n < p && l->ids[p - 1 - n] == l->ids[l->n - 1 - n])
        n++;
    return n;
}

int slm_lookup_find(const struct slm_lookup *l, int32_t *out, int most)
{
    int best = 0, at = 0;
    for (int k = 0; k < SLM_LOOKUP_ORDERS && !best && l->n < l->cap; k++) {
        if (l->n < order_of[k])
            continue;
        int p = l->prev[k][l->n];
        for (int i = 0; i < TRIES && p && best < LONGEST; i++, p = l->prev[k][p]) {
            int n = agree(l, p);
            if (n > best && n >= order_of[k]) {
                best = n;
                at = p;
            }
        }
    }
    /* past the end of what there is, it goes on with itself: a text in a circle */
    for (int i = 0; best && i < most; i++)
        out[i] = at + i < l->n ? l->ids[at + i] : out[at + i - l->n];
    return best;
}
