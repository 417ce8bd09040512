/* One stream of tokens through a model. The session holds its tokens, so that it can be told
 * the whole prefix each time and computes only what is new, and so that a longrope model which
 * crosses its original context can be computed again with the long factors, as the reference
 * does. */
#include "model/session_in.h"

#include <string.h>

enum { DEFAULT_CONTEXT = 4096, DEFAULT_BATCH = 512 };

void slm_session_opts_init(slm_session_opts *o) { memset(o, 0, sizeof *o); }

static int cache_type(const slm_session_opts *o, enum slm_dtype *out, slm_err *err)
{
    const char *name = o->kv_type ? o->kv_type : o->exact ? "f32" : "f16";
    int t = slm_dtype_of_name(name);
    if (t != SLM_F32 && t != SLM_F16 && t != SLM_BF16 && t != SLM_Q8_0 && t != SLM_Q4_0)
        return slm_fail(err, SLM_E_UNSUPPORTED,
                        "cache type '%s': want f32, f16, bf16, q8_0 or q4_0", name);
    *out = (enum slm_dtype)t;
    return 0;
}

static int open_cache(slm_session *s, enum slm_dtype type, slm_err *err)
{
    int *room = slm_alloc_n(s->rt, SLM_MEM_MODEL, (size_t)s->m->hp.layers * 3, sizeof *room);
    if (!room)
        return slm_fail_mem(err, "session", (size_t)s->m->hp.layers * 12);
    struct slm_kv_shape shape;
    int batch = s->engine->batch > STEP_ROWS ? s->engine->batch : STEP_ROWS;
    slm_model_kv_shape(s->m, &shape, room, s->context, batch, type);
    int rc = slm_kv_init(&s->kv, s->rt, &shape, err);
    slm_free(s->rt, room);
    return rc;
}

/* The engine of `o->share`, or a new one. */
static int open_engine(slm_session *s, const slm_session_opts *o, slm_err *err)
{
    struct slm_engine *e = o->share ? o->share->engine : NULL;
    int batch = o->batch ? o->batch : DEFAULT_BATCH;
    if (o->adapter && o->adapter->m != s->m)
        return slm_fail(err, SLM_E_ARG, "an adapter of %s for a session on %s",
                        o->adapter->m->src.path, s->m->src.path);
    if (!e) {
        if (batch < 1 || batch > 65536)
            return slm_fail(err, SLM_E_ARG, "batch of %d: want 1 to 65536", batch);
        return slm_engine_open(&s->engine, s->m, batch < s->context ? batch : s->context,
                               o, err);
    }
    if (e->m != s->m)
        return slm_fail(err, SLM_E_ARG, "a session on %s cannot share the work of one on %s",
                        s->m->src.path, e->m->src.path);
    if (o->batch && o->batch != e->batch)
        return slm_fail(err, SLM_E_ARG, "batch of %d: the shared work is for %d", o->batch,
                        e->batch);
    if (!!o->exact != e->exact)
        return slm_fail(err, SLM_E_ARG, "the shared work is %s, exact activations are %s",
                        e->exact ? "exact" : "fast", o->exact ? "wanted" : "not");
    if (o->adapter != e->adapter)
        return slm_fail(err, SLM_E_ARG, "the shared work is for another adapter");
    s->engine = e;
    e->users++;
    return 0;
}

static int choose_context(slm_session *s, const slm_session_opts *o, slm_err *err)
{
    int trained = s->m->hp.context;
    s->context = o->context                  ? o->context
                 : trained < DEFAULT_CONTEXT ? trained
                                             : DEFAULT_CONTEXT;
    if (s->context < 1 || s->context > SLM_MAX_CONTEXT)
        return slm_fail(err, SLM_E_ARG, "context of %d: want 1 to %d", s->context,
                        SLM_MAX_CONTEXT);
    if (s->context > trained)
        slm_log(s->rt, SLM_LOG_WARN,
                "context of %d is beyond the %d that the model was trained for", s->context,
                trained);
    return 0;
}

