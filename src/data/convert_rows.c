/* Rows in another format. A row is understood first and then said anew; what the other format
 * has no place for is a reason not to write the row, never to write a part of it. */
#include <string.h>

#include "data/build_in.h"

static const char *const to_names[SLM_TO_COUNT] = {"messages", "sharegpt", "alpaca",
                                                   "prompt",   "text",     "csv"};

const char *slm_data_to_name(int to)
{
    return to >= 0 && to < SLM_TO_COUNT ? to_names[to] : NULL;
}

int slm_data_to_find(const char *name)
{
    for (int i = 0; i < SLM_TO_COUNT; i++)
        if (!strcmp(to_names[i], name))
            return i;
    return -1;
}

struct convert {
    struct build b;
    enum slm_data_to to;
    struct slm_out out;
    struct rendering text;
    enum slm_data_format first; /* CSV: of the row that made the header */
    const char *why;            /* a row cannot be written: what has no place */
    bool no_memory;
};

static bool set(struct convert *c, slm_json *obj, const char *key, slm_json *v)
{
    c->no_memory |= !slm_json_set(obj, key, v);
    return !c->no_memory;
}

static bool no_place(struct convert *c, const char *what)
{
    c->why = c->why ? c->why : what;
    return false;
}

static const char *field(const slm_json *m, const char *key)
{
    const char *s = slm_json_str(slm_json_find(m, key), NULL);
    return s ? s : "";
}

static bool put_str(struct convert *c, slm_json *obj, const char *key, const slm_json *v)
{
    size_t n = 0;
    const char *s = slm_json_str(v, &n);
    return set(c, obj, key, slm_json_new_str(s ? s : "", s ? n : 0));
}

/* Messages [from, to) of a list. */
static slm_json *part_of(struct convert *c, const slm_json *list, size_t from, size_t to)
{
    slm_json *part = slm_json_new_array();
    for (size_t i = from; part && i < to; i++)
        c->no_memory |= !slm_json_push(part, slm_json_ref(slm_json_at(list, i)));
    c->no_memory |= !part;
    return part;
}

static bool put_tools(struct convert *c, slm_json *row, const struct slm_example *e)
{
    bool ok = !e->tools || set(c, row, "tools", slm_json_ref(e->tools));
    return ok && (!e->vars || set(c, row, "chat_template_kwargs", slm_json_ref(e->vars)));
}

/* prompt, and chosen and rejected, or completion: lists of messages. */
static bool put_parts(struct convert *c, slm_json *row, const struct slm_example *e)
{
    bool pair = e->format == SLM_DATA_PREFERENCE;
    const slm_json *m = e->messages[0];
    size_t n = e->n_prompt;
    return set(c, row, "prompt", part_of(c, m, 0, n)) &&
           set(c, row, pair ? "chosen" : "completion", part_of(c, m, n, slm_json_count(m))) &&
           (!pair || set(c, row, "rejected",
                         part_of(c, e->messages[1], n, slm_json_count(e->messages[1])))) &&
           (e->format != SLM_DATA_KTO || set(c, row, "label", slm_json_new_bool(e->label)));
}

static bool to_messages(struct convert *c, slm_json *row, const struct slm_example *e)
{
    if (!e->messages[0])
        return no_place(c, "a text alone is no conversation");
    if (e->format == SLM_DATA_PREFERENCE || e->format == SLM_DATA_KTO)
        return put_parts(c, row, e) && put_tools(c, row, e);
    return set(c, row, "messages", slm_json_ref(e->messages[0])) && put_tools(c, row, e);
}

/* Only these keys are in a message. */
static bool plain_message(struct convert *c, const slm_json *m, const char *more)
{
    for (void *it = slm_json_first(m); it; it = slm_json_next(m, it)) {
        const char *key = slm_json_key(it, NULL);
        if (strcmp(key, "role") && strcmp(key, "content") && strcmp(key, more))
            return no_place(c, "a message holds more than role and text");
    }
    return true;
}

static bool put_turn(struct convert *c, slm_json *list, const char *from, slm_json *value)
{
    slm_json *turn = slm_json_new_object();
    c->no_memory |= !slm_json_push(list, turn);
    return !c->no_memory && set(c, turn, "from", slm_json_new_str(from, strlen(from))) &&
           set(c, turn, "value", value);
}

