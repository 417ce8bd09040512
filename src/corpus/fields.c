/* Paths into rows, and the text of a row that counts when rows are compared. */
#include "corpus/fields.h"

#include <stdlib.h>
#include <string.h>

struct step {
    const char *s; /* not ended by NUL */
    size_t n;
    const char *rest; /* the path behind it, NULL: this is the last */
};

static struct step first_step(const char *path)
{
    size_t n = strcspn(path, ".");
    return (struct step){path, n, path[n] ? path + n + 1 : NULL};
}

static slm_json *member(slm_json *obj, const char *name, size_t n)
{
    for (void *it = slm_json_first(obj); it; it = slm_json_next(obj, it)) {
        size_t len;
        const char *key = slm_json_key(it, &len);
        if (len == n && !memcmp(key, name, n))
            return slm_json_value(it);
    }
    return NULL;
}

/* "3", "-1": the element's number, or -1 when the step is no number or leads outside. */
static int64_t element(const slm_json *list, const struct step *st)
{
    char word[24], *end;
    if (!st->n || st->n >= sizeof word)
        return -1;
    memcpy(word, st->s, st->n);
    word[st->n] = 0;
    long long v = strtoll(word, &end, 10);
    int64_t count = (int64_t)slm_json_count(list);
    if (*end)
        return -1;
    v = v < 0 ? v + count : v;
    return v >= 0 && v < count ? v : -1;
}

static bool has_role(const slm_json *message, const char *role, size_t n)
{
    size_t len;
    const slm_json *r = slm_json_find(message, "role");
    const char *s = slm_json_str(r ? r : slm_json_find(message, "from"), &len);
    return s && len == n && !memcmp(s, role, n);
}

static int walk(slm_json *at, const char *path, int depth, slm_field_fn *fn, void *arg);

static int walk_list(slm_json *at, const struct step *st, int depth, slm_field_fn *fn,
                     void *arg)
{
    int64_t k = element(at, st);
    bool all = st->n == 1 && st->s[0] == '*';
    if (k >= 0)
        return walk(slm_json_at(at, (size_t)k), st->rest, depth, fn, arg);
    int rc = 0;
    for (size_t i = 0; i < slm_json_count(at) && !rc; i++) {
        slm_json *one = slm_json_at(at, i);
        if (all || has_role(one, st->s, st->n))
            rc = walk(one, st->rest, depth, fn, arg);
    }
    return rc;
}

static int walk(slm_json *at, const char *path, int depth, slm_field_fn *fn, void *arg)
{
    if (!at || depth > SLM_FIELD_MAX)
        return 0;
    if (!path)
        return fn(arg, at);
    struct step st = first_step(path);
    size_t len;
    const char *s = slm_json_str(at, &len);
    if (slm_json_is(at, SLM_JSON_OBJECT)) {
        slm_json *whole = slm_json_find(at, path);
        if (whole)
            return fn(arg, whole);
        return walk(member(at, st.s, st.n), st.rest, depth + 1, fn, arg);
    }
    if (slm_json_is(at, SLM_JSON_ARRAY))
        return walk_list(at, &st, depth + 1, fn, arg);
    slm_json *in = NULL;
    if (!s || slm_json_parse(&in, s, len, path, NULL))
        return 0;
    int rc = slm_json_str(in, NULL) ? 0 : walk(in, path, depth + 1, fn, arg);
    slm_json_free(in);
    return rc;
}

int slm_field_each(slm_json *row, const char *path, slm_field_fn *fn, void *arg)
{
    return walk(row, path, 0, fn, arg);
}

/* Who gets the texts, one by one. */
struct texts {
    slm_field_fn *fn;
    void *arg;
    int n, rc;
};

static int put_one(void *arg, slm_json *value)
{
    struct texts *t = arg;
    t->n++;
    if (!t->rc)
        t->rc = t->fn(t->arg, value);
    return t->rc;
}

static int append(void *arg, slm_json *value)
{
    struct slm_buf *b = arg;
    size_t len;
    const char *s = slm_json_str(value, &len);
    if (s)
        slm_buf_put(b, s, len);
    else
        slm_json_put(b, value);
    slm_buf_putc(b, '\n');
    return 0;
}

int slm_field_text(struct slm_buf *b, slm_json *row, const char *path)
{
    struct texts t = {append, b, 0, 0};
    (void)slm_field_each(row, path, put_one, &t);
    return t.n;
}

static int put_content(struct texts *t, slm_json *value, int depth);

/* A turn: what was said or called, unless by the system. */
static int put_turn(struct texts *t, slm_json *turn, int depth)
{
    static const char *const keys[] = {"content", "value", "text", "tool_calls"};
    if (has_role(turn, "system", 6) || has_role(turn, "developer", 9))
        return 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        slm_json *v = slm_json_find(turn, keys[i]);
        if (v && slm_json_type(v) != SLM_JSON_NULL)
            (void)put_content(t, v, depth);
    }
    return 0;
}

