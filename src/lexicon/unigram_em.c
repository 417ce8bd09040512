/* Unigram (Kudo 2018): from many pieces down to few. Rounds of expectation and maximisation fit
 * the probabilities; between them, the pieces whose loss costs the text the least likelihood
 * go, a share at a time. As SentencePiece does, probabilities come from digamma of the expected
 * counts, which lets rare pieces die out. */
#include "lexicon/lexicon_room.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct em {
    slm_runtime *rt;
    const struct lex_words *w;
    const slm_lexicon_opts *o;
    struct lex_pieces p;
    struct slm_arena seeds;
    double *expected; /* (as many as there were seeds) */
    double log_scale;
    uint64_t bytes; /* of all words, with repetitions */
    size_t round;
};

static double digamma(double x)
{
    double r = 0;
    for (; x < 7; x++)
        r -= 1 / x;
    x -= 0.5;
    double y = 1 / (x * x);
    return r + log(x) +
           y * (1.0 / 24 - y * (7.0 / 960 - y * (31.0 / 8064 - y * (127.0 / 30720))));
}

/* Keeps the pieces for which keep[i] is set, in order. */
static void compact(struct em *e, const uint8_t *keep)
{
    size_t n = 0;
    for (size_t i = 0; i < e->p.n; i++) {
        if (!keep[i])
            continue;
        e->p.s[n] = e->p.s[i];
        e->p.logp[n] = e->p.logp[i];
        e->p.must[n] = e->p.must[i];
        e->expected[n++] = e->expected[i];
    }
    e->p.n = n;
}

static int sums(struct em *e, struct lex_sums *s, bool best, slm_err *err)
{
    struct lex_model m;
    *s = (struct lex_sums){.expected = e->expected};
    int rc = slm_lex_model_init(&m, e->rt, &e->p, e->log_scale, err);
    rc = rc ? rc : slm_lex_sums_run(s, &m, e->w, best, err);
    slm_lex_model_release(&m);
    if (!rc && s->loglik < 0 && e->bytes)
        e->log_scale = -s->loglik / (double)e->bytes;
    return rc;
}

static int step(struct em *e, slm_err *err)
{
    struct lex_sums s;
    int rc = sums(e, &s, false, err);
    if (rc)
        return rc;
    uint8_t *keep = slm_alloc(e->rt, SLM_MEM_TEXT, e->p.n);
    double sum = 0;
    if (!keep)
        return slm_fail_mem(err, "pieces", e->p.n);
    for (size_t i = 0; i < e->p.n; i++) {
        keep[i] = e->p.must[i] || e->expected[i] >= 0.5;
        if (e->expected[i] < 0.5)
            e->expected[i] = 0.5; /* of a character that occurs inside of pieces only */
        sum += keep[i] ? e->expected[i] : 0;
    }
    compact(e, keep);
    slm_free(e->rt, keep);
    double log_sum = digamma(sum);
    for (size_t i = 0; i < e->p.n; i++)
        e->p.logp[i] = digamma(e->expected[i]) - log_sum;
    return 0;
}

/* --- pruning --- */

struct loss {
    double loss;
    uint32_t i;
};

static int by_loss(const void *x, const void *y)
{
    const struct loss *a = x, *b = y;
    if (a->loss != b->loss)
        return a->loss > b->loss ? -1 : 1;
    return a->i < b->i ? -1 : a->i > b->i;
}

/* What the text would lose in likelihood (a word of it) were piece i written with others. */
static double loss_of(const struct em *e, const struct lex_model *m, size_t i, double sum)
{
    int32_t ids[LEX_WORD_MAX];
    const double *freq = e->expected;
    size_t k = slm_lex_best(m, e->p.s[i].s, e->p.s[i].n, (int32_t)i, ids);
    if (!k)
        return (double)INFINITY;
    double with = log(freq[i]) - log(sum), without = 0;
    double log_alt = log(sum + freq[i] * (double)(k - 1));
    for (size_t a = 0; a < k; a++)
        without += log(freq[ids[a]] + freq[i]) - log_alt;
    return freq[i] / sum * (with - without);
}

static void rank(const struct em *e, const struct lex_model *m, struct loss *v, size_t *n,
                 uint8_t *keep, double sum)
{
    int32_t ids[LEX_WORD_MAX];
    *n = 0;
    for (size_t i = 0; i < e->p.n; i++) {
        keep[i] = e->p.must[i];
        /* a piece that is better written with others serves nobody */
        if (keep[i] || e->expected[i] <= 0 ||
            slm_lex_best(m, e->p.s[i].s, e->p.s[i].n, -1, ids) != 1)
            continue;
        v[(*n)++] = (struct loss){loss_of(e, m, i, sum), (uint32_t)i};
    }
}

