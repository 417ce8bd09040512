/* Learning tokenizers: merges as Hugging Face tokenizers learnt them from the same text
 * (tests/data/lexicon, made with tokenizers 0.23.3), unigram's sums against all segmentations
 * written out, and what must not change a result. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <math.h>

#include <cmocka.h>

#include "lexicon/lexicon_room.h"
#include "slm/slm.h"

#define TALE "tests/data/lexicon/tale.txt"

static const char *const special[] = {"<s>", "</s>"};
static const char *const marks[] = {"<unk>", "<s>", "</s>"};
static const char *const tale[] = {TALE};

static slm_runtime *runtime(int threads, int64_t fail)
{
    slm_runtime_opts o;
    slm_runtime *rt = NULL;
    slm_err err = {0};
    slm_runtime_opts_init(&o);
    o.threads = threads;
    o.cpu = "generic";
    o.fail_alloc = fail;
    if (slm_runtime_open(&rt, &o, &err))
        return NULL;
    return rt;
}

static void temp_path(char *out, size_t n, const char *name)
{
    const char *dir = getenv("TMPDIR");
    snprintf(out, n, "%s/slm_lexicon_%d_%s", dir ? dir : "/tmp", (int)getpid(), name);
}

/* The whole of a tokenizer as text. */
static char *text_of(const slm_tokenizer *t)
{
    char path[512], *s;
    slm_err err = {0};
    temp_path(path, sizeof path, "t.json");
    assert_int_equal(slm_tokenizer_save(t, path, NULL, &err), 0);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    s = malloc((size_t)n + 1);
    assert_int_equal(fread(s, 1, (size_t)n, f), (size_t)n);
    s[n] = 0;
    fclose(f);
    remove(path);
    return s;
}

static char *slurp(const char *path)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *s = calloc(1, 1 << 20);
    size_t n = fread(s, 1, (1 << 20) - 1, f);
    s[n] = 0;
    fclose(f);
    return s;
}

/* The list of merges as lines, out of the text of a tokenizer.json. */
static char *merges_of(const char *json)
{
    slm_json *root = NULL;
    slm_err err = {0};
    char *out = calloc(1, strlen(json) + 1), *p = out;
    assert_int_equal(slm_json_parse(&root, json, strlen(json), "t", &err), 0);
    const slm_json *m = slm_json_find(slm_json_find(root, "model"), "merges");
    for (size_t i = 0; i < slm_json_count(m); i++) {
        const slm_json *pair = slm_json_at(m, i);
        p += sprintf(p, "%s %s\n", slm_json_str(slm_json_at(pair, 0), NULL),
                     slm_json_str(slm_json_at(pair, 1), NULL));
    }
    slm_json_free(root);
    return out;
}

static slm_lexicon_opts bpe_opts(int vocab)
{
    slm_lexicon_opts o;
    slm_lexicon_opts_init(&o);
    o.vocab = vocab;
    o.special = special;
    o.n_special = 2;
    return o;
}

static slm_lexicon_opts uni_opts(int vocab)
{
    slm_lexicon_opts o = bpe_opts(vocab);
    o.kind = SLM_LEXICON_UNIGRAM;
    o.special = marks;
    o.n_special = 3;
    o.coverage = 0.98;
    return o;
}

static char *learn(const slm_lexicon_opts *o, int threads, slm_lexicon_report *r)
{
    slm_runtime *rt = runtime(threads, 0);
    slm_tokenizer *t = NULL;
    slm_err err = {0};
    int rc = slm_lexicon_train(&t, r, rt, tale, 1, o, &err);
    if (rc)
        fail_msg("%s", err.msg);
    char *s = text_of(t);
    slm_tokenizer_close(&t);
    slm_runtime_close(&rt);
    return s;
}

static void same_merges(const slm_lexicon_opts *o, const char *truth)
{
    slm_lexicon_report r;
    char *json = learn(o, 2, &r), *got = merges_of(json), *want = slurp(truth);
    assert_string_equal(got, want);
    assert_int_equal(r.short_by, o->vocab - r.vocab);
    free(json);
    free(got);
    free(want);
}

static void bpe_as_reference(void **state)
{
    (void)state;
    slm_lexicon_opts o = bpe_opts(480);
    same_merges(&o, "tests/data/lexicon/gpt2.merges");
    o = bpe_opts(460);
    o.pattern = "llama3";
    o.whole = 1;
    same_merges(&o, "tests/data/lexicon/llama3_file.merges");
    o = bpe_opts(4000); /* ends when no pair is frequent enough */
    o.pattern = "\\p{L}+|\\d";
    o.min_frequency = 3;
    same_merges(&o, "tests/data/lexicon/regex.merges");
}

static void threads_change_nothing(void **state)
{
    (void)state;
    slm_lexicon_opts o[3] = {bpe_opts(420), uni_opts(300), bpe_opts(420)};
    o[2].byte_fallback = 1;
    o[2].special = marks;
    o[2].n_special = 3;
    for (int i = 0; i < 3; i++) {
        char *one = learn(&o[i], 1, NULL), *four = learn(&o[i], 4, NULL);
        assert_string_equal(one, four);
        free(one);
        free(four);
    }
}

