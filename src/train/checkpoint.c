/* Checkpoints: values and states of all that learns, and the place among the steps, as one
 * safetensors file. One file, written beside its name, synced and renamed: whoever is killed at
 * any moment leaves a whole one, the last or the one before it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/sweep.h"
#include "format/safetensors.h"
#include "train/train_in.h"

#define CHECKPOINT "checkpoint.safetensors"
#define BEST "best.safetensors"
#define META "slm.train"

static const char *path_of(slm_train *t, struct slm_buf *b, const char *name)
{
    slm_buf_init(b, t->rt, SLM_MEM_MODEL, 1 << 16);
    return slm_path_join(b, t->o.out, name);
}

/* ---- writing ---- */

static void put_place(const slm_train *t, struct slm_buf *b)
{
    slm_buf_printf(b, "{\"version\":1,\"step\":%lld,\"tokens\":%lld,\"targets\":%lld",
                   (long long)t->step, (long long)t->tokens, (long long)t->targets);
    if (t->best < 1e300)
        slm_buf_printf(b, ",\"best\":%.17g,\"best_step\":%lld,\"stale\":%d", t->best,
                       (long long)t->best_step, t->stale);
    slm_buf_puts(b, ",\"config\":");
    slm_train_config_put(t, b);
    slm_buf_puts(b, "}");
}

static void declare(const slm_train *t, slm_st_out *w, bool states)
{
    for (int i = 0; i < t->params.n; i++) {
        const struct slm_param *p = &t->params.p[i];
        uint64_t dim[2] = {(uint64_t)p->rows, (uint64_t)p->cols}, bytes = p->state_bytes;
        char name[192];
        snprintf(name, sizeof name, "value.%s", p->name);
        slm_st_out_tensor(w, name, SLM_F32, dim, 2);
        snprintf(name, sizeof name, "state.%s", p->name);
        if (states)
            slm_st_out_tensor(w, name, SLM_U8, &bytes, 1);
    }
}

static int write_all(slm_train *t, slm_st_out *w, bool states, slm_err *err)
{
    int rc = slm_st_out_begin(w, err);
    for (int64_t next; !rc && (next = slm_st_out_next(w)) >= 0;) {
        const struct slm_param *p = &t->params.p[states ? next / 2 : next];
        bool value = !states || next % 2 == 0;
        const uint8_t *state = value ? NULL : slm_ranks_state(t, (int)(next / 2), err);
        if (value)
            rc = slm_st_out_data(w, p->v, p->n * sizeof *p->v, err);
        else
            rc = state ? slm_st_out_data(w, state, p->state_bytes, err) : SLM_E_IO;
    }
    return rc ? rc : slm_st_out_commit(w, err);
}

static int write_file(slm_train *t, const char *name, bool states, slm_err *err)
{
    struct slm_buf path, meta;
    slm_st_out *w = NULL;
    slm_buf_init(&meta, t->rt, SLM_MEM_MODEL, 1 << 20);
    put_place(t, &meta);
    path_of(t, &path, name);
    int rc = slm_buf_check(&meta, name, err);
    if (!rc)
        rc = slm_buf_check(&path, name, err);
    if (!rc)
        rc = slm_st_out_open(&w, t->rt, path.s, err);
    if (!rc) {
        slm_st_out_meta(w, META, meta.s);
        declare(t, w, states);
        rc = write_all(t, w, states, err);
    }
    slm_st_out_close(&w);
    slm_buf_release(&path);
    slm_buf_release(&meta);
    return rc;
}

/* The leader writes, the others give what is theirs. */
static int save(slm_train *t, const char *name, bool states, slm_err *err)
{
    int rc = slm_ranks_leader(t) ? write_file(t, name, states, err) : 0;
    int rest = states ? slm_ranks_drain(t, rc ? NULL : err) : 0;
    return slm_ranks_agree(t, rc ? rc : rest, err);
}

int slm_train_save(slm_train *t, slm_err *err)
{
    int rc = save(t, CHECKPOINT, true, err);
    t->saved = !rc;
    return rc;
}

int slm_train_save_best(slm_train *t, slm_err *err) { return save(t, BEST, false, err); }

/* ---- reading ---- */

/* Options that later bits depend on: another one than the checkpoint's is no going on. */
static int compare(const slm_train *t, const char *path, const slm_json *then, slm_err *err)
{
    static const char *const keys[] = {
        "fingerprint", "data",      "seq",          "rows",          "pack",   "shuffle",
        "seed",        "optimizer", "lr",           "beta1",         "beta2",  "eps",
        "momentum",    "clip",      "weight_decay", "schedule",      "warmup", "min_lr",
        "decay_share", "precision", "trained",      "quantize_base", "loss",   "beta",
        "lambda",      "gamma",     "desirable",    "undesirable"};
    struct slm_buf b, x, y;
    slm_json *now = NULL;
    slm_buf_init(&b, t->rt, SLM_MEM_MODEL, 1 << 20);
    slm_buf_init(&x, t->rt, SLM_MEM_MODEL, 1 << 16);
    slm_buf_init(&y, t->rt, SLM_MEM_MODEL, 1 << 16);
    slm_train_config_put(t, &b);
    int rc = slm_buf_check(&b, path, err);
    if (!rc)
        rc = slm_json_parse(&now, b.s, b.n, "options", err);
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !rc; i++) {
        slm_buf_reset(&x);
        slm_buf_reset(&y);
        if (slm_json_find(then, keys[i]))
            slm_json_put(&x, slm_json_find(then, keys[i]));
        if (slm_json_find(now, keys[i]))
            slm_json_put(&y, slm_json_find(now, keys[i]));
        if (strcmp(x.n ? x.s : "", y.n ? y.s : ""))
            rc = slm_fail(err, SLM_E_ARG,
                          "%s: %s was %.60s when it was made and is %.60s now: a run goes on "
                          "with what it began with",
                          path, keys[i], x.n ? x.s : "none", y.n ? y.s : "none");
    }
    slm_json_free(now);
    slm_buf_release(&b);
    slm_buf_release(&x);
    slm_buf_release(&y);
    return rc;
}

