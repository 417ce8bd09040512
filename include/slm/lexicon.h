/* Learning tokenizers from text: byte-level BPE with the merges that the Hugging Face trainer
 * gives, BPE over characters with byte fallback, and unigram as SentencePiece defines it. */
#ifndef SLM_LEXICON_H
#define SLM_LEXICON_H

#include "slm/compress.h"
#include "slm/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

enum slm_lexicon_kind { SLM_LEXICON_BPE, SLM_LEXICON_UNIGRAM };

typedef struct slm_lexicon_opts {
    enum slm_lexicon_kind kind;
    int vocab;                  /* ids in all, special tokens and alphabet included */
    uint64_t min_frequency;     /* BPE: a pair that occurs less often is not merged */
    const char *const *special; /* special tokens in order of their ids, from 0 on */
    int n_special;
    const char *bos, *eos, *unk, *pad; /* which of them are these; NULL: known by spelling */
    int add_bos, add_eos;              /* put before and behind every text */
    const char *pattern; /* byte-level: "gpt2", "llama3", "qwen2", "o200k", "tekken", or a
                            regular expression; how text is split before merging */
    int whole;           /* 1: a file is one sequence; 0: each line, its end included, is one */
    int byte_fallback;   /* characters instead of bytes, SentencePiece's way: BPE over
                            characters and marks, <0x00> .. <0xFF> for what is unknown */
    double coverage;     /* characters: share of the text that the alphabet covers */
    int max_piece;       /* longest piece in characters; 0: 16 for unigram, any for BPE */
    int seeds;           /* unigram: pieces to start from */
    double shrink;       /* unigram: share of the pieces that a round of pruning leaves */
    int rounds;          /* unigram: EM steps between prunings */
    slm_progress_fn *progress; /* BPE: merges; unigram: rounds */
    void *progress_arg;
} slm_lexicon_opts;
/* BPE, 32,000 ids, pairs from 2 on, gpt2's pattern, lines, no special tokens. */
SLM_API void slm_lexicon_opts_init(slm_lexicon_opts *o);

typedef struct slm_lexicon_report {
    uint64_t bytes, sequences, words, distinct; /* of the text; words with repetitions */
    uint64_t mended; /* sequences that were no UTF-8: their bad bytes were read as U+FFFD */
    int vocab, merges;
    int short_by;            /* ids that were asked for and that the text did not give */
    uint64_t tokens;         /* of the text itself under the result */
    double loglik;           /* unigram: log-likelihood of the text, nats; BPE: 0 */
    double count_s, learn_s; /* seconds for splitting and counting, and for learning */
} slm_lexicon_report;

/* Learns a tokenizer from n text files. *out is the caller's (slm_tokenizer_close); report may
 * be NULL. The result depends on the bytes of the files alone: not on the number of threads,
 * and for BPE not on the order of the files. BPE: Sennrich, Haddow, Birch 2016 over bytes, ties
 * as Hugging Face tokenizers breaks them (the smaller left id, then the smaller right id).
 * Unigram: Kudo 2018. Errors: SLM_E_ARG (an option out of range, a vocabulary too small for
 * special tokens and alphabet, a special token twice), SLM_E_NOTFOUND, SLM_E_IO, SLM_E_FORMAT
 * (texts without a word, a bad pattern), SLM_E_LIMIT, SLM_E_CANCELLED, SLM_E_NOMEM. */
SLM_API int slm_lexicon_train(slm_tokenizer **out, slm_lexicon_report *report, slm_runtime *rt,
                              const char *const *files, int n, const slm_lexicon_opts *o,
                              slm_err *err);

typedef struct slm_tokenizer_save_opts {
    int64_t model_max;         /* tokens a model takes, for tokenizer_config.json; 0: unsaid */
    const char *chat_template; /* for tokenizer_config.json and GGUF; NULL: none */
    const char *arch;          /* GGUF: general.architecture; NULL: "llama" */
} slm_tokenizer_save_opts;
/* Writes any tokenizer: as a GGUF file of keys where path ends in .gguf, as tokenizer.json
 * where it ends in .json, else into the folder at path (made when it is not there) as
 * tokenizer.json and tokenizer_config.json. Each file appears whole or not at all. o may be
 * NULL. Errors: SLM_E_IO, SLM_E_UNSUPPORTED (what the form has no words for, named),
 * SLM_E_NOMEM. */
SLM_API int slm_tokenizer_save(const slm_tokenizer *t, const char *path,
                               const slm_tokenizer_save_opts *o, slm_err *err);

#ifdef __cplusplus
}
#endif
#endif
