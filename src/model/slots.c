/* The table of slots. */
#include "model/slots.h"

#include <stdio.h>

#define B "blk.%d."
#define L "layers.%d."
#define VEC(slot, g, h, n, when)                                                               \
    {                                                                                          \
        slot, SLM_SLOT_VECTOR, g, NULL, h, SLM_DIM_1, n, when, SLM_DIM_1                       \
    }
#define NORM(slot, g, h, n, when)                                                              \
    {                                                                                          \
        slot, SLM_SLOT_NORM, g, NULL, h, SLM_DIM_1, n, when, SLM_DIM_1                         \
    }
#define MAT(slot, g, h, r, c, when)                                                            \
    {                                                                                          \
        slot, SLM_SLOT_MATRIX, g, NULL, h, r, c, when, SLM_DIM_1                               \
    }

const struct slm_slot_row slm_slots[] = {
    MAT(SLM_W_EMBED, "token_embd.weight", "embed_tokens.weight", SLM_DIM_V, SLM_DIM_D,
        SLM_WHEN_ALWAYS),
    NORM(SLM_W_OUT_NORM, "output_norm.weight", "norm.weight", SLM_DIM_D, SLM_WHEN_ALWAYS),
    VEC(SLM_W_OUT_NORM_B, "output_norm.bias", "norm.bias", SLM_DIM_D, SLM_WHEN_LAYER_NORM),
    MAT(SLM_W_OUT, "output.weight", "lm_head.weight", SLM_DIM_V, SLM_DIM_D, SLM_WHEN_UNTIED),

    NORM(SLM_W_ATTN_NORM, B "attn_norm.weight", L "input_layernorm.weight", SLM_DIM_D,
         SLM_WHEN_ALWAYS),
    VEC(SLM_W_ATTN_NORM_B, B "attn_norm.bias", L "input_layernorm.bias", SLM_DIM_D,
        SLM_WHEN_LAYER_NORM),
    {SLM_W_Q, SLM_SLOT_MATRIX, B "attn_q.weight", NULL, L "self_attn.q_proj.weight", SLM_DIM_HC,
     SLM_DIM_D, SLM_WHEN_SPLIT, SLM_DIM_H},
    {SLM_W_K, SLM_SLOT_MATRIX, B "attn_k.weight", NULL, L "self_attn.k_proj.weight", SLM_DIM_KC,
     SLM_DIM_D, SLM_WHEN_SPLIT, SLM_DIM_K},
    MAT(SLM_W_V, B "attn_v.weight", L "self_attn.v_proj.weight", SLM_DIM_KC, SLM_DIM_D,
        SLM_WHEN_SPLIT),
    MAT(SLM_W_QKV, B "attn_qkv.weight", L "self_attn.qkv_proj.weight", SLM_DIM_QKV, SLM_DIM_D,
        SLM_WHEN_FUSED),
    {SLM_W_Q_B, SLM_SLOT_VECTOR, B "attn_q.bias", NULL, L "self_attn.q_proj.bias", SLM_DIM_1,
     SLM_DIM_HC, SLM_WHEN_QKV_BIAS, SLM_DIM_H},
    {SLM_W_K_B, SLM_SLOT_VECTOR, B "attn_k.bias", NULL, L "self_attn.k_proj.bias", SLM_DIM_1,
     SLM_DIM_KC, SLM_WHEN_QKV_BIAS, SLM_DIM_K},
    VEC(SLM_W_V_B, B "attn_v.bias", L "self_attn.v_proj.bias", SLM_DIM_KC, SLM_WHEN_QKV_BIAS),
    NORM(SLM_W_Q_NORM, B "attn_q_norm.weight", L "self_attn.q_norm.weight", SLM_DIM_C,
         SLM_WHEN_QK_SHARED),
    NORM(SLM_W_K_NORM, B "attn_k_norm.weight", L "self_attn.k_norm.weight", SLM_DIM_C,
         SLM_WHEN_QK_SHARED),
    {SLM_W_Q_NORM, SLM_SLOT_HEADS, B "attn_q_norm.weight", NULL,
     L "self_attn.q_layernorm.norms.%d.weight", SLM_DIM_H, SLM_DIM_C, SLM_WHEN_QK_OWN,
     SLM_DIM_1},
    {SLM_W_K_NORM, SLM_SLOT_HEADS, B "attn_k_norm.weight", NULL,
     L "self_attn.k_layernorm.norms.%d.weight", SLM_DIM_K, SLM_DIM_C, SLM_WHEN_QK_OWN,
     SLM_DIM_1},
    MAT(SLM_W_O, B "attn_output.weight", L "self_attn.o_proj.weight", SLM_DIM_D, SLM_DIM_HC,
        SLM_WHEN_ALWAYS),
    VEC(SLM_W_O_B, B "attn_output.bias", L "self_attn.o_proj.bias", SLM_DIM_D, SLM_WHEN_O_BIAS),
    NORM(SLM_W_POST_ATTN, B "post_attention_norm.weight", L "post_attention_layernorm.weight",
         SLM_DIM_D, SLM_WHEN_SANDWICH),

    NORM(SLM_W_FFN_NORM, B "ffn_norm.weight", L "post_attention_layernorm.weight", SLM_DIM_D,
         SLM_WHEN_PLAIN_FFN_NORM),
    NORM(SLM_W_FFN_NORM, B "ffn_norm.weight", L "pre_feedforward_layernorm.weight", SLM_DIM_D,
         SLM_WHEN_SANDWICH),
    VEC(SLM_W_FFN_NORM_B, B "ffn_norm.bias", L "post_attention_layernorm.bias", SLM_DIM_D,
        SLM_WHEN_LAYER_FFN_NORM),
    MAT(SLM_W_GATE, B "ffn_gate.weight", L "mlp.gate_proj.weight", SLM_DIM_F, SLM_DIM_D,
        SLM_WHEN_DENSE_SPLIT),
    MAT(SLM_W_UP, B "ffn_up.weight", L "mlp.up_proj.weight", SLM_DIM_F, SLM_DIM_D,
        SLM_WHEN_DENSE_SPLIT),
    MAT(SLM_W_GATE_UP, B "ffn_up.weight", L "mlp.gate_up_proj.weight", SLM_DIM_2F, SLM_DIM_D,
        SLM_WHEN_DENSE_FUSED),
    MAT(SLM_W_DOWN, B "ffn_down.weight", L "mlp.down_proj.weight", SLM_DIM_D, SLM_DIM_F,
        SLM_WHEN_DENSE),
    VEC(SLM_W_GATE_B, B "ffn_gate.bias", L "mlp.gate_proj.bias", SLM_DIM_F, SLM_WHEN_MLP_BIAS),
    VEC(SLM_W_UP_B, B "ffn_up.bias", L "mlp.up_proj.bias", SLM_DIM_F, SLM_WHEN_MLP_BIAS),
    VEC(SLM_W_DOWN_B, B "ffn_down.bias", L "mlp.down_proj.bias", SLM_DIM_D, SLM_WHEN_MLP_BIAS),
    NORM(SLM_W_POST_FFN, B "post_ffw_norm.weight", L "post_feedforward_layernorm.weight",
         SLM_DIM_D, SLM_WHEN_SANDWICH),
    MAT(SLM_W_ROUTER, B "ffn_gate_inp.weight", L "block_sparse_moe.gate.weight", SLM_DIM_E,
        SLM_DIM_D, SLM_WHEN_MOE),
    {SLM_W_GATE_E, SLM_SLOT_EXPERTS, B "ffn_gate_exps.weight", B "ffn_gate.%d.weight",
     L "block_sparse_moe.experts.%d.w1.weight", SLM_DIM_F, SLM_DIM_D, SLM_WHEN_MOE, SLM_DIM_1},
    {SLM_W_UP_E, SLM_SLOT_EXPERTS, B "ffn_up_exps.weight", B "ffn_up.%d.weight",
     L "block_sparse_moe.experts.%d.w3.weight", SLM_DIM_F, SLM_DIM_D, SLM_WHEN_MOE, SLM_DIM_1},
    {SLM_W_DOWN_E, SLM_SLOT_EXPERTS, B "ffn_down_exps.weight", B "ffn_down.%d.weight",
     L "block_sparse_moe.experts.%d.w2.weight", SLM_DIM_D, SLM_DIM_F, SLM_WHEN_MOE, SLM_DIM_1},
};
const int slm_slot_rows = sizeof slm_slots / sizeof *slm_slots;

