/* slm tokenize: text to ids and back. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

struct args {
    struct slm_cli_common common;
    struct slm_cli_model_args model;
    int special, no_bos, lines, decode;
};

#define F(field) offsetof(struct args, field)
static const struct slm_cli_opt opts[] = {
    SLM_CLI_GROUP(slm_cli_model_opts, F(model), NULL),
    SLM_CLI_FLAG(0, "special", F(special),
                 "special tokens spelled in the text become their ids, and with --decode "
                 "are spelled out"),
    SLM_CLI_FLAG(0, "no-bos", F(no_bos), "add nothing before and behind (bos, eos)"),
    SLM_CLI_FLAG(0, "lines", F(lines),
                 "each line in is one JSON string, each line out one array of ids"),
    SLM_CLI_FLAG(0, "decode", F(decode),
                 "ids in, bytes out; with --lines arrays in, JSON strings out"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

/* A tokenizer by itself or a model's: llama2.c's weights have theirs in a file beside them. */
struct source {
    slm_tokenizer *own;
    slm_model *model;
    const slm_tokenizer *t;
};

static int open_source(struct slm_cli *c, struct source *s, const char *path, slm_err *err)
{
    slm_err second = {0};
    int code = slm_tokenizer_open(&s->own, c->rt, path, err);
    size_t n = strlen(path);
    s->t = s->own;
    if (!code || n < 4 || strcmp(path + n - 4, ".bin") != 0 ||
        slm_model_open(&s->model, c->rt, path, NULL, &second))
        return code;
    s->t = slm_model_tokenizer(s->model);
    return s->t ? 0 : code;
}

static void put_ids(const slm_ids *ids)
{
    struct slm_cli_json j = {.f = stdout};
    slm_js_open(&j, '[');
    for (size_t i = 0; i < ids->len; i++)
        slm_js_int(&j, ids->data[i]);
    slm_js_close(&j, ']');
}

static void put_table(const slm_tokenizer *t, const slm_ids *ids)
{
    for (size_t i = 0; i < ids->len; i++) {
        struct slm_cli_buf b = {0};
        size_t n = 0;
        const char *piece = slm_tokenizer_piece(t, ids->data[i], &n);
        slm_js_quote(&b, piece ? piece : "", n);
        printf("%8d  %s\n", ids->data[i], b.s);
        slm_cli_buf_free(&b);
    }
}

static int encode(const struct args *a, const slm_tokenizer *t, const struct slm_cli_buf *text,
                  slm_ids *ids, slm_err *err)
{
    unsigned flags =
        (a->special ? SLM_ENCODE_SPECIAL : 0) | (a->no_bos ? 0 : SLM_ENCODE_AFFIXES);
    ids->len = 0;
    return slm_tokenizer_encode(t, text->n ? text->s : "", text->n, flags, ids, err);
}

/* One line of input, already cut off. */
static int one_line(struct slm_cli *c, const struct args *a, const slm_tokenizer *t,
                    const struct slm_cli_buf *line, const char *where, slm_err *err)
{
    slm_ids ids = {0};
    slm_text text = {0};
    struct slm_cli_buf b = {0};
    struct slm_cli_reader r = slm_jr_of(line);
    int code = 0;
    if (a->decode) {
        code = slm_cli_parse_ids(&ids, c->rt, line, where, err);
        if (!code)
            code = slm_tokenizer_decode(t, ids.data, ids.len, a->special, &text, err);
        if (!code) {
            slm_js_quote(&b, text.data ? text.data : "", text.len);
            puts(b.s);
        }
    } else {
        bool ok = slm_jr_string(&r, &b);
        slm_jr_space(&r);
        if (!ok || r.p != r.end)
            code = slm_cli_fail(err, SLM_E_FORMAT, "%s: no JSON string", where);
        if (!code)
            code = encode(a, t, &b, &ids, err);
        if (!code)
            put_ids(&ids);
    }
    slm_cli_buf_free(&b);
    slm_ids_release(&ids);
    slm_text_release(&text);
    return code;
}

static int by_lines(struct slm_cli *c, const struct args *a, const slm_tokenizer *t,
                    slm_err *err)
{
    struct slm_cli_buf line = {0};
    char where[48];
    int code = 0;
    for (long n = 1; !code && slm_cli_line(stdin, &line); n++) {
        snprintf(where, sizeof where, "stdin, line %ld", n);
        code = one_line(c, a, t, &line, where, err);
    }
    slm_cli_buf_free(&line);
    return code;
}

static int whole(struct slm_cli *c, const struct args *a, const slm_tokenizer *t, slm_err *err)
{
    struct slm_cli_buf in = {0};
    slm_ids ids = {0};
    slm_text text = {0};
    int code = slm_cli_read(&in, "-", err);
    if (!code && a->decode)
        code = slm_cli_parse_ids(&ids, c->rt, &in, "stdin", err);
    else if (!code)
        code = encode(a, t, &in, &ids, err);
    if (!code && a->decode)
        code = slm_tokenizer_decode(t, ids.data, ids.len, a->special, &text, err);
    if (!code && a->decode)
        fwrite(text.data ? text.data : "", 1, text.len, stdout);
    else if (!code && a->common.json)
        put_ids(&ids);
    else if (!code)
        put_table(t, &ids);
    slm_cli_buf_free(&in);
    slm_ids_release(&ids);
    slm_text_release(&text);
    return code;
}

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    struct args *a = p;
    struct source s = {0};
    const char *path;
    int code = slm_cli_model_path(c, &a->model, &path, err);
    if (!code)
        code = slm_cli_runtime(c, err);
    if (!code)
        code = open_source(c, &s, path, err);
    if (!code)
        code = a->lines ? by_lines(c, a, s.t, err) : whole(c, a, s.t, err);
    slm_tokenizer_close(&s.own);
    slm_model_close(&s.model);
    return code;
}

extern const struct slm_cli_command slm_cmd_tokenize;
const struct slm_cli_command slm_cmd_tokenize = {
    .name = "tokenize",
    .run = run,
    .args = "MODEL",
    .summary = "text to token ids, or back",
    .about = "Reads text on stdin, every byte of it, and writes its ids. MODEL may also be a "
             "tokenizer by itself: "
             "tokenizer.json, a SentencePiece .model, tekken.json, a .tiktoken file, a folder "
             "with vocab.json and "
             "merges.txt, a GGUF file without tensors.",
    .examples = "printf 'Hello world' | slm tokenize model.gguf --json\n"
                "echo '[1, 15043, 3186]' | slm tokenize model.gguf --decode",
    .opts = opts,
    .size = sizeof(struct args),
    .model = 1,
};
