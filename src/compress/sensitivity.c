/* How much the model minds the rounding of each matrix: one at a time is rounded coarsely, the
 * text goes through, and the divergence of the predictions from those of the whole model,
 * divided by the matrix's relative error, is its factor in slm_quant_fit's sum. Divergences of
 * small errors grow with their squares and nearly add up, which makes the sum an estimate of
 * the whole file's. */
#include <math.h>
#include <string.h>

#include "compress/quant_plan.h"
#include "slm/eval.h"

enum { CHUNKS = 4, STRIDE = 4, MOST_FLOATS = 32 << 20 };

struct sense {
    slm_quant *q;
    const slm_quant_text *o;
    int context, chunks, vocab;
    int32_t *piece; /* (context) */
    float *base;    /* (rows, vocab) */
    size_t rows, at;
    slm_divergence *sum; /* NULL: fill base */
    slm_err why;
    int failed;
};

static int on_row(void *arg, int row, const float *logits)
{
    struct sense *s = arg;
    if (row % STRIDE || s->at >= s->rows)
        return 0;
    float *base = s->base + s->at++ * (size_t)s->vocab;
    if (s->sum)
        s->failed = slm_divergence_add(s->sum, base, SLM_BASE_LOGITS, logits, 0, &s->why);
    else
        memcpy(base, logits, (size_t)s->vocab * sizeof *base);
    return s->failed;
}

/* The text through the model as it is now. */
static int run_text(struct sense *s, slm_err *err)
{
    const slm_tokenizer *t = s->q->m->tok;
    slm_session *session = NULL;
    slm_session_opts o;
    slm_session_opts_init(&o);
    o.context = s->context;
    o.exact = 1;
    int rc = slm_session_open(&session, s->q->m, &o, err);
    s->at = 0;
    for (int i = 0; i < s->chunks && !rc; i++) {
        size_t n = (size_t)s->context;
        memcpy(s->piece, s->o->ids + (size_t)i * n, n * sizeof *s->piece);
        if (t && slm_tokenizer_adds_bos(t) && slm_tokenizer_bos(t) >= 0)
            s->piece[0] = slm_tokenizer_bos(t);
        slm_session_reset(session);
        rc = slm_session_score(session, s->piece, s->context, on_row, s, err);
    }
    if (s->failed) {
        rc = s->failed;
        if (err)
            *err = s->why;
    }
    slm_session_close(&session);
    return rc;
}

struct rounding {
    const slm_quant *q;
    int weight;
    enum slm_dtype type;
    uint8_t *out;
    float *room; /* (threads, cols) */
};

static void round_rows(int ith, int nth, void *arg)
{
    const struct rounding *r = arg;
    const struct slm_weight *w = &r->q->m->weight[r->weight];
    const float *imp = r->q->row[r->weight].weight;
    size_t cols = (size_t)w->cols, lo, hi;
    float *x = r->room + (size_t)ith * cols;
    slm_split((size_t)w->rows * (size_t)w->parts, 1, ith, nth, &lo, &hi);
    for (size_t k = lo; k < hi; k++) {
        size_t part = k / (size_t)w->rows;
        r->q->rt->kern->to_f32[w->type](x, w->part[part] + k % (size_t)w->rows * w->stride,
                                        cols);
        slm_quant_round(r->q->rt->kern, r->type, r->out + k * slm_row_bytes(r->type, cols), x,
                        imp ? imp + part * cols : NULL, cols);
    }
}

/* Coarse enough to be seen through the noise of a short text. */
static enum slm_dtype probe_type(const slm_quant *q, int i)
{
    int cols = q->m->weight[i].cols;
    if (q->kind != SLM_KIND_BLOCK && cols % 256 == 0)
        return SLM_Q3_K;
    return cols % 32 == 0 ? SLM_Q4_0 : SLM_F16;
}

static int sense_one(struct sense *s, int i, double *out, slm_err *err)
{
    slm_quant *q = s->q;
    const struct slm_weight old = q->m->weight[i];
    enum slm_dtype t = probe_type(q, i);
    size_t cols = (size_t)old.cols, rows = (size_t)old.rows * (size_t)old.parts,
           threads = (size_t)slm_pool_threads(q->rt->pool);
    slm_divergence_stats st = {0};
    double error = 0;
    int rc = slm_quant_measure(q, i, &t, 1, &error, err);
    *out = 0;
    if (rc || !(error > 0) || !isfinite(error))
        return rc;
    struct rounding r = {.q = q, .weight = i, .type = t};
    r.out = slm_alloc_n(q->rt, SLM_MEM_USER, rows, slm_row_bytes(t, cols));
    r.room = slm_alloc_n(q->rt, SLM_MEM_USER, threads * cols, sizeof *r.room);
    rc = r.out && r.room ? slm_divergence_new(&s->sum, q->rt, s->vocab, err)
                         : slm_fail_mem(err, old.name, rows * slm_row_bytes(t, cols));
    if (!rc)
        slm_pool_run(q->rt->pool, round_rows, &r);
    if (!rc)
        rc = slm_quant_swap(q, i, t, r.out, err);
    if (!rc)
        rc = run_text(s, err);
    if (!rc) {
        slm_divergence_get(s->sum, &st);
        *out = (st.kld > 1e-12 ? st.kld : 1e-12) / error;
    }
    slm_quant_swap_back(q, i, &old);
    slm_divergence_free(s->sum);
    s->sum = NULL;
    slm_free(q->rt, r.out);
    slm_free(q->rt, r.room);
    return rc;
}

static int prepare(struct sense *s, slm_err *err)
{
    const slm_model *m = s->q->m;
    size_t n = 0, room = MOST_FLOATS / (size_t)m->hp.vocab;
    int rc = slm_quant_text_check(s->o, m, &s->context, &n, err);
    if (rc)
        return rc;
    s->vocab = m->hp.vocab;
    s->chunks = n < CHUNKS ? (int)n : CHUNKS;
    s->rows = (size_t)s->chunks * (size_t)((s->context + STRIDE - 1) / STRIDE);
    room = room < 16 ? 16 : room;
    s->rows = s->rows < room ? s->rows : room;
    s->base = slm_alloc_n(m->rt, SLM_MEM_USER, s->rows * (size_t)s->vocab, sizeof *s->base);
    s->piece = slm_alloc_n(m->rt, SLM_MEM_USER, (size_t)s->context, sizeof *s->piece);
    if (!s->base || !s->piece)
        return slm_fail_mem(err, "sensitivity", s->rows * (size_t)s->vocab * sizeof *s->base);
    return run_text(s, err);
}

int slm_quant_sense(slm_quant *q, double *sensitivity, const slm_quant_text *o, slm_err *err)
{
    struct sense s = {.q = q, .o = o};
    int n = q->m->n_weights, rc = slm_quant_unmerged(q, err);
    if (!rc)
        rc = prepare(&s, err);
    for (int i = 0; i < n && !rc; i++) {
        sensitivity[i] = 0;
        if (q->row[i].matrix && !q->row[i].asked)
            rc = sense_one(&s, i, &sensitivity[i], err);
        if (!rc && o->progress && o->progress(o->progress_arg, (uint64_t)i + 1, (uint64_t)n))
            rc = slm_fail(err, SLM_E_CANCELLED, "stopped while measuring");
    }
    slm_free(q->rt, s.base);
    slm_free(q->rt, s.piece);
    return rc;
}
