/* Reading safetensors: one file or a set by its index. The format wants every byte behind the
 * header to belong to exactly one tensor, so the tensors in the order of their offsets must
 * follow each other without hole or overlap, each as long as its shape says, the last ending
 * with the file. A set's index and its files must agree on every name. */
#include "format/st_in.h"

#include <string.h>

#define HEADER_MAX ((uint64_t)100000000)
#define INDEX_MAX ((size_t)64 << 20)

struct slm_st {
    slm_runtime *rt;
    struct slm_arena arena;
    const char *path;
    struct slm_st_file *files;
    int n_files;
    struct slm_tensor_ref *tensors;  /* of all files */
    struct slm_st_pair *meta;
    size_t n_tensors, n_meta;
    struct slm_names tensor_names, meta_names;
};

/* ---- one file ---- */

static bool begin_less(const void *ctx, uint32_t a, uint32_t b)
{
    const struct slm_st_file *f = ctx;
    if (f->begin[a] != f->begin[b])
        return f->begin[a] < f->begin[b];
    /* an empty tensor stands before the one that starts where it does */
    return f->tensors[a].bytes != f->tensors[b].bytes
               ? f->tensors[a].bytes < f->tensors[b].bytes
               : a < b;
}

static int check_one(const struct slm_st_file *f, struct slm_tensor_ref *t, slm_err *err)
{
    uint64_t bytes;
    char shape[SLM_SHAPE_TEXT];
    if (!slm_tensor_size(t->type, t->dim, t->n_dims, &t->count, &bytes) || bytes != t->bytes)
        return slm_fail(err, SLM_E_FORMAT, "%s: tensor %s: %llu bytes are not %s of %s",
                        f->path, t->name, (unsigned long long)t->bytes,
                        slm_shape_text(shape, t->dim, t->n_dims), slm_dtypes[t->type].name);
    return 0;
}

/* Sorts the tensors by their bytes, which are the n at data, and gives them out. */
static int place(struct slm_st_file *f, const uint8_t *data, size_t n, slm_err *err)
{
    uint32_t *order = slm_alloc_n(f->rt, SLM_MEM_FORMAT, f->n_tensors, sizeof *order);
    struct slm_tensor_ref *sorted =
        slm_alloc_n(f->rt, SLM_MEM_FORMAT, f->n_tensors, sizeof *sorted);
    uint64_t at = 0;
    int rc = 0;
    if (!order || !sorted)
        rc = slm_fail_mem(err, f->path, f->n_tensors * sizeof *sorted);
    else
        slm_order_sort(order, f->n_tensors, begin_less, f);
    for (size_t i = 0; i < f->n_tensors && !rc; i++) {
        struct slm_tensor_ref *t = &sorted[i];
        *t = f->tensors[order[i]];
        if (f->begin[order[i]] != at)
            rc = slm_fail(err, SLM_E_FORMAT,
                          "%s: tensor %s: begins at byte %llu, the one before it ends at %llu",
                          f->path, t->name, (unsigned long long)f->begin[order[i]],
                          (unsigned long long)at);
        else if (t->bytes > n - at)
            rc = slm_fail(err, SLM_E_FORMAT,
                          "%s: tensor %s: its %llu bytes reach behind the end of the file",
                          f->path, t->name, (unsigned long long)t->bytes);
        else if (!(rc = check_one(f, t, err))) {
            t->data = data + at;
            at += t->bytes;
        }
    }
    if (!rc && at != n)
        rc = slm_fail(err, SLM_E_FORMAT, "%s: %llu bytes at the end belong to no tensor",
                      f->path, (unsigned long long)(n - at));
    slm_free(f->rt, order);
    slm_free(f->rt, f->tensors);
    f->tensors = sorted;
    return rc;
}

