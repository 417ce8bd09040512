/* What the golden tests share: runtimes at a CPU level, the folders of tests/golden with their
 * truth, sequences computed whole and in steps, and a scratch folder. */
#ifndef TESTS_GOLDEN_KIT_H
#define TESTS_GOLDEN_KIT_H

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "format/safetensors.h"
#include "slm/slm.h"

#define GOLDEN "tests/golden"
#define MOST_MODELS 64
#define MOST_IDS 128

/* ---- runtimes ---- */

/* $SLM_TEST_THREADS (make check) takes the place of the number asked for. */
static inline slm_runtime *runtime_new(const char *cpu, int threads)
{
    const char *all = getenv("SLM_TEST_THREADS");
    slm_runtime *rt = NULL;
    slm_runtime_opts o;
    slm_err err = {0};
    slm_runtime_opts_init(&o);
    o.cpu = cpu;
    o.threads = all ? (int)strtol(all, NULL, 10) : threads;
    if (slm_runtime_open(&rt, &o, &err))
        fail_msg("runtime at %s: %s", cpu ? cpu : "best", err.msg);
    return rt;
}

/* Names of this machine's CPU levels, lowest first; NULL behind the last. */
static inline const char *level_at(int i)
{
    static char name[32];
    slm_runtime *rt = runtime_new(NULL, 1);
    const char *s = slm_runtime_cpu_level_at(rt, i);
    if (s)
        snprintf(name, sizeof name, "%s", s);
    slm_runtime_close(&rt);
    return s ? name : NULL;
}

/* ---- a scratch folder of plain files ---- */

static char scratch_dir[64];

static inline const char *scratch(const char *name)
{
    static char s[4][256];
    static int i;
    char *p = s[i++ & 3];
    snprintf(p, sizeof s[0], "%s/%s", scratch_dir, name);
    return p;
}

static inline int scratch_open(void **state)
{
    (void)state;
    /* in memory where that can be: thousands of small files are made whole, synced and removed
     */
    strcpy(scratch_dir, "/dev/shm/slm-golden-XXXXXX");
    if (mkdtemp(scratch_dir))
        return 0;
    strcpy(scratch_dir, "/tmp/slm-golden-XXXXXX");
    return !mkdtemp(scratch_dir);
}

static inline int scratch_close(void **state)
{
    (void)state;
    slm_dir_remove(scratch_dir);
    return 0;
}

static inline void copy_file(const char *from, const char *to)
{
    char block[4096];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    if (!in || !out)
        fail_msg("cannot copy %s to %s", from, to);
    for (size_t n; (n = fread(block, 1, sizeof block, in)) > 0;)
        assert_int_equal(fwrite(block, 1, n, out), n);
    assert_int_equal(ferror(in), 0);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

/* A copy of folder `from` in the scratch folder's place, with `config` as its config.json. */
static inline void copy_model(const char *from, const char *to, const char *config)
{
    char a[512], b[512];
    DIR *d = opendir(from);
    slm_dir_remove(to);
    assert_int_equal(slm_dir_make(to, NULL), 0);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        if (!strstr(e->d_name, "model"))
            continue;
        snprintf(a, sizeof a, "%s/%s", from, e->d_name);
        snprintf(b, sizeof b, "%s/%s", to, e->d_name);
        copy_file(a, b);
    }
    closedir(d);
    snprintf(a, sizeof a, "%s/%s", from, config);
    snprintf(b, sizeof b, "%s/config.json", to);
    copy_file(a, b);
}

/* ---- one folder of tests/golden ---- */

struct golden {
    slm_runtime *rt;
    const char *name;
    char path[256];
    slm_json *expect;
    slm_st *truth;
    int32_t ids[MOST_IDS];
    int n, vocab;
    float top; /* largest logit of the truth */
    slm_mem_stats before;
};

