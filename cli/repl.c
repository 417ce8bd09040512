/* The interactive chat: lines, triple quotes for many, and commands that begin with a slash.
 * Ctrl-C ends an answer, not the program; an answer cut short stays in the conversation. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

static const char help_text[] =
    "/set system TEXT         what the model is told first (empty: nothing)\n"
    "/set parameter NAME V    a sampling option: temp, top_k, top_p, seed ...; num_predict: "
    "tokens an answer\n"
    "/set verbose | quiet     figures after each answer, or not\n"
    "/show info | parameters | system | template | messages\n"
    "/save FILE, /load FILE   the conversation, as JSON\n"
    "/clear                   forget the conversation\n"
    "/bye                     leave (or Ctrl-D)\n"
    "\"\"\" begins and ends a text of many lines. Ctrl-C stops an answer.\n";

static const char *skip(const char *s)
{
    while (*s == ' ' || *s == '\t')
        s++;
    return s;
}

/* Is the line this word, alone or with more behind it? *rest gets what follows. */
static bool is_word(const char *line, const char *word, const char **rest)
{
    size_t n = strlen(word);
    if (strncmp(line, word, n) || (line[n] && line[n] != ' ' && line[n] != '\t'))
        return false;
    *rest = skip(line + n);
    return true;
}

static int set_parameter(struct slm_cli_talk *t, const char *rest, slm_err *err)
{
    char name[64];
    size_t n = strcspn(rest, " \t");
    const char *value = skip(rest + n);
    if (!n || n >= sizeof name || !*value)
        return slm_cli_fail(err, SLM_E_ARG, "/set parameter NAME VALUE");
    memcpy(name, rest, n);
    name[n] = 0;
    if (!strcmp(name, "num_predict") || !strcmp(name, "n")) {
        int64_t v;
        int code = slm_cli_int(value, name, -1, 1 << 30, &v, err);
        t->a->n = code ? t->a->n : (int)v;
        return code;
    }
    /* a value that a list or a text keeps must outlive the line: only numbers are taken here */
    struct slm_cli_sampling s = t->a->sampling;
    if (!strcmp(name, "samplers") || !strncmp(name, "logit", 5) || !strncmp(name, "dry_seq", 7)
        || !strncmp(name, "dry-seq", 7))
        return slm_cli_fail(err, SLM_E_UNSUPPORTED, "%s can be set on the command line only",
                            name);
    int code = slm_cli_set(slm_cli_sampling_opts, &s, name, value, err);
    slm_sampler *fresh = NULL;
    if (!code)
        code = slm_cli_sampler_open(t->c, &fresh, t->model, &s, slm_session_context(t->session),
                                    err);
    if (code)
        return code;
    slm_sampler_free(t->sampler);
    t->sampler = fresh;
    t->a->sampling = s;
    return 0;
}

static int cmd_set(struct slm_cli_talk *t, const char *rest, slm_err *err)
{
    struct slm_cli_common *common = &t->a->common;
    if (is_word(rest, "system", &rest)) {
        slm_cli_chat_system(&t->chat, rest);
        return 0;
    }
    if (is_word(rest, "parameter", &rest))
        return set_parameter(t, rest, err);
    if (is_word(rest, "verbose", &rest)) {
        common->verbose = 1;
        return 0;
    }
    if (is_word(rest, "quiet", &rest)) {
        common->verbose = 0;
        return 0;
    }
    return slm_cli_fail(err, SLM_E_ARG, "/set system | parameter | verbose | quiet");
}

static void show_info(const struct slm_cli_talk *t)
{
    slm_model_info i;
    char size[32];
    slm_model_info_get(t->model, &i);
    fprintf(stderr,
            "%s: %s, %.1f M weights (%s), %s; context %d of %d trained; %d positions in use\n",
            i.name, i.family, (double)i.params * 1e-6, i.types,
            slm_cli_size(size, (double)i.bytes), slm_session_context(t->session), i.context,
            slm_session_length(t->session));
}

static void show_value(void *arg, const struct slm_cli_opt *o, const char *heading)
{
    const char *base = arg;
    (void)heading;
    if (o->kind == OPT_FLOAT)
        fprintf(stderr, "%-22.*s %g\n", slm_cli_name_len(o->name), o->name,
                (double)*(const float *)(const void *)(base + o->off));
    else if (o->kind == OPT_INT)
        fprintf(stderr, "%-22.*s %d\n", slm_cli_name_len(o->name), o->name,
                *(const int *)(const void *)(base + o->off));
}