static int parse(struct slm_st_file *f, const uint8_t *p, size_t n, slm_err *err)
{
    uint64_t header;
    if (n < sizeof header)
        return slm_fail(err, SLM_E_FORMAT, "%s: %zu bytes are too few for a safetensors file",
                        f->path, n);
    memcpy(&header, p, sizeof header);
    p += sizeof header;
    n -= sizeof header;
    if (header > n || header > HEADER_MAX)
        return slm_fail(err, SLM_E_FORMAT,
                        "%s: a header of %llu bytes does not fit (%zu are there, at most %llu)",
                        f->path, (unsigned long long)header, n, (unsigned long long)HEADER_MAX);
    int rc = slm_st_scan(f, (const char *)p, (size_t)header, err);
    return rc ? rc : place(f, p + header, n - (size_t)header, err);
}

static void release_file(struct slm_st_file *f)
{
    slm_free(f->rt, f->tensors);
    slm_free(f->rt, f->meta);
    slm_free(f->rt, f->begin);
    slm_map_close(&f->map);
}

/* ---- a set ---- */

static slm_st *blank(slm_runtime *rt, const char *path)
{
    slm_st *st = slm_zalloc(rt, SLM_MEM_FORMAT, sizeof *st);
    if (!st)
        return NULL;
    st->rt = rt;
    slm_arena_init(&st->arena, rt, SLM_MEM_FORMAT);
    st->path = slm_arena_strdup(&st->arena, path);
    if (!st->path)
        slm_st_close(&st);
    return st;
}

static int make_files(slm_st *st, size_t n, slm_err *err)
{
    st->files = slm_zalloc_n(st->rt, SLM_MEM_FORMAT, n, sizeof *st->files);
    if (!st->files)
        return slm_fail_mem(err, st->path, n * sizeof *st->files);
    st->n_files = (int)n;
    for (size_t i = 0; i < n; i++) {
        st->files[i].rt = st->rt;
        st->files[i].arena = &st->arena;
        st->files[i].path = st->path;
    }
    return 0;
}

/* Puts the files' lists together and makes the indices. */
static int gather(slm_st *st, slm_err *err)
{
    size_t n = 0, m = 0;
    for (int i = 0; i < st->n_files; i++) {
        n += st->files[i].n_tensors;
        m += st->files[i].n_meta;
    }
    st->tensors = slm_alloc_n(st->rt, SLM_MEM_FORMAT, n, sizeof *st->tensors);
    st->meta = slm_alloc_n(st->rt, SLM_MEM_FORMAT, m, sizeof *st->meta);
    if (!st->tensors || !st->meta || n > SLM_ENTRIES_MAX || m > SLM_ENTRIES_MAX)
        return slm_fail_mem(err, st->path, n * sizeof *st->tensors);
    const char *twice;
    int rc = 0;
    for (int i = 0; i < st->n_files && !rc; i++) {
        struct slm_st_file *f = &st->files[i];
        for (size_t j = 0; j < f->n_tensors; j++) {
            f->tensors[j].part = i;
            st->tensors[st->n_tensors++] = f->tensors[j];
        }
        struct slm_names own = {f->meta, sizeof *f->meta, f->n_meta, NULL};
        if (!(rc = slm_names_build(&own, st->rt, &twice, err)) && twice)
            rc = slm_fail(err, SLM_E_FORMAT, "%s: metadata key %s is there twice", f->path,
                          twice);
        slm_free(st->rt, own.order);
        st->meta_names =
            (struct slm_names){st->meta, sizeof *st->meta, st->n_meta, st->meta_names.order};
        if (!rc)
            rc = slm_names_build(&st->meta_names, st->rt, &twice, err);
        for (size_t j = 0; j < f->n_meta && !rc; j++)
            if (!slm_names_find(&st->meta_names, f->meta[j].name))
                st->meta[st->n_meta++] = f->meta[j];
    }
    st->meta_names.n = st->n_meta;
    st->tensor_names =
        (struct slm_names){st->tensors, sizeof *st->tensors, st->n_tensors, NULL};
    if (rc || (rc = slm_names_build(&st->meta_names, st->rt, &twice, err)) ||
        (rc = slm_names_build(&st->tensor_names, st->rt, &twice, err)))
        return rc;
    return twice ? slm_fail(err, SLM_E_FORMAT, "%s: tensor %s is there twice", st->path, twice)
                 : 0;
}