/* Texts go through a tokenizer and come back. */
static void round_trip(const slm_tokenizer *t, const char *text)
{
    slm_ids ids = {0};
    slm_text back = {0};
    slm_err err = {0};
    assert_int_equal(slm_tokenizer_encode(t, text, strlen(text), 0, &ids, &err), 0);
    assert_int_equal(slm_tokenizer_decode(t, ids.data, ids.len, 0, &back, &err), 0);
    assert_string_equal(back.data, text);
    slm_ids_release(&ids);
    slm_text_release(&back);
}

static void same_ids(const slm_tokenizer *a, const slm_tokenizer *b, const char *text)
{
    slm_ids x = {0}, y = {0};
    slm_err err = {0};
    assert_int_equal(slm_tokenizer_encode(a, text, strlen(text), 2, &x, &err), 0);
    assert_int_equal(slm_tokenizer_encode(b, text, strlen(text), 2, &y, &err), 0);
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len * sizeof *x.data);
    slm_ids_release(&x);
    slm_ids_release(&y);
}

static void saved_forms(void **state)
{
    (void)state;
    static const char probe[] =
        "The geese said \"honk\" 120 times;\n  Müllerin's 歌 \xF0\x9F\xA6\x86";
    slm_runtime *rt = runtime(2, 0);
    slm_lexicon_opts o[3] = {bpe_opts(420), uni_opts(500), bpe_opts(500)};
    o[0].add_bos = o[0].add_eos = 1;
    o[0].bos = "<s>", o[0].eos = "</s>";
    o[1].byte_fallback = o[2].byte_fallback = 1;
    o[2].special = marks;
    o[2].n_special = 3;
    for (int i = 0; i < 3; i++) {
        char path[3][512], file[600];
        slm_tokenizer *t = NULL, *u = NULL;
        slm_err err = {0};
        if (slm_lexicon_train(&t, NULL, rt, tale, 1, &o[i], &err))
            fail_msg("%s", err.msg);
        round_trip(t, probe);
        temp_path(path[0], sizeof path[0], "x.json");
        temp_path(path[1], sizeof path[1], "x.gguf");
        temp_path(path[2], sizeof path[2], "folder");
        slm_tokenizer_save_opts s = {.model_max = 512, .chat_template = "{{ 1 }}"};
        for (int k = 0; k < 3; k++) {
            if (slm_tokenizer_save(t, path[k], &s, &err) ||
                slm_tokenizer_open(&u, rt, path[k], &err))
                fail_msg("%d %d %s", i, k, err.msg);
            same_ids(t, u, probe);
            assert_int_equal(slm_tokenizer_size(u), slm_tokenizer_size(t));
            assert_int_equal(slm_tokenizer_bos(u), slm_tokenizer_bos(t));
            assert_int_equal(slm_tokenizer_eos(u), slm_tokenizer_eos(t));
            assert_int_equal(slm_tokenizer_adds_bos(u), i == 0);
            slm_tokenizer_close(&u);
        }
        snprintf(file, sizeof file, "%s/tokenizer_config.json", path[2]);
        char *config = slurp(file);
        assert_non_null(strstr(config, "\"model_max_length\": 512"));
        free(config);
        remove(path[0]);
        remove(path[1]);
        slm_dir_remove(path[2]);
        slm_tokenizer_close(&t);
    }
    slm_runtime_close(&rt);
}

/* --- unigram's sums --- */

static const struct slm_tok_str pieces[] = {{"a", 1},   {"b", 1},   {"ab", 2}, {"ba", 2},
                                            {"aba", 3}, {"bab", 3}, {"bb", 2}};
enum { N_PIECES = sizeof pieces / sizeof *pieces };

/* All segmentations of s by recursion: their probability, and each piece's share of it. */
static double all_ways(const double *logp, const char *s, size_t n, double p, int *used,
                       double *expected)
{
    double sum = 0;
    if (!n) {
        for (int i = 0; i < N_PIECES; i++)
            expected[i] += used[i] * p;
        return p;
    }
    for (int i = 0; i < N_PIECES; i++) {
        if (pieces[i].n > n || memcmp(pieces[i].s, s, pieces[i].n) != 0)
            continue;
        used[i]++;
        sum +=
            all_ways(logp, s + pieces[i].n, n - pieces[i].n, p * exp(logp[i]), used, expected);
        used[i]--;
    }
    return sum;
}

