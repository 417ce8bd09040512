/* Chat templates: every case of tests/data/jinja (what Jinja2 3.1.6 makes of small templates,
 * and Transformers of chats), the limits, the built-in templates, failing allocations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/base.h"
#include "slm/template.h"

static slm_runtime rt;

static slm_json *load(const char *path)
{
    slm_json *j = NULL;
    slm_err err = {0};
    if (slm_json_load(&j, &rt, path, 1 << 24, &err))
        fail_msg("%s", err.msg);
    return j;
}

static char *dup_json(const slm_json *j, size_t *n)
{
    struct slm_buf b;
    slm_buf_init(&b, &rt, SLM_MEM_USER, 1 << 24);
    slm_json_put(&b, j);
    *n = b.n;
    return b.s;
}

/* Two objects' members as one object's text; the second wins. */
static char *merged(const slm_json *a, const slm_json *b, size_t *n)
{
    struct slm_buf out;
    const char *sep = "{";
    slm_buf_init(&out, &rt, SLM_MEM_USER, 1 << 24);
    for (int k = 0; k < 2; k++) {
        const slm_json *from = k ? b : a;
        for (void *it = slm_json_first(from); it; it = slm_json_next(from, it)) {
            size_t len;
            const char *key = slm_json_key(it, &len);
            if (!k && slm_json_find(b, key))
                continue;
            slm_buf_puts(&out, sep);
            slm_buf_put_json(&out, key, len);
            slm_buf_putc(&out, ':');
            slm_json_put(&out, slm_json_value(it));
            sep = ",";
        }
    }
    slm_buf_puts(&out, *sep == '{' ? "{}" : "}");
    *n = out.n;
    return out.s;
}

/* Does the outcome agree with a case's output, or its error (by words where it was raised)? */
static bool agrees(const slm_json *c, int code, const slm_text *out, const slm_err *err)
{
    size_t n;
    const char *want = slm_json_str(slm_json_find(c, "output"), &n);
    const slm_json *raised = slm_json_find(c, "raised");
    if (want)
        return !code && out->len == n && (!n || memcmp(out->data, want, n) == 0);
    const char *words = slm_json_str(raised, NULL);
    if (slm_json_bool(raised, false))
        words = slm_json_str(slm_json_find(c, "error"), NULL);
    return code && (!words || strstr(err->msg, words));
}

static int run(const char *src, size_t n_src, const char *json, size_t n, bool chat,
               slm_text *out, slm_err *err)
{
    slm_template *t = NULL;
    slm_template_opts o;
    slm_template_opts_init(&o);
    o.now = 1722006245; /* 2024-07-26 15:04:05 */
    int code = slm_template_new(&t, &rt, src, n_src, "case", err);
    if (!code)
        code = chat ? slm_template_chat(t, json, n, &o, out, err)
                    : slm_template_render(t, json, n, &o, out, err);
    slm_template_free(t);
    return code;
}

static void each(const slm_json *cases, const slm_json *context)
{
    size_t bad = 0;
    assert_true(slm_json_count(cases) > 100);
    for (size_t i = 0; i < slm_json_count(cases); i++) {
        const slm_json *c = slm_json_at(cases, i), *row = slm_json_find(c, "row");
        size_t n, n_src;
        const char *src = slm_json_str(slm_json_find(c, "template"), &n_src);
        char *json = row ? dup_json(row, &n) : merged(context, slm_json_find(c, "context"), &n);
        slm_text out = {0};
        slm_err err = {0};
        int code = run(src, n_src, json, n, row != NULL, &out, &err);
        if (!agrees(c, code, &out, &err)) {
            print_message("%s\n  gave: %s\n", src, code ? err.msg : out.data ? out.data : "");
            bad++;
        }
        slm_text_release(&out);
        slm_free(&rt, json);
    }
    assert_int_equal(bad, 0);
}

static void test_jinja_cases(void **state)
{
    (void)state;
    slm_json *j = load("tests/data/jinja/cases.json");
    each(slm_json_find(j, "cases"), slm_json_find(j, "context"));
    slm_json_free(j);
}

static void test_chats(void **state)
{
    (void)state;
    slm_json *j = load("tests/data/jinja/chats.json");
    each(j, NULL);
    slm_json_free(j);
}

static int render(const char *src, const char *json, slm_text *out, slm_err *err)
{
    return run(src, strlen(src), json, strlen(json), false, out, err);
}

