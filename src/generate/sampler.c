/* The sampler: a chain of filters in the order asked for, then one draw. It works on a copy of
 * the logits in memory taken at construction, on the caller's thread alone, so what it chooses
 * depends on logits, options and seed and on nothing else. */
#include "generate/sample.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

enum stage {
    ST_PENALTIES,
    ST_DRY,
    ST_TOP_K,
    ST_TYPICAL,
    ST_TOP_P,
    ST_MIN_P,
    ST_XTC,
    ST_TEMP,
    ST_COUNT
};

/* Names as people write them; the first of each stage is the one shown. */
static const struct { const char *name; enum stage stage; } stages[] = {
    {"penalties", ST_PENALTIES}, {"dry", ST_DRY}, {"top_k", ST_TOP_K}, {"typ_p", ST_TYPICAL},
    {"top_p", ST_TOP_P}, {"min_p", ST_MIN_P}, {"xtc", ST_XTC}, {"temperature", ST_TEMP},
    {"typical", ST_TYPICAL}, {"typical_p", ST_TYPICAL}, {"temp", ST_TEMP},
};

static const char default_order[] = "penalties;dry;top_k;typ_p;top_p;min_p;xtc;temperature";
static const char default_breakers[] = "\n\0:\0\"\0*\0";

enum { DEFAULT_CONTEXT = 8192, MAX_CONTEXT = 1 << 24 };

/* Below this a temperature is greedy: logits divided by it would leave float's range. */
static const float least_temp = 1e-6f;

struct slm_sampler {
    slm_runtime *rt;
    slm_sampler_opts o;
    int n_vocab;
    enum stage chain[ST_COUNT];
    int n_chain;
    slm_logit_bias *bias;
    struct slm_cands cands;
    struct slm_penalty penalty;
    struct slm_dry dry;
    struct slm_rng rng;
    double mu;
};

void slm_sampler_opts_init(slm_sampler_opts *o)
{
    *o = (slm_sampler_opts){
        .temp = 0.8f,
        .top_k = 40,
        .top_p = 0.95f,
        .min_p = 0.05f,
        .typical_p = 1,
        .repeat_penalty = 1,
        .penalty_last_n = 64,
        .dry_base = 1.75f,
        .dry_allowed_length = 2,
        .dry_last_n = -1,
        .xtc_threshold = 0.1f,
        .mirostat_tau = 5,
        .mirostat_eta = 0.1f,
        .min_keep = 1,
    };
}

static int parse_order(slm_sampler *s, const char *order, slm_err *err)
{
    bool seen[ST_COUNT] = {0};
    for (const char *p = order; *p;) {
        size_t n = strcspn(p, ";, "), i = 0;
        while (n && i < sizeof stages / sizeof *stages
               && (strlen(stages[i].name) != n || strncmp(stages[i].name, p, n)))
            i++;
        if (n && i == sizeof stages / sizeof *stages)
            return slm_fail(err, SLM_E_ARG, "sampler order: '%.*s' is no sampler; there are %s",
                            n < 40 ? (int)n : 40, p, default_order);
        if (n && seen[stages[i].stage])
            return slm_fail(err, SLM_E_ARG, "sampler order: '%.*s' stands twice", (int)n, p);
        if (n) {
            seen[stages[i].stage] = true;
            s->chain[s->n_chain++] = stages[i].stage;
        }
        p += n + (p[n] != 0);
    }
    return 0;
}

/* The options that are numbers, and what each may be. NaN is outside every range. */
static int check_ranges(const slm_sampler_opts *o, slm_err *err)
{
    const struct { const char *name; double v, lo, hi; } r[] = {
        {"temp", (double)o->temp, 0, 1e6},
        {"top_k", o->top_k, 0, INT32_MAX},
        {"top_p", (double)o->top_p, 0, 1},
        {"min_p", (double)o->min_p, 0, 1},
        {"typical_p", (double)o->typical_p, 0, 1},
        {"repeat_penalty", (double)o->repeat_penalty, 1e-6, 1e6},
        {"presence_penalty", (double)o->presence_penalty, -1e6, 1e6},
        {"frequency_penalty", (double)o->frequency_penalty, -1e6, 1e6},
        {"penalty_last_n", o->penalty_last_n, -1, MAX_CONTEXT},
        {"dry_multiplier", (double)o->dry_multiplier, 0, 1e6},
        {"dry_base", (double)o->dry_base, 1, 1e6},
        {"dry_allowed_length", o->dry_allowed_length, 1, INT32_MAX},
        {"dry_last_n", o->dry_last_n, -1, MAX_CONTEXT},
        {"xtc_probability", (double)o->xtc_probability, 0, 1},
        {"xtc_threshold", (double)o->xtc_threshold, 0, 1},
        {"mirostat_tau", (double)o->mirostat_tau, 0, 1e6},
        {"mirostat_eta", (double)o->mirostat_eta, 0, 1e6},
        {"min_keep", o->min_keep, 0, INT32_MAX},
        {"context", o->context, 0, MAX_CONTEXT},
    };
    for (size_t i = 0; i < sizeof r / sizeof *r; i++)
        if (!(r[i].v >= r[i].lo && r[i].v <= r[i].hi))
            return slm_fail(err, SLM_E_ARG, "%s: %g is out of range %g..%g", r[i].name, r[i].v,
                            r[i].lo, r[i].hi);
    if (o->mirostat != 0 && o->mirostat != 2)
        return slm_fail(err, SLM_E_ARG, "mirostat: %d is no version; there is 2, and 0 for off",
                        o->mirostat);
    return 0;
}

