/* Private to the room: what happens to a row on its way into a store, and the sums over rows.
 */
#ifndef SLM_DATA_BUILD_H
#define SLM_DATA_BUILD_H

#include <stdatomic.h>

#include "data/render.h"
#include "data/tokens.h"

/* A row and what became of it: filled by one thread, read by the one that sums up. */
struct slot {
    struct slm_row row;
    enum slm_data_format format;
    enum slm_data_loss loss;
    char why[200];
    struct encoding enc[2];
    int sides, label;
    bool chat, alpaca, special;
    const char *script;
    uint64_t same;   /* fingerprint of what is learnt from it */
    size_t bytes;    /* of its text */
    char answer[64]; /* a short answer; "" none, or too long for a label (n_answer says) */
    size_t n_answer;
    const char *unused[SLM_EXAMPLE_UNUSED]; /* into own_names */
    int n_unused;
    char own_names[512];
    int code;
    slm_err err;
};

/* A set of 64-bit fingerprints, and counts by name. */
struct seen {
    uint64_t *v;
    size_t n, cap; /* cap: a power of two */
};
struct tally {
    struct tally_row {
        uint64_t key;
        slm_data_count c;
    } * v;
    size_t n, cap, most; /* beyond most names nothing is added: full */
    bool full;
};
/* 1 new, 0 there already, -1 no memory. */
int slm_seen_add(struct seen *s, slm_runtime *rt, uint64_t key);
void slm_seen_release(struct seen *s, slm_runtime *rt);
int slm_tally_add(struct tally *t, slm_runtime *rt, const char *name, size_t n);
/* The first `most` by falling count; the number given. */
int slm_tally_top(struct tally *t, slm_data_count *out, int most);
void slm_tally_release(struct tally *t, slm_runtime *rt);

struct build {
    slm_runtime *rt;
    const slm_data_opts *o;
    slm_data_report *rep;
    struct slm_example_opts ex;
    struct slm_field_map map[32];
    char *map_text[32];
    struct renderer renderer;
    slm_rows *rows;
    struct slot *slot;
    int n_slots;               /* of this round */
    atomic_int next;           /* slot to be taken by the next free thread */
    struct rendering *scratch; /* (threads) */
    struct slm_tokens_out out;
    bool write;
    struct seen seen;
    struct tally scripts, labels, unused;
    bool no_labels; /* an answer was no label */
    bool kind_set;
};

/* build_store.c: options checked, the reader opened; what was taken given back; too many bad
 * rows, or none left. */
int slm_build_open(struct build *b, slm_err *err);
void slm_build_close(struct build *b);
int slm_build_check(const struct build *b, slm_err *err);
/* build_row.c: a row through reading, rendering and tokenising. */
void slm_build_row(struct build *b, struct slot *s, struct rendering *scratch);
/* build_sum.c: what became of it into the report and the store. */
int slm_build_sum(struct build *b, struct slot *s, slm_err *err);
int slm_build_lost(struct build *b, const struct slm_row *row, enum slm_data_loss loss,
                   const char *why);
int slm_build_end(struct build *b, slm_err *err);

/* Name of the script or language. */
const char *slm_data_script(const char *s, size_t n);

#endif
