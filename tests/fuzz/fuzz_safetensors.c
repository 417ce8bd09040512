/* Fuzz target: a safetensors file from memory. An input that starts with '{' is a header by
 * itself, to which a length and as many bytes of data as its tensors claim (up to a few) are
 * added. */
#include <stdlib.h>
#include <string.h>

#include "format/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static slm_runtime rt;
static volatile size_t sink;

static void read_all(const uint8_t *data, size_t size)
{
    slm_st *st;
    slm_err err = {0};
    if (slm_st_open_mem(&st, &rt, data, size, "fuzz", &err)) {
        if (!err.msg[0] || strchr(err.msg, '\n'))
            __builtin_trap();
        return;
    }
    uint64_t bytes = 0;
    for (size_t i = 0; i < slm_st_tensor_count(st); i++) {
        const struct slm_tensor_ref *t = slm_st_tensor_at(st, i);
        char shape[SLM_SHAPE_TEXT];
        if (slm_st_tensor_find(st, t->name) != t || t->bytes > size)
            __builtin_trap();
        for (uint64_t k = 0; k < t->bytes; k++)
            sink += t->data[k];
        sink += strlen(slm_shape_text(shape, t->dim, t->n_dims));
        bytes += t->bytes;
    }
    if (bytes > size)
        __builtin_trap();
    for (size_t i = 0; i < slm_st_meta_count(st); i++)
        sink += strlen(slm_st_meta_find(st, slm_st_meta_key(st, i)));
    slm_st_close(&st);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!rt.pool) {
        slm_runtime_opts o = {.threads = 1};
        if (slm_state_init(&rt, &o, NULL))
            return 0;
    }
    if (!size || data[0] != '{') {
        read_all(data, size);
        return 0;
    }
    static const size_t tails[] = {0, 1, 8, 24, 32, 64};
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        uint64_t n = size;
        uint8_t *p = calloc(1, 8 + size + tails[i]);
        if (!p)
            return 0;
        memcpy(p, &n, 8);
        memcpy(p + 8, data, size);
        read_all(p, 8 + size + tails[i]);
        free(p);
    }
    return 0;
}
