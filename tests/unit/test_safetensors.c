/* Safetensors: headers by hand, one fault each; sets of shards; what we write reads back. */
#include "unit/format_kit.h"

#include "format/safetensors.h"

/* ---- one file, by its header's text ---- */

static void make(struct bytes *o, const char *header, size_t data)
{
    o->n = 0;
    put64(o, strlen(header));
    put(o, header, strlen(header));
    for (size_t i = 0; i < data; i++) {
        uint8_t b = (uint8_t)i;
        put(o, &b, 1);
    }
}

static int open_bytes(slm_st **st, const struct bytes *o, size_t n, slm_err *err)
{
    uint8_t *p = malloc(n ? n : 1); /* of its exact size, so that one byte too far is seen */
    slm_st *own = NULL;
    assert_non_null(p);
    memcpy(p, o->b, n);
    int rc = slm_st_open_mem(&own, &rt, p, n, "mem.safetensors", err);
    assert_true(rc ? !own : !!own);
    if (st && !rc) { /* the caller wants to look: over the bytes that stay */
        slm_st_close(&own);
        rc = slm_st_open_mem(st, &rt, o->b, n, "mem.safetensors", err);
    }
    slm_st_close(&own);
    free(p);
    return rc;
}

#define T(name, dtype, shape, offsets) \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define A T("a", "F32", "[2,3]", "[0,24]")
#define B T("b", "BF16", "[4]", "[24,32]")

static void test_good(void **state)
{
    (void)state;
    static struct bytes o;
    slm_st *st;
    slm_err err = {0};
    make(&o,
         " { \"__metadata__\" : {\"format\":\"pt\", \"k\\u00e9y\\n\":\"\\ud83d\\ude00\"},\n" B
         " , " A
         "," T("s", "I8", "[]", "[32,33]") "," T("none", "F64", "[0,7]", "[24,24]") "," T(
             "h\\\"x", "F8_E4M3", "[1,1,1,1,1,2]", "[ 33 , 35 ]") "}   ",
         35);
    if (open_bytes(&st, &o, o.n, &err))
        fail_msg("%s", err.msg);
    assert_int_equal(slm_st_tensor_count(st), 5);
    assert_string_equal(slm_st_tensor_at(st, 0)->name, "a");
    const struct slm_tensor_ref *a = slm_st_tensor_find(st, "a"),
                                *b = slm_st_tensor_find(st, "b");
    assert_true(a->type == SLM_F32 && a->n_dims == 2 && a->dim[0] == 2 && a->dim[1] == 3 &&
                a->count == 6);
    assert_true(b->type == SLM_BF16 && b->data == a->data + 24 && b->data[0] == 24);
    assert_true(slm_st_tensor_find(st, "s")->count == 1 &&
                slm_st_tensor_find(st, "none")->count == 0);
    assert_non_null(slm_st_tensor_find(st, "h\"x"));
    assert_null(slm_st_tensor_find(st, "h"));
    assert_int_equal(slm_st_meta_count(st), 2);
    assert_string_equal(slm_st_meta_find(st, "format"), "pt");
    assert_string_equal(slm_st_meta_find(st, "k\xc3\xa9y\n"), "\xf0\x9f\x98\x80");
    assert_null(slm_st_meta_find(st, "nothing"));
    slm_st_close(&st);
    assert_null(st);
    make(&o, "{}", 0);
    assert_int_equal(open_bytes(NULL, &o, o.n, &err), 0);
    make(&o, "{\"__metadata__\": null}", 0);
    assert_int_equal(open_bytes(NULL, &o, o.n, &err), 0);
}

static void test_types(void **state)
{
    (void)state;
    static const char *const names[] = {"F64", "F32", "F16",  "BF16",    "I64",
                                        "I32", "I16", "I8",   "U64",     "U32",
                                        "U16", "U8",  "BOOL", "F8_E4M3", "F8_E5M2"};
    static const int sizes[] = {8, 4, 2, 2, 8, 4, 2, 1, 8, 4, 2, 1, 1, 1, 1};
    static struct bytes o;
    slm_err err = {0};
    for (size_t i = 0; i < 15; i++) {
        char h[200];
        snprintf(h, sizeof h,
                 "{\"t\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[0,%d]}}", names[i],
                 3 * sizes[i]);
        make(&o, h, (size_t)(3 * sizes[i]));
        if (open_bytes(NULL, &o, o.n, &err))
            fail_msg("%s", err.msg);
    }
}

