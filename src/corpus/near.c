/* Near-duplicates of a shelf. Keys of a few bands at a time are held, 8 bytes each; less memory
 * means more passes over the text and the same result. Rows with an equal key are joined to the
 * first of them; with `verify` each is held against those before it that were found different.
 * The verdicts of a band are made by all threads from what was known before the band, and
 * joined in order afterwards, so the result does not depend on threads. */
#include "corpus/near.h"

#include <stdatomic.h>
#include <string.h>

static void open_room(struct slm_near_room *r, slm_runtime *rt)
{
    slm_buf_init(&r->text, rt, SLM_MEM_DATA, SIZE_MAX / 4);
    slm_words_init(&r->words, rt);
}

static void close_room(struct slm_near_room *r, slm_runtime *rt)
{
    slm_buf_release(&r->text);
    slm_words_release(&r->words);
    slm_grams_release(&r->grams, rt);
}

int slm_near_open(struct slm_near *n, struct slm_shelf *s, const struct slm_near_opts *o,
                  slm_err *err)
{
    slm_runtime *rt = s->rt;
    size_t rows = s->n;
    *n = (struct slm_near){.shelf = s, .o = *o, .passes = 1};
    if (o->bands) {
        uint64_t fit = rows ? o->memory / (8 * (uint64_t)rows) : (uint64_t)o->bands;
        n->at_once = fit < 1 ? 1 : fit > (uint64_t)o->bands ? o->bands : (int)fit;
        n->passes = (o->bands + n->at_once - 1) / n->at_once;
        n->hi = n->at_once;
        n->hash = slm_alloc(rt, SLM_MEM_DATA, sizeof *n->hash);
        if (n->hash)
            slm_minhash_init(n->hash, o->bands, o->rows, o->seed);
        n->key = slm_alloc_n(rt, SLM_MEM_DATA, rows * (size_t)n->at_once, sizeof *n->key);
    }
    n->threads = slm_pool_threads(rt->pool);
    n->off = slm_zalloc(rt, SLM_MEM_DATA, rows);
    n->room = slm_zalloc_n(rt, SLM_MEM_DATA, (size_t)n->threads, sizeof *n->room);
    int rc = slm_sets_init(&n->sets, rt, rows, err);
    if (!rc && (!n->off || !n->room || (o->bands && (!n->key || !n->hash))))
        rc = slm_fail_mem(err, "keys of rows", rows * ((size_t)n->at_once * 8 + 1));
    for (int i = 0; i < n->threads && n->room; i++)
        open_room(&n->room[i], rt);
    if (rc)
        slm_near_close(n);
    return rc;
}

void slm_near_close(struct slm_near *n)
{
    if (!n->shelf)
        return;
    slm_runtime *rt = n->shelf->rt;
    for (int i = 0; i < n->threads && n->room; i++)
        close_room(&n->room[i], rt);
    slm_free(rt, n->room);
    slm_free(rt, n->off);
    slm_free(rt, n->key);
    slm_free(rt, n->hash);
    slm_sets_release(&n->sets, rt);
    *n = (struct slm_near){0};
}

static int read_text(struct slm_near *n, struct slm_near_room *r, const struct slm_row *row,
                     int *found, slm_err *err)
{
    const struct slm_corpus_in *in = n->shelf->in;
    slm_buf_reset(&r->text);
    *found = slm_fields_text(&r->text, row->json, in->by, in->n_by);
    return slm_buf_check(&r->text, "the text of a row", err);
}

static int read_grams(struct slm_near *n, struct slm_near_room *r, slm_err *err)
{
    int rc = slm_words_read(&r->words, r->text.s, r->text.n, err);
    return rc ? rc : slm_grams_read(&r->grams, &r->words, n->o.words, err);
}

int slm_near_text(struct slm_near *n, int ith, const struct slm_row *row, int *found,
                  slm_err *err)
{
    return read_text(n, &n->room[ith], row, found, err);
}

int slm_near_keys(struct slm_near *n, int ith, uint32_t number, slm_err *err)
{
    struct slm_near_room *r = &n->room[ith];
    if (!n->o.bands)
        return 0;
    int rc = read_grams(n, r, err);
    if (rc)
        return rc;
    n->off[number] |= r->grams.n == 0;
    if (n->off[number])
        return 0;
    slm_minhash_keys(n->hash, &r->grams, n->lo, n->hi, r->key);
    for (int b = 0; b < n->hi - n->lo; b++)
        n->key[(size_t)b * n->shelf->n + number] = r->key[b];
    return 0;
}

