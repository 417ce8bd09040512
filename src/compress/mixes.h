/* Private to the compress room: what a quantisation type means for each tensor, as data. */
#ifndef SLM_COMPRESS_MIXES_H
#define SLM_COMPRESS_MIXES_H

#include "base/base.h"
#include "model/model_room.h"

/* What a matrix does, as far as mixes tell matrices apart. */
enum slm_role {
    SLM_ROLE_EMBED,
    SLM_ROLE_OUTPUT, /* also an embedding that serves as output */
    SLM_ROLE_Q,
    SLM_ROLE_K,
    SLM_ROLE_V, /* also fused q, k and v */
    SLM_ROLE_O,
    SLM_ROLE_GATE,
    SLM_ROLE_UP, /* also fused gate and up */
    SLM_ROLE_DOWN,
    SLM_ROLE_COUNT
};

/* Families of types: which candidates a budget may choose among. */
enum slm_kind { SLM_KIND_FLOAT, SLM_KIND_BLOCK, SLM_KIND_K, SLM_KIND_IQ, SLM_KIND_OTHER };

struct slm_mix {
    const char *name;
    uint32_t file_type;                 /* general.file_type */
    enum slm_dtype base, output, embed; /* of matrices, the output, the embedding */
    enum slm_kind kind;
    int id;
};

/* By name, any case; NULL when there is none. i-th: NULL behind the last. */
const struct slm_mix *slm_mix_of_name(const char *name);
const struct slm_mix *slm_mix_at(int i);
/* general.file_type of a file mostly of type t. */
uint32_t slm_mix_file_type(enum slm_dtype t);

enum slm_role slm_role_of(const slm_model *m, int weight);
/* The type that the mix gives to weight i. */
enum slm_dtype slm_mix_choose(const struct slm_mix *mix, const slm_model *m, int weight,
                              bool imatrix);
/* A type that divides rows of cols, in place of one that does not (or the same). */
enum slm_dtype slm_mix_fallback(enum slm_dtype t, int cols);
/* Is the type worthless without an importance matrix? */
bool slm_mix_needs_imatrix(const struct slm_mix *mix, enum slm_dtype t, enum slm_role role);

#endif
