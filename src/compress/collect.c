/* Collecting an importance matrix: a tap on every product adds up the squares of what went in.
 */
#include <math.h>
#include <string.h>

#include "compress/importance.h"
#include "compress/watch.h"

struct collect {
    slm_imatrix *im;
    const slm_model *m;
    bool output;
    int *entry; /* (n_weights) place in im->entry, -1: not collected */
    slm_err *err;
};

static void add_row(double *sum, const float *x, int n)
{
    for (int j = 0; j < n; j++)
        sum[j] += (double)x[j] * (double)x[j];
}

static void see(void *arg, const slm_prog *p, const struct slm_node_info *node)
{
    const struct collect *c = arg;
    int at = node->w && node->in >= 0 ? c->entry[node->w->id] : -1;
    bool experts = node->route >= 0;
    if (at < 0 || (!experts && strcmp(node->op, "linear") != 0))
        return;
    struct slm_importance *e = &c->im->entry[at];
    size_t ld, cols = (size_t)e->cols;
    const float *x = slm_prog_value(p, node->in, &ld);
    for (int r = 0; r < node->rows; r++)
        for (int k = 0; k < (experts ? node->fan : 1); k++) {
            int part = experts ? slm_node_expert(p, node, r * node->fan + k) : 0;
            add_row(e->sum + (size_t)part * cols, x + (size_t)r * ld, e->cols);
            e->count[part]++;
        }
}

static bool wanted(const struct collect *c, int i)
{
    const slm_model *m = c->m;
    bool matrix = m->row[i]->kind == SLM_SLOT_MATRIX || m->row[i]->kind == SLM_SLOT_EXPERTS;
    return matrix && (m->row_layer[i] >= 0 || (c->output && &m->weight[i] == m->w[SLM_W_OUT]));
}

/* An entry for every matrix, new or as collected before; then places, once the order is fixed.
 */
static int prepare(struct collect *c, slm_err *err)
{
    const slm_model *m = c->m;
    int rc = 0;
    for (int i = 0; i < m->n_weights && !rc; i++) {
        const struct slm_weight *w = &m->weight[i];
        struct slm_importance *e = wanted(c, i) ? slm_imatrix_find(c->im, w->name) : NULL;
        if (e && (e->parts != w->parts || e->cols != w->cols))
            rc = slm_fail(err, SLM_E_ARG,
                          "the importance matrix is of another model: %s has %d x %d, not "
                          "%d x %d",
                          w->name, e->parts, e->cols, w->parts, w->cols);
        if (wanted(c, i) && !e && !rc) {
            if (!slm_imatrix_add(c->im, w->name, strlen(w->name), w->parts, w->cols))
                rc = slm_fail_mem(err, w->name, (size_t)w->cols * sizeof(double));
            else
                rc = slm_imatrix_sort(c->im, "importance matrix", err);
        }
    }
    for (int i = 0; i < m->n_weights && !rc; i++) {
        const struct slm_importance *e =
            wanted(c, i) ? slm_imatrix_find(c->im, m->weight[i].name) : NULL;
        c->entry[i] = e ? (int)(e - c->im->entry) : -1;
    }
    return rc;
}

static int check_finite(const struct collect *c, slm_err *err)
{
    for (size_t i = 0; i < c->im->n; i++) {
        const struct slm_importance *e = &c->im->entry[i];
        double sum = 0;
        for (size_t j = 0; j < (size_t)e->parts * (size_t)e->cols; j++)
            sum += e->sum[j] * 0;
        if (sum != 0)
            return slm_fail(err, SLM_E_NUMERIC, "%s: its inputs are not finite on this text",
                            e->name);
    }
    return 0;
}

