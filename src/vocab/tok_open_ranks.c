/* Rank files: tiktoken's ("base64 rank" a line) and tekken.json. A token's bytes merge in the
 * order of their ranks. A tiktoken file says nothing of its pattern and special tokens; these
 * are told from the number of ranks and the file's name, as the models' own code has them. */
#include "vocab/tok_open.h"

#include <stdio.h>
#include <string.h>

/* One known rank file: how many ranks, a part of its name (NULL: any), how it splits, and its
 * special tokens: ids from `first` on, ended by NULL; "" leaves an id out. */
struct known {
    int ranks;
    const char *part;
    const char *pattern;
    bool nfc;
    int first;
    const char *const *special;
    const char *many; /* printf form for `n_many` more */
    int from_many, n_many;
    const char *bos, *eos;
};

static const char *const llama3[] = {"<|begin_of_text|>",
                                     "<|end_of_text|>",
                                     "<|reserved_special_token_0|>",
                                     "<|reserved_special_token_1|>",
                                     "<|finetune_right_pad_id|>",
                                     "<|reserved_special_token_2|>",
                                     "<|start_header_id|>",
                                     "<|end_header_id|>",
                                     "<|eom_id|>",
                                     "<|eot_id|>",
                                     "<|python_tag|>",
                                     NULL};
static const char *const cl100k[] = {"",
                                     "<|endoftext|>",
                                     "<|fim_prefix|>",
                                     "<|fim_middle|>",
                                     "<|fim_suffix|>",
                                     "",
                                     "",
                                     "",
                                     "",
                                     "",
                                     "",
                                     "",
                                     "",
                                     "",
                                     "",
                                     "",
                                     "",
                                     "",
                                     "",
                                     "",
                                     "<|endofprompt|>",
                                     NULL};
static const char *const arcade[] = {"<|reg_extra|>",    "<|endoftext|>",
                                     "<|fim_prefix|>",   "<|fim_middle|>",
                                     "<|fim_suffix|>",   "<|fim_pad|>",
                                     "<gh_stars>",       "<filename>",
                                     "<issue_start>",    "<issue_comment>",
                                     "<issue_closed>",   "<jupyter_start>",
                                     "<jupyter_text>",   "<jupyter_code>",
                                     "<jupyter_output>", "<empty_output>",
                                     "<commit_before>",  "<commit_msg>",
                                     "<commit_after>",   "<reponame>",
                                     "<|endofprompt|>",  "<|im_start|>",
                                     "<|im_end|>",       "<|pause|>",
                                     "<|reg0|>",         "<|reg1|>",
                                     "<|reg2|>",         "<|reg3|>",
                                     "<|reg4|>",         "<|reg5|>",
                                     "<|reg6|>",         "<|reg7|>",
                                     "<|extra0|>",       NULL};
static const char *const o200k[] = {
    "", "<|endoftext|>",   "",  "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "",
    "", "<|endofprompt|>", NULL};
static const char *const qwen[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>", NULL};
static const char *const end_only[] = {"<|endoftext|>", NULL};

static const struct known table[] = {
    {128000, NULL, slm_pattern_llama3, false, 128000, llama3, "<|reserved_special_token_%d|>",
     3, 245, "<|begin_of_text|>", "<|end_of_text|>"},
    {100256, "arcade", slm_pattern_qwen2, true, 100256, arcade, NULL, 0, 0, NULL,
     "<|endoftext|>"},
    {100256, NULL, slm_pattern_llama3, false, 100256, cl100k, NULL, 0, 0, NULL,
     "<|endoftext|>"},
    {199998, NULL, slm_pattern_o200k, false, 199998, o200k, NULL, 0, 0, NULL, "<|endoftext|>"},
    {151643, NULL, slm_pattern_qwen2, true, 151643, qwen, "<|extra_%d|>", 0, 205, NULL,
     "<|endoftext|>"},
    {50256, NULL, slm_pattern_gpt2, false, 50256, end_only, NULL, 0, 0, NULL, "<|endoftext|>"},
    {50280, NULL, slm_pattern_gpt2, false, 50256, end_only, NULL, 0, 0, NULL, "<|endoftext|>"},
};

static const struct known *known(const char *name, int ranks)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct known *k = &table[i];
        if (k->ranks == ranks && (!k->part || strstr(slm_path_base(name), k->part)))
            return k;
    }
    return NULL;
}