static inline int ids_of(const slm_json *list, int32_t *out)
{
    int n = (int)slm_json_count(list);
    assert_true(n > 0 && n <= MOST_IDS);
    for (int i = 0; i < n; i++)
        out[i] = (int32_t)slm_json_int(slm_json_at(list, (size_t)i), -1);
    return n;
}

static inline const float *truth_of(const struct golden *g, const char *name, size_t count)
{
    const struct slm_tensor_ref *t = slm_st_tensor_find(g->truth, name);
    if (!t || t->type != SLM_F32 || t->count != count)
        fail_msg("%s: truth %s is missing or of another size", g->name, name);
    return (const float *)(const void *)t->data;
}

static inline float largest(const float *x, size_t n)
{
    float top = 0;
    for (size_t i = 0; i < n; i++)
        top = fmaxf(top, fabsf(x[i]));
    return top;
}

/* Reads the expectations; models are opened on g->rt by the caller. */
static inline void golden_open(struct golden *g, const char *name, const char *cpu, int threads)
{
    slm_err err = {0};
    char file[320];
    memset(g, 0, sizeof *g);
    g->rt = runtime_new(cpu, threads);
    slm_runtime_memory(g->rt, &g->before);
    g->name = name;
    snprintf(g->path, sizeof g->path, GOLDEN "/%s", name);
    snprintf(file, sizeof file, "%s/expect.json", g->path);
    if (slm_json_load(&g->expect, g->rt, file, 1 << 20, &err))
        fail_msg("%s", err.msg);
    snprintf(file, sizeof file, "%s/expect.safetensors", g->path);
    if (slm_st_open(&g->truth, g->rt, file, &err))
        fail_msg("%s", err.msg);
    g->n = ids_of(slm_json_find(g->expect, "ids"), g->ids);
    const struct slm_tensor_ref *t = slm_st_tensor_find(g->truth, "logits");
    assert_non_null(t);
    g->vocab = (int)t->dim[1];
    g->top = largest(truth_of(g, "logits", (size_t)g->n * g->vocab), (size_t)g->n * g->vocab);
}

static inline void golden_close(struct golden *g)
{
    slm_mem_stats after;
    slm_json_free(g->expect);
    slm_st_close(&g->truth);
    slm_runtime_memory(g->rt, &after);
    assert_int_equal(after.blocks, g->before.blocks);
    assert_int_equal(after.bytes, g->before.bytes);
    slm_runtime_close(&g->rt);
}

static inline slm_model *model_at(slm_runtime *rt, const char *path)
{
    slm_model *m = NULL;
    slm_err err = {0};
    slm_model_opts o;
    slm_model_opts_init(&o);
    o.allow_no_tokenizer = 1;
    if (slm_model_open(&m, rt, path, &o, &err))
        fail_msg("%s", err.msg);
    return m;
}

struct how {
    int batch, fast, context; /* 0: whole sequence, exact, 64 */
    const char *kv;
};

static inline slm_session *session_on(const slm_model *m, const struct how *how)
{
    slm_session *s = NULL;
    slm_err err = {0};
    slm_session_opts o;
    slm_session_opts_init(&o);
    o.context = how->context ? how->context : 64;
    o.batch = how->batch ? how->batch : 64;
    o.exact = !how->fast;
    o.kv_type = how->kv;
    if (slm_session_open(&s, m, &o, &err))
        fail_msg("%s", err.msg);
    return s;
}

/* ---- sequences ---- */

struct rows {
    float *to;
    int vocab;
};

static inline int take_row(void *arg, int row, const float *logits)
{
    struct rows *r = arg;
    memcpy(r->to + (size_t)row * r->vocab, logits, (size_t)r->vocab * sizeof *logits);
    return 0;
}

