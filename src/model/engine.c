/* The engine of sessions: a program for prompts and one for decoding, built on one model, in
 * one block of work memory; and one that gives many rows of logits, once somebody wants them.
 * Which of the two a row goes through is the caller's decision and never depends on how many
 * rows there are, so a row's bits do not either. The engine times its decode runs, for those
 * who must know what a row more costs. */
#include "model/session_in.h"

#include <math.h>
#include <string.h>

static bool decodes(int which) { return which == SLM_PHASE_DECODE; }

/* A program with room for `outs` rows of logits, in place of what stood there. */
static int open_program(struct slm_engine *e, int which, int outs, slm_err *err)
{
    struct slm_prog_opts o = {.max_rows = decodes(which) ? STEP_ROWS : e->batch,
                              .max_out = outs,
                              .fast = !e->exact,
                              .cache = true,
                              .phase = decodes(which) ? SLM_PHASE_DECODE : SLM_PHASE_PROMPT,
                              .share = decodes(which) ? e->prog[SLM_PHASE_PROMPT] : NULL};
    struct slm_emit_opts emit = {.adapter = e->adapter, .gather = true};
    slm_prog *p;
    int rc = slm_prog_new(&p, e->rt, &o, err);
    if (rc)
        return rc;
    slm_val logits = slm_model_emit(p, e->m, &emit);
    slm_prog_keep(p, logits);
    rc = slm_prog_plan(p, err);
    if (rc) {
        slm_prog_free(p);
        return rc;
    }
    slm_prog_free(e->prog[which]);
    e->prog[which] = p;
    e->logits[which] = logits;
    e->most_out[which] = outs;
    return 0;
}

/* Most streams want one row at a time, and rows of a large vocabulary are as large as all other
 * work: so at first there are as many as fit where a prompt's values lie. */
static int first_outs(const struct slm_engine *e)
{
    size_t row = (size_t)e->m->hp.vocab * sizeof(float);
    size_t n = slm_prog_bytes(e->prog[SLM_PHASE_PROMPT]) / 2 / row;
    return n < 1 ? 1 : n < STEP_ROWS ? (int)n : STEP_ROWS;
}

int slm_engine_widen(struct slm_engine *e, int which, int outs, slm_err *err)
{
    if (outs <= e->most_out[which])
        return 0;
    if (!decodes(which))
        return open_program(e, which, slm_model_logit_rows(e->m, e->batch), err);
    int n = 2 * e->most_out[which];
    n = n < outs ? outs : n;
    return open_program(e, which, n < STEP_ROWS ? n : STEP_ROWS, err);
}

static int open_arrays(struct slm_engine *e, slm_err *err)
{
    size_t rows = (size_t)(e->batch > STEP_ROWS ? e->batch : STEP_ROWS);
    int32_t *all = slm_alloc_n(e->rt, SLM_MEM_MODEL, rows * 4, sizeof *all);
    if (!all)
        return slm_fail_mem(err, "session", rows * 4 * sizeof *all);
    e->ids = all;
    e->pos = all + rows;
    e->stream = all + 2 * rows;
    e->out = all + 3 * rows;
    return 0;
}

int slm_engine_open(struct slm_engine **out, const slm_model *m, int batch,
                    const slm_session_opts *o, slm_err *err)
{
    struct slm_engine *e = slm_zalloc(m->rt, SLM_MEM_MODEL, sizeof *e);
    if (!e)
        return slm_fail_mem(err, "session", sizeof *e);
    e->m = m;
    e->rt = m->rt;
    e->users = 1;
    e->batch = batch;
    e->exact = o->exact;
    e->adapter = o->adapter;
    int rc = open_arrays(e, err);
    if (!rc)
        rc = open_program(e, SLM_PHASE_PROMPT, 1, err);
    if (!rc)
        rc = open_program(e, SLM_PHASE_DECODE, first_outs(e), err);
    if (rc)
        slm_engine_release(e);
    else
        *out = e;
    return rc;
}

void slm_engine_release(struct slm_engine *e)
{
    if (!e || --e->users)
        return;
    slm_prog_free(e->prog[ENGINE_SCORE]);
    slm_prog_free(e->prog[SLM_PHASE_DECODE]);
    slm_prog_free(e->prog[SLM_PHASE_PROMPT]);
    slm_free(e->rt, e->ids);
    slm_free(e->rt, e);
}

int64_t slm_engine_bytes(const struct slm_engine *e)
{
    size_t a = slm_prog_bytes(e->prog[SLM_PHASE_PROMPT]),
           b = slm_prog_bytes(e->prog[SLM_PHASE_DECODE]);
    return (int64_t)(b <= a ? a : a + b);
}

