/* Which tokens come when: rows of ids in file order, cycled. */
#include <string.h>

#include "train/train_in.h"

struct slm_feeder {
    slm_runtime *rt;
    const int32_t *ids;
    int64_t rows; /* of seq ids */
    int seq, batch;
    int32_t *room; /* ids, pos, stream, target of a batch */
};

int slm_feeder_open(struct slm_feeder **out, slm_runtime *rt, const slm_train_opts *o,
                    bool eval, slm_err *err)
{
    (void)eval;
    if (!o->ids || o->n_ids < (size_t)o->seq)
        return slm_fail(err, SLM_E_ARG, "%zu ids make no row of %d", o->n_ids, o->seq);
    struct slm_feeder *f = slm_zalloc(rt, SLM_MEM_MODEL, sizeof *f);
    size_t n = (size_t)o->seq * (size_t)o->batch;
    int32_t *room = f ? slm_alloc_n(rt, SLM_MEM_MODEL, n, 4 * sizeof *room) : NULL;
    if (!room) {
        slm_free(rt, f);
        return slm_fail_mem(err, "batches", n * 4 * sizeof *room);
    }
    *f = (struct slm_feeder){.rt = rt,
                             .ids = o->ids,
                             .rows = (int64_t)(o->n_ids / (size_t)o->seq),
                             .seq = o->seq,
                             .batch = o->batch,
                             .room = room};
    *out = f;
    return 0;
}

void slm_feeder_close(struct slm_feeder **pf)
{
    struct slm_feeder *f = *pf;
    if (!f)
        return;
    slm_free(f->rt, f->room);
    slm_free(f->rt, f);
    *pf = NULL;
}

int64_t slm_feeder_batches(const struct slm_feeder *f)
{
    return (f->rows + f->batch - 1) / f->batch;
}

int slm_feeder_get(struct slm_feeder *f, int64_t number, struct slm_batch *out, slm_err *err)
{
    (void)err;
    size_t n = (size_t)f->seq * (size_t)f->batch;
    *out = (struct slm_batch){.rows = (int)n,
                              .n_streams = f->batch,
                              .ids = f->room,
                              .pos = f->room + n,
                              .stream = f->room + 2 * n,
                              .target = f->room + 3 * n};
    for (int b = 0; b < f->batch; b++) {
        const int32_t *row = f->ids + (number * f->batch + b) % f->rows * f->seq;
        for (int i = 0; i < f->seq; i++) {
            int at = b * f->seq + i;
            out->ids[at] = row[i];
            out->pos[at] = i;
            out->stream[at] = b;
            out->target[at] = i + 1 < f->seq ? row[i + 1] : -1;
        }
    }
    out->targets = (int64_t)f->batch * (f->seq - 1);
    return 0;
}

int slm_feeder_check(const struct slm_feeder *f, int vocab, slm_err *err)
{
    for (int64_t i = 0; i < f->rows * f->seq; i++)
        if (f->ids[i] < 0 || f->ids[i] >= vocab)
            return slm_fail(err, SLM_E_ARG, "id %lld is %d: outside the vocabulary of %d",
                            (long long)i, f->ids[i], vocab);
    return 0;
}

uint64_t slm_feeder_hash(const struct slm_feeder *f)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (int64_t i = 0; i < f->rows * f->seq; i++)
        h = (h ^ (uint32_t)f->ids[i]) * 0x100000001b3u;
    return h;
}
