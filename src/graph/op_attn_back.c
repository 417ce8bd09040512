/* The backward half of attention. With p = softmax(s) and g_j = dy . v_j:
 *   dv_j += p_j dy,   ds_j = p_j (g_j - sum p g),   dq += c ds_j k_j,   dk_j += c ds_j q
 * where s = q . k_j c, and a soft cap puts its own slope between. Scores are made again rather than
 * kept. One thread owns a kv head of a stream, as several rows add to the same keys. */
#include "graph/attn.h"

#include <math.h>

struct back {
    const struct node *n;
    struct slm_keys keys;
    int row0;             /* the stream's first row, whose position is keys.first */
    int kv_head, heads;   /* heads that share these keys */
    float *score, *g, *q; /* scratch: (heads, most), (heads, most), (heads, C) */
    size_t most;
};

/* score becomes p, g (which holds dy . v) the gradient of the scaled product q . k. */
static void score_back(float *s, float *g, int m, float cap)
{
    double top = (double)s[0], sum = 0, mean = 0;
    for (int j = 1; j < m; j++)
        top = (double)s[j] > top ? (double)s[j] : top;
    for (int j = 0; j < m; j++) {
        double e = exp((double)s[j] - top);
        sum += e;
        mean += e * (double)g[j];
    }
    mean /= sum;
    for (int j = 0; j < m; j++) {
        double prob = exp((double)s[j] - top) / sum, t = cap > 0 ? (double)s[j] / (double)cap : 0;
        g[j] = (float)(prob * ((double)g[j] - mean) * (1 - t * t));
        s[j] = (float)prob;
    }
}

static void row_back(slm_prog *p, const struct back *b, int row, int pos)
{
    const struct node *n = b->n;
    size_t w = (size_t)n->i[A_WIDTH];
    int lo = slm_attn_lo(n, b->keys.first, pos), m = pos + 1 - lo, key0 = b->row0 + lo - b->keys.first;
    size_t col = (size_t)b->kv_head * b->heads * w;
    const float *dy = slm_grad_row(p, n->out, row) + col, *q = slm_row(p, n->in[A_Q], row) + col;
    float *dq = slm_grad_row(p, n->in[A_Q], row) + col;
    p->kern->scale(b->q, q, n->f[A_SCALE], (size_t)b->heads * w);
    p->kern->mul_exact[SLM_F32](b->score, b->most, b->q, w * sizeof(float), b->heads,
                                slm_key_row(&b->keys, &b->keys.k, lo), b->keys.k.stride, m, w);
    p->kern->mul_exact[SLM_F32](b->g, b->most, dy, w * sizeof(float), b->heads,
                                slm_key_row(&b->keys, &b->keys.v, lo), b->keys.v.stride, m, w);
    for (int h = 0; h < b->heads; h++) {
        float *s = b->score + h * b->most, *g = b->g + h * b->most;
        if (n->f[A_CAP] > 0)
            p->kern->softcap(s, s, n->f[A_CAP], (size_t)m);
        score_back(s, g, m, n->f[A_CAP]);
        for (int j = 0; j < m; j++) {
            size_t at = (size_t)b->kv_head * w;
            p->kern->axpy[SLM_F32](dq + h * w, g[j] * n->f[A_SCALE], slm_row(p, n->in[A_K], key0 + j) + at, w);
            p->kern->axpy[SLM_F32](slm_grad_row(p, n->in[A_K], key0 + j) + at, g[j], b->q + h * w, w);
            p->kern->axpy[SLM_F32](slm_grad_row(p, n->in[A_V], key0 + j) + at, s[j], dy + h * w, w);
        }
    }
}

void slm_op_attn_bwd(slm_prog *p, const struct node *n, const struct slm_run *run, int ith, int nth)
{
    struct back b = {.n = n, .heads = n->i[A_HEADS] / n->i[A_KV_HEADS], .most = (size_t)p->o.max_rows};
    atomic_int *ticket = &p->node[n - p->node].ticket;
    (void)nth;
    b.score = slm_scratch_of(p, ith);
    b.g = b.score + b.heads * b.most;
    b.q = b.g + b.heads * b.most;
    for (;;) {
        int i = atomic_fetch_add_explicit(ticket, 1, memory_order_relaxed), s = i / n->i[A_KV_HEADS];
        if (s >= p->n_segments)
            return;
        b.kv_head = i % n->i[A_KV_HEADS];
        b.row0 = p->segment[s];
        b.keys = slm_keys_of(p, n, run, b.row0, b.kv_head);
        for (int r = b.row0; r < p->segment[s + 1]; r++)
            row_back(p, &b, r, run->pos[r]);
    }
}
