/* slm man: the manual pages, written from the tables. */
#include "cli.h"

#include <string.h>

struct args {
    struct slm_cli_common common;
    const char *dir;
};

static const struct slm_cli_opt opts[] = {
    SLM_CLI_VALUE(OPT_FILE, 0, "dir", offsetof(struct args, dir), "FOLDER",
                  "the folder, instead of a word"),
    SLM_CLI_GROUP(slm_cli_common_opts, offsetof(struct args, common), "General"),
    SLM_CLI_END,
};

/* Text for troff: no line begins with a dot or a quote, backslashes and dashes are escaped. */
static void roff(FILE *f, const char *s, size_t n)
{
    for (size_t i = 0; i < n && s[i]; i++) {
        bool first = i == 0 || s[i - 1] == '\n';
        if (first && (s[i] == '.' || s[i] == '\''))
            fputs("\\&", f);
        if (s[i] == '\n' && i + 1 < n && s[i + 1] == '\n') {
            fputs("\n.PP", f);
        } else if (s[i] == '\\') {
            fputs("\\e", f);
        } else {
            if (s[i] == '-')
                fputc('\\', f);
            fputc(s[i], f);
        }
    }
}

static void roffs(FILE *f, const char *s) { roff(f, s, strlen(s)); }

struct page {
    FILE *f;
    const char *heading;
};

static void put_row(void *arg, const struct slm_cli_opt *o, const char *heading)
{
    struct page *p = arg;
    if (heading && heading != p->heading)
        fprintf(p->f, ".SS %s\n", heading);
    p->heading = heading;
    fputs(".TP\n", p->f);
    if (o->letter)
        fprintf(p->f, "\\fB\\-%c\\fR, ", o->letter);
    fputs("\\fB\\-\\-", p->f);
    roff(p->f, o->name, (size_t)slm_cli_name_len(o->name));
    fputs("\\fR", p->f);
    if (o->arg) {
        fputs(" \\fI", p->f);
        roffs(p->f, o->arg);
        fputs("\\fR", p->f);
    }
    fputc('\n', p->f);
    roffs(p->f, o->help);
    if (o->choices) {
        fputs(" (", p->f);
        roffs(p->f, o->choices);
        fputc(')', p->f);
    }
    fputc('\n', p->f);
}

static void head(FILE *f, const char *title, const char *name, const char *summary)
{
    fprintf(f, ".TH %s 1 \"\" \"slm %s\" \"slm\"\n.SH NAME\n", title, slm_version());
    roffs(f, name);
    fputs(" \\- ", f);
    roffs(f, summary);
    fputc('\n', f);
}

static void put_exits(FILE *f)
{
    static const int codes[] = {
#define CODE(name, http, code, words) SLM_##name,
        SLM_STATUS_LIST(CODE)
#undef CODE
    };
    fputs(".SH EXIT STATUS\n", f);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        fprintf(f, ".TP\n\\fB%d\\fR\n%s\n", slm_status_exit(codes[i]),
                slm_status_words(codes[i]));
}

/* "slm-data-check" of "data check". */
static const char *page_name(char name[64], const struct slm_cli_command *cmd)
{
    snprintf(name, 64, "slm-%s", cmd->name);
    for (char *s = name; *s; s++)
        if (*s == ' ')
            *s = '-';
    return name;
}

static void list_row(FILE *f, const struct slm_cli_command *cmd)
{
    char name[64];
    fputs(".TP\n\\fB", f);
    roffs(f, page_name(name, cmd));
    fputs("\\fR(1)\n", f);
    roffs(f, cmd->summary);
    fputc('\n', f);
}

static void family_page(FILE *f, const struct slm_cli_command *cmd)
{
    char name[64];
    page_name(name, cmd);
    head(f, name, name, cmd->summary);
    fprintf(f,
            ".SH SYNOPSIS\n\\fBslm %s\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR] ...\n.SH "
            "DESCRIPTION\n",
            cmd->name);
    roffs(f, cmd->about);
    fputs("\n.SH COMMANDS\n", f);
    for (const struct slm_cli_command *const *m = cmd->sub; *m; m++)
        list_row(f, *m);
    fputs(".SH SEE ALSO\n\\fBslm\\fR(1)\n", f);
}

