/* The number of threads. Reading (sysfs, the affinity mask, control groups) is apart from
 * choosing, which is a pure function; whatever cannot be read is taken as not limiting. Where
 * the system is not Linux the online CPUs are the answer. */
#include "base/cores.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/err.h"

#if defined(__linux__)
#include <sched.h>
#endif

static int strength(const struct slm_core *c) { return c->capacity > 0 ? c->capacity : 1024; }

static bool siblings(const struct slm_core *a, const struct slm_core *b)
{
    return a->core >= 0 && a->core == b->core && a->package == b->package;
}

/* The first allowed CPU of each core, strongest kinds first; cores too weak are left out. */
static int list_cores(struct slm_core_choice *out, const struct slm_core_facts *f, int *weak,
                      int *spare)
{
    int at[SLM_CORES_MOST], n = 0, most = 0;
    *weak = *spare = 0;
    for (int i = 0; i < f->n; i++) {
        const struct slm_core *c = &f->core[i];
        bool other = false;
        for (int k = 0; k < n && !other; k++)
            other = siblings(c, &f->core[at[k]]);
        *spare += c->allowed && other;
        if (!c->allowed || other)
            continue;
        int k = n++;
        for (; k > 0 && strength(&f->core[at[k - 1]]) < strength(c); k--)
            at[k] = at[k - 1];
        at[k] = i;
        most = most > strength(c) ? most : strength(c);
    }
    int kept = 0;
    for (int k = 0; k < n; k++)
        if (2 * strength(&f->core[at[k]]) >= most)
            out->cpu[kept++] = f->core[at[k]].cpu;
    *weak = n - kept;
    return kept;
}

void slm_cores_choose(struct slm_core_choice *out, const struct slm_core_facts *f)
{
    int weak, spare, cores = list_cores(out, f, &weak, &spare), n = cores;
    if (n < 1) {
        n = cores = 1;
        out->cpu[0] = -1;
    }
    int granted = (int)(f->quota < SLM_CORES_MOST ? f->quota + 0.5 : SLM_CORES_MOST);
    if (f->quota > 0 && granted < n)
        n = granted < 1 ? 1 : granted;
    out->threads = n;
    char quota[24] = "none", extra[48] = "";
    size_t used = 0;
    if (f->quota > 0)
        snprintf(quota, sizeof quota, "%.2f", f->quota);
    if (spare)
        used = (size_t)snprintf(extra, sizeof extra, " (%d siblings", spare);
    if (weak)
        used += (size_t)snprintf(extra + used, sizeof extra - used, "%s%d weak cores",
                                 spare ? ", " : " (", weak);
    if (used)
        snprintf(extra + used, sizeof extra - used, " left out)");
    snprintf(out->how, sizeof out->how, "%d thread%s: %d core%s%s, quota %s", n,
             n == 1 ? "" : "s", cores, cores == 1 ? "" : "s", extra, quota);
}

double slm_cores_quota(const char *quota, const char *period)
{
    char *end;
    double q = strtod(quota, &end), per;
    if (end == quota || !(q > 0))
        return 0;
    const char *rest = period ? period : end;
    per = strtod(rest, &end);
    return end != rest && per > 0 && q / per < 1e6 ? q / per : 0;
}

#if defined(__linux__)
/* A small file's text, without its end of line; false when there is none. */
static bool read_text(char *out, size_t room, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, out, room - 1);
    close(fd);
    out[n > 0 ? n : 0] = 0;
    if (n > 0 && out[n - 1] == '\n')
        out[n - 1] = 0;
    return n > 0;
}

static int16_t read_number(int cpu, const char *name, int16_t otherwise)
{
    char path[96], text[32], *end;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/%s", cpu, name);
    if (!read_text(text, sizeof text, path))
        return otherwise;
    long v = strtol(text, &end, 10);
    return end != text && v >= 0 && v <= INT16_MAX ? (int16_t)v : otherwise;
}

/* The limit in one group's folder, of either version. */
static double limit_in(const char *dir)
{
    char path[600], quota[64], period[64];
    snprintf(path, sizeof path, "%s/cpu.max", dir);
    if (read_text(quota, sizeof quota, path))
        return slm_cores_quota(quota, NULL);
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", dir);
    if (!read_text(quota, sizeof quota, path))
        return 0;
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", dir);
    return read_text(period, sizeof period, path) ? slm_cores_quota(quota, period) : 0;
}

/* The tightest limit of a group and of those above it: each binds. Inside a container the path
 * may be one that only the host has; then the root of what is mounted is the container's. */
static double limit_above(const char *mount, const char *group)
{
    char dir[512];
    double least = 0;
    if (snprintf(dir, sizeof dir, "%s%s", mount, group) >= (int)sizeof dir)
        return 0;
    for (;;) {
        double q = limit_in(dir);
        if (q > 0 && (least <= 0 || q < least))
            least = q;
        char *slash = strrchr(dir + strlen(mount), '/');
        if (!slash)
            return least;
        *slash = 0;
    }
}

/* Lines are "0::/group" (second version) and "4:cpu,cpuacct:/group" (first). */
static double find_quota(void)
{
    char text[4096];
    double least = 0;
    if (!read_text(text, sizeof text, "/proc/self/cgroup"))
        return 0;
    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        char *names = strchr(line, ':'), *group = names ? strchr(names + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = 0;
        char list[160];
        snprintf(list, sizeof list, ",%s,", names + 1);
        double q = 0;
        if (!names[1])
            q = limit_above("/sys/fs/cgroup", group);
        else if (strstr(list, ",cpu,"))
            q = limit_above("/sys/fs/cgroup/cpu", group);
        if (q > 0 && (least <= 0 || q < least))
            least = q;
    }
    return least;
}

static void look(struct slm_core_facts *f)
{
    cpu_set_t mask;
    CPU_ZERO(&mask);
    if (sched_getaffinity(0, sizeof mask, &mask))
        return;
    int most = CPU_SETSIZE < SLM_CORES_MOST ? CPU_SETSIZE : SLM_CORES_MOST;
    for (int cpu = 0; cpu < most; cpu++) {
        if (!CPU_ISSET(cpu, &mask))
            continue;
        f->core[f->n++] = (struct slm_core){
            .cpu = (int16_t)cpu,
            .package = read_number(cpu, "topology/physical_package_id", 0),
            .core = read_number(cpu, "topology/core_id", -1),
            .capacity = read_number(cpu, "cpu_capacity", 0),
            .allowed = true,
        };
    }
    f->quota = find_quota();
}
#else
static void look(struct slm_core_facts *f) { (void)f; }
#endif

/* Where the mask cannot be had, the online CPUs, each a core of its own. */
static void look_online(struct slm_core_facts *f)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    f->n = n < 1 ? 1 : n > SLM_CORES_MOST ? SLM_CORES_MOST : (int)n;
    for (int i = 0; i < f->n; i++)
        f->core[i] = (struct slm_core){.cpu = (int16_t)i, .core = -1, .allowed = true};
}

int slm_cores_find(struct slm_core_choice *out, slm_runtime *rt, slm_err *err)
{
    struct slm_core_facts *f = slm_zalloc(rt, SLM_MEM_BASE, sizeof *f);
    if (!f)
        return slm_fail_mem(err, "facts of the cores", sizeof *f);
    look(f);
    if (!f->n)
        look_online(f);
    slm_cores_choose(out, f);
    slm_free(rt, f);
    return 0;
}
