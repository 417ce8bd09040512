/* The plan: what learns, what it takes, how long it lasts, told before anything big is taken.
 * The graph is laid out for its size; time is measured on two layers of it, which tells what a
 * layer and what the rest costs. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "train/prefer_run.h"

#define OTHER ((uint64_t)4 << 20) /* stacks, tables, buffers of files */

static uint64_t model_bytes(const slm_train *t, bool learns)
{
    uint64_t n = 0;
    for (int i = 0; i < t->m->n_weights; i++) {
        const struct slm_weight *w = &t->m->weight[i];
        if ((t->which && t->which[i]) == learns && !(t->m->writable && t->m->writable[i]))
            n += (uint64_t)w->parts * (uint64_t)w->rows * w->stride;
    }
    return n;
}

static struct slm_retype retype_of(const slm_train *t)
{
    return (struct slm_retype){.type = (enum slm_dtype)slm_dtype_of_name(t->o.quantize_base)};
}

/* Bytes that rounded matrices take, and took before. */
static uint64_t retyped(const slm_train *t, uint64_t *was)
{
    struct slm_retype r = retype_of(t);
    for (int i = 0; i < t->m->n_weights; i++) {
        const struct slm_weight *w = &t->m->weight[i];
        double bits = 8.0 * slm_dtypes[r.type].bytes / slm_dtypes[r.type].block,
               now = 8.0 * slm_dtypes[w->type].bytes / slm_dtypes[w->type].block;
        if (slm_model_rounds(t->m, i) && t->m->row_layer[i] >= 0 && now > bits &&
            w->cols % slm_dtypes[r.type].block == 0)
            *was += (uint64_t)w->parts * (uint64_t)w->rows * w->stride;
    }
    return slm_model_retype_bytes(t->m, &r);
}

/* The bytes by kind for the batch and stretch as they are. */
static int measure(slm_train *t, slm_err *err)
{
    slm_train_plan *p = &t->plan;
    int rc = slm_train_measure(t, &p->activations, err);
    if (rc)
        return rc;
    p->params = t->m->params + (t->o.adapter ? t->params.elements : 0);
    p->trained = t->params.elements;
    p->tensors = t->params.n;
    p->weights = slm_model_unfreeze_bytes(t->m, t->which);
    p->weights = t->which ? p->weights : 0;
    p->mapped = model_bytes(t, false);
    if (t->o.quantize_base) { /* what changes is in memory, and let go of in the file */
        uint64_t was = 0, now = retyped(t, &was);
        p->weights += now;
        p->mapped -= was;
    }
    p->gradients = slm_params_bytes(&t->params);
    p->states = t->optim.bytes;
    p->other = slm_memory_resident() + OTHER + t->optim.room * sizeof(float) +
               slm_prefer_run_bytes(t);
    p->peak = p->weights + p->mapped + p->gradients + p->activations + p->other +
              (t->o.states_file ? 0 : p->states);
    p->disk = 2 * (p->trained * sizeof(float) + p->states) + p->trained * sizeof(float);
    return 0;
}

static void advise(char *s, size_t room, const char *what)
{
    size_t n = strlen(s);
    snprintf(s + n, room - n, "%s%s", n ? ", " : "", what);
}

static const char *size(char b[24], uint64_t n)
{
    bool big = n >= (uint64_t)1 << 30;
    snprintf(b, 24, "%.1f %s", (double)n / (big ? 0x1p30 : 0x1p20), big ? "GiB" : "MiB");
    return b;
}

