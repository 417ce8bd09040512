/* Surgery on rows. Three shapes are known: tools with a call among the messages, a field with a
 * list of labels, and labels that stand as a list in the text of the prompt. */
#include "corpus/offer.h"

#include <stdio.h>
#include <string.h>

#include "corpus/offer_text.h"

static bool is_str(const slm_json *j, const char *want)
{
    const char *s = slm_json_str(j, NULL);
    return s && !strcmp(s, want);
}

/* The number of the last turn by one of two roles, -1: none. */
static int64_t last_turn(const slm_json *turns, const char *role, const char *other)
{
    for (size_t i = slm_json_count(turns); i-- > 0;) {
        const slm_json *t = slm_json_at(turns, i), *r = slm_json_find(t, "role");
        r = r ? r : slm_json_find(t, "from");
        if (is_str(r, role) || is_str(r, other))
            return (int64_t)i;
    }
    return -1;
}

/* "messages.3.content" of the last turn of a role, or the first of the names that is there. */
static bool find_path(slm_json *row, const char *role, const char *other,
                      const char *const *names, char path[SLM_PATH_MOST])
{
    static const char *const lists[] = {"messages", "conversations", "conversation"};
    for (size_t i = 0; i < 3; i++) {
        slm_json *turns = slm_json_find(row, lists[i]);
        int64_t k = slm_json_is(turns, SLM_JSON_ARRAY) ? last_turn(turns, role, other) : -1;
        if (k < 0)
            continue;
        bool value = slm_json_find(slm_json_at(turns, (size_t)k), "value") != NULL;
        snprintf(path, SLM_PATH_MOST, "%s.%lld.%s", lists[i], (long long)k,
                 value ? "value" : "content");
        return true;
    }
    for (; *names; names++)
        if (slm_json_find(row, *names)) {
            snprintf(path, SLM_PATH_MOST, "%s", *names);
            return true;
        }
    return false;
}

static bool given(const char *asked, char path[SLM_PATH_MOST])
{
    if (asked)
        snprintf(path, SLM_PATH_MOST, "%s", asked);
    return asked != NULL;
}

bool slm_offer_answer(const struct slm_offer *f, slm_json *row, char path[SLM_PATH_MOST])
{
    static const char *const names[] = {"completion", "output", "response", "answer",
                                        "label",      "intent", "category", NULL};
    return given(f->o->answer, path) || find_path(row, "assistant", "gpt", names, path);
}

bool slm_offer_query(const struct slm_offer *f, slm_json *row, char path[SLM_PATH_MOST])
{
    static const char *const names[] = {"prompt", "input",     "question",    "query",
                                        "text",   "utterance", "instruction", NULL};
    return given(f->o->query, path) || find_path(row, "user", "human", names, path);
}

/* ---- tools ---- */

/* The turn with the first call of a tool, -1: none. */
static int64_t call_turn(const slm_json *turns)
{
    for (size_t i = 0; i < slm_json_count(turns); i++)
        if (slm_json_count(slm_json_find(slm_json_at(turns, i), "tool_calls")))
            return (int64_t)i;
    return -1;
}

/* "name" of {"name": ..} and of {"function": {"name": ..}} */
static slm_json *tool_name(const slm_json *tool)
{
    slm_json *f = slm_json_find(tool, "function");
    return slm_json_find(slm_json_is(f, SLM_JSON_OBJECT) ? f : tool, "name");
}

static slm_json *called(const slm_json *row)
{
    slm_json *turns = slm_json_find(row, "messages");
    int64_t k =
        slm_json_is(slm_json_find(row, "tools"), SLM_JSON_ARRAY) ? call_turn(turns) : -1;
    if (k < 0)
        return NULL;
    return tool_name(
        slm_json_at(slm_json_find(slm_json_at(turns, (size_t)k), "tool_calls"), 0));
}

static int64_t tool_at(const slm_json *tools, const char *name)
{
    for (size_t i = 0; i < slm_json_count(tools); i++)
        if (is_str(tool_name(slm_json_at(tools, i)), name))
            return (int64_t)i;
    return -1;
}

/* The definition of a tool that another row offers; the caller's own, NULL: there is none. */
static slm_json *borrow_tool(const struct slm_offer *f, const struct slm_label *l)
{
    struct slm_row row;
    slm_json *tool = NULL;
    if (!slm_shelf_get(f->shelf, l->row, &row, NULL)) {
        slm_json *tools = slm_json_find(row.json, "tools");
        int64_t k = tool_at(tools, l->name);
        tool = k < 0 ? NULL : slm_json_ref(slm_json_at(tools, (size_t)k));
    }
    slm_row_release(&row);
    return tool;
}

