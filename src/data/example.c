/* Rows as examples: which format a row's fields are, and what they say. A row that could be two
 * formats, or none, is refused by the names of its fields; a field that nobody reads is told.
 */
#include "data/example.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const format_names[SLM_DATA_FORMAT_COUNT] = {
    "auto", "messages", "sharegpt", "alpaca", "prompt", "preference", "kto", "text"};

const char *slm_data_format_name(int format)
{
    return format >= 0 && format < SLM_DATA_FORMAT_COUNT ? format_names[format] : NULL;
}

int slm_data_format_find(const char *name)
{
    for (int i = 0; i < SLM_DATA_FORMAT_COUNT; i++)
        if (!strcmp(format_names[i], name))
            return i;
    return -1;
}

/* What each format reads; the first ones must be there. */
static const struct format {
    const char *needs, *takes;
} formats[SLM_DATA_FORMAT_COUNT] = {
    [SLM_DATA_MESSAGES] = {"messages", "system tools chat_template_kwargs"},
    [SLM_DATA_SHAREGPT] = {"conversations", "system tools chat_template_kwargs"},
    [SLM_DATA_ALPACA] = {"instruction output", "input system history"},
    [SLM_DATA_PROMPT] = {"prompt completion", "system history tools chat_template_kwargs"},
    [SLM_DATA_PREFERENCE] = {"chosen rejected", "prompt system tools chat_template_kwargs"},
    [SLM_DATA_KTO] = {"prompt completion label", "system history tools chat_template_kwargs"},
    [SLM_DATA_TEXT] = {"text", ""},
};

bool slm_example_bad(struct example_job *j, enum slm_data_loss loss, const char *fmt, ...)
{
    va_list ap;
    if (j->e->loss)
        return false;
    va_start(ap, fmt);
    vsnprintf(j->e->why, sizeof j->e->why, fmt, ap);
    va_end(ap);
    j->e->loss = loss;
    return false;
}

static slm_json *present(const slm_json *row, const char *name)
{
    slm_json *v = slm_json_find(row, name);
    return slm_json_type(v) == SLM_JSON_NULL ? NULL : v;
}

slm_json *slm_example_field(const struct example_job *j, const char *name)
{
    for (int i = 0; i < j->o->n_map; i++)
        if (!strcmp(j->o->map[i].to, name))
            return present(j->row, j->o->map[i].from);
    for (int i = 0; i < j->o->n_map; i++)
        if (!strcmp(j->o->map[i].from, name))
            return NULL; /* it stands for another */
    return present(j->row, name);
}

const char *slm_example_text(struct example_job *j, const char *name, size_t *n)
{
    const slm_json *v = slm_example_field(j, name);
    const char *s = slm_json_str(v, n);
    if (!s && !v) {
        *n = 0;
        return "";
    }
    if (!s)
        slm_example_bad(j, SLM_LOSS_FIELDS, "%s is no text", name);
    return s;
}

/* A list in a CSV cell is the text of one. */
static slm_json *list_in(struct example_job *j, const slm_json *v)
{
    size_t n, i = 0;
    const char *s = slm_json_str(v, &n);
    slm_json *parsed = NULL;
    (void)j;
    if (slm_json_is(v, SLM_JSON_ARRAY))
        return slm_json_ref((slm_json *)(uintptr_t)v);
    while (s && i < n && strchr(" \t\r\n", s[i]) && s[i])
        i++;
    if (!s || i == n || s[i] != '[' || slm_json_parse(&parsed, s, n, "list", NULL))
        return NULL;
    if (slm_json_is(parsed, SLM_JSON_ARRAY))
        return parsed;
    slm_json_free(parsed);
    return NULL;
}

slm_json *slm_example_list(struct example_job *j, const char *name)
{
    const slm_json *v = slm_example_field(j, name);
    slm_json *list = v ? list_in(j, v) : NULL;
    if (v && !list)
        slm_example_bad(j, SLM_LOSS_FIELDS, "%s is no list", name);
    return list;
}

/* ---- which format ---- */

