/* slm run: a prompt answered, or a talk on the terminal. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

#define F(field) offsetof(struct slm_cli_run_args, field)
static const struct slm_cli_opt opts[] = {
    SLM_CLI_GROUP(slm_cli_model_opts, F(model), NULL),
    SLM_CLI_VALUE(OPT_TEXT, 'p', "prompt", F(prompt), "TEXT",
                  "the prompt, instead of words behind MODEL"),
    SLM_CLI_VALUE(OPT_FILE, 'f', "file", F(file), "FILE", "read the prompt from a file"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "system|system-prompt", F(system), "TEXT",
                  "what the model is told first"),
    SLM_CLI_VALUE(OPT_FILE, 0, "template|chat-template", F(tpl), "NAME",
                  "chat template: a built-in one (chatml, llama3 ...), a file, or none to "
                  "continue the text"),
    SLM_CLI_INT('n', "predict|n-predict|max-tokens", F(n), "N", -1, 1 << 30,
                "tokens at most; -1: until the end or the context is full (default: -1)"),
    SLM_CLI_VALUE(OPT_LIST, 'r', "stop|reverse-prompt", F(stop), "TEXT",
                  "stop in front of this text; again for more"),
    SLM_CLI_GROUP(slm_cli_session_opts, F(session), "Context"),
    SLM_CLI_GROUP(slm_cli_sampling_opts, F(sampling), "Sampling"),
    SLM_CLI_GROUP(slm_cli_speculation_opts, F(speculation), "Speculation"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

static void defaults(void *p)
{
    struct slm_cli_run_args *a = p;
    a->n = -1;
    slm_cli_sampling_init(&a->sampling);
}

struct stream {
    bool to_stdout;
};

static int on_token(void *arg, int32_t id, const char *text, size_t len)
{
    struct stream *s = arg;
    (void)id;
    if (len && s->to_stdout) {
        fwrite(text, 1, len, stdout);
        fflush(stdout);
    }
    return slm_cli_interrupted();
}

static void tell_stats(const struct slm_cli *c, const slm_generate_stats *st)
{
    char guesses[64];
    slm_cli_tell(c,
                 "prompt %d tokens (%d reused) in %.2f s, %.1f tok/s; answer %d tokens in %.2f "
                 "s, %.1f tok/s%s; "
                 "end: %s",
                 st->prompt_tokens, st->reused_tokens, st->prompt_seconds,
                 st->prompt_seconds > 0
                     ? (st->prompt_tokens - st->reused_tokens) / st->prompt_seconds
                     : 0,
                 st->new_tokens, st->decode_seconds,
                 st->decode_seconds > 0 ? st->new_tokens / st->decode_seconds : 0,
                 slm_cli_guesses(guesses, st), slm_finish_name(st->finish));
}

/* The conversation as ids, its oldest part dropped (and that said) when it leaves no room. */
static int fit_ids(struct slm_cli_talk *t, slm_ids *ids, slm_err *err)
{
    int room = slm_session_context(t->session), dropped = 0;
    int code = slm_cli_chat_ids(&t->chat, t->c, ids, err);
    while (!code && ids->len >= (size_t)room && t->chat.n > 1) {
        slm_cli_chat_drop_oldest(&t->chat);
        dropped++;
        code = slm_cli_chat_ids(&t->chat, t->c, ids, err);
    }
    if (dropped)
        slm_cli_say(
            t->c,
            "the conversation outgrew the context of %d: its %d oldest exchange%s dropped",
            room, dropped, dropped > 1 ? "s are" : " is");
    return code;
}

int slm_cli_answer(struct slm_cli_talk *t, slm_generate_stats *st, slm_err *err)
{
    slm_ids ids = {0};
    slm_text text = {0};
    slm_generate_opts o;
    struct slm_cli_progress bar;
    struct stream stream = {.to_stdout = !t->a->common.json};
    int code = fit_ids(t, &ids, err);
    slm_generate_opts_init(&o);
    slm_cli_progress_start(&bar, t->c, "prompt", "tok");
    o.max_tokens = t->a->n;
    o.stop = t->a->stop.item;
    o.n_stop = t->a->stop.n;
    o.continues = !t->chat.tpl;
    o.token = on_token;
    o.token_arg = &stream;
    o.progress = slm_cli_progress_step;
    o.progress_arg = &bar;
    slm_cli_speculate(&o, &t->a->speculation, &t->draft);
    if (!code)
        code = slm_generate(t->session, t->sampler, ids.data, (int)ids.len, &o, NULL, &text, st,
                            err);
    slm_cli_progress_end(&bar);
    if (!code) {
        slm_cli_chat_add(&t->chat, "assistant", text.data ? text.data : "", text.len);
        if (stream.to_stdout)
            fputs("\n", stdout);
        fflush(stdout);
        tell_stats(t->c, st);
    }
    slm_ids_release(&ids);
    slm_text_release(&text);
    return code;
}

