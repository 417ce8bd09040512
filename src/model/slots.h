/* The tensors of a model: one row a slot, with its name in both dialects, its shape in letters,
 * and when it must be there. Binding and conversion walk this table. */
#ifndef SLM_MODEL_SLOTS_H
#define SLM_MODEL_SLOTS_H

#include "model/hparams.h"

enum slm_slot {
    SLM_W_EMBED,
    SLM_W_OUT_NORM,
    SLM_W_OUT_NORM_B,
    SLM_W_OUT,
    SLM_W_LAYER, /* from here: one a layer */
    SLM_W_ATTN_NORM = SLM_W_LAYER,
    SLM_W_ATTN_NORM_B,
    SLM_W_Q,
    SLM_W_K,
    SLM_W_V,
    SLM_W_QKV,
    SLM_W_Q_B,
    SLM_W_K_B,
    SLM_W_V_B,
    SLM_W_Q_NORM,
    SLM_W_K_NORM,
    SLM_W_O,
    SLM_W_O_B,
    SLM_W_POST_ATTN,
    SLM_W_FFN_NORM,
    SLM_W_FFN_NORM_B,
    SLM_W_GATE,
    SLM_W_UP,
    SLM_W_GATE_UP,
    SLM_W_DOWN,
    SLM_W_GATE_B,
    SLM_W_UP_B,
    SLM_W_DOWN_B,
    SLM_W_POST_FFN,
    SLM_W_ROUTER,
    SLM_W_GATE_E,
    SLM_W_UP_E,
    SLM_W_DOWN_E,
    SLM_W_COUNT
};

/* D width, V vocabulary, HC heads * head width, KC kv heads * head width, QKV all three, F ffn,
 * E experts, C head width. */
enum slm_dim {
    SLM_DIM_1,
    SLM_DIM_D,
    SLM_DIM_V,
    SLM_DIM_HC,
    SLM_DIM_KC,
    SLM_DIM_QKV,
    SLM_DIM_F,
    SLM_DIM_2F,
    SLM_DIM_E,
    SLM_DIM_C,
    SLM_DIM_H,
    SLM_DIM_K
};
int slm_dim_of(const struct slm_hparams *hp, enum slm_dim d);

enum slm_need { SLM_NEED_NO, SLM_NEED_MAY, SLM_NEED_MUST };

/* What a slot's presence hangs on. */
enum slm_when {
    SLM_WHEN_ALWAYS,
    SLM_WHEN_UNTIED,
    SLM_WHEN_LAYER_NORM,
    SLM_WHEN_SPLIT,
    SLM_WHEN_FUSED,
    SLM_WHEN_DENSE_SPLIT,
    SLM_WHEN_DENSE_FUSED,
    SLM_WHEN_DENSE,
    SLM_WHEN_MOE,
    SLM_WHEN_QK_SHARED,
    SLM_WHEN_QK_OWN,
    SLM_WHEN_SANDWICH,
    SLM_WHEN_PLAIN_FFN_NORM,
    SLM_WHEN_LAYER_FFN_NORM,
    SLM_WHEN_QKV_BIAS,
    SLM_WHEN_O_BIAS,
    SLM_WHEN_MLP_BIAS
};

/* How the tensor differs between files, and from its use. */
enum slm_slot_kind {
    SLM_SLOT_MATRIX,
    SLM_SLOT_VECTOR,
    SLM_SLOT_NORM,    /* a vector that HF may store less norm_shift */
    SLM_SLOT_EXPERTS, /* HF: one matrix an expert; GGUF: one tensor of three dimensions, or one
                         an expert */
    SLM_SLOT_HEADS    /* HF: one vector a head; GGUF: one matrix (heads, C) */
};

struct slm_slot_row {
    enum slm_slot slot;
    enum slm_slot_kind kind;
    const char *gguf;        /* %d: layer */
    const char *gguf_part;   /* %d %d: layer, expert: older files; NULL */
    const char *hf;          /* behind the prefix; %d: layer; second %d: expert or head */
    enum slm_dim rows, cols; /* rows of a vector: SLM_DIM_1 */
    enum slm_when when;
    enum slm_dim pairs; /* rows that GGUF permutes for rotation of neighbours: SLM_DIM_H (query
                           heads), SLM_DIM_K (key heads), else SLM_DIM_1 */
};

extern const struct slm_slot_row slm_slots[];
extern const int slm_slot_rows;

/* Must, may or must not the slot be there? A slot may have several rows (names); at most one of
 * them applies. */
enum slm_need slm_slot_need(const struct slm_hparams *hp, const struct slm_slot_row *row);
/* The row that applies to a slot, or NULL. */
const struct slm_slot_row *slm_slot_find(const struct slm_hparams *hp, enum slm_slot slot);

/* Rows of a head, c of them, in the two orders: rotation of neighbours (GGUF, where the family
 * has gguf_pairs) and of halves (Hugging Face). Which row of the other order is row r of this
 * one? */
int slm_row_in_pairs(int c, int r);  /* r counts in halves */
int slm_row_in_halves(int c, int r); /* r counts in pairs */

/* Names; layer and part where the pattern has them. */
void slm_slot_name_gguf(char out[128], const struct slm_slot_row *row, int layer);
void slm_slot_name_gguf_part(char out[128], const struct slm_slot_row *row, int layer,
                             int part);
void slm_slot_name_hf(char out[192], const struct slm_slot_row *row, const char *prefix,
                      const char *head_prefix, int layer, int part);

#endif
