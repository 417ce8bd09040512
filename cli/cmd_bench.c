/* slm bench: how fast a model runs here, each figure beside the ceiling that this machine sets.
 */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct args {
    struct slm_cli_common common;
    struct slm_cli_model_args model;
    struct slm_cli_session_args session;
    int prompt, gen, depth, repeat, machine;
    const char *shape, *type, *out;
};

#define F(field) offsetof(struct args, field)
static const struct slm_cli_opt opts[] = {
    SLM_CLI_GROUP(slm_cli_model_opts, F(model), NULL),
    SLM_CLI_VALUE(OPT_TEXT, 0, "shape", F(shape), "NAME",
                  "instead of a model: random weights of this shape, made in memory"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "type", F(type), "TYPE",
                  "the type of the shape's weights, as files are named (default: q4_K_M)"),
    SLM_CLI_VALUE(OPT_FILE, 'o', "output", F(out), "FILE",
                  "write the shape as a GGUF file, and measure nothing"),
    SLM_CLI_INT('p', "prompt|n-prompt", F(prompt), "N", 0, 1 << 20,
                "tokens of the prompt test; 0: none (default: 512)"),
    SLM_CLI_INT('n', "gen|n-gen", F(gen), "N", 0, 1 << 20,
                "tokens of the decode test; 0: none (default: 64)"),
    SLM_CLI_INT('d', "depth", F(depth), "N", 0, 1 << 20,
                "tokens that lie in the context before (default: 0)"),
    SLM_CLI_INT('r', "repeat|repetitions", F(repeat), "N", 1, 1000,
                "runs of each test (default: 3)"),
    SLM_CLI_FLAG(0, "machine", F(machine), "measure the machine alone: bandwidth and peaks"),
    SLM_CLI_GROUP(slm_cli_session_opts, F(session), "Context"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

static void defaults(void *p)
{
    struct args *a = p;
    a->prompt = 512;
    a->gen = 64;
    a->repeat = 3;
}

struct bench {
    struct slm_cli *c;
    const struct args *a;
    slm_session *s;
    slm_model_info info;
    slm_bench_peaks peaks;
    double load_seconds;
    int32_t *ids;
    struct slm_cli_json j;
    struct slm_cli_progress bar;
    uint64_t done, total; /* tokens, over all runs */
};

static int show_machine(struct slm_cli *c, const struct args *a, slm_err *err)
{
    slm_bench_peaks p;
    int code = slm_bench_machine(c->rt, &p, err);
    if (code)
        return code;
    if (!a->common.json) {
        printf("CPU            %s, level %s, %d threads\n", slm_runtime_cpu_name(c->rt),
               slm_runtime_cpu_level(c->rt), slm_runtime_threads(c->rt));
        printf("memory read    %.1f GB/s (over %zu MiB)\n", p.read_gbs, p.read_bytes >> 20);
        printf("f32            %.0f GFLOP/s\n", p.f32_gflops);
        if (p.bf16_gflops > 0)
            printf("bf16           %.0f GFLOP/s\n", p.bf16_gflops);
        if (p.int8_gops > 0)
            printf("int8           %.0f GOP/s\n", p.int8_gops);
        if (p.amx_bf16_gflops > 0)
            printf("bf16 in tiles  %.0f GFLOP/s\n", p.amx_bf16_gflops);
        if (p.amx_int8_gops > 0)
            printf("int8 in tiles  %.0f GOP/s\n", p.amx_int8_gops);
        return 0;
    }
    struct slm_cli_json j = {.f = stdout};
    slm_js_open(&j, '{');
    slm_js_kstr(&j, "cpu", slm_runtime_cpu_name(c->rt));
    slm_js_kstr(&j, "cpu_level", slm_runtime_cpu_level(c->rt));
    slm_js_kint(&j, "threads", slm_runtime_threads(c->rt));
    slm_js_kreal(&j, "bandwidth_gbs", p.read_gbs);
    slm_js_kreal(&j, "f32_gflops", p.f32_gflops);
    slm_js_kreal(&j, "bf16_gflops", p.bf16_gflops > 0 ? p.bf16_gflops : (double)NAN);
    slm_js_kreal(&j, "int8_gops", p.int8_gops > 0 ? p.int8_gops : (double)NAN);
    slm_js_kreal(&j, "amx_bf16_gflops",
                 p.amx_bf16_gflops > 0 ? p.amx_bf16_gflops : (double)NAN);
    slm_js_kreal(&j, "amx_int8_gops", p.amx_int8_gops > 0 ? p.amx_int8_gops : (double)NAN);
    slm_js_close(&j, '}');
    return 0;
}

/* Ids that no test depends on: the same everywhere, spread over the vocabulary. */
static void make_ids(struct bench *b, int n)
{
    uint64_t x = 88172645463325252u;
    b->ids = slm_cli_realloc(NULL, (size_t)(n ? n : 1) * sizeof *b->ids);
    for (int i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        b->ids[i] = (int32_t)(x % (uint64_t)b->info.vocab);
    }
}

/* Seconds of one run: n tokens behind `depth` others, together or one by one. */
static int time_run(struct bench *b, bool decode, double *seconds, slm_err *err)
{
    int n = decode ? b->a->gen : b->a->prompt, depth = b->a->depth, code = 0;
    slm_session_reset(b->s);
    if (depth)
        code = slm_session_sync(b->s, b->ids, depth, NULL, err);
    double t = slm_cli_seconds();
    if (!decode && !code)
        code = slm_session_sync(b->s, b->ids, depth + n, NULL, err);
    for (int i = 0; decode && i < n && !code; i++)
        if (!(code = slm_session_append(b->s, b->ids + depth + i, 1, err)))
            slm_cli_progress_step(&b->bar, b->done + (uint64_t)i, b->total);
    *seconds = slm_cli_seconds() - t;
    b->done += (uint64_t)n;
    if (!code && slm_cli_progress_step(&b->bar, b->done, b->total))
        code = slm_cli_fail(err, SLM_E_CANCELLED, "stopped");
    return code;
}

static bool is_quantised(const char *types) { return types && strchr(types, 'q') != NULL; }

/* Tokens a second that the machine allows. Decode reads each active weight and the cache once a
 * token; a prompt multiplies and adds each active weight once a token. *what names the bound.
 */
static double ceiling(const struct bench *b, bool decode, double gbs, double *bound,
                      const char **what)
{
    const slm_model_info *i = &b->info;
    double share = i->params ? (double)i->params_active / (double)i->params : 1;
    if (decode) {
        const char *kv = b->a->session.o.kv_type ? b->a->session.o.kv_type
                         : b->a->session.o.exact ? "f32"
                                                 : "f16";
        double at = b->a->depth + b->a->gen / 2.0;
        int context = slm_session_context(b->s);
        double cache =
            (double)slm_model_kv_bytes(slm_session_model(b->s), context, kv) / context * at;
        *bound = gbs;
        *what = "bandwidth_gbs";
        return gbs * 1e9 / ((double)i->bytes * share + cache);
    }
    double peak = b->peaks.f32_gflops;
    bool fast = !b->a->session.o.exact, quantised = is_quantised(i->types),
         half = i->types && strstr(i->types, "f16"); /* bf16 too */
    if (fast && (quantised || half) && b->peaks.amx_bf16_gflops > 0)
        peak = b->peaks.amx_bf16_gflops; /* prompts of all these types go through it */
    else if (fast && quantised && b->peaks.int8_gops > 0)
        peak = b->peaks.int8_gops;
    else if (fast && half && strstr(i->types, "bf16") && b->peaks.bf16_gflops > peak)
        peak = b->peaks.bf16_gflops;
    *bound = peak;
    *what = "peak_gops";
    return peak * 1e9 / (2 * (double)i->params_active);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void report(struct bench *b, bool decode, const double *rates, int runs, double gbs)
{
    const char *what;
    double bound, top = ceiling(b, decode, gbs, &bound, &what);
    double mid = runs % 2 ? rates[runs / 2] : (rates[runs / 2 - 1] + rates[runs / 2]) / 2;
    char shape[96], test[24];
    int n = decode ? b->a->gen : b->a->prompt;
    snprintf(shape, sizeof shape, "%s %dx%d %.4g M", b->info.family, b->info.layers,
             b->info.width, (double)b->info.params * 1e-6);
    snprintf(test, sizeof test, "%s%d", decode ? "tg" : "pp", n);
    if (!b->a->common.json) {
        printf("%-28s %-8s depth %-6d %10.1f tok/s (%.1f..%.1f)  %5.1f %% of %.1f (%.1f %s)\n",
               shape, test, b->a->depth, mid, rates[0], rates[runs - 1], 100 * mid / top, top,
               bound, decode ? "GB/s" : "Gop/s");
        return;
    }
    slm_js_open(&b->j, '{');
    slm_js_kstr(&b->j, "shape", shape);
    slm_js_kstr(&b->j, "model", b->info.name);
    slm_js_kstr(&b->j, "type", b->info.types);
    slm_js_kstr(&b->j, "test", test);
    slm_js_kint(&b->j, "n", n);
    slm_js_kint(&b->j, "depth", b->a->depth);
    slm_js_kint(&b->j, "streams", 1);
    slm_js_kint(&b->j, "threads", slm_runtime_threads(b->c->rt));
    slm_js_kstr(&b->j, "cpu_level", slm_runtime_cpu_level(b->c->rt));
    slm_js_kreal(&b->j, "tok_s", mid);
    slm_js_kreal(&b->j, "tok_s_min", rates[0]);
    slm_js_kreal(&b->j, "tok_s_max", rates[runs - 1]);
    slm_js_kreal(&b->j, "ceiling_tok_s", top);
    slm_js_kreal(&b->j, "share", mid / top);
    slm_js_kreal(&b->j, what, bound);
    slm_js_kreal(&b->j, "load_seconds", b->load_seconds);
    slm_js_kreal(&b->j, "rss_mib", slm_cli_rss_mib());
    slm_js_close(&b->j, '}');
}

static int one_test(struct bench *b, bool decode, slm_err *err)
{
    int runs = b->a->repeat, n = decode ? b->a->gen : b->a->prompt, code = 0;
    double seconds, gbs = 0, *rates = slm_cli_realloc(NULL, (size_t)runs * sizeof *rates);
    code = time_run(b, decode, &seconds, err); /* warms caches and pages */
    for (int i = 0; i < runs && !code; i++) {
        code = time_run(b, decode, &seconds, err);
        rates[i] = seconds > 0 ? n / seconds : 0;
    }
    /* the bandwidth of shared machines moves within minutes: measured beside the figure it
     * judges */
    if (!code && decode)
        code = slm_bench_bandwidth(b->c->rt, &gbs, err);
    slm_cli_progress_end(&b->bar);
    if (!code) {
        qsort(rates, (size_t)runs, sizeof *rates, compare);
        report(b, decode, rates, runs, gbs);
    }
    free(rates);
    return code;
}

static int bench_model(struct bench *b, slm_model *m, slm_err *err)
{
    const struct args *a = b->a;
    struct slm_cli_session_args so = a->session;
    int need = a->depth + (a->prompt > a->gen ? a->prompt : a->gen);
    slm_model_info_get(m, &b->info);
    if (so.o.context && so.o.context < need)
        return slm_cli_fail(err, SLM_E_ARG, "-c %d is too small for the tests: they need %d",
                            so.o.context, need);
    so.o.context = so.o.context ? so.o.context : need > 0 ? need : 1;
    make_ids(b, need);
    int code = slm_cli_session_open(b->c, &b->s, m, &so, 0, err);
    if (!code)
        code = slm_bench_machine(b->c->rt, &b->peaks, err);
    b->total = (uint64_t)(a->repeat + 1) * (uint64_t)(a->prompt + a->gen);
    slm_cli_progress_start(&b->bar, b->c, "bench", "tok");
    if (!code && a->common.json)
        slm_js_open(&b->j, '[');
    if (!code && a->prompt)
        code = one_test(b, false, err);
    if (!code && a->gen)
        code = one_test(b, true, err);
    if (!code && a->common.json)
        slm_js_close(&b->j, ']');
    else if (!code)
        printf("load %.3f s, resident %.0f MiB, %d threads, %s\n", b->load_seconds,
               slm_cli_rss_mib(), slm_runtime_threads(b->c->rt),
               slm_runtime_cpu_level(b->c->rt));
    return code;
}

/* Random weights of a true shape, in memory or in a file. */
static int make_shape(struct slm_cli *c, slm_model **m, const struct args *a, slm_err *err)
{
    struct slm_cli_progress bar;
    slm_shape_opts o;
    const char *type = a->type ? a->type : "q4_K_M";
    slm_shape_opts_init(&o);
    o.model.pack = a->model.pack;
    o.progress = slm_cli_progress_step;
    o.progress_arg = &bar;
    slm_cli_progress_start(&bar, c, a->shape, "B");
    int code = a->out ? slm_shape_write(c->rt, a->shape, type, a->out, &o, err)
                      : slm_shape_open(m, c->rt, a->shape, type, &o, err);
    slm_cli_progress_end(&bar);
    return code;
}

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    const struct args *a = p;
    struct bench b = {.c = c, .a = a, .j = {.f = stdout}};
    slm_model *m = NULL;
    slm_model_opts mo;
    int code = slm_cli_runtime(c, err);
    if (code || a->machine)
        return code ? code : show_machine(c, a, err);
    slm_model_opts_init(&mo);
    mo.allow_no_tokenizer = 1;
    slm_cli_catch_interrupt();
    double t = slm_cli_seconds();
    if (a->shape)
        code = make_shape(c, &m, a, err);
    else if (a->type || a->out)
        code = slm_cli_fail(err, SLM_E_ARG, "--type and -o go with --shape");
    else
        code = slm_cli_model_open(c, &m, &a->model, &mo, true, err);
    if (code || a->out)
        return code;
    b.load_seconds = slm_cli_seconds() - t;
    if (!code)
        code = bench_model(&b, m, err);
    free(b.ids);
    slm_session_close(&b.s);
    slm_model_close(&m);
    return code;
}

extern const struct slm_cli_command slm_cmd_bench;
const struct slm_cli_command slm_cmd_bench = {
    .name = "bench",
    .run = run,
    .args = "[MODEL]",
    .summary = "speed, beside what this machine allows",
    .about = "Measures tokens a second of a prompt computed at once and of decoding one by "
             "one: the median, slowest "
             "and fastest of the runs, beside the ceiling that memory bandwidth or arithmetic "
             "sets here, measured in "
             "the same minute. With --machine only the ceilings.",
    .examples = "slm bench model.gguf\n"
                "slm bench model.gguf -p 512 -n 64 -t 2 --json\n"
                "slm bench --machine",
    .opts = opts,
    .size = sizeof(struct args),
    .defaults = defaults,
    .model = 1,
};
