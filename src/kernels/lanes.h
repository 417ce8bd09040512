/* Sums in a fixed pattern: sixteen running sums, met pairwise at the end. More exact than one
 * running sum, and a loop over the sixteen is what a compiler makes vectors of. */
#ifndef SLM_KERN_LANES_H
#define SLM_KERN_LANES_H

#include <stddef.h>

#define SLM_LANES 16

static inline float slm_lanes_sum(const float *s)
{
    float t[SLM_LANES / 2];
    for (int i = 0; i < 8; i++)
        t[i] = s[i] + s[i + 8];
    for (int i = 0; i < 4; i++)
        t[i] += t[i + 4];
    return (t[0] + t[2]) + (t[1] + t[3]);
}

/* s[l] += a[i] * b[i] for i = l, l + 16, ... */
static inline void slm_lanes_dot(float *s, const float *a, const float *b, size_t n)
{
    size_t i = 0;
    for (; i + SLM_LANES <= n; i += SLM_LANES)
        for (int l = 0; l < SLM_LANES; l++)
            s[l] += a[i + l] * b[i + l];
    for (int l = 0; i < n; i++, l++)
        s[l] += a[i] * b[i];
}

#endif
