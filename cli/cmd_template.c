/* slm template: chat templates rendered, for people and for checks from outside. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

struct args {
    struct slm_cli_common common;
    struct slm_cli_model_args model;
    const char *messages, *tools, *documents, *vars, *now;
    int no_prompt, continue_final, lines;
};

#define F(field) offsetof(struct args, field)
static const struct slm_cli_opt opts[] = {
    SLM_CLI_GROUP(slm_cli_model_opts, F(model), NULL),
    SLM_CLI_VALUE(OPT_FILE, 0, "messages", F(messages), "FILE",
                  "JSON list of messages; - is stdin"),
    SLM_CLI_VALUE(OPT_FILE, 0, "tools", F(tools), "FILE", "JSON list of tools"),
    SLM_CLI_VALUE(OPT_FILE, 0, "documents", F(documents), "FILE", "JSON list of documents"),
    SLM_CLI_VALUE(OPT_FILE, 0, "vars", F(vars), "FILE",
                  "JSON object of further variables, which win"),
    SLM_CLI_FLAG(0, "no-generation-prompt", F(no_prompt), "do not open the assistant's turn"),
    SLM_CLI_FLAG(0, "continue-final-message", F(continue_final), "leave the last message open"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "now", F(now), "TIME", "stop the clock at 2024-07-26T15:04:05"),
    SLM_CLI_FLAG(
        0, "lines", F(lines),
        "each line of stdin is an object with messages, tools, documents, "
        "add_generation_prompt, "
        "continue_final_message, vars, and, where MODEL is -, the template; each line out is "
        "{\"text\": ...} or {\"error\": ...}"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

/* A template, and the special tokens that its model sees it with. */
struct source {
    slm_template *own;
    slm_model *model;
    slm_tokenizer *vocab;
    const slm_template *t;
    struct slm_cli_buf specials; /* {"bos_token": ...} */
};

