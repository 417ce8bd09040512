/* A step of preferences: each micro-batch runs forward (by the reference first, where the loss
 * has one), its losses give every row a weight, and the same run goes back. What spans
 * micro-batches (how many items and tokens, kto's distance) is summed over them before, so that
 * a step is the same however it is cut. */
#include "train/prefer_run.h"

#include <math.h>
#include <string.h>

/* What a pass over micro-batches runs on. */
struct pass {
    slm_train *t;
    slm_prog *prog;
    slm_feed *feed;
    const slm_tokens *tokens;
    const struct slm_prefer_refs *refs;
    int64_t first, n, step; /* micro-batches; which of refs->step */
};

/* ---- runs ---- */

/* The weights of the rows come behind the losses. */
static struct slm_run run_of(slm_train *t, const struct slm_batch *b, const int32_t *target)
{
    struct slm_run run = slm_train_run_of(t, b);
    run.target = target;
    run.later = true;
    return run;
}

/* The texts that were put together in u: n streams in so many rows. */
static struct slm_batch batch_of(const struct slm_prefer_run *u, int rows, int n)
{
    return (struct slm_batch){.rows = rows,
                              .ids = u->ids,
                              .pos = u->pos,
                              .stream = u->stream,
                              .target = u->target,
                              .first = u->first,
                              .n_streams = n};
}

static int sums_of(const struct pass *p, const struct slm_batch *b, struct slm_run *run,
                   double *sum, slm_err *err)
{
    struct slm_prefer_rows rows = {b->n_streams, b->first, b->target};
    slm_prog_run(p->prog, run);
    slm_prefer_sums(sum, &rows, slm_prog_row_loss(p->prog));
    for (int i = 0; i < b->n_streams; i++)
        if (!isfinite(sum[i]))
            return slm_fail(err, SLM_E_NUMERIC,
                            "step %lld: log p of an answer is not finite (document %lld%s)",
                            (long long)p->t->step + 1, (long long)(b->doc ? b->doc[i] : i),
                            run->plain ? ", by the reference" : "");
    return 0;
}

static int get(const struct pass *p, int64_t i, struct slm_batch *b, slm_err *err)
{
    return slm_feed_get(p->feed, (uint64_t)(p->first + i), b, err);
}

/* ---- mismatched texts: each prompt with the answer before it ---- */

/* First row of a stream's answer's tokens; the end where it has none. */
static int32_t answer_at(const struct slm_batch *b, int stream)
{
    int32_t r = b->first[stream];
    while (r < b->first[stream + 1] && b->target[r] < 0)
        r++;
    return r + 1 < b->first[stream + 1] ? r + 1 : b->first[stream + 1];
}

static void keep_tail(struct slm_prefer_run *u, const struct slm_batch *b, int stream)
{
    int32_t at = answer_at(b, stream), end = b->first[stream + 1];
    u->n_tail = end - at;
    memcpy(u->tail, b->ids + at, (size_t)u->n_tail * sizeof *u->tail);
}

/* The prompt of a stream with u->tail, behind `at` rows as stream s; cut to what is left of
 * `most`. Returns the rows then; `at` where nothing fits. */
static int put_other(struct slm_prefer_run *u, const struct slm_batch *b, int stream, int at,
                     int s, int most)
{
    int prompt = answer_at(b, stream) - b->first[stream], n = prompt + u->n_tail;
    n = at + n > most ? most - at : n;
    if (n <= prompt)
        return at;
    memcpy(u->ids + at, b->ids + b->first[stream], (size_t)prompt * sizeof *u->ids);
    memcpy(u->ids + at + prompt, u->tail, (size_t)(n - prompt) * sizeof *u->ids);
    for (int i = 0; i < n; i++) {
        u->pos[at + i] = i;
        u->stream[at + i] = s;
        u->target[at + i] = i + 1 < n && i + 1 >= prompt ? u->ids[at + i + 1] : -1;
    }
    u->first[s] = at;
    u->first[s + 1] = at + n;
    return at + n;
}

/* Sum of log p of what was put together, by the policy or its reference. */
static int run_others(const struct pass *p, int rows, int n, bool plain, double *sum,
                      slm_err *err)
{
    struct slm_prefer_run *u = p->t->prefer;
    struct slm_batch b = batch_of(u, rows, n);
    struct slm_run run = run_of(p->t, &b, u->target);
    run.plain = plain;
    int rc = n ? sums_of(p, &b, &run, u->sum, err) : 0;
    for (int i = 0; i < n && !rc; i++)
        *sum += u->sum[i];
    return rc;
}

