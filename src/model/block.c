/* The forward pass of every family, emitted once: embedding, layers, final norm, output. Traits
 * choose between named alternatives; no family is named. */
#include "model/model_room.h"

struct build {
    slm_prog *p;
    const slm_model *m;
    const struct slm_hparams *hp;
    const struct slm_layer *layer;
    slm_val angles[2];                 /* of rope[0] and rope[1] */
    const struct slm_adapter *adapter; /* NULL: none */
};

/* ---- adapters ---- */

enum use { USE_ANY, USE_EMBED, USE_HEAD };

/* The weight itself, or what an adapter puts in its place. */
static const struct slm_weight *own(const struct build *b, const struct slm_weight *w,
                                    enum use use)
{
    for (int i = 0; w && b->adapter && i < b->adapter->n_whole; i++) {
        const struct slm_adapter_whole *x = &b->adapter->whole[i];
        bool all = !x->embed && !x->head;
        if (x->weight == w->id && (all || use == USE_ANY || (use == USE_EMBED && x->embed) ||
                                   (use == USE_HEAD && x->head)))
            return &x->w;
    }
    return w;
}

static struct slm_lora lora_of(const struct slm_adapter_part *a)
{
    return (struct slm_lora){.a = &a->a,
                             .b = &a->b,
                             .scale = a->scale,
                             .dropout = a->dropout,
                             .row0 = a->row0,
                             .factor = a->factor};
}

/* Parts [*from, *to) of the adapter add to what w makes; does one set lengths too (DoRA)? */
static bool parts_of(const struct build *b, const struct slm_weight *w, int *from, int *to)
{
    bool lengths = false;
    *from = b->adapter ? b->adapter->first[w->id] : 0;
    *to = b->adapter ? b->adapter->first[w->id + 1] : 0;
    for (int i = *from; i < *to; i++)
        lengths |= b->adapter->part[i].m.part != NULL;
    return lengths;
}

/* y = W x + b, with what the adapter adds. */
static slm_val adapted(struct build *b, slm_val x, const struct slm_weight *w,
                       const struct slm_weight *bias, enum use use)
{
    int from, to;
    bool lengths = parts_of(b, w, &from, &to);
    struct slm_linear l = {.w = own(b, w, use), .b = lengths ? NULL : own(b, bias, USE_ANY)};
    slm_val y = slm_emit_linear(b->p, x, &l);
    for (int i = from; i < to; i++) {
        struct slm_lora lora = lora_of(&b->adapter->part[i]);
        y = slm_emit_lora(b->p, y, x, &lora);
    }
    for (int i = from; i < to && lengths; i++) {
        const struct slm_adapter_part *a = &b->adapter->part[i];
        struct slm_dora d = {.w = l.w, .m = &a->m, .lora = lora_of(a)};
        if (a->m.part)
            y = slm_emit_magnitude(b->p, y, &d);
    }
    return lengths && bias ? slm_emit_bias(b->p, y, own(b, bias, USE_ANY)) : y;
}

static slm_val adapted_expert(struct build *b, slm_val x, slm_val sel,
                              const struct slm_weight *w)
{
    int from, to;
    slm_val y = slm_emit_linear_expert(b->p, x, sel, own(b, w, USE_ANY));
    parts_of(b, w, &from, &to);
    for (int i = from; i < to; i++) {
        struct slm_lora lora = lora_of(&b->adapter->part[i]);
        y = slm_emit_lora_expert(b->p, y, x, sel, &lora);
    }
    return y;
}

/* ---- a layer ---- */

static slm_val linear(struct build *b, slm_val x, enum slm_slot w, enum slm_slot bias)
{
    return adapted(b, x, b->layer->w[w], bias ? b->layer->w[bias] : NULL, USE_ANY);
}

static slm_val norm(struct build *b, slm_val x, const struct slm_weight *w,
                    const struct slm_weight *bias, int heads)
{
    struct slm_norm n = {.kind = b->hp->family->norm,
                         .w = own(b, w, USE_ANY),
                         .b = own(b, bias, USE_ANY),
                         .eps = b->hp->eps,
                         .shift = b->hp->norm_shift,
                         .heads = heads};
    return slm_emit_norm(b->p, x, &n);
}

