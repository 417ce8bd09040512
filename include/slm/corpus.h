/* Tools on data as a whole: duplicates out, parts for training and testing, rows that teach to
 * say no, evaluation sets kept out of training, sources mixed. All stream: what is in memory is
 * some words a row, never the text. All give the same files for the same input, options and
 * seed, with any number of threads; none writes over what it reads; what is written appears
 * whole or not at all. */
#ifndef SLM_CORPUS_H
#define SLM_CORPUS_H

#include "slm/data.h"
#include "slm/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is read: files and folders as slm data reads them (slm/data.h). A field is a path:
 * "label", "messages.user.content" (the turns of a role), "messages.-1.content.intent" (into
 * JSON inside a text), "meta.source", "*" for all elements of a list. */
typedef struct slm_corpus_in {
    const char *const *paths;
    int n_paths;
    int form;              /* enum slm_data_form */
    const char *separator; /* plain text: "line", "blank", or the text between documents; NULL:
                              a file is a document */
    char delimiter;        /* CSV; 0: found out */
    const char *const *by; /* (n_by) the fields whose text counts; none: the content (all turns
                              but the system's, instruction, input, prompt, text ...) */
    int n_by;
    slm_progress_fn *progress; /* bytes; NULL: none */
    void *progress_arg;
} slm_corpus_in;

/* What a report points at; released with the report's `own` by slm_corpus_release. */
struct slm_corpus_own;
SLM_API void slm_corpus_release(struct slm_corpus_own **own);

/* A row by its place, and something to say of it. */
typedef struct slm_corpus_note {
    const char *file;
    int64_t line;
    const char *text;
} slm_corpus_note;

/* A name and a number of rows. */
typedef struct slm_corpus_count {
    const char *name;
    int64_t rows;
} slm_corpus_count;

/* What was read, in every report. Rows that cannot be read (no JSON, no UTF-8, a CSV record
 * with other fields than the header) are left out and counted. */
typedef struct slm_corpus_seen {
    int64_t rows, bad;
    uint64_t bytes;
    int files;
    const slm_corpus_note *example; /* (n_examples) of the bad ones */
    int n_examples;
} slm_corpus_seen;

/* ---- duplicates ---- */

typedef struct slm_dedup_opts {
    int near;              /* 1: near-duplicates too; 0: exact ones only */
    int words;             /* near: length of the runs compared */
    int hashes;            /* near: at most so many hashes a row */
    double threshold;      /* near: share of runs in common from which rows are duplicates */
    int bands, rows;       /* near: given together instead of threshold */
    int verify;            /* near: compare the rows themselves before joining */
    uint64_t seed, memory; /* memory: bytes for keys; less of it makes more passes */
    const char *filter;    /* "gopher": quality rules too; "gopher-repetition"; "a,b": both */
    const char *out;       /* NULL: only report */
    const char *removed;   /* JSON lines of what is left out and why; NULL: none */
    int show;              /* examples of clusters in the report */
} slm_dedup_opts;
SLM_API void slm_dedup_opts_init(slm_dedup_opts *o);

/* A cluster: the row kept, and some of those left out for it. */
typedef struct slm_dedup_cluster {
    int64_t rows;
    slm_corpus_note kept;       /* text: the beginning of what was compared */
    const slm_corpus_note *out; /* (n_out) */
    const double *similar;      /* (n_out) to the row kept: share of runs in common */
    int n_out;
} slm_dedup_cluster;

typedef struct slm_dedup_report {
    struct slm_corpus_own *own;
    slm_corpus_seen seen;
    int64_t exact, near, filtered, kept;
    int64_t clusters, largest;
    int64_t pairs, pairs_refused; /* verify: compared, found too different */
    int bands, rows, passes;
    double threshold;             /* (1 / bands)^(1 / rows), or as asked with verify */
    const slm_corpus_count *rule; /* (n_rules) of the filter, in the order asked */
    int n_rules;
    const slm_dedup_cluster *cluster; /* (n_shown) the largest */
    int n_shown;
} slm_dedup_report;
/* Leaves out exact duplicates (same text but for white space), rows that a filter's rule
 * refuses, and near-duplicates: MinHash over runs of words (lower case, no punctuation), bands,
 * union-find; of a cluster the first row stays. On success *r is to be released. Errors:
 * SLM_E_ARG (options; the output is an input; the output's form cannot hold the rows),
 * SLM_E_IO, SLM_E_NOTFOUND, SLM_E_FORMAT, SLM_E_LIMIT (over 2^32 - 2 rows), SLM_E_CANCELLED,
 * SLM_E_NOMEM. */
