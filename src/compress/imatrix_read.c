/* Reading importance matrices. Two forms are in use, both llama.cpp's. GGUF: tensors
 * NAME.in_sum2 (parts, cols) with raw sums and NAME.counts (parts). The older form: a list of
 * names with mean squares times a number of calls. Every byte is hostile: counts are held
 * against what is left of the file before anything is taken for them, numbers must be finite
 * and not negative. */
#include "compress/importance.h"

#include <math.h>
#include <string.h>

#include "format/gguf.h"

#define SUM ".in_sum2"
#define COUNT ".counts"
#define MAX_NAME 1024
#define MAX_COUNT 9007199254740992.0 /* 2^53 */

/* ---- numbers ---- */

static float float_at(const uint8_t *p, size_t i)
{
    float f;
    memcpy(&f, p + 4 * i, 4);
    return f;
}

static int take_sums(struct slm_importance *e, const uint8_t *p, double factor,
                     const char *path, slm_err *err)
{
    size_t n = (size_t)e->parts * (size_t)e->cols;
    for (size_t i = 0; i < n; i++) {
        float f = float_at(p, i);
        if (!isfinite(f) || f < 0)
            return slm_fail(err, SLM_E_FORMAT, "%s: %s: entry %zu is %g, no sum of squares",
                            path, e->name, i, (double)f);
        e->sum[i] = (double)f * factor;
    }
    return 0;
}

/* ---- GGUF ---- */

struct reader {
    slm_imatrix *im;
    const slm_gguf *g;
    const char *path;
    slm_err *err;
};

static int check_pair(const struct reader *r, const struct slm_tensor_ref *sum,
                      const struct slm_tensor_ref *count, const char *name)
{
    if (!count)
        return slm_fail(r->err, SLM_E_FORMAT, "%s: %s has sums, but no counts", r->path, name);
    if (sum->type != SLM_F32 || count->type != SLM_F32)
        return slm_fail(r->err, SLM_E_FORMAT, "%s: %s: sums and counts must be f32", r->path,
                        name);
    if (!sum->count || !count->count || sum->count % count->count ||
        sum->count / count->count > INT32_MAX || count->count > INT32_MAX)
        return slm_fail(r->err, SLM_E_FORMAT, "%s: %s: %llu sums for %llu counts", r->path,
                        name, (unsigned long long)sum->count, (unsigned long long)count->count);
    return 0;
}

static int take_counts(const struct reader *r, struct slm_importance *e, const uint8_t *p)
{
    for (int i = 0; i < e->parts; i++) {
        double c = (double)float_at(p, (size_t)i);
        if (!(c >= 0 && c <= MAX_COUNT))
            return slm_fail(r->err, SLM_E_FORMAT, "%s: %s: count %d is %g", r->path, e->name, i,
                            c);
        e->count[i] = (uint64_t)(c + 0.5);
    }
    return 0;
}

static int take_tensor(const struct reader *r, const struct slm_tensor_ref *t)
{
    size_t n = strlen(t->name), cut = sizeof SUM - 1;
    char name[MAX_NAME + sizeof COUNT];
    if (!slm_str_ends(t->name, SUM)) {
        bool counts = slm_str_ends(t->name, COUNT);
        return counts ? 0
                      : slm_fail(r->err, SLM_E_FORMAT,
                                 "%s: tensor %s belongs to no importance matrix", r->path,
                                 t->name);
    }
    if (n == cut || n - cut > MAX_NAME)
        return slm_fail(r->err, SLM_E_FORMAT, "%s: a name of %zu bytes", r->path, n - cut);
    memcpy(name, t->name, n - cut);
    memcpy(name + n - cut, COUNT, sizeof COUNT);
    const struct slm_tensor_ref *count = slm_gguf_tensor_find(r->g, name);
    int rc = check_pair(r, t, count, t->name);
    if (rc)
        return rc;
    int parts = (int)count->count, cols = (int)(t->count / count->count);
    struct slm_importance *e = slm_imatrix_add(r->im, name, n - cut, parts, cols);
    if (!e)
        return slm_fail_mem(r->err, r->path, (size_t)t->bytes * 2);
    rc = take_sums(e, t->data, 1, r->path, r->err);
    return rc ? rc : take_counts(r, e, count->data);
}

static int take_keys(const struct reader *r)
{
    const struct slm_gguf_key *sets = NULL;
    struct slm_gguf_range any = {0, UINT32_MAX, SLM_GGUF_OPTIONAL};
    int64_t chunks = 0, size = 0;
    int rc = slm_gguf_int(r->g, "imatrix.chunk_count", any, &chunks, r->err);
    if (!rc)
        rc = slm_gguf_int(r->g, "imatrix.chunk_size", any, &size, r->err);
    if (!rc)
        rc = slm_gguf_array(r->g, "imatrix.datasets", SLM_GGUF_KIND_STR, SLM_GGUF_OPTIONAL,
                            &sets, r->err);
    for (size_t i = 0; sets && i < sets->count && !rc; i++) {
        struct slm_gguf_str s = slm_gguf_elem_str(sets, i);
        rc = slm_imatrix_add_dataset(r->im, s.s, s.n, r->err);
    }
    r->im->chunks = (uint32_t)chunks;
    r->im->chunk_size = (uint32_t)size;
    return rc;
}

