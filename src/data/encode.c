/* Text with learnt parts to tokens, each learnt or not. The text is tokenised whole, as serving
 * does, and each token's place in the text is told by the bytes that it stands for. Where a
 * token would straddle the border of a part, or places cannot be told (a normaliser changed the
 * text), the text is tokenised in pieces cut at the borders, so that no token is of two minds.
 */
#include <string.h>

#include "data/render.h"
#include "text/tok.h"

void slm_encoding_release(struct encoding *x)
{
    slm_ids_release(&x->ids);
    if (x->rt) {
        slm_free(x->rt, x->learn);
        slm_free(x->rt, x->start);
    }
    *x = (struct encoding){0};
}

bool slm_spells_special(const slm_tokenizer *t, const char *s, size_t n)
{
    const struct slm_tok_str text = {s, n};
    size_t at = 0, span[2];
    int k;
    while ((k = slm_added_next(t, &t->raw_set, text, at, SLM_ENCODE_SPECIAL, span)) >= 0) {
        if (t->added[k].special)
            return true;
        at = span[1] > at ? span[1] : at + 1;
    }
    return false;
}

static int make_room(struct encoding *x, size_t n, slm_err *err)
{
    while (x->cap_learn < n + 1)
        if (slm_grow(x->rt, SLM_MEM_DATA, (void **)&x->learn, x->cap_learn, &x->cap_learn, 1))
            return slm_fail_mem(err, "tokens", n);
    while (x->cap_start < n + 1)
        if (slm_grow(x->rt, SLM_MEM_DATA, (void **)&x->start, x->cap_start, &x->cap_start,
                     sizeof *x->start))
            return slm_fail_mem(err, "tokens", n);
    return 0;
}

static bool is_added(const slm_tokenizer *t, int32_t id)
{
    int type = slm_tokenizer_type(t, id);
    return type == SLM_TOKEN_CONTROL || type == SLM_TOKEN_USER;
}

