/* The base room: heap, arenas, buffers, errors, files, JSON, Unicode, random numbers, element
 * types and CPU levels from recorded CPUID leaves. Threads have a program of their own,
 * test_threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"

static slm_runtime *rt;

static int setup(void **state)
{
    (void)state;
    slm_runtime_opts o;
    slm_runtime_opts_init(&o);
    o.threads = 1;
    return slm_runtime_open(&rt, &o, NULL);
}

static int teardown(void **state)
{
    (void)state;
    slm_runtime_close(&rt);
    return rt != NULL;
}

static void test_heap(void **state)
{
    (void)state;
    slm_mem_stats before, during, after;
    slm_runtime_memory(rt, &before);
    char *p = slm_alloc(rt, SLM_MEM_USER, 1000);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % 64, 0);
    memset(p, 7, 1000);
    slm_runtime_memory(rt, &during);
    assert_int_equal(during.blocks, before.blocks + 1);
    assert_true(during.bytes >= before.bytes + 1000);
    p = slm_realloc(rt, SLM_MEM_USER, p, 100000);
    assert_non_null(p);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(p[i], 7);
    slm_free(rt, p);
    slm_runtime_memory(rt, &after);
    assert_int_equal(after.blocks, before.blocks);
    assert_int_equal(after.bytes, before.bytes);
    assert_true(after.peak >= during.bytes);
    assert_null(slm_alloc_n(rt, SLM_MEM_USER, SIZE_MAX / 8, 64));
    assert_null(slm_zalloc_n(rt, SLM_MEM_USER, SIZE_MAX, SIZE_MAX));
    assert_null(slm_alloc(rt, SLM_MEM_USER, SIZE_MAX - 8));
    int *z = slm_zalloc_n(rt, SLM_MEM_USER, 333, sizeof *z);
    for (int i = 0; i < 333; i++)
        assert_int_equal(z[i], 0);
    slm_free(rt, z);
    slm_free(rt, NULL);
}

static void test_grow(void **state)
{
    (void)state;
    int *list = NULL;
    size_t n = 0, cap = 0;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(slm_grow(rt, SLM_MEM_USER, (void **)&list, n, &cap, sizeof *list), 0);
        list[n++] = i;
    }
    for (int i = 0; i < 1000; i++)
        assert_int_equal(list[i], i);
    slm_free(rt, list);
    struct slm_arena a;
    slm_arena_init(&a, rt, SLM_MEM_USER);
    for (size_t i = 1; i < 3000; i += 37) {
        uint8_t *p = slm_arena_alloc(&a, i);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t k = 0; k < i; k++)
            assert_int_equal(p[k], 0);
        memset(p, 1, i);
    }
    assert_string_equal(slm_arena_strndup(&a, "raven", 3), "rav");
    assert_null(slm_arena_alloc_n(&a, SIZE_MAX / 2, 3));
    slm_arena_release(&a);
}

static void test_buf(void **state)
{
    (void)state;
    struct slm_buf b;
    slm_buf_init(&b, rt, SLM_MEM_USER, 100);
    assert_string_equal(b.s, "");
    slm_buf_printf(&b, "%d %s", 12, "ravens");
    slm_buf_putc(&b, '.');
    assert_string_equal(b.s, "12 ravens.");
    slm_buf_reset(&b);
    slm_buf_put_json(&b, "a\"\\\n\x01\xff\xe2\x82\xac", 9);
    assert_string_equal(b.s, "\"a\\\"\\\\\\n\\u0001\xef\xbf\xbd\xe2\x82\xac\"");
    assert_int_equal(slm_buf_check(&b, "text", NULL), 0);
    for (int i = 0; i < 20; i++)
        slm_buf_puts(&b, "0123456789");
    slm_err err = {0};
    assert_int_equal(slm_buf_check(&b, "text", &err), SLM_E_LIMIT);
    assert_non_null(strstr(err.msg, "text"));
    assert_true(b.n <= 100);
    slm_buf_release(&b);
}

static void test_err(void **state)
{
    (void)state;
    slm_err err = {0};
    assert_int_equal(slm_fail(&err, SLM_E_FORMAT, "%s: %d", "a\nb\x1b[2J\xff", 5),
                     SLM_E_FORMAT);
    assert_string_equal(err.msg, "a?b?[2J?: 5");
    assert_int_equal(slm_fail_in(&err, SLM_E_IO, "shard 2"), SLM_E_FORMAT);
    assert_string_equal(err.msg, "shard 2: a?b?[2J?: 5");
    char big[2000];
    for (int i = 0; i < 1998; i += 3)
        memcpy(big + i, "\xe2\x82\xac", 3);
    big[1998] = 0;
    slm_fail(&err, SLM_E_IO, "%s", big);
    assert_true(slm_utf8_valid(err.msg, strlen(err.msg)));
    assert_int_equal(slm_fail(NULL, SLM_E_IO, "nobody"), SLM_E_IO);
    for (int s = 0; s > SLM_STATUS_MIN; s--) {
        assert_true(*slm_status_words(s));
        assert_true(slm_status_exit(s) >= 0 && slm_status_exit(s) < 256);
        assert_int_equal(slm_status_exit(s) == 0, s == 0);
    }
    assert_non_null(slm_status_words(12345));
}

static void test_out(void **state)
{
    (void)state;
    char dir[] = "/tmp/slm-base-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/out", dir);
    struct slm_out o = {0};
    slm_out_close(&o);
    assert_int_equal(slm_out_open(&o, rt, path, NULL), 0);
    assert_int_equal(slm_out_write(&o, "hello", 5, NULL), 0);
    assert_int_not_equal(access(path, F_OK), 0); /* not before commit */
    slm_out_close(&o);
    assert_int_equal(rmdir(dir), 0);             /* and nothing beside it */
    assert_int_equal(mkdir(dir, 0700), 0);

    assert_int_equal(slm_out_open(&o, rt, path, NULL), 0);
    char block[4096];
    memset(block, 'x', sizeof block);
    for (int i = 0; i < 700; i++) /* beyond any buffer */
        assert_int_equal(slm_out_write(&o, block, sizeof block, NULL), 0);
    assert_int_equal(slm_out_patch(&o, 10, "ABC", 3, NULL), 0);
    assert_int_equal(slm_out_patch(&o, o.size - 1, "Z", 1, NULL), 0);
    assert_int_equal(slm_out_commit(&o, NULL), 0);
    slm_out_close(&o);
    struct slm_map m;
    assert_int_equal(slm_map_open(&m, path, NULL), 0);
    assert_int_equal(m.size, 700 * sizeof block);
    assert_memory_equal(m.data + 8, "xxABCx", 6);
    assert_int_equal(m.data[m.size - 1], 'Z');
    slm_map_close(&m);

    struct slm_buf b;
    slm_buf_init(&b, rt, SLM_MEM_USER, 1000);
    slm_err err = {0};
    assert_int_equal(slm_file_slurp(&b, path, &err), SLM_E_LIMIT);
    slm_buf_release(&b);
    assert_int_equal(slm_map_open(&m, dir, &err), SLM_E_IO);
    assert_int_equal(slm_map_open(&m, "/nowhere/at all", &err), SLM_E_NOTFOUND);
    assert_int_not_equal(slm_out_open(&o, rt, "/nowhere/at all", &err), 0);
    slm_out_close(&o);
    assert_int_equal(slm_out_check(path, &err), 0);
    assert_int_equal(slm_out_check("/nowhere/at all", &err), SLM_E_NOTFOUND);
    assert_int_equal(slm_out_open(&o, rt, dir, &err), SLM_E_IO);
    slm_out_close(&o);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0); /* nor what a rename would do away with */
    assert_int_equal(slm_out_open(&o, rt, path, &err), SLM_E_IO);
    assert_non_null(strstr(err.msg, "no plain file"));
    slm_out_close(&o);
    unlink(path);
    assert_int_equal(symlink("/dev/null", path), 0);
    assert_int_equal(slm_out_check(path, &err), SLM_E_IO);
    unlink(path);
    assert_int_equal(rmdir(dir), 0);
}

