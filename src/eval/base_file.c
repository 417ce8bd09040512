/* Base files, read and written: a text's ids and what a model said at each scored place.
 *
 * slm's form is a header, the ids, and rows of float32 logits; nothing is rounded, so a
 * comparison with the file gives the bits of one with the model. llama.cpp's is its
 * --kl-divergence-base: "_logits_", context, vocabulary, chunks (32 bits each), the ids, then
 * rows of a float32 step, a float32 least log-probability and a 16-bit code for each token (the
 * row padded to an even number of codes). All counts are held against the file's size before
 * anything is read. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "slm/eval.h"

#define VERSION 1u
#define LLAMA_HEADER 20
#define ROWS_AT 32 /* offset of slm's count of rows, known at the end */
static const char magic_slm[8] = {'s', 'l', 'm', '-', 'b', 'a', 's', 'e'};
static const char magic_llama[8] = {'_', 'l', 'o', 'g', 'i', 't', 's', '_'};

struct header { /* little endian, as it lies in the file */
    char magic[8];
    uint32_t version, text, context, vocab;
    uint64_t n_ids, n_rows;
};
static_assert(sizeof(struct header) == 40 && offsetof(struct header, n_rows) == ROWS_AT,
              "the header is a file format");

struct slm_base {
    slm_runtime *rt;
    struct slm_map map;
    slm_base_info info;
    char *path;
    const uint8_t *ids, *rows; /* in the map, not aligned */
    size_t row_bytes;
};

struct slm_base_out {
    slm_runtime *rt;
    struct slm_out out;
    slm_base_info info;
    uint8_t *row; /* one row as the file has it */
    size_t row_bytes;
    uint64_t rows;
};

static size_t row_bytes(const slm_base_info *i)
{
    size_t v = (size_t)i->vocab;
    return i->form == SLM_BASE_SLM ? v * sizeof(float) : ((v + 1) / 2 * 2 + 4) * 2;
}

int slm_base_is(const char *path)
{
    char head[8];
    FILE *f = slm_path_is_file(path) ? fopen(path, "rb") : NULL;
    size_t n = f ? fread(head, 1, sizeof head, f) : 0;
    if (f)
        fclose(f);
    return n == sizeof head && (!memcmp(head, magic_slm, 8) || !memcmp(head, magic_llama, 8));
}

static int check_numbers(const slm_base *b, uint64_t context, uint64_t vocab, slm_err *err)
{
    if (context < 2 || context > INT32_MAX || vocab < 1 || vocab > INT32_MAX)
        return slm_fail(err, SLM_E_FORMAT, "%s: a context of %llu and a vocabulary of %llu",
                        b->path, (unsigned long long)context, (unsigned long long)vocab);
    return 0;
}

static int head_slm(slm_base *b, size_t *at, slm_err *err)
{
    struct header h;
    if (b->map.size < sizeof h)
        return slm_fail(err, SLM_E_FORMAT, "%s: ends within its header", b->path);
    memcpy(&h, b->map.data, sizeof h);
    if (h.version != VERSION || h.text > SLM_BASE_WINDOWS)
        return slm_fail(err, SLM_E_FORMAT, "%s: version %u, text %u: not known here", b->path,
                        h.version, h.text);
    *at = sizeof h;
    b->info = (slm_base_info){.form = SLM_BASE_SLM,
                              .text = (enum slm_base_text)h.text,
                              .n_ids = h.n_ids,
                              .n_rows = h.n_rows};
    int rc = check_numbers(b, h.context, h.vocab, err);
    if (!rc) {
        b->info.context = (int)h.context;
        b->info.vocab = (int)h.vocab;
    }
    return rc;
}

static int head_llama(slm_base *b, size_t *at, slm_err *err)
{
    uint32_t n[3]; /* context, vocabulary, chunks */
    if (b->map.size < LLAMA_HEADER)
        return slm_fail(err, SLM_E_FORMAT, "%s: ends within its header", b->path);
    memcpy(n, b->map.data + 8, sizeof n);
    *at = LLAMA_HEADER;
    int rc = check_numbers(b, n[0], n[1], err);
    if (!rc)
        b->info = (slm_base_info){.form = SLM_BASE_LLAMA_CPP,
                                  .text = SLM_BASE_CHUNKS,
                                  .context = (int)n[0],
                                  .vocab = (int)n[1],
                                  .n_ids = (uint64_t)n[0] * n[2],
                                  .n_rows = (uint64_t)(n[0] - 1 - n[0] / 2) * n[2]};
    return rc;
}

