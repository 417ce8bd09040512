/* The face of the data room: rows out of files, rows as examples, examples as tokens that are
 * learnt or not, and tokens as batches. One truth for everything that trains, checks or counts.
 *
 * The chain: slm_rows (files -> rows) -> slm_example (fields -> messages, prompts, texts) ->
 * the renderer (chat template, spans, ids) -> slm_tokens (a file of examples) -> slm_feed. */
#ifndef SLM_DATA_ROOM_H
#define SLM_DATA_ROOM_H

#include "base/base.h"
#include "slm/data.h"

/* ---- rows ---- */

/* Rows of many files, one after the other. A file is mapped when its turn comes and stays so
 * until the close: what a row points at lives as long as the reader, and a row may be found
 * again by (file_no, at, n_raw). Memory does not grow with the files. */
typedef struct slm_rows slm_rows;

enum slm_row_state {
    SLM_ROW_OK,
    SLM_ROW_NOT_UTF8,
    SLM_ROW_NOT_JSON,  /* the line, or the element of an array, is no JSON */
    SLM_ROW_NO_OBJECT, /* JSON, but no object */
    SLM_ROW_FIELDS     /* CSV: another number of fields than the header; text behind a quote */
};

struct slm_row {
    const char *file; /* path */
    int file_no;
    int64_t line;    /* where it begins, from 1 */
    int64_t number;  /* 0, 1, ... over all files, bad rows counted */
    const char *raw; /* its bytes in the file, without the line's end */
    size_t n_raw;
    uint64_t at;    /* of raw in the file */
    slm_json *json; /* after slm_row_parse: the row as an object; the row's own */
    int state;      /* after slm_row_parse: enum slm_row_state */
    char why[160];  /* what is wrong, without the place */
};

struct slm_rows_opts {
    enum slm_data_form form; /* SLM_DATA_FORM_AUTO: by the name, else by the first byte */
    /* Plain text: what parts documents. NULL: nothing, a file is a document; "blank": blank
     * lines; "line": each line is one; else the text itself ("<|endoftext|>", escapes \n \t).
     */
    const char *separator;
    char delimiter; /* CSV; 0: tab for .tsv, else what the header has most of , ; and tab */
};

/* paths: files, and folders whose data files (by name: .jsonl .ndjson .json .csv .tsv .txt
 * .text .md .markdown) are taken in the order of their names. Copied. Errors: SLM_E_NOTFOUND,
 * SLM_E_IO, SLM_E_ARG (a folder without data, a name that tells no form: said when its turn
 * comes). */
int slm_rows_open(slm_rows **out, slm_runtime *rt, const char *const *paths, int n,
                  const struct slm_rows_opts *o, slm_err *err);
void slm_rows_close(slm_rows **r);
/* Finds the next row, not parsed yet: 1, 0 at the end, or an error: what cannot be read on
 * from (SLM_E_FORMAT: a quote or an array that is never closed, UTF-16), SLM_E_IO. */
int slm_rows_next(slm_rows *r, struct slm_row *row, slm_err *err);
/* Fills json, or state and why. Any thread; rows of one reader in parallel. 0 or SLM_E_NOMEM.
 */
int slm_row_parse(const slm_rows *r, struct slm_row *row, slm_err *err);
/* Frees json; a zeroed row is fine. */
void slm_row_release(struct slm_row *row);
/* The two in one: frees what the row held, finds and parses the next. */
int slm_rows_read(slm_rows *r, struct slm_row *row, slm_err *err);
/* From the beginning again. */
void slm_rows_rewind(slm_rows *r);
/* Row of the bytes that an earlier row told of (file_no, at, n_raw, line, number), parsed. */
int slm_rows_again(slm_rows *r, struct slm_row *row, slm_err *err);
/* Bytes of all files, and behind the last row given: for progress. */
uint64_t slm_rows_bytes(const slm_rows *r);
uint64_t slm_rows_at(const slm_rows *r);
int slm_rows_files(const slm_rows *r);
const char *slm_rows_file(const slm_rows *r, int i);
enum slm_data_form slm_rows_form(const slm_rows *r, int i); /* AUTO: not opened yet */
/* Fingerprint of all files' bytes, in order. */
int slm_rows_hash(slm_rows *r, struct slm_hash *h, slm_err *err);

/* ---- examples ---- */

struct slm_field_map {
    const char *to, *from; /* field `to` of a format stands under the name `from` */
};

struct slm_example_opts {
    enum slm_data_format format; /* AUTO: by the fields */
    const struct slm_field_map *map;
    int n_map;
    bool loose;          /* roles may come in any order */
    bool arguments_text; /* arguments of tool calls stay texts; else objects where they parse */
};

enum { SLM_EXAMPLE_UNUSED = 24 };

/* A row understood. Chats are lists of messages with role and content as templates want them;
 * prompts that are texts are both: messages, and text for models without a template. */
struct slm_example {
    enum slm_data_format format;
    slm_json *messages[2];  /* the conversation; pairs: with the chosen, the rejected answer */
    size_t n_prompt;        /* messages that are the prompt (prompt, pairs, kto); else 0 */
    slm_json *tools, *vars; /* NULL: none. vars: chat_template_kwargs */
    /* without a template: prompt (may be empty), completion or chosen, rejected; text alone is
     * plain[1]. NULL where it makes no sense */
    slm_json *plain[3];
    bool alpaca; /* the prompt in plain is the one Alpaca was made with */
    int label;
    /* fields that are not read, borrowed from the row */
    const char *unused[SLM_EXAMPLE_UNUSED];
    int n_unused;
    enum slm_data_loss loss;
    char why[200];
};
/* Fills e, or e->loss and e->why. 0 or SLM_E_NOMEM. Release in any case. Any thread. */
int slm_example_read(struct slm_example *e, slm_runtime *rt, const slm_json *row,
                     const struct slm_example_opts *o, slm_err *err);
void slm_example_release(struct slm_example *e);
/* May the tokens of this assistant message be learnt (weight, train, training)? */
bool slm_message_counts(const slm_json *message);

#endif
