/* Writing the plan: rows are rounded by all threads, read back, and measured; sums over rows
 * are taken in the order of rows, so that the report does not depend on threads either. */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "compress/quant_plan.h"

#define ROWS 4 /* that a thread rounds at once */

struct writer {
    slm_quant *q;
    struct slm_miss *miss; /* (most rows of a weight, over all parts) */
    size_t most;
    float *back; /* (threads, most columns) */
    size_t cols;
    atomic_int bad, wide; /* a row with numbers that are not finite (before, after), plus 1 */
};

static bool all_finite(const float *x, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * 0;
    return sum == 0;
}

static void flag(atomic_int *at, int row)
{
    int seen = atomic_load(at);
    while ((!seen || row + 1 < seen) && !atomic_compare_exchange_weak(at, &seen, row + 1)) {}
}

static void round_rows(void *arg, int ith, const struct slm_rounding *r, void *out,
                       const float *x)
{
    struct writer *w = arg;
    const slm_quant *q = w->q;
    const struct slm_weight *weight = &q->m->weight[r->weight];
    enum slm_dtype t = q->type[r->weight];
    size_t cols = (size_t)weight->cols, bytes = slm_row_bytes(t, cols);
    const float *imp = q->row[r->weight].weight;
    float *back = w->back + (size_t)ith * w->cols;
    if (imp)
        imp += (size_t)r->part * cols;
    for (int i = 0; i < r->n; i++) {
        int at = r->part * weight->rows + r->row + i;
        const float *from = x + (size_t)i * cols;
        uint8_t *to = (uint8_t *)out + (size_t)i * bytes;
        if (!all_finite(from, cols)) {
            memset(to, 0, bytes);
            flag(&w->bad, at);
            continue;
        }
        int own = r->part * weight->rows + slm_model_gguf_row(q->m, r->weight, r->row + i);
        if (q->row[r->weight].ready)
            memcpy(to, q->row[r->weight].ready + (size_t)own * bytes, bytes);
        else
            slm_quant_round(q->rt->kern, t, to, from, imp, cols);
        q->rt->kern->to_f32[t](back, to, cols);
        if (!all_finite(back, cols))
            flag(&w->wide, at);
        w->miss[at] = slm_quant_miss(from, back, imp, cols);
    }
}

static void sum_up(const struct writer *w, int weight)
{
    const struct slm_weight *x = &w->q->m->weight[weight];
    struct slm_quant_row *row = &w->q->row[weight];
    size_t n = (size_t)x->rows * (size_t)x->parts;
    struct slm_miss all = {0};
    for (size_t r = 0; r < n; r++) {
        all.plain += w->miss[r].plain;
        all.weighted += w->miss[r].weighted;
        all.whole += w->miss[r].whole;
    }
    row->rmse = sqrt(all.plain / ((double)n * x->cols));
    row->error = all.whole > 0 ? all.weighted / all.whole : 0;
}

static int after(void *arg, int weight, bool last, slm_err *err)
{
    struct writer *w = arg;
    const slm_quant *q = w->q;
    int bad = atomic_load(&w->bad), wide = atomic_load(&w->wide);
    if (bad)
        return slm_fail(err, SLM_E_NUMERIC, "%s: tensor %s: row %d holds NaN or infinity",
                        q->m->src.path, q->m->weight[weight].name, bad - 1);
    if (wide)
        return slm_fail(err, SLM_E_NUMERIC, "%s: tensor %s: row %d does not fit into %s",
                        q->m->src.path, q->m->weight[weight].name, wide - 1,
                        slm_dtypes[q->type[weight]].name);
    if (last) {
        sum_up(w, weight);
        memset(w->miss, 0, w->most * sizeof *w->miss);
    }
    return 0;
}

static void put_keys(void *arg, slm_gguf_out *out)
{
    const struct writer *w = arg;
    const slm_imatrix *im = w->q->im;
    if (!im)
        return;
    const char *path = w->q->imatrix_path;
    slm_gguf_out_str(out, "quantize.imatrix.file", path, strlen(path));
    if (im->n_datasets) {
        const char *set = im->dataset[im->n_datasets - 1];
        slm_gguf_out_str(out, "quantize.imatrix.dataset", set, strlen(set));
    }
    slm_gguf_out_u32(out, "quantize.imatrix.entries_count", (uint32_t)im->n);
    if (im->chunks)
        slm_gguf_out_u32(out, "quantize.imatrix.chunks_count", im->chunks);
}