/* Which sides of the distance are wanted: policy's minus reference's sum. */
enum sides { POLICY = 1, REFERENCE = 2 };

static int both_sides(const struct pass *p, int rows, int n, int sides, double *sum,
                      slm_err *err)
{
    double own = 0, ref = 0;
    int rc = sides & POLICY ? run_others(p, rows, n, false, &own, err) : 0;
    if (!rc && sides & REFERENCE)
        rc = run_others(p, rows, n, true, &ref, err);
    *sum += own - ref;
    return rc;
}

/* One micro-batch's mismatched texts, as many at a time as its rows allow. */
static int others_of(const struct pass *p, const struct slm_batch *b, int sides, double *sum,
                     slm_err *err)
{
    struct slm_prefer_run *u = p->t->prefer;
    int rows = 0, n = 0, rc = 0;
    for (int i = 0; i < b->n_streams && !rc; i++) {
        int whole = answer_at(b, i) - b->first[i] + u->n_tail;
        if (n && rows + whole > p->t->most) {
            rc = both_sides(p, rows, n, sides, sum, err);
            rows = n = 0;
        }
        if (rows + whole > p->t->most && !u->told) {
            slm_log(
                p->t->rt, SLM_LOG_WARN,
                "kto: a prompt with the answer before it has %d tokens, more than the %d of a "
                "micro-batch: such texts count cut in the distance from the reference",
                whole, p->t->most);
            u->told = true;
        }
        int then = put_other(u, b, i, rows, n, p->t->most);
        n += then > rows;
        rows = then;
        keep_tail(u, b, i);
    }
    return rc ? rc : both_sides(p, rows, n, sides, sum, err);
}

/* Sum of log p (policy's less reference's) over all mismatched texts of a step of this rank. */
static int distance(const struct pass *p, int sides, double *sum, slm_err *err)
{
    struct slm_prefer_run *u = p->t->prefer;
    struct slm_batch b = {0};
    int rc = 0;
    *sum = 0;
    u->n_tail = 0;
    for (int64_t i = p->n - 1; i >= 0 && !rc && !u->n_tail; i--) {
        rc = get(p, i, &b, err);
        if (!rc && b.n_streams)
            keep_tail(u, &b, b.n_streams - 1);
    }
    for (int64_t i = 0; i < p->n && !rc; i++) {
        rc = get(p, i, &b, err);
        if (!rc)
            rc = others_of(p, &b, sides, sum, err);
    }
    return rc;
}

/* ---- what is known before the first micro-batch ---- */

static void label(const struct pass *p, const struct slm_batch *b)
{
    struct slm_prefer_run *u = p->t->prefer;
    for (int i = 0; i < b->n_streams; i++) {
        struct slm_doc d;
        slm_tokens_doc(p->tokens, b->doc[i], &d);
        u->a[i] = (struct slm_answer){.tokens = d.targets, .chosen = d.label != 0};
    }
}

static int count(const struct pass *p, slm_err *err)
{
    struct slm_prefer_run *u = p->t->prefer;
    const struct slm_prefer_kind *k = u->loss.kind;
    struct slm_prefer_counts *c = &u->count;
    struct slm_batch b;
    int rc = 0;
    memset(c, 0, sizeof *c);
    for (int64_t i = 0; i < p->n && !rc; i++) {
        if ((rc = get(p, i, &b, err)))
            break;
        label(p, &b);
        struct slm_prefer_rows rows = {b.n_streams, b.first, b.target};
        c->items += k->pairs ? b.n_streams / 2 : b.n_streams;
        c->whole += k->whole ? (double)slm_prefer_whole(u->whole, &rows, u->a, b.ids) : 0;
        c->answers += b.n_streams;
        c->targets += (double)b.targets;
    }
    double all[] = {c->items, c->answers, c->targets, c->whole};
    rc = slm_ranks_sum(p->t, rc, all, 4, err);
    *c = (struct slm_prefer_counts){all[0], all[1], all[2], all[3]};
    return rc;
}

