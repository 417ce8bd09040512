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

#ifdef __cplusplus
}
#endif
#endif