int slm_st_open_mem(slm_st **out, slm_runtime *rt, const void *p, size_t n, const char *name,
                    slm_err *err)
{
    slm_st *st = *out = blank(rt, name);
    if (!st)
        return slm_fail_mem(err, name, sizeof *st);
    int rc = make_files(st, 1, err);
    if (rc || (rc = parse(&st->files[0], p, n, err)) || (rc = gather(st, err)))
        slm_st_close(out);
    return rc;
}

static int open_single(slm_st **out, slm_runtime *rt, const char *path, slm_err *err)
{
    struct slm_map map;
    int rc = slm_map_open(&map, path, err);
    if (rc)
        return rc;
    rc = slm_st_open_mem(out, rt, map.data, map.size, path, err);
    if (rc)
        slm_map_close(&map);
    else
        (*out)->files[0].map = map;
    return rc;
}

/* Path of a shard: the index's folder, and a name that was seen to be plain. */
static const char *beside(slm_st *st, const char *name)
{
    size_t dir = (size_t)(slm_path_base(st->path) - st->path), n = strlen(name);
    char *s = slm_arena_alloc(&st->arena, dir + n + 1);
    if (s) {
        memcpy(s, st->path, dir);
        memcpy(s + dir, name, n + 1);
    }
    return s;
}

static int open_shard(slm_st *st, struct slm_st_file *f, const char *name, slm_err *err)
{
    f->path = beside(st, name);
    if (!f->path)
        return slm_fail_mem(err, st->path, 0);
    int rc = slm_map_open(&f->map, f->path, err);
    if (rc == SLM_E_NOTFOUND)
        return slm_fail(err, rc, "%s: shard %s is missing", st->path, name);
    return rc ? rc : parse(f, f->map.data, f->map.size, err);
}

/* Every tensor of the index must be in the file that it says. */
static int check_map(slm_st *st, const slm_json *map, slm_err *err)
{
    for (void *it = slm_json_first(map); it; it = slm_json_next(map, it)) {
        const char *name = slm_json_key(it, NULL),
                   *file = slm_json_str(slm_json_value(it), NULL);
        const struct slm_tensor_ref *t = slm_st_tensor_find(st, name);
        if (!t || strcmp(slm_path_base(st->files[t->part].path), file))
            return slm_fail(err, SLM_E_FORMAT, "%s: tensor %s is not in %s", st->path, name,
                            file);
    }
    for (size_t i = 0; i < st->n_tensors; i++)
        if (!slm_json_find(map, st->tensors[i].name))
            return slm_fail(err, SLM_E_FORMAT, "%s: tensor %s of %s is not listed", st->path,
                            st->tensors[i].name,
                            slm_path_base(st->files[st->tensors[i].part].path));
    return 0;
}

struct shard { const char *name; };

