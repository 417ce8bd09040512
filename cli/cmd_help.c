/* slm help */
#include "cli.h"

struct args {
    struct slm_cli_common common;
};

static const struct slm_cli_opt opts[] = {
    SLM_CLI_GROUP(slm_cli_common_opts, offsetof(struct args, common), "General"),
    SLM_CLI_END,
};

static void json_row(void *arg, const struct slm_cli_opt *o, const char *heading)
{
    static const char *const kinds[] = {"",      "",     "flag", "int",    "uint",
                                        "float", "text", "file", "choice", "list"};
    struct slm_cli_json *j = arg;
    char letter[2] = {o->letter, 0};
    slm_js_open(j, '{');
    slm_js_key(j, "name");
    slm_js_str(j, o->name, (size_t)slm_cli_name_len(o->name));
    slm_js_kstr(j, "letter", o->letter ? letter : NULL);
    slm_js_kstr(j, "kind", kinds[o->kind]);
    slm_js_kstr(j, "choices", o->choices);
    slm_js_kstr(j, "group", heading);
    slm_js_kstr(j, "help", o->help);
    slm_js_close(j, '}');
}

static void json_command(struct slm_cli_json *j, const struct slm_cli_command *cmd)
{
    slm_js_open(j, '{');
    slm_js_kstr(j, "name", cmd->name);
    slm_js_kstr(j, "args", cmd->args);
    slm_js_kstr(j, "summary", cmd->summary);
    slm_js_key(j, "options");
    slm_js_open(j, '[');
    slm_cli_rows(cmd->opts, NULL, json_row, j);
    slm_js_close(j, ']');
    slm_js_close(j, '}');
}

static void json_each(void *arg, const struct slm_cli_command *cmd) { json_command(arg, cmd); }

/* The tables themselves: of one command, or of all. */
static void put_json(const struct slm_cli_command *one)
{
    struct slm_cli_json j = {.f = stdout};
    if (one) {
        json_command(&j, one);
        return;
    }
    slm_js_open(&j, '[');
    slm_cli_commands_each(json_each, &j);
    slm_js_close(&j, ']');
}

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    const struct args *a = p;
    if (!c->words.n) {
        if (a->common.json)
            put_json(NULL);
        else
            slm_cli_help_all(stdout);
        return 0;
    }
    const char *name = c->words.v[0], *near = NULL;
    const struct slm_cli_command *cmd = slm_cli_command_find(name);
    if (!cmd)
        near = slm_cli_command_near(name);
    if (c->words.n > 1 && (!cmd || !cmd->sub))
        return slm_cli_fail(err, SLM_E_ARG, "'%.60s' is one word too many", c->words.v[1]);
    if (c->words.n > 1) {
        const struct slm_cli_command *family = cmd;
        name = c->words.v[1];
        cmd = slm_cli_member_find(family, name);
        near = cmd ? NULL : slm_cli_member_near(family, name);
    }
    if (cmd && a->common.json)
        put_json(cmd);
    else if (cmd)
        slm_cli_help(stdout, cmd);
    else if (near)
        return slm_cli_fail(err, SLM_E_ARG, "there is no command '%.40s'; did you mean '%s'?",
                            name, near);
    else
        return slm_cli_fail(err, SLM_E_ARG, "there is no command '%.40s'", name);
    return 0;
}

extern const struct slm_cli_command slm_cmd_help;
const struct slm_cli_command slm_cmd_help = {
    .name = "help",
    .run = run,
    .args = "[COMMAND] [MEMBER]",
    .summary = "this list, or all about a command",
    .about = "Lists the commands, or tells all about one. A command of a family has two words.",
    .examples = "slm help run",
    .opts = opts,
    .size = sizeof(struct args),
};
