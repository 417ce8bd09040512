/* What a run on preferences needs beside what every run does: room, and where the whole model
 * learns (so that switching an adapter off gives no reference) the reference's numbers,
 * computed before the first step and kept in a file beside the checkpoint. */
#include <stdio.h>
#include <string.h>

#include "train/prefer_run.h"

static int check_data(const slm_train *t, const struct slm_feeder *f, slm_err *err)
{
    const struct slm_prefer_kind *k = t->prefer->loss.kind;
    slm_tokens_info i;
    slm_tokens_info_get(f->tokens, &i);
    if (i.kind == SLM_TOKENS_PAIR || (i.kind == SLM_TOKENS_JUDGED && !k->pairs))
        return 0;
    return slm_fail(err, SLM_E_ARG, "loss %s learns from rows with a chosen%s", k->name,
                    k->pairs ? " and a rejected answer"
                             : " and a rejected answer, or an answer with a label");
}

static int take_room(slm_train *t, slm_err *err)
{
    struct slm_prefer_run *u = t->prefer;
    size_t n = (size_t)t->most;
    u->a = slm_arena_alloc_n(&t->arena, n, sizeof *u->a);
    u->sum = slm_arena_alloc_n(&t->arena, n * 2, sizeof *u->sum);
    u->whole = slm_arena_alloc_n(&t->arena, n * 7 + 1, sizeof *u->whole);
    if (!u->a || !u->sum || !u->whole)
        return slm_fail_mem(err, "preferences", (size_t)slm_prefer_run_bytes(t));
    u->slope = u->sum + n;
    u->ids = u->whole + n;
    u->pos = u->ids + n;
    u->stream = u->pos + n;
    u->target = u->stream + n;
    u->tail = u->target + n;
    u->first = u->tail + n;
    return 0;
}

int slm_prefer_run_open(slm_train *t, slm_err *err)
{
    if (!t->o.prefer.kind)
        return 0;
    t->prefer = slm_arena_alloc(&t->arena, sizeof *t->prefer);
    if (!t->prefer)
        return slm_fail_mem(err, "preferences", sizeof *t->prefer);
    memset(t->prefer, 0, sizeof *t->prefer);
    int rc = slm_prefer_loss_init(&t->prefer->loss, &t->o.prefer, err);
    t->o.prefer = t->prefer->loss.o;
    if (!rc)
        rc = check_data(t, &t->feed, err);
    if (!rc && t->eval.feed)
        rc = check_data(t, &t->eval, err);
    return rc;
}

void slm_prefer_run_close(slm_train *t)
{
    if (!t->prefer)
        return;
    slm_free(t->rt, t->prefer->refs.doc);
    slm_free(t->rt, t->prefer->eval_refs.doc);
    t->prefer->refs.doc = t->prefer->eval_refs.doc = NULL;
}

uint64_t slm_prefer_run_bytes(const slm_train *t)
{
    if (!t->o.prefer.kind)
        return 0;
    uint64_t docs = (uint64_t)slm_tokens_docs(t->feed.tokens) +
                    (t->eval.feed ? (uint64_t)slm_tokens_docs(t->eval.tokens) : 0);
    return (uint64_t)t->most * (sizeof(struct slm_answer) + 16 + 28) + docs * sizeof(double);
}

/* ---- the reference's numbers ---- */

struct head {
    char magic[8]; /* "slm-ref1" */
    uint64_t fingerprint;
    int64_t docs, steps, eval_docs, eval_steps;
    char kind[8], hash[48], eval_hash[48];
};

static void fill_head(const slm_train *t, struct head *h)
{
    const struct slm_prefer_run *u = t->prefer;
    memset(h, 0, sizeof *h);
    memcpy(h->magic, "slm-ref1", 8);
    h->fingerprint = t->fingerprint;
    h->docs = u->refs.docs;
    h->steps = u->refs.steps;
    h->eval_docs = u->eval_refs.docs;
    h->eval_steps = u->eval_refs.steps;
    snprintf(h->kind, sizeof h->kind, "%s", u->loss.kind->name);
    memcpy(h->hash, t->feed.hash, sizeof h->hash);
    memcpy(h->eval_hash, t->eval.hash, sizeof h->eval_hash);
}

