/* Tools on data: words, MinHash against its formula, near-duplicates with threads and passes,
 * parts dealt out exactly, fields by path, labels in lists, rules of quality. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "corpus/deal.h"
#include "corpus/fields.h"
#include "corpus/minhash.h"
#include "corpus/offer_text.h"
#include "corpus/quality.h"
#include "slm/corpus.h"

static slm_runtime *rt;
static size_t blocks;

static int open_rt(void **state)
{
    slm_runtime_opts o;
    (void)state;
    slm_runtime_opts_init(&o);
    o.threads = 3;
    int rc = slm_runtime_open(&rt, &o, NULL);
    slm_mem_stats m;
    slm_runtime_memory(rt, &m);
    blocks = m.blocks;
    return rc;
}

static int close_rt(void **state)
{
    slm_mem_stats m;
    (void)state;
    slm_runtime_memory(rt, &m);
    assert_int_equal(m.blocks, blocks);
    slm_runtime_close(&rt);
    return 0;
}

/* ---- words and runs ---- */

static void words_of(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"The  Cat's \"hat\", isn't it?", "the cats hat isnt it "},
        {"2 + 2 is not 2-2; a - b", "2 + 2 is not 2 - 2 a b "},
        {"\xC3\x89t\xC3\xA9 Stra\xC3\x9F"
         "e",
         "\xC3\xA9t\xC3\xA9 stra\xC3\x9F"
         "e "},
        {"\xEF\xBC\xA1\xEF\xBC\xA2 \xEF\xAC\x81", "ab fi "}, /* full width, a ligature */
        {"\xE6\x97\xA5\xE6\x9C\xAC"
         "ok",
         "\xE6\x97\xA5 \xE6\x9C\xAC ok "},
        {"...!?", ""},
        {"", ""},
    };
    struct slm_words w;
    (void)state;
    slm_words_init(&w, rt);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(slm_words_read(&w, cases[i].text, strlen(cases[i].text), NULL), 0);
        assert_string_equal(w.text.s ? w.text.s : "", cases[i].want);
    }
    slm_words_release(&w);
}

/* A run's value does not depend on where it stands, and differs from others'. */
static void runs_of_words(void **state)
{
    static const char a[] = "one two three four five six",
                      b[] = "zero three four five six seven";
    struct slm_words w;
    struct slm_grams x = {0}, y = {0};
    (void)state;
    slm_words_init(&w, rt);
    assert_int_equal(slm_words_read(&w, a, strlen(a), NULL), 0);
    assert_int_equal(slm_grams_read(&x, &w, 3, NULL), 0);
    assert_int_equal(x.n, 4);
    assert_int_equal(slm_words_read(&w, b, strlen(b), NULL), 0);
    assert_int_equal(slm_grams_read(&y, &w, 3, NULL), 0);
    assert_true(x.hash[2] == y.hash[1] && x.hash[3] == y.hash[2]);
    assert_true(x.hash[0] != x.hash[1] && y.hash[0] != y.hash[3]);
    slm_grams_set(&x);
    slm_grams_set(&y);
    assert_true(fabs(slm_grams_jaccard(&x, &y) - 2.0 / 6) < 1e-12);
    assert_int_equal(slm_grams_read(&y, &w, 100, NULL), 0); /* fewer words: one run */
    assert_int_equal(y.n, 1);
    slm_grams_release(&x, rt);
    slm_grams_release(&y, rt);
    slm_words_release(&w);
}

/* ---- MinHash ---- */

static void bands_for_a_threshold(void **state)
{
    int b, r;
    (void)state;
    slm_minhash_choose(0.72, 112, &b, &r);
    assert_true(b == 14 && r == 8);
    for (int t = 30; t <= 95; t += 5) {
        slm_minhash_choose(t / 100.0, 112, &b, &r);
        assert_true(b * r <= 112 && fabs(pow(1.0 / b, 1.0 / r) - t / 100.0) < 0.07);
    }
    assert_true(fabs(slm_dedup_chance(0.8, 14, 8) - 0.924) < 0.0005);
}

/* Two sets of 200 with a share s in common, 400 times: as often as the formula says, within
 * four standard deviations; and the single hashes agree with the chance s. */
