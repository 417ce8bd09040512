/* Private to the adapter room: an adapter as files have it, one addition a module. Rows of a
 * fused matrix that were adapted apart become one addition to all of it: A stacked, B in
 * blocks, the ranks summed. */
#ifndef SLM_ADAPTER_GROUP_H
#define SLM_ADAPTER_GROUP_H

#include "adapter/adapter_in.h"

struct slm_group {
    const struct slm_adapter_part *part; /* the first of n: all of one weight and use */
    int n;
    const struct slm_place *place; /* the whole */
    int r;                         /* of all together */
    float scale;                   /* the first one's; the others' is multiplied into B */
};
struct slm_groups {
    const slm_adapter *a;
    struct slm_places places;
    struct slm_arena arena;
    struct slm_group *group;
    int n;
    bool dora; /* any has lengths: then all are given some */
};
int slm_groups_init(struct slm_groups *g, const slm_adapter *a, slm_err *err);
void slm_groups_release(struct slm_groups *g);
/* A (r, in) and B (rows, r) of an expert, rows in a file's order; A of the embedding as it is.
 */
void slm_group_a(const struct slm_group *y, int expert, float *out);
void slm_group_b(const struct slm_groups *g, const struct slm_group *y, int expert,
                 enum slm_order order, float *out);
/* (rows) lengths, of W + s B A where the part has none of its own: then nothing changes. */
int slm_group_m(const struct slm_groups *g, const struct slm_group *y, enum slm_order order,
                float *out, slm_err *err);

#endif
