/* Converting a model: opened and bound as for running, so that what cannot be run is not
 * converted either; then written row by row in the other dialect, converted on all threads. */
#include "model/convert.h"

#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

#define BLOCK_BYTES ((size_t)8 << 20)
#define PLAN_BYTES ((size_t)1 << 18) /* slower work, told in smaller steps */

void slm_convert_opts_init(slm_convert_opts *o) { memset(o, 0, sizeof *o); }

const slm_tokenizer *slm_convert_tokenizer(const struct slm_convert *c)
{
    return c->other ? c->other : c->m->tok;
}

static bool is_matrix(const slm_model *m, int i)
{
    return m->row[i]->kind == SLM_SLOT_MATRIX || m->row[i]->kind == SLM_SLOT_EXPERTS;
}

bool slm_model_rounds(const slm_model *m, int i)
{
    return is_matrix(m, i) && m->row[i]->slot != SLM_W_ROUTER;
}

enum slm_dtype slm_convert_type(const struct slm_convert *c, int i, bool gguf)
{
    const struct slm_weight *w = &c->m->weight[i];
    bool matrix = is_matrix(c->m, i);
    if (c->plan)
        return c->plan->type[i];
    bool blocks = slm_dtypes[w->type].block > 1;
    enum slm_dtype stored = blocks && !gguf                          ? SLM_F16
                            : blocks && slm_dtypes[w->type].gguf < 0 ? SLM_F32
                                                                     : w->type;
    if (!matrix || (gguf && c->m->row[i]->slot == SLM_W_ROUTER))
        return gguf ? SLM_F32 : c->type >= 0 ? (enum slm_dtype)c->type : stored;
    if (c->type < 0)
        return stored;
    if (w->cols % slm_dtypes[c->type].block == 0)
        return (enum slm_dtype)c->type;
    return w->type == SLM_F32 ? SLM_F32 : slm_dtypes[w->type].block > 1 ? SLM_F16 : w->type;
}

/* One block of rows on its way from the model to the output. */
struct job {
    struct slm_convert *c;
    const struct slm_weight *w;
    const struct slm_slot_row *row;
    const struct slm_convert_part *part;
    int first, n;   /* rows of the output, counted through the parts */
    int at_once;    /* rows a thread rounds at once */
    bool planned;   /* ... by the plan's function */
    size_t bytes;   /* of an output row */
    float *scratch; /* (threads, at_once, cols) */
    float *spare;   /* (cols) for the one row of a vector */
};

void slm_model_row(const slm_model *m, int weight, int part, int row, float *x)
{
    const struct slm_weight *w = &m->weight[weight];
    m->rt->kern->to_f32[w->type](x, w->part[part] + (size_t)row * w->stride, (size_t)w->cols);
    if (m->patch.row)
        m->patch.row(m->patch.arg, weight, part, row, x);
}

bool slm_model_patched(const slm_model *m, int weight)
{
    return m->patch.row && m->patch.touches(m->patch.arg, weight);
}

/* The part and row that become row r of the output. */
static int source_row(const struct job *j, int r, int *part)
{
    const slm_model *m = j->c->m;
    int k = r % j->w->rows;
    *part = j->part->part + r / j->w->rows;
    if (j->row->pairs != SLM_DIM_1 && j->row->rows != SLM_DIM_1 && j->c->pairs != m->hp.pairs)
        k = j->c->pairs ? slm_row_in_halves(m->hp.head_width, k)
                        : slm_row_in_pairs(m->hp.head_width, k);
    return k;
}

static const uint8_t *source_bytes(const struct job *j, int r)
{
    int part, k = source_row(j, r, &part);
    return j->w->part[part] + (size_t)k * j->w->stride;
}

