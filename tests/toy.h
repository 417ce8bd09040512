/* Toy weights and runtimes for tests of the graph: random, of any type that can be written. */
#ifndef TESTS_TOY_H
#define TESTS_TOY_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "graph/graph.h"
#include "graph/prog.h"

#define TOY_MOST 64

struct toy {
    slm_runtime *rt;
    struct slm_rng rng;
    struct slm_weight *weight; /* (TOY_MOST) */
    const uint8_t *(*part)[8];
    float **plain; /* (parts, rows, cols): the numbers before they were stored */
    int n;
};

static inline void toy_open(struct toy *t, int threads, const char *cpu)
{
    slm_runtime_opts o;
    slm_err err;
    slm_runtime_opts_init(&o);
    o.threads = threads;
    o.cpu = cpu;
    memset(t, 0, sizeof *t);
    slm_rng_init(&t->rng, 42);
    t->weight = calloc(TOY_MOST, sizeof *t->weight);
    t->part = calloc(TOY_MOST, sizeof *t->part);
    t->plain = calloc(TOY_MOST, sizeof *t->plain);
    assert_true(t->weight && t->part && t->plain);
    if (slm_runtime_open(&t->rt, &o, &err))
        fail_msg("%s", err.msg);
}

static inline void toy_close(struct toy *t)
{
    for (int i = 0; i < t->n; i++) {
        free(t->plain[i]);
        free((void *)(uintptr_t)t->part[i][0]);
    }
    free(t->weight);
    free(t->part);
    free(t->plain);
    slm_runtime_close(&t->rt);
    assert_null(t->rt);
}

static inline const struct slm_weight *toy_parts(struct toy *t, enum slm_dtype type, int parts,
                                                 int rows, int cols, float spread)
{
    assert_true(t->n < TOY_MOST && parts <= 8);
    struct slm_weight *w = &t->weight[t->n];
    size_t n = (size_t)parts * rows * cols, stride = slm_row_bytes(type, (size_t)cols);
    float *plain = malloc(n * sizeof *plain);
    uint8_t *data = malloc((size_t)parts * rows * stride);
    assert_true(plain && data);
    for (size_t i = 0; i < n; i++)
        plain[i] = spread * (float)slm_rng_normal(&t->rng);
    for (int r = 0; r < parts * rows; r++)
        t->rt->kern->from_f32[type](data + (size_t)r * stride, plain + (size_t)r * cols,
                                    (size_t)cols);
    for (int e = 0; e < parts; e++)
        t->part[t->n][e] = data + (size_t)e * rows * stride;
    t->plain[t->n] = plain;
    *w = (struct slm_weight){.name = "toy",
                             .type = type,
                             .rows = rows,
                             .cols = cols,
                             .parts = parts,
                             .stride = stride,
                             .part = t->part[t->n],
                             .id = t->n};
    t->n++;
    return w;
}

static inline const struct slm_weight *toy_weight(struct toy *t, enum slm_dtype type, int rows,
                                                  int cols)
{
    return toy_parts(t, type, 1, rows, cols, 1.0f / sqrtf((float)cols));
}

/* A vector near one, as norms have. */
static inline const struct slm_weight *toy_vector(struct toy *t, enum slm_dtype type, int rows,
                                                  int cols, float middle)
{
    const struct slm_weight *w = toy_parts(t, type, 1, rows, cols, 0.3f);
    float *plain = t->plain[w->id];
    for (int i = 0; i < rows * cols; i++)
        plain[i] += middle;
    t->rt->kern->from_f32[type]((uint8_t *)(uintptr_t)w->part[0], plain, (size_t)rows * cols);
    return w;
}

/* A small model with everything in it: two layers, the second of experts. */
struct toy_model {
    int vocab, d, heads, kv_heads, c, ff, experts, chosen;
    enum slm_dtype type;
    bool lora, pairs;
    int window[2];
    const struct slm_weight *embed, *pos, *final, *out, *router, *gate_e, *up_e, *down_e;
    struct {
        const struct slm_weight *norm, *norm_b, *qkv, *bias, *qn, *kn, *o, *norm2, *gate, *up,
            *down;
        struct slm_lora lora;
    } layer[2];
    float freq[2][64];
    slm_val logits, hidden, route;
    slm_val loss;
};

