/* Dealing. What each part should have of each label is settled first, part by part, the small
 * parts first: as much of the label as of all (largest remainders), which makes both sums
 * exact. A unit goes where it brings the squared distance from that down most, relative to its
 * size. */
#include "corpus/deal.h"

#include <math.h>
#include <string.h>

#include "corpus/grams.h"

void slm_deal_shares(int64_t *out, const double *share, int n, int64_t total)
{
    int64_t left = total;
    for (int i = 0; i < n; i++) {
        out[i] = (int64_t)floor(share[i] * (double)total + 1e-9);
        left -= out[i];
    }
    while (left > 0) {
        int best = -1;
        for (int i = 0; i < n; i++) {
            double lost = share[i] * (double)total - (double)out[i];
            if (share[i] > 0 &&
                (best < 0 || lost > share[best] * (double)total - (double)out[best] + 1e-9))
                best = i;
        }
        if (best < 0)
            return;
        out[best]++;
        left--;
    }
}

struct table {
    const struct slm_deal *d;
    int64_t *want; /* (parts, labels) */
    int64_t *have; /* (parts, labels) */
    int64_t *left; /* (labels) while want is made; rows of a unit by label */
    struct order { /* of units: by size, then by chance */
        uint64_t key;
        uint32_t row;
    } * order;
    size_t n_order;
    uint32_t *member, *begin; /* rows of units of many rows, and where each unit's begin */
};

static void swap(struct order *a, struct order *b)
{
    struct order t = *a;
    *a = *b;
    *b = t;
}

/* Heap sort, smallest key first: no memory, no bad case. */
static void sort(struct order *v, size_t n)
{
    for (size_t end = n, start = n / 2; end > 1;) {
        if (start)
            start--;
        else
            swap(&v[0], &v[--end]);
        for (size_t i = start, k; (k = 2 * i + 1) < end; i = k) {
            bool right = k + 1 < end && (v[k + 1].key > v[k].key ||
                                         (v[k + 1].key == v[k].key && v[k + 1].row > v[k].row));
            k += right;
            if (v[i].key > v[k].key || (v[i].key == v[k].key && v[i].row >= v[k].row))
                break;
            swap(&v[i], &v[k]);
        }
    }
}

/* The part's rows of each label: floors, then one more where the floor took most. */
static void want_part(struct table *t, int part, int64_t rows)
{
    const struct slm_deal *d = t->d;
    int64_t *want = t->want + (size_t)part * d->n_labels, missing = rows, all = 0;
    for (size_t l = 0; l < d->n_labels; l++)
        all += t->left[l];
    if (!all)
        return;
    for (size_t l = 0; l < d->n_labels; l++) {
        double exact = (double)t->left[l] * (double)rows / (double)all;
        want[l] = (int64_t)floor(exact + 1e-9);
        want[l] = want[l] < t->left[l] ? want[l] : t->left[l];
        missing -= want[l];
        double rest = exact - (double)want[l];
        uint64_t tie = slm_mix64(d->seed ^ (l * 0x9e3779b97f4a7c15u)) >> 40;
        rest = rest < 0 ? 0 : rest > 1 ? 1 : rest;
        t->order[l] = (struct order){(uint64_t)((1 - rest) * 0x1p38) << 24 | tie, (uint32_t)l};
    }
    sort(t->order, d->n_labels);
    for (size_t k = 0; missing > 0; k = (k + 1) % d->n_labels) {
        size_t l = t->order[k].row;
        if (want[l] < t->left[l]) {
            want[l]++;
            missing--;
        }
    }
    for (size_t l = 0; l < d->n_labels; l++)
        t->left[l] -= want[l];
}

static void want_all(struct table *t)
{
    const struct slm_deal *d = t->d;
    bool done[SLM_SPLIT_MOST] = {false};
    for (size_t i = 0; i < d->n; i++)
        if (d->label[i] != UINT32_MAX)
            t->left[d->label[i]]++;
    for (int round = 0; round < d->n_parts; round++) {
        int least = -1;
        for (int p = 0; p < d->n_parts; p++)
            if (!done[p] && (least < 0 || d->want[p] < d->want[least]))
                least = p;
        done[least] = true;
        want_part(t, least, d->want[least]);
    }
}

/* What c more rows of the label cost the part: the change of (have - want)^2 / want. */
static double cost(const struct table *t, int part, size_t label, double c)
{
    size_t at = (size_t)part * t->d->n_labels + label;
    double want = (double)t->want[at], off = (double)t->have[at] - want;
    return (c * c + 2 * c * off) / (want > 0.5 ? want : 0.5);
}

