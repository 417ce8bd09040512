/* Element types: blocks with known values, inputs with known bytes, and the small floats
 * against arithmetic. tests/data/quants/blocks.bin is a row of records, each a line
 * "kind type length" and that many bytes. Kind "input" holds the float32 values that the "from"
 * records were made of; "to": blocks, then a 64-bit FNV-1a of each block's float32 values;
 * "from": the bytes that the input must give. An argument names another such file. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernels/kern_fill.h"

static const char *data_path = "tests/data/quants/blocks.bin";
static struct slm_kern kern;

static uint64_t fnv(const void *p, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (const uint8_t *s = p; n--; s++)
        h = (h ^ *s) * 0x100000001b3u;
    return h;
}

static int check_to(enum slm_dtype t, const uint8_t *body, size_t n)
{
    size_t bytes = (size_t)slm_dtypes[t].bytes, len = (size_t)slm_dtypes[t].block;
    size_t blocks = n / (bytes + 8);
    int bad = 0;
    assert_true(blocks > 0 && n % (bytes + 8) == 0);
    assert_non_null(kern.to_f32[t]);
    float y[257];
    uint8_t odd[301];
    for (size_t i = 0; i < blocks; i++) {
        uint64_t want;
        memcpy(&want, body + blocks * bytes + i * 8, 8);
        memcpy(odd + 1, body + i * bytes, bytes); /* blocks may lie anywhere */
        y[len] = 12345;
        kern.to_f32[t](y, odd + 1, len);
        bad += fnv(y, len * sizeof *y) != want || y[len] != 12345;
    }
    if (bad)
        print_error("to_f32 %s: %d of %zu blocks differ\n", slm_dtypes[t].name, bad, blocks);
    return bad;
}

static int check_from(enum slm_dtype t, const float *in, size_t count, const uint8_t *body,
                      size_t n)
{
    assert_non_null(kern.from_f32[t]);
    assert_int_equal(slm_row_bytes(t, count), n);
    uint8_t *out = malloc(n);
    assert_non_null(out);
    kern.from_f32[t](out, in, count);
    int bad = 0;
    for (size_t i = 0, b = (size_t)slm_dtypes[t].bytes; i < n; i += b)
        if (memcmp(out + i, body + i, b)) {
            if (!bad)
                print_error("from_f32 %s: block %zu differs\n", slm_dtypes[t].name, i / b);
            bad++;
        }
    free(out);
    return bad;
}

static void test_blocks(void **state)
{
    (void)state;
    FILE *f = fopen(data_path, "rb");
    assert_non_null(f);
    char kind[16], type[16];
    size_t n, inputs = 0;
    float *in = NULL;
    int bad = 0, records = 0;
    while (fscanf(f, "%15s %15s %zu", kind, type, &n) == 3) {
        assert_int_equal(fgetc(f), '\n');
        uint8_t *body = malloc(n);
        assert_non_null(body);
        assert_int_equal(fread(body, 1, n, f), n);
        int t = slm_dtype_of_name(type);
        assert_true(t >= 0);
        if (!strcmp(kind, "input")) {
            inputs = n / sizeof *in;
            in = (float *)(void *)body;
            continue;
        }
        bad += kind[0] == 't' ? check_to((enum slm_dtype)t, body, n)
                              : check_from((enum slm_dtype)t, in, inputs, body, n);
        records++;
        free(body);
    }
    free(in);
    fclose(f);
    assert_int_equal(bad, 0);
    assert_true(records >= 30);
}

/* A small float by its definition. */
static double by_definition(unsigned bits, int exp_bits, int man_bits, int bias)
{
    unsigned m = bits & ((1u << man_bits) - 1), e = bits >> man_bits & ((1u << exp_bits) - 1);
    double v =
        e ? ldexp(1.0 + ldexp(m, -man_bits), (int)e - bias) : ldexp(m, 1 - bias - man_bits);
    return bits >> (exp_bits + man_bits) & 1 ? -v : v;
}

static uint32_t bits_of(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

static void test_small_floats(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 65536; i++) {
        float f = slm_f16_to_f32((uint16_t)i);
        if ((i & 0x7c00) == 0x7c00 && (i & 0x3ff)) {
            assert_true(isnan(f));
            assert_int_equal(slm_f32_to_f16(f), i | 0x200);
        } else if ((i & 0x7c00) == 0x7c00) {
            assert_true(isinf(f) && !signbit(f) == !(i >> 15));
            assert_int_equal(slm_f32_to_f16(f), i);
        } else {
            assert_int_equal(bits_of(f), bits_of((float)by_definition(i, 5, 10, 15)));
            assert_int_equal(slm_f32_to_f16(f), i);
        }
    }
    for (unsigned i = 0; i < 256; i++) {
        uint8_t x = (uint8_t)i;
        float f;
        kern.to_f32[SLM_F8_E4M3](&f, &x, 1);
        if ((i & 127) == 127)
            assert_true(isnan(f));
        else
            assert_int_equal(bits_of(f), bits_of((float)by_definition(i, 4, 3, 7)));
        kern.to_f32[SLM_F8_E5M2](&f, &x, 1);
        if ((i & 127) > 124)
            assert_true(isnan(f));
        else if ((i & 127) == 124)
            assert_true(isinf(f));
        else
            assert_int_equal(bits_of(f), bits_of((float)by_definition(i, 5, 2, 15)));
    }
}