static int work(void *arg, int ith, uint32_t number, struct slm_row *row, slm_err *err)
{
    struct slm_near *n = arg;
    int found;
    if (n->off[number])
        return 0;
    int rc = slm_near_text(n, ith, row, &found, err);
    return rc ? rc : slm_near_keys(n, ith, number, err);
}

/* ---- joining a band ---- */

/* Buckets of a band: rows with an equal key as a chain in order. */
struct buckets {
    uint32_t *next, *last; /* (rows) next UINT32_MAX: the end; last: of the chain begun here */
    uint32_t *first;       /* (n) those of two rows or more */
    size_t n, cap;
};

static int chain(struct slm_near *n, const uint64_t *key, struct slm_keymap *map,
                 struct buckets *b, slm_err *err)
{
    slm_keymap_reset(map);
    b->n = 0;
    for (uint32_t i = 0; i < n->shelf->n; i++) {
        uint32_t was;
        if (n->off[i] || n->shelf->bad[i])
            continue;
        int rc = slm_keymap_put(map, key[i], i, &was, err);
        if (rc)
            return rc;
        if (!n->o.verify) {
            if (was != i)
                slm_sets_join(&n->sets, was, i);
            continue;
        }
        b->next[i] = UINT32_MAX;
        b->last[i] = i;
        if (was == i)
            continue;
        if (b->last[was] == was) {
            if (slm_grow(n->shelf->rt, SLM_MEM_DATA, (void **)&b->first, b->n, &b->cap,
                         sizeof *b->first))
                return slm_fail_mem(err, "buckets", b->n * sizeof *b->first);
            b->first[b->n++] = was;
        }
        b->next[b->last[was]] = i;
        b->last[was] = i;
    }
    return 0;
}

/* The root without changing anything on the way: for many threads at once. */
static uint32_t peek(const struct slm_sets *s, uint32_t i)
{
    while (s->up[i] != i)
        i = s->up[i];
    return i;
}

struct verdicts {
    struct slm_near *n;
    struct buckets *b;
    uint32_t
        *joined; /* (rows) the row that this one goes to, itself: none; = b->last, done with */
    _Atomic size_t next;
    _Atomic int64_t pairs, refused;
    _Atomic int code;
};

/* The rows of a bucket that are different from each other, with their runs. */
struct differing {
    struct slm_grams *set;
    uint32_t *row;
    size_t n, cap_set, cap_row;
};

static int gram_set(struct slm_near *n, struct slm_near_room *r, uint32_t number,
                    struct slm_grams *out)
{
    struct slm_row row;
    int found, rc = slm_shelf_get(n->shelf, number, &row, NULL);
    if (!rc)
        rc = read_text(n, r, &row, &found, NULL);
    slm_row_release(&row);
    if (!rc)
        rc = read_grams(n, r, NULL);
    if (rc)
        return rc;
    slm_grams_set(&r->grams);
    *out = r->grams;
    r->grams = (struct slm_grams){0};
    return 0;
}

/* Is the row like one of those before? Its runs, and theirs, are read when first needed. */
static int hold_against(struct verdicts *v, struct slm_near_room *r, struct differing *d,
                        uint32_t row, struct slm_grams *set)
{
    int rc = d->n ? gram_set(v->n, r, row, set) : 0;
    for (size_t k = 0; k < d->n && !rc; k++) {
        if (!d->set[k].hash)
            rc = gram_set(v->n, r, d->row[k], &d->set[k]);
        if (rc)
            break;
        atomic_fetch_add(&v->pairs, 1);
        if (slm_grams_jaccard(&d->set[k], set) >= v->n->o.threshold) {
            v->joined[row] = d->row[k];
            break;
        }
        atomic_fetch_add(&v->refused, 1);
    }
    return rc;
}

