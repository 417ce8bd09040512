/* GGUF: what a reader must find, what it must refuse, and that what we write reads back. The
 * files in tests/data/gguf are hand-made ones; bad files are made here from a good one by
 * changing one number, one case for each known way in which readers of this format were broken.
 */
#include "unit/format_kit.h"

#include <math.h>

#include "format/gguf.h"

#define DATA "tests/data/gguf/"

/* ---- good files ---- */

static slm_gguf *open_ok(const char *path)
{
    slm_gguf *g;
    slm_err err = {0};
    if (slm_gguf_open(&g, &rt, path, &err))
        fail_msg("%s", err.msg);
    return g;
}

static int64_t int_of(const slm_gguf *g, const char *key)
{
    int64_t v = 0;
    slm_err err = {0};
    struct slm_gguf_range all = {INT64_MIN, INT64_MAX, SLM_GGUF_REQUIRED};
    if (slm_gguf_int(g, key, all, &v, &err))
        fail_msg("%s", err.msg);
    return v;
}

static void check_values(const char *path, int version)
{
    slm_gguf *g = open_ok(path);
    assert_int_equal(slm_gguf_version(g), version);
    assert_int_equal(slm_gguf_key_count(g), 44);
    assert_string_equal(slm_gguf_key_at(g, 0)->name, "general.architecture");
    assert_int_equal(int_of(g, "v.u8.max"), 255);
    assert_int_equal(int_of(g, "v.i8.min"), -128);
    assert_int_equal(int_of(g, "v.u16.max"), 65535);
    assert_int_equal(int_of(g, "v.i16.min"), -32768);
    assert_int_equal(int_of(g, "v.u32.max"), 4294967295);
    assert_int_equal(int_of(g, "v.i32.min"), INT32_MIN);
    assert_true(int_of(g, "v.i64.min") == INT64_MIN);
    int64_t v;
    const struct slm_gguf_key *k = slm_gguf_find(g, "v.u64.max");
    assert_false(slm_gguf_elem_int(k, 0, &v));
    assert_true(slm_gguf_elem_num(k, 0) == 0x1p64);
    assert_true(slm_gguf_elem_num(slm_gguf_find(g, "v.f64"), 0) == 2.718281828459045);
    assert_true(slm_gguf_elem_num(slm_gguf_find(g, "v.f32.denormal"), 0) == 0x1p-149);
    float f = 0;
    slm_err err;
    assert_int_equal(slm_gguf_float(g, "v.f32", SLM_GGUF_REQUIRED, &f, &err), 0);
    assert_true(f == 3.14159274f);
    assert_refused(slm_gguf_float(g, "v.f32.inf", SLM_GGUF_REQUIRED, &f, &err), &err,
                   SLM_E_FORMAT, "v.f32.inf", "an infinite number");
    assert_refused(slm_gguf_float(g, "v.f64.big", SLM_GGUF_REQUIRED, &f, &err), &err,
                   SLM_E_FORMAT, "v.f64.big", "a number beyond float32");
    bool b = false;
    assert_int_equal(slm_gguf_bool(g, "v.bool.true", SLM_GGUF_REQUIRED, &b, &err), 0);
    assert_true(b);
    struct slm_gguf_str s;
    assert_int_equal(slm_gguf_str(g, "v.str.unicode", SLM_GGUF_REQUIRED, &s, &err), 0);
    assert_true(memchr(s.s, 0, s.n) && s.n == 31);
    assert_int_equal(slm_gguf_str(g, "v.str.empty", SLM_GGUF_REQUIRED, &s, &err), 0);
    assert_int_equal(s.n, 0);
    const struct slm_gguf_key *a;
    assert_int_equal(slm_gguf_array(g, "a.str", SLM_GGUF_KIND_STR, SLM_GGUF_REQUIRED, &a, &err),
                     0);
    s = slm_gguf_elem_str(a, 2);
    assert_true(s.n == 9 && !memcmp(s.s, "zwei drei", 9));
    assert_int_equal(slm_gguf_elem_str(a, 0).n, 0);
    assert_int_equal(slm_gguf_array(g, "a.i32", SLM_GGUF_KIND_INT, SLM_GGUF_REQUIRED, &a, &err),
                     0);
    assert_true(slm_gguf_elem_int(a, 2, &v) && v == INT32_MAX);
    assert_int_equal(slm_gguf_array(g, "a.f64", SLM_GGUF_KIND_NUM, SLM_GGUF_REQUIRED, &a, &err),
                     0);
    assert_true(slm_gguf_elem_num(a, 0) == 0.1);
    assert_int_equal(
        slm_gguf_array(g, "a.empty.str", SLM_GGUF_KIND_STR, SLM_GGUF_REQUIRED, &a, &err), 0);
    assert_int_equal(a->count, 0);
    assert_int_equal(int_of(g, "key with spaces/and.odd-chars:1"), 7);
    assert_null(slm_gguf_find(g, "v.u8"));
    assert_int_equal(slm_gguf_tensor_count(g), 4);
    const struct slm_tensor_ref *t = slm_gguf_tensor_find(g, "d4");
    assert_true(t->type == SLM_BF16 && t->n_dims == 4 && t->dim[0] == 2 && t->dim[1] == 3 &&
                t->dim[2] == 2 && t->dim[3] == 1 && t->bytes == 24 && slm_tensor_aligned(t));
    assert_null(slm_gguf_tensor_find(g, "d5"));
    slm_gguf_close(&g);
    assert_null(g);
    slm_gguf_close(&g);
}

