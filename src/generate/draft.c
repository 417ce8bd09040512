/* The smaller model's guesses: its likeliest token each time. Also where the sampler draws,
 * that is the best guess of one token there is: it comes true as often as the sampler draws it.
 * How certain the smaller model is tells, by what became of such guesses before, whether a
 * further one is worth a pass over its weights. */
#include "generate/spec.h"

#include "kernels/kernels.h"
#include "model/model_room.h"

#include <string.h>

/* Ids must mean the same in both. The tables may be of different length: what one pads with. */
static int check_vocabulary(const slm_model *a, const slm_model *b, slm_err *err)
{
    const slm_tokenizer *x = slm_model_tokenizer(a), *y = slm_model_tokenizer(b);
    if (!x != !y)
        return slm_fail(err, SLM_E_ARG, "the draft model: %s has no tokenizer to compare",
                        (x ? b : a)->src.path);
    if (!x)
        return a->hp.vocab == b->hp.vocab
                   ? 0
                   : slm_fail(err, SLM_E_ARG,
                              "the draft model has a vocabulary of %d, %s of %d", b->hp.vocab,
                              a->src.path, a->hp.vocab);
    int n = slm_tokenizer_size(x), m = slm_tokenizer_size(y);
    if (n - m > 256 || m - n > 256)
        return slm_fail(err, SLM_E_ARG, "the draft model has a vocabulary of %d, %s of %d", m,
                        a->src.path, n);
    for (int i = 0; i < n && i < m; i++) {
        size_t p = 0, q = 0;
        const char *s = slm_tokenizer_piece(x, i, &p), *t = slm_tokenizer_piece(y, i, &q);
        if (p != q || memcmp(s, t, p))
            return slm_fail(err, SLM_E_ARG,
                            "the draft model's token %d is '%.*s', that of %s '%.*s'", i,
                            (int)(q < 40 ? q : 40), t, a->src.path, (int)(p < 40 ? p : 40), s);
    }
    return 0;
}

int slm_draft_check(struct slm_spec *p, slm_err *err)
{
    if (p->draft == p->s)
        return slm_fail(err, SLM_E_ARG, "a session cannot draft for itself");
    if (slm_session_context(p->draft) < slm_session_context(p->s))
        return slm_fail(err, SLM_E_ARG, "the draft's context of %d is shorter than %d",
                        slm_session_context(p->draft), slm_session_context(p->s));
    const slm_model *m = slm_session_model(p->draft);
    size_t vocab = (size_t)m->hp.vocab;
    p->probs = slm_alloc_n(p->rt, SLM_MEM_GENERATE, vocab, sizeof *p->probs);
    if (!p->probs)
        return slm_fail_mem(err, "drafts", vocab * sizeof *p->probs);
    return check_vocabulary(slm_session_model(p->s), m, err);
}

/* The draft session becomes the text so far and the pending token; all but the last few tokens
 * it has already. */
static int catch_up(struct slm_spec *p, slm_err *err)
{
    const int32_t *want = slm_session_ids(p->s), *have = slm_session_ids(p->draft);
    int n = slm_session_length(p->s), same = 0, held = slm_session_length(p->draft);
    while (same < n && same < held && want[same] == have[same])
        same++;
    if (same < held)
        same = slm_session_truncate(p->draft, same);
    int code = n - same > 64 ? slm_session_sync(p->draft, want, n, NULL, err)
               : n > same    ? slm_session_append(p->draft, want + same, n - same, err)
                             : 0;
    return code ? code : slm_session_append(p->draft, p->row, 1, err);
}

/* The likeliest token and its class; its id is no guess where the larger model lacks it. */
static int32_t likeliest(struct slm_spec *p, uint8_t *kind)
{
    static const float step[] = {0.3f, 0.5f, 0.7f, 0.85f, 0.95f};
    const slm_model *m = slm_session_model(p->draft);
    size_t n = (size_t)m->hp.vocab, top = 0;
    memcpy(p->probs, slm_session_logits(p->draft), n * sizeof *p->probs);
    p->rt->kern->softmax(p->probs, n);
    for (size_t i = 1; i < n; i++)
        if (p->probs[i] > p->probs[top])
            top = i;
    *kind = SLM_SPEC_LOOK;
    for (size_t i = 0; i < sizeof step / sizeof *step; i++)
        *kind = (uint8_t)(*kind + (p->probs[top] >= step[i]));
    return (int32_t)top;
}

/* Odds of the smaller model's guesses, whatever its certainty. */
static double any_odds(const struct slm_spec *p)
{
    double right = 0, all = 0;
    for (int i = SLM_SPEC_LOOK; i < SLM_SPEC_KINDS; i++) {
        right += p->odds[i].right;
        all += p->odds[i].all;
    }
    return right / all;
}

static int draft_tokens(struct slm_spec *p, int most, slm_err *err)
{
    double one = slm_session_cost(p->s, 1), chance = 1, odds = any_odds(p);
    int vocab = slm_session_model(p->s)->hp.vocab, k = 0;
    while (k < most) {
        uint8_t kind;
        int32_t id = likeliest(p, &kind);
        double row = slm_session_cost(p->s, k + 2) - slm_session_cost(p->s, k + 1);
        chance *= slm_spec_odds(p, kind);
        if (id >= vocab || (!p->always && chance * one < row))
            break;
        p->row[++k] = id;
        p->kind[k] = kind;
        if (k == most || (!p->always && chance * odds * one < p->draft_seconds + row))
            break;
        int code = slm_session_append(p->draft, &id, 1, err);
        if (code)
            return code;
    }
    return k;
}

int slm_draft_guess(struct slm_spec *p, int most, bool due)
{
    slm_err err = {0};
    double one = slm_session_cost(p->s, 1), row = slm_session_cost(p->s, 2) - one;
    double cost = p->draft_seconds + row;
    if (!p->always && ((!due && any_odds(p) * one < cost) ||
                       (p->draft_seconds > 0 && cost > slm_spec_purse(p))))
        return 0;
    double t = slm_clock_seconds();
    int before = slm_session_length(p->draft);
    int code = catch_up(p, &err);
    int k = code ? code : draft_tokens(p, most, &err);
    if (k < 0) {
        slm_log(p->rt, SLM_LOG_WARN, "the draft model is of no use: %s", err.msg);
        p->draft = NULL;
        return 0;
    }
    p->draft_run = slm_clock_seconds() - t;
    int passes = slm_session_length(p->draft) - before;
    if (passes < 1 || passes > k + 2)
        passes = k + 1;
    double each = p->draft_run / passes;
    p->draft_seconds += p->draft_seconds > 0 ? 0.25 * (each - p->draft_seconds) : each;
    if (!k)
        p->rest = p->pause = 2 * p->pause < 512 ? 2 * p->pause : 512;
    return k >= p->least ? k : 0;
}