static void collisions_follow_the_formula(void **state)
{
    enum { TRIALS = 400, SIZE = 200 };
    static struct slm_minhash m;
    struct slm_rng rng;
    (void)state;
    slm_rng_init(&rng, 5);
    for (int percent = 40; percent <= 90; percent += 10) {
        /* |both| / |any| = both / (2 SIZE - both) */
        int both = (int)(2.0 * SIZE * percent / (100 + percent) + 0.5), met = 0;
        double s = (double)both / (2 * SIZE - both), bands = 0;
        for (int t = 0; t < TRIALS; t++) {
            uint64_t x[SIZE], y[SIZE], kx[14], ky[14];
            struct slm_grams gx = {x, SIZE, SIZE}, gy = {y, SIZE, SIZE};
            slm_minhash_init(&m, 14, 8, (uint64_t)t);
            for (int i = 0; i < SIZE; i++) {
                x[i] = slm_rng_u64(&rng);
                y[i] = i < both ? x[i] : slm_rng_u64(&rng);
            }
            slm_minhash_keys(&m, &gx, 0, 14, kx);
            slm_minhash_keys(&m, &gy, 0, 5, ky); /* in two passes */
            slm_minhash_keys(&m, &gy, 5, 14, ky + 5);
            bool any = false;
            for (int b = 0; b < 14; b++) {
                any |= kx[b] == ky[b];
                bands += kx[b] == ky[b];
            }
            met += any;
        }
        double p = slm_dedup_chance(s, 14, 8), q = pow(s, 8);
        assert_true(fabs(met - TRIALS * p) <= 4 * sqrt(TRIALS * p * (1 - p)) + 1);
        assert_true(fabs(bands - TRIALS * 14 * q) <= 4 * sqrt(TRIALS * 14 * q * (1 - q)) + 1);
    }
}

/* ---- sets and tables ---- */

static void sets_keep_the_least(void **state)
{
    struct slm_sets s;
    struct slm_keymap m;
    uint32_t was;
    (void)state;
    assert_int_equal(slm_sets_init(&s, rt, 10, NULL), 0);
    slm_sets_join(&s, 7, 3);
    slm_sets_join(&s, 9, 7);
    slm_sets_join(&s, 2, 9);
    assert_true(slm_sets_root(&s, 7) == 2 && slm_sets_root(&s, 3) == 2);
    assert_int_equal(slm_sets_root(&s, 4), 4);
    slm_sets_release(&s, rt);
    slm_keymap_init(&m, rt);
    assert_null(slm_keymap_find(&m, 1));
    for (uint32_t i = 0; i < 5000; i++)
        assert_int_equal(slm_keymap_put(&m, (uint64_t)i << 32, i, &was, NULL), 0);
    assert_int_equal(slm_keymap_put(&m, (uint64_t)77 << 32, 9, &was, NULL), 0);
    assert_int_equal(was, 77);
    assert_true(m.n == 5000 && *slm_keymap_find(&m, (uint64_t)4999 << 32) == 4999);
    assert_null(slm_keymap_find(&m, 5));
    slm_keymap_release(&m);
}

/* ---- dealing ---- */

/* n rows of labels i % k, all singles or (unit) in units of `unit` rows. */
static void deal(int n, int k, int unit, const int64_t want[3], int64_t got[3][16])
{
    struct slm_sets s;
    uint32_t *size = calloc((size_t)n, 4), *label = calloc((size_t)n, 4);
    uint8_t *part = calloc((size_t)n, 1);
    assert_int_equal(slm_sets_init(&s, rt, (size_t)n, NULL), 0);
    for (int i = 0; i < n; i++) {
        label[i] = (uint32_t)(i * i % k);
        slm_sets_join(&s, (uint32_t)(i - i % unit), (uint32_t)i);
        size[i - i % unit]++;
    }
    struct slm_deal d = {rt, (size_t)n, size, label, (size_t)k, &s, part, 3, want, 7};
    assert_int_equal(slm_deal_run(&d, NULL), 0);
    memset(got, 0, 3 * sizeof *got);
    for (int i = 0; i < n; i++) {
        got[part[i]][label[i]]++;
        assert_int_equal(part[i], part[i - i % unit]); /* never across */
    }
    slm_sets_release(&s, rt);
    free(size);
    free(label);
    free(part);
}

