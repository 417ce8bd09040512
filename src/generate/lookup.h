/* What followed before: an index over the tokens so far that finds where the longest end of
 * them stood earlier. Texts that quote, edit or repeat themselves are foretold by it (prompt
 * lookup, as A. Saxena named it; the match finder is that of LZ77 compressors with hash
 * chains). */
#ifndef SLM_GENERATE_LOOKUP_H
#define SLM_GENERATE_LOOKUP_H

#include "base/base.h"

enum { SLM_LOOKUP_ORDERS = 2 };

struct slm_lookup {
    slm_runtime *rt;
    int32_t *ids; /* (cap) */
    int32_t
        *prev[SLM_LOOKUP_ORDERS]; /* (cap + 1) the place before with the same hash, 0: none */
    int32_t *head[SLM_LOOKUP_ORDERS]; /* (mask + 1) the last place with a hash, 0: none */
    int n, cap;
    uint32_t mask;
};

/* Room for cap tokens. */
int slm_lookup_init(struct slm_lookup *l, slm_runtime *rt, int cap, slm_err *err);
void slm_lookup_release(struct slm_lookup *l);
/* Tokens beyond cap are not remembered. */
void slm_lookup_add(struct slm_lookup *l, int32_t id);
/* What may follow: `most` ids into out. Gives how many tokens before them agree, 0: nothing is
 * known. */
int slm_lookup_find(const struct slm_lookup *l, int32_t *out, int most);

#endif