int slm_dim_of(const struct slm_hparams *hp, enum slm_dim d)
{
    int hc = hp->heads * hp->head_width, kc = hp->kv_heads * hp->head_width;
    switch (d) {
    case SLM_DIM_1: return 1;
    case SLM_DIM_D: return hp->width;
    case SLM_DIM_V: return hp->vocab;
    case SLM_DIM_HC: return hc;
    case SLM_DIM_KC: return kc;
    case SLM_DIM_QKV: return hc + 2 * kc;
    case SLM_DIM_F: return hp->ffn;
    case SLM_DIM_2F: return 2 * hp->ffn;
    case SLM_DIM_E: return hp->experts;
    case SLM_DIM_C: return hp->head_width;
    case SLM_DIM_H: return hp->heads;
    case SLM_DIM_K: return hp->kv_heads;
    }
    return 0;
}

/* 1, 0, or -1: as the tensors say. */
static enum slm_need said(int flag)
{
    return flag < 0 ? SLM_NEED_MAY : flag ? SLM_NEED_MUST : SLM_NEED_NO;
}

static enum slm_need must(bool yes) { return yes ? SLM_NEED_MUST : SLM_NEED_NO; }

enum slm_need slm_slot_need(const struct slm_hparams *hp, const struct slm_slot_row *row)
{
    const struct slm_family *f = hp->family;
    bool sandwich = f->resid == SLM_RESID_SANDWICH, layer = f->norm == SLM_NORM_LAYER;
    bool one_norm = f->resid == SLM_RESID_EITHER && hp->parallel;
    switch (row->when) {
    case SLM_WHEN_ALWAYS: return SLM_NEED_MUST;
    case SLM_WHEN_UNTIED: return hp->tied < 0 ? SLM_NEED_MAY : must(!hp->tied);
    case SLM_WHEN_LAYER_NORM: return must(layer);
    case SLM_WHEN_SPLIT: return must(f->fuse == SLM_FUSE_NONE);
    case SLM_WHEN_FUSED: return must(f->fuse != SLM_FUSE_NONE);
    case SLM_WHEN_DENSE_SPLIT: return must(!f->moe && f->fuse == SLM_FUSE_NONE);
    case SLM_WHEN_DENSE_FUSED: return must(!f->moe && f->fuse != SLM_FUSE_NONE);
    case SLM_WHEN_DENSE: return must(!f->moe);
    case SLM_WHEN_MOE: return must(f->moe);
    case SLM_WHEN_QK_SHARED: return must(f->qk_norm == SLM_QK_SHARED);
    case SLM_WHEN_QK_OWN: return f->qk_norm == SLM_QK_OWN ? SLM_NEED_MAY : SLM_NEED_NO;
    case SLM_WHEN_SANDWICH: return must(sandwich);
    case SLM_WHEN_PLAIN_FFN_NORM: return must(!sandwich && !one_norm);
    case SLM_WHEN_LAYER_FFN_NORM: return must(layer && !one_norm);
    case SLM_WHEN_QKV_BIAS:
        return f->bias_qkv ? SLM_NEED_MUST : f->fuse ? SLM_NEED_NO : said(hp->qkv_bias);
    case SLM_WHEN_O_BIAS: return f->fuse || f->moe ? SLM_NEED_NO : said(hp->o_bias);
    case SLM_WHEN_MLP_BIAS: return f->fuse || f->moe ? SLM_NEED_NO : said(hp->mlp_bias);
    }
    return SLM_NEED_NO;
}