static slm_val layer_norm(struct build *b, slm_val x, enum slm_slot w, enum slm_slot bias)
{
    return norm(b, x, b->layer->w[w], bias ? b->layer->w[bias] : NULL, 1);
}

/* Queries, keys and values: three products, or columns of one. */
static void project(struct build *b, slm_val x, slm_val *q, slm_val *k, slm_val *v)
{
    int hc = b->hp->heads * b->hp->head_width, kc = b->hp->kv_heads * b->hp->head_width;
    if (b->hp->family->fuse == SLM_FUSE_NONE) {
        *q = linear(b, x, SLM_W_Q, SLM_W_Q_B);
        *k = linear(b, x, SLM_W_K, SLM_W_K_B);
        *v = linear(b, x, SLM_W_V, SLM_W_V_B);
        return;
    }
    slm_val all = linear(b, x, SLM_W_QKV, 0);
    *q = slm_emit_view(b->p, all, 0, hc);
    *k = slm_emit_view(b->p, all, hc, kc);
    *v = slm_emit_view(b->p, all, hc + kc, kc);
}

/* Norm (where the family has one), rotation, temperature. */
static slm_val position(struct build *b, slm_val x, enum slm_slot w, int heads, slm_val angles)
{
    if (b->layer->w[w])
        x = norm(b, x, b->layer->w[w], NULL, heads);
    x = slm_emit_rope(b->p, x, angles, heads, b->hp->pairs);
    if (w == SLM_W_Q_NORM && b->hp->temper_beta != 0)
        x = slm_emit_temper(b->p, x, b->hp->temper_beta, b->hp->temper_original);
    return x;
}

static slm_val attention(struct build *b, slm_val x, int l)
{
    const struct slm_hparams *hp = b->hp;
    slm_val q, k, v, angles = b->angles[hp->local[l]];
    project(b, x, &q, &k, &v);
    q = position(b, q, SLM_W_Q_NORM, hp->heads, angles);
    k = position(b, k, SLM_W_K_NORM, hp->kv_heads, angles);
    struct slm_attn a = {.heads = hp->heads,
                         .kv_heads = hp->kv_heads,
                         .width = hp->head_width,
                         .scale = hp->attn_scale,
                         .cap = hp->attn_cap,
                         .window = hp->window[l],
                         .layer = l};
    return linear(b, slm_emit_attention(b->p, q, k, v, &a), SLM_W_O, SLM_W_O_B);
}

static slm_val dense(struct build *b, slm_val x)
{
    slm_val gate, up;
    if (b->hp->family->fuse == SLM_FUSE_NONE) {
        gate = linear(b, x, SLM_W_GATE, SLM_W_GATE_B);
        up = linear(b, x, SLM_W_UP, SLM_W_UP_B);
    } else {
        slm_val both = linear(b, x, SLM_W_GATE_UP, 0);
        gate = slm_emit_view(b->p, both, 0, b->hp->ffn);
        up = slm_emit_view(b->p, both, b->hp->ffn, b->hp->ffn);
    }
    slm_val h = slm_emit_glu(b->p, gate, up, b->hp->family->act);
    return linear(b, h, SLM_W_DOWN, SLM_W_DOWN_B);
}

static slm_val experts(struct build *b, slm_val x)
{
    const struct slm_layer *l = b->layer;
    slm_val route = slm_emit_route(b->p, linear(b, x, SLM_W_ROUTER, 0), b->hp->experts_used);
    slm_val gate = adapted_expert(b, x, route, l->w[SLM_W_GATE_E]);
    slm_val up = adapted_expert(b, x, route, l->w[SLM_W_UP_E]);
    slm_val h = slm_emit_glu(b->p, gate, up, b->hp->family->act);
    return slm_emit_mix(b->p, adapted_expert(b, h, route, l->w[SLM_W_DOWN_E]), route);
}

