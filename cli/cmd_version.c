/* slm version */
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
    const struct args *a = p;
    if (!a->common.json && !a->common.verbose) {
        printf("slm %s\n", slm_version());
        return 0;
    }
    int code = slm_cli_runtime(c, err);
    if (code)
        return code;
    if (!a->common.json) {
        printf("slm %s\ncompiler %s\nCPU %s\nlevel %s of:", slm_version(), __VERSION__,
               slm_runtime_cpu_name(c->rt), slm_runtime_cpu_level(c->rt));
        for (int i = 0; slm_runtime_cpu_level_at(c->rt, i); i++)
            printf(" %s", slm_runtime_cpu_level_at(c->rt, i));
        printf("\nthreads %d\nseveral machines: %s\n", slm_runtime_threads(c->rt),
               slm_train_ranks_how() ? slm_train_ranks_how() : "no (built without Open MPI)");
        return 0;
    }
    struct slm_cli_json j = {.f = stdout};
    slm_js_open(&j, '{');
    slm_js_kstr(&j, "version", slm_version());
    slm_js_kstr(&j, "compiler", __VERSION__);
    slm_js_kstr(&j, "cpu", slm_runtime_cpu_name(c->rt));
    slm_js_kstr(&j, "cpu_level", slm_runtime_cpu_level(c->rt));
    slm_js_key(&j, "cpu_levels");
    slm_js_open(&j, '[');
    for (int i = 0; slm_runtime_cpu_level_at(c->rt, i); i++)
        slm_js_kstr(&j, NULL, slm_runtime_cpu_level_at(c->rt, i));
    slm_js_close(&j, ']');
    slm_js_kint(&j, "threads", slm_runtime_threads(c->rt));
    slm_js_kstr(&j, "threads_how", slm_runtime_threads_how(c->rt));
    slm_js_kstr(&j, "ranks", slm_train_ranks_how());
    slm_js_close(&j, '}');
    return 0;
}

extern const struct slm_cli_command slm_cmd_version;
const struct slm_cli_command slm_cmd_version = {
    .name = "version",
    .run = run,
    .args = "",
    .summary = "the version; with -v what it runs on",
    .about = "Prints the version; with -v or --json also the compiler, the CPU and the level "
             "of kernels in use.",
    .opts = opts,
    .size = sizeof(struct args),
};
