/* Tensors of an adapter's file on their way into memory: each claims half of a place, or
 * replaces a weight; then shapes are checked against the model, ranks and scales against the
 * file's own words, and the numbers are brought into the model's order of rows. */
#include "adapter/adapter_in.h"
#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

int slm_claims_init(struct slm_claims *c, slm_adapter *a, enum slm_order order, slm_err *err)
{
    *c = (struct slm_claims){.a = a, .path = a->file->path, .order = order};
    slm_arena_init(&c->arena, a->m->rt, SLM_MEM_MODEL);
    int rc = slm_places_find(&c->places, a->m, &c->arena, err);
    if (rc)
        return rc;
    c->of = slm_arena_alloc_n(&c->arena, (size_t)c->places.n, sizeof *c->of);
    c->whole_cap = a->m->n_weights + 2;
    c->whole = slm_arena_alloc_n(&c->arena, (size_t)c->whole_cap, sizeof *c->whole);
    return c->of && c->whole ? 0 : slm_fail_mem(err, "adapter", sizeof *c->of);
}

void slm_claims_release(struct slm_claims *c) { slm_arena_release(&c->arena); }

static int check_type(const struct slm_claims *c, const struct slm_tensor_ref *t, slm_err *err)
{
    enum slm_dtype d = t->type;
    if (d == SLM_F32 || d == SLM_F16 || d == SLM_BF16 || slm_dtypes[d].block > 1)
        return 0;
    return slm_fail(err, SLM_E_UNSUPPORTED, "%s: tensor %s: %s numbers in an adapter", c->path,
                    t->name, slm_dtypes[d].name);
}

int slm_claim_half(struct slm_claims *c, const struct slm_place *y, int expert,
                   enum slm_lora_half half, const struct slm_tensor_ref *t, slm_err *err)
{
    struct slm_claim **of = &c->of[y - c->places.place];
    if (!*of)
        *of = slm_arena_alloc_n(&c->arena, (size_t)y->parts, sizeof **of);
    if (!*of)
        return slm_fail_mem(err, "adapter", sizeof **of);
    if (half == SLM_HALF_M && (y->embed || y->experts))
        return slm_fail(err, SLM_E_UNSUPPORTED, "%s: tensor %s: DoRA of %s", c->path, t->name,
                        y->embed ? "an embedding" : "experts");
    if ((*of)[expert].half[half])
        return slm_fail(err, SLM_E_FORMAT, "%s: tensor %s: the same as %s", c->path, t->name,
                        (*of)[expert].half[half]->name);
    (*of)[expert].half[half] = t;
    return check_type(c, t, err);
}

/* ---- whole weights ---- */

static int add_whole(struct slm_claims *c, struct slm_whole_claim w, slm_err *err)
{
    for (int i = 0; i < c->n_whole; i++)
        if (c->whole[i].weight == w.weight &&
            ((c->whole[i].embed && w.embed) || (c->whole[i].head && w.head)))
            return slm_fail(err, SLM_E_FORMAT, "%s: tensor %s: the same as %s", c->path,
                            w.t->name, c->whole[i].t->name);
    if (c->n_whole == c->whole_cap)
        return slm_fail(err, SLM_E_FORMAT, "%s: more tensors than the model has", c->path);
    c->whole[c->n_whole++] = w;
    return check_type(c, w.t, err);
}

int slm_claim_whole(struct slm_claims *c, const char *name, const struct slm_tensor_ref *t,
                    slm_err *err)
{
    const slm_model *m = c->a->m;
    const char *tail = slm_place_tail(name);
    bool tied = m->w[SLM_W_OUT] == m->w[SLM_W_EMBED];
    for (int i = 0; i < m->n_weights; i++) {
        const struct slm_slot_row *row = m->row[i];
        char own[192];
        slm_slot_name_hf(own, row, "", "", m->row_layer[i], 0);
        bool head = row->slot == SLM_W_EMBED && tied && !strcmp(tail, "lm_head.weight");
        if (!head && strcmp(own, tail) != 0)
            continue;
        if (row->kind == SLM_SLOT_EXPERTS || row->kind == SLM_SLOT_HEADS)
            break;
        struct slm_whole_claim w = {i, row->slot == SLM_W_EMBED && !head,
                                    head || row->slot == SLM_W_OUT, t};
        return add_whole(c, w, err);
    }
    return slm_fail(err, SLM_E_FORMAT,
                    "%s: tensor %s belongs to nothing in a %s model of %d "
                    "layers",
                    c->path, t->name, m->hp.family->name, m->hp.layers);
}

