/* Reading the kernel's accounts of memory. What cannot be read is taken as not limiting. */
#include "base/memory.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool read_text(char *out, size_t room, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, out, room - 1);
    close(fd);
    out[n > 0 ? n : 0] = 0;
    return n > 0;
}

/* "Name:   123 kB" in a list of such lines, in bytes. */
static uint64_t line_of(const char *path, const char *name)
{
    char text[4096];
    if (!read_text(text, sizeof text, path))
        return 0;
    const char *at = strstr(text, name);
    return at ? strtoull(at + strlen(name), NULL, 10) * 1024 : 0;
}

uint64_t slm_memory_resident(void) { return line_of("/proc/self/status", "\nVmRSS:"); }
uint64_t slm_memory_peak(void) { return line_of("/proc/self/status", "\nVmHWM:"); }

static uint64_t number(const char *path)
{
    char text[64], *end;
    if (!read_text(text, sizeof text, path))
        return UINT64_MAX;
    uint64_t n = strtoull(text, &end, 10);
    return end == text || n > UINT64_MAX / 4 ? UINT64_MAX : n; /* "max", or version 1's */
}

/* A group's files of pages are given back under pressure: they do not count as taken. */
static uint64_t group(const char *limit, const char *used, const char *stat, const char *files)
{
    uint64_t most = number(limit), now = number(used), pages = 0;
    char text[4096];
    if (most == UINT64_MAX || now == UINT64_MAX)
        return UINT64_MAX;
    if (read_text(text, sizeof text, stat)) {
        const char *at = strstr(text, files);
        pages = at ? strtoull(at + strlen(files), NULL, 10) : 0;
    }
    now -= pages < now ? pages : now;
    return most > now ? most - now : 0;
}

uint64_t slm_memory_free(void)
{
    uint64_t n = line_of("/proc/meminfo", "\nMemAvailable:");
    uint64_t two = group("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current",
                         "/sys/fs/cgroup/memory.stat", "\nfile "),
             one = group("/sys/fs/cgroup/memory/memory.limit_in_bytes",
                         "/sys/fs/cgroup/memory/memory.usage_in_bytes",
                         "/sys/fs/cgroup/memory/memory.stat", "\ncache ");
    n = n ? n : UINT64_MAX;
    n = two < n ? two : n;
    return one < n ? one : n;
}