/* Splits by name alone, for files that were cut or trained anew. */
static const struct known *known_by_name(const char *name)
{
    static const struct {
        const char *part;
        int row;
    } parts[] = {
        {"o200k", 3}, {"qwen", 4},   {"gpt2", 5},   {"r50k", 5},
        {"p50k", 5},  {"arcade", 1}, {"cl100k", 2}, {"tokenizer.model", 0},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (strstr(slm_path_base(name), parts[i].part))
            return &table[parts[i].row];
    }
    return NULL;
}

static int put_special(slm_tokenizer *t, int id, const char *s, slm_err *err)
{
    if (id >= t->n || t->piece[id].s || !*s)
        return id < t->n ? 0 : slm_fail(err, SLM_E_FORMAT, "%s: no room for '%s'", t->name, s);
    struct added *a = slm_tok_add_added(t, s, strlen(s), id, err);
    if (!a)
        return SLM_E_NOMEM;
    a->special = true;
    t->piece[id] = t->raw[id] = a->text;
    t->type[id] = SLM_TOKEN_CONTROL;
    return 0;
}

/* The alphabet's spelling of every token's bytes, and the merge table. */
static int finish_ranks(slm_tokenizer *t, slm_err *err)
{
    t->bpe.ignore_merges = true;
    int rc = slm_tok_index(t, true, err);
    if (rc)
        return rc;
    rc = slm_bpe_from_ranks(t, err);
    struct slm_buf b;
    slm_buf_init(&b, t->rt, SLM_MEM_TEXT, (size_t)1 << 30);
    for (int i = 0; i < t->n && !rc; i++) {
        if (t->type[i] != SLM_TOKEN_NORMAL)
            continue;
        slm_buf_reset(&b);
        slm_bytes_to_chars(&b, t->raw[i].s, t->raw[i].n);
        t->piece[i] = slm_tok_dup(t, b.s, b.n);
        rc =
            t->piece[i].s ? slm_buf_check(&b, "tokens", err) : slm_fail_mem(err, "tokens", b.n);
    }
    slm_buf_release(&b);
    rc = rc ? rc : slm_tok_index(t, false, err);
    if (!rc)
        slm_bpe_finish(t);
    return rc;
}

static int put_rank(slm_tokenizer *t, int64_t id, const struct slm_buf *bytes, slm_err *err)
{
    if (id < 0 || id >= t->n || t->raw[id].s || !bytes->n)
        return slm_fail(err, SLM_E_FORMAT,
                        "%s: rank %lld is empty, out of range or there twice", t->name,
                        (long long)id);
    t->raw[id] = slm_tok_dup(t, bytes->s, bytes->n);
    t->piece[id] = t->raw[id];
    t->type[id] = SLM_TOKEN_NORMAL;
    t->score[id] = -(float)id;
    return t->raw[id].s ? 0 : slm_fail_mem(err, "tokens", bytes->n);
}

/* One line: base64, blank, number. Returns its end. */
static const char *line(const char *p, const char *end, struct slm_tok_str *b64, int64_t *rank)
{
    const char *nl = memchr(p, '\n', (size_t)(end - p));
    const char *stop = nl ? nl : end, *sp = memchr(p, ' ', (size_t)(stop - p));
    *rank = -1;
    if (sp && sp + 1 < stop && stop - sp < 12) {
        *b64 = (struct slm_tok_str){p, (size_t)(sp - p)};
        int64_t v = 0;
        for (const char *q = sp + 1; q < stop && *q != '\r'; q++)
            v = *q >= '0' && *q <= '9' && v >= 0 ? v * 10 + (*q - '0') : -1;
        *rank = v;
    }
    return nl ? nl + 1 : end;
}

