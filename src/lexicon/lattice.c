/* Words under a unigram model: sums over all segmentations, and the best one.
 *
 * Sums are of plain probabilities, not of logarithms: a word is short, and a factor a byte (the
 * model's scale) keeps them far from underflow. So an edge costs two multiplications. */
#include "lexicon/lexicon_room.h"

#include <math.h>
#include <string.h>

#define PARTS 8 /* fixed, so that sums do not depend on the number of threads */

int slm_lex_model_init(struct lex_model *m, slm_runtime *rt, const struct lex_pieces *p,
                       double log_scale, slm_err *err)
{
    memset(m, 0, sizeof *m);
    m->rt = rt;
    m->p = p;
    m->log_scale = log_scale;
    slm_arena_init(&m->arena, rt, SLM_MEM_TEXT);
    int rc = slm_trie_init(&m->trie, &m->arena, p->s, p->n);
    m->prob = rc ? NULL : slm_alloc_n(rt, SLM_MEM_TEXT, p->n, sizeof *m->prob);
    if (!m->prob)
        return slm_fail_mem(err, "pieces", p->n * sizeof *m->prob);
    for (size_t i = 0; i < p->n; i++)
        m->prob[i] = exp(p->logp[i] + log_scale * (double)p->s[i].n);
    return 0;
}

void slm_lex_model_release(struct lex_model *m)
{
    if (!m->rt)
        return;
    slm_free(m->rt, m->prob);
    slm_arena_release(&m->arena);
    memset(m, 0, sizeof *m);
}

static inline bool starts(const char *s, size_t i) { return ((uint8_t)s[i] & 0xC0) != 0x80; }

double slm_lex_expect(const struct lex_model *m, const char *s, size_t n, double count,
                      double *expected)
{
    double ahead[LEX_WORD_MAX + 1], behind[LEX_WORD_MAX + 1];
    for (size_t i = 0; i <= n; i++)
        behind[i] = ahead[i] = 0;
    /* behind[i]: sum over segmentations of s[i..n) */
    behind[n] = 1;
    for (size_t i = n; i-- > 0;) {
        uint32_t node = 0;
        if (!starts(s, i))
            continue;
        for (size_t k = i; k < n; k++) {
            node = slm_trie_step(&m->trie, node, (uint8_t)s[k]);
            if (!node)
                break;
            int32_t v = m->trie.node[node].value;
            if (v >= 0)
                behind[i] += m->prob[v] * behind[k + 1];
        }
    }
    double z = behind[0];
    if (!(z > 0))
        return 0;
    ahead[0] = 1;
    double share = count / z;
    for (size_t i = 0; i < n; i++) {
        uint32_t node = 0;
        if (!(ahead[i] > 0))
            continue;
        for (size_t k = i; k < n; k++) {
            node = slm_trie_step(&m->trie, node, (uint8_t)s[k]);
            if (!node)
                break;
            int32_t v = m->trie.node[node].value;
            if (v < 0 || !(behind[k + 1] > 0))
                continue;
            double x = ahead[i] * m->prob[v];
            ahead[k + 1] += x;
            expected[v] += x * behind[k + 1] * share;
        }
    }
    return log(z) - m->log_scale * (double)n;
}

size_t slm_lex_best(const struct lex_model *m, const char *s, size_t n, int32_t without,
                    int32_t *ids)
{
    double best[LEX_WORD_MAX + 1];
    int32_t by[LEX_WORD_MAX + 1];
    uint16_t from[LEX_WORD_MAX + 1];
    size_t count = 0;
    for (size_t i = 0; i <= n; i++)
        by[i] = -1;
    best[0] = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t node = 0;
        if (i && by[i] < 0)
            continue;
        for (size_t k = i; k < n; k++) {
            node = slm_trie_step(&m->trie, node, (uint8_t)s[k]);
            if (!node)
                break;
            int32_t v = m->trie.node[node].value;
            if (v < 0 || v == without)
                continue;
            double x = best[i] + m->p->logp[v];
            if (by[k + 1] < 0 || x > best[k + 1]) {
                best[k + 1] = x;
                by[k + 1] = v;
                from[k + 1] = (uint16_t)i;
            }
        }
    }
    if (!n || by[n] < 0)
        return 0;
    for (size_t i = n; i; i = from[i])
        ids[count++] = by[i];
    for (size_t i = 0; i < count / 2; i++) {
        int32_t x = ids[i];
        ids[i] = ids[count - 1 - i];
        ids[count - 1 - i] = x;
    }
    return count;
}

