/* The filters: each takes candidates away by its paper's definition. What the order of
 * candidates needs, a heap gives lazily: top-p over 128 thousand candidates pops the few it
 * keeps instead of sorting all, and a total order (ties by id) makes the result the same
 * however it came about. Sums run in double in the order of the list. */
#include "generate/sample.h"

#include <float.h>
#include <math.h>
#include <string.h>

static void sift(struct slm_cand *c, int n, int i)
{
    struct slm_cand x = c[i];
    for (int k; (k = 2 * i + 1) < n; i = k) {
        if (k + 1 < n && slm_cand_before(c[k + 1], c[k]))
            k++;
        if (!slm_cand_before(c[k], x))
            break;
        c[i] = c[k];
    }
    c[i] = x;
}

void slm_heap_make(struct slm_cand *c, int n)
{
    for (int i = n / 2; i-- > 0;)
        sift(c, n, i);
}

void slm_heap_pop(struct slm_cand *c, int *n)
{
    struct slm_cand top = c[0];
    int m = --*n;
    c[0] = c[m];
    c[m] = top;
    sift(c, m, 0);
}

/* k candidates were popped off a heap of n and lie, best last, at the end: puts them in front.
 */
static void take_popped(struct slm_cands *s, int k)
{
    for (int i = 0, j = s->n - 1; i < j && i < k; i++, j--) {
        struct slm_cand t = s->c[i];
        s->c[i] = s->c[j];
        s->c[j] = t;
    }
    s->n = k;
    s->sorted = true;
}

int slm_cands_best(const struct slm_cands *s)
{
    int best = 0;
    for (int i = 1; i < s->n && !s->sorted; i++)
        if (slm_cand_before(s->c[i], s->c[best]))
            best = i;
    return best;
}

/* Sum over all of exp(logit - max); *max is the largest logit. */
static double mass(const struct slm_cands *s, double *max)
{
    double sum = 0;
    *max = (double)s->c[slm_cands_best(s)].logit;
    for (int i = 0; i < s->n; i++)
        sum += exp((double)s->c[i].logit - *max);
    return sum;
}

/* A heap whose top comes last in the order: what a better candidate would replace. */
static void sift_worst(struct slm_cand *c, int n, int i)
{
    struct slm_cand x = c[i];
    for (int k; (k = 2 * i + 1) < n; i = k) {
        if (k + 1 < n && slm_cand_before(c[k], c[k + 1]))
            k++;
        if (!slm_cand_before(x, c[k]))
            break;
        c[i] = c[k];
    }
    c[i] = x;
}

/* Leaves the best k of more, in no order: one pass that seldom does more than compare. */
static void select_best(struct slm_cands *s, int k)
{
    struct slm_cand *c = s->c;
    for (int i = k / 2; i-- > 0;)
        sift_worst(c, k, i);
    for (int i = k; i < s->n; i++)
        if (slm_cand_before(c[i], c[0])) {
            c[0] = c[i];
            sift_worst(c, k, 0);
        }
    s->n = k;
}

void slm_filter_top_k(struct slm_cands *s, int k)
{
    if (k <= 0)
        return;
    if (s->sorted) {
        s->n = k < s->n ? k : s->n;
        return;
    }
    if (k > s->n)
        k = s->n;
    if (k < s->n)
        select_best(s, k);
    int left = k;
    slm_heap_make(s->c, left);
    while (left)
        slm_heap_pop(s->c, &left);
    take_popped(s, k);
}

void slm_filter_top_p(struct slm_cands *s, float p, int min_keep)
{
    if (p >= 1 || s->n < 2)
        return;
    double max, sum = mass(s, &max), want = (double)p * sum, got = 0;
    int left = s->n, k = 0;
    if (!s->sorted)
        slm_heap_make(s->c, left);
    while (k < s->n && (k < min_keep || k < 1 || got < want)) {
        if (!s->sorted)
            slm_heap_pop(s->c, &left);
        got += exp((double)s->c[s->sorted ? k : left].logit - max);
        k++;
    }
    if (s->sorted)
        s->n = k;
    else
        take_popped(s, k);
}

