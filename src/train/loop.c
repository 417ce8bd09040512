/* The run from end to end: opening, steps, evals, checkpoints, events, and what is left at the
 * end. Whoever watches may stop it between steps; then it is saved first. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "train/prefer_run.h"

/* ---- opening ---- */

static int mark(slm_train *t, slm_err *err)
{
    slm_model *m = t->m;
    uint64_t by[SLM_DTYPE_COUNT] = {0};
    for (int i = 0; i < m->n_weights; i++)
        if (slm_model_rounds(m, i))
            by[m->weight[i].type] += (uint64_t)m->weight[i].parts *
                                     (uint64_t)m->weight[i].rows * (uint64_t)m->weight[i].cols;
    for (int i = 0; i < SLM_DTYPE_COUNT; i++)
        t->stored = by[i] > by[t->stored] ? (enum slm_dtype)i : t->stored;
    if (t->o.adapter)
        return 0;
    t->which = slm_arena_alloc(&t->arena, (size_t)m->n_weights);
    if (!t->which)
        return slm_fail_mem(err, "weights", (size_t)m->n_weights);
    return slm_train_targets(t, err);
}

/* The feeds, with batches as the options have them now. */
int slm_train_feed(slm_train *t, slm_err *err)
{
    slm_feeder_close(&t->feed);
    slm_feeder_close(&t->eval);
    int rc = slm_feeder_open(&t->feed, t, t->o.data, false, err);
    if (!rc && t->o.eval_data)
        rc = slm_feeder_open(&t->eval, t, t->o.eval_data, true, err);
    if (rc)
        return rc;
    int most = slm_feed_most(t->feed.feed),
        eval = t->eval.feed ? slm_feed_most(t->eval.feed) : 0;
    t->most = eval > most ? eval : most;
    if (t->most <= t->room)
        return 0;
    t->room = t->most;
    t->rope_set = slm_arena_alloc(&t->arena, (size_t)t->room);
    t->weight = slm_arena_alloc_n(&t->arena, (size_t)t->room, sizeof *t->weight);
    return t->rope_set && t->weight ? 0 : slm_fail_mem(err, "batches", (size_t)t->room * 5);
}

static int prepare(slm_train *t, const slm_train_opts *o, slm_err *err)
{
    bool found = false;
    int rc = slm_train_opts_take(t, o, err);
    if (!rc)
        rc = mark(t, err);
    if (!rc)
        rc = slm_train_feed(t, err);
    if (!rc)
        rc = slm_params_open(&t->params, t->m, t->o.adapter, t->which, err);
    if (rc)
        return rc;
    rc = slm_ranks_share(t, err);
    if (rc)
        return rc;
    slm_optim_lay(&t->optim, slm_optim_find(t->o.optimizer), &t->params);
    t->fingerprint = slm_model_fingerprint(t->m);
    rc = slm_prefer_run_open(t, err);
    if (rc)
        return rc;
    if (t->o.resume)
        rc = slm_train_find(t, &found, err);
    if (found && !rc)
        rc = slm_train_feed(t, err);
    if (!rc)
        rc = slm_train_make_plan(t, err);
    return rc ? rc : slm_schedule_init(&t->schedule, &t->o, t->plan.steps, err);
}

int slm_train_open(slm_train **out, slm_model *m, const slm_train_opts *o, slm_err *err)
{
    slm_train *t = slm_zalloc(m->rt, SLM_MEM_MODEL, sizeof *t);
    if (!t)
        return slm_fail_mem(err, "training", sizeof *t);
    t->rt = m->rt;
    t->m = m;
    t->best = 2e300;
    slm_arena_init(&t->arena, m->rt, SLM_MEM_MODEL);
    int rc = prepare(t, o, err);
    if (rc)
        slm_train_close(&t);
    else
        *out = t;
    return rc;
}