int slm_session_open(slm_session **out, const slm_model *m, const slm_session_opts *opts,
                     slm_err *err)
{
    static const slm_session_opts none;
    const slm_session_opts *o = opts ? opts : &none;
    slm_session *s = slm_zalloc(m->rt, SLM_MEM_MODEL, sizeof *s);
    if (!s)
        return slm_fail_mem(err, "session", sizeof *s);
    s->m = m;
    s->rt = m->rt;
    enum slm_dtype type = SLM_F32;
    int rc = cache_type(o, &type, err);
    if (!rc)
        rc = choose_context(s, o, err);
    if (!rc) {
        s->ids = slm_alloc_n(s->rt, SLM_MEM_MODEL, (size_t)s->context, sizeof *s->ids);
        if (!s->ids)
            rc = slm_fail_mem(err, "session", (size_t)s->context * sizeof *s->ids);
    }
    if (!rc)
        rc = open_engine(s, o, err);
    if (!rc)
        rc = open_cache(s, type, err);
    if (rc)
        slm_session_close(&s);
    else
        *out = s;
    return rc;
}

void slm_session_close(slm_session **ps)
{
    slm_session *s = ps ? *ps : NULL;
    if (!s)
        return;
    slm_engine_release(s->engine);
    slm_kv_release(&s->kv);
    slm_free(s->rt, s->ids);
    slm_free(s->rt, s);
    *ps = NULL;
}

const slm_model *slm_session_model(const slm_session *s) { return s->m; }
int slm_session_context(const slm_session *s) { return s->context; }
int slm_session_length(const slm_session *s) { return s->n; }
const int32_t *slm_session_ids(const slm_session *s) { return s->ids; }

/* Tokens [from, to), which stand in ids, as a prompt: logits of the last `outs` <= 1. */
static void compute(slm_session *s, int from, int to, int outs)
{
    int batch = s->engine->batch;
    for (int rows; from < to; from += rows) {
        rows = to - from < batch ? to - from : batch;
        struct slm_work w = {s, from, rows, from + rows == to ? outs : 0};
        slm_engine_run(s->engine, SLM_PHASE_PROMPT, &w, 1);
    }
}

/* Longrope: the factors go by the length of the whole sequence, so growing past the original
 * context (or shrinking below it) makes the cache worthless. */
static uint8_t set_for(const slm_session *s, int n)
{
    return s->m->rope[0].inv_freq[1] && n > s->m->hp.rope[0].original;
}

static int check_ids(const slm_session *s, const int32_t *ids, int n, int total, slm_err *err)
{
    if (n < 1)
        return slm_fail(err, SLM_E_ARG, "no tokens");
    if (total > s->context)
        return slm_fail(err, SLM_E_LIMIT, "%d tokens are more than the context of %d holds",
                        total, s->context);
    for (int i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= s->m->hp.vocab)
            return slm_fail(err, SLM_E_ARG, "token %d is %d, outside the vocabulary of %d", i,
                            ids[i], s->m->hp.vocab);
    return 0;
}

static int not_finite(const slm_session *s, int row, slm_err *err)
{
    return slm_fail(err, SLM_E_NUMERIC, "%s: the logits of token %d are not finite",
                    s->m->src.path, row);
}

/* The cache must be what [0, s->n) gives under the factors for a sequence of `total`. */
static void settle(slm_session *s, int total)
{
    uint8_t set = set_for(s, total);
    if (set == s->rope_set)
        return;
    s->rope_set = set;
    s->top = 0;
    compute(s, 0, s->n, 0);
}

/* ---- steps ---- */

