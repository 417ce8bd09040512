/* Duplicates out. One pass makes each row's fingerprint, holds it against the rules, and makes
 * the keys of near-duplicates; rows are then joined, and a last walk writes those that stay. */
#include <math.h>
#include <string.h>

#include "corpus/near.h"
#include "corpus/quality.h"

/* What becomes of a row. */
enum fate { KEPT, UNREAD, REFUSED, EXACT, NEAR };

struct dedup {
    slm_runtime *rt;
    const slm_dedup_opts *o;
    slm_dedup_report *r;
    struct slm_shelf shelf;
    struct slm_near near;
    struct slm_quality *quality; /* (threads) */
    int filter;                  /* sets of rules */
    uint64_t *print;             /* (rows) fingerprint of the text but for white space */
    uint8_t *fate, *rule;        /* (rows) */
    struct slm_keymap seen;
    struct slm_sink out, removed;
};

void slm_dedup_opts_init(slm_dedup_opts *o)
{
    *o = (slm_dedup_opts){.near = 1,
                          .words = 5,
                          .hashes = 112,
                          .threshold = 0.72,
                          .memory = (uint64_t)2 << 30,
                          .show = 5};
}

double slm_dedup_chance(double s, int bands, int rows)
{
    return 1 - pow(1 - pow(s, rows), bands);
}

static int check(const slm_dedup_opts *o, slm_err *err)
{
    if (o->words < 1 || o->words > 1000)
        return slm_fail(err, SLM_E_ARG, "runs of %d words; 1 to 1000 are possible", o->words);
    if (o->hashes < 1 || o->hashes > SLM_MINHASH_MAX)
        return slm_fail(err, SLM_E_ARG, "%d hashes; 1 to %d are possible", o->hashes,
                        SLM_MINHASH_MAX);
    if (!(o->threshold > 0 && o->threshold <= 1))
        return slm_fail(err, SLM_E_ARG, "threshold %g is not above 0 and up to 1",
                        o->threshold);
    if (!o->bands != !o->rows || o->bands < 0 || o->rows < 0)
        return slm_fail(err, SLM_E_ARG, "bands and rows go together");
    if ((int64_t)o->bands * o->rows > SLM_MINHASH_MAX)
        return slm_fail(err, SLM_E_ARG, "%d bands of %d rows are over %d hashes", o->bands,
                        o->rows, SLM_MINHASH_MAX);
    if (o->out && o->removed && !strcmp(o->out, o->removed))
        return slm_fail(err, SLM_E_ARG, "%s: is named for what stays and for what goes",
                        o->out);
    return 0;
}

/* The text with every run of white space as one blank and none around. */
static uint64_t fingerprint(struct slm_buf *text)
{
    size_t k = 0;
    bool gap = false;
    for (size_t i = 0; i < text->n; i++) {
        char c = text->s[i];
        if (c == ' ' || (c >= '\t' && c <= '\r')) {
            gap = k > 0;
            continue;
        }
        if (gap)
            text->s[k++] = ' ';
        gap = false;
        text->s[k++] = c;
    }
    return slm_hash64(text->s, k, 0);
}

static int work(void *arg, int ith, uint32_t number, struct slm_row *row, slm_err *err)
{
    struct dedup *d = arg;
    struct slm_buf *text = &d->near.room[ith].text;
    int found, rc = slm_near_text(&d->near, ith, row, &found, err);
    if (rc)
        return rc;
    int rule = slm_quality_judge(&d->quality[ith], text->s ? text->s : "", text->n, d->filter);
    if (rule == SLM_QUALITY_COUNT)
        return slm_fail_mem(err, "rules of quality", text->n);
    if (rule >= 0) {
        d->fate[number] = REFUSED;
        d->rule[number] = (uint8_t)rule;
    }
    d->near.off[number] = rule >= 0 || !text->n;
    if (d->near.off[number])
        return 0;
    rc = slm_near_keys(&d->near, ith, number, err); /* before the text is changed */
    d->print[number] = fingerprint(text);
    return rc;
}

/* Exact duplicates go to the first of them and take no further part. */
static int put(void *arg, uint32_t lo, uint32_t hi, slm_err *err)
{
    struct dedup *d = arg;
    for (uint32_t i = lo; i < hi; i++) {
        uint32_t was;
        if (d->shelf.bad[i]) {
            d->fate[i] = UNREAD;
            d->near.off[i] = 1;
        }
        if (d->fate[i] != KEPT || !d->print[i])
            continue;
        int rc = slm_keymap_put(&d->seen, d->print[i], i, &was, err);
        if (rc)
            return rc;
        if (was == i)
            continue;
        d->fate[i] = EXACT;
        d->near.off[i] = 1;
        slm_sets_join(&d->near.sets, was, i);
    }
    return 0;
}

