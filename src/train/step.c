/* One step: the micro-batches forward and back into one block of gradients, each weighing by
 * its share of the targets of all; then clipping and the optimiser. And the evals, on the same
 * graph without its backward. What is not finite is hunted to the first tensor that is not. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "train/prefer_run.h"

/* ---- programs ---- */

struct slm_prog_opts slm_train_prog_opts(const slm_train *t, int rows, bool learn)
{
    return (struct slm_prog_opts){.max_rows = rows,
                                  .max_out = rows,
                                  .train = learn,
                                  .bf16 = learn && t->bf16,
                                  .stretch = learn ? t->o.stretch : 0,
                                  .phase = SLM_PHASE_PROMPT,
                                  .share = learn ? NULL : t->prog};
}

void slm_train_emit(const slm_train *t, slm_prog *p, const slm_model *m)
{
    struct slm_emit_opts o = {.adapter = t->o.adapter, .loss = true};
    slm_model_emit(p, m, &o);
}

static int build_one(slm_train *t, slm_prog **out, bool learn, bool measure, slm_err *err)
{
    struct slm_prog_opts o = slm_train_prog_opts(t, t->most, learn);
    o.measure = measure;
    int rc = slm_prog_new(out, t->rt, &o, err);
    if (rc)
        return rc;
    slm_train_emit(t, *out, t->m);
    for (int i = 0; i < t->params.n_wanted && learn && t->params.grad; i++) {
        const struct slm_wanted *w = &t->params.wanted[i];
        slm_prog_want(*out, w->w, t->params.grad + w->at);
    }
    return slm_prog_plan(*out, err);
}

int slm_train_build(slm_train *t, slm_err *err)
{
    int rc = build_one(t, &t->prog, true, false, err);
    return rc || !t->eval.feed ? rc : build_one(t, &t->eval_prog, false, false, err);
}

int slm_train_measure(slm_train *t, uint64_t *bytes, slm_err *err)
{
    slm_prog *p = NULL;
    int rc = build_one(t, &p, true, true, err);
    *bytes = rc ? 0 : slm_prog_bytes(p);
    slm_prog_free(p);
    return rc;
}

void slm_train_unbuild(slm_train *t)
{
    slm_prog_free(t->eval_prog);
    slm_prog_free(t->prog);
    t->prog = t->eval_prog = NULL;
}

/* ---- runs ---- */

/* Longrope has other factors for sequences beyond the original context. */
static void rope_sets(slm_train *t, const struct slm_batch *b)
{
    const struct slm_rope *r = &t->m->hp.rope[0];
    memset(t->rope_set, 0, (size_t)b->n_streams);
    for (int i = 0; i < b->rows && r->kind == SLM_ROPE_LONG; i++)
        t->rope_set[b->stream[i]] |= b->pos[i] >= r->original;
}

struct slm_run slm_train_run_of(slm_train *t, const struct slm_batch *b)
{
    rope_sets(t, b);
    return (struct slm_run){.rows = b->rows,
                            .ids = b->ids,
                            .pos = b->pos,
                            .stream = b->stream,
                            .n_streams = b->n_streams,
                            .rope_set = t->rope_set,
                            .target = b->target};
}

/* ---- what is not finite ---- */

struct hunt {
    const slm_model *m;
    const struct slm_run *run;
    char what[200];
};

static bool weight_finite(const slm_model *m, const struct slm_weight *w, float *row)
{
    for (int p = 0; p < w->parts; p++)
        for (int r = 0; r < w->rows; r++) {
            m->rt->kern->to_f32[w->type](row, w->part[p] + (size_t)r * w->stride,
                                         (size_t)w->cols);
            for (int c = 0; c < w->cols; c++)
                if (!isfinite(row[c]))
                    return false;
        }
    return true;
}

