/* Training data: files of rows in the formats people have, checked, converted, and rendered by
 * a model's own template and tokenizer into tokens that are learnt or not. */
#ifndef SLM_DATA_H
#define SLM_DATA_H

#include "slm/template.h"
#include "slm/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How rows stand in a file. */
enum slm_data_form {
    SLM_DATA_FORM_AUTO,
    SLM_DATA_FORM_JSONL, /* an object a line */
    SLM_DATA_FORM_JSON, /* an array of objects; an object with such an array ("data", "rows") */
    SLM_DATA_FORM_CSV,  /* RFC 4180 with a header */
    SLM_DATA_FORM_TSV,
    SLM_DATA_FORM_TEXT,
    SLM_DATA_FORM_COUNT
};
/* "auto" "jsonl" "json" "csv" "tsv" "text"; NULL out of range. And back: -1 when unknown. */
SLM_API const char *slm_data_form_name(int form);
SLM_API int slm_data_form_find(const char *name);

/* What a row's fields mean. */
enum slm_data_format {
    SLM_DATA_AUTO,
    SLM_DATA_MESSAGES,   /* messages: role, content, tool_calls ...; tools */
    SLM_DATA_SHAREGPT,   /* conversations: from, value */
    SLM_DATA_ALPACA,     /* instruction, input, output; system, history */
    SLM_DATA_PROMPT,     /* prompt, completion: texts, or lists of messages */
    SLM_DATA_PREFERENCE, /* prompt, chosen, rejected; without prompt: what both begin with */
    SLM_DATA_KTO,        /* prompt, completion, label */
    SLM_DATA_TEXT,       /* text */
    SLM_DATA_FORMAT_COUNT
};
/* "auto" "messages" "sharegpt" "alpaca" "prompt" "preference" "kto" "text"; and back, -1. */
SLM_API const char *slm_data_format_name(int format);
SLM_API int slm_data_format_find(const char *name);

/* What of an example is learnt. */
enum slm_train_on {
    SLM_TRAIN_AUTO,       /* chats: ASSISTANT; prompts, pairs: COMPLETION; texts: ALL */
    SLM_TRAIN_ASSISTANT,  /* every answer of the assistant */
    SLM_TRAIN_LAST,       /* its last answer alone */
    SLM_TRAIN_COMPLETION, /* what follows the prompt; of chats the last answer */
    SLM_TRAIN_ALL,        /* every token */
    SLM_TRAIN_COUNT
};
/* "auto" "assistant" "last" "completion" "all"; and back, -1. */
SLM_API const char *slm_train_on_name(int what);
SLM_API int slm_train_on_find(const char *name);

/* Why a row was not kept. */
enum slm_data_loss {
    SLM_LOSS_NONE,
    SLM_LOSS_UTF8,     /* not UTF-8 */
    SLM_LOSS_JSON,     /* not JSON, or no object */
    SLM_LOSS_CSV,      /* fields that do not go with the header */
    SLM_LOSS_FIELDS,   /* fields that are no known format, or more than one; of a wrong type */
    SLM_LOSS_ROLES,    /* roles out of order, or unknown */
    SLM_LOSS_EMPTY,    /* an empty completion, prompt or text */
    SLM_LOSS_TEMPLATE, /* the chat template failed */
    SLM_LOSS_DROPPED,  /* the chat template left a message's text out */
    SLM_LOSS_SPANS,    /* what of the rendered text is an answer cannot be told */
    SLM_LOSS_LONG,     /* longer than the window */
    SLM_LOSS_MASKED,   /* no token of it is learnt */
    SLM_LOSS_COUNT
};
/* "not UTF-8", "not JSON" ...; and as keys: "utf8", "json" ... */
SLM_API const char *slm_data_loss_words(int loss);
SLM_API const char *slm_data_loss_name(int loss);

/* ---- token stores: every example as tokens, in a file ---- */

enum slm_tokens_kind {
    SLM_TOKENS_TEXT,  /* documents */
    SLM_TOKENS_CHAT,  /* conversations, prompts with their answers */
    SLM_TOKENS_PAIR,  /* documents 2i and 2i + 1: a prompt with its chosen, its rejected answer
                       */
    SLM_TOKENS_JUDGED /* each document's label: desirable (1) or not (0), as KTO wants them */
};

