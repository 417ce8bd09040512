/* The face of the model room: a model opened, bound and ready to have programs built of it. */
#ifndef SLM_MODEL_ROOM_H
#define SLM_MODEL_ROOM_H

#include "graph/graph.h"
#include "model/hparams.h"
#include "model/slots.h"
#include "model/source.h"
#include "slm/adapter.h"
#include "slm/model.h"
#include "slm/session.h"
#include "slm/train.h"

struct slm_layer {
    const struct slm_weight
        *w[SLM_W_COUNT]; /* slots from SLM_W_LAYER on; NULL where there is none */
};

/* Changes rows of weights on their way into a file, as merging an adapter does. x: the row in
 * float32, (cols), in the model's own order. Any thread. */
struct slm_patch {
    void (*row)(const void *arg, int weight, int part, int row, float *x);
    bool (*touches)(const void *arg, int weight);
    const void *arg; /* row NULL: none */
};

struct slm_model {
    slm_runtime *rt;
    struct slm_arena arena;
    struct slm_source src;
    struct slm_hparams hp;
    struct slm_rope_table rope[2];
    const struct slm_weight
        *w[SLM_W_LAYER];             /* slots outside the layers; output tied: the embedding */
    struct slm_layer *layer;         /* (layers) */
    struct slm_weight *weight;       /* all of them, by id */
    const struct slm_slot_row **row; /* (n_weights) the row each came by */
    int *row_layer;                  /* (n_weights) */
    int n_weights;
    struct slm_model_own *owned; /* weights that live in memory of their own (own.c) */
    uint8_t *writable;           /* (n_weights) which; NULL: none */
    uint64_t params, bytes;
    uint64_t text_bytes; /* heap of tokenizer and template */
    char *name, *types;
    slm_tokenizer *tok;
    slm_template *tmpl;
    const char *tmpl_origin, *tmpl_source;
    bool chats;
    int32_t *eog; /* end of generation, beyond the tokenizer's own set */
    int n_eog;
    slm_model_defaults defaults;
    bool untie; /* a tied output is bound as a weight of its own, of the same bytes */
    struct slm_patch patch;
    struct slm_model_pages {
        void *p;
        size_t n;
    } * retyped; /* matrices made by slm_model_retype */
    int n_retyped;
};

/* ---- adapters: read, made and written by the adapter room, emitted by block.c ---- */

/* A low-rank addition to some rows of one weight: scale * *factor * b a. All its weights are
 * float32, may be written to (training), and have ids from the model's n_weights on. */
struct slm_adapter_part {
    int weight;     /* the model's, by id */
    bool embed;     /* to the rows that the embedding looks up: a (r, V), b (D, r). Else to
                       y = W x: a (r, in), b (rows, r); of a tied embedding: the output */
    int row0, rows; /* of the weight, in the model's own order */
    struct slm_weight a, b; /* as many parts as the weight has (experts) */
    struct slm_weight m;    /* (1, rows) DoRA's magnitude; m.part NULL: none */
    float scale, dropout;
    const float *factor; /* what the user asks of the adapter that the part came with */
    const char *module;  /* "model.layers.0.self_attn.q_proj", for messages */
};

/* A weight that is replaced as a whole: modules_to_save. Rows, columns and kind as the model's.
 */
struct slm_adapter_whole {
    int weight;
    bool embed, head; /* of a tied embedding: which of its two uses; both where it has one */
    struct slm_weight w;
};

struct slm_adapter {
    const slm_model *m;
    struct slm_arena arena;
    struct slm_adapter_part *part; /* by embed, weight, row0 */
    struct slm_adapter_whole *whole;
    int n_parts, n_whole, n_weights; /* n_weights: a, b, m and whole, of ids without gaps */
    const int *first; /* (m->n_weights + 1) parts of weight i that are no embed's are first[i]
                         to first[i + 1] - 1 */
    float factor;     /* set by slm_adapter_scale */
    struct slm_adapter_file *file; /* what it was read from or is written as: adapter room */
};