static int choose_chunks(const slm_model *m, size_t n, const slm_imatrix_opts *o, int *context,
                         size_t *chunks, slm_err *err)
{
    *context = o->context ? o->context : m->hp.context < 512 ? m->hp.context : 512;
    if (*context < 1 || *context > SLM_MAX_CONTEXT || o->chunks < 0 || o->skip < 0)
        return slm_fail(err, SLM_E_ARG, "chunks of %d tokens, %d of them behind %d", *context,
                        o->chunks, o->skip);
    if (*context > m->hp.context)
        slm_log(m->rt, SLM_LOG_WARN,
                "chunks of %d tokens are longer than the %d that the model was trained for",
                *context, m->hp.context);
    size_t all = n / (size_t)*context;
    if (all <= (size_t)o->skip)
        return slm_fail(
            err, SLM_E_ARG,
            "%zu tokens of text leave no chunk of %d (%d are skipped): give a longer text "
            "or a smaller context",
            n, *context, o->skip);
    all -= (size_t)o->skip;
    *chunks = o->chunks && (size_t)o->chunks < all ? (size_t)o->chunks : all;
    return 0;
}

static int run_chunk(struct slm_watch *w, const int32_t *ids, int32_t *piece, slm_err *err)
{
    const slm_tokenizer *t = w->m->tok;
    memcpy(piece, ids, (size_t)w->context * sizeof *piece);
    if (t && slm_tokenizer_adds_bos(t) && slm_tokenizer_bos(t) >= 0)
        piece[0] = slm_tokenizer_bos(t);
    for (int i = 0; i < w->context; i++)
        if (piece[i] < 0 || piece[i] >= w->m->hp.vocab)
            return slm_fail(err, SLM_E_ARG, "token %d is outside the vocabulary of %d",
                            piece[i], w->m->hp.vocab);
    slm_watch_run(w, piece, w->context);
    return 0;
}

static int run_chunks(struct slm_watch *w, const int32_t *ids, size_t chunks,
                      const slm_imatrix_opts *o, slm_err *err)
{
    size_t n = (size_t)w->context;
    int32_t *piece = slm_alloc_n(w->m->rt, SLM_MEM_USER, n, sizeof *piece);
    int rc = piece ? 0 : slm_fail_mem(err, "chunk", n * sizeof *piece);
    for (size_t i = 0; i < chunks && !rc; i++) {
        rc = run_chunk(w, ids + ((size_t)o->skip + i) * n, piece, err);
        if (!rc && o->progress && o->progress(o->progress_arg, (i + 1) * n, chunks * n))
            rc = slm_fail(err, SLM_E_CANCELLED, "stopped after %zu of %zu chunks", i + 1,
                          chunks);
    }
    slm_free(w->m->rt, piece);
    return rc;
}

void slm_imatrix_opts_init(slm_imatrix_opts *o) { memset(o, 0, sizeof *o); }

int slm_imatrix_collect(slm_imatrix *im, const slm_model *m, const int32_t *ids, size_t n,
                        const slm_imatrix_opts *opts, slm_err *err)
{
    static const slm_imatrix_opts none;
    const slm_imatrix_opts *o = opts ? opts : &none;
    struct collect c = {.im = im, .m = m, .output = o->output};
    struct slm_watch w = {0};
    int context = 0;
    size_t chunks = 0;
    int rc = choose_chunks(m, n, o, &context, &chunks, err);
    c.entry = slm_alloc_n(m->rt, SLM_MEM_USER, (size_t)m->n_weights, sizeof *c.entry);
    if (!rc && !c.entry)
        rc = slm_fail_mem(err, "importance matrix", (size_t)m->n_weights * sizeof *c.entry);
    if (!rc)
        rc = prepare(&c, err);
    struct slm_watch_opts wo = {
        .context = context, .exact = o->exact, .output = o->output, .tap = see, .arg = &c};
    if (!rc)
        rc = slm_watch_open(&w, m, &wo, err);
    if (!rc)
        rc = run_chunks(&w, ids, chunks, o, err);
    if (!rc)
        rc = check_finite(&c, err);
    if (!rc && o->dataset)
        rc = slm_imatrix_add_dataset(im, o->dataset, strlen(o->dataset), err);
    if (!rc) {
        im->chunks += (uint32_t)chunks;
        im->chunk_size = (uint32_t)context;
    }
    slm_watch_close(&w);
    slm_free(m->rt, c.entry);
    return rc;
}
