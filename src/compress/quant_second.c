/* A plan's matrices rounded by second moments, layer after layer: the text runs through the
 * layers rounded so far, so that each layer is fitted to the inputs it will really get, and
 * makes up for its predecessors' errors as far as it can.
 *
 * Memory: moments of as many layers as the caller allows, one at least, and the rounded
 * matrices, which take the place of the model's own until all are done. A pass computes the
 * layers up to the group it is for and no others. */
#include <math.h>
#include <string.h>

#include "compress/hessian.h"
#include "compress/quant_plan.h"
#include "compress/second.h"

struct second {
    slm_quant *q;
    const slm_quant_text *o;
    struct slm_weight *kept; /* (n_weights) the model's own */
    bool *wanted;            /* (n_weights) of this group */
    int32_t *piece;          /* (context) */
    int context;
    size_t chunks;
    double done, total; /* multiplications */
};

static bool eligible(const slm_quant *q, int i)
{
    struct slm_codes c;
    const struct slm_weight *w = &q->m->weight[i];
    return q->row[i].matrix && !q->row[i].ready && q->type[i] != w->type &&
           slm_model_gguf_row(q->m, i, 0) >= 0 && slm_codes_of(&c, q->type[i]) &&
           w->cols % c.block == 0;
}

static int step(struct second *s, double work, slm_err *err)
{
    s->done += work;
    if (!s->o->progress)
        return 0;
    double part = s->done / s->total;
    uint64_t done = (uint64_t)((part < 1 ? part : 1) * 1e6);
    return s->o->progress(s->o->progress_arg, done, 1000000)
               ? slm_fail(err, SLM_E_CANCELLED, "stopped while rounding")
               : 0;
}

/* ---- the text through the layers below l1 ---- */

static double weights_below(const slm_quant *q, int l1)
{
    double n = 0;
    for (int i = 0; i < q->m->n_weights; i++)
        if (q->m->row_layer[i] >= 0 && q->m->row_layer[i] < l1)
            n += (double)q->m->weight[i].rows * q->m->weight[i].cols *
                 (q->m->weight[i].parts > 1 ? q->m->hp.experts_used : 1);
    return n;
}

static int run_text(struct second *s, struct slm_hessian *g, int l1, bool output, slm_err *err)
{
    slm_model part = *s->q->m; /* the same weights with fewer layers */
    const slm_tokenizer *t = part.tok;
    struct slm_watch w = {0};
    size_t n = (size_t)s->context;
    double work = (double)n * weights_below(s->q, l1);
    part.hp.layers = l1;
    struct slm_watch_opts wo = {.context = s->context,
                                .exact = true,
                                .output = output,
                                .tap = slm_hessian_see,
                                .arg = g};
    int rc = slm_watch_open(&w, &part, &wo, err);
    for (size_t i = 0; i < s->chunks && !rc; i++) {
        memcpy(s->piece, s->o->ids + i * n, n * sizeof *s->piece);
        if (t && slm_tokenizer_adds_bos(t) && slm_tokenizer_bos(t) >= 0)
            s->piece[0] = slm_tokenizer_bos(t);
        slm_watch_run(&w, s->piece, s->context);
        rc = slm_hessian_add(g, err);
        if (!rc)
            rc = step(s, work, err);
    }
    slm_watch_close(&w);
    if (!rc)
        slm_hessian_end(g);
    return rc;
}

/* ---- one matrix ---- */

static int round_matrix(struct second *s, int i, const float *factor, slm_err *err)
{
    slm_quant *q = s->q;
    const struct slm_weight *w = &q->m->weight[i];
    size_t bytes = slm_row_bytes(q->type[i], (size_t)w->cols) * (size_t)w->rows;
    uint8_t *out = slm_alloc_n(q->rt, SLM_MEM_USER, (size_t)w->parts, bytes);
    q->row[i].ready = out;
    int rc = out ? 0 : slm_fail_mem(err, w->name, (size_t)w->parts * bytes);
    for (int e = 0; e < w->parts && !rc; e++) {
        struct slm_feedback f = {.type = q->type[i],
                                 .rows = w->rows,
                                 .cols = w->cols,
                                 .factor = factor,
                                 .in = w->part[e],
                                 .stride = w->stride,
                                 .from = w->type,
                                 .out = out + (size_t)e * bytes};
        rc = slm_feedback_run(q->rt, &f, NULL, err);
        if (!rc)
            rc = step(s, (double)w->rows * w->cols * w->cols, err);
    }
    return rc ? rc : slm_quant_swap(q, i, q->type[i], out, err);
}

static int round_group(struct second *s, struct slm_hessian *g, slm_err *err)
{
    int rc = 0;
    for (int k = 0; k < g->n && !rc; k++) {
        struct slm_moments *m = &g->in[k];
        rc = slm_factor(s->q->rt, m->h, m->cols, s->o->damp > 0 ? s->o->damp : 0.01, err);
        for (int i = 0; i < s->q->m->n_weights && !rc; i++)
            if (s->wanted[i] && g->at[i] == k)
                rc = round_matrix(s, i, m->h, err);
        slm_free(s->q->rt, m->h);
        m->h = NULL;
    }
    return rc;
}

