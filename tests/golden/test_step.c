/* Steps of several streams, on the tiny models of every family: whatever stands in a batch,
 * each stream gets the bits that it would have got alone, token by token; and tokens that were
 * tried and taken back leave nothing behind, in rings of a sliding window either. */
#include "golden/golden_kit.h"

enum { STREAMS = 4, CONTEXT = 200, VOCAB = 64, LONG = 140 };

/* What there is to know of one sequence: the bits of every row, computed token by token. */
struct truth {
    int32_t ids[LONG];
    float *logits; /* (LONG, VOCAB) */
};

static uint32_t next_random(uint32_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 17;
    *x ^= *x << 5;
    return *x;
}

static slm_session *stream_on(const slm_model *m, const struct how *how, slm_session *share)
{
    slm_session *s = NULL;
    slm_err err = {0};
    slm_session_opts o = {.context = CONTEXT, .batch = 8, .exact = !how->fast, .share = share};
    o.kv_type = how->kv;
    if (slm_session_open(&s, m, &o, &err))
        fail_msg("%s", err.msg);
    return s;
}

static void find_truth(struct truth *t, const slm_model *m, const struct how *how,
                       uint32_t seed)
{
    slm_session *s = stream_on(m, how, NULL);
    slm_err err = {0};
    t->logits = malloc(sizeof *t->logits * LONG * VOCAB);
    for (int i = 0; i < LONG; i++) {
        t->ids[i] = (int32_t)(next_random(&seed) % VOCAB);
        if (slm_session_append(s, &t->ids[i], 1, &err))
            fail_msg("%s", err.msg);
        memcpy(t->logits + (size_t)i * VOCAB, slm_session_logits(s), VOCAB * sizeof(float));
    }
    slm_session_close(&s);
}

/* The rows that the last step left for s are those that end at its last token. */
static void assert_rows(const slm_session *s, const struct truth *t, int rows, const char *what)
{
    slm_err err = {0};
    char where[128];
    assert_int_equal(slm_session_rows(s), rows);
    for (int r = 0; r < rows; r++) {
        int at = slm_session_length(s) - rows + r;
        snprintf(where, sizeof where, "%s, token %d", what, at);
        const float *row = slm_session_row(s, r, &err);
        assert_non_null(row);
        assert_same(row, t->logits + (size_t)at * VOCAB, VOCAB, where);
    }
    assert_ptr_equal(slm_session_logits(s), slm_session_row(s, rows - 1, &err));
    assert_null(slm_session_row(s, rows, &err));
    assert_null(slm_session_row(s, -1, NULL));
}

/* Ragged steps: some streams sit out, some take a token, some many, until all are long. */
static void run_streams(const slm_model *m, const struct how *how, const char *what)
{
    struct truth t[STREAMS];
    slm_session *s[STREAMS];
    slm_err err = {0};
    uint32_t x = 77;
    int going = STREAMS;
    for (int i = 0; i < STREAMS; i++) {
        find_truth(&t[i], m, how, 1234u + (uint32_t)i);
        s[i] = stream_on(m, how, i ? s[i / 2] : NULL);
    }
    while (going) {
        slm_step step[STREAMS];
        int which[STREAMS], n = 0, all = 60;
        going = 0;
        for (int i = 0; i < STREAMS; i++) {
            int at = slm_session_length(s[i]), most = LONG - at;
            int want = (int)(next_random(&x) % 4), rows = want == 3 ? 60 : want;
            rows = rows < most ? rows : most;
            going += rows < most;
            if (!rows)
                continue;
            step[n] = (slm_step){s[i], t[i].ids + at, rows, (int)(next_random(&x) % 2)};
            if (step[n].all && rows > all)
                step[n].all = 0;
            all -= step[n].all ? rows : 1;
            which[n++] = i;
        }
        if (n && slm_session_step(step, n, &err))
            fail_msg("%s: %s", what, err.msg);
        for (int k = 0; k < n; k++)
            assert_rows(s[which[k]], &t[which[k]], step[k].all ? step[k].n : 1, what);
    }
    for (int i = 0; i < STREAMS; i++) {
        slm_session_close(&s[i]);
        free(t[i].logits);
    }
}

/* Longrope's factors change for all that went before at one length, so a step over that border
 * is not what single tokens are. */
static bool even(const slm_model *m)
{
    slm_model_info info;
    slm_model_info_get(m, &info);
    return strcmp(info.rope, "longrope") != 0;
}

static void test_streams(const char *name)
{
    static const char *const levels[] = {"generic", NULL};
    static const struct how hows[] = {{.kv = "f32"}, {.fast = 1, .kv = "f16"}};
    for (int l = 0; l < 2; l++) {
        struct golden g;
        golden_open(&g, name, levels[l], 1);
        slm_model *m = model_at(g.rt, g.path);
        for (int h = 1 - l; h < 2 && even(m); h++)
            run_streams(m, &hows[h], hows[h].fast ? "fast" : "exact");
        slm_model_close(&m);
        golden_close(&g);
    }
}

/* Wrong tokens tried and taken back, over and over, while the rings turn. */
static void test_rollback(const char *name)
{
    struct golden g;
    static const struct how how = {.fast = 1, .kv = "f16"};
    golden_open(&g, name, NULL, 1);
    slm_model *m = model_at(g.rt, g.path);
    slm_session *s = stream_on(m, &how, NULL);
    slm_err err = {0};
    struct truth t;
    uint32_t x = 5;
    find_truth(&t, m, &how, 99);
    for (int at = 0; even(m) && at < LONG;) {
        int32_t ids[64];
        int good = 1 + (int)(next_random(&x) % 6), tries = (int)(next_random(&x) % 58);
        good = good < LONG - at ? good : LONG - at;
        tries = good + tries < CONTEXT - at ? tries : 0;
        memcpy(ids, t.ids + at, (size_t)good * sizeof *ids);
        for (int i = good; i < good + tries; i++)
            ids[i] = (int32_t)(next_random(&x) % VOCAB);
        if (slm_session_step(&(slm_step){s, ids, good + tries, 1}, 1, &err))
            fail_msg("%s", err.msg);
        for (int r = 0; r < good; r++)
            assert_same(slm_session_row(s, r, &err), t.logits + (size_t)(at + r) * VOCAB, VOCAB,
                        "before the wrong ones");
        at += good;
        assert_int_equal(slm_session_truncate(s, at), at);
        assert_same(slm_session_logits(s), t.logits + (size_t)(at - 1) * VOCAB, VOCAB, "kept");
        if (at % 5 == 0 && (slm_session_save(s, scratch("rolled"), &err) ||
                            slm_session_restore(s, scratch("rolled"), &err)))
            fail_msg("%s", err.msg);
        /* one more taken back: where a ring has lost what that needs, it says so */
        at -= at > 1 && at < LONG && at % 3 == 0;
        if (slm_session_truncate(s, at) != at)
            assert_int_equal(slm_session_append(s, t.ids, at, &err), 0);
    }
    free(t.logits);
    unlink(scratch("rolled"));
    slm_session_close(&s);
    slm_model_close(&m);
    golden_close(&g);
}

int main(void)
{
    static const struct golden_test tests[] = {
        {"streams", test_streams},
        {"rollback", test_rollback},
    };
    return golden_main(tests, 2);
}
