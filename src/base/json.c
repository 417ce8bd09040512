/* JSON through Jansson, which keeps the order of keys and checks UTF-8. */
#include "base/json.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/files.h"

int slm_json_parse(slm_json **out, const char *s, size_t n, const char *name, slm_err *err)
{
    json_error_t e;
    json_t *j = json_loadb(s ? s : "", n,
                           JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &e);
    if (!j)
        return slm_fail(err, SLM_E_FORMAT, "%s: not JSON: line %d, column %d: %s", name, e.line,
                        e.column, e.text);
    *out = j;
    return 0;
}

int slm_json_load(slm_json **out, slm_runtime *rt, const char *path, size_t max, slm_err *err)
{
    struct slm_map m;
    (void)rt;
    int rc = slm_map_open(&m, path, err);
    if (rc)
        return rc;
    if (m.size > max)
        rc = slm_fail(err, SLM_E_LIMIT, "%s: %zu bytes, at most %zu are read", path, m.size,
                      max);
    else
        rc = slm_json_parse(out, (const char *)m.data, m.size, path, err);
    slm_map_close(&m);
    return rc;
}

void slm_json_free(slm_json *j) { json_decref(j); }

enum slm_json_type slm_json_type(const slm_json *j)
{
    if (!j)
        return SLM_JSON_NULL;
    switch (json_typeof(j)) {
    case JSON_OBJECT: return SLM_JSON_OBJECT;
    case JSON_ARRAY: return SLM_JSON_ARRAY;
    case JSON_STRING: return SLM_JSON_STRING;
    case JSON_INTEGER: return SLM_JSON_INT;
    case JSON_REAL: return SLM_JSON_REAL;
    case JSON_TRUE:
    case JSON_FALSE: return SLM_JSON_BOOL;
    case JSON_NULL: break;
    }
    return SLM_JSON_NULL;
}

bool slm_json_is(const slm_json *j, enum slm_json_type type)
{
    return j && slm_json_type(j) == type;
}

slm_json *slm_json_find(const slm_json *obj, const char *key)
{
    return json_is_object(obj) ? json_object_get(obj, key) : NULL;
}

const char *slm_json_str(const slm_json *j, size_t *len)
{
    if (!json_is_string(j))
        return NULL;
    if (len)
        *len = json_string_length(j);
    return json_string_value(j);
}

bool slm_json_bool(const slm_json *j, bool otherwise)
{
    return json_is_boolean(j) ? json_is_true(j) : otherwise;
}

int64_t slm_json_int(const slm_json *j, int64_t otherwise)
{
    if (json_is_integer(j))
        return json_integer_value(j);
    if (json_is_real(j)) {
        double d = json_real_value(j);
        if (d == floor(d) && fabs(d) < 0x1p53)
            return (int64_t)d;
    }
    return otherwise;
}

double slm_json_num(const slm_json *j, double otherwise)
{
    return json_is_number(j) ? json_number_value(j) : otherwise;
}

bool slm_json_is_num(const slm_json *j) { return json_is_number(j); }

size_t slm_json_count(const slm_json *j)
{
    return json_is_array(j) ? json_array_size(j) : json_is_object(j) ? json_object_size(j) : 0;
}

slm_json *slm_json_at(const slm_json *arr, size_t i)
{
    return json_is_array(arr) ? json_array_get(arr, i) : NULL;
}

/* Jansson's iterators want a mutable object and do not change it. */
static json_t *unconst(const slm_json *j) { return (json_t *)(uintptr_t)j; }

void *slm_json_first(const slm_json *obj)
{
    return json_is_object(obj) ? json_object_iter(unconst(obj)) : NULL;
}

void *slm_json_next(const slm_json *obj, void *it)
{
    return json_object_iter_next(unconst(obj), it);
}

const char *slm_json_key(void *it, size_t *len)
{
    const char *s = json_object_iter_key(it);
    if (len)
        *len = strlen(s);
    return s;
}

slm_json *slm_json_value(void *it) { return json_object_iter_value(it); }

static int dump(const char *p, size_t n, void *arg)
{
    slm_buf_put(arg, p, n);
    return 0;
}

void slm_json_put(struct slm_buf *b, const slm_json *j)
{
    if (json_dump_callback(j, dump, b, JSON_COMPACT | JSON_ENCODE_ANY) && !b->failed)
        b->failed = SLM_E_NOMEM;
}

slm_json *slm_json_new_object(void) { return json_object(); }
slm_json *slm_json_new_array(void) { return json_array(); }
slm_json *slm_json_new_str(const char *s, size_t n) { return json_stringn(s ? s : "", n); }
slm_json *slm_json_new_int(int64_t v) { return json_integer(v); }
slm_json *slm_json_new_bool(bool v) { return json_boolean(v); }

bool slm_json_set(slm_json *obj, const char *key, slm_json *value)
{
    return json_object_set_new(obj, key, value) == 0;
}

bool slm_json_push(slm_json *arr, slm_json *value)
{
    return json_array_append_new(arr, value) == 0;
}

bool slm_json_insert(slm_json *arr, size_t at, slm_json *value)
{
    return json_array_insert_new(arr, at, value) == 0;
}

bool slm_json_replace(slm_json *arr, size_t at, slm_json *value)
{
    return json_array_set_new(arr, at, value) == 0;
}

void slm_json_remove(slm_json *arr, size_t at) { json_array_remove(arr, at); }

slm_json *slm_json_ref(slm_json *j) { return json_incref(j); }
void slm_json_drop(slm_json *obj, const char *key) { json_object_del(obj, key); }
bool slm_json_same(const slm_json *a, const slm_json *b)
{
    return json_equal(unconst(a), unconst(b));
}
