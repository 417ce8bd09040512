/* A tokenizer from GGUF's keys. What a key that is absent means depends on the model: the
 * defaults here are those that files rely on. Byte-level vocabularies name their splitting
 * (`pre`); where the models themselves compose text first (NFC), so do we. */
#include "vocab/tok_spm.h"

#include <string.h>

void slm_tok_spec_init(struct slm_tok_spec *s)
{
    memset(s, 0, sizeof *s);
    for (int i = 0; i < SLM_TOK_NAMED; i++)
        s->id[i] = -1;
    s->add_bos = s->add_eos = s->add_sep = -1;
    s->add_space_prefix = s->remove_extra_whitespaces = s->escape_whitespaces = -1;
}

static bool on(signed char flag, bool otherwise) { return flag < 0 ? otherwise : flag > 0; }
static bool arch_is(const struct slm_tok_spec *s, const char *start)
{
    return s->arch && !strncmp(s->arch, start, strlen(start));
}

static int check(const slm_tokenizer *t, const struct slm_tok_spec *s, slm_err *err)
{
    if (!s->tokens || !s->n_tokens)
        return slm_fail(err, SLM_E_FORMAT, "%s: tokenizer.ggml.tokens: no tokens", t->name);
    if (s->scores && s->n_scores != s->n_tokens)
        return slm_fail(err, SLM_E_FORMAT, "%s: tokenizer.ggml.scores: %zu for %zu tokens",
                        t->name, s->n_scores, s->n_tokens);
    if (s->types && s->n_types != s->n_tokens)
        return slm_fail(err, SLM_E_FORMAT, "%s: tokenizer.ggml.token_type: %zu for %zu tokens",
                        t->name, s->n_types, s->n_tokens);
    for (int i = 0; i < SLM_TOK_NAMED; i++) {
        if (s->id[i] >= (int64_t)s->n_tokens || s->id[i] < -1)
            return slm_fail(err, SLM_E_FORMAT,
                            "%s: tokenizer.ggml.%s: %lld is outside of %zu tokens", t->name,
                            slm_tok_named_keys[i], (long long)s->id[i], s->n_tokens);
    }
    return 0;
}

static int copy_tables(slm_tokenizer *t, const struct slm_tok_spec *s, slm_err *err)
{
    int rc = slm_tok_tables(t, s->n_tokens, err);
    for (size_t i = 0; i < s->n_tokens && !rc; i++) {
        t->piece[i] = slm_tok_dup(t, s->tokens[i].s, s->tokens[i].n);
        if (!t->piece[i].s)
            rc = slm_fail_mem(err, "tokens", s->tokens[i].n);
        int32_t type = s->types ? s->types[i] : SLM_TOKEN_NORMAL;
        t->type[i] = (uint8_t)(type >= 1 && type <= 6 ? type : SLM_TOKEN_UNUSED);
        t->score[i] = s->scores && s->scores[i] == s->scores[i] ? s->scores[i] : 0;
        if (!t->piece[i].n)
            t->type[i] = SLM_TOKEN_UNUSED;
    }
    for (int i = 0; i < SLM_TOK_NAMED; i++)
        t->named[i] = (int32_t)s->id[i];
    return rc;
}

static void name_default(slm_tokenizer *t, enum slm_tok_named which, int32_t id)
{
    if (t->named[which] < 0 && id < t->n)
        t->named[which] = id;
}

/* Tokens of the given types as added tokens. */
static int add_types(slm_tokenizer *t, bool user_normalized, slm_err *err)
{
    for (int i = 0; i < t->n; i++) {
        int type = t->type[i];
        if (type != SLM_TOKEN_CONTROL && type != SLM_TOKEN_USER && type != SLM_TOKEN_UNKNOWN)
            continue;
        if (t->piece[i].n > 5 && !memcmp(t->piece[i].s, "[PAD", 4) && type != SLM_TOKEN_CONTROL)
            continue; /* rows without a token */
        struct added *a = slm_tok_add_added(t, t->piece[i].s, t->piece[i].n, i, err);
        if (!a)
            return SLM_E_NOMEM;
        a->special = type != SLM_TOKEN_USER;
        a->normalized = !a->special && user_normalized;
    }
    return 0;
}

/* --- gpt2 --- */

