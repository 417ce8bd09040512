/* slm imatrix: which inputs of a model's matrices matter, measured on a text; and merging what
 * was measured before. */
#include "cli.h"

#include <string.h>

struct args {
    struct slm_cli_common common;
    struct slm_cli_model_args model;
    const char *file, *out, *format;
    struct slm_cli_list in;
    int context, chunks, skip, exact, output, special;
};

#define F(field) offsetof(struct args, field)
static const struct slm_cli_opt opts[] = {
    SLM_CLI_GROUP(slm_cli_model_opts, F(model), NULL),
    SLM_CLI_VALUE(OPT_FILE, 'f', "file", F(file), "FILE", "the text; - is stdin"),
    SLM_CLI_VALUE(OPT_FILE, 'o', "out|output-file", F(out), "FILE",
                  "the importance matrix to write (default: imatrix.gguf)"),
    SLM_CLI_CHOICE(0, "format|output-format", F(format), "gguf dat",
                   "form of the file (default: dat where its name ends so, else gguf)"),
    SLM_CLI_VALUE(OPT_LIST, 0, "in|in-file", F(in), "FILE",
                  "add this importance matrix's sums (may be given several times)"),
    SLM_CLI_INT('c', "ctx-size", F(context), "N", 1, 1 << 24, "tokens a chunk (default: 512)"),
    SLM_CLI_INT(0, "chunks", F(chunks), "N", 0, 1 << 30, "only N chunks; 0: all (default: 0)"),
    SLM_CLI_INT(0, "skip|chunk", F(skip), "N", 0, 1 << 30,
                "leave out the first N chunks (default: 0)"),
    SLM_CLI_FLAG(0, "exact", F(exact), "float32 activations"),
    SLM_CLI_FLAG(0, "process-output", F(output), "the output matrix too"),
    SLM_CLI_FLAG(0, "parse-special", F(special),
                 "special tokens spelled in the text are tokens"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

static int merge(struct slm_cli *c, const struct args *a, slm_imatrix *im, slm_err *err)
{
    int code = 0;
    for (int i = 0; i < a->in.n && !code; i++) {
        slm_imatrix *one = NULL;
        code = slm_imatrix_open(&one, c->rt, a->in.item[i], err);
        if (!code)
            code = slm_imatrix_merge(im, one, err);
        slm_imatrix_close(&one);
    }
    return code;
}

static int collect(struct slm_cli *c, const struct args *a, slm_imatrix *im, slm_err *err)
{
    slm_model *m = NULL;
    slm_ids ids = {0};
    struct slm_cli_buf text = {0};
    struct slm_cli_progress bar;
    slm_imatrix_opts o;
    slm_imatrix_opts_init(&o);
    o.context = a->context;
    o.chunks = a->chunks;
    o.skip = a->skip;
    o.exact = a->exact;
    o.output = a->output;
    o.dataset = a->file;
    o.progress = slm_cli_progress_step;
    o.progress_arg = &bar;
    unsigned flags = SLM_ENCODE_AFFIXES | (a->special ? SLM_ENCODE_SPECIAL : 0);
    int code = slm_cli_model_open(c, &m, &a->model, NULL, false, err);
    if (!code)
        code = slm_cli_read(&text, a->file, err);
    if (!code)
        code = slm_cli_encode(m, text.s, text.n, flags, &ids, err);
    slm_cli_catch_interrupt();
    slm_cli_progress_start(&bar, c, "imatrix", "tok");
    if (!code)
        code = slm_imatrix_collect(im, m, ids.data, ids.len, &o, err);
    slm_cli_progress_end(&bar);
    slm_cli_buf_free(&text);
    slm_ids_release(&ids);
    slm_model_close(&m);
    return code;
}

static bool ends(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && !strcmp(s + n - k, end);
}

static void report(struct slm_cli *c, const struct args *a, const slm_imatrix *im, bool dat,
                   double seconds)
{
    slm_imatrix_info i;
    slm_imatrix_info_get(im, &i);
    slm_cli_say(c, "%s written: %d matrices, %d chunks of %d tokens, %.2f s", a->out, i.entries,
                i.chunks, i.chunk_size, seconds);
    if (!a->common.json)
        return;
    struct slm_cli_json j = {.f = stdout};
    slm_js_open(&j, '{');
    slm_js_kstr(&j, "path", a->out);
    slm_js_kstr(&j, "format", dat ? "dat" : "gguf");
    slm_js_kint(&j, "entries", i.entries);
    slm_js_kint(&j, "chunks", i.chunks);
    slm_js_kint(&j, "chunk_size", i.chunk_size);
    slm_js_kreal(&j, "seconds", seconds);
    slm_js_close(&j, '}');
}

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    struct args *a = p;
    slm_imatrix *im = NULL;
    bool dat = a->format ? !strcmp(a->format, "dat") : ends(a->out, ".dat");
    bool model = a->model.model || c->words.n;
    double t = slm_cli_seconds();
    if (!a->file && !a->in.n)
        return slm_cli_fail(err, SLM_E_ARG, "-f FILE is missing (or --in FILE, to merge)");
    if (!a->file != !model)
        return slm_cli_fail(err, SLM_E_ARG,
                            a->file ? "MODEL is missing"
                                    : "-f FILE is missing: a model without a "
                                      "text has nothing to measure");
    int code = slm_cli_runtime(c, err);
    if (!code)
        code = slm_out_check(a->out, err);
    if (!code)
        code = slm_imatrix_new(&im, c->rt, err);
    if (!code)
        code = merge(c, a, im, err);
    if (!code && a->file)
        code = collect(c, a, im, err);
    if (!code)
        code = slm_imatrix_save(im, a->out, dat, err);
    if (!code)
        report(c, a, im, dat, slm_cli_seconds() - t);
    slm_imatrix_close(&im);
    return code;
}

static void defaults(void *p)
{
    struct args *a = p;
    a->out = "imatrix.gguf";
}

extern const struct slm_cli_command slm_cmd_imatrix;
const struct slm_cli_command slm_cmd_imatrix = {
    .name = "imatrix",
    .run = run,
    .args = "[MODEL]",
    .summary = "measure which inputs matter, for slm quantize",
    .about =
        "Runs the text in -f through the model and writes, for each matrix, the mean square "
        "of each of its inputs: an importance matrix, in llama.cpp's form (GGUF, or the "
        "older .dat). slm quantize --imatrix then rounds so that what matters loses least. "
        "The text should be like what the model will be used for; some hundred chunks are "
        "plenty."
        "\n\n"
        "With --in, sums of earlier runs are added; without -f and MODEL they are only "
        "merged, or written in the other form.",
    .examples = "slm imatrix model.gguf -f text.txt -o imatrix.gguf\n"
                "slm imatrix model.gguf -f more.txt --in imatrix.gguf -o both.gguf\n"
                "slm imatrix --in imatrix.dat -o imatrix.gguf",
    .opts = opts,
    .size = sizeof(struct args),
    .defaults = defaults,
    .model = 1,
};