/* A step as asked for can be made, and there is room for its logits. */
static int check_steps(const slm_step *st, int n, slm_err *err)
{
    int outs = 0;
    if (n < 1 || n > STEP_ROWS)
        return slm_fail(err, SLM_E_ARG, "a step of %d streams: want 1 to %d", n, STEP_ROWS);
    for (int i = 0; i < n; i++) {
        const slm_session *s = st[i].session;
        if (s->m != st[0].session->m)
            return slm_fail(err, SLM_E_ARG, "stream %d is a session on %s, the first on %s", i,
                            s->m->src.path, st[0].session->m->src.path);
        if (s->engine != st[0].session->engine)
            return slm_fail(err, SLM_E_ARG,
                            "stream %d does not share its work with the first one", i);
        for (int j = 0; j < i; j++)
            if (s == st[j].session)
                return slm_fail(err, SLM_E_ARG, "streams %d and %d are one session", j, i);
        int rc = check_ids(s, st[i].ids, st[i].n,
                           st[i].n > SLM_MAX_CONTEXT ? st[i].n : s->n + st[i].n, err);
        if (rc)
            return rc;
        outs += st[i].all ? (st[i].n < STEP_ROWS ? st[i].n : STEP_ROWS + 1) : 1;
        if (outs > STEP_ROWS)
            return slm_fail(err, SLM_E_LIMIT, "a step gives at most %d rows of logits",
                            STEP_ROWS);
    }
    return slm_engine_widen(st[0].session->engine, SLM_PHASE_DECODE, outs, err);
}

/* Rows whose logits nobody wants go ahead, until what is left fits one run. */
static void run_ahead(const slm_step *st, int n, int *left)
{
    int total = 0;
    for (int i = 0; i < n; i++)
        total += left[i];
    while (total > STEP_ROWS) {
        struct slm_work w[STEP_ROWS];
        int pieces = 0, room = STEP_ROWS;
        for (int i = 0; i < n && room; i++) {
            slm_session *s = st[i].session;
            int rows = left[i] - (st[i].all ? st[i].n : 1);
            if (rows < 1)
                continue;
            rows = rows < room ? rows : room;
            w[pieces++] = (struct slm_work){s, s->n, rows, 0};
            s->n += rows;
            left[i] -= rows;
            room -= rows;
        }
        slm_engine_run(st[0].session->engine, SLM_PHASE_DECODE, w, pieces);
        total -= STEP_ROWS - room;
    }
}

/* A stream whose logits are no numbers has none, and the others keep theirs. */
static int check_outs(const slm_step *st, int n, slm_err *err)
{
    int rc = 0;
    for (int i = 0; i < n; i++) {
        slm_session *s = st[i].session;
        int bad = 0;
        while (bad < s->outs && !(s->engine->bad >> (s->out0 + bad) & 1))
            bad++;
        if (bad == s->outs || (st[i].all && bad))
            continue;
        int code = not_finite(s, s->n - s->outs + bad, rc ? NULL : err);
        rc = rc ? rc : code;
        s->outs = 0;
    }
    return rc;
}

int slm_session_step(const slm_step *st, int n, slm_err *err)
{
    struct slm_work w[STEP_ROWS] = {{0}};
    int left[STEP_ROWS];
    int rc = check_steps(st, n, err);
    if (rc)
        return rc;
    for (int i = 0; i < n; i++) {
        slm_session *s = st[i].session;
        settle(s, s->n + st[i].n);
        memmove(s->ids + s->n, st[i].ids, (size_t)st[i].n * sizeof *s->ids);
        left[i] = st[i].n;
    }
    run_ahead(st, n, left);
    for (int i = 0; i < n; i++) {
        slm_session *s = st[i].session;
        w[i] = (struct slm_work){s, s->n, left[i], st[i].all ? st[i].n : 1};
        s->n += left[i];
    }
    slm_engine_run(st[0].session->engine, SLM_PHASE_DECODE, w, n);
    return check_outs(st, n, err);
}

int slm_session_append(slm_session *s, const int32_t *ids, int n, slm_err *err)
{
    return slm_session_step(&(slm_step){.session = s, .ids = ids, .n = n}, 1, err);
}

int slm_session_rows(const slm_session *s) { return s->run == s->engine->runs ? s->outs : 0; }