/* One call as text: a call beside other text, or several, have no place. */
static bool put_call(struct convert *c, slm_json *list, const slm_json *m)
{
    const slm_json *calls = slm_json_find(m, "tool_calls"), *call = slm_json_at(calls, 0),
                   *f = slm_json_find(call, "function");
    if (slm_json_count(calls) != 1 || *field(m, "content"))
        return no_place(c, "several calls, or a call beside text");
    struct slm_buf b;
    slm_buf_init(&b, c->b.rt, SLM_MEM_DATA, (size_t)1 << 28);
    slm_json_put(&b, f ? f : call);
    c->no_memory |= b.failed != 0;
    bool ok = !b.failed && put_turn(c, list, "function_call", slm_json_new_str(b.s, b.n));
    slm_buf_release(&b);
    return ok;
}

static bool to_sharegpt(struct convert *c, slm_json *row, const struct slm_example *e)
{
    const slm_json *m = e->messages[0];
    if (!m || e->format == SLM_DATA_PREFERENCE || e->format == SLM_DATA_KTO)
        return no_place(c, "no conversation, or more than one answer to it");
    slm_json *list = slm_json_new_array();
    bool ok = set(c, row, "conversations", list);
    for (size_t i = 0; ok && i < slm_json_count(m); i++) {
        const slm_json *one = slm_json_at(m, i);
        const char *role = field(one, "role"), *from = !strcmp(role, "user")        ? "human"
                                                       : !strcmp(role, "assistant") ? "gpt"
                                                       : !strcmp(role, "tool")      ? "tool"
                                                                                    : "system";
        ok = plain_message(c, one, "tool_calls");
        if (ok && slm_json_count(slm_json_find(one, "tool_calls")))
            ok = put_call(c, list, one);
        else if (ok)
            ok = put_turn(c, list, from, slm_json_ref(slm_json_find(one, "content")));
    }
    return ok && put_tools(c, row, e);
}

/* [system] then user and assistant by turns, the last an answer. */
static bool by_turns(struct convert *c, const struct slm_example *e, bool *system, size_t *n)
{
    const slm_json *m = e->messages[0];
    if (!m || e->tools || e->vars)
        return no_place(c, m ? "tools" : "a text alone has no question");
    *n = slm_json_count(m);
    *system = !strcmp(field(slm_json_at(m, 0), "role"), "system");
    for (size_t i = *system; i < *n; i++)
        if (!plain_message(c, slm_json_at(m, i), "content") ||
            strcmp(field(slm_json_at(m, i), "role"), (i - *system) % 2 ? "assistant" : "user"))
            return no_place(c, "turns that are not question and answer");
    return (*n - *system) % 2 == 0 || no_place(c, "a last question without an answer");
}

static bool to_alpaca(struct convert *c, slm_json *row, const struct slm_example *e)
{
    bool system;
    size_t n, i;
    const slm_json *m = e->messages[0];
    if (e->format == SLM_DATA_PREFERENCE || e->format == SLM_DATA_KTO)
        return no_place(c, "more than one answer to it, or a judgement");
    if (!by_turns(c, e, &system, &n))
        return false;
    slm_json *history = slm_json_new_array();
    c->no_memory |= !history;
    for (i = system; !c->no_memory && i + 2 < n; i += 2) {
        slm_json *pair = slm_json_new_array();
        c->no_memory |= !slm_json_push(history, pair);
        for (size_t k = 0; !c->no_memory && k < 2; k++)
            c->no_memory |= !slm_json_push(
                pair, slm_json_ref(slm_json_find(slm_json_at(m, i + k), "content")));
    }
    bool ok =
        !c->no_memory &&
        put_str(c, row, "instruction", slm_json_find(slm_json_at(m, i), "content")) &&
        set(c, row, "input", slm_json_new_str("", 0)) &&
        put_str(c, row, "output", slm_json_find(slm_json_at(m, i + 1), "content")) &&
        (!system || put_str(c, row, "system", slm_json_find(slm_json_at(m, 0), "content"))) &&
        (!slm_json_count(history) || set(c, row, "history", slm_json_ref(history)));
    slm_json_free(history);
    return ok;
}

/* prompt and completion as texts where there is one question, else as lists of messages. flat:
 * texts or nothing. */
