/* AdamW with its two moments in 8 bits: codes of the dynamic map, by the largest magnitude of
 * every 256 (Dettmers et al., arXiv 2110.02861), as bitsandbytes' AdamW8bit keeps them. A block
 * is brought to float32, stepped, and rounded again; the parameter moves by the moments before
 * they are rounded. Small parameters keep float32 moments. */
#include <math.h>
#include <string.h>

#include "train/train_in.h"

enum { BLOCK = 256, SMALL = 4096 };

struct tables {
    struct slm_dynamic8 m, v; /* with a sign, without */
};

size_t slm_adam8_table_bytes(void) { return sizeof(struct tables); }

void slm_adam8_table_fill(void *table)
{
    struct tables *t = table;
    slm_dynamic8_fill(&t->m, true);
    slm_dynamic8_fill(&t->v, false);
}

static size_t blocks_of(const struct slm_param *p) { return (p->n + BLOCK - 1) / BLOCK; }

size_t slm_adam8_bytes(const struct slm_param *p)
{
    return p->n < SMALL ? slm_adamw_bytes(p) : 2 * (blocks_of(p) * sizeof(float) + p->n);
}

struct step {
    float keep, b1, b2, size, root, eps, scale;
};

static struct step step_of(const struct slm_param *p, const struct slm_optim_step *s)
{
    return (struct step){
        .keep = p->decay ? 1 - s->lr * s->decay : 1,
        .b1 = s->beta1,
        .b2 = s->beta2,
        .size = (float)((double)s->lr / (1 - s->power1)),
        .root = (float)sqrt(1 - s->power2),
        .eps = s->eps,
        .scale = s->scale,
    };
}

static void widen(float *x, const uint8_t *code, float top, const struct slm_dynamic8 *d)
{
    for (int i = 0; i < BLOCK; i++)
        x[i] = d->value[code[i]] * top;
}

static float narrow(uint8_t *code, const float *x, const struct slm_dynamic8 *d)
{
    float top = 0;
    for (int i = 0; i < BLOCK; i++)
        top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
    for (int i = 0; i < BLOCK; i++)
        code[i] = slm_dynamic8_code(d, top > 0 ? x[i] / top : 0);
    return top;
}

static void move(float *restrict p, const float *restrict g, float *restrict m,
                 float *restrict v, const struct step *restrict c)
{
    for (int i = 0; i < BLOCK; i++) {
        float x = g[i] * c->scale;
        m[i] = m[i] * c->b1 + (1 - c->b1) * x;
        v[i] = v[i] * c->b2 + (1 - c->b2) * x * x;
        p[i] = p[i] * c->keep - c->size * m[i] / (sqrtf(v[i]) / c->root + c->eps);
    }
}

/* Where a block's moments are. */
struct at {
    float *top_m, *top_v;
    uint8_t *m, *v;
};

static void step_block(float *p, const float *g, const struct at *at, const struct step *c,
                       const struct tables *t)
{
    float m[BLOCK], v[BLOCK];
    widen(m, at->m, *at->top_m, &t->m);
    widen(v, at->v, *at->top_v, &t->v);
    move(p, g, m, v, c);
    *at->top_m = narrow(at->m, m, &t->m);
    *at->top_v = narrow(at->v, v, &t->v);
}

/* A last block that is not whole is worked on in a copy, zeros behind it. */
static void step_last(float *p, const float *g, const struct at *at, size_t n,
                      const struct step *c, const struct tables *t)
{
    float pc[BLOCK] = {0}, gc[BLOCK] = {0};
    uint8_t mc[BLOCK], vc[BLOCK];
    memset(mc, slm_dynamic8_code(&t->m, 0), BLOCK);
    memset(vc, slm_dynamic8_code(&t->v, 0), BLOCK);
    memcpy(pc, p, n * sizeof *p);
    memcpy(gc, g, n * sizeof *g);
    memcpy(mc, at->m, n);
    memcpy(vc, at->v, n);
    struct at copy = {at->top_m, at->top_v, mc, vc};
    step_block(pc, gc, &copy, c, t);
    memcpy(p, pc, n * sizeof *p);
    memcpy(at->m, mc, n);
    memcpy(at->v, vc, n);
}

void slm_adam8_update(const struct slm_param *p, void *state, const struct slm_optim_step *s,
                      size_t lo, size_t hi)
{
    if (p->n < SMALL) {
        slm_adamw_update(p, state, s, lo, hi);
        return;
    }
    struct step c = step_of(p, s);
    float *tops = state;
    uint8_t *codes = (uint8_t *)(tops + 2 * blocks_of(p));
    for (size_t i = lo; i < hi; i += BLOCK) {
        size_t n = hi - i < BLOCK ? hi - i : BLOCK, b = i / BLOCK;
        struct at at = {tops + b, tops + blocks_of(p) + b, codes + i, codes + p->n + i};
        if (n == BLOCK)
            step_block(p->v + i, p->g + i, &at, &c, s->table);
        else
            step_last(p->v + i, p->g + i, &at, n, &c, s->table);
    }
}
