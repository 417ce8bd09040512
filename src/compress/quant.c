/* slm/compress.h, quantisation: opening a model with a plan. What is asked for by name goes
 * before the mix; what can not be honoured is refused by name; what is replaced is told. */
#include "compress/quant_plan.h"

#include <math.h>
#include <string.h>

const char *slm_quant_type_at(int i)
{
    const struct slm_mix *m = slm_mix_at(i);
    return m ? m->name : NULL;
}

void slm_quant_opts_init(slm_quant_opts *o) { memset(o, 0, sizeof *o); }

/* ---- asked for by name ---- */

/* * stands for any text, ? for one character. */
static bool glob(const char *p, const char *s)
{
    const char *star = NULL, *from = NULL;
    while (*s) {
        if (*p == '*') {
            star = p++;
            from = s;
        } else if (*p == '?' || *p == *s) {
            p++;
            s++;
        } else if (star) {
            p = star + 1;
            s = ++from;
        } else {
            return false;
        }
    }
    while (*p == '*')
        p++;
    return !*p;
}

struct ask {
    char pattern[128];
    int type; /* -1: as stored */
    bool used;
};

static int parse_type(const slm_runtime *rt, const char *name, const char *what, int *out,
                      slm_err *err)
{
    *out = slm_dtype_of_name(name);
    if (*out < 0)
        return slm_fail(err, SLM_E_ARG, "%s: '%.40s' is no tensor type (q4_K, q6_K, f16 ...)",
                        what, name);
    if (!slm_quant_can(rt, (enum slm_dtype) * out))
        return slm_fail(err, SLM_E_UNSUPPORTED, "%s: type %s can not be written", what,
                        slm_dtypes[*out].name);
    return 0;
}

static int parse_keep(const slm_runtime *rt, const char *text, struct ask *a, slm_err *err)
{
    const char *eq = strrchr(text, '=');
    size_t n = eq ? (size_t)(eq - text) : strlen(text);
    if (!n || n >= sizeof a->pattern)
        return slm_fail(err, SLM_E_ARG, "keep '%.60s': want PATTERN=TYPE", text);
    memcpy(a->pattern, text, n);
    a->pattern[n] = 0;
    a->type = -1;
    a->used = false;
    return eq ? parse_type(rt, eq + 1, text, &a->type, err) : 0;
}

static bool fits(const char *pattern, const char *name)
{
    return strpbrk(pattern, "*?") ? glob(pattern, name) : strstr(name, pattern) != NULL;
}

struct asks {
    struct ask *keep;
    int n_keep;
    int output, embedding; /* types, -1: not asked */
};

/* The type asked for weight i: -2 none, -1 as stored. */
static int asked_type(const slm_quant *q, const struct asks *a, int i)
{
    int first = -2;
    for (int k = a->n_keep; k-- > 0;)
        if (fits(a->keep[k].pattern, q->m->weight[i].name)) {
            a->keep[k].used = true;
            first = a->keep[k].type;
        }
    if (first > -2)
        return first;
    const struct slm_weight *w = &q->m->weight[i];
    if (w == q->m->w[SLM_W_EMBED] && a->embedding >= 0)
        return a->embedding;
    if (w == q->m->w[SLM_W_OUT] && a->output >= 0)
        return a->output;
    return -2;
}

/* ---- choosing ---- */

uint64_t slm_quant_bytes(const slm_quant *q, int i, enum slm_dtype t)
{
    const struct slm_weight *w = &q->m->weight[i];
    return (uint64_t)slm_row_bytes(t, (size_t)w->cols) * (uint64_t)w->rows * (uint64_t)w->parts;
}

