/* Reading one GGUF file: the header is walked once, every count and length is held against the
 * bytes that are left before anything is allocated or multiplied, and the rest of the program
 * works with views into the mapping. Only names are copied, to give them an end. */
#include "format/gguf_in.h"

#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "GGUF views are little endian"
#endif

#define DIMS_MAX 4
#define ALIGN_MAX ((uint64_t)1 << 20)
/* Least bytes of a key (length, one letter, type, one byte) and of a tensor (length, one
 * letter, dims, type, offset): what a count can be true to. */
#define KEY_LEAST 14
#define TENSOR_LEAST 25

struct cursor {
    const uint8_t *start, *p, *end;
    const char *path;
    slm_err *err;
};

static const struct { const char *name; uint8_t size; } types[SLM_GGUF_TYPE_COUNT] = {
    [SLM_GGUF_U8] = {"uint8", 1},    [SLM_GGUF_I8] = {"int8", 1},
    [SLM_GGUF_U16] = {"uint16", 2},  [SLM_GGUF_I16] = {"int16", 2},
    [SLM_GGUF_U32] = {"uint32", 4},  [SLM_GGUF_I32] = {"int32", 4},
    [SLM_GGUF_F32] = {"float32", 4}, [SLM_GGUF_BOOL] = {"bool", 1},
    [SLM_GGUF_STR] = {"string", 0},  [SLM_GGUF_ARR] = {"array", 0},
    [SLM_GGUF_U64] = {"uint64", 8},  [SLM_GGUF_I64] = {"int64", 8},
    [SLM_GGUF_F64] = {"float64", 8},
};

const char *slm_gguf_type_name(enum slm_gguf_type t)
{
    return (unsigned)t < SLM_GGUF_TYPE_COUNT ? types[t].name : "unknown";
}

size_t slm_gguf_type_size(uint32_t type)
{
    return type < SLM_GGUF_TYPE_COUNT ? types[type].size : 0;
}

static size_t left(const struct cursor *c) { return (size_t)(c->end - c->p); }

static int short_of(struct cursor *c, const char *what)
{
    return slm_fail(c->err, SLM_E_FORMAT, "%s: the file ends inside %s (at byte %zu)", c->path,
                    what, (size_t)(c->p - c->start));
}

static int take(struct cursor *c, void *out, size_t n, const char *what)
{
    if (n > left(c))
        return short_of(c, what);
    memcpy(out, c->p, n);
    c->p += n;
    return 0;
}

/* A name: not empty, no NUL inside; copied. */
static int take_name(struct cursor *c, struct slm_arena *a, const char **out, const char *what)
{
    uint64_t n = 0;
    int rc = take(c, &n, sizeof n, what);
    if (rc)
        return rc;
    if (n > left(c))
        return short_of(c, what);
    if (n == 0 || memchr(c->p, 0, (size_t)n))
        return slm_fail(c->err, SLM_E_FORMAT, "%s: %s at byte %zu is %s", c->path, what,
                        (size_t)(c->p - c->start), n ? "broken by a NUL" : "empty");
    *out = slm_arena_strndup(a, (const char *)c->p, (size_t)n);
    c->p += n;
    return *out ? 0 : slm_fail_mem(c->err, what, (size_t)n);
}

static int skip_string(struct cursor *c, const char *key)
{
    uint64_t n = 0;
    int rc = take(c, &n, sizeof n, key);
    if (rc)
        return rc;
    if (n > left(c))
        return short_of(c, key);
    c->p += n;
    return 0;
}

static int take_strings(struct cursor *c, slm_gguf *g, struct slm_gguf_key *k)
{
    if (k->count > left(c) / 8)
        return short_of(c, k->name);
    k->strs = slm_arena_alloc_n(&g->arena, k->count, sizeof *k->strs);
    if (!k->strs)
        return slm_fail_mem(c->err, k->name, k->count * sizeof *k->strs);
    for (size_t i = 0; i < k->count; i++) {
        k->strs[i] = c->p;
        int rc = skip_string(c, k->name);
        if (rc)
            return rc;
    }
    return 0;
}