/* Ids and rows must fill the file to its end. */
static int lay_out(slm_base *b, size_t at, slm_err *err)
{
    uint64_t left = b->map.size - at, ids = b->info.n_ids;
    b->row_bytes = row_bytes(&b->info);
    if (ids > left / sizeof(int32_t))
        return slm_fail(err, SLM_E_FORMAT, "%s: says %llu ids, more than it has room for",
                        b->path, (unsigned long long)ids);
    left -= ids * sizeof(int32_t);
    if (b->info.n_rows != left / b->row_bytes || left % b->row_bytes)
        return slm_fail(err, SLM_E_FORMAT,
                        "%s: says %llu rows of %zu bytes, and has %llu bytes for them", b->path,
                        (unsigned long long)b->info.n_rows, b->row_bytes,
                        (unsigned long long)left);
    b->ids = b->map.data + at;
    b->rows = b->ids + ids * sizeof(int32_t);
    return 0;
}

int slm_base_open(slm_base **out, slm_runtime *rt, const char *path, slm_err *err)
{
    size_t at = 0, n = strlen(path) + 1;
    slm_base *b = slm_zalloc(rt, SLM_MEM_USER, sizeof *b + n);
    if (!b)
        return slm_fail_mem(err, "base file", sizeof *b);
    b->rt = rt;
    b->path = (char *)(b + 1);
    memcpy(b->path, path, n);
    int rc = slm_map_open(&b->map, path, err);
    if (!rc && b->map.size < 8)
        rc = slm_fail(err, SLM_E_FORMAT, "%s: is no base file", path);
    else if (!rc && !memcmp(b->map.data, magic_slm, 8))
        rc = head_slm(b, &at, err);
    else if (!rc && !memcmp(b->map.data, magic_llama, 8))
        rc = head_llama(b, &at, err);
    else if (!rc)
        rc = slm_fail(err, SLM_E_FORMAT, "%s: is no base file", path);
    if (!rc)
        rc = lay_out(b, at, err);
    if (rc)
        slm_base_close(&b);
    else
        *out = b;
    return rc;
}

void slm_base_close(slm_base **pb)
{
    slm_base *b = pb ? *pb : NULL;
    if (!b)
        return;
    slm_map_close(&b->map);
    slm_free(b->rt, b);
    *pb = NULL;
}

void slm_base_info_get(const slm_base *b, slm_base_info *out) { *out = b->info; }

int32_t slm_base_id(const slm_base *b, uint64_t i)
{
    int32_t id;
    memcpy(&id, b->ids + i * sizeof id, sizeof id);
    return id;
}

int slm_base_row(const slm_base *b, uint64_t i, float *out, slm_err *err)
{
    const uint8_t *p = b->rows + i * b->row_bytes;
    bool good = true;
    if (b->info.form == SLM_BASE_SLM) {
        memcpy(out, p, b->row_bytes);
        for (int j = 0; j < b->info.vocab; j++)
            good &= isfinite(out[j]) != 0;
    } else {
        float step, least;
        memcpy(&step, p, 4);
        memcpy(&least, p + 4, 4);
        good = isfinite(step) && step >= 0 && isfinite(least) && least <= 0 &&
               (double)step * 65535 + (double)least < 1;
        for (int j = 0; j < b->info.vocab && good; j++) {
            uint16_t code;
            memcpy(&code, p + 8 + 2 * (size_t)j, 2);
            out[j] = step * (float)code + least;
        }
    }
    return good ? 0
                : slm_fail(err, SLM_E_FORMAT, "%s: row %llu is no row of %s", b->path,
                           (unsigned long long)i,
                           b->info.form == SLM_BASE_SLM ? "logits" : "log-probabilities");
}

