/* Evaluation sets kept out of training. The evaluation rows' runs of words go into a table of
 * 64-bit hashes (Brown et al. 2020, appendix C, used 13 words); a row that has one of them, or
 * a whole question or answer, is contaminated. */
#include <stdatomic.h>
#include <string.h>

#include "corpus/fields.h"
#include "corpus/sets.h"
#include "corpus/shelf.h"
#include "corpus/grams.h"

enum kind { CLEAN, BY_GRAM, BY_TEXT };

/* What a thread needs for one row at a time. */
struct room {
    struct slm_buf text;
    struct slm_words words;
    struct slm_grams grams;
};

/* What is known of a run of words of the evaluation sets. */
struct gram {
    uint32_t row, last, rows; /* the first and the last row that has it, and how many do */
};

struct decon {
    slm_runtime *rt;
    const slm_decon_opts *o;
    slm_decon_report *r;
    slm_corpus_in eval_in;
    struct slm_shelf shelf, eval;
    struct room *room; /* (threads) */
    int threads;
    struct slm_keymap grams, texts; /* hash to gram; hash of a whole text to eval row */
    struct gram *gram;
    size_t n_grams, cap_grams;
    uint32_t *hit;             /* (rows) eval row */
    uint8_t *kind;             /* (rows) */
    _Atomic uint8_t *eval_hit; /* (eval rows) */
    struct slm_sink out, removed;
};

void slm_decon_opts_init(slm_decon_opts *o)
{
    *o = (slm_decon_opts){.ngram = 13, .least = 6, .common = 10, .show = 5};
}

static int check(const slm_decon_opts *o, slm_err *err)
{
    if (o->n_against < 1)
        return slm_fail(err, SLM_E_ARG, "no evaluation set is named");
    if (o->ngram < 2 || o->ngram > 1000 || o->least < 1 || o->common < 0)
        return slm_fail(err, SLM_E_ARG, "runs of %d words, texts from %d words: not possible",
                        o->ngram, o->least);
    if (o->out && o->removed && !strcmp(o->out, o->removed))
        return slm_fail(err, SLM_E_ARG, "%s: is named for what stays and for what goes",
                        o->out);
    return 0;
}

/* The words of all texts of a row, and its runs. */
static int read_row(struct decon *d, struct room *r, const struct slm_shelf *s, slm_json *json,
                    slm_err *err)
{
    slm_buf_reset(&r->text);
    slm_fields_text(&r->text, json, s->in->by, s->in->n_by);
    int rc = slm_buf_check(&r->text, "the text of a row", err);
    if (!rc)
        rc = slm_words_read(&r->words, r->text.s ? r->text.s : "", r->text.n, err);
    if (!rc)
        rc = slm_grams_read(&r->grams, &r->words, d->o->ngram, err);
    if (r->words.n < (size_t)d->o->ngram)
        r->grams.n = 0; /* fewer words are no run of that length */
    return rc;
}

/* ---- the evaluation sets ---- */

static int add_gram(struct decon *d, uint64_t hash, uint32_t row, slm_err *err)
{
    uint32_t k;
    int rc = slm_keymap_put(&d->grams, hash, (uint32_t)d->n_grams, &k, err);
    if (rc)
        return rc;
    if (k == d->n_grams) {
        if (d->n_grams >= SLM_SHELF_MOST)
            return slm_fail(err, SLM_E_LIMIT, "over 2^32 runs of words in evaluation sets");
        if (slm_grow(d->rt, SLM_MEM_DATA, (void **)&d->gram, d->n_grams, &d->cap_grams,
                     sizeof *d->gram))
            return slm_fail_mem(err, "runs of words", d->n_grams * sizeof *d->gram);
        d->gram[d->n_grams++] = (struct gram){row, row, 1};
        return 0;
    }
    d->gram[k].rows += d->gram[k].last != row;
    d->gram[k].last = row;
    return 0;
}

/* The hash of a whole text's words, 0 when it has too few. */
static int text_key(struct decon *d, struct room *r, slm_json *value, uint64_t *key,
                    slm_err *err)
{
    size_t len;
    const char *s = slm_json_str(value, &len);
    *key = 0;
    if (!s)
        return 0;
    int rc = slm_words_read(&r->words, s, len, err);
    if (!rc && r->words.n >= (size_t)d->o->least)
        *key = slm_hash64(r->words.text.s, r->words.text.n, 1);
    return rc;
}

