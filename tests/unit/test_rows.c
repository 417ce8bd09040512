/* data/data.h: rows out of files of every form, with their places, good and bad. */
#include "unit/format_kit.h"

#include "data/data.h"

/* All rows as "LINE:json" or "LINE!why", a row a line; or the error. */
static void read_all(char *out, size_t cap, const char *const *paths, int n,
                     const struct slm_rows_opts *o)
{
    slm_rows *r;
    slm_err err = {0};
    struct slm_row row = {0};
    struct slm_buf b;
    slm_buf_init(&b, &rt, SLM_MEM_USER, 1 << 20);
    int rc = slm_rows_open(&r, &rt, paths, n, o, &err);
    while (!rc && (rc = slm_rows_read(r, &row, &err)) > 0) {
        rc = 0;
        slm_buf_printf(&b, "%lld%c", (long long)row.line, row.json ? ':' : '!');
        if (row.json)
            slm_json_put(&b, row.json);
        else
            slm_buf_puts(&b, row.why);
        slm_buf_putc(&b, '\n');
        assert_int_equal(!row.json, row.state != SLM_ROW_OK);
        struct slm_row again = row; /* found again by its place */
        again.json = NULL;
        assert_int_equal(slm_rows_again(r, &again, &err), 0);
        assert_true(again.state == row.state &&
                    (!row.json || slm_json_same(again.json, row.json)));
        slm_row_release(&again);
    }
    if (rc < 0)
        slm_buf_printf(&b, "error: %s\n",
                       strrchr(err.msg, '/') ? strrchr(err.msg, '/') + 1 : err.msg);
    else
        assert_int_equal(slm_rows_at(r), slm_rows_bytes(r));
    slm_row_release(&row);
    snprintf(out, cap, "%s", b.s);
    slm_buf_release(&b);
    slm_rows_close(&r);
}

static void check(const char *name, const char *text, const struct slm_rows_opts *o,
                  const char *want)
{
    char got[4096];
    const char *path = in_folder(name);
    write_file(path, text, strlen(text));
    read_all(got, sizeof got, &path, 1, o);
    assert_string_equal(got, want);
    unlink(path);
}

static void test_jsonl(void **state)
{
    (void)state;
    check("a.jsonl",
          "{\"a\": 1}\n\n  {\"b\":\"x\"}\r\n{\"a\": 1, \"a\": 2}\n[1]\n\"s\"\n{\"c\"", NULL,
          "1:{\"a\":1}\n3:{\"b\":\"x\"}\n4!not JSON: line 1, column 12: duplicate object key "
          "near '\"a\"'\n5!a list, not an object\n6!a string, not an object\n"
          "7!not JSON: line 1, column 4: ':' expected near end of file\n");
    check("a.jsonl", "{\"a\":\"\xff\"}\n{\"a\":2}", NULL,
          "1!not UTF-8: byte 0xff at byte 6 of it\n2:{\"a\":2}\n");
    check("b.jsonl", "\xef\xbb\xbf{\"a\":1}", NULL, "1:{\"a\":1}\n");
    check("c.jsonl", "", NULL, "");
    check("noname", "  {\"a\":1}\n", NULL, "1:{\"a\":1}\n");
    check("noname", "a,b\n", NULL,
          "error: noname: neither its name nor its first byte tells how rows stand in it: say "
          "--form jsonl, json, csv, tsv or text\n");
    check("a.jsonl", "\xff\xfe{", NULL,
          "error: a.jsonl: is UTF-16; convert it to UTF-8 first\n");
}

static void test_json(void **state)
{
    (void)state;
    check("a.json", "[\n {\"a\": \"]}\\\"\"},\n\n {\"b\": [1, {\"c\": 2}]},7 , \"x\\\\\" ]\n",
          NULL,
          "2:{\"a\":\"]}\\\"\"}\n4:{\"b\":[1,{\"c\":2}]}\n4!a number, not an object\n"
          "4!a string, not an object\n");
    check("a.json", "{\"v\": 1, \"data\": [\n{\"a\": 1}, {\"a\": 2}], \"w\": []}", NULL,
          "2:{\"a\":1}\n2:{\"a\":2}\n");
    check("a.json", "\n{\"a\": [{\"b\": 1}],\n \"c\": 2}\n", NULL,
          "2:{\"a\":[{\"b\":1}],\"c\":2}\n");
    check("a.json", "{\"a\":1}\n{\"a\":2}\n", NULL, "1:{\"a\":1}\n2:{\"a\":2}\n");
    check("a.json", "[]", NULL, "");
    check("a.json", "", NULL, "");
    check("a.json", "[{\"a\":1},\n{\"a\":", NULL,
          "1:{\"a\":1}\nerror: a.json:2: the row that begins here never ends\n");
    check("a.json", "[{\"a\":1}\n", NULL, "error: a.json:2: want ',' or ']' behind a row\n");
    check("a.json", "[{\"a\":1},\n", NULL,
          "1:{\"a\":1}\nerror: a.json:2: the array of rows is broken off here\n");
    check("a.json", "7", NULL, "error: a.json: not JSON: begins with neither '[' nor '{'\n");
}

