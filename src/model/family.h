/* What a family is: axes with named values, constant for all its models. Numbers come from the
 * file (hparams.h), presence of optional tensors from the tensors. A new family is a row in
 * family.c. */
#ifndef SLM_MODEL_FAMILY_H
#define SLM_MODEL_FAMILY_H

#include "graph/graph.h"

/* How a layer's two branches meet the residual stream. */
enum slm_resid {
    SLM_RESID_SERIAL,   /* x += attn(norm(x)); x += ffn(norm(x)) */
    SLM_RESID_SANDWICH, /* each branch is normalised before it is added, too */
    SLM_RESID_EITHER    /* serial, or x + attn(n) + ffn(n) with one norm: the file says */
};
/* Normalisation of queries and keys before rotation. */
enum slm_qk_norm {
    SLM_QK_NONE,
    SLM_QK_SHARED /* one weight for all heads */,
    SLM_QK_OWN /* if there: one a head */
};
/* Which layers see a window, where the file has one and does not say itself. NONE:
 * config.json's is not meant (GGUF's is: it calls several families by one name). */
enum slm_window_rule {
    SLM_WIN_NONE,
    SLM_WIN_ALL,
    SLM_WIN_EVEN,
    SLM_WIN_FIVE_OF_SIX,
    SLM_WIN_UPPER
};
/* Matrices kept as one. */
enum slm_fuse { SLM_FUSE_NONE, SLM_FUSE_QKV_AND_GATE_UP };

struct slm_family {
    const char *name;
    const char *hf[4];   /* model_type of config.json */
    const char *arch[2]; /* architectures[0], where model_type is missing */
    const char *gguf;    /* general.architecture */
    enum slm_norm_kind norm;
    enum slm_act act;
    enum slm_resid resid;
    enum slm_qk_norm qk_norm;
    enum slm_window_rule window;
    enum slm_fuse fuse;
    bool moe;          /* feed-forward is a choice of experts */
    bool bias_qkv;     /* biases on q, k, v are required (else: where the file has them) */
    bool embed_scale;  /* embeddings times sqrt(D) */
    bool query_scalar; /* softmax scale from query_pre_attn_scalar */
    float norm_shift;  /* Hugging Face stores norms as w - shift; GGUF as w */
    float rot_share;   /* columns of a head that rotate where config.json is silent; 0: all */
    float rope_base;   /* rope_theta where config.json is silent; 0: 10000 */
    struct {
        int heads, kv_heads, head_width, context, window;
        float eps;
    } silent;            /* other such defaults */
    bool gguf_pairs;     /* GGUF: rows of q and k permuted so that neighbours rotate */
    const char *chat[3]; /* built-in chat templates: the first whose mark the vocabulary has,
                            else the last */
};

extern const struct slm_family slm_families[];
extern const int slm_family_count;

/* By config.json's model_type, or its first architecture; NULL when unknown. */
const struct slm_family *slm_family_find_hf(const char *model_type, const char *architecture);
/* By GGUF architecture and whether it has experts. */
const struct slm_family *slm_family_find_gguf(const char *architecture, bool experts);
/* "llama, mistral, ..." for messages. */
void slm_family_names(struct slm_buf *out);

#endif