void slm_filter_min_p(struct slm_cands *s, float p, int min_keep)
{
    if (p <= 0 || s->n < 2)
        return;
    double least = (double)s->c[slm_cands_best(s)].logit + log((double)p);
    int n = 0;
    for (int i = 0; i < s->n; i++)
        n += (double)s->c[i].logit >= least;
    if (n < min_keep) {
        slm_filter_top_k(s, min_keep);
        return;
    }
    n = 0;
    for (int i = 0; i < s->n; i++)
        if ((double)s->c[i].logit >= least)
            s->c[n++] = s->c[i];
    s->n = n;
}

/* Meister et al., "Locally Typical Sampling": those whose surprise is nearest the entropy,
 * until their probabilities add up to p. The order of the list stays. */
void slm_filter_typical(struct slm_cands *s, float p, int min_keep)
{
    if (p >= 1 || s->n < 2)
        return;
    double max, sum = mass(s, &max), entropy = 0, got = 0;
    for (int i = 0; i < s->n; i++) {
        double l = (double)s->c[i].logit - max - log(sum), q = exp(l);
        entropy -= q > 0 ? q * l : 0;
    }
    int left = s->n, k = 0;
    for (int i = 0; i < s->n; i++) {
        double l = (double)s->c[i].logit - max - log(sum);
        s->key[i].logit = -(float)fabs(-l - entropy);
        s->key[i].id = i;
    }
    slm_heap_make(s->key, left);
    while (k < s->n && (k < min_keep || got <= (double)p)) {
        slm_heap_pop(s->key, &left);
        got += exp((double)s->c[s->key[left].id].logit - max) / sum;
        k++;
    }
    /* the chosen by index again, so that the list keeps its order */
    for (int i = left; i < s->n; i++)
        s->key[i].logit = 0;
    slm_heap_make(s->key + left, k);
    for (int n = k; n > 0;)
        slm_heap_pop(s->key + left, &n);
    int total = s->n;
    for (int i = 0; i < k; i++)
        s->c[i] = s->c[s->key[total - 1 - i].id];
    s->n = k;
}

void slm_filter_xtc(struct slm_cands *s, float threshold, int min_keep)
{
    if (s->n < 2)
        return;
    double max, sum = mass(s, &max), least = (double)threshold * sum;
    int above = 0, last = -1;
    for (int i = 0; i < s->n; i++)
        if (exp((double)s->c[i].logit - max) >= least) {
            above++;
            if (last < 0 || slm_cand_before(s->c[last], s->c[i]))
                last = i;
        }
    if (above < 2 || s->n - (above - 1) < min_keep)
        return;
    int n = 0;
    for (int i = 0; i < s->n; i++)
        if (i == last || !(exp((double)s->c[i].logit - max) >= least))
            s->c[n++] = s->c[i];
    s->n = n;
}

void slm_filter_temperature(struct slm_cands *s, float temp)
{
    for (int i = 0; i < s->n; i++) {
        float l = s->c[i].logit / temp;
        s->c[i].logit = l > FLT_MAX ? FLT_MAX : l < -FLT_MAX ? -FLT_MAX : l;
    }
}

/* Basu et al., "Mirostat", algorithm 2. */
void slm_filter_mirostat(struct slm_cands *s, double mu)
{
    double max, sum = mass(s, &max);
    int n = 0, best = slm_cands_best(s);
    struct slm_cand top = s->c[best];
    for (int i = 0; i < s->n; i++)
        if (-((double)s->c[i].logit - max - log(sum)) / log(2.0) <= mu)
            s->c[n++] = s->c[i];
    if (!n)
        s->c[n++] = top;
    s->n = n;
}

int slm_cands_pick(const struct slm_cands *s, double u, double *p)
{
    double max, sum = mass(s, &max), at = 0, want = u * sum;
    int last = 0;
    for (int i = 0; i < s->n; i++) {
        double e = exp((double)s->c[i].logit - max);
        if (!(e > 0))
            continue;
        last = i;
        at += e;
        if (at > want)
            break;
    }
    if (p)
        *p = exp((double)s->c[last].logit - max) / sum;
    return last;
}