static int refuse(const slm_train *t, slm_err *err)
{
    const slm_train_plan *p = &t->plan;
    char how[200] = "";
    if (t->o.batch > 1)
        advise(how, sizeof how, "a smaller --batch with more --accumulate");
    if (!t->o.stretch)
        advise(how, sizeof how, "--stretch 1");
    if (t->o.seq > 64)
        advise(how, sizeof how, "a shorter --seq");
    if (!t->o.states_file)
        advise(how, sizeof how, "--states-file FILE");
    if (!t->o.adapter && slm_optim_find("adamw8"))
        advise(how, sizeof how, "--optimizer adamw8");
    if (!t->o.adapter)
        advise(how, sizeof how, "--lora");
    else if (!t->o.quantize_base)
        advise(how, sizeof how, "--qlora");
    char b[7][24];
    return slm_fail(err, SLM_E_LIMIT,
                    "needs %s, %s are there: weights %s, mapped %s, gradients %s, states %s, "
                    "activations %s; what helps: %s",
                    size(b[0], p->peak), size(b[1], p->available), size(b[2], p->weights),
                    size(b[3], p->mapped), size(b[4], p->gradients), size(b[5], p->states),
                    size(b[6], p->activations), how);
}

/* ---- time ---- */

/* The first layers of the model, with scratch in the place of weights that will learn. */
struct probe {
    slm_train *t;
    slm_model m;
    struct slm_layer layer[2];
    struct slm_weight weight[2 * SLM_W_COUNT + SLM_W_LAYER];
    const uint8_t **part; /* (parts) all the same */
    float *values, *grad;
    size_t bytes;
    int n, rows, seq;
};

static const struct slm_weight *stand_in(struct probe *b, const struct slm_weight *w)
{
    bool learns = w && b->t->which && b->t->which[w->id];
    if (!learns)
        return w;
    struct slm_weight *x = &b->weight[b->n++];
    *x = *w;
    x->type = SLM_F32;
    x->stride = (size_t)w->cols * sizeof(float);
    x->part = b->part;
    return x;
}

static int prepare(struct probe *b, slm_err *err)
{
    slm_runtime *rt = b->t->rt;
    int parts = 1;
    for (int i = 0; i < b->t->m->n_weights; i++) {
        const struct slm_weight *w = &b->t->m->weight[i];
        size_t n = (size_t)w->parts * (size_t)w->rows * (size_t)w->cols * sizeof(float);
        b->bytes = n > b->bytes ? n : b->bytes;
        parts = w->parts > parts ? w->parts : parts;
    }
    b->values = slm_pages_alloc(rt, SLM_MEM_MODEL, b->bytes);
    b->grad = slm_pages_alloc(rt, SLM_MEM_MODEL, b->bytes);
    b->part = slm_alloc_n(rt, SLM_MEM_MODEL, (size_t)parts, sizeof *b->part);
    if (!b->values || !b->grad || !b->part)
        return slm_fail_mem(err, "a probe of the speed", 2 * b->bytes);
    for (size_t i = 0; i < b->bytes / sizeof(float); i++)
        b->values[i] = (float)((int)(i * 2654435761u >> 20 & 255) - 127) * 1e-4f;
    for (int i = 0; i < parts; i++)
        b->part[i] = (const uint8_t *)b->values;
    b->m = *b->t->m;
    b->m.layer = b->layer;
    for (int i = 0; i < SLM_W_LAYER; i++)
        b->m.w[i] = stand_in(b, b->m.w[i]);
    for (int l = 0; l < 2 && l < b->t->m->hp.layers; l++)
        for (int i = SLM_W_LAYER; i < SLM_W_COUNT; i++)
            b->layer[l].w[i] = stand_in(b, b->t->m->layer[l].w[i]);
    return 0;
}