static int read_place(slm_train *t, const slm_st *st, const char *path, slm_err *err)
{
    const char *meta = slm_st_meta_find(st, META);
    slm_json *j = NULL;
    if (!meta)
        return slm_fail(err, SLM_E_FORMAT, "%s: no checkpoint of slm train", path);
    int rc = slm_json_parse(&j, meta, strlen(meta), path, err);
    int64_t version = rc ? 0 : slm_json_int(slm_json_find(j, "version"), 0);
    if (!rc && version != 1)
        rc = slm_fail(err, SLM_E_UNSUPPORTED, "%s: a checkpoint of version %lld", path,
                      (long long)version);
    if (!rc)
        rc = compare(t, path, slm_json_find(j, "config"), err);
    if (!rc) {
        t->step = slm_json_int(slm_json_find(j, "step"), -1);
        t->tokens = slm_json_int(slm_json_find(j, "tokens"), 0);
        t->targets = slm_json_int(slm_json_find(j, "targets"), 0);
        t->best = slm_json_num(slm_json_find(j, "best"), 2e300);
        t->best_step = slm_json_int(slm_json_find(j, "best_step"), 0);
        t->stale = (int)slm_json_int(slm_json_find(j, "stale"), 0);
        /* the same parts in the same order, whatever memory there is today; among other ranks
         * than then as given, which makes as many rows */
        const slm_json *c = slm_json_find(j, "config");
        int ranks = t->sharing.r ? t->sharing.r->n : 1;
        if (slm_json_int(slm_json_find(c, "ranks"), 1) == ranks) {
            t->o.batch = (int)slm_json_int(slm_json_find(c, "batch"), t->o.batch);
            t->o.accumulate =
                (int)slm_json_int(slm_json_find(c, "accumulate"), t->o.accumulate);
        }
        t->o.stretch = (int)slm_json_int(slm_json_find(c, "stretch"), 0);
        if (t->o.batch < 1 || t->o.accumulate < 1 || t->o.stretch < 0)
            rc = slm_fail(err, SLM_E_FORMAT, "%s: its batch is none", path);
        if (t->step < 0)
            rc = slm_fail(err, SLM_E_FORMAT, "%s: no step in it", path);
    }
    slm_json_free(j);
    return rc;
}

static int read_one(const slm_st *st, const char *path, const char *kind,
                    const struct slm_param *p, void *out, slm_err *err)
{
    char name[192];
    bool value = !strcmp(kind, "value");
    snprintf(name, sizeof name, "%s.%s", kind, p->name);
    const struct slm_tensor_ref *r = slm_st_tensor_find(st, name);
    size_t want = value ? p->n * sizeof(float) : p->state_bytes;
    if (!r || r->type != (value ? SLM_F32 : SLM_U8) || r->bytes != want)
        return slm_fail(err, SLM_E_FORMAT, "%s: tensor %s is %s", path, name,
                        r ? "of another size or type" : "missing");
    memcpy(out, r->data, want);
    slm_map_forget(r->data, want);
    return 0;
}

static int load(slm_train *t, const char *file, bool states, slm_err *err)
{
    struct slm_buf path;
    slm_st *st = NULL;
    path_of(t, &path, file);
    int rc = slm_buf_check(&path, file, err);
    if (!rc)
        rc = slm_st_open(&st, t->rt, path.s, err);
    for (int i = 0; i < t->params.n && !rc; i++) {
        const struct slm_param *p = &t->params.p[i];
        rc = read_one(st, path.s, "value", p, p->v, err);
        if (!rc && states && !p->away)
            rc = read_one(st, path.s, "state", p, t->optim.state + p->state, err);
    }
    slm_st_close(&st);
    slm_buf_release(&path);
    return rc;
}

int slm_train_find(slm_train *t, bool *found, slm_err *err)
{
    struct slm_buf path;
    slm_st *st = NULL;
    path_of(t, &path, CHECKPOINT);
    int rc = slm_buf_check(&path, CHECKPOINT, err);
    *found = !rc && slm_path_is_file(path.s);
    if (*found) {
        rc = slm_st_open(&st, t->rt, path.s, err);
        if (!rc)
            rc = read_place(t, st, path.s, err);
        slm_st_close(&st);
    }
    slm_buf_release(&path);
    return rc;
}

void slm_train_sweep(slm_train *t)
{
    static const char *const names[] = {CHECKPOINT, BEST, "model.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct slm_buf path;
        path_of(t, &path, names[i]);
        if (!path.failed)
            slm_out_sweep(path.s);
        slm_buf_release(&path);
    }
}

int slm_train_load(slm_train *t, slm_err *err) { return load(t, CHECKPOINT, true, err); }

int slm_train_load_best(slm_train *t, slm_err *err)
{
    return t->best < 1e300 ? load(t, BEST, false, err) : 0;
}
