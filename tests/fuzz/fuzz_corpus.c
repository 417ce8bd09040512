/* Fuzz target: the tools on data, on any bytes as JSON lines. The first line is the field that
 * options name. Only reports are made; what was read must be accounted for. */
#include "fuzz/fuzz_kit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void dedup(const slm_corpus_in *in)
{
    slm_err err = {0};
    slm_dedup_report r;
    slm_dedup_opts o;
    slm_dedup_opts_init(&o);
    o.words = 2;
    o.verify = 1;
    o.filter = "gopher-repetition";
    if (slm_corpus_dedup(&r, rt, in, &o, &err)) {
        CHECK(err.code && err.msg[0]);
        return;
    }
    CHECK(r.kept + r.exact + r.near + r.filtered + r.seen.bad == r.seen.rows);
    slm_corpus_release(&r.own);
}

static void split(const slm_corpus_in *in, const char *field)
{
    slm_err err = {0};
    slm_split_report r;
    slm_split_opts o;
    slm_split_opts_init(&o);
    o.n_parts = 2;
    o.part[0].share = o.part[1].share = 0.5;
    o.stratify = o.group = field;
    if (slm_corpus_split(&r, rt, in, &o, &err)) {
        CHECK(err.code && err.msg[0]);
        return;
    }
    CHECK(r.rows[0] + r.rows[1] + r.seen.bad == r.seen.rows);
    slm_corpus_release(&r.own);
}

static void negatives(const slm_corpus_in *in, const char *field)
{
    static const char *const none[] = {"none", "{\"intent\": null}"};
    slm_err err = {0};
    slm_negatives_report r;
    slm_negatives_opts o;
    slm_negatives_opts_init(&o);
    o.none = none;
    o.n_none = 2;
    o.share = 0.5;
    o.label = *field ? field : NULL;
    if (slm_corpus_negatives(&r, rt, in, &o, &err)) {
        CHECK(err.code && err.msg[0]);
        return;
    }
    CHECK(r.written == r.seen.rows - r.seen.bad + r.held_out);
    slm_corpus_release(&r.own);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, '\n', size);
    size_t n = end ? (size_t)(end - data) : size;
    char field[64] = "";
    slm_mem_stats before, after;
    fuzz_runtime();
    memcpy(field, data, n < sizeof field ? n : 0);
    slm_runtime_memory(rt, &before);
    const char *path = fuzz_file(end ? end + 1 : data, size - (end ? n + 1 : 0));
    slm_corpus_in in = {.paths = &path, .n_paths = 1, .form = SLM_DATA_FORM_JSONL};
    dedup(&in);
    split(&in, field);
    negatives(&in, field);
    slm_runtime_memory(rt, &after);
    CHECK(before.blocks == after.blocks && before.bytes == after.bytes);
    return 0;
}
