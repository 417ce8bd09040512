/* Options of training: what they are when nothing is said, what they may be, and all of them as
 * JSON: the record of a run, and what a checkpoint is held against. */
#include <stdio.h>
#include <string.h>

#include "train/train_in.h"

void slm_train_opts_init(slm_train_opts *o)
{
    memset(o, 0, sizeof *o);
    o->accumulate = 1;
    o->shuffle = -1;
    o->seed = 1;
    o->optimizer = "adamw";
    o->beta1 = o->beta2 = o->eps = o->weight_decay = o->momentum = -1;
    o->clip = 1;
    o->schedule = "cosine";
    o->warmup = -1;
    o->min_lr = .1f;
    o->decay_share = .2f;
    o->precision = "auto";
    o->stretch = -1;
    slm_prefer_opts_init(&o->prefer);
}

/* ---- checks ---- */

struct range {
    const char *name;
    double v, lo, hi;
};

static int check_ranges(const slm_train_opts *o, slm_err *err)
{
    const struct range r[] = {
        {"seq", o->seq, 0, SLM_MAX_CONTEXT},
        {"batch", o->batch, 0, 1 << 20},
        {"accumulate", o->accumulate, 1, 1 << 20},
        {"steps", (double)o->steps, 0, 1e15},
        {"epochs", o->epochs, 0, 1e9},
        {"lr", (double)o->lr, 0, 100},
        {"beta1", (double)o->beta1, -1, .999999},
        {"beta2", (double)o->beta2, -1, .9999999},
        {"eps", (double)o->eps, -1, 1},
        {"weight-decay", (double)o->weight_decay, -1, 1000},
        {"momentum", (double)o->momentum, -1, .999999},
        {"clip", (double)o->clip, 0, 1e30},
        {"warmup", (double)o->warmup, -1, 1e12},
        {"min-lr", (double)o->min_lr, 0, 1},
        {"decay-share", (double)o->decay_share, 0, 1},
        {"eval-every", o->eval_every, 0, 1 << 30},
        {"eval-batches", o->eval_batches, 0, 1 << 30},
        {"patience", o->patience, 0, 1 << 30},
        {"save-every", o->save_every, 0, 1 << 30},
    };
    for (size_t i = 0; i < sizeof r / sizeof *r; i++)
        if (!(r[i].v >= r[i].lo && r[i].v <= r[i].hi)) /* NaN too */
            return slm_fail(err, SLM_E_ARG, "%s is %g: want %g to %g", r[i].name, r[i].v,
                            r[i].lo > 0 ? r[i].lo : 0, r[i].hi);
    return 0;
}

static bool one_of(const char *s, const char *const *words)
{
    for (; *words; words++)
        if (!strcmp(s, *words))
            return true;
    return false;
}

static int check_words(const slm_train_opts *o, slm_err *err)
{
    static const char *const precisions[] = {"f32", "bf16", "auto", NULL}, *const types[] = {
                                                                               "f32", "bf16",
                                                                               "f16", NULL};
    if (!slm_optim_find(o->optimizer)) {
        char list[200];
        size_t n = 0;
        for (int i = 0; i < slm_optim_count; i++)
            n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "",
                                  slm_optims[i].name);
        return slm_fail(err, SLM_E_ARG, "optimizer '%s': want one of %s", o->optimizer, list);
    }
    if (!one_of(o->precision, precisions))
        return slm_fail(err, SLM_E_ARG, "precision '%s': want f32, bf16 or auto", o->precision);
    if (o->save_type && !one_of(o->save_type, types))
        return slm_fail(err, SLM_E_ARG, "save-type '%s': want f32, bf16 or f16", o->save_type);
    if ((o->resume || o->save_every || o->states_file) && !o->out && !o->states_file)
        return slm_fail(err, SLM_E_ARG, "%s without a folder to write to",
                        o->resume ? "resume" : "save-every");
    if (o->patience && !o->eval_data)
        return slm_fail(err, SLM_E_ARG, "patience without held-out data");
    if (o->targets && o->adapter)
        return slm_fail(err, SLM_E_ARG,
                        "targets are for full training: an adapter has its own");
    if (o->quantize_base && !o->adapter)
        return slm_fail(err, SLM_E_ARG,
                        "quantize-base is for adapters: nothing else is frozen");
    int base = o->quantize_base ? slm_dtype_of_name(o->quantize_base) : SLM_Q4_0;
    if (base < 0 || slm_dtypes[base].block < 2)
        return slm_fail(err, SLM_E_ARG,
                        "quantize-base '%s': want nf4, q4_K or another type of "
                        "blocks",
                        o->quantize_base);
    return o->data || o->ids ? 0 : slm_fail(err, SLM_E_ARG, "no data to train on");
}