static void labels_keep_their_shares(void **state)
{
    int64_t want[3] = {801, 99, 100}, got[3][16];
    (void)state;
    deal(1000, 7, 1, want, got);
    for (int p = 0; p < 3; p++) {
        int64_t sum = 0;
        for (int l = 0; l < 7; l++) {
            int64_t all = got[0][l] + got[1][l] + got[2][l];
            sum += got[p][l];
            assert_true(fabs((double)got[p][l] - (double)all * (double)want[p] / 1000) < 2);
        }
        assert_int_equal(sum, want[p]); /* exact */
    }
    deal(1000, 7, 4, want, got); /* units of four rows: within a unit */
    for (int p = 0; p < 3; p++) {
        int64_t sum = 0;
        for (int l = 0; l < 7; l++)
            sum += got[p][l];
        assert_true(llabs(sum - want[p]) <= 4);
    }
}

static void shares_of_a_total(void **state)
{
    static const double share[] = {1.0 / 3, 1.0 / 3, 1.0 / 3}, tenths[] = {.9, .05, .05};
    int64_t out[3];
    (void)state;
    slm_deal_shares(out, share, 3, 100);
    assert_true(out[0] == 34 && out[1] == 33 && out[2] == 33);
    slm_deal_shares(out, tenths, 3, 10003);
    assert_true(out[0] + out[1] + out[2] == 10003 && out[0] == 9003);
}

/* ---- fields ---- */

static const char row_text[] =
    "{\"messages\": [{\"role\": \"system\", \"content\": \"S\"}, {\"role\": \"user\", "
    "\"content\": \"U1\"}, {\"role\": \"assistant\", \"content\": \"{\\\"intent\\\": "
    "\\\"go\\\"}\"}, {\"role\": \"user\", \"content\": \"U2\"}], \"meta\": {\"src\": \"web\", "
    "\"n\": 3}, \"a.b\": \"dot\", \"tags\": [\"x\", \"y\"]}";

static void fields_by_path(void **state)
{
    static const struct {
        const char *path, *want;
    } cases[] = {
        {"meta.src", "web\n"},
        {"meta.n", "3\n"},
        {"a.b", "dot\n"},
        {"tags.-1", "y\n"},
        {"tags.*", "x\ny\n"},
        {"tags", "[\"x\",\"y\"]\n"},
        {"messages.user.content", "U1\nU2\n"},
        {"messages.2.content.intent", "go\n"},
        {"messages.9.content", ""},
        {"nothing.at.all", ""},
        {"", ""},
    };
    struct slm_buf b;
    slm_json *row = NULL;
    (void)state;
    slm_buf_init(&b, rt, SLM_MEM_DATA, 1000);
    assert_int_equal(slm_json_parse(&row, row_text, strlen(row_text), "row", NULL), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        slm_buf_reset(&b);
        slm_field_text(&b, row, cases[i].path);
        assert_string_equal(b.s ? b.s : "", cases[i].want);
    }
    slm_buf_reset(&b);
    slm_fields_text(&b, row, NULL, 0); /* the content: no system, no meta */
    assert_string_equal(b.s, "U1\n{\"intent\": \"go\"}\nU2\n");
    assert_int_equal(
        slm_field_set(row, "messages.2.content.intent", slm_json_new_str("stop", 4), rt), 1);
    assert_int_equal(
        slm_field_set(row, "messages.user.content", slm_json_new_str("last", 4), rt), 1);
    assert_int_equal(slm_field_set(row, "no.where", slm_json_new_str("x", 1), rt), 0);
    slm_buf_reset(&b);
    slm_field_text(&b, row, "messages.*.content");
    assert_string_equal(b.s, "S\nU1\n{\"intent\":\"stop\"}\nlast\n");
    slm_json_free(row);
    slm_buf_release(&b);
}

/* ---- lists in texts ---- */