/* A label that is free to be offered: none held out, no refusal, and not offered here. */
typedef bool slm_offered_fn(const void *arg, const struct slm_label *l);
static const struct slm_label *free_label(const struct slm_offer *f, struct slm_rng *rng,
                                          slm_offered_fn *offered, const void *arg)
{
    size_t n = f->labels->n, from = (size_t)slm_rng_below(rng, n);
    for (size_t i = 0; i < n; i++) {
        const struct slm_label *l = &f->labels->v[(from + i) % n];
        if (!l->held && !l->none && !offered(arg, l))
            return l;
    }
    return NULL;
}

static bool tool_offered(const void *tools, const struct slm_label *l)
{
    return tool_at(tools, l->name) >= 0;
}

/* Off with all tools that the first calling turn calls. */
static const char *withdraw_tools(const struct slm_offer *f, slm_json *row, struct slm_rng *rng)
{
    slm_json *turns = slm_json_find(row, "messages"), *tools = slm_json_find(row, "tools");
    slm_json *calls = slm_json_find(slm_json_at(turns, (size_t)call_turn(turns)), "tool_calls");
    bool some = false;
    for (size_t i = 0; i < slm_json_count(calls); i++) {
        const char *name = slm_json_str(tool_name(slm_json_at(calls, i)), NULL);
        int64_t k = name ? tool_at(tools, name) : -1;
        if (k < 0)
            continue;
        const struct slm_label *l = free_label(f, rng, tool_offered, tools);
        slm_json *other = l ? borrow_tool(f, l) : NULL;
        if (other && !slm_json_replace(tools, (size_t)k, other))
            return "no memory";
        if (!other)
            slm_json_remove(tools, (size_t)k);
        some = true;
    }
    return some ? NULL : "the tool that is called is not among the tools";
}

/* The turn that called becomes a refusal, and nothing comes after it. */
static const char *refuse_call(slm_json *row, const char *none)
{
    slm_json *turns = slm_json_find(row, "messages");
    size_t k = (size_t)call_turn(turns);
    slm_json *turn = slm_json_at(turns, k);
    slm_json_drop(turn, "tool_calls");
    while (slm_json_count(turns) > k + 1)
        slm_json_remove(turns, slm_json_count(turns) - 1);
    return slm_json_set(turn, "content", slm_json_new_str(none, strlen(none))) ? NULL
                                                                               : "no memory";
}

/* ---- labels ---- */

bool slm_offer_label(const struct slm_offer *f, slm_json *row, struct slm_buf *out)
{
    char path[SLM_PATH_MOST];
    size_t len, from = 0;
    slm_buf_reset(out);
    const char *tool = f->o->label ? NULL : slm_json_str(called(row), &len);
    if (tool) {
        slm_buf_put(out, tool, len);
        return len > 0 && !out->failed;
    }
    if (!given(f->o->label, path) && !slm_offer_answer(f, row, path))
        return false;
    if (!slm_field_text(out, row, path) || out->failed)
        return false;
    while (out->n && (unsigned char)out->s[out->n - 1] <= ' ')
        out->s[--out->n] = 0;
    while (from < out->n && (unsigned char)out->s[from] <= ' ')
        from++;
    memmove(out->s, out->s + from, out->n - from + 1);
    out->n -= from;
    return out->n > 0;
}

static int64_t list_at(const slm_json *list, const struct slm_label *l)
{
    for (size_t i = 0; i < slm_json_count(list); i++) {
        size_t len;
        const char *s = slm_json_str(slm_json_at(list, i), &len);
        if (s && len == l->n && !memcmp(s, l->name, len))
            return (int64_t)i;
    }
    return -1;
}

static bool in_list(const void *arg, const struct slm_label *l) { return list_at(arg, l) >= 0; }

static bool in_text(const void *arg, const struct slm_label *l)
{
    const struct slm_buf *b = arg;
    return slm_text_offers(b->s, b->n, l->name, l->n);
}

/* One text of the prompt, or the field of options. */
struct change {
    const struct slm_offer *f;
    const struct slm_label *l;
    struct slm_rng *rng;
    struct slm_buf old, anew;
    bool field; /* the field of options: the label need not stand among others */
};

/* Does the text list labels, this one among them? Two others must be there: a question may hold
 * the word as well. */
static bool lists_it(const struct change *c)
{
    size_t others = c->field ? 2 : 0;
    if (!in_text(&c->old, c->l))
        return false;
    for (size_t i = 0; i < c->f->labels->n && others < 2; i++) {
        const struct slm_label *l = &c->f->labels->v[i];
        others += l != c->l && in_text(&c->old, l);
    }
    return others >= 2;
}

/* 1: the text at the path is changed, 0: it does not offer the label. */
static int change_text(struct change *c, slm_json *row, const char *path)
{
    slm_buf_reset(&c->old);
    slm_buf_reset(&c->anew);
    if (!slm_field_text(&c->old, row, path) || c->old.failed)
        return c->old.failed;
    c->old.s[--c->old.n] = 0; /* the line's end that slm_field_text puts */
    if (!lists_it(c))
        return 0;
    const struct slm_label *other = free_label(c->f, c->rng, in_text, &c->old);
    slm_text_withdraw(&c->anew, c->old.s, c->old.n, c->l->name, c->l->n,
                      other ? other->name : NULL);
    if (c->anew.failed)
        return c->anew.failed;
    return slm_field_set(row, path, slm_json_new_str(c->anew.s, c->anew.n), c->f->rt);
}