/* Words, -p, -f and what comes on stdin, in this order. */
static int gather_prompt(struct slm_cli *c, const struct slm_cli_run_args *a,
                         struct slm_cli_buf *b, slm_err *err)
{
    int code = 0;
    for (int i = 0; i < c->words.n; i++) {
        slm_cli_puts(b, i ? " " : "");
        slm_cli_puts(b, c->words.v[i]);
    }
    if (a->prompt) {
        slm_cli_puts(b, b->n ? "\n\n" : "");
        slm_cli_puts(b, a->prompt);
    }
    if (a->file) {
        slm_cli_puts(b, b->n ? "\n\n" : "");
        code = slm_cli_read(b, a->file, err);
    }
    if (!code && slm_cli_stdin_piped() && !(a->file && !strcmp(a->file, "-"))) {
        struct slm_cli_buf in = {0};
        code = slm_cli_read(&in, "-", err);
        while (in.n && in.s[in.n - 1] == '\n')
            in.n--;
        if (!code && in.n) {
            slm_cli_puts(b, b->n ? "\n\n" : "");
            slm_cli_put(b, in.s, in.n);
        }
        slm_cli_buf_free(&in);
    }
    return code;
}

static void put_json(const struct slm_cli_talk *t, const slm_generate_stats *st)
{
    struct slm_cli_json j = {.f = stdout};
    const struct slm_cli_message *m = &t->chat.msg[t->chat.n - 1];
    slm_js_open(&j, '{');
    slm_js_kstr(&j, "text", m->content);
    slm_js_kstr(&j, "finish", slm_finish_name(st->finish));
    slm_js_kstr(&j, "template", t->chat.tpl ? t->chat.origin : NULL);
    slm_js_kint(&j, "prompt_tokens", st->prompt_tokens);
    slm_js_kint(&j, "new_tokens", st->new_tokens);
    slm_js_kint(&j, "drafted", st->drafted);
    slm_js_kint(&j, "accepted", st->accepted);
    slm_js_kreal(&j, "prompt_seconds", st->prompt_seconds);
    slm_js_kreal(&j, "decode_seconds", st->decode_seconds);
    slm_js_key(&j, "seed");
    slm_js_uint(&j, slm_sampler_seed(t->sampler));
    slm_js_close(&j, '}');
}

static int answer_once(struct slm_cli_talk *t, const struct slm_cli_buf *prompt, slm_err *err)
{
    slm_generate_stats st = {0};
    slm_cli_chat_add(&t->chat, "user", prompt->n ? prompt->s : "", prompt->n);
    int code = slm_cli_answer(t, &st, err);
    if (code)
        return code;
    if (t->a->common.json)
        put_json(t, &st);
    if (st.finish == SLM_FINISH_CANCELLED)
        return slm_cli_fail(err, SLM_E_CANCELLED, "stopped");
    return 0;
}

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    struct slm_cli_run_args *a = p;
    struct slm_cli_talk t = {.c = c, .a = a};
    struct slm_cli_buf prompt = {0};
    int code = slm_cli_model_open(c, &t.model, &a->model, NULL, true, err);
    bool talk =
        !code && !c->words.n && !a->prompt && !a->file && slm_cli_tty(stdin) && !a->common.json;
    if (!code && !talk)
        code = gather_prompt(c, a, &prompt, err);
    if (!code)
        code = slm_cli_chat_open(&t.chat, c, t.model, a->tpl, err);
    if (!code && !talk && !prompt.n && t.chat.tpl)
        code = slm_cli_fail(err, SLM_E_ARG,
                            "no prompt: give it behind MODEL, with -p, with -f or on stdin");
    if (!code)
        code = slm_cli_session_open(c, &t.session, t.model, &a->session, 0, err);
    if (!code)
        code = slm_cli_draft_open(c, &t.draft, &a->speculation, t.session, err);
    if (!code)
        code = slm_cli_sampler_open(c, &t.sampler, t.model, &a->sampling,
                                    slm_session_context(t.session), err);
    if (!code) {
        slm_cli_chat_system(&t.chat, a->system);
        slm_cli_catch_interrupt();
        code = talk ? slm_cli_repl(&t, err) : answer_once(&t, &prompt, err);
    }
    slm_cli_buf_free(&prompt);
    slm_cli_chat_close(&t.chat);
    slm_sampler_free(t.sampler);
    slm_cli_draft_close(&t.draft);
    slm_session_close(&t.session);
    slm_cli_adapters_close(&a->session.adapters);
    slm_model_close(&t.model);
    return code;
}

extern const struct slm_cli_command slm_cmd_run;
const struct slm_cli_command slm_cmd_run = {
    .name = "run",
    .run = run,
    .args = "[MODEL] [PROMPT] ...",
    .summary = "generate text, or talk on the terminal",
    .about = "Answers PROMPT, or what comes on stdin (behind PROMPT where both are given), and "
             "streams the answer "
             "to stdout. On a terminal and without a prompt it talks: /? lists the commands "
             "there.\n\n"
             "A model with a chat template gets the prompt through it, and slm says which; a "
             "model without one "
             "continues the text. Without MODEL slm runs the small model that comes with it "
             "($SLM_MODEL names "
             "another).",
    .examples = "slm run model.gguf \"Why is the sky blue?\"\n"
                "slm run -m model.gguf --temp 0 -n 200 -p \"Once upon a time\"\n"
                "slm run ./model-folder --system \"Answer in French.\"\n"
                "git diff | slm run model.gguf \"Explain this change\"",
    .opts = opts,
    .size = sizeof(struct slm_cli_run_args),
    .defaults = defaults,
    .model = 1,
};
