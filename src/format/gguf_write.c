/* Writing GGUF version 3: keys and tensor infos gather in memory, since their counts stand
 * before them; then the header goes out and tensor bytes stream behind it, padded to 32. The
 * file appears under its name only when every promised byte has come. */
#include "format/gguf_in.h"

#include <string.h>

#define ALIGN 32
#define HEADER_MAX ((size_t)1 << 32)

enum stage { DECLARING, STREAMING };

struct slm_gguf_out {
    slm_runtime *rt;
    struct slm_out file;
    const char *name; /* in messages */
    struct slm_buf keys, infos;
    uint64_t *sizes;           /* bytes of each tensor */
    size_t n_tensors, cap, at; /* at: the tensor whose bytes come */
    uint64_t n_keys;
    uint64_t offset; /* of the next tensor */
    uint64_t done;   /* bytes of tensor `at` so far */
    enum stage stage;
    int failed;
    slm_err why; /* of the first declaration that failed */
};

int slm_gguf_out_measure(slm_gguf_out **out, slm_runtime *rt, const char *name, slm_err *err)
{
    slm_gguf_out *w = *out = slm_zalloc(rt, SLM_MEM_FORMAT, sizeof *w);
    if (!w)
        return slm_fail_mem(err, name, sizeof *w);
    w->rt = rt;
    w->name = name;
    slm_buf_init(&w->keys, rt, SLM_MEM_FORMAT, HEADER_MAX);
    slm_buf_init(&w->infos, rt, SLM_MEM_FORMAT, HEADER_MAX);
    return 0;
}

int slm_gguf_out_open(slm_gguf_out **out, slm_runtime *rt, const char *path, slm_err *err)
{
    int rc = slm_gguf_out_measure(out, rt, path, err);
    if (rc)
        return rc;
    rc = slm_out_open(&(*out)->file, rt, path, err);
    if (rc)
        slm_gguf_out_close(out);
    else
        (*out)->name = (*out)->file.path;
    return rc;
}

void slm_gguf_out_close(slm_gguf_out **wp)
{
    slm_gguf_out *w = *wp;
    if (!w)
        return;
    *wp = NULL;
    slm_out_close(&w->file);
    slm_buf_release(&w->keys);
    slm_buf_release(&w->infos);
    slm_free(w->rt, w->sizes);
    slm_free(w->rt, w);
}

static void put_u32(struct slm_buf *b, uint32_t v) { slm_buf_put(b, &v, sizeof v); }
static void put_u64(struct slm_buf *b, uint64_t v) { slm_buf_put(b, &v, sizeof v); }

static void put_str(struct slm_buf *b, const char *s, size_t n)
{
    put_u64(b, n);
    slm_buf_put(b, s, n);
}

static void start_key(slm_gguf_out *w, const char *key, enum slm_gguf_type type)
{
    SLM_ASSERT(w->stage == DECLARING && *key);
    w->n_keys++;
    put_str(&w->keys, key, strlen(key));
    put_u32(&w->keys, (uint32_t)type);
}

static void scalar(slm_gguf_out *w, const char *key, enum slm_gguf_type type, const void *p)
{
    start_key(w, key, type);
    slm_buf_put(&w->keys, p, slm_gguf_type_size(type));
}

#define SCALAR(NAME, CTYPE, TYPE)                                                              \
    void slm_gguf_out_##NAME(slm_gguf_out *w, const char *key, CTYPE v)                        \
    {                                                                                          \
        scalar(w, key, TYPE, &v);                                                              \
    }
SCALAR(u8, uint8_t, SLM_GGUF_U8)
SCALAR(i8, int8_t, SLM_GGUF_I8)
SCALAR(u16, uint16_t, SLM_GGUF_U16)
SCALAR(i16, int16_t, SLM_GGUF_I16)
SCALAR(u32, uint32_t, SLM_GGUF_U32)
SCALAR(i32, int32_t, SLM_GGUF_I32)
SCALAR(u64, uint64_t, SLM_GGUF_U64)
SCALAR(i64, int64_t, SLM_GGUF_I64)
SCALAR(f32, float, SLM_GGUF_F32)
SCALAR(f64, double, SLM_GGUF_F64)