/* Logits (n, vocab) of the model at path, the caller's to free. */
static inline float *logits_at(slm_runtime *rt, const char *path, const int32_t *ids, int n,
                               const struct how *how)
{
    static const struct how plain;
    slm_model *m = model_at(rt, path);
    slm_session *s = session_on(m, how ? how : &plain);
    slm_model_info info;
    slm_model_info_get(m, &info);
    float *out = malloc((size_t)n * info.vocab * sizeof *out);
    struct rows r = {out, info.vocab};
    slm_err err = {0};
    if (slm_session_score(s, ids, n, take_row, &r, &err))
        fail_msg("%s: %s", path, err.msg);
    slm_session_close(&s);
    slm_model_close(&m);
    return out;
}

/* The same, one token at a time. */
static inline float *steps_at(slm_runtime *rt, const char *path, const int32_t *ids, int n,
                              const struct how *how)
{
    static const struct how plain;
    slm_model *m = model_at(rt, path);
    slm_session *s = session_on(m, how ? how : &plain);
    slm_model_info info;
    slm_model_info_get(m, &info);
    float *out = malloc((size_t)n * info.vocab * sizeof *out);
    slm_err err = {0};
    for (int t = 0; t < n; t++) {
        if (slm_session_append(s, ids + t, 1, &err))
            fail_msg("%s: %s", path, err.msg);
        memcpy(out + (size_t)t * info.vocab, slm_session_logits(s), info.vocab * sizeof *out);
    }
    slm_session_close(&s);
    slm_model_close(&m);
    return out;
}

static inline void assert_close(const float *a, const float *b, size_t n, float bound,
                                const char *what)
{
    float worst = 0;
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(a[i] - b[i]) <= worst))
            worst = fabsf(a[i] - b[i]);
    if (!(worst <= bound))
        fail_msg("%s: off by %g, may be %g", what, (double)worst, (double)bound);
}

static inline void assert_same(const float *a, const float *b, size_t n, const char *what)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(a + i, b + i, sizeof *a))
            fail_msg("%s: value %zu: %.9g and %.9g", what, i, (double)a[i], (double)b[i]);
}

/* ---- every folder, as a test of its own ---- */

static char model_names[MOST_MODELS][64];

static inline int by_name(const void *a, const void *b) { return strcmp(a, b); }

static inline int list_models(void)
{
    DIR *d = opendir(GOLDEN);
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d)) && n < MOST_MODELS;) {
        char file[512];
        snprintf(file, sizeof file, GOLDEN "/%s/expect.json", e->d_name);
        if (e->d_name[0] != '.' && strlen(e->d_name) < sizeof model_names[0] &&
            slm_path_is_file(file))
            strcpy(model_names[n++], e->d_name);
    }
    if (d)
        closedir(d);
    qsort(model_names, (size_t)n, sizeof model_names[0], by_name);
    return n;
}

struct golden_test {
    const char *name;
    void (*run)(const char *model);
};

struct golden_case {
    const struct golden_test *test;
    char model[64], title[128];
};

static inline void run_golden(void **state)
{
    const struct golden_case *c = *state;
    c->test->run(c->model);
}

/* All tests on all models; the exit code of the program. */
static inline int golden_main(const struct golden_test *tests, int n_tests)
{
    int n_models = list_models(), n = n_models * n_tests;
    struct golden_case *cases = calloc((size_t)n + 1, sizeof *cases);
    struct CMUnitTest *list = calloc((size_t)n + 1, sizeof *list);
    if (!cases || !list || n < 1) {
        printf("FAIL no models in " GOLDEN "\n");
        return 1;
    }
    for (int i = 0; i < n; i++) {
        struct golden_case *c = &cases[i];
        c->test = &tests[i / n_models];
        strcpy(c->model, model_names[i % n_models]);
        snprintf(c->title, sizeof c->title, "%s: %s", c->model, c->test->name);
        list[i] =
            (struct CMUnitTest){.name = c->title, .test_func = run_golden, .initial_state = c};
    }
    int rc = _cmocka_run_group_tests("golden", list, (size_t)n, scratch_open, scratch_close);
    free(list);
    free(cases);
    return rc;
}

#endif