/* Days since 1970 of a date (after Howard Hinnant's description of the civil calendar). */
static int64_t days(int64_t y, int m, int d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

/* Digits as many as the form wants, between lo and hi, with `before` in front (0: nothing). */
static bool take_field(const char **s, char before, int digits, int lo, int hi, int *out)
{
    int v = 0;
    if (before && *(*s)++ != before)
        return false;
    for (int i = 0; i < digits; i++, (*s)++) {
        if (**s < '0' || **s > '9')
            return false;
        v = v * 10 + (**s - '0');
    }
    *out = v;
    return v >= lo && v <= hi;
}

static int parse_now(const char *text, int64_t *now, slm_err *err)
{
    int y = 0, mo = 0, d = 0, h = 0, mi = 0, sec = 0;
    const char *s = text;
    bool ok = take_field(&s, 0, 4, 0, 9999, &y) && take_field(&s, '-', 2, 1, 12, &mo)
           && take_field(&s, '-', 2, 1, 31, &d);
    if (ok && *s)
        ok = take_field(&s, *s == ' ' ? ' ' : 'T', 2, 0, 23, &h) &&
             take_field(&s, ':', 2, 0, 59, &mi) && take_field(&s, ':', 2, 0, 60, &sec) && !*s;
    if (!ok)
        return slm_cli_fail(err, SLM_E_ARG,
                            "--now: '%.40s' is not of the form 2024-07-26T15:04:05", text);
    *now = days(y, mo, d) * 86400 + h * 3600 + mi * 60 + sec;
    return 0;
}

static bool ends(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

static int open_text(struct slm_cli *c, struct source *s, const char *path, slm_err *err)
{
    struct slm_cli_buf src = {0};
    int code = slm_cli_read(&src, path, err);
    if (!code)
        code = slm_template_new(&s->own, c->rt, src.s, src.n, path, err);
    s->t = s->own;
    slm_cli_buf_free(&src);
    return code;
}

/* The template of a GGUF file that holds no model: its metadata alone. */
static int open_gguf_key(struct slm_cli *c, struct source *s, const char *path)
{
    slm_file *f = NULL;
    slm_text v = {0};
    slm_err err = {0};
    struct slm_cli_buf src = {0};
    int code = slm_file_open(&f, c->rt, path, &err);
    for (size_t i = 0; !code && i < slm_file_key_count(f); i++) {
        if (strcmp(slm_file_key_name(f, i), "tokenizer.chat_template") ||
            slm_file_key_value(f, i, 0, &v, &err))
            continue;
        struct slm_cli_reader r = {v.data, v.data + v.len};
        if (slm_jr_string(&r, &src) &&
            !slm_template_new(&s->own, c->rt, src.s, src.n, path, &err))
            s->t = s->own;
        break;
    }
    slm_cli_buf_free(&src);
    slm_text_release(&v);
    slm_file_close(&f);
    return s->t ? 0 : -1;
}

/* A model's template; where it is no whole model (a folder of tokenizer files, a GGUF without
 * tensors), the template that lies there. */
static int open_model(struct slm_cli *c, struct source *s, const char *path, slm_err *err)
{
    slm_err second = {0};
    const char *origin = NULL;
    char file[4096];
    int code = slm_model_open(&s->model, c->rt, path, NULL, err);
    if (!code) {
        s->t = slm_model_template(s->model, &origin);
        if (!s->t)
            return slm_cli_fail(err, SLM_E_NOTFOUND, "%s: no chat template (%s)", path,
                                origin ? origin : "none");
        slm_cli_say(c, "chat template: %s", origin);
        slm_cli_special_vars(&s->specials, slm_model_tokenizer(s->model));
        return 0;
    }
    snprintf(file, sizeof file, "%s/chat_template.jinja", path);
    if (slm_cli_is_dir(path) && slm_cli_exists(file))
        code = open_text(c, s, file, err);
    else if (!slm_cli_is_dir(path) && !open_gguf_key(c, s, path))
        code = 0;
    if (!code && !slm_tokenizer_open(&s->vocab, c->rt, path, &second))
        slm_cli_special_vars(&s->specials, s->vocab);
    return code;
}

static void close_source(struct source *s)
{
    slm_template_free(s->own);
    slm_tokenizer_close(&s->vocab);
    slm_model_close(&s->model);
    slm_cli_buf_free(&s->specials);
}

/* What a row says: its template and variables apart, the rest as JSON members. */
struct row {
    struct slm_cli_buf tpl, rest;
    struct slm_cli_reader vars; /* the object's text, p NULL: none */
    bool has_tpl, has_messages;
};

/* One member, whose key is read; from is where the key began. */
static bool read_member(struct slm_cli_reader *r, struct row *w, const char *key,
                        const char *from)
{
    slm_jr_space(r);
    const char *value = r->p;
    if (!strcmp(key, "template")) {
        w->tpl.n = 0;
        w->has_tpl = slm_jr_string(r, &w->tpl);
        return w->has_tpl;
    }
    if (!slm_jr_value(r))
        return false;
    if (!strcmp(key, "vars")) {
        if (*value == '{') /* null is none */
            w->vars = (struct slm_cli_reader){value, r->p};
        return true;
    }
    w->has_messages |= !strcmp(key, "messages");
    slm_cli_put(&w->rest, from, (size_t)(r->p - from));
    slm_cli_puts(&w->rest, ", ");
    return true;
}

static bool read_row(struct slm_cli_reader *r, struct row *w)
{
    struct slm_cli_buf key = {0};
    bool ok = slm_jr_char(r, '{');
    slm_cli_put(&w->rest, "", 0);
    for (bool more = ok && !slm_jr_char(r, '}'); ok && more;) {
        slm_jr_space(r);
        const char *from = r->p;
        key.n = 0;
        ok = slm_jr_string(r, &key) && slm_jr_char(r, ':') && read_member(r, w, key.s, from);
        more = ok && slm_jr_char(r, ',');
        ok = ok && (more || slm_jr_char(r, '}'));
    }
    slm_jr_space(r);
    slm_cli_buf_free(&key);
    return ok && r->p == r->end;
}

/* Has the object a member of this name? */
static bool has_member(struct slm_cli_reader r, const char *name)
{
    struct slm_cli_buf key = {0};
    bool found = false, ok = slm_jr_char(&r, '{');
    for (bool more = ok; ok && more && !found;) {
        key.n = 0;
        ok = slm_jr_string(&r, &key) && slm_jr_char(&r, ':') && slm_jr_value(&r);
        found = ok && !strcmp(key.s, name);
        more = ok && slm_jr_char(&r, ',');
    }
    slm_cli_buf_free(&key);
    return found;
}

/* The variables of the row and, where it does not name them, the model's special tokens. */
static void put_vars(struct slm_cli_buf *b, const struct source *s,
                     const struct slm_cli_reader *vars)
{
    struct slm_cli_reader r = slm_jr_of(&s->specials);
    struct slm_cli_buf key = {0};
    bool some = false, more = s->specials.n && slm_jr_char(&r, '{');
    slm_cli_puts(b, "{");
    while (more) {
        slm_jr_space(&r);
        const char *from = r.p;
        key.n = 0;
        more = slm_jr_string(&r, &key) && slm_jr_char(&r, ':') && slm_jr_value(&r);
        if (more && !(vars->p && has_member(*vars, key.s))) {
            slm_cli_puts(b, some ? ", " : "");
            slm_cli_put(b, from, (size_t)(r.p - from));
            some = true;
        }
        more = more && slm_jr_char(&r, ',');
    }
    slm_cli_buf_free(&key);
    if (vars->p) { /* its members, without the braces */
        struct slm_cli_reader v = {vars->p + 1, vars->end - 1};
        slm_jr_space(&v);
        slm_cli_puts(b, some && v.p < v.end ? ", " : "");
        slm_cli_put(b, v.p, (size_t)(v.end - v.p));
    }
    slm_cli_puts(b, "}");
}

/* Renders what a row says: with messages as a chat, without them its variables alone. */
static int render(struct slm_cli *c, const struct source *s, const struct row *w,
                  const slm_template_opts *o, slm_text *out, slm_err *err)
{
    slm_template *own = NULL;
    struct slm_cli_buf json = {0}, vars = {0};
    int code = 0;
    put_vars(&vars, s, &w->vars);
    if (!s->t && !w->has_tpl)
        code = slm_cli_fail(err, SLM_E_ARG, "the row brings no template");
    else if (!s->t)
        code = slm_template_new(&own, c->rt, w->tpl.s, w->tpl.n, "template", err);
    const slm_template *t = own ? own : s->t;
    if (!code && w->has_messages) {
        slm_cli_puts(&json, "{");
        slm_cli_put(&json, w->rest.s, w->rest.n);
        slm_cli_puts(&json, "\"vars\": ");
        slm_cli_put(&json, vars.s, vars.n);
        slm_cli_puts(&json, "}");
        code = slm_template_chat(t, json.s, json.n, o, out, err);
    } else if (!code) {
        code = slm_template_render(t, vars.s, vars.n, o, out, err);
    }
    slm_template_free(own);
    slm_cli_buf_free(&json);
    slm_cli_buf_free(&vars);
    return code;
}

static int render_row(struct slm_cli *c, const struct source *s, const struct slm_cli_buf *line,
                      const slm_template_opts *o, slm_text *out, slm_err *err)
{
    struct slm_cli_reader r = slm_jr_of(line);
    struct row w = {0};
    int code = 0;
    if (!read_row(&r, &w))
        code = slm_cli_fail(err, SLM_E_FORMAT, "the row is no JSON object");
    else
        code = render(c, s, &w, o, out, err);
    slm_cli_buf_free(&w.tpl);
    slm_cli_buf_free(&w.rest);
    return code;
}

static void one_line(struct slm_cli *c, const struct source *s, const struct slm_cli_buf *line,
                     const slm_template_opts *o)
{
    slm_text out = {0};
    slm_err err = {0};
    struct slm_cli_json j = {.f = stdout};
    int code = render_row(c, s, line, o, &out, &err);
    slm_js_open(&j, '{');
    slm_js_key(&j, code ? "error" : "text");
    if (code)
        slm_js_str(&j, err.msg, strlen(err.msg));
    else
        slm_js_str(&j, out.data ? out.data : "", out.len);
    slm_js_close(&j, '}');
    slm_text_release(&out);
}

/* "key": what the file holds, which must be one JSON value. */
static int put_file(struct slm_cli_buf *b, const char *key, const char *path, slm_err *err)
{
    struct slm_cli_buf text = {0};
    if (!path)
        return 0;
    int code = slm_cli_read(&text, path, err);
    struct slm_cli_reader r = slm_jr_of(&text);
    if (!code) {
        bool ok = slm_jr_value(&r);
        slm_jr_space(&r);
        if (!ok || r.p != r.end)
            code = slm_cli_fail(err, SLM_E_FORMAT, "%s: no JSON", path);
    }
    if (!code) {
        slm_cli_putf(b, "%s\"%s\": ", b->n > 1 ? ", " : "", key);
        slm_cli_put(b, text.s, text.n);
    }
    slm_cli_buf_free(&text);
    return code;
}

static int once(struct slm_cli *c, const struct args *a, const struct source *s,
                const slm_template_opts *o, slm_err *err)
{
    struct slm_cli_buf json = {0};
    slm_text out = {0};
    if (!a->messages)
        return slm_cli_fail(err, SLM_E_ARG, "--messages FILE is missing");
    slm_cli_puts(&json, "{");
    int code = put_file(&json, "messages", a->messages, err);
    if (!code)
        code = put_file(&json, "tools", a->tools, err);
    if (!code)
        code = put_file(&json, "documents", a->documents, err);
    if (!code)
        code = put_file(&json, "vars", a->vars, err);
    slm_cli_putf(&json, ", \"add_generation_prompt\": %s, \"continue_final_message\": %s}",
                 a->no_prompt || a->continue_final ? "false" : "true",
                 a->continue_final ? "true" : "false");
    if (!code)
        code = render_row(c, s, &json, o, &out, err);
    if (!code && a->common.json) {
        struct slm_cli_json j = {.f = stdout};
        slm_js_open(&j, '{');
        slm_js_key(&j, "text");
        slm_js_str(&j, out.data ? out.data : "", out.len);
        slm_js_close(&j, '}');
    } else if (!code) {
        fwrite(out.data ? out.data : "", 1, out.len, stdout);
    }
    slm_cli_buf_free(&json);
    slm_text_release(&out);
    return code;
}

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    const struct args *a = p;
    struct source s = {0};
    slm_template_opts o;
    const char *path;
    slm_template_opts_init(&o);
    int code = slm_cli_model_path(c, &a->model, &path, err);
    if (!code && a->now)
        code = parse_now(a->now, &o.now, err);
    if (!code)
        code = slm_cli_runtime(c, err);
    if (!code && !strcmp(path, "-") && !a->lines)
        code = slm_cli_fail(err, SLM_E_ARG,
                            "MODEL - goes with --lines: each line brings its template");
    else if (!code && (ends(path, ".jinja") || ends(path, ".jinja2") || ends(path, ".j2")))
        code = open_text(c, &s, path, err);
    else if (!code && strcmp(path, "-") != 0)
        code = open_model(c, &s, path, err);
    if (!code && !a->lines)
        code = once(c, a, &s, &o, err);
    struct slm_cli_buf line = {0};
    while (!code && a->lines && slm_cli_line(stdin, &line))
        one_line(c, &s, &line, &o);
    slm_cli_buf_free(&line);
    close_source(&s);
    return code;
}

extern const struct slm_cli_command slm_cmd_template;
const struct slm_cli_command slm_cmd_template = {
    .name = "template",
    .run = run,
    .args = "MODEL",
    .summary = "render a chat template",
    .about = "Renders the chat template of MODEL with the messages of a JSON file, as "
             "Transformers would, and writes "
             "the bytes to stdout. MODEL may also be a .jinja file.",
    .examples = "slm template model.gguf --messages chat.json\n"
                "slm template chat.jinja --messages chat.json --tools tools.json --now "
                "2024-07-26T15:04:05",
    .opts = opts,
    .size = sizeof(struct args),
    .model = 1,
};