/* z of the step. */
static int take_distance(const struct pass *p, slm_err *err)
{
    struct slm_prefer_run *u = p->t->prefer;
    double sum = 0;
    u->loss.z = 0;
    if (!u->loss.kind->mismatched)
        return 0;
    int rc = distance(p, p->refs->doc ? POLICY : POLICY | REFERENCE, &sum, err);
    if (!rc && p->refs->doc)
        sum -= p->refs->step[p->step];
    rc = slm_ranks_sum(p->t, rc, &sum, 1, err);
    if (!rc && sum > 0)
        u->loss.z = sum / u->count.answers;
    return rc;
}

/* ---- a micro-batch ---- */

static int references(const struct pass *p, const struct slm_batch *b, slm_err *err)
{
    struct slm_prefer_run *u = p->t->prefer;
    int rc = 0;
    if (!u->loss.kind->refers)
        return 0;
    if (!p->refs->doc) {
        struct slm_run run = run_of(p->t, b, b->target);
        run.plain = true;
        rc = sums_of(p, b, &run, u->sum, err);
    }
    for (int i = 0; i < b->n_streams && !rc; i++)
        u->a[i].ref = p->refs->doc ? p->refs->doc[b->doc[i]] : u->sum[i];
    return rc;
}

/* Losses of the batch's items, and slopes; the run is left as it was, for the way back. */
static int forward(const struct pass *p, const struct slm_batch *b, struct slm_run *run,
                   slm_err *err)
{
    struct slm_prefer_run *u = p->t->prefer;
    const struct slm_prefer_counts *c = &u->count;
    const struct slm_prefer_rows rows = {b->n_streams, b->first, b->target};
    label(p, b);
    int rc = references(p, b, err);
    const int32_t *target = b->target;
    if (u->loss.kind->whole) {
        slm_prefer_whole(u->whole, &rows, u->a, b->ids);
        target = u->whole;
    }
    uint64_t seed = run->seed;
    *run = run_of(p->t, b, target);
    run->seed = seed;
    if (!rc)
        rc = sums_of(p, b, run, u->sum, err);
    if (rc)
        return rc;
    for (int i = 0; i < b->n_streams; i++)
        u->a[i].logp = u->sum[i];
    double before = u->tally.loss;
    slm_prefer_items(&u->loss, u->a, b->n_streams, u->slope, NULL, &u->tally);
    p->t->loss += (u->tally.loss - before) / c->items;
    const float *row_loss = slm_prog_row_loss(p->prog);
    for (int i = 0; i < b->n_streams && u->loss.kind->whole; i++)
        for (int32_t r = b->first[i]; r + 1 < b->first[i + 1] && u->a[i].chosen; r++)
            p->t->loss += (double)row_loss[r] / c->whole;
    for (int i = 0; i < b->n_streams; i++)
        u->slope[i] /= c->items;
    return 0;
}

static void backward(const struct pass *p, const struct slm_batch *b, struct slm_run *run)
{
    struct slm_prefer_run *u = p->t->prefer;
    const struct slm_prefer_rows rows = {b->n_streams, b->first, b->target};
    slm_prefer_weights(p->t->weight, &rows, u->a, u->slope,
                       u->loss.kind->whole ? 1 / u->count.whole : 0);
    run->weight = p->t->weight;
    slm_prog_run_back(p->prog, run);
}

static struct pass learning(slm_train *t, int64_t first)
{
    return (struct pass){t,     t->prog,         t->feed.feed, t->feed.tokens, &t->prefer->refs,
                         first, t->o.accumulate, t->step};
}

int slm_prefer_run_count(slm_train *t, int64_t first, int64_t *targets, slm_err *err)
{
    struct pass p = learning(t, first);
    const struct slm_prefer_counts *c = &t->prefer->count;
    int rc = count(&p, err);
    if (!rc && !(c->items > 0 && c->targets > 0))
        rc = slm_fail(err, SLM_E_ARG, "step %lld: its batch has no answer to learn from",
                      (long long)t->step + 1);
    *targets = (int64_t)c->targets;
    return rc ? rc : take_distance(&p, err);
}

