/* slm/data.h: stores of tokens and the batches made of them. */
#include "unit/format_kit.h"

#include "data/tokens.h"

enum { VOCAB = 1000, DOCS = 60 };

/* Documents of 1 .. 40 tokens, id = 10 * doc + place modulo; learnt from the third token on. */
static void write_store(const char *path, enum slm_tokens_kind kind, slm_err *err)
{
    struct slm_tokens_out o;
    int32_t ids[64];
    uint8_t learn[64];
    assert_int_equal(slm_tokens_out_open(&o, &rt, path, kind, VOCAB, err), 0);
    for (int d = 0; d < DOCS; d++) {
        int n = 1 + d * 37 % 40;
        for (int i = 0; i < n; i++) {
            ids[i] = (d * 13 + i) % VOCAB;
            learn[i] = i >= 2;
        }
        const struct slm_doc doc = {ids, learn, n, 0, kind == SLM_TOKENS_PAIR ? !(d & 1) : 1,
                                    d};
        assert_int_equal(slm_tokens_out_doc(&o, &doc, err), 0);
    }
    assert_int_equal(
        slm_tokens_out_commit(&o, "0123456789abcdef0123456789abcdef", "{\"a\":1}", err), 0);
    slm_tokens_out_close(&o);
}

static slm_tokens *open_store(enum slm_tokens_kind kind)
{
    slm_err err = {0};
    slm_tokens *t;
    const char *path = in_folder("store");
    write_store(path, kind, &err);
    if (slm_tokens_open(&t, &rt, path, &err))
        fail_msg("%s", err.msg);
    return t;
}

static slm_feed *open_feed(const slm_tokens *t, const slm_feed_opts *o)
{
    slm_err err = {0};
    slm_feed *f;
    if (slm_feed_open(&f, &rt, t, o, &err))
        fail_msg("%s", err.msg);
    return f;
}

static void test_store(void **state)
{
    (void)state;
    slm_tokens *t = open_store(SLM_TOKENS_CHAT);
    slm_tokens_info info;
    slm_tokens_info_get(t, &info);
    assert_true(info.kind == SLM_TOKENS_CHAT && info.vocab == VOCAB && info.docs == DOCS &&
                info.longest == 40);
    assert_string_equal(info.hash, "0123456789abcdef0123456789abcdef");
    assert_string_equal(info.note, "{\"a\":1}");
    int64_t ids = 0, targets = 0;
    for (int d = 0; d < DOCS; d++) {
        struct slm_doc doc;
        slm_tokens_doc(t, d, &doc);
        assert_int_equal(doc.n, 1 + d * 37 % 40);
        assert_int_equal(doc.targets, doc.n > 2 ? doc.n - 2 : 0);
        assert_true(doc.row == d && doc.label == 1 && doc.ids[0] == d * 13 % VOCAB);
        ids += doc.n;
        targets += doc.targets;
    }
    assert_true(ids == info.ids && targets == info.targets);
    slm_tokens_close(&t);
    assert_null(t);
}

/* Cut short anywhere, or with any bit of head and table turned, a store opens or is refused;
 * what opens can be walked. */
static void test_damage(void **state)
{
    (void)state;
    slm_err err = {0};
    char path[160];
    snprintf(path, sizeof path, "%s", in_folder("store"));
    write_store(path, SLM_TOKENS_PAIR, &err);
    struct slm_buf b;
    slm_buf_init(&b, &rt, SLM_MEM_USER, 1 << 20);
    assert_int_equal(slm_file_slurp(&b, path, &err), 0);
    slm_tokens *t;
    for (size_t n = 0; n < b.n; n += 97) {
        write_file(path, b.s, n);
        assert_refused(slm_tokens_open(&t, &rt, path, &err), &err, SLM_E_FORMAT, "store",
                       "cut");
    }
    for (size_t at = 0; at < b.n; at += at < 136 || at > b.n - DOCS * 32 ? 1 : 50) {
        b.s[at] ^= 0x55;
        write_file(path, b.s, b.n);
        if (!slm_tokens_open(&t, &rt, path, &err)) {
            slm_feed *f;
            struct slm_batch batch;
            slm_feed_opts o = {.seq = 40, .batch = 2, .pack = SLM_PACK_NONE};
            if (!slm_feed_open(&f, &rt, t, &o, &err))
                for (int64_t k = 0; k < slm_feed_batches(f); k++)
                    (void)slm_feed_get(f, (uint64_t)k, &batch, &err);
            slm_feed_close(&f);
            slm_tokens_close(&t);
        }
        b.s[at] ^= 0x55;
    }
    slm_buf_release(&b);
}