static void labels_off_a_list(void **state)
{
    static const struct {
        const char *text, *label, *other, *want;
    } cases[] = {
        {"One of: a, b or c.", "b", NULL, "One of: a, c."},
        {"One of: a, b or c.", "c", NULL, "One of: a, b."},
        {"One of: a, b or c.", "a", "d", "One of: d, b or c."},
        {"Pick:\n- on\n- off\nNow", "on", NULL, "Pick:\n- off\nNow"},
        {"\"a b\", \"c\"", "a b", NULL, "\"c\""},
        {"\"a b\", \"c\"", "c", NULL, "\"a b\""},
        {"x | y | z", "z", NULL, "x | y "},
        {"[on, off]", "on", "dim", "[dim, off]"},
        {"turn it on now: on / off", "on", "dim", "turn it on now: dim / off"},
        {"turn_on, on", "on", "dim", "turn_on, dim"},
    };
    struct slm_buf b;
    (void)state;
    slm_buf_init(&b, rt, SLM_MEM_DATA, 1000);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        slm_buf_reset(&b);
        slm_text_withdraw(&b, cases[i].text, strlen(cases[i].text), cases[i].label,
                          strlen(cases[i].label), cases[i].other);
        assert_string_equal(b.s, cases[i].want);
    }
    assert_false(slm_text_offers("turn it on now", 14, "on", 2));
    slm_buf_release(&b);
}

/* ---- quality ---- */

