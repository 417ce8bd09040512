/* Words of a text, and what is made of runs of them: the common ground of near-duplicates,
 * contamination and quality. Private to the room. */
#ifndef SLM_CORPUS_GRAMS_H
#define SLM_CORPUS_GRAMS_H

#include "base/base.h"

/* The words of one text, in lower case and without punctuation. Reused from text to text. */
struct slm_words {
    slm_runtime *rt;
    struct slm_buf text; /* the words, a blank between */
    struct slm_buf form; /* the text in normal form, where it is not ASCII */
    uint64_t *hash;      /* (n) of each word */
    uint32_t *end;       /* (n) behind each word in text.s */
    size_t n, cap_hash, cap_end;
};
void slm_words_init(struct slm_words *w, slm_runtime *rt);
void slm_words_release(struct slm_words *w);
/* The words of s (valid UTF-8) instead of those before. A word is a run of letters, marks,
 * digits and '_'; an apostrophe within is dropped ("don't": dont); a character of a script that
 * parts no words is a word; an operator between two digits is one too, so that 2 + 2 is not
 * 2 - 2. Case is folded by lower case, form by NFKC. SLM_E_NOMEM, SLM_E_LIMIT (4 GiB). */
int slm_words_read(struct slm_words *w, const char *s, size_t n, slm_err *err);
/* Word i: where it begins in text.s. */
static inline size_t slm_words_begin(const struct slm_words *w, size_t i)
{
    return i ? w->end[i - 1] + 1 : 0;
}

/* Runs of n words, each as 64 bits: words - n + 1 of them; a text of fewer words (but any) is
 * one run. `out` is grown. *count gets how many. */
struct slm_grams {
    uint64_t *hash;
    size_t n, cap;
};
int slm_grams_read(struct slm_grams *g, const struct slm_words *w, int n, slm_err *err);
/* Sorts and leaves one of each: a set. */
void slm_grams_set(struct slm_grams *g);
void slm_grams_release(struct slm_grams *g, slm_runtime *rt);
/* |a and b| / |a or b| of two sets; 0 when both are empty. */
double slm_grams_jaccard(const struct slm_grams *a, const struct slm_grams *b);

/* A bijection of 64 bits that leaves no pattern (splitmix64's). */
static inline uint64_t slm_mix64(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

#endif
