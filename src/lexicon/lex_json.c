/* What was learnt as the text of a tokenizer.json: the steps around the model are those by
 * which the words were cut, so that reading gives back the words that were learnt from. */
#include "lexicon/lexicon_room.h"

#include <string.h>

static const char *yes(bool x) { return x ? "true" : "false"; }

static void put_added(struct slm_buf *b, const slm_lexicon_opts *o)
{
    slm_buf_puts(b, "\"added_tokens\":[");
    for (int i = 0; i < o->n_special; i++) {
        slm_buf_printf(b, "%s\n{\"id\":%d,\"content\":", i ? "," : "", i);
        slm_buf_put_json(b, o->special[i], strlen(o->special[i]));
        slm_buf_puts(b, ",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
                        "\"normalized\":false,\"special\":true}");
    }
    slm_buf_puts(b, "],\n");
}

static void put_bytes_steps(struct slm_buf *b, const slm_lexicon_opts *o)
{
    const char *pattern = slm_lex_pattern(o);
    bool gpt2 = !strcmp(pattern, slm_pattern_gpt2);
    slm_buf_puts(b, "\"normalizer\":null,\n\"pre_tokenizer\":");
    if (!gpt2) {
        slm_buf_puts(b, "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\","
                        "\"pattern\":{\"Regex\":");
        slm_buf_put_json(b, pattern, strlen(pattern));
        slm_buf_puts(b, "},\"behavior\":\"Isolated\",\"invert\":false},");
    }
    slm_buf_printf(b,
                   "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,"
                   "\"use_regex\":%s}%s,\n",
                   yes(gpt2), gpt2 ? "" : "]}");
    slm_buf_puts(b, "\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,"
                    "\"trim_offsets\":true,\"use_regex\":true},\n");
}

static void put_mark_steps(struct slm_buf *b, const slm_lexicon_opts *o)
{
    slm_buf_puts(b, "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":"
                    "\"Prepend\",\"prepend\":\"" SLM_MARK "\"},{\"type\":\"Replace\","
                    "\"pattern\":{\"String\":\" \"},\"content\":\"" SLM_MARK "\"}]},\n"
                    "\"pre_tokenizer\":null,\n\"decoder\":{\"type\":\"Sequence\","
                    "\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"" SLM_MARK
                    "\"},\"content\":\" \"},");
    if (o->byte_fallback)
        slm_buf_puts(b, "{\"type\":\"ByteFallback\"},");
    slm_buf_puts(b, "{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\" \",\"start\":1,"
                    "\"stop\":0}]},\n");
}

static void put_token(struct slm_buf *b, const char *s)
{
    slm_buf_puts(b, "{\"SpecialToken\":{\"id\":");
    slm_buf_put_json(b, s, strlen(s));
    slm_buf_puts(b, ",\"type_id\":0}}");
}

static void put_known(struct slm_buf *b, const slm_lexicon_opts *o, const char *s)
{
    int id = 0;
    while (strcmp(o->special[id], s) != 0)
        id++;
    slm_buf_put_json(b, s, strlen(s));
    slm_buf_puts(b, ":{\"id\":");
    slm_buf_put_json(b, s, strlen(s));
    slm_buf_printf(b, ",\"ids\":[%d],\"tokens\":[", id);
    slm_buf_put_json(b, s, strlen(s));
    slm_buf_puts(b, "]}");
}

static void put_post(struct slm_buf *b, const slm_lexicon_opts *o)
{
    if (!o->add_bos && !o->add_eos) {
        slm_buf_puts(b, "\"post_processor\":null,\n");
        return;
    }
    slm_buf_puts(b, "\"post_processor\":{\"type\":\"TemplateProcessing\",");
    for (int pair = 0; pair < 2; pair++) {
        slm_buf_puts(b, pair ? ",\"pair\":[" : "\"single\":[");
        if (o->add_bos) {
            put_token(b, o->bos);
            slm_buf_puts(b, ",");
        }
        slm_buf_puts(b, "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}");
        if (pair)
            slm_buf_puts(b, ",{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}");
        if (o->add_eos) {
            slm_buf_puts(b, ",");
            put_token(b, o->eos);
        }
        slm_buf_puts(b, "]");
    }
    slm_buf_puts(b, ",\"special_tokens\":{");
    if (o->add_bos)
        put_known(b, o, o->bos);
    if (o->add_eos && !(o->add_bos && !strcmp(o->bos, o->eos))) {
        slm_buf_puts(b, o->add_bos ? "," : "");
        put_known(b, o, o->eos);
    }
    slm_buf_puts(b, "}},\n");
}