static int cmd_show(struct slm_cli_talk *t, const char *rest, slm_err *err)
{
    const char *source = slm_model_template_source(t->model);
    if (is_word(rest, "info", &rest)) {
        show_info(t);
    } else if (is_word(rest, "parameters", &rest)) {
        fputs("(nan and -1: the model author's wish, else slm's default)\n", stderr);
        slm_cli_rows(slm_cli_sampling_opts, NULL, show_value, &t->a->sampling);
        fprintf(stderr, "%-22s %llu\n", "seed",
                (unsigned long long)slm_sampler_seed(t->sampler));
    } else if (is_word(rest, "system", &rest)) {
        fprintf(stderr, "%s\n", t->chat.system ? t->chat.system : "(none)");
    } else if (is_word(rest, "template", &rest)) {
        fprintf(stderr, "%s\n%s\n", t->chat.origin, t->chat.own || !source ? "" : source);
    } else if (is_word(rest, "messages", &rest)) {
        for (int i = 0; i < t->chat.n; i++)
            fprintf(stderr, "%s: %s\n", t->chat.msg[i].role, t->chat.msg[i].content);
    } else {
        return slm_cli_fail(err, SLM_E_ARG,
                            "/show info | parameters | system | template | messages");
    }
    return 0;
}

/* 1: leave. Errors are told here: a wrong command is not the end of a talk. */
static int slash(struct slm_cli_talk *t, const char *line)
{
    const char *rest;
    slm_err err = {0};
    int code = 0;
    if (is_word(line, "/bye", &rest) || is_word(line, "/exit", &rest) ||
        is_word(line, "/quit", &rest))
        return 1;
    if (is_word(line, "/?", &rest) || is_word(line, "/help", &rest))
        fputs(help_text, stderr);
    else if (is_word(line, "/set", &rest))
        code = cmd_set(t, rest, &err);
    else if (is_word(line, "/show", &rest))
        code = cmd_show(t, rest, &err);
    else if (is_word(line, "/clear", &rest))
        slm_cli_chat_clear(&t->chat);
    else if (is_word(line, "/save", &rest) && *rest)
        code = slm_cli_chat_save(&t->chat, rest, &err);
    else if (is_word(line, "/load", &rest) && *rest)
        code = slm_cli_chat_load(&t->chat, rest, &err);
    else if (!strcmp(line, "/save") || !strcmp(line, "/load"))
        code = slm_cli_fail(&err, SLM_E_ARG, "%s FILE", line);
    else
        code = slm_cli_fail(&err, SLM_E_ARG, "there is no command %.40s; /? lists them", line);
    if (code)
        fprintf(stderr, "slm: %s\n", err.msg);
    else if (is_word(line, "/clear", &rest))
        fputs("the conversation is forgotten\n", stderr);
    return 0;
}

/* The lines up to closing quotes; first holds what stood behind the opening ones. */
static int read_block(struct slm_cli_lines *l, struct slm_cli_buf *first)
{
    struct slm_cli_buf line = {0}, all = {0};
    int got = 1;
    slm_cli_puts(&all, first->s + 3);
    while (got == 1) {
        if (all.n >= 3 && !strcmp(all.s + all.n - 3, "\"\"\"")) {
            all.s[all.n -= 3] = 0;
            break;
        }
        got = slm_cli_lines_get(l, "... ", &line);
        if (got == 1) {
            slm_cli_puts(&all, all.n ? "\n" : "");
            slm_cli_put(&all, line.s, line.n);
        }
    }
    slm_cli_buf_free(&line);
    slm_cli_buf_free(first);
    *first = all;
    return got;
}

static void answer_line(struct slm_cli_talk *t, const struct slm_cli_buf *line)
{
    slm_err err = {0};
    slm_generate_stats st = {0};
    slm_cli_chat_add(&t->chat, "user", line->s, line->n);
    int code = slm_cli_answer(t, &st, &err);
    slm_cli_interrupt_clear();
    if (code) {
        fputs("\n", stdout);
        fflush(stdout);
        slm_cli_chat_pop(&t->chat);
        fprintf(stderr, "slm: %s\n", err.msg);
    }
}

int slm_cli_repl(struct slm_cli_talk *t, slm_err *err)
{
    struct slm_cli_lines *l = slm_cli_lines_open();
    struct slm_cli_buf line = {0};
    if (!l)
        return slm_cli_fail(err, SLM_E_IO, "the terminal cannot be opened for editing");
    slm_cli_say(t->c, "/? for help, Ctrl-D to leave");
    for (bool going = true; going;) {
        int got = slm_cli_lines_get(l, ">>> ", &line);
        if (got == 1 && line.n >= 3 && !strncmp(line.s, "\"\"\"", 3))
            got = read_block(l, &line);
        slm_cli_interrupt_clear();
        if (got < 0)
            fputs("\n", stderr);
        else if (!got)
            going = false;
        else if (line.n && line.s[0] == '/')
            going = !slash(t, line.s);
        else if (line.n)
            answer_line(t, &line);
    }
    slm_cli_buf_free(&line);
    slm_cli_lines_close(l);
    return 0;
}
