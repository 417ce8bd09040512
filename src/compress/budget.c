/* Dividing a budget of bytes among tensors. Of each tensor's options only those on the lower
 * hull of cost over bytes can be best for some price of a byte; from the smallest of each, the
 * step that buys most for its bytes is taken first (the path that Lagrange's multiplier walks),
 * and what is left over in the end is filled with whatever still fits. */
#include "compress/quant_plan.h"

#include <stdlib.h>

typedef struct slm_budget_option option;

static int by_bytes(const void *a, const void *b)
{
    const option *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    if (x->cost != y->cost)
        return x->cost < y->cost ? -1 : 1;
    return x->type - y->type;
}

static double slope(const option *a, const option *b)
{
    return (a->cost - b->cost) / (double)(b->bytes - a->bytes);
}

/* Sorts the options and finds the hull's places among them. */
static void find_hull(struct slm_budget_item *it)
{
    int n = 0, *hull = it->hull;
    qsort(it->option, (size_t)it->n, sizeof *it->option, by_bytes);
    for (int i = 0; i < it->n; i++) {
        const option *o = &it->option[i];
        if (n && it->option[hull[n - 1]].cost <= o->cost)
            continue; /* more bytes for nothing */
        while (n > 1 && slope(&it->option[hull[n - 2]], &it->option[hull[n - 1]]) <=
                            slope(&it->option[hull[n - 1]], o))
            n--;
        hull[n++] = i;
    }
    it->n_hull = n;
    it->at = 0;
    it->chosen = hull[0];
}

/* The item whose next step buys most for its bytes and fits, -1: none. */
static int best_step(const struct slm_budget_item *item, int n, uint64_t left)
{
    int best = -1;
    double most = 0;
    for (int i = 0; i < n; i++) {
        const struct slm_budget_item *it = &item[i];
        if (it->at + 1 == it->n_hull)
            continue;
        const option *a = &it->option[it->hull[it->at]], *b = &it->option[it->hull[it->at + 1]];
        if (b->bytes - a->bytes <= left && (best < 0 || slope(a, b) > most)) {
            best = i;
            most = slope(a, b);
        }
    }
    return best;
}

/* The dearer option that fits and gains most; false when there is none. */
static bool fill(struct slm_budget_item *item, int n, uint64_t *left)
{
    int who = -1, what = 0;
    double most = 0;
    for (int i = 0; i < n; i++) {
        const option *now = &item[i].option[item[i].chosen];
        for (int k = item[i].chosen + 1; k < item[i].n; k++) {
            const option *o = &item[i].option[k];
            if (o->bytes - now->bytes <= *left && now->cost - o->cost > most) {
                most = now->cost - o->cost;
                who = i;
                what = k;
            }
        }
    }
    if (who < 0)
        return false;
    struct slm_budget_item *it = &item[who];
    *left -= it->option[what].bytes - it->option[it->chosen].bytes;
    it->chosen = what;
    return true;
}

bool slm_budget_solve(struct slm_budget_item *item, int n, uint64_t budget, uint64_t *least)
{
    uint64_t sum = 0;
    for (int i = 0; i < n; i++) {
        find_hull(&item[i]);
        sum += item[i].option[item[i].chosen].bytes;
    }
    *least = sum;
    if (sum > budget)
        return false;
    uint64_t left = budget - sum;
    for (int i; (i = best_step(item, n, left)) >= 0;) {
        struct slm_budget_item *it = &item[i];
        int next = it->hull[++it->at];
        left -= it->option[next].bytes - it->option[it->chosen].bytes;
        it->chosen = next;
    }
    while (fill(item, n, &left)) {}
    return true;
}
