/* The numbers of one model, whatever file they came from, checked. */
#ifndef SLM_MODEL_HPARAMS_H
#define SLM_MODEL_HPARAMS_H

#include "model/family.h"

enum slm_rope_kind {
    SLM_ROPE_PLAIN,
    SLM_ROPE_LINEAR,
    SLM_ROPE_LLAMA3,
    SLM_ROPE_YARN,
    SLM_ROPE_LONG
};

/* Rotary embedding, as written in the file. */
struct slm_rope {
    enum slm_rope_kind kind;
    float base, factor;
    int original;                  /* context before scaling */
    float low, high;               /* llama3: low_freq_factor, high_freq_factor */
    float beta_fast, beta_slow;    /* yarn */
    float mscale, mscale_all;      /* yarn; 0: not given */
    bool truncate;                 /* yarn: round the range to whole dimensions */
    float attn_factor;             /* factor on cos and sin; 0: by the kind's rule */
    const float *short_f, *long_f; /* longrope divisors, (rot / 2), in the model's arena */
    const float *divisor;          /* GGUF rope_freqs: (rot / 2), NULL: none */
};

/* Rotary embedding, computed: what the graph takes. */
struct slm_rope_table {
    const float *inv_freq[2]; /* [1] for sequences beyond `original` (longrope), else NULL */
    float factor;
};

struct slm_hparams {
    const struct slm_family *family;
    int layers, width, heads, kv_heads, head_width, ffn, vocab, context;
    int experts, experts_used;
    int rot; /* rotated columns of a head */
    float eps;
    float attn_scale, attn_cap, final_cap;
    float embed_scale;              /* 1: none */
    float norm_shift;               /* of this file's norms */
    bool pairs;                     /* rotation of neighbours, else of halves */
    bool parallel;                  /* SLM_RESID_EITHER: parallel residual */
    int tied;                       /* 1, 0, -1: as the tensors say */
    int qkv_bias, o_bias, mlp_bias; /* the same */
    int max_window;                 /* largest window, 0: none */
    int *window;                    /* (layers), 0: all positions */
    uint8_t *local;                 /* (layers) 1: rotates by rope[1] */
    struct slm_rope rope[2];        /* all layers, or full and local layers */
    bool two_ropes;
    float temper_beta; /* ministral's temperature, 0: none */
    int temper_original;
};

/* Shape limits that every file is held to before anything is allocated by its numbers. */
enum {
    SLM_MAX_LAYERS = 4096,
    SLM_MAX_WIDTH = 1 << 20,
    SLM_MAX_CONTEXT = 1 << 24,
    SLM_MAX_EXPERTS = 1024
};

/* Checks numbers against each other; name is the file's. Fills what follows from the rest. */
int slm_hparams_check(struct slm_hparams *hp, const char *name, slm_err *err);
/* The softmax scale that GGUF files imply: by the head's width, but for the largest models of
 * the two families that name a scalar, which llama.cpp tells by their depth: there by the width
 * that D / H would be. */
float slm_hparams_gguf_scale(const struct slm_hparams *hp);
/* Windows by the family's rule for every layer; window 0: none. upper: first layer of
 * SLM_WIN_UPPER; period: SLM_WIN_FIVE_OF_SIX's, 0: 6. Arrays must be there. */
void slm_hparams_windows(struct slm_hparams *hp, int window, int upper, int period);

/* Inverse frequencies and factor of r, in arena a. Errors: SLM_E_FORMAT (numbers that make
 * none). */
int slm_rope_compute(struct slm_rope_table *out, struct slm_arena *a, const struct slm_rope *r,
                     int rot, int context, const char *name, slm_err *err);
const char *slm_rope_name(enum slm_rope_kind kind);

#endif
