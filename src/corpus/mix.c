/* Sources mixed. How much of each is settled first; then each row of the output is drawn from a
 * source with the chance that what is still owed of it has, which is a shuffle of all without
 * ever holding them. */
#include <math.h>
#include <string.h>

#include "corpus/deal.h"
#include "corpus/fields.h"
#include "corpus/shelf.h"
#include "text/text.h"

struct source {
    uint32_t lo, hi; /* its rows on the shelf */
    uint32_t *row;   /* (n) readable ones, in the order of this epoch */
    uint32_t n, at;
    int epoch;
    double have, left;
    bool capped;
};

struct mix {
    slm_runtime *rt;
    const slm_mix_opts *o;
    slm_mix_report *r;
    slm_mix_part *part;
    struct slm_shelf shelf;
    struct source source[SLM_MIX_MOST];
    uint32_t *units;      /* (rows) bytes or tokens; NULL: all are 1 */
    struct slm_buf *text; /* (threads) */
    slm_ids *ids;         /* (threads) */
    int threads;
    struct slm_sink out;
};

void slm_mix_opts_init(slm_mix_opts *o) { *o = (slm_mix_opts){.max_epochs = 4}; }

static int check(const slm_mix_opts *o, slm_err *err)
{
    if (o->n_sources < 1 || o->n_sources > SLM_MIX_MOST)
        return slm_fail(err, SLM_E_ARG, "%d sources; 1 to %d are possible", o->n_sources,
                        SLM_MIX_MOST);
    for (int i = 0; i < o->n_sources; i++)
        if (o->source[i].weight == 0 || isnan(o->source[i].weight) ||
            isinf(o->source[i].weight))
            return slm_fail(err, SLM_E_ARG, "%s: a weight of %g", o->source[i].path,
                            o->source[i].weight);
    for (int i = 1; i < o->n_sources; i++)
        if ((o->source[i].weight < 0) != (o->source[0].weight < 0))
            return slm_fail(err, SLM_E_ARG, "%s: some sources have a weight and some have none",
                            o->source[i].path);
    if (!(o->max_epochs > 0) || !(o->total >= 0) || isinf(o->total))
        return slm_fail(err, SLM_E_ARG, "a total of %g, %g epochs: not possible", o->total,
                        o->max_epochs);
    if (o->unit == SLM_MIX_TOKENS && !o->tokenizer)
        return slm_fail(err, SLM_E_ARG, "to count tokens a model's tokenizer is needed");
    return 0;
}

static int count_units(void *arg, int ith, uint32_t number, struct slm_row *row, slm_err *err)
{
    struct mix *m = arg;
    if (m->o->unit == SLM_MIX_BYTES)
        m->units[number] = (uint32_t)row->n_raw;
    if (m->o->unit != SLM_MIX_TOKENS)
        return 0;
    struct slm_buf *b = &m->text[ith];
    slm_buf_reset(b);
    slm_fields_text(b, row->json, m->shelf.in->by, m->shelf.in->n_by);
    int rc = slm_buf_check(b, "the text of a row", err);
    m->ids[ith].len = 0;
    if (!rc)
        rc =
            slm_tokenizer_encode(m->o->tokenizer, b->s ? b->s : "", b->n, 0, &m->ids[ith], err);
    m->units[number] = (uint32_t)m->ids[ith].len;
    return rc;
}

/* One shelf for all, so that forms and headers are held against each other once. */
static int open_shelf(struct mix *m, const slm_corpus_in *in, slm_err *err)
{
    const slm_mix_opts *o = m->o;
    const char *path[SLM_MIX_MOST];
    int file[SLM_MIX_MOST + 1] = {0}, rc = 0;
    for (int i = 0; i < o->n_sources && !rc; i++) {
        slm_rows *r = NULL;
        path[i] = o->source[i].path;
        rc = slm_rows_open(&r, m->rt, &path[i], 1, NULL, err);
        file[i + 1] = file[i] + (rc ? 0 : slm_rows_files(r));
        slm_rows_close(&r);
    }
    if (!rc)
        rc = slm_shelf_open(&m->shelf, m->rt, in, path, o->n_sources, err);
    for (int i = 0; i < o->n_sources && !rc; i++) {
        m->source[i].lo = m->shelf.first[file[i]];
        m->source[i].hi = m->shelf.first[file[i + 1]];
        m->part[i].seen.files = file[i + 1] - file[i];
    }
    return rc;
}