static size_t numbers(const struct slm_prefer_refs *r) { return (size_t)(r->docs + r->steps); }

static int take(slm_train *t, bool eval, struct slm_prefer_refs *r, slm_err *err)
{
    const struct slm_feeder *f = eval ? &t->eval : &t->feed;
    if (!f->feed)
        return 0;
    r->docs = slm_tokens_docs(f->tokens);
    r->steps = !t->prefer->loss.kind->mismatched ? 0 : eval ? 1 : t->plan.steps;
    r->doc = slm_zalloc_n(t->rt, SLM_MEM_MODEL, numbers(r), sizeof *r->doc);
    if (!r->doc)
        return slm_fail_mem(err, "the reference's numbers", numbers(r) * sizeof *r->doc);
    r->step = r->doc + r->docs;
    return 0;
}

static int save(const slm_train *t, const char *path, slm_err *err)
{
    struct slm_out o;
    struct head h;
    const struct slm_prefer_refs *a = &t->prefer->refs, *b = &t->prefer->eval_refs;
    fill_head(t, &h);
    int rc = slm_out_open(&o, t->rt, path, err);
    if (rc)
        return rc;
    rc = slm_out_write(&o, &h, sizeof h, err);
    if (!rc)
        rc = slm_out_write(&o, a->doc, numbers(a) * sizeof *a->doc, err);
    if (!rc && b->doc)
        rc = slm_out_write(&o, b->doc, numbers(b) * sizeof *b->doc, err);
    if (!rc)
        return slm_out_commit(&o, err);
    slm_out_close(&o);
    return rc;
}

static int load(const slm_train *t, const char *path, slm_err *err)
{
    struct slm_map m;
    struct head h;
    const struct slm_prefer_refs *a = &t->prefer->refs, *b = &t->prefer->eval_refs;
    size_t na = numbers(a) * sizeof *a->doc, nb = b->doc ? numbers(b) * sizeof *b->doc : 0;
    fill_head(t, &h);
    int rc = slm_map_open(&m, path, err);
    if (rc)
        return rc;
    if (m.size != sizeof h + na + nb || memcmp(m.data, &h, sizeof h) != 0) {
        rc = slm_fail(
            err, SLM_E_FORMAT,
            "%s: the reference's numbers are of another model, data or number of steps", path);
    } else {
        memcpy(a->doc, m.data + sizeof h, na);
        if (nb)
            memcpy(b->doc, m.data + sizeof h + na, nb);
    }
    slm_map_close(&m);
    return rc;
}

int slm_prefer_run_begin(slm_train *t, slm_err *err)
{
    struct slm_prefer_run *u = t->prefer;
    int rc = u && !u->a ? take_room(t, err) : 0; /* a batch is as large as the plan chose */
    if (rc || !u || !u->loss.kind->refers || t->o.adapter || u->refs.doc)
        return rc;
    struct slm_buf path;
    slm_buf_init(&path, t->rt, SLM_MEM_MODEL, 1 << 16);
    if (t->o.out)
        slm_path_join(&path, t->o.out, "reference.bin");
    rc = slm_buf_check(&path, "reference.bin", err);
    if (!rc)
        rc = take(t, false, &u->refs, err);
    if (!rc)
        rc = take(t, true, &u->eval_refs, err);
    if (!rc && t->step > 0) {
        rc = load(t, path.s, err);
    } else if (!rc) {
        rc = slm_prefer_refer(t, false, &u->refs, err);
        if (!rc && t->eval.feed)
            rc = slm_prefer_refer(t, true, &u->eval_refs, err);
        if (!rc && t->o.out && slm_ranks_leader(t))
            rc = save(t, path.s, err);
    }
    slm_buf_release(&path);
    return rc;
}