int slm_prefer_run_step(slm_train *t, int64_t first, double *tokens, slm_err *err)
{
    struct pass p = learning(t, first);
    int rc = 0;
    memset(&t->prefer->tally, 0, sizeof t->prefer->tally);
    for (int64_t i = 0; i < p.n && !rc; i++) {
        struct slm_batch b;
        struct slm_run run = {.seed = slm_train_dropout_seed(t, first + i)};
        rc = get(&p, i, &b, err);
        if (rc || !b.n_streams)
            continue;
        rc = forward(&p, &b, &run, err);
        if (rc)
            return rc;
        slm_ranks_watch(t, i == p.n - 1);
        backward(&p, &b, &run);
        *tokens += b.rows;
    }
    return rc;
}

int slm_prefer_run_eval(slm_train *t, double *loss, slm_err *err)
{
    int64_t n = slm_feed_batches(t->eval.feed);
    n = t->o.eval_batches && n > t->o.eval_batches ? t->o.eval_batches : n;
    struct pass p = {t, t->eval_prog, t->eval.feed, t->eval.tokens, &t->prefer->eval_refs, 0, n,
                     0};
    struct slm_prefer_tally tally = t->prefer->tally;
    double mine = t->loss;
    int rc = count(&p, err);
    if (!rc)
        rc = take_distance(&p, err);
    t->loss = 0;
    for (int64_t i = 0; i < n && !rc; i++) {
        struct slm_batch b;
        struct slm_run run = {0};
        rc = get(&p, i, &b, err);
        if (!rc && b.n_streams)
            rc = forward(&p, &b, &run, err);
    }
    *loss = t->loss;
    rc = slm_ranks_sum(t, rc, loss, 1, err);
    t->loss = mine;
    t->prefer->tally = tally;
    return rc;
}

/* ---- the reference of a model that learns as a whole ---- */

/* Every document of a store once, in runs of whole documents. */
static int refer_docs(const struct pass *p, double *out, slm_err *err)
{
    struct slm_prefer_run *u = p->t->prefer;
    int64_t docs = slm_tokens_docs(p->tokens);
    int rc = 0;
    for (int64_t i = 0; i < docs && !rc;) {
        int64_t from = i;
        int rows = 0, n = 0;
        for (; i < docs; i++, n++) {
            struct slm_doc d;
            slm_tokens_doc(p->tokens, i, &d);
            if (rows + d.n > p->t->most)
                break;
            for (int k = 0; k < d.n; k++) {
                u->ids[rows + k] = d.ids[k];
                u->pos[rows + k] = k;
                u->stream[rows + k] = n;
                u->target[rows + k] = k + 1 < d.n && d.learn[k + 1] ? d.ids[k + 1] : -1;
            }
            u->first[n] = rows;
            rows += d.n;
            u->first[n + 1] = rows;
        }
        if (!n)
            return slm_fail(err, SLM_E_INTERNAL, "document %lld is longer than a batch",
                            (long long)i);
        struct slm_batch b = batch_of(u, rows, n);
        struct slm_run run = run_of(p->t, &b, u->target);
        run.plain = true;
        rc = sums_of(p, &b, &run, out + from, err);
    }
    return rc;
}

/* The numbers of one store; in steps of n micro-batches. */
int slm_prefer_refer(slm_train *t, bool eval, struct slm_prefer_refs *r, slm_err *err)
{
    struct slm_feeder *f = eval ? &t->eval : &t->feed;
    struct pass p = {t, eval ? t->eval_prog : t->prog, f->feed, f->tokens, r, 0, 0, 0};
    int rc = refer_docs(&p, r->doc, err);
    int64_t all = eval ? slm_feed_batches(f->feed) : t->o.accumulate;
    p.n = eval && t->o.eval_batches && all > t->o.eval_batches ? t->o.eval_batches : all;
    for (p.step = 0; p.step < r->steps && !rc; p.step++) {
        double sum;
        p.first = p.step * p.n;
        rc = distance(&p, REFERENCE, &sum, err);
        r->step[p.step] = -sum;
    }
    return rc;
}

void slm_prefer_run_tell(const slm_train *t, slm_train_event *e)
{
    const struct slm_prefer_tally *y = &t->prefer->tally;
    if (y->n_chosen)
        e->chosen = y->chosen / (double)y->n_chosen;
    if (y->n_rejected)
        e->rejected = y->rejected / (double)y->n_rejected;
    if (y->n_pairs)
        e->right = y->right / (double)y->n_pairs;
    e->margin = e->chosen - e->rejected;
}
