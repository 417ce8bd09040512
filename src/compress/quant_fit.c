/* Types under a budget: every tensor's error in every candidate is measured on a sample of its
 * rows, weighed by how much the model minds, and the bytes go where they buy most.
 *
 * What a tensor's error costs the model: to first order the divergence of its output grows with
 * the relative error of each matrix, by a factor of the matrix's own ("linearity theorem",
 * Malinovskii et al. 2024, arXiv 2411.17525). Who has measured those factors hands them in; the
 * table below is what experience says of roles. */
#include <math.h>
#include <string.h>

#include "compress/quant_plan.h"

/* clang-format off */
/* Divergence over relative error, as measured on the bundled model (5 layers): one role at a
 * time in q3_K, all else exact. What a layer adds shrinks with their number. */
static const double minds[SLM_ROLE_COUNT] = {
    [SLM_ROLE_EMBED] = 0.2, [SLM_ROLE_OUTPUT] = 1.4, [SLM_ROLE_Q] = 0.018, [SLM_ROLE_K] = 0.023,
    [SLM_ROLE_V] = 0.147, [SLM_ROLE_O] = 0.101, [SLM_ROLE_GATE] = 0.048, [SLM_ROLE_UP] = 0.036,
    [SLM_ROLE_DOWN] = 0.075,
};
#define MEASURED_LAYERS 5.0

#define KIND(k) (1u << SLM_KIND_##k)
#define ANY (KIND(BLOCK) | KIND(K) | KIND(IQ))
/* Candidates by the kind of type that was named; `small`: where rows are no multiple of 256. */
static const struct { enum slm_dtype t; unsigned kinds; bool small; } candidates[] = {
    {SLM_IQ1_S,   KIND(IQ),               false}, {SLM_IQ1_M,   KIND(IQ),            false},
    {SLM_IQ2_XXS, KIND(IQ),               false}, {SLM_IQ2_XS,  KIND(IQ),            false},
    {SLM_IQ2_S,   KIND(IQ),               false}, {SLM_Q2_K,    KIND(IQ) | KIND(K),  false},
    {SLM_IQ3_XXS, KIND(IQ),               false}, {SLM_IQ3_S,   KIND(IQ),            false},
    {SLM_Q3_K,    KIND(IQ) | KIND(K),     false}, {SLM_IQ4_XS,  KIND(IQ),            false},
    {SLM_Q4_K,    KIND(IQ) | KIND(K),     false}, {SLM_Q5_K,    KIND(IQ) | KIND(K),  false},
    {SLM_Q6_K,    KIND(IQ) | KIND(K),     false}, {SLM_Q4_0,    KIND(BLOCK),         true},
    {SLM_IQ4_NL,  KIND(IQ),               true},  {SLM_Q4_1,    KIND(BLOCK),         true},
    {SLM_Q5_0,    KIND(BLOCK),            true},  {SLM_Q5_1,    KIND(BLOCK),         true},
    {SLM_Q8_0,    ANY,                    true},  {SLM_F16,     ANY,                 true},
};
/* clang-format on */

/* The candidates for weight i; how many. */
static int list_types(const slm_quant *q, int i, enum slm_dtype out[SLM_BUDGET_OPTIONS])
{
    const struct slm_weight *w = &q->m->weight[i];
    const struct slm_quant_row *row = &q->row[i];
    bool small = w->cols % 256 != 0, blocks = slm_dtypes[w->type].block > 1;
    int n = 0;
    out[n++] = w->type;
    if (blocks && !q->allow_requantize && !q->dry)
        return n;
    for (size_t k = 0; k < sizeof candidates / sizeof *candidates; k++) {
        enum slm_dtype t = candidates[k].t;
        bool kind = (candidates[k].kinds >> q->kind & 1) || (small && candidates[k].small);
        bool blind = !row->weight && !q->no_imatrix && !q->dry &&
                     slm_mix_needs_imatrix(NULL, t, row->role);
        if (kind && !blind && t != w->type && w->cols % slm_dtypes[t].block == 0 &&
            slm_quant_can(q->rt, t))
            out[n++] = t;
    }
    return n;
}

/* In the file a tensor is padded to 32 bytes. */
static uint64_t file_bytes(const slm_quant *q, int i, enum slm_dtype t)
{
    return (slm_quant_bytes(q, i, t) + 31) / 32 * 32;
}

