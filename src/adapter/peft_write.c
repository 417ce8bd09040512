/* A PEFT folder, written so that PEFT itself loads it: the configuration with one rank and
 * alpha for most modules and patterns for the others, and the tensors under PEFT's names. */
#include "adapter/group.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct writing {
    struct slm_groups g;
    const slm_adapter *a;
    const slm_adapter_save_opts *o;
    int r;       /* of most modules */
    float alpha; /* the same */
    bool rslora;
    slm_err *err;
};

/* ---- the configuration ---- */

static float alpha_of(const struct writing *w, const struct slm_group *y)
{
    float r = (float)y->r, alpha = y->scale * (w->rslora ? sqrtf(r) : r);
    float whole = roundf(alpha); /* what division by r left beside a whole number */
    return fabsf(alpha - whole) < 1e-5f * fabsf(whole) ? whole : alpha;
}

/* The value that most modules have. */
static void find_usual(struct writing *w)
{
    int best_r = 0, best_alpha = 0;
    w->r = 8;
    w->alpha = 8;
    for (int i = 0; i < w->g.n; i++) {
        int same_r = 0, same_alpha = 0;
        for (int k = 0; k < w->g.n; k++) {
            same_r += w->g.group[k].r == w->g.group[i].r;
            same_alpha += alpha_of(w, &w->g.group[k]) == alpha_of(w, &w->g.group[i]);
        }
        if (same_r > best_r) {
            best_r = same_r;
            w->r = w->g.group[i].r;
        }
        if (same_alpha > best_alpha) {
            best_alpha = same_alpha;
            w->alpha = alpha_of(w, &w->g.group[i]);
        }
    }
}

static void put_num(struct slm_buf *b, float v)
{
    if (v == roundf(v) && fabsf(v) < 1e7f)
        slm_buf_printf(b, "%d", (int)v);
    else
        slm_buf_printf(b, "%.9g", (double)v);
}

static void put_text(struct slm_buf *b, const char *s) { slm_buf_put_json(b, s, strlen(s)); }

/* Names of a group's modules, as many as it has experts. */
static int name_count(const struct slm_group *y)
{
    return y->place->experts ? y->place->parts : 1;
}

static void put_pattern(const struct writing *w, struct slm_buf *b, bool alpha)
{
    bool some = false;
    for (int i = 0; i < w->g.n; i++) {
        const struct slm_group *y = &w->g.group[i];
        float v = alpha ? alpha_of(w, y) : (float)y->r;
        if (v == (alpha ? w->alpha : (float)w->r))
            continue;
        for (int e = 0; e < name_count(y); e++) {
            char name[224];
            slm_place_name(&w->g.places, y->place, e, name);
            slm_buf_puts(b, some ? ",\n    " : "\n    ");
            put_text(b, name);
            slm_buf_puts(b, ": ");
            put_num(b, v);
            some = true;
        }
    }
    slm_buf_puts(b, some ? "\n  }" : "}");
}

static const char *leaf_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

static bool has_group(const struct writing *w, const struct slm_place *y)
{
    for (int i = 0; i < w->g.n; i++)
        if (w->g.group[i].place == y)
            return true;
    return false;
}

/* Do all modules of that last name in the model have an addition? Then the name will do. Beside
 * a vision tower it would name too much. */
static bool leaf_will_do(const struct writing *w, const char *leaf)
{
    if (w->a->m->src.wrapped)
        return false;
    for (int i = 0; i < w->g.places.n; i++) {
        const struct slm_place *y = &w->g.places.place[i];
        if (!y->slice && !strcmp(leaf_of(y->name), leaf) && !has_group(w, y))
            return false;
    }
    return true;
}

static bool leaf_before(const struct writing *w, int i)
{
    for (int k = 0; k < i; k++)
        if (!strcmp(leaf_of(w->g.group[k].place->name), leaf_of(w->g.group[i].place->name)))
            return true;
    return false;
}