static int read_gguf(struct reader *r)
{
    int rc = take_keys(r);
    for (size_t i = 0; i < slm_gguf_tensor_count(r->g) && !rc; i++)
        rc = take_tensor(r, slm_gguf_tensor_at(r->g, i));
    return rc;
}

/* ---- the older form ---- */

struct bytes {
    const uint8_t *p;
    size_t n;
};

static bool take_int(struct bytes *b, int32_t *v)
{
    if (b->n < 4)
        return false;
    memcpy(v, b->p, 4);
    b->p += 4;
    b->n -= 4;
    return true;
}

/* A count of things of `size` bytes that must be there. */
static bool take_list(struct bytes *b, size_t size, int32_t *n, const uint8_t **p)
{
    if (!take_int(b, n) || *n < 0 || (size_t)*n > b->n / size)
        return false;
    *p = b->p;
    b->p += (size_t)*n * size;
    b->n -= (size_t)*n * size;
    return true;
}

static int take_entry(const struct reader *r, struct bytes *b, int i)
{
    const uint8_t *name = NULL, *values = NULL;
    int32_t len = 0, calls = 0, n = 0;
    if (!take_list(b, 1, &len, &name) || len < 1 || len > MAX_NAME ||
        memchr(name, 0, (size_t)len))
        return slm_fail(r->err, SLM_E_FORMAT, "%s: entry %d: no name: no importance matrix?",
                        r->path, i);
    if (!take_int(b, &calls) || calls < 0 || !take_list(b, 4, &n, &values) || n < 1)
        return slm_fail(r->err, SLM_E_FORMAT, "%s: entry %d (%.*s) is cut short or damaged",
                        r->path, i, (int)len, (const char *)name);
    struct slm_importance *e = slm_imatrix_add(r->im, (const char *)name, (size_t)len, 1, n);
    if (!e)
        return slm_fail_mem(r->err, r->path, (size_t)n * sizeof(double));
    /* values are means times calls; a call is a chunk */
    e->count[0] = (uint64_t)(calls ? calls : 1) * SLM_IMATRIX_CHUNK;
    return take_sums(e, values, SLM_IMATRIX_CHUNK, r->path, r->err);
}

static int read_old(struct reader *r, struct bytes b)
{
    int32_t n = 0, chunks = 0, len = 0;
    const uint8_t *set = NULL;
    if (!take_int(&b, &n) || n < 1 || (size_t)n > b.n / 13)
        return slm_fail(r->err, SLM_E_FORMAT, "%s: no importance matrix (neither of its forms)",
                        r->path);
    int rc = 0;
    for (int i = 0; i < n && !rc; i++)
        rc = take_entry(r, &b, i);
    r->im->chunk_size = SLM_IMATRIX_CHUNK;
    if (rc || !b.n) /* what follows is optional */
        return rc;
    if (!take_int(&b, &chunks) || chunks < 0 || (b.n && !take_list(&b, 1, &len, &set)) || b.n)
        return slm_fail(r->err, SLM_E_FORMAT, "%s: damaged behind its entries", r->path);
    r->im->chunks = (uint32_t)chunks;
    return len ? slm_imatrix_add_dataset(r->im, (const char *)set, (size_t)len, r->err) : 0;
}

/* ---- either ---- */

int slm_imatrix_open_mem(slm_imatrix **out, slm_runtime *rt, const void *p, size_t n,
                         const char *name, slm_err *err)
{
    slm_gguf *g = NULL;
    struct reader r = {.path = name, .err = err};
    int rc = slm_imatrix_new(out, rt, err);
    if (rc)
        return rc;
    r.im = *out;
    if (n >= 4 && !memcmp(p, "GGUF", 4)) {
        rc = slm_gguf_open_mem(&g, rt, p, n, name, err);
        r.g = g;
        if (!rc)
            rc = read_gguf(&r);
        if (!rc && !r.im->n)
            rc = slm_fail(err, SLM_E_FORMAT, "%s: a GGUF file, but no importance matrix", name);
    } else {
        rc = read_old(&r, (struct bytes){p, n});
    }
    if (!rc)
        rc = slm_imatrix_sort(r.im, name, err);
    slm_gguf_close(&g);
    if (rc)
        slm_imatrix_close(out);
    return rc;
}

int slm_imatrix_open(slm_imatrix **out, slm_runtime *rt, const char *path, slm_err *err)
{
    struct slm_map m;
    int rc = slm_map_open(&m, path, err);
    if (rc)
        return rc;
    rc = slm_imatrix_open_mem(out, rt, m.data, m.size, path, err);
    slm_map_close(&m);
    return rc;
}
