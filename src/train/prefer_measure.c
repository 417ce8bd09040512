/* Preference losses of pairs, measured: the answers run side by side through the forward pass,
 * as many at a time as some thousand rows hold, by the policy and by its reference. */
#include <math.h>
#include <string.h>

#include "train/pairs.h"
#include "train/prefer.h"

#define ROWS 4096 /* of a run, where no sequence is longer */

/* A prompt with an answer. */
struct text {
    struct slm_ids_at prompt, answer;
};

/* A forward pass and room for its rows. */
struct runner {
    const slm_pairs *pairs;
    const slm_model *m;
    slm_prog *prog;
    int most, most_texts;
    int32_t *ids, *pos, *stream, *target, *first;
    uint8_t *set;
    bool plain;
};

static int text_length(const struct text *t) { return t->prompt.n + t->answer.n; }

static void runner_close(struct runner *r)
{
    slm_prog_free(r->prog);
    slm_free(r->m->rt, r->ids);
    slm_free(r->m->rt, r->set);
}

static int runner_open(struct runner *r, const slm_adapter *adapter, int most, slm_err *err)
{
    slm_runtime *rt = r->m->rt;
    struct slm_prog_opts o = {.max_rows = most, .max_out = most, .phase = SLM_PHASE_PROMPT};
    struct slm_emit_opts emit = {.adapter = adapter, .loss = true};
    r->most = most;
    r->ids = slm_alloc_n(rt, SLM_MEM_USER, (size_t)most * 5 + 1, sizeof *r->ids);
    r->set = slm_zalloc(rt, SLM_MEM_USER, (size_t)most);
    if (!r->ids || !r->set)
        return slm_fail_mem(err, "rows", (size_t)most * 21);
    r->pos = r->ids + most;
    r->stream = r->pos + most;
    r->target = r->stream + most;
    r->first = r->target + most;
    int rc = slm_prog_new(&r->prog, rt, &o, err);
    if (rc)
        return rc;
    slm_model_emit(r->prog, r->m, &emit);
    return slm_prog_plan(r->prog, err);
}

/* Puts t behind the `at` rows that are there, as stream `s`. Returns the rows then. */
static int put_text(struct runner *r, const struct text *t, int at, int s, bool all)
{
    const int32_t *ids = r->pairs->ids;
    const struct slm_rope *rope = &r->m->hp.rope[0];
    int n = text_length(t);
    memcpy(r->ids + at, ids + t->prompt.at, (size_t)t->prompt.n * sizeof *ids);
    memcpy(r->ids + at + t->prompt.n, ids + t->answer.at, (size_t)t->answer.n * sizeof *ids);
    for (int i = 0; i < n; i++) {
        bool counts = i + 1 < n && (all || i + 1 >= t->prompt.n);
        r->pos[at + i] = i;
        r->stream[at + i] = s;
        r->target[at + i] = counts ? r->ids[at + i + 1] : -1;
    }
    r->first[s] = at;
    r->first[s + 1] = at + n;
    r->set[s] = rope->kind == SLM_ROPE_LONG && n > rope->original;
    return at + n;
}

/* sum[i]: log p of text i's answer, or of all its tokens but the first. */
static int run_texts(struct runner *r, const struct text *texts, int n, bool all, double *sum,
                     slm_err *err)
{
    for (int i = 0; i < n;) {
        int from = i, rows = 0;
        while (i < n && rows + text_length(&texts[i]) <= r->most) {
            rows = put_text(r, &texts[i], rows, i - from, all);
            i++;
        }
        struct slm_run run = {.rows = rows,
                              .ids = r->ids,
                              .pos = r->pos,
                              .stream = r->stream,
                              .n_streams = i - from,
                              .rope_set = r->set,
                              .target = r->target,
                              .later = true,
                              .plain = r->plain};
        struct slm_prefer_rows what = {i - from, r->first, r->target};
        slm_prog_run(r->prog, &run);
        slm_prefer_sums(sum + from, &what, slm_prog_row_loss(r->prog));
        for (int k = from; k < i; k++)
            if (!isfinite(sum[k]))
                return slm_fail(err, SLM_E_NUMERIC, "%s: log p of text %d is not finite",
                                r->m->src.path, k);
    }
    return 0;
}

/* ---- the texts of pairs ---- */