static bool each_name(const char *names, char out[40], const char **rest)
{
    while (*names == ' ')
        names++;
    size_t n = strcspn(names, " ");
    if (!n)
        return false;
    memcpy(out, names, n);
    out[n] = 0;
    *rest = names + n;
    return true;
}

static const char *alias(const char *name)
{
    return !strcmp(name, "conversations") ? "conversation" : "";
}

static bool has_all(const struct example_job *j, const char *names)
{
    char name[40];
    while (each_name(names, name, &names))
        if (!slm_example_field(j, name) && !(*alias(name) && slm_example_field(j, alias(name))))
            return false;
    return true;
}

static bool label_of(const slm_json *v, int *out)
{
    const char *s = slm_json_str(v, NULL);
    if (slm_json_is(v, SLM_JSON_BOOL))
        *out = slm_json_bool(v, false);
    else if (slm_json_is(v, SLM_JSON_INT) &&
             (slm_json_int(v, 2) == 0 || slm_json_int(v, 2) == 1))
        *out = (int)slm_json_int(v, 0);
    else if (s && (!strcmp(s, "true") || !strcmp(s, "True") || !strcmp(s, "1")))
        *out = 1;
    else if (s && (!strcmp(s, "false") || !strcmp(s, "False") || !strcmp(s, "0")))
        *out = 0;
    else
        return false;
    return true;
}

static bool contains(const struct example_job *j, const char *whole, const char *part)
{
    size_t n, k;
    const char *s = slm_json_str(slm_example_field(j, whole), &n),
               *p = slm_json_str(slm_example_field(j, part), &k);
    return s && p && (!k || memmem(s, n, p, k));
}

/* messages beside their first question again as `prompt` */
static bool repeats_prompt(const struct example_job *j)
{
    const slm_json *list = slm_example_field(j, "messages");
    size_t n, k;
    const char *p = slm_json_str(slm_example_field(j, "prompt"), &n);
    for (size_t i = 0; p && i < slm_json_count(list) && i < 2; i++) {
        const char *s = slm_json_str(slm_json_find(slm_json_at(list, i), "content"), &k);
        if (s && k == n && !memcmp(s, p, n))
            return true;
    }
    return false;
}

static void name_fields(const struct example_job *j, char *out, size_t cap)
{
    size_t k = 0;
    out[0] = 0;
    for (void *it = slm_json_first(j->row); it && k + 1 < cap; it = slm_json_next(j->row, it)) {
        int n = snprintf(out + k, cap - k, "%s%.30s", k ? ", " : "", slm_json_key(it, NULL));
        k = n < 0 ? cap : k + (size_t)n;
    }
    if (!*out)
        snprintf(out, cap, "none");
}

static bool no_format(struct example_job *j, int a, int b)
{
    char fields[100];
    name_fields(j, fields, sizeof fields);
    if (a)
        return slm_example_bad(j, SLM_LOSS_FIELDS, "fields %s: may be %s or %s: say --format",
                               fields, format_names[a], format_names[b]);
    return slm_example_bad(j, SLM_LOSS_FIELDS,
                           "fields %s: no format has these; name them by --map, as "
                           "prompt=question",
                           fields);
}

/* Fields beside a text that say it is not the text alone that is meant. */
static bool labelled_text(const struct example_job *j)
{
    char name[40];
    for (const char *p = "label labels category intent target class output answer completion "
                         "response tag";
         each_name(p, name, &p);)
        if (slm_example_field(j, name))
            return true;
    return false;
}

static bool find_format(struct example_job *j)
{
    int found = 0, label;
    for (int f = SLM_DATA_MESSAGES; f < SLM_DATA_TEXT; f++) {
        if (!has_all(j, formats[f].needs))
            continue;
        if (f == SLM_DATA_KTO && label_of(slm_example_field(j, "label"), &label)) {
            found = found == SLM_DATA_PROMPT ? 0 : found;
        } else if (f == SLM_DATA_KTO) {
            continue;
        }
        if (found)
            return no_format(j, found, f);
        found = f;
    }
    if (found == SLM_DATA_MESSAGES && slm_example_field(j, "prompt") && !repeats_prompt(j))
        return no_format(j, found, SLM_DATA_PROMPT);
    if (slm_example_field(j, "text")) {
        char fields[100];
        name_fields(j, fields, sizeof fields);
        if (!found && labelled_text(j))
            return slm_example_bad(j, SLM_LOSS_FIELDS,
                                   "fields %s: the text alone (--format text), or --map "
                                   "prompt=text and completion=...?",
                                   fields);
        if (found && !(found == SLM_DATA_ALPACA && contains(j, "text", "instruction") &&
                       contains(j, "text", "output")))
            return no_format(j, found, SLM_DATA_TEXT);
        found = found ? found : SLM_DATA_TEXT;
    }
    j->e->format = (enum slm_data_format)found;
    return found || no_format(j, 0, 0);
}

