/* Rows that teach to say no. Which rows are taken is settled first, evenly over the labels;
 * each negative has a place behind a row chosen by chance and a seed of its own, and is made
 * when the walk that writes comes by, so nothing but places is held. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "corpus/offer.h"
#include "corpus/sets.h"

enum kind { HELD_OUT, ELSEWHERE };

/* One negative to be written behind row `behind`. */
struct plan {
    uint32_t behind, row; /* row: of the data, or of the others */
    uint32_t frame;       /* ELSEWHERE: the row of ours whose form it takes */
    uint32_t number;
    uint8_t kind;
};

struct negatives {
    slm_runtime *rt;
    const slm_negatives_opts *o;
    slm_negatives_report *r;
    struct slm_shelf shelf, others;
    struct slm_offer offer;
    struct slm_labels labels;
    struct slm_keymap ids;
    uint64_t *key;   /* (rows) hash of the label, 0: none */
    uint32_t *label; /* (rows) UINT32_MAX: none */
    uint32_t *order; /* (rows) readable rows with a label, taken turn by turn */
    size_t n_order;
    struct slm_buf *text; /* (threads) */
    int threads;
    struct plan *plan;
    size_t n_plan, cap_plan;
    struct slm_sink out;
    slm_corpus_note *why, *example; /* of the report */
};

void slm_negatives_opts_init(slm_negatives_opts *o)
{
    *o = (slm_negatives_opts){.share = 0.1, .mark = "negative"};
}

static int check(const slm_negatives_opts *o, slm_err *err)
{
    if (!(o->share >= 0 && o->share < 1))
        return slm_fail(err, SLM_E_ARG, "a share of %g is not from 0 to below 1", o->share);
    if (o->n_none < 1)
        return slm_fail(err, SLM_E_ARG, "nothing is given to answer with");
    if (!o->mark || !*o->mark)
        return slm_fail(err, SLM_E_ARG, "the mark of what is added has no name");
    return 0;
}

static int work(void *arg, int ith, uint32_t number, struct slm_row *row, slm_err *err)
{
    struct negatives *g = arg;
    struct slm_buf *b = &g->text[ith];
    if (slm_offer_label(&g->offer, row->json, b))
        g->key[number] = slm_hash64(b->s, b->n, 0) | 1;
    return slm_buf_check(b, "a label", err);
}

static bool one_of(const char *const *list, int n, const struct slm_buf *b)
{
    for (int i = 0; i < n; i++)
        if (strlen(list[i]) == b->n && !memcmp(list[i], b->s, b->n))
            return true;
    return false;
}

enum { LABELS_MOST = 20000 };

/* A label seen for the first time. */
static int add_label(struct negatives *g, uint32_t number, slm_err *err)
{
    struct slm_row row;
    struct slm_buf *b = &g->text[0];
    if (g->labels.n >= LABELS_MOST)
        return slm_fail(err, SLM_E_ARG,
                        "over %d different labels: say with --label which field holds them",
                        LABELS_MOST);
    if (slm_grow(g->rt, SLM_MEM_DATA, (void **)&g->labels.v, g->labels.n, &g->labels.cap,
                 sizeof *g->labels.v))
        return slm_fail_mem(err, "labels", g->labels.n * sizeof *g->labels.v);
    int rc = slm_shelf_get(&g->shelf, number, &row, err);
    if (rc)
        return rc;
    bool found = slm_offer_label(&g->offer, row.json, b);
    slm_row_release(&row);
    if (!found)
        return slm_fail_mem(err, "a label", 1);
    struct slm_label *l = &g->labels.v[g->labels.n];
    *l = (struct slm_label){.name = slm_arena_strndup(&g->r->own->arena, b->s, b->n),
                            .n = b->n,
                            .row = number,
                            .held = one_of(g->o->hold, g->o->n_hold, b),
                            .none = one_of(g->o->none, g->o->n_none, b)};
    g->labels.n++;
    return l->name ? 0 : slm_fail_mem(err, "a label", b->n);
}