static int read_ranks(slm_tokenizer *t, const char *s, size_t n, slm_err *err)
{
    struct slm_buf b;
    slm_buf_init(&b, t->rt, SLM_MEM_TEXT, n + 16);
    int rc = 0;
    for (const char *p = s, *end = s + n; p < end && !rc;) {
        struct slm_tok_str b64;
        int64_t rank;
        p = line(p, end, &b64, &rank);
        if (rank < 0)
            continue; /* the counting pass has judged these */
        slm_buf_reset(&b);
        if (!slm_base64_put(&b, b64.s, b64.n))
            rc = slm_fail(err, SLM_E_FORMAT, "%s: rank %lld: no base64", t->name,
                          (long long)rank);
        rc = rc ? rc : slm_buf_check(&b, "tokens", err);
        rc = rc ? rc : put_rank(t, rank, &b, err);
    }
    slm_buf_release(&b);
    return rc;
}

/* Counts the lines; each must be well formed, and ranks may not leave big gaps. */
static int count_ranks(const char *name, const char *s, size_t n, size_t *count, int64_t *top,
                       slm_err *err)
{
    *count = 0;
    *top = -1;
    for (const char *p = s, *end = s + n; p < end;) {
        struct slm_tok_str b64;
        int64_t rank;
        const char *from = p;
        p = line(p, end, &b64, &rank);
        if (rank < 0 && p - from > 2)
            return slm_fail(err, SLM_E_FORMAT, "%s: line %zu is no token with its rank", name,
                            *count + 1);
        *count += rank >= 0;
        *top = rank > *top ? rank : *top;
    }
    if (!*count || *top >= (int64_t)(*count + 65536))
        return slm_fail(err, SLM_E_FORMAT, "%s: ranks up to %lld on %zu lines", name,
                        (long long)*top, *count);
    return 0;
}

static int build(slm_tokenizer *t, const char *s, size_t n, slm_err *err)
{
    size_t count;
    int64_t top;
    int rc = count_ranks(t->name, s, n, &count, &top, err);
    if (rc)
        return rc;
    const struct known *exact = known(t->name, (int)count);
    const struct known *k = exact ? exact : known_by_name(t->name);
    if (!k) {
        slm_log(t->rt, SLM_LOG_WARN, "%s: an unknown list of %zu ranks, split as cl100k does",
                t->name, count);
        k = &table[2];
    }
    int specials = 0, base = exact ? k->first : (int)top + 1;
    while (k->special[specials])
        specials++;
    size_t size = (size_t)(base + specials + k->n_many);
    size = size > (size_t)top + 1 ? size : (size_t)top + 1;
    rc = slm_tok_tables(t, size, err);
    rc = rc ? rc : read_ranks(t, s, n, err);
    if (!rc && k->nfc && !slm_tok_add_norm(t, NORM_NFC))
        rc = slm_fail_mem(err, "a normaliser", 0);
    const char *pattern[] = {k->pattern};
    rc = rc ? rc : slm_tok_byte_level(t, pattern, 1, err);
    rc = rc ? rc : finish_ranks(t, err);
    for (int i = 0; i < specials && !rc; i++)
        rc = put_special(t, base + i, k->special[i], err);
    for (int i = 0; i < k->n_many && !rc; i++) {
        char name[48];
        snprintf(name, sizeof name,
                 k->many[2] == 'r' ? "<|reserved_special_token_%d|>" : "<|extra_%d|>",
                 k->from_many + i);
        rc = put_special(t, base + specials + i, name, err);
    }
    if (!rc && k->bos)
        t->named[SLM_TOK_BOS] = base;
    if (!rc)
        t->named[SLM_TOK_EOS] = base + (strcmp(k->special[0], k->eos) ? 1 : 0);
    t->add_bos = k->bos != NULL;
    return rc;
}

int slm_tok_open_tiktoken(slm_tokenizer **out, slm_runtime *rt, const char *s, size_t n,
                          const char *name, slm_err *err)
{
    slm_tokenizer *t = NULL;
    int rc = slm_tok_begin(&t, rt, name, err);
    if (!rc)
        t->source = FROM_TIKTOKEN;
    rc = rc ? rc : build(t, s, n, err);
    if (rc && t)
        slm_tokenizer_close(&t);
    *out = t;
    return rc;
}

/* --- tekken.json --- */