static bool to_prompt(struct convert *c, slm_json *row, const struct slm_example *e, bool flat)
{
    bool system = false, pair = e->format == SLM_DATA_PREFERENCE;
    const slm_json *m = e->messages[0];
    size_t n = slm_json_count(m);
    if (!m && !e->plain[0])
        return no_place(c, "a text alone has no question");
    if (pair && e->plain[0])
        return put_str(c, row, "prompt", e->plain[0]) &&
               put_str(c, row, "chosen", e->plain[1]) &&
               put_str(c, row, "rejected", e->plain[2]);
    const char *why = c->why;
    if (!pair && by_turns(c, e, &system, &n) && n == 2 + (size_t)system)
        return (!system ||
                put_str(c, row, "system", slm_json_find(slm_json_at(m, 0), "content"))) &&
               put_str(c, row, "prompt", slm_json_find(slm_json_at(m, n - 2), "content")) &&
               put_str(c, row, "completion", slm_json_find(slm_json_at(m, n - 1), "content")) &&
               (e->format != SLM_DATA_KTO || set(c, row, "label", slm_json_new_bool(e->label)));
    if (flat)
        return no_place(c, "more turns than a table's row holds");
    c->why = why;
    if (strcmp(field(slm_json_at(m, slm_json_count(m) - 1), "role"), "assistant"))
        return no_place(c, "a last question without an answer");
    struct slm_example last = *e;
    if (!last.n_prompt)
        last.n_prompt = slm_json_count(m) - 1;
    return put_parts(c, row, &last) && put_tools(c, row, e);
}

static bool to_text(struct convert *c, slm_json *row, struct slm_example *e)
{
    slm_err err;
    if (e->format == SLM_DATA_PREFERENCE || e->format == SLM_DATA_KTO)
        return no_place(c, "more than one answer to it, or a judgement");
    int rc = slm_render(&c->b.renderer, e, 0, &c->text, &err);
    c->no_memory |= rc == SLM_E_NOMEM;
    if (e->loss || rc)
        return no_place(c, e->loss ? e->why : "longer than a text may be");
    return set(c, row, "text", slm_json_new_str(c->text.text.s, c->text.text.n));
}

/* ---- CSV ---- */

static const char *const *columns(enum slm_data_format f)
{
    static const char *const text[] = {"text", NULL},
                             *const pair[] = {"prompt", "chosen", "rejected", NULL},
                             *const kto[] = {"system", "prompt", "completion", "label", NULL},
                             *const prompt[] = {"system", "prompt", "completion", NULL};
    return f == SLM_DATA_TEXT         ? text
           : f == SLM_DATA_PREFERENCE ? pair
           : f == SLM_DATA_KTO        ? kto
                                      : prompt;
}

static void put_cell(struct slm_buf *b, const char *s, size_t n)
{
    bool quote = n && (memchr(s, ',', n) || memchr(s, '"', n) || memchr(s, '\n', n) ||
                       memchr(s, '\r', n) || *s == ' ' || s[n - 1] == ' ');
    if (!quote) {
        slm_buf_put(b, s, n);
        return;
    }
    slm_buf_putc(b, '"');
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '"')
            slm_buf_putc(b, '"');
        slm_buf_putc(b, s[i]);
    }
    slm_buf_putc(b, '"');
}

static bool put_csv(struct convert *c, struct slm_buf *b, const slm_json *row,
                    enum slm_data_format format)
{
    bool head = !c->first;
    if (head)
        c->first = format;
    const char *const *names = columns(c->first);
    if (names != columns(format))
        return no_place(c, "other columns than the rows before");
    for (int i = 0; head && names[i]; i++)
        slm_buf_printf(b, "%s%s", i ? "," : "", names[i]);
    slm_buf_puts(b, head ? "\r\n" : "");
    for (int i = 0; names[i]; i++) {
        const slm_json *v = slm_json_find(row, names[i]);
        size_t n = 0;
        const char *s = slm_json_str(v, &n);
        if (i)
            slm_buf_putc(b, ',');
        if (slm_json_is(v, SLM_JSON_BOOL))
            slm_buf_puts(b, slm_json_bool(v, false) ? "true" : "false");
        put_cell(b, s ? s : "", n);
    }
    slm_buf_puts(b, "\r\n");
    return true;
}

/* ---- a row ---- */

