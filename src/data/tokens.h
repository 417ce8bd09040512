/* Private to the room: what lies in a token store, and the writer.
 *
 * A store is a header, the documents one after the other (ids as int32, then a byte a token
 * that says whether it is learnt, filled up to a multiple of 4), a table of the documents, and
 * a note. All numbers are little endian. */
#ifndef SLM_DATA_TOKENS_H
#define SLM_DATA_TOKENS_H

#include "data/data.h"

struct tokens_head {
    char magic[8]; /* "slm-tok1" */
    uint32_t kind;
    int32_t vocab;
    uint64_t docs, ids, targets;
    uint64_t table, note, note_n, size; /* places in the file */
    char hash[40];                      /* 32 digits, NUL */
    uint8_t unused[24];
};
_Static_assert(sizeof(struct tokens_head) == 136, "the head of a store is a file format");

struct tokens_entry {
    uint64_t at; /* of the ids */
    int64_t row;
    uint32_t n, targets, label, unused;
};
_Static_assert(sizeof(struct tokens_entry) == 32, "the table of a store is a file format");

struct slm_tokens {
    slm_runtime *rt;
    struct slm_map map; /* or memory: */
    uint8_t *own;
    const uint8_t *base;
    struct tokens_head head;
    const struct tokens_entry *entry; /* (docs) */
    struct tokens_entry *own_entry;
    char *note;
    int longest;
};

/* Writing: documents in order, then commit with a note (NUL-terminated JSON, may be NULL). The
 * file appears whole or not at all. */
struct slm_tokens_out {
    slm_runtime *rt;
    struct slm_out out;
    struct tokens_head head;
    struct tokens_entry *entry;
    size_t cap;
    bool dry; /* only the table is made, nothing is written */
};
/* path NULL: dry. */
int slm_tokens_out_open(struct slm_tokens_out *o, slm_runtime *rt, const char *path,
                        enum slm_tokens_kind kind, int vocab, slm_err *err);
int slm_tokens_out_doc(struct slm_tokens_out *o, const struct slm_doc *d, slm_err *err);
int slm_tokens_out_commit(struct slm_tokens_out *o, const char *hash, const char *note,
                          slm_err *err);
void slm_tokens_out_close(struct slm_tokens_out *o); /* zeroed is fine */

#endif
