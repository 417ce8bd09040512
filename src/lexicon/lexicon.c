/* The door of the room: options checked, words counted, a vocabulary learnt, and the
 * tokenizer.json that it makes opened as any other would be. */
#include "lexicon/lexicon_room.h"

#include <string.h>

#include "vocab/vocab.h"

void slm_lexicon_opts_init(slm_lexicon_opts *o)
{
    memset(o, 0, sizeof *o);
    o->kind = SLM_LEXICON_BPE;
    o->vocab = 32000;
    o->min_frequency = 2;
    o->pattern = "gpt2";
    o->coverage = 0.9995;
    o->seeds = 1000000;
    o->shrink = 0.75;
    o->rounds = 2;
}

const char *slm_lex_pattern(const slm_lexicon_opts *o)
{
    const char *known = slm_pattern_find(o->pattern);
    return known ? known : o->pattern;
}

int32_t slm_lex_vocab_add(struct lex_vocab *v, const char *s, size_t n, double score)
{
    slm_runtime *rt = v->arena.rt;
    size_t cap = v->cap;
    if (v->n == cap &&
        slm_grow(rt, SLM_MEM_TEXT, (void **)&v->score, v->n, &cap, sizeof *v->score))
        return -1;
    cap = v->cap;
    if (slm_grow(rt, SLM_MEM_TEXT, (void **)&v->piece, v->n, &cap, sizeof *v->piece))
        return -1;
    v->cap = cap;
    char *copy = slm_arena_strndup(&v->arena, s, n);
    if (!copy)
        return -1;
    v->piece[v->n] = (struct slm_tok_str){copy, n};
    v->score[v->n] = score;
    return (int32_t)v->n++;
}

static void vocab_release(struct lex_vocab *v)
{
    slm_runtime *rt = v->arena.rt;
    slm_free(rt, v->piece);
    slm_free(rt, v->score);
    slm_free(rt, v->merge);
    slm_arena_release(&v->arena);
}

/* --- options --- */

static bool is_special(const slm_lexicon_opts *o, const char *s)
{
    for (int i = 0; i < o->n_special; i++) {
        if (!strcmp(o->special[i], s))
            return true;
    }
    return false;
}

static int check_special(const slm_lexicon_opts *o, slm_err *err)
{
    const struct {
        const char *what, *token;
    } named[] = {{"bos", o->bos}, {"eos", o->eos}, {"unk", o->unk}, {"pad", o->pad}};
    for (int i = 0; i < o->n_special; i++) {
        const char *s = o->special[i];
        if (!*s || strlen(s) > 256 || !slm_utf8_valid(s, strlen(s)))
            return slm_fail(err, SLM_E_ARG, "special token %d is empty, too long or no UTF-8",
                            i);
        for (int k = 0; k < i; k++) {
            if (!strcmp(o->special[k], s))
                return slm_fail(err, SLM_E_ARG, "special token '%s' is given twice", s);
        }
    }
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        if (named[i].token && !is_special(o, named[i].token))
            return slm_fail(err, SLM_E_ARG, "%s '%s' is not among the special tokens",
                            named[i].what, named[i].token);
    }
    if ((o->add_bos && !o->bos) || (o->add_eos && !o->eos))
        return slm_fail(err, SLM_E_ARG, "%s is to be added, but no such token is named",
                        o->add_bos && !o->bos ? "bos" : "eos");
    return 0;
}

static int check(const slm_lexicon_opts *o, int n, slm_err *err)
{
    int least = o->n_special + (o->byte_fallback || !o->kind ? 256 : 1);
    const char *p = slm_lex_pattern(o);
    bool word = *p != 0;
    for (const char *c = p; *c; c++)
        word &= (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '-';
    if (n < 1)
        return slm_fail(err, SLM_E_ARG, "no text to learn from");
    if (o->vocab < least || o->vocab > 16 << 20)
        return slm_fail(err, SLM_E_ARG,
                        "a vocabulary of %d: %d special tokens and the alphabet need %d",
                        o->vocab, o->n_special, least);
    if (word || !*p)
        return slm_fail(err, SLM_E_ARG,
                        "pattern '%s': known by name are %s", p, slm_pattern_names);
    if (!(o->coverage > 0 && o->coverage <= 1) || !(o->shrink > 0.05 && o->shrink < 1) ||
        o->max_piece < 0 || o->max_piece > 64 || o->seeds < 1000 || o->seeds > 16 << 20 ||
        o->rounds < 1 || o->rounds > 100)
        return slm_fail(err, SLM_E_ARG,
                        "coverage, longest piece, seeds, shrink or rounds are "
                        "out of range");
    if ((o->byte_fallback || o->kind) && !o->unk)
        return slm_fail(err, SLM_E_ARG,
                        "this kind needs a token for what is unknown: name it "
                        "among the special tokens, as <unk>");
    return check_special(o, err);
}

/* Which special token is which, where the caller leaves it to spelling. */
static void name_tokens(slm_lexicon_opts *o)
{
    static const char *const bos[] = {"<s>", "<|begin_of_text|>", "<bos>", "<|startoftext|>",
                                      NULL},
                             *const eos[] = {"</s>", "<|end_of_text|>", "<eos>",
                                             "<|endoftext|>", NULL},
                             *const unk[] = {"<unk>", "[UNK]", NULL},
                             *const pad[] = {"<pad>", "[PAD]", "<|pad|>", NULL};
    const struct {
        const char **to;
        const char *const *from;
    } rows[] = {{&o->bos, bos}, {&o->eos, eos}, {&o->unk, unk}, {&o->pad, pad}};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        for (int i = 0; rows[r].from[i] && !*rows[r].to; i++) {
            if (is_special(o, rows[r].from[i]))
                *rows[r].to = rows[r].from[i];
        }
    }
}

