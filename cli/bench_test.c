/* One test of slm bench: runs, with a probe of the machine before and after each, since on a
 * shared host bandwidth and clock move within minutes. The best probe is the ceiling's. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench_run.h"

struct test {
    const struct slm_bench_plan *p;
    struct slm_bench_result *r;
    slm_session *s[64];
    struct slm_cli_progress bar;
    uint64_t done, total;
    double probe;
    int op;
};

/* All streams hold `depth` tokens: kept from the run before where that can be. */
static int go_to_depth(struct test *t, slm_err *err)
{
    int code = 0;
    for (int i = 0; i < t->r->streams && !code; i++) {
        if (slm_session_truncate(t->s[i], t->r->depth) == t->r->depth)
            continue;
        slm_session_reset(t->s[i]);
        if (t->r->depth)
            code = slm_session_sync(t->s[i], t->p->ids, t->r->depth, NULL, err);
    }
    return code;
}

static int decode(struct test *t, int at, slm_err *err)
{
    const int32_t *id = t->p->ids + t->r->depth + at;
    slm_step step[64];
    if (t->r->streams == 1)
        return slm_session_append(t->s[0], id, 1, err);
    for (int i = 0; i < t->r->streams; i++)
        step[i] = (slm_step){.session = t->s[i], .ids = id, .n = 1};
    return slm_session_step(step, t->r->streams, err);
}

/* Tokens a second of one run. */
static int run_once(struct test *t, double *rate, slm_err *err)
{
    int n = t->r->n, code = go_to_depth(t, err);
    double start = slm_cli_seconds();
    if (!code && !t->r->decode)
        code = slm_session_sync(t->s[0], t->p->ids, t->r->depth + n, NULL, err);
    for (int i = 0; t->r->decode && i < n && !code; i++) {
        code = decode(t, i, err);
        if (!code && slm_cli_progress_step(&t->bar, t->done + (uint64_t)i, t->total))
            code = slm_cli_fail(err, SLM_E_CANCELLED, "stopped");
    }
    double took = slm_cli_seconds() - start;
    t->done += (uint64_t)n;
    if (!code && slm_cli_progress_step(&t->bar, t->done, t->total))
        code = slm_cli_fail(err, SLM_E_CANCELLED, "stopped");
    *rate = took > 0 ? (double)n * t->r->streams / took : 0;
    return code;
}

/* Products of integers for quantised weights, of bfloat16 for 16-bit ones; on a CPU with tiles
 * both are measured against those of bfloat16. */
static int prompt_op(const struct slm_bench_plan *p)
{
    bool quantised = p->info.types && strchr(p->info.types, 'q') != NULL;
    bool half = p->info.types && strstr(p->info.types, "f16") != NULL; /* bf16 too */
    slm_runtime *rt = p->c->rt;
    if (p->so.exact || (!quantised && !half))
        return SLM_BENCH_F32;
    if (slm_bench_peak(rt, SLM_BENCH_AMX_BF16) > 0)
        return SLM_BENCH_AMX_BF16;
    int op = quantised ? SLM_BENCH_INT8 : SLM_BENCH_BF16;
    if (!quantised && !strstr(p->info.types, "bf16"))
        return SLM_BENCH_F32;
    return slm_bench_peak(rt, op) > slm_bench_peak(rt, SLM_BENCH_F32) ? op : SLM_BENCH_F32;
}

static int probe(struct test *t, slm_err *err)
{
    double x = 0;
    int code = 0;
    if (t->r->decode)
        code = slm_bench_bandwidth(t->p->c->rt, &x, err);
    else
        x = slm_bench_peak(t->p->c->rt, t->op);
    t->probe = x > t->probe ? x : t->probe;
    return code;
}

/* Decoding reads each active weight once a step, and each stream's cache; a prompt multiplies
 * and adds each active weight once a token. */
static void set_ceiling(struct test *t)
{
    const slm_model_info *i = &t->p->info;
    struct slm_bench_result *r = t->r;
    r->bound = t->probe;
    r->attention = (double)NAN;
    if (r->decode) {
        int at = r->depth + r->n / 2 + 1;
        double cache = (double)slm_model_kv_bytes(t->p->model, at, t->p->so.kv_type);
        double weights = (double)i->bytes_active;
        if (i->experts && r->streams > 1) { /* streams choose different experts */
            double missed = 1 - (double)i->experts_used / i->experts;
            double share = (1 - pow(missed, r->streams)) * i->experts / i->experts_used;
            weights *= fmin(share, (double)i->bytes / (double)i->bytes_active);
        }
        r->bound_name = "bandwidth_gbs";
        r->ceiling = t->probe * 1e9 * r->streams / (weights + cache * r->streams);
        return;
    }
    /* scores and values: 4 operations a position seen, of every head's columns */
    double seen = r->depth + r->n / 2.0;
    double attention = 4.0 * i->layers * i->heads * i->head_width * seen;
    double products = 2 * (double)i->params_active;
    r->attention = attention / (attention + products);
    r->bound_name = "peak_gops";
    r->ceiling = t->probe * 1e9 / products;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, compare);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static int run_all(struct test *t, double *rate, double *peer, slm_err *err)
{
    const struct slm_bench_plan *p = t->p;
    struct slm_bench_result *r = t->r;
    double used = 0;
    int code = run_once(t, &rate[0], err); /* warms caches and pages */
    r->rss_mib = slm_cli_rss_mib();        /* before the probe takes its block */
    t->op = r->decode ? 0 : prompt_op(p);
    for (int i = 0; i < p->repeat && !code; i++) {
        if (!(code = probe(t, err)))
            code = go_to_depth(t, err);
        double before = slm_bench_joules();
        if (!code)
            code = run_once(t, &rate[i], err);
        used += slm_bench_joules() - before;
        if (!code)
            code = probe(t, err);
        if (!code && p->peer)
            code = slm_bench_peer(p->peer, p->file, r, &peer[i], err);
    }
    r->joules = used / ((double)r->n * r->streams * p->repeat);
    return code;
}

static int open_streams(struct test *t, slm_err *err)
{
    slm_session_opts so = t->p->so;
    int code = 0;
    so.context = t->r->depth + t->r->n;
    if (so.batch > so.context)
        so.batch = so.context;
    for (int i = 0; i < t->r->streams && !code; i++) {
        so.share = i ? t->s[0] : NULL;
        code = slm_session_open(&t->s[i], t->p->model, &so, err);
    }
    return code;
}

int slm_bench_test(const struct slm_bench_plan *p, struct slm_bench_result *r, slm_err *err)
{
    struct test t = {.p = p, .r = r};
    double *rate = slm_cli_realloc(NULL, 2 * (size_t)p->repeat * sizeof *rate);
    double *peer = rate + p->repeat;
    t.total = (uint64_t)(p->repeat + 1) * (uint64_t)r->n;
    slm_cli_progress_start(&t.bar, p->c, r->decode ? "decode" : "prompt", "tok");
    int code = open_streams(&t, err);
    if (!code)
        code = run_all(&t, rate, peer, err);
    slm_cli_progress_end(&t.bar);
    for (int i = r->streams; i-- > 0;)
        slm_session_close(&t.s[i]);
    if (!code) {
        set_ceiling(&t);
        r->tok_s = median(rate, p->repeat);
        r->tok_s_min = rate[0];
        r->tok_s_max = rate[p->repeat - 1];
        r->peer_tok_s = p->peer ? median(peer, p->repeat) : (double)NAN;
        r->ratio = r->tok_s / r->peer_tok_s;
    }
    free(rate);
    return code;
}