void slm_gguf_out_bool(slm_gguf_out *w, const char *key, bool v)
{
    uint8_t byte = v;
    scalar(w, key, SLM_GGUF_BOOL, &byte);
}

void slm_gguf_out_str(slm_gguf_out *w, const char *key, const char *s, size_t n)
{
    start_key(w, key, SLM_GGUF_STR);
    put_str(&w->keys, s, n);
}

static void start_array(slm_gguf_out *w, const char *key, enum slm_gguf_type elem, size_t count)
{
    start_key(w, key, SLM_GGUF_ARR);
    put_u32(&w->keys, (uint32_t)elem);
    put_u64(&w->keys, count);
}

void slm_gguf_out_array(slm_gguf_out *w, const char *key, enum slm_gguf_type elem,
                        const void *p, size_t count)
{
    size_t size = slm_gguf_type_size(elem);
    SLM_ASSERT(size);
    start_array(w, key, elem, count);
    slm_buf_put(&w->keys, p, count * size);
}

void slm_gguf_out_strs(slm_gguf_out *w, const char *key, const struct slm_gguf_str *s,
                       size_t count)
{
    start_array(w, key, SLM_GGUF_STR, count);
    for (size_t i = 0; i < count; i++)
        put_str(&w->keys, s[i].s, s[i].n);
}

void slm_gguf_out_copy(slm_gguf_out *w, const struct slm_gguf_key *k)
{
    if (k->type == SLM_GGUF_ARR)
        start_array(w, k->name, k->elem, k->count);
    else
        start_key(w, k->name, k->type);
    slm_buf_put(&w->keys, k->data, k->bytes);
}

static void fail_once(slm_gguf_out *w, int code, const char *name, const char *what)
{
    if (!w->failed)
        w->failed = slm_fail(&w->why, code, "%s: tensor %s: %s", w->name, name, what);
}

