/* Units of rows dealt out to parts so that labels keep their shares. Private to the room. */
#ifndef SLM_CORPUS_DEAL_H
#define SLM_CORPUS_DEAL_H

#include "corpus/sets.h"
#include "slm/corpus.h"

/* total in whole numbers by shares that make 1: the floor of each, and one more to those that
 * lost most by it, the first of equals. */
void slm_deal_shares(int64_t *out, const double *share, int n, int64_t total);

struct slm_deal {
    slm_runtime *rt;
    size_t n;
    const uint32_t *size;  /* (rows) of the unit whose first row it is; 0: not the first */
    const uint32_t *label; /* (rows) UINT32_MAX: the row takes no part */
    size_t n_labels;
    struct slm_sets *sets; /* row to its unit's first row */
    uint8_t *part;         /* (rows) out */
    int n_parts;
    const int64_t *want; /* (parts) rows; they sum to those that take part */
    uint64_t seed;
};
int slm_deal_run(const struct slm_deal *d, slm_err *err);

#endif