static int put(void *arg, uint32_t lo, uint32_t hi, slm_err *err)
{
    struct negatives *g = arg;
    for (uint32_t i = lo; i < hi; i++) {
        g->label[i] = UINT32_MAX;
        if (!g->key[i])
            continue;
        int rc = slm_keymap_put(&g->ids, g->key[i], (uint32_t)g->labels.n, &g->label[i], err);
        if (!rc && g->label[i] == g->labels.n)
            rc = add_label(g, i, err);
        if (rc)
            return rc;
        g->labels.v[g->label[i]].rows++;
    }
    return 0;
}

/* ---- making one ---- */

static const char *mark_row(struct negatives *g, slm_json *row, const char *kind,
                            const char *label, slm_corpus_note from)
{
    slm_json *m = slm_json_new_object();
    bool ok = m && slm_json_set(m, "kind", slm_json_new_str(kind, strlen(kind)));
    if (ok && label)
        ok = slm_json_set(m, "label", slm_json_new_str(label, strlen(label)));
    ok = ok && slm_json_set(m, "file", slm_json_new_str(from.file, strlen(from.file))) &&
         slm_json_set(m, "line", slm_json_new_int(from.line));
    if (!ok) {
        slm_json_free(m);
        return "no memory";
    }
    return slm_json_set(row, g->o->mark, m) ? NULL : "no memory";
}

static slm_corpus_note place_of(const struct slm_shelf *s, uint32_t row)
{
    return (slm_corpus_note){slm_shelf_file(s, row), s->place[row].line, ""};
}

static const char *none_text(const struct negatives *g, uint32_t number)
{
    return g->o->none[number % (uint32_t)g->o->n_none];
}

/* The row without its right label, answered with a refusal. */
static const char *hold_out(struct negatives *g, slm_json *json, const struct plan *p)
{
    struct slm_rng rng;
    slm_rng_init(&rng, g->o->seed * 1000003u + p->row);
    const char *why = slm_offer_withdraw(&g->offer, json, g->label[p->row], &rng);
    if (!why)
        why = slm_offer_refuse(&g->offer, json, none_text(g, p->number));
    return why ? why
               : mark_row(g, json, "held-out", g->labels.v[g->label[p->row]].name,
                          place_of(&g->shelf, p->row));
}

/* The frame's row with another's question. */
static const char *from_elsewhere(struct negatives *g, slm_json *frame, const struct plan *p,
                                  slm_json *other)
{
    char to[SLM_PATH_MOST], from[SLM_PATH_MOST];
    struct slm_buf *b = &g->text[0];
    struct slm_offer theirs = g->offer;
    slm_negatives_opts plain = *g->o;
    theirs.o = &plain;
    slm_buf_reset(b);
    if (!slm_offer_query(&g->offer, frame, to))
        return "there is no question to put another in its place";
    if (!slm_offer_query(&theirs, other, from) || !slm_field_text(b, other, from)) {
        plain.query = NULL; /* of another form than ours */
        if (!slm_offer_query(&theirs, other, from) || !slm_field_text(b, other, from))
            return "the row from elsewhere has no question";
    }
    if (b->failed)
        return "no memory";
    const char *why = slm_offer_refuse(&g->offer, frame, none_text(g, p->number));
    int rc = why ? 0 : slm_field_set(frame, to, slm_json_new_str(b->s, b->n - 1), g->rt);
    if (!why && rc <= 0)
        why = rc ? "no memory" : "the question is not where it is said to be";
    return why ? why : mark_row(g, frame, "elsewhere", NULL, place_of(&g->others, p->row));
}