static const struct {
    const char *header;
    size_t data;
    int code;
    const char *words, *why; } bad[] = {
    {"", 0, SLM_E_FORMAT, "'{'", "an empty header"},
    {"[]", 0, SLM_E_FORMAT, "'{'", "an array"},
    {"{", 0, SLM_E_FORMAT, "name of a tensor", "ends after the brace"},
    {"{" A, 24, SLM_E_FORMAT, "'}'", "no end"},
    {"{" A ",}", 24, SLM_E_FORMAT, "name of a tensor", "a comma too many"},
    {"{" A "} x", 24, SLM_E_FORMAT, "the end", "text behind the end"},
    {"{" A "," A "}", 24, SLM_E_FORMAT, "", "a name twice, the same bytes"},
    {"{" A "," T("a", "F32", "[2]", "[24,32]") "}", 32, SLM_E_FORMAT, "a is there twice",
     "a name twice"},
    {"{" T("", "F32", "[2]", "[0,8]") "}", 8, SLM_E_FORMAT, "not empty", "no name"},
    {"{" T("x\\u0000y", "F32", "[2]", "[0,8]") "}", 8, SLM_E_FORMAT, "a character",
     "a NUL in a name"},
    {"{" T("x\\ud800", "F32", "[2]", "[0,8]") "}", 8, SLM_E_FORMAT, "surrogate", "half a pair"},
    {"{" T("x\\udc00", "F32", "[2]", "[0,8]") "}", 8, SLM_E_FORMAT, "a character",
     "the other half"},
    {"{" T("x\xff", "F32", "[2]", "[0,8]") "}", 8, SLM_E_FORMAT, "UTF-8",
     "a name that is no UTF-8"},
    {"{" T("x\ny", "F32", "[2]", "[0,8]") "}", 8, SLM_E_FORMAT, "end of a string",
     "a control character"},
    {"{" T("x\\q", "F32", "[2]", "[0,8]") "}", 8, SLM_E_FORMAT, "escape",
     "an escape nobody knows"},
    {"{\"a", 0, SLM_E_FORMAT, "end of a string", "a string without end"},
    {"{\"a\\u12", 0, SLM_E_FORMAT, "hex", "an escape without end"},
    {"{" T("a", "F13", "[2]", "[0,8]") "}", 8, SLM_E_UNSUPPORTED, "F13", "a type nobody knows"},
    {"{" T("a", "F32", "[3]", "[0,8]") "}", 8, SLM_E_FORMAT, "a: 8 bytes are not [3] of f32",
     "the size"},
    {"{" T("a", "F32", "[4294967296,4294967296]", "[0,0]") "}", 0, SLM_E_FORMAT, "are not",
     "a count that wraps"},
    {"{" T("a", "F64", "[2305843009213693953]", "[0,8]") "}", 8, SLM_E_FORMAT, "are not",
     "bytes that wrap"},
    {"{" T("a", "F32", "[-2]", "[0,8]") "}", 8, SLM_E_FORMAT, "whole number",
     "a negative dimension"},
    {"{" T("a", "F32", "[2.0]", "[0,8]") "}", 8, SLM_E_FORMAT, "']'", "a real dimension"},
    {"{" T("a", "F32", "[1e1]", "[0,40]") "}", 40, SLM_E_FORMAT, "']'", "an exponent"},
    {"{" T("a", "F32", "[02]", "[0,8]") "}", 8, SLM_E_FORMAT, "whole number", "a leading zero"},
    {"{" T("a", "F32", "[18446744073709551616]", "[0,8]") "}", 8, SLM_E_FORMAT, "2^64",
     "a dimension of 2^64"},
    {"{" T("a", "U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]") "}", 1, SLM_E_FORMAT, "more than 8",
     "nine dimensions"},
    {"{" T("a", "F32", "\"2\"", "[0,8]") "}", 8, SLM_E_FORMAT, "'['",
     "a shape that is a string"},
    {"{" T("a", "F32", "[[2]]", "[0,8]") "}", 8, SLM_E_FORMAT, "whole number",
     "a nested shape"},
    {"{" T("a", "F32", "[2]", "[8,0]") "}", 8, SLM_E_FORMAT, "end before they begin",
     "offsets exchanged"},
    {"{" T("a", "F32", "[2]", "[0]") "}", 8, SLM_E_FORMAT, "two offsets", "one offset"},
    {"{" T("a", "F32", "[2]", "[0,8,9]") "}", 8, SLM_E_FORMAT, "more than 2", "three offsets"},
    {"{" T("a", "F32", "[2]", "[4,12]") "}", 12, SLM_E_FORMAT, "begins at byte 4",
     "a hole at the start"},
    {"{" A "," T("b", "F32", "[2]", "[28,36]") "}", 36, SLM_E_FORMAT, "begins at byte 28",
     "a hole"},
    {"{" A "," T("b", "F32", "[2]", "[20,28]") "}", 28, SLM_E_FORMAT, "begins at byte 20",
     "an overlap"},
    {"{" A "," T("b", "F32", "[6]", "[0,24]") "}", 24, SLM_E_FORMAT, "begins at byte 0",
     "the same bytes twice"},
    {"{" A "}", 25, SLM_E_FORMAT, "belong to no tensor", "bytes at the end"},
    {"{" A "}", 23, SLM_E_FORMAT, "a: its 24 bytes reach behind", "the last byte is missing"},
    {"{" T("a", "U8", "[18446744073709551608]", "[0,18446744073709551608]") "}", 8,
     SLM_E_FORMAT, "behind", "2^64-8 bytes"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, SLM_E_FORMAT, "a: no data_offsets",
     "no offsets"},
    {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, SLM_E_FORMAT, "a: no dtype",
     "no type"},
    {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, SLM_E_FORMAT, "a: no shape",
     "no shape"},
    {"{\"a\":{}}", 0, SLM_E_FORMAT, "a: no dtype", "nothing"},
    {"{\"a\":null}", 0, SLM_E_FORMAT, "'{'", "null"},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
     SLM_E_FORMAT, "repeated field dtype", "a field twice"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}", 8,
     SLM_E_FORMAT, "unknown field x", "a field nobody knows"},
    {"{\"__metadata__\":{\"a\":1}}", 0, SLM_E_FORMAT, "a string", "metadata that is a number"},
    {"{\"__metadata__\":{\"a\":{\"b\":\"c\"}}}", 0, SLM_E_FORMAT, "a string",
     "metadata that is nested"},
    {"{\"__metadata__\":[]}", 0, SLM_E_FORMAT, "'{'", "metadata that is an array"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, SLM_E_FORMAT,
     "__metadata__ is there twice", "twice"},
    {"{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, SLM_E_FORMAT, "key a is there twice",
     "a key twice"},
};

