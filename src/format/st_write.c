/* Writing a safetensors file. The format allows no holes, so alignment comes from order:
 * tensors with wide elements first, and a header that ends on a multiple of 64. The writer
 * chooses that order and asks for the bytes in it. */
#include "format/st_in.h"

#include <string.h>

#define HEADER_MAX ((size_t)100000000)
#define HEADER_ALIGN 64

struct item {
    const char *name;
    char *head;        /* "dtype":...,"shape":[...] */
    uint64_t bytes;
    int width;         /* bytes an element */
};

struct slm_st_out {
    slm_runtime *rt;
    struct slm_out file;
    struct slm_arena arena;
    struct slm_buf meta;
    struct item *items;
    uint32_t *order;
    size_t n, cap, at;
    uint64_t done;
    bool streaming;
    int failed;
    slm_err why;
};

int slm_st_out_open(slm_st_out **out, slm_runtime *rt, const char *path, slm_err *err)
{
    slm_st_out *w = *out = slm_zalloc(rt, SLM_MEM_FORMAT, sizeof *w);
    if (!w)
        return slm_fail_mem(err, path, sizeof *w);
    w->rt = rt;
    slm_arena_init(&w->arena, rt, SLM_MEM_FORMAT);
    slm_buf_init(&w->meta, rt, SLM_MEM_FORMAT, HEADER_MAX);
    int rc = slm_out_open(&w->file, rt, path, err);
    if (rc)
        slm_st_out_close(out);
    return rc;
}

void slm_st_out_close(slm_st_out **wp)
{
    slm_st_out *w = *wp;
    if (!w)
        return;
    *wp = NULL;
    slm_out_close(&w->file);
    slm_arena_release(&w->arena);
    slm_buf_release(&w->meta);
    slm_free(w->rt, w->items);
    slm_free(w->rt, w->order);
    slm_free(w->rt, w);
}

void slm_st_out_meta(slm_st_out *w, const char *key, const char *value)
{
    SLM_ASSERT(!w->streaming);
    if (w->meta.n)
        slm_buf_putc(&w->meta, ',');
    slm_buf_put_json(&w->meta, key, strlen(key));
    slm_buf_putc(&w->meta, ':');
    slm_buf_put_json(&w->meta, value, strlen(value));
}

static void fail_once(slm_st_out *w, int code, const char *name, const char *what)
{
    if (!w->failed)
        w->failed = slm_fail(&w->why, code, "%s: tensor %s: %s", w->file.path, name, what);
}

void slm_st_out_tensor(slm_st_out *w, const char *name, enum slm_dtype type,
                       const uint64_t *dim, int n_dims)
{
    struct item it = {.width = slm_dtypes[type].bytes};
    uint64_t count;
    const char *type_name = slm_st_type_name(type);
    SLM_ASSERT(!w->streaming && n_dims >= 0 && n_dims <= SLM_TENSOR_DIMS);
    if (!type_name) {
        fail_once(w, SLM_E_UNSUPPORTED, name, "safetensors has no such element type");
        return;
    }
    if (!slm_tensor_size(type, dim, n_dims, &count, &it.bytes)) {
        fail_once(w, SLM_E_FORMAT, name, "its size can not be said in 64 bits");
        return;
    }
    struct slm_buf head;
    slm_buf_init(&head, w->rt, SLM_MEM_FORMAT, 1024);
    slm_buf_printf(&head, "{\"dtype\":\"%s\",\"shape\":[", type_name);
    for (int i = 0; i < n_dims; i++)
        slm_buf_printf(&head, "%s%llu", i ? "," : "", (unsigned long long)dim[i]);
    it.head = head.failed ? NULL : slm_arena_strndup(&w->arena, head.s, head.n);
    it.name = slm_arena_strdup(&w->arena, name);
    slm_buf_release(&head);
    if (!it.head || !it.name ||
        slm_grow(w->rt, SLM_MEM_FORMAT, (void **)&w->items, w->n, &w->cap, sizeof it))
        fail_once(w, SLM_E_NOMEM, name, "out of memory");
    else
        w->items[w->n++] = it;
}