/* Makes the negative: *json is the caller's, *why NULL when it is one. */
static int make(struct negatives *g, const struct plan *p, slm_json **json, const char **why,
                slm_err *err)
{
    struct slm_row row, other = {0};
    int rc = slm_shelf_get(&g->shelf, p->kind == ELSEWHERE ? p->frame : p->row, &row, err);
    if (!rc && p->kind == ELSEWHERE)
        rc = slm_shelf_get(&g->others, p->row, &other, err);
    *json = NULL;
    if (!rc) {
        *why = p->kind == HELD_OUT ? hold_out(g, row.json, p)
                                   : from_elsewhere(g, row.json, p, other.json);
        *json = slm_json_ref(row.json);
    }
    slm_row_release(&row);
    slm_row_release(&other);
    return rc;
}

/* ---- choosing ---- */

/* Labels in turn: rows by (turn within their label, chance). */
static int order_rows(struct negatives *g, slm_err *err)
{
    size_t n = g->shelf.n, kept = 0;
    struct slm_rng rng;
    uint32_t *turn = slm_zalloc_n(g->rt, SLM_MEM_DATA, g->labels.n, sizeof *turn);
    uint32_t *first = slm_zalloc_n(g->rt, SLM_MEM_DATA, n + 1, sizeof *first);
    uint32_t *row = slm_alloc_n(g->rt, SLM_MEM_DATA, n, sizeof *row);
    g->order = slm_alloc_n(g->rt, SLM_MEM_DATA, n, sizeof *g->order);
    bool ok = turn && first && row && g->order;
    for (uint32_t i = 0; i < n && ok; i++)
        if (g->label[i] != UINT32_MAX && !g->labels.v[g->label[i]].held &&
            !g->labels.v[g->label[i]].none)
            row[kept++] = i;
    slm_rng_init(&rng, g->o->seed);
    for (size_t a = kept; a > 1 && ok; a--) {
        size_t b = (size_t)slm_rng_below(&rng, a);
        uint32_t t = row[a - 1];
        row[a - 1] = row[b];
        row[b] = t;
    }
    /* how many rows have an earlier turn, then each to its place among its turn's */
    for (size_t i = 0; i < kept && ok; i++)
        first[1 + turn[g->label[row[i]]]++]++;
    for (size_t i = 1; i <= n && ok; i++)
        first[i] += first[i - 1];
    if (ok)
        memset(turn, 0, g->labels.n * sizeof *turn);
    for (size_t i = 0; i < kept && ok; i++)
        g->order[first[turn[g->label[row[i]]]++]++] = row[i];
    g->n_order = kept;
    slm_free(g->rt, turn);
    slm_free(g->rt, first);
    slm_free(g->rt, row);
    return ok ? 0 : slm_fail_mem(err, "the order of rows", n * 12);
}

/* Tries the plan; when it works it is kept. */
static int try_plan(struct negatives *g, struct plan p, slm_err *err)
{
    enum { SHOWN = 3 };
    slm_json *json;
    const char *why = NULL;
    int rc = make(g, &p, &json, &why, err);
    slm_json_free(json);
    if (rc)
        return rc;
    if (why) {
        const struct slm_shelf *s = p.kind == HELD_OUT ? &g->shelf : &g->others;
        if (g->r->unusable++ < SHOWN) {
            if (slm_shelf_note(s, p.row, g->r->own, why, &g->why[g->r->n_why++]))
                return slm_fail_mem(err, "a report", 1);
        }
        return 0;
    }
    if (slm_grow(g->rt, SLM_MEM_DATA, (void **)&g->plan, g->n_plan, &g->cap_plan,
                 sizeof *g->plan))
        return slm_fail_mem(err, "negatives", g->n_plan * sizeof *g->plan);
    g->plan[g->n_plan++] = p;
    g->r->held_out += p.kind == HELD_OUT;
    g->r->others += p.kind == ELSEWHERE;
    if (p.kind == HELD_OUT)
        g->labels.v[g->label[p.row]].used++;
    return 0;
}

