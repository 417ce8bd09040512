/* Where batches come from: a token store (or ids, made into one) through the data room's feed,
 * which gives batch n of any epoch from its number alone. */
#include <stdio.h>
#include <string.h>

#include "train/train_in.h"

int slm_feeder_open(struct slm_feeder *f, slm_train *t, const slm_tokens *data, bool eval,
                    slm_err *err)
{
    const slm_train_opts *o = &t->o;
    const slm_train_ranks *r = o->ranks;
    bool ids = !eval && !data;
    int rc =
        ids ? slm_tokens_from_ids(&f->own, t->rt, o->ids, o->n_ids, o->seq, t->m->hp.vocab, err)
            : 0;
    if (rc)
        return rc;
    f->tokens = ids ? f->own : data;
    slm_tokens_info i;
    slm_tokens_info_get(f->tokens, &i);
    if (i.vocab > t->m->hp.vocab)
        return slm_fail(err, SLM_E_ARG,
                        "the data has ids up to %d, the model's vocabulary is %d: it was made "
                        "with another tokenizer",
                        i.vocab - 1, t->m->hp.vocab);
    slm_feed_opts p;
    slm_feed_opts_init(&p);
    int ranks = r && r->n > 1 ? r->n : 1;
    p.seq = o->seq;
    p.batch = o->batch;
    p.pack = ids ? SLM_PACK_NONE : t->pack;
    p.shuffle = !eval && o->shuffle;
    p.seed = o->seed;
    p.rank = ranks > 1 ? r->rank : 0;
    p.ranks = ranks;
    p.step = eval ? 0 : o->batch * o->accumulate * ranks;
    p.cycle = ids && !o->shuffle;
    memcpy(f->hash, i.hash, strlen(i.hash) < sizeof f->hash ? strlen(i.hash) : 0);
    if (ids) {
        uint64_t h = 0xcbf29ce484222325u;
        for (size_t k = 0; k < o->n_ids; k++)
            h = (h ^ (uint32_t)o->ids[k]) * 0x100000001b3u;
        snprintf(f->hash, sizeof f->hash, "%016llx", (unsigned long long)h);
    }
    return slm_feed_open(&f->feed, t->rt, f->tokens, &p, err);
}

void slm_feeder_close(struct slm_feeder *f)
{
    slm_feed_close(&f->feed);
    slm_tokens_close(&f->own);
}