static int take_bias(slm_sampler *s, const slm_sampler_opts *o, slm_err *err)
{
    if (o->n_bias < 0)
        return slm_fail(err, SLM_E_ARG, "logit bias: %d entries", o->n_bias);
    s->bias = slm_alloc_n(s->rt, SLM_MEM_GENERATE, (size_t)o->n_bias, sizeof *s->bias);
    if (!s->bias)
        return slm_fail_mem(err, "logit biases", (size_t)o->n_bias * sizeof *s->bias);
    for (int i = 0; i < o->n_bias; i++) {
        if (o->bias[i].id < 0 || o->bias[i].id >= s->n_vocab)
            return slm_fail(err, SLM_E_ARG, "logit bias: id %d is out of range 0..%d",
                            o->bias[i].id, s->n_vocab - 1);
        if (isnan(o->bias[i].bias) || o->bias[i].bias > 1e30f)
            return slm_fail(err, SLM_E_ARG, "logit bias: %g on id %d", (double)o->bias[i].bias,
                            o->bias[i].id);
        s->bias[i] = o->bias[i];
    }
    s->o.bias = s->bias;
    return 0;
}

static bool has(const slm_sampler *s, enum stage st)
{
    for (int i = 0; i < s->n_chain; i++)
        if (s->chain[i] == st)
            return true;
    return false;
}

static int take_penalties(slm_sampler *s, int window, slm_err *err)
{
    const slm_sampler_opts *o = &s->o;
    bool on = o->repeat_penalty != 1 || o->presence_penalty != 0 || o->frequency_penalty != 0;
    if (!on || !o->penalty_last_n || !has(s, ST_PENALTIES))
        return 0;
    s->penalty.window = window;
    s->penalty.counts =
        slm_zalloc_n(s->rt, SLM_MEM_GENERATE, (size_t)s->n_vocab, sizeof(int32_t));
    if (!s->penalty.counts)
        return slm_fail_mem(err, "penalties", (size_t)s->n_vocab * sizeof(int32_t));
    if (window < 0)
        return 0;
    s->penalty.ring = slm_alloc_n(s->rt, SLM_MEM_GENERATE, (size_t)window, sizeof(int32_t));
    return s->penalty.ring ? 0
                           : slm_fail_mem(err, "penalties", (size_t)window * sizeof(int32_t));
}

static int take_dry(slm_sampler *s, const slm_tokenizer *vocab, slm_err *err)
{
    const slm_sampler_opts *o = &s->o;
    struct slm_dry *d = &s->dry;
    if (!(o->dry_multiplier > 0) || !o->dry_last_n || !has(s, ST_DRY))
        return 0;
    const char *breakers = o->dry_breakers ? o->dry_breakers : default_breakers;
    if (!vocab && *breakers)
        return slm_fail(err, SLM_E_ARG,
                        "DRY's breakers need a tokenizer, and the model has none");
    int context = o->context ? o->context : DEFAULT_CONTEXT;
    d->rt = s->rt;
    d->multiplier = o->dry_multiplier;
    d->base = o->dry_base;
    d->allowed = o->dry_allowed_length;
    d->window = o->dry_last_n < 0 || o->dry_last_n > context ? context : o->dry_last_n;
    d->n_vocab = s->n_vocab;
    d->hist = slm_alloc_n(s->rt, SLM_MEM_GENERATE, (size_t)d->window * 2, sizeof(int32_t));
    d->z = slm_alloc_n(s->rt, SLM_MEM_GENERATE, (size_t)d->window, sizeof(int32_t));
    d->longest = slm_zalloc_n(s->rt, SLM_MEM_GENERATE, (size_t)s->n_vocab, sizeof(int32_t));
    d->breaks = slm_zalloc_n(s->rt, SLM_MEM_GENERATE, (size_t)s->n_vocab, 1);
    if (!d->hist || !d->z || !d->longest || !d->breaks)
        return slm_fail_mem(err, "DRY", (size_t)d->window * 3 * sizeof(int32_t));
    return vocab ? slm_dry_breakers(d, vocab, breakers, err) : 0;
}