static void test_values(void **state)
{
    (void)state;
    check_values(DATA "all-values.gguf", 3);
    check_values(DATA "version-2.gguf", 2);
}

static void test_tensor_types(void **state)
{
    (void)state;
    slm_gguf *g = open_ok(DATA "all-tensor-types.gguf");
    assert_int_equal(slm_gguf_tensor_count(g), 33);
    const uint8_t *end = NULL;
    for (size_t i = 0; i < slm_gguf_tensor_count(g); i++) {
        const struct slm_tensor_ref *t = slm_gguf_tensor_at(g, i);
        assert_int_equal(atoi(t->name + 1), slm_dtypes[t->type].gguf);
        assert_int_equal(t->bytes, 2 * slm_row_bytes(t->type, (size_t)t->dim[1]));
        assert_true(!end || t->data >= end);
        end = t->data + t->bytes;
    }
    slm_gguf_close(&g);
}

static void test_odd_but_good(void **state)
{
    (void)state;
    static const struct { const char *file; size_t keys, tensors; } good[] = {
        {"no-tensors.gguf", 2, 0},
        {"nothing.gguf", 0, 0},
        {"align-8.gguf", 3, 3},
        {"align-64.gguf", 3, 3},
        {"trailing-bytes.gguf", 2, 2},
        {"zero-size-tensor.gguf", 2, 2},
        {"zero-dims-tensor.gguf", 2, 2},
        {"bad-utf8-string.gguf", 4, 0},
        {"offsets-out-of-order.gguf", 2, 2},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char path[96];
        snprintf(path, sizeof path, DATA "%s", good[i].file);
        slm_gguf *g = open_ok(path);
        assert_int_equal(slm_gguf_key_count(g), good[i].keys);
        assert_int_equal(slm_gguf_tensor_count(g), good[i].tensors);
        slm_gguf_close(&g);
    }
    slm_gguf *g = open_ok(DATA "zero-dims-tensor.gguf");
    assert_int_equal(slm_gguf_tensor_find(g, "scalar")->count, 1);
    slm_gguf_close(&g);
}

