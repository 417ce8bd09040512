/* Rows dealt out to parts. Rows of a group and near-duplicates make one unit by union-find;
 * units of many rows are dealt first, largest first, each to the part that lacks its labels
 * most; single rows then fill what is missing, so that without groups all numbers are exact. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "corpus/deal.h"
#include "corpus/near.h"

struct split {
    slm_runtime *rt;
    const slm_split_opts *o;
    slm_split_report *r;
    struct slm_shelf shelf;
    struct slm_near near;
    struct slm_buf *field;           /* (threads) */
    uint64_t *label_key, *group_key; /* (rows) of the fields' texts; 0: not there */
    uint32_t *label;                 /* (rows) UINT32_MAX: unreadable */
    uint32_t *label_row;             /* (labels) a row that has it */
    size_t n_labels, cap_labels;
    struct slm_keymap labels, groups;
    uint8_t *part; /* (rows) */
    struct slm_sink out[SLM_SPLIT_MOST];
};

void slm_split_opts_init(slm_split_opts *o)
{
    *o = (slm_split_opts){
        .part = {{"train", NULL, 0.9}, {"valid", NULL, 0.05}, {"test", NULL, 0.05}},
        .n_parts = 3,
        .words = 5,
        .threshold = 0.72,
        .memory = (uint64_t)2 << 30};
}

static int check(const slm_split_opts *o, slm_err *err)
{
    double sum = 0;
    bool counts = false;
    if (o->n_parts < 2 || o->n_parts > SLM_SPLIT_MOST)
        return slm_fail(err, SLM_E_ARG, "%d parts; 2 to %d are possible", o->n_parts,
                        SLM_SPLIT_MOST);
    for (int i = 0; i < o->n_parts; i++) {
        const slm_split_part *p = &o->part[i];
        if (!(p->share > 0) || (p->share > 1 && p->share != floor(p->share)))
            return slm_fail(err, SLM_E_ARG,
                            "%s: %g is neither a share above 0 nor a number of rows", p->name,
                            p->share);
        for (int k = 0; k < i; k++)
            if (p->out && o->part[k].out && !strcmp(p->out, o->part[k].out))
                return slm_fail(err, SLM_E_ARG, "%s: named for two parts", p->out);
        counts |= p->share > 1;
        sum += p->share > 1 ? 0 : p->share;
    }
    if (!counts && fabs(sum - 1) > 1e-6)
        return slm_fail(err, SLM_E_ARG, "the shares make %g in all, not 1", sum);
    if (!(o->threshold > 0 && o->threshold <= 1) || o->words < 1)
        return slm_fail(err, SLM_E_ARG, "threshold %g, runs of %d words: not possible",
                        o->threshold, o->words);
    return 0;
}

/* The hash of a field's text, never 0; 0 where the row has none. */
static int field_key(struct split *s, int ith, const struct slm_row *row, const char *path,
                     uint64_t *key, slm_err *err)
{
    struct slm_buf *b = &s->field[ith];
    slm_buf_reset(b);
    *key = 0;
    if (!strcmp(path, "@file"))
        *key = (uint64_t)row->file_no + 1;
    else if (slm_field_text(b, row->json, path))
        *key = slm_hash64(b->s, b->n, 0) | 1;
    return slm_buf_check(b, path, err);
}

static int work(void *arg, int ith, uint32_t number, struct slm_row *row, slm_err *err)
{
    struct split *s = arg;
    int found, rc = 0;
    if (s->o->stratify)
        rc = field_key(s, ith, row, s->o->stratify, &s->label_key[number], err);
    if (!rc && s->o->group)
        rc = field_key(s, ith, row, s->o->group, &s->group_key[number], err);
    if (rc || s->o->leaks)
        return rc;
    rc = slm_near_text(&s->near, ith, row, &found, err);
    return rc ? rc : slm_near_keys(&s->near, ith, number, err);
}

static int put(void *arg, uint32_t lo, uint32_t hi, slm_err *err)
{
    struct split *s = arg;
    for (uint32_t i = lo; i < hi; i++) {
        uint32_t was = 0;
        int rc = 0;
        s->label[i] = UINT32_MAX;
        s->near.off[i] |= s->shelf.bad[i] != 0;
        if (s->shelf.bad[i])
            continue;
        s->r->no_field +=
            (s->o->stratify && !s->label_key[i]) || (s->o->group && !s->group_key[i]);
        rc = slm_keymap_put(&s->labels, s->o->stratify ? s->label_key[i] : 0,
                            (uint32_t)s->n_labels, &s->label[i], err);
        if (!rc && s->label[i] == s->n_labels) {
            if (slm_grow(s->rt, SLM_MEM_DATA, (void **)&s->label_row, s->n_labels,
                         &s->cap_labels, sizeof *s->label_row))
                return slm_fail_mem(err, "labels", s->n_labels * sizeof *s->label_row);
            s->label_row[s->n_labels++] = i;
        }
        if (!rc && s->o->group && s->group_key[i])
            rc = slm_keymap_put(&s->groups, s->group_key[i], i, &was, err);
        if (!rc && s->o->group && s->group_key[i])
            slm_sets_join(&s->near.sets, was, i);
        if (rc)
            return rc;
    }
    return 0;
}