static int out_head(slm_base_out *o, const int32_t *ids, slm_err *err)
{
    struct header h = {.version = VERSION,
                       .text = o->info.text,
                       .context = (uint32_t)o->info.context,
                       .vocab = (uint32_t)o->info.vocab,
                       .n_ids = o->info.n_ids};
    uint32_t n[3] = {h.context, h.vocab, (uint32_t)(o->info.n_ids / h.context)};
    int rc;
    memcpy(h.magic, magic_slm, 8);
    if (o->info.form == SLM_BASE_SLM) {
        rc = slm_out_write(&o->out, &h, sizeof h, err);
    } else {
        rc = slm_out_write(&o->out, magic_llama, 8, err);
        if (!rc)
            rc = slm_out_write(&o->out, n, sizeof n, err);
    }
    return rc ? rc : slm_out_write(&o->out, ids, (size_t)o->info.n_ids * sizeof *ids, err);
}

int slm_base_out_open(slm_base_out **out, slm_runtime *rt, const char *path,
                      const slm_base_info *info, const int32_t *ids, slm_err *err)
{
    if (info->context < 2 || info->vocab < 1)
        return slm_fail(err, SLM_E_ARG, "%s: a context of %d and a vocabulary of %d", path,
                        info->context, info->vocab);
    if (info->form == SLM_BASE_LLAMA_CPP &&
        (info->text != SLM_BASE_CHUNKS || info->n_ids % (uint64_t)info->context))
        return slm_fail(err, SLM_E_ARG, "%s: llama.cpp's form holds whole chunks only", path);
    slm_base_out *o = slm_zalloc(rt, SLM_MEM_USER, sizeof *o);
    if (!o)
        return slm_fail_mem(err, "base file", sizeof *o);
    o->rt = rt;
    o->info = *info;
    o->row_bytes = row_bytes(info);
    o->row = slm_zalloc(rt, SLM_MEM_USER, o->row_bytes);
    int rc = o->row ? slm_out_open(&o->out, rt, path, err)
                    : slm_fail_mem(err, "base file", o->row_bytes);
    if (!rc)
        rc = out_head(o, ids, err);
    if (rc)
        slm_base_out_close(&o);
    else
        *out = o;
    return rc;
}

/* Codes over the 16 nats below the best, with llama.cpp's rounding. */
static void code_row(slm_base_out *o, const float *x)
{
    int v = o->info.vocab;
    float max = x[0], min = x[0];
    double sum = 0;
    for (int i = 1; i < v; i++) {
        max = x[i] > max ? x[i] : max;
        min = x[i] < min ? x[i] : min;
    }
    min = min > max - 16 ? min : max - 16;
    for (int i = 0; i < v; i++)
        sum += (double)expf(x[i] - max);
    float z = (float)log(sum), step = (max - min) / 65535.0f, least = min - max - z;
    float inv = step > 0 ? 1 / step : 0;
    memcpy(o->row, &step, 4);
    memcpy(o->row + 4, &least, 4);
    for (int i = 0; i < v; i++) {
        float f = x[i] > min ? rintf(inv * (x[i] - min)) : 0;
        uint16_t code = (uint16_t)(f < 65535 ? f : 65535);
        memcpy(o->row + 8 + 2 * (size_t)i, &code, 2);
    }
}

int slm_base_out_row(slm_base_out *o, const float *logits, slm_err *err)
{
    const void *row = logits;
    if (o->info.form == SLM_BASE_LLAMA_CPP) {
        code_row(o, logits);
        row = o->row;
    }
    o->rows++;
    return slm_out_write(&o->out, row, o->row_bytes, err);
}

int slm_base_out_commit(slm_base_out *o, slm_err *err)
{
    int rc = 0;
    if (o->info.form == SLM_BASE_SLM)
        rc = slm_out_patch(&o->out, ROWS_AT, &o->rows, sizeof o->rows, err);
    return rc ? rc : slm_out_commit(&o->out, err);
}

void slm_base_out_close(slm_base_out **po)
{
    slm_base_out *o = po ? *po : NULL;
    if (!o)
        return;
    slm_out_close(&o->out);
    slm_free(o->rt, o->row);
    slm_free(o->rt, o);
    *po = NULL;
}
