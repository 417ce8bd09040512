/* One stream of tokens through a model. The session holds its tokens, so that it can be told
 * the whole prefix each time and computes only what is new, and so that a longrope model which
 * crosses its original context can be computed again with the long factors, as the reference
 * does. */
#include "model/session_in.h"

#include <math.h>
#include <string.h>

#define DEFAULT_CONTEXT 4096

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
    slm_model_kv_shape(s->m, &shape, room, s->context, s->batch, type);
    int rc = slm_kv_init(&s->kv, s->rt, &shape, err);
    slm_free(s->rt, room);
    return rc;
}

static int open_program(slm_session *s, const slm_session_opts *o, slm_err *err)
{
    struct slm_prog_opts po = {.max_rows = s->batch,
                               .max_out = s->most_out,
                               .fast = !o->exact,
                               .cache = true};
    int rc = slm_prog_new(&s->prog, s->rt, &po, err);
    if (rc)
        return rc;
    s->logits = slm_model_emit(s->prog, s->m, true);
    slm_prog_keep(s->prog, s->logits);
    return slm_prog_plan(s->prog, err);
}

static int choose_sizes(slm_session *s, const slm_session_opts *o, slm_err *err)
{
    int trained = s->m->hp.context;
    s->context = o->context                  ? o->context
                 : trained < DEFAULT_CONTEXT ? trained
                                             : DEFAULT_CONTEXT;
    s->batch = o->batch ? o->batch : 512;
    if (s->context < 1 || s->context > SLM_MAX_CONTEXT)
        return slm_fail(err, SLM_E_ARG, "context of %d: want 1 to %d", s->context,
                        SLM_MAX_CONTEXT);
    if (s->batch < 1 || s->batch > 65536)
        return slm_fail(err, SLM_E_ARG, "batch of %d: want 1 to 65536", s->batch);
    if (s->context > trained)
        slm_log(s->rt, SLM_LOG_WARN,
                "context of %d is beyond the %d that the model was trained for", s->context,
                trained);
    if (s->batch > s->context)
        s->batch = s->context;
    s->most_out = slm_model_logit_rows(s->m, s->batch);
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
    s->row = -1;
    enum slm_dtype type = SLM_F32;
    int rc = cache_type(o, &type, err);
    if (!rc)
        rc = choose_sizes(s, o, err);
    if (!rc) {
        s->ids = slm_alloc_n(s->rt, SLM_MEM_MODEL, (size_t)s->context, sizeof *s->ids);
        s->pos = slm_alloc_n(s->rt, SLM_MEM_MODEL, (size_t)s->batch, sizeof *s->pos);
        s->out = slm_alloc_n(s->rt, SLM_MEM_MODEL, (size_t)s->most_out, sizeof *s->out);
        if (!s->ids || !s->pos || !s->out)
            rc = slm_fail_mem(err, "session", (size_t)s->context * sizeof *s->ids);
    }
    if (!rc)
        rc = open_cache(s, type, err);
    if (!rc)
        rc = open_program(s, o, err);
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
    slm_prog_free(s->prog);
    slm_kv_release(&s->kv);
    slm_free(s->rt, s->ids);
    slm_free(s->rt, s->pos);
    slm_free(s->rt, s->out);
    slm_free(s->rt, s);
    *ps = NULL;
}

const slm_model *slm_session_model(const slm_session *s) { return s->m; }
int slm_session_context(const slm_session *s) { return s->context; }
int slm_session_length(const slm_session *s) { return s->n; }
const int32_t *slm_session_ids(const slm_session *s) { return s->ids; }

/* Runs tokens [from, from + rows), which stand in ids; the last n_out rows give logits. */
static void run(slm_session *s, int from, int rows, int n_out)
{
    struct slm_kv *kv = &s->kv;
    for (int i = 0; i < rows; i++)
        s->pos[i] = from + i;
    for (int i = 0; i < n_out; i++)
        s->out[i] = rows - n_out + i;
    struct slm_run r = {.rows = rows,
                        .ids = s->ids + from,
                        .pos = s->pos,
                        .n_streams = 1,
                        .kv = &kv,
                        .rope_set = &s->rope_set,
                        .out = s->out,
                        .n_out = n_out};
    slm_prog_run(s->prog, &r);
}

