/* The table of preference losses. Each gives its value and slope in float64 from sums of log p:
 * the way back then only needs a weight for every row, so that no loss has a pass of its own.
 */
#include "train/prefer.h"

#include <math.h>

/* log sigmoid(x), and its slope sigmoid(-x) */
static double log_sigmoid(double x) { return x < 0 ? x - log1p(exp(x)) : -log1p(exp(-x)); }
static double sigmoid(double x) { return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)); }

static double mean(const struct slm_answer *a, double sum)
{
    return a->tokens ? sum / a->tokens : 0;
}

static double dpo(const slm_prefer_opts *o, double z, const struct slm_answer *a, double *slope)
{
    double beta = (double)o->beta, x = beta * ((a[0].logp - a[0].ref) - (a[1].logp - a[1].ref));
    (void)z;
    slope[0] = -beta * sigmoid(-x);
    slope[1] = -slope[0];
    return -log_sigmoid(x);
}

static double ipo(const slm_prefer_opts *o, double z, const struct slm_answer *a, double *slope)
{
    double x = mean(&a[0], a[0].logp - a[0].ref) - mean(&a[1], a[1].logp - a[1].ref) -
               1 / (2 * (double)o->beta);
    (void)z;
    slope[0] = 2 * x / a[0].tokens;
    slope[1] = -2 * x / a[1].tokens;
    return x * x;
}

/* 1 - e^m for a mean m of log p; never so small that odds have no number */
static double rest(double m)
{
    double r = -expm1(m);
    return r > 1e-7 ? r : 1e-7;
}

static double orpo(const slm_prefer_opts *o, double z, const struct slm_answer *a,
                   double *slope)
{
    double w = mean(&a[0], a[0].logp), l = mean(&a[1], a[1].logp), lambda = (double)o->lambda;
    double x = (w - l) - (log(rest(w)) - log(rest(l))), pull = lambda * sigmoid(-x);
    (void)z;
    slope[0] = -pull / (rest(w) * a[0].tokens);
    slope[1] = pull / (rest(l) * a[1].tokens);
    return -lambda * log_sigmoid(x);
}

static double simpo(const slm_prefer_opts *o, double z, const struct slm_answer *a,
                    double *slope)
{
    double beta = (double)o->beta,
           x = beta * (mean(&a[0], a[0].logp) - mean(&a[1], a[1].logp)) - (double)o->gamma;
    (void)z;
    slope[0] = -beta * sigmoid(-x) / a[0].tokens;
    slope[1] = beta * sigmoid(-x) / a[1].tokens;
    return -log_sigmoid(x);
}

static double kto(const slm_prefer_opts *o, double z, const struct slm_answer *a, double *slope)
{
    double beta = (double)o->beta, side = a->chosen ? 1 : -1,
           weight = (double)(a->chosen ? o->desirable : o->undesirable),
           s = sigmoid(side * beta * ((a->logp - a->ref) - z));
    *slope = -side * beta * weight * s * (1 - s);
    return weight * (1 - s);
}

/* clang-format off: a table reads by rows */
static const struct slm_prefer_kind kinds[] = {
    {"dpo", .refers = true, .pairs = true, .beta = 0.1f, .of = dpo},
    {"ipo", .refers = true, .pairs = true, .beta = 0.1f, .of = ipo},
    {"orpo", .pairs = true, .whole = true, .beta = 0.1f, .of = orpo},
    {"simpo", .pairs = true, .beta = 2, .of = simpo},
    {"kto", .refers = true, .mismatched = true, .beta = 0.1f, .of = kto},
};
/* clang-format on */
enum { KINDS = sizeof kinds / sizeof *kinds };

const char *slm_prefer_kind_at(int i) { return i >= 0 && i < KINDS ? kinds[i].name : NULL; }

const struct slm_prefer_kind *slm_prefer_kind_find(const char *name)
{
    for (int i = 0; i < KINDS; i++)
        if (name && !strcmp(kinds[i].name, name))
            return &kinds[i];
    return NULL;
}

