/* A conversation: its messages, the JSON that a chat template takes, and the ids that come of
 * it. A model without a template gets the texts one after the other, to be continued. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

static char *copy(const char *s, size_t n)
{
    char *p = slm_cli_realloc(NULL, n + 1);
    memcpy(p, s, n);
    p[n] = 0;
    return p;
}

int slm_cli_template_named(struct slm_cli *c, const char *name, slm_template **out,
                           struct slm_cli_buf *source, slm_err *err)
{
    const char *builtin = slm_template_builtin(name);
    int code = 0;
    if (builtin)
        slm_cli_puts(source, builtin);
    else if (slm_cli_exists(name))
        code = slm_cli_read(source, name, err);
    else
        code = slm_cli_fail(err, SLM_E_NOTFOUND,
                            "--template: %s is neither a file nor a built-in template", name);
    return code
               ? code
               : slm_template_new(out, c->rt, source->s ? source->s : "", source->n, name, err);
}

static int own_template(struct slm_cli_chat *h, struct slm_cli *c, const char *name,
                        slm_err *err)
{
    struct slm_cli_buf source = {0};
    int code = slm_cli_template_named(c, name, &h->own, &source, err);
    slm_cli_buf_free(&source);
    h->tpl = h->own;
    h->origin = name;
    return code;
}

int slm_cli_chat_open(struct slm_cli_chat *h, struct slm_cli *c, const slm_model *m,
                      const char *tpl, slm_err *err)
{
    int code = 0;
    *h = (struct slm_cli_chat){.model = m, .origin = "none"};
    if (tpl && strcmp(tpl, "none") != 0)
        code = own_template(h, c, tpl, err);
    else if (!tpl) /* a base model has its family's template too, but was not made to chat */
        h->tpl = slm_model_template(m, &h->origin);
    if (code)
        return code;
    if (h->tpl && !h->own && !slm_model_chats(m)) {
        slm_cli_say(c, "not made for chat: the text is continued (%s; --template NAME chats)",
                    h->origin);
        h->tpl = NULL;
    } else if (h->tpl) {
        slm_cli_say(c, "chat template: %s", h->origin ? h->origin : "the model's");
    } else {
        slm_cli_say(c, "no chat template (%s): the text is continued", h->origin);
    }
    return 0;
}

static void free_messages(struct slm_cli_chat *h, int from, int n)
{
    for (int i = from; i < from + n; i++) {
        free(h->msg[i].role);
        free(h->msg[i].content);
    }
    memmove(h->msg + from, h->msg + from + n, (size_t)(h->n - from - n) * sizeof *h->msg);
    h->n -= n;
}

void slm_cli_chat_clear(struct slm_cli_chat *h)
{
    if (h->n)
        free_messages(h, 0, h->n);
}

void slm_cli_chat_close(struct slm_cli_chat *h)
{
    slm_cli_chat_clear(h);
    slm_template_free(h->own);
    free(h->msg);
    free(h->system);
    *h = (struct slm_cli_chat){0};
}

void slm_cli_chat_system(struct slm_cli_chat *h, const char *text)
{
    free(h->system);
    h->system = text && *text ? copy(text, strlen(text)) : NULL;
}

void slm_cli_chat_add(struct slm_cli_chat *h, const char *role, const char *content, size_t n)
{
    if (h->n == h->cap) {
        h->cap = h->cap ? h->cap * 2 : 16;
        h->msg = slm_cli_realloc(h->msg, (size_t)h->cap * sizeof *h->msg);
    }
    h->msg[h->n++] = (struct slm_cli_message){copy(role, strlen(role)), copy(content, n)};
}

void slm_cli_chat_pop(struct slm_cli_chat *h)
{
    if (h->n)
        free_messages(h, h->n - 1, 1);
}

void slm_cli_chat_drop_oldest(struct slm_cli_chat *h)
{
    int n = 1;
    while (n < h->n && strcmp(h->msg[n].role, "user") != 0)
        n++;
    if (h->n)
        free_messages(h, 0, n);
}

static void put_message(struct slm_cli_buf *b, const char *role, const char *content)
{
    slm_cli_puts(b, "{\"role\": ");
    slm_js_quote(b, role, strlen(role));
    slm_cli_puts(b, ", \"content\": ");
    slm_js_quote(b, content, strlen(content));
    slm_cli_puts(b, "}");
}

static void put_messages(struct slm_cli_buf *b, const struct slm_cli_chat *h,
                         const char *between)
{
    bool some = false;
    slm_cli_puts(b, "[");
    if (h->system) {
        put_message(b, "system", h->system);
        some = true;
    }
    for (int i = 0; i < h->n; i++) {
        slm_cli_puts(b, some ? between : "");
        put_message(b, h->msg[i].role, h->msg[i].content);
        some = true;
    }
    slm_cli_puts(b, "]");
}

void slm_cli_special_vars(struct slm_cli_buf *b, const slm_tokenizer *t)
{
    const struct {
        const char *key;
        int32_t id;
    } v[] = {{"bos_token", t ? slm_tokenizer_bos(t) : -1},
             {"eos_token", t ? slm_tokenizer_eos(t) : -1}};
    bool some = false;
    slm_cli_puts(b, "{");
    for (int i = 0; i < 2; i++) {
        size_t n = 0;
        const char *piece = v[i].id >= 0 ? slm_tokenizer_piece(t, v[i].id, &n) : NULL;
        if (!piece)
            continue;
        slm_cli_putf(b, "%s\"%s\": ", some ? ", " : "", v[i].key);
        slm_js_quote(b, piece, n);
        some = true;
    }
    slm_cli_puts(b, "}");
}

