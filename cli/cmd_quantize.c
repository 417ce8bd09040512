/* slm quantize: a model in fewer bits. What each tensor becomes is known, and can be looked at,
 * before any work is done. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct args {
    struct slm_cli_common common;
    const char *double_quant;
    const char *type, *imatrix, *output_type, *embedding_type, *size, *method, *calibration;
    float bpw;
    struct slm_cli_list keep;
    int pure, dry, requantize, no_imatrix, chunks;
};

#define F(field) offsetof(struct args, field)
static const struct slm_cli_opt opts[] = {
    SLM_CLI_VALUE(OPT_TEXT, 0, "type", F(type), "TYPE",
                  "Q4_K_M, Q8_0, IQ3_XS ... (see below); with a target: the kind of types to "
                  "choose among"),
    SLM_CLI_VALUE(OPT_FILE, 0, "imatrix", F(imatrix), "FILE",
                  "importance matrix, from slm imatrix or llama.cpp"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "target-size", F(size), "BYTES",
                  "choose types so that the file has at most so many bytes (1.5G, 700M)"),
    SLM_CLI_FLOAT(0, "target-bpw", F(bpw), "X", 0, 64,
                  "choose types so that the tensors have at most X bits a weight"),
    SLM_CLI_VALUE(
        OPT_LIST, 0, "keep", F(keep), "PATTERN=TYPE",
        "tensors of these names become TYPE, or stay as they are without =TYPE; * and "
        "? stand for any text; the first that fits counts"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "output-type", F(output_type), "TYPE", "of the output matrix"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "embedding-type", F(embedding_type), "TYPE",
                  "of the token embedding"),
    SLM_CLI_CHOICE(0, "method", F(method), "nearest gptq",
                   "how numbers are rounded: nearest, or gptq: by second derivatives of the "
                   "calibration text, slower and closer (default: nearest)"),
    SLM_CLI_VALUE(OPT_FILE, 0, "calibration", F(calibration), "TEXT",
                  "the text for that; with a target also for measuring what each tensor's "
                  "rounding costs the model"),
    SLM_CLI_INT(0, "chunks", F(chunks), "N", 0, 1 << 30,
                "only the first N chunks of 512 tokens of it; 0: all (default: 0)"),
    SLM_CLI_CHOICE(0, "double-quant", F(double_quant), "on off",
                   "nf4: the blocks' magnitudes are rounded to 8 bits too (default: on)"),
    SLM_CLI_FLAG(0, "pure", F(pure), "every matrix the type itself, no mix"),
    SLM_CLI_FLAG(0, "dry-run", F(dry),
                 "show types and sizes, write nothing (OUT may be left out)"),
    SLM_CLI_FLAG(0, "allow-requantize", F(requantize),
                 "round again what is rounded already, which loses more"),
    SLM_CLI_FLAG(0, "no-imatrix", F(no_imatrix),
                 "take types that need an importance matrix without one"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

/* "1500000", "1.5G", "700MiB": K, M, G by thousands, Ki, Mi, Gi by 1024. */
static int parse_size(const char *text, uint64_t *out, slm_err *err)
{
    static const char units[] = "kmgt";
    char *end = NULL;
    double v = strtod(text, &end), unit = 1;
    const char *u = *end ? strchr(units, *end | 0x20) : NULL;
    if (u) {
        bool binary = (end[1] | 0x20) == 'i';
        for (const char *k = units; k <= u; k++)
            unit *= binary ? 1024 : 1000;
        end += 1 + binary;
    }
    if ((*end | 0x20) == 'b')
        end++;
    v *= unit;
    if (end == text || *end || !(v >= 1) || v > 1e18)
        return slm_cli_fail(err, SLM_E_ARG,
                            "--target-size '%.40s': want bytes, as 1500000, 700M "
                            "or 1.5G",
                            text);
    *out = (uint64_t)v;
    return 0;
}

