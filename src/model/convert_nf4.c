/* Writing matrices of a folder as bitsandbytes' NF4: codes, magnitudes, the maps and a text of
 * facts are tensors of their own. Tensors with wide elements come first in the file, so the
 * magnitudes are written long before the codes they belong to: each matrix is rounded when its
 * first tensor of a kind is asked for, and only what is small is kept from one time to the
 * next. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/convert_nf4.h"

struct slm_nf4_out {
    slm_runtime *rt;
    struct slm_convert *c;
    struct slm_dynamic8 *map; /* NULL: magnitudes stay float32 */
    struct matrix {
        int weight, part;
        size_t n, blocks;
        float *nested; /* (blocks / 256) */
        float offset;
        char state[256];
    } * matrix;
    int count, again; /* matrices; weights that were rounded before */
    /* the matrix at hand */
    int at; /* -1: none */
    uint8_t *packed, *codes;
    float *absmax;
    size_t room, done; /* values */
};

enum { CODES, ABSMAX, MAP, STATE, NESTED, NESTED_MAP, TENSORS };

bool slm_nf4_takes(const slm_model *m, int i)
{
    return m->row_layer[i] >= 0 && m->row[i]->kind == SLM_SLOT_MATRIX && slm_model_rounds(m, i);
}

void slm_nf4_out_close(struct slm_nf4_out **out)
{
    struct slm_nf4_out *o = *out;
    if (!o)
        return;
    for (int i = 0; o->matrix && i < o->count; i++)
        slm_free(o->rt, o->matrix[i].nested);
    slm_free(o->rt, o->matrix);
    slm_free(o->rt, o->map);
    slm_free(o->rt, o->packed);
    slm_free(o->rt, o->codes);
    slm_free(o->rt, o->absmax);
    slm_free(o->rt, o);
    *out = NULL;
}

/* ---- rounding a matrix ---- */

struct share {
    const struct slm_kern *kern;
    uint8_t *packed;
    float *absmax;
    const float *x;
    size_t n;
};

static void round_share(int ith, int nth, void *arg)
{
    const struct share *s = arg;
    size_t lo, hi;
    slm_split(s->n, SLM_NF4_BLOCK, ith, nth, &lo, &hi);
    if (lo < hi)
        slm_nf4_quantize(s->kern, s->packed + lo / 2, s->absmax + lo / SLM_NF4_BLOCK, s->x + lo,
                         hi - lo);
}

/* Takes rows as float32. Rows come in blocks that need not end where blocks of 64 do: what is
 * left over is kept in front of the next. */
struct taker {
    struct slm_nf4_out *o;
    size_t n; /* of the matrix */
    float *left;
    size_t n_left;
};

static void round_some(struct slm_nf4_out *o, const float *x, size_t n)
{
    struct share s = {o->rt->kern, o->packed + o->done / 2, o->absmax + o->done / SLM_NF4_BLOCK,
                      x, n};
    if (n)
        slm_pool_run(o->rt->pool, round_share, &s);
    o->done += n;
}

static int take_rows(void *arg, const void *p, size_t bytes, slm_err *err)
{
    struct taker *t = arg;
    const float *x = p;
    size_t n = bytes / sizeof *x;
    (void)err;
    while (t->n_left && n) { /* fill up the block that was begun */
        t->left[t->n_left++] = *x++;
        n--;
        if (t->n_left == SLM_NF4_BLOCK) {
            round_some(t->o, t->left, SLM_NF4_BLOCK);
            t->n_left = 0;
        }
    }
    size_t whole = n / SLM_NF4_BLOCK * SLM_NF4_BLOCK;
    round_some(t->o, x, whole);
    memcpy(t->left + t->n_left, x + whole, (n - whole) * sizeof *x);
    t->n_left += n - whole;
    if (t->o->done + t->n_left == t->n)
        round_some(t->o, t->left, t->n_left);
    return 0;
}

/* Codes and magnitudes of matrix i, magnitudes less their mean and in codes of their own where
 * they are rounded too. */
static int bring(struct slm_nf4_out *o, int i, slm_err *err)
{
    struct matrix *x = &o->matrix[i];
    float left[SLM_NF4_BLOCK];
    struct taker t = {.o = o, .n = x->n, .left = left};
    struct slm_convert_part part = {
        .weight = x->weight, .part = x->part, .parts = 1, .row = -1, .type = SLM_F32};
    if (o->at == i)
        return 0;
    o->at = -1;
    o->done = 0;
    uint64_t before = o->c->done;
    int rc = slm_convert_rows(o->c, &part, take_rows, &t, err);
    o->c->done = before; /* told when they are written */
    if (rc)
        return rc;
    if (o->map)
        x->offset = slm_nf4_nest(o->codes, x->nested, o->absmax, x->blocks, o->map);
    o->at = i;
    return 0;
}