/* Control tokens of tekken files that do not list their own. */
static const char *const tekken_default[] = {
    "<unk>",
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
    "[TOOL_CALLS]",
    "[IMG]",
    "<pad>",
    "[IMG_BREAK]",
    "[IMG_END]",
    "[PREFIX]",
    "[MIDDLE]",
    "[SUFFIX]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    "[TOOL_CONTENT]",
};

static int tekken_special(slm_tokenizer *t, const slm_json *list, int specials, slm_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < slm_json_count(list) && !rc; i++) {
        const slm_json *o = slm_json_at(list, i);
        int64_t id = slm_json_int(slm_json_find(o, "rank"), -1);
        const char *s = slm_json_str(slm_json_find(o, "token_str"), NULL);
        if (!s || id < 0 || id >= specials)
            return slm_fail(err, SLM_E_FORMAT, "%s: special_tokens: entry %zu", t->name, i);
        rc = put_special(t, (int)id, s, err);
    }
    int defaults = (int)(sizeof tekken_default / sizeof *tekken_default);
    for (int i = 0; i < specials && !rc; i++) {
        char name[32];
        snprintf(name, sizeof name, "<SPECIAL_%d>", i);
        rc = put_special(t, i, !list && i < defaults ? tekken_default[i] : name, err);
    }
    return rc;
}

static int tekken_vocab(slm_tokenizer *t, const slm_json *vocab, int specials, slm_err *err)
{
    struct slm_buf b;
    slm_buf_init(&b, t->rt, SLM_MEM_TEXT, (size_t)1 << 24);
    int rc = 0;
    for (size_t i = 0; i < (size_t)(t->n - specials) && !rc; i++) {
        const slm_json *o = slm_json_at(vocab, i);
        size_t n = 0;
        const char *s = slm_json_str(slm_json_find(o, "token_bytes"), &n);
        int64_t rank = slm_json_int(slm_json_find(o, "rank"), -1);
        slm_buf_reset(&b);
        if (!s || rank < 0 || rank >= t->n - specials || !slm_base64_put(&b, s, n))
            rc = slm_fail(err, SLM_E_FORMAT, "%s: vocab: entry %zu is malformed", t->name, i);
        rc = rc ? rc : slm_buf_check(&b, "tokens", err);
        rc = rc ? rc : put_rank(t, specials + rank, &b, err);
    }
    slm_buf_release(&b);
    return rc;
}

int slm_tok_read_tekken(slm_tokenizer *t, const slm_json *root, slm_err *err)
{
    const slm_json *config = slm_json_find(root, "config"),
                   *vocab = slm_json_find(root, "vocab");
    size_t plen = 0, count = slm_json_count(vocab);
    const char *pattern = slm_json_str(slm_json_find(config, "pattern"), &plen);
    int64_t size = slm_json_int(slm_json_find(config, "default_vocab_size"), -1);
    int64_t specials = slm_json_int(slm_json_find(config, "default_num_special_tokens"), -1);
    if (!pattern || specials < 3 || specials > 100000 || size <= specials ||
        (uint64_t)(size - specials) > count)
        return slm_fail(err, SLM_E_FORMAT, "%s: config: pattern or sizes are missing or wrong",
                        t->name);
    const slm_json *list = slm_json_find(root, "special_tokens");
    t->source = FROM_TEKKEN;
    int rc = slm_tok_tables(t, (size_t)size, err);
    rc = rc ? rc : tekken_vocab(t, vocab, (int)specials, err);
    t->kind = MODEL_BPE;
    t->bpe.bytes = true;
    rc = rc ? rc : slm_tok_add_pattern(t, pattern, plen, err);
    rc = rc ? rc : finish_ranks(t, err);
    rc = rc ? rc
            : tekken_special(t, slm_json_is(list, SLM_JSON_ARRAY) ? list : NULL, (int)specials,
                             err);
    if (!rc && !slm_tok_add_dec(t, DEC_BYTES))
        rc = SLM_E_INTERNAL;
    t->named[SLM_TOK_UNK] = 0;
    t->named[SLM_TOK_BOS] = 1;
    t->named[SLM_TOK_EOS] = 2;
    t->add_bos = true;
    return rc;
}