struct measure {
    const struct slm_prefer_kind *kind;
    const slm_pairs *pairs;
    int n;              /* answers */
    struct text *text;  /* (n) chosen 0, rejected 0, chosen 1 ... */
    struct text *other; /* (n) each prompt with its predecessor's answer */
    double *policy, *reference, *policy_kl, *reference_kl; /* (n) */
    struct runner own, ref;
};

static void make_texts(struct measure *w)
{
    for (int i = 0; i < w->n; i++) {
        const struct slm_pair *p = &w->pairs->pair[i / 2], *q;
        int k = i ? i - 1 : w->n - 1;
        q = &w->pairs->pair[k / 2];
        w->text[i] = (struct text){p->prompt, p->answer[i % 2]};
        w->other[i] = (struct text){p->prompt, q->answer[k % 2]};
    }
}

static int longest(const struct measure *w)
{
    int most = 0;
    for (int i = 0; i < w->n; i++) {
        int a = text_length(&w->text[i]), b = text_length(&w->other[i]);
        most = a > most ? a : most;
        most = w->kind->mismatched && b > most ? b : most;
    }
    return most;
}

/* The programs: the policy's own with the adapter off is its reference, unless there is another
 * model. */
static int open_runners(struct measure *w, const slm_prefer_policy *p, slm_err *err)
{
    int most = longest(w), all = 0;
    for (int i = 0; i < w->n && all < ROWS; i++)
        all += text_length(&w->text[i]);
    w->own = (struct runner){.pairs = w->pairs, .m = p->m};
    w->ref = (struct runner){.pairs = w->pairs, .m = p->reference ? p->reference : p->m};
    if (most > p->m->hp.context)
        return slm_fail(err, SLM_E_ARG,
                        "a pair of %d tokens, and the model has a context of %d", most,
                        p->m->hp.context);
    if (p->reference && p->reference->hp.vocab != p->m->hp.vocab)
        return slm_fail(err, SLM_E_ARG, "%s: a vocabulary of %d, the policy's has %d",
                        p->reference->src.path, p->reference->hp.vocab, p->m->hp.vocab);
    most = most > all ? most : all < ROWS ? all : ROWS;
    int rc = runner_open(&w->own, p->adapter, most, err);
    if (!rc && p->reference && w->kind->refers)
        rc = runner_open(&w->ref, NULL, most, err);
    return rc;
}

/* log p of n texts by the reference. */
static int by_reference(struct measure *w, const struct text *texts, double *sum, slm_err *err)
{
    struct runner *r = w->ref.prog ? &w->ref : &w->own;
    r->plain = true;
    int rc = run_texts(r, texts, w->n, false, sum, err);
    r->plain = false;
    return rc;
}

static int run_all(struct measure *w, slm_err *err)
{
    int rc = run_texts(&w->own, w->text, w->n, false, w->policy, err);
    if (!rc && w->kind->refers)
        rc = by_reference(w, w->text, w->reference, err);
    if (!rc && w->kind->mismatched)
        rc = run_texts(&w->own, w->other, w->n, false, w->policy_kl, err);
    if (!rc && w->kind->mismatched)
        rc = by_reference(w, w->other, w->reference_kl, err);
    return rc;
}

/* ---- the losses of what was measured ---- */

static int take_result(slm_prefer_result *out, const struct measure *w, slm_err *err)
{
    size_t n = (size_t)w->n / 2;
    bool refers = w->kind->refers, kl = w->kind->mismatched;
    out->rt = w->pairs->rt;
    out->room = slm_zalloc_n(out->rt, SLM_MEM_USER, n * 10, sizeof *out->room);
    if (!out->room)
        return slm_fail_mem(err, "pairs", n * 80);
    out->pairs = (int)n;
    out->n_each = (int)(w->kind->pairs ? n : 2 * n);
    out->each = out->room;
    out->policy_chosen = out->room + 2 * n;
    out->policy_rejected = out->room + 3 * n;
    out->reference_chosen = refers ? out->room + 4 * n : NULL;
    out->reference_rejected = refers ? out->room + 5 * n : NULL;
    out->policy_kl = kl ? out->room + 6 * n : NULL;
    out->reference_kl = kl ? out->room + 8 * n : NULL;
    out->kto_kl = out->orpo_nll = (double)NAN;
    for (size_t i = 0; i < n; i++) {
        out->policy_chosen[i] = w->policy[2 * i];
        out->policy_rejected[i] = w->policy[2 * i + 1];
        if (refers) {
            out->reference_chosen[i] = w->reference[2 * i];
            out->reference_rejected[i] = w->reference[2 * i + 1];
        }
    }
    if (kl) {
        memcpy(out->policy_kl, w->policy_kl, 2 * n * sizeof(double));
        memcpy(out->reference_kl, w->reference_kl, 2 * n * sizeof(double));
    }
    return 0;
}