static int judge(struct slm_quality *q, const char *word, int times, const char *end, int sets)
{
    char text[8192] = "";
    for (int i = 0; i < times; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d ", word, i);
    snprintf(text + strlen(text), sizeof text - strlen(text), "%s", end);
    return slm_quality_judge(q, text, strlen(text), sets);
}

static void rules_of_quality(void **state)
{
    struct slm_quality q;
    int sets;
    (void)state;
    slm_quality_init(&q, rt);
    assert_int_equal(judge(&q, "word", 60, "the end of that", SLM_GOPHER), -1);
    assert_int_equal(judge(&q, "word", 40, "the end", SLM_GOPHER), SLM_QUALITY_FEW_WORDS);
    assert_int_equal(judge(&q, "word", 60, "the end", SLM_GOPHER), SLM_QUALITY_STOP_WORDS);
    assert_int_equal(judge(&q, "longerthanten", 60, "the of", SLM_GOPHER),
                     SLM_QUALITY_LONG_WORDS);
    assert_int_equal(judge(&q, "", 99, "the of", SLM_GOPHER), SLM_QUALITY_SHORT_WORDS);
    assert_int_equal(judge(&q, "#word", 60, "the of", SLM_GOPHER), SLM_QUALITY_HASHES);
    assert_int_equal(judge(&q, "word...", 60, "the of", SLM_GOPHER), SLM_QUALITY_ELLIPSES);
    assert_int_equal(judge(&q, "1000", 60, "the of", SLM_GOPHER), SLM_QUALITY_NO_LETTERS);
    assert_int_equal(judge(&q, "- word\n", 60, "the of", SLM_GOPHER) >= 0, 1);
    assert_int_equal(judge(&q, "word", 60, "the of", SLM_GOPHER_REPETITION), -1);
    assert_int_equal(slm_quality_judge(&q, "a\n\na\n\na\n\nb", 10, SLM_GOPHER_REPETITION),
                     SLM_QUALITY_SAME_PARTS);
    assert_int_equal(
        slm_quality_judge(&q, "one two three\none two three\nfour", 32, SLM_GOPHER_REPETITION),
        SLM_QUALITY_SAME_LINES);
    assert_int_equal(
        slm_quality_judge(&q, "of it go to of it by me of it", 29, SLM_GOPHER_REPETITION),
        SLM_QUALITY_TOP_2);
    assert_int_equal(slm_quality_parse("gopher,gopher-repetition", &sets, NULL), 0);
    assert_int_equal(sets, SLM_GOPHER | SLM_GOPHER_REPETITION);
    assert_int_equal(slm_quality_parse("gofer", &sets, NULL), SLM_E_ARG);
    slm_quality_release(&q);
}

/* ---- whole tools, on made files ---- */

static const char *folder(void)
{
    static char dir[64] = "";
    if (!*dir) {
        snprintf(dir, sizeof dir, "/tmp/slm-corpus-%d", (int)getpid());
        assert_int_equal(slm_dir_make(dir, NULL), 0);
    }
    return dir;
}

/* 300 rows: base texts of 60 words; every third is the base with `changed` words replaced. */
static void make_rows(const char *path, int changed)
{
    FILE *f = fopen(path, "w");
    struct slm_rng rng;
    char word[60][16];
    assert_non_null(f);
    slm_rng_init(&rng, 3);
    for (int i = 0; i < 300; i++) {
        for (int k = 0; k < 60 && i % 3 < 2; k++)
            snprintf(word[k], sizeof word[k], "w%llu",
                     (unsigned long long)slm_rng_below(&rng, 100000));
        for (int k = 0; k < changed && i % 3 == 2; k++) /* changes near the end: few runs */
            snprintf(word[59 - k], sizeof word[0], "x%d", i);
        fprintf(f, "{\"id\": %d, \"text\": \"", i);
        for (int k = 0; k < 60; k++)
            fprintf(f, "%s ", word[k]);
        fprintf(f, "\", \"label\": \"l%d\"}\n", i % 5);
    }
    fclose(f);
}

static void near_duplicates_of_rows(void **state)
{
    char path[128];
    const char *const paths[] = {path};
    slm_corpus_in in = {.paths = paths, .n_paths = 1};
    slm_dedup_opts o;
    slm_dedup_report r;
    (void)state;
    snprintf(path, sizeof path, "%s/rows.jsonl", folder());
    make_rows(path, 2);
    const char *const by[] = {"text"};
    in.by = by;
    in.n_by = 1;
    for (int k = 0; k < 3; k++) {
        slm_dedup_opts_init(&o);
        o.verify = k == 1;
        o.memory = k == 2 ? 1 : o.memory; /* a band a pass */
        assert_int_equal(slm_corpus_dedup(&r, rt, &in, &o, NULL), 0);
        assert_int_equal(r.passes, k == 2 ? 14 : 1);
        assert_true(r.exact == 0 && r.near == 100 && r.kept == 200 && r.clusters == 100);
        assert_int_equal(r.largest, 2);
        assert_true(r.cluster[0].similar[0] > 0.9 && r.cluster[0].n_out == 1);
        slm_corpus_release(&r.own);
    }
    make_rows(path, 40); /* a third in common: found by nobody */
    slm_dedup_opts_init(&o);
    o.verify = 1;
    assert_int_equal(slm_corpus_dedup(&r, rt, &in, &o, NULL), 0);
    assert_int_equal(r.near, 0);
    slm_corpus_release(&r.own);
    unlink(path);
}

/* No near-duplicate of a row of one part is in another, and the file is never the input. */
static void parts_leak_nothing(void **state)
{
    char path[128], train[128], test[128];
    const char *const paths[] = {path};
    slm_corpus_in in = {.paths = paths, .n_paths = 1};
    slm_split_opts o;
    slm_split_report r;
    slm_decon_opts d;
    slm_decon_report found;
    (void)state;
    snprintf(path, sizeof path, "%s/rows.jsonl", folder());
    snprintf(train, sizeof train, "%s/train.jsonl", folder());
    snprintf(test, sizeof test, "%s/test.jsonl", folder());
    make_rows(path, 2);
    slm_split_opts_init(&o);
    o.n_parts = 2;
    o.part[0] = (slm_split_part){"train", train, 0.8};
    o.part[1] = (slm_split_part){"test", test, 0.2};
    o.stratify = "label";
    assert_int_equal(slm_corpus_split(&r, rt, &in, &o, NULL), 0);
    assert_true(r.near == 100 && r.near_rows == 200 && r.units == 200 && r.n_labels == 5);
    assert_true(r.rows[0] + r.rows[1] == 300 && llabs(r.rows[1] - 60) <= 2);
    slm_corpus_release(&r.own);
    const char *const against[] = {test}, *const mine[] = {train};
    in.paths = mine;
    slm_decon_opts_init(&d);
    d.against = against;
    d.n_against = 1;
    assert_int_equal(slm_corpus_decontaminate(&found, rt, &in, &d, NULL), 0);
    assert_true(found.by_gram == 0 && found.by_text == 0 && found.kept == found.seen.rows);
    slm_corpus_release(&found.own);
    o.leaks = 1; /* and when they may, they do */
    in.paths = paths;
    assert_int_equal(slm_corpus_split(&r, rt, &in, &o, NULL), 0);
    assert_int_equal(r.rows[1], 60);
    slm_corpus_release(&r.own);
    in.paths = mine;
    assert_int_equal(slm_corpus_decontaminate(&found, rt, &in, &d, NULL), 0);
    assert_true(found.by_gram > 10);
    slm_corpus_release(&found.own);
    o.part[0].out = path;
    in.paths = paths;
    assert_int_equal(slm_corpus_split(&r, rt, &in, &o, NULL), SLM_E_ARG);
    unlink(path);
    unlink(train);
    unlink(test);
    rmdir(folder());
}

/* Each tool with the Nth allocation failing; -1: the tool number is out of range. */
static int poor_run(slm_runtime *poor, int tool, const slm_corpus_in *in)
{
    static const char *const none[] = {"none"}, *const hold[] = {"l1"};
    union {
        slm_dedup_report dedup;
        slm_split_report split;
        slm_negatives_report negatives;
        slm_decon_report decon;
        slm_mix_report mix;
        struct slm_corpus_own *own;
    } r;
    slm_dedup_opts d;
    slm_split_opts s;
    slm_negatives_opts n;
    slm_decon_opts c;
    slm_mix_opts m;
    slm_mix_source source = {in->paths[0], 1};
    slm_dedup_opts_init(&d);
    d.verify = 1;
    d.filter = "gopher-repetition";
    slm_split_opts_init(&s);
    s.stratify = "label";
    s.group = "text";
    slm_negatives_opts_init(&n);
    n.label = "label";
    n.none = none;
    n.hold = hold;
    n.n_none = n.n_hold = 1;
    slm_decon_opts_init(&c);
    c.against = &in->paths[1];
    c.n_against = 1;
    slm_mix_opts_init(&m);
    m.source = &source;
    m.n_sources = 1;
    m.unit = SLM_MIX_BYTES;
    int rc = tool == 0   ? slm_corpus_dedup(&r.dedup, poor, in, &d, NULL)
             : tool == 1 ? slm_corpus_split(&r.split, poor, in, &s, NULL)
             : tool == 2 ? slm_corpus_negatives(&r.negatives, poor, in, &n, NULL)
             : tool == 3 ? slm_corpus_decontaminate(&r.decon, poor, in, &c, NULL)
                         : slm_corpus_mix(&r.mix, poor, in, &m, NULL);
    if (!rc)
        slm_corpus_release(&r.own);
    return rc;
}

/* An error or a result, never a leak or a crash. */
static void without_memory(void **state)
{
    char path[2][64];
    const char *const paths[] = {path[0], path[1]};
    slm_corpus_in in = {.paths = paths, .n_paths = 1};
    slm_runtime *poor;
    slm_runtime_opts ro;
    slm_mem_stats m;
    (void)state;
    for (int k = 0; k < 2; k++) {
        snprintf(path[k], sizeof path[k], "/tmp/slm-corpus-%d-%d.jsonl", (int)getpid(), k);
        make_rows(path[k], 2 + k);
    }
    slm_runtime_opts_init(&ro);
    ro.threads = 1;
    assert_int_equal(slm_runtime_open(&poor, &ro, NULL), 0);
    slm_runtime_memory(poor, &m);
    size_t empty = m.blocks;
    for (int tool = 0; tool < 5; tool++) {
        int failed = 0;
        for (int64_t i = 1; i < 300; i += i < 40 ? 1 : 17) {
            poor->heap.fail_in = i;
            int rc = poor_run(poor, tool, &in);
            assert_true(rc == 0 || rc == SLM_E_NOMEM);
            failed += rc != 0;
            poor->heap.fail_in = 0;
            slm_runtime_memory(poor, &m);
            assert_int_equal(m.blocks, empty);
        }
        assert_true(failed > 10);
        assert_int_equal(poor_run(poor, tool, &in), 0);
    }
    slm_runtime_close(&poor);
    unlink(path[0]);
    unlink(path[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_of),
        cmocka_unit_test(runs_of_words),
        cmocka_unit_test(bands_for_a_threshold),
        cmocka_unit_test(collisions_follow_the_formula),
        cmocka_unit_test(sets_keep_the_least),
        cmocka_unit_test(labels_keep_their_shares),
        cmocka_unit_test(shares_of_a_total),
        cmocka_unit_test(fields_by_path),
        cmocka_unit_test(labels_off_a_list),
        cmocka_unit_test(rules_of_quality),
        cmocka_unit_test(near_duplicates_of_rows),
        cmocka_unit_test(parts_leak_nothing),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, open_rt, close_rt);
}
