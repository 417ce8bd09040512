/* Element-wise kernels in plain C. libm's exp, tanh and erf are the truth here; vector levels
 * are held to them within a few units in the last place. */
#include <math.h>

#include "kernels/kern_fill.h"

static void add(float *out, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = a[i] + b[i];
}

static void mul(float *out, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = a[i] * b[i];
}

static void scale(float *out, const float *a, float s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = a[i] * s;
}

static void softcap(float *out, const float *x, float cap, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = cap * tanhf(x[i] / cap);
}

static void silu_mul(float *out, const float *g, const float *u, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = g[i] / (1.0f + expf(-g[i])) * u[i];
}

/* Hendrycks, Gimpel 2016: 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) */
static void gelu_mul(float *out, const float *g, const float *u, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float x = g[i], t = 0.79788456080286536f * (x + 0.044715f * x * x * x);
        out[i] = 0.5f * x * (1.0f + tanhf(t)) * u[i];
    }
}

static void gelu_erf_mul(float *out, const float *g, const float *u, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float x = g[i];
        out[i] = 0.5f * x * (1.0f + erff(x * 0.70710678118654752f)) * u[i];
    }
}

static void rope_half(float *out, const float *x, const float *cs, float sign, size_t half)
{
    for (size_t i = 0; i < half; i++) {
        float c = cs[i], s = sign * cs[half + i], a = x[i], b = x[i + half];
        out[i] = a * c - b * s;
        out[i + half] = a * s + b * c;
    }
}

static void rope_pair(float *out, const float *x, const float *cs, float sign, size_t half)
{
    for (size_t i = 0; i < half; i++) {
        float c = cs[i], s = sign * cs[half + i], a = x[2 * i], b = x[2 * i + 1];
        out[2 * i] = a * c - b * s;
        out[2 * i + 1] = a * s + b * c;
    }
}

void slm_kern_fill_elem_generic(struct slm_kern *k)
{
    k->add = add;
    k->mul = mul;
    k->scale = scale;
    k->softcap = softcap;
    k->silu_mul = silu_mul;
    k->gelu_mul = gelu_mul;
    k->gelu_erf_mul = gelu_erf_mul;
    k->rope_half = rope_half;
    k->rope_pair = rope_pair;
}
