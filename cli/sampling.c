/* Sampling options, the same for every command that generates. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define F(field) offsetof(struct slm_cli_sampling, field)
const struct slm_cli_opt slm_cli_sampling_opts[] = {
    SLM_CLI_FLOAT(0, "temp|temperature", F(o.temp), "T", 0, 1e6,
                  "temperature; 0 takes the likeliest (default: 0.8)"),
    SLM_CLI_INT(0, "top-k", F(o.top_k), "N", 0, 2147483647,
                "keep the N likeliest; 0: off (default: 40)"),
    SLM_CLI_FLOAT(0, "top-p", F(o.top_p), "P", 0, 1,
                  "keep the likeliest that together reach P; 1: off (default: 0.95)"),
    SLM_CLI_FLOAT(
        0, "min-p", F(o.min_p), "P", 0, 1,
        "drop what is less likely than P times the likeliest; 0: off (default: 0.05)"),
    SLM_CLI_FLOAT(0, "typical|typical-p", F(o.typical_p), "P", 0, 1,
                  "locally typical sampling; 1: off (default: 1)"),
    SLM_CLI_VALUE(OPT_U64, 's', "seed", F(o.seed), "N",
                  "seed; -1: another each time (default: -1)"),
    SLM_CLI_FLOAT(0, "repeat-penalty", F(o.repeat_penalty), "R", 1e-6, 1e6,
                  "divide the logits of tokens seen by R; 1: off (default: 1)"),
    SLM_CLI_FLOAT(0, "presence-penalty", F(o.presence_penalty), "X", -1e6, 1e6,
                  "take X off the logits of tokens seen (default: 0)"),
    SLM_CLI_FLOAT(0, "frequency-penalty", F(o.frequency_penalty), "X", -1e6, 1e6,
                  "take X off for each time seen (default: 0)"),
    SLM_CLI_INT(0, "repeat-last-n|penalty-last-n", F(o.penalty_last_n), "N", -1, 1 << 24,
                "tokens that penalties look back on; -1: all (default: 64)"),
    SLM_CLI_FLOAT(0, "dry-multiplier", F(o.dry_multiplier), "X", 0, 1e6,
                  "DRY: strength of the penalty on repeated sequences; 0: off (default: 0)"),
    SLM_CLI_FLOAT(0, "dry-base", F(o.dry_base), "B", 1, 1e6,
                  "DRY: base of its growth (default: 1.75)"),
    SLM_CLI_INT(0, "dry-allowed-length", F(o.dry_allowed_length), "N", 1, 1 << 24,
                "DRY: repetitions this long are free (default: 2)"),
    SLM_CLI_INT(0, "dry-penalty-last-n|dry-last-n", F(o.dry_last_n), "N", -1, 1 << 24,
                "DRY: tokens to look back on; -1: all (default: -1)"),
    SLM_CLI_VALUE(OPT_LIST, 0, "dry-sequence-breaker", F(breakers), "TEXT",
                  "DRY: a text that ends repetitions; again for more; none: no breakers "
                  "(default: newline : \" *)"),
    SLM_CLI_FLOAT(0, "xtc-probability", F(o.xtc_probability), "P", 0, 1,
                  "XTC: how often to drop the likeliest; 0: off (default: 0)"),
    SLM_CLI_FLOAT(0, "xtc-threshold", F(o.xtc_threshold), "P", 0, 1,
                  "XTC: what is likely; above 0.5: off (default: 0.1)"),
    SLM_CLI_INT(0, "mirostat", F(o.mirostat), "N", 0, 2,
                "2: mirostat 2 instead of the filters; 0: off (default: 0)"),
    SLM_CLI_FLOAT(0, "mirostat-ent|mirostat-tau", F(o.mirostat_tau), "X", 0, 1e6,
                  "mirostat: surprise to aim at, in bits (default: 5)"),
    SLM_CLI_FLOAT(0, "mirostat-lr|mirostat-eta", F(o.mirostat_eta), "X", 0, 1e6,
                  "mirostat: its rate (default: 0.1)"),
    SLM_CLI_VALUE(OPT_LIST, 'l', "logit-bias", F(bias), "ID+X",
                  "add X to the logit of a token, ID-inf bans it; again for more"),
    SLM_CLI_VALUE(
        OPT_TEXT, 0, "samplers", F(o.order), "A;B;...",
        "what to apply, in this order (default: penalties dry top_k typ_p top_p min_p "
        "xtc temperature)"),
    SLM_CLI_INT(0, "min-keep", F(o.min_keep), "N", 0, 2147483647,
                "candidates that filters must leave (default: 1)"),
    SLM_CLI_END,
};
#undef F

void slm_cli_sampling_init(struct slm_cli_sampling *s)
{
    *s = (struct slm_cli_sampling){0};
    slm_sampler_opts_init(&s->o);
    s->o.temp = s->o.top_p = s->o.min_p = s->o.repeat_penalty = NAN;
    s->o.top_k = -1;
    s->o.seed = UINT64_MAX;
}

static int parse_bias(const char *text, slm_logit_bias *b, slm_err *err)
{
    char *end;
    long id = strtol(text, &end, 10);
    bool sign = end != text && (*end == '+' || *end == '-' || *end == '=');
    const char *num = sign && *end == '=' ? end + 1 : end;
    float x = sign ? strtof(num, &end) : 0;
    if (!sign || end == num || *end || id < 0 || id > INT32_MAX || isnan(x))
        return slm_cli_fail(err, SLM_E_ARG,
                            "--logit-bias: '%.40s' is not of the form ID+X, ID-X or ID-inf",
                            text);
    *b = (slm_logit_bias){(int32_t)id, x};
    return 0;
}

/* The list as strings one behind the other, ended by an empty one. */
static int join_breakers(const struct slm_cli_list *l, char *out, size_t room, slm_err *err)
{
    size_t at = 0;
    for (int i = 0; i < l->n; i++) {
        size_t n = strlen(l->item[i]);
        if (!strcmp(l->item[i], "none"))
            continue;
        if (!n || n + 2 > room - at)
            return slm_cli_fail(err, SLM_E_ARG,
                                "--dry-sequence-breaker: an empty text, or too much of it");
        memcpy(out + at, l->item[i], n + 1);
        at += n + 1;
    }
    out[at] = 0;
    return 0;
}