void slm_gguf_out_tensor(slm_gguf_out *w, const char *name, enum slm_dtype type,
                         const uint64_t *dim, int n_dims)
{
    uint64_t count, bytes;
    SLM_ASSERT(w->stage == DECLARING && *name);
    if (slm_dtypes[type].gguf < 0) {
        fail_once(w, SLM_E_UNSUPPORTED, name, "GGUF has no such element type");
        return;
    }
    if (n_dims < 0 || n_dims > 4 || !slm_tensor_size(type, dim, n_dims, &count, &bytes) ||
        bytes > UINT64_MAX / 2 - w->offset) {
        fail_once(w, SLM_E_FORMAT, name, "GGUF can not hold its shape in this element type");
        return;
    }
    if (slm_grow(w->rt, SLM_MEM_FORMAT, (void **)&w->sizes, w->n_tensors, &w->cap,
                 sizeof *w->sizes)) {
        fail_once(w, SLM_E_NOMEM, name, "out of memory");
        return;
    }
    w->sizes[w->n_tensors++] = bytes;
    put_str(&w->infos, name, strlen(name));
    put_u32(&w->infos, (uint32_t)n_dims);
    for (int i = n_dims; i-- > 0;)
        put_u64(&w->infos, dim[i]);
    put_u32(&w->infos, (uint32_t)slm_dtypes[type].gguf);
    put_u64(&w->infos, w->offset);
    w->offset += (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

/* Zeros up to a multiple of ALIGN. */
static int pad(slm_gguf_out *w, slm_err *err)
{
    static const uint8_t zeros[ALIGN];
    return slm_out_write(&w->file, zeros, (size_t)(-w->file.size % ALIGN), err);
}

/* Passes over tensors that are whole, padding behind each. */
static int advance(slm_gguf_out *w, slm_err *err)
{
    int rc = 0;
    while (!rc && w->at < w->n_tensors && w->done == w->sizes[w->at]) {
        w->done = 0;
        w->at++;
        rc = pad(w, err);
    }
    return rc;
}

static int check(const slm_gguf_out *w, slm_err *err)
{
    if (w->failed && err)
        *err = w->why;
    int rc = w->failed ? w->failed : slm_buf_check(&w->keys, w->name, err);
    return rc ? rc : slm_buf_check(&w->infos, w->name, err);
}

int slm_gguf_out_size(const slm_gguf_out *w, uint64_t *bytes, slm_err *err)
{
    uint64_t head = 4 + 4 + 16 + w->keys.n + w->infos.n;
    *bytes = (head + ALIGN - 1) / ALIGN * ALIGN + w->offset;
    return check(w, err);
}

int slm_gguf_out_image(slm_gguf_out *w, uint8_t **image, size_t *n, slm_err *err)
{
    static const uint32_t version = 3;
    uint64_t bytes, counts[2] = {w->n_tensors, w->n_keys};
    int rc = slm_gguf_out_size(w, &bytes, err);
    if (rc)
        return rc;
    *n = (size_t)bytes;
    *image = bytes < SIZE_MAX / 2 ? slm_pages_alloc(w->rt, SLM_MEM_MODEL, *n) : NULL;
    if (!*image)
        return slm_fail_mem(err, w->name, *n);
    uint8_t *p = *image;
    memcpy(p, "GGUF", 4);
    memcpy(p + 4, &version, sizeof version);
    memcpy(p + 8, counts, sizeof counts);
    memcpy(p + 24, w->keys.s, w->keys.n);
    memcpy(p + 24 + w->keys.n, w->infos.s, w->infos.n);
    return 0;
}

int slm_gguf_out_begin(slm_gguf_out *w, slm_err *err)
{
    static const uint32_t version = 3;
    SLM_ASSERT(w->stage == DECLARING);
    int rc = check(w, err);
    if (rc)
        return rc;
    w->stage = STREAMING;
    uint64_t counts[2] = {w->n_tensors, w->n_keys};
    (void)((rc = slm_out_write(&w->file, "GGUF", 4, err)) ||
           (rc = slm_out_write(&w->file, &version, sizeof version, err)) ||
           (rc = slm_out_write(&w->file, counts, sizeof counts, err)) ||
           (rc = slm_out_write(&w->file, w->keys.s, w->keys.n, err)) ||
           (rc = slm_out_write(&w->file, w->infos.s, w->infos.n, err)) || (rc = pad(w, err)) ||
           (rc = advance(w, err)));
    return rc;
}

int slm_gguf_out_data(slm_gguf_out *w, const void *p, size_t n, slm_err *err)
{
    SLM_ASSERT(w->stage == STREAMING);
    const uint8_t *s = p;
    int rc = 0;
    while (n && !rc) {
        if (w->at == w->n_tensors)
            return slm_fail(err, SLM_E_INTERNAL, "%s: more bytes than its tensors hold",
                            w->file.path);
        uint64_t room = w->sizes[w->at] - w->done;
        size_t k = n < room ? n : (size_t)room;
        rc = slm_out_write(&w->file, s, k, err);
        w->done += k;
        s += k;
        n -= k;
        if (!rc)
            rc = advance(w, err);
    }
    return rc;
}

int slm_gguf_out_commit(slm_gguf_out *w, slm_err *err)
{
    SLM_ASSERT(w->stage == STREAMING);
    if (w->at != w->n_tensors)
        return slm_fail(err, SLM_E_INTERNAL, "%s: the bytes of %zu tensors are missing",
                        w->file.path, w->n_tensors - w->at);
    return slm_out_commit(&w->file, err);
}
