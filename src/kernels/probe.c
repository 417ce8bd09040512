/* Measures the machine's ceilings with all threads of the pool: memory read over a block larger
 * than the caches, and multiply-adds in registers. The best of several runs counts, as all else
 * on the machine can only slow a run down. */
#include "kernels/probe.h"

#include "slm/bench.h"

#include <string.h>

static uint64_t read_generic(const void *p, size_t n)
{
    const uint64_t *w = p;
    uint64_t a = 0, b = 0, c = 0, d = 0;
    for (size_t i = 0; i < n / 8; i += 4) {
        a ^= w[i];
        b ^= w[i + 1];
        c ^= w[i + 2];
        d ^= w[i + 3];
    }
    return a ^ b ^ c ^ d;
}

static double f32_generic(long loops, double *sink)
{
    float a[16], m = 0.999f, c = 0.001f, sum = 0;
    for (int k = 0; k < 16; k++)
        a[k] = (float)k;
    for (long i = 0; i < loops; i++)
        for (int k = 0; k < 16; k++)
            a[k] = a[k] * m + c;
    for (int k = 0; k < 16; k++)
        sum += a[k];
    *sink += (double)sum;
    return (double)loops * 32;
}

void slm_probe_fill(struct slm_probe *p, const struct slm_cpu *cpu)
{
    static const struct {
        enum slm_cpu_level level;
        void (*fill)(struct slm_probe *p);
    } rungs[] = {
#if defined(__x86_64__)
        {SLM_CPU_AVX2, slm_probe_fill_avx2},
        {SLM_CPU_AVXVNNI, slm_probe_fill_avxvnni},
        {SLM_CPU_AVX512, slm_probe_fill_avx512},
        {SLM_CPU_AVX512VNNI, slm_probe_fill_avx512vnni},
        {SLM_CPU_AVX512BF16, slm_probe_fill_avx512bf16},
        {SLM_CPU_AMX, slm_probe_fill_amx},
#elif defined(__aarch64__)
        {SLM_CPU_NEON, slm_probe_fill_neon},
        {SLM_CPU_DOTPROD, slm_probe_fill_dotprod},
#else
        {SLM_CPU_COUNT, NULL},
#endif
    };
    *p = (struct slm_probe){.read = read_generic, .f32 = f32_generic};
    for (size_t i = 0; i < sizeof rungs / sizeof *rungs; i++)
        if (rungs[i].fill && rungs[i].level <= cpu->top && (cpu->has >> rungs[i].level & 1u))
            rungs[i].fill(p);
}

enum { READ_RUNS = 4, PEAK_RUNS = 5, STREAMS = 4, PIECE = 1024 };
#define BLOCK_BYTES ((size_t)256 << 20)

struct job {
    const struct slm_probe *probe;
    double (*peak)(long loops, double *sink);
    uint8_t *block;
    size_t n;
    int threads; /* that take part */
    bool far;    /* several streams a thread */
    long loops;
    _Atomic uint64_t ops, sink;
};

static void write_job(int ith, int nth, void *arg)
{
    struct job *j = arg;
    size_t lo, hi;
    slm_split(j->n, 4096, ith, nth, &lo, &hi);
    for (size_t i = lo; i < hi; i += 64)
        j->block[i] = (uint8_t)i;
}

/* A thread's part in one go, or as streams that lie far apart, a piece of each in turn: which
 * of the two is faster differs from CPU to CPU. */
static void read_job(int ith, int nth, void *arg)
{
    struct job *j = arg;
    size_t lo, hi;
    (void)nth;
    if (ith >= j->threads)
        return;
    slm_split(j->n, STREAMS * PIECE, ith, j->threads, &lo, &hi);
    if (!j->far) {
        j->sink ^= j->probe->read(j->block + lo, hi - lo);
        return;
    }
    size_t one = (hi - lo) / STREAMS;
    uint64_t x = 0;
    for (size_t i = 0; i < one; i += PIECE)
        for (size_t s = 0; s < STREAMS; s++)
            x ^= j->probe->read(j->block + lo + s * one + i, PIECE);
    j->sink ^= x;
}

static void peak_job(int ith, int nth, void *arg)
{
    struct job *j = arg;
    double sink = 0;
    (void)nth;
    if (ith >= j->threads)
        return;
    j->ops += (uint64_t)j->peak(j->loops, &sink);
    j->sink ^= (uint64_t)(sink != 0);
}