static int prune(struct em *e, size_t want, slm_err *err)
{
    struct lex_sums s;
    struct lex_model m = {0};
    size_t n = 0, must = 0, left = (size_t)(e->o->shrink * (double)e->p.n);
    double sum = 0;
    int rc = sums(e, &s, true, err);
    struct loss *v = slm_alloc_n(e->rt, SLM_MEM_TEXT, e->p.n, sizeof *v);
    uint8_t *keep = slm_alloc(e->rt, SLM_MEM_TEXT, e->p.n);
    if (!rc && (!v || !keep))
        rc = slm_fail_mem(err, "pieces", e->p.n * sizeof *v);
    rc = rc ? rc : slm_lex_model_init(&m, e->rt, &e->p, e->log_scale, err);
    if (!rc) {
        for (size_t i = 0; i < e->p.n; i++)
            sum += e->expected[i];
        rank(e, &m, v, &n, keep, sum);
        qsort(v, n, sizeof *v, by_loss);
        left = left > want ? left : want;
        for (size_t i = 0; i < e->p.n; i++)
            must += keep[i];
        for (size_t i = 0; i < n && must + i < left; i++)
            keep[v[i].i] = 1;
        compact(e, keep);
    }
    slm_lex_model_release(&m);
    slm_free(e->rt, v);
    slm_free(e->rt, keep);
    return rc;
}

/* --- the result --- */

/* The best pieces, characters in any case; what is left of the vocabulary decides how many. */
static int finish(struct em *e, struct lex_vocab *v, size_t want, slm_err *err)
{
    struct lex_sums s;
    struct loss *order = slm_alloc_n(e->rt, SLM_MEM_TEXT, e->p.n, sizeof *order);
    uint8_t *keep = slm_zalloc(e->rt, SLM_MEM_TEXT, e->p.n);
    size_t n = 0;
    if (!order || !keep) {
        slm_free(e->rt, order);
        slm_free(e->rt, keep);
        return slm_fail_mem(err, "pieces", e->p.n);
    }
    for (size_t i = 0; i < e->p.n; i++) {
        order[i] = (struct loss){e->p.logp[i], (uint32_t)i};
        keep[i] = e->p.must[i];
        n += keep[i];
    }
    qsort(order, e->p.n, sizeof *order, by_loss);
    for (size_t i = 0; i < e->p.n && n < want; i++) {
        n += !keep[order[i].i];
        keep[order[i].i] = 1;
    }
    int rc = 0;
    for (size_t i = 0; i < e->p.n && !rc; i++) {
        const struct loss *x = &order[i];
        if (keep[x->i] && slm_lex_vocab_add(v, e->p.s[x->i].s, e->p.s[x->i].n, x->loss) < 0)
            rc = slm_fail_mem(err, "pieces", e->p.n);
    }
    compact(e, keep);
    slm_free(e->rt, order);
    slm_free(e->rt, keep);
    rc = rc ? rc : sums(e, &s, true, err);
    if (!rc) {
        v->tokens = s.tokens;
        rc = sums(e, &s, false, err);
        v->loglik = s.loglik;
    }
    return rc;
}

static int tell(struct em *e, slm_err *err)
{
    e->round++;
    if (e->o->progress && e->o->progress(e->o->progress_arg, e->round, 0))
        return slm_fail(err, SLM_E_CANCELLED, "cancelled");
    return 0;
}

static int run(struct em *e, struct lex_vocab *v, slm_err *err)
{
    size_t chars = 0, room = (size_t)e->o->vocab - (size_t)v->first;
    int rc = slm_lex_seeds(&e->p, &e->seeds, e->rt, e->w, e->o, err);
    for (size_t i = 0; i < e->p.n && !rc; i++)
        chars += e->p.must[i];
    if (!rc && room < chars)
        rc = slm_fail(err, SLM_E_ARG,
                      "a vocabulary of %d: %d special tokens and bytes and an alphabet of %zu "
                      "characters need %zu (or a smaller coverage)",
                      e->o->vocab, v->first, chars, (size_t)v->first + chars);
    e->expected = rc ? NULL : slm_zalloc_n(e->rt, SLM_MEM_TEXT, e->p.n, sizeof(double));
    if (!rc && !e->expected)
        rc = slm_fail_mem(err, "pieces", e->p.n * sizeof(double));
    v->alphabet = (int)chars;
    /* a little more than wanted is left to the end, where the likeliest are taken */
    size_t want = room + room / 10;
    for (bool more = true; more && !rc;) {
        for (int i = 0; i < e->o->rounds && !rc; i++) {
            rc = step(e, err);
            rc = rc ? rc : tell(e, err);
        }
        size_t was = e->p.n;
        more = e->p.n > want;
        rc = rc || !more ? rc : prune(e, want, err);
        more &= e->p.n < was;
    }
    return rc ? rc : finish(e, v, room, err);
}

int slm_lex_unigram(struct lex_vocab *v, const struct lex_words *w, const slm_lexicon_opts *o,
                    slm_err *err)
{
    struct em e = {.rt = w->table.rt, .w = w, .o = o, .log_scale = 2};
    slm_arena_init(&e.seeds, e.rt, SLM_MEM_TEXT);
    for (size_t i = 0; i < w->n; i++)
        e.bytes += w->word[i].n * w->word[i].count;
    int rc = run(&e, v, err);
    slm_free(e.rt, e.expected);
    slm_arena_release(&e.seeds);
    return rc;
}