static void test_refused_files(void **state)
{
    (void)state;
    static const struct { const char *file; int code; const char *words; } bad[] = {
        {"big-endian.gguf", SLM_E_UNSUPPORTED, "big-endian"},
        {"version-0.gguf", SLM_E_UNSUPPORTED, "version 0"},
        {"version-1.gguf", SLM_E_UNSUPPORTED, "version 1"},
        {"version-4.gguf", SLM_E_UNSUPPORTED, "version 4"},
        {"magic-ggjt.gguf", SLM_E_FORMAT, "no GGUF"},
        {"nested-arrays.gguf", SLM_E_UNSUPPORTED, "n.pairs"},
        {"three-parts-00002-of-00003.gguf", SLM_E_FORMAT, "three-parts-00001-of-00003.gguf"},
        {"lonely-00002-of-00002.gguf", SLM_E_FORMAT, "lonely-00001-of-00002.gguf"},
        {"miscounted-00001-of-00002.gguf", SLM_E_NOTFOUND, "miscounted-00002-of-00002.gguf"},
        {"not-there.gguf", SLM_E_NOTFOUND, "not-there.gguf"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char path[96];
        slm_gguf *g;
        slm_err err = {0};
        snprintf(path, sizeof path, DATA "%s", bad[i].file);
        int rc = slm_gguf_open(&g, &rt, path, &err);
        assert_refused(rc, &err, bad[i].code, bad[i].words, path);
        assert_refused(rc, &err, bad[i].code, path, path);
        assert_null(g);
    }
}

/* ---- a good file in memory, and the places in it that can be broken ---- */

enum place {
    N_TENSORS, N_KEYS, KEY_LEN, KEY_BYTE, STR_LEN, INT_TYPE, ARR_ELEM, ARR_COUNT, STRS_COUNT,
    STR2_LEN, FLAG, ALIGN_TYPE, ALIGN, NAME_LEN, NAME_BYTE, W_DIMS, W_DIM0, W_DIM1, W_TYPE,
    W_OFFSET, Q_DIM0, Q_DIM1, Q_TYPE, Q_OFFSET,
    PLACES
};

static void put_name(struct bytes *o, const char *s)
{
    put64(o, strlen(s));
    put(o, s, strlen(s));
}

static void build(struct bytes *o, size_t at[PLACES])
{
    o->n = 0;
    put(o, "GGUF\3\0\0", 8);
    at[N_TENSORS] = put64(o, 2);
    at[N_KEYS] = put64(o, 6);
    at[KEY_LEN] = o->n;
    put_name(o, "name");
    at[KEY_BYTE] = o->n - 2;
    put32(o, SLM_GGUF_STR);
    at[STR_LEN] = o->n;
    put_name(o, "good");
    put_name(o, "n");
    at[INT_TYPE] = put32(o, SLM_GGUF_U32);
    put32(o, 5);
    put_name(o, "list");
    put32(o, SLM_GGUF_ARR);
    at[ARR_ELEM] = put32(o, SLM_GGUF_F64);
    at[ARR_COUNT] = put64(o, 2);
    put64(o, 0x3ff0000000000000);
    put64(o, 0x4000000000000000);
    put_name(o, "words");
    put32(o, SLM_GGUF_ARR);
    put32(o, SLM_GGUF_STR);
    at[STRS_COUNT] = put64(o, 2);
    put_name(o, "a");
    at[STR2_LEN] = o->n;
    put_name(o, "bc");
    put_name(o, "flag");
    put32(o, SLM_GGUF_BOOL);
    at[FLAG] = put(o, "\1", 1);
    put_name(o, "general.alignment");
    at[ALIGN_TYPE] = put32(o, SLM_GGUF_U32);
    at[ALIGN] = put32(o, 32);
    at[NAME_LEN] = o->n;
    put_name(o, "w.w");
    at[NAME_BYTE] = o->n - 2;
    at[W_DIMS] = put32(o, 2);
    at[W_DIM0] = put64(o, 4);
    at[W_DIM1] = put64(o, 3);
    at[W_TYPE] = put32(o, 0);
    at[W_OFFSET] = put64(o, 0);
    put_name(o, "q");
    put32(o, 2);
    at[Q_DIM0] = put64(o, 32);
    at[Q_DIM1] = put64(o, 2);
    at[Q_TYPE] = put32(o, 8);
    at[Q_OFFSET] = put64(o, 64);
    while (o->n % 32)
        put(o, "", 1);
    for (uint8_t i = 0; i < 64 + 68; i++)
        put(o, &i, 1);
}

static int open_bytes(const struct bytes *o, size_t n, slm_err *err)
{
    /* a block of its exact size, so that one byte too far is seen */
    uint8_t *p = malloc(n ? n : 1);
    slm_gguf *g;
    assert_non_null(p);
    memcpy(p, o->b, n);
    int rc = slm_gguf_open_mem(&g, &rt, p, n, "mem.gguf", err);
    assert_true(rc ? !g : !!g);
    slm_gguf_close(&g);
    free(p);
    return rc;
}

static const struct {
    enum place place;
    int width;
    uint64_t value;
    int code;
    const char *words, *why;
} breaks[] = {
    /* counts that wrap when multiplied by an entry's size: CVE-2024-23605, -21802; allocation
     * without bound: ollama #17042, CVE-2025-66959, -66960 */
    {N_KEYS, 8, UINT64_MAX, SLM_E_FORMAT, "do not fit", "n_kv 2^64-1"},
    {N_KEYS, 8, (uint64_t)1 << 60, SLM_E_FORMAT, "do not fit", "n_kv 2^60"},
    {N_KEYS, 8, 7, SLM_E_FORMAT, "", "one key too many: a tensor info read as a key"},
    {N_KEYS, 8, 5, SLM_E_FORMAT, "", "one key too few"},
    {N_TENSORS, 8, UINT64_MAX, SLM_E_FORMAT, "do not fit", "n_tensors 2^64-1"},
    {N_TENSORS, 8, (uint64_t)1 << 60, SLM_E_FORMAT, "do not fit", "n_tensors 2^60"},
    {N_TENSORS, 8, 3, SLM_E_FORMAT, "", "one tensor too many: weights read as an info"},
    /* lengths: CVE-2024-21825, -21836, -23496, CVE-2024-12055, CVE-2025-0317 */
    {KEY_LEN, 8, UINT64_MAX, SLM_E_FORMAT, "ends inside",
     "key length 2^64-1 wraps with its end"},
    {KEY_LEN, 8, (uint64_t)1 << 63, SLM_E_FORMAT, "ends inside",
     "key length 2^63 is negative when signed"},
    {KEY_LEN, 8, 0, SLM_E_FORMAT, "empty", "a key without a name"},
    {KEY_BYTE, 1, 0, SLM_E_FORMAT, "NUL", "a NUL in a key's name"},
    {STR_LEN, 8, UINT64_MAX, SLM_E_FORMAT, "ends inside name", "string length 2^64-1"},
    {STR_LEN, 8, ((uint64_t)1 << 32) + 4, SLM_E_FORMAT, "ends inside name",
     "true only when cut to 32 bits"},
    {STR2_LEN, 8, UINT64_MAX - 7, SLM_E_FORMAT, "ends inside words",
     "a string in an array wraps"},
    /* types used before they are checked */
    {INT_TYPE, 4, 13, SLM_E_FORMAT, "value type 13", "value type 13"},
    {INT_TYPE, 4, UINT32_MAX, SLM_E_FORMAT, "value type",
     "value type -1 indexes before a table"},
    {INT_TYPE, 4, SLM_GGUF_STR, SLM_E_FORMAT, "", "a number read as a string"},
    {ARR_ELEM, 4, 13, SLM_E_FORMAT, "value type 13", "array of type 13"},
    {ARR_ELEM, 4, SLM_GGUF_ARR, SLM_E_UNSUPPORTED, "arrays of arrays", "nesting without end"},
    {FLAG, 1, 2, SLM_E_FORMAT, "no bool", "a bool of 2"},
    /* counts of arrays: CVE-2025-53630, CVE-2026-27940 (the first fix forgot a sum) */
    {ARR_COUNT, 8, ((uint64_t)1 << 61) + 1, SLM_E_FORMAT, "ends inside list",
     "2^61+1 doubles wrap to 8 bytes"},
    {ARR_COUNT, 8, UINT64_MAX, SLM_E_FORMAT, "ends inside list", "2^64-1 doubles"},
    {STRS_COUNT, 8, (uint64_t)1 << 60, SLM_E_FORMAT, "ends inside words", "2^60 strings"},
    {STRS_COUNT, 8, UINT64_MAX / 16 + 3, SLM_E_FORMAT, "ends inside words",
     "index of strings wraps"},
    /* alignment: division by zero, masks, far offsets */
    {ALIGN, 4, 0, SLM_E_FORMAT, "general.alignment", "alignment 0"},
    {ALIGN, 4, 24, SLM_E_FORMAT, "power of two", "alignment 24"},
    {ALIGN, 4, (uint32_t)1 << 31, SLM_E_FORMAT, "general.alignment", "alignment 2^31"},
    {ALIGN, 4, UINT32_MAX, SLM_E_FORMAT, "general.alignment", "alignment 2^32-1"},
    {ALIGN, 4, 1 << 20, SLM_E_FORMAT, "behind the end", "alignment that pushes the data out"},
    {ALIGN_TYPE, 4, SLM_GGUF_F32, SLM_E_FORMAT, "is float32, want an integer",
     "alignment as float"},
    /* shapes: CVE-2024-21802 (ne), CVE-2026-33298 (nbytes) */
    {NAME_LEN, 8, 0, SLM_E_FORMAT, "empty", "a tensor without a name"},
    {NAME_LEN, 8, UINT64_MAX, SLM_E_FORMAT, "ends inside", "tensor name length"},
    {NAME_BYTE, 1, 0, SLM_E_FORMAT, "NUL", "a NUL in a tensor's name"},
    {W_DIMS, 4, 5, SLM_E_FORMAT, "5 dimensions", "five dimensions overrun ne[4]"},
    {W_DIMS, 4, UINT32_MAX, SLM_E_FORMAT, "dimensions", "2^32-1 dimensions"},
    {W_DIM0, 8, (uint64_t)1 << 62, SLM_E_FORMAT, "impossible", "3 * 2^62 elements wrap"},
    {W_DIM0, 8, ((uint64_t)1 << 62) / 3 * 2, SLM_E_FORMAT, "", "elements fit, bytes wrap"},
    {W_DIM0, 8, UINT64_MAX, SLM_E_FORMAT, "impossible", "a dimension of -1"},
    {W_DIM1, 8, (uint64_t)1 << 62, SLM_E_FORMAT, "impossible", "2^64 elements: the count is 0"},
    {W_DIM1, 8, 4000, SLM_E_FORMAT, "behind the end", "rows behind the end"},
    {Q_DIM0, 8, 33, SLM_E_FORMAT, "impossible", "a row that is no whole number of blocks"},
    {Q_DIM1, 8, (uint64_t)1 << 59, SLM_E_FORMAT, "", "blocks fit, bytes wrap"},
    {W_TYPE, 4, 4, SLM_E_UNSUPPORTED, "type 4", "a type that was removed"},
    {W_TYPE, 4, UINT32_MAX, SLM_E_UNSUPPORTED, "type 4294967295", "type -1"},
    {W_TYPE, 4, 43, SLM_E_UNSUPPORTED, "type 43", "a type of the future"},
    {Q_TYPE, 4, 12, SLM_E_FORMAT, "impossible", "a type of longer blocks"},
    /* data outside of the file: CVE-2026-7482, CVE-2024-42478's cause */
    {Q_OFFSET, 8, 1 << 20, SLM_E_FORMAT, "q: its 68 bytes reach behind",
     "offset behind the end"},
    {Q_OFFSET, 8, UINT64_MAX - 31, SLM_E_FORMAT, "behind the end",
     "offset + size wraps to the start"},
    {Q_OFFSET, 8, 96, SLM_E_FORMAT, "behind the end", "the last bytes are missing"},
    {Q_OFFSET, 8, 4, SLM_E_FORMAT, "no multiple", "offset that is not aligned"},
    {Q_OFFSET, 8, 32, SLM_E_FORMAT, "share bytes", "two tensors share bytes"},
    {Q_OFFSET, 8, 0, SLM_E_FORMAT, "share bytes", "two tensors at one place"},
};

static void test_broken(void **state)
{
    (void)state;
    static struct bytes good, b;
    size_t at[PLACES];
    slm_err err = {0};
    build(&good, at);
    if (open_bytes(&good, good.n, &err))
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < sizeof breaks / sizeof *breaks; i++) {
        b = good;
        memcpy(b.b + at[breaks[i].place], &breaks[i].value, (size_t)breaks[i].width);
        size_t before = rt.heap.bytes;
        rt.heap.peak = before;
        int rc = open_bytes(&b, b.n, &err);
        assert_refused(rc, &err, breaks[i].code, breaks[i].words, breaks[i].why);
        assert_refused(rc, &err, breaks[i].code, "mem.gguf", breaks[i].why);
        assert_int_equal(rt.heap.bytes, before);
        assert_true(rt.heap.peak - before < 64 * 1024);
    }
}