static int judge_row(struct verdicts *v, struct slm_near_room *r, struct differing *d,
                     uint32_t row)
{
    struct slm_near *n = v->n;
    slm_runtime *rt = n->shelf->rt;
    struct slm_grams set = {0};
    uint32_t root = peek(&n->sets, row);
    v->joined[row] = row;
    for (size_t k = 0; k < d->n; k++)
        if (peek(&n->sets, d->row[k]) == root)
            return 0;
    int rc = hold_against(v, r, d, row, &set);
    if (!rc && v->joined[row] == row &&
        !slm_grow(rt, SLM_MEM_DATA, (void **)&d->set, d->n, &d->cap_set, sizeof *d->set) &&
        !slm_grow(rt, SLM_MEM_DATA, (void **)&d->row, d->n, &d->cap_row, sizeof *d->row)) {
        d->row[d->n] = row;
        d->set[d->n++] = set;
        return 0;
    }
    slm_grams_release(&set, rt);
    return rc ? rc : v->joined[row] == row ? SLM_E_NOMEM : 0;
}

static void judge_buckets(int ith, int nth, void *arg)
{
    struct verdicts *v = arg;
    slm_runtime *rt = v->n->shelf->rt;
    (void)nth;
    for (size_t k; !v->code && (k = atomic_fetch_add(&v->next, 1)) < v->b->n;) {
        struct differing d = {0};
        int rc = 0;
        for (uint32_t i = v->b->first[k]; i != UINT32_MAX && !rc; i = v->b->next[i])
            rc = judge_row(v, &v->n->room[ith], &d, i);
        for (size_t i = 0; i < d.n; i++)
            slm_grams_release(&d.set[i], rt);
        slm_free(rt, d.set);
        slm_free(rt, d.row);
        if (rc)
            v->code = rc;
    }
}

static int verify_band(struct slm_near *n, struct buckets *b, slm_err *err)
{
    struct verdicts v = {.n = n, .b = b, .joined = b->last};
    slm_pool_run(n->shelf->rt->pool, judge_buckets, &v);
    if (v.code)
        return slm_fail(err, v.code, "comparing rows: %s", slm_status_words(v.code));
    for (size_t k = 0; k < b->n; k++)
        for (uint32_t i = b->first[k]; i != UINT32_MAX; i = b->next[i])
            slm_sets_join(&n->sets, v.joined[i], i);
    n->pairs += v.pairs;
    n->refused += v.refused;
    return 0;
}

static int join_pass(struct slm_near *n, slm_err *err)
{
    slm_runtime *rt = n->shelf->rt;
    struct slm_keymap map;
    struct buckets b = {0};
    int rc = 0;
    slm_keymap_init(&map, rt);
    if (n->o.verify) {
        b.next = slm_alloc_n(rt, SLM_MEM_DATA, n->shelf->n, sizeof *b.next);
        b.last = slm_alloc_n(rt, SLM_MEM_DATA, n->shelf->n, sizeof *b.last);
        if (!b.next || !b.last)
            rc = slm_fail_mem(err, "buckets", n->shelf->n * 2 * sizeof *b.next);
    }
    for (int k = 0; k < n->hi - n->lo && !rc; k++) {
        rc = chain(n, n->key + (size_t)k * n->shelf->n, &map, &b, err);
        if (!rc && n->o.verify)
            rc = verify_band(n, &b, err);
    }
    slm_keymap_release(&map);
    slm_free(rt, b.next);
    slm_free(rt, b.last);
    slm_free(rt, b.first);
    return rc;
}

int slm_near_finish(struct slm_near *n, slm_err *err)
{
    const struct slm_shelf_job job = {.work = work, .arg = n};
    int rc = 0;
    while (n->o.bands && !rc) {
        rc = join_pass(n, err);
        n->lo = n->hi;
        n->hi = n->lo + n->at_once < n->o.bands ? n->lo + n->at_once : n->o.bands;
        if (rc || n->lo == n->o.bands)
            break;
        rc = slm_shelf_each(n->shelf, &job, err);
    }
    return rc;
}

int slm_near_compare(struct slm_near *n, uint32_t a, uint32_t b, double *share, slm_err *err)
{
    slm_runtime *rt = n->shelf->rt;
    struct slm_grams x = {0}, y = {0};
    int rc = gram_set(n, &n->room[0], a, &x);
    if (!rc)
        rc = gram_set(n, &n->room[0], b, &y);
    *share = slm_grams_jaccard(&x, &y);
    slm_grams_release(&x, rt);
    slm_grams_release(&y, rt);
    return rc ? slm_fail(err, rc, "comparing rows: %s", slm_status_words(rc)) : 0;
}