static int render_ids(struct slm_cli_chat *h, slm_ids *out, slm_err *err)
{
    struct slm_cli_buf b = {0};
    slm_text text = {0};
    slm_template_opts o;
    slm_template_opts_init(&o);
    slm_cli_puts(&b, "{\"messages\": ");
    put_messages(&b, h, ", ");
    slm_cli_puts(&b, ", \"add_generation_prompt\": true, \"vars\": ");
    slm_cli_special_vars(&b, slm_model_tokenizer(h->model));
    slm_cli_puts(&b, "}");
    int code = slm_template_chat(h->tpl, b.s, b.n, &o, &text, err);
    if (!code) /* the template writes what the tokenizer would put before the text */
        code = slm_cli_encode(h->model, text.data ? text.data : "", text.len,
                              SLM_ENCODE_SPECIAL, out, err);
    slm_cli_buf_free(&b);
    slm_text_release(&text);
    return code;
}

int slm_cli_chat_ids(struct slm_cli_chat *h, struct slm_cli *c, slm_ids *out, slm_err *err)
{
    (void)c;
    out->len = 0;
    if (h->tpl)
        return render_ids(h, out, err);
    struct slm_cli_buf b = {0};
    slm_cli_puts(&b, h->system ? h->system : "");
    for (int i = 0; i < h->n; i++) {
        bool glued = b.n && b.s[b.n - 1] != ' ' && b.s[b.n - 1] != '\n';
        if (glued && !strcmp(h->msg[i].role, "user"))
            slm_cli_puts(&b, "\n");
        slm_cli_puts(&b, h->msg[i].content);
    }
    int code = slm_cli_encode(h->model, b.s, b.n, SLM_ENCODE_AFFIXES, out, err);
    slm_cli_buf_free(&b);
    const slm_tokenizer *t = slm_model_tokenizer(h->model);
    /* an end of text that the tokenizer appends would be the end of what is to be continued */
    while (!code && out->len > 1 && slm_tokenizer_adds_eos(t) &&
           out->data[out->len - 1] == slm_tokenizer_eos(t))
        out->len--;
    return code;
}

int slm_cli_chat_save(const struct slm_cli_chat *h, const char *path, slm_err *err)
{
    struct slm_cli_buf b = {0};
    struct slm_cli_out o;
    put_messages(&b, h, ",\n ");
    slm_cli_puts(&b, "\n");
    int code = slm_cli_out_open(&o, path, err);
    if (!code)
        code = slm_cli_out_write(&o, b.s, b.n, err);
    if (!code)
        code = slm_cli_out_commit(&o, err);
    slm_cli_out_close(&o);
    slm_cli_buf_free(&b);
    return code;
}

/* One {"role": ..., "content": ...}; other members are skipped. */
static bool read_message(struct slm_cli_reader *r, struct slm_cli_buf *role,
                         struct slm_cli_buf *content)
{
    struct slm_cli_buf key = {0};
    bool ok = slm_jr_char(r, '{');
    role->n = content->n = 0;
    for (bool more = ok; ok && more;) {
        key.n = 0;
        ok = slm_jr_string(r, &key) && slm_jr_char(r, ':');
        if (ok && !strcmp(key.s, "role"))
            ok = slm_jr_string(r, role);
        else if (ok && !strcmp(key.s, "content"))
            ok = slm_jr_string(r, content);
        else if (ok)
            ok = slm_jr_value(r);
        more = ok && slm_jr_char(r, ',');
    }
    ok = ok && slm_jr_char(r, '}') && role->n;
    slm_cli_buf_free(&key);
    return ok;
}

int slm_cli_chat_load(struct slm_cli_chat *h, const char *path, slm_err *err)
{
    struct slm_cli_buf text = {0}, role = {0}, content = {0};
    struct slm_cli_chat fresh = {0};
    int code = slm_cli_read(&text, path, err);
    struct slm_cli_reader r = slm_jr_of(&text);
    bool ok = !code && slm_jr_char(&r, '[');
    for (bool more = ok && !slm_jr_char(&r, ']'); ok && more;) {
        slm_cli_put(&content, "", 0);
        ok = read_message(&r, &role, &content);
        if (ok && !strcmp(role.s, "system") && !fresh.n)
            slm_cli_chat_system(&fresh, content.s);
        else if (ok)
            slm_cli_chat_add(&fresh, role.s, content.s, content.n);
        more = ok && slm_jr_char(&r, ',');
        ok = ok && (more || slm_jr_char(&r, ']'));
    }
    if (!code && !ok)
        code = slm_cli_fail(err, SLM_E_FORMAT, "%s: no list of messages with role and content",
                            path);
    if (!code) {
        slm_cli_chat_clear(h);
        free(h->msg);
        free(h->system);
        h->msg = fresh.msg;
        h->n = fresh.n;
        h->cap = fresh.cap;
        h->system = fresh.system;
    } else {
        slm_cli_chat_close(&fresh);
    }
    slm_cli_buf_free(&text);
    slm_cli_buf_free(&role);
    slm_cli_buf_free(&content);
    return code;
}
