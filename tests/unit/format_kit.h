/* What the tests of the file formats share: a runtime without kernels, a folder of their own,
 * and bytes put together by hand. */
#ifndef SLM_TESTS_FORMAT_KIT_H
#define SLM_TESTS_FORMAT_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/base.h"

static slm_runtime rt;
static char folder[64];

static int kit_open(void **state)
{
    (void)state;
    slm_runtime_opts o = {.threads = 1};
    slm_err err;
    strcpy(folder, "/tmp/slm-test-XXXXXX");
    return slm_state_init(&rt, &o, &err) || !mkdtemp(folder);
}

static int kit_close(void **state)
{
    (void)state;
    slm_dir_remove(folder);
    slm_state_release(&rt);
    return 0;
}

/* Path of a file in the test's folder; valid until four calls later. */
static inline const char *in_folder(const char *name)
{
    static char s[4][160];
    static int i;
    char *p = s[i++ & 3];
    snprintf(p, sizeof s[0], "%s/%s", folder, name);
    return p;
}

static inline void write_file(const char *path, const void *p, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* err must have this code and name this thing. */
static inline void assert_refused(int rc, const slm_err *err, int code, const char *words,
                                  const char *what)
{
    if (rc == 0 || (code && rc != code) || rc != err->code || !strstr(err->msg, words))
        fail_msg("%s: got %d \"%s\", want %d \"%s\"", what, rc, rc ? err->msg : "", code,
                 words);
}

struct bytes {
    uint8_t b[1 << 17];
    size_t n;
};

static inline size_t put(struct bytes *o, const void *p, size_t n)
{
    size_t at = o->n;
    assert_true(n <= sizeof o->b - at);
    if (n)
        memcpy(o->b + at, p, n);
    o->n += n;
    return at;
}

static inline size_t put32(struct bytes *o, uint32_t v) { return put(o, &v, 4); }
static inline size_t put64(struct bytes *o, uint64_t v) { return put(o, &v, 8); }

#endif