static void test_paths(void **state)
{
    (void)state;
    static const char *const bad[] = {"", ".", "..", "a/b", "/a", "a\\b", "a\nb", "..\\x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(slm_path_is_plain(bad[i]));
    assert_true(slm_path_is_plain("model-00001-of-00002.safetensors"));
    assert_string_equal(slm_path_base("a/b/c.gguf"), "c.gguf");
    assert_string_equal(slm_path_base("c.gguf"), "c.gguf");
    assert_true(slm_str_ends("c.gguf", ".gguf"));
    assert_false(slm_str_ends("gguf", "c.gguf"));
}

static void test_json(void **state)
{
    (void)state;
    static const char good[] = "{\"b\":[1,2.0,2.5,\"x\\u20ac\",true,null],\"a\":{\"n\":-7}}";
    slm_json *j = NULL;
    assert_int_equal(slm_json_parse(&j, good, sizeof good - 1, "good", NULL), 0);
    slm_json *b = slm_json_find(j, "b");
    assert_int_equal(slm_json_count(b), 6);
    assert_int_equal(slm_json_int(slm_json_at(b, 1), 0), 2);
    assert_int_equal(slm_json_int(slm_json_at(b, 2), 9), 9);
    assert_true(slm_json_num(slm_json_at(b, 2), 0) == 2.5);
    assert_string_equal(slm_json_str(slm_json_at(b, 3), NULL), "x\xe2\x82\xac");
    assert_true(slm_json_bool(slm_json_at(b, 4), false));
    assert_true(slm_json_is(slm_json_at(b, 5), SLM_JSON_NULL));
    assert_false(slm_json_is(slm_json_at(b, 6), SLM_JSON_NULL));
    assert_int_equal(slm_json_int(slm_json_find(slm_json_find(j, "a"), "n"), 0), -7);
    assert_null(slm_json_find(slm_json_find(j, "none"), "n"));
    size_t len;
    assert_string_equal(slm_json_key(slm_json_first(j), &len), "b"); /* file order */
    struct slm_buf text;
    slm_buf_init(&text, rt, SLM_MEM_USER, 1000);
    slm_json_put(&text, slm_json_find(j, "a"));
    assert_string_equal(text.s, "{\"n\":-7}");
    slm_buf_release(&text);
    slm_json_free(j);

    static const char *const bad[] = {
        "", "{", "{\"a\":1,\"a\":2}", "[1,]", "\"\xff\"", "nul", "[1]x", "1e999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        slm_err err = {0};
        j = NULL;
        assert_int_equal(slm_json_parse(&j, bad[i], strlen(bad[i]), "bad", &err), SLM_E_FORMAT);
        assert_null(j);
        assert_non_null(strstr(err.msg, "bad"));
    }
    char deep[10000];
    memset(deep, '[', sizeof deep);
    assert_int_not_equal(slm_json_parse(&j, deep, sizeof deep, "deep", NULL), 0);
}

static void test_utf8(void **state)
{
    (void)state;
    char out[4];
    for (int32_t cp = 0; cp <= 0x10ffff; cp += cp < 0x900 ? 1 : 101) {
        int32_t back;
        int n = slm_utf8_put(out, cp);
        if (cp >= 0xd800 && cp < 0xe000)
            continue;
        assert_int_equal(slm_utf8_next(out, (size_t)n, &back), n);
        assert_int_equal(back, cp);
        assert_true(slm_utf8_valid(out, (size_t)n));
        for (int k = 1; k < n; k++) {
            assert_false(slm_utf8_valid(out, (size_t)k));
            assert_int_equal(slm_utf8_partial(out, (size_t)k), k);
        }
    }
    static const char *const ill[] = {"\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                      "\x80",     "\xe2\x82",     "\xf8\x88"};
    for (size_t i = 0; i < sizeof ill / sizeof *ill; i++)
        assert_false(slm_utf8_valid(ill[i], strlen(ill[i])));
    struct slm_buf b;
    slm_buf_init(&b, rt, SLM_MEM_USER, 1000);
    /* one U+FFFD for each maximal subpart */
    slm_utf8_clean(&b, "a\xe2\x82z\xff\xf0\x9f\x90", 8);
    assert_string_equal(b.s, "a\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd");
    slm_buf_reset(&b);
    assert_int_equal(slm_utf8_normalize(&b, "e\xcc\x81\xef\xac\x81", 6, SLM_NFC, NULL), 0);
    assert_string_equal(b.s, "\xc3\xa9\xef\xac\x81");
    slm_buf_reset(&b);
    assert_int_equal(slm_utf8_normalize(&b, "\xef\xac\x81", 3, SLM_NFKC, NULL), 0);
    assert_string_equal(b.s, "fi");
    slm_buf_release(&b);
    assert_string_equal(slm_utf8_category('A'), "Lu");
    assert_string_equal(slm_utf8_category(0x663), "Nd");
    assert_true(slm_utf8_space(0x3000) && slm_utf8_space('\n') && !slm_utf8_space(0x200b));
    assert_int_equal(slm_utf8_lower(0xc9), 0xe9);
    assert_int_equal(slm_utf8_upper(0x3b1), 0x391);
}

static void test_rng(void **state)
{
    (void)state;
    struct slm_rng a, b;
    slm_rng_init(&a, 42);
    slm_rng_init(&b, 42);
    double sum = 0, square = 0;
    int count[7] = {0};
    for (int i = 0; i < 70000; i++) {
        assert_true(slm_rng_u64(&a) == slm_rng_u64(&b));
        double u = slm_rng_unit(&a), n = slm_rng_normal(&a);
        slm_rng_unit(&b), slm_rng_normal(&b);
        assert_true(u >= 0 && u < 1);
        sum += n;
        square += n * n;
        count[slm_rng_below(&a, 7)]++;
        slm_rng_below(&b, 7);
    }
    /* five standard deviations */
    assert_true(fabs(sum / 70000) < 5 / sqrt(70000.0));
    assert_true(fabs(square / 70000 - 1) < 5 * sqrt(2 / 70000.0));
    for (int i = 0; i < 7; i++)
        assert_true(abs(count[i] - 10000) < 5 * 93);
}

static void test_dtypes(void **state)
{
    (void)state;
    for (int t = 0; t < SLM_DTYPE_COUNT; t++) {
        assert_int_equal(slm_dtype_of_name(slm_dtypes[t].name), t);
        if (slm_dtypes[t].gguf >= 0)
            assert_int_equal(slm_dtype_of_gguf((uint32_t)slm_dtypes[t].gguf), t);
    }
    assert_int_equal(slm_dtype_of_name("Q4_k"), SLM_Q4_K);
    assert_int_equal(slm_dtype_of_name("q4"), -1);
    assert_int_equal(slm_dtype_of_gguf(4), -1);
    assert_int_equal(slm_dtype_of_gguf(UINT32_MAX), -1);
    for (uint32_t h = 0; h < 0x10000; h++) {
        float f = slm_f16_to_f32((uint16_t)h);
        if (!isnan(f))
            assert_int_equal(slm_f32_to_f16(f), h);
        f = slm_bf16_to_f32((uint16_t)h);
        if (!isnan(f))
            assert_int_equal(slm_f32_to_bf16(f), h);
    }
    assert_int_equal(slm_f32_to_f16(65520.0f), 0x7c00); /* halfway beyond the largest */
    assert_int_equal(slm_f32_to_f16(65519.9f), 0x7bff);
    assert_int_equal(slm_f32_to_f16(0x1p-25f), 0);      /* ties to even */
    assert_int_equal(slm_f32_to_f16(0x1.8p-25f), 1);
    assert_true(isnan(slm_f16_to_f32(slm_f32_to_f16(NAN))));
    assert_true(isnan(slm_bf16_to_f32(slm_f32_to_bf16(NAN))));
}

/* Leaves as an Haswell, a Zen 4, a Sapphire Rapids and a system without AVX state would give
 * them. */
static void test_cpu(void **state)
{
    (void)state;
    struct slm_cpuid id = {.max_leaf = 7};
    const uint32_t avx = 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29;
    assert_int_equal(slm_cpu_levels_x86(&id), 1u << SLM_CPU_GENERIC);
    id.leaf1_ecx = avx;
    id.leaf7_ebx = 1u << 5;
    /* the system saves nothing */
    assert_int_equal(slm_cpu_levels_x86(&id), 1u << SLM_CPU_GENERIC);
    id.xcr0 = 7;
    uint32_t has = 1u << SLM_CPU_GENERIC | 1u << SLM_CPU_AVX2;
    assert_int_equal(slm_cpu_levels_x86(&id), has);
    id.leaf7_ebx |= 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    assert_int_equal(slm_cpu_levels_x86(&id), has);
    id.xcr0 = 0xe7;
    has |= 1u << SLM_CPU_AVX512;
    assert_int_equal(slm_cpu_levels_x86(&id), has);
    id.leaf7_ecx = 1u << 11;
    id.leaf7_1_eax = 1u << 5;
    has |= 1u << SLM_CPU_AVX512VNNI | 1u << SLM_CPU_AVX512BF16;
    assert_int_equal(slm_cpu_levels_x86(&id), has);
    id.leaf7_edx = 1u << 22 | 1u << 24 | 1u << 25;
    assert_int_equal(slm_cpu_levels_x86(&id), has);
    id.xcr0 |= 0x60000;
    id.leaf7_1_eax |= 1u << 4;
    has |= 1u << SLM_CPU_AMX | 1u << SLM_CPU_AVXVNNI;
    assert_int_equal(slm_cpu_levels_x86(&id), has);

    slm_runtime *capped = NULL;
    slm_runtime_opts o;
    slm_runtime_opts_init(&o);
    o.cpu = "generic";
    assert_int_equal(slm_runtime_open(&capped, &o, NULL), 0);
    assert_string_equal(slm_runtime_cpu_level(capped), "generic");
    slm_runtime_close(&capped);
    slm_err err = {0};
    o.cpu = "turbo";
    assert_int_equal(slm_runtime_open(&capped, &o, &err), SLM_E_ARG);
    assert_null(capped);
    assert_non_null(strstr(err.msg, "turbo"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heap), cmocka_unit_test(test_grow), cmocka_unit_test(test_buf),
        cmocka_unit_test(test_err), cmocka_unit_test(test_out), cmocka_unit_test(test_paths),
        cmocka_unit_test(test_json), cmocka_unit_test(test_utf8), cmocka_unit_test(test_rng),
        cmocka_unit_test(test_dtypes), cmocka_unit_test(test_cpu),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
