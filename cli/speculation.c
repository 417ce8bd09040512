/* The options of speculation, and the smaller model that they may name. */
#include "cli.h"

#define F(field) offsetof(struct slm_cli_speculation, field)
const struct slm_cli_opt slm_cli_speculation_opts[] = {
    SLM_CLI_CHOICE(0, "speculate", F(how), "on off always",
                   "guess tokens ahead where that pays: the same text, sooner (default: on); "
                   "always: whatever it costs"),
    SLM_CLI_FLAG(0, "no-speculate", F(off), "the same as --speculate off"),
    SLM_CLI_VALUE(OPT_FILE, 0, "draft-model|model-draft|md", F(draft), "MODEL",
                  "a smaller model of the same vocabulary that guesses too (also -md)"),
    SLM_CLI_INT(0, "draft-max|draft|draft-n", F(most), "N", 0, 47,
                "guesses at most at a time (default: as many as pay)"),
    SLM_CLI_INT(0, "draft-min|draft-n-min", F(least), "N", 0, 47,
                "do not try with fewer guesses (default: 0)"),
    SLM_CLI_END,
};
#undef F

static bool is_off(const struct slm_cli_speculation *a)
{
    return a->off || (a->how && a->how[1] == 'f');
}

int slm_cli_draft_open(struct slm_cli *c, struct slm_cli_draft *d,
                       const struct slm_cli_speculation *a, const slm_session *s, slm_err *err)
{
    slm_model_info i;
    slm_session_opts o;
    char size[32];
    if (a->off && a->how && !is_off(&(struct slm_cli_speculation){.how = a->how}))
        return slm_cli_fail(err, SLM_E_ARG, "--speculate %s and --no-speculate", a->how);
    if (is_off(a) && (a->draft || a->most || a->least))
        return slm_cli_fail(err, SLM_E_ARG, "%s without speculation",
                            a->draft  ? "--draft-model"
                            : a->most ? "--draft-max"
                                      : "--draft-min");
    if (a->most && a->least > a->most)
        return slm_cli_fail(err, SLM_E_ARG, "--draft-min %d is more than --draft-max %d",
                            a->least, a->most);
    if (!a->draft)
        return 0;
    slm_model_opts mo;
    slm_model_opts_init(&mo);
    mo.allow_no_tokenizer = 1;
    int code = slm_model_open(&d->model, c->rt, a->draft, &mo, err);
    if (code)
        return code;
    slm_model_info_get(d->model, &i);
    slm_session_opts_init(&o);
    o.context = slm_session_context(s);
    slm_cli_tell(c, "draft model %s (%s): %.1f M weights, %s", i.name, i.family,
                 (double)i.params * 1e-6, slm_cli_size(size, (double)i.bytes));
    return slm_session_open(&d->session, d->model, &o, err);
}

void slm_cli_draft_close(struct slm_cli_draft *d)
{
    slm_session_close(&d->session);
    slm_model_close(&d->model);
}

void slm_cli_speculate(slm_generate_opts *o, const struct slm_cli_speculation *a,
                       const struct slm_cli_draft *d)
{
    o->speculate = is_off(a) ? 0 : a->how && a->how[0] == 'a' ? 2 : 1;
    o->draft = d->session;
    o->draft_max = a->most;
    o->draft_min = a->least;
}

const char *slm_cli_guesses(char buf[64], const slm_generate_stats *st)
{
    buf[0] = 0;
    if (st->drafted)
        snprintf(buf, 64, "; %d of %d guesses right", st->accepted, st->drafted);
    return buf;
}