static int read_merges(slm_tokenizer *t, const struct slm_tok_spec *s, slm_err *err)
{
    if (!s->merges)
        return t->pre_name && !strcmp(t->pre_name, "kimi-k2")
                   ? slm_bpe_from_ranks(t, err)
                   : slm_fail(err, SLM_E_FORMAT, "%s: tokenizer.ggml.merges is missing",
                              t->name);
    if (s->n_merges > UINT32_MAX - 1)
        return slm_fail(err, SLM_E_LIMIT, "%s: %zu merges", t->name, s->n_merges);
    int rc = slm_bpe_begin(t, s->n_merges, err);
    for (size_t i = 0; i < s->n_merges && !rc; i++) {
        struct slm_tok_str m = s->merges[i];
        const char *p =
            m.n > 1 ? memchr(m.s + 1, ' ', m.n - 1) : NULL; /* a token may begin with a blank */
        if (!p || (memchr(p + 1, ' ', m.n - (size_t)(p + 1 - m.s)) && t->bpe.bytes))
            return slm_fail(err, SLM_E_FORMAT,
                            "%s: tokenizer.ggml.merges: entry %zu is no pair", t->name, i);
        struct slm_tok_str l = {m.s, (size_t)(p - m.s)},
                           r = {p + 1, m.n - (size_t)(p + 1 - m.s)};
        rc = slm_bpe_add_merge(t, l, r, (uint32_t)i, err);
    }
    return rc;
}

/* SentencePiece-like text in a gpt2 vocabulary (`pre` gemma4 and its kind). */
static int raw_steps(slm_tokenizer *t, slm_err *err)
{
    struct norm_step *st = slm_tok_add_norm(t, NORM_REPLACE);
    struct dec_step *a = slm_tok_add_dec(t, DEC_REPLACE),
                    *b = slm_tok_add_dec(t, DEC_BYTE_FALLBACK);
    if (!st || !a || !b)
        return slm_fail_mem(err, "a tokenizer", 0);
    st->a = a->b = (struct slm_tok_str){" ", 1};
    st->b = a->a = (struct slm_tok_str){SLM_MARK, SLM_MARK_LEN};
    t->bpe.bytes = false;
    t->bpe.byte_fallback = true;
    t->bpe.unk = t->named[SLM_TOK_UNK];
    for (int i = 0; i < 256; i++)
        t->bpe.fallback[i] = -1;
    for (int i = 0; i < t->n; i++) {
        int byte = slm_byte_piece(t->piece[i].s, t->piece[i].n);
        if (byte >= 0)
            t->bpe.fallback[byte] = i;
    }
    return 0;
}

/* Old files call all added tokens user-defined, those that end texts too. */
static void settle_types(slm_tokenizer *t)
{
    for (int i = 0; i < t->n; i++) {
        if (t->type[i] == SLM_TOKEN_USER && slm_tok_ends(t->piece[i].s, t->piece[i].n))
            t->type[i] = SLM_TOKEN_CONTROL;
    }
    for (int k = 0; k < SLM_TOK_EOT; k++) {
        int32_t id = t->named[k];
        if (id >= 0 && t->type[id] == SLM_TOKEN_USER)
            t->type[id] = SLM_TOKEN_CONTROL;
    }
}

static int open_gpt2(slm_tokenizer *t, const struct slm_tok_spec *s, slm_err *err)
{
    const char *pre = s->pre;
    if (!pre && !strcmp(s->model, "gemma4"))
        pre = "gemma4";
    const struct pre_row *row = slm_pre_find(pre ? pre : "gpt-2");
    if (!row)
        return slm_fail(err, SLM_E_UNSUPPORTED, "%s: tokenizer.ggml.pre: '%.60s' is not known",
                        t->name, pre);
    if (!pre)
        slm_log(t->rt, SLM_LOG_WARN,
                "%s: tokenizer.ggml.pre is missing: text is split as GPT-2 does", t->name);
    bool neox = arch_is(s, "stablelm") || arch_is(s, "gptneox");
    bool nfc = row->flags & PRE_ROW_NFC || (neox && (!pre || !strcmp(pre, "olmo")));
    t->pre_name = row->name;
    settle_types(t);
    t->bpe.ignore_merges = row->flags & PRE_ROW_IGNORE_MERGES;
    t->add_bos = on(s->add_bos, row->flags & PRE_ROW_ADD_BOS);
    t->add_eos =
        on(s->add_eos, false) || (row->flags & PRE_ROW_ADD_SEP && on(s->add_sep, true));
    if (nfc && !slm_tok_add_norm(t, NORM_NFC))
        return slm_fail_mem(err, "a tokenizer", 0);
    int n = 0, rc;
    while (row->patterns[n])
        n++;
    if (row->flags & PRE_ROW_RAW) {
        t->kind = MODEL_BPE;
        rc = raw_steps(t, err);
        rc = rc ? rc : slm_tok_raw_marks(t, err);
        rc = rc ? rc : slm_tok_add_pattern(t, row->patterns[0], strlen(row->patterns[0]), err);
    } else {
        rc = slm_tok_byte_level(t, row->patterns, n, err);
        rc = rc ? rc : slm_tok_raw_bytes(t, err);
        for (int i = 0; i < t->n; i++) { /* added tokens are spelled as they are */
            if (t->type[i] == SLM_TOKEN_USER || t->type[i] == SLM_TOKEN_CONTROL)
                t->raw[i] = t->piece[i];
        }
        rc = rc ? rc : slm_tok_index(t, true, err);
    }
    rc = rc ? rc : slm_tok_index(t, false, err);
    rc = rc ? rc : read_merges(t, s, err);
    if (!rc)
        slm_bpe_finish(t);
    return rc ? rc : add_types(t, neox, err);
}