/* ---- shapes ---- */

static int check_shape(const struct slm_claims *c, const struct slm_tensor_ref *t,
                       const uint64_t *want, int n, slm_err *err)
{
    char is[SLM_SHAPE_TEXT], should[SLM_SHAPE_TEXT];
    bool same = t->n_dims == n;
    for (int i = 0; i < n && same; i++)
        same = t->dim[i] == want[i];
    if (same)
        return 0;
    return slm_fail(err, SLM_E_FORMAT, "%s: tensor %s: shape %s, but %s (%s) wants %s", c->path,
                    t->name, slm_shape_text(is, t->dim, t->n_dims), c->a->m->name,
                    c->a->m->hp.family->name, slm_shape_text(should, want, n));
}

/* A tensor's rows and columns in the order (A: r, in; B: out, r), whatever the file's. */
static bool flipped(const struct slm_claims *c, const struct slm_place *y,
                    enum slm_lora_half half)
{
    bool gguf = c->order == SLM_ORDER_GGUF; /* there only the embedding's A is the other way */
    return half != SLM_HALF_M &&
           (gguf ? y->embed && half == SLM_HALF_A : c->flip && !y->experts && y != c->plain);
}

static int check_half(const struct slm_claims *c, const struct slm_place *y,
                      enum slm_lora_half half, const struct slm_tensor_ref *t, uint64_t r,
                      slm_err *err)
{
    uint64_t rows = (uint64_t)y->rows, cols = (uint64_t)y->cols;
    uint64_t want[3] = {(uint64_t)y->parts, half == SLM_HALF_A ? r : rows,
                        half == SLM_HALF_A ? cols : r};
    if (half == SLM_HALF_M) {
        /* older files of PEFT have a second dimension of 1 */
        uint64_t both[2] = {rows, 1};
        bool second = t->n_dims == 2 && t->dim[1] == 1;
        return check_shape(c, t, both, second ? 2 : 1, err);
    }
    if (flipped(c, y, half)) {
        uint64_t k = want[1];
        want[1] = want[2];
        want[2] = k;
    }
    int n = c->stacked && y->experts ? 3 : 2;
    return check_shape(c, t, want + 3 - n, n, err);
}

/* The rank that a pair of tensors has. */
static uint64_t rank_of(const struct slm_claims *c, const struct slm_place *y,
                        const struct slm_tensor_ref *a)
{
    int from = c->stacked && y->experts ? 1 : 0;
    if (a->n_dims != from + 2)
        return 0;
    return a->dim[from + (flipped(c, y, SLM_HALF_A) ? 1 : 0)];
}

struct half_plan {
    int r;
    float scale;
    bool dora;
};

static int plan_pair(struct slm_claims *c, const struct slm_place *y, int expert,
                     struct half_plan *out, slm_err *err)
{
    const struct slm_claim *k = &c->of[y - c->places.place][expert];
    char name[224];
    slm_place_name(&c->places, y, expert, name);
    if (!k->half[SLM_HALF_A] || !k->half[SLM_HALF_B])
        return slm_fail(err, SLM_E_FORMAT, "%s: %s has no %s", c->path, name,
                        k->half[SLM_HALF_A] ? "B" : "A");
    uint64_t r = rank_of(c, y, k->half[SLM_HALF_A]);
    int said = 0, rc = 0;
    out->scale = NAN;
    if (c->scale)
        rc = c->scale(c->arg, name, &said, &out->scale, err);
    if (!rc && (r < 1 || r > 65536 || (said && r != (uint64_t)said)))
        rc = slm_fail(err, SLM_E_FORMAT, "%s: %s: rank %llu, the configuration says %d",
                      c->path, name, (unsigned long long)r, said);
    out->r = (int)r;
    out->dora = k->half[SLM_HALF_M];
    for (int h = 0; h < 3 && !rc; h++)
        if (k->half[h])
            rc = check_half(c, y, (enum slm_lora_half)h, k->half[h], r, err);
    if (!rc && !(isfinite(out->scale)))
        rc = slm_fail(err, SLM_E_FORMAT, "%s: %s: no scale", c->path, name);
    return rc;
}

/* Experts may differ in rank and scale, of which a part has one: the largest rank, with rows of
 * zero, and the first one's scale, the others' multiplied into B. */
