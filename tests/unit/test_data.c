/* slm/data.h: rows as examples, and what of them is learnt, through templates and tokenizers of
 * several families. */
#include "unit/format_kit.h"

#include "data/data.h"
#include "text/tok.h"

#define TOK "tests/data/tokenizers/"

static slm_data_report *rep;

/* Builds a store of the rows; its documents as text, what is learnt between >> and <<, a line
 * end behind each; or the error. */
static void build(char *out, size_t cap, const char *rows, const char *tokenizer,
                  const char *style, slm_data_opts *o)
{
    char path[160], store[160];
    const char *paths[1] = {path};
    slm_tokenizer *tok;
    slm_template *t = NULL;
    slm_tokens *s = NULL;
    slm_err err = {0};
    snprintf(path, sizeof path, "%s", in_folder("rows.jsonl"));
    snprintf(store, sizeof store, "%s", in_folder("store"));
    unlink(store);
    write_file(path, rows, strlen(rows));
    assert_int_equal(slm_tokenizer_open(&tok, &rt, tokenizer, &err), 0);
    if (style) {
        const char *src = slm_template_builtin(style) ? slm_template_builtin(style) : style;
        assert_int_equal(slm_template_new(&t, &rt, src, strlen(src), "t", &err), 0);
        o->template_source = src;
    }
    o->tmpl = t;
    o->tokenizer = tok;
    o->paths = paths;
    o->n_paths = 1;
    slm_data_report_release(rep);
    int rc = slm_data_build(rep, &rt, o, store, NULL, NULL, &err);
    size_t k = 0;
    out[0] = 0;
    if (rc)
        snprintf(out, cap, "error: %s",
                 strrchr(err.msg, '/') ? strrchr(err.msg, '/') + 1 : err.msg);
    else
        assert_int_equal(slm_tokens_open(&s, &rt, store, &err), 0);
    for (int64_t i = 0; s && i < slm_tokens_docs(s); i++) {
        struct slm_doc d;
        slm_tokens_doc(s, i, &d);
        assert_true(!d.learn[0]);
        for (int p = 0; p < d.n; p++) {
            const struct slm_tok_str raw = tok->raw[d.ids[p]];
            bool was = p && d.learn[p - 1], more = p + 1 < d.n && d.learn[p + 1];
            assert_true(k + raw.n + 8 < cap);
            k += (size_t)snprintf(out + k, cap - k, "%s%.*s%s", d.learn[p] && !was ? ">>" : "",
                                  (int)raw.n, raw.s, d.learn[p] && !more ? "<<" : "");
        }
        k += (size_t)snprintf(out + k, cap - k, "\n");
    }
    slm_tokens_close(&s);
    slm_template_free(t);
    slm_tokenizer_close(&tok);
}

static void check(const char *rows, const char *tokenizer, const char *style, slm_data_opts o,
                  const char *want)
{
    static char got[1 << 16];
    build(got, sizeof got, rows, tokenizer, style, &o);
    assert_string_equal(got, want);
}

static slm_data_opts plain(void)
{
    slm_data_opts o;
    slm_data_opts_init(&o);
    return o;
}

#define TWO_TURNS                                                                              \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"Hello?\"},{\"role\":\"assistant\","       \
    "\"content\":\"One.\"},{\"role\":\"user\",\"content\":\"And?\"},{\"role\":\"assistant\","  \
    "\"content\":\"Two.\"}]}\n"

