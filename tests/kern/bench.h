/* checkkern --bench [level [type [threads]]]: products in the shapes of decoding (one row of
 * activations, weights larger than any cache) and of prompts (512 rows), on all threads of the
 * pool, beside a probe of read bandwidth taken just before, as a shared host's moves from
 * minute to minute. */

struct bench {
    const struct slm_kern *k;
    enum slm_dtype t;
    bool fast;
    int nx, nw;
    size_t kk, xs, ws;
    uint8_t *x, *w, *form; /* form: the first row of x as struct slm_one has it */
    float *out;
    double *sums;
};

static void bench_job(int ith, int nth, void *arg)
{
    struct bench *b = arg;
    size_t lo, hi;
    slm_split((size_t)b->nw, 64, ith, nth, &lo, &hi);
    for (size_t j = lo; j < hi; j += 256) {
        int n = (int)(hi - j < 256 ? hi - j : 256);
        if (b->nx > 1)
            n = (int)(hi - j);
        float *out = b->out + j;
        const void *w = b->w + j * b->ws;
        if (b->fast && b->nx == 1 && b->k->one[b->t].run)
            b->k->one[b->t].run(out, b->form, w, b->ws, n, b->kk);
        else if (b->fast)
            b->k->mul_fast[b->t](out, (size_t)b->nw, b->x, b->xs, b->nx, w, b->ws, n, b->kk);
        else
            b->k->mul_exact[b->t](out, (size_t)b->nw, (const float *)(const void *)b->x, b->xs,
                                  b->nx, w, b->ws, n, b->kk);
        if (b->nx > 1)
            break;
    }
}

static void read_job(int ith, int nth, void *arg)
{
    struct bench *b = arg;
    size_t lo, hi, n = (size_t)b->nw * b->ws / 4;
    slm_split(n, 1024, ith, nth, &lo, &hi);
    float v[1] = {0};
    const float *p = (const float *)(const void *)b->w;
    float s = b->k->max(p + lo, hi - lo); /* one load, one instruction a vector */
    b->sums[ith] = (double)(s + v[0]);
}

static double best_of(slm_runtime *rt, slm_job_fn *fn, struct bench *b, double least)
{
    double best = 1e9, until = slm_clock_seconds() + least;
    do {
        double t = slm_clock_seconds();
        slm_pool_run(rt->pool, fn, b);
        t = slm_clock_seconds() - t;
        if (t < best)
            best = t;
    } while (slm_clock_seconds() < until);
    return best;
}

static void bench_type(slm_runtime *rt, struct bench *b)
{
    struct checker c = {b->k, b->k, {{1, 2, 3, 4}}};
    enum slm_dtype xt = b->fast ? slm_dtypes[b->t].partner : SLM_F32;
    float *row = floats(4096);
    b->kk = 4096;
    b->ws = slm_row_bytes(b->t, b->kk);
    b->xs = slm_row_bytes(xt, b->kk);
    b->nw = (int)(160000000 / b->ws) / 64 * 64;
    size_t total = (size_t)b->nw * b->ws;
    b->w = slm_pages_alloc(rt, SLM_MEM_USER, total);
    b->x = slm_pages_alloc(rt, SLM_MEM_USER, 512 * b->xs);
    b->out = slm_pages_alloc(rt, SLM_MEM_USER, (size_t)b->nw * 512 * 4);
    if (!b->w || !b->x || !b->out)
        return;
    for (int i = 0; i < 512; i++) {
        fill(&c, row, 4096, 1);
        b->k->from_f32[xt](b->x + (size_t)i * b->xs, row, 4096);
    }
    static _Alignas(64) uint8_t form[65536];
    b->form = form;
    if (b->fast && b->k->one[b->t].run)
        b->k->one[b->t].prepare(form, b->x, b->kk);
    random_row(&c, b->t, b->w, b->kk);
    for (int j = 1; j < b->nw; j++)
        memcpy(b->w + (size_t)j * b->ws, b->w, b->ws);
    end(row, 4096);
    double read = best_of(rt, read_job, b, 0.3);
    b->nx = 1;
    double dec = best_of(rt, bench_job, b, 0.4);
    double gbs = (double)total / dec * 1e-9, ceiling = (double)total / read * 1e-9;
    int all = b->nw;
    b->nx = 512;
    b->nw = 1024;
    double ops = 2.0 * 512 * b->nw * (double)b->kk / best_of(rt, bench_job, b, 0.4) * 1e-9;
    printf("%-8s %-6s decode %6.1f GB/s of %5.1f (%3.0f %%)   prompt %7.1f GOP/s\n",
           slm_dtypes[b->t].name, b->fast ? "fast" : "exact", gbs, ceiling, 100 * gbs / ceiling,
           ops);
    fflush(stdout);
    slm_pages_free(rt, SLM_MEM_USER, b->w, total);
    slm_pages_free(rt, SLM_MEM_USER, b->x, 512 * b->xs);
    slm_pages_free(rt, SLM_MEM_USER, b->out, (size_t)all * 512 * 4);
}

static int bench(const char *level, const char *type, int threads)
{
    slm_runtime *rt;
    slm_runtime_opts o;
    slm_err err;

    slm_runtime_opts_init(&o);
    o.cpu = level;
    o.threads = threads;
    if (slm_runtime_open(&rt, &o, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    double *sums = calloc(1024, sizeof *sums);
    if (!sums)
        return 1;
    printf("%s, level %s, %d threads; weights of 4096 columns\n", slm_runtime_cpu_name(rt),
           slm_runtime_cpu_level(rt), slm_runtime_threads(rt));
    for (int t = 0; t < SLM_DTYPE_COUNT; t++) {
        if (slm_dtypes[t].gguf < 0 || (type && strcmp(type, slm_dtypes[t].name) != 0))
            continue;
        for (int how = 0; how < 2; how++) { /* exact, fast */
            struct bench b = {
                .k = rt->kern, .t = (enum slm_dtype)t, .fast = how > 0, .sums = sums};
            bench_type(rt, &b);
        }
    }
    free(sums);
    slm_runtime_close(&rt);
    return 0;
}
