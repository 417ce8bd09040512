/* slm loss: preference losses of pairs, with the log-probabilities they are made of, for checks
 * from outside. */
#include "cli.h"

#include <math.h>

struct args {
    struct slm_cli_common common;
    struct slm_cli_model_args model;
    const char *pairs, *lora, *reference;
    slm_prefer_opts o;
};

#define F(field) offsetof(struct args, field)
static const struct slm_cli_opt opts[] = {
    SLM_CLI_GROUP(slm_cli_model_opts, F(model), NULL),
    SLM_CLI_CHOICE(0, "kind", F(o.kind), "dpo ipo orpo simpo kto", "which loss"),
    SLM_CLI_VALUE(OPT_FILE, 0, "pairs", F(pairs), "FILE",
                  "JSON: a list of {\"prompt\", \"chosen\", \"rejected\"}, each ids or a text"),
    SLM_CLI_VALUE(OPT_FILE, 0, "lora", F(lora), "ADAPTER",
                  "the policy is MODEL with this adapter, its reference MODEL without"),
    SLM_CLI_VALUE(OPT_FILE, 0, "reference", F(reference), "MODEL",
                  "the reference is this model (default: MODEL itself)"),
    SLM_CLI_FLOAT(0, "beta", F(o.beta), "X", 1e-6, 1e6,
                  "how far the policy may leave its reference (default: 0.1; simpo: 2)"),
    SLM_CLI_FLOAT(0, "lambda", F(o.lambda), "X", 0, 1e6,
                  "orpo: what the odds count beside the text (default: 0.1)"),
    SLM_CLI_FLOAT(0, "gamma", F(o.gamma), "X", 0, 1e6,
                  "simpo: the margin that is asked for (default: 0.5)"),
    SLM_CLI_FLOAT(0, "desirable-weight", F(o.desirable), "X", 0, 1e6,
                  "kto: what chosen answers count (default: 1)"),
    SLM_CLI_FLOAT(0, "undesirable-weight", F(o.undesirable), "X", 0, 1e6,
                  "kto: what rejected answers count (default: 1)"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

static void defaults(void *p) { slm_prefer_opts_init(&((struct args *)p)->o); }

static void put_list(struct slm_cli_json *j, const char *key, const double *v, int n)
{
    if (!v)
        return;
    slm_js_key(j, key);
    slm_js_open(j, '[');
    for (int i = 0; i < n; i++)
        slm_js_real(j, v[i]);
    slm_js_close(j, ']');
}

static void report_json(const slm_prefer_result *r, const char *kind)
{
    struct slm_cli_json j = {.f = stdout};
    slm_js_open(&j, '{');
    slm_js_kstr(&j, "kind", kind);
    slm_js_kreal(&j, "loss", r->loss);
    put_list(&j, "each", r->each, r->n_each);
    slm_js_key(&j, "logps");
    slm_js_open(&j, '{');
    put_list(&j, "policy_chosen", r->policy_chosen, r->pairs);
    put_list(&j, "policy_rejected", r->policy_rejected, r->pairs);
    put_list(&j, "reference_chosen", r->reference_chosen, r->pairs);
    put_list(&j, "reference_rejected", r->reference_rejected, r->pairs);
    put_list(&j, "policy_kl", r->policy_kl, 2 * r->pairs);
    put_list(&j, "reference_kl", r->reference_kl, 2 * r->pairs);
    if (!isnan(r->kto_kl))
        slm_js_kreal(&j, "kto_kl", r->kto_kl);
    if (!isnan(r->orpo_nll))
        slm_js_kreal(&j, "orpo_nll", r->orpo_nll);
    slm_js_close(&j, '}');
    slm_js_close(&j, '}');
}

static void report(const slm_prefer_result *r, const char *kind)
{
    bool refers = r->reference_chosen != NULL;
    printf("%6s %14s %14s%s\n", "pair", "chosen", "rejected",
           refers ? " reference: chosen       rejected" : "");
    for (int i = 0; i < r->pairs; i++) {
        printf("%6d %14.6f %14.6f", i, r->policy_chosen[i], r->policy_rejected[i]);
        if (refers)
            printf("      %13.6f %14.6f", r->reference_chosen[i], r->reference_rejected[i]);
        printf("\n");
    }
    printf("%s %.9g\n", kind, r->loss);
}

static int measure(struct slm_cli *c, const struct args *a, slm_prefer_policy *policy,
                   slm_err *err)
{
    slm_pairs *pairs = NULL;
    slm_prefer_result r = {0};
    int code = slm_pairs_load(&pairs, policy->m, a->pairs, err);
    if (!code && slm_prefer_kind_refers(a->o.kind) && !policy->adapter && !policy->reference)
        slm_cli_say(c, "no --lora and no --reference: the model is its own reference");
    if (!code)
        code = slm_prefer_measure(&r, policy, pairs, &a->o, err);
    if (!code && a->common.json)
        report_json(&r, a->o.kind);
    else if (!code)
        report(&r, a->o.kind);
    slm_prefer_result_release(&r);
    slm_pairs_free(pairs);
    return code;
}

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    const struct args *a = p;
    slm_model *m = NULL, *reference = NULL;
    slm_adapter *adapter = NULL;
    slm_model_opts mo;
    slm_model_opts_init(&mo);
    mo.allow_no_tokenizer = 1;
    if (!a->o.kind || !a->pairs)
        return slm_cli_fail(err, SLM_E_ARG, "%s is missing",
                            a->pairs ? "--kind WORD" : "--pairs FILE");
    int code = slm_cli_model_open(c, &m, &a->model, &mo, false, err);
    if (!code && a->lora)
        code = slm_adapter_open(&adapter, m, a->lora, err);
    if (!code && a->reference)
        code = slm_model_open(&reference, c->rt, a->reference, &mo, err);
    slm_prefer_policy policy = {m, adapter, reference};
    if (!code)
        code = measure(c, a, &policy, err);
    slm_adapter_close(&adapter);
    slm_model_close(&reference);
    slm_model_close(&m);
    return code;
}

extern const struct slm_cli_command slm_cmd_loss;
const struct slm_cli_command slm_cmd_loss = {
    .name = "loss",
    .run = run,
    .args = "MODEL",
    .summary = "preference losses of pairs of answers",
    .about =
        "Computes log-probabilities of the chosen and the rejected answers in --pairs, and "
        "the loss that training on preferences would lower (slm train --loss). The "
        "reference is MODEL without --lora, or --reference.",
    .examples = "slm loss ./model --kind dpo --lora ./adapter --pairs pairs.json --json\n"
                "slm loss ./tuned --reference ./model --kind ipo --pairs pairs.json",
    .opts = opts,
    .defaults = defaults,
    .size = sizeof(struct args),
    .model = 1,
};