static bool fits(const char *s, size_t n, size_t at, struct slm_tok_str raw, size_t skip)
{
    return raw.n >= skip && raw.n - skip <= n - at &&
           !memcmp(s + at, raw.s + skip, raw.n - skip);
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* Where ids [from, len) begin in s; false when their bytes are not the text's. A blank that the
 * tokenizer puts in front of a stretch takes no bytes; blanks that an added token takes along
 * are its own. */
static bool align(const slm_tokenizer *t, struct encoding *x, size_t from, const char *s,
                  size_t n)
{
    size_t at = 0;
    bool blank = true, swallow = false; /* may skip a blank of ours, of the text's */
    for (size_t i = from; i < x->ids.len; i++) {
        int32_t id = x->ids.data[i];
        const struct slm_tok_str raw = t->raw[id];
        bool added = is_added(t, id);
        if (!raw.s)
            return false;
        size_t skip = 0, k = at;
        bool ok = fits(s, n, at, raw, 0);
        if (!ok && blank && raw.n && raw.s[0] == ' ' && fits(s, n, at, raw, 1)) {
            ok = true;
            skip = 1;
            blank = false;
        }
        while (!ok && (swallow || added) && k < n && is_space(s[k]))
            if (fits(s, n, ++k, raw, 0)) {
                ok = true;
                at = k;
            }
        if (!ok)
            return false;
        x->start[i] = at;
        at += raw.n - skip;
        swallow = added;
        blank |= added;
    }
    while (swallow && at < n && is_space(s[at]))
        at++;
    x->start[x->ids.len] = n;
    return at == n;
}

/* Does some token begin before a border and end behind it? */
static bool straddles(const struct rendering *r, const struct encoding *x, size_t from)
{
    size_t i = from;
    for (size_t p = 0; p < 2 * r->n; p++) {
        size_t border = p % 2 ? r->part[p / 2].to : r->part[p / 2].from;
        while (i < x->ids.len && x->start[i + 1] <= border)
            i++;
        if (i < x->ids.len && x->start[i] < border)
            return true;
    }
    return false;
}

/* Tokens [from, len) by their places. */
static void mark(const struct rendering *r, struct encoding *x, size_t from)
{
    size_t p = 0;
    for (size_t i = from; i < x->ids.len; i++) {
        while (p < r->n && x->start[i] >= r->part[p].to)
            p++;
        x->learn[i] = p < r->n && x->start[i] >= r->part[p].from;
    }
}

/* The stretch [lo, hi) of the text by itself, its tokens all learnt or not. */
static int encode_piece(const struct renderer *r, const struct rendering *t, struct encoding *x,
                        struct learnt at, bool learnt, slm_err *err)
{
    size_t from = x->ids.len;
    unsigned flags = (t->chat ? SLM_ENCODE_SPECIAL : 0) | (at.from ? SLM_ENCODE_CONTINUES : 0);
    if (at.from == at.to)
        return 0;
    int rc =
        slm_tokenizer_encode(r->tok, t->text.s + at.from, at.to - at.from, flags, &x->ids, err);
    rc = rc ? rc : make_room(x, x->ids.len, err);
    for (size_t i = from; i < x->ids.len && !rc; i++) {
        x->learn[i] = learnt;
        x->start[i] = at.from;
    }
    return rc;
}

static int encode_pieces(const struct renderer *r, const struct rendering *t,
                         struct encoding *x, slm_err *err)
{
    size_t at = 0;
    int rc = 0;
    for (size_t p = 0; p < t->n && !rc; p++) {
        rc = encode_piece(r, t, x, (struct learnt){at, t->part[p].from}, false, err);
        rc = rc ? rc : encode_piece(r, t, x, t->part[p], true, err);
        at = t->part[p].to;
    }
    rc = rc ? rc : encode_piece(r, t, x, (struct learnt){at, t->text.n}, false, err);
    return rc ? rc : make_room(x, x->ids.len, err);
}

static bool blank_token(const slm_tokenizer *t, int32_t id)
{
    for (size_t i = 0; i < t->raw[id].n; i++)
        if (!is_space(t->raw[id].s[i]))
            return false;
    return true;
}

/* The turn ends with its end-of-turn token: what blanks the template puts behind it are not
 * learnt, and an end of turn that it puts behind the message's own text is. */
static void end_turns(const struct renderer *r, struct encoding *x, size_t from)
{
    size_t i = from, n = x->ids.len;
    while (i < n) {
        if (!x->learn[i]) {
            i++;
            continue;
        }
        size_t end = i, stop;
        while (end < n && x->learn[end])
            end++;
        for (stop = end; stop > i && blank_token(r->tok, x->ids.data[stop - 1]); stop--)
            ;
        if (stop > i && slm_tokenizer_is_eog(r->tok, x->ids.data[stop - 1])) {
            memset(x->learn + stop, 0, end - stop);
        } else if (end < n && slm_tokenizer_is_eog(r->tok, x->ids.data[end])) {
            x->learn[end++] = 1;
        } else {
            x->open_turns++;
        }
        i = end;
    }
}

static int put(struct encoding *x, int32_t id, bool learnt, slm_err *err)
{
    int rc = slm_ids_append(&x->ids, x->rt, &id, 1, err);
    rc = rc ? rc : make_room(x, x->ids.len, err);
    if (!rc)
        x->learn[x->ids.len - 1] = learnt;
    return rc;
}

int slm_encode(const struct renderer *r, const struct rendering *t, struct encoding *x,
               slm_err *err)
{
    const slm_tokenizer *k = r->tok;
    x->rt = r->rt;
    x->ids.len = 0;
    x->open_turns = 0;
    int rc = make_room(x, 16, err);
    for (int i = 0; !t->chat && i < k->n_before && !rc; i++)
        rc = put(x, k->before[i], false, err);
    size_t from = x->ids.len;
    unsigned flags = t->chat ? SLM_ENCODE_SPECIAL : 0;
    rc = rc ? rc : slm_tokenizer_encode(k, t->text.s, t->text.n, flags, &x->ids, err);
    rc = rc ? rc : make_room(x, x->ids.len, err);
    if (rc)
        return rc;
    bool whole = t->n == 1 && t->part[0].from == 0 && t->part[0].to == t->text.n;
    if (whole) {
        memset(x->learn + from, 1, x->ids.len - from);
    } else if (align(k, x, from, t->text.s, t->text.n) && !straddles(t, x, from)) {
        mark(t, x, from);
    } else {
        x->ids.len = from;
        rc = encode_pieces(r, t, x, err);
        if (rc)
            return rc;
    }
    if (t->chat && !whole)
        end_turns(r, x, from);
    else if (!t->chat && r->add_eos && slm_tokenizer_eos(k) >= 0)
        rc = put(x, slm_tokenizer_eos(k), true, err);
    if (x->ids.len)
        x->learn[0] = 0;
    return rc;
}
