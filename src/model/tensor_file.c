/* slm/file.h: any file of tensors, for looking at, also one that is no model. It is told what
 * it is by its first bytes rather than by its name. One part of a split set whose others are
 * missing is shown alone, since looking at it is what one wants then; a model is never opened
 * that way. */
#include "slm/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "format/gguf.h"
#include "format/safetensors.h"
#include "kernels/kernels.h"

struct slm_file {
    slm_runtime *rt;
    slm_gguf *gguf; /* one of the two */
    slm_st *st;
    char format[64];
};

/* ---- opening ---- */

enum kind { GGUF, SAFETENSORS, INDEX };

static int kind_of(enum kind *out, const char *path, slm_err *err)
{
    struct slm_map m;
    int rc = slm_map_open(&m, path, err);
    if (rc)
        return rc;
    bool gguf = m.size >= 4 && !memcmp(m.data, "GGUF", 4),
         brace = m.size > 8 && m.data[8] == '{';
    slm_map_close(&m);
    if (gguf || slm_str_ends(path, ".gguf"))
        *out = GGUF;
    else if (slm_str_ends(path, ".json"))
        *out = INDEX;
    else if (brace || slm_str_ends(path, ".safetensors"))
        *out = SAFETENSORS;
    else
        return slm_fail(err, SLM_E_FORMAT, "%s: is neither GGUF nor safetensors", path);
    return 0;
}

static int open_gguf(slm_file *f, const char *path, slm_err *err)
{
    int rc = slm_gguf_open_part(&f->gguf, f->rt, path, err), no = 0, count = 1;
    struct slm_gguf_range any = {0, 99999, SLM_GGUF_OPTIONAL};
    if (rc || (rc = slm_gguf_int32(f->gguf, "split.no", any, &no, err)) ||
        (rc = slm_gguf_int32(f->gguf, "split.count", any, &count, err)))
        return rc;
    int version = slm_gguf_version(f->gguf);
    snprintf(f->format, sizeof f->format, "gguf %d", version);
    if (count <= 1)
        return 0;
    slm_gguf *whole = NULL;
    slm_err why = {0};
    if (no == 0 && !(rc = slm_gguf_open(&whole, f->rt, path, &why))) {
        slm_gguf_close(&f->gguf);
        f->gguf = whole;
        return 0;
    }
    if (no == 0 && rc != SLM_E_NOTFOUND) {
        if (err)
            *err = why;
        return rc;
    }
    if (no == 0)
        slm_log(f->rt, SLM_LOG_WARN, "%s", why.msg);
    snprintf(f->format, sizeof f->format, "gguf %d, part %d of %d alone", version, no + 1,
             count);
    return 0;
}

/* The one file of its kind in a folder. */
struct only { const char *end; char name[256]; int count; };

static bool see(void *arg, const char *name)
{
    struct only *o = arg;
    const char *of = strstr(name, "-of-");
    bool later =
        of && of - name >= 6 && strncmp(of - 6, "-00001", 6) && slm_str_ends(name, ".gguf");
    if (slm_str_ends(name, o->end) && !later) {
        snprintf(o->name, sizeof o->name, "%s", name);
        o->count++;
    }
    return true;
}

static int open_path(slm_file *f, const char *path, slm_err *err)
{
    enum kind kind = GGUF;
    int rc = kind_of(&kind, path, err);
    if (rc)
        return rc;
    if (kind == GGUF)
        return open_gguf(f, path, err);
    snprintf(f->format, sizeof f->format, "safetensors");
    return slm_st_open(&f->st, f->rt, path, err);
}

static int open_folder(slm_file *f, const char *path, slm_err *err)
{
    static const char *const known[] = {"model.safetensors", "model.safetensors.index.json"};
    static const char *const ends[] = {".gguf", ".safetensors"};
    struct slm_buf b;
    slm_buf_init(&b, f->rt, SLM_MEM_MODEL, 1 << 16);
    int rc = 0;
    bool found = false;
    for (int i = 0; i < 2 && !found; i++) {
        const char *one = slm_path_join(&b, path, known[i]);
        if ((found = slm_path_is_file(one)))
            rc = open_path(f, one, err);
    }
    for (int i = 0; i < 2 && !found && !rc; i++) {
        struct only o = {.end = ends[i]};
        rc = slm_dir_each(path, see, &o, err);
        if (!rc && (found = o.count == 1))
            rc = open_path(f, slm_path_join(&b, path, o.name), err);
    }
    if (!found && !rc)
        rc = slm_fail(err, SLM_E_NOTFOUND,
                      "%s: has no model.safetensors, no index of one, and not exactly one "
                      "file of tensors",
                      path);
    slm_buf_release(&b);
    return rc;
}

int slm_file_open(slm_file **out, slm_runtime *rt, const char *path, slm_err *err)
{
    slm_file *f = *out = slm_zalloc(rt, SLM_MEM_MODEL, sizeof *f);
    if (!f)
        return slm_fail_mem(err, path, sizeof *f);
    f->rt = rt;
    int rc = slm_path_is_dir(path) ? open_folder(f, path, err) : open_path(f, path, err);
    if (rc)
        slm_file_close(out);
    return rc;
}

void slm_file_close(slm_file **fp)
{
    slm_file *f = *fp;
    if (!f)
        return;
    *fp = NULL;
    slm_gguf_close(&f->gguf);
    slm_st_close(&f->st);
    slm_free(f->rt, f);
}