static int plan_place(struct slm_claims *c, const struct slm_place *y,
                      struct slm_part_plan *out, slm_err *err)
{
    const struct slm_claim *of = c->of[y - c->places.place];
    int rc = 0, most = c->stacked ? 1 : y->parts;
    *out = (struct slm_part_plan){.place = y, .dropout = c->dropout};
    for (int e = 0; e < most && !rc; e++) {
        struct half_plan h;
        if (!of[e].half[0] && !of[e].half[1] && !of[e].half[2])
            continue;
        rc = plan_pair(c, y, e, &h, err);
        if (rc)
            break;
        out->scale = out->r ? out->scale : h.scale;
        out->r = h.r > out->r ? h.r : out->r;
        out->dora = h.dora;
    }
    return rc;
}

/* ---- filling ---- */

struct filling {
    const struct slm_claims *c;
    const struct slm_place *y;
    const struct slm_adapter_part *p;
    float *buf; /* one tensor */
    slm_err *err;
};

/* Half of a place as it lies in the buffer, and where it goes. */
struct half_move {
    enum slm_lora_half half;
    const float *from; /* (rows, cols), or flipped */
    size_t rows, cols;
    float *to; /* rows `ld` apart */
    size_t ld;
    float gain;
};

static void put(const struct filling *f, const struct half_move *v)
{
    bool flip = flipped(f->c, f->y, v->half), as_is = v->half == SLM_HALF_A || f->y->embed;
    for (size_t r = 0; r < v->rows; r++) {
        size_t own =
            as_is ? r : (size_t)slm_row_own(f->c->a->m, f->y->weight, f->c->order, (int)r);
        for (size_t k = 0; k < v->cols; k++)
            v->to[own * v->ld + k] =
                v->gain * v->from[flip ? k * v->rows + r : r * v->cols + k];
    }
}

static int read_all(const struct filling *f, const struct slm_tensor_ref *t)
{
    f->c->a->m->rt->kern->to_f32[t->type](f->buf, t->data, (size_t)t->count);
    for (size_t i = 0; i < (size_t)t->count; i++)
        if (!isfinite(f->buf[i]))
            return slm_fail(f->err, SLM_E_NUMERIC, "%s: tensor %s: number %zu is not finite",
                            f->c->path, t->name, i);
    return 0;
}

static int fill_expert(const struct filling *f, const struct slm_claim *k, int e, float gain)
{
    const struct slm_adapter_part *p = f->p;
    bool stacked = f->c->stacked && f->y->experts;
    size_t n = stacked ? (size_t)f->y->parts : 1, most = (size_t)p->a.rows,
           in = (size_t)p->a.cols, rows = (size_t)p->rows;
    size_t r = (size_t)rank_of(f->c, f->y, k->half[SLM_HALF_A]);
    struct half_move a = {SLM_HALF_A, f->buf, r, in, NULL, in, 1},
                     b = {SLM_HALF_B, f->buf, rows, r, NULL, most, gain},
                     m = {SLM_HALF_M, f->buf, rows, 1, NULL, 1, 1};
    int rc = read_all(f, k->half[SLM_HALF_A]);
    a.to = slm_adapter_data(&p->a) + (size_t)e * most * in;
    for (size_t i = 0; i < n && !rc; i++, a.from += r * in, a.to += most * in)
        put(f, &a);
    if (!rc)
        rc = read_all(f, k->half[SLM_HALF_B]);
    b.to = slm_adapter_data(&p->b) + (size_t)e * rows * most;
    for (size_t i = 0; i < n && !rc; i++, b.from += rows * r, b.to += rows * most)
        put(f, &b);
    if (!rc && k->half[SLM_HALF_M]) {
        rc = read_all(f, k->half[SLM_HALF_M]);
        m.to = slm_adapter_data(&p->m);
        if (!rc)
            put(f, &m);
    }
    return rc;
}

static int fill_place(struct filling *f, const struct slm_place *y)
{
    const struct slm_claim *of = f->c->of[y - f->c->places.place];
    int rc = 0, most = f->c->stacked ? 1 : y->parts;
    f->y = y;
    f->p = slm_adapter_part_of(f->c->a, y);
    for (int e = 0; e < most && !rc; e++) {
        char name[224];
        int said;
        float scale = f->p->scale;
        if (!of[e].half[SLM_HALF_A])
            continue;
        slm_place_name(&f->c->places, y, e, name);
        if (most > 1)
            rc = f->c->scale(f->c->arg, name, &said, &scale, f->err);
        if (!rc)
            rc =
                fill_expert(f, &of[e], e,
                            f->p->scale == scale || f->p->scale == 0 ? 1 : scale / f->p->scale);
    }
    return rc;
}

