/* Messages as chat templates want them: role and content as text, tool calls with arguments as
 * objects. Names and shapes that people's files use are translated; what is not understood is
 * an error that names it, as a turn that is left out teaches the wrong thing without a word. */
#include <string.h>

#include "data/example.h"

static bool is(const char *s, const char *list)
{
    size_t n = strlen(s);
    for (const char *p = list; *p;) {
        const char *end = strchr(p, ' ');
        size_t len = end ? (size_t)(end - p) : strlen(p);
        if (len == n && !memcmp(p, s, n))
            return true;
        p += len + (end != NULL);
    }
    return false;
}

/* Names of roles in the two families of files; NULL: unknown. "function_call" is an assistant
 * whose text is a call. */
static const char *role_of(const char *name, bool *call)
{
    *call = is(name, "function_call function-call tool_call");
    return *call || is(name, "assistant gpt chatgpt bing bard model bot") ? "assistant"
           : is(name, "user human")                                       ? "user"
           : is(name, "system")                                           ? "system"
           : is(name, "developer")                                        ? "developer"
           : is(name, "tool ipython")                                     ? name
           : is(name, "function function_response function-response observation tool_response")
               ? "tool"
               : NULL;
}

/* The texts of a list of parts, a line end between: what servers make of such a list. */
static bool text_of_parts(struct example_job *j, const slm_json *parts, slm_json **out,
                          size_t at)
{
    struct slm_buf b;
    slm_buf_init(&b, j->rt, SLM_MEM_DATA, (size_t)1 << 28);
    bool ok = true;
    for (size_t i = 0; ok && i < slm_json_count(parts); i++) {
        const slm_json *p = slm_json_at(parts, i);
        size_t n;
        const char *type = slm_json_str(slm_json_find(p, "type"), NULL),
                   *s = slm_json_str(p, &n);
        if (!s && type && !strcmp(type, "text"))
            s = slm_json_str(slm_json_find(p, "text"), &n);
        if (!s)
            ok = slm_example_bad(j, SLM_LOSS_FIELDS,
                                 "message %zu: a content part of type \"%.40s\": only text can "
                                 "be learnt",
                                 at + 1, type ? type : "?");
        if (i)
            slm_buf_putc(&b, '\n');
        slm_buf_put(&b, s ? s : "", s ? n : 0);
    }
    j->no_memory |= b.failed != 0;
    if (ok && !b.failed)
        *out = slm_json_new_str(b.s, b.n);
    slm_buf_release(&b);
    return ok && !j->no_memory;
}

static bool set(struct example_job *j, slm_json *obj, const char *key, slm_json *v)
{
    if (!slm_json_set(obj, key, v))
        j->no_memory = true;
    return !j->no_memory;
}

/* A call's arguments as an object where they are the text of one. */
static bool put_function(struct example_job *j, slm_json *call, const slm_json *from)
{
    for (void *it = slm_json_first(from); it; it = slm_json_next(from, it)) {
        slm_json *v = slm_json_value(it), *parsed = NULL;
        const char *key = slm_json_key(it, NULL), *s;
        size_t n;
        if (!strcmp(key, "arguments") && !j->o->arguments_text && (s = slm_json_str(v, &n)) &&
            !slm_json_parse(&parsed, s, n, "arguments", NULL) &&
            !slm_json_is(parsed, SLM_JSON_OBJECT)) {
            slm_json_free(parsed);
            parsed = NULL;
        }
        if (!set(j, call, key, parsed ? parsed : slm_json_ref(v)))
            return false;
    }
    return true;
}

static bool put_calls(struct example_job *j, slm_json *message, const slm_json *calls,
                      size_t at)
{
    slm_json *list = slm_json_new_array();
    bool ok = set(j, message, "tool_calls", list);
    if (ok && !slm_json_is(calls, SLM_JSON_ARRAY))
        return slm_example_bad(j, SLM_LOSS_FIELDS, "message %zu: tool_calls is no list",
                               at + 1);
    for (size_t i = 0; ok && i < slm_json_count(calls); i++) {
        const slm_json *c = slm_json_at(calls, i);
        slm_json *to = slm_json_new_object(), *inner;
        const slm_json *f = slm_json_find(c, "function");
        if (!to || !slm_json_push(list, to)) {
            j->no_memory = true;
            return false;
        }
        if (!slm_json_is(c, SLM_JSON_OBJECT) ||
            !slm_json_str(slm_json_find(f ? f : c, "name"), NULL))
            return slm_example_bad(j, SLM_LOSS_FIELDS, "message %zu: tool call %zu has no name",
                                   at + 1, i + 1);
        if (!f) { /* {"name", "arguments"} by themselves */
            ok = put_function(j, to, c);
            continue;
        }
        for (void *it = slm_json_first(c); ok && it; it = slm_json_next(c, it)) {
            const char *key = slm_json_key(it, NULL);
            if (strcmp(key, "function")) {
                ok = set(j, to, key, slm_json_ref(slm_json_value(it)));
                continue;
            }
            inner = slm_json_new_object();
            ok = set(j, to, key, inner) && put_function(j, inner, f);
        }
    }
    return ok;
}

