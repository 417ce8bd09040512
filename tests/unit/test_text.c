/* Tokenizers against the ids of the reference libraries (tests/data/tokenizers/expect.json),
 * and the promises that no reference makes: streams of whole characters, linear time, exports
 * that read back as the same tokenizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "slm/slm.h"
#include "vocab/tok_open.h"

#define DATA "tests/data/tokenizers/"

static slm_runtime *rt;
static slm_json *expect;

static int set_up(void **state)
{
    slm_err err;
    slm_runtime_opts o;
    (void)state;
    slm_runtime_opts_init(&o);
    o.threads = 1;
    if (slm_runtime_open(&rt, &o, &err) ||
        slm_json_load(&expect, rt, DATA "expect.json", 1 << 24, &err))
        fail_msg("%s", err.msg);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    slm_json_free(expect);
    slm_runtime_close(&rt);
    return 0;
}

static slm_tokenizer *open_data(const char *name)
{
    char path[256];
    slm_err err;
    slm_tokenizer *t;
    snprintf(path, sizeof path, DATA "%s", name);
    if (slm_tok_open_path(&t, rt, path, &err))
        fail_msg("%s", err.msg);
    return t;
}

static void encode(const slm_tokenizer *t, const char *s, size_t n, unsigned flags,
                   slm_ids *ids)
{
    slm_err err;
    ids->len = 0;
    if (slm_tokenizer_encode(t, s, n, flags, ids, &err))
        fail_msg("%s", err.msg);
}

static void same_ids(const char *file, const char *what, size_t i, const slm_json *want,
                     const slm_ids *got)
{
    bool same = slm_json_count(want) == got->len;
    for (size_t k = 0; same && k < got->len; k++)
        same = slm_json_int(slm_json_at(want, k), -1) == got->data[k];
    if (!same)
        fail_msg("%s: %s of text %zu differ", file, what, i);
}

/* Feeds id by id; every piece that comes out must be whole characters. */
static void stream(const slm_tokenizer *t, const slm_ids *ids, bool keep, slm_text *out)
{
    slm_err err;
    slm_detok *d;
    assert_int_equal(slm_detok_new(&d, t, keep, &err), 0);
    for (size_t k = 0; k < ids->len; k++) {
        size_t was = out->len;
        assert_int_equal(slm_detok_feed(d, ids->data[k], out, &err), 0);
        assert_true(slm_utf8_valid(out->data ? out->data + was : "", out->len - was));
    }
    assert_int_equal(slm_detok_flush(d, out, &err), 0);
    slm_detok_free(d);
}

static void same_text(const char *file, size_t i, const slm_tokenizer *t, const slm_ids *ids,
                      const char *want, size_t n)
{
    slm_err err;
    slm_text whole = {0}, parts = {0};
    bool keep = !slm_str_ends(file, ".model");
    assert_int_equal(slm_tokenizer_decode(t, ids->data, ids->len, keep, &whole, &err), 0);
    stream(t, ids, keep, &parts);
    if (whole.len != n || memcmp(whole.data ? whole.data : "", want, n))
        fail_msg("%s: text %zu decodes to '%s', not '%s'", file, i,
                 whole.data ? whole.data : "", want);
    assert_int_equal(parts.len, whole.len);
    if (n)
        assert_memory_equal(parts.data, whole.data, n);
    slm_text_release(&whole);
    slm_text_release(&parts);
}

static void check_file(const char *file, const slm_json *e)
{
    slm_tokenizer *t = open_data(file);
    const slm_json *texts = slm_json_find(expect, "texts");
    const slm_json *special = slm_json_find(e, "special");
    slm_ids ids = {0};
    for (size_t i = 0; i < slm_json_count(texts); i++) {
        size_t n, m;
        const char *s = slm_json_str(slm_json_at(texts, i), &n);
        encode(t, s, n, 0, &ids);
        same_ids(file, "ids", i, slm_json_at(slm_json_find(e, "ids"), i), &ids);
        const char *want = slm_json_str(slm_json_at(slm_json_find(e, "decoded"), i), &m);
        same_text(file, i, t, &ids, want, m);
        if (special) {
            encode(t, s, n, SLM_ENCODE_SPECIAL | SLM_ENCODE_AFFIXES, &ids);
            same_ids(file, "ids with special tokens", i, slm_json_at(special, i), &ids);
        }
    }
    slm_ids_release(&ids);
    slm_tokenizer_close(&t);
}

