/* What methods that fit a plan to a text share: the text's chunks, and matrices put in place of
 * the model's own for a while. */
#include <string.h>

#include "compress/quant_plan.h"

void slm_quant_text_init(slm_quant_text *o) { memset(o, 0, sizeof *o); }

int slm_quant_text_check(const slm_quant_text *o, const slm_model *m, int *context,
                         size_t *chunks, slm_err *err)
{
    *context = o->context ? o->context : m->hp.context < 512 ? m->hp.context : 512;
    if (*context < 1 || *context > SLM_MAX_CONTEXT || o->chunks < 0)
        return slm_fail(err, SLM_E_ARG, "%d chunks of %d tokens", o->chunks, *context);
    *chunks = o->n / (size_t)*context;
    if (!*chunks)
        return slm_fail(err, SLM_E_ARG,
                        "%zu tokens of text are not one chunk of %d: give a longer text or a "
                        "smaller context",
                        o->n, *context);
    if (o->chunks && (size_t)o->chunks < *chunks)
        *chunks = (size_t)o->chunks;
    for (size_t i = 0; i < *chunks * (size_t)*context; i++)
        if (o->ids[i] < 0 || o->ids[i] >= m->hp.vocab)
            return slm_fail(err, SLM_E_ARG, "token %d is outside the vocabulary of %d",
                            o->ids[i], m->hp.vocab);
    return 0;
}

int slm_quant_swap(slm_quant *q, int i, enum slm_dtype t, const uint8_t *bytes, slm_err *err)
{
    struct slm_weight *w = &q->m->weight[i];
    size_t stride = slm_row_bytes(t, (size_t)w->cols);
    const uint8_t **part = slm_alloc_n(q->rt, SLM_MEM_USER, (size_t)w->parts, sizeof *part);
    if (!part)
        return slm_fail_mem(err, w->name, (size_t)w->parts * sizeof *part);
    for (int e = 0; e < w->parts; e++)
        part[e] = bytes + (size_t)e * (size_t)w->rows * stride;
    w->type = t;
    w->stride = stride;
    w->part = part;
    return 0;
}

void slm_quant_swap_back(slm_quant *q, int i, const struct slm_weight *old)
{
    struct slm_weight *w = &q->m->weight[i];
    if (w->part == old->part)
        return;
    slm_free(q->rt, (void *)(uintptr_t)w->part);
    *w = *old;
}
