/* A new adapter: which places people mean by their targets, and the numbers that training
 * starts from. Names are matched as PEFT does; a fused matrix answers to the names of its parts
 * with just their rows, where PEFT finds nothing. */
#include "adapter/adapter_in.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define TARGETS 64

void slm_adapter_opts_init(slm_adapter_opts *o)
{
    *o = (slm_adapter_opts){.r = 16, .alpha = 32};
}

/* What --lora-targets said: names, or one expression. */
struct wish {
    const char *name[TARGETS];
    size_t len[TARGETS];
    bool hit[TARGETS], all[TARGETS]; /* all: "all-linear" */
    int n;
    struct slm_fit *fit;
    bool fit_hit;
};

struct choosing {
    const slm_model *m;
    const slm_adapter_opts *o;
    struct slm_arena arena;
    struct slm_places places;
    struct wish want, out;
    struct slm_fit **rank, **alpha; /* (patterns) */
    slm_err *err;
};

/* ---- reading wishes ---- */

static bool is_expression(const char *s) { return strpbrk(s, "*+?()[]|^$\\") != NULL; }

static bool same(const char *a, size_t n, const char *b)
{
    return strlen(b) == n && !memcmp(a, b, n);
}

static int read_wish(struct choosing *c, struct wish *w, const char *s, const char *what)
{
    if (is_expression(s))
        return slm_fit_new(&w->fit, c->m->rt, s, false, what, c->err);
    while (*s) {
        size_t n = strcspn(s, ",");
        const char *from = s;
        s += n + (s[n] == ',');
        while (n && *from == ' ')
            from++, n--;
        while (n && from[n - 1] == ' ')
            n--;
        if (!n)
            continue;
        if (w->n == TARGETS)
            return slm_fail(c->err, SLM_E_ARG, "%s: more than %d names", what, TARGETS);
        w->name[w->n] = from;
        w->len[w->n] = n;
        w->all[w->n] = same(from, n, "all-linear");
        w->n++;
    }
    return w->n ? 0 : slm_fail(c->err, SLM_E_ARG, "%s: no name", what);
}

/* ---- matching ---- */

static bool linear(const struct slm_place *y)
{
    return !y->embed && !y->slice && y->slot != SLM_W_OUT && y->slot != SLM_W_ROUTER;
}

/* Is the word the whole name or what follows a dot? */
static bool ends(const char *name, const char *word, size_t n)
{
    size_t len = strlen(name);
    return len >= n && !memcmp(name + len - n, word, n) &&
           (len == n || name[len - n - 1] == '.');
}

/* An expert matrix under its other name: "...experts.3.gate_proj" for w1. */
static void alias_name(const struct slm_place *y, const char *name, char out[256])
{
    const char *dot = strrchr(name, '.');
    snprintf(out, 256, "%.*s.%s", (int)(dot ? dot - name : 0), name, y->alias);
}

/* 1: by a name, or as one of all; 0; or an error. A name given for one expert of several is an
 * error: they are one matrix here. */
static int meant(struct choosing *c, struct wish *w, const struct slm_place *y)
{
    int fit = 0, is = 0;
    char name[224], other[256] = "";
    for (int e = 0; e < (y->experts ? y->parts : 1); e++) {
        slm_place_name(&c->places, y, e, name);
        if (y->alias)
            alias_name(y, name, other);
        int one = w->fit ? slm_fit_is(w->fit, name, c->err) : 0;
        if (one < 0)
            return one;
        for (int i = 0; i < w->n; i++) {
            bool hit = w->all[i] ? linear(y)
                                 : ends(name, w->name[i], w->len[i]) ||
                                       (y->alias && ends(other, w->name[i], w->len[i]));
            w->hit[i] |= hit;
            one |= hit;
        }
        w->fit_hit |= w->fit && one;
        fit += one;
        is++;
    }
    if (fit && fit != is)
        return slm_fail(c->err, SLM_E_ARG,
                        "targets name %d of %d experts of %s: they are taken together", fit, is,
                        c->m->weight[y->weight].name);
    return fit > 0;
}

static bool in_layers(const slm_adapter_opts *o, const struct slm_place *y)
{
    if (!o->layers || y->layer < 0)
        return !o->layers;
    for (int i = 0; i < o->n_layers; i++)
        if (o->layers[i] == y->layer)
            return true;
    return false;
}