static int choose_one(slm_quant *q, const struct asks *a, int i, bool pure, slm_err *err)
{
    const struct slm_weight *w = &q->m->weight[i];
    struct slm_quant_row *row = &q->row[i];
    int asked = asked_type(q, a, i);
    enum slm_dtype t = slm_dtypes[w->type].gguf < 0 ? SLM_F32 : w->type; /* nf4: no file's */
    row->asked = asked > -2;
    if (asked >= 0 && w->cols % slm_dtypes[asked].block)
        return slm_fail(err, SLM_E_ARG,
                        "%s: %s was asked for, but its rows of %d are no multiple of %d",
                        w->name, slm_dtypes[asked].name, w->cols, slm_dtypes[asked].block);
    if (asked >= 0)
        t = (enum slm_dtype)asked;
    else if (asked < -1 && q->mix)
        t = pure ? q->mix->base : slm_mix_choose(q->mix, q->m, i, q->im != NULL);
    enum slm_dtype to = slm_mix_fallback(t, w->cols);
    if (!slm_quant_can(q->rt, to) && to != w->type)
        return slm_fail(err, SLM_E_UNSUPPORTED, "%s: type %s can not be written", w->name,
                        slm_dtypes[to].name);
    if (to != t) {
        slm_log(q->rt, SLM_LOG_WARN, "%s becomes %s, not %s: rows of %d are no multiple of %d",
                w->name, slm_dtypes[to].name, slm_dtypes[t].name, w->cols, slm_dtypes[t].block);
        row->wanted = (int)t;
    }
    q->type[i] = to;
    return 0;
}

static int choose(slm_quant *q, const struct asks *a, bool pure, slm_err *err)
{
    int rc = 0;
    if (a->output >= 0 && a->embedding >= 0 && a->output != a->embedding &&
        q->m->w[SLM_W_OUT] == q->m->w[SLM_W_EMBED])
        return slm_fail(err, SLM_E_ARG,
                        "the model's output is its embedding: it can not be both %s and %s",
                        slm_dtypes[a->output].name, slm_dtypes[a->embedding].name);
    for (int i = 0; i < q->m->n_weights && !rc; i++) {
        struct slm_quant_row *row = &q->row[i];
        row->wanted = -1;
        row->rmse = row->error = (double)NAN;
        row->matrix = slm_model_rounds(q->m, i);
        row->role = slm_role_of(q->m, i);
        q->type[i] = SLM_F32;
        if (row->matrix)
            rc = choose_one(q, a, i, pure, err);
        row->bytes = slm_quant_bytes(q, i, q->type[i]);
    }
    for (int k = 0; k < a->n_keep && !rc; k++)
        if (!a->keep[k].used)
            rc = slm_fail(err, SLM_E_ARG, "keep '%s': no matrix of the model is called so",
                          a->keep[k].pattern);
    return rc;
}

static int read_asks(slm_quant *q, const slm_quant_opts *o, struct asks *a, slm_err *err)
{
    int rc = 0;
    a->output = a->embedding = -1;
    a->keep = slm_zalloc_n(q->rt, SLM_MEM_USER, (size_t)o->n_keep + 1, sizeof *a->keep);
    if (!a->keep)
        return slm_fail_mem(err, "patterns", sizeof *a->keep);
    for (int k = 0; k < o->n_keep && !rc; k++, a->n_keep++)
        rc = parse_keep(q->rt, o->keep[k], &a->keep[k], err);
    if (!rc && o->output_type)
        rc = parse_type(q->rt, o->output_type, "output type", &a->output, err);
    if (!rc && o->embedding_type)
        rc = parse_type(q->rt, o->embedding_type, "embedding type", &a->embedding, err);
    return rc;
}

/* ---- the importance matrix ---- */