struct one_text {
    struct decon *d;
    struct room *room;
    uint32_t row, hit; /* hit: eval row, UINT32_MAX: none */
    slm_err *err;
};

static int add_text(void *arg, slm_json *value)
{
    struct one_text *t = arg;
    uint64_t key;
    uint32_t was;
    int rc = text_key(t->d, t->room, value, &key, t->err);
    return rc || !key ? rc : slm_keymap_put(&t->d->texts, key, t->row, &was, t->err);
}

static int add_eval(struct decon *d, uint32_t i, slm_err *err)
{
    struct slm_row row;
    struct room *r = &d->room[0];
    struct one_text t = {d, r, i, UINT32_MAX, err};
    int rc = slm_shelf_get(&d->eval, i, &row, err);
    d->eval.bad[i] = (uint8_t)row.state;
    if (!rc && !row.state) {
        rc = read_row(d, r, &d->eval, row.json, err);
        d->r->short_rows += !rc && !r->grams.n;
        for (size_t k = 0; k < r->grams.n && !rc; k++)
            rc = add_gram(d, r->grams.hash[k], i, err);
        if (!rc)
            rc = slm_fields_each(row.json, d->eval_in.by, d->eval_in.n_by, add_text, &t, NULL);
    }
    slm_row_release(&row);
    return rc;
}

static int read_eval(struct decon *d, slm_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < d->eval.n && !rc; i++)
        rc = add_eval(d, i, err);
    for (size_t k = 0; k < d->n_grams; k++)
        d->r->common_grams += d->o->common && d->gram[k].rows > (uint32_t)d->o->common;
    d->r->grams = (int64_t)d->n_grams;
    return rc ? rc : slm_shelf_seen(&d->eval, d->r->own, &d->r->eval, err);
}

/* ---- the data ---- */

/* The evidence that a run of words is, NULL: none. */
static const struct gram *evidence(const struct decon *d, uint64_t hash)
{
    const uint32_t *k = slm_keymap_find(&d->grams, hash);
    if (!k || (d->o->common && d->gram[*k].rows > (uint32_t)d->o->common))
        return NULL;
    return &d->gram[*k];
}

static int look_text(void *arg, slm_json *value)
{
    struct one_text *t = arg;
    uint64_t key;
    int rc = text_key(t->d, t->room, value, &key, t->err);
    const uint32_t *at = !rc && key ? slm_keymap_find(&t->d->texts, key) : NULL;
    if (!at)
        return rc;
    atomic_store(&t->d->eval_hit[*at], 1);
    t->hit = t->hit == UINT32_MAX ? *at : t->hit;
    return 0;
}

static int work(void *arg, int ith, uint32_t number, struct slm_row *row, slm_err *err)
{
    struct decon *d = arg;
    struct room *r = &d->room[ith];
    struct one_text t = {d, r, number, UINT32_MAX, err};
    int rc = read_row(d, r, &d->shelf, row->json, err);
    if (rc)
        return rc;
    for (size_t k = 0; k < r->grams.n; k++) {
        const struct gram *g = evidence(d, r->grams.hash[k]);
        if (!g)
            continue;
        atomic_store(&d->eval_hit[g->row], 1);
        if (!d->kind[number])
            d->hit[number] = g->row;
        d->kind[number] = BY_GRAM;
    }
    rc = slm_fields_each(row->json, d->shelf.in->by, d->shelf.in->n_by, look_text, &t, NULL);
    if (!rc && !d->kind[number] && t.hit != UINT32_MAX) {
        d->kind[number] = BY_TEXT;
        d->hit[number] = t.hit;
    }
    return rc;
}

/* ---- what is told and written ---- */