static int open_all(struct mix *m, const slm_corpus_in *in, slm_err *err)
{
    const slm_mix_opts *o = m->o;
    int rc = open_shelf(m, in, err);
    if (!rc && o->out)
        rc = slm_sink_open(&m->out, &m->shelf, o->out, err);
    if (!rc && m->out.open && o->mark && m->out.form != SLM_DATA_FORM_JSONL)
        rc = slm_fail(err, SLM_E_ARG, "%s: rows with a mark are JSON lines: name it .jsonl",
                      o->out);
    if (rc)
        return rc;
    m->threads = slm_pool_threads(m->rt->pool);
    if (o->unit != SLM_MIX_ROWS)
        m->units = slm_zalloc_n(m->rt, SLM_MEM_DATA, m->shelf.n, sizeof *m->units);
    m->text = slm_zalloc_n(m->rt, SLM_MEM_DATA, (size_t)m->threads, sizeof *m->text);
    m->ids = slm_zalloc_n(m->rt, SLM_MEM_DATA, (size_t)m->threads, sizeof *m->ids);
    if (!m->text || !m->ids || (o->unit != SLM_MIX_ROWS && !m->units))
        return slm_fail_mem(err, "units of rows", m->shelf.n * sizeof *m->units);
    for (int i = 0; i < m->threads; i++)
        slm_buf_init(&m->text[i], m->rt, SLM_MEM_DATA, SIZE_MAX / 4);
    return 0;
}

static void close_all(struct mix *m)
{
    for (int i = 0; i < m->threads && m->text && m->ids; i++) {
        slm_buf_release(&m->text[i]);
        slm_ids_release(&m->ids[i]);
    }
    slm_free(m->rt, m->text);
    slm_free(m->rt, m->ids);
    slm_free(m->rt, m->units);
    for (int i = 0; i < SLM_MIX_MOST; i++)
        slm_free(m->rt, m->source[i].row);
    slm_sink_close(&m->out);
    slm_shelf_close(&m->shelf);
}

/* Readable rows of a source, and what it has. */
static int take_stock(struct mix *m, int i, slm_err *err)
{
    struct source *s = &m->source[i];
    slm_mix_part *p = &m->part[i];
    s->row = slm_alloc_n(m->rt, SLM_MEM_DATA, s->hi - s->lo, sizeof *s->row);
    if (!s->row)
        return slm_fail_mem(err, "rows of a source", (s->hi - s->lo) * sizeof *s->row);
    for (uint32_t k = s->lo; k < s->hi; k++) {
        p->seen.rows++;
        p->seen.bad += m->shelf.bad[k] != 0;
        p->seen.bytes += m->shelf.place[k].n;
        if (m->shelf.bad[k])
            continue;
        s->row[s->n++] = k;
        s->have += m->units ? m->units[k] : 1;
    }
    p->have = s->have;
    p->name = slm_arena_strdup(&m->r->own->arena, m->o->source[i].path);
    if (!p->name)
        return slm_fail_mem(err, "a report", 1);
    return s->have > 0 ? 0 : slm_fail(err, SLM_E_ARG, "%s: has no row to take from", p->name);
}

/* Weights as shares of 1; what has none counts by its size. */
static void weigh(struct mix *m)
{
    double sum = 0;
    for (int i = 0; i < m->o->n_sources; i++) {
        double w = m->o->source[i].weight;
        m->part[i].weight = w < 0 ? m->source[i].have : w;
        sum += m->part[i].weight;
    }
    for (int i = 0; i < m->o->n_sources; i++)
        m->part[i].weight /= sum;
}

/* What each is to give: shares of the total; what a source cannot give in max_epochs the others
 * share out among them. */
static void share_out(struct mix *m)
{
    int n = m->o->n_sources;
    double total = m->o->total;
    if (total <= 0) {
        double epochs = m->o->max_epochs < 1 ? m->o->max_epochs : 1;
        total = (double)INFINITY;
        for (int i = 0; i < n; i++)
            total = fmin(total, m->source[i].have * epochs / m->part[i].weight);
        total = floor(total + 1e-6);
    }
    for (bool again = true; again;) {
        double open = 0, left = total;
        again = false;
        for (int i = 0; i < n; i++) {
            left -= m->source[i].capped ? m->part[i].want : 0;
            open += m->source[i].capped ? 0 : m->part[i].weight;
        }
        for (int i = 0; i < n; i++) {
            struct source *s = &m->source[i];
            double most = floor(s->have * m->o->max_epochs + 1e-6);
            if (s->capped)
                continue;
            m->part[i].want = left * m->part[i].weight / open;
            if (m->part[i].want > most + 1e-6) {
                m->part[i].want = most;
                s->capped = again = true;
                break; /* the others' shares are anew from here */
            }
        }
    }
}

/* Rows are whole: the shares of those not capped by largest remainders. */
static void round_rows(struct mix *m)
{
    double share[SLM_MIX_MOST], sum = 0;
    int64_t got[SLM_MIX_MOST];
    int n = m->o->n_sources;
    for (int i = 0; i < n; i++)
        sum += m->part[i].want;
    for (int i = 0; i < n; i++)
        share[i] = m->part[i].want / sum;
    slm_deal_shares(got, share, n, (int64_t)floor(sum + 0.5));
    for (int i = 0; i < n; i++)
        m->part[i].want = (double)got[i];
}