/* One example. learn[i]: is token i to be predicted; never so for the first. Borrowed from the
 * store. */
struct slm_doc {
    const int32_t *ids;   /* (n) */
    const uint8_t *learn; /* (n) */
    int n, targets;       /* targets: how many are to be predicted */
    int label;            /* pairs: 1 chosen, 0 rejected; judged: the label; else 1 */
    int64_t row;          /* of the data it was made from, from 0; a row may give several */
};

typedef struct slm_tokens slm_tokens;
/* Opens a store that slm_data_build wrote; the file is mapped. Errors: SLM_E_NOTFOUND,
 * SLM_E_IO, SLM_E_FORMAT (no store, cut short, tables that point outside). */
SLM_API int slm_tokens_open(slm_tokens **out, slm_runtime *rt, const char *path, slm_err *err);
/* A store in memory: documents of `seq` ids each in their order, all learnt; ids that do not
 * fill a last one are left out. Copied. Errors: SLM_E_ARG (fewer than seq ids, an id outside
 * 0 .. vocab - 1), SLM_E_NOMEM. */
SLM_API int slm_tokens_from_ids(slm_tokens **out, slm_runtime *rt, const int32_t *ids, size_t n,
                                int seq, int vocab, slm_err *err);
SLM_API void slm_tokens_close(slm_tokens **t);
SLM_API int64_t slm_tokens_docs(const slm_tokens *t);
/* Document i < slm_tokens_docs. */
SLM_API void slm_tokens_doc(const slm_tokens *t, int64_t i, struct slm_doc *out);

typedef struct slm_tokens_info {
    enum slm_tokens_kind kind;
    int vocab;   /* ids are below it */
    int longest; /* tokens of the longest document */
    int64_t docs, ids, targets;
    const char *hash; /* 32 digits: data, tokenizer, template and options; "" in memory */
    const char *note; /* the report of the build as JSON, "" when there is none */
} slm_tokens_info;
SLM_API void slm_tokens_info_get(const slm_tokens *t, slm_tokens_info *out);
/* A store in memory of n documents (pairs: 2i chosen, 2i + 1 rejected), copied; of `like` kind
 * and vocab count. Errors: SLM_E_ARG (none, an odd number of pairs' documents, one with no
 * target or an id outside 0 .. vocab - 1: by its number), SLM_E_NOMEM. */
SLM_API int slm_tokens_from_docs(slm_tokens **out, slm_runtime *rt, const struct slm_doc *docs,
                                 int64_t n, const slm_tokens_info *like, slm_err *err);


/* ---- building a store: rows rendered and tokenised ---- */

enum slm_too_long {
    SLM_LONG_AUTO,     /* texts: SPLIT, all else: DROP */
    SLM_LONG_DROP,     /* not kept, counted */
    SLM_LONG_TRUNCATE, /* the end is cut off, counted */
    SLM_LONG_SPLIT,    /* several documents */
    SLM_LONG_ERROR,    /* the build fails by the row's place */
    SLM_LONG_COUNT
};
/* "auto" "drop" "truncate" "split" "error"; and back, -1. */
SLM_API const char *slm_too_long_name(int what);
SLM_API int slm_too_long_find(const char *name);