static double read_best(slm_runtime *rt, struct job *j, bool far)
{
    double best = 0;
    j->far = far;
    for (int i = 0; i < READ_RUNS; i++) {
        double t = slm_clock_seconds();
        slm_pool_run(rt->pool, read_job, j);
        t = slm_clock_seconds() - t;
        double gbs = t > 0 ? (double)j->n / t * 1e-9 : 0;
        best = gbs > best ? gbs : best;
    }
    return best;
}

static int bandwidth(slm_runtime *rt, const struct slm_probe *p, int threads,
                     slm_bench_peaks *out, slm_err *err)
{
    struct job j = {.probe = p, .n = BLOCK_BYTES, .threads = threads};
    while (!(j.block = slm_pages_alloc(rt, SLM_MEM_KERNELS, j.n)) && j.n > BLOCK_BYTES / 4)
        j.n /= 2;
    if (!j.block)
        return slm_fail_mem(err, "bandwidth probe", j.n);
    slm_pool_run(rt->pool, write_job, &j);
    out->read_gbs_one = read_best(rt, &j, false);
    out->read_gbs_four = read_best(rt, &j, true);
    slm_pages_free(rt, SLM_MEM_KERNELS, j.block, j.n);
    out->read_gbs =
        out->read_gbs_one > out->read_gbs_four ? out->read_gbs_one : out->read_gbs_four;
    out->read_bytes = j.n;
    return 0;
}

/* Billions of operations a second, the threads together. */
static double peak(slm_runtime *rt, int threads, double (*fn)(long loops, double *sink))
{
    struct job j = {.peak = fn, .loops = 1000, .threads = threads};
    double best = 0, t = 0;
    if (!fn)
        return 0;
    /* as many rounds as take some 20 ms */
    while (t < 0.01 && j.loops < 1L << 40) {
        j.loops *= 2;
        t = slm_clock_seconds();
        slm_pool_run(rt->pool, peak_job, &j);
        t = slm_clock_seconds() - t;
    }
    for (int i = 0; i < PEAK_RUNS; i++) {
        j.ops = 0;
        t = slm_clock_seconds();
        slm_pool_run(rt->pool, peak_job, &j);
        t = slm_clock_seconds() - t;
        double g = t > 0 ? (double)j.ops / t * 1e-9 : 0;
        best = g > best ? g : best;
    }
    return best;
}

int slm_bench_bandwidth(slm_runtime *rt, double *gbs, slm_err *err)
{
    struct slm_probe p;
    slm_bench_peaks out;
    slm_probe_fill(&p, &rt->cpu);
    int code = bandwidth(rt, &p, slm_pool_threads(rt->pool), &out, err);
    if (!code)
        *gbs = out.read_gbs;
    return code;
}

double slm_bench_peak(slm_runtime *rt, int op)
{
    struct slm_probe p;
    slm_probe_fill(&p, &rt->cpu);
    int n = slm_pool_threads(rt->pool);
    switch (op) {
    case SLM_BENCH_F32: return peak(rt, n, p.f32);
    case SLM_BENCH_BF16: return peak(rt, n, p.bf16);
    case SLM_BENCH_INT8: return peak(rt, n, p.int8);
    case SLM_BENCH_AMX_BF16: return peak(rt, n, p.amx_bf16);
    case SLM_BENCH_AMX_INT8: return peak(rt, n, p.amx_int8);
    default: return 0;
    }
}

int slm_bench_machine(slm_runtime *rt, int threads, slm_bench_peaks *out, slm_err *err)
{
    struct slm_probe p;
    int all = slm_pool_threads(rt->pool), n = threads > 0 && threads < all ? threads : all;
    memset(out, 0, sizeof *out);
    slm_probe_fill(&p, &rt->cpu);
    int code = bandwidth(rt, &p, n, out, err);
    if (code)
        return code;
    out->f32_gflops = peak(rt, n, p.f32);
    out->bf16_gflops = peak(rt, n, p.bf16);
    out->int8_gops = peak(rt, n, p.int8);
    out->amx_bf16_gflops = peak(rt, n, p.amx_bf16);
    out->amx_int8_gops = peak(rt, n, p.amx_int8);
    return 0;
}