/* ShareGPT's function_call: the text is a call, or a list of calls. */
static bool put_text_call(struct example_job *j, slm_json *message, const char *s, size_t n,
                          size_t at)
{
    slm_json *v = NULL, *list;
    if (slm_json_parse(&v, s, n, "call", NULL) ||
        !(slm_json_is(v, SLM_JSON_OBJECT) || slm_json_is(v, SLM_JSON_ARRAY))) {
        slm_json_free(v);
        return slm_example_bad(j, SLM_LOSS_FIELDS,
                               "message %zu: a function_call whose text is no JSON object",
                               at + 1);
    }
    list = v;
    if (slm_json_is(v, SLM_JSON_OBJECT)) {
        list = slm_json_new_array();
        if (!list || !slm_json_push(list, v)) {
            j->no_memory = true;
            return false;
        }
    }
    bool ok =
        set(j, message, "content", slm_json_new_str("", 0)) && put_calls(j, message, list, at);
    slm_json_free(list);
    return ok;
}

static bool put_content(struct example_job *j, slm_json *m, const slm_json *v, size_t at)
{
    slm_json *text = NULL;
    size_t n;
    const char *s = slm_json_str(v, &n);
    if (s)
        return set(j, m, "content", slm_json_new_str(s, n));
    if (slm_json_is(v, SLM_JSON_ARRAY))
        return text_of_parts(j, v, &text, at) && set(j, m, "content", text);
    if (slm_json_type(v) == SLM_JSON_NULL)
        return set(j, m, "content", slm_json_new_str("", 0));
    return slm_example_bad(j, SLM_LOSS_FIELDS,
                           "message %zu: content is neither text nor a list", at + 1);
}

static bool add_one(struct example_job *j, slm_json *list, const slm_json *from, size_t at)
{
    bool share = slm_json_find(from, "from") != NULL, call = false;
    const char *name = slm_json_str(slm_json_find(from, share ? "from" : "role"), NULL),
               *role = name ? role_of(name, &call) : NULL;
    const slm_json *content = slm_json_find(from, share ? "value" : "content"),
                   *calls = slm_json_find(from, "tool_calls");
    if (!slm_json_is(from, SLM_JSON_OBJECT) || !name)
        return slm_example_bad(j, SLM_LOSS_FIELDS,
                               "message %zu: no \"role\" (or \"from\") that is a text", at + 1);
    if (!role)
        return slm_example_bad(j, SLM_LOSS_ROLES, "message %zu: unknown role \"%.40s\"", at + 1,
                               name);
    if (!content && !slm_json_count(calls))
        return slm_example_bad(j, SLM_LOSS_FIELDS, "message %zu: no \"%s\"", at + 1,
                               share ? "value" : "content");
    slm_json *m = slm_json_new_object();
    if (!m || !slm_json_push(list, m)) {
        j->no_memory = true;
        return false;
    }
    size_t n;
    const char *s = slm_json_str(content, &n);
    bool ok = set(j, m, "role", slm_json_new_str(role, strlen(role)));
    ok = ok && (call && s ? put_text_call(j, m, s, n, at) : put_content(j, m, content, at));
    for (void *it = slm_json_first(from); ok && it; it = slm_json_next(from, it)) {
        const char *key = slm_json_key(it, NULL);
        slm_json *v = slm_json_value(it);
        if (slm_json_type(v) == SLM_JSON_NULL || is(key, "role content from value"))
            continue;
        ok = strcmp(key, "tool_calls") ? set(j, m, key, slm_json_ref(v))
             : slm_json_count(v)       ? put_calls(j, m, v, at)
                                       : true;
    }
    return ok;
}

