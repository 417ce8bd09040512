/* slm: the command line. The table of commands, and what happens around each: options read,
 * errors told in one line, exit codes from status.h. */
#include "cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

extern const struct slm_cli_command slm_cmd_run, slm_cmd_complete, slm_cmd_show,
    slm_cmd_tokenize, slm_cmd_template, slm_cmd_convert, slm_cmd_logits, slm_cmd_perplexity,
    slm_cmd_advise, slm_cmd_bench, slm_cmd_gradients, slm_cmd_quantize, slm_cmd_imatrix,
    slm_cmd_version, slm_cmd_help, slm_cmd_completion, slm_cmd_man, slm_cmd_tokenizer,
    slm_cmd_data, slm_cmd_train, slm_cmd_merge, slm_cmd_runs,
    slm_cmd_loss;

/* clang-format off */
const struct slm_cli_command *const slm_cli_commands[] = {
    &slm_cmd_run,     &slm_cmd_complete,   &slm_cmd_show,     &slm_cmd_tokenize,
    &slm_cmd_tokenizer, &slm_cmd_template, &slm_cmd_convert, &slm_cmd_quantize,
    &slm_cmd_imatrix, &slm_cmd_merge,
    &slm_cmd_logits,  &slm_cmd_perplexity, &slm_cmd_bench,    &slm_cmd_advise,
    &slm_cmd_gradients, &slm_cmd_loss, &slm_cmd_train, &slm_cmd_data, &slm_cmd_runs,
    &slm_cmd_version, &slm_cmd_help,       &slm_cmd_completion, &slm_cmd_man, NULL,
};
/* clang-format on */

#define F(field) offsetof(struct slm_cli_common, field)
const struct slm_cli_opt slm_cli_common_opts[] = {
    SLM_CLI_INT('t', "threads", F(threads), "N", 1, 1024,
                "threads (default: one for each core that may be used)"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "cpu", F(cpu), "LEVEL",
                  "highest CPU level to use: generic, avx2, avx512 ... (default: $SLM_CPU, "
                  "else the best)"),
    SLM_CLI_FLAG(0, "json", F(json), "results as JSON on stdout"),
    SLM_CLI_FLAG('v', "verbose", F(verbose), "say more on stderr"),
    SLM_CLI_FLAG('q', "quiet", F(quiet), "say nothing on stderr but errors"),
    SLM_CLI_FLAG('h', "help", F(help), "this help"),
    SLM_CLI_END,
};
#undef F

/* What a command is called behind the first `skip` bytes of its whole name. */
static const struct slm_cli_command *find(const struct slm_cli_command *const *table,
                                          size_t skip, const char *name)
{
    for (; *table; table++)
        if (!strcmp((*table)->name + skip, name))
            return *table;
    return NULL;
}

static const char *find_near(const struct slm_cli_command *const *table, size_t skip,
                             const char *name)
{
    const char *best = NULL;
    int most = 1 + (int)strlen(name) / 3;
    for (; *table; table++) {
        const char *one = (*table)->name + skip;
        int d = slm_cli_distance(name, one);
        if (strlen(name) > 1 && !strncmp(one, name, strlen(name)))
            d = 0;
        if (d < most) {
            most = d;
            best = one;
        }
    }
    return best;
}

const struct slm_cli_command *slm_cli_command_find(const char *name)
{
    return find(slm_cli_commands, 0, name);
}

const char *slm_cli_command_near(const char *name)
{
    return find_near(slm_cli_commands, 0, name);
}

const struct slm_cli_command *slm_cli_member_find(const struct slm_cli_command *family,
                                                  const char *word)
{
    return find(family->sub, strlen(family->name) + 1, word);
}

const char *slm_cli_member_near(const struct slm_cli_command *family, const char *word)
{
    return find_near(family->sub, strlen(family->name) + 1, word);
}

void slm_cli_commands_each(slm_cli_command_fn *fn, void *arg)
{
    for (const struct slm_cli_command *const *c = slm_cli_commands; *c; c++) {
        fn(arg, *c);
        for (const struct slm_cli_command *const *m = (*c)->sub; m && *m; m++)
            fn(arg, *m);
    }
}

static void plain(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = '?';
}

int slm_cli_fail(slm_err *err, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    plain(err->msg);
    err->code = code;
    return code;
}

void slm_cli_say(const struct slm_cli *c, const char *fmt, ...)
{
    if (c->common->quiet)
        return;
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    plain(line);
    fprintf(stderr, "slm: %s\n", line);
}

void slm_cli_tell(const struct slm_cli *c, const char *fmt, ...)
{
    if (!c->common->verbose || c->common->quiet)
        return;
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    plain(line);
    fprintf(stderr, "slm: %s\n", line);
}

static void on_log(void *arg, int level, const char *line)
{
    const struct slm_cli *c = arg;
    if (level <= SLM_LOG_WARN)
        slm_cli_say(c, "%s", line);
    else if (level == SLM_LOG_INFO)
        slm_cli_tell(c, "%s", line);
}

int slm_cli_runtime(struct slm_cli *c, slm_err *err)
{
    if (c->rt)
        return 0;
    slm_runtime_opts o;
    slm_runtime_opts_init(&o);
    o.threads = c->common->threads;
    o.cpu = c->common->cpu ? c->common->cpu : getenv("SLM_CPU");
    o.log = on_log;
    o.log_arg = c;
    int code = slm_runtime_open(&c->rt, &o, err);
    if (!code)
        slm_cli_tell(c, "%s", slm_runtime_threads_how(c->rt));
    return code;
}

