/* The other engine's llama-bench, and the meters of energy: both are other people's files and
 * programs, read with care. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench_run.h"

static int capture(char *const argv[], struct slm_cli_buf *out, slm_err *err)
{
    int fd[2], status = 0;
    char chunk[1024];
    ssize_t n;
    fflush(stdout);
    if (pipe(fd))
        return slm_cli_fail(err, SLM_E_IO, "%s: %s", argv[0], strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fd[1], STDOUT_FILENO);
        if (!freopen("/dev/null", "w", stderr))
            _exit(126);
        close(fd[0]);
        close(fd[1]);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(fd[1]);
    while (pid > 0 && (n = read(fd[0], chunk, sizeof chunk)) != 0) {
        if (n > 0)
            slm_cli_put(out, chunk, (size_t)n);
        else if (errno != EINTR)
            break;
    }
    close(fd[0]);
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return slm_cli_fail(err, SLM_E_IO, "%s: %s", argv[0], strerror(errno));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return slm_cli_fail(err, SLM_E_NOTFOUND, "%s: not found on the PATH", argv[0]);
    return status ? slm_cli_fail(err, SLM_E_IO, "%s failed", argv[0]) : 0;
}

int slm_bench_peer(const char *program, const char *file, const struct slm_bench_result *r,
                   double *tok_s, slm_err *err)
{
    char name[512], path[1200], p[16], n[16], d[16], t[16];
    struct slm_cli_buf out = {0};
    snprintf(name, sizeof name, "%s", program);
    snprintf(path, sizeof path, "%s", file);
    snprintf(p, sizeof p, "%d", r->decode ? 0 : r->n);
    snprintf(n, sizeof n, "%d", r->decode ? r->n : 0);
    snprintf(d, sizeof d, "%d", r->depth);
    snprintf(t, sizeof t, "%d", r->threads);
    char flag[][4] = {"-m", "-p", "-n", "-t", "-r", "1", "-o", "-d"}, kind[] = "json";
    char *argv[] = {name, flag[0], path,    flag[1], p,    flag[2], n,    flag[3],
                    t,    flag[4], flag[5], flag[6], kind, NULL,    NULL, NULL};
    if (r->depth) { /* not every llama-bench has this one */
        argv[13] = flag[7];
        argv[14] = d;
    }
    int code = capture(argv, &out, err);
    if (code == SLM_E_IO && r->depth)
        code = slm_cli_fail(err, code, "%s failed; does it know -d %s?", program, d);
    const char *at = !code && out.s ? strstr(out.s, "\"avg_ts\":") : NULL;
    *tok_s = at ? strtod(at + 9, NULL) : 0;
    if (!code && !(*tok_s > 0))
        code = slm_cli_fail(err, SLM_E_FORMAT, "%s gave no tokens a second", program);
    slm_cli_buf_free(&out);
    return code;
}

double slm_bench_joules(void)
{
    double sum = 0;
    bool any = false;
    for (int i = 0; i < 16; i++) {
        char path[64], line[64];
        snprintf(path, sizeof path, "/sys/class/powercap/intel-rapl:%d/energy_uj", i);
        FILE *f = fopen(path, "r");
        if (!f)
            continue;
        if (fgets(line, sizeof line, f)) {
            sum += strtod(line, NULL) * 1e-6;
            any = true;
        }
        fclose(f);
    }
    return any ? sum : (double)NAN;
}
