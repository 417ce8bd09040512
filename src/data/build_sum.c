/* What became of the rows, in their order: counted, and what is kept written to the store. */
#include <stdio.h>
#include <string.h>

#include "data/build_in.h"
#include "data/pack.h"
#include "text/tok.h"

static void place(char out[256], const struct slm_row *row, const char *why)
{
    snprintf(out, 256, "%s:%lld%s%s", row->file, (long long)row->line, *why ? ": " : "", why);
}

int slm_build_lost(struct build *b, const struct slm_row *row, enum slm_data_loss loss,
                   const char *why)
{
    slm_data_report *r = b->rep;
    if (r->lost[loss] < SLM_DATA_PLACES)
        place(r->place[loss][r->lost[loss]], row, why);
    r->lost[loss]++;
    return 0;
}

/* ---- the row to be shown ---- */

static int keep_sample(struct build *b, const struct slot *s, slm_err *err)
{
    slm_data_report *r = b->rep;
    const slm_tokenizer *t = b->o->tokenizer;
    const struct encoding *x = &s->enc[0];
    size_t n = 0, k = 0;
    for (size_t i = 0; i < x->ids.len; i++)
        n += t->raw[x->ids.data[i]].n;
    r->rt = b->rt;
    r->sample = slm_alloc(b->rt, SLM_MEM_DATA, n + 1);
    r->sample_learnt = slm_alloc(b->rt, SLM_MEM_DATA, n + 1);
    if (!r->sample || !r->sample_learnt)
        return slm_fail_mem(err, "the row to show", n);
    for (size_t i = 0; i < x->ids.len; i++) {
        const struct slm_tok_str raw = t->raw[x->ids.data[i]];
        if (raw.n)
            memcpy(r->sample + k, raw.s, raw.n);
        memset(r->sample_learnt + k, x->learn[i], raw.n);
        k += raw.n;
    }
    r->sample[n] = 0;
    r->sample_n = n;
    place(r->sample_place, &s->row, "");
    return 0;
}

/* ---- too long ---- */

static int add_doc(struct build *b, const struct slot *s, const struct encoding *x, size_t from,
                   size_t to, slm_err *err)
{
    slm_data_report *r = b->rep;
    struct slm_doc d = {.ids = x->ids.data + from,
                        .learn = x->learn + from,
                        .n = (int)(to - from),
                        .label = s->label,
                        .row = s->row.number};
    int bin = 0;
    x->learn[from] = 0; /* nothing before it to tell it from */
    while (bin + 1 < SLM_DATA_BINS && (int64_t)1 << bin < d.n)
        bin++;
    for (size_t i = from; i < to; i++)
        r->targets += x->learn[i];
    r->length[bin]++;
    r->docs++;
    r->tokens += d.n;
    r->longest = d.n > r->longest ? d.n : r->longest;
    return slm_tokens_out_doc(&b->out, &d, err);
}

static bool learns(const struct encoding *x, size_t from, size_t to)
{
    return to > from + 1 && memchr(x->learn + from + 1, 1, to - from - 1);
}

/* What to do about a row longer than the window: how long it may be, 0: not kept. */
static int too_long(struct build *b, struct slot *s, size_t n, size_t *keep, slm_err *err)
{
    const slm_data_opts *o = b->o;
    enum slm_too_long how = o->too_long;
    char why[80];
    snprintf(why, sizeof why, "%zu tokens, the window is %d", n, o->seq);
    if (how == SLM_LONG_AUTO)
        how = s->format == SLM_DATA_TEXT ? SLM_LONG_SPLIT : SLM_LONG_DROP;
    *keep = 0;
    switch (how) {
    case SLM_LONG_ERROR:
        return slm_fail(err, SLM_E_LIMIT, "%s:%lld: %s", s->row.file, (long long)s->row.line,
                        why);
    case SLM_LONG_SPLIT:
        if (s->sides == 2)
            return slm_fail(err, SLM_E_ARG, "%s:%lld: %s, and pairs cannot be split",
                            s->row.file, (long long)s->row.line, why);
        *keep = SIZE_MAX;
        return 0;
    case SLM_LONG_TRUNCATE:
        *keep = (size_t)o->seq;
        for (int i = 0; i < s->sides; i++)
            if (!learns(&s->enc[i], 0, s->enc[i].ids.len < *keep ? s->enc[i].ids.len : *keep)) {
                *keep = 0;
                return slm_build_lost(b, &s->row, SLM_LOSS_LONG,
                                      "its answer begins behind the end of the window");
            }
        return 0;
    default: return slm_build_lost(b, &s->row, SLM_LOSS_LONG, why);
    }
}

static int add_split(struct build *b, struct slot *s, slm_err *err)
{
    const struct encoding *x = &s->enc[0];
    size_t n = x->ids.len, seq = (size_t)b->o->seq;
    int rc = 0;
    b->rep->split++;
    for (size_t at = 0; at < n && !rc; at += seq) {
        size_t end = n - at < seq ? n : at + seq;
        if (learns(x, at, end))
            rc = add_doc(b, s, x, at, end, err);
        else
            b->rep->tokens_cut += (int64_t)(end - at);
    }
    return rc;
}

/* ---- kinds ---- */

