/* The inside of a tokenizer: for the room, and for room vocab, which fills and reads it.
 *
 * Every form (tokenizer.json, SentencePiece, tiktoken, GGUF ...) becomes one and the same
 * object: a pipeline of added tokens, normaliser steps, splitting steps, one model, affixes,
 * decoder steps. The openers translate; the pipeline runs. It is immutable after open: whatever
 * an encode call needs to write lives in its own `struct enc`. */
#ifndef SLM_TEXT_TOK_H
#define SLM_TEXT_TOK_H

#include "text/text.h"

#define SLM_MARK "\xE2\x96\x81" /* U+2581, SentencePiece's blank */
#define SLM_MARK_LEN 3

/* --- strings to numbers (strmap.c) --- */

/* Maps keys[val] back to val; keys belong to the caller. */
struct strmap {
    const struct slm_tok_str *keys;
    struct strslot {
        uint32_t hash;
        int32_t val;
    } * slot;
    size_t mask, used;
};
uint32_t slm_strhash(const char *s, size_t n);
/* Room for n keys, from the arena. */
int slm_strmap_init(struct strmap *m, struct slm_arena *a, const struct slm_tok_str *keys,
                    size_t n);
/* Adds keys[val]; false when an equal key is there already (which stays). */
bool slm_strmap_add(struct strmap *m, int32_t val);
int32_t slm_strmap_find(const struct strmap *m, const char *s, size_t n); /* -1 */

/* A byte trie with values; children of a node lie together, sorted by byte. */
struct trie_node {
    uint32_t first;
    int32_t value;
    uint16_t count;
    uint8_t label;
};
struct trie {
    struct trie_node *node;
    uint32_t n, root[256]; /* 0: none */
};
/* From n strings (empty ones are left out) with value = index. Of equal strings the first
 * counts. */
int slm_trie_init(struct trie *t, struct slm_arena *a, const struct slm_tok_str *keys,
                  size_t n);
/* Walks one byte: the child, or 0. Start with slm_trie_root. */
uint32_t slm_trie_step(const struct trie *t, uint32_t node, uint8_t c);
/* Longest key that is a prefix of s: its value and *len, or -1. */
int32_t slm_trie_longest(const struct trie *t, const char *s, size_t n, size_t *len);

/* --- byte-level alphabet (bytemap.c) --- */

int32_t slm_byte_char(uint8_t b); /* the character that stands for a byte */
int slm_char_byte(int32_t cp);    /* and back; -1: stands for none */
/* Appends s mapped to characters. */
void slm_bytes_to_chars(struct slm_buf *b, const char *s, size_t n);
/* s mapped back into out (which has room for n); false (nothing sensible written) when a
 * character stands for no byte. */
bool slm_chars_to_bytes(char *out, size_t *len, const char *s, size_t n);
/* "<0x41>" -> 0x41, else -1. */
int slm_byte_piece(const char *s, size_t n);
/* Appends the bytes that base64 text stands for; false when it is none. */
bool slm_base64_put(struct slm_buf *out, const char *s, size_t n);

/* --- patterns (regex.c, scan.c) --- */

struct slm_regex;
struct slm_regex_run; /* what one call needs: match data, JIT stack, the budget */
int slm_regex_new(struct slm_regex **out, slm_runtime *rt, const char *pattern, size_t n,
                  const char *name, slm_err *err);
void slm_regex_free(struct slm_regex *re);
int slm_regex_run_new(struct slm_regex_run **out, slm_runtime *rt, size_t text, slm_err *err);
void slm_regex_run_free(struct slm_regex_run *run);
/* Next match in s[from, n): 1 with [*a, *b), 0 when none, or an error (limits). */
int slm_regex_find(const struct slm_regex *re, struct slm_regex_run *run, const char *s,
                   size_t n, size_t from, size_t *span, slm_err *err);
