/* llama2.c's .bin files: version 0 (float32 behind a header of seven numbers), version 1
 * (float32 with magic) and version 2 (int8 in groups with float32 scales). They get GGUF names;
 * int8 groups, which no GGUF type holds exactly, become float32 in the model's arena. */
#include <stdio.h>
#include <string.h>

#include "model/source.h"

enum { DIM, HIDDEN, LAYERS, HEADS, KV_HEADS, VOCAB, CONTEXT, TIED };
#define MAGIC 0x616b3432u
#define HEADER_BYTES 256 /* of versions 1 and 2 */

struct walk {
    struct slm_source *s;
    size_t at; /* next byte */
    int group; /* version 2: numbers a scale; 0: float32 */
    slm_err *err;
};

static uint32_t u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

static int check_header(struct slm_source *s, slm_err *err)
{
    static const struct {
        const char *what;
        int max;
    } want[] = {
        {"dim", SLM_MAX_WIDTH},       {"hidden_dim", SLM_MAX_WIDTH * 8},
        {"n_layers", SLM_MAX_LAYERS}, {"n_heads", 65536},
        {"n_kv_heads", 65536},        {"vocab_size", 1 << 26},
        {"seq_len", SLM_MAX_CONTEXT},
    };
    for (int i = 0; i < TIED; i++)
        if (s->header[i] < 1 || s->header[i] > want[i].max)
            return slm_fail(err, SLM_E_FORMAT, "%s: %s is %d: not a llama2.c file?", s->path,
                            want[i].what, s->header[i]);
    const int32_t *h = s->header;
    if (h[DIM] % h[HEADS] || h[HEADS] % h[KV_HEADS])
        return slm_fail(err, SLM_E_FORMAT,
                        "%s: %d heads and %d key/value heads do not divide a width of %d",
                        s->path, h[HEADS], h[KV_HEADS], h[DIM]);
    return 0;
}

/* Checks that n numbers are there, and gives their first byte. */
static const uint8_t *take(struct walk *w, uint64_t bytes)
{
    if (bytes > w->s->map.size - w->at) {
        slm_fail(w->err, SLM_E_FORMAT, "%s: ends after %zu bytes, in the middle of its weights",
                 w->s->path, w->s->map.size);
        return NULL;
    }
    const uint8_t *p = w->s->map.data + w->at;
    w->at += (size_t)bytes;
    return p;
}

/* int8 groups with a scale each, as float32. */
static const uint8_t *take_int8(struct walk *w, uint64_t n)
{
    if (n % (uint64_t)w->group) {
        slm_fail(w->err, SLM_E_FORMAT, "%s: groups of %d do not divide a tensor of %llu",
                 w->s->path, w->group, (unsigned long long)n);
        return NULL;
    }
    const uint8_t *q = take(w, n), *scale = q ? take(w, n / (uint64_t)w->group * 4) : NULL;
    float *f = scale ? slm_arena_alloc_n(w->s->arena, (size_t)n, sizeof *f) : NULL;
    if (scale && !f)
        slm_fail_mem(w->err, w->s->path, (size_t)n * 4);
    for (uint64_t i = 0; f && i < n; i++) {
        float d;
        memcpy(&d, scale + i / (uint64_t)w->group * 4, 4);
        f[i] = (float)(int8_t)q[i] * d;
    }
    return (const uint8_t *)f;
}

static int add(struct walk *w, const char *name, int layer, uint64_t rows, uint64_t cols,
               bool quantised)
{
    struct slm_source *s = w->s;
    uint64_t n = rows * cols;
    const uint8_t *p = quantised && w->group ? take_int8(w, n) : take(w, n * 4);
    struct slm_buf b;
    slm_buf_init(&b, s->rt, SLM_MEM_MODEL, 128);
    if (layer >= 0)
        slm_buf_printf(&b, "blk.%d.", layer);
    slm_buf_puts(&b, name);
    char *copy = slm_arena_strdup(s->arena, b.s);
    slm_buf_release(&b);
    if (!p || !copy)
        return w->err && w->err->code ? w->err->code : SLM_E_FORMAT;
    struct slm_tensor_ref *t = &s->own[s->n_own++];
    *t = (struct slm_tensor_ref){
        .name = copy, .data = p, .bytes = n * 4, .count = n, .type = SLM_F32};
    t->n_dims = rows == 1 ? 1 : 2;
    t->dim[0] = rows == 1 ? cols : rows;
    t->dim[1] = cols;
    return 0;
}

/* One kind of tensor for all layers, as the files group them. */
static int add_layers(struct walk *w, const char *name, uint64_t rows, uint64_t cols,
                      bool quantised)
{
    int rc = 0;
    for (int l = 0; l < w->s->header[LAYERS] && !rc; l++)
        rc = add(w, name, l, rows, cols, quantised);
    return rc;
}

struct row {
    const char *name;
    uint64_t rows, cols;
};