static void test_bad(void **state)
{
    (void)state;
    static struct bytes o;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        slm_err err = {0};
        size_t before = rt.heap.bytes;
        rt.heap.peak = before;
        make(&o, bad[i].header, bad[i].data);
        int rc = open_bytes(NULL, &o, o.n, &err);
        assert_refused(rc, &err, bad[i].code, bad[i].words, bad[i].why);
        assert_refused(rc, &err, bad[i].code, "mem.safetensors", bad[i].why);
        assert_int_equal(rt.heap.bytes, before);
        assert_true(rt.heap.peak - before < 64 * 1024);
    }
}

static void test_header_length(void **state)
{
    (void)state;
    static struct bytes o;
    static const uint64_t lengths[] = {UINT64_MAX, (uint64_t)1 << 63, ((uint64_t)1 << 32) + 2,
                                       1000, 100000001};
    slm_err err = {0};
    for (size_t i = 0; i < 5; i++) {
        make(&o, "{}", 0);
        memcpy(o.b, &lengths[i], 8);
        assert_refused(open_bytes(NULL, &o, o.n, &err), &err, SLM_E_FORMAT, "does not fit",
                       "a header's length");
    }
    for (size_t n = 0; n < 8; n++)
        assert_refused(open_bytes(NULL, &o, n, &err), &err, SLM_E_FORMAT, "too few",
                       "a short file");
}

static void test_cut_and_flipped(void **state)
{
    (void)state;
    static struct bytes o;
    slm_err err = {0};
    make(&o, "{\"__metadata__\":{\"k\":\"v\"}," A "," B "}", 32);
    for (size_t n = 0; n < o.n; n++)
        if (!open_bytes(NULL, &o, n, &err))
            fail_msg("%zu of %zu bytes are accepted", n, o.n);
    for (size_t i = 0; i < o.n - 32; i++)
        for (int k = 0; k < 10; k++) {
            uint8_t was = o.b[i];
            o.b[i] = (uint8_t)(k < 8 ? was ^ 1 << k : k == 8 ? 0 : 255);
            if (open_bytes(NULL, &o, o.n, &err))
                assert_non_null(strstr(err.msg, "mem.safetensors"));
            o.b[i] = was;
        }
}

/* Nesting without end costs nothing, since nothing nests. */
static void test_depth(void **state)
{
    (void)state;
    static struct bytes o;
    slm_err err = {0};
    static const char *const opens[] = {"{\"a\":", "[", "{\"a\":{\"shape\":["};
    for (int i = 0; i < 3; i++) {
        o.n = 0;
        put64(&o, 0);
        while (o.n + 64 < sizeof o.b)
            put(&o, opens[i], strlen(opens[i]));
        uint64_t n = o.n - 8;
        memcpy(o.b, &n, 8);
        assert_refused(open_bytes(NULL, &o, o.n, &err), &err, SLM_E_FORMAT, "mem.safetensors",
                       "depth");
    }
}

