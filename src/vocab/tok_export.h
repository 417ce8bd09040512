/* Merges read back out of the table, for both kinds of export. */
#ifndef SLM_VOCAB_TOK_EXPORT_H
#define SLM_VOCAB_TOK_EXPORT_H

#include "vocab/tok_open.h"

struct merge {
    uint32_t rank;
    int32_t left, right, id;
};
/* All merges in order of rank, from a: for rank files the one pair that makes each token; for
 * SentencePiece all pairs of two tokens. */
int slm_tok_merges(const slm_tokenizer *t, struct slm_arena *a, struct merge **out, size_t *n,
                   slm_err *err);
/* The normaliser's options about blanks. */
bool slm_tok_marks_front(const slm_tokenizer *t);           /* a mark is put in front */
bool slm_tok_trims(const slm_tokenizer *t);                 /* doubled and outer blanks go */
const struct charsmap *slm_tok_map(const slm_tokenizer *t); /* or NULL */
/* Is it SentencePiece's BPE in all but name: characters, byte fallback, marks? */
bool slm_tok_is_spm(const slm_tokenizer *t);

#endif