static void test_csv(void **state)
{
    (void)state;
    check("a.csv", "text,label\r\nhi,1\r\n\"a \"\"b\"\", c\n2\",\"\"\r\n\nx\"y,z", NULL,
          "2:{\"text\":\"hi\",\"label\":\"1\"}\n3:{\"text\":\"a \\\"b\\\", "
          "c\\n2\",\"label\":\"\"}\n"
          "6:{\"text\":\"x\\\"y\",\"label\":\"z\"}\n");
    check("a.csv", "a;b\n1;2\n3\n\"4\"x;5\n6;7;8\n9;\n", NULL,
          "2:{\"a\":\"1\",\"b\":\"2\"}\n3!1 fields, the header has 2\n"
          "4!text behind the closing quote of field 1\n5!3 fields, the header has 2\n"
          "6:{\"a\":\"9\",\"b\":\"\"}\n");
    check("a.tsv", "a\tb\n1,2\t\"3\"\n", NULL, "2:{\"a\":\"1,2\",\"b\":\"3\"}\n");
    check("a.csv", "a,b\n1,\"2\n", NULL,
          "error: a.csv:2: a quote in the record that begins here is never closed\n");
    check("a.csv", "a,a\n", NULL, "error: a.csv: header: two columns named a\n");
    check("a.csv", "a,,b\n", NULL, "error: a.csv: header: column 2 has no name\n");
    check("a.csv", "", NULL, "");
    check("a.csv", "a,b\n\xc3,1\n", NULL, "2!not UTF-8: byte 0xc3 at byte 0 of it\n");
    const struct slm_rows_opts o = {.delimiter = '|'};
    check("a.csv", "a|b\n1|2\n", &o, "2:{\"a\":\"1\",\"b\":\"2\"}\n");
}

static void test_text(void **state)
{
    (void)state;
    struct slm_rows_opts o = {0};
    check("a.txt", "one\n\ntwo\n", &o, "1:{\"text\":\"one\\n\\ntwo\\n\"}\n");
    o.separator = "blank";
    check("a.md", "# one\nline\n\n \n\ntwo\n\n", &o,
          "1:{\"text\":\"# one\\nline\"}\n6:{\"text\":\"two\"}\n");
    o.separator = "line";
    check("a.txt", "one\r\n\ntwo", &o, "1:{\"text\":\"one\"}\n3:{\"text\":\"two\"}\n");
    o.separator = "<|end|>";
    check("a.txt", "one\n<|end|>\ntwo <|end|><|end|>three", &o,
          "1:{\"text\":\"one\"}\n3:{\"text\":\"two \"}\n3:{\"text\":\"three\"}\n");
    o.separator = "\\n--\\n";
    check("a.txt", "one\n--\ntwo--\n", &o, "1:{\"text\":\"one\"}\n3:{\"text\":\"two--\"}\n");
    check("a.txt", "", &o, "");
}

static void test_files(void **state)
{
    (void)state;
    char got[4096];
    const char *dir = folder, *none;
    write_file(in_folder("b.jsonl"), "{\"b\":1}\n", 8);
    write_file(in_folder("a.csv"), "a\n1\n", 4);
    write_file(in_folder("x.bin"), "zzz", 3);
    read_all(got, sizeof got, &dir, 1, NULL);
    assert_string_equal(got, "2:{\"a\":\"1\"}\n1:{\"b\":1}\n");
    none = in_folder("none.jsonl");
    read_all(got, sizeof got, &none, 1, NULL);
    assert_true(!strncmp(got, "error: none.jsonl: ", 19));
    unlink(in_folder("b.jsonl"));
    unlink(in_folder("a.csv"));
    read_all(got, sizeof got, &dir, 1, NULL);
    assert_non_null(strstr(got, "no data in the folder"));
    unlink(in_folder("x.bin"));
}

static void test_hash(void **state)
{
    (void)state;
    uint8_t data[100];
    for (int i = 0; i < 100; i++)
        data[i] = (uint8_t)(i * 37);
    uint64_t whole = slm_hash64(data, 100, 1);
    for (size_t cut = 0; cut <= 100; cut++) {
        struct slm_hash h;
        slm_hash_init(&h, 1);
        slm_hash_put(&h, data, cut);
        slm_hash_put(&h, data + cut, 100 - cut);
        slm_hash_end(&h);
        assert_true(h.a == whole);
    }
    for (size_t i = 0; i < 100; i++) { /* every bit counts */
        data[i] ^= 1;
        assert_true(slm_hash64(data, 100, 1) != whole);
        data[i] ^= 1;
    }
    assert_true(slm_hash64(data, 99, 1) != whole && slm_hash64(data, 100, 2) != whole);
    assert_true(slm_hash64("", 0, 1) != slm_hash64("\0", 1, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jsonl), cmocka_unit_test(test_json),
        cmocka_unit_test(test_csv),   cmocka_unit_test(test_text),
        cmocka_unit_test(test_files), cmocka_unit_test(test_hash)};
    return cmocka_run_group_tests(tests, kit_open, kit_close);
}
