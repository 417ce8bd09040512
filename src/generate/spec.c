/* When to guess, and how much. A step with guesses is worth it when the tokens that it is
 * expected to give, over what it costs, are more than one token over the cost of one. The costs
 * are measured (slm_session_cost), the odds are counted by how much of the text agrees, and an
 * account of seconds won and lost keeps an unlucky or an unfit text from losing more than some
 * hundredths of its time: what is not in the account is not spent. */
#include "generate/spec.h"

#include "model/model_room.h"

#include <string.h>

enum {
    MOST_GUESSES = 32, /* without --draft-max */
    WARM_UP = 3,       /* tokens before the cost of one is believed */
    PROBE = 3,         /* guesses to see whether they have become worth it */
    FIRST_PAUSE = 8,
    LONGEST_PAUSE = 512
};
static const double must_win = 1.03; /* times the speed without guesses */

int slm_spec_open(struct slm_spec *p, slm_runtime *rt, slm_session *s,
                  const slm_generate_opts *o, slm_err *err)
{
    /* what is expected before anything was seen, as if of three guesses of each kind */
    static const float odds[SLM_SPEC_KINDS] = {0.35f, 0.5f,  0.65f, 0.75f, 0.85f, 0.92f,
                                               0.15f, 0.35f, 0.5f,  0.65f, 0.8f,  0.92f};
    *p = (struct slm_spec){.rt = rt, .s = s, .draft = o->draft, .pause = FIRST_PAUSE};
    p->on = o->speculate != 0;
    p->always = o->speculate == 2;
    if (o->speculate < 0 || o->speculate > 2)
        return slm_fail(err, SLM_E_ARG, "speculation %d: want 0, 1 or 2", o->speculate);
    if (o->draft_max < 0 || o->draft_min < 0 || (o->draft_max && o->draft_min > o->draft_max))
        return slm_fail(err, SLM_E_ARG, "guesses of %d to %d tokens", o->draft_min,
                        o->draft_max);
    if (o->draft && !p->on)
        return slm_fail(err, SLM_E_ARG, "a draft model without speculation");
    p->most = o->draft_max ? o->draft_max : MOST_GUESSES;
    p->most = p->most < SLM_SPEC_ROWS ? p->most : SLM_SPEC_ROWS - 1;
    p->least = o->draft_min;
    p->start = o->max_tokens < 0 || o->max_tokens > 50 ? 0.5 : 0.01 * o->max_tokens;
    for (int i = 0; i < SLM_SPEC_KINDS; i++)
        p->odds[i] = (struct slm_odds){3 * (double)odds[i], 3};
    if (!p->on)
        return 0;
    int code = slm_lookup_init(&p->look, rt, slm_session_context(s) + 1, err);
    return code || !p->draft ? code : slm_draft_check(p, err);
}

void slm_spec_close(struct slm_spec *p)
{
    slm_lookup_release(&p->look);
    slm_free(p->rt, p->probs);
}

void slm_spec_add(struct slm_spec *p, int32_t id)
{
    if (p->on)
        slm_lookup_add(&p->look, id);
}

static int kind_of(int agree)
{
    return agree < 3 ? 0 : agree < 5 ? 1 : agree < 8 ? 2 : agree < 12 ? 3 : agree < 20 ? 4 : 5;
}

/* The number of guesses that makes the most tokens a second, and in *worth how many times that
 * of none. */
static int best_count(struct slm_spec *p, int agree, int most, double *worth)
{
    double tokens = 1, chance = 1, one = slm_session_cost(p->s, 1), best = 1;
    int count = 0;
    memset(p->kind, SLM_SPEC_LOOK - 1, sizeof p->kind);
    for (int k = 1; k <= most && chance > 0.02; k++) {
        p->kind[k] = (uint8_t)kind_of(agree + k - 1);
        chance *= slm_spec_odds(p, p->kind[k]);
        tokens += chance;
        double now = tokens * one / slm_session_cost(p->s, k + 1);
        if (now > best) {
            best = now;
            count = k;
        }
    }
    *worth = best;
    return count;
}

/* The most guesses whose failing altogether the account can bear. */
static int bearable(const struct slm_spec *p, int k)
{
    double one = slm_session_cost(p->s, 1), purse = slm_spec_purse(p);
    while (k && slm_session_cost(p->s, k + 1) - one > purse)
        k--;
    return k;
}

static int look_guess(struct slm_spec *p, int most, bool due)
{
    double worth;
    int agree = slm_lookup_find(&p->look, p->row + 1, most);
    if (!agree)
        return 0;
    int k = best_count(p, agree, most, &worth);
    if (p->always)
        return most >= p->least ? most : 0;
    if (worth < must_win)
        k = due ? (most < PROBE ? most : PROBE) : 0;
    k = bearable(p, k);
    return k >= p->least ? k : 0;
}

int slm_spec_guess(struct slm_spec *p, int32_t pending, int room)
{
    p->row[0] = pending;
    p->draft_run = 0;
    double one = slm_session_cost(p->s, 1);
    if (!p->on || room < 1 || (!p->always && (one <= 0 || p->steps++ < WARM_UP)))
        return 0;
    if (p->steps == WARM_UP + 1)
        p->credit = one * p->start;
    int most = room < p->most ? room : p->most;
    bool due = p->rest-- <= 0;
    int k = look_guess(p, most, due);
    if (!k && p->draft)
        k = slm_draft_guess(p, most, due);
    return k;
}

static void count(struct slm_odds *o, bool right)
{
    o->right += right;
    o->all += 1;
    if (o->all > 24) {
        o->right /= 2;
        o->all /= 2;
    }
}

void slm_spec_learn(struct slm_spec *p, int guesses, int right, double seconds)
{
    if (!p->on)
        return;
    double one = slm_session_cost(p->s, 1), most = 3 * slm_session_cost(p->s, guesses + 1);
    p->spent += seconds + p->draft_run;
    if (!guesses) {
        p->saved -= p->draft_run;
        return;
    }
    for (int i = 0; i < guesses && i <= right; i++)
        count(&p->odds[p->kind[i + 1]], i < right);
    /* the machine's own hiccups are nobody's fault */
    seconds = seconds < most ? seconds : most;
    p->saved += one * (right + 1) - seconds - p->draft_run;
    /* what was won long ago is no reason to lose now */
    p->saved = p->saved < 8 * one ? p->saved : 8 * one;
    p->pause = right ? FIRST_PAUSE : p->pause < LONGEST_PAUSE ? 2 * p->pause : LONGEST_PAUSE;
    p->rest = right ? 0 : p->pause;
}
