/* Ids back to text, as a stream: each id goes through the decoder steps and what is certain
 * comes out at once. Steps hold back only what a later id may still change: bytes of a
 * character that is not yet whole, blanks that a strip at the end may take, a suffix's blank.
 *
 * Decoding a whole list is the same stream fed and flushed, so both always agree. */
#include "text/tok.h"

#include <string.h>

struct dec_state {
    bool started; /* a token has come through */
    int cut;      /* strip: characters taken at the start */
    struct slm_buf held;
};

struct slm_detok {
    const slm_tokenizer *t;
    bool keep; /* special tokens are spelled out */
    slm_text *out;
    slm_err *err;
    struct dec_state step[SLM_DEC_MAX];
    struct slm_buf text[SLM_DEC_MAX + 1]; /* what a step makes of one token */
};

static int push(struct slm_detok *d, int k, const char *s, size_t n);

static int emit(struct slm_detok *d, int k, struct slm_buf *b)
{
    int rc = slm_buf_check(b, "decoded text", d->err);
    return rc ? rc : push(d, k + 1, b->s, b->n);
}

/* Passes on the whole characters of what is held; the start of one that is not whole stays.
 * With `one` each bad byte is a U+FFFD of its own, else each maximal bad part is. */
static int pass_whole(struct slm_detok *d, int k, bool one, bool all)
{
    struct slm_buf *held = &d->step[k].held, *b = &d->text[k];
    size_t keep = all ? 0 : slm_utf8_partial(held->s, held->n), n = held->n - keep;
    int rc = slm_buf_check(held, "decoded text", d->err);
    if (rc || !n)
        return rc;
    slm_buf_reset(b);
    for (size_t i = 0; i < n;) {
        int32_t cp;
        size_t len = (size_t)slm_utf8_next(held->s + i, n - i, &cp);
        if (cp >= 0) {
            slm_buf_put(b, held->s + i, len);
        } else {
            for (size_t j = 0; j < (one ? len : 1); j++)
                slm_buf_puts(b, "\xEF\xBF\xBD");
        }
        i += len;
    }
    memmove(held->s, held->s + n, keep);
    held->n = keep;
    return emit(d, k, b);
}

static void replace_all(struct slm_buf *b, const char *s, size_t n, struct slm_tok_str what,
                        const char *by, size_t by_n)
{
    size_t from = 0;
    const char *p;
    while (what.n && n - from >= what.n && (p = memmem(s + from, n - from, what.s, what.n))) {
        slm_buf_put(b, s + from, (size_t)(p - s) - from);
        slm_buf_put(b, by, by_n);
        from = (size_t)(p - s) + what.n;
    }
    slm_buf_put(b, s + from, n - from);
}

/* Joined text (behind Fuse): blanks at the start go by count; at the end as many are held
 * back. */
static int strip_stream(struct slm_detok *d, int k, const char *s, size_t n)
{
    const struct dec_step *st = &d->t->dec[k];
    struct dec_state *x = &d->step[k];
    struct slm_buf *b = &d->text[k];
    size_t w = st->a.n;
    while (x->cut < st->start && n >= w && !memcmp(s, st->a.s, w)) {
        s += w;
        n -= w;
        x->cut++;
    }
    if (n)
        x->cut = st->start;
    slm_buf_reset(b);
    slm_buf_put(b, x->held.s, x->held.n);
    slm_buf_put(b, s, n);
    size_t tail = 0;
    for (int i = 0;
         i < st->stop && b->n - tail >= w && !memcmp(b->s + b->n - tail - w, st->a.s, w); i++)
        tail += w;
    slm_buf_reset(&x->held);
    slm_buf_put(&x->held, b->s + b->n - tail, tail);
    b->n -= tail;
    return emit(d, k, b);
}

/* The same on one token alone. */
static int strip_token(struct slm_detok *d, int k, const char *s, size_t n)
{
    const struct dec_step *st = &d->t->dec[k];
    size_t w = st->a.n;
    for (int i = 0; i < st->start && n >= w && !memcmp(s, st->a.s, w); i++) {
        s += w;
        n -= w;
    }
    for (int i = 0; i < st->stop && n >= w && !memcmp(s + n - w, st->a.s, w); i++)
        n -= w;
    return push(d, k + 1, s, n);
}

static bool fused_before(const slm_tokenizer *t, int k)
{
    for (int i = 0; i < k; i++) {
        if (t->dec[i].kind == DEC_FUSE || t->dec[i].kind == DEC_BYTES)
            return true;
    }
    return false;
}