static int open_all(struct dedup *d, const slm_corpus_in *in, slm_err *err)
{
    const slm_dedup_opts *o = d->o;
    struct slm_near_opts n = {.words = o->words,
                              .verify = o->verify,
                              .threshold = o->threshold,
                              .seed = o->seed,
                              .memory = o->memory};
    if (o->near && o->bands) {
        n.bands = o->bands;
        n.rows = o->rows;
    } else if (o->near) {
        slm_minhash_choose(o->threshold, o->hashes, &n.bands, &n.rows);
    }
    int rc = slm_shelf_open(&d->shelf, d->rt, in, in->paths, in->n_paths, err);
    if (!rc && o->out)
        rc = slm_sink_open(&d->out, &d->shelf, o->out, err);
    if (!rc && o->removed)
        rc = slm_sink_open(&d->removed, &d->shelf, o->removed, err);
    if (!rc && d->removed.open && d->removed.form != SLM_DATA_FORM_JSONL)
        rc = slm_fail(err, SLM_E_ARG,
                      "%s: what is removed is told in JSON lines: name it .jsonl", o->removed);
    if (!rc)
        rc = slm_near_open(&d->near, &d->shelf, &n, err);
    if (rc)
        return rc;
    size_t rows = d->shelf.n, threads = (size_t)d->near.threads;
    d->shelf.passes = d->near.passes;
    d->print = slm_zalloc_n(d->rt, SLM_MEM_DATA, rows, sizeof *d->print);
    d->fate = slm_zalloc(d->rt, SLM_MEM_DATA, rows);
    d->rule = slm_zalloc(d->rt, SLM_MEM_DATA, rows);
    d->quality = slm_zalloc_n(d->rt, SLM_MEM_DATA, threads, sizeof *d->quality);
    slm_keymap_init(&d->seen, d->rt);
    for (size_t i = 0; i < threads && d->quality; i++)
        slm_quality_init(&d->quality[i], d->rt);
    return d->print && d->fate && d->rule && d->quality
               ? 0
               : slm_fail_mem(err, "marks of rows", rows * 10);
}

static void close_all(struct dedup *d)
{
    for (int i = 0; i < d->near.threads && d->quality; i++)
        slm_quality_release(&d->quality[i]);
    slm_free(d->rt, d->quality);
    slm_free(d->rt, d->print);
    slm_free(d->rt, d->fate);
    slm_free(d->rt, d->rule);
    if (d->seen.rt)
        slm_keymap_release(&d->seen);
    slm_sink_close(&d->out);
    slm_sink_close(&d->removed);
    slm_near_close(&d->near);
    slm_shelf_close(&d->shelf);
}

/* ---- the report ---- */

/* Rows of each cluster, by its first. */
static int count_clusters(struct dedup *d, uint32_t *size)
{
    slm_dedup_report *r = d->r;
    for (uint32_t i = 0; i < d->shelf.n; i++) {
        uint32_t root = slm_sets_root(&d->near.sets, i);
        if (d->fate[i] == KEPT && root != i)
            d->fate[i] = NEAR;
        size[root] += d->fate[i] != UNREAD && d->fate[i] != REFUSED;
        r->exact += d->fate[i] == EXACT;
        r->near += d->fate[i] == NEAR;
        r->filtered += d->fate[i] == REFUSED;
        r->kept += d->fate[i] == KEPT;
    }
    for (uint32_t i = 0; i < d->shelf.n; i++) {
        r->clusters += size[i] > 1;
        r->largest = size[i] > r->largest ? size[i] : r->largest;
    }
    return 0;
}

/* The place of a row and the beginning of its text that counts. */
static int note_row(struct dedup *d, uint32_t row, slm_corpus_note *note, slm_err *err)
{
    struct slm_row got;
    struct slm_buf *text = &d->near.room[0].text;
    int found, rc = slm_shelf_get(&d->shelf, row, &got, err);
    if (!rc)
        rc = slm_near_text(&d->near, 0, &got, &found, err);
    slm_row_release(&got);
    if (!rc && slm_shelf_note(&d->shelf, row, d->r->own, text->s ? text->s : "", note))
        rc = slm_fail_mem(err, "a report", 1);
    return rc;
}

static int show_cluster(struct dedup *d, slm_dedup_cluster *c, uint32_t root, uint32_t size,
                        slm_err *err)
{
    enum { SHOWN = 3 };
    struct slm_arena *a = &d->r->own->arena;
    slm_corpus_note *out = slm_arena_alloc_n(a, SHOWN, sizeof *out);
    double *similar = slm_arena_alloc_n(a, SHOWN, sizeof *similar);
    if (!out || !similar)
        return slm_fail_mem(err, "a report", 1);
    *c = (slm_dedup_cluster){.rows = size, .out = out, .similar = similar};
    int rc = note_row(d, root, &c->kept, err);
    for (uint32_t i = root + 1; i < d->shelf.n && c->n_out < SHOWN && !rc; i++) {
        if ((d->fate[i] != EXACT && d->fate[i] != NEAR) ||
            slm_sets_root(&d->near.sets, i) != root)
            continue;
        rc = slm_near_compare(&d->near, root, i, &similar[c->n_out], err);
        if (!rc)
            rc = note_row(d, i, &out[c->n_out++], err);
    }
    return rc;
}