const char *slm_file_format(const slm_file *f) { return f->format; }

/* ---- tensors ---- */

size_t slm_file_tensor_count(const slm_file *f)
{
    return f->gguf ? slm_gguf_tensor_count(f->gguf) : slm_st_tensor_count(f->st);
}

static const struct slm_tensor_ref *tensor_at(const slm_file *f, size_t i)
{
    return f->gguf ? slm_gguf_tensor_at(f->gguf, i) : slm_st_tensor_at(f->st, i);
}

void slm_file_tensor_get(const slm_file *f, size_t i, slm_tensor_info *out)
{
    const struct slm_tensor_ref *t = tensor_at(f, i);
    *out = (slm_tensor_info){.name = t->name,
                             .type = slm_dtypes[t->type].name,
                             .n_dims = t->n_dims,
                             .count = t->count,
                             .bytes = t->bytes};
    memcpy(out->dim, t->dim, (size_t)t->n_dims * sizeof *t->dim);
}

int64_t slm_file_tensor_find(const slm_file *f, const char *name)
{
    const struct slm_tensor_ref *t =
        f->gguf ? slm_gguf_tensor_find(f->gguf, name) : slm_st_tensor_find(f->st, name);
    return t ? t - tensor_at(f, 0) : -1;
}

int slm_file_tensor_read(const slm_file *f, size_t i, float *out, uint64_t first, uint64_t n,
                         slm_err *err)
{
    if (i >= slm_file_tensor_count(f))
        return slm_fail(err, SLM_E_ARG, "tensor %zu of %zu", i, slm_file_tensor_count(f));
    const struct slm_tensor_ref *t = tensor_at(f, i);
    const struct slm_dtype_info *type = &slm_dtypes[t->type];
    uint64_t block = (uint64_t)type->block;
    if (first > t->count || n > t->count - first)
        return slm_fail(err, SLM_E_ARG, "tensor %s: values %llu to %llu of %llu", t->name,
                        (unsigned long long)first, (unsigned long long)(first + n),
                        (unsigned long long)t->count);
    if (first % block || n % block)
        return slm_fail(err, SLM_E_ARG, "tensor %s: %s is read in blocks of %d", t->name,
                        type->name, type->block);
    if (n)
        f->rt->kern->to_f32[t->type](out, t->data + first / block * (uint64_t)type->bytes,
                                     (size_t)n);
    return 0;
}

/* ---- metadata ---- */

size_t slm_file_key_count(const slm_file *f)
{
    return f->gguf ? slm_gguf_key_count(f->gguf) : slm_st_meta_count(f->st);
}

const char *slm_file_key_name(const slm_file *f, size_t i)
{
    return f->gguf ? slm_gguf_key_at(f->gguf, i)->name : slm_st_meta_key(f->st, i);
}

/* The shortest digits that give x back; null for what JSON can't say. */
static void put_num(struct slm_buf *b, double x, bool single)
{
    char s[40];
    if (!isfinite(x)) {
        slm_buf_puts(b, "null");
        return;
    }
    for (int digits = single ? 6 : 15; digits <= 17; digits++) {
        snprintf(s, sizeof s, "%.*g", digits, x);
        double back = strtod(s, NULL);
        if (single ? (float)back == (float)x : back == x)
            break;
    }
    slm_buf_puts(b, s);
}

static void put_elem(struct slm_buf *b, const struct slm_gguf_key *k, size_t i)
{
    int64_t v = 0;
    if (k->elem == SLM_GGUF_STR) {
        struct slm_gguf_str s = slm_gguf_elem_str(k, i);
        slm_buf_put_json(b, s.s, s.n);
    } else if (k->elem == SLM_GGUF_F32 || k->elem == SLM_GGUF_F64) {
        put_num(b, slm_gguf_elem_num(k, i), k->elem == SLM_GGUF_F32);
    } else if (k->elem == SLM_GGUF_BOOL) {
        slm_buf_puts(b, slm_gguf_elem_num(k, i) != 0 ? "true" : "false");
    } else if (slm_gguf_elem_int(k, i, &v)) {
        slm_buf_printf(b, "%lld", (long long)v);
    } else {
        slm_buf_printf(b, "%llu", (unsigned long long)v);
    }
}

int slm_file_key_value(const slm_file *f, size_t i, size_t max_items, slm_text *out,
                       slm_err *err)
{
    struct slm_buf b;
    slm_buf_init(&b, f->rt, SLM_MEM_MODEL, SIZE_MAX / 4);
    if (f->st) {
        const char *s = slm_st_meta_value(f->st, i);
        slm_buf_put_json(&b, s, strlen(s));
    } else {
        const struct slm_gguf_key *k = slm_gguf_key_at(f->gguf, i);
        size_t n = max_items && k->count > max_items ? max_items : k->count;
        if (k->type != SLM_GGUF_ARR) {
            put_elem(&b, k, 0);
        } else {
            slm_buf_putc(&b, '[');
            for (size_t j = 0; j < n; j++) {
                if (j)
                    slm_buf_putc(&b, ',');
                put_elem(&b, k, j);
            }
            if (n < k->count)
                slm_buf_printf(&b, ",\"... (%zu items)\"", k->count);
            slm_buf_putc(&b, ']');
        }
    }
    int rc = slm_buf_check(&b, slm_file_key_name(f, i), err);
    if (!rc)
        rc = slm_text_put(out, f->rt, b.s, b.n, err);
    slm_buf_release(&b);
    return rc;
}
