/* Asking an open GGUF file: by position, by name, and typed. A key's width of integer is the
 * writer's whim, so any will do; its kind and range are not, so a wrong one is an error that
 * says what was found. Values may stand at odd addresses and are copied out. */
#include "format/gguf_in.h"

#include <limits.h>
#include <math.h>
#include <string.h>

const char *slm_gguf_path(const slm_gguf *g) { return g->path; }
int slm_gguf_version(const slm_gguf *g) { return g->version; }
int slm_gguf_parts(const slm_gguf *g) { return g->n_rest + 1; }
size_t slm_gguf_tensor_count(const slm_gguf *g) { return g->n_tensors; }
size_t slm_gguf_key_count(const slm_gguf *g) { return g->n_keys; }

const struct slm_tensor_ref *slm_gguf_tensor_at(const slm_gguf *g, size_t i)
{
    SLM_ASSERT(i < g->n_tensors);
    return &g->tensors[i];
}

const struct slm_tensor_ref *slm_gguf_tensor_find(const slm_gguf *g, const char *name)
{
    return slm_names_find(&g->tensor_names, name);
}

const struct slm_gguf_key *slm_gguf_key_at(const slm_gguf *g, size_t i)
{
    SLM_ASSERT(i < g->n_keys);
    return &g->keys[i];
}

const struct slm_gguf_key *slm_gguf_find(const slm_gguf *g, const char *key)
{
    return slm_names_find(&g->key_names, key);
}

struct slm_gguf_str slm_gguf_elem_str(const struct slm_gguf_key *k, size_t i)
{
    SLM_ASSERT(k->elem == SLM_GGUF_STR && i < k->count);
    const uint8_t *p = k->strs ? k->strs[i] : k->data;
    uint64_t n;
    memcpy(&n, p, sizeof n);
    return (struct slm_gguf_str){(const char *)p + sizeof n, (size_t)n};
}

union value {
    uint8_t u8;
    int8_t i8;
    uint16_t u16;
    int16_t i16;
    uint32_t u32;
    int32_t i32;
    uint64_t u64;
    int64_t i64;
    float f32; double f64;
};

static union value value_at(const struct slm_gguf_key *k, size_t i)
{
    union value v = {0};
    size_t size = slm_gguf_type_size(k->elem);
    SLM_ASSERT(i < k->count && size);
    memcpy(&v, k->data + i * size, size);
    return v;
}

double slm_gguf_elem_num(const struct slm_gguf_key *k, size_t i)
{
    union value v = value_at(k, i);
    switch (k->elem) {
    case SLM_GGUF_I8: return v.i8;
    case SLM_GGUF_U16: return v.u16;
    case SLM_GGUF_I16: return v.i16;
    case SLM_GGUF_U32: return v.u32;
    case SLM_GGUF_I32: return v.i32;
    case SLM_GGUF_F32: return (double)v.f32;
    case SLM_GGUF_U64: return (double)v.u64;
    case SLM_GGUF_I64: return (double)v.i64;
    case SLM_GGUF_F64: return v.f64;
    default: return v.u8; /* uint8, bool */
    }
}

bool slm_gguf_elem_int(const struct slm_gguf_key *k, size_t i, int64_t *out)
{
    union value v = value_at(k, i);
    switch (k->elem) {
    case SLM_GGUF_I8: *out = v.i8; break;
    case SLM_GGUF_U16: *out = v.u16; break;
    case SLM_GGUF_I16: *out = v.i16; break;
    case SLM_GGUF_U32: *out = v.u32; break;
    case SLM_GGUF_I32: *out = v.i32; break;
    case SLM_GGUF_I64: *out = v.i64; break;
    case SLM_GGUF_U64: *out = (int64_t)v.u64; return v.u64 <= INT64_MAX;
    case SLM_GGUF_U8:
    case SLM_GGUF_BOOL: *out = v.u8; break;
    default: return false;
    }
    return true;
}

/* *out: the key, or NULL when it is absent and need not be there. */
static int lookup(const slm_gguf *g, const char *key, enum slm_gguf_need need,
                  const struct slm_gguf_key **out, slm_err *err)
{
    *out = slm_gguf_find(g, key);
    if (!*out && need == SLM_GGUF_REQUIRED)
        return slm_fail(err, SLM_E_FORMAT, "%s: key %s is missing", g->path, key);
    return 0;
}

static int wrong_type(const slm_gguf *g, const struct slm_gguf_key *k, const char *want,
                      slm_err *err)
{
    bool array = k->type == SLM_GGUF_ARR;
    return slm_fail(err, SLM_E_FORMAT, "%s: key %s: is %s%s, want %s", g->path, k->name,
                    array ? "an array of " : "", slm_gguf_type_name(k->elem), want);
}

/* Element i within want's range. */
static int int_at(const slm_gguf *g, const struct slm_gguf_key *k, size_t i,
                  struct slm_gguf_range want, int64_t *out, slm_err *err)
{
    int64_t v = 0;
    if (!slm_gguf_elem_int(k, i, &v))
        return slm_fail(err, SLM_E_FORMAT, "%s: key %s: %llu is not within [%lld, %lld]",
                        g->path, k->name, (unsigned long long)value_at(k, i).u64,
                        (long long)want.lo, (long long)want.hi);
    if (v < want.lo || v > want.hi)
        return slm_fail(err, SLM_E_FORMAT, "%s: key %s: %lld is not within [%lld, %lld]",
                        g->path, k->name, (long long)v, (long long)want.lo, (long long)want.hi);
    *out = v;
    return 0;
}