static void put_targets(const struct writing *w, struct slm_buf *b)
{
    bool some = false;
    for (int i = 0; i < w->g.n; i++) {
        const struct slm_group *y = &w->g.group[i];
        const char *leaf = leaf_of(y->place->name);
        bool will_do = leaf_will_do(w, leaf);
        if (will_do && leaf_before(w, i))
            continue;
        for (int e = 0; e < (will_do ? 1 : name_count(y)); e++) {
            char name[224];
            slm_place_name(&w->g.places, y->place, e, name);
            slm_buf_puts(b, some ? ",\n    " : "\n    ");
            put_text(b, will_do ? leaf : name);
            some = true;
        }
    }
    slm_buf_puts(b, some ? "\n  ]" : "]");
}

/* The bias of a linear layer: saved by the word "bias", not as a module. */
static bool is_bias(const struct writing *w, const struct slm_adapter_whole *h)
{
    enum slm_slot s = w->a->m->row[h->weight]->slot;
    return s == SLM_W_Q_B || s == SLM_W_K_B || s == SLM_W_V_B || s == SLM_W_O_B ||
           s == SLM_W_GATE_B || s == SLM_W_UP_B || s == SLM_W_DOWN_B;
}

static bool any_bias(const struct writing *w)
{
    for (int i = 0; i < w->a->n_whole; i++)
        if (is_bias(w, &w->a->whole[i]))
            return true;
    return false;
}

/* Name without what follows the last dot: the module's. */
static void saved_module(const struct writing *w, int i, char out[192])
{
    slm_adapter_whole_name(w->a, &w->a->whole[i], out);
    char *dot = strrchr(out, '.');
    if (dot)
        *dot = 0;
}

/* Whole names: PEFT takes every module that ends so. */
static void put_saved(const struct writing *w, struct slm_buf *b)
{
    bool some = false;
    for (int i = 0; i < w->a->n_whole; i++) {
        char name[192], other[192];
        bool twice = is_bias(w, &w->a->whole[i]);
        saved_module(w, i, name);
        for (int k = 0; k < i && !twice; k++) {
            saved_module(w, k, other); /* weight and bias of a norm */
            twice = !strcmp(name, other);
        }
        if (twice)
            continue;
        slm_buf_puts(b, some ? ", " : "[");
        put_text(b, name);
        some = true;
    }
    slm_buf_puts(b, some ? "]" : "null");
}

static void put_config(const struct writing *w, struct slm_buf *b)
{
    const char *base = w->o->base ? w->o->base : w->a->file->base;
    slm_buf_puts(b, "{\n  \"peft_type\": \"LORA\",\n  \"task_type\": \"CAUSAL_LM\",\n"
                    "  \"base_model_name_or_path\": ");
    put_text(b, base ? base : w->a->m->src.path);
    slm_buf_printf(b, ",\n  \"r\": %d,\n  \"lora_alpha\": ", w->r);
    put_num(b, w->alpha);
    slm_buf_printf(b, ",\n  \"lora_dropout\": %.9g", (double)w->a->file->dropout);
    slm_buf_printf(b, ",\n  \"use_rslora\": %s,\n  \"use_dora\": %s",
                   w->rslora ? "true" : "false", w->g.dora ? "true" : "false");
    slm_buf_puts(b, ",\n  \"target_modules\": [");
    put_targets(w, b);
    slm_buf_puts(b, ",\n  \"rank_pattern\": {");
    put_pattern(w, b, false);
    slm_buf_puts(b, ",\n  \"alpha_pattern\": {");
    put_pattern(w, b, true);
    slm_buf_puts(b, ",\n  \"modules_to_save\": ");
    put_saved(w, b);
    slm_buf_printf(b, ",\n  \"bias\": \"%s\"", any_bias(w) ? "all" : "none");
    slm_buf_puts(b, ",\n  \"fan_in_fan_out\": false,\n"
                    "  \"inference_mode\": true,\n  \"init_lora_weights\": true,\n"
                    "  \"layers_to_transform\": null,\n  \"layers_pattern\": null\n}\n");
}

