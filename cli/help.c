/* Help pages from the tables. */
#include "cli.h"

#include <string.h>

enum { COLUMN = 28, WIDTH = 80 };

/* Words of text from column `at` on, broken at WIDTH, further lines indented by `indent`. */
static void wrap(FILE *f, const char *text, int at, int indent)
{
    bool blank = false; /* owed before the next word, if that stays on the line */
    while (*text) {
        size_t n = strcspn(text, " \n");
        if (n && blank && at + 1 + (int)n > WIDTH) {
            fprintf(f, "\n%*s", indent, "");
            at = indent;
        } else if (n && blank) {
            fputc(' ', f);
            at++;
        }
        fwrite(text, 1, n, f);
        at += (int)n;
        text += n;
        blank = *text == ' ';
        if (*text == '\n') {
            fprintf(f, "\n%*s", text[1] == '\n' ? 0 : indent, "");
            at = indent;
        }
        text += *text != 0;
    }
    fputc('\n', f);
}

struct page {
    FILE *f;
    const char *heading;
};

static void put_row(void *arg, const struct slm_cli_opt *o, const char *heading)
{
    struct page *p = arg;
    char left[96];
    if (heading && heading != p->heading)
        fprintf(p->f, "\n%s:\n", heading);
    else if (!heading && !p->heading)
        fprintf(p->f, "\nOptions:\n");
    p->heading = heading ? heading : "";
    char letter[6] = "    ";
    if (o->letter)
        snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(left, sizeof left, "  %s--%.*s%s%s", letter, slm_cli_name_len(o->name), o->name,
             o->arg ? " " : "", o->arg ? o->arg : "");
    int n = (int)strlen(left);
    fputs(left, p->f);
    if (n >= COLUMN)
        fprintf(p->f, "\n%*s", COLUMN, "");
    else
        fprintf(p->f, "%*s", COLUMN - n, "");
    char text[700];
    snprintf(text, sizeof text, "%s%s%s%s", o->help, o->choices ? " (" : "",
             o->choices ? o->choices : "", o->choices ? ")" : "");
    wrap(p->f, text, COLUMN, COLUMN);
}

static void help_family(FILE *f, const struct slm_cli_command *cmd)
{
    fprintf(f, "Usage: slm %s COMMAND [OPTIONS] ...\n\n", cmd->name);
    wrap(f, cmd->about, 0, 0);
    fputs("\nCommands:\n", f);
    for (const struct slm_cli_command *const *m = cmd->sub; *m; m++)
        fprintf(f, "  %-20s  %s\n", (*m)->name, (*m)->summary);
    fprintf(f, "\n'slm help %s COMMAND' tells more.\n", cmd->name);
}

void slm_cli_help(FILE *f, const struct slm_cli_command *cmd)
{
    if (cmd->sub) {
        help_family(f, cmd);
        return;
    }
    fprintf(f, "Usage: slm %s [OPTIONS]%s%s\n\n", cmd->name, cmd->args ? " " : "",
            cmd->args ? cmd->args : "");
    wrap(f, cmd->about, 0, 0);
    struct page p = {.f = f};
    slm_cli_rows(cmd->opts, NULL, put_row, &p);
    if (cmd->examples) {
        fputs("\nExamples:\n  ", f);
        for (const char *s = cmd->examples; *s; s++) {
            fputc(*s, f);
            if (*s == '\n' && s[1])
                fputs("  ", f);
        }
        fputc('\n', f);
    }
}

void slm_cli_help_all(FILE *f)
{
    fprintf(f,
            "slm %s: small language models, from file to text\n\nUsage: slm COMMAND [OPTIONS] "
            "...\n\nCommands:\n",
            slm_version());
    for (const struct slm_cli_command *const *c = slm_cli_commands; *c; c++)
        fprintf(f, "  %-12s  %s\n", (*c)->name, (*c)->summary);
    fputs("\n'slm help COMMAND' tells more. MODEL is a GGUF file, a Hugging Face folder or a "
          "llama2.c file.\n"
          "Results go to stdout, all else to stderr.\n",
          f);
}