/* Every stream is one document whole, each document comes once, targets are as learnt. */
static void check_epoch(slm_feed *f, const slm_tokens *t, const slm_feed_opts *o, int64_t epoch,
                        int64_t order[DOCS])
{
    slm_err err = {0};
    int seen[DOCS] = {0}, n = 0, room = o->seq;
    int64_t targets = 0;
    slm_tokens_info info;
    slm_tokens_info_get(t, &info);
    room *= info.kind == SLM_TOKENS_PAIR ? 2 : 1;
    for (int64_t k = 0; k < slm_feed_batches(f); k++) {
        struct slm_batch b;
        assert_int_equal(slm_feed_get(f, (uint64_t)(epoch * slm_feed_batches(f) + k), &b, &err),
                         0);
        assert_true(b.rows <= slm_feed_most(f) && b.rows <= b.packed * room);
        for (int s = 0; s < b.n_streams; s++) {
            struct slm_doc d;
            slm_tokens_doc(t, b.doc[s], &d);
            assert_int_equal(b.first[s + 1] - b.first[s], d.n);
            for (int i = 0; i < d.n; i++) {
                int r = b.first[s] + i;
                assert_true(b.ids[r] == d.ids[i] && b.pos[r] == i && b.stream[r] == s);
                assert_int_equal(b.target[r],
                                 i + 1 < d.n && d.learn[i + 1] ? d.ids[i + 1] : -1);
            }
            if (info.kind == SLM_TOKENS_PAIR)
                assert_true(b.doc[s] % 2 == s % 2 &&
                            (s % 2 == 0 || b.doc[s] == b.doc[s - 1] + 1));
            seen[b.doc[s]]++;
            order[n++] = b.doc[s];
        }
        assert_true(b.first[b.n_streams] == b.rows);
        targets += b.targets;
    }
    for (int d = 0; d < DOCS; d++)
        assert_int_equal(seen[d], 1);
    assert_true(targets == info.targets);
}

static void test_documents(void **state)
{
    (void)state;
    static const enum slm_pack packs[] = {SLM_PACK_BEST_FIT, SLM_PACK_NONE};
    for (int kind = SLM_TOKENS_TEXT; kind <= SLM_TOKENS_PAIR; kind++) {
        slm_tokens *t = open_store(kind);
        for (int i = 0; i < 2; i++)
            for (int batch = 1; batch < 5; batch += 3) {
                slm_feed_opts o = {
                    .seq = 64, .batch = batch, .pack = packs[i], .shuffle = 1, .seed = 7};
                slm_feed *f = open_feed(t, &o), *again = open_feed(t, &o);
                int64_t first[DOCS], second[DOCS], back[DOCS];
                check_epoch(f, t, &o, 0, first);
                check_epoch(f, t, &o, 1, second);
                assert_memory_not_equal(first, second, sizeof first);
                check_epoch(again, t, &o, 1, back); /* without the first epoch */
                assert_memory_equal(back, second, sizeof back);
                check_epoch(f, t, &o, 0, back);
                assert_memory_equal(back, first, sizeof back);
                slm_feed_close(&again);
                slm_feed_close(&f);
            }
        slm_tokens_close(&t);
    }
}

static void test_best_fit(void **state)
{
    (void)state;
    slm_tokens *t = open_store(SLM_TOKENS_TEXT);
    slm_feed_opts o = {.seq = 40, .batch = 1, .pack = SLM_PACK_BEST_FIT};
    slm_feed *f = open_feed(t, &o);
    slm_tokens_info info;
    slm_tokens_info_get(t, &info);
    /* 60 documents whose lengths are spread over 1 .. 40 fill rows nearly whole */
    assert_true(slm_feed_rows(f) <= (info.ids + 39) / 40 + 2);
    assert_true(slm_feed_filled(f) > 0.94);
    slm_feed_close(&f);
    o.seq = 39;
    slm_err err = {0};
    assert_refused(slm_feed_open(&f, &rt, t, &o, &err), &err, SLM_E_ARG,
                   "has 40 tokens, more than a row of 39 holds", "too long");
    slm_tokens_close(&t);
}