static void report_json(slm_quant *q, const slm_quant_info *info, const char *path, bool dry)
{
    struct slm_cli_json j = {.f = stdout};
    slm_js_open(&j, '{');
    slm_js_kstr(&j, "path", path);
    slm_js_kstr(&j, "type", info->type);
    slm_js_kint(&j, "bytes", (int64_t)info->file_bytes);
    slm_js_kreal(&j, "bpw", info->bpw);
    slm_js_kint(&j, "tensor_bytes", (int64_t)info->tensor_bytes);
    slm_js_kint(&j, "source_bytes", (int64_t)info->source_bytes);
    slm_js_kint(&j, "weights", (int64_t)info->weights);
    slm_js_key(&j, "dry_run");
    slm_js_bool(&j, dry);
    slm_js_key(&j, "tensors");
    slm_js_open(&j, '[');
    for (int i = 0; i < info->tensors; i++) {
        slm_quant_tensor t;
        slm_quant_tensor_get(q, i, &t);
        slm_js_open(&j, '{');
        slm_js_kstr(&j, "name", t.name);
        slm_js_kstr(&j, "from", t.from);
        slm_js_kstr(&j, "type", t.type);
        slm_js_kstr(&j, "wanted", t.wanted);
        slm_js_kint(&j, "bytes", (int64_t)t.bytes);
        slm_js_key(&j, "imatrix");
        slm_js_bool(&j, t.weighted != 0);
        slm_js_kreal(&j, "rmse", t.rmse);
        slm_js_kreal(&j, "error", t.error);
        slm_js_close(&j, '}');
    }
    slm_js_close(&j, ']');
    slm_js_close(&j, '}');
}

static void report_table(slm_quant *q, const slm_quant_info *info)
{
    char size[32], shape[48];
    printf("%-32s %16s  %-8s %-8s %12s\n", "tensor", "shape", "from", "to", "bytes");
    for (int i = 0; i < info->tensors; i++) {
        slm_quant_tensor t;
        slm_quant_tensor_get(q, i, &t);
        snprintf(shape, sizeof shape, "%llu x %llu", (unsigned long long)t.rows,
                 (unsigned long long)t.cols);
        printf("%-32s %16s  %-8s %-8s %12llu%s%s\n", t.name, shape, t.from, t.type,
               (unsigned long long)t.bytes, t.wanted ? "  instead of " : "",
               t.wanted ? t.wanted : "");
    }
    printf("%s: %llu bytes (%s), %.4f bits a weight\n", info->type,
           (unsigned long long)info->file_bytes, slm_cli_size(size, (double)info->file_bytes),
           info->bpw);
}

/* The calibration text through the model: to measure what each matrix's rounding costs
 * (sensitivity not NULL), or to round by second derivatives. */
static int use_text(struct slm_cli *c, const struct args *a, slm_quant *q, double *sensitivity,
                    slm_err *err)
{
    struct slm_cli_progress bar;
    struct slm_cli_buf text = {0};
    slm_ids ids = {0};
    slm_quant_text o;
    double t = slm_cli_seconds();
    int code = slm_cli_read(&text, a->calibration, err);
    if (!code)
        code =
            slm_cli_encode(slm_quant_model(q), text.s, text.n, SLM_ENCODE_AFFIXES, &ids, err);
    slm_quant_text_init(&o);
    o.ids = ids.data;
    o.n = ids.len;
    o.chunks = a->chunks;
    o.progress = slm_cli_progress_step;
    o.progress_arg = &bar;
    slm_cli_progress_start(&bar, c, sensitivity ? "sensitivity" : "round",
                           sensitivity ? "tensors" : "ppm");
    if (!code)
        code = sensitivity ? slm_quant_sense(q, sensitivity, &o, err)
                           : slm_quant_second(q, &o, err);
    slm_cli_progress_end(&bar);
    if (!code)
        slm_cli_say(c, "%s on %s in %.2f s", sensitivity ? "sensitivity measured" : "rounded",
                    a->calibration, slm_cli_seconds() - t);
    slm_cli_buf_free(&text);
    slm_ids_release(&ids);
    return code;
}

/* Types within the budget. */
static int fit_plan(struct slm_cli *c, const struct args *a, slm_quant *q,
                    slm_quant_target *target, slm_err *err)
{
    struct slm_cli_progress bar;
    slm_quant_info info;
    double *sensitivity = NULL;
    int code = 0;
    if (a->calibration) {
        code = slm_quant_info_get(q, &info, err);
        if (!code) {
            sensitivity = slm_cli_realloc(NULL, (size_t)info.tensors * sizeof *sensitivity);
            code = use_text(c, a, q, sensitivity, err);
        }
    }
    target->sensitivity = sensitivity;
    target->progress_arg = &bar;
    slm_cli_progress_start(&bar, c, "measure", "weights");
    if (!code)
        code = slm_quant_fit(q, target, err);
    slm_cli_progress_end(&bar);
    free(sensitivity);
    return code;
}