/* The number of the mix, or of the type that most weights have. */
static uint32_t file_type(const slm_quant *q)
{
    uint64_t by[SLM_DTYPE_COUNT] = {0};
    int most = SLM_F32;
    if (q->mix)
        return q->mix->file_type;
    for (int i = 0; i < q->m->n_weights; i++) {
        const struct slm_weight *w = &q->m->weight[i];
        by[q->type[i]] += (uint64_t)w->parts * (uint64_t)w->rows * (uint64_t)w->cols;
        most = by[q->type[i]] > by[most] ? (int)q->type[i] : most;
    }
    return slm_mix_file_type((enum slm_dtype)most);
}

static void fill_plan(struct slm_gguf_plan *plan, struct writer *w)
{
    *plan = (struct slm_gguf_plan){.type = w->q->type,
                                   .file_type = file_type(w->q),
                                   .rows = ROWS,
                                   .round = round_rows,
                                   .after = after,
                                   .keys = put_keys,
                                   .arg = w};
}

int slm_quant_file_bytes(slm_quant *q, uint64_t *bytes, slm_err *err)
{
    struct slm_gguf_plan plan;
    struct writer w = {.q = q};
    fill_plan(&plan, &w);
    return slm_model_measure_gguf(q->m, &plan, bytes, err);
}

static int open_writer(struct writer *w, slm_err *err)
{
    const slm_quant *q = w->q;
    for (int i = 0; i < q->m->n_weights; i++) {
        const struct slm_weight *x = &q->m->weight[i];
        size_t rows = (size_t)x->rows * (size_t)x->parts;
        if (!q->row[i].matrix)
            continue;
        w->most = rows > w->most ? rows : w->most;
        w->cols = (size_t)x->cols > w->cols ? (size_t)x->cols : w->cols;
    }
    size_t threads = (size_t)slm_pool_threads(q->rt->pool);
    w->miss = slm_zalloc_n(q->rt, SLM_MEM_USER, w->most, sizeof *w->miss);
    w->back = slm_alloc_n(q->rt, SLM_MEM_USER, threads * w->cols, sizeof *w->back);
    return w->miss && w->back ? 0 : slm_fail_mem(err, "rounding", w->most * sizeof *w->miss);
}

int slm_quant_write(slm_quant *q, const char *path, slm_progress_fn *progress,
                    void *progress_arg, slm_err *err)
{
    struct slm_gguf_plan plan;
    struct writer w = {.q = q};
    int rc = slm_quant_room(q, path, err);
    if (!rc)
        rc = open_writer(&w, err);
    fill_plan(&plan, &w);
    plan.progress = progress;
    plan.progress_arg = progress_arg;
    if (!rc)
        rc = slm_model_write_gguf(q->m, path, &plan, err);
    slm_free(q->rt, w.miss);
    slm_free(q->rt, w.back);
    return rc;
}

int slm_quant_room(slm_quant *q, const char *path, slm_err *err)
{
    uint64_t need = 0, room = slm_path_free_bytes(path);
    int rc = slm_out_check(path, err);
    if (!rc)
        rc = slm_quant_file_bytes(q, &need, err);
    if (rc || need <= room)
        return rc;
    return slm_fail(err, SLM_E_IO, "%s: needs %llu bytes, and the disk has %llu free", path,
                    (unsigned long long)need, (unsigned long long)room);
}

/* ---- what the plan says ---- */

int slm_quant_info_get(slm_quant *q, slm_quant_info *out, slm_err *err)
{
    *out = (slm_quant_info){.type = q->mix      ? q->mix->name
                                    : q->fitted ? "auto"
                                                : "as stored",
                            .weights = q->m->params,
                            .source_bytes = q->m->bytes,
                            .tensors = q->m->n_weights};
    for (int i = 0; i < q->m->n_weights; i++) {
        const struct slm_quant_row *row = &q->row[i];
        out->tensor_bytes += row->bytes;
        out->fallbacks += row->wanted >= 0;
        out->weighted += row->weight && slm_dtypes[q->type[i]].block > 1;
    }
    out->bpw = 8 * (double)out->tensor_bytes / (double)out->weights;
    return slm_quant_file_bytes(q, &out->file_bytes, err);
}

void slm_quant_tensor_get(const slm_quant *q, int i, slm_quant_tensor *out)
{
    const struct slm_weight *w = &q->m->weight[i];
    const struct slm_quant_row *row = &q->row[i];
    *out = (slm_quant_tensor){.name = w->name,
                              .from = slm_dtypes[w->type].name,
                              .type = slm_dtypes[q->type[i]].name,
                              .wanted = row->wanted < 0 ? NULL : slm_dtypes[row->wanted].name,
                              .rows = (uint64_t)w->rows * (uint64_t)w->parts,
                              .cols = (uint64_t)w->cols,
                              .bytes = row->bytes,
                              .weighted = row->weight && slm_dtypes[q->type[i]].block > 1,
                              .rmse = row->rmse,
                              .error = row->error};
}
