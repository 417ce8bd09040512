/* Attention's insides: where the keys and values of a stretch of rows are, and the computing of
 * one part of the positions for some queries, which op_attn.c hands out to threads. */
#ifndef SLM_GRAPH_ATTN_H
#define SLM_GRAPH_ATTN_H

#include "graph/prog.h"

enum { A_HEADS, A_KV_HEADS, A_WIDTH, A_WINDOW, A_LAYER }; /* node.i */
enum { A_SCALE, A_CAP };                                  /* node.f */
enum { A_Q, A_K, A_V };                                   /* node.in */

/* Positions are computed in parts cut at multiples of this, each with its own largest score,
 * sum and weighted sum of values, and the parts joined in rising order: so a row's bits depend
 * on its position and window alone, whoever computes the parts. */
#define SLM_ATTN_PART 256
/* Queries that go over a part together: their scores stay in the first cache. */
#define SLM_ATTN_TILE 24

/* One head's keys and values. In a cache position p is slot p % slots, keys in blocks of
 * SLM_KEYS; else this run's own rows as float32, from position `first` on. */
struct slm_kv_side {
    const uint8_t *base;
    size_t stride; /* bytes from slot to slot, or row to row */
};
struct slm_keys {
    struct slm_kv_side k, v;
    int first, slots;
    enum slm_dtype type;
    bool cached;
};
/* For rows from row0 on, which are of one stream. */
struct slm_keys slm_keys_of(const slm_prog *p, const struct node *n, const struct slm_run *run,
                            int row0, int kv_head);
/* A row of a run's own keys or values. */
static inline const uint8_t *slm_key_row(const struct slm_keys *k, const struct slm_kv_side *s,
                                         int pos)
{
    return s->base + (size_t)(pos - k->first) * s->stride;
}
/* Positions [lo, pos] are what a row at pos sees. */
static inline int slm_attn_lo(const struct node *n, int first, int pos)
{
    int lo = n->i[A_WINDOW] ? pos - n->i[A_WINDOW] + 1 : 0;
    return lo > first ? lo : first;
}

/* What queries have so far: largest score, sum of exp(score - top), and values weighted by the
 * same, not yet divided by the sum. sum 0: nothing yet. */
struct slm_attn_sums {
    float *acc, *top, *sum; /* (queries, C), (queries), (queries) */
};

/* Rows [row0, row0 + rows) of one stream times the heads of one kv head. Query i is row i /
 * heads, head head0 + i % heads. */
struct slm_attn_chunk {
    const struct node *n;
    struct slm_keys keys;
    const int32_t *pos; /* of row0 */
    int row0, rows, head0, heads;
    float *q;                  /* scratch: (queries, C), scaled */
    struct slm_attn_sums all;  /* scratch: of all queries */
    struct slm_attn_sums part; /* scratch: of a tile */
    float *score;              /* scratch: (tile, PART) */
    float *kt, *vt;            /* scratch: (PART, C) each: a part as float32 */
};
/* Floats of thread scratch for chunks of at most `queries`; and its division. */
size_t slm_attn_scratch(int queries, int width);
void slm_attn_place(struct slm_attn_chunk *c, float *scratch, int queries);

void slm_attn_load(const slm_prog *p, const struct slm_attn_chunk *c);
/* Parts [*from, *to) are what the chunk's rows see. */
void slm_attn_parts(const struct slm_attn_chunk *c, int *from, int *to);
/* One part for all queries of a chunk of at most a tile. */
void slm_attn_part(const slm_prog *p, const struct slm_attn_chunk *c, int part,
                   struct slm_attn_sums out);
/* all += part, for one query. */
void slm_attn_join(const slm_prog *p, struct slm_attn_sums all, struct slm_attn_sums part,
                   size_t width);
/* All parts of a chunk, and its rows of the output. */
void slm_attn_run(const slm_prog *p, const struct slm_attn_chunk *c);
void slm_attn_finish(const slm_prog *p, const struct slm_attn_chunk *c, int query,
                     struct slm_attn_sums s);

/* Bytes of thread scratch that backward wants. */
size_t slm_attn_back_scratch(const struct slm_attn *a, int max_rows);

#endif
