/* A tokenizer as tokenizer.json (and the tokenizer_config.json beside it): the original text
 * where there is one, else the pipeline that gives the same ids, built from the same steps. */
#include "vocab/tok_export.h"

#include <string.h>

static void str(struct slm_buf *b, struct slm_tok_str s) { slm_buf_put_json(b, s.s, s.n); }
static const char *yes(bool x) { return x ? "true" : "false"; }

static void put_token(struct slm_buf *b, const char *sep, int id, struct slm_tok_str text,
                      const struct added *a)
{
    slm_buf_printf(b, "%s\n{\"id\":%d,\"content\":", sep, id);
    str(b, text);
    slm_buf_printf(b,
                   ",\"single_word\":%s,\"lstrip\":%s,\"rstrip\":%s,\"normalized\":%s,"
                   "\"special\":%s}",
                   yes(a && a->single_word), yes(a && a->lstrip), yes(a && a->rstrip),
                   yes(a && a->normalized), yes(a && a->special));
}

static int put_added(const slm_tokenizer *t, struct slm_buf *b, slm_err *err)
{
    const char *sep = "";
    const struct added **by_id = slm_zalloc_n(t->rt, SLM_MEM_TEXT, (size_t)t->n, sizeof *by_id);
    if (!by_id)
        return slm_fail_mem(err, "added tokens", (size_t)t->n);
    for (int k = 0; k < t->n_added; k++)
        by_id[t->added[k].id] = &t->added[k];
    slm_buf_puts(b, "\"added_tokens\":[");
    for (int i = 0; i < t->n; i++) {
        const struct added *a = by_id[i];
        if (!a && !(t->type[i] == SLM_TOKEN_USER && t->has_user))
            continue;
        put_token(b, sep, i, a ? a->text : t->piece[i], a);
        sep = ",";
    }
    slm_buf_puts(b, "],\n");
    slm_free(t->rt, by_id);
    return 0;
}

static void put_base64(struct slm_buf *b, const uint8_t *s, size_t n)
{
    static const char set[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t w = (uint32_t)s[i] << 16 | (i + 1 < n ? (uint32_t)s[i + 1] << 8 : 0) |
                     (i + 2 < n ? s[i + 2] : 0);
        char c[4] = {set[w >> 18], set[w >> 12 & 63], i + 1 < n ? set[w >> 6 & 63] : '=',
                     i + 2 < n ? set[w & 63] : '='};
        slm_buf_put(b, c, 4);
    }
}

