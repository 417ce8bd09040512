/* Examples to text, through the model's own chat template: the engine that serves. What of the
 * text the model is to say is told while rendering, by the message whose turn wrote it, never
 * by looking for ids or words afterwards: an answer is what follows the generation prompt, as
 * that is what the model will be given, up to where the message's turn ends. */
#include "data/render.h"

#include <stdio.h>
#include <string.h>

static const char *const train_names[SLM_TRAIN_COUNT] = {"auto", "assistant", "last",
                                                         "completion", "all"};

const char *slm_train_on_name(int what)
{
    return what >= 0 && what < SLM_TRAIN_COUNT ? train_names[what] : NULL;
}

int slm_train_on_find(const char *name)
{
    for (int i = 0; i < SLM_TRAIN_COUNT; i++)
        if (!strcmp(train_names[i], name))
            return i;
    return -1;
}

void slm_rendering_init(struct rendering *x, slm_runtime *rt)
{
    *x = (struct rendering){.rt = rt};
    slm_buf_init(&x->text, rt, SLM_MEM_DATA, (size_t)1 << 29);
}

void slm_rendering_release(struct rendering *x)
{
    slm_buf_release(&x->text);
    if (x->rt)
        slm_free(x->rt, x->part);
    *x = (struct rendering){0};
}

static int add_part(struct rendering *x, size_t from, size_t to, slm_err *err)
{
    if (slm_grow(x->rt, SLM_MEM_DATA, (void **)&x->part, x->n, &x->cap, sizeof *x->part))
        return slm_fail_mem(err, "parts of a text", x->n);
    x->part[x->n++] = (struct learnt){from, to};
    return 0;
}

static int lost(struct slm_example *e, enum slm_data_loss loss, const char *why)
{
    if (!e->loss)
        snprintf(e->why, sizeof e->why, "%.190s", why);
    e->loss = e->loss ? e->loss : loss;
    return 0;
}

/* ---- rendering a conversation or its beginning ---- */

struct chat {
    const struct renderer *r;
    struct slm_example *e;
    const slm_json *messages;
    size_t n;
    slm_text text; /* of the whole */
    slm_template_spans spans;
    slm_text prompt; /* of the messages before the first answer, with the generation prompt */
    size_t opening;  /* where in it that begins; SIZE_MAX: cannot be told */
    size_t gap;      /* blanks before its turn that are not the prompt's: the answer's own */
    size_t first;    /* that answer; SIZE_MAX: prompt not rendered */
};

static bool ends_open(const struct slm_buf *b) { return b->n && b->s[b->n - 1] == '{'; }

static void put_special(struct slm_buf *b, const slm_tokenizer *t, const char *key, int32_t id)
{
    size_t n;
    const char *piece = id >= 0 ? slm_tokenizer_piece(t, id, &n) : NULL;
    if (!piece)
        return;
    slm_buf_printf(b, "%s\"%s\":", ends_open(b) ? "" : ",", key);
    slm_buf_put_json(b, piece, n);
}

static void put_request(const struct chat *c, struct slm_buf *b, size_t n, bool prompt)
{
    const slm_tokenizer *t = c->r->tok;
    slm_buf_puts(b, "{\"messages\":[");
    for (size_t i = 0; i < n; i++) {
        if (i)
            slm_buf_putc(b, ',');
        slm_json_put(b, slm_json_at(c->messages, i));
    }
    slm_buf_puts(b, prompt ? "],\"add_generation_prompt\":true" : "]");
    if (c->e->tools) {
        slm_buf_puts(b, ",\"tools\":");
        slm_json_put(b, c->e->tools);
    }
    slm_buf_puts(b, ",\"vars\":{");
    put_special(b, t, "bos_token", slm_tokenizer_bos(t));
    put_special(b, t, "eos_token", slm_tokenizer_eos(t));
    for (void *it = slm_json_first(c->e->vars); it; it = slm_json_next(c->e->vars, it)) {
        size_t len;
        const char *key = slm_json_key(it, &len);
        if (!strcmp(key, "bos_token") || !strcmp(key, "eos_token"))
            continue;
        slm_buf_puts(b, ends_open(b) ? "" : ",");
        slm_buf_put_json(b, key, len);
        slm_buf_putc(b, ':');
        slm_json_put(b, slm_json_value(it));
    }
    slm_buf_puts(b, "}}");
}

