/* Which tokens end a generation, begin a text, and so on, where the file does not say: by their
 * spelling, which is how the families' files tell people apart from each other. */
#include "text/tok.h"

#include <string.h>

const char *const slm_tok_named_keys[SLM_TOK_NAMED] = {
    [SLM_TOK_BOS] = "bos_token_id",         [SLM_TOK_EOS] = "eos_token_id",
    [SLM_TOK_UNK] = "unknown_token_id",     [SLM_TOK_SEP] = "seperator_token_id",
    [SLM_TOK_PAD] = "padding_token_id",     [SLM_TOK_CLS] = "cls_token_id",
    [SLM_TOK_MASK] = "mask_token_id",       [SLM_TOK_EOT] = "eot_token_id",
    [SLM_TOK_EOM] = "eom_token_id",         [SLM_TOK_FIM_PRE] = "fim_pre_token_id",
    [SLM_TOK_FIM_SUF] = "fim_suf_token_id", [SLM_TOK_FIM_MID] = "fim_mid_token_id",
    [SLM_TOK_FIM_PAD] = "fim_pad_token_id", [SLM_TOK_FIM_REP] = "fim_rep_token_id",
    [SLM_TOK_FIM_SEP] = "fim_sep_token_id",
};

#define DEEPSEEK(x) "<\xEF\xBD\x9C" x "\xEF\xBD\x9C>"

struct spelling {
    enum slm_tok_named which;
    const char *s;
};

/* In order of preference for each name. */
static const struct spelling spellings[] = {
    {SLM_TOK_EOT, "<|eot_id|>"},
    {SLM_TOK_EOT, "<|im_end|>"},
    {SLM_TOK_EOT, "<|end|>"},
    {SLM_TOK_EOT, "<end_of_turn>"},
    {SLM_TOK_EOT, "<|eot|>"},
    {SLM_TOK_EOT, "<EOT>"},
    {SLM_TOK_EOT, "_<EOT>"},
    {SLM_TOK_EOT, "[EOT]"},
    {SLM_TOK_EOT, "<end_of_utterance>"},
    {SLM_TOK_EOT, "<|endoftext|>"},
    {SLM_TOK_EOT, "<|end_of_text|>"},
    {SLM_TOK_EOT, DEEPSEEK("end\xE2\x96\x81of\xE2\x96\x81sentence")},
    {SLM_TOK_EOM, "<|eom_id|>"},
    {SLM_TOK_EOM, "<|eom|>"},
    {SLM_TOK_FIM_PRE, "<|fim_prefix|>"},
    {SLM_TOK_FIM_PRE, "<fim-prefix>"},
    {SLM_TOK_FIM_PRE, "<fim_prefix>"},
    {SLM_TOK_FIM_PRE, DEEPSEEK("fim\xE2\x96\x81"
                               "begin")},
    {SLM_TOK_FIM_PRE, "<PRE>"},
    {SLM_TOK_FIM_PRE, SLM_MARK "<PRE>"},
    {SLM_TOK_FIM_SUF, "<|fim_suffix|>"},
    {SLM_TOK_FIM_SUF, "<fim-suffix>"},
    {SLM_TOK_FIM_SUF, "<fim_suffix>"},
    {SLM_TOK_FIM_SUF, DEEPSEEK("fim\xE2\x96\x81hole")},
    {SLM_TOK_FIM_SUF, "<SUF>"},
    {SLM_TOK_FIM_SUF, SLM_MARK "<SUF>"},
    {SLM_TOK_FIM_MID, "<|fim_middle|>"},
    {SLM_TOK_FIM_MID, "<fim-middle>"},
    {SLM_TOK_FIM_MID, "<fim_middle>"},
    {SLM_TOK_FIM_MID, DEEPSEEK("fim\xE2\x96\x81"
                               "end")},
    {SLM_TOK_FIM_MID, "<MID>"},
    {SLM_TOK_FIM_MID, SLM_MARK "<MID>"},
    {SLM_TOK_FIM_PAD, "<|fim_pad|>"},
    {SLM_TOK_FIM_PAD, "<fim-pad>"},
    {SLM_TOK_FIM_PAD, "<fim_pad>"},
    {SLM_TOK_FIM_PAD, "<PAD>"},
    {SLM_TOK_FIM_REP, "<|fim_repo|>"},
    {SLM_TOK_FIM_REP, "<|repo_name|>"},
    {SLM_TOK_FIM_REP, "<fim-repo>"},
    {SLM_TOK_FIM_REP, "<REPO>"},
    {SLM_TOK_FIM_REP, "<reponame>"},
    {SLM_TOK_FIM_SEP, "<|file_sep|>"},
};