/* Marks for blanks, with the map and the trimming before them where the source has those. */
static void put_norm_marks(const slm_tokenizer *t, struct slm_buf *b)
{
    const struct charsmap *map = slm_tok_map(t);
    slm_buf_puts(b, "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[");
    if (map) {
        slm_buf_puts(b, "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"");
        put_base64(b, map->blob, map->n_blob);
        slm_buf_puts(b, "\"},");
    }
    if (slm_tok_trims(t))
        slm_buf_puts(
            b, "{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true},"
               "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" {2,}\"},\"content\":\" \"},");
    if (slm_tok_marks_front(t))
        slm_buf_puts(b, "{\"type\":\"Prepend\",\"prepend\":\"" SLM_MARK "\"},");
    slm_buf_puts(b,
                 "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" SLM_MARK
                 "\"}]},\n\"pre_tokenizer\":null,\n");
}

static void put_dec_marks(const slm_tokenizer *t, struct slm_buf *b)
{
    slm_buf_puts(
        b, "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":"
           "{\"String\":\"" SLM_MARK "\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},"
           "{\"type\":\"Fuse\"}");
    if (slm_tok_marks_front(t))
        slm_buf_puts(b, ",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}");
    slm_buf_puts(b, "]},\n");
}

static void put_bytes_steps(const slm_tokenizer *t, struct slm_buf *b)
{
    bool nfc = t->n_norm && t->norm[0].kind == NORM_NFC;
    slm_buf_puts(b, nfc ? "\"normalizer\":{\"type\":\"NFC\"},\n" : "\"normalizer\":null,\n");
    slm_buf_puts(b, "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[");
    for (int i = 0; i < t->n_pre; i++) {
        const struct pre_step *s = &t->pre[i];
        if (s->kind == PRE_DIGITS) {
            slm_buf_puts(b, "{\"type\":\"Digits\",\"individual_digits\":true},");
        } else if (s->kind == PRE_SPLIT) {
            slm_buf_puts(b, "{\"type\":\"Split\",\"pattern\":{\"Regex\":");
            str(b, s->str);
            slm_buf_puts(b, "},\"behavior\":\"Isolated\",\"invert\":false},");
        }
    }
    slm_buf_puts(
        b, "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,"
           "\"use_regex\":false}]},\n\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":"
           "true,\"trim_offsets\":true,\"use_regex\":true},\n");
}

static void put_affix(const slm_tokenizer *t, struct slm_buf *b, const int32_t *ids, int n,
                      const char *sep)
{
    for (int i = 0; i < n; i++) {
        slm_buf_puts(b, i ? "," : sep);
        slm_buf_puts(b, "{\"SpecialToken\":{\"id\":");
        str(b, t->piece[ids[i]]);
        slm_buf_puts(b, ",\"type_id\":0}}");
    }
}

static void put_post(const slm_tokenizer *t, struct slm_buf *b)
{
    if (!t->n_before && !t->n_behind) {
        slm_buf_puts(b, "\"post_processor\":null,\n");
        return;
    }
    for (int pair = 0; pair < 2; pair++) {
        slm_buf_puts(b,
                     pair ? ",\"pair\":["
                          : "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[");
        put_affix(t, b, t->before, t->n_before, "");
        slm_buf_puts(b, t->n_before ? "," : "");
        slm_buf_puts(b, "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}");
        if (pair)
            slm_buf_puts(b, ",{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}");
        put_affix(t, b, t->behind, t->n_behind, ",");
        slm_buf_puts(b, "]");
    }
    slm_buf_puts(b, ",\"special_tokens\":{");
    for (int i = 0; i < t->n_before + t->n_behind; i++) {
        int32_t id = i < t->n_before ? t->before[i] : t->behind[i - t->n_before];
        bool again = false;
        for (int k = 0; k < i; k++)
            again |= id == (k < t->n_before ? t->before[k] : t->behind[k - t->n_before]);
        if (again)
            continue;
        slm_buf_puts(b, i ? "," : "");
        str(b, t->piece[id]);
        slm_buf_puts(b, ":{\"id\":");
        str(b, t->piece[id]);
        slm_buf_printf(b, ",\"ids\":[%d],\"tokens\":[", (int)id);
        str(b, t->piece[id]);
        slm_buf_puts(b, "]}");
    }
    slm_buf_puts(b, "}},\n");
}

/* Does the file keep the id of a token only if the model has it? Added tokens that are not the
 * model's are numbered on behind the last one, so only those at the very end may be left out.
 */
static int vocab_end(const slm_tokenizer *t)
{
    int end = 0;
    for (int i = 0; i < t->n; i++) {
        if (!t->piece[i].s)
            return t->n;
        if (t->type[i] == SLM_TOKEN_NORMAL || t->type[i] == SLM_TOKEN_BYTE || !t->bpe.bytes)
            end = i + 1;
    }
    return end;
}

static void put_vocab(const slm_tokenizer *t, struct slm_buf *b)
{
    const char *sep = "";
    int end = vocab_end(t);
    slm_buf_puts(b, "\"vocab\":{");
    for (int i = 0; i < end; i++) {
        if (!t->piece[i].s)
            continue;
        slm_buf_puts(b, sep);
        str(b, t->piece[i]);
        slm_buf_printf(b, ":%d", i);
        sep = ",\n";
    }
    slm_buf_puts(b, "}");
}

static int put_bpe(const slm_tokenizer *t, struct slm_buf *b, slm_err *err)
{
    struct slm_arena a;
    struct merge *m;
    size_t n = 0;
    bool spm = !t->bpe.bytes;
    slm_arena_init(&a, t->rt, SLM_MEM_TEXT);
    int rc = slm_tok_merges(t, &a, &m, &n, err);
    slm_buf_puts(b, "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":");
    if (spm && t->bpe.unk >= 0)
        str(b, t->piece[t->bpe.unk]);
    else
        slm_buf_puts(b, "null");
    slm_buf_printf(
        b,
        ",\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":%s,"
        "\"byte_fallback\":%s,\"ignore_merges\":%s,",
        yes(spm), yes(spm && t->bpe.byte_fallback), yes(t->bpe.ignore_merges));
    put_vocab(t, b);
    slm_buf_puts(b, ",\n\"merges\":[");
    for (size_t i = 0; i < n && !rc; i++) {
        slm_buf_puts(b, i ? ",\n[" : "[");
        str(b, t->piece[m[i].left]);
        slm_buf_puts(b, ",");
        str(b, t->piece[m[i].right]);
        slm_buf_puts(b, "]");
    }
    slm_buf_puts(b, "]}}\n");
    slm_arena_release(&a);
    return rc;
}

static void put_unigram(const slm_tokenizer *t, struct slm_buf *b)
{
    slm_buf_printf(
        b, "\"model\":{\"type\":\"Unigram\",\"unk_id\":%d,\"byte_fallback\":%s,\"vocab\":[",
        (int)t->uni.unk, yes(t->uni.byte_fallback));
    for (int i = 0; i < t->n; i++) {
        slm_buf_puts(b, i ? ",\n[" : "[");
        str(b, t->piece[i].s ? t->piece[i] : (struct slm_tok_str){"", 0});
        slm_buf_printf(b, ",%.9g]", (double)t->score[i]);
    }
    slm_buf_puts(b, "]}}\n");
}

static void put_wordpiece(const slm_tokenizer *t, struct slm_buf *b)
{
    slm_buf_puts(b,
                 "\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,"
                 "\"handle_chinese_chars\":true,\"strip_accents\":null,\"lowercase\":true},\n"
                 "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\n\"decoder\":{\"type\":"
                 "\"WordPiece\","
                 "\"prefix\":\"##\",\"cleanup\":false},\n\"model\":{\"type\":\"WordPiece\","
                 "\"unk_token\":");
    str(b, t->piece[t->wp.unk]);
    slm_buf_printf(b, ",\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":%d,",
                   t->wp.max_chars);
    put_vocab(t, b);
    slm_buf_puts(b, "}}\n");
}

int slm_tok_export_json(const slm_tokenizer *t, struct slm_buf *out, slm_err *err)
{
    if (t->json.s) {
        slm_buf_put(out, t->json.s, t->json.n);
        return slm_buf_check(out, "tokenizer.json", err);
    }
    bool bytes = t->kind == MODEL_BPE && t->bpe.bytes,
         marks = slm_tok_is_spm(t) || t->kind == MODEL_UNIGRAM;
    if (!bytes && !marks && t->kind != MODEL_WORDPIECE)
        return slm_fail(err, SLM_E_UNSUPPORTED,
                        "%s: a tokenizer.json of this kind cannot be written", t->name);
    int rc = 0;
    slm_buf_puts(out, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\n");
    rc = put_added(t, out, err);
    put_post(t, out);
    if (bytes) {
        put_bytes_steps(t, out);
    } else if (marks) {
        put_norm_marks(t, out);
        put_dec_marks(t, out);
    }
    if (t->kind == MODEL_BPE)
        rc = rc ? rc : put_bpe(t, out, err);
    else if (t->kind == MODEL_UNIGRAM)
        put_unigram(t, out);
    else
        put_wordpiece(t, out);
    return rc ? rc : slm_buf_check(out, "tokenizer.json", err);
}

int slm_tok_export_config(const slm_tokenizer *t, const char *chat_template,
                          struct slm_buf *out, slm_err *err)
{
    static const struct {
        const char *key;
        enum slm_tok_named which;
    } keys[] = {
        {"bos_token", SLM_TOK_BOS},   {"eos_token", SLM_TOK_EOS}, {"unk_token", SLM_TOK_UNK},
        {"pad_token", SLM_TOK_PAD},   {"sep_token", SLM_TOK_SEP}, {"cls_token", SLM_TOK_CLS},
        {"mask_token", SLM_TOK_MASK},
    };
    slm_buf_printf(out, "{\n  \"add_bos_token\": %s,\n  \"add_eos_token\": %s,\n",
                   yes(t->n_before > 0), yes(t->n_behind > 0));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int32_t id = t->named[keys[i].which];
        if (id < 0 || !t->piece[id].s)
            continue;
        slm_buf_printf(out, "  \"%s\": ", keys[i].key);
        str(out, t->piece[id]);
        slm_buf_puts(out, ",\n");
    }
    if (chat_template) {
        slm_buf_puts(out, "  \"chat_template\": ");
        slm_buf_put_json(out, chat_template, strlen(chat_template));
        slm_buf_puts(out, ",\n");
    }
    slm_buf_puts(out, "  \"clean_up_tokenization_spaces\": false,\n"
                      "  \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}\n");
    return slm_buf_check(out, "tokenizer_config.json", err);
}