/* ---- what is written ---- */

/* The shortest digits that read back. */
static void put_number(char s[40], double v)
{
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(s, 40, "%.*g", digits, v);
        if (strtod(s, NULL) == v)
            return;
    }
}

static void put_state(const struct slm_nf4_out *o, struct matrix *x)
{
    const struct slm_weight *w = &o->c->m->weight[x->weight];
    enum slm_dtype t = slm_convert_type(o->c, x->weight, false);
    const char *name = t == SLM_BF16 ? "bfloat16" : t == SLM_F16 ? "float16" : "float32";
    int n =
        snprintf(x->state, sizeof x->state,
                 "{\"quant_type\": \"nf4\", \"blocksize\": %d, \"dtype\": \"%s\", \"shape\": "
                 "[%d, %d]",
                 SLM_NF4_BLOCK, name, w->rows, w->cols);
    if (o->map) {
        char number[40];
        put_number(number, (double)x->offset);
        n += snprintf(x->state + n, sizeof x->state - (size_t)n,
                      ", \"nested_blocksize\": %d, \"nested_dtype\": \"float32\", "
                      "\"nested_offset\": %s",
                      SLM_NF4_NEST, number);
    }
    snprintf(x->state + n, sizeof x->state - (size_t)n, "}");
}

static int take_room(struct slm_nf4_out *o, slm_err *err)
{
    size_t blocks = slm_nf4_blocks(o->room, SLM_NF4_BLOCK);
    o->packed = slm_alloc(o->rt, SLM_MEM_MODEL, slm_nf4_bytes(o->room) + SLM_NF4_BLOCK);
    o->codes = slm_alloc(o->rt, SLM_MEM_MODEL, blocks);
    o->absmax = slm_alloc_n(o->rt, SLM_MEM_MODEL, blocks, sizeof *o->absmax);
    return o->packed && o->codes && o->absmax
               ? 0
               : slm_fail_mem(err, "quantisation", slm_nf4_bytes(o->room));
}

static int list(struct slm_nf4_out *o, slm_err *err)
{
    const slm_model *m = o->c->m;
    for (int i = 0; i < m->n_weights; i++) {
        const struct slm_weight *w = &m->weight[i];
        size_t n = (size_t)w->rows * (size_t)w->cols, blocks = slm_nf4_blocks(n, SLM_NF4_BLOCK);
        o->again += slm_nf4_takes(m, i) && slm_dtypes[w->type].block > 1;
        for (int p = 0; p < w->parts && slm_nf4_takes(m, i); p++) {
            struct matrix *x = &o->matrix[o->count];
            *x = (struct matrix){.weight = i, .part = p, .n = n, .blocks = blocks};
            x->nested = slm_alloc_n(o->rt, SLM_MEM_MODEL, slm_nf4_blocks(blocks, SLM_NF4_NEST),
                                    sizeof *x->nested);
            o->count++;
            if (!x->nested)
                return slm_fail_mem(err, w->name, blocks);
            o->room = n > o->room ? n : o->room;
        }
    }
    return 0;
}

int slm_nf4_out_open(struct slm_nf4_out **out, struct slm_convert *c, bool nested, slm_err *err)
{
    slm_runtime *rt = c->m->rt;
    struct slm_nf4_out *o = *out = slm_zalloc(rt, SLM_MEM_MODEL, sizeof *o);
    size_t most = 0;
    for (int i = 0; i < c->m->n_weights; i++)
        most += (size_t)c->m->weight[i].parts;
    if (!o)
        return slm_fail_mem(err, "quantisation", sizeof *o);
    o->rt = rt;
    o->c = c;
    o->at = -1;
    o->matrix = slm_alloc_n(rt, SLM_MEM_MODEL, most, sizeof *o->matrix);
    o->map = nested ? slm_alloc(rt, SLM_MEM_MODEL, sizeof *o->map) : NULL;
    if (!o->matrix || (nested && !o->map))
        return slm_fail_mem(err, "quantisation", most * sizeof *o->matrix);
    if (nested)
        slm_dynamic8_fill(o->map, true);
    int rc = list(o, err);
    if (!rc && o->again)
        slm_log(rt, SLM_LOG_WARN,
                "%s: %d matrices were rounded before: rounding them again loses more than "
                "rounding the original once",
                c->m->src.path, o->again);
    if (!rc)
        rc = take_room(o, err);
    for (int i = 0; i < o->count && !rc; i++) { /* what stands in the file's head */
        rc = nested ? bring(o, i, err) : 0;
        put_state(o, &o->matrix[i]);
    }
    return rc;
}