/* The words that a contaminated row has in common with the evaluation set. */
static int common_words(struct decon *d, uint32_t number, const char **text, slm_err *err)
{
    struct slm_row row;
    struct room *r = &d->room[0];
    int rc = slm_shelf_get(&d->shelf, number, &row, err);
    if (!rc)
        rc = read_row(d, r, &d->shelf, row.json, err);
    slm_row_release(&row);
    if (rc)
        return rc;
    size_t k = 0;
    while (k < r->grams.n && !evidence(d, r->grams.hash[k]))
        k++;
    size_t last = k + (size_t)d->o->ngram - 1;
    if (k == r->grams.n) { /* by its text */
        k = 0;
        last = r->words.n - 1;
    }
    if (!r->words.n) {
        *text = "";
        return 0;
    }
    r->words.text.s[r->words.end[last]] = 0;
    *text = r->words.text.s + slm_words_begin(&r->words, k);
    return 0;
}

static const char *reason(const struct decon *d, uint32_t row)
{
    return d->kind[row] == BY_GRAM ? "a run of words of an evaluation set"
                                   : "a question or answer of an evaluation set";
}

static int show_hit(struct decon *d, uint32_t i, slm_decon_hit *h, slm_err *err)
{
    const char *text;
    int rc = common_words(d, i, &text, err);
    if (rc)
        return rc;
    if (slm_shelf_note(&d->shelf, i, d->r->own, text, &h->row) ||
        slm_shelf_note(&d->eval, d->hit[i], d->r->own, NULL, &h->eval))
        return slm_fail_mem(err, "a report", 1);
    return 0;
}

static int write_row(struct decon *d, uint32_t i, slm_err *err)
{
    if (!d->kind[i] && !d->shelf.bad[i])
        return d->out.open ? slm_sink_row(&d->out, &d->shelf, i, err) : 0;
    if (!d->removed.open)
        return 0;
    struct slm_removed r = {.why = d->shelf.bad[i] ? "unreadable" : reason(d, i)};
    if (!d->shelf.bad[i]) {
        int rc = common_words(d, i, &r.text, err);
        if (rc)
            return rc;
        r.key = "eval";
        r.file = slm_shelf_file(&d->eval, d->hit[i]);
        r.line = d->eval.place[d->hit[i]].line;
    }
    return slm_sink_removed(&d->removed, &d->shelf, i, &r, err);
}

static int report(struct decon *d, slm_err *err)
{
    slm_decon_report *r = d->r;
    struct slm_arena *a = &r->own->arena;
    int most = d->o->show > 0 ? d->o->show : 0, rc = 0;
    slm_corpus_count *set = slm_arena_alloc_n(a, (size_t)d->eval.files, sizeof *set);
    slm_decon_hit *hit = slm_arena_alloc_n(a, (size_t)most + 1, sizeof *hit);
    if (!set || !hit)
        return slm_fail_mem(err, "a report", 1);
    r->set = set;
    r->n_sets = d->eval.files;
    r->hit = hit;
    for (int i = 0; i < d->eval.files; i++) {
        set[i].name = slm_arena_strdup(a, slm_rows_file(d->eval.rows, i));
        rc = set[i].name ? rc : slm_fail_mem(err, "a report", 1);
    }
    for (uint32_t i = 0; i < d->shelf.n && !rc; i++) {
        r->by_gram += d->kind[i] == BY_GRAM;
        r->by_text += d->kind[i] == BY_TEXT;
        r->kept += !d->kind[i] && !d->shelf.bad[i];
        if (!d->kind[i])
            continue;
        set[slm_shelf_file_of(&d->eval, d->hit[i])].rows++;
        if (r->n_hits < most)
            rc = show_hit(d, i, &hit[r->n_hits++], err);
    }
    for (uint32_t i = 0; i < d->eval.n; i++)
        r->eval_hit += d->eval_hit[i];
    return rc;
}