static void test_references(void **state)
{
    (void)state;
    const slm_json *files = slm_json_find(expect, "files");
    size_t n = 0;
    for (void *it = slm_json_first(files); it; it = slm_json_next(files, it), n++)
        check_file(slm_json_key(it, NULL), slm_json_value(it));
    assert_true(n >= 15);
}

/* Both exports, read back, must give the ids that the tokenizer itself gives. */
static void compare(const char *file, const char *how, const slm_tokenizer *a,
                    const slm_tokenizer *b)
{
    const slm_json *texts = slm_json_find(expect, "texts");
    slm_ids x = {0}, y = {0};
    for (size_t i = 0; i < slm_json_count(texts); i++) {
        size_t n;
        const char *s = slm_json_str(slm_json_at(texts, i), &n);
        encode(a, s, n, SLM_ENCODE_AFFIXES, &x);
        encode(b, s, n, SLM_ENCODE_AFFIXES, &y);
        if (x.len != y.len || (x.len && memcmp(x.data, y.data, x.len * sizeof *x.data)))
            fail_msg("%s: written as %s, text %zu gets other ids", file, how, i);
    }
    slm_ids_release(&x);
    slm_ids_release(&y);
}

static void test_exports(void **state)
{
    static const char *const files[] = {"llama3.json", "ministral3.json", "smollm.json",
                                        "qwen2",       "llama2.model",    "unigram.model",
                                        "phi3.json",   "wordpiece.json"};
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        slm_err err;
        slm_tokenizer *t = open_data(files[i]), *u;
        struct slm_tok_export x;
        if (slm_tok_export(&x, t, (size_t)slm_tokenizer_size(t) + 5, &err))
            fail_msg("%s: %s", files[i], err.msg);
        x.spec.arch =
            !strcmp(files[i], "phi3.json") ? "phi3" : "llama"; /* the model's, in its file */
        if (slm_tok_new_gguf(&u, rt, &x.spec, &err))
            fail_msg("%s: %s", files[i], err.msg);
        compare(files[i], "GGUF", t, u);
        assert_int_equal(slm_tokenizer_bos(t), slm_tokenizer_bos(u));
        slm_tok_export_release(&x);
        struct slm_buf json;
        slm_buf_init(&json, rt, SLM_MEM_TEXT, 1 << 26);
        slm_tokenizer *v;
        if (slm_tok_export_json(u, &json, &err) ||
            slm_tok_open_mem(&v, rt, json.s, json.n, "written.json", &err) ||
            slm_tok_finish(v, &err))
            fail_msg("%s: %s", files[i], err.msg);
        if (strcmp(files[i], "unigram.model")) /* the two libraries' normalisers differ there */
            compare(files[i], "tokenizer.json", t, v);
        slm_buf_release(&json);
        slm_tokenizer_close(&t);
        slm_tokenizer_close(&u);
        slm_tokenizer_close(&v);
    }
}

/* The scanners against PCRE2 on strings that mix all that the patterns tell apart. */
static void test_scanners(void **state)
{
    static const char *const bits[] = {"a",
                                       "B",
                                       "'",
                                       "s",
                                       "ll",
                                       "S",
                                       "1",
                                       "23",
                                       " ",
                                       "  ",
                                       "\n",
                                       "\r",
                                       "\t",
                                       ".",
                                       "!?",
                                       "\xC3\xA9",
                                       "\xC5\xBF",
                                       "\xE6\xBC\xA2",
                                       "\xC2\xBD",
                                       "\xE2\x80\x99",
                                       "\xC2\xA0",
                                       "\xE3\x80\x80",
                                       "\xF0\x9F\x99\x82",
                                       "\xCC\x81",
                                       "\xC2\x85",
                                       "\xE2\x80\x8B",
                                       "re",
                                       "VE",
                                       "_",
                                       "\xE1\xA0\x8E"};
    const char *const patterns[] = {slm_pattern_gpt2, slm_pattern_llama3, slm_pattern_qwen2};
    slm_err err;
    (void)state;
    for (int p = 0; p < 3; p++) {
        struct slm_regex *re;
        struct slm_regex_run *run;
        slm_scan_fn *scan = slm_scan_find(patterns[p], strlen(patterns[p]));
        assert_non_null(scan);
        assert_int_equal(
            slm_regex_new(&re, rt, patterns[p], strlen(patterns[p]), "pattern", &err), 0);
        assert_int_equal(slm_regex_run_new(&run, rt, 100, &err), 0);
        struct slm_rng rng;
        slm_rng_init(&rng, (uint64_t)p);
        for (int round = 0; round < 4000; round++) {
            char s[128];
            size_t n = 0, span[2];
            for (int k = 0; k < 16; k++) {
                const char *b = bits[slm_rng_below(&rng, sizeof bits / sizeof *bits)];
                memcpy(s + n, b, strlen(b));
                n += strlen(b);
            }
            for (size_t i = 0; i < n;) {
                size_t end = scan(s, n, i);
                assert_int_equal(slm_regex_find(re, run, s, n, i, span, &err), 1);
                if (span[0] != i || span[1] != end)
                    fail_msg("pattern %d, '%.*s' at %zu: %zu, not %zu", p, (int)n, s, i, end,
                             span[1]);
                i = end;
            }
        }
        slm_regex_run_free(run);
        slm_regex_free(re);
    }
}