static bool in_words(const char *name, const char *words)
{
    char w[40];
    while (each_name(words, w, &words))
        if (!strcmp(w, name) || (*alias(w) && !strcmp(alias(w), name)))
            return true;
    return false;
}

static void note_unused(struct example_job *j)
{
    struct slm_example *e = j->e;
    const struct format *f = &formats[e->format];
    for (void *it = slm_json_first(j->row); it; it = slm_json_next(j->row, it)) {
        const char *key = slm_json_key(it, NULL), *name = key;
        for (int i = 0; i < j->o->n_map; i++)
            if (!strcmp(j->o->map[i].from, key))
                name = j->o->map[i].to;
        if (slm_json_type(slm_json_value(it)) != SLM_JSON_NULL && !in_words(name, f->needs) &&
            !in_words(name, f->takes) && e->n_unused < SLM_EXAMPLE_UNUSED)
            e->unused[e->n_unused++] = key;
    }
}

/* ---- what the fields say ---- */

static slm_json *new_list(struct example_job *j)
{
    slm_json *l = slm_json_new_array();
    j->no_memory |= !l;
    return l;
}

static bool say_field(struct example_job *j, slm_json *list, const char *role,
                      const char *field)
{
    size_t n;
    const char *s = slm_example_text(j, field, &n);
    return s && slm_messages_say(j, list, role, s, n);
}

static bool keep_plain(struct example_job *j, int i, const char *s, size_t n)
{
    j->e->plain[i] = slm_json_new_str(s, n);
    j->no_memory |= !j->e->plain[i];
    return !j->no_memory;
}

static bool read_tools(struct example_job *j)
{
    size_t n;
    const slm_json *v = slm_example_field(j, "tools");
    const char *s = slm_json_str(v, &n);
    if (v && !(s && !n)) /* an empty cell is none */
        j->e->tools = slm_example_list(j, "tools");
    if (j->e->tools && !slm_json_count(j->e->tools)) {
        slm_json_free(j->e->tools);
        j->e->tools = NULL;
    }
    slm_json *vars = slm_example_field(j, "chat_template_kwargs");
    if (vars && !slm_json_is(vars, SLM_JSON_OBJECT))
        return slm_example_bad(j, SLM_LOSS_FIELDS, "chat_template_kwargs is no object");
    j->e->vars = slm_json_ref(vars);
    return !j->e->loss;
}

static bool read_chat(struct example_job *j, const char *field)
{
    slm_json *from = slm_example_list(j, slm_example_field(j, field) ? field : alias(field));
    slm_json *list = j->e->messages[0] = new_list(j);
    bool ok =
        from && list && slm_messages_add(j, list, from, field) && slm_messages_system(j, list);
    slm_json_free(from);
    return ok && slm_messages_check(j, list, 0);
}

/* [[question, answer], ...] before the last question. */
static bool read_history(struct example_job *j, slm_json *list)
{
    const slm_json *v = slm_example_field(j, "history");
    size_t n;
    const char *s = slm_json_str(v, &n);
    if (!v || (s && !n))
        return true;
    slm_json *h = slm_example_list(j, "history");
    bool ok = h != NULL;
    for (size_t i = 0; ok && i < slm_json_count(h); i++) {
        const slm_json *turn = slm_json_at(h, i);
        for (size_t k = 0; ok && k < 2; k++) {
            s = slm_json_str(slm_json_at(turn, k), &n);
            ok = s && slm_json_count(turn) == 2
                     ? slm_messages_say(j, list, k ? "assistant" : "user", s, n)
                     : slm_example_bad(j, SLM_LOSS_FIELDS,
                                       "history: turn %zu is no pair of texts", i + 1);
        }
    }
    slm_json_free(h);
    return ok;
}