void slm_train_close(slm_train **pt)
{
    slm_train *t = pt ? *pt : NULL;
    if (!t)
        return;
    slm_train_unbuild(t);
    slm_prefer_run_close(t);
    slm_optim_release(&t->optim, t->rt);
    slm_params_release(&t->params);
    slm_feeder_close(&t->feed);
    slm_feeder_close(&t->eval);
    slm_arena_release(&t->arena);
    slm_free(t->rt, t);
    *pt = NULL;
}

/* ---- events ---- */

static slm_train_event about(const slm_train *t, enum slm_train_kind kind)
{
    double s = slm_clock_seconds() - t->started;
    return (slm_train_event){
        .kind = kind,
        .step = t->step,
        .steps = t->plan.steps,
        .tokens = t->tokens,
        .targets = t->targets,
        .epoch = (double)(t->step * t->o.accumulate) / (double)slm_feed_batches(t->feed.feed),
        .loss = t->loss,
        .best = t->best,
        .grad_norm = t->norm,
        .tokens_s = t->rate > 0 ? 1 / t->rate : 0,
        .chosen = (double)NAN,
        .rejected = (double)NAN,
        .right = (double)NAN,
        .margin = (double)NAN,
        .seconds = s,
        .eta = t->step > t->first
                   ? s * (double)(t->plan.steps - t->step) / (double)(t->step - t->first)
                   : 0,
    };
}

static bool tell(const slm_train *t, const slm_train_event *e)
{
    return t->o.event && t->o.event(t->o.event_arg, e);
}