/* An expression that fits a fused matrix fits its parts as well: the whole counts. */
static void drop_slices(bool *chosen, const struct slm_places *p)
{
    for (int i = 0; i < p->n; i++)
        for (int k = 0; k < p->n && chosen[i] && p->place[i].slice; k++)
            if (chosen[k] && !p->place[k].slice && !p->place[k].embed &&
                p->place[k].weight == p->place[i].weight)
                chosen[i] = false;
}

static int check_layers(const struct choosing *c)
{
    for (int i = 0; i < c->o->n_layers && c->o->layers; i++)
        if (c->o->layers[i] < 0 || c->o->layers[i] >= c->m->hp.layers)
            return slm_fail(c->err, SLM_E_ARG, "layer %d: the model has layers 0 to %d",
                            c->o->layers[i], c->m->hp.layers - 1);
    return 0;
}

static int check_hits(const struct choosing *c, const struct wish *w, const char *what)
{
    for (int i = 0; i < w->n; i++)
        if (!w->hit[i])
            return slm_fail(c->err, SLM_E_ARG, "%s '%.*s' names nothing in a %s model", what,
                            (int)(w->len[i] < 80 ? w->len[i] : 80), w->name[i],
                            c->m->hp.family->name);
    if (w->fit && !w->fit_hit)
        return slm_fail(c->err, SLM_E_ARG, "%s: the expression fits no module of a %s model",
                        what, c->m->hp.family->name);
    return 0;
}

static int choose(struct choosing *c, bool *chosen)
{
    int n = 0, rc = check_layers(c);
    for (int i = 0; i < c->places.n && !rc; i++) {
        const struct slm_place *y = &c->places.place[i];
        int is = meant(c, &c->want, y);
        int no = is > 0 && c->o->exclude ? meant(c, &c->out, y) : 0;
        rc = is < 0 ? is : no < 0 ? no : 0;
        chosen[i] = is > 0 && !no && in_layers(c->o, y);
    }
    if (!rc)
        rc = check_hits(c, &c->want, "target");
    if (!rc && c->o->exclude)
        rc = check_hits(c, &c->out, "excluded target");
    if (!rc && c->want.fit)
        drop_slices(chosen, &c->places);
    for (int i = 0; i < c->places.n; i++)
        n += chosen[i];
    return rc || n ? rc : slm_fail(c->err, SLM_E_ARG, "targets leave nothing to train");
}

/* ---- ranks and scales ---- */

static int compile(struct choosing *c, struct slm_fit ***out, const slm_adapter_pattern *p,
                   int n, const char *what)
{
    int rc = 0;
    *out = slm_arena_alloc_n(&c->arena, (size_t)n, sizeof **out);
    if (!*out)
        return slm_fail_mem(c->err, what, (size_t)n * sizeof **out);
    for (int i = 0; i < n && !rc; i++)
        rc = slm_fit_new(&(*out)[i], c->m->rt, p[i].key, true, what, c->err);
    return rc;
}

static int look_up(struct choosing *c, struct slm_fit **fit, const slm_adapter_pattern *p,
                   int n, const char *name, float *v)
{
    for (int i = 0; i < n; i++) {
        int is = slm_fit_is(fit[i], name, c->err);
        if (is > 0)
            *v = p[i].value;
        if (is)
            return is < 0 ? is : 0;
    }
    return 0;
}

static int plan(struct choosing *c, const struct slm_place *y, struct slm_part_plan *out)
{
    const slm_adapter_opts *o = c->o;
    float r = (float)o->r, alpha = o->alpha;
    char name[224];
    slm_place_name(&c->places, y, 0, name);
    int rc = look_up(c, c->rank, o->rank_pattern, o->n_rank_patterns, name, &r);
    if (!rc)
        rc = look_up(c, c->alpha, o->alpha_pattern, o->n_alpha_patterns, name, &alpha);
    if (rc)
        return rc;
    if (!(r >= 1) || r != floorf(r) || r > 65536)
        return slm_fail(c->err, SLM_E_ARG, "%s: a rank of %g", name, (double)r);
    if (!isfinite(alpha))
        return slm_fail(c->err, SLM_E_ARG, "%s: an alpha of %g", name, (double)alpha);
    if (o->dora && (y->embed || y->experts))
        return slm_fail(c->err, SLM_E_UNSUPPORTED, "%s: DoRA of %s: leave it out", name,
                        y->embed ? "an embedding" : "experts");
    if (o->dropout > 0 && y->embed)
        return slm_fail(c->err, SLM_E_UNSUPPORTED, "%s: dropout of an embedding's addition",
                        name);
    *out = (struct slm_part_plan){.place = y,
                                  .r = (int)r,
                                  .scale = alpha / (o->rslora ? sqrtf(r) : r),
                                  .dropout = o->dropout,
                                  .dora = o->dora};
    return 0;
}