/* The usual numbers of the optimiser where none were given. */
static void fill(slm_train_opts *o)
{
    const struct slm_optim_row *r = slm_optim_find(o->optimizer);
    if (o->lr <= 0)
        o->lr = o->adapter ? r->lr_adapter : r->lr_full;
    o->beta1 = o->beta1 < 0 ? r->beta1 : o->beta1;
    o->beta2 = o->beta2 < 0 ? r->beta2 : o->beta2;
    o->eps = o->eps < 0 ? r->eps : o->eps;
    o->weight_decay = o->weight_decay < 0 ? o->adapter ? 0 : r->decay : o->weight_decay;
    o->momentum = o->momentum < 0 ? .95f : o->momentum;
    if (o->warmup < 0)
        o->warmup = strcmp(o->schedule, "constant") ? .03f : 0;
    if (o->shuffle < 0)
        o->shuffle = !o->ids;
}

static int keep(slm_train *t, const char **word, slm_err *err)
{
    if (!*word)
        return 0;
    *word = slm_arena_strdup(&t->arena, *word);
    return *word ? 0 : slm_fail_mem(err, "options", 64);
}

/* Documents are cut where they are one stream of text, and kept whole where they are answers.
 */
static int pack_of(slm_train *t, slm_err *err)
{
    static const char *const names[] = {"best-fit", "wrapped", "none"};
    slm_tokens_info i = {.kind = SLM_TOKENS_TEXT};
    if (t->o.data)
        slm_tokens_info_get(t->o.data, &i);
    t->pack = i.kind == SLM_TOKENS_TEXT   ? SLM_PACK_WRAPPED
              : i.kind == SLM_TOKENS_CHAT ? SLM_PACK_BEST_FIT
                                          : SLM_PACK_NONE;
    bool found = !t->o.pack;
    for (int k = 0; k < 3 && !found; k++)
        if ((found = !strcmp(names[k], t->o.pack)))
            t->pack = (enum slm_pack)k;
    if (!found)
        return slm_fail(err, SLM_E_ARG, "pack '%s': want best-fit, wrapped or none", t->o.pack);
    t->o.pack = names[t->pack];
    return 0;
}

/* Does the CPU multiply bfloat16 itself? Else float32 is as fast and more exact. */
static bool has_bf16(const slm_runtime *rt)
{
    const struct slm_cpu *c = &rt->cpu;
    return (c->has >> SLM_CPU_AVX512BF16 & 1 && c->top >= SLM_CPU_AVX512BF16) ||
           (c->has >> SLM_CPU_AMX & 1 && c->top >= SLM_CPU_AMX);
}

int slm_train_opts_take(slm_train *t, const slm_train_opts *o, slm_err *err)
{
    t->o = *o;
    int rc = check_ranges(o, err);
    if (!rc)
        rc = check_words(o, err);
    if (rc)
        return rc;
    fill(&t->o);
    t->bf16 = strcmp(o->precision, "auto") ? !strcmp(o->precision, "bf16") : has_bf16(t->rt);
    t->o.precision = t->bf16 ? "bf16" : "f32"; /* the checkpoint keeps what was chosen */
    if (!t->o.seq)
        t->o.seq = t->m->hp.context < 2048 ? t->m->hp.context : 2048;
    if (!t->o.batch)
        t->o.batch = t->o.seq < 4096 ? 4096 / t->o.seq : 1;
    if (t->o.seq < 2)
        return slm_fail(err, SLM_E_ARG, "seq is %d: want at least 2", t->o.seq);
    rc = pack_of(t, err);
    const char **words[] = {&t->o.pack, &t->o.targets,    &t->o.optimizer, &t->o.schedule,
                            &t->o.out,  &t->o.precision,  &t->o.save_type, &t->o.quantize_base,
                            &t->o.gguf, &t->o.states_file};
    for (size_t i = 0; i < sizeof words / sizeof *words && !rc; i++)
        rc = keep(t, words[i], err);
    return rc;
}