const struct slm_slot_row *slm_slot_find(const struct slm_hparams *hp, enum slm_slot slot)
{
    for (int i = 0; i < slm_slot_rows; i++)
        if (slm_slots[i].slot == slot && slm_slot_need(hp, &slm_slots[i]) != SLM_NEED_NO)
            return &slm_slots[i];
    return NULL;
}

int slm_row_in_pairs(int c, int r)
{
    int i = r % c;
    return r - i + (i < c / 2 ? 2 * i : 2 * (i - c / 2) + 1);
}

int slm_row_in_halves(int c, int r)
{
    int i = r % c;
    return r - i + i / 2 + (i % 2) * (c / 2);
}

/* Patterns come from the table above only. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
void slm_slot_name_gguf(char out[128], const struct slm_slot_row *row, int layer)
{
    snprintf(out, 128, row->gguf, layer);
}

void slm_slot_name_gguf_part(char out[128], const struct slm_slot_row *row, int layer, int part)
{
    snprintf(out, 128, row->gguf_part, layer, part);
}

void slm_slot_name_hf(char out[192], const struct slm_slot_row *row, const char *prefix,
                      const char *head_prefix, int layer, int part)
{
    int n = snprintf(out, 192, "%s", row->slot == SLM_W_OUT ? head_prefix : prefix);
    snprintf(out + n, 192 - (size_t)n, row->hf, layer, part);
}
#pragma GCC diagnostic pop