/* Every row of the table of pre-tokenizers opens, and loses no byte of a text. */
static void test_pre_names(void **state)
{
    static const char *const names[] = {
        "default",  "llama-bpe", "tekken",   "qwen2",        "stablelm2",      "gpt-2",
        "smollm",   "gpt-4o",    "minicpm5", "deepseek-llm", "deepseek-coder", "deepseek-v3",
        "spark2_5", "youtu",     "falcon",   "jais-2",       "qwen35",         "bloom",
        "viking",   "chameleon", "tiny_aya", "superbpe",     "bailingmoe",     "seed-coder",
        "ufakzeka", "afmoe",     "laguna",   "exaone-moe",   "whitespace"};
    static const char text[] =
        "It's 12345 caf\xC3\xA9, \xE6\xBC\xA2\xE5\xAD\x97! \r\n  <x>\tEnd";
    struct slm_tok_str bytes[256];
    char spelled[256][4];
    slm_err err;
    (void)state;
    for (int b = 0; b < 256; b++) {
        bytes[b].s = spelled[b];
        bytes[b].n = (size_t)slm_utf8_put(spelled[b], slm_byte_char((uint8_t)b));
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct slm_tok_spec spec;
        slm_tokenizer *t;
        slm_ids ids = {0};
        slm_tok_spec_init(&spec);
        spec.name = "bytes";
        spec.model = "gpt2";
        spec.pre = names[i];
        spec.tokens = spec.merges = bytes;
        spec.n_tokens = 256;
        if (slm_tok_new_gguf(&t, rt, &spec, &err))
            fail_msg("%s: %s", names[i], err.msg);
        encode(t, text, sizeof text - 1, 0, &ids);
        if (strcmp(names[i], "whitespace"))
            assert_int_equal(ids.len, sizeof text - 1);
        slm_ids_release(&ids);
        slm_tokenizer_close(&t);
    }
}

/* A megabyte of one thing, for every model; a pattern that explodes ends in an error. */
static void test_hostile(void **state)
{
    static const char *const files[] = {
        "llama3.json",   "ministral3.json", "llama2.model", "phi3.json",
        "unigram.model", "wordpiece.json",  "gemma2.model", "qwen2"};
    static const char *const units[] = {"a", " ", "x y", "\n", "\xCC\x81\xCC\xA7", "1"};
    size_t n = 1 << 19;
    char *s = malloc(n);
    assert_non_null(s);
    (void)state;
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        slm_tokenizer *t = open_data(files[f]);
        for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
            slm_ids ids = {0};
            for (size_t i = 0, k = strlen(units[u]); i < n; i++)
                s[i] = units[u][i % k];
            encode(t, s, n, 0, &ids);
            slm_ids_release(&ids);
        }
        slm_tokenizer_close(&t);
    }
    free(s);
    static const char bomb[] = "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}"
                               ",\"pre_tokenizer\":{\"type\":"
                               "\"Split\",\"pattern\":{\"Regex\":\"(a+)+b\"},\"behavior\":"
                               "\"Isolated\",\"invert\":false}}";
    slm_err err;
    slm_tokenizer *t;
    slm_ids ids = {0};
    char text[64];
    memset(text, 'a', sizeof text);
    memcpy(text + 60, "cccb", 4); /* a b there is, but never behind the a */
    assert_int_equal(slm_tok_open_mem(&t, rt, bomb, sizeof bomb - 1, "bomb.json", &err), 0);
    assert_int_equal(slm_tok_finish(t, &err), 0);
    assert_int_equal(slm_tokenizer_encode(t, text, sizeof text, 0, &ids, &err), SLM_E_LIMIT);
    slm_ids_release(&ids);
    slm_tokenizer_close(&t);
}

