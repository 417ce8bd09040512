/* Running a model to watch it: a program without a cache, so that a piece of text is one run
 * and every matrix sees all its rows at once. */
#include "compress/watch.h"

#include <string.h>

int slm_watch_open(struct slm_watch *w, const slm_model *m, const struct slm_watch_opts *o,
                   slm_err *err)
{
    *w = (struct slm_watch){.m = m, .context = o->context, .output = o->output};
    w->pos = slm_alloc_n(m->rt, SLM_MEM_USER, (size_t)o->context, sizeof *w->pos);
    if (!w->pos)
        return slm_fail_mem(err, "positions", (size_t)o->context * sizeof *w->pos);
    for (int i = 0; i < o->context; i++)
        w->pos[i] = i;
    struct slm_prog_opts po = {.max_rows = o->context,
                               .max_out = o->output ? o->context : 1,
                               .fast = !o->exact,
                               .phase = SLM_PHASE_PROMPT};
    struct slm_emit_opts emit = {.gather = true};
    int rc = slm_prog_new(&w->prog, m->rt, &po, err);
    if (!rc) {
        slm_model_emit(w->prog, m, &emit);
        rc = slm_prog_plan(w->prog, err);
    }
    if (rc)
        slm_watch_close(w);
    else
        slm_prog_tap(w->prog, o->tap, o->arg);
    return rc;
}

void slm_watch_close(struct slm_watch *w)
{
    if (!w->m)
        return;
    slm_prog_free(w->prog);
    slm_free(w->m->rt, w->pos);
    memset(w, 0, sizeof *w);
}

void slm_watch_run(struct slm_watch *w, const int32_t *ids, int n)
{
    uint8_t rope_set = w->m->rope[0].inv_freq[1] && n > w->m->hp.rope[0].original;
    struct slm_run run = {.rows = n,
                          .ids = ids,
                          .pos = w->pos,
                          .n_streams = 1,
                          .rope_set = &rope_set,
                          .out = w->pos,
                          .n_out = w->output ? n : 0};
    slm_prog_run(w->prog, &run);
}
