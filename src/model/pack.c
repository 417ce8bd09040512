/* Packing at load: matrices copied, on all threads, into the layout that this CPU's kernels
 * read fastest (kernels.h: struct slm_packed). The bits of every product stay the same; the
 * memory of the packed types is taken twice, since the exact path and training read the plain
 * rows, so it is the caller's choice. */
#include "model/model_room.h"

#include "kernels/kernels.h"

struct job {
    const struct slm_packed *how;
    const struct slm_weight *w;
    uint8_t *out;
};

/* Groups of nr rows stand by themselves, so threads pack ranges of groups. */
static void pack_part(int ith, int nth, void *arg)
{
    const struct job *j = arg;
    size_t lo, hi, k = (size_t)j->w->cols;
    slm_split((size_t)j->w->rows, (size_t)j->how->nr, ith, nth, &lo, &hi);
    if (lo < hi)
        j->how->pack(j->out + j->how->bytes((int)lo, k), j->w->part[0] + lo * j->w->stride,
                     j->w->stride, (int)(hi - lo), k);
}

/* What `linear` multiplies with: not an embedding that is only looked up, not experts. */
static const struct slm_packed *layout_of(const slm_model *m, const struct slm_weight *w)
{
    const struct slm_packed *how = &m->rt->kern->packed[w->type];
    bool looked_up = w == m->w[SLM_W_EMBED] && m->w[SLM_W_OUT] != w;
    return how->pack && w->parts == 1 && w->rows > 1 && !looked_up ? how : NULL;
}

int slm_model_pack(slm_model *m, slm_err *err)
{
    size_t all = 0;
    for (int i = 0; i < m->n_weights; i++) {
        const struct slm_packed *how = layout_of(m, &m->weight[i]);
        if (how)
            all += (how->bytes(m->weight[i].rows, (size_t)m->weight[i].cols) + 63) / 64 * 64;
    }
    if (!all)
        return 0;
    m->packed = slm_pages_alloc(m->rt, SLM_MEM_MODEL, all);
    if (!m->packed)
        return slm_fail_mem(err, "packed weights", all);
    m->packed_bytes = all;
    uint8_t *at = m->packed;
    for (int i = 0; i < m->n_weights; i++) {
        struct slm_weight *w = &m->weight[i];
        const struct slm_packed *how = layout_of(m, w);
        if (!how)
            continue;
        struct job j = {how, w, at};
        slm_pool_run(m->rt->pool, pack_part, &j);
        w->packed = at;
        at += (how->bytes(w->rows, (size_t)w->cols) + 63) / 64 * 64;
    }
    return 0;
}
