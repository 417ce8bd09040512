/* Conversion's inside: rows of a model's weights in another type and another dialect. */
#ifndef SLM_MODEL_CONVERT_H
#define SLM_MODEL_CONVERT_H

#include "model/model_room.h"
#include "vocab/vocab.h"

struct slm_convert {
    slm_model *m;
    slm_tokenizer *other; /* opts.tokenizer, opened; NULL: the model's */
    const slm_convert_opts *o;
    const struct slm_gguf_plan *plan; /* NULL: by opts */
    uint64_t *measure;                /* only the size is asked; NULL: write */
    bool pairs;                       /* rows of q and k as neighbours rotate, in the output */
    float shift;  /* norms are written as w + hp.norm_shift - shift: the output's own shift */
    float q_gain; /* what queries are multiplied by in the output (GGUF's implied softmax scale)
                   */
    enum slm_slot q_slot; /* ... in these weights */
    bool over;    /* a folder that is there gets the files, and keeps its others */
    int type;             /* of matrices, -1: as stored */
    bool nf4; /* the layers' matrices as bitsandbytes has them, the rest as stored */
    uint64_t done, total; /* bytes written, and in all */
    uint8_t *block;       /* a block of converted rows */
    size_t block_bytes;
};

/* Takes bytes of the tensor being written. */
typedef int slm_convert_sink(void *arg, const void *p, size_t n, slm_err *err);

/* The type that weight i takes in the output: vectors and routers stay float. */
enum slm_dtype slm_convert_type(const struct slm_convert *c, int i, bool gguf);
/* Writes rows of weight i, parts [part, part + parts), as `type`; one_row: only row `row` of
 * the part. */
struct slm_convert_part {
    int weight, part, parts, row;
    enum slm_dtype type;
}; /* row -1: all */
int slm_convert_rows(struct slm_convert *c, const struct slm_convert_part *part,
                     slm_convert_sink *sink, void *arg, slm_err *err);
const slm_tokenizer *slm_convert_tokenizer(const struct slm_convert *c);

int slm_convert_gguf(struct slm_convert *c, const char *path, slm_err *err);
int slm_convert_folder(struct slm_convert *c, const char *path, slm_err *err);

#endif