/* Claims every tensor of m->src for a slot (bind.c). */
int slm_model_bind(slm_model *m, slm_err *err);
/* Tokenizer, chat template, end-of-generation ids and sampling defaults (chat.c). */
int slm_model_attach(slm_model *m, const slm_model_opts *o, slm_err *err);
/* The same for a model that comes from no file: the tokenizer at path, with the template beside
 * it or its family's; NULL: none. */
int slm_model_attach_new(slm_model *m, const char *path, slm_err *err);
/* A tokenizer from a GGUF file's keys. */
int slm_tokenizer_from_gguf(slm_tokenizer **out, slm_runtime *rt, const slm_gguf *g,
                            slm_err *err);

/* The forward pass, emitted into p (block.c). The value is the logits, or with `loss` that of
 * slm_emit_head_loss. What the adapter points to must outlive the program. */
struct slm_emit_opts {
    const struct slm_adapter *adapter; /* NULL: none */
    bool gather;                       /* pass on the rows of slm_run.out only */
    bool loss;
};
slm_val slm_model_emit(slm_prog *p, const slm_model *m, const struct slm_emit_opts *o);
/* Rows of logits that a run of `batch` rows has room for. */
int slm_model_logit_rows(const slm_model *m, int batch);
/* The cache that one stream needs. Arrays are the model's arena's or the caller's `room` of 3 *
 * layers ints. */
void slm_model_kv_shape(const slm_model *m, struct slm_kv_shape *out, int *room, int context,
                        int max_rows, enum slm_dtype type);
/* Of n tokens more, how many a step may take so that each gets what it would have got in a step
 * of its own: longrope changes its factors for the whole sequence at one length. */
int slm_session_even(const slm_session *s, int n);
/* Expected seconds of a step with this many rows of this session alone, as measured while it
 * ran; 0: nothing is known yet. rows is 1 to 64. */
double slm_session_cost(const slm_session *s, int rows);
/* Rows of a weight on their way into a file: rows [row, row + n) of one part, as the file has
 * them. */
struct slm_rounding {
    int weight, part, row, n;
};
/* A model written as GGUF in types that someone else chooses and rounds to. */
struct slm_gguf_plan {
    const enum slm_dtype *type; /* (n_weights); vectors and routers F32 */
    uint32_t file_type;         /* general.file_type */
    int rows;                   /* most rows that `round` takes at once */
    /* Rounds x (n, cols) to the weight's type at out. Called for every matrix that changes its
     * type or is stored in floats, by several threads (ith) at once; a matrix that keeps its
     * block type is copied. */
    void (*round)(void *arg, int ith, const struct slm_rounding *r, void *out, const float *x);
    /* By one thread after each block of a weight's rows, the last one told: fails the writing.
     */
    int (*after)(void *arg, int weight, bool last, slm_err *err);
    void (*keys)(void *arg, slm_gguf_out *w); /* more keys */
    void *arg;
    slm_progress_fn *progress;
    void *progress_arg;
};
/* What slm_model_convert writes, by plan (convert.c). */
int slm_model_write_gguf(slm_model *m, const char *path, const struct slm_gguf_plan *plan,
                         slm_err *err);
/* Bytes of the file that it would write. */
int slm_model_measure_gguf(slm_model *m, const struct slm_gguf_plan *plan, uint64_t *bytes,
                           slm_err *err);
/* Matrices rounded to another type in memory, in place of the file's (retype.c): the frozen
 * base of QLoRA. What takes no more bits already, and what has rows that the type's block does
 * not divide, stays and is told by the log. */