static bool say_anew(struct convert *c, slm_json *row, struct slm_example *e)
{
    switch (c->to) {
    case SLM_TO_MESSAGES: return to_messages(c, row, e);
    case SLM_TO_SHAREGPT: return to_sharegpt(c, row, e);
    case SLM_TO_ALPACA: return to_alpaca(c, row, e);
    case SLM_TO_PROMPT: return to_prompt(c, row, e, false);
    case SLM_TO_TEXT: return to_text(c, row, e);
    default:
        return e->format == SLM_DATA_TEXT ? put_str(c, row, "text", e->plain[1])
                                          : to_prompt(c, row, e, true);
    }
}

static int write_row(struct convert *c, const struct slm_row *from, struct slm_example *e,
                     slm_err *err)
{
    slm_json *row = slm_json_new_object();
    struct slm_buf b;
    slm_buf_init(&b, c->b.rt, SLM_MEM_DATA, (size_t)1 << 29);
    c->why = NULL;
    c->no_memory = !row;
    bool ok = row && say_anew(c, row, e), json = c->to != SLM_TO_CSV;
    for (int i = 0; ok && i < e->n_unused; i++) {
        bool along = json && !slm_json_find(row, e->unused[i]);
        if (along)
            ok = set(c, row, e->unused[i],
                     slm_json_ref(slm_json_find(from->json, e->unused[i])));
        else
            c->no_memory |=
                slm_tally_add(&c->b.unused, c->b.rt, e->unused[i], strlen(e->unused[i])) != 0;
    }
    if (ok && json) {
        slm_json_put(&b, row);
        slm_buf_putc(&b, '\n');
    } else if (ok) {
        ok = put_csv(c, &b, row, e->format);
    }
    int rc = c->no_memory || b.failed ? slm_fail_mem(err, "a row", 1)
             : ok                     ? slm_out_write(&c->out, b.s, b.n, err)
                  : slm_build_lost(&c->b, from, SLM_LOSS_FIELDS, c->why ? c->why : "no place");
    c->b.rep->kept += ok && !rc;
    c->b.rep->format[e->format] += ok && !rc;
    slm_buf_release(&b);
    slm_json_free(row);
    return rc;
}

static int one(struct convert *c, struct slm_row *row, slm_err *err)
{
    static const enum slm_data_loss state[] = {[SLM_ROW_NOT_UTF8] = SLM_LOSS_UTF8,
                                               [SLM_ROW_NOT_JSON] = SLM_LOSS_JSON,
                                               [SLM_ROW_NO_OBJECT] = SLM_LOSS_JSON,
                                               [SLM_ROW_FIELDS] = SLM_LOSS_CSV};
    struct slm_example e;
    c->b.rep->rows++;
    if (!row->json)
        return slm_build_lost(&c->b, row, state[row->state], row->why);
    int rc = slm_example_read(&e, c->b.rt, row->json, &c->b.ex, err);
    if (!rc)
        rc = e.loss ? slm_build_lost(&c->b, row, e.loss, e.why) : write_row(c, row, &e, err);
    slm_example_release(&e);
    return rc;
}

int slm_data_convert(slm_data_report *report, slm_runtime *rt, const slm_data_opts *o,
                     const char *path, slm_data_progress_fn *progress, void *arg, slm_err *err)
{
    struct convert *c = slm_zalloc(rt, SLM_MEM_DATA, sizeof *c);
    struct slm_row row = {0};
    if (!c)
        return slm_fail_mem(err, "data", sizeof *c);
    c->to = o->to;
    c->b.rt = rt;
    c->b.o = o;
    c->b.rep = report;
    slm_rendering_init(&c->text, rt);
    int rc = slm_build_open(&c->b, err);
    rc = rc ? rc : slm_out_open(&c->out, rt, path, err);
    while (!rc && (rc = slm_rows_read(c->b.rows, &row, err)) > 0) {
        rc = one(c, &row, err);
        if (!rc && progress && report->rows % 256 == 0 &&
            progress(arg, slm_rows_at(c->b.rows), slm_rows_bytes(c->b.rows)))
            rc = slm_fail(err, SLM_E_CANCELLED, "cancelled");
    }
    rc = rc ? rc : slm_build_check(&c->b, err);
    report->n_unused = slm_tally_top(&c->b.unused, report->unused, SLM_DATA_SCRIPTS);
    rc = rc ? rc : slm_out_commit(&c->out, err);
    slm_out_close(&c->out);
    slm_row_release(&row);
    slm_rendering_release(&c->text);
    slm_build_close(&c->b);
    slm_free(rt, c);
    return rc;
}
