/* Batches as a pure function of options and number: nothing is remembered but the plan of the
 * epoch last asked for, so a run resumes at any step and ranks agree without talking. */
#include "data/pack.h"

#include <string.h>

struct slm_feed {
    slm_runtime *rt;
    const slm_tokens *t;
    slm_feed_opts o;
    struct pack pack;
    uint64_t epoch; /* that the plan is of */
    int64_t batches, rows;
    int vocab, most, max_streams;
    int32_t *block; /* ids, pos, stream, target (most each), first */
    int64_t *doc;
};

void slm_feed_opts_init(slm_feed_opts *o)
{
    *o = (slm_feed_opts){.seq = 2048, .batch = 1, .pack = SLM_PACK_BEST_FIT, .shuffle = 1};
}

static int check(slm_feed *f, const slm_feed_opts *o, slm_err *err)
{
    f->o = *o;
    f->o.ranks = o->ranks ? o->ranks : 1;
    if (o->seq < 2 || o->batch < 1 || o->seq > 1 << 24 || o->batch > 1 << 20 ||
        (int64_t)o->seq * o->batch > 1 << 28)
        return slm_fail(err, SLM_E_ARG, "batches of %d rows of %d tokens", o->batch, o->seq);
    if (f->o.ranks < 1 || o->rank < 0 || o->rank >= f->o.ranks || f->o.ranks > 1 << 16)
        return slm_fail(err, SLM_E_ARG, "rank %d of %d", o->rank, f->o.ranks);
    int64_t all = (int64_t)o->batch * f->o.ranks;
    if (o->step && (o->step < 0 || o->step % all))
        return slm_fail(err, SLM_E_ARG,
                        "a step of %d rows is not whole batches of %d rows on %d ranks",
                        o->step, o->batch, f->o.ranks);
    if (o->cycle && o->shuffle)
        return slm_fail(err, SLM_E_ARG, "rows cannot be cycled and shuffled at once");
    return 0;
}

static int take_memory(slm_feed *f, slm_err *err)
{
    /* every document has a token at least, so streams are no more than tokens */
    int64_t most = (int64_t)f->o.batch * f->pack.room, docs = slm_tokens_docs(f->t);
    if (most > INT32_MAX / 8)
        return slm_fail(err, SLM_E_ARG, "batches of %lld tokens", (long long)most);
    f->most = (int)most;
    f->max_streams = (int)most;
    if (!f->o.cycle && docs + f->o.batch < most) /* wrapped, a row may begin amid a document */
        f->max_streams = (int)docs + f->o.batch;
    f->block = slm_alloc_n(f->rt, SLM_MEM_DATA, (size_t)most * 4 + (size_t)f->max_streams + 1,
                           sizeof *f->block);
    f->doc = slm_alloc_n(f->rt, SLM_MEM_DATA, (size_t)f->max_streams, sizeof *f->doc);
    return f->block && f->doc ? 0 : slm_fail_mem(err, "batches", (size_t)most * 16);
}

int slm_feed_open(slm_feed **out, slm_runtime *rt, const slm_tokens *t, const slm_feed_opts *o,
                  slm_err *err)
{
    *out = NULL;
    slm_feed *f = slm_zalloc(rt, SLM_MEM_DATA, sizeof *f);
    if (!f)
        return slm_fail_mem(err, "feed", sizeof *f);
    slm_tokens_info info;
    slm_tokens_info_get(t, &info);
    f->rt = rt;
    f->t = t;
    f->vocab = info.vocab;
    int rc = check(f, o, err);
    rc = rc ? rc : slm_pack_init(&f->pack, rt, t, &f->o, err);
    rc = rc ? rc : take_memory(f, err);
    if (rc) {
        slm_feed_close(&f);
        return rc;
    }
    slm_pack_plan(&f->pack, f->o.shuffle, f->o.seed, 0);
    int64_t all = (int64_t)f->o.batch * f->o.ranks, step = f->o.step ? f->o.step : all;
    f->rows = f->pack.rows;
    f->batches =
        f->o.cycle ? (f->rows + all - 1) / all : (f->rows + step - 1) / step * (step / all);
    *out = f;
    return 0;
}

void slm_feed_close(slm_feed **feed)
{
    slm_feed *f = *feed;
    if (!f)
        return;
    slm_pack_release(&f->pack);
    slm_free(f->rt, f->block);
    slm_free(f->rt, f->doc);
    slm_free(f->rt, f);
    *feed = NULL;
}