int slm_sampler_new(slm_sampler **out, slm_runtime *rt, int n_vocab, const slm_tokenizer *vocab,
                    const slm_sampler_opts *o, slm_err *err)
{
    slm_sampler_opts d;
    if (!o) {
        slm_sampler_opts_init(&d);
        o = &d;
    }
    if (n_vocab < 1)
        return slm_fail(err, SLM_E_ARG, "a sampler for a vocabulary of %d", n_vocab);
    int code = check_ranges(o, err);
    if (code)
        return code;
    slm_sampler *s = slm_zalloc(rt, SLM_MEM_GENERATE, sizeof *s);
    if (!s)
        return slm_fail_mem(err, "sampler", sizeof *s);
    s->rt = rt;
    s->o = *o;
    s->n_vocab = n_vocab;
    s->cands.c = slm_alloc_n(rt, SLM_MEM_GENERATE, (size_t)n_vocab, sizeof *s->cands.c);
    s->cands.key = slm_alloc_n(rt, SLM_MEM_GENERATE, (size_t)n_vocab, sizeof *s->cands.key);
    if (!s->cands.c || !s->cands.key)
        code = slm_fail_mem(err, "sampler", (size_t)n_vocab * sizeof *s->cands.c * 2);
    if (!code)
        code = parse_order(s, o->order ? o->order : default_order, err);
    if (!code)
        code = take_bias(s, o, err);
    if (!code)
        code = take_penalties(s, o->penalty_last_n, err);
    if (!code)
        code = take_dry(s, vocab, err);
    if (code) {
        slm_sampler_free(s);
        return code;
    }
    slm_sampler_reset(s);
    *out = s;
    return 0;
}

void slm_sampler_free(slm_sampler *s)
{
    if (!s)
        return;
    void *own[] = {s->bias,     s->cands.c, s->cands.key,   s->penalty.counts, s->penalty.ring,
                   s->dry.hist, s->dry.z,   s->dry.longest, s->dry.breaks,     s->dry.multi};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        slm_free(s->rt, own[i]);
    slm_free(s->rt, s);
}

void slm_sampler_forget(slm_sampler *s)
{
    slm_penalty_forget(&s->penalty, s->n_vocab);
    s->dry.len = 0;
}

void slm_sampler_reset(slm_sampler *s)
{
    slm_sampler_forget(s);
    slm_rng_init(&s->rng, s->o.seed);
    s->mu = 2 * (double)s->o.mirostat_tau;
}

slm_runtime *slm_sampler_runtime(const slm_sampler *s) { return s->rt; }

uint64_t slm_sampler_seed(const slm_sampler *s) { return s->o.seed; }

void slm_sampler_accept(slm_sampler *s, int32_t id)
{
    if (id < 0 || id >= s->n_vocab)
        return;
    slm_penalty_accept(&s->penalty, id);
    slm_dry_accept(&s->dry, id);
}

/* What is wrong with logits that are not all below infinity, or none above minus infinity. */
static int bad_logits(const float *logits, int n, slm_err *err)
{
    for (int i = 0; i < n; i++)
        if (!(logits[i] < INFINITY))
            return slm_fail(err, SLM_E_NUMERIC, "the logit of id %d is %s", i,
                            isnan(logits[i]) ? "not a number" : "infinite");
    return slm_fail(err, SLM_E_NUMERIC, "none of the %d logits is finite", n);
}

/* Copies the logits with their biases; ids at minus infinity are no candidates. */
static int fill(struct slm_sampler *s, const float *logits, slm_err *err)
{
    struct slm_cand *c = s->cands.c;
    int good = 0, out = 0, n = s->n_vocab;
    for (int i = 0; i < n; i++) {
        good += logits[i] < INFINITY;
        out += logits[i] == -INFINITY;
        c[i] = (struct slm_cand){logits[i], i};
    }
    if (good < n || out == n)
        return bad_logits(logits, n, err);
    for (int i = 0; i < s->o.n_bias; i++)
        c[s->bias[i].id].logit += s->bias[i].bias;
    if (out || s->o.n_bias) {
        n = 0;
        for (int i = 0; i < s->n_vocab; i++)
            if (c[i].logit > -INFINITY)
                c[n++] = c[i];
    }
    if (!n)
        return slm_fail(err, SLM_E_ARG, "the logit biases ban every id");
    s->cands.n = n;
    s->cands.sorted = false;
    return 0;
}

