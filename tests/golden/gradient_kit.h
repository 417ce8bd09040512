/* Holding gradients against the sketches that golden.py keeps of them: 16 sums of a gradient's
 * elements under random signs. The mean square of the differences of two sketches is the
 * squared distance of the gradients, in 64 bytes a tensor. */
#ifndef TESTS_GRADIENT_KIT_H
#define TESTS_GRADIENT_KIT_H

#include "golden/golden_kit.h"

#define SKETCHES 16

/* The k-th sign of element i is bit k of this (golden.py, sketch). */
static inline uint64_t signs(uint64_t i)
{
    uint64_t h = (i + 1) * 0x9e3779b97f4a7c15u;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9u;
    return h ^ h >> 32;
}

/* Estimates |a - b| / |b| of a gradient a and the sketches of b. */
static inline double distance(const float *a, size_t n, const float *sketches, double norm)
{
    double sum[SKETCHES] = {0}, square = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t h = signs(i);
        for (int k = 0; k < SKETCHES; k++)
            sum[k] += h >> k & 1 ? (double)a[i] : -(double)a[i];
    }
    for (int k = 0; k < SKETCHES; k++)
        square += (sum[k] - (double)sketches[k]) * (sum[k] - (double)sketches[k]);
    return sqrt(square / SKETCHES) / norm;
}

/* Weights whose names end in `tail` were multiplied by `gain` on the way: their gradients
 * shrank. */
struct regauged {
    const char *tail;
    double gain;
};

static inline bool ends(const char *s, const char *tail)
{
    size_t n = strlen(s), m = strlen(tail);
    return n >= m && !strcmp(s + n - m, tail);
}

static inline void check_gradient(struct golden *g, const slm_st *got, const char *name,
                                  const struct regauged *by)
{
    char key[256];
    const struct slm_tensor_ref *t = slm_st_tensor_find(got, name);
    if (!t || t->type != SLM_F32)
        fail_msg("no gradient of %s", name);
    float *a = malloc(t->bytes);
    assert_non_null(a);
    memcpy(a, t->data, t->bytes);
    for (uint64_t i = 0; by && ends(name, by->tail) && i < t->count; i++)
        a[i] = (float)((double)a[i] * by->gain);
    snprintf(key, sizeof key, "norm.%s", name);
    double norm = (double)*truth_of(g, key, 1), own = 0;
    for (uint64_t i = 0; i < t->count; i++)
        own += (double)a[i] * (double)a[i];
    snprintf(key, sizeof key, "grad.%s", name);
    if (norm == 0) { /* an expert that no token chose */
        assert_true(own == 0);
        free(a);
        return;
    }
    double off = distance(a, t->count, truth_of(g, key, SKETCHES), norm);
    free(a);
    if (!(off <= 1e-3) || !(fabs(sqrt(own) - norm) <= 1e-3 * norm))
        fail_msg("gradient of %s: off by %.3g of its norm, which is %g, want %g", name, off,
                 sqrt(own), norm);
}

/* Every gradient of the truth is in the file, near it, and nothing else is there. */
static inline void check_gradients(struct golden *g, const char *path,
                                   const struct regauged *by)
{
    slm_st *got = NULL;
    slm_err err = {0};
    size_t n = 0;
    if (slm_st_open(&got, g->rt, path, &err))
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < slm_st_tensor_count(g->truth); i++) {
        const char *key = slm_st_tensor_at(g->truth, i)->name;
        if (strncmp(key, "grad.", 5))
            continue;
        check_gradient(g, got, key + 5, by);
        n++;
    }
    assert_int_equal(slm_st_tensor_count(got), n);
    slm_st_close(&got);
}

#endif