static const char *const ends[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|eom_id|>",
    "<|eot|>",
    "<|eom|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "</s>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    DEEPSEEK("end\xE2\x96\x81of\xE2\x96\x81sentence"),
    "[e~[",
};

/* Special by type, or spelled so that nothing else makes sense. */
static int32_t special(const slm_tokenizer *t, const char *s)
{
    int32_t id = slm_tokenizer_find(t, s, strlen(s));
    if (id < 0)
        return -1;
    int type = t->type[id];
    return type == SLM_TOKEN_CONTROL || type == SLM_TOKEN_USER || type == SLM_TOKEN_UNKNOWN
               ? id
               : -1;
}

/* Where no file names them: what is put around a text, or the usual spellings. */
static void find_ends(slm_tokenizer *t)
{
    static const char *const begins[] = {"<|begin_of_text|>", "<bos>", "<s>"};
    static const char *const stops[] = {"<|end_of_text|>", "<eos>", "</s>", "<|endoftext|>",
                                        "<|im_end|>"};
    int32_t *bos = &t->named[SLM_TOK_BOS], *eos = &t->named[SLM_TOK_EOS];
    if (*bos < 0 && t->n_before)
        *bos = t->before[0];
    if (*eos < 0 && t->n_behind)
        *eos = t->behind[t->n_behind - 1];
    for (size_t i = 0; i < sizeof begins / sizeof *begins && *bos < 0; i++)
        *bos = special(t, begins[i]);
    for (size_t i = 0; i < sizeof stops / sizeof *stops && *eos < 0; i++)
        *eos = special(t, stops[i]);
}

void slm_tok_find_named(slm_tokenizer *t)
{
    if (t->source == FROM_JSON || t->source == FROM_VOCAB)
        find_ends(t);
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        int32_t *id = &t->named[spellings[i].which];
        if (*id < 0)
            *id = special(t, spellings[i].s);
    }
}

void slm_tok_mark_eog(slm_tokenizer *t, int64_t id)
{
    if (id >= 0 && id < t->n && t->piece[id].s)
        t->eog[id] = 1;
}

bool slm_tok_ends(const char *s, size_t n)
{
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        if (strlen(ends[i]) == n && !memcmp(ends[i], s, n))
            return true;
    }
    return false;
}

void slm_tok_find_eog(slm_tokenizer *t)
{
    static const enum slm_tok_named named[] = {
        SLM_TOK_EOS,     SLM_TOK_EOT,     SLM_TOK_EOM,
        SLM_TOK_FIM_PAD, SLM_TOK_FIM_REP, SLM_TOK_FIM_SEP,
    };
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        slm_tok_mark_eog(t, t->named[named[i]]);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        int32_t id = special(t, ends[i]);
        if (id >= 0 && (t->type[id] == SLM_TOKEN_CONTROL || strcmp(ends[i], "</s>")))
            slm_tok_mark_eog(t, id); /* a user-defined </s> is a tag of HTML */
    }
    /* Where these two end a message, <|end|> only ends a part of one. */
    int32_t end = special(t, "<|end|>");
    bool call = special(t, "<|call|>") >= 0 || special(t, "<|calls|>") >= 0;
    bool ret = special(t, "<|return|>") >= 0 || special(t, "<|flush|>") >= 0;
    if (end >= 0 && call && ret && t->named[SLM_TOK_EOS] != end)
        t->eog[end] = 0;
}