/* The pattern in PCRE2's words (regex_words.c). */
int slm_regex_words(struct slm_buf *out, const char *p, size_t n, const char *name,
                    slm_err *err);

/* Hand-written twins of the patterns that most files use: the end of the match that starts at i
 * (every character belongs to one). NULL when there is no twin. */
typedef size_t slm_scan_fn(const char *s, size_t n, size_t i);
slm_scan_fn *slm_scan_find(const char *pattern, size_t n);

/* White_Space, and Rust's \w. */
bool slm_is_word(int32_t cp);
/* As the library's own tables have them (bert_tables.c): punctuation (P* and all ASCII
 * symbols), nonspacing marks, marks. */
bool slm_is_punct(int32_t cp);
bool slm_is_accent(int32_t cp);
bool slm_is_mark(int32_t cp);

/* --- normaliser steps (norm.c, norm_spm.c, charsmap.c) --- */

struct charsmap {
    const uint32_t *unit; /* double array */
    size_t n_unit;
    const char *text; /* NUL-separated replacements */
    size_t n_text;
    const uint8_t *blob; /* as stored, for export */
    size_t n_blob;
};
int slm_charsmap_init(struct charsmap *m, struct slm_arena *a, const uint8_t *blob, size_t n,
                      const char *name, slm_err *err);
/* Longest (or, when shortest, first) rule that is a prefix of s: the replacement, its length,
 * and the bytes eaten; NULL when none. */
const char *slm_charsmap_find(const struct charsmap *m, const char *s, size_t n, bool shortest,
                              size_t *eaten, size_t *len);

enum norm_kind {
    NORM_PREPEND,
    NORM_REPLACE,
    NORM_REPLACE_RE,
    NORM_NFC,
    NORM_NFD,
    NORM_NFKC,
    NORM_NFKD,
    NORM_LOWER,
    NORM_STRIP_ACCENTS,
    NORM_STRIP,
    NORM_BERT,
    NORM_CHARSMAP,
    NORM_BYTES,
    NORM_NMT,
    NORM_SPM
};
struct norm_step {
    enum norm_kind kind;
    struct slm_tok_str a, b; /* prepend / pattern, content */
    struct slm_regex *re;
    bool left, right;                    /* strip */
    bool clean, chinese, accents, lower; /* bert */
    bool dummy_prefix, extra_spaces, escape,
        suffix; /* spm: add, remove, ▁ for blanks, mark behind */
    struct charsmap *map;
};

/* --- splitting steps (pre.c) --- */

enum pre_kind {
    PRE_BYTES,
    PRE_SPLIT,
    PRE_SPLIT_STR,
    PRE_METASPACE,
    PRE_DIGITS,
    PRE_WHITESPACE,
    PRE_WHITESPACE_SPLIT,
    PRE_PUNCTUATION,
    PRE_BERT,
    PRE_CHAR
};
enum split_behavior {
    SPLIT_REMOVED,
    SPLIT_ISOLATED,
    SPLIT_PREVIOUS,
    SPLIT_NEXT,
    SPLIT_CONTIGUOUS
};
enum prepend_scheme { PREPEND_ALWAYS, PREPEND_FIRST, PREPEND_NEVER };
struct pre_step {
    enum pre_kind kind;
    struct slm_tok_str str; /* pattern as written, string, delimiter, replacement */
    struct slm_regex *re;
    slm_scan_fn *scan; /* instead of re */
    enum split_behavior behavior;
    bool invert;
    bool prefix, regex; /* bytes: add_prefix_space, use_regex */
    bool map;           /* bytes: write the alphabet's characters (the model reads those) */
    bool single;        /* digits one by one */
    bool split;         /* metaspace */
    enum prepend_scheme scheme;
};

/* --- models --- */

enum model_kind { MODEL_BPE, MODEL_UNIGRAM, MODEL_WORDPIECE, MODEL_WORDLEVEL };