static int do_group(struct second *s, int l1, bool output, slm_err *err)
{
    struct slm_hessian *g = slm_zalloc(s->q->rt, SLM_MEM_USER, sizeof *g);
    int rc = g ? slm_hessian_open(g, s->q->rt, s->q->m->n_weights, s->wanted, err)
               : slm_fail_mem(err, "moments", sizeof *g);
    if (!rc)
        rc = run_text(s, g, l1, output, err);
    if (!rc)
        rc = round_group(s, g, err);
    if (g)
        slm_hessian_close(g);
    slm_free(s->q->rt, g);
    return rc;
}

/* ---- groups of layers ---- */

/* Bytes of a layer's moments: matrices that read one value share theirs. */
static double layer_bytes(const slm_quant *q, int layer)
{
    double by[SLM_ROLE_COUNT] = {0}, sum = 0;
    for (int i = 0; i < q->m->n_weights; i++) {
        enum slm_role r = q->row[i].role;
        double cols = q->m->weight[i].cols;
        if (q->m->row_layer[i] != layer || !eligible(q, i))
            continue;
        r = r == SLM_ROLE_K || r == SLM_ROLE_V ? SLM_ROLE_Q : r;
        r = r == SLM_ROLE_GATE ? SLM_ROLE_UP : r;
        by[r] = cols > by[r] ? cols : by[r];
    }
    for (int r = 0; r < SLM_ROLE_COUNT; r++)
        sum += by[r] * by[r] * sizeof(float);
    return sum;
}

/* The layer behind the group that begins with l0. */
static int group_end(const struct second *s, int l0)
{
    double room = s->o->memory ? (double)s->o->memory : 1 << 30, used = 0;
    int l1 = l0;
    if (s->o->memory == 0) /* each layer after the ones before it, as exact as it gets */
        return l0 + 1;
    for (; l1 < s->q->m->hp.layers; l1++) {
        used += layer_bytes(s->q, l1);
        if (l1 > l0 && used > room)
            break;
    }
    return l1;
}

static bool want(struct second *s, int l0, int l1)
{
    bool any = false;
    for (int i = 0; i < s->q->m->n_weights; i++) {
        int l = s->q->m->row_layer[i];
        s->wanted[i] = l >= l0 && l < l1 && eligible(s->q, i);
        any |= s->wanted[i];
    }
    return any;
}

static int do_layers(struct second *s, slm_err *err)
{
    int rc = 0, layers = s->q->m->hp.layers;
    for (int l0 = 0, l1; l0 < layers && !rc; l0 = l1) {
        l1 = group_end(s, l0);
        if (want(s, l0, l1))
            rc = do_group(s, l1, false, err);
    }
    return rc;
}

static int do_output(struct second *s, slm_err *err)
{
    const slm_model *m = s->q->m;
    int i = m->w[SLM_W_OUT]->id;
    memset(s->wanted, 0, (size_t)m->n_weights * sizeof *s->wanted);
    s->wanted[i] = eligible(s->q, i);
    return s->wanted[i] ? do_group(s, m->hp.layers, true, err) : 0;
}

static void estimate(struct second *s)
{
    const slm_model *m = s->q->m;
    double tokens = (double)s->chunks * s->context;
    for (int l0 = 0, l1; l0 < m->hp.layers; l0 = l1) {
        l1 = group_end(s, l0);
        if (want(s, l0, l1))
            s->total += tokens * weights_below(s->q, l1);
    }
    for (int i = 0; i < m->n_weights; i++) {
        const struct slm_weight *w = &m->weight[i];
        if (!eligible(s->q, i))
            continue;
        s->total += (double)w->parts * w->rows * w->cols * w->cols;
        if (m->row_layer[i] < 0)
            s->total += tokens * weights_below(s->q, m->hp.layers);
    }
}

/* The model as it was opened. */
static void restore(struct second *s)
{
    slm_quant *q = s->q;
    for (int i = 0; i < q->m->n_weights && s->kept; i++)
        slm_quant_swap_back(q, i, &s->kept[i]);
    slm_free(q->rt, s->kept);
    slm_free(q->rt, s->wanted);
    slm_free(q->rt, s->piece);
}

int slm_quant_second(slm_quant *q, const slm_quant_text *o, slm_err *err)
{
    struct second s = {.q = q, .o = o};
    size_t n = (size_t)q->m->n_weights;
    int rc = slm_quant_unmerged(q, err);
    if (!rc)
        rc = slm_quant_text_check(o, q->m, &s.context, &s.chunks, err);
    if (rc)
        return rc;
    s.kept = slm_alloc_n(q->rt, SLM_MEM_USER, n, sizeof *s.kept);
    s.wanted = slm_alloc_n(q->rt, SLM_MEM_USER, n, sizeof *s.wanted);
    s.piece = slm_alloc_n(q->rt, SLM_MEM_USER, (size_t)s.context, sizeof *s.piece);
    if (s.kept)
        memcpy(s.kept, q->m->weight, n * sizeof *s.kept);
    if (!s.kept || !s.wanted || !s.piece)
        rc = slm_fail_mem(err, "rounding", n * sizeof *s.kept);
    if (!rc) {
        estimate(&s);
        rc = do_output(&s, err);
    }
    if (!rc)
        rc = do_layers(&s, err);
    restore(&s);
    return rc;
}