static slm_val feed_forward(struct build *b, slm_val x)
{
    return b->hp->family->moe ? experts(b, x) : dense(b, x);
}

static slm_val block(struct build *b, slm_val x, int l)
{
    slm_prog_layer(b->p, l);
    b->layer = &b->m->layer[l];
    slm_val n = layer_norm(b, x, SLM_W_ATTN_NORM, SLM_W_ATTN_NORM_B);
    slm_val a = attention(b, n, l);
    if (b->hp->parallel)
        return slm_emit_add(b->p, slm_emit_add(b->p, x, a), feed_forward(b, n));
    bool sandwich = b->hp->family->resid == SLM_RESID_SANDWICH;
    if (sandwich)
        a = layer_norm(b, a, SLM_W_POST_ATTN, 0);
    x = slm_emit_add(b->p, x, a);
    slm_val f = feed_forward(b, layer_norm(b, x, SLM_W_FFN_NORM, SLM_W_FFN_NORM_B));
    if (sandwich)
        f = layer_norm(b, f, SLM_W_POST_FFN, 0);
    return slm_emit_add(b->p, x, f);
}

static void angles(struct build *b)
{
    for (int i = 0; i <= b->hp->two_ropes; i++) {
        const struct slm_rope_table *t = &b->m->rope[i];
        struct slm_angles a = {.half = b->hp->rot / 2,
                               .inv_freq = {t->inv_freq[0], t->inv_freq[1]},
                               .factor = t->factor};
        b->angles[i] = slm_emit_angles(b->p, &a);
    }
}

static slm_val embedding(struct build *b)
{
    const struct slm_weight *w = b->m->w[SLM_W_EMBED];
    slm_val x = slm_emit_embed(b->p, own(b, w, USE_EMBED), b->m->hp.embed_scale);
    for (int i = 0; b->adapter && i < b->adapter->n_parts; i++) {
        struct slm_lora lora = lora_of(&b->adapter->part[i]);
        lora.scale *= b->m->hp.embed_scale;
        if (b->adapter->part[i].embed)
            x = slm_emit_lora_embed(b->p, x, &lora);
    }
    return x;
}

/* Logits; or the loss, without them where nothing but the matrix makes them. */
static slm_val head(struct build *b, slm_val x, bool loss)
{
    const struct slm_weight *w = b->m->w[SLM_W_OUT];
    int from, to;
    parts_of(b, w, &from, &to);
    if (loss && from == to)
        return slm_emit_head_loss(b->p, x, own(b, w, USE_HEAD), b->m->hp.final_cap);
    x = adapted(b, x, w, NULL, USE_HEAD);
    if (b->m->hp.final_cap > 0)
        x = slm_emit_softcap(b->p, x, b->m->hp.final_cap);
    return loss ? slm_emit_cross_entropy(b->p, x) : x;
}

slm_val slm_model_emit(slm_prog *p, const slm_model *m, const struct slm_emit_opts *o)
{
    struct build b = {.p = p, .m = m, .hp = &m->hp, .adapter = o->adapter};
    slm_prog_layer(p, -1);
    angles(&b);
    slm_val x = embedding(&b);
    for (int l = 0; l < m->hp.layers; l++)
        x = block(&b, x, l);
    slm_prog_layer(p, -1);
    if (o->gather)
        x = slm_emit_gather(p, x);
    x = norm(&b, x, m->w[SLM_W_OUT_NORM], m->w[SLM_W_OUT_NORM_B], 1);
    return head(&b, x, o->loss);
}

void slm_model_kv_shape(const slm_model *m, struct slm_kv_shape *out, int *room, int context,
                        int max_rows, enum slm_dtype type)
{
    int n = m->hp.layers;
    for (int l = 0; l < n; l++) {
        room[l] = m->hp.kv_heads;
        room[n + l] = m->hp.head_width;
        room[2 * n + l] = m->hp.window[l];
    }
    *out = (struct slm_kv_shape){.n_layers = n,
                                 .context = context,
                                 .max_rows = max_rows,
                                 .type = type,
                                 .heads = room,
                                 .width = room + n,
                                 .window = room + 2 * n};
}
