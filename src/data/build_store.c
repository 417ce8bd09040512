/* Building a store: rows are found by one thread, worked on by all, and summed up in their
 * order by one again, round by round, so that the result does not depend on the number of
 * threads and memory not on the size of the data. */
#include <stdio.h>
#include <string.h>

#include "data/build_in.h"
#include "text/tok.h"

enum { SLOTS = 256, ROUND_BYTES = 8 << 20, LABELS_MOST = 512 };

static const char *const long_names[SLM_LONG_COUNT] = {"auto", "drop", "truncate", "split",
                                                       "error"};

const char *slm_too_long_name(int what)
{
    return what >= 0 && what < SLM_LONG_COUNT ? long_names[what] : NULL;
}

int slm_too_long_find(const char *name)
{
    for (int i = 0; i < SLM_LONG_COUNT; i++)
        if (!strcmp(long_names[i], name))
            return i;
    return -1;
}

void slm_data_opts_init(slm_data_opts *o)
{
    *o = (slm_data_opts){.max_bad = 0.01, .now = INT64_MIN, .sample = -1};
}

void slm_data_report_release(slm_data_report *r)
{
    if (r->rt) {
        slm_free(r->rt, r->sample);
        slm_free(r->rt, r->sample_learnt);
    }
    memset(r, 0, sizeof *r);
}

/* ---- options ---- */

static int set_map(struct build *b, slm_err *err)
{
    if (b->o->n_map > 32)
        return slm_fail(err, SLM_E_LIMIT, "%d fields are mapped, at most 32", b->o->n_map);
    for (int i = 0; i < b->o->n_map; i++) {
        const char *s = b->o->map[i], *eq = strchr(s, '=');
        if (!eq || eq == s || !eq[1])
            return slm_fail(err, SLM_E_ARG, "map %s: want FIELD=NAME, as prompt=question", s);
        size_t n = strlen(s) + 1;
        char *t = b->map_text[i] = slm_alloc(b->rt, SLM_MEM_DATA, n);
        if (!t)
            return slm_fail_mem(err, "map", n);
        memcpy(t, s, n);
        t[eq - s] = 0;
        b->map[i] = (struct slm_field_map){t, t + (eq - s) + 1};
        b->ex.n_map = i + 1;
    }
    b->ex.map = b->map;
    return 0;
}

int slm_build_open(struct build *b, slm_err *err)
{
    const slm_data_opts *o = b->o;
    if (o->seq < 0 || o->seq == 1 || !(o->max_bad >= 0) || o->format >= SLM_DATA_FORMAT_COUNT ||
        o->train_on >= SLM_TRAIN_COUNT || o->too_long >= SLM_LONG_COUNT)
        return slm_fail(err, SLM_E_ARG, "data: an option is out of its range");
    b->ex.format = o->format;
    b->ex.loose = o->any_order;
    b->labels.most = LABELS_MOST;
    b->scripts.most = b->unused.most = 64;
    b->renderer = (struct renderer){.rt = b->rt,
                                    .tok = o->tokenizer,
                                    .tmpl = o->tmpl,
                                    .train_on = o->train_on,
                                    .add_eos = !o->no_eos,
                                    .now = o->now == INT64_MIN ? slm_clock_local() : o->now};
    int rc = set_map(b, err), threads = slm_pool_threads(b->rt->pool);
    if (rc)
        return rc;
    b->slot = slm_zalloc_n(b->rt, SLM_MEM_DATA, SLOTS, sizeof *b->slot);
    b->scratch = slm_zalloc_n(b->rt, SLM_MEM_DATA, (size_t)threads, sizeof *b->scratch);
    if (!b->slot || !b->scratch)
        return slm_fail_mem(err, "rows", SLOTS * sizeof *b->slot);
    for (int i = 0; i < threads; i++)
        slm_rendering_init(&b->scratch[i], b->rt);
    struct slm_rows_opts ro = {.form = o->form, .separator = o->separator};
    return slm_rows_open(&b->rows, b->rt, o->paths, o->n_paths, &ro, err);
}

void slm_build_close(struct build *b)
{
    for (int i = 0; b->slot && i < SLOTS; i++) {
        slm_row_release(&b->slot[i].row);
        slm_encoding_release(&b->slot[i].enc[0]);
        slm_encoding_release(&b->slot[i].enc[1]);
    }
    for (int i = 0; b->scratch && i < slm_pool_threads(b->rt->pool); i++)
        slm_rendering_release(&b->scratch[i]);
    slm_free(b->rt, b->slot);
    slm_free(b->rt, b->scratch);
    for (int i = 0; i < 32; i++)
        slm_free(b->rt, b->map_text[i]);
    slm_rows_close(&b->rows);
    slm_tokens_out_close(&b->out);
    slm_seen_release(&b->seen, b->rt);
    slm_tally_release(&b->scripts, b->rt);
    slm_tally_release(&b->labels, b->rt);
    slm_tally_release(&b->unused, b->rt);
}

