/* What the tests of models and sessions share: model folders made wrong in one thing. A folder
 * of tests/golden is copied with one key of its config.json replaced, or its tensors written
 * anew. */
#ifndef TESTS_MODEL_KIT_H
#define TESTS_MODEL_KIT_H

#include "golden/golden_kit.h"

static inline void write_text(const char *path, const void *p, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static inline char *read_all(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *p = malloc(4 << 20);
    assert_non_null(p);
    *n = fread(p, 1, (4 << 20) - 1, f);
    p[*n] = 0;
    fclose(f);
    return p;
}

/* The config of `from` with `key` as `value` (JSON text; NULL: without it), as `to`. A key
 * "a.b" is b of the object a. */
static inline void put_config(struct slm_buf *b, const slm_json *obj, const char *key,
                              const char *value)
{
    const char *dot = strchr(key, '.');
    size_t n = dot ? (size_t)(dot - key) : strlen(key);
    const char *sep = "{";
    for (void *it = slm_json_first(obj); it; it = slm_json_next(obj, it)) {
        const char *own = slm_json_key(it, NULL);
        bool same = strlen(own) == n && !memcmp(own, key, n);
        if (same && !dot)
            continue;
        slm_buf_printf(b, "%s\"%s\":", sep, own);
        if (same)
            put_config(b, slm_json_value(it), dot + 1, value);
        else
            slm_json_put(b, slm_json_value(it));
        sep = ",";
    }
    if (!dot && value) {
        slm_buf_printf(b, "%s\"%s\":%s", sep, key, value);
        sep = ",";
    }
    slm_buf_puts(b, *sep == '{' ? "{}" : "}");
}

static inline void edit_config(slm_runtime *rt, const char *from, const char *to,
                               const char *key, const char *value)
{
    slm_json *j = NULL;
    struct slm_buf b;
    slm_err err = {0};
    slm_buf_init(&b, rt, SLM_MEM_MODEL, 1 << 20);
    if (slm_json_load(&j, rt, from, 1 << 20, &err))
        fail_msg("%s", err.msg);
    put_config(&b, j, key, value);
    write_text(to, b.s, b.n);
    slm_buf_release(&b);
    slm_json_free(j);
}

/* One tensor on its way into a copy. */
struct edit {
    const char *target; /* name of the tensor that is changed */
    enum { EDIT_NONE, EDIT_DROP, EDIT_TURN, EDIT_TYPE, EDIT_BITS } kind;
    uint32_t bits;    /* EDIT_BITS: what its first number becomes, as float32 */
    const char *more; /* name of a tensor more */
};

static inline void declare_edited(slm_st_out *w, const struct slm_tensor_ref *t,
                                  const struct edit *e)
{
    uint64_t dim[8];
    int n = t->n_dims;
    enum slm_dtype type = t->type;
    memcpy(dim, t->dim, sizeof dim);
    if (e->target && !strcmp(t->name, e->target)) {
        if (e->kind == EDIT_TURN && n == 2 && dim[0] != dim[1]) {
            dim[0] = t->dim[1];
            dim[1] = t->dim[0];
        } else if (e->kind == EDIT_TURN) {
            dim[n++] = 1;
        }
        if (e->kind == EDIT_TYPE)
            type = type == SLM_F32 ? SLM_I32 : SLM_I16;
    }
    slm_st_out_tensor(w, t->name, type, dim, n);
}

static inline int write_edited(slm_st_out *w, const struct slm_tensor_ref *t,
                               const struct edit *e, slm_err *err)
{
    if (e->kind != EDIT_BITS || strcmp(t->name, e->target))
        return slm_st_out_data(w, t->data, (size_t)t->bytes, err);
    size_t size = t->type == SLM_F32 ? 4 : 2;
    uint16_t high = (uint16_t)(e->bits >> 16);
    int rc = slm_st_out_data(w, size == 4 ? (const void *)&e->bits : &high, size, err);
    return rc ? rc : slm_st_out_data(w, t->data + size, (size_t)t->bytes - size, err);
}

/* The tensors of the file `from` as the file `to`, changed. */
static inline void edit_tensors(slm_runtime *rt, const char *from, const char *to,
                                const struct edit *e)
{
    slm_st *in = NULL;
    slm_st_out *w = NULL;
    slm_err err = {0};
    static const float one = 1;
    size_t index[512], n = 0;
    int rc = slm_st_open(&in, rt, from, &err);
    if (!rc)
        rc = slm_st_out_open(&w, rt, to, &err);
    for (size_t i = 0; !rc && i < slm_st_tensor_count(in); i++) {
        const struct slm_tensor_ref *t = slm_st_tensor_at(in, i);
        if (e->kind == EDIT_DROP && !strcmp(t->name, e->target))
            continue;
        assert_true(n < 512);
        declare_edited(w, t, e);
        index[n++] = i;
    }
    if (!rc && e->more)
        slm_st_out_tensor(w, e->more, SLM_F32, &(uint64_t){1}, 1);
    if (!rc)
        rc = slm_st_out_begin(w, &err);
    for (int64_t i; !rc && (i = slm_st_out_next(w)) >= 0;)
        rc = (size_t)i == n ? slm_st_out_data(w, &one, sizeof one, &err)
                            : write_edited(w, slm_st_tensor_at(in, index[i]), e, &err);
    if (!rc)
        rc = slm_st_out_commit(w, &err);
    slm_st_out_close(&w);
    slm_st_close(&in);
    if (rc)
        fail_msg("%s", err.msg);
}

/* Opens the model at path, which must fail cleanly; the status. */
static inline int open_status(slm_runtime *rt, const char *path, slm_err *err)
{
    slm_model *m = NULL;
    slm_model_opts o;
    slm_mem_stats before, after;
    slm_model_opts_init(&o);
    o.allow_no_tokenizer = 1;
    memset(err, 0, sizeof *err);
    slm_runtime_memory(rt, &before);
    int rc = slm_model_open(&m, rt, path, &o, err);
    assert_true(rc ? !m : !!m);
    slm_model_close(&m);
    slm_runtime_memory(rt, &after);
    assert_int_equal(after.blocks, before.blocks);
    assert_int_equal(after.bytes, before.bytes);
    return rc;
}

/* It must fail with this code (0: any), naming the path and the thing in one line. */
static inline void assert_refused(slm_runtime *rt, const char *path, int code,
                                  const char *words, const char *what)
{
    slm_err err;
    int rc = open_status(rt, path, &err);
    if (!rc || rc != err.code || (code && rc != code) || !strstr(err.msg, path) ||
        !strstr(err.msg, words) || strchr(err.msg, '\n'))
        fail_msg("%s: got %d \"%s\", want %d \"%s\"", what, rc, rc ? err.msg : "", code, words);
}

#endif
