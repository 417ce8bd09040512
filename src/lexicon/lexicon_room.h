/* The inside of the lexicon room: tokenizers learnt from text.
 *
 * Learning has three steps that know nothing of each other: text becomes a list of distinct
 * words with how often each occurs (words.c), words become a vocabulary (merges.c for BPE;
 * seeds.c, lattice.c, unigram_em.c for unigram), the vocabulary becomes a tokenizer.json
 * (lex_json.c) that room vocab opens as it opens any other. So what is learnt is used the way
 * it will be read. */
#ifndef SLM_LEXICON_ROOM_H
#define SLM_LEXICON_ROOM_H

#include "slm/lexicon.h"
#include "text/text.h"
#include "text/tok.h"

/* --- distinct strings and how often they occur (word_table.c) --- */

struct lex_word {
    const char *s;
    uint32_t n;
    uint32_t mix; /* of the hash: most unequal strings are told apart by it */
    uint64_t count;
};
struct lex_table {
    slm_runtime *rt;
    struct lex_word *slot; /* open addressing; s NULL: free */
    size_t mask, used;
    struct lex_bytes *bytes; /* blocks that hold the strings */
    size_t left;
    bool failed; /* out of memory: what was added since is lost */
};
/* cap: strings expected, the table grows beyond. */
int slm_lex_table_init(struct lex_table *t, slm_runtime *rt, size_t cap, slm_err *err);
void slm_lex_table_release(struct lex_table *t);
/* Adds count to the string's; the bytes are copied when they are new. NULL: no memory. */
struct lex_word *slm_lex_table_add(struct lex_table *t, const char *s, size_t n,
                                   uint64_t count);
const struct lex_word *slm_lex_table_find(const struct lex_table *t, const char *s, size_t n);

/* --- words of texts (words.c) --- */

struct lex_words {
    struct lex_table table;
    struct lex_word *word; /* (n) in order of their bytes, strings borrowed from the table */
    size_t n;
    uint64_t bytes, units, pieces; /* of text; sequences; words with repetitions */
    uint64_t mended;               /* sequences that were no UTF-8 and were read as U+FFFD */
};
/* Splits and counts the files on all threads. */
int slm_lex_words_count(struct lex_words *w, slm_runtime *rt, const char *const *files, int n,
                        const slm_lexicon_opts *o, slm_err *err);
void slm_lex_words_release(struct lex_words *w);

/* --- what is learnt --- */

struct lex_vocab {
    struct slm_arena arena;
    struct slm_tok_str *piece; /* (n) special tokens, the alphabet, then what was learnt */
    double *score;             /* (n) unigram: log probability */
    size_t n, cap;
    int first;    /* id of the first that is no special token */
    int alphabet; /* ids from first on that are bytes or characters */
    struct lex_merge {
        int32_t left, right, id;
    } * merge; /* BPE, in the order they were learnt */
    size_t n_merges, cap_merges;
    uint64_t tokens; /* of the whole text under this vocabulary */
    double loglik;   /* unigram: of the whole text, nats */
};
/* Appends a piece (copied); its id, or -1: no memory. */
int32_t slm_lex_vocab_add(struct lex_vocab *v, const char *s, size_t n, double score);

/* Byte-level when !o->byte_fallback: pieces are bytes as they are; else characters. */
int slm_lex_bpe(struct lex_vocab *v, const struct lex_words *w, const slm_lexicon_opts *o,
                slm_err *err);
int slm_lex_unigram(struct lex_vocab *v, const struct lex_words *w, const slm_lexicon_opts *o,
                    slm_err *err);

/* Characters of the words that cover o->coverage of the text, most frequent first; *out is the
 * caller's (slm_free). */
struct lex_char {
    int32_t cp;
    uint64_t count;
};
int slm_lex_alphabet(struct lex_char **out, size_t *n, slm_runtime *rt,
                     const struct lex_words *w, double coverage, slm_err *err);

/* --- unigram's parts --- */

/* Pieces with weights: the seed, then what each round of pruning leaves. */
struct lex_pieces {
    struct slm_tok_str *s; /* (n) borrowed from the words */
    double *logp;          /* (n) */
    uint8_t *must;         /* (n) characters: never pruned */
    size_t n;
};
/* Characters and the repeated substrings of words, by weight. Arrays are from the arena. */
int slm_lex_seeds(struct lex_pieces *p, struct slm_arena *a, slm_runtime *rt,
                  const struct lex_words *w, const slm_lexicon_opts *o, slm_err *err);

/* Every piece that starts at each byte of a word, and its probability there. */
struct lex_model {
    slm_runtime *rt;
    const struct lex_pieces *p;
    struct trie trie;
    struct slm_arena arena;
    double *prob; /* (n) exp(logp) times scale^bytes: sums of words stay in range */
    double log_scale;
};
int slm_lex_model_init(struct lex_model *m, slm_runtime *rt, const struct lex_pieces *p,
                       double log_scale, slm_err *err);
void slm_lex_model_release(struct lex_model *m);

enum { LEX_WORD_MAX = 256 }; /* bytes; a longer word is learnt from in parts */
/* Adds count * P(piece in a segmentation of s) to expected; log P(s), 0 when it has none. */
double slm_lex_expect(const struct lex_model *m, const char *s, size_t n, double count,
                      double *expected);
/* Best segmentation of s into ids (room for n), without the piece `without` (-1: none): how
 * many, 0 when there is none. */
size_t slm_lex_best(const struct lex_model *m, const char *s, size_t n, int32_t without,
                    int32_t *ids);
/* Calls of expect and best over all words, on all threads, in a fixed number of parts: sums do
 * not depend on how many threads there are. expected: (n pieces), zeroed here. */
struct lex_sums {
    double *expected; /* or, for best, how often each piece is used */
    double loglik;
    uint64_t tokens, missed; /* missed: words without a segmentation */
};
int slm_lex_sums_run(struct lex_sums *out, const struct lex_model *m, const struct lex_words *w,
                     bool best, slm_err *err);

/* --- writing (lex_json.c) --- */

int slm_lex_json(struct slm_buf *b, const struct lex_vocab *v, const slm_lexicon_opts *o,
                 slm_err *err);
/* The pattern by name or itself. */
const char *slm_lex_pattern(const slm_lexicon_opts *o);

#endif