/* The first n messages; spans may be NULL. */
static int render(const struct chat *c, size_t n, bool prompt, slm_text *out,
                  slm_template_spans *spans, slm_err *err)
{
    struct slm_buf b;
    slm_template_opts o;
    slm_buf_init(&b, c->r->rt, SLM_MEM_DATA, (size_t)1 << 29);
    put_request(c, &b, n, prompt);
    slm_template_opts_init(&o);
    o.now = c->r->now;
    int rc = slm_buf_check(&b, "a conversation", err);
    rc = rc ? rc : slm_template_chat_spans(c->r->tmpl, b.s, b.n, &o, out, spans, err);
    slm_buf_release(&b);
    return rc;
}

static bool begins(const slm_text *s, size_t at, const char *with, size_t n)
{
    return at <= s->len && n <= s->len - at && (!n || !memcmp(s->data + at, with, n));
}

/* What the template puts out to have message i said: the prompt whole in *text, and where the
 * addition begins. SIZE_MAX where it cannot be rendered alone. */
static int opening(const struct chat *c, size_t i, slm_text *text, size_t *at, slm_err *err)
{
    slm_text without = {0};
    slm_err own;
    *at = SIZE_MAX;
    int rc = render(c, i, true, text, NULL, &own);
    if (!rc)
        rc = render(c, i, false, &without, NULL, &own);
    if (!rc && begins(text, 0, without.data, without.len))
        *at = without.len;
    slm_text_release(&without);
    if (rc == SLM_E_NOMEM)
        *err = own;
    return rc == SLM_E_NOMEM ? rc : 0;
}

static bool space(char ch) { return ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r'; }

/* The one stretch that a pass over message i put out. */
static bool turn_of(const struct chat *c, size_t i, struct learnt *out)
{
    bool found = false;
    for (size_t k = 0; k < c->spans.n; k++) {
        const slm_template_span *s = &c->spans.v[k];
        size_t at = s->from;
        if (s->message != (int)i || s->from == SIZE_MAX)
            continue;
        while (at < s->to && space(c->text.data[at]))
            at++;
        if (at == s->to)
            continue; /* a pass that looked only */
        if (found)
            return false;
        found = true;
        *out = (struct learnt){s->from, s->to};
    }
    return found;
}

/* The message's text without blanks around. */
static const char *content_of(const slm_json *m, size_t *n)
{
    const char *s = slm_json_str(slm_json_find(m, "content"), n);
    while (s && *n && space(*s)) {
        s++;
        --*n;
    }
    while (s && *n && space(s[*n - 1]))
        --*n;
    return s;
}

static bool blank(const slm_text *t, size_t from, size_t to)
{
    while (from < to && space(t->data[from]))
        from++;
    return from >= to;
}

/* Behind blanks and empty marks of thoughts. */
static size_t skip_thoughts(const slm_text *t, size_t at, size_t end)
{
    static const char *const marks[] = {"<think>", "</think>", "[THINK]", "[/THINK]"};
    for (size_t was = SIZE_MAX; was != at;) {
        was = at;
        while (at < end && space(t->data[at]))
            at++;
        for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
            if (begins(t, at, marks[i], strlen(marks[i])))
                at += strlen(marks[i]);
    }
    return at;
}

/* Where the answer begins within its turn, by a prompt that ends in a generation prompt. */
static bool behind_opening(const struct chat *c, struct learnt turn, const slm_text *prompt,
                           size_t at, size_t i, size_t *from)
{
    size_t n = at == SIZE_MAX ? 0 : prompt->len - at, same = 0, k;
    if (at == SIZE_MAX)
        return false;
    if (begins(&c->text, turn.from, prompt->data + at, n) && turn.from + n <= turn.to) {
        *from = turn.from + n;
        return true;
    }
    /* a prompt that says more than what the template writes of an answer without thoughts
     * ("<think>"): the answer begins behind what both say whole, if nothing but marks of
     * thoughts stands before its text there */
    while (same < n && turn.from + same < turn.to &&
           c->text.data[turn.from + same] == prompt->data[at + same])
        same++;
    while (same && c->text.data[turn.from + same - 1] != '>' &&
           c->text.data[turn.from + same - 1] != ']' &&
           !space(c->text.data[turn.from + same - 1]))
        same--;
    const char *s = content_of(slm_json_at(c->messages, i), &k);
    *from = turn.from + same;
    return same && k && begins(&c->text, skip_thoughts(&c->text, *from, turn.to), s, k);
}

/* By whole prefixes: the text before message i with the generation prompt, and behind it. */
static int by_prefix(const struct chat *c, size_t i, const slm_text *prompt, struct learnt *out,
                     bool *ok, slm_err *err)
{
    slm_text behind = {0};
    slm_err own;
    *ok = false;
    if (!prompt->len || !begins(&c->text, 0, prompt->data, prompt->len))
        return 0;
    out->from = prompt->len;
    out->to = c->text.len;
    *ok = i + 1 == c->n;
    if (*ok)
        return 0;
    int rc = render(c, i + 1, false, &behind, NULL, &own);
    *ok = !rc && begins(&c->text, 0, behind.data, behind.len) && behind.len >= out->from;
    out->to = behind.len;
    slm_text_release(&behind);
    if (rc == SLM_E_NOMEM)
        *err = own;
    return rc == SLM_E_NOMEM ? rc : 0;
}

static int locate(struct chat *c, size_t i, struct learnt *out, slm_err *err)
{
    struct learnt turn = {0};
    bool ok = false, have = turn_of(c, i, &turn);
    int rc = 0;
    if (c->first == SIZE_MAX) {
        rc = opening(c, i, &c->prompt, &c->opening, err);
        c->first = i;
    }
    slm_text own = {0};
    const slm_text *prompt = &c->prompt;
    size_t at = c->opening;
    if (!rc && have && c->first == i && begins(&c->text, 0, prompt->data, prompt->len) &&
        prompt->len <= turn.to && blank(&c->text, prompt->len, turn.from)) {
        c->gap = prompt->len < turn.from ? turn.from - prompt->len : 0;
        *out = (struct learnt){prompt->len, turn.to};
        return 0;
    }
    ok = !rc && have && behind_opening(c, turn, prompt, at, i, &out->from);
    if (ok && out->from == turn.from && c->gap <= turn.from &&
        blank(&c->text, turn.from - c->gap, turn.from))
        out->from -= c->gap;
    if (!rc && !ok && c->first != i) { /* another prompt than the first answer's */
        rc = opening(c, i, &own, &at, err);
        prompt = &own;
        ok = !rc && have && behind_opening(c, turn, prompt, at, i, &out->from);
        if (!rc && !ok && have && own.len >= turn.from && own.len <= turn.to &&
            begins(&c->text, 0, own.data, own.len)) {
            out->from = own.len;
            ok = true;
        }
    }
    if (ok)
        out->to = turn.to;
    else if (!rc)
        rc = by_prefix(c, i, prompt, out, &ok, err);
    slm_text_release(&own);
    if (!rc && !ok) {
        char why[120];
        snprintf(why, sizeof why,
                 "which part of the rendered text is message %zu cannot be told", i + 1);
        lost(c->e, SLM_LOSS_SPANS, why);
    }
    return rc;
}

/* ---- what is learnt ---- */

static bool is_answer(const slm_json *m)
{
    const char *role = slm_json_str(slm_json_find(m, "role"), NULL);
    return role && !strcmp(role, "assistant");
}

static int blocks(struct chat *c, bool last, struct rendering *to, slm_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < c->spans.n && !rc; i++) {
        const slm_template_span *s = &c->spans.v[i];
        if (s->message >= 0)
            continue;
        if (s->from == SIZE_MAX)
            return lost(c->e, SLM_LOSS_SPANS,
                        "a generation block inside of what the template works on further");
        to->n = last ? 0 : to->n;
        rc = add_part(to, s->from, s->to, err);
    }
    return rc;
}

