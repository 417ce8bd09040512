/* The face of the text room: what rooms above need of tokenizers beyond
 * include/slm/tokenizer.h.
 *
 * The room runs tokenizers and knows no file: room vocab above opens and exports them. For that
 * the inside of a tokenizer (text/tok.h) is the second half of this face. */
#ifndef SLM_TEXT_H
#define SLM_TEXT_H

#include "base/base.h"
#include "slm/tokenizer.h"

struct slm_tok_str {
    const char *s; /* not NUL-safe, may hold any bytes */
    size_t n;
};

/* Ids that GGUF names: tokenizer.ggml.<name>_token_id. */
enum slm_tok_named {
    SLM_TOK_BOS,
    SLM_TOK_EOS,
    SLM_TOK_UNK,
    SLM_TOK_SEP,
    SLM_TOK_PAD,
    SLM_TOK_CLS,
    SLM_TOK_MASK,
    SLM_TOK_EOT,
    SLM_TOK_EOM,
    SLM_TOK_FIM_PRE,
    SLM_TOK_FIM_SUF,
    SLM_TOK_FIM_MID,
    SLM_TOK_FIM_PAD,
    SLM_TOK_FIM_REP,
    SLM_TOK_FIM_SEP,
    SLM_TOK_NAMED
};
/* "bos_token_id", ... as they stand behind "tokenizer.ggml.". The separator and the classifier
 * are written "seperator_token_id" (GGUF's own spelling) and "cls_token_id". */
extern const char *const slm_tok_named_keys[SLM_TOK_NAMED];

/* Id of a named token, -1: none. */
int32_t slm_tok_named_id(const slm_tokenizer *t, enum slm_tok_named which);
/* The name of the pre-tokenizer as GGUF knows it, or NULL. */
const char *slm_tok_pre(const slm_tokenizer *t);

#endif