/* Whatever a template tries, it ends soon and with a message. */
static void test_limits(void **state)
{
    (void)state;
    static const char *const greedy[] = {
        "{{ 'a' * 10 ** 9 }}",
        "{{ [0] * 10 ** 9 }}",
        "{{ ('a' * 10 ** 6) * 10 ** 6 }}",
        "{{ 'a'.ljust(10 ** 12) }}{{ 'a'.center(10 ** 9) }}{{ 'a'.zfill(10 ** 9) }}",
        "{{ 'a\nb'|indent(10 ** 12) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%.1000000000f' % 1 }}",
        "{{ '{:>1000000000}'.format(1) }}",
        "{{ 'a\tb'.expandtabs(10 ** 9) }}",
        "{{ range(10 ** 12) }}",
        "{{ [1]|batch(10 ** 9, 0)|list|length }}",
        "{{ [1]|slice(10 ** 9)|list|length }}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s "
        "%}{% endfor %}",
        "{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = "
        "ns.s|replace('a', 'aba') "
        "%}{% endfor %}",
        "{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}",
        "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% block a %}{{ self.a() }}{% endblock %}",
        "{% set ns = namespace(l=[]) %}{% for i in range(9999) %}{% set ns.l = [ns.l] %}{% "
        "endfor %}"
        "{{ ns.l }}",
        "{{ 2 ** 200 }}",
        "{{ 1|tojson(indent=10 ** 10) }}",
    };
    for (size_t i = 0; i < sizeof greedy / sizeof *greedy; i++) {
        slm_text out = {0};
        slm_err err = {0};
        int code = render(greedy[i], "{}", &out, &err);
        if (!code || !err.msg[0] || (code != SLM_E_LIMIT && code != SLM_E_TEMPLATE))
            fail_msg("%s: code %d, %zu bytes", greedy[i], code, out.len);
        slm_text_release(&out);
    }
}

/* The nesting of the source has its bounds too. */
static void test_deep_source(void **state)
{
    (void)state;
    static const char *const open[] = {"(",          "[",    "not ", "-",
                                       "{% if 1 %}", "1 + ", "a.b.", "x|upper|"};
    for (size_t k = 0; k < sizeof open / sizeof *open; k++) {
        struct slm_buf b;
        slm_text out = {0};
        slm_err err = {0};
        slm_buf_init(&b, &rt, SLM_MEM_USER, 1 << 22);
        slm_buf_puts(&b, open[k][0] == '{' ? "" : "{{ ");
        for (int i = 0; i < 100000; i++)
            slm_buf_puts(&b, open[k]);
        slm_buf_puts(&b, open[k][0] == '{' ? "x" : " x }}");
        assert_true(run(b.s, b.n, "{}", 2, false, &out, &err) < 0);
        assert_true(err.msg[0] != 0);
        slm_buf_release(&b);
        slm_text_release(&out);
    }
}

static void test_error_words(void **state)
{
    (void)state;
    slm_text out = {0};
    slm_err err = {0};
    assert_int_equal(render("a\n{% if x %}\n{{ 1 + }}{% endif %}", "{}", &out, &err),
                     SLM_E_TEMPLATE);
    assert_non_null(strstr(err.msg, "case: line 3"));
    assert_int_equal(render("{{ raise_exception('Nö: ' ~ n) }}", "{\"n\": 3}", &out, &err),
                     SLM_E_TEMPLATE);
    assert_string_equal(err.msg, "Nö: 3");
    assert_int_equal(render("\xff", "{}", &out, &err), SLM_E_TEMPLATE);
    assert_int_equal(render("x", "[]", &out, &err), SLM_E_ARG);
    assert_int_equal(out.len, 0);
}

static const char talk[] =
    "{\"messages\": [{\"role\": \"system\", \"content\": \"S\"}, {\"role\": \"user\", "
    "\"content\": \"U\"}, "
    "{\"role\": \"assistant\", \"content\": \"A\"}, {\"role\": \"user\", \"content\": \"V\"}], "
    "\"add_generation_prompt\": true, \"vars\": {\"bos_token\": \"<s>\", \"eos_token\": "
    "\"</s>\"}}";