/* What slm_data_convert writes. */
enum slm_data_to {
    SLM_TO_MESSAGES,
    SLM_TO_SHAREGPT,
    SLM_TO_ALPACA,
    SLM_TO_PROMPT,
    SLM_TO_TEXT, /* rendered by the template where there is one */
    SLM_TO_CSV,
    SLM_TO_COUNT
};
/* "messages" "sharegpt" "alpaca" "prompt" "text" "csv"; and back, -1. */
SLM_API const char *slm_data_to_name(int to);
SLM_API int slm_data_to_find(const char *name);
typedef struct slm_data_opts {
    const char *const *paths; /* files and folders */
    int n_paths;
    enum slm_data_form form;
    const char *separator; /* of texts: NULL none, "blank", "line", or itself (\n \t escaped) */
    enum slm_data_format format;
    const char *const *map; /* "prompt=question": the field prompt is named question here */
    int n_map;
    const slm_tokenizer *tokenizer; /* NULL: rows are read and understood, not tokenised */
    const slm_template *tmpl;       /* NULL: texts as they are, Alpaca by Alpaca's prompt */
    const char *template_source;    /* its text, for the fingerprint; NULL with tmpl NULL */
    enum slm_train_on train_on;
    enum slm_too_long too_long;
    int seq;        /* most tokens of a document, 0: any. For texts that will be WRAPPED: 0 */
    int no_eos;     /* no end-of-text behind prompts with answers and texts */
    int any_order;  /* roles may come in any order */
    double max_bad; /* share of rows that may be no good (too long ones apart); else the build
                     * fails */
    int64_t now;    /* clock of templates, as in slm_template_opts */
    int64_t sample; /* which kept row to show, from 0; -1: none */
    enum slm_data_to to; /* of slm_data_convert */
} slm_data_opts;
SLM_API void slm_data_opts_init(slm_data_opts *o); /* max_bad 0.01 */

enum { SLM_DATA_PLACES = 3, SLM_DATA_LABELS = 16, SLM_DATA_SCRIPTS = 24, SLM_DATA_BINS = 24 };

typedef struct slm_data_count {
    char name[64];
    int64_t n;
} slm_data_count;

/* All that happened to the rows. Zero-initialise (it is large: not on a stack), release with
 * slm_data_report_release. */
typedef struct slm_data_report {
    int64_t files, bytes, rows, kept;
    int64_t lost[SLM_LOSS_COUNT];                     /* rows by why */
    char place[SLM_LOSS_COUNT][SLM_DATA_PLACES][256]; /* "FILE:LINE: why" of the first */
    int64_t docs, tokens, targets;                    /* of what was kept */
    int64_t truncated, split, tokens_cut;             /* rows; tokens that truncation took */
    int64_t format[SLM_DATA_FORMAT_COUNT];            /* rows kept, by format */
    int64_t by_template, by_alpaca, by_text;          /* how they were rendered */
    int64_t open_turns; /* answers behind which no end-of-turn token is learnt */
    int64_t special;    /* rows whose texts spell special tokens */
    char special_place[256];
    int64_t duplicates; /* rows equal to an earlier one */
    char duplicate_place[256];
    int longest;
    int64_t
        length[SLM_DATA_BINS]; /* documents of up to 2^i tokens (without tokenizer: bytes) */
    slm_data_count script[SLM_DATA_SCRIPTS]; /* rows by language or script, most first */
    int n_scripts;
    /* where answers are short and few differ: which, most first; n_labels may be more */
    slm_data_count label[SLM_DATA_LABELS];
    int64_t n_labels, least_label;           /* 0: answers are no labels; rows of the rarest */
    slm_data_count unused[SLM_DATA_SCRIPTS]; /* fields that are not read */
    int n_unused;
    enum slm_tokens_kind kind;
    int64_t packed_rows[3]; /* rows of seq tokens by each enum slm_pack, 0: does not go */
    char hash[33];
    int reused; /* the store was there already: only files, bytes, rows, kept, lost, docs,
                 * tokens, targets, truncated, split, tokens_cut, kind and hash are filled */
    double seconds;
    char *sample; /* text of the row asked for, and which of its bytes are learnt */
    uint8_t *sample_learnt;
    size_t sample_n;
    char sample_place[256];
    slm_runtime *rt;
} slm_data_report;
SLM_API void slm_data_report_release(slm_data_report *r);
/* The counts as a JSON object, appended. */
SLM_API int slm_data_report_json(const slm_data_report *r, slm_runtime *rt, slm_text *out,
                                 slm_err *err);

/* Reads all rows, renders and tokenises them on all threads (with the same result on any
 * number) and writes the store at path; path NULL: only the report. A store that is there with
 * the same fingerprint (data, tokenizer, template, options) is left as it is: report->reused.
 * progress in bytes, may be NULL. Errors: those of reading; SLM_E_FORMAT (more bad rows than
 * max_bad allows, no row left: the first reason is said), SLM_E_ARG (options; rows of kinds
 * that do not go together), SLM_E_LIMIT (too long, where that is an error). The report is
 * filled as far as it went. */