static bool wider(const void *ctx, uint32_t a, uint32_t b)
{
    const struct item *items = ctx;
    return items[a].width != items[b].width ? items[a].width > items[b].width : a < b;
}

static void put_header(const slm_st_out *w, struct slm_buf *h)
{
    uint64_t at = 0;
    slm_buf_putc(h, '{');
    if (w->meta.n)
        slm_buf_printf(h, "\"__metadata__\":{%s}%s", w->meta.s, w->n ? "," : "");
    for (size_t i = 0; i < w->n; i++) {
        const struct item *it = &w->items[w->order[i]];
        slm_buf_put_json(h, it->name, strlen(it->name));
        slm_buf_printf(h, ":%s],\"data_offsets\":[%llu,%llu]}%s", it->head,
                       (unsigned long long)at, (unsigned long long)(at + it->bytes),
                       i + 1 < w->n ? "," : "");
        at += it->bytes;
    }
    slm_buf_putc(h, '}');
    while ((h->n + 8) % HEADER_ALIGN && !h->failed)
        slm_buf_putc(h, ' ');
}

/* Passes over tensors that are whole. */
static void advance(slm_st_out *w)
{
    while (w->at < w->n && w->done == w->items[w->order[w->at]].bytes) {
        w->done = 0;
        w->at++;
    }
}

/* Is a name declared twice? */
static int check_names(slm_st_out *w, slm_err *err)
{
    struct slm_names names = {w->items, sizeof *w->items, w->n, NULL};
    const char *twice;
    int rc = slm_names_build(&names, w->rt, &twice, err);
    slm_free(w->rt, names.order);
    return rc || !twice
               ? rc
               : slm_fail(err, SLM_E_FORMAT, "%s: tensor %s twice", w->file.path, twice);
}

int slm_st_out_begin(slm_st_out *w, slm_err *err)
{
    SLM_ASSERT(!w->streaming);
    if (w->failed) {
        if (err)
            *err = w->why;
        return w->failed;
    }
    int rc = slm_buf_check(&w->meta, w->file.path, err);
    if (rc || (rc = check_names(w, err)))
        return rc;
    w->order = slm_alloc_n(w->rt, SLM_MEM_FORMAT, w->n, sizeof *w->order);
    if (!w->order)
        return slm_fail_mem(err, w->file.path, w->n * sizeof *w->order);
    slm_order_sort(w->order, w->n, wider, w->items);
    struct slm_buf header;
    slm_buf_init(&header, w->rt, SLM_MEM_FORMAT, HEADER_MAX);
    put_header(w, &header);
    rc = slm_buf_check(&header, w->file.path, err);
    uint64_t n = header.n;
    if (!rc && !(rc = slm_out_write(&w->file, &n, sizeof n, err)))
        rc = slm_out_write(&w->file, header.s, header.n, err);
    slm_buf_release(&header);
    w->streaming = true;
    advance(w);
    return rc;
}

int64_t slm_st_out_next(const slm_st_out *w)
{
    SLM_ASSERT(w->streaming);
    return w->at < w->n ? (int64_t)w->order[w->at] : -1;
}

int slm_st_out_data(slm_st_out *w, const void *p, size_t n, slm_err *err)
{
    SLM_ASSERT(w->streaming);
    if (n && (w->at == w->n || n > w->items[w->order[w->at]].bytes - w->done))
        return slm_fail(err, SLM_E_INTERNAL, "%s: more bytes than the tensor holds",
                        w->file.path);
    int rc = slm_out_write(&w->file, p, n, err);
    w->done += n;
    advance(w);
    return rc;
}

int slm_st_out_commit(slm_st_out *w, slm_err *err)
{
    SLM_ASSERT(w->streaming);
    if (w->at != w->n)
        return slm_fail(err, SLM_E_INTERNAL, "%s: the bytes of %zu tensors are missing",
                        w->file.path, w->n - w->at);
    return slm_out_commit(&w->file, err);
}