static int bind_entry(slm_quant *q, int i, slm_err *err)
{
    const struct slm_weight *w = &q->m->weight[i];
    const struct slm_importance *e = slm_imatrix_find(q->im, w->name);
    size_t n = (size_t)w->parts * (size_t)w->cols;
    if (!e && q->m->row_layer[i] >= 0 && !q->no_imatrix)
        return slm_fail(err, SLM_E_ARG, "%s: no entry for %s: is it of another model?",
                        q->imatrix_path, w->name);
    if (!e)
        return 0;
    if ((size_t)e->parts * (size_t)e->cols != n || (e->parts != w->parts && e->parts != 1))
        return slm_fail(err, SLM_E_ARG, "%s: of another model: %s has %d x %d, not %d x %d",
                        q->imatrix_path, w->name, e->parts, e->cols, w->parts, w->cols);
    q->row[i].weight = slm_alloc_n(q->rt, SLM_MEM_USER, n, sizeof(float));
    if (!q->row[i].weight)
        return slm_fail_mem(err, w->name, n * sizeof(float));
    slm_importance_means(e, q->row[i].weight);
    return 0;
}

/* An entry for a layer that the model has not is another model's too. */
static int find_strangers(const slm_quant *q, slm_err *err)
{
    for (size_t k = 0; k < q->im->n; k++) {
        const char *name = q->im->entry[k].name;
        bool known = strncmp(name, "blk.", 4) != 0;
        for (int i = 0; i < q->m->n_weights && !known; i++)
            known = !strcmp(q->m->weight[i].name, name);
        if (!known)
            return slm_fail(err, SLM_E_ARG,
                            "%s: of another model: it has %s, which the model has not",
                            q->imatrix_path, name);
    }
    return 0;
}

static int open_imatrix(slm_quant *q, const char *path, slm_err *err)
{
    int rc = slm_imatrix_open(&q->im, q->rt, path, err);
    size_t n = strlen(path) + 1;
    q->imatrix_path = slm_alloc(q->rt, SLM_MEM_USER, n);
    if (!rc && !q->imatrix_path)
        rc = slm_fail_mem(err, path, n);
    if (rc)
        return rc;
    memcpy(q->imatrix_path, path, n);
    for (int i = 0; i < q->m->n_weights && !rc; i++)
        if (slm_model_rounds(q->m, i))
            rc = bind_entry(q, i, err);
    return rc ? rc : find_strangers(q, err);
}

int slm_quant_check(const slm_quant *q, slm_err *err)
{
    int again = 0;
    const char *needs = NULL;
    for (int i = 0; i < q->m->n_weights; i++) {
        const struct slm_weight *w = &q->m->weight[i];
        const struct slm_quant_row *row = &q->row[i];
        bool blocks = slm_dtypes[w->type].block > 1;
        if (!row->matrix || q->type[i] == w->type)
            continue;
        if (blocks && !q->allow_requantize && !q->dry)
            return slm_fail(err, SLM_E_ARG,
                            "%s: %s is %s already, and rounding it again to %s loses more than "
                            "rounding once: start from the unquantised model, or allow it "
                            "(--allow-requantize)",
                            q->m->src.path, w->name, slm_dtypes[w->type].name,
                            slm_dtypes[q->type[i]].name);
        again += blocks;
        if (row->weight || !slm_mix_needs_imatrix(q->mix, q->type[i], row->role))
            continue;
        needs = w->name;
        if (!q->no_imatrix && !q->dry)
            return slm_fail(err, SLM_E_ARG,
                            "%s: %s without an importance matrix is of no use: give one "
                            "(--imatrix, made by slm imatrix), or insist (--no-imatrix)",
                            w->name, slm_dtypes[q->type[i]].name);
    }
    if (again)
        slm_log(q->rt, SLM_LOG_WARN,
                "%s: %d tensors are rounded already; rounding them again loses more than "
                "rounding the original once",
                q->m->src.path, again);
    if (needs)
        slm_log(q->rt, SLM_LOG_WARN, "%s and others need an importance matrix to be of use",
                needs);
    return 0;
}

/* ---- opening ---- */

