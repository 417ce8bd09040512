/* slm completion: what a shell needs to complete command lines, written from the tables. */
#include "cli.h"

#include <string.h>

struct args {
    struct slm_cli_common common;
};

static const struct slm_cli_opt opts[] = {
    SLM_CLI_GROUP(slm_cli_common_opts, offsetof(struct args, common), "General"),
    SLM_CLI_END,
};

static void bash_word(void *arg, const struct slm_cli_opt *o, const char *heading)
{
    (void)arg;
    (void)heading;
    printf(" --%.*s", slm_cli_name_len(o->name), o->name);
}

static void bash_choice(void *arg, const struct slm_cli_opt *o, const char *heading)
{
    (void)arg;
    (void)heading;
    if (o->choices)
        printf("            --%.*s) COMPREPLY=($(compgen -W \"%s\" -- \"$cur\")); return ;;\n",
               slm_cli_name_len(o->name), o->name, o->choices);
}

/* Names of a table's commands behind their first `skip` bytes. */
static void words(const struct slm_cli_command *const *table, size_t skip)
{
    for (const struct slm_cli_command *const *c = table; *c; c++)
        printf("%s%s", c == table ? "" : " ", (*c)->name + skip);
}

static void bash_options(const struct slm_cli_command *cmd)
{
    printf("        case \"$prev\" in\n");
    slm_cli_rows(cmd->opts, NULL, bash_choice, NULL);
    printf(
        "        esac\n        case \"$cur\" in\n            -*) COMPREPLY=($(compgen -W \"");
    slm_cli_rows(cmd->opts, NULL, bash_word, NULL);
    printf("\" -- \"$cur\")); return ;;\n        esac ;;\n");
}

static void bash_family(const struct slm_cli_command *cmd)
{
    size_t skip = strlen(cmd->name) + 1;
    printf(
        "        if [ \"$COMP_CWORD\" -eq 2 ]; then\n            COMPREPLY=($(compgen -W \"");
    words(cmd->sub, skip);
    printf("\" -- \"$cur\"))\n            return\n        fi\n"
           "        case \"${COMP_WORDS[2]}\" in\n");
    for (const struct slm_cli_command *const *m = cmd->sub; *m; m++) {
        printf("        %s)\n", (*m)->name + skip);
        bash_options(*m);
    }
    printf("        esac ;;\n");
}

static void bash(void)
{
    printf("# bash completion of slm: eval \"$(slm completion bash)\"\n_slm() {\n"
           "    local cur=\"${COMP_WORDS[COMP_CWORD]}\" prev=\"${COMP_WORDS[COMP_CWORD-1]}\"\n "
           "   COMPREPLY=()\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        COMPREPLY=($(compgen -W \"");
    words(slm_cli_commands, 0);
    printf("\" -- \"$cur\"))\n        return\n    fi\n    case \"${COMP_WORDS[1]}\" in\n");
    for (const struct slm_cli_command *const *c = slm_cli_commands; *c; c++) {
        printf("    %s)\n", (*c)->name);
        if ((*c)->sub)
            bash_family(*c);
        else
            bash_options(*c);
    }
    printf("    esac\n    COMPREPLY=($(compgen -f -- \"$cur\"))\n}\ncomplete -o filenames -F "
           "_slm slm\n");
}

/* Help as a zsh or fish word: quotes and brackets out of the way. */
static void plain_help(const char *s, char stop)
{
    for (; *s && *s != stop; s++)
        if (*s == '\'' || *s == '"' || *s == '`' || *s == '$')
            continue;
        else if (*s == '[' || *s == ']' || *s == ':')
            putchar(' ');
        else
            putchar(*s == '\n' ? ' ' : *s);
}

static void zsh_row(void *arg, const struct slm_cli_opt *o, const char *heading)
{
    (void)arg;
    (void)heading;
    printf(" \\\n            '%s--%.*s%s[", o->kind == OPT_LIST ? "*" : "",
           slm_cli_name_len(o->name), o->name, o->kind == OPT_FLAG ? "" : "=");
    plain_help(o->help, 0);
    printf("]");
    if (o->choices)
        printf(":word:(%s)", o->choices);
    else if (o->kind != OPT_FLAG)
        printf(":value:%s", o->kind == OPT_FILE ? "_files" : "");
    printf("'");
}