/* Many rows: t->left has how many of each label while a unit is weighed, zero again after. */
static void deal_unit(struct table *t, uint32_t root)
{
    const struct slm_deal *d = t->d;
    const uint32_t *row = t->member + t->begin[root];
    uint32_t n = d->size[root];
    double sum[SLM_SPLIT_MOST] = {0};
    int best = 0;
    for (uint32_t i = 0; i < n; i++)
        t->left[d->label[row[i]]]++;
    for (uint32_t i = 0; i < n; i++) {
        size_t l = d->label[row[i]];
        for (int p = 0; p < d->n_parts && t->left[l]; p++)
            sum[p] += cost(t, p, l, (double)t->left[l]);
        t->left[l] = 0;
    }
    for (int p = 1; p < d->n_parts; p++)
        best = sum[p] < sum[best] - 1e-12 ? p : best;
    for (uint32_t i = 0; i < n; i++) {
        t->have[(size_t)best * d->n_labels + d->label[row[i]]]++;
        d->part[row[i]] = (uint8_t)best;
    }
}

static void deal_single(struct table *t, uint32_t row)
{
    const struct slm_deal *d = t->d;
    size_t l = d->label[row], best = 0;
    double most = -(double)INFINITY;
    for (int p = 0; p < d->n_parts; p++) {
        size_t at = (size_t)p * d->n_labels + l;
        double lack = (double)(t->want[at] - t->have[at]),
               part = lack / (t->want[at] ? (double)t->want[at] : 0.5);
        part = lack > 0 ? part + 1 : part; /* what lacks comes before what has enough */
        if (part > most + 1e-12) {
            most = part;
            best = (size_t)p;
        }
    }
    t->have[best * d->n_labels + l]++;
    d->part[row] = (uint8_t)best;
}

/* Rows of units of many, unit after unit. */
static void gather(struct table *t)
{
    const struct slm_deal *d = t->d;
    uint32_t at = 0;
    for (uint32_t i = 0; i < d->n; i++) {
        t->begin[i] = at;
        at += d->size[i] > 1 ? d->size[i] : 0;
    }
    for (uint32_t i = 0; i < d->n; i++) {
        uint32_t root = d->label[i] == UINT32_MAX ? i : slm_sets_root(d->sets, i);
        if (d->label[i] != UINT32_MAX && d->size[root] > 1)
            t->member[t->begin[root]++] = i;
    }
    for (uint32_t i = 0; i < d->n; i++)
        t->begin[i] -= d->size[i] > 1 ? d->size[i] : 0;
}

int slm_deal_run(const struct slm_deal *d, slm_err *err)
{
    struct table t = {.d = d};
    size_t cells = (size_t)d->n_parts * d->n_labels,
           order = d->n > d->n_labels ? d->n : d->n_labels;
    t.want = slm_zalloc_n(d->rt, SLM_MEM_DATA, cells, sizeof *t.want);
    t.have = slm_zalloc_n(d->rt, SLM_MEM_DATA, cells, sizeof *t.have);
    t.left = slm_zalloc_n(d->rt, SLM_MEM_DATA, d->n_labels, sizeof *t.left);
    t.order = slm_alloc_n(d->rt, SLM_MEM_DATA, order, sizeof *t.order);
    t.member = slm_alloc_n(d->rt, SLM_MEM_DATA, d->n, sizeof *t.member);
    t.begin = slm_alloc_n(d->rt, SLM_MEM_DATA, d->n, sizeof *t.begin);
    bool ok = t.want && t.have && t.left && t.order && t.member && t.begin;
    if (ok) {
        want_all(&t);
        gather(&t);
        memset(t.left, 0, d->n_labels * sizeof *t.left);
        for (uint32_t i = 0; i < d->n; i++)
            if (d->size[i])
                t.order[t.n_order++] =
                    (struct order){(uint64_t)(UINT32_MAX - d->size[i]) << 32 |
                                       (slm_mix64(d->seed * 0x9e3779b97f4a7c15u + i + 1) >> 32),
                                   i};
        sort(t.order, t.n_order);
        for (size_t k = 0; k < t.n_order; k++)
            if (d->size[t.order[k].row] > 1)
                deal_unit(&t, t.order[k].row);
            else
                deal_single(&t, t.order[k].row);
    }
    slm_free(d->rt, t.want);
    slm_free(d->rt, t.have);
    slm_free(d->rt, t.left);
    slm_free(d->rt, t.order);
    slm_free(d->rt, t.member);
    slm_free(d->rt, t.begin);
    return ok ? 0 : slm_fail_mem(err, "dealing out", d->n * 24);
}
