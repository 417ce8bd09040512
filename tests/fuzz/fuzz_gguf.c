/* Fuzz target: a GGUF file from memory. Whatever opens is read to its last byte: every element
 * of every key, the ends of every tensor, and the first blocks of each as float32. */
#include <string.h>

#include "format/gguf.h"
#include "kernels/kern_fill.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static slm_runtime rt;
static struct slm_kern kern;
static volatile double sink;

static void read_key(const slm_gguf *g, const struct slm_gguf_key *k)
{
    double sum = 0;
    for (size_t i = 0; i < k->count; i++) {
        int64_t v = 0;
        if (slm_gguf_is_str(k)) {
            struct slm_gguf_str s = slm_gguf_elem_str(k, i);
            for (size_t j = 0; j < s.n; j++)
                sum += s.s[j];
        } else {
            sum += slm_gguf_elem_num(k, i);
            sum += slm_gguf_elem_int(k, i, &v);
        }
    }
    slm_err err;
    struct slm_gguf_range want = {-5, 1000, SLM_GGUF_REQUIRED};
    int many[3];
    float f = 0, fs[3];
    bool b = false;
    struct slm_gguf_str s;
    const struct slm_gguf_key *a;
    sum += slm_gguf_int32(g, k->name, want, many, &err);
    sum += slm_gguf_ints(g, k->name, want, many, 3, &err);
    sum += slm_gguf_float(g, k->name, SLM_GGUF_REQUIRED, &f, &err);
    sum += slm_gguf_floats(g, k->name, SLM_GGUF_REQUIRED, fs, 3, &err);
    sum += slm_gguf_bool(g, k->name, SLM_GGUF_REQUIRED, &b, &err);
    sum += slm_gguf_str(g, k->name, SLM_GGUF_REQUIRED, &s, &err);
    sum += slm_gguf_array(g, k->name, SLM_GGUF_KIND_NUM, SLM_GGUF_REQUIRED, &a, &err);
    if (slm_gguf_find(g, k->name) != k)
        __builtin_trap();
    sink = sum;
}

static void read_tensor(const slm_gguf *g, const struct slm_tensor_ref *t)
{
    if (slm_gguf_tensor_find(g, t->name) != t)
        __builtin_trap();
    if (!t->bytes)
        return;
    sink = t->data[0] + t->data[t->bytes - 1];
    float y[512];
    size_t block = (size_t)slm_dtypes[t->type].block,
           n = t->count < 2 * block ? block : 2 * block;
    kern.to_f32[t->type](y, t->data, n);
    sink = (double)y[n - 1];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!rt.pool) {
        slm_runtime_opts o = {.threads = 1};
        if (slm_state_init(&rt, &o, NULL))
            return 0;
        slm_kern_fill_quant_generic(&kern);
    }
    slm_gguf *g;
    slm_err err = {0};
    if (slm_gguf_open_mem(&g, &rt, data, size, "fuzz", &err)) {
        if (!err.msg[0] || strchr(err.msg, '\n'))
            __builtin_trap();
        return 0;
    }
    for (size_t i = 0; i < slm_gguf_key_count(g); i++)
        read_key(g, slm_gguf_key_at(g, i));
    for (size_t i = 0; i < slm_gguf_tensor_count(g); i++)
        read_tensor(g, slm_gguf_tensor_at(g, i));
    slm_gguf_close(&g);
    if (rt.heap.blocks > 16) /* nothing may stay behind but the pool's own */
        __builtin_trap();
    return 0;
}
