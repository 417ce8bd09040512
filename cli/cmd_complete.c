/* slm complete: a text or ids continued, as they are. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

struct args {
    struct slm_cli_common common;
    struct slm_cli_model_args model;
    struct slm_cli_session_args session;
    struct slm_cli_sampling sampling;
    struct slm_cli_speculation speculation;
    const char *prompt, *file, *ids_file;
    int n, ignore_eos, special, no_bos, parse_special;
    struct slm_cli_list stop;
};

#define F(field) offsetof(struct args, field)
static const struct slm_cli_opt opts[] = {
    SLM_CLI_GROUP(slm_cli_model_opts, F(model), NULL),
    SLM_CLI_VALUE(OPT_TEXT, 'p', "prompt", F(prompt), "TEXT", "the text to continue"),
    SLM_CLI_VALUE(OPT_FILE, 'f', "file", F(file), "FILE",
                  "read the text from a file, - is stdin"),
    SLM_CLI_VALUE(OPT_FILE, 0, "ids-file", F(ids_file), "FILE",
                  "continue these ids (numbers and white space)"),
    SLM_CLI_INT('n', "predict|n-predict|max-tokens", F(n), "N", -1, 1 << 30,
                "tokens at most; -1: until the end or the context is full (default: 128)"),
    SLM_CLI_FLAG(0, "ignore-eos", F(ignore_eos), "go on past the end of generation"),
    SLM_CLI_VALUE(OPT_LIST, 'r', "stop|reverse-prompt", F(stop), "TEXT",
                  "stop in front of this text; again for more"),
    SLM_CLI_FLAG(0, "special", F(special), "spell special tokens in the text that comes out"),
    SLM_CLI_FLAG(0, "parse-special", F(parse_special),
                 "special tokens spelled in the prompt become their ids"),
    SLM_CLI_FLAG(0, "no-bos", F(no_bos), "do not put the tokenizer's first token in front"),
    SLM_CLI_GROUP(slm_cli_session_opts, F(session), "Context"),
    SLM_CLI_GROUP(slm_cli_sampling_opts, F(sampling), "Sampling"),
    SLM_CLI_GROUP(slm_cli_speculation_opts, F(speculation), "Speculation"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

static void defaults(void *p)
{
    struct args *a = p;
    a->n = 128;
    slm_cli_sampling_init(&a->sampling);
}

static int on_token(void *arg, int32_t id, const char *text, size_t len)
{
    (void)id;
    if (len && !*(const int *)arg) {
        fwrite(text, 1, len, stdout);
        fflush(stdout);
    }
    return slm_cli_interrupted();
}

static int prompt_ids(struct slm_cli *c, const struct args *a, const slm_model *m, slm_ids *ids,
                      slm_err *err)
{
    struct slm_cli_buf text = {0};
    const slm_tokenizer *t = slm_model_tokenizer(m);
    int given = (a->prompt != NULL) + (a->file != NULL) + (a->ids_file != NULL), code = 0;
    if (given != 1)
        return slm_cli_fail(err, SLM_E_ARG,
                            given ? "give one of -p, -f and --ids-file"
                                  : "what is to be continued? give -p, -f or --ids-file");
    if (a->ids_file)
        return slm_cli_read_ids(ids, c->rt, a->ids_file, err);
    slm_cli_put(&text, "", 0);
    if (a->prompt)
        slm_cli_puts(&text, a->prompt);
    else
        code = slm_cli_read(&text, a->file, err);
    unsigned flags =
        (a->no_bos ? 0 : SLM_ENCODE_AFFIXES) | (a->parse_special ? SLM_ENCODE_SPECIAL : 0);
    if (!code)
        code = slm_cli_encode(m, text.s, text.n, flags, ids, err);
    /* an end of text that the tokenizer appends would be the end of what is to be continued */
    if (!code && !a->no_bos && ids->len > 1 && slm_tokenizer_adds_eos(t)
        && ids->data[ids->len - 1] == slm_tokenizer_eos(t))
        ids->len--;
    slm_cli_buf_free(&text);
    return code;
}

