/* What slm train says: the plan, and each event as talk, as JSON lines, and in a log. */
#include "cli_train.h"

#include <math.h>
#include <string.h>

/* ---- the plan ---- */

void slm_cli_train_plan(struct slm_cli *c, const slm_train_plan *p)
{
    char s[8][32];
    long eta = (long)(p->seconds + .5);
    slm_cli_say(c, "learns %.2f M of %.2f M weights (%d tensors), %s, products in %s",
                (double)p->trained * 1e-6, (double)p->params * 1e-6, p->tensors, p->optimizer,
                p->precision);
    slm_cli_say(c,
                "%lld steps of %lld tokens (%d x %d rows of %d), %lld tokens; about "
                "%ld:%02ld:%02ld",
                (long long)(p->steps - p->steps_done), (long long)p->tokens_step, p->accumulate,
                p->batch, p->seq, (long long)p->tokens, eta / 3600, eta / 60 % 60, eta % 60);
    slm_cli_say(c,
                "memory: weights %s, mapped %s, gradients %s, states %s%s, activations %s, "
                "other %s: peak %s of %s",
                slm_cli_size(s[0], (double)p->weights), slm_cli_size(s[1], (double)p->mapped),
                slm_cli_size(s[2], (double)p->gradients), slm_cli_size(s[3], (double)p->states),
                p->states_mapped ? " (in a file)" : "",
                slm_cli_size(s[4], (double)p->activations),
                slm_cli_size(s[5], (double)p->other), slm_cli_size(s[6], (double)p->peak),
                slm_cli_size(s[7], (double)p->available));
    if (*p->choice)
        slm_cli_say(c, "to fit: %s", p->choice);
}

void slm_cli_train_plan_json(const slm_train_plan *p)
{
    struct slm_cli_json j = {.f = stdout};
    slm_js_open(&j, '{');
    slm_js_kstr(&j, "event", "plan");
    slm_js_kint(&j, "params", (int64_t)p->params);
    slm_js_kint(&j, "trained", (int64_t)p->trained);
    slm_js_kint(&j, "tensors", p->tensors);
    slm_js_kstr(&j, "optimizer", p->optimizer);
    slm_js_kstr(&j, "precision", p->precision);
    slm_js_kint(&j, "batch", p->batch);
    slm_js_kint(&j, "accumulate", p->accumulate);
    slm_js_kint(&j, "seq", p->seq);
    slm_js_kint(&j, "stretch", p->stretch);
    slm_js_kint(&j, "steps", p->steps);
    slm_js_kint(&j, "steps_done", p->steps_done);
    slm_js_kint(&j, "tokens", p->tokens);
    slm_js_kint(&j, "weights_bytes", (int64_t)p->weights);
    slm_js_kint(&j, "mapped_bytes", (int64_t)p->mapped);
    slm_js_kint(&j, "gradients_bytes", (int64_t)p->gradients);
    slm_js_kint(&j, "states_bytes", (int64_t)p->states);
    slm_js_kint(&j, "activations_bytes", (int64_t)p->activations);
    slm_js_kint(&j, "other_bytes", (int64_t)p->other);
    slm_js_kint(&j, "peak_bytes", (int64_t)p->peak);
    slm_js_kint(&j, "available_bytes", (int64_t)p->available);
    slm_js_kint(&j, "disk_bytes", (int64_t)p->disk);
    slm_js_kreal(&j, "flops_token", p->flops_token);
    slm_js_kreal(&j, "seconds", p->seconds);
    slm_js_kstr(&j, "choice", p->choice);
    slm_js_close(&j, '}');
}

/* ---- events ---- */

static void put_event(const slm_train_event *e)
{
    static const char *const names[] = {"step", "eval", "sample", "checkpoint", "note", "done"};
    struct slm_cli_json j = {.f = stdout};
    if (e->kind == SLM_TRAIN_SAMPLE)
        return;
    slm_js_open(&j, '{');
    if (e->kind != SLM_TRAIN_STEP) /* a line with "loss" is a step */
        slm_js_kstr(&j, "event", names[e->kind]);
    slm_js_kint(&j, "step", e->step);
    if (e->kind == SLM_TRAIN_STEP) {
        slm_js_kreal(&j, "loss", e->loss);
        slm_js_kreal(&j, "grad_norm", e->grad_norm);
        slm_js_kreal(&j, "lr", e->lr);
        if (!isnan(e->margin)) {
            slm_js_kreal(&j, "rewards_chosen", e->chosen);
            slm_js_kreal(&j, "rewards_rejected", e->rejected);
            slm_js_kreal(&j, "accuracy", e->right);
            slm_js_kreal(&j, "margin", e->margin);
        }
    }
    if (e->kind == SLM_TRAIN_EVAL) {
        slm_js_kreal(&j, "eval_loss", e->loss);
        slm_js_kreal(&j, "best", e->best);
    }
    slm_js_kint(&j, "tokens", e->tokens);
    slm_js_kreal(&j, "epoch", e->epoch);
    slm_js_kreal(&j, "seconds", e->seconds);
    if (e->path)
        slm_js_kstr(&j, "path", e->path);
    if (e->text)
        slm_js_kstr(&j, "text", e->text);
    slm_js_close(&j, '}');
    fflush(stdout);
}