typedef int slm_data_progress_fn(void *arg, uint64_t done, uint64_t total);
SLM_API int slm_data_build(slm_data_report *report, slm_runtime *rt, const slm_data_opts *o,
                           const char *path, slm_data_progress_fn *progress, void *arg,
                           slm_err *err);

/* ---- converting ---- */

/* Writes every row in another format to path (JSON lines, or CSV). Fields that no format reads
 * go along where the form has room for them. A row that the format cannot hold whole is not
 * written and counted (SLM_LOSS_FIELDS: which part of it). Of the report rows, kept, lost,
 * place, format and unused (fields that did not go along) are filled. Errors: as
 * slm_data_build. */
SLM_API int slm_data_convert(slm_data_report *report, slm_runtime *rt, const slm_data_opts *o,
                             const char *path, slm_data_progress_fn *progress, void *arg,
                             slm_err *err);

/* ---- feeds: batches of a store ---- */

enum slm_pack {
    SLM_PACK_BEST_FIT, /* as many documents a row as fit: best fit, longest first */
    SLM_PACK_WRAPPED,  /* documents as one stream, cut every seq tokens: nothing is left out */
    SLM_PACK_NONE      /* a document a row */
};

/* A batch is a pure function of these and its number. A row is up to seq tokens (of a store of
 * pairs: 2 seq), of whole documents (but for WRAPPED); pairs stay together in one row. */
typedef struct slm_feed_opts {
    int seq;   /* most tokens of a row */
    int batch; /* rows a batch of this rank */
    enum slm_pack pack;
    int shuffle; /* another order in each epoch, by the seed */
    uint64_t seed;
    int rank, ranks; /* ranks 0 means 1. Batch n of rank r is part r of what one rank would get
                      * as batch n with ranks * batch rows */
    /* Rows that all ranks see in an optimiser's step: an epoch is filled up with empty batches
     * to whole steps, so that steps are the same whatever the ranks. 0: ranks * batch. */
    int step;
    int cycle; /* no end of an epoch: after the last row the first; only without shuffle */
} slm_feed_opts;
SLM_API void slm_feed_opts_init(slm_feed_opts *o); /* seq 2048, batch 1, best fit, shuffle */

/* Tokens of some rows, side by side: there is no padding. Attention stays within a stream, and
 * positions begin at 0 in each. The feed's own, until the next call. */
struct slm_batch {
    int rows;        /* tokens; 0: an empty batch at the end of an epoch */
    int32_t *ids;    /* (rows) */
    int32_t *pos;    /* (rows) */
    int32_t *stream; /* (rows) which document, 0 .. n_streams - 1, ascending */
    int32_t *target; /* (rows) the next id where it is learnt, else -1 */
    int n_streams;
    int32_t *first;  /* (n_streams + 1) first row of each, and the end */
    int64_t *doc;    /* (n_streams) which document of the store */
    int64_t targets; /* rows with a target */
    int packed;      /* rows of the pack (up to seq tokens each) that these come from */
};

typedef struct slm_feed slm_feed;
/* The store is borrowed and must outlive the feed. All memory is taken here. Errors: SLM_E_ARG
 * (a document longer than seq and not WRAPPED, by its row; an empty store; options that do not
 * go together), SLM_E_NOMEM. */
SLM_API int slm_feed_open(slm_feed **out, slm_runtime *rt, const slm_tokens *t,
                          const slm_feed_opts *o, slm_err *err);
SLM_API void slm_feed_close(slm_feed **f);
/* Batches in an epoch; rows of the pack in an epoch, of all ranks. */
SLM_API int64_t slm_feed_batches(const slm_feed *f);
SLM_API int64_t slm_feed_rows(const slm_feed *f);
/* Most tokens that a batch may have. */
SLM_API int slm_feed_most(const slm_feed *f);
/* Share of seq that the pack's rows fill: 0 .. 1. */
SLM_API double slm_feed_filled(const slm_feed *f);
/* Batch `number` of all epochs: number / slm_feed_batches is its epoch. Errors: SLM_E_FORMAT
 * (an id outside the vocabulary: a damaged store). */
SLM_API int slm_feed_get(slm_feed *f, uint64_t number, struct slm_batch *out, slm_err *err);

#ifdef __cplusplus
}
#endif
#endif
