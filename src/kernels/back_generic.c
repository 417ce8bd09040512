/* Element-wise and row kernels of the way back, in plain C. Their slopes come of one form: with
 * s = 1 / (1 + exp(-z)) the gates are y = x s(z(x)), so y' = s + x s (1 - s) z'. */
#include <math.h>

#include "kernels/kern_fill.h"

static void gate_back(const struct slm_gate_back *b, bool gelu)
{
    const float k = 1.5957691216057308f, c = 0.044715f; /* 2 sqrt(2 / pi) */
    for (size_t i = 0; i < b->n; i++) {
        float x = b->g[i], z = gelu ? k * (x + c * x * x * x) : x;
        float s = 1.0f / (1.0f + expf(-z)), dz = gelu ? k * (1.0f + 3.0f * c * x * x) : 1.0f;
        float slope = s + (s > 0.0f && s < 1.0f ? x * s * (1.0f - s) * dz : 0.0f);
        b->dg[i] += b->dy[i] * (b->u ? b->u[i] : 1.0f) * slope;
        if (b->u)
            b->du[i] += b->dy[i] * x * s;
    }
}

static void silu_back(const struct slm_gate_back *b) { gate_back(b, false); }
static void gelu_back(const struct slm_gate_back *b) { gate_back(b, true); }

static void norm_back(const struct slm_norm_back *b)
{
    double sum = 0, dot = 0;
    for (size_t i = 0; i < b->n; i++) {
        float g = b->dy[i] * (b->w ? b->w[i] + b->shift : 1.0f);
        sum += (double)g;
        dot += (double)g * (double)((b->x[i] - b->mean) * b->r);
    }
    float m1 = b->centred ? (float)(sum / (double)b->n) : 0.0f,
          m2 = (float)(dot / (double)b->n);
    for (size_t i = 0; i < b->n; i++) {
        float g = b->dy[i] * (b->w ? b->w[i] + b->shift : 1.0f);
        b->dx[i] += b->r * (g - m1 - (b->x[i] - b->mean) * b->r * m2);
    }
}

static void norm_gain(float *gw, const float *dy, const float *x, float mean, float r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gw[i] += dy[i] * ((x[i] - mean) * r);
}

static void softmax_back(float *g, const float *p, float mean, size_t n)
{
    for (size_t i = 0; i < n; i++)
        g[i] = p[i] * (g[i] - mean);
}

void slm_kern_fill_back_generic(struct slm_kern *k)
{
    k->silu_back = silu_back;
    k->gelu_back = gelu_back;
    k->norm_back = norm_back;
    k->norm_gain = norm_gain;
    k->softmax_back = softmax_back;
}