SLM_API int slm_corpus_dedup(slm_dedup_report *r, slm_runtime *rt, const slm_corpus_in *in,
                             const slm_dedup_opts *o, slm_err *err);
/* The chance that two rows with a share s of runs in common meet in a band. */
SLM_API double slm_dedup_chance(double s, int bands, int rows);

/* ---- parts ---- */

enum { SLM_SPLIT_MOST = 8 };
typedef struct slm_split_part {
    const char *name, *out; /* out: path; NULL: only report */
    double share;           /* up to 1: of the rows; above: a number of rows */
} slm_split_part;

typedef struct slm_split_opts {
    slm_split_part part[SLM_SPLIT_MOST];
    int n_parts;
    const char *stratify; /* a field whose values keep their shares; NULL: none */
    const char *group;    /* a field whose equal values stay together; "@file": a file's rows */
    int leaks;            /* 1: near-duplicates may fall into different parts */
    int words;
    double threshold;
    uint64_t seed, memory;
} slm_split_opts;
SLM_API void slm_split_opts_init(slm_split_opts *o);

typedef struct slm_split_label {
    const char *name;
    int64_t rows[SLM_SPLIT_MOST];
} slm_split_label;

typedef struct slm_split_report {
    struct slm_corpus_own *own;
    slm_corpus_seen seen;
    int64_t want[SLM_SPLIT_MOST], rows[SLM_SPLIT_MOST];
    int64_t groups;               /* kept together by field or file, of more than one row */
    int64_t near, near_rows;      /* clusters of duplicates kept together, and their rows */
    int64_t units, largest;       /* what was dealt out, and the most rows in one */
    int64_t no_field;             /* rows without the field to stratify or group by */
    const slm_split_label *label; /* (n_labels) most frequent first */
    int n_labels;
} slm_split_report;
/* Deals the rows out to parts. Rows of a group, and near-duplicates, stay together; labels keep
 * their shares as exactly as whole rows and groups allow; without groups the numbers of rows
 * are exact. The order of rows in a part is that of the input. Errors: as of slm_corpus_dedup;
 * SLM_E_ARG (shares that are no parts of a whole, a part that would get no row). */
SLM_API int slm_corpus_split(slm_split_report *r, slm_runtime *rt, const slm_corpus_in *in,
                             const slm_split_opts *o, slm_err *err);

/* ---- negatives ---- */

typedef struct slm_negatives_opts {
    const char *label;   /* field with the right label; NULL: the answer is the label */
    const char *options; /* field with the labels offered (a list, or a text); NULL: found in
                            the text of the prompt */
    const char *answer;  /* field with the answer; NULL: the last turn of the assistant,
                            completion, output, answer, label */
    const char *query;   /* field with the question, needed for `others`; NULL: the last turn of
                            the user, prompt, input, text */
    const char *const *none; /* (n_none) what is answered; several are used in turn */
    int n_none;
    const char *const *hold; /* (n_hold) labels whose rows all become negatives */
    int n_hold;
    const char *const *others; /* (n_others) files of rows from elsewhere, whose questions get
                                  the answer "none" in the frame of a row of ours */
    int n_others;
    double share;     /* of added rows among those written */
    const char *mark; /* the field that marks what was added */
    uint64_t seed;
    const char *out; /* NULL: only report */
} slm_negatives_opts;
SLM_API void slm_negatives_opts_init(slm_negatives_opts *o);