static int open_all(struct decon *d, const slm_corpus_in *in, slm_err *err)
{
    const slm_decon_opts *o = d->o;
    d->eval_in = *in;
    d->eval_in.by = o->against_by;
    d->eval_in.n_by = o->n_against_by;
    int rc = slm_shelf_open(&d->shelf, d->rt, in, in->paths, in->n_paths, err);
    if (!rc)
        rc = slm_shelf_open(&d->eval, d->rt, &d->eval_in, o->against, o->n_against, err);
    for (int i = 0; i < d->shelf.files && !rc; i++)
        for (int k = 0; k < d->eval.files && !rc; k++)
            if (slm_path_same(slm_rows_file(d->shelf.rows, i), slm_rows_file(d->eval.rows, k)))
                rc = slm_fail(err, SLM_E_ARG, "%s: is both data and evaluation set",
                              slm_rows_file(d->shelf.rows, i));
    for (int k = 0; k < 2 && !rc; k++) {
        const char *path = k ? o->removed : o->out;
        for (int i = 0; i < d->eval.files && path && !rc; i++)
            if (slm_path_same(slm_rows_file(d->eval.rows, i), path))
                rc = slm_fail(err, SLM_E_ARG, "%s: is read from; write to another name", path);
        if (path && !rc)
            rc = slm_sink_open(k ? &d->removed : &d->out, &d->shelf, path, err);
    }
    if (!rc && d->removed.open && d->removed.form != SLM_DATA_FORM_JSONL)
        rc = slm_fail(err, SLM_E_ARG,
                      "%s: what is removed is told in JSON lines: name it .jsonl", o->removed);
    if (rc)
        return rc;
    d->threads = slm_pool_threads(d->rt->pool);
    slm_keymap_init(&d->grams, d->rt);
    slm_keymap_init(&d->texts, d->rt);
    d->hit = slm_alloc_n(d->rt, SLM_MEM_DATA, d->shelf.n, sizeof *d->hit);
    d->kind = slm_zalloc(d->rt, SLM_MEM_DATA, d->shelf.n);
    d->eval_hit = slm_zalloc(d->rt, SLM_MEM_DATA, d->eval.n);
    d->room = slm_zalloc_n(d->rt, SLM_MEM_DATA, (size_t)d->threads, sizeof *d->room);
    if (!d->hit || !d->kind || !d->eval_hit || !d->room)
        return slm_fail_mem(err, "marks of rows", d->shelf.n * 5);
    for (int i = 0; i < d->threads; i++) {
        slm_buf_init(&d->room[i].text, d->rt, SLM_MEM_DATA, SIZE_MAX / 4);
        slm_words_init(&d->room[i].words, d->rt);
    }
    return 0;
}

static void close_all(struct decon *d)
{
    for (int i = 0; i < d->threads && d->room; i++) {
        slm_buf_release(&d->room[i].text);
        slm_words_release(&d->room[i].words);
        slm_grams_release(&d->room[i].grams, d->rt);
    }
    slm_free(d->rt, d->room);
    slm_free(d->rt, d->gram);
    slm_free(d->rt, d->hit);
    slm_free(d->rt, d->kind);
    slm_free(d->rt, (void *)d->eval_hit);
    if (d->grams.rt) {
        slm_keymap_release(&d->grams);
        slm_keymap_release(&d->texts);
    }
    slm_sink_close(&d->out);
    slm_sink_close(&d->removed);
    slm_shelf_close(&d->eval);
    slm_shelf_close(&d->shelf);
}

int slm_corpus_decontaminate(slm_decon_report *r, slm_runtime *rt, const slm_corpus_in *in,
                             const slm_decon_opts *o, slm_err *err)
{
    struct decon d = {.rt = rt, .o = o, .r = r};
    const struct slm_shelf_job job = {.work = work, .arg = &d};
    *r = (slm_decon_report){0};
    int rc = check(o, err);
    if (!rc)
        rc = slm_own_new(&r->own, rt, err);
    if (!rc)
        rc = open_all(&d, in, err);
    if (!rc)
        rc = read_eval(&d, err);
    if (!rc)
        rc = slm_shelf_each(&d.shelf, &job, err);
    if (!rc)
        rc = slm_shelf_seen(&d.shelf, r->own, &r->seen, err);
    if (!rc)
        rc = report(&d, err);
    for (uint32_t i = 0; i < d.shelf.n && !rc; i++)
        rc = write_row(&d, i, err);
    if (!rc)
        rc = slm_sink_commit(&d.removed, err);
    if (!rc)
        rc = slm_sink_commit(&d.out, err);
    close_all(&d);
    if (rc)
        slm_corpus_release(&r->own);
    return rc;
}