/* Byte-level pieces are written in the alphabet of characters that stand for bytes. */
static void put_piece(struct slm_buf *b, struct slm_buf *tmp, const struct lex_vocab *v,
                      size_t i, bool bytes)
{
    struct slm_tok_str s = v->piece[i];
    if (bytes && i >= (size_t)v->first) {
        slm_buf_reset(tmp);
        slm_bytes_to_chars(tmp, s.s, s.n);
        s = (struct slm_tok_str){tmp->s, tmp->n};
    }
    slm_buf_put_json(b, s.s, s.n);
}

static void put_bpe(struct slm_buf *b, struct slm_buf *tmp, const struct lex_vocab *v,
                    const slm_lexicon_opts *o)
{
    bool bytes = !o->byte_fallback;
    slm_buf_puts(b, "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":");
    if (!bytes)
        slm_buf_put_json(b, o->unk, strlen(o->unk));
    else
        slm_buf_puts(b, "null");
    slm_buf_printf(b,
                   ",\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,"
                   "\"fuse_unk\":%s,\"byte_fallback\":%s,\"ignore_merges\":false,\"vocab\":{",
                   yes(!bytes), yes(!bytes));
    for (size_t i = 0; i < v->n; i++) {
        slm_buf_puts(b, i ? ",\n" : "");
        put_piece(b, tmp, v, i, bytes);
        slm_buf_printf(b, ":%zu", i);
    }
    slm_buf_puts(b, "},\n\"merges\":[");
    for (size_t i = 0; i < v->n_merges; i++) {
        slm_buf_puts(b, i ? ",\n[" : "[");
        put_piece(b, tmp, v, (size_t)v->merge[i].left, bytes);
        slm_buf_puts(b, ",");
        put_piece(b, tmp, v, (size_t)v->merge[i].right, bytes);
        slm_buf_puts(b, "]");
    }
    slm_buf_puts(b, "]}}\n");
}

static void put_unigram(struct slm_buf *b, const struct lex_vocab *v, const slm_lexicon_opts *o)
{
    int unk = 0;
    while (strcmp(o->special[unk], o->unk) != 0)
        unk++;
    slm_buf_printf(
        b, "\"model\":{\"type\":\"Unigram\",\"unk_id\":%d,\"byte_fallback\":%s,\"vocab\":[",
        unk, yes(o->byte_fallback));
    for (size_t i = 0; i < v->n; i++) {
        slm_buf_puts(b, i ? ",\n[" : "[");
        slm_buf_put_json(b, v->piece[i].s, v->piece[i].n);
        slm_buf_printf(b, ",%.17g]", v->score[i]);
    }
    slm_buf_puts(b, "]}}\n");
}

int slm_lex_json(struct slm_buf *b, const struct lex_vocab *v, const slm_lexicon_opts *o,
                 slm_err *err)
{
    struct slm_buf tmp;
    slm_buf_init(&tmp, b->rt, SLM_MEM_TEXT, SIZE_MAX / 4);
    slm_buf_puts(b, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\n");
    put_added(b, o);
    if (o->kind == SLM_LEXICON_BPE && !o->byte_fallback)
        put_bytes_steps(b, o);
    else
        put_mark_steps(b, o);
    put_post(b, o);
    if (o->kind == SLM_LEXICON_BPE)
        put_bpe(b, &tmp, v, o);
    else
        put_unigram(b, v, o);
    int rc = slm_buf_check(&tmp, "tokenizer.json", err);
    slm_buf_release(&tmp);
    return rc ? rc : slm_buf_check(b, "tokenizer.json", err);
}