static void test_names_twice(void **state)
{
    (void)state;
    static struct bytes o;
    size_t at[PLACES];
    slm_err err = {0};
    build(&o, at);
    memcpy(o.b + at[NAME_LEN] + 8, "q.q", 3);
    assert_int_equal(open_bytes(&o, o.n, &err), 0);
    o.n = 0;
    put(&o, "GGUF\3\0\0", 8);
    put64(&o, 2);
    put64(&o, 0);
    for (int i = 0; i < 2; i++) {
        put_name(&o, "same");
        put32(&o, 0);
        put32(&o, 0);
        put64(&o, (uint64_t)i * 32);
    }
    o.n += 128;
    assert_refused(open_bytes(&o, o.n, &err), &err, SLM_E_FORMAT, "tensor same is there twice",
                   "a tensor twice");
    o.n = 0;
    put(&o, "GGUF\3\0\0", 8);
    put64(&o, 0);
    put64(&o, 3);
    for (int i = 0; i < 3; i++) {
        put_name(&o, i == 1 ? "other" : "same");
        put32(&o, 0);
        put(&o, "", 1);
    }
    assert_refused(open_bytes(&o, o.n, &err), &err, SLM_E_FORMAT, "key same is there twice",
                   "a key twice");
}

/* Every prefix is refused, every changed byte is met calmly. */
static void test_cut_and_flipped(void **state)
{
    (void)state;
    static struct bytes o;
    size_t at[PLACES];
    slm_err err = {0};
    build(&o, at);
    for (size_t n = 0; n < o.n; n++)
        if (!open_bytes(&o, n, &err))
            fail_msg("%zu of %zu bytes are accepted", n, o.n);
    size_t header = o.n - 132;
    for (size_t i = 0; i < header; i++)
        for (int k = 0; k < 10; k++) {
            uint8_t was = o.b[i];
            o.b[i] = (uint8_t)(k < 8 ? was ^ 1 << k : k == 8 ? 0 : 255);
            if (open_bytes(&o, o.n, &err))
                assert_non_null(strstr(err.msg, "mem.gguf"));
            o.b[i] = was;
        }
}

