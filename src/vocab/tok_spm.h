/* What every SentencePiece-like source (.model, GGUF "llama" and "t5", llama2.c) shares. The
 * tables must be filled: pieces, scores, types, the unknown token's id. */
#ifndef SLM_VOCAB_TOK_SPM_H
#define SLM_VOCAB_TOK_SPM_H

#include "vocab/tok_open.h"

int slm_tok_spm_model(slm_tokenizer *t, bool unigram, bool byte_fallback, slm_err *err);
/* Control tokens (and the unknown one) as added tokens. */
int slm_tok_spm_added(slm_tokenizer *t, slm_err *err);
int slm_tok_spm_decoder(slm_tokenizer *t, bool dummy, bool extra, slm_err *err);

#endif