/* --- llama (SentencePiece BPE) and t5 (unigram) --- */

/* Some converters write Gemma's user-defined pieces, which stand in front of the bytes, as
 * plain pieces of score 0. No merges lead to most of them, so they must be found as a whole. */
static void gemma_types(slm_tokenizer *t, const struct slm_tok_spec *s)
{
    if (!arch_is(s, "gemma"))
        return;
    for (int i = 0; i < t->n && t->type[i] != SLM_TOKEN_BYTE; i++) {
        if (t->type[i] == SLM_TOKEN_NORMAL && t->score[i] == 0 && t->piece[i].n)
            t->type[i] = SLM_TOKEN_USER;
    }
}

/* Phi-3's tokenizer eats white space behind all of its special tokens but these. */
static void phi3_strip(slm_tokenizer *t, const struct slm_tok_spec *s)
{
    static const char *const plain[] = {"<unk>", "<s>", "<|endoftext|>"};
    for (int i = 0; i < t->n_added && arch_is(s, "phi3"); i++) {
        struct added *a = &t->added[i];
        a->rstrip = true;
        for (int k = 0; k < 3; k++)
            a->rstrip &=
                a->text.n != strlen(plain[k]) || memcmp(a->text.s, plain[k], a->text.n) != 0;
    }
}

/* User-defined tokens part the text and get a mark behind them, where marks are put at all;
 * otherwise they are SentencePiece's own, found in normalised text. */
static int user_tokens(slm_tokenizer *t, bool dummy, slm_err *err)
{
    for (int i = 0; i < t->n && dummy; i++) {
        if (t->type[i] != SLM_TOKEN_USER ||
            memmem(t->piece[i].s, t->piece[i].n, SLM_MARK, SLM_MARK_LEN))
            continue;
        if (t->piece[i].n > 5 && !memcmp(t->piece[i].s, "[PAD", 4)) {
            t->type[i] = SLM_TOKEN_UNUSED;
            continue;
        }
        if (!slm_tok_add_added(t, t->piece[i].s, t->piece[i].n, i, err))
            return SLM_E_NOMEM;
        t->type[i] = 0; /* not the model's, for now */
    }
    return 0;
}

static int open_spm(slm_tokenizer *t, const struct slm_tok_spec *s, bool unigram, slm_err *err)
{
    bool dummy = on(s->add_space_prefix, !unigram);
    struct norm_step *st = slm_tok_add_norm(t, NORM_SPM);
    if (!st)
        return slm_fail_mem(err, "a tokenizer", 0);
    st->dummy_prefix = dummy;
    st->extra_spaces = on(s->remove_extra_whitespaces, false) && unigram;
    st->escape = on(s->escape_whitespaces, true);
    name_default(t, SLM_TOK_UNK, unigram ? 2 : 0);
    name_default(t, SLM_TOK_EOS, unigram ? 1 : 2);
    if (!unigram)
        name_default(t, SLM_TOK_BOS, 1);
    t->add_bos = on(s->add_bos, !unigram);
    t->add_eos = on(s->add_eos, unigram);
    t->mark_after_special = true;
    int rc = 0;
    if (s->charsmap && s->n_charsmap) {
        st->map = slm_arena_alloc(&t->arena, sizeof *st->map);
        rc = st->map ? slm_charsmap_init(st->map, &t->arena, s->charsmap, s->n_charsmap,
                                         t->name, err)
                     : slm_fail_mem(err, "a charsmap", s->n_charsmap);
    }
    gemma_types(t, s);
    rc = rc ? rc : user_tokens(t, dummy && !unigram, err);
    bool bytes = false;
    for (int i = 0; i < t->n; i++)
        bytes |= t->type[i] == SLM_TOKEN_BYTE;
    rc = rc ? rc : slm_tok_spm_model(t, unigram, bytes, err);
    for (int i = 0; i < t->n_added && !rc; i++)
        t->type[t->added[i].id] = SLM_TOKEN_USER;
    rc = rc ? rc : slm_tok_spm_added(t, err);
    phi3_strip(t, s);
    return rc ? rc : slm_tok_spm_decoder(t, dummy, st->extra_spaces, err);
}

/* --- bert --- */

