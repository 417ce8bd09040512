/* Tokenizers: text to ids and back, with the ids of the reference library for each format. */
#ifndef SLM_TOKENIZER_H
#define SLM_TOKENIZER_H

#include "slm/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct slm_tokenizer slm_tokenizer;

/* A growing list of ids: zero-initialise, release with slm_ids_release. */
typedef struct slm_ids {
    int32_t *data;
    size_t len, cap;
    slm_runtime *rt;
} slm_ids;
SLM_API void slm_ids_release(slm_ids *ids);
/* Appends n ids. */
SLM_API int slm_ids_append(slm_ids *ids, slm_runtime *rt, const int32_t *data, size_t n,
                           slm_err *err);

enum slm_encode_flags {
    SLM_ENCODE_SPECIAL = 1,  /* special tokens spelled in the text become their ids */
    SLM_ENCODE_AFFIXES = 2,  /* add what the tokenizer puts before and behind (bos, eos) */
    SLM_ENCODE_CONTINUES = 4 /* the text goes on another: no blank is put in front of it */
};

enum slm_token_type { /* GGUF's numbering */
                      SLM_TOKEN_NORMAL = 1,
                      SLM_TOKEN_UNKNOWN = 2,
                      SLM_TOKEN_CONTROL = 3,
                      SLM_TOKEN_USER = 4,
                      SLM_TOKEN_UNUSED = 5,
                      SLM_TOKEN_BYTE = 6
};

/* Opens a tokenizer by itself: tokenizer.json, a SentencePiece .model, tekken.json, a .tiktoken
 * file, a GGUF file (with or without tensors), a folder with tokenizer.json | tokenizer.model |
 * vocab.json + merges.txt, or llama2.c's tokenizer.bin. Immutable; any thread may use it. */
SLM_API int slm_tokenizer_open(slm_tokenizer **out, slm_runtime *rt, const char *path,
                               slm_err *err);
SLM_API void slm_tokenizer_close(slm_tokenizer **t);

/* Appends the ids of the n bytes at text to *out. Bytes that are no UTF-8 are read as U+FFFD
 * (SentencePiece kinds fall back to bytes). Errors: SLM_E_NOMEM, SLM_E_LIMIT. */
SLM_API int slm_tokenizer_encode(const slm_tokenizer *t, const char *text, size_t n,
                                 unsigned flags, slm_ids *out, slm_err *err);
/* Appends the bytes of ids to *out; special tokens are spelled out when keep_special. */
SLM_API int slm_tokenizer_decode(const slm_tokenizer *t, const int32_t *ids, size_t n,
                                 int keep_special, slm_text *out, slm_err *err);

/* Streaming decode: feed ids one by one; what comes out is always whole characters. */
typedef struct slm_detok slm_detok;
SLM_API int slm_detok_new(slm_detok **out, const slm_tokenizer *t, int keep_special,
                          slm_err *err);
SLM_API void slm_detok_free(slm_detok *d);
SLM_API void slm_detok_reset(slm_detok *d);
/* Appends to *out the text that id completes (maybe nothing). */
SLM_API int slm_detok_feed(slm_detok *d, int32_t id, slm_text *out, slm_err *err);
/* Appends what is left at the end, U+FFFD for half a character. */
SLM_API int slm_detok_flush(slm_detok *d, slm_text *out, slm_err *err);

SLM_API int slm_tokenizer_size(const slm_tokenizer *t); /* ids are 0 .. size-1 */
SLM_API const char *slm_tokenizer_kind(
    const slm_tokenizer *t); /* "bpe", "spm", "unigram", "wordpiece" */
/* The stored piece of id and its length in bytes (not NUL-safe); NULL when id is out of range.
 */
SLM_API const char *slm_tokenizer_piece(const slm_tokenizer *t, int32_t id, size_t *len);
SLM_API int slm_tokenizer_type(const slm_tokenizer *t, int32_t id); /* enum slm_token_type */
/* Id of a token spelled exactly so, or -1. */
SLM_API int32_t slm_tokenizer_find(const slm_tokenizer *t, const char *piece, size_t len);
SLM_API int32_t slm_tokenizer_bos(const slm_tokenizer *t); /* -1: none */
SLM_API int32_t slm_tokenizer_eos(const slm_tokenizer *t);
SLM_API int slm_tokenizer_adds_bos(const slm_tokenizer *t);
SLM_API int slm_tokenizer_adds_eos(const slm_tokenizer *t);
/* Is id in the end-of-generation set (eos, eot, <|im_end|> ...)? */
SLM_API int slm_tokenizer_is_eog(const slm_tokenizer *t, int32_t id);

#ifdef __cplusplus
}
#endif
#endif