/* ---- the fingerprint ---- */

static int hash_tokenizer(const slm_tokenizer *t, struct slm_hash *h, slm_err *err)
{
    static const char probe[] = "The 3 quick brown foxes' fur:\n\n\tdidn't \xe2\x80\x94 "
                                "na\xc3\xafve  \xe4\xb8\xad\xe6\x96\x87 12345 x=f(y); ";
    slm_ids ids = {0};
    slm_hash_u64(h, (uint64_t)t->n);
    for (int i = 0; i < t->n; i++) {
        slm_hash_u64(h, t->raw[i].n << 4 | t->type[i]);
        slm_hash_put(h, t->raw[i].s ? t->raw[i].s : "", t->raw[i].n);
    }
    for (size_t i = 0; i < t->n_merges; i++)
        slm_hash_put(h, t->merges[i].s, t->merges[i].n);
    int rc = slm_tokenizer_encode(t, probe, sizeof probe - 1, SLM_ENCODE_AFFIXES, &ids, err);
    slm_hash_put(h, ids.data, ids.len * sizeof *ids.data);
    slm_hash_u64(h, (uint64_t)(int64_t)slm_tokenizer_eos(t));
    slm_ids_release(&ids);
    return rc;
}

static int fingerprint(struct build *b, slm_err *err)
{
    const slm_data_opts *o = b->o;
    const uint64_t numbers[] = {1 /* of this code's results */,
                                o->form,
                                o->format,
                                o->train_on,
                                o->too_long,
                                (uint64_t)o->seq,
                                (uint64_t)o->no_eos,
                                (uint64_t)o->any_order};
    struct slm_hash h;
    slm_hash_init(&h, 0x736c6d);
    slm_hash_put(&h, "data", 4);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        slm_hash_u64(&h, numbers[i]);
    slm_hash_puts(&h, o->separator);
    for (int i = 0; i < o->n_map; i++)
        slm_hash_puts(&h, o->map[i]);
    slm_hash_puts(&h, o->tmpl ? o->template_source : NULL);
    if (o->tmpl && o->template_source && strstr(o->template_source, "strftime_now"))
        slm_hash_u64(&h, (uint64_t)(b->renderer.now / 86400)); /* it tells the day */
    int rc = hash_tokenizer(o->tokenizer, &h, err);
    rc = rc ? rc : slm_rows_hash(b->rows, &h, err);
    slm_hash_end(&h);
    slm_hash_text(&h, b->rep->hash);
    return rc;
}

static int64_t number(const slm_json *note, const char *key)
{
    return slm_json_int(slm_json_find(note, key), 0);
}

/* A store of the same fingerprint at path: what its note says. */
static bool reuse(struct build *b, const char *path)
{
    slm_data_report *r = b->rep;
    slm_tokens *t;
    slm_tokens_info i;
    slm_json *note;
    if (!path || !slm_path_is_file(path) || slm_tokens_open(&t, b->rt, path, NULL))
        return false;
    slm_tokens_info_get(t, &i);
    bool same =
        !strcmp(i.hash, r->hash) && !slm_json_parse(&note, i.note, strlen(i.note), path, NULL);
    if (same) {
        const slm_json *lost = slm_json_find(note, "lost");
        r->rows = number(note, "rows");
        r->kept = number(note, "kept");
        r->truncated = number(note, "truncated");
        r->split = number(note, "split");
        r->tokens_cut = number(note, "tokens_cut");
        for (int k = 1; k < SLM_LOSS_COUNT; k++)
            r->lost[k] = number(slm_json_find(lost, slm_data_loss_name(k)), "rows");
        r->docs = i.docs;
        r->tokens = i.ids;
        r->targets = i.targets;
        r->longest = i.longest;
        r->kind = i.kind;
        r->reused = 1;
        slm_json_free(note);
    }
    slm_tokens_close(&t);
    return same;
}

/* ---- the rounds ---- */

static void work(int ith, int nth, void *arg)
{
    struct build *b = arg;
    (void)nth;
    for (int i; (i = atomic_fetch_add(&b->next, 1)) < b->n_slots;)
        slm_build_row(b, &b->slot[i], &b->scratch[ith]);
}

static int64_t bad_rows(const slm_data_report *r)
{
    int64_t n = 0;
    for (int i = 1; i < SLM_LOSS_COUNT; i++)
        n += i == SLM_LOSS_LONG ? 0 : r->lost[i];
    return n;
}

static int none_left(const slm_data_report *r, slm_err *err)
{
    int most = 1;
    for (int i = 1; i < SLM_LOSS_COUNT; i++)
        most = r->lost[i] > r->lost[most] ? i : most;
    return slm_fail(err, SLM_E_FORMAT, "no row is left of %lld; the most: %s (%lld), first %s",
                    (long long)r->rows, slm_data_loss_words(most), (long long)r->lost[most],
                    r->place[most][0]);
}

