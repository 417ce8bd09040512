/* Importance matrices in memory: a list of entries in the order of their names. Sums are kept
 * in float64, so that the order of chunks hardly shows; files hold float32. */
#include "compress/importance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int slm_imatrix_new(slm_imatrix **out, slm_runtime *rt, slm_err *err)
{
    slm_imatrix *im = *out = slm_zalloc(rt, SLM_MEM_USER, sizeof *im);
    if (!im)
        return slm_fail_mem(err, "importance matrix", sizeof *im);
    im->rt = rt;
    return 0;
}

static void release(slm_imatrix *im, struct slm_importance *e)
{
    slm_free(im->rt, e->name);
    slm_free(im->rt, e->sum);
    slm_free(im->rt, e->count);
}

void slm_imatrix_close(slm_imatrix **pim)
{
    slm_imatrix *im = pim ? *pim : NULL;
    if (!im)
        return;
    for (size_t i = 0; i < im->n; i++)
        release(im, &im->entry[i]);
    for (size_t i = 0; i < im->n_datasets; i++)
        slm_free(im->rt, im->dataset[i]);
    slm_free(im->rt, im->entry);
    slm_free(im->rt, im->dataset);
    slm_free(im->rt, im);
    *pim = NULL;
}

static char *copy(slm_runtime *rt, const char *s, size_t n)
{
    char *p = slm_alloc(rt, SLM_MEM_USER, n + 1);
    if (p) {
        memcpy(p, s, n);
        p[n] = 0;
    }
    return p;
}

struct slm_importance *slm_imatrix_add(slm_imatrix *im, const char *name, size_t len, int parts,
                                       int cols)
{
    if (slm_grow(im->rt, SLM_MEM_USER, (void **)&im->entry, im->n, &im->cap, sizeof *im->entry))
        return NULL;
    struct slm_importance e = {.parts = parts, .cols = cols};
    e.name = copy(im->rt, name, len);
    e.sum = slm_zalloc_n(im->rt, SLM_MEM_USER, (size_t)parts * (size_t)cols, sizeof *e.sum);
    e.count = slm_zalloc_n(im->rt, SLM_MEM_USER, (size_t)parts, sizeof *e.count);
    if (!e.name || !e.sum || !e.count) {
        release(im, &e);
        return NULL;
    }
    im->entry[im->n] = e;
    return &im->entry[im->n++];
}

void slm_imatrix_drop_last(slm_imatrix *im) { release(im, &im->entry[--im->n]); }

static int by_name(const void *a, const void *b)
{
    const struct slm_importance *x = a, *y = b;
    return strcmp(x->name, y->name);
}

int slm_imatrix_sort(slm_imatrix *im, const char *path, slm_err *err)
{
    if (im->n)
        qsort(im->entry, im->n, sizeof *im->entry, by_name);
    for (size_t i = 1; i < im->n; i++)
        if (!strcmp(im->entry[i - 1].name, im->entry[i].name))
            return slm_fail(err, SLM_E_FORMAT, "%s: two entries are called %s", path,
                            im->entry[i].name);
    return 0;
}

struct slm_importance *slm_imatrix_find(const slm_imatrix *im, const char *name)
{
    size_t lo = 0, hi = im->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = strcmp(im->entry[mid].name, name);
        if (!c)
            return &im->entry[mid];
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

int slm_imatrix_add_dataset(slm_imatrix *im, const char *s, size_t n, slm_err *err)
{
    if (slm_grow(im->rt, SLM_MEM_USER, (void **)&im->dataset, im->n_datasets, &im->cap_datasets,
                 sizeof *im->dataset))
        return slm_fail_mem(err, "importance matrix", n);
    char *p = im->dataset[im->n_datasets] = copy(im->rt, s, n);
    im->n_datasets += p != NULL;
    return p ? 0 : slm_fail_mem(err, "importance matrix", n);
}

/* An entry of the older form has one count for all experts: what it says goes for each. */
static int spread(slm_imatrix *im, struct slm_importance *e, int parts, slm_err *err)
{
    uint64_t *count = slm_alloc_n(im->rt, SLM_MEM_USER, (size_t)parts, sizeof *count);
    if (!count)
        return slm_fail_mem(err, e->name, (size_t)parts * sizeof *count);
    for (int i = 0; i < parts; i++)
        count[i] = e->count[0];
    slm_free(im->rt, e->count);
    e->count = count;
    e->cols /= parts;
    e->parts = parts;
    return 0;
}

static int merge_entry(slm_imatrix *im, struct slm_importance *e,
                       const struct slm_importance *f, slm_err *err)
{
    size_t n = (size_t)e->parts * (size_t)e->cols;
    if (n != (size_t)f->parts * (size_t)f->cols ||
        (e->parts != f->parts && e->parts > 1 && f->parts > 1))
        return slm_fail(err, SLM_E_ARG,
                        "importance matrices of different models: %s has %d x %d and %d x %d",
                        e->name, e->parts, e->cols, f->parts, f->cols);
    int rc = e->parts < f->parts ? spread(im, e, f->parts, err) : 0;
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++)
        e->sum[i] += f->sum[i];
    for (int i = 0; i < e->parts; i++)
        e->count[i] += f->count[f->parts > 1 ? i : 0];
    return 0;
}

int slm_imatrix_merge(slm_imatrix *im, const slm_imatrix *from, slm_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < from->n && !rc; i++) {
        const struct slm_importance *f = &from->entry[i];
        struct slm_importance *e = slm_imatrix_find(im, f->name);
        if (!e) {
            e = slm_imatrix_add(im, f->name, strlen(f->name), f->parts, f->cols);
            rc = e ? merge_entry(im, e, f, err) : slm_fail_mem(err, f->name, sizeof *e);
            if (!rc)
                rc = slm_imatrix_sort(im, "merged", err);
        } else {
            rc = merge_entry(im, e, f, err);
        }
    }
    for (size_t i = 0; i < from->n_datasets && !rc; i++)
        rc = slm_imatrix_add_dataset(im, from->dataset[i], strlen(from->dataset[i]), err);
    im->chunks =
        im->chunks + from->chunks < im->chunks ? UINT32_MAX : im->chunks + from->chunks;
    im->chunk_size = im->chunk_size ? im->chunk_size : from->chunk_size;
    return rc;
}

void slm_importance_means(const struct slm_importance *e, float *out)
{
    for (int p = 0; p < e->parts; p++) {
        const double *sum = e->sum + (size_t)p * (size_t)e->cols;
        float *to = out + (size_t)p * (size_t)e->cols;
        double all = 0, n = (double)e->count[p];
        for (int j = 0; j < e->cols; j++)
            all += sum[j];
        double least = all / e->cols * 1e-6;
        for (int j = 0; j < e->cols; j++)
            to[j] = n > 0 && all > 0 ? (float)(fmax(sum[j], least) / n) : 1.0f;
    }
}

void slm_imatrix_info_get(const slm_imatrix *im, slm_imatrix_info *out)
{
    *out = (slm_imatrix_info){
        .entries = (int)im->n,
        .chunks = im->chunks > INT32_MAX ? INT32_MAX : (int)im->chunks,
        .chunk_size = im->chunk_size > INT32_MAX ? INT32_MAX : (int)im->chunk_size,
        .dataset = im->n_datasets ? im->dataset[im->n_datasets - 1] : NULL,
    };
}

void slm_imatrix_entry_get(const slm_imatrix *im, int i, slm_imatrix_entry *out)
{
    const struct slm_importance *e = &im->entry[i];
    *out = (slm_imatrix_entry){e->name, e->parts, e->cols, e->sum, e->count};
}
