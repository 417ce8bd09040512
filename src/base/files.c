/* Files. Reading is by map, or whole with a limit; writing goes to a temporary sibling that is
 * synced and renamed, so that a reader sees the old file or the new one and never half of
 * either. */
#include "base/files.h"
#include "base/sweep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int fail_errno(slm_err *err, const char *path, const char *what)
{
    int e = errno;
    return slm_fail(err,
                    e == ENOENT || e == ENOTDIR ? SLM_E_NOTFOUND
                    : e == ENOMEM               ? SLM_E_NOMEM
                                                : SLM_E_IO,
                    "%s: %s: %s", path, what, strerror(e));
}

static int open_plain(const char *path, struct stat *st, int *fd, slm_err *err)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return fail_errno(err, path, "cannot open");
    if (fstat(*fd, st)) {
        int rc = fail_errno(err, path, "cannot stat");
        close(*fd);
        return rc;
    }
    if (S_ISDIR(st->st_mode)) {
        close(*fd);
        return slm_fail(err, SLM_E_IO, "%s: is a folder, want a file", path);
    }
    return 0;
}

int slm_map_open(struct slm_map *m, const char *path, slm_err *err)
{
    struct stat st;
    int fd, rc = open_plain(path, &st, &fd, err);
    memset(m, 0, sizeof *m);
    if (rc)
        return rc;
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return slm_fail(err, SLM_E_IO, "%s: is no regular file and cannot be mapped", path);
    }
    if (st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            rc = fail_errno(err, path, "cannot map");
        else
            *m = (struct slm_map){p, (size_t)st.st_size};
    }
    close(fd);
    return rc;
}

void slm_map_close(struct slm_map *m)
{
    if (m->data)
        munmap((void *)(uintptr_t)m->data, m->size);
    memset(m, 0, sizeof *m);
}

void slm_map_forget(const void *p, size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = ((uintptr_t)p + page - 1) / page * page,
              to = ((uintptr_t)p + n) / page * page;
    if (from < to)
        madvise((void *)from, to - from, MADV_DONTNEED);
}

int slm_swap_open(struct slm_swap *s, slm_runtime *rt, const char *path, size_t size,
                  slm_err *err)
{
    memset(s, 0, sizeof *s);
    int rc = slm_out_check(path, err);
    if (rc)
        return rc;
    s->path = slm_alloc(rt, SLM_MEM_BASE, strlen(path) + 1);
    if (!s->path)
        return slm_fail_mem(err, path, strlen(path) + 1);
    memcpy(s->path, path, strlen(path) + 1);
    s->rt = rt;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        slm_free(rt, s->path);
        s->rt = NULL;
        return fail_errno(err, path, "cannot create");
    }
    /* room is taken now: a full disk is told here, and not by a signal at some later write */
    int e = size ? posix_fallocate(fd, 0, (off_t)size) : 0;
    void *p =
        e || !size ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (e)
        errno = e;
    if (p == MAP_FAILED && size)
        rc = fail_errno(err, path, e ? "cannot make room" : "cannot map");
    close(fd);
    s->data = p == MAP_FAILED ? NULL : p;
    s->size = size;
    if (rc)
        slm_swap_close(s);
    return rc;
}

void slm_swap_close(struct slm_swap *s)
{
    if (!s->rt)
        return;
    if (s->data)
        munmap(s->data, s->size);
    unlink(s->path);
    slm_free(s->rt, s->path);
    memset(s, 0, sizeof *s);
}

int slm_file_slurp(struct slm_buf *buf, const char *path, slm_err *err)
{
    struct stat st;
    int fd, rc = open_plain(path, &st, &fd, err);
    if (rc)
        return rc;
    char chunk[4096];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof chunk)) != 0 && !buf->failed) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            rc = fail_errno(err, path, "cannot read");
            break;
        }
        slm_buf_put(buf, chunk, (size_t)n);
    }
    close(fd);
    return rc ? rc : slm_buf_check(buf, path, err);
}

