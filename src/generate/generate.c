/* The generation loop: prompt into the session, then sample, spell, watch for the end, append.
 * The token is appended only when another one is wanted, so the last one costs no pass over the
 * weights and the next turn's sync computes it with its prompt. With it go guesses at what
 * follows (spec.h); those that do not come true are taken back. */
#include "generate/sample.h"
#include "generate/spec.h"
#include "generate/stop.h"
#include "model/model_room.h"

#include <string.h>

enum { SYNC_ROWS = 512 }; /* between looks at the caller's wish to stop */

const char *slm_finish_name(int finish)
{
    static const char *const names[] = {"stop", "length", "stop_string", "context",
                                        "cancelled"};
    return finish >= 0 && finish < (int)(sizeof names / sizeof *names) ? names[finish]
                                                                       : "unknown";
}

void slm_generate_opts_init(slm_generate_opts *o)
{
    *o = (slm_generate_opts){.max_tokens = -1, .speculate = 1};
}

struct run {
    slm_session *s;
    slm_sampler *sampler;
    const slm_model *model;
    const slm_generate_opts *o;
    slm_runtime *rt;
    slm_detok *detok;
    struct slm_stops stops;
    struct slm_spec spec;
    slm_text piece;
    slm_ids *ids;
    slm_text *text;
    slm_generate_stats st;
};

/* Rows at a time, so that long prompts can be stopped; what the session has in common with the
 * prompt is never dropped on the way. */
static int sync_prompt(struct run *r, const int32_t *prompt, int n, slm_err *err)
{
    const int32_t *have = slm_session_ids(r->s);
    int len = slm_session_length(r->s), at = 0, code = 0;
    while (at < len && at < n && have[at] == prompt[at])
        at++;
    if (n > slm_session_context(r->s))
        return slm_fail(err, SLM_E_LIMIT, "the prompt has %d tokens, the context %d", n,
                        slm_session_context(r->s));
    for (bool first = true; !code && (first || at < n); first = false) {
        int reused = 0;
        at = n - at > SYNC_ROWS ? at + SYNC_ROWS : n;
        code = slm_session_sync(r->s, prompt, at, &reused, err);
        if (first)
            r->st.reused_tokens = reused;
        if (!code && r->o->progress &&
            r->o->progress(r->o->progress_arg, (uint64_t)at, (uint64_t)n))
            code = slm_fail(err, SLM_E_CANCELLED, "cancelled");
    }
    return code;
}

/* Gives out the text that may go, with the token that released it. */
static int give(struct run *r, int32_t id, slm_err *err)
{
    size_t n = r->stops.out;
    const char *s = n ? r->stops.held.s : "";
    if (r->text && n) {
        int code = slm_text_put(r->text, r->rt, s, n, err);
        if (code)
            return code;
    }
    if (r->o->token && (id >= 0 || n) && r->o->token(r->o->token_arg, id, s, n))
        r->st.finish = SLM_FINISH_CANCELLED;
    slm_stops_taken(&r->stops);
    return 0;
}

static int take_token(struct run *r, int32_t id, slm_err *err)
{
    int code = r->ids ? slm_ids_append(r->ids, r->rt, &id, 1, err) : 0;
    r->st.new_tokens++;
    r->piece.len = 0;
    if (!code && r->detok)
        code = slm_detok_feed(r->detok, id, &r->piece, err);
    if (!code && r->piece.len)
        code = slm_stops_feed(&r->stops, r->piece.data, r->piece.len, err);
    if (code)
        return code;
    if (r->stops.hit)
        r->st.finish = SLM_FINISH_STOP;
    return give(r, id, err);
}

/* What the detokeniser and the stop strings still hold. */
static int finish_text(struct run *r, slm_err *err)
{
    int code = 0;
    r->piece.len = 0;
    if (r->detok && !r->stops.hit)
        code = slm_detok_flush(r->detok, &r->piece, err);
    if (!code && r->piece.len)
        code = slm_stops_feed(&r->stops, r->piece.data, r->piece.len, err);
    if (code)
        return code;
    slm_stops_end(&r->stops);
    int finish = r->st.finish;
    code = give(r, -1, err);
    r->st.finish = finish;
    return code;
}

enum { GOING = -1 };

/* Draws from these logits and gives the token out. Generation may end with it. */
static int draw(struct run *r, const float *logits, int32_t *id, slm_err *err)
{
    int code = slm_sampler_next(r->sampler, logits, id, err);
    if (!code && !r->o->ignore_eog && slm_model_is_eog(r->model, *id)) {
        r->st.finish = SLM_FINISH_EOG;
        return 0;
    }
    if (!code)
        code = take_token(r, *id, err);
    if (!code)
        slm_spec_add(&r->spec, *id);
    if (!code && r->st.finish == GOING && r->o->max_tokens >= 0 &&
        r->st.new_tokens >= r->o->max_tokens)
        r->st.finish = SLM_FINISH_LENGTH;
    return code;
}