/* count elements of a fixed size; what a bool may be is checked here, so that views can be
 * trusted. */
static int take_fixed(struct cursor *c, struct slm_gguf_key *k)
{
    size_t size = slm_gguf_type_size(k->elem);
    if (k->count > left(c) / size)
        return short_of(c, k->name);
    if (k->elem == SLM_GGUF_BOOL)
        for (size_t i = 0; i < k->count; i++)
            if (c->p[i] > 1)
                return slm_fail(c->err, SLM_E_FORMAT, "%s: key %s: %d is no bool", c->path,
                                k->name, c->p[i]);
    c->p += k->count * size;
    return 0;
}

static int take_key(struct cursor *c, slm_gguf *g, struct slm_gguf_key *k)
{
    uint32_t type, elem;
    uint64_t count = 1;
    int rc = take_name(c, &g->arena, &k->name, "the name of a key");
    if (rc || (rc = take(c, &type, sizeof type, k->name)))
        return rc;
    elem = type;
    if (type == SLM_GGUF_ARR && ((rc = take(c, &elem, sizeof elem, k->name)) ||
                                 (rc = take(c, &count, sizeof count, k->name))))
        return rc;
    if (elem >= SLM_GGUF_TYPE_COUNT)
        return slm_fail(c->err, SLM_E_FORMAT, "%s: key %s: there is no value type %u", c->path,
                        k->name, elem);
    if (elem == SLM_GGUF_ARR)
        return slm_fail(c->err, SLM_E_UNSUPPORTED, "%s: key %s: arrays of arrays are not read",
                        c->path, k->name);
    if (count > left(c)) /* even one byte an element would not fit; also narrows to size_t */
        return short_of(c, k->name);
    k->type = (enum slm_gguf_type)type;
    k->elem = (enum slm_gguf_type)elem;
    k->count = (size_t)count;
    k->data = c->p;
    if (elem != SLM_GGUF_STR)
        rc = take_fixed(c, k);
    else if (type == SLM_GGUF_ARR)
        rc = take_strings(c, g, k);
    else
        rc = skip_string(c, k->name);
    k->bytes = (size_t)(c->p - k->data);
    return rc;
}

static int take_tensor(struct cursor *c, slm_gguf *g, struct slm_tensor_ref *t,
                       uint64_t *offset)
{
    uint32_t n_dims, type;
    uint64_t dim[DIMS_MAX];
    int rc = take_name(c, &g->arena, &t->name, "the name of a tensor");
    if (rc || (rc = take(c, &n_dims, sizeof n_dims, t->name)))
        return rc;
    if (n_dims > DIMS_MAX)
        return slm_fail(c->err, SLM_E_FORMAT,
                        "%s: tensor %s: %u dimensions, at most %d are possible", c->path,
                        t->name, n_dims, DIMS_MAX);
    if ((rc = take(c, dim, n_dims * sizeof *dim, t->name)) ||
        (rc = take(c, &type, sizeof type, t->name)) ||
        (rc = take(c, offset, sizeof *offset, t->name)))
        return rc;
    int known = slm_dtype_of_gguf(type);
    if (known < 0)
        return slm_fail(c->err, SLM_E_UNSUPPORTED, "%s: tensor %s: element type %u is unknown",
                        c->path, t->name, type);
    t->type = (enum slm_dtype)known;
    t->n_dims = (int)n_dims;
    for (uint32_t i = 0; i < n_dims; i++)
        t->dim[i] = dim[n_dims - 1 - i];
    if (!slm_tensor_size(t->type, t->dim, t->n_dims, &t->count, &t->bytes)) {
        char shape[SLM_SHAPE_TEXT];
        return slm_fail(c->err, SLM_E_FORMAT, "%s: tensor %s: shape %s is impossible for %s",
                        c->path, t->name, slm_shape_text(shape, t->dim, t->n_dims),
                        slm_dtypes[t->type].name);
    }
    return 0;
}

static bool offset_less(const void *ctx, uint32_t a, uint32_t b)
{
    const struct slm_tensor_ref *t = ctx;
    return t[a].data < t[b].data;
}