/* ---- typed reading ---- */

static void test_getters(void **state)
{
    (void)state;
    slm_gguf_out *w;
    slm_err err = {0};
    const char *path = in_folder("keys.gguf");
    static const uint32_t heads[3] = {8, 4, 2};
    static const uint8_t flags[3] = {1, 0, 1};
    static const float scale[3] = {1, 0.5f, NAN};
    assert_int_equal(slm_gguf_out_open(&w, &rt, path, &err), 0);
    slm_gguf_out_u64(w, "layers", 3);
    slm_gguf_out_u64(w, "huge", UINT64_MAX);
    slm_gguf_out_i32(w, "minus", -1);
    slm_gguf_out_str(w, "text", "t", 1);
    slm_gguf_out_f64(w, "eps", 1e-5);
    slm_gguf_out_array(w, "heads", SLM_GGUF_U32, heads, 3);
    slm_gguf_out_array(w, "flags", SLM_GGUF_BOOL, flags, 3);
    slm_gguf_out_array(w, "scale", SLM_GGUF_F32, scale, 3);
    assert_int_equal(slm_gguf_out_begin(w, &err), 0);
    assert_int_equal(slm_gguf_out_commit(w, &err), 0);
    slm_gguf_out_close(&w);
    slm_gguf *g = open_ok(path);
    struct slm_gguf_range few = {1, 512, SLM_GGUF_REQUIRED}, maybe = {0, 9, SLM_GGUF_OPTIONAL};
    int n = 77, v[3];
    float f = 7, fs[3];
    bool b;
    struct slm_gguf_str s;
    const struct slm_gguf_key *k;
    assert_int_equal(slm_gguf_int32(g, "layers", few, &n, &err), 0);
    assert_int_equal(n, 3);
    assert_int_equal(slm_gguf_int32(g, "absent", maybe, &n, &err), 0);
    assert_int_equal(n, 3);
    assert_refused(slm_gguf_int32(g, "absent", few, &n, &err), &err, SLM_E_FORMAT,
                   "absent is missing", "");
    assert_refused(slm_gguf_int32(g, "minus", few, &n, &err), &err, SLM_E_FORMAT,
                   "-1 is not within [1, 512]", "");
    assert_refused(slm_gguf_int32(g, "huge", few, &n, &err), &err, SLM_E_FORMAT,
                   "18446744073709551615", "");
    assert_refused(slm_gguf_int32(g, "text", few, &n, &err), &err, SLM_E_FORMAT,
                   "is string, want an integer", "");
    assert_refused(slm_gguf_int32(g, "heads", few, &n, &err), &err, SLM_E_FORMAT,
                   "an array of uint32", "");
    assert_refused(slm_gguf_int32(g, "eps", few, &n, &err), &err, SLM_E_FORMAT, "is float64",
                   "");
    assert_int_equal(slm_gguf_float(g, "eps", SLM_GGUF_REQUIRED, &f, &err), 0);
    assert_true(f == 1e-5f);
    assert_int_equal(slm_gguf_float(g, "minus", SLM_GGUF_REQUIRED, &f, &err), 0);
    assert_true(f == -1);
    assert_refused(slm_gguf_float(g, "text", SLM_GGUF_REQUIRED, &f, &err), &err, SLM_E_FORMAT,
                   "want a number", "");
    assert_refused(slm_gguf_bool(g, "layers", SLM_GGUF_REQUIRED, &b, &err), &err, SLM_E_FORMAT,
                   "want a bool", "");
    assert_refused(slm_gguf_str(g, "layers", SLM_GGUF_REQUIRED, &s, &err), &err, SLM_E_FORMAT,
                   "want a string", "");
    assert_int_equal(slm_gguf_ints(g, "heads", few, v, 3, &err), 0);
    assert_true(v[0] == 8 && v[1] == 4 && v[2] == 2);
    assert_int_equal(slm_gguf_ints(g, "layers", few, v, 3, &err), 0);
    assert_true(v[0] == 3 && v[1] == 3 && v[2] == 3);
    assert_int_equal(slm_gguf_ints(g, "flags", maybe, v, 3, &err), 0);
    assert_true(v[0] == 1 && v[1] == 0 && v[2] == 1);
    assert_refused(slm_gguf_ints(g, "heads", few, v, 2, &err), &err, SLM_E_FORMAT,
                   "3 values, want 2", "");
    assert_refused(slm_gguf_ints(g, "scale", few, v, 3, &err), &err, SLM_E_FORMAT,
                   "want integers", "");
    assert_refused(slm_gguf_floats(g, "scale", SLM_GGUF_REQUIRED, fs, 3, &err), &err,
                   SLM_E_FORMAT, "scale", "");
    assert_int_equal(slm_gguf_floats(g, "heads", SLM_GGUF_REQUIRED, fs, 3, &err), 0);
    assert_true(fs[1] == 4);
    /* numbers where strings are wanted: tokenizer arrays cast without a look */
    assert_refused(slm_gguf_array(g, "heads", SLM_GGUF_KIND_STR, SLM_GGUF_REQUIRED, &k, &err),
                   &err, SLM_E_FORMAT, "an array of uint32, want an array of strings", "");
    assert_null(k);
    assert_refused(slm_gguf_array(g, "layers", SLM_GGUF_KIND_INT, SLM_GGUF_REQUIRED, &k, &err),
                   &err, SLM_E_FORMAT, "is uint64, want an array of integers", "");
    assert_refused(slm_gguf_array(g, "flags", SLM_GGUF_KIND_INT, SLM_GGUF_REQUIRED, &k, &err),
                   &err, SLM_E_FORMAT, "array of bool", "");
    assert_int_equal(
        slm_gguf_array(g, "absent", SLM_GGUF_KIND_NUM, SLM_GGUF_OPTIONAL, &k, &err), 0);
    assert_null(k);
    slm_gguf_close(&g);
}

