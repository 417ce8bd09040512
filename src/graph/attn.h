/* Attention's insides, shared by its two halves: where the keys and values of a stretch of rows
 * are. */
#ifndef SLM_GRAPH_ATTN_H
#define SLM_GRAPH_ATTN_H

#include "graph/prog.h"

enum { A_HEADS, A_KV_HEADS, A_WIDTH, A_WINDOW, A_LAYER }; /* node.i */
enum { A_SCALE, A_CAP };                                  /* node.f */
enum { A_Q, A_K, A_V };                                   /* node.in */

/* Rows of one head's keys or values by position: position p is at base + (p - first) % slots *
 * stride. */
struct slm_side {
    const uint8_t *base;
    size_t stride;
};
struct slm_keys {
    struct slm_side k, v;
    int first, slots;
    enum slm_dtype type;
};
/* For rows from row0 on, which are of one stream. */
struct slm_keys slm_keys_of(const slm_prog *p, const struct node *n, const struct slm_run *run,
                            int row0, int kv_head);
static inline const uint8_t *slm_key_row(const struct slm_keys *k, const struct slm_side *s,
                                         int pos)
{
    return s->base + (size_t)((pos - k->first) % k->slots) * s->stride;
}
/* Positions [lo, pos] are what a row at pos sees. */
static inline int slm_attn_lo(const struct node *n, int first, int pos)
{
    int lo = n->i[A_WINDOW] ? pos - n->i[A_WINDOW] + 1 : 0;
    return lo > first ? lo : first;
}

/* Bytes of thread scratch that backward wants. */
size_t slm_attn_back_scratch(const struct slm_attn *a, int max_rows);

#endif