static void test_families(void **state)
{
    (void)state;
    check(TWO_TURNS, TOK "smollm.json", "chatml", plain(),
          "<|im_start|>user\nHello?<|im_end|>\n<|im_start|>assistant\n>>One.<|im_end|><<\n"
          "<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\n>>Two.<|im_end|><<\n\n");
    check(
        TWO_TURNS, TOK "gemma2.json", "gemma", plain(),
        "<bos><start_of_turn>user\nHello?<end_of_turn>\n<start_of_turn>model\n>>One."
        "<end_of_turn><<\n<start_of_turn>user\nAnd?<end_of_turn>\n<start_of_turn>model\n>>Two."
        "<end_of_turn><<\n\n");
    check(TWO_TURNS, TOK "llama3.json", "llama3", plain(),
          "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHello?<|eot_id|>"
          "<|start_header_id|>assistant<|end_header_id|>\n\n>>One.<|eot_id|><<"
          "<|start_header_id|>user<|end_header_id|>\n\nAnd?<|eot_id|>"
          "<|start_header_id|>assistant<|end_header_id|>\n\n>>Two.<|eot_id|><<\n");
    check(TWO_TURNS, TOK "phi3.json", "phi3", plain(),
          "<|user|> Hello?<|end|><|assistant|>>>One.<|end|><<<|user|> "
          "And?<|end|><|assistant|>>>Two."
          "<|end|><<</s>\n");
    static const char three[] =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\","
        "\"content\":"
        "\"b\"},{\"role\":\"user\",\"content\":\"c\"},{\"role\":\"assistant\",\"content\":"
        "\"d\"},"
        "{\"role\":\"user\",\"content\":\"e\"},{\"role\":\"assistant\",\"content\":\"f\"}]}\n";
    check(three, TOK "phi3.json", "phi3", plain(),
          "<|user|> a<|end|><|assistant|>>>b<|end|><<<|user|> c<|end|><|assistant|>>>d<|end|><<"
          "<|user|> e<|end|><|assistant|>>>f<|end|><<</s>\n");
    check(TWO_TURNS, TOK "llama2.model", "llama2", plain(),
          "<s>[INST] Hello? [/INST]>> One. </s><<<s>[INST] And? [/INST]>> Two. </s><<\n");
}

static void test_what_is_learnt(void **state)
{
    (void)state;
    slm_data_opts o = plain();
    const char *const head = "<|im_start|>user\nHello?<|im_end|>\n<|im_start|>assistant\n";
    char want[512];
    o.train_on = SLM_TRAIN_LAST;
    snprintf(want, sizeof want,
             "%sOne.<|im_end|>\n<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\n"
             ">>Two.<|im_end|><<\n\n",
             head);
    check(TWO_TURNS, TOK "smollm.json", "chatml", o, want);
    o.train_on = SLM_TRAIN_ALL;
    check(TWO_TURNS, TOK "smollm.json", "chatml", o,
          "<|im_start|>>>user\nHello?<|im_end|>\n<|im_start|>assistant\nOne.<|im_end|>\n"
          "<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\nTwo.<|im_end|>\n<<\n");
    /* weight 0: a turn that is context only */
    snprintf(want, sizeof want,
             "%sNo.<|im_end|>\n<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\n"
             ">>Yes.<|im_end|><<\n\n",
             head);
    check(
        "{\"messages\":[{\"role\":\"user\",\"content\":\"Hello?\"},{\"role\":\"assistant\","
        "\"content\":\"No.\",\"weight\":0},{\"role\":\"user\",\"content\":\"And?\"},{\"role\":"
        "\"assistant\",\"content\":\"Yes.\",\"weight\":1}]}\n",
        TOK "smollm.json", "chatml", plain(), want);
    /* the template's own blocks win */
    check(
        TWO_TURNS, TOK "smollm.json",
        "{% for m in messages %}{{ m.role }}:{% if m.role == 'assistant' %}{% generation %}"
        "{{ m.content }}!{% endgeneration %}{% else %}{{ m.content }}{% endif %};{% endfor %}",
        plain(), "user:Hello?;assistant:>>One.!<<;user:And?;assistant:>>Two.!<<;\n");
    assert_true(rep->open_turns == 2);
    /* a token never is of two minds: "a" + "b" would merge over the border */
    check("{\"prompt\":\"the qu\",\"completion\":\"ick fox\"}\n", TOK "smollm.json", NULL,
          plain(), "the qu>>ick fox<|endoftext|><<\n");
    check("{\"prompt\":\"he\",\"completion\":\"llo there\"}\n", TOK "llama2.model", NULL,
          plain(), "<s> he>>llo there</s><<\n");
    /* an answer that is JSON is no list of messages */
    check("{\"prompt\":\"Go:\\n\",\"completion\":\"[{\\\"call\\\":1}]\"}\n", TOK "smollm.json",
          NULL, plain(), "Go:\n>>[{\"call\":1}]<|endoftext|><<\n");
}