int slm_cli_sampler_open(struct slm_cli *c, slm_sampler **out, const slm_model *m,
                         const struct slm_cli_sampling *s, int context, slm_err *err)
{
    slm_sampler_opts o = s->o, d;
    slm_model_defaults w = {.temp = NAN, .top_p = NAN, .min_p = NAN, .repeat_penalty = NAN};
    slm_logit_bias bias[SLM_CLI_LIST_MAX];
    char breakers[1024];
    int code = 0;
    slm_sampler_opts_init(&d);
    if (!(o.temp < 1e-6f))
        slm_model_defaults_get(m, &w);
    o.temp = !isnan(o.temp) ? o.temp : !isnan(w.temp) ? w.temp : d.temp;
    o.top_p = !isnan(o.top_p) ? o.top_p : !isnan(w.top_p) ? w.top_p : d.top_p;
    o.min_p = !isnan(o.min_p) ? o.min_p : !isnan(w.min_p) ? w.min_p : d.min_p;
    o.repeat_penalty = !isnan(o.repeat_penalty) ? o.repeat_penalty
                     : w.repeat_penalty > 0 ? w.repeat_penalty : d.repeat_penalty;
    o.top_k = o.top_k >= 0 ? o.top_k : w.top_k > 0 ? w.top_k : d.top_k;
    if (o.seed == UINT64_MAX)
        o.seed = slm_cli_entropy();
    for (int i = 0; i < s->bias.n && !code; i++)
        code = parse_bias(s->bias.item[i], &bias[i], err);
    o.bias = bias;
    o.n_bias = s->bias.n;
    if (!code && s->breakers.n)
        code = join_breakers(&s->breakers, breakers, sizeof breakers, err);
    if (s->breakers.n)
        o.dry_breakers = breakers;
    o.context = context;
    slm_model_info i;
    slm_model_info_get(m, &i);
    if (code)
        return code;
    slm_cli_tell(
        c,
        "sampling: temperature %g, top-k %d, top-p %g, min-p %g, repeat penalty %g, seed %llu",
        (double)o.temp, o.top_k, (double)o.top_p, (double)o.min_p, (double)o.repeat_penalty,
        (unsigned long long)o.seed);
    return slm_sampler_new(out, c->rt, i.vocab, slm_model_tokenizer(m), &o, err);
}
