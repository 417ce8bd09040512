/* Packed equals unpacked: the bundled model gives the same bits, whole and token by token,
 * whether its matrices were repacked for this CPU or not, at every level. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "slm/slm.h"

enum { TOKENS = 24, STEPS = 4 };

struct taker {
    float *to;
    int vocab;
};

static int take(void *arg, int row, const float *logits)
{
    struct taker *t = arg;
    memcpy(t->to + (size_t)row * (size_t)t->vocab, logits, (size_t)t->vocab * sizeof *logits);
    return 0;
}

/* Logits of TOKENS tokens at once, then STEPS one by one. */
static float *logits_of(slm_runtime *rt, int pack, int *vocab)
{
    slm_err err = {0};
    slm_model *m = NULL;
    slm_session *s = NULL;
    slm_model_opts mo;
    slm_session_opts so;
    slm_model_opts_init(&mo);
    slm_session_opts_init(&so);
    mo.pack = pack;
    so.context = 64;
    assert_int_equal(slm_model_open(&m, rt, "models/storyteller.gguf", &mo, &err), 0);
    assert_int_equal(slm_session_open(&s, m, &so, &err), 0);
    slm_model_info info;
    slm_model_info_get(m, &info);
    *vocab = info.vocab;
    float *all = malloc((size_t)(TOKENS + STEPS) * (size_t)info.vocab * sizeof *all);
    assert_non_null(all);
    int32_t ids[TOKENS + STEPS];
    for (int i = 0; i < TOKENS + STEPS; i++)
        ids[i] = (i * 131 + 7) % info.vocab;
    struct taker t = {all, info.vocab};
    assert_int_equal(slm_session_score(s, ids, TOKENS, take, &t, &err), 0);
    for (int i = 0; i < STEPS; i++) {
        t.to = all + (size_t)(TOKENS + i) * (size_t)info.vocab;
        assert_int_equal(slm_session_score(s, ids + TOKENS + i, 1, take, &t, &err), 0);
    }
    slm_session_close(&s);
    slm_model_close(&m);
    return all;
}

static void test_same_bits(void **state)
{
    (void)state;
    for (int i = 0;; i++) {
        slm_runtime *rt = NULL, *probe = NULL;
        slm_runtime_opts o;
        slm_err err = {0};
        slm_runtime_opts_init(&o);
        o.threads = 2;
        assert_int_equal(slm_runtime_open(&probe, &o, &err), 0);
        o.cpu = slm_runtime_cpu_level_at(probe, i);
        if (o.cpu)
            assert_int_equal(slm_runtime_open(&rt, &o, &err), 0);
        slm_runtime_close(&probe);
        if (!rt)
            return;
        int vocab = 0;
        float *plain = logits_of(rt, 0, &vocab), *packed = logits_of(rt, 1, &vocab);
        assert_memory_equal(plain, packed,
                            (size_t)(TOKENS + STEPS) * (size_t)vocab * sizeof *plain);
        free(plain);
        free(packed);
        slm_runtime_close(&rt);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
