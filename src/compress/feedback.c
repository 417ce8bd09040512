/* Rounding rows column by column, each error handed on to the columns that follow (second.h).
 *
 * Scales are a block's, codes a column's: at the start of a block the type's own search chooses
 * scales for what the columns are asked to be so far, weighed by D, then codes are taken one
 * after the other. As the demands shift within the block, the search is repeated on the demands
 * that came out; the best of all tries stays. Columns before the block come in as one product.
 */
#include <math.h>
#include <string.h>

#include "compress/second.h"

enum { TILE = 16, TRIES = 4, MOST = 256, LEVELS = 16 };

/* One block of one row while it is rounded. */
struct block {
    size_t at;        /* its first column */
    const float *w;   /* the weights there */
    float want[MOST]; /* with the errors of the columns before the block */
    float got[MOST];  /* the demands of the last try */
    float error[MOST], best_error[MOST];
    float base[MOST], step[MOST]; /* linear: value of code c is base + c * step */
    float level[LEVELS][MOST];    /* else: of each code */
    uint8_t code[MOST], bytes[292], best[292];
    double loss;
};

struct work {
    const struct slm_feedback *f;
    const struct slm_kern *kern;
    struct slm_codes codes;
    float *weight;       /* (cols) D */
    float *room;         /* (threads, TILE, 2 cols + MOST) */
    struct block *block; /* (threads) */
    double *loss;        /* (rows) */
};

/* The value of every code under the scales that stand in b->bytes. */
static void read_levels(const struct work *w, struct block *b)
{
    uint8_t code[MOST];
    int n = w->codes.linear ? 2 : w->codes.n;
    for (int c = 0; c < n; c++) {
        float *to = !w->codes.linear ? b->level[c] : c ? b->step : b->base;
        memset(code, c, sizeof code);
        slm_codes_put(&w->codes, b->bytes, code);
        w->kern->to_f32[w->f->type](to, b->bytes, (size_t)w->codes.block);
    }
    for (int i = 0; i < w->codes.block && w->codes.linear; i++)
        b->step[i] -= b->base[i];
}

static int nearest(const struct work *w, const struct block *b, int i, float t, float *value)
{
    int best = 0;
    if (w->codes.linear) {
        float c = b->step[i] != 0 ? rintf((t - b->base[i]) / b->step[i]) : 0;
        float top = (float)(w->codes.n - 1);
        c = c < 0 ? 0 : c > top ? top : c;
        *value = b->base[i] + c * b->step[i];
        return (int)c;
    }
    for (int c = 1; c < w->codes.n; c++)
        if (fabsf(t - b->level[c][i]) < fabsf(t - b->level[best][i]))
            best = c;
    *value = b->level[best][i];
    return best;
}

/* Codes for all columns under given scales; b->got becomes what each was asked to be. */
static void round_block(const struct work *w, struct block *b)
{
    size_t n = (size_t)w->codes.block, cols = (size_t)w->f->cols;
    float t[MOST];
    double loss = 0;
    read_levels(w, b);
    memcpy(t, b->want, n * sizeof *t);
    for (size_t i = 0; i < n; i++) {
        float value;
        b->code[i] = (uint8_t)nearest(w, b, (int)i, t[i], &value);
        b->got[i] = t[i];
        b->error[i] = b->w[i] - value;
        double miss = (double)t[i] - (double)value;
        loss += (double)w->weight[b->at + i] * miss * miss;
        w->kern->axpy[SLM_F32](t + i + 1, b->error[i],
                               w->f->factor + (b->at + i) * cols + b->at + i + 1, n - i - 1);
    }
    if (loss < b->loss) {
        b->loss = loss;
        slm_codes_put(&w->codes, b->bytes, b->code);
        memcpy(b->best, b->bytes, sizeof b->best);
        memcpy(b->best_error, b->error, n * sizeof *b->error);
    }
}