static void test_formats(void **state)
{
    (void)state;
    const char *const chat =
        "<|im_start|>system\nBrief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n>>Ho.<|im_end|><<\n\n";
    const char *const rows[] = {
        "{\"messages\":[{\"role\":\"system\",\"content\":\"Brief.\"},{\"role\":\"user\","
        "\"content\":[{\"type\":\"text\",\"text\":\"Hi\"}]},{\"role\":\"assistant\","
        "\"content\":\"Ho.\"}],\"id\":7}\n",
        "{\"conversations\":[{\"from\":\"system\",\"value\":\"Brief.\"},{\"from\":\"human\","
        "\"value\":\"Hi\"},{\"from\":\"gpt\",\"value\":\"Ho.\"}]}\n",
        "{\"system\":\"Brief.\",\"conversations\":[{\"from\":\"human\",\"value\":\"Hi\"},"
        "{\"from\":\"gpt\",\"value\":\"Ho.\"}]}\n",
        "{\"instruction\":\"Hi\",\"input\":\"\",\"output\":\"Ho.\",\"system\":\"Brief.\"}\n",
        "{\"prompt\":\"Hi\",\"completion\":\"Ho.\",\"system\":\"Brief.\"}\n",
        "{\"prompt\":[{\"role\":\"system\",\"content\":\"Brief.\"},{\"role\":\"user\","
        "\"content\":\"Hi\"}],\"completion\":[{\"role\":\"assistant\",\"content\":\"Ho.\"}]}\n",
        "{\"prompt\":\"Hi\",\"completion\":\"Ho.\",\"system\":\"Brief.\",\"label\":true}\n",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check(rows[i], TOK "smollm.json", "chatml", plain(), chat);
    assert_int_equal(rep->kind, SLM_TOKENS_JUDGED);
    check(rows[0], TOK "smollm.json", "chatml", plain(), chat);
    assert_true(rep->n_unused == 1 && !strcmp(rep->unused[0].name, "id"));
    /* without a template */
    check("{\"instruction\":\"Hi\",\"input\":\"x\",\"output\":\"Ho.\"}\n", TOK "smollm.json",
          NULL, plain(),
          "Below is an instruction that describes a task, paired with an input that provides "
          "further context. Write a response that appropriately completes the request.\n\n### "
          "Instruction:\nHi\n\n### Input:\nx\n\n### Response:\n>>Ho.<|endoftext|><<\n");
    assert_true(rep->by_alpaca == 1);
    check("{\"text\":\"Once.\"}\n", TOK "llama2.model", "llama2", plain(),
          "<s>>> Once.</s><<\n");
    slm_data_opts o = plain();
    const char *map[] = {"prompt=text", "completion=label"};
    o.map = map;
    o.n_map = 2;
    o.no_eos = 1;
    check("{\"text\":\"Card?\",\"label\":\" card\"}\n", TOK "smollm.json", NULL, o,
          "Card?>> card<<\n");
}

static void test_pairs(void **state)
{
    (void)state;
    const char *const want =
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n>>Ho.<|im_end|><<\n\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n>>No.<|im_end|><<\n\n";
    check("{\"prompt\":\"Hi\",\"chosen\":\"Ho.\",\"rejected\":\"No.\"}\n", TOK "smollm.json",
          "chatml", plain(), want);
    assert_int_equal(rep->kind, SLM_TOKENS_PAIR);
    check("{\"chosen\":[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\","
          "\"content\":"
          "\"Ho.\"}],\"rejected\":[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":"
          "\"assistant\","
          "\"content\":\"No.\"}]}\n",
          TOK "smollm.json", "chatml", plain(), want);
    check("{\"prompt\":\"Hi\",\"chosen\":[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":"
          "\"assistant\",\"content\":\"Ho.\"}],\"rejected\":[{\"role\":\"user\",\"content\":"
          "\"Hi\"}"
          ",{\"role\":\"assistant\",\"content\":\"No.\"}]}\n",
          TOK "smollm.json", "chatml", plain(), want);
    check("{\"chosen\":\"Q? A: yes\",\"rejected\":\"Q? A: no\"}\n", TOK "smollm.json", NULL,
          plain(), "Q? A:>> yes<|endoftext|><<\nQ? A:>> no<|endoftext|><<\n");
    check("{\"prompt\":\"Hi\",\"chosen\":\"Ho.\",\"rejected\":\"No.\"}\n{\"text\":\"x\"}\n",
          TOK "smollm.json", "chatml", plain(),
          "error: rows.jsonl:2: texts, where rows before were pairs: one at a time");
}

#define CALL                                                                                   \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"Light?\"},{\"role\":\"assistant\","       \
    "\"content\":null,\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":{"     \
    "\"name\":\"on\",\"arguments\":\"{\\\"room\\\": \\\"hall\\\"}\"}}]},{\"role\":\"tool\","   \
    "\"tool_call_id\":\"c1\",\"content\":\"ok\"},{\"role\":\"assistant\",\"content\":\"Lit.\"" \
    "}]}\n"

static void test_tools(void **state)
{
    (void)state;
    static const char as_object[] =
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% for c in m.tool_calls or [] %}"
        "{{ c.function.name }}({% for k, v in c.function.arguments.items() %}{{ k }}={{ v }}"
        "{% endfor %}){% endfor %};{% endfor %}{% if add_generation_prompt %}<assistant>"
        "{% endif %}",
                      as_text[] =
                          "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% for c in "
                          "m.tool_calls or [] %}{{ c.function.name + c.function.arguments }}"
                          "{% endfor %};{% endfor %}{% if add_generation_prompt %}<assistant>"
                          "{% endif %}";
    check(CALL, TOK "smollm.json", as_object, plain(),
          "<user>Light?;<assistant>>>on(room=hall);<<<tool>ok;<assistant>>>Lit.;<<\n");
    check(CALL, TOK "smollm.json", as_text, plain(),
          "<user>Light?;<assistant>>>on{\"room\": \"hall\"};<<<tool>ok;<assistant>>>Lit.;<<\n");
    check(CALL, TOK "smollm.json", "chatml", plain(),
          "error: rows.jsonl:1: message 2 (assistant) is not in what the template renders");
}

static void lost(const char *row, enum slm_data_loss why, const char *words)
{
    static char got[1 << 16], rows[4096];
    slm_data_opts o = plain();
    o.max_bad = 1;
    snprintf(rows, sizeof rows, "{\"prompt\":\"Hi\",\"completion\":\"Ho.\"}\n%s\n", row);
    build(got, sizeof got, rows, TOK "smollm.json", "chatml", &o);
    if (rep->lost[why] != 1 || !strstr(rep->place[why][0], words) ||
        !strstr(rep->place[why][0], "rows.jsonl:2: "))
        fail_msg("%s: want %s, %s; got %s", row, slm_data_loss_name(why), words,
                 rep->place[why][0]);
    assert_true(rep->kept == 1 && rep->rows == 2);
}

static void test_lost(void **state)
{
    (void)state;
    lost("{\"prompt\":", SLM_LOSS_JSON, "unexpected token");
    lost("\"\xff\"", SLM_LOSS_UTF8, "0xff");
    lost("[]", SLM_LOSS_JSON, "not an object");
    lost("{\"a\":1,\"b\":2}", SLM_LOSS_FIELDS, "fields a, b: no format has these");
    lost("{\"text\":\"x\",\"label\":\"y\"}", SLM_LOSS_FIELDS, "--map prompt=text");
    lost("{\"text\":\"x\",\"prompt\":\"y\",\"completion\":\"z\"}", SLM_LOSS_FIELDS,
         "may be prompt or text");
    lost("{\"prompt\":\"x\",\"completion\":\" \"}", SLM_LOSS_EMPTY, "an empty answer");
    lost("{\"prompt\":\"x\",\"completion\":7}", SLM_LOSS_FIELDS, "neither text nor a list");
    lost("{\"messages\":[]}", SLM_LOSS_EMPTY, "without messages");
    lost("{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", SLM_LOSS_ROLES,
         "no message of the assistant");
    lost("{\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"user\",\"content\":"
         "\"y\"},{\"role\":\"assistant\",\"content\":\"z\"}]}",
         SLM_LOSS_ROLES, "message 2 is of role user behind user");
    lost("{\"messages\":[{\"role\":\"wizard\",\"content\":\"x\"}]}", SLM_LOSS_ROLES, "wizard");
    lost("{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}",
         SLM_LOSS_FIELDS, "image_url");
    lost("{\"system\":\"a\",\"messages\":[{\"role\":\"system\",\"content\":\"b\"},{\"role\":"
         "\"user\",\"content\":\"x\"},{\"role\":\"assistant\",\"content\":\"z\"}]}",
         SLM_LOSS_FIELDS, "two system prompts");
    lost("{\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"assistant\","
         "\"content\":\"z\",\"weight\":0}]}",
         SLM_LOSS_MASKED, "no token");
    lost(
        "{\"prompt\":\"x\",\"completion\":\"y\",\"tools\":[{\"function\":{\"name\":\"zap\"}}]}",
        SLM_LOSS_DROPPED, "tool 1 (zap)");
}

static void test_refused(void **state)
{
    (void)state;
    check("", TOK "smollm.json", "chatml", plain(), "error: rows.jsonl: no rows");
    static char got[1 << 16];
    slm_data_opts o = plain();
    build(got, sizeof got, "{\"prompt\":\"Hi\",\"completion\":\"Ho.\"}\nnonsense\n",
          TOK "smollm.json", "chatml", &o);
    assert_non_null(strstr(got, "2: not JSON"));
    assert_true(rep->rows == 2 && rep->kept == 1);
}

static void test_too_long(void **state)
{
    (void)state;
    char got[4096];
    slm_data_opts o = plain();
    const char *const row = "{\"prompt\":\"a b c d e f g h\",\"completion\":\" i j k l\"}\n"
                            "{\"prompt\":\"a\",\"completion\":\" b\"}\n";
    o.seq = 10;
    check(row, TOK "smollm.json", NULL, o, "a>> b<|endoftext|><<\n");
    assert_true(rep->lost[SLM_LOSS_LONG] == 1 && rep->kept == 1);
    o.too_long = SLM_LONG_TRUNCATE;
    check(row, TOK "smollm.json", NULL, o, "a b c d e f g h>> i<<\na>> b<|endoftext|><<\n");
    assert_true(rep->truncated == 1 && rep->tokens_cut == 5 && rep->targets == 4);
    o.too_long = SLM_LONG_SPLIT;
    check(row, TOK "smollm.json", NULL, o,
          "a b c d e f g h>> i<<\n >>j k l<|endoftext|><<\na>> b<|endoftext|><<\n");
    assert_true(rep->split == 1 && rep->docs == 3);
    o.too_long = SLM_LONG_ERROR;
    build(got, sizeof got, row, TOK "smollm.json", NULL, &o);
    assert_string_equal(got, "error: rows.jsonl:1: 15 tokens, the window is 10");
    o.too_long = SLM_LONG_TRUNCATE;
    o.seq = 8; /* the answer begins behind the window */
    check(row, TOK "smollm.json", NULL, o, "a>> b<|endoftext|><<\n");
    assert_true(rep->lost[SLM_LOSS_LONG] == 1);
}

/* The same store is not made twice; any change makes another. */
static void test_reuse(void **state)
{
    (void)state;
    slm_err err = {0};
    slm_tokenizer *tok;
    char path[160], store[160], first[33];
    const char *paths[1] = {path};
    snprintf(path, sizeof path, "%s", in_folder("r.jsonl"));
    snprintf(store, sizeof store, "%s", in_folder("r.store"));
    write_file(path, "{\"text\":\"abc\"}\n", 15);
    assert_int_equal(slm_tokenizer_open(&tok, &rt, TOK "smollm.json", &err), 0);
    slm_data_opts o = plain();
    o.paths = paths;
    o.n_paths = 1;
    o.tokenizer = tok;
    for (int i = 0; i < 4; i++) {
        slm_data_report_release(rep);
        o.no_eos = i == 2;
        if (i == 3)
            write_file(path, "{\"text\":\"abd\"}\n", 15);
        assert_int_equal(slm_data_build(rep, &rt, &o, store, NULL, NULL, &err), 0);
        assert_int_equal(rep->reused, i == 1);
        assert_true(rep->rows == 1 && rep->kept == 1 && rep->tokens > 0);
        if (i)
            assert_int_equal(strcmp(first, rep->hash) == 0, i == 1);
        else
            memcpy(first, rep->hash, sizeof first);
    }
    slm_tokenizer_close(&tok);
}

/* Out of memory at any place is an error that says so, and leaves nothing behind. */
static void test_torture(void **state)
{
    (void)state;
    static const char rows[] =
        TWO_TURNS CALL "{\"prompt\":\"a\",\"completion\":\"b\"}\n{\"text\":\"c\"}\nnonsense\n";
    const char *const src =
        "{% for m in messages %}{{ m.role }}:{{ m.content }}{% for c in m.tool_calls or [] %}"
        "{{ c.function.name + c.function.arguments }}{% endfor %};{% endfor %}";
    slm_err err = {0};
    slm_tokenizer *tok;
    slm_template *t;
    char path[160], store[160];
    const char *paths[1] = {path};
    snprintf(path, sizeof path, "%s", in_folder("m.jsonl"));
    snprintf(store, sizeof store, "%s", in_folder("m.store"));
    write_file(path, rows, sizeof rows - 1);
    assert_int_equal(slm_tokenizer_open(&tok, &rt, TOK "smollm.json", &err), 0);
    assert_int_equal(slm_template_new(&t, &rt, src, strlen(src), "t", &err), 0);
    slm_data_opts o = plain();
    o.paths = paths;
    o.n_paths = 1;
    o.tokenizer = tok;
    o.tmpl = t;
    o.max_bad = 1;
    o.seq = 64;
    slm_data_report_release(rep);
    size_t before = rt.heap.bytes;
    int rc = SLM_E_NOMEM, n = 0;
    while (rc && n < 20000) {
        slm_data_report_release(rep);
        n += n < 200 ? 1 : 7;
        rt.heap.fail_in = n;
        rc = slm_data_build(rep, &rt, &o, store, NULL, NULL, &err);
        rt.heap.fail_in = 0;
        if (rc && rc != SLM_E_NOMEM)
            fail_msg("allocation %d: %s", n, err.msg);
        slm_data_report_release(rep);
        assert_true(rt.heap.bytes == before);
        if (rc)
            assert_false(slm_path_is_file(store));
    }
    assert_true(rc == 0 && n > 100);
    slm_template_free(t);
    slm_tokenizer_close(&tok);
}

static int open_all(void **state)
{
    rep = calloc(1, sizeof *rep);
    return !rep || kit_open(state);
}

static int close_all(void **state)
{
    slm_data_report_release(rep);
    free(rep);
    return kit_close(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families), cmocka_unit_test(test_what_is_learnt),
        cmocka_unit_test(test_formats),  cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_tools),    cmocka_unit_test(test_lost),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_reuse),    cmocka_unit_test(test_torture)};
    return cmocka_run_group_tests(tests, open_all, close_all);
}