/* Seconds of a micro-batch of the first `layers` layers. */
static int time_layers(struct probe *b, int layers, double *seconds, slm_err *err)
{
    slm_train *t = b->t;
    struct slm_prog_opts o = slm_train_prog_opts(t, b->rows, true);
    slm_prog *p = NULL;
    b->m.hp.layers = layers;
    int32_t *ids = slm_zalloc_n(t->rt, SLM_MEM_MODEL, (size_t)b->rows, 4 * sizeof *ids);
    int rc = ids ? slm_prog_new(&p, t->rt, &o, err) : slm_fail_mem(err, "a probe", 64);
    if (!rc) {
        slm_train_emit(t, p, &b->m);
        for (int i = 0; i < b->n; i++)
            slm_prog_want(p, &b->weight[i], b->grad);
        rc = slm_prog_plan(p, err);
    }
    for (int i = 0; i < b->rows && !rc; i++) {
        ids[i] = (int32_t)((unsigned)i * 2654435761u % (unsigned)t->m->hp.vocab);
        ids[b->rows + i] = i % b->seq;
        ids[2 * b->rows + i] = i / b->seq;
        ids[3 * b->rows + i] = ids[i];
    }
    struct slm_run run = {.rows = b->rows,
                          .ids = ids,
                          .pos = ids + b->rows,
                          .stream = ids + 2 * b->rows,
                          .n_streams = (b->rows + b->seq - 1) / b->seq,
                          .target = ids + 3 * b->rows};
    *seconds = 1e30;
    double spent = 0;
    for (int i = 0; i < 5 && !rc && (i < 2 || spent < .3); i++) {
        double from = slm_clock_seconds();
        slm_prog_run(p, &run);
        slm_prog_run_back(p, &run);
        double took = slm_clock_seconds() - from;
        spent += took;
        *seconds = took < *seconds ? took : *seconds;
    }
    slm_prog_free(p);
    slm_free(t->rt, ids);
    return rc;
}

/* Multiplications and additions of a token: each weight that it meets once forward, once back
 * to its input, once for its gradient. */
static double flops(const slm_train *t)
{
    slm_model_info i;
    slm_model_info_get(t->m, &i);
    double n = (double)i.params_active, share = t->which ? 6 : 4;
    double scores = 12.0 * i.layers * i.heads * i.head_width * (double)t->o.seq / 2;
    return n * share + scores;
}

static int predict(slm_train *t, slm_err *err)
{
    struct probe b = {.t = t};
    slm_train_plan *p = &t->plan;
    int layers = t->m->hp.layers;
    double one = 0, two = 0;
    p->flops_token = flops(t);
    /* some tenths of a second on a small machine; fewer rows than 128 would be another speed */
    double least = p->flops_token / layers * 2;
    b.rows = least * t->most > 4e10 ? (int)(4e10 / least) : t->most;
    b.rows = b.rows < 128 ? 128 : b.rows;
    b.rows = b.rows > t->most ? t->most : b.rows;
    b.seq = t->o.seq < b.rows ? t->o.seq : b.rows;
    int rc = prepare(&b, err);
    if (!rc)
        rc = time_layers(&b, 1, &one, err);
    if (!rc && layers > 1)
        rc = time_layers(&b, 2, &two, err);
    slm_free(t->rt, b.part);
    slm_pages_free(t->rt, SLM_MEM_MODEL, b.values, b.bytes);
    slm_pages_free(t->rt, SLM_MEM_MODEL, b.grad, b.bytes);
    double layer = layers > 1 && two > one ? two - one : 0;
    double micro = (one + layer * (layers - 1)) * t->most / (rc ? 1 : b.rows);
    /* states are read and written once a step: some 28 bytes an element */
    double update = (double)p->trained * 28 / 8e9;
    p->seconds = (double)(p->steps - p->steps_done) * (micro * t->o.accumulate + update);
    return rc;
}

/* ---- all of it ---- */

static void count_steps(slm_train *t)
{
    slm_train_plan *p = &t->plan;
    double batches = (double)slm_feed_batches(t->feed.feed) / t->o.accumulate;
    double epochs = t->o.epochs > 0 ? t->o.epochs : 1;
    p->steps = t->o.steps ? t->o.steps : (int64_t)ceil(batches * epochs);
    p->steps = p->steps < 1 ? 1 : p->steps;
    p->steps_done = t->step;
    p->tokens_step = (int64_t)t->o.batch * t->o.accumulate * t->o.seq;
    p->tokens = p->tokens_step * (p->steps - p->steps_done);
}

/* ---- making it fit ---- */

static bool fits(const slm_train *t) { return t->plan.peak <= t->plan.available; }