static uint32_t any_readable(const struct negatives *g, struct slm_rng *rng)
{
    uint32_t i;
    do
        i = (uint32_t)slm_rng_below(rng, g->shelf.n);
    while (g->shelf.bad[i]);
    return i;
}

/* From elsewhere: each row of the others once, in an order by chance, until there are enough.
 */
static int plan_elsewhere(struct negatives *g, int64_t most, struct slm_rng *rng, slm_err *err)
{
    size_t n = g->others.n;
    uint32_t *row = slm_alloc_n(g->rt, SLM_MEM_DATA, n, sizeof *row);
    if (!row)
        return slm_fail_mem(err, "rows from elsewhere", n * sizeof *row);
    for (size_t i = 0; i < n; i++)
        row[i] = (uint32_t)i;
    int rc = 0;
    for (size_t i = 0; i < n && g->r->others < most && !rc; i++) {
        size_t k = i + (size_t)slm_rng_below(rng, n - i);
        uint32_t t = row[k];
        row[k] = row[i];
        row[i] = t;
        if (g->others.bad[t])
            continue;
        uint32_t behind = any_readable(g, rng), frame = any_readable(g, rng);
        rc = try_plan(g, (struct plan){behind, t, frame, (uint32_t)g->n_plan, ELSEWHERE}, err);
    }
    slm_free(g->rt, row);
    return rc;
}

static int plan_held(struct negatives *g, int64_t most, size_t *at, struct slm_rng *rng,
                     slm_err *err)
{
    int rc = 0;
    while (*at < g->n_order && g->r->held_out < most && !rc) {
        uint32_t behind = any_readable(g, rng), row = g->order[(*at)++];
        rc = try_plan(g, (struct plan){behind, row, 0, (uint32_t)g->n_plan, HELD_OUT}, err);
    }
    return rc;
}

static int by_place(const void *a, const void *b)
{
    const struct plan *x = a, *y = b;
    return x->behind != y->behind ? (x->behind > y->behind) - (x->behind < y->behind)
                                  : (x->number > y->number) - (x->number < y->number);
}

static int plan_all(struct negatives *g, slm_err *err)
{
    struct slm_rng rng;
    int64_t readable = 0, half;
    for (uint32_t i = 0; i < g->shelf.n; i++)
        readable += !g->shelf.bad[i];
    if (!readable)
        return slm_fail(err, SLM_E_ARG, "there is no row to make negatives of");
    g->r->wanted = (int64_t)floor((double)readable * g->o->share / (1 - g->o->share) + 0.5);
    half = g->o->n_others ? (g->r->wanted + 1) / 2 : 0;
    slm_rng_init(&rng, g->o->seed ^ 0x6e6567u);
    size_t at = 0;
    int rc = order_rows(g, err);
    if (!rc)
        rc = plan_held(g, g->r->wanted - half, &at, &rng, err);
    if (!rc && half)
        rc = plan_elsewhere(g, g->r->wanted - g->r->held_out, &rng, err);
    if (!rc) /* what elsewhere does not have */
        rc = plan_held(g, g->r->wanted - g->r->others, &at, &rng, err);
    if (g->n_plan)
        qsort(g->plan, g->n_plan, sizeof *g->plan, by_place);
    return rc;
}

/* ---- writing ---- */

static int write_negative(struct negatives *g, const struct plan *p, slm_err *err)
{
    enum { SHOWN = 3 };
    slm_json *json;
    const char *why;
    int rc = make(g, p, &json, &why, err);
    if (!rc && g->r->n_examples < SHOWN) {
        struct slm_buf *b = &g->text[0];
        slm_buf_reset(b);
        slm_json_put(b, json);
        slm_corpus_note *note = &g->example[g->r->n_examples++];
        if (slm_shelf_note(p->kind == HELD_OUT ? &g->shelf : &g->others, p->row, g->r->own,
                           NULL, note) ||
            b->failed || !(note->text = slm_own_excerpt(g->r->own, b->s, b->n, 1000)))
            rc = slm_fail_mem(err, "a report", 1);
    }
    if (!rc && g->out.open)
        rc = slm_sink_json(&g->out, json, err);
    g->r->written += !rc;
    slm_json_free(json);
    return rc;
}