/* ---- first numbers ---- */

static void draw(const struct slm_adapter_part *p, uint64_t seed)
{
    const struct slm_weight *w = p->embed ? &p->b : &p->a;
    size_t n = (size_t)w->parts * (size_t)w->rows * (size_t)w->cols;
    float *x = slm_adapter_data(w), bound = 1 / sqrtf((float)p->a.cols);
    struct slm_rng r;
    slm_rng_init(&r, seed);
    for (size_t i = 0; i < n; i++)
        x[i] = p->embed ? (float)slm_rng_normal(&r) : (float)(2 * slm_rng_unit(&r) - 1) * bound;
}

static int begin_numbers(slm_adapter *a, uint64_t seed, slm_err *err)
{
    int rc = 0;
    for (int i = 0; i < a->n_parts && !rc; i++) {
        const struct slm_adapter_part *p = &a->part[i];
        draw(p, seed * 0x9e3779b97f4a7c15u + (uint64_t)i);
        if (p->m.part)
            rc = slm_adapter_lengths(a, p, false, slm_adapter_data(&p->m), err);
    }
    return rc;
}

static int check_opts(const slm_adapter_opts *o, slm_err *err)
{
    if (o->r < 1 || o->r > 65536)
        return slm_fail(err, SLM_E_ARG, "a rank of %d", o->r);
    if (!isfinite(o->alpha))
        return slm_fail(err, SLM_E_ARG, "an alpha that is not finite");
    if (!(o->dropout >= 0 && o->dropout < 1))
        return slm_fail(err, SLM_E_ARG, "a dropout of %g: want 0 to less than 1",
                        (double)o->dropout);
    return 0;
}

static void release(struct choosing *c)
{
    slm_fit_free(c->want.fit);
    slm_fit_free(c->out.fit);
    for (int i = 0; c->rank && i < c->o->n_rank_patterns; i++)
        slm_fit_free(c->rank[i]);
    for (int i = 0; c->alpha && i < c->o->n_alpha_patterns; i++)
        slm_fit_free(c->alpha[i]);
    slm_arena_release(&c->arena);
}

static int lay_chosen(struct choosing *c, slm_adapter *a)
{
    struct slm_lay l = {0};
    bool *chosen = slm_arena_alloc(&c->arena, (size_t)c->places.n);
    l.part = slm_arena_alloc_n(&c->arena, (size_t)c->places.n, sizeof *l.part);
    if (!chosen || !l.part)
        return slm_fail_mem(c->err, "adapter", (size_t)c->places.n * sizeof *l.part);
    int rc = choose(c, chosen);
    for (int i = 0; i < c->places.n && !rc; i++)
        if (chosen[i])
            rc = plan(c, &c->places.place[i], &l.part[l.n_parts++]);
    return rc ? rc : slm_adapter_lay(a, &c->places, &l, c->err);
}

int slm_adapter_new(slm_adapter **out, const slm_model *m, const slm_adapter_opts *o,
                    slm_err *err)
{
    struct choosing c = {.m = m, .o = o, .err = err};
    slm_adapter *a = NULL;
    slm_arena_init(&c.arena, m->rt, SLM_MEM_MODEL);
    int rc = check_opts(o, err);
    if (!rc)
        rc = slm_places_find(&c.places, m, &c.arena, err);
    if (!rc)
        rc = read_wish(&c, &c.want, o->targets ? o->targets : "all-linear", "targets");
    if (!rc && o->exclude)
        rc = read_wish(&c, &c.out, o->exclude, "excluded targets");
    if (!rc)
        rc = compile(&c, &c.rank, o->rank_pattern, o->n_rank_patterns, "rank pattern");
    if (!rc)
        rc = compile(&c, &c.alpha, o->alpha_pattern, o->n_alpha_patterns, "alpha pattern");
    if (!rc)
        rc = slm_adapter_begin(&a, m, "", "new", err);
    if (!rc)
        rc = lay_chosen(&c, a);
    if (!rc) {
        a->file->rslora = o->rslora;
        a->file->dropout = o->dropout;
        rc = begin_numbers(a, o->seed, err);
    }
    release(&c);
    if (rc)
        slm_adapter_close(&a);
    else
        *out = a;
    return rc;
}
