/* What the fuzz targets of models share: a runtime, files that live in memory, and a token or
 * two computed on whatever opened. */
#ifndef TESTS_FUZZ_KIT_H
#define TESTS_FUZZ_KIT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/base.h"
#include "slm/slm.h"

#define CHECK(x) ((x) ? (void)0 : __builtin_trap())

static slm_runtime *rt;

static inline void fuzz_runtime(void)
{
    slm_runtime_opts o;
    slm_runtime_opts_init(&o);
    o.threads = 1;
    if (!rt)
        CHECK(slm_runtime_open(&rt, &o, NULL) == 0);
}

/* A path under which these bytes are a file, until the next call. */
static inline const char *fuzz_file(const void *data, size_t size)
{
    static int fd = -1;
    static char path[64];
    if (fd >= 0)
        close(fd);
    fd = memfd_create("fuzz", MFD_CLOEXEC);
    CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return path;
}

/* What was refused must say why; what was not must compute. */
static inline void fuzz_model(const char *path)
{
    static const int32_t ids[] = {3, 0, 5};
    slm_model_opts mo = {.no_tokenizer = 1};
    slm_session_opts so = {.context = 8, .batch = 2, .exact = 1};
    slm_model *m = NULL;
    slm_session *s = NULL;
    slm_model_info info;
    slm_mem_stats before, after;
    slm_err err = {0};
    slm_runtime_memory(rt, &before);
    int rc = slm_model_open(&m, rt, path, &mo, &err);
    CHECK(rc ? !m && err.code == rc && err.msg[0] : !!m);
    if (!rc) {
        slm_model_info_get(m, &info);
        rc = slm_session_open(&s, m, &so, &err);
    }
    if (!rc && info.vocab > 5)
        (void)slm_session_append(s, ids, 3, &err);
    slm_session_close(&s);
    slm_model_close(&m);
    slm_runtime_memory(rt, &after);
    CHECK(before.blocks == after.blocks && before.bytes == after.bytes);
}

#endif