/* ---- writing ---- */

/* Writes tensors `first`..`last` of a set of four; their bytes count up from the tensor's
 * number. */
static void write_set(slm_gguf_out *w, int first, int last)
{
    static const struct {
        const char *name;
        enum slm_dtype type;
        int n_dims;
        uint64_t dim[4];
    } t[4] = {
        {"a", SLM_F32, 2, {7, 3}},
        {"empty", SLM_F16, 2, {0, 5}},
        {"b", SLM_Q4_K, 3, {2, 3, 512}},
        {"c", SLM_I8, 1, {33}},
    };
    slm_err err = {0};
    for (int i = first; i <= last; i++)
        slm_gguf_out_tensor(w, t[i].name, t[i].type, t[i].dim, t[i].n_dims);
    if (slm_gguf_out_begin(w, &err))
        fail_msg("%s", err.msg);
    for (int i = first; i <= last; i++) {
        uint64_t n = i == 1 ? 0 : slm_row_bytes(t[i].type, (size_t)t[i].dim[t[i].n_dims - 1]);
        for (int d = 0; d < t[i].n_dims - 1; d++)
            n *= t[i].dim[d];
        for (uint64_t k = 0, step; k < n; k += step) {
            uint8_t piece[61];
            step = n - k < sizeof piece ? n - k : sizeof piece;
            for (uint64_t j = 0; j < step; j++)
                piece[j] = (uint8_t)(k + j + (uint64_t)i);
            if (slm_gguf_out_data(w, piece, step, &err))
                fail_msg("%s", err.msg);
        }
    }
}

static void check_bytes(const slm_gguf *g, const char *name, uint64_t bytes, int first)
{
    const struct slm_tensor_ref *t = slm_gguf_tensor_find(g, name);
    assert_non_null(t);
    assert_int_equal(t->bytes, bytes);
    for (uint64_t k = 0; k < bytes; k++)
        assert_int_equal(t->data[k], (uint8_t)(k + (uint64_t)first));
}