static int too_bad(const slm_data_report *r, slm_err *err)
{
    int most = 1;
    for (int i = 1; i < SLM_LOSS_COUNT; i++)
        if (i != SLM_LOSS_LONG && r->lost[i] > r->lost[most])
            most = i;
    int64_t bad = bad_rows(r);
    return slm_fail(err, SLM_E_FORMAT,
                    "%lld of %lld rows (%.2f %%) are no good, more than --max-bad allows; the "
                    "most: %s (%lld), first %s",
                    (long long)bad, (long long)r->rows, 100.0 * (double)bad / (double)r->rows,
                    slm_data_loss_words(most), (long long)r->lost[most], r->place[most][0]);
}

/* One round: rows until the slots or the bytes are full. 1 more to come, 0 the end. */
static int run_round(struct build *b, slm_err *err)
{
    size_t bytes = 0;
    int rc = 1;
    b->n_slots = 0;
    while (b->n_slots < SLOTS && bytes < ROUND_BYTES) {
        struct slot *s = &b->slot[b->n_slots];
        rc = slm_rows_next(b->rows, &s->row, err);
        if (rc <= 0)
            break;
        bytes += s->row.n_raw;
        b->n_slots++;
    }
    if (rc < 0)
        return rc;
    atomic_store(&b->next, 0);
    slm_pool_run(b->rt->pool, work, b);
    for (int i = 0; i < b->n_slots; i++) {
        int code = slm_build_sum(b, &b->slot[i], err);
        if (code)
            return code;
    }
    return rc;
}

int slm_build_check(const struct build *b, slm_err *err)
{
    const slm_data_report *r = b->rep;
    if (r->kept && (double)bad_rows(r) > b->o->max_bad * (double)r->rows)
        return too_bad(r, err);
    if (!r->rows)
        return slm_fail(err, SLM_E_FORMAT, "%s%s: no rows", slm_rows_file(b->rows, 0),
                        slm_rows_files(b->rows) > 1 ? " and the others" : "");
    return r->kept ? 0 : none_left(r, err);
}

static int run(struct build *b, slm_data_progress_fn *progress, void *arg, slm_err *err)
{
    const slm_data_opts *o = b->o;
    uint64_t total = slm_rows_bytes(b->rows);
    int rc;
    while ((rc = run_round(b, err)) > 0) {
        uint64_t at = slm_rows_at(b->rows);
        /* what is no good already is too much, even if the rest were good */
        double rows = (double)b->rep->rows * (double)total / (double)(at ? at : 1);
        if ((double)bad_rows(b->rep) > 20 + 2 * o->max_bad * rows)
            return too_bad(b->rep, err);
        if (progress && progress(arg, at, total))
            return slm_fail(err, SLM_E_CANCELLED, "cancelled");
    }
    rc = rc ? rc : slm_build_check(b, err);
    return rc ? rc : slm_build_end(b, err);
}

static int finish(struct build *b, slm_err *err)
{
    slm_text note = {0};
    b->out.head.kind = b->rep->kind;
    int rc = slm_data_report_json(b->rep, b->rt, &note, err);
    rc = rc ? rc : slm_tokens_out_commit(&b->out, b->rep->hash, note.data, err);
    slm_text_release(&note);
    return rc;
}

int slm_data_build(slm_data_report *report, slm_runtime *rt, const slm_data_opts *o,
                   const char *path, slm_data_progress_fn *progress, void *arg, slm_err *err)
{
    struct build *b = slm_zalloc(rt, SLM_MEM_DATA, sizeof *b);
    double start = slm_clock_seconds();
    if (!b)
        return slm_fail_mem(err, "data", sizeof *b);
    b->rt = rt;
    b->o = o;
    b->rep = report;
    int rc = path && !o->tokenizer
                 ? slm_fail(err, SLM_E_ARG, "a store of tokens needs a tokenizer")
                 : slm_build_open(b, err);
    if (!rc) {
        report->files = slm_rows_files(b->rows);
        report->bytes = (int64_t)slm_rows_bytes(b->rows);
        rc = path ? fingerprint(b, err) : 0;
    }
    if (!rc && !reuse(b, path)) {
        rc = slm_tokens_out_open(&b->out, rt, path, SLM_TOKENS_TEXT,
                                 o->tokenizer ? slm_tokenizer_size(o->tokenizer) : 1, err);
        rc = rc ? rc : run(b, progress, arg, err);
        if (!rc && path)
            rc = finish(b, err);
    }
    report->seconds = slm_clock_seconds() - start;
    slm_build_close(b);
    slm_free(rt, b);
    return rc;
}
