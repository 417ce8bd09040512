/* Models of true shapes with random weights: what anyone can measure speed on. Private to the
 * room. A shape is a row of numbers from a public configuration (shape_rows.c). */
#ifndef SLM_COMPRESS_SHAPE_H
#define SLM_COMPRESS_SHAPE_H

#include "model/model_room.h"

struct slm_shape_row {
    const char *name, *family; /* family: the row of model/family.c */
    int layers, width, heads, kv_heads, head_width, ffn, vocab, context;
    bool tied;
    float eps, base; /* of norms; of rotation */
    int experts, experts_used, window;
    float rot_share; /* 0: all columns of a head rotate */
    bool qkv_bias;
    float attn_cap, final_cap;
    enum slm_rope_kind rope;
    float factor;
    int original;
    float local_base; /* of the sliding layers, 0: they rotate like the others */
    float temper;     /* attention temperature */
};
extern const struct slm_shape_row slm_shape_rows[];
extern const int slm_shape_row_count;

/* A model without weights of that name. Errors: SLM_E_ARG (unknown: the message lists them). */
int slm_shape_shell(slm_model **out, slm_runtime *rt, const char *name, slm_err *err);

/* Random blocks (shape_fill.c). A tensor's bytes are made in chunks, each from its own seed, so
 * that they do not depend on threads or on the room to put them. */
struct slm_shape_fill {
    enum slm_dtype type;
    uint64_t seed;
    size_t blocks, chunk; /* in all; in a chunk */
    size_t bytes;         /* of a whole chunk */
    bool ones, zeros;     /* float32 vectors */
    float spread;         /* standard deviation wanted */
    uint8_t scale[4];     /* the scale field as stored, found by measuring */
};
void slm_shape_fill_init(struct slm_shape_fill *f, const struct slm_kern *kern,
                         enum slm_dtype type, uint64_t count, float spread);
size_t slm_shape_fill_chunks(const struct slm_shape_fill *f);
/* Chunk i at out; the bytes it has. */
size_t slm_shape_fill_chunk(const struct slm_shape_fill *f, uint8_t *out, size_t i);

/* The types of a shell's weights, as llama.cpp's quantiser would mix them for a name like
 * "q4_K_M" or "q8_0"; type: room for n_weights. Errors: SLM_E_ARG. */
int slm_shape_types(const slm_model *m, const char *name, enum slm_dtype *type,
                    uint32_t *file_type, slm_err *err);

#endif
