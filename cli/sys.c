/* The operating system as far as the command line needs it: terminal, clock, signals, own
 * place. The only file of the command line that would change for another system. */
#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The one mutable global of the program: a signal handler has nowhere else to write. */
static volatile sig_atomic_t interrupted;

bool slm_cli_tty(FILE *f) { return isatty(fileno(f)) == 1; }

int slm_cli_columns(void)
{
    struct winsize w;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) || w.ws_col < 20)
        return 80;
    return w.ws_col;
}

double slm_cli_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

uint64_t slm_cli_entropy(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return ((uint64_t)t.tv_sec << 30 ^ (uint64_t)t.tv_nsec ^ (uint64_t)getpid() << 40) %
           4294967296u;
}

bool slm_cli_stdin_piped(void)
{
    struct stat st;
    return !fstat(STDIN_FILENO, &st) &&
           (S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
}

const char *slm_cli_exe_dir(char *buf, size_t n)
{
    ssize_t len = readlink("/proc/self/exe", buf, n - 1);
    buf[len > 0 ? len : 0] = 0;
    char *slash = strrchr(buf, '/');
    if (slash)
        *slash = 0;
    return buf;
}

bool slm_cli_exists(const char *path) { return access(path, R_OK) == 0; }

bool slm_cli_is_dir(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

int slm_cli_make_dir(const char *path, slm_err *err)
{
    if (slm_cli_is_dir(path) || !mkdir(path, 0777))
        return 0;
    return slm_cli_fail(err, SLM_E_IO, "%s: %s", path, strerror(errno));
}

void slm_cli_full_path(struct slm_cli_buf *b, const char *path)
{
    char *real = realpath(path, NULL), *here = real || *path == '/' ? NULL : getcwd(NULL, 0);
    slm_cli_putf(b, "%s%s%s", here ? here : "", here ? "/" : "", real ? real : path);
    free(real);
    free(here);
}

static void on_interrupt(int sig)
{
    if (interrupted) {
        signal(sig, SIG_DFL);
        raise(sig);
    }
    interrupted = 1;
}

void slm_cli_catch_interrupt(void)
{
    struct sigaction a = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &a, NULL);
}

bool slm_cli_interrupted(void) { return interrupted != 0; }
void slm_cli_interrupt_clear(void) { interrupted = 0; }

double slm_cli_rss_mib(void)
{
    char line[128], *rest = NULL;
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r"); /* pages in all, pages resident ... */
    if (!f)
        return -1;
    if (fgets(line, sizeof line, f)) {
        (void)strtol(line, &rest, 10);
        pages = strtol(rest, NULL, 10);
    }
    fclose(f);
    return pages <= 0 ? -1 : (double)pages * (double)sysconf(_SC_PAGESIZE) / 1048576.0;
}