/* How many guesses there is room for behind the pending token. */
static int room(const struct run *r)
{
    int n = slm_session_context(r->s) - slm_session_length(r->s);
    if (r->o->max_tokens >= 0 && n > r->o->max_tokens - r->st.new_tokens)
        n = r->o->max_tokens - r->st.new_tokens;
    return slm_session_even(r->s, n) - 1;
}

/* Appends the pending token and guesses, and draws from row after row as long as the guesses
 * are what was drawn: *id becomes the next pending token. */
static int advance(struct run *r, int32_t *id, slm_err *err)
{
    int guesses = slm_spec_guess(&r->spec, *id, room(r)), right = 0;
    int base = slm_session_length(r->s) + 1;
    double t = slm_clock_seconds();
    slm_step step = {r->s, r->spec.row, 1 + guesses, 1};
    int code = slm_session_step(&step, 1, err);
    t = slm_clock_seconds() - t;
    for (; !code; right++) {
        const float *logits = slm_session_row(r->s, right, err);
        code = logits ? draw(r, logits, id, err) : SLM_E_NUMERIC;
        if (code || r->st.finish != GOING || right == guesses || *id != r->spec.row[right + 1])
            break;
    }
    if (!code && r->st.finish == GOING)
        slm_spec_learn(&r->spec, guesses, right, t);
    if (right < guesses)
        slm_session_truncate(r->s, base + right);
    r->st.drafted += guesses;
    r->st.accepted += right;
    return code;
}

static int decode(struct run *r, slm_err *err)
{
    int32_t id;
    int code = 0;
    r->st.finish = r->o->max_tokens == 0 ? SLM_FINISH_LENGTH : GOING;
    if (r->st.finish == GOING)
        code = draw(r, slm_session_logits(r->s), &id, err);
    while (!code && r->st.finish == GOING) {
        if (slm_session_length(r->s) >= slm_session_context(r->s))
            r->st.finish = SLM_FINISH_CONTEXT;
        else
            code = advance(r, &id, err);
    }
    return code ? code : finish_text(r, err);
}

static int check(const struct run *r, int n, slm_err *err)
{
    if (n < 1)
        return slm_fail(err, SLM_E_ARG,
                        "the prompt is empty, and the model has no token to begin with");
    if (r->o->n_stop && !slm_model_tokenizer(r->model))
        return slm_fail(err, SLM_E_ARG,
                        "stop strings need a tokenizer, and the model has none");
    return 0;
}

/* Lets the detokeniser see the prompt's end, so that what tokenizers do to the start of a text
 * (a space taken away) is not done to what goes on in the middle of one. Four tokens hold any
 * character. */
static int see_prompt(struct run *r, const int32_t *prompt, int n, slm_err *err)
{
    int code = 0;
    for (int i = n > 4 ? n - 4 : 0; i < n && !code; i++)
        code = slm_detok_feed(r->detok, prompt[i], &r->piece, err);
    r->piece.len = 0;
    return code;
}

int slm_generate(slm_session *s, slm_sampler *sampler, const int32_t *prompt, int n,
                 const slm_generate_opts *o, slm_ids *ids, slm_text *text,
                 slm_generate_stats *stats, slm_err *err)
{
    slm_generate_opts d;
    slm_generate_opts_init(&d);
    struct run r = {.s = s, .sampler = sampler, .model = slm_session_model(s), .o = o ? o : &d,
                    .rt = slm_sampler_runtime(sampler), .ids = ids, .text = text};
    const slm_tokenizer *vocab = slm_model_tokenizer(r.model);
    r.st.prompt_tokens = n;
    int code = check(&r, n, err);
    if (code)
        return code;
    code = slm_stops_init(&r.stops, r.rt, r.o->stop, r.o->n_stop, err);
    if (!code && vocab)
        code = slm_detok_new(&r.detok, vocab, r.o->keep_special, err);
    if (!code)
        code = slm_spec_open(&r.spec, r.rt, s, r.o, err);
    if (!code && vocab && r.o->continues)
        code = see_prompt(&r, prompt, n, err);
    double t0 = slm_clock_seconds();
    if (!code)
        code = sync_prompt(&r, prompt, n, err);
    double t1 = slm_clock_seconds();
    slm_sampler_forget(sampler);
    for (int i = 0; i < n && !code; i++) {
        slm_sampler_accept(sampler, prompt[i]);
        slm_spec_add(&r.spec, prompt[i]);
    }
    if (!code)
        code = decode(&r, err);
    r.st.prompt_seconds = t1 - t0;
    r.st.decode_seconds = slm_clock_seconds() - t1;
    if (stats)
        *stats = r.st;
    slm_spec_close(&r.spec);
    slm_detok_free(r.detok);
    slm_stops_release(&r.stops);
    slm_text_release(&r.piece);
    return code;
}