bool slm_messages_add(struct example_job *j, slm_json *list, const slm_json *from,
                      const char *field)
{
    if (!slm_json_is(from, SLM_JSON_ARRAY))
        return slm_example_bad(j, SLM_LOSS_FIELDS, "%s is no list of messages", field);
    for (size_t i = 0; i < slm_json_count(from); i++)
        if (!add_one(j, list, slm_json_at(from, i), i))
            return false;
    return true;
}

bool slm_messages_say(struct example_job *j, slm_json *list, const char *role, const char *text,
                      size_t n)
{
    slm_json *m = slm_json_new_object();
    if (!m || !slm_json_push(list, m)) {
        j->no_memory = true;
        return false;
    }
    return set(j, m, "role", slm_json_new_str(role, strlen(role))) &&
           set(j, m, "content", slm_json_new_str(text, n));
}

static const char *role_at(const slm_json *list, size_t i)
{
    const char *s = slm_json_str(slm_json_find(slm_json_at(list, i), "role"), NULL);
    return s ? s : "";
}

bool slm_messages_system(struct example_job *j, slm_json *list)
{
    size_t n;
    if (!slm_example_field(j, "system"))
        return true;
    const char *s = slm_example_text(j, "system", &n);
    if (!s || !n)
        return s != NULL;
    if (!strcmp(role_at(list, 0), "system")) {
        size_t k;
        const char *have = slm_json_str(slm_json_find(slm_json_at(list, 0), "content"), &k);
        return (have && k == n && !memcmp(have, s, n)) ||
               slm_example_bad(j, SLM_LOSS_FIELDS,
                               "two system prompts: the field system and the first message");
    }
    slm_json *own = slm_json_new_array();
    if (!own)
        j->no_memory = true;
    bool ok = own && slm_messages_say(j, own, "system", s, n);
    if (ok && !slm_json_insert(list, 0, slm_json_ref(slm_json_at(own, 0))))
        j->no_memory = true;
    slm_json_free(own);
    return !j->no_memory;
}

bool slm_message_counts(const slm_json *m)
{
    const slm_json *weight = slm_json_find(m, "weight");
    if (slm_json_is_num(weight) && slm_json_num(weight, 1) == 0)
        return false;
    return slm_json_bool(slm_json_find(m, "train"), true) &&
           slm_json_bool(slm_json_find(m, "training"), true);
}

static bool blank(const slm_json *m)
{
    size_t n = 0;
    const char *s = slm_json_str(slm_json_find(m, "content"), &n);
    for (size_t i = 0; i < n; i++)
        if (!strchr(" \t\r\n", s[i]) || !s[i])
            return false;
    return !slm_json_count(slm_json_find(m, "tool_calls"));
}

static bool is_tool(const char *role) { return is(role, "tool ipython"); }

/* May a message of this role follow one of that? */
static bool may_follow(const char *role, const char *before, const slm_json *last)
{
    bool answer = !strcmp(role, "assistant"), user = !strcmp(role, "user");
    if (is(role, "system developer"))
        return !*before || is(before, "system developer");
    if (user)
        return !is(before, "user");
    if (is_tool(role))
        return is_tool(before) ||
               (is(before, "assistant") && slm_json_count(slm_json_find(last, "tool_calls")));
    /* a conversation may begin with a greeting */
    return answer &&
           (!is(before, "assistant") || slm_json_count(slm_json_find(last, "tool_calls")));
}

bool slm_messages_check(struct example_job *j, const slm_json *list, size_t from)
{
    size_t n = slm_json_count(list), answers = 0;
    const char *before = "";
    for (size_t i = 0; i < n; i++) {
        const slm_json *m = slm_json_at(list, i);
        const char *role = role_at(list, i);
        if (!j->o->loose && !may_follow(role, before, i ? slm_json_at(list, i - 1) : NULL))
            return slm_example_bad(j, SLM_LOSS_ROLES,
                                   "roles out of order: message %zu is of role %s behind %s",
                                   i + 1, role, *before ? before : "nothing");
        before = role;
        if (i < from || strcmp(role, "assistant"))
            continue;
        answers++;
        if (blank(m) && slm_message_counts(m))
            return slm_example_bad(j, SLM_LOSS_EMPTY, "message %zu: an empty answer", i + 1);
    }
    if (!n)
        return slm_example_bad(j, SLM_LOSS_EMPTY, "a conversation without messages");
    return answers ||
           slm_example_bad(j, SLM_LOSS_ROLES, "no message of the assistant to learn");
}