const float *slm_session_row(const slm_session *s, int row, slm_err *err)
{
    if (row < 0 || row >= slm_session_rows(s)) {
        slm_fail(err, SLM_E_ARG, "row %d of %d rows of logits", row, slm_session_rows(s));
        return NULL;
    }
    if (s->engine->which == SLM_PHASE_DECODE && s->engine->bad >> (s->out0 + row) & 1) {
        not_finite(s, s->n - s->outs + row, err);
        return NULL;
    }
    return slm_engine_logits(s->engine, s->out0 + row);
}

int slm_session_even(const slm_session *s, int n)
{
    int turn = s->m->rope[0].inv_freq[1] ? s->m->hp.rope[0].original : 0;
    return s->n < turn && s->n + n > turn ? turn - s->n : n;
}

/* ---- prompts ---- */

int slm_session_score(slm_session *s, const int32_t *ids, int n, slm_logits_fn *fn, void *arg,
                      slm_err *err)
{
    int rc = check_ids(s, ids, n, n > SLM_MAX_CONTEXT ? n : s->n + n, err), base = s->n;
    if (rc)
        return rc;
    if ((rc = slm_engine_widen(s->engine, ENGINE_SCORE, 1, err)))
        return rc;
    int most = s->engine->most_out[ENGINE_SCORE];
    settle(s, s->n + n);
    memmove(s->ids + s->n, ids, (size_t)n * sizeof *ids);
    while (s->n < base + n) {
        int rows = base + n - s->n < most ? base + n - s->n : most;
        struct slm_work w = {s, s->n, rows, rows};
        slm_engine_run(s->engine, ENGINE_SCORE, &w, 1);
        s->n += rows;
        s->outs = 0;
        for (int i = 0; i < rows; i++) {
            const float *row = slm_engine_logits(s->engine, i);
            rc = slm_engine_finite(s->engine, i) ? 0 : not_finite(s, s->n - rows + i, err);
            if (!rc && fn(arg, s->n - rows + i - base, row))
                rc = slm_fail(err, SLM_E_CANCELLED, "stopped at token %d", s->n - rows + i);
            if (rc)
                return rc;
        }
        s->out0 = rows - 1;
        s->outs = 1;
    }
    return 0;
}

int slm_session_truncate(slm_session *s, int n)
{
    if (n >= s->n)
        return s->n;
    int lost = s->n - n;
    bool keep = n > 0;
    for (int l = 0; l < s->m->hp.layers && keep; l++) {
        /* a ring has forgotten what lies `slots` behind the newest that was ever in it; row n
         * will look back window - 1 */
        int window = s->m->hp.window[l], slots = s->kv.layer[l].slots,
            first = window ? n - window + 1 : 0;
        keep = (first < 0 ? 0 : first) >= s->top - slots;
    }
    if (!keep) {
        slm_session_reset(s);
        return 0;
    }
    s->outs = s->outs > lost ? s->outs - lost : 0;
    s->n = n;
    return n;
}

int slm_session_sync(slm_session *s, const int32_t *ids, int n, int *reused, slm_err *err)
{
    int rc = check_ids(s, ids, n, n, err), same = 0;
    if (rc)
        return rc;
    while (same < n && same < s->n && ids[same] == s->ids[same])
        same++;
    if (set_for(s, n) != s->rope_set)
        same = 0;
    if (same == n && s->n == n && slm_session_logits(s)) {
        if (reused)
            *reused = n;
        return 0;
    }
    if (same == n)
        same--; /* one must be computed for its logits */
    if (same < s->n)
        same = slm_session_truncate(s, same);
    if (same == 0)
        slm_session_reset(s);
    s->rope_set = set_for(s, n);
    if (reused)
        *reused = same;
    memmove(s->ids + same, ids + same, (size_t)(n - same) * sizeof *ids);
    compute(s, same, n, 1);
    s->n = n;
    s->outs = slm_engine_finite(s->engine, 0);
    return s->outs ? 0 : not_finite(s, n - 1, err);
}

const float *slm_session_logits(const slm_session *s)
{
    int rows = slm_session_rows(s);
    return rows ? slm_session_row(s, rows - 1, NULL) : NULL;
}

void slm_session_reset(slm_session *s)
{
    s->n = s->top = s->outs = 0;
    s->rope_set = 0;
}