typedef struct slm_negatives_report {
    struct slm_corpus_own *own;
    slm_corpus_seen seen;
    int64_t written, wanted;
    int64_t held_out;           /* added: the right label or tool taken off what is offered */
    int64_t others;             /* added: questions from elsewhere */
    int64_t relabeled;          /* rows of `hold`, answered anew (not added) */
    int64_t unusable;           /* rows of which no negative can be made */
    const slm_corpus_note *why; /* (n_why) examples of those */
    int n_why;
    const slm_corpus_count *label; /* (n_labels) negatives by the label held out */
    int n_labels;
    const slm_corpus_note *example; /* (n_examples) rows added, as written */
    int n_examples;
} slm_negatives_report;
/* Writes the rows and, among them, negatives made of them: the right label (the tool that was
 * called) is taken off what the prompt offers, another takes its place where one is free, and
 * the answer becomes a refusal. Taken evenly from all labels. */
SLM_API int slm_corpus_negatives(slm_negatives_report *r, slm_runtime *rt,
                                 const slm_corpus_in *in, const slm_negatives_opts *o,
                                 slm_err *err);

/* ---- decontamination ---- */

typedef struct slm_decon_opts {
    const char *const *against; /* (n_against) evaluation sets */
    int n_against;
    const char *const *against_by; /* (n_against_by) their fields that count; none: content */
    int n_against_by;
    int ngram;           /* words of a run that counts as overlap */
    int least;           /* words from which a whole question or answer counts, when equal */
    int common;          /* runs that more evaluation rows than this share are no evidence */
    const char *out;     /* NULL: only report */
    const char *removed; /* JSON lines of what was found; NULL: none */
    int show;
} slm_decon_opts;
SLM_API void slm_decon_opts_init(slm_decon_opts *o);

typedef struct slm_decon_hit {
    slm_corpus_note row, eval; /* row.text: the words in common */
} slm_decon_hit;

typedef struct slm_decon_report {
    struct slm_corpus_own *own;
    slm_corpus_seen seen, eval;
    int64_t grams, common_grams, short_rows; /* of the evaluation sets; rows of too few words */
    int64_t by_gram, by_text, kept;
    int64_t eval_hit;            /* evaluation rows found in the data */
    const slm_corpus_count *set; /* (n_sets) rows left out, by evaluation file */
    int n_sets;
    const slm_decon_hit *hit; /* (n_hits) examples */
    int n_hits;
} slm_decon_report;
/* Leaves out rows that share a run of words, or a whole question or answer, with a row of the
 * evaluation sets. Paraphrases pass. */
SLM_API int slm_corpus_decontaminate(slm_decon_report *r, slm_runtime *rt,
                                     const slm_corpus_in *in, const slm_decon_opts *o,
                                     slm_err *err);

/* ---- mixtures ---- */

enum { SLM_MIX_MOST = 64 };
enum slm_mix_unit { SLM_MIX_ROWS, SLM_MIX_BYTES, SLM_MIX_TOKENS };
typedef struct slm_mix_source {
    const char *path;
    double weight; /* below 0: as large as it is */
} slm_mix_source;

typedef struct slm_mix_opts {
    const slm_mix_source *source; /* (n_sources) */
    int n_sources;
    int unit;     /* enum slm_mix_unit: what weights and total count */
    double total; /* 0: as much as can be had without a second epoch of any source */
    double max_epochs;
    const slm_tokenizer *tokenizer; /* for tokens */
    uint64_t seed;
    const char *mark; /* a field that gets the source's name; NULL: rows stay as they are */
    const char *out;  /* NULL: only report */
} slm_mix_opts;
SLM_API void slm_mix_opts_init(slm_mix_opts *o);

typedef struct slm_mix_part {
    const char *name;
    slm_corpus_seen seen;
    int64_t rows;         /* written */
    double have, weight;  /* units it has; share asked */
    double want, written; /* units */
    double epochs;
    int capped; /* by max_epochs */
} slm_mix_part;

typedef struct slm_mix_report {
    struct slm_corpus_own *own;
    slm_corpus_seen seen;
    const slm_mix_part *part; /* (n_parts) */
    int n_parts;
    int64_t rows;
    double total; /* units written */
} slm_mix_report;
/* Draws rows of several sources into one shuffled file. A source's rows come in a random order
 * of their own, anew each epoch; what a source may not give for max_epochs is shared out among
 * the others. `in` gives form, separator and progress; its paths are not looked at. */
SLM_API int slm_corpus_mix(slm_mix_report *r, slm_runtime *rt, const slm_corpus_in *in,
                           const slm_mix_opts *o, slm_err *err);

#ifdef __cplusplus
}
#endif
#endif
