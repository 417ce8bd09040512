/* Tokenizer files and texts: the first byte chooses the form (0 by its looks, 1 GGUF keys), the
 * second the length of the text at the end. Whatever opens must encode that text, decode the
 * ids, and write itself out without harm. */
#include <stdlib.h>
#include <string.h>

#include "slm/slm.h"
#include "vocab/tok_open.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct in {
    const char *p, *end;
};

static uint8_t byte(struct in *i) { return i->p < i->end ? (uint8_t)*i->p++ : 0; }

static struct slm_tok_str string(struct in *i)
{
    size_t n = byte(i), left = (size_t)(i->end - i->p);
    struct slm_tok_str s = {i->p, n < left ? n : left};
    i->p += s.n;
    return s;
}

static int open_keys(slm_tokenizer **t, slm_runtime *rt, const char *p, size_t n)
{
    static const char *const models[] = {"llama", "gpt2", "bert", "t5", "gemma4", "none"};
    static const char *const pres[] = {"llama-bpe",    "qwen2",   "gpt-2",  "tekken",
                                       "deepseek-llm", "kimi-k2", "gemma4", "chameleon",
                                       "superbpe",     "smollm"};
    static struct slm_tok_str tokens[256], merges[256];
    static int32_t types[256];
    static float scores[256];
    struct in in = {p, p + n};
    struct slm_tok_spec s;
    slm_tok_spec_init(&s);
    s.name = "keys";
    s.model = models[byte(&in) % 6];
    uint8_t pre = byte(&in), flags = byte(&in);
    s.pre = pre < 10 ? pres[pre] : NULL;
    s.n_tokens = byte(&in);
    s.n_merges = byte(&in);
    for (int i = 0; i < SLM_TOK_EOT; i++)
        s.id[i] = (int64_t)byte(&in) - 1;
    for (size_t i = 0; i < s.n_tokens; i++) {
        types[i] = byte(&in) % 8;
        scores[i] = (float)(int8_t)byte(&in);
        tokens[i] = string(&in);
    }
    for (size_t i = 0; i < s.n_merges; i++)
        merges[i] = string(&in);
    s.tokens = tokens;
    s.merges = flags & 1 ? merges : NULL;
    s.types = flags & 2 ? types : NULL;
    s.scores = flags & 4 ? scores : NULL;
    s.n_types = s.n_scores = s.n_tokens;
    s.add_space_prefix = (signed char)((flags >> 3 & 3) - 1);
    s.remove_extra_whitespaces = (signed char)(flags >> 5 & 1);
    if (flags & 64) {
        s.charsmap = (const uint8_t *)in.p;
        s.n_charsmap = (size_t)(in.end - in.p);
    }
    return slm_tok_new_gguf(t, rt, &s, NULL);
}

static void use(const slm_tokenizer *t, slm_runtime *rt, const char *text, size_t n)
{
    slm_ids ids = {0};
    slm_text out = {0};
    for (unsigned flags = 0; flags < 4; flags++)
        slm_tokenizer_encode(t, text, n, flags, &ids, NULL);
    slm_tokenizer_decode(t, ids.data, ids.len, (int)(n & 1), &out, NULL);
    struct slm_tok_export x = {0};
    slm_tokenizer *again = NULL;
    if (!slm_tok_export(&x, t, 0, NULL) && !slm_tok_new_gguf(&again, rt, &x.spec, NULL))
        slm_tokenizer_encode(again, text, n, 3, &ids, NULL);
    slm_tok_export_release(&x);
    slm_tokenizer_close(&again);
    struct slm_buf json;
    slm_buf_init(&json, rt, SLM_MEM_TEXT, 1 << 20);
    if (!slm_tok_export_json(t, &json, NULL) &&
        !slm_tok_open_mem(&again, rt, json.s, json.n, "again.json", NULL))
        slm_tok_finish(again, NULL);
    slm_buf_release(&json);
    slm_tokenizer_close(&again);
    slm_ids_release(&ids);
    slm_text_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static slm_runtime *rt;
    slm_runtime_opts o;
    if (!rt) {
        slm_runtime_opts_init(&o);
        o.threads = 1;
        if (slm_runtime_open(&rt, &o, NULL))
            abort();
    }
    if (size < 2)
        return 0;
    const char *p = (const char *)data + 2;
    size_t n = size - 2, text = data[1] < n ? data[1] : n;
    slm_tokenizer *t = NULL;
    int rc = data[0] & 1 ? open_keys(&t, rt, p, n - text)
                         : slm_tok_open_mem(&t, rt, p, n - text,
                                            data[0] & 2 ? "t.model" : "t.bin", NULL);
    if (!rc && !(data[0] & 1))
        rc = slm_tok_finish(t, NULL);
    if (!rc)
        use(t, rt, p + n - text, text);
    slm_tokenizer_close(&t);
    return 0;
}
