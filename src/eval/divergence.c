/* Divergence of a model from a base, place by place.
 *
 * Sums are taken in double over float32 logits, since what is looked for may be 1e-6 nats a
 * place: KL(p || q) = sum p (log p - log q) with both normalised here loses nothing to rounding
 * of stored log-probabilities. Every place is kept (one float) for median and percentiles. */
#include "slm/eval.h"

#include <math.h>
#include <stdlib.h>

#include "base/base.h"

struct slm_divergence {
    slm_runtime *rt;
    int vocab;
    size_t n, cap;
    float *kld; /* (n) sorted up to `sorted` */
    size_t sorted;
    double sum, sum2, nll, nll_base, diff2, dp, dp2;
    size_t same;
};

int slm_divergence_new(slm_divergence **out, slm_runtime *rt, int vocab, slm_err *err)
{
    if (vocab < 1)
        return slm_fail(err, SLM_E_ARG, "a vocabulary of %d", vocab);
    slm_divergence *d = slm_zalloc(rt, SLM_MEM_USER, sizeof *d);
    if (!d)
        return slm_fail_mem(err, "divergence", sizeof *d);
    d->rt = rt;
    d->vocab = vocab;
    *out = d;
    return 0;
}

void slm_divergence_free(slm_divergence *d)
{
    if (!d)
        return;
    slm_free(d->rt, d->kld);
    slm_free(d->rt, d);
}

/* log(sum of exp(x)); the place of the largest in *top. NaN when a value is no number. */
static double log_sum(const float *x, int n, int *top)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (x[i] > x[best])
            best = i;
    double max = (double)x[best], sum = 0;
    for (int i = 0; i < n; i++)
        sum += exp((double)x[i] - max);
    *top = best;
    return max + log(sum);
}

int slm_divergence_add(slm_divergence *d, const float *base, enum slm_base_rows kind,
                       const float *logits, int32_t target, slm_err *err)
{
    int top, top_base;
    if (target < 0 || target >= d->vocab)
        return slm_fail(err, SLM_E_ARG, "token %d is outside the vocabulary of %d", (int)target,
                        d->vocab);
    if (slm_grow(d->rt, SLM_MEM_USER, (void **)&d->kld, d->n, &d->cap, sizeof *d->kld))
        return slm_fail_mem(err, "divergence", d->n * sizeof *d->kld);
    double zq = log_sum(logits, d->vocab, &top), zp = log_sum(base, d->vocab, &top_base);
    if (kind == SLM_BASE_LOG_PROBS)
        zp = 0;
    /* logits: below e^-700, p is no number; 16 bits: what was cut off stands at the bottom */
    double kld = 0, least = kind == SLM_BASE_LOG_PROBS ? -16 : -700;
    for (int i = 0; i < d->vocab; i++) {
        double lp = (double)base[i] - zp;
        if (lp > least)
            kld += exp(lp) * (lp - ((double)logits[i] - zq));
    }
    double lp = (double)base[target] - zp, lq = (double)logits[target] - zq;
    if (!isfinite(kld) || !isfinite(lq) || !isfinite(lp))
        return slm_fail(err, SLM_E_NUMERIC, "place %zu: values that are not finite", d->n);
    double dp = exp(lq) - exp(lp), more = lp - lq;
    d->kld[d->n++] = (float)kld;
    d->sum += kld;
    d->sum2 += kld * kld;
    d->nll -= lq;
    d->nll_base -= lp;
    d->diff2 += more * more;
    d->dp += dp;
    d->dp2 += dp * dp;
    d->same += top == top_base;
    return 0;
}

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The value below which that share lies, between two places as llama.cpp interpolates. */
static double percentile(const slm_divergence *d, double share)
{
    double at = share * (double)(d->n - 1);
    size_t i = (size_t)at, j = i + 1 < d->n ? i + 1 : i;
    return (1 - (at - (double)i)) * (double)d->kld[i] + (at - (double)i) * (double)d->kld[j];
}

/* Standard error of a mean from the mean and the mean of squares. */
static double error_of(double mean, double mean2, double n)
{
    double var = mean2 - mean * mean;
    return n > 1 && var > 0 ? sqrt(var / (n - 1)) : 0;
}

void slm_divergence_get(slm_divergence *d, slm_divergence_stats *out)
{
    *out = (slm_divergence_stats){.count = (int64_t)d->n};
    if (!d->n)
        return;
    if (d->sorted != d->n)
        qsort(d->kld, d->n, sizeof *d->kld, by_size);
    d->sorted = d->n;
    double n = (double)d->n;
    out->kld = d->sum / n;
    out->kld_stderr = error_of(out->kld, d->sum2 / n, n);
    out->kld_median = percentile(d, 0.5);
    out->kld_p90 = percentile(d, 0.9);
    out->kld_p99 = percentile(d, 0.99);
    out->kld_max = (double)d->kld[d->n - 1];
    out->same_top = (double)d->same / n;
    out->same_top_stderr = error_of(out->same_top, out->same_top, n);
    out->nll = d->nll / n;
    out->nll_base = d->nll_base / n;
    out->log_ratio_stderr = error_of(out->nll - out->nll_base, d->diff2 / n, n);
    out->dp_mean = d->dp / n;
    out->dp_rms = sqrt(d->dp2 / n);
}