static int fill_whole(struct filling *f, const struct slm_whole_claim *k,
                      const struct slm_adapter_whole *h)
{
    const slm_model *m = f->c->a->m;
    const struct slm_slot_row *row = m->row[k->weight];
    bool vector = row->rows == SLM_DIM_1;
    size_t units = (size_t)(vector ? h->w.cols : h->w.rows),
           unit = vector ? 1 : (size_t)h->w.cols;
    /* norms: Hugging Face keeps w less the family's shift, this model w less its own */
    float shift = row->kind == SLM_SLOT_NORM ? m->hp.family->norm_shift - m->hp.norm_shift : 0;
    float *to = slm_adapter_data(&h->w);
    int rc = read_all(f, k->t);
    for (size_t r = 0; r < units && !rc; r++) {
        size_t own = (size_t)slm_row_own(m, k->weight, f->c->order, (int)r);
        for (size_t i = 0; i < unit; i++)
            to[own * unit + i] = f->buf[r * unit + i] + shift;
    }
    return rc;
}

static size_t largest(const struct slm_claims *c)
{
    uint64_t n = 1;
    for (int i = 0; i < c->places.n; i++)
        for (int e = 0; c->of[i] && e < c->places.place[i].parts; e++)
            for (int h = 0; h < 3; h++)
                if (c->of[i][e].half[h] && c->of[i][e].half[h]->count > n)
                    n = c->of[i][e].half[h]->count;
    for (int i = 0; i < c->n_whole; i++)
        n = c->whole[i].t->count > n ? c->whole[i].t->count : n;
    return (size_t)n;
}

static int fill_all(struct slm_claims *c, slm_err *err)
{
    slm_runtime *rt = c->a->m->rt;
    size_t n = largest(c);
    struct filling f = {.c = c, .err = err};
    f.buf = slm_alloc_n(rt, SLM_MEM_MODEL, n, sizeof *f.buf);
    int rc = f.buf ? 0 : slm_fail_mem(err, "adapter", n * sizeof *f.buf);
    for (int i = 0; i < c->places.n && !rc; i++)
        if (c->of[i])
            rc = fill_place(&f, &c->places.place[i]);
    for (int i = 0; i < c->n_whole && !rc; i++)
        rc = fill_whole(&f, &c->whole[i], &c->a->whole[i]);
    slm_free(rt, f.buf);
    return rc ? rc : slm_packed_fill(c, err);
}

static int plan_whole(struct slm_claims *c, struct slm_whole_plan *out,
                      const struct slm_whole_claim *k, slm_err *err)
{
    const struct slm_weight *w = &c->a->m->weight[k->weight];
    uint64_t dim[2] = {(uint64_t)w->rows, (uint64_t)w->cols};
    bool vector = c->a->m->row[k->weight]->rows == SLM_DIM_1;
    *out = (struct slm_whole_plan){k->weight, k->embed, k->head};
    return check_shape(c, k->t, vector ? dim + 1 : dim, vector ? 1 : 2, err);
}

int slm_claims_fill(struct slm_claims *c, slm_err *err)
{
    struct slm_lay l = {0};
    l.part = slm_arena_alloc_n(&c->arena, 2 * (size_t)c->places.n, sizeof *l.part);
    l.whole = slm_arena_alloc_n(&c->arena, (size_t)c->n_whole, sizeof *l.whole);
    int rc = l.part && l.whole ? 0 : slm_fail_mem(err, "adapter", sizeof *l.part);
    for (int i = 0; i < c->places.n && !rc; i++)
        if (c->of[i])
            rc = plan_place(c, &c->places.place[i], &l.part[l.n_parts++], err);
    for (; l.n_whole < c->n_whole && !rc; l.n_whole++)
        rc = plan_whole(c, &l.whole[l.n_whole], &c->whole[l.n_whole], err);
    if (!rc)
        rc = slm_packed_plan(c, &l, err);
    if (!rc && !l.n_parts && !l.n_whole)
        rc = slm_fail(err, SLM_E_FORMAT, "%s: no tensor in it", c->path);
    if (!rc)
        rc = slm_adapter_lay(c->a, &c->places, &l, err);
    return rc ? rc : fill_all(c, err);
}
