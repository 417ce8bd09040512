/* slm bench: how fast a model runs here, each figure beside the ceiling that this machine sets.
 * Options that take several values multiply: every shape, type, depth and length is a test. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench_run.h"

struct args {
    struct slm_cli_common common;
    struct slm_cli_model_args model;
    struct slm_cli_session_args session;
    const char *prompt, *gen, *depth, *streams, *shape, *type, *out, *compare, *html;
    int repeat, machine, products, csv;
};

#define F(field) offsetof(struct args, field)
static const struct slm_cli_opt opts[] = {
    SLM_CLI_GROUP(slm_cli_model_opts, F(model), NULL),
    SLM_CLI_VALUE(OPT_TEXT, 0, "shape", F(shape), "NAMES",
                  "instead of a model: random weights of this shape, made in memory; 'list' "
                  "names them"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "type", F(type), "TYPES",
                  "types of the shape's weights, as files are named (default: q4_K_M)"),
    SLM_CLI_VALUE(OPT_FILE, 'o', "output", F(out), "FILE",
                  "write the shape as a GGUF file, and measure nothing"),
    SLM_CLI_VALUE(OPT_TEXT, 'p', "prompt|n-prompt", F(prompt), "LIST",
                  "tokens of the prompt tests; 0: none (default: 512)"),
    SLM_CLI_VALUE(OPT_TEXT, 'n', "gen|n-gen", F(gen), "LIST",
                  "tokens of the decode tests; 0: none (default: 64)"),
    SLM_CLI_VALUE(OPT_TEXT, 'd', "depth", F(depth), "LIST",
                  "tokens that lie in the context before (default: 0)"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "streams", F(streams), "LIST",
                  "sequences that decode together, 1 to 64 (default: 1)"),
    SLM_CLI_INT('r', "repeat|repetitions", F(repeat), "N", 1, 1000,
                "runs of each test (default: 3)"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "compare", F(compare), "PROGRAM",
                  "run this llama-bench after each of our runs, on the same file"),
    SLM_CLI_FLAG(0, "machine", F(machine), "measure the machine alone: bandwidth and peaks"),
    SLM_CLI_FLAG(0, "products", F(products),
                 "measure the matrix products of training, each beside the peak"),
    SLM_CLI_FLAG(0, "csv", F(csv), "print comma-separated values"),
    SLM_CLI_VALUE(OPT_FILE, 0, "html", F(html), "FILE", "write a page with charts, too"),
    SLM_CLI_GROUP(slm_cli_session_opts, F(session), "Context"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

static void defaults(void *p)
{
    struct args *a = p;
    a->prompt = "512";
    a->gen = "64";
    a->depth = "0";
    a->streams = "1";
    a->repeat = 3;
}

enum { LIST_MAX = 16 };
struct list {
    int v[LIST_MAX], n;
};

static int parse_list(struct list *l, const char *text, const char *what, int lo, int hi,
                      slm_err *err)
{
    char one[32];
    l->n = 0;
    while (text) {
        size_t n = strcspn(text, ",");
        int64_t v = 0;
        if (l->n == LIST_MAX || n >= sizeof one)
            return slm_cli_fail(err, SLM_E_ARG, "%s: at most %d numbers", what, LIST_MAX);
        memcpy(one, text, n);
        one[n] = 0;
        int code = slm_cli_int(one, what, lo, hi, &v, err);
        if (code)
            return code;
        l->v[l->n++] = (int)v;
        text = text[n] ? text + n + 1 : NULL;
    }
    return 0;
}

static int most(const struct list *l)
{
    int m = 0;
    for (int i = 0; i < l->n; i++)
        m = l->v[i] > m ? l->v[i] : m;
    return m;
}

struct bench {
    struct slm_cli *c;
    const struct args *a;
    struct list prompt, gen, depth, streams;
    int32_t *ids;
    struct slm_bench_result *result;
    int n, cap;
    const char *shape, *type, *file; /* of the model at hand; NULL: not given */
    double load;
};

