/* Processes, as /proc tells of them. Where there is no /proc the number alone must do. */
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A small file's text; "" when it cannot be read. */
static const char *small_file(const char *path, char *buf, size_t n)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t k = fd < 0 ? 0 : read(fd, buf, n - 1);
    if (fd >= 0)
        close(fd);
    buf[k > 0 ? k : 0] = 0;
    buf[strcspn(buf, "\n")] = 0;
    return buf;
}

/* Field 22 of /proc/PID/stat. Field 2 is the program's name in brackets, which may hold blanks
 * and brackets itself, so that counting begins behind the last one. */
static int64_t start_of(int64_t pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    const char *s = strrchr(small_file(path, text, sizeof text), ')');
    for (int field = 2; s && field < 22; field++)
        s = strchr(s + 1, ' ');
    return s ? strtoll(s + 1, NULL, 10) : 0;
}

void slm_process_self(struct slm_process *p)
{
    char boot[64], space[64];
    memset(p, 0, sizeof *p);
    p->pid = getpid();
    p->start = start_of(p->pid);
    if (gethostname(p->host, sizeof p->host - 1))
        p->host[0] = 0;
    ssize_t n = readlink("/proc/self/ns/pid", space, sizeof space - 1);
    space[n > 0 ? n : 0] = 0;
    snprintf(p->place, sizeof p->place, "%s %s %s", p->host,
             small_file("/proc/sys/kernel/random/boot_id", boot, sizeof boot), space);
}

int slm_process_alive(const struct slm_process *p)
{
    struct slm_process me;
    slm_process_self(&me);
    if (p->pid <= 0 || strcmp(me.place, p->place))
        return -1;
    if (kill((pid_t)p->pid, 0) && errno == ESRCH)
        return 0;
    int64_t start = start_of(p->pid);
    return !start || !p->start || start == p->start;
}