/* Tokens [from, to) without logits but for the last. */
static void compute(slm_session *s, int from, int to)
{
    for (int rows; from < to; from += rows) {
        rows = to - from < s->batch ? to - from : s->batch;
        run(s, from, rows, from + rows == to ? 1 : 0);
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

static const float *row_of(const slm_session *s, int row)
{
    size_t ld;
    const float *v = slm_prog_value(s->prog, s->logits, &ld);
    return v + (size_t)row * ld;
}

static int check_finite(const slm_session *s, const float *logits, int row, slm_err *err)
{
    /* a sum is finite only if all its terms are (infinities of both signs make NaN) */
    float sum = 0;
    for (int i = 0; i < s->m->hp.vocab; i++)
        sum += logits[i] * 0;
    return sum == 0 ? 0
                    : slm_fail(err, SLM_E_NUMERIC, "%s: the logits of token %d are not finite",
                               s->m->src.path, row);
}

static int finish(slm_session *s, slm_err *err)
{
    int rc = check_finite(s, row_of(s, 0), s->n - 1, err);
    s->row = rc ? -1 : 0;
    return rc;
}

/* The cache must be what [0, s->n) gives under the factors for a sequence of `total`. */
static void settle(slm_session *s, int total)
{
    uint8_t set = set_for(s, total);
    if (set == s->rope_set)
        return;
    s->rope_set = set;
    compute(s, 0, s->n);
}

int slm_session_append(slm_session *s, const int32_t *ids, int n, slm_err *err)
{
    int rc = check_ids(s, ids, n, n > SLM_MAX_CONTEXT ? n : s->n + n, err);
    if (rc)
        return rc;
    s->row = -1;
    settle(s, s->n + n);
    memmove(s->ids + s->n, ids, (size_t)n * sizeof *ids);
    compute(s, s->n, s->n + n);
    s->n += n;
    return finish(s, err);
}

int slm_session_score(slm_session *s, const int32_t *ids, int n, slm_logits_fn *fn, void *arg,
                      slm_err *err)
{
    int rc = check_ids(s, ids, n, n > SLM_MAX_CONTEXT ? n : s->n + n, err), base = s->n;
    if (rc)
        return rc;
    s->row = -1;
    settle(s, s->n + n);
    memmove(s->ids + s->n, ids, (size_t)n * sizeof *ids);
    while (s->n < base + n) {
        int rows = base + n - s->n < s->most_out ? base + n - s->n : s->most_out;
        run(s, s->n, rows, rows);
        s->n += rows;
        for (int i = 0; i < rows; i++) {
            rc = check_finite(s, row_of(s, i), s->n - rows + i, err);
            if (!rc && fn(arg, s->n - rows + i - base, row_of(s, i)))
                rc = slm_fail(err, SLM_E_CANCELLED, "stopped at token %d", s->n - rows + i);
            if (rc)
                return rc;
        }
        s->row = rows - 1;
    }
    return 0;
}

int slm_session_truncate(slm_session *s, int n)
{
    if (n >= s->n)
        return s->n;
    s->row = -1;
    bool keep = n > 0;
    for (int l = 0; l < s->m->hp.layers && keep; l++) {
        /* a ring has forgotten what lies `slots` behind the newest; row n will look back window
         * - 1 */
        int window = s->m->hp.window[l], slots = s->kv.layer[l].slots,
            first = window ? n - window + 1 : 0;
        keep = (first < 0 ? 0 : first) >= s->n - slots;
    }
    s->n = keep ? n : 0;
    return s->n;
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
    if (same == n && s->n == n && s->row >= 0) {
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
    return slm_session_append(s, ids + same, n - same, err);
}

const float *slm_session_logits(const slm_session *s)
{
    return s->row >= 0 ? row_of(s, s->row) : NULL;
}

void slm_session_reset(slm_session *s)
{
    s->n = 0;
    s->row = -1;
    s->rope_set = 0;
}