static int open_all(struct split *s, const slm_corpus_in *in, slm_err *err)
{
    const slm_split_opts *o = s->o;
    struct slm_near_opts n = {.words = o->words, .seed = o->seed, .memory = o->memory};
    if (!o->leaks)
        slm_minhash_choose(o->threshold, 112, &n.bands, &n.rows);
    int rc = slm_shelf_open(&s->shelf, s->rt, in, in->paths, in->n_paths, err);
    for (int i = 0; i < o->n_parts && !rc; i++)
        if (o->part[i].out)
            rc = slm_sink_open(&s->out[i], &s->shelf, o->part[i].out, err);
    if (!rc)
        rc = slm_near_open(&s->near, &s->shelf, &n, err);
    if (rc)
        return rc;
    size_t rows = s->shelf.n, threads = (size_t)s->near.threads;
    s->shelf.passes = s->near.passes;
    slm_keymap_init(&s->labels, s->rt);
    slm_keymap_init(&s->groups, s->rt);
    s->label = slm_alloc_n(s->rt, SLM_MEM_DATA, rows, sizeof *s->label);
    s->part = slm_zalloc(s->rt, SLM_MEM_DATA, rows);
    s->label_key = slm_zalloc_n(s->rt, SLM_MEM_DATA, o->stratify ? rows : 1, 8);
    s->group_key = slm_zalloc_n(s->rt, SLM_MEM_DATA, o->group ? rows : 1, 8);
    s->field = slm_zalloc_n(s->rt, SLM_MEM_DATA, threads, sizeof *s->field);
    for (size_t i = 0; i < threads && s->field; i++)
        slm_buf_init(&s->field[i], s->rt, SLM_MEM_DATA, SIZE_MAX / 4);
    return s->label && s->part && s->label_key && s->group_key && s->field
               ? 0
               : slm_fail_mem(err, "marks of rows", rows * 21);
}

static void close_all(struct split *s)
{
    for (int i = 0; i < s->near.threads && s->field; i++)
        slm_buf_release(&s->field[i]);
    slm_free(s->rt, s->field);
    slm_free(s->rt, s->label);
    slm_free(s->rt, s->label_row);
    slm_free(s->rt, s->label_key);
    slm_free(s->rt, s->group_key);
    slm_free(s->rt, s->part);
    if (s->labels.rt) {
        slm_keymap_release(&s->labels);
        slm_keymap_release(&s->groups);
    }
    for (int i = 0; i < s->o->n_parts; i++)
        slm_sink_close(&s->out[i]);
    slm_near_close(&s->near);
    slm_shelf_close(&s->shelf);
}

/* Rows of each set by its root, of the readable ones. */
static void sizes(struct split *s, uint32_t *size)
{
    memset(size, 0, s->shelf.n * sizeof *size);
    for (uint32_t i = 0; i < s->shelf.n; i++)
        if (!s->shelf.bad[i])
            size[slm_sets_root(&s->near.sets, i)]++;
}

/* What was joined because it is alike, beyond the groups: `before` has the roots before. */
static void count_near(struct split *s, const uint32_t *before, uint32_t *mixed)
{
    slm_split_report *r = s->r;
    memset(mixed, 0, s->shelf.n * sizeof *mixed);
    for (uint32_t i = 0; i < s->shelf.n; i++)
        if (!s->shelf.bad[i])
            mixed[slm_sets_root(&s->near.sets, i)] |=
                before[i] != slm_sets_root(&s->near.sets, i);
    for (uint32_t i = 0; i < s->shelf.n; i++) {
        r->near += mixed[i];
        r->near_rows += !s->shelf.bad[i] && mixed[slm_sets_root(&s->near.sets, i)];
    }
}

static int join_all(struct split *s, uint32_t *size, slm_err *err)
{
    slm_split_report *r = s->r;
    uint32_t *before = slm_alloc_n(s->rt, SLM_MEM_DATA, s->shelf.n, sizeof *before);
    if (!before)
        return slm_fail_mem(err, "sets of rows", s->shelf.n * sizeof *before);
    sizes(s, size);
    for (uint32_t i = 0; i < s->shelf.n; i++) {
        before[i] = slm_sets_root(&s->near.sets, i);
        r->groups += size[i] > 1;
    }
    int rc = slm_near_finish(&s->near, err);
    if (!rc) {
        count_near(s, before, size);
        sizes(s, size);
    }
    for (uint32_t i = 0; i < s->shelf.n; i++) {
        r->units += size[i] > 0;
        r->largest = size[i] > r->largest ? size[i] : r->largest;
    }
    slm_free(s->rt, before);
    return rc;
}

