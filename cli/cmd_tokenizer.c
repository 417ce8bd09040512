/* slm tokenizer: tokenizers learnt from text, looked at, held against each other. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

/* ---- train ---- */

struct train_args {
    struct slm_cli_common common;
    const char *type, *pattern, *unit, *out, *bos, *eos, *unk, *pad, *arch, *template;
    struct slm_cli_list special;
    int vocab, min_frequency, byte_fallback, add_bos, add_eos, max_piece, seeds, rounds,
        model_max;
    float coverage, shrink;
};

#define F(field) offsetof(struct train_args, field)
static const struct slm_cli_opt train_opts[] = {
    SLM_CLI_CHOICE(0, "type", F(type), "bpe unigram", "what is learnt (default bpe)"),
    SLM_CLI_INT(0, "vocab-size|vocab", F(vocab), "N", 2, 16777216,
                "ids in all, special tokens and alphabet included (default 32000)"),
    SLM_CLI_VALUE(OPT_LIST, 0, "special", F(special), "A,B,...",
                  "special tokens in order of their ids, separated by commas or given one by "
                  "one"),
    SLM_CLI_VALUE(OPT_FILE, 'o', "output", F(out), "PATH",
                  "where to: a folder, X.json (tokenizer.json alone) or X.gguf"),
    SLM_CLI_INT(0, "min-frequency", F(min_frequency), "N", 1, 2147483647,
                "bpe: least count of a pair that is merged (default 2)"),
    SLM_CLI_VALUE(
        OPT_TEXT, 0, "pattern", F(pattern), "NAME|REGEX",
        "how text is split before merging: gpt2, llama3, o200k, tekken ... or a regular "
        "expression (default gpt2)"),
    SLM_CLI_CHOICE(0, "unit", F(unit), "line file",
                   "what is one sequence, which no piece goes beyond (default line)"),
    SLM_CLI_FLAG(0, "byte-fallback", F(byte_fallback),
                 "characters and marks for blanks, as SentencePiece has them, with "
                 "<0x00> .. <0xFF> for what the alphabet leaves out"),
    SLM_CLI_FLOAT(0, "coverage|character-coverage", F(coverage), "X", 0.5, 1,
                  "characters: share of the text that the alphabet covers (default 0.9995)"),
    SLM_CLI_INT(0, "max-piece", F(max_piece), "N", 1, 64,
                "longest piece in characters (default: bpe any, unigram 16)"),
    SLM_CLI_INT(0, "seeds", F(seeds), "N", 1000, 16777216,
                "unigram: pieces to start from (default 1000000)"),
    SLM_CLI_FLOAT(0, "shrink", F(shrink), "X", 0.1, 0.99,
                  "unigram: share of the pieces that a pruning leaves (default 0.75)"),
    SLM_CLI_INT(0, "rounds", F(rounds), "N", 1, 100,
                "unigram: EM steps between prunings (default 2)"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "bos", F(bos), "TOKEN",
                  "the special token that begins a text (default: by spelling, <s> ...)"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "eos", F(eos), "TOKEN", "the one that ends it"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "unk", F(unk), "TOKEN",
                  "the one for what is unknown (default <unk> where that is listed)"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "pad", F(pad), "TOKEN", "the one that pads"),
    SLM_CLI_FLAG(0, "add-bos", F(add_bos), "put bos before every text"),
    SLM_CLI_FLAG(0, "add-eos", F(add_eos), "put eos behind every text"),
    SLM_CLI_INT(0, "model-max", F(model_max), "N", 1, 2147483647,
                "model_max_length in tokenizer_config.json"),
    SLM_CLI_VALUE(OPT_FILE, 0, "chat-template", F(template), "FILE",
                  "a Jinja chat template to write along (folder, GGUF)"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "arch", F(arch), "NAME",
                  "GGUF: general.architecture (default llama)"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

static void train_defaults(void *p)
{
    struct train_args *a = p;
    slm_lexicon_opts o;
    slm_lexicon_opts_init(&o);
    a->type = "bpe";
    a->unit = "line";
    a->pattern = o.pattern;
    a->vocab = o.vocab;
    a->min_frequency = (int)o.min_frequency;
    a->coverage = (float)o.coverage;
    a->shrink = (float)o.shrink;
    a->seeds = o.seeds;
    a->rounds = o.rounds;
}

/* "--special a,b --special c" as one list; the words live in buf. */
static int split_special(const struct slm_cli_list *in, struct slm_cli_buf *buf,
                         const char **list, int max, int *n, slm_err *err)
{
    size_t total = 0;
    for (int i = 0; i < in->n; i++)
        total += strlen(in->item[i]) + 1;
    buf->s = slm_cli_realloc(buf->s, total + 1);
    *n = 0;
    for (int i = 0; i < in->n; i++) {
        char *s = buf->s + buf->n;
        buf->n += strlen(in->item[i]) + 1;
        memcpy(s, in->item[i], strlen(in->item[i]) + 1);
        for (char *word = s, *end; word; word = end) {
            end = strchr(word, ',');
            if (end)
                *end++ = 0;
            if (*n == max)
                return slm_cli_fail(err, SLM_E_LIMIT, "more than %d special tokens", max);
            list[(*n)++] = word;
        }
    }
    return 0;
}

/* Unigram tells rounds, whose number nobody knows; BPE tells ids of so many. */
static int step(void *arg, uint64_t done, uint64_t total)
{
    struct slm_cli_progress *bar = arg;
    return total ? slm_cli_progress_step(bar, done, total) : slm_cli_interrupted();
}

static void tell(struct slm_cli *c, const struct train_args *a, const slm_lexicon_report *r)
{
    double bytes = (double)r->bytes, tokens = r->tokens ? (double)r->tokens : 1;
    if (a->common.json) {
        struct slm_cli_json j = {.f = stdout};
        slm_js_open(&j, '{');
        slm_js_kstr(&j, "path", a->out);
        slm_js_kstr(&j, "type", a->type);
        slm_js_kint(&j, "vocab", r->vocab);
        slm_js_kint(&j, "merges", r->merges);
        slm_js_kint(&j, "short_by", r->short_by);
        slm_js_kint(&j, "bytes", (int64_t)r->bytes);
        slm_js_kint(&j, "sequences", (int64_t)r->sequences);
        slm_js_kint(&j, "mended", (int64_t)r->mended);
        slm_js_kint(&j, "words", (int64_t)r->words);
        slm_js_kint(&j, "distinct", (int64_t)r->distinct);
        slm_js_kint(&j, "tokens", (int64_t)r->tokens);
        slm_js_kreal(&j, "bytes_per_token", bytes / tokens);
        if (r->loglik < 0)
            slm_js_kreal(&j, "loglik", r->loglik);
        slm_js_kreal(&j, "count_seconds", r->count_s);
        slm_js_kreal(&j, "learn_seconds", r->learn_s);
        slm_js_close(&j, '}');
        return;
    }
    char size[32];
    printf("%s: %d ids, %d merges\n", a->out, r->vocab, r->merges);
    printf("text: %s, %llu sequences, %llu words, %llu distinct\n", slm_cli_size(size, bytes),
           (unsigned long long)r->sequences, (unsigned long long)r->words,
           (unsigned long long)r->distinct);
    printf("under it: %llu tokens, %.3f bytes a token\n", (unsigned long long)r->tokens,
           bytes / tokens);
    if (r->loglik < 0)
        printf("log-likelihood: %.1f nats, %.4f bits a byte\n", r->loglik,
               -r->loglik / bytes * 1.4426950408889634);
    slm_cli_say(c, "split and counted in %.2f s, learnt in %.2f s", r->count_s, r->learn_s);
}

static int train(struct slm_cli *c, void *p, slm_err *err)
{
    struct train_args *a = p;
    const char *list[256];
    struct slm_cli_buf words = {0}, template = {0};
    struct slm_cli_progress bar;
    slm_tokenizer *t = NULL;
    slm_lexicon_opts o;
    slm_lexicon_report r;
    slm_tokenizer_save_opts save = {.model_max = a->model_max, .arch = a->arch};
    slm_lexicon_opts_init(&o);
    if (!a->out)
        return slm_cli_fail(err, SLM_E_ARG, "where to? -o FOLDER, X.json or X.gguf");
    o.kind = strcmp(a->type, "bpe") ? SLM_LEXICON_UNIGRAM : SLM_LEXICON_BPE;
    o.whole = !strcmp(a->unit, "file");
    o.vocab = a->vocab;
    o.min_frequency = (uint64_t)a->min_frequency;
    o.pattern = a->pattern;
    o.byte_fallback = a->byte_fallback;
    o.coverage = (double)a->coverage;
    o.shrink = (double)a->shrink;
    o.max_piece = a->max_piece;
    o.seeds = a->seeds;
    o.rounds = a->rounds;
    o.bos = a->bos, o.eos = a->eos, o.unk = a->unk, o.pad = a->pad;
    o.add_bos = a->add_bos, o.add_eos = a->add_eos;
    o.special = list;
    o.progress = step;
    o.progress_arg = &bar;
    int code = split_special(&a->special, &words, list, 256, &o.n_special, err);
    if (!code && a->template)
        code = slm_cli_read(&template, a->template, err);
    save.chat_template = a->template ? template.s : NULL;
    if (!code)
        code = slm_cli_runtime(c, err);
    slm_cli_catch_interrupt();
    slm_cli_progress_start(&bar, c, "learn", "ids");
    if (!code)
        code = slm_lexicon_train(&t, &r, c->rt, c->words.v, c->words.n, &o, err);
    slm_cli_progress_end(&bar);
    if (!code)
        code = slm_tokenizer_save(t, a->out, &save, err);
    if (!code && r.mended)
        slm_cli_say(c, "%llu sequences are no UTF-8: their bad bytes were read as U+FFFD",
                    (unsigned long long)r.mended);
    if (!code && r.short_by)
        slm_cli_say(c,
                    "the text gives %d ids fewer than %d: no pair or piece is frequent enough",
                    r.short_by, a->vocab);
    if (!code)
        tell(c, a, &r);
    slm_tokenizer_close(&t);
    slm_cli_buf_free(&words);
    slm_cli_buf_free(&template);
    return code;
}

static const struct slm_cli_command cmd_train = {
    .name = "tokenizer train",
    .run = train,
    .args = "FILE ...",
    .summary = "learn a tokenizer from text",
    .about =
        "Learns from the texts and writes what others load: tokenizer.json (with "
        "tokenizer_config.json in a folder) or GGUF keys. Byte-level BPE gives the ids and "
        "merges that Hugging Face's trainer gives on the same input. With --byte-fallback BPE "
        "works on characters instead, as SentencePiece does; --type unigram learns a unigram "
        "model. The result does not depend on the number of threads.",
    .examples =
        "slm tokenizer train books/*.txt --vocab-size 8192 --special '<|endoftext|>' "
        "-o my-tokenizer\n"
        "slm tokenizer train corpus.txt --pattern llama3 --vocab-size 32000 -o tok.json\n"
        "slm tokenizer train corpus.txt --type unigram --special '<unk>,<s>,</s>' "
        "--vocab-size 8000 -o tok.gguf",
    .opts = train_opts,
    .size = sizeof(struct train_args),
    .defaults = train_defaults,
};

/* ---- show, compare ---- */

struct look_args {
    struct slm_cli_common common;
    struct slm_cli_list on;
};

#define F(field) offsetof(struct look_args, field)
static const struct slm_cli_opt look_opts[] = {
    SLM_CLI_VALUE(OPT_LIST, 0, "on", F(on), "FILE", "a text to count tokens of"),
    SLM_CLI_GROUP(slm_cli_common_opts, F(common), "General"),
    SLM_CLI_END,
};
#undef F

/* What a tokenizer makes of the texts. */
struct counts {
    uint64_t bytes, words, tokens;
};

static int count_text(const slm_tokenizer *t, const struct slm_cli_buf *text, struct counts *n,
                      slm_err *err)
{
    slm_ids ids = {0};
    int code = slm_tokenizer_encode(t, text->n ? text->s : "", text->n, 0, &ids, err);
    bool in = false;
    n->bytes += text->n;
    n->tokens += ids.len;
    for (size_t i = 0; i < text->n; i++) {
        bool blank = strchr(" \t\r\n", text->s[i]) != NULL;
        n->words += !blank && !in;
        in = !blank;
    }
    slm_ids_release(&ids);
    return code;
}

static int count_all(const struct look_args *a, const slm_tokenizer *t, struct counts *n,
                     slm_err *err)
{
    int code = 0;
    for (int i = 0; i < a->on.n && !code; i++) {
        struct slm_cli_buf text = {0};
        code = slm_cli_read(&text, a->on.item[i], err);
        if (!code)
            code = count_text(t, &text, n, err);
        slm_cli_buf_free(&text);
    }
    return code;
}

static int type_count(const slm_tokenizer *t, int type)
{
    int n = 0;
    for (int i = 0; i < slm_tokenizer_size(t); i++)
        n += slm_tokenizer_type(t, i) == type;
    return n;
}

static void js_token(struct slm_cli_json *j, const char *key, const slm_tokenizer *t,
                     int32_t id)
{
    size_t n = 0;
    const char *s = id >= 0 ? slm_tokenizer_piece(t, id, &n) : NULL;
    slm_js_key(j, key);
    if (s)
        slm_js_str(j, s, n);
    else
        slm_js_raw(j, NULL);
}

static void js_tokenizer(struct slm_cli_json *j, const char *path, const slm_tokenizer *t,
                         const struct counts *n)
{
    slm_js_kstr(j, "path", path);
    slm_js_kstr(j, "kind", slm_tokenizer_kind(t));
    slm_js_kint(j, "ids", slm_tokenizer_size(t));
    slm_js_kint(j, "special", type_count(t, SLM_TOKEN_CONTROL));
    js_token(j, "bos", t, slm_tokenizer_bos(t));
    js_token(j, "eos", t, slm_tokenizer_eos(t));
    slm_js_key(j, "adds_bos");
    slm_js_bool(j, slm_tokenizer_adds_bos(t));
    slm_js_key(j, "adds_eos");
    slm_js_bool(j, slm_tokenizer_adds_eos(t));
    if (!n->bytes)
        return;
    slm_js_kint(j, "bytes", (int64_t)n->bytes);
    slm_js_kint(j, "words", (int64_t)n->words);
    slm_js_kint(j, "tokens", (int64_t)n->tokens);
    slm_js_kreal(j, "bytes_per_token", (double)n->bytes / (double)n->tokens);
    slm_js_kreal(j, "tokens_per_word", (double)n->tokens / (double)(n->words ? n->words : 1));
}

static const char *spelling(const slm_tokenizer *t, int32_t id, struct slm_cli_buf *b)
{
    size_t n = 0;
    const char *s = id >= 0 ? slm_tokenizer_piece(t, id, &n) : NULL;
    b->n = 0;
    if (!s)
        return "none";
    slm_js_quote(b, s, n);
    return b->s;
}

static void put_tokenizer(const char *path, const slm_tokenizer *t, const struct counts *n)
{
    struct slm_cli_buf b = {0};
    printf("%s: %s, %d ids (%d special)\n", path, slm_tokenizer_kind(t), slm_tokenizer_size(t),
           type_count(t, SLM_TOKEN_CONTROL));
    printf("  begins with %s%s", spelling(t, slm_tokenizer_bos(t), &b),
           slm_tokenizer_adds_bos(t) ? " (added)" : "");
    printf(", ends with %s%s\n", spelling(t, slm_tokenizer_eos(t), &b),
           slm_tokenizer_adds_eos(t) ? " (added)" : "");
    if (n->bytes)
        printf("  %llu tokens for %llu bytes: %.3f bytes a token, %.3f tokens a word\n",
               (unsigned long long)n->tokens, (unsigned long long)n->bytes,
               (double)n->bytes / (double)n->tokens,
               (double)n->tokens / (double)(n->words ? n->words : 1));
    slm_cli_buf_free(&b);
}

/* Pieces of a that b has too. */
static int shared(const slm_tokenizer *a, const slm_tokenizer *b)
{
    int n = 0;
    for (int32_t i = 0; i < slm_tokenizer_size(a); i++) {
        size_t len = 0;
        const char *s = slm_tokenizer_piece(a, i, &len);
        n += s && slm_tokenizer_find(b, s, len) >= 0;
    }
    return n;
}

static void both(struct slm_cli_json *j, const slm_tokenizer *const *t, const struct counts *n)
{
    int same = shared(t[0], t[1]);
    double ratio = n[0].tokens ? (double)n[1].tokens / (double)n[0].tokens : 0;
    if (j) {
        slm_js_kint(j, "shared", same);
        if (n[0].tokens)
            slm_js_kreal(j, "ratio", ratio);
        return;
    }
    printf("shared: %d pieces\n", same);
    if (n[0].tokens)
        printf("the second takes %.4f times the tokens of the first\n", ratio);
}

static int look(struct slm_cli *c, void *p, slm_err *err)
{
    const struct look_args *a = p;
    slm_tokenizer *t[2] = {NULL, NULL};
    struct counts n[2] = {{0}, {0}};
    struct slm_cli_json j = {.f = stdout};
    int code = slm_cli_runtime(c, err), many = c->words.n;
    for (int i = 0; i < many && !code; i++) {
        code = slm_tokenizer_open(&t[i], c->rt, c->words.v[i], err);
        if (!code)
            code = count_all(a, t[i], &n[i], err);
    }
    if (!code && a->common.json) {
        slm_js_open(&j, '{');
        if (many == 1)
            js_tokenizer(&j, c->words.v[0], t[0], &n[0]);
        for (int i = 0; i < many && many == 2; i++) {
            slm_js_key(&j, i ? "second" : "first");
            slm_js_open(&j, '{');
            js_tokenizer(&j, c->words.v[i], t[i], &n[i]);
            slm_js_close(&j, '}');
        }
        if (many == 2)
            both(&j, (const slm_tokenizer *const *)t, n);
        slm_js_close(&j, '}');
    } else if (!code) {
        for (int i = 0; i < many; i++)
            put_tokenizer(c->words.v[i], t[i], &n[i]);
        if (many == 2)
            both(NULL, (const slm_tokenizer *const *)t, n);
    }
    slm_tokenizer_close(&t[0]);
    slm_tokenizer_close(&t[1]);
    return code;
}

static const struct slm_cli_command cmd_show = {
    .name = "tokenizer show",
    .run = look,
    .args = "TOKENIZER",
    .summary = "what a tokenizer is, and how it does on a text",
    .about = "TOKENIZER is a model or a tokenizer by itself, in any form.",
    .examples = "slm tokenizer show model.gguf --on book.txt",
    .opts = look_opts,
    .size = sizeof(struct look_args),
};

static const struct slm_cli_command cmd_compare = {
    .name = "tokenizer compare",
    .run = look,
    .args = "A B",
    .summary = "two tokenizers on the same text",
    .about = "Shows both, how many pieces they share, and how many tokens each makes of the "
             "texts given with --on.",
    .examples = "slm tokenizer compare old.gguf new/tokenizer.json --on book.txt",
    .opts = look_opts,
    .size = sizeof(struct look_args),
};

static const struct slm_cli_command *const members[] = {&cmd_train, &cmd_show, &cmd_compare,
                                                        NULL};
extern const struct slm_cli_command slm_cmd_tokenizer;
const struct slm_cli_command slm_cmd_tokenizer = {
    .name = "tokenizer",
    .summary = "learn tokenizers from text, look at them, compare them",
    .about = "Tokenizers by themselves. Text through one: slm tokenize.",
    .sub = members,
};