/* The prompt that Alpaca (and what was tuned like it) was trained with. */
static bool alpaca_prompt(struct example_job *j)
{
    struct slm_buf b;
    size_t n, k, m;
    const char *what = slm_example_text(j, "instruction", &n),
               *input = slm_example_text(j, "input", &k),
               *system = slm_example_text(j, "system", &m);
    slm_buf_init(&b, j->rt, SLM_MEM_DATA, (size_t)1 << 28);
    if (m)
        slm_buf_put(&b, system, m);
    else
        slm_buf_puts(&b, k ? "Below is an instruction that describes a task, paired with an "
                             "input that provides further context. Write a response that "
                             "appropriately completes the request."
                           : "Below is an instruction that describes a task. Write a response "
                             "that appropriately completes the request.");
    slm_buf_puts(&b, "\n\n### Instruction:\n");
    slm_buf_put(&b, what, n);
    if (k) {
        slm_buf_puts(&b, "\n\n### Input:\n");
        slm_buf_put(&b, input, k);
    }
    slm_buf_puts(&b, "\n\n### Response:\n");
    j->no_memory |= b.failed != 0;
    bool ok = !b.failed && keep_plain(j, 0, b.s, b.n);
    slm_buf_release(&b);
    return ok;
}

static bool read_alpaca(struct example_job *j)
{
    slm_json *list = j->e->messages[0] = new_list(j);
    size_t n, k, m;
    if (!list || !slm_messages_system(j, list) || !read_history(j, list))
        return false;
    const char *what = slm_example_text(j, "instruction", &n),
               *input = what ? slm_example_text(j, "input", &k) : NULL,
               *output = input ? slm_example_text(j, "output", &m) : NULL;
    if (!output)
        return false;
    struct slm_buf b;
    slm_buf_init(&b, j->rt, SLM_MEM_DATA, (size_t)1 << 28);
    slm_buf_put(&b, what, n);
    slm_buf_put(&b, "\n", n && k);
    slm_buf_put(&b, input, k);
    bool history =
        slm_json_count(list) > 1 || (slm_json_count(list) && !slm_example_field(j, "system"));
    j->no_memory |= b.failed != 0;
    bool ok = !b.failed && slm_messages_say(j, list, "user", b.s, b.n);
    ok = ok && (b.n || slm_example_bad(j, SLM_LOSS_EMPTY, "an empty instruction"));
    slm_buf_release(&b);
    if (ok && !history) { /* turns before have no place in the plain prompt */
        j->e->alpaca = true;
        ok = alpaca_prompt(j) && keep_plain(j, 1, output, m);
    }
    ok = ok && slm_messages_say(j, list, "assistant", output, m);
    j->e->n_prompt = ok ? slm_json_count(list) - 1 : 0;
    return ok && slm_messages_check(j, list, 0);
}

static bool is_message(const slm_json *v)
{
    return slm_json_is(v, SLM_JSON_OBJECT) &&
           (slm_json_find(v, "role") || slm_json_find(v, "from"));
}

/* A prompt or an answer: a text, or messages. Gives whether it was a text. */
static bool part(struct example_job *j, slm_json *list, const char *field, const char *role,
                 bool *text)
{
    const slm_json *v = slm_example_field(j, field);
    slm_json *messages = list_in(j, v);
    /* an answer may be JSON itself: only a list of messages is one */
    *text = slm_json_str(v, NULL) && !(messages && is_message(slm_json_at(messages, 0)));
    bool ok = *text      ? say_field(j, list, role, field)
              : messages ? slm_messages_add(j, list, messages, field)
                         : slm_example_bad(j, SLM_LOSS_FIELDS,
                                           "%s is neither text nor a list of messages", field);
    slm_json_free(messages);
    return ok;
}