static int answers(struct chat *c, bool last, struct rendering *to, slm_err *err)
{
    int rc = 0;
    size_t i = c->e->n_prompt, floor = 0;
    for (size_t k = i; last && k < c->n; k++)
        if (is_answer(slm_json_at(c->messages, k)))
            i = k;
    for (; i < c->n && !rc && !c->e->loss; i++) {
        struct learnt part = {0};
        const slm_json *m = slm_json_at(c->messages, i);
        if (!is_answer(m) || !slm_message_counts(m))
            continue;
        rc = locate(c, i, &part, err);
        if (rc || c->e->loss)
            return rc;
        if (part.from < floor || part.to < part.from || part.to > c->text.len)
            return lost(c->e, SLM_LOSS_SPANS, "answers overlap in the rendered text");
        floor = part.to;
        rc = add_part(to, part.from, part.to, err);
    }
    return rc;
}

/* ---- nothing may be left out ---- */

static bool there(const slm_text *text, const char *s, size_t n)
{
    return !n || memmem(text->data, text->len, s, n);
}

/* As it stands in JSON: how some templates show what tools say. */
static bool there_as_json(const struct chat *c, const char *s, size_t n)
{
    struct slm_buf b;
    slm_buf_init(&b, c->r->rt, SLM_MEM_DATA, (size_t)1 << 29);
    slm_buf_put_json(&b, s, n);
    bool ok = !b.failed && there(&c->text, b.s + 1, b.n - 2);
    slm_buf_release(&b);
    return ok;
}