/* How many rows each part is to have: numbers first, then shares of what is left. */
static int want_rows(struct split *s, int64_t rows, slm_err *err)
{
    const slm_split_opts *o = s->o;
    int64_t *want = s->r->want, left = rows;
    double share[SLM_SPLIT_MOST], sum = 0;
    for (int i = 0; i < o->n_parts; i++) {
        share[i] = o->part[i].share > 1 ? 0 : o->part[i].share;
        sum += share[i];
        want[i] = o->part[i].share > 1 ? (int64_t)o->part[i].share : 0;
        left -= want[i];
    }
    if (left < 0)
        return slm_fail(err, SLM_E_ARG, "more rows are asked for than the %lld there are",
                        (long long)rows);
    if (sum <= 0 && left)
        return slm_fail(err, SLM_E_ARG, "%lld rows would be in no part", (long long)left);
    int64_t got[SLM_SPLIT_MOST];
    for (int i = 0; i < o->n_parts; i++)
        share[i] = sum > 0 ? share[i] / sum : 0;
    slm_deal_shares(got, share, o->n_parts, left);
    for (int i = 0; i < o->n_parts; i++) {
        want[i] += got[i];
        if (!want[i])
            return slm_fail(err, SLM_E_ARG, "%s would get none of the %lld rows",
                            o->part[i].name, (long long)rows);
    }
    return 0;
}

static int report_labels(struct split *s, slm_err *err)
{
    slm_split_report *r = s->r;
    struct slm_arena *a = &r->own->arena;
    slm_split_label *list = slm_arena_alloc_n(a, s->n_labels, sizeof *list);
    if (!list)
        return slm_fail_mem(err, "a report", s->n_labels * sizeof *list);
    r->label = list;
    r->n_labels = s->o->stratify ? (int)s->n_labels : 0;
    for (int k = 0; k < r->n_labels; k++) {
        struct slm_row row;
        struct slm_buf *b = &s->field[0];
        int rc = slm_shelf_get(&s->shelf, s->label_row[k], &row, err);
        slm_buf_reset(b);
        if (!rc && !slm_field_text(b, row.json, s->o->stratify))
            slm_buf_puts(b, "(none)");
        slm_row_release(&row);
        list[k].name = slm_own_excerpt(r->own, b->s ? b->s : "", b->n, 80);
        if (rc || !list[k].name)
            return rc ? rc : slm_fail_mem(err, "a report", 1);
    }
    for (uint32_t i = 0; i < s->shelf.n && r->n_labels; i++)
        if (!s->shelf.bad[i])
            list[s->label[i]].rows[s->part[i]]++;
    return 0;
}

static int deal(struct split *s, uint32_t *size, slm_err *err)
{
    struct slm_deal d = {.rt = s->rt,
                         .n = s->shelf.n,
                         .size = size,
                         .label = s->label,
                         .n_labels = s->n_labels,
                         .sets = &s->near.sets,
                         .part = s->part,
                         .n_parts = s->o->n_parts,
                         .want = s->r->want,
                         .seed = s->o->seed};
    return slm_deal_run(&d, err);
}

static int write_parts(struct split *s, slm_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < s->shelf.n && !rc; i++) {
        if (s->shelf.bad[i])
            continue;
        s->r->rows[s->part[i]]++;
        if (s->out[s->part[i]].open)
            rc = slm_sink_row(&s->out[s->part[i]], &s->shelf, i, err);
    }
    for (int k = 0; k < s->o->n_parts && !rc; k++)
        rc = slm_sink_commit(&s->out[k], err);
    return rc;
}

static int finish(struct split *s, slm_err *err)
{
    int rc = slm_shelf_seen(&s->shelf, s->r->own, &s->r->seen, err);
    uint32_t *size = slm_zalloc_n(s->rt, SLM_MEM_DATA, s->shelf.n, sizeof *size);
    if (!rc && !size)
        rc = slm_fail_mem(err, "units", s->shelf.n * sizeof *size);
    if (!rc)
        rc = want_rows(s, s->r->seen.rows - s->r->seen.bad, err);
    if (!rc)
        rc = join_all(s, size, err);
    if (!rc)
        rc = deal(s, size, err);
    slm_free(s->rt, size);
    if (!rc)
        rc = report_labels(s, err);
    return rc ? rc : write_parts(s, err);
}

int slm_corpus_split(slm_split_report *r, slm_runtime *rt, const slm_corpus_in *in,
                     const slm_split_opts *o, slm_err *err)
{
    struct split s = {.rt = rt, .o = o, .r = r};
    const struct slm_shelf_job job = {work, put, &s};
    *r = (slm_split_report){0};
    int rc = check(o, err);
    if (!rc)
        rc = slm_own_new(&r->own, rt, err);
    if (!rc)
        rc = open_all(&s, in, err);
    if (!rc)
        rc = slm_shelf_each(&s.shelf, &job, err);
    if (!rc)
        rc = finish(&s, err);
    close_all(&s);
    if (rc)
        slm_corpus_release(&r->own);
    return rc;
}
