/* Folders saved with bitsandbytes' 4-bit weights. The tensors that make up one matrix (codes,
 * magnitudes, maps, a text of facts) become one tensor of rows, so that whoever binds weights
 * need not know: of type nf4 where blocks end with rows, else of float32 with the same values.
 */
#include "model/nf4.h"
#include "model/source.h"

#include <math.h>
#include <stdatomic.h>

#define STATE ".quant_state.bitsandbytes__"

/* One matrix, its parts found and checked. */
struct matrix {
    const struct slm_tensor_ref *codes;
    size_t rows, cols, block, n, blocks;
    const struct slm_tensor_ref *absmax;
    struct slm_nf4_nested nested; /* code NULL: magnitudes are float32 */
    bool widened;
    size_t at, bytes; /* in the block of memory */
};

struct bnb {
    struct slm_source *s;
    slm_err *err;
    struct matrix *matrix;
    size_t n_matrices, widened, bytes;
};

static int wrong(struct bnb *b, const struct matrix *x, const char *what)
{
    return slm_fail(b->err, SLM_E_FORMAT, "%s: tensor %s: %s", b->s->path, x->codes->name,
                    what);
}

/* The tensor `name` + `more` of this many elements; type -1: any. */
static const struct slm_tensor_ref *part(struct bnb *b, const char *name, const char *more,
                                         int type, uint64_t count)
{
    struct slm_buf full;
    slm_buf_init(&full, b->s->rt, SLM_MEM_MODEL, 1 << 16);
    slm_buf_puts(&full, name);
    slm_buf_puts(&full, more);
    const struct slm_tensor_ref *t = slm_st_tensor_find(b->s->st, full.s);
    int rc = slm_buf_check(&full, name, b->err);
    if (!rc && (!t || (type >= 0 && (int)t->type != type) || (count && t->count != count)))
        slm_fail(b->err, SLM_E_FORMAT, "%s: tensor %s is %s", b->s->path, full.s,
                 t ? "of another type or length than its matrix needs" : "missing");
    else if (!rc) {
        slm_buf_release(&full);
        return t;
    }
    slm_buf_release(&full);
    return NULL;
}

static bool power_of_two(int64_t n) { return n >= 32 && n <= 4096 && !(n & (n - 1)); }

/* Numbers of the text of facts. */
static int read_shape(struct bnb *b, struct matrix *x, const slm_json *j)
{
    const slm_json *shape = slm_json_find(j, "shape");
    const char *kind = slm_json_str(slm_json_find(j, "quant_type"), NULL);
    int64_t block = slm_json_int(slm_json_find(j, "blocksize"), 0);
    int64_t rows = slm_json_int(slm_json_at(shape, 0), 0),
            cols = slm_json_int(slm_json_at(shape, 1), 0);
    if (!kind || strcmp(kind, "nf4") != 0)
        return wrong(b, x, "its state is not of nf4");
    if (!power_of_two(block))
        return wrong(b, x, "blocksize is no power of two from 32 to 4096");
    if (slm_json_count(shape) != 2 || rows < 1 || cols < 1 || rows > INT32_MAX ||
        cols > INT32_MAX)
        return wrong(b, x, "shape is not of two dimensions");
    x->rows = (size_t)rows;
    x->cols = (size_t)cols;
    x->block = (size_t)block;
    if (!slm_mul_ok(x->rows, x->cols, &x->n) || slm_nf4_bytes(x->n) != x->codes->bytes)
        return wrong(b, x, "shape does not fit the codes");
    x->blocks = slm_nf4_blocks(x->n, x->block);
    return 0;
}

static int read_nested(struct bnb *b, struct matrix *x, const slm_json *j)
{
    const slm_json *size = slm_json_find(j, "nested_blocksize");
    if (!size) {
        x->absmax = part(b, x->codes->name, ".absmax", SLM_F32, x->blocks);
        return x->absmax ? 0 : SLM_E_FORMAT;
    }
    int64_t block = slm_json_int(size, 0);
    double offset = slm_json_num(slm_json_find(j, "nested_offset"), (double)NAN);
    if (!power_of_two(block) || !isfinite(offset))
        return wrong(b, x, "nested_blocksize or nested_offset is wrong");
    size_t groups = slm_nf4_blocks(x->blocks, (size_t)block);
    const struct slm_tensor_ref *codes = part(b, x->codes->name, ".absmax", SLM_U8, x->blocks),
                                *top = codes ? part(b, x->codes->name, ".nested_absmax",
                                                    SLM_F32, groups)
                                             : NULL,
                                *map = top ? part(b, x->codes->name, ".nested_quant_map",
                                                  SLM_F32, 256)
                                           : NULL;
    if (!map)
        return SLM_E_FORMAT;
    x->absmax = codes;
    x->nested = (struct slm_nf4_nested){codes->data, top->data, map->data, (size_t)block,
                                        (float)offset};
    return 0;
}

