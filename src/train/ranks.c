/* Several ranks as one run. Each parameter has an owner, who keeps its states and steps it; all
 * ranks hold all values. The way back tells layer by layer that gradients are whole: from there
 * on they are added up at their owners while it goes on. Every rank asks for the same things in
 * the same order, whatever goes wrong on one: trouble is agreed on behind it, so that none
 * waits for another that is gone. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/train_in.h"

/* ---- owners ---- */

/* "blk.12.attn_q.weight": 12 */
static int layer_of(const char *name)
{
    const char *s = strstr(name, "blk.");
    char *end = NULL;
    long layer = s ? strtol(s + 4, &end, 10) : -1;
    return s && end != s + 4 && layer < 1 << 20 ? (int)layer : -1;
}

/* The largest first, each to who has least. */
static int assign(slm_train *t, uint64_t *load, slm_err *err)
{
    struct slm_params *p = &t->params;
    int n = t->sharing.r->n;
    bool *given = slm_arena_alloc_n(&t->arena, (size_t)p->n, sizeof *given);
    if (!given)
        return slm_fail_mem(err, "ranks", (size_t)p->n);
    for (int k = 0; k < p->n; k++) {
        int most = -1, least = 0;
        for (int i = 0; i < p->n; i++)
            if (!given[i] && (most < 0 || p->p[i].n > p->p[most].n))
                most = i;
        for (int i = 1; i < n; i++)
            least = load[i] < load[least] ? i : least;
        given[most] = true;
        load[least] += p->p[most].n;
        p->p[most].owner = least;
        p->p[most].away = least != t->sharing.r->rank;
        p->p[most].layer = layer_of(p->p[most].name);
    }
    return 0;
}

int slm_ranks_share(slm_train *t, slm_err *err)
{
    const slm_train_ranks *r = t->o.ranks;
    struct slm_sharing *s = &t->sharing;
    struct slm_params *p = &t->params;
    if (!r || r->n < 2)
        return 0;
    s->r = r;
    uint64_t *load = slm_arena_alloc_n(&t->arena, (size_t)r->n, sizeof *load);
    s->order = slm_arena_alloc_n(&t->arena, (size_t)p->n, sizeof *s->order);
    if (!load || !s->order)
        return slm_fail_mem(err, "ranks", (size_t)p->n * sizeof *s->order);
    int rc = assign(t, load, err), at = 0, top = -1;
    for (int i = 0; i < p->n && !rc; i++)
        top = p->p[i].layer > top ? p->p[i].layer : top;
    for (int layer = top; layer >= -1 && !rc; layer--)
        for (int i = 0; i < p->n; i++)
            if (p->p[i].layer == layer)
                s->order[at++] = i;
    return rc;
}

/* ---- agreeing ---- */

int slm_train_ranks_agree(const slm_train_ranks *r, int code, slm_err *err)
{
    if (!r || r->n < 2)
        return code;
    char msg[sizeof err->msg] = "";
    double first[2] = {0, 0};
    /* which ranks are in trouble, 32 to a number that a double holds exactly */
    for (int from = 0; from < r->n && first[0] == 0; from += 32) {
        bool here = code && r->rank >= from && r->rank < from + 32;
        double set = here ? (double)(1u << (r->rank - from)) : 0;
        if (r->sum(r->arg, &set, 1))
            return slm_fail(err, SLM_E_IO, "rank %d: the others are out of reach", r->rank);
        for (int k = 0; k < 32 && first[0] == 0; k++)
            if ((uint64_t)set >> k & 1)
                first[0] = from + k + 1;
    }
    int who = (int)first[0] - 1;
    if (who < 0)
        return 0;
    if (who == r->rank) {
        const char *why = err ? err->msg : "";
        if (strncmp(why, "rank ", 5)) /* it may have been agreed on within already */
            snprintf(msg, sizeof msg, "rank %d: %.440s", who, why);
        else
            snprintf(msg, sizeof msg, "%s", why);
        first[1] = code;
    }
    if (r->spread(r->arg, msg, sizeof msg, who) || r->wait(r->arg) ||
        r->sum(r->arg, &first[1], 1))
        return slm_fail(err, SLM_E_IO, "rank %d: the others are out of reach", r->rank);
    return slm_fail(err, (int)first[1], "%s", msg);
}

int slm_ranks_agree(slm_train *t, int rc, slm_err *err)
{
    return slm_train_ranks_agree(t->sharing.r, rc, err);
}

bool slm_ranks_any(slm_train *t, bool yes)
{
    const slm_train_ranks *r = t->sharing.r;
    double n = yes;
    return r ? r->sum(r->arg, &n, 1) || n > 0 : yes;
}

int slm_ranks_sum(slm_train *t, int rc, double *x, size_t n, slm_err *err)
{
    const slm_train_ranks *r = t->sharing.r;
    rc = slm_ranks_agree(t, rc, err);
    if (!rc && r && (rc = r->sum(r->arg, x, n)))
        slm_fail(err, rc, "rank %d: the others are out of reach", r->rank);
    return rc;
}

/* Room for the largest state that is away. */
static int take_room(slm_train *t, slm_err *err)
{
    size_t most = 0;
    for (int i = 0; i < t->params.n; i++)
        if (t->params.p[i].away && t->params.p[i].state_bytes > most)
            most = t->params.p[i].state_bytes;
    t->sharing.state = slm_arena_alloc(&t->arena, most ? most : 1);
    return t->sharing.state ? 0 : slm_fail_mem(err, "states of other ranks", most);
}