static inline void toy_model_make(struct toy *t, struct toy_model *m)
{
    int qkv = (m->heads + 2 * m->kv_heads) * m->c;
    m->embed = toy_parts(t, m->type, 1, m->vocab, m->d, 0.5f);
    m->pos = toy_parts(t, SLM_F16, 1, 1500, m->d, 0.2f);
    m->final = toy_vector(t, SLM_F32, 1, m->d, 0.0f);
    for (int l = 0; l < 2; l++) {
        m->layer[l].norm = toy_vector(t, l ? SLM_F16 : SLM_F32, 1, m->d, 1.0f);
        m->layer[l].norm_b = l ? toy_vector(t, SLM_BF16, 1, m->d, 0.0f) : NULL;
        m->layer[l].qkv = toy_weight(t, m->type, qkv, m->d);
        m->layer[l].bias = toy_vector(t, SLM_F32, 1, qkv, 0.0f);
        m->layer[l].qn = toy_vector(t, SLM_F32, 1, m->c, 1.0f);
        m->layer[l].kn = toy_vector(t, SLM_F32, m->kv_heads, m->c, 1.0f);
        m->layer[l].o = toy_weight(t, m->type, m->d, m->heads * m->c);
        m->layer[l].norm2 = toy_vector(t, SLM_F32, 1, m->d, 1.0f);
        if (m->lora)
            m->layer[l].lora = (struct slm_lora){.a = toy_weight(t, SLM_F32, 5, m->d),
                                                 .b = toy_weight(t, SLM_F32, qkv, 5),
                                                 .scale = 0.7f};
    }
    m->layer[0].gate = toy_weight(t, m->type, m->ff, m->d);
    m->layer[0].up = toy_weight(t, m->type, m->ff, m->d);
    m->layer[0].down = toy_weight(t, m->type, m->d, m->ff);
    m->router = toy_weight(t, SLM_F32, m->experts, m->d);
    m->gate_e = toy_parts(t, m->type, m->experts, m->ff, m->d, 1.0f / sqrtf((float)m->d));
    m->up_e = toy_parts(t, m->type, m->experts, m->ff, m->d, 1.0f / sqrtf((float)m->d));
    m->down_e = toy_parts(t, m->type, m->experts, m->d, m->ff, 1.0f / sqrtf((float)m->ff));
    for (int i = 0; i < 64; i++) {
        m->freq[0][i] = powf(100.0f, -(float)i / 8.0f);
        m->freq[1][i] = powf(500.0f, -(float)i / 8.0f);
    }
}

static inline slm_val toy_attention(slm_prog *p, struct toy_model *m, slm_val x, slm_val angles,
                                    int l)
{
    int hc = m->heads * m->c, kc = m->kv_heads * m->c;
    struct slm_norm norm = {.kind = l ? SLM_NORM_LAYER : SLM_NORM_RMS,
                            .w = m->layer[l].norm,
                            .b = m->layer[l].norm_b,
                            .eps = 1e-5f,
                            .heads = 1};
    struct slm_linear qkv = {m->layer[l].qkv, m->layer[l].bias};
    slm_val h = slm_emit_norm(p, x, &norm), f = slm_emit_linear(p, h, &qkv);
    if (m->lora)
        f = slm_emit_lora(p, f, h, &m->layer[l].lora);
    slm_val q = slm_emit_view(p, f, 0, hc), k = slm_emit_view(p, f, hc, kc),
            v = slm_emit_view(p, f, hc + kc, kc);
    struct slm_norm qn = {
        .kind = SLM_NORM_RMS, .w = m->layer[l].qn, .eps = 1e-5f, .heads = m->heads};
    struct slm_norm kn = {
        .kind = SLM_NORM_RMS, .w = m->layer[l].kn, .eps = 1e-5f, .heads = m->kv_heads};
    if (l) {
        q = slm_emit_norm(p, q, &qn);
        k = slm_emit_norm(p, k, &kn);
        q = slm_emit_temper(p, q, 0.1f, 4);
    }
    q = slm_emit_rope(p, q, angles, m->heads, m->pairs);
    k = slm_emit_rope(p, k, angles, m->kv_heads, m->pairs);
    struct slm_attn a = {.heads = m->heads,
                         .kv_heads = m->kv_heads,
                         .width = m->c,
                         .scale = 1.0f / sqrtf((float)m->c),
                         .cap = l ? 4.0f : 0.0f,
                         .window = m->window[l],
                         .layer = l};
    struct slm_linear o = {m->layer[l].o, NULL};
    return slm_emit_add(p, x, slm_emit_linear(p, slm_emit_attention(p, q, k, v, &a), &o));
}