int slm_cli_ranks_open(struct slm_cli *c, struct slm_cli_common *common, slm_train_ranks *r,
                       slm_err *err)
{
    const char *n = getenv("OMPI_COMM_WORLD_SIZE"), *me = getenv("OMPI_COMM_WORLD_RANK");
    *r = (slm_train_ranks){0};
    if (!n || strtol(n, NULL, 10) < 2)
        return 0;
    c->mute = me && strtol(me, NULL, 10) > 0;
    if (c->mute) {
        common->quiet = 1;
        common->json = 0;
    }
    int code = slm_cli_runtime(c, err);
    return code ? code : slm_train_ranks_open(r, c->rt, err);
}

/* How many words "MODEL [PROMPT]" asks for at least and at most (-1: any number). */
static void count_args(const char *args, int *least, int *most)
{
    *least = *most = 0;
    for (const char *p = args; p && *p;) {
        size_t n = strcspn(p, " ");
        if (n == 3 && !strncmp(p, "...", 3))
            *most = -1;
        else if (*most >= 0)
            ++*most;
        if (*p != '[' && *p != '.')
            ++*least;
        p += n + (p[n] == ' ');
    }
}

static int check_words(const struct slm_cli_command *cmd, const void *opts,
                       const struct slm_cli_words *w, slm_err *err)
{
    int least, most;
    const char *given = NULL;
    count_args(cmd->args, &least, &most);
    if (cmd->model) /* its struct begins with the common options, then the model's */
        given = ((const struct slm_cli_model_args *)((const char *)opts +
                                                     sizeof(struct slm_cli_common)))
                    ->model;
    if (given && most > 0)
        most--;
    if (given && least > 0)
        least--;
    if (w->n < least)
        return slm_cli_fail(err, SLM_E_ARG, "something is missing; usage: slm %s [OPTIONS] %s",
                            cmd->name, cmd->args);
    if (most >= 0 && w->n > most)
        return slm_cli_fail(err, SLM_E_ARG,
                            "'%.60s' is one word too many; usage: slm %s [OPTIONS] %s",
                            w->v[most], cmd->name, cmd->args ? cmd->args : "");
    return 0;
}

static int run_command(const struct slm_cli_command *cmd, int argc, char **argv)
{
    slm_err err = {0};
    void *opts = slm_cli_realloc(NULL, cmd->size);
    memset(opts, 0, cmd->size);
    if (cmd->defaults)
        cmd->defaults(opts);
    struct slm_cli c = {.common = opts, .cmd = cmd, .argc = argc, .argv = argv};
    c.words.v = slm_cli_realloc(NULL, (size_t)(argc + 1) * sizeof *c.words.v);
    const char **words = c.words.v;
    int code = slm_cli_parse(cmd->opts, opts, argc, argv, &c.words, &err);
    if (!code && c.common->help) {
        slm_cli_help(stdout, cmd);
    } else {
        if (!code)
            code = check_words(cmd, opts, &c.words, &err);
        if (!code)
            code = cmd->run(&c, opts, &err);
        if (!code && (fflush(stdout) || ferror(stdout)))
            code = slm_cli_fail(&err, SLM_E_IO, "stdout: cannot write");
    }
    if (code && !c.mute) {
        fflush(stdout);
        plain(err.msg);
        fprintf(stderr, "slm: %s\n", err.msg[0] ? err.msg : slm_status_words(code));
    }
    if (c.mute)
        code = 0;
    slm_runtime_close(&c.rt);
    free(words);
    free(opts);
    return slm_status_exit(code);
}

static int no_command(const char *family, const char *name, const char *near)
{
    char shown[41];
    snprintf(shown, sizeof shown, "%s", name);
    plain(shown);
    const char *gap = *family ? " " : "";
    if (near)
        fprintf(stderr, "slm: there is no command '%s%s%s'; did you mean '%s%s%s'?\n", family,
                gap, shown, family, gap, near);
    else
        fprintf(stderr, "slm: there is no command '%s%s%s'; 'slm help%s%s' lists them\n",
                family, gap, shown, gap, family);
    return slm_status_exit(SLM_E_ARG);
}

/* "slm data check ...": argv begins at the member's word. */
static int run_member(const struct slm_cli_command *family, int argc, char **argv)
{
    if (!argc || !strcmp(argv[0], "--help") || !strcmp(argv[0], "-h")) {
        slm_cli_help(argc ? stdout : stderr, family);
        return argc ? 0 : slm_status_exit(SLM_E_ARG);
    }
    const struct slm_cli_command *cmd = slm_cli_member_find(family, argv[0]);
    if (cmd)
        return run_command(cmd, argc - 1, argv + 1);
    return no_command(family->name, argv[0], slm_cli_member_near(family, argv[0]));
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        slm_cli_help_all(stderr);
        return slm_status_exit(SLM_E_ARG);
    }
    const char *name = argv[1];
    if (!strcmp(name, "--help") || !strcmp(name, "-h"))
        name = "help";
    if (!strcmp(name, "--version"))
        name = "version";
    const struct slm_cli_command *cmd = slm_cli_command_find(name);
    if (cmd)
        return cmd->sub ? run_member(cmd, argc - 2, argv + 2)
                        : run_command(cmd, argc - 2, argv + 2);
    return no_command("", name, slm_cli_command_near(name));
}