/* All texts inside; numbers and the like as JSON. */
static int put_content(struct texts *t, slm_json *v, int depth)
{
    if (depth > SLM_FIELD_MAX)
        return put_one(t, v);
    if (slm_json_is(v, SLM_JSON_ARRAY)) {
        for (size_t i = 0; i < slm_json_count(v); i++)
            (void)put_content(t, slm_json_at(v, i), depth + 1);
        return 0;
    }
    if (!slm_json_is(v, SLM_JSON_OBJECT))
        return put_one(t, v);
    if (slm_json_find(v, "role") || slm_json_find(v, "from"))
        return put_turn(t, v, depth + 1);
    for (void *it = slm_json_first(v); it; it = slm_json_next(v, it))
        (void)put_content(t, slm_json_value(it), depth + 1);
    return 0;
}

int slm_fields_text(struct slm_buf *b, slm_json *row, const char *const *paths, int n)
{
    int count = 0;
    (void)slm_fields_each(row, paths, n, append, b, &count);
    return count;
}

int slm_fields_each(slm_json *row, const char *const *paths, int n, slm_field_fn *fn, void *arg,
                    int *count)
{
    static const char *const content[] = {
        "messages", "conversations", "conversation", "history",  "instruction", "input",
        "prompt",   "question",      "query",        "context",  "goal",        "text",
        "content",  "output",        "completion",   "response", "answer",      "chosen",
        "rejected", "choices",       "options",
    };
    struct texts t = {fn, arg, 0, 0};
    for (int i = 0; i < n; i++)
        (void)slm_field_each(row, paths[i], put_one, &t);
    for (size_t i = 0; i < sizeof content / sizeof *content && !n; i++) {
        slm_json *v = slm_json_find(row, content[i]);
        if (v)
            (void)put_content(&t, v, 0);
    }
    if (!n && !t.n)
        (void)put_content(&t, row, 0);
    if (count)
        *count = t.n;
    return t.rc;
}

/* ---- changing ---- */

struct setting {
    slm_json *value;
    slm_runtime *rt;
};

static int set_in(slm_json *at, const char *path, const struct setting *v, int depth);

/* Where a list's step leads: its number, else the last turn of that role; -1 nowhere. */
static int64_t place_of(const slm_json *list, const struct step *st)
{
    int64_t k = element(list, st);
    for (size_t i = slm_json_count(list); k < 0 && i-- > 0;)
        if (has_role(slm_json_at(list, i), st->s, st->n))
            k = (int64_t)i;
    return k;
}

/* Puts the value (taken over) where the last step leads. */
static int put_back(slm_json *at, const struct step *st, slm_json *value)
{
    char key[256];
    bool list = slm_json_is(at, SLM_JSON_ARRAY);
    int64_t k = list ? place_of(at, st) : 0;
    if (k < 0 || (!list && st->n >= sizeof key)) {
        slm_json_free(value);
        return 0;
    }
    if (list)
        return slm_json_replace(at, (size_t)k, value) ? 1 : SLM_E_NOMEM;
    memcpy(key, st->s, st->n);
    key[st->n] = 0;
    return slm_json_set(at, key, value) ? 1 : SLM_E_NOMEM;
}

/* The JSON inside a text, changed and written anew. */
static int set_inside(slm_json *at, const struct step *st, const slm_json *text,
                      const struct setting *v, int depth)
{
    size_t len;
    const char *s = slm_json_str(text, &len);
    slm_json *in = NULL;
    if (slm_json_parse(&in, s, len, "text", NULL))
        return 0;
    struct slm_buf b;
    slm_buf_init(&b, v->rt, SLM_MEM_DATA, SIZE_MAX / 4);
    int rc = set_in(in, st->rest, v, depth);
    if (rc == 1) {
        slm_json_put(&b, in);
        rc = b.failed ? SLM_E_NOMEM : put_back(at, st, slm_json_new_str(b.s, b.n));
    }
    slm_buf_release(&b);
    slm_json_free(in);
    return rc;
}

static int set_in(slm_json *at, const char *path, const struct setting *v, int depth)
{
    struct step st = first_step(path);
    bool list = slm_json_is(at, SLM_JSON_ARRAY);
    if (depth > SLM_FIELD_MAX || (!list && !slm_json_is(at, SLM_JSON_OBJECT)))
        return 0;
    if (!list && slm_json_find(at, path))
        return slm_json_set(at, path, slm_json_ref(v->value)) ? 1 : SLM_E_NOMEM;
    if (!st.rest)
        return put_back(at, &st, slm_json_ref(v->value));
    int64_t k = list ? place_of(at, &st) : -1;
    slm_json *child = !list   ? member(at, st.s, st.n)
                      : k < 0 ? NULL
                              : slm_json_at(at, (size_t)k);
    if (slm_json_str(child, NULL))
        return set_inside(at, &st, child, v, depth + 1);
    return set_in(child, st.rest, v, depth + 1);
}

int slm_field_set(slm_json *row, const char *path, slm_json *value, slm_runtime *rt)
{
    struct setting v = {value, rt};
    int rc = value ? set_in(row, path, &v, 0) : SLM_E_NOMEM;
    slm_json_free(value);
    return rc;
}