static int measure_item(const slm_quant *q, int i, double sensitivity,
                        struct slm_budget_item *it, slm_err *err)
{
    enum slm_dtype t[SLM_BUDGET_OPTIONS];
    double error[SLM_BUDGET_OPTIONS];
    it->n = q->row[i].matrix && !q->row[i].asked ? list_types(q, i, t) : 0;
    if (!it->n) {
        it->n = 1;
        it->option[0].type = (int)q->type[i];
        it->option[0].bytes = file_bytes(q, i, q->type[i]);
        it->option[0].cost = 0;
        return 0;
    }
    int rc = slm_quant_measure(q, i, t + 1, it->n - 1, error + 1, err);
    error[0] = 0; /* as stored */
    for (int k = 0; k < it->n && !rc; k++)
        it->option[k] = (struct slm_budget_option){(int)t[k], slm_quant_bytes(q, i, t[k]),
                                                   sensitivity * error[k]};
    return rc;
}

static double mind(const slm_quant *q, int i)
{
    double layers = q->m->row_layer[i] < 0 ? 1 : MEASURED_LAYERS / q->m->hp.layers;
    return minds[q->row[i].role] * layers;
}

static int measure_all(const slm_quant *q, const slm_quant_target *t,
                       struct slm_budget_item *item, slm_err *err)
{
    const slm_model *m = q->m;
    uint64_t done = 0;
    int rc = 0;
    for (int i = 0; i < m->n_weights && !rc; i++) {
        double s = t->sensitivity ? t->sensitivity[i] : mind(q, i);
        if (!(s >= 0) || !isfinite(s))
            return slm_fail(err, SLM_E_ARG, "sensitivity of %s is %g", m->weight[i].name, s);
        rc = measure_item(q, i, s, &item[i], err);
        done += (uint64_t)m->weight[i].parts * (uint64_t)m->weight[i].rows *
                (uint64_t)m->weight[i].cols;
        if (!rc && t->progress && t->progress(t->progress_arg, done, m->params))
            rc = slm_fail(err, SLM_E_CANCELLED, "stopped while measuring");
    }
    return rc;
}

/* Bytes of the file beyond the tensors that may be chosen: header and rotary tables. */
static int overhead(slm_quant *q, uint64_t *out, slm_err *err)
{
    int rc = slm_quant_file_bytes(q, out, err);
    for (int i = 0; i < q->m->n_weights && !rc; i++)
        *out -= file_bytes(q, i, q->type[i]);
    return rc;
}

static int budget_of(slm_quant *q, const slm_quant_target *t, uint64_t *budget, uint64_t *extra,
                     slm_err *err)
{
    int rc = t->bytes ? overhead(q, extra, err) : 0;
    *budget = UINT64_MAX;
    if (rc)
        return rc;
    if (t->bytes)
        *budget = t->bytes > *extra ? t->bytes - *extra : 0;
    if (t->bpw > 0 && t->bpw < 64) {
        uint64_t by_bpw = (uint64_t)(t->bpw * (double)q->m->params / 8);
        *budget = by_bpw < *budget ? by_bpw : *budget;
    }
    return 0;
}

static int fail_least(const slm_quant *q, const slm_quant_target *t, uint64_t least,
                      uint64_t extra, slm_err *err)
{
    double bpw = 8 * (double)least / (double)q->m->params;
    if (t->bytes)
        return slm_fail(err, SLM_E_ARG,
                        "%s can not become %llu bytes: with these options the least is "
                        "%llu bytes (%.2f bits a weight)",
                        q->m->src.path, (unsigned long long)t->bytes,
                        (unsigned long long)(least + extra), bpw);
    return slm_fail(err, SLM_E_ARG,
                    "%s can not become %g bits a weight: with these options the least is %.4f",
                    q->m->src.path, t->bpw, ceil(bpw * 1e4) / 1e4);
}

int slm_quant_fit(slm_quant *q, const slm_quant_target *t, slm_err *err)
{
    int n = q->m->n_weights;
    uint64_t budget = 0, extra = 0, least = 0;
    if (!t->bytes && !(t->bpw > 0))
        return slm_fail(err, SLM_E_ARG, "no target to fit");
    struct slm_budget_item *item = slm_zalloc_n(q->rt, SLM_MEM_USER, (size_t)n, sizeof *item);
    int rc = item ? measure_all(q, t, item, err)
                  : slm_fail_mem(err, "budget", (size_t)n * sizeof *item);
    if (!rc)
        rc = budget_of(q, t, &budget, &extra, err);
    if (!rc && !slm_budget_solve(item, n, budget, &least))
        rc = fail_least(q, t, least, extra, err);
    for (int i = 0; i < n && !rc; i++) {
        q->type[i] = (enum slm_dtype)item[i].option[item[i].chosen].type;
        q->row[i].bytes = slm_quant_bytes(q, i, q->type[i]);
        if (!q->row[i].asked)
            q->row[i].wanted = -1;
    }
    slm_free(q->rt, item);
    q->fitted = !rc;
    return rc ? rc : slm_quant_check(q, err);
}
