/* Documents that share a row give the loss that each gives alone: attention stays within a
 * document and positions begin anew, through the models' own programs. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "data/tokens.h"
#include "model/model_room.h"

enum { DOCS = 12, SEQ = 40 };

static slm_tokens *make_store(slm_runtime *rt, int vocab)
{
    struct slm_tokens_out o;
    slm_tokens *t;
    slm_err err = {0};
    struct slm_rng rng;
    char path[] = "/tmp/slm-packed-XXXXXX";
    int32_t ids[SEQ];
    uint8_t learn[SEQ];
    close(mkstemp(path));
    slm_rng_init(&rng, 5);
    assert_int_equal(slm_tokens_out_open(&o, rt, path, SLM_TOKENS_CHAT, vocab, &err), 0);
    for (int d = 0; d < DOCS; d++) {
        int n = 3 + (int)slm_rng_below(&rng, SEQ - 3);
        for (int i = 0; i < n; i++) {
            ids[i] = (int32_t)slm_rng_below(&rng, (uint64_t)vocab);
            learn[i] = i > 1;
        }
        const struct slm_doc doc = {ids, learn, n, 0, 1, d};
        assert_int_equal(slm_tokens_out_doc(&o, &doc, &err), 0);
    }
    assert_int_equal(slm_tokens_out_commit(&o, "0123456789abcdef0123456789abcdef", NULL, &err),
                     0);
    slm_tokens_out_close(&o);
    assert_int_equal(slm_tokens_open(&t, rt, path, &err), 0);
    unlink(path);
    return t;
}

/* Sum of the losses of an epoch's targets, and how many. */
static double epoch(const slm_model *m, const slm_tokens *t, enum slm_pack pack, int batch,
                    int64_t *targets)
{
    slm_feed_opts fo = {.seq = SEQ, .batch = batch, .pack = pack, .shuffle = 1, .seed = 9};
    const struct slm_emit_opts eo = {.loss = true};
    slm_feed *f;
    slm_prog *p;
    slm_err err = {0};
    double sum = 0;
    assert_int_equal(slm_feed_open(&f, m->rt, t, &fo, &err), 0);
    int most = slm_feed_most(f);
    struct slm_prog_opts po = {.max_rows = most, .max_out = most, .train = true};
    assert_int_equal(slm_prog_new(&p, m->rt, &po, &err), 0);
    slm_model_emit(p, m, &eo);
    if (slm_prog_plan(p, &err))
        fail_msg("%s", err.msg);
    uint8_t *set = calloc((size_t)most, 1);
    for (int64_t k = 0; k < slm_feed_batches(f); k++) {
        struct slm_batch b;
        assert_int_equal(slm_feed_get(f, (uint64_t)k, &b, &err), 0);
        const struct slm_run run = {.rows = b.rows,
                                    .ids = b.ids,
                                    .pos = b.pos,
                                    .stream = b.stream,
                                    .n_streams = b.n_streams,
                                    .rope_set = set,
                                    .target = b.target};
        slm_prog_run(p, &run);
        sum += b.targets ? slm_prog_loss(p) * (double)b.targets : 0;
        *targets += b.targets;
    }
    free(set);
    slm_prog_free(p);
    slm_feed_close(&f);
    return sum;
}

static void test_packed(void **state)
{
    static const char *const models[] = {"llama", "mistral", "gemma2",  "phi3",
                                         "qwen3", "mixtral", "stablelm"};
    slm_runtime_opts ro;
    slm_runtime *rt;
    slm_err err = {0};
    (void)state;
    slm_runtime_opts_init(&ro);
    ro.threads = 2;
    assert_int_equal(slm_runtime_open(&rt, &ro, &err), 0);
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char path[64];
        const slm_model_opts mo = {.no_tokenizer = 1};
        slm_model *m;
        snprintf(path, sizeof path, "tests/golden/%s", models[i]);
        if (slm_model_open(&m, rt, path, &mo, &err))
            fail_msg("%s", err.msg);
        slm_tokens *t = make_store(rt, m->hp.vocab);
        int64_t n = 0, same = 0;
        double alone = epoch(m, t, SLM_PACK_NONE, 1, &n);
        for (int batch = 1; batch <= 3; batch += 2)
            for (int pack = SLM_PACK_BEST_FIT; pack <= SLM_PACK_NONE; pack += 2) {
                same = 0;
                double packed = epoch(m, t, (enum slm_pack)pack, batch, &same);
                assert_true(same == n && n > 0);
                if (!(fabs(packed - alone) / (double)n <= 1e-5))
                    fail_msg("%s: loss %.8f packed, %.8f alone", models[i], packed / (double)n,
                             alone / (double)n);
            }
        slm_tokens_close(&t);
        slm_model_close(&m);
    }
    slm_runtime_close(&rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_packed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