static void put_json(const slm_ids *ids, const slm_text *text, const slm_generate_stats *st,
                     uint64_t seed)
{
    struct slm_cli_json j = {.f = stdout};
    slm_js_open(&j, '{');
    slm_js_key(&j, "ids");
    slm_js_open(&j, '[');
    for (size_t i = 0; i < ids->len; i++)
        slm_js_int(&j, ids->data[i]);
    slm_js_close(&j, ']');
    slm_js_key(&j, "text");
    slm_js_str(&j, text->data ? text->data : "", text->len);
    slm_js_kstr(&j, "finish", slm_finish_name(st->finish));
    slm_js_kint(&j, "prompt_tokens", st->prompt_tokens);
    slm_js_kint(&j, "new_tokens", st->new_tokens);
    slm_js_kint(&j, "drafted", st->drafted);
    slm_js_kint(&j, "accepted", st->accepted);
    slm_js_kreal(&j, "prompt_seconds", st->prompt_seconds);
    slm_js_kreal(&j, "decode_seconds", st->decode_seconds);
    slm_js_key(&j, "seed");
    slm_js_uint(&j, seed);
    slm_js_close(&j, '}');
}

static int generate(struct slm_cli *c, struct args *a, slm_session *s, slm_sampler *sampler,
                    const slm_ids *prompt, slm_err *err)
{
    struct slm_cli_draft draft = {0};
    char guesses[64];
    slm_ids ids = {0};
    slm_text text = {0};
    slm_generate_opts o;
    slm_generate_stats st = {0};
    struct slm_cli_progress bar;
    slm_generate_opts_init(&o);
    slm_cli_progress_start(&bar, c, "prompt", "tok");
    o.max_tokens = a->n;
    o.ignore_eog = a->ignore_eos;
    o.keep_special = a->special;
    o.continues = 1;
    o.stop = a->stop.item;
    o.n_stop = a->stop.n;
    o.token = on_token;
    o.token_arg = &a->common.json;
    o.progress = slm_cli_progress_step;
    o.progress_arg = &bar;
    slm_cli_catch_interrupt();
    int code = slm_cli_draft_open(c, &draft, &a->speculation, s, err);
    slm_cli_speculate(&o, &a->speculation, &draft);
    if (!code)
        code =
            slm_generate(s, sampler, prompt->data, (int)prompt->len, &o, &ids, &text, &st, err);
    slm_cli_progress_end(&bar);
    if (!code && a->common.json)
        put_json(&ids, &text, &st, slm_sampler_seed(sampler));
    else if (!code)
        fputs("\n", stdout);
    if (!code)
        slm_cli_tell(c, "prompt %d tokens in %.3f s; %d new in %.3f s, %.1f tok/s%s; end: %s",
                     st.prompt_tokens, st.prompt_seconds, st.new_tokens, st.decode_seconds,
                     st.decode_seconds > 0 ? st.new_tokens / st.decode_seconds : 0,
                     slm_cli_guesses(guesses, &st), slm_finish_name(st.finish));
    if (!code && st.finish == SLM_FINISH_CANCELLED)
        code = slm_cli_fail(err, SLM_E_CANCELLED, "stopped");
    slm_cli_draft_close(&draft);
    slm_ids_release(&ids);
    slm_text_release(&text);
    return code;
}

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    struct args *a = p;
    slm_model *m = NULL;
    slm_session *s = NULL;
    slm_sampler *sampler = NULL;
    slm_ids prompt = {0};
    slm_model_opts o;
    slm_model_opts_init(&o);
    o.allow_no_tokenizer = a->ids_file != NULL;
    int code = slm_cli_model_open(c, &m, &a->model, &o, false, err);
    if (!code)
        code = prompt_ids(c, a, m, &prompt, err);
    int need = (int)prompt.len + (a->n > 0 ? a->n : 0);
    if (!code)
        code = slm_cli_session_open(c, &s, m, &a->session, need, err);
    if (!code)
        code = slm_cli_sampler_open(c, &sampler, m, &a->sampling, slm_session_context(s), err);
    if (!code)
        code = generate(c, a, s, sampler, &prompt, err);
    slm_ids_release(&prompt);
    slm_sampler_free(sampler);
    slm_session_close(&s);
    slm_cli_adapters_close(&a->session.adapters);
    slm_model_close(&m);
    return code;
}

extern const struct slm_cli_command slm_cmd_complete;
const struct slm_cli_command slm_cmd_complete = {
    .name = "complete",
    .run = run,
    .args = "MODEL",
    .summary = "continue a text or ids, without a chat template",
    .about = "Continues the text of -p or -f, or the ids of --ids-file, and writes the "
             "continuation to stdout. With "
             "--json: one object with ids and text of the continuation, and finish: stop (end "
             "of generation), "
             "length, stop_string, context or cancelled.",
    .examples = "slm complete model.gguf -p \"Once upon a time\" -n 100\n"
                "slm complete model.gguf --ids-file prompt.ids -n 24 --temp 0 --json",
    .opts = opts,
    .size = sizeof(struct args),
    .defaults = defaults,
    .model = 1,
};