int64_t slm_feed_batches(const slm_feed *f) { return f->batches; }
int64_t slm_feed_rows(const slm_feed *f) { return f->rows; }
int slm_feed_most(const slm_feed *f) { return f->most; }

double slm_feed_filled(const slm_feed *f)
{
    return (double)f->pack.tokens / ((double)f->rows * f->pack.room);
}

/* Tokens [from, to) of a document as a stream of its own. */
static int add_stream(slm_feed *f, struct slm_batch *b, int64_t doc, int from, int to,
                      slm_err *err)
{
    struct slm_doc d;
    slm_tokens_doc(f->t, doc, &d);
    for (int i = from; i < to; i++, b->rows++) {
        bool next = i + 1 < d.n && d.learn[i + 1];
        if (d.ids[i] < 0 || d.ids[i] >= f->vocab)
            return slm_fail(err, SLM_E_FORMAT,
                            "document %lld of the store of tokens: id %d is outside the "
                            "vocabulary of %d",
                            (long long)doc, (int)d.ids[i], f->vocab);
        b->ids[b->rows] = d.ids[i];
        b->pos[b->rows] = i - from;
        b->stream[b->rows] = b->n_streams;
        b->target[b->rows] = next ? d.ids[i + 1] : -1;
        if (next && (d.ids[i + 1] < 0 || d.ids[i + 1] >= f->vocab))
            return slm_fail(err, SLM_E_FORMAT,
                            "document %lld of the store of tokens: id %d is outside the "
                            "vocabulary of %d",
                            (long long)doc, (int)d.ids[i + 1], f->vocab);
        b->targets += next;
    }
    b->doc[b->n_streams] = doc;
    b->first[++b->n_streams] = b->rows;
    return 0;
}

/* Of the units in their order, the one that holds token `at`. */
static uint32_t unit_at(const struct pack *p, uint64_t at)
{
    uint32_t lo = 0, hi = p->units;
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (p->before[mid] <= at)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

static int add_wrapped(slm_feed *f, struct slm_batch *b, uint32_t row, slm_err *err)
{
    const struct pack *p = &f->pack;
    uint64_t at = (uint64_t)row * (uint64_t)p->room, end = at + (uint64_t)p->room;
    int rc = 0;
    if (end > p->tokens)
        end = p->tokens;
    for (uint32_t u = unit_at(p, at); at < end && !rc; u++) {
        uint64_t stop = p->before[u + 1] < end ? p->before[u + 1] : end;
        rc = add_stream(f, b, p->unit[u], (int)(at - p->before[u]), (int)(stop - p->before[u]),
                        err);
        at = stop;
    }
    return rc;
}

static int add_row(slm_feed *f, struct slm_batch *b, uint32_t row, slm_err *err)
{
    const struct pack *p = &f->pack;
    int rc = 0;
    b->packed++;
    if (p->how == SLM_PACK_WRAPPED)
        return add_wrapped(f, b, row, err);
    for (uint32_t u = p->first[row]; u < p->first[row + 1]; u++)
        for (int i = 0; i < p->per && !rc; i++) {
            int64_t doc = (int64_t)p->unit[u] * p->per + i;
            struct slm_doc d;
            slm_tokens_doc(f->t, doc, &d);
            rc = add_stream(f, b, doc, 0, d.n, err);
        }
    return rc;
}

int slm_feed_get(slm_feed *f, uint64_t number, struct slm_batch *out, slm_err *err)
{
    size_t n = (size_t)f->most;
    uint64_t epoch = f->o.cycle ? 0 : number / (uint64_t)f->batches,
             k = f->o.cycle ? number : number % (uint64_t)f->batches;
    *out = (struct slm_batch){.ids = f->block,
                              .pos = f->block + n,
                              .stream = f->block + 2 * n,
                              .target = f->block + 3 * n,
                              .first = f->block + 4 * n,
                              .doc = f->doc};
    out->first[0] = 0;
    if (epoch != f->epoch)
        slm_pack_plan(&f->pack, f->o.shuffle, f->o.seed, epoch);
    f->epoch = epoch;
    uint64_t row = (k * (uint64_t)f->o.ranks + (uint64_t)f->o.rank) * (uint64_t)f->o.batch;
    int rc = 0;
    for (int i = 0; i < f->o.batch && !rc; i++, row++) {
        uint64_t at = f->o.cycle ? row % (uint64_t)f->rows : row;
        if (at < (uint64_t)f->rows)
            rc = add_row(f, out, f->pack.row[at], err);
    }
    return rc;
}
