/* How fast the products of training are here: a fixed list of shapes of true models, each a way
 * forward, back to the inputs or back to the weights, timed as a training step runs them. */
#include <stdatomic.h>
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/probe.h"
#include "slm/bench.h"

enum way { FORWARD, INPUTS, WEIGHTS };

/* m, n, k of the product, not of the matrix. */
static const struct shape {
    const char *what;
    enum way way;
    int m, n, k;
    enum slm_dtype type; /* of the operand that is a model's weights */
} shapes[] = {
    /* clang-format off */
    {"square 256",             FORWARD, 256,  256,   256,  SLM_F32},
    {"square 1024",            FORWARD, 1024, 1024,  1024, SLM_F32},
    {"square 1024, inputs",    INPUTS,  1024, 1024,  1024, SLM_F32},
    {"square 1024, weights",   WEIGHTS, 1024, 1024,  1024, SLM_F32},
    {"square 2048",            FORWARD, 2048, 2048,  2048, SLM_F32},
    {"5M query",               FORWARD, 2048, 256,   256,  SLM_F32},
    {"5M up",                  FORWARD, 2048, 768,   256,  SLM_F32},
    {"5M up, inputs",          INPUTS,  2048, 256,   768,  SLM_F32},
    {"5M up, weights",         WEIGHTS, 768,  256,   2048, SLM_F32},
    {"5M head",                FORWARD, 2048, 4096,  256,  SLM_F32},
    {"5M head, weights",       WEIGHTS, 4096, 256,   2048, SLM_F32},
    {"1B query",               FORWARD, 512,  2048,  2048, SLM_BF16},
    {"1B up",                  FORWARD, 512,  8192,  2048, SLM_BF16},
    {"1B up",                  FORWARD, 512,  8192,  2048, SLM_Q8_0},
    {"1B up",                  FORWARD, 512,  8192,  2048, SLM_Q4_0},
    {"1B up",                  FORWARD, 512,  8192,  2048, SLM_Q4_K},
    {"1B up, inputs",          INPUTS,  512,  2048,  8192, SLM_BF16},
    {"1B up, inputs",          INPUTS,  512,  2048,  8192, SLM_Q8_0},
    {"1B up, inputs",          INPUTS,  512,  2048,  8192, SLM_Q4_K},
    {"1B up, weights",         WEIGHTS, 8192, 2048,  512,  SLM_F32},
    {"1B head, an eighth",     FORWARD, 512,  16032, 2048, SLM_BF16},
    {"1B LoRA 16, down",       FORWARD, 512,  16,    2048, SLM_F32},
    {"1B LoRA 16, up",         FORWARD, 512,  2048,  16,   SLM_F32},
    {"1B LoRA 16, A",          WEIGHTS, 16,   2048,  512,  SLM_F32},
    {"1B LoRA 16, B",          WEIGHTS, 2048, 16,    512,  SLM_F32},
    /* clang-format on */
};

int slm_bench_products(void) { return (int)(sizeof shapes / sizeof *shapes); }

struct job {
    const struct slm_kern *k;
    struct slm_gemm g;
    bool bf16;
    uint8_t *scratch;
    double (*peak)(long loops, double *sink); /* instead of a product */
    long loops;
    _Atomic uint64_t ops, sink, nanoseconds; /* the longest that a thread took */
};

/* Times are of processors, not of the clock on the wall: what else runs on a machine takes no
 * part in them, and threads that have unequal parts still show. */
static void timed_job(int ith, int nth, void *arg)
{
    struct job *j = arg;
    struct slm_gemm part;
    double sink = 0, t = slm_clock_thread_seconds();
    if (j->peak) {
        j->ops += (uint64_t)j->peak(j->loops, &sink);
        j->sink ^= (uint64_t)(sink != 0);
    } else if (slm_gemm_part(&part, &j->g, ith, nth)) {
        part.scratch = j->scratch + (size_t)ith * SLM_GEMM_SCRATCH;
        (j->bf16 ? j->k->gemm_bf16 : j->k->gemm_f32)(&part);
    }
    uint64_t ns = (uint64_t)((slm_clock_thread_seconds() - t) * 1e9), was = j->nanoseconds;
    while (ns > was && !atomic_compare_exchange_weak(&j->nanoseconds, &was, ns)) {}
}