struct bpe_pair {
    uint64_t key;
    uint32_t rank;
    int32_t id;
};
struct bpe {
    struct bpe_pair *pair; /* open addressing by (left, right) */
    size_t n_pair;
    int shift;
    bool bytes; /* symbols are bytes (byte-level), else characters */
    bool spm;   /* SentencePiece: unknowns are settled after merging */
    bool byte_fallback, ignore_merges, fuse_unk, by_rank;
    bool mergeable; /* a pair crosses into a mark only behind bytes in `glue` */
    uint8_t glue[256];
    int32_t unk;                       /* -1 */
    int32_t sym[256];                  /* id of a byte (bytes) or of an ASCII character */
    int32_t fallback[256];             /* id of <0xNN>, -1 */
    struct slm_tok_str prefix, suffix; /* continuing_subword_prefix, end_of_word_suffix */
    /* Characters that are no token but half of a pair: ids from n_vocab up (spm). */
    struct slm_tok_str *extra;
    int n_extra;
    struct strmap extra_map;
    bool has_unused;
    int32_t last; /* while merges are read: the token of the last one */
};
struct unigram {
    struct trie trie;
    double min_score, max_score;
    int32_t unk;
    bool byte_fallback, spm;
    int32_t fallback[256];
};
struct wordpiece {
    struct slm_tok_str prefix;
    int32_t unk;
    int max_chars;
    size_t longest; /* bytes of the longest piece */
};

/* --- added tokens (added.c) --- */

struct added {
    struct slm_tok_str text;
    int32_t id;
    bool special, normalized, lstrip, rstrip, single_word;
};
struct added_set {
    struct trie trie;
    int32_t *which; /* trie value -> index of added */
    uint8_t first[256];
    int n;
    int only; /* the first byte, when there is but one, else -1 */
};

/* --- decoder steps (decode.c) --- */

enum dec_kind {
    DEC_BYTES,
    DEC_REPLACE,
    DEC_BYTE_FALLBACK,
    DEC_FUSE,
    DEC_STRIP,
    DEC_METASPACE,
    DEC_WORDPIECE,
    DEC_BPE,
    DEC_JOIN,
    DEC_SPM
};
struct dec_step {
    enum dec_kind kind;
    struct slm_tok_str a, b;
    int start, stop;
    enum prepend_scheme scheme;
    bool cleanup;
    bool prefix_space, extra_spaces; /* spm: takes back the mark in front; all of them */
    struct slm_regex *re;
};
#define SLM_DEC_MAX 16

/* --- the tokenizer --- */

enum tok_source {
    FROM_JSON,
    FROM_SPM,
    FROM_TIKTOKEN,
    FROM_TEKKEN,
    FROM_BIN,
    FROM_GGUF,
    FROM_VOCAB
};

struct slm_tokenizer {
    slm_runtime *rt;
    struct slm_arena arena;
    const char *name;
    enum tok_source source;

    int n;                     /* ids are 0 .. n-1 */
    struct slm_tok_str *piece; /* (n) as stored; s NULL: no such id */
    struct slm_tok_str *raw;   /* (n) the bytes in a text */
    float *score;              /* (n) */
    double *dscore;            /* (n) unigram of tokenizer.json, NULL */
    uint8_t *type;             /* (n) enum slm_token_type */
    uint8_t *eog;              /* (n) */
    struct strmap by_piece;    /* the model's own pieces */
    struct strmap by_raw;      /* byte-level: the same by bytes */

    struct added *added;
    int n_added;
    size_t cap_added;
    struct slm_tok_str *added_text; /* (n_added) keys of by_added */
    struct strmap by_added;
    struct added_set raw_set, norm_set;
    bool mark_after_special; /* spm: every segment gets its mark, not only the first */

    struct norm_step *norm;
    int n_norm;
    size_t cap_norm;
    struct pre_step *pre;
    int n_pre;
    size_t cap_pre;

    enum model_kind kind;
    struct bpe bpe;
    struct unigram uni;
    struct wordpiece wp;

