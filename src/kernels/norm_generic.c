/* Kernels over one row: norms, softmax, dot, largest value. */
#include <math.h>

#include "kernels/kern_fill.h"
#include "kernels/lanes.h"

static float dot(const float *a, const float *b, size_t n)
{
    float s[SLM_LANES] = {0};
    slm_lanes_dot(s, a, b, n);
    return slm_lanes_sum(s);
}

static float sum(const float *a, size_t n)
{
    float s[SLM_LANES] = {0};
    size_t i = 0;
    for (; i + SLM_LANES <= n; i += SLM_LANES)
        for (int l = 0; l < SLM_LANES; l++)
            s[l] += a[i + l];
    for (int l = 0; i < n; i++, l++)
        s[l] += a[i];
    return slm_lanes_sum(s);
}

static float max(const float *a, size_t n)
{
    float m = a[0];
    for (size_t i = 1; i < n; i++)
        if (a[i] > m)
            m = a[i];
    return m;
}

static float norm_rms(float *out, const float *x, const float *w, float shift, float eps,
                      size_t n)
{
    if (!n)
        return 1.0f / sqrtf(eps);
    float r = 1.0f / sqrtf(dot(x, x, n) / (float)n + eps);
    if (w)
        for (size_t i = 0; i < n; i++)
            out[i] = x[i] * r * (w[i] + shift);
    else
        for (size_t i = 0; i < n; i++)
            out[i] = x[i] * r;
    return r;
}

static void norm_layer(float *out, const float *x, const float *w, const float *b, float eps,
                       size_t n, float *stat)
{
    float mean = n ? sum(x, n) / (float)n : 0, s[SLM_LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        float d = x[i] - mean;
        s[i % SLM_LANES] += d * d;
    }
    float r = 1.0f / sqrtf((n ? slm_lanes_sum(s) / (float)n : 0) + eps);
    for (size_t i = 0; i < n; i++)
        out[i] = (x[i] - mean) * r * w[i] + (b ? b[i] : 0.0f);
    stat[0] = mean;
    stat[1] = r;
}

static float softmax(float *x, size_t n)
{
    float m = max(x, n);
    if (m == -INFINITY) { /* every place masked: no weight anywhere */
        for (size_t i = 0; i < n; i++)
            x[i] = 0;
        return m;
    }
    for (size_t i = 0; i < n; i++)
        x[i] = expf(x[i] - m);
    float s = sum(x, n), r = 1.0f / s;
    for (size_t i = 0; i < n; i++)
        x[i] *= r;
    return m + logf(s);
}

void slm_kern_fill_norm_generic(struct slm_kern *k)
{
    k->norm_rms = norm_rms;
    k->norm_layer = norm_layer;
    k->softmax = softmax;
    k->dot = dot;
    k->max = max;
}