static int float_at(const slm_gguf *g, const struct slm_gguf_key *k, size_t i, float *out,
                    slm_err *err)
{
    float v = (float)slm_gguf_elem_num(k, i);
    if (!isfinite(v))
        return slm_fail(err, SLM_E_FORMAT, "%s: key %s: is not a finite float32", g->path,
                        k->name);
    *out = v;
    return 0;
}

int slm_gguf_int(const slm_gguf *g, const char *key, struct slm_gguf_range want, int64_t *out,
                 slm_err *err)
{
    const struct slm_gguf_key *k;
    int rc = lookup(g, key, want.need, &k, err);
    if (rc || !k)
        return rc;
    if (k->type == SLM_GGUF_ARR || !slm_gguf_is_int(k))
        return wrong_type(g, k, "an integer", err);
    return int_at(g, k, 0, want, out, err);
}

int slm_gguf_int32(const slm_gguf *g, const char *key, struct slm_gguf_range want, int *out,
                   slm_err *err)
{
    SLM_ASSERT(want.lo >= INT_MIN && want.hi <= INT_MAX);
    int64_t v = *out;
    int rc = slm_gguf_int(g, key, want, &v, err);
    if (!rc)
        *out = (int)v;
    return rc;
}

static bool is_num(const struct slm_gguf_key *k)
{
    return k->elem == SLM_GGUF_F32 || k->elem == SLM_GGUF_F64 || slm_gguf_is_int(k);
}

int slm_gguf_float(const slm_gguf *g, const char *key, enum slm_gguf_need need, float *out,
                   slm_err *err)
{
    const struct slm_gguf_key *k;
    int rc = lookup(g, key, need, &k, err);
    if (rc || !k)
        return rc;
    if (k->type == SLM_GGUF_ARR || !is_num(k))
        return wrong_type(g, k, "a number", err);
    return float_at(g, k, 0, out, err);
}

int slm_gguf_bool(const slm_gguf *g, const char *key, enum slm_gguf_need need, bool *out,
                  slm_err *err)
{
    const struct slm_gguf_key *k;
    int rc = lookup(g, key, need, &k, err);
    if (rc || !k)
        return rc;
    if (k->type != SLM_GGUF_BOOL)
        return wrong_type(g, k, "a bool", err);
    *out = k->data[0] != 0;
    return 0;
}

int slm_gguf_str(const slm_gguf *g, const char *key, enum slm_gguf_need need,
                 struct slm_gguf_str *out, slm_err *err)
{
    const struct slm_gguf_key *k;
    int rc = lookup(g, key, need, &k, err);
    if (rc || !k)
        return rc;
    if (k->type != SLM_GGUF_STR)
        return wrong_type(g, k, "a string", err);
    *out = slm_gguf_elem_str(k, 0);
    return 0;
}

/* An array must have one value for each of n. */
static int length(const slm_gguf *g, const struct slm_gguf_key *k, size_t n, slm_err *err)
{
    if (k->type == SLM_GGUF_ARR && k->count != n)
        return slm_fail(err, SLM_E_FORMAT, "%s: key %s: %zu values, want %zu", g->path, k->name,
                        k->count, n);
    return 0;
}

int slm_gguf_ints(const slm_gguf *g, const char *key, struct slm_gguf_range want, int *out,
                  size_t n, slm_err *err)
{
    SLM_ASSERT(want.lo >= INT_MIN && want.hi <= INT_MAX);
    const struct slm_gguf_key *k;
    int rc = lookup(g, key, want.need, &k, err);
    if (rc || !k)
        return rc;
    if (!slm_gguf_is_int(k) && k->elem != SLM_GGUF_BOOL)
        return wrong_type(g, k, "integers", err);
    rc = length(g, k, n, err);
    for (size_t i = 0; i < n && !rc; i++) {
        int64_t v = 0;
        if (!(rc = int_at(g, k, k->type == SLM_GGUF_ARR ? i : 0, want, &v, err)))
            out[i] = (int)v;
    }
    return rc;
}

int slm_gguf_floats(const slm_gguf *g, const char *key, enum slm_gguf_need need, float *out,
                    size_t n, slm_err *err)
{
    const struct slm_gguf_key *k;
    int rc = lookup(g, key, need, &k, err);
    if (rc || !k)
        return rc;
    if (!is_num(k))
        return wrong_type(g, k, "numbers", err);
    rc = length(g, k, n, err);
    for (size_t i = 0; i < n && !rc; i++)
        rc = float_at(g, k, k->type == SLM_GGUF_ARR ? i : 0, &out[i], err);
    return rc;
}

int slm_gguf_array(const slm_gguf *g, const char *key, enum slm_gguf_kind kind,
                   enum slm_gguf_need need, const struct slm_gguf_key **out, slm_err *err)
{
    static const char *const words[] = {"an array of strings", "an array of integers",
                                        "an array of numbers"};
    int rc = lookup(g, key, need, out, err);
    if (rc || !*out)
        return rc;
    const struct slm_gguf_key *k = *out;
    bool fits = kind == SLM_GGUF_KIND_STR   ? slm_gguf_is_str(k)
                : kind == SLM_GGUF_KIND_INT ? slm_gguf_is_int(k)
                                            : is_num(k);
    if (k->type == SLM_GGUF_ARR && fits)
        return 0;
    *out = NULL;
    return wrong_type(g, k, words[kind], err);
}