    struct slm_tok_str *merges; /* "left right" for export, NULL where there are none */
    size_t n_merges;
    struct trie user; /* spm: user-defined pieces, frozen before merging */
    int32_t *user_id;
    uint8_t user_first[256];
    bool has_user;

    int32_t *before, *behind; /* affixes */
    int n_before, n_behind;

    struct dec_step dec[SLM_DEC_MAX];
    int n_dec;

    int32_t named[SLM_TOK_NAMED];
    bool add_bos, add_eos;
    const char *pre_name;    /* as GGUF knows it, or NULL */
    struct slm_tok_str json; /* tokenizer.json's text, when that was the source */
};

/* --- building (build.c) --- */

int slm_tok_begin(slm_tokenizer **out, slm_runtime *rt, const char *name, slm_err *err);
/* Tables for n ids, all absent. */
int slm_tok_tables(slm_tokenizer *t, size_t n, slm_err *err);
struct slm_tok_str slm_tok_dup(slm_tokenizer *t, const char *s,
                               size_t n); /* s NULL: no memory */
struct norm_step *slm_tok_add_norm(slm_tokenizer *t, enum norm_kind kind);
struct pre_step *slm_tok_add_pre(slm_tokenizer *t, enum pre_kind kind);
struct dec_step *slm_tok_add_dec(slm_tokenizer *t, enum dec_kind kind);
struct added *slm_tok_add_added(slm_tokenizer *t, const char *s, size_t n, int32_t id,
                                slm_err *err);
/* A splitting step by pattern. */
int slm_tok_add_pattern(slm_tokenizer *t, const char *pattern, size_t n, slm_err *err);
/* raw of every id that has none yet from its piece: byte-level alphabet, or marks and <0xNN>.
 */
int slm_tok_raw_bytes(slm_tokenizer *t, slm_err *err);
int slm_tok_raw_marks(slm_tokenizer *t, slm_err *err);
/* by_piece (and by_raw) over the ids that the model itself may give. */
int slm_tok_index(slm_tokenizer *t, bool raw, slm_err *err);
/* Added-token sets, special ids, the end-of-generation set; checks; call last. */
int slm_tok_finish(slm_tokenizer *t, slm_err *err);
void slm_tok_affixes(slm_tokenizer *t, const int32_t *before, int nb, const int32_t *behind,
                     int ne);
int slm_tok_affixes_from_flags(slm_tokenizer *t, slm_err *err); /* add_bos, add_eos */
void slm_tok_find_named(slm_tokenizer *t); /* special.c: by spelling, where not yet known */
void slm_tok_find_eog(slm_tokenizer *t);
bool slm_tok_ends(const char *s, size_t n); /* spelled like a token that ends a text */
void slm_tok_mark_eog(slm_tokenizer *t, int64_t id);
/* The GPT-2 way: bytes, alphabet, decoder; pattern NULL: GPT-2's own. */
int slm_tok_byte_level(slm_tokenizer *t, const char *const *patterns, int n, slm_err *err);

/* --- patterns by name (patterns.c) --- */

extern const char slm_pattern_gpt2[], slm_pattern_llama3[], slm_pattern_qwen2[],
    slm_pattern_tekken[], slm_pattern_o200k[];
/* One of those by the name that people use for it, or NULL; and the names. */
const char *slm_pattern_find(const char *name);
extern const char slm_pattern_names[];
struct pre_row {
    const char *name;
    const char *const *patterns; /* NULL-terminated */
    unsigned flags;              /* PRE_ROW_* */
};
enum {
    PRE_ROW_IGNORE_MERGES = 1,
    PRE_ROW_ADD_BOS = 2,
    PRE_ROW_DIGITS = 4,
    PRE_ROW_NFC = 8,
    PRE_ROW_RAW = 16,
    PRE_ROW_ADD_SEP = 32,
    PRE_ROW_NO_BOS = 64
};
const struct pre_row *slm_pre_find(const char *name);
/* The name of the row that splits as these steps do, or NULL. */
const char *slm_pre_name(const slm_tokenizer *t);

