/* Rows that belong together, and tables that find equal keys. Private. */
#ifndef SLM_CORPUS_SETS_H
#define SLM_CORPUS_SETS_H

#include "base/base.h"

/* Union-find whose root is always the least member: the row that is kept, or named. The sets do
 * not depend on the order of joining. */
struct slm_sets {
    uint32_t *up;
    size_t n;
};
int slm_sets_init(struct slm_sets *s, slm_runtime *rt, size_t n, slm_err *err);
void slm_sets_release(struct slm_sets *s, slm_runtime *rt);
uint32_t slm_sets_root(struct slm_sets *s, uint32_t i);
void slm_sets_join(struct slm_sets *s, uint32_t a, uint32_t b);

/* 64-bit keys to the first row that had them; a key is kept as it is (2^-64 a pair to be
 * wrong). Grows as needed. */
struct slm_keymap {
    slm_runtime *rt;
    uint64_t *key;
    uint32_t *value; /* UINT32_MAX: free */
    size_t n, mask;  /* mask 0: nothing allocated yet */
};
void slm_keymap_init(struct slm_keymap *m, slm_runtime *rt);
void slm_keymap_release(struct slm_keymap *m);
void slm_keymap_reset(struct slm_keymap *m);
/* *was gets the value that is there for key; where none is, `value` is put and *was is value.
 */
int slm_keymap_put(struct slm_keymap *m, uint64_t key, uint32_t value, uint32_t *was,
                   slm_err *err);
/* Where the value of key lies, NULL when it is not there. Any thread while nobody puts. */
uint32_t *slm_keymap_find(const struct slm_keymap *m, uint64_t key);

#endif