/* Rounding: between neighbours h and h + 1 the middle goes to the even one. */
static void test_rounding(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 0x7c00; h++) {
        float lo = slm_f16_to_f32((uint16_t)h);
        float hi = h + 1 < 0x7c00 ? slm_f16_to_f32((uint16_t)(h + 1)) : 65536.0f;
        float mid = lo + (hi - lo) / 2;
        unsigned even = h & 1 ? h + 1 : h;
        assert_int_equal(slm_f32_to_f16(mid), even);
        assert_int_equal(slm_f32_to_f16(-mid), even | 0x8000);
        assert_int_equal(slm_f32_to_f16(nextafterf(mid, 0)), h);
        assert_int_equal(slm_f32_to_f16(nextafterf(mid, INFINITY)), h + 1);
    }
    assert_int_equal(slm_f32_to_f16(1e-30f), 0);
    assert_int_equal(slm_f32_to_f16(-1e-30f), 0x8000);
    assert_int_equal(slm_f32_to_f16(1e30f), 0x7c00);
    assert_int_equal(slm_f32_to_f16(NAN) & 0x7e00, 0x7e00);
    for (unsigned h = 0; h < 0x7f80; h += 3) {
        float lo = slm_bf16_to_f32((uint16_t)h);
        uint32_t u = (uint32_t)h << 16 | 0x8000;
        float mid;
        memcpy(&mid, &u, 4);
        assert_int_equal(slm_f32_to_bf16(lo), h);
        assert_int_equal(slm_f32_to_bf16(mid), h & 1 ? h + 1 : h);
        assert_int_equal(slm_f32_to_bf16(nextafterf(mid, 0)), h);
        assert_int_equal(slm_f32_to_bf16(nextafterf(mid, INFINITY)), h + 1);
    }
    assert_true(isnan(slm_bf16_to_f32(slm_f32_to_bf16(NAN))));
    uint32_t quiet = 0x7f800001; /* a NaN whose bits all lie in the part that is cut off */
    float nan1;
    memcpy(&nan1, &quiet, 4);
    assert_true(isnan(slm_bf16_to_f32(slm_f32_to_bf16(nan1))));
}

static void test_plain(void **state)
{
    (void)state;
    float y[2];
    const int64_t i64[] = {INT64_MIN, 16777217};
    kern.to_f32[SLM_I64](y, i64, 2);
    assert_true(y[0] == -0x1p63f && y[1] == 16777216.0f);
    const uint64_t u64[] = {UINT64_MAX, 3};
    kern.to_f32[SLM_U64](y, u64, 2);
    assert_true(y[0] == 0x1p64f && y[1] == 3);
    const double f64[] = {0.1, 1e300};
    kern.to_f32[SLM_F64](y, f64, 2);
    assert_true(y[0] == 0.1f && isinf(y[1]));
    const int16_t i16[] = {-32768, 5};
    kern.to_f32[SLM_I16](y, i16, 2);
    assert_true(y[0] == -32768 && y[1] == 5);
    const uint8_t b[] = {0, 1};
    kern.to_f32[SLM_BOOL](y, b, 2);
    assert_true(y[0] == 0 && y[1] == 1);
    const int8_t i8[] = {-128, 127};
    kern.to_f32[SLM_I8](y, i8, 2);
    assert_true(y[0] == -128 && y[1] == 127);
}

/* Values no quantiser likes: nothing may crash, and what comes back is what the type can say.
 */
static void test_hostile_values(void **state)
{
    (void)state;
    static const float nasty[] = {NAN,      INFINITY, -INFINITY, 3.4e38f,
                                  -3.4e38f, 1e-45f,   -0.0f,     0.0f};
    float x[256];
    uint8_t out[512];
    for (unsigned k = 0; k < 64; k++) {
        for (unsigned i = 0; i < 256; i++)
            x[i] = nasty[(i * (k + 1) + k / 8) % 8];
        for (int t = 0; t < SLM_DTYPE_COUNT; t++)
            if (kern.from_f32[t] && slm_dtypes[t].block > 1)
                kern.from_f32[t](out, x, 256);
    }
    for (unsigned i = 0; i < 256; i++)
        x[i] = i == 77 ? -2.0f : 0.5f;
    kern.from_f32[SLM_Q8_K](out, x, 256);
    block_q8_K q;
    memcpy(&q, out, sizeof q);
    assert_int_equal(q.qs[77], -127);
    assert_int_equal(q.qs[0], 32);
    assert_int_equal(q.bsums[4], 15 * 32 - 127);
    assert_int_equal(q.bsums[5], 16 * 32);
    kern.from_f32[SLM_Q8_1](out, x, 32);
    block_q8_1 p;
    memcpy(&p, out, sizeof p);
    assert_true(fabsf(slm_f16_to_f32(p.s) - 16) < 0.02f);
}

static void test_table(void **state)
{
    (void)state;
    for (int t = 0; t < SLM_DTYPE_COUNT; t++) {
        assert_non_null(kern.to_f32[t]);
        assert_int_equal(slm_dtype_of_name(slm_dtypes[t].name), t);
        if (slm_dtypes[t].gguf >= 0)
            assert_int_equal(slm_dtype_of_gguf((uint32_t)slm_dtypes[t].gguf), t);
    }
    static const uint32_t removed[] = {4, 5, 31, 32, 33, 36, 37, 38, 43, 0xffffffffu};
    for (size_t i = 0; i < sizeof removed / sizeof *removed; i++)
        assert_int_equal(slm_dtype_of_gguf(removed[i]), -1);
    assert_int_equal(slm_dtype_of_name("Q4_k"), SLM_Q4_K);
    assert_int_equal(slm_dtype_of_name("q9"), -1);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        data_path = argv[1];
    slm_kern_fill_quant_generic(&kern);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table), cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_small_floats), cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_plain), cmocka_unit_test(test_hostile_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