static void zsh_names(const struct slm_cli_command *const *table, size_t skip)
{
    printf("        local -a commands=(\n");
    for (const struct slm_cli_command *const *c = table; *c; c++) {
        printf("            '%s:", (*c)->name + skip);
        plain_help((*c)->summary, 0);
        printf("'\n");
    }
    printf("        )\n        _describe command commands\n        return\n    fi\n");
}

static void zsh_options(const struct slm_cli_command *cmd, size_t skip)
{
    printf("    %s)\n        _arguments", cmd->name + skip);
    slm_cli_rows(cmd->opts, NULL, zsh_row, NULL);
    printf(" \\\n            '*:file:_files' ;;\n");
}

static void zsh(void)
{
    printf(
        "#compdef slm\n# zsh completion of slm: slm completion zsh > ~/.zfunc/_slm\n_slm() {\n"
        "    if (( CURRENT == 2 )); then\n");
    zsh_names(slm_cli_commands, 0);
    printf("    case $words[2] in\n");
    for (const struct slm_cli_command *const *c = slm_cli_commands; *c; c++) {
        size_t skip = strlen((*c)->name) + 1;
        if (!(*c)->sub) {
            zsh_options(*c, 0);
            continue;
        }
        printf("    %s)\n    if (( CURRENT == 3 )); then\n", (*c)->name);
        zsh_names((*c)->sub, skip);
        printf("    case $words[3] in\n");
        for (const struct slm_cli_command *const *m = (*c)->sub; *m; m++)
            zsh_options(*m, skip);
        printf("    esac ;;\n");
    }
    printf("    esac\n}\n_slm \"$@\"\n");
}

/* What fish asks before it offers an option or a member: the words seen so far. */
static void fish_seen(const struct slm_cli_command *cmd)
{
    size_t n = strcspn(cmd->name, " ");
    printf("__fish_seen_subcommand_from %.*s", (int)n, cmd->name);
    if (cmd->name[n])
        printf("; and __fish_seen_subcommand_from %s", cmd->name + n + 1);
}

static void fish_row(void *arg, const struct slm_cli_opt *o, const char *heading)
{
    (void)heading;
    printf("complete -c slm -n '");
    fish_seen(arg);
    printf("' -l %.*s", slm_cli_name_len(o->name), o->name);
    if (o->letter)
        printf(" -s %c", o->letter);
    if (o->choices)
        printf(" -x -a '%s'", o->choices);
    else if (o->kind != OPT_FLAG)
        printf(" -r%s", o->kind == OPT_FILE ? "F" : "");
    printf(" -d '");
    plain_help(o->help, ';');
    printf("'\n");
}

static void fish_command(const struct slm_cli_command *cmd)
{
    union {
        const struct slm_cli_command *in;
        void *out;
    } arg = {cmd};
    slm_cli_rows(cmd->opts, NULL, fish_row, arg.out);
    for (const struct slm_cli_command *const *m = cmd->sub; m && *m; m++) {
        printf("complete -c slm -f -n '");
        fish_seen(cmd);
        printf("' -a %s -d '", (*m)->name + strlen(cmd->name) + 1);
        plain_help((*m)->summary, ';');
        printf("'\n");
        fish_command(*m);
    }
}

static void fish(void)
{
    printf("# fish completion of slm: slm completion fish > "
           "~/.config/fish/completions/slm.fish\n");
    for (const struct slm_cli_command *const *c = slm_cli_commands; *c; c++) {
        printf("complete -c slm -f -n __fish_use_subcommand -a %s -d '", (*c)->name);
        plain_help((*c)->summary, 0);
        printf("'\n");
    }
    for (const struct slm_cli_command *const *c = slm_cli_commands; *c; c++)
        fish_command(*c);
}

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    const char *shell = c->words.v[0];
    (void)p;
    if (!strcmp(shell, "bash"))
        bash();
    else if (!strcmp(shell, "zsh"))
        zsh();
    else if (!strcmp(shell, "fish"))
        fish();
    else
        return slm_cli_fail(err, SLM_E_ARG,
                            "completion for '%.40s' is not there: bash, zsh or fish", shell);
    return 0;
}

extern const struct slm_cli_command slm_cmd_completion;
const struct slm_cli_command slm_cmd_completion = {
    .name = "completion",
    .run = run,
    .args = "SHELL",
    .summary = "completion script for bash, zsh or fish",
    .about = "Writes a completion script for SHELL: bash, zsh or fish.",
    .examples = "eval \"$(slm completion bash)\"\n"
                "slm completion fish > ~/.config/fish/completions/slm.fish",
    .opts = opts,
    .size = sizeof(struct args),
};