static int open_plan(struct slm_cli *c, const struct args *a, slm_quant **q, slm_err *err)
{
    slm_quant_target target = {.bpw = (double)a->bpw, .progress = slm_cli_progress_step};
    slm_quant_opts o;
    slm_quant_opts_init(&o);
    o.type = a->type;
    o.fit = a->size || a->bpw > 0;
    o.imatrix = a->imatrix;
    o.output_type = a->output_type;
    o.embedding_type = a->embedding_type;
    o.keep = a->keep.item;
    o.n_keep = a->keep.n;
    o.pure = a->pure;
    o.allow_requantize = a->requantize;
    o.no_imatrix = a->no_imatrix;
    o.dry = a->dry;
    int code = a->size ? parse_size(a->size, &target.bytes, err) : 0;
    if (!code && !a->type && !o.fit)
        code = slm_cli_fail(err, SLM_E_ARG,
                            "--type is missing (Q4_K_M, Q8_0 ...), or --target-size");
    if (!code)
        code = slm_quant_open(q, c->rt, c->words.v[0], &o, err);
    return code || !o.fit ? code : fit_plan(c, a, *q, &target, err);
}

static int write_plan(struct slm_cli *c, slm_quant *q, const char *out, slm_err *err)
{
    struct slm_cli_progress bar;
    slm_quant_info info;
    char size[32], was[32];
    double t = slm_cli_seconds();
    slm_cli_progress_start(&bar, c, "quantize", "B");
    int code = slm_quant_write(q, out, slm_cli_progress_step, &bar, err);
    slm_cli_progress_end(&bar);
    if (!code)
        code = slm_quant_info_get(q, &info, err);
    if (!code)
        slm_cli_say(c, "%s written as %s: %s of %s, %.4f bits a weight, in %.2f s", out,
                    info.type, slm_cli_size(size, (double)info.file_bytes),
                    slm_cli_size(was, (double)info.source_bytes), info.bpw,
                    slm_cli_seconds() - t);
    return code;
}

/* bitsandbytes' format is a folder's, and has no choices but one. */
static int run_nf4(struct slm_cli *c, const struct args *a, const char *out, slm_err *err)
{
    const struct {
        const char *name;
        bool given;
    } others[] = {{"imatrix", a->imatrix != NULL},
                  {"target-size", a->size != NULL},
                  {"target-bpw", a->bpw > 0},
                  {"keep", a->keep.n > 0},
                  {"output-type", a->output_type != NULL},
                  {"embedding-type", a->embedding_type != NULL},
                  {"method", a->method != NULL},
                  {"calibration", a->calibration != NULL},
                  {"chunks", a->chunks > 0},
                  {"pure", a->pure != 0},
                  {"no-imatrix", a->no_imatrix != 0},
                  {"dry-run", a->dry != 0}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i].given)
            return slm_cli_fail(err, SLM_E_ARG, "--%s does not go with --type nf4",
                                others[i].name);
    size_t n = out ? strlen(out) : 0;
    if (!out || (n >= 5 && !strcmp(out + n - 5, ".gguf")))
        return slm_cli_fail(err, SLM_E_ARG,
                            "nf4 is no type of GGUF's: name a folder to write, as bitsandbytes "
                            "has it");
    struct slm_cli_progress bar;
    slm_convert_opts o;
    slm_convert_opts_init(&o);
    o.type = "nf4";
    o.to_folder = 1;
    o.double_quant = !a->double_quant || !strcmp(a->double_quant, "on");
    o.progress = slm_cli_progress_step;
    o.progress_arg = &bar;
    int code = slm_cli_runtime(c, err);
    slm_cli_catch_interrupt();
    double t = slm_cli_seconds();
    slm_cli_progress_start(&bar, c, "quantize", "B");
    if (!code)
        code = slm_model_convert(c->rt, c->words.v[0], out, &o, err);
    slm_cli_progress_end(&bar);
    if (code)
        return code;
    slm_cli_say(c, "%s written as nf4%s in %.2f s", out,
                o.double_quant ? ", magnitudes in 8 bits" : "", slm_cli_seconds() - t);
    if (a->common.json) {
        struct slm_cli_json j = {.f = stdout};
        slm_js_open(&j, '{');
        slm_js_kstr(&j, "path", out);
        slm_js_kstr(&j, "type", "nf4");
        slm_js_key(&j, "double_quant");
        slm_js_bool(&j, o.double_quant);
        slm_js_close(&j, '}');
    }
    return 0;
}