/* A blank goes in front of what English puts none before. */
static void cleanup(struct slm_buf *b, struct slm_buf *tmp)
{
    static const char *const pairs[][2] = {
        {" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
        {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
        {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct slm_tok_str what = {pairs[i][0], strlen(pairs[i][0])};
        slm_buf_reset(tmp);
        replace_all(tmp, b->s, b->n, what, pairs[i][1], strlen(pairs[i][1]));
        slm_buf_reset(b);
        slm_buf_put(b, tmp->s, tmp->n);
    }
}

static int wordpiece(struct slm_detok *d, int k, const char *s, size_t n)
{
    const struct dec_step *st = &d->t->dec[k];
    struct slm_buf *b = &d->text[k];
    bool inside = n >= st->a.n && !memcmp(s, st->a.s, st->a.n);
    slm_buf_reset(b);
    if (d->step[k].started && !inside)
        slm_buf_putc(b, ' ');
    if (d->step[k].started && inside)
        slm_buf_put(b, s + st->a.n, n - st->a.n);
    else
        slm_buf_put(b, s, n);
    d->step[k].started = true;
    if (st->cleanup)
        cleanup(b, &d->step[k].held);
    return emit(d, k, b);
}

static int metaspace(struct slm_detok *d, int k, const char *s, size_t n)
{
    const struct dec_step *st = &d->t->dec[k];
    struct slm_buf *b = &d->text[k];
    bool drop = !d->step[k].started && st->scheme != PREPEND_NEVER;
    slm_buf_reset(b);
    replace_all(b, s, n, st->a, " ", drop ? 0 : 1);
    d->step[k].started = true;
    return emit(d, k, b);
}

/* The suffix marks a word's end: a blank, but not behind the last token, so it waits for the
 * next. */
static int bpe_suffix(struct slm_detok *d, int k, const char *s, size_t n)
{
    const struct dec_step *st = &d->t->dec[k];
    struct slm_buf *b = &d->text[k], *held = &d->step[k].held;
    slm_buf_reset(b);
    replace_all(b, held->s, held->n, st->a, " ", 1);
    slm_buf_reset(held);
    slm_buf_put(held, s, n);
    return b->n ? emit(d, k, b) : slm_buf_check(held, "decoded text", d->err);
}

static int bytes(struct slm_detok *d, int k, const char *s, size_t n)
{
    struct slm_buf *held = &d->step[k].held;
    size_t at = held->n, len = 0;
    slm_buf_put(held, s, n);
    if (!held->failed && slm_chars_to_bytes(held->s + at, &len, s, n))
        held->n = at + len;
    return pass_whole(d, k, false, false);
}

static int push(struct slm_detok *d, int k, const char *s, size_t n)
{
    const slm_tokenizer *t = d->t;
    if (k == t->n_dec)
        return n ? slm_text_put(d->out, t->rt, s, n, d->err) : 0;
    const struct dec_step *st = &t->dec[k];
    struct dec_state *x = &d->step[k];
    int b, rc;
    switch (st->kind) {
    case DEC_BYTES: return bytes(d, k, s, n);
    case DEC_REPLACE:
        slm_buf_reset(&d->text[k]);
        replace_all(&d->text[k], s, n, st->a, st->b.s, st->b.n);
        return emit(d, k, &d->text[k]);
    case DEC_BYTE_FALLBACK:
        if ((b = slm_byte_piece(s, n)) >= 0) {
            slm_buf_putc(&x->held, (char)b);
            return pass_whole(d, k, true, false);
        }
        rc = pass_whole(d, k, true, true);
        return rc ? rc : push(d, k + 1, s, n);
    case DEC_STRIP:
        return fused_before(t, k) ? strip_stream(d, k, s, n) : strip_token(d, k, s, n);
    case DEC_METASPACE: return metaspace(d, k, s, n);
    case DEC_WORDPIECE: return wordpiece(d, k, s, n);
    case DEC_BPE: return bpe_suffix(d, k, s, n);
    case DEC_JOIN:
        rc = x->started ? push(d, k + 1, " ", 1) : 0;
        x->started = true;
        return rc ? rc : push(d, k + 1, s, n);
    case DEC_FUSE:
    case DEC_SPM: break;
    }
    return push(d, k + 1, s, n);
}

/* SentencePiece's own decoder: marks are blanks, the one put in front goes, unknowns show. */
static int feed_spm(struct slm_detok *d, int32_t id)
{
    const slm_tokenizer *t = d->t;
    const struct dec_step *st = &t->dec[0];
    struct dec_state *x = &d->step[0];
    if (t->type[id] == SLM_TOKEN_BYTE) {
        slm_buf_put(&x->held, t->raw[id].s, t->raw[id].n);
        x->started = true;
        return pass_whole(d, 0, true, false);
    }
    int rc = pass_whole(d, 0, true, true);
    const char *s = t->raw[id].s;
    size_t n = t->raw[id].n;
    if (t->type[id] == SLM_TOKEN_CONTROL) {
        s = t->piece[id].s;
        n = d->keep ? t->piece[id].n : 0;
    } else if (t->type[id] == SLM_TOKEN_UNKNOWN) {
        s = d->keep ? t->piece[id].s : st->a.s;
        n = d->keep ? t->piece[id].n : st->a.n;
        x->started = true;
    } else if (!x->started && st->prefix_space && n && *s == ' ') {
        s++;
        n--;
        x->started = n || !st->extra_spaces;
    } else {
        x->started |= n > 0;
    }
    return rc || !n ? rc : push(d, 1, s, n);
}

static int feed(struct slm_detok *d, int32_t id)
{
    const slm_tokenizer *t = d->t;
    if (id < 0 || id >= t->n || !t->piece[id].s)
        return 0; /* rows of the embedding that no token has */
    if (t->n_dec && t->dec[0].kind == DEC_SPM)
        return feed_spm(d, id);
    if (t->type[id] == SLM_TOKEN_CONTROL && !d->keep)
        return 0;
    if (t->n_dec == 1 && t->dec[0].kind == DEC_BYTES) {
        slm_buf_put(&d->step[0].held, t->raw[id].s, t->raw[id].n);
        return pass_whole(d, 0, false, false);
    }
    return push(d, 0, t->piece[id].s, t->piece[id].n);
}

static int flush(struct slm_detok *d)
{
    const slm_tokenizer *t = d->t;
    int rc = 0;
    for (int k = 0; k < t->n_dec && !rc; k++) {
        struct slm_buf *held = &d->step[k].held;
        enum dec_kind kind = t->dec[k].kind;
        if (kind == DEC_BYTES || kind == DEC_BYTE_FALLBACK || kind == DEC_SPM) {
            rc = pass_whole(d, k, kind != DEC_BYTES, true);
        } else if (kind == DEC_BPE && held->n) {
            slm_buf_reset(&d->text[k]);
            replace_all(&d->text[k], held->s, held->n, t->dec[k].a, "", 0);
            slm_buf_reset(held);
            rc = emit(d, k, &d->text[k]);
        }
    }
    return rc;
}

int slm_detok_new(slm_detok **out, const slm_tokenizer *t, int keep_special, slm_err *err)
{
    slm_detok *d = slm_zalloc(t->rt, SLM_MEM_TEXT, sizeof *d);
    if (!d)
        return slm_fail_mem(err, "a decoder", sizeof *d);
    d->t = t;
    d->keep = keep_special != 0;
    for (int i = 0; i < SLM_DEC_MAX; i++)
        slm_buf_init(&d->step[i].held, t->rt, SLM_MEM_TEXT, (size_t)1 << 30);
    for (int i = 0; i <= SLM_DEC_MAX; i++)
        slm_buf_init(&d->text[i], t->rt, SLM_MEM_TEXT, (size_t)1 << 30);
    *out = d;
    return 0;
}

void slm_detok_free(slm_detok *d)
{
    if (!d)
        return;
    for (int i = 0; i < SLM_DEC_MAX; i++)
        slm_buf_release(&d->step[i].held);
    for (int i = 0; i <= SLM_DEC_MAX; i++)
        slm_buf_release(&d->text[i]);
    slm_free(d->t->rt, d);
}

void slm_detok_reset(slm_detok *d)
{
    for (int i = 0; i < SLM_DEC_MAX; i++) {
        slm_buf_reset(&d->step[i].held);
        d->step[i].started = false;
        d->step[i].cut = 0;
    }
}

int slm_detok_feed(slm_detok *d, int32_t id, slm_text *out, slm_err *err)
{
    d->out = out;
    d->err = err;
    return feed(d, id);
}

int slm_detok_flush(slm_detok *d, slm_text *out, slm_err *err)
{
    d->out = out;
    d->err = err;
    return flush(d);
}

int slm_tokenizer_decode(const slm_tokenizer *t, const int32_t *ids, size_t n, int keep_special,
                         slm_text *out, slm_err *err)
{
    slm_detok *d;
    int rc = slm_detok_new(&d, t, keep_special, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < n && !rc; i++)
        rc = slm_detok_feed(d, ids[i], out, err);
    rc = rc ? rc : slm_detok_flush(d, out, err);
    slm_detok_free(d);
    return rc;
}
