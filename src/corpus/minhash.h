/* MinHash and its bands (Broder 1997; Leskovec, Rajaraman, Ullman, chapter 3). Private. */
#ifndef SLM_CORPUS_MINHASH_H
#define SLM_CORPUS_MINHASH_H

#include "corpus/grams.h"

enum { SLM_MINHASH_MAX = 1024 };

/* Two texts whose sets of runs have the share s in common get equal keys in a band with
 * probability s^rows, and in any of the bands with 1 - (1 - s^rows)^bands. */
struct slm_minhash {
    int bands, rows;
    uint64_t mul[SLM_MINHASH_MAX], add[SLM_MINHASH_MAX];
};
/* Bands and rows of at most `hashes` hashes whose threshold (1/bands)^(1/rows), where the
 * chance rises steepest, is nearest to `threshold`; every number of rows gets all bands that
 * fit. */
void slm_minhash_choose(double threshold, int hashes, int *bands, int *rows);
void slm_minhash_init(struct slm_minhash *m, int bands, int rows, uint64_t seed);
/* The key of each of the bands [lo, hi) for a non-empty set of runs. */
void slm_minhash_keys(const struct slm_minhash *m, const struct slm_grams *g, int lo, int hi,
                      uint64_t *key);

#endif
