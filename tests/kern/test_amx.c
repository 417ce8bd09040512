/* AMX: the check at start-up takes tiles that compute right and refuses tiles that do not, with
 * a warning; programs of prompts through tiles keep the promises that bits make. The tests of
 * the products themselves are checkkern's. On machines without AMX the instructions are carried
 * out by amx_trap.h. */
#include "toy.h"

#include "kern/amx_trap.h"
#include "kernels/kernels.h"
#include "kernels/probe.h"

struct said {
    int warnings;
    char line[256];
};
static void hear(void *arg, int level, const char *line)
{
    struct said *s = arg;
    s->warnings += level == SLM_LOG_WARN;
    snprintf(s->line, sizeof s->line, "%s", line);
}

static slm_runtime *open_below(struct said *s)
{
    slm_runtime_opts o;
    slm_runtime *rt;
    slm_err err;
    slm_runtime_opts_init(&o);
    o.threads = 2;
    o.cpu = "generic";
    o.log = hear;
    o.log_arg = s;
    assert_int_equal(slm_runtime_open(&rt, &o, &err), 0);
    return rt;
}

/* A fresh look at what this machine has, tiles included. False: no AVX512-BF16, no AMX. */
static bool climb(slm_runtime *rt)
{
    slm_err err;
    assert_int_equal(slm_cpu_detect(&rt->cpu, NULL, &err), 0);
    if (!amx_trap_install(&rt->cpu))
        return false;
    rt->cpu.top = SLM_CPU_AMX;
    assert_int_equal(slm_kern_settle(rt, NULL, &err), 0);
    return true;
}

static void sound(void **state)
{
    struct said s = {0};
    slm_runtime *rt = open_below(&s);
    (void)state;
    if (climb(rt)) {
        assert_int_equal(rt->cpu.top, SLM_CPU_AMX);
        assert_non_null(rt->kern->mul_prompt[SLM_Q4_K]);
        assert_null(rt->kern->mul_prompt[SLM_F32]);
        assert_int_equal(s.warnings, 0);
    }
    slm_runtime_close(&rt);
}

static void unsound(void **state)
{
    (void)state;
#if defined(__x86_64__) && defined(__linux__)
    for (int how = 1; how <= 2; how++) {
        struct said s = {0};
        slm_runtime *rt = open_below(&s);
        if (rt->cpu.has >> SLM_CPU_AMX & 1u) { /* true tiles cannot be made to fail */
            slm_runtime_close(&rt);
            return;
        }
        amx_broken = how;
        if (climb(rt)) {
            assert_true(rt->cpu.top < SLM_CPU_AMX);
            assert_false(rt->cpu.has >> SLM_CPU_AMX & 1u);
            assert_null(rt->kern->mul_prompt[SLM_BF16]);
            assert_int_equal(s.warnings, 1);
            assert_non_null(strstr(s.line, "AMX"));
        }
        amx_broken = 0;
        slm_runtime_close(&rt);
    }
#endif
}

/* A level that is slow is not used, unless it is named. */
static void slow(void **state)
{
    struct said s = {0};
    slm_runtime *rt = open_below(&s);
    struct slm_kern with, without;
    (void)state;
    slm_err err;
    assert_int_equal(slm_cpu_detect(&rt->cpu, NULL, &err), 0);
    slm_kern_fill(&with, &rt->cpu, rt->cpu.top);
    rt->cpu.slow = 1u << SLM_CPU_AVX512BF16;
    slm_kern_fill(&without, &rt->cpu, rt->cpu.top);
    if (rt->cpu.has >> SLM_CPU_AVX512BF16 & 1u)
        assert_ptr_not_equal((void *)(uintptr_t)with.mul_fast[SLM_BF16],
                             (void *)(uintptr_t)without.mul_fast[SLM_BF16]);
    assert_string_equal(slm_runtime_cpu_level_slow(rt, 0), "avx512bf16");
    assert_null(slm_runtime_cpu_level_slow(rt, 1));
    assert_int_equal(slm_kern_settle(rt, "avx512bf16", &err), 0);
    assert_int_equal(rt->cpu.slow, 0);
    assert_null(slm_runtime_cpu_level_slow(rt, 0));
    slm_runtime_close(&rt);
}

#define ROWS 40
#define WORDS 50

struct how {
    enum slm_dtype type;
    enum slm_phase phase;
    int threads, batch; /* rows a run */
    bool exact;
};