static void search(const struct work *w, struct block *b)
{
    size_t n = (size_t)w->codes.block;
    const float *from = b->want;
    b->loss = HUGE_VAL;
    for (int k = 0; k < TRIES; k++, from = b->got) {
        double before = b->loss;
        if (w->kern->quantize[w->f->type])
            w->kern->quantize[w->f->type](b->bytes, from, w->weight + b->at, n);
        else
            w->kern->from_f32[w->f->type](b->bytes, from, n);
        round_block(w, b);
        if (!(b->loss < before))
            break;
    }
}

/* Rows [r0, r0 + n) from left to right. w and e (n, cols), want (n, MOST) are the thread's. */
static void round_tile(const struct work *k, struct block *b, size_t r0, size_t n, float *room)
{
    const struct slm_feedback *f = k->f;
    size_t cols = (size_t)f->cols, bl = (size_t)k->codes.block,
           size = slm_dtypes[f->type].bytes;
    float *w = room, *e = w + TILE * cols, *add = e + TILE * cols;
    for (size_t r = 0; r < n; r++) {
        k->kern->to_f32[f->from](w + r * cols, f->in + (r0 + r) * f->stride, cols);
        k->loss[r0 + r] = 0;
    }
    for (b->at = 0; b->at < cols; b->at += bl) {
        if (b->at)
            k->kern->mul_exact[SLM_F32](add, MOST, e, cols * sizeof *e, (int)n,
                                        f->factor + b->at * cols, cols * sizeof *e, (int)bl,
                                        b->at);
        for (size_t r = 0; r < n; r++) {
            b->w = w + r * cols + b->at;
            for (size_t i = 0; i < bl; i++)
                b->want[i] = b->at ? b->w[i] + add[r * MOST + i] : b->w[i];
            search(k, b);
            memcpy(e + r * cols + b->at, b->best_error, bl * sizeof *e);
            memcpy(f->out + ((r0 + r) * (cols / bl) + b->at / bl) * size, b->best, size);
            k->loss[r0 + r] += b->loss;
        }
    }
}

static void run(int ith, int nth, void *arg)
{
    const struct work *w = arg;
    size_t lo, hi, cols = (size_t)w->f->cols;
    float *room = w->room + (size_t)ith * TILE * (2 * cols + MOST);
    slm_split((size_t)w->f->rows, TILE, ith, nth, &lo, &hi);
    for (size_t r = lo; r < hi; r += TILE)
        round_tile(w, &w->block[ith], r, hi - r < TILE ? hi - r : TILE, room);
}

int slm_feedback_run(slm_runtime *rt, const struct slm_feedback *f, double *loss, slm_err *err)
{
    struct work w = {.f = f, .kern = rt->kern};
    size_t cols = (size_t)f->cols, threads = (size_t)slm_pool_threads(rt->pool);
    bool codes = slm_codes_of(&w.codes, f->type);
    SLM_ASSERT(codes && f->cols % w.codes.block == 0);
    w.weight = slm_alloc_n(rt, SLM_MEM_USER, cols, sizeof *w.weight);
    w.room = slm_alloc_n(rt, SLM_MEM_USER, threads * TILE * (2 * cols + MOST), sizeof *w.room);
    w.block = slm_alloc_n(rt, SLM_MEM_USER, threads, sizeof *w.block);
    w.loss = slm_alloc_n(rt, SLM_MEM_USER, (size_t)f->rows, sizeof *w.loss);
    int rc = w.weight && w.room && w.block && w.loss
                 ? 0
                 : slm_fail_mem(err, "feedback", threads * TILE * 2 * cols * sizeof *w.room);
    if (!rc) {
        for (size_t i = 0; i < cols; i++)
            w.weight[i] = f->factor[i * cols + i];
        slm_pool_run(rt->pool, run, &w);
    }
    if (!rc && loss) {
        *loss = 0;
        for (int r = 0; r < f->rows; r++)
            *loss += w.loss[r];
    }
    slm_free(rt, w.weight);
    slm_free(rt, w.room);
    slm_free(rt, w.block);
    slm_free(rt, w.loss);
    return rc;
}