/* ---- writing ---- */

static void write_one(const char *path, const char *const *names, int n)
{
    slm_st_out *w;
    slm_err err = {0};
    assert_int_equal(slm_st_out_open(&w, &rt, path, &err), 0);
    slm_st_out_meta(w, "format", "pt");
    for (int i = 0; i < n; i++) {
        uint64_t dim[2] = {(uint64_t)i + 1, 3};
        slm_st_out_tensor(w, names[i], i % 2 ? SLM_F32 : SLM_F16, dim, 2);
    }
    if (slm_st_out_begin(w, &err))
        fail_msg("%s", err.msg);
    for (int64_t i; (i = slm_st_out_next(w)) >= 0;) {
        uint8_t data[512];
        size_t bytes = (size_t)(i + 1) * 3 * (i % 2 ? 4 : 2);
        memset(data, 'A' + (int)i, sizeof data);
        assert_int_equal(slm_st_out_data(w, data, 1, &err), 0);
        assert_int_equal(slm_st_out_data(w, data, bytes - 1, &err), 0);
    }
    assert_int_equal(slm_st_out_commit(w, &err), 0);
    slm_st_out_close(&w);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const char *const names[] = {"z", "quote\"\\", "\xc3\xa9", "m", "a"};
    const char *path = in_folder("w.safetensors");
    slm_st *st;
    slm_err err = {0};
    write_one(path, names, 5);
    if (slm_st_open(&st, &rt, path, &err))
        fail_msg("%s", err.msg);
    assert_int_equal(slm_st_tensor_count(st), 5);
    assert_string_equal(slm_st_meta_find(st, "format"), "pt");
    for (int i = 0; i < 5; i++) {
        const struct slm_tensor_ref *t = slm_st_tensor_find(st, names[i]);
        assert_non_null(t);
        assert_true(t->type == (i % 2 ? SLM_F32 : SLM_F16) && t->dim[0] == (uint64_t)i + 1 &&
                    t->dim[1] == 3);
        assert_true(slm_tensor_aligned(t));
        for (uint64_t k = 0; k < t->bytes; k++)
            assert_int_equal(t->data[k], 'A' + i);
    }
    slm_st_close(&st);
}

static void test_writer_refuses(void **state)
{
    (void)state;
    slm_st_out *w;
    slm_err err = {0};
    const char *path = in_folder("never.safetensors");
    uint64_t dim = 32;
    assert_int_equal(slm_st_out_open(&w, &rt, path, &err), 0);
    slm_st_out_tensor(w, "q", SLM_Q4_0, &dim, 1);
    assert_refused(slm_st_out_begin(w, &err), &err, SLM_E_UNSUPPORTED, "tensor q",
                   "a type it lacks");
    slm_st_out_close(&w);
    assert_int_equal(slm_st_out_open(&w, &rt, path, &err), 0);
    slm_st_out_tensor(w, "t", SLM_U8, &dim, 1);
    slm_st_out_tensor(w, "t", SLM_U8, &dim, 1);
    assert_refused(slm_st_out_begin(w, &err), &err, SLM_E_FORMAT, "t twice", "a name twice");
    slm_st_out_close(&w);
    assert_int_equal(slm_st_out_open(&w, &rt, path, &err), 0);
    slm_st_out_tensor(w, "t", SLM_U8, &dim, 1);
    assert_int_equal(slm_st_out_begin(w, &err), 0);
    assert_refused(slm_st_out_data(w, folder, 33, &err), &err, SLM_E_INTERNAL, "more bytes",
                   "too much");
    assert_refused(slm_st_out_commit(w, &err), &err, SLM_E_INTERNAL, "missing", "too little");
    slm_st_out_close(&w);
    assert_false(slm_path_is_file(path));
}

/* ---- sets ---- */

#define PART1 "m-00001-of-00002.safetensors"
#define PART2 "m-00002-of-00002.safetensors"

static int open_index(const char *map, slm_st **st, slm_err *err)
{
    char text[1024];
    const char *path = in_folder("m.safetensors.index.json");
    int n =
        snprintf(text, sizeof text, "{\"metadata\":{\"total_size\":1},\"weight_map\":%s}", map);
    write_file(path, text, (size_t)n);
    int rc = slm_st_open(st, &rt, path, err);
    if (rc)
        assert_non_null(strstr(err->msg, "m.safetensors.index.json"));
    return rc;
}