static int write_config(const struct writing *w, const char *path)
{
    struct slm_buf b;
    struct slm_out out = {0};
    slm_buf_init(&b, w->a->m->rt, SLM_MEM_MODEL, (size_t)16 << 20);
    put_config(w, &b);
    int rc = slm_buf_check(&b, path, w->err);
    if (!rc)
        rc = slm_out_open(&out, w->a->m->rt, path, w->err);
    if (!rc)
        rc = slm_out_write(&out, b.s, b.n, w->err);
    if (!rc)
        rc = slm_out_commit(&out, w->err);
    slm_out_close(&out);
    slm_buf_release(&b);
    return rc;
}

/* ---- the tensors ---- */

/* One tensor of the file: half (0 A, 1 B, 2 m) of a group's expert, or a whole weight. */
struct tensor {
    const struct slm_group *group;
    int expert, half;
    const struct slm_adapter_whole *whole;
};

static bool tensor_at(const struct writing *w, int64_t i, struct tensor *out)
{
    for (int k = 0; k < w->g.n; k++) {
        const struct slm_group *y = &w->g.group[k];
        bool m = w->g.dora && !y->part->embed && !y->place->experts;
        int64_t each = 2 + m, n = each * name_count(y);
        if (i < n) {
            *out = (struct tensor){y, (int)(i / each), (int)(i % each), NULL};
            return true;
        }
        i -= n;
    }
    if (i >= w->a->n_whole)
        return false;
    *out = (struct tensor){NULL, 0, 0, &w->a->whole[i]};
    return true;
}

static void name_tensor(const struct writing *w, const struct tensor *t, char out[288])
{
    char name[224];
    if (t->whole) {
        slm_adapter_whole_name(w->a, t->whole, name);
        const char *leaf = strrchr(name, '.');
        int n = leaf ? (int)(leaf - name) : 0, none;
        /* PEFT moves the layer that it adds to one level down */
        const struct slm_place *y =
            is_bias(w, t->whole) && n
                ? slm_place_of(&w->g.places, name, (size_t)n, false, &none)
                : NULL;
        bool wrapped = y && has_group(w, y);
        snprintf(out, 288, "base_model.model.%.*s%s%s", n, name, wrapped ? ".base_layer" : "",
                 name + n);
        return;
    }
    slm_place_name(&w->g.places, t->group->place, t->expert, name);
    bool embed = t->group->part->embed;
    snprintf(out, 288, "base_model.model.%s.%s", name,
             t->half == 2   ? "lora_magnitude_vector"
             : t->half == 1 ? (embed ? "lora_embedding_B" : "lora_B.weight")
                            : (embed ? "lora_embedding_A" : "lora_A.weight"));
}

static int shape_of(const struct writing *w, const struct tensor *t, uint64_t dim[2])
{
    if (t->whole) {
        bool vector = w->a->m->row[t->whole->weight]->rows == SLM_DIM_1;
        dim[0] = (uint64_t)(vector ? t->whole->w.cols : t->whole->w.rows);
        dim[1] = (uint64_t)t->whole->w.cols;
        return vector ? 1 : 2;
    }
    const struct slm_place *y = t->group->place;
    dim[0] = (uint64_t)(t->half == 0 ? t->group->r : y->rows);
    dim[1] = (uint64_t)(t->half == 0 ? y->cols : t->group->r);
    return t->half == 2 ? 1 : 2;
}

static void whole_values(const struct writing *w, const struct slm_adapter_whole *h, float *out)
{
    const slm_model *m = w->a->m;
    const struct slm_slot_row *row = m->row[h->weight];
    bool vector = row->rows == SLM_DIM_1;
    size_t units = (size_t)(vector ? h->w.cols : h->w.rows),
           unit = vector ? 1 : (size_t)h->w.cols;
    float shift = row->kind == SLM_SLOT_NORM ? m->hp.norm_shift - m->hp.family->norm_shift : 0;
    const float *from = (const float *)h->w.part[0];
    for (size_t r = 0; r < units; r++) {
        size_t own = (size_t)slm_row_own(m, h->weight, SLM_ORDER_HF, (int)r);
        for (size_t i = 0; i < unit; i++)
            out[r * unit + i] = from[own * unit + i] + shift;
    }
}