/* system before prompt, a blank line between: the prompt for a model without a template. */
static bool plain_prompt(struct example_job *j)
{
    size_t n, k;
    const char *s = slm_example_text(j, "system", &k), *p = slm_example_text(j, "prompt", &n);
    struct slm_buf b;
    slm_buf_init(&b, j->rt, SLM_MEM_DATA, (size_t)1 << 28);
    slm_buf_put(&b, s, k);
    slm_buf_puts(&b, k ? "\n\n" : "");
    slm_buf_put(&b, p, n);
    j->no_memory |= b.failed != 0;
    bool ok = !b.failed && keep_plain(j, 0, b.s, b.n);
    slm_buf_release(&b);
    return ok;
}

static bool keep_field(struct example_job *j, int i, const char *field)
{
    size_t n;
    const char *s = slm_example_text(j, field, &n);
    return s && keep_plain(j, i, s, n);
}

static bool read_prompt(struct example_job *j)
{
    bool a, b;
    slm_json *list = j->e->messages[0] = new_list(j);
    if (!list || !read_history(j, list))
        return false;
    bool history = slm_json_count(list) > 0;
    if (!part(j, list, "prompt", "user", &a) || !slm_messages_system(j, list))
        return false;
    j->e->n_prompt = slm_json_count(list);
    if (!part(j, list, "completion", "assistant", &b))
        return false;
    if (a && b && !history && !(plain_prompt(j) && keep_field(j, 1, "completion")))
        return false;
    if (j->e->format == SLM_DATA_KTO && !label_of(slm_example_field(j, "label"), &j->e->label))
        return slm_example_bad(j, SLM_LOSS_FIELDS, "label is neither true nor false");
    return slm_messages_check(j, list, j->e->n_prompt);
}

/* ---- preferences ---- */

/* Texts that begin with the same: what they share, without a blank at its end. */
static bool shared_text(struct example_job *j)
{
    size_t n, k, i = 0;
    const char *a = slm_example_text(j, "chosen", &n), *b = slm_example_text(j, "rejected", &k);
    if (!a || !b)
        return false;
    while (i < n && i < k && a[i] == b[i])
        i++;
    while (i && i < n && ((uint8_t)a[i] & 0xc0) == 0x80)
        i--;
    if (i && a[i - 1] == ' ')
        i--;
    if (!i)
        return slm_example_bad(j, SLM_LOSS_FIELDS,
                               "no prompt, and chosen and rejected share no beginning");
    return keep_plain(j, 0, a, i) && keep_plain(j, 1, a + i, n - i) &&
           keep_plain(j, 2, b + i, k - i) &&
           ((n > i && k > i) ||
            slm_example_bad(j, SLM_LOSS_EMPTY, "an empty answer: one begins with the other"));
}

static size_t shared_messages(const slm_json *a, const slm_json *b)
{
    size_t i = 0;
    while (i < slm_json_count(a) && i < slm_json_count(b) &&
           slm_json_same(slm_json_at(a, i), slm_json_at(b, i)))
        i++;
    return i;
}

/* One side: the prompt's messages, then the answer's, which may begin with the prompt again. */
static bool read_side(struct example_job *j, int side, bool *text)
{
    slm_json *list = j->e->messages[side] = new_list(j), *answer = new_list(j);
    const char *field = side ? "rejected" : "chosen";
    bool prompt = slm_example_field(j, "prompt") != NULL, question = true;
    bool ok = list && answer && (!prompt || part(j, list, "prompt", "user", &question)) &&
              slm_messages_system(j, list) && part(j, answer, field, "assistant", text);
    size_t n = ok ? slm_json_count(list) : 0, skip = 0;
    while (ok && skip < n && skip < slm_json_count(answer) &&
           slm_json_same(slm_json_at(list, skip), slm_json_at(answer, skip)))
        skip++;
    if (skip < n)
        skip = 0;
    for (size_t i = skip; ok && i < slm_json_count(answer); i++)
        if (!slm_json_push(list, slm_json_ref(slm_json_at(answer, i)))) {
            j->no_memory = true;
            ok = false;
        }
    slm_json_free(answer);
    *text &= question;
    j->e->n_prompt = n;
    return ok;
}