static void sums_of_segmentations(void **state)
{
    (void)state;
    slm_runtime *rt = runtime(1, 0);
    double logp[N_PIECES];
    struct lex_pieces p = {
        .s = (struct slm_tok_str *)(uintptr_t)pieces, .logp = logp, .n = N_PIECES};
    const char *words[] = {"a", "ab", "abab", "babbabab", "abbbbaabab"};
    slm_err err = {0};
    for (int i = 0; i < N_PIECES; i++)
        logp[i] = -1 - 0.37 * i;
    for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
        struct lex_model m;
        double want[N_PIECES] = {0}, got[N_PIECES] = {0};
        int used[N_PIECES] = {0};
        int32_t ids[LEX_WORD_MAX];
        size_t n = strlen(words[w]);
        assert_int_equal(slm_lex_model_init(&m, rt, &p, 1.5, &err), 0);
        double z = all_ways(logp, words[w], n, 1, used, want);
        double l = slm_lex_expect(&m, words[w], n, 3, got);
        assert_true(fabs(l - log(z)) < 1e-12);
        for (int i = 0; i < N_PIECES; i++)
            assert_true(fabs(got[i] - 3 * want[i] / z) < 1e-12);
        size_t k = slm_lex_best(&m, words[w], n, -1, ids), len = 0;
        for (size_t i = 0; i < k; i++)
            len += pieces[ids[i]].n;
        assert_int_equal(len, n);
        slm_lex_model_release(&m);
    }
    slm_runtime_close(&rt);
}

static void unigram_is_a_distribution(void **state)
{
    (void)state;
    slm_lexicon_report r;
    slm_lexicon_opts o = uni_opts(300);
    char *json = learn(&o, 2, &r);
    slm_json *root = NULL;
    slm_err err = {0};
    assert_int_equal(slm_json_parse(&root, json, strlen(json), "t", &err), 0);
    const slm_json *v = slm_json_find(slm_json_find(root, "model"), "vocab");
    assert_int_equal(slm_json_count(v), r.vocab);
    assert_int_equal(r.vocab + r.short_by, 300);
    double sum = 0;
    for (size_t i = 3; i < slm_json_count(v); i++)
        sum += exp(slm_json_num(slm_json_at(slm_json_at(v, i), 1), 0));
    assert_true(sum > 0.5 && sum < 1.0 + 1e-9);
    assert_true(r.loglik < 0 && r.tokens > r.words);
    slm_json_free(root);
    free(json);
}

/* --- what is refused --- */

static void refused(const slm_lexicon_opts *o, const char *const *files, int n, int code,
                    const char *what)
{
    slm_runtime *rt = runtime(1, 0);
    slm_tokenizer *t = NULL;
    slm_err err = {0};
    assert_int_equal(slm_lexicon_train(&t, NULL, rt, files, n, o, &err), code);
    assert_null(t);
    if (!strstr(err.msg, what))
        fail_msg("'%s' does not say '%s'", err.msg, what);
    slm_runtime_close(&rt);
}

static void bad_options(void **state)
{
    (void)state;
    static const char *const twice[] = {"<s>", "<s>"}, *const none[] = {"/nonexistent/text"};
    slm_lexicon_opts o = bpe_opts(257);
    refused(&o, tale, 1, SLM_E_ARG, "need 258");
    o = bpe_opts(400);
    o.special = twice;
    refused(&o, tale, 1, SLM_E_ARG, "given twice");
    o = bpe_opts(400);
    o.pattern = "gpt-3";
    refused(&o, tale, 1, SLM_E_ARG, "gpt-3");
    o.pattern = "(unclosed";
    refused(&o, tale, 1, SLM_E_FORMAT, "pattern");
    o = bpe_opts(400);
    o.pad = "<pad>";
    refused(&o, tale, 1, SLM_E_ARG, "<pad>");
    o = bpe_opts(400);
    refused(&o, none, 1, SLM_E_NOTFOUND, "/nonexistent/text");
    refused(&o, tale, 0, SLM_E_ARG, "no text");
    o = uni_opts(300);
    o.special = special;
    o.n_special = 2;
    refused(&o, tale, 1, SLM_E_ARG, "<unk>");
    o = uni_opts(40);
    o.coverage = 1;
    refused(&o, tale, 1, SLM_E_ARG, "characters");
}

/* Every allocation may fail: an error comes back, and nothing is left behind. */
static void no_memory(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        int rc = SLM_E_NOMEM;
        for (int64_t n = 1; rc; n += n < 200 ? 7 : 61) {
            slm_runtime *rt = runtime(1, 0);
            slm_tokenizer *t = NULL;
            slm_err err = {0};
            slm_mem_stats before, after;
            slm_lexicon_opts o = kind ? uni_opts(200) : bpe_opts(300);
            slm_runtime_memory(rt, &before);
            rt->heap.fail_in = n;
            rc = slm_lexicon_train(&t, NULL, rt, tale, 1, &o, &err);
            rt->heap.fail_in = 0;
            assert_true(rc == 0 || rc == SLM_E_NOMEM);
            slm_tokenizer_close(&t);
            slm_runtime_memory(rt, &after);
            assert_int_equal(after.blocks, before.blocks);
            slm_runtime_close(&rt);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bpe_as_reference),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(saved_forms),
        cmocka_unit_test(sums_of_segmentations),
        cmocka_unit_test(unigram_is_a_distribution),
        cmocka_unit_test(bad_options),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