static int write_tensor(const struct writing *w, const struct tensor *t, slm_st_out *st)
{
    uint64_t dim[2];
    size_t n = shape_of(w, t, dim) == 1 ? (size_t)dim[0] : (size_t)(dim[0] * dim[1]);
    float *x = slm_alloc_n(w->a->m->rt, SLM_MEM_MODEL, n, sizeof *x);
    if (!x)
        return slm_fail_mem(w->err, "adapter", n * sizeof *x);
    int rc = 0;
    if (t->whole)
        whole_values(w, t->whole, x);
    else if (t->half == 2)
        rc = slm_group_m(&w->g, t->group, SLM_ORDER_HF, x, w->err);
    else if (t->half == 1)
        slm_group_b(&w->g, t->group, t->expert, SLM_ORDER_HF, x);
    else
        slm_group_a(t->group, t->expert, x);
    if (!rc)
        rc = slm_st_out_data(st, x, n * sizeof *x, w->err);
    slm_free(w->a->m->rt, x);
    return rc;
}

static int write_tensors(const struct writing *w, const char *path)
{
    slm_st_out *st;
    struct tensor t;
    int rc = slm_st_out_open(&st, w->a->m->rt, path, w->err);
    if (rc)
        return rc;
    slm_st_out_meta(st, "format", "pt");
    for (int64_t i = 0; tensor_at(w, i, &t); i++) {
        char name[288];
        uint64_t dim[2];
        name_tensor(w, &t, name);
        int n = shape_of(w, &t, dim);
        slm_st_out_tensor(st, name, SLM_F32, dim, n);
    }
    rc = slm_st_out_begin(st, w->err);
    for (int64_t next; !rc && (next = slm_st_out_next(st)) >= 0;) {
        tensor_at(w, next, &t);
        rc = write_tensor(w, &t, st);
    }
    if (!rc)
        rc = slm_st_out_commit(st, w->err);
    slm_st_out_close(&st);
    return rc;
}

/* ---- the folder ---- */

/* A new folder appears whole; into one that is there, each file does. */
static int write_folder(struct writing *w, const char *dir, const char *tmp)
{
    struct slm_buf path;
    bool over = slm_path_is_dir(dir);
    slm_buf_init(&path, w->a->m->rt, SLM_MEM_MODEL, 1 << 16);
    int rc = over ? 0 : slm_dir_make(tmp, w->err);
    tmp = over ? dir : tmp;
    if (!rc) {
        const char *p = slm_path_join(&path, tmp, "adapter_config.json");
        rc = slm_buf_check(&path, dir, w->err);
        if (!rc)
            rc = write_config(w, p);
        p = slm_path_join(&path, tmp, "adapter_model.safetensors");
        if (!rc)
            rc = slm_buf_check(&path, dir, w->err);
        if (!rc)
            rc = write_tensors(w, p);
        if (!rc && !over)
            rc = slm_path_rename(tmp, dir, w->err);
        if (rc && !over)
            slm_dir_remove(tmp);
    }
    slm_buf_release(&path);
    return rc;
}

int slm_peft_write(const slm_adapter *a, const char *dir, const slm_adapter_save_opts *o,
                   slm_err *err)
{
    struct writing w = {.a = a, .o = o, .rslora = a->file->rslora, .err = err};
    struct slm_buf tmp;
    int rc = slm_groups_init(&w.g, a, err);
    find_usual(&w);
    slm_buf_init(&tmp, a->m->rt, SLM_MEM_MODEL, 1 << 16);
    slm_buf_printf(&tmp, "%s.tmp", dir);
    if (!rc)
        rc = slm_buf_check(&tmp, dir, err);
    if (!rc)
        rc = write_folder(&w, dir, tmp.s);
    slm_buf_release(&tmp);
    slm_groups_release(&w.g);
    return rc;
}
