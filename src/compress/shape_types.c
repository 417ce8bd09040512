/* Which type each weight of a shape takes in a file of one name. */
#include "compress/mixes.h"
#include "compress/shape.h"

int slm_shape_types(const slm_model *m, const char *name, enum slm_dtype *type,
                    uint32_t *file_type, slm_err *err)
{
    const struct slm_mix *mix = slm_mix_of_name(name);
    int t = slm_dtype_of_name(name); /* types without a mix: the same for all matrices */
    if (!mix && (t < 0 || slm_dtypes[t].gguf < 0 || t == SLM_Q8_1 || t == SLM_Q8_K ||
                 slm_dtypes[t].block == 1))
        return slm_fail(err, SLM_E_ARG, "type '%s' is no type of weights", name);
    for (int i = 0; i < m->n_weights; i++) {
        type[i] = SLM_F32;
        if (slm_model_rounds(m, i))
            type[i] = slm_mix_fallback(
                mix ? slm_mix_choose(mix, m, i, false) : (enum slm_dtype)t, m->weight[i].cols);
    }
    *file_type = mix ? mix->file_type : slm_mix_file_type((enum slm_dtype)t);
    return 0;
}
