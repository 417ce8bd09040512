/* slm train: its options, and a run from the model (or a new one) to what was learnt. */
#include "cli_train.h"

#include <stdlib.h>
#include <string.h>

#define F(field) offsetof(struct slm_cli_train, field)
static const struct slm_cli_opt data_opts[] = {
    SLM_CLI_VALUE(OPT_LIST, 'd', "data|dataset", F(data), "FILE",
                  "files or folders of JSONL, JSON, CSV or text (may be given several times)"),
    SLM_CLI_VALUE(OPT_LIST, 0, "eval-data|val-data", F(eval), "FILE",
                  "held-out data, for the loss on what was not learnt"),
    SLM_CLI_VALUE(OPT_FILE, 0, "ids-file", F(ids_file), "FILE",
                  "ids instead, in rows of --seq in their order, cycled"),
    SLM_CLI_CHOICE(0, "format", F(format),
                   "auto messages sharegpt alpaca prompt preference kto text",
                   "what the rows are (default: as their fields say)"),
    SLM_CLI_VALUE(OPT_LIST, 0, "map", F(map), "FIELD=NAME", "the field is named so here"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "separator", F(separator), "TEXT",
                  "what parts documents in text files: blank, line, or itself"),
    SLM_CLI_CHOICE(0, "train-on", F(train_on), "auto assistant last completion all",
                   "what of a row is learnt (default: answers; all of texts)"),
    SLM_CLI_CHOICE(0, "too-long", F(too_long), "auto drop truncate split error",
                   "rows longer than --seq (default: dropped; texts are split)"),
    SLM_CLI_FLOAT(0, "max-bad", F(max_bad), "SHARE", 0, 1,
                  "share of rows that may be no good, else it stops (default: 0.01)"),
    SLM_CLI_CHOICE(0, "pack", F(o.pack), "best-fit wrapped none",
                   "documents in a row: as fit, as one stream, one (default: texts wrapped, "
                   "else best-fit)"),
    SLM_CLI_VALUE(OPT_FILE, 0, "store", F(store), "DIR",
                  "folder for the rendered tokens (default: the one of -o)"),
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
static const struct slm_cli_opt lora_opts[] = {
    SLM_CLI_FLAG(0, "lora", F(use_lora), "train an adapter, not the model"),
    SLM_CLI_FLAG(0, "qlora", F(use_qlora), "the same, the model rounded to nf4 in memory"),
    SLM_CLI_CHOICE(0, "quantize-base", F(o.quantize_base),
                   "nf4 q4_0 q4_K q5_K q6_K q8_0 iq4_nl iq4_xs",
                   "round it to this type instead"),
    SLM_CLI_INT(0, "lora-r|lora-rank", F(lora.r), "N", 1, 65536, "rank (default: 16)"),
    SLM_CLI_FLOAT(0, "lora-alpha", F(lora.alpha), "X", 0, 1e6,
                  "its scale is alpha / r (default: 32)"),
    SLM_CLI_FLOAT(0, "lora-dropout", F(lora.dropout), "X", 0, .99,
                  "of its inputs (default: 0)"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "lora-targets|lora-target-modules", F(lora.targets), "NAMES",
                  "q_proj,v_proj ...; all-linear; or a regular expression (default: "
                  "all-linear)"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "lora-exclude", F(lora.exclude), "NAMES", "but for these"),
    SLM_CLI_FLAG(0, "rslora", F(lora.rslora), "scale is alpha / sqrt(r)"),
    SLM_CLI_FLAG(0, "dora", F(lora.dora), "rows have lengths of their own"),
    SLM_CLI_VALUE(OPT_FILE, 0, "lora-init", F(lora_init), "ADAPTER",
                  "go on with this adapter, with its ranks and scales"),
    SLM_CLI_END,
};
static const struct slm_cli_opt prefer_opts[] = {
    SLM_CLI_CHOICE(0, "loss", F(loss), "tokens dpo ipo orpo simpo kto",
                   "learn tokens, or from rows with a chosen and a rejected answer what is "
                   "preferred (default: tokens)"),
    SLM_CLI_VALUE(OPT_FILE, 0, "pairs", F(pairs), "FILE",
                  "such rows as JSON, of ids or texts: as slm loss reads them"),
    SLM_CLI_FLOAT(0, "beta", F(o.prefer.beta), "X", 1e-6, 1e6,
                  "how far it may leave its reference (default: 0.1; simpo: 2)"),
    SLM_CLI_FLOAT(0, "lambda", F(o.prefer.lambda), "X", 0, 1e6,
                  "orpo: what the odds count beside the text (default: 0.1)"),
    SLM_CLI_FLOAT(0, "gamma", F(o.prefer.gamma), "X", 0, 1e6,
                  "simpo: the margin that is asked for (default: 0.5)"),
    SLM_CLI_FLOAT(0, "desirable-weight", F(o.prefer.desirable), "X", 0, 1e6,
                  "kto: what chosen answers count (default: 1)"),
    SLM_CLI_FLOAT(0, "undesirable-weight", F(o.prefer.undesirable), "X", 0, 1e6,
                  "kto: what rejected answers count (default: 1)"),
    SLM_CLI_END,
};
static const struct slm_cli_opt init_opts[] = {
    SLM_CLI_VALUE(OPT_TEXT, 0, "init", F(init), "FAMILY",
                  "a new model of random weights instead of MODEL, of this family"),
    SLM_CLI_INT(0, "width|hidden-size", F(shape.width), "N", 1, 1 << 20, "of the model"),
    SLM_CLI_INT(0, "layers", F(shape.layers), "N", 1, 4096, "how many"),
    SLM_CLI_INT(0, "heads", F(shape.heads), "N", 1, 65536, "of attention"),
    SLM_CLI_INT(0, "kv-heads", F(shape.kv_heads), "N", 1, 65536, "(default: as heads)"),
    SLM_CLI_INT(0, "head-width", F(shape.head_width), "N", 1, 65536,
                "(default: width / heads)"),
    SLM_CLI_INT(0, "ffn|intermediate-size", F(shape.ffn), "N", 1, 1 << 23,
                "width of the feed-forward part"),
    SLM_CLI_INT(0, "experts", F(shape.experts), "N", 1, 1024,
                "families with experts: how many"),
    SLM_CLI_INT(0, "experts-used", F(shape.experts_used), "N", 1, 1024, "... for each token"),
    SLM_CLI_INT(0, "vocab", F(shape.vocab), "N", 1, 1 << 26,
                "rows of the embedding (default: the tokenizer's)"),
    SLM_CLI_VALUE(OPT_FILE, 0, "tokenizer", F(shape.tokenizer), "FILE",
                  "a folder, tokenizer.json or GGUF file to take the tokenizer from"),
    SLM_CLI_INT(0, "context", F(shape.context), "N", 1, 1 << 24, "positions (default: --seq)"),
    SLM_CLI_INT(0, "window", F(shape.window), "N", 1, 1 << 24,
                "sliding window of families that have one (default: none)"),
    SLM_CLI_FLAG(0, "untied", F(untied), "the output is a matrix of its own"),
    SLM_CLI_FLOAT(0, "rope-base", F(shape.rope_base), "X", 1, 1e12, "(default: the family's)"),
    SLM_CLI_FLOAT(0, "init-std", F(shape.std), "X", 0, 1, "of weights (default: 0.02)"),
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
    SLM_CLI_INT(0, "eval-batches", F(o.eval_batches), "N", 0, 1 << 30,
                "most micro-batches of an eval; 0: all (default: 0)"),
    SLM_CLI_VALUE(OPT_LIST, 0, "sample-prompt", F(prompts), "TEXT",
                  "let it go on with this behind every eval (may be given several times)"),
    SLM_CLI_INT(0, "sample-tokens", F(sample_tokens), "N", 1, 1 << 16,
                "so many tokens of it (default: 60)"),
    SLM_CLI_FLAG(0, "keep-last", F(o.keep_last), "keep the last weights, not the best by eval"),
    SLM_CLI_END,
};
static const struct slm_cli_opt opts[] = {
    SLM_CLI_GROUP(slm_cli_model_opts, F(model), NULL),
    SLM_CLI_GROUP(data_opts, 0, "Data"),
    SLM_CLI_GROUP(batch_opts, 0, "Batches"),
    SLM_CLI_GROUP(optim_opts, 0, "Optimiser"),
    SLM_CLI_GROUP(lora_opts, 0, "Adapter"),
    SLM_CLI_GROUP(prefer_opts, 0, "Preferences"),
    SLM_CLI_GROUP(init_opts, 0, "New model"),
    SLM_CLI_GROUP(memory_opts, 0, "Plan"),
    SLM_CLI_GROUP(out_opts, 0, "Result"),
    SLM_CLI_GROUP(slm_cli_log_opts, F(log), "Record"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

/* ---- the run ---- */

static int open_model(struct slm_cli *c, struct slm_cli_train *a, slm_model **m, slm_err *err)
{
    slm_model_opts mo;
    slm_model_opts_init(&mo);
    mo.allow_no_tokenizer = 1;
    if (!a->init)
        return slm_cli_model_open(c, m, &a->model, &mo, false, err);
    if (a->model.model || c->words.n)
        return slm_cli_fail(err, SLM_E_ARG, "--init makes a new model: name no other");
    int code = slm_cli_runtime(c, err);
    slm_model_shape *s = &a->shape;
    s->family = a->init;
    s->seed = a->o.seed;
    s->tied = !a->untied;
    if (!s->context)
        s->context = a->o.seq ? a->o.seq : 1024;
    return code ? code : slm_model_new(m, c->rt, s, err);
}

/* What a new adapter has where nothing is said. */
static void default_ranks(struct slm_cli_train *a)
{
    slm_adapter_opts usual;
    slm_adapter_opts_init(&usual);
    if (!a->lora.r)
        a->lora.r = usual.r;
    if (a->lora.alpha <= 0)
        a->lora.alpha = usual.alpha;
}

static int open_adapter(struct slm_cli *c, struct slm_cli_train *a, const slm_model *m,
                        slm_err *err)
{
    slm_adapter_info i;
    int code = 0;
    if (a->use_qlora && !a->o.quantize_base)
        a->o.quantize_base = "nf4";
    a->use_lora |= a->use_qlora;
    int r = a->lora.r;
    default_ranks(a);
    if (a->lora_init) {
        code = slm_adapter_open(&a->o.adapter, m, a->lora_init, err);
    } else if (a->use_lora) {
        a->lora.seed = a->o.seed;
        code = slm_adapter_new(&a->o.adapter, m, &a->lora, err);
    } else if (a->lora.targets || a->lora.dora || a->lora.rslora || a->o.quantize_base) {
        return slm_cli_fail(err, SLM_E_ARG, "options of an adapter without --lora");
    }
    if (code || !a->o.adapter)
        return code;
    slm_adapter_info_get(a->o.adapter, &i);
    if (a->lora_init && r && (r < i.r_least || r > i.r_most))
        return slm_cli_fail(err, SLM_E_ARG, "--lora-r %d, but the adapter %s has rank %d", r,
                            a->lora_init, i.r_most);
    if (i.dora && a->o.quantize_base)
        return slm_cli_fail(err, SLM_E_UNSUPPORTED,
                            "--dora takes the lengths of the rows as they are: round the model "
                            "first (slm quantize), then train on that file");
    slm_cli_say(c, "adapter: %d matrices, rank %d to %d, scale %.4g to %.4g%s", i.parts,
                i.r_least, i.r_most, (double)i.scale_least, (double)i.scale_most,
                i.dora ? ", DoRA" : "");
    return 0;
}

/* The run, with all that is kept of it. */
static int recorded(struct slm_cli_train_watch *w, slm_train *t, const slm_train_plan *plan,
                    slm_err *err)
{
    const struct slm_cli_train *a = w->a;
    slm_text config = {0};
    slm_err second = {0};
    int code = slm_train_config(t, &config, err);
    struct slm_cli_log_about about = {.config = config.data,
                                      .base = a->base,
                                      .adapter = a->lora_init,
                                      .data = a->ids_file ? a->ids_file : a->data.item[0],
                                      .output = a->o.out,
                                      .also = a->o.gguf,
                                      .resume = plan->steps_done > 0,
                                      .step = plan->steps_done};
    if (!code && !w->c->mute) /* the first of several ranks keeps it */
        code = slm_cli_log_open(&w->log, w->c, &a->log, &about, err);
    code = slm_train_ranks_agree(a->o.ranks, code, err);
    slm_cli_progress_start(&w->bar, w->c, "train", "step");
    if (!code)
        code = slm_train_run(t, err);
    slm_cli_progress_end(&w->bar);
    int ended = slm_cli_log_end(&w->log, code, err, &second);
    if (!code && ended)
        code = slm_cli_fail(err, ended, "%s", second.msg);
    slm_cli_log_close(&w->log);
    slm_text_release(&config);
    return code;
}

static int train(struct slm_cli *c, struct slm_cli_train *a, slm_model *m, slm_err *err)
{
    slm_train *t = NULL;
    slm_train_plan plan;
    struct slm_cli_train_watch w = {.c = c, .a = a, .m = m};
    slm_cli_catch_interrupt();
    a->o.event = slm_cli_train_event;
    a->o.event_arg = &w;
    int code = slm_train_open(&t, m, &a->o, err);
    code = slm_train_ranks_agree(a->o.ranks, code, err);
    if (code) {
        slm_train_close(&t);
        return code;
    }
    slm_train_plan_get(t, &plan);
    slm_cli_train_plan(c, &plan);
    if (a->ranks.n > 1)
        slm_cli_say(c, "on %d ranks: tokens and memory are each one's share", a->ranks.n);
    if (a->dry_run && a->common.json)
        slm_cli_train_plan_json(&plan);
    if (!a->dry_run)
        code = recorded(&w, t, &plan, err);
    slm_train_close(&t);
    return code;
}

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    struct slm_cli_train *a = p;
    struct slm_cli_train_data d = {0};
    slm_model *m = NULL;
    a->o.batch = a->batch;
    a->o.steps = a->steps;
    a->o.epochs = (double)a->epochs;
    a->o.memory = (uint64_t)((double)a->memory * 0x1p30);
    int sources = (a->ids_file != NULL) + (a->data.n > 0) + (a->pairs != NULL);
    a->o.prefer.kind = a->loss && strcmp(a->loss, "tokens") ? a->loss : NULL;
    if (sources != 1)
        return slm_cli_fail(err, SLM_E_ARG,
                            sources ? "--data, --ids-file, --pairs: one of them"
                                    : "--data FILE is missing (or --ids-file, --pairs)");
    if ((a->pairs && !a->o.prefer.kind) || (a->ids_file && a->o.prefer.kind))
        return slm_cli_fail(err, SLM_E_ARG, "%s",
                            a->pairs ? "--pairs goes with --loss dpo, ipo, orpo, simpo or kto"
                                     : "ids have no preferences: --loss goes with --data or "
                                       "--pairs");
    int code = slm_cli_ranks_open(c, &a->common, &a->ranks, err);
    if (code)
        return code;
    a->o.ranks = &a->ranks;
    a->base = a->init          ? NULL
              : a->model.model ? a->model.model
              : c->words.n     ? c->words.v[0]
                               : NULL;
    code = open_model(c, a, &m, err);
    if (!code)
        code = open_adapter(c, a, m, err);
    if (!code)
        code = slm_cli_train_data_open(c, &d, a, m, err);
    code = slm_train_ranks_agree(&a->ranks, code, err);
    if (!code)
        code = train(c, a, m, err);
    slm_cli_train_data_close(&d);
    slm_adapter_close(&a->o.adapter);
    slm_model_close(&m);
    slm_train_ranks_close(&a->ranks);
    return code;
}

static void defaults(void *p)
{
    struct slm_cli_train *a = p;
    slm_train_opts_init(&a->o);
    slm_model_shape_init(&a->shape);
    slm_adapter_opts_init(&a->lora);
    a->lora.r = 0; /* not given */
    a->lora.alpha = 0;
    a->sample_tokens = 60;
    a->max_bad = -1;
}

extern const struct slm_cli_command slm_cmd_train;
const struct slm_cli_command slm_cmd_train = {
    .name = "train",
    .run = run,
    .args = "[MODEL]",
    .summary = "train a model or an adapter",
    .about =
        "Trains all of a model, an adapter on it (--lora, --qlora), or a new model (--init), "
        "from "
        "files of rows or text. Before anything runs, the plan is told on stderr: what learns, "
        "bytes by kind, tokens, steps, time and peak memory; --dry-run stops there, and what "
        "does not fit is refused with what would help."
        "\n\n"
        "-o names a folder. It gets the checkpoint (checkpoint.safetensors, always whole), the "
        "best weights by held-out loss, and at the end the finished model or adapter. Ctrl-C "
        "saves and stops; --resume goes on, with the same bits as if nothing had happened."
        "\n\n"
        "With --json each step is one line with loss (before the step), grad_norm (before "
        "clipping) and lr.",
    .examples = "slm train ./model --data chats.jsonl --qlora --lora-r 16 -o adapter\n"
                "slm train ./model --data book.txt --epochs 2 --optimizer muon -o tuned --gguf "
                "tuned.gguf\n"
                "slm train --init llama --width 256 --layers 6 --heads 4 --ffn 704 --tokenizer "
                "tok.json "
                "--data text/ --seq 512 -o new\n"
                "slm train ./model --data chats.jsonl --lora -o adapter --dry-run --json",
    .opts = opts,
    .size = sizeof(struct slm_cli_train),
    .defaults = defaults,
    .model = 1,
};