static void talk(struct slm_cli_train_watch *w, const slm_train_event *e)
{
    long eta = (long)(e->eta + .5);
    double now = slm_cli_seconds();
    switch (e->kind) {
    case SLM_TRAIN_STEP:
        if (now - w->said < 10 && e->step != 1 && e->step != e->steps)
            break;
        w->said = now;
        slm_cli_say(w->c,
                    "step %lld of %lld: loss %.4f, norm %.3f, lr %.3g, %.0f tok/s, %ld:%02ld:"
                    "%02ld left",
                    (long long)e->step, (long long)e->steps, e->loss, e->grad_norm, e->lr,
                    e->tokens_s, eta / 3600, eta / 60 % 60, eta % 60);
        if (!isnan(e->margin))
            slm_cli_say(w->c, "rewards: chosen %.4f, rejected %.4f, margin %.4f", e->chosen,
                        e->rejected, e->margin);
        break;
    case SLM_TRAIN_EVAL:
        slm_cli_say(w->c, "step %lld: held-out loss %.4f%s", (long long)e->step, e->loss,
                    e->best_now ? ", the best so far" : "");
        break;
    case SLM_TRAIN_NOTE: slm_cli_say(w->c, "%s", e->text); break;
    case SLM_TRAIN_DONE:
        if (e->path)
            slm_cli_say(w->c, "%s written, %.1f s", e->path, e->seconds);
        break;
    case SLM_TRAIN_CHECKPOINT:
        slm_cli_tell(w->c, "step %lld: checkpoint in %s", (long long)e->step, e->path);
        break;
    case SLM_TRAIN_SAMPLE: break;
    }
}

/* ---- samples ---- */

/* What the model goes on with behind a prompt, at temperature 0. */
static int one_sample(struct slm_cli_train_watch *w, slm_session *s, const char *prompt,
                      slm_text *text, slm_err *err)
{
    slm_ids ids = {0};
    slm_sampler *sampler = NULL;
    slm_sampler_opts so;
    slm_generate_opts o;
    slm_model_info i;
    slm_model_info_get(w->m, &i);
    slm_sampler_opts_init(&so);
    slm_generate_opts_init(&o);
    so.temp = 0;
    o.max_tokens = w->a->sample_tokens;
    o.continues = 1;
    int code = slm_cli_encode(w->m, prompt, strlen(prompt),
                              SLM_ENCODE_AFFIXES | SLM_ENCODE_SPECIAL, &ids, err);
    if (!code)
        code = slm_sampler_new(&sampler, w->c->rt, i.vocab, NULL, &so, err);
    if (!code)
        code = slm_generate(s, sampler, ids.data, (int)ids.len, &o, NULL, text, NULL, err);
    slm_sampler_free(sampler);
    slm_ids_release(&ids);
    return code;
}

static void put_sample(const slm_train_event *e, const char *prompt, const slm_text *text)
{
    struct slm_cli_json j = {.f = stdout};
    slm_js_open(&j, '{');
    slm_js_kstr(&j, "event", "sample");
    slm_js_kint(&j, "step", e->step);
    slm_js_kstr(&j, "prompt", prompt);
    slm_js_key(&j, "text");
    slm_js_str(&j, text->data ? text->data : "", text->len);
    slm_js_close(&j, '}');
    fflush(stdout);
}

/* A sample that fails is told and stops nothing. */
static void samples(struct slm_cli_train_watch *w, const slm_train_event *e)
{
    slm_session *s = NULL;
    slm_session_opts o;
    slm_err err = {0};
    const struct slm_cli_list *p = &w->a->prompts;
    if (!p->n || w->c->mute)
        return;
    slm_session_opts_init(&o);
    o.context = 512 + w->a->sample_tokens;
    o.batch = 128;
    o.adapter = w->a->o.adapter;
    int code = slm_session_open(&s, w->m, &o, &err);
    for (int i = 0; i < p->n && !code; i++) {
        slm_text text = {0};
        code = one_sample(w, s, p->item[i], &text, &err);
        if (!code && w->c->common->json)
            put_sample(e, p->item[i], &text);
        if (!code)
            slm_cli_say(w->c, "sample: %.200s|%.600s", p->item[i], text.data ? text.data : "");
        if (!code)
            slm_cli_log_sample(&w->log, e->step, p->item[i], text.data ? text.data : "");
        slm_text_release(&text);
    }
    if (code)
        slm_cli_say(w->c, "no sample: %s", err.msg);
    slm_session_close(&s);
}

int slm_cli_train_event(void *arg, const slm_train_event *e)
{
    struct slm_cli_train_watch *w = arg;
    if (w->c->common->json)
        put_event(e);
    slm_cli_progress_end(&w->bar);
    talk(w, e);
    slm_cli_log_event(&w->log, e);
    if (e->kind == SLM_TRAIN_SAMPLE)
        samples(w, e);
    slm_cli_progress_step(&w->bar, (uint64_t)e->step, (uint64_t)e->steps);
    return slm_cli_interrupted();
}