/* ---- the machine ---- */

static void peaks_json(struct slm_cli_json *j, const slm_bench_peaks *p)
{
    double none = (double)NAN;
    slm_js_kreal(j, "read_gbs", p->read_gbs);
    slm_js_kreal(j, "read_gbs_one_stream", p->read_gbs_one);
    slm_js_kreal(j, "read_gbs_four_streams", p->read_gbs_four);
    slm_js_kreal(j, "f32_gflops", p->f32_gflops);
    slm_js_kreal(j, "bf16_gflops", p->bf16_gflops > 0 ? p->bf16_gflops : none);
    slm_js_kreal(j, "int8_gops", p->int8_gops > 0 ? p->int8_gops : none);
    slm_js_kreal(j, "amx_bf16_gflops", p->amx_bf16_gflops > 0 ? p->amx_bf16_gflops : none);
    slm_js_kreal(j, "amx_int8_gops", p->amx_int8_gops > 0 ? p->amx_int8_gops : none);
}

static void peaks_text(const char *what, const slm_bench_peaks *p)
{
    printf("%s\n", what);
    printf(
        "  memory read  %.1f GB/s (%.1f in one stream a thread, %.1f in four; over %zu MiB)\n",
        p->read_gbs, p->read_gbs_one, p->read_gbs_four, p->read_bytes >> 20);
    printf("  f32          %.0f GFLOP/s\n", p->f32_gflops);
    if (p->bf16_gflops > 0)
        printf("  bf16         %.0f GFLOP/s\n", p->bf16_gflops);
    if (p->int8_gops > 0)
        printf("  int8         %.0f GOP/s\n", p->int8_gops);
    if (p->amx_bf16_gflops > 0)
        printf("  bf16, tiles  %.0f GFLOP/s\n", p->amx_bf16_gflops);
    if (p->amx_int8_gops > 0)
        printf("  int8, tiles  %.0f GOP/s\n", p->amx_int8_gops);
}

static int show_machine(struct slm_cli *c, const struct args *a, slm_err *err)
{
    slm_bench_peaks one, all;
    const char *level;
    int threads = slm_runtime_threads(c->rt), code = slm_bench_machine(c->rt, 1, &one, err);
    if (!code)
        code = slm_bench_machine(c->rt, 0, &all, err);
    if (code)
        return code;
    if (!a->common.json) {
        char what[32];
        snprintf(what, sizeof what, "%d threads", threads);
        printf("%s, level %s\n", slm_runtime_cpu_name(c->rt), slm_runtime_cpu_level(c->rt));
        for (int i = 0; (level = slm_runtime_cpu_level_slow(c->rt, i)); i++)
            printf("level %s is left out: slower here than what is below it\n", level);
        peaks_text("1 thread", &one);
        peaks_text(what, &all);
        return 0;
    }
    struct slm_cli_json j = {.f = stdout};
    slm_js_open(&j, '{');
    slm_js_kstr(&j, "cpu", slm_runtime_cpu_name(c->rt));
    slm_js_kstr(&j, "cpu_level", slm_runtime_cpu_level(c->rt));
    slm_js_key(&j, "levels");
    slm_js_open(&j, '[');
    for (int i = 0; (level = slm_runtime_cpu_level_at(c->rt, i)); i++)
        slm_js_kstr(&j, NULL, level);
    slm_js_close(&j, ']');
    slm_js_key(&j, "levels_left_out");
    slm_js_open(&j, '[');
    for (int i = 0; (level = slm_runtime_cpu_level_slow(c->rt, i)); i++)
        slm_js_kstr(&j, NULL, level);
    slm_js_close(&j, ']');
    slm_js_kint(&j, "threads", threads);
    peaks_json(&j, &all);
    slm_js_key(&j, "threads_1");
    slm_js_open(&j, '{');
    peaks_json(&j, &one);
    slm_js_close(&j, '}');
    slm_js_key(&j, "threads_all");
    slm_js_open(&j, '{');
    peaks_json(&j, &all);
    slm_js_close(&j, '}');
    slm_js_close(&j, '}');
    return 0;
}

