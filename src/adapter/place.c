/* Places: everything of a model that an adapter can add to, under the names that people and
 * files use. They come from the table of slots; rows of a fused matrix are places of their own,
 * because that is how people name them ("q_proj") where the file has one matrix for three. */
#include "adapter/adapter_in.h"

#include <stdio.h>
#include <string.h>

/* ---- names ---- */

static const char *const prefixes[] = {"model.language_model.", "language_model.model.",
                                       "language_model.", "model.", ""};

const char *slm_place_tail(const char *module)
{
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (!strncmp(module, prefixes[i], strlen(prefixes[i])))
            return module + strlen(prefixes[i]);
    return module;
}

static const char *prefix_of(const struct slm_places *p, const struct slm_place *y)
{
    const struct slm_source *s = &p->m->src;
    bool hf = s->kind == SLM_SOURCE_HF;
    return y->slot == SLM_W_OUT ? (hf ? s->head_prefix : "") : hf ? s->prefix : "model.";
}

void slm_place_pattern(const struct slm_places *p, const struct slm_place *y, char out[224])
{
    snprintf(out, 224, "%s%s", prefix_of(p, y), y->name);
}

void slm_place_name(const struct slm_places *p, const struct slm_place *y, int expert,
                    char out[224])
{
    const char *d = y->experts ? strstr(y->name, "%d") : NULL;
    if (d)
        snprintf(out, 224, "%s%.*s%d%s", prefix_of(p, y), (int)(d - y->name), y->name, expert,
                 d + 2);
    else
        slm_place_pattern(p, y, out);
}

/* Does name fit the pattern, whose %d stands for a number? */
static bool fits(const char *pattern, const char *name, size_t n, int *expert)
{
    const char *end = name + n;
    while (*pattern) {
        if (pattern[0] == '%') {
            const char *first = name;
            int v = 0;
            for (; name < end && *name >= '0' && *name <= '9' && name - first < 5; name++)
                v = v * 10 + (*name - '0');
            if (name == first)
                return false;
            *expert = v;
            pattern += 2;
        } else if (name == end || *pattern++ != *name++) {
            return false;
        }
    }
    return name == end;
}

const struct slm_place *slm_place_of(const struct slm_places *p, const char *module, size_t n,
                                     bool embed, int *expert)
{
    const char *tail = slm_place_tail(module);
    if (tail > module + n)
        return NULL;
    n -= (size_t)(tail - module);
    *expert = 0;
    for (int i = 0; i < p->n; i++) {
        const struct slm_place *y = &p->place[i];
        if (y->embed == embed && fits(y->name, tail, n, expert) && *expert < y->parts)
            return y;
    }
    return NULL;
}

/* ---- the list ---- */

struct part_name {
    enum slm_slot slot;
    const char *whole, *name; /* the end of the fused name, and what it becomes */
    enum slm_dim rows[3];     /* rows of the parts before, and its own */
    int before;
};

static const struct part_name part_names[] = {
    {SLM_W_QKV, "qkv_proj", "q_proj", {SLM_DIM_HC}, 0},
    {SLM_W_QKV, "qkv_proj", "k_proj", {SLM_DIM_HC, SLM_DIM_KC}, 1},
    {SLM_W_QKV, "qkv_proj", "v_proj", {SLM_DIM_HC, SLM_DIM_KC, SLM_DIM_KC}, 2},
    {SLM_W_GATE_UP, "gate_up_proj", "gate_proj", {SLM_DIM_F}, 0},
    {SLM_W_GATE_UP, "gate_up_proj", "up_proj", {SLM_DIM_F, SLM_DIM_F}, 1},
};

static const char *alias_of(enum slm_slot slot)
{
    return slot == SLM_W_GATE_E   ? "gate_proj"
           : slot == SLM_W_UP_E   ? "up_proj"
           : slot == SLM_W_DOWN_E ? "down_proj"
                                  : NULL;
}

/* "layers.%d." of the slot's name becomes the layer, an expert's %d stays. */
static void name_place(struct slm_place *y, const struct slm_slot_row *row)
{
    const char *hf = row->hf, *d = y->layer >= 0 ? strstr(hf, "%d") : NULL;
    if (d)
        snprintf(y->name, sizeof y->name, "%.*s%d%s", (int)(d - hf), hf, y->layer, d + 2);
    else
        snprintf(y->name, sizeof y->name, "%s", hf);
    size_t n = strlen(y->name), weight = strlen(".weight");
    if (n > weight)
        y->name[n - weight] = 0;
}

static void add(struct slm_places *p, struct slm_place y) { p->place[p->n++] = y; }

static void add_parts(struct slm_places *p, const struct slm_place *whole)
{
    for (size_t i = 0; i < sizeof part_names / sizeof *part_names; i++) {
        const struct part_name *k = &part_names[i];
        if (k->slot != whole->slot)
            continue;
        struct slm_place y = *whole;
        y.slice = true;
        y.row0 = 0;
        for (int b = 0; b < k->before; b++)
            y.row0 += slm_dim_of(&p->m->hp, k->rows[b]);
        y.rows = slm_dim_of(&p->m->hp, k->rows[k->before]);
        size_t n = strlen(y.name), w = strlen(k->whole);
        if (n >= w)
            snprintf(y.name + n - w, sizeof y.name - (n - w), "%s", k->name);
        add(p, y);
    }
}

static void add_weight(struct slm_places *p, int i)
{
    const slm_model *m = p->m;
    const struct slm_slot_row *row = m->row[i];
    const struct slm_weight *w = &m->weight[i];
    struct slm_place y = {.weight = i,
                          .layer = m->row_layer[i],
                          .experts = row->kind == SLM_SLOT_EXPERTS,
                          .rows = w->rows,
                          .cols = w->cols,
                          .parts = w->parts,
                          .slot = row->slot,
                          .alias = alias_of(row->slot)};
    name_place(&y, row);
    if (row->slot != SLM_W_EMBED) {
        add(p, y);
        add_parts(p, &y);
        return;
    }
    y.embed = true;
    y.rows = w->cols; /* what the addition is as wide as */
    y.cols = w->rows;
    add(p, y);
    if (m->w[SLM_W_OUT] != w)
        return;
    y.embed = false;
    y.rows = w->rows;
    y.cols = w->cols;
    y.slot = SLM_W_OUT;
    snprintf(y.name, sizeof y.name, "lm_head");
    add(p, y);
}

int slm_places_find(struct slm_places *out, const slm_model *m, struct slm_arena *a,
                    slm_err *err)
{
    size_t most = (size_t)m->n_weights * 4 + 2;
    *out = (struct slm_places){.m = m};
    out->place = slm_arena_alloc_n(a, most, sizeof *out->place);
    if (!out->place)
        return slm_fail_mem(err, "adapter", most * sizeof *out->place);
    for (int i = 0; i < m->n_weights; i++)
        if (m->row[i]->kind == SLM_SLOT_MATRIX || m->row[i]->kind == SLM_SLOT_EXPERTS)
            add_weight(out, i);
    return 0;
}

int slm_row_own(const slm_model *m, int weight, enum slm_order order, int r)
{
    bool pairs = order == SLM_ORDER_GGUF && m->hp.family->gguf_pairs;
    if (m->row[weight]->pairs == SLM_DIM_1 || pairs == m->hp.pairs)
        return r;
    return m->hp.pairs ? slm_row_in_pairs(m->hp.head_width, r)
                       : slm_row_in_halves(m->hp.head_width, r);
}
