/* Checking the numbers of a model: every division, product and allocation that they lead to
 * later is made safe here, once. */
#include "model/hparams.h"

#include <math.h>

static int range(const char *name, const char *what, int v, int lo, int hi, slm_err *err)
{
    return v >= lo && v <= hi ? 0
                              : slm_fail(err, SLM_E_FORMAT, "%s: %s is %d, want %d to %d", name,
                                         what, v, lo, hi);
}

static int positive(const char *name, const char *what, float v, slm_err *err)
{
    return isfinite(v) && v > 0
               ? 0
               : slm_fail(err, SLM_E_FORMAT, "%s: %s is %g, want a number above 0", name, what,
                          (double)v);
}

static int check_heads(const struct slm_hparams *hp, const char *name, slm_err *err)
{
    int rc;
    if ((rc = range(name, "head count", hp->heads, 1, 65536, err)) ||
        (rc = range(name, "key/value head count", hp->kv_heads, 1, hp->heads, err)) ||
        (rc = range(name, "head width", hp->head_width, 1, 65536, err)) ||
        (rc = range(name, "rotated dimensions", hp->rot, 2, hp->head_width, err)))
        return rc;
    if (hp->heads % hp->kv_heads)
        return slm_fail(err, SLM_E_FORMAT, "%s: %d heads cannot share %d key/value heads", name,
                        hp->heads, hp->kv_heads);
    if (hp->rot % 2)
        return slm_fail(err, SLM_E_FORMAT, "%s: %d rotated dimensions, want an even number",
                        name, hp->rot);
    if ((int64_t)hp->heads * hp->head_width > SLM_MAX_WIDTH * 4)
        return slm_fail(err, SLM_E_FORMAT, "%s: %d heads of width %d are too many", name,
                        hp->heads, hp->head_width);
    return 0;
}

static int check_experts(const struct slm_hparams *hp, const char *name, slm_err *err)
{
    if (!hp->family->moe)
        return 0;
    int rc = range(name, "expert count", hp->experts, 1, SLM_MAX_EXPERTS, err);
    return rc ? rc : range(name, "experts used", hp->experts_used, 1, hp->experts, err);
}

int slm_hparams_check(struct slm_hparams *hp, const char *name, slm_err *err)
{
    int rc;
    if ((rc = range(name, "layer count", hp->layers, 1, SLM_MAX_LAYERS, err)) ||
        (rc = range(name, "width", hp->width, 1, SLM_MAX_WIDTH, err)) ||
        (rc = check_heads(hp, name, err)) ||
        (rc = range(name, "feed-forward width", hp->ffn, 1, SLM_MAX_WIDTH * 8, err)) ||
        (rc = range(name, "vocabulary size", hp->vocab, 1, 1 << 26, err)) ||
        (rc = range(name, "context length", hp->context, 1, SLM_MAX_CONTEXT, err)) ||
        (rc = check_experts(hp, name, err)) ||
        (rc = positive(name, "norm epsilon", hp->eps, err)) ||
        (rc = positive(name, "attention scale", hp->attn_scale, err)) ||
        (rc = positive(name, "rope base", hp->rope[0].base, err)) ||
        (hp->two_ropes && (rc = positive(name, "local rope base", hp->rope[1].base, err))))
        return rc;
    if (!isfinite(hp->attn_cap) || hp->attn_cap < 0 || !isfinite(hp->final_cap) ||
        hp->final_cap < 0)
        return slm_fail(err, SLM_E_FORMAT, "%s: soft cap below 0 or not finite", name);
    if (hp->temper_beta != 0 && (!isfinite(hp->temper_beta) || hp->temper_original < 1))
        return slm_fail(err, SLM_E_FORMAT,
                        "%s: attention temperature without an original context", name);
    return 0;
}

float slm_hparams_gguf_scale(const struct slm_hparams *hp)
{
    bool largest = hp->family->query_scalar && hp->layers == (hp->family->qk_norm ? 62 : 46);
    return 1 / sqrtf(largest ? (float)hp->width / (float)hp->heads : (float)hp->head_width);
}

void slm_hparams_windows(struct slm_hparams *hp, int window, int upper, int period)
{
    int six = period > 0 ? period : 6;
    for (int l = 0; l < hp->layers; l++) {
        bool slides = true;
        switch (hp->family->window) {
        case SLM_WIN_NONE:
        case SLM_WIN_ALL: break;
        case SLM_WIN_EVEN: slides = l % 2 == 0; break;
        case SLM_WIN_FIVE_OF_SIX: slides = (l + 1) % six != 0; break;
        case SLM_WIN_UPPER: slides = l >= upper; break;
        }
        hp->window[l] = slides ? window : 0;
        hp->local[l] = hp->two_ropes && slides;
    }
}