static int check_kind(struct build *b, const struct slot *s, slm_err *err)
{
    enum slm_tokens_kind kind = s->format == SLM_DATA_PREFERENCE ? SLM_TOKENS_PAIR
                                : s->format == SLM_DATA_KTO      ? SLM_TOKENS_JUDGED
                                : s->format == SLM_DATA_TEXT     ? SLM_TOKENS_TEXT
                                                                 : SLM_TOKENS_CHAT,
                         have = b->rep->kind;
    static const char *const words[] = {"texts", "conversations", "pairs", "judged answers"};
    if (!b->kind_set || kind == have) {
        b->rep->kind = kind;
        b->kind_set = true;
        return 0;
    }
    if (kind >= SLM_TOKENS_PAIR || have >= SLM_TOKENS_PAIR)
        return slm_fail(err, SLM_E_ARG, "%s:%lld: %s, where rows before were %s: one at a time",
                        s->row.file, (long long)s->row.line, words[kind], words[have]);
    b->rep->kind = SLM_TOKENS_CHAT;
    return 0;
}

static void count_length(slm_data_report *r, size_t bytes)
{
    int bin = 0;
    while (bin + 1 < SLM_DATA_BINS && (size_t)1 << bin < bytes)
        bin++;
    r->length[bin]++;
    r->longest = (int)bytes > r->longest ? (int)bytes : r->longest;
}

static int count_kept(struct build *b, struct slot *s, slm_err *err)
{
    slm_data_report *r = b->rep;
    bool tok = b->o->tokenizer != NULL;
    int rc = slm_tally_add(&b->scripts, b->rt, s->script, strlen(s->script));
    for (int i = 0; i < s->n_unused && !rc; i++)
        rc = slm_tally_add(&b->unused, b->rt, s->unused[i], strlen(s->unused[i]));
    if (s->n_answer < sizeof s->answer && s->n_answer && !b->no_labels)
        rc = rc ? rc : slm_tally_add(&b->labels, b->rt, s->answer, s->n_answer);
    else
        b->no_labels = true;
    int new = rc ? 0 : slm_seen_add(&b->seen, b->rt, s->same);
    if (rc || new < 0)
        return slm_fail_mem(err, "counts", 1);
    if (!new && !r->duplicates++)
        place(r->duplicate_place, &s->row, "");
    if (s->special && !r->special++)
        place(r->special_place, &s->row, "");
    r->kept++;
    r->format[s->format]++;
    r->by_template += s->chat;
    r->by_alpaca += s->alpaca;
    r->by_text += tok && !s->chat && !s->alpaca;
    for (int i = 0; i < s->sides && tok; i++)
        r->open_turns += s->enc[i].open_turns;
    if (!tok)
        count_length(r, s->bytes);
    return 0;
}

static int add_row(struct build *b, struct slot *s, slm_err *err)
{
    size_t n = s->enc[0].ids.len, keep = SIZE_MAX;
    int rc = 0;
    if (s->sides == 2 && s->enc[1].ids.len > n)
        n = s->enc[1].ids.len;
    bool cut = b->o->seq && n > (size_t)b->o->seq;
    if (cut)
        rc = too_long(b, s, n, &keep, err);
    if (rc || !keep)
        return rc;
    rc = b->o->sample == b->rep->kept ? keep_sample(b, s, err) : 0;
    if (rc)
        return rc;
    if (cut && keep == SIZE_MAX) {
        rc = add_split(b, s, err);
        return rc ? rc : count_kept(b, s, err);
    }
    b->rep->truncated += cut;
    for (int i = 0; i < s->sides && !rc; i++) {
        size_t len = s->enc[i].ids.len, to = len < keep ? len : keep;
        b->rep->tokens_cut += (int64_t)(len - to);
        struct slot one = *s;
        one.label = s->sides == 2 ? !i : s->label;
        rc = add_doc(b, &one, &s->enc[i], 0, to, err);
    }
    return rc ? rc : count_kept(b, s, err);
}

int slm_build_sum(struct build *b, struct slot *s, slm_err *err)
{
    b->rep->rows++;
    if (s->code) {
        if (err)
            *err = s->err;
        return s->code;
    }
    if (s->loss)
        return slm_build_lost(b, &s->row, s->loss, s->why);
    int rc = check_kind(b, s, err);
    if (rc)
        return rc;
    return b->o->tokenizer ? add_row(b, s, err) : count_kept(b, s, err);
}

/* Rows that packing would make of these lengths. */
static int count_packed(struct build *b, slm_err *err)
{
    struct slm_tokens t = {.rt = b->rt,
                           .base = (const uint8_t *)"",
                           .head = b->out.head,
                           .entry = b->out.entry,
                           .longest = b->rep->longest};
    slm_feed_opts o = {.seq = b->o->seq};
    t.head.kind = b->rep->kind;
    for (int how = 0; how < 3; how++) {
        struct pack p;
        if (how == SLM_PACK_WRAPPED && b->rep->kind == SLM_TOKENS_PAIR)
            continue;
        o.pack = (enum slm_pack)how;
        int rc = slm_pack_init(&p, b->rt, &t, &o, err);
        if (!rc) {
            slm_pack_plan(&p, false, 0, 0);
            b->rep->packed_rows[how] = p.rows;
        }
        slm_pack_release(&p);
        if (rc)
            return rc;
    }
    return 0;
}

int slm_build_end(struct build *b, slm_err *err)
{
    slm_data_report *r = b->rep;
    r->n_scripts = slm_tally_top(&b->scripts, r->script, SLM_DATA_SCRIPTS);
    r->n_unused = slm_tally_top(&b->unused, r->unused, SLM_DATA_SCRIPTS);
    /* labels are few, and most of them come again */
    if (!b->no_labels && !b->labels.full && (int64_t)b->labels.n * 3 <= r->kept) {
        r->n_labels = (int64_t)b->labels.n;
        slm_tally_top(&b->labels, r->label, SLM_DATA_LABELS);
        r->least_label = b->labels.n ? b->labels.v[b->labels.n - 1].c.n : 0;
    }
    return b->o->tokenizer && b->o->seq && r->docs ? count_packed(b, err) : 0;
}