/* A row of a label held out: offered no more, and refused. */
static int write_relabeled(struct negatives *g, uint32_t i, slm_err *err)
{
    struct slm_row row;
    struct slm_rng rng;
    int rc = slm_shelf_get(&g->shelf, i, &row, err);
    if (rc)
        return rc;
    slm_rng_init(&rng, g->o->seed * 1000003u + i);
    (void)slm_offer_withdraw(&g->offer, row.json, g->label[i], &rng);
    const char *why = slm_offer_refuse(&g->offer, row.json, none_text(g, i));
    if (!why)
        why = mark_row(g, row.json, "relabeled", g->labels.v[g->label[i]].name,
                       place_of(&g->shelf, i));
    if (why)
        rc = slm_fail(err, SLM_E_ARG, "%s:%lld: %s", row.file, (long long)row.line, why);
    else if (g->out.open)
        rc = slm_sink_json(&g->out, row.json, err);
    g->r->relabeled++;
    g->labels.v[g->label[i]].used++;
    slm_row_release(&row);
    return rc;
}

static int write_all(struct negatives *g, slm_err *err)
{
    size_t k = 0;
    int rc = 0;
    for (uint32_t i = 0; i < g->shelf.n && !rc; i++) {
        if (g->shelf.bad[i])
            continue;
        bool held = g->label[i] != UINT32_MAX && g->labels.v[g->label[i]].held;
        rc = held          ? write_relabeled(g, i, err)
             : g->out.open ? slm_sink_row(&g->out, &g->shelf, i, err)
                           : 0;
        g->r->written++;
        while (k < g->n_plan && g->plan[k].behind == i && !rc)
            rc = write_negative(g, &g->plan[k++], err);
    }
    return rc ? rc : slm_sink_commit(&g->out, err);
}

static int report(struct negatives *g, slm_err *err)
{
    slm_negatives_report *r = g->r;
    slm_corpus_count *list = slm_arena_alloc_n(&r->own->arena, g->labels.n + 1, sizeof *list);
    if (!list)
        return slm_fail_mem(err, "a report", 1);
    r->label = list;
    for (size_t i = 0; i < g->labels.n; i++)
        if (g->labels.v[i].used)
            list[r->n_labels++] = (slm_corpus_count){
                slm_own_excerpt(r->own, g->labels.v[i].name, g->labels.v[i].n, 80),
                g->labels.v[i].used};
    for (int i = 0; i < r->n_labels; i++)
        if (!list[i].name)
            return slm_fail_mem(err, "a report", 1);
    return 0;
}

/* Each of `hold` must be a label, or it was misspelt. */
static int check_hold(const struct negatives *g, slm_err *err)
{
    for (int i = 0; i < g->o->n_hold; i++) {
        bool found = false;
        for (size_t k = 0; k < g->labels.n && !found; k++)
            found = !strcmp(g->labels.v[k].name, g->o->hold[i]);
        if (!found)
            return slm_fail(err, SLM_E_ARG, "label '%.80s' never occurs", g->o->hold[i]);
    }
    return g->labels.n ? 0
                       : slm_fail(err, SLM_E_ARG, "no row has a label%s%s",
                                  g->o->label ? " in " : "", g->o->label ? g->o->label : "");
}

static int read_others(void *arg, int ith, uint32_t number, struct slm_row *row, slm_err *err)
{
    (void)arg;
    (void)ith;
    (void)number;
    (void)row;
    (void)err;
    return 0;
}

