/* Torture: every allocation of opening, loading, parsing and generating fails once. Each must
 * come back as SLM_E_NOMEM with a message, leave no block behind and no file half written. With
 * SLM_TORTURE=full (make check) all of them are tried; without it every one of the first
 * hundred and then ever wider steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "slm/slm.h"

#define MODEL "models/storyteller.gguf"

typedef int scenario_fn(slm_runtime *rt, slm_err *err);

static int open_model(slm_runtime *rt, slm_err *err)
{
    slm_model *m = NULL;
    int rc = slm_model_open(&m, rt, MODEL, NULL, err);
    if (rc)
        assert_null(m);
    slm_model_close(&m);
    return rc;
}

static int open_file(slm_runtime *rt, slm_err *err)
{
    slm_file *f = NULL;
    slm_text text = {0};
    float row[256];
    int rc = slm_file_open(&f, rt, MODEL, err);
    if (!rc)
        rc = slm_file_tensor_read(f, 0, row, 0, 256, err);
    for (size_t i = 0; !rc && i < slm_file_key_count(f); i++)
        rc = slm_file_key_value(f, i, 4, &text, err);
    slm_text_release(&text);
    slm_file_close(&f);
    return rc;
}

static int read_words(slm_runtime *rt, slm_err *err)
{
    static const char words[] =
        "The giant's hen, \xe2\x82\xac and \xf0\x9f\x90\x93, laid <s> golden eggs.";
    slm_tokenizer *t = NULL;
    slm_ids ids = {0};
    slm_text text = {0};
    int rc = slm_tokenizer_open(&t, rt, MODEL, err);
    if (!rc)
        rc = slm_tokenizer_encode(t, words, sizeof words - 1,
                                  SLM_ENCODE_SPECIAL | SLM_ENCODE_AFFIXES, &ids, err);
    if (!rc)
        rc = slm_tokenizer_decode(t, ids.data, ids.len, 1, &text, err);
    slm_text_release(&text);
    slm_ids_release(&ids);
    slm_tokenizer_close(&t);
    return rc;
}

static int render(slm_runtime *rt, slm_err *err)
{
    static const char src[] =
        "{% macro say(m) %}<{{ m.role|upper }}>{{ m['content'] | trim }}\n{% endmacro %}"
        "{% set ns = namespace(n=0) %}{% for m in messages if m.content is string %}{{ say(m) "
        "}}"
        "{% set ns.n = ns.n + loop.index %}{% endfor %}{{ (messages | tojson)[:20] }}"
        "{{ ns.n ~ '/' ~ [1, 2, 3] | join(', ') }}{% if add_generation_prompt %}<SLM>{% endif "
        "%}";
    static const char chat[] =
        "{\"messages\":[{\"role\":\"user\",\"content\":\" Who are you? \"},"
        "{\"role\":\"fox\",\"content\":\"The fox.\"}],\"add_generation_prompt\":true}";
    slm_template *t = NULL;
    slm_text text = {0};
    int rc = slm_template_new(&t, rt, src, sizeof src - 1, "torture", err);
    if (!rc)
        rc = slm_template_chat(t, chat, sizeof chat - 1, NULL, &text, err);
    slm_text_release(&text);
    slm_template_free(t);
    return rc;
}

static int generate(slm_runtime *rt, slm_err *err)
{
    slm_model *m = NULL;
    slm_session *s = NULL;
    slm_session_opts so;
    slm_session_opts_init(&so);
    so.context = 64;
    so.batch = 16;
    const int32_t ids[] = {1, 357, 1736, 312, 261};
    int rc = slm_model_open(&m, rt, MODEL, NULL, err);
    if (!rc)
        rc = slm_session_open(&s, m, &so, err);
    if (!rc)
        rc = slm_session_sync(s, ids, 5, NULL, err);
    if (!rc)
        rc = slm_session_append(s, ids + 2, 1, err);
    slm_session_close(&s);
    slm_model_close(&m);
    return rc;
}

static int convert(slm_runtime *rt, slm_err *err)
{
    char dir[] = "/tmp/slm-torture-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/out.gguf", dir);
    slm_convert_opts o;
    slm_convert_opts_init(&o);
    int rc = slm_model_convert(rt, MODEL, path, &o, err);
    assert_int_equal(access(path, F_OK) == 0, rc == 0);
    unlink(path);
    assert_int_equal(rmdir(dir), 0); /* nothing half written is left either */
    return rc;
}