const float *slm_engine_logits(const struct slm_engine *e, int r)
{
    size_t ld;
    const float *v = slm_prog_value(e->prog[e->which], e->logits[e->which], &ld);
    return v + (size_t)r * ld;
}

/* ---- are they numbers? ---- */

/* Infinities and NaN have all bits of the exponent set. */
bool slm_engine_finite(const struct slm_engine *e, int r)
{
    const float *x = slm_engine_logits(e, r);
    size_t n = (size_t)e->m->hp.vocab, i = 0;
    uint32_t bad[8] = {0};
    for (; i + 8 <= n; i += 8) {
        uint32_t u[8];
        memcpy(u, x + i, sizeof u);
        for (int j = 0; j < 8; j++)
            bad[j] |= (uint32_t)((u[j] & 0x7f800000u) == 0x7f800000u);
    }
    for (; i < n; i++)
        bad[0] |= !isfinite(x[i]);
    for (int j = 1; j < 8; j++)
        bad[0] |= bad[j];
    return !bad[0];
}

struct look {
    const struct slm_engine *e;
    int rows;
    _Atomic uint64_t bad;
};

static void look_at(int ith, int nth, void *arg)
{
    struct look *l = arg;
    for (int r = ith; r < l->rows; r += nth)
        if (!slm_engine_finite(l->e, r))
            l->bad |= (uint64_t)1 << r;
}

/* Notes which of a decode run's rows of logits are not finite (prompts ask row by row). */
static void check_rows(struct slm_engine *e, int rows)
{
    struct look l = {.e = e, .rows = rows};
    if (rows > 1)
        slm_pool_run(e->rt->pool, look_at, &l);
    else
        look_at(0, 1, &l);
    e->bad = l.bad;
}

/* ---- running ---- */

/* A machine that others use too is now and then slow for a while: no single run counts for
 * much, and none for more than twice what was known. */
static void learn_cost(struct slm_engine *e, int rows, double seconds)
{
    double *was = &e->seconds[rows];
    if (*was > 0)
        *was += 0.25 * ((seconds > 2 * *was ? 2 * *was : seconds) - *was);
    else
        *was = seconds;
}

void slm_engine_run(struct slm_engine *e, int which, const struct slm_work *w, int n)
{
    int rows = 0, outs = 0;
    e->runs++;
    e->which = which;
    for (int i = 0; i < n; i++) {
        slm_session *s = w[i].s;
        e->kv[i] = &s->kv;
        e->rope_set[i] = s->rope_set;
        s->run = e->runs;
        s->out0 = outs;
        s->outs = w[i].outs;
        for (int r = 0; r < w[i].rows; r++) {
            e->ids[rows + r] = s->ids[w[i].from + r];
            e->pos[rows + r] = w[i].from + r;
            e->stream[rows + r] = i;
        }
        rows += w[i].rows;
        for (int r = w[i].outs; r > 0; r--)
            e->out[outs++] = rows - r;
        if (s->top < w[i].from + w[i].rows)
            s->top = w[i].from + w[i].rows;
    }
    struct slm_run r = {.rows = rows,
                        .ids = e->ids,
                        .pos = e->pos,
                        .stream = e->stream,
                        .n_streams = n,
                        .kv = e->kv,
                        .rope_set = e->rope_set,
                        .out = e->out,
                        .n_out = outs};
    double t = slm_clock_seconds();
    slm_prog_run(e->prog[which], &r);
    if (decodes(which) && n == 1 && outs == rows)
        learn_cost(e, rows, slm_clock_seconds() - t);
    if (decodes(which))
        check_rows(e, outs);
}

/* Between two measured counts of rows costs lie on a line, and so they go on above the last. A
 * second row may cost much (other kernels begin there), each further one costs little: so it is
 * taken to be where nothing is known. */
double slm_session_cost(const slm_session *s, int rows)
{
    const double *c = s->engine->seconds, second = 0.6, further = 0.12;
    int lo = rows, hi = rows;
    while (lo > 1 && c[lo] <= 0)
        lo--;
    while (hi <= STEP_ROWS && c[hi] <= 0)
        hi++;
    if (c[lo] <= 0 || lo == rows)
        return c[lo];
    if (hi <= STEP_ROWS)
        return c[lo] + (rows - lo) * (c[hi] - c[lo]) / (hi - lo);
    if (lo == 1)
        return c[1] * (1 + second + further * (rows - 1));
    int before = lo - 1;
    while (before > 1 && c[before] <= 0)
        before--;
    double slope = (c[lo] - c[before]) / (lo - before);
    if (before == 1 && slope > further * c[1])
        slope = further * c[1];
    double least = c[1] / 50; /* a row is never free, whatever noise says */
    return c[lo] + (rows - lo) * (slope > least ? slope : least);
}