/* --- all words --- */

struct sums_job {
    const struct lex_model *m;
    const struct lex_words *w;
    bool best;
    struct lex_sums part[PARTS];
};

static void add_word(struct lex_sums *o, const struct sums_job *j, const char *s, size_t n,
                     double count)
{
    if (!j->best) {
        double l = slm_lex_expect(j->m, s, n, count, o->expected);
        o->loglik += l * count;
        o->missed += l == 0;
        return;
    }
    int32_t ids[LEX_WORD_MAX];
    size_t k = slm_lex_best(j->m, s, n, -1, ids);
    for (size_t i = 0; i < k; i++) {
        o->expected[ids[i]] += count;
        o->loglik += j->m->p->logp[ids[i]] * count;
    }
    o->tokens += k * (uint64_t)count;
    o->missed += !k;
}

/* What lies between characters that are no piece; of long words, parts. */
static void cut_word(struct lex_sums *o, const struct sums_job *j, const struct lex_word *w)
{
    const struct trie *t = &j->m->trie;
    size_t start = 0, i = 0, len;
    int32_t cp;
    for (; i < w->n; i += len) {
        size_t known = 0;
        len = (size_t)slm_utf8_next(w->s + i, w->n - i, &cp);
        uint32_t node = 0;
        for (size_t k = 0; k < len && (!k || node); k++)
            node = slm_trie_step(t, node, (uint8_t)w->s[i + k]);
        known = node && t->node[node].value >= 0;
        if (known && i + len - start <= LEX_WORD_MAX)
            continue;
        if (i > start)
            add_word(o, j, w->s + start, i - start, (double)w->count);
        if (!known)
            o->tokens += w->count;
        start = known ? i : i + len;
    }
    if (i > start)
        add_word(o, j, w->s + start, i - start, (double)w->count);
}

static void sums_work(int ith, int nth, void *arg)
{
    struct sums_job *j = arg;
    for (int p = ith; p < PARTS; p += nth) {
        size_t lo, hi;
        slm_split(j->w->n, 1, p, PARTS, &lo, &hi);
        for (size_t i = lo; i < hi; i++)
            cut_word(&j->part[p], j, &j->w->word[i]);
    }
}

int slm_lex_sums_run(struct lex_sums *out, const struct lex_model *m, const struct lex_words *w,
                     bool best, slm_err *err)
{
    struct sums_job j = {.m = m, .w = w, .best = best};
    size_t n = m->p->n;
    double *all = slm_zalloc_n(m->rt, SLM_MEM_TEXT, n * PARTS, sizeof *all);
    double *expected = out->expected;
    if (!all)
        return slm_fail_mem(err, "pieces", n * PARTS * sizeof *all);
    for (int p = 0; p < PARTS; p++)
        j.part[p].expected = all + (size_t)p * n;
    slm_pool_run(m->rt->pool, sums_work, &j);
    memset(out, 0, sizeof *out);
    out->expected = expected;
    for (size_t i = 0; i < n; i++) {
        expected[i] = 0;
        for (int p = 0; p < PARTS; p++)
            expected[i] += j.part[p].expected[i];
    }
    for (int p = 0; p < PARTS; p++) {
        out->loglik += j.part[p].loglik;
        out->tokens += j.part[p].tokens;
        out->missed += j.part[p].missed;
    }
    slm_free(m->rt, all);
    return 0;
}