static void test_builtins(void **state)
{
    (void)state;
    static const char *const want[][2] = {
        {"chatml", "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|"
                   ">assistant\n"
                   "A<|im_end|>\n<|im_start|>user\nV<|im_end|>\n<|im_start|>assistant\n"},
        {"llama2", "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nU [/INST] A </s><s>[INST] V [/INST]"},
        {"llama3",
         "<s><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user"
         "<|end_header_id|>\n\nU<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA"
         "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nV<|eot_id|><|start_header_id|>"
         "assistant<|end_header_id|>\n\n"},
        {"mistral-v1", "<s> [INST] S\n\nU [/INST] A</s> [INST] V [/INST]"},
        {"mistral", "<s>[INST] U[/INST] A</s>[INST] S\n\nV[/INST]"},
        {"mistral-nemo", "<s>[INST]U[/INST]A</s>[INST]S\n\nV[/INST]"},
        {"ministral3", "<s>[SYSTEM_PROMPT]S[/SYSTEM_PROMPT][INST]U[/INST]A</s>[INST]V[/INST]"},
        {"gemma",
         "<s><start_of_turn>user\nS\n\nU<end_of_turn>\n<start_of_turn>model\nA<end_of_turn>\n"
         "<start_of_turn>user\nV<end_of_turn>\n<start_of_turn>model\n"},
        {"phi3", "<|system|>\nS<|end|>\n<|user|>\nU<|end|>\n<|assistant|>\nA<|end|>\n<|user|>"
                 "\nV<|end|>\n"
                 "<|assistant|>\n"},
        {"phi4", "<|system|>S<|end|><|user|>U<|end|><|assistant|>A<|end|><|user|>V<|end|><|"
                 "assistant|>"},
        {"zephyr", "<|system|>\nS</s>\n<|user|>\nU</s>\n<|assistant|>\nA</s>\n<|user|>\nV</"
                   "s>\n<|assistant|>\n"},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const char *src = slm_template_builtin(want[i][0]);
        slm_text out = {0};
        slm_err err = {0};
        assert_non_null(src);
        assert_int_equal(run(src, strlen(src), talk, strlen(talk), true, &out, &err), 0);
        assert_string_equal(out.data, want[i][1]);
        slm_text_release(&out);
    }
    assert_null(slm_template_builtin("no such style"));
}

/* The clock of strftime_now, over leap years and the weeks around New Year. */
static void test_clock(void **state)
{
    (void)state;
    static const struct {
        int64_t now;
        const char *want;
    } cases[] = {{0, "1970-01-01 Thu 001 01 4 1970 12AM"},
                 {951782399, "2000-02-28 Mon 059 09 1 2000 11PM"},
                 {951782400, "2000-02-29 Tue 060 09 2 2000 12AM"},
                 {1104537600, "2005-01-01 Sat 001 53 6 2004 12AM"},
                 {1230768000 - 3600, "2008-12-31 Wed 366 01 3 2009 11PM"},
                 {-86401, "1969-12-30 Tue 364 01 2 1970 11PM"}};
    static const char src[] = "{{ strftime_now('%F %a %j %V %u %G %I%p') }}";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        slm_template *t = NULL;
        slm_template_opts o;
        slm_text out = {0};
        slm_err err = {0};
        slm_template_opts_init(&o);
        o.now = cases[i].now;
        assert_int_equal(slm_template_new(&t, &rt, src, sizeof src - 1, "clock", &err), 0);
        assert_int_equal(slm_template_render(t, "{}", 2, &o, &out, &err), 0);
        assert_string_equal(out.data, cases[i].want);
        slm_text_release(&out);
        slm_template_free(t);
    }
}

/* Every allocation fails once: an error each time, and nothing is left behind. */
static void test_no_memory(void **state)
{
    (void)state;
    static const char src[] =
        "{% macro m(a, b=[1]) %}{{ a ~ b }}{% endmacro %}{% for x in messages %}"
        "{{ m(x.content|upper)|replace('1', '2') }}{{ x|tojson(indent=1) }}"
        "{% set q %}{{ loop.index }}{% endset %}{{ q|int + 1 }}{% endfor %}";
    size_t before = atomic_load(&rt.heap.blocks);
    int code = SLM_E_NOMEM;
    for (int64_t nth = 1; code && nth < 2000; nth++) {
        slm_text out = {0};
        slm_err err = {0};
        atomic_store(&rt.heap.fail_in, nth);
        code = run(src, sizeof src - 1, talk, strlen(talk), true, &out, &err);
        atomic_store(&rt.heap.fail_in, 0);
        slm_text_release(&out);
        assert_true(code == 0 || code == SLM_E_NOMEM);
        assert_int_equal(atomic_load(&rt.heap.blocks), before);
    }
    assert_int_equal(code, 0);
}

static int open_rt(void **state)
{
    (void)state;
    slm_runtime_opts o = {.threads = 1};
    return slm_state_init(&rt, &o, NULL);
}

static int close_rt(void **state)
{
    (void)state;
    slm_state_release(&rt);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jinja_cases), cmocka_unit_test(test_chats),
        cmocka_unit_test(test_limits),      cmocka_unit_test(test_deep_source),
        cmocka_unit_test(test_error_words), cmocka_unit_test(test_builtins),
        cmocka_unit_test(test_clock),       cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, open_rt, close_rt);
}
