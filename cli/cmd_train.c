/* slm train: options, the plan on stderr, events as lines, JSON or a log. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

struct args {
    struct slm_cli_common common;
    struct slm_cli_model_args model;
    slm_train_opts o;
    slm_model_shape shape;
    const char *ids_file;
    const char *log;
    int steps, batch, eps_set, dry_run;
    float epochs, memory;
};

#define F(field) offsetof(struct args, field)
static const struct slm_cli_opt data_opts[] = {
    SLM_CLI_VALUE(OPT_FILE, 0, "ids-file", F(ids_file), "FILE",
                  "ids, in rows of --seq in their order, cycled"),
    SLM_CLI_END,
};
static const struct slm_cli_opt batch_opts[] = {
    SLM_CLI_INT(0, "seq|max-seq-length", F(o.seq), "N", 2, 1 << 24,
                "most tokens of a row (default: the model's context, at most 2048)"),
    SLM_CLI_INT(0, "batch|batch-size", F(batch), "N", 1, 1 << 20,
                "rows of a micro-batch (default: as fits, about 4096 tokens)"),
    SLM_CLI_INT(0, "accumulate|gradient-accumulation-steps", F(o.accumulate), "N", 1, 1 << 20,
                "micro-batches of a step (default: 1)"),
    SLM_CLI_INT(0, "steps|max-steps", F(steps), "N", 1, 1 << 30,
                "steps (default: as --epochs says)"),
    SLM_CLI_FLOAT(0, "epochs|num-epochs", F(epochs), "X", 0, 1e6,
                  "times over the data (default: 1)"),
    SLM_CLI_VALUE(OPT_U64, 0, "seed", F(o.seed), "N", "of order and dropout (default: 1)"),
    SLM_CLI_END,
};
static const struct slm_cli_opt optim_opts[] = {
    SLM_CLI_VALUE(OPT_TEXT, 0, "optimizer|optim", F(o.optimizer), "NAME",
                  "adamw, adamw8, lion or muon (default: adamw)"),
    SLM_CLI_FLOAT(0, "lr|learning-rate", F(o.lr), "X", 0, 100,
                  "learning rate (default: the optimiser's usual)"),
    SLM_CLI_FLOAT(0, "beta1", F(o.beta1), "X", 0, .999999, "of the mean of gradients"),
    SLM_CLI_FLOAT(0, "beta2", F(o.beta2), "X", 0, .9999999, "of the mean of their squares"),
    SLM_CLI_FLOAT(0, "eps", F(o.eps), "X", 0, 1, "added to their root"),
    SLM_CLI_FLOAT(0, "momentum", F(o.momentum), "X", 0, .999999, "of muon (default: 0.95)"),
    SLM_CLI_FLOAT(0, "weight-decay", F(o.weight_decay), "X", 0, 1000,
                  "of matrices, times the learning rate"),
    SLM_CLI_FLOAT(0, "clip|max-grad-norm", F(o.clip), "X", 0, 1e30,
                  "most norm of all gradients together; 0: any (default: 1)"),
    SLM_CLI_CHOICE(0, "schedule|lr-scheduler", F(o.schedule), "constant linear cosine wsd",
                   "of the learning rate (default: cosine)"),
    SLM_CLI_FLOAT(
        0, "warmup|warmup-steps", F(o.warmup), "X", 0, 1e12,
        "steps in which it rises; below 1: share of all (default: 0.03; constant: 0)"),
    SLM_CLI_FLOAT(0, "min-lr", F(o.min_lr), "SHARE", 0, 1,
                  "share of it that linear, cosine and wsd end at (default: 0.1)"),
    SLM_CLI_FLOAT(0, "decay-share", F(o.decay_share), "SHARE", 0, 1,
                  "wsd: last share of the steps, in which it falls (default: 0.2)"),
    SLM_CLI_CHOICE(0, "precision", F(o.precision), "f32 bf16 auto",
                   "of matrix products; sums are float32 (default: auto)"),
    SLM_CLI_END,
};
static const struct slm_cli_opt memory_opts[] = {
    SLM_CLI_FLAG(0, "dry-run", F(dry_run), "tell the plan, and stop"),
    SLM_CLI_FLOAT(0, "memory", F(memory), "GIB", 0, 1e6,
                  "memory it may take (default: what is free)"),
    SLM_CLI_INT(0, "stretch", F(o.stretch), "N", 0, 4096,
                "layers computed again together on the way back, which saves memory; 0: none "
                "(default: as memory asks)"),
    SLM_CLI_VALUE(OPT_FILE, 0, "states-file", F(o.states_file), "FILE",
                  "optimiser states live in this file, not in memory"),
    SLM_CLI_END,
};
static const struct slm_cli_opt out_opts[] = {
    SLM_CLI_VALUE(OPT_FILE, 'o', "output|output-dir", F(o.out), "DIR",
                  "folder of the checkpoint and of the finished model"),
    SLM_CLI_CHOICE(0, "save-type", F(o.save_type), "f32 bf16 f16",
                   "element type of the finished model (default: as the model came)"),
    SLM_CLI_VALUE(OPT_FILE, 0, "gguf", F(o.gguf), "FILE", "write it as this GGUF file too"),
    SLM_CLI_INT(0, "save-every|save-steps", F(o.save_every), "N", 0, 1 << 30,
                "steps between checkpoints (default: at the end, and when stopped)"),
    SLM_CLI_FLAG(0, "resume", F(o.resume), "go on from the checkpoint in -o"),
    SLM_CLI_INT(0, "eval-every|eval-steps", F(o.eval_every), "N", 0, 1 << 30,
                "steps between evals (default: at the end)"),
    SLM_CLI_INT(0, "patience", F(o.patience), "N", 0, 1 << 30,
                "stop after so many evals without a new best; 0: never (default: 0)"),
    SLM_CLI_FLAG(0, "keep-last", F(o.keep_last), "keep the last weights, not the best by eval"),
    SLM_CLI_END,
};
static const struct slm_cli_opt opts[] = {
    SLM_CLI_GROUP(slm_cli_model_opts, F(model), NULL),
    SLM_CLI_GROUP(data_opts, 0, "Data"),
    SLM_CLI_GROUP(batch_opts, 0, "Batches"),
    SLM_CLI_GROUP(optim_opts, 0, "Optimiser"),
    SLM_CLI_GROUP(memory_opts, 0, "Plan"),
    SLM_CLI_GROUP(out_opts, 0, "Result"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

/* ---- the plan ---- */