/* In every turn but the answer's, or in every member of the row but the answer. */
static int change_prompt(struct change *c, slm_json *row, const char *answer)
{
    static const char *const lists[] = {"messages", "conversations", "conversation"};
    static const char *const names[] = {"system",   "prompt", "instruction", "input",
                                        "question", "query",  "text",        "context"};
    char path[SLM_PATH_MOST];
    int done = 0, rc = 0;
    for (size_t k = 0; k < 3 && rc >= 0; k++) {
        slm_json *turns = slm_json_find(row, lists[k]);
        for (size_t i = 0; i < slm_json_count(turns) && rc >= 0; i++) {
            slm_json *turn = slm_json_at(turns, i);
            const char *key = slm_json_find(turn, "value") ? "value" : "content";
            snprintf(path, sizeof path, "%s.%zu.%s", lists[k], i, key);
            if (!slm_json_str(slm_json_find(turn, key), NULL) || !strcmp(path, answer))
                continue;
            rc = change_text(c, row, path);
            done += rc > 0;
        }
    }
    for (size_t i = 0; i < sizeof names / sizeof *names && rc >= 0; i++) {
        if (!strcmp(names[i], answer) || !slm_json_str(slm_json_find(row, names[i]), NULL))
            continue;
        rc = change_text(c, row, names[i]);
        done += rc > 0;
    }
    return rc < 0 ? rc : done;
}

static int keep(void *arg, slm_json *value)
{
    slm_json **out = arg;
    *out = value;
    return 1;
}

static const char *change_field(struct change *c, slm_json *row)
{
    slm_json *list = NULL;
    (void)slm_field_each(row, c->f->o->options, keep, &list);
    if (!list)
        return "the field of options is not there";
    if (!slm_json_is(list, SLM_JSON_ARRAY)) {
        c->field = true;
        int rc = change_text(c, row, c->f->o->options);
        return rc > 0 ? NULL : rc ? "no memory" : "the label is not among the options";
    }
    int64_t k = list_at(list, c->l);
    if (k < 0)
        return "the label is not among the options";
    const struct slm_label *other = free_label(c->f, c->rng, in_list, list);
    if (!other)
        slm_json_remove(list, (size_t)k);
    else if (!slm_json_replace(list, (size_t)k, slm_json_new_str(other->name, other->n)))
        return "no memory";
    return NULL;
}

const char *slm_offer_withdraw(const struct slm_offer *f, slm_json *row, size_t label,
                               struct slm_rng *rng)
{
    char answer[SLM_PATH_MOST] = "";
    const char *why = NULL;
    if (!f->o->label && called(row))
        return withdraw_tools(f, row, rng);
    struct change c = {.f = f, .l = &f->labels->v[label], .rng = rng};
    slm_buf_init(&c.old, f->rt, SLM_MEM_DATA, SIZE_MAX / 4);
    slm_buf_init(&c.anew, f->rt, SLM_MEM_DATA, SIZE_MAX / 4);
    if (f->o->options) {
        why = change_field(&c, row);
    } else {
        (void)slm_offer_answer(f, row, answer);
        int rc = change_prompt(&c, row, answer);
        why = rc > 0 ? NULL
              : rc   ? "no memory"
                     : "the prompt does not offer the label in a list";
    }
    slm_buf_release(&c.old);
    slm_buf_release(&c.anew);
    return why;
}

static const char *set_text(const struct slm_offer *f, slm_json *row, const char *path,
                            const char *text)
{
    int rc = slm_field_set(row, path, slm_json_new_str(text, strlen(text)), f->rt);
    return rc > 0 ? NULL : rc ? "no memory" : "the answer is not where it is said to be";
}

const char *slm_offer_refuse(const struct slm_offer *f, slm_json *row, const char *none)
{
    char path[SLM_PATH_MOST];
    const char *label = f->o->label, *why = NULL;
    if (!label && called(row))
        return refuse_call(row, none);
    if (!slm_offer_answer(f, row, path))
        return "there is no answer";
    size_t n = strlen(path);
    slm_json *j = NULL;
    bool object = !slm_json_parse(&j, none, strlen(none), "none", NULL) &&
                  slm_json_is(j, SLM_JSON_OBJECT);
    slm_json_free(j);
    /* the label stands inside the answer: the rest of the answer stays, unless all is given */
    if (label && !strncmp(label, path, n) && label[n] == '.' && !object)
        return set_text(f, row, label, none);
    why = set_text(f, row, path, none);
    if (!why && label && strcmp(label, path) && strncmp(label, path, n))
        why = set_text(f, row, label, none);
    return why;
}
