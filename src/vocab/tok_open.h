/* The openers of one form each, from bytes in memory, and what chooses among them. Each fills a
 * tokenizer's tables (text/tok.h), names its steps and ends with slm_tok_finish. */
#ifndef SLM_VOCAB_TOK_OPEN_H
#define SLM_VOCAB_TOK_OPEN_H

#include "text/tok.h"
#include "vocab/vocab.h"

int slm_tok_open_json(slm_tokenizer **out, slm_runtime *rt, const char *s, size_t n,
                      const char *name, slm_err *err);
int slm_tok_open_spm(slm_tokenizer **out, slm_runtime *rt, const char *s, size_t n,
                     const char *name, slm_err *err);
int slm_tok_open_tiktoken(slm_tokenizer **out, slm_runtime *rt, const char *s, size_t n,
                          const char *name, slm_err *err);
int slm_tok_read_tekken(slm_tokenizer *t, const slm_json *root, slm_err *err);
int slm_tok_open_bin(slm_tokenizer **out, slm_runtime *rt, const char *s, size_t n,
                     const char *name, slm_err *err);
/* One of the above by what the bytes look like. */
int slm_tok_open_mem(slm_tokenizer **out, slm_runtime *rt, const char *s, size_t n,
                     const char *name, slm_err *err);

#endif