static void command_page(FILE *f, const struct slm_cli_command *cmd)
{
    char name[64];
    struct page p = {.f = f};
    page_name(name, cmd);
    head(f, name, name, cmd->summary);
    fprintf(f, ".SH SYNOPSIS\n\\fBslm %s\\fR [\\fIOPTIONS\\fR] \\fI%s\\fR\n.SH DESCRIPTION\n",
            cmd->name, cmd->args);
    roffs(f, cmd->about);
    fputs("\n.SH OPTIONS\n", f);
    slm_cli_rows(cmd->opts, NULL, put_row, &p);
    if (cmd->examples) {
        fputs(".SH EXAMPLES\n.nf\n", f);
        roffs(f, cmd->examples);
        fputs("\n.fi\n", f);
    }
    put_exits(f);
    fputs(".SH SEE ALSO\n\\fBslm\\fR(1)\n", f);
}

static void main_page(FILE *f)
{
    head(f, "slm", "slm", "small language models, from file to text");
    fputs(".SH SYNOPSIS\n\\fBslm\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR] ...\n.SH DESCRIPTION\n"
          "Runs small language models on the CPU: GGUF files, Hugging Face folders, llama2.c "
          "files.\n"
          "Results go to standard output, all else to standard error.\n.SH COMMANDS\n",
          f);
    for (const struct slm_cli_command *const *c = slm_cli_commands; *c; c++)
        list_row(f, *c);
    put_exits(f);
    fputs(".SH ENVIRONMENT\n.TP\n\\fBSLM_MODEL\\fR\nthe model that \\fBslm run\\fR takes when "
          "none is given\n"
          ".TP\n\\fBSLM_CPU\\fR\nhighest CPU level to use\n"
          ".TP\n\\fBSLM_HISTORY\\fR\na file that keeps the lines typed in talks; without it "
          "nothing is kept\n",
          f);
}

static int put_page(const char *dir, const struct slm_cli_command *cmd, slm_err *err)
{
    char path[4096], name[64];
    struct slm_cli_out out;
    snprintf(path, sizeof path, "%s/%s.1", dir, cmd ? page_name(name, cmd) : "slm");
    int code = slm_cli_out_open(&out, path, err);
    if (code)
        return code;
    if (cmd && cmd->sub)
        family_page(out.f, cmd);
    else if (cmd)
        command_page(out.f, cmd);
    else
        main_page(out.f);
    code = slm_cli_out_commit(&out, err);
    slm_cli_out_close(&out);
    return code;
}

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    const struct args *a = p;
    const char *dir = a->dir ? a->dir : c->words.n ? c->words.v[0] : NULL;
    if (!dir)
        return slm_cli_fail(err, SLM_E_ARG, "no folder given; usage: slm man FOLDER");
    int code = slm_cli_make_dir(dir, err);
    if (!code)
        code = put_page(dir, NULL, err);
    for (const struct slm_cli_command *const *k = slm_cli_commands; *k && !code; k++) {
        code = put_page(dir, *k, err);
        for (const struct slm_cli_command *const *m = (*k)->sub; m && *m && !code; m++)
            code = put_page(dir, *m, err);
    }
    if (!code)
        slm_cli_say(c, "manual pages written to %s", dir);
    return code;
}

extern const struct slm_cli_command slm_cmd_man;
const struct slm_cli_command slm_cmd_man = {
    .name = "man",
    .run = run,
    .args = "[FOLDER]",
    .summary = "write the manual pages",
    .about = "Writes slm.1 and a page for each command into FOLDER.",
    .examples = "slm man /usr/local/share/man/man1",
    .opts = opts,
    .size = sizeof(struct args),
};