static void tell_plan(struct slm_cli *c, const slm_train_plan *p)
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

static void put_plan(const slm_train_plan *p)
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

struct watch {
    struct slm_cli *c;
    const struct args *a;
    struct slm_cli_progress bar;
    double said; /* when a line of talk was last written */
};

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

static void talk(struct watch *w, const slm_train_event *e)
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

static int on_event(void *arg, const slm_train_event *e)
{
    struct watch *w = arg;
    if (w->a->common.json)
        put_event(e);
    slm_cli_progress_end(&w->bar);
    talk(w, e);
    slm_cli_progress_step(&w->bar, (uint64_t)e->step, (uint64_t)e->steps);
    return slm_cli_interrupted();
}

/* ---- the run ---- */

static int train(struct slm_cli *c, struct args *a, slm_model *m, slm_err *err)
{
    slm_train *t = NULL;
    slm_train_plan plan;
    struct watch w = {.c = c, .a = a};
    slm_cli_catch_interrupt();
    a->o.event = on_event;
    a->o.event_arg = &w;
    int code = slm_train_open(&t, m, &a->o, err);
    if (code)
        return code;
    slm_train_plan_get(t, &plan);
    tell_plan(c, &plan);
    if (a->dry_run && a->common.json)
        put_plan(&plan);
    slm_cli_progress_start(&w.bar, c, "train", "step");
    if (!a->dry_run)
        code = slm_train_run(t, err);
    slm_cli_progress_end(&w.bar);
    slm_train_close(&t);
    return code;
}

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    struct args *a = p;
    slm_model *m = NULL;
    slm_ids ids = {0};
    slm_model_opts mo;
    slm_model_opts_init(&mo);
    mo.allow_no_tokenizer = 1;
    a->o.batch = a->batch;
    a->o.steps = a->steps;
    a->o.epochs = (double)a->epochs;
    a->o.memory = (uint64_t)((double)a->memory * 0x1p30);
    if (!a->ids_file)
        return slm_cli_fail(err, SLM_E_ARG, "--ids-file FILE is missing");
    int code = slm_cli_model_open(c, &m, &a->model, &mo, false, err);
    if (!code)
        code = slm_cli_read_ids(&ids, c->rt, a->ids_file, err);
    a->o.ids = ids.data;
    a->o.n_ids = ids.len;
    if (!code)
        code = train(c, a, m, err);
    slm_ids_release(&ids);
    slm_model_close(&m);
    return code;
}

static void defaults(void *p)
{
    struct args *a = p;
    slm_train_opts_init(&a->o);
    slm_model_shape_init(&a->shape);
}

extern const struct slm_cli_command slm_cmd_train;
const struct slm_cli_command slm_cmd_train = {
    .name = "train",
    .run = run,
    .args = "MODEL",
    .summary = "train a model",
    .about = "Tells the plan (what learns, memory, time), then trains.",
    .examples = "slm train ./model-folder --ids-file ids.txt --steps 100 -o tuned",
    .opts = opts,
    .size = sizeof(struct args),
    .defaults = defaults,
    .model = 1,
};
