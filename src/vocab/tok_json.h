/* What the two halves of the tokenizer.json reader share. */
#ifndef SLM_VOCAB_TOK_JSON_H
#define SLM_VOCAB_TOK_JSON_H

#include "vocab/tok_open.h"

struct slm_tok_str slm_tok_json_str(const slm_json *obj,
                                    const char *key); /* s NULL: no string */
/* Ids of <0x00> .. <0xFF> (-1: none), marked as bytes. */
void slm_tok_byte_ids(slm_tokenizer *t, int32_t *ids);

/* Steps of a normalizer, pre_tokenizer, decoder, post_processor; NULL and null are none. */
int slm_tok_json_norm(slm_tokenizer *t, const slm_json *j, int depth, slm_err *err);
int slm_tok_json_pre(slm_tokenizer *t, const slm_json *j, int depth, slm_err *err);
int slm_tok_json_dec(slm_tokenizer *t, const slm_json *j, int depth, slm_err *err);
int slm_tok_json_post(slm_tokenizer *t, const slm_json *j, int depth, slm_err *err);

#endif