/* ---- models ---- */

/* Ids that no test depends on: the same everywhere, spread over the vocabulary. */
static void make_ids(struct bench *b, int n, int vocab)
{
    uint64_t x = 88172645463325252u;
    b->ids = slm_cli_realloc(b->ids, (size_t)(n ? n : 1) * sizeof *b->ids);
    for (int i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        b->ids[i] = (int32_t)(x % (uint64_t)vocab);
    }
}

/* The type that most weights have, of "f32 1 %, q4_K 83 %, q6_K 16 %". */
static void main_type(char out[128], const char *types)
{
    double best = -1;
    while (types && *types) {
        size_t n = strcspn(types, " ");
        double share = strtod(types + n, NULL);
        if (share > best) {
            best = share;
            snprintf(out, 128, "%.*s", (int)n, types);
        }
        types = strchr(types, ',');
        types = types ? types + 2 : NULL;
    }
}

static struct slm_bench_result *next_result(struct bench *b, const slm_model_info *i)
{
    if (b->n == b->cap) {
        b->cap = b->cap ? 2 * b->cap : 16;
        b->result = slm_cli_realloc(b->result, (size_t)b->cap * sizeof *b->result);
    }
    struct slm_bench_result *r = &b->result[b->n];
    memset(r, 0, sizeof *r);
    snprintf(r->model, sizeof r->model, "%s", i->name);
    if (b->shape)
        snprintf(r->shape, sizeof r->shape, "%s", b->shape);
    else
        snprintf(r->shape, sizeof r->shape, "%s-%dx%d", i->family, i->layers, i->width);
    if (b->type)
        snprintf(r->type, sizeof r->type, "%s", b->type);
    else
        main_type(r->type, i->types);
    r->threads = slm_runtime_threads(b->c->rt);
    r->level = slm_runtime_cpu_level(b->c->rt);
    r->load = b->load;
    return r;
}

static int one_test(struct bench *b, const struct slm_bench_plan *p, bool decode, int n,
                    int depth, int streams, slm_err *err)
{
    struct slm_bench_result *r = next_result(b, &p->info);
    r->decode = decode;
    r->n = n;
    r->depth = depth;
    r->streams = streams;
    int code = n ? slm_bench_test(p, r, err) : 0;
    if (code || !n)
        return code;
    b->n++;
    if (!b->a->common.json && !b->a->csv)
        slm_bench_line(stdout, r);
    return 0;
}

static int bench_model(struct bench *b, slm_model *m, slm_err *err)
{
    const struct args *a = b->a;
    struct slm_bench_plan p = {.c = b->c, .model = m, .so = a->session.o, .repeat = a->repeat};
    int longest = most(&b->prompt) > most(&b->gen) ? most(&b->prompt) : most(&b->gen);
    int need = most(&b->depth) + longest;
    struct slm_cli_adapters adapters = {.n = 0};
    slm_model_info_get(m, &p.info);
    if (p.so.context && p.so.context < need)
        return slm_cli_fail(err, SLM_E_ARG, "-c %d is too small for the tests: they need %d",
                            p.so.context, need);
    if (!p.so.kv_type)
        p.so.kv_type = p.so.exact ? "f32" : "f16";
    p.so.batch = p.so.batch ? p.so.batch : 512;
    p.peer = a->compare;
    p.file = b->file;
    make_ids(b, need, p.info.vocab);
    p.ids = b->ids;
    int code = slm_cli_adapters_open(b->c, &adapters, m, &a->session.lora, err);
    p.so.adapter = adapters.all;
    if (!code && p.peer && adapters.all)
        code = slm_cli_fail(err, SLM_E_ARG, "--compare runs the model alone: leave --lora out");
    for (int d = 0; d < b->depth.n && !code; d++) {
        for (int i = 0; i < b->prompt.n && !code; i++)
            code = one_test(b, &p, false, b->prompt.v[i], b->depth.v[d], 1, err);
        for (int i = 0; i < b->gen.n && !code; i++)
            for (int s = 0; s < b->streams.n && !code; s++)
                code = one_test(b, &p, true, b->gen.v[i], b->depth.v[d], b->streams.v[s], err);
    }
    if (!code && !a->common.json && !a->csv)
        printf("load %.3f s, resident %.0f MiB, %d threads, %s%s\n", b->load,
               b->n ? b->result[b->n - 1].rss_mib : slm_cli_rss_mib(),
               slm_runtime_threads(b->c->rt), slm_runtime_cpu_level(b->c->rt),
               isnan(slm_bench_joules()) ? ", energy: unavailable" : "");
    slm_cli_adapters_close(&adapters);
    return code;
}