static void test_special(void **state)
{
    (void)state;
    slm_tokenizer *t = open_data("llama3.json");
    int32_t eot = slm_tokenizer_find(t, "<|eot_id|>", 10);
    assert_true(eot >= 0 && slm_tokenizer_is_eog(t, eot));
    assert_false(slm_tokenizer_is_eog(t, slm_tokenizer_find(t, "<|begin_of_text|>", 17)));
    assert_string_equal(slm_tokenizer_kind(t), "bpe");
    assert_string_equal(slm_tok_pre(t), "llama-bpe");
    assert_int_equal(slm_tokenizer_type(t, eot), SLM_TOKEN_CONTROL);
    assert_null(slm_tokenizer_piece(t, slm_tokenizer_size(t), NULL));
    assert_int_equal(slm_tokenizer_find(t, "no such token", 13), -1);
    slm_tokenizer_close(&t);
    t = open_data("qwen2");
    assert_true(slm_tokenizer_is_eog(t, 532));
    slm_tokenizer_close(&t);
    t = open_data("llama2.model");
    assert_string_equal(slm_tokenizer_kind(t), "spm");
    assert_int_equal(slm_tokenizer_bos(t), 1);
    assert_true(slm_tokenizer_adds_bos(t));
    slm_ids ids = {0};
    encode(t, "\xFF\xC3", 2, 0, &ids); /* one U+FFFD for each bad byte, as its own bytes */
    assert_int_equal(ids.len, 1 + 6);
    slm_ids_release(&ids);
    slm_tokenizer_close(&t);
}

/* Malformed files: an error that names the thing, nothing else. */
static void test_refused(void **state)
{
    static const struct {
        const char *json, *word;
    } bad[] = {
        {"", "empty"},
        {"{", "JSON"},
        {"{}", "model"},
        {"{\"model\":{\"type\":\"Magic\",\"vocab\":{}}}", "Magic"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":1099511627776},\"merges\":[]}}", "'a'"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}", "merge 0"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a a a\"]}}",
         "merge 0"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]},\"normalizer\":{"
         "\"type\":\"Wash\"}}",
         "Wash"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]},\"pre_tokenizer\":{"
         "\"type\":\"Chop\"}}",
         "Chop"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]},\"decoder\":{"
         "\"type\":\"CTC\"}}",
         "CTC"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]},\"post_processor\":{"
         "\"type\":"
         "\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<x>\"}},{\"Sequence\":"
         "{\"id\":\"A\"}}],"
         "\"special_tokens\":{}}}",
         "<x>"},
        {"{\"model\":{\"type\":\"Unigram\",\"unk_id\":7,\"vocab\":[[\"a\",0]]}}", "unk_id"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        slm_err err = {0};
        slm_tokenizer *t = NULL;
        assert_int_not_equal(
            slm_tok_open_mem(&t, rt, bad[i].json, strlen(bad[i].json), "bad.json", &err), 0);
        assert_null(t);
        if (!strstr(err.msg, bad[i].word))
            fail_msg("case %zu says '%s'", i, err.msg);
    }
    struct slm_map map;
    slm_err err;
    assert_int_equal(slm_map_open(&map, DATA "llama2.model", &err), 0);
    for (size_t n = 0; n < map.size; n += 97) { /* cut anywhere, it is refused */
        slm_tokenizer *t = NULL;
        assert_int_not_equal(
            slm_tok_open_mem(&t, rt, (const char *)map.data, n, "cut.model", &err), 0);
    }
    slm_map_close(&map);
}

/* Opening fails cleanly whichever allocation fails. */
static void test_torture(void **state)
{
    static const char *const files[] = {"llama3.json", "llama2.model", "qwen2",
                                        "unigram.model"};
    slm_mem_stats before, after;
    (void)state;
    slm_runtime_memory(rt, &before);
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        char path[256];
        slm_err err;
        int rc = 1;
        snprintf(path, sizeof path, DATA "%s", files[f]);
        for (int64_t nth = 1; rc && nth < 100000; nth += 1 + nth / 20) {
            slm_tokenizer *t = NULL;
            atomic_store(&rt->heap.fail_in, nth);
            rc = slm_tok_open_path(&t, rt, path, &err);
            atomic_store(&rt->heap.fail_in, 0);
            slm_tokenizer_close(&t);
        }
        assert_int_equal(rc, 0);
    }
    slm_runtime_memory(rt, &after);
    assert_int_equal(before.blocks, after.blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_references), cmocka_unit_test(test_exports),
        cmocka_unit_test(test_scanners),   cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_pre_names),  cmocka_unit_test(test_special),
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_torture),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