static void test_round_trip(void **state)
{
    (void)state;
    slm_err err = {0};
    slm_gguf_out *w;
    const char *path = in_folder("round.gguf");
    slm_gguf *from = open_ok(DATA "all-values.gguf");
    assert_int_equal(slm_gguf_out_open(&w, &rt, path, &err), 0);
    for (size_t i = 0; i < slm_gguf_key_count(from); i++)
        slm_gguf_out_copy(w, slm_gguf_key_at(from, i));
    static const struct slm_gguf_str words[] = {{"x", 1}, {"", 0}, {"y\0z", 3}};
    slm_gguf_out_strs(w, "words", words, 3);
    slm_gguf_out_u8(w, "u8", 200);
    slm_gguf_out_i8(w, "i8", -3);
    slm_gguf_out_u16(w, "u16", 60000);
    slm_gguf_out_i16(w, "i16", -30000);
    slm_gguf_out_u32(w, "u32", 4000000000u);
    slm_gguf_out_i64(w, "i64", -5000000000);
    slm_gguf_out_f32(w, "f32", 1.5f);
    slm_gguf_out_bool(w, "bool", true);
    write_set(w, 0, 3);
    assert_false(slm_path_is_file(path));
    assert_int_equal(slm_gguf_out_commit(w, &err), 0);
    slm_gguf_out_close(&w);
    slm_gguf *g = open_ok(path);
    assert_int_equal(slm_gguf_key_count(g), slm_gguf_key_count(from) + 9);
    for (size_t i = 0; i < slm_gguf_key_count(from); i++) {
        const struct slm_gguf_key *a = slm_gguf_key_at(from, i), *b = slm_gguf_key_at(g, i);
        assert_string_equal(a->name, b->name);
        assert_true(a->type == b->type && a->elem == b->elem && a->count == b->count &&
                    a->bytes == b->bytes);
        assert_memory_equal(a->data, b->data, a->bytes);
    }
    assert_int_equal(int_of(g, "u8"), 200);
    assert_int_equal(int_of(g, "i8"), -3);
    assert_int_equal(int_of(g, "u16"), 60000);
    assert_int_equal(int_of(g, "i16"), -30000);
    assert_int_equal(int_of(g, "u32"), 4000000000);
    assert_true(int_of(g, "i64") == -5000000000);
    assert_int_equal(slm_gguf_elem_str(slm_gguf_find(g, "words"), 2).n, 3);
    check_bytes(g, "a", 84, 0);
    check_bytes(g, "empty", 0, 1);
    check_bytes(g, "b", 6 * 2 * 144, 2);
    check_bytes(g, "c", 33, 3);
    const struct slm_tensor_ref *t = slm_gguf_tensor_find(g, "b");
    assert_true(t->dim[0] == 2 && t->dim[1] == 3 && t->dim[2] == 512);
    slm_gguf_close(&g);
    slm_gguf_close(&from);
}

static void test_writer_refuses(void **state)
{
    (void)state;
    slm_err err = {0};
    slm_gguf_out *w;
    const char *path = in_folder("never.gguf");
    uint64_t d1 = 33, big[2] = {(uint64_t)1 << 40, (uint64_t)1 << 40};
    assert_int_equal(slm_gguf_out_open(&w, &rt, path, &err), 0);
    slm_gguf_out_tensor(w, "q", SLM_Q4_0, &d1, 1);
    assert_refused(slm_gguf_out_begin(w, &err), &err, SLM_E_FORMAT, "tensor q",
                   "a row of 33 in blocks of 32");
    slm_gguf_out_close(&w);
    assert_int_equal(slm_gguf_out_open(&w, &rt, path, &err), 0);
    slm_gguf_out_tensor(w, "q", SLM_F32, big, 2);
    assert_refused(slm_gguf_out_begin(w, &err), &err, SLM_E_FORMAT, "tensor q",
                   "a size beyond 64 bits");
    slm_gguf_out_close(&w);
    assert_int_equal(slm_gguf_out_open(&w, &rt, path, &err), 0);
    slm_gguf_out_tensor(w, "q", SLM_U16, &d1, 1);
    assert_refused(slm_gguf_out_begin(w, &err), &err, SLM_E_UNSUPPORTED, "tensor q",
                   "a type that GGUF lacks");
    slm_gguf_out_close(&w);
    assert_int_equal(slm_gguf_out_open(&w, &rt, path, &err), 0);
    slm_gguf_out_tensor(w, "q", SLM_I8, &d1, 1);
    assert_int_equal(slm_gguf_out_begin(w, &err), 0);
    assert_int_equal(slm_gguf_out_data(w, "12345", 5, &err), 0);
    assert_refused(slm_gguf_out_commit(w, &err), &err, SLM_E_INTERNAL, "missing",
                   "commit before the end");
    slm_gguf_out_close(&w);
    assert_false(slm_path_is_file(path));
    assert_refused(slm_gguf_out_open(&w, &rt, in_folder("no/such/x.gguf"), &err), &err, 0,
                   "x.gguf", "no folder");
    assert_null(w);
}

/* ---- split sets ---- */

static void test_split(void **state)
{
    (void)state;
    slm_gguf *g = open_ok(DATA "three-parts-00001-of-00003.gguf");
    assert_int_equal(slm_gguf_parts(g), 3);
    assert_int_equal(slm_gguf_tensor_count(g), 5);
    assert_int_equal(slm_gguf_tensor_find(g, "s2.0")->part, 2);
    assert_int_equal(slm_gguf_tensor_find(g, "s0.1")->part, 0);
    assert_string_equal(slm_gguf_tensor_at(g, 2)->name, "s1.0");
    slm_gguf_close(&g);
    slm_err err;
    assert_int_equal(slm_gguf_open_part(&g, &rt, DATA "lonely-00002-of-00002.gguf", &err), 0);
    assert_int_equal(slm_gguf_tensor_count(g), 1);
    slm_gguf_close(&g);
}

/* Two parts, with the lies that are asked for. */
struct lies { int total, no, count; bool same_tensor; const char *name1; };

