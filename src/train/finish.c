/* What a run leaves: the model as a folder (and a GGUF file), for everything that reads models,
 * this program first. */
#include <string.h>

#include "train/train_in.h"

/* As stored; what was quantised, in bfloat16. */
static enum slm_dtype save_type(const slm_train *t)
{
    int type = t->o.save_type ? slm_dtype_of_name(t->o.save_type) : (int)t->stored;
    return slm_dtypes[type].block > 1 ? SLM_BF16 : (enum slm_dtype)type;
}

static int write_model(slm_train *t, slm_err *err)
{
    int rc = t->o.out ? slm_model_save(t->m, t->o.out, true, save_type(t), err) : 0;
    if (!rc && t->o.gguf)
        rc = slm_model_save(t->m, t->o.gguf, false, save_type(t), err);
    return rc;
}

static int write_adapter(slm_train *t, slm_err *err)
{
    slm_adapter_save_opts o;
    slm_adapter_save_opts_init(&o);
    o.base = t->m->src.path;
    int rc = t->o.out ? slm_adapter_save(t->o.adapter, t->o.out, &o, err) : 0;
    o.gguf = 1;
    if (!rc && t->o.gguf)
        rc = slm_adapter_save(t->o.adapter, t->o.gguf, &o, err);
    return rc;
}

int slm_train_finish(slm_train *t, slm_err *err)
{
    int rc = 0;
    if (!slm_ranks_leader(t))
        return slm_ranks_agree(t, 0, err);
    if (t->eval.feed && !t->o.keep_last && t->o.out && t->best < 1e300 &&
        t->best_step != t->step)
        rc = slm_train_load_best(t, err);
    if (!rc)
        rc = t->o.adapter ? write_adapter(t, err) : write_model(t, err);
    return slm_ranks_agree(t, rc, err);
}