int slm_model_gguf_row(const slm_model *m, int i, int r)
{
    const struct slm_slot_row *row = m->row[i];
    bool pairs = m->hp.family->gguf_pairs;
    float implied = slm_hparams_gguf_scale(&m->hp);
    bool query = row->slot == SLM_W_Q || row->slot == SLM_W_QKV;
    if (fabsf(m->hp.attn_scale / implied - 1) > 1e-6f && query) /* it may be baked in */
        return -1;
    if (row->pairs == SLM_DIM_1 || row->rows == SLM_DIM_1 || pairs == m->hp.pairs)
        return r;
    return pairs ? slm_row_in_halves(m->hp.head_width, r)
                 : slm_row_in_pairs(m->hp.head_width, r);
}

static bool gains(const struct job *j)
{
    return j->c->q_gain != 1 && j->row->slot == j->c->q_slot;
}

/* Norms change by the difference of shifts; the biases of q and k are permuted like rows. */
static void adjust(const struct job *j, float *x)
{
    const slm_model *m = j->c->m;
    int n = j->w->cols, c = m->hp.head_width;
    if (j->row->kind == SLM_SLOT_NORM)
        for (int i = 0; i < n; i++)
            x[i] += m->hp.norm_shift - j->c->shift;
    if (gains(j))
        for (int i = 0; i < n; i++)
            x[i] *= j->c->q_gain;
    if (j->row->pairs == SLM_DIM_1 || j->row->rows != SLM_DIM_1 || j->c->pairs == m->hp.pairs)
        return;
    memcpy(j->spare, x, (size_t)n * sizeof *x);
    for (int i = 0; i < n; i++)
        x[i] = j->spare[j->c->pairs ? slm_row_in_halves(c, i) : slm_row_in_pairs(c, i)];
}

static bool as_is(const struct job *j)
{
    if (slm_model_patched(j->c->m, j->part->weight))
        return false;
    return j->w->type == j->part->type && j->row->kind != SLM_SLOT_NORM && !gains(j) &&
           (j->row->pairs == SLM_DIM_1 || j->row->rows != SLM_DIM_1) &&
           (!j->planned || slm_dtypes[j->w->type].block > 1);
}

/* Rows [r, r + n) of the block, all of one part, in float32 and the output's order. */
static void rows_in(const struct job *j, float *x, size_t r, size_t n)
{
    size_t cols = (size_t)j->w->cols;
    for (size_t i = 0; i < n; i++) {
        int part, k = source_row(j, j->first + (int)(r + i), &part);
        slm_model_row(j->c->m, j->part->weight, part, k, x + i * cols);
        adjust(j, x + i * cols);
    }
}

static void convert_block(int ith, int nth, void *arg)
{
    const struct job *j = arg;
    const struct slm_kern *kern = j->c->m->rt->kern;
    size_t lo, hi;
    slm_split((size_t)j->n, 1, ith, nth, &lo, &hi);
    size_t cols = (size_t)j->w->cols, n;
    float *x = j->scratch + (size_t)ith * (size_t)j->at_once * cols;
    for (size_t r = lo; r < hi; r += n) {
        uint8_t *to = j->c->block + r * j->bytes;
        n = hi - r < (size_t)j->at_once ? hi - r : (size_t)j->at_once;
        if (as_is(j)) {
            for (size_t i = 0; i < n; i++)
                memcpy(to + i * j->bytes, source_bytes(j, j->first + (int)(r + i)), j->bytes);
            continue;
        }
        int row = j->first + (int)r, left = j->w->rows - row % j->w->rows;
        n = n < (size_t)left ? n : (size_t)left;
        rows_in(j, x, r, n);
        struct slm_rounding what = {j->part->weight, j->part->part + row / j->w->rows,
                                    row % j->w->rows, (int)n};
        if (j->planned)
            j->c->plan->round(j->c->plan->arg, ith, &what, to, x);
        else
            kern->from_f32[j->part->type](to, x, n * cols);
    }
}

static int progress(struct slm_convert *c, size_t n, slm_err *err)
{
    c->done += n;
    if (c->plan)
        return c->plan->progress && c->plan->progress(c->plan->progress_arg, c->done, c->total)
                   ? slm_fail(err, SLM_E_CANCELLED, "quantisation stopped")
                   : 0;
    return c->o->progress && c->o->progress(c->o->progress_arg, c->done, c->total)
               ? slm_fail(err, SLM_E_CANCELLED, "conversion stopped")
               : 0;
}