/* norms: the feed-forward's norm stands among the matrices. */
static int add_matrices(struct walk *w, bool norms)
{
    const int32_t *h = w->s->header;
    uint64_t d = (uint64_t)h[DIM], f = (uint64_t)h[HIDDEN],
             kv = d / (uint64_t)h[HEADS] * (uint64_t)h[KV_HEADS];
    const struct row rows[] = {
        {"attn_q.weight", d, d},      {"attn_k.weight", kv, d},  {"attn_v.weight", kv, d},
        {"attn_output.weight", d, d}, {"ffn_gate.weight", f, d}, {"ffn_down.weight", d, f},
        {"ffn_up.weight", f, d},
    };
    int rc = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows && !rc; i++) {
        if (i == 4 && norms)
            rc = add_layers(w, "ffn_norm.weight", 1, d, false);
        if (!rc)
            rc = add_layers(w, rows[i].name, rows[i].rows, rows[i].cols, true);
    }
    return rc;
}

/* Version 0: embedding, attention norms, matrices with the second norms among them, final norm,
 * two tables of rotations that nobody needs, output. */
static int walk_v0(struct walk *w)
{
    const int32_t *h = w->s->header;
    uint64_t d = (uint64_t)h[DIM], v = (uint64_t)h[VOCAB], head = d / (uint64_t)h[HEADS];
    int rc;
    if ((rc = add(w, "token_embd.weight", -1, v, d, false)) ||
        (rc = add_layers(w, "attn_norm.weight", 1, d, false)) || (rc = add_matrices(w, true)) ||
        (rc = add(w, "output_norm.weight", -1, 1, d, false)))
        return rc;
    if (!take(w, (uint64_t)h[CONTEXT] * head * 4))
        return SLM_E_FORMAT;
    return h[TIED] ? 0 : add(w, "output.weight", -1, v, d, false);
}

/* Versions 1 and 2: norms first, all in float32, then the matrices. */
static int walk_v1(struct walk *w)
{
    const int32_t *h = w->s->header;
    uint64_t d = (uint64_t)h[DIM], v = (uint64_t)h[VOCAB];
    int rc;
    if ((rc = add_layers(w, "attn_norm.weight", 1, d, false)) ||
        (rc = add_layers(w, "ffn_norm.weight", 1, d, false)) ||
        (rc = add(w, "output_norm.weight", -1, 1, d, false)) ||
        (rc = add(w, "token_embd.weight", -1, v, d, true)))
        return rc;
    rc = add_matrices(w, false);
    return rc || h[TIED] ? rc : add(w, "output.weight", -1, v, d, true);
}

static int read_header(struct walk *w, uint32_t *version)
{
    struct slm_source *s = w->s;
    const uint8_t *p = s->map.data;
    if (s->map.size < HEADER_BYTES)
        return slm_fail(w->err, SLM_E_FORMAT, "%s: %zu bytes are too few for a llama2.c file",
                        s->path, s->map.size);
    *version = u32(p) == MAGIC ? u32(p + 4) : 0;
    if (u32(p) == MAGIC && (*version < 1 || *version > 2))
        return slm_fail(w->err, SLM_E_UNSUPPORTED, "%s: llama2.c version %u is not known",
                        s->path, *version);
    const uint8_t *numbers = *version ? p + 8 : p;
    for (int i = 0; i < TIED; i++)
        s->header[i] = (int32_t)u32(numbers + 4 * i);
    if (*version) {
        s->header[TIED] = p[36] != 0;
    } else {
        s->header[TIED] =
            s->header[VOCAB] > 0; /* a negative size says that the output has its own matrix */
        if (s->header[VOCAB] < 0 && s->header[VOCAB] > INT32_MIN)
            s->header[VOCAB] = -s->header[VOCAB];
    }
    w->at = *version ? HEADER_BYTES : 28;
    int32_t group = *version == 2 ? (int32_t)u32(p + 37) : 0;
    if (*version == 2 && (group < 1 || group > 1 << 20))
        return slm_fail(w->err, SLM_E_FORMAT, "%s: groups of %d", s->path, group);
    w->group = group;
    return check_header(s, w->err);
}

int slm_llama2c_open(struct slm_source *s, slm_err *err)
{
    struct walk w = {.s = s, .err = err};
    uint32_t version = 0;
    int rc = slm_map_open(&s->map, s->path, err);
    if (!rc)
        rc = read_header(&w, &version);
    if (rc)
        return rc;
    s->own = slm_arena_alloc_n(s->arena, 9 * (size_t)s->header[LAYERS] + 3, sizeof *s->own);
    if (!s->own)
        return slm_fail_mem(err, s->path, sizeof *s->own * (size_t)s->header[LAYERS]);
    rc = version ? walk_v1(&w) : walk_v0(&w);
    if (!rc && w.at != s->map.size)
        rc = slm_fail(err, SLM_E_FORMAT, "%s: %zu bytes behind the weights", s->path,
                      s->map.size - w.at);
    return rc;
}