static int open_lies(struct lies l, slm_err *err)
{
    static const char *const second = "s-00002-of-00002.gguf";
    const char *names[2] = {l.name1 ? l.name1 : "s-00001-of-00002.gguf", second};
    for (int i = 0; i < 2; i++) {
        slm_gguf_out *w;
        assert_int_equal(slm_gguf_out_open(&w, &rt, in_folder(names[i]), err), 0);
        slm_gguf_out_u16(w, "split.no", (uint16_t)(i ? l.no : 0));
        slm_gguf_out_u16(w, "split.count", (uint16_t)(i ? l.count : 2));
        slm_gguf_out_i32(w, "split.tensors.count", l.total);
        if (i && !l.same_tensor)
            write_set(w, 2, 3);
        else
            write_set(w, 0, 1);
        assert_int_equal(slm_gguf_out_commit(w, err), 0);
        slm_gguf_out_close(&w);
    }
    slm_gguf *g;
    int rc = slm_gguf_open(&g, &rt, in_folder(names[0]), err);
    slm_gguf_close(&g);
    return rc;
}

static void test_split_lies(void **state)
{
    (void)state;
    slm_err err = {0};
    if (open_lies((struct lies){4, 1, 2, false, NULL}, &err))
        fail_msg("%s", err.msg);
    assert_refused(open_lies((struct lies){5, 1, 2, false, NULL}, &err), &err, SLM_E_FORMAT,
                   "5 tensors", "total");
    assert_refused(open_lies((struct lies){-1, 1, 2, false, NULL}, &err), &err, SLM_E_FORMAT,
                   "-1", "total");
    assert_refused(open_lies((struct lies){4, 0, 2, false, NULL}, &err), &err, SLM_E_FORMAT,
                   "part 1 of 2", "no");
    assert_refused(open_lies((struct lies){4, 1, 3, false, NULL}, &err), &err, SLM_E_FORMAT,
                   "part 2 of 3", "count");
    assert_refused(open_lies((struct lies){4, 1, 2, true, NULL}, &err), &err, SLM_E_FORMAT,
                   "a is there twice", "twice");
    assert_refused(open_lies((struct lies){4, 1, 2, false, "other.gguf"}, &err), &err,
                   SLM_E_FORMAT, "must end in -00001-of-00002.gguf", "name");
}

/* Cut at every 4 KB of a longer file: refused, by name. */
static void test_cut_pages(void **state)
{
    (void)state;
    static struct bytes all;
    slm_err err = {0};
    slm_gguf_out *w;
    uint64_t dim[2] = {100, 256};
    const char *path = in_folder("pages.gguf");
    assert_int_equal(slm_gguf_out_open(&w, &rt, path, &err), 0);
    slm_gguf_out_tensor(w, "w", SLM_F32, dim, 2);
    assert_int_equal(slm_gguf_out_begin(w, &err), 0);
    assert_int_equal(slm_gguf_out_data(w, all.b, 102400, &err), 0);
    assert_int_equal(slm_gguf_out_commit(w, &err), 0);
    slm_gguf_out_close(&w);
    slm_gguf *g = open_ok(path);
    slm_gguf_close(&g);
    FILE *f = fopen(path, "rb");
    all.n = fread(all.b, 1, sizeof all.b, f);
    fclose(f);
    for (size_t n = 0; n < all.n; n += 4096) {
        write_file(path, all.b, n);
        assert_refused(slm_gguf_open(&g, &rt, path, &err), &err, SLM_E_FORMAT, "pages.gguf",
                       "cut");
    }
}

/* Memory ends at the Nth allocation: an error, and nothing is left behind. */
static void test_no_memory(void **state)
{
    (void)state;
    size_t before = rt.heap.bytes;
    for (int nth = 1;; nth++) {
        slm_gguf *g;
        slm_err err = {0};
        rt.heap.fail_in = nth;
        int rc = slm_gguf_open(&g, &rt, DATA "three-parts-00001-of-00003.gguf", &err);
        rt.heap.fail_in = 0;
        slm_gguf_close(&g);
        assert_int_equal(rt.heap.bytes, before);
        if (!rc) {
            assert_true(nth > 20);
            break;
        }
        assert_int_equal(rc, SLM_E_NOMEM);
    }
    for (int nth = 1;; nth++) {
        slm_gguf_out *w;
        slm_err err = {0};
        rt.heap.fail_in = nth;
        int rc = slm_gguf_out_open(&w, &rt, in_folder("mem.gguf"), &err);
        if (!rc) {
            uint64_t d = 5;
            slm_gguf_out_str(w, "k", "v", 1);
            slm_gguf_out_tensor(w, "t", SLM_I8, &d, 1);
            rc = slm_gguf_out_begin(w, &err);
        }
        rt.heap.fail_in = 0;
        slm_gguf_out_close(&w);
        assert_int_equal(rt.heap.bytes, before);
        if (!rc)
            break;
        assert_int_equal(rc, SLM_E_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),          cmocka_unit_test(test_tensor_types),
        cmocka_unit_test(test_odd_but_good),    cmocka_unit_test(test_refused_files),
        cmocka_unit_test(test_broken),          cmocka_unit_test(test_names_twice),
        cmocka_unit_test(test_cut_and_flipped), cmocka_unit_test(test_getters),
        cmocka_unit_test(test_round_trip),      cmocka_unit_test(test_writer_refuses),
        cmocka_unit_test(test_split),           cmocka_unit_test(test_split_lies),
        cmocka_unit_test(test_cut_pages),       cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, kit_open, kit_close);
}