static void run_rows(slm_prog *p, slm_val logits, struct slm_kv *kv, int batch, float *out)
{
    int32_t ids[ROWS], pos[ROWS], rows[ROWS];
    for (int i = 0; i < ROWS; i++) {
        ids[i] = i * 7 % WORDS;
        pos[i] = rows[i] = i;
    }
    for (int i = 0; i < ROWS; i += batch) {
        int n = ROWS - i < batch ? ROWS - i : batch;
        struct slm_run r = {.rows = n,
                            .ids = ids + i,
                            .pos = pos + i,
                            .n_streams = 1,
                            .kv = &kv,
                            .out = rows,
                            .n_out = n};
        size_t ld;
        slm_prog_run(p, &r);
        const float *v = slm_prog_value(p, logits, &ld);
        for (int j = 0; j < n; j++)
            memcpy(out + (size_t)(i + j) * WORDS, v + (size_t)j * ld, WORDS * sizeof *out);
    }
}

/* (ROWS, WORDS) logits of a toy with experts and adapters. Were tiles to be had? */
static bool logits_of(const struct how *h, float *out)
{
    struct toy t;
    struct toy_model m = {.vocab = WORDS,
                          .d = 64,
                          .heads = 4,
                          .kv_heads = 2,
                          .c = 32,
                          .ff = 96,
                          .experts = 4,
                          .chosen = 2,
                          .type = h->type,
                          .lora = true,
                          .window = {0, 5}};
    struct slm_kv kv;
    int heads[2] = {2, 2}, width[2] = {32, 32};
    struct slm_kv_shape shape = {2, 64, h->batch, SLM_F32, heads, width, m.window};
    slm_err err;
    toy_open(&t, h->threads, "generic");
    toy_model_make(&t, &m);
    bool tiles = climb(t.rt);
    struct slm_prog_opts o = {.max_rows = h->batch,
                              .max_out = h->batch,
                              .fast = !h->exact,
                              .cache = true,
                              .phase = h->phase};
    slm_prog *p = toy_program(&t, &m, &o);
    assert_int_equal(slm_kv_init(&kv, t.rt, &shape, &err), 0);
    run_rows(p, m.logits, &kv, h->batch, out);
    slm_kv_release(&kv);
    slm_prog_free(p);
    toy_close(&t);
    return tiles;
}

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* The median row's relative distance: a few rows may choose another expert by a hair. */
static double off_from(const float *x, const float *z)
{
    double row[ROWS];
    for (int r = 0; r < ROWS; r++) {
        double off = 0, all = 0;
        for (int i = r * WORDS; i < (r + 1) * WORDS; i++) {
            off += (double)((x[i] - z[i]) * (x[i] - z[i]));
            all += (double)(z[i] * z[i]);
        }
        row[r] = sqrt(off / all);
    }
    qsort(row, ROWS, sizeof *row, rising);
    return row[ROWS / 2];
}

/* Threads and batches change no bit of a prompt's rows, and these are near the exact path's:
 * for quantised weights no further from it than steps are, whose activations have 8 bits. */
static void phases(void **state)
{
    static const enum slm_dtype types[] = {SLM_BF16, SLM_F16, SLM_Q8_0, SLM_Q4_0};
    static float x[ROWS * WORDS], y[ROWS * WORDS], z[ROWS * WORDS];
    (void)state;
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        struct how h = {types[k], SLM_PHASE_PROMPT, 1, ROWS, false};
        bool tiles = logits_of(&h, x);
        h.threads = 2;
        h.batch = 7;
        logits_of(&h, y);
        assert_memory_equal(x, y, sizeof x);
        h.batch = 1;
        logits_of(&h, y);
        assert_memory_equal(x, y, sizeof x);
        h.batch = ROWS;
        h.phase = SLM_PHASE_DECODE;
        logits_of(&h, y);
        if (tiles) /* another path indeed */
            assert_true(memcmp(x, y, sizeof x) != 0);
        h.exact = true;
        logits_of(&h, z);
        assert_true(off_from(x, z) < 0.01);
        if (types[k] == SLM_Q8_0 || types[k] == SLM_Q4_0)
            assert_true(off_from(x, z) <= off_from(y, z));
    }
}

/* The probes count what they do, and leave the tiles free. */
static void probes(void **state)
{
    struct said s = {0};
    slm_runtime *rt = open_below(&s);
    struct slm_probe p;
    double sink = 0;
    (void)state;
    if (climb(rt)) {
        slm_probe_fill(&p, &rt->cpu);
        assert_true(p.amx_bf16(2, &sink) == 2.0 * 4 * 16 * 16 * 32 * 2);
        assert_true(p.amx_int8(2, &sink) == 2.0 * 4 * 16 * 16 * 64 * 2);
    }
    slm_runtime_close(&rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound),  cmocka_unit_test(unsound), cmocka_unit_test(slow),
        cmocka_unit_test(phases), cmocka_unit_test(probes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