static int read_matrix(struct bnb *b, struct matrix *x)
{
    slm_json *j = NULL;
    const struct slm_tensor_ref *state = part(b, x->codes->name, STATE "nf4", SLM_U8, 0),
                                *map = state
                                           ? part(b, x->codes->name, ".quant_map", SLM_F32, 16)
                                           : NULL;
    if (!map)
        return SLM_E_FORMAT;
    int rc = slm_json_parse(&j, (const char *)state->data, (size_t)state->bytes, state->name,
                            b->err);
    if (!rc && memcmp(map->data, slm_nf4_values, sizeof slm_nf4_values) != 0)
        rc = wrong(b, x, "quant_map has other values than nf4's");
    if (!rc)
        rc = read_shape(b, x, j);
    if (!rc)
        rc = read_nested(b, x, j);
    slm_json_free(j);
    if (rc)
        return rc;
    x->widened = x->cols % SLM_NF4_BLOCK || x->block % SLM_NF4_BLOCK;
    x->bytes = slm_row_bytes(x->widened ? SLM_F32 : SLM_NF4, x->n);
    x->at = b->bytes;
    b->widened += x->widened;
    b->bytes += (x->bytes + 63) / 64 * 64;
    return 0;
}

/* Does `name` end in one of a matrix' other parts? The length of the matrix' own name, or 0. */
static size_t owner(const char *name)
{
    static const char *const parts[] = {".absmax", ".quant_map", ".nested_absmax",
                                        ".nested_quant_map", STATE "nf4"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (slm_str_ends(name, parts[i]))
            return strlen(name) - strlen(parts[i]);
    return 0;
}

/* Codes of a matrix: there is a state of that name. */
static bool has_state(struct bnb *b, const char *name, size_t n)
{
    struct slm_buf full;
    slm_buf_init(&full, b->s->rt, SLM_MEM_MODEL, 1 << 16);
    slm_buf_put(&full, name, n);
    slm_buf_puts(&full, STATE "nf4");
    bool there = !full.failed && slm_st_tensor_find(b->s->st, full.s);
    slm_buf_release(&full);
    return there;
}

static int refuse_others(struct bnb *b, const char *name)
{
    if (strstr(name, STATE "fp4"))
        return slm_fail(b->err, SLM_E_UNSUPPORTED,
                        "%s: tensor %s: bitsandbytes' fp4 is not read, only nf4", b->s->path,
                        name);
    if (slm_str_ends(name, ".SCB") || slm_str_ends(name, ".weight_format"))
        return slm_fail(b->err, SLM_E_UNSUPPORTED,
                        "%s: tensor %s: bitsandbytes' 8-bit weights (int8) are not read, only "
                        "nf4",
                        b->s->path, name);
    return 0;
}

/* The list of tensors as binding sees it, the matrices' data still to come. */
static int list_tensors(struct bnb *b)
{
    struct slm_source *s = b->s;
    size_t all = slm_st_tensor_count(s->st);
    s->own = slm_arena_alloc_n(s->arena, all + 1, sizeof *s->own);
    b->matrix = slm_zalloc_n(s->rt, SLM_MEM_MODEL, all + 1, sizeof *b->matrix);
    if (!s->own || !b->matrix)
        return slm_fail_mem(b->err, s->path, all * sizeof *b->matrix);
    for (size_t i = 0; i < all; i++) {
        const struct slm_tensor_ref *t = slm_st_tensor_at(s->st, i);
        size_t n = owner(t->name);
        int rc = refuse_others(b, t->name);
        if (rc)
            return rc;
        if (n && has_state(b, t->name, n))
            continue;
        struct slm_tensor_ref *own = &s->own[s->n_own++];
        *own = *t;
        if (!has_state(b, t->name, strlen(t->name)))
            continue;
        struct matrix *x = &b->matrix[b->n_matrices++];
        x->codes = t;
        if ((rc = read_matrix(b, x)))
            return rc;
        own->type = x->widened ? SLM_F32 : SLM_NF4;
        own->n_dims = 2;
        own->dim[0] = x->rows;
        own->dim[1] = x->cols;
        own->count = x->n;
        own->bytes = x->bytes;
        own->data = NULL;
    }
    return 0;
}

/* ---- the bytes ---- */

struct work {
    struct bnb *b;
    float *absmax; /* (threads, most blocks) */
    size_t most;
    atomic_size_t next;
};

static void convert(struct bnb *b, const struct matrix *x, float *absmax)
{
    uint8_t *to = b->s->unpacked + x->at;
    struct slm_nf4 q = {x->codes->data, absmax, x->block};
    if (x->nested.code)
        slm_nf4_unnest(absmax, &x->nested, x->blocks);
    else
        memcpy(absmax, x->absmax->data, x->blocks * sizeof *absmax);
    if (x->widened)
        slm_nf4_dequantize((float *)(void *)to, &q, 0, x->n);
    else
        slm_nf4_rows(to, &q, 0, x->n);
}

static void convert_some(int ith, int nth, void *arg)
{
    struct work *w = arg;
    (void)nth;
    for (size_t i; (i = atomic_fetch_add(&w->next, 1)) < w->b->n_matrices;)
        convert(w->b, &w->b->matrix[i], w->absmax + (size_t)ith * w->most);
}

static int convert_all(struct bnb *b)
{
    struct slm_source *s = b->s;
    struct work w = {.b = b};
    for (size_t i = 0; i < b->n_matrices; i++)
        w.most = b->matrix[i].blocks > w.most ? b->matrix[i].blocks : w.most;
    w.absmax = slm_alloc_n(s->rt, SLM_MEM_MODEL, w.most * (size_t)slm_pool_threads(s->rt->pool),
                           sizeof *w.absmax);
    s->unpacked = slm_pages_alloc(s->rt, SLM_MEM_MODEL, b->bytes);
    s->unpacked_bytes = b->bytes;
    int rc = w.absmax && s->unpacked ? 0 : slm_fail_mem(b->err, s->path, b->bytes);
    if (!rc)
        slm_pool_run(s->rt->pool, convert_some, &w);
    slm_free(s->rt, w.absmax);
    for (size_t i = 0, k = 0; i < s->n_own && !rc; i++)
        if (!s->own[i].data && s->own[i].count && k < b->n_matrices)
            s->own[i].data = s->unpacked + b->matrix[k++].at;
    return rc;
}

int slm_source_unpack(struct slm_source *s, slm_err *err)
{
    const slm_json *q = slm_json_find(s->config, "quantization_config");
    const char *how = slm_json_str(slm_json_find(q, "quant_method"), NULL),
               *kind = slm_json_str(slm_json_find(q, "bnb_4bit_quant_type"), NULL);
    struct bnb b = {.s = s, .err = err};
    if (!how || strcmp(how, "bitsandbytes") != 0)
        return 0; /* config_hf.c refuses what is left */
    if (slm_json_bool(slm_json_find(q, "load_in_8bit"), false))
        return slm_fail(err, SLM_E_UNSUPPORTED,
                        "%s/config.json: quantization_config: bitsandbytes' 8-bit weights "
                        "(int8) are not read, only nf4",
                        s->path);
    if (kind && strcmp(kind, "nf4") != 0)
        return slm_fail(err, SLM_E_UNSUPPORTED,
                        "%s/config.json: quantization_config: bitsandbytes' %.20s is not read, "
                        "only nf4",
                        s->path, kind);
    int rc = list_tensors(&b);
    if (!rc)
        rc = convert_all(&b);
    if (!rc && b.widened)
        slm_log(s->rt, SLM_LOG_WARN,
                "%s: %zu of %zu nf4 matrices are held as float32: their rows are no multiple "
                "of %d",
                s->path, b.widened, b.n_matrices, SLM_NF4_BLOCK);
    slm_free(s->rt, b.matrix);
    return rc;
}