static void shuffle(struct mix *m, int i)
{
    struct source *s = &m->source[i];
    struct slm_rng rng;
    uint32_t k = 0;
    for (uint32_t row = s->lo; row < s->hi; row++)
        if (!m->shelf.bad[row])
            s->row[k++] = row;
    slm_rng_init(&rng, m->o->seed * 1000003u + (uint64_t)i * 4099u + (uint64_t)s->epoch++);
    for (uint32_t a = s->n; a > 1; a--) {
        uint32_t b = (uint32_t)slm_rng_below(&rng, a), t = s->row[a - 1];
        s->row[a - 1] = s->row[b];
        s->row[b] = t;
    }
    s->at = 0;
}

static int put_row(struct mix *m, int i, uint32_t number, slm_err *err)
{
    struct slm_row row;
    if (!m->out.open)
        return 0;
    if (!m->o->mark)
        return slm_sink_row(&m->out, &m->shelf, number, err);
    int rc = slm_shelf_get(&m->shelf, number, &row, err);
    const char *name = m->part[i].name;
    if (!rc && !slm_json_set(row.json, m->o->mark, slm_json_new_str(name, strlen(name))))
        rc = slm_fail_mem(err, "a mark", 1);
    if (!rc)
        rc = slm_sink_json(&m->out, row.json, err);
    slm_row_release(&row);
    return rc;
}

/* The source that the next row comes from: by what is owed of each. */
static int draw(struct mix *m, struct slm_rng *rng, double owed)
{
    double x = slm_rng_unit(rng) * owed;
    int last = -1;
    for (int i = 0; i < m->o->n_sources; i++) {
        if (m->source[i].left <= 0)
            continue;
        last = i;
        if (x < m->source[i].left)
            return i;
        x -= m->source[i].left;
    }
    return last;
}

static int write_all(struct mix *m, slm_err *err)
{
    struct slm_rng rng;
    slm_rng_init(&rng, m->o->seed);
    for (int i = 0; i < m->o->n_sources; i++)
        m->source[i].left = m->part[i].want;
    for (;;) {
        double owed = 0;
        for (int i = 0; i < m->o->n_sources; i++)
            owed += m->source[i].left > 0 ? m->source[i].left : 0;
        int i = draw(m, &rng, owed);
        if (i < 0)
            return slm_sink_commit(&m->out, err);
        struct source *s = &m->source[i];
        if (s->at == s->n || !s->epoch)
            shuffle(m, i);
        uint32_t row = s->row[s->at++];
        double units = m->units ? m->units[row] : 1;
        if (s->left < units / 2) { /* nearer to what is wanted without it */
            s->left = 0;
            continue;
        }
        s->left -= units > 0 ? units : 1e-3; /* rows of nothing come to an end too */
        m->part[i].rows++;
        m->part[i].written += units;
        int rc = put_row(m, i, row, err);
        if (rc)
            return rc;
    }
}

static int finish(struct mix *m, slm_err *err)
{
    int rc = 0;
    for (int i = 0; i < m->o->n_sources && !rc; i++)
        rc = take_stock(m, i, err);
    if (rc)
        return rc;
    rc = slm_shelf_seen(&m->shelf, m->r->own, &m->r->seen, err);
    if (rc)
        return rc;
    weigh(m);
    share_out(m);
    if (m->o->unit == SLM_MIX_ROWS)
        round_rows(m);
    rc = write_all(m, err);
    for (int i = 0; i < m->o->n_sources; i++) {
        slm_mix_part *p = &m->part[i];
        p->epochs = p->written / p->have;
        p->capped = m->source[i].capped;
        m->r->rows += p->rows;
        m->r->total += p->written;
    }
    return rc;
}

int slm_corpus_mix(slm_mix_report *r, slm_runtime *rt, const slm_corpus_in *in,
                   const slm_mix_opts *o, slm_err *err)
{
    struct mix m = {.rt = rt, .o = o, .r = r};
    const struct slm_shelf_job job = {.work = count_units, .arg = &m};
    *r = (slm_mix_report){0};
    int rc = check(o, err);
    if (!rc)
        rc = slm_own_new(&r->own, rt, err);
    if (!rc) {
        m.part = slm_arena_alloc_n(&r->own->arena, (size_t)o->n_sources, sizeof *m.part);
        rc = m.part ? open_all(&m, in, err) : slm_fail_mem(err, "a report", 1);
    }
    if (!rc)
        rc = slm_shelf_each(&m.shelf, &job, err);
    if (!rc)
        rc = finish(&m, err);
    r->part = m.part;
    r->n_parts = o->n_sources;
    close_all(&m);
    if (rc)
        slm_corpus_release(&r->own);
    return rc;
}