/* The largest clusters; of equals the first. */
static int show_clusters(struct dedup *d, uint32_t *size, slm_err *err)
{
    slm_dedup_report *r = d->r;
    int most = d->o->show < r->clusters ? d->o->show : (int)r->clusters, rc = 0;
    slm_dedup_cluster *list =
        slm_arena_alloc_n(&r->own->arena, (size_t)(most > 0 ? most : 1), sizeof *list);
    if (!list)
        return slm_fail_mem(err, "a report", 1);
    r->cluster = list;
    while (r->n_shown < most && !rc) {
        uint32_t best = 0;
        for (uint32_t i = 1; i < d->shelf.n; i++)
            best = size[i] > size[best] ? i : best;
        rc = show_cluster(d, &list[r->n_shown++], best, size[best], err);
        size[best] = 0;
    }
    return rc;
}

static int count_rules(struct dedup *d, slm_err *err)
{
    slm_dedup_report *r = d->r;
    slm_corpus_count *list = slm_arena_alloc_n(&r->own->arena, SLM_QUALITY_COUNT, sizeof *list);
    int at[SLM_QUALITY_COUNT] = {0};
    if (!list)
        return slm_fail_mem(err, "a report", 1);
    r->rule = list;
    for (int i = 0; i < SLM_QUALITY_COUNT; i++) {
        at[i] = r->n_rules;
        if (slm_quality_set(i) & d->filter)
            list[r->n_rules++].name = slm_quality_words(i);
    }
    for (uint32_t i = 0; i < d->shelf.n; i++)
        if (d->fate[i] == REFUSED)
            list[at[d->rule[i]]].rows++;
    return 0;
}

static int write_row(struct dedup *d, uint32_t i, slm_err *err)
{
    if (d->fate[i] == KEPT)
        return d->out.open ? slm_sink_row(&d->out, &d->shelf, i, err) : 0;
    if (!d->removed.open)
        return 0;
    struct slm_removed r = {.why = d->fate[i] == EXACT  ? "exact duplicate"
                                   : d->fate[i] == NEAR ? "near-duplicate"
                                                        : "unreadable"};
    if (d->fate[i] == REFUSED)
        r.why = slm_quality_words(d->rule[i]);
    if (d->fate[i] == EXACT || d->fate[i] == NEAR) {
        uint32_t root = slm_sets_root(&d->near.sets, i);
        r.key = "of";
        r.file = slm_shelf_file(&d->shelf, root);
        r.line = d->shelf.place[root].line;
    }
    return slm_sink_removed(&d->removed, &d->shelf, i, &r, err);
}

static int finish(struct dedup *d, slm_err *err)
{
    slm_dedup_report *r = d->r;
    uint32_t *size = slm_zalloc_n(d->rt, SLM_MEM_DATA, d->shelf.n, sizeof *size);
    int rc = size ? count_clusters(d, size) : slm_fail_mem(err, "clusters", d->shelf.n);
    r->bands = d->near.o.bands;
    r->rows = d->near.o.rows;
    r->passes = d->near.passes;
    r->pairs = d->near.pairs;
    r->pairs_refused = d->near.refused;
    r->threshold = d->o->verify ? d->o->threshold
                   : r->bands   ? pow(1.0 / r->bands, 1.0 / r->rows)
                                : 1;
    if (!rc)
        rc = slm_shelf_seen(&d->shelf, r->own, &r->seen, err);
    if (!rc)
        rc = count_rules(d, err);
    if (!rc)
        rc = show_clusters(d, size, err);
    slm_free(d->rt, size);
    for (uint32_t i = 0; i < d->shelf.n && !rc; i++)
        rc = write_row(d, i, err);
    if (!rc)
        rc = slm_sink_commit(&d->removed, err);
    return rc ? rc : slm_sink_commit(&d->out, err);
}

int slm_corpus_dedup(slm_dedup_report *r, slm_runtime *rt, const slm_corpus_in *in,
                     const slm_dedup_opts *o, slm_err *err)
{
    struct dedup d = {.rt = rt, .o = o, .r = r};
    const struct slm_shelf_job job = {work, put, &d};
    *r = (slm_dedup_report){0};
    int rc = check(o, err);
    if (!rc)
        rc = slm_quality_parse(o->filter, &d.filter, err);
    if (!rc)
        rc = slm_own_new(&r->own, rt, err);
    if (!rc)
        rc = open_all(&d, in, err);
    if (!rc)
        rc = slm_shelf_each(&d.shelf, &job, err);
    if (!rc)
        rc = slm_near_finish(&d.near, err);
    if (!rc)
        rc = finish(&d, err);
    close_all(&d);
    if (rc)
        slm_corpus_release(&r->own);
    return rc;
}
