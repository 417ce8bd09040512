/* The face of the vocab room: tokenizers out of files, and back into them.
 *
 * The room reads no GGUF: a GGUF file's tokenizer travels as a `slm_tok_spec`, plain arrays
 * that room model fills from tokenizer.ggml.* to open one, and that slm_tok_export fills to
 * write one (slm_tok_spec_put). Everything else (tokenizer.json, SentencePiece, tiktoken,
 * tekken, llama2.c, folders) is opened here by path. What is opened runs in room text. */
#ifndef SLM_VOCAB_H
#define SLM_VOCAB_H

#include "format/gguf.h"
#include "text/text.h"

/* tokenizer.ggml.* as plain arrays. slm_tok_spec_init makes everything absent; arrays are
 * borrowed. */
struct slm_tok_spec {
    const char *name;  /* of the file, for messages */
    const char *model; /* tokenizer.ggml.model; NULL: absent */
    const char *pre;   /* tokenizer.ggml.pre; NULL: absent */
    const char *arch;  /* general.architecture; may be NULL */
    const struct slm_tok_str *tokens;
    size_t n_tokens;
    const float *scores; /* NULL: absent; else n_scores, checked against n_tokens */
    size_t n_scores;
    const int32_t *types; /* enum slm_token_type */
    size_t n_types;
    const struct slm_tok_str *merges; /* "left right" */
    size_t n_merges;
    const uint8_t *charsmap; /* precompiled_charsmap */
    size_t n_charsmap;
    int64_t id[SLM_TOK_NAMED];             /* -1: absent */
    signed char add_bos, add_eos, add_sep; /* 1, 0, or -1: absent */
    signed char add_space_prefix, remove_extra_whitespaces, escape_whitespaces;
};
void slm_tok_spec_init(struct slm_tok_spec *spec);

/* A tokenizer from GGUF keys. Nothing of spec is kept. An id outside the tokens, a list of
 * another length, an unknown model, or a merge of unknown tokens is SLM_E_FORMAT; an unknown
 * `pre` is SLM_E_UNSUPPORTED. Without `pre` a gpt2 vocabulary splits as GPT-2 does. */
int slm_tok_new_gguf(slm_tokenizer **out, slm_runtime *rt, const struct slm_tok_spec *spec,
                     slm_err *err);

/* Any form but GGUF, by path: file or folder. (slm_tokenizer_open is this plus GGUF.) */
int slm_tok_open_path(slm_tokenizer **out, slm_runtime *rt, const char *path, slm_err *err);
/* From the text of a tokenizer.json; name stands in messages. */
int slm_tok_new_json(slm_tokenizer **out, slm_runtime *rt, const char *s, size_t n,
                     const char *name, slm_err *err);
/* A model folder: tokenizer.json | tokenizer.model | tekken.json | *.tiktoken | vocab.json +
 * merges.txt, with what config.json, generation_config.json, tokenizer_config.json,
 * added_tokens.json and special_tokens_map.json say about special tokens. SLM_E_NOTFOUND when
 * it holds none. */
int slm_tok_open_dir(slm_tokenizer **out, slm_runtime *rt, const char *dir, slm_err *err);
/* Is there a tokenizer in the folder? */
bool slm_tok_dir_has(slm_runtime *rt, const char *dir);

/* The tokenizer as GGUF keys, such that llama.cpp reads the same tokenizer from them. n_vocab:
 * rows of the embedding, tokens are padded to it with "[PADn]" (0: no padding). spec's arrays
 * live in the export. SLM_E_UNSUPPORTED when GGUF has no words for it (names the part). */
struct slm_tok_export {
    struct slm_tok_spec spec;
    struct slm_arena arena;
};
int slm_tok_export(struct slm_tok_export *x, const slm_tokenizer *t, size_t n_vocab,
                   slm_err *err);
void slm_tok_export_release(struct slm_tok_export *x); /* zeroed is fine */

/* Those keys into a file that is being written. */
int slm_tok_spec_put(slm_gguf_out *w, slm_runtime *rt, const struct slm_tok_spec *spec,
                     slm_err *err);

/* The tokenizer as the text of a tokenizer.json, appended to out: the original where it came
 * from one, else the pipeline that gives the same ids. */
int slm_tok_export_json(const slm_tokenizer *t, struct slm_buf *out, slm_err *err);
/* ... and of the tokenizer_config.json beside it (special tokens, add_bos_token); chat_template
 * may be NULL. */
int slm_tok_export_config(const slm_tokenizer *t, const char *chat_template,
                          struct slm_buf *out, slm_err *err);

#endif
