/* Private to the adapter room: the places of a model where something can be added, and an
 * adapter on its way from a file into memory. */
#ifndef SLM_ADAPTER_IN_H
#define SLM_ADAPTER_IN_H

#include "adapter/adapter.h"

/* ---- places (place.c) ---- */

/* A linear layer, or rows of a fused one, under the name that the Hugging Face model knows. */
struct slm_place {
    int weight, layer; /* layer -1: none */
    bool embed;        /* rows looked up */
    bool slice;        /* rows of a fused matrix */
    bool experts;      /* name has a %d for the expert's number */
    int row0, rows, cols, parts;
    enum slm_slot slot;
    char name[160];    /* behind the model's prefix: "layers.0.self_attn.q_proj" */
    const char *alias; /* another last name for it ("gate_proj" for w1), or NULL */
};
struct slm_places {
    const slm_model *m;
    struct slm_place *place; /* in the adapter's or the caller's arena */
    int n;
};
int slm_places_find(struct slm_places *out, const slm_model *m, struct slm_arena *a,
                    slm_err *err);
/* Full name, with an expert's number where the place has such. */
void slm_place_name(const struct slm_places *p, const struct slm_place *y, int expert,
                    char out[224]);
/* The same with the %d left in. */
void slm_place_pattern(const struct slm_places *p, const struct slm_place *y, char out[224]);
/* The place of a module's full name (any of the prefixes that models have), embed: as looked
 * up; *expert is set where it has such. NULL: none. */
const struct slm_place *slm_place_of(const struct slm_places *p, const char *module, size_t n,
                                     bool embed, int *expert);
/* Behind the prefix: "model.layers.0" and "language_model.model.layers.0" to "layers.0". */
const char *slm_place_tail(const char *module);

/* Which row of the model's own weight is row r of a file's, in Hugging Face's order or GGUF's?
 */
enum slm_order { SLM_ORDER_HF, SLM_ORDER_GGUF };
int slm_row_own(const slm_model *m, int weight, enum slm_order order, int r);

/* ---- patterns (pattern.c) ---- */

/* A regular expression that must fit the whole of a module's name: 1, 0, or an error. */
struct slm_fit;
int slm_fit_new(struct slm_fit **out, slm_runtime *rt, const char *text, bool tail,
                const char *what, slm_err *err); /* tail: "(.*\.)?(text)$" */
int slm_fit_is(struct slm_fit *f, const char *name, slm_err *err);
void slm_fit_free(struct slm_fit *f);

/* ---- the adapter in memory (lay.c) ---- */

struct slm_adapter_file {
    char *path;       /* "" for a new one */
    const char *kind; /* "peft", "mlx", "gguf", "new", "several" */
    char *base;       /* name of the base model as the file has it, or NULL */
    bool rslora;
    float dropout;
};

/* What a part will be. */
struct slm_part_plan {
    const struct slm_place *place;
    int r;
    float scale, dropout;
    bool dora;
};
struct slm_whole_plan {
    int weight;
    bool embed, head;
};
struct slm_lay {
    struct slm_part_plan *part; /* sorted by this call */
    int n_parts;
    struct slm_whole_plan *whole;
    int n_whole;
};
int slm_adapter_begin(slm_adapter **out, const slm_model *m, const char *path, const char *kind,
                      slm_err *err);
/* Room for all tensors, zeroed. */
int slm_adapter_lay(slm_adapter *a, const struct slm_places *p, const struct slm_lay *l,
                    slm_err *err);
/* The part for a place. */
struct slm_adapter_part *slm_adapter_part_of(slm_adapter *a, const struct slm_place *y);

/* Hugging Face's name of the weight that h replaces. */
void slm_adapter_whole_name(const slm_adapter *a, const struct slm_adapter_whole *h,
                            char out[192]);

/* ---- tensors of a file on their way (claim.c) ---- */