static void test_set(void **state)
{
    (void)state;
    static const char *const one[] = {"a", "b"}, *const two[] = {"c"};
    slm_st *st;
    slm_err err = {0};
    write_one(in_folder(PART1), one, 2);
    write_one(in_folder(PART2), two, 1);
    if (open_index("{\"a\":\"" PART1 "\",\"c\":\"" PART2 "\",\"b\":\"" PART1 "\"}", &st, &err))
        fail_msg("%s", err.msg);
    assert_true(slm_st_parts(st) == 2 && slm_st_tensor_count(st) == 3 &&
                slm_st_meta_count(st) == 1);
    assert_int_equal(slm_st_tensor_find(st, "c")->part, 1);
    slm_st_close(&st);
    static const struct { const char *map; int code; const char *words; } lies[] = {
        {"{\"a\":\"" PART1 "\",\"b\":\"" PART1 "\",\"c\":\"gone.safetensors\"}", SLM_E_NOTFOUND,
         "shard gone.safetensors is missing"},
        {"{\"a\":\"" PART1 "\",\"b\":\"" PART1 "\",\"c\":\"" PART2 "\",\"d\":\"" PART2 "\"}",
         SLM_E_FORMAT, "tensor d is not in " PART2},
        {"{\"a\":\"" PART1 "\",\"c\":\"" PART2 "\"}", SLM_E_FORMAT,
         "tensor b of " PART1 " is not listed"},
        {"{\"a\":\"" PART2 "\",\"b\":\"" PART1 "\",\"c\":\"" PART2 "\"}", SLM_E_FORMAT,
         "tensor a is not in " PART2},
        {"{\"a\":\"../" PART1 "\"}", SLM_E_FORMAT, "no plain file name"},
        {"{\"a\":\"/etc/passwd\"}", SLM_E_FORMAT, "no plain file name"},
        {"{\"a\":\"\"}", SLM_E_FORMAT, "no plain file name"},
        {"{\"a\":7}", SLM_E_FORMAT, "no plain file name"},
        {"[]", SLM_E_FORMAT, "no weight_map"},
        {"{", SLM_E_FORMAT, ""},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++)
        assert_refused(open_index(lies[i].map, &st, &err), &err, lies[i].code, lies[i].words,
                       lies[i].map);
    write_one(in_folder(PART2), one, 1);
    assert_refused(
        open_index("{\"a\":\"" PART1 "\",\"b\":\"" PART1 "\",\"c\":\"" PART2 "\"}", &st, &err),
        &err, SLM_E_FORMAT, "tensor a is there twice", "a tensor in two shards");
    write_file(in_folder(PART2), "x", 1);
    slm_err e;
    write_file(in_folder("m.safetensors.index.json"),
               "{\"weight_map\":{\"a\":\"" PART1 "\",\"b\":\"" PART1 "\",\"c\":\"" PART2 "\"}}",
               strlen("{\"weight_map\":{\"a\":\"" PART1 "\",\"b\":\"" PART1 "\",\"c\":\"" PART2
                      "\"}}"));
    assert_refused(slm_st_open(&st, &rt, in_folder("m.safetensors.index.json"), &e), &e,
                   SLM_E_FORMAT, PART2, "a broken shard");
}

static void test_no_memory(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c"};
    const char *path = in_folder("mem.safetensors");
    write_one(path, names, 3);
    size_t before = rt.heap.bytes;
    for (int nth = 1;; nth++) {
        slm_st *st;
        slm_err err = {0};
        rt.heap.fail_in = nth;
        int rc = slm_st_open(&st, &rt, path, &err);
        rt.heap.fail_in = 0;
        slm_st_close(&st);
        assert_int_equal(rt.heap.bytes, before);
        if (!rc)
            break;
        assert_int_equal(rc, SLM_E_NOMEM);
    }
    for (int nth = 1;; nth++) {
        slm_st_out *w;
        slm_err err = {0};
        uint64_t d = 5;
        rt.heap.fail_in = nth;
        int rc = slm_st_out_open(&w, &rt, path, &err);
        if (!rc) {
            slm_st_out_meta(w, "k", "v");
            slm_st_out_tensor(w, "t", SLM_I8, &d, 1);
            rc = slm_st_out_begin(w, &err);
        }
        rt.heap.fail_in = 0;
        slm_st_out_close(&w);
        assert_int_equal(rt.heap.bytes, before);
        if (!rc)
            break;
        assert_int_equal(rc, SLM_E_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_header_length),
        cmocka_unit_test(test_cut_and_flipped),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_writer_refuses),
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, kit_open, kit_close);
}