/* GGUF marks the starts of words and leaves continuations bare; WordPiece does the opposite. */
static int bert_pieces(slm_tokenizer *t, slm_err *err)
{
    for (int i = 0; i < t->n; i++) {
        struct slm_tok_str p = t->piece[i];
        bool named =
            t->type[i] != SLM_TOKEN_NORMAL || (p.n > 2 && p.s[0] == '[' && p.s[p.n - 1] == ']');
        if (named || !p.n)
            continue;
        if (p.n > SLM_MARK_LEN && !memcmp(p.s, SLM_MARK, SLM_MARK_LEN)) {
            t->piece[i] = (struct slm_tok_str){p.s + SLM_MARK_LEN, p.n - SLM_MARK_LEN};
            continue;
        }
        char *s = slm_arena_alloc(&t->arena, p.n + 3);
        if (!s)
            return slm_fail_mem(err, "tokens", p.n);
        memcpy(s, "##", 2);
        memcpy(s + 2, p.s, p.n);
        t->piece[i] = (struct slm_tok_str){s, p.n + 2};
    }
    return 0;
}

static int open_bert(slm_tokenizer *t, const struct slm_tok_spec *s, slm_err *err)
{
    struct norm_step *st = slm_tok_add_norm(t, NORM_BERT);
    struct dec_step *d = slm_tok_add_dec(t, DEC_WORDPIECE);
    if (!st || !d || !slm_tok_add_pre(t, PRE_BERT))
        return slm_fail_mem(err, "a tokenizer", 0);
    st->clean = st->chinese = st->lower = st->accents = true;
    d->a = t->wp.prefix = (struct slm_tok_str){"##", 2};
    t->kind = MODEL_WORDPIECE;
    t->wp.max_chars = 100;
    int rc = bert_pieces(t, err);
    rc = rc ? rc : slm_tok_raw_marks(t, err);
    rc = rc ? rc : slm_tok_index(t, false, err);
    name_default(t, SLM_TOK_UNK, 100);
    name_default(t, SLM_TOK_SEP, 102);
    if (t->named[SLM_TOK_CLS] < 0)
        t->named[SLM_TOK_CLS] = t->named[SLM_TOK_BOS];
    name_default(t, SLM_TOK_CLS, 101);
    t->wp.unk = t->named[SLM_TOK_UNK];
    if (t->wp.unk >= 0)
        t->type[t->wp.unk] = SLM_TOKEN_UNKNOWN;
    if (!rc && (t->wp.unk < 0 || t->named[SLM_TOK_CLS] < 0 || t->named[SLM_TOK_SEP] < 0))
        rc = slm_fail(err, SLM_E_FORMAT, "%s: no unknown, separator or class token", t->name);
    for (int i = 0; i < t->n; i++)
        t->wp.longest = t->piece[i].n > t->wp.longest ? t->piece[i].n : t->wp.longest;
    if (rc)
        return rc;
    t->add_bos = on(s->add_bos, true);
    t->add_eos = on(s->add_sep, on(s->add_eos, true));
    slm_tok_affixes(t, &t->named[SLM_TOK_CLS], t->add_bos, &t->named[SLM_TOK_SEP], t->add_eos);
    return t->before ? add_types(t, false, err) : slm_fail_mem(err, "a tokenizer", 0);
}

static int open_model(slm_tokenizer *t, const struct slm_tok_spec *s, slm_err *err)
{
    if (!s->model)
        return slm_fail(err, SLM_E_FORMAT, "%s: tokenizer.ggml.model is missing", t->name);
    int rc = check(t, s, err);
    rc = rc ? rc : copy_tables(t, s, err);
    if (rc)
        return rc;
    if (!strcmp(s->model, "llama"))
        return open_spm(t, s, false, err);
    if (!strcmp(s->model, "t5"))
        return open_spm(t, s, true, err);
    if (!strcmp(s->model, "gpt2") || !strcmp(s->model, "gemma4"))
        return open_gpt2(t, s, err);
    if (!strcmp(s->model, "bert"))
        return open_bert(t, s, err);
    return slm_fail(err, SLM_E_UNSUPPORTED,
                    "%s: tokenizer.ggml.model: '%.60s' is not supported", t->name, s->model);
}

int slm_tok_new_gguf(slm_tokenizer **out, slm_runtime *rt, const struct slm_tok_spec *spec,
                     slm_err *err)
{
    slm_tokenizer *t = NULL;
    int rc = slm_tok_begin(&t, rt, spec->name, err);
    if (!rc)
        t->source = FROM_GGUF;
    rc = rc ? rc : open_model(t, spec, err);
    rc = rc ? rc : slm_tok_finish(t, err);
    if (rc && t)
        slm_tokenizer_close(&t);
    *out = t;
    return rc;
}