static int open_all(struct negatives *g, const slm_corpus_in *in, slm_err *err)
{
    const slm_negatives_opts *o = g->o;
    int rc = slm_shelf_open(&g->shelf, g->rt, in, in->paths, in->n_paths, err);
    if (!rc && o->n_others)
        rc = slm_shelf_open(&g->others, g->rt, in, o->others, o->n_others, err);
    if (!rc && o->out)
        rc = slm_sink_open(&g->out, &g->shelf, o->out, err);
    for (int i = 0; i < g->others.files && o->out && !rc; i++)
        if (slm_path_same(slm_rows_file(g->others.rows, i), o->out))
            rc = slm_fail(err, SLM_E_ARG, "%s: is read from; write to another name", o->out);
    if (!rc && g->out.open && g->out.form != SLM_DATA_FORM_JSONL)
        rc = slm_fail(err, SLM_E_ARG, "%s: rows with a mark are JSON lines: name it .jsonl",
                      o->out);
    if (rc)
        return rc;
    size_t rows = g->shelf.n;
    g->threads = slm_pool_threads(g->rt->pool);
    g->offer = (struct slm_offer){g->rt, o, &g->shelf, &g->labels};
    slm_keymap_init(&g->ids, g->rt);
    g->key = slm_zalloc_n(g->rt, SLM_MEM_DATA, rows, sizeof *g->key);
    g->label = slm_alloc_n(g->rt, SLM_MEM_DATA, rows, sizeof *g->label);
    g->text = slm_zalloc_n(g->rt, SLM_MEM_DATA, (size_t)g->threads, sizeof *g->text);
    g->r->why = g->why = slm_arena_alloc_n(&g->r->own->arena, 4, sizeof *g->why);
    g->r->example = g->example = slm_arena_alloc_n(&g->r->own->arena, 4, sizeof *g->example);
    if (!g->key || !g->label || !g->text || !g->why || !g->example)
        return slm_fail_mem(err, "marks of rows", rows * 12);
    for (int i = 0; i < g->threads; i++)
        slm_buf_init(&g->text[i], g->rt, SLM_MEM_DATA, SIZE_MAX / 4);
    return 0;
}

static void close_all(struct negatives *g)
{
    for (int i = 0; i < g->threads && g->text; i++)
        slm_buf_release(&g->text[i]);
    slm_free(g->rt, g->text);
    slm_free(g->rt, g->key);
    slm_free(g->rt, g->label);
    slm_free(g->rt, g->order);
    slm_free(g->rt, g->plan);
    slm_free(g->rt, g->labels.v);
    if (g->ids.rt)
        slm_keymap_release(&g->ids);
    slm_sink_close(&g->out);
    if (g->others.rt)
        slm_shelf_close(&g->others);
    slm_shelf_close(&g->shelf);
}

int slm_corpus_negatives(slm_negatives_report *r, slm_runtime *rt, const slm_corpus_in *in,
                         const slm_negatives_opts *o, slm_err *err)
{
    struct negatives g = {.rt = rt, .o = o, .r = r};
    const struct slm_shelf_job job = {work, put, &g}, look = {.work = read_others};
    *r = (slm_negatives_report){0};
    int rc = check(o, err);
    if (!rc)
        rc = slm_own_new(&r->own, rt, err);
    if (!rc)
        rc = open_all(&g, in, err);
    if (!rc)
        rc = slm_shelf_each(&g.shelf, &job, err);
    if (!rc && o->n_others)
        rc = slm_shelf_each(&g.others, &look, err);
    if (!rc)
        rc = slm_shelf_seen(&g.shelf, r->own, &r->seen, err);
    if (!rc)
        rc = check_hold(&g, err);
    if (!rc)
        rc = plan_all(&g, err);
    if (!rc)
        rc = write_all(&g, err);
    if (!rc)
        rc = report(&g, err);
    close_all(&g);
    if (rc)
        slm_corpus_release(&r->own);
    return rc;
}
