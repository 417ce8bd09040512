/* The record of runs: what was trained, from what, with which options, and how it went.
 *
 * One SQLite file holds many runs. A recorder writes one of them while it goes on; whatever
 * happens to the file (missing, damaged, read-only, locked, the disk full), the recorder warns
 * once through the runtime's log and the run goes on without it. A run has an id as git's
 * commits have: the SHA-256 of what it began with, its parent's id included. */
#ifndef SLM_RUNS_H
#define SLM_RUNS_H

#include <stddef.h>
#include <stdint.h>

#include "slm/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SLM_RUN_ID = 41 }; /* 40 hex digits and a NUL */

/* What a run begins with. NULL: unknown. Everything is copied. */
typedef struct slm_run_info {
    const char *name;    /* for people; several runs may share one */
    const char *kind;    /* "train" ... */
    const char *command; /* the command line */
    const char *config;  /* a JSON object: every option with its value */
    const char *data;    /* where the data lies, and the hash of what was read */
    const char *data_hash;
    const char *base; /* model that it began with, and its fingerprint */
    const char *base_hash;
    const char *parent;  /* id of the run whose result this one goes on from */
    int64_t parent_step; /* step of the parent where it goes on, -1 unknown */
    const char *output;  /* folder or file that it writes */
    const char *machine; /* CPU and level */
    int64_t started;     /* milliseconds since 1970, UTC; 0: now */
} slm_run_info;
SLM_API void slm_run_info_init(slm_run_info *i);

/* ---- writing ---- */

typedef struct slm_recorder slm_recorder;

/* Begins to record a run in the file at path, which is made where there is none (its folder
 * must be there). path NULL: nothing is recorded, the id is still made. *out is the caller's.
 * The calling thread may wait up to five seconds for another writer here and in _end, a quarter
 * of a second elsewhere. All calls from one thread at a time.
 * Errors: SLM_E_NOMEM, SLM_E_ARG (config is no JSON object). Trouble with the file is no error:
 * see above. */
SLM_API int slm_recorder_open(slm_recorder **out, slm_runtime *rt, const char *path,
                              const slm_run_info *info, slm_err *err);
/* The run's id; the recorder's. */
SLM_API const char *slm_recorder_id(const slm_recorder *r);
/* Whether what was given so far lies in the file, or waits to be written there. False once the
 * file was given up. */
SLM_API int slm_recorder_works(const slm_recorder *r);
/* A number of a step: "loss", "lr", "eval_loss" ... A name that is given again for a step
 * replaces the number. NaN is kept, as a number that is none. Written within a second. */
SLM_API void slm_recorder_metric(slm_recorder *r, int64_t step, const char *name, double value);
/* Text that the model wrote at a step, for a prompt. Both are UTF-8. */
SLM_API void slm_recorder_sample(slm_recorder *r, int64_t step, const char *prompt,
                                 const char *text);
/* A file or folder that the run wrote: kind "last", "best", "final" ... hash (may be NULL) is
 * its fingerprint, by which a later run finds this one as its parent. */
SLM_API void slm_recorder_file(slm_recorder *r, int64_t step, const char *kind,
                               const char *path, const char *hash);
/* To be called now and then where a step takes long: shows that the run lives, and writes what
 * waits. */
SLM_API void slm_recorder_tick(slm_recorder *r);
/* How it ended: state "done", "failed", "interrupted", and a line why (NULL: none). Writes all
 * that waits. A run whose process is gone without this is shown as "stopped". */
SLM_API void slm_recorder_end(slm_recorder *r, const char *state, const char *note);
/* Frees it and sets *r to NULL; accepts NULL. Without _end before, the run counts as failed. */
SLM_API void slm_recorder_close(slm_recorder **r);

/* ---- reading ---- */

typedef struct slm_runs slm_runs;