int slm_prefer_kind_refers(const char *kind)
{
    const struct slm_prefer_kind *k = slm_prefer_kind_find(kind);
    return k && k->refers;
}

void slm_prefer_opts_init(slm_prefer_opts *o)
{
    *o = (slm_prefer_opts){NULL, -1, -1, -1, -1, -1};
}

int slm_prefer_loss_init(struct slm_prefer_loss *l, const slm_prefer_opts *from, slm_err *err)
{
    const struct slm_prefer_kind *k = slm_prefer_kind_find(from->kind);
    if (!k)
        return slm_fail(err, SLM_E_ARG,
                        "'%.40s' is no loss of preferences (%s, %s, %s, %s, %s)",
                        from->kind ? from->kind : "", kinds[0].name, kinds[1].name,
                        kinds[2].name, kinds[3].name, kinds[4].name);
    slm_prefer_opts o = *from;
    o.kind = k->name;
    o.beta = o.beta > 0 ? o.beta : k->beta;
    o.lambda = o.lambda >= 0 ? o.lambda : 0.1f;
    o.gamma = o.gamma >= 0 ? o.gamma : 0.5f;
    o.desirable = o.desirable >= 0 ? o.desirable : 1;
    o.undesirable = o.undesirable >= 0 ? o.undesirable : 1;
    *l = (struct slm_prefer_loss){k, o, 0};
    return 0;
}

void slm_prefer_sums(double *sum, const struct slm_prefer_rows *r, const float *row_loss)
{
    for (int i = 0; i < r->n; i++) {
        sum[i] = 0;
        for (int32_t t = r->first[i]; t < r->first[i + 1]; t++)
            if (r->target[t] >= 0)
                sum[i] -= (double)row_loss[t];
    }
}

void slm_prefer_weights(float *weight, const struct slm_prefer_rows *r,
                        const struct slm_answer *a, const double *slope, double whole)
{
    for (int i = 0; i < r->n; i++)
        for (int32_t t = r->first[i]; t < r->first[i + 1]; t++) {
            bool inside = a[i].chosen && t + 1 < r->first[i + 1];
            weight[t] = (float)((r->target[t] >= 0 ? -slope[i] : 0) + (inside ? whole : 0));
        }
}

int64_t slm_prefer_whole(int32_t *target, const struct slm_prefer_rows *r,
                         const struct slm_answer *a, const int32_t *ids)
{
    int64_t n = 0;
    for (int i = 0; i < r->n; i++)
        for (int32_t t = r->first[i]; t < r->first[i + 1]; t++) {
            bool inside = a[i].chosen && t + 1 < r->first[i + 1];
            target[t] = inside ? ids[t + 1] : r->target[t];
            n += inside;
        }
    return n;
}

/* What an answer is worth to the policy, for people. */
static double reward(const struct slm_prefer_loss *l, const struct slm_answer *a)
{
    double x = l->kind->refers ? a->logp - a->ref : mean(a, a->logp);
    return (double)l->o.beta * x;
}

void slm_prefer_items(const struct slm_prefer_loss *l, const struct slm_answer *a, int n,
                      double *slope, double *each, struct slm_prefer_tally *t)
{
    int step = l->kind->pairs ? 2 : 1;
    for (int i = 0; i + step <= n; i += step) {
        double loss = l->kind->of(&l->o, l->z, a + i, slope + i);
        if (each)
            each[i / step] = loss;
        t->loss += loss;
        t->n_items++;
        for (int j = i; j < i + step; j++) {
            *(a[j].chosen ? &t->chosen : &t->rejected) += reward(l, &a[j]);
            *(a[j].chosen ? &t->n_chosen : &t->n_rejected) += 1;
        }
        if (l->kind->pairs) {
            t->right += reward(l, &a[i]) > reward(l, &a[i + 1]);
            t->n_pairs++;
        }
    }
}