int slm_convert_rows(struct slm_convert *c, const struct slm_convert_part *part,
                     slm_convert_sink *sink, void *arg, slm_err *err)
{
    slm_model *m = c->m;
    struct job j = {
        .c = c, .w = &m->weight[part->weight], .row = m->row[part->weight], .part = part};
    int all = part->row >= 0 ? 1 : part->parts * j.w->rows,
        from = part->row >= 0 ? part->row : 0, rc = 0;
    j.bytes = slm_row_bytes(part->type, (size_t)j.w->cols);
    j.planned = c->plan && slm_model_rounds(m, part->weight);
    j.at_once = j.planned ? c->plan->rows : 1;
    size_t most = c->block_bytes / j.bytes, threads = (size_t)slm_pool_threads(m->rt->pool);
    j.scratch =
        slm_alloc_n(m->rt, SLM_MEM_MODEL, (threads * (size_t)j.at_once + 1) * (size_t)j.w->cols,
                    sizeof *j.scratch);
    if (!j.scratch || !most) {
        slm_free(m->rt, j.scratch);
        return slm_fail_mem(err, j.w->name, j.bytes);
    }
    j.spare = j.scratch + threads * (size_t)j.at_once * (size_t)j.w->cols;
    for (int r = 0; r < all && !rc; r += j.n) {
        j.first = from + r;
        j.n = (size_t)(all - r) < most ? all - r : (int)most;
        slm_pool_run(m->rt->pool, convert_block, &j);
        if (j.planned)
            rc = c->plan->after(c->plan->arg, part->weight, r + j.n == all, err);
        rc = rc ? rc : sink(arg, c->block, (size_t)j.n * j.bytes, err);
        if (!rc)
            rc = progress(c, (size_t)j.n * j.bytes, err);
    }
    slm_free(m->rt, j.scratch);
    return rc;
}

/* A type that can be written, and rows that it divides; what it does not divide is said. */
static int check_type(struct slm_convert *c, slm_err *err)
{
    slm_model *m = c->m;
    c->type = -1;
    if (c->o->type && !strcmp(c->o->type, slm_dtypes[SLM_NF4].name)) {
        c->nf4 = true;
        return c->o->to_folder
                   ? 0
                   : slm_fail(
                         err, SLM_E_UNSUPPORTED,
                         "nf4 is no type of GGUF's: it is written as a Hugging Face folder");
    }
    if (c->o->type) {
        c->type = slm_dtype_of_name(c->o->type);
        const struct slm_dtype_info *d = c->type >= 0 ? &slm_dtypes[c->type] : NULL;
        bool number = d && (d->block > 1 || c->type == SLM_F32 || c->type == SLM_F16 ||
                            c->type == SLM_BF16);
        if (!number || d->gguf < 0 || c->type == SLM_Q8_K || c->type == SLM_Q8_1)
            return slm_fail(err, SLM_E_ARG, "type '%s' is no weight type", c->o->type);
        if (!m->rt->kern->from_f32[c->type])
            return slm_fail(err, SLM_E_UNSUPPORTED,
                            "type %s needs more than rounding: use slm quantize --type %s",
                            d->name, d->name);
        if (c->o->to_folder && d->block > 1)
            return slm_fail(err, SLM_E_UNSUPPORTED,
                            "a Hugging Face folder holds f32, f16 or bf16, not %s", d->name);
    }
    for (int i = 0; i < m->n_weights && c->type >= 0; i++)
        if (m->row[i]->rows != SLM_DIM_1 && m->weight[i].cols % slm_dtypes[c->type].block)
            slm_log(m->rt, SLM_LOG_WARN, "%s stays %s: rows of %d are no multiple of %d",
                    m->weight[i].name,
                    slm_dtypes[slm_convert_type(c, i, !c->o->to_folder)].name,
                    m->weight[i].cols, slm_dtypes[c->type].block);
    return 0;
}