static bool shows_message(const struct chat *c, const slm_json *m)
{
    size_t n, k;
    const char *s = content_of(m, &n), *tail;
    if (s && !there(&c->text, s, n) && !there_as_json(c, s, n)) {
        /* thoughts before the answer may go */
        tail = memmem(s, n, "</think>", 8);
        k = tail ? n - (size_t)(tail + 8 - s) : 0;
        for (tail = tail ? tail + 8 : NULL; k && space(*tail); k--)
            tail++;
        if (!k || !there(&c->text, tail, k))
            return false;
    }
    const slm_json *calls = slm_json_find(m, "tool_calls");
    for (size_t i = 0; i < slm_json_count(calls); i++) {
        const slm_json *call = slm_json_at(calls, i), *f = slm_json_find(call, "function");
        s = slm_json_str(slm_json_find(f ? f : call, "name"), &n);
        if (s && !there(&c->text, s, n))
            return false;
    }
    return true;
}

static int check_shown(const struct chat *c)
{
    char why[120];
    for (size_t i = 0; i < c->n; i++) {
        const slm_json *m = slm_json_at(c->messages, i);
        if (shows_message(c, m))
            continue;
        snprintf(why, sizeof why, "message %zu (%s) is not in what the template renders", i + 1,
                 slm_json_str(slm_json_find(m, "role"), NULL));
        return lost(c->e, SLM_LOSS_DROPPED, why);
    }
    for (size_t i = 0; i < slm_json_count(c->e->tools); i++) {
        const slm_json *t = slm_json_at(c->e->tools, i), *f = slm_json_find(t, "function");
        size_t n;
        const char *s = slm_json_str(slm_json_find(f ? f : t, "name"), &n);
        if (s && !there(&c->text, s, n)) {
            snprintf(why, sizeof why, "tool %zu (%.40s) is not in what the template renders",
                     i + 1, s);
            return lost(c->e, SLM_LOSS_DROPPED, why);
        }
    }
    return 0;
}

static int render_chat(const struct renderer *r, struct slm_example *e, int side,
                       struct rendering *to, slm_err *err)
{
    struct chat c = {.r = r,
                     .e = e,
                     .messages = e->messages[side],
                     .n = slm_json_count(e->messages[side]),
                     .first = SIZE_MAX};
    slm_err why = {0};
    bool last =
        r->train_on == SLM_TRAIN_LAST || (r->train_on == SLM_TRAIN_COMPLETION && !e->n_prompt);
    int rc = render(&c, c.n, false, &c.text, &c.spans, &why);
    to->chat = true;
    if (rc == SLM_E_NOMEM)
        *err = why;
    else if (rc)
        rc = lost(e, SLM_LOSS_TEMPLATE, why.msg);
    else
        rc = check_shown(&c);
    if (!rc && !e->loss && r->train_on == SLM_TRAIN_ALL)
        rc = add_part(to, 0, c.text.len, err);
    else if (!rc && !e->loss)
        rc = slm_template_marks_generation(r->tmpl) ? blocks(&c, last, to, err)
                                                    : answers(&c, last, to, err);
    slm_buf_put(&to->text, c.text.data ? c.text.data : "", c.text.len);
    slm_text_release(&c.text);
    slm_text_release(&c.prompt);
    slm_template_spans_release(&c.spans);
    return rc ? rc : slm_buf_check(&to->text, "a conversation", err);
}

static int render_plain(const struct renderer *r, struct slm_example *e, int side,
                        struct rendering *to, slm_err *err)
{
    const slm_json *part[2] = {e->plain[0], e->plain[side ? 2 : 1]};
    size_t n;
    if (!part[1])
        return lost(e, SLM_LOSS_TEMPLATE,
                    e->messages[0] ? "a conversation needs a chat template" : "no text");
    for (int i = 0; i < 2; i++) {
        const char *s = slm_json_str(part[i], &n);
        slm_buf_put(&to->text, s ? s : "", s ? n : 0);
    }
    const char *s = slm_json_str(part[0], &n);
    bool all = r->train_on == SLM_TRAIN_ALL || e->format == SLM_DATA_TEXT;
    int rc = add_part(to, all || !s ? 0 : n, to->text.n, err);
    return rc ? rc : slm_buf_check(&to->text, "a text", err);
}

int slm_render(const struct renderer *r, struct slm_example *e, int side, struct rendering *to,
               slm_err *err)
{
    slm_buf_reset(&to->text);
    to->n = 0;
    to->chat = false;
    bool chat = r->tmpl && e->messages[side] && e->format != SLM_DATA_TEXT;
    return chat ? render_chat(r, e, side, to, err) : render_plain(r, e, side, to, err);
}