static int with_batch(slm_train *t, int batch, slm_err *err)
{
    t->o.accumulate = t->o.accumulate * t->o.batch / batch;
    t->o.batch = batch;
    int rc = slm_train_feed(t, err);
    return rc ? rc : measure(t, err);
}

/* Smaller micro-batches, more of them, while they keep `least` tokens. */
static int split(slm_train *t, int least, slm_err *err)
{
    int rc = 0;
    for (int b = t->o.batch - 1; b > 0 && !rc && !fits(t) && b * t->o.seq >= least; b--)
        if (t->o.batch * t->o.accumulate % b == 0)
            rc = with_batch(t, b, err);
    return rc;
}

/* The stretch that takes the least: all cost the same, one more forward. */
static int stretch(slm_train *t, slm_err *err)
{
    uint64_t least = t->plan.peak;
    int best = 0, rc = 0;
    for (int s = 1; s <= t->m->hp.layers && !rc; s *= 2) {
        t->o.stretch = s;
        rc = measure(t, err);
        if (!rc && t->plan.peak < least) {
            least = t->plan.peak;
            best = s;
        }
    }
    t->o.stretch = best;
    return rc ? rc : measure(t, err);
}

/* States in a file beside the checkpoint. */
static int states_out(slm_train *t, slm_err *err)
{
    struct slm_buf b;
    slm_buf_init(&b, t->rt, SLM_MEM_MODEL, 1 << 16);
    t->o.states_file = slm_arena_strdup(&t->arena, slm_path_join(&b, t->o.out, "states.swap"));
    slm_buf_release(&b);
    return t->o.states_file ? measure(t, err) : slm_fail_mem(err, "plan", 64);
}

static int fit(slm_train *t, bool fixed, slm_err *err)
{
    int batch = t->o.batch;
    bool free_stretch = t->o.stretch < 0, file = false;
    t->o.stretch = free_stretch ? 0 : t->o.stretch;
    int rc = measure(t, err);
    if (!rc && !fixed && !fits(t))
        rc = split(t, 1024, err);
    if (!rc && !fixed && free_stretch && !fits(t))
        rc = stretch(t, err);
    if (!rc && !fixed && !fits(t))
        rc = split(t, 1, err);
    if (!rc && !fixed && !fits(t) && !t->o.states_file && t->o.out) {
        rc = states_out(t, err);
        file = true;
    }
    if (rc)
        return rc;
    char s[3][80] = {"", "", ""};
    if (t->o.batch != batch)
        snprintf(s[0], sizeof s[0], "micro-batches of %d, %d a step; ", t->o.batch,
                 t->o.accumulate);
    if (free_stretch && t->o.stretch)
        snprintf(s[1], sizeof s[1], "stretches of %d layers are computed again; ",
                 t->o.stretch);
    if (file)
        snprintf(s[2], sizeof s[2], "optimiser states live in a file; ");
    snprintf(t->choice, sizeof t->choice, "%s%s%s", s[0], s[1], s[2]);
    if (*t->choice)
        t->choice[strlen(t->choice) - 2] = 0;
    return 0;
}

int slm_train_make_plan(slm_train *t, slm_err *err)
{
    slm_train_plan *p = &t->plan;
    uint64_t now = slm_memory_resident(), left = slm_memory_free();
    p->available = t->o.memory ? t->o.memory : left > UINT64_MAX - now ? left : left + now;
    /* ranks would have to choose alike, each with memory of its own */
    bool alone = !t->o.ranks || t->o.ranks->n < 2;
    int rc = fit(t, t->step > 0 || !alone, err);
    if (rc)
        return rc;
    count_steps(t);
    p->batch = t->o.batch;
    p->accumulate = t->o.accumulate;
    p->seq = t->o.seq;
    p->stretch = t->o.stretch;
    p->precision = t->o.precision;
    p->optimizer = t->o.optimizer;
    p->states_mapped = t->o.states_file != NULL;
    p->choice = t->choice;
    return fits(t) ? predict(t, err) : refuse(t, err);
}

void slm_train_plan_get(const slm_train *t, slm_train_plan *out) { *out = t->plan; }