static int read_mix(slm_quant *q, const slm_quant_opts *o, slm_err *err)
{
    q->mix = o->type ? slm_mix_of_name(o->type) : NULL;
    if (o->type && !q->mix)
        return slm_fail(err, SLM_E_ARG,
                        "type '%.40s' is not known (Q4_K_M, Q6_K, IQ3_XS, Q8_0 ...)", o->type);
    q->kind = q->mix ? q->mix->kind : SLM_KIND_IQ;
    if (o->fit && (q->kind == SLM_KIND_FLOAT || q->kind == SLM_KIND_OTHER))
        return slm_fail(err, SLM_E_ARG,
                        "type %s and a target do not go together: name a type of the kind to "
                        "choose among (Q4_0, Q4_K_M, IQ3_S), or none",
                        q->mix->name);
    q->mix = o->fit ? NULL : q->mix;
    if (o->pure && !q->mix)
        return slm_fail(err, SLM_E_ARG, "a pure file needs a type, and no target");
    q->allow_requantize = o->allow_requantize;
    q->no_imatrix = o->no_imatrix;
    q->dry = o->dry;
    return 0;
}

static int prepare(slm_quant *q, const slm_quant_opts *o, slm_err *err)
{
    struct asks a = {0};
    size_t n = (size_t)q->m->n_weights;
    q->type = slm_zalloc_n(q->rt, SLM_MEM_USER, n, sizeof *q->type);
    q->row = slm_zalloc_n(q->rt, SLM_MEM_USER, n, sizeof *q->row);
    int rc = q->type && q->row ? 0 : slm_fail_mem(err, "plan", n * sizeof *q->row);
    if (!rc && o->imatrix)
        rc = open_imatrix(q, o->imatrix, err);
    if (!rc)
        rc = read_asks(q, o, &a, err);
    if (!rc)
        rc = choose(q, &a, o->pure, err);
    slm_free(q->rt, a.keep);
    return rc || !q->mix ? rc : slm_quant_check(q, err);
}

int slm_quant_open(slm_quant **out, slm_runtime *rt, const char *in, const slm_quant_opts *opts,
                   slm_err *err)
{
    static const slm_quant_opts none;
    const slm_quant_opts *o = opts ? opts : &none;
    slm_model_opts mo = {.allow_no_tokenizer = 1, .untie = o->untie};
    slm_quant *q = *out = slm_zalloc(rt, SLM_MEM_USER, sizeof *q);
    if (!q)
        return slm_fail_mem(err, in, sizeof *q);
    q->rt = rt;
    int rc = read_mix(q, o, err);
    if (!rc)
        rc = slm_model_open(&q->m, rt, in, &mo, err);
    if (!rc)
        rc = prepare(q, o, err);
    if (rc)
        slm_quant_close(out);
    return rc;
}

void slm_quant_close(slm_quant **pq)
{
    slm_quant *q = pq ? *pq : NULL;
    if (!q)
        return;
    for (int i = 0; q->row && i < q->m->n_weights; i++) {
        slm_free(q->rt, q->row[i].weight);
        slm_free(q->rt, q->row[i].ready);
    }
    slm_free(q->rt, q->row);
    slm_free(q->rt, q->type);
    slm_free(q->rt, q->imatrix_path);
    slm_imatrix_close(&q->im);
    slm_model_close(&q->m);
    slm_free(q->rt, q);
    *pq = NULL;
}

int slm_quant_merge(slm_quant *q, const slm_adapter *a, slm_err *err)
{
    int rc = slm_adapter_merge(a, q->m, err);
    for (int i = 0; i < q->m->n_weights && !rc; i++)
        if (slm_model_patched(q->m, i) && !slm_quant_can(q->rt, q->type[i]))
            rc = slm_fail(err, SLM_E_UNSUPPORTED,
                          "%s: %s numbers can not be written anew: choose another type",
                          q->m->weight[i].name, slm_dtypes[q->type[i]].name);
    return rc;
}

int slm_quant_unmerged(const slm_quant *q, slm_err *err)
{
    if (!q->m->patch.row)
        return 0;
    return slm_fail(err, SLM_E_UNSUPPORTED,
                    "%s: an adapter is merged in on the way: write the merged model "
                    "first, then start from that",
                    q->m->src.path);
}

const slm_model *slm_quant_model(const slm_quant *q) { return q->m; }