static void hunt(void *arg, const slm_prog *p, const struct slm_node_info *node)
{
    struct hunt *h = arg;
    if (h->what[0] || node->out < 0 || slm_prog_finite(p, node->out, h->run))
        return;
    if (!node->w) {
        snprintf(h->what, sizeof h->what, "the output of %s in layer %d", node->op,
                 node->layer);
        return;
    }
    float *row = slm_alloc_n(h->m->rt, SLM_MEM_MODEL, (size_t)node->w->cols, sizeof *row);
    bool given = row && !weight_finite(h->m, node->w, row);
    slm_free(h->m->rt, row);
    snprintf(h->what, sizeof h->what, given ? "the weight %s" : "the output of %s (%s)",
             node->w->name, node->op);
}

/* Runs the batch again, looking at each value. */
static int fail_forward(slm_train *t, slm_prog *p, const struct slm_run *run, slm_err *err)
{
    struct hunt h = {.m = t->m, .run = run};
    slm_prog_tap(p, hunt, &h);
    slm_prog_run(p, run);
    slm_prog_tap(p, NULL, NULL);
    return slm_fail(err, SLM_E_NUMERIC, "step %lld: the loss is not finite; first is %s",
                    (long long)t->step + 1, h.what[0] ? h.what : "the loss itself");
}

/* The way back reaches the last layer first: of the parameters whose gradients are not finite,
 * the one that stands last. */
static int fail_backward(slm_train *t, slm_err *err)
{
    const struct slm_params *p = &t->params;
    int bad = slm_params_bad(p, true), rc = 0;
    if (t->sharing.r && bad < 0) /* its owner knows */
        rc = slm_ranks_agree(t, 0, err);
    if (rc)
        return rc;
    rc = slm_fail(err, SLM_E_NUMERIC, "step %lld: the gradient of %s is not finite",
                  (long long)t->step + 1, bad >= 0 ? p->p[bad].name : "all together");
    return bad >= 0 ? slm_ranks_agree(t, rc, err) : rc;
}

/* ---- a step ---- */

/* Numbers of the same step, whatever ran before it. */
uint64_t slm_train_dropout_seed(const slm_train *t, int64_t micro)
{
    struct slm_rng r;
    const slm_train_ranks *s = t->sharing.r;
    uint64_t batch = s ? (uint64_t)micro * (uint64_t)s->n + (uint64_t)s->rank : (uint64_t)micro;
    slm_rng_init(&r, t->o.seed ^ batch * 0x9e3779b97f4a7c15u);
    return slm_rng_u64(&r) | 1;
}

static int forward_back(slm_train *t, struct slm_batch *b, int64_t micro, int64_t all,
                        slm_err *err)
{
    struct slm_run run = slm_train_run_of(t, b);
    run.weight = t->weight;
    run.seed = slm_train_dropout_seed(t, micro);
    for (int i = 0; i < b->rows; i++)
        t->weight[i] = 1 / (float)all;
    slm_prog_run(t->prog, &run);
    double loss = slm_prog_loss(t->prog);
    if (!isfinite(loss))
        return fail_forward(t, t->prog, &run, err);
    t->loss += loss;
    slm_ranks_watch(t, micro % t->o.accumulate == t->o.accumulate - 1);
    slm_prog_run_back(t->prog, &run);
    return 0;
}

/* Targets of all micro-batches: what each is divided by. */
static int count(slm_train *t, int64_t first, int64_t *all, slm_err *err)
{
    struct slm_batch b;
    int rc = 0;
    *all = 0;
    for (int i = 0; i < t->o.accumulate && !rc; i++) {
        rc = slm_feed_get(t->feed.feed, (uint64_t)(first + i), &b, err);
        *all += rc ? 0 : b.targets;
    }
    double sum = (double)*all;
    rc = slm_ranks_sum(t, rc, &sum, 1, err);
    *all = (int64_t)sum;
    if (!rc && !*all)
        rc = slm_fail(err, SLM_E_ARG, "step %lld: its batch has no token to learn",
                      (long long)t->step + 1);
    return rc;
}

