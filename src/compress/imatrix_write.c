/* Writing importance matrices in llama.cpp's two forms: GGUF with raw sums and counts, and the
 * older list of means, which has room for one number of calls an entry and therefore lays what
 * was never seen at 1. */
#include "compress/importance.h"

#include <string.h>

#include "format/gguf.h"

/* Its float32 numbers, through a buffer. */
struct floats {
    float v[1024];
    size_t n;
    int (*put)(void *to, const void *p, size_t n, slm_err *err);
    void *to;
    slm_err *err;
    int rc;
};

static void flush(struct floats *f)
{
    if (!f->rc && f->n)
        f->rc = f->put(f->to, f->v, f->n * sizeof *f->v, f->err);
    f->n = 0;
}

static void put_float(struct floats *f, double x)
{
    f->v[f->n++] = (float)x;
    if (f->n == sizeof f->v / sizeof *f->v)
        flush(f);
}

/* ---- GGUF ---- */

static int put_gguf(void *to, const void *p, size_t n, slm_err *err)
{
    return slm_gguf_out_data(to, p, n, err);
}

static int declare(slm_gguf_out *w, const slm_imatrix *im, slm_err *err)
{
    struct slm_buf name;
    slm_buf_init(&name, im->rt, SLM_MEM_USER, 1 << 16);
    for (size_t i = 0; i < im->n; i++) {
        const struct slm_importance *e = &im->entry[i];
        uint64_t dim[2] = {(uint64_t)e->parts, (uint64_t)e->cols},
                 count[2] = {(uint64_t)e->parts, 1};
        int many = e->parts > 1;
        slm_buf_reset(&name);
        slm_buf_printf(&name, "%s.in_sum2", e->name);
        slm_gguf_out_tensor(w, name.s, SLM_F32, dim + 1 - many, 1 + many);
        slm_buf_reset(&name);
        slm_buf_printf(&name, "%s.counts", e->name);
        slm_gguf_out_tensor(w, name.s, SLM_F32, count + 1 - many, 1 + many);
    }
    int rc = slm_buf_check(&name, "importance matrix", err);
    slm_buf_release(&name);
    return rc;
}

static int put_keys(slm_gguf_out *w, const slm_imatrix *im, slm_err *err)
{
    struct slm_gguf_str *s = slm_alloc_n(im->rt, SLM_MEM_USER, im->n_datasets + 1, sizeof *s);
    if (!s)
        return slm_fail_mem(err, "importance matrix", im->n_datasets * sizeof *s);
    for (size_t i = 0; i < im->n_datasets; i++)
        s[i] = (struct slm_gguf_str){im->dataset[i], strlen(im->dataset[i])};
    slm_gguf_out_str(w, "general.type", "imatrix", 7);
    slm_gguf_out_strs(w, "imatrix.datasets", s, im->n_datasets);
    slm_gguf_out_u32(w, "imatrix.chunk_count", im->chunks);
    slm_gguf_out_u32(w, "imatrix.chunk_size",
                     im->chunk_size ? im->chunk_size : SLM_IMATRIX_CHUNK);
    slm_free(im->rt, s);
    return 0;
}

static int save_gguf(const slm_imatrix *im, const char *path, slm_err *err)
{
    slm_gguf_out *w = NULL;
    int rc = slm_gguf_out_open(&w, im->rt, path, err);
    if (!rc)
        rc = put_keys(w, im, err);
    if (!rc)
        rc = declare(w, im, err);
    if (!rc)
        rc = slm_gguf_out_begin(w, err);
    struct floats f = {.put = put_gguf, .to = w, .err = err, .rc = rc};
    for (size_t i = 0; i < im->n && !f.rc; i++) {
        const struct slm_importance *e = &im->entry[i];
        for (size_t j = 0; j < (size_t)e->parts * (size_t)e->cols; j++)
            put_float(&f, e->sum[j]);
        for (int j = 0; j < e->parts; j++)
            put_float(&f, (double)e->count[j]);
        flush(&f);
    }
    rc = f.rc ? f.rc : slm_gguf_out_commit(w, err);
    slm_gguf_out_close(&w);
    return rc;
}

/* ---- the older form ---- */

static int put_out(void *to, const void *p, size_t n, slm_err *err)
{
    return slm_out_write(to, p, n, err);
}

static int put_int(struct slm_out *o, size_t v, slm_err *err)
{
    int32_t i = v > INT32_MAX ? INT32_MAX : (int32_t)v;
    return slm_out_write(o, &i, 4, err);
}

static uint64_t most(const struct slm_importance *e)
{
    uint64_t m = 0;
    for (int i = 0; i < e->parts; i++)
        m = e->count[i] > m ? e->count[i] : m;
    return m;
}

static int put_entry(struct slm_out *o, const struct slm_importance *e, uint64_t chunk,
                     slm_err *err)
{
    size_t len = strlen(e->name), calls = (size_t)((most(e) + chunk - 1) / chunk);
    int rc = put_int(o, len, err);
    if (!rc)
        rc = slm_out_write(o, e->name, len, err);
    if (!rc)
        rc = put_int(o, calls, err);
    if (!rc)
        rc = put_int(o, (size_t)e->parts * (size_t)e->cols, err);
    struct floats f = {.put = put_out, .to = o, .err = err, .rc = rc};
    for (int p = 0; p < e->parts && !f.rc; p++) {
        double n = (double)e->count[p];
        for (int j = 0; j < e->cols; j++)
            put_float(&f, (n > 0 ? e->sum[(size_t)p * (size_t)e->cols + (size_t)j] / n : 1) *
                              (double)calls);
    }
    flush(&f);
    return f.rc;
}

static int save_old(const slm_imatrix *im, const char *path, slm_err *err)
{
    struct slm_out o;
    uint64_t chunk = im->chunk_size ? im->chunk_size : SLM_IMATRIX_CHUNK;
    size_t full = 0;
    for (size_t i = 0; i < im->n; i++)
        full += most(&im->entry[i]) > 0;
    int rc = slm_out_open(&o, im->rt, path, err);
    if (rc)
        return rc;
    rc = put_int(&o, full, err);
    for (size_t i = 0; i < im->n && !rc; i++)
        if (most(&im->entry[i]))
            rc = put_entry(&o, &im->entry[i], chunk, err);
    const char *set = im->n_datasets ? im->dataset[im->n_datasets - 1] : "";
    if (!rc)
        rc = put_int(&o, im->chunks, err);
    if (!rc)
        rc = put_int(&o, strlen(set), err);
    if (!rc)
        rc = slm_out_write(&o, set, strlen(set), err);
    if (!rc)
        return slm_out_commit(&o, err);
    slm_out_close(&o);
    return rc;
}

int slm_imatrix_save(const slm_imatrix *im, const char *path, int dat, slm_err *err)
{
    size_t empty = 0;
    for (size_t i = 0; i < im->n; i++)
        for (int p = 0; p < im->entry[i].parts; p++)
            empty += !im->entry[i].count[p];
    if (!im->n)
        return slm_fail(err, SLM_E_ARG, "%s: the importance matrix has no entries", path);
    if (empty)
        slm_log(im->rt, SLM_LOG_WARN,
                "%s: %zu experts were never chosen by the text: they count as all alike", path,
                empty);
    return dat ? save_old(im, path, err) : save_gguf(im, path, err);
}