int slm_ranks_same(slm_train *t, int rc, slm_err *err)
{
    const slm_train_ranks *r = t->sharing.r;
    if (!r)
        return rc;
    const slm_train_plan *p = &t->plan;
    uint64_t cut = (uint64_t)p->steps << 40 ^ (uint64_t)p->batch << 24 ^
                   (uint64_t)p->accumulate << 12 ^ (uint64_t)p->seq;
    uint64_t mine[] = {t->fingerprint, (uint64_t)t->step, t->params.elements, cut}, its[4];
    memcpy(its, mine, sizeof its);
    int talk = r->spread(r->arg, its, sizeof its, 0) || r->wait(r->arg);
    if (!rc && talk)
        rc = slm_fail(err, SLM_E_IO, "rank %d: the others are out of reach", r->rank);
    if (!rc && (its[0] != mine[0] || its[2] != mine[2]))
        rc = slm_fail(err, SLM_E_ARG, "has another model than rank 0");
    if (!rc && its[3] != mine[3])
        rc = slm_fail(err, SLM_E_ARG,
                      "has %lld steps of %d x %d rows of %d, rank 0 has others: give --batch",
                      (long long)p->steps, p->accumulate, p->batch, p->seq);
    if (!rc && its[1] != mine[1])
        rc = slm_fail(err, SLM_E_ARG,
                      "sees a checkpoint of step %lld, rank 0 one of step %lld: %s must be a "
                      "folder that all ranks see",
                      (long long)mine[1], (long long)its[1], t->o.out ? t->o.out : "-o");
    if (!rc && r->rank == 0 && t->o.out)
        rc = take_room(t, err);
    return slm_ranks_agree(t, rc, err);
}

/* ---- gradients and values ---- */

static int begin(slm_train *t, int above)
{
    struct slm_sharing *s = &t->sharing;
    int rc = 0;
    for (; s->next < t->params.n && !rc; s->next++) {
        const struct slm_param *p = &t->params.p[s->order[s->next]];
        if (p->layer <= above)
            break;
        rc = s->r->reduce(s->r->arg, p->g, p->n, p->owner);
    }
    return rc;
}

/* A node of layer L goes back: the layers above it are done. */
static void on_back(void *arg, const slm_prog *p, const struct slm_node_info *node)
{
    slm_train *t = arg;
    (void)p;
    if (node->layer >= 0)
        begin(t, node->layer);
    t->sharing.r->progress(t->sharing.r->arg);
}

void slm_ranks_watch(slm_train *t, bool on)
{
    if (t->sharing.r)
        slm_prog_tap_back(t->prog, on ? on_back : NULL, on ? t : NULL);
}

int slm_ranks_reduce(slm_train *t, slm_err *err)
{
    const slm_train_ranks *r = t->sharing.r;
    if (!r)
        return 0;
    slm_ranks_watch(t, false);
    int rc = begin(t, -2), done = r->wait(r->arg);
    t->sharing.next = 0;
    for (int i = 0; i < t->params.n; i++) /* what is left there is a part of a sum */
        if (t->params.p[i].away)
            memset(t->params.p[i].g, 0, t->params.p[i].n * sizeof(float));
    return rc || done ? slm_fail(err, SLM_E_IO, "rank %d: the others are out of reach", r->rank)
                      : 0;
}

int slm_ranks_spread(slm_train *t, slm_err *err)
{
    const slm_train_ranks *r = t->sharing.r;
    int rc = 0;
    if (!r)
        return 0;
    for (int i = 0; i < t->params.n && !rc; i++) {
        const struct slm_param *p = &t->params.p[i];
        rc = r->spread(r->arg, p->v, p->n * sizeof *p->v, p->owner);
    }
    int done = r->wait(r->arg);
    return rc || done ? slm_fail(err, SLM_E_IO, "rank %d: the others are out of reach", r->rank)
                      : 0;
}

/* ---- states of a checkpoint ---- */

const uint8_t *slm_ranks_state(slm_train *t, int param, slm_err *err)
{
    struct slm_sharing *s = &t->sharing;
    const struct slm_param *p = &t->params.p[param];
    if (!s->r || !p->away)
        return t->optim.state + p->state;
    s->received = param + 1;
    if (s->r->move(s->r->arg, s->state, p->state_bytes, p->owner, 0)) {
        slm_fail(err, SLM_E_IO, "rank %d: out of reach", p->owner);
        return NULL;
    }
    return s->state;
}

int slm_ranks_drain(slm_train *t, slm_err *err)
{
    struct slm_sharing *s = &t->sharing;
    int rc = 0;
    for (int i = s->received; s->r && i < t->params.n && !rc; i++) {
        const struct slm_param *p = &t->params.p[i];
        if (s->r->rank == 0 && p->away)
            rc = s->r->move(s->r->arg, s->state, p->state_bytes, p->owner, 0);
        else if (s->r->rank == p->owner && p->owner != 0)
            rc = s->r->move(s->r->arg, t->optim.state + p->state, p->state_bytes, p->owner, 0);
    }
    s->received = 0;
    return rc ? slm_fail(err, SLM_E_IO, "rank %d: the others are out of reach", s->r->rank) : 0;
}
