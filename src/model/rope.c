/* Inverse frequencies of rotary embeddings: Su et al. 2021, and the scalings that files name:
 * linear, llama3, YaRN (Peng et al. 2023), LongRoPE (Ding et al. 2024). float32 throughout, as
 * the reference computes them: positions multiply these, and an ulp here is a radian far out.
 */
#include <math.h>

#include "model/hparams.h"

#define TWO_PI 6.283185307179586

const char *slm_rope_name(enum slm_rope_kind kind)
{
    static const char *const names[] = {"none", "linear", "llama3", "yarn", "longrope"};
    return names[kind];
}

static float plain(const struct slm_rope *r, int i, int rot)
{
    return 1.0f / powf(r->base, (float)(2 * i) / (float)rot);
}

/* Wavelengths beyond original / low are slowed by the factor, below original / high kept. */
static float llama3(const struct slm_rope *r, float f)
{
    float wave = (float)TWO_PI / f, orig = (float)r->original;
    if (wave > orig / r->low)
        return f / r->factor;
    if (wave < orig / r->high)
        return f;
    float smooth = (orig / wave - r->low) / (r->high - r->low);
    return (1 - smooth) * f / r->factor + smooth * f;
}

/* The dimension whose wave turns `turns` times in the original context. */
static double yarn_dim(const struct slm_rope *r, int rot, double turns)
{
    return rot * log(r->original / (turns * TWO_PI)) / (2 * log((double)r->base));
}

static void yarn(float *f, const struct slm_rope *r, int rot)
{
    double lo = yarn_dim(r, rot, (double)r->beta_fast),
           hi = yarn_dim(r, rot, (double)r->beta_slow);
    if (r->truncate) {
        lo = floor(lo);
        hi = ceil(hi);
    }
    lo = fmax(lo, 0);
    hi = fmin(hi, rot - 1);
    if (lo == hi)
        hi += 0.001;
    for (int i = 0; i < rot / 2; i++) {
        float ramp = fminf(fmaxf((float)((i - lo) / (hi - lo)), 0), 1), keep = 1 - ramp;
        f[i] = f[i] / r->factor * (1 - keep) + f[i] * keep;
    }
}

static float yarn_scale(float factor, float mscale)
{
    return factor <= 1 ? 1 : 0.1f * mscale * logf(factor) + 1;
}

static float attention_factor(const struct slm_rope *r, int context)
{
    if (r->attn_factor > 0)
        return r->attn_factor;
    if (r->kind == SLM_ROPE_YARN)
        return r->mscale > 0 && r->mscale_all > 0
                   ? yarn_scale(r->factor, r->mscale) / yarn_scale(r->factor, r->mscale_all)
                   : yarn_scale(r->factor, 1);
    if (r->kind == SLM_ROPE_LONG) {
        double s = r->factor > 0 ? (double)r->factor : (double)context / r->original;
        return s <= 1 ? 1 : (float)sqrt(1 + log(s) / log(r->original));
    }
    return 1;
}

static void fill(float *f, const struct slm_rope *r, int rot, const float *stretch)
{
    for (int i = 0; i < rot / 2; i++) {
        f[i] = stretch ? 1.0f / (stretch[i] * powf(r->base, (float)(2 * i) / (float)rot))
                       : plain(r, i, rot);
        if (r->divisor)
            f[i] /= r->divisor[i];
        if (r->kind == SLM_ROPE_LINEAR)
            f[i] /= r->factor;
        if (r->kind == SLM_ROPE_LLAMA3)
            f[i] = llama3(r, f[i]);
    }
    if (r->kind == SLM_ROPE_YARN)
        yarn(f, r, rot);
}

static int check(const struct slm_rope *r, const char *name, slm_err *err)
{
    const char *kind = slm_rope_name(r->kind);
    bool factor =
        r->kind == SLM_ROPE_LINEAR || r->kind == SLM_ROPE_LLAMA3 || r->kind == SLM_ROPE_YARN;
    if (factor && !(isfinite(r->factor) && r->factor > 0))
        return slm_fail(err, SLM_E_FORMAT, "%s: rope scaling %s: factor is %g", name, kind,
                        (double)r->factor);
    if (r->kind >= SLM_ROPE_LLAMA3 && r->original < 2)
        return slm_fail(err, SLM_E_FORMAT, "%s: rope scaling %s: original context is %d", name,
                        kind, r->original);
    if (r->kind == SLM_ROPE_LLAMA3 && !(r->low > 0 && r->high > r->low))
        return slm_fail(err, SLM_E_FORMAT,
                        "%s: rope scaling llama3: low and high factors are %g and %g", name,
                        (double)r->low, (double)r->high);
    if (r->kind == SLM_ROPE_YARN && !(r->beta_fast > 0 && r->beta_slow > 0 && r->base > 1))
        return slm_fail(err, SLM_E_FORMAT,
                        "%s: rope scaling yarn: beta_fast and beta_slow are %g and %g", name,
                        (double)r->beta_fast, (double)r->beta_slow);
    return 0;
}

int slm_rope_compute(struct slm_rope_table *out, struct slm_arena *a, const struct slm_rope *r,
                     int rot, int context, const char *name, slm_err *err)
{
    int rc = check(r, name, err), sets = r->kind == SLM_ROPE_LONG ? 2 : 1;
    for (int s = 0; s < sets && !rc; s++) {
        float *f = slm_arena_alloc_n(a, (size_t)rot / 2, sizeof *f);
        if (!f)
            return slm_fail_mem(err, "rope frequencies", (size_t)rot * 2);
        fill(f, r, rot, r->kind == SLM_ROPE_LONG ? (s ? r->long_f : r->short_f) : NULL);
        for (int i = 0; i < rot / 2; i++)
            if (!isfinite(f[i]))
                rc =
                    slm_fail(err, SLM_E_FORMAT, "%s: rope frequency %d is not finite", name, i);
        out->inv_freq[s] = f;
    }
    out->factor = attention_factor(r, context);
    if (!rc && !(isfinite(out->factor) && out->factor > 0))
        rc = slm_fail(err, SLM_E_FORMAT, "%s: rope attention factor is %g", name,
                      (double)out->factor);
    return rc;
}