/* Does the name hold one of the words, separated by commas? */
static bool holds(const char *name, const char *words)
{
    for (const char *p = words; *p;) {
        size_t n = strcspn(p, ",");
        for (const char *at = name; n && (at = strchr(at, *p)); at++)
            if (!strncmp(at, p, n))
                return true;
        p += n + (p[n] == ',');
    }
    return false;
}

int slm_train_targets(slm_train *t, slm_err *err)
{
    const slm_model *m = t->m;
    int n = 0;
    for (int i = 0; i < m->n_weights; i++) {
        char hf[192];
        slm_slot_name_hf(hf, m->row[i], "model.", "", m->row_layer[i], 0);
        t->which[i] =
            !t->o.targets || holds(hf, t->o.targets) || holds(m->weight[i].name, t->o.targets);
        n += t->which[i];
    }
    return n ? 0
             : slm_fail(err, SLM_E_ARG, "targets '%s': no weight has such a name",
                        t->o.targets);
}

/* ---- as JSON ---- */

static void put_str(struct slm_buf *b, const char *key, const char *s)
{
    slm_buf_printf(b, ",\"%s\":", key);
    if (s)
        slm_buf_put_json(b, s, strlen(s));
    else
        slm_buf_puts(b, "null");
}

static void put_int(struct slm_buf *b, const char *key, int64_t v)
{
    slm_buf_printf(b, ",\"%s\":%lld", key, (long long)v);
}

static void put_num(struct slm_buf *b, const char *key, float v)
{
    slm_buf_printf(b, ",\"%s\":%.9g", key, (double)v);
}

void slm_train_config_put(const slm_train *t, struct slm_buf *b)
{
    const slm_train_opts *o = &t->o;
    char hex[24];
    slm_buf_puts(b, "{\"model\":");
    slm_buf_put_json(b, t->m->name, strlen(t->m->name));
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)t->fingerprint);
    put_str(b, "fingerprint", hex);
    put_str(b, "data", t->feed.hash);
    put_str(b, "family", t->m->hp.family->name);
    put_str(b, "what", o->adapter ? "adapter" : "full");
    put_int(b, "trained", (int64_t)t->params.elements);
    put_int(b, "steps", t->plan.steps);
    put_int(b, "seq", o->seq);
    put_int(b, "batch", o->batch);
    put_int(b, "accumulate", o->accumulate);
    int64_t ranks = o->ranks && o->ranks->n > 1 ? o->ranks->n : 1;
    put_int(b, "ranks", ranks);
    put_int(b, "rows", o->batch * o->accumulate * ranks);
    put_str(b, "pack", o->pack);
    put_int(b, "shuffle", o->shuffle);
    slm_buf_printf(b, ",\"seed\":%llu", (unsigned long long)o->seed);
    put_str(b, "targets", o->targets);
    put_str(b, "quantize_base", o->quantize_base);
    put_str(b, "loss", o->prefer.kind ? o->prefer.kind : "tokens");
    if (o->prefer.kind) {
        put_num(b, "beta", o->prefer.beta);
        put_num(b, "lambda", o->prefer.lambda);
        put_num(b, "gamma", o->prefer.gamma);
        put_num(b, "desirable", o->prefer.desirable);
        put_num(b, "undesirable", o->prefer.undesirable);
    }
    put_str(b, "optimizer", o->optimizer);
    put_num(b, "lr", o->lr);
    put_num(b, "beta1", o->beta1);
    put_num(b, "beta2", o->beta2);
    put_num(b, "eps", o->eps);
    put_num(b, "weight_decay", o->weight_decay);
    put_num(b, "momentum", o->momentum);
    put_num(b, "clip", o->clip);
    put_str(b, "schedule", o->schedule);
    put_num(b, "warmup", o->warmup);
    put_num(b, "min_lr", o->min_lr);
    put_num(b, "decay_share", o->decay_share);
    put_str(b, "precision", o->precision);
    put_int(b, "stretch", o->stretch);
    put_str(b, "save_type", o->save_type);
    slm_buf_puts(b, "}");
}

int slm_train_config(const slm_train *t, slm_text *out, slm_err *err)
{
    struct slm_buf b;
    slm_buf_init(&b, t->rt, SLM_MEM_MODEL, 1 << 20);
    slm_train_config_put(t, &b);
    int rc = slm_buf_check(&b, "options", err);
    if (!rc)
        rc = slm_text_put(out, t->rt, b.s, b.n, err);
    slm_buf_release(&b);
    return rc;
}