/* Random weights of a true shape, in memory or in a file. */
static int make_shape(struct bench *b, slm_model **m, const char *out, slm_err *err)
{
    struct slm_cli_progress bar;
    slm_shape_opts o;
    slm_shape_opts_init(&o);
    o.progress = slm_cli_progress_step;
    o.progress_arg = &bar;
    slm_cli_progress_start(&bar, b->c, b->shape, "B");
    int code = out ? slm_shape_write(b->c->rt, b->shape, b->type, out, &o, err)
                   : slm_shape_open(m, b->c->rt, b->shape, b->type, &o, err);
    slm_cli_progress_end(&bar);
    return code;
}

static int open_file(struct bench *b, slm_model **m, slm_err *err)
{
    struct slm_cli_model_args ma = b->a->model;
    slm_model_opts mo;
    slm_model_opts_init(&mo);
    mo.allow_no_tokenizer = 1;
    if (b->file)
        ma.model = b->file;
    return slm_cli_model_open(b->c, m, &ma, &mo, true, err);
}

/* One shape in one type. The other engine reads files: then the shape becomes one, and both
 * read it. */
static int bench_shape(struct bench *b, slm_err *err)
{
    const char *dir = getenv("TMPDIR");
    char path[1200];
    slm_model *m = NULL;
    int code = 0;
    b->file = NULL;
    snprintf(path, sizeof path, "%s/slm-%llx.gguf", dir && *dir ? dir : "/tmp",
             (unsigned long long)slm_cli_entropy());
    if (b->a->compare && !(code = make_shape(b, NULL, path, err)))
        b->file = path;
    double t = slm_cli_seconds();
    if (!code)
        code = b->file ? open_file(b, &m, err) : make_shape(b, &m, NULL, err);
    b->load = slm_cli_seconds() - t;
    if (!code)
        code = bench_model(b, m, err);
    slm_model_close(&m);
    if (b->file)
        remove(path);
    return code;
}

/* Copies the next name of a list; NULL behind the last. */
static const char *next_name(const char *list, char name[64])
{
    size_t n = strcspn(list, ",");
    snprintf(name, 64, "%.*s", (int)n, list);
    return list[n] ? list + n + 1 : NULL;
}

static int bench_shapes(struct bench *b, slm_err *err)
{
    const struct args *a = b->a;
    char shape[64], type[64];
    int code = 0;
    const char *types = a->type ? a->type : "q4_K_M";
    b->shape = shape;
    b->type = type;
    if (a->out && (strchr(a->shape, ',') || strchr(types, ',')))
        return slm_cli_fail(err, SLM_E_ARG, "-o writes one shape in one type");
    for (const char *s = a->shape; s && !code;) {
        s = next_name(s, shape);
        for (const char *t = types; t && !code;) {
            t = next_name(t, type);
            code = a->out ? make_shape(b, NULL, a->out, err) : bench_shape(b, err);
        }
    }
    return code;
}