/* The block of rows that is converted at a time, and what there is to do in all. */
static int take_block(struct slm_convert *c, size_t bytes_at_once, slm_err *err)
{
    slm_model *m = c->m;
    c->block_bytes = bytes_at_once;
    for (int i = 0; i < m->n_weights; i++) {
        const struct slm_weight *w = &m->weight[i];
        size_t bytes = slm_row_bytes(slm_convert_type(c, i, !c->o->to_folder), (size_t)w->cols);
        c->total += bytes * (uint64_t)w->rows * (uint64_t)w->parts;
        if (bytes > c->block_bytes)
            c->block_bytes = bytes;
    }
    c->block = slm_alloc(m->rt, SLM_MEM_MODEL, c->block_bytes);
    return c->block ? 0 : slm_fail_mem(err, "conversion", c->block_bytes);
}

static int prepare(struct slm_convert *c, slm_err *err)
{
    slm_model *m = c->m;
    int rc = check_type(c, err);
    if (!rc && c->o->tokenizer)
        rc = slm_tokenizer_open(&c->other, m->rt, c->o->tokenizer, err);
    if (!rc && c->other && slm_tokenizer_size(c->other) > m->hp.vocab)
        rc = slm_fail(err, SLM_E_ARG, "%s: %d tokens, the model's vocabulary has %d",
                      c->o->tokenizer, slm_tokenizer_size(c->other), m->hp.vocab);
    return rc ? rc : take_block(c, BLOCK_BYTES, err);
}

static const slm_convert_opts no_opts;

int slm_model_write_gguf(slm_model *m, const char *path, const struct slm_gguf_plan *plan,
                         slm_err *err)
{
    struct slm_convert c = {.m = m, .o = &no_opts, .plan = plan, .type = -1, .q_gain = 1};
    int rc = take_block(&c, PLAN_BYTES, err);
    if (!rc)
        rc = slm_convert_gguf(&c, path, err);
    slm_free(m->rt, c.block);
    return rc;
}

int slm_model_measure_gguf(slm_model *m, const struct slm_gguf_plan *plan, uint64_t *bytes,
                           slm_err *err)
{
    struct slm_convert c = {.m = m, .o = &no_opts, .plan = plan, .type = -1, .q_gain = 1};
    c.measure = bytes;
    return slm_convert_gguf(&c, m->src.path, err);
}

int slm_model_save(slm_model *m, const char *path, bool folder, enum slm_dtype type,
                   slm_err *err)
{
    slm_convert_opts o = {.type = slm_dtypes[type].name, .to_folder = folder};
    struct slm_convert c = {.m = m, .o = &o, .q_gain = 1, .over = true};
    int rc = prepare(&c, err);
    if (!rc)
        rc = folder ? slm_convert_folder(&c, path, err) : slm_convert_gguf(&c, path, err);
    slm_free(m->rt, c.block);
    return rc;
}

int slm_model_write(slm_model *m, const char *out, const slm_convert_opts *o, slm_err *err)
{
    struct slm_convert c = {.m = m, .o = o ? o : &no_opts, .q_gain = 1};
    int rc = prepare(&c, err);
    if (!rc)
        rc = c.o->to_folder ? slm_convert_folder(&c, out, err) : slm_convert_gguf(&c, out, err);
    slm_free(m->rt, c.block);
    slm_tokenizer_close(&c.other);
    return rc;
}

int slm_model_convert(slm_runtime *rt, const char *in, const char *out,
                      const slm_convert_opts *o, slm_err *err)
{
    slm_model *m = NULL;
    slm_model_opts mo = {.allow_no_tokenizer = 1};
    int rc = slm_model_open(&m, rt, in, &mo, err);
    if (!rc)
        rc = slm_model_write(m, out, o, err);
    slm_model_close(&m);
    return rc;
}