/* --- running --- */

struct span {
    size_t at, n;
    bool first;
}; /* first: starts where the text starts */
struct spans {
    struct span *v;
    size_t n, cap;
};
struct word_cache;
struct enc {
    const slm_tokenizer *t;
    slm_runtime *rt;
    slm_ids *out;
    slm_err *err;
    unsigned flags;
    bool glued;  /* the part at hand goes on a text: nothing is put before it */
    size_t text; /* bytes of the whole text */
    struct slm_buf norm[2], pre[2];
    struct spans split[2];
    struct slm_regex_run *re;
    int32_t *sym; /* BPE: symbols, their pairs' ranks, links, heap */
    uint32_t *rank;
    int32_t *prev, *next;
    uint64_t *heap;
    size_t cap_sym, cap_links;
    struct word_cache *cache;
    struct uni_node *node;
    size_t cap_node;
    struct spans tmp;
};

int slm_enc_put(struct enc *e, int32_t id);
int slm_spans_put(struct enc *e, struct spans *s, size_t at, size_t n, bool first);
/* Regex state, made on first use. */
int slm_enc_regex(struct enc *e, const struct slm_regex *re, const char *s, size_t n,
                  size_t from, size_t *span);

/* One segment between added tokens through the normaliser: *out points into e->norm or at s. */
int slm_norm_run(struct enc *e, const char *s, size_t n, bool first, struct slm_tok_str *out);
int slm_norm_step_run(struct enc *e, const struct norm_step *st, const char *s, size_t n,
                      bool first, struct slm_buf *out);
int slm_norm_spm(struct enc *e, const struct norm_step *st, const char *s, size_t n, bool first,
                 struct slm_buf *out);
/* A normalised piece through the splitting steps and the model. */
int slm_pre_run(struct enc *e, const char *s, size_t n, bool first);

int slm_bpe_word(struct enc *e, const char *s, size_t n);
int slm_bpe_text(struct enc *e, const char *s,
                 size_t n); /* no splitting steps: cuts by itself */
int slm_bpe_spm(struct enc *e, const char *s, size_t n);
int slm_unigram_word(struct enc *e, const char *s, size_t n);
int slm_wordpiece_word(struct enc *e, const char *s, size_t n);
int slm_wordlevel_word(struct enc *e, const char *s, size_t n);
int slm_model_word(struct enc *e, const char *s, size_t n);

/* Building the BPE tables (bpe_build.c). */
int slm_bpe_begin(slm_tokenizer *t, size_t pairs, slm_err *err);
bool slm_bpe_add(struct bpe *b, int32_t left, int32_t right, uint32_t rank, int32_t id);
/* "left right" -> one more pair of that rank. */
int slm_bpe_add_merge(slm_tokenizer *t, struct slm_tok_str left, struct slm_tok_str right,
                      uint32_t rank, slm_err *err);
/* Pairs from the pieces themselves: rank order by score (spm) or by id (tiktoken). */
int slm_bpe_from_scores(slm_tokenizer *t, slm_err *err);
int slm_bpe_from_ranks(slm_tokenizer *t, slm_err *err);
void slm_bpe_finish(slm_tokenizer *t);
const struct bpe_pair *slm_bpe_find(const struct bpe *b, int32_t left, int32_t right);

/* Added tokens. */
int slm_added_set_init(slm_tokenizer *t, struct added_set *s, bool normalized, slm_err *err);
/* Next added token in s from `from` on that counts under the flags: index of t->added, its span
 * with the blanks it takes, or -1. */
int slm_added_next(const slm_tokenizer *t, const struct added_set *set, struct slm_tok_str s,
                   size_t from, unsigned flags, size_t *span);

#endif