/* One run as it was recorded. Strings are never NULL here ("" where nothing is known). */
typedef struct slm_run_record {
    char id[SLM_RUN_ID];
    slm_run_info info; /* what it began with; parent "" : none */
    const char *state; /* "running", "done", "failed", "interrupted", "stopped" */
    const char *note;  /* why it ended */
    const char *host, *version;
    int64_t pid;
    int64_t ended, heard; /* milliseconds since 1970; ended 0: it goes on, or nobody knows */
    int64_t steps;        /* the last step that has a loss, -1 none */
    double loss, eval_loss, best_eval; /* the last, the last, the least; NaN none */
} slm_run_record;
typedef struct slm_run_list {
    slm_run_record *v; /* (n) oldest first */
    size_t n;
    slm_runtime *rt; /* set by the call that fills it */
    void *memory;
} slm_run_list;
SLM_API void slm_run_list_release(slm_run_list *l);

/* Numbers of one name over the steps, rising. */
typedef struct slm_run_series {
    int64_t *step; /* (n) */
    double *value; /* (n) */
    size_t n;
    slm_runtime *rt;
} slm_run_series;
SLM_API void slm_run_series_release(slm_run_series *s);

/* A sample (a: prompt, b: text, c: "") or a file (a: kind, b: path, c: fingerprint). */
typedef struct slm_run_note {
    int64_t step;
    const char *a, *b, *c;
} slm_run_note;
typedef struct slm_run_notes {
    slm_run_note *v; /* (n) in the order they were written */
    size_t n;
    slm_runtime *rt;
    void *memory;
} slm_run_notes;
SLM_API void slm_run_notes_release(slm_run_notes *n);

/* Opens the file for reading (write 0), or for _remove too. *out is the caller's. Errors:
 * SLM_E_NOTFOUND, SLM_E_IO, SLM_E_FORMAT (damaged, or no record of runs), SLM_E_UNSUPPORTED
 * (made by a later slm), SLM_E_NOMEM. */
SLM_API int slm_runs_open(slm_runs **out, slm_runtime *rt, const char *path, int write,
                          slm_err *err);
SLM_API void slm_runs_close(slm_runs **r);
/* All runs. The list is the caller's, zeroed before, to be released. */
SLM_API int slm_runs_list(slm_runs *r, slm_run_list *out, slm_err *err);
/* The one run that `which` means: the beginning of an id (four digits or more), the name of the
 * latest run so called, or "last". Errors: SLM_E_NOTFOUND, SLM_E_ARG (several ids begin so). */
SLM_API int slm_runs_find(slm_runs *r, const char *which, slm_run_list *out, slm_err *err);
/* The latest run that wrote a file of this fingerprint, or whose output is `path` (each may be
 * NULL). No error where there is none: the list is empty. */
SLM_API int slm_runs_maker(slm_runs *r, const char *hash, const char *path, slm_run_list *out,
                           slm_err *err);
/* The i-th name of a number that the run has, in the order of names; the text is the caller's.
 * *out stays empty behind the last. */
SLM_API int slm_runs_metric(slm_runs *r, const char *id, size_t i, slm_text *out, slm_err *err);
SLM_API int slm_runs_series(slm_runs *r, const char *id, const char *name, slm_run_series *out,
                            slm_err *err);
SLM_API int slm_runs_samples(slm_runs *r, const char *id, slm_run_notes *out, slm_err *err);
SLM_API int slm_runs_files(slm_runs *r, const char *id, slm_run_notes *out, slm_err *err);
/* Forgets a run with all its numbers. Errors: SLM_E_ARG while it runs. */
SLM_API int slm_runs_remove(slm_runs *r, const char *id, slm_err *err);

/* Fingerprint of a file or of a folder of model files, 64 hex digits: SHA-256 of names, sizes
 * and contents; of a file over 16 MiB the contents are its first and last MiB and 256 pieces of
 * 64 KiB spread evenly between, so that large models take no time. Errors: as of reading. */
SLM_API int slm_fingerprint(char out[65], slm_runtime *rt, const char *path, slm_err *err);

#ifdef __cplusplus
}
#endif
#endif