static double mean_distance(const struct measure *w)
{
    double z = 0;
    for (int i = 0; i < w->n; i++)
        z += w->policy_kl[i] - w->reference_kl[i];
    return z > 0 ? z / w->n : 0;
}

/* The mean loss of all tokens of the chosen texts. */
static int whole_loss(struct measure *w, double *nll, slm_err *err)
{
    double sum = 0;
    int64_t tokens = 0;
    for (int i = 0; i < w->n; i += 2) {
        double one;
        int rc = run_texts(&w->own, &w->text[i], 1, true, &one, err);
        if (rc)
            return rc;
        sum -= one;
        tokens += text_length(&w->text[i]) - 1;
    }
    *nll = sum / (double)tokens;
    return 0;
}

static int losses(slm_prefer_result *out, struct measure *w, struct slm_prefer_loss *l,
                  slm_err *err)
{
    slm_runtime *rt = w->pairs->rt;
    struct slm_answer *a = slm_alloc_n(rt, SLM_MEM_USER, (size_t)w->n, sizeof *a);
    double *slope = slm_alloc_n(rt, SLM_MEM_USER, (size_t)w->n * 2, sizeof *slope);
    struct slm_prefer_tally tally = {0};
    int rc = a && slope ? 0 : slm_fail_mem(err, "pairs", (size_t)w->n * sizeof *a);
    if (!rc && w->kind->mismatched)
        out->kto_kl = mean_distance(w);
    if (!rc && w->kind->whole)
        rc = whole_loss(w, &out->orpo_nll, err);
    if (!rc) {
        double *each = slope + w->n, more = w->kind->whole ? out->orpo_nll : 0;
        for (int i = 0; i < w->n; i++)
            a[i] = (struct slm_answer){w->policy[i], w->reference[i], w->text[i].answer.n,
                                       i % 2 == 0};
        l->z = w->kind->mismatched ? out->kto_kl : 0;
        slm_prefer_items(l, a, w->n, slope, each, &tally);
        out->loss = tally.loss / (double)tally.n_items + more;
        for (int i = 0; i < out->n_each; i++) /* answers by themselves: the chosen first */
            out->each[w->kind->pairs ? i : i / 2 + i % 2 * out->pairs] = each[i] + more;
    }
    slm_free(rt, a);
    slm_free(rt, slope);
    return rc;
}

int slm_prefer_measure(slm_prefer_result *out, const slm_prefer_policy *policy,
                       const slm_pairs *pairs, const slm_prefer_opts *o, slm_err *err)
{
    struct slm_prefer_loss loss;
    slm_runtime *rt = pairs->rt;
    size_t n = pairs->n * 2;
    memset(out, 0, sizeof *out);
    int rc = slm_prefer_loss_init(&loss, o, err);
    if (rc)
        return rc;
    struct measure w = {.kind = loss.kind, .pairs = pairs, .n = (int)n};
    w.text = slm_alloc_n(rt, SLM_MEM_USER, n * 2, sizeof *w.text);
    w.policy = slm_zalloc_n(rt, SLM_MEM_USER, n * 4, sizeof *w.policy);
    w.own.m = w.ref.m = policy->m;
    if (!w.text || !w.policy)
        rc = slm_fail_mem(err, "pairs", n * sizeof *w.text);
    w.other = w.text + n;
    w.reference = w.policy + n;
    w.policy_kl = w.policy + 2 * n;
    w.reference_kl = w.policy + 3 * n;
    if (!rc) {
        make_texts(&w);
        rc = open_runners(&w, policy, err);
    }
    if (!rc)
        rc = run_all(&w, err);
    if (!rc)
        rc = take_result(out, &w, err);
    if (!rc)
        rc = losses(out, &w, &loss, err);
    runner_close(&w.own);
    runner_close(&w.ref);
    slm_free(rt, w.text);
    slm_free(rt, w.policy);
    if (rc)
        slm_prefer_result_release(out);
    return rc;
}

void slm_prefer_result_release(slm_prefer_result *r)
{
    if (r->rt)
        slm_free(r->rt, r->room);
    memset(r, 0, sizeof *r);
}
