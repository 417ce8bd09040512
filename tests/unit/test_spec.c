/* Speculation: the text is the same with guesses and without, token for token, for every
 * sampler and way to end, at temperature 0 and above; what is drawn has the model's
 * distribution; wrong guesses leave nothing behind; drafts of another vocabulary are refused.
 */
#include "generate/spec.h"
#include "unit/model_kit.h"

static slm_runtime *rt;

static int setup(void **state)
{
    rt = runtime_new(NULL, 1);
    return scratch_open(state);
}

static int teardown(void **state)
{
    slm_runtime_close(&rt);
    return scratch_close(state);
}

/* ---- the index ---- */

/* Length of the longest end that stood before, by looking everywhere. */
static int longest(const int32_t *ids, int n)
{
    int best = 0;
    for (int p = 1; p < n; p++) {
        int k = 0;
        while (k < 32 && k < p && ids[p - 1 - k] == ids[n - 1 - k])
            k++;
        best = k > best ? k : best;
    }
    return best < 2 ? 0 : best;
}

static void test_lookup(void **state)
{
    (void)state;
    struct slm_lookup l;
    slm_err err = {0};
    int32_t ids[400], out[8];
    uint32_t x = 1;
    assert_int_equal(slm_lookup_init(&l, rt, 400, &err), 0);
    for (int n = 1; n <= 399; n++) {
        x = x * 1664525u + 1013904223u;
        ids[n - 1] = n > 200 && n % 50 > 20 ? ids[n - 151] : (int32_t)(x >> 28);
        slm_lookup_add(&l, ids[n - 1]);
        int agree = slm_lookup_find(&l, out, 8), best = longest(ids, n);
        assert_true(!agree == !best && agree <= best);
        assert_true(best < 4 || agree >= 4); /* chains are cut: not always the very longest */
        bool stood = !agree;
        for (int p = 1; p < n && !stood; p++)
            stood = p >= agree &&
                    !memcmp(ids + p - agree, ids + n - agree, (size_t)agree * sizeof *ids) &&
                    out[0] == ids[p];
        assert_true(stood);
    }
    slm_lookup_add(&l, 1);
    slm_lookup_add(&l, 2); /* full: no more is learnt, nothing breaks */
    assert_int_equal(slm_lookup_find(&l, out, 8), 0);
    slm_lookup_release(&l);
    assert_int_equal(slm_lookup_init(&l, rt, 64, &err), 0);
    for (int n = 0; n < 10; n++)
        slm_lookup_add(&l, n % 3);
    assert_true(slm_lookup_find(&l, out, 8) > 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(out[i], (10 + i) % 3); /* goes on in its circle */
    slm_lookup_release(&l);
}

/* ---- the same text ---- */

static const int32_t prompt[] = {5, 9, 33, 60, 7, 12, 5, 9, 33, 60, 7, 12, 5, 9, 33};
enum { PROMPT = 15, CONTEXT = 120 };

struct said {
    int32_t ids[CONTEXT + 1];
    int n, finish, held, drafted, accepted;
    int32_t kept[CONTEXT];
    float logits[64];
};

/* What a setting says; speculate and draft as given. */
static void say(struct said *w, const slm_model *m, slm_session *draft, int speculate,
                const slm_sampler_opts *so, const slm_generate_opts *base)
{
    slm_session *s = NULL;
    slm_sampler *sampler = NULL;
    slm_generate_stats st;
    slm_ids ids = {0};
    slm_err err = {0};
    slm_session_opts o = {.context = CONTEXT, .batch = 16};
    slm_generate_opts g = *base;
    g.speculate = speculate;
    g.draft = speculate ? draft : NULL;
    memset(w, 0, sizeof *w);
    if (slm_session_open(&s, m, &o, &err) ||
        slm_sampler_new(&sampler, rt, 64, NULL, so, &err) ||
        slm_generate(s, sampler, prompt, PROMPT, &g, &ids, NULL, &st, &err))
        fail_msg("%s", err.msg);
    w->n = (int)ids.len;
    w->finish = st.finish;
    w->held = slm_session_length(s);
    w->drafted = st.drafted;
    w->accepted = st.accepted;
    memcpy(w->ids, ids.data, ids.len * sizeof *ids.data);
    memcpy(w->kept, slm_session_ids(s), (size_t)w->held * sizeof *w->kept);
    assert_non_null(slm_session_logits(s));
    memcpy(w->logits, slm_session_logits(s), sizeof w->logits);
    assert_true(st.accepted <= st.drafted && st.accepted <= st.new_tokens);
    slm_ids_release(&ids);
    slm_sampler_free(sampler);
    slm_session_close(&s);
}

static void assert_alike(const struct said *a, const struct said *b, const char *what)
{
    if (a->n != b->n || a->finish != b->finish || a->held != b->held ||
        memcmp(a->ids, b->ids, sizeof a->ids) || memcmp(a->kept, b->kept, sizeof a->kept))
        fail_msg("%s: another text (%d tokens, %s; %d, %s)", what, a->n,
                 slm_finish_name(a->finish), b->n, slm_finish_name(b->finish));
    assert_same(a->logits, b->logits, 64, what);
}

/* Every sampler that remembers, or draws, or both. */
static int sampler_at(int i, slm_sampler_opts *o)
{
    slm_sampler_opts_init(o);
    o->dry_breakers = "";
    switch (i) {
    case 0: o->temp = 0; return 1;
    case 1: return 1;
    case 2:
        o->temp = 1.5f;
        o->top_k = 0;
        o->top_p = 1;
        o->min_p = 0;
        return 1;
    case 3:
        o->repeat_penalty = 1.3f;
        o->frequency_penalty = 0.2f;
        o->presence_penalty = 0.1f;
        o->penalty_last_n = 20;
        return 1;
    case 4: o->dry_multiplier = 0.8f; return 1;
    case 5: o->mirostat = 2; return 1;
    case 6:
        o->xtc_probability = 0.5f;
        o->typical_p = 0.8f;
        return 1;
    case 7:
        o->temp = 0;
        o->repeat_penalty = 1.2f;
        o->dry_multiplier = 0.5f;
        return 1;
    default: return 0;
    }
}

static int cut(void *arg, int32_t id, const char *text, size_t len)
{
    (void)id;
    (void)text;
    (void)len;
    return ++*(int *)arg == 17;
}

static void compare(const slm_model *m, slm_session *draft, bool comes_true)
{
    static const int most[] = {-1, 0, 1, 2, 40};
    struct said plain, guessed;
    slm_sampler_opts so;
    int drafted = 0, accepted = 0;
    for (int i = 0; sampler_at(i, &so); i++)
        for (int k = 0; k < 24; k++) {
            slm_generate_opts g;
            int calls[2] = {0, 0};
            char what[64];
            slm_generate_opts_init(&g);
            g.max_tokens = most[k % 5];
            g.ignore_eog = k % 3 == 0;
            g.token = k % 7 == 6 ? cut : NULL;
            g.draft_max = k % 4 * 9;
            g.draft_min = k % 4 == 1 ? 9 : 0;
            so.seed = 1000u + (unsigned)k;
            g.token_arg = &calls[0];
            say(&plain, m, draft, 0, &so, &g);
            g.token_arg = &calls[1];
            say(&guessed, m, draft, 1 + (k % 6 != 5), &so, &g);
            snprintf(what, sizeof what, "sampler %d, seed %d", i, k);
            assert_alike(&plain, &guessed, what);
            assert_true(!plain.drafted && !plain.accepted);
            drafted += guessed.drafted;
            accepted += guessed.accepted;
        }
    assert_true(drafted > 500 && accepted > (comes_true ? 500 : 5) && accepted < drafted);
}

static void test_same_text(void **state)
{
    (void)state;
    static const char *const models[] = {GOLDEN "/llama", GOLDEN "/mistral", GOLDEN "/gemma3",
                                         GOLDEN "/mixtral", GOLDEN "/phi3-longrope"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        slm_model *m = model_at(rt, models[i]);
        compare(m, NULL, false);
        slm_model_close(&m);
    }
}

static void test_draft_model(void **state)
{
    (void)state;
    static const struct {
        const char *model, *draft;
    } pairs[] = {{GOLDEN "/llama", GOLDEN "/llama"},
                 {GOLDEN "/mistral", GOLDEN "/llama-tied"},
                 {GOLDEN "/llama", GOLDEN "/gemma3"}};
    for (size_t i = 0; i < 3; i++) {
        slm_model *m = model_at(rt, pairs[i].model), *d = model_at(rt, pairs[i].draft);
        slm_session *draft =
            session_on(d, &(struct how){.context = CONTEXT, .fast = 1, .kv = "f16"});
        compare(m, draft, i == 0);
        slm_session_close(&draft);
        slm_model_close(&d);
        slm_model_close(&m);
    }
}

/* ---- the distribution ---- */

enum { DRAWS = 6000 };

/* Chances of the token after next, over all that may be next. */
static void chances(const slm_model *m, double *p)
{
    slm_session *s = session_on(m, &(struct how){.context = CONTEXT, .fast = 1, .kv = "f16"});
    slm_err err = {0};
    double first[64];
    assert_int_equal(slm_session_append(s, prompt, PROMPT, &err), 0);
    memset(p, 0, 64 * sizeof *p);
    for (int i = -1; i < 64; i++) {
        double sum = 0;
        if (i >= 0) {
            slm_session_truncate(s, PROMPT);
            assert_int_equal(slm_session_append(s, &(int32_t){i}, 1, &err), 0);
        }
        const float *x = slm_session_logits(s);
        for (int k = 0; k < 64; k++)
            sum += exp((double)x[k]);
        for (int k = 0; k < 64; k++)
            if (i < 0)
                first[k] = exp((double)x[k]) / sum;
            else
                p[k] += first[i] * exp((double)x[k]) / sum;
    }
    slm_session_close(&s);
}

static void test_distribution(void **state)
{
    (void)state;
    slm_model *m = model_at(rt, GOLDEN "/llama");
    slm_session *s = session_on(m, &(struct how){.context = CONTEXT, .fast = 1, .kv = "f16"});
    slm_session *draft = session_on(m, &(struct how){.context = CONTEXT, .fast = 1});
    slm_sampler *sampler = NULL;
    slm_err err = {0};
    slm_generate_opts g;
    slm_sampler_opts so;
    double p[64], square = 0, rest = 0;
    int seen[64] = {0}, classes = 0, rest_seen = 0, accepted = 0;
    sampler_at(2, &so);
    so.temp = 1;
    so.seed = 4;
    slm_generate_opts_init(&g);
    g.max_tokens = 3;
    g.ignore_eog = 1;
    g.speculate = 2;
    g.draft = draft;
    assert_int_equal(slm_sampler_new(&sampler, rt, 64, NULL, &so, &err), 0);
    for (int i = 0; i < DRAWS; i++) {
        slm_ids ids = {0};
        slm_generate_stats st;
        assert_int_equal(slm_generate(s, sampler, prompt, PROMPT, &g, &ids, NULL, &st, &err),
                         0);
        seen[ids.data[1]]++;
        accepted += st.accepted;
        slm_ids_release(&ids);
    }
    assert_true(accepted > 100);
    chances(m, p);
    for (int k = 0; k < 64; k++) {
        double want = p[k] * DRAWS;
        if (want < 8) {
            rest += want;
            rest_seen += seen[k];
            continue;
        }
        square += (seen[k] - want) * (seen[k] - want) / want;
        classes++;
    }
    if (rest >= 8)
        square += (rest_seen - rest) * (rest_seen - rest) / rest;
    /* mean classes, deviation sqrt(2 classes): five of them are never seen by chance */
    assert_true(classes > 20);
    assert_true(square < classes + 5 * sqrt(2.0 * classes));
    slm_sampler_free(sampler);
    slm_session_close(&draft);
    slm_session_close(&s);
    slm_model_close(&m);
}

/* ---- words: stop strings, and a trained model that repeats itself ---- */

static void test_words(void **state)
{
    (void)state;
    slm_model *m = model_at(rt, "models/storyteller.gguf");
    slm_session *s = NULL;
    slm_err err = {0};
    slm_session_opts o = {.context = 256};
    slm_model_info info;
    slm_ids in = {0};
    static const char *const stops[] = {"little", ". He", "zzz"};
    static const char text[] =
        "Once upon a time there was a little boy. Once upon a time there";
    slm_model_info_get(m, &info);
    assert_int_equal(slm_session_open(&s, m, &o, &err), 0);
    assert_int_equal(slm_tokenizer_encode(slm_model_tokenizer(m), text, strlen(text),
                                          SLM_ENCODE_AFFIXES, &in, &err),
                     0);
    for (int k = 0; k < 12; k++) {
        slm_text said[2] = {{0}};
        int finish[2];
        for (int way = 0; way < 2; way++) {
            slm_sampler *sampler = NULL;
            slm_sampler_opts so;
            slm_generate_opts g;
            slm_generate_stats st;
            slm_sampler_opts_init(&so);
            slm_generate_opts_init(&g);
            so.temp = k % 2 ? 0.7f : 0;
            so.seed = (uint64_t)k;
            g.max_tokens = 60;
            g.stop = stops;
            g.n_stop = k % 4;
            g.speculate = 2 * way;
            assert_int_equal(slm_sampler_new(&sampler, rt, info.vocab, NULL, &so, &err), 0);
            slm_session_reset(s);
            if (slm_generate(s, sampler, in.data, (int)in.len, &g, NULL, &said[way], &st, &err))
                fail_msg("%s", err.msg);
            finish[way] = st.finish;
            slm_sampler_free(sampler);
        }
        assert_int_equal(finish[0], finish[1]);
        assert_int_equal(said[0].len, said[1].len);
        assert_memory_equal(said[0].data, said[1].data, said[0].len);
        slm_text_release(&said[0]);
        slm_text_release(&said[1]);
    }
    slm_ids_release(&in);
    slm_session_close(&s);
    slm_model_close(&m);
}

/* ---- what is refused, and memory ---- */

static void refuse(slm_session *s, slm_session *draft, slm_generate_opts g, const char *words)
{
    slm_sampler *sampler = NULL;
    slm_err err = {0};
    slm_model_info i;
    slm_model_info_get(slm_session_model(s), &i);
    g.draft = draft;
    assert_int_equal(slm_sampler_new(&sampler, rt, i.vocab, NULL, NULL, &err), 0);
    int rc = slm_generate(s, sampler, prompt, PROMPT, &g, NULL, NULL, NULL, &err);
    if (rc != SLM_E_ARG || !strstr(err.msg, words))
        fail_msg("%d \"%s\", want \"%s\"", rc, err.msg, words);
    slm_sampler_free(sampler);
}

static void test_refused(void **state)
{
    (void)state;
    slm_model *m = model_at(rt, GOLDEN "/llama");
    slm_model *words = model_at(rt, "models/storyteller.gguf");
    slm_session *s = session_on(m, &(struct how){.context = 40});
    slm_session *shorter = session_on(m, &(struct how){.context = 39});
    slm_session *other = session_on(words, &(struct how){.context = 64});
    slm_generate_opts g;
    slm_generate_opts_init(&g);
    refuse(s, s, g, "itself");
    refuse(s, shorter, g, "context of 39");
    refuse(s, other, g, "no tokenizer");
    g.speculate = 3;
    refuse(s, NULL, g, "speculation 3");
    g.speculate = 0;
    refuse(s, shorter, g, "without speculation");
    g.speculate = 1;
    g.draft_max = 3;
    g.draft_min = 4;
    refuse(s, NULL, g, "4 to 3");
    g.draft_min = -1;
    refuse(s, NULL, g, "-1");
    slm_session_close(&s);
    slm_session_close(&shorter);
    slm_session_close(&other);
    slm_model_close(&m);
    slm_model_close(&words);
}

/* Guesses take their memory before the first token. */
static void test_no_allocation(void **state)
{
    (void)state;
    slm_model *m = model_at(rt, GOLDEN "/llama");
    slm_session *s = session_on(m, &(struct how){.context = CONTEXT});
    slm_session *draft = session_on(m, &(struct how){.context = CONTEXT});
    uint64_t count[2];
    for (int k = 0; k < 2; k++) {
        slm_mem_stats before, after;
        slm_sampler *sampler = NULL;
        slm_sampler_opts so;
        slm_generate_opts g;
        slm_err err = {0};
        slm_generate_opts_init(&g);
        slm_sampler_opts_init(&so);
        so.temp = 0;
        g.max_tokens = k ? 90 : 5;
        g.ignore_eog = 1;
        g.speculate = 2;
        g.draft = draft;
        assert_int_equal(slm_sampler_new(&sampler, rt, 64, NULL, &so, &err), 0);
        slm_runtime_memory(rt, &before);
        assert_int_equal(slm_generate(s, sampler, prompt, PROMPT, &g, NULL, NULL, NULL, &err),
                         0);
        slm_runtime_memory(rt, &after);
        count[k] = after.count - before.count;
        assert_int_equal(after.blocks, before.blocks);
        slm_sampler_free(sampler);
    }
    assert_true(count[0] == count[1]);
    slm_session_close(&s);
    slm_session_close(&draft);
    slm_model_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookup),        cmocka_unit_test(test_same_text),
        cmocka_unit_test(test_draft_model),   cmocka_unit_test(test_distribution),
        cmocka_unit_test(test_words),         cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_allocation),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