/* Gives every tensor its bytes and sees that no two share any. */
static int place(struct cursor *c, slm_gguf *g, const uint64_t *offset, uint64_t align,
                 uint32_t *order)
{
    uint64_t size = (uint64_t)(c->end - c->start), used = (uint64_t)(c->p - c->start);
    uint64_t start = (used + align - 1) & ~(align - 1);
    for (size_t i = 0; i < g->n_tensors; i++) {
        struct slm_tensor_ref *t = &g->tensors[i];
        if (offset[i] % align)
            return slm_fail(c->err, SLM_E_FORMAT,
                            "%s: tensor %s: offset %llu is no multiple of %llu", c->path,
                            t->name, (unsigned long long)offset[i], (unsigned long long)align);
        if (start > size || offset[i] > size - start || t->bytes > size - start - offset[i])
            return slm_fail(c->err, SLM_E_FORMAT,
                            "%s: tensor %s: its %llu bytes reach behind the end of the file",
                            c->path, t->name, (unsigned long long)t->bytes);
        t->data = c->start + start + offset[i];
    }
    slm_order_sort(order, g->n_tensors, offset_less, g->tensors);
    const struct slm_tensor_ref *last = NULL;
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct slm_tensor_ref *t = &g->tensors[order[i]];
        if (!t->bytes)
            continue;
        if (last && last->data + last->bytes > t->data)
            return slm_fail(c->err, SLM_E_FORMAT, "%s: tensors %s and %s share bytes", c->path,
                            last->name, t->name);
        last = t;
    }
    return 0;
}

static int take_tensors(struct cursor *c, slm_gguf *g)
{
    int64_t align = 32;
    int rc = slm_gguf_int(g, "general.alignment",
                          (struct slm_gguf_range){1, (int64_t)ALIGN_MAX, SLM_GGUF_OPTIONAL},
                          &align, c->err);
    if (rc)
        return rc;
    if (align & (align - 1))
        return slm_fail(c->err, SLM_E_FORMAT,
                        "%s: key general.alignment: %lld is no power of two", c->path,
                        (long long)align);
    uint64_t *offset = slm_alloc_n(g->rt, SLM_MEM_FORMAT, g->n_tensors, sizeof *offset);
    uint32_t *order = slm_alloc_n(g->rt, SLM_MEM_FORMAT, g->n_tensors, sizeof *order);
    if (!offset || !order)
        rc = slm_fail_mem(c->err, g->path, g->n_tensors * sizeof *offset);
    for (size_t i = 0; i < g->n_tensors && !rc; i++)
        rc = take_tensor(c, g, &g->tensors[i], &offset[i]);
    if (!rc)
        rc = place(c, g, offset, (uint64_t)align, order);
    slm_free(g->rt, offset);
    slm_free(g->rt, order);
    const char *twice;
    g->tensor_names = (struct slm_names){g->tensors, sizeof *g->tensors, g->n_tensors, NULL};
    if (!rc && !(rc = slm_names_build(&g->tensor_names, g->rt, &twice, c->err)) && twice)
        rc = slm_fail(c->err, SLM_E_FORMAT, "%s: tensor %s is there twice", c->path, twice);
    return rc;
}

static int take_keys(struct cursor *c, slm_gguf *g)
{
    const char *twice;
    int rc = 0;
    for (size_t i = 0; i < g->n_keys && !rc; i++)
        rc = take_key(c, g, &g->keys[i]);
    g->key_names = (struct slm_names){g->keys, sizeof *g->keys, g->n_keys, NULL};
    if (!rc && !(rc = slm_names_build(&g->key_names, g->rt, &twice, c->err)) && twice)
        rc = slm_fail(c->err, SLM_E_FORMAT, "%s: key %s is there twice", c->path, twice);
    return rc;
}