struct slm_retype {
    enum slm_dtype type; /* of blocks: NF4 or one of GGUF's */
    bool ends;           /* the embedding and the output matrix too; else only the layers' */
    slm_progress_fn *progress; /* in bytes made; NULL: none */
    void *progress_arg;
    int changed, narrow, small; /* out: matrices that changed, and stayed for these reasons */
};
/* No session or program of the model may be there. Errors: SLM_E_ARG (a type without blocks, or
 * that can not be rounded to), SLM_E_NUMERIC (naming tensor and row), SLM_E_CANCELLED,
 * SLM_E_NOMEM; the model is then as before or partly changed, and works. */
int slm_model_retype(slm_model *m, struct slm_retype *o, slm_err *err);
/* Bytes that the matrices which it would change take afterwards. */
uint64_t slm_model_retype_bytes(const slm_model *m, const struct slm_retype *o);
/* m->types, anew. */
int slm_model_describe(slm_model *m, slm_err *err);
/* A row as it goes into a file, in float32 and the model's own order; and does it differ from
 * the weight's bytes? */
void slm_model_row(const slm_model *m, int weight, int part, int row, float *x);
bool slm_model_patched(const slm_model *m, int weight);
/* Is weight i a matrix that may be rounded (no vector, no router)? */
bool slm_model_rounds(const slm_model *m, int i);
/* A model without weights (shell.c): hp with all but its arrays and what follows from the rest;
 * flags 0 or 1, not -1. Close it as any; nothing can be computed with it. */
int slm_model_shell(slm_model **out, slm_runtime *rt, const struct slm_hparams *hp, int window,
                    const char *name, slm_err *err);
/* Declares a shell's keys and tensors (convert_gguf.c), weight i in type[i]; its rotary tables
 * come before the weights. */
int slm_model_shell_head(slm_gguf_out *w, slm_model *m, const enum slm_dtype *type,
                         uint32_t file_type, slm_err *err);
/* Those tables, which GGUF keeps as tensors: NULL names behind the last. */
struct slm_rope_tensor {
    const char *name;
    float *v; /* (rot / 2), what each plain frequency is divided by */
};
int slm_model_rope_tensors(const slm_model *m, struct slm_arena *a,
                           struct slm_rope_tensor out[2], slm_err *err);
/* Opens a GGUF image in memory (slm_pages_alloc's), which becomes the model's, also when this
 * fails (model.c). */
int slm_model_open_image(slm_model **out, slm_runtime *rt, const char *name, uint8_t *image,
                         size_t n, const slm_model_opts *o, slm_err *err);
/* Which of the model's rows becomes row r of a part of weight i in a GGUF file; -1 when it is
 * not written as it is, but multiplied by something. */
int slm_model_gguf_row(const slm_model *m, int i, int r);

/* What row t of n is to foresee: label t + 1 (labels NULL: the next id), -100 behind the last.
 * Errors: SLM_E_ARG (outside the vocabulary). */
int slm_model_targets(const slm_model *m, const int32_t *ids, const int32_t *labels, int n,
                      int32_t *target, slm_err *err);
/* Weights `which` (n_weights; NULL: all) become float32 in memory of the model's own that may
 * be written to: part i of a weight at part[i], behind one another without gaps. Those that are
 * so already stay. Before programs are built of m, and while no session is open on it (own.c).
 */
int slm_model_unfreeze(slm_model *m, const uint8_t *which, slm_err *err);
/* Bytes that it would take. */
uint64_t slm_model_unfreeze_bytes(const slm_model *m, const uint8_t *which);
/* The values of an unfrozen weight's part. */
float *slm_model_values(const slm_model *m, int i, int part);
void slm_model_own_release(slm_model *m);
/* Writes m as it is now, as a folder or a GGUF file; matrices as `type`. A folder that is there
 * gets these files and keeps its others (convert.c). */
int slm_model_save(slm_model *m, const char *path, bool folder, enum slm_dtype type,
                   slm_err *err);

/* A number that is the same for the same weights and shape: binds session files to a model. */
uint64_t slm_model_fingerprint(const slm_model *m);

#endif