static inline slm_val toy_feed(slm_prog *p, struct toy_model *m, slm_val x, int l)
{
    struct slm_norm norm = {
        .kind = SLM_NORM_RMS, .w = m->layer[l].norm2, .eps = 1e-5f, .heads = 1};
    slm_val h = slm_emit_norm(p, x, &norm);
    if (l == 0) {
        struct slm_linear g = {m->layer[0].gate, NULL}, u = {m->layer[0].up, NULL};
        struct slm_linear d = {m->layer[0].down, NULL};
        h = slm_emit_glu(p, slm_emit_linear(p, h, &g), slm_emit_linear(p, h, &u), SLM_ACT_SILU);
        return slm_emit_add(p, x, slm_emit_linear(p, h, &d));
    }
    struct slm_linear r = {m->router, NULL};
    m->route = slm_emit_route(p, slm_emit_linear(p, h, &r), m->chosen);
    slm_val g = slm_emit_linear_expert(p, h, m->route, m->gate_e);
    slm_val u = slm_emit_linear_expert(p, h, m->route, m->up_e);
    slm_val y = slm_emit_linear_expert(p, slm_emit_glu(p, g, u, SLM_ACT_GELU_TANH), m->route,
                                       m->down_e);
    return slm_emit_add(p, x, slm_emit_mix(p, y, m->route));
}

/* The program, planned; fails the test when it cannot be. */
static inline slm_prog *toy_program(struct toy *t, struct toy_model *m,
                                    const struct slm_prog_opts *o)
{
    slm_prog *p;
    slm_err err;
    assert_int_equal(slm_prog_new(&p, t->rt, o, &err), 0);
    slm_val x = slm_emit_position(p, slm_emit_embed(p, m->embed, 1.5f), m->pos);
    struct slm_angles a = {m->c / 2 - 1, {m->freq[0], m->freq[1]}, 1.1f};
    slm_val angles = slm_emit_angles(p, &a);
    for (int l = 0; l < 2; l++) {
        slm_prog_layer(p, l);
        x = toy_feed(p, m, toy_attention(p, m, x, angles, l), l);
        if (l == 0)
            m->hidden = x;
    }
    slm_prog_layer(p, -1);
    struct slm_norm norm = {
        .kind = SLM_NORM_RMS, .w = m->final, .eps = 1e-5f, .shift = 1.0f, .heads = 1};
    struct slm_linear out = {m->embed, NULL};
    x = slm_emit_gather(p, slm_emit_norm(p, x, &norm));
    m->logits = slm_emit_softcap(p, slm_emit_scale(p, slm_emit_linear(p, x, &out), 0.8f), 5.0f);
    slm_prog_keep(p, m->logits);
    if (o->train) {
        slm_prog_keep(p, m->hidden);
        m->loss = slm_emit_cross_entropy(p, m->logits);
    }
    if (slm_prog_plan(p, &err))
        fail_msg("%s", err.msg);
    return p;
}

#endif