static const char *const suffix[TENSORS] = {"",
                                            ".absmax",
                                            ".quant_map",
                                            ".quant_state.bitsandbytes__nf4",
                                            ".nested_absmax",
                                            ".nested_quant_map"};

void slm_nf4_out_declare(const struct slm_nf4_out *o, slm_st_out *w, const char *name, int i)
{
    const struct matrix *x = &o->matrix[i];
    for (int k = 0; k < (o->map ? TENSORS : NESTED); k++) {
        char full[256];
        uint64_t dim[2] = {0, 1};
        enum slm_dtype t =
            k == CODES || k == STATE || (k == ABSMAX && o->map) ? SLM_U8 : SLM_F32;
        dim[0] = k == CODES        ? slm_nf4_bytes(x->n)
                 : k == ABSMAX     ? x->blocks
                 : k == MAP        ? 16
                 : k == STATE      ? strlen(x->state)
                 : k == NESTED_MAP ? 256
                                   : slm_nf4_blocks(x->blocks, SLM_NF4_NEST);
        snprintf(full, sizeof full, "%s%s", name, suffix[k]);
        slm_st_out_tensor(w, full, t, dim, k == CODES ? 2 : 1);
    }
}

int slm_nf4_out_tensors(const struct slm_nf4_out *o) { return o->map ? TENSORS : NESTED; }
int slm_nf4_out_count(const struct slm_nf4_out *o) { return o->count; }

int slm_nf4_out_find(const struct slm_nf4_out *o, int weight, int part)
{
    for (int i = 0; i < o->count; i++)
        if (o->matrix[i].weight == weight && o->matrix[i].part == part)
            return i;
    return -1;
}

int slm_nf4_out_write(struct slm_nf4_out *o, slm_st_out *w, int i, int tensor, slm_err *err)
{
    const struct matrix *x = &o->matrix[i];
    bool whole = tensor == CODES || tensor == ABSMAX;
    int rc = whole ? bring(o, i, err) : 0;
    if (rc)
        return rc;
    switch (tensor) {
    case CODES: return slm_st_out_data(w, o->packed, slm_nf4_bytes(x->n), err);
    case ABSMAX:
        return o->map ? slm_st_out_data(w, o->codes, x->blocks, err)
                      : slm_st_out_data(w, o->absmax, x->blocks * sizeof *o->absmax, err);
    case MAP: return slm_st_out_data(w, slm_nf4_values, sizeof slm_nf4_values, err);
    case STATE: return slm_st_out_data(w, x->state, strlen(x->state), err);
    case NESTED_MAP: return slm_st_out_data(w, o->map->value, sizeof o->map->value, err);
    default:
        return slm_st_out_data(
            w, x->nested, slm_nf4_blocks(x->blocks, SLM_NF4_NEST) * sizeof *x->nested, err);
    }
}

void slm_nf4_out_config(const struct slm_nf4_out *o, struct slm_buf *b, const char *compute)
{
    slm_buf_printf(
        b,
        ",\n  \"quantization_config\": {\n    \"_load_in_4bit\": true,\n    "
        "\"_load_in_8bit\": false,\n    \"bnb_4bit_compute_dtype\": \"%s\",\n    "
        "\"bnb_4bit_quant_storage\": \"uint8\",\n    \"bnb_4bit_quant_type\": "
        "\"nf4\",\n    \"bnb_4bit_use_double_quant\": %s,\n    "
        "\"llm_int8_enable_fp32_cpu_offload\": false,\n    "
        "\"llm_int8_has_fp16_weight\": false,\n    \"llm_int8_skip_modules\": null,\n"
        "    \"llm_int8_threshold\": 6.0,\n    \"load_in_4bit\": true,\n    "
        "\"load_in_8bit\": false,\n    \"quant_method\": \"bitsandbytes\"\n  }",
        compute, o->map ? "true" : "false");
}