static int quantize(slm_runtime *rt, slm_err *err)
{
    static const char *const keep[] = {"attn_v=q8_0"};
    char dir[] = "/tmp/slm-torture-XXXXXX", path[64], im_path[64];
    int32_t ids[16];
    for (int i = 0; i < 16; i++)
        ids[i] = 300 + i;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/out.gguf", dir);
    snprintf(im_path, sizeof im_path, "%s/im.gguf", dir);
    slm_model *m = NULL;
    slm_imatrix *im = NULL;
    slm_quant *q = NULL;
    slm_imatrix_opts io = {.context = 8, .dataset = "words"};
    slm_quant_opts o = {.type = "Q4_0", .keep = keep, .n_keep = 1, .allow_requantize = 1};
    int rc = slm_model_open(&m, rt, MODEL, NULL, err);
    (void)(rc || (rc = slm_imatrix_new(&im, rt, err)) ||
           (rc = slm_imatrix_collect(im, m, ids, 16, &io, err)) ||
           (rc = slm_imatrix_save(im, im_path, 0, err)));
    o.imatrix = im_path;
    (void)(rc || (rc = slm_quant_open(&q, rt, MODEL, &o, err)) ||
           (rc = slm_quant_write(q, path, NULL, NULL, err)));
    slm_quant_close(&q);
    slm_imatrix_close(&im);
    slm_model_close(&m);
    assert_int_equal(access(path, F_OK) == 0, rc == 0);
    unlink(path);
    unlink(im_path);
    assert_int_equal(rmdir(dir), 0);
    return rc;
}

/* One try with the nth allocation failing: 1 when that many were not made. */
static int once(scenario_fn *fn, const char *name, int64_t n)
{
    slm_runtime *rt = NULL;
    slm_runtime_opts o;
    slm_runtime_opts_init(&o);
    o.threads = 1;
    o.fail_alloc = n;
    slm_err err = {0};
    int rc = slm_runtime_open(&rt, &o, &err);
    if (rc) {
        assert_int_equal(rc, SLM_E_NOMEM);
        return 0;
    }
    slm_mem_stats before, after;
    slm_runtime_memory(rt, &before);
    rc = fn(rt, &err);
    slm_runtime_memory(rt, &after);
    slm_runtime_close(&rt);
    if (after.blocks != before.blocks)
        fail_msg("%s: allocation %d fails: %d blocks are left", name, (int)n,
                 (int)(after.blocks - before.blocks));
    if (!rc && after.count >= (uint64_t)n)
        fail_msg("%s: allocation %d may fail unseen", name, (int)n);
    if (!rc)
        return 1;
    if (rc != SLM_E_NOMEM || !err.msg[0])
        fail_msg("%s: allocation %d fails: status %d, \"%s\"", name, (int)n, rc, err.msg);
    return 0;
}

static void torture(scenario_fn *fn, const char *name)
{
    const char *how = getenv("SLM_TORTURE");
    int full = how && !strcmp(how, "full");
    int64_t n = 1;
    while (!once(fn, name, n))
        n += full || n < 100 ? 1 : 1 + n / 8;
    print_message("note: %s: %d allocations or fewer\n", name, (int)n - 1);
}

static void test_open_model(void **state)
{
    (void)state;
    torture(open_model, "open a model");
}
static void test_open_file(void **state)
{
    (void)state;
    torture(open_file, "open a file");
}
static void test_tokenize(void **state)
{
    (void)state;
    torture(read_words, "tokenize");
}
static void test_template(void **state)
{
    (void)state;
    torture(render, "template");
}
static void test_generate(void **state)
{
    (void)state;
    torture(generate, "generate");
}
static void test_convert(void **state)
{
    (void)state;
    torture(convert, "convert");
}
static void test_quantize(void **state)
{
    (void)state;
    torture(quantize, "quantize");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_file), cmocka_unit_test(test_tokenize),
        cmocka_unit_test(test_template),  cmocka_unit_test(test_open_model),
        cmocka_unit_test(test_generate),  cmocka_unit_test(test_convert),
        cmocka_unit_test(test_quantize),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