/* --- learning --- */

static int start_vocab(struct lex_vocab *v, const slm_lexicon_opts *o, slm_err *err)
{
    for (int i = 0; i < o->n_special; i++) {
        if (slm_lex_vocab_add(v, o->special[i], strlen(o->special[i]), 0) < 0)
            return slm_fail_mem(err, "special tokens", (size_t)o->n_special);
    }
    for (int i = 0; i < 256 && (o->byte_fallback); i++) {
        static const char hex[] = "0123456789ABCDEF";
        char s[] = {'<', '0', 'x', hex[i >> 4], hex[i & 15], '>'};
        if (slm_lex_vocab_add(v, s, sizeof s, 0) < 0)
            return slm_fail_mem(err, "bytes", 256);
    }
    v->first = (int)v->n;
    return 0;
}

static void set_named(slm_tokenizer *t, const slm_lexicon_opts *o)
{
    const struct {
        enum slm_tok_named which;
        const char *s;
    } rows[] = {{SLM_TOK_BOS, o->bos},
                {SLM_TOK_EOS, o->eos},
                {SLM_TOK_UNK, o->unk},
                {SLM_TOK_PAD, o->pad}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].s)
            t->named[rows[i].which] = slm_tokenizer_find(t, rows[i].s, strlen(rows[i].s));
    }
    if (o->eos)
        slm_tok_mark_eog(t, t->named[SLM_TOK_EOS]);
}

static void fill_report(slm_lexicon_report *r, const struct lex_words *w,
                        const struct lex_vocab *v, const slm_lexicon_opts *o)
{
    r->bytes = w->bytes;
    r->sequences = w->units;
    r->words = w->pieces;
    r->distinct = w->n;
    r->mended = w->mended;
    r->vocab = (int)v->n;
    r->merges = (int)v->n_merges;
    r->short_by = o->vocab > (int)v->n ? o->vocab - (int)v->n : 0;
    r->tokens = v->tokens;
    r->loglik = v->loglik;
}

static int learn(slm_tokenizer **out, struct lex_vocab *v, const struct lex_words *w,
                 const slm_lexicon_opts *o, slm_err *err)
{
    slm_runtime *rt = w->table.rt;
    struct slm_buf json;
    int rc = start_vocab(v, o, err);
    if (!rc)
        rc = o->kind == SLM_LEXICON_BPE ? slm_lex_bpe(v, w, o, err)
                                        : slm_lex_unigram(v, w, o, err);
    slm_buf_init(&json, rt, SLM_MEM_TEXT, SIZE_MAX / 4);
    rc = rc ? rc : slm_lex_json(&json, v, o, err);
    rc = rc ? rc : slm_tok_new_json(out, rt, json.s, json.n, "the learnt tokenizer", err);
    slm_buf_release(&json);
    if (!rc)
        set_named(*out, o);
    return rc;
}

int slm_lexicon_train(slm_tokenizer **out, slm_lexicon_report *report, slm_runtime *rt,
                      const char *const *files, int n, const slm_lexicon_opts *opts,
                      slm_err *err)
{
    slm_lexicon_opts o = *opts;
    struct lex_words w = {0};
    struct lex_vocab v = {0};
    slm_lexicon_report none;
    *out = NULL;
    report = report ? report : &none;
    memset(report, 0, sizeof *report);
    name_tokens(&o);
    if (!o.max_piece && o.kind == SLM_LEXICON_UNIGRAM)
        o.max_piece = 16;
    slm_arena_init(&v.arena, rt, SLM_MEM_TEXT);
    double t0 = slm_clock_seconds();
    int rc = check(&o, n, err);
    rc = rc ? rc : slm_lex_words_count(&w, rt, files, n, &o, err);
    double t1 = slm_clock_seconds();
    rc = rc ? rc : learn(out, &v, &w, &o, err);
    if (!rc) {
        fill_report(report, &w, &v, &o);
        report->count_s = t1 - t0;
        report->learn_s = slm_clock_seconds() - t1;
    }
    slm_lex_words_release(&w);
    vocab_release(&v);
    return rc;
}
