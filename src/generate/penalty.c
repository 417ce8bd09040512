/* Penalties on what was said before: on single tokens (repetition, presence, frequency) and on
 * the token that would carry a repeated sequence further (DRY). Both keep their window as they
 * go, so a token costs the same at any length. */
#include "generate/sample.h"

#include <math.h>
#include <string.h>

void slm_penalty_accept(struct slm_penalty *p, int32_t id)
{
    if (!p->counts || !p->window)
        return;
    if (p->window > 0) {
        if (p->len == p->window)
            p->counts[p->ring[p->at]]--;
        else
            p->len++;
        p->ring[p->at] = id;
        p->at = p->at + 1 == p->window ? 0 : p->at + 1;
    }
    p->counts[id] += p->counts[id] < INT32_MAX;
}

void slm_penalty_forget(struct slm_penalty *p, int n_vocab)
{
    p->len = p->at = 0;
    if (p->counts)
        memset(p->counts, 0, (size_t)n_vocab * sizeof *p->counts);
}

/* Repetition after Keskar et al. (CTRL), with negative logits multiplied; presence and
 * frequency as OpenAI's API defines them. */
void slm_penalty_apply(const struct slm_penalty *p, struct slm_cands *s,
                       const slm_sampler_opts *o)
{
    if (!p->counts || !p->window)
        return;
    bool hit = false;
    for (int i = 0; i < s->n; i++) {
        int32_t n = p->counts[s->c[i].id];
        if (!n)
            continue;
        float l = s->c[i].logit;
        l = l <= 0 ? l * o->repeat_penalty : l / o->repeat_penalty;
        s->c[i].logit = l - (float)n * o->frequency_penalty - o->presence_penalty;
        hit = true;
    }
    s->sorted = s->sorted && !hit;
}

void slm_dry_accept(struct slm_dry *d, int32_t id)
{
    if (!d->hist)
        return;
    if (d->len == 2 * d->window) {
        memmove(d->hist, d->hist + d->window, (size_t)d->window * sizeof *d->hist);
        d->len = d->window;
    }
    d->hist[d->len++] = id;
}

/* The i-th token from the end. */
static int32_t back(const struct slm_dry *d, int i) { return d->hist[d->len - 1 - i]; }

/* How many of the last n tokens stand behind the last breaker. */
static int since_breaker(const struct slm_dry *d, int n)
{
    for (int i = 0; i < n; i++) {
        int32_t id = back(d, i);
        int longest = d->breaks[id] & SLM_BREAK_WHOLE ? 0 : -1;
        for (size_t m = 0; d->breaks[id] & SLM_BREAK_HEAD && m < d->n_multi; m++) {
            const struct slm_breaker *b = &d->multi[m];
            if (b->head != id || b->n <= longest || b->n > i)
                continue;
            int k = 0;
            while (k < b->n && b->tail[k] == back(d, i - k - 1))
                k++;
            if (k == b->n)
                longest = b->n;
        }
        if (longest >= 0)
            return i - longest;
    }
    return n;
}

/* z[k] = length of the longest common prefix of the reversed history with itself from k on: how
 * far the text that ended k tokens ago agrees, backwards, with the text's end. Gusfield's Z
 * algorithm, linear in n. */
static void match_lengths(const struct slm_dry *d, int n)
{
    int32_t *z = d->z;
    z[0] = n;
    for (int k = 1, left = 0, right = 0; k < n; k++) {
        int len = 0;
        if (k < right)
            len = z[k - left] < right - k ? z[k - left] : right - k;
        while (k + len < n && back(d, len) == back(d, k + len))
            len++;
        z[k] = len;
        if (k + len > right) {
            left = k;
            right = k + len;
        }
    }
}

void slm_dry_apply(struct slm_dry *d, struct slm_cands *s)
{
    int n = d->len < d->window ? d->len : d->window;
    if (!d->hist || n <= d->allowed)
        return;
    int limit = since_breaker(d, n);
    if (limit < d->allowed)
        return;
    match_lengths(d, n);
    for (int k = 1; k < n; k++) {
        int32_t len = d->z[k] < limit ? d->z[k] : limit, next = back(d, k - 1);
        if (len >= d->allowed && len > d->longest[next])
            d->longest[next] = len;
    }
    /* larger exponents would leave float's range */
    double most = d->base > 1.000001f ? 88.7 / log((double)d->base) : HUGE_VAL;
    bool hit = false;
    for (int i = 0; i < s->n; i++) {
        int32_t id = s->c[i].id, len = d->longest[id];
        if (!len || d->breaks[id] & SLM_BREAK_WHOLE)
            continue;
        double e = len - d->allowed;
        s->c[i].logit -=
            (float)((double)d->multiplier * pow((double)d->base, e < most ? e : most));
        hit = true;
    }
    s->sorted = s->sorted && !hit;
    for (int k = 1; k < n; k++)
        d->longest[back(d, k - 1)] = 0;
}