static bool read_preference(struct example_job *j)
{
    bool text[2] = {false, false}, prompt = slm_example_field(j, "prompt") != NULL;
    if (!read_side(j, 0, &text[0]) || !read_side(j, 1, &text[1]))
        return false;
    struct slm_example *e = j->e;
    if (text[0] != text[1])
        return slm_example_bad(j, SLM_LOSS_FIELDS,
                               "one of chosen and rejected is a text, the other is not");
    if (!prompt && text[0]) { /* turns cannot be told in a text */
        for (int i = 0; i < 2; i++) {
            slm_json_free(e->messages[i]);
            e->messages[i] = NULL;
        }
        e->n_prompt = 0;
        return shared_text(j);
    }
    if (text[0] &&
        !(plain_prompt(j) && keep_field(j, 1, "chosen") && keep_field(j, 2, "rejected")))
        return false;
    if (!prompt)
        e->n_prompt = shared_messages(e->messages[0], e->messages[1]);
    if (slm_json_same(e->messages[0], e->messages[1]))
        return slm_example_bad(j, SLM_LOSS_FIELDS, "chosen and rejected are the same");
    return slm_messages_check(j, e->messages[0], e->n_prompt) &&
           slm_messages_check(j, e->messages[1], e->n_prompt);
}

static bool read_text(struct example_job *j)
{
    size_t n;
    const char *s = slm_example_text(j, "text", &n);
    if (s && !n)
        return slm_example_bad(j, SLM_LOSS_EMPTY, "an empty text");
    return s && keep_plain(j, 1, s, n);
}

int slm_example_read(struct slm_example *e, slm_runtime *rt, const slm_json *row,
                     const struct slm_example_opts *o, slm_err *err)
{
    struct example_job j = {.rt = rt, .e = e, .row = row, .o = o};
    *e = (struct slm_example){.format = o->format, .label = 1};
    bool ok = o->format || find_format(&j);
    if (ok && !has_all(&j, formats[e->format].needs)) {
        char fields[100];
        name_fields(&j, fields, sizeof fields);
        ok = slm_example_bad(&j, SLM_LOSS_FIELDS, "fields %s: format %s needs %s", fields,
                             format_names[e->format], formats[e->format].needs);
    }
    if (ok && e->format != SLM_DATA_TEXT && e->format != SLM_DATA_ALPACA)
        ok = read_tools(&j);
    if (ok) {
        note_unused(&j);
        switch (e->format) {
        case SLM_DATA_MESSAGES: read_chat(&j, "messages"); break;
        case SLM_DATA_SHAREGPT: read_chat(&j, "conversations"); break;
        case SLM_DATA_ALPACA: read_alpaca(&j); break;
        case SLM_DATA_PROMPT:
        case SLM_DATA_KTO: read_prompt(&j); break;
        case SLM_DATA_PREFERENCE: read_preference(&j); break;
        default: read_text(&j);
        }
    }
    return j.no_memory ? slm_fail_mem(err, "a row", 1) : 0;
}

void slm_example_release(struct slm_example *e)
{
    slm_json *all[] = {e->messages[0], e->messages[1], e->tools,   e->vars,
                       e->plain[0],    e->plain[1],    e->plain[2]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        slm_json_free(all[i]);
    memset(e, 0, sizeof *e);
}

static const struct {
    const char *name, *words;
} losses[SLM_LOSS_COUNT] = {{"none", "kept"},
                            {"utf8", "not UTF-8"},
                            {"json", "not JSON, or no object"},
                            {"csv", "fields unlike the header's"},
                            {"fields", "fields of no known format"},
                            {"roles", "roles out of order"},
                            {"empty", "nothing to learn: an empty answer or text"},
                            {"template", "the chat template failed"},
                            {"dropped", "the chat template leaves text out"},
                            {"spans", "answers not to be told from the rest"},
                            {"long", "longer than the window"},
                            {"masked", "no token is learnt"}};

const char *slm_data_loss_name(int loss)
{
    return loss >= 0 && loss < SLM_LOSS_COUNT ? losses[loss].name : "?";
}

const char *slm_data_loss_words(int loss)
{
    return loss >= 0 && loss < SLM_LOSS_COUNT ? losses[loss].words : "?";
}
