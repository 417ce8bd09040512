/* vocab.json + merges.txt: byte-level BPE whose splitting no file tells. config.json's
 * model_type and what the special tokens are say which family it is, and the family how it
 * splits. */
#include "vocab/tok_dir.h"

#include <string.h>

static bool starts(const char *s, const char *with)
{
    return s && !strncmp(s, with, strlen(with));
}

/* The row of the GGUF table that a family's vocabulary splits as. */
static const char *family(const struct tok_facts *f, size_t n)
{
    const char *m = f->model_type;
    if (!m)
        return "gpt-2";
    if (starts(m, "qwen3_5"))
        return "qwen35";
    if (starts(m, "qwen"))
        return "qwen2";
    if (starts(m, "llama4"))
        return "llama4";
    if (starts(m, "llama"))
        return slm_tok_fact_has(f, "<|begin_of_text|>") || n > 100000 ? "llama-bpe" : "smollm";
    if (starts(m, "mistral") || starts(m, "ministral") || starts(m, "pixtral"))
        return "tekken";
    if (starts(m, "stablelm"))
        return n > 100000 ? "stablelm2" : "olmo";
    if (starts(m, "phi3") || starts(m, "phi4"))
        return n > 150000 ? "gpt-4o" : "dbrx";
    if (starts(m, "smollm3"))
        return "llama-bpe";
    if (starts(m, "starcoder") || starts(m, "gpt_bigcode"))
        return "starcoder";
    if (starts(m, "gpt") || starts(m, "phi") || starts(m, "codegen") || starts(m, "opt") ||
        starts(m, "olmo") || starts(m, "pythia") || starts(m, "mpt"))
        return "gpt-2";
    return NULL;
}

static int read_vocab(slm_tokenizer *t, const slm_json *vocab, const struct tok_facts *f,
                      slm_err *err)
{
    size_t count = slm_json_count(vocab) + f->n_added;
    int64_t top = f->top_id;
    for (void *it = slm_json_first(vocab); it; it = slm_json_next(vocab, it)) {
        int64_t id = slm_json_int(slm_json_value(it), -1);
        if (id < 0 || (uint64_t)id >= 4 * (uint64_t)count + 262144)
            return slm_fail(err, SLM_E_FORMAT, "%s: vocab.json: id of '%.60s' is out of range",
                            t->name, slm_json_key(it, NULL));
        top = id > top ? id : top;
    }
    if (top >= (int64_t)(4 * count + 262144))
        return slm_fail(err, SLM_E_FORMAT, "%s: added token %lld is out of range", t->name,
                        (long long)top);
    int rc = slm_tok_tables(t, (size_t)(top + 1), err);
    for (void *it = slm_json_first(vocab); it && !rc; it = slm_json_next(vocab, it)) {
        size_t n = 0;
        const char *s = slm_json_key(it, &n);
        int64_t id = slm_json_int(slm_json_value(it), -1);
        t->piece[id] = slm_tok_dup(t, s, n);
        t->type[id] = SLM_TOKEN_NORMAL;
        rc = t->piece[id].s ? 0 : slm_fail_mem(err, "vocab.json", n);
    }
    return rc;
}

static int read_merges(slm_tokenizer *t, const char *s, size_t n, slm_err *err)
{
    size_t lines = 1;
    for (size_t i = 0; i < n; i++)
        lines += s[i] == '\n';
    int rc = slm_bpe_begin(t, lines, err);
    uint32_t rank = 0;
    for (const char *p = s, *end = s + n; p < end && !rc;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end, *line = p;
        p = nl ? nl + 1 : end;
        if (stop > line && stop[-1] == '\r')
            stop--;
        if (stop == line || (line == s && stop - line > 8 && !memcmp(line, "#version", 8)))
            continue;
        const char *sp = memchr(line, ' ', (size_t)(stop - line));
        if (!sp || memchr(sp + 1, ' ', (size_t)(stop - sp - 1)))
            return slm_fail(err, SLM_E_FORMAT, "%s: merges.txt: merge %u is no pair of tokens",
                            t->name, rank);
        struct slm_tok_str l = {line, (size_t)(sp - line)},
                           r = {sp + 1, (size_t)(stop - sp - 1)};
        rc = slm_bpe_add_merge(t, l, r, rank++, err);
    }
    return rc;
}

static int build(slm_tokenizer *t, const slm_json *vocab, const struct slm_map *merges,
                 const struct tok_facts *f, slm_err *err)
{
    const char *name = family(f, slm_json_count(vocab));
    if (!name)
        return slm_fail(err, SLM_E_UNSUPPORTED,
                        "%s: vocab.json without tokenizer.json: how model_type "
                        "'%.60s' splits is not known",
                        t->name, f->model_type);
    const struct pre_row *row = slm_pre_find(name);
    SLM_ASSERT(row);
    int n = 0, rc = read_vocab(t, vocab, f, err);
    while (row->patterns[n])
        n++;
    t->bpe.ignore_merges = row->flags & PRE_ROW_IGNORE_MERGES;
    bool nfc = row->flags & PRE_ROW_NFC || starts(f->model_type, "stablelm") ||
               starts(f->model_type, "gpt_neox");
    if (!rc && nfc && !slm_tok_add_norm(t, NORM_NFC))
        rc = slm_fail_mem(err, "a tokenizer", 0);
    rc = rc ? rc : slm_tok_byte_level(t, row->patterns, n, err);
    rc = rc ? rc : slm_tok_raw_bytes(t, err);
    rc = rc ? rc : slm_tok_index(t, false, err);
    rc = rc ? rc : slm_tok_index(t, true, err);
    rc = rc ? rc : read_merges(t, (const char *)merges->data, merges->size, err);
    if (!rc)
        slm_bpe_finish(t);
    t->add_bos = row->flags & PRE_ROW_ADD_BOS;
    return rc;
}

int slm_tok_open_vocab(slm_tokenizer **out, slm_runtime *rt, const char *dir,
                       const struct tok_facts *f, slm_err *err)
{
    struct slm_buf path;
    struct slm_map merges = {0};
    slm_json *vocab = NULL;
    slm_tokenizer *t = NULL;
    slm_buf_init(&path, rt, SLM_MEM_TEXT, 65536);
    slm_path_join(&path, dir, "vocab.json"); /* room for either name */
    int rc = slm_buf_check(&path, "a path", err);
    rc = rc ? rc : slm_json_load(&vocab, rt, path.s, (size_t)256 << 20, err);
    rc = rc ? rc : slm_map_open(&merges, slm_path_join(&path, dir, "merges.txt"), err);
    rc = rc ? rc : slm_tok_begin(&t, rt, dir, err);
    if (!rc)
        t->source = FROM_VOCAB;
    if (!rc && !slm_json_is(vocab, SLM_JSON_OBJECT))
        rc = slm_fail(err, SLM_E_FORMAT, "%s: vocab.json: no object", dir);
    rc = rc ? rc : build(t, vocab, &merges, f, err);
    slm_json_free(vocab);
    if (merges.data)
        slm_map_close(&merges);
    slm_buf_release(&path);
    if (rc && t)
        slm_tokenizer_close(&t);
    *out = t;
    return rc;
}