static int run(struct slm_cli *c, void *p, slm_err *err)
{
    const struct args *a = p;
    const char *out = c->words.n > 1 ? c->words.v[1] : NULL;
    if (a->type && !strcmp(a->type, "nf4"))
        return run_nf4(c, a, out, err);
    if (a->double_quant)
        return slm_cli_fail(err, SLM_E_ARG, "--double-quant goes with --type nf4");
    slm_quant *q = NULL;
    slm_quant_info info;
    bool second = a->method && !strcmp(a->method, "gptq");
    if (second && !a->calibration)
        return slm_cli_fail(err, SLM_E_ARG, "--method gptq needs --calibration TEXT");
    if (a->calibration && !second && !a->size && !(a->bpw > 0))
        return slm_cli_fail(err, SLM_E_ARG,
                            "--calibration goes with --method gptq or with a target");
    if (a->chunks && !a->calibration)
        return slm_cli_fail(err, SLM_E_ARG, "--chunks goes with --calibration");
    if (!out && !a->dry)
        return slm_cli_fail(err, SLM_E_ARG, "the file to write is missing");
    size_t n = out ? strlen(out) : 0;
    if (out && (n < 5 || strcmp(out + n - 5, ".gguf") != 0))
        return slm_cli_fail(err, SLM_E_ARG, "%s: quantised models are GGUF files (.gguf)", out);
    int code = slm_cli_runtime(c, err);
    slm_cli_catch_interrupt();
    if (!code && out)
        code = slm_out_check(out, err);
    if (!code)
        code = open_plan(c, a, &q, err);
    if (!code && out && second)
        code = slm_quant_room(q, out, err);
    if (!code && !a->dry && second)
        code = use_text(c, a, q, NULL, err);
    if (!code && !a->dry)
        code = write_plan(c, q, out, err);
    if (!code && a->dry && out)
        code = slm_quant_room(q, out, err);
    if (!code)
        code = slm_quant_info_get(q, &info, err);
    if (!code && a->common.json)
        report_json(q, &info, out, a->dry);
    else if (!code && a->dry)
        report_table(q, &info);
    slm_quant_close(&q);
    return code;
}

extern const struct slm_cli_command slm_cmd_quantize;
const struct slm_cli_command slm_cmd_quantize = {
    .name = "quantize",
    .run = run,
    .args = "IN [OUT]",
    .summary = "write a model in fewer bits",
    .about =
        "Reads the model IN (GGUF, Hugging Face folder, llama2.c) and writes it as the GGUF "
        "file OUT with its matrices rounded. OUT appears whole or not at all."
        "\n\n"
        "Types: F32 F16 BF16 Q8_0 Q6_K Q5_K_M Q5_K_S Q5_1 Q5_0 Q4_K_M Q4_K_S Q4_1 Q4_0 IQ4_NL "
        "IQ4_XS Q3_K_L Q3_K_M Q3_K_S IQ3_M IQ3_S IQ3_XS IQ3_XXS Q2_K Q2_K_S IQ2_M IQ2_S IQ2_XS "
        "IQ2_XXS IQ1_M IQ1_S TQ2_0 TQ1_0 MXFP4 MXFP4_MOE Q2_0 Q1_0; and nf4, which writes OUT "
        "as "
        "a Hugging Face folder that bitsandbytes loads. Names with K and I are "
        "mixes: matrices that matter more get more bits, as files of these names have them."
        "\n\n"
        "With --target-size or --target-bpw every tensor's error is measured in every type, "
        "and "
        "the bytes go where they buy most.",
    .examples =
        "slm quantize ./model-folder model-Q4_K_M.gguf --type Q4_K_M --imatrix im.gguf\n"
        "slm quantize model.gguf small.gguf --target-size 1.5G --imatrix im.gguf\n"
        "slm quantize model.gguf --type Q4_K_M --dry-run\n"
        "slm quantize model.gguf out.gguf --type Q4_K_M --keep ffn_down=q6_K",
    .opts = opts,
    .size = sizeof(struct args),
};