/* The best of runs. */
static double gflops(slm_runtime *rt, struct job *j)
{
    enum { LEAST = 4 };
    double best = 0, begin = slm_clock_seconds();
    for (int run = 0; run < LEAST || slm_clock_seconds() - begin < 0.2; run++) {
        j->nanoseconds = 0;
        j->ops = 0;
        slm_pool_run(rt->pool, timed_job, j);
        double ops = j->peak ? (double)j->ops : 2.0 * j->g.m * j->g.n * j->g.k;
        if (j->nanoseconds && ops / (double)j->nanoseconds > best)
            best = ops / (double)j->nanoseconds;
    }
    return best;
}

static double peak(slm_runtime *rt, double (*fn)(long loops, double *sink))
{
    struct job j = {.peak = fn, .loops = 100000};
    return fn ? gflops(rt, &j) : 0;
}

void slm_bench_product_peaks(slm_runtime *rt, double *f32, double *bf16)
{
    struct slm_probe p;
    slm_probe_fill(&p, &rt->cpu);
    *f32 = peak(rt, p.f32);
    double vectors = peak(rt, p.bf16), tiles = peak(rt, p.amx_bf16);
    *bf16 = vectors > tiles ? vectors : tiles;
    *bf16 = *bf16 > *f32 ? *bf16 : *f32;
}

/* Rows of the same numbers between -1 and 1; n is a multiple of the block. */
static void fill(const struct slm_kern *k, uint8_t *data, size_t rows, size_t n,
                 enum slm_dtype t)
{
    enum { STEP = 1024 };
    float v[STEP];
    struct slm_rng rng;
    slm_rng_init(&rng, 1);
    for (size_t e = 0; e < n; e += STEP) {
        size_t now = n - e < STEP ? n - e : STEP;
        for (size_t i = 0; i < now; i++)
            v[i] = (float)(2 * slm_rng_unit(&rng) - 1);
        if (k->from_f32[t])
            k->from_f32[t](data + slm_row_bytes(t, e), v, now);
        else
            k->quantize[t](data + slm_row_bytes(t, e), v, NULL, now);
    }
    for (size_t r = 1; r < rows; r++)
        memcpy(data + r * slm_row_bytes(t, n), data, slm_row_bytes(t, n));
}

int slm_bench_product_run(slm_runtime *rt, int i, slm_bench_product *out, slm_err *err)
{
    memset(out, 0, sizeof *out);
    if (i < 0 || i >= slm_bench_products())
        return slm_fail(err, SLM_E_ARG, "product %d: there are %d", i, slm_bench_products());
    const struct shape *s = &shapes[i];
    size_t m = (size_t)s->m, n = (size_t)s->n, k = (size_t)s->k;
    size_t a_rows = s->way == WEIGHTS ? k : m, a_len = s->way == WEIGHTS ? m : k;
    size_t b_rows = s->way == FORWARD ? n : k, b_len = s->way == FORWARD ? k : n;
    size_t a_bytes = a_rows * a_len * 4, b_bytes = b_rows * slm_row_bytes(s->type, b_len);
    size_t scratch = (size_t)slm_pool_threads(rt->pool) * SLM_GEMM_SCRATCH, at = 0;
    size_t size[4] = {scratch, a_bytes, b_bytes, m * n * 4}, all = 0;
    uint8_t *part[4], *block;
    for (int p = 0; p < 4; p++)
        all += (size[p] + 63) / 64 * 64;
    block = slm_pages_alloc(rt, SLM_MEM_KERNELS, all);
    if (!block)
        return slm_fail_mem(err, "products", all);
    for (int p = 0; p < 4; p++) {
        part[p] = block + at;
        at += (size[p] + 63) / 64 * 64;
    }
    fill(rt->kern, part[1], a_rows, a_len, SLM_F32);
    fill(rt->kern, part[2], b_rows, b_len, s->type);
    memset(part[3], 0, size[3]);
    struct job j = {.k = rt->kern, .g = {.m = s->m, .n = s->n, .k = s->k}, .scratch = part[0]};
    j.g.a = (struct slm_side){
        .data = part[1], .stride = 4 * a_len, .type = SLM_F32, .across = s->way == WEIGHTS};
    j.g.b = (struct slm_side){.data = part[2],
                              .stride = slm_row_bytes(s->type, b_len),
                              .type = s->type,
                              .across = s->way != FORWARD};
    j.g.c = (float *)(void *)part[3];
    j.g.ldc = n;
    j.g.add = s->way == WEIGHTS;
    *out = (slm_bench_product){s->what, slm_dtypes[s->type].name, s->m, s->n, s->k, 0, 0};
    out->f32_gflops = gflops(rt, &j);
    j.bf16 = true;
    out->bf16_gflops = gflops(rt, &j);
    slm_pages_free(rt, SLM_MEM_KERNELS, block, all);
    return 0;
}
