/* JSON, read: the one place that knows Jansson. Objects keep their order; duplicate keys, bad
 * UTF-8, and nesting beyond 2048 are refused. Values are borrowed from the document. */
#ifndef SLM_BASE_JSON_H
#define SLM_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"

typedef struct json_t slm_json; /* Jansson's own type, opaque outside json.c */

enum slm_json_type {
    SLM_JSON_NULL,
    SLM_JSON_BOOL,
    SLM_JSON_INT,
    SLM_JSON_REAL,
    SLM_JSON_STRING,
    SLM_JSON_ARRAY,
    SLM_JSON_OBJECT
};

/* Parses n bytes; name stands in messages. *out is the caller's, freed by slm_json_free. */
int slm_json_parse(slm_json **out, const char *s, size_t n, const char *name, slm_err *err);
/* The file at path, at most max bytes. */
int slm_json_load(slm_json **out, slm_runtime *rt, const char *path, size_t max, slm_err *err);
void slm_json_free(slm_json *j);

/* All of these take NULL for "absent" and then say NULL, false, or the default. */
enum slm_json_type slm_json_type(const slm_json *j);          /* NULL: SLM_JSON_NULL */
bool slm_json_is(const slm_json *j, enum slm_json_type type); /* false for absent */
slm_json *slm_json_find(const slm_json *obj,
                        const char *key); /* NULL when absent or no object */
const char *slm_json_str(const slm_json *j,
                         size_t *len); /* NULL when no string; len may be NULL */
bool slm_json_bool(const slm_json *j, bool otherwise);
int64_t slm_json_int(const slm_json *j, int64_t otherwise); /* reals that are whole count too */
double slm_json_num(const slm_json *j, double otherwise);   /* int or real */
bool slm_json_is_num(const slm_json *j);
size_t slm_json_count(const slm_json *j); /* of an array or object */
slm_json *slm_json_at(const slm_json *arr, size_t i);

/* for (void *it = slm_json_first(obj); it; it = slm_json_next(obj, it)) key(it, &len),
 * value(it) */
void *slm_json_first(const slm_json *obj);
void *slm_json_next(const slm_json *obj, void *it);
const char *slm_json_key(void *it, size_t *len);
slm_json *slm_json_value(void *it);

/* Compact JSON text of j. */
void slm_json_put(struct slm_buf *b, const slm_json *j);

/* Making. A call that gives NULL or false found no memory or (strings, keys) no UTF-8. What is
 * added belongs to the list or object from then on, also when adding fails; so a value of NULL
 * may be passed on, and the failure shows at the end. */
slm_json *slm_json_new_object(void);
slm_json *slm_json_new_array(void);
slm_json *slm_json_new_str(const char *s, size_t n);
slm_json *slm_json_new_int(int64_t v);
slm_json *slm_json_new_bool(bool v);
bool slm_json_set(slm_json *obj, const char *key, slm_json *value);
bool slm_json_push(slm_json *arr, slm_json *value);
bool slm_json_insert(slm_json *arr, size_t at, slm_json *value); /* before element `at` */
bool slm_json_replace(slm_json *arr, size_t at, slm_json *value);
void slm_json_remove(slm_json *arr, size_t at);
/* One more owner of j (NULL: NULL). */
slm_json *slm_json_ref(slm_json *j);
void slm_json_drop(slm_json *obj, const char *key); /* removes a member, if there */
bool slm_json_same(const slm_json *a, const slm_json *b); /* equal, whatever the keys' order */

#endif