static bool note(const slm_train *t, const char *fmt, ...) SLM_PRINTF(2, 3);
static bool note(const slm_train *t, const char *fmt, ...)
{
    char text[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    slm_train_event e = about(t, SLM_TRAIN_NOTE);
    e.text = text;
    return tell(t, &e);
}

/* ---- the run ---- */

/* Each rank has a file of its own for its share. */
static int take_states(slm_train *t, slm_err *err)
{
    struct slm_buf b;
    slm_buf_init(&b, t->rt, SLM_MEM_MODEL, 65536);
    if (t->o.states_file && t->sharing.r)
        slm_buf_printf(&b, "%s.%d", t->o.states_file, t->sharing.r->rank);
    else if (t->o.states_file)
        slm_buf_puts(&b, t->o.states_file);
    int rc = slm_buf_check(&b, "states-file", err);
    if (!rc)
        rc = slm_optim_take(&t->optim, t->rt, t->o.states_file ? b.s : NULL, err);
    slm_buf_release(&b);
    return rc;
}

/* All memory, and the values it begins with. */
static int take(slm_train *t, slm_err *err)
{
    if (t->taken)
        return 0;
    t->taken = true;
    bool make = slm_ranks_leader(t) && t->o.out && !slm_path_is_dir(t->o.out);
    int rc = make ? slm_dir_make(t->o.out, err) : 0;
    rc = slm_ranks_same(t, rc, err);
    if (!rc && t->o.out && slm_ranks_leader(t))
        slm_train_sweep(t);
    if (!rc && t->o.quantize_base) {
        struct slm_retype r = {.type = (enum slm_dtype)slm_dtype_of_name(t->o.quantize_base)};
        rc = slm_model_retype(t->m, &r, err);
    }
    if (!rc && t->which)
        rc = slm_model_unfreeze(t->m, t->which, err);
    if (!rc)
        rc = slm_params_take(&t->params, err);
    int bad = rc ? -1 : slm_params_bad(&t->params, false);
    if (bad >= 0)
        rc = slm_fail(err, SLM_E_NUMERIC, "%s: the weight %s holds what is not finite",
                      t->m->name, t->params.p[bad].name);
    if (!rc)
        rc = take_states(t, err);
    if (!rc && t->step)
        rc = slm_train_load(t, err);
    if (!rc)
        rc = slm_train_build(t, err);
    if (!rc)
        rc = slm_prefer_run_begin(t, err);
    return slm_ranks_agree(t, rc, err);
}

static int save(slm_train *t, bool *stop, slm_err *err)
{
    if (!t->o.out || t->saved)
        return 0;
    int rc = slm_train_save(t, err);
    slm_train_event e = about(t, SLM_TRAIN_CHECKPOINT);
    e.path = t->o.out;
    *stop |= !rc && tell(t, &e);
    return rc;
}

static int evaluate(slm_train *t, bool *stop, slm_err *err)
{
    slm_train_event e = about(t, SLM_TRAIN_EVAL);
    int rc = slm_train_eval(t, &e.loss, err);
    if (rc)
        return rc;
    e.best_now = e.loss < t->best;
    t->stale = e.best_now ? 0 : t->stale + 1;
    if (e.best_now) {
        t->best = e.loss;
        t->best_step = t->step;
        rc = t->o.out && !t->o.keep_last ? slm_train_save_best(t, err) : 0;
    }
    e.best = t->best;
    *stop |= !rc && tell(t, &e);
    e.kind = SLM_TRAIN_SAMPLE;
    *stop |= !rc && tell(t, &e);
    return rc;
}

static int one_step(slm_train *t, bool *stop, slm_err *err)
{
    double from = slm_clock_seconds();
    int64_t tokens = t->tokens;
    float lr = t->o.lr * slm_schedule_at(&t->schedule, t->step);
    int rc = slm_train_step(t, err);
    if (rc)
        return rc;
    double took = (slm_clock_seconds() - from) / (double)(t->tokens - tokens);
    t->rate = t->rate > 0 ? .9 * t->rate + .1 * took : took;
    slm_train_event e = about(t, SLM_TRAIN_STEP);
    e.lr = (double)lr;
    if (t->prefer)
        slm_prefer_run_tell(t, &e);
    *stop |= tell(t, &e);
    return 0;
}

static bool due(const slm_train *t, int every)
{
    return every && t->step % every == 0 && t->step < t->plan.steps;
}

static int steps(slm_train *t, bool *stop, slm_err *err)
{
    int rc = 0;
    bool enough = t->o.patience && t->stale >= t->o.patience; /* it had stopped by itself */
    while (!rc && !*stop && !enough && t->step < t->plan.steps) {
        rc = one_step(t, stop, err);
        *stop = !rc && slm_ranks_any(t, *stop);
        bool last = t->step == t->plan.steps;
        if (!rc && t->eval.feed && (due(t, t->o.eval_every) || (last && !*stop)))
            rc = evaluate(t, stop, err);
        enough = t->o.patience && t->stale >= t->o.patience;
        if (!rc && due(t, t->o.save_every))
            rc = save(t, stop, err);
        *stop = !rc && slm_ranks_any(t, *stop);
    }
    if (!rc && enough && t->step < t->plan.steps)
        note(t, "%d evals without a new best: stopped at step %lld", t->stale,
             (long long)t->step);
    return rc;
}

int slm_train_run(slm_train *t, slm_err *err)
{
    bool stop = false;
    int rc = take(t, err);
    t->started = slm_clock_seconds();
    t->first = t->step;
    if (!rc && t->step)
        stop = slm_ranks_any(t, note(t, "goes on behind step %lld of %lld", (long long)t->step,
                                     (long long)t->plan.steps));
    if (!rc)
        rc = steps(t, &stop, err);
    if (!rc)
        rc = save(t, &stop, err);
    stop = !rc && slm_ranks_any(t, stop);
    if (!rc && stop)
        return slm_fail(err, SLM_E_CANCELLED, "stopped behind step %lld of %lld%s%s",
                        (long long)t->step, (long long)t->plan.steps,
                        t->o.out ? "; --resume goes on from " : "", t->o.out ? t->o.out : "");
    if (!rc)
        rc = slm_train_finish(t, err);
    if (rc)
        return rc;
    slm_train_event e = about(t, SLM_TRAIN_DONE);
    e.path = t->o.out;
    tell(t, &e);
    return 0;
}
