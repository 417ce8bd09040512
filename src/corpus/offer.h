/* Rows that offer labels or tools and answer with one of them: where the parts are, and how the
 * right one is taken off what is offered. Private to the room. */
#ifndef SLM_CORPUS_OFFER_H
#define SLM_CORPUS_OFFER_H

#include "corpus/fields.h"
#include "corpus/shelf.h"

/* The labels of a data set. */
struct slm_label {
    const char *name;
    size_t n;
    uint32_t row;    /* one that has it */
    bool held, none; /* of opts.hold; one of the refusals itself */
    int64_t rows, used;
};
struct slm_labels {
    struct slm_label *v;
    size_t n, cap;
};

struct slm_offer {
    slm_runtime *rt;
    const slm_negatives_opts *o;
    const struct slm_shelf *shelf;
    const struct slm_labels *labels;
};

enum { SLM_PATH_MOST = 256 };
/* The path of a row's answer, question: as asked, else found out. false: there is none. */
bool slm_offer_answer(const struct slm_offer *f, slm_json *row, char path[SLM_PATH_MOST]);
bool slm_offer_query(const struct slm_offer *f, slm_json *row, char path[SLM_PATH_MOST]);
/* The row's label (the tool called; the field; the answer) without white space around; false:
 * it has none. */
bool slm_offer_label(const struct slm_offer *f, slm_json *row, struct slm_buf *out);
/* Takes the label off what the row offers: another takes its place where one is free. NULL when
 * done, else why not. */
const char *slm_offer_withdraw(const struct slm_offer *f, slm_json *row, size_t label,
                               struct slm_rng *rng);
/* Answers with `none` instead: the text, or the label inside an answer that is JSON. */
const char *slm_offer_refuse(const struct slm_offer *f, slm_json *row, const char *none);

#endif