enum slm_lora_half { SLM_HALF_A, SLM_HALF_B, SLM_HALF_M };
struct slm_claim {
    const struct slm_tensor_ref *half[3]; /* by expert or whole; NULL: not there */
};
struct slm_whole_claim {
    int weight;
    bool embed, head;
    const struct slm_tensor_ref *t;
};
struct slm_claims {
    slm_adapter *a;
    struct slm_places places;
    struct slm_arena arena;
    const char *path;
    enum slm_order order;
    bool flip;                     /* A is (in, r), B is (r, out), but for experts: MLX */
    const struct slm_place *plain; /* ... and but for this one; NULL */
    bool stacked;                  /* one tensor for all experts: (E, r, in), (E, out, r) */
    struct slm_claim **of;         /* (places) (experts or 1); NULL: none */
    struct slm_whole_claim *whole;
    int n_whole, whole_cap;
    struct slm_packed *packed; /* experts in one tensor (packed.c) */
    int n_packed;
    /* Rank and scale of a module by the file's words; rank 0: what the tensors say */
    int (*scale)(void *arg, const char *module, int *rank, float *scale, slm_err *err);
    void *arg;
    float dropout;
};
int slm_claims_init(struct slm_claims *c, slm_adapter *a, enum slm_order order, slm_err *err);
void slm_claims_release(struct slm_claims *c);
/* Notes tensor t as half of a place; an error when it was there. */
int slm_claim_half(struct slm_claims *c, const struct slm_place *y, int expert,
                   enum slm_lora_half half, const struct slm_tensor_ref *t, slm_err *err);
/* The model's weight of a tensor's name in Hugging Face's dialect; false: none. */
int slm_claim_whole(struct slm_claims *c, const char *name, const struct slm_tensor_ref *t,
                    slm_err *err);
/* PEFT's tensors for parameters of all experts (packed.c): notes one if it is such; plans
 * parts; fills them. */
int slm_packed_claim(struct slm_claims *c, const char *name, const struct slm_tensor_ref *t,
                     bool *taken, slm_err *err);
int slm_packed_plan(struct slm_claims *c, struct slm_lay *l, slm_err *err);
int slm_packed_fill(struct slm_claims *c, slm_err *err);
/* Checks shapes, lays the adapter out and fills it. */
int slm_claims_fill(struct slm_claims *c, slm_err *err);

/* ---- files ---- */

int slm_peft_read(slm_adapter *a, const char *dir, slm_err *err);
int slm_mlx_read(slm_adapter *a, const char *dir, slm_err *err);
int slm_gguf_adapter_read(slm_adapter *a, const char *path, slm_err *err);
int slm_peft_write(const slm_adapter *a, const char *dir, const slm_adapter_save_opts *o,
                   slm_err *err);
int slm_gguf_adapter_write(const slm_adapter *a, const char *path,
                           const slm_adapter_save_opts *o, slm_err *err);

/* What PEFT's config says that changes the answer (peft_config.c). */
struct slm_peft_config;
int slm_peft_config_read(struct slm_peft_config **out, slm_adapter *a, const char *path,
                         slm_err *err);
void slm_peft_config_free(struct slm_peft_config *c);
/* A slm_claims.scale. */
int slm_peft_config_scale(void *arg, const char *module, int *rank, float *scale, slm_err *err);
float slm_peft_config_dropout(const struct slm_peft_config *c);

/* ---- rows with the addition (merged_row.c) ---- */

/* Row `row` (the model's own order) of part e of weight i as it is with the adapter, in
 * float32; x holds the model's row. embed: as looked up. */
void slm_adapter_row(const slm_adapter *a, int weight, bool embed, int e, int row, float *x);
/* Does the adapter change this weight (in this use)? */
bool slm_adapter_touches(const slm_adapter *a, int weight, bool embed);
/* Lengths of all rows of a part's place: of W + s B A (with) or of W. (rows) floats. */
int slm_adapter_lengths(const slm_adapter *a, const struct slm_adapter_part *p, bool with,
                        float *out, slm_err *err);

#endif