bool slm_path_is_dir(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

bool slm_path_is_file(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISREG(st.st_mode);
}

bool slm_path_same(const char *a, const char *b)
{
    struct stat x, y;
    return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

const char *slm_path_join(struct slm_buf *buf, const char *dir, const char *name)
{
    slm_buf_reset(buf);
    slm_buf_puts(buf, dir);
    if (*dir && !slm_str_ends(dir, "/"))
        slm_buf_putc(buf, '/');
    slm_buf_puts(buf, name);
    return buf->s;
}

bool slm_path_is_plain(const char *name)
{
    if (!*name || !strcmp(name, ".") || !strcmp(name, ".."))
        return false;
    for (const unsigned char *p = (const unsigned char *)name; *p; p++)
        if (*p == '/' || *p == '\\' || *p < 0x20)
            return false;
    return true;
}

const char *slm_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool slm_str_ends(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && !memcmp(s + n - m, end, m);
}

uint64_t slm_path_free_bytes(const char *path)
{
    struct statvfs v;
    char dir[4096];
    size_t n = (size_t)(slm_path_base(path) - path);
    if (n + 2 > sizeof dir)
        return UINT64_MAX;
    memcpy(dir, path, n);
    memcpy(dir + n, ".", 2);
    return statvfs(dir, &v) ? UINT64_MAX : (uint64_t)v.f_bavail * v.f_frsize;
}

int slm_out_check(const char *path, slm_err *err)
{
    struct stat st;
    char dir[4096];
    size_t n = (size_t)(slm_path_base(path) - path);
    if (!stat(path, &st)) {
        if (S_ISDIR(st.st_mode))
            return slm_fail(err, SLM_E_IO, "%s: is a folder, cannot write a file there", path);
        /* committing would put a file in the place of a device */
        if (!S_ISREG(st.st_mode))
            return slm_fail(err, SLM_E_IO, "%s: is no plain file, cannot write over it", path);
    }
    if (n + 2 > sizeof dir)
        return slm_fail(err, SLM_E_IO, "%.60s...: the name is too long", path);
    memcpy(dir, path, n);
    memcpy(dir + n, ".", 2);
    return access(dir, W_OK | X_OK) ? fail_errno(err, path, "cannot create") : 0;
}

#define OUT_BUF ((size_t)1 << 18)

int slm_out_open(struct slm_out *o, slm_runtime *rt, const char *path, slm_err *err)
{
    memset(o, 0, sizeof *o);
    o->rt = rt;
    o->fd = -1;
    size_t n = strlen(path);
    int rc = slm_out_check(path, err);
    if (rc)
        return rc;
    o->path = slm_alloc(rt, SLM_MEM_BASE, n + 1);
    /* until it is named, close removes nothing */
    o->tmp = slm_zalloc(rt, SLM_MEM_BASE, n + 32);
    o->buf = slm_alloc(rt, SLM_MEM_BASE, OUT_BUF);
    if (!o->path || !o->tmp || !o->buf) {
        slm_out_close(o);
        return slm_fail_mem(err, path, OUT_BUF);
    }
    memcpy(o->path, path, n + 1);
    snprintf(o->tmp, n + 32, "%s.tmp-%ld", path, (long)getpid());
    o->fd = open(o->tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (o->fd < 0) {
        rc = fail_errno(err, path, "cannot create");
        slm_free(rt, o->tmp);
        o->tmp = NULL;
        slm_out_close(o);
        return rc;
    }
    return 0;
}

static int write_all(struct slm_out *o, const uint8_t *p, size_t n, slm_err *err)
{
    while (n) {
        ssize_t k = write(o->fd, p, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return fail_errno(err, o->path, "cannot write");
        p += k;
        n -= (size_t)k;
    }
    return 0;
}

static int flush(struct slm_out *o, slm_err *err)
{
    int rc = write_all(o, o->buf, o->used, err);
    o->used = 0;
    return rc;
}

int slm_out_write(struct slm_out *o, const void *p, size_t n, slm_err *err)
{
    o->size += n;
    if (n <= OUT_BUF - o->used) {
        if (n)
            memcpy(o->buf + o->used, p, n);
        o->used += n;
        return 0;
    }
    int rc = flush(o, err);
    if (rc)
        return rc;
    if (n >= OUT_BUF)
        return write_all(o, p, n, err);
    memcpy(o->buf, p, n);
    o->used = n;
    return 0;
}

int slm_out_patch(struct slm_out *o, uint64_t offset, const void *p, size_t n, slm_err *err)
{
    int rc = flush(o, err);
    if (rc)
        return rc;
    if (offset > o->size || n > o->size - offset)
        return slm_fail(err, SLM_E_INTERNAL, "%s: patch behind the end", o->path);
    ssize_t k = pwrite(o->fd, p, n, (off_t)offset);
    return k == (ssize_t)n ? 0 : fail_errno(err, o->path, "cannot write");
}

int slm_out_commit(struct slm_out *o, slm_err *err)
{
    int rc = flush(o, err);
    if (!rc && fsync(o->fd) && errno != EINVAL && errno != EROFS)
        rc = fail_errno(err, o->path, "cannot sync");
    int e = close(o->fd);
    o->fd = -1;
    if (!rc && e)
        rc = fail_errno(err, o->path, "cannot close");
    if (!rc && rename(o->tmp, o->path))
        rc = fail_errno(err, o->path, "cannot rename the finished file");
    if (!rc) {
        slm_free(o->rt, o->tmp);
        o->tmp = NULL;
    }
    slm_out_close(o);
    return rc;
}

void slm_out_close(struct slm_out *o)
{
    if (!o->rt)
        return;
    if (o->fd >= 0)
        close(o->fd);
    if (o->tmp)
        unlink(o->tmp);
    slm_free(o->rt, o->tmp);
    slm_free(o->rt, o->path);
    slm_free(o->rt, o->buf);
    memset(o, 0, sizeof *o);
    o->fd = -1;
}

void slm_out_sweep(const char *path)
{
    char dir[4096], *end;
    const char *base = slm_path_base(path);
    size_t n = (size_t)(base - path), k = strlen(base);
    if (n + 2 > sizeof dir)
        return;
    memcpy(dir, path, n);
    memcpy(dir + n, ".", 2);
    DIR *d = opendir(dir);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));) {
        if (strncmp(e->d_name, base, k) || strncmp(e->d_name + k, ".tmp-", 5))
            continue;
        long pid = strtol(e->d_name + k + 5, &end, 10);
        if (!*end && pid > 0 && kill((pid_t)pid, 0) && errno == ESRCH)
            unlinkat(dirfd(d), e->d_name, 0);
    }
    closedir(d);
}

int slm_dir_make(const char *path, slm_err *err)
{
    return mkdir(path, 0777) ? fail_errno(err, path, "cannot make the folder") : 0;
}

int slm_path_rename(const char *from, const char *to, slm_err *err)
{
    return rename(from, to) ? fail_errno(err, to, "cannot rename") : 0;
}

void slm_dir_remove(const char *path)
{
    DIR *d = opendir(path);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));)
        unlinkat(dirfd(d), e->d_name, 0); /* "." and ".." are refused, which is what we want */
    closedir(d);
    rmdir(path);
}
