/* Where the record of runs is. */
#include "runs_cli.h"

#include <stdlib.h>
#include <string.h>

const struct slm_cli_opt slm_cli_runs_opts[] = {
    SLM_CLI_VALUE(OPT_FILE, 0, "runs-db", offsetof(struct slm_cli_runs_args, path), "FILE",
                  "the record of runs; off: none (default: $SLM_RUNS, else "
                  "$XDG_DATA_HOME/slm/runs.db, else ~/.local/share/slm/runs.db)"),
    SLM_CLI_END,
};

bool slm_cli_runs_path(struct slm_cli_buf *b, const struct slm_cli_runs_args *a)
{
    const char *given = a->path ? a->path : getenv("SLM_RUNS");
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (given && *given) {
        slm_cli_puts(b, given);
        return strcmp(given, "off") != 0;
    }
    if (data && *data == '/')
        slm_cli_putf(b, "%s/slm/runs.db", data);
    else if (home && *home)
        slm_cli_putf(b, "%s/.local/share/slm/runs.db", home);
    return b->n > 0;
}

/* Every folder on the way to a file. */
static int make_way(char *path, slm_err *err)
{
    int code = 0;
    for (char *p = strchr(path + 1, '/'); p && !code; p = strchr(p + 1, '/')) {
        *p = 0;
        code = slm_cli_make_dir(path, err);
        *p = '/';
    }
    return code;
}

const char *slm_cli_runs_place(struct slm_cli *c, struct slm_cli_buf *b,
                               const struct slm_cli_runs_args *a)
{
    slm_err err = {0};
    if (!slm_cli_runs_path(b, a)) {
        if (!b->n)
            slm_cli_say(c, "this run is not recorded: no home folder, no --runs-db");
        return NULL;
    }
    if (make_way(b->s, &err)) {
        slm_cli_say(c, "%s; this run goes on without being recorded", err.msg);
        return NULL;
    }
    return b->s;
}