static void run_stage(slm_sampler *s, enum stage st)
{
    const slm_sampler_opts *o = &s->o;
    struct slm_cands *c = &s->cands;
    bool filter = st != ST_PENALTIES && st != ST_DRY && st != ST_TEMP;
    if (filter && o->mirostat)
        return;
    switch (st) {
    case ST_PENALTIES: slm_penalty_apply(&s->penalty, c, o); break;
    case ST_DRY:       slm_dry_apply(&s->dry, c); break;
    case ST_TOP_K:
        slm_filter_top_k(c, o->top_k && o->top_k < o->min_keep ? o->min_keep : o->top_k);
        break;
    case ST_TYPICAL:   slm_filter_typical(c, o->typical_p, o->min_keep); break;
    case ST_TOP_P:     slm_filter_top_p(c, o->top_p, o->min_keep); break;
    case ST_MIN_P:     slm_filter_min_p(c, o->min_p, o->min_keep); break;
    case ST_XTC:
        /* a threshold above one half can never leave two above it */
        if (o->xtc_probability > 0 && o->xtc_threshold <= 0.5f
            && slm_rng_unit(&s->rng) <= (double)o->xtc_probability)
            slm_filter_xtc(c, o->xtc_threshold, o->min_keep);
        break;
    case ST_TEMP:
        if (o->temp >= least_temp && o->temp != 1)
            slm_filter_temperature(c, o->temp);
        break;
    case ST_COUNT: break;
    }
}

/* Only these filters can take the best candidate away. */
static bool may_lose_best(const slm_sampler *s, enum stage st)
{
    return st == ST_PENALTIES || st == ST_DRY || (st == ST_TYPICAL && s->o.typical_p < 1)
        || (st == ST_XTC && s->o.xtc_probability > 0);
}

/* Is the choice the largest logit, whatever came before? */
static bool plain(const slm_sampler *s)
{
    bool memory = s->penalty.counts || s->dry.hist;
    bool filters = (s->o.typical_p < 1 && has(s, ST_TYPICAL)) ||
                   (s->o.xtc_probability > 0 && has(s, ST_XTC));
    return s->o.temp < least_temp && !s->o.n_bias && !memory && !filters;
}

static int next_plain(const slm_sampler *s, const float *logits, int32_t *id, slm_err *err)
{
    float best = logits[0];
    int good = 0, n = s->n_vocab;
    for (int i = 0; i < n; i++) {
        good += logits[i] < INFINITY;
        best = logits[i] > best ? logits[i] : best;
    }
    if (good < n || best == -INFINITY)
        return bad_logits(logits, n, err);
    for (*id = 0; logits[*id] != best;)
        ++*id;
    return 0;
}

struct batch {
    slm_sampler *const *sampler;
    const float *const *logits;
    int32_t *ids;
    int n;
    atomic_int next;
};

static void draw_each(int ith, int nth, void *arg)
{
    struct batch *b = arg;
    (void)ith;
    (void)nth;
    for (int i; (i = atomic_fetch_add(&b->next, 1)) < b->n;)
        if (slm_sampler_next(b->sampler[i], b->logits[i], &b->ids[i], NULL))
            b->ids[i] = -1;
}

int slm_sampler_next_each(slm_sampler *const *s, const float *const *logits, int32_t *ids,
                          int n, slm_err *err)
{
    struct batch b = {.sampler = s, .logits = logits, .ids = ids, .n = n};
    int32_t id;
    if (n < 1)
        return slm_fail(err, SLM_E_ARG, "%d samplers", n);
    slm_pool_run(s[0]->rt->pool, draw_each, &b);
    for (int i = 0; i < n; i++)
        if (ids[i] < 0) /* failing changes nothing, so it fails again, and says why */
            return slm_sampler_next(s[i], logits[i], &id, err);
    return 0;
}

int slm_sampler_next(slm_sampler *s, const float *logits, int32_t *id, slm_err *err)
{
    if (plain(s))
        return next_plain(s, logits, id, err);
    int code = fill(s, logits, err);
    if (code)
        return code;
    bool greedy = s->o.temp < least_temp;
    bool short_cut = greedy;
    for (int i = 0; i < s->n_chain; i++)
        if (s->chain[i] == ST_TYPICAL || s->chain[i] == ST_XTC)
            short_cut = short_cut && !may_lose_best(s, s->chain[i]);
    for (int i = 0; i < s->n_chain; i++)
        if (!short_cut || may_lose_best(s, s->chain[i]))
            run_stage(s, s->chain[i]);
    int at;
    if (greedy) {
        at = slm_cands_best(&s->cands);
    } else {
        double p;
        if (s->o.mirostat)
            slm_filter_mirostat(&s->cands, s->mu);
        at = slm_cands_pick(&s->cands, slm_rng_unit(&s->rng), &p);
        if (s->o.mirostat)
            s->mu -= (double)s->o.mirostat_eta * (-log2(p) - (double)s->o.mirostat_tau);
    }
    *id = s->cands.c[at].id;
    slm_sampler_accept(s, *id);
    return 0;
}
