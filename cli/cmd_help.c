/* slm help */
#include "cli.h"

struct args {
    struct slm_cli_common common;
};

static const struct slm_cli_opt opts[] = {
    SLM_CLI_GROUP(slm_cli_common_opts, offsetof(struct args, common), "General"),
    SLM_CLI_END,
};

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    (void)p;
    if (!c->words.n) {
        slm_cli_help_all(stdout);
        return 0;
    }
    const struct slm_cli_command *cmd = slm_cli_command_find(c->words.v[0]);
    const char *near = cmd ? NULL : slm_cli_command_near(c->words.v[0]);
    if (cmd)
        slm_cli_help(stdout, cmd);
    else if (near)
        return slm_cli_fail(err, SLM_E_ARG, "there is no command '%.40s'; did you mean '%s'?",
                            c->words.v[0], near);
    else
        return slm_cli_fail(err, SLM_E_ARG, "there is no command '%.40s'", c->words.v[0]);
    return 0;
}

extern const struct slm_cli_command slm_cmd_help;
const struct slm_cli_command slm_cmd_help = {
    .name = "help",
    .run = run,
    .args = "[COMMAND]",
    .summary = "this list, or all about a command",
    .about = "Lists the commands, or tells all about one.",
    .examples = "slm help run",
    .opts = opts,
    .size = sizeof(struct args),
};