static int bench_file(struct bench *b, slm_err *err)
{
    slm_model *m = NULL;
    int code = 0;
    if (b->a->compare) /* both read the same */
        code = slm_cli_model_path(b->c, &b->a->model, &b->file, err);
    double t = slm_cli_seconds();
    if (!code)
        code = open_file(b, &m, err);
    b->load = slm_cli_seconds() - t;
    if (!code)
        code = bench_model(b, m, err);
    slm_model_close(&m);
    return code;
}

static int list_shapes(void)
{
    const char *name;
    for (int i = 0; (name = slm_shape_name(i)); i++)
        puts(name);
    return 0;
}

static int write_page(const struct bench *b, slm_err *err)
{
    struct slm_cli_out o = {0};
    int code = slm_cli_out_open(&o, b->a->html, err);
    if (!code) {
        slm_bench_page(o.f, b->result, b->n, slm_runtime_cpu_name(b->c->rt));
        code = slm_cli_out_commit(&o, err);
    }
    slm_cli_out_close(&o);
    return code;
}

static int check(struct bench *b, slm_err *err)
{
    const struct args *a = b->a;
    int code = parse_list(&b->prompt, a->prompt, "--prompt", 0, 1 << 20, err);
    if (!code)
        code = parse_list(&b->gen, a->gen, "--gen", 0, 1 << 20, err);
    if (!code)
        code = parse_list(&b->depth, a->depth, "--depth", 0, 1 << 20, err);
    if (!code)
        code = parse_list(&b->streams, a->streams, "--streams", 1, 64, err);
    if (!code && !a->shape && (a->type || a->out))
        code = slm_cli_fail(err, SLM_E_ARG, "--type and -o go with --shape");
    if (!code && a->shape && (a->model.model || b->c->words.n))
        code = slm_cli_fail(err, SLM_E_ARG, "a model and --shape: which of the two?");
    if (!code && a->csv && a->common.json)
        code = slm_cli_fail(err, SLM_E_ARG, "--csv and --json: which of the two?");
    return code;
}

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    const struct args *a = p;
    struct bench b = {.c = c, .a = a};
    if (a->shape && !strcmp(a->shape, "list"))
        return list_shapes();
    int code = check(&b, err);
    if (!code)
        code = slm_cli_runtime(c, err);
    if (code || a->machine)
        return code ? code : show_machine(c, a, err);
    if (a->products)
        return slm_bench_show_products(c, a->common.json, err);
    slm_cli_catch_interrupt();
    code = a->shape ? bench_shapes(&b, err) : bench_file(&b, err);
    if (!code && !a->out && a->common.json)
        slm_bench_json(stdout, b.result, b.n);
    if (!code && !a->out && a->csv)
        slm_bench_csv(stdout, b.result, b.n);
    if (!code && !a->out && a->html)
        code = write_page(&b, err);
    free(b.result);
    free(b.ids);
    return code;
}

extern const struct slm_cli_command slm_cmd_bench;
const struct slm_cli_command slm_cmd_bench = {
    .name = "bench",
    .run = run,
    .args = "[MODEL]",
    .summary = "speed, beside what this machine allows",
    .about =
        "Measures tokens a second of a prompt computed at once and of decoding one by "
        "one: the median, slowest and fastest of the runs, beside the ceiling that memory "
        "bandwidth or arithmetic sets here, probed before and after each run. Instead of a "
        "model, a shape: random weights with the dimensions of a public model, so that "
        "nothing need be there to measure with. LIST is one number or several with commas: "
        "every combination is a test. With --machine only the ceilings, with --products "
        "the matrix products of training.",
    .examples = "slm bench model.gguf\n"
                "slm bench --shape llama-3.2-1b --type q4_0,q4_K_M --depth 0,4096 --json\n"
                "slm bench --shape llama-3.2-1b --streams 1,16\n"
                "slm bench model.gguf --compare llama-bench --html speed.html\n"
                "slm bench --machine",
    .opts = opts,
    .size = sizeof(struct args),
    .defaults = defaults,
    .model = 1,
};