static void test_wrapped(void **state)
{
    (void)state;
    slm_tokens *t = open_store(SLM_TOKENS_TEXT);
    slm_tokens_info info;
    slm_tokens_info_get(t, &info);
    for (int shuffle = 0; shuffle < 2; shuffle++) {
        slm_feed_opts o = {.seq = 16, .batch = 3, .pack = SLM_PACK_WRAPPED, .shuffle = shuffle};
        slm_feed *f = open_feed(t, &o);
        int64_t ids = 0, targets = 0, at[DOCS] = {0};
        assert_true(slm_feed_rows(f) == (info.ids + 15) / 16);
        for (int64_t k = 0; k < slm_feed_batches(f); k++) {
            struct slm_batch b;
            slm_err err = {0};
            assert_int_equal(slm_feed_get(f, (uint64_t)k, &b, &err), 0);
            for (int s = 0; s < b.n_streams; s++) {
                for (int r = b.first[s]; r < b.first[s + 1]; r++)
                    assert_int_equal(b.pos[r], r - b.first[s]);
                at[b.doc[s]] += b.first[s + 1] - b.first[s];
            }
            ids += b.rows;
            targets += b.targets;
        }
        assert_true(ids == info.ids && targets == info.targets); /* nothing is left out */
        for (int d = 0; d < DOCS; d++)
            assert_int_equal(at[d], 1 + d * 37 % 40);
        slm_feed_close(&f);
    }
    slm_tokens_close(&t);
}

/* What n ranks get in a step, put together, is what one rank gets in as many batches. */
static void test_ranks(void **state)
{
    (void)state;
    slm_tokens *t = open_store(SLM_TOKENS_TEXT);
    slm_feed_opts one = {.seq = 40, .batch = 1, .shuffle = 1, .seed = 3, .step = 4};
    slm_feed *f = open_feed(t, &one);
    for (int ranks = 2; ranks <= 4; ranks += 2)
        for (int rank = 0; rank < ranks; rank++) {
            slm_feed_opts o = one;
            o.ranks = ranks;
            o.rank = rank;
            slm_feed *g = open_feed(t, &o);
            assert_int_equal(slm_feed_batches(g) * ranks, slm_feed_batches(f));
            for (int64_t k = 0; k < 2 * slm_feed_batches(g); k++) {
                struct slm_batch a, b;
                slm_err err = {0};
                assert_int_equal(slm_feed_get(g, (uint64_t)k, &a, &err), 0);
                assert_int_equal(slm_feed_get(f, (uint64_t)(k * ranks + rank), &b, &err), 0);
                assert_true(a.rows == b.rows && a.targets == b.targets);
                assert_memory_equal(a.ids, b.ids, (size_t)a.rows * 4);
            }
            slm_feed_close(&g);
        }
    slm_feed_close(&f);
    slm_tokens_close(&t);
}

static void test_ids(void **state)
{
    (void)state;
    int32_t ids[35];
    slm_err err = {0};
    slm_tokens *t;
    for (int i = 0; i < 35; i++)
        ids[i] = i;
    assert_int_equal(slm_tokens_from_ids(&t, &rt, ids, 35, 8, 35, &err), 0);
    slm_feed_opts o = {.seq = 8, .batch = 3, .pack = SLM_PACK_NONE, .cycle = 1};
    slm_feed *f = open_feed(t, &o);
    for (uint64_t k = 0; k < 9; k++) {
        struct slm_batch b;
        assert_int_equal(slm_feed_get(f, k, &b, &err), 0);
        assert_true(b.rows == 24 && b.n_streams == 3 && b.targets == 21);
        for (uint64_t r = 0; r < 3; r++)
            assert_int_equal(b.ids[8 * r], (k * 3 + r) % 4 * 8); /* in file order, cycled */
        assert_true(b.target[6] == b.ids[7] && b.target[7] == -1);
    }
    slm_feed_close(&f);
    slm_tokens_close(&t);
    assert_refused(slm_tokens_from_ids(&t, &rt, ids, 7, 8, 35, &err), &err, SLM_E_ARG,
                   "less than one row", "few ids");
    assert_refused(slm_tokens_from_ids(&t, &rt, ids, 35, 8, 20, &err), &err, SLM_E_ARG,
                   "outside the vocabulary", "an id too large");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store),     cmocka_unit_test(test_damage),
        cmocka_unit_test(test_documents), cmocka_unit_test(test_best_fit),
        cmocka_unit_test(test_wrapped),   cmocka_unit_test(test_ranks),
        cmocka_unit_test(test_ids)};
    return cmocka_run_group_tests(tests, kit_open, kit_close);
}
