/* What the small files of a model folder say about its tokenizer. */
#ifndef SLM_VOCAB_TOK_DIR_H
#define SLM_VOCAB_TOK_DIR_H

#include "vocab/tok_open.h"

struct fact_added {
    const char *s;
    size_t n;
    int64_t id;
    bool special, normalized, lstrip, rstrip, single_word;
};
struct tok_facts {
    struct slm_arena arena;
    const char *model_type; /* config.json; NULL: none */
    int64_t eog[64];        /* eos_token_id of config.json and generation_config.json */
    int n_eog;
    int64_t bos_id, eos_id;   /* config.json's; -1 */
    struct fact_added *added; /* added_tokens_decoder, added_tokens.json */
    size_t n_added, cap_added;
    int64_t top_id;                   /* the largest id among them, -1 */
    const char *named[SLM_TOK_NAMED]; /* spellings from tokenizer_config.json and its map */
    signed char add_bos, add_eos;     /* -1: not said */
    bool starved;                     /* a spelling could not be kept */
};

int slm_tok_facts_read(struct tok_facts *f, slm_runtime *rt, const char *dir, slm_err *err);
void slm_tok_facts_release(struct tok_facts *f);
bool slm_tok_fact_has(const struct tok_facts *f, const char *token);
/* Puts what they say into an opened tokenizer that is not finished yet. */
int slm_tok_facts_apply(slm_tokenizer *t, const struct tok_facts *f, slm_err *err);

int slm_tok_open_vocab(slm_tokenizer **out, slm_runtime *rt, const char *dir,
                       const struct tok_facts *f, slm_err *err);

#endif