static int take_version(struct cursor *c, slm_gguf *g)
{
    char magic[4];
    uint32_t version;
    if (left(c) < 4 || memcmp(c->p, "GGUF", 4))
        return slm_fail(c->err, SLM_E_FORMAT, "%s: is no GGUF file", c->path);
    int rc = take(c, magic, 4, "the magic");
    if (rc || (rc = take(c, &version, sizeof version, "the version")))
        return rc;
    if (version && !(version & 0xffff))
        return slm_fail(c->err, SLM_E_UNSUPPORTED,
                        "%s: is a big-endian GGUF file; only little-endian ones are read",
                        c->path);
    if (version != 2 && version != 3)
        return slm_fail(c->err, SLM_E_UNSUPPORTED, "%s: GGUF version %u; 2 and 3 are read",
                        c->path, version);
    g->version = (int)version;
    return 0;
}

static int parse(slm_gguf *g, const uint8_t *data, size_t size, slm_err *err)
{
    struct cursor c = {data, data, data + size, g->path, err};
    uint64_t n_tensors, n_keys;
    int rc = take_version(&c, g);
    if (rc || (rc = take(&c, &n_tensors, 8, "the header")) ||
        (rc = take(&c, &n_keys, 8, "the header")))
        return rc;
    if (n_tensors > left(&c) / TENSOR_LEAST || n_keys > left(&c) / KEY_LEAST ||
        n_tensors > SLM_ENTRIES_MAX || n_keys > SLM_ENTRIES_MAX)
        return slm_fail(err, SLM_E_FORMAT,
                        "%s: %llu keys and %llu tensors do not fit into %zu bytes", g->path,
                        (unsigned long long)n_keys, (unsigned long long)n_tensors, size);
    g->keys = slm_zalloc_n(g->rt, SLM_MEM_FORMAT, (size_t)n_keys, sizeof *g->keys);
    g->tensors = slm_zalloc_n(g->rt, SLM_MEM_FORMAT, (size_t)n_tensors, sizeof *g->tensors);
    if (!g->keys || !g->tensors)
        return slm_fail_mem(
            err, g->path, (size_t)(n_keys * sizeof *g->keys + n_tensors * sizeof *g->tensors));
    g->n_keys = (size_t)n_keys;
    g->n_tensors = (size_t)n_tensors;
    rc = take_keys(&c, g);
    return rc ? rc : take_tensors(&c, g);
}

static slm_gguf *blank(slm_runtime *rt, const char *path)
{
    slm_gguf *g = slm_zalloc(rt, SLM_MEM_FORMAT, sizeof *g);
    if (!g)
        return NULL;
    g->rt = rt;
    slm_arena_init(&g->arena, rt, SLM_MEM_FORMAT);
    g->path = slm_arena_strdup(&g->arena, path);
    if (!g->path)
        slm_gguf_close(&g);
    return g;
}

int slm_gguf_open_mem(slm_gguf **out, slm_runtime *rt, const void *p, size_t n,
                      const char *name, slm_err *err)
{
    *out = NULL;
    slm_gguf *g = blank(rt, name);
    if (!g)
        return slm_fail_mem(err, name, sizeof *g);
    static const uint8_t none;
    int rc = parse(g, p ? p : &none, p ? n : 0, err);
    if (rc)
        slm_gguf_close(&g);
    *out = g;
    return rc;
}

int slm_gguf_open_part(slm_gguf **out, slm_runtime *rt, const char *path, slm_err *err)
{
    struct slm_map map;
    *out = NULL;
    int rc = slm_map_open(&map, path, err);
    if (rc)
        return rc;
    rc = slm_gguf_open_mem(out, rt, map.data, map.size, path, err);
    if (rc)
        slm_map_close(&map);
    else
        (*out)->map = map;
    return rc;
}

void slm_gguf_close(slm_gguf **gp)
{
    slm_gguf *g = *gp;
    if (!g)
        return;
    *gp = NULL;
    for (int i = 0; i < g->n_rest; i++)
        slm_gguf_close(&g->rest[i]);
    slm_free(g->rt, g->rest);
    slm_free(g->rt, g->key_names.order);
    slm_free(g->rt, g->tensor_names.order);
    slm_free(g->rt, g->keys);
    slm_free(g->rt, g->tensors);
    slm_arena_release(&g->arena);
    slm_map_close(&g->map);
    slm_free(g->rt, g);
}