/* The distinct file names of the map, in order. */
static int list_shards(slm_st *st, const slm_json *map, struct shard **out, size_t *n_out,
                       slm_err *err)
{
    size_t n = 0, total = slm_json_count(map);
    struct shard *all = slm_alloc_n(st->rt, SLM_MEM_FORMAT, total, sizeof *all);
    struct shard *one = slm_alloc_n(st->rt, SLM_MEM_FORMAT, total, sizeof *one);
    struct slm_names names = {all, sizeof *all, total, NULL};
    int rc = all && one && total < SLM_ENTRIES_MAX
                 ? 0
                 : slm_fail_mem(err, st->path, total * sizeof *all);
    for (void *it = slm_json_first(map); it && !rc; it = slm_json_next(map, it)) {
        size_t key_len, len;
        const char *key = slm_json_key(it, &key_len),
                   *file = slm_json_str(slm_json_value(it), &len);
        if (!file || strlen(file) != len || !slm_path_is_plain(file))
            rc = slm_fail(err, SLM_E_FORMAT, "%s: tensor %s: its file is no plain file name",
                          st->path, key);
        else
            all[n++].name = file;
    }
    const char *twice;
    if (!rc)
        rc = slm_names_build(&names, st->rt, &twice, err);
    n = 0;
    for (size_t i = 0; i < total && !rc; i++) {
        const char *name = all[names.order[i]].name;
        if (!n || strcmp(one[n - 1].name, name))
            one[n++].name = name;
    }
    slm_free(st->rt, names.order);
    slm_free(st->rt, all);
    *out = one;
    *n_out = n;
    return rc;
}

static int open_set(slm_st *st, const slm_json *index, slm_err *err)
{
    const slm_json *map = slm_json_find(index, "weight_map");
    if (!slm_json_is(map, SLM_JSON_OBJECT))
        return slm_fail(err, SLM_E_FORMAT, "%s: has no weight_map", st->path);
    struct shard *shards;
    size_t n;
    int rc = list_shards(st, map, &shards, &n, err);
    if (!rc)
        rc = make_files(st, n, err);
    for (size_t i = 0; i < n && !rc; i++)
        rc = open_shard(st, &st->files[i], shards[i].name, err);
    slm_free(st->rt, shards);
    if (rc || (rc = gather(st, err)))
        return rc;
    return check_map(st, map, err);
}

int slm_st_open(slm_st **out, slm_runtime *rt, const char *path, slm_err *err)
{
    *out = NULL;
    if (!slm_str_ends(path, ".json"))
        return open_single(out, rt, path, err);
    slm_json *index = NULL;
    int rc = slm_json_load(&index, rt, path, INDEX_MAX, err);
    if (rc)
        return rc;
    slm_st *st = *out = blank(rt, path);
    rc = st ? open_set(st, index, err) : slm_fail_mem(err, path, sizeof *st);
    slm_json_free(index);
    if (rc)
        slm_st_close(out);
    return rc;
}

void slm_st_close(slm_st **stp)
{
    slm_st *st = *stp;
    if (!st)
        return;
    *stp = NULL;
    for (int i = 0; i < st->n_files; i++)
        release_file(&st->files[i]);
    slm_free(st->rt, st->files);
    slm_free(st->rt, st->tensors);
    slm_free(st->rt, st->meta);
    slm_free(st->rt, st->tensor_names.order);
    slm_free(st->rt, st->meta_names.order);
    slm_arena_release(&st->arena);
    slm_free(st->rt, st);
}

/* ---- asking ---- */

int slm_st_parts(const slm_st *st) { return st->n_files; }
size_t slm_st_tensor_count(const slm_st *st) { return st->n_tensors; }
size_t slm_st_meta_count(const slm_st *st) { return st->n_meta; }

const struct slm_tensor_ref *slm_st_tensor_at(const slm_st *st, size_t i)
{
    SLM_ASSERT(i < st->n_tensors);
    return &st->tensors[i];
}

const struct slm_tensor_ref *slm_st_tensor_find(const slm_st *st, const char *name)
{
    return slm_names_find(&st->tensor_names, name);
}

const char *slm_st_meta_key(const slm_st *st, size_t i)
{
    SLM_ASSERT(i < st->n_meta);
    return st->meta[i].name;
}

const char *slm_st_meta_value(const slm_st *st, size_t i)
{
    SLM_ASSERT(i < st->n_meta);
    return st->meta[i].value;
}

const char *slm_st_meta_find(const slm_st *st, const char *key)
{
    const struct slm_st_pair *m = slm_names_find(&st->meta_names, key);
    return m ? m->value : NULL;
}