static void update(slm_train *t)
{
    const slm_train_opts *o = &t->o;
    struct slm_optim_step s = {
        .lr = o->lr * slm_schedule_at(&t->schedule, t->step),
        .beta1 = o->beta1,
        .beta2 = o->beta2,
        .eps = o->eps,
        .decay = o->weight_decay,
        .momentum = o->momentum,
        .scale = 1,
        .step = t->step + 1,
        .power1 = pow((double)o->beta1, (double)(t->step + 1)),
        .power2 = pow((double)o->beta2, (double)(t->step + 1)),
    };
    if (o->clip > 0 && t->norm > (double)o->clip)
        s.scale = (float)((double)o->clip / (t->norm + 1e-6));
    slm_optim_run(&t->optim, &t->params, &s);
}

/* Gradients, loss, tokens and norm of all ranks; a rank in trouble comes here too. */
static int together(slm_train *t, int rc, double *tokens, slm_err *err)
{
    int sent = slm_ranks_reduce(t, rc ? NULL : err);
    double norm = rc ? 0 : slm_params_norm(&t->params), x[3] = {t->loss, *tokens, norm * norm};
    rc = slm_ranks_sum(t, rc ? rc : sent, x, 3, err);
    t->norm = norm;
    if (!t->sharing.r)
        return rc;
    t->loss = x[0];
    *tokens = x[1];
    t->norm = sqrt(x[2]);
    return rc;
}

/* The mean loss of tokens, of this rank's micro-batches. */
static int tokens_step(slm_train *t, int64_t first, int64_t all, double *tokens, slm_err *err)
{
    int rc = 0;
    for (int i = 0; i < t->o.accumulate && !rc; i++) {
        struct slm_batch b;
        rc = slm_feed_get(t->feed.feed, (uint64_t)(first + i), &b, err);
        if (!rc && b.targets)
            rc = forward_back(t, &b, first + i, all, err);
        *tokens += rc ? 0 : b.rows;
    }
    return rc;
}

int slm_train_step(slm_train *t, slm_err *err)
{
    int64_t first = t->step * t->o.accumulate, all;
    double tokens = 0;
    int rc = t->prefer ? slm_prefer_run_count(t, first, &all, err) : count(t, first, &all, err);
    if (rc)
        return rc;
    t->loss = 0;
    slm_params_clear(&t->params);
    rc = t->prefer ? slm_prefer_run_step(t, first, &tokens, err)
                   : tokens_step(t, first, all, &tokens, err);
    rc = together(t, rc, &tokens, err);
    if (rc)
        return rc;
    if (!isfinite(t->norm))
        return fail_backward(t, err);
    t->tokens += (int64_t)tokens;
    t->targets += all;
    update(t);
    rc = slm_ranks_spread(t, err);
    if (rc)
        return rc;
    t->step++;
    t->saved = false;
    return 0;
}

int slm_train_eval(slm_train *t, double *loss, slm_err *err)
{
    if (t->prefer)
        return slm_prefer_run_eval(t, loss, err);
    int64_t n = slm_feed_batches(t->eval.feed), targets = 0;
    double sum = 0;
    int rc = 0;
    if (t->o.eval_batches && n > t->o.eval_batches)
        n = t->o.eval_batches;
    for (int64_t i = 0; i < n && !rc; i++) {
        struct slm_batch b;
        rc = slm_feed_get(t->eval.feed, (uint64_t)i, &b, err);
        if (rc || !b.targets)
            continue;
        struct slm_run run = slm_train_run_of(t, &b);
        slm_prog_run(t->eval_prog, &run);
        double one = slm_prog_loss(t->eval_prog);
        if (!isfinite(one))
            rc = fail_forward(t, t->eval_prog, &run, err);
        sum += one * (double)b.targets;
        targets += b.targets;
    }
    double all[2] = {sum, (double)targets};
    rc = slm_ranks_sum(t, rc, all, 2, err);
    *loss = all[1] > 0 ? all[0] / all[1] : 0;
    return rc;
}
